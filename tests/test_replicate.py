"""Replications are independent runs with consecutive seeds; their intervals are Student's, over replications."""

from __future__ import annotations

import pickle
import random
from dataclasses import replace
from functools import partial
from statistics import fmean

import pytest

from kernel_model.experiments.point import Point
from kernel_model.experiments.replicate import replicate, seeds_of
from kernel_model.experiments.run import run
from kernel_model.experiments.workers import Here, Workers
from kernel_model.mechanisms.scenario import CannotExpress
from kernel_model.results.outcome import Outcome
from kernel_model.results.statistics import estimate

HERE = Workers(Here(), 1)
POINT = Point(hops=3, servers="each", operations=8, mechanism="graft")
plain = partial(run, tier="python")


@pytest.fixture(scope="module")
def alone() -> list[Outcome]:
    found = [plain(point) for point in seeds_of(POINT, 3)]
    return [outcome for outcome in found if isinstance(outcome, Outcome)]


@pytest.fixture(scope="module")
def merged() -> Outcome:
    (outcome,) = replicate([POINT], 3, HERE, runner=plain)
    assert isinstance(outcome, Outcome)
    return outcome


def test_replications_have_consecutive_seeds_from_the_points_own() -> None:
    assert [point.seed for point in seeds_of(replace(POINT, seed=7), 3)] == [7, 8, 9]


def test_totals_are_sums_and_means_per_operation_those_of_all(alone: list[Outcome], merged: Outcome) -> None:
    assert merged.runs == 3
    assert merged.operations == 24
    assert merged.counts.crossings == sum(outcome.counts.crossings for outcome in alone)
    assert merged.as_predicted
    assert merged.ns() == pytest.approx(fmean(outcome.ns() for outcome in alone))
    assert merged.latency.count == 24
    assert merged.latency.total == sum(outcome.latency.total for outcome in alone)


def test_an_estimate_is_over_replications(alone: list[Outcome], merged: Outcome) -> None:
    medians = [outcome.summary.p50 for outcome in alone]
    assert merged.estimates["p50"] == estimate(medians)
    assert merged.estimates["p50"].count == 3


def test_the_interval_covers_the_mean_about_as_often_as_it_says() -> None:
    rng = random.Random(1)
    covers = [
        (e := estimate([rng.gauss(10, 3) for _ in range(5)])).interval.low <= 10 <= e.interval.high for _ in range(2000)
    ]
    assert 0.93 < fmean(covers) < 0.97


def test_one_value_is_no_estimate() -> None:
    with pytest.raises(ValueError, match="at least two"):
        estimate([1.0])


def test_a_mechanism_that_cannot_is_asked_as_often_and_gives_its_reason() -> None:
    (result,) = replicate([POINT], 2, HERE, runner=lambda _point: CannotExpress("no"))
    assert result == CannotExpress("no")


def test_an_outcome_goes_to_another_process_and_back(merged: Outcome) -> None:
    assert pickle.loads(pickle.dumps(merged)) == merged
