"""The names that a handler gives to its values, as debug records of LLVM.

LLVM keeps track of where a named value is (which register, which stack slot, from where to where) through all of its
passes and says so in DWARF; `grafting.objects.dwarf_names` reads that back. Named are

- locals, parameters and loop counters: their slots are declared, and LLVM follows what becomes of them;
- views: addresses, a constant number of bytes from a register;
- what can be computed but once and never changes: `msg.tag`, `msg.len`, and `node.count` where `node` shows the
  message's body at a fixed place (bodies are read-only). Fields of map values change, so their loads get no name.

Debug records change no instruction. LLVM does not know where a name may be used, only that the value is still there:
so each name comes with its *scope*, the part of the source text in which it means this value. A local's begins behind
the statement that declares it: before, the register may hold what the same `let` made one round earlier. And LLVM may
believe too long that a value is there, so the parts of the text in which it is *made* come along as well: what other
code puts into a register is something else (`grafting.lowering.placement`).
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

from grafting import typed
from grafting.diagnostics import Source, Span
from grafting.lowering.debuginfo import DebugInfo
from grafting.lowering.ir import Function, Number, Pointer
from grafting.types import Type

Position = tuple[int, int]
"""(line, column), both from 1."""


@dataclass(frozen=True, slots=True)
class Part:
    """From `start` up to `end` of the source text."""

    start: Position
    end: Position

    def __contains__(self, place: Position) -> bool:
        return self.start <= place < self.end


EVERYWHERE = Part((0, 0), (1 << 32, 0))


@dataclass(slots=True)
class Parts:
    """Where a name means a value, and where that value is made: declared, or assigned to."""

    scopes: list[Part] = field(default_factory=list)
    makers: list[Part] = field(default_factory=list)


Meanings = dict[tuple[str, str, int], Parts]
"""By the function's symbol, the name and the line of its declaration."""


class Lines:
    """Positions in a source text, by offset."""

    def __init__(self, source: Source) -> None:
        self._starts = [0]
        for line in source.text.split("\n"):
            self._starts.append(self._starts[-1] + len(line) + 1)

    def position(self, offset: int) -> Position:
        """Return the line and column of the character at `offset`."""
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1


class Names:
    """Names the values of one handler, in `meanings` and in debug records."""

    def __init__(
        self, ir: Function, symbol: str, subprogram: int, source: Source, debug: DebugInfo, meanings: Meanings
    ) -> None:
        self._ir, self._symbol, self._subprogram, self._debug = ir, symbol, subprogram, debug
        self._source, self._lines, self._meanings = source, Lines(source), meanings
        self._nodes: dict[tuple[str, int], int] = {}
        self._declared: set[typed.Variable] = set()
        self._fixed: dict[typed.ViewVariable, Part] = {}

    def part(self, begin: int, end: int) -> Part:
        """Return what is between two offsets of the source text."""
        return Part(self._lines.position(begin), self._lines.position(end))

    def variable(self, variable: typed.Variable, slot: Pointer, scope: Part, maker: Part) -> None:
        """Name a local that lives in `slot`: alone there, or with others whose scopes are apart."""
        self._note(variable.name, variable.span, scope, maker)
        if variable not in self._declared:
            self._declared.add(variable)
            node = self._node(variable.name, variable.span, self._debug.type(variable.type))
            self._ir.declare(slot, node, variable.span)

    def assigned(self, variable: typed.Variable, by: Span) -> None:
        """Say that a statement changes a local."""
        self._note(variable.name, variable.span, None, self.part(by.start, by.end))

    def view(
        self, variable: typed.ViewVariable, base: Pointer, offset: int, scope: Part, maker: Part, *, fixed: bool
    ) -> None:
        """Name an address. `fixed`: it is the same whenever the declaration runs, and the bytes there never change."""
        self._note(variable.name, variable.span, scope, maker)
        node = self._node(variable.name, variable.span, self._debug.view(variable.type))
        self._ir.name(f"ptr {base}", offset, node, variable.span)
        if fixed:
            self._fixed[variable] = scope

    def is_fixed(self, place: typed.Place) -> bool:
        """Whether a place is always the same, and the bytes there never change."""
        return place.root in self._fixed and all(isinstance(step, typed.FieldStep) for step in place.steps)

    def read(self, place: typed.Place, value: Number) -> None:
        """Name what was read from a place of the message's body, if it is always the same."""
        if isinstance(place.root, typed.ViewVariable) and self.is_fixed(place):
            self._property(place.span, place.type, value, self._fixed[place.root])

    def field(self, field: typed.MessageField, value: Number) -> None:
        """Name a property of the message."""
        self._property(field.span, field.type, value, EVERYWHERE)

    def _property(self, span: Span, type_: Type, value: Number, scope: Part) -> None:
        name = "".join(self._source.text[span.start : span.end].split())
        if not name.replace(".", "").replace("_", "").isalnum():
            return  # in parentheses, or with a comment within: not the plain name
        self._note(name, span, scope, self.part(span.start, span.end))
        node = self._node(name, span, self._debug.type(type_))
        self._ir.name(f"i64 {value}", 0, node, span)

    def _note(self, name: str, span: Span, scope: Part | None, maker: Part) -> None:
        parts = self._meanings.setdefault((self._symbol, name, span.line), Parts())
        if scope is not None and scope not in parts.scopes:
            parts.scopes.append(scope)
        if maker not in parts.makers:
            parts.makers.append(maker)

    def _node(self, name: str, span: Span, type_: int) -> int:
        key = name, span.line
        if key not in self._nodes:
            self._nodes[key] = self._debug.local(name, type_, span, self._subprogram)
        return self._nodes[key]
