"""Taking a graft away: from its process's events, from its endpoint, from what it holds. `leaving` is what follows."""

from __future__ import annotations

from typing import Final

from jit.hot import hot
from kernel_model.core.billing import charge
from kernel_model.core.helpers import forget_timer
from kernel_model.core.leaving import let_leave, let_one_go
from kernel_model.core.lists import append, first, unlink
from kernel_model.core.ops import withdraw
from kernel_model.core.prices import IN_KERNEL, VISIT
from kernel_model.core.tables import (
    ATTACHED,
    CANCELLED,
    ECANCELED,
    LEAVING,
    LOADED,
    NONE,
    Q_HELD,
    Q_REJECTS,
    Q_TIMERS,
    R_HELD,
    T_PERIODIC,
    Tables,
)

ONE: Final = 1


@hot
def detach(k: Tables, g: int) -> None:
    """Let graft `g` leave its process."""
    graft = k.graft[g]
    if graft["state"] != ATTACHED and graft["state"] != LOADED:
        return
    p = graft["process"]
    process = k.process[p]
    charge(k, process["account"], IN_KERNEL, VISIT, ONE)
    if graft["state"] == LOADED:
        if process["library"] == g:
            process["library"] = NONE
        append_graft(k, p, g)
    leave_endpoint_of(k, p, g)
    forget_timers(k, g, False)
    drop_held(k, g)
    graft["state"] = LEAVING
    k.meter[0]["serial"] += 1
    graft["left_at"] = k.meter[0]["serial"]
    graft["outstanding"] = process["operations"]
    process["leaving"] += 1
    let_leave(k, p)


@hot
def append_graft(k: Tables, p: int, g: int) -> None:
    """Put graft `g` at the end of the list of process `p`."""
    k.graft[g]["next"] = NONE
    last = k.process[p]["graft"]
    if last == NONE:
        k.process[p]["graft"] = g
        return
    while k.graft[last]["next"] != NONE:
        last = k.graft[last]["next"]
    k.graft[last]["next"] = g


@hot
def leave_endpoint_of(k: Tables, p: int, g: int) -> None:
    """Take graft `g` from those that are asked at the endpoint of process `p`."""
    e = k.process[p]["endpoint"]
    if e == NONE or k.endpoint[e]["graft"] == NONE:
        return
    at = k.endpoint[e]["graft"]
    if at == g:
        k.endpoint[e]["graft"] = k.graft[g]["served_next"]
        return
    while at != NONE and k.graft[at]["served_next"] != g:
        at = k.graft[at]["served_next"]
    if at != NONE:
        k.graft[at]["served_next"] = k.graft[g]["served_next"]


@hot
def forget_timers(k: Tables, g: int, all_of_them: bool) -> None:
    """Disarm the timers of graft `g` that belong to no operation, or all."""
    t = first(k, k.graft[g]["queues"] + Q_TIMERS)
    while t != NONE:
        following = k.timer[t]["next"]
        if all_of_them or k.timer[t]["kind"] == T_PERIODIC or k.timer[t]["operation"] == NONE:
            forget_timer(k, g, t)
        t = following


@hot
def drop_held(k: Tables, g: int) -> None:
    """Cancel what graft `g` holds; a draft that its library holds is refused."""
    held = k.graft[g]["queues"] + Q_HELD
    r = first(k, held)
    while r != NONE:
        if k.request[r]["state"] == R_HELD:
            withdraw(k, r, CANCELLED)
        else:
            unlink(k, held, k.request, r)
            k.graft[g]["held"] -= 1
            k.request[r]["status"] = -ECANCELED
            append(k, k.process[k.graft[g]["process"]]["queues"] + Q_REJECTS, k.request, r)
        r = first(k, held)


@hot
def detach_all(k: Tables, p: int) -> None:
    """Process `p` dies: its grafts go at once, for there is nobody who could finish anything."""
    process = k.process[p]
    if process["library"] != NONE:
        detach(k, process["library"])
    g = process["graft"]
    while g != NONE:
        following = k.graft[g]["next"]
        detach(k, g)
        g = following
    g = process["graft"]
    while g != NONE:
        following = k.graft[g]["next"]
        forget_timers(k, g, True)
        let_one_go(k, g)
        g = following
