"""Every mechanism answers rightly, does what was predicted for it, and does the same work as the round trip."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import pytest
from btree_runs import LOOKUPS, Run, lookups, run, sample, small_tree

from kernel_model.mechanisms import ALL
from kernel_model.mechanisms.counts import Counts, Prediction, observed
from kernel_model.mechanisms.equality import IN_SUM, PER_ACCOUNT, together, unequal
from kernel_model.mechanisms.scenario import CLIENT
from kernel_model.workloads import btree
from kernel_model.workloads.workload import Core, Servers, Topology

DEPTHS = (1, 2, 4)
TOPOLOGIES = tuple(Topology(servers, core) for core in Core for servers in Servers)
BY_NAME = {mechanism.name: mechanism for mechanism in ALL}


def times(depth: int, text: str) -> tuple[int, ...]:
    """Evaluate a row of a table: terms like "2d+1", in d."""
    return tuple(eval(term.replace("d", f"*{depth}") if term[0] != "d" else term.replace("d", str(depth)))
                 for term in text.split())  # fmt: skip


# A lookup of depth d, written out by hand: crossings, switches, wake-ups, activations in the kernel, in user mode,
# submissions, notifications, interrupts. "each": a server for each level.
EXPECTED = {
    ("call", "one"):           "2d 2d d 0 d d 0 0",
    ("call", "each"):          "2d 2d d 0 d d 0 0",
    ("call", "one/other"):     "2d 2d d 0 d d 0 2d",
    ("call", "each/other"):    "2d 2d d 0 d d 0 2d",
    ("async", "one"):          "3d 2d d 0 d d d 0",
    ("async", "each"):         "3d 2d d 0 d d d 0",
    ("rings", "one"):          "2d 2d d 0 d d d 0",
    ("rings", "each"):         "2d 2d d 0 d d d 0",
    ("rings", "one/other"):    "2d 2d d 0 d d d 2d",
    ("rings", "each/other"):   "2d 2d d 0 d d d 2d",
    ("rings/sqpoll", "one"):         "2d 2d d 0 d d d d",
    ("rings/sqpoll", "each"):        "2d 2d d 0 d d d d",
    ("rings/sqpoll", "one/other"):   "2d 2d d 0 d d d 2d",
    ("rings/sqpoll", "each/other"):  "2d 2d d 0 d d d 2d",
    ("direct", "one"):         "2d 2d d 0 d 0 0 0",
    ("direct", "each"):        "2d 2d d 0 d 0 0 0",
    ("direct", "one/other"):   "2d 2d d 0 d 0 0 2d",
    ("direct", "each/other"):  "2d 2d d 0 d 0 0 2d",
    ("direct/poll", "one"):    "2d 2d d 0 d 0 0 0",
    ("direct/poll", "each"):   "2d 2d d 0 d 0 0 0",
    ("hosted", "one"):         "2d+2 2d+2 1 0 d d+1 0 0",
    ("hosted", "each"):        "2d+2 2d+2 1 0 d d+1 0 0",
    ("hosted", "one/other"):   "2d+2 2d+2 1 0 d d+1 0 2d",
    ("hosted", "each/other"):  "2d+2 2d+2 1 0 d d+1 0 2d",
    ("hosted/server", "one"):        "2 2 1 0 d 1 0 0",
    ("hosted/server", "each"):       "2d 2d 1 0 d d 0 0",
    ("hosted/server", "one/other"):  "2 2 1 0 d 1 0 2",
    ("hosted/server", "each/other"): "2d 2d 1 0 d d 0 2",
    ("server", "one"):         "2 2 1 0 d 1 0 0",
    ("server", "each"):        "d+1 d+1 1 0 d d 0 0",
    ("server", "one/other"):   "2 2 1 0 d 1 0 2",
    ("server", "each/other"):  "d+1 d+1 1 0 d d 0 2",
    ("graft", "one"):          "d+1 2 1 d 0 d 0 0",
    ("graft", "each"):         "d+1 d+1 1 d 0 d 0 0",
    ("graft", "one/other"):    "d+1 2 1 d 0 d 0 2",
    ("graft", "each/other"):   "d+1 d+1 1 d 0 d 0 2",
}  # fmt: skip
UNKNOWN = {
    ("async", "one/other"): {"crossings", "switches", "wake_ups", "interrupts"},
    ("async", "each/other"): {"crossings", "switches", "wake_ups", "interrupts"},
    ("direct/poll", "one/other"): {"crossings", "switches", "wake_ups", "interrupts"},
    ("direct/poll", "each/other"): {"crossings", "switches", "wake_ups", "interrupts"},
}
NAMES = tuple(dict.fromkeys(name for name, _ in EXPECTED))


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Mapping[int, btree.Image]:
    directory = tmp_path_factory.mktemp("trees")
    return {depth: small_tree(directory, depth) for depth in DEPTHS}


class Runs:
    """Each run is made once and looked at by several tests."""

    def __init__(self, trees: Mapping[int, btree.Image]) -> None:
        verified = sample()
        self.of = cache(lambda name, depth, topology: run(verified, lookups(trees[depth], topology), BY_NAME[name]))

    def __call__(self, name: str, depth: int, topology: Topology) -> Run:
        return self.of(name, depth, topology)


@pytest.fixture(scope="module")
def runs(trees: Mapping[int, btree.Image]) -> Runs:
    return Runs(trees)


def did(result: Run) -> Counts:
    return observed(together(result.counts, result.counts), result.wake_ups)


every_mechanism = pytest.mark.parametrize("name", NAMES)
every_depth = pytest.mark.parametrize("depth", DEPTHS)
every_topology = pytest.mark.parametrize("topology", TOPOLOGIES, ids=lambda topology: topology.name)


def test_the_mechanisms_are_those_that_are_tested_here(trees: Mapping[int, btree.Image]) -> None:
    lookup = lookups(trees[2], Topology(Servers.ONE))
    assert {mechanism.name for mechanism in ALL if mechanism.express(lookup) is None} == set(NAMES)


@every_topology
@every_depth
@every_mechanism
def test_every_lookup_is_answered_rightly(runs: Runs, name: str, depth: int, topology: Topology) -> None:
    result = runs(name, depth, topology)
    assert len(result.outcomes) == LOOKUPS
    assert not result.outcomes.any()
    assert result.wrong == ()


@every_topology
@every_depth
@every_mechanism
def test_the_prediction_is_that_of_the_table_above_and_so_is_the_run(
    trees: Mapping[int, btree.Image], runs: Runs, name: str, depth: int, topology: Topology
) -> None:
    predicted = BY_NAME[name].predict(lookups(trees[depth], topology))
    if (name, topology.name) in UNKNOWN:
        assert predicted.unknown == UNKNOWN[name, topology.name]
        assert predicted.why
    else:
        expected = Counts(*times(depth, EXPECTED[name, topology.name])).scaled(LOOKUPS)
        assert predicted == Prediction(expected)
    assert did(runs(name, depth, topology)).differences(predicted) == ()


@every_topology
@every_depth
@every_mechanism
def test_the_same_work_is_done_as_in_the_round_trip(runs: Runs, name: str, depth: int, topology: Topology) -> None:
    rule = BY_NAME[name].equal
    assert unequal(rule, runs("call", depth, topology).counts, runs(name, depth, topology).counts) == ()


@every_topology
@every_mechanism
def test_a_lookup_sends_once_for_each_level_below_the_root(runs: Runs, name: str, topology: Topology) -> None:
    result = runs(name, 4, topology)
    assert together(result.counts, result.counts)["helper_send"] == 3 * LOOKUPS


@every_mechanism
def test_a_server_for_each_level_does_a_step_of_every_lookup(runs: Runs, name: str) -> None:
    result = runs(name, 4, Topology(Servers.EACH))
    work = {account: counts.get("work", 0) for account, counts in result.counts.items() if account != CLIENT}
    servers = [work[f"server{number}"] for number in range(4)]
    assert len(set(servers)) == 1
    assert servers[0] > 0


def test_the_client_pays_for_its_graft_and_the_servers_for_theirs(runs: Runs) -> None:
    topology = Topology(Servers.ONE)
    attached, served = runs("graft", 2, topology), runs("server", 2, topology)
    assert attached.counts[CLIENT]["activate"] == served.counts["server0"]["activate_user"] == 2 * LOOKUPS
    assert "activate" not in attached.counts["server0"]
    assert "activate_user" not in served.counts[CLIENT]


def test_a_difference_between_accounts_is_found() -> None:
    one = {"client": {"helper_send": 3}, "server0": {"work": 10}}
    moved = {"client": {"helper_send": 2}, "server0": {"work": 10, "helper_send": 1}}
    assert unequal(PER_ACCOUNT, one, moved) == ("client: helper_send 3 against 2", "server0: helper_send 0 against 1")
    assert unequal(IN_SUM, one, moved) == ()
    assert unequal(IN_SUM, one, {"client": {"helper_send": 3}}) == ("all accounts: work 10 against 0",)
