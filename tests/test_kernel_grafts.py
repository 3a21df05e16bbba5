"""Several grafts on a hook; attach, replace and detach with messages in flight; what they lie in is used again."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
from kernels import CHASE, answers, chain_image, chase, verified
from test_kernel_ops import Teller, free

import verifier
from grafting import compile_graft
from jit.hot import TierName
from kernel_model import Attachment, Client, Kernel, Process, Server, capabilities
from kernel_model.core import storage, tables
from kernel_model.hosting import Script, call, compute, receive, reply, sleep, submit, wait

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


# --- fuel among several -----------------------------------------------------------------------------------------------

SEND = """
    r9 = 0
    *(u64 *)(r10 - 8) = r9
    r1 = 0
    r2 = 0
    r3 = 7
    r4 = r10
    r4 += -8
    r5 = 8
    call 1000
"""


def ends(verdict: int) -> str:
    return f"{SEND}\nr0 = {verdict}\nexit"


@pytest.mark.parametrize("grafts", [1, 2, 4])
def test_grafts_of_one_hook_share_the_fuel_of_an_event(grafts: int) -> None:
    """Each sends once on every reply, so the requests double from hop to hop; the fuel is for 15 activations in all."""
    kernel = Kernel(prices={"activate": 100}, engine="python", fuel_ns=1_500, cores=2)
    disk = kernel.server("disk", reply=bytes(8), service_ns=1, core=1, capacity=10_000)
    teller = Teller(kernel, [submit(disk), wait(1)])
    for number in range(grafts):
        kernel.attach(verified({"reply": ends(int(number == grafts - 1))}), to=teller.process, slots={"disk": disk})
    kernel.run(200_000)
    assert 0 < sum(kernel.tables.graft["spent"].tolist()) <= 1_500_000
    assert teller.log[-1][1] == "Wait"


def test_a_request_and_its_reply_share_the_fuel_of_the_sender() -> None:
    """A server's graft sends to its own endpoint when a request arrives and when a reply comes: two from one."""
    kernel = Kernel(prices={"activate": 100}, engine="python", fuel_ns=3_000, cores=2)
    disk = kernel.server("disk", reply=bytes(8), service_ns=1, core=1, capacity=10_000)
    graft = verified({"request": ends(0), "reply": ends(1)})
    kernel.attach(graft, to=disk, slots={"disk": disk})
    app = kernel.client("app")
    jobs = kernel.jobs(app, slot=disk, bodies=bytes(8), count=1)
    app.run()
    kernel.run(500_000)
    assert jobs.results()["outcome"].tolist() == [0]
    assert 0 < sum(kernel.tables.graft["spent"].tolist()) <= 3_000_000


def test_a_timer_of_user_mode_takes_no_share_of_the_fuel_of_later_activations() -> None:
    """What is yet to be shared out (`UNSHARED`) is so within an activation in the kernel only."""
    kernel = free(activation="off")
    disk, app = bench(kernel)
    arm = "r1 = 5\nr2 = 90000\ncall 1004\nr0 = 1\nexit"
    kernel.attach(verified({"reply": arm, "timer": "r0 = 0\nexit"}), to=app, slots={"disk": disk})
    kernel.jobs(app, slot=disk, bodies=bytes(8), count=1)
    app.run("submit")
    kernel.run(5_000)
    k = kernel.tables
    armed = [int(t) for t in k.heap[: int(k.meter[0]["heap_size"])] if k.timer[t]["kind"] == tables.T_USER]
    assert len(armed) == 1
    assert k.timer[armed[0]]["fuel"] != tables.UNSHARED


# --- one section ------------------------------------------------------------------------------------------------------

ASKS = """graft asks
protocol block { op read(index: u64) }
cap disk: block
on reply(msg) from disk.read { send disk.read(msg.tag) tag msg.tag else { return deliver } return consume }
"""
ANSWERS = """graft answers
protocol block { op read(index: u64) }
serve block
on request(msg) for read(index) { return answer msg.body[0..8] }
"""


def test_a_section_ends_even_where_nothing_has_a_price() -> None:
    """Each reply is followed by a request that is answered at once: time would never bound the eager window."""
    kernel = Kernel(prices={"activate_user": 1}, engine="python", trace=True)
    disk, app = kernel.server("disk", reply=bytes(8), service_ns=0), kernel.client("app")
    kernel.attach(verifier.verify(compile_graft(ANSWERS)), to=disk, slots={})
    kernel.attach(verifier.verify(compile_graft(ASKS)), to=app, slots={"disk": disk})
    kernel.jobs(app, slot=disk, bodies=bytes(8), count=1)
    app.run()
    kernel.run(until_ns=5)
    in_section, most = 0, 0
    for _, what, *_ in kernel.events():
        in_section = 0 if what == "section" else in_section + (what == "activate")
        most = max(most, in_section)
    assert 2 < most <= tables.SECTION_STEPS + 1
    assert kernel.statistics.fallbacks >= 1


