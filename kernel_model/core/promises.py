"""Promises: what can be sent before it is known where to, or with what. Nothing in here computes.

**A slot with a promise.** A request may say that the first capability of its reply is to stand in a slot of its
sender's (`pledge`). From its commit the slot holds a promise; requests sent through it wait in the kernel, in order,
each with the completion that its sender reserved for it: that is whose quota they are on, and all of it. When the reply
comes the promise is kept, and they go. If it fails or brings no capability they end `broken`, and whatever waits for
*their* replies with them, and so on: breaking goes through the work of the section like any other end, so nothing
recurs and all happens at one instant.

**A wire** copies `length` bytes at `at` of a reply to `to` in the argument of a request that waits for them, unchanged.
Wires are laid between drafts of one batch, the source first: a target that is not yet submitted when its source is
answered has its bytes already, so no answer depends on who was faster.

    open("a") -> p, p.read(wire(...))        one crossing; the client never sees the file's capability

**Order** is kept per capability: what waits holds back what is sent through the same capability after it.

Prior art: promise pipelining in E and Cap'n Proto, where arguments may be promises too. Here an argument is bytes.
"""

from __future__ import annotations

from typing import Final

from jit.hot import hot, rare
from jit.words import move_bytes
from kernel_model.core.billing import charge, payer
from kernel_model.core.capabilities import break_waiting, empty, holds, lead
from kernel_model.core.lists import append, first, unlink
from kernel_model.core.pools import copy_body, give, parcel_of, replace_body, room_for, take
from kernel_model.core.prices import COPY_BYTE, IN_COPY, IN_KERNEL, PROMISE, WIRE
from kernel_model.core.requests import finish
from kernel_model.core.room import announce_arrival
from kernel_model.core.tables import (
    BROKEN,
    C_BROKEN,
    C_ENDPOINT,
    C_PROMISE,
    EAGAIN,
    EBADF,
    NONE,
    P_WIRE,
    Q_WAITING,
    Q_WORK,
    R_WAITING,
    R_WORK,
    REPLIED,
    Tables,
)

ONE: Final = 1
DONE: Final = 0
FAILED: Final = -1  # in place of the number of wires that a request waits for


# --- drafts -----------------------------------------------------------------------------------------------------------


@hot
def pledge(k: Tables, r: int, c: int) -> None:
    """Let the first capability of the reply to draft `r` go into slot `c`, a capability that its sender holds."""
    k.parcel[parcel_of(k, r)]["promise"] = c


@hot
def wire(k: Tables, source: int, target: int, at: int, to: int, length: int) -> None:
    """Lay a wire between two drafts of one batch. `to + length` is within the target's body, which becomes its own."""
    request = k.request[target]
    if request["room"] == 0 and request["length"] > 0:
        size = request["length"]
        replace_body(k, target, copy_body(k, request["body"], size), size, room_for(size))
    x, y = parcel_of(k, source), parcel_of(k, target)
    w = take(k, P_WIRE, k.wire)
    row = k.wire[w]
    row["source"] = source
    row["target"] = target
    row["at"] = at
    row["to"] = to
    row["length"] = length
    row["next"] = NONE
    row["sister"] = k.parcel[y]["feeds"]
    k.parcel[y]["feeds"] = w
    last = k.parcel[x]["wires"]
    if last == NONE:
        k.parcel[x]["wires"] = w
    else:  # served in the order in which they were laid
        while k.wire[last]["next"] != NONE:
            last = k.wire[last]["next"]
        k.wire[last]["next"] = w
    k.parcel[y]["awaiting"] += 1


@hot
def check_slot(k: Tables, p: int, r: int, c: int) -> int:
    """Return 0 if slot `c` can take the promise that draft `r` of process `p` makes, else a negated errno."""
    if not holds(k, p, c):
        return -EBADF
    if k.capability[c]["kind"] == C_PROMISE and k.capability[c]["object"] == r:
        return DONE
    return DONE if is_free(k, c) else -EAGAIN


@hot
def is_free(k: Tables, c: int) -> bool:
    """Whether a slot holds no promise that is still open, and nothing waits there."""
    capability = k.capability[c]
    return bool(capability["kind"] != C_PROMISE and first(k, capability["queues"] + Q_WAITING) == NONE)


