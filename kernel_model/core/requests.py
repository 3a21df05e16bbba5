"""Which requests belong to a process and which went through a capability; how a request gets its terminal status.

Cancelling, killing and revoking must cost what they touch, not what there is. So a request stands in two lists besides
the queue in which it waits:

    of its process       from its commit until it has ended, oldest first: `cancel` and `kill` look here
    of its capability    from its commit until it is received: `revoke` ends exactly these

Both are kept by links of the request's own, constant-time at either end and in the middle.
"""

from __future__ import annotations

from jit.hot import hot
from kernel_model.core.contexts import run_on
from kernel_model.core.lists import append
from kernel_model.core.pools import replace_body
from kernel_model.core.tables import ERROR, NONE, Q_WORK, R_WORK, REPLIED, Tables


@hot
def join(k: Tables, r: int) -> None:
    """Enter request `r`, which is being sent, into the lists of its process and of its capability."""
    belong(k, r)
    send_through(k, r, k.request[r]["capability"])


@hot
def belong(k: Tables, r: int) -> None:
    """Enter request `r` into the list of its process."""
    request = k.request[r]
    process = k.process[request["process"]]
    last = process["requests_last"]
    request["own_prev"] = last
    request["own_next"] = NONE
    if last == NONE:
        process["requests_first"] = r
    else:
        k.request[last]["own_next"] = r
    process["requests_last"] = r


@hot
def leave(k: Tables, r: int) -> None:
    """Take request `r`, which has ended, out of the list of its process."""
    request = k.request[r]
    process = k.process[request["process"]]
    before, after = request["own_prev"], request["own_next"]
    if before == NONE:
        process["requests_first"] = after
    else:
        k.request[before]["own_next"] = after
    if after == NONE:
        process["requests_last"] = before
    else:
        k.request[after]["own_prev"] = before


@hot
def send_through(k: Tables, r: int, c: int) -> None:
    """Let request `r` go through capability `c`: until it is received, revoking that cancels it."""
    request, capability = k.request[r], k.capability[c]
    request["via"] = c
    last = capability["sent_last"]
    request["sent_prev"] = last
    request["sent_next"] = NONE
    if last == NONE:
        capability["sent_first"] = r
    else:
        k.request[last]["sent_next"] = r
    capability["sent_last"] = r


@hot
def note_received(k: Tables, r: int) -> None:
    """Request `r` has been received, or has ended: its capability has no power over it any more."""
    request = k.request[r]
    if request["via"] == NONE:
        return
    capability = k.capability[request["via"]]
    request["via"] = NONE
    before, after = request["sent_prev"], request["sent_next"]
    if before == NONE:
        capability["sent_first"] = after
    else:
        k.request[before]["sent_next"] = after
    if after == NONE:
        capability["sent_last"] = before
    else:
        k.request[after]["sent_prev"] = before


@hot
def finish(k: Tables, r: int, outcome: int, status: int) -> None:
    """Give request `r`, which is in no queue, its terminal status; `conclude` will tell whom it concerns.

    The first to do so wins: whoever comes later finds an outcome, or another state than the one that it needs.
    """
    request = k.request[r]
    note_received(k, r)
    request["outcome"] = outcome
    request["status"] = status
    request["state"] = R_WORK
    if outcome != REPLIED and outcome != ERROR:
        replace_body(k, r, 0, 0, 0)
    append(k, Q_WORK, k.request, r)


@hot
def give_back(k: Tables, p: int) -> None:
    """Process `p` has its request no longer; a context that came with it is given back (`budgets`)."""
    process = k.process[p]
    process["request"] = NONE
    run_on(k, p, process["context"])


@hot
def hold_again(k: Tables, p: int, r: int) -> None:
    """Process `p` has request `r` in its hand after all, with what it runs on then."""
    process = k.process[p]
    process["request"] = r
    if r != NONE and process["passive"] != 0:
        run_on(k, p, k.operation[k.request[r]["operation"]]["context"])
