"""Chains of dependent requests on the real Linux kernel: predicted from primitives, then measured.

A chain of k hops asks a server k times, and each request needs the answer before it: the server looks up the next
place in a table. Client and server are processes on one core with a TCP connection between them. Three ways:

    round trips    the client asks k times
    graft          a BPF program (SK_MSG) on the server's socket looks at each answer: while hops are left it puts the
                   answer into the server's own receive queue, as the next request; only the last one wakes the client
    resident       the server does all k steps for one request: logic in the server, where there is one server only

What a way takes is predicted from single primitives, measured before any chain is run (`primitives`):

    message        write and read of a TCP connection by one process: two crossings and the stack, nobody waits
    handover       blocking one process, making the other ready, changing to it (`calibration.system`, from pipes)
    activation     write and read of a socket whose program puts the message into its own receive queue

    round trips(k) = 2 k (message + handover)
    graft(k)       = 2 (message + handover) + (k - 1) activation
    resident(k)    = 2 (message + handover)

The chain that was measured was no input to its own prediction. Every answer is checked. A bystander on the same core,
which only computes, is predicted to get half of it: at any instant there are two processes that can run, of one weight.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np

from grafting import Program, hooks, isa
from grafting.isa import Instruction
from kernel_model.calibration import system
from kernel_model.calibration.samples import Measured, Probe, Series, figure, in_rounds, processor_ns
from kernel_model.linux import bpf
from kernel_model.linux.loops import LEFT, Words, loops, unavailable
from kernel_model.validation.predictions import Prediction

HOPS = (1, 4, 8, 16)
WAYS = ("round trips", "graft", "resident")
SIZE = 64  # bytes of a message
CELLS = 64  # of the server's table
TIMES = 400  # chains in a batch
TOLERANCE = 0.15  # allowed at least, beyond the primitives' own intervals
BYSTANDER_SHARE = 0.5
SHARE_TOLERANCE = 0.05

_MAP_FD = 1  # src of lddw: imm is a map's descriptor
_PROGRAM = """
    r6 = r1
    r2 = 0
    r3 = 16
    r4 = 0
    call 63
    if r0 != 0 goto pass
    r2 = *(u64 *)(r6 + 0)
    r3 = *(u64 *)(r6 + 8)
    r4 = r2
    r4 += 16
    if r4 > r3 goto pass
    r5 = *(u64 *)(r2 + 0)
    if r5 == 0 goto pass
    r1 = r6
    r2 = 0x0 ll
    r3 = 0
    r4 = 1
    call 60
    exit
pass:
    r0 = 1
    exit
"""
"""msg_pull_data(16 bytes); while hops are left, msg_redirect_map(own socket, ingress); else SK_PASS."""


def forbidden() -> str:
    """Return why these chains cannot be run here, or the empty string."""
    return unavailable() or bpf.unavailable()


@dataclass(frozen=True, slots=True)
class Connection:
    """Both ends of a TCP connection over the loopback device."""

    client: socket.socket
    server: socket.socket


@contextmanager
def connection(*, grafted: bool) -> Iterator[Connection]:
    """Make a connection, with the program on the server's socket if `grafted`."""
    with ExitStack() as opened:
        listener = opened.enter_context(socket.create_server(("127.0.0.1", 0)))
        client = opened.enter_context(socket.create_connection(listener.getsockname()))
        server = opened.enter_context(listener.accept()[0])
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if grafted:
            sockmap = bpf.create_map(bpf.MapType.SOCKMAP, 4, 4, 1)
            opened.callback(os.close, sockmap)
            program, _log = opened.enter_context(bpf.loaded(_program(sockmap), bpf.ProgramType.SK_MSG))
            opened.enter_context(bpf.attached_to_sockets(program, sockmap))
            bpf.update_map(sockmap, bytes(4), server.fileno().to_bytes(4, "little"))
        yield Connection(client, server)


