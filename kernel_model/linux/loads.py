"""Chains under load on the real kernel: latency from 0.1 to 0.9 of capacity, and where it saturates.

A client that begins chains at random times which do not wait for it (`open_loop`), and their server, on one core. Until
a chain is due the client looks at the clock, while the server waits; both go before all other processes of the machine
where that is permitted. So what is measured are chains and their queue, and neither timers, nor wake-ups across cores,
nor what others do. How long a chain takes is the sum of primitives of `chains.takes`; the capacity is one chain in that
time. From it are predicted, by the simulated kernel with the very arrivals that the real one gets:

    latency           mean and 99th percentile, from the time at which a chain was to begin, at each load
    saturation        the highest offered load, in steps of STEP, of which FOLLOWED is done by the time it has come in
    throughput        at the highest load that is offered, which is beyond capacity

What is allowed is what the model says for the shortest and the longest time that a chain may take by its primitives'
intervals, and at least `TOLERANCE` off: near capacity that is much, for there a queue is as sensitive as that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import numpy as np

from jit.hot import TierName
from kernel_model.calibration import system
from kernel_model.calibration.samples import Measured, figure
from kernel_model.costs import Profile
from kernel_model.linux import chains, open_loop
from kernel_model.linux.loops import loops
from kernel_model.linux.open_loop import Run, Times
from kernel_model.linux.sockets import SIZE, Connection
from kernel_model.validation.predictions import Prediction

WAYS = ("round trips", "graft")
HOPS = 8
LOADS = tuple(n / 10 for n in range(1, 10))
STEP = 0.05
OFFERED = tuple(0.7 + STEP * n for n in range(13))  # of the predicted capacity: 0.7 to 1.3
FOLLOWED = 0.98
TOLERANCE = 0.05  # of the time of a chain
SECONDS = 0.15  # of arrivals at one load
ROUNDS = 7
WARM_UP = 100  # chains
PAUSE = 0.02  # seconds behind each load, for all others: processes that go before them may not keep a core for ever


@dataclass(frozen=True, slots=True)
class Plan:
    """One way's arrivals, fixed by the profile: `latency` at each of `LOADS`, `offered` at each of `OFFERED`."""

    way: str
    chain: Measured  # what one takes, ns
    latency: tuple[Times, ...]
    offered: tuple[Times, ...]


def plans(profile: Profile, seconds: float = SECONDS) -> list[Plan]:
    """Return what is to be offered in each way."""
    found = []
    for way in WAYS:
        chain = chains.takes(profile, way, HOPS)

        def at(loads: Sequence[float], between: float = chain.value) -> tuple[Times, ...]:
            return tuple(open_loop.arrivals(between / load, seconds) for load in loads)

        found.append(Plan(way, chain, at(LOADS), at(OFFERED)))
    return found


Runner = Callable[[Times], Run]


def figures(plan: Plan, run: Runner) -> Iterator[tuple[str, float, str]]:
    """Yield name, value and unit of all that is predicted of a plan, and observed, from runs of its arrivals."""
    name = f"{plan.way}, {HOPS} hops"
    for load, due in zip(LOADS, plan.latency, strict=True):
        done = run(due)
        yield f"{name}, load {load:.1f}: mean", done.mean, "us"
        yield f"{name}, load {load:.1f}: p99", done.p99, "us"
    rates, done_rates = [], []
    for due in plan.offered:
        rates.append(len(due) / float(due[-1]) * 1e9)
        done_rates.append(run(due).throughput)
    followed = [rate for rate, done in zip(rates, done_rates, strict=True) if done >= FOLLOWED * rate]
    yield f"{name}: saturation", max(followed, default=0.0), "chains/s"
    yield f"{name}: throughput beyond", done_rates[-1], "chains/s"


def predict(plan: Plan, tier: TierName = "numba") -> list[Prediction]:
    """Return the predictions for a plan: what the simulated kernel says for a chain's time, and for its extremes."""
    low, high = chains.allowed(plan.chain, TOLERANCE)
    runs = [list(figures(plan, _simulated(time, tier))) for time in (plan.chain.value, low, high)]
    why = f"a chain of {plan.chain.value / 1000:.4g} us"
    return [
        Prediction(name, value, min(value, a, b), max(value, a, b), unit, why)
        for (name, value, unit), (_, a, _), (_, b, _) in zip(*runs, strict=True)
    ]


def _simulated(service_ns: float, tier: TierName) -> Runner:
    return lambda due: open_loop.simulate(due, service_ns, tier=tier)


def measure(made: Sequence[Plan], rounds: int = ROUNDS) -> dict[str, Measured]:
    """Offer the real kernel what was planned, all loads of all ways in turn, and return what came of it."""
    loops()
    found: dict[str, list[float]] = {}
    with system.one_core(), system.preceding(), ExitStack() as opened:
        ready = [(plan, opened.enter_context(chains.chains(plan.way))[0]) for plan in made]
        for _plan, ends in ready:
            chains.run(ends, HOPS, WARM_UP)
        for _ in range(rounds):
            for plan, ends in ready:
                for name, value, _unit in figures(plan, partial(_offered, ends)):
                    found.setdefault(name, []).append(value)
    return {name: figure(values) for name, values in found.items()}


def _offered(ends: Connection, due: Times) -> Run:
    done = paced(ends, due)
    time.sleep(PAUSE)
    return done


def paced(ends: Connection, due: Times, *, hops: int = HOPS, sleeps: bool = False) -> Run:
    """Run chains at their times on a connection whose server waits; see that each has ended where it must."""
    message, late, client = np.zeros(SIZE // 8, np.uint64), np.zeros(len(due), np.uint64), ends.client.fileno()
    total = loops().paced(client, client, message, SIZE, hops, due.astype(np.uint64), late, int(sleeps))
    if total != len(due) * chains.end_of(hops):
        raise AssertionError(f"a chain of {hops} hops ended at the wrong place")
    latencies = late.astype(np.float64)
    return Run(latencies, float(due[-1] + latencies[-1]))
