"""The sends of a handler: helpers 1000 to 1002. All checks and reservations are made here, so commit cannot fail.

`send_with` puts a record before the body (`grafting.hooks.SEND_OPTIONS`):

    deadline_ns  after which the request ends `timed_out`
    caps         up to four capabilities to go along: of a declared slot, or by index of the message that is being
                 looked at. Each needs `grant`, and a copy is made here. A handler can pass one on, and not keep it
    promise      a slot of the graft that is to hold what the reply brings: sends through it wait for that. The handler
                 may use the slot at once, in the same activation

In user mode a send becomes a draft of the process, which its library submits; nothing is reserved.
"""

from __future__ import annotations

from typing import Final

from grafting import hooks, limits
from jit.hot import constant, hot, rare
from jit.machine import fault, reach, resume
from jit.memory import READ
from jit.words import i64, load32, load64, u64
from kernel_model.core.billing import charge
from kernel_model.core.capabilities import address, check_grant, derive, in_slot, new_capability, put_in_slot, standing
from kernel_model.core.lists import append
from kernel_model.core.parcels import add, carried
from kernel_model.core.pools import copy_body, count_step, parcel_of, room_for, take_request
from kernel_model.core.prices import DERIVE, HELPER_COPY_BYTE, IN_KERNEL
from kernel_model.core.promises import is_free, must_wait_at, pledge, promise
from kernel_model.core.room import has_completion, has_place, reserve_place
from kernel_model.core.tables import (
    BROKEN,
    C_NULL,
    CAPABILITIES_AT_ONCE,
    EAGAIN,
    EBADF,
    ECONNREFUSED,
    EINVAL,
    EPIPE,
    NONE,
    Q_DRAFTS,
    Q_OUTBOX,
    R_RESERVED,
    REFUSED,
    Tables,
)

H_SEND_WITH: Final = 1002
OPTIONS: Final = hooks.SEND_OPTIONS_BYTES
OPTIONS_WORD: Final = constant(hooks.SEND_OPTIONS_BYTES)
CAPS_AT: Final = 8
CAP_BYTES: Final = 4
NCAPS_AT: Final = 24
PROMISE_AT: Final = 28
NO_PROMISE: Final = hooks.NO_SLOT
OF_MESSAGE: Final = hooks.CAP_OF_MESSAGE
LONGEST: Final = constant(limits.BODY_BYTES)
LONGEST_DELAY: Final = constant(limits.TIMER_DELAY_NS)
SENDS: Final = limits.OUTBOX_ENTRIES
PS_PER_NS: Final = 1000
NO_OPTIONS: Final = -1
ONE: Final = 1
DONE: Final = 0


# --- the helpers ------------------------------------------------------------------------------------------------------


@hot
def serve_send(k: Tables, g: int, account: int, category: int, number: int) -> int:
    """Helpers 1000 and 1002: the message is in memory, behind its options if it has any."""
    m = k.machine
    length = u64(m.registers[5])
    if length > LONGEST + OPTIONS_WORD:
        resume(m, -EINVAL)
        return DONE
    at = reach(m, u64(m.registers[4]), i64(length), READ)
    if at < 0:
        fault(m, -at, u64(m.registers[4]), length)
        return NONE
    size = i64(length)
    result = DONE
    options = NO_OPTIONS
    if number == H_SEND_WITH:
        result = check_options(k, g, at, length)
        options = at
        at += OPTIONS
        size -= OPTIONS
    if result == DONE:
        result = reserve_send(k, g, at, size, options, account)
    if result == DONE:
        charge(k, account, category, HELPER_COPY_BYTE, size)
    resume(m, result)
    return DONE


@hot
def send_from_body(k: Tables, g: int, account: int, category: int) -> int:
    """Helper 1001: the message is a range of the one that is being looked at."""
    m, meter = k.machine, k.meter[0]
    offset, length = u64(m.registers[4]), u64(m.registers[5])
    if not within_body(k, offset, length):
        return -EINVAL
    result = reserve_send(k, g, meter["body"] + i64(offset), i64(length), NO_OPTIONS, account)
    if result == DONE:
        charge(k, account, category, HELPER_COPY_BYTE, i64(length))
    return result


@hot
def within_body(k: Tables, offset: int, length: int) -> bool:
    """Whether a range lies within the body of the current message."""
    size = u64(k.meter[0]["length"])
    return offset <= size and length <= size - offset


# --- options ----------------------------------------------------------------------------------------------------------


@rare
def check_options(k: Tables, g: int, at: int, length: int) -> int:
    """Return 0 if the options at `at` can be kept, else a negated errno."""
    if length < OPTIONS_WORD or load64(k.arena, at) > LONGEST_DELAY:
        return -EINVAL
    count = i64(load32(k.arena, at + NCAPS_AT))
    if count > CAPABILITIES_AT_ONCE:
        return -EINVAL
    for index in range(count):
        c = named(k, g, i64(load32(k.arena, at + CAPS_AT + CAP_BYTES * index)))
        status = check_grant(k, c)
        if status != DONE:
            return status
    slot = i64(load32(k.arena, at + PROMISE_AT))
    if slot == NO_PROMISE:
        return DONE
    if slot >= k.graft[g]["slots"]:
        return -EINVAL
    entry = k.slot[k.graft[g]["first_slot"] + slot]
    if entry["promised"] != 0 and in_slot(k, g, slot) != NONE and not is_free(k, entry["capability"]):
        return -EAGAIN  # it holds a promise that is still open
    return DONE


