"""Room: places at endpoints, and among the completions of a process. What is asked here is reserved by the asker.

Endpoint: `queued + reserved < capacity + waiting receivers`. An asynchronous send that finds no place is told EAGAIN;
a call waits, and comes before everything that is sent after it: as soon as it is on its way (`announced`) no place is
free for others. So messages on one capability are received in the order of their commits, whoever sent them and however
full the endpoint was (E-order).
"""

from __future__ import annotations

from jit.hot import hot
from kernel_model.core.lists import first
from kernel_model.core.tables import NONE, Q_CALLERS, Tables

RESERVED, ANNOUNCED = 1, 2  # field `place` of a request


@hot
def has_place(k: Tables, e: int) -> bool:
    """Whether endpoint `e` can take one more message: into its queue, or at once to a waiting receiver.

    A place for which a call waits is not free: what is sent later may not overtake it.
    """
    endpoint = k.endpoint[e]
    return has_free_place(k, e) and endpoint["announced"] == 0 and first(k, endpoint["queues"] + Q_CALLERS) == NONE


@hot
def has_free_place(k: Tables, e: int) -> bool:
    """Whether a place at endpoint `e` is free, perhaps for a call that waits for one."""
    endpoint = k.endpoint[e]
    return bool(endpoint["queued"] + endpoint["reserved"] < endpoint["capacity"] + endpoint["waiting"])


@hot
def has_completion(k: Tables, p: int) -> bool:
    """Whether process `p` has room for one more completion."""
    process = k.process[p]
    return bool(process["cq_posted"] + process["cq_reserved"] < process["cq_capacity"])


@hot
def reserve_place(k: Tables, r: int) -> None:
    """Reserve a place at the endpoint of request `r`, which has one."""
    k.request[r]["place"] = RESERVED
    k.endpoint[k.request[r]["endpoint"]]["reserved"] += 1


@hot
def announce_arrival(k: Tables, r: int) -> None:
    """Request `r` is about to arrive: it takes a place, or whatever is sent from now on comes after it."""
    request = k.request[r]
    if request["place"] != 0:
        return
    if has_place(k, request["endpoint"]):
        reserve_place(k, r)
    else:
        request["place"] = ANNOUNCED
        k.endpoint[request["endpoint"]]["announced"] += 1


@hot
def release_place(k: Tables, r: int) -> None:
    """Give up the place that request `r` has reserved, or let others pass it, whichever it has."""
    request = k.request[r]
    if request["place"] == RESERVED:
        k.endpoint[request["endpoint"]]["reserved"] -= 1
    elif request["place"] == ANNOUNCED:
        k.endpoint[request["endpoint"]]["announced"] -= 1
    request["place"] = 0
