"""Activation: one handler, run in the kernel or in user mode, from the event to its commit.

In the kernel an activation is *admitted* first (`admit`): its proven bound fits what is left of the eager window of
this section, of the event's fuel and of the payer's budget, and the installer's priority is not below that of the
thread that would run next. What is not admitted is not begun: it is deferred (`deferred`), where that is asked for, or
the event falls back to the client, marked with the reason. So a handler that runs is never aborted, and maps need no
undo log.

While it runs, `send` does all its checks and **reserves**: the place at the endpoint, the request with its body, and,
where no operation of a client is there to be joined, the place for a completion. What cannot be reserved is refused
to the handler at once (its `else` branch). At return `commit` turns the reservations into sends, which cannot fail.
What the activation cost is taken from the event's fuel and the rest is *divided* among its sends, its timers and the
message itself where that goes on (to the next graft of the list, to its endpoint, back with an answer), never copied:
k messages together can never cause more than the one that they came from. Were it copied, two grafts that each send on
every reply would cause 2^H activations in H hops.

In user mode (`meter.in_user`) the same handler runs over the same maps; its sends are drafts, which the client's
library then submits by system calls, and nothing is reserved.

`meter` carries the event: tag, badge, op, status, slot, body, length, event; then who is concerned: owner (a process),
operation (or NONE), fuel, cookie. `show_request` and `show_completion` fill it in.
"""

from __future__ import annotations

from typing import Final

from grafting import hooks
from grafting.hooks import Event
from jit.hot import hot, rare
from kernel_model.core.billing import charge, operation_begins, payer, request_begins, trace
from kernel_model.core.contexts import FOR_GRAFT, FOR_KERNEL, available, pay, spare, time_in_section
from kernel_model.core.heap import set_timer
from kernel_model.core.lists import first, pop
from kernel_model.core.locks import touch
from kernel_model.core.pools import take_operation
from kernel_model.core.prices import (
    ACCOUNT_SWITCH,
    ACTIVATE,
    ACTIVATE_USER,
    CLOCK_READ,
    DEBIT,
    DISPATCH_SEND,
    IN_GRAFT,
    IN_KERNEL,
    IN_USER,
)
from kernel_model.core.promises import dispatch
from kernel_model.core.requests import join
from kernel_model.core.running import run_handler
from kernel_model.core.schedule import next_priority
from kernel_model.core.tables import (
    ATTACHED,
    AUTO_MODE,
    CURRENT,
    DEFERRED_MODE,
    ERROR,
    LATER,
    LEAVING,
    LOWER_PRIORITY,
    METERED,
    NEVER,
    NO_REASON,
    NO_SLOT,
    NONE,
    NOT_IN_KERNEL,
    O_CALL,
    O_GRAFT,
    OFF_MODE,
    OVER_BUDGET,
    OVER_EAGER,
    OVER_FUEL,
    Q_OUTBOX,
    Q_TIMERS,
    REPLIED,
    SECTION_STEPS,
    STATUS_OF,
    SWITCHED,
    T_DEADLINE,
    UNSHARED,
    X_ACTIVATE,
    X_SPENT,
    X_SPENT_IN_USER,
    Tables,
)
from kernel_model.core.warmth import use

ON_SUBMIT: Final = Event.SUBMIT.value
ON_REPLY: Final = Event.REPLY.value
ON_FAILURE: Final = Event.FAILURE.value
ON_REQUEST: Final = Event.REQUEST.value
ON_TIMER: Final = Event.TIMER.value

DELIVER: Final = hooks.DELIVER
TAKEN: Final = hooks.TAKEN
ONE: Final = 1
TWO: Final = 2


# --- which handler, and what it sees ----------------------------------------------------------------------------------


@hot
def find_handler(k: Tables, g: int, event: int, slot: int, op: int) -> int:
    """Return the handler of graft `g` for an event, or NONE. More special handlers stand before more general ones."""
    graft = k.graft[g]
    for h in range(graft["first_handler"], graft["first_handler"] + graft["handlers"]):
        handler = k.handler[h]
        fits_slot = handler["slot"] == NONE or handler["slot"] == slot
        fits_op = handler["op"] == NONE or handler["op"] == op
        if handler["event"] == event and fits_slot and fits_op:
            return int(h)
    return NONE


