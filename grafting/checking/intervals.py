"""Intervals of integers, and what the operators of the language make of them.

An `Interval` is a non-empty set of whole numbers `low ..= high`: the values that an expression of one integer type may
have, as numbers, not as bits. Every function here is *sound*: if `x` lies in `a` and `y` in `b`, then the value that
the language gives `x op y` lies in `arithmetic(op, a, b, type)`. `tests/test_ranges.py` states that as a theorem and
tries it against the operators themselves. None stands for the empty set: a condition that cannot hold.

Wrapping: the exact result is computed without bounds, then `wrapped` brings it into the type. An interval that does
not straddle a wrapping point is moved as a whole; one that does may be anything.

    0..=10 minus 1..=1 as u64:   -1..=9 straddles 0, so any u64
    0..=10 minus 11..=11:        -11..=-1 moves to 2^64-11 ..= 2^64-1
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from grafting.types import BoolType, IntType, Scalar, register_type


@dataclass(frozen=True, slots=True)
class Interval:
    """The whole numbers from `low` to `high`, both included; `low <= high`."""

    low: int
    high: int

    @property
    def single(self) -> int | None:
        """The only value, or None if there are several."""
        return self.low if self.low == self.high else None

    def within(self, other: Interval) -> bool:
        """Tell whether every value of this one is one of `other`."""
        return other.low <= self.low and self.high <= other.high

    def join(self, other: Interval) -> Interval:
        """Return the least interval that contains both."""
        return Interval(min(self.low, other.low), max(self.high, other.high))

    def meet(self, other: Interval) -> Interval | None:
        """Return the values that are in both, None if there are none."""
        return between(max(self.low, other.low), min(self.high, other.high))

    def __str__(self) -> str:
        return str(self.low) if self.low == self.high else f"{self.low}..={self.high}"


def between(low: int, high: int) -> Interval | None:
    """Return `low ..= high`, or None if that is empty."""
    return Interval(low, high) if low <= high else None


def whole(type_: Scalar) -> Interval:
    """Return every value of a type; bool is 0 and 1, an enum has every value of its representation."""
    register = register_type(type_)
    return Interval(0, 1) if isinstance(register, BoolType) else Interval(register.minimum, register.maximum)


def wrapped(exact: Interval, type_: IntType) -> Interval:
    """Return the values of `type_` that the exact results become by wrapping."""
    span = 1 << type_.bits
    lap = (exact.low - type_.minimum) // span
    if lap != (exact.high - type_.minimum) // span:
        return whole(type_)
    return Interval(exact.low - lap * span, exact.high - lap * span)


# --- operators -------------------------------------------------------------------------------------------------------


def arithmetic(op: str, a: Interval, b: Interval, type_: IntType) -> Interval:
    """Return what `x op y` may be, `op` one of + - * / % & | ^ << >>, the result being of `type_`."""
    match op:
        case "+":
            return wrapped(Interval(a.low + b.low, a.high + b.high), type_)
        case "-":
            return wrapped(Interval(a.low - b.high, a.high - b.low), type_)
        case "*":
            return wrapped(_hull(x * y for x in (a.low, a.high) for y in (b.low, b.high)), type_)
        case "/":
            return _quotient(a, b, type_)
        case "%":
            return _remainder(a, b, type_)
        case "&":
            return _conjunction(a, b, type_)
        case "|" | "^":
            return _disjunction(op, a, b, type_)
        case "<<":
            return _shifted_left(a, b, type_)
        case _:
            return _shifted_right(a, b, type_)


def negated(a: Interval, type_: IntType) -> Interval:
    """Return what `-x` may be."""
    return wrapped(Interval(-a.high, -a.low), type_)


def inverted(a: Interval, type_: IntType) -> Interval:
    """Return what `~x` may be: -1 - x, wrapped."""
    return wrapped(Interval(-1 - a.high, -1 - a.low), type_)


def converted(a: Interval, to: Scalar) -> Interval:
    """Return what `x as T` may be."""
    register = register_type(to)
    if not isinstance(register, BoolType):
        return wrapped(a, register)
    if a.low <= 0 <= a.high:
        return Interval(0, int(a != Interval(0, 0)))
    return Interval(1, 1)


def _hull(values: Iterable[int]) -> Interval:
    numbers = list(values)
    return Interval(min(numbers), max(numbers))


def _quotient(a: Interval, b: Interval, type_: IntType) -> Interval:
    """Truncated division; x / 0 is 0. On each side of 0 the extremes are at the ends of both operands."""
    divisors = [d for d in (b.low, b.high, -1, 1) if d != 0 and b.low <= d <= b.high]
    results = [_truncated(x, d) for x in (a.low, a.high) for d in divisors]
    if a.low <= 0 <= a.high or b.low <= 0 <= b.high:
        results.append(0)
    return wrapped(_hull(results), type_)


def _truncated(x: int, d: int) -> int:
    quotient = abs(x) // abs(d)
    return quotient if (x < 0) == (d < 0) else -quotient


def _remainder(a: Interval, b: Interval, type_: IntType) -> Interval:
    """The sign is the dividend's and the size at most the dividend's; x % 0 is x."""
    low, high = min(a.low, 0), max(a.high, 0)
    if b.low <= 0 <= b.high:
        return Interval(low, high)
    largest = max(abs(b.low), abs(b.high)) - 1
    if a.low >= 0 and a.high < min(abs(b.low), abs(b.high)):
        return a
    return Interval(max(low, -largest), min(high, largest))


def _conjunction(a: Interval, b: Interval, type_: IntType) -> Interval:
    """A conjunction with a number that is not negative lies between 0 and that number."""
    limits = [x.high for x in (a, b) if x.low >= 0]
    return Interval(0, min(limits)) if limits else whole(type_)


def _disjunction(op: str, a: Interval, b: Interval, type_: IntType) -> Interval:
    """No bit above the highest of either operand is set; `|` is at least the greater operand."""
    if a.low < 0 or b.low < 0:
        return whole(type_)
    bits = max(a.high.bit_length(), b.high.bit_length())
    return Interval(max(a.low, b.low) if op == "|" else 0, (1 << bits) - 1)


def _amounts(b: Interval, type_: IntType) -> Interval:
    """The effective shift amounts: modulo the width."""
    top = type_.bits - 1
    return b if b.low >= 0 and b.high <= top else Interval(0, top)


def _shifted_left(a: Interval, b: Interval, type_: IntType) -> Interval:
    by = _amounts(b, type_)
    return wrapped(_hull(x << n for x in (a.low, a.high) for n in (by.low, by.high)), type_)


def _shifted_right(a: Interval, b: Interval, type_: IntType) -> Interval:
    """Arithmetic on signed types; the numbers being exact, one rule does for both."""
    by = _amounts(b, type_)
    return _hull(x >> n for x in (a.low, a.high) for n in (by.low, by.high))


# --- conditions ------------------------------------------------------------------------------------------------------

CONTRARY = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
MIRRORED = {"==": "==", "!=": "!=", "<": ">", ">": "<", "<=": ">=", ">=": "<="}


def constrained(a: Interval, op: str, b: Interval) -> Interval | None:
    """Return the values `x` of `a` for which `x op y` holds for some `y` of `b`; None if there are none."""
    match op:
        case "==":
            return a.meet(b)
        case "!=":
            if b.single is None:
                return a
            return between(a.low + (a.low == b.single), a.high - (a.high == b.single))
        case "<":
            return between(a.low, min(a.high, b.high - 1))
        case "<=":
            return between(a.low, min(a.high, b.high))
        case ">":
            return between(max(a.low, b.low + 1), a.high)
        case _:
            return between(max(a.low, b.low), a.high)
