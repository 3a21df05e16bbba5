"""Printing: a tree is printed so that it parses to itself, a text so that no comment is lost."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
import strategies
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grafting import syntax
from grafting.diagnostics import GraftError, Source
from grafting.format import format_graft, format_source
from grafting.parsing.lexer import scan
from grafting.parsing.parse import parse
from grafting.printing import WIDTH

SAMPLES = sorted((Path(__file__).resolve().parents[1] / "samples").glob("*.graft"))
BARE = "graft t\n\n"


def formatted(text: str) -> str:
    return format_source(Source("t.graft", text))


def tree_of(text: str) -> syntax.Graft:
    return parse(Source("t.graft", text))


def comments(text: str) -> list[str]:
    return [comment.text for comment in scan(Source("t.graft", text)).comments]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(strategies.grafts)
def test_a_printed_tree_parses_to_itself(tree: syntax.Graft) -> None:
    text = format_graft(tree)
    assert tree_of(text) == tree
    assert formatted(text) == text


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(strategies.grafts, st.randoms(use_true_random=False))
def test_no_comment_is_lost_or_moved_past_another_wherever_it_stands(tree: syntax.Graft, random: Random) -> None:
    text = with_comments(format_graft(tree), random)
    once = formatted(text)
    assert comments(once) == comments(text)
    assert tree_of(once) == tree
    assert formatted(once) == once


def with_comments(text: str, random: Random) -> str:
    """Put numbered comments behind some tokens."""
    pieces: list[str] = []
    done = 0
    for number, token in enumerate(scan(Source("t.graft", text)).tokens):
        if random.random() < 0.1:
            pieces += [text[done : token.span.end], f" // {number}\n" + "\n" * random.randrange(3)]
            done = token.span.end
    return "".join(pieces) + text[done:]


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_samples_are_formatted(path: Path) -> None:
    text = path.read_text()
    assert formatted(text) == text


def test_layout_of_the_source_does_not_matter() -> None:
    text = SAMPLES[0].read_text()
    tokens = [token.value for token in scan(Source("t.graft", text)).tokens]
    assert tree_of(formatted(" ".join(tokens))) == tree_of(formatted("\n".join(tokens))) == tree_of(text)


def test_parentheses_stand_only_where_they_change_the_tree() -> None:
    text = BARE + "const x = ((a + (b * c)) << ((d))) == -(e - (f - g))\n"
    assert formatted(text) == BARE + "const x = a + b * c << d == -(e - (f - g))\n"


def test_short_blocks_stay_in_their_line_and_long_ones_do_not() -> None:
    text = "graft t fn f() { if a { b = 1 } let x = m[k] else { return } if a { b = 1 c = 2 } }"
    assert formatted(text) == BARE + (
        "fn f() {\n"
        "    if a { b = 1 }\n"
        "    let x = m[k] else { return }\n"
        "    if a {\n        b = 1\n        c = 2\n    }\n"
        "}\n"
    )


def test_single_blank_lines_stay_and_more_become_one() -> None:
    text = BARE + "fn f() {\n\n\n    a = 1\n\n\n\n    b = 2\n    c = 3\n\n}\n\n\n\n"
    assert formatted(text) == BARE + "fn f() {\n    a = 1\n\n    b = 2\n    c = 3\n}\n"


def test_comments_stay_with_what_they_are_about() -> None:
    text = (
        "// head\n/// doc\ngraft t  // name\n\n// before\nstate a: u64  // behind\n\n"
        "/// of f\nfn f() {  // opened\n    // first\n    a = 1  // one\n\n    // last\n}\n// end\n"
    )
    assert formatted(text) == text


def test_a_long_line_is_broken_at_its_brackets() -> None:
    numbers = ", ".join(str(n * 1000) for n in range(40))
    lines = formatted(f"graft t const x = [{numbers}]").splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert lines[2] == "const x = ["
    assert lines[-1] == "]"


def test_numbers_keep_their_spelling() -> None:
    text = BARE + "const x = 0xFF_00 + 1_000 + 0b11 + 0o7\n"
    assert formatted(text) == text


def test_a_text_with_mistakes_is_not_formatted() -> None:
    with pytest.raises(GraftError):
        formatted("graft t fn f() { x++ }")


@pytest.mark.parametrize(
    "body",
    [
        "let x = m[k] else { let y = z.a (-1) }",  # a value that would else go on with the statement before it
        "let x = m[k] else { let y = z.a ([1, 2]) }",
        "match (Node { a: 1 }) { 1 | 2 | 3..=9 => { } _ => { x = 1 } }",
        "for i in (Node { }).a..b max c { break }",
        "let x = (msg.body as T at 8).a.b",
        "x = (a == b) == (c == d)",
        "return (status)",
    ],
)
def test_what_needs_its_parentheses_keeps_them(body: str) -> None:
    text = f"graft t fn f() {{ {body} }}"
    assert tree_of(formatted(text)) == tree_of(text)


@pytest.mark.parametrize("body", ["answer (status)", "answer (reply)", "answer x status 5", "answer x", "answer"])
def test_an_answer_is_not_taken_for_its_clause_or_the_next_step(body: str) -> None:
    text = f'graft t test "x" {{ expect {body} timer 7 }}'
    assert tree_of(formatted(text)) == tree_of(text)
