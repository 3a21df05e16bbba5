"""What a message carries besides bytes: capabilities.

    draft         names of capabilities that the sender holds, or IN_HAND: the right to reply to the request in its hand
    commit        each name is checked (it needs `grant`) and becomes a copy, a child of the sender's, which the message
                  holds; a reply right moves. Whatever is revoked on the way arrives as a null capability
    landing       the receiver has named so many slots: the first copies are its own now, the others are dropped, and
                  the message is marked: it was truncated

A graft sees what is in a message by its index only. It may forward a copy (`helpers`), and has no way to keep one.
"""

from __future__ import annotations

from typing import Final

from jit.hot import hot, rare
from kernel_model.core.billing import charge
from kernel_model.core.capabilities import check_grant, derive, discard, holds, let_travel, make_right, own
from kernel_model.core.pools import give_completion, give_parcel, give_request, parcel_of, take_parcel
from kernel_model.core.prices import DERIVE, IN_KERNEL
from kernel_model.core.promises import abandon
from kernel_model.core.tables import C_REPLY, EBADF, IN_HAND, NONE, Tables

ONE: Final = 1
DONE: Final = 0


@hot
def carried(k: Tables, x: int, index: int) -> int:
    """Return the capability at an index of parcel `x`, below its count; NONE is a null capability."""
    parcel = k.parcel[x]
    if index == 0:
        return int(parcel["c0"])
    if index == 1:
        return int(parcel["c1"])
    return int(parcel["c2"]) if index == 2 else int(parcel["c3"])


@hot
def put(k: Tables, x: int, index: int, c: int) -> None:
    """Put a capability at an index of parcel `x`."""
    parcel = k.parcel[x]
    if index == 0:
        parcel["c0"] = c
    elif index == 1:
        parcel["c1"] = c
    elif index == 2:
        parcel["c2"] = c
    else:
        parcel["c3"] = c


@hot
def add(k: Tables, x: int, c: int) -> None:
    """Append a capability to parcel `x`, which has room for it."""
    count = k.parcel[x]["count"]
    put(k, x, count, c)
    k.parcel[x]["count"] = count + 1


# --- commit -----------------------------------------------------------------------------------------------------------


@hot
def check_parcel(k: Tables, p: int, x: int) -> int:
    """Return 0 if process `p` may send what parcel `x` of a draft names, else a negated errno."""
    parcel = k.parcel[x]
    if parcel["copied"] != 0:
        return DONE
    hand = k.process[p]["request"]
    for index in range(parcel["count"]):
        c = carried(k, x, index)
        if c == IN_HAND:
            if hand == NONE:
                return -EBADF
            hand = NONE  # there is one right
        elif not holds(k, p, c):
            return -EBADF
        elif k.capability[c]["kind"] != C_REPLY:
            status = check_grant(k, c)
            if status != DONE:
                return status
    return DONE


@rare
def pack(k: Tables, p: int, x: int, account: int) -> None:
    """Turn the names in parcel `x`, which have been checked, into capabilities of the message's own."""
    parcel = k.parcel[x]
    if parcel["copied"] != 0:
        return
    parcel["copied"] = 1
    parcel["landed"] = 0
    parcel["truncated"] = 0
    for index in range(parcel["count"]):
        c = carried(k, x, index)
        if c == IN_HAND:
            copy = make_right(k, p)
        elif k.capability[c]["kind"] == C_REPLY:
            let_travel(k, c)
            copy = c
        else:
            copy = derive(k, c, NONE, k.capability[c]["rights"])
        put(k, x, index, copy)
        charge(k, account, IN_KERNEL, DERIVE, ONE)


@rare
def move_capabilities(k: Tables, source: int, r: int) -> None:
    """Let request `r` carry what parcel `source` carries, NONE being nothing, in place of what it carried so far."""
    request = k.request[r]
    if request["parcel"] != NONE:
        drop_capabilities(k, request["parcel"])
    if source == NONE:
        return
    x = parcel_of(k, r)
    for index in range(k.parcel[source]["count"]):
        add(k, x, carried(k, source, index))
    k.parcel[x]["copied"] = k.parcel[source]["copied"]
    k.parcel[source]["count"] = 0


