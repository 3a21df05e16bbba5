"""What the operations of the kernel do, told by whole logs: a server at 100 ns a request, everything else free."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kernels import CHASE, CONSUME, chain_image, chase, verified

import grafting
import verifier
from grafting.diagnostics import GraftError
from kernel_model import Kernel, Process
from kernel_model.core import tables
from kernel_model.hosting import (
    Completion,
    Request,
    Script,
    call,
    cancel,
    compute,
    receive,
    reply,
    sleep,
    submit,
    wait,
)

Log = list[tuple[float, str, Any]]


def free(**options: Any) -> Kernel:
    return Kernel(prices={}, engine="python", trace=True, **options)


class Teller:
    """A Python client that notes when what came back."""

    def __init__(self, kernel: Kernel, actions: Any, name: str = "app", **options: Any) -> None:
        self.log: Log = []
        self.kernel = kernel
        self.process = kernel.process(name, lambda _kernel, me: self.program(actions), **options)

    def program(self, actions: Any) -> Script:
        for action in actions:
            result = yield action
            self.log.append((self.kernel.now_ps / 1000, type(action).__name__, self.brief(result)))

    @staticmethod
    def brief(result: Any) -> Any:
        match result:
            case Completion(tag, outcome, status, body):
                return (tag, outcome, status, body)
            case list():
                return [Teller.brief(one) for one in result]
            case _:
                return result


def numbered(count: int) -> bytes:
    return np.arange(count, dtype=np.uint64).tobytes()


def word(value: int) -> bytes:
    return value.to_bytes(8, "little")


# --- call, submit, wait -----------------------------------------------------------------------------------------------


def test_a_call_returns_with_the_servers_answer_after_its_work() -> None:
    kernel = free()
    disk = kernel.server("disk", image=numbered(8), block=8, service_ns=100)
    app = Teller(kernel, [call(disk, 0, word(3), tag=7), compute(50), call(disk, 0, word(9), tag=8)])
    kernel.run()
    assert app.log == [
        (100, "Call", (7, "replied", 0, word(3))),
        (150, "Compute", None),
        (250, "Call", (8, "error", -22, b"")),
    ]


def test_submissions_are_answered_in_order_and_wait_in_the_completion_queue() -> None:
    kernel = free()
    disk = kernel.server("disk", image=numbered(8), block=8, service_ns=100)
    app = Teller(kernel, [submit(disk, 0, word(n), tag=n) for n in (1, 2, 3)] + [wait(2), compute(500), wait(1)])
    kernel.run()
    assert app.log == [
        (0, "Submit", 0),
        (0, "Submit", 0),
        (0, "Submit", 0),
        (300, "Wait", [(n, "replied", 0, word(n)) for n in (1, 2, 3)]),
        (800, "Compute", None),
    ]
    assert kernel.statistics.operations_in_flight == 0


def test_a_higher_priority_client_is_woken_for_its_first_completion() -> None:
    kernel = free()
    disk = kernel.server("disk", image=numbered(8), block=8, service_ns=100)
    app = Teller(
        kernel, [submit(disk, 0, word(1), tag=1), submit(disk, 0, word(2), tag=2), wait(1), wait(1)], priority=9
    )
    kernel.run()
    assert app.log[2:] == [(100, "Wait", [(1, "replied", 0, word(1))]), (200, "Wait", [(2, "replied", 0, word(2))])]


def test_a_wait_ends_at_its_timeout_with_nothing() -> None:
    kernel = free()
    app = Teller(kernel, [wait(1, timeout_ns=70), sleep(30)])
    kernel.run()
    assert app.log == [(70, "Wait", []), (100, "Sleep", None)]


# --- limits -----------------------------------------------------------------------------------------------------------


def test_an_asynchronous_send_to_a_full_endpoint_is_refused_with_eagain() -> None:
    kernel = free()
    slow = kernel.endpoint("slow", capacity=2)
    app = Teller(kernel, [submit(slow, tag=n) for n in range(4)])
    kernel.run()
    assert [status for _, _, status in app.log] == [0, 0, -11, -11]
    assert kernel.statistics.refused == 2
    assert kernel.statistics.requests_in_flight == 2


def test_a_full_completion_queue_refuses_submissions_before_they_have_any_effect() -> None:
    kernel = free()
    disk = kernel.server("disk", reply=b"ok", service_ns=100)
    actions = [*[submit(disk, tag=n) for n in range(3)], wait(2), submit(disk, tag=9), wait(1)]
    app = Teller(kernel, actions, completions=2)
    kernel.run()
    assert [result for _, _, result in app.log] == [
        0, 0, -11, [(0, "replied", 0, b"ok"), (1, "replied", 0, b"ok")], 0, [(9, "replied", 0, b"ok")],
    ]  # fmt: skip
    assert kernel.statistics.operations_submitted == 3


def test_a_call_to_a_full_endpoint_waits_for_room_in_order() -> None:
    kernel = free(cores=4)
    door = kernel.endpoint("door", capacity=0)
    kernel.server("only", endpoint=door, reply=b"", service_ns=100)
    apps = [Teller(kernel, [call(door, tag=n)], name=f"app{n}", core=n + 1) for n in range(3)]
    kernel.run()
    assert [app.log for app in apps] == [[(100.0 * (n + 1), "Call", (n, "replied", 0, b""))] for n in range(3)]


# --- other ends -------------------------------------------------------------------------------------------------------


def test_a_deadline_ends_the_operation_and_the_late_reply_is_dropped() -> None:
    kernel = free()
    disk = kernel.server("disk", reply=b"late", service_ns=100)
    app = Teller(kernel, [call(disk, tag=1, deadline_ns=40), call(disk, tag=2)], priority=9)
    kernel.run()
    assert app.log == [(40, "Call", (1, "timed_out", -110, b"")), (200, "Call", (2, "replied", 0, b"late"))]
    assert kernel.statistics.requests_submitted == kernel.statistics.requests_ended == 2


def test_cancel_ends_the_oldest_request_with_that_tag() -> None:
    kernel = free()
    disk = kernel.server("disk", reply=b"", service_ns=100)
    actions = [submit(disk, tag=1), submit(disk, tag=2), cancel(2), cancel(2), wait(2)]
    app = Teller(kernel, actions)
    kernel.run()
    assert app.log[2:] == [
        (0, "Cancel", 0),
        (0, "Cancel", -2),
        (100, "Wait", [(2, "cancelled", -125, b""), (1, "replied", 0, b"")]),
    ]


def test_a_dying_server_tells_its_peers_and_cancels_what_waits() -> None:
    kernel = free()
    disk = kernel.server("disk", reply=b"", service_ns=100)
    app = Teller(kernel, [submit(disk, tag=1), submit(disk, tag=2), wait(2), call(disk, tag=3)])
    kernel.run(50)
    kernel.kill(disk)
    kernel.run()
    assert app.log[2:] == [
        (50, "Wait", [(1, "peer_died", -104, b""), (2, "cancelled", -125, b"")]),
        (50, "Call", (3, "refused", -111, b"")),
    ]


def test_a_dying_client_leaves_nothing_in_flight_and_a_readable_account() -> None:
    kernel = free()
    disk = kernel.server("disk", reply=b"", service_ns=100)
    app = kernel.client("app")
    kernel.jobs(app, slot=disk, bodies=b"", count=10)
    app.run("submit", depth=4)
    kernel.run(150)
    kernel.kill(app)
    kernel.run()
    assert kernel.statistics.operations_in_flight == kernel.statistics.requests_in_flight == 0
    assert kernel.accounts["app"].count("prepare") == 4
    assert kernel.now_ps == 200_000  # the server finishes what it has begun, and drops the reply


def test_a_revoked_capability_refuses_and_cancels_but_leaves_received_requests_alone() -> None:
    kernel = free()
    disk = kernel.server("disk", reply=b"", service_ns=100)
    app = Teller(kernel, [submit(disk, tag=1), submit(disk, tag=2), wait(2), submit(disk, tag=3), wait(1)])
    kernel.run(50)
    kernel.revoke(disk)
    kernel.run()
    assert app.log[2:] == [
        (100, "Wait", [(2, "cancelled", -125, b""), (1, "replied", 0, b"")]),
        (100, "Submit", 0),
        (100, "Wait", [(3, "refused", -111, b"")]),
    ]


def test_a_python_server_receives_what_was_sent_and_answers() -> None:
    kernel = free()
    door = kernel.endpoint("door")
    seen: list[Request | None] = []

    def server(_kernel: Kernel, _me: Process) -> Script:
        request = yield receive()
        while request is not None:
            seen.append(request)
            yield compute(30)
            request = yield reply(request.body[::-1], status=-7 if request.op else 0)

    kernel.process("server", server, endpoint=door)
    app = Teller(kernel, [call(door, 0, b"abc", tag=5), call(door, 1, b"xy", tag=6)])
    kernel.run()
    assert app.log == [(30, "Call", (5, "replied", 0, b"cba")), (60, "Call", (6, "error", -7, b"yx"))]
    assert seen == [Request(5, 0, 0, b"abc"), Request(6, 1, 0, b"xy")]


# --- grafts -----------------------------------------------------------------------------------------------------------


def run_job(kernel: Kernel, handlers: dict[str, str], image: bytes, **jobs: Any) -> tuple[Any, Any]:
    disk = kernel.server("disk", image=image, block=64, service_ns=100)
    app = kernel.client("app")
    graft = kernel.attach(verified(handlers), to=app, slots={"disk": disk})
    job = kernel.jobs(app, graft=graft, slot="disk", op="read", bodies=bytes(8), **{"count": 1, **jobs})
    app.run()
    kernel.run()
    return job.results(), app


def test_a_graft_follows_a_chain_without_waking_its_client() -> None:
    kernel = free()
    disk = kernel.server("disk", image=chain_image(5), block=64, service_ns=100)
    app = kernel.client("app")
    graft = kernel.attach(chase(), to=app, slots={"disk": disk})
    job = kernel.jobs(app, graft=graft, slot="disk", op="read", bodies=bytes(8), tags=np.array([7], np.uint64))
    app.run()
    kernel.run()
    assert app.wakeups == 1
    assert job.results()["finished"].tolist() == [500_000]
    told = ("arrive", "end", "verdict", "complete")
    assert [(at / 1000, what, c, d) for at, what, _, _, c, d in kernel.events() if what in told] == [
        (0, "arrive", 7, 0),
        *[event for hop in range(1, 5) for event in (
            (100 * hop, "end", 0, 0), (100 * hop, "verdict", 1, 19), (100 * hop, "arrive", 7, 0))],
        (500, "end", 0, 0), (500, "verdict", 0, 10), (500, "complete", 7, 0),
    ]  # fmt: skip


def test_a_graft_that_consumes_everything_starves_its_client_only_until_told() -> None:
    kernel = free()
    results, app = run_job(kernel, {"reply": CONSUME}, chain_image(1))
    assert results["outcome"].tolist() == [7]
    assert (app.wakeups, kernel.statistics.starved) == (1, 1)


def test_an_error_raises_failure_with_its_status() -> None:
    kernel = free()
    disk = kernel.server("disk", image=chain_image(1), block=64, service_ns=100)
    app = kernel.client("app")
    keep_status = """
        r2 = *(s32 *)(r1 + 44)
        r3 = *(u64 *)(r1 + 16)
        *(u64 *)(r10 - 8) = r3
        *(u64 *)(r10 - 16) = r2
        r1 = map 0 ll
        r2 = r10
        r2 += -8
        r3 = r10
        r3 += -16
        r4 = 0
        call 2
        r0 = 0
        exit
    """
    graft = kernel.attach(verified({"failure": keep_status}), to=app, slots={"disk": disk})
    jobs = kernel.jobs(app, graft=graft, slot="disk", op="read", bodies=np.array([0, 5], np.uint64))
    app.run()
    kernel.run()
    assert jobs.results()["outcome"].tolist() == [0, 1]
    assert dict(kernel.map(graft, "wanted").items()) == {1: 2**64 - 22}


def test_what_may_not_run_in_the_kernel_runs_in_the_client_with_the_same_answers() -> None:
    inside, outside = free(), free(activation="off")
    for kernel in (inside, outside):
        results, _ = run_job(kernel, {"reply/disk.read": CHASE}, chain_image(4))
        assert results["outcome"].tolist() == [0]
        assert kernel.arena[results["body"][0] + 8] == 3
    assert outside.statistics.fallbacks == 4
    assert inside.totals.count("activate") == outside.totals.count("activate_user") == 4
    assert outside.totals.count("entry") == inside.totals.count("entry") + 3


def test_fuel_ends_a_graft_that_sends_to_itself_for_ever() -> None:
    kernel = Kernel("sel4-skylake", engine="python", fuel_ns=20_000)
    disk = kernel.server("disk", image=np.ones((2, 8), np.uint64).tobytes(), block=64, service_ns=100)
    app = kernel.client("app")
    kernel.attach(chase(), to=app, slots={"disk": disk})
    kernel.jobs(app, slot=disk, bodies=bytes(8), count=1)
    app.run()
    kernel.run(1_000_000)
    operations = kernel.statistics.operations_submitted
    assert kernel.statistics.fallbacks == operations - 1 > 2  # each time the client's library had to go on
    assert kernel.tables.graft[0]["spent"] <= operations * 20_000_000


HOLD_ODD = """
    r6 = *(u64 *)(r1 + 16)
    r7 = r6
    r7 &= 1
    if r7 != 0 goto hold
    r1 = r6
    r1 += -1
    r2 = 0
    call 1006
    r0 = 0
    exit
