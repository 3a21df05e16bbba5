"""System calls: what a process asks of the kernel, decoded from its record (`call`, `a`, `b`) and done.

The process is RUNNING on the core that is in the kernel. A call that does not block leaves it so, with `result` set; a
blocking one leaves it in another state, and `schedule.choose` finds somebody else. What a process gets stands in its
record when it runs again: `request` (received), `completion` (of a call), `result` (0 or a negated errno).
"""

from __future__ import annotations

from typing import Final

from jit.hot import hot, inlined, rare
from kernel_model.core.bells import rest, ring_bells
from kernel_model.core.billing import charge, payer
from kernel_model.core.capabilities import (
    check_capability,
    derive,
    discard,
    holds,
    is_root,
    let_travel,
    make_right,
    own,
    void_right,
)
from kernel_model.core.continuations import continue_one
from kernel_model.core.foretelling import set_lead
from kernel_model.core.heap import set_timer
from kernel_model.core.links import submit_chains
from kernel_model.core.lists import first, pop, prepend
from kernel_model.core.operations import reject, submit
from kernel_model.core.ops import cancel, drain, receive
from kernel_model.core.outcomes import catch_up
from kernel_model.core.paging import fault
from kernel_model.core.parcels import check_parcel, pack
from kernel_model.core.prices import (
    DERIVE,
    DISPATCH_CALL,
    DISPATCH_FORWARD,
    DISPATCH_RECEIVE,
    DISPATCH_REPLY,
    ENTRY,
    IN_KERNEL,
    TIMER_ARM,
    TIMER_CANCEL,
    VISIT,
)
from kernel_model.core.replies import discard_drafts, forget_reply, forward, reply
from kernel_model.core.requests import finish, give_back, hold_again
from kernel_model.core.revocation import revoke
from kernel_model.core.submissions import poll_rings, submit_drafts
from kernel_model.core.tables import (
    C_ENDPOINT,
    C_REPLY,
    CALLING,
    EAGAIN,
    EBADF,
    ENOENT,
    EPERM,
    HALTED,
    NEVER,
    NONE,
    ORDER,
    PARKED,
    PEER_DIED,
    Q_DEFERRED,
    Q_DRAFTS,
    Q_REJECTS,
    REFUSED,
    RING_LINKED,
    RUNNING,
    SLEEPING,
    SYS_BELL,
    SYS_CALL,
    SYS_CANCEL,
    SYS_CONTINUE,
    SYS_DELETE,
    SYS_DROP,
    SYS_ENTER,
    SYS_FAULT,
    SYS_FORWARD,
    SYS_HINT,
    SYS_KEEP,
    SYS_LINKS,
    SYS_MINT,
    SYS_PARK,
    SYS_POLL,
    SYS_RECEIVE,
    SYS_REPLY,
    SYS_REPLY_RECEIVE,
    SYS_REPLY_TO,
    SYS_REST,
    SYS_REVOKE,
    SYS_SLEEP,
    SYS_SUBMIT,
    SYS_WAIT,
    T_WAKE,
    WAITING,
    Tables,
)

ONE: Final = 1
DONE: Final = 0
BLOCKING: Final = 1


@hot
def system_call(k: Tables, p: int) -> None:
    """Do what process `p` asks for. To park is no system call: it is how a process leaves the model; a polling thread
    and a continuation are in the kernel already."""
    process = k.process[p]
    call = process["call"]
    process["result"] = DONE
    if call == SYS_PARK:
        process["state"] = PARKED
        return
    if call == SYS_POLL:
        poll_rings(k, p)
        drain(k)
        return
    if call == SYS_CONTINUE:
        continue_one(k, p)
        drain(k)
        if first(k, process["queues"] + Q_DEFERRED) == NONE:
            process["state"] = PARKED
        return
    if call == SYS_FAULT:
        fault(k, p, process["a"])
        return
    charge(k, payer(k, p), IN_KERNEL, ENTRY, ONE)
    if process["cq_behind"] != 0:
        catch_up(k, p)
    if call == SYS_CALL:
        call_once(k, p)
    elif call == SYS_SUBMIT:
        process["result"] = submit_drafts(k, p, payer(k, p))
    elif call == SYS_ENTER:
        enter(k, p)
    elif call == SYS_LINKS:
        process["result"] = submit_chains(k, p, payer(k, p))
    elif call == SYS_WAIT:
        wait(k, p)
    elif call == SYS_SLEEP:
        sleep(k, p)
    elif call == SYS_CANCEL:
        charge(k, payer(k, p), IN_KERNEL, TIMER_CANCEL, ONE)
        process["result"] = DONE if cancel(k, p, process["a"]) != 0 else -ENOENT
    elif call in (SYS_REPLY, SYS_REPLY_RECEIVE, SYS_FORWARD, SYS_RECEIVE, SYS_DROP):
        serve(k, p, call)
    elif call in (SYS_KEEP, SYS_REPLY_TO, SYS_MINT, SYS_REVOKE, SYS_DELETE):
        handle_capability(k, p, call)
    elif call == SYS_BELL:
        ring_bells(k, p)
    elif call == SYS_REST:
        rest(k, p)
    elif call == SYS_HINT:
        if process["paging"] != 0:
            paging = k.paging[process["paging"]]
            paging["hinted_from"] = process["a"]
            paging["hinted_count"] = process["b"]
    else:
        process["state"] = HALTED
    drain(k)


