"""How requests and operations end, and who is told: a graft, which may consume it, or the client, by a completion.

`requests.finish` gives a request its terminal status; `conclude`, reached through the section's work, tells whom it
concerns. An operation is complete when one of its requests is delivered; what ends later is discarded and counted as
`late`. When nothing of it is outstanding and it has no completion, it starved, and its client learns that too: so a
graft that consumes and sends nothing cannot make a client sleep for ever.

Room for the completion of an operation was reserved at submission, so delivery never fails. What a graft could not see
in the kernel is told besides, for which nothing was reserved. It takes free room, or that of its operation, or it waits
*behind* the queue, in the kernel, in order, until its process enters the kernel with room (`catch_up`, before anything
new is submitted), or something else of it is posted. So nothing is lost and nothing can wait for itself: an operation
has room of its own, or has used it for something that its client will take from the queue. What is behind is bounded by
what was in flight. (io_uring keeps its completions so that overflow, IORING_FEAT_NODROP.)
"""

from __future__ import annotations

from typing import Final

from grafting import hooks
from jit.hot import hot, rare
from kernel_model.core.activation import (
    ON_FAILURE,
    ON_REPLY,
    activate,
    admit,
    handler_for,
    show_request,
    status_of,
)
from kernel_model.core.billing import charge, operation_ends, payer, request_ends, trace
from kernel_model.core.deferred import defer, must_queue
from kernel_model.core.fallbacks import note_fallback
from kernel_model.core.heap import drop_timer
from kernel_model.core.leaving import note_closed, sees
from kernel_model.core.lists import append
from kernel_model.core.locks import touch
from kernel_model.core.paging import drop_lead
from kernel_model.core.parcels import drop_capabilities, free_request, land, truncate
from kernel_model.core.pools import give, take
from kernel_model.core.prices import HOOK_CHECK, IN_HOOK_CHECK, IN_KERNEL, NOTIFY
from kernel_model.core.promises import settle
from kernel_model.core.requests import leave, note_received
from kernel_model.core.room import has_completion
from kernel_model.core.schedule import wake
from kernel_model.core.tables import (
    CANCELLED,
    DEAD,
    LATER,
    NO_REASON,
    NONE,
    O_CALL,
    O_GRAFT,
    OF_OPERATION,
    OF_SUBMISSION,
    P_COMPLETION,
    P_OPERATION,
    Q_COMPLETIONS,
    Q_ORPHANS,
    R_ENDING,
    R_SUBMITTING,
    REPLIED,
    STARVED,
    WAITING,
    X_COMPLETE,
    X_END,
    Tables,
)

DELIVER: Final = hooks.DELIVER
ONE: Final = 1
DONE: Final = 0
CONSUMED, TOLD, WAITS = range(3)


@hot
def conclude(k: Tables, r: int) -> None:
    """A request has ended: drop it if its operation is complete, else ask the grafts of its process, else complete."""
    retire(k, r)
    touch(k, k.process[k.request[r]["process"]]["core"])
    tell(k, r, k.process[k.request[r]["process"]]["graft"])


@hot
def tell(k: Tables, r: int, g: int) -> None:
    """Tell whom it concerns that `r` has ended: the grafts of its process from `g` on, then the client."""
    request, meter = k.request[r], k.meter[0]
    o = request["operation"]
    if k.operation[o]["completed"] != 0:
        meter["late"] += 1
    elif request["silent"] == 0:
        answer = ask_client(k, r, g)
        if answer == WAITS:
            return
        if answer == TOLD:
            deliver(k, r, request["outcome"])
    let_end(k, r)


@hot
def deliver(k: Tables, r: int, outcome: int) -> None:
    """Deliver request `r` to its client, which completes its operation.

    What a graft could not see in the kernel does not complete an operation that waits for more: the client's library
    deals with it while the rest goes on.
    """
    request = k.request[r]
    o = request["operation"]
    operation = k.operation[o]
    p = operation["process"]
    if request["reason"] != NO_REASON and operation["outstanding"] > 1 and k.process[p]["cq_capacity"] > 0:
        if operation["cookie"] != NONE:
            k.job[operation["cookie"]]["pending"] += 1
        post_further(k, p, o, announce(k, o, r, outcome))
    else:
        complete(k, o, r, outcome)