hold:
    r0 = 1
    exit
"""


@pytest.mark.parametrize("place", ["in the kernel", "too long for the kernel", "in the client"])
def test_a_submission_can_be_held_and_released_by_another(place: str) -> None:
    kernel = free(eager_ns=-1 if place == "too long for the kernel" else 5_000)
    disk = kernel.server("disk", image=chain_image(1), block=64, service_ns=100)
    app = kernel.client("app", priority=9)
    put = kernel.load if place == "in the client" else kernel.attach
    graft = put(verified({"submit": HOLD_ODD}), to=app, slots={"disk": disk})
    jobs = kernel.jobs(app, graft=graft, slot="disk", op="read", bodies=bytes(8), count=2,
                       tags=np.array([1, 2], np.uint64), arrivals_ns=np.array([0, 500]))  # fmt: skip
    app.run("submit", depth=2)
    kernel.run()
    assert jobs.results()["finished"].tolist() == [600_000, 700_000]  # the held one was sent on first
    assert kernel.totals.count("activate" if place == "in the kernel" else "activate_user") == 2


@pytest.mark.parametrize("place", ["in the kernel", "in the client"])
def test_a_submission_that_a_graft_drops_is_refused(place: str) -> None:
    kernel = free()
    disk, app = kernel.server("disk", reply=b""), kernel.client("app")
    put = kernel.load if place == "in the client" else kernel.attach
    graft = put(verified({"submit": "r0 = 2\nexit"}), to=app, slots={"disk": disk})
    jobs = kernel.jobs(app, graft=graft, slot="disk", op="read", bodies=bytes(8), count=2)
    app.run()
    kernel.run()
    assert jobs.results()["outcome"].tolist() == [6, 6]
    assert kernel.accounts["disk"].ns["user"] == 0


BACK = """
    r6 = *(u64 *)(r1 + 16)
    r7 = *(s32 *)(r1 + 44)
    if r7 != -11 goto deliver
    r3 = r6
    r2 = 0
    r4 = 0
    r5 = 8
    r1 = 0
    call 1001
    r0 = 1
    exit
