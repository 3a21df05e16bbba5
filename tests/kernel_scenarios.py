"""Random scenarios: processes, scripts, jobs and grafts of every kind, drawn from one number."""

from __future__ import annotations

import random
from typing import Any, Literal

import numpy as np
from kernel_brokers import add_brokers
from kernel_rivals import add_rivals
from kernels import ARM_TIMER, CHASE, CONSUME, DELIVER, chain_image, verified
from random_chains import chain_process, chaining

import verifier
from jit.hot import TierName
from kernel_model import Attachment, Client, Context, Endpoint, Exponential, Kernel, Process, Server, Uniform
from kernel_model.costs import Cache
from kernel_model.groups import Recording
from kernel_model.hosting import Call, Cancel, Compute, Jump, Receive, Reply, Row, Sleep, Submit, Think, Wait
from kernel_model.serving import Append, Faults, Read, Store, Write

ANSWER = """
    r1 = 0
    r2 = r10
    r2 += -8
    r3 = 8
    *(u64 *)(r10 - 8) = r3
    call 1003
    r0 = 1
    exit
"""
HOLD_ODD = """
    r6 = *(u64 *)(r1 + 16)
    r7 = r6
    r7 &= 1
    if r7 != 0 goto hold
    r1 = r6
    r1 -= 1
    r2 = 0
    call 1006
    r0 = 0
    exit
hold:
    r0 = 1
    exit
"""
RETRY = """
    r3 = *(u64 *)(r1 + 16)
    r9 = 0
    *(u64 *)(r10 - 8) = r9
    r1 = 0
    r2 = 0
    r4 = r10
    r4 += -8
    r5 = 8
    call 1000
    r0 = 0
    exit
"""
DROP = "r0 = 2\nexit"
CONSUME_ODD = """
    r6 = *(u64 *)(r1 + 16)
    r0 = r6
    r0 &= 1
    if r0 == 0 goto out
    r1 = 0
    r2 = 0
    r3 = r6
    r4 = r10
    r4 += -8
    r5 = 8
    r0 = 0
    *(u64 *)(r10 - 8) = r0
    call 1000
    r0 = 3
out:
    exit
"""
GRAFTS: tuple[dict[str, str], ...] = (
    {"reply/disk.read": CHASE},
    {"reply/disk.read": CHASE, "failure": ARM_TIMER, "timer": RETRY},
    {"reply": CONSUME, "failure": DELIVER},
    {"reply/disk.read": ARM_TIMER, "timer": RETRY, "reply": DELIVER},
    {"reply/disk.read": RETRY},
    {"submit": HOLD_ODD, "reply/disk.read": CHASE},
    {"submit": CONSUME_ODD, "reply/disk.read": CHASE},
)
KERNEL_ONLY: tuple[dict[str, str], ...] = (
    {"submit": DROP},
    {"request": ANSWER},
    {"request": DROP},
)
ENGINES: tuple[Literal["interpreted", "native"], ...] = ("interpreted", "native")
CACHES: tuple[Literal["hot"] | Cache, ...] = ("hot", Cache(2048, 64, 512), Cache(4096, 64, 1000))
VERIFIED: dict[int, verifier.Verified] = {}
PRICES = {
    "entry": 0.03, "exit": 0.02, "switch": 0.05, "schedule": 0.01, "dispatch_call": 0.1, "interrupt": 0.2, "ipi": 0.3,
    "notify": 0.04, "dispatch_send": 0.07, "dispatch_receive": 0.02, "dispatch_reply": 0.03, "activate": 0.02,
    "reap": 0.01, "prepare": 0.02, "interpreted_alu": 0.001, "refill_line": 0.004,
}  # fmt: skip


def proved(number: int) -> verifier.Verified:
    if number not in VERIFIED:
        VERIFIED[number] = verified((*GRAFTS, *KERNEL_ONLY)[number])
    return VERIFIED[number]


