"""What chains leave of their core to a process that only computes, with round trips and with a graft.

Two questions, both answered by the processor time that Linux accounts to the bystander, as a share of what it, client
and server have together:

    less important   the bystander gets what the others do not want (fixed priorities); chains begin at random times,
                     equally many for every way, and the client sleeps until one is due. Whoever wants less time
                     for a chain leaves more: predicted by the simulated kernel from the time of a chain (`chains`) and
                     of a sleep (a primitive), with the very arrivals that the real one gets (`open_loop`)
    equal            chains follow each other without a pause: at any instant two processes can run, the bystander and
                     either client or server, all of one weight. Predicted is a half, for the modelled kernel has fixed
                     priorities and no fair shares
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from jit.hot import TierName
from kernel_model.calibration import system
from kernel_model.calibration.samples import Measured, figure, of, processor_ns
from kernel_model.costs import Profile
from kernel_model.linux import chains, loads, open_loop
from kernel_model.linux.loops import loops
from kernel_model.linux.open_loop import Times
from kernel_model.validation.predictions import Prediction

HOPS = 8
RATES = (0.2, 0.5, 0.8)  # chains, as a share of what round trips alone could do
TOLERANCE = 0.05  # of the core
EQUAL = 0.5
SECONDS = 0.15
ROUNDS = 7


@dataclass(frozen=True, slots=True)
class Plan:
    """When chains begin, the same for every way, at each of `RATES`; and how many follow each other in SECONDS."""

    due: tuple[Times, ...]
    back_to_back: dict[str, int]


def plan(profile: Profile, seconds: float = SECONDS) -> Plan:
    """Return what is to be offered."""
    chain = {way: chains.takes(profile, way, HOPS).value for way in chains.WAYS}
    due = tuple(open_loop.arrivals(chain["round trips"] / rate, seconds) for rate in RATES)
    return Plan(due, {way: max(1, round(seconds * 1e9 / ns)) for way, ns in chain.items()})


def _name(way: str, rate: float) -> str:
    return f"bystander beside {way}, {HOPS} hops, rate {rate}"


def _equal(way: str) -> str:
    return f"equal bystander beside {way}, {HOPS} hops"


def predict(profile: Profile, made: Plan, tier: TierName = "numba") -> list[Prediction]:
    """Return the share of the core in every case."""
    sleep, found = profile.parts["sleep"].value / chains.PS, []
    for rate, due in zip(RATES, made.due, strict=True):
        for way in chains.WAYS:
            chain = chains.takes(profile, way, HOPS).value
            share = open_loop.simulate(due, chain, sleep, tier).share
            why = f"chains of {chain / 1000:.4g} us, sleeps of {sleep / 1000:.4g} us"
            found.append(_prediction(_name(way, rate), share, why))
    why = "two processes of one weight can run at any instant"
    return found + [_prediction(_equal(way), EQUAL, why) for way in chains.WAYS]


def _prediction(name: str, share: float, why: str) -> Prediction:
    return Prediction(name, share, share - TOLERANCE, share + TOLERANCE, "of the core", why)


def measure(made: Plan, rounds: int = ROUNDS) -> dict[str, Measured]:
    """Run the chains beside the bystander, all ways and rates in turn, and return its share of the core."""
    loops()
    found: dict[str, list[float]] = {}
    with system.one_core(), system.punctual(), ExitStack() as opened:
        usual = {way: opened.enter_context(chains.chains(way)) for way in chains.WAYS}
        equal = opened.enter_context(system.stopped(system.compute))
        below = opened.enter_context(system.stopped(system.compute_below))
        with system.preceding():
            first = {way: opened.enter_context(chains.chains(way)) for way in chains.WAYS}
        for ends, _server in (*usual.values(), *first.values()):
            chains.run(ends, HOPS, loads.WARM_UP)
        for _ in range(rounds):
            for way, (ends, server) in first.items():
                for rate, due in zip(RATES, made.due, strict=True):
                    with system.preceding(), _share(below, server, found.setdefault(_name(way, rate), [])):
                        loads.paced(ends, due, hops=HOPS, sleeps=True)
                    time.sleep(loads.PAUSE)
            for way, (ends, server) in usual.items():
                with _share(equal, server, found.setdefault(_equal(way), [])):
                    chains.run(ends, HOPS, made.back_to_back[way])
    return {name: figure(values) for name, values in found.items()}


@contextmanager
def _share(bystander: int, server: int, into: list[float]) -> Iterator[None]:
    """Let the bystander compute meanwhile; append its share of the time that it, this process and the server used."""
    with system.continued(bystander):
        own, others = of(bystander), processor_ns((server,))
        yield
        own, others = of(bystander) - own, processor_ns((server,)) - others
        into.append(own / (own + others))