@hot
def named(k: Tables, g: int, name: int) -> int:
    """Return the capability that an entry of the options names, or NONE: a slot, or an index of the current message."""
    if name >= OF_MESSAGE:
        x, index = k.meter[0]["parcel"], name - OF_MESSAGE
        return carried(k, x, index) if x != NONE and index < k.parcel[x]["count"] else NONE
    return in_slot(k, g, name) if name < k.graft[g]["slots"] else NONE


@rare
def apply_options(k: Tables, g: int, r: int, at: int, account: int) -> None:
    """Let request `r` carry what its options say, which have been checked."""
    k.request[r]["deadline"] = i64(load64(k.arena, at)) * PS_PER_NS
    count = i64(load32(k.arena, at + NCAPS_AT))
    if count > 0:
        x = parcel_of(k, r)
        k.parcel[x]["copied"] = 1
        for index in range(count):
            c = named(k, g, i64(load32(k.arena, at + CAPS_AT + CAP_BYTES * index)))
            add(k, x, derive(k, c, NONE, k.capability[c]["rights"]))
        charge(k, account, IN_KERNEL, DERIVE, count)
    slot = i64(load32(k.arena, at + PROMISE_AT))
    if slot != NO_PROMISE:
        c = slot_for_promise(k, g, slot)
        pledge(k, r, c)
        promise(k, r, c)


@hot
def slot_for_promise(k: Tables, g: int, slot: int) -> int:
    """Return a capability of the slot's own that can hold a promise; what stood in the slot stays with its process."""
    entry = k.slot[k.graft[g]["first_slot"] + slot]
    c = in_slot(k, g, slot)
    if entry["promised"] == 0 or c == NONE:
        c = new_capability(k, C_NULL, k.graft[g]["process"])
        put_in_slot(k, g, slot, c)
        entry["promised"] = 1
    return c


# --- reservation ------------------------------------------------------------------------------------------------------


@hot
def reserve_send(k: Tables, g: int, at: int, length: int, options: int, account: int) -> int:
    """Reserve a send of the bytes at `at` through the slot in r1; return 0 or a negated errno."""
    m, meter, graft = k.machine, k.meter[0], k.graft[g]
    slot = i64(m.registers[1])
    if slot < 0 or slot >= graft["slots"] or length < 0 or u64(length) > LONGEST:
        return -EINVAL
    c = in_slot(k, g, slot)
    status = standing_in_slot(k, c)
    if status < 0:
        return status
    if meter["sends"] >= SENDS:
        return deny(k, g)
    capability = k.capability[c]
    if meter["in_user"] == 0:
        if not must_wait_at(k, c) and not has_place(k, capability["endpoint"]):
            return deny(k, g)
        if meter["operation"] == NONE and not has_completion(k, meter["owner"]):
            return deny(k, g)
    # --- commit: the reservation ---
    r = take_request(k)
    request = k.request[r]
    address(k, r, c)
    request["endpoint"] = capability["endpoint"]
    request["badge"] = capability["badge"]
    request["process"] = meter["owner"]
    request["op"] = i64(m.registers[2])
    request["tag"] = i64(m.registers[3])
    request["body"] = copy_body(k, at, length)
    request["length"] = length
    request["room"] = room_for(length)
    request["cookie"] = meter["cookie"]
    if options != NO_OPTIONS:
        apply_options(k, g, r, options, account)
    meter["sends"] += 1
    k.graft[g]["sent"] += 1
    k.graft[g]["sent_bytes"] += length
    count_step(k, length)
    if meter["in_user"] != 0:
        request["vetted"] = 1  # a graft is not asked about its own sends
        append(k, k.process[meter["owner"]]["queues"] + Q_DRAFTS, k.request, r)
        return DONE
    request["state"] = R_RESERVED
    request["operation"] = meter["operation"]
    if not must_wait_at(k, c):
        reserve_place(k, r)
    if meter["operation"] == NONE:
        k.process[meter["owner"]]["cq_reserved"] += 1
    append(k, graft["queues"] + Q_OUTBOX, k.request, r)
    return DONE


@hot
def standing_in_slot(k: Tables, c: int) -> int:
    """Return 0 or more if one may send through capability `c`, now or when a promise is kept, else a negated errno."""
    if c == NONE:
        return -EBADF
    status = standing(k, c)
    if status == REFUSED:
        return -ECONNREFUSED
    return -EPIPE if status == BROKEN else status


@rare
def deny(k: Tables, g: int) -> int:
    """Count a send that was refused for want of room."""
    k.graft[g]["denied"] += 1
    return -EAGAIN
