"""Agents: processes that run a graft in user mode for whoever calls them (`core.hosted`).

    host = kernel.host("proxy", to=disk)                  between clients and servers, with nothing of its own
    kernel.host_in(disk)                                  the server itself: what the graft sends it, it does
    kernel.load(verified, to=host, slots={"disk": disk})  in either

Whoever calls an agent has one operation of the graft done and is answered once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafting.diagnostics import fail
from kernel_model.core import tables
from kernel_model.core.tables import NONE
from kernel_model.handles import Endpoint, Server

if TYPE_CHECKING:
    from kernel_model.kernel import Kernel


def become_host(kernel: Kernel, row: int, to: Endpoint | Server) -> None:
    """Let process `row` run a graft for whoever calls it. What it receives it takes for a request to `to`."""
    capability = kernel.capability(to, row)
    job = kernel.storage.add("job", owner=row, capability=capability, map=NONE, result=NONE, next=NONE, stream=NONE)
    kernel.tables.job[job]["tag"] = job
    process = kernel.tables.process[row]
    process["behaviour"] = tables.B_HOSTED
    process["host_job"] = job


def host_in(kernel: Kernel, server: Server, to: Endpoint | Server | None) -> None:
    """Let a server be a host; see `Kernel.host_in`."""
    process = kernel.tables.process[server.row]
    fresh = process["behaviour"] == tables.B_SERVER and process["library"] == NONE and process["answers"] == NONE
    if not fresh or process["state"] != tables.PARKED:
        raise fail("G0801", f"`{server.name}` is no server, or has begun, or has a graft or a table of answers")
    become_host(kernel, server.row, to or server)
