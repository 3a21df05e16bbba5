"""The scalar domain's public functions are sound at 64 bits: proved over the contracts of what they call.

`test_scalar_proofs.py` proves the building blocks. Here each function that composes them runs on z3 with the blocks
replaced by their *contracts*: a fresh, arbitrary abstract value, of which only this is assumed, that it contains the
concrete word if the block's operands did. What is proved then holds whatever the blocks compute, as long as they are
sound. Every branch is taken both ways.
"""

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
import z3
from scalar_theorems import (
    any_scalar,
    any_view,
    implied,
    in_scalar,
    in_view,
    low_bits,
    reversed_bytes,
    sign_extended,
    spec_alu,
    spec_compare,
    words_named,
    zero_extended,
)
from z3words import Z3Words, counterexample, paths

from grafting.isa import Alu, Condition
from verifier import operators, scalar, view
from verifier.comparisons import Comparison, Unset
from verifier.scalar import Scalar
from verifier.view import View

W = 64
X, Y = words_named(W, "x", "y")


class Contracts:
    """Stands in for proved blocks, for the concrete words given.

    At each call it asks z3 whether what the block's contract requires follows from the facts so far and the branches
    taken; only then does what the contract promises become a fact. So every question to z3 is small.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.patch = patch
        self.w = Z3Words(W)
        self.facts: list[Any] = []
        self.names = (f"fresh{i}" for i in count())

    def promise(self, required: list[Any], promised: list[Any]) -> None:
        known = [*self.facts, *self.w.decisions.conditions]
        if counterexample(implied(known, required)) is None:
            self.facts += promised

    def fresh_view(self, width: int) -> View:
        return any_view(next(self.names), width)

    def views(self, module: Any, name: str, *concretes: Any, result_half: bool = False, inward: bool = False) -> None:
        """Replace a function from views (of the whole, and of the half) to a view of one of the two widths.

        With `inward` it also promises to move the unsigned bounds only inwards.
        """

        def stub(w: Z3Words, *operands: View) -> View:
            result = self.fresh_view(w.half.width if result_half else w.width)
            for x in concretes:
                premises: list[Any] = []
                for operand in operands:
                    words = w if z3.is_bv(operand.mask) and operand.mask.size() == w.width else w.half
                    premises += in_view(words, operand, low_bits(x, words.width))
                if inward:
                    self.promise([], [z3.UGE(result.umin, operands[0].umin), z3.ULE(result.umax, operands[0].umax)])
                self.promise(premises, in_view(w.half if result_half else w, result, low_bits(x, result.mask.size())))
            return result

        self.patch.setattr(module, name, stub)

    def reconcile(self, concrete: Any) -> None:
        def stub(w: Z3Words, a: View, low: View) -> Scalar:
            result = any_scalar(next(self.names), W)
            required = [*in_view(w, a, concrete), *in_view(w.half, low, low_bits(concrete, W // 2))]
            self.promise(required, in_scalar(w, result, concrete))
            return result

        self.patch.setattr(scalar, "reconcile", stub)

    def updated(self, *subjects: tuple[Scalar, Any]) -> None:
        """Replace `updated`, for each of these scalars with its concrete word."""

        def stub(w: Z3Words, before: Scalar, a: View, low: View) -> Scalar:
            result = any_scalar(next(self.names), W)
            x = next(concrete for subject, concrete in subjects if subject is before)
            required = [*in_scalar(w, before, x), *in_view(w, a, x), *in_view(w.half, low, low_bits(x, W // 2))]
            self.promise(required, in_scalar(w, result, x))
            return result

        self.patch.setattr(scalar, "updated", stub)

    def zero_extended(self, concrete: Any) -> None:
        def stub(w: Z3Words, low: View) -> Scalar:
            result = any_scalar(next(self.names), W)
            self.promise(in_view(w.half, low, concrete), in_scalar(w, result, zero_extended(concrete, W)))
            return result

        self.patch.setattr(scalar, "zero_extended", stub)

    def proves(self, premises: list[Any], function: Callable[[], Any], conclusions: Callable[[Any], list[Any]]) -> bool:
        """Whether, on every path of `function`, the conclusions about its result follow from premises and promises."""

        def run() -> Any:
            self.facts = list(premises)
            return function()

        claims = (
            claim
            for _, result in paths(self.w, run)
            for claim in implied([*self.facts, *self.w.decisions.conditions], conclusions(result))
        )
        return counterexample(claims) is None


@pytest.fixture
def contracts(monkeypatch: pytest.MonkeyPatch) -> Contracts:
    return Contracts(monkeypatch)


def test_tightening_is_its_steps() -> None:
    """The composition of functions from views to views that each lose no word loses none."""
    seen: list[str] = []

    def step(name: str) -> Callable[[Any, str], str]:
        return lambda w, a: seen.append(name) or name

    names = ["bound_by_bits", "cross_both", "know_leading_bits", "bound_by_members", "cross_signed"]
    with pytest.MonkeyPatch.context() as patch:
        for name in names:
            patch.setattr(view, name, step(name))
        assert view.tighten(None, None) == "cross_signed"  # type: ignore[arg-type]
    assert seen == names


def test_reconciliation_loses_no_word(contracts: Contracts) -> None:
    contracts.views(view, "tighten", X)
    contracts.views(scalar, "narrow", X, result_half=True)
    contracts.views(scalar, "lift", X)
    contracts.views(view, "know_leading_bits", X, inward=True)
    contracts.views(view, "bound_by_members", X, inward=True)
    w, a, low = contracts.w, any_view("a", W), any_view("low", W // 2)
    premises = [*in_view(w, a, X), *in_view(w.half, low, low_bits(X, W // 2))]
    assert contracts.proves(premises, lambda: scalar.reconcile(w, a, low), lambda result: in_scalar(w, result, X))


@pytest.mark.parametrize("step", [view.know_leading_bits, view.bound_by_members], ids=lambda step: step.__name__)
def test_a_step_moves_bounds_only_inwards(contracts: Contracts, step: Callable[[Any, View], View]) -> None:
    w, a = contracts.w, any_view("a", W)
    assert contracts.proves(
        [], lambda: step(w, a), lambda new: [z3.UGE(w.lift(new.umin), a.umin), z3.ULE(w.lift(new.umax), a.umax)]
    )


def test_zero_extension_loses_no_word(contracts: Contracts) -> None:
    contracts.views(view, "tighten", low_bits(X, 32))
    w, low, x = contracts.w, any_view("low", W // 2), low_bits(X, 32)
    assert contracts.proves(
        in_view(w.half, low, x),
        lambda: scalar.zero_extended(w, low),
        lambda result: in_scalar(w, result, zero_extended(x, W)),
    )


@pytest.mark.parametrize("is64", [True, False], ids=["64", "32"])
@pytest.mark.parametrize("op", list(Alu), ids=lambda op: op.name)
def test_alu_contains_every_result(contracts: Contracts, op: Alu, is64: bool) -> None:
    """The result is an abstract symbol here: products and quotients are spared to z3, and are proved elsewhere."""
    w, a, b = contracts.w, any_scalar("a", W), any_scalar("b", W)
    x, y = X, Y
    operation = {64: z3.BitVec("x op y", 64), 32: z3.BitVec("low x op low y", 32)}
    if op is Alu.MOV:
        operation = {64: y, 32: low_bits(y, 32)}
    result = operation[64] if is64 else zero_extended(operation[32], W)

    def rule(words: Z3Words, left: View, right: View) -> View:
        fresh, bits = contracts.fresh_view(words.width), words.width
        premises = [*in_view(words, left, low_bits(x, bits)), *in_view(words, right, low_bits(y, bits))]
        contracts.promise(premises, in_view(words, fresh, operation[bits]))
        return fresh

    def evaluate(words: Z3Words, _: Alu, p: Any, q: Any) -> Any:
        fresh, bits = z3.FreshConst(z3.BitVecSort(words.width)), words.width
        contracts.promise([p == low_bits(x, bits), q == low_bits(y, bits)], [fresh == operation[bits]])
        return fresh

    contracts.patch.setitem(operators.OPERATORS, op, rule)
    contracts.patch.setattr(operators, "evaluate", evaluate)
    contracts.reconcile(result)
    contracts.zero_extended(operation[32])
    premises = [*in_scalar(w, a, x), *in_scalar(w, b, y)]
    if op in operators.LOW_BITS_SUFFICE:  # proved below
        premises.append(low_bits(operation[64], 32) == operation[32])
    assert contracts.proves(
        premises, lambda: scalar.alu_over(w, op, is64, a, b), lambda abstract: in_scalar(w, abstract, result)
    )


@pytest.mark.parametrize("op", sorted(operators.LOW_BITS_SUFFICE, key=lambda op: op.name), ids=lambda op: op.name)
def test_low_bits_suffice_for_low_bits(op: Alu) -> None:
    width = 8 if op is Alu.MUL else 64
    x, y = words_named(width, "x", "y")
    whole, half = spec_alu(op, x, y), spec_alu(op, low_bits(x, width // 2), low_bits(y, width // 2))
    assert counterexample([([], low_bits(whole, width // 2) == half)]) is None


@pytest.mark.parametrize("is64", [True, False], ids=["64", "32"])
@pytest.mark.parametrize("comparison", [*Condition, Unset.UNSET], ids=lambda c: c.name)
def test_assume_keeps_every_pair_that_compares_so(contracts: Contracts, comparison: Comparison, is64: bool) -> None:
    w, a, b = contracts.w, any_scalar("a", W), any_scalar("b", W)

    def refine(words: Z3Words, _: Comparison, left: View, right: View) -> tuple[View, View, Any]:
        bits = words.width
        new_left, new_right, possible = contracts.fresh_view(bits), contracts.fresh_view(bits), z3.FreshBool()
        x, y = low_bits(X, bits), low_bits(Y, bits)
        premises = [*in_view(words, left, x), *in_view(words, right, y), spec_compare(comparison, x, y)]
        contracts.promise(premises, [possible, *in_view(words, new_left, x), *in_view(words, new_right, y)])
        return new_left, new_right, possible

    contracts.patch.setattr(scalar, "refine", refine)
    contracts.updated((a, X), (b, Y))
    holds = spec_compare(comparison, X, Y) if is64 else spec_compare(comparison, low_bits(X, 32), low_bits(Y, 32))
    assert contracts.proves(
        [*in_scalar(w, a, X), *in_scalar(w, b, Y), holds],
        lambda: scalar.assume_over(w, comparison, is64, a, b),
        lambda result: [result[2], *in_scalar(w, result[0], X), *in_scalar(w, result[1], Y)],
    )


def test_an_update_loses_no_word(contracts: Contracts) -> None:
    contracts.reconcile(X)
    w, before, a, low = contracts.w, any_scalar("before", W), any_view("a", W), any_view("low", W // 2)
    premises = [*in_scalar(w, before, X), *in_view(w, a, X), *in_view(w.half, low, low_bits(X, W // 2))]
    assert contracts.proves(premises, lambda: scalar.updated(w, before, a, low), lambda result: in_scalar(w, result, X))


def test_meet_keeps_every_common_word(contracts: Contracts) -> None:
    w, a, b = contracts.w, any_scalar("a", W), any_scalar("b", W)
    contracts.reconcile(X)
    assert contracts.proves(
        [*in_scalar(w, a, X), *in_scalar(w, b, X)],
        lambda: scalar.meet_over(w, a, b),
        lambda result: [result[1], *in_scalar(w, result[0], X)],
    )


@pytest.mark.parametrize(("bits", "is64"), [(8, True), (16, True), (32, True), (8, False), (16, False)])
def test_move_sx_contains_every_result(contracts: Contracts, bits: int, is64: bool) -> None:
    w, a = contracts.w, any_scalar("a", W)
    extended = sign_extended(low_bits(X, bits), 64 if is64 else 32)
    result = zero_extended(extended, W)
    contracts.reconcile(result)
    contracts.zero_extended(low_bits(result, 32))
    assert contracts.proves(
        in_scalar(w, a, X),
        lambda: scalar.move_sx_over(w, bits, is64, a),
        lambda abstract: in_scalar(w, abstract, result),
    )


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_truncate_contains_every_result(contracts: Contracts, bits: int) -> None:
    w, a = contracts.w, any_scalar("a", W)
    result = zero_extended(low_bits(X, bits), W)
    contracts.zero_extended(low_bits(result, 32))
    assert contracts.proves(
        in_scalar(w, a, X), lambda: scalar.truncate_over(w, bits, a), lambda abstract: in_scalar(w, abstract, result)
    )


@pytest.mark.parametrize("size", [2, 4, 8])
def test_reverse_bytes_contains_every_result(contracts: Contracts, size: int) -> None:
    w, a = contracts.w, any_scalar("a", W)
    result = reversed_bytes(X, size)
    contracts.reconcile(result)
    assert contracts.proves(
        in_scalar(w, a, X), lambda: scalar.reverse_bytes_over(w, size, a),
        lambda abstract: in_scalar(w, abstract, result),
    )  # fmt: skip
