"""SARIF logs: whatever is said, the log is valid, and its places are those of the text."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import cli
from grafting import codes, sarif
from grafting.diagnostics import NO_SPAN, Diagnostic, Edit, Label, Severity, Source, Span

ROOT = Path(__file__).resolve().parents[1]
BTREE = str(ROOT / "samples" / "btree_lookup.graft")
MISTAKE = "graft g\non timer(id) { let x = 1; done }\n"


@cache
def schema() -> jsonschema.Draft4Validator:
    text = (ROOT / "tests" / "data" / "sarif-schema-2.1.0.json").read_text()
    return jsonschema.Draft4Validator(json.loads(text))


def valid(log: Any) -> dict[str, Any]:
    """Return the only run of a log, which must be valid and survive JSON."""
    log = json.loads(json.dumps(log))
    assert [error.message for error in schema().iter_errors(log)] == []
    (run,) = log["runs"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == sorted({r["ruleId"] for r in run["results"]})
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
    return run


def graft(*arguments: str, stdin: str | None = None) -> tuple[dict[str, Any], int]:
    """Return the run that a command logs, and its exit status."""
    result = CliRunner().invoke(cli.main, [*arguments, "--output-format", "sarif"], input=stdin, prog_name="graft")
    run = valid(json.loads(result.stdout))
    assert run["invocations"][0]["exitCode"] == result.exit_code
    return run, result.exit_code


# --- every diagnostic ------------------------------------------------------------------------------------------------

TEXTS = st.text(max_size=60)
SPANS = st.just(NO_SPAN) | st.builds(Span, *[st.integers(-2, 80)] * 4)
LABELS = st.builds(Label, SPANS, TEXTS)
CODES = st.from_regex(re.compile(r"G0[1-9]\d\d", re.ASCII), fullmatch=True)
DIAGNOSTICS = st.builds(
    Diagnostic,
    code=CODES,
    message=TEXTS,
    primary=LABELS,
    source=st.none() | st.builds(Source, TEXTS, TEXTS),
    severity=st.sampled_from(Severity),
    labels=st.lists(LABELS, max_size=3).map(tuple),
    notes=st.lists(TEXTS, max_size=2).map(tuple),
    helps=st.lists(TEXTS, max_size=2).map(tuple),
    handler=st.none() | TEXTS,
    pc=st.none() | st.integers(0, 1 << 20),
    path=st.lists(LABELS, max_size=3).map(tuple),
    edits=st.lists(st.builds(Edit, SPANS, TEXTS), max_size=2).map(tuple),
)


@given(st.lists(DIAGNOSTICS, max_size=3), TEXTS, st.integers(0, 3), TEXTS)
def test_every_diagnostic_makes_a_valid_log(found: list[Diagnostic], file: str, status: int, failure: str) -> None:
    run = valid(sarif.log(found, exit_code=status, file=file, failure=failure))
    assert len(run["results"]) == len(found)
    assert len({json.dumps(artifact["location"]) + str(artifact) for artifact in run["artifacts"]}) == len(
        run["artifacts"]
    )


@given(st.text(min_size=1, max_size=60).filter(lambda text: "\r" not in text), st.data())
def test_lines_columns_and_offsets_of_a_region_name_the_same_characters(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    before = text[:start]
    span = Span(before.count("\n") + 1, start - (before.rfind("\n") + 1) + 1, start, end)
    run = valid(sarif.log([Diagnostic("G0107", "no", Label(span), Source("x", text))], exit_code=1))
    region = run["results"][0]["locations"][0]["physicalLocation"]["region"]
    lines = text.split("\n")
    offset = {
        side: sum(len(line) + 1 for line in lines[: region[f"{side}Line"] - 1]) + region[f"{side}Column"] - 1
        for side in ("start", "end")
    }
    assert offset == {"start": start, "end": end}
    assert (region["charOffset"], region["charLength"]) == (start, end - start)


def test_a_message_means_itself_and_no_placeholder_or_link() -> None:
    found = Diagnostic("G0302", "see `a[i](0)`", Label(NO_SPAN), helps=("write `else { return {0} }`",))
    (result,) = valid(sarif.log([found], exit_code=1))["results"]
    assert result["message"]["text"] == "see `a[i] (0)`\n\nhelp: write `else {{ return {{0}} }}`"


def test_columns_count_characters() -> None:
    text = "日本\U0001f600 x"
    found = Diagnostic("G0107", "no", Label(Span(1, 5, 4, 5)), Source("x", text))
    run = valid(sarif.log([found], exit_code=1))
    region = run["results"][0]["locations"][0]["physicalLocation"]["region"]
    assert run["columnKind"] == "unicodeCodePoints"
    assert (region["startColumn"], region["endColumn"], region["charOffset"]) == (5, 6, 4)


@pytest.mark.parametrize(
    ("name", "location"),
    [
        ("a b/x.graft", {"uri": "a%20b/x.graft", "uriBaseId": "%SRCROOT%"}),
        ("./x.graft", {"uri": "x.graft", "uriBaseId": "%SRCROOT%"}),
        ("c:x.graft", {"uri": "c%3Ax.graft", "uriBaseId": "%SRCROOT%"}),
        ("../x.graft", {"uri": "../x.graft"}),
        ("/tmp/x.graft", {"uri": "file:///tmp/x.graft"}),
        ("\udc80", {"uri": "%ED%B2%80", "uriBaseId": "%SRCROOT%"}),
    ],
)
def test_a_file_name_becomes_a_uri(name: str, location: dict[str, str]) -> None:
    (artifact,) = valid(sarif.log([Diagnostic("G0101", "no", Label(NO_SPAN), Source(name, ""))], exit_code=1))[
        "artifacts"
    ]
    assert artifact == {"location": location}


def test_bytecode_is_a_place_by_its_handler_and_bytes() -> None:
    found = Diagnostic("G0604", "no", Label(NO_SPAN), handler="reply/disk.read", pc=3)
    (result,) = valid(sarif.log([found], exit_code=1, file="x.o"))["results"]
    (location,) = result["locations"]
    assert location["physicalLocation"] == {
        "artifactLocation": {"uri": "x.o", "uriBaseId": "%SRCROOT%", "index": 0},
        "address": {"relativeAddress": 24, "name": "reply/disk.read+3", "kind": "instruction"},
    }
    assert location["logicalLocations"][0]["name"] == "reply/disk.read"


def test_further_places_are_related_locations_with_what_they_say() -> None:
    text = "one two"
    found = Diagnostic(
        "G0202", "no", Label(Span(1, 5, 4, 7)), Source("x", text), labels=(Label(Span(1, 1, 0, 3), "first here"),)
    )
    (related,) = valid(sarif.log([found], exit_code=1))["results"][0]["relatedLocations"]
    assert related["message"]["text"] == "first here"
    assert related["physicalLocation"]["region"]["charLength"] == 3


def test_the_way_to_the_place_is_a_code_flow_that_ends_there() -> None:
    text = "if a { b }"
    found = Diagnostic(
        "G0605", "no", Label(Span(1, 8, 7, 8)), Source("x", text), path=(Label(Span(1, 4, 3, 4), "`a` is true"),)
    )
    (flow,) = valid(sarif.log([found], exit_code=1))["results"][0]["codeFlows"]
    steps = [step["location"] for step in flow["threadFlows"][0]["locations"]]
    assert steps[0]["message"]["text"] == "`a` is true"
    assert [step["physicalLocation"]["region"]["startColumn"] for step in steps] == [4, 8]


def test_a_rule_says_what_graft_explain_says() -> None:
    (rule,) = valid(sarif.log([Diagnostic("G0605", "no", Label(NO_SPAN))], exit_code=1))["tool"]["driver"]["rules"]
    entry = codes.explain("G0605")
    assert entry is not None
    assert rule["shortDescription"]["text"] == entry.title
    assert rule["fullDescription"]["text"] == entry.text
    assert entry.good.splitlines()[0] in rule["help"]["text"]


# --- every command ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["verify"], ["test"], ["build", "-o", "x.o"], ["fmt", "--check"]])
def test_what_is_accepted_has_no_results(command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run, status = graft(*command, BTREE)
    assert status == 0
    assert run["results"] == []
    assert run["invocations"][0]["executionSuccessful"]


@pytest.mark.parametrize("command", ["verify", "build", "test"])
def test_a_rejection_of_source_text_is_a_result(command: str) -> None:
    run, status = graft(command, "-", stdin=MISTAKE)
    assert status == 1
    (result,) = run["results"]
    assert result["ruleId"] == "G0107"
    assert result["level"] == "error"
    region = result["locations"][0]["physicalLocation"]["region"]
    assert MISTAKE[region["charOffset"] :][: region["charLength"]] == ";"
    (fix,) = result["fixes"]
    (replacement,) = fix["artifactChanges"][0]["replacements"]
    assert fix["description"]["text"].startswith("remove it")
    assert replacement == {"deletedRegion": region, "insertedContent": {"text": ""}}


def test_a_rejection_of_bytecode_names_the_file_and_the_instruction(tmp_path: Path) -> None:
    file = tmp_path / "bad.s"
    file.write_text("r0 = *(u64 *)(r1 + 4096)\nexit\n")
    run, status = graft("verify", str(file))
    assert status == 1
    (result,) = run["results"]
    physical = result["locations"][0]["physicalLocation"]
    assert physical["artifactLocation"]["uri"] == f"file://{file}"
    assert physical["address"]["relativeAddress"] == 0


def test_a_code_flow_of_bytecode_ends_at_the_instruction(tmp_path: Path) -> None:
    file = tmp_path / "bad.s"
    file.write_text("r0 = 0\nif r1 == 0 goto out\nr0 = *(u64 *)(r1 + 4096)\nout: exit\n")
    run, _ = graft("verify", str(file))
    (result,) = run["results"]
    (flow,) = result["codeFlows"]
    steps = [step["location"] for step in flow["threadFlows"][0]["locations"]]
    assert "r1" in steps[0]["message"]["text"]
    assert steps[-1]["physicalLocation"]["address"]["name"] == "main+2"


def test_a_witness_is_a_property_of_its_result(tmp_path: Path) -> None:
    file = tmp_path / "bad.s"
    file.write_text("r0 = *(u64 *)(r1 + 4096)\nexit\n")
    run, status = graft("verify", str(file), "--witness")
    assert status == 1
    (result,) = run["results"]
    assert result["properties"]["witness"]["replay"].startswith("graft run ")


def test_a_test_that_fails_is_a_result_at_its_name(tmp_path: Path) -> None:
    file = tmp_path / "wrong.graft"
    text = 'graft g\non timer(id) { }\ntest "wrong" { timer 1 expect done, armed 1 after 5 }\n'
    file.write_text(text)
    run, status = graft("test", str(file))
    assert status == 1
    (result,) = run["results"]
    assert result["ruleId"] == "G0709"
    assert result["locations"][0]["physicalLocation"]["region"]["startLine"] == 3
    assert "expected to be armed" in result["message"]["text"]


def test_a_fault_is_a_result(tmp_path: Path) -> None:
    file = tmp_path / "bad.s"
    file.write_text("r0 = *(u64 *)(r1 + 4096)\nexit\n")
    run, status = graft("run", str(file), "--hook", "raw_context:192", "--message", "00" * 192)
    assert status == 1
    assert [result["ruleId"] for result in run["results"]] == ["G0701"]


def test_a_budget_that_a_run_exceeds_is_a_result_at_the_budget(tmp_path: Path) -> None:
    file = tmp_path / "dear.graft"
    file.write_text("graft dear\nstate hops: u64\non timer(id) budget 1 insns { hops += id }\n")
    run, status = graft("run", str(file), "--event", "timer")
    assert status == 1
    (result,) = run["results"]
    assert result["ruleId"] == "G0701"
    assert result["locations"][0]["physicalLocation"]["region"]["startLine"] == 3


def test_the_fix_of_a_file_that_is_not_formatted_formats_it(tmp_path: Path) -> None:
    file = tmp_path / "x.graft"
    file.write_text("graft   g\non timer( id ){}\n")
    run, status = graft("fmt", "--check", str(file))
    assert status == 1
    (result,) = run["results"]
    assert result["ruleId"] == "G0901"
    ((change,),) = (fix["artifactChanges"] for fix in result["fixes"])
    ((replacement),) = change["replacements"]
    assert replacement["deletedRegion"]["charLength"] == len(file.read_text())
    graft("fmt", str(file))
    assert file.read_text() == replacement["insertedContent"]["text"]


def test_a_run_without_an_answer_has_a_notification() -> None:
    run, status = graft("verify", "no-such-file.graft")
    assert status == 2
    assert run["results"] == []
    (invocation,) = run["invocations"]
    assert not invocation["executionSuccessful"]
    assert "no-such-file.graft" in invocation["toolExecutionNotifications"][0]["message"]["text"]
