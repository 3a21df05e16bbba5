"""Diagnostics as text and as data.

`full` shows the place in the source, with carets under the very characters:

    error[G0107]: expected a value, found `)`
      --> lookup.graft:12:21
       |
    12 |     let key = wanted[)
       |                      ^ expected a value
       |
       = help: ...

`concise` is one line for editors and `grep`; `as_dict` is ready for JSON.

Source text may be hostile, and spans that were read from an object may be wrong. So nothing that could steer a terminal
is ever shown (control characters, and the invisible ones that reorder text, become U+FFFD), an excerpt has a bounded
width, and a span is cut to the text that is there.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from grafting.diagnostics import Diagnostic, Label, Severity, Source, Span

_TAB_CELLS: Final = 4
_LINE_CELLS: Final = 160  # cells of one source line that are shown; a longer one is cut around its first mark
_LEFT_CHARACTERS: Final = 40  # characters kept before the mark of a line that is cut
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})  # Unicode categories never shown
_COMBINING: Final = frozenset({"Mn", "Me"})  # shown in the cell of the character before
_COLOURS: Final = {Severity.ERROR: "1;31", Severity.WARNING: "1;33", Severity.NOTE: "1;36"}
_BOLD: Final = "1"
_GUTTER: Final = "1;34"


def full(diagnostic: Diagnostic, *, color: bool = False) -> str:
    """Return a diagnostic with an excerpt of its source, several lines without a newline at the end."""
    paint = painter(color)
    severity = diagnostic.severity
    head = paint(f"{severity.value}[{diagnostic.code}]", _COLOURS[severity])
    lines = [head + paint(f": {_clean(diagnostic.message)}", _BOLD)]
    excerpt = _excerpt(diagnostic)
    margin = " " * max((len(row.number) for row in excerpt), default=1)
    if place := _place(diagnostic):
        lines.append(f"{margin}{paint('-->', _GUTTER)} {place}")
    bar = f"{margin} {paint('|', _GUTTER)}"
    if excerpt:
        lines.append(bar)
    for row in excerpt:
        gutter = f"{row.number:>{len(margin)}} |" if row.sign != "." else "..."
        ink = _COLOURS[severity] if row.sign == "^" else _GUTTER
        text = paint(row.text, ink) if row.sign in ("^", "-") else row.text
        lines.append(f"{paint(gutter, _GUTTER)} {text}".rstrip())
    remarks = [("note", note) for note in notes(diagnostic)] + [("help", help_) for help_ in diagnostic.helps]
    if excerpt and remarks:
        lines.append(bar)
    for word, text in remarks:
        first, *rest = _clean(text).split("\n")
        lines.append(f"{margin} {paint('=', _GUTTER)} {paint(word, _BOLD)}: {first}")
        lines += [f"{margin}   {' ' * len(word)}  {line}" for line in rest]
    return "\n".join(lines)


def notes(diagnostic: Diagnostic) -> list[str]:
    """Return the notes, the last being the part of the path that has no place in the source."""
    unplaced = [label.message for label in diagnostic.path if not label.span.known]
    return [*diagnostic.notes, *(["on the path where " + ",\n".join(unplaced)] if unplaced else [])]


def concise(diagnostic: Diagnostic) -> str:
    """Return `file:line:column: code message` in one line."""
    place = _place(diagnostic) or "<bytecode>"
    return f"{place}: {diagnostic.code} {_clean(diagnostic.message)}".replace("\n", " ")


def as_dict(diagnostic: Diagnostic) -> dict[str, Any]:
    """Return a diagnostic as JSON-ready data.

    `start` and `end` are `{line, column}`, both from 1 and `end` exclusive, or null where there is no source; columns
    count characters. `file` is null for bytecode; `handler` and `pc` (8-byte slots) are null for source text.
    """
    lines = _lines(diagnostic.source)
    return {
        "code": diagnostic.code,
        "severity": diagnostic.severity.value,
        "message": diagnostic.message,
        "file": diagnostic.source.filename if diagnostic.source else None,
        **positions(lines, diagnostic.primary.span),
        "label": diagnostic.primary.message,
        "labels": [{**positions(lines, label.span), "message": label.message} for label in diagnostic.labels],
        "path": [{**positions(lines, label.span), "message": label.message} for label in diagnostic.path],
        "notes": list(diagnostic.notes),
        "helps": list(diagnostic.helps),
        "edits": [{**positions(lines, edit.span), "text": edit.text} for edit in diagnostic.edits],
        "handler": diagnostic.handler,
        "pc": diagnostic.pc,
    }


# --- places ----------------------------------------------------------------------------------------------------------


def _place(diagnostic: Diagnostic) -> str:
    """Return `file:line:column`, or `handler+pc` for bytecode, or what is known of them."""
    span = diagnostic.primary.span
    where = [_clean(diagnostic.source.filename)] if diagnostic.source else []
    if span.known:
        where += [str(span.line), str(span.column)]
    elif diagnostic.pc is not None:
        where.append(f"{_clean(diagnostic.handler or 'code')}+{diagnostic.pc}")
    elif diagnostic.handler is not None:
        where.append(_clean(diagnostic.handler))
    return ":".join(where)


def _lines(source: Source | None) -> list[str]:
    return source.text.split("\n") if source and source.text else []


def positions(lines: Sequence[str], span: Span) -> dict[str, Any]:
    """Return `start` and `end` of a span within the lines of its source, as `as_dict` describes them."""
    if not span.known:
        return {"start": None, "end": None}
    line, column = _end(lines, span)
    return {"start": {"line": span.line, "column": span.column}, "end": {"line": line, "column": column}}


def _end(lines: Sequence[str], span: Span) -> tuple[int, int]:
    """Return line and column (from 1) of the first character behind a span, cut to the text that is there."""
    line, column, left = span.line, span.column, max(span.end - span.start, 0)
    while line < len(lines) and left > len(lines[line - 1]) - (column - 1):
        left -= max(len(lines[line - 1]) - (column - 1), 0) + 1  # its newline too
        line, column = line + 1, 1
    longest = max(len(lines[line - 1]) - (column - 1), 0) if line <= len(lines) else left
    return line, column + max(min(left, longest), 0)


# --- the excerpt -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of an excerpt; `sign` is "^" or "-" for marks, "." for lines left out, "" for source text."""

    number: str
    text: str
    sign: str = ""


