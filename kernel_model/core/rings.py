"""Rings: submission and completion queues in memory that client and kernel share, after io_uring (Axboe, *Efficient IO
with io_uring*, 2019) and FlexSC (Soares and Stumm, OSDI 2010).

The client writes requests into its submission ring and reads completions from its completion ring without a crossing.
What remains is to tell the kernel that something is there, and to sleep when there is nothing to read:

    RING_ENTER    one system call submits all that is in the ring *and* waits for `wanted` completions: a step of a
                  dependent chain costs what a call costs, k independent requests cost one crossing together
    RING_POLLED   a kernel thread looks at the ring all the time (SQPOLL). Nothing is submitted by a system call; the
                  thread's core is charged (`spin`), and it is in the kernel all along: it never enters nor leaves

The library is that of `library`; what differs is how its drafts reach the kernel. A full endpoint leaves drafts in the
ring; they are tried again when a completion has come, or after a while.
"""

from __future__ import annotations

from jit.hot import hot
from kernel_model.core.jobs import arrival_of, finish_job
from kernel_model.core.library import may_begin, next_job, reap, reject, wait_or_give_up
from kernel_model.core.lists import first
from kernel_model.core.spinning import FOREVER, notice, spin
from kernel_model.core.submissions import line_up
from kernel_model.core.tables import (
    NEVER,
    NONE,
    Q_DRAFTS,
    RING_POLLED,
    SYS_ENTER,
    SYS_POLL,
    SYS_WAIT,
    U_BURST,
    U_CALL,
    Tables,
)

# --- the client -------------------------------------------------------------------------------------------------------


@hot
def rings_step(k: Tables, p: int) -> int:
    """One step of a client with rings: read what is there, begin what there is depth for, then tell the kernel."""
    process = k.process[p]
    if process["finishing"] != NONE:
        finish_job(k, p)
    if reject(k, p) or reap(k, p):
        return U_BURST
    if may_begin(k, p):
        return next_job(k, p)
    drafts = count_drafts(k, p)
    coming = process["cq_posted"] + process["cq_reserved"] + process["cq_behind"] + drafts
    due = next_due_job(k, p)
    if coming == 0:
        return wait_or_give_up(k, p, due) if process["open_jobs"] > 0 else next_job(k, p)
    process["call"] = SYS_ENTER
    process["a"] = process["wanted"]
    process["b"] = due
    if process["ring"] == RING_POLLED:
        if drafts > 0:
            publish(k, p)
        process["call"] = SYS_WAIT
        process["a"] = min(process["wanted"], coming)
    return U_CALL


@hot
def count_drafts(k: Tables, p: int) -> int:
    """Return how many requests are in the submission ring."""
    found = 0
    r = first(k, k.process[p]["queues"] + Q_DRAFTS)
    while r != NONE:
        found += 1
        r = k.request[r]["next"]
    return found


@hot
def next_due_job(k: Tables, p: int) -> int:
    """Return when the next job arrives, if there is depth for it, else NEVER."""
    process = k.process[p]
    if process["job_next"] == NONE or process["open_jobs"] >= process["depth"]:
        return NEVER
    return arrival_of(k, p, process["job_next"])


# --- the polling kernel thread ----------------------------------------------------------------------------------------


@hot
def publish(k: Tables, p: int) -> None:
    """Let the polling thread of client `p` see its ring."""
    poller = k.polling[k.process[p]["polling"]]["poller"]
    line_up(k, poller, p)
    notice(k, poller)


@hot
def poller_step(k: Tables, p: int) -> int:
    """One step of a polling thread: submit what is there, else look for it; `stage` 1: the last time some was left."""
    process = k.process[p]
    if process["stage"] != 0:
        process["stage"] = 0
        return spin(k, p, k.config[0]["retry"])
    if k.polling[process["polling"]]["first"] == NONE:
        return spin(k, p, FOREVER)
    process["call"] = SYS_POLL
    return U_CALL
