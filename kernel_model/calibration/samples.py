"""What a measurement is: the same thing many times in a batch, and many batches in turn with those of other things.

A *probe* does its thing so many times and tells what that took. All probes have one batch a round, in turn, so that a
machine that slows down for a while slows all of them; a derived figure (half a round trip, a pair of yields less one
without a switch) is worked out round by round. The statistic of a figure over the rounds: the median is its value, the
5th and the 95th percentile (nearest rank) are its interval.

Times are processor time of all processes concerned, which run on one core: what others do there in between does not
count, while a round trip keeps that core busy throughout and so takes as long as both processes run. The clock is a
field of the probe, so that the arithmetic can be tested on a machine whose costs are known.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

LOW, HIGH = 0.05, 0.95  # percentiles of the interval
STATISTIC = "median of the rounds; 5th to 95th percentile"

Series = tuple[float, ...]
"""One value a round, ns."""

Clock = Callable[[Sequence[int]], int]
"""(peers): ns that this process and they have used."""


def processor_ns(peers: Sequence[int]) -> int:
    """Return the processor time that this process and `peers` have used."""
    return time.clock_gettime_ns(time.CLOCK_PROCESS_CPUTIME_ID) + sum(map(of, peers))


def of(process: int) -> int:
    """Return the processor time that a process has used, ns (clock_getcpuclockid(3): -pid - 1 << 3 | 2)."""
    return time.clock_gettime_ns((~process) << 3 | 2)


@dataclass(frozen=True, slots=True)
class Probe:
    """`run(times)` does the thing; `peers` are the other processes whose time counts. `times` is of one batch."""

    run: Callable[[int], object]
    times: int
    peers: tuple[int, ...] = ()
    clock: Clock = processor_ns

    def batch(self) -> float:
        """Do one batch and return ns per time."""
        before = self.clock(self.peers)
        self.run(self.times)
        return (self.clock(self.peers) - before) / self.times


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure in ns: its value and its interval, from the rounds."""

    value: float
    low: float
    high: float


def in_rounds(probes: Mapping[str, Probe], rounds: int) -> dict[str, Series]:
    """Run a batch of each probe per round, after one round that warms up; return the values by name."""
    found: dict[str, list[float]] = {name: [] for name in probes}
    for number in range(rounds + 1):
        for name, probe in probes.items():
            value = probe.batch()
            if number:
                found[name].append(value)
    return {name: tuple(values) for name, values in found.items()}


def by_round(formula: Callable[..., float], *series: Series) -> Series:
    """Return a derived figure, worked out round by round, at least 0."""
    return tuple(max(0.0, formula(*values)) for values in zip(*series, strict=True))


def figure(series: Sequence[float]) -> Measured:
    """Return the figure of a series (not empty): the statistic of the module's text."""
    ordered = sorted(series)

    def at(share: float) -> float:
        return ordered[max(1, math.ceil(share * len(ordered))) - 1]

    return Measured(statistics.median(ordered), at(LOW), at(HIGH))
