"""A thread's turn is foretold: what its process asked for is done a little before it runs (`paging`: when and what).

The `schedule` hook is advice. Its handlers run in the section that foretells the turn, on the account and the context
of the process that is about to run (KERNEL 4), if they are admitted like any other; what may not run then is not run
later, when it would be of no use, and counted. They see the address where the thread goes on as `tag`, and as `op`
whether a run queue (0) or a timer (1) foretells it; they may hint, and remember.
"""

from __future__ import annotations

from typing import Final

from grafting.hooks import Event
from jit.hot import hot, rare
from kernel_model.core.activation import activate, admit, find_handler
from kernel_model.core.billing import payer, trace
from kernel_model.core.heap import set_timer
from kernel_model.core.lists import first
from kernel_model.core.paging import PAGE_BYTES, hint
from kernel_model.core.tables import (
    BY_FAULT,
    BY_GRAFT,
    BY_HINT,
    BY_INSTRUCTION,
    NO_REASON,
    NO_SLOT,
    NONE,
    Q_READY,
    T_LEAD,
    X_FORETELL,
    Tables,
)

ON_SCHEDULE: Final = Event.SCHEDULE.value
ONE: Final = 1
NEXT_LEVEL: Final = 1
FROM_QUEUE, FROM_TIMER = range(2)
DONE: Final = 0


@rare
def look_ahead(k: Tables, c: int, chosen: int) -> None:
    """Foretell the turns of those near the head of a run queue of core `c`, on which `chosen` runs next.

    What they asked for must not delay him if he is more important: the handlers are admitted as if he were running.
    """
    if chosen == NONE:
        return
    k.meter[0]["process"] = chosen
    bits = k.core[c]["ready"]
    level = 0
    while bits != 0:
        if bits & ONE != 0:
            p = first(k, k.core[c]["queues"] + Q_READY + level)
            places = k.memory[0]["near"]
            while p != NONE and places > 0:
                foretell(k, p, FROM_QUEUE)
                p = k.process[p]["next"]
                places -= 1
        bits >>= NEXT_LEVEL
        level += 1


@hot
def set_lead(k: Tables, p: int, due: int) -> None:
    """Thread `p` will be woken by a timer at `due`: its turn is to be foretold a little earlier."""
    process = k.process[p]
    paging = k.paging[process["paging"]]
    if paging["page_in"] != BY_FAULT:
        early = max(k.meter[0]["now"], due - k.memory[0]["lead"])
        paging["lead_timer"] = set_timer(k, early, T_LEAD, process["core"], p, NONE)


@hot
def foretell(k: Tables, p: int, by: int) -> None:
    """Thread `p` will run soon: have its pages read as its process has said, once for each turn."""
    paging = k.paging[k.process[p]["paging"]]
    way = paging["page_in"]
    if way == BY_FAULT or paging["foretold"] != 0:
        return
    paging["foretold"] = 1
    k.memory[0]["foretold"] += 1
    trace(k, X_FORETELL, p, by, way, DONE)
    if way == BY_INSTRUCTION:
        hint(k, p, paging["instruction"] * PAGE_BYTES, ONE)
    elif way == BY_HINT:
        hint(k, p, paging["hinted_from"] * PAGE_BYTES, paging["hinted_count"])
    elif way == BY_GRAFT:
        ask_grafts(k, p, by)


@hot
def ask_grafts(k: Tables, p: int, by: int) -> None:
    """Run the `schedule` handlers of the grafts of process `p`, in the order in which they were attached."""
    process, meter = k.process[p], k.meter[0]
    g = process["graft"]
    while g != NONE:
        following = k.graft[g]["next"]
        h = find_handler(k, g, ON_SCHEDULE, NO_SLOT, DONE)
        if h != NONE:
            if admit(k, g, h, k.config[0]["fuel"], process["on"]) == NO_REASON:
                show_turn(k, p, by)
                meter["owner"] = p
                meter["operation"] = NONE
                meter["fuel"] = k.config[0]["fuel"]
                activate(k, g, h, payer(k, p), process["on"])
            else:
                k.memory[0]["unforetold"] += 1
        g = following


@hot
def show_turn(k: Tables, p: int, by: int) -> None:
    """Make the turn of thread `p` the event."""
    meter = k.meter[0]
    meter["event"] = ON_SCHEDULE
    meter["tag"] = k.paging[k.process[p]["paging"]]["instruction"] * PAGE_BYTES
    meter["badge"] = 0
    meter["op"] = by
    meter["status"] = 0
    meter["slot"] = NO_SLOT
    meter["body"] = 0
    meter["length"] = 0
