"""Intervals contain what the operators give; an index is accepted only where it is proved."""

from __future__ import annotations

import pytest
from checking import codes, errors, in_handler
from hypothesis import given
from hypothesis import strategies as st
from random_programs import binary

from grafting.checking.intervals import (
    CONTRARY,
    Interval,
    arithmetic,
    constrained,
    converted,
    inverted,
    negated,
    whole,
)
from grafting.types import BOOL, I8, I16, I32, I64, U8, U16, U32, U64, IntType

NUMBERS = (U8, U16, U32, U64, I8, I16, I32, I64)
OPERATORS = ("+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>")


@st.composite
def members(draw: st.DrawFn, type_: IntType) -> tuple[Interval, int]:
    """An interval of a type, and a number in it; the ends of the type and small numbers are likely."""
    numbers = st.integers(type_.minimum, type_.maximum) | st.integers(max(-9, type_.minimum), 40)
    low, value, high = sorted(draw(st.tuples(numbers, numbers, numbers)))
    return Interval(low, high), value


@given(st.data(), st.sampled_from(NUMBERS), st.sampled_from(OPERATORS))
def test_the_interval_of_a_result_contains_every_result(data: st.DataObject, type_: IntType, op: str) -> None:
    a, x = data.draw(members(type_))
    amount = data.draw(st.sampled_from(NUMBERS)) if op in ("<<", ">>") else type_
    b, y = data.draw(members(amount))
    result = binary(op, x, y, type_)
    found = arithmetic(op, a, b, type_)
    assert found.low <= result <= found.high
    assert found.within(whole(type_))


@given(st.data(), st.sampled_from(NUMBERS), st.sampled_from((*NUMBERS, BOOL)))
def test_the_interval_of_a_conversion_contains_every_result(data: st.DataObject, type_: IntType, to: IntType) -> None:
    a, x = data.draw(members(type_))
    value = int(x != 0) if to is BOOL else to.wrap(x)  # type: ignore[comparison-overlap]
    assert converted(a, to).low <= value <= converted(a, to).high
    assert negated(a, type_).low <= type_.wrap(-x) <= negated(a, type_).high
    assert inverted(a, type_).low <= type_.wrap(~x) <= inverted(a, type_).high


@given(st.data(), st.sampled_from(NUMBERS), st.sampled_from(tuple(CONTRARY)))
def test_a_condition_removes_only_values_for_which_it_fails(data: st.DataObject, type_: IntType, op: str) -> None:
    (a, x), (b, y) = data.draw(members(type_)), data.draw(members(type_))
    held = op if binary(op, x, y, type_) else CONTRARY[op]
    found = constrained(a, held, b)
    assert found is not None
    assert found.low <= x <= found.high


NODE = "let node = msg.reply else { return deliver }\n"
ROW = "let r = rows[1] else { return deliver }\n"


@pytest.mark.parametrize(
    "body",
    [
        NODE + "hops = node.keys[31]",
        "let a = [1, 2, 3]\nhops = a[3]",
        "hops = TABLE[4]",
        ROW + "hops = r.bytes[8]",
        ROW + "hops = r.parts[4].a",
        "hops = row.parts[4].b",
        "hops = ring[16]",
        "ring[16] = 3",
    ],
)
def test_an_index_one_past_the_end_is_rejected_wherever_the_array_lies(body: str) -> None:
    assert codes(body) == ["G0301"]
    for past, last in (("31", "30"), ("[3]", "[2]"), ("[4]", "[3]"), ("[8]", "[7]"), ("[16]", "[15]")):
        if past in body:
            assert codes(body.replace(past, last)) == []


