"""Scalars: what is known of a 64-bit register that holds a number.

A `Scalar` is two views of one word, the whole word and its low half, each with bits, an unsigned and a signed interval
(the low half's bits are the low bits of `value` and `mask`). It stands for the words that satisfy all of it:

    x & ~mask == value,  umin <= x <= umax,  smin <= signed(x) <= smax,
    u32min <= low(x) <= u32max,  s32min <= signed(low(x)) <= s32max

**Guarantee.** For all scalars a, b, all words x in a and y in b: `x op y` is in `alu(op, ..., a, b)`; if `x cmp y`
holds, then `assume(cmp, ..., a, b)` is not None and has x and y; `join`, `meet`, `widen` have what their names say;
`includes(a, b)` is true only if all of b is in a. **Why.** The operators compute each view from the operands' views of
the same width alone (`operators`, `comparisons`); `reconcile` is the one place where a view of one width learns from
the other; and all of these are proved by z3, as they stand, in `tests/test_scalar_proofs.py` (docs/verifier.md says at
which widths). Most holes found in other verifiers lay in bounds of one width or sign updated from another by hand.

A 32-bit operation is the operator on the low halves, zero-extended. A 64-bit operation is the operator on the whole
words; where it also determines the low half (`LOW_BITS_SUFFICE`) the low halves are computed beside it. Example:
`w2 = w1; if w2 > 63 goto out; r2 <<= 3` leaves r2 in 0 ..= 504, a multiple of 8, in both views.

Functions that take `w` run over words of any width and exist for the proofs; the others work on 64 bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from grafting.isa import Alu, Condition, Swap
from verifier import operators, tnum, view
from verifier.comparisons import Comparison, Unset, negate, refine
from verifier.interval import low_bits
from verifier.view import View
from verifier.words import W64, Words

__all__ = [
    "UNKNOWN", "Comparison", "Scalar", "Unset", "alu", "assume", "byte_swap", "constant", "contains", "describe",
    "includes", "join", "meet", "move_sx", "negate", "of_width", "signed", "truncate", "unsigned", "widen",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scalar:
    """A set of 64-bit words; see the module. `smin`, `smax`, `s32min`, `s32max` are signed, the others unsigned."""

    value: int
    mask: int
    umin: int
    umax: int
    smin: int
    smax: int
    u32min: int
    u32max: int
    s32min: int
    s32max: int

    @property
    def is_constant(self) -> bool:
        """Whether exactly one word is left."""
        return self.mask == 0

    @property
    def constant_value(self) -> int:
        """The one word, unsigned; meaningful if `is_constant`."""
        return self.value


# --- the two views, and the one place where they meet ----------------------------------------------------------------


def whole(a: Scalar) -> View:
    """Return the view of the whole word."""
    return View(a.value, a.mask, a.umin, a.umax, a.smin, a.smax)


def half(w: Words, a: Scalar) -> View:
    """Return the view of the low half."""
    return View(w.low(a.value), w.low(a.mask), a.u32min, a.u32max, a.s32min, a.s32max)


def narrow(w: Words, a: View) -> View:
    """Return what a view of whole words tells of their low halves."""
    h, low = w.half, w.half.mask
    if w.decide(w.ult(low, (a.umax - a.umin) & w.mask) & w.ult(low, (a.smax - a.smin) & w.mask)):
        return view.of_tnum(h, (w.low(a.value), w.low(a.mask)))
    uword, sword = low_bits(w, a.umin, a.umax, low, 0), low_bits(w, a.smin & w.mask, a.smax & w.mask, low, 0)
    ubias = low_bits(w, a.umin, a.umax, low, h.sign)
    sbias = low_bits(w, a.smin & w.mask, a.smax & w.mask, low, h.sign)
    return View(
        w.low(a.value), w.low(a.mask),
        w.low(w.umax(uword[0], sword[0])), w.low(w.umin(uword[1], sword[1])),
        w.low(w.umax(ubias[0], sbias[0])) - h.sign, w.low(w.umin(ubias[1], sbias[1])) - h.sign,
    )  # fmt: skip


def lift(w: Words, a: View, low: View) -> View:
    """Return the words of `a` whose low halves are in `low`.

    A bound keeps its high half and takes the low half's bound: of the words with the same high half it bounds those,
    and the words further inside have another high half. If all words fit in a signed half, they are its extension.
    """
    h = w.half
    value = a.value | w.wide(low.value)
    mask = a.mask & ((w.mask ^ h.mask) | w.wide(low.mask))
    least, greatest = w.wide(low.umin), w.wide(low.umax)
    smin = w.smax(a.smin, a.smin - (a.smin & h.mask) + least)
    smax = w.smin(a.smax, a.smax - (a.smax & h.mask) + greatest)
    fits = w.sle(-h.sign, a.smin) & w.sle(a.smax, h.sign - 1)
    return View(
        value & (mask ^ w.mask), mask,
        w.umax(a.umin, a.umin - (a.umin & h.mask) + least), w.umin(a.umax, a.umax - (a.umax & h.mask) + greatest),
        w.ite(fits, w.smax(smin, w.wide_signed(low.smin)), smin),
        w.ite(fits, w.smin(smax, w.wide_signed(low.smax)), smax),
    )  # fmt: skip


def extend(w: Words, low: View) -> View:
    """Return the view of the zero-extensions of words of half the width."""
    least, greatest = w.wide(low.umin), w.wide(low.umax)
    return View(w.wide(low.value), w.wide(low.mask), least, greatest, least, greatest)


def reconcile(w: Words, a: View, low: View) -> Scalar:
    """Return the words of `a` whose low halves are in `low`, with all that each view knows told to the other.

    Every step keeps the words, so that leaving one out where it would tell nothing is as sound as taking it.
    """
    if w.decide(is_small(w, a)):
        small = reconcile_small(w, a, low)
        bounds = w.low(small.umin), w.low(small.umax)
        return Scalar(*small, *bounds, *bounds)
    h = w.half
    a = view.tighten(w, a)
    low = view.meet(h, low, narrow(w, a))
    if w.decide(h.same(low, view.unknown(h))):
        return Scalar(*a, *low[2:])
    low = view.tighten(h, low)
    lifted = lift(w, a, low)
    if w.decide(w.no(w.same(lifted, a))):
        a = view.tighten(w, lifted)
        low = view.meet(h, low, narrow(w, a))
    return Scalar(*a, *low[2:])


def reconcile_small(w: Words, a: View, low: View) -> View:
    """Return the same for words below half the half width's range: one view for both, its unsigned bounds for all."""
    return view.bound_by_members(w, view.know_leading_bits(w, merge_small(w, a, low)))


