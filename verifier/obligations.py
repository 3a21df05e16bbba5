"""What an instruction must satisfy, as data.

`of(operation, hook)` lists the obligations of one instruction; they depend on the instruction alone, so they are made
once per program. `check.unmet` decides one obligation in one state. Nothing else in the verifier rejects an
instruction, and an operation that this file does not know is a `match` that mypy rejects: an instruction without
obligations must say so here. Example: `*(u64 *)(r1 + 8) = r2` gives

    Initialised(1), Initialised(2), Access(base=1, offset=8, size=8, write=True), Stored(base=1, source=2, size=8)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from grafting.hooks import Arg, Helper, Hook
from grafting.isa import (
    Alu,
    AluOp,
    Atomic,
    AtomicOp,
    Branch,
    ByteSwap,
    CallHelper,
    CallLocal,
    Exit,
    Goto,
    Load,
    LoadImm64,
    LoadMap,
    LoadMapValue,
    MoveSx,
    Operand,
    Operation,
    Reg,
    Store,
)


@dataclass(frozen=True, slots=True)
class Initialised:
    """The register holds a value."""

    register: int


@dataclass(frozen=True, slots=True)
class Writable:
    """The register may be written: it is not r10."""

    register: int


@dataclass(frozen=True, slots=True)
class Plain:
    """The register holds a number, not an address. `purpose` completes "an address cannot be ..."."""

    register: int
    purpose: str


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`dst op source` is arithmetic on numbers, or moves an address within its region, or subtracts two of the body."""

    op: Alu
    is64: bool
    dst: int
    source: Operand


@dataclass(frozen=True, slots=True)
class Comparable:
    """Both sides are numbers, or addresses with one base, or one is an address and the other 0."""

    branch: Branch


@dataclass(frozen=True, slots=True)
class Access:
    """`size` bytes at register `base` + `offset` may be accessed so, are aligned, and written before they are read."""

    base: int
    offset: int
    size: int
    read: bool = False
    write: bool = False
    atomic: bool = False


@dataclass(frozen=True, slots=True)
class Stored:
    """If register `source` holds an address, it is stored whole, in a slot of the stack."""

    base: int
    offset: int
    size: int
    source: int


@dataclass(frozen=True, slots=True)
class Offered:
    """The hook offers this helper."""

    number: int


@dataclass(frozen=True, slots=True)
class Argument:
    """Register `register` is what the helper demands there."""

    helper: Helper
    register: int
    kind: Arg


@dataclass(frozen=True, slots=True)
class Sendable:
    """Slot, operation, rights and length of a send go together, for every combination that is possible."""

    helper: Helper


@dataclass(frozen=True, slots=True)
class Result:
    """At the end of the handler r0 is a verdict of the hook; at the end of a function it is no address of its frame.

    `last`: the handler ends here, whatever function this is.
    """

    last: bool = False


Obligation = (
    Initialised | Writable | Plain | Arithmetic | Comparable | Access | Stored | Offered | Argument | Sendable | Result
)  # fmt: skip


def of(op: Operation, hook: Hook) -> tuple[Obligation, ...]:
    """Return what `op` must satisfy at this hook, in the order in which to complain."""
    match op:
        case AluOp(Alu.MOV, bits, dst, source):
            narrow = () if bits == 64 else _plain(source, "cut to 32 bits")
            return (*_read(source), *narrow, Writable(dst))
        case AluOp(alu, bits, dst, source):
            return (Initialised(dst), *_read(source), Writable(dst), Arithmetic(alu, bits == 64, dst, source))
        case MoveSx(dst=dst, src=src):
            return (Initialised(src), Plain(src, "sign-extended"), Writable(dst))
        case ByteSwap(dst=dst):
            return (Initialised(dst), Plain(dst, "swapped"), Writable(dst))
        case LoadImm64(dst=dst) | LoadMap(dst=dst) | LoadMapValue(dst=dst):
            return (Writable(dst),)
        case Load(size=size, dst=dst, base=base, offset=offset):
            return (Initialised(base), Writable(dst), Access(base, offset, size, read=True))
        case Store(size, base, offset, source):
            stored = (Stored(base, offset, size, source.number),) if isinstance(source, Reg) else ()
            return (Initialised(base), *_read(source), Access(base, offset, size, write=True), *stored)
        case Atomic():
            return _atomic(op)
        case Goto() | CallLocal():
            return ()
        case Branch(dst=dst, source=source):
            return (Initialised(dst), *_read(source), Comparable(op))
        case CallHelper(number):
            return (Offered(number), *_call(hook.helper(number)))
        case Exit():
            return (Initialised(0), Result())
        case _:
            assert_never(op)


def _read(source: Operand) -> tuple[Obligation, ...]:
    return (Initialised(source.number),) if isinstance(source, Reg) else ()


def _plain(source: Operand, purpose: str) -> tuple[Obligation, ...]:
    return (Plain(source.number, purpose),) if isinstance(source, Reg) else ()


def _atomic(op: Atomic) -> tuple[Obligation, ...]:
    target: Writable | None = None
    if op.fetch and op.op is not AtomicOp.CMPXCHG:
        target = Writable(op.src)
    compared = (Initialised(0), Plain(0, "compared atomically")) if op.op is AtomicOp.CMPXCHG else ()
    return (
        Initialised(op.base), Initialised(op.src), Plain(op.src, "an operand of an atomic operation"), *compared,
        *((target,) if target else ()), Access(op.base, op.offset, op.size, read=True, write=True, atomic=True),
    )  # fmt: skip


def _call(helper: Helper | None) -> tuple[Obligation, ...]:
    if helper is None:
        return ()
    arguments: list[Obligation] = []
    for register, kind in enumerate(helper.args, start=1):
        arguments += (Initialised(register), Argument(helper, register, kind))
    if helper.sends:
        arguments.append(Sendable(helper))
    if not helper.returns:
        arguments += (Initialised(0), Result(last=True))
    return tuple(arguments)