@hot
def promise(k: Tables, r: int, c: int) -> None:
    """From now on slot `c` holds the promise of what the reply to `r` brings."""
    capability = k.capability[c]
    if capability["kind"] == C_PROMISE:
        return  # it was made when the draft was written
    empty(k, c)
    capability["kind"] = C_PROMISE
    capability["alive"] = 1
    capability["object"] = r


@hot
def abandon(k: Tables, r: int) -> None:
    """Draft `r` will not be sent: its promise is broken, its wires carry nothing, nothing is to be copied into it."""
    parcel = k.parcel[k.request[r]["parcel"]]
    c = parcel["promise"]
    if c != NONE:
        parcel["promise"] = NONE
        if k.capability[c]["object"] == r or is_free(k, c):
            if k.capability[c]["kind"] != C_PROMISE:
                empty(k, c)  # what stood there is gone: a reply right is lost, a capability leaves the tree
            break_promise(k, c)
    cut_wires(k, r)


# --- waiting ----------------------------------------------------------------------------------------------------------


@hot
def awaits(k: Tables, r: int) -> int:
    """Return for how many wires request `r` waits, or FAILED."""
    x = k.request[r]["parcel"]
    return int(k.parcel[x]["awaiting"]) if x != NONE else 0


@hot
def must_wait(k: Tables, r: int, c: int) -> bool:
    """Whether request `r` cannot go through `c` yet: a promise, an argument, or one before it that cannot go."""
    return must_wait_at(k, c) or awaits(k, r) > 0


@hot
def must_wait_at(k: Tables, c: int) -> bool:
    """Whether whatever is sent through `c` must wait there."""
    capability = k.capability[c]
    return bool(capability["kind"] == C_PROMISE or first(k, capability["queues"] + Q_WAITING) != NONE)


@hot
def dispatch(k: Tables, r: int) -> None:
    """Send request `r`, which has been committed and is in no queue: now, or when what it waits for is there."""
    request = k.request[r]
    c = request["via"]
    if c == NONE:
        go(k, r)  # the capability was deleted since
    elif awaits(k, r) == FAILED or k.capability[c]["kind"] == C_BROKEN:
        finish(k, r, BROKEN, DONE)
    elif must_wait(k, r, c):
        request["state"] = R_WAITING
        append(k, k.capability[c]["queues"] + Q_WAITING, k.request, r)
    else:
        go(k, r)


@hot
def go(k: Tables, r: int) -> None:
    """Put request `r` to the work of this section: it is about to arrive."""
    request = k.request[r]
    if request["endpoint"] == NONE:  # it was sent when this was a promise
        if request["via"] == NONE:
            finish(k, r, BROKEN, DONE)
            return
        capability = k.capability[request["via"]]
        request["endpoint"] = capability["endpoint"]
        request["badge"] = capability["badge"]
    announce_arrival(k, r)
    request["state"] = R_WORK
    append(k, Q_WORK, k.request, r)


@hot
def let_go(k: Tables, c: int) -> None:
    """Let those that wait at capability `c` go, in order, up to the first that must wait on."""
    waiting = k.capability[c]["queues"] + Q_WAITING
    r = first(k, waiting)
    while r != NONE and k.capability[c]["kind"] == C_ENDPOINT and awaits(k, r) == 0:
        unlink(k, waiting, k.request, r)
        go(k, r)
        r = first(k, waiting)


@hot
def stop_waiting_for(k: Tables, r: int) -> None:
    """Take request `r` from where it waits; those behind it may go."""
    c = k.request[r]["via"]
    unlink(k, k.capability[c]["queues"] + Q_WAITING, k.request, r)
    let_go(k, c)


# --- keeping and breaking ---------------------------------------------------------------------------------------------


