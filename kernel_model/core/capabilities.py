"""Capabilities: the only names by which anything can be sent to, and the tree of who has them from whom.

A capability is (endpoint, badge, rights, parent, epoch), held by one process. What it allows only shrinks on its way:

    mint      a child with a subset of the rights; a badge is set once, on an unbadged one
    grant     a copy, a child of the original, for somebody else: `grant` is the right to do that, in messages too
    revoke    all descendants become useless (`revocation`); the capability itself stays
    delete    the capability goes, its children become its parent's: whom it was given to keeps it

    root of `disk` (send, grant)
      |- app's (send, grant) --- copy in a message to `helper` (send, grant)
      '- app2's, badge 7 (send)

A row is given out again and again; `epoch` counts how often, so that a name that is kept outside (a slot of a graft, a
handle in Python, a leg of a route) is (row, epoch) and an old name never means a new capability. A name used by a
process means something only if that process holds it: nobody can send by guessing numbers.

A **reply right** is a capability of another kind, made when the right to reply is put aside or sent on. There is one
for a request; it moves and is never copied. When it is dropped, the request ends `peer_died`.

Prior art: the derivation tree and the words are those of seL4 (Klein et al., SOSP 2009; manual, section 2.4).
"""

from __future__ import annotations

from typing import Final

from jit.hot import hot
from kernel_model.core.lists import append, pop, unlink
from kernel_model.core.pools import give, parcel_of, take
from kernel_model.core.requests import finish, first_sent, give_back, note_received
from kernel_model.core.tables import (
    BROKEN,
    C_BROKEN,
    C_ENDPOINT,
    C_NULL,
    C_PROMISE,
    C_REPLY,
    EBADF,
    ECONNREFUSED,
    EPERM,
    EPIPE,
    GRANT,
    NO_OUTCOME,
    NONE,
    P_CAPABILITY,
    PEER_DIED,
    Q_CHILDREN,
    Q_WAITING,
    REFUSED,
    SEND,
    Tables,
)

DONE: Final = 0
PROMISED: Final = 100  # standing of a capability that is yet to come


# --- rows -------------------------------------------------------------------------------------------------------------


@hot
def new_capability(k: Tables, kind: int, owner: int) -> int:
    """Return a capability of this kind that leads nowhere yet, held by process `owner` (NONE: by a message)."""
    c = take(k, P_CAPABILITY, k.capability)
    capability = k.capability[c]
    capability["prev"] = NONE
    capability["kind"] = kind
    capability["alive"] = 1
    capability["epoch"] += 1
    capability["parent"] = NONE
    capability["endpoint"] = NONE
    capability["badge"] = 0
    capability["rights"] = 0
    capability["object"] = NONE
    capability["owner"] = NONE
    if owner != NONE:
        own(k, c, owner)
    return c


@hot
def derive(k: Tables, c: int, owner: int, rights: int) -> int:
    """Return a child of capability `c` with these rights, a subset of its own, for `owner` (NONE: for a message)."""
    child = new_capability(k, C_ENDPOINT, owner)
    lead(k, child, c, rights)
    return child


@hot
def lead(k: Tables, c: int, parent: int, rights: int) -> None:
    """Let capability `c` lead where `parent` leads, as its child."""
    capability, source = k.capability[c], k.capability[parent]
    capability["kind"] = C_ENDPOINT
    capability["endpoint"] = source["endpoint"]
    capability["badge"] = source["badge"]
    capability["rights"] = rights & source["rights"]
    capability["parent"] = parent
    append(k, source["queues"] + Q_CHILDREN, k.capability, c)


@hot
def own(k: Tables, c: int, p: int) -> None:
    """Put capability `c`, which nobody holds, among those of process `p`."""
    capability, process = k.capability[c], k.process[p]
    head = process["held"]
    capability["owner"] = p
    capability["held_prev"] = NONE
    capability["held_next"] = head
    if head != NONE:
        k.capability[head]["held_prev"] = c
    process["held"] = c


@hot
def let_travel(k: Tables, c: int) -> None:
    """Take capability `c` from its process; a message holds it now."""
    capability = k.capability[c]
    p = capability["owner"]
    if p == NONE:
        return
    before, after = capability["held_prev"], capability["held_next"]
    if before == NONE:
        k.process[p]["held"] = after
    else:
        k.capability[before]["held_next"] = after
    if after != NONE:
        k.capability[after]["held_prev"] = before
    capability["owner"] = NONE


@hot
def leave_parent(k: Tables, c: int) -> None:
    """Take capability `c` out of the tree, its own children apart."""
    capability = k.capability[c]
    parent = capability["parent"]
    if parent != NONE:
        unlink(k, k.capability[parent]["queues"] + Q_CHILDREN, k.capability, c)
        capability["parent"] = NONE


@hot
def empty(k: Tables, c: int) -> int:
    """Let capability `c` lead nowhere; return how many objects that has touched.

    Its children become its parent's. Requests sent through it go on, but for those that wait for a promise: it will not
    be kept. A reply right that is lost ends its request.
    """
    capability = k.capability[c]
    parent = capability["parent"]
    touched = 1
    children = capability["queues"] + Q_CHILDREN
    child = pop(k, children, k.capability)
    while child != NONE:
        k.capability[child]["parent"] = parent
        if parent != NONE:
            append(k, k.capability[parent]["queues"] + Q_CHILDREN, k.capability, child)
        touched += 1
        child = pop(k, children, k.capability)
    leave_parent(k, c)
    touched += break_waiting(k, c)
    r = first_sent(k, c)
    while r != NONE:
        note_received(k, r)
        touched += 1
        r = first_sent(k, c)
    if capability["kind"] == C_PROMISE:
        k.parcel[k.request[capability["object"]]["parcel"]]["promise"] = NONE
    elif capability["kind"] == C_REPLY and capability["alive"] != 0:
        lose_right(k, c)
    capability["kind"] = C_NULL
    capability["object"] = NONE
    return touched


