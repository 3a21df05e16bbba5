"""A sweep runs every point once, however often it is killed, and gives the same table wherever it runs."""

from __future__ import annotations

import csv
import fcntl
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import cli
from grafting import GraftError
from grafting.diagnostics import fail
from kernel_model.experiments import provenance
from kernel_model.experiments import sweep as sweeping
from kernel_model.experiments.axes import grid
from kernel_model.experiments.point import Point
from kernel_model.experiments.sweep import key_of, lines, records, result_of, sweep
from kernel_model.experiments.workers import Here, Workers, in_any_order, in_order, workers
from kernel_model.results import tabular

HERE = Workers(Here(), 1)
POINTS = grid({"hops": (1, 2), "mechanism": ("call", "graft")}, Point(operations=2))
plain = partial(result_of, tier="python")


class Killed(BaseException):
    """The process goes down in the middle of a point."""


class Task:
    """Counts its calls, and can be killed at one of them."""

    def __init__(self, killed_at: int | None = None) -> None:
        self.points: list[Point] = []
        self.killed_at = killed_at

    def __call__(self, point: Point) -> dict[str, Any]:
        self.points.append(point)
        if len(self.points) == self.killed_at:
            raise Killed
        return point.as_dict() | {"latency_ns": point.hops}


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "out.csv.journal"


@pytest.mark.parametrize("killed_at", range(1, len(POINTS) + 1))
def test_a_killed_sweep_goes_on_where_it_stopped_and_runs_no_point_twice(journal: Path, killed_at: int) -> None:
    first, second = Task(killed_at), Task()
    with pytest.raises(Killed):
        sweep(POINTS, journal, HERE, task=first)
    sweep(POINTS, journal, HERE, task=second)
    done = first.points[: killed_at - 1] + second.points
    assert len(done) == len(set(done)) == len(POINTS)
    assert [record["hops"] for record in records(POINTS, journal)] == [point.hops for point in POINTS]


def test_a_torn_line_is_cut_off_wherever_it_was_torn(journal: Path) -> None:
    sweep(POINTS, journal, HERE, task=Task())
    whole = journal.read_bytes()
    last = whole.rstrip(b"\n").rfind(b"\n") + 1
    for end in range(last, len(whole), 97):
        journal.write_bytes(whole[:end])
        again = Task()
        sweep(POINTS, journal, HERE, task=again)
        assert len(again.points) == 1
        assert journal.read_bytes() == whole


def test_a_sweep_that_is_done_runs_nothing(journal: Path) -> None:
    sweep(POINTS, journal, HERE, task=Task())
    again = Task()
    assert sweep(POINTS, journal, HERE, task=again) == 0
    assert again.points == []


def test_a_larger_grid_runs_only_what_is_new(journal: Path) -> None:
    sweep(POINTS, journal, HERE, task=Task())
    more, task = grid({"hops": (1, 2, 3), "mechanism": ("call", "graft")}, Point(operations=2)), Task()
    sweep(more, journal, HERE, task=task)
    assert {point.hops for point in task.points} == {3}
    assert len(records(more, journal)) == 6
    assert len(records(POINTS, journal)) == 4


def test_a_point_that_fails_is_told_and_tried_again(journal: Path) -> None:
    def refuse(point: Point) -> dict[str, Any]:
        if point.hops == 2:
            raise fail("G0844", "a wrong answer")
        return point.as_dict()

    assert sweep(POINTS, journal, HERE, task=refuse) == 2
    assert [record.get("error") for record in records(POINTS, journal)] == [None, None, *["G0844: a wrong answer"] * 2]
    task = Task()
    assert sweep(POINTS, journal, HERE, task=task) == 0
    assert [point.hops for point in task.points] == [2, 2]
    assert not any("error" in record for record in records(POINTS, journal))


def test_a_changed_graft_is_another_point(tmp_path: Path) -> None:
    one, two = tmp_path / "one.graft", tmp_path / "two.graft"
    one.write_text("graft a\n")
    two.write_text("graft b\n")
    keys = [key_of(Point(graft=str(path), hops=1)) for path in (one, two)]
    assert len(set(keys)) == 2


