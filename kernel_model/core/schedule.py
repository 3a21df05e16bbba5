"""Who runs: per core, fixed priorities, first in first out within one; preemption by higher priority only.

A thread that an operation hands the core to (`meter.direct`) is switched to directly if it is among the highest that
are ready, as seL4 does on its fast path; otherwise the run queue is consulted, which is charged as `schedule`. Between
equals the running thread goes on: no needless switch.
"""

from __future__ import annotations

from jit.hot import hot, rare
from jit.words import bit_length
from kernel_model.core.billing import charge, payer, trace
from kernel_model.core.contexts import charge_change, count_active, has_budget, time_in_section
from kernel_model.core.heap import set_timer
from kernel_model.core.lists import append, first, prepend, unlink
from kernel_model.core.locks import touch
from kernel_model.core.prices import EXIT, IN_INTERRUPT, IN_KERNEL, IN_SWITCH, IPI, SCHEDULE, SWITCH
from kernel_model.core.tables import (
    B_CONTINUATION,
    B_POLLER,
    IDLING,
    NEVER,
    NONE,
    POSTPONED,
    Q_POSTPONED,
    Q_READY,
    READY,
    RUNNING,
    T_REFILL,
    X_POSTPONE,
    X_SWITCH,
    X_WAKE,
    Tables,
)
from kernel_model.core.warmth import use


@hot
def ready_queue(k: Tables, p: int) -> int:
    """Return the queue in which `p` waits for its core."""
    process = k.process[p]
    return int(k.core[process["core"]]["queues"] + Q_READY + process["priority"])


@hot
def enlist(k: Tables, p: int, at_front: bool) -> None:
    """Put a thread among the ready ones of its core; a preempted one keeps its place at the front."""
    process = k.process[p]
    process["state"] = READY
    if at_front:
        prepend(k, ready_queue(k, p), k.process, p)
    else:
        append(k, ready_queue(k, p), k.process, p)
    k.core[process["core"]]["ready"] |= 1 << process["priority"]


@hot
def delist(k: Tables, p: int) -> None:
    """Take a thread from among the ready ones."""
    process = k.process[p]
    queue = ready_queue(k, p)
    unlink(k, queue, k.process, p)
    if first(k, queue) == NONE:
        k.core[process["core"]]["ready"] &= ~(1 << process["priority"])


@hot
def wake(k: Tables, p: int) -> None:
    """Make a blocked thread ready, with an inter-processor interrupt if it should run at once on another core.

    One without budget is postponed instead; on a context that was lent to it, `budgets.expel` sees to it.
    """
    process = k.process[p]
    touch(k, process["core"])
    process["wakeups"] += 1
    if k.config[0]["contexts"] != 0 and not has_budget(k, process["on"], time_in_section(k)):
        if process["on"] == process["context"]:
            postpone(k, p)
            count_active(k, p)
            return
    process["ready_at"] = k.meter[0]["now"]
    enlist(k, p, False)
    if k.config[0]["contexts"] != 0:
        count_active(k, p)
    trace(k, X_WAKE, p, process["core"], 0, 0)
    if process["core"] != k.meter[0]["core"] and outranks(k, process["core"], p):
        core = k.core[process["core"]]
        if core["ipi_at"] == NEVER:
            sender = k.meter[0]["process"]
            charge(k, payer(k, sender if sender != NONE else p), IN_INTERRUPT, IPI, 1)
            core["ipi_at"] = NEVER - 1  # `simulate` puts the end of this section in its place


@rare
def postpone(k: Tables, p: int) -> None:
    """Let a thread, which is in no queue, wait for the next refill of its context."""
    process = k.process[p]
    x = process["on"]
    context = k.context[x]
    process["state"] = POSTPONED
    process["ready_at"] = NEVER
    append(k, context["queues"] + Q_POSTPONED, k.process, p)
    due = k.refill[context["first"]]["time"]
    trace(k, X_POSTPONE, p, x, due, 0)
    if context["timer"] == NONE:
        context["timer"] = set_timer(k, due, T_REFILL, process["core"], x, NONE)


