"""Linked requests: chains that the kernel works through without a program, as io_uring has them.

A client submits entries in order; those that carry LINK or HARDLINK are followed by the next one, and together they are
a **chain**. The kernel starts an entry when the one before it has ended. What the man page io_uring_enter(2) says, and
`benchmarks/linked.py` holds equal to what Linux does:

    LINK            the next entry starts only after success; an error or a short transfer severs the chain, and all
                    that is left of it ends `cancelled` (ECANCELED)
    HARDLINK        the chain goes on whatever the completion says; a failed *submission* severs it all the same
    end of chain    the first entry without either flag, or the end of the submission
    LINK_TIMEOUT    an entry that guards the one before it: if its time is up first, that one is cancelled; if that one
                    ends first, the guard is cancelled. It is taken out of the chain when the guarded entry starts
    DRAIN           the chain starts only when all that was submitted before has ended, and nothing that was submitted
                    later starts before it has ended
    SKIP            (CQE_SKIP_SUCCESS) no completion for success. After a failed entry with SKIP the rest is silent too,
                    after one without it the rest is told, whatever its own flags say

Linked requests may share a buffer (`source`, `at`, `take`): bytes of an earlier reply are the body of a later request,
unchanged. That is all the data flow there is: nothing is computed, nothing chosen, no chain ends early for success.

    read(LINK) -> write, from the same buffer      one submission, one wake-up; what was read is written
    a(LINK) -> guard(LINK) -> b                    b follows a, not the guard

Every entry is an operation of its own with a completion of its own, reserved at submission. `follow` is called on each
as it ends, before it is told (`ops.drain`); `chained` is 0 in all other requests, which pay one test.
"""

from __future__ import annotations

from typing import Final

from jit.hot import hot, rare
from kernel_model.core.activation import next_serial, open_operation
from kernel_model.core.billing import charge, payer, request_begins, trace
from kernel_model.core.capabilities import may_use, standing
from kernel_model.core.heap import set_timer
from kernel_model.core.lists import first, pop
from kernel_model.core.pools import copy_body, replace_body, room_for
from kernel_model.core.prices import DISPATCH_SEND, IN_KERNEL, TIMER_ARM, TIMER_CANCEL
from kernel_model.core.promises import dispatch
from kernel_model.core.requests import belong, finish, send_through
from kernel_model.core.tables import (
    BROKEN,
    CANCELLED,
    DEAD,
    EAGAIN,
    EBADF,
    ECANCELED,
    EINVAL,
    ENOTSUP,
    ERROR,
    NONE,
    O_GRAFT,
    O_SUBMITTED,
    Q_DRAFTS,
    R_LINKED,
    R_WORK,
    REFUSED,
    REPLIED,
    T_DEADLINE,
    X_SUBMIT,
    Tables,
)

# kinds of entry
MESSAGE, NOP, TIMEOUT, LINK_TIMEOUT = range(4)
KINDS: Final = (MESSAGE, NOP, TIMEOUT, LINK_TIMEOUT)

# flags of an entry
LINK, HARDLINK, DRAIN, SKIP = 1, 2, 4, 8
LINKS: Final = LINK | HARDLINK

ONE: Final = 1
DONE: Final = 0


# --- submission -------------------------------------------------------------------------------------------------------


@hot
def submit_chains(k: Tables, p: int, account: int) -> int:
    """Submit the drafts of process `p`, chain by chain, charged to `account`.

    Return 0, or -EAGAIN at the first chain that has not room for all its completions: it and the rest stay drafts.
    """
    process = k.process[p]
    queue = process["queues"] + Q_DRAFTS
    while first(k, queue) != NONE:
        if process["cq_posted"] + process["cq_reserved"] + chain_length(k, first(k, queue)) > process["cq_capacity"]:
            k.meter[0]["refused"] += 1
            return -EAGAIN
        # --- commit: an entry that is wrong ends with its error, as a completion ---
        submit_chain(k, p, account)
    return DONE


@hot
def chain_length(k: Tables, r: int) -> int:
    """Return how many drafts the chain has that begins with draft `r`."""
    length = 1
    while k.request[r]["flags"] & LINKS != 0 and k.request[r]["next"] != NONE:
        r = k.request[r]["next"]
        length += 1
    return length


