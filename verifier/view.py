"""What is known of words of one width: a tnum, an unsigned and a signed interval, made to agree.

A `View` stands for the words that are in all three of its parts. `tighten` moves knowledge between the parts: it never
loses a word (proved in `tests/test_scalar_proofs.py`), so it may be applied anywhere, any number of times. An example:
x is a multiple of 8 (tnum) and at most 45 (unsigned). The high bits become known to be 0 (tnum), the greatest member
up to 45 is 40 (unsigned), and as 40 is below 2^(W-1), x is in 0 ..= 40 signed, too.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from verifier import interval, tnum
from verifier.words import Words


class View(NamedTuple):
    """Words x with `x & ~mask == value`, `umin <= x <= umax` as a word and `smin <= x <= smax` as a signed number."""

    value: int
    mask: int
    umin: int
    umax: int
    smin: int  # signed, as smax is
    smax: int


@lru_cache(maxsize=8)
def unknown(w: Words) -> View:
    """Return the view of any word."""
    return View(0, w.mask, 0, w.mask, -w.sign, w.sign - 1)


def of_tnum(w: Words, known: tnum.Tnum) -> View:
    """Return the view of which only the bits are known."""
    return View(*known, 0, w.mask, -w.sign, w.sign - 1)


def of_unsigned(w: Words, low: int, high: int) -> View:
    """Return the view of which only the unsigned bounds are known."""
    return View(0, w.mask, low, high, -w.sign, w.sign - 1)


def of_signed(w: Words, low: int, high: int) -> View:
    """Return the view of which only the signed bounds are known."""
    return View(0, w.mask, 0, w.mask, low, high)


def choose(w: Words, condition: bool, a: View, b: View) -> View:
    """Return a if the condition holds, else b, part by part."""
    ite = w.ite
    return View(
        ite(condition, a.value, b.value), ite(condition, a.mask, b.mask),
        ite(condition, a.umin, b.umin), ite(condition, a.umax, b.umax),
        ite(condition, a.smin, b.smin), ite(condition, a.smax, b.smax),
    )  # fmt: skip


def tighten(w: Words, a: View) -> View:
    """Return the same words with each part tightened by the others."""
    return cross_signed(w, bound_by_members(w, know_leading_bits(w, cross_both(w, bound_by_bits(w, a)))))


def bound_by_bits(w: Words, a: View) -> View:
    """Bound both intervals by the least and the greatest member of the tnum."""
    value, mask, umin, umax, smin, smax = a
    return View(
        value, mask,
        w.umax(umin, value), w.umin(umax, value | mask),
        w.smax(smin, w.signed(value | (mask & w.sign))), w.smin(smax, w.signed(value | (mask & (w.sign - 1)))),
    )  # fmt: skip


def cross_both(w: Words, a: View) -> View:
    """Bound each interval by the other."""
    value, mask, umin, umax, smin, smax = a
    umin, umax = interval.cross(w, umin, umax, smin & w.mask, smax & w.mask)
    return cross_signed(w, View(value, mask, umin, umax, smin, smax))


def cross_signed(w: Words, a: View) -> View:
    """Bound the signed interval by the unsigned one."""
    value, mask, umin, umax, smin, smax = a
    top, sign = w.mask, w.sign
    low, high = interval.cross(w, (smin + sign) & top, (smax + sign) & top, umin ^ sign, umax ^ sign)
    return View(value, mask, umin, umax, low - sign, high - sign)


def know_leading_bits(w: Words, a: View) -> View:
    """Learn the bits that all words of the unsigned interval have in common."""
    value, mask, umin, umax, smin, smax = a
    return View(*tnum.meet(w, value, mask, *tnum.of_range(w, umin, umax)), umin, umax, smin, smax)


def bound_by_members(w: Words, a: View) -> View:
    """Move each bound to the nearest member of the tnum inside."""
    value, mask, umin, umax, smin, smax = a
    if w.decide(mask & (mask + 1) == 0):  # no bit known below an unknown one: the members are an interval
        return View(value, mask, w.umax(umin, value), w.umin(umax, value | mask), smin, smax)
    top, sign = w.mask, w.sign
    biased, low, high = value ^ (sign & (mask ^ top)), (smin + sign) & top, (smax + sign) & top
    return View(
        value, mask,
        w.umax(umin, tnum.least_from(w, value, mask, umin)), w.umin(umax, tnum.greatest_up_to(w, value, mask, umax)),
        w.umax(low, tnum.least_from(w, biased, mask, low)) - sign,
        w.umin(high, tnum.greatest_up_to(w, biased, mask, high)) - sign,
    )  # fmt: skip


def meet(w: Words, a: View, b: View) -> View:
    """Return the words in both."""
    return View(
        *tnum.meet(w, a.value, a.mask, b.value, b.mask),
        w.umax(a.umin, b.umin), w.umin(a.umax, b.umax),
        w.smax(a.smin, b.smin), w.smin(a.smax, b.smax),
    )  # fmt: skip


def join(w: Words, a: View, b: View) -> View:
    """Return the smallest view around both."""
    return View(
        *tnum.join(w, a.value, a.mask, b.value, b.mask),
        w.umin(a.umin, b.umin), w.umax(a.umax, b.umax),
        w.smin(a.smin, b.smin), w.smax(a.smax, b.smax),
    )  # fmt: skip


def empty(w: Words, a: View) -> bool:
    """Return whether a part shows that there is no such word. A view without words need not show it."""
    return w.ult(a.umax, a.umin) | w.slt(a.smax, a.smin)
