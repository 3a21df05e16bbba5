"""The scalar domain's building blocks are sound: proved by z3 on the verifier's own functions.

For all abstract values and all members, at the widths at which a block runs, 64 and 32 bits; multiplication, division
and remainder at 8 (docs/verifier.md has the argument for the rest). `test_scalar_whole.py` proves their composition.
"""

import pytest
import z3
from scalar_theorems import (
    any_scalar,
    implied,
    in_scalar,
    in_tnum,
    in_view,
    low_bits,
    reversed_bytes,
    scalar_combination,
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
from verifier import comparisons, operators, scalar, tnum, view
from verifier.comparisons import Comparison, Unset
from verifier.view import View
from verifier.words import Words

PRODUCTS = {Alu.MUL, Alu.DIV, Alu.MOD, Alu.SDIV, Alu.SMOD}
LINEAR = [op for op in Alu if op not in PRODUCTS]
COMPARISONS: list[Comparison] = [*Condition, Unset.UNSET]

STEPS = [view.bound_by_bits, view.cross_both, view.cross_signed, view.know_leading_bits, view.bound_by_members]


def name_of(parameter: object) -> str | None:
    return getattr(parameter, "name", getattr(parameter, "__name__", None))


# --- building blocks, at full width ----------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [64, 32])
@pytest.mark.parametrize("op", LINEAR, ids=name_of)
def test_an_operator_contains_every_result(op: Alu, width: int) -> None:
    assert view_operator(width, operators.OPERATORS[op], lambda x, y: spec_alu(op, x, y)) is None


@pytest.mark.parametrize("op", sorted(PRODUCTS, key=name_of), ids=name_of)
def test_a_product_or_quotient_contains_every_result_at_8_bits(op: Alu) -> None:
    assert view_operator(8, operators.OPERATORS[op], lambda x, y: spec_alu(op, x, y)) is None


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_a_sign_extension_contains_every_result(bits: int) -> None:
    sign = 1 << (bits - 1)
    extended = lambda x, _: sign_extended(low_bits(x, bits), 64)  # noqa: E731
    assert view_operator(64, lambda w, a, b: operators.sign_extended(w, a, sign), extended) is None


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("width", [64, 32])
def test_a_truncation_contains_every_result(bits: int, width: int) -> None:
    low = (1 << bits) - 1
    assert view_operator(width, lambda w, a, b: operators.truncated(w, a, low), lambda x, _: x & low) is None


@pytest.mark.parametrize("size", [2, 4, 8])
def test_a_byte_swap_contains_every_result(size: int) -> None:
    swapped = lambda x, _: reversed_bytes(x, size)  # noqa: E731
    assert view_operator(64, lambda w, a, b: operators.reversed_bytes(w, a, size), swapped) is None


@pytest.mark.parametrize("width", [64, 32])
@pytest.mark.parametrize("comparison", COMPARISONS, ids=name_of)
def test_a_refinement_keeps_every_pair_that_compares_so(comparison: Comparison, width: int) -> None:
    assert view_refinement(width, comparisons.refine, comparison) is None


@pytest.mark.parametrize("width", [64, 32])
@pytest.mark.parametrize("step", STEPS, ids=name_of)
def test_a_step_of_tightening_loses_no_word(step: object, width: int) -> None:
    assert view_kept(width, step) is None


def test_narrowing_to_the_low_half_loses_no_word() -> None:
    assert two_views_kept(64, lambda w, a, low: [(w.half, scalar.narrow(w, a))]) is None


def test_lifting_the_low_half_loses_no_word() -> None:
    assert two_views_kept(64, lambda w, a, low: [(w, scalar.lift(w, a, low))]) is None


def test_zero_extension_contains_every_result() -> None:
    w, (x,) = Z3Words(64), words_named(32, "x")
    low = View(*words_named(32, *View._fields))
    claims = implied(in_view(w.half, low, x), in_view(w, scalar.extend(w, low), zero_extended(x, 64)))
    assert counterexample(claims) is None


def test_merging_views_of_small_words_loses_none() -> None:
    def merged(w: Words, a: View, low: View) -> list[tuple[Words, View]]:
        if not w.decide(scalar.is_small(w, a)):
            return []
        small = scalar.merge_small(w, a, low)
        return [(w, small), (w.half, View(*(w.low(part) for part in small)))]

    assert two_views_kept(64, merged) is None


@pytest.mark.parametrize("op", LINEAR, ids=name_of)
def test_evaluation_is_the_instruction(op: Alu) -> None:
    w, (x, y) = Z3Words(64), words_named(64, "x", "y")
    assert counterexample([([], operators.evaluate(w, op, x, y) == spec_alu(op, x, y))]) is None


@pytest.mark.parametrize("op", sorted(PRODUCTS, key=name_of), ids=name_of)
def test_evaluation_is_the_instruction_at_8_bits(op: Alu) -> None:
    w, (x, y) = Z3Words(8), words_named(8, "x", "y")
    assert counterexample([([], operators.evaluate(w, op, x, y) == spec_alu(op, x, y))]) is None


# --- tnums on their own, where a view does not use them to the full --------------------------------------------------


def test_tnum_join_contains_both_sides() -> None:
    assert tnum_operator(64, tnum.join, lambda x, y: x) is None
    assert tnum_operator(64, tnum.join, lambda x, y: y) is None


def test_tnum_of_range_contains_the_range() -> None:
    w, (low, high, x) = Z3Words(64), words_named(64, "low", "high", "x")
    assert counterexample([([z3.ULE(low, x), z3.ULE(x, high)], in_tnum(x, *tnum.of_range(w, low, high)))]) is None


def test_a_tnum_within_another_has_no_other_member() -> None:
    w, (av, am, bv, bm, x) = Z3Words(64), words_named(64, "av", "am", "bv", "bm", "x")
    premises = [av & am == 0, tnum.within(w, av, am, bv, bm), in_tnum(x, bv, bm)]
    assert counterexample([(premises, in_tnum(x, av, am))]) is None


def test_disjoint_tnums_have_no_common_member() -> None:
    w, (av, am, bv, bm, x) = Z3Words(64), words_named(64, "av", "am", "bv", "bm", "x")
    premises = [in_tnum(x, av, am), in_tnum(x, bv, bm)]
    assert counterexample([(premises, w.no(tnum.disjoint(w, av, am, bv, bm)))]) is None


def test_the_greatest_member_up_to_a_limit_is_a_member_and_the_greatest() -> None:
    w, (value, mask, limit, x) = Z3Words(64), words_named(64, "value", "mask", "limit", "x")
    found = tnum.greatest_up_to(w, value, mask, limit)
    premises = [in_tnum(x, value, mask), z3.ULE(x, limit)]  # there is a member up to the limit
    conclusions = [in_tnum(found, value, mask), z3.ULE(x, found), z3.ULE(found, limit)]
    assert counterexample((premises, conclusion) for conclusion in conclusions) is None


# --- constants and the lattice --------------------------------------------------------------------------------------


def test_a_constant_contains_its_word() -> None:
    w, (x,) = Z3Words(64), words_named(64, "x")
    assert counterexample(implied([], in_scalar(w, scalar.constant_over(w, x), x))) is None


def test_join_contains_both_sides() -> None:
    assert scalar_combination(64, scalar.parts_joined, z3.Or) is None


def test_what_is_included_has_no_other_word() -> None:
    w, (x,) = Z3Words(64), words_named(64, "x")
    a, b = any_scalar("a", 64), any_scalar("b", 64)
    premises = [a.value & a.mask == 0, scalar.parts_include(w, a, b), *in_scalar(w, b, x)]
    assert counterexample(implied(premises, in_scalar(w, a, x))) is None


@pytest.mark.parametrize("thresholds", [(), (7, 100, 1 << 40, -12)])
def test_widening_contains_both_sides(thresholds: tuple[int, ...]) -> None:
    def widened(w: Words, a: scalar.Scalar, b: scalar.Scalar) -> scalar.Scalar:
        return scalar.parts_widened(w, a, scalar.parts_joined(w, a, b), thresholds)

    assert scalar_combination(64, widened, z3.Or) is None


def test_membership_is_the_definition() -> None:
    w, (x,), a = Z3Words(64), words_named(64, "x"), any_scalar("a", 64)
    assert counterexample([([], scalar.parts_contain(w, a, x) == z3.And(*in_scalar(w, a, x)))]) is None
