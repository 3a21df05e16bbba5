"""The tests inside a graft are judged exactly, and a failure says what was expected and what was got."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from machines import BSS, ENGINES, WANTED, graft

import grafting
from grafting.diagnostics import NO_SPAN, Span
from grafting.program import TestCase
from jit import testing

SAMPLES = sorted((Path(__file__).resolve().parents[1] / "samples").glob("*.graft"))

SEND = """
*(u64 *)(r10 - 8) = 101
r1 = 0
r2 = 0
r3 = 7
r4 = r10
r4 += -8
r5 = 8
call 1000
r1 = 7
r2 = 1000
call 1004
r0 = 1
exit
"""
ANSWER = "*(u64 *)(r10 - 8) = 5\nr1 = 0\nr2 = r10\nr2 += -8\nr3 = 8\ncall 1003\nr0 = 1\nexit\n"
CLOCK = "call 5\nr1 = map_value 1 + 0 ll\n*(u64 *)(r1 + 0) = r0\nr0 = 0\nexit\n"
STORE = "*(u64 *)(r10 - 8) = 7\nr1 = map 0 ll\nr2 = r10\nr2 += -8\nr3 = r2\nr4 = 0\ncall 2\nr0 = 0\nexit\n"
HOLD = "r0 = 1\nexit\n"
RELEASE = "r1 = *(u64 *)(r1 + 16)\nr2 = -5\ncall 1006\nr0 = 0\nexit\n"
FAULT = "r1 = 0\nr0 = *(u8 *)(r1 + 0)\nexit\n"
HANDLERS = {
    "reply": SEND, "request/kv.get": ANSWER, "schedule": CLOCK, "timer": STORE, "failure": FAULT, "submit": HOLD,
    "reply/disk.write": RELEASE,
}  # fmt: skip


def event(handler: str | None, **more: Any) -> dict[str, Any]:
    step = {
        "do": "event",
        "handler": handler,
        "tag": 7,
        "badge": 0,
        "status": 0,
        "slot": 0,
        "op": 0,
        "body": "",
        "line": 2,
    }
    return step | more


def expect(verdict: int, **more: Any) -> dict[str, Any]:
    step = {"do": "expect", "verdict": verdict, "verdict_text": "?", "line": 3, "sent": [], "armed": [], "answer": None}
    return step | more


def sent(body: str, tag: int | None = None) -> dict[str, Any]:
    return {"slot": 0, "op": 0, "tag": tag, "body": body, "text": "disk.read(..)"}


def failures(*steps: Mapping[str, Any], engine: str = "python") -> tuple[str, ...]:
    program = graft(HANDLERS, maps=[WANTED, BSS], tests=[TestCase("a test", NO_SPAN, steps)])
    (result,) = testing.run_tests(program, engine)
    assert result.passed == (result.failures == ())
    return result.failures


READ = f"{101:02x}" + "00" * 7
CONSUMED = {"sent": [sent(READ)], "armed": [[7, 1000]]}
SEVEN = "07" + "00" * 7


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "steps",
    [
        (event("reply"), expect(1, **CONSUMED)),
        (event("reply"), expect(1, sent=[sent(READ, tag=7)], armed=[[7, 1000]])),
        (event("request/kv.get"), expect(1, answer={"status": 0, "body": "05" + "00" * 7})),
        (event(None), expect(0)),
        ({"do": "now", "ns": 7}, event("schedule"), expect(0),
         {"do": "expect_state", "section": ".bss", "offset": 0, "value": SEVEN, "line": 4, "text": "t"}),
        ({"do": "map", "map": "wanted", "key": SEVEN, "value": "00" * 8}, event("timer"),
         {"do": "expect_map", "map": "wanted", "key": SEVEN, "value": SEVEN, "line": 4, "text": "t"},
         {"do": "expect_map", "map": "wanted", "key": "00" * 8, "value": None, "line": 4, "text": "t"}),
        (event("submit"), expect(1), event("reply/disk.write"), expect(0, released=[[7, -5]])),
        ({"do": "state", "section": ".bss", "offset": 8, "value": "2a"},
         {"do": "expect_state", "section": ".bss", "offset": 7, "value": "002a00", "line": 4, "text": "t"}),
    ],
)  # fmt: skip
def test_a_test_whose_expectations_are_met_passes(steps: tuple[dict[str, Any], ...], engine: str) -> None:
    assert failures(*steps, engine=engine) == ()


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ((event("reply"), expect(0, **CONSUMED)), "line 3: expected the verdict deliver, got consume"),
        ((event(None), expect(1, verdict_text="consume")),
         "line 3: expected the verdict consume, got the default, for there is no handler"),
        ((event("reply"), expect(1, armed=[[7, 1000]])),
         "line 3: expected to be sent: nothing; got: disk.read(101) tag 7"),
        ((event("reply"), expect(1, sent=[sent(READ, tag=8)], armed=[[7, 1000]])),
         "line 3: expected to be sent: disk.read(101) tag 8; got: disk.read(101) tag 7"),
        ((event("reply"), expect(1, sent=[sent(READ)] * 2, armed=[[7, 1000]])),
         "line 3: expected to be sent: disk.read(101), disk.read(101); got: disk.read(101) tag 7"),
        ((event("reply"), expect(1, sent=[sent(READ)])),
         "line 3: expected to be armed: nothing; got: 7 after 1000"),
        ((event("submit"), event("reply/disk.write"), expect(0, released=[])),
         "line 3: expected to be released: nothing; got: 7 status -5"),
        ((event("reply/disk.write"), expect(0, released=[[7, 0]])),
         "line 3: expected to be released: 7; got: nothing"),
        ((event("request/kv.get"), expect(1, answer={"status": -5, "body": ""})),
         "line 3: expected the answer status -5, body (empty); got: status 0, body 05000000 00000000"),
        ((event("schedule"), {"do": "expect_state", "section": ".bss", "offset": 0, "value": SEVEN, "line": 9,
                              "text": "expect t == 7"}),
         "line 9: expected t == 7; it is 0"),
        (({"do": "expect_map", "map": "wanted", "key": SEVEN, "value": SEVEN, "line": 9, "text": ""},),
         "line 9: expected wanted[7] == 7; it is not there"),
        ((event("timer"), {"do": "expect_map", "map": "wanted", "key": SEVEN, "value": None, "line": 9, "text": ""}),
         "line 9: expected no wanted[7]; it is 7"),
        ((event("failure"), expect(0)),
         "line 2: the handler `failure` faulted at slot 1: access to 0x0, a number that is not an address"),
    ],
)  # fmt: skip
def test_a_failure_says_what_was_expected_and_what_was_got(steps: tuple[dict[str, Any], ...], message: str) -> None:
    assert failures(*steps) == (message,)


def test_every_test_begins_with_a_fresh_state() -> None:
    full = TestCase("fills", NO_SPAN, (event("timer"),))
    empty = {"do": "expect_map", "map": "wanted", "key": SEVEN, "value": None, "line": 1, "text": ""}
    program = graft(HANDLERS, maps=[WANTED, BSS], tests=[full, TestCase("is empty", Span(5, 1, 0, 1), (empty,))])
    results = testing.run_tests(program)
    assert [result.passed for result in results] == [True, True]
    assert results[1].as_dict() == {"name": "is empty", "passed": True, "failures": [], "line": 5}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_the_samples_own_tests_pass(sample: Path, engine: str) -> None:
    program = grafting.compile_graft(sample.read_text(), filename=sample.name)
    results = testing.run_tests(program, engine)
    assert results
    assert [result for result in results if not result.passed] == []
