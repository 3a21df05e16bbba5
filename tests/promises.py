"""One random program: what the verifier says of it, and whether it keeps what was proved when it runs.

Kept means: no fault; no count above the bound; and before every instruction that the checked interpreter executes the
verifier's states describe the machine (`stepping`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count

from random_bytecode import CONTEXT_BYTES, GRAFT, MEMORY, MEMORY_BYTES, RAW, Generator
from stepping import Moment, States, graft_steps, raw_steps

import jit
import verifier
from grafting import GraftError, Program, hooks, limits
from grafting.assembly import assembler
from grafting.isa import REGISTERS, Branch
from grafting.program import Handler, MapKind, MapSpec, OpSpec, ProtocolSpec, SlotSpec
from jit.activation import run_raw
from jit.faults import Fault, FaultKind
from verifier.verify import HandlerProof

BOUNDARIES = (0, 1, 2, 3, 7, 8, 9, 63, 64, 127, 128, 255, 256, 4096, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 32,
              1 << 63, (1 << 64) - 1, (1 << 64) - 8)  # fmt: skip
LENGTHS = (0, 1, 8, 9, 16, 24, 64, 65, 72, 80, 255, 256, 4096)
FUEL = 20_000  # instructions; longer runs are cut off
POINTS = 250  # of a run, at which the machine is held against the states
INPUTS = 2  # runs of an accepted program
PATIENCE = 5  # readings of the verifier's clock, one in 1024 instructions looked at
KINDS = (RAW, MEMORY, GRAFT)

MAPS = (
    MapSpec("wanted", MapKind.HASH, 8, 8, 64),
    MapSpec("table", MapKind.ARRAY, 4, 16, 4),
    MapSpec(".rodata", MapKind.ARRAY, 4, 16, 1, initial=bytes(8) + (7).to_bytes(8, "little"), read_only=True),
    MapSpec(".bss", MapKind.ARRAY, 4, 16, 1),
)
DISK = SlotSpec("disk", ProtocolSpec("block", (OpSpec("read", 0, 8, 8), OpSpec("write", 1, 0, 4096))))


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a program. `rejected`: the code, or "". `runs`, `points`: how much it was watched.

    `broken`: the promise that a run broke, or "": it begins with "fault", "count" or "state".
    """

    kind: str
    branches: bool
    rejected: str = ""
    runs: int = 0
    points: int = 0
    broken: str = ""


def program_of(kind: str, seed: int, boldness: float | None = None) -> Program:
    """Return the random program of a kind and a seed."""
    text = Generator(seed, kind, boldness).program()
    if kind == RAW:
        return Program.from_assembly(text, hooks.raw_context(CONTEXT_BYTES))
    if kind == MEMORY:
        return Program.from_assembly(text, hooks.raw_memory(MEMORY_BYTES))
    handler = Handler("reply", hooks.GRAFT_HOOKS["reply"], assembler.assemble(text), maps=len(MAPS))
    return Program("random", (handler,), MAPS, (DISK,))


def mutant_of(kind: str, seed: int) -> Program:
    """Return a random program of which one or two slots were changed: opcode, register, distance, immediate, order.

    Raises GraftError if it is not well formed any more.
    """
    source = random.Random(f"mutant {seed}")
    program = program_of(kind, seed, 0.0)
    code = list(program.handlers[0].instructions)
    for _ in range(source.choice((1, 1, 2))):
        at, other = source.randrange(len(code)), source.randrange(len(code))
        slot = code[at]
        match source.randrange(7):
            case 0:
                code[at] = replace(slot, opcode=slot.opcode ^ source.choice((1, 3, 4, 8, 0x10, 0x20, 0x40, 0x80)))
            case 1:
                code[at] = replace(slot, dst=source.randrange(REGISTERS))
            case 2:
                code[at] = replace(slot, src=source.randrange(REGISTERS))
            case 3:
                code[at] = replace(slot, offset=slot.offset + source.choice((-8, -4, -1, 1, 2, 4, 8)))
            case 4:
                near = max(-(1 << 31), min(slot.imm + source.choice((-1, 1)), (1 << 31) - 1))
                code[at] = replace(slot, imm=source.choice((0, 1, -1, 8, near, near, (1 << 31) - 1, -(1 << 31))))
            case 5:
                code[at] = code[other]
            case _:
                code[at], code[other] = code[other], slot
    return replace(program, handlers=(replace(program.handlers[0], instructions=tuple(code)),))


