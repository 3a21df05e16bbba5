"""What it means for a piece of the scalar domain to be sound, as claims over bit-vectors of any width.

Each theorem takes the function it is about as an argument: `test_scalar_proofs.py` gives the verifier's own functions
and expects no counterexample, `test_scalar_refuted.py` gives broken ones and expects one. All abstract operands are
arbitrary, reconciled or not; that a word is in one is the premise. What a machine instruction does (`spec_alu`,
`spec_compare`, ...) is stated here once more, directly in z3's terms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import z3
from z3words import Z3Words, counterexample, paths

from grafting.isa import Alu, Condition
from verifier import scalar, tnum
from verifier.comparisons import Comparison, Unset
from verifier.scalar import Scalar
from verifier.view import View

# --- the machine -----------------------------------------------------------------------------------------------------


def spec_alu(op: Alu, x: Any, y: Any) -> Any:
    """RFC 9669 section 4.1 on two bit-vectors of the operation's width."""
    zero = y == 0
    amount = y & (x.size() - 1)
    match op:
        case Alu.ADD:
            return x + y
        case Alu.SUB:
            return x - y
        case Alu.MUL:
            return x * y
        case Alu.DIV:
            return z3.If(zero, 0, z3.UDiv(x, y))
        case Alu.SDIV:
            return z3.If(zero, 0, x / y)
        case Alu.MOD:
            return z3.If(zero, x, z3.URem(x, y))
        case Alu.SMOD:
            return z3.If(zero, x, z3.SRem(x, y))
        case Alu.OR:
            return x | y
        case Alu.AND:
            return x & y
        case Alu.XOR:
            return x ^ y
        case Alu.LSH:
            return x << amount
        case Alu.RSH:
            return z3.LShR(x, amount)
        case Alu.ARSH:
            return x >> amount
        case Alu.NEG:
            return -x
        case Alu.MOV:
            return y


def spec_compare(comparison: Comparison, x: Any, y: Any) -> Any:
    """RFC 9669 section 4.3, and the jump not taken of `jset`."""
    match comparison:
        case Condition.EQ:
            return x == y
        case Condition.NE:
            return x != y
        case Condition.GT:
            return z3.UGT(x, y)
        case Condition.GE:
            return z3.UGE(x, y)
        case Condition.LT:
            return z3.ULT(x, y)
        case Condition.LE:
            return z3.ULE(x, y)
        case Condition.SGT:
            return x > y
        case Condition.SGE:
            return x >= y
        case Condition.SLT:
            return x < y
        case Condition.SLE:
            return x <= y
        case Condition.SET:
            return x & y != 0
        case Unset.UNSET:
            return x & y == 0


def low_bits(x: Any, bits: int) -> Any:
    return z3.Extract(bits - 1, 0, x)


def zero_extended(x: Any, width: int) -> Any:
    return z3.ZeroExt(width - x.size(), x)


def sign_extended(x: Any, width: int) -> Any:
    return z3.SignExt(width - x.size(), x)


def reversed_bytes(x: Any, size: int) -> Any:
    return zero_extended(z3.Concat(*(z3.Extract(8 * i + 7, 8 * i, x) for i in range(size))), x.size())


# --- abstract values and their members -------------------------------------------------------------------------------


def words_named(width: int, *names: str) -> tuple[Any, ...]:
    return tuple(z3.BitVec(name, width) for name in names)


def any_view(name: str, width: int) -> View:
    return View(*words_named(width, *(f"{name}.{field}" for field in View._fields)))


