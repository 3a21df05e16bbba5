"""Deferred events: what a graft is to see later, in a kernel continuation of its installer.

An event that is not dealt with in the section that raised it is queued for the *continuation* of the installer: a
thread without user mode, of his priority, on his core, his account and his context (`process.partner`;
`core.continuations` runs it). It saves the switch of address spaces, not the scheduling: it is chosen like any thread,
may be preempted between two activations, never within one, and waits for a refill when the budget is used up.

    activation   eager      never; what may not run at once falls back to user mode
                 deferred   always
                 auto       what does not fit the eager window, or would delay a thread of higher priority

What is queued is a request, in a state that tells the event:

    R_SUBMITTING   submitted, its verdict is due      its operation is open, its place at the endpoint reserved
    R_ARRIVING     arrived at an endpoint             in the continuation of the endpoint's owner
    R_ENDING       has ended, its process is not told yet
    R_TIMING       stands for a timer that was due; it is no message

so an operation of which an event is deferred stays outstanding, and the submitter may cancel what has not ended.

**Order.** A process has one queue, for all of its grafts, and while it is not empty whatever a graft has to see joins
it (`must_queue`): the events of a graft are seen in the order in which they came. A submission or an arrival does not
overtake a deferred one even if no handler asks for it, so messages on one capability arrive in the order of their
commits (E-order). An event that goes on to a second graft, whose activation has to be deferred as well, goes back to
the *front*.
"""

from __future__ import annotations

from typing import Final

from jit.hot import hot, rare
from kernel_model.core.billing import charge, payer, trace
from kernel_model.core.lists import append, prepend, unlink
from kernel_model.core.locks import touch
from kernel_model.core.prices import DEFER, IN_KERNEL
from kernel_model.core.schedule import wake
from kernel_model.core.tables import NONE, PARKED, Q_DEFERRED, R_ARRIVING, R_SUBMITTING, X_DEFER, Tables

ONE: Final = 1


@hot
def must_queue(k: Tables, p: int) -> bool:
    """Whether an event for the grafts of process `p` has to wait behind others (the one being resumed does not)."""
    return bool(k.process[p]["deferred"] > 0 and k.meter[0]["resumed"] == NONE)


@rare
def defer(k: Tables, p: int, r: int, g: int, state: int) -> None:
    """Queue the event of `r`, which is in no queue; graft `g` of process `p` is the next to see it (NONE: nobody)."""
    request = k.request[r]
    q = k.process[p]["partner"]
    request["state"] = state
    request["graft"] = g
    request["holder"] = p
    touch(k, k.process[p]["core"])
    k.process[p]["deferred"] += 1
    count_entering(k, r, ONE)
    if k.meter[0]["resumed"] == r:
        prepend(k, k.process[q]["queues"] + Q_DEFERRED, k.request, r)
    else:
        append(k, k.process[q]["queues"] + Q_DEFERRED, k.request, r)
        charge(k, payer(k, p), IN_KERNEL, DEFER, ONE)
        k.meter[0]["deferrals"] += 1
        trace(k, X_DEFER, p, g, request["tag"], state)
    if k.process[q]["state"] == PARKED:
        wake(k, q)


@hot
def take_back(k: Tables, r: int) -> None:
    """Take a deferred event out of its queue."""
    request = k.request[r]
    p = request["holder"]
    unlink(k, k.process[k.process[p]["partner"]]["queues"] + Q_DEFERRED, k.request, r)
    k.process[p]["deferred"] -= 1
    count_entering(k, r, -ONE)
    request["holder"] = NONE


@hot
def count_entering(k: Tables, r: int, change: int) -> None:
    """Keep count of the submissions of a process and of the arrivals at an endpoint that are deferred."""
    request = k.request[r]
    if request["state"] == R_SUBMITTING:
        k.process[request["process"]]["entering"] += change
    elif request["state"] == R_ARRIVING:
        k.endpoint[request["endpoint"]]["deferred"] += change