@hot
def handler_for(k: Tables, g: int, event: int, r: int) -> int:
    """Return the handler of graft `g` for an event of request `r`, or NONE."""
    request = k.request[r]
    return find_handler(k, g, event, slot_of(k, g, request["capability"], request["epoch"]), request["op"])


@hot
def handler_for_completion(k: Tables, g: int, event: int, c: int) -> int:
    """Return the handler of graft `g` for the event that completion `c` tells, or NONE."""
    completion = k.completion[c]
    return find_handler(k, g, event, slot_of(k, g, completion["capability"], completion["epoch"]), completion["op"])


@hot
def slot_of(k: Tables, g: int, capability: int, epoch: int) -> int:
    """Return the slot of graft `g` that holds, or held until it was deleted, the capability that was named so.

    NO_SLOT if none does. A row that was given out again since is another capability.
    """
    graft = k.graft[g]
    if capability == NONE:
        return NO_SLOT
    for slot in range(graft["slots"]):
        entry = k.slot[graft["first_slot"] + slot]
        if entry["capability"] == capability and entry["epoch"] == epoch:
            return int(slot)
    return NO_SLOT


@hot
def next_submit_handler(k: Tables, g: int, r: int) -> tuple[int, int]:
    """Return the first graft from `g` on in its list with a handler for the submission of `r`, and the handler."""
    while g != NONE:
        if k.graft[g]["state"] != LEAVING:
            h = handler_for(k, g, ON_SUBMIT, r)
            if h != NONE:
                return int(g), h
        g = k.graft[g]["next"]
    return NONE, NONE


@hot
def status_of(outcome: int, status: int) -> int:
    """Return the status that a handler or client sees for an outcome."""
    return status if outcome in (REPLIED, ERROR) else -STATUS_OF[outcome]


@hot
def show_request(k: Tables, g: int, r: int, event: int) -> None:
    """Make request `r` the message of the event that graft `g` is about to see."""
    meter, request = k.meter[0], k.request[r]
    meter["event"] = event
    meter["tag"] = request["tag"]
    meter["badge"] = request["badge"]
    meter["op"] = request["op"]
    meter["status"] = status_of(request["outcome"], request["status"]) if request["outcome"] >= 0 else 0
    meter["slot"] = slot_of(k, g, request["capability"], request["epoch"])
    meter["body"] = request["body"]
    meter["length"] = request["length"]
    meter["fuel"] = request["fuel"]
    meter["parcel"] = request["parcel"]


@hot
def show_completion(k: Tables, g: int, c: int) -> None:
    """Make completion `c` the message of the event that graft `g` is about to see, in user mode."""
    meter, completion = k.meter[0], k.completion[c]
    outcome = completion["outcome"]
    meter["event"] = ON_REPLY if outcome == REPLIED else ON_FAILURE
    meter["tag"] = completion["tag"]
    meter["badge"] = completion["badge"]
    meter["op"] = completion["op"]
    meter["status"] = status_of(outcome, completion["status"])
    meter["slot"] = slot_of(k, g, completion["capability"], completion["epoch"])
    meter["body"] = completion["body"]
    meter["length"] = completion["length"]
    meter["parcel"] = completion["parcel"]


@hot
def show_timer(k: Tables, id_: int) -> None:
    """Make the expiry of timer `id_` the event."""
    meter = k.meter[0]
    meter["event"] = ON_TIMER
    meter["tag"] = id_
    meter["badge"] = 0
    meter["op"] = 0
    meter["status"] = 0
    meter["slot"] = NO_SLOT
    meter["body"] = 0
    meter["length"] = 0
    meter["parcel"] = NONE


# --- admission --------------------------------------------------------------------------------------------------------


