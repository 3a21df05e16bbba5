"""The command: exit statuses, formats, where output goes, and what is not loaded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import cli

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = sorted(str(path) for path in (ROOT / "samples").glob("*.graft"))
BTREE = str(ROOT / "samples" / "btree_lookup.graft")
MISTAKE = "graft g\non timer(id) { let x = 1 retrun done }\n"
UNSAFE = "r0 = *(u64 *)(r1 + 4096)\nexit\n"


def graft(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(cli.main, arguments, input=stdin, prog_name="graft")


def test_help_names_every_command() -> None:
    text = graft("--help").stdout
    assert all(name in text for name in ("build", "show", "verify", "test", "fmt", "run", "compare"))


@pytest.mark.parametrize("sample", SAMPLES)
def test_every_sample_is_accepted_with_bounds_for_each_handler(sample: str) -> None:
    result = graft("verify", sample, "--output-format", "json")
    data = json.loads(result.stdout)
    assert result.exit_code == 0
    assert data["schema"] == 1
    assert data["verdict"] == "accepted"
    assert data["handlers"]
    for handler in data["handlers"]:
        assert set(handler) == {"name", "event", "bounds"}
        assert 0 < handler["bounds"]["instructions"] <= data["bounds"]["instructions"]


@pytest.mark.parametrize("sample", SAMPLES)
def test_every_sample_passes_its_own_tests_and_is_formatted(sample: str) -> None:
    assert graft("test", sample).exit_code == 0
    assert graft("fmt", "--check", sample).exit_code == 0


def test_an_object_is_judged_as_its_source(tmp_path: Path) -> None:
    object_file = tmp_path / "x.o"
    assert graft("build", BTREE, "-o", str(object_file)).exit_code == 0
    of_source, of_object = (
        json.loads(graft("verify", file, "--output-format", "json").stdout) for file in (BTREE, str(object_file))
    )
    assert of_source["handlers"] == of_object["handlers"]


def test_a_mistake_is_rejected_with_a_caret_on_standard_error() -> None:
    result = graft("verify", "-", stdin=MISTAKE)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "error[G01" in result.stderr
    assert "^" in result.stderr


def test_a_rejection_in_json_goes_to_standard_output(tmp_path: Path) -> None:
    file = tmp_path / "bad.graft"
    file.write_text(MISTAKE)
    result = graft("verify", str(file), "--output-format", "json")
    data = json.loads(result.stdout)
    assert result.exit_code == 1
    assert data["verdict"] == "rejected"
    assert data["diagnostics"][0]["code"].startswith("G01")


def test_unsafe_assembly_is_rejected(tmp_path: Path) -> None:
    file = tmp_path / "bad.s"
    file.write_text(UNSAFE)
    result = graft("verify", str(file), "--hook", "raw_context:192")
    assert result.exit_code == 1
    assert "error[G06" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("verify", "no-such-file.graft"),
        ("verify", BTREE, "--hook", "nonsense"),
        ("compare", BTREE, "--hops", "a..b"),
        ("compare", BTREE, "--hops", "8..1"),
        ("run", BTREE, "--message", "zz"),
        ("unknown",),
    ],
)
def test_wrong_usage_and_missing_files_exit_with_two(arguments: tuple[str, ...]) -> None:
    assert graft(*arguments).exit_code == 2


def test_a_bug_of_ours_exits_with_three_and_asks_for_a_report(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: object, **_options: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("grafting.build_cache.compile_cached", broken)
    result = graft("verify", BTREE)
    assert result.exit_code == 3
    assert "please report" in result.stderr


def test_a_failing_test_block_exits_with_one(tmp_path: Path) -> None:
    file = tmp_path / "wrong.graft"
    file.write_text('graft g\non timer(id) { }\ntest "wrong" { timer 1 expect done, armed 1 after 5 }\n')
    result = graft("test", str(file))
    assert result.exit_code == 1
    assert "FAIL wrong" in result.stdout
    assert "0 passed, 1 failed" in result.stdout


def test_run_shows_verdict_sends_changes_and_cost() -> None:
    node = "00000000" + "02000000" + "0a00000000000000" + "2800000000000000" + "00" * (29 * 8)
    node += "6400000000000000" + "6500000000000000" + "00" * (29 * 8)
    result = graft(
        "run", BTREE, "--event", "reply", "--message", node, "--tag", "7", "--map", "wanted", "7", "42",
        "--output-format", "json",
    )  # fmt: skip
    data = json.loads(result.stdout)
    assert result.exit_code == 0
    assert data["verdict"] == "consume"
    assert [(send["op"], send["body"]) for send in data["sent"]] == [("read", "6500000000000000")]
    assert [change["what"] for change in data["changes"]] == ["hops"]
    assert data["instructions"] > 0


@pytest.mark.parametrize("stage", ["--ast", "--ir", "--bytecode"])
def test_each_stage_can_be_shown(stage: str) -> None:
    result = graft("show", BTREE, stage)
    assert result.exit_code == 0
    assert "wanted" in result.stdout


def test_fmt_changes_what_is_not_formatted(tmp_path: Path) -> None:
    file = tmp_path / "x.graft"
    file.write_text("graft   g\non timer( id ){}\n")
    assert graft("fmt", "--check", str(file)).exit_code == 1
    assert graft("fmt", str(file)).exit_code == 0
    assert graft("fmt", "--check", str(file)).exit_code == 0
    assert file.read_text().startswith("graft g\n")


@pytest.mark.parametrize("arguments", [["--help"], ["verify", BTREE]])
def test_numba_is_not_loaded(arguments: list[str]) -> None:
    script = (
        "import sys, cli\n"
        "try:\n    cli.main(sys.argv[1:])\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        "assert 'numba' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script, *arguments], cwd=ROOT, check=True, capture_output=True)
