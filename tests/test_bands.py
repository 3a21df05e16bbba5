"""Bands hold every result that the uncertain figures allow, and no wider one."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import grafting
import verifier
from kernel_model import costs
from kernel_model.core import prices
from kernel_model.costs.bands import Move, Sensitivity, sensitivity
from kernel_model.experiments.point import Point
from kernel_model.kernel import Kernel
from kernel_model.mechanisms import ALL
from kernel_model.mechanisms.scenario import Mechanism, Scenario
from kernel_model.workloads import btree, catalogue
from kernel_model.workloads.lookups import btree_lookups
from kernel_model.workloads.workload import TOPOLOGIES, Core, Topology, Workload, bind

SAMPLE = Path(__file__).resolve().parents[1] / "samples" / "btree_lookup.graft"
moves = st.builds(Move, st.floats(-9, 9), st.floats(-9, 9))
latencies = st.builds(Sensitivity, st.floats(200, 400), st.dictionaries(st.sampled_from("abcd"), moves))


def corner(latency: Sensitivity, choice: dict[str, int]) -> float:
    return latency.typical + sum((0.0, m.low, m.high)[choice[name]] for name, m in latency.moves.items())


choices = st.fixed_dictionaries({name: st.integers(0, 2) for name in "abcd"})


@given(latencies, choices)
def test_a_band_holds_every_corner(latency: Sensitivity, choice: dict[str, int]) -> None:
    low, high = latency.band()
    assert low - 1e-6 <= corner(latency, choice) <= high + 1e-6


@given(latencies, latencies, choices)
def test_a_speed_up_band_holds_every_common_corner(
    mine: Sensitivity, other: Sensitivity, choice: dict[str, int]
) -> None:
    low, high = mine.speed_up_over(other)
    assert low - 1e-9 <= corner(other, choice) / corner(mine, choice) <= high + 1e-9


@given(latencies, latencies)
def test_the_ends_of_a_speed_up_band_are_reached(mine: Sensitivity, other: Sensitivity) -> None:
    quotients = [
        corner(other, dict(zip("abcd", picks, strict=True))) / corner(mine, dict(zip("abcd", picks, strict=True)))
        for picks in product(range(3), repeat=4)
    ]
    assert mine.speed_up_over(other) == pytest.approx((min(quotients), max(quotients)))


def test_what_burdens_both_alike_does_not_widen_the_speed_up() -> None:
    mine, other = Sensitivity(100.0, {"x": Move(-10.0, 10.0)}), Sensitivity(200.0, {"x": Move(-20.0, 20.0)})
    assert mine.speed_up_over(other) == pytest.approx((2.0, 2.0))


@pytest.fixture(scope="module")
def verified() -> verifier.Verified:
    return verifier.verify(grafting.compile_graft(SAMPLE.read_text()))


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> btree.Image:
    return btree.write_image(tmp_path_factory.mktemp("images"), 3)


def run(
    mechanism: Mechanism, workload: Workload, profile: costs.Profile, graft: verifier.Verified
) -> tuple[float, Any]:
    """Return the mean latency (ps) and the counts of a run of the kernel."""
    kernel = Kernel(profile, engine="python")
    stage = mechanism.build(kernel, Scenario(workload, graft, bind(graft.program, workload)))
    kernel.run()
    before = dict(kernel.totals.counts)
    stage.start()
    kernel.run()
    results = stage.results()
    counts = {name: count - before.get(name, 0) for name, count in kernel.totals.counts.items()}
    return float(np.mean(results["finished"] - results["arrival"])), counts


def moved(profile: costs.Profile, name: str) -> costs.Profile:
    """Return the profile with one given figure at its high end."""
    changes = {prices.PRIMITIVES[row].name: ps for row, ps in profile.uncertain[name].high.items()}
    figures = {n: replace(f, value=f.value + changes.get(n, 0)) for n, f in profile.primitives.items()}
    return replace(profile, primitives=figures)


SAME_CORE = [topology for topology in TOPOLOGIES if topology.core is Core.SAME]
LOOKING_UP = [  # what does look-ups, and on one core
    (mechanism, topology)
    for topology in SAME_CORE
    for workload in [catalogue.make(Point(hops=3, servers=topology.servers.value, serving=topology.serving.value,
                                          operations=1))]
    for mechanism in ALL
    if mechanism.unable(workload, 1) is None
]  # fmt: skip


@pytest.mark.parametrize(("mechanism", "topology"), LOOKING_UP, ids=lambda value: value.name)
def test_on_one_core_the_kernel_is_as_linear_as_the_band_assumes(
    mechanism: Mechanism, topology: Topology, image: btree.Image, verified: verifier.Verified
) -> None:
    operations = 6  # the tolerance is a third of one count an operation
    workload = btree_lookups(image, topology, lookups=operations, seed=1)
    profile = costs.load("linux-host")
    typical, counts = run(mechanism, workload, profile, verified)
    predicted = sensitivity(profile, counts, operations, typical).moves
    for name in ("switch", "entry", "call", "helper_send", "map_lookup", "interpreted_load"):
        changed, _ = run(mechanism, workload, moved(profile, name), verified)
        expected = predicted[name].high if name in predicted else 0.0
        once = max(map(abs, profile.uncertain[name].high.values()))  # what the first or last operation lacks
        assert changed - typical == pytest.approx(expected, abs=2 * once / operations)
