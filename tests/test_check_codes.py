"""Every code that the checker raises has cases that show it, each with its place and a part of its message."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import yaml

TESTS = Path(__file__).parent
GRAFTING = TESTS.parent / "grafting"
CASES = ("check_names.yaml", "check_messages.yaml", "check_rare.yaml")
SHOWN = 2  # cases a code needs: one alone may be the only one that works
ELSEWHERE = {
    "G0301": "test_ranges.py",  # many bodies with one expected code: a theorem, not a message
    "G0310": "test_views.py",  # the same
    "G0314": "test_check.py",  # sources of hundreds of generated lines
}
"""Code -> the test file that shows it instead of a case."""


def raised() -> set[str]:
    files = (file for file in GRAFTING.rglob("*.py") if file.name != "codes.py")
    return {code for file in files for code in re.findall(r'"(G0[23]\d\d)"', file.read_text())}


def test_every_code_of_the_checker_is_shown_by_two_cases() -> None:
    shown: Counter[str] = Counter()
    for name in CASES:
        for case in yaml.safe_load((TESTS / "cases" / name).read_text()):
            shown.update(error.split()[0] for error in case["errors"])
    assert {code: shown[code] for code in raised() - set(ELSEWHERE) if shown[code] < SHOWN} == {}


def test_codes_shown_elsewhere_are_shown_there_and_still_raised() -> None:
    assert set(ELSEWHERE) <= raised()
    for code, file in ELSEWHERE.items():
        assert (TESTS / file).read_text().count(f'"{code}"') >= SHOWN