@rare
def settle(k: Tables, r: int) -> None:
    """Request `r` has ended: keep or break its promise, let its reply flow through its wires, cut those into it."""
    request = k.request[r]
    parcel = k.parcel[request["parcel"]]
    c = parcel["promise"]
    if c != NONE:
        parcel["promise"] = NONE
        charge(k, payer(k, request["process"]), IN_KERNEL, PROMISE, ONE)
        brought = parcel["c0"] if parcel["count"] > 0 else NONE
        if request["outcome"] == REPLIED and brought != NONE and is_usable(k, brought):
            lead(k, c, brought, k.capability[brought]["rights"])
            k.capability[c]["object"] = NONE
            let_go(k, c)
        else:
            break_promise(k, c)
    if parcel["wires"] != NONE:
        flow(k, r)
    if parcel["feeds"] != NONE:
        cut_feeds(k, r)


@hot
def is_usable(k: Tables, c: int) -> bool:
    """Whether a capability that came with a reply can keep a promise."""
    capability = k.capability[c]
    return bool(capability["kind"] == C_ENDPOINT and capability["alive"] != 0)


@hot
def break_promise(k: Tables, c: int) -> None:
    """The promise in slot `c` will not be kept: all that waits there ends `broken`, and what is sent later."""
    capability = k.capability[c]
    capability["object"] = NONE
    capability["kind"] = C_BROKEN
    break_waiting(k, c)


@hot
def flow(k: Tables, r: int) -> None:
    """Copy what the wires from request `r` ask of its reply; those that it cannot serve break their targets."""
    request = k.request[r]
    parcel = k.parcel[request["parcel"]]
    w = parcel["wires"]
    while w != NONE:
        row = k.wire[w]
        following, target = row["next"], row["target"]
        if target != NONE:
            unplug(k, w)
            if request["outcome"] == REPLIED and row["at"] + row["length"] <= request["length"]:
                fill(k, w, request["body"])
            else:
                fail(k, target)
        give(k, P_WIRE, k.wire, w)
        w = following
    parcel["wires"] = NONE


@hot
def fill(k: Tables, w: int, body: int) -> None:
    """Copy the bytes of wire `w`; a target that has all its arguments may go."""
    row = k.wire[w]
    target = row["target"]
    request = k.request[target]
    account = payer(k, request["process"])
    charge(k, account, IN_KERNEL, WIRE, ONE)
    charge(k, account, IN_COPY, COPY_BYTE, row["length"])
    if row["length"] > 0:
        move_bytes(k.arena, request["body"] + row["to"], body + row["at"], row["length"])
    parcel = k.parcel[request["parcel"]]
    if parcel["awaiting"] > 0:
        parcel["awaiting"] -= 1
        if parcel["awaiting"] == 0 and request["state"] == R_WAITING:
            let_go(k, request["via"])


@hot
def fail(k: Tables, target: int) -> None:
    """An argument of request `target` will never come."""
    k.parcel[k.request[target]["parcel"]]["awaiting"] = FAILED
    if k.request[target]["state"] == R_WAITING:
        stop_waiting_for(k, target)
        finish(k, target, BROKEN, DONE)


@hot
def unplug(k: Tables, w: int) -> None:
    """Take wire `w` from the list of its target."""
    parcel = k.parcel[k.request[k.wire[w]["target"]]["parcel"]]
    before, at = NONE, parcel["feeds"]
    while at != w:
        before, at = at, k.wire[at]["sister"]
    if before == NONE:
        parcel["feeds"] = k.wire[w]["sister"]
    else:
        k.wire[before]["sister"] = k.wire[w]["sister"]


@hot
def cut_feeds(k: Tables, r: int) -> None:
    """Nothing is to be copied into request `r` any more; the wires go when their sources end."""
    parcel = k.parcel[k.request[r]["parcel"]]
    w = parcel["feeds"]
    while w != NONE:
        k.wire[w]["target"] = NONE
        w = k.wire[w]["sister"]
    parcel["feeds"] = NONE


@hot
def cut_wires(k: Tables, r: int) -> None:
    """Draft `r` goes: it will have no reply, and needs none."""
    parcel = k.parcel[k.request[r]["parcel"]]
    w = parcel["wires"]
    while w != NONE:
        following, target = k.wire[w]["next"], k.wire[w]["target"]
        if target != NONE:
            unplug(k, w)
            fail(k, target)
        give(k, P_WIRE, k.wire, w)
        w = following
    parcel["wires"] = NONE
    cut_feeds(k, r)
