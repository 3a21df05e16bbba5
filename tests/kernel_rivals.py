"""Random servers and clients of the mechanisms without a graft in the kernel: servers that host one, servers that keep
a table of answers, with batches that are well formed or not, and clients whose requests name where replies go."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
from kernels import chain_image

from kernel_model import Endpoint, Kernel, Server
from kernel_model.core.pipelines import LITERAL, WHOLE
from kernel_model.core.tables import PLAN_ROUTE
from kernel_model.handles import Exponential
from kernel_model.planning import give_plan
from kernel_model.serving import Faults, Read, Store
from kernel_model.workloads.plan import Literal, Plan, Step, Whole
from verifier import Verified


class Rivals:
    """Adds them to a kernel; equal seeds add equal ones. `graft` returns some graft of a client's events."""

    def __init__(
        self, kernel: Kernel, seed: int, endpoints: list[Endpoint], cores: int, graft: Callable[[int], Verified]
    ) -> None:
        self.kernel = kernel
        self.draw = random.Random(seed)
        self.endpoints = endpoints
        self.cores = cores
        self.graft = graft

    def place(self) -> dict[str, int]:
        return {"core": self.draw.randrange(self.cores), "priority": self.draw.choice((7, 8, 9))}

    def server(self, name: str, **how: Any) -> Server:
        return self.kernel.server(
            name,
            ops={0: Read(Store(chain_image(self.draw.randint(2, 5)), 64))},
            faults=self.draw.choice((Faults(), Faults(failed=0.2, short=0.2, short_bytes=4))),
            service_ns=self.draw.choice((100, Exponential(300))),
            device_ns=self.draw.choice((0, 0, 500)),
            capacity=self.draw.choice((0, 2, 8)),
            **self.place(),
            **how,
        )

    def hosting(self, passive: bool) -> None:
        """A client whose graft the server runs: it sends to that server, or to any other."""
        server = self.server("hosting", passive=passive)
        to = self.draw.choice((server.endpoint, *self.endpoints))
        self.kernel.host_in(server, to=to)
        self.kernel.load(self.graft(self.draw.randrange(7)), to=server, slots={"disk": to},
                         engine=self.draw.choice(("interpreted", "native")))  # fmt: skip
        budget = self.kernel.context(self.draw.choice((400, 2_000)), 4_000) if passive else None
        for number in range(self.draw.randint(1, 2)):
            client = self.kernel.client(f"guest{number}", context=budget, **self.place())
            self.kernel.jobs(client, slot=server, bodies=bytes(8), count=self.draw.randint(1, 6))
            client.run("call")

    def pipelining(self) -> None:
        """A client with batches for a server that keeps answers."""
        server = self.server("pipelining")
        self.kernel.keep_answers(server, 4)
        client = self.kernel.client("batcher", **self.place())
        self.kernel.jobs(client, slot=server, bodies=self.batch(), count=self.draw.randint(1, 4))
        client.run("call")

    def batch(self) -> bytes:
        """Up to five calls, each with an argument of its own or from any other answer; now and then cut short."""
        entries: list[tuple[int, ...]] = []
        for number in range(self.draw.choice((1, 2, 3, 4, 5))):
            if number == 0 or self.draw.random() < 0.3:
                entries.append((0, LITERAL, 0, 8, 0, 0))
                continue
            at, length = self.draw.choice(((0, 8), (0, 8), (8, 8), (0, WHOLE), (0, 99)))
            entries.append((0, self.draw.randrange(number + 1 if self.draw.random() < 0.1 else number), at, length))
        data = b"".join(word.to_bytes(4, "little") for entry in entries for word in entry)
        return data if self.draw.random() < 0.8 else data[: self.draw.randrange(len(data))]

    def routing(self) -> None:
        """A client whose requests say where the reply goes next."""
        servers = [self.server(f"leg{number}") for number in range(self.draw.randint(1, 2))]
        client = self.kernel.client("router", **self.place())
        count, hops = self.draw.randint(1, 5), self.draw.randint(1, 3)
        jobs = self.kernel.jobs(client, slot=servers[0], bodies=bytes(8), count=count)
        there = {"here": self.draw.choice((servers[0].endpoint, *self.endpoints)), "there": servers[-1].endpoint}
        steps = [Step(self.draw.choice(("here", "there")), 0, Whole(number)) for number in range(hops)]
        plan = Plan((Step("here", 0, Literal()), *steps), enough=hops + 1)
        columns = [np.zeros((count, 8), np.uint8)]
        give_plan(self.kernel, client, jobs, plan, columns, there, PLAN_ROUTE, (0,) * (hops + 1), (64,) * (hops + 1))
        client.run("call")


def add_rivals(
    kernel: Kernel, seed: int, endpoints: list[Endpoint], cores: int, graft: Callable[[int], Verified]
) -> None:
    """Add some of them."""
    rivals = Rivals(kernel, seed, endpoints, cores, graft)
    if rivals.draw.random() < 0.7:
        rivals.hosting(passive=rivals.draw.random() < 0.4)
    if rivals.draw.random() < 0.5:
        rivals.pipelining()
    if rivals.draw.random() < 0.5:
        rivals.routing()
