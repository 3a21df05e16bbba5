"""Eviction: whose frame a page that has been read gets, and which page of that process gives its frame up.

Two levels, as in application-controlled caching (Cao, Felten and Li, OSDI 1994): *whose* page goes is the kernel's
choice, so nobody can keep more memory by what he says; *which* of his pages goes may be his own, so he can only hurt
himself. The kernel chooses with a clock (second chance; Corbato 1968). A process that has its pages so
(`evicted_by` BY_ADVICE) offers those that the clock would come to next, `OFFERED` at most, to its grafts, as a request
for operation 0 of the protocol that they serve:

    request   count u64, pages u64 [OFFERED], used u64 [OFFERED]   pages by their numbers in the process, in clock order
    answer    page u64                                             one of them

`used` is when the page was touched last, ns. The handlers are asked in the order in which they were attached, at the
cost of the process, admitted like any others (VINO asks in the same place: Small and Seltzer, USENIX 1996). The first
valid answer counts; with an answer that is none of what was offered, none, or no room to run a handler, the page goes
that the clock has chosen: asking can be useless, never fatal.
"""

from __future__ import annotations

from typing import Final

from grafting import hooks
from jit.hot import hot
from jit.words import i64, load64, store64, u64
from kernel_model.core.activation import ON_REQUEST, activate, admit, find_handler
from kernel_model.core.billing import charge, payer, trace
from kernel_model.core.helpers import drop_answer
from kernel_model.core.paging import read_next
from kernel_model.core.pools import give_body, room_for, take_body
from kernel_model.core.prices import IN_KERNEL, PAGE_MAP, PAGE_SCAN
from kernel_model.core.schedule import wake
from kernel_model.core.tables import (
    BY_ADVICE,
    DEAD,
    FAULTING,
    NO_REASON,
    NO_SLOT,
    NONE,
    PAGE_IN,
    PAGE_OUT,
    X_PAGE,
    Tables,
)
from kernel_model.core.warmth import cool

OFFERED: Final = 16
WORD: Final = 8
OFFER_BYTES: Final = WORD * (1 + 2 * OFFERED)
CHOICE_BYTES: Final = WORD
EVICT: Final = 0  # the operation of the protocol
PS_PER_NS: Final = 1000
ANSWERED: Final = hooks.ANSWERED
ONE: Final = 1
DONE: Final = 0


@hot
def arrive_page(k: Tables, g: int) -> None:
    """Page `g` has been read: it gets a frame, and who waits for it goes on."""
    memory, page = k.memory[0], k.page[g]
    memory["reading"] = NONE
    p = page["process"]
    if k.process[p]["state"] == DEAD:
        page["state"] = PAGE_OUT
        read_next(k)
        return
    if memory["free"] > 0:
        memory["free"] -= 1
    else:
        give_up_page(k, choose(k, p))
    page["state"] = PAGE_IN
    page["used"] = 1
    page["touched"] = k.meter[0]["now"]
    charge(k, payer(k, p), IN_KERNEL, PAGE_MAP, ONE)
    trace(k, X_PAGE, p, g - k.paging[k.process[p]["paging"]]["first"], page["hinted"], DONE)
    process = k.process[p]
    if process["state"] == FAULTING and process["a"] == g:
        wake(k, p)
    read_next(k)


@hot
def choose(k: Tables, p: int) -> int:
    """Return the page whose frame process `p` gets, for which `p` pays as far as the clock goes."""
    victim = turn_clock(k, payer(k, p))
    q = k.page[victim]["process"]
    if k.paging[k.process[q]["paging"]]["evicted_by"] == BY_ADVICE:
        return ask_owner(k, q, victim)
    return victim


@hot
def turn_clock(k: Tables, account: int) -> int:
    """Return the page that the clock finds unused, charged to `account`.

    It finds one, at the latest when it has come round once and cleared all marks: there are no more pages in than
    frames, so what it looks at is bounded by twice the pages that there are.
    """
    memory = k.memory[0]
    seen = 0
    while True:
        seen += 1
        g = memory["hand"]
        memory["hand"] = g + 1 if g + 1 < memory["pages"] else 0
        page = k.page[g]
        if page["state"] == PAGE_IN:
            if page["used"] == 0:
                charge(k, account, IN_KERNEL, PAGE_SCAN, seen)
                return int(g)
            page["used"] = 0