@hot
def call_once(k: Tables, p: int) -> None:
    """SYS_CALL: submit the first draft and wait for its completion. What may be tried again later stays a draft."""
    process = k.process[p]
    charge(k, payer(k, p), IN_KERNEL, DISPATCH_CALL, ONE)
    r = pop(k, process["queues"] + Q_DRAFTS, k.request)
    answered = k.request[r]["vetted"] != ORDER
    process["state"] = CALLING  # a graft may end the call at once, which wakes the caller
    status = submit(k, p, r, BLOCKING)
    process["result"] = status
    if status == DONE and answered:
        return
    process["state"] = RUNNING
    if status == DONE:
        return
    if status == -EAGAIN:
        prepend(k, process["queues"] + Q_DRAFTS, k.request, r)
    else:
        reject(k, p, r, status)


@hot
def enter(k: Tables, p: int) -> None:
    """SYS_ENTER: submit the drafts, then wait for `a` completions, or as many as can come, or until the time `b`.

    What found no room is tried again soon; what was rejected must be looked at at once.
    """
    process = k.process[p]
    chains = process["ring"] == RING_LINKED
    status = submit_chains(k, p, payer(k, p)) if chains else submit_drafts(k, p, payer(k, p))
    drain(k)
    if status != DONE:
        process["b"] = min(process["b"], k.meter[0]["now"] + k.config[0]["retry"])
    coming = process["cq_posted"] + process["cq_reserved"]
    if first(k, process["queues"] + Q_REJECTS) != NONE or (coming == 0 and process["b"] >= NEVER):
        return
    process["a"] = max(ONE, min(process["a"], coming))
    wait(k, p)


@hot
def wait(k: Tables, p: int) -> None:
    """SYS_WAIT: until `a` completions are posted, or the time `b`."""
    process = k.process[p]
    charge(k, payer(k, p), IN_KERNEL, DISPATCH_RECEIVE, ONE)
    if process["cq_posted"] >= process["a"] or process["b"] <= k.meter[0]["now"]:
        return
    process["state"] = WAITING
    process["wait_for"] = process["a"]
    if process["b"] < NEVER:
        process["timer"] = set_timer(k, process["b"], T_WAKE, process["core"], p, NONE)
        set_lead(k, p, process["b"])


@hot
def sleep(k: Tables, p: int) -> None:
    """SYS_SLEEP: until the time `a`."""
    process = k.process[p]
    charge(k, payer(k, p), IN_KERNEL, TIMER_ARM, ONE)
    if process["a"] > k.meter[0]["now"]:
        process["state"] = SLEEPING
        process["timer"] = set_timer(k, process["a"], T_WAKE, process["core"], p, NONE)
        set_lead(k, p, process["a"])


@hot
def serve(k: Tables, p: int, call: int) -> None:
    """The calls of a server: end its request in one way or another, then receive the next (SYS_REPLY: not; nor a server
    with shared rings, which looks there first).

    SYS_DROP a: without a reply, with outcome `a`.

    A request that was cancelled or timed out meanwhile is no longer there; what would have been its reply is dropped.
    To receive with a request in hand drops the right to reply to it.
    """
    process = k.process[p]
    account = payer(k, p)
    r = process["request"]
    give_back(k, p)
    if call in (SYS_REPLY, SYS_REPLY_RECEIVE) and not may_reply_with(k, p):
        hold_again(k, p, r)
        return
    if r != NONE:
        k.request[r]["holder"] = NONE
    if call == SYS_RECEIVE:
        charge(k, account, IN_KERNEL, DISPATCH_RECEIVE, ONE)
        if r != NONE:
            finish(k, r, PEER_DIED, DONE)
    elif call == SYS_FORWARD:
        charge(k, account, IN_KERNEL, DISPATCH_FORWARD, ONE)
        pass_on(k, p, r)
    else:
        charge(k, account, IN_KERNEL, DISPATCH_REPLY, ONE)
        if call == SYS_DROP:
            if r != NONE:
                finish(k, r, process["a"], DONE)
        elif r != NONE:
            reply(k, p, r)
    forget_reply(k, p)
    drain(k)
    if call != SYS_REPLY and process["side"] == NONE:
        receive(k, p, process["endpoint"])


