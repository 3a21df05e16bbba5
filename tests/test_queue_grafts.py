"""Grafts for queue handling, result by result against the fixed mechanisms that they replace.

Random scenarios, drawn from a number, run in the simulated kernel with the graft attached and in a reference model of
the mechanism (`references.py`). Equal are the status of every operation and the time of its end.
"""

from __future__ import annotations

import random
import re
import struct
from collections import deque
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import pytest
import references
from classic_bpf import FINGER, accepts
from queue_runs import PS, QUEUES, REPLICAS, Bench, bench, canceled, order, sample, worker
from references import End, Entry

import jit
from grafting.diagnostics import Source
from grafting.format import format_source
from grafting.hooks import PASS
from jit import testing
from jit.hot import TierName
from kernel_model import Kernel, Process, costs, linking
from kernel_model.admission import bound_ps
from kernel_model.hosting import Script, call, receive, reply, wait

FILES = sorted(QUEUES.glob("*.graft"))
TIERS = [*((seed, "python") for seed in range(8)), (8, "numba")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_tests_inside_a_graft_pass(path: Path) -> None:
    program = sample(path.stem).program
    results = testing.run_tests(program)
    assert results
    assert [result for result in results if not result.passed] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_graft_is_formatted(path: Path) -> None:
    text = path.read_text()
    assert format_source(Source("", text)) == text


def work(draw: random.Random) -> int:
    """Return a time of service; hardly two are equal, so the order of events does not hang on ties."""
    return draw.randrange(1_000, 9_999_999)


def entries(draw: random.Random, count: int, stations: tuple[str, ...] = ("disk",)) -> list[Entry]:
    at, found = 0, []
    for tag in range(1, count + 1):
        at += draw.choice((0, 0, 0, work(draw)))
        found.append(Entry(tag, draw.choice(stations), work(draw), draw.choice((0, 0, 0, -5)), at))
    return found


# --- queue depth ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seed", "tier"), TIERS)
def test_depth_ends_every_operation_as_a_queue_of_that_depth(seed: int, tier: TierName) -> None:
    given = entries(random.Random(seed), 24)
    run = bench("depth", ["disk"], threads=6, tier=tier)
    assert run.run(given) == references.limited(given, 4, 6)
    assert len(run.kernel.map(run.graft, "ops")) == 0


# --- drain ------------------------------------------------------------------------------------------------------------

DRAIN = 1 << 60


@pytest.mark.parametrize(("seed", "tier"), TIERS)
def test_drain_ends_every_operation_as_iosqe_io_drain(seed: int, tier: TierName) -> None:
    draw = random.Random(seed)
    given = [Entry(e.tag, e.station, e.work, e.status, e.at, drain=draw.random() < 0.2) for e in entries(draw, 24)]
    run = bench("drain", ["disk"], threads=6, tier=tier)
    assert run.run(given, tag=lambda e: e.tag | (DRAIN if e.drain else 0)) == references.drained(given, 6)


# --- LINK, HARDLINK, LINK_TIMEOUT -------------------------------------------------------------------------------------

LINK, HARDLINK = 1 << 60, 1 << 61


def chained(draw: random.Random, count: int) -> list[Entry]:
    """Entries of which many are linked; the last of each batch is not, as the graft cannot see where a batch ends."""
    found: list[Entry] = []
    tag, at = 0, 0
    while len(found) < count:
        at += work(draw)
        for _ in range(draw.randint(1, 3)):
            length = draw.randint(1, 5)
            for place in range(length):
                last = place == length - 1
                tag += 1
                flag = {} if last else draw.choice(({"link": True}, {"link": True}, {"hard": True}))
                ns, limit = work(draw), draw.choice((None, None, work(draw)))
                guarded = limit is not None and length > 1
                entry = Entry(tag, "file", ns, draw.choice((0, 0, 0, -5)), at, draw.random() < 0.1,
                              **(flag or ({"link": True} if guarded else {})))  # fmt: skip
                found.append(entry)
                if guarded:
                    tag += 1
                    found.append(Entry(tag, "clock", 0, at=at, guard=limit, **flag))
    return found


def linked(run: Bench, given: list[Entry]) -> dict[int, End]:
    def tag(entry: Entry) -> int:
        return entry.tag | (LINK if entry.link else 0) | (HARDLINK if entry.hard else 0)

    def body(entry: Entry) -> bytes:
        word = order(entry) if entry.guard is None else entry.guard
        return word.to_bytes(8, "little") + (bytes(8) if entry.tag % 3 == 0 and entry.guard is None else b"")

    return run.run(given, tag=tag, body=body, op=lambda e: 1 if e.tag % 3 == 0 and e.guard is None else 0)


@pytest.mark.parametrize(("seed", "tier"), TIERS)
def test_linked_ends_every_operation_as_io_uring(seed: int, tier: TierName) -> None:
    given = chained(random.Random(seed), 30)
    run = bench("linked", ["file"], idle=["clock"], threads=1 + seed % 3, tier=tier,
                answer=lambda op: (16).to_bytes(8, "little") + bytes(24 if op == 0 else 0))  # fmt: skip
    assert canceled(linked(run, given)) == references.linked(given, 1 + seed % 3)
    assert len(run.kernel.map(run.graft, "links")) == 0


def with_dead_stations(seed: int) -> list[Entry]:
    """Chains of which some entries, but none that is guarded or a guard, go to a station that takes nothing."""
    draw = random.Random(seed)
    batch = chained(draw, 30)
    guarded = {entry.tag for entry, after in pairwise(batch) if after.guard is not None}
    return [
        replace(e, station="dead") if e.guard is None and e.tag not in guarded and draw.random() < 0.15 else e
        for e in batch
    ]


@pytest.mark.parametrize("seed", range(8))
def test_an_entry_that_cannot_be_submitted_takes_its_chain_with_it_as_in_io_uring(seed: int) -> None:
    given = with_dead_stations(seed)
    run = bench("linked", ["file"], idle=["clock"],
                answer=lambda op: (16).to_bytes(8, "little") + bytes(24 if op == 0 else 0))  # fmt: skip
    door = run.kernel.endpoint("dead")
    run.kernel.kill(run.kernel.server("dying", endpoint=door))
    run = replace(run, endpoints={**run.endpoints, "dead": door})
    assert canceled(linked(run, given)) == references.linked(given, dead=frozenset({"dead"}))
    assert len(run.kernel.map(run.graft, "links")) == 0


# --- order of an endpoint ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seed", "tier"), TIERS)
def test_priority_ends_every_operation_as_an_endpoint_in_order_of_urgency(seed: int, tier: TierName) -> None:
    draw = random.Random(seed)
    tags = draw.sample(range(1, 1 << 62), 40)
    given = [replace(entry, tag=tag) for entry, tag in zip(entries(draw, 40), tags, strict=True)]
    run = bench("priority", ["disk"], tier=tier)
    assert run.run(given) == references.ordered(given, 1)
    assert len(run.kernel.map(run.graft, "ops")) == 0


# --- token bucket -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seed", "tier"), TIERS)
def test_rate_lets_every_byte_go_when_a_token_bucket_does(seed: int, tier: TierName) -> None:
    draw = random.Random(seed)
    given = []
    at = 0
    for tag in range(1, 41):
        at += draw.choice((0, draw.randrange(200_000)))
        size = draw.choice((8, draw.randrange(8, 3000), draw.randrange(8, 1500), 3000, 3001))
        given.append(Entry(tag, "link", draw.randrange(10, 200), at=at, size=size))
    run = bench("rate", ["link"], tier=tier)
    assert run.run(given) == references.shaped(given, 80, 3000)


# --- several servers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seed", "tier"), TIERS)
def test_balance_chooses_as_least_connections(seed: int, tier: TierName) -> None:
    given = entries(random.Random(seed), 30, ("first",))
    run = bench("balance", REPLICAS, tier=tier)
    expected, got = references.least_connections(given, REPLICAS)
    assert run.run(given) == expected
    received = [who for _, what, who, *_ in run.kernel.events() if what == "receive"]
    assert {name: received.count(run.kernel.processes[f"server {name}"].row) for name in REPLICAS} == got


@pytest.mark.parametrize(("seed", "tier"), TIERS)
def test_broadcast_ends_every_write_as_a_mirror(seed: int, tier: TierName) -> None:
    draw = random.Random(seed)
    slower = {"first": 3, "second": 2, "third": 1}
    given = [
        replace(e, faults=frozenset(name for name in REPLICAS if draw.random() < 0.1), size=draw.randrange(8, 4096))
        for e in entries(draw, 16, ("first",))
    ]
    run = bench("broadcast", REPLICAS, slower=slower, tier=tier)
    assert run.run(given) == references.mirrored(given, slower)
    assert len(run.kernel.map(run.graft, "missing")) == 0


# --- packet filter ----------------------------------------------------------------------------------------------------


def frame(draw: random.Random) -> bytes:
    """Return an Ethernet frame that is nearly one for the finger port: one or two things may be otherwise."""
    options = draw.choice((0, 0, 0, 1, 2, 10))
    kind = draw.choice((0x0800, 0x0800, 0x0800, 0x0806, 0x86DD))
    protocol = draw.choice((6, 6, 6, 17, 1))
    fragment = draw.choice((0, 0, 0x4000, 0x2000, 185, 0x2000 | 370))
    ports = draw.choice(((79, 49152), (49152, 79), (49152, 80), (0x4F00, 7), (79, 79)))
    ip = struct.pack(
        ">BBHHHBBH4s4s", 0x40 | (5 + options), 0, 40 + 4 * options, draw.randrange(1 << 16), fragment, 64, protocol, 0,
        bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2]),
    )  # fmt: skip
    tcp = struct.pack(">HHIIBBHHH", *ports, draw.randrange(1 << 32), 0, 0x50, 2, 1024, 0, 0)
    whole = bytes(range(12)) + struct.pack(">H", kind) + ip + bytes([1] * 4 * options) + tcp
    damaged = bytearray(whole)
    if draw.random() < 0.3:
        damaged[draw.randrange(len(damaged))] = draw.randrange(256)
    return bytes(damaged[: draw.choice((len(whole), len(whole), draw.randrange(len(whole) + 1)))])