@hot
def admit(k: Tables, g: int, h: int, fuel: int, x: int) -> int:
    """Return NO_REASON if handler `h` may run in this section, on the fuel and the context `x` of its payer, else why
    not; LATER if it is to be deferred. In the turn of a continuation there is no eager window and nobody to be delayed.
    """
    config, meter, graft = k.config[0], k.meter[0], k.graft[g]
    bound = k.handler[h]["bound"]
    mode = config["activation"]
    in_turn = meter["continuing"] != 0
    meter["continuing"] = 0
    if mode == OFF_MODE or graft["state"] != ATTACHED:
        return NOT_IN_KERNEL
    if mode == DEFERRED_MODE and not in_turn:
        return LATER
    if (meter["eager_used"] + bound > config["eager"] or meter["steps"] >= SECTION_STEPS) and not in_turn:
        return LATER if mode == AUTO_MODE else OVER_EAGER
    if fuel <= bound + 2 * config["exit_cost"]:
        return OVER_FUEL
    if config["contexts"] != 0 and not can_pay(k, x, bound):
        return OVER_BUDGET
    if k.process[graft["process"]]["priority"] < next_priority(k, meter["core"]) and not in_turn:
        return LATER if mode == AUTO_MODE else LOWER_PRIORITY
    return NO_REASON


@rare
def can_pay(k: Tables, x: int, bound: int) -> bool:
    """Whether context `x` (in charge mode `current`: that of whoever runs) has budget for an activation.

    More than its bound and two exits must be there: then it never draws what is not due yet, on which the theorem of
    `contexts` rests, and whoever runs afterwards can still leave the kernel.
    """
    if k.config[0]["charge_mode"] == CURRENT:
        x = k.meter[0]["paying"]
    pay(k, NONE, k.meter[0]["paying_for"])
    return bool(available(k, x, time_in_section(k)) > bound + spare(k))


# --- activating -------------------------------------------------------------------------------------------------------


@hot
def activate(k: Tables, g: int, h: int, account: int, x: int) -> int:
    """Run an admitted handler in the kernel, on an account and a context, and commit its sends; return its verdict.

    `meter.fuel` is then what the message that was looked at has left.
    """
    meter, config, graft = k.meter[0], k.config[0], k.graft[g]
    handler = k.handler[h]
    before = meter["section"]
    touch(k, k.process[graft["process"]]["core"])
    others = meter["paying"]
    if config["charge_mode"] == CURRENT:
        x = others
        if meter["process"] != NONE:
            account = payer(k, meter["process"])
    if config["contexts"] != 0:
        pay(k, x, FOR_GRAFT)
    meter["context"] = x
    meter["in_user"] = 0
    meter["cookie"] = NONE
    meter["eager_used"] += handler["bound"]
    meter["steps"] += ONE
    trace(k, X_ACTIVATE, g, h, meter["tag"], meter["event"])
    if config["cache_lines"] != 0:
        graft["refilled"] += use(k, meter["core"], account, graft["footprint"])
    charge(k, account, IN_GRAFT, ACTIVATE, ONE)
    if config["charge_mode"] == METERED:
        charge(k, account, IN_GRAFT, CLOCK_READ, TWO)
        charge(k, account, IN_GRAFT, DEBIT, ONE)
    elif config["charge_mode"] == SWITCHED and (meter["process"] == NONE or payer(k, meter["process"]) != account):
        charge(k, account, IN_GRAFT, ACCOUNT_SWITCH, TWO)  # there and back
    verdict = run_handler(k, g, h, account, IN_GRAFT)
    cost = meter["section"] - before
    graft["activations"] += 1
    graft["spent"] += cost
    handler["worst_seen"] = max(handler["worst_seen"], cost)
    trace(k, X_SPENT, g, h, before, cost)
    commit(k, g, account, max(meter["fuel"] - cost, 0), goes_on(meter["event"], verdict))
    if config["contexts"] != 0:
        pay(k, others, FOR_KERNEL)
    return verdict