def merge_small(w: Words, a: View, low: View) -> View:
    """Return one view of the words of `a` whose low halves are in `low`: all four orders are the same for them."""
    value, mask = tnum.meet(w, a.value, a.mask, w.wide(low.value), w.wide(low.mask))
    least = w.umax(w.umax(a.umin, w.wide(low.umin)), value)
    greatest = w.umin(w.umin(a.umax, w.wide(low.umax)), value | mask)
    least = w.smax(w.smax(a.smin, w.wide_signed(low.smin)), least)
    greatest = w.smin(w.smin(a.smax, w.wide_signed(low.smax)), greatest)
    return View(value, mask, least, greatest, least, greatest)


def is_small(w: Words, a: View) -> bool:
    """Return whether a part shows that every word is below half the half width's range."""
    greatest = w.half.sign - 1
    return (
        w.ule(a.umax, greatest) | w.ule(a.value | a.mask, greatest) | (w.sle(0, a.smin) & w.sle(a.smax, greatest))
    )  # fmt: skip


def zero_extended(w: Words, low: View) -> Scalar:
    """Return the words of half the width, zero-extended: what is known is all in the one view."""
    low = view.tighten(w.half, low)
    return Scalar(*extend(w, low), *low[2:])


# --- makers ----------------------------------------------------------------------------------------------------------


REMEMBERED = 1 << 12
"""Results kept of each of the three functions that cost most: walks of one code ask for the same ones again."""

UNKNOWN = Scalar(*view.unknown(W64), *view.unknown(W64.half)[2:])
"""Any word."""


def constant(v: int) -> Scalar:
    """Return the scalar of one word; any integer, wrapped."""
    return constant_over(W64, v & W64.mask)


def constant_over(w: Words, word: int) -> Scalar:
    """Return the scalar of one word."""
    number, low = w.signed(word), w.low(word)
    low_number = w.half.signed(low)
    return Scalar(word, word & 0, word, word, number, number, low, low, low_number, low_number)


