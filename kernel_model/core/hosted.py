"""Hosts: processes that run a graft in user mode on behalf of their clients, between them and the servers.

The same graft as in the kernel, in a process of its own: the client calls the host, which asks the servers, runs the
handler on each reply, sends on what it says, and replies to the client when the handler delivers. The client sleeps all
the time, as with a graft; but each step enters the kernel twice and switches twice, as with round trips. What is saved
against these is nothing but the client's address space being switched to.

    client  --call-->  host  --call-->  server  --reply-->  host: handler  --call-->  ...  host  --reply-->  client

A *server* can be a host too (`service` in its row): the client's graft has moved in with whoever answers first. The
request that it received it serves itself, and so it does what the graft sends to the server's own endpoint, through a
capability that is good for it. The handler sees the reply as if a message had brought it; there is none, nothing enters
the kernel, and no deadline runs, for nothing could cut it short.

    client  --call-->  server 0: work, handler  --call-->  server 1  --reply-->  server 0: handler  --reply-->  client

A host serves one operation at a time, with the library of `library` and a job of its own, `host_job`: its request is
the one that was received, its answer the reply. So a graft's events, fallbacks and starved operations are what they are
in a client. What is left over when the handler has delivered (a request whose answer does not matter any more) is dealt
with before the next operation is received. A passive server that its donor's budget no longer carries gives the
operation up with all that it had begun for it (`give_up`, see `budgets`).
"""

from __future__ import annotations

from typing import Final

from jit.hot import hot
from kernel_model.core.billing import charge, payer
from kernel_model.core.capabilities import address, check_capability, may_use
from kernel_model.core.jobs import close_job, open_job
from kernel_model.core.leaving import hand_back
from kernel_model.core.library import call_step, digest, propose
from kernel_model.core.lists import first, pop
from kernel_model.core.parcels import drop_completion, drop_draft
from kernel_model.core.pools import copy_body, give_body, room_for, take, take_request
from kernel_model.core.prices import IN_USER, PREPARE
from kernel_model.core.replies import discard_drafts
from kernel_model.core.servers import V_RECEIVE, V_REPLY, V_WORK, make_reply, work_step
from kernel_model.core.tables import (
    ERROR,
    J_OPEN,
    NO_OUTCOME,
    NO_REASON,
    NONE,
    OF_OPERATION,
    P_COMPLETION,
    Q_COMPLETIONS,
    Q_DRAFTS,
    Q_REJECTS,
    REPLIED,
    STATUS_OF,
    SYS_RECEIVE,
    SYS_REPLY,
    SYS_REPLY_RECEIVE,
    TIMED_OUT,
    U_BURST,
    U_CALL,
    Tables,
)

ONE: Final = 1
DONE: Final = 0


@hot
def hosted_step(k: Tables, p: int) -> int:
    """One step of a host in user mode."""
    process = k.process[p]
    j = process["host_job"]
    if process["stage"] != V_RECEIVE:
        return serve_step(k, p)
    if process["finishing"] != NONE:
        process["finishing"] = NONE
        prepare_answer(k, p, j)
        process["call"] = SYS_REPLY if has_business(k, p) else SYS_REPLY_RECEIVE
        return U_CALL
    if k.job[j]["state"] == J_OPEN or has_business(k, p):
        if process["completion"] == NONE and is_for_itself(k, p, first(k, process["queues"] + Q_DRAFTS)):
            process["stage"] = V_WORK
            return serve_step(k, p)
        return call_step(k, p)
    if process["request"] == NONE:
        process["call"] = SYS_RECEIVE
        return U_CALL
    begin_hosted(k, p, j, process["request"])
    return U_BURST


@hot
def has_business(k: Tables, p: int) -> bool:
    """Whether something of the last operation is still to be dealt with."""
    process = k.process[p]
    if process["completion"] != NONE or first(k, process["queues"] + Q_DRAFTS) != NONE:
        return True
    return bool(first(k, process["queues"] + Q_REJECTS) != NONE or first(k, process["queues"] + Q_COMPLETIONS) != NONE)


