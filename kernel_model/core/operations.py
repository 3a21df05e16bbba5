"""Submission: a draft of a process becomes an operation. All that can be refused is refused here.

Checks first (the capability, what the request carries, room at the endpoint and for the completion, whether a `submit`
handler may run), then a marked point behind which nothing fails. A capability that was revoked, whose endpoint has died
or whose promise was broken is no error of the caller: the operation begins, and ends `refused` or `broken`.
"""

from __future__ import annotations

from typing import Final

from grafting import hooks
from jit.hot import hot, rare
from kernel_model.core.activation import (
    ON_SUBMIT,
    activate,
    admit,
    next_serial,
    next_submit_handler,
    open_operation,
    show_request,
)
from kernel_model.core.billing import payer, request_begins, trace
from kernel_model.core.capabilities import may_use, standing
from kernel_model.core.deferred import defer, must_queue
from kernel_model.core.fallbacks import note_fallback
from kernel_model.core.heap import set_timer
from kernel_model.core.helpers import release
from kernel_model.core.lists import append
from kernel_model.core.ops import free_place
from kernel_model.core.outcomes import absorb, deliver, let_end, retire
from kernel_model.core.parcels import carry, check_parcel, drop_draft, pack, split_off
from kernel_model.core.promises import FAILED, abandon, awaits, check_slot, dispatch, must_wait, promise
from kernel_model.core.requests import finish, join
from kernel_model.core.room import has_completion, has_place, reserve_place
from kernel_model.core.routes import check_route
from kernel_model.core.tables import (
    BROKEN,
    CANCELLED,
    EAGAIN,
    EBADF,
    ENOTSUP,
    LATER,
    LOWER_PRIORITY,
    NO_REASON,
    NONE,
    O_CALL,
    O_SUBMITTED,
    ORDER,
    OVER_EAGER,
    Q_HELD,
    Q_REJECTS,
    R_HELD,
    R_SUBMITTING,
    R_WORK,
    REFUSED,
    T_DEADLINE,
    X_SUBMIT,
    Tables,
)

PASS: Final = hooks.PASS
HOLD: Final = hooks.HOLD
TAKEN: Final = hooks.TAKEN
HELD_AT_ONCE: Final = 64  # requests held by one graft: bounds the search for a tag
DONE: Final = 0


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
    if request["vetted"] == ORDER:
        return obey_order(k, r)
    c = request["capability"]
    if not may_use(k, p, r):
        return -EBADF
    fate = standing(k, c)
    if fate < 0:
        return fate
    if request["parcel"] != NONE:
        status = check_luggage(k, p, r)
        if status != DONE:
            return status
        if awaits(k, r) == FAILED:
            fate = BROKEN
    doomed = fate in (REFUSED, BROKEN)
    waits = not doomed and must_wait(k, r, c)
    capability = k.capability[c]
    if blocking == 0:
        room = doomed or waits or has_place(k, capability["endpoint"])
        if not room or not has_completion(k, p):
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
    join(k, r)
    trace(k, X_SUBMIT, p, o, request["tag"], request["op"])
    if blocking == 0:
        k.process[p]["cq_reserved"] += 1
    if request["deadline"] > 0:
        due = meter["now"] + request["deadline"]
        request["timer"] = set_timer(k, due, T_DEADLINE, k.process[p]["core"], r, NONE)
    if request["parcel"] != NONE:
        take_along(k, p, r)
    if doomed:
        finish(k, r, fate, DONE)
        return DONE
    if blocking == 0 and not waits:
        reserve_place(k, r)
    if later:
        defer(k, p, r, g, R_SUBMITTING)
    elif h == NONE:
        dispatch(k, r)
    elif run_submit(k, g, h, r):
        ask_on(k, r, k.graft[g]["next"])
    return DONE


@rare
def obey_order(k: Tables, r: int) -> int:
    """Release what a graft holds, as the draft `r` says, and free the draft; -EAGAIN if there is no room just now.

    What is no longer held has ended meanwhile, and the order is void.
    """
    order = k.request[r]
    k.meter[0]["in_user"] = 0
    if release(k, order["graft"], order["tag"], order["status"]) == -EAGAIN:
        return -EAGAIN
    drop_draft(k, r)
    return DONE


