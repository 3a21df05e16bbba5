"""Kill, revoke, delete, detach, replace and cancel at any event: the books balance, and the living are told once."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any, Literal

import pytest
from kernel_scenarios import Scenario
from kernels import verified
from test_kernel_ops import Teller

from kernel_model import Kernel, Process
from kernel_model.core import tables
from kernel_model.core.lists import first
from kernel_model.core.requests import first_own, first_sent, next_own
from kernel_model.hosting import REPLY_RIGHT, Script, call, cancel, compute, receive, submit, wait

END = 30_000.0


def upset(scenario: Scenario, draw: random.Random) -> str:
    """Do something violent to a random object."""
    kernel = scenario.kernel
    how = draw.choice(("kill", "kill", "revoke", "delete", "detach", "replace"))
    if how == "kill":
        kernel.kill(kernel.processes[draw.choice(list(kernel.processes))])
    elif how == "revoke":
        kernel.revoke(draw.choice(scenario.endpoints))
    elif how == "delete":
        held = [cap for cap in kernel.known_capabilities.values() if cap.exists]
        if held:
            kernel.delete(draw.choice(held))
    elif scenario.grafts:
        graft = draw.choice(scenario.grafts)
        if graft in kernel.places.present[graft.process.row]:
            scenario.grafts.remove(graft)
            if how == "detach":
                kernel.detach(graft)
            else:
                kernel.replace(graft, graft.verified)
    return how


def check_ends(kernel: Kernel) -> None:
    """Each operation of a process that lives was told once, or is in flight; nothing is left of the dead."""
    open_: Counter[tuple[int, int]] = Counter()
    silent = kernel.processes["chains"].row if "chains" in kernel.processes else tables.NONE  # some are told of nothing
    for _, what, p, o, *_ in kernel.events():
        if what == "submit" and p != silent:
            assert open_[p, o] == 0, "a row of two operations at once"
            open_[p, o] += 1
        elif what == "complete" and p != silent and open_[p, o]:
            open_[p, o] -= 1
    k = kernel.tables
    dead = {p for p in range(kernel.storage.used["process"]) if k.process[p]["state"] == tables.DEAD}
    for p in dead:
        row = k.process[p]
        assert row["held"] == first_own(k, p) == row["request"] == row["graft"] == tables.NONE
        assert row["cq_posted"] == 0
    for p in range(kernel.storage.used["process"]):
        r = first_own(k, p)
        while r != tables.NONE:
            assert k.request[r]["process"] == p
            assert k.request[r]["outcome"] == tables.NO_OUTCOME
            holder = int(k.request[r]["holder"])
            assert holder not in dead, "a request that only the dead could answer"
            r = next_own(k, r)
        assert listed_jobs(kernel, p) == open_jobs(kernel, p)
    check_capabilities(kernel)


def listed_jobs(kernel: Kernel, p: int) -> list[int]:
    """The jobs in a process's list of those that are open."""
    k = kernel.tables
    j, found = first(k, int(k.process[p]["queues"]) + tables.Q_JOBS), []
    while j != tables.NONE:
        found.append(j)
        j = int(k.job[j]["next"])
    return sorted(found)


def open_jobs(kernel: Kernel, p: int) -> list[int]:
    """The jobs of a process whose state says that they are open, wherever they stand."""
    rows = kernel.tables.job[: kernel.storage.used["job"]]
    return [j for j, row in enumerate(rows) if row["owner"] == p and row["state"] == tables.J_OPEN]


def check_capabilities(kernel: Kernel) -> None:
    """Parents know their children; what is held is held once; what was sent through one is not received."""
    k = kernel.tables
    held = Counter()
    for p in range(kernel.storage.used["process"]):
        c = int(k.process[p]["held"])
        while c != tables.NONE:
            held[c] += 1
            assert k.capability[c]["owner"] == p
            c = int(k.capability[c]["held_next"])
    assert set(held.values()) <= {1}
    for c in range(len(k.capability)):
        row = k.capability[c]
        child = int(k.queue[row["queues"]]["head"])
        while child != tables.NONE:
            assert k.capability[child]["parent"] == c
            child = int(k.capability[child]["next"])
        r = first_sent(k, c) if row["kind"] != tables.C_NULL else tables.NONE
        while r != tables.NONE:
            assert k.request[r]["via"] == c
            assert k.request[r]["state"] != tables.R_RECEIVED
            r = int(k.link[2 * r + 1]["next"]) >> 1


