"""The client's library: user mode that turns jobs into requests and completions into answers.

A job is one operation: a map entry that the handler will need, a first request, then as many steps as the handler
says, and an answer: the body of the last reply, or what the handlers have left in a map of results. In an open loop a
job that could not begin within the client's `patience` ends `refused`.

The library is the same for every mechanism. It runs the handler itself on a completion if the graft is only loaded, or
if the kernel could not run it there (the completion says so); otherwise what it gets is the answer.

    call    one job at a time; each request is a synchronous call
    submit  up to `depth` jobs in flight; asynchronous submission, then waiting on the completion queue

`step` is one step of the process in user mode. It charges what the library does now, which is a *burst*; work of the
user's own (`owed`) passes behind it. Or it leaves a system call in the process's record. A job is finished at the end
of the burst in which its handler said `deliver`.
"""

from __future__ import annotations

from typing import Final

from grafting import hooks
from jit.hot import hot, inlined, rare
from kernel_model.core.activation import (
    ON_FAILURE,
    ON_REPLY,
    ON_SUBMIT,
    ON_TIMER,
    activate_user,
    find_handler,
    handler_for,
    handler_for_completion,
    next_submit_handler,
    show_completion,
    show_request,
    show_timer,
)
from kernel_model.core.billing import charge, payer
from kernel_model.core.capabilities import address
from kernel_model.core.fallbacks import note_fallback
from kernel_model.core.jobs import arrival_of, end_job, finish_job, give_up_job, open_job, put
from kernel_model.core.leaving import let_leave, take_on
from kernel_model.core.lists import append, first, pop, unlink
from kernel_model.core.parcels import drop_completion, drop_draft
from kernel_model.core.plans import write_plan
from kernel_model.core.pools import give_completion, take_request
from kernel_model.core.prices import IN_USER, MAP_UPDATE, PREPARE, REAP
from kernel_model.core.streams import renew
from kernel_model.core.tables import (
    EAGAIN,
    ERROR,
    NEVER,
    NO_REASON,
    NO_SLOT,
    NONE,
    OF_OPERATION,
    OF_SUBMISSION,
    OF_TIMER,
    Q_COMPLETIONS,
    Q_DRAFTS,
    Q_HELD,
    Q_JOBS,
    Q_REJECTS,
    REFUSED,
    REPLIED,
    STARVED,
    SYS_CALL,
    SYS_PARK,
    SYS_SLEEP,
    SYS_SUBMIT,
    SYS_WAIT,
    U_BURST,
    U_CALL,
    VETTED,
    Tables,
)

DELIVER: Final = hooks.DELIVER
PASS: Final = hooks.PASS
HOLD: Final = hooks.HOLD
TAKEN: Final = hooks.TAKEN
HELD_AT_ONCE: Final = 64  # drafts held by one graft, as in the kernel
ONE: Final = 1
DONE: Final = 0


@hot
def client_step(k: Tables, p: int) -> int:
    """One step of a client in user mode."""
    process = k.process[p]
    if process["finishing"] != NONE:
        finish_job(k, p)
    if process["depth"] == 0:
        return call_step(k, p)
    return submit_step(k, p)


@hot
def call_step(k: Tables, p: int) -> int:
    """The library in mode `call`."""
    process = k.process[p]
    c = process["completion"]
    if c != NONE:
        process["completion"] = NONE
        digest(k, p, c)
        return U_BURST
    result = process["result"]
    process["result"] = DONE
    if result == -EAGAIN:
        process["call"] = SYS_SLEEP
        process["a"] = k.meter[0]["now"] + k.config[0]["retry"]
        return U_CALL
    if reject(k, p):
        return U_BURST
    if first(k, process["queues"] + Q_DRAFTS) != NONE:
        process["call"] = SYS_CALL
        return U_CALL
    if reap(k, p):
        return U_BURST
    if process["open_jobs"] > 0:
        return wait_or_give_up(k, p, NEVER)
    return next_job(k, p)


