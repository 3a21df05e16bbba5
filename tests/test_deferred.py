"""Deferred activation: what a continuation saves and does not save, in which order it sees events, whom it delays."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from kernels import CHASE, DELIVER, chain_image, verified
from test_kernel_ops import Teller, word

import grafting
import verifier
from grafting.diagnostics import GraftError
from kernel_model import Attachment, Client, Kernel, Server
from kernel_model.hosting import Script, call, compute, sleep, submit, wait

Activation = Literal["eager", "deferred", "auto", "off"]
ACTIVATIONS: tuple[Activation, ...] = ("eager", "deferred", "auto", "off")
SAMPLES = Path(__file__).resolve().parents[1] / "samples"
COUNT = """
    r6 = *(u64 *)(r1 + 16)
    *(u64 *)(r10 - 8) = r6
    *(u64 *)(r10 - 16) = r6
    r1 = map 0 ll
    r2 = r10
    r2 += -8
    r3 = r10
    r3 += -16
    r4 = 0
    call 2
    r0 = 0
    exit
"""  # writes wanted[tag] = tag, passes or delivers


def free(**options: Any) -> Kernel:
    return Kernel(prices={}, engine="python", trace=True, **options)


def chain(kernel: Kernel, depth: int, jobs: int, **options: Any) -> tuple[Client, Any, Attachment]:
    disk = kernel.server("disk", image=chain_image(depth), block=64, service_ns=100)
    app = kernel.client("app", **options)
    graft = kernel.attach(verified({"reply/disk.read": CHASE}), to=app, slots={"disk": disk})
    work = kernel.jobs(app, graft=graft, slot="disk", op="read", bodies=bytes(8), count=jobs)
    app.run("submit", depth=min(jobs, 4))
    return app, work, graft


def sample(name: str) -> verifier.Verified:
    return verifier.verify(grafting.compile_graft((SAMPLES / f"{name}.graft").read_text()))


def activated(kernel: Kernel) -> list[int]:
    return [tag for _, what, _, _, tag, _ in kernel.events() if what == "activate"]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_way_to_run_a_graft_gives_the_same_answers(activation: Activation) -> None:
    kernel = Kernel("sel4-skylake", engine="python", activation=activation)
    _, work, _ = chain(kernel, 5, 12)
    kernel.run()
    rows = work.results()
    assert rows["outcome"].tolist() == [0] * 12
    assert [int(kernel.arena[at + 8]) for at in rows["body"]] == [4] * 12
    deferrals = {"eager": 0, "deferred": 60, "auto": 0, "off": 0}
    assert kernel.statistics.deferrals == deferrals[activation]
    assert kernel.statistics.fallbacks == (60 if activation == "off" else 0)


def test_deferring_saves_the_address_space_switch_and_not_the_scheduling() -> None:
    totals = {}
    for activation in ("eager", "deferred"):
        kernel = Kernel("sel4-skylake", engine="python", activation=activation)  # type: ignore[arg-type]
        chain(kernel, 8, 1)
        kernel.run()
        totals[activation] = kernel.totals
    eager, deferred = totals["eager"], totals["deferred"]
    assert deferred.count("activate") == eager.count("activate") == deferred.count("defer") == 8
    assert deferred.count("switch") == eager.count("switch")
    assert deferred.count("entry") == eager.count("entry")
    assert deferred.count("schedule") == eager.count("schedule") + 8


def test_auto_is_eager_where_priorities_allow_and_deferred_where_not() -> None:
    for priority, deferrals in ((8, 0), (7, 6)):
        kernel = free(activation="auto")
        disk = kernel.server("disk", image=chain_image(6), block=64, service_ns=100)
        kernel.server("other", reply=b"", endpoint=None)
        app = kernel.client("app", priority=priority)
        graft = kernel.attach(verified({"reply/disk.read": CHASE}), to=app, slots={"disk": disk})
        kernel.jobs(app, graft=graft, slot="disk", op="read", bodies=bytes(8), count=1)

        def busy(_kernel: Kernel, _me: Any) -> Script:
            for _ in range(100):
                yield sleep(10)
                yield compute(80)

        kernel.process("busy", busy)
        app.run()
        kernel.run()
        assert (kernel.statistics.deferrals > 0) == (deferrals > 0)
        assert kernel.statistics.fallbacks == 0


def test_auto_defers_what_is_over_the_eager_bound() -> None:
    kernel = free(activation="auto", eager_ns=-1)
    _, work, _ = chain(kernel, 4, 3)
    kernel.run()
    assert work.results()["outcome"].tolist() == [0, 0, 0]
    assert (kernel.statistics.deferrals, kernel.statistics.fallbacks) == (12, 0)


# --- order ------------------------------------------------------------------------------------------------------------


def hog(kernel: Kernel, start: int, ns: int, **options: Any) -> None:
    def program(_kernel: Kernel, _me: Any) -> Script:
        yield sleep(start)
        yield compute(ns)

    kernel.process("hog", program, priority=12, **options)


@pytest.mark.parametrize("activation", ["deferred", "auto"])
def test_the_events_of_a_graft_are_seen_in_the_order_in_which_they_came(activation: Activation) -> None:
    kernel = free(activation=activation, cores=2, eager_ns=-1)
    disk = kernel.server("disk", reply=word(0), service_ns=100, core=1)
    app = kernel.client("app")
    kernel.attach(verified({"reply": COUNT, "submit": COUNT}), to=app, slots={"disk": disk})
    kernel.jobs(app, slot=disk, bodies=bytes(8), count=5, tags=np.arange(11, 16, dtype=np.uint64),
                arrivals_ns=np.arange(5) * 30)  # fmt: skip
    app.run("submit", depth=5)
    hog(kernel, 150, 1000)
    kernel.run()
    assert kernel.statistics.deferrals >= 3
    came = [c if what == "submit" else b for _, what, _, b, c, _ in kernel.events() if what in ("submit", "end")]
    assert activated(kernel) == came


def test_a_submission_does_not_overtake_a_deferred_one() -> None:
    kernel = free(activation="deferred")
    door = kernel.endpoint("door")
    app = Teller(kernel, [submit(door, op, tag=op) for op in (0, 1, 0, 1)])
    kernel.attach(verified({"submit/disk.read": COUNT}), to=app.process,
                  slots={"disk": door})  # fmt: skip
    kernel.run()
    assert [op for _, what, _, _, _, op in kernel.events() if what == "arrive"] == [0, 1, 0, 1]


def test_an_arrival_does_not_overtake_a_deferred_one() -> None:
    kernel = free(activation="deferred")
    disk = kernel.server("disk", reply=b"", service_ns=100)
    kernel.attach(verified({"request/kv.get": "r0 = 0\nexit"}), to=disk, slots={"disk": disk})
    app = Teller(kernel, [*[submit(disk, op, tag=tag) for tag, op in enumerate((0, 1, 0, 1))], wait(4)])
    kernel.run()
    assert [tag for _, what, _, _, tag, _ in kernel.events() if what == "receive"] == [0, 1, 2, 3]
    assert kernel.statistics.deferrals >= 3
    assert [done[0] for done in app.log[-1][2]] == [0, 1, 2, 3]


# --- whom it delays ---------------------------------------------------------------------------------------------------


def test_a_deferred_activation_delays_a_thread_of_higher_priority_by_one_activation_at_most() -> None:
    worst = {}
    for activation in ACTIVATIONS[:2]:
        kernel = Kernel("sel4-skylake", engine="python", activation=activation, cores=2, eager_ns=1e6)
        disk = kernel.server("disk", reply=word(0), service_ns=10, core=1)
        app = kernel.client("app")
        kernel.attach(verified({"reply": COUNT}), to=app, slots={"disk": disk})
        kernel.jobs(app, slot=disk, bodies=bytes(8), count=300)
        app.run("submit", depth=32)

        def urgent(_kernel: Kernel, _me: Any) -> Script:
            for _ in range(40):
                yield sleep(1_111)

        kernel.process("urgent", urgent, priority=20)
        kernel.run()
        worst[activation] = kernel.statistics
    deferred = worst["deferred"]
    assert deferred.deferrals == 300
    assert deferred.worst_release_ns <= deferred.longest_section_ns + 1000  # a section, then its own interrupt


def test_a_continuation_runs_on_its_installers_context() -> None:
    kernel = Kernel(prices={"activate": 100}, engine="python", activation="deferred")
    disk = kernel.server("disk", reply=word(0), service_ns=10)
    app = kernel.client("app", context=kernel.context(1000, 10_000))
    kernel.attach(verified({"reply": COUNT}), to=app, slots={"disk": disk})
    work = kernel.jobs(app, slot=disk, bodies=bytes(8), count=20)
    app.run("submit", depth=8)
    kernel.run()
    assert work.results()["outcome"].tolist() == [0] * 20
    assert kernel.contexts["context1"].graft_ns == 900  # not 1000: more than the bound must be left
    assert kernel.statistics.fallbacks == 11


# --- ends -------------------------------------------------------------------------------------------------------------


def test_a_deferred_submission_can_be_cancelled() -> None:
    kernel = free(activation="deferred", cores=2)
    disk = kernel.server("disk", reply=b"", service_ns=100, core=1)
    app = kernel.client("app")
    kernel.attach(verified({"submit": COUNT}), to=app, slots={"disk": disk})
    work = kernel.jobs(app, slot=disk, bodies=bytes(8), count=1)
    app.run("submit")
    kernel.run(0)
    kernel.kill(app)
    kernel.run()
    assert work.results()["outcome"].tolist() == [-1]
    assert kernel.statistics.requests_in_flight == kernel.statistics.operations_in_flight == 0


def test_a_graft_detached_with_events_deferred_leaves_them_to_the_client() -> None:
    kernel = free(activation="deferred", cores=2)
    app, work, graft = chain(kernel, 4, 2, core=1)
    hog(kernel, 90, 1000, core=1)
    kernel.run(500)
    assert kernel.statistics.deferrals == 2
    kernel.detach(graft)
    kernel.run()
    assert work.results()["outcome"].tolist() == [0, 0]
    assert [int(kernel.arena[at + 8]) for at in work.results()["body"]] == [3, 3]  # as if nothing had happened
    assert kernel.statistics.fallbacks >= 2
    assert app.wakeups > 1


def test_a_deferred_arrival_is_queued_when_its_server_dies_and_another_is_there() -> None:
    kernel = free(activation="deferred", cores=2)
    door = kernel.endpoint("door")
    first: Server = kernel.server("first", endpoint=door, reply=b"first", core=1)
    kernel.server("second", endpoint=door, reply=b"second", service_ns=50)
    kernel.attach(verified({"request": "r0 = 0\nexit"}), to=first, slots={"disk": door})
    hog(kernel, 0, 1000, core=1)
    app = Teller(kernel, [call(door, tag=3)])
    kernel.run(100)
    kernel.kill(first)
    kernel.run()
    assert app.log[0][2] == (3, "replied", 0, b"second")


# --- what may not run in the kernel -----------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["deferred", "auto", "eager"])
def test_a_submission_that_cannot_be_paid_for_goes_back_to_the_library(activation: Activation) -> None:
    kernel = free(activation=activation, fuel_ns=0)
    disk = kernel.server("disk", reply=b"ok", service_ns=100)
    app = kernel.client("app")
    graft = kernel.attach(verified({"submit": COUNT}), to=app, slots={"disk": disk})
    work = kernel.jobs(app, graft=graft, slot="disk", op="read", bodies=bytes(8), count=3,
                       tags=np.arange(5, 8, dtype=np.uint64))  # fmt: skip
    app.run("submit", depth=3)
    kernel.run()
    assert work.results()["outcome"].tolist() == [0, 0, 0]
    assert dict(kernel.map(graft, "wanted").items()) == {5: 5, 6: 6, 7: 7}
    assert kernel.statistics.fallbacks == 3


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("fuel_ns", [1_000_000, 4_000, 1_500])
def test_timers_that_may_not_fire_in_the_kernel_fire_in_the_client(activation: Activation, fuel_ns: int) -> None:
    kernel = Kernel("sel4-skylake", engine="python", activation=activation, fuel_ns=fuel_ns)
    tries: list[int] = []

    def flaky(_kernel: Kernel, _me: Any) -> Script:
        from kernel_model.hosting import receive, reply

        request = yield receive()
        while True:
            tries.append(request.tag)
            request = yield reply(b"data" * 128, status=-5 if len(tries) < 5 else 0)

    door = kernel.endpoint("door")
    kernel.process("disk", flaky, endpoint=door)
    app = kernel.client("app")
    graft = kernel.attach(sample("retry_backoff"), to=app, slots={"disk": door})
    work = kernel.jobs(app, graft=graft, slot="disk", op="read", bodies=np.array([3], np.uint64))
    app.run()
    kernel.run()
    assert work.results()["outcome"].tolist() == [0]
    assert len(tries) == 5
    assert kernel.now_ps > 1_500_000_000  # 100 + 200 + 400 + 800 us of pauses
    assert len(kernel.map(graft, "attempts")) == 0
    assert (kernel.statistics.fallbacks > 0) == (activation == "off" or fuel_ns == 1_500)


# --- periodic timers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_periodic_timer_fires_with_fuel_of_its_own_for_ever(activation: Activation) -> None:
    kernel = free(activation=activation)
    disk, app = kernel.server("disk"), kernel.client("app")
    graft = kernel.attach(verified({"timer": COUNT}), to=app, slots={"disk": disk}, every={7: 20_000, 8: 50_000})
    kernel.run(100_000)
    if activation != "off":
        assert kernel.totals.count("activate") == 7
        assert dict(kernel.map(graft, "wanted").items()) == {7: 7, 8: 8}
    kernel.detach(graft)
    kernel.run()
    assert kernel.now_ps == 100_000_000


@pytest.mark.parametrize("every", [{1: 9_999}, dict.fromkeys(range(1000), 20_000)])
def test_a_period_has_a_minimum_and_timers_a_number(every: dict[int, float]) -> None:
    kernel = free()
    disk, app = kernel.server("disk"), kernel.client("app")
    with pytest.raises(GraftError, match="G0813"):
        kernel.attach(verified({"timer": "r0 = 0\nexit"}), to=app, slots={"disk": disk}, every=every)
    with pytest.raises(GraftError, match="G0813"):
        kernel.attach(verified({"reply": DELIVER}), to=app, slots={"disk": disk}, every={1: 20_000})


def test_a_periodic_timer_does_not_pile_up_behind_a_continuation_that_gets_no_core() -> None:
    kernel = free(activation="deferred")
    disk, app = kernel.server("disk"), kernel.client("app", priority=1)
    kernel.attach(verified({"timer": COUNT}), to=app, slots={"disk": disk}, every={7: 10_000})
    hog(kernel, 0, 2_000_000)
    kernel.run(1_500_000)
    assert kernel.statistics.deferrals == 64
    assert kernel.statistics.missed == 150 - 64


def test_a_timer_armed_in_place_of_a_periodic_one_has_a_place_among_the_completions_or_is_refused() -> None:
    """The client has submitted all that its queue has room for when its graft arms the timer anew."""
    kernel = free(cores=2)
    disk = kernel.server("disk", reply=bytes(8), service_ns=10, core=1)
    teller = Teller(kernel, [submit(disk, tag=1), submit(disk, tag=2), wait(2)], completions=2)
    arm = "r1 = 99\nr2 = 700\ncall 1004\nr0 = 0\nexit"
    kernel.attach(verified({"reply": arm, "timer": "r0 = 0\nexit"}), to=teller.process, slots={"disk": disk},
                  every={99: 10_000.0})  # fmt: skip
    process = kernel.tables.process[teller.process.row]
    for until in range(2, 100, 2):
        kernel.run(until)
        assert process["cq_posted"] + process["cq_reserved"] <= process["cq_capacity"]
    assert teller.log[-1][1] == "Wait"
