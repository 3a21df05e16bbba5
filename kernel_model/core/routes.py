"""Routed replies: a request that says where its reply goes.

The sender lays down *legs*, each a capability of its own and an operation. A reply with status 0 does not go back: it
becomes the request of the next leg, its body (and what it carries) unchanged, at the sender's cost and on its behalf.
An error, and the reply of the last leg, go to the sender. It is one request all the way, with one reply right at a
time, one deadline, and one terminal status. A leg whose capability is of no use any more ends it `refused`; at a full
endpoint it waits for room like a call, for nobody could be told EAGAIN.

    client -> a -> b -> c -> client     4 messages, where three calls take 6
"""

from __future__ import annotations

from typing import Final

from jit.hot import hot, rare
from kernel_model.core.billing import charge, payer
from kernel_model.core.capabilities import holds, standing
from kernel_model.core.pools import give, parcel_of, take
from kernel_model.core.prices import IN_KERNEL, ROUTE
from kernel_model.core.promises import dispatch
from kernel_model.core.requests import finish, send_through
from kernel_model.core.tables import EBADF, NONE, P_LEG, REFUSED, Tables

ONE: Final = 1
DONE: Final = 0


@hot
def add_leg(k: Tables, r: int, c: int, op: int) -> None:
    """Append a leg to the route of draft `r`: through capability `c`, which its sender holds, as operation `op`."""
    leg = take(k, P_LEG, k.leg)
    row = k.leg[leg]
    row["next"] = NONE
    row["capability"] = c
    row["epoch"] = k.capability[c]["epoch"]
    row["op"] = op
    x = parcel_of(k, r)
    last = k.parcel[x]["route"]
    if last == NONE:
        k.parcel[x]["route"] = leg
        return
    while k.leg[last]["next"] != NONE:
        last = k.leg[last]["next"]
    k.leg[last]["next"] = leg


@hot
def check_route(k: Tables, p: int, x: int) -> int:
    """Return 0 if process `p` may send along the route in parcel `x`, else a negated errno."""
    leg = k.parcel[x]["route"]
    while leg != NONE:
        c = k.leg[leg]["capability"]
        if not holds(k, p, c) or k.capability[c]["epoch"] != k.leg[leg]["epoch"]:
            return -EBADF
        status = standing(k, c)
        if status < 0:
            return status
        leg = k.leg[leg]["next"]
    return DONE


@hot
def is_routed(k: Tables, r: int) -> bool:
    """Whether the reply to request `r` goes on."""
    x = k.request[r]["parcel"]
    return bool(x != NONE and k.parcel[x]["route"] != NONE)


@rare
def route_on(k: Tables, r: int) -> None:
    """Send the reply to request `r`, which it carries already, along the next leg."""
    request = k.request[r]
    parcel = k.parcel[request["parcel"]]
    leg = parcel["route"]
    row = k.leg[leg]
    c, op = row["capability"], row["op"]
    same = k.capability[c]["epoch"] == row["epoch"]
    parcel["route"] = row["next"]
    give(k, P_LEG, k.leg, leg)
    charge(k, payer(k, request["process"]), IN_KERNEL, ROUTE, ONE)
    if not same or standing(k, c) < 0 or standing(k, c) == REFUSED:
        finish(k, r, REFUSED, DONE)
        return
    request["op"] = op
    request["endpoint"] = k.capability[c]["endpoint"]
    request["badge"] = k.capability[c]["badge"]
    send_through(k, r, c)
    dispatch(k, r)
