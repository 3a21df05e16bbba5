"""Room: places at endpoints, and among the completions of a process. What is asked here is reserved by the asker.

Endpoint: `queued + reserved < capacity + waiting receivers`. An asynchronous send that finds no place is told EAGAIN;
a call waits, and comes before everything that is sent after it. So messages on one capability are received in the order
of their commits, whoever sent them and however full the endpoint was (E-order).
"""

from __future__ import annotations

from jit.hot import hot
from kernel_model.core.lists import first
from kernel_model.core.tables import NONE, Q_CALLERS, Tables


@hot
def has_place(k: Tables, e: int) -> bool:
    """Whether endpoint `e` can take one more message: into its queue, or at once to a waiting receiver.

    A place for which a call waits is not free: what is sent later may not overtake it.
    """
    return has_free_place(k, e) and first(k, k.endpoint[e]["queues"] + Q_CALLERS) == NONE


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
    k.request[r]["place"] = 1
    k.endpoint[k.request[r]["endpoint"]]["reserved"] += 1


@hot
def release_place(k: Tables, r: int) -> None:
    """Give up the reserved place of request `r`, if there is one."""
    request = k.request[r]
    if request["place"] != 0:
        request["place"] = 0
        k.endpoint[request["endpoint"]]["reserved"] -= 1
