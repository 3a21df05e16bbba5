"""What the verifier accepts does not misbehave: random bytecode, run by the checked interpreter on boundary inputs.

`promises` says what is held against each program. `benchmarks/soundness.py` does the same for many more. The last two
tests show that this can fail, and that it does so only for what the program does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from promises import KINDS, judged, judged_mutant
from random_bytecode import RAW
from stepping import Moment, States, raw_steps

import verifier
from grafting import Program, hooks
from verifier import arithmetic, check_memory, explore, ranking, stack, transfer

SEEDS = range(30)
BOLD = 0.2  # enough that a check which is left out is missed soon


@pytest.mark.parametrize("kind", KINDS)
def test_accepted_programs_keep_what_was_proved(kind: str) -> None:
    reports = [judged(kind, seed) for seed in SEEDS]
    assert [report.broken for report in reports if report.broken] == []
    accepted = [report for report in reports if not report.rejected]
    assert len(accepted) > 0.6 * len(reports)  # the generator is worth its time
    assert sum(report.branches for report in accepted) > 0.6 * len(accepted)
    assert len({report.rejected for report in reports} - {""}) > 1  # and breaks more than one rule


def test_accepted_mutants_keep_what_was_proved() -> None:
    reports = [judged_mutant(kind, seed) for kind in KINDS for seed in range(16)]
    assert [report.broken for report in reports if report.broken] == []
    assert sum(not report.rejected for report in reports) > 0.1 * len(reports)


SHARED = """
    r2 = 0
    call runs_on
    r2 = 0
    call called
    exit
runs_on:
    r2 = 3
called:
    r0 = r2
    exit
"""
"""Instruction 6 is inside the only block of `runs_on`, with 3 in r2, and begins that of `called`, with 0."""


def _shared_moments(program: Program, three: int) -> Iterator[Moment]:
    """Yield a run of SHARED in which r2 is `three` after `runs_on` made it 3."""
    for moment in raw_steps(program, bytes(8), most=100):
        if moment.registers[2] == 3:
            moment.registers[2] = three
        yield moment


def test_code_of_two_functions_is_held_against_the_states_of_the_one_that_runs() -> None:
    program = Program.from_assembly(SHARED, hooks.raw_context(8))
    handler = program.handlers[0]
    states = States(program, handler, verifier.verify(program).handlers[handler.name])
    assert states.failure(_shared_moments(program, 3)) == ("", 10)
    assert states.failure(_shared_moments(program, 0)) == ("state: none describes 6: ['r2 is 0x0']", 4)


def _a_round_too_few(monkeypatch: pytest.MonkeyPatch) -> None:
    climb = ranking._climb
    monkeypatch.setattr(ranking, "_climb", lambda *a: max(0, n - 1) if (n := climb(*a)) is not None else None)


def _one_path_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explore.Explorer, "merged", lambda self, function, block, nodes, *rest: nodes[:1])


def _a_store_somewhere_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "store_somewhere", lambda terms, frame, places, size, value: frame)


def _a_sign_extension_keeps_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    extended = arithmetic.extended
    monkeypatch.setattr(transfer, "extended", lambda terms, bits, is64, a: extended(terms, bits, is64, a)._replace(
        symbol=a.symbol, delta=a.delta))  # fmt: skip


def _an_access_may_be_unaligned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_memory, "_aligned", lambda where, bytes_, size: None)


FLAWS = (
    (_a_round_too_few, "count"), (_one_path_only, "state"), (_a_store_somewhere_is_none, "state"),
    (_a_sign_extension_keeps_its_name, "state"), (_an_access_may_be_unaligned, "fault"),
)  # fmt: skip


@pytest.mark.parametrize(("flaw", "promise"), FLAWS)
def test_a_flaw_is_found(
    flaw: Callable[[pytest.MonkeyPatch], None], promise: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    flaw(monkeypatch)
    assert any(judged(RAW, seed, BOLD).broken.startswith(promise) for seed in range(150))
