"""Promises, wires, routes: what can be sent before it is known where to, or with what."""

from __future__ import annotations

import random
from typing import Any

import pytest
from test_kernel_capabilities import echo, host
from test_kernel_ops import Log, Teller, free, numbered, word

from grafting.diagnostics import GraftError
from jit.hot import TierName
from kernel_model import Endpoint, Kernel, Process
from kernel_model.hosting import (
    Action,
    Script,
    Wire,
    call,
    cancel,
    compute,
    keep,
    pipeline,
    receive,
    reply,
    submit,
    wait,
)

CHAIN = (4).to_bytes(8, "little") + bytes(24) + (2).to_bytes(8, "little") + (6).to_bytes(8, "little") * 3


def opener(kernel: Kernel, to: Endpoint, *, work: int = 100, status: int = 0, brings: bool = True) -> Endpoint:
    """A server whose reply brings a capability to `to`."""
    door = kernel.endpoint("opener")

    def program(kernel: Kernel, me: Process) -> Script:
        own = kernel.grant(to, me)
        request = yield receive()
        while request is not None:
            yield compute(work)
            request = yield reply(b"opened", status=status, caps=(own,) if brings else ())

    kernel.process("opener", program, endpoint=door, core=1)
    return door


def with_slots(kernel: Kernel, actions: Any, slots: int = 1, **options: Any) -> Log:
    """A client that does `actions(its slots)` and notes what came when."""
    log: Log = []

    def program(kernel: Kernel, me: Process) -> Script:
        for action in actions(*[kernel.slot(me) for _ in range(slots)]):
            result = yield action
            log.append((kernel.now_ps / 1000, type(action).__name__, Teller.brief(result)))

    kernel.process("client", program, **options)
    return log


def ends(log: Log) -> dict[int, tuple[float, str]]:
    """When each operation ended and how, by tag."""
    return {tag: (at, outcome) for at, kind, result in log if kind == "Wait" for tag, outcome, *_ in result if tag}


# --- promises ---------------------------------------------------------------------------------------------------------


def test_sends_to_a_promise_wait_in_the_kernel_and_go_in_order_when_it_is_kept() -> None:
    kernel = free(cores=3)
    file, seen = kernel.endpoint("file"), []
    echo(kernel, file, seen)
    door = opener(kernel, file)

    def actions(slot: Any) -> list[Action]:
        sends = [submit(slot, body=word(n), tag=n) for n in (2, 3, 4)]
        return [pipeline(submit(door, tag=1, promise=slot), *sends), wait(4), wait(4)]

    log = with_slots(kernel, actions, core=2)
    kernel.run()
    assert log[0] == (0, "Pipeline", [0, 0, 0, 0])
    assert [request.tag for request in seen] == [2, 3, 4]
    assert {tag: how for tag, (_, how) in ends(log).items()} == dict.fromkeys((1, 2, 3, 4), "replied")
    assert kernel.totals.count("entry") < 20


def test_a_kept_promise_is_a_capability_like_any_other() -> None:
    kernel = free(cores=3)
    file, seen = kernel.endpoint("file"), []
    echo(kernel, file, seen)
    door = opener(kernel, file)
    log = with_slots(kernel, lambda slot: [call(door, promise=slot), call(slot, body=b"later", tag=7)], core=2)
    kernel.run()
    assert log[1][2] == (7, "replied", 0, b"later")
    kernel.revoke(file)  # it descends from what the opener sent
    kernel.run()
    assert not any(
        row["kind"] == 1 and row["alive"] and row["parent"] >= 0 and row["endpoint"] == file.row
        for row in kernel.tables.capability
    )


