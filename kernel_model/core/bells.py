"""Bells: how a process with shared rings sleeps, and how it is woken. All that the kernel does for them.

Each such process has one notification, whatever the number of its rings: a word in the kernel that counts the bells
rung for it. `rest` rings all the bells that its caller owes *and* waits, in one system call (as seL4 MCS has signal and
wait in one); `ring_bells` only rings. A server rests at its endpoint too (seL4's bound notification), so that one wait
serves both: what came through the kernel is there in its hand, what is in its rings it goes and looks for.

A client that waits for the answers of several servers names the number of bells (`arm`), and sleeps until so many have
been rung, or something was posted to its completion queue, or its time has come.

Bells that were rung between arming and resting are counted, so the rest is none. One that nobody waited for is left
over and lets a later rest return at once, with nothing lost but a crossing.
"""

from __future__ import annotations

from typing import Final

from jit.hot import hot
from kernel_model.core.billing import charge, payer
from kernel_model.core.foretelling import set_lead
from kernel_model.core.heap import set_timer
from kernel_model.core.library import is_posted
from kernel_model.core.lists import first, unlink
from kernel_model.core.locks import touch
from kernel_model.core.ops import receive
from kernel_model.core.outcomes import stop_waiting
from kernel_model.core.prices import DISPATCH_BELL, DISPATCH_RECEIVE, IN_KERNEL
from kernel_model.core.schedule import wake
from kernel_model.core.shared import next_ring
from kernel_model.core.tables import (
    NEVER,
    NONE,
    Q_CALLERS,
    Q_RECEIVERS,
    Q_REQUESTS,
    RECEIVING,
    SYS_REST,
    T_WAKE,
    WAITING,
    Tables,
)

ONE: Final = 1


@hot
def ring_bells(k: Tables, p: int) -> None:
    """SYS_BELL: ring the bells that process `p` owes."""
    side = k.side[k.process[p]["side"]]
    x = side["first"]
    while side["owes"] > 0:
        shared = k.ring[x]
        if shared["server"] == p and shared["client_bell"] != 0:
            shared["client_bell"] = 0
            ring_once(k, p, shared["client"])
        elif shared["client"] == p and shared["server_bell"] != 0:
            shared["server_bell"] = 0
            ring_once(k, p, shared["server"])
        x = next_ring(k, p, x)


@hot
def ring_once(k: Tables, p: int, q: int) -> None:
    """Process `p` rings a bell for process `q`: it wakes if it has waited for this one."""
    process = k.process[q]
    side = k.side[process["side"]]
    k.side[k.process[p]["side"]]["owes"] -= 1
    charge(k, payer(k, p), IN_KERNEL, DISPATCH_BELL, ONE)
    touch(k, process["core"])
    side["rung"] += 1
    if process["state"] == RECEIVING:
        side["rung"] = 0
        unlink(k, k.endpoint[process["endpoint"]]["queues"] + Q_RECEIVERS, k.process, q)
        k.endpoint[process["endpoint"]]["waiting"] -= 1
        wake(k, q)
        k.meter[0]["direct"] = q
    elif process["state"] == WAITING and process["call"] == SYS_REST and side["rung"] >= process["a"]:
        side["rung"] = 0
        stop_waiting(k, q)


@hot
def rest(k: Tables, p: int) -> None:
    """SYS_REST: ring the bells that process `p` owes, then wait for `a` bells; a client also until the time `b`.

    With `a` 0 a server does not wait, but sees to what is queued at its endpoint.
    """
    process = k.process[p]
    ring_bells(k, p)
    charge(k, payer(k, p), IN_KERNEL, DISPATCH_RECEIVE, ONE)
    side = k.side[process["side"]]
    if is_queued(k, p):
        receive(k, p, process["endpoint"])
    elif side["rung"] >= process["a"]:
        side["rung"] = 0
    elif process["endpoint"] != NONE:
        receive(k, p, process["endpoint"])
    elif not is_posted(k, p) and process["b"] > k.meter[0]["now"]:
        process["state"] = WAITING
        process["wait_for"] = ONE
        if process["b"] < NEVER:
            process["timer"] = set_timer(k, process["b"], T_WAKE, process["core"], p, NONE)
            set_lead(k, p, process["b"])


@hot
def is_queued(k: Tables, p: int) -> bool:
    """Whether something waits at the endpoint of process `p`, if it has one: a flag in a page that it can read."""
    e = k.process[p]["endpoint"]
    if e == NONE:
        return False
    queues = k.endpoint[e]["queues"]
    return first(k, queues + Q_REQUESTS) != NONE or first(k, queues + Q_CALLERS) != NONE
