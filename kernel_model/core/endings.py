"""Ends that come from outside: a process is killed, a capability revoked, a graft detached.

Each is a command that reaches the kernel as an interrupt on the core concerned, so it has a section of its own and
never meets a half-done operation.

    kill     requests that wait at an endpoint whose last receiver died are cancelled, the one in hand gets `peer_died`;
             its own are cancelled, without completions; its rings are closed; its capabilities go, its grafts detach,
             its account stays readable
    revoke   see `revocation`; what is left to do after a piece is done a little later, so that threads run in between
    delete   a capability goes; what was given of it stays
    detach   see `leaving`
"""

from __future__ import annotations

from typing import Final

from jit.hot import hot
from kernel_model.core.billing import charge, cut_burst, payer, trace
from kernel_model.core.budgets import release
from kernel_model.core.capabilities import discard, let_travel
from kernel_model.core.contexts import count_active
from kernel_model.core.continuations import flush
from kernel_model.core.detaching import detach, detach_all
from kernel_model.core.heap import drop_timer, set_timer
from kernel_model.core.lists import first, pop, unlink
from kernel_model.core.ops import is_under_way, withdraw
from kernel_model.core.paging import drop_lead, release_pages
from kernel_model.core.parcels import drop_completion, drop_parcel
from kernel_model.core.prices import IN_KERNEL, VISIT
from kernel_model.core.replies import discard_drafts
from kernel_model.core.requests import finish, first_own, next_own
from kernel_model.core.revocation import revoke
from kernel_model.core.schedule import delist
from kernel_model.core.shared import next_ring
from kernel_model.core.tables import (
    CANCELLED,
    DEAD,
    NONE,
    PEER_DIED,
    POSTPONED,
    Q_ANSWERED,
    Q_ASKED,
    Q_CALLERS,
    Q_COMPLETIONS,
    Q_DRAFTS,
    Q_RECEIVERS,
    Q_REJECTS,
    Q_REQUESTS,
    READY,
    RECEIVING,
    T_COMMAND,
    X_KILL,
    Tables,
)

DONE: Final = 0
ONE: Final = 1
EPOCH_SHIFT: Final = 8
COMMAND_MASK: Final = 255
C_KILL, C_REVOKE, C_DETACH, C_DELETE, C_NOTHING = range(5)  # commands


@hot
def obey(k: Tables, order: int, target: int) -> None:
    """Carry out an order: a command, and above it the epoch of the capability that it is about.

    A capability that has gone since is not there to be revoked or deleted.
    """
    command = order & COMMAND_MASK
    if command == C_KILL:
        kill(k, target)
    elif command == C_DETACH:
        detach(k, target)
    elif command != C_NOTHING and k.capability[target]["epoch"] == order >> EPOCH_SHIFT:
        if command == C_REVOKE:
            go_on_revoking(k, target, order)
        else:
            delete(k, target)


@hot
def kill(k: Tables, p: int) -> None:
    """End process `p`, which runs on no other core than this one."""
    process = k.process[p]
    if process["state"] == DEAD:
        return
    trace(k, X_KILL, p, process["state"], DONE, DONE)
    stop(k, p)
    detach_all(k, p)
    if process["request"] != NONE:
        r = process["request"]
        process["request"] = NONE
        k.request[r]["holder"] = NONE
        finish(k, r, PEER_DIED, DONE)
    if process["endpoint"] != NONE:
        leave_endpoint(k, process["endpoint"])
    if process["side"] != NONE:
        close_rings(k, p)
    flush(k, p)
    if process["partner"] != NONE:
        stop(k, process["partner"])
    r = first_own(k, p)
    while r != NONE:
        following = next_own(k, r)
        charge(k, process["account"], IN_KERNEL, VISIT, ONE)
        if is_under_way(k, r):
            withdraw(k, r, CANCELLED)
        r = following
    forget_completions(k, p)
    if process["endpoint"] != NONE and k.capability[k.endpoint[process["endpoint"]]["root"]]["owner"] == p:
        let_travel(k, k.endpoint[process["endpoint"]]["root"])  # it stays as long as the endpoint
    while process["held"] != NONE:
        charge(k, process["account"], IN_KERNEL, VISIT, discard(k, process["held"]))