@pytest.mark.parametrize("how", ["error", "no capability", "cancelled", "timed out", "dead", "refused"])
def test_a_promise_that_is_not_kept_breaks_all_that_depends_on_it_transitively(how: str) -> None:
    kernel = free(cores=3)
    file = kernel.endpoint("file")
    door = opener(kernel, file, status=-5 if how == "error" else 0, brings=how != "no capability")
    if how == "refused":
        kernel.kill(kernel.processes["opener"])
        kernel.run(1)

    def actions(a: Any, b: Any) -> list[Action]:
        steps = [
            submit(door, tag=1, promise=a, deadline_ns=50 if how == "timed out" else 0),
            submit(a, tag=2, promise=b),
            submit(b, tag=3),
            submit(a, tag=4),
        ]
        extra = [cancel(1)] if how == "cancelled" else []
        return [pipeline(*steps), *extra, wait(4), call(b, tag=5), call(a, tag=6)]

    log = with_slots(kernel, actions, slots=2, core=2)
    kernel.run(20)
    if how == "dead":
        kernel.kill(kernel.processes["opener"])
    kernel.run()
    told = ends(log)
    assert [told[tag][1] for tag in (2, 3, 4)] == ["broken"] * 3
    assert len({told[tag][0] for tag in (1, 2, 3, 4)}) == 1  # at one instant
    assert [entry[2][1] for entry in log[-2:]] == ["broken", "broken"]
    assert kernel.statistics.requests_in_flight == 0


def test_what_waits_for_a_promise_is_on_its_senders_quota() -> None:
    kernel = free(cores=3)
    door = opener(kernel, kernel.endpoint("file"))

    def actions(slot: Any) -> list[Action]:
        return [pipeline(submit(door, promise=slot), *[submit(slot, tag=n) for n in (1, 2, 3, 4)])]

    log = with_slots(kernel, actions, core=2, completions=4)
    kernel.run(50)
    assert log == [(0, "Pipeline", [0, 0, 0, 0, -11])]
    kernel.run()


def test_a_slot_with_an_open_promise_takes_no_other_and_can_be_used_again_afterwards() -> None:
    kernel = free(cores=3)
    file, seen = kernel.endpoint("file"), []
    echo(kernel, file, seen)
    door = opener(kernel, file)

    def actions(slot: Any) -> list[Action]:
        again = [submit(door, promise=slot), submit(door, promise=slot), wait(1)]
        return [*again, submit(door, promise=slot), wait(1), call(slot, tag=1)]

    log = with_slots(kernel, actions, core=2)
    kernel.run()
    assert [result for _, _, result in log][:2] == [0, -11]
    assert log[-1][2] == (1, "replied", 0, b"")


def test_deadlines_and_cancelling_end_what_waits_for_a_promise() -> None:
    kernel = free(cores=3)
    door = opener(kernel, kernel.endpoint("file"), work=1000)

    def actions(slot: Any) -> list[Action]:
        steps = [submit(door, promise=slot), submit(slot, tag=1, deadline_ns=70), submit(slot, tag=2)]
        return [pipeline(*steps), cancel(2), wait(1), wait(1)]

    log = with_slots(kernel, actions, core=2)
    kernel.run(500)
    assert ends(log) == {2: (0, "cancelled"), 1: (70, "timed_out")}


def test_a_call_can_be_made_to_a_promise_and_returns_with_its_answer() -> None:
    kernel = free(cores=3)
    file, seen = kernel.endpoint("file"), []
    echo(kernel, file, seen)
    door = opener(kernel, file)
    log = with_slots(kernel, lambda slot: [submit(door, promise=slot), call(slot, body=b"x", tag=2)], core=2)
    kernel.run()
    assert log[-1] == (100, "Call", (2, "replied", 0, b"x"))


# --- wires ------------------------------------------------------------------------------------------------------------


def test_a_wire_copies_reply_bytes_into_a_waiting_argument() -> None:
    kernel = free(cores=2)
    disk = kernel.server("disk", image=CHAIN, block=8, service_ns=100, core=1)
    steps = [submit(disk, 0, word(0), tag=1)]
    steps += [submit(disk, 0, word(99), tag=n + 1, wires=(Wire(source=n - 1),)) for n in (1, 2)]
    app = Teller(kernel, [pipeline(*steps), wait(3), wait(3)])
    kernel.run()
    assert app.log[-1][0] == 300
    done = [entry for _, _, results in app.log[1:] for entry in results]
    assert done == [(1, "replied", 0, word(4)), (2, "replied", 0, word(2)), (3, "replied", 0, word(0))]


