"""Diagnostics as text and data: carets under the right characters, whatever the characters are."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grafting.diagnostics import NO_SPAN, Diagnostic, GraftError, Label, Severity, Source, Span
from grafting.parsing.parse import parse
from grafting.render import as_dict, concise, full


def span(text: str, start: int, end: int) -> Span:
    return Span(text.count("\n", 0, start) + 1, start - (text.rfind("\n", 0, start) + 1) + 1, start, end)


def of(text: str, piece: str) -> Span:
    start = text.index(piece)
    return span(text, start, start + len(piece))


def diagnostic(text: str, piece: str, label: str = "here", *labels: Label) -> Diagnostic:
    return Diagnostic("G0107", "no good", Label(of(text, piece), label), Source("t.graft", text), labels=labels)


def excerpt(found: Diagnostic) -> list[str]:
    return full(found).split("\n")[3:]


def test_the_whole_of_a_diagnostic() -> None:
    with pytest.raises(GraftError) as caught:
        parse(Source("t.graft", "graft t\n\non reply(msg) {\n    while 1 == 1 { }\n}\n"))
    (found,) = caught.value.diagnostics
    assert full(found) == (
        "error[G0107]: this `while` does not say how often it may run\n"
        " --> t.graft:4:18\n"
        "  |\n"
        "4 |     while 1 == 1 { }\n"
        "  |                  ^\n"
        "  |\n"
        "  = note: every loop is bounded, so that the worst case of a handler has a number\n"
        "  = help: add `limit N`: the loop then ends after N rounds at the latest"
    )
    assert concise(found) == "t.graft:4:18: G0107 this `while` does not say how often it may run"


def test_tabs_are_shown_as_cells_and_counted_as_characters() -> None:
    found = diagnostic("\tab\tcd", "cd")
    assert excerpt(found) == ["1 |     ab  cd", "  |         ^^ here"]
    assert ":1:5" in full(found)


def test_wide_characters_take_two_cells_and_combining_ones_none() -> None:
    assert excerpt(diagnostic("日本 x", "x")) == ["1 | 日本 x", "  |      ^ here"]
    assert excerpt(diagnostic("日本 x", "本")) == ["1 | 日本 x", "  |   ^^ here"]
    assert excerpt(diagnostic("e\u0301 x", "x")) == ["1 | e\u0301 x", "  |   ^ here"]


def test_labels_stand_under_their_lines_in_order() -> None:
    text = "one\ntwo\nthree four\nfive"
    found = diagnostic(text, "four", "main", Label(of(text, "one"), "first"), Label(of(text, "three"), "left"))
    assert excerpt(found) == [
        "1 | one",
        "  | --- first",
        "2 | two",
        "3 | three four",
        "  | ----- left",
        "  |       ^^^^ main",
    ]


def test_lines_between_are_left_out() -> None:
    text = "one\n\n\n\nfive"
    assert excerpt(diagnostic(text, "five", "", Label(of(text, "one")))) == [
        "1 | one",
        "  | ---",
        "...",
        "5 | five",
        "  | ^^^^",
    ]


def test_a_span_over_lines_is_marked_where_it_begins_and_ends() -> None:
    text = "on x {\n  a\n  b\n  c\n}\n"
    found = diagnostic(text, text.strip()[3:])
    assert excerpt(found) == ["1 | on x {", "  |    ^^^", "...", "5 | }", "  | ^ here"]
    assert as_dict(found)["end"] == {"line": 5, "column": 2}


def test_a_span_at_the_end_of_the_text_has_a_caret() -> None:
    text = "graft t"
    found = Diagnostic("G0107", "m", Label(span(text, 7, 7), "here"), Source("t", text))
    assert excerpt(found) == ["1 | graft t", "  |        ^ here"]


def test_carriage_returns_are_not_shown() -> None:
    text = "one\r\ntwo\r\n"
    assert excerpt(diagnostic(text, "two")) == ["2 | two", "  | ^^^ here"]
    assert as_dict(diagnostic(text, "e\r\nt"))["end"] == {"line": 2, "column": 2}


def test_a_long_line_is_cut_around_the_mark() -> None:
    text = "x" * 1000 + "HERE" + "y" * 1000
    shown, marks = excerpt(diagnostic(text, "HERE"))
    assert len(shown) < 180
    assert shown[marks.index("^") : marks.index("^") + 4] == "HERE"


def test_text_that_steers_a_terminal_is_not_shown() -> None:
    text = "a \x1b[31m \u202e b"
    hostile = Diagnostic(
        "G0107",
        "m\x1b[2J",
        Label(of(text, "b"), "\x1b"),
        Source("\x1b]0;x\x07", text),
        notes=("\x9b",),
        helps=("\x7f",),
    )
    for shown in (full(hostile), concise(hostile)):
        assert all(c == "\n" or c.isprintable() for c in shown)


def test_colour_changes_nothing_but_colour() -> None:
    text = "one\ntwo"
    found = diagnostic(text, "two", "main", Label(of(text, "one"), "first"))
    coloured = full(found, color=True)
    assert "\x1b[1;31m" in coloured
    plain = coloured
    for code in ("0", "1", "1;31", "1;34"):
        plain = plain.replace(f"\x1b[{code}m", "")
    assert plain == full(found)


def test_bytecode_has_a_place_too() -> None:
    found = Diagnostic("G0601", "m", Label(NO_SPAN), None, handler="reply", pc=12, severity=Severity.WARNING)
    assert full(found) == "warning[G0601]: m\n --> reply+12"
    assert concise(found) == "reply+12: G0601 m"
    assert as_dict(found)["start"] is None


def test_notes_and_helps_may_have_several_lines() -> None:
    found = Diagnostic("G0107", "m", Label(NO_SPAN), None, notes=("one\ntwo",))
    assert full(found).endswith("  = note: one\n          two")


spans = st.builds(Span, st.integers(-3, 12), st.integers(-3, 40), st.integers(0, 1 << 40), st.integers(0, 1 << 40))
texts = st.text(st.characters(), max_size=80)


@given(texts, spans, st.lists(st.builds(Label, spans, texts), max_size=3), texts)
def test_any_span_in_any_text_is_rendered(text: str, primary: Span, labels: list[Label], words: str) -> None:
    found = Diagnostic("G0107", words, Label(primary, words), Source(words, text), labels=tuple(labels))
    shown = full(found)
    assert all(c == "\n" or unicodedata.category(c)[0] != "C" for c in shown)
    shown.encode()
    assert "\n" not in concise(found)
    json.dumps(as_dict(found))


@given(texts, st.data())
def test_data_say_where_the_span_is(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    found = as_dict(Diagnostic("G0107", "", Label(span(text, start, end)), Source("t", text)))
    behind = span(text, end, end)
    assert found["start"] == {"line": span(text, start, end).line, "column": span(text, start, end).column}
    assert found["end"]["line"] == behind.line
    line = text.split("\n")[behind.line - 1]
    assert found["end"]["column"] == min(behind.column, len(line) + 1)


def test_a_path_is_shown_in_the_source_and_in_a_note_where_it_has_no_place() -> None:
    source = Source("x.c", "if (a)\n  b;\n")
    branch, access = Span(1, 5, 4, 5), Span(2, 3, 9, 10)
    path = (Label(branch, "`a` is true"), Label(NO_SPAN, "`r2 == 0` is false"), Label(NO_SPAN, "`r3 > 1` is true"))
    diagnostic = Diagnostic("G0605", "no", Label(access, "here"), source, path=path)
    assert full(diagnostic).split("\n")[2:] == [
        "  |",
        "1 | if (a)",
        "  |     - `a` is true",
        "2 |   b;",
        "  |   ^ here",
        "  |",
        "  = note: on the path where `r2 == 0` is false,",
        "          `r3 > 1` is true",
    ]
    assert [entry["message"] for entry in as_dict(diagnostic)["path"]] == [label.message for label in path]
