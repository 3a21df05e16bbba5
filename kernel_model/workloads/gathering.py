"""`gather`: `hops` requests that do not depend on one another; the client needs all the replies.

A record is kept for every character that has a name, at the front of `size` bytes: its code point. An operation asks
for `hops` random ones. The graft sends all of them at its `submit` and gathers the code points in the order in which
they come; the client takes them from the graft's map when it is woken, once.

    plan   read(n0), read(n1), ... all at once, all replies needed
"""

from __future__ import annotations

import numpy as np

from kernel_model.workloads import btree, texts
from kernel_model.workloads.answers import not_replied, unequal
from kernel_model.workloads.kinds import COMMON, Kind, Settings
from kernel_model.workloads.plan import Literal, Plan, Step
from kernel_model.workloads.roles import READ, Role, blocks
from kernel_model.workloads.workload import Answer, Operations, Workload, words

MOST = 8  # requests of one operation
LONGEST = 4096  # bytes of a record
WORD = 8


def build(settings: Settings) -> Workload:
    """Return `operations` questions for `hops` records each."""
    settings.within("hops", 2, MOST, "as many as the graft gathers")
    settings.within("size", WORD, LONGEST, "a record")
    if settings.size % WORD:
        settings.refuse("size", "not a multiple of 8")
    codes = np.array([code for _, code in btree.unicode_names()], np.uint64)
    records = np.zeros((len(codes), settings.size // WORD), "<u8")
    records[:, 0] = codes
    rng = np.random.default_rng([settings.seed, 0x6A7])
    asked = rng.integers(len(codes), size=(settings.operations, settings.hops)).astype(np.uint64)
    batches = np.zeros((settings.operations, MOST), "<u8")  # struct Batch: count, numbers
    batches[:, 0] = settings.hops - 1
    batches[:, 1 : settings.hops] = asked[:, 1:]

    def check(operation: int, answer: Answer) -> str | None:
        wanted, came, *values = np.frombuffer(answer.body, "<u8").tolist() or (0, 0)
        found = (wanted, came, sorted(values[:came]))
        right = (settings.hops, settings.hops, sorted(codes[asked[operation]].tolist()))
        return not_replied(answer) or unequal(found, right)

    return Workload(
        name="gather",
        data=texts.SOURCE,
        sample="gather.graft",
        plan=Plan(tuple(Step("disk", READ, Literal(column)) for column in range(settings.hops)), enough=settings.hops),
        roles=(Role("disk", blocks(records.tobytes(), settings.size), settings.work_ns),),
        operations=Operations(
            tuple(words(asked[:, column]) for column in range(settings.hops)), batches.view(np.uint8)
        ),
        arrivals=settings.arrivals,
        topology=settings.topology,
        clients=settings.clients,
        vets=True,
        argument_map="others",
        result_map="gathered",
        check=check,
    )


KIND = Kind(
    "gather",
    "ask for several records at once and need them all",
    {**COMMON, "hops": 8, "size": 64, "servers": "one"},
    build,
)