@hot
def submit_step(k: Tables, p: int) -> int:
    """The library in mode `submit`."""
    process = k.process[p]
    if process["result"] < 0:
        process["stalled"] = 1
        process["result"] = DONE
    drafts = first(k, process["queues"] + Q_DRAFTS) != NONE
    if drafts and process["stalled"] == 0 and (process["batch"] == 0 or not may_begin(k, p)):
        process["call"] = SYS_SUBMIT
        return U_CALL
    if reject(k, p) or reap(k, p):
        process["stalled"] = 0
        return U_BURST
    if process["stalled"] != 0:
        process["stalled"] = 0  # try again when something has come, or after a while
        return wait_until(k, p, k.meter[0]["now"] + k.config[0]["retry"])
    if may_begin(k, p):
        return next_job(k, p)
    if process["open_jobs"] > 0:
        due = NEVER
        if process["job_next"] != NONE and process["open_jobs"] < process["depth"]:
            due = arrival_of(k, p, process["job_next"])
        return wait_or_give_up(k, p, due)
    return next_job(k, p)


@hot
def may_begin(k: Tables, p: int) -> bool:
    """Whether the next job has arrived and there is depth for it."""
    process = k.process[p]
    j = process["job_next"]
    if j == NONE or process["open_jobs"] >= process["depth"]:
        return False
    return bool(arrival_of(k, p, j) <= k.meter[0]["now"])


# --- jobs -------------------------------------------------------------------------------------------------------------


@hot
def next_job(k: Tables, p: int) -> int:
    """Begin the next job, or sleep until it arrives, or park if there is none."""
    process = k.process[p]
    j = process["job_next"]
    if j == NONE:
        process["call"] = SYS_PARK
        return U_CALL
    arrival = arrival_of(k, p, j)
    if arrival > k.meter[0]["now"]:
        process["call"] = SYS_SLEEP
        process["a"] = arrival
        return U_CALL
    process["job_next"] = k.job[j]["next"]
    if k.meter[0]["now"] - arrival > process["patience"]:
        give_up_job(k, p, j)
    else:
        begin_job(k, p, j)
    return U_BURST


@hot
def begin_job(k: Tables, p: int, j: int) -> None:
    """Put the argument into the handler's map and write the first request."""
    process, job = k.process[p], k.job[j]
    account = payer(k, p)
    open_job(k, p, j)
    process["owed"] += process["prepare"]
    if process["plan"] != NONE:
        job["pending"] = write_plan(k, p, j)
        charge(k, account, IN_USER, PREPARE, job["pending"])
        return
    charge(k, account, IN_USER, PREPARE, ONE)
    if job["map"] != NONE:
        charge(k, account, IN_USER, MAP_UPDATE, ONE)
        status = put(k, job["map"], job["key"], job["value"])
        if status != DONE:
            end_job(k, p, j, NONE, REFUSED, status)
            return
    r = take_request(k)
    request = k.request[r]
    address(k, r, job["capability"])
    request["op"] = job["op"]
    request["tag"] = job["tag"]
    request["body"] = job["body"]
    request["length"] = job["length"]
    request["cookie"] = j
    job["pending"] = 1
    propose(k, p, r)


@hot
def propose(k: Tables, p: int, r: int) -> None:
    """Put a new draft to the others of process `p`, or what its `submit` handlers make of it."""
    g = k.process[p]["library"]
    h = handler_for(k, g, ON_SUBMIT, r) if g != NONE else NONE
    if h == NONE:
        append(k, k.process[p]["queues"] + Q_DRAFTS, k.request, r)
    else:
        vet(k, p, g, h, r)


@hot
def vet(k: Tables, p: int, g: int, h: int, r: int) -> None:
    """Ask the `submit` handlers, from that of graft `g` on, in user mode, what becomes of the draft `r`, and do it."""
    meter, request = k.meter[0], k.request[r]
    j = request["cookie"]
    meter["cookie"] = j
    verdict = PASS
    while h != NONE and verdict == PASS:
        show_request(k, g, r, ON_SUBMIT)
        verdict = activate_user(k, g, h, p)
        k.job[j]["pending"] += meter["sends"]
        if verdict == PASS:
            g, h = next_submit_handler(k, k.graft[g]["next"], r)
    request["vetted"] = VETTED
    request["graft"] = NONE
    request["reason"] = NO_REASON
    if verdict == PASS:
        append(k, k.process[p]["queues"] + Q_DRAFTS, k.request, r)
    elif verdict == HOLD and k.graft[g]["held"] < HELD_AT_ONCE:
        k.graft[g]["held"] += 1
        append(k, k.graft[g]["queues"] + Q_HELD, k.request, r)
    else:
        k.job[j]["pending"] -= 1
        if verdict != TAKEN:
            end_job(k, p, j, NONE, REFUSED, DONE)
        elif k.job[j]["pending"] == 0:
            end_job(k, p, j, NONE, STARVED, DONE)
        drop_draft(k, r)