deliver:
    r0 = 0
    exit
"""
RELEASE_FIRST = """
    r1 = 1
    r2 = -11
    call 1006
    r0 = 0
    exit
"""
HOLD_FIRST = """
    r6 = *(u64 *)(r1 + 16)
    r0 = 1
    if r6 == 1 goto out
    r0 = 0
out:
    exit
"""


@pytest.mark.parametrize("place", ["in the kernel", "off", "in the client", "replies too long for the kernel"])
def test_what_is_released_with_a_status_comes_back_as_a_failure_with_its_body(place: str) -> None:
    long = place == "replies too long for the kernel"
    kernel = free(activation="off" if place == "off" else "eager", **({"eager_ns": 100} if long else {}))
    disk = kernel.server("disk", image=chain_image(4), block=64, service_ns=100)
    app = kernel.client("app")
    put = kernel.load if place == "in the client" else kernel.attach
    release = RELEASE_FIRST.replace("call", "r1 = 1\n" * 60 + "call")
    handlers = {"submit": HOLD_FIRST, "reply": release, "failure": BACK}
    graft = put(verified(handlers), to=app, slots={"disk": disk})
    if long:  # only what is ended by the release itself may run in the kernel
        bounds = kernel.tables.handler["bound"]
        bounds[:3] = np.where(kernel.tables.handler["event"][:3] == 2, 200_000, 0)
    jobs = kernel.jobs(app, graft=graft, slot="disk", op="read", bodies=np.array([3, 2], np.uint64),
                       tags=np.array([1, 2], np.uint64))  # fmt: skip
    app.run("submit", depth=2)
    kernel.run()
    results = jobs.results()
    assert results[["outcome", "status"]].tolist() == [(0, 0), (0, 0)]
    assert [kernel.arena[at + 8] for at in results["body"]] == [3, 2]
    if long:
        assert kernel.totals.count("activate_user") > 0 < kernel.totals.count("activate")


INSTEAD = """
    *(u64 *)(r10 - 8) = 2
    r3 = *(u64 *)(r1 + 16)
    r1 = 0
    r2 = 0
    r4 = r10
    r4 += -8
    r5 = 8
    call 1000
    r0 = 3
    exit
