"""E-order: messages on one capability are received in commit order, whether a process or a graft sent them."""

from __future__ import annotations

import random

import pytest
from kernel_scenarios import Scenario
from kernels import verified
from test_kernel_ops import Teller, free

from kernel_model import Kernel, Process
from kernel_model.core import tables
from kernel_model.core.requests import first_sent
from kernel_model.hosting import Script, Wire, call, compute, forward, pipeline, receive, reply, submit, wait

SEND_TAGS = """
    r6 = *(u64 *)(r1 + 16)
    r6 += 1000
    *(u64 *)(r10 - 8) = r6
    r1 = 0
    r2 = 0
    r3 = r6
    r4 = r10
    r4 += -8
    r5 = 8
    call 1000
    r0 = 0
    exit
"""


@pytest.mark.parametrize("activation", ["eager", "deferred", "auto"])
@pytest.mark.parametrize("seed", range(8))
def test_messages_on_one_capability_are_received_in_commit_order(seed: int, activation: str) -> None:
    """A process and its graft, which echoes each reply from a bell, send through the same capability."""
    draw = random.Random(seed)
    kernel = free(cores=4, activation=activation)
    door = kernel.endpoint("door", capacity=draw.choice((1, 2, 64)))
    bell = kernel.server("bell", reply=bytes(8), service_ns=draw.choice((10, 70)), core=1)
    received: list[int] = []

    def server(_kernel: Kernel, _me: Process) -> Script:
        request = yield receive()
        while request is not None:
            received.append(request.tag)
            yield compute(draw.choice((0, 30, 90)))
            request = yield reply(bytes(8))

    kernel.process("server", server, endpoint=door, core=2)

    def client(_kernel: Kernel, _me: Process) -> Script:
        for n in range(60):
            match draw.randrange(5):
                case 0:
                    yield call(door, body=bytes(8), tag=n)
                case 1:
                    yield compute(draw.randint(0, 60))
                case 2:
                    yield submit(bell, tag=n)
                case 3:
                    yield pipeline(submit(bell, tag=n), submit(door, body=bytes(8), tag=500 + n, wires=(Wire(0),)))
                case _:
                    yield submit(door, body=bytes(8), tag=n)
            yield wait(9, timeout_ns=0)
        yield wait(99, timeout_ns=9_000)

    app = kernel.process("app", client, core=3, completions=64)
    kernel.attach(verified({"reply": SEND_TAGS}), to=app, slots={"disk": bell})
    capability = kernel.capability(door, app.row)
    graft = kernel.tables.graft[0]
    kernel.tables.slot[graft["first_slot"]]["capability"] = capability
    kernel.tables.slot[graft["first_slot"]]["epoch"] = kernel.tables.capability[capability]["epoch"]
    kernel.run(60_000)
    committed = commits(kernel, door.row)
    assert len(received) > 10
    assert [tag for tag in committed if tag in set(received)] == received


def commits(kernel: Kernel, endpoint: int) -> list[int]:
    """The tags of what was sent to an endpoint, in the order of their commits, from the trace."""
    arrived = [tag for _, what, e, _, tag, _ in kernel.events() if what == "arrive" and e == endpoint]
    assert len(set(arrived)) == len(arrived)
    return arrived


@pytest.mark.parametrize("seed", range(24))
def test_in_any_scenario_what_went_through_one_capability_is_received_in_order(seed: int) -> None:
    """What waits at an endpoint, of each capability: serial numbers, which are given at commit, only grow."""
    scenario = Scenario(seed, "python")
    kernel = scenario.kernel
    for until in range(100, 4_000, 100):
        kernel.run(until)
        k = kernel.tables
        for c in range(len(k.capability)):
            r = first_sent(k, c) if k.capability[c]["kind"] == tables.C_ENDPOINT else tables.NONE
            previous = 0
            while r != tables.NONE:
                request = k.request[r]
                if request["state"] == tables.R_QUEUED and request["capability"] == c:
                    assert request["serial"] > previous
                    previous = int(request["serial"])
                r = int(k.link[2 * r + 1]["next"]) >> 1


def test_a_send_does_not_overtake_a_call_that_waits_for_room() -> None:
    kernel = free(cores=3)
    door = kernel.endpoint("door", capacity=1)
    order: list[int] = []

    def server(_kernel: Kernel, _me: Process) -> Script:
        yield compute(100)
        request = yield receive()
        while request is not None:
            order.append(request.tag)
            yield compute(100)
            request = yield reply()

    kernel.process("server", server, endpoint=door, core=1)
    first = Teller(kernel, [submit(door, tag=1), call(door, tag=2)], name="first", core=0)
    late = Teller(kernel, [compute(150), submit(door, tag=3), compute(300), submit(door, tag=4), wait(1)], core=2)
    kernel.run()
    assert order == [1, 2, 4]
    assert late.log[1][2] == -11  # a place is taken, and one waits for the next
    assert first.log[-1][2][0] == 2


def test_what_is_passed_on_does_not_overtake_what_waits_for_an_argument() -> None:
    """A server has a request waiting at `file` for what `slow` replies when it passes its own request on to `file`."""
    kernel = free(cores=4)
    door, file = kernel.endpoint("door"), kernel.endpoint("file")
    slow = kernel.server("slow", reply=bytes(8), service_ns=900, core=2)
    order: list[int] = []

    def files(_kernel: Kernel, _me: Process) -> Script:
        request = yield receive()
        while request is not None:
            order.append(request.tag)
            request = yield reply(bytes(8))

    def server(_kernel: Kernel, _me: Process) -> Script:
        yield receive()
        yield pipeline(submit(slow, tag=1), submit(file, tag=10, body=bytes(8), wires=(Wire(0),)))
        yield forward(file, 0, bytes(8), tag=11)

    kernel.process("server", server, endpoint=door, core=1)
    kernel.process("files", files, endpoint=file, core=3)
    first = Teller(kernel, [call(door, tag=1)])
    kernel.run()
    assert order == [10, 11]
    assert first.log == [(900, "Call", (11, "replied", 0, bytes(8)))]
