"""A trace for people has the structure that Perfetto needs, and tells what the model did."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from kernel_model import Kernel
from kernel_model.experiments.point import Point
from kernel_model.experiments.run import traced
from kernel_model.results.perfetto import GRAFTS, GROUPS, KERNEL, PROCESSES, trace_of

HOPS, OPERATIONS = 3, 4
POINTS = {
    f"{mechanism}, {place} core": Point(
        mechanism=mechanism, hops=HOPS, operations=OPERATIONS, servers="each", place=place  # type: ignore[arg-type]
    )
    for mechanism in ("call", "async", "server", "graft")
    for place in ("same", "other")
}  # fmt: skip


@pytest.fixture(scope="module")
def kernels() -> dict[str, Kernel]:
    ran = {name: traced(point, tier="python") for name, point in POINTS.items()}
    return {name: kernel for name, kernel in ran.items() if isinstance(kernel, Kernel)}


@pytest.fixture(scope="module")
def events(kernels: dict[str, Kernel]) -> list[dict[str, Any]]:
    trace = json.loads(json.dumps(trace_of(kernels)))
    assert trace["displayTimeUnit"] == "ns"
    return trace["traceEvents"]  # type: ignore[no-any-return]


def of_kind(events: list[dict[str, Any]], kind: str) -> Iterator[dict[str, Any]]:
    return (event for event in events if event["ph"] == kind)


def ps(us: float) -> int:
    return round(us * 1e6)


def test_every_event_has_what_its_kind_needs(events: list[dict[str, Any]]) -> None:
    needed = {"M": {"name", "args"}, "X": {"name", "ts", "dur"}, "s": {"id", "ts"}, "f": {"id", "ts", "bp"}}
    for event in events:
        assert needed[event["ph"]] | {"pid", "tid"} <= event.keys()


def test_slices_of_a_track_nest_or_are_disjoint(events: list[dict[str, Any]]) -> None:
    tracks = defaultdict(list)
    for event in of_kind(events, "X"):
        tracks[event["pid"], event["tid"]].append((ps(event["ts"]), ps(event["ts"]) + ps(event["dur"])))
    for slices in tracks.values():
        open_ends: list[int] = []
        for start, end in sorted(slices, key=lambda each: (each[0], -each[1])):
            while open_ends and open_ends[-1] <= start:
                open_ends.pop()
            assert not open_ends or end <= open_ends[-1]
            open_ends.append(end)


def test_every_flow_has_both_ends_in_slices_and_goes_forward(events: list[dict[str, Any]]) -> None:
    slices = defaultdict(list)
    for event in of_kind(events, "X"):
        slices[event["pid"], event["tid"]].append((ps(event["ts"]), ps(event["ts"]) + ps(event["dur"])))
    starts = {event["id"]: event for event in of_kind(events, "s")}
    ends = {event["id"]: event for event in of_kind(events, "f")}
    assert starts.keys() == ends.keys()
    assert len(starts) == sum(1 for _ in of_kind(events, "s"))
    for number, start in starts.items():
        assert ps(start["ts"]) <= ps(ends[number]["ts"])
        for event in (start, ends[number]):
            track = slices[event["pid"], event["tid"]]
            assert any(begin <= ps(event["ts"]) < end for begin, end in track), event


def test_every_track_with_slices_has_a_name(events: list[dict[str, Any]]) -> None:
    named = {(event["pid"], event["tid"]) for event in of_kind(events, "M") if event["name"] == "thread_name"}
    assert {(event["pid"], event["tid"]) for event in of_kind(events, "X")} <= named


def test_each_request_is_an_arrow_and_each_activation_a_slice(events: list[dict[str, Any]]) -> None:
    for number, name in enumerate(POINTS):
        base = 1 + number * len(GROUPS)
        arrows = Counter(e["name"] for e in of_kind(events, "s") if base <= e["pid"] < base + len(GROUPS))
        activations = [e for e in of_kind(events, "X") if e["pid"] == base + GRAFTS]
        nested = [e for e in of_kind(events, "X") if e["pid"] == base + PROCESSES and e["name"].startswith("reply/")]
        if name.startswith(("call", "async")):
            assert arrows == {"request": HOPS * OPERATIONS, "replied": HOPS * OPERATIONS}, name
            assert len(nested) == HOPS * OPERATIONS
        if name.startswith("graft"):
            assert (arrows["request"], arrows["reply"]) == (HOPS * OPERATIONS, HOPS * OPERATIONS)
            assert arrows["replied"] == OPERATIONS - 1, "the last answer ends the run: its client does nothing more"
            assert len(activations) == HOPS * OPERATIONS
        assert name.startswith("graft") == bool(activations)


def test_what_the_kernel_tracks_hold_is_what_accounts_were_charged(
    kernels: dict[str, Kernel], events: list[dict[str, Any]]
) -> None:
    """The sections of all cores together take what the accounts were charged outside user mode, idling and waiting."""
    for number, kernel in enumerate(kernels.values()):
        group = 1 + number * len(GROUPS) + KERNEL
        sections = sum(ps(event["dur"]) for event in of_kind(events, "X") if event["pid"] == group)
        charged = sum(ns for name, ns in kernel.totals.ps.items() if name not in ("user", "idle", "lock", "spin"))
        assert sections == charged
