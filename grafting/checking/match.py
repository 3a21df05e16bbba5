"""Patterns of `match`: constants of the subject's type, in arms that are tried in order and cover every value.

*Every* value: a message may carry an enum value that no variant names, so a `match` of an enum needs `_` unless its
patterns cover the whole representation. What is not covered is named in the error; an arm that cannot be reached
because the arms before it cover all its values is an error too.

The covered values are kept as sorted disjoint intervals, so that a match of n patterns is checked in O(n log n).
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field

from grafting import syntax
from grafting.checking import constants
from grafting.checking.context import Context
from grafting.checking.intervals import whole
from grafting.diagnostics import Span
from grafting.types import BoolType, EnumType, Scalar

Ranges = tuple[tuple[int, int], ...]


@dataclass(slots=True)
class Covered:
    """A set of whole numbers: disjoint, sorted, never adjacent intervals, by their first and last values."""

    firsts: list[int] = field(default_factory=list)
    lasts: list[int] = field(default_factory=list)

    def contains(self, first: int, last: int) -> bool:
        """Tell whether all of `first ..= last` is in the set."""
        at = bisect.bisect_right(self.firsts, first) - 1
        return at >= 0 and last <= self.lasts[at]

    def add(self, first: int, last: int) -> None:
        """Add `first ..= last`."""
        start = bisect.bisect_left(self.lasts, first - 1)
        end = bisect.bisect_right(self.firsts, last + 1)
        if start < end:
            first, last = min(first, self.firsts[start]), max(last, self.lasts[end - 1])
        self.firsts[start:end] = [first]
        self.lasts[start:end] = [last]

    def missing(self, first: int, last: int) -> tuple[int, int] | None:
        """Return the first interval of `first ..= last` that is not in the set, None if there is none."""
        at = bisect.bisect_right(self.firsts, first) - 1
        if at >= 0 and self.lasts[at] >= first:
            first = self.lasts[at] + 1
            at += 1
        else:
            at += 1
        if first > last:
            return None
        return first, min(last, self.firsts[at] - 1) if at < len(self.firsts) else last


def patterns(cx: Context, arm: syntax.Arm, type_: Scalar | None, covered: Covered) -> Ranges | None:
    """Return the values of one arm, adding them to those `covered`; empty for `_`, None if it has an error."""
    if type_ is None:
        return None
    if not arm.patterns:
        limits = whole(type_)
        if covered.contains(limits.low, limits.high):
            _unreachable(cx, Span(arm.span.line, arm.span.column, arm.span.start, arm.body.span.start))
        covered.add(limits.low, limits.high)
        return ()
    found = [_pattern(cx, pattern, type_) for pattern in arm.patterns]
    sound = [range_ for range_ in found if range_ is not None]
    for pattern, range_ in zip(arm.patterns, found, strict=True):
        if range_ is None:
            continue
        if covered.contains(*range_):
            _unreachable(cx, pattern.span)
        covered.add(*range_)
    return tuple(sound) if len(sound) == len(found) else None


def _unreachable(cx: Context, span: Span) -> None:
    cx.report.error("G0217", "this pattern is never reached", span, "the patterns before it cover every such value",
                    notes=("arms are tried in order",))  # fmt: skip


def _pattern(cx: Context, pattern: syntax.Pattern, type_: Scalar) -> tuple[int, int] | None:
    first = constants.evaluate(cx, pattern.first, type_)
    last = constants.evaluate(cx, pattern.last, type_) if pattern.last is not None else first
    if first is None or last is None:
        return None
    if first.value > last.value:
        cx.report.error("G0216", "this range is empty", pattern.span, f"{first.value} is greater than {last.value}")
        return None
    return first.value, last.value


def check_exhaustive(cx: Context, match: syntax.Match, type_: Scalar, covered: Covered) -> None:
    """Report a match whose arms leave out a value."""
    limits = whole(type_)
    missing = covered.missing(limits.low, limits.high)
    if missing is None:
        return
    text = _describe(type_, covered, *missing)
    notes: tuple[str, ...] = ()
    if isinstance(type_, EnumType):
        notes = (f"a message may carry any `{type_.repr}`, also one that `{type_}` does not name",)
    cx.report.error("G0215", f"this match does not cover every value: {text} is missing", match.subject.span,
                    f"a `{type_}`", notes=notes, helps=("add an arm `_ => { .. }`",))  # fmt: skip


def _describe(type_: Scalar, covered: Covered, first: int, last: int) -> str:
    match type_:
        case BoolType():
            return f"`{'true' if first else 'false'}`"
        case EnumType(name=name, variants=variants):
            for variant, value in variants:
                if not covered.contains(value, value):
                    return f"`{name}.{variant}`"
    return f"`{first}`" if first == last else f"`{first}..={last}`"
