"""Changing an input so that a path's conditions hold: by turning operations round, without any solver.

To make `a op b` hold, some values that `a` might have are tried, and those for `b`: each is pushed down through the
operations to the atoms (`invert`), which gives one change of the input. A change counts if then *all* conditions hold;
one that breaks an earlier condition is mended in the same way, a few levels deep. What cannot be turned round is left
to chance: constants of the program, single bits, seeded random bytes. All of it is bounded by TRIES evaluations.

    r6 = *(u32 *)(r1 + 0); r6 &= 7; r6 <<= 3;  wanted: r6 == 40    ->  the masked word is 5  ->  byte 0 is 5
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Final

from grafting.isa import U64, Condition
from jit.witness.inputs import Input, Shape
from jit.witness.terms import SIGN, Atom, Cond, Op, Term, Word, atoms, bits_of, compute, holds, value

TRIES: Final = 300  # changes that are evaluated for one question
_MENDED: Final = 3  # broken conditions that one change may lead to
_TURNED: Final = 1_000  # operands for one condition: products of products have very many ways
_DIVISORS: Final = 1 << 12  # tried to split a product
_RANDOM: Final = 24  # changes left to chance

Change = dict[Atom, int]


class Local:
    """Answers questions about inputs of one shape. `constants`: numbers of the program, tried where all else fails."""

    def __init__(self, shape: Shape, constants: Sequence[int], seed: int) -> None:
        self._shape, self._constants, self._random = shape, constants, Random(seed)
        self._tries, self._tried = 0, set[Input]()

    def solve(self, given: Input, path: Sequence[Cond], wanted: Sequence[Cond]) -> Input | None:
        """Return an input, near to `given`, for which the conditions of `path` and `wanted` hold, or None.

        For `given` those of the path hold.
        """
        self._tries, self._tried = TRIES, {given}
        return self._mend(given, [*path, *wanted], _MENDED + len(wanted) - 1)

    def _mend(self, given: Input, conds: Sequence[Cond], depth: int) -> Input | None:
        broken = self._broken(given, conds)
        if broken is None:
            return given
        for change in self._changes(given, broken):
            if self._tries <= 0:
                return None
            changed = self._shape.changed(given, change)
            if changed is None or changed in self._tried:
                continue
            self._tried.add(changed)
            self._tries -= 1
            if not self._holds(changed, broken):
                continue
            if self._broken(changed, conds) is None:
                return changed
            if depth:
                mended = self._mend(changed, conds, depth - 1)
                if mended is not None:
                    return mended
        return None

    def _broken(self, given: Input, conds: Sequence[Cond]) -> Cond | None:
        """Return the last condition that does not hold; what is wanted comes after the path."""
        known: dict[int, int] = {}
        read = self._reader(given)
        return next((cond for cond in reversed(conds) if not holds(cond, read, known)), None)

    def _holds(self, given: Input, cond: Cond) -> bool:
        return holds(cond, self._reader(given))

    def _reader(self, given: Input) -> Reader:
        return Reader(self._shape, given)

    def _changes(self, given: Input, cond: Cond) -> Iterator[Change]:
        """Yield changes that may make a condition hold, the likeliest first."""
        read = self._reader(given)
        known: dict[int, int] = {}
        a, b = value(cond.a, read, known), value(cond.b, read, known)
        left, right = targets_of(cond, b, bits_of(cond.a), a), mirrored(cond, a, bits_of(cond.b), b)
        far = [other + number & U64 for other in (b, a) for number in self._constants]
        for word, targets in ((cond.a, left), (cond.b, right), (cond.a, far), (cond.b, far)):
            for target in dict.fromkeys(targets):
                yield from invert(word, target, read, known)
        yield from self._chances(atoms(cond.a, cond.b))

    def _chances(self, concerned: list[Atom]) -> Iterator[Change]:
        for atom in concerned:
            for number in (0, 1, atom.bits, atom.bits >> 1, *self._constants):
                yield {atom: number & atom.bits}
        for _ in range(_RANDOM if concerned else 0):
            yield {atom: self._random.getrandbits(8 * atom.size) for atom in concerned}


class Reader:
    """The atoms' values in one input, as a function; it remembers what it was asked.

    `patience`: how many operands may still be turned round.
    """

    def __init__(self, shape: Shape, given: Input) -> None:
        self._shape, self._given = shape, given
        self._known: Change = {}
        self.patience = _TURNED

    def __call__(self, atom: Atom) -> int:
        """Return what the input chooses for an atom."""
        if atom not in self._known:
            self._known[atom] = self._shape.value(self._given, atom)
        return self._known[atom]


def targets_of(cond: Cond, b: int, bits: int, a: int) -> tuple[int, ...]:
    """Return values of the left side, which is `a` now, of which some may make `cond` hold against `b`."""
    above, below = (b + 1 & U64, bits, b | bits & -bits, SIGN - 1), (b - 1 & U64, 0, bits & -bits, SIGN)
    match cond.condition, cond.holds:
        case (Condition.EQ, True) | (Condition.NE, False):
            return (b,)
        case (Condition.EQ, False) | (Condition.NE, True):
            return (b + 1 & U64, b - 1 & U64, b ^ bits & -bits, 0, bits)
        case (Condition.SET, True):
            return (b & bits, a | b & bits, b & -b)
        case (Condition.SET, False):
            return (a & ~b, 0)
        case (Condition.GT | Condition.SGT, True) | (Condition.LE | Condition.SLE, False):
            return above
        case (Condition.GE | Condition.SGE, True) | (Condition.LT | Condition.SLT, False):
            return (b, *above)
        case (Condition.LT | Condition.SLT, True) | (Condition.GE | Condition.SGE, False):
            return below
        case _:
            return (b, *below)


_MIRROR: Final = {
    Condition.GT: Condition.LT, Condition.GE: Condition.LE, Condition.LT: Condition.GT, Condition.LE: Condition.GE,
    Condition.SGT: Condition.SLT, Condition.SGE: Condition.SLE, Condition.SLT: Condition.SGT,
    Condition.SLE: Condition.SGE,
}  # fmt: skip


def mirrored(cond: Cond, a: int, bits: int, b: int) -> tuple[int, ...]:
    """Return values of the right side that may make `cond` hold against `a` on the left."""
    return targets_of(Cond(_MIRROR.get(cond.condition, cond.condition), cond.b, cond.a, cond.holds), a, bits, b)


# --- turning operations round ----------------------------------------------------------------------------------------


def invert(word: Word, target: int, read: Reader, known: dict[int, int]) -> Iterator[Change]:
    """Yield changes of atoms that make a word `target`, or nearly so: whoever asks evaluates them."""
    if isinstance(word, int):
        if word == target:
            yield {}
        return
    read.patience -= 1
    if target & ~word.bits or read.patience < 0:
        return
    if isinstance(word, Atom):
        yield {word: target}
        return
    if word.op is Op.OR and bits_of(word.a) & bits_of(word.b) == 0:
        for first in invert(word.a, target & bits_of(word.a), read, known):
            for second in invert(word.b, target & bits_of(word.b), read, known):
                yield first | second
        return
    for side, wanted in _sides(word, target, read, known):
        yield from invert(side, wanted, read, known)
    for left, right in _parts(word, target):
        for first in invert(word.a, left, read, known):
            for second in invert(word.b, right, read, known):
                yield first | second


def _sides(word: Term, target: int, read: Reader, known: dict[int, int]) -> Iterator[tuple[Word, int]]:
    """Yield (operand, value): if that operand had that value, the other being as it is, the term would be `target`."""
    a, b = value(word.a, read, known), value(word.b, read, known)
    match word.op:
        case Op.ADD:
            yield word.a, target - b & U64
            yield word.b, target - a & U64
        case Op.SUB:
            yield word.a, target + b & U64
            yield word.b, a - target & U64
        case Op.XOR:
            yield word.a, target ^ b
            yield word.b, target ^ a
        case Op.AND | Op.OR:
            kept = ~b & U64 if word.op is Op.AND else b
            yield word.a, target & ~kept | a & kept & bits_of(word.a)
            yield word.a, target & ~kept
            kept = ~a & U64 if word.op is Op.AND else a
            yield word.b, target & ~kept | b & kept & bits_of(word.b)
        case Op.SHL:
            yield word.a, target >> b & bits_of(word.a)
            yield word.a, (target >> b | 1 << 64 - b) & bits_of(word.a)  # which is shifted out
        case Op.SHR | Op.SAR:
            yield word.a, target << b & U64 & bits_of(word.a) | a & (1 << b) - 1
        case Op.MUL:
            yield from _factors(word, target, a, b)
        case Op.DIV:
            yield word.a, target * b & U64
        case Op.MOD:
            yield word.a, compute(Op.SUB, a, compute(Op.MOD, a, b)) + target & U64
            yield word.a, target
        case Op.SDIV:
            yield word.a, target * b & U64
        case Op.SMOD:
            yield word.a, target
        case Op.EXTEND:
            yield word.a, target & (1 << b) - 1
        case Op.SWAP:
            yield word.a, compute(Op.SWAP, target, b)


def _parts(word: Term, target: int) -> Iterator[tuple[int, int]]:
    """Yield values of both operands of a sum or product that give `target`, where neither alone can."""
    if isinstance(word.a, int) or isinstance(word.b, int):
        return
    if word.op is Op.ADD and target <= word.a.bits + word.b.bits:
        right = min(target, word.b.bits)
        yield target - right, right
        left = min(target, word.a.bits)
        yield left, target - left
    if word.op is Op.MUL and target > 0:
        for divisor in range(2, min(_DIVISORS, word.a.bits + 1)):
            if target % divisor == 0:
                yield divisor, target // divisor
                yield target // divisor, divisor


def _factors(word: Term, target: int, a: int, b: int) -> Iterator[tuple[Word, int]]:
    for side, other in ((word.a, b), (word.b, a)):
        if other and target % other == 0:
            yield side, target // other
            yield side, target // other | (1 << 64) // (other & -other) & U64  # which the product loses
        if other & 1:
            yield side, target * pow(other, -1, 1 << 64) & U64