def unsigned(low: int, high: int) -> Scalar:
    """Return the words in low ..= high, both in 0 ..= 2^64 - 1."""
    return reconcile(W64, view.of_unsigned(W64, low, high), view.unknown(W64.half))


def signed(low: int, high: int) -> Scalar:
    """Return the numbers in low ..= high, both in -2^63 ..= 2^63 - 1."""
    return reconcile(W64, view.of_signed(W64, low, high), view.unknown(W64.half))


_OF_WIDTH = {size: unsigned(0, (1 << 8 * size) - 1) for size in (1, 2, 4, 8)}


def of_width(size: int) -> Scalar:
    """Return any `size` bytes (1, 2, 4 or 8), zero-extended."""
    return _OF_WIDTH[size]


# --- operators -------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=REMEMBERED)
def alu(operator: Alu, is64: bool, a: Scalar, b: Scalar) -> Scalar:
    """Return `a operator b`: RFC 9669 section 4.1. MOV gives b, NEG ignores b; 32-bit results are zero-extended."""
    return alu_over(W64, operator, is64, a, b)


def alu_over(w: Words, op: Alu, is64: bool, a: Scalar, b: Scalar) -> Scalar:
    """Return `a op b` in the whole width, or in half of it and zero-extended."""
    if op is Alu.MOV and is64:
        return b
    if w.decide((a.mask == 0) & (b.mask == 0)):
        return _alu_of_constants(w, op, is64, a.value, b.value)
    rule = operators.OPERATORS[op]
    if not is64:
        return zero_extended(w, rule(w.half, half(w, a), half(w, b)))
    if op not in operators.LOW_BITS_SUFFICE or w.decide(is_small(w, whole(a)) & is_small(w, whole(b))):
        return reconcile(w, rule(w, whole(a), whole(b)), view.unknown(w.half))  # low halves would tell nothing new
    return reconcile(w, rule(w, whole(a), whole(b)), rule(w.half, half(w, a), half(w, b)))


def _alu_of_constants(w: Words, op: Alu, is64: bool, x: int, y: int) -> Scalar:
    if is64:
        return constant_over(w, operators.evaluate(w, op, x, y))
    return constant_over(w, w.wide(operators.evaluate(w.half, op, w.low(x), w.low(y))))


def move_sx(bits: int, is64: bool, a: Scalar) -> Scalar:
    """Return a's low `bits` (8, 16 or 32) sign-extended to 64 bits, or to 32 and then zero-extended."""
    return move_sx_over(W64, bits, is64, a)


def move_sx_over(w: Words, bits: int, is64: bool, a: Scalar) -> Scalar:
    """Return a's low `bits`, at most half the width, sign-extended to it or to half of it."""
    sign = 1 << (bits - 1)
    if not is64:
        return zero_extended(w, operators.sign_extended(w.half, half(w, a), sign))
    moved = operators.sign_extended(w, whole(a), sign)
    if bits < w.half.width:
        return reconcile(w, moved, view.unknown(w.half))
    return reconcile(w, moved._replace(smin=w.wide_signed(a.s32min), smax=w.wide_signed(a.s32max)), half(w, a))


def truncate(bits: int, a: Scalar) -> Scalar:
    """Return a's low `bits` (8, 16, 32 or 64), zero-extended."""
    return a if bits == W64.width else truncate_over(W64, bits, a)


def truncate_over(w: Words, bits: int, a: Scalar) -> Scalar:
    """Return a's low `bits`, at most half the width, zero-extended."""
    low = half(w, a)
    return zero_extended(w, low if bits == w.half.width else operators.truncated(w.half, low, (1 << bits) - 1))


