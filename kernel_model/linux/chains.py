"""Chains of dependent requests on the real Linux kernel: predicted from primitives, then measured.

A chain of k hops asks a server k times, and each request needs the answer before it: the server looks up the next
place in a table. Client and server are processes on one core with a TCP connection between them. Three ways:

    round trips    the client asks k times
    graft          a BPF program on the server's socket looks at each answer (`sockets`): while hops are left it puts
                   the answer into the server's own receive queue, as the next request; only the last one wakes the
                   client
    resident       the server does all k steps for one request: logic in the server, where there is one server only

What a way takes is predicted from single primitives, which `graft calibrate` measures and writes into the profile
`linux-host` as parts, and the profile's digest is printed before any chain is run:

    message        write and read of a TCP connection by one process: two crossings and the stack, nobody waits
    handover       blocking one process, making the other ready, changing to it (from pipes)
    redirect       write and read of a socket whose program puts the message into its own receive queue

    round trips(k) = 2 k (message + handover)
    graft(k)       = 2 (message + handover) + (k - 1) redirect
    resident(k)    = 2 (message + handover)

The chain that was measured was no input to its own prediction. Every answer is checked. The same chains under load are
in `loads`, with somebody else on the core in `bystanders`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import numpy as np

from kernel_model.calibration import system
from kernel_model.calibration.samples import Measured, Probe, figure, in_rounds
from kernel_model.costs import Profile
from kernel_model.linux import bpf
from kernel_model.linux.loops import Words, loops, unavailable
from kernel_model.linux.sockets import SIZE, Connection, connection
from kernel_model.validation.predictions import Prediction

HOPS = (1, 4, 8, 16)
WAYS = ("round trips", "graft", "resident")
CELLS = 64  # of the server's table
TIMES = 400  # chains in a batch
ROUNDS = 15
TOLERANCE = 0.15  # allowed at least, beyond the primitives' own intervals
PS = 1000  # in a nanosecond


def forbidden() -> str:
    """Return why these chains cannot be run here, or the empty string."""
    return unavailable() or bpf.unavailable()


# --- predicted --------------------------------------------------------------------------------------------------------


def takes(profile: Profile, way: str, hops: int) -> Measured:
    """Return what a chain takes, ns: the sum of the module's text.

    Raises KeyError if the profile was not made by a calibration that could measure sockets.
    """
    trips = hops if way == "round trips" else 1
    redirects = hops - 1 if way == "graft" else 0
    message, handover, redirect = (profile.parts[name] for name in ("message", "handover", "redirect"))

    def total(end: str) -> float:
        each, step = getattr(message, end) + getattr(handover, end), getattr(redirect, end)
        return float(2 * trips * each + redirects * step) / PS

    return Measured(total("value"), total("low"), total("high"))


def allowed(time: Measured, tolerance: float = TOLERANCE) -> tuple[float, float]:
    """Return the interval of a predicted time: what the primitives' own allow, and `tolerance` at least."""
    return min(time.low, time.value * (1 - tolerance)), max(time.high, time.value * (1 + tolerance))


def predict(profile: Profile, hops: Sequence[int] = HOPS) -> list[Prediction]:
    """Return what each way takes for each number of hops, us."""
    found = []
    for count in hops:
        for way in WAYS:
            time = takes(profile, way, count)
            low, high = (end / 1000 for end in allowed(time))
            why = f"{count if way == 'round trips' else 1} round trips, {count - 1 if way == 'graft' else 0} redirects"
            found.append(Prediction(_name(way, count), time.value / 1000, low, high, "us", why))
    return found


def _name(way: str, hops: int) -> str:
    return f"{way}, {hops} hop{'s' if hops > 1 else ''}"


# --- measured ---------------------------------------------------------------------------------------------------------


def table() -> Words:
    """Return the server's table: one cycle through all cells, in an order that is no order."""
    return (np.arange(CELLS, dtype=np.uint64) * np.uint64(29) + np.uint64(17)) % np.uint64(CELLS)


def end_of(hops: int) -> int:
    """Return where a chain that starts at cell 0 ends."""
    place, cells = 0, table()
    for _ in range(hops):
        place = int(cells[place])
    return place


@contextmanager
def chains(way: str) -> Iterator[tuple[Connection, int]]:
    """Run the server of one way in a process of its own; yields the connection and the process's number."""
    with connection(grafted=way == "graft") as ends:
        message, cells = np.zeros(SIZE // 8, np.uint64), table()
        own = ends.server.fileno()

        def serve() -> None:
            ends.client.close()
            loops().serve(own, own, message, SIZE, cells, int(way == "resident"))

        with system.child(serve) as peer:
            yield ends, peer


def run(ends: Connection, hops: int, times: int) -> None:
    """Run so many chains, and see that each ended where it must."""
    message, client = np.zeros(SIZE // 8, np.uint64), ends.client.fileno()
    if loops().chain(client, client, message, SIZE, hops, times) != times * end_of(hops):
        raise AssertionError(f"a chain of {hops} hops ended at the wrong place")


def measure(hops: Sequence[int] = HOPS, rounds: int = ROUNDS, times: int = TIMES) -> dict[str, Measured]:
    """Return what each chain takes, us: all ways and lengths have a batch a round, in turn."""
    loops()
    with system.one_core(), ExitStack() as opened:
        probes: dict[str, Probe] = {}
        for way in WAYS:
            ends, peer = opened.enter_context(chains(way))
            probes |= {_name(way, count): _probe(ends, peer, count, times) for count in hops}
        return {name: in_us(figure(values)) for name, values in in_rounds(probes, rounds).items()}


def _probe(ends: Connection, peer: int, hops: int, times: int) -> Probe:
    return Probe(lambda repeated: run(ends, hops, repeated), times, (peer,))


def in_us(time: Measured) -> Measured:
    """Return a figure in ns in us."""
    return Measured(time.value / 1000, time.low / 1000, time.high / 1000)
