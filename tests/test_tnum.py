"""Tristate numbers on small widths, exhaustively: what z3 does not say, namely that they are the best possible."""

from collections.abc import Callable, Iterator
from itertools import product

import pytest

from verifier import tnum
from verifier.words import Words

W = Words(4)
TNUMS = [(value, mask) for mask in range(16) for value in range(16) if not value & mask]


def members(t: tnum.Tnum) -> list[int]:
    return [x for x in range(16) if x & ~t[1] & 15 == t[0]]


def best(words: Iterator[int]) -> tnum.Tnum:
    known = list(words)
    ones = zeros = 15
    for x in known:
        ones, zeros = ones & x, zeros & ~x
    return ones, 15 & ~(ones | zeros)


BEST: dict[str, tuple[Callable[..., tnum.Tnum], Callable[[int, int], int]]] = {
    "add": (tnum.add, lambda x, y: x + y & 15),
    "sub": (tnum.sub, lambda x, y: x - y & 15),
    "and": (lambda w, *operands: tnum.bit_and(*operands), lambda x, y: x & y),
    "or": (lambda w, *operands: tnum.bit_or(*operands), lambda x, y: x | y),
    "xor": (tnum.bit_xor, lambda x, y: x ^ y),
}


@pytest.mark.parametrize("name", BEST)
def test_an_operator_is_the_best_possible(name: str) -> None:
    abstract, concrete = BEST[name]
    for a, b in product(TNUMS, TNUMS):
        assert abstract(W, *a, *b) == best(concrete(x, y) for x in members(a) for y in members(b)), (a, b)


def test_join_is_the_best_possible() -> None:
    for a, b in product(TNUMS, TNUMS):
        assert tnum.join(W, *a, *b) == best(iter(members(a) + members(b)))


def test_within_and_disjoint_are_exact() -> None:
    for a, b in product(TNUMS, TNUMS):
        assert tnum.within(W, *a, *b) == (set(members(b)) <= set(members(a)))
        assert tnum.disjoint(W, *a, *b) == (not set(members(a)) & set(members(b)))


def test_multiplication_contains_all_products_and_knows_their_low_bits() -> None:
    for a, b in product(TNUMS, TNUMS):
        products = {x * y & 15 for x in members(a) for y in members(b)}
        result = tnum.mul(W, *a, *b)
        assert products <= set(members(result))
        if len(members(a)) == len(members(b)) == 1:
            assert products == set(members(result))


def test_the_nearest_members_inside_bounds_are_found() -> None:
    for t, limit in product(TNUMS, range(16)):
        below = [x for x in members(t) if x <= limit]
        above = [x for x in members(t) if x >= limit]
        if below:
            assert tnum.greatest_up_to(W, *t, limit) == max(below)
        if above:
            assert tnum.least_from(W, *t, limit) == min(above)


def test_a_range_is_its_common_leading_bits() -> None:
    for low in range(16):
        for high in range(low, 16):
            assert tnum.of_range(W, low, high) == best(iter(range(low, high + 1)))
