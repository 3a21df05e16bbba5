"""A small hot module for the tests of whole-program compilation: rows, numbers, bytes, tables within tables."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from jit.hot import constant, hot, inlined, rare
from jit.words import bit_length, i64, load64, store64, u64

STEP: Final = 3
FAR: Final = 40
TOP: Final = constant(1 << 63)
ITEM = np.dtype(
    [("value", np.int64), ("next", np.int64), ("word", np.uint64), ("small", np.uint8), ("short", np.int16)]
)


class Inner(NamedTuple):
    numbers: Any
    bytes: Any


class Outer(NamedTuple):
    items: Any
    grid: Any
    inner: Inner


def tables() -> Outer:
    """Ten items in a list, a grid of three columns, eight numbers, 64 bytes."""
    items = np.zeros(10, ITEM)
    items["value"] = np.arange(10) * 7 - 20
    items["next"] = [*range(1, 10), -1]
    items["word"] = np.arange(10, dtype=np.uint64) + np.uint64(1 << 63)
    return Outer(items, np.zeros((4, 3), np.int64), Inner(np.zeros(8, np.uint64), np.zeros(64, np.uint8)))


@inlined
def add(k: Outer, row: int, column: int, amount: int) -> None:
    k.grid[row, column] += amount


@hot
def bump(table: Any, row: int) -> int:
    """Tables are passed as arguments too."""
    item = table[row]
    item["small"] = item["small"] + STEP
    item["short"] = -item["value"]
    return int(item["next"])


@rare
def overflow(k: Outer, row: int) -> None:
    """What a walk hardly ever comes to."""
    k.grid[0, 0] -= row


@hot
def walk(k: Outer, first: int, limit: int) -> tuple[int, int]:
    """Follow the list from `first` for at most `limit` items; return (items, sum of values)."""
    seen, total = 0, 0
    row = first
    while row != -1 and seen < limit:
        total += k.items[row]["value"]
        add(k, row % k.grid.shape[0], seen % STEP, k.items[row]["value"])
        seen += 1
        if k.items[row]["value"] > FAR:
            overflow(k, row)
        row = bump(k.items, row)
    return seen, total


@hot
def mix(k: Outer, row: int) -> int:
    """Unsigned words, and bytes."""
    inner = k.inner
    word = u64(k.items[row]["word"])
    inner.numbers[row & 7] = word ^ TOP
    store64(inner.bytes, 8, word)
    return i64(load64(inner.bytes, 8) ^ u64(inner.numbers[row & 7]))


@hot
def bits(k: Outer, value: int) -> int:
    """Bits of a word."""
    return bit_length(value) + STEP


@hot
def turn(k: Outer, row: int) -> int:
    """A variable is unsigned and then signed."""
    word = u64(k.items[row]["word"]) >> u64(1)
    if word > u64(STEP):
        word = i64(word) - 1
        return int(word)
    return int(i64(word))


@hot
def clear(k: Outer) -> None:
    """Nothing is returned."""
    for row in range(k.items.shape[0]):
        k.items[row]["value"] = 0
