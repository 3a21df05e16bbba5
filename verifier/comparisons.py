"""The conditional jumps on views of one width: what both operands are known to be once a comparison holds.

`refine(w, comparison, a, b)` returns the two narrowed views and whether the comparison can hold at all as far as it
looked; `scalar.assume` also asks whether a narrowed view turned out empty. The jump not taken is the comparison's
negation (`negate`), which is a `Condition` again but for `jset`: its negation, "no common bit", is `Unset.UNSET`.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from grafting.isa import Condition
from verifier import tnum, view
from verifier.view import View
from verifier.words import Words


class Unset(Enum):
    """The negation of `Condition.SET`: `a & b == 0`. No jump states it; the one that falls through does."""

    UNSET = "!&"


Comparison = Condition | Unset

_NEGATIONS: dict[Comparison, Comparison] = {
    Condition.EQ: Condition.NE, Condition.NE: Condition.EQ, Condition.SET: Unset.UNSET, Unset.UNSET: Condition.SET,
    Condition.GT: Condition.LE, Condition.LE: Condition.GT, Condition.GE: Condition.LT, Condition.LT: Condition.GE,
    Condition.SGT: Condition.SLE, Condition.SLE: Condition.SGT, Condition.SGE: Condition.SLT,
    Condition.SLT: Condition.SGE,
}  # fmt: skip

Refined = tuple[View, View, bool]


def negate(comparison: Comparison) -> Comparison:
    """Return the comparison that holds exactly when this one does not."""
    return _NEGATIONS[comparison]


def refine(w: Words, comparison: Comparison, a: View, b: View) -> Refined:
    """Return what the operands are when `a comparison b` holds, and False if it is seen that it cannot."""
    return _REFINEMENTS[comparison](w, a, b)


def _equal(w: Words, a: View, b: View) -> Refined:
    both = view.meet(w, a, b)
    return both, both, w.no(tnum.disjoint(w, a.value, a.mask, b.value, b.mask))


def _different(w: Words, a: View, b: View) -> Refined:
    return _without(w, a, b), _without(w, b, a), w.no((a.mask == 0) & (b.mask == 0) & (a.value == b.value))


def _without(w: Words, a: View, b: View) -> View:
    """Return a without b's only word, where that is one of a's bounds."""
    known = b.mask == 0
    word, number = b.value, w.signed(b.value)
    return View(
        a.value, a.mask,
        w.ite(known & (a.umin == word), w.umin(word, w.mask - 1) + 1, a.umin),
        w.ite(known & (a.umax == word), w.umax(word, 1) - 1, a.umax),
        w.ite(known & (a.smin == number), w.smin(number, w.sign - 2) + 1, a.smin),
        w.ite(known & (a.smax == number), w.smax(number, 1 - w.sign) - 1, a.smax),
    )  # fmt: skip


def _below(w: Words, a: View, b: View) -> Refined:
    highest, lowest = w.umax(b.umax, 1) - 1, w.umin(a.umin, w.mask - 1) + 1
    possible = (b.umax != 0) & (a.umin != w.mask)
    return a._replace(umax=w.umin(a.umax, highest)), b._replace(umin=w.umax(b.umin, lowest)), possible


def _at_most(w: Words, a: View, b: View) -> Refined:
    return a._replace(umax=w.umin(a.umax, b.umax)), b._replace(umin=w.umax(b.umin, a.umin)), w.ule(a.umin, b.umax)


def _signed_below(w: Words, a: View, b: View) -> Refined:
    highest, lowest = w.smax(b.smax, 1 - w.sign) - 1, w.smin(a.smin, w.sign - 2) + 1
    possible = w.slt(a.smin, b.smax)
    return a._replace(smax=w.smin(a.smax, highest)), b._replace(smin=w.smax(b.smin, lowest)), possible


def _signed_at_most(w: Words, a: View, b: View) -> Refined:
    return a._replace(smax=w.smin(a.smax, b.smax)), b._replace(smin=w.smax(b.smin, a.smin)), w.sle(a.smin, b.smax)


def _common_bit(w: Words, a: View, b: View) -> Refined:
    """If only one bit can be common, both have it."""
    common = (a.value | a.mask) & (b.value | b.mask)
    single = w.ite((common & (common - 1) & w.mask) == 0, common, 0)
    left = a._replace(value=a.value | single, mask=a.mask & (single ^ w.mask))
    right = b._replace(value=b.value | single, mask=b.mask & (single ^ w.mask))
    return left, right, common != 0


def _no_common_bit(w: Words, a: View, b: View) -> Refined:
    """A bit that one has, the other has not."""
    left = a._replace(mask=a.mask & (b.value ^ w.mask))
    right = b._replace(mask=b.mask & (a.value ^ w.mask))
    return left, right, (a.value & b.value) == 0


def _swapped(rule: Callable[[Words, View, View], Refined]) -> Callable[[Words, View, View], Refined]:
    def swapped(w: Words, a: View, b: View) -> Refined:
        right, left, possible = rule(w, b, a)
        return left, right, possible

    return swapped


_REFINEMENTS: dict[Comparison, Callable[[Words, View, View], Refined]] = {
    Condition.EQ: _equal, Condition.NE: _different, Condition.SET: _common_bit, Unset.UNSET: _no_common_bit,
    Condition.LT: _below, Condition.LE: _at_most, Condition.GT: _swapped(_below), Condition.GE: _swapped(_at_most),
    Condition.SLT: _signed_below, Condition.SLE: _signed_at_most, Condition.SGT: _swapped(_signed_below),
    Condition.SGE: _swapped(_signed_at_most),
}  # fmt: skip
