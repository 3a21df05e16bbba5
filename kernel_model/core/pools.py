"""Rows and bodies: constant-time allocation from free lists.

A pool's free rows are linked by `next`. Bodies are blocks of the arena in powers of two from 16 bytes to 64 KiB, each
size with its free list, whose links stand in the blocks themselves. Neither ever fails here: `simulate.advance` asks
for growth while there is still more room than one event can take (see `tables`), which `short_of_room` tests.
"""

from __future__ import annotations

from typing import Any, Final

from jit.hot import hot, rare
from jit.words import bit_length, i64, load64, move_bytes, store64, u64
from kernel_model.core.tables import (
    ARENA_RESERVE,
    BODY_SHIFT,
    NO_OUTCOME,
    NO_REASON,
    NONE,
    P_BODY,
    P_COMPLETION,
    P_LEG,
    P_OPERATION,
    P_PARCEL,
    P_REQUEST,
    P_TIMER,
    POOL_RESERVE,
    R_DRAFT,
    R_FREE,
    Tables,
)

ONE: Final = 1
STEP_SHIFT: Final = 14  # 16 KiB: SECTION_STEPS of them, and 64 bodies of 64 KiB, are less than ARENA_RESERVE


@hot
def take(k: Tables, pool: int, table: Any) -> int:
    """Take a free row of `table`, whose free list is `pool`."""
    list_ = k.pool[pool]
    row = list_["head"]
    list_["head"] = table[row]["next"]
    list_["free"] -= 1
    if list_["free"] < POOL_RESERVE:
        k.meter[0]["scarce"] = 1
    table[row]["next"] = NONE
    return int(row)


@hot
def give(k: Tables, pool: int, table: Any, row: int) -> None:
    """Put a row back."""
    list_ = k.pool[pool]
    table[row]["next"] = list_["head"]
    list_["head"] = row
    list_["free"] += 1


@hot
def short_of_room(k: Tables) -> bool:
    """Whether some table should grow before the next event is dealt with; asked only if `meter.scarce` says so."""
    for pool in range(P_BODY):
        if k.pool[pool]["free"] < POOL_RESERVE:
            return True
    meter = k.meter[0]
    if k.config[0]["tracing"] != 0 and meter["traced"] + 16 * POOL_RESERVE > k.trace.shape[0]:
        return True
    if meter["arena_used"] + ARENA_RESERVE > k.arena.shape[0]:
        return True
    meter["scarce"] = 0
    return False


# --- bodies -----------------------------------------------------------------------------------------------------------


@hot
def room_for(length: int) -> int:
    """Return the size of the block that holds `length` bytes; 0 for none."""
    if length == 0:
        return 0
    return ONE << max(BODY_SHIFT, bit_length(length - 1))


@hot
def class_of(room: int) -> int:
    """Return the free list of blocks of `room` bytes, a power of two."""
    return P_BODY + bit_length(room) - 1 - BODY_SHIFT


@hot
def take_body(k: Tables, length: int) -> int:
    """Return the arena offset of a block for `length` bytes (0 if that is none)."""
    room = room_for(length)
    if room == 0:
        return 0
    list_ = k.pool[class_of(room)]
    block = list_["head"]
    if block != NONE:
        list_["head"] = i64(load64(k.arena, block))
        return int(block)
    meter = k.meter[0]
    block = meter["arena_used"]
    meter["arena_used"] += room
    meter["scarce"] = 1
    return int(block)


@hot
def count_step(k: Tables, length: int) -> None:
    """Count a send or an answer of `length` bytes, for which an activation takes of what is free before each event.

    Time bounds what the activations of one section take, where things have prices and the eager window is short. A
    profile may have neither, and a graft whose messages a `request` graft answers at once would go on within a section
    for ever; so after SECTION_STEPS no activation is eager any more (`activation.admit`).
    """
    k.meter[0]["steps"] += ONE + (length >> STEP_SHIFT)


@hot
def give_body(k: Tables, body: int, room: int) -> None:
    """Give a block back; `room` 0 is a body that was only referred to."""
    if room > 0:
        list_ = k.pool[class_of(room)]
        store64(k.arena, body, u64(list_["head"]))
        list_["head"] = body


@hot
def copy_body(k: Tables, source: int, length: int) -> int:
    """Return a fresh block with a copy of `length` bytes."""
    block = take_body(k, length)
    if length > 0:
        move_bytes(k.arena, block, source, length)
    return block


