"""Intervals of words, unsigned and signed: one circle, cut open at two places.

The words of a width lie on a circle of 2^W points. Unsigned numbers are the circle cut between 2^W - 1 and 0, signed
ones the circle cut between 2^(W-1) - 1 and -2^(W-1). Two consequences are used here.

*Turns.* An exact sum of two numbers lies some turns around the circle: 0, or one up, or (signed) one down. The exact
sums of two intervals lie between that of the lower bounds and that of the upper ones. So if these two are in the same
turn, all are, and wrapping moves them all alike: the wrapped bounds bound the wrapped sums, whether none of them
overflows or all do. If the turns differ, nothing is known. Differences are alike.

*Crossing.* An interval in one order is, in the other, one piece or the two outer pieces: `cross` moves bounds that lie
in the gap. It takes words; signed bounds come and go biased (`s + w.sign`), which moves the one cut to the other.

(Navas et al., "Signedness-Agnostic Program Analysis: Precise Integer Bounds for Low-Level Code", APLAS 2012, make
the circle a domain of its own; here two cuts and a tnum do.)
"""

from __future__ import annotations

from verifier.words import Words

Interval = tuple[int, int]


def add(w: Words, alow: int, ahigh: int, blow: int, bhigh: int) -> Interval:
    """Return the sums of words."""
    same = w.uadd_turn(alow, blow) == w.uadd_turn(ahigh, bhigh)
    return w.ite(same, (alow + blow) & w.mask, 0), w.ite(same, (ahigh + bhigh) & w.mask, w.mask)


def sub(w: Words, alow: int, ahigh: int, blow: int, bhigh: int) -> Interval:
    """Return the differences of words."""
    same = w.usub_turn(alow, bhigh) == w.usub_turn(ahigh, blow)
    return w.ite(same, (alow - bhigh) & w.mask, 0), w.ite(same, (ahigh - blow) & w.mask, w.mask)


def signed_add(w: Words, alow: int, ahigh: int, blow: int, bhigh: int) -> Interval:
    """Return the sums of signed numbers."""
    same = w.sadd_turn(alow, blow) == w.sadd_turn(ahigh, bhigh)
    return w.ite(same, w.wrap(alow + blow), -w.sign), w.ite(same, w.wrap(ahigh + bhigh), w.sign - 1)


def signed_sub(w: Words, alow: int, ahigh: int, blow: int, bhigh: int) -> Interval:
    """Return the differences of signed numbers."""
    same = w.ssub_turn(alow, bhigh) == w.ssub_turn(ahigh, blow)
    return w.ite(same, w.wrap(alow - bhigh), -w.sign), w.ite(same, w.wrap(ahigh - blow), w.sign - 1)


def cross(w: Words, low: int, high: int, other_low: int, other_high: int) -> Interval:
    """Tighten [low, high] by the bounds that the same word has across the other cut.

    The other interval, read in this order, is one piece [other_low, other_high] if it does not contain this cut, and
    else two: [0, other_high] and [other_low, 2^W - 1]. A bound in the gap between the pieces moves to the next piece.
    """
    two = w.ult(other_high, other_low)
    keep_low = two & w.ule(low, other_high)
    keep_high = two & w.ule(other_low, high)
    return w.ite(keep_low, low, w.umax(low, other_low)), w.ite(keep_high, high, w.umin(high, other_high))


def low_bits(w: Words, low: int, high: int, mask: int, bias: int) -> Interval:
    """Return the interval of `(x + bias) & mask` for x in [low, high]; `mask` is all ones up to some bit.

    With bias 0 these are the low bits as words, with bias `mask // 2 + 1` as biased signed numbers.
    """
    start, end = (low + bias) & mask, (high + bias) & mask
    holds = w.ule((high - low) & w.mask, mask) & w.ule(start, end)
    return w.ite(holds, start, 0), w.ite(holds, end, mask)
