"""Servers: processes that receive at an endpoint, work, and reply.

What a server does is told by its row of `k.service` (several processes may share one: then they share the data too) and
by an *act* for each operation number, a row of `k.row`:

    READ      a, b, c = image offset, block bytes, blocks: the block of the u64 at offset 0, -EINVAL past the end
    WRITE     the same, the other way: the body becomes that block; the reply is its first 8 bytes, the block's number
    APPEND    a, b, c and d = blocks used: the body becomes the next block; the reply is a constant, -ENOSPC when full
    CONSTANT  a, b = offset, bytes

Blocks begin with their own number where they are written (as the pages of InnoDB do), so a block that was read can be
written elsewhere as it is. With `ops` 0 every operation number does the first act. The image of a READ is referred to,
not copied, unless some act writes to it.

Failures are injected here: with `fail_rate` a request ends with `fail_status` and without effect, with `short_rate` a
reply is cut to `short_length`; both drawn from the process's own stream, after the work has been done.

With a graft (`library`) the server runs the handler on the reply that it is about to give, in its own user mode:
`deliver` gives it to the client; a send passes the request on with its reply right, so that the last server answers
the client. Where this server is the only receiver at the endpoint of that send, it goes on by itself, without a
crossing. A `request` handler is asked before the work: what it answers is the reply, and saves the work.
"""

from __future__ import annotations

from typing import Any, Final

