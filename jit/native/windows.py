"""From virtual addresses to machine addresses.

A register holds the same virtual address as in the interpreter (`jit.memory`): region << 32 | offset. The proof says
which regions an access may reach; for one region the machine address is

    getelementptr inbounds i8, ptr base, i64 (address - (region << 32) + start)

so that LLVM sees a pointer derived from one object, no `inttoptr`, and the constants fold away. `inbounds` holds: a GEP
is written for an access that was proved to lie within its region, which lies within the object of the base. Where an
access may reach several regions, the number in the address chooses, as in the interpreter; an access in bounds cannot
have carried into that number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from grafting.diagnostics import InternalError
from jit import memory
from jit.memory import BODY, CONTEXT, MAPS, STACK, STACK_BYTES
from jit.native.text import Text
from verifier.pointers import Kind, Region

_LOW = 0xFFFF_FFFF


class Window(NamedTuple):
    """Where region `number` lies: `start` bytes from `base`, a pointer of the function."""

    base: str
    number: int
    start: int


def windows(regions: Iterable[Region], rows: Sequence[Mapping[str, int]], stack: str) -> list[Window]:
    """Return the windows of regions, `rows` being the maps' descriptions and `stack` the base of the stack."""
    found: set[Window] = set()
    for region in regions:
        match region.kind:
            case Kind.CONTEXT:
                found.add(Window("context", CONTEXT, 0))
            case Kind.BODY | Kind.MEMORY:
                found.add(Window("body", BODY, 0))
            case Kind.STACK:
                found.add(Window(stack, STACK + region.frame, region.frame * STACK_BYTES))
            case Kind.VALUE:
                found |= {Window("maps", MAPS + number, rows[number]["values"]) for number in region.maps}
    return sorted(found, key=lambda window: window.number)


def pointer(text: Text, reached: Sequence[Window], address: str) -> str:
    """Return the machine address of a virtual one that lies in one of these windows."""
    if not reached:
        raise InternalError("a verified access reaches nothing")
    if len(reached) == 1:
        base, number, start = reached[0]
        offset = text.value(f"sub i64 {address}, {memory.address(number) - start}")
        return text.value(f"getelementptr inbounds i8, ptr %{base}, i64 {offset}")
    number_of = text.value(f"lshr i64 {address}, 32")
    offset = text.value(f"and i64 {address}, {_LOW}")
    found = _in(text, reached[0], offset)
    for window in reached[1:]:
        here = text.value(f"icmp eq i64 {number_of}, {window.number}")
        found = text.value(f"select i1 {here}, ptr {_in(text, window, offset)}, ptr {found}")
    return found


def _in(text: Text, window: Window, offset: str) -> str:
    start = text.value(f"getelementptr i8, ptr %{window.base}, i64 {window.start}")
    return text.value(f"getelementptr i8, ptr {start}, i64 {offset}")
