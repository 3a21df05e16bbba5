"""The proofs can fail: a broken copy of an operator is refuted by the very theorem that the verifier's own one passes.

Each copy makes a mistake that was a hole in some verifier, or is the nearest thing to one. z3 has to find operands and
members that show it.
"""

from collections.abc import Callable
from typing import Any

import pytest
import z3
from scalar_theorems import (
    any_scalar,
    implied,
    in_scalar,
    in_view,
    low_bits,
    reversed_bytes,
    scalar_combination,
    scalar_operator,
    scalar_refinement,
    sign_extended,
    spec_alu,
    tnum_operator,
    two_views_kept,
    view_kept,
    view_operator,
    view_refinement,
    words_named,
    zero_extended,
)
from z3words import Z3Words, counterexample

from grafting.isa import Alu, Condition
from verifier import comparisons, interval, operators, scalar, tnum, view
from verifier.comparisons import Comparison, Unset
from verifier.scalar import Scalar, half, whole
from verifier.view import View, of_tnum, of_unsigned

W = Z3Words
Rule = Callable[[W, View, View], View]


def unknown_half(w: W) -> tuple[int, ...]:
    return view.unknown(w.half)[2:]


# --- operators on one width ------------------------------------------------------------------------------------------


def division_that_forgets_that_a_zero_divisor_gives_zero(w: W, a: View, b: View) -> View:
    return of_unsigned(w, w.udiv(a.umin, w.umax(b.umax, 1)), w.udiv(a.umax, w.umax(b.umin, 1)))


def remainder_that_forgets_that_a_zero_divisor_gives_the_dividend(w: W, a: View, b: View) -> View:
    return of_unsigned(w, 0, w.umax(b.umax, 1) - 1)


def signed_division_whose_least_dividend_by_minus_one_is_the_greatest(w: W, a: View, b: View) -> View:
    rule = operators.OPERATORS[Alu.SDIV](w, a, b)
    constants = (a.mask == 0) & (b.mask == 0) & (a.value == w.sign) & (b.value == w.mask)
    return view.choose(w, constants, view.of_signed(w, w.sign - 1, w.sign - 1), rule)


def left_shift_whose_amount_is_not_masked(w: W, a: View, b: View) -> View:
    constant = b.mask == 0
    value, mask = w.shl(a.value, b.value), w.shl(a.mask, b.value)
    return of_tnum(w, (w.ite(constant, value, 0), w.ite(constant, mask, w.mask)))


def sum_that_ignores_overflow(w: W, a: View, b: View) -> View:
    return of_unsigned(w, a.umin + b.umin & w.mask, a.umax + b.umax & w.mask)


def sum_whose_carries_are_known(w: W, a: View, b: View) -> View:
    mask = a.mask | b.mask
    return of_tnum(w, (a.value + b.value & (mask ^ w.mask), mask))


def difference_that_pairs_like_bounds(w: W, a: View, b: View) -> View:
    return of_unsigned(w, *interval.add(w, a.umin, a.umax, -b.umin & w.mask, -b.umax & w.mask))


def product_whose_unsigned_bounds_may_wrap(w: W, a: View, b: View) -> View:
    return of_unsigned(w, a.umin * b.umin & w.mask, a.umax * b.umax & w.mask)


def conjunction_that_is_not_done(w: W, a: View, b: View) -> View:
    return a


def disjunction_with_the_bounds_of_a_conjunction(w: W, a: View, b: View) -> View:
    return of_unsigned(w, 0, w.umin(a.umax, b.umax))


def signed_right_shift_that_brings_in_zeros(w: W, a: View, b: View) -> View:
    least, greatest = operators._amounts(w, b)
    value, mask = tnum.shift_right(w, a.value, a.mask, least)
    one = least == greatest
    return of_tnum(w, (w.ite(one, value, 0), w.ite(one, mask, w.mask)))


def right_shift_by_the_greatest_amount_only(w: W, a: View, b: View) -> View:
    _, greatest = operators._amounts(w, b)
    return of_unsigned(w, w.lshr(a.umin, greatest), w.lshr(a.umax, greatest))