from grafting import hooks
from jit.hot import hot
from jit.maps import update
from jit.words import i64, load64, move_bytes, u64
from kernel_model.core.activation import ON_FAILURE, ON_REPLY, ON_REQUEST, activate_user, find_handler, show_request
from kernel_model.core.billing import charge, payer
from kernel_model.core.capabilities import in_slot
from kernel_model.core.chance import draw, sample
from kernel_model.core.helpers import drop_answer
from kernel_model.core.lists import first, pop
from kernel_model.core.pipelines import go_on, is_open, open_batch
from kernel_model.core.pools import copy_body, give_body, room_for
from kernel_model.core.prices import DEVICE_START, IN_USER, MAP_UPDATE
from kernel_model.core.replies import adopt, discard_drafts
from kernel_model.core.tables import (
    EINVAL,
    ENOSPC,
    ENOTSUP,
    FAULT_MANY_SENDS,
    FAULT_STEER,
    NO_SLOT,
    NONE,
    PEER_DIED,
    Q_DRAFTS,
    REFUSED,
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

# acts: what it does for an operation
A_NOTHING, A_READ, A_WRITE, A_APPEND, A_CONSTANT = range(5)

DELIVER: Final = hooks.DELIVER
PASS: Final = hooks.PASS
ANSWERED: Final = hooks.ANSWERED
STEER: Final = hooks.STEER
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
    if stage == V_WORK:
        if process["answers"] != NONE and not is_open(k, p, r) and not open_batch(k, p, r):
            process["call"] = SYS_REPLY_RECEIVE
            return U_CALL
        if process["library"] != NONE and ask_first(k, p, r):
            return U_BURST
    if stage != V_REPLY:
        return work_step(k, p)
    charged = make_reply(k, p, r)
    process["stage"] = V_WORK
    if process["answers"] != NONE and go_on(k, p, r):
        return U_BURST
    process["call"] = SYS_REPLY_RECEIVE
    if process["library"] == NONE and not charged:
        return U_CALL
    process["stage"] = V_END
    if process["library"] != NONE:
        ask_server(k, p, r)
    return U_BURST


@hot
def work_step(k: Tables, p: int) -> int:
    """One step of the work that a request is, from stage V_WORK on: the processor's part, then the device's if there is
    one. Then the stage is V_REPLY."""
    process = k.process[p]
    service = k.service[process["row"]]
    if process["stage"] == V_WORK:
        process["owed"] += sample(k, p, service["work"])
        process["stage"] = V_REPLY if service["device"] == NONE else V_DEVICE
        return U_BURST
    if process["stage"] == V_DEVICE:
        charge(k, payer(k, p), IN_USER, DEVICE_START, ONE)
        process["stage"] = V_SLEEP
        return U_BURST
    process["call"] = SYS_SLEEP
    process["a"] = k.meter[0]["now"] + sample(k, p, service["device"])
    process["stage"] = V_REPLY
    return U_CALL


# --- the reply --------------------------------------------------------------------------------------------------------


@hot
def make_reply(k: Tables, p: int, r: int) -> bool:
    """Prepare the reply to request `r`; whether something was charged for it, so that a burst has to pass first."""
    process = k.process[p]
    service = k.service[process["row"]]
    set_reply(k, p, 0, 0, 0, 0)
    if service["fail_rate"] > 0 and draw(k, p) < service["fail_rate"]:
        process["reply_status"] = service["fail_status"]
        return False
    op = k.request[r]["op"]
    act = k.row[service["acts"]]
    if service["ops"] > 0:
        if op < 0 or op >= service["ops"]:
            process["reply_status"] = -ENOTSUP
            return False
        act = k.row[service["acts"] + op]
    charged = do_act(k, p, r, act)
    if service["short_rate"] > 0 and draw(k, p) < service["short_rate"]:
        process["reply_length"] = min(process["reply_length"], service["short_length"])
    return charged


@hot
def set_reply(k: Tables, p: int, status: int, body: int, length: int, room: int) -> None:
    """Let the next reply be this one, in place of one that was never given."""
    process = k.process[p]
    give_body(k, process["reply_body"], process["reply_room"])
    process["reply_status"] = status
    process["reply_body"] = body
    process["reply_length"] = length
    process["reply_room"] = room


@hot
def do_act(k: Tables, p: int, r: int, act: Any) -> bool:
    """Do what an operation of this server is; whether something was charged for it."""
    request = k.request[r]
    kind = act["op"]
    if kind == A_CONSTANT:
        set_reply(k, p, 0, act["a"], act["b"], 0)
        return False
    if kind == A_NOTHING:
        set_reply(k, p, -ENOTSUP, 0, 0, 0)
        return False
    if kind == A_APPEND:
        append_block(k, p, request, act)
        return False
    at = block_at(k, request, act)
    if at < 0:
        set_reply(k, p, -EINVAL, 0, 0, 0)
        return False
    if kind == A_WRITE:
        if request["length"] > act["b"]:
            set_reply(k, p, -EINVAL, 0, 0, 0)
            return False
        move_bytes(k.arena, at, request["body"], request["length"])
        set_reply(k, p, 0, at, INDEX_BYTES, 0)
        return False
    if act["e"] != 0:
        set_reply(k, p, 0, copy_body(k, at, act["b"]), act["b"], room_for(act["b"]))
    else:
        set_reply(k, p, 0, at, act["b"], 0)
    return keep(k, p, request["body"], at, act["d"])


@hot
def block_at(k: Tables, request: Any, act: Any) -> int:
    """Return where the block lies that a request's first word names, or NONE."""
    if request["length"] < INDEX_BYTES:
        return NONE
    index = load64(k.arena, request["body"])
    if index >= u64(act["c"]):
        return NONE
    return int(act["a"] + i64(index) * act["b"])


@hot
def append_block(k: Tables, p: int, request: Any, act: Any) -> None:
    """Put a request's body into the next free block."""
    if act["d"] >= act["c"] or request["length"] > act["b"]:
        set_reply(k, p, -ENOSPC, 0, 0, 0)
        return
    move_bytes(k.arena, act["a"] + act["d"] * act["b"], request["body"], request["length"])
    act["d"] += 1
    set_reply(k, p, 0, act["e"], act["f"], 0)


@hot
def keep(k: Tables, p: int, key: int, value: int, map_: int) -> bool:
    """Put what was read into a map of the graft at this endpoint, if there is one: the next to ask is answered there.

    A map that is full keeps what it has.
    """
    if map_ == NONE:
        return False
    charge(k, payer(k, p), IN_USER, MAP_UPDATE, ONE)
    update(k.arena, k.machine.maps[map_], u64(k.config[0]["map_seed"]), key, value)
    return True


# --- the server's graft -----------------------------------------------------------------------------------------------


@hot
def ask_first(k: Tables, p: int, r: int) -> bool:
    """Run the server's `request` handler, if it has one; whether that decided what becomes of the request."""
    process, meter = k.process[p], k.meter[0]
    g = process["library"]
    h = find_handler(k, g, ON_REQUEST, NONE, k.request[r]["op"])
    if h == NONE:
        return False
    show_request(k, g, r, ON_REQUEST)
    meter["cookie"] = NONE
    verdict = activate_user(k, g, h, p)
    if verdict == PASS:
        drop_answer(k)
        return False
    process["stage"] = V_END
    if verdict == ANSWERED and meter["answered"] != 0:
        meter["answered"] = 0
        set_reply(k, p, meter["answer_status"], meter["answer_body"], meter["answer_length"], meter["answer_room"])
        process["call"] = SYS_REPLY_RECEIVE
        return True
    drop_answer(k)
    if verdict >= STEER:
        meter["fault"] = FAULT_STEER
        meter["fault_handler"] = h
    process["call"] = SYS_DROP
    process["a"] = REFUSED
    return True


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
        process["a"] = PEER_DIED
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
    meter["slot"] = slot_to(k, process["library"], request["endpoint"], meter["event"], request["op"])
    meter["body"] = process["reply_body"]
    meter["length"] = process["reply_length"]
    meter["parcel"] = NONE


@hot
def slot_to(k: Tables, g: int, e: int, event: int, op: int) -> int:
    """Return the slot of graft `g` through which one would send to endpoint `e`, or NO_SLOT.

    Of several the first with a handler for what comes of that operation, else the first.
    """
    graft = k.graft[g]
    found = NO_SLOT
    for slot in range(graft["slots"]):
        c = in_slot(k, g, slot)
        if c != NONE and k.capability[c]["endpoint"] == e:
            if find_handler(k, g, event, slot, op) != NONE:
                return int(slot)
            if found == NO_SLOT:
                found = slot
    return found