@hot
def wait_or_give_up(k: Tables, p: int, due: int) -> int:
    """Wait for a completion; if nothing is left that could bring one, the job that is open longest has starved."""
    process = k.process[p]
    if process["cq_posted"] + process["cq_reserved"] + process["cq_behind"] > 0 or due < NEVER:
        return wait_until(k, p, due)
    end_job(k, p, first(k, process["queues"] + Q_JOBS), NONE, STARVED, DONE)
    return U_BURST


@hot
def wait_until(k: Tables, p: int, due: int) -> int:
    """Ask for the system call that waits for a completion, or a time."""
    process = k.process[p]
    process["call"] = SYS_WAIT
    process["a"] = 1
    process["b"] = due
    return U_CALL


# --- completions ------------------------------------------------------------------------------------------------------


@hot
def is_visible(k: Tables, c: int) -> bool:
    """Whether user mode can see a completion yet: what a kernel section does is visible from its end."""
    completion = k.completion[c]
    poster = k.core[completion["poster"]]
    return bool(completion["posted_at"] < poster["began"] or poster["ended"] <= k.meter[0]["now"])


@hot
def is_behind(k: Tables, p: int) -> bool:
    """Whether the oldest completion of process `p` waits behind its queue, and all that are there with it."""
    process = k.process[p]
    c, found = first(k, process["queues"] + Q_COMPLETIONS), 0
    while c != NONE and found <= process["cq_behind"]:
        found += 1
        c = k.completion[c]["next"]
    return bool(found <= process["cq_behind"])


@hot
def is_posted(k: Tables, p: int) -> bool:
    """Whether a completion stands in the queue of process `p`, and not merely behind it."""
    process = k.process[p]
    if first(k, process["queues"] + Q_COMPLETIONS) == NONE:
        return False
    return bool(process["cq_behind"] == 0 or not is_behind(k, p))


@hot
def reap(k: Tables, p: int) -> bool:
    """Take the oldest completion from the queue, without a crossing, and deal with it; whether there was one."""
    process = k.process[p]
    c = first(k, process["queues"] + Q_COMPLETIONS)
    if not is_posted(k, p) or not is_visible(k, c):
        return False
    unlink(k, process["queues"] + Q_COMPLETIONS, k.completion, c)
    process["cq_posted"] -= 1
    charge(k, payer(k, p), IN_USER, REAP, ONE)
    digest(k, p, c)
    return True


@inlined
def reject(k: Tables, p: int) -> bool:
    """Deal with the oldest request that the kernel would not accept; whether there was one."""
    if first(k, k.process[p]["queues"] + Q_REJECTS) == NONE:
        return False
    deal_with_reject(k, p)
    return True


@rare
def deal_with_reject(k: Tables, p: int) -> None:
    """End the job of a request that the kernel would not accept.

    One whose graft could not be asked in the kernel is vetted here instead.
    """
    r = pop(k, k.process[p]["queues"] + Q_REJECTS, k.request)
    request = k.request[r]
    if request["reason"] != NO_REASON:
        g = request["graft"]
        h = handler_for(k, g, ON_SUBMIT, r)
        note_fallback(k, g, h, request["tag"], request["reason"])
        vet(k, p, g, h, r)
        return
    if request["graft"] != NONE:
        tell_failure(k, p, request["graft"], r)
    elif request["cookie"] != NONE:
        k.job[request["cookie"]]["pending"] -= 1
        end_job(k, p, request["cookie"], NONE, REFUSED, request["status"])
    drop_draft(k, r)


@hot
def tell_failure(k: Tables, p: int, g: int, r: int) -> None:
    """A graft has released the draft `r` with a status: in user mode too that is a failure, of which it is told."""
    request, meter = k.request[r], k.meter[0]
    j = request["cookie"]
    status = request["status"]
    h = handler_for(k, g, ON_FAILURE, r)
    verdict = DELIVER
    meter["sends"] = 0
    if h != NONE:
        meter["cookie"] = j
        request["outcome"] = ERROR
        show_request(k, g, r, ON_FAILURE)
        verdict = activate_user(k, g, h, p)
    k.job[j]["pending"] += meter["sends"] - 1
    if verdict == DELIVER:
        end_job(k, p, j, NONE, ERROR, status)
    elif k.job[j]["pending"] <= 0:
        end_job(k, p, j, NONE, STARVED, DONE)


