"""Submissions: what a client has written, its drafts, goes to the endpoints in order, by whoever takes it there.

That is the client's own system call, or a kernel thread that polls the clients' rings (`core.rings`). The clients with
something in their rings are lined up at their thread: a list by `next` of `polling`, from its `first` to its `last`.
"""

from __future__ import annotations

from typing import Final

from jit.hot import hot
from kernel_model.core.billing import charge, payer
from kernel_model.core.lists import first, pop, prepend
from kernel_model.core.operations import reject, submit
from kernel_model.core.ops import drain
from kernel_model.core.outcomes import stop_waiting
from kernel_model.core.prices import DISPATCH_SEND, IN_KERNEL
from kernel_model.core.tables import DEAD, EAGAIN, NONE, Q_DRAFTS, Q_REJECTS, WAITING, Tables

ONE: Final = 1
DONE: Final = 0
ASYNCHRONOUS: Final = 0


@hot
def submit_drafts(k: Tables, p: int, account: int) -> int:
    """Submit the drafts of process `p` in order, charged to `account`; bad ones go to the rejects.

    Return 0, or -EAGAIN at the first for which there is no room: it and the rest stay drafts.
    """
    queue = k.process[p]["queues"]
    while first(k, queue + Q_DRAFTS) != NONE:
        charge(k, account, IN_KERNEL, DISPATCH_SEND, ONE)
        r = pop(k, queue + Q_DRAFTS, k.request)
        status = submit(k, p, r, ASYNCHRONOUS)
        if status == -EAGAIN:
            prepend(k, queue + Q_DRAFTS, k.request, r)
            return status
        if status != DONE:
            reject(k, p, r, status)
        drain(k)
    return DONE


@hot
def line_up(k: Tables, poller: int, p: int) -> None:
    """Put client `p` at the end of the thread's list, unless it is there."""
    client, thread = k.polling[k.process[p]["polling"]], k.polling[k.process[poller]["polling"]]
    if client["pending"] != 0:
        return
    client["pending"] = 1
    client["next"] = NONE
    if thread["first"] == NONE:
        thread["first"] = p
    else:
        k.polling[k.process[thread["last"]]["polling"]]["next"] = p
    thread["last"] = p


@hot
def poll_rings(k: Tables, p: int) -> None:
    """SYS_POLL: submit what is in the rings of the clients that are lined up now; the thread pays for that."""
    thread = k.polling[k.process[p]["polling"]]
    last = thread["last"]
    q = NONE
    while q != last:
        q = thread["first"]
        client = k.polling[k.process[q]["polling"]]
        thread["first"] = client["next"]
        client["pending"] = 0
        if k.process[q]["state"] != DEAD:
            poll_ring(k, p, q)


@hot
def poll_ring(k: Tables, p: int, q: int) -> None:
    """Submit what is in the ring of client `q`; for what there is no room the thread comes back."""
    process = k.process[q]
    result = submit_drafts(k, q, payer(k, p))
    if result == -EAGAIN:
        line_up(k, p, q)
        k.process[p]["stage"] = 1
    if process["state"] == WAITING and first(k, process["queues"] + Q_REJECTS) != NONE:
        stop_waiting(k, q)