@hot
def submit_chain(k: Tables, p: int, account: int) -> None:
    """Take one chain of drafts in, and start it or let it wait."""
    queue, chains = k.process[p]["queues"] + Q_DRAFTS, k.chains[k.process[p]["chains"]]
    head, last, drains = NONE, NONE, 0
    going_on = True
    while going_on:
        r = pop(k, queue, k.request)
        charge(k, account, IN_KERNEL, DISPATCH_SEND, ONE)
        request = k.request[r]
        status = check_entry(k, p, r, last)
        if request["flags"] & DRAIN != 0 and request["kind"] in KINDS and status != -ENOTSUP:
            drains = 1
            if head != NONE:
                chains["drain_next"] = 1
        begin_entry(k, p, r)
        request["failed"] = status
        if head == NONE:
            head = r
        else:
            k.request[last]["linked"] = r
            if status != DONE and k.request[head]["failed"] == DONE:
                k.request[head]["failed"] = -ECANCELED
        last = r
        going_on = request["flags"] & LINKS != 0 and first(k, queue) != NONE
    if k.request[head]["failed"] != DONE:
        chains["under_way"] += count_chain(k, head)
        chains["drain_next"] = 2 if chains["drain_next"] != 0 else 0
        fail_chain(k, head)
    else:
        queue_chain(k, p, head, drains)


@hot
def check_entry(k: Tables, p: int, r: int, last: int) -> int:
    """Return 0 if draft `r` can be submitted behind entry `last`, else a negated errno.

    A ring that has seen SKIP drains no more (-EOPNOTSUPP): the kernel counts completions to know what has ended.
    """
    request, chains = k.request[r], k.chains[k.process[p]["chains"]]
    kind = request["kind"]
    if kind not in KINDS:
        return -EINVAL
    if request["flags"] & SKIP != 0:
        chains["no_drain"] = 1
    if request["flags"] & DRAIN != 0 and chains["no_drain"] != 0:
        return -ENOTSUP
    if kind == MESSAGE:
        if not may_use(k, p, r):
            return -EBADF
        return min(DONE, standing(k, request["capability"]))  # one that leads nowhere ends when it is its turn
    if kind == LINK_TIMEOUT:
        return DONE if last != NONE and k.request[last]["kind"] != LINK_TIMEOUT else -EINVAL
    return DONE


@hot
def begin_entry(k: Tables, p: int, r: int) -> None:
    """Open the operation of an entry; it waits for its turn."""
    request, process = k.request[r], k.process[p]
    c = request["capability"]
    request["endpoint"] = k.capability[c]["endpoint"] if c != NONE else NONE
    request["badge"] = k.capability[c]["badge"] if c != NONE else 0
    request["process"] = p
    request["state"] = R_LINKED
    request["fuel"] = k.config[0]["fuel"]
    request["chained"] = 1
    request["linked"] = NONE
    request["guard"] = NONE
    request["guards"] = NONE
    request["silent"] = 0
    o = open_operation(k, r, O_SUBMITTED)
    request_begins(k, r)
    request["serial"] = next_serial(k)
    belong(k, r)
    process["cq_reserved"] += 1
    trace(k, X_SUBMIT, p, o, request["tag"], request["op"])


@hot
def count_chain(k: Tables, r: int) -> int:
    """Return how many entries there are from `r` to the end of its chain."""
    found = 0
    while r != NONE:
        found += 1
        r = k.request[r]["linked"]
    return found


@hot
def queue_chain(k: Tables, p: int, head: int, drains: int) -> None:
    """Start a chain, unless it must wait for what was submitted before, or for one that waits so."""
    chains = k.chains[k.process[p]["chains"]]
    k.request[head]["drains"] = drains
    if drains == 0 and chains["drain_next"] == 2:
        k.request[head]["drains"] = 1
    chains["drain_next"] = 2 if chains["drain_next"] == 1 else 0
    alone = chains["under_way"] == 0
    if chains["deferred_first"] == NONE and (alone or (k.request[head]["drains"] == 0 and chains["draining"] == 0)):
        chains["under_way"] += count_chain(k, head)
        chains["draining"] = k.request[head]["drains"]
        start(k, head)
        return
    k.request[head]["deferred_next"] = NONE
    if chains["deferred_first"] == NONE:
        chains["deferred_first"] = head
    else:
        k.request[chains["deferred_last"]]["deferred_next"] = head
    chains["deferred_last"] = head


@hot
def release_deferred(k: Tables, p: int) -> None:
    """Start the chains that waited for others to end, as far as that allows."""
    chains = k.chains[k.process[p]["chains"]]
    while chains["deferred_first"] != NONE:
        head = chains["deferred_first"]
        if chains["under_way"] > 0 and (k.request[head]["drains"] != 0 or chains["draining"] != 0):
            return
        chains["deferred_first"] = k.request[head]["deferred_next"]
        chains["under_way"] += count_chain(k, head)
        chains["draining"] = k.request[head]["drains"]
        start(k, head)


# --- running ----------------------------------------------------------------------------------------------------------