# --- requests, completions --------------------------------------------------------------------------------------------


@hot
def take_request(k: Tables) -> int:
    """Return a draft: a request that nobody has sent yet, with every link and field clear."""
    r = take(k, P_REQUEST, k.request)
    request = k.request[r]
    request["state"] = R_DRAFT
    request["prev"] = NONE
    request["operation"] = NONE
    request["capability"] = NONE
    request["epoch"] = 0
    request["endpoint"] = NONE
    request["process"] = NONE
    request["tag"] = 0
    request["op"] = 0
    request["badge"] = 0
    request["body"] = 0
    request["length"] = 0
    request["room"] = 0
    request["deadline"] = 0
    request["timer"] = NONE
    request["holder"] = NONE
    request["fuel"] = 0
    request["outcome"] = NO_OUTCOME
    request["status"] = 0
    request["serial"] = 0
    request["place"] = 0
    request["cookie"] = NONE
    request["graft"] = NONE
    request["reason"] = NO_REASON
    request["vetted"] = 0
    request["steered"] = 0
    request["via"] = NONE
    request["parcel"] = NONE
    request["chained"] = 0
    request["silent"] = 0
    request["ring"] = NONE
    return r


@hot
def give_request(k: Tables, r: int) -> None:
    """Free a request with its body. What its parcel stood for has been dealt with, see `parcels` and `promises`."""
    request = k.request[r]
    if request["parcel"] != NONE:
        give_parcel(k, request["parcel"])
        request["parcel"] = NONE
    give_body(k, request["body"], request["room"])
    request["room"] = 0
    request["state"] = R_FREE
    give(k, P_REQUEST, k.request, r)


@hot
def give_completion(k: Tables, c: int) -> None:
    """Free a completion with its body; the capabilities that came with it stay with its process."""
    completion = k.completion[c]
    if completion["graft"] != NONE:
        k.graft[completion["graft"]]["pending"] -= 1
    if completion["parcel"] != NONE:
        give_parcel(k, completion["parcel"])
        completion["parcel"] = NONE
    give_body(k, completion["body"], completion["room"])
    completion["room"] = 0
    give(k, P_COMPLETION, k.completion, c)


@hot
def take_parcel(k: Tables) -> int:
    """Return an empty parcel."""
    x = take(k, P_PARCEL, k.parcel)
    parcel = k.parcel[x]
    parcel["count"] = 0
    parcel["copied"] = 0
    parcel["landed"] = 0
    parcel["truncated"] = 0
    parcel["promise"] = NONE
    parcel["route"] = NONE
    parcel["wires"] = NONE
    parcel["feeds"] = NONE
    parcel["awaiting"] = 0
    parcel["right"] = NONE
    return x


@rare
def give_parcel(k: Tables, x: int) -> None:
    """Free a parcel with the legs of its route."""
    leg = k.parcel[x]["route"]
    while leg != NONE:
        following = k.leg[leg]["next"]
        give(k, P_LEG, k.leg, leg)
        leg = following
    give(k, P_PARCEL, k.parcel, x)


@hot
def parcel_of(k: Tables, r: int) -> int:
    """Return the parcel of a request, which gets one if it has none."""
    request = k.request[r]
    if request["parcel"] == NONE:
        request["parcel"] = take_parcel(k)
    return int(request["parcel"])


@hot
def replace_body(k: Tables, r: int, body: int, length: int, room: int) -> None:
    """Give a request another body: a reply takes the place of what was asked."""
    request = k.request[r]
    give_body(k, request["body"], request["room"])
    request["body"] = body
    request["length"] = length
    request["room"] = room


@hot
def take_operation(k: Tables) -> int:
    """Return a fresh operation."""
    o = take(k, P_OPERATION, k.operation)
    operation = k.operation[o]
    operation["outstanding"] = 0
    operation["completed"] = 0
    operation["prev"] = NONE
    operation["cookie"] = NONE
    return o


@hot
def take_timer(k: Tables) -> int:
    """Return a fresh timer, in no heap."""
    t = take(k, P_TIMER, k.timer)
    timer = k.timer[t]
    timer["position"] = NONE
    timer["prev"] = NONE
    timer["operation"] = NONE
    timer["fuel"] = 0
    timer["pending"] = 0
    timer["follower"] = NONE
    return t
