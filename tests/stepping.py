"""Runs a program in the checked interpreter one instruction at a time, and holds a verifier's states against it.

A proof keeps states at the starts of blocks. `States` computes those in between by the verifier's own `transfer`, from
each of them apart: of the states that describe the machine at the start of a block one must do so to the end.

To describe is more than that each word is in its scalar. Places with one symbol must agree on its word; the symbol of
the body's length must be the length, and that of a term what its operands' words give (`terms`); the body must be as
long as `reach` says, and numbers linked as `links` says. (A state may pass that for a while and yet not be the one:
words that it has no place for any more are not held against it.)

A state is of one function, and code may be of two: if one runs on into another that is called as well, the same
instruction begins a block of the second and is inside a block of the first, with other states. So a run is held
against those of the function that it is in, which is where its call led to (`Moment.depth`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

import jit
from grafting.isa import Branch, CallLocal, Exit, Goto
from grafting.program import Handler, Program
from jit import interpreter, machine
from jit.dispatch import filled_slots
from jit.effects import Effects
from jit.memory import BODY, CONTEXT, HANDLE_BASE, MAPS, STACK
from verifier import flow, operators, transfer
from verifier import scalar as scalars
from verifier.pointers import Kind
from verifier.rules import Rules
from verifier.scalar import Scalar
from verifier.stack import Pieces
from verifier.state import State
from verifier.terms import LENGTH, ZERO
from verifier.values import Handle, Number, Pointer
from verifier.verify import HandlerProof
from verifier.words import W64

_BASES = {Kind.CONTEXT: CONTEXT << 32, Kind.BODY: BODY << 32, Kind.MEMORY: BODY << 32}
_WORD = (1 << 64) - 1
_ENTRIES = 256  # at least as many as a map here has places for values


class Faulted(Exception):
    """An accepted program did what it must not."""


@dataclass
class Moment:
    """What the machine holds before the instruction at `pc`: registers, depth of calls, and each frame's bytes."""

    pc: int
    registers: list[int]
    depth: int
    frames: list[bytes]
    length: int


def raw_steps(program: Program, memory: bytes, *, most: int) -> Iterator[Moment]:
    """Yield the machine before each instruction of a raw program, at most `most` of them; raises Faulted."""
    state = jit.GraftState(program)
    handler = program.handlers[0]
    is_memory = handler.hook.memory == "memory"
    at = state.body_at if is_memory else int(state.machine.control[0]["context_at"])
    state.arena[at : at + len(memory)] = np.frombuffer(memory, np.uint8)
    yield from _steps(state, handler, None, len(memory) if is_memory else 0, most)


def graft_steps(state: jit.GraftState, handler: Handler, message: jit.Message, *, most: int) -> Iterator[Moment]:
    """Yield the machine before each instruction of a graft's handler; raises Faulted. The state is changed."""
    body, event = message.body, handler.hook.event
    assert event is not None
    state.arena[state.body_at : state.body_at + len(body)] = np.frombuffer(body, np.uint8)
    machine.write_context(
        state.machine, len(body), message.tag, message.badge, 0, message.op, message.status,
        message.slot_for(event), event.value, message.ncaps, message.flags,
    )  # fmt: skip
    filled = filled_slots(state.program, None)
    effects = Effects(state.program, filled, message, 0, state.timers, state.held)
    yield from _steps(state, handler, effects, len(body), most)


def _steps(
    state: jit.GraftState, handler: Handler, effects: Effects | None, length: int, most: int
) -> Iterator[Moment]:
    m = state.machine
    control = m.control[0]
    body = 0 if effects is None else length  # the memory of a raw program is no body
    number = state.placement.handlers[handler.name]
    machine.begin(m, number, state.body_at, length, 0, 0, machine.CHECKING)
    for _ in range(most):
        depth, base = int(control["depth"]), int(control["stack_at"])
        frames = [state.arena[base + 512 * f : base + 512 * (f + 1)].tobytes() for f in range(depth + 1)]
        pc = int(control["pc"] - control["code_base"])
        yield Moment(pc, [int(r) for r in m.registers[:11]], depth, frames, body)
        control["fuel"] = 1
        outcome = interpreter.run(m)
        if outcome == machine.HELPER:
            assert effects is not None
            outcome = machine.EXHAUSTED if effects.serve(m) else machine.FAULTED
        if outcome == machine.EXITED:
            return
        if outcome != machine.EXHAUSTED:
            raise Faulted(f"fault {control['fault_kind']} at {control['fault_pc']}")


