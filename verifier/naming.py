"""What the numbers of a refusal are called, and what they may be.

A number is called by the variable that holds it (the object's names), else by what it was read from (`node.count`), the
helper that gave it, the counter of its loop, the operation that made it (`x & 63`), else by its register. These are
hints of an untrusted object and decide nothing; what is said about ranges comes from the states of the way alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from grafting.assembly.disassembler import disassemble_operation
from grafting.isa import CallHelper, Load, width
from grafting.program import Handler, Place, Program, Register, ValueName
from verifier import spans
from verifier.path import Way
from verifier.scalar import UNKNOWN, Scalar, describe
from verifier.source_terms import LENGTH, Leaf, Reckoner, Sum

_COPIES = 4  # places at which a leaf's name is looked for
_NAME = 40  # characters of a variable's name that is used
_OPERATION = 32  # characters of the text of an operation
_SIMPLE = re.compile(r"[\w.\->()\[\]]+")


class Language(Enum):
    """What the reader sees."""

    GRAFT = "graft"
    C = "c"
    ASSEMBLY = "assembly"


def language(program: Program) -> Language:
    """Return which sort of source an object shows."""
    if program.debug.source is None:
        return Language.ASSEMBLY
    return Language.GRAFT if program.debug.spans else Language.C


def instruction(handler: Handler, pc: int) -> str:
    """Return the text of an instruction."""
    return disassemble_operation(handler.operations[pc])


def in_brackets(name: str) -> str:
    """Return a name as an operand."""
    return name if _SIMPLE.fullmatch(name) else f"({name})"


@dataclass(slots=True)
class Naming:
    """The names at the end of one way, at instruction `pc`. `used`: the leaves that were named, in order."""

    program: Program
    handler: Handler
    pc: int
    way: Way
    reckoner: Reckoner
    used: list[Leaf] = field(default_factory=list)
    _names: dict[Leaf, str] = field(default_factory=dict)
    _named: dict[int, Mapping[Place, ValueName]] = field(default_factory=dict)

    @property
    def language(self) -> Language:
        """What the reader sees."""
        return language(self.program)

    def sum(self, sum_: Sum) -> str:
        """Return a sum as text, `8*i+8`, and note what it names."""
        parts = ""
        for leaf, factor in sum_.terms:
            name = self.name(leaf)
            if leaf not in self.used:
                self.used.append(leaf)
            if len(sum_.terms) > 1 or sum_.constant or abs(factor) != 1:
                name = in_brackets(name)
            size = name if abs(factor) == 1 else f"{abs(factor)}*{name}"
            sign = "-" if factor < 0 else "+" if parts else ""
            parts += f"{sign}{size}"
        if sum_.constant or not parts:
            parts += f"{sum_.constant:+d}" if parts else str(sum_.constant)
        return parts

    def name(self, leaf: Leaf) -> str:
        """Return what a leaf is called."""
        if leaf not in self._names:
            self._names[leaf] = self._called(leaf)
        return self._names[leaf]

    def _called(self, leaf: Leaf) -> str:
        """Return what a leaf is called; see the module."""
        if leaf is LENGTH:
            return f"{self.message}.len" if self.language is Language.GRAFT else "(data_end - data)"
        holders = self.reckoner.holders(leaf)
        copies = self.reckoner.copies.get(leaf, ())[:_COPIES]
        places = ((self._after(leaf), leaf.register), *((self.pc, holder) for holder in holders), *copies)
        for pc, register in places:
            name = self.variable(pc, register) if pc >= 0 else None
            if name is not None:
                return name
        op = self.handler.operations.get(leaf.pc)
        if isinstance(op, Load) and leaf.loop is None:
            place = spans.place_at(self.program, self.handler, leaf.pc)
            if place is not None:
                return place
        if isinstance(op, CallHelper) and leaf.loop is None:
            return self._result(op, leaf.pc)
        if leaf.loop is not None and (counter := self.counter(leaf)) is not None:
            return counter
        if leaf.operator and len(leaf.operands) == 2 and self.language is not Language.ASSEMBLY:
            text = f" {leaf.operator} ".join(in_brackets(self.aside(operand)) for operand in leaf.operands)
            if len(text) <= _OPERATION:
                return text
        register = leaf.register if leaf.register in holders or not holders else holders[0]
        name = f"r{register}"
        return name if name not in self._names.values() else f"{name}@{max(leaf.pc, 0)}"

    def aside(self, sum_: Sum) -> str:
        """Return a sum as text; what it names need not be explained."""
        used = [*self.used]
        text = self.sum(sum_)
        self.used[:] = used
        return text

    def _after(self, leaf: Leaf) -> int:
        """Return the instruction before which a leaf stands in its register."""
        if leaf.pc < 0 or leaf.loop is not None:
            return leaf.pc
        return leaf.pc + width(self.handler.operations[leaf.pc])

    def variable(self, pc: int, register: int) -> str | None:
        """Return the variable that a register holds before an instruction."""
        if pc not in self._named:
            self._named[pc] = self.handler.names_at(pc)
        found = self._named[pc].get(Register(register))
        if found is None or found.plus or len(found.name) > _NAME or not found.name.isprintable():
            return None
        return found.name

    def alias(self, register: int) -> str | None:
        """Return the variable whose value an address is."""
        registers = self.way.state.registers
        same = (number for number in range(10) if registers[number] == registers[register])
        names = (self.variable(self.pc, number) for number in (register, *same))
        return next((name for name in names if name is not None), None)

    def counter(self, leaf: Leaf) -> str | None:
        """Return the variable of a `for`, if a loop is one and a leaf counts its rounds."""
        if leaf.stride != 1:
            return None
        text = spans.text_of(self.program, spans.span_at(self.program, self.handler, leaf.pc))
        found = re.match(r"for (\w+) in ", text)
        return found[1] if found else None

    def _result(self, op: CallHelper, pc: int) -> str:
        text = spans.quoted(self.program, self.handler, pc)
        helper = self.handler.hook.helper(op.number)
        name = helper.name if helper is not None else str(op.number)
        return text if text is not None else f"{name}()"

    def lookup(self, register: int) -> str | None:
        """Return the source of the lookup that an address came from: `wanted[msg.tag]`."""
        found = self.reckoner.held(register, self.way.state).found
        text = spans.quoted(self.program, self.handler, found.pc) if found is not None else None
        return text if text is not None and "[" in text else None

    def where(self, pc: int) -> str:
        """Return where an instruction is, to stand behind what it does."""
        span = spans.span_at(self.program, self.handler, pc)
        return f" in line {span.line}" if span.known else f" at instruction {pc}"

    @property
    def message(self) -> str:
        """What a graft's handler calls its message."""
        source, lines = self.program.debug.source, self.handler.lines
        found = re.search(r"\((\w+)\)", source.line_text(lines[0].line)) if source is not None and lines else None
        return found[1] if found else "msg"

    def range(self, leaf: Leaf) -> Scalar:
        """Return the words that a leaf may be."""
        return self.reckoner.known.get(leaf, UNKNOWN)

    def known(self, leaf: Leaf) -> str:
        """Return what a leaf may be, where it is not named in the source also where it is from."""
        known = describe(self.range(leaf))
        verb = "may be" if known == "any value" else "is"
        text = f"`{self.name(leaf)}` {verb} {known} here"
        if leaf.loop is not None:
            inside = self.reckoner.inside(leaf, self.pc)
            text += ", in every round" if inside else ", after any number of rounds"
        elif self.language is Language.ASSEMBLY and leaf.pc >= 0:
            text += f", as instruction {leaf.pc} leaves it: `{instruction(self.handler, leaf.pc)}`"
        return text

    def bounds(self, sum_: Sum) -> tuple[int, int]:
        """Return the least and the greatest number that a sum may be, as far as its leaves tell."""
        low = high = sum_.constant
        for leaf, factor in sum_.terms:
            known = self.range(leaf)
            ends = (known.smin * factor, known.smax * factor)
            low, high = low + min(ends), high + max(ends)
        return low, high
