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
from kernel_model.experiments.axes import by_mechanisms, grid
from kernel_model.experiments.compare import compare
from kernel_model.experiments.point import Point
from kernel_model.experiments.run import measure, run
from kernel_model.mechanisms import ALL, mechanism_of
from kernel_model.mechanisms.counts import Prediction
from kernel_model.mechanisms.equality import PER_ACCOUNT
from kernel_model.mechanisms.scenario import CannotExpress, Mechanism, Scenario
from kernel_model.results.comparison import Comparison
from kernel_model.results.outcome import Outcome
from kernel_model.workloads import btree
from kernel_model.workloads.lookups import btree_lookups
from kernel_model.workloads.workload import Servers, Topology, Workload, bind

HOPS = (1, 2)
CALL, SERVER, GRAFT = (mechanism_of(name) for name in ("call", "server", "graft"))
ONE_POINT = Point(hops=2, servers="one", operations=LOOKUPS)
POINTS = by_mechanisms(
    grid({"profile": costs.DEFAULT_PROFILES, "servers": ("one", "each"), "hops": HOPS}, Point(operations=LOOKUPS)),
    [mechanism.name for mechanism in ALL],
)


@pytest.fixture(scope="module")
def verified() -> verifier.Verified:
    return sample()


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Mapping[int, btree.Image]:
    directory = tmp_path_factory.mktemp("trees")
    return {hops: small_tree(directory, hops) for hops in HOPS}


class Runner:
    """Runs points on the given trees, with these mechanisms in place of those of the same names."""

    def __init__(self, verified: verifier.Verified, trees: Mapping[int, btree.Image], *mechanisms: Mechanism) -> None:
        self.verified = verified
        self.trees = trees
        self.mechanisms = {mechanism.name: mechanism for mechanism in (*ALL, *mechanisms)}

    def __call__(self, point: Point) -> Outcome | CannotExpress:
        assert point.hops is not None
        topology = Topology(Servers(point.servers))
        workload = btree_lookups(self.trees[point.hops], topology, lookups=point.operations, seed=point.seed)
        scenario = Scenario(workload, self.verified, bind(self.verified.program, workload))
        return measure(point, scenario, self.mechanisms[point.mechanism], tier="python")


@pytest.fixture(scope="module")
def runner(verified: verifier.Verified, trees: Mapping[int, btree.Image]) -> Runner:
    return Runner(verified, trees)


@pytest.fixture(scope="module")
def result(runner: Runner) -> Comparison:
    return compare(POINTS, runner=runner)


def small(runner: Runner, *mechanisms: Mechanism, point: Point = ONE_POINT) -> Comparison:
    """One point of the grid, the deepest tree with one server, by these mechanisms."""
    points = by_mechanisms([point], [mechanism.name for mechanism in mechanisms])
    return compare(points, runner=Runner(runner.verified, runner.trees, *mechanisms))


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


def test_every_point_of_the_grid_has_a_row(result: Comparison) -> None:
    assert [replace(row.point, mechanism="call") for row in result.rows] == [row.same for row in result.rows]
    assert len({row.point for row in result.rows}) == len(result.rows) == 2 * 2 * len(HOPS) * len(ALL)


def test_nothing_is_missed(result: Comparison) -> None:
    assert result.misses == ()
    assert all(row.outcome is None or row.outcome.as_predicted for row in result.rows)


def test_no_time_of_a_lookup_is_left_uncharged(result: Comparison) -> None:
    """On one core in a closed loop without think time, the accounts hold at least the time of the lookups."""
    for row in result.rows:
        if row.outcome:
            assert row.outcome.ns() >= row.outcome.latency.mean / 1000 * (1 - 1e-9)


def test_each_run_is_announced_once(runner: Runner) -> None:
    said: list[str] = []
    compare(by_mechanisms([ONE_POINT], ["call"]), runner=runner, progress=said.append)
    assert len(said) == 1


def test_the_same_seed_gives_the_same_comparison(runner: Runner) -> None:
    one, two, other = (small(runner, *ALL, point=replace(ONE_POINT, seed=seed)) for seed in (5, 5, 6))
    assert one.to_json() == two.to_json()
    assert [r.outcome.latency for r in one.rows if r.outcome] != [r.outcome.latency for r in other.rows if r.outcome]


@pytest.mark.parametrize("name", ["call", "async", "server", "graft"])
@pytest.mark.parametrize("change", ["values", "keys"])
def test_a_wrong_answer_fails_the_run(
    verified: verifier.Verified, trees: Mapping[int, btree.Image], tmp_path: Path, name: str, change: str
) -> None:
    wrong = Runner(verified, {2: damaged(trees[2], tmp_path, change)})
    with pytest.raises(GraftError) as caught:
        wrong(replace(ONE_POINT, mechanism=name))
    assert [d.code for d in caught.value.diagnostics] == ["G0844"]


