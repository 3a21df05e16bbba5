"""Jobs: operations of a client from their arrival to their answer, as the client's library keeps them.

A job waits in the list of its client (`job_next`) until it is begun, is then among those that are open (`Q_JOBS`, the
oldest first), gets one outcome, and is over at the end of the burst in which it got it. So the open job that has to be
given up is found in constant time, however many jobs there are.
"""

from __future__ import annotations

from typing import Final

from jit.hot import hot, rare
from jit.maps import delete, find, update
from jit.words import store64, u64
from kernel_model.core.billing import charge, payer, trace
from kernel_model.core.chance import sample
from kernel_model.core.leaving import hand_back
from kernel_model.core.lists import append, unlink
from kernel_model.core.pools import copy_body, room_for
from kernel_model.core.prices import IN_USER, MAP_DELETE, MAP_LOOKUP, PREPARE
from kernel_model.core.recording import record
from kernel_model.core.streams import arrive_next, renew
from kernel_model.core.tables import (
    EAGAIN,
    J_DONE,
    J_OPEN,
    NO_OUTCOME,
    NONE,
    Q_JOBS,
    REFUSED,
    REPLIED,
    STARVED,
    X_JOB,
    Tables,
)

ONE: Final = 1


@hot
def arrival_of(k: Tables, p: int, j: int) -> int:
    """Return when job `j` arrives; in a closed loop that is a think time from the moment it was first asked for."""
    job, process = k.job[j], k.process[p]
    if job["arrival"] == NONE and job["stream"] != NONE and k.stream[job["stream"]]["interval"] != NONE:
        job["arrival"] = arrive_next(k, p, job["stream"])
    elif job["arrival"] == NONE:
        think = sample(k, p, process["think"]) if process["think"] != NONE else 0
        job["arrival"] = k.meter[0]["now"] + think
    return int(job["arrival"])


@hot
def open_job(k: Tables, p: int, j: int) -> None:
    """Job `j` begins."""
    job, process = k.job[j], k.process[p]
    job["state"] = J_OPEN
    job["submitted"] = k.meter[0]["now"]
    process["open_jobs"] += 1
    append(k, process["queues"] + Q_JOBS, k.job, j)


@hot
def close_job(k: Tables, p: int, j: int) -> None:
    """Job `j`, which has an outcome, is over."""
    process = k.process[p]
    k.job[j]["state"] = J_DONE
    process["open_jobs"] -= 1
    unlink(k, process["queues"] + Q_JOBS, k.job, j)


@rare
def give_up_job(k: Tables, p: int, j: int) -> None:
    """Job `j` has waited too long for its turn: it ends `refused`, and nothing is asked for it."""
    open_job(k, p, j)
    charge(k, payer(k, p), IN_USER, PREPARE, ONE)
    end_job(k, p, j, NONE, REFUSED, -EAGAIN)


@hot
def put(k: Tables, map_: int, key: int, value: int) -> int:
    """Store the value at arena offset `value` under a key of up to 8 bytes in a map of a graft; 0 or negated errno."""
    scratch = k.config[0]["scratch"]
    store64(k.arena, scratch, u64(key))
    return int(update(k.arena, k.machine.maps[map_], u64(k.config[0]["map_seed"]), scratch, value))


@hot
def take_result(k: Tables, p: int, j: int) -> bool:
    """Let the answer of job `j` be what its handlers have left in the map of results, and remove it; whether it was."""
    job, account = k.job[j], payer(k, p)
    map_, seed, scratch = k.machine.maps[job["result"]], u64(k.config[0]["map_seed"]), k.config[0]["scratch"]
    charge(k, account, IN_USER, MAP_LOOKUP, ONE)
    store64(k.arena, scratch, u64(job["key"]))
    place = find(k.arena, map_, seed, scratch)
    if place < 0:
        return False
    length = map_["value_size"]
    job["answer"] = copy_body(k, map_["values"] + place * map_["stride"], length)
    job["answer_length"] = length
    job["answer_room"] = room_for(length)
    charge(k, account, IN_USER, MAP_DELETE, ONE)
    delete(k.arena, map_, seed, scratch)
    return True


@hot
def end_job(k: Tables, p: int, j: int, c: int, outcome: int, status: int) -> None:
    """Give job `j` its outcome and the body of completion `c` (NONE: none), unless it has one already."""
    if j == NONE or k.job[j]["outcome"] != NO_OUTCOME:
        return
    job = k.job[j]
    hand_back(k, j)
    job["outcome"] = outcome
    job["status"] = status
    found = job["result"] != NONE and outcome in (REPLIED, STARVED) and take_result(k, p, j)
    if c != NONE and not found:
        completion = k.completion[c]
        job["answer"] = completion["body"]
        job["answer_length"] = completion["length"]
        job["answer_room"] = completion["room"]
        completion["room"] = 0
    k.process[p]["finishing"] = j


@hot
def finish_job(k: Tables, p: int) -> None:
    """The burst is over in which a job got its outcome."""
    process = k.process[p]
    job = k.job[process["finishing"]]
    job["finished"] = k.meter[0]["now"]
    close_job(k, p, process["finishing"])
    k.meter[0]["jobs_open"] -= 1
    trace(k, X_JOB, p, job["tag"], job["outcome"], job["finished"] - job["arrival"])
    if process["recorder"] != NONE:
        record(k, process["recorder"], job["arrival"], job["outcome"])
    renew(k, p, process["finishing"])
    process["finishing"] = NONE
