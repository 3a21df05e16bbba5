"""Why a loop ends, and after how many rounds at most.

A loop is seen as a set of *counters* (numbers that it changes, by what they are when the head is reached) and of
*turns*: the ways around, each with what every counter was (narrowed by the comparisons on that way) and what it
becomes, by name. A *round* is one arrival at the head from inside. `rank` looks for a reason in each of these shapes
and returns the smallest bound:

| shape        | on every turn                                                | rounds at most               |
|--------------|--------------------------------------------------------------|------------------------------|
| affine       | x' = x + s, s > 0, x <= high (or s < 0, low <= x)            | (high - start) / s + 1       |
| to a point   | x' = x + s, x + d != n                                       | (n - d - start) / s, if exact|
| shrinking    | x' <= x >> k, x / c, x & (x - 1), with x bounded from below  | by running the bound down    |
| growing      | x' >= x << k, x * c, with x bounded from above               | by running the bound up      |
| closing in   | lo < hi, and hi - lo becomes less by a constant              | (hi - lo) / constant         |
| halving      | lo < hi, and lo' = mid + 1 or hi' = mid                      | bits of hi - lo              |
| Euclid       | (a, b)' = (b, a % b), b != 0                                 | Lame's theorem               |
| nested       | one counter never goes back; turns that leave it are ranked  | product                      |

**Soundness.** Each shape is an elementary argument over *unwrapped* integers; where an operation could wrap the shape
does not apply, but for `to a point`, which is exact modulo 2^64. Bounds of `x` hold on the turn itself, so nothing is
assumed about rounds that are not taken. Example: `r0 = 0; L: r0 += 3; if r0 != 999 goto L`: one turn, x' = x + 3,
x + 3 != 999, start 0: (999 - 3 - 0) / 3 = 332 rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import permutations

from grafting.isa import Alu, Condition
from verifier import scalar as scalars
from verifier.scalar import Scalar, constant
from verifier.state import Fact
from verifier.terms import ZERO, Terms
from verifier.values import Number

_WORD = (1 << 64) - 1
_SIGN = 1 << 63
_LONGEST = 128  # rounds that a shrinking or growing counter can take: twice the bits of a word
_NEST = 3  # counters in one nest
TURNS = 32  # ways around a loop that rankings look at


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
    facts: frozenset[Fact]


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop to be ranked. `known` gives the words of a symbol that was there on entry, None for any other."""

    terms: Terms
    counters: tuple[Counter, ...]
    turns: tuple[Turn, ...]
    known: Callable[[int], Scalar | None]

    def step(self, turn: Turn, index: int) -> int | None:
        """Return the constant that a turn adds to a counter, None if it does something else."""
        after = turn.after[index]
        return after.delta if after.symbol == self.counters[index].symbol else None

    def steps(self, index: int) -> tuple[int, ...] | None:
        """Return the constants that the turns add to a counter, None unless they all add one."""
        found = [self.step(turn, index) for turn in self.turns]
        return tuple(sorted({s for s in found if s is not None})) if None not in found else None