@rare
def pass_on(k: Tables, p: int, r: int) -> None:
    """SYS_FORWARD: pass request `r` on as the first draft says, or refuse it if that capability is of no use."""
    queue = k.process[p]["queues"] + Q_DRAFTS
    if r != NONE:
        draft = first(k, queue)
        c = k.request[draft]["capability"]
        x = k.request[draft]["parcel"]
        if holds(k, p, c) and check_capability(k, c) == DONE and (x == NONE or check_parcel(k, p, x) == DONE):
            if x != NONE:
                pack(k, p, x, payer(k, p))
            forward(k, r, pop(k, queue, k.request))
        else:
            finish(k, r, REFUSED, DONE)
    discard_drafts(k, queue)


# --- capabilities -----------------------------------------------------------------------------------------------------


@inlined
def may_reply_with(k: Tables, p: int) -> bool:
    """Whether process `p` may send what its reply names; else `result` says why not, and nothing has happened."""
    return k.process[p]["reply_parcel"] == NONE or check_reply(k, p)


@rare
def check_reply(k: Tables, p: int) -> bool:
    """Whether process `p` may send the parcel of its reply; else that is dropped."""
    process = k.process[p]
    process["result"] = check_parcel(k, p, process["reply_parcel"])
    if process["result"] != DONE:
        charge(k, payer(k, p), IN_KERNEL, DISPATCH_REPLY, ONE)
        forget_reply(k, p)
    return bool(process["result"] == DONE)


@rare
def handle_capability(k: Tables, p: int, call: int) -> None:
    """The calls about a capability `a` of the process; `result` is a capability, 0, or a negated errno."""
    process = k.process[p]
    account = payer(k, p)
    c = process["a"]
    if call == SYS_KEEP:
        process["result"] = keep(k, p, account)
    elif not holds(k, p, c):
        charge(k, account, IN_KERNEL, VISIT, ONE)
        process["result"] = -EBADF
    elif call == SYS_REPLY_TO:
        charge(k, account, IN_KERNEL, DISPATCH_REPLY, ONE)
        process["result"] = reply_through(k, p, c)
    elif call == SYS_MINT:
        charge(k, account, IN_KERNEL, DERIVE, ONE)
        process["result"] = mint(k, p, c, process["b"], process["c"])
    elif call == SYS_REVOKE:
        process["result"] = DONE if revoke(k, c) else -EAGAIN
    elif is_root(k, c):
        charge(k, account, IN_KERNEL, VISIT, ONE)
        process["result"] = -EPERM
    else:
        charge(k, account, IN_KERNEL, VISIT, discard(k, c))


@hot
def keep(k: Tables, p: int, account: int) -> int:
    """SYS_KEEP: put the right to reply to the request in hand aside; return it, or a negated errno."""
    charge(k, account, IN_KERNEL, DERIVE, ONE)
    if k.process[p]["request"] == NONE:
        return -ENOENT
    c = make_right(k, p)
    own(k, c, p)
    return c


@hot
def reply_through(k: Tables, p: int, c: int) -> int:
    """SYS_REPLY_TO: use up reply right `c`; 0, or a negated errno. To a request that has ended nothing is replied."""
    capability = k.capability[c]
    if capability["kind"] != C_REPLY:
        return -EBADF
    let_travel(k, c)  # it cannot be sent along with the reply that uses it up
    if not may_reply_with(k, p):
        own(k, c, p)
        return int(k.process[p]["result"])
    if capability["alive"] != 0:
        r = capability["object"]
        void_right(k, r)
        reply(k, p, r)
    forget_reply(k, p)
    discard(k, c)
    return DONE


@hot
def mint(k: Tables, p: int, c: int, rights: int, badge: int) -> int:
    """SYS_MINT: return a child of capability `c` with some of its rights and perhaps a badge, or a negated errno."""
    capability = k.capability[c]
    if capability["kind"] != C_ENDPOINT or capability["alive"] == 0:
        return -EBADF
    if rights & ~capability["rights"] != 0 or (badge != 0 and capability["badge"] != 0):
        return -EPERM
    child = derive(k, c, p, rights)
    if badge != 0:
        k.capability[child]["badge"] = badge
    return child
