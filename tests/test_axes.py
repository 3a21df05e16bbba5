"""Axes are read from text and TOML alike, and span a grid of points."""

from __future__ import annotations

from pathlib import Path

import pytest

from grafting import GraftError
from kernel_model.experiments.axes import axes_in, axis, by_mechanisms, grid, values_of
from kernel_model.experiments.point import Point


@pytest.mark.parametrize(
    ("text", "field", "values"),
    [
        ("hops=4", "hops", (4,)),
        ("hops=1..4", "hops", (1, 2, 3, 4)),
        ("hops=1,4..5,4", "hops", (1, 4, 5)),
        ("work=100,200,400", "work_ns", (100, 200, 400)),
        ("work=100..1000+300", "work_ns", (100, 400, 700, 1000)),
        ("clients=1..70x2", "clients", (1, 2, 4, 8, 16, 32, 64)),
        ("load=10k..1Mx10", "load", (10e3, 100e3, 1e6)),
        ("load=0.5..2.5+0.5", "load", (0.5, 1, 1.5, 2, 2.5)),
        ("warm_up=0.1", "warm_up", (0.1,)),
        ("servers=one,each", "servers", ("one", "each")),
        ("profile=linux-host", "profile", ("linux-host",)),
    ],
)
def test_an_axis_is_a_field_and_its_values(text: str, field: str, values: tuple[object, ...]) -> None:
    assert axis(text) == (field, values)


@pytest.mark.parametrize(
    "text",
    ["hops", "hops=", "hops=8..1", "hops=1..8x1", "hops=0..8x2", "hops=1.5", "hops=x", "hops=1..9999k", "hops=1..4+0"],
)
def test_what_is_no_list_of_values_is_refused(text: str) -> None:
    with pytest.raises(GraftError) as caught:
        axis(text)
    assert [d.code for d in caught.value.diagnostics] == ["G0861"]


def test_a_misspelt_field_is_refused_and_the_right_one_named() -> None:
    with pytest.raises(GraftError, match="hosp") as caught:
        axis("hosp=1")
    assert "hops" in str(caught.value.diagnostics[0].helps)


def test_a_file_says_the_same_as_text(tmp_path: Path) -> None:
    path = tmp_path / "grid.toml"
    path.write_text('hops = "1..4"\nwork = [100, "200..400+200"]\nservers = ["one", "each"]\nload = 2e3\nseed = 7\n')
    assert axes_in(path) == {
        "hops": (1, 2, 3, 4),
        "work_ns": (100, 200, 400),
        "servers": ("one", "each"),
        "load": (2000.0,),
        "seed": (7,),
    }


@pytest.mark.parametrize("text", ["hops = [", "hops = true", "[hops]\na = 1\n", "hops = -1"])
def test_a_file_that_says_no_axes_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "grid.toml"
    path.write_text(text)
    with pytest.raises(GraftError) as caught:
        axes_in(path)
    assert [d.code for d in caught.value.diagnostics] == ["G0861"]


def test_a_grid_has_every_combination_and_the_last_axis_varies_fastest() -> None:
    points = grid({"hops": (1, 2), "seed": (3, 4, 5)}, Point(operations=9))
    assert [(p.hops, p.seed) for p in points] == [(1, 3), (1, 4), (1, 5), (2, 3), (2, 4), (2, 5)]
    assert {p.operations for p in points} == {9}
    assert len(by_mechanisms(points, ("call", "graft"))) == 12


def test_a_value_that_no_point_can_have_is_refused() -> None:
    with pytest.raises(GraftError, match="hops"):
        grid({"hops": values_of("hops", "0")})