@dataclass(frozen=True, slots=True)
class Ranking:
    """`rounds`: how often at most the head is reached again. `bounds`: for each counter its words there, or None.

    `limits`: how often at most each turn is taken.
    """

    loop: Loop
    rounds: int
    bounds: tuple[Scalar | None, ...]
    limits: tuple[int, ...] = ()

    def rounds_at(self, before: Sequence[Scalar]) -> int:
        """Return how many rounds at most precede a point where the counters, as they were at the head, are these."""
        best = self.rounds
        for index, (counter, scalar) in enumerate(zip(self.loop.counters, before, strict=True)):
            steps = self.loop.steps(index)
            if not steps or (steps[0] <= 0 <= steps[-1]):
                continue
            start, far = counter.start.scalar, max(abs(s) for s in steps) * self.rounds
            if steps[0] > 0 and start.umax + far <= _WORD:
                best = min(best, max(0, scalar.umax - start.umin) // steps[0])
            if steps[-1] < 0 and start.umin - far >= 0:
                best = min(best, max(0, start.umax - scalar.umin) // -steps[-1])
            if start.smax + far < _SIGN and start.smin - far >= -_SIGN:
                gone = scalar.smax - start.smin if steps[0] > 0 else start.smax - scalar.smin
                best = min(best, max(0, gone) // min(abs(s) for s in steps))
        return best


def rank(loop: Loop) -> Ranking | None:
    """Return the ranking of a loop with the fewest rounds that is found, None if none is."""
    if not loop.turns:
        return Ranking(loop, 0, (None,) * len(loop.counters))
    if len(loop.turns) > TURNS:
        return None
    found = [rounds for shape in _SHAPES if (rounds := shape(loop)) is not None]
    if not found:
        return None
    rounds = min(found)
    bounds = tuple(_bound(loop, index, rounds) for index in range(len(loop.counters)))
    limits = tuple(min(rounds, _limit(loop, turn, rounds)) for turn in loop.turns)
    return Ranking(loop, rounds, bounds, limits)


def _bound(loop: Loop, index: int, rounds: int) -> Scalar | None:
    """Return the words that a counter can have at the head within these rounds, if every turn adds a constant."""
    steps = loop.steps(index)
    if not steps:
        return None
    start = loop.counters[index].start.scalar
    if len(steps) == 1:
        times = scalars.unsigned(0, min(rounds, _WORD))
        moved = scalars.alu(Alu.MUL, True, times, constant(steps[0]))
    else:
        low, high = min(0, steps[0] * rounds), max(0, steps[-1] * rounds)
        if low < -_SIGN or high >= _SIGN:
            return None
        moved = scalars.signed(low, high)
    return scalars.alu(Alu.ADD, True, start, moved)


# --- affine, and nests of them ---------------------------------------------------------------------------------------


def _affine(loop: Loop) -> int | None:
    starts = tuple(counter.start.scalar for counter in loop.counters)
    return _nested(loop, loop.turns, starts, frozenset(range(len(loop.counters))))


def _nested(loop: Loop, turns: Sequence[Turn], starts: Sequence[Scalar], unused: frozenset[int]) -> int | None:
    """Rank turns by counters of which each never goes back on the turns that the ones before it leave over."""
    best: int | None = None
    if len(loop.counters) - len(unused) > _NEST:
        return None
    anywhere = tuple(counter.at_head for counter in loop.counters)
    for index in unused:
        direction = _direction(loop, turns, index)
        if not direction:
            continue
        moving = [turn for turn in turns if loop.step(turn, index)]
        rounds = _climb(loop, moving, index, starts[index], direction)
        still = [turn for turn in turns if not loop.step(turn, index)]
        inner = _nested(loop, still, anywhere, unused - {index}) if still else 0
        if rounds is not None and inner is not None:
            total = rounds + (rounds + 1) * inner
            best = total if best is None else min(best, total)
    return best


def _climb(loop: Loop, turns: Sequence[Turn], index: int, start: Scalar, direction: int) -> int | None:
    """Return how often turns that move a counter in a direction can be taken, by its bounds on them."""
    sizes = [abs(loop.step(turn, index) or 0) for turn in turns]
    before = [turn.before[index] for turn in turns]
    found = []
    if direction > 0:
        if all(b.umax + size <= _WORD for b, size in zip(before, sizes, strict=True)):
            found.append(max(b.umax for b in before) - start.umin)
        if all(b.smax + size < _SIGN for b, size in zip(before, sizes, strict=True)):
            found.append(max(b.smax for b in before) - start.smin)
    else:
        if all(b.umin >= size for b, size in zip(before, sizes, strict=True)):
            found.append(start.umax - min(b.umin for b in before))
        if all(b.smin - size >= -_SIGN for b, size in zip(before, sizes, strict=True)):
            found.append(start.smax - min(b.smin for b in before))
    if not found:
        return None
    distance = min(found)
    return distance // min(sizes) + 1 if distance >= 0 else 0


def _limit(loop: Loop, turn: Turn, rounds: int) -> int:
    """Return how often one turn can be taken: by a counter that never goes back, or that others set back."""
    best = rounds
    for outer in range(len(loop.counters)):
        direction = _direction(loop, loop.turns, outer)
        if not direction:
            continue
        start = loop.counters[outer].start.scalar
        moving = [other for other in loop.turns if loop.step(other, outer)]
        if turn in moving:
            own = _climb(loop, [turn], outer, start, direction)
            best = best if own is None else min(best, own)
            continue
        settings = _climb(loop, moving, outer, start, direction)
        still = [other for other in loop.turns if other not in moving]
        for inner in range(len(loop.counters)):
            way = _direction(loop, still, inner)
            if settings is not None and way and loop.step(turn, inner):
                own = _climb(loop, [turn], inner, loop.counters[inner].at_head, way)
                best = best if own is None else min(best, (settings + 1) * own)
    return best


def _direction(loop: Loop, turns: Sequence[Turn], index: int) -> int:
    """Return 1 if these turns only move a counter up, -1 if only down, some of them at least; else 0."""
    steps = [loop.step(turn, index) for turn in turns]
    if any(steps):
        for direction in (1, -1):
            if all(s is not None and s * direction >= 0 for s in steps):
                return direction
    return 0


# --- to a point ------------------------------------------------------------------------------------------------------


def _to_a_point(loop: Loop) -> int | None:
    best: int | None = None
    for index in range(len(loop.counters)):
        for fact in loop.turns[0].facts:
            if fact.comparison is Condition.NE and all(fact in turn.facts for turn in loop.turns):
                for tested, target in ((fact.a, fact.b), (fact.b, fact.a)):
                    rounds = _rounds_to(loop, index, tested, target, is64=fact.is64)
                    if rounds is not None:
                        best = rounds if best is None else min(best, rounds)
    return best


def _rounds_to(loop: Loop, index: int, tested: tuple[int, int], target: tuple[int, int], *, is64: bool) -> int | None:
    counter = loop.counters[index]
    width, ahead = _ahead(loop, counter.symbol, tested, is64=is64)
    step = _common_step(loop, index, width)
    if ahead is None or not step:
        return None
    goal = constant(target[1]) if target[0] == ZERO else loop.known(target[0])
    if goal is None:
        return None
    if target[0] != ZERO:
        goal = scalars.alu(Alu.ADD, True, goal, constant(target[1]))
    start = counter.start
    if is64 and width == 32 and goal.umax >= 1 << 32:
        return None  # a number of 32 bits never gets there
    if start.symbol == target[0] and width == 64:
        return _solve(target[1] - start.delta - ahead, step, 64)
    if start.scalar.is_constant and goal.is_constant:
        return _solve(goal.value - start.scalar.value - ahead, step, width)
    first = scalars.alu(Alu.ADD, True, start.scalar, constant(ahead))
    if width == 32 and max(first.umax, goal.umax) >= 1 << 32:
        return None
    return _rounds_between(first, goal, step)


def _rounds_between(first: Scalar, goal: Scalar, step: int) -> int | None:
    """Return the rounds from any of `first` to any of `goal`, if the steps lead straight there and hit it."""
    size = abs(step)
    grid = size & -size
    if size != grid or (first.mask | goal.mask | (first.value ^ goal.value)) & (grid - 1):
        return None
    if step > 0 and first.umax <= goal.umin:
        return (goal.umax - first.umin) // size
    if step < 0 and first.umin >= goal.umax:
        return (first.umax - goal.umin) // size
    return None


def _ahead(loop: Loop, symbol: int, tested: tuple[int, int], *, is64: bool) -> tuple[int, int | None]:
    """Return (width, d) where the number tested is the counter plus d modulo 2^width; d is None if it is not."""
    if tested[0] == symbol:
        return (64 if is64 else 32), tested[1]
    definition = loop.terms.definition(tested[0])
    if definition is not None and not definition.is64 and definition.operator in (Alu.ADD, Alu.SUB) and tested[1] == 0:
        for one, other in ((definition.a, definition.b), (definition.b, definition.a)):
            if one[0] == symbol and other[0] == ZERO and (definition.operator is Alu.ADD or one == definition.a):
                return 32, one[1] + (other[1] if definition.operator is Alu.ADD else -other[1])
    return 64, None


def _common_step(loop: Loop, index: int, width: int) -> int | None:
    """Return the one constant that all turns add to a counter modulo 2^width."""
    found = set()
    for turn in loop.turns:
        after = turn.after[index]
        after_width, step = _ahead(loop, loop.counters[index].symbol, (after.symbol, after.delta), is64=True)
        if step is None or after_width < width:
            return None
        found.add(step)
    return found.pop() if len(found) == 1 else None


def _solve(distance: int, step: int, width: int) -> int | None:
    """Return the least k >= 0 with k * step = distance modulo 2^width, None if there is none."""
    modulus = 1 << width
    distance, step = distance % modulus, step % modulus
    grid = step & -step
    if distance % grid:
        return None
    return distance // grid * pow(step // grid, -1, modulus // grid) % (modulus // grid)


# --- shrinking and growing -------------------------------------------------------------------------------------------


def _shrinking(loop: Loop) -> int | None:
    return _least(_run(loop, index, _shrink, down=True) for index in range(len(loop.counters)))


def _growing(loop: Loop) -> int | None:
    return _least(_run(loop, index, _grow, down=False) for index in range(len(loop.counters)))


def _least(found: Iterable[int | None]) -> int | None:
    return min((rounds for rounds in found if rounds is not None), default=None)


def _run(loop: Loop, index: int, factor: Callable[[Loop, Turn, int], int | None], *, down: bool) -> int | None:
    """Run the extreme of a counter down (or up) by the slowest turn that is possible, until none is."""
    counter = loop.counters[index]
    factors = [factor(loop, turn, index) for turn in loop.turns]
    if None in factors:
        return None
    moves = [(turn, f) for turn, f in zip(loop.turns, factors, strict=True) if f is not None]
    extreme = counter.start.scalar.umax if down else counter.start.scalar.umin
    for rounds in range(_LONGEST):
        nexts = []
        for turn, by in moves:
            before, after = turn.before[index], turn.after[index].scalar
            moved = extreme // by if down else extreme * by
            possible = (
                before.umin <= extreme and after.umin <= moved
                if down
                else extreme <= before.umax and moved <= after.umax
            )
            if possible:
                nexts.append(moved)
        if not nexts:
            return rounds
        extreme = max(nexts) if down else min(nexts)
    return None


def _shrink(loop: Loop, turn: Turn, index: int) -> int | None:
    """Return c >= 2 such that the counter becomes at most itself / c."""
    after = turn.after[index]
    definition = loop.terms.definition(after.symbol)
    if definition is None or after.delta or definition.a != (loop.counters[index].symbol, 0) or definition.b[0] != ZERO:
        return None
    amount = definition.b[1]
    if definition.operator is Alu.RSH and 1 <= amount <= (63 if definition.is64 else 31):
        return 1 << amount
    if definition.operator is Alu.DIV and 2 <= amount < 1 << 31:
        return amount
    return None


def _grow(loop: Loop, turn: Turn, index: int) -> int | None:
    """Return c >= 2 such that the counter becomes itself * c, without wrapping."""
    after, before = turn.after[index], turn.before[index]
    definition = loop.terms.definition(after.symbol)
    counter = (loop.counters[index].symbol, 0)
    if definition is None or after.delta or counter not in (definition.a, definition.b):
        return None
    other = definition.b if definition.a == counter else definition.a
    by: int | None = None
    if definition.operator is Alu.LSH and definition.a == counter and other[0] == ZERO and 1 <= other[1] <= 31:
        by = 1 << other[1]
    elif definition.operator is Alu.MUL and other[0] == ZERO and 2 <= other[1] < 1 << 31:
        by = other[1]
    elif definition.operator is Alu.ADD and definition.a == definition.b:
        by = 2
    most = _WORD if definition.is64 else (1 << 32) - 1
    return by if by is not None and before.umax * by <= most else None


def _clearing(loop: Loop) -> int | None:
    """x & (x - 1) has one bit less."""
    return _least(_clearing_of(loop, index) for index in range(len(loop.counters)))


def _clearing_of(loop: Loop, index: int) -> int | None:
    counter = loop.counters[index]
    for turn in loop.turns:
        definition = loop.terms.definition(turn.after[index].symbol)
        pair = {(counter.symbol, 0), (counter.symbol, -1)}
        if definition is None or turn.after[index].delta or definition.operator is not Alu.AND:
            return None
        if {definition.a, definition.b} != pair or turn.before[index].umin == 0:
            return None
    start = counter.start.scalar
    return ((start.value | start.mask) & ((1 << start.umax.bit_length()) - 1)).bit_count()


# --- two counters ----------------------------------------------------------------------------------------------------


def _pairs(loop: Loop, shape: Callable[[Loop, int, int], int | None]) -> int | None:
    """Return the least bound that a shape of two counters gives; each needs a comparison on every turn."""
    if not all(turn.facts for turn in loop.turns):
        return None
    return _least(shape(loop, low, high) for low, high in permutations(range(len(loop.counters)), 2))


def _ordered(loop: Loop, low: int, high: int, strict: bool) -> bool:
    """Return whether every turn has established low < high (or low <= high), unsigned."""
    a, b = (loop.counters[low].symbol, 0), (loop.counters[high].symbol, 0)
    less, greater = (Condition.LT, Condition.GT) if strict else (Condition.LE, Condition.GE)
    wanted = {Fact(less, True, a, b), Fact(greater, True, b, a)}
    return all(not wanted.isdisjoint(turn.facts) for turn in loop.turns)


def _span(loop: Loop, low: int, high: int) -> int:
    return max(0, loop.counters[high].start.scalar.umax - loop.counters[low].start.scalar.umin)


def _closing_in(loop: Loop) -> int | None:
    def shape(loop: Loop, low: int, high: int) -> int | None:
        if not _ordered(loop, low, high, strict=True):
            return None
        nearer = []
        for turn in loop.turns:
            up, down = loop.step(turn, low), loop.step(turn, high)
            if up is None or down is None or up < 0 or down > 0 or up == down:
                return None
            if turn.before[low].umax + up > _WORD or turn.before[high].umin + down < 0:
                return None
            nearer.append(up - down)
        return -(-_span(loop, low, high) // min(nearer))

    return _pairs(loop, shape)


def _halving(loop: Loop) -> int | None:
    def shape(loop: Loop, low: int, high: int) -> int | None:
        exclusive = _ordered(loop, low, high, strict=True)
        if not exclusive and not _ordered(loop, low, high, strict=False):
            return None
        a, b = loop.counters[low].symbol, loop.counters[high].symbol
        middles = _middles(loop.terms, a, b)
        for turn in loop.turns:
            new_low, new_high = turn.after[low][1:], turn.after[high][1:]
            if turn.before[low].umax + turn.before[high].umax > _WORD:
                return None
            raised = any(new_low == (m, 1) for m in middles) and new_high == (b, 0)
            ends = (-1, 0) if exclusive else (-1,)
            lowered = new_low == (a, 0) and any(new_high == (m, end) for m in middles for end in ends)
            if lowered and new_high[1] == -1 and turn.after[high].scalar.smin < 0:
                return None
            if not raised and not lowered:
                return None
        return (_span(loop, low, high) + (not exclusive)).bit_length()

    return _pairs(loop, shape)


def _middles(terms: Terms, low: int, high: int) -> tuple[int, ...]:
    """Return the names that (low + high) / 2 and low + (high - low) / 2 would have."""
    half = (ZERO, 1)
    total = terms.apply(Alu.ADD, True, (low, 0), (high, 0))
    gap = terms.apply(Alu.RSH, True, (terms.apply(Alu.SUB, True, (high, 0), (low, 0)), 0), half)
    return terms.apply(Alu.RSH, True, (total, 0), half), terms.apply(Alu.ADD, True, (low, 0), (gap, 0))


def _euclid(loop: Loop) -> int | None:
    def shape(loop: Loop, a: int, b: int) -> int | None:
        first, second = (loop.counters[a].symbol, 0), (loop.counters[b].symbol, 0)
        rest = loop.terms.apply(Alu.MOD, True, first, second)
        for turn in loop.turns:
            if turn.after[a][1:] != second or turn.after[b][1:] != (rest, 0):
                return None
            if turn.before[b].umin == 0:
                return None
        rounds, smaller, greater = (
            0,
            1,
            1,
        )  # Lame: n divisions need a divisor of at least the (n + 1)st Fibonacci number
        while greater <= loop.counters[b].start.scalar.umax:
            rounds, smaller, greater = rounds + 1, greater, smaller + greater
        return rounds

    return _pairs(loop, shape)


_SHAPES = (_affine, _to_a_point, _shrinking, _growing, _clearing, _closing_in, _halving, _euclid)
