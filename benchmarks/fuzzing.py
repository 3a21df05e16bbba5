"""The loop of the fuzzing scripts: each input in a child process, so that one that dies or hangs is counted and named.

A script says what becomes of an input (`outcome`, by its seed) and which outcomes are allowed (`allowed`); `run` prints
the outcomes, the slowest inputs and the most memory, and returns the exit status: 1 if an input did what none may do.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks import machine

SECONDS = 60.0  # for one input; far more than any may take
MEMORY = 1 << 30  # bytes of address space beyond what the child has when it starts

Outcome = Callable[[int], str]


def run_all(pipe: Connection, seeds: range, outcome: Outcome) -> None:
    """What the child does: outcome, seconds and peak bytes for every seed, in order."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY,) * 2)
    for seed in seeds:
        start = time.perf_counter()
        try:
            found = outcome(seed)
        except Exception:
            found = traceback.format_exc()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        pipe.send((found, time.perf_counter() - start, peak))


def outcomes(seeds: range, outcome: Outcome) -> list[tuple[str, float, int]]:
    """Return outcome, seconds and peak of every seed; a child that died or hung is replaced behind that input."""
    context = multiprocessing.get_context("spawn")
    found: list[tuple[str, float, int]] = []
    while len(found) < len(seeds):
        ours, theirs = context.Pipe()
        child = context.Process(target=run_all, args=(theirs, seeds[len(found) :], outcome), daemon=True)
        child.start()
        theirs.close()
        try:
            while len(found) < len(seeds):
                if not ours.poll(SECONDS):
                    found.append(("hung", SECONDS, 0))
                    break
                found.append(ours.recv())
        except EOFError:
            child.join()
            found.append((f"the process died with status {child.exitcode}", 0.0, 0))
        child.kill()
        child.join()
    return found


def run(inputs: int, first: int, outcome: Outcome, allowed: Callable[[str], bool]) -> int:
    """Run inputs `first` .. `first + inputs - 1` and print what became of them; returns the exit status."""
    seeds = range(first, first + inputs)
    start = time.perf_counter()
    found = outcomes(seeds, outcome)
    seconds = time.perf_counter() - start
    counts = Counter(what if allowed(what) else "FAILURE" for what, _, _ in found)
    print(machine.heading())
    print(machine.table(("outcome", "inputs"), [(what, f"{count:,}") for what, count in sorted(counts.items())]))
    most = max(peak for _, _, peak in found) >> 20
    print(f"\n{inputs:,} inputs in {seconds:.1f} s: {inputs / seconds:.0f} a second, at most {most} MB")
    slowest = sorted(zip(found, seeds, strict=True), key=lambda entry: -entry[0][1])[:5]
    print("slowest: " + ", ".join(f"seed {seed} {taken:.2f} s ({what[:8]})" for (what, taken, _), seed in slowest))
    failures = [(seed, what) for (what, _, _), seed in zip(found, seeds, strict=True) if not allowed(what)]
    for seed, what in failures[:10]:
        print(f"\nseed {seed}:\n{what}", file=sys.stderr)
    return int(bool(failures))
