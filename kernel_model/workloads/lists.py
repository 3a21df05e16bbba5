"""`list`: chasing the pointers of a linked list in another process's memory (StRoM, EuroSys 2020; RedN, NSDI 2022).

The list has a cell for every character that has a name, in the order of the names' BLAKE2b keys, while the cells lie in
memory in the order of the characters: so each pointer jumps, as in lmbench's `lat_mem_rd`, and a hop cannot be guessed.
A cell is at the front of `size` bytes (64 unless told: a cache line):

    next u64   number of the next cell; 0 ends the list, so cell 0 is never used
    value u64  the character's code point

An operation begins at a random cell that has at least `hops` - 1 more behind it and reads `hops` of them; the last one
is the answer. `cached` cells, the first of each walk, are held by the client.

    plan   load(cell) -> 8 bytes of the reply -> load(next) -> ...: no step needs a program
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from kernel_model.workloads import btree
from kernel_model.workloads.answers import not_replied, unequal
from kernel_model.workloads.kinds import COMMON, Kind, Settings
from kernel_model.workloads.plan import Literal, Part, chain
from kernel_model.workloads.roles import READ, Role, blocks
from kernel_model.workloads.workload import Answer, Operations, Workload, words

CELL_BYTES = 16
CACHE_LINE = 64
LONGEST = 4096  # bytes of a cell
POINTER = 8  # bytes, at the front of a cell


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """A list: `order[i]` is the number of its i-th cell, `values[i]` what that holds; `source` says where from."""

    order: NDArray[np.uint64]
    values: NDArray[np.uint64]
    source: str


@lru_cache(maxsize=1)
def unicode_cells() -> Cells:
    """Return the list of all named characters, by the keys of their names."""
    records = btree.unicode_records()
    place = np.empty(len(records), np.uint64)
    place[np.argsort(records.values)] = np.arange(1, len(records) + 1, dtype=np.uint64)
    return Cells(place, records.values, records.source)


def image(cells: Cells, size: int) -> bytes:
    """Return the memory that holds the list, `size` bytes a cell."""
    out = np.zeros((len(cells.order) + 1, size // POINTER), "<u8")
    out[cells.order[:-1], 0] = cells.order[1:]
    out[cells.order, 1] = cells.values
    return out.tobytes()


def build(settings: Settings) -> Workload:
    """Return walks along the list of the Unicode names."""
    settings.within("size", CELL_BYTES, LONGEST, "so that a cell fits")
    if settings.size % POINTER:
        settings.refuse("size", "not a multiple of 8")
    settings.within("cached", 0, settings.hops - 1, "so that a cell is left to be read")
    cells = unicode_cells()
    settings.within("hops", 1, len(cells.order), "the length of the list")
    begin = np.random.default_rng([settings.seed, 0x115]).integers(
        len(cells.order) - settings.hops + 1, size=settings.operations
    )
    last = begin + settings.hops - 1
    left = settings.hops - settings.cached - 1

    def check(operation: int, answer: Answer) -> str | None:
        found = int.from_bytes(answer.body[POINTER:CELL_BYTES], "little")
        return not_replied(answer) or unequal(found, int(cells.values[last[operation]]))

    return Workload(
        name="list",
        data=cells.source,
        sample="list_chase.graft",
        plan=chain("store", READ, Literal(), lambda step: Part(step, 0, POINTER), left + 1),
        roles=(Role("store", blocks(image(cells, settings.size), settings.size), settings.work_ns),),
        operations=Operations(
            (words(cells.order[begin + settings.cached]),), np.full(settings.operations, left, np.uint64)
        ),
        arrivals=settings.arrivals,
        topology=settings.topology,
        clients=settings.clients,
        argument_map="hops_left",
        check=check,
    )


KIND = Kind(
    "list",
    "chase the pointers of a linked list, a cell a hop",
    {**COMMON, "hops": 4, "size": CACHE_LINE, "cached": 0, "servers": "one"},
    build,
)