PROVED = [
    "hops = ring[msg.tag % 16]",
    "hops = ring[msg.tag & 15]",
    "hops = ring[msg.tag >> 60]",
    "hops = ring[(msg.tag as u8) >> 4]",
    "hops = ring[least(msg.tag, 15)]",
    "if msg.tag < 16 { hops = ring[msg.tag] }",
    "if 16 > msg.tag { hops = ring[msg.tag] }",
    "if msg.tag >= 16 { return deliver }\nhops = ring[msg.tag]",
    "if !(msg.tag < 16) { return deliver }\nhops = ring[msg.tag]",
    "if msg.tag < 16 && ring[msg.tag] == 3 { hops = 1 }",
    "if msg.tag >= 16 || ring[msg.tag] == 3 { hops = 1 }",
    "if ready && msg.tag < 16 { hops = ring[msg.tag] }",
    "if ready || msg.tag > 15 { return deliver }\nhops = ring[msg.tag]",
    "if msg.tag < 100 && msg.tag + 1 < 17 { hops = ring[msg.tag] }",
    "let t = msg.tag\nif t < 15 { hops = ring[t + 1] }",
    "let t = msg.tag\nif t >= 16 && t < 32 { hops = ring[t - 16] }",
    "let mut t = msg.tag\nif t > 15 { t = 15 }\nhops = ring[t]",
    "match msg.tag { 0..=9 => { hops = ring[msg.tag] } 10..=15 => { hops = ring[msg.tag] } _ => {} }",
    "match msg.tag { 16..=18446744073709551615 => {} _ => { hops = ring[msg.tag] } }",
    "for i in 0..16 { hops = ring[i] }",
    "for i in hops..msg.tag max 16 { ready = ring[i] == 0 }",
    "let mut s = 0\nfor i in 1..msg.tag max 16 { if ready { s = i } }\nhops = ring[s]",
    "let mut i = 0\nwhile i < 16 limit 99 { ring[i] = 1 i += 1 }",
    "let mut i = 0\nwhile ready limit 99 { i += 1 if i > 15 { break } ring[i] = 1 }",
    "for i in 0..4 { for j in 0..4 { hops = ring[i * 4 + j] } }",
    "let s = msg.status\nif s >= 0 && s < 16 { hops = ring[s] }",
    NODE + "if node.count < 31 { hops = node.keys[node.count] }",
    NODE + "let n = node.count\nif n < 31 { send disk.read(1) else {} hops = node.keys[n] }",
    "let x = ring[msg.tag] else { return deliver }\nlet y = ring[msg.tag] else { 3 }",
    "let t = msg.tag\nlet x = ring[t] else { return deliver }\nhops = ring[t]",
    "let x = wanted[1] else { 3 }\nring[msg.tag] = x else { return deliver }",
    "if false { hops = ring[msg.tag] }",
    NODE + "if node.count < 31 { send disk.read(1) else {} hops = node.keys[node.count] }",
]
UNPROVED = [
    "hops = ring[msg.tag % 17]",
    "hops = ring[msg.tag & 31]",
    "hops = ring[msg.tag % hops]",
    "if msg.tag <= 16 { hops = ring[msg.tag] }",
    "if msg.tag < 16 || ready { hops = ring[msg.tag] }",
    "if msg.tag < 16 { }\nhops = ring[msg.tag]",
    "if msg.tag + 1 < 17 { hops = ring[msg.tag] }",
    "let t = msg.tag\nif t < 16 { hops = ring[t + 1] }",
    "let t = msg.tag\nif t < 16 { hops = ring[t - 1] }",
    "let mut t = 0\nif ready { t = msg.tag }\nhops = ring[t]",
    "let mut t = msg.tag\nif t < 16 { t += 1 hops = ring[t] }",
    "for i in 0..17 { hops = ring[i] }",
    "for i in 0..msg.tag max 17 { hops = ring[i] }",
    "let mut s = 0\nfor i in 0..9 { hops = ring[s] s += 2 }",
    "let mut s = 0\nfor i in 0..9 { hops = ring[s] if ready { s = hops continue } }",
    "let mut i = 0\nwhile i < 16 limit 99 { i += 1 ring[i] = 1 }",
    "let mut i = 0\nwhile i < 20 limit 3 { i += 1 }\nhops = ring[i]",
    "let mut t = 3\nfor i in 0..2 { for j in 0..2 { for k in 0..2 { hops = ring[t] t += 1 } } }",
    "let s = msg.status\nif s < 16 { hops = ring[s] }",
    "if hops < 16 { note(msg.tag) ready = ring[hops] == 0 }",
    "if hops < 16 { ring[0] = 99 ready = ring[hops] == 0 }",
    ROW + "if r.count < 8 { send disk.read(1) else {} hops = r.bytes[r.count] }",
    ROW + "let q = rows[2] else { return deliver }\nif r.count < 8 { q.count = 9 hops = r.bytes[r.count] }",
    "let x = ring[msg.tag] else { ring[msg.tag] }",
    "let k = kinds[1] else { return deliver }\nhops = ring[k as u32]",
]


@pytest.mark.parametrize("body", PROVED)
def test_an_index_that_is_proved_is_accepted(body: str) -> None:
    assert codes(body) == []


@pytest.mark.parametrize("body", UNPROVED)
def test_an_index_that_may_be_out_of_range_is_rejected(body: str) -> None:
    assert codes(body) == ["G0301"]


def test_a_function_is_judged_for_every_argument() -> None:
    text = "graft t\nstate a: [u64; 4]\nfn f(i: u64) -> u64 { return a[i] }\non timer(id) { let x = f(3) }"
    (error,) = errors(text)
    assert (error.code, error.primary.span.line) == ("G0301", 3)


def test_the_error_states_the_range_known_and_the_ways_out() -> None:
    (error,) = errors(in_handler("for i in 2..msg.tag max 20 { hops = ring[i] }"))
    assert error.message == "this is element i of `ring`, which has 16"
    assert error.primary.message == "`i` is 2..=19 here"
    assert [label.message for label in error.path] == ["`i` is 2..=19"]
    assert error.helps == (
        "bound the loop: `for i in 2..msg.tag max 16`",
        "guard it: `if i < 16 { .. }`",
        "mask it: `i & 15`",
        "or say what happens: `let x = ring[i] else { .. }`",
    )
