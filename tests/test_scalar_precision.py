"""What the scalar domain knows, not only that it is right: constants are exact, and the usual idioms of bounds hold.

The last section checks the 64-bit functions end to end on random scalars, with Python's own arithmetic as the measure.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grafting.isa import Alu, Condition, Swap
from verifier.comparisons import Comparison, Unset, negate
from verifier.scalar import (
    UNKNOWN,
    Scalar,
    alu,
    assume,
    byte_swap,
    constant,
    contains,
    describe,
    includes,
    join,
    meet,
    move_sx,
    of_width,
    signed,
    truncate,
    unsigned,
    widen,
)

MASK = (1 << 64) - 1
EDGES = sorted(
    {(base + delta) & MASK for base in (0, 1 << 7, 1 << 15, 1 << 31, 1 << 32, 1 << 63) for delta in (-2, -1, 0, 1, 2)}
)
WORDS = st.sampled_from(EDGES) | st.integers(0, 255) | st.integers(0, MASK)
OPERATORS = st.sampled_from(list(Alu))
COMPARISONS: list[Comparison] = [*Condition, Unset.UNSET]


def as_signed(x: int, bits: int = 64) -> int:
    x &= (1 << bits) - 1
    return x - (1 << bits) if x >> bits - 1 else x


def execute(op: Alu, bits: int, x: int, y: int) -> int:
    """RFC 9669 section 4.1 in Python's integers; the result is zero-extended."""
    mask = (1 << bits) - 1
    x, y = x & mask, y & mask
    sx, sy, amount = as_signed(x, bits), as_signed(y, bits), y & (bits - 1)
    quotient = 0 if sy == 0 else abs(sx) // abs(sy) * (1 if (sx < 0) == (sy < 0) else -1)
    results = {
        Alu.ADD: x + y, Alu.SUB: x - y, Alu.MUL: x * y, Alu.DIV: x // y if y else 0, Alu.MOD: x % y if y else x,
        Alu.SDIV: quotient, Alu.SMOD: sx - quotient * sy, Alu.OR: x | y, Alu.AND: x & y, Alu.XOR: x ^ y,
        Alu.LSH: x << amount, Alu.RSH: x >> amount, Alu.ARSH: sx >> amount, Alu.NEG: -x, Alu.MOV: y,
    }  # fmt: skip
    return results[op] & mask


def compare(comparison: Comparison, bits: int, x: int, y: int) -> bool:
    mask = (1 << bits) - 1
    x, y = x & mask, y & mask
    sx, sy = as_signed(x, bits), as_signed(y, bits)
    results: dict[Comparison, bool] = {
        Condition.EQ: x == y, Condition.NE: x != y, Condition.GT: x > y, Condition.GE: x >= y, Condition.LT: x < y,
        Condition.LE: x <= y, Condition.SGT: sx > sy, Condition.SGE: sx >= sy, Condition.SLT: sx < sy,
        Condition.SLE: sx <= sy, Condition.SET: x & y != 0, Unset.UNSET: x & y == 0,
    }  # fmt: skip
    return results[comparison]


@st.composite
def scalars(draw: st.DrawFn) -> tuple[Scalar, int]:
    """A scalar and one of its words: built as programs build them, from loads, comparisons and arithmetic."""
    x = draw(WORDS)
    a = draw(st.sampled_from([UNKNOWN, constant(x)]))
    for _ in range(draw(st.integers(0, 3))):
        bound, comparison, is64 = draw(WORDS), draw(st.sampled_from(COMPARISONS)), draw(st.booleans())
        if not compare(comparison, 64 if is64 else 32, x, bound):
            comparison = negate(comparison)
        refined = assume(comparison, is64, a, constant(bound))
        assert refined is not None
        a = refined[0]
        if draw(st.booleans()):
            op, operand, is64 = draw(OPERATORS), draw(st.integers(0, 80) | WORDS), draw(st.booleans())
            a, x = alu(op, is64, a, constant(operand)), execute(op, 64 if is64 else 32, x, operand)
    if draw(st.booleans()):
        a = join(a, constant(draw(WORDS)))
    return a, x


