"""The arithmetic operators on views of one width: RFC 9669 sections 4.1 to 4.2, for all words that a view stands for.

`OPERATORS[op](w, a, b)` returns a view that contains `x op y` for every x in a and y in b. A 32-bit operation is the
same function over 32-bit words. Each operator computes every part of the view that it can say something about, from
the parts of its operands, and leaves the rest unknown; `view.tighten` fills it in.

`evaluate(w, op, x, y)` is the operator on two words. The rules in which the instruction set differs from C:
x / 0 is 0; x % 0 is x; -2^(W-1) / -1 is -2^(W-1) and its remainder 0; a shift amount counts modulo W.
"""

from __future__ import annotations

from collections.abc import Callable

from grafting.isa import Alu
from verifier import interval, tnum
from verifier.view import View, choose, of_signed, of_tnum, of_unsigned
from verifier.words import Words


def _add(w: Words, a: View, b: View) -> View:
    return View(
        *tnum.add(w, a.value, a.mask, b.value, b.mask),
        *interval.add(w, a.umin, a.umax, b.umin, b.umax),
        *interval.signed_add(w, a.smin, a.smax, b.smin, b.smax),
    )


def _sub(w: Words, a: View, b: View) -> View:
    return View(
        *tnum.sub(w, a.value, a.mask, b.value, b.mask),
        *interval.sub(w, a.umin, a.umax, b.umin, b.umax),
        *interval.signed_sub(w, a.smin, a.smax, b.smin, b.smax),
    )


def _neg(w: Words, a: View, b: View) -> View:
    zero = b.value & 0
    return _sub(w, View(zero, zero, zero, zero, zero, zero), a)


def _mov(w: Words, a: View, b: View) -> View:
    return b


def _and(w: Words, a: View, b: View) -> View:
    bits = tnum.bit_and(a.value, a.mask, b.value, b.mask)
    return View(*bits, 0, w.umin(a.umax, b.umax), -w.sign, w.sign - 1)


def _or(w: Words, a: View, b: View) -> View:
    bits = tnum.bit_or(a.value, a.mask, b.value, b.mask)
    return View(*bits, w.umax(a.umin, b.umin), w.mask, -w.sign, w.sign - 1)


def _xor(w: Words, a: View, b: View) -> View:
    return of_tnum(w, tnum.bit_xor(w, a.value, a.mask, b.value, b.mask))


# Products: monotone in each operand on either side of 0, so the extremes are at the corners, if none of these wraps.


def _mul(w: Words, a: View, b: View) -> View:
    fits = w.umul_fits(a.umax, b.umax)
    low, high = w.ite(fits, a.umin * b.umin & w.mask, 0), w.ite(fits, a.umax * b.umax & w.mask, w.mask)
    slow, shigh = _signed_products(w, a, b)
    return View(*tnum.mul(w, a.value, a.mask, b.value, b.mask), low, high, slow, shigh)


def _signed_products(w: Words, a: View, b: View) -> interval.Interval:
    fits = (
        w.smul_fits(a.smin, b.smin) & w.smul_fits(a.smin, b.smax)
        & w.smul_fits(a.smax, b.smin) & w.smul_fits(a.smax, b.smax)
    )  # fmt: skip
    one, two, three, four = a.smin * b.smin, a.smin * b.smax, a.smax * b.smin, a.smax * b.smax
    low = w.smin(w.smin(one, two), w.smin(three, four))
    high = w.smax(w.smax(one, two), w.smax(three, four))
    return w.ite(fits, low, -w.sign), w.ite(fits, high, w.sign - 1)


# Quotients and remainders of words. Divisors are raised to at least 1 to divide by; that 0 is among them is handled.


def _div(w: Words, a: View, b: View) -> View:
    may_be_zero = b.umin == 0
    high = w.ite(b.umax == 0, 0, w.udiv(a.umax, w.umax(b.umin, 1)))
    low = w.ite(may_be_zero, 0, w.udiv(a.umin, w.umax(b.umax, 1)))
    return of_unsigned(w, low, high)


def _mod(w: Words, a: View, b: View) -> View:
    # Below the divisor, if that is not 0; at most the dividend; and the dividend itself, if it is below every divisor.
    below = w.umin(a.umax, w.umax(b.umax, 1) - 1)
    high = w.ite(b.umin == 0, a.umax, below)
    bits = tnum.low_bits_of(w, a.value, a.mask, b.value, b.mask)
    same = w.ult(a.umax, b.umin) | (b.umax == 0)
    return choose(w, same, a, View(*bits, 0, high, -w.sign, w.sign - 1))