@hot
def let_end(k: Tables, r: int) -> None:
    """Free request `r`, of which everybody has been told; perhaps it was the last of its operation."""
    o = k.request[r]["operation"]
    free_request(k, r)
    k.operation[o]["outstanding"] -= 1
    if k.operation[o]["outstanding"] == 0:
        close(k, o)


@hot
def retire(k: Tables, r: int) -> None:
    """Take an ended request out of the books; its deadline no longer matters."""
    request = k.request[r]
    if request["timer"] != NONE:
        drop_timer(k, request["timer"])
        request["timer"] = NONE
    request_ends(k, r)
    leave(k, r)
    note_received(k, r)
    trace(k, X_END, request["operation"], request["tag"], request["outcome"], request["status"])
    if request["parcel"] != NONE:
        if request["outcome"] != REPLIED:
            drop_capabilities(k, request["parcel"])
        settle(k, r)
        truncate(k, request["parcel"], k.operation[request["operation"]]["landing"])


@hot
def absorb(k: Tables, r: int) -> None:
    """A graft has taken a submission as its own: the request ends here and nobody is told.

    Its operation lives on in what the graft has sent or armed for it; if that is nothing, it starves.
    """
    request = k.request[r]
    operation = k.operation[request["operation"]]
    request["outcome"] = CANCELLED
    retire(k, r)
    operation["outstanding"] -= 1
    if operation["outstanding"] == 0:
        append(k, Q_ORPHANS, k.operation, request["operation"])
    free_request(k, r)


@hot
def ask_client(k: Tables, r: int, g: int) -> int:
    """Run the `reply` or `failure` handlers of the process's grafts, from `g` on; return whether the client is to be
    TOLD, the ending was CONSUMED, or WAITS in the continuation of the process.

    A handler that may not run leaves its mark in the request: the client's library will run it.
    """
    request, meter = k.request[r], k.meter[0]
    p = request["process"]
    if g == NONE:
        charge(k, payer(k, p), IN_HOOK_CHECK, HOOK_CHECK, ONE)
    event = ON_REPLY if request["outcome"] == REPLIED else ON_FAILURE
    while g != NONE:
        following = k.graft[g]["next"]
        h = NONE
        if sees(k, g, request["operation"]):
            h = handler_for(k, g, event, r)
        if h != NONE:
            installer = k.graft[g]["process"]
            x = k.process[installer]["on"]
            reason = LATER if must_queue(k, p) else admit(k, g, h, request["fuel"], x)
            if reason == LATER:
                defer(k, p, r, g, R_ENDING)
                return WAITS
            if reason != NO_REASON:
                request["graft"] = g
                request["reason"] = reason
                note_fallback(k, g, h, request["tag"], reason)
                return TOLD
            show_request(k, g, r, event)
            meter["owner"] = p
            meter["operation"] = request["operation"]
            if activate(k, g, h, payer(k, installer), x) != DELIVER:
                k.graft[g]["consumed"] += 1
                return CONSUMED
            request["fuel"] = meter["fuel"]
        g = following
    return TOLD


@hot
def close(k: Tables, o: int) -> None:
    """Nothing of an operation is outstanding: if it has no completion it starved, which its client must learn."""
    operation = k.operation[o]
    if operation["completed"] == 0:
        if operation["origin"] == O_GRAFT:
            dismiss(k, o)
        else:
            k.meter[0]["starved"] += 1
            complete(k, o, NONE, STARVED)
    give(k, P_OPERATION, k.operation, o)
    p = operation["process"]
    k.process[p]["operations"] -= 1
    if k.process[p]["leaving"] != 0:
        note_closed(k, o, p)


@rare
def dismiss(k: Tables, o: int) -> None:
    """End an operation that a graft began for itself and has dealt with: nobody waits for a completion."""
    operation = k.operation[o]
    k.process[operation["process"]]["cq_reserved"] -= operation["reserved"]
    operation["completed"] = 1
    operation_ends(k, operation["submitted_at"])


@hot
def complete(k: Tables, o: int, r: int, outcome: int) -> None:
    """Deliver the completion of operation `o`, with the body of request `r` (NONE: none). It cannot fail."""
    if end_operation(k, o):
        hand_over(k, o, announce(k, o, r, outcome))


@hot
def end_operation(k: Tables, o: int) -> bool:
    """Count operation `o` as completed; whether there is anybody to be told."""
    operation = k.operation[o]
    operation["completed"] = 1
    operation_ends(k, operation["submitted_at"])
    return bool(k.process[operation["process"]]["state"] != DEAD)


