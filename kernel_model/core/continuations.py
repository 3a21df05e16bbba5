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
from kernel_model.core.activation import ON_SUBMIT, admit, find_handler, slot_of
from kernel_model.core.billing import trace
from kernel_model.core.deferred import take_back
from kernel_model.core.lists import first
from kernel_model.core.operations import run_submit
from kernel_model.core.ops import ask_endpoint, enqueue, free_place
from kernel_model.core.outcomes import close, complete, retire, tell
from kernel_model.core.parcels import carry, free_request, split_off
from kernel_model.core.promises import dispatch
from kernel_model.core.requests import finish
from kernel_model.core.room import release_place
from kernel_model.core.tables import (
    CANCELLED,
    NO_REASON,
    NONE,
    Q_DEFERRED,
    R_ARRIVING,
    R_ENDING,
    R_SUBMITTING,
    R_WORK,
    X_FALLBACK,
    Tables,
)
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
        resume_submission(k, r, g)
    else:
        resume_timer(k, r, g)
    meter["resumed"] = NONE
    meter["continuing"] = 0


@hot
def resume_submission(k: Tables, r: int, g: int) -> None:
    """A deferred submission has its turn; `g` is NONE for one that only had to wait behind others."""
    request = k.request[r]
    request["state"] = R_WORK
    if g == NONE:
        dispatch(k, r)
        return
    h = find_handler(k, g, ON_SUBMIT, slot_of(k, g, request["capability"]), request["op"])
    reason = admit(k, g, h, request["fuel"], k.process[request["process"]]["on"])
    if reason == NO_REASON:
        run_submit(k, g, h, r)
    else:
        request["graft"] = g
        request["reason"] = reason
        k.meter[0]["fallbacks"] += 1
        trace(k, X_FALLBACK, g, h, request["tag"], reason)
        return_submission(k, r)


@hot
def return_submission(k: Tables, r: int) -> None:
    """Give a submission back to the client, whose library asks the graft and submits again: its operation is over.

    What it carries goes with it. Those that wait for its reply end `broken`: they cannot wait for another operation's.
    """
    request = k.request[r]
    o = request["operation"]
    free_place(k, r)
    request["state"] = R_SUBMITTING
    request["outcome"] = CANCELLED
    luggage = split_off(k, r)
    retire(k, r)
    carry(k, r, luggage)
    complete(k, o, r, CANCELLED)
    free_request(k, r)
    k.operation[o]["outstanding"] -= 1
    close(k, o)


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