# Signed quotients: the divisors below 0, the divisor 0 and the divisors above 0, each on its own; the last and the
# first are monotone in each operand on either side of 0, so that corners bound them.


def _sdiv(w: Words, a: View, b: View) -> View:
    nlow, nhigh = _quotients(w, a, w.smin(b.smin, -1), w.smin(b.smax, -1))
    plow, phigh = _quotients(w, a, w.smax(b.smin, 1), w.smax(b.smax, 1))
    negative, positive = w.slt(b.smin, 0), w.slt(0, b.smax)
    zero = w.sle(b.smin, 0) & w.sle(0, b.smax)
    greatest, least = w.sign - 1, -w.sign
    low = w.smin(w.ite(negative, nlow, greatest), w.smin(w.ite(positive, plow, greatest), w.ite(zero, 0, greatest)))
    high = w.smax(w.ite(negative, nhigh, least), w.smax(w.ite(positive, phigh, least), w.ite(zero, 0, least)))
    wraps = w.sle(a.smin, least) & w.sle(b.smin, -1) & w.sle(-1, b.smax)
    return of_signed(w, w.ite(wraps, least, low), w.ite(wraps, greatest, high))


def _quotients(w: Words, a: View, least: int, greatest: int) -> interval.Interval:
    """Return the bounds of a / d for d of one sign in [least, greatest]."""
    one, two = w.sdiv(a.smin, least), w.sdiv(a.smin, greatest)
    three, four = w.sdiv(a.smax, least), w.sdiv(a.smax, greatest)
    low = w.smin(w.smin(one, two), w.smin(three, four))
    return low, w.smax(w.smax(one, two), w.smax(three, four))


def _smod(w: Words, a: View, b: View) -> View:
    # Of the dividend's sign, no further from 0 than it, and closer to 0 than the divisor, if that is not 0.
    low, high = w.smin(a.smin, 0), w.smax(a.smax, 0)
    furthest = w.umax(_magnitude(w, b.smin), _magnitude(w, b.smax))
    closer = w.signed((w.umax(furthest, 1) - 1) & w.mask)
    nonzero = w.slt(0, b.smin) | w.slt(b.smax, 0)
    low = w.ite(nonzero, w.smax(low, -closer), low)
    high = w.ite(nonzero, w.smin(high, closer), high)
    bits = tnum.low_bits_of(w, a.value, a.mask, b.value, b.mask)
    same = w.sle(0, a.smin) & w.slt(a.smax, b.smin)
    return choose(w, same, a, View(*bits, 0, w.mask, low, high))


def _magnitude(w: Words, s: int) -> int:
    """Return the absolute value of a signed number, as a word."""
    return w.ite(w.slt(s, 0), -s & w.mask, s & w.mask)


# Shifts by an amount between `least` and `greatest`, both in 0 ..= W - 1; the bits are exact if there is one amount.


def _amounts(w: Words, b: View) -> interval.Interval:
    low, high = b.value & (w.width - 1), (b.value | b.mask) & (w.width - 1)
    in_range = w.ule(b.umax, w.width - 1)
    return w.ite(in_range, w.umax(b.umin, low), low), w.ite(in_range, w.umin(b.umax, high), high)


def _lsh(w: Words, a: View, b: View) -> View:
    least, greatest = _amounts(w, b)
    value, mask = tnum.shift_left(w, a.value, a.mask, least)
    multiple = tnum.multiple_of_lowest(w, value, mask)
    one = least == greatest
    low, high = w.shl(a.umin, least), w.shl(a.umax, greatest)
    fits = w.lshr(high, greatest) == a.umax
    slow, shigh = w.signed(w.shl(a.smin, greatest)), w.signed(w.shl(a.smax, greatest))
    sfits = (w.ashr(slow, greatest) == a.smin) & (w.ashr(shigh, greatest) == a.smax)
    slow = w.ite(w.slt(a.smin, 0), slow, w.signed(w.shl(a.smin, least)))
    shigh = w.ite(w.slt(a.smax, 0), w.signed(w.shl(a.smax, least)), shigh)
    return View(
        w.ite(one, value, multiple[0]), w.ite(one, mask, multiple[1]),
        w.ite(fits, low, 0), w.ite(fits, high, w.mask),
        w.ite(sfits, slow, -w.sign), w.ite(sfits, shigh, w.sign - 1),
    )  # fmt: skip


def _rsh(w: Words, a: View, b: View) -> View:
    least, greatest = _amounts(w, b)
    value, mask = tnum.shift_right(w, a.value, a.mask, least)
    one = least == greatest
    return View(
        w.ite(one, value, 0), w.ite(one, mask, w.mask),
        w.lshr(a.umin, greatest), w.lshr(a.umax, least), -w.sign, w.sign - 1,
    )  # fmt: skip