# --- a submission that goes on to a second graft ----------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["call", "submit"])
def test_a_submission_comes_back_to_the_library_although_another_graft_has_sent_for_it(mode: Any) -> None:
    """The first graft passes and sends one more request; the second is over the eager bound. Nothing is lost."""
    kernel = Kernel(prices={"activate": 100}, engine="python", cores=2, eager_ns=150, trace=True)
    disk = kernel.server("disk", reply=bytes(8), service_ns=10, core=1)
    app = kernel.client("app")
    for _ in range(2):
        kernel.attach(verified({"submit": ends(0)}), to=app, slots={"disk": disk})
    jobs = kernel.jobs(app, slot=disk, bodies=bytes(8), count=3)
    app.run(mode)
    kernel.run(20_000)
    assert jobs.results()["outcome"].tolist() == [0, 0, 0]
    assert kernel.statistics.fallbacks == 3
    assert kernel.statistics.requests_submitted == 3 * (
        1 + 1 + 2
    )  # submitted, sent; submitted again, sent by the second
    assert kernel.statistics.late == 0
    assert kernel.statistics.operations_in_flight == 0


def test_a_caller_whose_submission_comes_back_can_be_killed_before_it_runs() -> None:
    """It is ready then, not calling: a thread of higher priority has the core."""
    kernel = Kernel(prices={"activate": 100}, engine="python", cores=2, eager_ns=150)
    disk = kernel.server("disk", reply=bytes(8), service_ns=10, core=1)
    app = kernel.client("app")
    for verdict in (0, 0):
        kernel.attach(verified({"submit": f"r0 = {verdict}\nexit"}), to=app, slots={"disk": disk})
    kernel.jobs(app, slot=disk, bodies=bytes(8), count=1)
    Teller(kernel, [sleep(50), compute(500)], "urgent", priority=9)
    app.run()
    kernel.run(120)
    kernel.kill(app)
    kernel.run()
    assert kernel.tables.process[app.row]["state"] == tables.DEAD
    assert kernel.statistics.operations_in_flight == 0


# --- steering ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("locks", ["one", "core"])
def test_a_steered_request_arrives_at_the_other_endpoint_and_is_asked_about_there(locks: Any) -> None:
    """Behind the first door stands a graft that sends all on to the second, where one refuses what has an odd tag."""
    kernel = free(cores=3, locks=locks)
    seen: list[tuple[int, int]] = []
    door = kernel.endpoint("door")

    def program(_kernel: Kernel, _me: Process) -> Script:
        request = yield receive()
        while request is not None:
            seen.append((request.tag, request.badge))
            request = yield reply(b"second")

    second = kernel.process("second", program, endpoint=door, core=2)
    first = kernel.server("first", reply=b"first", core=1)
    other = kernel.capability(door, first.row, badge=6)
    odd = "r0 = *(u64 *)(r1 + 16)\nr0 &= 1\nif r0 == 0 goto out\nr0 = 2\nout:\nexit"
    kernel.attach(verified({"request": "r0 = 3\nexit"}), to=first, slots={"disk": capabilities.handle(kernel, other)})
    kernel.attach(verified({"request": odd}), to=second, slots={"disk": None})
    teller = Teller(kernel, [call(first, tag=4), call(first, tag=5)])
    kernel.run()
    assert [result for _, _, result in teller.log] == [(4, "replied", 0, b"second"), (5, "refused", -111, b"")]
    assert seen == [(4, 6)]


@pytest.mark.parametrize("price", [0, 100])
def test_what_is_steered_round_and_round_is_queued_where_it_is_in_the_end(price: float) -> None:
    """When the sender's fuel is used up, and where activations cost nothing after eight times."""
    kernel = Kernel(prices={"activate": price}, engine="python", fuel_ns=500, eager_ns=1e6)
    ends_ = [kernel.server(f"server{n}", reply=b"%d" % n, service_ns=10) for n in range(2)]
    for here, there in (ends_, ends_[::-1]):
        kernel.attach(verified({"request": "r0 = 3\nexit"}), to=here, slots={"disk": there})
    teller = Teller(kernel, [call(ends_[0], tag=4)])
    kernel.run(50_000)
    assert teller.log[0][2][:2] == (4, "replied")
    assert kernel.totals.count("activate") == (4 if price else 9)