class Scenario:
    """One model, built by the draws of `seed`; equal seeds build equal models in both tiers."""

    def __init__(self, seed: int, engine: TierName, *, profile: str | None = None, caches: Cache | None = None) -> None:
        self.draw = random.Random(seed)
        self.cores = self.draw.choice((1, 1, 2, 3))
        self.kernel = Kernel(
            profile or "sel4-skylake",
            seed=seed,
            engine=engine,
            cores=self.cores,
            charge=self.draw.choice(("current", "metered", "switched")),
            activation=self.draw.choice(("eager", "eager", "deferred", "auto", "auto", "off")),
            locks=self.draw.choice(("one", "core")),
            eager_ns=self.draw.choice((5_000, 5_000, 1)),
            fuel_ns=self.draw.choice((1_000_000, 1_000_000, 3_000)),
            caches=caches or random.Random(f"caches {seed}").choice(CACHES),
            prices=None if profile or self.draw.random() < 0.5 else {k: 1000 * v for k, v in PRICES.items()},
            trace=True,
        )
        self.servers: list[Server] = []
        self.recorded: list[Recording] = []
        self.endpoints: list[Endpoint] = []
        self.contexts: list[Context] = []
        if self.draw.random() < 0.4:
            self.contexts = [self._context() for _ in range(self.draw.randint(1, 3))]
        self.poller: Process | None = None
        self._servers()
        self._scripts()
        self.grafts: list[Attachment] = []
        if self.draw.random() < 0.4:
            chain_process(self.kernel, chaining(self.draw, self.endpoints), **self.place())
        self.clients = [self._client(i) for i in range(self.draw.randint(1, 3))]
        if seed % 3 == 0:
            add_brokers(self.kernel, seed, self.endpoints, self.cores)
        if seed % 3 == 1:
            add_rivals(self.kernel, seed, self.endpoints, self.cores, proved)

    def place(self) -> dict[str, int]:
        return {"core": self.draw.randrange(self.cores), "priority": self.draw.choice((7, 8, 8, 9))}

    def _context(self) -> Context:
        period = self.draw.choice((500, 1_000, 4_000))
        return self.kernel.context(period * self.draw.choice((0.2, 0.5, 1.0)), period)

    def runs_on(self, *, passive: bool = False) -> dict[str, Any]:
        """Perhaps a scheduling context, perhaps only what others lend."""
        if self.contexts and passive and self.draw.random() < 0.4:
            return {"passive": True}
        return {"context": self.draw.choice(self.contexts)} if self.contexts and self.draw.random() < 0.6 else {}

    def _servers(self) -> None:
        chain = Store(chain_image(self.draw.randint(1, 6)), 64)
        log = Store(bytes(64 * 6), 64)
        for number in range(self.draw.randint(1, 3)):
            shared = self.endpoints[-1] if self.endpoints and self.draw.random() < 0.4 else None
            server = self.kernel.server(
                f"server{number}",
                endpoint=shared,
                ops={0: self.draw.choice((Read(chain), Read(chain), Read(chain), Append(log, b"ack"), Write(chain)))},
                faults=self.draw.choice((Faults(), Faults(), Faults(failed=0.2, short=0.2, short_bytes=4))),
                service_ns=self.draw.choice((100, Exponential(300), Uniform(10, 500))),
                device_ns=self.draw.choice((0, 0, 900)),
                capacity=self.draw.choice((0, 1, 2, 8)),
                **self.place(),
                **self.runs_on(passive=True),
            )
            self.servers.append(server)
            self.endpoints.append(server.endpoint)
        own = self.kernel.endpoint("scripted", self.draw.choice((0, 1, 4)))
        rows: list[Row] = [
            Receive(),
            Think(Exponential(200)),
            Reply(b"12345678", self.draw.choice((0, -5)), True),
            Jump(1),
        ]
        self.kernel.script("scripted", rows, endpoint=own, **self.place(), **self.runs_on(passive=True))
        self.endpoints.append(own)

    def _scripts(self) -> None:
        for number in range(self.draw.randint(0, 2)):
            rows: list[Row] = [self._row() for _ in range(self.draw.randint(1, 8))]
            rows += [Compute(50), Jump(0, self.draw.randint(1, 3)), Wait(9, None)]
            self.kernel.script(f"script{number}", rows, completions=4, **self.place(), **self.runs_on())

    def _row(self) -> Row:
        to = self.draw.choice(self.endpoints)
        deadline = self.draw.choice((0, 0, 300, 2000))
        match self.draw.randrange(6):
            case 0:
                return Call(to, 0, bytes(8), 0, deadline)
            case 1 | 2:
                return Submit(to, 0, bytes(self.draw.choice((8, 0, 100))), 0, deadline)
            case 3:
                return Sleep(self.draw.randint(0, 500))
            case 4:
                return Cancel(self.draw.randint(1, 8))
            case _:
                return Wait(self.draw.randint(1, 3), None)

    def _client(self, number: int) -> Client:
        completions = self.draw.choice((4, 16))
        client = self.kernel.client(f"client{number}", completions=completions, **self.place(), **self.runs_on())
        at = {"disk": self.draw.choice(self.endpoints)}
        kind = self.draw.choice(("none", "attach", "attach", "load", "kernel only", "hosted"))
        if kind == "attach":
            graft = proved(self.draw.randrange(len(GRAFTS)))
            ticks = any(handler.event == "timer" for handler in graft.program.handlers) and self.draw.random() < 0.3
            every = {99: 10_000.0} if ticks else None
            engine = self.draw.choice(ENGINES)
            self.grafts.append(self.kernel.attach(graft, to=client, slots=at, engine=engine, every=every))
        elif kind == "hosted":
            host = self.kernel.host(f"host{number}", to=at["disk"], **self.place())
            graft = proved(self.draw.randrange(len(GRAFTS)))
            self.kernel.load(graft, to=host, slots=at, engine=self.draw.choice(ENGINES))
            at = {"disk": host.endpoint}
        elif kind == "load":
            graft = proved(self.draw.randrange(len(GRAFTS)))
            self.grafts.append(self.kernel.load(graft, to=client, slots=at, engine=self.draw.choice(ENGINES)))
        elif kind == "kernel only":
            graft = proved(len(GRAFTS) + self.draw.randrange(len(KERNEL_ONLY)))
            on_request = graft.program.handlers[0].event == "request"
            place = self.kernel.load if on_request and self.draw.random() < 0.5 else self.kernel.attach
            place(graft, to=self.draw.choice(self.servers) if on_request else client, slots=at,
                  engine=self.draw.choice(ENGINES))  # fmt: skip
        n = self.draw.randint(1, 12)
        arrivals = np.cumsum([self.draw.randint(0, 800) for _ in range(n)]) if self.draw.random() < 0.4 else None
        times: dict[str, Any] = {"think_ns": self.draw.choice((0, Exponential(100))),
                                 "prepare_ns": self.draw.choice((0, 20))}  # fmt: skip
        if self.draw.random() < 0.4:
            self.kernel.stream(
                client, slot=at["disk"], bodies=np.arange(3, dtype=np.uint64), operations=2 * n,
                interval_ns=self.draw.choice((None, Exponential(500))), in_flight=self.draw.randint(1, 3), **times,
            )  # fmt: skip
            self.recorded.append(self.kernel.record(client, after_ns=self.draw.choice((0, 1000))))
        else:
            self.kernel.jobs(client, slot=at["disk"], bodies=bytes(8), count=n, arrivals_ns=arrivals,
                             patience_ns=self.draw.choice((None, None, 400)), **times)  # fmt: skip
        self._start(client)
        if self.kernel.cache and number == 0:
            self.kernel.working_set(client, 1 << 20)  # displaces all others
        return client

    def _start(self, client: Client) -> None:
        mode = self.draw.choice(("call", "submit", "rings", "polled", "direct"))
        if mode == "direct" and not self._share(client):
            mode = "rings"
        depth = 1 if mode == "call" else self.draw.randint(1, 4)
        batch = self.draw.random() < 0.5
        if mode in ("call", "submit"):
            client.run(mode, depth, batch=batch)
            return
        if mode == "polled" and self.poller is None:
            self.poller = self.kernel.poller(core=self.cores - 1, priority=7)
        client.run(mode, depth, wait=self.draw.randint(1, 3), poller=self.poller if mode == "polled" else None)

    def _share(self, client: Client) -> bool:
        """Let a client share rings with some servers that have time of their own; whether there is such a server."""
        active = [s for s in self.servers if not self.kernel.tables.process[s.row]["passive"]]
        chosen = self.draw.sample(active, self.draw.randint(min(1, len(active)), len(active)))
        self.kernel.connect(client, *chosen, poll_ns=self.draw.choice((0, 300, 2000)))
        return bool(chosen)

    def change(self, graft: Attachment) -> None:
        """Detach a graft, or replace it by itself."""
        if graft not in self.kernel.places.present[graft.process.row]:
            return  # its process is being killed
        self.grafts.remove(graft)
        if self.draw.random() < 0.5:
            self.kernel.detach(graft)
        else:
            self.grafts.append(self.kernel.replace(graft, graft.verified))

    def run(self) -> None:
        """Run in steps, with ends from outside in between, and let the kernel check its books after each."""
        for until in (700.0, 1500.0, 4000.0):
            self.kernel.run(until)
            if self.draw.random() < 0.3:
                names = list(self.kernel.processes)
                self.kernel.kill(self.kernel.processes[self.draw.choice(names)])
            if self.draw.random() < 0.2:
                self.kernel.revoke(self.draw.choice(self.endpoints))
            if self.grafts and self.draw.random() < 0.3:
                self.change(self.draw.choice(self.grafts))
        self.kernel.run(30_000.0)
