"""The operations of the kernel: submit, arrive, receive, reply, forward, cancel. How they end is told in `outcomes`.

Each checks everything first, then passes a marked point behind which nothing fails, and only then has effects. None
advances time: they charge counts (`billing.charge`) and `simulate` turns the sum into time.

The life of a request:

    draft --submit--> WORK --arrive--> RECEIVED --reply--> WORK --conclude--> completion, or consumed by a graft
                        |        \\--> QUEUED --receive--^
                        |         \\-> CALLER (a call at a full endpoint waits here) --^
                        \\--> HELD (a graft said so) --release--> WORK

Whatever follows from an operation in the same section (a graft's sends, answers, refusals) goes through one queue,
`Q_WORK`, which `drain` empties: a request there without an outcome is about to arrive, one with an outcome has ended
and is about to be told. So nothing recurs, and messages on one capability arrive in the order of their commits.
"""

from __future__ import annotations

from typing import Final

from grafting import hooks
from jit.hot import hot
from kernel_model.core.activation import (
    ON_REQUEST,
    ON_SUBMIT,
    activate,
    admit,
    find_handler,
    next_serial,
    open_operation,
    show_request,
    slot_of,
)
from kernel_model.core.billing import (
    charge,
    charge_transfer,
    payer,
    request_begins,
    trace,
)
from kernel_model.core.contexts import FOR_KERNEL, pay
from kernel_model.core.deferred import defer, must_queue, take_back
from kernel_model.core.heap import set_timer
from kernel_model.core.helpers import check_capability, drop_answer, has_completion, has_place
from kernel_model.core.lists import append, pop, unlink
from kernel_model.core.locks import touch_endpoint
from kernel_model.core.outcomes import absorb, close, conclude, finish
from kernel_model.core.pools import give_request, replace_body
from kernel_model.core.prices import HOOK_CHECK, IN_HOOK_CHECK
from kernel_model.core.schedule import wake
from kernel_model.core.tables import (
    BLOCKED,
    CALLING,
    CANCELLED,
    DEAD,
    EAGAIN,
    ENOTSUP,
    ERROR,
    LATER,
    LOWER_PRIORITY,
    NO_OUTCOME,
    NO_REASON,
    NONE,
    O_CALL,
    O_SUBMITTED,
    OVER_EAGER,
    Q_CALLERS,
    Q_HELD,
    Q_ORPHANS,
    Q_RECEIVERS,
    Q_REQUESTS,
    Q_WORK,
    R_ARRIVING,
    R_CALLER,
    R_HELD,
    R_QUEUED,
    R_RECEIVED,
    R_SUBMITTING,
    R_WORK,
    RECEIVING,
    REFUSED,
    REPLIED,
    T_DEADLINE,
    TIMED_OUT,
    X_ARRIVE,
    X_RECEIVE,
    X_REPLY,
    X_SUBMIT,
    Tables,
)

PASS: Final = hooks.PASS
ANSWERED: Final = hooks.ANSWERED
DROP: Final = hooks.DROP
HOLD: Final = hooks.HOLD
TAKEN: Final = hooks.TAKEN
STEER: Final = hooks.STEER
HELD_AT_ONCE: Final = 64  # requests held by one graft: bounds the search for a tag
ONE: Final = 1
DONE: Final = 0


# --- submit -----------------------------------------------------------------------------------------------------------


@hot
def submit(k: Tables, p: int, r: int, blocking: int) -> int:
    """Submit the draft `r` (in no queue) as an operation of process `p`; 0, or a negated errno and no effect.

    `blocking`: a call, which waits for room at the endpoint and is handed its completion. Otherwise room at the
    endpoint and for the completion is reserved here, so that nothing later can fail. A capability that was revoked,
    or whose endpoint has died, is no error of the caller: its operation ends `refused`.

    -ENOTSUP: the graft with the `submit` handler (`request.graft`) cannot be asked here; the library asks it in user
    mode and submits again, `vetted`.
    """
    request, meter = k.request[r], k.meter[0]
    c = request["capability"]
    usable = check_capability(k, c)
    capability = k.capability[c]
    dead = capability["alive"] == 0 or k.endpoint[capability["endpoint"]]["alive"] == 0
    if usable != DONE and not dead:
        return usable
    if blocking == 0:
        if not has_completion(k, p) or (not dead and not has_place(k, capability["endpoint"])):
            meter["refused"] += 1
            return -EAGAIN
    g, h = submit_handler(k, p, r)
    later = k.process[p]["entering"] > 0
    if h != NONE:
        reason = LATER if must_queue(k, p) else admit(k, g, h, k.config[0]["fuel"], k.process[p]["on"])
        later = reason == LATER
        if reason == LOWER_PRIORITY or (reason == OVER_EAGER and meter["eager_used"] > 0):
            meter["refused"] += 1
            return -EAGAIN
        if reason != NO_REASON and not later:
            request["graft"] = g
            request["reason"] = reason
            return -ENOTSUP
    # --- commit: nothing below can fail ---
    request["endpoint"] = capability["endpoint"]
    request["badge"] = capability["badge"]
    request["process"] = p
    request["fuel"] = k.config[0]["fuel"]
    request["state"] = R_WORK
    o = open_operation(k, r, O_CALL if blocking != 0 else O_SUBMITTED)
    request_begins(k, r)
    request["serial"] = next_serial(k)
    trace(k, X_SUBMIT, p, o, request["tag"], request["op"])
    if blocking == 0:
        k.process[p]["cq_reserved"] += 1
        k.operation[o]["reserved"] = 1
    if request["deadline"] > 0:
        due = meter["now"] + request["deadline"]
        request["timer"] = set_timer(k, due, T_DEADLINE, k.process[p]["core"], r, NONE)
    if dead:
        finish(k, r, REFUSED, DONE)
        return DONE
    if blocking == 0:
        reserve_place(k, r)
    if later:
        defer(k, p, r, g, R_SUBMITTING)
    elif h == NONE:
        append(k, Q_WORK, k.request, r)
    else:
        run_submit(k, g, h, r)
    return DONE


