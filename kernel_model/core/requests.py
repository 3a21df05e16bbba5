"""Which requests belong to a process and which went through a capability; how a request gets its terminal status.

Cancelling, killing and revoking must cost what they touch, not what there is. So a request stands in two lists besides
the queue in which it waits:

    of its process       from its commit until it has ended, oldest first: `cancel` and `kill` look here
    of its capability    from its commit until it is received: `revoke` ends exactly these

Both are ordinary queues (`lists`), of rows of `k.link`: of request r, row 2 r stands in the first, row 2 r + 1 in the
second.
"""

from __future__ import annotations

from jit.hot import hot, rare
from kernel_model.core.contexts import run_on
from kernel_model.core.lists import append, first, unlink
from kernel_model.core.pools import replace_body
from kernel_model.core.tables import ERROR, NONE, Q_OWN, Q_SENT, Q_WORK, R_WORK, REPLIED, Tables


@hot
def join(k: Tables, r: int) -> None:
    """Enter request `r`, which is being sent, into the lists of its process and of its capability."""
    belong(k, r)
    send_through(k, r, k.request[r]["capability"])


@hot
def belong(k: Tables, r: int) -> None:
    """Enter request `r` into the list of its process."""
    append(k, k.process[k.request[r]["process"]]["queues"] + Q_OWN, k.link, 2 * r)


@hot
def leave(k: Tables, r: int) -> None:
    """Take request `r`, which has ended, out of the list of its process."""
    unlink(k, k.process[k.request[r]["process"]]["queues"] + Q_OWN, k.link, 2 * r)


@hot
def send_through(k: Tables, r: int, c: int) -> None:
    """Let request `r` go through capability `c`: until it is received, revoking that cancels it."""
    k.request[r]["via"] = c
    append(k, k.capability[c]["queues"] + Q_SENT, k.link, 2 * r + 1)


@hot
def note_received(k: Tables, r: int) -> None:
    """Request `r` has been received, or has ended: its capability has no power over it any more."""
    c = k.request[r]["via"]
    if c != NONE:
        k.request[r]["via"] = NONE
        unlink(k, k.capability[c]["queues"] + Q_SENT, k.link, 2 * r + 1)


@hot
def first_own(k: Tables, p: int) -> int:
    """Return the oldest request in flight of process `p`, or NONE."""
    return first(k, k.process[p]["queues"] + Q_OWN) >> 1


@hot
def next_own(k: Tables, r: int) -> int:
    """Return the next younger request of the process of `r`, or NONE."""
    return int(k.link[2 * r]["next"]) >> 1


@hot
def first_sent(k: Tables, c: int) -> int:
    """Return the oldest request that went through capability `c` and is not yet received, or NONE."""
    return first(k, k.capability[c]["queues"] + Q_SENT) >> 1


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


@rare
def hold_again(k: Tables, p: int, r: int) -> None:
    """Process `p` has request `r` in its hand after all, with what it runs on then."""
    process = k.process[p]
    process["request"] = r
    if r != NONE and process["passive"] != 0:
        run_on(k, p, k.operation[k.request[r]["operation"]]["context"])
