"""Why a loop ends, and after how many rounds at most.

`rank` looks for a reason in each of these shapes, over the counters and turns of a loop (`turns`), and returns the
smallest bound, if it is one to live with (`limits.VERIFIER_ROUNDS`):

| shape        | on every turn                                                | rounds at most               |
|--------------|--------------------------------------------------------------|------------------------------|
| affine       | x rises by s > 0 or more, x <= high (or falls, low <= x)     | (high - start) / s + 1       |
| nested       | one counter never goes back; turns that leave it are ranked  | product                      |
| together     | counters that never go back; each turn moves one of them     | sum                          |
| to a point   | x' = x + s, x + d != n                                       | (n - d - start) / s, if exact|
| shrinking    | x' <= x >> k, x / c, with x bounded from below               | by running the bound down    |
| growing      | x' >= x << k, x * c, with x bounded from above               | by running the bound up      |
| one bit less | x' = x & (x - 1), x ^ (x & -x), x != 0                       | bits of x                    |
| closing in   | lo < hi, and hi - lo becomes less by a constant              | (hi - lo) / constant         |
| halving      | lo < hi, and lo' = mid + 1 or hi' = mid                      | bits of hi - lo              |
| Euclid       | (a, b)' = (b, a % b), b != 0                                 | Lame's theorem               |

The first three are here, the others in `shapes`.

**Soundness.** Each shape is a ranking function into a well-founded set (Floyd 1967; of linear ones Podelski and
Rybalchenko, VMCAI 2004; nested and together are lexicographic and sum compositions), an elementary argument over
*unwrapped* integers; where an operation could wrap the shape does not apply, but for `to a point`, which is exact
modulo 2^64. Bounds of `x` hold on the turn itself, so nothing is assumed about rounds that are not taken. Example:
`r0 = 0; L: r0 += 3; if r0 != 999 goto L`: one turn, x' = x + 3, x + 3 != 999, start 0: (999 - 3 - 0) / 3 = 332 rounds.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass

from grafting import limits
from grafting.isa import Alu
from verifier import scalar as scalars
from verifier import shapes
from verifier.places import Place
from verifier.scalar import Scalar, constant
from verifier.turns import Loop, Turn

_WORD = (1 << 64) - 1
_SIGN = 1 << 63
_NEST = 3  # counters in one nest
TURNS = 32  # ways around a loop that rankings look at


@dataclass(frozen=True, slots=True)
class Ranking:
    """`rounds`: how often at most the head is reached again, by a `shape` of the counters with the indices `by`.

    `bounds`: for each counter its words at the head, or None. `limits`: how often at most each turn is taken.
    """

    loop: Loop
    rounds: int
    shape: str
    by: tuple[int, ...]
    bounds: tuple[Scalar | None, ...]
    limits: tuple[int, ...] = ()

    def rounds_at(self, before: Sequence[Scalar]) -> int:
        """Return how many rounds at most precede a point where the counters, as they were at the head, are these."""
        loop, best = self.loop, self.rounds
        for index, (counter, words) in enumerate(zip(loop.counters, before, strict=True)):
            start = counter.start.scalar
            for direction in (1, -1):
                gap = pace(loop, index, direction)
                if gap is None:
                    continue
                if all(loop.unwrapped(turn, index, signed=False) for turn in loop.turns):
                    gone = words.umax - start.umin if direction > 0 else start.umax - words.umin
                    best = min(best, max(0, gone) // gap)
                if all(loop.unwrapped(turn, index, signed=True) for turn in loop.turns):
                    gone = words.smax - start.smin if direction > 0 else start.smax - words.smin
                    best = min(best, max(0, gone) // gap)
        return best


@dataclass(frozen=True, slots=True)
class Variable:
    """A counter that shows that a loop ends: where it is at the head; its least and greatest word on entry.

    `least_move`: by how much at least it moves in each round, up or, if negative, down; None if that is no constant.
    """

    place: Place
    start: tuple[int, int]
    least_move: int | None


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a loop ends, as data: the shape in the table above, the counters, and the rounds at most."""

    shape: str
    variables: tuple[Variable, ...]
    rounds: int


