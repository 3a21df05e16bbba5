"""Compiled loops over system calls: what is measured of Linux, with nothing of Python in it.

Each loop is numba's, and calls libc's `syscall(2)`, `clock_gettime(2)` or `clock_nanosleep(2)` by name, which needs no
compiler on the machine. They are compiled before a process forks, so that both sides have them. A loop keeps Python's
signal handlers out; whoever waits in one is woken by its peer: `echo` and `serve` end when their input does, `turns`
after as many.

A message is an array of 64-bit words, `size` bytes of which travel, whole: a pipe or a socket gives it in one read
unless it is larger than what the kernel buffers, which callers do not ask for.
"""

from __future__ import annotations

import functools
import platform
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Words = Any
"""A numpy array of uint64."""

NUMBERS = {
    "x86_64": {"read": 0, "write": 1, "yield": 24, "getppid": 110, "futex": 202},
    "aarch64": {"read": 63, "write": 64, "yield": 124, "getppid": 173, "futex": 98},
    "riscv64": {"read": 63, "write": 64, "yield": 124, "getppid": 173, "futex": 98},
}
"""System call numbers by machine (linux/include/uapi/asm-generic/unistd.h, arch/x86/entry/syscalls)."""

LEFT, PLACE = 0, 1  # words of a chain's message: hops that are left, where the chain is

_FUTEX_WAIT, _FUTEX_WAKE, _MONOTONIC, _ABSOLUTE = 0, 1, 1, 1
_NS = 1_000_000_000


def unavailable() -> str:
    """Return why there are no such loops here, or the empty string."""
    system, machine = platform.system(), platform.machine()
    return "" if system == "Linux" and machine in NUMBERS else f"no system call numbers for {system} on {machine}"


class Loops(NamedTuple):
    """The loops. Each returns a number that depends on what it did, so that nothing can be left out."""

    empty: Callable[[int], int]
    """(times): the system call that does nothing, getppid."""
    give_way: Callable[[int], int]
    """(times): sched_yield."""
    clock: Callable[[Words, int], int]
    """(two words, times): clock_gettime."""
    cycles: Callable[[int], int]
    """(times): the processor's cycle counter."""
    ask: Callable[[int, int, Words, int, int], int]
    """(out, into, message, size, times): write to `out` and read from `into`."""
    echo: Callable[[int, int, Words, int], int]
    """(into, out, message, size): answer all that comes with itself."""
    turns: Callable[[Words, int, int], int]
    """(shared word, which side: 0 begins, times): wake the other side by futex and wait for it."""
    chain: Callable[[int, int, Words, int, int, int], int]
    """(out, into, message, size, hops, times): begin a chain of `hops`, and ask on until none is left."""
    sleep: Callable[[Words, int, int], int]
    """(two words, ns, times): sleep so long, so many times."""
    paced: Callable[[int, int, Words, int, int, Words, Words, int], int]
    """(out, into, message, size, hops, due, late, sleeps): begin a chain at each of the times `due` (ns from the call),
    or as soon after it as the one before has ended; `late` gets what passed from the time due to its end. Until a chain
    is due, sleep, or else look at the clock. Returns the sum of the places where the chains ended, -1 if one broke."""
    follow: Callable[[Words, Words, int], int]
    """(places, one word, times): go from the place in the word to the one that is written there, and keep the last."""
    serve: Callable[[int, int, Words, int, Words, int], int]
    """(into, out, message, size, table, resident): do one hop of a chain for each message, or all if `resident`."""