@hot
def digest(k: Tables, p: int, c: int) -> None:
    """Deal with a completion: run the handler on it if that has not been done, then end the job or let it go on."""
    _process, completion, meter = k.process[p], k.completion[c], k.meter[0]
    j = completion["cookie"]
    if completion["kind"] == OF_SUBMISSION:
        submit_again(k, p, c)
        return
    g, h = handler_in_user(k, p, c)
    verdict = DELIVER
    meter["sends"] = 0
    if h != NONE:
        meter["cookie"] = j
        if completion["kind"] == OF_TIMER:
            show_timer(k, completion["tag"])
        else:
            show_completion(k, g, c)
        verdict = activate_user(k, g, h, p)
        if verdict == DELIVER and completion["reason"] != NO_REASON and completion["kind"] == OF_OPERATION:
            verdict = ask_further(k, p, c, k.graft[g]["next"])
    if j != NONE:
        job = k.job[j]
        if verdict != DELIVER and g != NONE:
            take_on(k, j, g)
        job["pending"] += meter["sends"] - 1
        if completion["kind"] == OF_TIMER or verdict != DELIVER:
            if job["pending"] <= 0:
                end_job(k, p, j, NONE, STARVED, DONE)
        elif completion["outcome"] != STARVED or job["pending"] <= 0:  # else others of its requests may bring something
            end_job(k, p, j, c, completion["outcome"], completion["status"])
        renew(k, p, j)
    drop_completion(k, c)
    if k.process[p]["leaving"] != 0:
        let_leave(k, p)


@rare
def ask_further(k: Tables, p: int, c: int, g: int) -> int:
    """Run the handlers of the grafts from `g` on in the list on completion `c`, up to the first that consumes it.

    Return the verdict. `meter.sends` is what all of them have sent.
    """
    meter, completion = k.meter[0], k.completion[c]
    event = ON_REPLY if completion["outcome"] == REPLIED else ON_FAILURE
    sends = meter["sends"]
    verdict = DELIVER
    while g != NONE and verdict == DELIVER:
        h = handler_for_completion(k, g, event, c)
        if h != NONE:
            show_completion(k, g, c)
            verdict = activate_user(k, g, h, p)
            sends += meter["sends"]
        g = k.graft[g]["next"]
    meter["sends"] = sends
    return verdict


@rare
def submit_again(k: Tables, p: int, c: int) -> None:
    """Completion `c` gives back a submission that a graft was to see in the kernel and could not: vet it here."""
    completion = k.completion[c]
    g = completion["graft"]
    r = take_request(k)
    request = k.request[r]
    request["capability"] = completion["capability"]
    request["epoch"] = completion["epoch"]
    request["op"] = completion["op"]
    request["tag"] = completion["tag"]
    request["body"] = completion["body"]
    request["length"] = completion["length"]
    request["room"] = completion["room"]
    request["cookie"] = completion["cookie"]
    request["parcel"] = completion["parcel"]
    if completion["deadline"] != NONE:
        request["deadline"] = max(ONE, completion["deadline"] - k.meter[0]["now"])  # from the first submission on
    completion["room"] = 0
    completion["parcel"] = NONE
    give_completion(k, c)
    vet(k, p, g, handler_for(k, g, ON_SUBMIT, r), r)


@hot
def handler_in_user(k: Tables, p: int, c: int) -> tuple[int, int]:
    """Return the graft and the handler that user mode has to run on a completion, or NONE, NONE."""
    completion = k.completion[c]
    g = completion["graft"]
    if completion["kind"] == OF_TIMER:
        return int(g), find_handler(k, g, ON_TIMER, NO_SLOT, DONE)
    if completion["reason"] == NO_REASON:
        g = k.process[p]["library"]
        j = completion["cookie"]
        if j != NONE and k.job[j]["by"] != 0:
            g = k.job[j]["by"] - 1
    if g == NONE or completion["outcome"] == STARVED:
        return NONE, NONE
    event = ON_REPLY if completion["outcome"] == REPLIED else ON_FAILURE
    return int(g), handler_for_completion(k, g, event, c)
