"""Real data for workloads: the names of the Unicode characters as text, as words, and as a table of keys.

All of it comes from the `unicodedata` of the Python that runs (Unicode 14 in Python 3.11: 138,552 names, some 4 MB), so
nothing is downloaded and nothing large is kept; the Unicode licence allows it. `btree` uses the same names.
"""

from __future__ import annotations

import sys
import unicodedata
from collections import Counter
from dataclasses import dataclass
from functools import cache, lru_cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from kernel_model.workloads import btree

NUMBER = 8  # bytes of a block's number, at its front
SOURCE = f"character names of Unicode {unicodedata.unidata_version}"


@cache
def names() -> tuple[str, ...]:
    """Return the names of all characters, in code point order."""
    return tuple(name for code in range(sys.maxunicode + 1) if (name := unicodedata.name(chr(code), "")))


@lru_cache(maxsize=1)
def text() -> bytes:
    """Return all names, a line each."""
    return "\n".join(names()).encode()


def sectors(count: int, size: int) -> bytes:
    """Return `count` blocks of `size` bytes of the text, from its beginning and over again."""
    whole = np.resize(np.frombuffer(text(), np.uint8), count * size)
    return whole.tobytes()


def numbered(count: int, size: int) -> bytes:
    """Return `count` blocks of `size` bytes that begin with their own number (u64), the rest being text."""
    blocks = np.frombuffer(sectors(count, size), np.uint8).reshape(count, size).copy()
    blocks[:, :NUMBER] = np.arange(count, dtype="<u8").view(np.uint8).reshape(count, NUMBER)
    return blocks.tobytes()


def lines(count: int, size: int) -> NDArray[np.uint8]:
    """Return `count` names, each cut or filled with zeros to `size` bytes, as uint8 (count, size)."""
    out = np.zeros((count, size), np.uint8)
    all_names = names()
    for row in range(count):
        name = all_names[row % len(all_names)].encode()[:size]
        out[row, : len(name)] = np.frombuffer(name, np.uint8)
    return out


@lru_cache(maxsize=1)
def keys() -> NDArray[np.uint64]:
    """Return the BLAKE2b keys of all names, in code point order."""
    return np.array([key for key, _ in btree.unicode_names()], np.uint64)


@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """All words of the names: `spelled` in alphabetical order, `frequency[i]` of word i in the text."""

    spelled: tuple[str, ...]
    frequency: NDArray[np.int64]

    def digest(self, number: int, size: int) -> bytes:
        """Return `size` (<= 64) bytes that belong to a word: its BLAKE2b digest."""
        return blake2b(self.spelled[number].encode(), digest_size=size).digest()

    def stream(self, count: int, seed: int) -> NDArray[np.int64]:
        """Return the numbers of `count` words, drawn as often as they stand in the text, which is Zipf-like."""
        ends = np.cumsum(self.frequency)
        return np.searchsorted(ends, np.random.default_rng([seed, 0x21F]).integers(ends[-1], size=count), side="right")

    def commonest(self, count: int) -> NDArray[np.int64]:
        """Return the numbers of the `count` commonest words."""
        return np.argsort(-self.frequency, kind="stable")[:count]


@lru_cache(maxsize=1)
def words_of_names() -> Words:
    """Return the words of all names."""
    counted = Counter(word for name in names() for word in name.replace("-", " ").split())
    spelled = tuple(sorted(counted))
    return Words(spelled, np.array([counted[word] for word in spelled], np.int64))
