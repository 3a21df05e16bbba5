"""Random numbers that are the same everywhere: integers only, seeded, one stream per process.

The generator is L'Ecuyer's MRG32k3a (Operations Research 47(1), 1999): period about 2**191, all steps exact in int64,
so plain Python and compiled code draw the same numbers, which a floating-point logarithm would not promise.

Exponential variates use a table of 2**12 quantiles of mean 2**20 with linear interpolation; a draw from the last cell
adds ln(2**12) and draws again, which is exact because the distribution has no memory.
"""

from __future__ import annotations

import functools
import math
from typing import Any, Final

import numpy as np

from jit.hot import hot
from kernel_model.core.tables import Tables

_M1: Final = 4294967087
_M2: Final = 4294944443
_A12, _A13N, _A21, _A23N = 1403580, 810728, 527612, 1370589

_CELLS: Final = 4096
_SCALE: Final = 20  # bits: the table's mean is 1 << _SCALE
_STEP: Final = 20  # low bits of a draw: the place within a cell
_LAST: Final = round(math.log(_CELLS) * (1 << _SCALE))

CONSTANT, UNIFORM, EXPONENTIAL = range(3)


@functools.cache
def quantiles() -> Any:
    """Return the table of exponential quantiles, int64, one more than there are cells; nobody writes to it."""
    points = [round(-math.log1p(-i / _CELLS) * (1 << _SCALE)) for i in range(_CELLS)]
    return np.array([*points, points[-1]], np.int64)


def seeds(seed: int, stream: int) -> tuple[int, ...]:
    """Return the six words that start a stream; different (seed, stream) give unrelated streams (SplitMix64)."""
    words: list[int] = []
    state = (seed * 0x9E3779B97F4A7C15 + stream * 0xD1342543DE82EF95 + 0x632BE59BD9B4E019) & (1 << 64) - 1
    for i in range(6):
        state = (state + 0x9E3779B97F4A7C15) & (1 << 64) - 1
        mixed = state
        mixed = ((mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9) & (1 << 64) - 1
        mixed = ((mixed ^ mixed >> 27) * 0x94D049BB133111EB) & (1 << 64) - 1
        words.append(1 + (mixed ^ mixed >> 31) % ((_M1 if i < 3 else _M2) - 1))
    return tuple(words)


def seeds_of(seed: int, first: int, count: int) -> Any:
    """Return the words that start `count` streams, (count, 6) int64: row i is `seeds(seed, first + i)`."""
    words = np.empty((count, 6), np.int64)
    with np.errstate(over="ignore"):
        state = np.arange(first, first + count, dtype=np.uint64) * np.uint64(0xD1342543DE82EF95)
        state += np.uint64((seed * 0x9E3779B97F4A7C15 + 0x632BE59BD9B4E019) & (1 << 64) - 1)
        for i in range(6):
            state += np.uint64(0x9E3779B97F4A7C15)
            mixed = (state ^ state >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
            mixed = (mixed ^ mixed >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
            mixed = (mixed ^ mixed >> np.uint64(31)) % np.uint64((_M1 if i < 3 else _M2) - 1)
            words[:, i] = mixed.astype(np.int64) + 1
    return words


@hot
def draw(k: Tables, process: int) -> int:
    """Return the next number of the process's stream, 0 <= n < 2**32 (nearly: n < 4294967087)."""
    s = k.process[process]
    first = (_A12 * s["r1"] - _A13N * s["r0"]) % _M1
    s["r0"] = s["r1"]
    s["r1"] = s["r2"]
    s["r2"] = first
    second = (_A21 * s["r5"] - _A23N * s["r3"]) % _M2
    s["r3"] = s["r4"]
    s["r4"] = s["r5"]
    s["r5"] = second
    return int((first - second) % _M1)


@hot
def sample(k: Tables, process: int, distribution: int) -> int:
    """Return a draw from a distribution, ps."""
    row = k.distribution[distribution]
    kind, a = row["kind"], row["a"]
    if kind == CONSTANT:
        return int(a)
    if kind == UNIFORM:
        return int(a + draw(k, process) % (row["b"] - a + 1))
    scaled = unit_exponential(k, process)
    return int((a >> _SCALE) * scaled + (((a & ((1 << _SCALE) - 1)) * scaled) >> _SCALE))


@hot
def unit_exponential(k: Tables, process: int) -> int:
    """Return an exponential variate of mean 2**20."""
    total = 0
    u = draw(k, process)
    while u >> _STEP >= _CELLS - 1:
        total += _LAST
        u = draw(k, process)
    cell = u >> _STEP
    low = k.exponential[cell]
    return int(total + low + (((k.exponential[cell + 1] - low) * (u & ((1 << _STEP) - 1))) >> _STEP))
