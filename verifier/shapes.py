"""Reasons for a loop to end that are not counting: to a point, shrinking, halving, Euclid's.

Each function here takes a loop and returns a bound on its rounds, None if its shape is another. The table of shapes is
in `ranking`; the arguments are with the functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import permutations

from grafting.isa import Alu, Condition
from verifier import scalar as scalars
from verifier.scalar import Scalar, constant
from verifier.state import Fact
from verifier.terms import ZERO, Definition, Terms
from verifier.turns import Loop, Turn

_WORD = (1 << 64) - 1
_LONGEST = 128  # rounds that a shrinking or growing counter can take: twice the bits of a word

Move = Callable[[int], int]
"""What a bound of a counter becomes by a turn."""

Bound = tuple[int, str, tuple[int, ...]]
"""Rounds at most, the shape's name, and the counters that it is about."""


def found(loop: Loop) -> list[Bound]:
    """Return the bounds of all shapes that a loop has."""
    singles = (
        (_to_a_point, "to a point"),
        (_shrinking, "shrinking"),
        (_growing, "growing"),
        (_clearing, "one bit less"),
    )
    pairs = ((_closing_in, "closing in"), (_halving, "halving"), (_euclid, "Euclid"))
    bounds: list[Bound] = []
    for single, name in singles:
        for index in range(len(loop.counters)):
            rounds = single(loop, index)
            bounds += [(rounds, name, (index,))] if rounds is not None else []
    if all(turn.facts for turn in loop.turns):  # each shape of two counters needs a comparison
        for pair, name in pairs:
            for low, high in permutations(range(len(loop.counters)), 2):
                rounds = pair(loop, low, high)
                bounds += [(rounds, name, (low, high))] if rounds is not None else []
    return bounds


# --- to a point ------------------------------------------------------------------------------------------------------


def _to_a_point(loop: Loop, index: int) -> int | None:
    bounds = []
    for fact in loop.turns[0].facts:
        if (
            isinstance(fact, Fact)
            and fact.comparison is Condition.NE
            and all(fact in turn.facts for turn in loop.turns)
        ):
            bounds.append(_rounds_to(loop, index, fact.a, fact.b, is64=fact.is64))
            bounds.append(_rounds_to(loop, index, fact.b, fact.a, is64=fact.is64))
    return _least(bounds)


def _rounds_to(loop: Loop, index: int, tested: tuple[int, int], target: tuple[int, int], *, is64: bool) -> int | None:
    counter = loop.counters[index]
    width, ahead = _ahead(loop, counter.symbol, tested, is64=is64)
    step = common_step(loop, index, width)
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


def common_step(loop: Loop, index: int, width: int) -> int | None:
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
    if not step or distance % grid:
        return None
    return distance // grid * pow(step // grid, -1, modulus // grid) % (modulus // grid)


# --- shrinking and growing -------------------------------------------------------------------------------------------


def _shrinking(loop: Loop, index: int) -> int | None:
    return _run(loop, index, _shrink, down=True)


def _growing(loop: Loop, index: int) -> int | None:
    return _run(loop, index, _grow, down=False)


def _least(found: Iterable[int | None]) -> int | None:
    return min((rounds for rounds in found if rounds is not None), default=None)


def _run(loop: Loop, index: int, move: Callable[[Loop, Turn, int], Move | None], *, down: bool) -> int | None:
    """Run the extreme of a counter down (or up) by the slowest turn that is possible, until none is.

    The moves are monotone, so the counter stays on the far side of the extreme.
    """
    counter = loop.counters[index]
    found = [move(loop, turn, index) for turn in loop.turns]
    moves = [(turn, m) for turn, m in zip(loop.turns, found, strict=True) if m is not None]
    if len(moves) < len(loop.turns):
        return None
    extreme = counter.start.scalar.umax if down else counter.start.scalar.umin
    for rounds in range(_LONGEST):
        nexts = []
        for turn, moved in moves:
            before, after, to = turn.before[index], turn.after[index].scalar, moved(extreme)
            if before.umin <= extreme and after.umin <= to if down else extreme <= before.umax and to <= after.umax:
                nexts.append(to)
        if not nexts:
            return rounds
        extreme = max(nexts) if down else min(nexts)
    return None


