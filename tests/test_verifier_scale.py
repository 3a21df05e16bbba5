"""Size and malice: large programs are verified at a price per instruction, hostile ones refused within the limits.

What is counted is steps, so that these tests mean the same on every machine; `benchmarks/verifier.py` has the seconds.
"""

from __future__ import annotations

from itertools import islice

import hostile_programs
import large_programs
import pytest

import grafting
import verifier
from grafting import Program, hooks, limits
from verifier.meter import allowance

HOOK = hooks.raw_context(192)


def raw(text: str) -> Program:
    return Program.from_assembly(text, HOOK)


@pytest.mark.parametrize("shape", large_programs.SHAPES)
def test_a_large_program_is_accepted_and_costs_a_few_steps_an_instruction(shape: str) -> None:
    program = grafting.compile_graft(large_programs.source(shape, 100, seed=1))
    instructions = sum(len(handler.operations) for handler in program.handlers)
    steps = sum(proof.steps for proof in verifier.verify(program).handlers.values())
    assert instructions > 250
    assert steps < limits.VERIFIER_STEPS_EACH * instructions


@pytest.mark.parametrize("size", [50, 200])
def test_the_price_of_an_instruction_does_not_grow_with_the_program(size: int) -> None:
    program = grafting.compile_graft(large_programs.source("dispatcher", size, seed=2))
    (proof,) = verifier.verify(program).handlers.values()
    assert proof.steps < 2 * len(program.handlers[0].operations)


def test_a_loop_with_a_ranking_costs_the_same_however_often_it_runs() -> None:
    steps = {
        verifier.verify(raw(f"r0 = 0\nL: r0 += 1\nif r0 < {trips} goto L\nexit\n")).handlers["main"].steps
        for trips in (10, 1_000, 1_000_000)
    }
    assert len(steps) == 1


def test_independent_branches_before_a_masked_index_cost_a_few_steps_each() -> None:
    branches = "".join(f"if r6 & {1 << n} goto L{n}\nr7 += {n}\nL{n}: r7 ^= {n}\n" for n in range(18))
    text = f"r6 = *(u64 *)(r1 + 0)\nr7 = 0\n{branches}r7 &= 7\nr3 = r10\nr3 += r7\n*(u8 *)(r3 - 8) = 1\nr0 = 0\nexit\n"
    program = raw(text)
    assert verifier.verify(program).handlers["main"].steps < 8 * len(program.handlers[0].operations)


# --- hostile input ---------------------------------------------------------------------------------------------------

EVERY_FIFTH = list(islice(hostile_programs.shapes(), 0, None, 5))


@pytest.fixture
def frugal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the limits: that they hold everywhere shows sooner."""
    monkeypatch.setattr(limits, "VERIFIER_STEPS_FREE", limits.VERIFIER_STEPS_FREE // 10)
    monkeypatch.setattr(limits, "VERIFIER_UNROLL_STEPS", limits.VERIFIER_UNROLL_STEPS // 10)


def code_or_steps(program: Program) -> str | int:
    """Return how many steps an accepted program took, or the first code of a refusal."""
    try:
        return verifier.verify(program).handlers["main"].steps
    except verifier.Rejected as refused:
        return refused.diagnostics[0].code


@pytest.mark.usefixtures("frugal")
@pytest.mark.parametrize(("name", "text"), EVERY_FIFTH, ids=[name for name, _ in EVERY_FIFTH])
def test_a_hostile_program_is_answered_within_its_steps(name: str, text: str) -> None:
    try:
        program = raw(text)
    except grafting.GraftError:
        pytest.skip("longer than a jump reaches")
    found = code_or_steps(program)
    if isinstance(found, int):
        assert found <= allowance(len(program.handlers[0].operations), 1)
    else:
        assert found in {"G0602", "G0603", "G0621", "G0622"}


@pytest.mark.usefixtures("frugal")
def test_random_loops_in_loops_are_answered() -> None:
    found = {code_or_steps(raw(hostile_programs.loops_at_random(seed))) for seed in range(30)}
    codes = {what for what in found if isinstance(what, str)}
    assert codes <= {"G0601", "G0602", "G0603", "G0621", "G0622"}
    assert codes != found


def test_the_answer_does_not_depend_on_the_clock() -> None:
    text = dict(hostile_programs.shapes())["with its own negative"]

    def answer(clock_step: float) -> str:
        now = iter(n * clock_step for n in range(1_000_000))
        with pytest.raises(verifier.Rejected) as refused:
            verifier.verify(raw(text), clock=lambda: next(now))
        return refused.value.diagnostics[0].message

    assert answer(0.0) == answer(limits.VERIFIER_SECONDS / 1_000)


def test_a_clock_that_runs_away_ends_the_work() -> None:
    now = iter(2 * n * limits.VERIFIER_SECONDS for n in range(1_000_000))
    with pytest.raises(verifier.Rejected, match="seconds have passed"):
        verifier.verify(raw("r0 = r1\n" + "r6 = 1\n" * 3000 + "r0 = 0\nexit\n"), clock=lambda: next(now))


def test_many_states_are_too_complex_not_too_much_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "VERIFIER_NODES", 1000)
    skips = "if r6 > r7 goto +1\nr6 += 1\n" * 600
    with pytest.raises(verifier.Rejected) as refused:
        verifier.verify(raw(f"r6 = *(u64 *)(r1 + 0)\nr7 = *(u64 *)(r1 + 8)\n{skips}r0 = 0\nexit\n"))
    assert refused.value.diagnostics[0].code == "G0622"


def test_the_handlers_of_a_program_share_what_is_free() -> None:
    assert allowance(10, 64) == 10 * limits.VERIFIER_STEPS_EACH + limits.VERIFIER_STEPS_FREE // 64
    assert allowance(10**6, 1) == limits.VERIFIER_STEPS