@hot
def outranks(k: Tables, c: int, p: int) -> bool:
    """Whether thread `p` should run at once on core `c`."""
    running = k.core[c]["process"]
    if running == NONE or k.core[c]["phase"] == IDLING:
        return True
    return bool(k.process[p]["priority"] > k.process[running]["priority"])


@hot
def highest_ready(k: Tables, c: int) -> int:
    """Return the highest priority with a ready thread on core `c`, or -1."""
    return bit_length(k.core[c]["ready"]) - 1


@hot
def next_priority(k: Tables, c: int) -> int:
    """Return the priority of the thread that would run next on core `c` as things stand, or -1."""
    level = highest_ready(k, c)
    running = k.meter[0]["process"]
    if running != NONE and k.process[running]["state"] == RUNNING and k.process[running]["priority"] > level:
        level = k.process[running]["priority"]
    return int(level)


@hot
def front(k: Tables, c: int, level: int) -> int:
    """Return who is the next to run of the ready ones of a priority on core `c`, of which there are some."""
    chosen = k.meter[0]["direct"]
    if (
        chosen != NONE
        and k.process[chosen]["state"] == READY
        and k.process[chosen]["core"] == c
        and k.process[chosen]["priority"] == level
    ):
        return int(chosen)
    return first(k, k.core[c]["queues"] + Q_READY + level)


@hot
def choose(k: Tables, c: int, current: int) -> int:
    """Decide who runs on core `c` after this section, charge the change, and return the thread or NONE."""
    level = highest_ready(k, c)
    if current != NONE and k.process[current]["state"] == RUNNING:
        if k.process[current]["priority"] >= level:
            return current
        enlist(k, current, True)
    if level < 0:
        return NONE
    chosen = front(k, c, level)
    if chosen != k.meter[0]["direct"]:
        charge(k, payer(k, chosen), IN_SWITCH, SCHEDULE, 1)
    delist(k, chosen)
    k.process[chosen]["state"] = RUNNING
    return int(chosen)


@hot
def enter_user(k: Tables, c: int, chosen: int, current: int, beneficiary: int) -> None:
    """Charge the way back to user mode and make `chosen` the thread of core `c`.

    `beneficiary` is the account that pays the exit when an interrupted thread merely goes on, else NONE.
    """
    core = k.core[c]
    core["process"] = chosen
    if chosen == NONE:
        core["last"] = NONE
        return
    account = payer(k, chosen)
    if k.process[chosen]["behaviour"] == B_CONTINUATION:  # in whatever address space there is
        return
    if k.config[0]["contexts"] != 0 and core["context"] != k.process[chosen]["on"]:
        core["context"] = k.process[chosen]["on"]
        charge_change(k, account)
    if k.process[chosen]["paging"] != 0:
        k.paging[k.process[chosen]["paging"]]["foretold"] = 0
    if core["last"] != chosen:
        charge(k, account, IN_SWITCH, SWITCH, 1)
        trace(k, X_SWITCH, c, core["last"], chosen, 0)
        core["last"] = chosen
    if k.config[0]["cache_lines"] != 0:
        use(k, c, account, k.process[chosen]["footprint"])
    if k.process[chosen]["behaviour"] != B_POLLER:  # which is a kernel thread
        charge(k, beneficiary if beneficiary != NONE and chosen == current else account, IN_KERNEL, EXIT, 1)


@hot
def note_release(k: Tables, p: int) -> None:
    """Keep the worst time that a thread of its core's highest priority waited between being ready and running."""
    process, meter = k.process[p], k.meter[0]
    core = k.core[process["core"]]
    if process["ready_at"] != NEVER and process["priority"] == core["top_priority"]:
        core["worst_release"] = max(core["worst_release"], meter["now"] + meter["section"] - process["ready_at"])
    process["ready_at"] = NEVER
