"""Streams: operations by the hundred million, without a row each.

A client of a stream owns one job row for each operation that it may have in flight. When a job is done, and nothing of
it is pending any more (a late completion, a timer of its handler, a request that its handler holds), its row begins
anew as the stream's next operation: a fresh tag, the next of the stream's bodies and arguments, which are used in turn,
and the next arrival. Several clients may share a stream: each next operation is whoever's that is ready for it.

In a closed loop an operation begins a think time after the client asks for it. In an open loop the arrivals of the
stream are a renewal process of their own, `clock`, which does not wait for anybody: an operation that finds its client
busy is late, and its latency counts from when it should have begun.
"""

from __future__ import annotations

from jit.hot import hot, inlined
from kernel_model.core.chance import sample
from kernel_model.core.pools import give_body
from kernel_model.core.tables import J_DONE, J_WAITING, NO_OUTCOME, NONE, Tables


@hot
def arrive_next(k: Tables, p: int, s: int) -> int:
    """Return the next arrival of the open-loop stream `s`; its intervals are drawn by process `p`."""
    stream = k.stream[s]
    stream["clock"] += sample(k, p, stream["interval"])
    return int(stream["clock"])


@inlined
def renew(k: Tables, p: int, j: int) -> None:
    """Let job `j` of process `p` begin anew if it is done, belongs to a stream, and the stream has operations left."""
    if k.job[j]["stream"] != NONE:
        go_on(k, p, j)


@hot
def go_on(k: Tables, p: int, j: int) -> None:
    """Make the row of job `j`, if that is done, the next operation of its stream."""
    job = k.job[j]
    if job["state"] != J_DONE or job["pending"] > 0:
        return
    give_body(k, job["answer"], job["answer_room"])
    job["answer_room"] = 0
    job["answer_length"] = 0
    stream = k.stream[job["stream"]]
    n = stream["begun"]
    if n == stream["operations"]:
        return
    stream["begun"] = n + 1
    job["tag"] = stream["tag"] + n
    job["body"] = stream["bodies"] + n % stream["body_count"] * stream["body_stride"]
    job["key"] = job["tag"]
    job["value"] = stream["values"] + n % stream["value_count"] * stream["value_stride"]
    job["arrival"] = NONE
    job["finished"] = NONE
    job["outcome"] = NO_OUTCOME
    job["status"] = 0
    job["state"] = J_WAITING
    line_up(k, p, j)
    k.meter[0]["jobs_open"] += 1


@hot
def line_up(k: Tables, p: int, j: int) -> None:
    """Put a job at the end of those that its client has yet to begin."""
    process = k.process[p]
    k.job[j]["next"] = NONE
    if process["job_next"] == NONE:
        process["job_next"] = j
    else:
        k.job[process["job_last"]]["next"] = j
    process["job_last"] = j
