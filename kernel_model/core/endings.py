"""Ends that come from outside: a process is killed, a capability revoked, a graft detached.

Each is a command that reaches the kernel as an interrupt on the core concerned, so it has a section of its own and
never meets a half-done operation.

    kill     requests that wait at an endpoint whose last receiver died are cancelled, the one in hand gets `peer_died`;
             its own are cancelled, without completions; its grafts detach; its account stays readable
    revoke   later sends through the capability are refused; requests not yet received are cancelled, received ones keep
             their reply right
    detach   takes effect at the next event; its timers are forgotten, what it holds is cancelled
"""

from __future__ import annotations

from typing import Final

from jit.hot import hot
from kernel_model.core.billing import cut_burst, trace
from kernel_model.core.budgets import release
from kernel_model.core.continuations import flush
from kernel_model.core.heap import drop_timer
from kernel_model.core.helpers import forget_timer
from kernel_model.core.lists import first, pop, unlink
from kernel_model.core.ops import discard_drafts, withdraw
from kernel_model.core.outcomes import finish
from kernel_model.core.pools import give_completion, give_request
from kernel_model.core.schedule import delist
from kernel_model.core.tables import (
    CANCELLED,
    DEAD,
    DETACHED,
    NO_OUTCOME,
    NONE,
    PEER_DIED,
    POSTPONED,
    Q_CALLERS,
    Q_COMPLETIONS,
    Q_DRAFTS,
    Q_HELD,
    Q_RECEIVERS,
    Q_REJECTS,
    Q_REQUESTS,
    Q_TIMERS,
    R_ARRIVING,
    R_CALLER,
    R_HELD,
    R_QUEUED,
    R_RECEIVED,
    R_SUBMITTING,
    READY,
    RECEIVING,
    X_KILL,
    X_REVOKE,
    Tables,
)

DONE: Final = 0
C_KILL, C_REVOKE, C_DETACH = range(3)  # commands


@hot
def obey(k: Tables, command: int, target: int) -> None:
    """Carry out a command."""
    if command == C_KILL:
        kill(k, target)
    elif command == C_REVOKE:
        revoke(k, target)
    else:
        detach(k, target)


@hot
def kill(k: Tables, p: int) -> None:
    """End process `p`, which runs on no other core than this one."""
    process = k.process[p]
    if process["state"] == DEAD:
        return
    trace(k, X_KILL, p, process["state"], DONE, DONE)
    stop(k, p)
    g = process["graft"]
    while g != NONE:
        following = k.graft[g]["next"]
        detach(k, g)
        g = following
    if process["library"] != NONE:
        detach(k, process["library"])
    if process["request"] != NONE:
        r = process["request"]
        process["request"] = NONE
        finish(k, r, PEER_DIED, DONE)
    if process["endpoint"] != NONE:
        leave_endpoint(k, process["endpoint"])
    flush(k, p)
    if process["partner"] != NONE:
        stop(k, process["partner"])
    for r in range(k.request.shape[0]):
        if k.request[r]["process"] == p and is_under_way(k, r):
            withdraw(k, r, CANCELLED)
    forget_completions(k, p)


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
    cut_burst(k, p)
    process["state"] = DEAD


@hot
def is_under_way(k: Tables, r: int) -> bool:
    """Whether a request waits or is being served somewhere."""
    request = k.request[r]
    state = request["state"]
    waits = state in (R_QUEUED, R_CALLER, R_HELD, R_RECEIVED, R_SUBMITTING, R_ARRIVING)
    return bool(waits and request["outcome"] == NO_OUTCOME)


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
            withdraw(k, r, CANCELLED)
            r = first(k, endpoint["queues"] + queue)


@hot
def forget_completions(k: Tables, p: int) -> None:
    """Free what nobody will look at any more."""
    process = k.process[p]
    c = pop(k, process["queues"] + Q_COMPLETIONS, k.completion)
    while c != NONE:
        give_completion(k, c)
        process["cq_posted"] -= 1
        c = pop(k, process["queues"] + Q_COMPLETIONS, k.completion)
    if process["completion"] != NONE:
        give_completion(k, process["completion"])
        process["completion"] = NONE
    discard_drafts(k, process["queues"] + Q_DRAFTS)
    discard_drafts(k, process["queues"] + Q_REJECTS)


@hot
def revoke(k: Tables, c: int) -> None:
    """Make a capability useless."""
    k.capability[c]["alive"] = 0
    trace(k, X_REVOKE, c, k.capability[c]["endpoint"], DONE, DONE)
    for r in range(k.request.shape[0]):
        request = k.request[r]
        if request["capability"] == c and is_under_way(k, r) and request["state"] != R_RECEIVED:
            withdraw(k, r, CANCELLED)


@hot
def detach(k: Tables, g: int) -> None:
    """Take a graft from its process and its endpoint."""
    graft = k.graft[g]
    if graft["state"] == DETACHED:
        return
    graft["state"] = DETACHED
    process = k.process[graft["process"]]
    if process["library"] == g:
        process["library"] = NONE
    if process["graft"] == g:
        process["graft"] = graft["next"]
    elif process["graft"] != NONE:
        skip(k, process["graft"], g)
    if process["endpoint"] != NONE:
        endpoint = k.endpoint[process["endpoint"]]
        if endpoint["graft"] == g:
            endpoint["graft"] = graft["served_next"]
        elif endpoint["graft"] != NONE:
            skip_served(k, endpoint["graft"], g)
    t = first(k, graft["queues"] + Q_TIMERS)
    while t != NONE:
        forget_timer(k, g, t)
        t = first(k, graft["queues"] + Q_TIMERS)
    r = first(k, graft["queues"] + Q_HELD)
    while r != NONE:
        if k.request[r]["state"] == R_HELD:
            withdraw(k, r, CANCELLED)
        else:  # a draft of the library
            unlink(k, graft["queues"] + Q_HELD, k.request, r)
            give_request(k, r)
        r = first(k, graft["queues"] + Q_HELD)
    graft["held"] = 0


@hot
def skip(k: Tables, head: int, g: int) -> None:
    """Take graft `g`, which is not the head, out of a process's list, if it is there."""
    while k.graft[head]["next"] != NONE and k.graft[head]["next"] != g:
        head = k.graft[head]["next"]
    if k.graft[head]["next"] == g:
        k.graft[head]["next"] = k.graft[g]["next"]


@hot
def skip_served(k: Tables, head: int, g: int) -> None:
    """The same for an endpoint's list."""
    while k.graft[head]["served_next"] != NONE and k.graft[head]["served_next"] != g:
        head = k.graft[head]["served_next"]
    if k.graft[head]["served_next"] == g:
        k.graft[head]["served_next"] = k.graft[g]["served_next"]
