"""Hosts: processes that run a graft in user mode on behalf of their clients, between them and the servers.

The same graft as in the kernel, in a process of its own: the client calls the host, which asks the servers, runs the
handler on each reply, sends on what it says, and replies to the client when the handler delivers. The client sleeps all
the time, as with a graft; but each step enters the kernel twice and switches twice, as with round trips. What is saved
against these is nothing but the client's address space being switched to.

    client  --call-->  host  --call-->  server  --reply-->  host: handler  --call-->  ...  host  --reply-->  client

A host serves one operation at a time, with the library of `library` and a job of its own, `host_job`: its request is
the one that was received, its answer the reply. So a graft's events, fallbacks and starved operations are what they are
in a client. What is left over when the handler has delivered (a request whose answer does not matter any more) is dealt
with before the next operation is received.
"""

from __future__ import annotations

from typing import Final

from jit.hot import hot
from kernel_model.core.activation import ON_SUBMIT, find_handler, slot_of
from kernel_model.core.billing import charge, payer
from kernel_model.core.jobs import close_job, open_job
from kernel_model.core.library import call_step, vet
from kernel_model.core.lists import append, first
from kernel_model.core.pools import copy_body, room_for, take_request
from kernel_model.core.prices import IN_USER, PREPARE
from kernel_model.core.tables import (
    ERROR,
    J_OPEN,
    NO_OUTCOME,
    NONE,
    Q_COMPLETIONS,
    Q_DRAFTS,
    Q_REJECTS,
    REPLIED,
    STATUS_OF,
    SYS_RECEIVE,
    SYS_REPLY,
    SYS_REPLY_RECEIVE,
    U_BURST,
    U_CALL,
    Tables,
)

ONE: Final = 1


@hot
def hosted_step(k: Tables, p: int) -> int:
    """One step of a host in user mode."""
    process = k.process[p]
    j = process["host_job"]
    if process["finishing"] != NONE:
        process["finishing"] = NONE
        prepare_answer(k, p, j)
        process["call"] = SYS_REPLY if has_business(k, p) else SYS_REPLY_RECEIVE
        return U_CALL
    if k.job[j]["state"] == J_OPEN or has_business(k, p):
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
    charge(k, payer(k, p), IN_USER, PREPARE, ONE)
    r = take_request(k)
    request, asked = k.request[r], k.request[received]
    request["capability"] = job["capability"]
    request["op"] = asked["op"]
    request["tag"] = asked["tag"]
    request["length"] = asked["length"]
    request["body"] = copy_body(k, asked["body"], asked["length"])
    request["room"] = room_for(asked["length"])
    request["cookie"] = j
    g = process["library"]
    h = find_handler(k, g, ON_SUBMIT, slot_of(k, g, job["capability"]), asked["op"]) if g != NONE else NONE
    if h == NONE:
        append(k, process["queues"] + Q_DRAFTS, k.request, r)
    else:
        vet(k, p, g, h, r)


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
