"""A comparison fails on a wrong answer, reports what it did not predict, and repeats itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from btree_runs import LOOKUPS, sample, small_tree

import verifier
from grafting import GraftError, compile_graft
from kernel_model import costs
from kernel_model.experiments.compare import Plan, compare
from kernel_model.mechanisms import ALL
from kernel_model.mechanisms.scenario import CannotExpress
from kernel_model.results.comparison import Comparison, Measured
from kernel_model.workloads import btree

DEPTHS = (1, 2)
CALL, SERVER, GRAFT = (next(m for m in ALL if m.name == name) for name in ("call", "server", "graft"))


@pytest.fixture(scope="module")
def verified() -> verifier.Verified:
    return sample()


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Mapping[int, btree.Image]:
    directory = tmp_path_factory.mktemp("trees")
    return {depth: small_tree(directory, depth) for depth in DEPTHS}


@pytest.fixture(scope="module")
def plan(trees: Mapping[int, btree.Image]) -> Plan:
    profiles = [costs.load(name) for name in costs.DEFAULT_PROFILES]
    return Plan([trees[depth] for depth in DEPTHS], profiles, lookups=LOOKUPS, tier="python")


@pytest.fixture(scope="module")
def result(verified: verifier.Verified, plan: Plan) -> Comparison:
    return compare(verified, plan)


def small(plan: Plan, **changes: object) -> Plan:
    """One point of the grid: the deepest tree, the first profile and topology."""
    one = {"images": plan.images[-1:], "profiles": plan.profiles[:1], "topologies": plan.topologies[:1]}
    return replace(plan, **(one | changes))  # type: ignore[arg-type]


def damaged(image: btree.Image, directory: Path, change: str) -> btree.Image:
    """The same tree in another file, in which every leaf has a wrong field."""
    nodes = np.frombuffer(image.path.read_bytes(), btree.NODE).copy()
    leaves = nodes["leaf"] == 1
    match change:
        case "values":
            nodes["child"][leaves] += 1
        case "keys":
            nodes["keys"][leaves] += 1
    path = directory / "damaged.btree"
    path.write_bytes(nodes.tobytes())
    return replace(image, path=path)


def test_every_point_of_the_grid_has_a_row(result: Comparison, plan: Plan) -> None:
    points = {(row.profile, row.topology, row.depth, row.mechanism) for row in result.rows}
    assert len(points) == len(result.rows) == 2 * len(DEPTHS) * len(plan.topologies) * len(ALL)


def test_nothing_is_missed(result: Comparison) -> None:
    assert result.misses == ()
    measured = [row.measured for row in result.rows]
    assert all(m is not None and m.as_predicted for m in measured)


def test_no_time_of_a_lookup_is_left_uncharged(result: Comparison) -> None:
    """On one core in a closed loop without think time, the accounts hold at least the time of the lookups."""
    for row in result.rows:
        assert isinstance(row.result, Measured)
        charged = sum(sum(by.values()) for by in row.result.ns.values())
        assert charged >= row.result.latency.mean / 1000 * (1 - 1e-9)


def test_each_run_is_announced_once(verified: verifier.Verified, plan: Plan) -> None:
    said: list[str] = []
    compare(verified, small(plan, mechanisms=(CALL,)), said.append)
    assert len(said) == small(plan, mechanisms=(CALL,)).runs == 1


def test_the_same_seed_gives_the_same_comparison(verified: verifier.Verified, plan: Plan) -> None:
    one, two, other = (compare(verified, small(plan, seed=seed)).to_json() for seed in (5, 5, 6))
    assert one == two
    assert one != other


@pytest.mark.parametrize("mechanism", ALL, ids=lambda mechanism: mechanism.name)
@pytest.mark.parametrize("change", ["values", "keys"])
def test_a_wrong_answer_fails_the_run(
    verified: verifier.Verified, plan: Plan, tmp_path: Path, mechanism: object, change: str
) -> None:
    image = damaged(plan.images[-1], tmp_path, change)
    with pytest.raises(GraftError) as caught:
        compare(verified, small(plan, images=[image], mechanisms=(mechanism,)))
    assert [d.code for d in caught.value.diagnostics] == ["G0844"]


def test_an_image_that_was_cut_off_is_refused(verified: verifier.Verified, plan: Plan, tmp_path: Path) -> None:
    path = tmp_path / "short.btree"
    path.write_bytes(plan.images[-1].path.read_bytes()[:-1])
    with pytest.raises(GraftError) as caught:
        compare(verified, small(plan, images=[replace(plan.images[-1], path=path)]))
    assert [d.code for d in caught.value.diagnostics] == ["G0843"]


def test_a_graft_that_reads_no_blocks_is_refused(plan: Plan) -> None:
    text = "graft idle\n\non timer(id) {\n    return done\n}\n"
    with pytest.raises(GraftError) as caught:
        compare(verifier.verify(compile_graft(text, filename="idle.graft")), small(plan))
    assert [d.code for d in caught.value.diagnostics] == ["G0841"]


def test_a_false_prediction_is_reported_and_the_figures_kept(verified: verifier.Verified, plan: Plan) -> None:
    boastful = replace(GRAFT, predict=lambda workload: replace(GRAFT.predict(workload), crossings=1))
    subject = compare(verified, small(plan, mechanisms=(CALL, boastful)))
    assert len(subject.misses) == 1
    assert f"crossings: predicted {LOOKUPS}, observed {3 * LOOKUPS}" in subject.misses[0]
    assert subject.rows[1].measured is not None
    assert not subject.rows[1].measured.as_predicted


def test_work_on_another_account_than_in_the_round_trip_is_reported_unless_the_mechanism_says_so(
    verified: verifier.Verified, plan: Plan
) -> None:
    assert compare(verified, small(plan, mechanisms=(CALL, SERVER))).misses == ()
    silent = replace(SERVER, moves_handler=False)
    misses = compare(verified, small(plan, mechanisms=(CALL, silent))).misses
    assert any("server against call: client: helper_send" in miss for miss in misses)


def test_a_mechanism_that_cannot_express_the_workload_has_a_reason_and_does_not_run(
    verified: verifier.Verified, plan: Plan
) -> None:
    def build(*_: object) -> None:
        raise AssertionError

    reason = CannotExpress("the next index must be computed")
    unable = replace(GRAFT, name="linked", express=lambda _workload: reason, build=build)
    subject = compare(verified, small(plan, mechanisms=(CALL, unable)))
    assert [row.result for row in subject.rows[1:]] == [reason]
    assert json.loads(subject.to_json())["rows"][1]["cannot_express"] == reason.reason


def test_json_has_what_is_needed_to_repeat_the_run(result: Comparison, plan: Plan) -> None:
    data = json.loads(result.to_json())
    assert (data["seed"], data["lookups"], data["engine"]) == (plan.seed, LOOKUPS, "interpreted")
    assert all("sha256" in text for text in data["profiles"].values())
    assert all(row["per_operation"] == row["predicted_per_operation"] for row in data["rows"])
