"""`completions`: many reads in flight at three disks, one completion queue that wakes its client for four at a time.

The fixed mechanisms are io_uring_enter(2) with `min_complete`, and interrupt coalescing. The client keeps DEPTH reads
in flight, which go to the disks in turn; a disk sleeps for an exponential time in each, so replies come in any order.
The graft (`samples/queues/completions.graft`) keeps the first three of each group back, at most 50 us; such an
operation ends `starved`, which tells the client to look for the reply in the graft's map.

    plan   read(sector): one step; four of the operations in flight wake the client together
"""

from __future__ import annotations

import numpy as np

from kernel_model.core.tables import STARVED
from kernel_model.handles import Exponential
from kernel_model.serving import Read, Store
from kernel_model.workloads import texts
from kernel_model.workloads.answers import not_replied, unequal
from kernel_model.workloads.kinds import COMMON, Kind, Settings
from kernel_model.workloads.plan import Literal, Plan, Step
from kernel_model.workloads.roles import READ, Role
from kernel_model.workloads.workload import Answer, Operations, Workload, words

DISKS = ("first", "second", "third")
SECTOR = 32
SECTORS = 4096
DEPTH = 12
DEVICE_NS = 5_000  # mean time that a disk takes
RESULT_HEAD = 16  # status and length, before the sector, in the graft's map


def build(settings: Settings) -> Workload:
    """Return `operations` reads, which go to the three disks in turn."""
    image = texts.sectors(SECTORS, SECTOR)
    asked = np.random.default_rng([settings.seed, 0xC0]).integers(SECTORS, size=settings.operations)
    store = Store(image, SECTOR)

    def check(operation: int, answer: Answer) -> str | None:
        at = int(asked[operation]) * SECTOR
        sector = image[at : at + SECTOR]
        if answer.outcome == STARVED:
            head = (0).to_bytes(8, "little") + SECTOR.to_bytes(8, "little")
            return unequal(answer.body, head + sector)
        return not_replied(answer) or unequal(answer.body, sector)

    return Workload(
        name="completions",
        data=texts.SOURCE,
        sample="queues/completions.graft",
        plan=Plan((Step(DISKS[0], READ, Literal()),), enough=1),
        roles=tuple(Role(name, {READ: Read(store)}, settings.work_ns, Exponential(DEVICE_NS)) for name in DISKS),
        operations=Operations((words(asked.astype(np.uint64)),)),
        arrivals=settings.arrivals,
        topology=settings.topology,
        clients=settings.clients,
        result_map="results",
        spread=True,
        depth=DEPTH,
        check=check,
    )


KIND = Kind(
    "completions",
    "wake for four completions at a time, of many reads at three disks",
    {**{name: value for name, value in COMMON.items() if name not in ("think_ns", "load")}, "servers": "each"},
    build,
)
