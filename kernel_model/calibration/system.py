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
    sleep            a sleep of SLEEP_NS beside a process that only computes: what the sleeper itself uses, so two
                     crossings, a timer, blocking, being made ready, changing to it and back
    copy_byte        how writing 32 KiB to a pipe and reading them back differs from 8 bytes, per byte: in and out
    refill_line      a line from behind the core's own cache: a random walk through four times as much as that holds,
                     each place known only when the last is there, less one through an eighth of it
    clock            clock_gettime
    clock_read       the cycle counter

All processes are bound to one core; a peer is a child that waits in a read when it is not its turn.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

import numpy as np
from numpy.typing import NDArray

from kernel_model.calibration.samples import Probe, Series, by_round
from kernel_model.calibration.topology import own_cache
from kernel_model.linux.loops import loops

SMALL, LARGE = 8, 32_768  # bytes of a message; a pipe holds 64 KiB
WORDS = LARGE // 8
CORE_TIMES = 2000  # in a batch: some milliseconds
SLEEP_NS, SLEEPS = 50_000, 100  # of one sleep; in a batch
FOREVER = 1 << 60
ROUNDABOUT = 20  # times around what is to be warm: another probe has displaced it
ABOVE, BELOW = 2, 1  # fixed priorities
_PARENT_DEATH_SIGNAL, _TIMER_SLACK, _USUAL_SLACK = 1, 29, 0  # prctl(2)


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


@contextmanager
def preceding(level: int = ABOVE) -> Iterator[None]:
    """Let this process, and the children that it makes meanwhile, go before all others of the machine.

    With fixed priorities (sched(7), SCHED_FIFO) what others do on the core does not count in wall-clock time either.
    Where that is not permitted (`may_precede`) nothing changes.
    """
    if not may_precede():
        yield
        return
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(level))
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@functools.cache
def may_precede() -> bool:
    """Whether processes of fixed priorities are permitted here."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(BELOW))
    except PermissionError:
        return False
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return True


def compute() -> None:
    """Compute for ever."""
    loops().cycles(FOREVER)


def compute_below() -> None:
    """Compute for ever, of less importance than whoever is `preceding`: they get the core whenever they want it."""
    if may_precede():
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(BELOW))
    else:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    compute()


def compute_if_idle() -> None:
    """Compute for ever, of no importance (sched(7), SCHED_IDLE): whoever else wants the core gets it at once."""
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    compute()


@contextmanager
def stopped(run: Callable[[], object]) -> Iterator[int]:
    """Make a child that never waits and is stopped until it is `continued`; yields its number."""
    with child(run) as number:
        os.kill(number, signal.SIGSTOP)
        yield number


@contextmanager
def continued(process: int) -> Iterator[None]:
    """Let a stopped child run meanwhile."""
    os.kill(process, signal.SIGCONT)
    yield
    os.kill(process, signal.SIGSTOP)


@contextmanager
def punctual() -> Iterator[None]:
    """Let this process sleep no longer than it asks for (prctl(2), PR_SET_TIMERSLACK; else up to 50 us)."""
    libc = ctypes.CDLL(None)
    libc.prctl(_TIMER_SLACK, 1)
    try:
        yield
    finally:
        libc.prctl(_TIMER_SLACK, _USUAL_SLACK)


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
    found["sleep"] = _sleeps(opened)
    cache = own_cache()
    found["warm"] = _walk(cache.size // 8, cache.line, ROUNDABOUT)
    found["cold"] = _walk(cache.size * 4, cache.line)
    return found


def cycle(size: int, line: int) -> NDArray[np.uint64]:
    """Return `size` bytes of 64-bit words, of which the first of each line names that of another, all in one cycle."""
    order = np.random.default_rng(1).permutation(size // line).astype(np.uint64) * np.uint64(line // 8)
    places = np.zeros(size // 8, np.uint64)
    places[order] = np.roll(order, -1)
    return places


def _walk(size: int, line: int, around: int = 0) -> Probe:
    """Return a probe that goes on and on through the lines of `size` bytes in a random order, so often `around`."""
    run, places, cell = loops(), cycle(size, line), np.zeros(1, np.uint64)
    run.follow(places, cell, size // line)
    return Probe(lambda times: run.follow(places, cell, times), max(CORE_TIMES * 10, around * size // line))


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
    """Two processes that give way to each other."""
    run = loops()
    peer = opened.enter_context(stopped(lambda: run.give_way(FOREVER)))

    def together(times: int) -> None:
        with continued(peer):
            run.give_way(times)

    return Probe(together, CORE_TIMES, (peer,))


def _sleeps(opened: ExitStack) -> Probe:
    """One that sleeps beside one that computes; only its own time counts."""
    run, cell = loops(), np.zeros(2, np.uint64)
    opened.enter_context(punctual())
    peer = opened.enter_context(stopped(compute_if_idle))

    def beside(times: int) -> None:
        with continued(peer):
            run.sleep(cell, SLEEP_NS, times)

    return Probe(beside, SLEEPS)


ALONE = ("null_syscall", "clock", "clock_read", "pipe_own", "yield", "yield_pair", "sleep")  # probes that are figures


def derived(raw: Mapping[str, Series]) -> dict[str, Series]:
    """Return the primitives of the module's text from what the probes gave, round by round."""
    found = {name: raw[name] for name in ALONE}
    found["pipe_half"] = by_round(lambda trip: trip / 2, raw["pipes"])
    found["futex_half"] = by_round(lambda trip: trip / 2, raw["futex"])
    found["switch"] = by_round(lambda pair, alone: pair / 2 - alone, raw["yield_pair"], raw["yield"])
    found["handover"] = by_round(lambda half, own: half - own, found["pipe_half"], raw["pipe_own"])
    found["wake"] = by_round(lambda handover, switch: handover - switch, found["handover"], found["switch"])
    found["refill_line"] = by_round(lambda cold, warm: cold - warm, raw["cold"], raw["warm"])
    found["copy_byte"] = by_round(
        lambda large, small: (large - small) / (LARGE - SMALL), raw["pipe_large"], raw["pipe_own"]
    )
    return found