BROKEN_RULES: list[tuple[Alu, Rule]] = [
    (Alu.DIV, division_that_forgets_that_a_zero_divisor_gives_zero),
    (Alu.MOD, remainder_that_forgets_that_a_zero_divisor_gives_the_dividend),
    (Alu.SDIV, signed_division_whose_least_dividend_by_minus_one_is_the_greatest),
    (Alu.LSH, left_shift_whose_amount_is_not_masked),
    (Alu.ADD, sum_that_ignores_overflow),
    (Alu.ADD, sum_whose_carries_are_known),
    (Alu.SUB, difference_that_pairs_like_bounds),
    (Alu.MUL, product_whose_unsigned_bounds_may_wrap),
    (Alu.AND, conjunction_that_is_not_done),
    (Alu.OR, disjunction_with_the_bounds_of_a_conjunction),
    (Alu.ARSH, signed_right_shift_that_brings_in_zeros),
    (Alu.RSH, right_shift_by_the_greatest_amount_only),
]


@pytest.mark.parametrize(("op", "rule"), BROKEN_RULES, ids=lambda p: getattr(p, "__name__", ""))
def test_a_broken_operator_is_refuted(op: Alu, rule: Rule) -> None:
    assert view_operator(8, rule, lambda x, y: spec_alu(op, x, y)) is not None


def test_a_byte_swap_that_keeps_the_bounds_is_refuted() -> None:
    def swap(w: W, a: View, b: View) -> View:
        return operators.reversed_bytes(w, a, 8)._replace(umin=a.umin, umax=a.umax)

    assert view_operator(64, swap, lambda x, _: reversed_bytes(x, 8)) is not None


def test_a_sign_extending_load_that_keeps_the_zero_extended_bounds_is_refuted() -> None:
    def extend(w: W, a: View, b: View) -> View:
        return operators.truncated(w, a, 0xFF)

    assert view_operator(64, extend, lambda x, _: sign_extended(low_bits(x, 8), 64)) is not None


# --- one width told by the other -------------------------------------------------------------------------------------


def test_a_32_bit_move_that_sign_extends_is_refuted() -> None:
    def extend(w: W, low: View) -> View:
        return view.of_signed(w, w.wide_signed(low.smin), w.wide_signed(low.smax))

    w, (x,) = Z3Words(64), words_named(32, "x")
    low = View(*words_named(32, *View._fields))
    claims = implied(in_view(w.half, low, x), in_view(w, extend(w, low), zero_extended(x, 64)))
    assert counterexample(claims) is not None


def test_32_bit_bounds_from_64_bit_bounds_that_do_not_fit_are_refuted() -> None:
    def narrow(w: W, a: View, low: View) -> list[tuple[W, View]]:
        return [(w.half, of_unsigned(w.half, w.low(a.umin), w.low(a.umax)))]

    assert two_views_kept(64, narrow) is not None


def test_64_bit_bounds_from_32_bit_bounds_are_refuted() -> None:
    def lift(w: W, a: View, low: View) -> list[tuple[W, View]]:
        return [(w, a._replace(umax=w.umin(a.umax, w.wide(low.umax))))]

    assert two_views_kept(64, lift) is not None


def test_a_signed_half_that_bounds_a_word_which_does_not_fit_is_refuted() -> None:
    def lift(w: W, a: View, low: View) -> list[tuple[W, View]]:
        return [(w, a._replace(smin=w.smax(a.smin, w.wide_signed(low.smin))))]

    assert two_views_kept(64, lift) is not None


def test_unsigned_bounds_from_signed_ones_across_zero_are_refuted() -> None:
    def cross(w: W, a: View) -> View:
        return a._replace(umin=w.umax(a.umin, a.smin & w.mask), umax=w.umin(a.umax, a.smax & w.mask))

    assert view_kept(64, cross) is not None


def alu_that_forgets_to_truncate(w: W, op: Alu, is64: bool, a: Scalar, b: Scalar) -> Scalar:
    return Scalar(*operators.OPERATORS[op](w, whole(a), whole(b)), *unknown_half(w))


def alu_that_truncates_only_afterwards(w: W, op: Alu, is64: bool, a: Scalar, b: Scalar) -> Scalar:
    result = operators.OPERATORS[op](w, whole(a), whole(b))
    return Scalar(*operators.truncated(w, result, w.half.mask), *unknown_half(w))


def alu_that_looks_for_zero_in_the_whole_divisor(w: W, op: Alu, is64: bool, a: Scalar, b: Scalar) -> Scalar:
    low = half(w, b)._replace(umin=w.low(w.umax(w.ite(b.umin == 0, 0, 1), w.wide(b.u32min))))
    return Scalar(*scalar.extend(w, operators.OPERATORS[op](w.half, half(w, a), low)), *unknown_half(w))


def alu_that_skips_the_32_bit_update(w: W, op: Alu, is64: bool, a: Scalar, b: Scalar) -> Scalar:
    result = operators.OPERATORS[op](w, whole(a), whole(b))
    return Scalar(*result, *half(w, a)[2:])


