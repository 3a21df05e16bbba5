"""Several grafts on a hook; attach, replace and detach with messages in flight; what they lie in is used again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from kernels import CHASE, chain_image, chase, verified
from test_kernel_ops import free

import verifier
from grafting import compile_graft
from kernel_model import Attachment, Client, Kernel, Server
from kernel_model.core import tables

COUNT = """
graft counter
protocol block {{ op read(index: u64) }}
cap disk: block
struct Count {{ n: u64 }}
map seen: hash<u64, Count, 16>
map other: hash<u64, u64, {other}>
on reply(msg) {{
    let count = seen[msg.tag] else {{ return deliver }}
    count.n += {step}
    return deliver
}}
"""


def counter(step: int = 1, other: int = 16) -> verifier.Verified:
    return verifier.verify(compile_graft(COUNT.format(step=step, other=other)))


def bench(kernel: Kernel, depth: int = 9) -> tuple[Server, Client]:
    return kernel.server("disk", image=chain_image(depth), block=64, service_ns=100), kernel.client("app")


def put(event: str, value: int, verdict: int) -> str:
    """A handler that stores `value` under 1 in `wanted` and returns `verdict`."""
    return f"""
        r1 = 1
        *(u64 *)(r10 - 8) = r1
        r1 = {value}
        *(u64 *)(r10 - 16) = r1
        r1 = map 0 ll
        r2 = r10
        r2 += -8
        r3 = r10
        r3 += -16
        r4 = 0
        call 2
        r0 = {verdict}
        exit
    """


# --- several on a hook ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["eager", "off"])
@pytest.mark.parametrize("event", ["submit", "reply", "failure", "request"])
@pytest.mark.parametrize("stops", [False, True])
def test_grafts_are_asked_in_attach_order_until_one_says_other_than_deliver(
    event: str, stops: bool, place: Any
) -> None:
    if event == "request" and place == "off":
        pytest.skip("a request that no graft may look at is queued in the ordinary way")
    kernel = free(activation=place)
    disk, app = bench(kernel)
    verdict = {"submit": 2, "request": 2, "reply": 1, "failure": 1}[event] if stops else 0
    to = disk if event == "request" else app
    grafts = [
        kernel.attach(verified({event: put(event, value, result)}), to=to, slots={"disk": disk})
        for value, result in ((5, 0), (6, verdict), (7, 0))
    ]
    bodies = np.array([99 if event == "failure" else 0], np.uint64)
    kernel.jobs(app, graft=None, slot=disk, bodies=bodies)
    app.run()
    kernel.run()
    seen = [dict(kernel.map(graft, "wanted").items()) for graft in grafts]
    assert seen == [{1: 5}, {1: 6}, {} if stops else {1: 7}]


# --- replace ----------------------------------------------------------------------------------------------------------


def test_replacing_keeps_maps_of_equal_name_and_type_and_only_those() -> None:
    kernel = free()
    disk, app = bench(kernel)
    old = kernel.attach(counter(), to=app, slots={"disk": disk})
    kernel.map(old, "seen")[7] = {"n": 30}
    kernel.map(old, "other")[7] = 40
    new = kernel.replace(old, counter(step=100, other=32))
    kernel.jobs(app, graft=new, slot="disk", op="read", bodies=bytes(8), count=1, tags=np.array([7], np.uint64))
    app.run()
    kernel.run()
    assert dict(kernel.map(new, "seen").items()) == {7: {"n": 130}}
    assert dict(kernel.map(new, "other").items()) == {}


def test_messages_in_flight_come_to_the_replacement() -> None:
    kernel = free()
    disk, app = bench(kernel)
    first = kernel.attach(verified({"reply/disk.read": "r0 = 1\nexit"}), to=app, slots={"disk": disk})
    jobs = kernel.jobs(app, graft=first, slot="disk", op="read", bodies=bytes(8), count=1)
    app.run()
    kernel.run(50)
    kernel.replace(first, chase())
    kernel.run()
    assert jobs.results()[["outcome", "finished"]].tolist() == [(0, 900_000)]
    assert kernel.totals.count("activate") == 9


def test_arguments_of_jobs_go_to_the_maps_of_the_replacement() -> None:
    kernel = free()
    disk, app = bench(kernel)
    old = kernel.attach(chase(), to=app, slots={"disk": disk})
    kernel.jobs(app, graft=old, slot="disk", op="read", bodies=bytes(8), count=1, map="wanted",
                keys=np.array([3], np.uint64), values=np.array([44], np.uint64))  # fmt: skip
    new = kernel.replace(old, chase())
    app.run()
    kernel.run()
    assert dict(kernel.map(new, "wanted").items()) == {3: 44}


def test_a_replacement_may_serve_requests_where_the_old_graft_did_not_and_the_other_way_round() -> None:
    kernel = free()
    disk, app = bench(kernel)
    drop = verified({"request": "r0 = 2\nexit"})
    graft = kernel.attach(verified({"reply": "r0 = 0\nexit"}), to=disk, slots={"disk": disk})
    jobs = kernel.jobs(app, slot=disk, bodies=bytes(8), count=3, arrivals_ns=np.array([0, 1000, 2000]))
    app.run()
    kernel.run(500)
    graft = kernel.replace(graft, drop)
    kernel.run(1500)
    kernel.replace(graft, verified({"reply": "r0 = 0\nexit"}))
    kernel.run()
    assert jobs.results()["outcome"].tolist() == [0, 6, 0]


# --- detach -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", range(0, 1000, 50))
def test_detaching_at_any_moment_changes_no_answer(at: int) -> None:
    def run(detach: bool) -> list[Any]:
        kernel = free()
        disk, app = bench(kernel)
        graft = kernel.attach(chase(), to=app, slots={"disk": disk})
        jobs = kernel.jobs(app, graft=graft, slot="disk", op="read", bodies=bytes(8), count=2)
        app.run("submit", depth=2)
        kernel.run(at)
        if detach:
            kernel.detach(graft)
        kernel.run()
        rows = jobs.results()
        return [rows["outcome"].tolist(), [kernel.arena[body + 8] for body in rows["body"]]]

    if at > 0:  # what has not begun when the graft is detached it never sees
        assert run(True) == run(False)


def test_what_begins_after_a_graft_was_detached_it_does_not_see() -> None:
    kernel = free()
    disk, app = bench(kernel)
    graft = kernel.attach(chase(), to=app, slots={"disk": disk})
    jobs = kernel.jobs(app, graft=graft, slot="disk", op="read", bodies=bytes(8), count=2,
                       arrivals_ns=np.array([0, 300]))  # fmt: skip
    app.run("submit", depth=2)
    kernel.run(250)
    kernel.detach(graft)
    kernel.run()
    assert [kernel.arena[body + 8] for body in jobs.results()["body"]] == [8, 0]


def test_the_maps_of_a_detached_graft_are_freed_when_nothing_is_outstanding() -> None:
    kernel = free()
    disk, app = bench(kernel)
    graft = kernel.attach(chase(), to=app, slots={"disk": disk})
    kernel.jobs(app, graft=graft, slot="disk", op="read", bodies=bytes(8), count=1)
    app.run()
    kernel.run(250)
    kernel.detach(graft)
    states = []
    for until in (450, 850, 950):
        kernel.run(until)
        states.append(int(kernel.tables.graft[graft.row]["state"]))
    assert states == [tables.LEAVING, tables.LEAVING, tables.DETACHED]


def test_ten_thousand_attachments_twenty_at_a_time_take_the_room_of_twenty() -> None:
    kernel = free()
    disk, app = bench(kernel)
    program = counter()

    def cycle() -> list[Attachment]:
        grafts = [kernel.attach(program, to=app, slots={"disk": disk}) for _ in range(20)]
        for graft in grafts:
            kernel.detach(graft)
        assert dict(kernel.map(grafts[7], "seen").items()) == {}
        kernel.map(grafts[7], "seen")[1] = {"n": 2}
        kernel.run()
        return grafts

    def room() -> list[Any]:
        control = kernel.tables.machine.control[0]
        machine = [int(control[name]) for name in ("code_used", "regions_used", "maps_used", "handlers_used")]
        return [machine, dict(kernel.storage.used), int(kernel.tables.meter[0]["arena_used"])]

    for _ in range(2):
        cycle()
    before = room()
    for _ in range(500):
        cycle()
    assert room() == before


def test_a_killed_process_gives_the_places_of_its_grafts_back() -> None:
    kernel = free()
    disk = kernel.server("disk", image=chain_image(3), block=64)
    rows = []
    for number in range(4):
        app = kernel.client(f"app{number}")
        rows.append(kernel.attach(chase(), to=app, slots={"disk": disk}).row)
        kernel.load(chase(), to=app, slots={"disk": disk})
        kernel.kill(app)
        kernel.run()
    assert rows == [0, 0, 0, 0]


def test_a_chain_survives_being_replaced_by_itself_at_every_hop() -> None:
    kernel = free()
    disk, app = bench(kernel)
    graft = kernel.attach(verified({"reply/disk.read": CHASE}), to=app, slots={"disk": disk})
    jobs = kernel.jobs(app, graft=graft, slot="disk", op="read", bodies=bytes(8), count=1)
    app.run()
    for until in range(50, 1000, 100):
        kernel.run(until)
        graft = kernel.replace(graft, verified({"reply/disk.read": CHASE}))
    kernel.run()
    assert jobs.results()["finished"].tolist() == [900_000]
