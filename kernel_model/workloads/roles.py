"""Who answers: the kinds of servers of a workload, and what each answers, in plain Python.

A `Role` is one kind of server: the graft's slot through which it is reached, its data and its times. `answer` is the
oracle: what a server of the role replies to a request, from the bytes of its image alone. The kernel model's servers
(`core.servers`) do the same in compiled code; tests compare the two.
"""

from __future__ import annotations

from dataclasses import dataclass

from kernel_model.handles import Times
from kernel_model.workloads.plan import Reply

EINVAL = 22
INDEX_BYTES = 8
READ = 0


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """An image of blocks: operation 0 returns the block of a u64 index, -EINVAL if there is none."""

    image: bytes
    block_bytes: int

    def answer(self, op: int, body: bytes) -> Reply:
        """Return what a server with this image replies."""
        index = int.from_bytes(body[:INDEX_BYTES], "little")
        at = index * self.block_bytes
        if op != READ or len(body) < INDEX_BYTES or at + self.block_bytes > len(self.image):
            return Reply(-EINVAL, b"")
        return Reply(0, self.image[at : at + self.block_bytes])

    @property
    def reply_bytes(self) -> int:
        """The longest reply."""
        return self.block_bytes


Data = Blocks


@dataclass(frozen=True, slots=True, eq=False)
class Role:
    """One kind of server. `name` is that of the graft's slot; a request is `service_ns` of work for it, and it sleeps
    `device_ns` in each."""

    name: str
    data: Data
    service_ns: Times
    device_ns: Times = 0