"""


@pytest.mark.parametrize("place", ["in the kernel", "off", "in the client"])
def test_a_submission_that_a_graft_consumes_lives_on_in_what_it_sends(place: str) -> None:
    kernel = free(activation="off" if place == "off" else "eager")
    disk = kernel.server("disk", image=chain_image(4), block=64, service_ns=100, capacity=2)
    app = kernel.client("app")
    put = kernel.load if place == "in the client" else kernel.attach
    graft = put(verified({"submit": INSTEAD}), to=app, slots={"disk": disk})
    jobs = kernel.jobs(app, graft=graft, slot="disk", op="read", bodies=bytes(8), count=3)
    app.run("submit", depth=1)
    kernel.run()
    results = jobs.results()
    assert results[["outcome", "finished"]].tolist() == [(0, 100_000), (0, 200_000), (0, 300_000)]
    assert [kernel.arena[at + 8] for at in results["body"]] == [2, 2, 2]
    assert kernel.tables.endpoint[disk.endpoint.row]["reserved"] == 0


@pytest.mark.parametrize("place", ["in the kernel", "off", "in the client"])
@pytest.mark.parametrize("mode", ["call", "submit"])
def test_a_submission_that_a_graft_consumes_without_a_trace_starves(place: str, mode: Any) -> None:
    kernel = free(activation="off" if place == "off" else "eager")
    disk, app = kernel.server("disk", reply=b""), kernel.client("app")
    put = kernel.load if place == "in the client" else kernel.attach
    graft = put(verified({"submit": "r0 = 3\nexit"}), to=app, slots={"disk": disk})
    jobs = kernel.jobs(app, graft=graft, slot="disk", op="read", bodies=bytes(8), count=2)
    app.run(mode)
    kernel.run()
    assert jobs.results()["outcome"].tolist() == [7, 7]
    assert kernel.accounts["disk"].ns["user"] == 0


def test_a_submission_that_a_graft_drops_leaves_its_place_to_others() -> None:
    kernel = free()
    disk, app = kernel.server("disk", reply=b"", capacity=1), kernel.client("app")
    graft = kernel.attach(verified({"submit": "r0 = 2\nexit"}), to=app, slots={"disk": disk})
    kernel.jobs(app, graft=graft, slot="disk", op="read", bodies=bytes(8), count=5)
    app.run("submit", depth=1)
    kernel.run()
    assert kernel.tables.endpoint[disk.endpoint.row]["reserved"] == 0
    assert kernel.statistics.refused == 0


@pytest.mark.parametrize("place", ["in the kernel", "off", "in the client"])
def test_the_quorum_sample_ends_with_the_second_of_three_replicas(place: str) -> None:
    source = Path(__file__).resolve().parents[1] / "samples" / "quorum.graft"
    proved = verifier.verify(grafting.compile_graft(source.read_text()))
    kernel = free(cores=4, activation="off" if place == "off" else "eager")
    ack = word(1) + word(1)
    replicas = {name: kernel.server(name, reply=ack, service_ns=ns, core=core)
                for core, (name, ns) in enumerate((("first", 300), ("second", 200), ("third", 100)), 1)}  # fmt: skip
    app = kernel.client("app")
    put = kernel.load if place == "in the client" else kernel.attach
    graft = put(proved, to=app, slots=replicas)
    jobs = kernel.jobs(app, graft=graft, slot="first", op="append", bodies=b"entry 17", count=1)
    app.run("submit", depth=1)
    kernel.run()
    assert jobs.results()[["outcome", "finished"]].tolist() == [(0, 200_000)]
    assert len(kernel.map(graft, "votes")) == 0
    assert app.wakeups == 1 if place == "in the kernel" else 2


def test_a_request_graft_answers_without_waking_the_server() -> None:
    answer = """
        r2 = *(u64 *)(r1 + 16)
        *(u64 *)(r10 - 8) = r2
        r1 = 0
        r2 = r10
        r2 += -8
        r3 = 8
        call 1003
        r0 = 1
        exit
    """
    kernel = free()
    disk = kernel.server("disk", reply=b"slow", service_ns=100)
    kernel.attach(verified({"request": answer}), to=disk, slots={"disk": disk})
    app = Teller(kernel, [call(disk, tag=9)])
    kernel.run()
    assert app.log == [(0, "Call", (9, "replied", 0, word(9)))]
    assert kernel.accounts["disk"].ns["user"] == 0


def test_timers_fire_in_the_kernel_and_keep_their_operation_open() -> None:
    arm = """
        r1 = *(u64 *)(r1 + 16)
        r2 = 250
        call 1004
        r0 = 1
        exit
    """
    again = """
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
    kernel = free()
    disk = kernel.server("disk", image=chain_image(1), block=64, service_ns=100)
    app = kernel.client("app")
    graft = kernel.attach(verified({"failure": arm, "timer": again}), to=app, slots={"disk": disk})
    jobs = kernel.jobs(app, graft=graft, slot="disk", op="read", bodies=np.array([5], np.uint64))
    app.run()
    kernel.run()
    assert jobs.results()[["outcome", "finished"]].tolist() == [(0, 100_000 + 250_000 + 100_000)]


