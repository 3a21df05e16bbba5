"""The life of a request in the kernel: it arrives, is received, is taken back. It begins in `submission`, or at a
graft's commit (`activation`), is answered in `replies`, and `outcomes` tells who is told of its end.

Each checks everything first, then passes a marked point behind which nothing fails, and only then has effects. None
advances time: they charge counts (`billing.charge`) and `simulate` turns the sum into time.

The life of a request:

    draft --submit--> WORK --arrive--> RECEIVED --reply--> WORK --conclude--> completion, or consumed by a graft
                        |        \\--> QUEUED --receive--^
                        |         \\-> CALLER (a call at a full endpoint waits here) --^
                        |\\-> HELD (a graft said so) --release--> WORK
                        \\--> WAITING (for a promise, an argument, or another that does) --dispatch--> WORK

Whatever follows from an operation in the same section (a graft's sends, answers, refusals) goes through one queue,
`Q_WORK`, which `drain` empties: a request there without an outcome is about to arrive, one with an outcome has ended
and is about to be told. So nothing recurs, and messages on one capability arrive in the order of their commits.
"""

from __future__ import annotations

from typing import Final

from grafting import hooks
from jit.hot import hot, inlined
from kernel_model.core.activation import ON_REQUEST, activate, admit, find_handler, show_request
from kernel_model.core.billing import charge, charge_transfer, payer, trace
from kernel_model.core.capabilities import check_capability, in_slot, void_right
from kernel_model.core.contexts import FOR_KERNEL, pay, run_on
from kernel_model.core.deferred import defer, must_queue, take_back
from kernel_model.core.helpers import drop_answer
from kernel_model.core.links import follow
from kernel_model.core.lists import append, first, pop, unlink
from kernel_model.core.locks import touch_endpoint
from kernel_model.core.outcomes import close, conclude
from kernel_model.core.parcels import drop_capabilities, land
from kernel_model.core.pools import replace_body
from kernel_model.core.prices import HOOK_CHECK, IN_HOOK_CHECK, IN_KERNEL, VISIT
from kernel_model.core.promises import stop_waiting_for
from kernel_model.core.requests import finish, first_own, next_own, note_received
from kernel_model.core.room import RESERVED, has_free_place, has_place, release_place, reserve_place
from kernel_model.core.schedule import wake
from kernel_model.core.shared import leave_ring
from kernel_model.core.tables import (
    BLOCKED,
    CALLING,
    CANCELLED,
    DEAD,
    ECANCELED,
    ERROR,
    LATER,
    NO_OUTCOME,
    NO_REASON,
    NONE,
    Q_CALLERS,
    Q_HELD,
    Q_ORPHANS,
    Q_RECEIVERS,
    Q_REQUESTS,
    Q_WORK,
    R_ARRIVING,
    R_CALLER,
    R_HELD,
    R_LINKED,
    R_QUEUED,
    R_RECEIVED,
    R_RINGED,
    R_SUBMITTING,
    R_WAITING,
    R_WORK,
    RECEIVING,
    REFUSED,
    REPLIED,
    TIMED_OUT,
    X_ARRIVE,
    X_RECEIVE,
    Tables,
)

PASS: Final = hooks.PASS
ANSWERED: Final = hooks.ANSWERED
DROP: Final = hooks.DROP
STEER: Final = hooks.STEER
STEERED_AT_MOST: Final = 8  # a message, all in one section, however cheap the handlers are
ONE: Final = 1
DONE: Final = 0


# --- arrive -----------------------------------------------------------------------------------------------------------


@inlined
def drain(k: Tables) -> None:
    """Deal with all that the section has caused so far."""
    payers = k.config[0]["contexts"] != 0
    entered_by = k.meter[0]["paying"]
    if first(k, Q_WORK) != NONE or first(k, Q_ORPHANS) != NONE:
        work_off(k, payers)
    if payers:
        pay(k, entered_by, FOR_KERNEL)


@hot
def work_off(k: Tables, payers: bool) -> None:
    """Let the requests of `Q_WORK` arrive or be told of, then close the operations that have nothing left."""
    r = pop(k, Q_WORK, k.request)
    while r != NONE:
        if payers:
            pay(k, k.operation[k.request[r]["operation"]]["context"], FOR_KERNEL)
        if k.request[r]["outcome"] == NO_OUTCOME:
            arrive(k, r)
        else:
            if k.request[r]["chained"] != 0:
                follow(k, r)
            conclude(k, r)
        r = pop(k, Q_WORK, k.request)
    o = pop(k, Q_ORPHANS, k.operation)
    while o != NONE:
        if k.operation[o]["outstanding"] == 0:
            close(k, o)
        o = pop(k, Q_ORPHANS, k.operation)


