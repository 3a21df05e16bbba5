"""Servers: processes that receive at an endpoint, work, and reply.

A block server answers a request (a u64 index at offset 0) with a block of an image; an index out of range gets -EINVAL.
A server without an image gives one constant reply. Its two rows of `k.row` say how:

    row      a, b, c = image offset, block bytes, blocks (0: constant reply a, b = offset, bytes)
    row + 1  a, b = distributions of service and device time (NONE: no device)

With a graft (`library`) the server runs the handler on the reply that it is about to give, in its own user mode:
`deliver` gives it to the client; a send passes the request on with its reply right, so that the last server answers
the client. Where this server is the only receiver at the endpoint of that send, it goes on by itself, without a
crossing.
"""

from __future__ import annotations

from typing import Final

from grafting import hooks
from jit.hot import hot
from jit.words import i64, load64, u64
from kernel_model.core.activation import ON_FAILURE, ON_REPLY, activate_user, find_handler
from kernel_model.core.billing import charge, payer
from kernel_model.core.capabilities import in_slot
from kernel_model.core.chance import sample
from kernel_model.core.lists import first, pop
from kernel_model.core.prices import DEVICE_START, IN_USER
from kernel_model.core.replies import adopt, discard_drafts
from kernel_model.core.tables import (
    EINVAL,
    FAULT_MANY_SENDS,
    NO_SLOT,
    NONE,
    Q_DRAFTS,
    SYS_DROP,
    SYS_FORWARD,
    SYS_RECEIVE,
    SYS_REPLY_RECEIVE,
    SYS_SLEEP,
    U_BURST,
    U_CALL,
    Tables,
)

# stages: what the server does at its next step
V_RECEIVE, V_WORK, V_DEVICE, V_SLEEP, V_REPLY, V_END = range(6)

DELIVER: Final = hooks.DELIVER
ONE: Final = 1
INDEX_BYTES: Final = 8


@hot
def server_step(k: Tables, p: int) -> int:
    """One step of a server in user mode."""
    process = k.process[p]
    stage = process["stage"]
    if stage == V_END:
        process["stage"] = V_WORK
        return U_CALL  # the call that ends the request has been chosen
    r = process["request"]
    if stage == V_RECEIVE or r == NONE:
        process["stage"] = V_WORK
        process["call"] = SYS_RECEIVE
        return U_CALL
    config = k.row[process["row"] + 1]
    if stage == V_WORK:
        process["owed"] += sample(k, p, config["a"])
        process["stage"] = V_REPLY if config["b"] == NONE else V_DEVICE
        return U_BURST
    if stage == V_DEVICE:
        charge(k, payer(k, p), IN_USER, DEVICE_START, ONE)
        process["stage"] = V_SLEEP
        return U_BURST
    if stage == V_SLEEP:
        process["call"] = SYS_SLEEP
        process["a"] = k.meter[0]["now"] + sample(k, p, config["b"])
        process["stage"] = V_REPLY
        return U_CALL
    make_reply(k, p, r)
    process["stage"] = V_WORK
    process["call"] = SYS_REPLY_RECEIVE
    if process["library"] == NONE:
        return U_CALL
    process["stage"] = V_END
    ask_server(k, p, r)
    return U_BURST


@hot
def make_reply(k: Tables, p: int, r: int) -> None:
    """Prepare the reply to request `r`: a block of the image (referred to, not copied) or the constant."""
    process, request = k.process[p], k.request[r]
    config = k.row[process["row"]]
    process["reply_status"] = 0
    process["reply_body"] = config["a"]
    process["reply_length"] = config["b"]
    process["reply_room"] = 0
    if config["c"] == 0:
        return
    index = u64(config["c"])
    if request["length"] >= INDEX_BYTES:
        index = load64(k.arena, request["body"])
    if index < u64(config["c"]):
        process["reply_body"] = config["a"] + i64(index) * config["b"]
    else:
        process["reply_status"] = -EINVAL
        process["reply_length"] = 0


@hot
def ask_server(k: Tables, p: int, r: int) -> None:
    """Run the server's graft on its reply, and choose the call that ends the request, or serve the next step itself."""
    process, meter = k.process[p], k.meter[0]
    g = process["library"]
    show_reply(k, p, r)
    h = find_handler(k, g, meter["event"], meter["slot"], meter["op"])
    if h == NONE:
        return
    meter["cookie"] = NONE
    verdict = activate_user(k, g, h, p)
    queue = process["queues"] + Q_DRAFTS
    if verdict == DELIVER:
        discard_drafts(k, queue)
        return
    if meter["sends"] == 0:
        process["call"] = SYS_DROP
        return
    if meter["sends"] > 1:
        meter["fault"] = FAULT_MANY_SENDS
        meter["fault_handler"] = h
        return
    e = k.capability[k.request[first(k, queue)]["capability"]]["endpoint"]
    if e == process["endpoint"] and k.endpoint[e]["receivers"] == 1:
        adopt(k, r, pop(k, queue, k.request))
        process["stage"] = V_WORK
    else:
        process["call"] = SYS_FORWARD


@hot
def show_reply(k: Tables, p: int, r: int) -> None:
    """Make the reply that server `p` is about to give the message of the event."""
    process, request, meter = k.process[p], k.request[r], k.meter[0]
    meter["event"] = ON_REPLY if process["reply_status"] == 0 else ON_FAILURE
    meter["tag"] = request["tag"]
    meter["badge"] = request["badge"]
    meter["op"] = request["op"]
    meter["status"] = process["reply_status"]
    meter["slot"] = slot_to(k, process["library"], request["endpoint"])
    meter["body"] = process["reply_body"]
    meter["length"] = process["reply_length"]
    meter["parcel"] = NONE


@hot
def slot_to(k: Tables, g: int, e: int) -> int:
    """Return the slot of graft `g` through which one would send to endpoint `e`, or NO_SLOT."""
    graft = k.graft[g]
    for slot in range(graft["slots"]):
        c = in_slot(k, g, slot)
        if c != NONE and k.capability[c]["endpoint"] == e:
            return int(slot)
    return NO_SLOT