@hot
def submit_handler(k: Tables, p: int, r: int) -> tuple[int, int]:
    """Return the first graft of process `p` with a handler for the submission of `r`, and the handler."""
    request = k.request[r]
    g = k.process[p]["graft"] if request["vetted"] == 0 else NONE
    while g != NONE:
        h = find_handler(k, g, ON_SUBMIT, slot_of(k, g, request["capability"]), request["op"])
        if h != NONE:
            return int(g), h
        g = k.graft[g]["next"]
    return NONE, NONE


@hot
def run_submit(k: Tables, g: int, h: int, r: int) -> None:
    """Ask a graft what becomes of a submission."""
    request, meter = k.request[r], k.meter[0]
    show_request(k, g, r, ON_SUBMIT)
    meter["owner"] = request["process"]
    meter["operation"] = request["operation"]
    p = request["process"]
    verdict = activate(k, g, h, payer(k, p), k.process[p]["on"])
    graft = k.graft[g]
    if verdict == HOLD and graft["held"] < HELD_AT_ONCE:
        release_place(k, r)
        request["state"] = R_HELD
        graft["held"] += 1
        request["graft"] = g
        append(k, graft["queues"] + Q_HELD, k.request, r)
    elif verdict == PASS:
        append(k, Q_WORK, k.request, r)
    elif verdict == TAKEN:
        release_place(k, r)
        absorb(k, r)
    else:
        release_place(k, r)
        finish(k, r, REFUSED, DONE)


@hot
def reserve_place(k: Tables, r: int) -> None:
    """Reserve a place at the request's endpoint, which has one."""
    k.request[r]["place"] = 1
    k.endpoint[k.request[r]["endpoint"]]["reserved"] += 1


@hot
def release_place(k: Tables, r: int) -> None:
    """Give up the reserved place, if there is one."""
    request = k.request[r]
    if request["place"] != 0:
        request["place"] = 0
        k.endpoint[request["endpoint"]]["reserved"] -= 1


# --- arrive -----------------------------------------------------------------------------------------------------------


@hot
def drain(k: Tables) -> None:
    """Deal with all that the section has caused so far."""
    r = pop(k, Q_WORK, k.request)
    payers = k.config[0]["contexts"] != 0
    entered_by = k.meter[0]["paying"]
    while r != NONE:
        if payers:
            pay(k, k.operation[k.request[r]["operation"]]["context"], FOR_KERNEL)
        if k.request[r]["outcome"] == NO_OUTCOME:
            arrive(k, r)
        else:
            conclude(k, r)
        r = pop(k, Q_WORK, k.request)
    o = pop(k, Q_ORPHANS, k.operation)
    while o != NONE:
        if k.operation[o]["outstanding"] == 0:
            close(k, o)
        o = pop(k, Q_ORPHANS, k.operation)
    if payers:
        pay(k, entered_by, FOR_KERNEL)


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
    if request["deadline"] > 0 and request["timer"] == NONE:  # of a graft's send
        due = k.meter[0]["now"] + request["deadline"]
        request["timer"] = set_timer(k, due, T_DEADLINE, k.process[request["process"]]["core"], r, NONE)
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
            if verdict != PASS:
                return obey_endpoint(k, g, r, verdict)
            drop_answer(k)
        g = following
    return True


