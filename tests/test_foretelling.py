"""What is foretold holds wherever a graft runs, on whose time, and under which lock; or it is said why it cannot be."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import pytest
from rich.console import Console

from kernel_model.experiments.axes import by_mechanisms
from kernel_model.experiments.compare import compare
from kernel_model.experiments.point import Point
from kernel_model.experiments.run import run
from kernel_model.mechanisms import ALL
from kernel_model.mechanisms.counts import NAMES
from kernel_model.mechanisms.equality import HANDLERS, IN_SUM, PER_ACCOUNT, SHARED, WORK_ONLY, unequal
from kernel_model.mechanisms.fates import Fate, fate_of
from kernel_model.mechanisms.scenario import CannotExpress
from kernel_model.results import report
from kernel_model.results.comparison import Comparison
from kernel_model.results.outcome import Outcome

WALK = Point(workload="list", hops=3, operations=4)
GATHER = Point(workload="gather", hops=3, operations=4)
QUORUM = Point(workload="quorum", operations=6, servers="each")
SLOW = Point(workload="list", hops=3, operations=4, profile="mach-1993")


@cache
def outcome(point: Point) -> Outcome:
    found = run(point, tier="numba")
    assert isinstance(found, Outcome)
    return found


@cache
def compared(point: Point, *names: str) -> Comparison:
    return compare(by_mechanisms([point], names), runner=lambda each: run(each, tier="numba"))


def said(comparison: Comparison) -> str:
    console = Console(width=400)
    with console.capture() as captured:
        console.print(*report.tables(comparison), sep="\n")
    return captured.get()


# --- whatever is changed about the kernel -----------------------------------------------------------------------------

SETTINGS = [
    {"serving": "passive"}, {"activation": "deferred"}, {"activation": "auto"}, {"activation": "off"},
    {"engine": "native"}, {"locks": "core"}, {"charge": "switched"}, {"charge": "current"},
]  # fmt: skip


@pytest.mark.parametrize("place", ["same", "other"])
@pytest.mark.parametrize("changes", SETTINGS, ids=lambda changes: "-".join(changes.values()))
@pytest.mark.parametrize("point", [WALK, GATHER], ids=["chain", "independent"])
def test_counts_are_foretold_or_it_is_said_why_not(point: Point, changes: dict[str, str], place: str) -> None:
    point = replace(point, place=place, cores=3, servers="each", **changes)  # type: ignore[arg-type]
    names = ("call", "rings", "server", "hosted", "hosted/server", "graft")
    comparison = compared(point, *names)
    assert comparison.misses == ()
    for row in comparison.rows:
        if row.outcome:
            assert bool(row.outcome.predicted.unknown) == bool(row.outcome.predicted.why)


@pytest.mark.parametrize("changes", SETTINGS, ids=lambda changes: "-".join(changes.values()))
def test_of_a_chain_everything_is_foretold_of_the_graft(changes: dict[str, str]) -> None:
    for place in ("same", "other"):
        found = outcome(replace(WALK, place=place, **changes))  # type: ignore[arg-type]
        assert not found.predicted.unknown
        assert found.counts == found.predicted.counts


def test_a_graft_whose_bound_is_too_long_is_foretold_to_be_a_round_trip() -> None:
    graft, call = outcome(SLOW), outcome(replace(SLOW, mechanism="call"))
    assert graft.predicted.counts == graft.counts == call.counts
    assert graft.fallbacks == {"over_eager": SLOW.hops * SLOW.operations}  # type: ignore[operator]


@pytest.mark.parametrize(
    ("activation", "short", "long"),
    [
        ("eager", Fate.AT_ONCE, Fate.IN_CLIENT),
        ("auto", Fate.AT_ONCE, Fate.LATER),
        ("deferred", Fate.LATER, Fate.LATER),
        ("off", Fate.IN_CLIENT, Fate.IN_CLIENT),
    ],
)
def test_the_bound_decides_where_a_handler_runs(activation: str, short: Fate, long: Fate) -> None:
    assert fate_of(activation, 5_000_000) is short
    assert fate_of(activation, 5_000_001) is long


# --- what need not be equal -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workload", ["fold", "gather", "quorum", "cache", "completions", "overload", "retry"])
def test_no_difference_is_printed_that_was_not_foretold_with_its_reason(workload: str) -> None:
    names = tuple(mechanism.name for mechanism in ALL)
    for place in ("same", "other"):
        assert compared(Point(workload=workload, operations=3, cores=3, place=place), *names).misses == ()  # type: ignore[arg-type]


def test_a_graft_that_looks_at_submissions_is_not_for_servers_that_pass_requests_on() -> None:
    """A fold of one block is a chain; its `submit` handler has no event in a server."""
    (row,) = compared(Point(workload="fold", hops=1, operations=2), "server").rows
    assert isinstance(row.result, CannotExpress)
    assert "the graft looks at what its client submits" in row.result.reason


def test_a_graft_at_an_endpoint_that_is_not_asked_leaves_the_work_to_its_server() -> None:
    cache = Point(workload="cache", operations=8, activation="off")
    comparison = compared(cache, "call", "graft")
    assert comparison.misses == ()
    assert "nothing answers it but its server" in said(comparison)


def test_all_mechanisms_meet_the_same_draws() -> None:
    """Which of its requests a server fails is drawn from its own stream, whatever else the mechanism has made."""
    point = Point(workload="retry", operations=12, failures=0.5, seed=26, cores=2)
    assert compared(point, "call", "rings", "rings/sqpoll", "hosted", "graft").misses == ()


def test_an_operation_whose_fuel_may_not_suffice_is_not_foretold() -> None:
    slow = Point(workload="fold", operations=6, clients=3, load=50e3, activation="auto", profile="mach-1993")
    comparison = compared(slow, "call", "graft")
    assert comparison.misses == ()
    assert "fuel" in said(comparison)


def test_late_replies_are_not_shown_to_a_graft_and_that_is_foretold() -> None:
    comparison = compared(QUORUM, "call", "graft")
    call, graft = (row.outcome for row in comparison.rows)
    assert call is not None
    assert graft is not None
    assert sum(graft.accounts["client"][name] for name in ("map_lookup",)) < call.accounts["client"]["map_lookup"]
    assert unequal(PER_ACCOUNT, call.accounts, graft.accounts)
    assert "a reply that comes when its operation is over" in graft.equal.why[0]
    assert "Foretold not to equal call in all (graft): a reply that comes" in said(comparison)
    assert json.loads(comparison.to_json())["rows"][1]["not_equal_because"].startswith("a reply that comes")


def test_more_than_was_foretold_is_still_a_miss() -> None:
    """An exception in one direction excuses nothing in the other, and nothing else."""
    rule = IN_SUM.but("late", fewer=HANDLERS)
    base = {"client": {"map_lookup": 5, "work": 7}}
    assert unequal(rule, base, {"client": {"map_lookup": 4, "work": 7}}) == ()
    assert unequal(rule, base, {"client": {"map_lookup": 6, "work": 7}}) == ("all accounts: map_lookup 5 against 6",)
    assert unequal(rule, base, {"client": {"map_lookup": 5, "work": 6}}) == ("all accounts: work 7 against 6",)


def test_what_is_summed_may_move_between_accounts_and_the_rest_may_not() -> None:
    base = {"client": {"copy_byte": 8, "map_lookup": 1}, "server0": {}}
    assert unequal(SHARED, base, {"client": {"map_lookup": 1}, "server0": {"copy_byte": 8}}) == ()
    moved = {"client": {"copy_byte": 8}, "server0": {"map_lookup": 1}}
    assert "client: map_lookup 1 against 0" in unequal(SHARED, base, moved)
    assert unequal(SHARED, base, {"client": {"map_lookup": 1}}) == ("all accounts: copy_byte 8 against 0",)


def test_rules_say_what_they_compare() -> None:
    assert [rule.words for rule in (PER_ACCOUNT, SHARED, IN_SUM, WORK_ONLY)] == [
        "per account", "per account, copies in sum", "in sum", "work"
    ]  # fmt: skip


# --- what is said -----------------------------------------------------------------------------------------------------


def test_fall_backs_are_said_with_their_number_their_reason_and_what_helps() -> None:
    comparison = compared(SLOW, "call", "graft")
    text = said(comparison)
    assert "graft at 3 hops: 3 events an operation FELL BACK to user mode, over the eager bound" in text
    assert "`--activation deferred` or `auto`" in text
    row = json.loads(comparison.to_json())["rows"][1]
    assert (row["fallbacks"], row["fallback_reasons"]) == (12, {"over_eager": 12})


def test_with_what_is_said_to_help_nothing_falls_back() -> None:
    for activation in ("auto", "deferred"):
        helped = outcome(replace(SLOW, activation=activation))  # type: ignore[arg-type]
        assert helped.fallbacks == {}
        assert helped.counts.kernel_activations == 12


def test_goodput_counts_what_was_answered_in_time() -> None:
    crowded = outcome(Point(workload="overload", mechanism="call", operations=400))
    calm = outcome(replace(WALK, mechanism="call"))
    assert 0 < crowded.goodput < crowded.throughput
    assert calm.goodput == calm.throughput
    assert crowded.good < 400


def test_among_several_clients_latency_is_the_queue_and_not_the_mechanism() -> None:
    """Three clients of quorums, a tenth of the entries lost: the graft does more operations a second than the round
    trip, and its median is four times as long. By calls one client is done before the next begins, so there is never
    more than one operation under way; with the graft there are three (Little's law: latency = in flight / rate)."""
    point = replace(QUORUM, clients=3, failures=0.1, operations=60)
    call, graft = outcome(replace(point, mechanism="call")), outcome(point)
    assert graft.throughput > call.throughput
    assert graft.summary.p50 > 3 * call.summary.p50
    assert call.in_flight < 1
    assert 2.5 < graft.in_flight < 3
    assert "In flight on average (Little's law): call 0.7" in said(compared(point, "call", "graft"))


def test_every_unknown_count_is_a_count() -> None:
    found = outcome(replace(GATHER, activation="deferred", place="other", servers="one"))
    assert found.predicted.unknown <= set(NAMES)
    assert "continuation" in found.predicted.why