@dataclass(frozen=True, slots=True)
class _Mark:
    """Characters `start` up to `end` (from 0) of a source line, and what is said about them."""

    line: int
    start: int
    end: int
    sign: str
    message: str


def _excerpt(diagnostic: Diagnostic) -> list[_Row]:
    """Return the lines with marks, each followed by its marks from left to right, and a line that lies between two."""
    lines = _lines(diagnostic.source)
    marks = [
        *_marks(lines, diagnostic.primary, "^"),
        *(mark for label in (*diagnostic.labels, *diagnostic.path) for mark in _marks(lines, label, "-")),
    ]
    rows: list[_Row] = []
    shown = 0
    for number in sorted({mark.line for mark in marks}):
        if shown and number == shown + 2:
            rows.append(_Row(str(number - 1), _Cells(lines[number - 2], 0).text))
        elif shown and number > shown + 2:
            rows.append(_Row("", "", "."))
        rows += _marked_line(lines[number - 1], number, [mark for mark in marks if mark.line == number])
        shown = number
    return rows


def _marks(lines: Sequence[str], label: Label, sign: str) -> Iterator[_Mark]:
    """Yield the mark of a span within a line, or those of the first and last line of a longer one."""
    span = label.span
    if not 0 < span.line <= len(lines):
        return
    first = span.column - 1
    last_line, last = _end(lines, span)
    if last_line > span.line and last == 1:  # the span ends with a newline
        last_line, last = last_line - 1, len(lines[last_line - 2]) + 1
    if last_line == span.line:
        yield _Mark(span.line, first, max(last - 1, first + 1), sign, label.message)
        return
    ending = lines[last_line - 1]
    yield _Mark(span.line, first, max(len(lines[span.line - 1].rstrip()), first + 1), sign, "")
    yield _Mark(last_line, len(ending) - len(ending.lstrip()), last - 1, sign, label.message)


def _marked_line(text: str, number: int, marks: list[_Mark]) -> Iterator[_Row]:
    marks.sort(key=lambda mark: (mark.start, mark.sign != "^"))
    cells = _Cells(text, marks[0].start)
    yield _Row(str(number), cells.text)
    for mark in marks:
        start, end = cells.at(mark.start), cells.at(mark.end)
        words = f" {_clean(mark.message)}".replace("\n", " ") if mark.message else ""
        yield _Row("", " " * start + mark.sign * max(end - start, 1) + words, mark.sign)


class _Cells:
    """A source line as shown: `text`, and in which terminal cell each character begins."""

    def __init__(self, line: str, focus: int) -> None:
        """Cut a long line around its character `focus`."""
        line = line.removesuffix("\r")
        low = max(focus - _LEFT_CHARACTERS, 0) if len(line) > _LINE_CELLS - _TAB_CELLS else 0
        self._low = low
        shown: list[str] = ["…"] if low else []
        cell = len(shown)
        self._starts: list[int] = []
        for character in line[low:]:
            piece, width = _shown(character, cell)
            if cell + width >= _LINE_CELLS:
                shown.append("…")
                break
            self._starts.append(cell)
            shown.append(piece)
            cell += width
        self._behind = cell
        self.text = "".join(shown)

    def at(self, character: int) -> int:
        """Return the cell in which a character of the line begins, or the last one shown if it lies beyond."""
        number = max(character - self._low, 0)
        return self._starts[number] if number < len(self._starts) else self._behind


def _shown(character: str, cell: int) -> tuple[str, int]:
    """Return what a character looks like in a terminal, and how many cells it takes."""
    if character == "\t":
        width = _TAB_CELLS - cell % _TAB_CELLS
        return " " * width, width
    if " " <= character <= "~":
        return character, 1
    category = unicodedata.category(character)
    if category in _INVISIBLE:
        return "\ufffd", 1
    if category in _COMBINING:
        return character, 0
    return character, 2 if unicodedata.east_asian_width(character) in "WF" else 1


# --- words -----------------------------------------------------------------------------------------------------------


def _clean(text: str) -> str:
    """Return text that cannot steer a terminal; newlines stay."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c == "\n" else _shown(c, 0)[0] for c in text)


def painter(color: bool) -> Callable[[str, str], str]:
    """Return what wraps text in the codes of a colour, or leaves it as it is."""
    if color:
        return lambda text, code: f"\x1b[{code}m{text}\x1b[0m"
    return lambda text, _code: text
