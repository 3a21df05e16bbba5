"""Capabilities: they only shrink, they are the only names, and what was given can be taken back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from test_kernel_ops import Teller, free

import verifier
from grafting import compile_graft
from grafting.diagnostics import GraftError
from jit.hot import TierName
from kernel_model import Capability, Endpoint, Kernel, Process, Server
from kernel_model.core.tables import NONE, Q_CHILDREN
from kernel_model.hosting import (
    REPLY_RIGHT,
    Request,
    Script,
    call,
    cancel,
    compute,
    delete,
    forward,
    keep,
    mint,
    receive,
    reply,
    reply_to,
    revoke,
    sleep,
    submit,
    wait,
)

COSTS = {"derive": 7, "visit": 5}


def descendants(kernel: Kernel, row: int) -> Iterator[int]:
    child = int(kernel.tables.queue[kernel.tables.capability[row]["queues"] + Q_CHILDREN]["head"])
    while child != NONE:
        yield child
        yield from descendants(kernel, child)
        child = int(kernel.tables.capability[child]["next"])


def idle(_kernel: Kernel, _me: Process) -> Script:
    yield sleep(1)


def echo(kernel: Kernel, door: Endpoint, seen: list[Request], slots: int = 0, name: str = "echo") -> Process:
    """A server that notes what it gets and sends the body back."""

    def program(_kernel: Kernel, _me: Process) -> Script:
        request = yield receive(slots=slots)
        while request is not None:
            seen.append(request)
            request = yield reply(request.body, slots=slots)

    return kernel.process(name, program, endpoint=door)


def host(kernel: Kernel, actions: list[Any], name: str, **options: Any) -> list[Any]:
    """A process that does what `actions` says and keeps what came of it; a function there makes the next action."""
    results: list[Any] = []

    def program(_kernel: Kernel, _me: Process) -> Script:
        for action in actions:
            results.append((yield action(results) if callable(action) else action))

    kernel.process(name, program, **options)
    return results


# --- mint, grant ------------------------------------------------------------------------------------------------------


def test_a_minted_capability_has_a_subset_of_the_rights() -> None:
    kernel = free()
    disk, app = kernel.server("disk"), kernel.client("app")
    mine = kernel.grant(disk, app, rights={"grant"})
    assert mine.rights == {"grant"}
    assert kernel.mint(mine, rights=()).rights == frozenset()
    with pytest.raises(GraftError, match="G0818"):
        kernel.mint(mine, rights={"send"})


def test_a_badge_is_set_once() -> None:
    kernel = free()
    app = kernel.client("app")
    badged = kernel.grant(kernel.endpoint("door"), app, badge=7)
    with pytest.raises(GraftError, match="G0818"):
        kernel.mint(kernel.mint(badged), badge=9)


def test_a_process_cannot_name_what_another_holds() -> None:
    kernel = free()
    badged = kernel.grant(kernel.endpoint("door"), kernel.client("app"), badge=7)
    host(kernel, [call(badged)], "thief")
    with pytest.raises(GraftError, match="G0817"):
        kernel.run()


def test_the_right_to_send_is_needed_to_send_and_the_right_to_grant_to_give() -> None:
    kernel = free()
    disk, app, other = kernel.server("disk"), Teller(kernel, []), kernel.client("other")
    mute = kernel.grant(disk, app.process, rights={"grant"})
    own = kernel.grant(disk, app.process, rights={"send"})
    with pytest.raises(GraftError, match="G0817"):
        kernel.grant(own, other)
    results = []

    def program(_kernel: Kernel, me: Process) -> Script:
        results.append((yield submit(kernel.grant(mute, me))))
        results.append((yield submit(disk, caps=(kernel.grant(disk, me, rights={"send"}),))))

    kernel.process("sender", program)
    kernel.run()
    assert results == [-1, -1]  # EPERM


def test_a_badge_arrives_with_each_message() -> None:
    kernel = free()
    door, seen = kernel.endpoint("door"), []
    echo(kernel, door, seen)

    def program(_kernel: Kernel, me: Process) -> Script:
        badged = yield mint(kernel.grant(door, me), badge=2**63 + 5)
        yield call(badged)
        yield call(door)
        assert (yield mint(badged, badge=1)) == -1

    kernel.process("app", program)
    kernel.run()
    assert [request.badge for request in seen] == [2**63 + 5, 0]


# --- revoke -----------------------------------------------------------------------------------------------------------


def family(kernel: Kernel, disk: Server) -> dict[str, Capability]:
    """root -> a -> b -> c, and root -> d."""
    processes = {name: kernel.process(name, idle) for name in "abcd"}
    caps = {"a": kernel.grant(disk, processes["a"])}
    caps["b"] = kernel.grant(caps["a"], processes["b"])
    caps["c"] = kernel.grant(caps["b"], processes["c"])
    caps["d"] = kernel.grant(disk, processes["d"])
    return caps


def test_revoking_kills_all_descendants_and_nothing_else() -> None:
    kernel = free()
    caps = family(kernel, kernel.server("disk"))
    kernel.revoke(caps["a"])
    kernel.run()
    assert {name: cap.alive for name, cap in caps.items()} == {"a": True, "b": False, "c": False, "d": True}


def test_deleting_a_capability_leaves_what_was_given_of_it() -> None:
    kernel = free()
    disk = kernel.server("disk")
    caps = family(kernel, disk)
    kernel.delete(caps["b"])
    kernel.run()
    assert not caps["b"].exists
    assert caps["c"].alive
    kernel.revoke(caps["a"])  # it is a descendant of `a` still
    kernel.run()
    assert not caps["c"].alive
    with pytest.raises(GraftError, match="G0817"):
        kernel.delete(kernel.root(disk))


def test_revocation_is_done_in_bounded_pieces_and_charged_for_each_object() -> None:
    kernel = Kernel(prices=COSTS, engine="python", trace=True)
    disk, app = kernel.server("disk"), kernel.process("app", idle)
    given = [kernel.grant(disk, app) for _ in range(100)]
    kernel.revoke(disk)
    kernel.run()
    assert not any(cap.alive for cap in given)
    assert list(descendants(kernel, kernel.root(disk).row)) == []
    assert kernel.accounts["app"].count("visit") == 100
    assert kernel.statistics.longest_section_ns <= 17 * COSTS["visit"]
    assert len({at for at, what, *_ in kernel.events() if what == "revoke"}) == 7  # ceil(100 / 16) sections


def test_a_long_queue_behind_one_capability_is_cancelled_in_bounded_pieces_too() -> None:
    kernel = Kernel(prices=COSTS, engine="python")
    door = kernel.endpoint("door")
    app = Teller(kernel, [*[submit(door, tag=n) for n in range(40)], wait(40)])
    kernel.run(10)
    kernel.revoke(door)
    kernel.run()
    assert [(tag, outcome) for tag, outcome, *_ in app.log[-1][2]] == [(n, "cancelled") for n in range(40)]
    assert kernel.statistics.longest_section_ns <= 17 * COSTS["visit"]


def test_a_process_revokes_and_deletes_by_itself_at_its_own_cost() -> None:
    kernel = Kernel(prices=COSTS, engine="python")
    disk, other = kernel.server("disk"), kernel.process("other", idle)
    results = []

    def program(_kernel: Kernel, me: Process) -> Script:
        mine = kernel.grant(disk, me)
        for _ in range(20):
            kernel.grant(mine, other)
        results.append((yield revoke(mine)))
        results.append((yield revoke(mine)))
        results.append((yield delete(mine)))
        results.append((yield revoke(mine)))

    kernel.process("app", program)
    kernel.run()
    assert results == [-11, 0, 0, -9]


# --- capabilities in messages -----------------------------------------------------------------------------------------


def test_capabilities_in_a_message_land_in_the_slots_that_the_receiver_named() -> None:
    kernel = free()
    disk, door, seen = kernel.server("disk", reply=b"ok", service_ns=100), kernel.endpoint("door"), []
    got = []

    def helper(_kernel: Kernel, _me: Process) -> Script:
        request = yield receive(slots=2)
        seen.append(request)
        got.append((yield call(request.caps[0])))
        yield reply(receive=False)

    kernel.process("helper", helper, endpoint=door)
    app = Teller(kernel, [])

    def program(_kernel: Kernel, me: Process) -> Script:
        own = [kernel.grant(disk, me, badge=n) for n in (1, 2, 3)]
        yield call(door, caps=tuple(own))
        assert all(cap.alive for cap in own)  # they are copied

    kernel.process("sender", program)
    kernel.run()
    assert [cap and cap.badge for cap in seen[0].caps] == [1, 2, None]
    assert seen[0].truncated
    assert got[0].body == b"ok"
    assert app.log == []


def test_a_receiver_that_names_no_slot_gets_null_capabilities_and_is_told() -> None:
    kernel = free()
    disk, door, seen = kernel.server("disk"), kernel.endpoint("door"), []
    echo(kernel, door, seen)

    def program(_kernel: Kernel, me: Process) -> Script:
        yield call(door, caps=(kernel.grant(disk, me),))
        yield call(door)

    kernel.process("sender", program)
    before = int(kernel.tables.pool[4]["free"])
    kernel.run()
    assert [(request.caps, request.truncated) for request in seen] == [((None,), True), ((), False)]
    assert before - int(kernel.tables.pool[4]["free"]) == 2  # the sender's own two; no copy is left


def test_a_copy_is_a_descendant_and_is_revoked_with_its_original() -> None:
    kernel = free()
    disk, door, seen = kernel.server("disk"), kernel.endpoint("door"), []
    echo(kernel, door, seen, slots=1)
    given = []

    def program(_kernel: Kernel, me: Process) -> Script:
        given.append(kernel.grant(disk, me))
        yield call(door, caps=(given[0],))

    kernel.process("sender", program)
    kernel.run()
    kernel.revoke(given[0])
    kernel.run()
    assert given[0].alive
    assert not seen[0].caps[0].alive


def test_what_is_revoked_on_the_way_arrives_as_a_null_capability() -> None:
    kernel = free()
    disk, door, seen = kernel.server("disk"), kernel.endpoint("door"), []

    def late(_kernel: Kernel, _me: Process) -> Script:
        yield sleep(100)
        seen.append((yield receive(slots=1)))
        yield reply(receive=False)

    kernel.process("late", late, endpoint=door)

    def program(_kernel: Kernel, me: Process) -> Script:
        yield call(door, caps=(kernel.grant(disk, me),))

    kernel.process("sender", program)
    kernel.run(50)
    kernel.revoke(disk)
    kernel.run()
    assert (seen[0].caps, seen[0].truncated) == ((None,), False)


def test_a_reply_brings_capabilities_to_whoever_asked_with_slots() -> None:
    kernel = free()
    door = kernel.endpoint("door")

    def server(kernel: Kernel, me: Process) -> Script:
        request = yield receive()
        while request is not None:
            request = yield reply(b"here", caps=(kernel.root(door),))

    kernel.process("server", server, endpoint=door)
    results = host(kernel, [call(door, slots=1), call(door), submit(door, slots=1), wait(1)], "app")
    kernel.run()
    first, second, _, (third,) = results
    assert first.caps[0].kind == third.caps[0].kind == "endpoint"
    assert (second.caps, second.truncated) == ((None,), True)


# --- reply rights -----------------------------------------------------------------------------------------------------


def test_a_reply_right_moves_with_a_message_and_its_new_holder_replies() -> None:
    kernel = free(cores=3)
    front, back = kernel.endpoint("front"), kernel.endpoint("back")

    def receptionist(_kernel: Kernel, _me: Process) -> Script:
        request = yield receive()
        yield submit(back, body=request.body, caps=(REPLY_RIGHT,))
        assert (yield reply(b"mine", receive=False)) is None  # nothing is in its hand any more

    def worker(_kernel: Kernel, _me: Process) -> Script:
        request = yield receive(slots=1)
        yield compute(50)
        assert (yield reply_to(request.caps[0], request.body[::-1])) == 0
        assert (yield reply_to(request.caps[0], b"again")) == -9  # one-shot
        yield reply(receive=False)

    kernel.process("receptionist", receptionist, endpoint=front, core=1)
    kernel.process("worker", worker, endpoint=back, core=2)
    app = Teller(kernel, [call(front, body=b"abc", tag=1)])
    kernel.run()
    assert app.log == [(50, "Call", (1, "replied", 0, b"cba"))]


def test_a_reply_right_that_is_put_aside_lets_the_server_receive_first() -> None:
    kernel = free(cores=3)
    door = kernel.endpoint("door")

    def server(_kernel: Kernel, _me: Process) -> Script:
        yield receive()
        first = yield keep()
        yield receive()
        yield reply(b"second", receive=False)
        yield compute(70)
        yield reply_to(first, b"first")
        assert (yield keep()) == -2

    kernel.process("server", server, endpoint=door)
    apps = [Teller(kernel, [call(door)], name=f"app{n}", core=n) for n in (1, 2)]
    kernel.run()
    assert [app.log[0][::2] for app in apps] == [(70, (0, "replied", 0, b"first")), (0, (0, "replied", 0, b"second"))]


@pytest.mark.parametrize("how", ["receive", "exit", "delete", "no slot", "killed on the way"])
def test_a_dropped_reply_right_ends_the_request_peer_died(how: str) -> None:
    kernel = free(cores=2)
    front, back = kernel.endpoint("front"), kernel.endpoint("back")
    seen: list[Request] = []

    def server(kernel: Kernel, _me: Process) -> Script:
        yield receive()
        if how == "receive":
            yield receive()
        elif how == "delete":
            yield delete((yield keep()))
            yield sleep(1000)
        elif how != "exit":
            yield submit(back, caps=(REPLY_RIGHT,))
            yield sleep(1000)

    kernel.process("server", server, endpoint=front, core=1)
    if how == "no slot":
        echo(kernel, back, seen)
    app = Teller(kernel, [call(front, tag=1)])
    kernel.run(10)
    if how in ("exit", "killed on the way"):
        kernel.kill(kernel.processes["server"])
    kernel.run(500)
    assert app.log == [(10 if "exit" in how or "killed" in how else 0, "Call", (1, "peer_died", -104, b""))]


def test_a_right_to_reply_to_a_request_that_has_ended_is_worth_nothing() -> None:
    kernel = free(cores=2)
    door = kernel.endpoint("door")
    told = []

    def server(_kernel: Kernel, _me: Process) -> Script:
        yield receive()
        right = yield keep()
        yield compute(100)
        told.append(right.alive)
        told.append((yield reply_to(right, b"too late")))

    kernel.process("server", server, endpoint=door, core=1)
    app = Teller(kernel, [call(door, deadline_ns=30)])
    kernel.run()
    assert app.log == [(30, "Call", (0, "timed_out", -110, b""))]
    assert told == [False, 0]


def test_a_request_that_is_passed_on_is_answered_by_the_last() -> None:
    kernel = free(cores=3)
    front, back = kernel.endpoint("front"), kernel.endpoint("back")
    seen: list[Request] = []
    echo(kernel, back, seen)

    def first(_kernel: Kernel, _me: Process) -> Script:
        request = yield receive()
        while request is not None:
            request = yield forward(back, 5, request.body + b"!", tag=request.tag)

    kernel.process("first", first, endpoint=front, core=1)
    app = Teller(kernel, [call(front, body=b"x", tag=9)], core=2)
    kernel.run()
    assert app.log == [(0, "Call", (9, "replied", 0, b"x!"))]
    assert seen == [Request(9, 5, 0, b"x!")]


def test_revoking_cancels_what_was_passed_on_through_the_capability_and_not_received() -> None:
    kernel = free(cores=2)
    front, back = kernel.endpoint("front"), kernel.endpoint("back")

    def first(_kernel: Kernel, _me: Process) -> Script:
        yield receive()
        yield forward(back, tag=1)

    kernel.process("first", first, endpoint=front, core=1)
    app = Teller(kernel, [call(front, tag=1)])
    kernel.run(10)
    kernel.revoke(back)
    kernel.run()
    assert app.log == [(10, "Call", (1, "cancelled", -125, b""))]


# --- cost -------------------------------------------------------------------------------------------------------------


def test_cancelling_costs_what_it_looks_at_and_not_what_there_is() -> None:
    kernel = Kernel(prices=COSTS, engine="python")
    door = kernel.endpoint("door", capacity=99)
    Teller(kernel, [submit(door, tag=n) for n in range(60)], name="crowd")
    app = Teller(kernel, [*[submit(door, tag=n) for n in range(3)], cancel(1), cancel(9), wait(1)])
    kernel.run()
    assert app.log[3:5] == [(10.0, "Cancel", 0), (20.0, "Cancel", -2)]
    assert kernel.accounts["app"].count("visit") == 2 + 2
    assert isinstance(app.log[5][2], list)


def test_the_root_of_an_endpoint_stays_as_long_as_the_endpoint() -> None:
    kernel = free(cores=2)
    door = kernel.endpoint("door")

    def server(kernel: Kernel, _me: Process) -> Script:
        assert (yield delete(kernel.root(door))) == -1
        yield receive()

    kernel.process("first", server, endpoint=door)
    kernel.process("second", idle, endpoint=door, core=1)
    kernel.run()
    kernel.kill(kernel.processes["first"])
    kernel.run()
    app = Teller(kernel, [submit(door)])
    kernel.run()
    assert app.log[0][2] == 0


def test_an_order_about_a_capability_that_has_gone_since_does_nothing() -> None:
    kernel = free()
    door, app = kernel.endpoint("door"), kernel.process("app", idle)
    mine = kernel.grant(door, app)
    child = kernel.mint(mine)
    kernel.delete(mine)
    kernel.delete(mine)
    kernel.revoke(mine)
    kernel.run()
    assert not mine.exists
    assert child.alive
    taken = [kernel.mint(child).row for _ in range(3)]
    assert len(set(taken)) == 3


COUNT_ONE = """
graft counting
protocol block { op read(index: u64) }
cap disk: block
map seen: hash<u64, u64, 8>
on reply(msg) from disk.read { seen[msg.tag] = 1 else { return deliver } return deliver }
"""


@pytest.mark.parametrize("tier", ["python", "numba"])
@pytest.mark.parametrize("where", ["attach", "attach then delete"])
def test_a_reply_comes_through_the_slot_that_held_what_was_sent_through_and_no_other(
    where: str, tier: TierName
) -> None:
    """The capability of a request is deleted; its row becomes another's, which a graft has in a slot, or had."""
    kernel = Kernel(prices={}, engine=tier, cores=2)
    door, other = kernel.endpoint("door"), kernel.endpoint("other")
    graft = verifier.verify(compile_graft(COUNT_ONE))
    made: list[Any] = []

    def slow(_kernel: Kernel, _me: Process) -> Script:
        yield receive()
        yield compute(1_000)
        yield reply(b"late")

    def app(kernel: Kernel, me: Process) -> Script:
        first = kernel.grant(door, me)
        if where == "attach then delete":
            made.append(kernel.attach(graft, to=me, slots={"disk": first}))
        yield submit(first, tag=1)
        yield compute(100)
        yield delete(first)
        second = kernel.grant(other, me)
        assert second.row == first.row
        if where == "attach":
            made.append(kernel.attach(graft, to=me, slots={"disk": second}))
        yield wait(1)

    kernel.process("slow", slow, endpoint=door, core=1)
    kernel.process("app", app)
    kernel.run()
    assert len(kernel.map(made[0], "seen")) == (0 if where == "attach" else 1)


@pytest.mark.parametrize("tier", ["python", "numba"])
def test_a_draft_does_not_go_through_a_capability_that_has_got_the_row_of_its_own(tier: TierName) -> None:
    kernel = Kernel(prices={}, engine=tier)
    app, other = kernel.client("app"), kernel.server("other", reply=b"")
    first = kernel.grant(kernel.server("disk", reply=b""), app)
    kernel.jobs(app, slot=first, bodies=bytes(8), count=1, prepare_ns=500)
    app.run("submit")
    kernel.run(100)  # the draft is written
    kernel.delete(first)
    kernel.run(200)
    assert kernel.grant(other, app).row == first.row
    kernel.run()
    assert kernel.accounts["other"].count("dispatch_reply") == 0
    assert kernel.statistics.operations_submitted == 0
