"""Mechanisms without a program: what they can express, and that they do a chain that passes bytes on as foretold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kernel_model.experiments.point import Point
from kernel_model.experiments.preparation import completed, scenario_of
from kernel_model.experiments.run import measure, run
from kernel_model.mechanisms import ALL, mechanism_of
from kernel_model.mechanisms.counts import NAMES, Counts
from kernel_model.mechanisms.scenario import CannotExpress, Scenario
from kernel_model.results.outcome import Outcome
from kernel_model.workloads.plan import Literal, Whole, chain
from kernel_model.workloads.roles import READ, Role, blocks
from kernel_model.workloads.workload import Answer, Operations, words

HOPS = 4
OPERATIONS = 6

# One walk of 4 hops along a list, written out by hand: crossings, switches, wake-ups, activations in the kernel, in
# user mode, submissions, notifications, interrupts; or "cannot". Servers and their core as in `topology`.
EXPECTED = {
    ("linked", "one", "same"): (5, 2, 1, 0, 0, 4, 1, 0),
    ("linked", "each", "same"): (5, 5, 1, 0, 0, 4, 1, 0),
    ("linked", "one", "other"): (5, 2, 1, 0, 0, 4, 1, 2),
    ("linked", "each", "other"): (5, 5, 1, 0, 0, 4, 1, 2),
    ("pipelined-kernel", "one", "same"): (5, 2, 1, 0, 0, 4, 4, 0),
    ("pipelined-kernel", "each", "same"): (5, 5, 1, 0, 0, 4, 4, 0),
    ("pipelined-kernel", "one", "other"): (5, 2, 1, 0, 0, 4, 4, 2),
    ("pipelined-kernel", "each", "other"): (5, 5, 1, 0, 0, 4, 4, 2),
    ("routed", "one", "same"): "a part of it",
    ("pipelined-server", "one", "same"): (2, 2, 1, 0, 0, 1, 0, 0),
    ("pipelined-server", "each", "same"): "different servers",
    ("pipelined-server", "one", "other"): (2, 2, 1, 0, 0, 1, 0, 2),
    ("pipelined-server", "each", "other"): "different servers",
}
WALK = Point(workload="list", hops=HOPS, operations=OPERATIONS)


def walk(name: str, servers: str, place: str) -> Outcome | CannotExpress:
    return run(replace(WALK, mechanism=name, servers=servers, place=place), tier="python")  # type: ignore[arg-type]


@pytest.mark.parametrize(("case", "expected"), EXPECTED.items(), ids=lambda value: "/".join(map(str, value)))
def test_a_walk_is_done_with_the_counts_of_the_table_above(
    case: tuple[str, str, str], expected: tuple[int, ...] | str
) -> None:
    outcome = walk(*case)
    if isinstance(expected, str):
        assert isinstance(outcome, CannotExpress)
        assert expected in outcome.reason
        return
    assert isinstance(outcome, Outcome)
    assert outcome.counts == Counts(*expected).scaled(OPERATIONS)
    assert outcome.predicted.counts == outcome.counts
    assert not outcome.predicted.unknown


@pytest.mark.parametrize("name", sorted({name for name, *_ in EXPECTED}))
def test_what_must_be_computed_cannot_be_expressed(name: str) -> None:
    outcome = run(Point(workload="btree", mechanism=name, hops=2, operations=1), tier="python")
    assert isinstance(outcome, CannotExpress)
    assert "computed" in outcome.reason


# The same where a whole reply is the next request: 4 hops along pointers of 8 bytes.
POINTERS = {
    ("routed", "one"): (5, 2, 1, 0, 0, 1, 0, 0),
    ("routed", "each"): (5, 5, 1, 0, 0, 1, 0, 0),
    ("linked", "one"): (5, 2, 1, 0, 0, 4, 1, 0),
    ("pipelined-kernel", "each"): (5, 5, 1, 0, 0, 4, 4, 0),
    ("pipelined-server", "one"): (2, 2, 1, 0, 0, 1, 0, 0),
}


@pytest.mark.parametrize(("case", "expected"), POINTERS.items(), ids=lambda value: "/".join(map(str, value)))
def test_whole_replies_are_passed_on(case: tuple[str, str], expected: tuple[int, ...]) -> None:
    name, servers = case
    point = completed(replace(WALK, mechanism=name, servers=servers))  # type: ignore[arg-type]
    outcome = measure(point, pointers(point), mechanism_of(name), tier="python")
    assert isinstance(outcome, Outcome)
    assert outcome.counts == Counts(*expected).scaled(OPERATIONS)
    assert outcome.misses == ()


def pointers(point: Point) -> Scenario:
    """Walks along a ring of eight pointers, where each cell is nothing but the number of the next."""
    scenario = scenario_of(point)
    begin = np.arange(OPERATIONS, dtype=np.uint64) % 8
    ring = ((np.arange(8, dtype="<u8") + 3) % 8).tobytes()

    def check(operation: int, answer: Answer) -> str | None:
        found, wanted = int.from_bytes(answer.body, "little"), (int(begin[operation]) + 3 * HOPS) % 8
        return None if found == wanted else f"{found} instead of {wanted}"

    workload = replace(
        scenario.workload,
        plan=chain("store", READ, Literal(), Whole, HOPS),
        roles=(Role("store", blocks(ring, 8), 200),),
        operations=Operations((words(begin),), None),
        check=check,
    )
    return replace(scenario, workload=workload)


@pytest.mark.parametrize("name", [mechanism.name for mechanism in ALL if mechanism.name != "routed"])
@pytest.mark.parametrize(
    "changes", [{"clients": 3}, {"load": 200_000.0}, {"think_ns": 700}, {"clients": 2, "load": 900_000.0}], ids=str
)
def test_many_clients_open_loops_and_thinking_work_with_every_mechanism(name: str, changes: dict[str, object]) -> None:
    """Every answer is checked, and every count that is foretold is right."""
    outcome = run(
        replace(WALK, mechanism=name, cores=1 + mechanism_of(name).spare_cores, operations=12, **changes),  # type: ignore[arg-type]
        tier="python",
    )
    assert isinstance(outcome, Outcome)
    assert outcome.misses == ()
    assert outcome.latency.count == 12
    assert set(outcome.predicted.unknown) <= set(NAMES)
