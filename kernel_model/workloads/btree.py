"""B-tree images from real data: what the servers of the `btree` workload read.

An image is a file of 512-byte blocks, one node a block, in level order: block 0 is the root, the last level holds the
leaves. The node is the `Node` of `samples/btree_lookup.graft`, little-endian:

    leaf u32 | count u32 | keys [u64; 31] | child [u64; 31] | 8 bytes of padding

In an inner node `child[i]` is the block for keys in [keys[i], keys[i+1]), `keys[0]` being the least key below it; in a
leaf `child[i]` is the value of `keys[i]`. So one rule walks every level: the last i with keys[i] <= key, else 0.

The records are the character names that `unicodedata` knows (138,552 in Unicode 14): the key is the name's 64-bit
BLAKE2b digest, the value its code point. `plan` chooses the fan-out so that the tree has **exactly** the depth asked
for: the least fan-out that holds all records in `depth` levels, if they do not fit in fewer; else the next smaller
fan-out, and the records are trimmed to what it holds. So depth 8 has fan-out 5 and all records, depth 1 the first 31.

*Depth* is the number of nodes read from root to leaf, the leaf included: one read at depth 1.

`lookup` is the oracle: plain Python over the bytes of the file, sharing nothing with the builder but the layout.
"""

from __future__ import annotations

import struct
import sys
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grafting.diagnostics import fail

FANOUT = 31  # keys that a node has room for
NODE_BYTES = 504
BLOCK_BYTES = 512  # a disk's sector
MIN_FANOUT = 2
ROOT = 0  # block number of the root

NODE = np.dtype(
    {
        "names": ["leaf", "count", "keys", "child"],
        "formats": ["<u4", "<u4", ("<u8", FANOUT), ("<u8", FANOUT)],
        "itemsize": BLOCK_BYTES,
    }
)
_LAYOUT = struct.Struct(f"<II{FANOUT}Q{FANOUT}Q")


@dataclass(frozen=True, slots=True)
class Records:
    """What is stored: `keys` ascending and distinct, `values` beside them; `source` says where they come from."""

    keys: NDArray[np.uint64]
    values: NDArray[np.uint64]
    source: str

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True, slots=True)
class Shape:
    """The tree to build: `levels[l]` is the number of nodes on level l, the root's first; `keys` of the records fit."""

    depth: int
    fan_out: int
    keys: int
    levels: tuple[int, ...]

    @property
    def blocks(self) -> int:
        """Nodes in all, which is the image's size in blocks."""
        return sum(self.levels)


@dataclass(frozen=True, slots=True)
class Image:
    """A tree on disk: its shape, its file, and the records that it holds (keys ascending)."""

    shape: Shape
    path: Path
    records: Records


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree in memory: its shape, the records that it holds, and its blocks."""

    shape: Shape
    records: Records
    data: bytes


@dataclass(frozen=True, slots=True)
class Lookup:
    """What a walk found: the value, None if the key is absent, and the blocks read from root to leaf."""

    value: int | None
    path: tuple[int, ...]


def key_of(name: str) -> int:
    """Return the 64-bit key of a character name: its BLAKE2b digest of 8 bytes, little-endian."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")


@cache
def unicode_names() -> tuple[tuple[int, int], ...]:
    """Return (key, code point) of every named character of this Python's `unicodedata`, in code point order."""
    named = ((code, unicodedata.name(chr(code), "")) for code in range(sys.maxunicode + 1))
    return tuple((key_of(name), code) for code, name in named if name)


def records_of(pairs: Iterable[tuple[int, int]], source: str) -> Records:
    """Return (key, value) pairs as records. Raises GraftError G0820 if a key occurs twice."""
    table = np.array(sorted(pairs), dtype=np.uint64).reshape(-1, 2)
    keys, values = np.ascontiguousarray(table[:, 0]), np.ascontiguousarray(table[:, 1])
    twice = np.flatnonzero(keys[1:] == keys[:-1])
    if len(twice):
        raise fail("G0820", f"two records have the key {int(keys[twice[0]]):#x}")
    return Records(keys, values, source)


def unicode_records(count: int | None = None) -> Records:
    """Return the records of the first `count` named characters (all of them by default)."""
    pairs = unicode_names()[:count]
    return records_of(pairs, f"{len(pairs):,} character names of Unicode {unicodedata.unidata_version}")