@hot
def begin_hosted(k: Tables, p: int, j: int, received: int) -> None:
    """Make the received request the host's own."""
    process, job = k.process[p], k.job[j]
    open_job(k, p, j)
    job["outcome"] = NO_OUTCOME
    job["pending"] = 1
    job["answer_length"] = 0
    r = take_request(k)
    request, asked = k.request[r], k.request[received]
    if process["row"] == NONE:
        charge(k, payer(k, p), IN_USER, PREPARE, ONE)
    else:
        request["holder"] = p  # it is where it was to go
    address(k, r, job["capability"])
    request["op"] = asked["op"]
    request["tag"] = asked["tag"]
    request["length"] = asked["length"]
    request["body"] = copy_body(k, asked["body"], asked["length"])
    request["room"] = room_for(asked["length"])
    request["cookie"] = j
    propose(k, p, r)


# --- a server that is a host ------------------------------------------------------------------------------------------


@hot
def is_for_itself(k: Tables, p: int, r: int) -> bool:
    """Whether server `p` does the draft `r` (NONE: none) itself: it is what it received, or goes to its endpoint."""
    process = k.process[p]
    if r == NONE or process["row"] == NONE:
        return False
    if k.request[r]["holder"] == p:
        return True
    c = k.request[r]["capability"]
    return may_use(k, p, r) and check_capability(k, c) == DONE and k.capability[c]["endpoint"] == process["endpoint"]


@hot
def serve_step(k: Tables, p: int) -> int:
    """One step of the first draft of server `p`, which it does itself; at the end its handler sees the reply."""
    process = k.process[p]
    if process["stage"] != V_REPLY:
        return work_step(k, p)
    process["stage"] = V_RECEIVE
    r = pop(k, process["queues"] + Q_DRAFTS, k.request)
    make_reply(k, p, r)
    c = turn_into_completion(k, p, r)
    drop_draft(k, r)
    digest(k, p, c)
    return U_BURST


@hot
def turn_into_completion(k: Tables, p: int, r: int) -> int:
    """Return the completion that the reply of server `p` to its own draft `r` would have come to it in."""
    process, request = k.process[p], k.request[r]
    c = take(k, P_COMPLETION, k.completion)
    completion = k.completion[c]
    status = process["reply_status"]
    completion["kind"] = OF_OPERATION
    completion["outcome"] = REPLIED if status == DONE else ERROR
    completion["status"] = status
    completion["cookie"] = request["cookie"]
    completion["capability"] = request["capability"]
    completion["epoch"] = request["epoch"]
    completion["deadline"] = NONE
    completion["badge"] = k.capability[request["capability"]]["badge"]
    completion["tag"] = request["tag"]
    completion["op"] = request["op"]
    completion["body"] = process["reply_body"]
    completion["length"] = process["reply_length"]
    completion["room"] = process["reply_room"]
    process["reply_room"] = 0
    completion["graft"] = NONE
    completion["reason"] = NO_REASON
    completion["parcel"] = NONE
    return c


@hot
def give_up(k: Tables, p: int) -> None:
    """The request that host `p` was at work for is over: so is all that it has begun for it."""
    process = k.process[p]
    job = k.job[process["host_job"]]
    hand_back(k, process["host_job"])
    if job["state"] == J_OPEN:
        close_job(k, p, process["host_job"])
    job["outcome"] = TIMED_OUT
    give_body(k, job["answer"], job["answer_room"])
    job["answer_room"] = 0
    process["stage"] = V_RECEIVE
    process["finishing"] = NONE
    discard_drafts(k, process["queues"] + Q_DRAFTS)
    if process["completion"] != NONE:
        drop_completion(k, process["completion"])
        process["completion"] = NONE


# --- the answer -------------------------------------------------------------------------------------------------------


@hot
def prepare_answer(k: Tables, p: int, j: int) -> None:
    """Make the outcome of the host's job its reply to the client."""
    process, job = k.process[p], k.job[j]
    outcome = job["outcome"]
    close_job(k, p, j)
    process["reply_status"] = job["status"] if outcome in (REPLIED, ERROR) else -STATUS_OF[outcome]
    process["reply_body"] = job["answer"]
    process["reply_length"] = job["answer_length"]
    process["reply_room"] = job["answer_room"]
    job["answer_room"] = 0
