"""Timers of grafts when they are due: in the kernel an activation, now or deferred; in user mode a completion.

A timer inherits fuel and operation from the event that armed it, and has a place among the completions reserved: what
may not run in the kernel is delivered to the client marked with the reason, like any other event, and its library runs
the handler. If that was all that its operation was waiting for, the operation is completed by it.

A *periodic* timer (`attach(..., every=)`) belongs to no operation. It has its own fuel at each expiry and a minimum
period, so what it costs per second is bounded whatever its handler does. It reserves nothing: an expiry that may not
run in the kernel and finds no room among the completions, or that would be deferred behind `BACKLOG` others, is skipped
and counted as `missed`.
"""

from __future__ import annotations

from typing import Final

from jit.hot import hot
from kernel_model.core.activation import ON_TIMER, activate, admit, find_handler, show_timer
from kernel_model.core.billing import payer
from kernel_model.core.deferred import defer, must_queue
from kernel_model.core.fallbacks import note_fallback
from kernel_model.core.heap import place, rise, set_timer
from kernel_model.core.lists import append, unlink
from kernel_model.core.outcomes import close, end_operation, hand_over, post, post_further
from kernel_model.core.pools import give, give_request, take, take_request
from kernel_model.core.room import has_completion
from kernel_model.core.tables import (
    LATER,
    LOWER_PRIORITY,
    NO_REASON,
    NO_SLOT,
    NONE,
    OF_TIMER,
    P_COMPLETION,
    P_TIMER,
    Q_TIMERS,
    R_TIMING,
    REPLIED,
    T_PERIODIC,
    Tables,
)

ONE: Final = 1
DONE: Final = 0
BACKLOG: Final = 64  # deferred events of a process behind which a periodic timer does not queue: as many as its timers


@hot
def fire_user(k: Tables, t: int) -> None:
    """A timer of a handler in user mode: its completion, for which room is reserved."""
    timer = k.timer[t]
    g = timer["target"]
    c = announce_timer(k, g, timer["argument"], timer["operation"], NO_REASON)
    disarm(k, g, t)
    post(k, k.graft[g]["process"], c)


@hot
def announce_timer(k: Tables, g: int, id_: int, cookie: int, reason: int) -> int:
    """Return a completion that says that timer `id_` of graft `g` is due."""
    c = take(k, P_COMPLETION, k.completion)
    completion = k.completion[c]
    completion["posted_at"] = k.meter[0]["now"]
    completion["poster"] = k.meter[0]["core"]
    completion["kind"] = OF_TIMER
    completion["outcome"] = REPLIED
    completion["tag"] = id_
    completion["status"] = 0
    completion["capability"] = NONE
    completion["deadline"] = NONE
    completion["op"] = 0
    completion["badge"] = 0
    completion["body"] = 0
    completion["length"] = 0
    completion["room"] = 0
    completion["graft"] = g
    k.graft[g]["pending"] += 1
    completion["reason"] = reason
    completion["parcel"] = NONE
    completion["cookie"] = cookie
    return c


@hot
def disarm(k: Tables, g: int, t: int) -> None:
    """Take a fired timer from its graft, and free it."""
    unlink(k, k.graft[g]["queues"] + Q_TIMERS, k.timer, t)
    k.graft[g]["armed"] -= 1
    give(k, P_TIMER, k.timer, t)


