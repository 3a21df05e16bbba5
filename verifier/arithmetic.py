"""Arithmetic and comparisons on named numbers: `scalar` computes the words, this file the names.

The rules of naming are those of 64-bit modular arithmetic and nothing more: `(s + c) + d` is `s + (c + d)`;
`(s + c) - (s + d)` is `c - d`; `(s + t) - t` is `s`. A 32-bit operation whose operands and exact result are all below
2^32 computes the same word as the 64-bit one and takes its name, so that a loop counted in w registers is as plain as
one counted in r registers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from grafting.isa import Alu, Condition, Swap
from verifier import scalar as scalars
from verifier.comparisons import Comparison, Unset
from verifier.pointers import FARTHEST
from verifier.scalar import UNKNOWN, Scalar
from verifier.state import State, reaching, refined, shifted
from verifier.terms import LENGTH, ZERO, Terms, wrap
from verifier.values import Number, literal

_U32 = (1 << 32) - 1
_U64 = (1 << 64) - 1
_SIGN = 1 << 63


def compute(terms: Terms, op: Alu, is64: bool, a: Number, b: Number) -> Number:
    """Return `a op b`, in 64 bits, or in 32 and zero-extended."""
    if op is Alu.MOV and is64:
        return b
    divisor = _divisor(terms, a, b) if op is Alu.SUB else None
    if divisor is not None and (is64 or max(a.scalar.umax, divisor.scalar.umax) <= _U32):
        return compute(terms, Alu.MOD, is64, a, divisor)
    result = scalars.alu(op, is64, a.scalar, b.scalar)
    if a.symbol == ZERO and b.symbol == ZERO:
        return literal(result.value)
    if op is Alu.MOV:
        return _moved(terms, b, result)
    if not is64:
        return _narrow(terms, op, a, b, result)
    return _named(terms, op, True, a, b, result)


def _divisor(terms: Terms, a: Number, b: Number) -> Number | None:
    """Return the constant c if b is `a / c * c`: a - b is then `a % c`, and compilers write it so.

    It holds of all words, as `a / c * c` cannot wrap, and with c = 0 both are a (RFC 9669 section 4.1).
    """
    product = terms.definition(b.symbol) if b.delta == 0 else None
    if product is None or product.operator is not Alu.MUL or not product.is64:
        return None
    for quotient, divisor in ((product.a, product.b), (product.b, product.a)):
        found = terms.definition(quotient[0]) if quotient[1] == 0 and divisor[0] == ZERO else None
        if found is not None and found.operator is Alu.DIV and found.is64 and (found.a, found.b) == (a[1:], divisor):
            return literal(divisor[1] & _U64)
    return None


def _moved(terms: Terms, b: Number, result: Scalar) -> Number:
    """Name the low half of a number."""
    if b.scalar.umax <= _U32:
        return b
    if result.is_constant:
        return literal(result.constant_value)
    return Number(result, terms.apply(Alu.MOV, False, (ZERO, 0), b[1:]), 0)


def _narrow(terms: Terms, op: Alu, a: Number, b: Number, result: Scalar) -> Number:
    """Name a 32-bit result: as the 64-bit operation if that computes the same word."""
    if op in (Alu.ADD, Alu.SUB) and b.symbol == ZERO:
        step = scalars.move_sx(32, True, b.scalar)
        exact = scalars.alu(op, True, a.scalar, step)
        if a.scalar.umax <= _U32 and exact.smin >= 0 and exact.smax <= _U32:
            return _named(terms, op, True, a, literal(step.value), result)
    elif a.scalar.umax <= _U32 and b.scalar.umax <= _U32:
        exact = scalars.alu(op, True, a.scalar, b.scalar)
        small = op in (Alu.AND, Alu.OR, Alu.XOR, Alu.DIV, Alu.MOD)
        if exact.umax <= _U32 and (small or _stays_small(op, a.scalar, b.scalar)):
            return _named(terms, op, True, a, b, result)
    return Number(result, terms.apply(op, False, a[1:], b[1:]), 0)


def _stays_small(op: Alu, a: Scalar, b: Scalar) -> bool:
    """Return whether the exact result of small operands is small, computed without wrapping."""
    match op:
        case Alu.ADD:
            return a.umax + b.umax <= _U32
        case Alu.SUB:
            return a.umin >= b.umax
        case Alu.MUL:
            return a.umax * b.umax <= _U32
        case Alu.LSH:
            return b.umax < 32 and a.umax << b.umax <= _U32
        case Alu.RSH:
            return b.umax < 32  # the amount counts modulo 32, not 64
        case _:
            return False


def _named(terms: Terms, op: Alu, is64: bool, a: Number, b: Number, result: Scalar) -> Number:
    """Name the result of a 64-bit operation."""
    if op is Alu.ADD:
        if b.symbol == ZERO:
            return Number(result, a.symbol, wrap(a.delta + b.delta))
        if a.symbol == ZERO:
            return Number(result, b.symbol, wrap(a.delta + b.delta))
        return Number(result, terms.apply(op, is64, (a.symbol, 0), (b.symbol, 0)), wrap(a.delta + b.delta))
    if op is Alu.SUB:
        return _difference(terms, a, b, result)
    if op is Alu.AND and b.symbol == ZERO and not (a.scalar.value | a.scalar.mask) & ~b.scalar.value:
        return a._replace(scalar=result)  # no bit is cleared
    if op in (Alu.LSH, Alu.RSH, Alu.ARSH) and b.symbol == ZERO:
        return _shifted(terms, op, a, b, result)
    return Number(result, terms.apply(op, is64, a[1:], b[1:]), 0)


def _shifted(terms: Terms, op: Alu, a: Number, b: Number, result: Scalar) -> Number:
    """Name a shift by a constant: `x << k >> k` is x if no bit was lost, as older compilers cut words to 32 bits."""
    amount = b.scalar.value & 63
    if op is Alu.LSH:
        unsigned = a.scalar.umax << amount <= _U64
        signed = a.scalar.smin << amount >= -_SIGN and a.scalar.smax << amount < _SIGN
        return Number(result, terms.apply(op, True, a[1:], (ZERO, amount), unsigned | signed << 1), 0)
    before = terms.definition(a.symbol)
    kept = 1 if op is Alu.RSH else 2
    if before is not None and before.operator is Alu.LSH and before.b == (ZERO, amount) and before.kept & kept:
        if a.delta == 0:
            return Number(result, *before.a)
    return Number(result, terms.apply(op, True, a[1:], (ZERO, amount)), 0)


def _difference(terms: Terms, a: Number, b: Number, result: Scalar) -> Number:
    delta = wrap(a.delta - b.delta)
    if b.symbol == ZERO:
        return Number(result, a.symbol, delta)
    if a.symbol == b.symbol:
        return literal(delta)
    sum_ = terms.definition(a.symbol)
    if sum_ is not None and sum_.operator is Alu.ADD and sum_.is64:
        for one, other in ((sum_.a, sum_.b), (sum_.b, sum_.a)):
            if one == (b.symbol, 0):
                return Number(result, other[0], wrap(delta + other[1]))
    return Number(result, terms.apply(Alu.SUB, True, (a.symbol, 0), (b.symbol, 0)), delta)


def extended(terms: Terms, bits: int, is64: bool, a: Number) -> Number:
    """Return the low `bits` of a number sign-extended."""
    result = scalars.move_sx(bits, is64, a.scalar)
    if result.is_constant:
        return literal(result.constant_value)
    if a.scalar.umax < 1 << bits - 1:
        return a._replace(scalar=result)
    return Number(result, terms.fresh(), 0)


def swapped(terms: Terms, kind: Swap, bits: int, a: Number) -> Number:
    """Return the low `bits` of a number in another byte order."""
    result = scalars.byte_swap(kind, bits, a.scalar)
    if result.is_constant:
        return literal(result.constant_value)
    if kind is Swap.LE and (bits == 64 or a.scalar.umax < 1 << bits):
        return a._replace(scalar=result)
    return Number(result, terms.fresh(), 0)


# --- comparisons -----------------------------------------------------------------------------------------------------


def assumed(terms: Terms, state: State, comparison: Comparison, is64: bool, a: Number, b: Number) -> State | None:
    """Return the state once `a comparison b` holds; None if it cannot."""
    if a.symbol == b.symbol and is64:
        if a.symbol == ZERO:
            return state if holds(comparison, a.scalar.value, b.scalar.value) else None
        if not _possible(comparison, a, b):
            return None
    found = scalars.assume(comparison, is64, a.scalar, b.scalar)
    if found is None:
        return None
    for number, scalar in zip((a, b), found, strict=True):
        if scalar is not number.scalar and number.symbol != ZERO:
            state_or_none = refined(state, number.symbol, scalar, number.delta)
            if state_or_none is not None and scalar.is_constant:
                state_or_none = _bits_known(state_or_none, terms, number, scalar)
            if state_or_none is None:
                return None
            state = state_or_none
    return _within_body(state, comparison, is64, a._replace(scalar=found[0]), b._replace(scalar=found[1]))


def _bits_known(state: State, terms: Terms, number: Number, word: Scalar) -> State | None:
    """Learn from `x & mask == word`, `number` being the name of `x & mask`, what these bits of x are."""
    definition = terms.definition(number.symbol)
    if definition is None or definition.operator is not Alu.AND or ZERO not in (definition.a[0], definition.b[0]):
        return state
    x, (_zero, mask) = (definition.a, definition.b) if definition.b[0] == ZERO else (definition.b, definition.a)
    mask &= (1 << 64 if definition.is64 else 1 << 32) - 1
    bits = shifted(word, -number.delta).value
    if bits & ~mask:
        return None
    known = replace(UNKNOWN, value=bits, mask=~mask & ((1 << 64) - 1))
    return refined(state, x[0], known, x[1])


_HOLDS: dict[Comparison, Callable[[int, int], bool]] = {
    Condition.EQ: lambda x, y: x == y, Condition.NE: lambda x, y: x != y,
    Condition.LT: lambda x, y: x < y, Condition.LE: lambda x, y: x <= y,
    Condition.GT: lambda x, y: x > y, Condition.GE: lambda x, y: x >= y,
    Condition.SLT: lambda x, y: wrap(x) < wrap(y), Condition.SLE: lambda x, y: wrap(x) <= wrap(y),
    Condition.SGT: lambda x, y: wrap(x) > wrap(y), Condition.SGE: lambda x, y: wrap(x) >= wrap(y),
    Condition.SET: lambda x, y: x & y != 0, Unset.UNSET: lambda x, y: x & y == 0,
}  # fmt: skip


def holds(comparison: Comparison, x: int, y: int) -> bool:
    """Return whether a comparison of two words holds."""
    return _HOLDS[comparison](x, y)


def _possible(comparison: Comparison, a: Number, b: Number) -> bool:
    """Return whether numbers of one symbol can compare so: decided where they are equal, or by equality."""
    equal = a.delta == b.delta
    if comparison is Condition.EQ:
        return equal
    if equal:
        return comparison not in (Condition.NE, Condition.LT, Condition.GT, Condition.SLT, Condition.SGT)
    return True


_ORDERS: dict[Comparison, tuple[int, int]] = {
    Condition.LE: (0, 0), Condition.SLE: (0, 0), Condition.LT: (0, 1), Condition.SLT: (0, 1),
    Condition.GE: (1, 0), Condition.SGE: (1, 0), Condition.GT: (1, 1), Condition.SGT: (1, 1),
}  # fmt: skip
"""For each order: which side is the greater one (0: the right), and how much greater it is at least."""


def _within_body(state: State, comparison: Comparison, is64: bool, a: Number, b: Number) -> State:
    """Learn from `offset <= LENGTH` how far the body reaches from that offset."""
    if LENGTH not in (a.symbol, b.symbol) or not is64:
        return state
    if comparison is Condition.EQ:
        return _reach(_reach(state, a, b, 0), b, a, 0)
    if comparison not in _ORDERS:
        return state
    right_is_less, gap = _ORDERS[comparison]
    return _reach(state, b, a, gap) if right_is_less else _reach(state, a, b, gap)


def _reach(state: State, less: Number, greater: Number, gap: int) -> State:
    """Learn from `less + gap <= greater`, if that is about LENGTH and both are small enough to be exact."""
    if greater.symbol != LENGTH or less.symbol in (LENGTH, ZERO):
        return state  # a constant is a bound of the length's own scalar
    exact = less.scalar.umax <= FARTHEST and greater.scalar.smin >= 0 and greater.scalar.umax <= FARTHEST
    if not exact or abs(less.delta) > FARTHEST or abs(greater.delta) > FARTHEST:
        return state
    return reaching(state, less.symbol, less.delta + gap - greater.delta)