# --- landing ----------------------------------------------------------------------------------------------------------


@rare
def land(k: Tables, x: int, p: int, slots: int) -> None:
    """Hand what parcel `x` carries to process `p`, which has named so many slots for it."""
    parcel = k.parcel[x]
    truncate(k, x, slots)
    parcel["landed"] = 1
    for index in range(parcel["count"]):
        c = carried(k, x, index)
        if c == NONE:
            continue
        if k.capability[c]["alive"] == 0:
            discard(k, c)
            put(k, x, index, NONE)
        else:
            own(k, c, p)


@rare
def truncate(k: Tables, x: int, slots: int) -> None:
    """Drop what parcel `x` carries beyond this many capabilities: null ones stand in their places."""
    parcel = k.parcel[x]
    for index in range(max(slots, 0), parcel["count"]):
        parcel["truncated"] = 1
        drop_one(k, x, index)


@hot
def drop_one(k: Tables, x: int, index: int) -> None:
    """Drop one capability of a message."""
    c = carried(k, x, index)
    put(k, x, index, NONE)
    if c != NONE:
        discard(k, c)


@rare
def drop_capabilities(k: Tables, x: int) -> None:
    """Nobody will get what parcel `x` carries. Names, and what has landed, are not the message's own."""
    parcel = k.parcel[x]
    if parcel["copied"] != 0 and parcel["landed"] == 0:
        for index in range(parcel["count"]):
            drop_one(k, x, index)
    parcel["count"] = 0
    parcel["copied"] = 0
    parcel["landed"] = 0
    parcel["truncated"] = 0


@rare
def let_go(k: Tables, x: int) -> None:
    """A receiver has no use for what came in parcel `x`, or for the copies in a submission that came back."""
    k.parcel[x]["landed"] = 0
    drop_capabilities(k, x)


@hot
def split_off(k: Tables, r: int) -> int:
    """Return the parcel with the capabilities of request `r`, which keeps all else; NONE for none."""
    x = k.request[r]["parcel"]
    if x == NONE or k.parcel[x]["count"] == 0:
        return NONE
    y = take_parcel(k)
    for index in range(k.parcel[x]["count"]):
        add(k, y, carried(k, x, index))
    k.parcel[y]["copied"] = k.parcel[x]["copied"]
    k.parcel[x]["count"] = 0
    return y


@hot
def carry(k: Tables, r: int, x: int) -> None:
    """Let request `r`, on which nothing depends any more, have parcel `x` in place of its own."""
    request = k.request[r]
    if request["parcel"] != NONE:
        give_parcel(k, request["parcel"])
    request["parcel"] = x


@hot
def free_request(k: Tables, r: int) -> None:
    """Free a request that has ended, with what it carries."""
    if k.request[r]["parcel"] != NONE:
        drop_capabilities(k, k.request[r]["parcel"])
    give_request(k, r)


# --- freeing ----------------------------------------------------------------------------------------------------------


@hot
def drop_draft(k: Tables, r: int) -> None:
    """Free a draft that will not be sent; what waits for its reply waits in vain."""
    x = k.request[r]["parcel"]
    if x != NONE:
        drop_capabilities(k, x)
        abandon(k, r)
    give_request(k, r)


@hot
def drop_completion(k: Tables, c: int) -> None:
    """Free a completion together with the capabilities that came with it."""
    x = k.completion[c]["parcel"]
    if x != NONE:
        let_go(k, x)
    give_completion(k, c)


@hot
def drop_parcel(k: Tables, x: int) -> None:
    """Free parcel `x`, NONE being none, with what it carries."""
    if x != NONE:
        drop_capabilities(k, x)
        give_parcel(k, x)