def _shrink(loop: Loop, turn: Turn, index: int) -> Move | None:
    """Return what a counter is at most after a turn, by what it was at most before: x >> k, x / c or the rest of it."""
    after, counter = turn.after[index], (loop.counters[index].symbol, 0)
    definition = loop.terms.definition(after.symbol)
    if definition is None or definition.a != counter:
        return None
    by = _divisor(loop, definition) if after.delta == 0 else None
    if by is not None:
        return lambda x: x // by
    if definition.operator is not Alu.SUB or not definition.is64 or turn.before[index].umin < -after.delta:
        return None
    part = loop.terms.definition(definition.b[0])
    if part is None or part.a != counter or definition.b[1] != 0 or after.delta not in (0, -1):
        return None
    if not part.is64 or (part.operator, part.b) not in ((Alu.RSH, (ZERO, 1)), (Alu.DIV, (ZERO, 2))):
        return None  # half of the low half may be nothing at all
    return lambda x: max(0, x - x // 2 + after.delta)  # does not fall as x grows, and never wraps


def _divisor(loop: Loop, definition: Definition) -> int | None:
    """Return c >= 2 such that a definition is at most its first operand / c; that of a constant, exactly that."""
    symbol, delta = definition.b
    if definition.operator is Alu.DIV and symbol == ZERO and 2 <= delta < 1 << 31:
        return delta
    if definition.operator is not Alu.RSH:
        return None
    words = constant(0) if symbol == ZERO else loop.known(symbol)
    amount = scalars.alu(Alu.ADD, True, words, constant(delta)) if words is not None else None
    if amount is not None and amount.umin >= 1 and amount.umax < (64 if definition.is64 else 32):
        return 1 << amount.umin
    return None


def _grow(loop: Loop, turn: Turn, index: int) -> Move | None:
    """Return what a counter is at least after a turn, by what it was before: x << k or x * c, plus a constant."""
    after, before = turn.after[index], turn.before[index]
    definition = loop.terms.definition(after.symbol)
    counter = (loop.counters[index].symbol, 0)
    if definition is None or counter not in (definition.a, definition.b):
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
    if by is None or after.delta < 0 or before.umax * by + after.delta > most:
        return None
    return lambda x: x * by + after.delta


def _clearing(loop: Loop, index: int) -> int | None:
    """x & (x - 1) and x ^ (x & -x) have one bit less than x, if x is not 0."""
    counter, terms = loop.counters[index], loop.terms
    for turn in loop.turns:
        after = turn.after[index]
        if (
            after.delta
            or turn.before[index].umin == 0
            or not _clears(terms, terms.definition(after.symbol), counter.symbol, turn.before[index].umax >> 32 == 0)
        ):
            return None
    start = counter.start.scalar
    bits = ((start.value | start.mask) & ((1 << start.umax.bit_length()) - 1)).bit_count()
    left = all(turn.after[index].scalar.umin > 0 for turn in loop.turns)  # a bit at least
    return max(0, bits - left)


def _clears(terms: Terms, definition: Definition | None, symbol: int, small: bool) -> bool:
    """Return whether a definition is the symbol without its lowest bit, or the low half of that.

    The lowest bit itself has to be found in 64 bits, unless the number is `small`: where the low half is 0, 32 bits
    find none.
    """
    if definition is None:
        return False
    sides = {definition.a, definition.b}
    if definition.operator is Alu.AND:
        return sides == {(symbol, 0), (symbol, -1)}
    if definition.operator not in (Alu.XOR, Alu.SUB) or (symbol, 0) not in sides:
        return False
    if definition.operator is Alu.SUB and definition.a != (symbol, 0):
        return False
    lowest = next((terms.definition(side[0]) for side in sides if side[0] != symbol and side[1] == 0), None)
    if (
        lowest is None
        or not (lowest.is64 or small)
        or lowest.operator is not Alu.AND
        or (symbol, 0) not in (lowest.a, lowest.b)
    ):
        return False
    negated = lowest.b if lowest.a == (symbol, 0) else lowest.a
    sign = terms.definition(negated[0])
    if sign is None or not (sign.is64 or small) or negated[1] != 0:
        return False
    return sign.operator is Alu.NEG and sign.a == (symbol, 0)


# --- two counters ----------------------------------------------------------------------------------------------------


def _ordered(loop: Loop, low: int, high: int, *, strict: bool, signed: bool = False) -> bool:
    """Return whether low < high (or low <= high) on every turn; if signed, of numbers from 0 on.

    Either each turn has compared them, or they were so on entry and each turn compares what they have become: the form
    of a loop that is tested at its end.
    """
    a, b = loop.counters[low], loop.counters[high]
    if signed and any(min(turn.before[low].smin, turn.before[high].smin) < 0 for turn in loop.turns):
        return False
    if all(
        _compared(turn, (a.symbol, 0), turn.before[low], (b.symbol, 0), turn.before[high], strict, signed)
        for turn in loop.turns
    ):
        return True
    first, last = a.start.scalar, b.start.scalar
    gap = last.smin - first.smax if signed else last.umin - first.umax
    return gap >= strict and all(
        _compared(turn, new[1:], new.scalar, end[1:], end.scalar, strict, signed)
        for turn in loop.turns
        for new, end in ((turn.after[low], turn.after[high]),)
    )


def _compared(
    turn: Turn, a: tuple[int, int], low: Scalar, b: tuple[int, int], high: Scalar, strict: bool, signed: bool
) -> bool:
    """Return whether a turn has established a < b (or a <= b); in 32 bits that says the same of small numbers."""
    less, greater = _STRICT[signed] if strict else _WEAK[signed]
    most = (1 << 31) - 1 if signed else (1 << 32) - 1
    widths = (True, False) if max(low.umax, high.umax) <= most else (True,)
    wanted = {fact for wide in widths for fact in (Fact(less, wide, a, b), Fact(greater, wide, b, a))}
    return not wanted.isdisjoint(turn.facts)


_STRICT = ((Condition.LT, Condition.GT), (Condition.SLT, Condition.SGT))
_WEAK = ((Condition.LE, Condition.GE), (Condition.SLE, Condition.SGE))


def _span(loop: Loop, low: int, high: int, *, signed: bool = False) -> int:
    first, last = loop.counters[low].start.scalar, loop.counters[high].start.scalar
    return max(0, last.smax - first.smin if signed else last.umax - first.umin)


def _closing_in(loop: Loop, low: int, high: int) -> int | None:
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


def _halving(loop: Loop, low: int, high: int) -> int | None:
    """Binary search: while low < high (or low <= high), one of them moves to, or past, the middle."""
    return _least(
        _halved(loop, low, high, strict=strict, signed=signed) for strict in (True, False) for signed in (False, True)
    )


def _halved(loop: Loop, low: int, high: int, *, strict: bool, signed: bool) -> int | None:
    if not _ordered(loop, low, high, strict=strict, signed=signed):
        return None
    a, b = (loop.counters[low].symbol, 0), (loop.counters[high].symbol, 0)
    sum_, gap = _middles(loop.terms, a[0], b[0])
    for turn in loop.turns:
        # low + (high - low) / 2 is exact, as low <= high; (low + high) / 2 is if the sum is.
        exact = turn.before[low].umax + turn.before[high].umax <= _WORD
        middles = (sum_, gap) if exact else (gap,)
        new_low, new_high = turn.after[low][1:], turn.after[high][1:]
        raised = any(new_low == (m, 1) for m in middles) and new_high == b
        ends = (-1, 0) if strict else (-1,)
        lowered = new_low == a and any(new_high == (m, end) for m in middles for end in ends)
        if lowered and new_high[1] == -1 and turn.after[high].scalar.smin < 0 and not signed:
            return None  # 0 - 1 is no small number
        if not raised and not lowered:
            return None
    return (_span(loop, low, high, signed=signed) + (not strict)).bit_length()


def _middles(terms: Terms, low: int, high: int) -> tuple[int, int]:
    """Return the names that (low + high) / 2 and low + (high - low) / 2 would have."""
    half = (ZERO, 1)
    total = terms.apply(Alu.ADD, True, (low, 0), (high, 0))
    gap = terms.apply(Alu.RSH, True, (terms.apply(Alu.SUB, True, (high, 0), (low, 0)), 0), half)
    return terms.apply(Alu.RSH, True, (total, 0), half), terms.apply(Alu.ADD, True, (low, 0), (gap, 0))


def _euclid(loop: Loop, a: int, b: int) -> int | None:
    """Lame: n divisions need a divisor of at least the (n + 1)st Fibonacci number."""
    first, second = (loop.counters[a].symbol, 0), (loop.counters[b].symbol, 0)
    small = all(max(turn.before[a].umax, turn.before[b].umax) < 1 << 32 for turn in loop.turns)
    rests = _rests(loop.terms, first, second, small=small)
    for turn in loop.turns:
        if turn.after[a][1:] != second or turn.after[b].delta or turn.after[b].symbol not in rests:
            return None
        if turn.before[b].umin == 0:
            return None
    rounds, smaller, greater = 0, 1, 1
    while greater <= loop.counters[b].start.scalar.umax:
        rounds, smaller, greater = rounds + 1, greater, smaller + greater
    return rounds


def _rests(terms: Terms, a: tuple[int, int], b: tuple[int, int], *, small: bool) -> set[int]:
    """Return the names of a % b, and of a - a / b * b; in 32 bits as well, if both numbers are small."""
    found = {terms.apply(Alu.MOD, True, a, b)}
    quotient = (terms.apply(Alu.DIV, True, a, b), 0)
    widths = (True, False) if small else (True,)
    for wide in widths:
        product = (terms.apply(Alu.MUL, wide, quotient, b), 0)
        found |= {terms.apply(Alu.SUB, width, a, product) for width in widths}
    return found
