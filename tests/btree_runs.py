"""Small trees and single runs of a mechanism over them, for the tests of the comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

import verifier
from grafting import compile_graft
from kernel_model import Kernel
from kernel_model.mechanisms.scenario import Mechanism, Scenario, cores_of
from kernel_model.workloads import btree
from kernel_model.workloads.lookups import btree_lookups
from kernel_model.workloads.workload import Answer, Topology, Workload, bind

SAMPLE = Path(__file__).resolve().parents[1] / "samples" / "btree_lookup.graft"
LOOKUPS = 8


@dataclass(frozen=True, slots=True)
class Run:
    """What one run added, start-up of the servers apart: counts by account, wake-ups of the client, the answers."""

    counts: Mapping[str, Mapping[str, int]]
    wake_ups: int
    outcomes: npt.NDArray[np.int64]
    wrong: tuple[str, ...]


def sample() -> verifier.Verified:
    return verifier.verify(compile_graft(SAMPLE.read_text(encoding="utf-8"), filename=str(SAMPLE)))


def small_tree(directory: Path, depth: int) -> btree.Image:
    """A tree of exactly `depth` levels: fan-out 2 and full, but for a single leaf of 20 at depth 1."""
    shape = btree.plan(depth, 20 if depth == 1 else 2**depth)
    records = btree.records_of([(1000 * n, n) for n in range(1, shape.keys + 1)], "multiples of 1000")
    path = directory / f"depth-{depth}.btree"
    path.write_bytes(btree.build(records, shape))
    return btree.Image(shape, path, records)


def lookups(image: btree.Image, topology: Topology) -> Workload:
    return btree_lookups(image, topology, lookups=LOOKUPS, seed=1)


def run(verified: verifier.Verified, workload: Workload, mechanism: Mechanism) -> Run:
    """Run all operations in the Python tier."""
    kernel = Kernel("sel4-skylake", engine="python", cores=cores_of(workload) + mechanism.spare_cores)
    stage = mechanism.build(kernel, Scenario(workload, verified, bind(verified.program, workload)))
    kernel.run()
    before = {name: dict(account.counts) for name, account in kernel.accounts.items()}
    wake_ups = stage.wake_ups
    stage.start()
    kernel.run()
    results = stage.results()
    given = [
        Answer(int(r["outcome"]), int(r["status"]), kernel.arena[r["body"] : r["body"] + r["length"]].tobytes())
        for r in results
    ]
    return Run(
        counts={
            name: {p: n - before[name].get(p, 0) for p, n in account.counts.items()}
            for name, account in kernel.accounts.items()
        },
        wake_ups=stage.wake_ups - wake_ups,
        outcomes=results["outcome"],
        wrong=tuple(wrong for n, answer in enumerate(given) if (wrong := workload.check(n, answer))),
    )
