"""The kernel's primitives, on Linux: crossing, switch, wake, copy.

    null_syscall     getppid
    pipe_own         8 bytes written to a pipe and read back by one process: two crossings, nobody waits
    pipe_half        half of a round trip through two pipes between two processes on one core
    futex_half       half of a round trip of two processes that wake each other by futex
    yield            sched_yield with nobody else to run
    yield_pair       the same by two processes that take turns, per pair
    switch           half a pair less one yield: what changing the process adds
    handover         pipe_half - pipe_own: blocking one process, making the other ready, changing to it
    wake             handover - switch
    copy_byte        how writing 32 KiB to a pipe and reading them back differs from 8 bytes, per byte: in and out
    clock            clock_gettime
    clock_read       the cycle counter

All processes are bound to one core; a peer is a child that waits in a read when it is not its turn.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

import numpy as np

from kernel_model.calibration.samples import Probe, Series, by_round, in_rounds
from kernel_model.linux.loops import loops

SMALL, LARGE = 8, 32_768  # bytes of a message; a pipe holds 64 KiB
WORDS = LARGE // 8
CORE_TIMES = 2000  # in a batch: some milliseconds
FOREVER = 1 << 60
_PARENT_DEATH_SIGNAL = 1


@contextmanager
def one_core() -> Iterator[None]:
    """Bind this process, and the children that it makes, to one of the cores that it may use."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def child(run: Callable[[], object]) -> Iterator[int]:
    """Run something in a forked process, which is killed at the end if it has not ended; yields its number.

    The child holds all descriptors that are open now. It never returns to Python's caller, and does not outlive this
    process, whatever that dies of (prctl(2), PR_SET_PDEATHSIG).
    """
    number = os.fork()
    if number == 0:
        try:
            ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
            run()
        finally:
            os._exit(0)
    try:
        yield number
    finally:
        os.kill(number, signal.SIGKILL)
        os.waitpid(number, 0)


def pipe(opened: ExitStack) -> tuple[int, int]:
    """Return both ends (into, out) of a new pipe, closed at the end."""
    into, out = os.pipe()
    opened.callback(os.close, into)
    opened.callback(os.close, out)
    return into, out


def probes(opened: ExitStack) -> dict[str, Probe]:
    """Make all probes and the processes that they need."""
    run = loops()
    message, cell = np.zeros(WORDS, np.uint64), np.zeros(2, np.uint64)
    own_into, own_out = pipe(opened)
    found = {
        "null_syscall": Probe(run.empty, CORE_TIMES * 5),
        "clock": Probe(lambda times: run.clock(cell, times), CORE_TIMES * 10),
        "clock_read": Probe(run.cycles, CORE_TIMES * 10),
        "pipe_own": Probe(lambda times: run.ask(own_out, own_into, message, SMALL, times), CORE_TIMES),
        "pipe_large": Probe(lambda times: run.ask(own_out, own_into, message, LARGE, times), CORE_TIMES // 10),
        "yield": Probe(run.give_way, CORE_TIMES),
    }
    found["pipes"] = _pipes(opened)
    found["futex"] = _futex(opened)
    found["yield_pair"] = _yields(opened)
    return found


def _pipes(opened: ExitStack) -> Probe:
    run, message = loops(), np.zeros(SMALL // 8, np.uint64)
    to, back = pipe(opened), pipe(opened)
    peer = opened.enter_context(child(lambda: run.echo(to[0], back[1], message, SMALL)))
    return Probe(lambda times: run.ask(to[1], back[0], message, SMALL, times), CORE_TIMES, (peer,))


def _futex(opened: ExitStack) -> Probe:
    run = loops()
    cell = np.frombuffer(mmap.mmap(-1, mmap.PAGESIZE), np.uint64)
    peer = opened.enter_context(child(lambda: run.turns(cell, 1, FOREVER)))
    return Probe(lambda times: run.turns(cell, 0, times), CORE_TIMES, (peer,))


def _yields(opened: ExitStack) -> Probe:
    """Two processes that give way to each other; the peer is stopped but for the batches, for it never waits."""
    run = loops()
    peer = opened.enter_context(child(lambda: run.give_way(FOREVER)))
    os.kill(peer, signal.SIGSTOP)

    def together(times: int) -> None:
        os.kill(peer, signal.SIGCONT)
        run.give_way(times)
        os.kill(peer, signal.SIGSTOP)

    return Probe(together, CORE_TIMES, (peer,))


def measure(rounds: int) -> dict[str, Series]:
    """Return the primitives of the module's text by name, ns, one value a round."""
    with one_core(), ExitStack() as opened:
        return derived(in_rounds(probes(opened), rounds))


def derived(raw: Mapping[str, Series]) -> dict[str, Series]:
    """Return the primitives of the module's text from what the probes gave, round by round."""
    found = {name: raw[name] for name in ("null_syscall", "clock", "clock_read", "pipe_own", "yield", "yield_pair")}
    found["pipe_half"] = by_round(lambda trip: trip / 2, raw["pipes"])
    found["futex_half"] = by_round(lambda trip: trip / 2, raw["futex"])
    found["switch"] = by_round(lambda pair, alone: pair / 2 - alone, raw["yield_pair"], raw["yield"])
    found["handover"] = by_round(lambda half, own: half - own, found["pipe_half"], raw["pipe_own"])
    found["wake"] = by_round(lambda handover, switch: handover - switch, found["handover"], found["switch"])
    found["copy_byte"] = by_round(
        lambda large, small: (large - small) / (LARGE - SMALL), raw["pipe_large"], raw["pipe_own"]
    )
    return found
