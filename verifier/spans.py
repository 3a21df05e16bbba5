"""Which text of the source an instruction belongs to: the object's `.graft` spans, else the line info's column.

All of it are hints of an untrusted object: a wrong one may spoil a message, nothing else.
"""

from __future__ import annotations

import re
from dataclasses import replace

from grafting.diagnostics import NO_SPAN, Source, Span
from grafting.program import Handler, LineInfo, Program

_NAME_CHARACTERS = 40  # of a source expression that is quoted within a sentence
_LINE_CHARACTERS = 1000  # of a line that are looked at
_PLACE = re.compile(r"[A-Za-z_]\w*(?:(?:\.|->)[A-Za-z_]\w*|\[[^\[\]\n]*(?:\[[^\[\]\n]*\][^\[\]\n]*)*\])*(?:\(\))?")
_COMPARISON = re.compile(r"\s*([^=<>!&|]+?)\s*(==|!=|<=|>=|<|>)\s*([^=<>!&|]+?)\s*", re.DOTALL)


def span_at(program: Program, handler: Handler, pc: int) -> Span:
    """Return the source range of an instruction, NO_SPAN if none is known."""
    info = handler.line_at(pc)
    if info is None or program.debug.source is None or info.line == 0:
        return NO_SPAN
    exact = program.debug.spans.get((info.line, info.column))
    return exact if exact is not None else _rest_of_line(program.debug.source, info)


def _rest_of_line(source: Source, info: LineInfo) -> Span:
    lines = source.text.split("\n")
    if info.line > len(lines):
        return NO_SPAN
    text = lines[info.line - 1]
    column = min(max(info.column, len(text) - len(text.lstrip()) + 1), len(text) + 1)
    start = sum(len(line) + 1 for line in lines[: info.line - 1]) + column - 1
    rest = text[column - 1 :].rstrip().removesuffix(";")
    length = len(rest) if info.column == 0 else _expression(rest)
    return Span(info.line, column, start, max(start + 1, start + length))


def _expression(text: str) -> int:
    """Return how many characters belong to the expression at the start of a line's rest: a name or a call.

    Of others, where it ends is not known: all of the rest, up to a bracket that closes one in front.
    """
    name = _PLACE.match(text[:_LINE_CHARACTERS])
    end = name.end() if name is not None else 0
    if name is not None and not text.startswith("(", end):
        return end
    depth = 0
    for at in range(end, min(len(text), _LINE_CHARACTERS)):
        depth += (text[at] in "([{") - (text[at] in ")]}")
        if depth < 0:
            return at
        if depth == 0 and name is not None:
            return at + 1
    return len(text)


def text_of(program: Program, span: Span) -> str:
    """Return the source text of a span, cut to what is there."""
    source = program.debug.source
    return source.text[span.start : span.end] if source is not None and span.known else ""


def first_line(program: Program, span: Span) -> Span:
    """Return the part of a span that is in its first line: of a loop or an `else`, what decides it."""
    text = text_of(program, span).partition("\n")[0].rstrip()
    return replace(span, end=span.start + max(len(text), 1)) if span.known else span


def quoted(program: Program, handler: Handler, pc: int) -> str | None:
    """Return the source expression that an instruction belongs to, if it is short enough to stand in a sentence."""
    info = handler.line_at(pc)
    if info is None or (info.line, info.column) not in program.debug.spans:
        return None
    text = " ".join(text_of(program, span_at(program, handler, pc)).split())
    return text if 0 < len(text) <= _NAME_CHARACTERS and "{" not in text else None


def place_at(program: Program, handler: Handler, pc: int) -> str | None:
    """Return the variable, field or element that an instruction reads, such as `node.keys[i]` or `ctx->tag`."""
    text = quoted(program, handler, pc)
    if text is not None:
        return text if _PLACE.fullmatch(text) else None
    info = handler.line_at(pc)
    if program.debug.source is None or info is None or not info.column:
        return None
    first = max(info.column - 1 - _NAME_CHARACTERS, 0)
    around = program.debug.source.line_text(info.line)[first : info.column + _NAME_CHARACTERS]
    for found in _PLACE.finditer(around):
        if found.start() < info.column - first <= found.end() and found.end() - found.start() <= _NAME_CHARACTERS:
            return found.group()
    return None


def comparison(text: str) -> tuple[str, str, str] | None:
    """Return left side, sign and right side of a source text that is one comparison."""
    found = _COMPARISON.fullmatch(text)
    return (found[1], found[2], found[3]) if found else None