def test_filter_accepts_what_the_bsd_packet_filter_accepts() -> None:
    draw = random.Random(1993)
    program = sample("filter").program
    state = jit.GraftState(program)
    frames = [frame(draw) for _ in range(1500)]
    verdicts = [
        jit.activate(program, "request/packets.frame", jit.Message(body=packet), state).verdict for packet in frames
    ]
    assert [verdict == PASS for verdict in verdicts] == [accepts(FINGER, packet) for packet in frames]
    assert 100 < verdicts.count(PASS) < 1000


@pytest.mark.parametrize("tier", ["python", "numba"])
def test_filter_wakes_its_process_for_no_other_packet(tier: TierName) -> None:
    draw = random.Random(79)
    frames = [frame(draw) for _ in range(60)]
    wanted = [packet for packet in frames if accepts(FINGER, packet)]
    kernel = Kernel(prices={}, engine=tier, cores=2)
    door, seen, told = kernel.endpoint("door"), [], []

    def daemon(_kernel: Kernel, _me: Process) -> Script:
        request = yield receive()
        while request is not None:
            seen.append(request.body)
            request = yield reply()

    def driver(_kernel: Kernel, _me: Process) -> Script:
        for packet in frames:
            done = yield call(door, 0, packet)
            told.append(done.outcome == "replied")

    finger = kernel.process("fingerd", daemon, endpoint=door, core=1)
    kernel.attach(sample("filter"), to=finger, slots={})
    kernel.process("driver", driver)
    kernel.run()
    assert seen == wanted
    assert told == [packet in wanted for packet in frames]
    assert finger.wakeups <= len(wanted)


