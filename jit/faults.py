"""What can go wrong while an untrusted program runs, as data.

Misbehaviour of a program is a result, not an exception of the machine. The kinds are numbers because the machine
(`jit.machine`) stores them in a record; each has a sentence for people.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, unique

from grafting.diagnostics import NO_SPAN, Diagnostic, Label, Source, Span
from grafting.program import Handler, Program


@unique
class FaultKind(IntEnum):
    """Why the checked interpreter stopped. The name says it; `Fault.sentence` explains it with the numbers."""

    UNMAPPED = 1
    OUT_OF_BOUNDS = 2
    NOT_READABLE = 3
    NOT_WRITABLE = 4
    MISALIGNED = 5
    UNINITIALISED_STACK = 6
    UNINITIALISED_REGISTER = 7
    FRAME_POINTER_WRITTEN = 8
    CALL_TOO_DEEP = 9
    UNKNOWN_HELPER = 10
    NOT_A_MAP = 11
    ILLEGAL_VERDICT = 12
    OUT_OF_FUEL = 13


REGION_NAMES = {0: "null", 1: "context", 2: "body"}
FIRST_STACK, FIRST_MAP = 3, 16  # region numbers of stack frame 0 and of map 0; see `jit.memory`


@dataclass(frozen=True, slots=True)
class Fault:
    """A stop of the program: at slot `pc`, over `address` (where a kind has one), with `detail` in the kind's unit.

    `detail`: bytes of the access; for a register fault the set of undefined registers as bits; for UNKNOWN_HELPER the
    helper's number; for ILLEGAL_VERDICT the verdict; else 0. `handler` and `span` say where that is, the span being
    unknown for code without line info.
    """

    kind: FaultKind
    pc: int
    address: int = 0
    detail: int = 0
    handler: str = ""
    span: Span = NO_SPAN

    @property
    def sentence(self) -> str:
        """What happened, for people, without the place in the code."""
        where = place(self.address)
        match self.kind:
            case FaultKind.UNMAPPED if self.address >> 32 == 0:
                return f"access to {self.address:#x}, a number that is not an address"
            case FaultKind.UNMAPPED:
                return f"access to {self.address:#x}, where nothing is mapped"
            case FaultKind.OUT_OF_BOUNDS:
                return f"access of {self.detail} bytes at {where} goes out of bounds"
            case FaultKind.NOT_READABLE:
                return f"{where} may not be read"
            case FaultKind.NOT_WRITABLE:
                return f"{where} may not be written"
            case FaultKind.MISALIGNED:
                return f"access of {self.detail} bytes at {where} is not aligned"
            case FaultKind.UNINITIALISED_STACK:
                return f"{self.detail} bytes at {where} are read before they are written"
            case FaultKind.UNINITIALISED_REGISTER:
                names = " and ".join(f"r{n}" for n in range(11) if self.detail >> n & 1)
                return f"{names} is read before it is written"
            case FaultKind.FRAME_POINTER_WRITTEN:
                return "r10, the frame pointer, may not be written"
            case FaultKind.CALL_TOO_DEEP:
                return "calls nest too deeply"
            case FaultKind.UNKNOWN_HELPER:
                return f"helper {self.detail} does not exist at this hook"
            case FaultKind.NOT_A_MAP:
                return f"r1 = {self.address:#x} is not a map"
            case FaultKind.ILLEGAL_VERDICT:
                return f"{self.detail} is not a verdict of this hook"
            case FaultKind.OUT_OF_FUEL:
                return "the fuel is used up"

    def diagnostic(self, source: Source | None = None) -> Diagnostic:
        """Return the fault as a diagnostic, G0701."""
        primary = Label(self.span, "here")
        return Diagnostic("G0701", self.sentence, primary, source, handler=self.handler or None, pc=self.pc)

    def as_dict(self) -> dict[str, object]:
        """Return the fault as JSON-ready data."""
        return {
            "kind": self.kind.name.lower(),
            "message": self.sentence,
            "handler": self.handler,
            "pc": self.pc,
            "line": self.span.line or None,
            "column": self.span.column or None,
        }

    def __str__(self) -> str:
        where = f"line {self.span.line}, " if self.span.known else ""
        return f"{where}slot {self.pc}: {self.sentence}"


def span_at(program: Program, handler: Handler, pc: int) -> Span:
    """Return the source range of slot `pc`, as well as the program's hints tell it; `NO_SPAN` without any."""
    info = handler.line_at(pc)
    if info is None:
        return NO_SPAN
    exact = program.debug.spans.get((info.line, info.column))
    if exact is not None or program.debug.source is None:
        return exact or Span(info.line, max(1, info.column), 0, 0)
    lines = program.debug.source.text.split("\n")
    if info.line > len(lines):
        return NO_SPAN
    line = lines[info.line - 1]
    start = sum(len(before) + 1 for before in lines[: info.line - 1])
    column = info.column if 0 < info.column <= len(line) else len(line) - len(line.lstrip()) + 1
    return Span(info.line, column, start + column - 1, start + len(line.rstrip()))


def place(address: int) -> str:
    """Return a virtual address in words: "body+16", "body-1", "stack frame 0-8", "map 2+64"."""
    region, offset = address >> 32, address & 0xFFFF_FFFF
    if offset >> 31:  # no window is that long: it is before the next one
        region, offset = region + 1, offset - (1 << 32)
    if FIRST_STACK <= region < FIRST_MAP:
        distance = offset - 512
        return f"stack frame {region - FIRST_STACK}{distance:+d}"
    if region >= FIRST_MAP:
        return f"map {region - FIRST_MAP}{offset:+d}"
    return f"{REGION_NAMES[region]}{offset:+d}"
