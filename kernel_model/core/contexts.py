"""Scheduling contexts: who may use how much time, and what he has used. The budgets of KERNEL 3 and 4.

A context is a budget of B ps in each period of P ps. It is a *sporadic server* as in seL4 MCS (Lyons et al., EuroSys
2018; Stanovic et al., RTAS 2010, for the errors that earlier ones had): the budget lies in up to 8 *refills* (time,
amount), oldest first, which always sum to B. Time is drawn from the head, and what is drawn comes back one period after
the time of the refill, which is when somebody **began** to want it:

    B = 4, P = 10                        (0, 4)
    3 drawn from 0 to 3                  (0, 1) (10, 3)
    nothing till 7, then 1 from 7 to 8   (7, 1) is used up  ->  (10, 3) (17, 1)
    nothing is to be had before 10

1. While a thread of the context runs, or would (it is ready, or waits for the next refill), refills keep their times,
   so that being preempted costs none of them. If there is none, what is drawn (by activations, or for a thread that
   is about to wake) makes the head begin anew after each gap: its time becomes now, and all refills due by then join
   it. So does a thread that wakes.
2. Nothing is drawn from a refill later than a period after its time: its time is moved up. Who was kept from his core
   for longer has lost it.
3. With more than 8 refills the two nearest in time become one, at the later of their times. A rest that is too little
   to run on (`spare`) joins the next refill. Both delay a refill and never hasten one.
4. A kernel section cannot be cut short, so it may draw more than is there. The excess is taken from refills that are
   not due yet, and comes back a period after *their* time.

**Theorem.** What is drawn while there is enough (everything but the excess of 4, hence all graft time, since an
activation is admitted only if its proven bound is there) is in any window of length W at most
B x (ceil(W / P) + 1). Proof: follow one unit of budget. Let it be drawn at t(1) < t(2) < ... from refills of the times
b(1), b(2), .... By 2, b(i) <= t(i) <= b(i) + P; by the refill rule b(i+1) >= b(i) + P, and 1 to 3 only add to that. If
t(1) .. t(n) lie in a window of length W, then (n - 1) P <= b(n) - b(1) <= t(n) - t(1) + P < W + P (a unit takes time to
draw, so the last is not at the very end), hence n <= ceil(W / P) + 1. There are B units.

Context 0 is unlimited; processes that were given none run on it. While there is no other nobody asks any of this.

The book of contexts is kept apart from the accounts, from the clock instead of from prices: what of each core's time
passes in user mode, in sections, in activations and waiting for the lock is on exactly one context, so
all contexts together = cores x now - idle + the rests of sections (`books`). A section is paid by the context that its
thread ran on, from where it does something for another on (`pay`) by his: an interrupt and what follows from a message
by that of the process concerned, the way out by that of the thread that runs next, an activation by the one that was
asked for it (`activation.admit`). In charge mode `current` whoever ran when the section began pays for all of it; there
the theorem holds for nobody.
"""

from __future__ import annotations

from typing import Final

from jit.hot import hot, rare
from kernel_model.core.billing import charge, trace
from kernel_model.core.prices import ACCOUNT_SWITCH, CLOCK_READ, DEBIT, IN_SWITCH
from kernel_model.core.tables import CURRENT, METERED, NEVER, NONE, POSTPONED, READY, RUNNING, X_CONSUME, Tables

REFILLS: Final = 8
UNLIMITED: Final = 0  # the context of all who have none

KINDS: Final = ("user", "kernel", "graft", "lock")
FOR_USER, FOR_KERNEL, FOR_GRAFT, FOR_LOCK = range(len(KINDS))
ONE: Final = 1


# --- refills ----------------------------------------------------------------------------------------------------------


@hot
def spare(k: Tables) -> int:
    """Return what is too little to run on, ps: the way into the kernel and out again, twice the price of `exit`."""
    return int(2 * k.config[0]["exit_cost"])


@hot
def time_in_section(k: Tables) -> int:
    """Return how late it will be when all that the section has done so far is done."""
    return int(k.meter[0]["now"] + k.meter[0]["section"])


@rare
def has_budget(k: Tables, x: int, when: int) -> bool:
    """Whether a thread may run on context `x` at a time."""
    return bool(x == UNLIMITED or k.refill[k.context[x]["first"]]["time"] <= when)


@hot
def available(k: Tables, x: int, when: int) -> int:
    """Return how much may be drawn from context `x` at a time, ps."""
    if x == UNLIMITED:
        return NEVER
    context = k.context[x]
    total = 0
    for i in range(context["first"], context["first"] + context["refills"]):
        if k.refill[i]["time"] <= when:
            total += k.refill[i]["amount"]
    return int(total)


@rare
def slice_of(k: Tables, x: int) -> int:
    """Return how long the thread on context `x` may go on from now, ps: until the head is used up."""
    if x == UNLIMITED:
        return NEVER
    head = k.refill[k.context[x]["first"]]
    return int(head["amount"]) if head["time"] <= k.meter[0]["now"] else 0


@hot
def run_on(k: Tables, p: int, x: int) -> None:
    """Let process `p` run on context `x` from now on."""
    if k.process[p]["on"] != x:
        k.process[p]["on"] = x
        count_active(k, p)