@hot
def arrive(k: Tables, r: int) -> None:
    """A request reaches its endpoint: a graft there may answer, refuse or steer it; else it is received or queued."""
    request = k.request[r]
    endpoint = k.endpoint[request["endpoint"]]
    touch_endpoint(k, request["endpoint"])
    if endpoint["alive"] == 0:
        release_place(k, r)
        finish(k, r, REFUSED, DONE)
        return
    trace(k, X_ARRIVE, request["endpoint"], request["operation"], request["tag"], request["op"])
    if endpoint["graft"] == NONE:
        charge(k, payer(k, request["process"]), IN_HOOK_CHECK, HOOK_CHECK, ONE)
    elif not ask_endpoint(k, r, endpoint["graft"]):
        return
    enqueue(k, r)


@hot
def ask_endpoint(k: Tables, r: int, g: int) -> bool:
    """Run the `request` handlers at the endpoint from graft `g` on; whether the request is to be queued after all, now.

    The sender pays, from the fuel in its message and on the context of its operation. What it cannot pay for is queued
    in the ordinary way.
    """
    request, meter = k.request[r], k.meter[0]
    endpoint = k.endpoint[request["endpoint"]]
    x = k.operation[request["operation"]]["context"]
    owner = endpoint["owner"]
    if endpoint["deferred"] > 0 and meter["resumed"] == NONE:
        defer(k, owner, r, g, R_ARRIVING)
        return False
    while g != NONE:
        following = k.graft[g]["served_next"]
        h = find_handler(k, g, ON_REQUEST, NONE, request["op"])
        reason = LATER
        if h != NONE and not must_queue(k, owner):
            reason = admit(k, g, h, request["fuel"], x)
        if h != NONE and reason == LATER and k.process[owner]["state"] != DEAD:
            defer(k, owner, r, g, R_ARRIVING)
            return False
        if h != NONE and reason == NO_REASON:
            show_request(k, g, r, ON_REQUEST)
            meter["owner"] = k.graft[g]["process"]
            meter["operation"] = NONE
            verdict = activate(k, g, h, payer(k, request["process"]), x)
            request["fuel"] = meter["fuel"]
            if verdict != PASS:
                return obey_endpoint(k, g, r, verdict)
            drop_answer(k)
        g = following
    return True


@hot
def obey_endpoint(k: Tables, g: int, r: int, verdict: int) -> bool:
    """Do what a `request` handler decided; whether the request is still to be queued.

    What is steered arrives anew, under the badge of the slot that it went through: a graft at the other endpoint is
    asked about it too. What cannot be steered any further stays where it is.
    """
    request, meter = k.request[r], k.meter[0]
    if verdict >= STEER:
        drop_answer(k)
        slot = verdict - STEER
        c = in_slot(k, g, slot) if slot < k.graft[g]["slots"] else NONE
        fits = check_capability(k, c) == DONE and has_place(k, k.capability[c]["endpoint"])
        if fits and request["steered"] < STEERED_AT_MOST:
            request["steered"] += 1
            free_place(k, r)
            request["endpoint"] = k.capability[c]["endpoint"]
            request["badge"] = k.capability[c]["badge"]
            reserve_place(k, r)
            append(k, Q_WORK, k.request, r)
            return False
        return True
    free_place(k, r)
    if request["parcel"] != NONE:
        drop_capabilities(k, request["parcel"])
    if verdict == ANSWERED and meter["answered"] != 0:
        meter["answered"] = 0
        status = meter["answer_status"]
        replace_body(k, r, meter["answer_body"], meter["answer_length"], meter["answer_room"])
        finish(k, r, REPLIED if status == 0 else ERROR, status)
    else:
        drop_answer(k)
        finish(k, r, REFUSED, DONE)
    return False


@hot
def enqueue(k: Tables, r: int) -> None:
    """Give a request to the receiver that has waited longest, or queue it, or let it wait for room."""
    request = k.request[r]
    e = request["endpoint"]
    endpoint = k.endpoint[e]
    reserved = request["place"] == RESERVED
    room = reserved or (has_free_place(k, e) and first(k, endpoint["queues"] + Q_CALLERS) == NONE)
    release_place(k, r)
    if endpoint["waiting"] > 0:
        q = pop(k, endpoint["queues"] + Q_RECEIVERS, k.process)
        endpoint["waiting"] -= 1
        take_in(k, q, r)
        wake(k, q)
        k.meter[0]["direct"] = q
    elif room:
        request["state"] = R_QUEUED
        endpoint["queued"] += 1
        append(k, endpoint["queues"] + Q_REQUESTS, k.request, r)
    else:
        request["state"] = R_CALLER
        append(k, endpoint["queues"] + Q_CALLERS, k.request, r)
        if k.process[request["process"]]["state"] == CALLING:
            k.process[request["process"]]["state"] = BLOCKED


@hot
def take_in(k: Tables, p: int, r: int) -> None:
    """Process `p` receives request `r`: it holds the reply right, and the body has been moved to it."""
    request = k.request[r]
    request["state"] = R_RECEIVED
    request["holder"] = p
    k.process[p]["request"] = r
    if k.process[p]["passive"] != 0:
        run_on(k, p, k.operation[request["operation"]]["context"])
    note_received(k, r)
    if request["parcel"] != NONE:
        land(k, request["parcel"], p, k.process[p]["landing"])
    charge_transfer(k, payer(k, request["process"]), request["length"])
    trace(k, X_RECEIVE, p, request["operation"], request["tag"], request["op"])