@hot
def give_up_page(k: Tables, g: int) -> None:
    """Page `g` has a frame no longer."""
    memory, page = k.memory[0], k.page[g]
    page["state"] = PAGE_OUT
    cool(k, page["footprint"])
    memory["evicted"] += 1
    if page["hinted"] != 0:
        page["hinted"] = 0
        memory["wasted"] += 1


# --- asking the owner -------------------------------------------------------------------------------------------------


@hot
def ask_owner(k: Tables, p: int, victim: int) -> int:
    """Return the page that process `p` would rather give than `victim`, or `victim`."""
    meter, memory = k.meter[0], k.memory[0]
    body = take_body(k, OFFER_BYTES)
    write_offer(k, p, victim, body)
    chosen = NONE
    g = k.process[p]["graft"]
    while g != NONE and chosen == NONE:
        following = k.graft[g]["next"]
        h = find_handler(k, g, ON_REQUEST, NONE, EVICT)
        if h != NONE and admit(k, g, h, k.config[0]["fuel"], k.process[p]["on"]) == NO_REASON:
            show_offer(k, p, body)
            if activate(k, g, h, payer(k, p), k.process[p]["on"]) == ANSWERED:
                chosen = answer_of(k, p, body)
            drop_answer(k)
        g = following
    meter["body"] = 0
    give_body(k, body, room_for(OFFER_BYTES))
    if chosen == NONE:
        memory["unadvised"] += 1
        return victim
    memory["advised"] += 1
    return chosen


@hot
def write_offer(k: Tables, p: int, victim: int, body: int) -> None:
    """Write the offer: the pages of process `p` that are in, in the order of the clock from `victim` on."""
    paging = k.paging[k.process[p]["paging"]]
    first, pages = paging["first"], paging["count"]
    count = 0
    seen = 0
    at = victim
    while seen < pages and count < OFFERED:
        if k.page[at]["state"] == PAGE_IN:
            store64(k.arena, body + WORD * (1 + count), u64(at - first))
            store64(k.arena, body + WORD * (1 + OFFERED + count), u64(k.page[at]["touched"] // PS_PER_NS))
            count += 1
        at = at + 1 if at + 1 < first + pages else first
        seen += 1
    store64(k.arena, body, u64(count))
    for i in range(count, OFFERED):
        store64(k.arena, body + WORD * (1 + i), u64(0))
        store64(k.arena, body + WORD * (1 + OFFERED + i), u64(0))
    charge(k, payer(k, p), IN_KERNEL, PAGE_SCAN, seen)


@hot
def show_offer(k: Tables, p: int, body: int) -> None:
    """Make the offer at `body` the message of the event that a graft of process `p` is about to see."""
    meter = k.meter[0]
    meter["event"] = ON_REQUEST
    meter["tag"] = 0
    meter["badge"] = 0
    meter["op"] = EVICT
    meter["status"] = 0
    meter["slot"] = NO_SLOT
    meter["body"] = body
    meter["length"] = OFFER_BYTES
    meter["parcel"] = NONE
    meter["owner"] = p
    meter["operation"] = NONE
    meter["fuel"] = k.config[0]["fuel"]


@hot
def answer_of(k: Tables, p: int, body: int) -> int:
    """Return the page that the handler has answered with, NONE if that is none of those offered at `body`."""
    meter = k.meter[0]
    if meter["answered"] == 0 or meter["answer_status"] != DONE or meter["answer_length"] < CHOICE_BYTES:
        return NONE
    page = load64(k.arena, meter["answer_body"])
    for i in range(i64(load64(k.arena, body))):
        if load64(k.arena, body + WORD * (1 + i)) == page:
            return int(k.paging[k.process[p]["paging"]]["first"] + i64(page))
    return NONE