def test_wires_gather_parts_of_several_replies_and_the_argument_goes_when_all_are_there() -> None:
    kernel = free(cores=4)
    door, seen = kernel.endpoint("door"), []
    echo(kernel, door, seen)
    slow = kernel.server("slow", reply=b"SLOW5678", service_ns=300, core=1)
    fast = kernel.server("fast", reply=b"FAST5678", service_ns=100, core=2)
    gather = submit(door, body=b"........", wires=(Wire(0, 0, 4, 4), Wire(1, 2, 1, 2)))
    app = Teller(kernel, [pipeline(submit(slow), submit(fast), gather), wait(3), wait(1)], core=3)
    kernel.run()
    assert seen[0].body == b".ST.SLOW"
    assert app.log[-1][0] >= 300


def test_a_target_has_its_bytes_however_fast_its_source_is_answered() -> None:
    results = []
    for service in (0, 100):
        kernel = free(cores=2)
        disk = kernel.server("disk", image=CHAIN, block=8, service_ns=service, core=1)
        steps = [submit(disk, 0, word(0)), submit(disk, 0, word(7), wires=(Wire(0),))]
        app = Teller(kernel, [submit(disk, 0, word(1)), wait(1), pipeline(*steps), wait(2), wait(1)])
        kernel.run()
        results.append([entry[3] for _, _, done in app.log[3:] for entry in done])
    assert results[0] == results[1] == [word(4), word(2)]


def test_a_reply_that_is_too_short_or_fails_breaks_what_waits_for_it() -> None:
    kernel = free(cores=2)
    disk = kernel.server("disk", image=CHAIN, block=8, service_ns=100, core=1)
    steps = [
        submit(disk, 0, word(0), tag=1),
        submit(disk, 0, word(0), tag=2, wires=(Wire(0, at=4),)),  # bytes 4 .. 12 of 8
        submit(disk, 0, word(0), tag=3, wires=(Wire(1),)),
        submit(disk, 0, word(999), tag=4),
        submit(disk, 0, word(0), tag=5, wires=(Wire(3),)),
    ]
    app = Teller(kernel, [pipeline(*steps), wait(5), wait(1)])
    kernel.run()
    told = {tag: outcome for tag, (_, outcome) in ends(app.log).items()}
    assert told == {1: "replied", 2: "broken", 3: "broken", 4: "error", 5: "broken"}


def test_what_waits_holds_back_what_is_sent_through_the_same_capability_after_it() -> None:
    kernel = free(cores=3)
    door, seen = kernel.endpoint("door"), []
    echo(kernel, door, seen)
    slow = kernel.server("slow", reply=bytes(8), service_ns=300, core=1)
    steps = [submit(slow, tag=1), submit(door, body=bytes(8), tag=2, wires=(Wire(0),)), submit(door, tag=3)]
    Teller(kernel, [pipeline(*steps), submit(door, tag=4), wait(4), wait(4)], core=2)
    kernel.run()
    assert [request.tag for request in seen] == [2, 3, 4]


