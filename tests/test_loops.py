"""Loops: those of tests/cases/loops.yaml end, after at most as long as is proved; those of loops_endless.yaml do not.

A bound is held against a run of the checked interpreter with the worst input. Bounds count instructions by class, so a
wrong coefficient of one class shows where the total would hide it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import random_loops
import yaml

import verifier
from grafting import Program, hooks
from jit.activation import run_raw
from verifier import cost, expense, ranking, shapes
from verifier.expense import Measure, descending, value

CASES = Path(__file__).parent / "cases"
HOOK = hooks.raw_context(192)
ENDING: list[dict[str, Any]] = yaml.safe_load((CASES / "loops.yaml").read_text())
ENDLESS: list[dict[str, Any]] = yaml.safe_load((CASES / "loops_endless.yaml").read_text())
RUN = 30_000  # instructions: longer bounds are held against what arithmetic says, or not run here
STEPS = 1500


def program(case: dict[str, Any]) -> Program:
    return Program.from_assembly(case["code"].replace("; ", "\n"), HOOK)


def memory(words: dict[int, int]) -> bytearray:
    found = bytearray(192)
    for at, word in words.items():
        found[at : at + 4] = word.to_bytes(4, "little")
    return found


@pytest.mark.parametrize("case", ENDING, ids=lambda case: case["name"])
def test_a_loop_that_ends_is_accepted_with_a_tight_bound(case: dict[str, Any]) -> None:
    verified = verifier.verify(program(case))
    bound = verified.bounds.instructions
    assert verified.handlers["main"].steps <= case.get("steps", STEPS)
    if "bound" in case:
        assert bound == case["bound"]
    elif bound <= RUN:
        outcome, fault = run_raw(program(case), memory(case.get("worst", {})))
        assert fault is None
        assert outcome.instructions <= bound <= outcome.instructions * case.get("ratio", 1)


@pytest.mark.parametrize("case", ENDLESS, ids=lambda case: case["name"])
def test_a_loop_without_an_end_is_rejected(case: dict[str, Any]) -> None:
    with pytest.raises(verifier.Rejected) as caught:
        verifier.verify(program(case))
    assert caught.value.diagnostics[0].code in ("G0621", "G0622")
    if "last" in case:
        _outcome, fault = run_raw(program(case), memory(case["last"]), fuel=2_000)
        assert "fuel" in str(fault)


def test_random_nests_run_no_longer_than_proved() -> None:
    accepted = 0
    for seed in range(12):
        nest = Program.from_assembly(random_loops.program(seed), HOOK)
        try:
            bound = verifier.verify(nest).bounds.instructions
        except verifier.Rejected:
            continue
        if bound > RUN // 10:
            continue
        accepted += 1
        source = random.Random(seed)
        for _ in range(4):
            context = bytearray(source.randbytes(192))
            for at in (0, 8):
                context[at : at + 4] = source.choice((0, 1, 7, 15, 63, 0xFFFFFFFF)).to_bytes(4, "little")
            outcome, fault = run_raw(nest, context)
            assert fault is None
            assert outcome.instructions <= bound, seed
    assert accepted > 3


def _less(of: Callable[..., int | None]) -> Callable[..., int | None]:
    def one_less(*arguments: object) -> int | None:
        found = of(*arguments)
        return None if found is None else max(0, found - 1)

    return one_less


@pytest.mark.parametrize(
    ("module", "name"), [(expense, "descending"), (ranking, "_climb"), (shapes, "_solve"), (cost, "_greatest_sum")]
)
def test_a_sum_or_a_bound_that_is_one_too_small_shows(
    module: ModuleType, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, _less(getattr(module, name)))
    exceeded = 0
    for case in (case for case in ENDING if case["name"].startswith(("up to", "triangle", "ten ways"))):
        try:
            bound = verifier.verify(program(case)).bounds.instructions
        except verifier.Rejected:
            continue
        outcome, fault = run_raw(program(case), memory(case.get("worst", {})), fuel=10_000)
        exceeded += fault is None and outcome.instructions > bound
    assert exceeded


def test_a_reason_is_left_for_every_loop_that_was_summarised() -> None:
    proofs = verifier.verify(program({"code": NESTED.format(10)})).handlers["main"]
    outer, inner = (proofs.rankings[key] for key in sorted(proofs.rankings))
    assert (outer.shape, outer.rounds, inner.rounds) == ("affine", 9, 9)
    (counter,) = inner.variables
    assert (counter.place.kind, counter.place.part, counter.start, counter.least_move) == ("register", 3, (0, 0), 1)


COUNTING = "r0 = 0\nL: r0 += 1\nif r0 < {0} goto L\nexit\n"
NESTED = "r2 = 0\nA: r3 = 0\nB: r3 += 1\nif r3 < {0} goto B\nr2 += 1\nif r2 < {0} goto A\nr0 = 0\nexit\n"
TRIANGLE = "r2 = 0\nA: r3 = 0\nB: if r3 >= r2 goto C\nr3 += 1\ngoto B\nC: r2 += 1\nif r2 < {0} goto A\nr0 = 0\nexit\n"
LOADED = "r2 = *(u32 *)(r1 + 0)\nif r2 > {0} goto E\nr0 = 0\nL: if r0 >= r2 goto E\nr0 += 1\ngoto L\nE: r0 = 0\nexit\n"
DOWN = "w2 = {0}\nL: w2 += -1\nif w2 != 0 goto L\nr0 = 0\nexit\n"


@pytest.mark.parametrize("text", [COUNTING, NESTED, TRIANGLE, LOADED, DOWN])
def test_the_time_of_verification_does_not_depend_on_the_trip_count(text: str) -> None:
    steps = {
        verifier.verify(Program.from_assembly(text.format(trips), HOOK)).handlers["main"].steps
        for trips in (10, 1_000, 1_000_000)
    }
    assert len(steps) == 1
    assert max(steps) < 150


def test_sums_of_measures_are_the_sums_of_their_values() -> None:
    for stride in range(1, 5):
        for gap in range(1, 5):
            for degree in range(1, 4):
                for most in (-1, 0, 1, 2, 7, 20, 33):
                    for times in (0, 1, 3, 8, 40):
                        measure = Measure(2, 1, 0, stride, degree)
                        true = sum(value(measure.steps(most - gap * k), degree) for k in range(times))
                        found = descending(measure, most, gap, times)
                        assert found == true if degree == 1 or stride in (1, gap) else found >= true