# --- constants are exact ---------------------------------------------------------------------------------------------


@given(OPERATORS, st.booleans(), WORDS, WORDS)
@settings(max_examples=400, deadline=None)
def test_arithmetic_on_constants_is_exact(op: Alu, is64: bool, x: int, y: int) -> None:
    assert alu(op, is64, constant(x), constant(y)) == constant(execute(op, 64 if is64 else 32, x, y))


@given(st.sampled_from(COMPARISONS), st.booleans(), WORDS, WORDS)
@settings(max_examples=400, deadline=None)
def test_comparisons_of_constants_are_decided(comparison: Comparison, is64: bool, x: int, y: int) -> None:
    decided = assume(comparison, is64, constant(x), constant(y))
    holds = compare(comparison, 64 if is64 else 32, x, y)
    assert decided == ((constant(x), constant(y)) if holds else None)


@given(WORDS, st.sampled_from([8, 16, 32]))
@settings(max_examples=200, deadline=None)
def test_changes_of_width_of_constants_are_exact(x: int, bits: int) -> None:
    assert move_sx(bits, True, constant(x)) == constant(as_signed(x, bits))
    assert truncate(bits, constant(x)) == constant(x & (1 << bits) - 1)


def test_byte_swaps_of_constants_are_exact() -> None:
    word = constant(0x0102030405060708)
    assert byte_swap(Swap.BSWAP, 64, word) == constant(0x0807060504030201)
    assert byte_swap(Swap.BE, 32, word) == constant(0x08070605)
    assert byte_swap(Swap.LE, 16, word) == constant(0x0708)


# --- the idioms of bounds --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("op", "is64", "operand", "known"),
    [
        (Alu.AND, True, 63, unsigned(0, 63)),
        (Alu.AND, False, 63, unsigned(0, 63)),
        (Alu.MOD, True, 8, unsigned(0, 7)),
        (Alu.MOD, True, 10, unsigned(0, 9)),
        (Alu.MOD, False, 1000, unsigned(0, 999)),
        (Alu.SMOD, True, 10, signed(-9, 9)),
        (Alu.RSH, True, 60, unsigned(0, 15)),
        (Alu.RSH, False, 28, unsigned(0, 15)),
        (Alu.ARSH, True, 60, signed(-8, 7)),
        (Alu.DIV, True, 1 << 60, unsigned(0, 15)),
        (Alu.MOV, False, 0, constant(0)),
    ],
)
def test_an_unknown_is_bounded_by(op: Alu, is64: bool, operand: int, known: Scalar) -> None:
    assert includes(known, alu(op, is64, UNKNOWN, constant(operand)))


def test_a_shifted_index_is_a_multiple_of_its_stride() -> None:
    offset = alu(Alu.LSH, True, unsigned(0, 63), constant(3))
    assert (offset.umin, offset.umax, offset.mask & 7) == (0, 504, 0)
    assert describe(offset) == "0..=504, a multiple of 8"


def test_a_limit_on_a_multiple_is_a_multiple() -> None:
    offset = alu(Alu.LSH, True, UNKNOWN, constant(3))
    refined = assume(Condition.LE, True, offset, constant(45))
    assert refined is not None
    assert refined[0].umax == 40


def test_a_32_bit_comparison_bounds_the_zero_extended_word() -> None:
    refined = assume(Condition.LT, False, UNKNOWN, constant(64))
    assert refined is not None
    assert refined[0].umax > 63
    assert alu(Alu.MOV, False, UNKNOWN, refined[0]) == unsigned(0, 63)


def test_a_comparison_after_zero_extension_bounds_all_64_bits() -> None:
    refined = assume(Condition.LT, False, of_width(4), constant(64))
    assert refined is not None
    assert refined[0] == unsigned(0, 63)


def test_two_signed_comparisons_make_a_range() -> None:
    low = assume(Condition.SGE, True, UNKNOWN, constant(-5))
    assert low is not None
    both = assume(Condition.SLE, True, low[0], constant(5))
    assert both is not None
    assert (both[0].smin, both[0].smax, both[0].s32min, both[0].s32max) == (-5, 5, -5, 5)
    shifted = alu(Alu.ADD, True, both[0], constant(5))
    assert shifted == unsigned(0, 10)