@rare
def count_active(k: Tables, p: int) -> None:
    """See whether process `p` runs or would, and on which context; the first to do so after a pause begins anew."""
    process = k.process[p]
    state = process["state"]
    x = process["on"] if state in (READY, RUNNING, POSTPONED) else NONE
    if x == process["active_on"]:
        return
    if process["active_on"] != NONE:
        k.context[process["active_on"]]["active"] -= 1
    process["active_on"] = x
    if x == NONE:
        return
    context = k.context[x]
    context["active"] += 1
    if x != UNLIMITED and context["active"] == 1 and k.meter[0]["now"] > context["until"]:
        begin_anew(k, x, k.meter[0]["now"])


@hot
def begin_anew(k: Tables, x: int, when: int) -> None:
    """Move the head up to `when` and join to it what is due by then, or what follows if it is too little by itself."""
    context = k.context[x]
    first = context["first"]
    head = k.refill[first]
    head["time"] = max(head["time"], when)
    while context["refills"] > 1:
        second = k.refill[first + 1]
        if second["time"] > head["time"] and head["amount"] > spare(k):
            return
        head["amount"] += second["amount"]
        head["time"] = max(head["time"], second["time"])
        remove_refill(k, x, first + 1)


@hot
def remove_refill(k: Tables, x: int, at: int) -> None:
    """Close the gap of the refill in row `at`, which was merged into another or used up."""
    context = k.context[x]
    for i in range(at, context["first"] + context["refills"] - 1):
        k.refill[i]["time"] = k.refill[i + 1]["time"]
        k.refill[i]["amount"] = k.refill[i + 1]["amount"]
    context["refills"] -= 1


@hot
def append_refill(k: Tables, x: int, time: int, amount: int) -> None:
    """Add a refill, the latest of all; one too many makes the two nearest one, at the later time."""
    context = k.context[x]
    first, count = context["first"], context["refills"]
    if count > 0 and k.refill[first + count - 1]["time"] >= time:
        k.refill[first + count - 1]["amount"] += amount
        return
    k.refill[first + count]["time"] = time
    k.refill[first + count]["amount"] = amount
    context["refills"] += 1
    if count < REFILLS:
        return
    nearest = first + 1
    for i in range(first + 1, first + REFILLS):
        if k.refill[i + 1]["time"] - k.refill[i]["time"] < k.refill[nearest + 1]["time"] - k.refill[nearest]["time"]:
            nearest = i
    k.refill[nearest + 1]["amount"] += k.refill[nearest]["amount"]
    remove_refill(k, x, nearest)


@hot
def draw(k: Tables, x: int, since: int, amount: int) -> None:
    """Draw `amount` ps from context `x`, for what begins at `since`."""
    context = k.context[x]
    if context["active"] == 0 and since > context["until"]:
        begin_anew(k, x, since)
    context["until"] = max(context["until"], since + amount)
    left = amount
    while left > 0:
        head = k.refill[context["first"]]
        part = min(left, head["amount"])
        left -= part
        latest = since + amount - left - context["period"]
        if head["time"] < latest:
            begin_anew(k, x, latest)
        again = head["time"] + context["period"]
        if head["amount"] - part > spare(k):
            head["amount"] -= part
            append_refill(k, x, again, part)
        else:
            part = head["amount"]  # the rest, too little to run on, comes back with it
            remove_refill(k, x, context["first"])
            append_refill(k, x, again, part)
            begin_anew(k, x, k.refill[context["first"]]["time"])
            context["used_up"] = 1


# --- the book of contexts ---------------------------------------------------------------------------------------------


@rare
def consume(k: Tables, x: int, kind: int, since: int, amount: int) -> None:
    """Put `amount` ps, which pass from `since` on, on context `x` as time of a kind."""
    if amount == 0:
        return
    k.consumed[x, kind] += amount
    if x != UNLIMITED:
        draw(k, x, since, amount)
        trace(k, X_CONSUME, x, kind, amount, since)


@rare
def open_book(k: Tables, x: int) -> None:
    """A section begins, paid by context `x` as long as nobody else is named."""
    meter = k.meter[0]
    meter["paying"] = x
    meter["paying_for"] = FOR_KERNEL
    meter["paid"] = 0


@rare
def pay(k: Tables, x: int, kind: int) -> None:
    """From here on the section is paid by context `x` (NONE: as before), as time of a kind; what was done so far is
    put on whoever was paying."""
    meter = k.meter[0]
    paid = meter["paid"]
    consume(k, meter["paying"], meter["paying_for"], meter["now"] + paid, meter["section"] - paid)
    meter["paid"] = meter["section"]
    meter["paying_for"] = kind
    if x != NONE and k.config[0]["charge_mode"] != CURRENT:
        meter["paying"] = x


@rare
def charge_change(k: Tables, account: int) -> None:
    """Charge what it takes to put time on another context than so far (charge modes of KERNEL 4)."""
    mode = k.config[0]["charge_mode"]
    if mode == METERED:
        charge(k, account, IN_SWITCH, CLOCK_READ, ONE)
        charge(k, account, IN_SWITCH, DEBIT, ONE)
    elif mode != CURRENT:
        charge(k, account, IN_SWITCH, ACCOUNT_SWITCH, ONE)
