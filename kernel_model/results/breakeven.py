"""The break-even map: which mechanism wins where, over the price of IPC and the work of a server for each request.

On one core, one client in a closed loop, an operation takes what is charged for it: counts times prices. Counts depend
on neither prices nor work, so one run of each mechanism gives the time of an operation for *all* prices and all work,
exactly, and the whole map follows from one group of a comparison:

    time(m) = f x (charges for IPC) + (all other charges) + requests x (work - work of the run)

`f` multiplies what crossing into the kernel, switching, decoding, queueing and copying between processes cost; what
handlers, helpers and activation cost stays as it is. The axis is labelled with the round trip of an empty call that f
gives. (Several cores or clients overlap and wait, so there time is no sum: no map.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kernel_model.core import prices
from kernel_model.costs import Profile
from kernel_model.results.comparison import Group
from kernel_model.results.outcome import PS_PER_NS, Outcome

IPC = (
    "entry", "exit", "interrupt", "switch", "schedule", "ipi", "dispatch_call", "dispatch_reply", "dispatch_send",
    "dispatch_receive", "dispatch_forward", "notify", "slow_path", "copy_byte",
)  # fmt: skip
"""What the price of IPC multiplies."""

ROUND_TRIP = {"entry": 2, "exit": 2, "switch": 2, "dispatch_call": 1, "dispatch_reply": 1}
"""A call to a waiting server and its reply, by primitive."""


@dataclass(frozen=True, slots=True)
class Line:
    """The time of an operation (ns) as a function of IPC's price f and a server's work: ipc x f + other + requests x
    work."""

    ipc: float
    other: float
    requests: float

    def at(self, factor: float, work_ns: float) -> float:
        """Return the time of an operation, ns."""
        return self.ipc * factor + self.other + self.requests * work_ns


@dataclass(frozen=True, slots=True)
class Map:
    """For each mechanism of a group its line; `round_trip_ns` is the price of an empty call and reply at f = 1."""

    group: Group
    lines: Mapping[str, Line]
    round_trip_ns: float

    def winner(self, factor: float, work_ns: float) -> str:
        """Return the mechanism with the shortest time, the earlier one of equals."""
        return min(self.lines, key=lambda name: self.lines[name].at(factor, work_ns))


def map_of(group: Group, profile: Profile) -> Map | None:
    """Return the map of a group, None where time is no sum of charges or less than two mechanisms were measured."""
    point = group.point
    outcomes = {row.mechanism: row.outcome for row in group.rows if row.outcome}
    if point.core_count > 1 or not point.work_ns or any(outcome.sensitivity is None for outcome in outcomes.values()):
        return None
    lines = {name: line_of(outcome, profile) for name, outcome in outcomes.items()}
    trip = sum(times * int(profile.prices[prices.INDEX[name]]) for name, times in ROUND_TRIP.items()) / PS_PER_NS
    return Map(group, lines, trip) if len(lines) > 1 else None


def line_of(outcome: Outcome, profile: Profile) -> Line:
    """Return the time of one run's operation as a function."""
    ns = {
        primitive.name: outcome.totals.get(primitive.name, 0) * int(price) / PS_PER_NS / outcome.operations
        for primitive, price in zip(prices.PRIMITIVES, profile.prices, strict=True)
        if primitive.name not in prices.UNIT_PRICED
    }
    assert outcome.point.work_ns
    work = outcome.totals.get("work", 0) / PS_PER_NS / outcome.operations
    ipc = sum(ns[name] for name in IPC)
    requests = round(work / outcome.point.work_ns)
    rest = work - requests * outcome.point.work_ns  # work that is not a server's for a request
    return Line(ipc, sum(ns.values()) - ipc + rest, requests)


def winners(found: Map, factors: Sequence[float], works: Sequence[float]) -> list[list[str]]:
    """Return the winner for each work (rows) and factor (columns)."""
    return [[found.winner(factor, work) for factor in factors] for work in works]
