"""What the checker accepts, what it says of what it does not, and what it makes of the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from checking import WORLD, checked, codes, errors, in_handler

from grafting import limits, typed
from grafting.diagnostics import Source
from grafting.parsing.parse import parse
from grafting.types import U8, U32, U64

CASES = Path(__file__).parent / "cases"
SAMPLES = sorted((Path(__file__).resolve().parents[1] / "samples").glob("*.graft"))


def cases(name: str) -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in yaml.safe_load((CASES / name).read_text())]


def text_of(case: dict[str, Any]) -> str:
    if "body" in case:
        return in_handler(case["body"])
    return f"graft t\n{case['bare']}" if "bare" in case else f"graft t\n{case['source']}\non schedule(any_) {{ }}"


@pytest.mark.parametrize("case", cases("check_names.yaml") + cases("check_messages.yaml") + cases("check_rare.yaml"))
def test_a_mistake_is_named_once_at_its_place(case: dict[str, Any]) -> None:
    text = text_of(case)
    if "source" in case and ("on schedule" in case["source"]):
        text = text.removesuffix("on schedule(any_) { }")
    found = errors(text)
    shown = [f"{d.code} {d.primary.span.line}:{d.primary.span.column} {d.message}" for d in found]
    expected = case["errors"]
    assert len(shown) == len(expected), shown
    for have, want in zip(found, expected, strict=True):
        code, place, *part = want.split(" ", 2)
        assert (have.code, f"{have.primary.span.line}:{have.primary.span.column}") == (code, place), shown
        assert "".join(part) in have.message
    for key, said in (("help", "helps"), ("note", "notes")):
        assert key not in case or case[key] in " ".join(getattr(found[0], said))
    assert "label" not in case or case["label"] in " ".join(label.message for label in found[0].labels)


@pytest.mark.parametrize("file", SAMPLES, ids=lambda file: file.stem)
def test_the_samples_are_accepted(file: Path) -> None:
    graft = checked(file.read_text())
    assert graft.name == file.stem
    assert graft.tests


def test_errors_come_in_the_order_of_the_source_and_are_bounded() -> None:
    found = errors(in_handler("\n".join(f"hops = unknown_{n}" for n in range(100))))
    assert len(found) == limits.DIAGNOSTICS_MAX
    assert [d.primary.span.line for d in found] == list(range(3, 3 + limits.DIAGNOSTICS_MAX))


def test_independent_errors_of_items_bodies_and_tests_come_in_one_run() -> None:
    text = f"""graft t
