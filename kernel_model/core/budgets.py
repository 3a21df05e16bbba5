"""What budgets do to threads: who is taken off his core, who may go on, and what becomes of a server that runs dry.

A thread runs on a scheduling context (`process.on`), its own or one that was lent to it:

    its own   `context=`; without one the unlimited context 0
    lent      a *passive* server runs on the context of whoever submitted the operation that it serves. A call donates
              it: the caller is blocked meanwhile. The reply gives it back, `forward` passes it on with the request, and
              a server that calls another lends what was lent to it. An asynchronous sender goes on running, so both
              draw on one budget (seL4 would leave the server blocked); that is the account carried in the message.
              Without a request in hand the server is on its own context (its `rescue`), for what it does before its
              first receive and after a timeout.

The *preemption timer* ends a burst when the head refill is used up. If another is due the thread goes behind the others
of its priority (round robin); if not it is POSTPONED until the next refill, when a timer releases it. Kernel sections
are never cut short: they overdraw, and `expel` looks at the end of each whether those who would run may.

A passive server whose donor is exhausted is not postponed, which would keep the endpoint shut for all others: the
request ends `timed_out`, the rest of the burst is dropped, and the server's *timeout handler* runs, on its own context:

    compiled servers      free what they have prepared and receive the next request; so do servers that are hosts
    Python generators     `hosting.DonorExhausted` is raised at the `yield` that was under way; its handler may undo,
                          compute, and receive the next. What it had not been given yet it never sees: its `receive`
                          brings None, as for a request that was cancelled
    scripts               go on with their next row; a reply without a request is dropped and receives the next

Who had lent the context to that server through another server is told by the same rule in turn: the other server wakes
with `timed_out` on a context without budget, and so on to the client, which is postponed until its refill.
"""

from __future__ import annotations

from typing import Final

from jit.hot import hot, rare
from kernel_model.core.billing import cut_burst, trace
from kernel_model.core.contexts import has_budget, run_on, time_in_section
from kernel_model.core.heap import set_timer
from kernel_model.core.hosted import give_up
from kernel_model.core.lists import first, pop, unlink
from kernel_model.core.ops import drain
from kernel_model.core.replies import discard_drafts, forget_reply
from kernel_model.core.requests import finish
from kernel_model.core.schedule import delist, enlist, front, highest_ready, postpone, wake
from kernel_model.core.servers import V_RECEIVE
from kernel_model.core.tables import (
    B_HOST,
    B_HOSTED,
    B_SERVER,
    NONE,
    Q_DRAFTS,
    Q_POSTPONED,
    RUNNING,
    T_REFILL,
    TIMED_OUT,
    X_ABANDON,
    Tables,
)

AT_BACK: Final = False
DONE: Final = 0


@rare
def expel(k: Tables, c: int, current: int) -> None:
    """Take off core `c` whoever would run there without budget: the current thread and those who would come next."""
    when = time_in_section(k)
    if current != NONE and k.process[current]["state"] == RUNNING:
        context = k.context[k.process[current]["on"]]
        if not has_budget(k, k.process[current]["on"], when):
            take_off(k, current)
        elif context["used_up"] != 0:
            enlist(k, current, AT_BACK)
        context["used_up"] = 0
    level = highest_ready(k, c)
    while level >= 0:
        p = front(k, c, level)
        if has_budget(k, k.process[p]["on"], when):
            k.context[k.process[p]["on"]]["used_up"] = 0
            return
        delist(k, p)
        take_off(k, p)
        level = highest_ready(k, c)


@hot
def take_off(k: Tables, p: int) -> None:
    """Thread `p`, in no queue, has no budget to run on."""
    process = k.process[p]
    if process["request"] != NONE and process["on"] != process["context"]:
        abandon(k, p)
    else:
        postpone(k, p)


@hot
def refill(k: Tables, x: int) -> None:
    """The time of a refill has come: its threads are ready again. Where it was put off since, they wait on."""
    context = k.context[x]
    context["timer"] = NONE
    if not has_budget(k, x, time_in_section(k)):
        p = first(k, context["queues"] + Q_POSTPONED)
        if p != NONE:
            due = k.refill[context["first"]]["time"]
            context["timer"] = set_timer(k, due, T_REFILL, k.process[p]["core"], x, NONE)
        return
    p = pop(k, context["queues"] + Q_POSTPONED, k.process)
    while p != NONE:
        wake(k, p)
        k.process[p]["wakeups"] -= 1  # it was not blocked
        p = pop(k, context["queues"] + Q_POSTPONED, k.process)


@hot
def release(k: Tables, p: int) -> None:
    """Take a postponed thread from its context: it is about to die."""
    unlink(k, k.context[k.process[p]["on"]]["queues"] + Q_POSTPONED, k.process, p)


@hot
def abandon(k: Tables, p: int) -> None:
    """Passive server `p` is out of its sender's budget: the request times out, the timeout handler runs."""
    process = k.process[p]
    r = process["request"]
    x = process["on"]
    process["request"] = NONE
    run_on(k, p, process["context"])
    process["abandoned"] += 1
    trace(k, X_ABANDON, p, x, k.request[r]["tag"], k.request[r]["operation"])
    k.request[r]["holder"] = NONE
    finish(k, r, TIMED_OUT, DONE)
    cut_burst(k, p)
    forget_reply(k, p)
    if process["behaviour"] == B_SERVER:
        process["stage"] = V_RECEIVE
        discard_drafts(k, process["queues"] + Q_DRAFTS)
    elif process["behaviour"] == B_HOSTED:
        give_up(k, p)
    elif process["behaviour"] == B_HOST:
        process["stage"] = DONE
        process["told_late"] = k.request[r]["serial"]
        discard_drafts(k, process["queues"] + Q_DRAFTS)
    enlist(k, p, AT_BACK)
    drain(k)
