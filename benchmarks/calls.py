"""What it costs to have a verified graft run, by the way in which it is called.

    python -m benchmarks.calls [ROUNDS]      (default 21)

Two kernels of `benchmarks/kernels`, one over raw memory and one handler of replies, each called from a compiled loop
by address, in batches, and one by one from Python. The ways take turns; the answer is checked after every sample. Times
are processor time of the thread, ns an activation.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median

import numpy as np

import jit
from benchmarks import engines, loops, machine
from benchmarks.kernels import KERNELS, Input, Kernel
from benchmarks.stage import Stage
from jit.native.engine import NativeEngine

RAW, GRAFT = (next(kernel for kernel in KERNELS if kernel.name == name) for name in ("filter", "node"))
BATCHES = (16, 4096)


@dataclass(frozen=True)
class Way:
    """A way to call: `go()` does `activations` of them and returns what the last left."""

    name: str
    activations: int
    go: Callable[[], object]


def by_address(kernel: Kernel, engine: NativeEngine, given: Input) -> Way:
    stage = Stage(kernel, given)
    arguments, address = stage.pointers(), engine.address(stage.handler.name)
    loop, times = loops.calls(), 100_000

    def go() -> object:
        loop(address, arguments, times)
        return stage.answer()

    return Way("by address from a loop in numba", times, go)


def raw_ways(kernel: Kernel, engine: NativeEngine, given: Input) -> Iterator[Way]:
    """Yield the ways of a raw program."""
    yield by_address(kernel, engine, given)
    memory = bytearray(given.body)
    for count in reversed(BATCHES):
        rows = np.tile(np.frombuffer(given.body, np.uint8), (count, 1))
        yield Way(_batch(count), count, lambda rows=rows: {"r0": int(engine.run_many(rows)[-1])})  # type: ignore[misc]
    yield Way("one by one from Python", 1, lambda: {"r0": engine.run(memory)})
    yield Way("one by one, interpreted in numba", 1,
              lambda: {"r0": jit.interpret(kernel.verified, memory, engine="numba").r0})  # fmt: skip


def graft_ways(kernel: Kernel, engine: NativeEngine, given: Input) -> Iterator[Way]:
    """Yield the ways of a handler."""
    yield by_address(kernel, engine, given)
    state, message = jit.GraftState(kernel.program), jit.Message(tag=given.tag, body=given.body)

    def variables() -> object:
        return dict(state.variables)

    for count in reversed(BATCHES):
        batch = jit.Batch.of([message] * count, "reply")

        def many(batch: jit.Batch = batch) -> object:
            jit.activate_many(engine, "reply", batch, state)
            return variables

        yield Way(_batch(count), count, many)

    def one() -> object:
        jit.activate(engine, "reply", message, state)
        return variables

    def interpreted() -> object:
        jit.activate(kernel.verified, "reply", message, state, engine="numba")
        return variables

    yield Way("one by one from Python", 1, one)
    yield Way("one by one, interpreted in numba", 1, interpreted)


def _batch(count: int) -> str:
    return f"in batches of {count:,}"


def measured(kernel: Kernel, rounds: int) -> dict[str, list[float]]:
    """Return ns an activation by way, a figure a round."""
    given = kernel.make(random.Random(engines.SEED))
    engine, wanted = jit.compile_native(kernel.verified), kernel.answer(given)
    ways = list((raw_ways if kernel.raw else graft_ways)(kernel, engine, given))
    times: dict[str, list[float]] = {way.name: [] for way in ways}
    for number in range(rounds + 1):
        for way in ways:
            repeats = max(1, 1000 // way.activations)
            start = time.thread_time_ns()
            for _ in range(repeats):
                left = way.go()
            taken = time.thread_time_ns() - start
            answer = left() if callable(left) else left
            if answer != wanted:
                raise SystemExit(f"{kernel.name} {way.name}: {answer}, not {wanted}")
            if number:  # the first round warms up
                times[way.name].append(taken / repeats / way.activations)
    return times


def main(rounds: int) -> None:
    """Measure and print."""
    heading, core = machine.heading(), engines.pinned()
    found = {kernel: measured(kernel, rounds) for kernel in (RAW, GRAFT)}
    print(f"{heading}; {machine.load()}")
    print(f"Core {core}; {rounds} rounds; ns an activation, the least and in brackets the median.\n")
    rows = [
        (name, *(f"{min(times[name]):,.1f} ({median(times[name]):,.1f})" for times in found.values()))
        for name in found[RAW]
    ]
    print(machine.table(("", *(f"{kernel.name}: {kernel.what}" for kernel in found)), rows))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 21)
