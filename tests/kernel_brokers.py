"""Random Python processes that do all that can be done with capabilities, reply rights, promises, wires and routes."""

from __future__ import annotations

import random
from typing import Any

from kernel_model import Capability, Endpoint, Kernel, Process
from kernel_model.hosting import (
    REPLY_RIGHT,
    Action,
    Completion,
    Request,
    Script,
    Submit,
    Wire,
    call,
    cancel,
    compute,
    delete,
    forward,
    keep,
    mint,
    pipeline,
    receive,
    reply,
    reply_to,
    revoke,
    sleep,
    submit,
    wait,
)


class Broker:
    """Draws what a process does next from what it has; equal seeds draw equally."""

    def __init__(self, kernel: Kernel, seed: int, endpoints: list[Endpoint]) -> None:
        self.kernel = kernel
        self.draw = random.Random(seed)
        self.endpoints = endpoints

    def target(self, me: Process, own: list[Capability]) -> Any:
        usable = [cap for cap in own if cap.exists]
        if usable and self.draw.random() < 0.5:
            return self.draw.choice(usable)
        return self.draw.choice(self.endpoints)

    def luggage(self, me: Process, own: list[Capability]) -> tuple[Capability, ...]:
        if self.draw.random() < 0.5:
            return ()
        usable = [cap for cap in own if cap.exists] or [self.kernel.grant(self.draw.choice(self.endpoints), me)]
        return tuple(self.draw.sample(usable, min(len(usable), self.draw.randint(1, 2))))

    def options(self, me: Process, own: list[Capability], slots: list[Capability]) -> dict[str, Any]:
        """Luggage, slots, perhaps a promise, perhaps a route."""
        route = [(self.draw.choice(self.endpoints), 0) for _ in range(self.draw.choice((0, 0, 1, 2)))]
        return {
            "tag": self.draw.randint(1, 5),
            "body": bytes(16),
            "caps": self.luggage(me, own),
            "slots": self.draw.randint(0, 3),
            "promise": self.draw.choice((None, None, *slots)),
            "route": tuple(route),
            "deadline_ns": self.draw.choice((0, 0, 0, 400)),
        }

    # --- a client -----------------------------------------------------------------------------------------------------

    def client(self, _kernel: Kernel, me: Process) -> Script:
        own: list[Capability] = []
        slots = [self.kernel.slot(me) for _ in range(2)]
        for _ in range(self.draw.randint(3, 10)):
            result = yield self.act(me, own, slots)
            for one in result if isinstance(result, list) else [result]:
                if isinstance(one, Completion):
                    own.extend(cap for cap in one.caps if cap)
                elif isinstance(one, Capability):
                    own.append(one)
        yield wait(99, timeout_ns=5_000)

    def act(self, me: Process, own: list[Capability], slots: list[Capability]) -> Action:
        usable = [cap for cap in own if cap.exists and cap.kind == "endpoint"]
        match self.draw.randrange(9):
            case 0:
                return call(self.target(me, own + slots), **self.options(me, own, slots))
            case 1 | 2:
                return submit(self.target(me, own + slots), **self.options(me, own, slots))
            case 3 | 4:
                return self.pipeline(me, own, slots)
            case 5:
                return wait(1, timeout_ns=300)
            case 6:
                return cancel(self.draw.randint(1, 5))
            case 7 if usable:
                cap = self.draw.choice(usable)
                return self.draw.choice((mint(cap, rights=("send",)), revoke(cap), delete(cap)))
            case _:
                return self.draw.choice((compute(self.draw.randint(0, 300)), sleep(self.draw.randint(0, 300))))

    def pipeline(self, me: Process, own: list[Capability], slots: list[Capability]) -> Action:
        steps: list[Submit] = []
        for number in range(self.draw.randint(2, 5)):
            sources = [n for n in range(number) if self.draw.random() < 0.4]
            wires = tuple(Wire(n, self.draw.choice((0, 0, 4)), self.draw.choice((0, 8)), 8) for n in sources)
            steps.append(submit(self.target(me, own + slots), **self.options(me, own, slots), wires=wires))
        return pipeline(*steps)

    # --- a server -----------------------------------------------------------------------------------------------------

    def server(self, _kernel: Kernel, me: Process) -> Script:
        own: list[Capability] = []
        request = yield receive(slots=2)
        while True:
            if not isinstance(request, Request):
                request = yield receive(slots=2)
                continue
            own.extend(cap for cap in request.caps if cap)
            rights = [cap for cap in own if cap.exists and cap.kind == "reply"]
            yield compute(self.draw.randint(0, 200))
            match self.draw.randrange(8):
                case 0:
                    kept = yield keep()
                    if isinstance(kept, Capability):
                        own.append(kept)
                    request = yield receive(slots=1)
                case 1 if rights:
                    yield reply_to(rights[0], bytes(16))
                case 2:
                    request = yield forward(self.draw.choice(self.endpoints), 0, request.body, tag=request.tag)
                case 3:
                    yield submit(self.draw.choice(self.endpoints), body=bytes(16), caps=(REPLY_RIGHT,))
                case 4:
                    request = yield reply(b"1234567", status=-5, slots=2)
                case _:
                    request = yield reply(bytes(16), caps=self.luggage(me, own), slots=2)


def add_brokers(kernel: Kernel, seed: int, endpoints: list[Endpoint], cores: int) -> list[Process]:
    """Give a kernel some servers and clients of this kind, with endpoints of their own besides those given."""
    draw = random.Random(seed)
    doors = [kernel.endpoint(f"door{n}", draw.choice((0, 1, 3))) for n in range(draw.randint(1, 2))]
    made = []
    for number, door in enumerate(doors):
        broker = Broker(kernel, seed + 10 + number, [*endpoints, *doors])
        made.append(kernel.process(f"broker{number}", broker.server, endpoint=door, core=draw.randrange(cores)))
    for number in range(draw.randint(1, 2)):
        broker = Broker(kernel, seed + 20 + number, [*endpoints, *doors])
        place = {"core": draw.randrange(cores), "priority": draw.choice((7, 8, 9))}
        made.append(kernel.process(f"user{number}", broker.client, completions=draw.choice((3, 12)), **place))
    return made