def any_scalar(name: str, width: int) -> Scalar:
    fields = list(Scalar.__dataclass_fields__)
    full, half = fields[:6], fields[6:]
    return Scalar(
        *words_named(width, *(f"{name}.{f}" for f in full)), *words_named(width // 2, *(f"{name}.{f}" for f in half))
    )


def in_tnum(x: Any, value: Any, mask: Any) -> Any:
    return x & ~mask == value


def in_view(w: Z3Words, a: View, x: Any) -> list[Any]:
    """The conditions of membership, one a part and bound."""
    value, mask, umin, umax, smin, smax = (w.lift(part) for part in a)
    return [in_tnum(x, value, mask), z3.ULE(umin, x), z3.ULE(x, umax), smin <= x, x <= smax]


def in_scalar(w: Z3Words, a: Scalar, x: Any) -> list[Any]:
    h, low = w.half, low_bits(x, w.half.width)
    u32min, u32max, s32min, s32max = (h.lift(part) for part in (a.u32min, a.u32max, a.s32min, a.s32max))
    return [
        *in_view(w, scalar.whole(a), x),
        z3.ULE(u32min, low), z3.ULE(low, u32max), s32min <= low, low <= s32max,
    ]  # fmt: skip


def implied(premises: list[Any], conclusions: list[Any]) -> Iterator[tuple[list[Any], Any]]:
    """One claim for each conclusion, conjunctions taken apart: smaller questions are answered sooner."""
    for conclusion in conclusions:
        for part in conjuncts(conclusion):
            yield premises, part


def conjuncts(formula: Any) -> list[Any]:
    """Return formulas that together say what `formula` says."""
    if z3.is_and(formula):
        return [part for child in formula.children() for part in conjuncts(child)]
    if z3.is_not(formula) and z3.is_or(formula.arg(0)):
        return [part for child in formula.arg(0).children() for part in conjuncts(z3.Not(child))]
    return [formula]


def signs_of_both(x: Any, y: Any) -> list[Any]:
    """The four cases of two signs; together they are all."""
    return [z3.And((x < 0) == p, (y < 0) == q) for p in (False, True) for q in (False, True)]


Counterexample = Any | None

# --- tnums -----------------------------------------------------------------------------------------------------------


def tnum_operator(
    width: int, abstract: Callable[..., tnum.Tnum], concrete: Callable[[Any, Any], Any]
) -> Counterexample:
    """For all tnums a, b and x in a, y in b: `concrete(x, y)` is in `abstract(w, a, b)`."""
    w = Z3Words(width)
    av, am, bv, bm, x, y = words_named(width, "av", "am", "bv", "bm", "x", "y")
    value, mask = abstract(w, av, am, bv, bm)
    premise = [in_tnum(x, av, am), in_tnum(y, bv, bm)]
    return counterexample(implied(premise, [in_tnum(concrete(x, y), value, mask)]))


# --- views -----------------------------------------------------------------------------------------------------------


def view_operator(width: int, rule: Callable[..., View], concrete: Callable[[Any, Any], Any]) -> Counterexample:
    """For all views a, b and x in a, y in b: `concrete(x, y)` is in `rule(w, a, b)`."""
    w = Z3Words(width)
    a, b = any_view("a", width), any_view("b", width)
    x, y = words_named(width, "x", "y")
    premises = [*in_view(w, a, x), *in_view(w, b, y)]
    conclusions = in_view(w, rule(w, a, b), concrete(x, y))
    return counterexample(
        claim
        for signs in (signs_of_both(x, y) if width == 8 else [z3.BoolVal(True)])
        for claim in implied([*premises, signs], conclusions)
    )


def view_kept(width: int, function: Callable[[Z3Words, View], View]) -> Counterexample:
    """For all views a and x in a: x is in `function(w, a)`."""
    w = Z3Words(width)
    a, (x,) = any_view("a", width), words_named(width, "x")
    return counterexample(
        claim
        for condition, result in paths(w, lambda: function(w, a))
        for claim in implied([*in_view(w, a, x), condition], in_view(w, result, x))
    )


def view_refinement(width: int, rule: Callable[..., Any], comparison: Comparison) -> Counterexample:
    """For all views a, b and x in a, y in b that compare so: they are in the refined views, and it is possible."""
    w = Z3Words(width)
    a, b = any_view("a", width), any_view("b", width)
    x, y = words_named(width, "x", "y")
    left, right, possible = rule(w, comparison, a, b)
    premise = [*in_view(w, a, x), *in_view(w, b, y), spec_compare(comparison, x, y)]
    return counterexample(implied(premise, [possible, *in_view(w, left, x), *in_view(w, right, y)]))


# --- scalars ---------------------------------------------------------------------------------------------------------


def two_views_kept(width: int, function: Callable[[Z3Words, View, View], list[Any]]) -> Counterexample:
    """For all views a, and low of half the width, and x in a with its low half in low: what `function` claims holds.

    `function(w, a, low)` returns (width, view) pairs, each to contain x or its low half.
    """
    w = Z3Words(width)
    a, low, (x,) = any_view("a", width), any_view("low", width // 2), words_named(width, "x")
    premise = [*in_view(w, a, x), *in_view(w.half, low, low_bits(x, width // 2))]
    return counterexample(
        claim
        for condition, result in paths(w, lambda: function(w, a, low))
        for words, view in result
        for claim in implied([*premise, condition], in_view(words, view, low_bits(x, words.width)))
    )


def scalar_function(
    width: int, function: Callable[[Z3Words, Scalar], Scalar], concrete: Callable[[Any], Any]
) -> Counterexample:
    """For all scalars a and x in a: `concrete(x)` is in `function(w, a)`."""
    w = Z3Words(width)
    a, (x,) = any_scalar("a", width), words_named(width, "x")
    return counterexample(
        claim
        for condition, result in paths(w, lambda: function(w, a))
        for claim in implied([*in_scalar(w, a, x), condition], in_scalar(w, result, concrete(x)))
    )


def scalar_operator(
    width: int, function: Callable[[Z3Words, Alu, bool, Scalar, Scalar], Scalar], op: Alu, is64: bool
) -> Counterexample:
    """For all scalars a, b and x in a, y in b: the instruction's result is in `function(w, op, is64, a, b)`."""
    w = Z3Words(width)
    a, b = any_scalar("a", width), any_scalar("b", width)
    x, y = words_named(width, "x", "y")
    half = width // 2
    result = (
        spec_alu(op, x, y) if is64 else zero_extended(spec_alu(op, low_bits(x, half), low_bits(y, half)), width)
    )  # fmt: skip
    return counterexample(
        claim
        for condition, abstract in paths(w, lambda: function(w, op, is64, a, b))
        for claim in implied(
            [*in_scalar(w, a, x), *in_scalar(w, b, y), condition], in_scalar(w, abstract, result)
        )
    )  # fmt: skip


def scalar_refinement(
    width: int, function: Callable[..., tuple[Scalar, Scalar, Any]], comparison: Comparison, is64: bool
) -> Counterexample:
    """For all scalars a, b and x in a, y in b that compare so: they are in the refined ones, and it is possible."""
    w = Z3Words(width)
    a, b = any_scalar("a", width), any_scalar("b", width)
    x, y = words_named(width, "x", "y")
    half = width // 2
    holds = spec_compare(comparison, x, y) if is64 else spec_compare(comparison, low_bits(x, half), low_bits(y, half))
    return counterexample(
        claim
        for condition, (left, right, possible) in paths(w, lambda: function(w, comparison, is64, a, b))
        for claim in implied(
            [*in_scalar(w, a, x), *in_scalar(w, b, y), holds, condition],
            [possible, *in_scalar(w, left, x), *in_scalar(w, right, y)],
        )
    )


def scalar_combination(
    width: int, function: Callable[[Z3Words, Scalar, Scalar], Scalar], members: Callable[[Any, Any], Any]
) -> Counterexample:
    """For all scalars a, b and x: if `members(x in a, x in b)`, then x is in `function(w, a, b)`."""
    w = Z3Words(width)
    a, b, (x,) = any_scalar("a", width), any_scalar("b", width), words_named(width, "x")
    premise = members(z3.And(*in_scalar(w, a, x)), z3.And(*in_scalar(w, b, x)))
    return counterexample(
        claim
        for condition, result in paths(w, lambda: function(w, a, b))
        for claim in implied([premise, condition], in_scalar(w, result, x))
    )