@pytest.mark.parametrize(
    ("broken", "op", "is64"),
    [
        (alu_that_forgets_to_truncate, Alu.ADD, False),
        (alu_that_forgets_to_truncate, Alu.MOV, False),
        (alu_that_truncates_only_afterwards, Alu.RSH, False),
        (alu_that_truncates_only_afterwards, Alu.ARSH, False),
        (alu_that_looks_for_zero_in_the_whole_divisor, Alu.DIV, False),
        (alu_that_looks_for_zero_in_the_whole_divisor, Alu.MOD, False),
        (alu_that_skips_the_32_bit_update, Alu.AND, True),
        (alu_that_skips_the_32_bit_update, Alu.OR, True),
        (alu_that_skips_the_32_bit_update, Alu.XOR, True),
    ],
    ids=lambda p: getattr(p, "__name__", getattr(p, "name", None)),
)
def test_a_32_bit_operation_on_the_wrong_width_is_refuted(broken: Any, op: Alu, is64: bool) -> None:
    assert scalar_operator(8, broken, op, is64) is not None


# --- comparisons -----------------------------------------------------------------------------------------------------


def test_a_32_bit_comparison_that_narrows_64_bits_is_refuted() -> None:
    def assume(w: W, comparison: Comparison, is64: bool, a: Scalar, b: Scalar) -> tuple[Scalar, Scalar, Any]:
        left, right, possible = comparisons.refine(w, comparison, whole(a), whole(b))
        return Scalar(*left, *half(w, a)[2:]), Scalar(*right, *half(w, b)[2:]), possible

    assert scalar_refinement(8, assume, Condition.LE, False) is not None


def refinement_with(wrong: Comparison) -> Callable[..., comparisons.Refined]:
    return lambda w, comparison, a, b: comparisons.refine(w, wrong, a, b)


@pytest.mark.parametrize(
    ("comparison", "taken_for"),
    [
        (Condition.SET, Unset.UNSET),
        (Unset.UNSET, Condition.SET),
        (Condition.LE, Condition.LT),
        (Condition.SLT, Condition.LT),
        (Condition.GT, Condition.SGT),
        (Condition.NE, Condition.EQ),
        (Condition.GE, Condition.LE),
    ],
    ids=lambda c: c.name,
)
def test_a_comparison_taken_for_another_is_refuted(comparison: Comparison, taken_for: Comparison) -> None:
    assert view_refinement(64, refinement_with(taken_for), comparison) is not None


def test_an_inequality_with_an_unknown_that_trims_a_bound_is_refuted() -> None:
    def refine(w: W, comparison: Comparison, a: View, b: View) -> comparisons.Refined:
        trimmed = w.ite((a.umax == b.umax) & (a.umax != 0), a.umax - 1, a.umax)
        return a._replace(umax=trimmed), b, a.umax == a.umax

    assert view_refinement(64, refine, Condition.NE) is not None


# --- the lattice -----------------------------------------------------------------------------------------------------


def test_a_join_that_keeps_the_bits_of_one_side_is_refuted() -> None:
    assert tnum_operator(64, lambda w, av, am, bv, bm: (av, am), lambda x, y: y) is not None


def test_a_join_that_forgets_the_32_bit_bounds_of_one_side_is_refuted() -> None:
    def join(w: W, a: Scalar, b: Scalar) -> Scalar:
        return Scalar(*whole(scalar.parts_joined(w, a, b)), *half(w, a)[2:])

    assert scalar_combination(64, join, z3.Or) is not None


def test_a_widening_that_stops_below_the_new_bound_is_refuted() -> None:
    def widen(w: W, a: Scalar, b: Scalar) -> Scalar:
        joined = whole(scalar.parts_joined(w, a, b))
        return Scalar(*joined._replace(umax=w.umin(joined.umax, 100)), *unknown_half(w))

    assert scalar_combination(64, widen, z3.Or) is not None


def test_an_inclusion_that_looks_at_the_64_bit_view_only_is_refuted() -> None:
    w, (x,) = Z3Words(64), words_named(64, "x")
    a, b = any_scalar("a", 64), any_scalar("b", 64)
    included = w.ule(a.umin, b.umin) & w.ule(b.umax, a.umax) & w.sle(a.smin, b.smin) & w.sle(b.smax, a.smax)
    premises = [a.value & a.mask == 0, included, tnum.within(w, a.value, a.mask, b.value, b.mask), *in_scalar(w, b, x)]
    assert counterexample(implied(premises, in_scalar(w, a, x))) is not None