def reason(ranked: Ranking, places: Sequence[Place]) -> Reason:
    """Return a ranking as data; `places`: where the counters are at the head."""
    variables = tuple(_variable(ranked.loop, index, places[index]) for index in ranked.by)
    return Reason(ranked.shape, variables, ranked.rounds)


def _variable(loop: Loop, index: int, place: Place) -> Variable:
    start, up, down = loop.counters[index].start.scalar, pace(loop, index, 1), pace(loop, index, -1)
    return Variable(place, (start.umin, start.umax), up if up is not None else -down if down is not None else None)


def pace(loop: Loop, index: int, direction: int) -> int | None:
    """Return the least number, above 0, by which every turn moves a counter in a direction; None if there is none."""
    moves = [loop.least(turn, index, direction) for turn in loop.turns]
    sure = [move for move in moves if move is not None and move > 0]
    return min(sure) if moves and len(sure) == len(moves) else None


def rank(loop: Loop) -> Ranking | None:
    """Return the ranking of a loop with the fewest rounds that is found, None if none is."""
    if not loop.turns:
        return Ranking(loop, 0, "left at once", (), (None,) * len(loop.counters))
    if len(loop.turns) > TURNS:
        return None
    affine = _affine(loop)
    found = shapes.found(loop)
    if affine is not None:
        found.append((affine[0], "affine", affine[1]))
    if not found:
        return None
    rounds, shape, by = min(found)
    if rounds > limits.VERIFIER_ROUNDS:
        return None
    bounds = tuple(_bound(loop, index, rounds) for index in range(len(loop.counters)))
    most = tuple(min(rounds, _limit(loop, turn, rounds)) for turn in loop.turns)
    return Ranking(loop, rounds, shape, by, bounds, most)


def _bound(loop: Loop, index: int, rounds: int) -> Scalar | None:
    """Return the words that a counter can have at the head within these rounds, if every turn adds a constant."""
    steps = loop.steps(index)
    start = loop.counters[index].start.scalar
    if not steps:
        in_half = all(loop.step(turn, index) is None for turn in loop.turns)  # all added in 32 bits
        step = shapes.common_step(loop, index, 32) if in_half else None
        far = wrap32(step) * rounds if step else 0
        exact = far and start.umin + min(0, far) >= 0 and start.umax + max(0, far) < 1 << 32
        return scalars.unsigned(start.umin + min(0, far), start.umax + max(0, far)) if exact else None
    if len(steps) == 1:
        times = scalars.unsigned(0, min(rounds, _WORD))
        moved = scalars.alu(Alu.MUL, True, times, constant(steps[0]))
    else:
        low, high = min(0, steps[0] * rounds), max(0, steps[-1] * rounds)
        if low < -_SIGN or high >= _SIGN:
            return None
        moved = scalars.signed(low, high)
    return scalars.alu(Alu.ADD, True, start, moved)


def wrap32(step: int) -> int:
    """Return a step modulo 2^32 as a signed number."""
    return ((step + (1 << 31)) & ((1 << 32) - 1)) - (1 << 31)


# --- affine, and nests of them ---------------------------------------------------------------------------------------


Nest = tuple[int, tuple[int, ...]]
"""Rounds at most, and the counters that show it, outermost first."""


def _affine(loop: Loop) -> Nest | None:
    starts = tuple(counter.start.scalar for counter in loop.counters)
    return _nested(loop, loop.turns, loop.turns, starts, frozenset(range(len(loop.counters))), _NEST)


