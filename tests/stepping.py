"""Runs a program in the checked interpreter one instruction at a time, and holds a verifier's states against it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

import jit
from grafting.program import Program
from jit import interpreter, machine
from jit.memory import BODY, CONTEXT, MAPS, STACK
from verifier import scalar as scalars
from verifier.pointers import Kind
from verifier.stack import Pieces
from verifier.state import State
from verifier.values import Handle, Number, Pointer
from verifier.verify import HandlerProof

_BASES = {Kind.CONTEXT: CONTEXT << 32, Kind.BODY: BODY << 32, Kind.MEMORY: BODY << 32}


@dataclass
class Moment:
    """What the machine holds before the instruction at `pc`: registers, depth of calls, and each frame's bytes."""

    pc: int
    registers: list[int]
    depth: int
    frames: list[bytes]


def steps(program: Program, context: bytes, *, most: int) -> Iterator[Moment]:
    """Yield the machine before each instruction, at most `most` of them; raises AssertionError if it faults."""
    state = jit.GraftState(program)
    m = state.machine
    control = m.control[0]
    at = int(control["context_at"])
    state.arena[at : at + len(context)] = np.frombuffer(context, np.uint8)
    number = state.placement.handlers[program.handlers[0].name]
    machine.begin(m, number, state.body_at, 0, 0, 0, machine.CHECKING)
    for _ in range(most):
        depth = int(control["depth"])
        base = int(control["stack_at"])
        frames = [state.arena[base + 512 * f : base + 512 * (f + 1)].tobytes() for f in range(depth + 1)]
        yield Moment(int(control["pc"] - control["code_base"]), [int(r) for r in m.registers[:11]], depth, frames)
        control["fuel"] = 1
        outcome = interpreter.run(m)
        assert outcome in (machine.EXITED, machine.EXHAUSTED), f"faulted at {control['fault_pc']}"
        if outcome == machine.EXITED:
            return


def describes(program: Program, state: State, moment: Moment) -> bool:
    """Return whether a state describes the machine: every register and every tracked byte of the stack."""
    if state.depth != moment.depth:
        return False
    if not all(_holds(program, value, word) for value, word in zip(state.registers, moment.registers, strict=True)):
        return False
    for frame, data in zip(state.frames, moment.frames, strict=True):
        for slot, content in frame.stack.items():
            word = data[8 * slot : 8 * slot + 8]
            if isinstance(content, Pieces):
                for part in content.parts:
                    held = int.from_bytes(word[part.start : part.start + part.size], "little")
                    if not _holds(program, part.value, held):
                        return False
            elif not _holds(program, content, int.from_bytes(word, "little")):
                return False
    return True


def _holds(program: Program, value: object, word: int) -> bool:
    match value:
        case Number(scalar):
            return scalars.contains(scalar, word)
        case Pointer(region, scalar):
            if region.nullable and word == 0:
                return True
            if region.kind is Kind.STACK:
                base = (STACK + region.frame << 32) + 512
            elif region.kind is Kind.VALUE:
                return any((word >> 32) - MAPS == index for index in region.maps)
            else:
                base = _BASES[region.kind]
            return scalars.contains(scalar, word - base & (1 << 64) - 1)
        case Handle():
            return True
        case _:
            return True


def undescribed(program: Program, proof: HandlerProof, context: bytes, *, most: int) -> Moment | None:
    """Return the first moment at the start of a block that none of its states describes, None if there is none."""
    at_block: dict[int, list[State]] = {}
    for (_function, block), states in proof.states.items():
        at_block.setdefault(block, []).extend(states)
    for moment in steps(program, context, most=most):
        if moment.pc in at_block and not any(describes(program, s, moment) for s in at_block[moment.pc]):
            return moment
    return None