@rare
def reject(k: Tables, p: int, r: int, status: int) -> None:
    """Put draft `r`, which cannot be submitted, among the rejects of process `p`.

    A draft that a graft must be asked about in user mode comes back; for any other, who waits for its reply waits in
    vain.
    """
    k.request[r]["status"] = status
    if k.request[r]["parcel"] != NONE and status != -ENOTSUP:
        abandon(k, r)
    append(k, k.process[p]["queues"] + Q_REJECTS, k.request, r)


@rare
def check_luggage(k: Tables, p: int, r: int) -> int:
    """Return 0 if process `p` may send what draft `r` carries besides bytes, else a negated errno."""
    x = k.request[r]["parcel"]
    status = check_parcel(k, p, x)
    if status == DONE:
        status = check_route(k, p, x)
    c = k.parcel[x]["promise"]
    return check_slot(k, p, r, c) if status == DONE and c != NONE else status


@rare
def take_along(k: Tables, p: int, r: int) -> None:
    """Give request `r` the capabilities that its draft names, and let it make the promise that the draft asks for."""
    x = k.request[r]["parcel"]
    pack(k, p, x, payer(k, p))
    if k.parcel[x]["promise"] != NONE:
        promise(k, r, k.parcel[x]["promise"])


@hot
def submit_handler(k: Tables, p: int, r: int) -> tuple[int, int]:
    """Return the first graft of process `p` with a handler for the submission of `r`, and the handler."""
    request = k.request[r]
    if request["vetted"] != 0:
        return NONE, NONE
    return next_submit_handler(k, k.process[p]["graft"], r)


@rare
def ask_on(k: Tables, r: int, g: int) -> None:
    """Ask the grafts from `g` on in the list what becomes of submission `r`; it goes if all of them pass it.

    Where one cannot be asked now the submission is deferred, or goes back to the client, whose library asks.
    """
    request = k.request[r]
    p = request["process"]
    g, h = next_submit_handler(k, g, r)
    while h != NONE:
        reason = LATER if must_queue(k, p) else admit(k, g, h, request["fuel"], k.process[p]["on"])
        if reason == LATER:
            defer(k, p, r, g, R_SUBMITTING)
            return
        if reason != NO_REASON:
            request["graft"] = g
            request["reason"] = reason
            note_fallback(k, g, h, request["tag"], reason)
            return_submission(k, r)
            return
        if not run_submit(k, g, h, r):
            return
        g, h = next_submit_handler(k, k.graft[g]["next"], r)
    dispatch(k, r)


@hot
def run_submit(k: Tables, g: int, h: int, r: int) -> bool:
    """Ask one graft what becomes of a submission, and do it; whether it passes."""
    request, meter = k.request[r], k.meter[0]
    show_request(k, g, r, ON_SUBMIT)
    meter["owner"] = request["process"]
    meter["operation"] = request["operation"]
    p = request["process"]
    verdict = activate(k, g, h, payer(k, p), k.process[p]["on"])
    request["fuel"] = meter["fuel"]
    if verdict == PASS:
        return True
    free_place(k, r)
    graft = k.graft[g]
    if verdict == HOLD and graft["held"] < HELD_AT_ONCE:
        request["state"] = R_HELD
        graft["held"] += 1
        request["graft"] = g
        append(k, graft["queues"] + Q_HELD, k.request, r)
    elif verdict == TAKEN:
        absorb(k, r)
    else:
        finish(k, r, REFUSED, DONE)
    return False


@hot
def return_submission(k: Tables, r: int) -> None:
    """Give a submission back to the client, whose library asks the graft and submits again.

    Its operation is over, unless a graft that was asked before has sent or armed something for it. What it carries goes
    with it, and when it would have timed out. Those that wait for its reply end `broken`: they cannot wait for another
    operation's.
    """
    request = k.request[r]
    free_place(k, r)
    request["state"] = R_SUBMITTING
    request["outcome"] = CANCELLED
    request["deadline"] = NONE if request["timer"] == NONE else k.timer[request["timer"]]["due"]
    luggage = split_off(k, r)
    retire(k, r)
    carry(k, r, luggage)
    deliver(k, r, CANCELLED)
    let_end(k, r)
