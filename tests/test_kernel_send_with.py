"""What a graft sends besides bytes: deadlines, capabilities of its slots and of messages, promises. And where it runs
makes no difference."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from kernels import answers, chain_image
from test_kernel_capabilities import echo
from test_kernel_ops import free

import verifier
from grafting import compile_graft
from kernel_model import Client, Endpoint, Kernel, Process
from kernel_model.hosting import Request, Script, receive, reply

HEAD = """
graft sender
protocol block { op read(index: u64) op other(index: u64) }
cap disk: block
cap helper: block grant
cap later: block
"""
PLACES = ["eager", "deferred", "off", "no fuel"]


def proved(body: str) -> verifier.Verified:
    return verifier.verify(compile_graft(HEAD + body))


def made(place: str, **options: Any) -> Kernel:
    """A kernel in which grafts run here or there, or fall back to the client."""
    if place == "no fuel":
        return free(fuel_ns=0, **options)
    return free(activation=place, **options)


def giver(kernel: Kernel, what: Endpoint, name: str = "giver") -> Endpoint:
    """A server whose replies bring a capability to `what`, with the badge 5."""
    door = kernel.endpoint(name)

    def program(kernel: Kernel, me: Process) -> Script:
        own = kernel.grant(what, me, badge=5)
        request = yield receive()
        while request is not None:
            request = yield reply(request.body, caps=(own,))

    kernel.process(name, program, endpoint=door, core=1)
    return door


def run(kernel: Kernel, graft: verifier.Verified, slots: dict[str, Any], count: int = 1) -> tuple[Client, Any]:
    app = kernel.client("app", slots=2, completions=16)
    kernel.attach(graft, to=app, slots=slots)
    jobs = kernel.jobs(app, slot=slots["disk"], bodies=bytes(8), count=count)
    app.run()
    kernel.run()
    return app, jobs.results()


@pytest.mark.parametrize("place", PLACES)
def test_a_graft_passes_on_a_capability_that_came_with_a_message(place: str) -> None:
    kernel = made(place, cores=3)
    file, helper = kernel.endpoint("file"), kernel.endpoint("helper")
    seen: list[Request] = []
    echo(kernel, helper, seen, slots=1)
    graft = proved("""
    on reply(msg) from disk.read {
        if msg.ncaps == 0 { return deliver }
        send helper.other(8) with msg.caps[0] else { return deliver }
        return consume
    }
    """)
    _, results = run(kernel, graft, {"disk": giver(kernel, file), "helper": helper, "later": file})
    assert results["outcome"].tolist() == [0]
    assert [(request.op, [cap and cap.badge for cap in request.caps]) for request in seen] == [(1, [5])]
    assert kernel.statistics.fallbacks == (1 if place in ("off", "no fuel") else 0)


@pytest.mark.parametrize("place", PLACES)
def test_a_graft_passes_on_the_capability_of_a_slot_and_keeps_it(place: str) -> None:
    kernel = made(place, cores=3)
    bell, helper = kernel.endpoint("bell"), kernel.endpoint("helper")
    seen: list[Request] = []
    echo(kernel, helper, seen, slots=1)
    echo(kernel, bell, [], name="bell")
    graft = proved("""
    on reply(msg) from disk.read {
        send helper.other(8) deadline 100_000 with helper else { return deliver }
        return consume
    }
    """)
    _, results = run(kernel, graft, {"disk": bell, "helper": helper, "later": bell}, count=3)
    assert results["outcome"].tolist() == [0, 0, 0]
    assert [len(request.caps) for request in seen] == [1, 1, 1]
    kernel.revoke(helper)
    kernel.run()
    assert not any(cap.alive for request in seen for cap in request.caps if cap)


@pytest.mark.parametrize("place", PLACES)
def test_a_graft_sends_to_what_a_reply_will_bring_in_the_same_activation(place: str) -> None:
    kernel = made(place, cores=3)
    file, bell = kernel.endpoint("file"), kernel.endpoint("bell")
    seen: list[Request] = []
    echo(kernel, file, seen)
    echo(kernel, bell, [], name="bell")
    graft = proved("""
    on reply(msg) from disk.read {
        send helper.other(1) tag 70 promise later else { return deliver }
        send later.read(2) tag 71 else { return deliver }
        return consume
    }
    on reply(msg) from helper.other { return consume }
    """)
    slots = {"disk": bell, "helper": giver(kernel, file), "later": bell}
    _, results = run(kernel, graft, slots, count=2)
    assert results["outcome"].tolist() == [0, 0]
    assert [(request.tag, request.badge, request.body[:1]) for request in seen] == [(71, 5, b"\2")] * 2


@pytest.mark.parametrize("place", PLACES)
def test_what_a_graft_sent_to_a_promise_that_is_not_kept_ends_broken(place: str) -> None:
    kernel = made(place, cores=3)
    bell, helper = kernel.endpoint("bell"), kernel.endpoint("helper")
    echo(kernel, helper, [])
    echo(kernel, bell, [], name="bell")
    graft = proved("""
    map told: hash<u64, u64, 8>
    on reply(msg) from disk.read {
        send helper.other(1) tag 70 promise later else { return deliver }
        send later.read(2) tag 71 else { return deliver }
        return consume
    }
    on reply(msg) from helper.other { return consume }
    on failure(msg) {
        told[msg.tag] = 0 - msg.status as u64 else { return deliver }
        return deliver
    }
    """)
    app = kernel.client("app", slots=2)
    attached = kernel.attach(graft, to=app, slots={"disk": bell, "helper": helper, "later": bell})
    jobs = kernel.jobs(app, slot=bell, bodies=bytes(8), count=1)
    app.run()
    kernel.run()
    assert jobs.results()[["outcome", "status"]].tolist() == [(4, -32)]
    assert dict(kernel.map(attached, "told").items()) == {71: 32}


def test_a_graft_sees_that_there_was_more_than_its_client_has_slots_for() -> None:
    kernel = free(cores=3)
    file, helper = kernel.endpoint("file"), kernel.endpoint("helper")
    seen: list[Request] = []
    echo(kernel, helper, seen)
    graft = proved("""
    on reply(msg) from disk.read {
        send helper.other(msg.flags as u64 * 16 + msg.ncaps as u64) else { return deliver }
        send helper.other(99) with msg.caps[0] else { return consume }
        return deliver
    }
    """)
    door = giver(kernel, file)
    app = kernel.client("app")  # which has named no slots
    kernel.attach(graft, to=app, slots={"disk": door, "helper": helper, "later": file})
    kernel.jobs(app, slot=door, bodies=bytes(8), count=1)
    app.run()
    kernel.run()
    assert [request.body[0] for request in seen] == [16 + 1]  # truncated, one; it is null: not to be passed on


@pytest.mark.parametrize("seed", range(12))
def test_the_same_answers_and_maps_whatever_runs_where(seed: int) -> None:
    """Chains with a map of visits, activation eager, deferred, auto and off, with enough fuel and with too little."""
    graft = verifier.verify(
        compile_graft("""
    graft walk
    protocol block { op read(index: u64) -> Block }
    cap disk: block
    struct Block { next: u64, number: u64 }
    map last: hash<u64, u64, 64>
    state visits: u64
    state sum: u64
    on reply(msg) {
        let block = msg.body as Block else { return deliver }
        last[msg.tag] = block.number else { return deliver }
        visits += 1
        sum += block.number * (msg.tag + 1)
        if block.next == 0 { return deliver }
        send disk.read(block.next) else { return deliver }
        return consume
    }
    on failure(msg) {
        arm msg.tag after 500 else { return deliver }
        return consume
    }
    on timer(id) { send disk.read(1) tag id else { return done } return done }
    """)
    )
    draw = random.Random(seed)
    depth, jobs, mode = draw.randint(2, 9), draw.randint(1, 8), draw.choice(("call", "submit"))
    starts = np.array([draw.choice((*range(depth), 999)) for _ in range(jobs)], np.uint64)
    found = []
    for options in (
        {},
        {"activation": "off"},
        {"activation": "deferred"},
        {"activation": "auto", "eager_ns": 50},
        {"fuel_ns": 0},
        {"fuel_ns": 900},
        {"eager_ns": 1},
    ):
        kernel = Kernel("sel4-skylake", engine="python", cores=2, **options)  # type: ignore[arg-type]
        disk = kernel.server("disk", image=chain_image(depth), block=64, service_ns=100, core=1)
        app = kernel.client("app")
        attached = kernel.attach(graft, to=app, slots={"disk": disk})
        work = kernel.jobs(app, graft=attached, slot="disk", op="read", bodies=starts)
        app.run(mode, 1 if mode == "call" else 4)  # type: ignore[arg-type]
        kernel.run()
        rows = work.results()
        maps = [sorted(kernel.map(attached, spec.name).items(), key=str) for spec in attached.program.maps]
        found.append([rows[["outcome", "status"]].tolist(), answers(kernel, work).tolist(), maps])
    assert all(one == found[0] for one in found)
    assert any(found[0][2])
