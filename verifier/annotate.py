"""What the proof of a program knows, line by line of its source, or instruction by instruction where there is none.

A proof keeps states where blocks begin. Those in between are computed anew by the verifier's own `transfer`, so what is
shown is what it relied on. Where several states describe the arrivals at a place, what is shown holds in each of them:
numbers are joined, and of other values all are named.

    35 | if node.keys[i] <= key { slot = i }
       |     i: 1..=30; node: bytes 0..504 of the message body; at most 290 instructions from here

A line stands for the first instruction that belongs to it. The names are those that the object gives to its values
(`Handler.names`), without those of which nothing is known. An object without names, such as one by clang, is shown by
its registers and stack slots, and only what has changed since the row before. Names and lines are hints of an untrusted
object: they may be wrong, the values beside a register's name are not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final

from grafting.assembly.disassembler import disassemble_operation
from grafting.hooks import FieldKind
from grafting.isa import FRAME_POINTER
from grafting.limits import BODY_BYTES
from grafting.program import Constant, Handler, Program, Register, StackSlot, ValueName
from verifier import flow, transfer
from verifier import scalar as scalars
from verifier import stack as stacks
from verifier.pointers import Kind
from verifier.refusal import describe_value
from verifier.rules import Rules
from verifier.scalar import UNKNOWN, Scalar, describe
from verifier.state import State, shifted
from verifier.terms import wrap
from verifier.values import Number, Pointer, Value
from verifier.verify import HandlerProof, Verified

_WORD: Final = 8  # bytes
_ANY: Final = describe(UNKNOWN)


@dataclass(frozen=True, slots=True)
class Fact:
    """What is known of one thing: of "i", that it is "0..=30"."""

    name: str
    known: str


@dataclass(frozen=True, slots=True)
class Row:
    """A source line (`line` from 1) or an instruction (`line` 0), and what is known before the instruction at `pc`.

    `instructions`: how many may be executed from there until the function returns; None if no execution comes here.
    """

    pc: int
    line: int
    text: str
    facts: tuple[Fact, ...]
    instructions: int | None


@dataclass(frozen=True, slots=True)
class Annotated:
    """A handler with its rows in order: of lines if it has any, else of addresses."""

    handler: str
    rows: tuple[Row, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it in a form that JSON can hold."""
        rows = [
            {"pc": row.pc, "line": row.line, "text": row.text, "instructions": row.instructions,
             "known": {fact.name: fact.known for fact in row.facts}}
            for row in self.rows
        ]  # fmt: skip
        return {"handler": self.handler, "rows": rows}


def annotate(verified: Verified) -> tuple[Annotated, ...]:
    """Return what is known in each handler of a verified program."""
    program = verified.program
    return tuple(_Handler(program, h, verified.handlers[h.name]).annotated() for h in program.handlers)


def render(annotated: Sequence[Annotated]) -> str:
    """Return the annotations as text, a blank line between handlers."""
    return "\n\n".join("\n".join(_lines(handler)) for handler in annotated)


def _lines(handler: Annotated) -> Iterator[str]:
    yield f"{handler.handler}:"
    for row in handler.rows:
        yield f"{row.line or row.pc:5}{' |' if row.line else ':'} {row.text}"
        known = [f"{fact.name}: {fact.known}" for fact in row.facts]
        if row.instructions is None:
            known = ["never reached"]
        elif row.line:
            known.append(f"at most {row.instructions} instructions from here")
        if known:
            yield f"      |     {'; '.join(known)}"


