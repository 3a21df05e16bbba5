"""Wild kernels: every feature at once, with grafts whose handlers are random sequences of helper calls."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from kernel_brokers import Broker
from kernel_scenarios import PRICES
from machines import BLOCK, KV, WANTED, graft
from random_chains import chaining

import verifier
from grafting.diagnostics import GraftError
from grafting.program import SlotSpec
from jit.hot import TierName
from kernel_model import Attachment, Capability, Context, Endpoint, Exponential, Kernel, Process
from kernel_model.hosting import (
    REPLY_RIGHT,
    Action,
    Completion,
    DonorExhausted,
    Request,
    Script,
    call,
    compute,
    forward,
    keep,
    receive,
    reply,
    reply_to,
    submit,
    wait,
)

SLOTS = (SlotSpec("disk", BLOCK), SlotSpec("helper", BLOCK, grant=True), SlotSpec("later", BLOCK))
VERDICTS = {
    "submit": (0, 0, 0, 1, 2, 3), "reply": (0, 0, 1, 1), "failure": (0, 0, 1), "timer": (0,),
    "request": (0, 0, 0, 1, 2, 3, 4, 5),
}  # fmt: skip
GRAFTS = 150  # different ones
MADE: dict[int, verifier.Verified] = {}


# --- grafts -----------------------------------------------------------------------------------------------------------


def _arguments(draw: random.Random, bytes_: int) -> list[str]:
    """r1 .. r5 of a send of `bytes_` at the end of the stack."""
    tag = draw.choice(("r6", "r6", str(draw.randint(1, 5))))
    return [f"r1 = {draw.randrange(3)}", f"r2 = {draw.choice((0, 0, 1))}", f"r3 = {tag}", "r4 = r10",
            f"r4 += -{bytes_}", f"r5 = {bytes_}"]  # fmt: skip


def _send(draw: random.Random) -> list[str]:
    return [*_arguments(draw, 8), "call 1000"]


def _send_with(draw: random.Random) -> list[str]:
    caps = [draw.choice((1, 1, 0x80000000)) for _ in range(draw.choice((0, 0, 1, 2)))]
    promise = draw.choice((0xFFFFFFFF, 0xFFFFFFFF, 2))
    low, high = [*caps, 0, 0, 0, 0][:2], [*caps, 0, 0, 0, 0][2:4]
    words = (
        draw.choice((0, 0, 200, 900)),
        low[0] | low[1] << 32,
        high[0] | high[1] << 32,
        len(caps) | promise << 32,
        0,
    )
    lines = []
    for number, word in enumerate(words):
        lines += [f"r2 = {word} ll", f"*(u64 *)(r10 - {40 - 8 * number}) = r2"]
    return [*lines, *_arguments(draw, 40), "call 1002"]


def _timer(draw: random.Random) -> list[str]:
    id_ = draw.choice(("1", "2", "99", "r6"))
    return [f"r1 = {id_}", f"r2 = {draw.choice((0, 100, 700))}", "call 1004"]


def _others(draw: random.Random) -> list[str]:
    number = draw.choice((1005, 1006, 1006))
    lines = [f"r1 = {draw.choice(('1', '2', 'r6'))}", f"r2 = {draw.choice((0, 0, -5))}", f"call {number}"]
    return lines if draw.random() < 0.6 else ["if r8 > 2 goto +3", *lines]


def handler(draw: random.Random, event: str) -> str:
    lines = ["r6 = *(u64 *)(r1 + 16)", "r8 = r6", "r8 &= 3", "r9 = 0", "*(u64 *)(r10 - 8) = r9"]
    for _ in range(draw.choice((0, 1, 1, 2, 3))):
        lines += draw.choice((_send, _send, _send_with, _timer, _others))(draw)
    if event == "request" and draw.random() < 0.5:
        lines += ["r1 = 0", "r2 = r10", "r2 += -8", "r3 = 8", "call 1003"]
    one, other = draw.choice(VERDICTS[event]), draw.choice(VERDICTS[event])
    return "\n".join([*lines, f"r0 = {one}", "if r8 > 1 goto +1", f"r0 = {other}", "exit"])


def wild_graft(number: int) -> verifier.Verified:
    """A graft of one to four handlers; equal numbers give the same."""
    if number not in MADE:
        draw = random.Random(f"graft {number}")
        names = ["submit", "reply", "failure", "timer", "request"]
        handlers = {name: handler(draw, name) for name in draw.sample(names, draw.randint(1, 4))}
        MADE[number] = verifier.verify(graft(handlers, maps=(WANTED,), slots=SLOTS, serves=(KV,)))
    return MADE[number]


# --- processes --------------------------------------------------------------------------------------------------------


class Wild(Broker):
    """A broker that counts: what it submitted was told once, unless a graft had it."""

    def __init__(self, kernel: Kernel, seed: int, endpoints: list[Endpoint]) -> None:
        super().__init__(kernel, seed, endpoints)
        self.told: list[str] = []

    def client(self, _kernel: Kernel, me: Process) -> Script:
        own: list[Capability] = []
        slots = [self.kernel.slot(me) for _ in range(2)]
        for _ in range(self.draw.randint(5, 40)):
            action = self.next(me, own, slots)
            try:
                result = yield action
            except DonorExhausted:
                continue
            for one in result if isinstance(result, list) else [result]:
                if isinstance(one, Completion):
                    self.told.append(one.outcome)
                    own.extend(cap for cap in one.caps if cap)
                elif isinstance(one, Capability):
                    own.append(one)
        yield wait(99, timeout_ns=50_000)

    def held(self, me: Process, own: list[Capability]) -> list[Capability]:
        return [cap for cap in own if cap.exists and self.kernel.tables.capability[cap.row]["owner"] == me.row]

    def next(self, me: Process, own: list[Capability], slots: list[Capability]) -> Action:
        own = self.held(me, own)
        slots = self.held(me, slots)
        if self.draw.random() < 0.15:
            return self.draw.choice(chaining(self.draw, self.endpoints))
        return self.act(me, own, slots)

    def luggage(self, me: Process, own: list[Capability]) -> tuple[Capability, ...]:
        return super().luggage(me, self.held(me, own))

    def server(self, _kernel: Kernel, me: Process) -> Script:
        own: list[Capability] = []
        request: Any = None
        slots = [self.kernel.slot(me)]
        while True:
            try:
                if not isinstance(request, Request):
                    request = yield receive(slots=self.draw.randint(0, 2))
                    continue
                own = self.held(me, [*own, *(cap for cap in request.caps if cap)])
                yield compute(self.draw.randint(0, 200))
                request = yield from self.serve(me, own, slots, request)
            except DonorExhausted:
                request = None

    def serve(self, me: Process, own: list[Capability], slots: list[Capability], request: Request) -> Any:
        own = self.held(me, own)
        rights = [cap for cap in own if cap.kind == "reply"]
        match self.draw.randrange(11):
            case 0:
                kept = yield keep()
                if isinstance(kept, Capability):
                    own.append(kept)
                return (yield receive(slots=1))
            case 1 if rights:
                yield reply_to(self.draw.choice(rights), bytes(16), status=self.draw.choice((0, -3)))
            case 2 | 3:
                target = self.draw.choice([*self.endpoints, *(c for c in own if c.kind == "endpoint")])
                return (yield forward(target, 0, request.body, tag=request.tag))
            case 4:
                yield submit(self.draw.choice(self.endpoints), body=bytes(16), caps=(REPLY_RIGHT,), slots=1)
            case 5:
                return (yield reply(b"1234567", status=-5, slots=2))
            case 6:
                answer = yield call(
                    self.draw.choice(self.endpoints), body=bytes(8), deadline_ns=self.draw.choice((0, 500))
                )
                return (yield reply(answer.body if isinstance(answer, Completion) else b""))
            case 7:
                yield self.pipeline(me, own, self.held(me, slots))
            case 8:
                yield wait(2, timeout_ns=100)
            case _:
                return (yield reply(bytes(16), caps=self.luggage(me, own), slots=2))
        return None


# --- kernels ----------------------------------------------------------------------------------------------------------


class WildKernel:
    """A kernel with everything in it, by one number."""

    def __init__(self, seed: int, engine: TierName = "python") -> None:
        self.draw = draw = random.Random(f"wild {seed}")
        self.cores = draw.choice((1, 2, 2, 3))
        priced = draw.random()
        self.kernel = Kernel(
            "sel4-skylake", seed=seed, engine=engine, cores=self.cores,
            charge=draw.choice(("current", "metered", "metered", "switched")),
            activation=draw.choice(("eager", "eager", "deferred", "auto", "auto", "off")),
            locks=draw.choice(("one", "core")), eager_ns=draw.choice((5_000, 300, 100)),
            fuel_ns=draw.choice((100_000, 3_000, 700)), trace=True,
            prices=None if priced < 0.4 else {k: 1000 * v for k, v in PRICES.items()},
        )  # fmt: skip
        self.contexts: list[Context] = []
        if draw.random() < 0.5:
            self.contexts = [self.context() for _ in range(draw.randint(1, 3))]
        self.endpoints = [
            self.kernel.endpoint(f"door{n}", draw.choice((0, 1, 1, 2, 8))) for n in range(draw.randint(2, 4))
        ]
        self.grafts: list[Attachment] = []
        self.brokers: list[Wild] = []
        self.processes: list[Process] = []
        for number, door in enumerate(self.endpoints):
            for copy in range(draw.choice((1, 1, 1, 2))):
                if draw.random() < 0.4:
                    self.processes.append(self.kernel.server(
                        f"server{number}.{copy}", endpoint=door, reply=bytes(16), **self.place(), **self.runs_on(True),
                        service_ns=draw.choice((50, Exponential(200))), device_ns=draw.choice((0, 0, 300)),
                    ))  # fmt: skip
                else:
                    self.add(f"server{number}.{copy}", "server", endpoint=door)
        for number in range(draw.randint(1, 3)):
            self.add(f"user{number}", "client", completions=draw.choice((1, 2, 3, 12)))
        for number in range(draw.randint(1, 2)):
            self.client(number)
        for process in self.processes:
            for _ in range(draw.choice((0, 0, 1, 1, 2, 3))):
                self.attach(process)

    def context(self) -> Context:
        period = self.draw.choice((500, 1_000, 4_000))
        return self.kernel.context(period * self.draw.choice((0.3, 0.6, 1.0)), period)

    def place(self) -> dict[str, int]:
        return {"core": self.draw.randrange(self.cores), "priority": self.draw.choice((7, 8, 8, 9))}

    def runs_on(self, serves: bool) -> dict[str, Any]:
        chosen: dict[str, Any] = {}
        if self.contexts and self.draw.random() < 0.6:
            chosen["context"] = self.draw.choice(self.contexts)
        if serves and self.draw.random() < 0.4:
            chosen["passive"] = True
        return chosen

    def add(self, name: str, what: str, **options: Any) -> None:
        broker = Wild(self.kernel, self.draw.getrandbits(32), self.endpoints)
        program: Callable[..., Script] = getattr(broker, what)
        self.brokers.append(broker)
        options |= self.runs_on(what == "server")
        self.processes.append(self.kernel.process(name, program, **options, **self.place()))

    def client(self, number: int) -> None:
        """A client of the library."""
        client = self.kernel.client(f"client{number}", completions=self.draw.choice((4, 16)),
                                    slots=self.draw.choice((0, 2)), **self.place(), **self.runs_on(False))  # fmt: skip
        self.processes.append(client)
        self.kernel.jobs(client, slot=self.draw.choice(self.endpoints), bodies=bytes(8), count=self.draw.randint(1, 12),
                         think_ns=self.draw.choice((0, 300)))  # fmt: skip
        mode = self.draw.choice(("call", "submit", "rings"))
        client.run(mode, 1 if mode == "call" else self.draw.randint(1, 4), batch=self.draw.random() < 0.5)

    def attach(self, process: Process) -> None:
        verified = wild_graft(self.draw.randrange(GRAFTS))
        slots = {name: self.draw.choice(self.endpoints) for name in ("disk", "helper", "later")}
        ticks = any(handler.event == "timer" for handler in verified.program.handlers) and self.draw.random() < 0.4
        every = {99: 10_000.0} if ticks else None
        with suppress(GraftError):  # too long for the kernel, or a dead endpoint
            self.grafts.append(self.kernel.attach(verified, to=process, slots=slots, every=every))

    def upset(self) -> None:
        """Do something violent."""
        kernel, draw = self.kernel, self.draw
        match draw.randrange(8):
            case 0:
                kernel.kill(draw.choice(self.processes))
            case 1:
                kernel.revoke(draw.choice(self.endpoints))
            case 2 | 3:
                held = [cap for cap in kernel.known_capabilities.values() if cap.exists]
                if held:
                    draw.choice((kernel.delete, kernel.revoke))(draw.choice(held))
            case 4 | 5 if self.grafts:
                graft_ = draw.choice(self.grafts)
                if graft_ in kernel.places.present[graft_.process.row]:
                    self.grafts.remove(graft_)
                    if draw.random() < 0.5:
                        kernel.detach(graft_)
                    else:
                        with suppress(GraftError):  # its process has ended
                            self.grafts.append(kernel.replace(graft_, graft_.verified))
            case _:
                alive = [p for p in self.processes if kernel.tables.process[p.row]["state"] != 0]
                if alive:
                    self.attach(draw.choice(alive))
