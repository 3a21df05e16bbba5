"""`cache`: values are asked for by key; a graft at the server's endpoint answers those that it holds (BMC, NSDI 2021).

The keys are words, drawn from the names of all characters as often as they stand there: a Zipf-like stream of real
frequencies ("LETTER" and "WITH" are asked for all the time). The value of a word is a record of 64 bytes: a version and
56 bytes of its BLAKE2b digest. `cached` of the commonest words are in the graft's map at the start; the server adds
what it reads while there is room (4,096 in all), as it owns the graft and its maps.

Every rival runs the same handler, over the same map, in the server's user mode when it has received the request: a hit
saves the server's work there as well, but not the way there and back.

    plan   get(key): one step, which needs no program; hits are known at the endpoint only
"""

from __future__ import annotations

import numpy as np

from kernel_model.serving import Read, Store
from kernel_model.workloads import texts
from kernel_model.workloads.answers import not_replied, unequal
from kernel_model.workloads.kinds import COMMON, Kind, Settings
from kernel_model.workloads.plan import Literal, Plan, Step
from kernel_model.workloads.roles import READ, Role
from kernel_model.workloads.workload import Answer, Kept, Operations, Seat, Workload, words

VALUE_BYTES = 64
VERSION = (1).to_bytes(8, "little")
ROOM = 4096  # entries of the graft's map


def build(settings: Settings) -> Workload:
    """Return `operations` questions for words."""
    known = texts.words_of_names()
    settings.within("cached", 0, ROOM // 2, "half of what the graft's map has room for")
    values = [VERSION + known.digest(number, VALUE_BYTES - 8) for number in range(len(known.spelled))]
    asked = known.stream(settings.operations, settings.seed)

    def check(operation: int, answer: Answer) -> str | None:
        return not_replied(answer) or unequal(answer.body, values[asked[operation]])

    return Workload(
        name="cache",
        data=f"{len(known.spelled):,} words of the {texts.SOURCE}",
        sample="cache_hit.graft",
        plan=Plan((Step("kv", READ, Literal()),), enough=1),
        roles=(Role("kv", {READ: Read(Store(b"".join(values), VALUE_BYTES))}, settings.work_ns),),
        operations=Operations((words(asked.astype(np.uint64)),)),
        arrivals=settings.arrivals,
        topology=settings.topology,
        clients=settings.clients,
        seat=Seat.SERVER,
        kept=Kept("cache", {int(number): values[number] for number in known.commonest(settings.cached)}),
        check=check,
    )


KIND = Kind(
    "cache",
    "ask for values by key; a graft at the endpoint answers what it holds",
    {**COMMON, "work_ns": 1000, "cached": 64},
    build,
)
