"""Every mechanism answers rightly, does what was predicted for it, and does the same work as the round trip."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import pytest
from btree_runs import LOOKUPS, Run, lookups, run, sample, small_tree

from kernel_model.mechanisms import ALL
from kernel_model.mechanisms.counts import Counts, differences, differences_in_sum, together
from kernel_model.mechanisms.scenario import CLIENT
from kernel_model.workloads import btree
from kernel_model.workloads.workload import Servers, Topology

NAMES = ("call", "async", "server", "graft")
DEPTHS = (1, 2, 4)
TOPOLOGIES = (Topology(Servers.ONE), Topology(Servers.EACH))
BY_NAME = {mechanism.name: mechanism for mechanism in ALL}

# Per lookup of depth d, written out here by hand: (depth, one server or one a level) -> crossings, switches, wake-ups,
# activations in the kernel, in user mode.
EXPECTED = {
    ("call", 1, "one"): (2, 2, 1, 0, 1), ("call", 1, "each"): (2, 2, 1, 0, 1),
    ("call", 2, "one"): (4, 4, 2, 0, 2), ("call", 2, "each"): (4, 4, 2, 0, 2),
    ("call", 4, "one"): (8, 8, 4, 0, 4), ("call", 4, "each"): (8, 8, 4, 0, 4),
    ("async", 1, "one"): (3, 2, 1, 0, 1), ("async", 1, "each"): (3, 2, 1, 0, 1),
    ("async", 2, "one"): (6, 4, 2, 0, 2), ("async", 2, "each"): (6, 4, 2, 0, 2),
    ("async", 4, "one"): (12, 8, 4, 0, 4), ("async", 4, "each"): (12, 8, 4, 0, 4),
    ("server", 1, "one"): (2, 2, 1, 0, 1), ("server", 1, "each"): (2, 2, 1, 0, 1),
    ("server", 2, "one"): (2, 2, 1, 0, 2), ("server", 2, "each"): (3, 3, 1, 0, 2),
    ("server", 4, "one"): (2, 2, 1, 0, 4), ("server", 4, "each"): (5, 5, 1, 0, 4),
    ("graft", 1, "one"): (2, 2, 1, 1, 0), ("graft", 1, "each"): (2, 2, 1, 1, 0),
    ("graft", 2, "one"): (3, 2, 1, 2, 0), ("graft", 2, "each"): (3, 3, 1, 2, 0),
    ("graft", 4, "one"): (5, 2, 1, 4, 0), ("graft", 4, "each"): (5, 5, 1, 4, 0),
}  # fmt: skip


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


def observed(result: Run) -> Counts:
    total = together(result.counts, result.counts)
    return Counts(
        total.get("entry", 0),
        total.get("switch", 0),
        result.wake_ups,
        total.get("activate", 0),
        total.get("activate_user", 0),
    )


every_mechanism = pytest.mark.parametrize("name", NAMES)
every_depth = pytest.mark.parametrize("depth", DEPTHS)
every_topology = pytest.mark.parametrize("topology", TOPOLOGIES, ids=lambda topology: topology.name)


def test_the_mechanisms_are_those_that_are_tested_here() -> None:
    assert {mechanism.name for mechanism in ALL} == set(NAMES)


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
def test_the_prediction_is_that_of_the_table_above(
    trees: Mapping[int, btree.Image], name: str, depth: int, topology: Topology
) -> None:
    assert BY_NAME[name].predict(lookups(trees[depth], topology)) == Counts(*EXPECTED[name, depth, topology.name])


@every_topology
@every_depth
@every_mechanism
def test_the_counts_are_those_of_the_table_above(runs: Runs, name: str, depth: int, topology: Topology) -> None:
    expected = Counts(*EXPECTED[name, depth, topology.name]).scaled(LOOKUPS)
    assert observed(runs(name, depth, topology)) == expected


@every_topology
@every_depth
@pytest.mark.parametrize("name", ["async", "graft"])
def test_work_helpers_and_copies_are_charged_to_the_same_accounts_as_in_the_round_trip(
    runs: Runs, name: str, depth: int, topology: Topology
) -> None:
    assert differences(runs("call", depth, topology).counts, runs(name, depth, topology).counts) == ()


@every_topology
@every_depth
def test_with_the_handler_in_the_servers_work_and_helpers_are_equal_in_sum(
    runs: Runs, depth: int, topology: Topology
) -> None:
    assert differences_in_sum(runs("call", depth, topology).counts, runs("server", depth, topology).counts) == ()


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
    assert differences(one, moved) == ("client: helper_send 3 against 2", "server0: helper_send 0 against 1")
    assert differences_in_sum(one, moved) == ()
    assert differences_in_sum(one, {"client": {"helper_send": 3}}) == ("all accounts: work 10 against 0",)