# --- the kernel's own links -------------------------------------------------------------------------------------------


def linked_by_kernel(given: list[Entry], threads: int, tier: TierName) -> dict[int, End]:
    """How entries end with the fixed mechanism that the graft replaces, `core.links`, which is held equal to Linux's.

    A guard whose time is up ends `timed_out` there; an entry for the station `dead` is of no kind that there is.
    """
    kernel = Kernel(prices={}, engine=tier, cores=1 + threads)
    door = kernel.endpoint("file", 64)
    program = worker("file", lambda op: (16).to_bytes(8, "little") + bytes(24 if op == 0 else 0), 1)
    for thread in range(threads):
        kernel.process(f"server {thread}", program, endpoint=door, core=1 + thread)
    ends: dict[int, End] = {}

    def written(entry: Entry) -> linking.Entry:
        flags = (linking.LINK if entry.link else 0) | (linking.HARDLINK if entry.hard else 0)
        if entry.guard is not None:
            return linking.guard(entry.guard, tag=entry.tag, flags=flags)
        writes = entry.tag % 3 == 0
        body = order(entry).to_bytes(8, "little") + bytes(8 if writes else 0)
        message = linking.message(door, int(writes), body, tag=entry.tag, flags=flags, want=8 if writes else 32)
        return replace(message, kind=99) if entry.station == "dead" else message

    def app(kernel: Kernel, _me: Process) -> Script:
        coming = deque(references.batches(given).items())
        while len(ends) < len(given):
            now = kernel.now_ps // PS
            if coming and coming[0][0] <= now:
                yield linking.chain(*(written(entry) for entry in coming.popleft()[1]))
                continue
            for done in (yield wait(1, timeout_ns=coming[0][0] - now if coming else None)):
                ends[done.tag] = End(done.status, kernel.now_ps // PS)

    kernel.process("app", app, completions=64)
    kernel.run()
    guards = {entry.tag for entry in given if entry.guard is not None}
    told = {-110: -62, -22: -111}
    return {tag: replace(end, status=told.get(end.status, end.status) if tag in guards or end.status == -22
                         else end.status) for tag, end in ends.items()}  # fmt: skip


@pytest.mark.parametrize(("seed", "tier"), TIERS)
def test_linked_ends_every_operation_as_the_kernels_own_links(seed: int, tier: TierName) -> None:
    """Entry by entry and to the nanosecond: the graft against the mechanism, both in the same kernel."""
    threads = 1 + seed % 3
    given = chained(random.Random(100 + seed), 30)
    run = bench("linked", ["file"], idle=["clock"], threads=threads, tier=tier,
                answer=lambda op: (16).to_bytes(8, "little") + bytes(24 if op == 0 else 0))  # fmt: skip
    assert canceled(linked(run, given)) == linked_by_kernel(given, threads, tier)


@pytest.mark.parametrize("seed", range(8))
def test_an_entry_that_cannot_be_submitted_severs_in_the_graft_as_in_the_kernels_own_links(seed: int) -> None:
    given = with_dead_stations(seed)
    assert linked_by_kernel(given, 1, "python") == references.linked(given, dead=frozenset({"dead"}))


# --- wherever the handlers run ----------------------------------------------------------------------------------------

PLACES: dict[str, dict[str, Any]] = {
    "eager, and what does not fit in the library": {"activation": "eager"},
    "eager or deferred": {"activation": "auto"},
    "in the library, event by event": {"activation": "off"},
    "in the library": {"place": "library"},
}


@pytest.mark.parametrize("place", PLACES, ids=str)
@pytest.mark.parametrize("tier", ["python", "numba"])
def test_chains_end_alike_wherever_their_handlers_run(place: str, tier: TierName) -> None:
    fallbacks = 0
    for seed in range(4):
        given = [replace(e, guard=None if e.guard is None else 10 * e.guard) for e in chained(random.Random(seed), 24)]
        run = bench("linked", ["file"], idle=["clock"], tier=tier, profile="sel4-skylake", **PLACES[place],
                    answer=lambda op: (16).to_bytes(8, "little") + bytes(24 if op == 0 else 0))  # fmt: skip
        found, expected = linked(run, given), references.linked(given)
        assert {tag: end.status for tag, end in canceled(found).items()} == {t: e.status for t, e in expected.items()}
        fallbacks += run.kernel.statistics.fallbacks
    assert (fallbacks > 0) == (place not in ("eager or deferred", "in the library"))


@pytest.mark.parametrize("place", PLACES, ids=str)
@pytest.mark.parametrize("name", ["depth", "drain", "priority"])
def test_nothing_that_is_held_is_lost_wherever_the_handlers_run(name: str, place: str) -> None:
    given = [replace(e, work=e.work // 100, at=e.at // 100) for e in entries(random.Random(3), 30)]
    run = bench(name, ["disk"], profile="sel4-skylake", **PLACES[place])
    found = run.run(given, tag=lambda e: e.tag | (DRAIN if name == "drain" and e.tag % 5 == 0 else 0))
    assert {tag: end.status for tag, end in found.items()} == {entry.tag: entry.status for entry in given}
    assert run.kernel.statistics.operations_in_flight == 0


# --- what the page says -----------------------------------------------------------------------------------------------


def test_the_page_has_the_bounds_that_are_proved_and_the_graft_that_is_shown() -> None:
    page = (QUEUES.parents[1] / "docs" / "queues.md").read_text()
    prices = costs.load("sel4-skylake").worst
    for path in FILES:
        proved = sample(path.stem)
        bounds = [handler.bounds for handler in proved.handlers.values()]
        ns = [
            max(bound_ps(proved.program, each, prices, engine) for each in bounds) / PS
            for engine in ("interpreted", "native")
        ]
        row = f"{max(each.instructions for each in bounds):,} | {ns[0]:,.0f} | {ns[1]:,.0f} |"
        assert re.search(rf"^\| `{path.stem}` \| [^|]+ \| {re.escape(row)}", page, re.MULTILINE), (path.stem, row)
    assert (QUEUES / "remap.graft").read_text() in page


def crossings(name: str, stations: tuple[str, ...], place: Literal["kernel", "library"]) -> tuple[int, int]:
    """How often the client of 30 operations wakes, and how often it enters the kernel."""
    given = [replace(e, work=e.work // 100, at=e.at // 100) for e in entries(random.Random(3), 30, (stations[0],))]
    run = bench(name, stations, place=place, engine="native", profile="sel4-skylake", activation="auto")
    run.run(given)
    return run.client.wakeups, run.kernel.accounts["app"].count("entry")


def test_the_page_has_the_wake_ups_and_crossings_that_are_counted() -> None:
    page = " ".join((QUEUES.parents[1] / "docs" / "queues.md").read_text().split())
    inside, outside = (crossings("depth", ("disk",), place) for place in ("kernel", "library"))
    assert f"woke it {inside[0]} times with and without" in page
    assert f"{inside[1]} entries into the kernel against {outside[1]}" in page
    gathered, told = (crossings("broadcast", REPLICAS, place)[0] for place in ("kernel", "library"))
    assert f"client {gathered} times with the graft, {told} times" in page