# --- leaving ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("room", [1, 0])
def test_a_graft_detached_while_its_periodic_timer_is_deferred_is_gone_when_that_was_dealt_with(room: int) -> None:
    """The expiry is delivered to the process, a Python one, if there is room for it."""
    kernel = free(activation="deferred")
    disk = kernel.server("disk")
    teller = Teller(kernel, [wait(1, timeout_ns=20_000)], "app", priority=7, completions=room)
    graft = kernel.attach(
        verified({"timer": "r0 = 0\nexit"}), to=teller.process, slots={"disk": disk}, every={7: 10_000}
    )
    Teller(kernel, [sleep(5_000), compute(10_000)], "urgent", priority=9)
    kernel.run(11_000)
    assert kernel.tables.process[teller.process.row]["deferred"] == 1
    kernel.detach(graft)
    kernel.run(19_000)
    assert len(teller.log) == room
    assert kernel.tables.graft[graft.row]["state"] == tables.DETACHED


def test_a_generator_whose_submission_comes_back_leaves_nothing_of_what_it_carried() -> None:
    """It has no library that could submit again, so it is told `cancelled`; the copies that were made are deleted."""
    kernel = Kernel(prices={"activate": 100}, engine="python", eager_ns=150)
    disk = kernel.server("disk", reply=bytes(8))
    teller = Teller(kernel, [])
    for _ in range(2):
        kernel.attach(verified({"submit": "r0 = 0\nexit"}), to=teller.process, slots={"disk": disk})
    own = kernel.grant(disk, teller.process)
    before = int(kernel.tables.pool[tables.P_CAPABILITY]["free"])
    kernel._hosts[teller.process.row].script = teller.program([call(disk, caps=(own,))])
    kernel.run()
    assert [result[:2] for _, _, result in teller.log] == [(0, "cancelled")]
    free_rows = int(kernel.tables.pool[tables.P_CAPABILITY]["free"])
    assert before - free_rows <= 1  # the one by which it calls


@pytest.mark.parametrize("tier", ["python", "numba"])
@pytest.mark.parametrize("engine", ["interpreted", "native"])
def test_the_tables_of_the_machine_grow_with_the_grafts(
    tier: TierName, engine: Literal["interpreted", "native"], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many grafts as fit twice and thrice into tables of this length; those from before go on."""
    for table, rows in (("SLOTS", 40), ("PROGRAMS", 1), ("MAPS", 2), ("HANDLERS", 2)):
        monkeypatch.setattr(storage, f"MACHINE_{table}", rows)
    kernel = Kernel(prices={}, engine=tier, cores=2)
    disk = kernel.server("disk", image=chain_image(5), block=64, service_ns=10, core=1)
    work = []
    for number in range(8):
        app = kernel.client(f"app{number}")
        graft = kernel.attach(chase(), to=app, slots={"disk": disk}, engine=engine)
        kernel.map(graft, "wanted")[number] = number
        work.append((graft, kernel.jobs(app, graft=graft, slot="disk", op="read", bodies=bytes(8), count=2)))
        app.run()
        kernel.run(kernel.now_ps / 1000 + 25)
    kernel.run()
    for number, (graft, jobs) in enumerate(work):
        assert answers(kernel, jobs).tolist() == [4, 4]
        assert dict(kernel.map(graft, "wanted").items()) == {number: number}


def test_a_submission_that_came_back_to_a_process_that_is_killed_leaves_nothing_of_what_it_carried() -> None:
    kernel = Kernel(prices={"activate": 100}, engine="python", eager_ns=150)
    disk = kernel.server("disk", reply=bytes(8))
    teller = Teller(kernel, [])
    for _ in range(2):
        kernel.attach(verified({"submit": "r0 = 0\nexit"}), to=teller.process, slots={"disk": disk})
    own = kernel.grant(disk, teller.process)
    kernel._hosts[teller.process.row].script = teller.program([submit(disk, caps=(own,)), compute(10_000)])
    kernel.run(5_000)
    assert kernel.tables.process[teller.process.row]["cq_posted"] == 1
    kernel.kill(teller.process)
    kernel.run()
    alive = len(kernel.tables.capability) - int(kernel.tables.pool[tables.P_CAPABILITY]["free"])
    assert alive == kernel.storage.used["endpoint"]  # their roots
