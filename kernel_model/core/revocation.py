"""Revocation: what was given away is taken back, a bounded piece at a time.

`revoke(c)` makes all descendants of capability `c` useless, and leaves `c` itself as it is, as in seL4: whoever wants
that gone too deletes it. Of a descendant

    later sends end `refused`; what it has sent and nobody has received ends `cancelled`; what has been received stays
    with its receiver, who may reply; a copy that is still in a message arrives as a null capability

How many descendants there are is up to those who were given one, so the work is done from the leaves in pieces of
`AT_ONCE` objects, each a section of its own; after each the tree is whole, only smaller. Every object that is touched,
a capability or a request, is charged as `visit` to the process that held or sent it.

Prior art: seL4 revokes with preemption points between the capabilities of the derivation tree, for the same reason.
"""

from __future__ import annotations

from typing import Final

from jit.hot import hot
from kernel_model.core.billing import charge, payer, trace
from kernel_model.core.capabilities import leave_parent
from kernel_model.core.lists import first
from kernel_model.core.ops import withdraw
from kernel_model.core.prices import IN_KERNEL, VISIT
from kernel_model.core.requests import first_sent
from kernel_model.core.tables import CANCELLED, NONE, Q_CHILDREN, X_REVOKE, Tables

AT_ONCE: Final = 16  # objects touched in one section: a few microseconds
ONE: Final = 1
DONE: Final = 0


@hot
def revoke(k: Tables, c: int) -> bool:
    """Take back a piece of what was given of capability `c`; whether that was all."""
    touched = 0
    while touched < AT_ONCE:
        victim = leaf_below(k, c)
        if victim == NONE:
            return True
        touched += end_capability(k, victim, AT_ONCE - touched)
    return leaf_below(k, c) == NONE


@hot
def leaf_below(k: Tables, c: int) -> int:
    """Return a descendant of `c` that has no children, or NONE."""
    found = NONE
    child = first(k, k.capability[c]["queues"] + Q_CHILDREN)
    while child != NONE:
        found = child
        child = first(k, k.capability[child]["queues"] + Q_CHILDREN)
    return int(found)


@hot
def end_capability(k: Tables, c: int, most: int) -> int:
    """Make capability `c`, a leaf, useless, but for at most so many objects; return how many were touched.

    It leaves the tree when nothing that it has sent is under way any more; until then it can send nothing new.
    """
    capability = k.capability[c]
    if capability["alive"] != 0:
        capability["alive"] = 0
        trace(k, X_REVOKE, c, capability["endpoint"], DONE, DONE)
    touched = 0
    r = first_sent(k, c)
    while r != NONE and touched < most:
        charge(k, payer(k, k.request[r]["process"]), IN_KERNEL, VISIT, ONE)
        withdraw(k, r, CANCELLED)
        touched += 1
        r = first_sent(k, c)
    if r == NONE:
        leave_parent(k, c)
        charge(k, payer(k, capability["owner"]), IN_KERNEL, VISIT, ONE)
        touched += 1
    return touched