def judged(kind: str, seed: int, boldness: float | None = None) -> Report:
    """Verify the program of a kind and a seed and, if it is accepted, run it on boundary and random inputs."""
    return _judged(kind, seed, program_of(kind, seed, boldness))


def judged_mutant(kind: str, seed: int) -> Report:
    """Do the same with a mutant. One that is not well formed is rejected by the code that says so."""
    try:
        program = mutant_of(kind, seed)
    except GraftError as malformed:
        return Report(kind, branches=False, rejected=malformed.diagnostics[0].code)
    return _judged(kind, seed, program)


def _judged(kind: str, seed: int, program: Program) -> Report:
    handler = program.handlers[0]
    branches = any(isinstance(op, Branch) for op in handler.operations.values())
    try:
        proof = verifier.verify(program, clock=impatient_clock()).handlers[handler.name]
    except verifier.Rejected as rejected:
        return Report(kind, branches, rejected.diagnostics[0].code)
    source = random.Random(seed)
    states = States(program, handler, proof)
    runs = _graft_runs(program, proof, source) if kind == GRAFT else _raw_runs(program, proof, source)
    points = done = 0
    for broken, moments in runs:
        done += 1
        found, held = states.failure(moments)
        points += held
        if broken or found:
            return Report(kind, branches, "", done, points, broken or found)
    return Report(kind, branches, "", done, points)


def impatient_clock() -> Callable[[], float]:
    """Return a clock by which the verifier's time is over after PATIENCE readings."""
    readings = count()
    return lambda: next(readings) * limits.VERIFIER_SECONDS / PATIENCE


def word(source: random.Random, size: int) -> int:
    """Return an unsigned number of `size` bytes that lies on a boundary, is small, or is any."""
    value = source.choice((source.choice(BOUNDARIES), source.getrandbits(64), source.getrandbits(8)))
    return value & ((1 << 8 * size) - 1)


Run = tuple[str, Iterator[Moment]]
"""The promise that a run from start to end broke, or "", and the same run step by step."""


def _raw_runs(program: Program, proof: HandlerProof, source: random.Random) -> Iterator[Run]:
    size = program.handlers[0].hook.context_bytes
    for _ in range(INPUTS):
        memory = bytearray(size)
        for at in range(0, min(size, 48), 4):
            memory[at : at + 4] = word(source, 4).to_bytes(4, "little")
        if source.random() < 0.5:
            memory[8:16] = word(source, 8).to_bytes(8, "little")
        before = bytes(memory)
        outcome, fault = run_raw(program, memory, fuel=FUEL)
        yield (
            _broken(fault, outcome.instructions <= proof.bounds.instructions, proof),
            raw_steps(program, before, most=POINTS),
        )


def _graft_runs(program: Program, proof: HandlerProof, source: random.Random) -> Iterator[Run]:
    state = jit.GraftState(program)
    for key in range(4):
        state.maps["wanted"].set_raw(word(source, 8).to_bytes(8, "little"), word(source, 8).to_bytes(8, "little"))
        state.maps["table"].set_raw(key.to_bytes(4, "little"), source.randbytes(16))
    for _ in range(INPUTS):
        body = source.randbytes(source.choice(LENGTHS))
        message = jit.Message(tag=word(source, 8), badge=word(source, 8), op=source.choice((0, 1)), body=body, slot=0)
        before = state.snapshot()
        done = jit.activate(program, "reply", message, state, fuel=FUEL)
        broken = _broken(done.fault, done.fault is not None or proof.bounds.covers(done.cost), proof)
        after = state.snapshot()
        state.restore(before)
        yield broken, graft_steps(state, program.handlers[0], message, most=POINTS)
        state.restore(after)


def _broken(fault: Fault | None, covered: bool, proof: HandlerProof) -> str:
    """Return the promise that a run broke, if it did. To run out of FUEL is allowed if the bound is greater."""
    if fault is not None and (fault.kind is not FaultKind.OUT_OF_FUEL or proof.bounds.instructions <= FUEL):
        return f"fault: {fault}"
    return "" if covered else "count above the bound"
