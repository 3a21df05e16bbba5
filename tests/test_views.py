"""A view of a map's value is used only while it is valid."""

from __future__ import annotations

import pytest
from checking import WORLD, codes, errors, in_handler

VIEW = "let v = rows[1] else { return deliver }\n"


@pytest.mark.parametrize(
    "change",
    [
        "delete rows[2]",
        "rows[2] = row else {}",
        "drop_row(2)",
        "if ready { delete rows[2] }",
        "match hops { 0 => { delete rows[2] } _ => {} }",
        "for i in 0..3 { delete rows[i] }",
        "let x = wanted[1] else { delete rows[2] 3 }",
        "for i in 0..3 { if ready { delete rows[2] break } }",
    ],
)
@pytest.mark.parametrize("use", ["hops = v.count", "v.count += 1", "send disk.write(v) else {}", "let p = v.parts[1]"])
def test_a_view_is_invalid_after_a_change_of_its_map_on_any_path(change: str, use: str) -> None:
    assert codes(f"{VIEW}{change}\n{use}") == ["G0310"]


@pytest.mark.parametrize(
    "between",
    [
        "delete wanted[2]",
        "wanted[2] = 3 else {}",
        "note(3)",
        "v.count = 3",
        "if ready { delete rows[2] return deliver }",
        "for i in 0..3 { if ready { delete rows[2] return deliver } }",
        "send disk.read(1) else { delete rows[2] return deliver }",
    ],
)
def test_a_view_stays_valid_when_no_path_to_its_use_changes_its_map(between: str) -> None:
    assert codes(f"{VIEW}{between}\nhops = v.count") == []


def test_a_change_late_in_a_round_spoils_the_use_early_in_the_next() -> None:
    assert codes(VIEW + "for i in 0..3 { hops = v.count delete rows[i] }") == ["G0310"]
    assert codes(VIEW + "for i in 0..3 { hops = v.count if ready { delete rows[i] continue } }") == ["G0310"]
    assert codes(VIEW + "for i in 0..3 { hops = v.count delete rows[i] break }") == []


def test_a_view_bound_in_the_round_is_bound_anew_in_the_next() -> None:
    assert codes("for i in 0..3 { let v = rows[i] else { break } hops = v.count delete rows[i] }") == []


def test_a_view_of_a_part_is_as_valid_as_the_whole() -> None:
    assert codes(VIEW + "let p = v.parts[1]\ndelete rows[1]\nhops = p.a") == ["G0310"]


def test_views_of_the_body_and_of_state_stay_valid() -> None:
    assert (
        codes(
            "let n = msg.reply else { return deliver }\nlet p = row.parts[1]\n"
            "delete rows[1]\nhops = n.count\nhops = p.a"
        )
        == []
    )


def test_the_error_names_both_places() -> None:
    (error,) = errors(in_handler(VIEW + "drop_row(1)\nhops = v.count"))
    assert [label.message for label in error.labels] == [
        "bound here", "an element of `rows` changes here", "in the function",
    ]  # fmt: skip
    text = in_handler(VIEW + "drop_row(1)\nhops = v.count")
    assert [text[label.span.start : label.span.end] for label in error.labels] == ["v", "drop_row(1)", "delete rows[k]"]
    assert WORLD in text