@pytest.mark.parametrize("seed", range(36))
def test_whatever_is_ended_at_any_event_the_books_balance_and_the_living_are_told_once(seed: int) -> None:
    calm = Scenario(seed, "python")
    calm.kernel.run(END)
    check_ends(calm.kernel)
    draw = random.Random(seed)
    moments = sorted({at / 1000 for at, *_ in calm.kernel.events() if 0 < at < END * 1000})
    for moment in draw.sample(moments, min(2, len(moments))):
        scenario = Scenario(seed, "python")
        scenario.kernel.run(moment)
        for _ in range(draw.randint(1, 3)):
            upset(scenario, draw)
        scenario.kernel.run(END)
        check_ends(scenario.kernel)


def test_killing_everybody_leaves_nothing() -> None:
    for seed in range(0, 30, 3):
        scenario = Scenario(seed, "python")
        kernel = scenario.kernel
        kernel.run(900.0)
        for process in kernel.processes.values():
            kernel.kill(process)
        kernel.run(END)
        assert kernel.statistics.operations_in_flight == kernel.statistics.requests_in_flight == 0
        k = kernel.tables
        for pool, rows in ((tables.P_PARCEL, k.parcel), (tables.P_WIRE, k.wire), (tables.P_LEG, k.leg)):
            assert k.pool[pool]["free"] == len(rows)
        assert k.pool[tables.P_REQUEST]["free"] == len(k.request)
        assert k.pool[tables.P_COMPLETION]["free"] == len(k.completion)
        alive = len(k.capability) - int(k.pool[tables.P_CAPABILITY]["free"])
        assert alive == kernel.storage.used["endpoint"]  # their roots


# --- who is first, and whose hope was the last ------------------------------------------------------------------------


@pytest.mark.parametrize("locks", ["one", "core"])
@pytest.mark.parametrize(
    ("after", "told", "outcome"),
    [
        (40, 0, (1, "cancelled", -125, b"")),
        (60, -2, (1, "timed_out", -110, b"")),
        (160, -2, (1, "timed_out", -110, b"")),
    ],
)
def test_of_cancel_timeout_and_reply_the_first_with_the_lock_wins_and_the_rest_is_dropped(
    locks: Literal["one", "core"], after: int, told: int, outcome: tuple[Any, ...]
) -> None:
    """The deadline is at 50, the server, on another core, replies at 100 to nobody and serves the next."""
    kernel = Kernel(prices={}, engine="python", cores=2, locks=locks)
    disk = kernel.server("disk", reply=b"ok", service_ns=100, core=1)
    teller = Teller(
        kernel, [submit(disk, tag=1, deadline_ns=50), compute(after), cancel(1), wait(1), call(disk, tag=2)]
    )
    kernel.run()
    assert teller.log[2][2] == told
    assert teller.log[3][2] == [outcome]
    assert teller.log[4][0] == max(after, 100) + 100
    assert kernel.statistics.operations_completed == kernel.statistics.requests_ended == 2


@pytest.mark.parametrize("received", [True, False])
def test_a_reply_right_that_has_moved_is_lost_with_its_new_holder(received: bool) -> None:
    """It was sent on in a message, which the other server has received, or not yet, when it is killed."""
    kernel = Kernel(prices={}, engine="python", cores=3)
    first, second = kernel.endpoint("first"), kernel.endpoint("second")

    def server(_kernel: Kernel, _me: Process) -> Script:
        yield receive()
        yield submit(second, caps=(REPLY_RIGHT,))
        yield receive()

    def holder(_kernel: Kernel, _me: Process) -> Script:
        if received:
            request = yield receive(slots=1)
            assert [cap.kind for cap in request.caps] == ["reply"]
        yield compute(10_000)

    kernel.process("server", server, endpoint=first, core=1)
    other = kernel.process("holder", holder, endpoint=second, core=2)
    client = Teller(kernel, [call(first, tag=1)])
    kernel.run(500)
    assert client.log == []
    kernel.kill(other)
    kernel.run()
    assert client.log == [(500, "Call", (1, "peer_died", -104, b""))]


def test_a_timer_that_is_taken_back_may_have_been_the_last_hope_of_another_operation() -> None:
    """The first reply is consumed and leaves a timer; the second takes the timer back: the first operation starved."""
    arm_or_cancel = """
        r6 = *(u64 *)(r1 + 16)
        r1 = 5
        if r6 == 1 goto arm
        call 1005
        r0 = 0
        exit
    arm:
        r2 = 5000
        call 1004
        r0 = 1
        exit
    """
    kernel = Kernel(prices={}, engine="python", cores=2)
    disk = kernel.server("disk", reply=b"ok", service_ns=100, core=1)
    teller = Teller(kernel, [submit(disk, tag=1), submit(disk, tag=2), wait(2)])
    graft = verified({"reply": arm_or_cancel, "timer": "r0 = 0\nexit"})
    kernel.attach(graft, to=teller.process, slots={"disk": disk})
    kernel.run()
    assert teller.log[-1] == (200, "Wait", [(2, "replied", 0, b"ok"), (1, "starved", -61, b"")])
    assert kernel.statistics.starved == 1