def _program(sockmap: int) -> list[Instruction]:
    code = Program.from_assembly(_PROGRAM, hooks.raw_context(64), name="chain").handlers[0].instructions
    return [Instruction(isa.LDDW, i.dst, _MAP_FD, 0, sockmap) if i.opcode == isa.LDDW else i for i in code]


# --- primitives, before any chain ------------------------------------------------------------------------------------


def primitives(rounds: int) -> dict[str, Measured]:
    """Measure what the predictions are made of, ns."""
    series: dict[str, Series] = system.measure(rounds)
    with system.one_core(), connection(grafted=False) as plain, connection(grafted=True) as grafted:
        series |= in_rounds({"message": _message(plain), "activation": _activation(grafted)}, rounds)
    return {name: figure(values) for name, values in series.items()}


def _message(plain: Connection) -> Probe:
    message = np.zeros(SIZE // 8, np.uint64)
    out, into = plain.client.fileno(), plain.server.fileno()
    return Probe(lambda times: loops().ask(out, into, message, SIZE, times), system.CORE_TIMES)


def _activation(grafted: Connection) -> Probe:
    message = np.zeros(SIZE // 8, np.uint64)
    message[LEFT] = 1
    own = grafted.server.fileno()
    return Probe(lambda times: loops().ask(own, own, message, SIZE, times), system.CORE_TIMES)


def predict(given: Mapping[str, Measured], hops: Sequence[int] = HOPS) -> list[Prediction]:
    """Return what each way takes for each number of hops, us, and the bystander's share with each way."""
    found = []
    for count in hops:
        for way in WAYS:
            trips = count if way == "round trips" else 1
            activations = count - 1 if way == "graft" else 0
            low, value, high = (
                (2 * trips * sum(getattr(given[name], end) for name in ("message", "handover"))
                 + activations * getattr(given["activation"], end)) / 1000
                for end in ("low", "value", "high")
            )  # fmt: skip
            why = f"{2 * trips} (message + handover) + {activations} activations"
            allowed = min(low, value * (1 - TOLERANCE)), max(high, value * (1 + TOLERANCE))
            found.append(Prediction(_name(way, count), value, *allowed, "us", why))
    share = BYSTANDER_SHARE
    for way in WAYS:
        why = "two processes of one weight can run at any instant"
        low, high = share - SHARE_TOLERANCE, share + SHARE_TOLERANCE
        found.append(Prediction(_share_name(way), share, low, high, "of the core", why))
    return found


def _name(way: str, hops: int) -> str:
    return f"{way}, {hops} hop{'s' if hops > 1 else ''}"


def _share_name(way: str) -> str:
    return f"bystander beside {way}, {max(HOPS)} hops"


# --- chains -----------------------------------------------------------------------------------------------------------


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


def measure(hops: Sequence[int] = HOPS, rounds: int = 15, times: int = TIMES) -> dict[str, float]:
    """Return the median over the rounds of what each chain takes, us, and the bystander's share with each way."""
    loops()
    found: dict[str, float] = {}
    for way in WAYS:
        with system.one_core(), chains(way) as (ends, peer):

            def probe(count: int, ends: Connection = ends, peer: int = peer) -> Probe:
                return Probe(lambda repeated: run(ends, count, repeated), times, (peer,))

            series = in_rounds({_name(way, count): probe(count) for count in hops}, rounds)
            found |= {name: figure(values).value / 1000 for name, values in series.items()}
            found[_share_name(way)] = _bystander(ends, peer, times)
    return found


def _bystander(ends: Connection, peer: int, times: int) -> float:
    """Return the share of a computing process in the processor time that it, client and server have together."""
    with system.child(_compute) as third:
        before, alone = processor_ns((peer, third)), _of(third)
        for _ in range(2 * max(HOPS)):
            run(ends, max(HOPS), times)
        shared, own = processor_ns((peer, third)) - before, _of(third) - alone
        os.kill(third, signal.SIGSTOP)
    return own / shared


def _of(process: int) -> int:
    return processor_ns((process,)) - processor_ns(())


def _compute() -> None:
    while True:
        sum(range(1000))
