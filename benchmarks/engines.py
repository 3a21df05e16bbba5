"""All engines on the same bytecode and the same bytes: what does a run of a verified graft cost?

    python -m benchmarks.engines [ROUNDS] [--only KERNEL,..] [--engines NAME,..]         (default 21 rounds)

The kernels are those of `benchmarks/kernels`; their answers are checked in every round. The engines: this project's
native code, also with its counters of instructions, and its interpreter in both tiers; gcc on the same work in C (-O3
-march=native) and a switch interpreter in C with the same checks (gcc -O2); the real Linux JIT where bpf(2) is allowed
(`linux_jit`). Native code and gcc's are called by address from the same compiled loop. Engines take turns within a
round, on one core, and times are processor time of the thread; a ratio is that of two engines in one round, and what is
printed is the median over the rounds. Prints Markdown.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import geometric_mean, median
from typing import Protocol

import jit
from benchmarks import c_code, linux_jit, loops, machine
from benchmarks.kernels import KERNELS, NOTHING, Answer, Input, Kernel
from benchmarks.stage import FUEL, Stage
from jit.hot import TierName, tier
from jit.machine import EXITED, TRUSTING
from kernel_model.linux import bpf

SAMPLE_NS = 4_000_000  # what one engine runs for in one round
LONG_NS = 200  # kernels that take longer count in the comparison with Linux, whose own entry costs 20 ns
SEED = 1


class Runner(Protocol):
    """A kernel with one input in one engine."""

    def reset(self) -> None:
        """Put the input into place and forget what runs have left."""

    def run(self, times: int) -> float:
        """Run so many times; returns ns a run."""

    def answer(self) -> Answer:
        """Return what the last run left."""


class Staged:
    """A runner over a `Stage`; `go(times)` runs and returns how the last run ended."""

    def __init__(self, stage: Stage, go: Callable[[int], int], keep: object = None) -> None:
        self.reset, self.answer = stage.reset, stage.answer
        self._go, self._keep = go, keep

    def run(self, times: int) -> float:
        """Run so many times; returns ns a run."""
        start = time.thread_time_ns()
        status = self._go(times)
        taken = time.thread_time_ns() - start
        if status != EXITED:
            raise Unable("it calls helpers, which this engine leaves out")
        return taken / times


class Unable(Exception):
    """An engine cannot run a kernel; the text says why."""


# --- engines ---------------------------------------------------------------------------------------------------------


def native(kernel: Kernel, given: Input) -> Runner:
    return _native(kernel, given, counting=False)


def counting(kernel: Kernel, given: Input) -> Runner:
    return _native(kernel, given, counting=True)


def _native(kernel: Kernel, given: Input, *, counting: bool) -> Runner:
    stage = Stage(kernel, given)
    engine = jit.compile_native(kernel.verified, counting=counting)
    return _called(stage, engine.address(stage.handler.name, counting=counting), engine)


def gcc(kernel: Kernel, given: Input) -> Runner:
    library = c_code.kernel(kernel)
    return _called(Stage(kernel, given), c_code.address(library, "kernel"), library)


def _called(stage: Stage, address: int, keep: object) -> Runner:
    arguments = stage.pointers()
    loop = loops.calls()
    return Staged(stage, lambda times: loop(address, arguments, times), keep)


def _interpreted(kernel: Kernel, given: Input, name: TierName) -> Runner:
    stage = Stage(kernel, given)
    activations = tier(name, loops).interpreted
    rest = (stage.number, stage.state.body_at, len(given.body), FUEL, 0, TRUSTING)
    return Staged(stage, lambda times: int(activations(stage.machine, *rest, times)))


def numba(kernel: Kernel, given: Input) -> Runner:
    return _interpreted(kernel, given, "numba")


def python(kernel: Kernel, given: Input) -> Runner:
    return _interpreted(kernel, given, "python")


def switch(kernel: Kernel, given: Input) -> Runner:
    stage = Stage(kernel, given)
    library = c_code.interpreter()
    function = library.activations
    function.restype, function.argtypes = ctypes.c_int64, (*[ctypes.c_void_p] * 7, *[ctypes.c_int64] * 4)
    m = stage.machine
    tables = [array.ctypes.data for array in (m.arena, m.code, m.regions, m.registers, m.control, m.counts)]
    handler = m.handlers.ctypes.data + stage.number * m.handlers.dtype.itemsize
    rest = (*tables, handler, stage.state.body_at, len(given.body), FUEL)
    return Staged(stage, lambda times: int(function(*rest, times)), library)


def linux(kernel: Kernel, given: Input) -> Runner:
    try:
        return linux_jit.LinuxProgram(kernel, given)
    except bpf.Refused as refused:
        raise Unable(refused.verdict.reason or str(refused)) from refused


@dataclass(frozen=True)
class Engine:
    """An engine: its column's title, how a kernel is made ready, why it is missing here ("": it is not)."""

    name: str
    title: str
    prepare: Callable[[Kernel, Input], Runner]
    missing: Callable[[], str] = str


ENGINES = (
    Engine("native", "native", native),
    Engine("counting", "native, counting", counting),
    Engine("gcc", "gcc -O3", gcc, c_code.unavailable),
    Engine("linux", "Linux JIT", linux, bpf.unavailable),
    Engine("numba", "interpreter", numba),
    Engine("switch", "C switch", switch, c_code.unavailable),
    Engine("python", "in Python", python),
)


# --- measuring -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """ns a run of one kernel, by engine, one figure a round; why an engine has none; instructions of a run."""

    kernel: Kernel
    instructions: int
    times: Mapping[str, list[float]]
    unable: Mapping[str, str]

    def ratio(self, one: str, other: str) -> float | None:
        """Return the median of the rounds' ratios."""
        if one not in self.times or other not in self.times:
            return None
        return median(a / b for a, b in zip(self.times[one], self.times[other], strict=True))


