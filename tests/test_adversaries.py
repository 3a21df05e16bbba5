"""Adversaries: whatever they do, the others get their share, the machine stays live, the books balance."""

from __future__ import annotations

from typing import Literal

import pytest

from grafting.diagnostics import GraftError
from jit import testing
from kernel_model.workloads.adversaries import ADVERSARIES, Adversary, adversary, attack, graft
from kernel_model.workloads.samples import sample_path

SAMPLES = sorted(path.stem for path in sample_path("adversaries").glob("*.graft"))


@pytest.mark.parametrize("which", ADVERSARIES, ids=lambda which: which.name)
def test_bystanders_keep_their_share_and_the_machine_stays_live(which: Adversary) -> None:
    verdict = attack(which)
    assert verdict.share >= 0.99
    assert verdict.worst_release_ns <= verdict.release_bound_ns
    assert verdict.tightest <= 1
    assert verdict.holds
    assert verdict.activations > 0 or which.name == "expiry"


@pytest.mark.parametrize("activation", ["eager", "deferred", "off"])
@pytest.mark.parametrize("name", ["self-send", "fan-out", "endpoint-flood"])
def test_they_do_so_however_grafts_are_activated(name: str, activation: Literal["eager", "deferred", "off"]) -> None:
    assert attack(adversary(name), activation=activation).holds


def test_full_switches_of_context_protect_as_well_as_metering() -> None:
    assert attack(adversary("fan-out"), charge="switched").holds


def test_a_flood_of_requests_is_paid_by_those_who_flood() -> None:
    verdict = attack(adversary("endpoint-flood"))
    assert verdict.graft_ns["attackers"] > 0 == verdict.graft_ns["servers"]


def test_equal_seeds_give_equal_verdicts_in_both_tiers() -> None:
    assert attack(adversary("expiry"), tier="python") == attack(adversary("expiry"), tier="numba")


def test_an_unknown_adversary_is_an_error() -> None:
    assert adversary("adversary-timers") is adversary("timers")
    with pytest.raises(GraftError, match="G0859"):
        adversary("adversary-teapot")


@pytest.mark.parametrize("name", SAMPLES)
def test_the_grafts_of_the_adversaries_are_verified_and_do_as_they_say(name: str) -> None:
    assert all(result.passed for result in testing.run_tests(graft(name).program))