class _Handler:
    """One handler, with the states before each of its instructions."""

    def __init__(self, program: Program, handler: Handler, proof: HandlerProof) -> None:
        self.program, self.handler = program, handler
        self.rules = Rules(program, handler.hook, proof.terms)
        self.states: dict[int, list[State]] = defaultdict(list)
        self.left: dict[int, int] = {}
        functions: dict[int, flow.Function] = {}
        for (entry, start), states in proof.states.items():
            if entry not in functions:
                functions[entry] = flow.function(handler.operations, entry)
            block = functions[entry].blocks[start]
            left = proof.remaining[(entry, start)].instructions if (entry, start) in proof.remaining else 0
            for number, pc in enumerate(block.pcs):
                self.left[pc] = max(self.left.get(pc, 0), left - number)
            for state in states:
                self._follow(block, state)

    def _follow(self, block: flow.Block, state: State) -> None:
        for pc in block.pcs:
            self.states[pc].append(state)
            if pc != block.pcs[-1]:
                state = transfer.step(self.rules, state, self.handler.operations[pc])

    def annotated(self) -> Annotated:
        source = self.program.debug.source
        if source is None or not self.handler.lines:
            rows = [self._row(pc, 0, disassemble_operation(op)) for pc, op in self.handler.operations.items()]
            return Annotated(self.handler.name, _changes(rows))
        texts = source.text.split("\n")
        first: dict[int, int] = {}
        for pc in self.handler.operations:
            info = self.handler.line_at(pc)
            if info is not None and 0 < info.line <= len(texts):
                first.setdefault(info.line, pc)
        rows = [self._row(pc, line, texts[line - 1].strip()) for line, pc in sorted(first.items())]
        return Annotated(self.handler.name, tuple(rows) if self.handler.names else _changes(rows))

    def _row(self, pc: int, line: int, text: str) -> Row:
        states = self.states.get(pc)
        if not states:
            return Row(pc, line, text, (), None)
        named = self._named(pc, states) if self.handler.names else self._places(states)
        facts = [*self._length(states), *(Fact(name, known) for name, known in named.items())]
        return Row(pc, line, text, tuple(facts), self.left[pc])

    def _length(self, states: Sequence[State]) -> Iterator[Fact]:
        """Yield what is known of the length of the message's body, if anything is."""
        known = reduce(scalars.join, (state.length for state in states))
        has_body = any(field.kind is FieldKind.DATA for field in self.rules.hook.fields)
        if has_body and (known.umin > 0 or known.umax < BODY_BYTES):
            yield Fact("the message body", f"{describe(known)} bytes")

    def _named(self, pc: int, states: Sequence[State]) -> dict[str, str]:
        found = {}
        for name in self.handler.names:
            if name.first_pc <= pc <= name.last_pc:
                known = self._of_name(name, states)
                if known not in ("", _ANY):
                    found[name.name] = known
        return found

    def _of_name(self, name: ValueName, states: Sequence[State]) -> str:
        match name.place:
            case Constant(value):
                return str(value)
            case Register(number):
                values = [state.registers[number] for state in states]
            case StackSlot(offset) if not name.type.startswith("[") and -stacks.SIZE <= offset <= -_WORD:
                values = [stacks.load(self.rules.terms, s.frames[-1].stack, offset, _WORD) for s in states]
            case _:
                return ""
        if any(value is None for value in values):
            return ""  # it is not read any more
        if name.type == "bool" and any(not isinstance(v, Number) or v.scalar.umax > 1 for v in values):
            return ""  # in the lowest bit only
        return self._known([_moved(value, name.plus) for value in values], states)

    def _places(self, states: Sequence[State]) -> Mapping[str, str]:
        """Return what is known of each register and each stack slot that has been set in every state."""
        found = {}
        for number in range(FRAME_POINTER):
            values = [state.registers[number] for state in states]
            if all(value is not None for value in values):
                found[f"r{number}"] = self._known(values, states)
        slots = set.intersection(*(set(state.frames[-1].stack) for state in states))
        for slot in sorted(slots, reverse=True):
            offset = _WORD * slot - stacks.SIZE
            values = [stacks.load(self.rules.terms, s.frames[-1].stack, offset, _WORD) for s in states]
            if all(value is not None for value in values):
                found[f"r10{offset}"] = self._known(values, states)
        return found

    def _known(self, values: Sequence[Value], states: Sequence[State]) -> str:
        numbers = [value.scalar for value in values if isinstance(value, Number)]
        texts = [describe(reduce(scalars.join, numbers))] if numbers else []
        others = zip(values, states, strict=True)
        texts += dict.fromkeys(self._other(v, state) for v, state in others if not isinstance(v, Number))
        return " or ".join(texts)

    def _other(self, value: Value, state: State) -> str:
        if isinstance(value, Pointer) and value.region.kind is Kind.BODY and value.scalar.is_constant:
            end = state.length.umin
            start = value.scalar.smin
            if start == 0 and value.symbol == 0 and end:
                return f"bytes 0..{end} of the message body"
        return describe_value(self.rules, value)


def _moved(value: Value, by: int) -> Value:
    """Return a value plus a number of bytes."""
    if not by or not isinstance(value, Number | Pointer):
        return value
    moved: Scalar = shifted(value.scalar, wrap(by))
    return value._replace(scalar=moved, delta=wrap(value.delta + by))


def _changes(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Return the rows with only those facts that the row before has not."""
    found = []
    before: frozenset[Fact] = frozenset()
    for row in rows:
        fresh = tuple(fact for fact in row.facts if fact not in before)
        found.append(Row(row.pc, row.line, row.text, fresh, row.instructions))
        before = frozenset(row.facts)
    return tuple(found)
