"""The model of `population` on one core, written in SimPy: the same costs, and the same time for every operation.

It is the least that gives these times: threads hand the one core to each other, an operation of the kernel is a delay,
and nothing is accounted for, which favours SimPy. The delays are sums of the same prices; what the handler executes is
counted by hand (below), so that the two models share no code.

    call    client: system call | server: work, reply | client: handler | ...
    graft   client: system call | server: work, reply, handler, send | next server: ... | client
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Mapping
from typing import Any

import simpy

from benchmarks.population import Mechanism, Shape

REGISTERS = 32  # bytes of a message that travel in registers on this machine
FOLLOWED = {"alu": 11, "load": 4, "store": 1, "jump": 4, "call": 1, "exit": 1}
ENDED = {"alu": 3, "load": 3, "jump": 2, "exit": 1}
"""Instructions by class of `population.CHASE` where it sends on, and where the chain is at its end."""


class Costs:
    """Delays in ps, from prices in ps."""

    def __init__(self, price: Mapping[str, int], shape: Shape, mechanism: Mechanism) -> None:
        def total(*names: str) -> int:
            return sum(price[name] for name in names)

        def handler(counts: Mapping[str, int]) -> int:
            return sum(price[f"native_{name}"] * count for name, count in counts.items())

        send = price["helper_send"] + 8 * price["helper_copy_byte"]
        beyond = price["slow_path"] + (shape.block - REGISTERS) * price["copy_byte"]
        metering = total("activate", "debit") + 2 * price["clock_read"]
        self.begin = total("schedule", "exit")
        self.next_client = total("schedule", "switch", "exit")
        self.prepare, self.switch = price["prepare"], price["switch"]
        self.call = total("entry", "dispatch_call", "hook_check", "switch", "exit")
        self.work = shape.service_ns * 1000
        self.reply = total("entry", "dispatch_reply", "switch", "exit") + beyond
        if mechanism == "call":
            self.reply += price["hook_check"]
            self.follow = price["activate_user"] + handler(FOLLOWED) + send
            self.end = price["activate_user"] + handler(ENDED)
        else:
            self.follow = metering + handler(FOLLOWED) + send + total("dispatch_send", "hook_check")
            self.end = metering + handler(ENDED)


def run(shape: Shape, mechanism: Mechanism, operations: int, price: Mapping[str, int], begin: int) -> list[list[int]]:
    """Return when each client's operations end, ps, if all clients begin at `begin`."""
    env = simpy.Environment(initial_time=begin)
    costs = Costs(price, shape, mechanism)
    waiting: deque[simpy.Store] = deque()  # servers that wait for a request, the longest first
    ready: deque[simpy.Event] = deque()  # clients that have yet to get the core
    finished: list[list[int]] = [[] for _ in range(shape.clients)]

    def server(inbox: simpy.Store) -> Generator[Any, Any, None]:
        while True:
            hop, answered = yield inbox.get()
            yield env.timeout(costs.work)
            more = hop + 1 < shape.hops
            if mechanism == "call":
                yield env.timeout(costs.reply)
                waiting.append(inbox)
                answered.succeed()
            elif more:
                target = waiting.popleft() if waiting else inbox
                switched = target is not inbox  # else the server goes on, it receives the next request itself
                yield env.timeout(costs.reply + costs.follow - (0 if switched else costs.switch))
                if switched:
                    waiting.append(inbox)
                target.put((hop + 1, answered))
            else:
                yield env.timeout(costs.reply + costs.end)
                waiting.append(inbox)
                answered.succeed()

    def client(number: int, start: simpy.Event) -> Generator[Any, Any, None]:
        yield start
        for _ in range(operations):
            yield env.timeout(costs.prepare)
            for hop in range(shape.hops if mechanism == "call" else 1):
                yield env.timeout(costs.call)
                answered = env.event()
                waiting.popleft().put((hop, answered))
                yield answered
                if mechanism == "call":
                    yield env.timeout(costs.follow if hop + 1 < shape.hops else costs.end)
            finished[number].append(int(env.now))
        if ready:
            yield env.timeout(costs.next_client)
            ready.popleft().succeed()

    for _ in range(shape.servers):
        inbox = simpy.Store(env)
        waiting.append(inbox)
        env.process(server(inbox))
    for number in range(shape.clients):
        ready.append(env.event())
        env.process(client(number, ready[-1]))

    def first() -> Generator[Any, Any, None]:
        yield env.timeout(costs.begin)
        ready.popleft().succeed()

    env.process(first())
    env.run()
    return finished
