"""Queueing theory against the simulated kernel: is its queueing what theory says, once everything else is free?

All prices are zero, so what is left of the kernel is endpoints, a scheduler that preempts, and servers that work.
Poisson arrivals come from clients on a core of their own; the servers share core 0.

- **M/G/1** (Pollaczek 1930, Khinchine 1932): one server, any distribution of service S. The mean time from arrival to
  completion is E[S] + lambda E[S^2] / (2 (1 - rho)).
- **Preemptive-priority M/M/1** (Kleinrock, Queueing Systems II, section 3.6): two servers of different priority,
  preempt and resume. Class 1 sees an M/M/1 of its own; for class 2 it is E[S2] / (1 - rho1) + R / ((1 - rho1)(1 - rho1
  - rho2)) with R = rho1 E[S1] + rho2 E[S2].

A run gives an interval of the mean that holds the true mean with probability 95 % (batch means). Over many fixed seeds
the share of intervals that do so is the *coverage*: near 0.95 if the model is right and its statistics are honest.
Wrong queueing by a few per cent brings it down; intervals that are too wide bring it up to 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jit.hot import TierName
from kernel_model.handles import Client, Exponential, Jobs, Times, Uniform
from kernel_model.kernel import Kernel
from kernel_model.results.statistics import Interval, mean_interval

PS_PER_NS = 1000
ROOM = 1 << 20  # of endpoints and completion queues: theory's are infinite
SERVER_CORE, CLIENT_CORE = 0, 1
WARM_UP = 0.1  # share of the operations, from the empty system at the start
BATCHES = 20


@dataclass(frozen=True, slots=True)
class Class:
    """A stream of requests and its server: mean time between arrivals (ns), service, priority of the server."""

    name: str
    between_ns: float
    service: Times
    priority: int = 8

    @property
    def load(self) -> float:
        """What share of its server's core it takes."""
        return moments(self.service)[0] / self.between_ns


@dataclass(frozen=True, slots=True)
class Queue:
    """A system and what theory says of it: mean ns from arrival to completion, by class in the order of `classes`."""

    name: str
    classes: tuple[Class, ...]
    expected_ns: tuple[float, ...]


def moments(service: Times) -> tuple[float, float]:
    """Return the first and second moment of a distribution of times, ns and ns^2."""
    match service:
        case Exponential(mean):
            return mean, 2 * mean**2
        case Uniform(low, high):
            return (low + high) / 2, (low**2 + low * high + high**2) / 3
        case _:
            return float(service), float(service) ** 2


def mg1(name: str, between_ns: float, service: Times) -> Queue:
    """Return an M/G/1 queue with the mean time of Pollaczek and Khinchine."""
    one = Class("all", between_ns, service)
    mean, second = moments(service)
    return Queue(name, (one,), (mean + second / between_ns / (2 * (1 - one.load)),))


def priorities(name: str, high: Class, low: Class) -> Queue:
    """Return a preemptive-priority M/M/1 of two classes, both with exponential service."""
    first, second = moments(high.service)[0], moments(low.service)[0]
    residual = high.load * first + low.load * second
    return Queue(
        name,
        (high, low),
        (
            first / (1 - high.load),
            second / (1 - high.load) + residual / ((1 - high.load) * (1 - high.load - low.load)),
        ),
    )


QUEUES = (
    mg1("M/M/1, load 0.5", 1000, Exponential(500)),
    mg1("M/U/1, load 0.6", 1000, Uniform(200, 1000)),
    mg1("M/D/1, load 0.7", 1000, 700),
    priorities(
        "preemptive M/M/1, loads 0.3 and 0.3",
        Class("high", 1000, Exponential(300), priority=20),
        Class("low", 2000, Exponential(600), priority=10),
    ),
)


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of a queue came to, by class: mean ns, and the interval of the mean."""

    means: tuple[float, ...]
    intervals: tuple[Interval, ...]


def run(queue: Queue, seed: int, operations: int, tier: TierName = "numba") -> Run:
    """Simulate about so many operations of all classes. The books, Little's law among them, are checked at the end."""
    kernel = Kernel(prices={}, cores=2, seed=seed, engine=tier)
    rates = [1 / one.between_ns for one in queue.classes]
    counts = [round(operations * rate / sum(rates)) for rate in rates]  # so that all streams end at the same time
    streams = [
        _stream(kernel, one, seed, number, count)
        for number, (one, count) in enumerate(zip(queue.classes, counts, strict=True))
    ]
    kernel.run()
    for client, jobs in streams:
        client.run("submit", depth=len(jobs))
    kernel.run()
    times = [_sojourns_ns(jobs) for _client, jobs in streams]
    intervals = [mean_interval(series, BATCHES) for series in times]
    return Run(tuple(float(np.mean(series)) for series in times), tuple(i for i in intervals if i is not None))


def _stream(kernel: Kernel, one: Class, seed: int, number: int, operations: int) -> tuple[Client, Jobs]:
    server = kernel.server(
        f"{one.name}/server", service_ns=one.service, priority=one.priority, core=SERVER_CORE, capacity=ROOM
    )
    client = kernel.client(f"{one.name}/client", core=CLIENT_CORE, completions=operations + 1)
    random = np.random.default_rng((seed, number))
    arrivals = np.cumsum(random.exponential(one.between_ns, operations))
    return client, kernel.jobs(client, slot=server, op=0, bodies=b"", count=operations, arrivals_ns=arrivals)


def _sojourns_ns(jobs: Jobs) -> Sequence[float]:
    results = jobs.results()
    times: npt.NDArray[np.float64] = (results["finished"] - results["arrival"]) / PS_PER_NS
    return list(map(float, times[math.ceil(WARM_UP * len(times)) :]))


def coverage(queue: Queue, seeds: Iterable[int], operations: int, tier: TierName = "numba") -> tuple[float, ...]:
    """Return, by class, the share of seeds whose interval holds what theory says."""
    held = [
        [interval.low <= expected <= interval.high for interval, expected in zip(found, queue.expected_ns, strict=True)]
        for found in (run(queue, seed, operations, tier).intervals for seed in seeds)
    ]
    return tuple(float(share) for share in np.mean(np.array(held), axis=0))