def _nested(
    loop: Loop,
    turns: Sequence[Turn],
    among: Sequence[Turn],
    starts: Sequence[Scalar],
    unused: Set[int],
    levels: int,
) -> Nest | None:
    """Rank turns by counters of which each never goes back on the turns that the ones before it leave over.

    `among`: those that may be taken between two of these turns. Of the counters left, those that never go back on any
    of them go on from where they started; a turn that moves an outer counter may set the others to anything.
    """
    if levels == 0:
        return None
    found: list[Nest] = []
    anywhere = tuple(counter.at_head for counter in loop.counters)
    steady = {index: direction for index in unused if (direction := direction_of(loop, among, index))}
    for index, direction in steady.items():
        moving = [turn for turn in turns if (loop.least(turn, index, direction) or 0) > 0]
        still = [turn for turn in turns if turn not in moving]
        rounds = _climb(loop, moving, among, index, starts[index], direction) if moving else None
        if rounds is None:
            continue
        if not still:
            found.append((rounds, (index,)))
            continue
        within = _nested(loop, still, still, anywhere, unused - {index}, levels - 1)
        together = _nested(loop, still, among, starts, steady.keys() - {index}, levels - 1)
        found += [(rounds + (rounds + 1) * within[0], (index, *within[1]))] if within is not None else []
        found += [(rounds + together[0], (index, *together[1]))] if together is not None else []
    return min(found, default=None)


def _climb(
    loop: Loop, turns: Sequence[Turn], among: Sequence[Turn], index: int, start: Scalar, direction: int
) -> int | None:
    """Return how often turns that move a counter in a direction can be taken, by its bounds on them.

    No turn of those `among` which they are moves it back, or around the end of the word, so that it has another,
    farther value each time one of these is taken.
    """
    sizes = [loop.least(turn, index, direction) or 0 for turn in turns]
    before = [turn.before[index] for turn in turns]
    found = []
    if all(loop.unwrapped(turn, index, signed=False) for turn in among):
        low, high = min(b.umin for b in before), max(b.umax for b in before)
        found.append(high - max(low, start.umin) if direction > 0 else min(high, start.umax) - low)
    if all(loop.unwrapped(turn, index, signed=True) for turn in among):
        low, high = min(b.smin for b in before), max(b.smax for b in before)
        found.append(high - max(low, start.smin) if direction > 0 else min(high, start.smax) - low)
    if not found:
        return None
    distance = min(found)
    gap = min(sizes)
    if len(turns) == 1:
        gap = _on_grid(before[0], gap)
    return distance // gap + 1 if distance >= 0 else 0


def _on_grid(words: Scalar, gap: int) -> int:
    """Return the distance of two of these words that are at least `gap` apart: their known low bits are the same."""
    grid = words.mask & -words.mask
    return -(-gap // grid) * grid if grid else gap


def _limit(loop: Loop, turn: Turn, rounds: int) -> int:
    """Return how often one turn can be taken: by a counter that never goes back, or that others set back."""
    best = rounds
    for outer in range(len(loop.counters)):
        direction = direction_of(loop, loop.turns, outer)
        if not direction:
            continue
        start = loop.counters[outer].start.scalar
        moving = [other for other in loop.turns if (loop.least(other, outer, direction) or 0) > 0]
        if turn in moving:
            own = _climb(loop, [turn], loop.turns, outer, start, direction)
            best = best if own is None else min(best, own)
            continue
        settings = _climb(loop, moving, loop.turns, outer, start, direction)
        still = [other for other in loop.turns if other not in moving]
        for inner in range(len(loop.counters)):
            way = direction_of(loop, still, inner)
            if settings is not None and way and (loop.least(turn, inner, way) or 0) > 0:
                own = _climb(loop, [turn], still, inner, loop.counters[inner].at_head, way)
                best = best if own is None else min(best, (settings + 1) * own)
    return best


def direction_of(loop: Loop, turns: Sequence[Turn], index: int) -> int:
    """Return 1 if these turns only move a counter up, -1 if only down, some of them at least; else 0."""
    for direction in (1, -1):
        moves = [loop.least(turn, index, direction) for turn in turns]
        if all(move is not None and move >= 0 for move in moves) and any(moves):
            return direction
    return 0