@functools.cache
def loops() -> Loops:
    """Compile the loops, once. A caller has made sure that they are not `unavailable`."""
    import numba
    from numba import int32, int64, types, uint64

    numbers = {name: int(number) for name, number in NUMBERS[platform.machine()].items()}
    read, write, give, parent, futex = (numbers[name] for name in ("read", "write", "yield", "getppid", "futex"))
    syscall = types.ExternalFunction("syscall", int64(*[int64] * 7))
    gettime = types.ExternalFunction("clock_gettime", int32(int32, int64))
    nanosleep = types.ExternalFunction("clock_nanosleep", int32(int32, int32, int64, int64))
    words = uint64[::1]

    def compiled(*arguments: Any) -> Callable[[Callable[..., int]], Callable[..., int]]:
        return numba.njit(int64(*arguments), nogil=True)  # type: ignore[no-any-return]

    @compiled(int64)
    def empty(times: int) -> int:
        total = 0
        for _ in range(times):
            total += syscall(parent, 0, 0, 0, 0, 0, 0)
        return total

    @compiled(int64)
    def give_way(times: int) -> int:
        total = 0
        for _ in range(times):
            total += syscall(give, 0, 0, 0, 0, 0, 0)
        return total

    @compiled(words, int64)
    def clock(cell: Words, times: int) -> int:
        total = 0
        for _ in range(times):
            total += gettime(_MONOTONIC, cell.ctypes.data)
        return total

    counter = _cycle_counter()

    @compiled(int64)
    def cycles(times: int) -> int:
        last = 0
        for _ in range(times):
            last = counter()
        return last

    @compiled(int64, int64, words, int64, int64)
    def ask(out: int, into: int, message: Words, size: int, times: int) -> int:
        total = 0
        for _ in range(times):
            total += syscall(write, out, message.ctypes.data, size, 0, 0, 0)
            total += syscall(read, into, message.ctypes.data, size, 0, 0, 0)
        return total

    @compiled(int64, int64, words, int64)
    def echo(into: int, out: int, message: Words, size: int) -> int:
        answered = 0
        while syscall(read, into, message.ctypes.data, size, 0, 0, 0) == size:
            syscall(write, out, message.ctypes.data, size, 0, 0, 0)
            answered += 1
        return answered

    @compiled(words, int64, int64)
    def turns(cell: Words, side: int, times: int) -> int:
        waits = 0
        mine, theirs = uint64(side), uint64(1 - side)
        for _ in range(times):
            while cell[0] != mine:
                syscall(futex, cell.ctypes.data, _FUTEX_WAIT, 1 - side, 0, 0, 0)
                waits += 1
            cell[0] = theirs
            syscall(futex, cell.ctypes.data, _FUTEX_WAKE, 1, 0, 0, 0)
        return waits

    @compiled(int64, int64, words, int64, int64, int64)
    def chain(out: int, into: int, message: Words, size: int, hops: int, times: int) -> int:
        total = 0
        for _ in range(times):
            message[LEFT] = hops
            message[PLACE] = 0
            while message[LEFT] != uint64(0):
                syscall(write, out, message.ctypes.data, size, 0, 0, 0)
                if syscall(read, into, message.ctypes.data, size, 0, 0, 0) != size:
                    return -1
            total += message[PLACE]
        return total

    @compiled(words, int64, int64)
    def sleep(cell: Words, ns: int, times: int) -> int:
        total = 0
        cell[0], cell[1] = 0, ns
        for _ in range(times):
            total += nanosleep(_MONOTONIC, 0, cell.ctypes.data, 0)
        return total

    @compiled(words)
    def now(cell: Words) -> int:
        gettime(_MONOTONIC, cell.ctypes.data)
        return int64(cell[0]) * _NS + int64(cell[1])  # type: ignore[no-any-return]

    @compiled(int64, int64, words, int64, int64, words, words, int64)
    def paced(out: int, into: int, message: Words, size: int, hops: int, due: Words, late: Words, sleeps: int) -> int:
        total = 0
        cell = np.zeros(2, np.uint64)
        start = now(cell)
        for number in range(len(due)):
            begin = start + int64(due[number])
            while now(cell) < begin:
                if sleeps != 0:
                    cell[0], cell[1] = begin // _NS, begin % _NS
                    nanosleep(_MONOTONIC, _ABSOLUTE, cell.ctypes.data, 0)
            place = chain(out, into, message, size, hops, 1)
            if place < 0:
                return -1
            total += place
            late[number] = now(cell) - begin
        return total

    @compiled(words, words, int64)
    def follow(places: Words, cell: Words, times: int) -> int:
        at = cell[0]
        for _ in range(times):
            at = places[at]
        cell[0] = at
        return int64(at)  # type: ignore[no-any-return]

    @compiled(int64, int64, words, int64, words, int64)
    def serve(into: int, out: int, message: Words, size: int, table: Words, resident: int) -> int:
        served = 0
        while syscall(read, into, message.ctypes.data, size, 0, 0, 0) == size:
            steps = message[LEFT] if resident != 0 else uint64(1)
            for _ in range(steps):
                message[PLACE] = table[message[PLACE]]
            message[LEFT] -= steps
            syscall(write, out, message.ctypes.data, size, 0, 0, 0)
            served += 1
        return served

    return Loops(empty, give_way, clock, cycles, ask, echo, turns, chain, sleep, paced, follow, serve)


def _cycle_counter() -> Callable[[], int]:
    """Return what LLVM calls `readcyclecounter`: an instruction on most processors."""
    from llvmlite import ir
    from numba import types
    from numba.extending import intrinsic

    @intrinsic  # type: ignore[untyped-decorator]
    def counter(_typing_context: Any) -> Any:
        def generate(_context: Any, builder: Any, _signature: Any, _given: Any) -> Any:
            function = builder.module.declare_intrinsic(
                "llvm.readcyclecounter", fnty=ir.FunctionType(ir.IntType(64), [])
            )
            return builder.call(function, [])

        return types.int64(), generate

    return counter  # type: ignore[no-any-return]
