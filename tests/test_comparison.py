"""A comparison judges the graft inside its group, says so when it loses, and exports what it shows."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from grafting import GraftError
from kernel_model.costs.bands import Move, Sensitivity
from kernel_model.experiments.point import Point
from kernel_model.mechanisms.counts import Counts, Prediction
from kernel_model.mechanisms.scenario import CannotExpress
from kernel_model.results import plot, report
from kernel_model.results.comparison import Comparison, Group, Row
from kernel_model.results.outcome import Outcome
from kernel_model.results.statistics import histogram_of

ONE, EACH = (
    Point(servers=servers, place="same", clients=1, profile="p", operations=100) for servers in ("one", "each")
)


def measured(point: Point, us: float, uncertainty: float = 0.0) -> Outcome:
    ps = int(us * 1e6)
    return Outcome(
        point=point,
        profile="p (cpu)",
        data="names",
        arrivals="closed loop",
        concurrent=False,
        latency=histogram_of([ps] * 100),
        window_ps=100 * ps,
        elapsed_ps=100 * ps,
        charging_ps=0,
        counts=Counts(200, 200, 100, 0, 100),
        predicted=Prediction(Counts(200, 200, 100, 0, 100)),
        accounts={},
        spent={"client": {"user": 30_000_000, "graft": 5_000_000}, "server0": {"user": int(us * 5e7)}},
        sensitivity=Sensitivity(ps, {"switch": Move(0.0, ps * uncertainty)}),
        longest_section_ps=400_000,
        worst_release_ps=500_000,
    )


def row(point: Point, hops: int, mechanism: str, us: float | str, uncertainty: float = 0.0) -> Row:
    point = replace(point, hops=hops, mechanism=mechanism)
    return Row(point, CannotExpress(us) if isinstance(us, str) else measured(point, us, uncertainty))


def comparison(*latencies: tuple[Point, int, dict[str, float | str]]) -> Comparison:
    return Comparison(tuple(row(p, hops, name, us) for p, hops, by in latencies for name, us in by.items()), ())


def group(**us: float) -> Group:
    return next(comparison((ONE, 1, dict(us))).groups())


def text_of(subject: Comparison) -> str:
    console = Console(width=200, file=io.StringIO(), color_system=None)
    console.print(*report.tables(subject), sep="\n")
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_the_best_rival_is_the_fastest_mechanism_but_the_graft() -> None:
    best = group(call=8, server=3, graft=1).best_rival()
    assert best is not None
    assert best.mechanism == "server"


def test_a_mechanism_that_cannot_express_the_workload_is_no_rival() -> None:
    subject = next(comparison((ONE, 1, {"call": 8.0, "linked": "it cannot compute", "graft": 1.0})).groups())
    best = subject.best_rival()
    assert best is not None
    assert best.mechanism == "call"
    assert subject.speed_up("linked") is None


def test_speed_up_is_the_ratio_of_medians() -> None:
    assert group(call=8, graft=2).speed_up("graft") == pytest.approx(4, rel=0.01)


@pytest.mark.parametrize(
    ("speed_up", "words"), [(2.0, "2.00x faster"), (0.5, "0.50x SLOWER"), (1.001, "1.00x equal"), (None, "")]
)
def test_a_ratio_is_said_in_words(speed_up: float | None, words: str) -> None:
    assert report.ratio(speed_up).plain == words


@pytest.mark.parametrize(
    ("numbers", "words"), [((), ""), ((4,), "4"), ((1, 2, 3), "1..3"), ((1, 3, 4, 8), "1, 3..4, 8")]
)
def test_numbers_in_a_row_become_a_span(numbers: tuple[int, ...], words: str) -> None:
    assert report.spans(numbers) == words


def test_the_verdict_names_the_lengths_where_the_graft_loses() -> None:
    subject = comparison(
        (EACH, 1, {"call": 2.0, "server": 1.0, "graft": 3.0}), (EACH, 2, {"call": 9.0, "server": 5.0, "graft": 4.0})
    )
    text = text_of(subject)
    assert "beats call at 2 hops; LOSES to call at 1 hops" in text
    assert "beats the best rival at 2 hops; LOSES to the best rival at 1 hops" in text
    assert "0.33x SLOWER (server)" in text


def test_the_table_gives_the_reason_of_what_cannot_be_expressed() -> None:
    assert "it cannot compute" in text_of(comparison((ONE, 1, {"call": 8.0, "linked": "it cannot compute"})))


def test_a_miss_is_printed() -> None:
    subject = comparison((ONE, 1, {"call": 8.0}))
    missed = replace(subject, misses=("wake-ups: 2",))
    assert "not as predicted: wake-ups: 2" in text_of(missed)
    assert "not as predicted" not in text_of(subject)


def test_json_and_csv_have_a_record_for_each_row() -> None:
    subject = comparison((ONE, 1, {"call": 8.0, "graft": 2.0}), (ONE, 2, {"call": 9.0, "linked": "no"}))
    data = json.loads(subject.to_json())
    lines = list(csv.DictReader(io.StringIO(subject.to_csv())))
    assert data["schema"] == 2
    assert [row["mechanism"] for row in data["rows"]] == [line["mechanism"] for line in lines] == [
        "call", "graft", "call", "linked"
    ]  # fmt: skip
    assert data["rows"][1]["speed_up_over_call"] == pytest.approx(4, rel=0.01)
    assert data["rows"][3]["cannot_express"] == lines[3]["cannot_express"] == "no"


def test_the_picture_is_the_same_for_the_same_comparison(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    subject = comparison((ONE, 1, {"call": 8.0, "graft": 2.0}), (EACH, 1, {"call": 9.0, "graft": 4.0}))
    one, two = tmp_path / "one.svg", tmp_path / "two.svg"
    plot.draw(subject, one)
    plot.draw(subject, two)
    assert one.read_bytes() == two.read_bytes()
    assert b"<svg" in one.read_bytes()


def test_an_ending_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(GraftError, match="no picture"):
        plot.draw(comparison((ONE, 1, {"call": 8.0})), tmp_path / "compare.docx")


@pytest.mark.parametrize(
    ("speed_up", "band", "stands"),
    [
        (1.4, (1.2, 1.6), "faster"),
        (1.1, (0.9, 1.3), "unclear"),
        (0.8, (0.7, 0.9), "SLOWER"),
        (0.9, (0.8, 1.1), "unclear"),
        (1.0, (1.0, 1.0), "equal"),
    ],
)
def test_a_lead_within_the_uncertainty_is_none(speed_up: float, band: tuple[float, float], stands: str) -> None:
    assert report.standing(speed_up, band).value == stands


def test_the_verdict_claims_nothing_that_uncertain_figures_could_undo() -> None:
    unclear = Comparison((row(ONE, 1, "call", 8.0), row(ONE, 1, "graft", 6.0, uncertainty=0.5)), ())
    assert "cannot be told from call at 1 hops" in text_of(unclear)


def test_on_several_cores_there_is_no_band_and_what_is_not_predicted_has_a_reason() -> None:
    point = replace(ONE, place="other", hops=1, mechanism="call")
    predicted = Prediction(Counts(), frozenset({"switches"}), "two cores race")
    alone = replace(measured(point, 8.0), sensitivity=None, predicted=predicted)
    other = Comparison((Row(point, alone),), ())
    assert "Not predicted: two cores race." in text_of(other)
    assert json.loads(other.to_json())["rows"][0]["p50_band_ns"] is None