@hot
def hand_over(k: Tables, o: int, c: int) -> None:
    """Give the completion `c` of operation `o` to its process."""
    p = k.operation[o]["process"]
    if k.operation[o]["origin"] == O_CALL:
        k.process[p]["completion"] = c
        k.process[p]["result"] = 0
        wake(k, p)
        k.meter[0]["direct"] = p
    elif k.operation[o]["reserved"] != 0:
        post(k, p, c)
    else:
        post_further(k, p, o, c)


@hot
def announce(k: Tables, o: int, r: int, outcome: int) -> int:
    """Return a completion that says how operation `o` ended."""
    operation = k.operation[o]
    c = take(k, P_COMPLETION, k.completion)
    completion = k.completion[c]
    completion["posted_at"] = k.meter[0]["now"]
    completion["poster"] = k.meter[0]["core"]
    completion["kind"] = OF_OPERATION
    completion["outcome"] = outcome
    completion["cookie"] = operation["cookie"]
    completion["graft"] = NONE
    completion["reason"] = NO_REASON
    completion["parcel"] = NONE
    completion["deadline"] = NONE
    trace(k, X_COMPLETE, operation["process"], o, operation["tag"], outcome)
    if r == NONE:
        completion["tag"] = operation["tag"]
        completion["status"] = status_of(outcome, DONE)
        completion["capability"] = NONE
        completion["op"] = 0
        completion["badge"] = 0
        completion["body"] = 0
        completion["length"] = 0
        completion["room"] = 0
        return c
    request = k.request[r]
    if request["state"] == R_SUBMITTING:
        completion["kind"] = OF_SUBMISSION
        completion["deadline"] = request["deadline"]
    completion["tag"] = request["tag"]
    completion["status"] = status_of(outcome, request["status"])
    completion["capability"] = request["capability"]
    completion["epoch"] = request["epoch"]
    completion["op"] = request["op"]
    completion["badge"] = request["badge"]
    completion["body"] = request["body"]
    completion["length"] = request["length"]
    completion["room"] = request["room"]
    request["room"] = 0
    completion["graft"] = request["graft"]
    if request["graft"] != NONE:
        k.graft[request["graft"]]["pending"] += 1
    completion["reason"] = request["reason"]
    x = request["parcel"]
    if x != NONE and request["state"] == R_SUBMITTING:
        completion["parcel"] = x
        request["parcel"] = NONE
    elif x != NONE and k.parcel[x]["count"] > 0:
        land(k, x, operation["process"], operation["landing"])
        completion["parcel"] = x
        request["parcel"] = NONE
    return c


@hot
def post(k: Tables, p: int, c: int) -> None:
    """Put a completion, for which room is reserved, into the queue of process `p`."""
    process = k.process[p]
    process["cq_reserved"] -= 1
    process["cq_posted"] += 1
    append(k, process["queues"] + Q_COMPLETIONS, k.completion, c)
    charge(k, payer(k, p), IN_KERNEL, NOTIFY, ONE)
    if process["state"] == WAITING and process["cq_posted"] >= process["wait_for"]:
        stop_waiting(k, p)


@hot
def post_further(k: Tables, p: int, o: int, c: int) -> None:
    """Post a completion for which no room is reserved: in free room, in that of its operation `o`, or behind."""
    process = k.process[p]
    if has_completion(k, p):
        process["cq_reserved"] += 1
        post(k, p, c)
    elif k.operation[o]["reserved"] != 0:
        k.operation[o]["reserved"] = 0
        post(k, p, c)
    else:
        process["cq_behind"] += 1
        append(k, process["queues"] + Q_COMPLETIONS, k.completion, c)
        charge(k, payer(k, p), IN_KERNEL, NOTIFY, ONE)


@hot
def catch_up(k: Tables, p: int) -> None:
    """Let process `p`, which has entered the kernel, see what waits behind its queue, as far as there is room."""
    process = k.process[p]
    while process["cq_behind"] > 0 and has_completion(k, p):
        process["cq_behind"] -= 1
        process["cq_posted"] += 1


@hot
def stop_waiting(k: Tables, p: int) -> None:
    """Wake a process that waits or sleeps."""
    process = k.process[p]
    if process["timer"] != NONE:
        drop_timer(k, process["timer"])
        process["timer"] = NONE
    if process["paging"] != 0:
        drop_lead(k, p)
    wake(k, p)
    k.meter[0]["direct"] = p
