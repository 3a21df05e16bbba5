"""A loop as its rankings see it: counters, and turns that change them.

*Counters* are the numbers that a loop changes, named by what they are when the head is reached. *Turns* are the ways
around, each with what every counter was (narrowed by the comparisons on that way), what it becomes, and the relations
that held. A *round* is one arrival at the head from inside.

A turn moves a counter by a constant (`Loop.step`), or one way by at least so much (`Loop.least`), which is known from a
`Rise` that addition has recorded: `pos += length` with length in 1..=255 moves pos up by at least 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from verifier.rising import goes
from verifier.scalar import Scalar
from verifier.state import Relation, Rise
from verifier.terms import Terms, wrap
from verifier.values import Number

_WORD = (1 << 64) - 1
_SIGN = 1 << 63


@dataclass(frozen=True, slots=True)
class Counter:
    """A number that the loop changes: its symbol at the head, its value on entry, its words at any arrival."""

    symbol: int
    start: Number
    at_head: Scalar


@dataclass(frozen=True, slots=True)
class Turn:
    """One way around. `before`, `after`: for each counter, its words before and its value after; `facts` that held."""

    before: tuple[Scalar, ...]
    after: tuple[Number, ...]
    facts: frozenset[Relation]


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop to be ranked.

    `known` gives the words of a symbol that was there on entry, None for any other. `given`: relations that held on
    entry.
    """

    terms: Terms
    counters: tuple[Counter, ...]
    turns: tuple[Turn, ...]
    known: Callable[[int], Scalar | None]
    given: frozenset[Relation] = frozenset()

    @property
    def always(self) -> frozenset[Relation]:
        """The relations that hold on every turn."""
        return frozenset.intersection(*(turn.facts for turn in self.turns)) if self.turns else frozenset()

    def step(self, turn: Turn, index: int) -> int | None:
        """Return the constant that a turn adds to a counter, modulo 2^64; None if it does something else."""
        after = turn.after[index]
        return after.delta if after.symbol == self.counters[index].symbol else None

    def steps(self, index: int) -> tuple[int, ...] | None:
        """Return the constants that the turns add to a counter, None unless they all add one."""
        found = [self.step(turn, index) for turn in self.turns]
        return tuple(sorted({s for s in found if s is not None})) if None not in found else None

    def least(self, turn: Turn, index: int, direction: int) -> int | None:
        """Return by how much at least a turn moves a counter up (direction 1) or down (-1); None if that is unknown.

        A constant counts as what it is, even if adding it could wrap. What is known from a `Rise` cannot wrap.
        """
        constant = self.step(turn, index)
        if constant is not None:
            return constant * direction
        after, symbol = turn.after[index], self.counters[index].symbol
        gains = [
            gain
            for fact in turn.facts
            if isinstance(fact, Rise)
            and (gain := _gained(fact, symbol, turn.before[index], after, direction)) is not None
        ]
        return max(gains, default=None)

    def unwrapped(self, turn: Turn, index: int, *, signed: bool) -> bool:
        """Return whether a turn's move of a counter is the same in the integers that the words are read as."""
        before, after = turn.before[index], turn.after[index].scalar
        constant = self.step(turn, index)
        if constant is None:
            return not signed or (before.smin >= 0 and after.smin >= 0)
        if signed:
            return before.smin + constant >= -_SIGN and before.smax + constant < _SIGN
        return before.umin + constant >= 0 and before.umax + constant <= _WORD


def _gained(rise: Rise, symbol: int, before: Scalar, after: Number, direction: int) -> int | None:
    """Return what a relation tells of `after - before`, times the direction."""
    new, old = (rise.a, rise.b) if direction > 0 else (rise.b, rise.a)
    if new[0] != after.symbol or old[0] != symbol:
        return None
    ahead, behind = wrap(after.delta - new[1]), old[1]  # after = new + ahead, old = the counter + behind
    if not goes(after.scalar, -ahead) or not goes(before, behind):
        return None
    return rise.least + (ahead + behind) * direction
