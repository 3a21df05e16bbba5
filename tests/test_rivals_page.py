"""docs/rivals.md says of the mechanisms what they say themselves, and they do every workload as they say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kernel_model.experiments.abilities import points, table
from kernel_model.experiments.point import Point
from kernel_model.experiments.run import run
from kernel_model.mechanisms import ALL, mechanism_of
from kernel_model.mechanisms.scenario import CannotExpress

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "rivals.md").read_text(encoding="utf-8")


def test_the_table_of_what_can_be_expressed_is_that_of_the_mechanisms() -> None:
    shown = PAGE.partition("<!-- abilities -->")[2].partition("<!-- end of abilities -->")[0]
    assert shown.strip() == table()


def test_every_mechanism_has_a_section() -> None:
    headings = " ".join(line for line in PAGE.splitlines() if line.startswith("## "))
    assert all(f"`{mechanism.name}`" in headings for mechanism in ALL)


EVERYTHING = [(name, point, mechanism.name) for name, point in points() for mechanism in ALL]


@pytest.mark.parametrize(("name", "point", "mechanism"), EVERYTHING, ids=[f"{n}, {m}" for n, _, m in EVERYTHING])
def test_what_can_be_expressed_is_done_rightly_and_as_foretold(name: str, point: Point, mechanism: str) -> None:
    outcome = run(
        replace(point, mechanism=mechanism, operations=2, cores=1 + mechanism_of(mechanism).spare_cores), tier="python"
    )
    assert isinstance(outcome, CannotExpress) or outcome.misses == (), name
