"""Words and units that terminal tables and pages share."""

from __future__ import annotations

from collections.abc import Iterable

from kernel_model.core.prices import CATEGORIES
from kernel_model.experiments.point import Point
from kernel_model.results.outcome import Outcome

NS_PER_US = 1000
PS_PER_US = 1e6

BUSY = tuple(category for category in CATEGORIES if category != "idle")
"""The categories of time in which somebody is charged for something."""


def us(ps: float) -> str:
    """Return picoseconds as microseconds with two decimals."""
    return f"{ps / PS_PER_US:,.2f}"


def per_second(rate: float) -> str:
    """Return a rate as "412 k/s"."""
    return f"{rate / 1e6:.2f} M/s" if rate >= 1e6 else f"{rate / 1e3:.1f} k/s"


def spans(numbers: Iterable[int]) -> str:
    """Return ascending numbers as ranges: (1, 2, 3, 7) -> "1..3, 7"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}..{run[-1]}" for run in runs)


def clients_of(outcome: Outcome) -> tuple[str, ...]:
    """Return the accounts of the clients."""
    return tuple(name for name in outcome.spent if name.startswith("client"))


def servers_of(outcome: Outcome) -> tuple[str, ...]:
    """Return the accounts of those who serve: servers, hosts, polling threads of the mechanism."""
    return tuple(name for name in outcome.spent if not name.startswith(("client", "idle", "bystander")))


def setting(point: Point) -> str:
    """Return the fields of a point that a table's title states beside its topology, where they are not the usual ones.

    Two tables never differ in something that neither says.
    """
    told = []
    if point.clients not in (None, 1):
        told.append(f"{point.clients} clients")
    if point.load is not None:
        told.append(f"{per_second(point.load)} offered")
    if point.think_ns:
        told.append(f"think time {point.think_ns} ns")
    if point.work_ns is not None:
        told.append(f"{point.work_ns} ns of work a request")
    if point.size is not None:
        told.append(f"{point.size} bytes a reply")
    if point.cached:
        told.append(f"{point.cached} levels cached")
    told += [f"{point.engine} grafts, {point.activation}, charged {point.charge}"]
    if point.locks != "one":
        told.append("a lock per core")
    if point.caches == "finite":
        told.append("finite caches" + ("" if point.working_set is None else f", sets of {point.working_set:,} bytes"))
        if point.bystander_set is not None:
            told.append(f"a bystander's of {point.bystander_set:,}")
    return ", ".join(told)