def test_an_image_that_was_cut_off_is_refused(
    verified: verifier.Verified, trees: Mapping[int, btree.Image], tmp_path: Path
) -> None:
    path = tmp_path / "short.btree"
    path.write_bytes(trees[2].path.read_bytes()[:-1])
    with pytest.raises(GraftError) as caught:
        Runner(verified, {2: replace(trees[2], path=path)})(ONE_POINT)
    assert [d.code for d in caught.value.diagnostics] == ["G0843"]


def test_a_graft_that_reads_no_blocks_is_refused(trees: Mapping[int, btree.Image]) -> None:
    text = "graft idle\n\non timer(id) {\n    return done\n}\n"
    with pytest.raises(GraftError) as caught:
        Runner(verifier.verify(compile_graft(text, filename="idle.graft")), trees)(ONE_POINT)
    assert [d.code for d in caught.value.diagnostics] == ["G0841"]


def test_a_false_prediction_is_reported_and_the_figures_kept(runner: Runner) -> None:
    def boast(workload: Workload) -> Prediction:
        return Prediction(replace(GRAFT.predict(workload).counts, crossings=LOOKUPS))

    boastful = replace(GRAFT, predict=boast)
    subject = small(runner, CALL, boastful)
    assert len(subject.misses) == 1
    assert f"crossings: predicted {LOOKUPS}, observed {3 * LOOKUPS}" in subject.misses[0]
    assert subject.rows[1].outcome is not None
    assert not subject.rows[1].outcome.as_predicted


def test_work_on_another_account_than_in_the_round_trip_is_reported_unless_the_mechanism_says_so(
    runner: Runner,
) -> None:
    assert small(runner, CALL, SERVER).misses == ()
    silent = replace(SERVER, equal=PER_ACCOUNT)
    assert any("server against call: client: helper_send" in miss for miss in small(runner, CALL, silent).misses)


def test_a_mechanism_that_cannot_express_the_workload_has_a_reason_and_does_not_run(runner: Runner) -> None:
    def build(*_: object) -> None:
        raise AssertionError

    reason = CannotExpress("the next index must be computed")
    unable = replace(GRAFT, name="telepathy", express=lambda _workload: reason, build=build)
    subject = small(runner, CALL, unable)
    assert [row.result for row in subject.rows[1:]] == [reason]
    assert json.loads(subject.to_json())["rows"][1]["cannot_express"] == reason.reason


def test_json_has_what_is_needed_to_repeat_the_run(result: Comparison) -> None:
    data = json.loads(result.to_json())
    assert all("sha256" in text for text in data["profiles"].values())
    for point, row in zip(POINTS, data["rows"], strict=True):
        asked = {name: value for name, value in point.as_dict().items() if value is not None}
        assert asked.items() <= row.items()
        assert row.get("per_operation") == row.get("predicted_per_operation")


def test_a_point_is_run_with_its_workloads_own_defaults_where_it_says_nothing() -> None:
    (row,) = compare(
        by_mechanisms([Point(operations=1)], ["call"]), runner=lambda point: CannotExpress(str(point.hops))
    ).rows
    assert row.point.hops is not None
    assert row.result == CannotExpress(str(row.point.hops))


@pytest.mark.parametrize(
    "values", [{"hops": 0}, {"servers": "two"}, {"place": "far"}, {"load": 0.0}, {"warm_up": 1.0}, {"charge": None}]
)
def test_a_point_out_of_range_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(GraftError) as caught:
        Point(**values)  # type: ignore[arg-type]
    assert [d.code for d in caught.value.diagnostics] == ["G0858"]


def test_numba_a_point_runs_alike_in_both_tiers() -> None:
    point = replace(ONE_POINT, servers="each")
    one, two = run(point, tier="python"), run(point, tier="numba")
    assert isinstance(one, Outcome)
    assert one == two


def test_on_several_cores_runs_at_the_least_and_the_greatest_prices_bound_the_median() -> None:
    """With one client in a closed loop time is the longest path through the charges, which grows with every price."""
    outcome = run(replace(ONE_POINT, place="other"), tier="python")
    assert isinstance(outcome, Outcome)
    assert outcome.sensitivity is None
    assert outcome.band is not None
    assert outcome.band[0] < outcome.summary.p50 < outcome.band[1]


def test_the_bracket_of_a_sum_is_not_narrower_than_its_band() -> None:
    """Where both are known: prices each at their end allow more than the figures they are derived from."""
    waiting = run(replace(ONE_POINT, think_ns=100), tier="python")
    busy = run(ONE_POINT, tier="python")
    assert isinstance(waiting, Outcome)
    assert isinstance(busy, Outcome)
    assert waiting.bracket is not None
    assert busy.sensitivity is not None
    low, high = busy.sensitivity.band()
    assert waiting.bracket[0] - waiting.summary.p50 <= (low - busy.summary.p50) * 0.99
    assert waiting.bracket[1] - waiting.summary.p50 >= (high - busy.summary.p50) * 0.99


def test_where_queues_form_there_is_no_band() -> None:
    outcome = run(replace(ONE_POINT, load=50e3), tier="python")
    assert isinstance(outcome, Outcome)
    assert outcome.band is None
