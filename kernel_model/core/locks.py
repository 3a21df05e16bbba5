"""The kernel's locks: who waits for whom, and how long a core cannot be preempted.

One lock for the whole kernel (`Kernel(locks="one")`): a core that enters the kernel while another is in it waits, with
interrupts off, and is charged for it (category `lock`). First come, first served.

One lock for each core (`locks="core"`): a core's lock guards what lives there:

    threads and their completion queues, operations, grafts and maps     on their process's core
    endpoints, their queues and receivers                                on the core of their owner

A section holds the lock of its own core from the beginning, and takes that of another core when it first touches an
object there (`touch`): a request to an endpoint of another core, a reply to a process on another core, a wake-up there.
It keeps all of them to its end. So two sections that touch a common object exclude each other, and their effects are
visible at the *end* of a section, as with one lock; sections that share nothing overlap in time, which is what the
option is for. Waiting for further locks is part of the section: nothing can interrupt it, it is charged to `lock` and
counts for the longest section. Contexts are shared words that any core may debit; they have no lock.

Sections are computed at once, in the order of their beginnings, and a section that must wait for one under way is
prolonged by the wait; so there is no circular wait to be modelled (a kernel would take locks in the order of cores, or
release and retry).
"""

from __future__ import annotations

from typing import Final

from jit.hot import hot
from kernel_model.core.billing import charge, payer
from kernel_model.core.prices import IN_LOCK, LOCK_WAIT
from kernel_model.core.tables import NONE, PER_CORE, Tables

FIRST: Final = 0
ONE: Final = 1


@hot
def lock_of(k: Tables, c: int) -> int:
    """Return the core whose row holds the lock that core `c` enters the kernel with."""
    return c if k.config[0]["locks"] == PER_CORE else FIRST


@hot
def touch(k: Tables, c: int) -> None:
    """The section under way uses an object of core `c`."""
    if k.config[0]["locks"] == PER_CORE:
        k.meter[0]["touched"] |= ONE << c


@hot
def touch_endpoint(k: Tables, e: int) -> None:
    """The section under way uses endpoint `e`."""
    if k.config[0]["locks"] == PER_CORE and k.endpoint[e]["owner"] != NONE:
        touch(k, k.process[k.endpoint[e]["owner"]]["core"])


@hot
def hold(k: Tables, c: int) -> int:
    """The section of core `c` is computed: let it wait for what it has touched; return when it ends and locks are free.

    The thread that entered pays for the wait, on an idle core nobody but its idle account.
    """
    meter = k.meter[0]
    if k.config[0]["locks"] == PER_CORE:
        ready = meter["now"]
        for other in range(k.config[0]["cores"]):
            if meter["touched"] >> other & ONE != 0:
                ready = max(ready, k.core[other]["lock_free"])
        if ready > meter["now"]:
            p = meter["process"]
            account = payer(k, p) if p != NONE else k.core[c]["account"]
            charge(k, account, IN_LOCK, LOCK_WAIT, ready - meter["now"])
        end = meter["now"] + meter["section"]
        for other in range(k.config[0]["cores"]):
            if other == c or meter["touched"] >> other & ONE != 0:
                k.core[other]["lock_free"] = end
        return int(end)
    k.core[FIRST]["lock_free"] = meter["now"] + meter["section"]
    return int(k.core[FIRST]["lock_free"])