def test_detaching_takes_effect_at_the_next_event_and_the_client_finishes_what_was_begun() -> None:
    kernel = free()
    disk = kernel.server("disk", image=chain_image(9), block=64, service_ns=100)
    app = kernel.client("app")
    graft = kernel.attach(chase(), to=app, slots={"disk": disk})
    jobs = kernel.jobs(app, graft=graft, slot="disk", op="read", bodies=bytes(8), count=1)
    app.run()
    kernel.run(250)
    kernel.detach(graft)
    kernel.run()
    assert jobs.results()[["outcome", "finished"]].tolist() == [(0, 900_000)]
    assert kernel.totals.count("activate") == 2
    assert kernel.totals.count("activate_user") == 7
    assert kernel.tables.graft[graft.row]["state"] == tables.DETACHED


def test_a_server_that_sends_twice_for_one_request_is_an_error_of_the_user() -> None:
    twice = """
        r6 = r1
        r9 = 0
        *(u64 *)(r10 - 8) = r9
        r1 = 0
        r2 = 0
        r3 = 1
        r4 = r10
        r4 += -8
        r5 = 8
        call 1000
        r1 = 0
        r2 = 0
        r3 = 2
        r4 = r10
        r4 += -8
        r5 = 8
        call 1000
        r0 = 1
        exit
    """
    kernel = free()
    disk = kernel.server("disk", image=chain_image(1), block=64)
    kernel.load(verified({"reply": twice}), to=disk, slots={"disk": disk})
    Teller(kernel, [call(disk, 0, bytes(8))])
    with pytest.raises(GraftError, match="G0808"):
        kernel.run()