@hot
def break_waiting(k: Tables, c: int) -> int:
    """End all requests that wait at capability `c` as `broken`; return how many there were."""
    waiting = k.capability[c]["queues"] + Q_WAITING
    broken = 0
    r = pop(k, waiting, k.request)
    while r != NONE:
        finish(k, r, BROKEN, DONE)
        broken += 1
        r = pop(k, waiting, k.request)
    return broken


@hot
def discard(k: Tables, c: int) -> int:
    """Delete capability `c`; return how many objects that has touched."""
    touched = empty(k, c)
    let_travel(k, c)
    k.capability[c]["alive"] = 0
    k.capability[c]["epoch"] += 1
    give(k, P_CAPABILITY, k.capability, c)
    return touched


@hot
def is_root(k: Tables, c: int) -> bool:
    """Whether all capabilities to an endpoint come from this one. It stays as long as the endpoint."""
    capability = k.capability[c]
    return bool(capability["kind"] == C_ENDPOINT and k.endpoint[capability["endpoint"]]["root"] == c)


# --- what it allows ---------------------------------------------------------------------------------------------------


@hot
def holds(k: Tables, p: int, c: int) -> bool:
    """Whether process `p` holds a capability of this name, itself or with the group whose capabilities it shares."""
    return bool(c >= 0 and k.capability[c]["owner"] == k.process[p]["space"])


@hot
def address(k: Tables, r: int, c: int) -> None:
    """Let draft `r` name capability `c`, as it is now."""
    k.request[r]["capability"] = c
    k.request[r]["epoch"] = k.capability[c]["epoch"]


@hot
def may_use(k: Tables, p: int, r: int) -> bool:
    """Whether process `p` holds what draft `r` names, and it is still what it was when the draft was written."""
    c = k.request[r]["capability"]
    return holds(k, p, c) and bool(k.capability[c]["epoch"] == k.request[r]["epoch"])


@hot
def standing(k: Tables, c: int) -> int:
    """Return what becomes of a send through capability `c`.

    0: it goes; a negated errno: it cannot even be tried; REFUSED or BROKEN: it ends so at once; PROMISED: it waits.
    """
    capability = k.capability[c]
    kind = capability["kind"]
    if kind == C_ENDPOINT:
        if capability["rights"] & SEND == 0:
            return -EPERM
        if capability["alive"] == 0 or k.endpoint[capability["endpoint"]]["alive"] == 0:
            return REFUSED
        return DONE
    if kind == C_BROKEN:
        return BROKEN
    if kind == C_PROMISE:
        return PROMISED
    return -EBADF


@hot
def check_capability(k: Tables, c: int) -> int:
    """Return 0 if one may send through capability `c` now, else a negated errno."""
    if c == NONE:
        return -EBADF
    status = standing(k, c)
    if status == REFUSED:
        return -ECONNREFUSED
    if status == BROKEN:
        return -EPIPE
    return -EBADF if status == PROMISED else status


@hot
def check_grant(k: Tables, c: int) -> int:
    """Return 0 if a copy of capability `c` may be given to somebody else, else a negated errno."""
    if c == NONE:
        return -EBADF
    capability = k.capability[c]
    if capability["kind"] != C_ENDPOINT or capability["alive"] == 0:
        return -EBADF
    return DONE if capability["rights"] & GRANT != 0 else -EPERM


# --- slots of a graft -------------------------------------------------------------------------------------------------


@hot
def in_slot(k: Tables, g: int, slot: int) -> int:
    """Return the capability in a slot of graft `g`, or NONE if it holds none any more."""
    entry = k.slot[k.graft[g]["first_slot"] + slot]
    c = entry["capability"]
    if c == NONE or k.capability[c]["epoch"] != entry["epoch"]:
        return NONE
    return int(c)


@hot
def put_in_slot(k: Tables, g: int, slot: int, c: int) -> None:
    """Put a capability into a slot of graft `g`."""
    entry = k.slot[k.graft[g]["first_slot"] + slot]
    entry["capability"] = c
    entry["epoch"] = k.capability[c]["epoch"]


# --- reply rights -----------------------------------------------------------------------------------------------------


@hot
def make_right(k: Tables, p: int) -> int:
    """Turn the reply right in the hand of process `p` into a capability, which nobody holds yet."""
    process = k.process[p]
    r = process["request"]
    process["request"] = NONE
    c = new_capability(k, C_REPLY, NONE)
    k.capability[c]["object"] = r
    k.parcel[parcel_of(k, r)]["right"] = c
    k.request[r]["holder"] = NONE
    return c


@hot
def void_right(k: Tables, r: int) -> None:
    """Request `r` has ended although somebody had the right to reply to it: the right is worth nothing now."""
    request = k.request[r]
    if request["holder"] != NONE:
        give_back(k, request["holder"])
        request["holder"] = NONE
    elif request["parcel"] != NONE:
        parcel = k.parcel[request["parcel"]]
        if parcel["right"] != NONE:
            k.capability[parcel["right"]]["alive"] = 0
            parcel["right"] = NONE


@hot
def lose_right(k: Tables, c: int) -> None:
    """A reply right is gone, and with it all hope of a reply."""
    r = k.capability[c]["object"]
    k.capability[c]["alive"] = 0
    k.parcel[k.request[r]["parcel"]]["right"] = NONE
    if k.request[r]["outcome"] == NO_OUTCOME:
        finish(k, r, PEER_DIED, DONE)
