"""`graft run` as a library call: names are resolved, everything that happened is told, nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from machines import DISK, KV, TABLE, WANTED, graft, raw
from test_testing import ANSWER, FAULT, SEND, STORE

from grafting import GraftError
from grafting.program import MapKind, MapSpec, SlotSpec
from jit import runs

PROGRAM = graft(
    {"reply/disk.read": SEND, "request/kv.get": ANSWER, "timer": STORE, "failure": "r0 = 0\nexit\n", "submit": FAULT},
    maps=[WANTED, TABLE],
    slots=[SlotSpec("other", KV), DISK],
)


def run(event: str | None, body: bytes = b"", **settings: Any) -> Any:
    return runs.run_once(PROGRAM, event, body, **settings)


def test_a_run_tells_verdict_effects_changes_and_cost() -> None:
    shown = run("reply").describe()
    assert shown.splitlines() == [
        "handler   reply/disk.read",
        "verdict   consume",
        "sent      other.get(101) tag 7",
        "timer     7 after 1000",
        "changed   timer 7, due at ns: (none) → 1000",
        "cost      13 instructions, 2 helper calls, 1 send of 8 bytes, 8 bytes of stack",
    ]


def test_a_run_as_data_is_json() -> None:
    data = json.loads(json.dumps(run("timer", entries=[("wanted", "8", "0x10")]).as_dict()))
    assert data["verdict"] == "done"
    assert data["changes"] == [{"what": "wanted[7]", "before": None, "after": "7"}]
    assert data["fault"] is None
    assert data["instructions"] == data["cost"]["instructions"] == 9


def test_an_answer_is_shown() -> None:
    result = run("request", op="get")
    assert "answer    status 0, body 05000000 00000000" in result.describe()
    assert result.as_dict()["answer"] == {"status": 0, "body": "05" + "00" * 7}


def test_a_fault_is_told_with_its_place_and_is_the_result() -> None:
    result = run("submit")
    assert result.fault is not None
    assert "error[G0701]" in result.describe()
    assert "verdict" not in result.describe()
    assert result.as_dict()["fault"] == {
        "kind": "unmapped", "message": "access to 0x0, a number that is not an address", "handler": "submit", "pc": 1,
        "line": None, "column": None,
    }  # fmt: skip


def test_what_is_not_given_is_taken_from_the_only_handler_in_question() -> None:
    assert run("reply").activation.handler == "reply/disk.read"
    assert run("reply/disk.read").activation.handler == "reply/disk.read"
    assert run("reply", slot="disk", op="read").activation.handler == "reply/disk.read"
    assert run("reply", slot="1", op="0").activation.handler == "reply/disk.read"
    assert run("reply", op="read").activation.handler == "reply/disk.read"


@pytest.mark.parametrize(
    ("event", "settings", "word"),
    [
        ("replay", {}, "`reply`"), ("schedule", {}, "request/kv.get"), (None, {}, "reply/disk.read"),
        ("reply", {"slot": "dsk"}, "`disk`"), ("reply", {"op": "raed"}, "`read`"), ("request", {"op": "gte"}, "`get`"),
        ("reply", {"slot": "7"}, "other, disk"), ("timer", {"entries": [("wantd", "1", "2")]}, "`wanted`"),
        ("timer", {"engine": "numb"}, "`numba`"),
    ],
)  # fmt: skip
def test_an_unknown_name_is_an_error_that_helps(event: str | None, settings: dict[str, Any], word: str) -> None:
    with pytest.raises(GraftError) as caught:
        run(event, **settings)
    assert any(word in text for text in caught.value.diagnostics[0].helps)


@pytest.mark.parametrize(
    ("event", "settings"),
    [
        ("reply", {"op": "write"}), ("reply", {"slot": "other", "op": "get"}), ("timer", {"tag": -1}),
        ("timer", {"now": -1}), ("timer", {"fuel": -1}), ("timer", {"entries": [("wanted", "x y", "1")]}),
        ("timer", {"entries": [("wanted", "1", str(2**64))]}), ("timer", {"entries": [("table", "4", "1")]}),
    ],
)  # fmt: skip
def test_a_wrong_value_is_an_error(event: str, settings: dict[str, Any]) -> None:
    with pytest.raises(GraftError):
        run(event, **settings)


def test_a_failure_without_a_status_is_an_io_error() -> None:
    text = "r0 = *(s32 *)(r1 + 44)\nr0 += 5\nexit\n"
    assert runs.run_once(graft({"failure": text}), None, b"").activation.verdict_name == "deliver"
    assert runs.run_once(graft({"failure": text}), None, b"", status=-4).activation.verdict_name == "consume"


def test_entries_are_numbers_json_hexadecimal_digits_or_variants() -> None:
    maps = [MapSpec("m", MapKind.HASH, 12, 3, 8), WANTED]
    program = graft({"timer": "r0 = 0\nexit\n"}, maps=maps)
    entries = [("m", "0102030405060708090a0b0c", "ab cd ef"), ("wanted", "1_000", "0x_ff")]
    assert runs.run_once(program, None, b"", entries=entries).fault is None


# --- raw programs ----------------------------------------------------------------------------------------------------


def test_a_raw_run_shows_r0_and_the_memory_that_changed() -> None:
    result = runs.run_once(raw("*(u8 *)(r1 + 1) = r2\nr0 = 258\nexit\n", 3), None, b"abc")
    assert result.describe().splitlines() == [
        "r0        258 (0x102)",
        "changed   memory[1..2]: 62 → 03",
        "cost      3 instructions",
    ]
    assert result.as_dict()["memory"] == b"a\x03c".hex()
    assert result.fault is None


def test_a_raw_fault_is_told() -> None:
    result = runs.run_once(raw("r0 = *(u8 *)(r1 + 3)\nexit\n", 3), None, b"abc")
    assert result.fault is not None
    assert "body+3 goes out of bounds" in result.describe()
    assert result.as_dict()["r0"] is None
