"""The examples of docs/kernel.md run, and the attacks can be had from the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from click.testing import CliRunner

import cli

PAGE = Path(__file__).resolve().parents[1] / "docs" / "kernel.md"


def test_the_examples_run() -> None:
    names: dict[str, Any] = {}
    examples = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(examples) >= 4
    for example in examples:
        exec(compile(example, str(PAGE), "exec"), names)


def test_an_attack_is_a_workload_of_compare() -> None:
    command = ["compare", "--workload", "adversary-expiry", "--output-format"]
    done = CliRunner().invoke(cli.main, [*command, "json"])
    assert done.exit_code == 0, done.output
    (verdict,) = json.loads(done.stdout)["adversaries"]
    assert (verdict["name"], verdict["holds"]) == ("expiry", True)
    assert CliRunner().invoke(cli.main, [*command, "csv"]).stdout.startswith("name,question,share")
    assert "holds" in CliRunner().invoke(cli.main, [*command, "full"]).stdout


def test_an_attack_has_no_use_for_hops() -> None:
    done = CliRunner().invoke(cli.main, ["compare", "--workload", "adversary-expiry", "--hops", "3"])
    assert done.exit_code != 0
    assert "G0846" in done.output
