"""What the verifier accepts does not misbehave: random bytecode, run by the checked interpreter on boundary inputs.

Accepted means: no fault, no count above the proven bound, and at the start of every block one of the proof's states
describes the machine, register by register and byte by byte of the stack. The last test shows that this can fail.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from machines import WANTED, graft
from random_bytecode import graft_program, raw_program
from stepping import undescribed

import jit
import verifier
from grafting import Program, hooks
from grafting.program import MapKind, MapSpec
from jit.activation import run_raw
from verifier import explore, ranking

BOUNDARIES = (
    0,
    1,
    2,
    7,
    8,
    63,
    64,
    127,
    128,
    255,
    256,
    4096,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    1 << 63,
    (1 << 64) - 1,
)
TABLE = MapSpec("table", MapKind.ARRAY, 4, 16, 4)
FUEL = 100_000  # longer bounds are not run to their end
SEEDS = range(90)


def word(source: random.Random, size: int) -> int:
    value = source.choice((source.choice(BOUNDARIES), source.getrandbits(64), source.getrandbits(8)))
    return value & ((1 << 8 * size) - 1)


def context(source: random.Random) -> bytearray:
    memory = bytearray(192)
    for at, size in ((0, 4), (8, 4), (16, 8), (24, 8)):
        memory[at : at + size] = word(source, size).to_bytes(size, "little")
    return memory


def broken_promise(seed: int) -> str | None:
    """Return how a raw program that was accepted breaks what was proved, None if it does not or was rejected."""
    program = Program.from_assembly(raw_program(seed), hooks.raw_context(192))
    try:
        proof = verifier.verify(program).handlers["main"]
    except verifier.Rejected:
        return None
    source = random.Random(seed)
    for _ in range(4):
        memory = context(source)
        outcome, fault = run_raw(program, memory, fuel=FUEL)
        if fault is not None and (proof.bounds.instructions <= FUEL or "fuel" not in str(fault)):
            return f"seed {seed}: {fault}"
        if outcome.instructions > proof.bounds.instructions:
            return f"seed {seed}: {outcome.instructions} instructions, proved {proof.bounds.instructions}"
        moment = undescribed(program, proof, bytes(memory), most=400)
        if moment is not None:
            return f"seed {seed}: no state describes instruction {moment.pc}"
    return None


def test_accepted_raw_programs_keep_what_was_proved() -> None:
    assert [found for seed in SEEDS if (found := broken_promise(seed))] == []


def test_accepted_grafts_neither_fault_nor_exceed_any_count() -> None:
    accepted = 0
    for seed in SEEDS:
        program = graft({"reply": graft_program(seed)}, maps=[WANTED, TABLE])
        try:
            proof = verifier.verify(program).handlers["reply"]
        except verifier.Rejected:
            continue
        accepted += 1
        source = random.Random(seed)
        for _ in range(3):
            body = source.randbytes(source.choice((0, 1, 8, 9, 16, 64, 65, 72, 80, 255, 256)))
            message = jit.Message(
                tag=word(source, 8), badge=word(source, 8), op=source.choice((0, 1)), body=body, slot=0
            )
            done = jit.activate(program, "reply", message, jit.GraftState(program), fuel=FUEL)
            if done.fault is None:
                assert proof.bounds.covers(done.cost), seed
            else:
                assert proof.bounds.instructions > FUEL, (seed, done.fault)
    assert accepted > len(SEEDS) // 8  # the generator is worth its time


def _a_round_too_few(monkeypatch: pytest.MonkeyPatch) -> None:
    climb = ranking._climb
    monkeypatch.setattr(ranking, "_climb", lambda *a: max(0, n - 1) if (n := climb(*a)) is not None else None)


def _one_path_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explore.Explorer, "merged", lambda self, function, block, nodes: nodes[:1])


@pytest.mark.parametrize("flaw", [_a_round_too_few, _one_path_only])
def test_a_flaw_is_found(flaw: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    flaw(monkeypatch)
    assert any(broken_promise(seed) for seed in SEEDS)
