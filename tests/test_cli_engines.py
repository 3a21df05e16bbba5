"""The commands of the engines: conformance, run --trace, show --native, bench, cache."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import cli
import grafting
import verifier
from grafting import limits, terminal
from jit import bench, runs, trace
from jit.native import engine, listing, llvm

ROOT = Path(__file__).resolve().parents[1]
CHASE = str(ROOT / "samples" / "list_chase.graft")
CELL = "00200000000000000100000000000000"
REPLY = ("--event", "reply", "--tag", "9", "--map", "hops_left", "9", "3", "--message", CELL)
LOOP = "r0 = 0\nagain: r0 += 1\nif r0 != 40 goto again\n*(u8 *)(r1 + 1) = r0\nexit\n"
CALLS = "r6 = 5\nr1 = 2\ncall double\nr0 += r6\nexit\ndouble: r0 = r1\nr0 += r1\nexit\n"


def graft(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(cli.main, arguments, input=stdin, prog_name="graft")


@pytest.fixture
def assembly(tmp_path: Path) -> Callable[[str], str]:
    def write(text: str) -> str:
        file = tmp_path / "x.s"
        file.write_text(text)
        return str(file)

    return write


# --- conformance -----------------------------------------------------------------------------------------------------

GOOD = "-- asm\nmov %r0, 1\nexit\n-- result\n1\n"
BAD = "-- asm\nmov %r0, 1\nexit\n-- result\n2\n"


def test_conformance_runs_what_is_below_a_directory_and_fails_with_its_tests(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "good.data").write_text(GOOD)
    (tmp_path / "ignored.txt").write_text(BAD)
    assert graft("conformance", str(tmp_path), "--engine", "python").exit_code == 0
    (tmp_path / "bad.data").write_text(BAD)
    result = graft("conformance", str(tmp_path), "--engine", "native", "--output-format", "json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {
        "schema": 1,
        "tests": [
            {"file": "bad.data", "engine": "native", "passed": False, "reason": "r0 is 0x1, expected 0x2"},
            {"file": "deep/good.data", "engine": "native", "passed": True, "reason": ""},
        ],
    }
    assert "FAIL native: bad.data" in graft("conformance", str(tmp_path), "--engine", "native").stdout


def test_conformance_of_a_directory_without_tests_is_no_success(tmp_path: Path) -> None:
    assert graft("conformance", str(tmp_path)).exit_code == 1


# --- run --trace -----------------------------------------------------------------------------------------------------


def test_a_traced_run_does_what_the_same_run_does_untraced() -> None:
    traced, plain = (
        json.loads(graft("run", CHASE, *REPLY, *more, "--output-format", "json").stdout) for more in (("--trace",), ())
    )
    steps = traced.pop("trace")
    assert traced == plain
    assert steps["skipped"] == 0
    assert [step["step"] for step in steps["steps"]] == list(range(1, plain["instructions"] + 1))
    assert [step["fuel"] for step in steps["steps"]] == [
        limits.DEFAULT_FUEL - number for number in range(1, plain["instructions"] + 1)
    ]


def test_a_trace_tells_lines_names_helpers_and_memory_in_the_words_of_the_source() -> None:
    text = graft("run", CHASE, *REPLY, "--trace").stdout
    for part in (
        "list_chase.graft:22  let left = hops_left[msg.tag] else { return deliver }",
        "map_lookup_elem(hops_left, 9) = hops_left+",
        "r7 = 9 (msg.tag)",
        "r2 = 3 (left)",
        "r1 = 8192 (cell.next)",
        "send(store, load, 9, stack frame 0-8: 8192, 8) = 0; r0 = 0",
        "8 bytes at stack frame 0-8 = 8192",
        "verdict   consume",
    ):
        assert part in text


def test_a_trace_of_an_object_and_of_an_input_is_that_of_the_source(tmp_path: Path) -> None:
    built = str(tmp_path / "x.o")
    assert graft("build", CHASE, "-o", built).exit_code == 0
    assert graft("run", built, *REPLY, "--trace").stdout == graft("run", CHASE, *REPLY, "--trace").stdout
    given = {
        "handler": "reply/store.load",
        "message": {"tag": 9},
        "body": {"length": 16, "bytes": {"0": CELL}},
        "maps": [{"map": "hops_left", "key": "0900000000000000", "value": "0300000000000000"}],
    }
    by_input = graft("run", CHASE, "--input", json.dumps(given), "--trace").stdout
    assert by_input == graft("run", CHASE, *REPLY, "--trace").stdout


def test_a_long_trace_shows_its_first_and_last_steps_and_counts_the_others(assembly: Callable[[str], str]) -> None:
    file = assembly(LOOP)
    whole, cut = (
        json.loads(
            graft("run", file, "--hook", "raw_memory:2", "--message", "0000", "--trace", "--trace-limit", limit,
                  "--output-format", "json").stdout
        )
        for limit in ("1000", "7")
    )  # fmt: skip
    steps, some = whole["trace"]["steps"], cut["trace"]["steps"]
    assert len(steps) == whole["instructions"] == 83
    assert some == [*steps[:4], *steps[-3:]]
    assert cut["trace"]["skipped"] == 83 - 7
    assert cut["memory"] == whole["memory"] == "0028"
    assert steps[-2]["memory"] == [{"where": "1 byte at body+1", "value": "40", "name": None}]


def test_a_trace_follows_local_calls(assembly: Callable[[str], str]) -> None:
    result = graft("run", assembly(CALLS), "--hook", "raw_memory:0", "--trace", "--output-format", "json")
    steps = json.loads(result.stdout)["trace"]["steps"]
    assert [step["depth"] for step in steps] == [0, 0, 0, 1, 1, 1, 0, 0]
    assert {"where": "r10", "value": "stack frame 1+0", "name": None} in steps[2]["registers"]


def test_a_trace_ends_with_the_instruction_that_faults_or_has_no_fuel_left(assembly: Callable[[str], str]) -> None:
    stray = graft("run", assembly("r0 = *(u8 *)(r1 + 2)\nexit\n"), "--hook", "raw_memory:2", "--message", "0000",
                  "--trace")  # fmt: skip
    assert stray.exit_code == 1
    assert "L0: r0 = *(u8 *)(r1 + 2)" in stray.stdout
    assert "out of bounds" in stray.stdout
    tired = graft("run", assembly(LOOP), "--hook", "raw_memory:2", "--message", "0000", "--trace", "--fuel", "5",
                  "--output-format", "json")  # fmt: skip
    data = json.loads(tired.stdout)
    assert data["fault"]["kind"] == "out_of_fuel"
    assert [step["fuel"] for step in data["trace"]["steps"]] == [4, 3, 2, 1, 0]


def test_a_run_of_millions_of_steps_is_not_kept() -> None:
    program = grafting.Program.from_assembly("r0 = 100\nagain: r0 += -1\nif r0 != 0 goto again\nexit\n",
                                             grafting.hooks.raw_memory(0))  # fmt: skip
    told = trace.trace(program, lambda observe: runs.run_once(program, None, b"", observe=observe), 2)
    assert (len(told.steps), told.skipped) == (2, 200)
    assert "200 steps are not shown" in told.describe()


# --- show --native ---------------------------------------------------------------------------------------------------


def test_native_code_is_shown_with_the_source_lines_that_it_is_made_of() -> None:
    text = graft("show", "--native", CHASE).stdout
    assert text.startswith("reply/store.load:\n")
    assert "list_chase.graft:22  let left = hops_left[msg.tag] else { return deliver }" in text
    assert re.search(r"^; +L7: call 1$", text, re.MULTILINE)
    assert "ret" in text


@pytest.mark.parametrize("sample", sorted(path.name for path in (ROOT / "samples").glob("*.graft")))
def test_what_is_shown_is_the_code_that_runs(sample: str) -> None:
    program = grafting.compile_graft((ROOT / "samples" / sample).read_text())
    verified = verifier.verify(program)
    made = engine.module(verified, counting=False)
    plain = llvm.emit_assembly(made.text, thorough=made.long)
    shown = [line for line in listing.native(verified).splitlines() if line.startswith("  ")]
    mnemonics = [line.split()[0] for line in shown]
    assert sorted(mnemonics) == sorted(
        line.split()[0] for line in plain.splitlines() if re.match(r"\t[a-z]", line) and not line.startswith("\t.")
    )


def test_native_code_of_what_is_not_verified_is_not_shown(assembly: Callable[[str], str]) -> None:
    result = graft("show", "--native", assembly("r0 = *(u8 *)(r1 + 2)\nexit\n"), "--hook", "raw_memory:2")
    assert (result.exit_code, result.stdout) == (1, "")


# --- bench -----------------------------------------------------------------------------------------------------------


class Ticks:
    """A clock that goes on by a millisecond each time it is read."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        self.now += 1_000_000
        return self.now


