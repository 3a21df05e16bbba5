"""Pictures and pages show what was measured, draw nothing that was not, and are the same for the same comparison."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner

import cli
from grafting import GraftError
from kernel_model import costs
from kernel_model.experiments.axes import by_mechanisms, grid
from kernel_model.experiments.compare import compare
from kernel_model.experiments.point import Point
from kernel_model.experiments.preparation import scenario_of
from kernel_model.experiments.run import measure, run
from kernel_model.mechanisms import mechanism_of
from kernel_model.results import figures, plot, report
from kernel_model.results.breakeven import IPC, line_of, map_of, winners
from kernel_model.results.comparison import Comparison, Group
from kernel_model.results.outcome import PS_PER_NS, Outcome
from kernel_model.results.page import page

pytest.importorskip("matplotlib")

NAMES = ("call", "async", "server", "graft")
plain = partial(run, tier="python")


@pytest.fixture(scope="module")
def closed() -> Comparison:
    return compare(
        by_mechanisms(grid({"servers": ("one", "each"), "hops": (1, 3)}, Point(operations=4)), NAMES), runner=plain
    )


@pytest.fixture(scope="module")
def loaded() -> Comparison:
    axes = {"load": (20e3, 60e3)}
    return compare(by_mechanisms(grid(axes, Point(operations=6, hops=2)), ("call", "graft")), runner=plain)


def group_of(comparison: Comparison, hops: int) -> Group:
    return next(group for group in comparison.groups() if group.hops == hops)


# --- the break-even map ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("factor", "work_ns"), [(1.0, 200), (1.0, 5000), (3.0, 200), (0.5, 1000)])
def test_the_map_foretells_runs_at_other_prices_and_other_work_exactly(
    closed: Comparison, name: str, factor: float, work_ns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = costs.load("sel4-skylake")
    outcome = group_of(closed, 3).of(name)
    assert outcome is not None
    foretold = line_of(outcome, profile).at(factor, work_ns)
    scaled = {
        each: replace(figure, value=round(figure.value * (factor if each in IPC else 1)))
        for each, figure in profile.primitives.items()
    }
    monkeypatch.setattr("kernel_model.experiments.run.profile_of", lambda _name: replace(profile, primitives=scaled))
    point = replace(outcome.point, work_ns=work_ns)
    again = measure(point, scenario_of(point), mechanism_of(name), tier="python")
    assert isinstance(again, Outcome)
    busy = sum(sum(by.values()) for account, by in again.spent.items() if not account.startswith("idle"))
    assert busy / PS_PER_NS / again.operations == pytest.approx(foretold, rel=1e-3)


def test_work_makes_all_alike_and_dear_ipc_favours_who_crosses_least(closed: Comparison) -> None:
    found = map_of(group_of(closed, 3), costs.load("sel4-skylake"))
    assert found is not None
    much_work = [found.lines[name].at(1, 1e9) for name in NAMES]
    assert max(much_work) / min(much_work) < 1.001
    assert found.winner(1000, 10) == "server"
    assert winners(found, (1, 1000), (10,)) == [[found.winner(1, 10), "server"]]


def test_where_time_is_no_sum_there_is_no_map(closed: Comparison, loaded: Comparison) -> None:
    profile = costs.load("sel4-skylake")
    assert map_of(next(loaded.groups()), profile) is None
    group = group_of(closed, 3)
    assert map_of(replace(group, point=replace(group.point, place="other")), profile) is None
    assert map_of(replace(group, rows=group.rows[:1]), profile) is None


# --- pictures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["map", "accounts"])
def test_a_picture_is_the_same_for_the_same_comparison(closed: Comparison, tmp_path: Path, kind: str) -> None:
    one, two = tmp_path / "one.svg", tmp_path / "two.svg"
    plot.draw(closed, one, kind)
    plot.draw(closed, two, kind)
    assert one.read_bytes() == two.read_bytes()
    assert b"<svg" in one.read_bytes()


def test_load_is_drawn_if_it_was_varied(closed: Comparison, loaded: Comparison, tmp_path: Path) -> None:
    plot.draw(loaded, tmp_path / "load.png", "load")
    assert (tmp_path / "load.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(GraftError) as caught:
        plot.draw(closed, tmp_path / "none.png", "load")
    assert [d.code for d in caught.value.diagnostics] == ["G0867"]
    assert not (tmp_path / "none.png").exists()


def test_every_mechanism_has_a_style_of_its_own() -> None:
    from kernel_model.mechanisms import BY_NAME

    drawn = [(figures.style(name)["color"], figures.style(name)["linestyle"]) for name in BY_NAME]
    assert len(set(drawn)) == len(drawn)


# --- the page --------------------------------------------------------------------------------------------------------


class Reader(HTMLParser):
    """Checks that elements nest, and keeps what matters."""

    VOID = frozenset({"meta"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.counts: dict[str, int] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.links += [value for name, value in attrs if name in ("href", "src", "xlink:href") and value]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value for name, value in attrs if name in ("href", "src", "xlink:href") and value]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def text(closed: Comparison) -> str:
    sections = [("Who wins", [*report.summary(closed)]), ("Tables", [*report.details(closed)])]
    return page(closed, sections, ["graft", "compare", "--hops", "1,3", "a b.graft"])


def test_the_page_is_well_formed_and_asks_nothing_of_other_files(text: str) -> None:
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    assert all(link.startswith(("#", "data:")) for link in reader.links)
    assert "script" not in reader.counts
    assert not re.search(r"url\((?!#)|@import", text)
    assert not re.findall(r"https?://(?!www\.w3\.org/)", text)
    assert reader.counts["figure"] == 3
    assert reader.counts["table"] == 4


def test_the_page_has_the_command_that_reproduces_it_and_the_data(text: str, closed: Comparison) -> None:
    assert "graft compare --hops 1,3 &#x27;a b.graft&#x27;" in text
    encoded = re.search(r'data:application/json;base64,([^"]+)"', text)
    assert encoded is not None
    assert json.loads(base64.b64decode(encoded[1])) == json.loads(closed.to_json())


def test_the_page_follows_the_readers_theme(text: str) -> None:
    assert "prefers-color-scheme: dark" in text
    assert figures.INK not in text.replace(f"--ink: {figures.INK}", "")
    assert "currentColor" in text


def test_the_page_says_what_the_terminal_says(text: str) -> None:
    assert "LOSES to the best rival" in text
    assert "longest non-preemptible section" in text
    assert 'class="red"' in text


def test_the_command_writes_page_trace_and_picture(tmp_path: Path) -> None:
    page_, trace, picture = tmp_path / "r.html", tmp_path / "t.json", tmp_path / "p.svg"
    result = CliRunner().invoke(
        cli.main,
        ["compare", "--hops", "2", "--servers", "one", "--profile", "sel4-skylake", "--operations", "3",
         "--mechanisms", "call,graft", "--report", str(page_), "--trace", str(trace), "--plot", str(picture),
         "--figure", "map"],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert page_.read_text().startswith("<!doctype html>")
    assert json.loads(trace.read_text())["traceEvents"]
    assert "<svg" in picture.read_text()
