"""Continuations: the threads in which deferred events are dealt with, one in each turn on the core.

A turn is a section without an entry from user mode: the oldest event of the queue (`deferred`), at most one activation,
all that follows from it. Then whoever is ready and more important runs, and interrupts are taken; so the longest time
for which a deferred activation keeps anybody waiting is its own bound, at most `admission.ATTACH_NS`, and only threads
of no higher priority than its installer's.

An event that cannot be paid for when its turn has come, or whose graft was detached meanwhile, falls back as it would
have done at once: an arrival is queued in the ordinary way, anything else is delivered to the client with the reason.
"""

from __future__ import annotations

from typing import Final

from jit.hot import hot
from kernel_model.core.deferred import take_back
from kernel_model.core.leaving import let_leave
from kernel_model.core.lists import first
from kernel_model.core.operations import ask_on
from kernel_model.core.ops import ask_endpoint, enqueue, free_place
from kernel_model.core.outcomes import close, tell
from kernel_model.core.parcels import free_request
from kernel_model.core.requests import finish
from kernel_model.core.room import release_place
from kernel_model.core.tables import CANCELLED, NONE, Q_DEFERRED, R_ARRIVING, R_ENDING, R_SUBMITTING, R_WORK, Tables
from kernel_model.core.timers import resume_timer

DONE: Final = 0


@hot
def continue_one(k: Tables, q: int) -> None:
    """Continuation `q` has its turn: deal with its oldest event."""
    meter = k.meter[0]
    r = first(k, k.process[q]["queues"] + Q_DEFERRED)
    if r == NONE:
        return
    request = k.request[r]
    state, g = request["state"], request["graft"]
    take_back(k, r)
    request["graft"] = NONE
    meter["resumed"] = r
    meter["continuing"] = 1
    if state == R_ENDING:
        tell(k, r, g)
    elif state == R_ARRIVING:
        request["state"] = R_WORK
        if ask_endpoint(k, r, g):
            enqueue(k, r)
    elif state == R_SUBMITTING:
        request["state"] = R_WORK
        ask_on(k, r, g)
    else:
        resume_timer(k, r, g)
    meter["resumed"] = NONE
    meter["continuing"] = 0
    p = k.process[q]["partner"]
    if k.process[p]["leaving"] != 0:
        let_leave(k, p)


@hot
def flush(k: Tables, p: int) -> None:
    """Process `p` is dying: end what was deferred for it."""
    q = k.process[p]["partner"]
    r = first(k, k.process[q]["queues"] + Q_DEFERRED) if q != NONE else NONE
    while r != NONE:
        request = k.request[r]
        state, o = request["state"], request["operation"]
        take_back(k, r)
        request["graft"] = NONE
        if state == R_SUBMITTING:
            free_place(k, r)
            finish(k, r, CANCELLED, DONE)
        elif state == R_ARRIVING:
            flush_arrival(k, r)
        else:
            free_request(k, r)
            if o != NONE:
                k.operation[o]["outstanding"] -= 1
                if k.operation[o]["outstanding"] == 0:
                    close(k, o)
        r = first(k, k.process[q]["queues"] + Q_DEFERRED)


@hot
def flush_arrival(k: Tables, r: int) -> None:
    """An arrival is queued in the ordinary way if somebody else receives at its endpoint."""
    if k.endpoint[k.request[r]["endpoint"]]["alive"] != 0:
        enqueue(k, r)
    else:
        release_place(k, r)
        finish(k, r, CANCELLED, DONE)
