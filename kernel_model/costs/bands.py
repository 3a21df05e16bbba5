"""How far a result may be from the truth because prices are uncertain.

On one core an operation takes the sum of what is charged for it: counts times prices. Counts do not depend on prices,
and every price is a sum of *given* figures (`costs`), so the latency is linear in each given figure, exactly:

    latency = typical + sum over the figures of (how far this one moves it)

Each uncertain figure lies somewhere in its own interval, whatever the others do. So the latency lies between the sum of
the moves that shorten it most and the sum of those that lengthen it most: the **band**. Putting all figures at their
low end, then all at their high end, would not do: a derived price moves against the figures that its equation
subtracts, and their effects would partly cancel.

The speed-up of one mechanism over another is a quotient of two such sums in the *same* figures: one switch costs both
of them more. Its extremes lie at corners of the box of intervals and are found exactly by Dinkelbach's method (*On
nonlinear fractional programming*, Management Science 13(7), 1967): for a guess q, maximise other - q * mine, which is
linear; the corner found gives the next guess.

    call moves by 8 switches, the graft by 2; a dearer switch makes both slower, and the graft's advantage greater
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kernel_model.core import prices
from kernel_model.costs import Profile

_ROUNDS = 64  # of Dinkelbach's method, which converges superlinearly: a handful are used


@dataclass(frozen=True, slots=True)
class Move:
    """How far one figure moves a latency, at the low and at the high end of its interval (ps)."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """A latency (ps) and how each uncertain figure of the profile moves it, by the figure's name."""

    typical: float
    moves: Mapping[str, Move]

    def band(self) -> tuple[float, float]:
        """Return the least and the greatest latency (ps) that the figures' intervals allow."""
        low = sum(min(0.0, move.low, move.high) for move in self.moves.values())
        high = sum(max(0.0, move.low, move.high) for move in self.moves.values())
        return self.typical + low, self.typical + high

    def speed_up_over(self, other: Sensitivity) -> tuple[float, float]:
        """Return the least and the greatest quotient other / self, both under the same prices."""
        return self._extreme(other, -1), self._extreme(other, 1)

    def _extreme(self, other: Sensitivity, sign: int) -> float:
        quotient = other.typical / self.typical
        for _ in range(_ROUNDS):
            mine, theirs = self.typical, other.typical
            for name in self.moves.keys() | other.moves.keys():
                a, b = self.moves.get(name, _STILL), other.moves.get(name, _STILL)
                corners = ((0.0, 0.0), (a.low, b.low), (a.high, b.high))
                move = max(corners, key=lambda corner: sign * (corner[1] - quotient * corner[0]))
                mine, theirs = mine + move[0], theirs + move[1]
            if sign * (theirs / mine - quotient) <= 0:
                break
            quotient = theirs / mine
        return quotient


_STILL = Move(0.0, 0.0)


def sensitivity(profile: Profile, counts: Mapping[str, int], operations: int, typical: float) -> Sensitivity:
    """Return how the profile's uncertain figures move a latency of `typical` ps.

    `counts` are totals by primitive over all accounts and over `operations` (> 0) operations.
    """
    vector = [counts.get(primitive.name, 0) / operations for primitive in prices.PRIMITIVES]

    def moved(change: Mapping[int, int]) -> float:
        return sum(vector[index] * ps for index, ps in change.items())

    moves = {name: Move(moved(ends.low), moved(ends.high)) for name, ends in profile.uncertain.items()}
    return Sensitivity(typical, {name: move for name, move in moves.items() if move != _STILL})
