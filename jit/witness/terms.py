"""Words as functions of the input: what a concrete run computes, kept as an expression beside each number.

A `Term` is an unsigned 64-bit word built from `Atom`s, the parts of the input that a search may choose (a byte of the
body, a field of the context, the body's length). `bits` are the bits that may be set; by them the constructors drop
masks that do nothing, and `solve` splits what was assembled from bytes. Narrow instructions are written with masks and
sign extensions, so one width is enough. What does not depend on the input stays a plain int:

    address = add(load, STACK_TOP - 8)         # Add(Atom(("memory", 0)), ...)
    over = Cond(Condition.GT, address, STACK_TOP - 1)
    holds(over, {Atom(("memory", 0), 1): 9}.__getitem__)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from grafting.isa import U32, U64, Condition
from jit import arithmetic

SIGN: Final = 1 << 63
DEEPEST: Final = 200  # levels of a term; every walk over terms is recursive, and deeper ones are hopeless to solve


class Op(Enum):
    """What a term computes of its operands. Shifts take an amount below 64; EXTEND and SWAP a width in bits."""

    ADD = "+"
    SUB = "-"
    MUL = "*"
    AND = "&"
    OR = "|"
    XOR = "^"
    SHL = "<<"
    SHR = ">>"
    SAR = "s>>"
    DIV = "/"
    MOD = "%"
    SDIV = "s/"
    SMOD = "s%"
    EXTEND = "sign-extended from"  # the low bits of the first operand, as a signed number of 64 bits
    SWAP = "swapped"  # the bytes of the low bits of the first operand, turned round


@dataclass(frozen=True, slots=True)
class Atom:
    """A part of the input: `name` says which (see `inputs`), `size` is in bytes."""

    name: tuple[str | int, ...]
    size: int

    @property
    def bits(self) -> int:
        """The bits that may be set."""
        return (1 << 8 * self.size) - 1


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """`op` of two words. Terms are shared and compared by identity."""

    op: Op
    a: Word
    b: Word
    bits: int
    depth: int


Word = int | Atom | Term
Values = Callable[[Atom], int]


@dataclass(frozen=True, slots=True)
class Cond:
    """A comparison of two words, or with `holds` False its contrary."""

    condition: Condition
    a: Word
    b: Word
    holds: bool = True

    def negated(self) -> Cond:
        """Return the contrary."""
        return Cond(self.condition, self.a, self.b, not self.holds)


def bits_of(word: Word) -> int:
    """Return the bits of a word that may be set."""
    return word if isinstance(word, int) else word.bits


# --- making terms ----------------------------------------------------------------------------------------------------


def apply(op: Op, a: Word, b: Word) -> Word:
    """Return `a op b`, as a number where both are, in simpler form where that is easily seen."""
    if isinstance(a, int) and isinstance(b, int):
        return compute(op, a, b)
    if _changes_nothing(op, a, b):
        return a
    if op is Op.AND and bits_of(a) & bits_of(b) == 0:
        return 0
    depth = 1 + max(w.depth if isinstance(w, Term) else 0 for w in (a, b))
    return Term(op, a, b, _possible(op, a, b), depth)


def _changes_nothing(op: Op, a: Word, b: Word) -> bool:
    if not isinstance(b, int):
        return False
    if op is Op.AND:
        return bits_of(a) & ~b == 0
    if op is Op.EXTEND:
        return bits_of(a) < 1 << b - 1
    return b == 0 and op in (Op.ADD, Op.SUB, Op.OR, Op.XOR, Op.SHL, Op.SHR, Op.SAR)


def _possible(op: Op, a: Word, b: Word) -> int:
    """Return the bits that `a op b` may have."""
    x, y = bits_of(a), bits_of(b)
    match op:
        case Op.AND:
            return x & y
        case Op.OR | Op.XOR:
            return x | y
        case Op.SHL if isinstance(b, int):
            return x << b & U64
        case Op.SHR if isinstance(b, int):
            return x >> b
        case Op.ADD:
            return _up_to(x + y)
        case Op.MUL:
            return _up_to(x * y)
        case Op.DIV | Op.SHR:
            return _up_to(x)
        case Op.MOD:
            return _up_to(x)
        case Op.SWAP if isinstance(b, int):
            return (1 << b) - 1
        case _:
            return U64


def _up_to(most: int) -> int:
    return (1 << min(64, most.bit_length())) - 1


def low(word: Word, bits: int) -> Word:
    """Return the low `bits` of a word, zero-extended."""
    return apply(Op.AND, word, (1 << bits) - 1)


def extend(word: Word, bits: int) -> Word:
    """Return the low `bits` of a word, sign-extended to 64."""
    return apply(Op.EXTEND, word, bits) if bits < 64 else word


def byte(word: Word, number: int) -> Word:
    """Return byte `number` of a word, the least significant being 0."""
    return low(apply(Op.SHR, word, 8 * number), 8)


def joined(parts: list[Word]) -> Word:
    """Return the word of these bytes, the least significant first."""
    word: Word = 0
    for number, part in enumerate(parts):
        word = apply(Op.OR, apply(Op.SHL, part, 8 * number), word)
    return word


# --- evaluating ------------------------------------------------------------------------------------------------------


def compute(op: Op, a: int, b: int) -> int:
    """Return `a op b` on numbers, as the interpreter does it."""
    match op:
        case Op.ADD:
            return a + b & U64
        case Op.SUB:
            return a - b & U64
        case Op.MUL:
            return a * b & U64
        case Op.AND:
            return a & b
        case Op.OR:
            return a | b
        case Op.XOR:
            return a ^ b
        case Op.SHL:
            return a << b & U64
        case Op.SHR:
            return a >> b
        case Op.SAR:
            return arithmetic.shift_right_signed(a, b, SIGN)
        case Op.DIV:
            return arithmetic.divide(a, b)
        case Op.MOD:
            return arithmetic.remainder(a, b)
        case Op.SDIV:
            return arithmetic.divide_signed(a, b)
        case Op.SMOD:
            return arithmetic.remainder_signed(a, b)
        case Op.EXTEND:
            return arithmetic.sign_extend(a & (1 << b) - 1, 1 << b - 1)
        case Op.SWAP:
            return int.from_bytes((a & (1 << b) - 1).to_bytes(b // 8, "little"), "big")


def value(word: Word, values: Values, known: dict[int, int] | None = None) -> int:
    """Return what a word is where the atoms have these values; `known` keeps what was computed, by identity."""
    if isinstance(word, int):
        return word
    if isinstance(word, Atom):
        return values(word)
    known = {} if known is None else known
    if id(word) not in known:
        known[id(word)] = compute(word.op, value(word.a, values, known), value(word.b, values, known))
    return known[id(word)]


def signed(number: int) -> int:
    """Return an unsigned word as the signed number that it stands for."""
    return number - (1 << 64) if number & SIGN else number


def compare(condition: Condition, a: int, b: int) -> bool:
    """Return whether a condition holds of two numbers."""
    match condition:
        case Condition.EQ:
            return a == b
        case Condition.NE:
            return a != b
        case Condition.GT:
            return a > b
        case Condition.GE:
            return a >= b
        case Condition.LT:
            return a < b
        case Condition.LE:
            return a <= b
        case Condition.SET:
            return a & b != 0
        case Condition.SGT:
            return signed(a) > signed(b)
        case Condition.SGE:
            return signed(a) >= signed(b)
        case Condition.SLT:
            return signed(a) < signed(b)
        case Condition.SLE:
            return signed(a) <= signed(b)


def holds(cond: Cond, values: Values, known: dict[int, int] | None = None) -> bool:
    """Return whether a comparison holds where the atoms have these values."""
    return compare(cond.condition, value(cond.a, values, known), value(cond.b, values, known)) == cond.holds


def atoms(*words: Word) -> list[Atom]:
    """Return the atoms that words depend on, each once, in order of first appearance."""
    found: dict[Atom, None] = {}
    seen: set[int] = set()

    def visit(word: Word) -> Iterator[Word]:
        if isinstance(word, Atom):
            found[word] = None
        elif isinstance(word, Term) and id(word) not in seen:
            seen.add(id(word))
            yield from (word.a, word.b)

    todo: list[Word] = list(reversed(words))
    while todo:
        todo += reversed(list(visit(todo.pop())))
    return list(found)


def related(conds: Sequence[Cond], wanted: Sequence[Cond], known: dict[Cond, frozenset[Atom]]) -> list[Cond]:
    """Return those of `conds` that share atoms with what is wanted, directly or through others.

    The rest still hold if only these atoms change. `known` keeps the atoms of conditions from call to call.
    """
    for cond in (*conds, *wanted):
        if cond not in known:
            known[cond] = frozenset(atoms(cond.a, cond.b))
    reached = frozenset[Atom]().union(*(known[cond] for cond in wanted))
    found: set[int] = set()
    while True:
        new = {n for n, cond in enumerate(conds) if n not in found and not known[cond].isdisjoint(reached)}
        if not new:
            return [conds[number] for number in sorted(found)]
        found |= new
        reached = reached.union(*(known[conds[number]] for number in new))


def half(word: Word) -> Word:
    """Return the low half of a word, zero-extended."""
    return apply(Op.AND, word, U32)