def test_a_bench_times_each_handler_on_the_first_event_of_the_tests() -> None:
    program = grafting.compile_graft(Path(CHASE).read_text())
    report = bench.bench(program, bench.inputs(program), ("python",), clock=Ticks(), most=4)
    assert [(t.handler, t.engine, t.instructions) for t in report.timings] == [
        ("reply/store.load", "python", 41), ("failure", "python", 8)
    ]  # fmt: skip
    for timing in report.timings:
        assert "in the test" in timing.input
        assert timing.samples == (1_000_000.0,) * 4
        assert (timing.minimum, timing.median, timing.p99, timing.outliers) == (1e6, 1e6, 1e6, 0)
        assert timing.rate == pytest.approx(timing.instructions * 1000)


def test_the_figures_are_those_of_the_definitions() -> None:
    timing = bench.Timing("h", "", "python", 50, (*(float(n) for n in range(1, 200)), 10_000.0), 1)
    assert (timing.minimum, timing.median, timing.p99, timing.outliers) == (1.0, 100.5, 198.0, 1)
    assert timing.rate == pytest.approx(50 / 100.5e-9)


def test_native_code_and_the_numba_tier_are_timed_like_the_reference_and_give_the_same() -> None:
    program = grafting.compile_graft(Path(CHASE).read_text())
    report = bench.bench(program, bench.inputs(program), ("numba", "native"), clock=Ticks(), most=3)
    assert [len(timing.samples) for timing in report.timings] == [3, 3, 3, 3]


