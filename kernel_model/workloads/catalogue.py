"""The named workloads: real data turned into a `Workload`.

`btree`: each operation looks a key up in a B-tree on disk (`workloads.btree`), root to leaf, one block a step. Of the
keys seven in eight are present; the others must come back absent. The client finds the value in the leaf that is
delivered to it, and each answer is compared with the records from which the image was built.
"""

from __future__ import annotations

import numpy as np

from grafting.diagnostics import fail
from kernel_model.workloads import btree
from kernel_model.workloads.plan import Computed, Literal, chain
from kernel_model.workloads.roles import READ, Blocks, Role
from kernel_model.workloads.workload import Answer, Closed, Operations, Topology, Workload, words

SERVICE_NS = 200  # a server's own work for a block that it has in memory: find it, check the request
ABSENT_ONE_IN = 8  # keys that are not in the tree


def btree_lookups(
    image: btree.Image,
    topology: Topology,
    *,
    lookups: int,
    seed: int,
    service_ns: int = SERVICE_NS,
    think_ns: int = 0,
) -> Workload:
    """Return `lookups` (>= 1) lookups of keys drawn with `seed` in the tree of `image`, whose file is read.

    Raises GraftError G0843 if the file is not the image's, OSError if it cannot be read.
    """
    data = image.path.read_bytes()
    if len(data) != image.shape.blocks * btree.BLOCK_BYTES:
        raise fail("G0843", f"{image.path} has {len(data):,} bytes, its tree {image.shape.blocks:,} blocks of 512")
    keys, expected = _draw(image, lookups, seed)

    def check(operation: int, answer: Answer) -> str | None:
        found = btree.value_in_leaf(answer.body, int(keys[operation]))
        wanted = expected[operation]
        return None if found == wanted else f"key {int(keys[operation]):#x}: {found} instead of {wanted}"

    return Workload(
        name="btree",
        data=f"{image.records.source}, fan-out {image.shape.fan_out}",
        sample="btree_lookup.graft",
        plan=chain("disk", READ, Literal(), Computed, image.shape.depth),
        roles=(Role("disk", Blocks(data, btree.BLOCK_BYTES), service_ns),),
        operations=Operations((words(np.full(lookups, btree.ROOT, np.uint64)),), keys),
        arrivals=Closed(think_ns),
        topology=topology,
        argument_map="wanted",
        check=check,
    )


def _draw(
    image: btree.Image, lookups: int, seed: int
) -> tuple[np.ndarray[tuple[int], np.dtype[np.uint64]], list[int | None]]:
    """Return keys to look up and the value of each by the records alone, None where the key is absent."""
    rng = np.random.default_rng([seed, image.shape.depth])
    present = image.records
    chosen = rng.integers(len(present), size=lookups)
    keys = present.keys[chosen].copy()
    absent = rng.integers(ABSENT_ONE_IN, size=lookups) == 0
    keys[absent] = rng.integers(np.iinfo(np.uint64).max, size=int(absent.sum()), dtype=np.uint64, endpoint=True)
    at = np.minimum(np.searchsorted(present.keys, keys), len(present) - 1)
    known = present.keys[at] == keys
    return keys, [int(v) if hit else None for v, hit in zip(present.values[at], known, strict=True)]
