"""Pages: what a process touches may be out, and who may say beforehand that it will be touched.

A process with memory has a row of *pages*. All processes share `frames`; a page that is not in one is read by a device,
one after the other, `fetch` ps each. A touch of a page that is out is a *fault*: the thread blocks until the page is
there. Whose frame it gets is the matter of `eviction`.

    OUT --fault or hint--> COMING --read--> IN --evicted--> OUT

**Page-in before the run** (KERNEL 8). A thread's turn is foretold when it is within `near` places of the head of its
priority's run queue, or when the timer that will wake it is due within `lead` ps; once for each turn. What is read then
depends on how the process has it (`page_in`):

    BY_FAULT         nothing: pages come when they are touched
    BY_INSTRUCTION   the page of the instruction with which it will go on
    BY_HINT          the pages that it declared when it last ran: a capability to hint, and no code
    BY_GRAFT         whatever its `schedule` handlers hint (helper 1007), which may look at what they remember

What the device reads it writes to memory: a page that has come in is cold, and who touches it brings it into his core's
cache (`warmth`), whether a fault, a hint or a graft had it read.

A hinted page that is touched while it is there, or on its way, is a *hit*; one that is evicted untouched is *wasted*.
Hints wait behind faults, and read no more than `HINT_PAGES` at once, paid by the process whose turn it is.
"""

from __future__ import annotations

from typing import Final

from jit.hot import hot, rare
from kernel_model.core.billing import charge, payer
from kernel_model.core.heap import drop_timer, set_timer
from kernel_model.core.lists import append, pop
from kernel_model.core.prices import IN_KERNEL, PAGE_FAULT, PAGE_READ
from kernel_model.core.tables import (
    EINVAL,
    FAULTING,
    NONE,
    PAGE_COMING,
    PAGE_IN,
    PAGE_OUT,
    Q_FAULTS,
    Q_HINTS,
    T_PAGE,
    Tables,
)
from kernel_model.core.warmth import use

PAGE_BYTES: Final = 4096
HINT_PAGES: Final = 64  # of one hint: bounds the work of a section
ONE: Final = 1
DONE: Final = 0


# --- touching ---------------------------------------------------------------------------------------------------------


@hot
def touch(k: Tables, p: int, number: int, count: int) -> int:
    """Touch pages of process `p`, in user mode; return the first that is out, or NONE if all are in."""
    paging, memory = k.paging[k.process[p]["paging"]], k.memory[0]
    for i in range(number, number + count):
        g = paging["first"] + i
        page = k.page[g]
        if page["state"] != PAGE_IN:
            return int(g)
        page["used"] = 1
        page["touched"] = k.meter[0]["now"]
        if page["hinted"] != 0:
            page["hinted"] = 0
            memory["hits"] += 1
    return NONE


@hot
def use_pages(k: Tables, p: int, number: int, count: int) -> None:
    """Process `p` uses pages that are all in, in user mode: what of them is not in its core's cache is brought in."""
    process = k.process[p]
    first = k.paging[process["paging"]]["first"] + number
    for g in range(first, first + count):
        use(k, process["core"], payer(k, p), k.page[g]["footprint"])


@rare
def fault(k: Tables, p: int, g: int) -> None:
    """Process `p` has touched page `g`, which was out: it blocks until the page has been read."""
    process, page = k.process[p], k.page[g]
    charge(k, payer(k, p), IN_KERNEL, PAGE_FAULT, ONE)
    if page["state"] == PAGE_IN:
        return  # it has come meanwhile
    k.memory[0]["faults"] += 1
    process["state"] = FAULTING
    process["a"] = g
    ask(k, g, 0)


# --- reading ----------------------------------------------------------------------------------------------------------


@hot
def ask(k: Tables, g: int, hinted: int) -> None:
    """Let page `g` be read if it is neither there nor on its way."""
    page = k.page[g]
    if page["state"] != PAGE_OUT:
        return
    page["state"] = PAGE_COMING
    page["hinted"] = hinted
    charge(k, payer(k, page["process"]), IN_KERNEL, PAGE_READ, ONE)
    append(k, Q_HINTS if hinted != 0 else Q_FAULTS, k.page, g)
    read_next(k)


@hot
def read_next(k: Tables) -> None:
    """Let the device, if it is free, read the next page: faults come before hints."""
    memory = k.memory[0]
    if memory["reading"] != NONE:
        return
    g = pop(k, Q_FAULTS, k.page)
    if g == NONE:
        g = pop(k, Q_HINTS, k.page)
    if g == NONE:
        return
    memory["reading"] = g
    core = k.process[k.page[g]["process"]]["core"]
    set_timer(k, k.meter[0]["now"] + memory["fetch"], T_PAGE, core, g, NONE)


@hot
def drop_lead(k: Tables, p: int) -> None:
    """Process `p`, which has memory, is woken by something else than the timer that was to foretell its turn."""
    paging = k.paging[k.process[p]["paging"]]
    if paging["lead_timer"] != NONE:
        drop_timer(k, paging["lead_timer"])
        paging["lead_timer"] = NONE


@hot
def release_pages(k: Tables, p: int) -> None:
    """Process `p` is dead: its frames are free."""
    paging = k.paging[k.process[p]["paging"]]
    for g in range(paging["first"], paging["first"] + paging["count"]):
        if k.page[g]["state"] == PAGE_IN:
            k.page[g]["state"] = PAGE_OUT
            k.memory[0]["free"] += 1


@hot
def hint(k: Tables, p: int, address: int, pages: int) -> int:
    """Process `p` will touch `pages` pages from `address` on soon: those that are out are read. 0 or -EINVAL."""
    paging = k.paging[k.process[p]["paging"]]
    if pages < 0 or pages > HINT_PAGES or address < 0 or address % PAGE_BYTES != 0:
        return -EINVAL
    number = address // PAGE_BYTES
    if number + pages > paging["count"]:
        return -EINVAL
    for i in range(number, number + pages):
        ask(k, paging["first"] + i, ONE)
    return DONE