def measured(kernel: Kernel, engines: Iterable[Engine], rounds: int) -> Measured:
    """Measure one kernel in all engines, in turns."""
    given = kernel.make(random.Random(SEED))
    wanted = kernel.answer(given)
    runners: dict[str, Runner] = {}
    unable: dict[str, str] = {}
    for engine in engines:
        try:
            runner = engine.prepare(kernel, given)
            _check(kernel, engine.name, runner, wanted)
            runners[engine.name] = runner
        except Unable as reason:
            unable[engine.name] = str(reason)
    repeats = {name: _repeats(runner) for name, runner in runners.items()}
    times: dict[str, list[float]] = {name: [] for name in runners}
    for number in range(rounds):
        names = list(runners)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            _check(kernel, name, runners[name], wanted)
            times[name].append(runners[name].run(repeats[name]))
    return Measured(kernel, _instructions(kernel, given), times, unable)


def _check(kernel: Kernel, engine: str, runner: Runner, wanted: Answer) -> None:
    """Run once from the start and look at the answer; Linux gives the low half of r0 only."""
    runner.reset()
    runner.run(1)
    found = runner.answer()
    if engine == "linux" and kernel.raw:
        wanted = {"r0": wanted["r0"] & 0xFFFF_FFFF}
    if found != wanted:
        raise SystemExit(f"{kernel.name} in {engine}: {found}, not {wanted}")


def _repeats(runner: Runner) -> int:
    """Return how many runs take about SAMPLE_NS, after a warm-up."""
    times, taken = 1, runner.run(1)
    while taken * times < SAMPLE_NS / 4 and times < 1 << 22:
        times *= 4
        taken = runner.run(times)
    return max(1, int(SAMPLE_NS / max(taken, 0.5)))


def _instructions(kernel: Kernel, given: Input) -> int:
    stage = Stage(kernel, given)
    tier("python", loops).interpreted(stage.machine, stage.number, stage.state.body_at, len(given.body), FUEL, 0,
                                      TRUSTING, 1)  # fmt: skip
    return int(stage.machine.control[0]["instructions"])


# --- the tables ------------------------------------------------------------------------------------------------------


def _ns(times: list[float] | None) -> str:
    return "" if times is None else f"{_short(min(times))} ({_short(median(times))})"


def _short(ns: float) -> str:
    return f"{ns:,.0f}" if ns >= 100 else f"{ns:.1f}"


def _two(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"


def time_table(found: list[Measured], engines: list[Engine]) -> str:
    """Return ns a run: the least, and in brackets the median."""
    columns = ("kernel", "instructions", *(engine.title for engine in engines))
    rows = [
        (f"{each.kernel.name}: {each.kernel.what}", f"{each.instructions:,}",
         *(_ns(each.times.get(engine.name)) for engine in engines))
        for each in found
    ]  # fmt: skip
    return machine.table(columns, rows)


RATIOS = (
    ("native", "gcc"),
    ("counting", "native"),
    ("native", "linux"),
    ("numba", "switch"),
    ("numba", "native"),
    ("python", "numba"),
)


def ratio_table(found: list[Measured], engines: list[Engine]) -> str:
    """Return the ratios within rounds, medians, and their geometric means."""
    titles = {engine.name: engine.title for engine in engines}
    pairs = [(one, other) for one, other in RATIOS if one in titles and other in titles]
    rows = [(each.kernel.name, *(_two(each.ratio(*pair)) for pair in pairs)) for each in found]
    rows.append(("geometric mean", *(_two(_mean(found, *pair)) for pair in pairs)))
    if "linux" in titles:
        long = [each for each in found if each.times.get("linux") and min(each.times["linux"]) >= LONG_NS]
        rows.append((f"of those over {LONG_NS} ns", *(_two(_mean(long, *pair)) for pair in pairs)))
    return machine.table(("kernel", *(f"{titles[one]} / {titles[other]}" for one, other in pairs)), rows)


def _mean(found: list[Measured], one: str, other: str) -> float | None:
    ratios = [ratio for each in found if (ratio := each.ratio(one, other)) is not None]
    return geometric_mean(ratios) if ratios else None


def pinned() -> int:
    """Stay on one core from now on; returns its number."""
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return core


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rounds", type=int, nargs="?", default=21)
    parser.add_argument("--only", default=",".join(kernel.name for kernel in KERNELS))
    parser.add_argument("--engines", default=",".join(engine.name for engine in ENGINES))
    options = parser.parse_args()
    asked = [engine for engine in ENGINES if engine.name in options.engines.split(",")]
    engines = [engine for engine in asked if not engine.missing()]
    heading, core = machine.heading(), pinned()
    found = [measured(kernel, engines, options.rounds) for kernel in KERNELS if kernel.name in options.only.split(",")]
    empty = measured(NOTHING, engines, options.rounds)
    print(f"{heading}; {machine.load()}")
    print(f"Core {core}; {options.rounds} rounds; ns a run, the least and in brackets the median.\n")
    print(time_table([empty, *found], engines))
    print("\nRatios, medians over the rounds:\n")
    print(ratio_table(found, engines))
    for engine in asked:
        if engine.missing():
            print(f"\nNo {engine.title}: {engine.missing()}.")
    titles = {engine.name: engine.title for engine in engines}
    for each in found:
        for name, reason in each.unable.items():
            print(f"\nNo {each.kernel.name} in {titles[name]}: {reason.rstrip('.')}.")


if __name__ == "__main__":
    main()
