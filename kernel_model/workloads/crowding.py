"""`bystander` and `overload`: walks along the list of `lists` on a machine that others want too, or that is too slow.

`bystander`: a process one priority below computes on the clients' core all the time. What it gets is what the others
leave, so with a load that does not depend on the mechanism its share of the core says what the mechanism costs, whoever
is charged for it. Its account is `bystander`; the charge modes are compared on it. Where caches are finite it leaves
them full of its own: whatever runs after it is cold.

`overload`: an open loop whose load is above what any mechanism can carry. By default it is 5/4 of what the servers'
work alone allows. An operation that has not begun PATIENCE_NS after its intended time is given up by its client, and
ends `refused`; what is answered in time is the goodput. Latency counts from the intended time.
"""

from __future__ import annotations

from dataclasses import replace

from kernel_model.core.tables import EAGAIN, REFUSED
from kernel_model.workloads import lists
from kernel_model.workloads.kinds import COMMON, Kind, Settings, Value
from kernel_model.workloads.workload import Answer, Closed, Open, Workload

PATIENCE_NS = 100_000
BYSTANDER_LOAD = 20_000.0  # operations per second
BYSTANDER_SET = 1 << 20  # bytes: more than most cores' own caches, so that what it leaves behind is cold
EXCESS = 1.25


def build_bystander(settings: Settings) -> Workload:
    """Return the walks beside a process that computes."""
    return replace(lists.build(settings), name="bystander", bystander=True, bystander_set=settings.bystander_set)


def build_overload(settings: Settings) -> Workload:
    """Return walks that come faster than they can be done."""
    settings.within("work_ns", 1, 10**9, "it sets the capacity")
    if isinstance(settings.arrivals, Closed):
        work = settings.work_ns * (settings.hops - settings.cached)
        settings = replace(settings, arrivals=Open(EXCESS * 1e9 / work, settings.seed))
    walks = lists.build(settings)

    def check(operation: int, answer: Answer) -> str | None:
        if (answer.outcome, answer.status) == (REFUSED, -EAGAIN):
            return None
        return walks.check(operation, answer)

    return replace(walks, name="overload", patience_ns=PATIENCE_NS, check=check)


_OPEN: dict[str, Value] = {name: value for name, value in COMMON.items() if name != "think_ns"}
_WALK: dict[str, Value] = {"hops": 4, "size": lists.CACHE_LINE, "cached": 0, "servers": "one"}
BYSTANDER = Kind(
    "bystander",
    "chase pointers beside a process that computes on the same core",
    {**_OPEN, **_WALK, "load": BYSTANDER_LOAD, "bystander_set": BYSTANDER_SET},
    build_bystander,
)
OVERLOAD = Kind("overload", "chase pointers, asked for faster than they can be", {**_OPEN, **_WALK}, build_overload)