@hot
def start(k: Tables, r: int) -> None:
    """It is the turn of entry `r`; a guard behind it is taken out of the chain and begins to run.

    `failed` is set in what was cancelled while it waited.
    """
    request = k.request[r]
    p = request["process"]
    guard = request["linked"]
    if guard != NONE and k.request[guard]["kind"] == LINK_TIMEOUT:
        request["linked"] = k.request[guard]["linked"]
        k.request[guard]["linked"] = NONE
        request["guard"] = guard
        k.request[guard]["guards"] = r
        arm_or_end(k, p, guard)
    if request["failed"] != DONE:
        finish(k, r, CANCELLED, DONE)
    elif request["kind"] == MESSAGE:
        send_through(k, r, request["capability"])
        fate = standing(k, request["capability"])
        request["state"] = R_WORK
        if fate in (REFUSED, BROKEN):
            finish(k, r, fate, DONE)
        elif fate < DONE:
            finish(k, r, ERROR, fate)
        else:
            dispatch(k, r)
    elif request["kind"] == NOP:
        finish(k, r, REPLIED if request["status"] == 0 else ERROR, request["status"])
    else:
        arm_or_end(k, p, r)


@hot
def arm_or_end(k: Tables, p: int, r: int) -> None:
    """Let entry `r` end `timed_out` when its time is up, or at once if it was cancelled before."""
    if k.request[r]["failed"] != DONE:
        finish(k, r, CANCELLED, DONE)
        return
    charge(k, payer(k, p), IN_KERNEL, TIMER_ARM, ONE)
    due = k.meter[0]["now"] + k.request[r]["deadline"]
    k.request[r]["timer"] = set_timer(k, due, T_DEADLINE, k.process[p]["core"], r, NONE)


@rare
def follow(k: Tables, r: int) -> None:
    """Entry `r` has ended and is about to be told: disarm its guard, then go on with its chain, or sever it."""
    request = k.request[r]
    p = request["process"]
    chains = k.chains[k.process[p]["chains"]]
    chains["under_way"] -= 1
    request["chained"] = 0
    if k.process[p]["state"] == DEAD:  # all its entries end by themselves
        chains["deferred_first"] = NONE
        return
    failed = request["outcome"] != REPLIED or request["length"] < request["want"]
    guarding = request["kind"] == LINK_TIMEOUT and request["failed"] == DONE
    if request["flags"] & SKIP != 0 and (guarding or not failed):
        silence(k, r)
    if request["guards"] != NONE:
        k.request[request["guards"]]["guard"] = NONE
    guard = request["guard"]
    if guard != NONE:
        k.request[guard]["guards"] = NONE
        charge(k, payer(k, p), IN_KERNEL, TIMER_CANCEL, ONE)
        finish(k, guard, CANCELLED, DONE)
    following = request["linked"]
    if following != NONE:
        if failed and request["flags"] & HARDLINK == 0:
            cancel_rest(k, following, request["flags"] & SKIP)
        else:
            share(k, r, following)
            start(k, following)
    if chains["deferred_first"] != NONE:
        release_deferred(k, p)


@hot
def silence(k: Tables, r: int) -> None:
    """Let entry `r` end without a completion."""
    k.request[r]["silent"] = 1
    k.operation[k.request[r]["operation"]]["origin"] = O_GRAFT


@hot
def share(k: Tables, r: int, following: int) -> None:
    """Copy the reply of entry `r` into the bodies that refer to it: one memory of the client, so it costs nothing."""
    reply = k.request[r]
    while following != NONE:
        request = k.request[following]
        if request["source"] == r:
            length = reply["length"] if request["take"] == NONE else request["take"]
            length = max(0, min(length, reply["length"] - request["at"]))
            body = copy_body(k, reply["body"] + request["at"], length)
            replace_body(k, following, body, length, room_for(length))
            request["source"] = NONE
        following = request["linked"]


@hot
def cancel_rest(k: Tables, r: int, silent: int) -> None:
    """End all entries from `r` to the end of its chain; what could not even be submitted keeps its own error."""
    while r != NONE:
        request = k.request[r]
        following = request["linked"]
        request["linked"] = NONE
        request["flags"] = request["flags"] & ~SKIP
        if silent != 0:
            silence(k, r)
        end_failed(k, r)
        r = following


@hot
def fail_chain(k: Tables, head: int) -> None:
    """A chain of which some entry could not be submitted ends before it has begun; the head is always told.

    A guard of the head ends as the head does, and is told unless it has SKIP itself, as if the head had started.
    """
    request = k.request[head]
    following = request["linked"]
    request["linked"] = NONE
    end_failed(k, head)
    if following != NONE and k.request[following]["kind"] == LINK_TIMEOUT and k.request[following]["failed"] == DONE:
        guard, following = following, k.request[following]["linked"]
        k.request[guard]["linked"] = NONE
        end_failed(k, guard)
    cancel_rest(k, following, request["flags"] & SKIP)


@hot
def end_failed(k: Tables, r: int) -> None:
    """End an entry that never ran."""
    failed = k.request[r]["failed"]
    if failed == DONE or failed == -ECANCELED:
        finish(k, r, CANCELLED, DONE)
    else:
        finish(k, r, ERROR, failed)
