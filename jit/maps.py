"""Maps: hash tables with constant worst-case cost, and arrays, over the arena.

A hash map of N entries has about 4/3 N places in buckets of eight. Two hashes of the key, under a secret seed, choose
two buckets; the key is in one of them or absent, so a look-up compares at most 16 one-byte tags and, nearly always, one
key. A new key goes into the emptier bucket and nothing ever moves, so the cost is constant also in the worst case; the
price is that an insertion may fail (-E2BIG) a little before the map holds N. (Azar, Broder, Karlin, Upfal: Balanced
Allocations, 1994, for two choices; buckets with tags as in F14 and Swiss tables.) The hash is a multiply-and-fold
chain: fast and well mixed, not cryptographic; whoever finds colliding keys can make insertions fail, and no more.

Storage of one map, every part 8-aligned:

    count (8 bytes) | tags: 8 per bucket, 0 = free | keys: key_stride each | values: stride each

An array map has the count word and the values only. So all that a map remembers lies in one range of bytes: copying it
is a snapshot.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from grafting.program import MapKind, MapSpec
from jit.hot import constant, hot
from jit.words import i64, load8, load32, load64, move_bytes, store8, store64, u64

HASH: Final = 1
ARRAY: Final = 2
BUCKET: Final = 8  # places

MAP = np.dtype(
    [
        ("kind", np.int64),  # HASH or ARRAY
        ("key_size", np.int64),  # bytes
        ("value_size", np.int64),  # bytes
        ("entries", np.int64),  # at most so many
        ("buckets", np.int64),  # HASH only
        ("key_stride", np.int64),  # bytes
        ("stride", np.int64),  # of values, bytes
        ("head", np.int64),  # arena offset of the count word
        ("tags", np.int64),  # arena offset
        ("keys", np.int64),  # arena offset
        ("values", np.int64),  # arena offset
        ("read_only", np.int64),  # 1: not even a helper may change it
    ]
)

E2BIG: Final = -7
ENOENT: Final = -2
EINVAL: Final = -22
EPERM: Final = -1

_ZERO: Final = constant(0)
_MASK: Final = constant((1 << 64) - 1)
_BYTE: Final = constant(0xFF)
_LOW: Final = constant(0xFFFF_FFFF)
_FACTOR: Final = constant(0x9E37_79B9_7F4A_7C15)  # 2**64 / golden ratio, odd
_FINAL: Final = constant(0xD6E8_FEB8_6659_FD93)
_THIRTY_TWO: Final = constant(32)
_TWENTY_NINE: Final = constant(29)
_EIGHT: Final = constant(8)
_FIFTY_SIX: Final = constant(56)


def describe(spec: MapSpec, start: int) -> tuple[tuple[int, ...], int]:
    """Return (a row of MAP, end) for a map whose storage begins at arena offset `start`, a multiple of 8."""
    stride = _round(spec.value_size)
    if spec.kind is MapKind.ARRAY:
        values = start + 8
        row = (ARRAY, spec.key_size, spec.value_size, spec.max_entries, 0, 0, stride, start, 0, 0, values)
        return (*row, int(spec.read_only)), values + spec.max_entries * stride
    buckets = max(2, -(-spec.max_entries * 4 // (3 * BUCKET)))
    tags = start + 8
    keys = tags + buckets * BUCKET
    key_stride = _round(spec.key_size)
    values = keys + buckets * BUCKET * key_stride
    row = (
        HASH,
        spec.key_size,
        spec.value_size,
        spec.max_entries,
        buckets,
        key_stride,
        stride,
        start,
        tags,
        keys,
        values,
    )
    return (*row, int(spec.read_only)), values + buckets * BUCKET * stride


def places(row: Any) -> int:
    """Return how many values a map has room for: the length of its window is this times `stride`."""
    return int(row["entries"]) if row["kind"] == ARRAY else int(row["buckets"]) * BUCKET


def _round(size: int) -> int:
    return (size + 7) // 8 * 8


@hot
def hash_key(arena: Any, key: int, size: int, seed: int) -> int:
    """Return the hash of `size` bytes at arena offset `key`."""
    state = seed ^ u64(size)
    at = 0
    while at + 8 <= size:
        state = ((state ^ load64(arena, key + at)) * _FACTOR) & _MASK
        state ^= state >> _TWENTY_NINE
        at += 8
    tail: int = _ZERO
    while at < size:
        tail = (tail << _EIGHT) & _MASK | load8(arena, key + at)
        at += 1
    state = ((state ^ tail) * _FACTOR) & _MASK
    state ^= state >> _THIRTY_TWO
    state = (state * _FINAL) & _MASK
    return state ^ state >> _TWENTY_NINE


@hot
def bucket_of(map_: Any, hashed: int, choice: int) -> int:
    """Return the first (choice 0) or second bucket of a hash; they differ."""
    buckets = u64(map_["buckets"])
    first = ((hashed & _LOW) * buckets) >> _THIRTY_TWO
    if choice == 0:
        return int(first)
    second = ((hashed >> _THIRTY_TWO) * (buckets - u64(1))) >> _THIRTY_TWO
    return int(second + u64(1)) if second >= first else int(second)


@hot
def tag_of(hashed: int) -> int:
    """Return the one-byte tag of a hash, never 0."""
    tag = ((hashed * _FACTOR) & _MASK) >> _FIFTY_SIX
    return tag if tag != _ZERO else _BYTE


@hot
def same_key(arena: Any, key: int, other: int, size: int) -> bool:
    """Whether `size` bytes at two arena offsets are equal."""
    at = 0
    while at + 8 <= size:
        if load64(arena, key + at) != load64(arena, other + at):
            return False
        at += 8
    while at < size:
        if load8(arena, key + at) != load8(arena, other + at):
            return False
        at += 1
    return True


@hot
def find_hash(arena: Any, map_: Any, hashed: int, key: int) -> int:
    """Return the place of the key at arena offset `key`, or -1."""
    tag = tag_of(hashed)
    for choice in range(2):
        first = bucket_of(map_, hashed, choice) * BUCKET
        if load64(arena, map_["tags"] + first) != _ZERO:
            for place in range(first, first + BUCKET):
                if load8(arena, map_["tags"] + place) == tag and same_key(
                    arena, key, map_["keys"] + place * map_["key_stride"], map_["key_size"]
                ):
                    return place
    return -1


@hot
def free_place(arena: Any, map_: Any, hashed: int) -> int:
    """Return a free place in the emptier of the two buckets, or -1."""
    best, best_free = -1, 0
    for choice in range(2):
        first = bucket_of(map_, hashed, choice) * BUCKET
        free, found = 0, -1
        for place in range(first, first + BUCKET):
            if load8(arena, map_["tags"] + place) == _ZERO:
                free += 1
                found = place
        if free > best_free:
            best, best_free = found, free
    return best


@hot
def find(arena: Any, map_: Any, seed: int, key: int) -> int:
    """Return the place of the value under the key at arena offset `key`, or -1."""
    if map_["kind"] == HASH:
        return find_hash(arena, map_, hash_key(arena, key, map_["key_size"], seed), key)
    index = load64(arena, key) if map_["key_size"] == 8 else load32(arena, key)
    return i64(index) if index < u64(map_["entries"]) else -1


@hot
def update(arena: Any, map_: Any, seed: int, key: int, value: int) -> int:
    """Copy the value at arena offset `value` under a key; 0, E2BIG, ENOENT (past an array) or EPERM."""
    if map_["read_only"] != 0:
        return EPERM
    place = find(arena, map_, seed, key)
    if place < 0:
        if map_["kind"] == ARRAY:
            return ENOENT
        count = load64(arena, map_["head"])
        if count >= u64(map_["entries"]):
            return E2BIG
        hashed = hash_key(arena, key, map_["key_size"], seed)
        place = free_place(arena, map_, hashed)
        if place < 0:
            return E2BIG
        store64(arena, map_["head"], count + u64(1))
        store8(arena, map_["tags"] + place, tag_of(hashed))
        move_bytes(arena, map_["keys"] + place * map_["key_stride"], key, map_["key_size"])
    move_bytes(arena, map_["values"] + place * map_["stride"], value, map_["value_size"])
    return 0


@hot
def delete(arena: Any, map_: Any, seed: int, key: int) -> int:
    """Remove a key; 0, ENOENT, EINVAL (an array) or EPERM. The bytes of the value stay until the place is reused."""
    if map_["read_only"] != 0:
        return EPERM
    if map_["kind"] == ARRAY:
        return EINVAL
    place = find(arena, map_, seed, key)
    if place < 0:
        return ENOENT
    store8(arena, map_["tags"] + place, _ZERO)
    store64(arena, map_["head"], load64(arena, map_["head"]) - u64(1))
    return 0