def byte_swap(kind: Swap, bits: int, a: Scalar) -> Scalar:
    """Return a's low `bits` (16, 32 or 64) in little-endian order (as they are), big-endian or reversed order."""
    return truncate(bits, a) if kind is Swap.LE else reverse_bytes_over(W64, bits // 8, a)


def reverse_bytes_over(w: Words, size: int, a: Scalar) -> Scalar:
    """Return a's low `size` bytes in reverse order, zero-extended."""
    return reconcile(w, operators.reversed_bytes(w, whole(a), size), view.unknown(w.half))


# --- comparisons -----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=REMEMBERED)
def assume(comparison: Comparison, is64: bool, a: Scalar, b: Scalar) -> tuple[Scalar, Scalar] | None:
    """Return both operands as they are once `a comparison b` holds (in 64 or 32 bits); None if it cannot hold."""
    left, right, possible = assume_over(W64, comparison, is64, a, b)
    return (left, right) if possible else None


def assume_over(w: Words, comparison: Comparison, is64: bool, a: Scalar, b: Scalar) -> tuple[Scalar, Scalar, bool]:
    """Return both operands once `a comparison b` holds, and False if it is seen that it cannot."""
    whole_a, whole_b, half_a, half_b = whole(a), whole(b), half(w, a), half(w, b)
    if is64:
        new_a, new_b, possible = refine(w, comparison, whole_a, whole_b)
        low_a, low_b = half_a, half_b
        if comparison is Condition.EQ:  # then the low halves are equal, too
            low_a, low_b, low_possible = refine(w.half, comparison, half_a, half_b)
            possible = possible & low_possible
    else:
        new_a, new_b = whole_a, whole_b
        low_a, low_b, possible = refine(w.half, comparison, half_a, half_b)
    left, right = updated(w, a, new_a, low_a), updated(w, b, new_b, low_b)
    return left, right, possible & w.no(is_empty(w, left)) & w.no(is_empty(w, right))


def updated(w: Words, before: Scalar, a: View, low: View) -> Scalar:
    """Return the scalar of two views of what was `before`: the same one if neither has changed."""
    if w.decide(w.same(a, whole(before)) & w.half.same(low, half(w, before))):
        return before
    return reconcile(w, a, low)


def is_empty(w: Words, a: Scalar) -> bool:
    """Return whether an interval shows that no word is left."""
    return view.empty(w, whole(a)) | view.empty(w.half, half(w, a))


# --- the lattice -----------------------------------------------------------------------------------------------------


def includes(a: Scalar, b: Scalar) -> bool:
    """Return whether all of b is in a, as far as each part shows it by itself."""
    return a is b or parts_include(W64, a, b)


def parts_include(w: Words, a: Scalar, b: Scalar) -> bool:
    """Return whether each part of a contains that of b."""
    h = w.half
    return (
        w.ule(a.umin, b.umin) & w.ule(b.umax, a.umax)
        & w.sle(a.smin, b.smin) & w.sle(b.smax, a.smax)
        & h.ule(a.u32min, b.u32min) & h.ule(b.u32max, a.u32max)
        & h.sle(a.s32min, b.s32min) & h.sle(b.s32max, a.s32max)
        & tnum.within(w, a.value, a.mask, b.value, b.mask)
    )  # fmt: skip


def join(a: Scalar, b: Scalar) -> Scalar:
    """Return the smallest scalar around both, part by part."""
    return a if a is b or a == b else parts_joined(W64, a, b)


def parts_joined(w: Words, a: Scalar, b: Scalar) -> Scalar:
    """Return the join, part by part."""
    low = view.join(w.half, half(w, a), half(w, b))
    return Scalar(*view.join(w, whole(a), whole(b)), *low[2:])


@lru_cache(maxsize=REMEMBERED)
def meet(a: Scalar, b: Scalar) -> Scalar | None:
    """Return the words in both, or None if a contradiction shows."""
    met, possible = meet_over(W64, a, b)
    return met if possible else None


def meet_over(w: Words, a: Scalar, b: Scalar) -> tuple[Scalar, bool]:
    """Return the words in both, and False if it is seen that there is none."""
    met = reconcile(w, view.meet(w, whole(a), whole(b)), view.meet(w.half, half(w, a), half(w, b)))
    return met, w.no(tnum.disjoint(w, a.value, a.mask, b.value, b.mask) | is_empty(w, met))


def contains(a: Scalar, concrete: int) -> bool:
    """Return whether a word (0 ..= 2^64 - 1) is in a."""
    return parts_contain(W64, a, concrete)


def parts_contain(w: Words, a: Scalar, x: int) -> bool:
    """Return whether a word is in every part: the definition of a scalar."""
    h, number, low = w.half, w.signed(x), w.low(x)
    low_number = h.signed(low)
    return (
        (x & (a.mask ^ w.mask) == a.value)
        & w.ule(a.umin, x) & w.ule(x, a.umax) & w.sle(a.smin, number) & w.sle(number, a.smax)
        & h.ule(a.u32min, low) & h.ule(low, a.u32max) & h.sle(a.s32min, low_number) & h.sle(low_number, a.s32max)
    )  # fmt: skip


def widen(old: Scalar, new: Scalar, thresholds: Iterable[int] = ()) -> Scalar:
    """Return a scalar around both that a growing sequence leaves unchanged after few steps.

    A bound that grew moves on to the next of `thresholds` (numbers that the program compares with, signed or not) or
    of the extremes of 32 and 64 bits; where a bit became unknown all higher ones do, which keeps strides. The parts
    are left as they are, not reconciled: a bound pulled back would be pushed again, and the sequence need not end.
    """
    joined = join(old, new)
    if joined == old:
        return old
    return parts_widened(W64, old, joined, thresholds)


def parts_widened(w: Words, old: Scalar, new: Scalar, thresholds: Iterable[int]) -> Scalar:
    """Return the widening of `old` by the greater `new`, part by part."""
    h = w.half
    marks = sorted({*thresholds, 0, -1, h.sign - 1, -h.sign, h.mask, w.sign - 1, -w.sign, w.mask})
    words, numbers = [t for t in marks if 0 <= t <= w.mask], [t for t in marks if -w.sign <= t < w.sign]
    low_words, low_numbers = [t for t in words if t <= h.mask], [t for t in numbers if -h.sign <= t < h.sign]
    grown = new.mask & (old.mask ^ w.mask)
    mask = (new.mask | -(grown & -grown)) & w.mask
    return Scalar(
        new.value & (mask ^ w.mask), mask,
        down(w, w.ule, old.umin, new.umin, words), up(w, w.ule, old.umax, new.umax, words),
        down(w, w.sle, old.smin, new.smin, numbers), up(w, w.sle, old.smax, new.smax, numbers),
        down(h, h.ule, old.u32min, new.u32min, low_words), up(h, h.ule, old.u32max, new.u32max, low_words),
        down(h, h.sle, old.s32min, new.s32min, low_numbers), up(h, h.sle, old.s32max, new.s32max, low_numbers),
    )  # fmt: skip


def up(w: Words, at_most: Callable[[int, int], bool], old: int, new: int, marks: Sequence[int]) -> int:
    """Return `old` if that bounds `new` from above, else the least mark that does; the last of the marks must."""
    bound = marks[-1]
    for mark in reversed(marks):
        bound = w.ite(at_most(new, mark), mark, bound)
    return w.ite(at_most(new, old), old, bound)


def down(w: Words, at_most: Callable[[int, int], bool], old: int, new: int, marks: Sequence[int]) -> int:
    """Return `old` if that bounds `new` from below, else the greatest mark that does; the first of the marks must."""
    bound = marks[0]
    for mark in marks:
        bound = w.ite(at_most(mark, new), mark, bound)
    return w.ite(at_most(old, new), old, bound)


# --- words for people ------------------------------------------------------------------------------------------------


def describe(a: Scalar) -> str:
    """Return what is known, for a message: `7`, `-3..=12`, `0..=504, a multiple of 8`, `any value`."""
    if a.is_constant:
        return str(a.smin)
    facts = [text for text in (_range_text(a), _stride_text(a)) if text]
    if not facts and (a.u32max - a.u32min < W64.half.mask or a.s32max - a.s32min < W64.half.mask):
        low = (a.s32min, a.s32max) if a.s32max - a.s32min < a.u32max - a.u32min else (a.u32min, a.u32max)
        facts.append(f"low 32 bits {low[0]}..={low[1]}")
    return ", ".join(facts) or "any value"


_SAYS_NOTHING = 3 << 62
"""A range of so many words is not worth a reader's attention."""


def _range_text(a: Scalar) -> str:
    if min(a.umax - a.umin, a.smax - a.smin) > _SAYS_NOTHING:
        return ""
    if a.smax - a.smin <= a.umax - a.umin:
        return f"{a.smin}..={a.smax}"
    return f"{a.umin}..={a.umax}"


def _stride_text(a: Scalar) -> str:
    stride = a.mask & -a.mask
    if stride == 1:
        return ""
    rest = a.value & (stride - 1)
    return f"{rest} more than a multiple of {stride}" if rest else f"a multiple of {stride}"
