"""The accounting question is foretold, asked of real runs, and answered from their counts alone."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from dataclasses import replace
from functools import partial

import pytest
from click.testing import CliRunner
from rich.console import Console, RenderableType

import cli
from kernel_model.experiments.axes import by_mechanisms, grid
from kernel_model.experiments.compare import compare
from kernel_model.experiments.foretelling import foretell
from kernel_model.experiments.point import Point
from kernel_model.experiments.run import run
from kernel_model.mechanisms.counts import Prediction
from kernel_model.results import accounts
from kernel_model.results.comparison import Comparison
from kernel_model.results.outcome import Outcome

MODES = ("current", "metered", "switched")
POINTS = by_mechanisms(grid({"charge": MODES}, Point(hops=3, servers="each", operations=6)), ("call", "graft"))


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return compare(POINTS, runner=partial(run, tier="python"))


def of(comparison: Comparison, mechanism: str, charge: str) -> Outcome:
    return next(
        row.outcome
        for row in comparison.rows
        if row.outcome and row.mechanism == mechanism and row.point.charge == charge
    )


def text_of(parts: Iterable[RenderableType]) -> str:
    file = io.StringIO()
    Console(width=160, file=file, color_system=None).print(*parts, sep="\n")
    return file.getvalue()


def test_what_is_foretold_is_what_the_runs_are_held_to(comparison: Comparison) -> None:
    predictions = foretell(POINTS)
    assert [each.prediction for each in predictions] == [
        row.outcome and row.outcome.predicted for row in comparison.rows
    ]
    assert all(isinstance(each.prediction, Prediction) for each in predictions)


def test_a_graft_does_what_the_clients_library_does(comparison: Comparison) -> None:
    """The same handler over the same events: the same cost vector, sends and bytes, wherever it runs."""
    (library,), (attached,) = (of(comparison, name, "metered").grafts for name in ("call", "graft"))
    assert library.vector == attached.vector
    assert (library.sent, library.sent_bytes) == (attached.sent, attached.sent_bytes) == (2 * 6, 8 * 2 * 6)
    assert (library.activations, library.user_activations) == (0, 18)
    assert (attached.activations, attached.user_activations) == (18, 0)


def test_a_cost_vector_is_what_the_payer_was_charged(comparison: Comparison) -> None:
    outcome = of(comparison, "graft", "metered")
    (graft,) = outcome.grafts
    assert graft.vector.items() <= outcome.accounts["client"].items()


def test_the_bound_is_not_below_the_dearest_activation(comparison: Comparison) -> None:
    for charge in MODES:
        for handler in of(comparison, "graft", charge).grafts[0].handlers:
            assert handler.worst_ps <= handler.bound_ps


def test_metered_and_switched_grafts_are_paid_by_their_installer_and_current_ones_by_whoever_runs(
    comparison: Comparison,
) -> None:
    for charge in ("metered", "switched"):
        outcome = of(comparison, "graft", charge)
        assert outcome.ns("client", "graft") == outcome.ns(category="graft") > 0
    outcome = of(comparison, "graft", "current")
    assert outcome.ns("client", "graft") == 0
    assert outcome.ns(category="graft") > 0


def test_a_charge_mode_costs_the_round_trip_nothing(comparison: Comparison) -> None:
    assert len({json.dumps(of(comparison, "call", charge).spent, sort_keys=True) for charge in MODES}) == 1
    assert of(comparison, "graft", "current").charging_ps == 0
    assert 0 < of(comparison, "graft", "metered").charging_ps < of(comparison, "graft", "switched").charging_ps


def test_the_answer_says_no_and_yes_where_it_should(comparison: Comparison) -> None:
    answer = "\n".join(accounts.answer(comparison))
    assert "In what is done: no." in answer
    assert "entered and left: yes, as foretold" in answer
    assert "crossings 6 -> 4" in answer
    assert "mode `current`: the graft's time is 100% of it on accounts of others" in answer
    assert "mode `metered`: the graft's time is all on its installer's account" in answer


def test_the_answer_does_not_claim_what_the_run_did_not_show(comparison: Comparison) -> None:
    missed = replace(comparison, misses=("graft: work differs",))
    assert "1 counts are not as predicted" in next(iter(accounts.answer(missed)))
    alone = replace(comparison, rows=tuple(row for row in comparison.rows if row.mechanism == "graft"))
    assert "cannot be said" in next(iter(accounts.answer(alone)))


def test_the_tables_say_who_what_and_how_much(comparison: Comparison) -> None:
    text = text_of(accounts.after(comparison))
    for words in ("Charged per operation", "Cost vectors", "Hook check", "bound us", *MODES, "server2"):
        assert words in text


def test_the_command_foretells_before_it_runs() -> None:
    result = CliRunner().invoke(
        cli.main,
        [
            "compare",
            "--accounting",
            "--hops",
            "2",
            "--servers",
            "one",
            "--profile",
            "sel4-skylake",
            "--operations",
            "3",
        ],
    )
    assert result.exit_code == 0, result.output
    foretold, asked = result.stdout.index("Foretold, before anything runs"), result.stdout.index("Is the accounting")
    assert foretold < result.stdout.index("Charged per operation") < asked


def test_a_bystanders_share_is_shown_under_every_charge_mode_and_under_current_he_pays_for_others() -> None:
    """On a core of its own the server's answers interrupt whoever computes on the client's."""
    base = Point(workload="bystander", hops=3, place="other", operations=12)
    result = compare(
        by_mechanisms(grid({"charge": MODES}, base), ("call", "graft")), runner=partial(run, tier="python")
    )
    assert result.misses == ()
    text = text_of(accounts.after(result))
    assert text.count("bystander") >= len(MODES) * 2
    for name in ("call", "graft"):
        paid = {charge: of(result, name, charge).ns("bystander", "interrupt") for charge in MODES}
        assert paid["metered"] == paid["switched"] == 0 < paid["current"]
    shares = {n: accounts.part_of_time(of(result, n, "metered"), "bystander", "user") for n in ("call", "graft")}
    assert 0.5 < shares["call"] < shares["graft"] < 1