@hot
def fire_graft(k: Tables, t: int) -> None:
    """A timer of a graft in the kernel: its handler runs, now or deferred; where only eager activations are made and a
    more important thread is ready, the timer fires again a little later."""
    timer, meter = k.timer[t], k.meter[0]
    g, id_, o, fuel = timer["target"], timer["argument"], timer["operation"], timer["fuel"]
    p = k.graft[g]["process"]
    h = find_handler(k, g, ON_TIMER, NO_SLOT, DONE)
    reason = NO_REASON
    if h != NONE:
        reason = LATER if must_queue(k, p) else admit(k, g, h, fuel, k.process[p]["on"])
    if reason == LOWER_PRIORITY or (reason != NO_REASON and reason != LATER and meter["eager_used"] > 0):
        timer["due"] = meter["now"] + k.config[0]["retry"]
        position = meter["heap_size"]
        meter["heap_size"] += 1
        place(k, position, t)
        rise(k, position)
        return
    if timer["kind"] == T_PERIODIC:
        repeat(k, t)
        if reason == LATER and k.process[p]["deferred"] >= BACKLOG:
            meter["missed"] += 1
            return
    else:
        disarm(k, g, t)
        k.process[p]["cq_reserved"] -= 1
    if reason == LATER:
        r = take_request(k)
        request = k.request[r]
        request["tag"] = id_
        request["operation"] = o
        request["fuel"] = fuel
        request["process"] = p
        defer(k, p, r, g, R_TIMING)
    else:
        end_timer(k, g, h, id_, o, fuel, reason)


@hot
def repeat(k: Tables, t: int) -> None:
    """Set a periodic timer again, in a row of its own, with fuel of its own."""
    timer = k.timer[t]
    g = timer["target"]
    again = set_timer(k, timer["due"] + timer["period"], T_PERIODIC, timer["core"], g, timer["argument"])
    k.timer[again]["fuel"] = k.config[0]["fuel"]
    k.timer[again]["period"] = timer["period"]
    unlink(k, k.graft[g]["queues"] + Q_TIMERS, k.timer, t)
    append(k, k.graft[g]["queues"] + Q_TIMERS, k.timer, again)
    give(k, P_TIMER, k.timer, t)


@hot
def resume_timer(k: Tables, r: int, g: int) -> None:
    """A deferred timer has its turn."""
    request = k.request[r]
    id_, o, fuel = request["tag"], request["operation"], request["fuel"]
    h = find_handler(k, g, ON_TIMER, NO_SLOT, DONE)
    p = k.graft[g]["process"]
    reason = admit(k, g, h, fuel, k.process[p]["on"])
    give_request(k, r)
    end_timer(k, g, h, id_, o, fuel, reason)


@hot
def end_timer(k: Tables, g: int, h: int, id_: int, o: int, fuel: int, reason: int) -> None:
    """Run the handler of an expiry (NONE: there is none), or tell the client that it could not; its operation has one
    hope less."""
    meter = k.meter[0]
    p = k.graft[g]["process"]
    if h != NONE and reason == NO_REASON:
        show_timer(k, id_)
        meter["fuel"] = fuel
        meter["owner"] = p
        meter["operation"] = o if o != NONE and k.operation[o]["completed"] == 0 else NONE
        activate(k, g, h, payer(k, p), k.process[p]["on"])
    elif h != NONE:
        tell_timer(k, g, h, id_, o, reason)
    if o != NONE:
        k.operation[o]["outstanding"] -= 1
        if k.operation[o]["outstanding"] == 0:
            close(k, o)


@hot
def tell_timer(k: Tables, g: int, h: int, id_: int, o: int, reason: int) -> None:
    """Deliver an expiry to the client instead: as the completion of its operation if nothing else is to come of it."""
    p, meter = k.graft[g]["process"], k.meter[0]
    note_fallback(k, g, h, id_, reason)
    is_open = o != NONE and k.operation[o]["completed"] == 0
    cookie = k.operation[o]["cookie"] if is_open else NONE
    if is_open and k.operation[o]["outstanding"] == ONE:
        if end_operation(k, o):
            hand_over(k, o, announce_timer(k, g, id_, cookie, reason))
    elif is_open or has_completion(k, p):
        if cookie != NONE:
            k.job[cookie]["pending"] += 1
        post_further(k, p, o, announce_timer(k, g, id_, cookie, reason))
    else:
        meter["missed"] += 1