def test_results_of_other_code_are_not_taken_for_those_of_this(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = Task(), Task()
    sweep(POINTS, journal, HERE, task=first)
    monkeypatch.setattr(sweeping, "code_digest", lambda: "another")
    assert records(POINTS, journal) == []
    sweep(POINTS, journal, HERE, task=second)
    assert first.points == second.points
    assert len(list(lines(journal))) == 2 * len(POINTS)


def test_the_digest_of_the_code_is_that_of_every_source_and_sample() -> None:
    names = {name for name, _ in provenance._sources()}
    assert {"kernel_model/core/tables.py", "jit/memory.py", "verifier/verify.py", "grafting/isa.py"} <= names
    assert "samples/queues/completions.graft" in names
    assert len(provenance.code_digest()) == 64


def test_two_sweeps_do_not_write_one_journal(journal: Path) -> None:
    with journal.open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(GraftError) as caught:
            sweep(POINTS, journal, HERE, task=Task())
    assert [d.code for d in caught.value.diagnostics] == ["G0864"]


def test_a_process_that_is_killed_leaves_whole_lines_and_the_next_ends_the_sweep(journal: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; import test_sweep as t\n"
        "def task(point):\n"
        "    if len(list(t.lines(Path(sys.argv[1])))) == 2: os.kill(os.getpid(), 9)\n"
        "    return t.plain(point)\n"
        "t.sweep(t.POINTS, Path(sys.argv[1]), t.HERE, task=task)"
    )
    run = subprocess.run([sys.executable, "-c", script, str(journal)], cwd=Path(__file__).parent, check=False)
    assert run.returncode == -9
    assert len(list(lines(journal))) == 2
    sweep(POINTS, journal, HERE, task=plain)
    alone = journal.with_name("alone")
    sweep(POINTS, alone, HERE, task=plain)
    assert records(POINTS, journal) == records(POINTS, alone)


# --- where points are run --------------------------------------------------------------------------------------------


def test_no_more_points_are_under_way_than_workers_need() -> None:
    taken: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    class Slow(Here):
        def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            future: Future[Any] = Future()
            waiting.append(future)
            if len(waiting) == 4:
                waiting.pop(0).set_result(args[0])
            return future

    waiting: list[Future[Any]] = []
    first = next(iter(in_any_order(Workers(Slow(), 4), lambda n: n, numbers())))
    assert first[0] == 0
    assert len(taken) == 4


def test_results_come_in_order_whatever_finishes_first() -> None:
    with workers(jobs=2) as pool:
        assert list(in_order(pool, abs, range(-50, 0))) == list(range(50, 0, -1))


def test_a_dask_cluster_gives_the_same_table_as_this_process(journal: Path) -> None:
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
        ) as cluster,
        workers(cluster=cluster.scheduler_address) as pool,
    ):
        assert pool.limit == 4
        sweep(POINTS, journal, pool, task=plain)
    assert records(POINTS, journal) == json.loads(json.dumps([plain(point) for point in completed(POINTS)]))


def completed(points: tuple[Point, ...]) -> list[Point]:
    from kernel_model.experiments.preparation import completed

    return [completed(point) for point in points]


# --- tables ----------------------------------------------------------------------------------------------------------

RECORDS = [
    {"hops": 1, "latency_ns": {"p50": 10, "mean": 10.5}, "band": [9.0, 11.0]},
    {"hops": 2, "latency_ns": {"p50": 20.5, "mean": 21.0}, "band": None, "error": "no"},
]


def test_a_table_has_a_column_for_each_path_and_a_line_for_each_record() -> None:
    rows = list(csv.DictReader(io.StringIO(tabular.to_csv(RECORDS))))
    assert rows[0]["latency_ns.p50"] == "10"
    assert (rows[0]["band.low"], rows[0]["band.high"]) == ("9.0", "11.0")
    assert rows[1]["error"] == "no"
    assert rows[0]["error"] == ""


def test_parquet_says_the_same_as_csv(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "out.parquet"
    tabular.write(RECORDS, path)
    rows = parquet.read_table(path).to_pylist()
    assert [row["latency_ns.p50"] for row in rows] == [10.0, 20.5]
    assert [row["error"] for row in rows] == [None, "no"]


@pytest.mark.parametrize("name", ["x.txt", "x"])
def test_an_ending_that_is_no_table_is_refused(name: str) -> None:
    with pytest.raises(GraftError, match="no table"):
        tabular.require(Path(name))


def test_numba_the_command_writes_a_table_and_goes_on_from_its_journal(tmp_path: Path) -> None:
    output = tmp_path / "out.json"
    arguments = ["sweep", "hops=1,2", "operations=2", "mechanism=call,graft", "--jobs", "1", "-o", str(output)]
    first = CliRunner().invoke(cli.main, arguments)
    assert first.exit_code == 0, first.output
    written = output.read_bytes()
    assert [(row["hops"], row["mechanism"]) for row in json.loads(written)] == [
        (1, "call"), (1, "graft"), (2, "call"), (2, "graft")
    ]  # fmt: skip
    journal = output.with_name("out.json.journal")
    before = journal.read_bytes()
    assert CliRunner().invoke(cli.main, arguments).exit_code == 0
    assert journal.read_bytes() == before
    assert output.read_bytes() == written
