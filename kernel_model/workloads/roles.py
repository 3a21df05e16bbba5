"""Who answers: the kinds of servers of a workload, and what each answers, in plain Python.

A `Role` is one kind of server: the graft's slot through which it is reached, what it does by operation number
(`kernel_model.serving`), its times and its failures. `answer` is the oracle: what a server of the role replies to a
request if nothing fails. The kernel model's servers (`core.servers`) do the same in compiled code; tests compare them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kernel_model.handles import Times
from kernel_model.serving import NO_FAULTS, Act, Faults, Read, Reply, Store

READ = 0  # operation number of reading, in all protocols that have it
WRITE = 1
ENOTSUP = 95


@dataclass(frozen=True, slots=True, eq=False)
class Role:
    """One kind of server. `name` is that of the graft's slot; a request is `service_ns` of work for it, and it sleeps
    `device_ns` in each."""

    name: str
    ops: Mapping[int, Act]
    service_ns: Times
    device_ns: Times = 0
    faults: Faults = NO_FAULTS

    def answer(self, op: int, body: bytes) -> Reply:
        """Return what a server of this role replies."""
        act = self.ops.get(op)
        return act.answer(body) if act else Reply(-ENOTSUP, b"")

    @property
    def reply_bytes(self) -> int:
        """The longest reply."""
        return max(act.reply_bytes for act in self.ops.values())


def blocks(image: bytes, block: int) -> Mapping[int, Act]:
    """Return what a server of an image of blocks does: it reads them."""
    return {READ: Read(Store(image, block))}
