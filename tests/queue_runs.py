"""Grafts of `samples/queues` in the simulated kernel, on the same entries as the references of `references.py`.

Every thread of a server has a core of its own and nothing but its work costs time, so an operation ends in both at the
same picosecond. What a request costs at its server, and how it ends there, stands in the first word of its body.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from references import End, Entry

import grafting
import verifier
from jit.hot import TierName
from kernel_model import Attachment, Client, Endpoint, Jobs, Kernel, Process
from kernel_model.hosting import Script, compute, receive, reply

QUEUES = Path(__file__).resolve().parents[1] / "samples" / "queues"
REPLICAS = ("first", "second", "third")
ERROR, SHORT, FAULT = (
    1 << 40,
    1 << 41,
    1 << 42,
)  # in the first word of a body, whose low half is the work in ns; FAULT << n: at replica n only
PS = 1000


@cache
def sample(name: str) -> verifier.Verified:
    """Return a graft of `samples/queues`, verified."""
    return verifier.verify(grafting.compile_graft((QUEUES / f"{name}.graft").read_text(), filename=f"{name}.graft"))


def order(entry: Entry) -> int:
    """Return the word that tells a server what becomes of an entry."""
    faults = sum(FAULT << REPLICAS.index(name) for name in entry.faults)
    return entry.work | (ERROR if entry.status else 0) | (SHORT if entry.short else 0) | faults


def worker(name: str, answer: Callable[[int], bytes], slower: int) -> Callable[[Kernel, Process], Script]:
    """Return a server that works and ends each request as its first word says; `answer` gives the body of a reply."""
    failing = ERROR | (FAULT << REPLICAS.index(name) if name in REPLICAS else 0)

    def program(_kernel: Kernel, _me: Process) -> Script:
        request = yield receive()
        while True:
            word = int.from_bytes(request.body[:8], "little") if request is not None else 0
            if request is not None:
                yield compute(slower * (word & 0xFFFF_FFFF))
            body = answer(request.op if request is not None else 0)
            request = yield reply(body[: len(body) // 2] if word & SHORT else body, status=-5 if word & failing else 0)

    return program


@dataclass(slots=True)
class Bench:
    """A kernel with a client, its graft and servers."""

    kernel: Kernel
    client: Client
    graft: Attachment
    endpoints: Mapping[str, Endpoint]

    def run(
        self,
        entries: Sequence[Entry],
        *,
        tag: Callable[[Entry], int] = lambda entry: entry.tag,
        body: Callable[[Entry], bytes] = lambda entry: order(entry).to_bytes(8, "little").ljust(entry.size, b"-"),
        op: Callable[[Entry], int] = lambda entry: 0,
        depth: int = 64,
    ) -> dict[int, End]:
        """Submit the entries, those of one time in one batch; return the ends by their own tags."""
        jobs: list[Jobs] = [
            self.kernel.jobs(
                self.client, slot=self.endpoints[entry.station], op=op(entry), bodies=body(entry), count=1,
                tags=np.array([tag(entry)], np.uint64), arrivals_ns=np.array([entry.at]),
            )
            for entry in entries
        ]  # fmt: skip
        self.client.run("submit", depth, batch=True)
        self.kernel.run()
        found = {}
        for entry, job in zip(entries, jobs, strict=True):
            (row,) = job.results()
            found[entry.tag] = End(int(row["status"]), int(row["finished"]) // PS)
        return found


def bench(
    name: str,
    stations: Sequence[str],
    *,
    idle: Sequence[str] = (),
    answer: Callable[[int], bytes] = lambda op: bytes(32),
    slower: Mapping[str, int] = MappingProxyType({}),
    threads: int = 1,
    tier: TierName = "python",
    place: Literal["kernel", "library"] = "kernel",
    engine: Literal["interpreted", "native"] = "interpreted",
    **options: Any,
) -> Bench:
    """Return a bench with a server of so many threads behind each slot of `stations`, and nobody behind `idle`.

    `place`: where the handlers run. `options` are the kernel's; without them it is free.
    """
    kernel = Kernel(engine=tier, cores=1 + threads * len(stations), trace=True, **(options or {"prices": {}}))
    client = kernel.client("app", completions=64)
    endpoints: dict[str, Endpoint] = {}
    for number, slot in enumerate(stations, 1):
        endpoints[slot] = kernel.endpoint(slot, 64)
        program = worker(slot, answer, slower.get(slot, 1))
        for thread in range(threads):
            core = number + thread * len(stations)
            kernel.process(f"server {slot}{thread or ''}", program, endpoint=endpoints[slot], core=core)
    for slot in idle:
        endpoints[slot] = kernel.endpoint(slot, 64)
    put = kernel.attach if place == "kernel" else kernel.load
    graft = put(sample(name), to=client, slots=endpoints, engine=engine)
    return Bench(kernel, client, graft, endpoints)


def canceled(ends: Mapping[int, End]) -> dict[int, End]:
    """Return the ends with a deadline that has passed told as io_uring tells it."""
    return {tag: replace(end, status=-125) if end.status == -110 else end for tag, end in ends.items()}