@hot
def receive(k: Tables, p: int, e: int) -> bool:
    """Process `p` takes the oldest request at endpoint `e`, or waits for one; whether it has one."""
    endpoint = k.endpoint[e]
    touch_endpoint(k, e)
    r = pop(k, endpoint["queues"] + Q_REQUESTS, k.request)
    if r != NONE:
        endpoint["queued"] -= 1
        take_in(k, p, r)
        admit_caller(k, e)
        return True
    r = pop(k, endpoint["queues"] + Q_CALLERS, k.request)
    if r != NONE:
        unblock(k, r)
        take_in(k, p, r)
        return True
    k.process[p]["state"] = RECEIVING
    append(k, endpoint["queues"] + Q_RECEIVERS, k.process, p)
    endpoint["waiting"] += 1
    return False


@hot
def free_place(k: Tables, r: int) -> None:
    """Give up the place that request `r` has reserved, if it has: a call may wait for it."""
    if k.request[r]["place"] != 0:
        release_place(k, r)
        admit_caller(k, k.request[r]["endpoint"])


@hot
def admit_caller(k: Tables, e: int) -> None:
    """A place at an endpoint has become free: the request that has waited longest for it moves into the queue."""
    if has_free_place(k, e):
        r = pop(k, k.endpoint[e]["queues"] + Q_CALLERS, k.request)
        if r != NONE:
            unblock(k, r)
            reserve_place(k, r)  # not for those who wait behind it
            enqueue(k, r)


@hot
def unblock(k: Tables, r: int) -> None:
    """The process of a waiting call is no longer blocked at the endpoint, but waits for its answer."""
    p = k.request[r]["process"]
    if k.process[p]["state"] == BLOCKED:
        k.process[p]["state"] = CALLING


# --- taking back ------------------------------------------------------------------------------------------------------


@hot
def withdraw(k: Tables, r: int, outcome: int) -> None:
    """End a request wherever it is; a server that holds it runs on, and its reply is dropped."""
    request = k.request[r]
    state = request["state"]
    if request["endpoint"] != NONE:
        touch_endpoint(k, request["endpoint"])
    if state == R_QUEUED:
        unlink(k, k.endpoint[request["endpoint"]]["queues"] + Q_REQUESTS, k.request, r)
        k.endpoint[request["endpoint"]]["queued"] -= 1
        admit_caller(k, request["endpoint"])
    elif state == R_CALLER:
        unlink(k, k.endpoint[request["endpoint"]]["queues"] + Q_CALLERS, k.request, r)
        unblock(k, r)
    elif state == R_HELD:
        unlink(k, k.graft[request["graft"]]["queues"] + Q_HELD, k.request, r)
        k.graft[request["graft"]]["held"] -= 1
    elif state in (R_SUBMITTING, R_ARRIVING):
        take_back(k, r)
        free_place(k, r)
    elif state == R_WAITING:
        stop_waiting_for(k, r)
    elif state == R_WORK:  # it has just been let go by another that was taken back
        unlink(k, Q_WORK, k.request, r)
        free_place(k, r)
    elif state == R_RECEIVED:
        void_right(k, r)
    elif state == R_RINGED:
        leave_ring(k, r)
    finish(k, r, outcome, DONE)


@hot
def is_under_way(k: Tables, r: int) -> bool:
    """Whether a request waits or is being served somewhere."""
    request = k.request[r]
    state = request["state"]
    waits = state in (R_QUEUED, R_CALLER, R_HELD, R_RECEIVED, R_WAITING, R_SUBMITTING, R_ARRIVING, R_LINKED,
                      R_RINGED, R_WORK)  # fmt: skip
    return bool(waits and request["outcome"] == NO_OUTCOME)


@hot
def expire(k: Tables, r: int) -> None:
    """The deadline of request `r` has passed. The timer is already out of the heap."""
    withdraw(k, r, TIMED_OUT)
    request = k.request[r]
    if request["chained"] != 0 and request["guards"] != NONE:
        withdraw(k, request["guards"], CANCELLED)


@hot
def cancel(k: Tables, p: int, tag: int) -> int:
    """Cancel the oldest request of process `p` with this tag that has not ended; return how many there were, 0 or 1.

    An entry of a chain whose turn has not come ends when it comes (`links.start`), and severs the chain like a failure.
    """
    r = first_own(k, p)
    looked_at = 0
    while r != NONE:
        looked_at += 1
        if k.request[r]["tag"] == tag and is_under_way(k, r):
            break
        r = next_own(k, r)
    charge(k, payer(k, p), IN_KERNEL, VISIT, looked_at)
    if r == NONE:
        return 0
    if k.request[r]["state"] == R_LINKED and k.request[r]["timer"] == NONE:
        k.request[r]["failed"] = -ECANCELED
    else:
        withdraw(k, r, CANCELLED)
    return 1
