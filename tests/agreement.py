"""What engines must agree on: one program, one input, everything that can be observed.

`accepted` gives the random programs of `random_bytecode` that are verified; `observed` runs one on a random input in
one engine, `against_linux` on several in the real Linux JIT and natively.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import promises
from random_bytecode import GRAFT, MEMORY_BYTES

import jit
import verifier
from grafting.isa import Instruction
from jit.activation import run_raw
from jit.native.batches import Asked
from kernel_model.linux import bpf

LONGEST = 20_000  # instructions; programs with a greater bound are left out


def accepted(kind: str, first: int, count: int) -> Iterator[tuple[int, verifier.Verified]]:
    """Yield the accepted ones of `count` programs of a kind, from seed `first` on, with their seeds."""
    for seed in range(first, first + count):
        try:
            found = verifier.verify(promises.program_of(kind, seed), clock=promises.impatient_clock())
        except verifier.Rejected:
            continue
        if found.bounds.instructions <= LONGEST:
            yield seed, found


# --- inputs -----------------------------------------------------------------------------------------------------------


def memory_of(size: int, number: int) -> bytes:
    """Return the memory of a raw program for input `number`."""
    source = random.Random(f"memory {number}")
    width = source.choice((4, 8))
    return b"".join(promises.word(source, width).to_bytes(width, "little") for _ in range(size // width))


def message_of(number: int) -> jit.Message:
    """Return the message of a graft for input `number`."""
    source = random.Random(f"message {number}")
    body = source.randbytes(source.choice(promises.LENGTHS))
    return jit.Message(promises.word(source, 8), promises.word(source, 8), source.choice((0, 1)),
                       source.choice((0, -5)), 0, body, promises.word(source, 4), source.randrange(5))  # fmt: skip


def state_of(subject: verifier.Verified, number: int) -> jit.GraftState:
    """Return a state with something in its maps."""
    source = random.Random(f"state {number}")
    state = jit.GraftState(subject, seed=number)
    for _ in range(source.randrange(8)):
        state.maps["wanted"].set_raw(promises.word(source, 8).to_bytes(8, "little"), source.randbytes(8))
    state.maps["table"].set_raw(source.randrange(4).to_bytes(4, "little"), source.randbytes(16))
    state.timers[promises.word(source, 8)] = 5
    return state


# --- this project's engines -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Seen:
    """What one run can be told by: the result, memory or state afterwards, effects, counts."""

    result: int | None
    memory: object
    effects: tuple[object, ...] = ()
    counts: tuple[object, ...] = ()

    def without_counts(self) -> Seen:
        return replace(self, counts=())


def observed(kind: str, subject: verifier.Verified, number: int, engine: str) -> Seen:
    """Run a program on input `number` in "python", "numba", "native", or "uncounted": native, and not counting."""
    if kind == GRAFT:
        return activated(subject, "reply", message_of(number), state_of(subject, number), engine)
    memory = bytearray(memory_of(subject.program.handlers[0].hook.context_bytes, number))
    if engine == "uncounted":
        return Seen(jit.compile_native(subject).run(memory), bytes(memory))
    outcome, fault = run_raw(subject, memory, engine=engine)
    assert fault is None, fault
    return Seen(outcome.r0, bytes(memory), counts=(outcome.instructions,))


def activated(subject: verifier.Verified, event: str, message: jit.Message, state: jit.GraftState, engine: str) -> Seen:
    """Run a graft's handler."""
    if engine == "uncounted":
        batch = jit.Batch.of([message], event)
        many = jit.activate_many(jit.compile_native(subject), event, batch, state, clock=12345)
        return Seen(int(many.verdicts[0]), state.snapshot(), _effects(many.effects.get(0, Asked())))
    done = jit.activate(subject, event, message, state, clock=12345, engine=engine)
    assert done.fault is None, done.fault
    return Seen(done.verdict, state.snapshot(), _effects(done), (replace(done.cost, stack_bytes=0),))


def _effects(done: jit.Activation | Asked) -> tuple[object, ...]:
    return (done.outbox, done.answer, done.timers, done.releases, done.hints)


# --- Linux ------------------------------------------------------------------------------------------------------------

_MAP_VALUE = (Instruction(0x18, 1, 2, 0, 0), Instruction(0, 0, 0, 0, 0))  # r1 = value of the only element of map fd
_KEY = bytes(4)
_PACKET = bytes(64)


class Both(NamedTuple):
    """Low half of r0 and the memory afterwards, there and here."""

    there: tuple[int, bytes]
    here: tuple[int, bytes]


def against_linux(subject: verifier.Verified, numbers: Iterable[int]) -> Iterator[Both]:
    """Run a program of `raw_memory` in the Linux JIT and natively on inputs; yields nothing if Linux refuses it.

    There the memory is the value of an array, whose address stands in the program. Raises bpf.BpfError.
    """
    engine = jit.compile_native(subject)
    descriptor = bpf.create_map(bpf.MapType.ARRAY, len(_KEY), MEMORY_BYTES, 1)
    try:
        start = (replace(_MAP_VALUE[0], imm=descriptor), _MAP_VALUE[1], Instruction(0xB7, 2, 0, 0, MEMORY_BYTES))
        code = (*start, *subject.program.handlers[0].instructions)
        with bpf.loaded(code, bpf.ProgramType.SOCKET_FILTER) as (program, _):
            for number in numbers:
                memory = bytearray(memory_of(MEMORY_BYTES, number))
                bpf.update_map(descriptor, _KEY, bytes(memory))
                result, _ = bpf.run_filter(program, _PACKET, 1)
                there = (result, bpf.lookup_map(descriptor, _KEY, MEMORY_BYTES) or b"")
                yield Both(there, (engine.run(memory) & 0xFFFF_FFFF, bytes(memory)))
    except bpf.Refused:
        return
    finally:
        os.close(descriptor)
