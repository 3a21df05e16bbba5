"""Plans: what a client without a program writes for a job, from a table of steps.

A step of `k.step` is one request of every job of a client. Its body is a column of literals (one a job) or, if `source`
is not NONE, bytes of an earlier step's reply, which whoever works through the requests puts there: the kernel for
linked requests (`core.links`), or a server.

    base, size         the first job's literal in the arena, and its length: job i has the i-th of them
    source, at, take   the step whose reply is the body, from byte `at`, `take` bytes of it (NONE: all)
    flags, want        of the link; bytes that the reply must have
    draft              scratch: the request just written for this step
"""

from __future__ import annotations

from jit.hot import hot
from kernel_model.core.lists import append
from kernel_model.core.pools import take_request
from kernel_model.core.tables import NONE, Q_DRAFTS, Tables


@hot
def write_plan(k: Tables, p: int, j: int) -> int:
    """Write the requests of job `j` as drafts of process `p`; return how many there are."""
    process = k.process[p]
    first = process["plan"]
    for n in range(process["plan_steps"]):
        step = k.step[first + n]
        r = take_request(k)
        step["draft"] = r
        request = k.request[r]
        request["capability"] = step["capability"]
        request["op"] = step["op"]
        request["tag"] = k.job[j]["tag"]
        request["cookie"] = j
        request["kind"] = 0
        request["flags"] = step["flags"]
        request["want"] = step["want"]
        if step["source"] == NONE:
            request["body"] = step["base"] + (j - process["plan_job"]) * step["size"]
            request["length"] = step["size"]
            request["source"] = NONE
        else:
            request["source"] = k.step[first + step["source"]]["draft"]
            request["at"] = step["at"]
            request["take"] = step["take"]
        append(k, process["queues"] + Q_DRAFTS, k.request, r)
    return int(process["plan_steps"])
