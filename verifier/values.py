"""What a register or a stack slot may hold: a number, a pointer into a region, a map's handle, or nothing usable.

Values are immutable tuples, so that unchanged ones are shared between states and compared by identity first.
"""

from __future__ import annotations

from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from verifier.pointers import Region
from verifier.scalar import UNKNOWN, Scalar, constant, of_width
from verifier.terms import ZERO, Terms, wrap


class Number(NamedTuple):
    """A plain number: its possible words, and its name `symbol + delta` (see `terms`)."""

    scalar: Scalar
    symbol: int
    delta: int


class Pointer(NamedTuple):
    """The address `offset` bytes from a region's base; the offset is a number: possible words and name."""

    region: Region
    scalar: Scalar
    symbol: int
    delta: int


class Handle(NamedTuple):
    """A map itself, as `lddw` loads it: one of the maps of these numbers, ascending."""

    maps: tuple[int, ...]


class Unusable(Enum):
    """Why a place that was written cannot be read as a value."""

    CLASH = "holds values of different kinds on the paths that meet here"
    SEVERED = "holds parts of a pointer"


Value = Number | Pointer | Handle | Unusable | None
"""None: not initialised."""


@lru_cache(maxsize=1 << 14)
def literal(word: int) -> Number:
    """Return the number that is one word."""
    return Number(constant(word), ZERO, wrap(word))


def unknown(terms: Terms, scalar: Scalar = UNKNOWN) -> Number:
    """Return a number of which nothing but its possible words is known."""
    return Number(scalar, terms.fresh(), 0)


def loaded(terms: Terms, size: int) -> Number:
    """Return any `size` bytes, zero-extended."""
    return Number(of_width(size), terms.fresh(), 0)
