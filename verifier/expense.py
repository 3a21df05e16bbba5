"""What a path has cost so far, as a function of the counters of the loops around it.

An inner loop that runs i times in round i of an outer one costs a number in each round, but not the same number. So a
`Cost` is not a tally alone: it is

    base  +  the sum over measures m of  coefficient(m) * value(m)

where a `Measure` counts steps from a symbol to a point: x = ceil(max(0, factor * s + offset) / stride), s the symbol's
word read as signed, and its value is the rising polynomial C(x + degree - 1, degree), that is 1, x, x (x + 1) / 2, ...
Base, coefficients and values are never negative.

**Soundness.** A cost bounds an execution that has the symbols' words. Adding costs adds bounds. `maximum` takes the
greater of base and coefficients one by one; as no value is negative, that bounds both. `settled` replaces a measure by
its greatest value over the words that its symbol may have (`ranges`): a sum of measures of one symbol and of stride 1
is convex in the symbol, so that it is greatest at an end of the range. A symbol means the same word in two executions
only if it is told apart by both, so where paths meet all measures are settled but for those of the counters of loops
around (`State.ghosts`), whose names all paths of a round share.

**Sums.** Rounds in which a counter moves one way by at least t see words that are at least t apart, so the values of an
increasing measure in n of them are at most those of its n greatest arguments M, M - t, M - 2 t, ... `descending` gives
that sum in closed form: of degree 1 by the sum of floors of an arithmetic progression (Euclid's algorithm), else by
Newton's forward differences or, for unit steps, by

    value(x, d) + value(x - 1, d) + ... + value(1, d) = value(x, d + 1).

Example: `for i in 0..64 { for j in 0..i { .. } }`: the inner loop costs 3 i + 1 beyond entry, so 63 + 62 + ... + 0 =
2016 rounds of it are counted, not 64 * 63.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import comb
from typing import NamedTuple

from verifier import cost
from verifier.cost import Tally

_TERMS = 8  # measures kept in one cost; more are settled
DEGREES = 6  # the greatest degree that is kept


class Measure(NamedTuple):
    """C(x + degree - 1, degree), x = ceil(max(0, factor * s + offset) / stride); see the module."""

    symbol: int
    factor: int
    offset: int
    stride: int = 1
    degree: int = 1

    def at(self, word: int) -> int:
        """Return the value where the symbol's word is this signed number."""
        return value(self.steps(self.factor * word + self.offset), self.degree)

    def steps(self, distance: int) -> int:
        """Return how many strides a distance takes."""
        return -(-max(0, distance) // self.stride)

    def greatest(self, words: Range) -> int:
        """Return the greatest value over a range of words."""
        return self.at(words[1] if self.factor > 0 else words[0])


Range = tuple[int, int]
"""The least and the greatest signed word that a symbol may be."""


def value(x: int, degree: int) -> int:
    """Return C(x + degree - 1, degree): how many ways to choose `degree` of x things, repetition allowed."""
    return comb(x + degree - 1, degree) if x > 0 else 0


@dataclass(frozen=True, slots=True)
class Cost:
    """`base` and a coefficient for each measure; `ranges` has the words of every symbol that is measured."""

    base: Tally
    terms: Mapping[Measure, Tally]
    ranges: Mapping[int, Range]

    @property
    def symbols(self) -> frozenset[int]:
        """The symbols that it depends on."""
        return frozenset(self.ranges)

    def plus(self, other: Cost) -> Cost:
        """Return the cost of one after the other."""
        if not self.terms and not other.terms:
            return constant(cost.plus(self.base, other.base))
        terms = dict(self.terms)
        for measure, tally in other.terms.items():
            terms[measure] = cost.plus(terms[measure], tally) if measure in terms else tally
        return _limited(Cost(cost.plus(self.base, other.base), terms, _around(self.ranges, other.ranges)))

    def spending(self, tally: Tally) -> Cost:
        """Return the cost with a tally added."""
        return Cost(cost.plus(self.base, tally), self.terms, self.ranges)

    def times(self, factor: int) -> Cost:
        """Return the cost of doing it so many times, in all of which the symbols are the same."""
        terms = {measure: scaled(tally, factor) for measure, tally in self.terms.items()}
        return Cost(scaled(self.base, factor), terms, self.ranges)

    def settled(self, kept: Collection[int] = ()) -> Cost:
        """Return the cost with the measures of all symbols replaced by their greatest values, but for those kept."""
        gone = [symbol for symbol in self.ranges if symbol not in kept]
        if not gone:
            return self
        base = self.base
        for symbol in gone:
            of = {measure: tally for measure, tally in self.terms.items() if measure.symbol == symbol}
            base = cost.plus(base, _greatest(of, self.ranges[symbol], len(base)))
        terms = {measure: tally for measure, tally in self.terms.items() if measure.symbol in kept}
        return Cost(base, terms, {symbol: words for symbol, words in self.ranges.items() if symbol in kept})

    def within(self, symbol: int, words: Range) -> Cost:
        """Return the cost once it is known that the symbol's word is in this range, which is not empty."""
        if symbol not in self.ranges:
            return self
        low, high = self.ranges[symbol]
        narrowed = (max(low, words[0]), min(high, words[1]))
        if narrowed[0] > narrowed[1]:
            return self
        return Cost(self.base, self.terms, {**self.ranges, symbol: narrowed})


def constant(tally: Tally) -> Cost:
    """Return a cost that depends on nothing."""
    return Cost(tally, {}, {})


def measured(measure: Measure, words: Range, tally: Tally) -> Cost:
    """Return the cost of a tally as often as a measure says."""
    return Cost(scaled(tally, 0), {measure: tally}, {measure.symbol: words})


def maximum(a: Cost, b: Cost, kept: Collection[int]) -> Cost:
    """Return a cost around both; the symbols kept are those that mean the same in both."""
    a, b = a.settled(kept), b.settled(kept)
    if not a.terms and not b.terms:
        return constant(cost.maximum(a.base, b.base))
    terms = dict(a.terms)
    for measure, tally in b.terms.items():
        terms[measure] = cost.maximum(terms[measure], tally) if measure in terms else tally
    return _limited(Cost(cost.maximum(a.base, b.base), terms, _around(a.ranges, b.ranges)))


def _around(a: Mapping[int, Range], b: Mapping[int, Range]) -> dict[int, Range]:
    """Return ranges around both: an execution that has a part of one of two costs is within that one's range alone."""
    ranges = dict(a)
    for symbol, (low, high) in b.items():
        known = ranges.get(symbol, (low, high))
        ranges[symbol] = (min(known[0], low), max(known[1], high))
    return ranges


def scaled(tally: Tally, factor: int) -> Tally:
    """Return a tally so many times."""
    return tuple(count * factor for count in tally)


def _limited(expense: Cost) -> Cost:
    return expense if len(expense.terms) <= _TERMS else expense.settled()


def _greatest(terms: Mapping[Measure, Tally], words: Range, counts: int) -> Tally:
    """Return the greatest sum of terms of one symbol: at an end of its range if all are convex, else one by one."""
    if all(measure.stride == 1 for measure in terms):
        return cost.maximum(*(_sum(((m.at(word), t) for m, t in terms.items()), counts) for word in words))
    return _sum(((m.greatest(words), t) for m, t in terms.items()), counts)


def _sum(parts: Iterable[tuple[int, Tally]], counts: int) -> Tally:
    total: Tally = (0,) * counts
    for times, tally in parts:
        total = cost.plus(total, scaled(tally, times))
    return total


# --- sums of a measure over rounds -----------------------------------------------------------------------------------


def descending(measure: Measure, most: int, gap: int, times: int) -> int:
    """Return the greatest sum of `times` values of a measure whose distances are at most `most`, `gap` apart."""
    if most <= 0 or times <= 0:
        return 0
    times = min(times, -(-most // gap))  # further ones are 0
    if measure.degree == 1:
        # ceil((most - gap * k) / stride), backwards from the least distance
        least = most - gap * (times - 1)
        return _floors(times, measure.stride, gap, least + measure.stride - 1)
    if measure.stride == gap:
        steps = measure.steps(most)
        return value(steps, measure.degree + 1) - value(steps - times, measure.degree + 1)
    if measure.stride == 1:
        return _newton([value(most - gap * k, measure.degree) for k in range(min(times, measure.degree + 1))], times)
    return times * value(measure.steps(most), measure.degree)


def _floors(n: int, m: int, a: int, b: int) -> int:
    """Return the sum of (a * k + b) // m for k in 0 ..< n; all are at least 0."""
    total = 0
    while n > 0:
        total += n * (n - 1) // 2 * (a // m) + n * (b // m)
        a, b = a % m, b % m
        if a == 0:
            break
        n, b = divmod(a * n + b, m)
        a, m = m, a
    return total


def _newton(values: list[int], times: int) -> int:
    """Return the sum of the first `times` values of the polynomial that starts with these."""
    total, order = 0, 1
    while values:
        total += comb(times, order) * values[0]
        values = [b - a for a, b in pairwise(values)]
        order += 1
    return total


def telescoped(measure: Measure, to: Measure, gap: int) -> Measure | None:
    """Return a measure of at least the sum of `measure` over all distances up to that of `to`, `gap` apart; or None.

    `to`, of degree 1 and stride 1, is the greatest distance as a function of a symbol that stays the same.
    """
    if measure.stride != gap or measure.degree >= DEGREES:
        return None
    return Measure(to.symbol, to.factor, to.offset, measure.stride, measure.degree + 1)
