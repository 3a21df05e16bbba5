"""What a loop costs, seen from a way out of it.

    cost on entry  +  what the rounds before cost  +  cost of the way out, from the head on

`before` sums over rounds. Each of the `times` rounds is one of the turns, none taken more often than its limit, so that
its constant part is at most the sum of the dearest; where the number of rounds is known as a function of something that
stays the same, so is that sum. The parts of a turn that are measured:

- by a counter of this loop on a *track* (below): the values in the rounds are those of a progression;
- by a symbol that stays the same: as often as the turns that have this part can be taken;
- by anything else: the greatest value, each time.

A track is a counter that every turn moves in one direction by at least `gap`, as a signed number and never around the
end. So in n rounds its values are n different ones, `gap` apart, and before a way out there were at most

    (its value there - its value on entry) / gap

rounds, and in all at most (limit - value on entry) / gap + 1 if every turn has compared it with a limit. Both are
functions of a symbol, if one of the two ends is `symbol + constant` and the other is bounded by a number. They are used
where they are at most the number that the ranking gives.

Example: in `for j in i..n`, i and n set outside, j starts at i and each turn has j <= n - 1. So the loop costs its
round max(0, n - i) times; with n <= 64 it is max(0, 64 - i) times as a function of i. A loop around that counts i from
0 upwards sums 64 + 63 + ... + 1.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

from grafting.isa import Alu, Condition
from verifier import cost, expense
from verifier.comparisons import Comparison
from verifier.cost import Tally
from verifier.expense import Cost, Measure, Range
from verifier.ranking import Ranking, pace
from verifier.scalar import Scalar
from verifier.state import Fact
from verifier.terms import ZERO
from verifier.turns import Loop

_SIGN = 1 << 63
_LINEAR = 3  # definitions looked through to find a symbol that stays the same


class Line(NamedTuple):
    """factor * s + offset, s the signed word of a symbol that stays the same while the loop runs."""

    symbol: int
    factor: int
    offset: int


@dataclass(frozen=True, slots=True)
class Track:
    """A counter that moves in `direction` (1 or -1) by at least `gap` on every turn; see the module.

    `start`: its words on entry, and `origin`: the line they are, None for a constant. `ends`: lines that
    direction * counter is at most on every turn.
    """

    index: int
    symbol: int
    direction: int
    gap: int
    start: Range
    origin: Line | None
    ends: tuple[Line, ...]


def before(ranked: Ranking, turns: Sequence[Cost], there: Sequence[Scalar], kept: Collection[int], zero: Tally) -> Cost:
    """Return what the rounds before a way out cost.

    `turns`: what each turn costs. `there`: what the counters were at the head, as known at the way out. `kept`: symbols
    of the counters of the loops around, which a cost had better be a function of.
    """
    times = ranked.rounds_at(there)
    if times == 0:
        return expense.constant(zero)
    return _Fold(ranked, turns, there, kept, times).total(zero)


class _Fold:
    """The sum over the rounds before one way out."""

    def __init__(
        self, ranked: Ranking, turns: Sequence[Cost], there: Sequence[Scalar], kept: Collection[int], times: int
    ) -> None:
        self.loop, self.limits, self.there, self.kept, self.times = ranked.loop, ranked.limits, there, kept, times
        self.tracks = {track.symbol: track for track in tracks(ranked.loop)}
        constant = {symbol for turn in turns for symbol in turn.ranges if ranked.loop.known(symbol) is not None}
        self.turns = [turn.settled(constant | self.tracks.keys()) for turn in turns]
        self.rounds = self._rounds()

    def total(self, zero: Tally) -> Cost:
        """Return the sum."""
        found = self._constant_part(zero)
        for measure in {measure: None for turn in self.turns for measure in turn.terms}:
            having = [index for index, turn in enumerate(self.turns) if measure in turn.terms]
            times = min(self.times, sum(self.limits[index] for index in having))
            tally = zero
            for index in having:
                tally = cost.maximum(tally, self.turns[index].terms[measure])
            if measure.symbol in self.tracks:
                found = found.plus(self._moving(measure, tally, times, having))
            else:
                found = found.plus(self._staying(measure, self._words(measure.symbol), tally, times))
        return found

    # --- how many rounds -----------------------------------------------------------------------------------------

    def _rounds(self) -> tuple[Measure, Range] | None:
        """Return the rounds as a measure that is at most `times`: best of a symbol that is kept, or else that stays."""
        found = [
            (measure.symbol not in self.kept, measure.symbol in self.tracks, measure.greatest(words), measure, words)
            for track in self.tracks.values()
            for measure, words in self._distances(track)
            if measure.greatest(words) <= self.times
        ]
        return min(found)[3:] if found else None

    def _distances(self, track: Track) -> Iterator[tuple[Measure, Range]]:
        """Yield measures of the rounds before the way out."""
        toward, gap = track.direction, track.gap
        first = min(toward * word for word in track.start)
        for end in track.ends:
            yield Measure(end.symbol, end.factor, end.offset + 1 - first, gap), self._words(end.symbol)
        here = self.there[track.index]
        yield Measure(track.symbol, toward, 1 - gap - first, gap), (here.smin, here.smax)
        if track.origin is not None:
            origin = track.origin
            last = max(toward * word for turn in self.loop.turns for word in _ends_of(turn.before[track.index]))
            most = max(toward * word for word in _ends_of(here))
            for offset in (last + 1, most - gap + 1):
                measure = Measure(origin.symbol, -toward * origin.factor, offset - toward * origin.offset, gap)
                yield measure, self._words(origin.symbol)

    def _words(self, symbol: int) -> Range:
        known = self.loop.known(symbol)
        assert known is not None  # a line is of a symbol that is known
        return known.smin, known.smax

    # --- what they cost ------------------------------------------------------------------------------------------

    def _constant_part(self, zero: Tally) -> Cost:
        """Return the constant parts of the dearest turns, as often as they can be taken."""
        turns = [(turn.base, limit) for turn, limit in zip(self.turns, self.limits, strict=True)]
        most = self._most(turns, zero)
        if self.rounds is None:
            return expense.constant(most)
        # Each round costs the greatest of the turns without a limit; those with one, what they cost beyond that.
        measure, words = self.rounds
        free = [tally for tally, limit in turns if limit >= self.times]
        usual = reduce(cost.maximum, free) if free else reduce(cost.minimum, (tally for tally, _limit in turns))
        beyond = zero
        for tally, limit in turns:
            if limit < self.times:
                more = tuple(max(0, count - common) for count, common in zip(tally, usual, strict=True))
                beyond = cost.plus(beyond, expense.scaled(more, limit))
        found = expense.measured(measure, words, usual).spending(beyond)
        return found if measure.symbol in self.kept or found.settled().base == most else expense.constant(most)

    def _most(self, turns: Sequence[tuple[Tally, int]], zero: Tally) -> Tally:
        """Return the constant parts of the dearest turns as a number."""
        found = cost.rounds([(*turn, 1) for turn in turns], self.times, None, zero)
        for track in self.tracks.values() if len(turns) > 1 else ():
            here = _ends_of(self.there[track.index])
            gone = (here[1] - track.start[0]) if track.direction > 0 else (track.start[1] - here[0])
            moves = [self.loop.least(turn, track.index, track.direction) or track.gap for turn in self.loop.turns]
            parts = [(*turn, move) for turn, move in zip(turns, moves, strict=True)]
            found = cost.minimum(found, cost.rounds(parts, self.times, max(0, gone), zero))
            # The last of the rounds begins where a turn can be taken.
            words = [word for turn in self.loop.turns for word in _ends_of(turn.before[track.index])]
            gone = max(words) - track.start[0] if track.direction > 0 else track.start[1] - min(words)
            last = reduce(cost.maximum, (tally for tally, _limit in turns))
            but_last = cost.rounds(parts, self.times - 1, max(0, gone), zero)
            found = cost.minimum(found, cost.plus(but_last, last))
        return found

    def _staying(self, measure: Measure, words: Range, tally: Tally, times: int) -> Cost:
        """Return a measured part that has the same value in all rounds."""
        if self.rounds is not None and times == self.times and self.rounds[0][:2] == measure[:2]:
            rounds = self.rounds[0]
            if rounds.stride == measure.stride and measure.degree < expense.DEGREES:
                # x * value(x, d) <= (d + 1) * value(x, d + 1)
                higher = measure._replace(offset=max(measure.offset, rounds.offset), degree=measure.degree + 1)
                return expense.measured(higher, words, expense.scaled(tally, measure.degree + 1))
        return expense.measured(measure, words, expense.scaled(tally, times))

    def _moving(self, measure: Measure, tally: Tally, times: int, having: Sequence[int]) -> Cost:
        """Return a part that is measured by a counter of the loop, in the rounds that have it."""
        track = self.tracks[measure.symbol]
        gap = track.gap * abs(measure.factor)
        grows = measure.factor * track.direction > 0
        turns = [self.loop.turns[index].before[track.index] for index in having]
        most = max(_farthest(measure, words) for words in turns)
        if grows:
            most = min(most, _farthest(measure, self.there[track.index]) - gap)
        sum_ = expense.descending(measure, most, gap, times)
        for to in self._limits_of(track, measure, grows=grows):
            whole = expense.telescoped(measure, to, gap)
            if whole is not None and to.symbol in self.kept and whole.greatest(self._words(to.symbol)) <= sum_:
                return expense.measured(whole, self._words(to.symbol), tally)
        return expense.constant(expense.scaled(tally, sum_))

    def _limits_of(self, track: Track, measure: Measure, *, grows: bool) -> Iterator[Measure]:
        """Yield the greatest distance that the measure has in any round, as a distance of what stays the same."""
        if grows:
            size = abs(measure.factor)
            for end in track.ends:
                yield Measure(end.symbol, size * end.factor, size * end.offset + measure.offset)
        elif track.origin is not None:
            origin = track.origin
            offset = measure.factor * origin.offset + measure.offset
            yield Measure(origin.symbol, measure.factor * origin.factor, offset)


def _ends_of(words: Scalar) -> Range:
    return words.smin, words.smax


def _farthest(measure: Measure, words: Scalar) -> int:
    """Return the greatest distance that a measure has over some words."""
    return max(measure.factor * word for word in _ends_of(words)) + measure.offset


# --- tracks ----------------------------------------------------------------------------------------------------------


def tracks(loop: Loop) -> tuple[Track, ...]:
    """Return the tracks of a loop."""
    return tuple(track for index in range(len(loop.counters)) if (track := _track(loop, index)) is not None)


def _track(loop: Loop, index: int) -> Track | None:
    if not all(loop.unwrapped(turn, index, signed=True) for turn in loop.turns):
        return None
    for direction in (1, -1):
        gap = pace(loop, index, direction)
        if gap is not None:
            counter = loop.counters[index]
            origin = line(loop, counter.start.symbol, counter.start.delta)
            ends = tuple(_ends(loop, index, direction))
            return Track(index, counter.symbol, direction, gap, _ends_of(counter.start.scalar), origin, ends)
    return None


def line(loop: Loop, symbol: int, delta: int, depth: int = _LINEAR) -> Line | None:
    """Return the line that `symbol + delta` is, as a signed word; None if no symbol that stays the same makes it."""
    definition = loop.terms.definition(symbol)
    if depth and definition is not None and definition.is64 and definition.operator in (Alu.LSH, Alu.MUL):
        operand, other = definition.a, definition.b
        if other[0] != ZERO and definition.operator is Alu.MUL:
            operand, other = other, operand
        factor = other[1] if definition.operator is Alu.MUL else 1 << (other[1] & 63)
        under = line(loop, operand[0], operand[1], depth - 1) if other[0] == ZERO and 0 < factor < 1 << 32 else None
        if under is not None:
            words = _range(loop, under)
            if words[0] >= 0 and words[1] * factor < _SIGN >> 1 and abs(delta) < _SIGN >> 1:
                return Line(under.symbol, under.factor * factor, under.offset * factor + delta)
    words_or_none = loop.known(symbol)
    if symbol == ZERO or words_or_none is None:
        return None
    exact = words_or_none.smin + delta >= -_SIGN and words_or_none.smax + delta < _SIGN
    return Line(symbol, 1, delta) if exact else None


def _range(loop: Loop, of: Line) -> Range:
    known = loop.known(of.symbol)
    assert known is not None
    ends = [of.factor * word + of.offset for word in _ends_of(known)]
    return min(ends), max(ends)


_LESS: dict[Comparison, int] = {Condition.LT: 1, Condition.LE: 0, Condition.SLT: 1, Condition.SLE: 0}
_GREATER: dict[Comparison, int] = {Condition.GT: 1, Condition.GE: 0, Condition.SGT: 1, Condition.SGE: 0}
_SIGNED = frozenset({Condition.SLT, Condition.SLE, Condition.SGT, Condition.SGE})


def _ends(loop: Loop, index: int, direction: int) -> Iterator[Line]:
    """Yield lines that direction * counter is at most on every turn, by what every turn has compared it with."""
    symbol = loop.counters[index].symbol
    for fact in loop.always:
        if not isinstance(fact, Fact):
            continue
        for one, other, toward in ((fact.a, fact.b, 1), (fact.b, fact.a, -1)):
            end = line(loop, other[0], other[1]) if one[0] == symbol else None
            if end is None:
                continue
            strict = (_GREATER if toward * direction < 0 else _LESS).get(fact.comparison)
            if fact.comparison is Condition.NE and _steps_up_to(loop, index, direction, one[1], _range(loop, end)):
                strict = 1
            words = [word + one[1] for turn in loop.turns for word in _ends_of(turn.before[index])]
            if strict is not None and _exact(fact, (min(words), max(words)), _range(loop, end)):
                # direction * (counter + one[1]) + strict <= direction * end
                yield Line(end.symbol, direction * end.factor, direction * (end.offset - one[1]) - strict)


def _exact(fact: Fact, left: Range, right: Range) -> bool:
    """Return whether a comparison of numbers in these ranges is the one of their words."""
    if fact.comparison in _SIGNED or fact.comparison is Condition.NE:
        low, high = (-_SIGN, _SIGN) if fact.is64 else (-(1 << 31), 1 << 31)
    else:
        low, high = (0, _SIGN) if fact.is64 else (0, 1 << 32)
    return all(low <= number < high for number in (*left, *right))


def _steps_up_to(loop: Loop, index: int, direction: int, ahead: int, goal: Range) -> bool:
    """Return whether a counter that is never equal to a goal is never beyond it: it starts before, and goes by ones."""
    start = [direction * (word + ahead) for word in _ends_of(loop.counters[index].start.scalar)]
    return loop.steps(index) == (direction,) and max(start) <= min(direction * word for word in goal)