class States:
    """What a proof says of every instruction: the states before it, each with the number of its ancestor.

    `starts`: the ancestors, the states at the starts of blocks, by function and pc. `inside`: what became of them
    within their blocks, by pc and ancestor.
    """

    def __init__(self, program: Program, handler: Handler, proof: HandlerProof) -> None:
        self.program, self.terms = program, proof.terms
        self.starts: dict[tuple[int, int], list[tuple[int, State]]] = defaultdict(list)
        self.inside: dict[int, dict[int, State]] = defaultdict(dict)
        rules = Rules(program, handler.hook, proof.terms)
        functions = {entry: flow.function(handler.operations, entry) for entry, _ in proof.states}
        self.blocks = {(entry, start) for entry, function in functions.items() for start in function.blocks}
        ancestor = 0
        for (entry, block), states in proof.states.items():
            for state in states:
                ancestor += 1
                self.starts[entry, block].append((ancestor, state))
                self._follow(rules, handler, functions[entry].blocks[block], ancestor, state)

    def _follow(self, rules: Rules, handler: Handler, block: flow.Block, ancestor: int, state: State) -> None:
        for pc, following in zip(block.pcs, block.pcs[1:], strict=False):
            op = handler.operations[pc]
            assert not isinstance(op, Branch | CallLocal | Exit | Goto)
            state = transfer.step(rules, state, op)
            self.inside[following][ancestor] = state

    def failure(self, moments: Iterator[Moment]) -> tuple[str, int]:
        """Return what went wrong in a run ("fault: .." or "state: .."), or "", and the points up to there."""
        alive: list[int] = []
        entries: list[int] = []  # of the functions that are active, the handler's first
        points = 0
        try:
            for moment in moments:
                points += 1
                del entries[moment.depth + 1 :]
                called = moment.depth == len(entries)
                if called:
                    entries.append(moment.pc)
                place = entries[-1], moment.pc
                if called or place in self.blocks:
                    candidates = self.starts[place]
                else:
                    candidates = [(number, self.inside[moment.pc][number]) for number in alive]
                judged = [(number, self.misdescribed(state, moment)) for number, state in candidates]
                alive = [number for number, wrong in judged if not wrong]
                if not alive:
                    return f"state: none describes {moment.pc}: {[wrong for _, wrong in judged]}", points
        except Faulted as fault:
            return f"fault: {fault}", points
        return "", points

    def misdescribed(self, state: State, moment: Moment) -> str:
        """Return how a state does not describe the machine, "" if it does."""
        if state.depth != moment.depth:
            return "the depth of calls"
        words = {ZERO: 0, LENGTH: moment.length}
        if not scalars.contains(state.length, moment.length):
            return f"a body of {moment.length} bytes"
        for number, (value, word) in enumerate(zip(state.registers, moment.registers, strict=True)):
            if value is not None and not self._holds(value, word, words):
                return f"r{number} is {word:#x}"
        for frame, data in zip(state.frames, moment.frames, strict=True):
            for slot, content in frame.stack.items():
                word = int.from_bytes(data[8 * slot : 8 * slot + 8], "little")
                if isinstance(content, Pieces):
                    for part in content.parts:
                        held = word >> 8 * part.start & (1 << 8 * part.size) - 1
                        if not self._holds(part.value, held, words):
                            return f"bytes {part.start}+{part.size} of slot {slot} are {held:#x}"
                elif not self._holds(content, word, words):
                    return f"slot {slot} is {word:#x}"
        for symbol, reach in state.reach:
            if symbol in words and words[symbol] + reach > moment.length:
                return f"the body does not reach {reach} bytes from {words[symbol]}"
        return self._unlinked(state, words) or self._miscomputed(words)

    def _unlinked(self, state: State, words: dict[int, int]) -> str:
        """Return a link of two numbers that does not hold, "" if there is none."""
        for link in state.links:
            if link.a[0] in words and link.b[0] in words:
                a, b = (words[symbol] + delta & _WORD for symbol, delta in (link.a, link.b))
                if b - link.b0 != link.factor * (a - link.a0):
                    return f"{link} does not hold of {a:#x} and {b:#x}"
        return ""

    def _holds(self, value: object, word: int, words: dict[int, int]) -> bool:
        """Return whether a value describes a word, given what the symbols stand for; adds its own symbol to `words`."""
        match value:
            case Number(scalar, symbol, delta):
                named = word - delta & _WORD
                return _contains(scalar, word) and words.setdefault(symbol, named) == named
            case Pointer(region, scalar, symbol, delta):
                if region.nullable and word == 0:
                    return True
                if region.kind is Kind.VALUE:
                    return any(self._in_value(scalar, word, index) for index in region.maps)
                base = (STACK + region.frame << 32) + 512 if region.kind is Kind.STACK else _BASES[region.kind]
                offset = word - base & _WORD
                named = offset - delta & _WORD
                return _contains(scalar, offset) and words.setdefault(symbol, named) == named
            case Handle(maps):
                return word in {HANDLE_BASE + index << 32 for index in maps}
            case _:
                return True

    def _in_value(self, scalar: Scalar, word: int, index: int) -> bool:
        """Return whether an address may be at such an offset of one of a map's values."""
        stride = -(-self.program.maps[index].value_size // 8) * 8
        offset = word - (MAPS + index << 32)
        nearest = min(max(offset // stride, 0), _ENTRIES)
        return any(scalars.contains(scalar, offset - stride * n & _WORD) for n in range(nearest, -1, -1))

    def _miscomputed(self, words: dict[int, int]) -> str:
        """Return a term whose word is not what its operands give, "" if there is none."""
        known = dict(words)
        for symbol, word in words.items():
            computed = self._computed(symbol, known)
            if computed is not None and computed != word:
                return f"symbol {symbol} is {word:#x}, its operands give {computed:#x}"
        return ""

    def _computed(self, symbol: int, known: dict[int, int]) -> int | None:
        """Return what a term's operands give, None if that is not known; adds to `known` what is found on the way."""
        term = self.terms.definition(symbol)
        if term is None:
            return None
        operands = []
        for operand, delta in (term.a, term.b):
            if operand not in known:
                found = self._computed(operand, known)
                if found is None:
                    return None
                known[operand] = found
            operands.append(known[operand] + delta & _WORD)
        w = W64 if term.is64 else W64.half
        return operators.evaluate(w, term.operator, operands[0] & w.mask, operands[1] & w.mask)


def _contains(scalar: Scalar, word: int) -> bool:
    return scalar.value == word if scalar.is_constant else scalars.contains(scalar, word)
