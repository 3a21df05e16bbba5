"""The model whose speed is measured: clients that each follow a chain of blocks through servers at one endpoint.

256 clients, 16 servers, 4 requests an operation, replies of 512 bytes, the handler of `CHASE` in the client (`call`) or
in the kernel (`graft`). Every answer is checked: it must be the last block of the chain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

import verifier
from grafting import compile_graft
from jit.hot import TierName
from kernel_model import Client, Jobs, Kernel

Mechanism = Literal["call", "graft"]
Engine = Literal["interpreted", "native"]

CHASE = """
graft chase

protocol block {
    op read(index: u64) -> Block
}

cap disk: block

struct Block {
    next: u64,
    number: u64,
}

on reply(msg) from disk.read budget 60 insns, 1 send {
    let block = msg.reply else { return deliver }
    if block.next == 0 { return deliver }
    send disk.read(block.next) tag msg.tag else { return deliver }
    return consume
}
"""


@dataclass(frozen=True, slots=True)
class Shape:
    """How many there are of everything; times in ns. `cores` > 1: the servers are spread over all but the first."""

    clients: int = 256
    servers: int = 16
    hops: int = 4
    block: int = 512
    service_ns: int = 200
    device_ns: int = 0
    cores: int = 1


def chain(hops: int, block: int) -> bytes:
    """Return `hops` blocks: each names the next in its first word, the last names 0; its number stands behind."""
    blocks = np.zeros((hops, block // 8), np.uint64)
    blocks[:, 0] = [*range(1, hops), 0]
    blocks[:, 1] = np.arange(hops)
    return blocks.tobytes()


class Population:
    """One kernel with everything in place; `start` it, then run the kernel."""

    def __init__(
        self, shape: Shape, mechanism: Mechanism, operations: int, *, engine: Engine, tier: TierName = "numba"
    ) -> None:
        self.shape, self.operations = shape, operations
        self.kernel = Kernel("sel4-skylake", engine=tier, cores=shape.cores)
        image = chain(shape.hops, shape.block)
        first = None
        self.clients: list[Client] = [self.kernel.client(f"client{number}") for number in range(shape.clients)]
        for number in range(shape.servers):
            server = self.kernel.server(
                f"server{number}",
                endpoint=first,
                image=image,
                block=shape.block,
                service_ns=shape.service_ns,
                device_ns=shape.device_ns,
                capacity=2 * shape.clients,
                core=0 if shape.cores == 1 else 1 + number % (shape.cores - 1),
            )
            first = server.endpoint
        assert first is not None
        verified = verifier.verify(compile_graft(CHASE))
        put = self.kernel.attach if mechanism == "graft" else self.kernel.load
        self.jobs: list[Jobs] = []
        for client in self.clients:
            put(verified, to=client, slots={"disk": first}, engine=engine)
            self.jobs.append(self.kernel.jobs(client, slot=first, bodies=bytes(8), count=operations))
        self.kernel.run()

    @property
    def hops(self) -> int:
        """Requests answered in the whole run."""
        return self.shape.clients * self.operations * self.shape.hops

    def start(self) -> None:
        """Let the clients begin."""
        for client in self.clients:
            client.run("call")

    def finished(self) -> list[list[int]]:
        """Return when each client's operations ended, ps, having checked every answer."""
        words = self.kernel.arena.view(np.uint64)
        for jobs in self.jobs:
            rows = jobs.results()
            assert (rows["outcome"] == 0).all()
            assert (rows["length"] == self.shape.block).all()
            assert (words[rows["body"] // 8 + 1] == self.shape.hops - 1).all()
        return [jobs.results()["finished"].tolist() for jobs in self.jobs]