const A = nothing
fn f() -> u64 {{ return true }}
on reply(msg) {{ hops = ring[hops] return deliver }}
on timer(id) {{ return deliver }}
test "t" {{ timer 3 expect pass }}
{WORLD}"""
    assert [d.code for d in errors(text)] == ["G0201", "G0204", "G0301", "G0221", "G0221"]


# --- the typed tree ----------------------------------------------------------------------------------------------


def statements(body: str) -> tuple[typed.Stmt, ...]:
    (handler,) = (h for h in checked(in_handler(body)).handlers if h.event == "reply")
    return handler.body.statements[:-1]


def test_widening_is_explicit_in_the_typed_tree() -> None:
    (_, let) = statements("let a: u8 = 3\nlet b: u64 = a")
    assert isinstance(let, typed.Declare)
    assert isinstance(let.value, typed.Conversion)
    assert let.value.type == U64
    assert let.value.operand.type == U8


def test_a_loop_counts_in_u64_and_knows_its_trips() -> None:
    (_, loop) = statements(
        "let node = msg.reply else { return deliver }\nfor i in 1..node.count max FANOUT { hops = i }"
    )
    assert isinstance(loop, typed.For)
    assert loop.counter.type == U64
    assert isinstance(loop.end, typed.Conversion)
    assert loop.end.operand.type == U32
    assert (loop.cap, loop.trips) == (31, 30)


def test_the_parts_of_a_literal_are_scalars_in_the_order_of_the_source() -> None:
    (send,) = statements("send disk.write(Row { bytes: [1; 8], count: hops, parts: [Part { b: 2, a: 1 }] }) else {}")
    assert isinstance(send, typed.Send)
    assert isinstance(send.payload, typed.StructValue)
    assert [offset for offset, _ in send.payload.parts] == [*range(40, 48), 0, 12, 8]


def test_a_compound_assignment_reads_and_writes_the_same_place() -> None:
    (write,) = statements("ring[msg.tag % 16] += 3")
    assert isinstance(write, typed.Write)
    assert isinstance(write.value, typed.Arithmetic)
    assert isinstance(write.value.left, typed.Read)
    assert write.value.left.place == write.place


def test_state_with_an_initial_value_lies_in_data_and_the_rest_in_bss() -> None:
    graft = checked(
        "graft t\nstate a: u8\nstate b: u64 = 7\nstate c: u64\nstate d: [u8; 4] = [1, 2, 3, 4]\non timer(i) { }"
    )
    assert [(s.name, s.section, s.offset) for s in graft.states] == [
        ("a", ".bss", 0), ("b", ".data", 0), ("c", ".bss", 8), ("d", ".data", 8),
    ]  # fmt: skip
    assert graft.states[1].initial == bytes([7, 0, 0, 0, 0, 0, 0, 0])


def test_handlers_are_named_by_event_and_selector() -> None:
    graft = checked(
        "graft t\nprotocol kv { op get(key: u64, flag: u64) }\ncap disk: kv\nserve kv\n"
        "on reply(m) from disk.get { return deliver }\non failure(m) { return deliver }\n"
        "on request(m) for get(key, flag) budget 10 insns, 2 sends { return steer disk }\non timer(id) { }"
    )
    assert [h.name for h in graft.handlers] == ["reply/disk.get", "failure", "request/kv.get", "timer"]
    request = graft.handlers[2]
    assert [(variable.name, offset) for variable, offset in request.args] == [("key", 0), ("flag", 8)]
    assert request.args_bytes == 16
    assert (request.budget.instructions, request.budget.sends, request.budget.bytes_sent) == (10, 2, None)
    assert isinstance(request.body.statements[0], typed.ReturnVerdict)
    assert request.body.statements[0].code == 3


def test_steps_of_a_test_are_plain_bytes() -> None:
    graft = checked(
        "graft t\nprotocol p { op a(x: u32) }\ncap s: p\nmap m: array<u16, 8>\nstate c: [u32; 3]\n"
        "on submit(op) { return pass }\n"
        'test "t" { given m[3] = 258 given c[1] = 1 given now = 5 submit s.a(7) tag 9 '
        "expect pass, sent s.a(8) tag 1, armed 2 after 3 expect c[2] == 0 expect no m[4] }"
    )
    (test,) = graft.tests
    place = {"line", "text", "verdict_text"}
    assert [{k: v for k, v in step.items() if k not in place} for step in test.steps] == [
        {"do": "map", "map": "m", "key": "03000000", "value": "0201"},
        {"do": "state", "section": ".bss", "offset": 4, "value": "01000000"},
        {"do": "now", "ns": 5},
        {"do": "event", "handler": "submit", "tag": 9, "badge": 0, "status": 0, "slot": 0, "op": 0, "body": "07000000"},
        {"do": "expect", "verdict": 0, "armed": [[2, 3]], "released": [], "answer": None,
         "sent": [{"slot": 0, "op": 0, "tag": 1, "body": "08000000", "text": "sent s.a(8) tag 1"}]},
        {"do": "expect_state", "section": ".bss", "offset": 8, "value": "00000000"},
        {"do": "expect_map", "map": "m", "key": "04000000", "value": None},
    ]  # fmt: skip


# --- size --------------------------------------------------------------------------------------------------------


def doubling(count: int) -> str:
    chain = "fn f0(x: u64) -> u64 { return x * 3 + 1 }\n"
    for n in range(1, count):
        chain += f"fn f{n}(x: u64) -> u64 {{ return f{n - 1}(x) + f{n - 1}(x + 1) }}\n"
    return f"graft t\n{chain}on timer(id) {{ let y = f{count - 1}(id) }}"


def test_a_doubling_chain_of_functions_is_rejected_before_it_is_expanded() -> None:
    (error,) = errors(doubling(60))
    assert error.code == "G0314"
    assert "more than 16384" in error.message


def test_a_short_doubling_chain_is_accepted() -> None:
    assert not errors(doubling(8))


def test_a_deep_chain_of_functions_is_rejected() -> None:
    chain = "fn f0(x: u64) -> u64 { return x }\n"
    for n in range(1, 400):
        chain += f"fn f{n}(x: u64) -> u64 {{ return f{n - 1}(x) }}\n"
    (error,) = errors(f"graft t\n{chain}on timer(id) {{ }}")
    assert error.code == "G0314"
    assert "levels" in error.message


def test_deep_conditions_cost_little() -> None:
    condition = "hops < 3"
    for n in range(30):
        condition = f"({condition} {'&&' if n % 2 else '||'} ring[{n % 16}] < hops)"
    assert codes(f"if {condition} {{ hops = 1 }}") == []


def test_checking_the_same_tree_twice_gives_equal_metadata() -> None:
    source = Source("t.graft", in_handler("hops += 1"))
    tree = parse(source)
    from grafting.checking.check import check

    first, second = check(source, tree), check(source, tree)
    assert first.slots == second.slots
    assert [s.initial for s in first.states] == [s.initial for s in second.states]
