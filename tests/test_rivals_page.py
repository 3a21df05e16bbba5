"""docs/rivals.md says of the mechanisms what they say themselves."""

from __future__ import annotations

from pathlib import Path

from kernel_model.experiments.abilities import table
from kernel_model.mechanisms import ALL

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "rivals.md").read_text(encoding="utf-8")


def test_the_table_of_what_can_be_expressed_is_that_of_the_mechanisms() -> None:
    shown = PAGE.partition("<!-- abilities -->")[2].partition("<!-- end of abilities -->")[0]
    assert shown.strip() == table()


def test_every_mechanism_has_a_section() -> None:
    headings = " ".join(line for line in PAGE.splitlines() if line.startswith("## "))
    assert all(f"`{mechanism.name}`" in headings for mechanism in ALL)
