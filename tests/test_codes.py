"""The entries of `graft explain`, and the code that raises errors, name the same codes."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import cli
from grafting import codes, codes_page

ROOT = Path(__file__).resolve().parents[1]
LAYERS = ("grafting", "verifier", "jit", "kernel_model")


def explain(*arguments: str) -> Result:
    return CliRunner().invoke(cli.main, ["explain", *arguments])


def raised() -> set[str]:
    files = [ROOT / "cli.py", *(file for layer in LAYERS for file in (ROOT / layer).rglob("*.py"))]
    return {code for file in files for code in re.findall(r'"(G0\d{3})"', file.read_text())}


def test_every_code_that_is_raised_has_an_entry_and_the_reverse() -> None:
    assert raised() == set(codes.all_codes())


@pytest.mark.parametrize("block", codes.BLOCKS)
def test_a_file_holds_the_codes_of_its_block(block: str) -> None:
    assert all(re.fullmatch(block + r"\d\d", entry.code) for entry in codes.entries(block))


@pytest.mark.parametrize("code", codes.all_codes())
def test_an_entry_is_short(code: str) -> None:
    entry = codes.explain(code)
    assert entry is not None
    assert 2 <= len(entry.text.splitlines()) <= 8
    assert all(len(line) <= 120 for line in (*entry.text.splitlines(), *entry.bad.splitlines()))
    assert len(entry.title) <= 80
    assert entry.title[-1] not in ".:"
    assert entry.bad != entry.good


def test_the_page_of_codes_is_the_generated_one() -> None:
    assert (ROOT / "docs" / "codes.md").read_text() == codes_page.page()


def test_explain_prints_rule_and_both_examples() -> None:
    entry = codes.explain("G0301")
    printed = explain("g0301").output
    assert entry is not None
    assert all(text in printed for text in (entry.title, entry.text, entry.bad.splitlines()[-1], entry.good[:7]))


def test_explain_without_a_code_lists_all() -> None:
    printed = explain().output
    assert all(f"{code}  {entry.title}" in printed for code in codes.all_codes() if (entry := codes.explain(code)))


def test_a_misspelt_code_gets_the_nearest_one_and_exit_status_2() -> None:
    result = explain("G301")
    assert result.exit_code == 2
    assert "did you mean G0301?" in result.output


def test_a_rejection_ends_with_the_command_that_explains_it() -> None:
    result = CliRunner().invoke(cli.main, ["verify", "-"], input="graft g\non timer(id) { hops = id  let x: u9 = 1 }\n")
    assert result.stderr.endswith("for more about these errors: graft explain G0201 G0203\n")


def test_an_entry_in_json_has_all_fields() -> None:
    data = json.loads(explain("G0301", "--output-format", "json").stdout)
    assert data["schema"] == 1
    assert set(data["codes"][0]) == {"code", "title", "text", "kind", "bad", "good", "hook", "files"}
