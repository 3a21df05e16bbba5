"""The edits that syntax errors offer do what their help says."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mutations import mutant

from grafting.checking.check import check
from grafting.diagnostics import Diagnostic, GraftError, Source
from grafting.parsing.parse import parse

SAMPLES = [path.read_text() for path in (Path(__file__).parents[1] / "samples").glob("*.graft")]


def errors(text: str) -> tuple[Diagnostic, ...]:
    try:
        parse(Source("x.graft", text))
    except GraftError as error:
        return error.diagnostics
    return ()


def edited(text: str, diagnostic: Diagnostic) -> str:
    for edit in sorted(diagnostic.edits, key=lambda edit: edit.span.start, reverse=True):
        text = text[: edit.span.start] + edit.text + text[edit.span.end :]
    return text


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("on submit(op) { let x = 1; return pass }", "on submit(op) { let x = 1 return pass }"),
        ("on submit(op) { let x = 1;return pass }", "on submit(op) { let x = 1 return pass }"),
        ("on submit(op) { if op.tag = 1 { } return pass }", "on submit(op) { if op.tag == 1 { } return pass }"),
        ("on submit(op) { if op.tag === 1 { } return pass }", "on submit(op) { if op.tag == 1 { } return pass }"),
        ("on submit(op) { x: u64 = 1 return pass }", "on submit(op) { let x: u64 = 1 return pass }"),
        ("on submit(op) { mut x = 1 return pass }", "on submit(op) { let mut x = 1 return pass }"),
        ("fn f(): u64 { return 1 }", "fn f()-> u64 { return 1 }"),
        ("fn f(a: S) -> u64 { return a->b }", "fn f(a: S) -> u64 { return a.b }"),
        ("fn f() -> u64 { return Kind::leaf as u64 }", "fn f() -> u64 { return Kind.leaf as u64 }"),
        ("struct S { a: u64 b: u64 }", "struct S { a: u64, b: u64 }"),
        ("fn f(a: u64) { match a { 1 => { }, _ => { } } }", "fn f(a: u64) { match a { 1 => { } _ => { } } }"),
        ("on submit(op) { retrun pass }", "on submit(op) { return pass }"),
        ("on submit(op) { pass }", "on submit(op) { return pass }"),
        ("protocol p { op a(x: u64), op b() }", "protocol p { op a(x: u64) op b() }"),
    ],
)
def test_the_edit_of_a_frequent_mistake_is_what_was_meant(wrong: str, right: str) -> None:
    (found,) = errors(f"graft g\n{wrong}\n")
    assert edited(f"graft g\n{wrong}\n", found) == f"graft g\n{right}\n"
    assert errors(f"graft g\n{right}\n") == ()


@pytest.mark.parametrize("wrong", ["while a { }", "let x = 1.5", "let for = 1", "let x = & y", 'let x = "a"'])
def test_a_mistake_with_several_ways_out_offers_none(wrong: str) -> None:
    found = errors(f"graft g\nfn f() {{ {wrong} }}\n")
    assert found
    assert found[0].helps
    assert all(not diagnostic.edits for diagnostic in found)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1 << 32))
def test_an_edit_removes_the_mistake_that_offers_it(seed: int) -> None:
    text = mutant(seed, SAMPLES)
    for found in errors(text):
        if found.edits:
            assert found.helps
            place = found.primary.span.start
            left = [
                d for d in errors(edited(text, found)) if (d.message, d.primary.span.start) == (found.message, place)
            ]
            assert left == []


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("on timer(id) { hosp += 1 }", "on timer(id) { hops += 1 }"),
        ("on timer(id) { let r = rows[id] else { return done } hops += r.cuont }",
         "on timer(id) { let r = rows[id] else { return done } hops += r.count }"),
        ("state t: Rwo\non timer(id) { }", "state t: Row\non timer(id) { }"),
        ("state t: uint32\non timer(id) { }", "state t: u32\non timer(id) { }"),
        ("on tmer(id) { }", "on timer(id) { }"),
        ("on timer(id) { let k = Kind.lef hops += k as u64 }", "on timer(id) { let k = Kind.leaf hops += k as u64 }"),
        ("cap disk: blok\non timer(id) { }", "cap disk: block\non timer(id) { }"),
        ("cap disk: block\non reply(msg) from disk.raed { return deliver }",
         "cap disk: block\non reply(msg) from disk.read { return deliver }"),
    ],
)  # fmt: skip
def test_a_misspelt_name_offers_the_one_that_there_is(wrong: str, right: str) -> None:
    head = (
        "graft g\nstruct Row { count: u64 }\nenum Kind: u32 { leaf, inner }\nmap rows: array<Row, 4>\nstate hops: u64\n"
        "protocol block { op read(index: u64) -> Row }\n"
    )
    with pytest.raises(GraftError) as caught:
        check(Source("x.graft", head + wrong), parse(Source("x.graft", head + wrong)))
    assert edited(head + wrong, caught.value.diagnostics[0]) == head + right
    check(Source("x.graft", head + right), parse(Source("x.graft", head + right)))