@hot
def stop(k: Tables, p: int) -> None:
    """Take a process from wherever it runs or waits."""
    process = k.process[p]
    state = process["state"]
    if state == READY:
        delist(k, p)
    elif state == POSTPONED:
        release(k, p)
    elif state == RECEIVING:
        unlink(k, k.endpoint[process["endpoint"]]["queues"] + Q_RECEIVERS, k.process, p)
        k.endpoint[process["endpoint"]]["waiting"] -= 1
    if process["timer"] != NONE:
        drop_timer(k, process["timer"])
        process["timer"] = NONE
    if process["paging"] != 0:
        drop_lead(k, p)
    cut_burst(k, p)
    process["state"] = DEAD
    release_pages(k, p)
    count_active(k, p)


@hot
def go_on_revoking(k: Tables, c: int, order: int) -> None:
    """Do a piece of revoking what was given of capability `c`, and let the rest be done after a while."""
    if not revoke(k, c):
        meter = k.meter[0]
        set_timer(k, meter["now"] + k.config[0]["retry"], T_COMMAND, meter["core"], c, order)


@hot
def delete(k: Tables, c: int) -> None:
    """Delete a capability."""
    account = payer(k, k.capability[c]["owner"])
    charge(k, account, IN_KERNEL, VISIT, discard(k, c))


@hot
def leave_endpoint(k: Tables, e: int) -> None:
    """A receiver is gone; with the last the endpoint dies and what waits there is cancelled."""
    endpoint = k.endpoint[e]
    endpoint["receivers"] -= 1
    if endpoint["receivers"] > 0:
        return
    endpoint["alive"] = 0
    for queue in (Q_REQUESTS, Q_CALLERS):
        r = first(k, endpoint["queues"] + queue)
        while r != NONE:
            charge(k, payer(k, k.request[r]["process"]), IN_KERNEL, VISIT, ONE)
            withdraw(k, r, CANCELLED)
            r = first(k, endpoint["queues"] + queue)


@hot
def close_rings(k: Tables, p: int) -> None:
    """A side of these rings is gone: nothing is put in any more.

    What a server has not taken is cancelled, what a client has not taken is freed.
    """
    x = k.side[k.process[p]["side"]]["first"]
    while x != NONE:
        ring = k.ring[x]
        ring["alive"] = 0
        if ring["server"] == p:
            while ring["asked"] > 0:
                r = first(k, ring["queues"] + Q_ASKED)
                charge(k, payer(k, k.request[r]["process"]), IN_KERNEL, VISIT, ONE)
                withdraw(k, r, CANCELLED)
        else:
            while ring["answered"] > 0:
                drop_completion(k, pop(k, ring["queues"] + Q_ANSWERED, k.completion))
                ring["answered"] -= 1
                k.process[p]["cq_posted"] -= 1
        x = next_ring(k, p, x)


@hot
def forget_completions(k: Tables, p: int) -> None:
    """Free what nobody will look at any more."""
    process = k.process[p]
    c = pop(k, process["queues"] + Q_COMPLETIONS, k.completion)
    while c != NONE:
        drop_completion(k, c)
        c = pop(k, process["queues"] + Q_COMPLETIONS, k.completion)
    process["cq_posted"] = 0
    process["cq_behind"] = 0
    if process["completion"] != NONE:
        drop_completion(k, process["completion"])
        process["completion"] = NONE
    drop_parcel(k, process["reply_parcel"])
    process["reply_parcel"] = NONE
    discard_drafts(k, process["queues"] + Q_DRAFTS)
    discard_drafts(k, process["queues"] + Q_REJECTS)
