"""Chains on the real kernel: predicted from primitives alone, and each answer right, where bpf(2) is allowed."""

from __future__ import annotations

import resource

import calibrated
import pytest

from kernel_model import costs
from kernel_model.calibration import system
from kernel_model.calibration.samples import Measured
from kernel_model.linux import chains

live = pytest.mark.skipif(bool(chains.forbidden()), reason=chains.forbidden() or "chains can be run")


def value(way: str, hops: int) -> float:
    made = {prediction.name: prediction.value for prediction in chains.predict(calibrated.profile(), (1, hops))}
    return made[f"{way}, {hops} hops"]


def test_round_trips_grow_with_the_hops_a_graft_by_activations_and_a_resident_server_not_at_all() -> None:
    assert value("round trips", 4) == pytest.approx(4 * 3.0)
    assert value("graft", 4) == pytest.approx(3.0 + 3 * 0.7)
    assert value("resident", 16) == pytest.approx(3.0)


def test_a_prediction_allows_what_its_primitives_allow_and_at_least_15_percent() -> None:
    for prediction in chains.predict(calibrated.profile()):
        assert prediction.low <= prediction.value * 0.85
        assert prediction.high >= prediction.value * 1.15
    wide = {**calibrated.GIVEN, "redirect": Measured(700.0, 100.0, 2000.0)}
    made = {prediction.name: prediction for prediction in chains.predict(calibrated.profile(wide))}
    assert made["graft, 16 hops"].low == pytest.approx(2 * (0.9 + 0.45) + 15 * 0.1)
    assert made["graft, 16 hops"].high == pytest.approx(2 * (1.1 + 0.6) + 15 * 2.0)


def test_a_profile_without_sockets_predicts_no_chain() -> None:
    with pytest.raises(KeyError, match="message"):
        chains.predict(costs.load("linux-host"))


def test_the_table_is_one_cycle() -> None:
    assert sorted(chains.end_of(hops) for hops in range(chains.CELLS)) == list(range(chains.CELLS))


@live
@pytest.mark.parametrize("way", chains.WAYS)
def test_numba_every_chain_ends_where_it_must(way: str) -> None:
    with system.one_core(), chains.chains(way) as (ends, _peer):
        for hops in chains.HOPS:
            chains.run(ends, hops, 20)


@live
def test_numba_a_graft_wakes_its_client_once_for_a_chain_round_trips_for_the_hops() -> None:
    hops, times = 16, 50
    waits = {}
    for way in chains.WAYS:
        with system.one_core(), chains.chains(way) as (ends, _peer):
            chains.run(ends, hops, 1)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
            chains.run(ends, hops, times)
            waits[way] = (resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - before) / times
    assert max(waits["graft"], waits["resident"]) <= 1.5
    assert waits["round trips"] > 3  # up to 16: where others run in between, some answers are there already


@live
def test_numba_a_chain_that_ends_elsewhere_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with system.one_core(), chains.chains("round trips") as (ends, _peer):
        monkeypatch.setattr(chains, "end_of", lambda _hops: 1)
        with pytest.raises(AssertionError, match="wrong place"):
            chains.run(ends, 4, 1)


@live
def test_numba_every_chain_that_is_predicted_is_measured() -> None:
    found = chains.measure(rounds=1, times=3)
    assert set(found) == {prediction.name for prediction in chains.predict(calibrated.profile())}