@hot
def activate_user(k: Tables, g: int, h: int, p: int) -> int:
    """Run a handler in the user mode of process `p`; its sends become drafts of `p`. Return its verdict."""
    meter, account = k.meter[0], payer(k, p)
    meter["in_user"] = 1
    meter["owner"] = p
    meter["operation"] = NONE
    meter["fuel"] = NEVER
    trace(k, X_ACTIVATE, g, h, meter["tag"], meter["event"])
    before = meter["section"]
    if k.config[0]["cache_lines"] != 0:
        k.graft[g]["refilled"] += use(k, meter["core"], account, k.graft[g]["footprint"])
    charge(k, account, IN_USER, ACTIVATE_USER, ONE)
    k.graft[g]["user_activations"] += 1
    verdict = run_handler(k, g, h, account, IN_USER)
    trace(k, X_SPENT_IN_USER, g, h, before, meter["section"] - before)
    return verdict


# --- commit: nothing below can fail -----------------------------------------------------------------------------------


@hot
def goes_on(event: int, verdict: int) -> int:
    """Return 1 if the message that a handler has looked at may still cause activations, else 0."""
    if event in (ON_REPLY, ON_FAILURE):
        return 1 if verdict == DELIVER else 0
    if event == ON_SUBMIT:
        return 0 if verdict == TAKEN else 1
    return 1 if event == ON_REQUEST else 0


@hot
def commit(k: Tables, g: int, account: int, fuel: int, kept: int) -> None:
    """Turn the reservations of the activation into requests under way, and divide the fuel that is left.

    `kept`: 1 if the message of the event keeps a share, else 0.
    """
    meter = k.meter[0]
    queue = k.graft[g]["queues"]
    armed = 0
    t = first(k, queue + Q_TIMERS)
    while t != NONE:
        if k.timer[t]["fuel"] == UNSHARED:
            armed += 1
        t = k.timer[t]["next"]
    shares = meter["sends"] + armed
    share = fuel // max(shares + kept, 1)
    meter["fuel"] = share
    if shares == 0:
        return
    r = pop(k, queue + Q_OUTBOX, k.request)
    while r != NONE:
        k.request[r]["fuel"] = share
        begin_request(k, r)
        charge(k, account, IN_KERNEL, DISPATCH_SEND, ONE)
        r = pop(k, queue + Q_OUTBOX, k.request)
    t = first(k, queue + Q_TIMERS)
    while t != NONE:
        if k.timer[t]["fuel"] == UNSHARED:
            k.timer[t]["fuel"] = share
        t = k.timer[t]["next"]


@hot
def begin_request(k: Tables, r: int) -> None:
    """Let a reserved request join its operation, or begin one of its own, and put it to the work of this section."""
    request = k.request[r]
    if request["operation"] == NONE:
        open_operation(k, r, O_GRAFT)
    else:
        k.operation[request["operation"]]["outstanding"] += 1
    request_begins(k, r)
    request["serial"] = next_serial(k)
    join(k, r)
    if request["deadline"] > 0:
        due = k.meter[0]["now"] + request["deadline"]
        request["timer"] = set_timer(k, due, T_DEADLINE, k.process[request["process"]]["core"], r, NONE)
    dispatch(k, r)


@hot
def next_serial(k: Tables) -> int:
    """Return a number that grows with every use."""
    k.meter[0]["serial"] += 1
    return int(k.meter[0]["serial"])


@hot
def open_operation(k: Tables, r: int, origin: int) -> int:
    """Begin the operation of request `r`, which its process submits; return it."""
    request, meter = k.request[r], k.meter[0]
    o = take_operation(k)
    operation = k.operation[o]
    operation["process"] = request["process"]
    operation["tag"] = request["tag"]
    operation["submitted_at"] = meter["now"]
    operation["serial"] = next_serial(k)
    operation["origin"] = origin
    operation["context"] = meter["context"] if origin == O_GRAFT else k.process[request["process"]]["on"]
    operation["outstanding"] = 1
    operation["reserved"] = 0 if origin == O_CALL else 1  # its submitter sees to that
    operation["cookie"] = request["cookie"]
    operation["landing"] = k.process[request["process"]]["landing"]
    request["operation"] = o
    k.process[request["process"]]["operations"] += 1
    operation_begins(k)
    return o
