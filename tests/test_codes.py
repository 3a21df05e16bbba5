"""The table of error codes and the code that raises errors name the same codes."""

import re
from pathlib import Path

from grafting.codes import TITLES

GRAFTING = Path(__file__).resolve().parents[1] / "grafting"


def test_every_code_raised_for_source_text_has_a_title_and_the_reverse() -> None:
    raised = {
        code
        for file in GRAFTING.rglob("*.py")
        if file.name != "codes.py"
        for code in re.findall(r'"(G0[1-4]\d\d)"', file.read_text())
    }
    assert raised == set(TITLES)
