"""`btree`: lookups in a B-tree on disk, root to leaf, one block a step (XRP's workload; Zhong et al., OSDI 2022).

The tree is that of `workloads.btree`, built from the names of all characters. Of the keys seven in eight are present;
the others must come back absent. The client finds the value in the leaf that is delivered to it, and each answer is
compared with the records from which the tree was built.

`cached` levels are held by the client, as a database keeps the inner nodes of its indices: it walks them by itself,
which costs no request, and the first request goes to the node below. `size` is that of a block; the node stands at its
beginning.

    plan   read(block) -> node, computed: the child for the key -> read(child) -> ... -> the leaf
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from grafting.diagnostics import fail
from kernel_model.workloads import btree
from kernel_model.workloads.answers import not_replied
from kernel_model.workloads.kinds import COMMON, Kind, Settings
from kernel_model.workloads.plan import Computed, Literal, chain
from kernel_model.workloads.roles import READ, Role, blocks
from kernel_model.workloads.workload import Answer, Closed, Operations, Topology, Workload, words

ABSENT_ONE_IN = 8  # keys that are not in the tree
LONGEST = 4096  # bytes of a block


def build(settings: Settings) -> Workload:
    """Return the workload over the tree of `settings.hops` levels."""
    settings.within("size", btree.NODE_BYTES, LONGEST, "so that a node fits")
    if settings.size % 8:
        settings.refuse("size", "not a multiple of 8")
    settings.within("cached", 0, settings.hops - 1, "so that a level is left to be read")
    return lookups_in(btree.tree(settings.hops), settings)


KIND = Kind(
    "btree",
    "look keys up in a B-tree on disk, a block a level",
    {**COMMON, "hops": 4, "size": btree.BLOCK_BYTES, "cached": 0, "servers": "one"},
    build,
)


def btree_lookups(
    image: btree.Image,
    topology: Topology,
    *,
    lookups: int,
    seed: int,
    service_ns: int = 200,
    think_ns: int = 0,
) -> Workload:
    """Return `lookups` (>= 1) lookups of keys drawn with `seed` in the tree of `image`, whose file is read.

    Raises GraftError G0843 if the file is not the image's, OSError if it cannot be read.
    """
    data = image.path.read_bytes()
    if len(data) != image.shape.blocks * btree.BLOCK_BYTES:
        raise fail("G0843", f"{image.path} has {len(data):,} bytes, its tree {image.shape.blocks:,} blocks of 512")
    settings = Settings(
        kind="btree",
        hops=image.shape.depth,
        work_ns=service_ns,
        size=btree.BLOCK_BYTES,
        cached=0,
        failures=0,
        clients=1,
        topology=topology,
        arrivals=Closed(think_ns),
        operations=lookups,
        seed=seed,
    )
    return lookups_in(btree.Tree(image.shape, image.records, data), settings)


def lookups_in(tree: btree.Tree, settings: Settings) -> Workload:
    """Return lookups in this tree; `settings.hops` is its depth."""
    keys, expected = _draw(tree, settings)

    def check(operation: int, answer: Answer) -> str | None:
        key, wanted = int(keys[operation]), expected[operation]
        found = btree.value_in_leaf(answer.body, key) if len(answer.body) >= btree.NODE_BYTES else None
        return not_replied(answer) or (None if found == wanted else f"key {key:#x}: {found} instead of {wanted}")

    return Workload(
        name="btree",
        data=f"{tree.records.source}, fan-out {tree.shape.fan_out}",
        sample="btree_lookup.graft",
        plan=chain("disk", READ, Literal(), Computed, settings.hops - settings.cached),
        roles=(Role("disk", blocks(_blocks(tree, settings.size), settings.size), settings.work_ns),),
        operations=Operations((words(_starts(tree, keys, settings.cached)),), keys),
        arrivals=settings.arrivals,
        topology=settings.topology,
        clients=settings.clients,
        argument_map="wanted",
        check=check,
    )


def _blocks(tree: btree.Tree, size: int) -> bytes:
    """Return the image with blocks of `size` bytes, a node at the beginning of each."""
    if size == btree.BLOCK_BYTES:
        return tree.data
    nodes = np.frombuffer(tree.data, np.uint8).reshape(tree.shape.blocks, btree.BLOCK_BYTES)
    out = np.zeros((tree.shape.blocks, size), np.uint8)
    out[:, : btree.NODE_BYTES] = nodes[:, : btree.NODE_BYTES]
    return out.tobytes()


def _starts(tree: btree.Tree, keys: NDArray[np.uint64], cached: int) -> NDArray[np.uint64]:
    """Return the block that each lookup reads first: the root, or the first on its way that is not cached."""
    if cached == 0:
        return np.full(len(keys), btree.ROOT, np.uint64)
    return np.array([btree.lookup(tree.data, int(key)).path[cached] for key in keys], np.uint64)


def _draw(tree: btree.Tree, settings: Settings) -> tuple[NDArray[np.uint64], list[int | None]]:
    """Return keys to look up and the value of each by the records alone, None where the key is absent."""
    rng = np.random.default_rng([settings.seed, tree.shape.depth])
    present = tree.records
    count = settings.operations
    chosen = rng.integers(len(present), size=count)
    keys = present.keys[chosen].copy()
    absent = rng.integers(ABSENT_ONE_IN, size=count) == 0
    keys[absent] = rng.integers(np.iinfo(np.uint64).max, size=int(absent.sum()), dtype=np.uint64, endpoint=True)
    at = np.minimum(np.searchsorted(present.keys, keys), len(present) - 1)
    known = present.keys[at] == keys
    return keys, [int(v) if hit else None for v, hit in zip(present.values[at], known, strict=True)]
