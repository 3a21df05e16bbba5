"""What a receiver does with its reply right: it replies, or passes the request on.

The right is one-shot. It stands in its holder's hand (`process.request`) or is a capability of its own
(`capabilities.make_right`), which may travel; either way the first who uses it up ends the request, or sends it along
its route.
"""

from __future__ import annotations

from typing import Final

from jit.hot import hot, inlined, rare
from kernel_model.core.billing import charge_transfer, payer, trace
from kernel_model.core.lists import pop
from kernel_model.core.parcels import drop_draft, drop_parcel, move_capabilities, pack
from kernel_model.core.pools import give_body, replace_body
from kernel_model.core.promises import dispatch
from kernel_model.core.requests import finish, send_through
from kernel_model.core.routes import is_routed, route_on
from kernel_model.core.tables import ERROR, NONE, R_WORK, REPLIED, X_REPLY, Tables

DONE: Final = 0


@hot
def reply(k: Tables, p: int, r: int) -> None:
    """Process `p` uses up its reply right to `r`; status, body and parcel stand in its record (`reply_*`)."""
    process, request = k.process[p], k.request[r]
    status = process["reply_status"]
    replace_body(k, r, process["reply_body"], process["reply_length"], process["reply_room"])
    process["reply_room"] = 0
    carry_back(k, p, r)
    request["holder"] = NONE
    trace(k, X_REPLY, p, request["operation"], request["tag"], status)
    if k.operation[request["operation"]]["completed"] == 0:
        charge_transfer(k, payer(k, request["process"]), request["length"])
    if status == 0 and is_routed(k, r):
        route_on(k, r)
    else:
        finish(k, r, REPLIED if status == 0 else ERROR, status)


@hot
def carry_back(k: Tables, p: int, r: int) -> None:
    """Let request `r` carry what the reply of process `p` names, in place of what came with it."""
    process = k.process[p]
    x = process["reply_parcel"]
    if x == NONE and k.request[r]["parcel"] == NONE:
        return
    process["reply_parcel"] = NONE
    if x != NONE:
        pack(k, p, x, payer(k, p))
    move_capabilities(k, x, r)
    drop_parcel(k, x)


@inlined
def forget_reply(k: Tables, p: int) -> None:
    """Free what is left of a reply that nobody got, if that is anything."""
    if k.process[p]["reply_room"] != 0 or k.process[p]["reply_parcel"] != NONE:
        free_reply(k, p)


@rare
def free_reply(k: Tables, p: int) -> None:
    """Free the body and the parcel of a reply."""
    process = k.process[p]
    give_body(k, process["reply_body"], process["reply_room"])
    process["reply_room"] = 0
    drop_parcel(k, process["reply_parcel"])
    process["reply_parcel"] = NONE


@hot
def forward(k: Tables, r: int, draft: int) -> None:
    """Send the received request `r` on, with its reply right, as `draft` says; at a full endpoint it waits for room.

    It does not overtake what waits at the same capability for an argument.
    """
    request, new = k.request[r], k.request[draft]
    c = new["capability"]
    request["holder"] = NONE
    request["state"] = R_WORK
    request["endpoint"] = k.capability[c]["endpoint"]
    request["badge"] = k.capability[c]["badge"]
    send_through(k, r, c)
    adopt(k, r, draft)
    dispatch(k, r)


@hot
def adopt(k: Tables, r: int, draft: int) -> None:
    """Give request `r` what `draft` asks for, and free the draft."""
    request, new = k.request[r], k.request[draft]
    request["op"] = new["op"]
    request["tag"] = new["tag"]
    replace_body(k, r, new["body"], new["length"], new["room"])
    new["room"] = 0
    if new["parcel"] != NONE or request["parcel"] != NONE:
        move_capabilities(k, new["parcel"], r)
    drop_draft(k, draft)


@hot
def discard_drafts(k: Tables, queue: int) -> None:
    """Free all drafts of a queue."""
    r = pop(k, queue, k.request)
    while r != NONE:
        drop_draft(k, r)
        r = pop(k, queue, k.request)