def test_a_program_that_is_not_verified_is_timed_without_native_code(assembly: Callable[[str], str]) -> None:
    file = assembly("r3 = r1\nr3 ^= 5\nr3 ^= 5\nr0 = *(u8 *)(r3 + 0)\nexit\n")
    program = terminal.load(Path(file), grafting.hooks.raw_memory(1))
    report = bench.bench(program, bench.inputs(program), ("python", "native"), clock=Ticks(), most=2)
    assert [bool(timing.samples) for timing in report.timings] == [True, False]
    assert "the verifier rejects it" in report.timings[1].reason
    assert "not in engine native" in report.describe()


def test_a_program_that_faults_is_not_timed(assembly: Callable[[str], str]) -> None:
    result = graft("bench", assembly("r0 = *(u8 *)(r1 + 2)\nexit\n"), "--hook", "raw_memory:2", "--engine", "python")
    assert result.exit_code == 1
    assert "out of bounds" in result.stderr


def test_a_raw_program_that_writes_is_timed_from_the_same_memory_each_time() -> None:
    program = grafting.Program.from_assembly("r0 = *(u64 *)(r1 + 0)\nr0 += 1\n*(u64 *)(r1 + 0) = r0\nexit\n",
                                             grafting.hooks.raw_memory(8))  # fmt: skip
    report = bench.bench(program, bench.inputs(program), ("python",), clock=Ticks(), most=2)
    assert report.timings[0].instructions == 4


def test_a_bench_is_exported_as_json_csv_and_markdown(tmp_path: Path) -> None:
    program = grafting.compile_graft(Path(CHASE).read_text())
    report = bench.bench(program, bench.inputs(program, ["failure"]), ("python",), clock=Ticks(), most=2)
    data = json.loads(report.export("json"))
    assert set(data) == {"schema", "program", "machine", "clock", "timings"}
    (row,) = csv.DictReader(io.StringIO(report.export("csv")))
    assert list(row) == list(data["timings"][0])
    assert (row["engine"], float(row["median_ns"])) == ("python", data["timings"][0]["median_ns"])
    assert "| failure | python | 8 |" in report.export("md")


