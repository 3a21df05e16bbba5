"""Rings between a client and servers, from Python: made before they are used; `core.shared` says what they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from grafting.diagnostics import fail
from kernel_model.core import direct, tables
from kernel_model.core.tables import NONE
from kernel_model.handles import Client, Server

if TYPE_CHECKING:
    from kernel_model.kernel import Kernel

PS = 1000


def connect(kernel: Kernel, client: Client, servers: Sequence[Server], poll_ns: float) -> None:
    """Let `client` share a ring with each of `servers`; see `Kernel.connect`."""
    if poll_ns < 0:
        raise fail("G0801", f"rings that are polled for {poll_ns} ns")
    for server in servers:
        _check(kernel, client, server)
    # --- commit ---
    for server in servers:
        _share(kernel, client.row, server)
        kernel.tables.process[server.row]["behaviour"] = tables.B_ANSWERING
        for row in (client.row, server.row):
            _polls(kernel, row, round(poll_ns * PS))
    _find_the_lonely(kernel)


def _check(kernel: Kernel, client: Client, server: Server) -> None:
    row = kernel.tables.process[server.row]
    if row["behaviour"] not in (tables.B_SERVER, tables.B_ANSWERING) or row["answers"] != NONE:
        raise fail("G0801", f"`{server.name}` takes no requests from a ring",
                   notes=("plain servers do, hosts of grafts and servers with a table of answers do not",))  # fmt: skip
    if row["passive"]:
        raise fail("G0801", f"`{server.name}` is passive",
                   notes=("it runs on the time that comes with a call, and with a ring comes none",))  # fmt: skip
    rings = kernel.tables.ring[: kernel.storage.used["ring"]]
    if ((rings["client"] == client.row) & (rings["server"] == server.row)).any():
        raise fail("G0801", f"`{client.name}` and `{server.name}` share a ring already")


def _share(kernel: Kernel, client: int, server: Server) -> None:
    storage = kernel.storage
    room = max(1, int(kernel.tables.endpoint[server.endpoint.row]["capacity"]))
    x = storage.add(
        "ring", client=client, server=server.row, next_of_client=NONE, next_of_server=NONE, alive=1, capacity=room,
        queues=storage.queues(tables.RING_QUEUES), server_wants=1,
    )  # fmt: skip
    _append(kernel, client, x, "next_of_client")
    _append(kernel, server.row, x, "next_of_server")


def _append(kernel: Kernel, process: int, x: int, link: str) -> None:
    """Put ring `x` behind the rings of a process, which gets its side of rings with the first."""
    row = kernel.tables.process[process]
    if row["side"] == NONE:
        row["side"] = kernel.storage.add("side", first=x, looks_at=x, puts_into=x)
    side = kernel.tables.side[row["side"]]
    side["count"] += 1
    last = int(side["first"])
    while last != x and kernel.tables.ring[last][link] != NONE:
        last = int(kernel.tables.ring[last][link])
    if last != x:
        kernel.tables.ring[last][link] = x


def _polls(kernel: Kernel, process: int, patience: int) -> None:
    side = kernel.tables.side[kernel.tables.process[process]["side"]]
    side["patience"] = max(int(side["patience"]), patience)
    side["window"] = side["patience"] // direct.SHARES


def _find_the_lonely(kernel: Kernel) -> None:
    """Say of each process with rings whether it is the only one on its core: only then it may spin."""
    processes = kernel.tables.process[: kernel.storage.used["process"]]
    sharing = processes[processes["side"] != NONE]
    cores = np.bincount(sharing["core"], minlength=kernel.cores)
    kernel.tables.side["alone"][sharing["side"]] = cores[sharing["core"]] == 1
