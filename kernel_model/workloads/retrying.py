"""`retry`: reads that fail are tried again after a pause that doubles (binary exponential back-off; RFC 6298, 5.5).

The disk holds text in sectors of 512 bytes and fails the share `failures` of the requests with -EIO, drawn from the
server's own random stream. A read is tried six times; then its failure is the answer. So how many requests a run has,
and which of its operations end hopeless, depends on the draws; that each answer is the right sector does not.

    plan   read(sector): one step, tried again when it fails (`recovers`)
"""

from __future__ import annotations

import numpy as np

from kernel_model.core.tables import ERROR
from kernel_model.serving import Faults
from kernel_model.workloads import texts
from kernel_model.workloads.answers import not_replied, unequal
from kernel_model.workloads.kinds import COMMON, Kind, Settings
from kernel_model.workloads.plan import Literal, Plan, Step
from kernel_model.workloads.roles import READ, Role, blocks
from kernel_model.workloads.workload import Answer, Operations, Workload, words

SECTOR = 512
SECTORS = 4096


def build(settings: Settings) -> Workload:
    """Return `operations` reads of random sectors."""
    image = texts.sectors(SECTORS, SECTOR)
    asked = np.random.default_rng([settings.seed, 0x4E7]).integers(SECTORS, size=settings.operations)

    def check(operation: int, answer: Answer) -> str | None:
        if settings.failures and answer.outcome == ERROR:
            return unequal(answer.status, -5)
        at = int(asked[operation]) * SECTOR
        return not_replied(answer) or (None if answer.body == image[at : at + SECTOR] else "another sector's data")

    return Workload(
        name="retry",
        data=texts.SOURCE,
        sample="retry_backoff.graft",
        plan=Plan((Step("disk", READ, Literal()),), enough=1, recovers=True),
        roles=(Role("disk", blocks(image, SECTOR), settings.work_ns, faults=Faults(failed=settings.failures)),),
        operations=Operations((words(asked.astype(np.uint64)),)),
        arrivals=settings.arrivals,
        topology=settings.topology,
        clients=settings.clients,
        vets=True,
        check=check,
    )


KIND = Kind("retry", "try failed reads again, after pauses that double", {**COMMON, "failures": 0.2}, build)