def plan(depth: int, available: int) -> Shape:
    """Return the shape of a tree of exactly `depth` levels over at most `available` records.

    Raises GraftError G0821 if no fan-out gives that depth.
    """
    for fan_out in range(MIN_FANOUT, FANOUT + 1):
        if fan_out**depth >= available or fan_out == FANOUT:
            break
    keys = min(available, fan_out**depth)
    if fan_out ** (depth - 1) >= keys:  # all of them fit in fewer levels
        fan_out -= 1
        keys = min(available, fan_out**depth)
    if depth < 1 or fan_out < MIN_FANOUT or fan_out ** (depth - 1) >= keys:
        raise fail(
            "G0821",
            f"no B-tree of {available:,} records is {depth} levels deep",
            notes=(f"the fan-out must be from {MIN_FANOUT} to {FANOUT}",),
        )
    levels = [_ceil_div(keys, fan_out)]
    while levels[0] > 1:
        levels.insert(0, _ceil_div(levels[0], fan_out))
    return Shape(depth, fan_out, keys, tuple(levels))


def build(records: Records, shape: Shape) -> bytes:
    """Return the image of a tree of that shape; the records must number `shape.keys`.

    Nodes of a level differ by at most one entry, so no node is nearly empty.
    """
    assert len(records) == shape.keys
    nodes = np.zeros(shape.blocks, dtype=NODE)
    starts = np.concatenate(([0], np.cumsum(shape.levels)))
    keys, below = records.keys, records.values
    for level in reversed(range(shape.depth)):
        rows = nodes[starts[level] : starts[level + 1]]
        first = _fill(rows, keys, below)
        rows["leaf"] = level == shape.depth - 1
        keys, below = keys[first], np.arange(starts[level], starts[level + 1], dtype=np.uint64)
    return nodes.tobytes()


def _fill(rows: NDArray[np.void], keys: NDArray[np.uint64], below: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Spread the entries evenly over the nodes; return the index of each node's first entry."""
    bounds = np.arange(len(rows) + 1, dtype=np.int64) * len(keys) // len(rows)
    counts = np.diff(bounds)
    row = np.repeat(np.arange(len(rows)), counts)
    column = np.arange(len(keys)) - np.repeat(bounds[:-1], counts)
    rows["count"] = counts
    rows["keys"][row, column] = keys
    rows["child"][row, column] = below
    return bounds[:-1]


@lru_cache(maxsize=4)  # up to 20 MB each
def tree(depth: int) -> Tree:
    """Return the tree of `depth` levels over the Unicode names. Raises GraftError G0821 if there can be none."""
    shape = plan(depth, len(unicode_names()))
    records = unicode_records(shape.keys)
    return Tree(shape, records, build(records, shape))


def write_image(directory: Path, depth: int) -> Image:
    """Build the tree of `depth` levels over the Unicode names and write it to `directory`/depth-N.btree.

    Raises GraftError G0821 for a depth that no fan-out gives, OSError if the file cannot be written.
    """
    made = tree(depth)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"depth-{depth}.btree"
    path.write_bytes(made.data)
    return Image(made.shape, path, made.records)


def lookup(image: bytes, key: int) -> Lookup:
    """Walk the tree from its root as the graft does, but in plain Python: the oracle of every comparison."""
    block, path = ROOT, []
    while True:
        path.append(block)
        fields = _LAYOUT.unpack_from(image, block * BLOCK_BYTES)
        leaf, count, keys, child = fields[0], fields[1], fields[2 : 2 + FANOUT], fields[2 + FANOUT :]
        slot = max((i for i in range(count) if keys[i] <= key), default=0)
        if leaf:
            return Lookup(child[slot] if keys[slot] == key else None, tuple(path))
        block = child[slot]


def value_in_leaf(node: bytes, key: int) -> int | None:
    """Return the value of `key` in a leaf as a reply carries it, None if it is absent or the node is no leaf.

    This is what a client does with the reply that is delivered to it at the end of a walk.
    """
    fields = _LAYOUT.unpack_from(node)
    leaf, count, keys, child = fields[0], fields[1], fields[2 : 2 + FANOUT], fields[2 + FANOUT :]
    if not leaf:
        return None
    return next((child[i] for i in range(min(count, FANOUT)) if keys[i] == key), None)


def _ceil_div(a: int, b: int) -> int:
    return -(-a // b)