def test_a_tested_bit_is_known_either_way() -> None:
    taken = assume(Condition.SET, True, UNKNOWN, constant(4))
    fallen = assume(Unset.UNSET, True, UNKNOWN, constant(4))
    assert taken is not None
    assert fallen is not None
    assert (taken[0].value & 4, taken[0].mask & 4, fallen[0].value & 4, fallen[0].mask & 4) == (4, 0, 0, 0)


def test_an_excluded_end_moves_the_bound() -> None:
    refined = assume(Condition.NE, True, unsigned(0, 10), constant(10))
    assert refined is not None
    assert refined[0] == unsigned(0, 9)
    assert assume(Condition.NE, True, constant(3), constant(3)) is None


@given(st.integers(0, 1 << 20), st.integers(0, 1 << 20), st.integers(0, 1 << 20), st.integers(0, 1 << 20))
@settings(max_examples=200, deadline=None)
def test_sums_and_products_of_small_ranges_have_the_exact_ends(a: int, b: int, c: int, d: int) -> None:
    left, right = unsigned(min(a, b), max(a, b)), unsigned(min(c, d), max(c, d))
    total = alu(Alu.ADD, True, left, right)
    assert (total.umin, total.umax) == (left.umin + right.umin, left.umax + right.umax)
    product = alu(Alu.MUL, True, left, right)
    assert (product.umin, product.umax) == (left.umin * right.umin, left.umax * right.umax)
    difference = alu(Alu.SUB, True, left, right)
    assert (difference.smin, difference.smax) == (left.umin - right.umax, left.umax - right.umin)


# --- end to end, at random -------------------------------------------------------------------------------------------


@given(OPERATORS, st.booleans(), scalars(), scalars())
@settings(max_examples=500, deadline=None)
def test_alu_contains_the_result(op: Alu, is64: bool, left: tuple[Scalar, int], right: tuple[Scalar, int]) -> None:
    (a, x), (b, y) = left, right
    assert contains(a, x)
    assert contains(alu(op, is64, a, b), execute(op, 64 if is64 else 32, x, y))


@given(st.sampled_from(COMPARISONS), st.booleans(), scalars(), scalars())
@settings(max_examples=500, deadline=None)
def test_assume_contains_what_compares_so(
    comparison: Comparison, is64: bool, left: tuple[Scalar, int], right: tuple[Scalar, int]
) -> None:
    (a, x), (b, y) = left, right
    if not compare(comparison, 64 if is64 else 32, x, y):
        comparison = negate(comparison)
    refined = assume(comparison, is64, a, b)
    assert refined is not None
    assert contains(refined[0], x)
    assert contains(refined[1], y)
    assert includes(a, refined[0])
    assert includes(b, refined[1])


@given(scalars(), scalars())
@settings(max_examples=300, deadline=None)
def test_the_lattice_keeps_its_words(left: tuple[Scalar, int], right: tuple[Scalar, int]) -> None:
    (a, x), (b, y) = left, right
    for bound in (join(a, b), widen(a, b), widen(a, b, (7, 100, -3))):
        assert contains(bound, x)
        assert contains(bound, y)
        assert includes(bound, a)
        assert includes(bound, b)
    met = meet(a, b)
    assert not contains(b, x) or (met is not None and contains(met, x))


@given(st.integers(1, 64), st.integers(0, 1000), st.sampled_from([(), (1000,), (77, 5000)]))
@settings(max_examples=100, deadline=None)
def test_widening_ends_and_keeps_the_stride(stride: int, start: int, thresholds: tuple[int, ...]) -> None:
    value = constant(start)
    for _ in range(100):
        grown = widen(value, join(value, alu(Alu.ADD, True, value, constant(stride))), thresholds)
        if grown == value:
            break
        value = grown
    else:
        pytest.fail("the sequence does not settle")
    power = stride & -stride
    assert value.mask & (power - 1) == 0