@hot
def obey_endpoint(k: Tables, g: int, r: int, verdict: int) -> bool:
    """Do what a `request` handler decided; whether the request is still to be queued."""
    request, meter = k.request[r], k.meter[0]
    if verdict >= STEER:
        drop_answer(k)
        slot = verdict - STEER
        c = k.slot[k.graft[g]["first_slot"] + slot]["capability"] if slot < k.graft[g]["slots"] else NONE
        if check_capability(k, c) == DONE and has_place(k, k.capability[c]["endpoint"]):
            release_place(k, r)
            request["endpoint"] = k.capability[c]["endpoint"]
            reserve_place(k, r)
        return True
    release_place(k, r)
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
    reserved = request["place"] != 0
    room = reserved or has_place(k, e)
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
        k.process[p]["on"] = k.operation[request["operation"]]["context"]
    charge_transfer(k, payer(k, request["process"]), request["length"])
    trace(k, X_RECEIVE, p, request["operation"], request["tag"], request["op"])


@hot
def give_back(k: Tables, p: int) -> None:
    """Process `p` has its request no longer; a context that came with it is given back (`budgets`)."""
    process = k.process[p]
    process["request"] = NONE
    process["on"] = process["context"]


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
def admit_caller(k: Tables, e: int) -> None:
    """A place at an endpoint has become free: the request that has waited longest for it moves into the queue."""
    endpoint = k.endpoint[e]
    if has_place(k, e):
        r = pop(k, endpoint["queues"] + Q_CALLERS, k.request)
        if r != NONE:
            unblock(k, r)
            k.request[r]["state"] = R_QUEUED
            endpoint["queued"] += 1
            append(k, endpoint["queues"] + Q_REQUESTS, k.request, r)


@hot
def unblock(k: Tables, r: int) -> None:
    """The process of a waiting call is no longer blocked at the endpoint, but waits for its answer."""
    p = k.request[r]["process"]
    if k.process[p]["state"] == BLOCKED:
        k.process[p]["state"] = CALLING


# --- reply, forward ---------------------------------------------------------------------------------------------------


@hot
def reply(k: Tables, p: int, r: int) -> None:
    """Process `p` uses up its reply right to `r`; status and body stand in its record (`reply_*`)."""
    process, request = k.process[p], k.request[r]
    status = process["reply_status"]
    replace_body(k, r, process["reply_body"], process["reply_length"], process["reply_room"])
    process["reply_room"] = 0
    request["holder"] = NONE
    trace(k, X_REPLY, p, request["operation"], request["tag"], status)
    if k.operation[request["operation"]]["completed"] == 0:
        charge_transfer(k, payer(k, request["process"]), request["length"])
    finish(k, r, REPLIED if status == 0 else ERROR, status)


@hot
def forward(k: Tables, r: int, draft: int) -> None:
    """Send the received request `r` on, with its reply right, as `draft` says; at a full endpoint it waits for room."""
    request, new = k.request[r], k.request[draft]
    capability = k.capability[new["capability"]]
    request["holder"] = NONE
    request["state"] = R_WORK
    request["endpoint"] = capability["endpoint"]
    request["badge"] = capability["badge"]
    adopt(k, r, draft)
    append(k, Q_WORK, k.request, r)


@hot
def adopt(k: Tables, r: int, draft: int) -> None:
    """Give request `r` what `draft` asks for, and free the draft."""
    request, new = k.request[r], k.request[draft]
    request["op"] = new["op"]
    request["tag"] = new["tag"]
    replace_body(k, r, new["body"], new["length"], new["room"])
    new["room"] = 0
    give_request(k, draft)


@hot
def discard_drafts(k: Tables, queue: int) -> None:
    """Free all drafts of a queue."""
    r = pop(k, queue, k.request)
    while r != NONE:
        give_request(k, r)
        r = pop(k, queue, k.request)


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
        release_place(k, r)
    elif state == R_RECEIVED:
        give_back(k, request["holder"])
        request["holder"] = NONE
    finish(k, r, outcome, DONE)


@hot
def expire(k: Tables, r: int) -> None:
    """The deadline of request `r` has passed. The timer is already out of the heap."""
    withdraw(k, r, TIMED_OUT)


@hot
def cancel(k: Tables, p: int, tag: int) -> int:
    """Cancel the oldest request of process `p` with this tag that has not ended; return how many there were, 0 or 1."""
    found = NONE
    for r in range(k.request.shape[0]):
        request = k.request[r]
        live = request["state"] in (R_QUEUED, R_CALLER, R_HELD, R_RECEIVED, R_SUBMITTING, R_ARRIVING)
        if live and request["process"] == p and request["tag"] == tag:
            if found == NONE or request["serial"] < k.request[found]["serial"]:
                found = r
    if found == NONE:
        return 0
    withdraw(k, found, CANCELLED)
    return 1
