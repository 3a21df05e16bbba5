"""Grafts that gather, chain and translate: compared, result by result, with the mechanisms that they replace.

Completions that wake a client together, promises, logical disks, and the two grafts for paging.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import references
from queue_runs import PS, REPLICAS, order, sample, worker
from references import End, Entry, Window, Wish

import jit
import verifier
from grafting import compile_graft
from grafting.diagnostics import GraftError
from jit.hot import TierName
from kernel_model import Endpoint, Kernel, Process
from kernel_model.hosting import Script, Wire, call, compute, pipeline, receive, reply, submit, touch, wait

TIERS = [*((seed, "python") for seed in range(8)), (8, "numba")]
STARVED = -61

# --- completions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seed", "tier"), TIERS)
def test_completions_wake_the_client_as_coalesced_interrupts(seed: int, tier: TierName) -> None:
    draw = random.Random(seed)
    given, at = [], 0
    for tag in range(1, 31):
        at += draw.randrange(1, 30_000)
        given.append(Entry(tag, draw.choice(REPLICAS), draw.randrange(1_000, 40_000), draw.choice((0, 0, 0, -5)), at))
    kernel = Kernel(prices={}, engine=tier, cores=6)
    doors = {name: kernel.endpoint(name, 64) for name in REPLICAS}
    for core, (name, door) in enumerate(doors.items(), 1):
        kernel.process(f"server {name}", worker(name, lambda op: bytes(32), 1), endpoint=door, core=core)
    wake_ups = []

    def app(kernel: Kernel, _me: Process) -> Script:
        left = {entry.tag for entry in given}
        arrivals = iter(given)
        coming = next(arrivals, None)
        while left:
            now = kernel.now_ps // PS
            while coming is not None and coming.at <= now:
                yield submit(doors[coming.station], 0, order(coming).to_bytes(8, "little"), tag=coming.tag)
                coming = next(arrivals, None)
            done = yield wait(1, timeout_ns=None if coming is None else coming.at - now)
            if done:
                wake_ups.append((kernel.now_ps // PS, frozenset(ends(done))))
                left -= {completion.tag for completion in done}

    def ends(done: list[Any]) -> list[tuple[int, int]]:
        kept = kernel.map(graft, "results")
        return [(c.tag, kept[c.tag]["status"] if c.outcome == "starved" else c.status) for c in done]

    graft = kernel.attach(sample("completions"), to=kernel.process("app", app, completions=64), slots=doors)
    kernel.run()
    assert wake_ups == references.coalesced(given, 4, 50_000)


# --- promises ---------------------------------------------------------------------------------------------------------

ERRORS = 5  # one read in so many fails


def disk_read(index: int) -> tuple[int, int, tuple[int, ...]]:
    """What the server does with a read: its work, the status and four words, all drawn from the index."""
    draw = random.Random(index)
    work = draw.randrange(1_000, 500_000)
    return work, -5 if draw.randrange(ERRORS) == 0 else 0, tuple(draw.randrange(1 << 40) for _ in range(4))


def wishes(draw: random.Random) -> list[Wish]:
    found: list[Wish] = []
    at = 0
    for tag in range(1, 41):
        at += draw.choice((0, 0, 0, draw.randrange(1_000_000)))
        source = draw.choice([None, *(wish.tag for wish in found[-10:])])
        found.append(Wish(tag, at, draw.randrange(1 << 40), source, draw.randrange(4)))
    return found


def promised(tier: TierName) -> tuple[Kernel, Endpoint]:
    """Return a kernel with a server that does `disk_read`."""
    kernel = Kernel(prices={}, engine=tier, cores=2)
    door = kernel.endpoint("disk", 64)

    def server(_kernel: Kernel, _me: Process) -> Script:
        request = yield receive()
        while request is not None:
            work, status, words = disk_read(int.from_bytes(request.body, "little"))
            yield compute(work)
            request = yield reply(np.array(words, "<u8").tobytes(), status=status)

    kernel.process("server", server, endpoint=door, core=1)
    return kernel, door


def grafted(given: list[Wish], tier: TierName) -> dict[int, End]:
    """How wishes end with the graft."""
    kernel, door = promised(tier)
    client = kernel.client("app", completions=64)
    kernel.attach(sample("pipeline"), to=client, slots={"disk": door})
    jobs = [
        kernel.jobs(
            client, slot=door, bodies=wish.index.to_bytes(8, "little"), count=1, arrivals_ns=np.array([wish.at]),
            tags=np.array([wish.tag | (wish.source or 0) << 16 | wish.word << 32], np.uint64),
        )
        for wish in given
    ]  # fmt: skip
    client.run("submit", 64)
    kernel.run()
    rows = {wish.tag: job.results()[0] for wish, job in zip(given, jobs, strict=True)}
    return {tag: End(int(row["status"]), int(row["finished"]) // PS) for tag, row in rows.items()}


def wired(given: list[Wish]) -> dict[int, End]:
    """How they end, all submitted at once, with the kernel's own promises (`pipelined-kernel`)."""
    kernel, door = promised("python")
    ends: dict[int, End] = {}

    def app(kernel: Kernel, _me: Process) -> Script:
        steps = {wish.tag: number for number, wish in enumerate(given)}
        yield pipeline(*(
            submit(door, 0, wish.index.to_bytes(8, "little"), tag=wish.tag,
                   wires=() if wish.source is None else (Wire(steps[wish.source], at=8 * wish.word),))
            for wish in given
        ))  # fmt: skip
        while len(ends) < len(given):
            for done in (yield wait(1)):
                ends[done.tag] = End(done.status, kernel.now_ps // PS)

    kernel.process("app", app, completions=64)
    kernel.run()
    return ends


@pytest.mark.parametrize(("seed", "tier"), TIERS)
def test_pipeline_keeps_and_breaks_promises_as_a_promise_queue(seed: int, tier: TierName) -> None:
    given = wishes(random.Random(seed))
    assert grafted(given, tier) == references.pipelined(given, disk_read)


@pytest.mark.parametrize("seed", range(4))
def test_pipeline_keeps_and_breaks_promises_as_the_kernels_own(seed: int) -> None:
    given = [replace(wish, at=0) for wish in wishes(random.Random(seed))]
    graft, kernel = grafted(given, "python"), wired(given)
    assert {tag: end.status for tag, end in graft.items()} == {tag: end.status for tag, end in kernel.items()}


# --- logical disk -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seed", "tier"), TIERS[5:])
def test_remap_reads_what_a_logical_disk_reads(seed: int, tier: TierName) -> None:
    draw = random.Random(seed)
    image = np.arange(64 * 8, dtype=np.uint64).reshape(64 * 8, 1) + np.zeros((1, 8), np.uint64)
    extents = dict(zip(draw.sample(range(64), 40), draw.sample(range(64), 40), strict=True))
    kernel = Kernel(prices={}, engine=tier, cores=2)
    disk = kernel.server("disk", image=image.tobytes(), block=64, service_ns=700, core=1)
    client = kernel.client("app", completions=64)
    graft = kernel.attach(sample("remap"), to=client, slots={"disk": disk})
    for logical, physical in extents.items():
        kernel.map(graft, "extents")[logical] = physical
    asked = np.array([draw.randrange(64 * 8) for _ in range(80)], np.uint64)
    jobs = kernel.jobs(client, graft=graft, slot="disk", op="read", bodies=asked)
    client.run("submit", 8)
    kernel.run()
    for block, row in zip(asked.tolist(), jobs.results(), strict=True):
        physical = extents.get(block // 8)
        if physical is None:
            assert (row["status"], row["length"]) == (references.ECONNREFUSED, 0)
        else:
            got = kernel.arena[row["body"] : row["body"] + 64].view(np.uint64)
            assert got.tolist() == image[physical * 8 + block % 8].tolist()
    assert kernel.accounts["disk"].count("dispatch_reply") == sum(block // 8 in extents for block in asked.tolist())


# --- paging -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_readahead_hints_what_linux_reads_ahead(seed: int) -> None:
    draw = random.Random(seed)
    program = sample("readahead").program
    state = jit.GraftState(program)
    windows: dict[int, Window] = {}
    page = dict.fromkeys(range(4), 0)
    for _ in range(400):
        file = draw.randrange(4)
        page[file] = page[file] + 1 if draw.random() < 0.9 else draw.choice((0, draw.randrange(200)))
        body = np.array([file, page[file]], "<u8").tobytes()
        got = jit.activate(program, "submit", jit.Message(body=body, slot=0), state).hints
        expected = references.read_ahead(windows.setdefault(file, Window()), page[file])
        told = [] if expected is None else [(file * (1 << 40) + expected[0] * 4096, expected[1])]
        assert [(hint.address, hint.pages) for hint in got] == told


@pytest.mark.parametrize(("hinted", "faults"), [(False, 60), (True, 1)])
def test_a_sequential_reader_faults_once_with_readahead(hinted: bool, faults: int) -> None:
    kernel = Kernel(prices={}, engine="python", cores=2)
    kernel.memory(frames=128, fetch_ns=1_000)
    files = kernel.server("files", reply=b"", service_ns=10, core=1)

    def reader(_kernel: Kernel, _me: Process) -> Script:
        for page in range(60):
            yield call(files, 0, np.array([0, page], "<u8").tobytes())
            yield touch(page)
            yield compute(5_000)

    app = kernel.process("reader", reader)
    kernel.pages(app, 128)
    if hinted:
        kernel.attach(sample("readahead"), to=app, slots={"files": files})
    kernel.run()
    assert kernel.paging.faults == faults


def chosen(state: jit.GraftState, resident: Mapping[int, int]) -> int | None:
    """Ask the graft for a victim among the pages of a cache."""
    pages = [*resident, *[0] * (16 - len(resident))]
    used = [*resident.values(), *[0] * (16 - len(resident))]
    body = np.array([len(resident), *pages, *used], "<u8").tobytes()
    answer = jit.activate(sample("evict").program, "request/pager.evict", jit.Message(body=body), state).answer
    return None if answer is None else int.from_bytes(answer.body, "little")


def test_evict_chooses_as_its_policies_say() -> None:
    draw = random.Random(1996)
    kinds = ("mixed", "scanned", "kept")
    for _ in range(60):
        state = jit.GraftState(sample("evict").program)
        uses = {region: draw.randrange(3) for region in range(4)}
        for region, use in uses.items():
            state.map("regions")[region] = use
        pages = draw.sample(range(4 * 256), draw.randint(1, 16))
        used = draw.sample(range(1, 10_000), len(pages))
        expected = references.victim(pages, used, lambda page, uses=uses: kinds[uses[page // 256]])  # type: ignore[misc]
        assert chosen(state, dict(zip(pages, used, strict=True))) == expected


def test_a_loop_over_more_pages_than_frames_faults_as_rarely_as_it_can_with_evict_and_always_with_lru() -> None:
    trace = list(range(256, 256 + 20)) * 8
    state = jit.GraftState(sample("evict").program)
    state.map("regions")[1] = 1

    def least_recently_used(resident: Mapping[int, int]) -> int:
        return min(resident, key=resident.__getitem__)

    def graft(resident: Mapping[int, int]) -> int:
        page = chosen(state, resident)
        assert page is not None
        return page

    assert references.faults(trace, 16, least_recently_used) == len(trace)
    assert references.faults(trace, 16, graft) == references.optimal_faults(trace, 16) < len(trace) / 2


def paged(trace: Sequence[int], frames: int, tier: TierName, regions: Mapping[int, int] | None) -> Kernel:
    """A process that touches the pages of a trace in order; `regions`: what its graft is told, if it has one."""
    kernel = Kernel(prices={}, engine=tier)
    kernel.memory(frames=frames, fetch_ns=1_000)

    def program(_kernel: Kernel, _me: Process) -> Script:
        for page in trace:
            yield touch(page)
            yield compute(10)

    app = kernel.process("app", program)
    kernel.pages(app, 1024, evict="clock" if regions is None else "graft")
    if regions is not None:
        graft = kernel.attach(sample("evict"), to=app, slots={})
        for region, use in regions.items():
            kernel.map(graft, "regions")[region] = use
    kernel.run()
    return kernel


@pytest.mark.parametrize(("seed", "tier"), TIERS[4:])
def test_the_pager_evicts_what_the_graft_chooses_fault_by_fault(seed: int, tier: TierName) -> None:
    """Without advice the graft is LRU, of what is scanned MRU: the kernel faults where the fixed policy faults."""
    draw = random.Random(seed)
    regions = {region: draw.choice((0, 0, 1)) for region in range(4)}
    trace = [draw.randrange(4) * 256 + draw.randrange(9) for _ in range(250)]

    def policy(resident: Mapping[int, int]) -> int:
        kinds = ("mixed", "scanned")
        page = references.victim([*resident], [*resident.values()], lambda page: kinds[regions[page // 256]])
        assert page is not None
        return page

    kernel = paged(trace, 16, tier, regions)
    assert kernel.paging.faults == references.faults(trace, 16, policy)
    assert kernel.paging.advised == kernel.paging.evicted == kernel.paging.faults - 16
    assert kernel.paging.unadvised == 0


def test_a_loop_faults_as_rarely_as_it_can_in_the_kernel_too() -> None:
    trace = list(range(256, 256 + 20)) * 8
    advised, clock = (paged(trace, 16, "python", regions) for regions in ({1: 1}, None))
    assert advised.paging.faults == references.optimal_faults(trace, 16)
    assert clock.paging.faults == len(trace)


@pytest.mark.parametrize("kept", [{0: 2, 1: 2, 2: 2, 3: 2}, {}])
def test_without_a_valid_answer_the_page_goes_that_the_clock_has_chosen(kept: dict[int, int]) -> None:
    """All pages are to be kept: the graft passes. Or it answers with a page that was not offered."""
    trace = [page for lap in range(6) for page in range(lap, lap + 20)]
    clock = paged(trace, 16, "python", None)
    if kept:
        advised = paged(trace, 16, "python", kept)
    else:
        advised = paged_by(trace, "return answer Choice { page: 1023 }")
    assert advised.paging.unadvised == advised.paging.evicted > 0
    assert advised.paging.faults == clock.paging.faults


def paged_by(trace: Sequence[int], body: str) -> Kernel:
    kernel = Kernel(prices={}, engine="python")
    kernel.memory(frames=16, fetch_ns=1_000)

    def program(_kernel: Kernel, _me: Process) -> Script:
        for page in trace:
            yield touch(page)
            yield compute(10)

    app = kernel.process("app", program)
    kernel.pages(app, 1024, evict="graft")
    source = f"""
    graft wrong
    protocol pager {{ op evict(offer: Offer) -> Choice }}
    serve pager
    struct Offer {{ count: u64, pages: [u64; 16], used: [u64; 16] }}
    struct Choice {{ page: u64 }}
    on request(msg) for evict() {{ {body} }}
    """
    kernel.attach(verifier.verify(compile_graft(source)), to=app, slots={})
    kernel.run()
    return kernel


def test_a_process_is_asked_about_its_own_pages_only() -> None:
    """The clock says whose page goes; a neighbour without advice loses his own by the clock."""
    kernel = Kernel(prices={}, engine="python")
    kernel.memory(frames=8, fetch_ns=1_000)

    def program(_kernel: Kernel, _me: Process) -> Script:
        for page in [*range(6)] * 10:
            yield touch(page)
            yield compute(10)

    asked, other = kernel.process("asked", program), kernel.process("other", program)
    kernel.pages(asked, 8, evict="graft")
    kernel.pages(other, 8)
    kernel.attach(sample("evict"), to=asked, slots={})
    kernel.run()
    assert 0 < kernel.paging.advised < kernel.paging.evicted
    assert kernel.paging.advised + kernel.paging.unadvised < kernel.paging.evicted


def test_a_server_is_not_asked_about_its_pages() -> None:
    kernel = Kernel(prices={}, engine="python")
    kernel.memory(frames=8, fetch_ns=1_000)
    with pytest.raises(GraftError, match="G0801"):
        kernel.pages(kernel.server("disk", reply=b""), 8, evict="graft")