def test_bench_takes_an_input_of_ones_own_and_writes_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "ENGINE_NS", 0)
    monkeypatch.setattr(bench, "WARM_UP_NS", 0)
    file = tmp_path / "x.json"
    result = graft("bench", CHASE, *REPLY, "--engine", "python", "--export", "json", "-o", str(file))
    assert (result.exit_code, result.stdout) == (0, "")
    (row,) = json.loads(file.read_text())["timings"]
    assert (row["input"], row["instructions"], row["samples"]) == ("on the input given", 41, bench.LEAST)


@pytest.mark.parametrize(
    "wrong",
    [("--handler", "reply"), ("--handler", "failure", "--tag", "3"), ("-o", "x"), ("--event", "repli")],
)
def test_bench_refuses_what_makes_no_sense(wrong: tuple[str, ...]) -> None:
    assert graft("bench", CHASE, "--engine", "python", *wrong).exit_code in (1, 2)


# --- cache -----------------------------------------------------------------------------------------------------------


def test_the_cache_is_shown_and_cleared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert graft("verify", CHASE).exit_code == 0
    root = tmp_path / "grafting"
    (root / "hot-1").mkdir()
    (root / "hot-1" / "code").write_bytes(bytes(5000))
    (root / "other").write_bytes(b"not ours")

    def contents(action: str) -> dict[str, tuple[int, int]]:
        data = json.loads(graft("cache", action, "--output-format", "json").stdout)
        assert (data["schema"], data["action"]) == (1, action)
        return {part["name"]: (part["entries"], part["bytes"]) for part in data["caches"]}

    before = contents("show")
    assert before["objects"][0] == 1
    assert before["numba"][0] == 1
    assert before["numba"][1] >= 5000
    assert contents("clear") == before
    assert set(contents("show").values()) == {(0, 0)}
    assert (root / "other").exists()
    assert str(root) in graft("cache").stdout


def test_a_link_in_the_cache_is_removed_and_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("!")
    graft("cache")
    (tmp_path / "cache" / "grafting" / "hot-link").symlink_to(outside)
    assert graft("cache", "clear").exit_code == 0
    assert (outside / "precious").exists()


# --- the documents ---------------------------------------------------------------------------------------------------

_BLOCKS = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "docs" / "engines.md").read_text(), re.MULTILINE | re.DOTALL)
COMMANDS = [
    line.removeprefix("graft ") for block in _BLOCKS for line in block.splitlines() if line.startswith("graft ")
]


@pytest.mark.parametrize("command", [c for c in COMMANDS if c != "bench samples/list_chase.graft"])
def test_a_command_of_the_documents_succeeds(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(bench, "ENGINE_NS", 0)
    monkeypatch.setattr(bench, "WARM_UP_NS", 0)
    result = graft(*shlex.split(command))
    assert result.exit_code == 0
    assert result.stdout


def test_the_trace_in_the_documents_is_what_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    printed = graft(*shlex.split(next(c for c in COMMANDS if "--trace" in c))).stdout.splitlines()
    text = (ROOT / "docs" / "engines.md").read_text()
    shown = re.findall(r"^```text\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)[0].splitlines()
    assert [line for line in shown if line not in printed] == []


# --- run and test, natively ------------------------------------------------------------------------------------------


def test_a_native_run_tells_what_an_interpreted_one_tells() -> None:
    forms = [json.loads(graft("run", CHASE, *REPLY, "--engine", name, "--output-format", "json").stdout)
             for name in ("python", "native")]  # fmt: skip
    for form in forms:
        assert form["cost"].pop("stack_bytes") >= 0  # natively the proven bound
    assert forms[0] == forms[1]


def test_tests_pass_natively_too() -> None:
    result = graft("test", CHASE, "--engine", "native")
    assert result.exit_code == 0
    assert "0 failed" in result.stdout


def test_what_the_verifier_rejects_is_not_run_natively(assembly: Callable[[str], str]) -> None:
    result = graft("run", assembly("r0 = r5\nexit\n"), "--hook", "raw_memory:2", "--engine", "native")
    assert result.exit_code == 1
    assert "G0601" in result.stderr


def test_native_code_is_not_traced() -> None:
    assert graft("run", CHASE, *REPLY, "--engine", "native", "--trace").exit_code == 2
