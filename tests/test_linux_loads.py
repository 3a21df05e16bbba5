"""Open-loop load and bystanders: the model's queue is Lindley's, and what is predicted is what is measured."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import calibrated
import numpy as np
import pytest

from benchmarks import validation
from kernel_model.calibration import system
from kernel_model.calibration.samples import Measured
from kernel_model.linux import bystanders, chains, loads, open_loop
from kernel_model.linux.open_loop import Times
from kernel_model.validation import predictions

live = pytest.mark.skipif(bool(chains.forbidden()), reason=chains.forbidden() or "chains can be run")

SLOW = {**calibrated.GIVEN, "message": Measured(100e3, 99e3, 101e3), "redirect": Measured(20e3, 19e3, 21e3)}


def lindley(due: Times, service: float, wake: float) -> tuple[list[float], float]:
    """Return the latencies (Lindley 1952), and what is left of the time until the last one ended."""
    free, latencies, used = 0.0, [], 0.0
    for at in due:
        cost = service + (wake if at > free else 0.0)
        free = max(free, at) + cost
        used += cost
        latencies.append(free - at)
    return latencies, 1 - used / free


def test_a_chain_that_finds_another_under_way_waits_and_its_latency_counts_from_when_it_was_due() -> None:
    run = open_loop.simulate(np.array([0.0, 40e3, 200e3]), 50e3, tier="python")
    assert list(run.latencies) == [50e3, 60e3, 50e3]
    assert (run.elapsed, run.share) == (250e3, 0.4)
    assert run.throughput == pytest.approx(3 / 250e-6)


@pytest.mark.parametrize("wake", [0.0, 7e3])
def test_the_simulated_queue_is_that_of_lindleys_recursion(wake: float) -> None:
    due = open_loop.arrivals(60e3, 0.005)
    run = open_loop.simulate(due, 50e3, wake, tier="python")
    latencies, share = lindley(due, 50e3, wake)
    assert list(run.latencies) == latencies
    assert run.share == pytest.approx(share)
    assert run.mean == pytest.approx(np.mean(latencies) / 1000)


def test_arrivals_are_the_same_each_time_and_exactly_at_their_rate() -> None:
    due = open_loop.arrivals(1000.0, 0.001)
    assert list(due) == list(open_loop.arrivals(1000.0, 0.001))
    assert list(due) != list(open_loop.arrivals(1000.0, 0.001, seed=7))
    assert (len(due), due[-1]) == (1000, 1e6)
    assert np.std(np.diff(due)) == pytest.approx(1000, rel=0.1)  # as much as the mean: exponential intervals


def test_the_99th_percentile_is_one_of_the_latencies() -> None:
    assert open_loop.Run(np.arange(1.0, 201.0) * 1000, 1.0).p99 == 198.0


def test_numba_latency_grows_with_load_and_throughput_follows_up_to_the_capacity_and_no_further() -> None:
    plan = loads.plans(calibrated.profile(SLOW), seconds=0.5)[1]
    made = {prediction.name.removeprefix("graft, 8 hops"): prediction for prediction in loads.predict(plan)}
    means = [made[f", load {load:.1f}: mean"].value for load in loads.LOADS]
    assert means == sorted(means)
    assert means[0] > plan.chain.value / 1000
    assert means[-1] > 2 * means[0]
    capacity = 1e9 / plan.chain.value
    assert 0.85 * capacity < made[": saturation"].value < 1.1 * capacity
    assert made[": throughput beyond"].value == pytest.approx(capacity, rel=0.02)
    assert all(each.low <= each.value <= each.high for each in made.values())
    assert all(each.low < each.high for each in made.values())


def test_numba_at_one_rate_round_trips_leave_less_than_a_graft_and_a_resident_server_leaves_most() -> None:
    profile = calibrated.profile(SLOW)
    made = {each.name: each.value for each in bystanders.predict(profile, bystanders.plan(profile, seconds=2.0))}
    for rate in bystanders.RATES:
        shares = [made[f"bystander beside {way}, 8 hops, rate {rate}"] for way in chains.WAYS]
        assert shares[0] < shares[1] < shares[2]
        assert shares[0] == pytest.approx(1 - rate, abs=0.01)  # a sleep is next to nothing here


@live
def test_numba_a_chain_of_an_open_loop_that_ends_elsewhere_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with system.one_core(), chains.chains("graft") as (ends, _server):
        monkeypatch.setattr(chains, "end_of", lambda _hops: 1)
        with pytest.raises(AssertionError, match="wrong place"):
            loads.paced(ends, np.array([1000.0]))


@live
@pytest.mark.parametrize("sleeps", [False, True])
def test_numba_no_chain_begins_before_it_is_due(sleeps: bool) -> None:
    due = np.array([0.0, 1.0, 2e6, 4e6])
    with system.one_core(), chains.chains("resident") as (ends, _server):
        run = loads.paced(ends, due, sleeps=sleeps)
    assert all(run.latencies > 0)
    assert run.latencies[1] > run.latencies[0] - due[1]  # begun when the one before had ended
    assert run.elapsed >= due[-1]


@live
def test_numba_all_that_is_predicted_of_a_load_is_measured() -> None:
    made = loads.plans(calibrated.profile(SLOW), seconds=0.002)
    expected = [name for plan in made for name, _value, _unit in loads.figures(plan, lambda due: open_loop.Run(due, 1))]
    assert list(loads.measure(made, rounds=1)) == expected
    assert len(set(expected)) == len(made) * (2 * len(loads.LOADS) + 2)


@live
def test_numba_all_that_is_predicted_of_a_bystander_is_measured() -> None:
    profile = calibrated.profile(SLOW)
    made = bystanders.plan(profile, seconds=0.01)
    found = predictions.outcomes(bystanders.predict(profile, made), bystanders.measure(made, rounds=1))
    assert len(found) == len(chains.WAYS) * (len(bystanders.RATES) + 1)
    assert all(0 <= each.observed < 1 for each in found)


@live
def test_numba_who_measured_before_all_others_is_as_they_are_afterwards() -> None:
    with system.preceding():
        assert os.sched_getscheduler(0) == (os.SCHED_FIFO if system.may_precede() else os.SCHED_OTHER)
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_where_bpf_is_forbidden_the_script_says_so_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(chains, "forbidden", lambda: "bpf(2) refuses a trivial program: Operation not permitted")
    monkeypatch.setattr("sys.argv", ["validation", "xrp", *validation.LIVE, "--out", str(tmp_path / "predictions")])
    assert validation.main() == 0
    said = capsys.readouterr().out
    assert "not run: bpf(2) refuses" in said
    assert "B-tree depth 10" in said


@live
def test_numba_the_profile_and_all_predictions_are_frozen_before_the_first_chain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record = validation.Record(tmp_path / "predictions")
    profile = calibrated.profile(SLOW)
    seen: list[str] = []

    def first(*_given: object, **_named: object) -> dict[str, Measured]:
        seen.append(capsys.readouterr().out)
        raise InterruptedError

    monkeypatch.setattr(validation.calibrate, "calibrate", lambda _rounds: calibrated.text(SLOW))
    monkeypatch.setattr(loads, "plans", lambda _profile: [])
    monkeypatch.setattr(chains, "measure", first)
    with pytest.raises(InterruptedError):
        validation.live(record, validation.LIVE, 3, 1, 0)
    assert profile.digest in seen[0]
    frozen = record.path.read_text().splitlines()
    assert len(frozen) == len(validation.LIVE)
    assert all(hashlib.sha256(line.encode()).hexdigest() in seen[0] for line in frozen)
    assert all(json.loads(line)["rests_on"] == {profile.name: profile.digest} for line in frozen)
