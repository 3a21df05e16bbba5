"""Grafts for queue handling, result by result against the fixed mechanisms that they replace.

Random scenarios, drawn from a number, run in the simulated kernel with the graft attached and in a reference model of
the mechanism (`references.py`). Equal are the status of every operation and the time of its end.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import references
from queue_runs import QUEUES, Bench, bench, canceled, order, sample
from references import End, Entry

from grafting.diagnostics import Source
from grafting.format import format_source
from jit import testing
from jit.hot import TierName

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
    run = bench("depth", ["disk"], tier=tier)
    assert run.run(given) == references.limited(given, 4)
    assert len(run.kernel.map(run.graft, "ops")) == 0


# --- drain ------------------------------------------------------------------------------------------------------------

DRAIN = 1 << 60


@pytest.mark.parametrize(("seed", "tier"), TIERS)
def test_drain_ends_every_operation_as_iosqe_io_drain(seed: int, tier: TierName) -> None:
    draw = random.Random(seed)
    given = [Entry(e.tag, e.station, e.work, e.status, e.at, drain=draw.random() < 0.2) for e in entries(draw, 24)]
    run = bench("drain", ["disk"], tier=tier)
    assert run.run(given, tag=lambda e: e.tag | (DRAIN if e.drain else 0)) == references.drained(given)


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
    run = bench("linked", ["file"], idle=["clock"], tier=tier,
                answer=lambda op: (16).to_bytes(8, "little") + bytes(24 if op == 0 else 0))  # fmt: skip
    assert canceled(linked(run, given)) == references.linked(given)
    assert len(run.kernel.map(run.graft, "links")) == 0