def _arsh(w: Words, a: View, b: View) -> View:
    least, greatest = _amounts(w, b)
    value, mask = tnum.shift_right_signed(w, a.value, a.mask, least)
    one = least == greatest
    low = w.ite(w.slt(a.smin, 0), w.ashr(a.smin, least), w.ashr(a.smin, greatest))
    high = w.ite(w.slt(a.smax, 0), w.ashr(a.smax, greatest), w.ashr(a.smax, least))
    return View(w.ite(one, value, 0), w.ite(one, mask, w.mask), 0, w.mask, low, high)


OPERATORS: dict[Alu, Callable[[Words, View, View], View]] = {
    Alu.ADD: _add, Alu.SUB: _sub, Alu.MUL: _mul, Alu.DIV: _div, Alu.OR: _or, Alu.AND: _and, Alu.LSH: _lsh,
    Alu.RSH: _rsh, Alu.NEG: _neg, Alu.MOD: _mod, Alu.XOR: _xor, Alu.MOV: _mov, Alu.ARSH: _arsh, Alu.SDIV: _sdiv,
    Alu.SMOD: _smod,
}  # fmt: skip

LOW_BITS_SUFFICE = frozenset({Alu.ADD, Alu.SUB, Alu.MUL, Alu.AND, Alu.OR, Alu.XOR, Alu.NEG, Alu.MOV})
"""Operators whose result's low bits depend on the operands' low bits alone."""


def sign_extended(w: Words, a: View, sign: int) -> View:
    """Return what `sign_extend(x, sign)` may be, `sign` being a power of two (the sign bit extended from)."""
    low = 2 * sign - 1
    blow, bhigh = interval.low_bits(w, a.umin, a.umax, low, sign)
    slow, shigh = interval.low_bits(w, a.smin & w.mask, a.smax & w.mask, low, sign)
    bits = tnum.sign_extend(w, a.value & low, a.mask & low, sign)
    least, greatest = w.umax(blow, slow), w.umin(bhigh, shigh)
    return View(*bits, 0, w.mask, least - sign, greatest - sign)


def truncated(w: Words, a: View, low: int) -> View:
    """Return what `x & low` may be, `low` being all ones up to some bit."""
    first = interval.low_bits(w, a.umin, a.umax, low, 0)
    second = interval.low_bits(w, a.smin & w.mask, a.smax & w.mask, low, 0)
    least, greatest = w.umax(first[0], second[0]), w.umin(first[1], second[1])
    return View(a.value & low, a.mask & low, least, greatest, -w.sign, w.sign - 1)


def reversed_bytes(w: Words, a: View, size: int) -> View:
    """Return what the low `size` bytes in reverse order may be, zero-extended."""
    return of_tnum(w, (w.reverse_bytes(a.value, size), w.reverse_bytes(a.mask, size)))


def evaluate(w: Words, op: Alu, x: int, y: int) -> int:
    """Return `x op y` for two words."""
    return _EVALUATE[op](w, x, y)


def _evaluate_sdiv(w: Words, x: int, y: int) -> int:
    divisor = w.ite(y == 0, 1, w.signed(y))
    return w.ite(y == 0, 0, w.sdiv(w.signed(x), divisor) & w.mask)


def _evaluate_smod(w: Words, x: int, y: int) -> int:
    return (x - _evaluate_sdiv(w, x, y) * y) & w.mask


_EVALUATE: dict[Alu, Callable[[Words, int, int], int]] = {
    Alu.ADD: lambda w, x, y: x + y & w.mask,
    Alu.SUB: lambda w, x, y: x - y & w.mask,
    Alu.MUL: lambda w, x, y: x * y & w.mask,
    Alu.DIV: lambda w, x, y: w.ite(y == 0, 0, w.udiv(x, w.umax(y, 1))),
    Alu.OR: lambda w, x, y: x | y,
    Alu.AND: lambda w, x, y: x & y,
    Alu.LSH: lambda w, x, y: w.shl(x, y & (w.width - 1)),
    Alu.RSH: lambda w, x, y: w.lshr(x, y & (w.width - 1)),
    Alu.NEG: lambda w, x, y: -x & w.mask,
    Alu.MOD: lambda w, x, y: w.ite(y == 0, x, w.urem(x, w.umax(y, 1))),
    Alu.XOR: lambda w, x, y: x ^ y,
    Alu.MOV: lambda w, x, y: y,
    Alu.ARSH: lambda w, x, y: w.ashr(w.signed(x), y & (w.width - 1)) & w.mask,
    Alu.SDIV: _evaluate_sdiv,
    Alu.SMOD: _evaluate_smod,
}
