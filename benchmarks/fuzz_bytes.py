"""Feed the loader and the verifier bytes that are nearly programs: each must be accepted or refused, soon.

    python -m benchmarks.fuzz_bytes [INPUTS [FIRST_SEED]]      (default 12000 from seed 0)

Inputs in turn: raw bytecode, instructions of legal opcodes put together at random, damaged bytecode of the random
programs, damaged objects (`tests/damage.py`). What loads is verified. It all runs in a child process, so that one which
dies, hangs or takes more than a GiB is counted and named. Prints the outcomes, the slowest inputs and the most memory;
exits with 1 if an input did what none may do.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
import traceback
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import damage  # noqa: E402

from benchmarks import machine  # noqa: E402

SECONDS = 60.0  # for one input; far more than any may take
MEMORY = 1 << 30  # bytes of address space beyond what the child has when it starts


def run_all(pipe: Connection, seeds: range) -> None:
    """What the child does: outcome, seconds and peak bytes for every seed, in order."""
    damage.originals()
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY,) * 2)
    for seed in seeds:
        start = time.perf_counter()
        try:
            found = damage.outcome(seed)
        except Exception:
            found = traceback.format_exc()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        pipe.send((found, time.perf_counter() - start, peak))


def outcomes(seeds: range) -> list[tuple[str, float, int]]:
    """Return outcome, seconds and peak of every seed; a child that died or hung is replaced behind that input."""
    context = multiprocessing.get_context("spawn")
    found: list[tuple[str, float, int]] = []
    while len(found) < len(seeds):
        ours, theirs = context.Pipe()
        child = context.Process(target=run_all, args=(theirs, seeds[len(found) :]), daemon=True)
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


def main(inputs: int, first: int) -> int:
    """Run and print; returns the exit status."""
    seeds = range(first, first + inputs)
    start = time.perf_counter()
    found = outcomes(seeds)
    seconds = time.perf_counter() - start
    counts = Counter(what if allowed(what) else "FAILURE" for what, _, _ in found)
    print(machine.heading())
    print(machine.table(("outcome", "inputs"), [(what, f"{count:,}") for what, count in sorted(counts.items())]))
    print(f"\n{inputs:,} inputs in {seconds:.1f} s, at most {max(peak for _, _, peak in found) >> 20} MB")
    slowest = sorted(zip(found, seeds, strict=True), key=lambda entry: -entry[0][1])[:5]
    print("slowest: " + ", ".join(f"seed {seed} {taken:.2f} s ({what[:8]})" for (what, taken, _), seed in slowest))
    failures = [(seed, what) for (what, _, _), seed in zip(found, seeds, strict=True) if not allowed(what)]
    for seed, what in failures[:10]:
        print(f"\nseed {seed}:\n{what}", file=sys.stderr)
    return int(bool(failures))


def allowed(what: str) -> bool:
    """Return whether an input may end so."""
    return what == "accepted" or what.startswith(("G05", "G06"))


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:]]
    sys.exit(main(*numbers, *(12_000, 0)[len(numbers) :]))
