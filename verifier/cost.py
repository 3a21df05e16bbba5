"""Worst-case cost, counted forward along paths and folded over loops.

A *tally* is a tuple of counts (layout in `Layout`). Along a path tallies add up; where two paths meet in one state the
greater of each count goes on: max-plus arithmetic, each count on its own, which is how `CostVector` defines a bound.
A loop left after its head was reached k more times costs at most

    tally on entry  +  the k dearest turns  +  tally of the way out

no turn being taken more often than its own limit (`ranking.Ranking.limits`), and with k bounded by the loop's ranking
*as seen at that exit* (`ranking.Ranking.rounds_at`), so that a `break` is not charged for rounds that cannot precede
it. For a loop whose rounds cost the same the bound is exact.

The stack is counted apart, as it does not add up along a path: the deepest byte that each function touches, summed over
the chain of calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from operator import add as _add

from grafting.costs import CostVector
from grafting.hooks import SEND_OPTIONS_BYTES, Helper, Hook
from grafting.isa import CallHelper, CostClass, Operation, cost_class
from verifier.obligations import Access, Argument, Obligation
from verifier.pointers import Kind
from verifier.state import State, shifted
from verifier.values import Number, Pointer

Tally = tuple[int, ...]

_INSTRUCTIONS = 0
_CLASSES = 1
_SENDS = _CLASSES + len(CostClass)
_BYTES, _MAPS, _CALLS, _HELPERS = _SENDS + 1, _SENDS + 2, _SENDS + 3, _SENDS + 4


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the counts of a tally are: instructions, classes, sends, bytes, map operations, calls, calls by helper."""

    helpers: tuple[Helper, ...]  # those that the hook offers, in the order of their counts

    @staticmethod
    def of(hook: Hook) -> Layout:
        """Return the layout for a hook."""
        return Layout(hook.helpers)

    @property
    def zero(self) -> Tally:
        """The tally of nothing."""
        return (0,) * (_HELPERS + len(self.helpers))

    def of_operations(self, operations: Iterable[Operation]) -> Tally:
        """Return the tally of instructions executed once each, but for the bytes that they send."""
        counts = list(self.zero)
        for op in operations:
            counts[_INSTRUCTIONS] += 1
            counts[_CLASSES + cost_class(op)] += 1
            if isinstance(op, CallHelper):
                for index, helper in enumerate(self.helpers):
                    if helper.number == op.number:
                        counts[_SENDS] += helper.sends
                        counts[_MAPS] += helper.map_op
                        counts[_CALLS] += 1
                        counts[_HELPERS + index] += 1
        return tuple(counts)

    def vector(self, tally: Tally, stack_bytes: int) -> CostVector:
        """Return a tally as the cost vector that the project speaks of."""
        calls = zip(self.helpers, tally[_HELPERS:], strict=True)
        return CostVector(
            instructions=tally[_INSTRUCTIONS],
            by_class=tally[_CLASSES:_SENDS],
            helper_calls=tally[_CALLS],
            helpers=tuple((helper.number, count) for helper, count in calls if count),
            sends=tally[_SENDS],
            bytes_sent=tally[_BYTES],
            map_operations=tally[_MAPS],
            stack_bytes=stack_bytes,
        )


def plus(a: Tally, b: Tally) -> Tally:
    """Return the tally of one after the other."""
    return tuple(map(_add, a, b))


def maximum(a: Tally, b: Tally) -> Tally:
    """Return the least tally around both."""
    return a if a == b else tuple(map(max, a, b))


def minimum(a: Tally, b: Tally) -> Tally:
    """Return the lesser of each count."""
    return tuple(map(min, a, b))


def rounds(turns: Sequence[tuple[Tally, int, int]], times: int, distance: int | None, zero: Tally) -> Tally:
    """Return the greatest tally of `times` rounds, each one of these turns.

    A turn is (tally, how often at most it is taken, how far it goes); together they go no farther than `distance`,
    unless it is None. Each count on its own is a knapsack, and filled in fractions at most as much as it can hold
    (Dantzig, Op. Res. 1957).
    """
    if len(turns) == 1:
        return tuple(count * min(times, turns[0][1]) for count in turns[0][0])
    if not turns:
        return zero
    columns = list(zip(*(tally for tally, _limit, _far in turns), strict=True))
    most = {column: _most(column, turns, times, distance) for column in {*columns}}  # many are alike, most of them 0
    return tuple(most[column] for column in columns)


def _most(column: tuple[int, ...], turns: Sequence[tuple[Tally, int, int]], times: int, distance: int | None) -> int:
    """Return the greatest sum of one count, which each turn has as `column` says."""
    most = _greatest_sum([(count, limit) for count, (_, limit, _far) in zip(column, turns, strict=True)], times)
    if distance is None or most == 0:
        return most
    return min(most, _fullest([(count, turn[1], turn[2]) for count, turn in zip(column, turns, strict=True)], distance))


def _greatest_sum(counts: list[tuple[int, int]], times: int) -> int:
    total = 0
    for count, limit in sorted(counts, reverse=True):
        taken = min(limit, times)
        total, times = total + taken * count, times - taken
    return total


def _fullest(counts: list[tuple[int, int, int]], distance: int) -> int:
    """Return the greatest sum of counts whose ways add up to the distance at most, the last one in part."""
    total = 0
    for count, limit, far in sorted(counts, key=lambda item: Fraction(item[0], item[2]), reverse=True):
        if limit * far >= distance:
            return total + count * distance // far
        total, distance = total + limit * count, distance - limit * far
    return total


def sending(tally: Tally, state: State, helper: Helper) -> Tally:
    """Return the tally with the greatest body that this call may send added. Its count as a call is not added."""
    length = state.registers[5]
    if not helper.sends or not isinstance(length, Number):
        return tally
    options = SEND_OPTIONS_BYTES if helper.number == 1002 else 0
    return with_bytes(tally, max(0, length.scalar.umax - options))


def bytes_sent(tally: Tally) -> int:
    """Return the bytes sent of a tally."""
    return tally[_BYTES]


def with_bytes(tally: Tally, sent: int) -> Tally:
    """Return the tally with more bytes sent."""
    return (*tally[:_BYTES], tally[_BYTES] + sent, *tally[_BYTES + 1 :])


# --- the stack -------------------------------------------------------------------------------------------------------


def stack_use(state: State, obligation: Obligation) -> tuple[int, int] | None:
    """Return (frame, bytes from its end) that an access or a helper's argument may reach down to; None if no stack."""
    match obligation:
        case Access(base, offset):
            pointer = state.registers[base]
        case Argument(register=register):
            pointer, offset = state.registers[register], 0
        case _:
            return None
    if not isinstance(pointer, Pointer) or pointer.region.kind is not Kind.STACK:
        return None
    return pointer.region.frame, -shifted(pointer.scalar, offset).smin


def deepest_chain(entry: int, depths: Mapping[int, int], calls: Mapping[int, Iterable[int]]) -> tuple[int, list[int]]:
    """Return the most bytes of stack that a chain of calls from `entry` takes, and the functions of that chain."""
    below = [deepest_chain(callee, depths, calls) for callee in calls.get(entry, ())]
    none: list[int] = []
    most, chain = max(below, default=(0, none))
    return depths.get(entry, 0) + most, [entry, *chain]
