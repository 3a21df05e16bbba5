"""Plans: what a client without a program writes for a job, from a table of steps.

A step of `k.step` is one request of every job of a client. Its body is a column of literals (one a job) or, if `source`
is not NONE, bytes of an earlier step's reply. Who puts them there, and so what is written, is the plan's kind:

    PLAN_LINKS   requests with the flags of a chain: the kernel shares their buffer (`core.links`)
    PLAN_WIRES   a batch with wires from reply to argument (`core.promises`), without bytes where a step merely comes
                 after another. Of its completions only the last one concerns the job: all others have then ended, and
                 if one has failed it is `broken`
    PLAN_ROUTE   one request that names where its replies go (`core.routes`)

Fields of a step:

    base, size         the first job's literal in the arena, and its length: job i has the i-th of them
    source, at, take   the step whose reply is the body, from byte `at`, `take` bytes of it (NONE: all)
    flags, want        of a link; bytes that the reply must have
    draft              scratch: the request just written for this step
"""

from __future__ import annotations

from jit.hot import hot
from kernel_model.core.capabilities import address
from kernel_model.core.lists import append
from kernel_model.core.pools import room_for, take_body, take_request
from kernel_model.core.promises import wire
from kernel_model.core.routes import add_leg
from kernel_model.core.tables import NONE, PLAN_LINKS, PLAN_ROUTE, PLAN_WIRES, Q_DRAFTS, Tables


@hot
def write_plan(k: Tables, p: int, j: int) -> int:
    """Write the requests of job `j` as drafts of process `p`; return how many of their ends concern the job."""
    process = k.process[p]
    plan = k.plan[process["plan"]]
    first, steps, kind = plan["first"], plan["steps"], plan["kind"]
    for n in range(1 if kind == PLAN_ROUTE else steps):
        step = k.step[first + n]
        r = take_request(k)
        step["draft"] = r
        request = k.request[r]
        address(k, r, step["capability"])
        request["op"] = step["op"]
        request["tag"] = k.job[j]["tag"]
        request["cookie"] = j if kind == PLAN_LINKS or n == steps - 1 else NONE
        if step["source"] == NONE:
            request["body"] = step["base"] + (j - plan["job"]) * step["size"]
            request["length"] = step["size"]
            if kind == PLAN_WIRES and n > 0:
                wire(k, k.step[first + n - 1]["draft"], r, 0, 0, 0)  # no bytes: only that it comes after
        elif kind != PLAN_LINKS:
            request["length"] = step["take"]
            request["body"] = take_body(k, step["take"])
            request["room"] = room_for(step["take"])
            wire(k, k.step[first + step["source"]]["draft"], r, step["at"], 0, step["take"])
        if kind == PLAN_LINKS:
            link(k, first, n, r)
        append(k, process["queues"] + Q_DRAFTS, k.request, r)
    if kind == PLAN_ROUTE:
        r = k.step[first]["draft"]
        k.request[r]["cookie"] = j
        for n in range(1, steps):
            add_leg(k, r, k.step[first + n]["capability"], k.step[first + n]["op"])
    return int(steps) if kind == PLAN_LINKS else 1


@hot
def link(k: Tables, first: int, n: int, r: int) -> None:
    """Make draft `r` an entry of a chain."""
    request, step = k.request[r], k.step[first + n]
    request["kind"] = 0
    request["flags"] = step["flags"]
    request["want"] = step["want"]
    request["source"] = NONE if step["source"] == NONE else k.step[first + step["source"]]["draft"]
    request["at"] = step["at"]
    request["take"] = step["take"]
