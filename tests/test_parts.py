"""Long runs are done in parts: what comes out is all of them together, and there is room for one."""

from __future__ import annotations

import weakref
from functools import reduce
from itertools import pairwise

import pytest

from kernel_model.experiments import parts, run
from kernel_model.experiments.parts import parts_of
from kernel_model.experiments.point import Point
from kernel_model.kernel import Kernel
from kernel_model.mechanisms.scenario import CannotExpress
from kernel_model.results.outcome import Outcome

POINT = Point(workload="list", hops=3, operations=12)


def whole(point: Point) -> Outcome:
    outcome = run.run(point, tier="python")
    assert isinstance(outcome, Outcome)
    return outcome


def test_a_point_that_is_not_long_is_its_only_part() -> None:
    assert parts_of(Point(operations=parts.PART)) == (Point(operations=parts.PART),)


def test_parts_are_of_equal_size_and_have_draws_of_their_own() -> None:
    found = parts_of(Point(operations=250_001, seed=7))
    assert [part.operations for part in found] == [83_334, 83_334, 83_333]
    seeds = [part.seed for part in found]
    assert seeds[0] == 7
    assert min(b - a for a, b in pairwise(seeds)) > 1_000_000  # replications are seed + 1, + 2, ..


@pytest.mark.parametrize("mechanism", ["call", "graft"])
def test_a_long_run_is_the_sum_of_its_parts_as_foretold(mechanism: str, monkeypatch: pytest.MonkeyPatch) -> None:
    point = Point(**{**POINT.changes(), "mechanism": mechanism, "warm_up": 0.2})
    monkeypatch.setattr(parts, "PART", 5)
    long = whole(point)
    each = [whole(part) for part in parts_of(point)]
    assert [one.latency.count for one in each] == [4, 4, 4]
    together = reduce(Outcome.merged, each)
    assert (long.latency, long.counts, long.accounts) == (together.latency, together.counts, together.accounts)
    assert (long.elapsed_ps, long.spent) == (together.elapsed_ps, together.spent)
    assert (long.runs, long.operations, long.point) == (1, 12, run.completed(point))
    assert long.as_predicted
    assert long.misses == ()


def test_one_part_at_a_time_is_in_memory_and_no_larger_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    kernels: list[weakref.ref[Kernel]] = []
    build = run.build

    def counted(point: Point, scenario, *rest, **others):  # type: ignore[no-untyped-def]
        assert not any(known() for known in kernels)
        kernel, stage = build(point, scenario, *rest, **others)
        sizes.append(len(scenario.workload.operations))
        kernels.append(weakref.ref(kernel))
        return kernel, stage

    monkeypatch.setattr(parts, "PART", 5)
    monkeypatch.setattr(run, "build", counted)
    whole(POINT)
    assert sizes == [4, 4, 4]


def test_what_cannot_be_expressed_cannot_in_any_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART", 5)
    assert isinstance(run.run(Point(workload="list", mechanism="rings/sqpoll", operations=12)), CannotExpress)
