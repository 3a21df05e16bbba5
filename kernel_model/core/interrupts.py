"""What the kernel does when a core is interrupted: the timers that are due there, and whom the interrupt serves.

An interrupt has one beneficiary who pays for its entry, the process of the first timer that is due, or the thread that
an inter-processor interrupt brought; each timer's own work is paid by the process that it is about. A timer that was
taken back after it had become due does nothing.
"""

from __future__ import annotations

from typing import Final

from jit.hot import hot
from kernel_model.core.billing import charge, payer
from kernel_model.core.budgets import refill
from kernel_model.core.contexts import FOR_KERNEL, charge_change, pay
from kernel_model.core.endings import obey
from kernel_model.core.eviction import arrive_page
from kernel_model.core.foretelling import FROM_TIMER, foretell
from kernel_model.core.lists import first
from kernel_model.core.ops import drain, expire
from kernel_model.core.outcomes import stop_waiting
from kernel_model.core.pools import give
from kernel_model.core.prices import IN_INTERRUPT, INTERRUPT
from kernel_model.core.schedule import highest_ready
from kernel_model.core.tables import (
    CURRENT,
    NEVER,
    NONE,
    P_TIMER,
    Q_POSTPONED,
    Q_READY,
    T_COMMAND,
    T_DEADLINE,
    T_GRAFT,
    T_LEAD,
    T_NOTHING,
    T_PAGE,
    T_PERIODIC,
    T_REFILL,
    T_WAKE,
    Tables,
)
from kernel_model.core.timers import fire_graft, fire_user

ONE: Final = 1


@hot
def take_interrupts(k: Tables, c: int) -> int:
    """Handle the timers that are due on core `c`; return the account of the first beneficiary."""
    core = k.core[c]
    t = core["pending_first"]
    p = beneficiary_of(k, c, t)
    account = payer(k, p) if p != NONE else int(core["account"])
    payers = k.config[0]["contexts"] != 0
    if payers and p != NONE and k.process[p]["on"] != k.meter[0]["paying"]:
        pay(k, k.process[p]["on"], FOR_KERNEL)
        charge_change(k, account)
    charge(k, account, IN_INTERRUPT, INTERRUPT, ONE)
    while t != NONE:
        if payers and p != NONE:
            pay(k, k.process[p]["on"], FOR_KERNEL)
        core["pending_first"] = k.timer[t]["follower"]
        k.timer[t]["pending"] = 0
        fire(k, t)
        drain(k)
        t = core["pending_first"]
        p = beneficiary_of(k, c, t) if t != NONE else p
    return account


@hot
def beneficiary_of(k: Tables, c: int, t: int) -> int:
    """Return the process that an interrupt of core `c` serves, for timer `t` or, NONE, for a thread that is ready.

    NONE: nobody, a command from outside. In charge mode `current` it is taken for whoever runs.
    """
    core = k.core[c]
    kind = k.timer[t]["kind"] if t != NONE else T_NOTHING
    if kind == T_COMMAND:
        return NONE
    if k.config[0]["charge_mode"] == CURRENT and core["process"] != NONE:
        return int(core["process"])
    if kind == T_NOTHING:
        level = highest_ready(k, c)
        return first(k, core["queues"] + Q_READY + level) if level >= 0 else int(core["process"])
    target = k.timer[t]["target"]
    if kind == T_WAKE:
        return int(target)
    if kind == T_DEADLINE:
        return int(k.request[target]["process"])
    if kind == T_PAGE:
        return int(k.page[target]["process"])
    if kind == T_LEAD:
        return int(target)
    if kind == T_REFILL:
        p = first(k, k.context[target]["queues"] + Q_POSTPONED)
        return p if p != NONE else int(core["process"])
    return int(k.graft[target]["process"])


@hot
def fire(k: Tables, t: int) -> None:
    """Do what timer `t` was set for; T_NOTHING was taken back after it was due."""
    kind, target = k.timer[t]["kind"], k.timer[t]["target"]
    if kind == T_NOTHING:
        give(k, P_TIMER, k.timer, t)
    elif kind == T_WAKE:
        stop_waiting(k, target)
        if k.process[target]["ready_at"] != NEVER:
            k.process[target]["ready_at"] = k.timer[t]["due"]  # however long the kernel was busy with something else
    elif kind == T_DEADLINE:
        expire(k, target)
    elif kind == T_PAGE:
        give(k, P_TIMER, k.timer, t)
        arrive_page(k, target)
    elif kind == T_LEAD:
        give(k, P_TIMER, k.timer, t)
        k.paging[k.process[target]["paging"]]["lead_timer"] = NONE
        foretell(k, target, FROM_TIMER)
    elif kind in (T_GRAFT, T_PERIODIC):
        fire_graft(k, t)
    elif kind == T_REFILL:
        give(k, P_TIMER, k.timer, t)
        refill(k, target)
    elif kind == T_COMMAND:
        command = k.timer[t]["argument"]
        give(k, P_TIMER, k.timer, t)
        obey(k, command, target)
    else:
        fire_user(k, t)
