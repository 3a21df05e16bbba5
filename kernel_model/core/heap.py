"""The heap of things to come: timers, arrivals and devices, and nothing else.

A binary heap of timer rows ordered by (due, order). `due` is ps, `order` a 63-bit sequence number that is never reused,
so equal times fire in the order in which they were set and the key cannot wrap. A timer knows its position, so taking
one back costs a logarithm and leaves nothing behind.
"""

from __future__ import annotations

from jit.hot import hot, inlined
from kernel_model.core.pools import give, take_timer
from kernel_model.core.tables import NEVER, NONE, P_TIMER, T_NOTHING, Tables


@inlined
def earlier(k: Tables, a: int, b: int) -> bool:
    """Whether timer `a` fires before timer `b`."""
    x, y = k.timer[a], k.timer[b]
    return bool(x["due"] < y["due"] or (x["due"] == y["due"] and x["order"] < y["order"]))


@inlined
def place(k: Tables, position: int, t: int) -> None:
    """Put timer `t` at a position of the heap."""
    k.heap[position] = t
    k.timer[t]["position"] = position


@hot
def rise(k: Tables, position: int) -> None:
    """Move the timer at `position` towards the root as far as it belongs."""
    t = k.heap[position]
    while position > 0:
        parent = (position - 1) >> 1
        if not earlier(k, t, k.heap[parent]):
            break
        place(k, position, k.heap[parent])
        position = parent
    place(k, position, t)


@hot
def sink(k: Tables, position: int) -> None:
    """Move the timer at `position` away from the root as far as it belongs."""
    size = k.meter[0]["heap_size"]
    t = k.heap[position]
    while True:
        child = 2 * position + 1
        if child >= size:
            break
        if child + 1 < size and earlier(k, k.heap[child + 1], k.heap[child]):
            child += 1
        if not earlier(k, k.heap[child], t):
            break
        place(k, position, k.heap[child])
        position = child
    place(k, position, t)


@hot
def set_timer(k: Tables, due: int, kind: int, core: int, target: int, argument: int) -> int:
    """Return a new timer that fires at `due` on `core`; `kind` says what `target` and `argument` are."""
    meter = k.meter[0]
    t = take_timer(k)
    timer = k.timer[t]
    timer["due"] = due
    timer["order"] = meter["serial"]
    timer["kind"] = kind
    timer["core"] = core
    timer["target"] = target
    timer["argument"] = argument
    meter["serial"] += 1
    position = meter["heap_size"]
    meter["heap_size"] += 1
    place(k, position, t)
    rise(k, position)
    return t


@hot
def unset_timer(k: Tables, t: int) -> None:
    """Take a timer out of the heap, if it is there; the row stays the caller's."""
    position = k.timer[t]["position"]
    if position == NONE:
        return
    meter = k.meter[0]
    meter["heap_size"] -= 1
    last = k.heap[meter["heap_size"]]
    k.timer[t]["position"] = NONE
    if last != t:
        place(k, position, last)
        rise(k, position)
        sink(k, k.timer[last]["position"])


@hot
def drop_timer(k: Tables, t: int) -> None:
    """Take a timer back for good. One that is due already waits for its core, which will find that it means nothing."""
    unset_timer(k, t)
    if k.timer[t]["pending"] != 0:
        k.timer[t]["kind"] = T_NOTHING
    else:
        give(k, P_TIMER, k.timer, t)


@hot
def next_due(k: Tables) -> int:
    """Return when the next timer fires, ps, or NEVER."""
    return int(k.timer[k.heap[0]]["due"]) if k.meter[0]["heap_size"] > 0 else NEVER
