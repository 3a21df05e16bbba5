"""Why an obligation is not met, as data: words with gaps, which `wording` fills in with what the source calls things.

`check` knows registers and offsets; it does not know what they are called. So it writes

    ("this reads ", Bytes(base=2, offset=8, length=8), " of the message body")

and the reader sees "this reads bytes 8*i+8 .. 8*i+16 of the message body", the label "`i` is 0..=63 here" under the
access, and, from `helps`, the edit that would do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from grafting.isa import Reg
from verifier.pointers import Kind, Region
from verifier.rules import Rules
from verifier.scalar import Scalar, describe
from verifier.values import Handle, Number, Pointer, Unusable, Value


class Held(NamedTuple):
    """What a register holds, by its name in the source: `node.count`; else by its own: `r3`."""

    register: int


class Bytes(NamedTuple):
    """`length` bytes (a number, or what a register holds) from `offset` behind the address in register `base`."""

    base: int
    offset: int
    length: int | Reg


class Absent(NamedTuple):
    """The lookup that left a register's address, by its source: `wanted[msg.tag]`."""

    register: int


class Unset(NamedTuple):
    """Why a register holds nothing: `is never set on this path`."""

    register: int


class Confine(NamedTuple):
    """Help: keep the bytes within the first `limit` of their region, by a condition in front."""

    bytes: Bytes
    limit: int


class Reach(NamedTuple):
    """Help: show that the message body has these bytes, by a condition in front."""

    bytes: Bytes


class Cap(NamedTuple):
    """Help: keep what a register holds at or below a number, by a condition in front."""

    register: int
    most: int


class Test(NamedTuple):
    """Help: show that a lookup has found something, by a condition in front."""

    register: int


class Count(NamedTuple):
    """Help: count a loop's rounds."""


Part = str | Held | Bytes | Absent | Unset
Words = str | tuple[Part, ...]
Help = str | Confine | Reach | Cap | Test | Count


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an obligation is not met. `code` is stable; `message` says what is wrong, `notes` what is known.

    `about`: registers whose ranges explain it, beside those that the message names. `everywhere`: whatever the path,
    since the instruction itself is not allowed.
    """

    code: str
    message: Words
    notes: tuple[Words, ...] = ()
    helps: tuple[Help, ...] = ()
    about: tuple[int, ...] = ()
    everywhere: bool = False


def describe_value(rules: Rules, value: Value) -> str:
    """Return what a value is, for a message: `0..=31`, `an address in the message body, offset 16`."""
    match value:
        case Number(scalar):
            return describe(scalar)
        case Pointer(region, scalar):
            null = ", or null" if region.nullable else ""
            return f"an address in {describe_region(rules, region)}, {_offset(region, scalar)}{null}"
        case Handle(maps):
            return "map " + " or ".join(f"`{rules.program.maps[m].name}`" for m in maps)
        case Unusable():
            return str(value.value)
        case None:
            return "not set"


def _offset(region: Region, scalar: Scalar) -> str:
    if region.kind is Kind.STACK and scalar.is_constant:
        return f"at r10{scalar.smin:+d}" if scalar.smin else "at r10, its end"
    return f"offset {describe(scalar)}"


def describe_region(rules: Rules, region: Region) -> str:
    """Return what a region is, for a message: `the message body`, `a value of map `wanted``."""
    if region.kind is Kind.STACK and region.frame:
        return f"the stack (call depth {region.frame})"
    if region.kind is not Kind.VALUE:
        return str(region.kind.value)
    specs = [rules.program.maps[m] for m in region.maps]
    if len(specs) == 1 and specs[0].is_data:
        return f"section `{specs[0].name}`"
    return "a value of map " + " or ".join(f"`{spec.name}`" for spec in specs)