@pytest.mark.parametrize("tier", ["python", "numba"])
@pytest.mark.parametrize("how", ["wires", "promise"])
def test_dependants_of_one_promise_are_received_in_the_order_in_which_they_were_sent(how: str, tier: TierName) -> None:
    """1, then 2 to 6 that wait for its reply, then 7 that waits for nothing but comes after them."""
    kernel = Kernel(prices={}, engine=tier, cores=3)
    file, seen = kernel.endpoint("file"), []
    echo(kernel, file, seen)
    door = opener(kernel, file)

    def actions(slot: Any) -> list[Action]:
        if how == "wires":
            first, to = submit(door, tag=1), file
            steps = [submit(to, body=bytes(8), tag=n, wires=(Wire(0, 0, 0, 4),)) for n in range(2, 7)]
        else:
            first, to = submit(door, tag=1, promise=slot), slot
            steps = [submit(to, body=bytes(8), tag=n) for n in range(2, 7)]
        return [pipeline(first, *steps, submit(to, tag=7)), wait(7), wait(7)]

    with_slots(kernel, actions, core=2)
    kernel.run()
    assert [request.tag for request in seen] == [2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("seed", range(6))
def test_wires_between_any_steps_keep_the_order_of_one_capability(seed: int) -> None:
    draw = random.Random(seed)
    kernel = free(cores=3)
    door, seen = kernel.endpoint("door"), []
    echo(kernel, door, seen)
    steps = [
        submit(door, body=bytes(16), tag=n,
               wires=tuple(Wire(source, 0, 0, 8) for source in range(n) if draw.random() < 0.2))
        for n in range(20)
    ]  # fmt: skip
    with_slots(kernel, lambda slot: [pipeline(*steps), wait(20)], core=2)
    kernel.run()
    assert [request.tag for request in seen] == list(range(20))


def test_a_step_that_cannot_be_submitted_breaks_those_that_depend_on_it() -> None:
    kernel = free(cores=2)
    disk = kernel.server("disk", image=numbered(8), block=8, core=1)

    def actions(slot: Any) -> list[Action]:
        mute = kernel.grant(disk, kernel.processes["client"], rights=())
        steps = [
            submit(mute, tag=1, promise=slot),
            submit(slot, tag=2),
            submit(disk, 0, word(0), tag=3, wires=(Wire(0),)),
        ]
        return [pipeline(*steps), wait(2)]

    log = with_slots(kernel, actions)
    kernel.run()
    assert log[0][2] == [-1, 0, 0]
    assert {tag: how for tag, (_, how) in ends(log).items()} == {2: "broken", 3: "broken"}


@pytest.mark.parametrize("bad", [Wire(source=1), Wire(source=-1), Wire(0, to=1), Wire(0, at=-1)])
def test_a_wire_that_leads_nowhere_is_an_error_of_the_user(bad: Wire) -> None:
    kernel = free()
    disk = kernel.server("disk")
    Teller(kernel, [pipeline(submit(disk), submit(disk, body=bytes(8), wires=(bad,)))])
    with pytest.raises(GraftError, match="G0819"):
        kernel.run()


def test_promises_and_wires_are_priced() -> None:
    kernel = Kernel(prices={"wire": 3, "promise": 5, "route": 7, "copy_byte": 1}, engine="python", cores=3)
    file, seen = kernel.endpoint("file"), []
    echo(kernel, file, seen)
    door = opener(kernel, file)

    def actions(slot: Any) -> list[Action]:
        last = submit(slot, body=bytes(8), wires=(Wire(0, length=6),))
        return [pipeline(submit(door, promise=slot), last), wait(2), wait(1)]

    with_slots(kernel, actions, core=2)
    kernel.run()
    assert seen[0].body == b"opened\0\0"
    counts = {name: kernel.accounts["client"].count(name) for name in ("wire", "promise", "copy_byte")}
    assert counts == {"wire": 1, "promise": 1, "copy_byte": 6}


# --- routes -----------------------------------------------------------------------------------------------------------


def test_a_routed_reply_becomes_the_next_request_and_the_last_one_comes_back() -> None:
    kernel = free(cores=2)
    disk = kernel.server("disk", image=CHAIN, block=8, service_ns=100, core=1)
    app = Teller(kernel, [call(disk, 0, word(0), tag=1, route=((disk, 0), (disk, 0))), call(disk, 0, word(1), tag=2)])
    kernel.run()
    assert app.log == [(300, "Call", (1, "replied", 0, word(0))), (400, "Call", (2, "replied", 0, bytes(8)))]
    assert kernel.accounts["app"].count("route") == 2
    assert kernel.statistics.requests_submitted == 2  # it is one request all the way


def test_an_error_on_the_way_comes_back_at_once() -> None:
    kernel = free(cores=2)
    disk = kernel.server("disk", image=numbered(4), block=8, service_ns=100, core=1)
    door, seen = kernel.endpoint("door"), []
    echo(kernel, door, seen)
    app = Teller(kernel, [call(disk, 0, word(9), route=((door, 0),)), call(disk, 0, word(3), route=((door, 6),))])
    kernel.run()
    assert [entry[2] for entry in app.log] == [(0, "error", -22, b""), (0, "replied", 0, word(3))]
    assert [request.op for request in seen] == [6]


def test_a_route_through_a_capability_that_was_revoked_meanwhile_ends_refused() -> None:
    kernel = free(cores=2)
    disk = kernel.server("disk", image=numbered(4), block=8, service_ns=100, core=1)
    door = kernel.endpoint("door")
    app = Teller(kernel, [call(disk, 0, word(1), route=((door, 0),))])
    kernel.run(50)
    kernel.revoke(door)
    kernel.run()
    assert app.log == [(100, "Call", (0, "refused", -111, b""))]


def test_a_route_needs_capabilities_that_its_sender_may_send_through() -> None:
    kernel = free()
    disk = kernel.server("disk", reply=b"")
    results = host(
        kernel,
        [lambda _: submit(disk, route=((kernel.grant(disk, kernel.processes["app"], rights=()), 0),))],
        "app",
    )
    kernel.run()
    assert results == [-1]


def test_a_routed_request_has_one_deadline_and_waits_for_room_at_a_full_endpoint() -> None:
    kernel = free(cores=2)
    disk = kernel.server("disk", image=numbered(4), block=8, service_ns=100, core=1)
    full = kernel.endpoint("full", capacity=0)
    app = Teller(kernel, [call(disk, 0, word(1), route=((full, 0),), deadline_ns=250)])
    kernel.run()
    assert app.log == [(250, "Call", (0, "timed_out", -110, b""))]


def test_a_reply_right_in_the_slot_of_a_promise_that_cannot_be_made_is_lost_and_not_forgotten() -> None:
    kernel = free(cores=2)
    door = kernel.endpoint("door")
    kinds: list[str] = []

    def server(kernel: Kernel, me: Process) -> Script:
        yield receive()
        right = yield keep()
        assert (yield submit(kernel.slot(me), promise=right)) == -9  # an empty slot leads nowhere
        kinds.append(right.kind)
        yield receive()

    kernel.process("server", server, endpoint=door, core=1)
    client = Teller(kernel, [call(door, tag=1)])
    kernel.run()
    assert kinds == ["broken"]
    assert client.log == [(0, "Call", (1, "peer_died", -104, b""))]


@pytest.mark.parametrize("how", ["revoke", "kill"])
def test_what_would_go_when_another_is_taken_back_is_taken_back_with_it(how: str) -> None:
    """Two wait at one capability, the first for an argument, the second behind it; both are ended in one section."""
    kernel = free(cores=3)
    file = kernel.endpoint("file", capacity=8)
    slow = kernel.server("slow", reply=bytes(8), service_ns=900, core=1)
    seen: list[int] = []

    def files(_kernel: Kernel, _me: Process) -> Script:
        yield compute(400)
        request = yield receive()
        while request is not None:
            seen.append(request.tag)
            request = yield reply(bytes(8))

    kernel.process("files", files, endpoint=file, core=2)
    steps = [submit(slow, tag=1), submit(file, tag=2, body=bytes(8), wires=(Wire(0),)), submit(file, tag=3),
             submit(file, tag=4)]  # fmt: skip
    client = Teller(kernel, [pipeline(*steps), wait(4)])
    kernel.run(100)
    if how == "revoke":
        kernel.revoke(file)
    else:
        kernel.kill(client.process)
    kernel.run()
    assert seen == []
    assert kernel.statistics.requests_in_flight == kernel.statistics.operations_in_flight == 0
    if how == "revoke":
        assert sorted(one[:2] for one in client.log[-1][2]) == [
            (1, "replied"), (2, "cancelled"), (3, "cancelled"), (4, "cancelled")
        ]  # fmt: skip
