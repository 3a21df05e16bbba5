"""Linked requests for Python processes (`hosting`): what a generator yields to submit chains. See `core.links`.

status = yield chain(
    message(disk, 0, b"...", tag=1, flags=LINK),                     # read, and if that succeeds
    message(disk, 1, tag=2, flags=LINK, source=0),                   # write what was read, unless it takes longer
    guard(2_000, tag=3),                                             # than 2 us
)                                                                    # 0, or -EAGAIN: no room for completions
done = yield wait(3)                                                 # a completion for each entry
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kernel_model.core import links, lists, pools, tables
from kernel_model.core.capabilities import address
from kernel_model.core.links import DRAIN, HARDLINK, LINK, SKIP
from kernel_model.core.tables import NONE

if TYPE_CHECKING:
    from kernel_model.handles import Endpoint, Server
    from kernel_model.kernel import Kernel

__all__ = ["DRAIN", "HARDLINK", "LINK", "SKIP", "Chain", "Entry", "chain", "guard", "message", "nop", "timeout"]

PS = 1000
SIGN = 1 << 63


@dataclass(frozen=True, slots=True)
class Entry:
    """One linked request.

    `kind`: of `core.links`, or any other number for an entry that cannot be submitted. `want`: bytes that the reply
    must have, else it is a short transfer. `source`: the number of the earlier entry of this submission whose reply is
    the body (`take` bytes of it from `at` on; None: all). `status` of a NOP: 0 or a negated errno; `ns` of a timeout.
    """

    kind: int
    tag: int
    flags: int = 0
    to: Endpoint | Server | None = None
    op: int = 0
    body: bytes = b""
    want: int = 0
    source: int | None = None
    at: int = 0
    take: int | None = None
    status: int = 0
    ns: int = 0


@dataclass(frozen=True, slots=True)
class Chain:
    """Submit entries, in order; yields 0 or -EAGAIN."""

    entries: tuple[Entry, ...]


def chain(*entries: Entry) -> Chain:
    """Submit entries in one system call."""
    return Chain(entries)


def message(
    to: Endpoint | Server,
    op: int = 0,
    body: bytes = b"",
    *,
    tag: int,
    flags: int = 0,
    want: int = 0,
    source: int | None = None,
    at: int = 0,
    take: int | None = None,
) -> Entry:
    """A request to an endpoint."""
    return Entry(links.MESSAGE, tag, flags, to, op, body, want, source, at, take)


def nop(*, tag: int, status: int = 0, flags: int = 0) -> Entry:
    """An entry that does nothing and ends with this status."""
    return Entry(links.NOP, tag, flags, status=status)


def timeout(ns: int, *, tag: int, flags: int = 0) -> Entry:
    """An entry that ends `timed_out` after a time, which is a failure."""
    return Entry(links.TIMEOUT, tag, flags, ns=ns)


def guard(ns: int, *, tag: int, flags: int = 0) -> Entry:
    """An entry that cancels the one before it after a time (LINK_TIMEOUT)."""
    return Entry(links.LINK_TIMEOUT, tag, flags, ns=ns)


def draft(kernel: Kernel, process: int, entries: tuple[Entry, ...]) -> None:
    """Write entries as drafts of a process."""
    kernel.storage.let_chain(process)
    rows: list[int] = []
    for entry in entries:
        c = NONE if entry.to is None else kernel.capability(entry.to, process)
        k = kernel.tables  # a new capability may have made its table grow
        r = pools.take_request(k)
        rows.append(r)
        block = pools.take_body(k, len(entry.body))
        memoryview(k.arena)[block : block + len(entry.body)] = entry.body
        tag = entry.tag & (2 * SIGN - 1)
        fields = {
            "op": entry.op, "tag": tag - 2 * SIGN if tag >= SIGN else tag, "kind": entry.kind,
            "flags": entry.flags, "want": entry.want, "status": entry.status, "deadline": entry.ns * PS,
            "body": block, "length": len(entry.body), "room": pools.room_for(len(entry.body)),
            "source": NONE if entry.source is None else rows[entry.source], "at": entry.at,
            "take": NONE if entry.take is None else entry.take,
        }  # fmt: skip
        for name, value in fields.items():
            k.request[r][name] = value
        if c != NONE:
            address(k, r, c)
        lists.append(k, int(k.process[process]["queues"]) + tables.Q_DRAFTS, k.request, r)
