"""Search for programs that make the verifier work: what does the worst answer cost?

    python -m benchmarks.hostile [PROGRAMS [FIRST_SEED]]      (default 2000 from seed 0)

The programs are the shapes of `tests/hostile_programs.py`, then its random loops in loops, then those of
`tests/random_bytecode.py`. Prints the slowest, with processor seconds, steps and what the answer was, and the memory
that the whole search took; exits with 1 if one was answered by the clock, or not by a verdict.
"""

from __future__ import annotations

import heapq
import resource
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import hostile_programs  # noqa: E402
import random_bytecode  # noqa: E402

import verifier  # noqa: E402
from benchmarks import machine  # noqa: E402
from grafting import Program, hooks  # noqa: E402
from grafting.diagnostics import GraftError  # noqa: E402

SLOWEST = 12
HOOK = hooks.raw_context(192)


def programs(seeds: range) -> Iterator[tuple[str, str]]:
    """Yield (name, text)."""
    yield from hostile_programs.shapes()
    for seed in seeds:
        yield f"loops at random, seed {seed}", hostile_programs.loops_at_random(seed)
        yield f"random bytecode, seed {seed}", random_bytecode.raw_program(seed)


def answer(program: Program) -> str:
    """Return what the verifier says: "accepted", a code, or the traceback of what should not happen."""
    try:
        verifier.verify(program)
    except verifier.Rejected as refused:
        return refused.diagnostics[0].code
    except Exception:
        return traceback.format_exc()
    return "accepted"


def main(count: int, first: int) -> int:
    """Run and print; returns the exit status."""
    slowest: list[tuple[float, str, int, str]] = []
    answers: Counter[str] = Counter()
    for name, text in programs(range(first, first + count)):
        try:
            program = Program.from_assembly(text, HOOK)
        except GraftError:
            continue  # longer than a jump reaches
        start = time.process_time()
        found = answer(program)
        taken = time.process_time() - start
        answers[found] += 1
        heapq.heappush(slowest, (taken, name, len(program.handlers[0].operations), found))
        if len(slowest) > SLOWEST:
            heapq.heappop(slowest)
    print(machine.heading())
    rows = [(name, f"{size:,}", f"{taken:.2f}", found) for taken, name, size, found in sorted(slowest, reverse=True)]
    print(machine.table(("program", "instructions", "processor seconds", "answer"), rows))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\n{answers.total():,} programs, at most {peak:.0f} MB: {dict(answers.most_common())}")
    return int(any(found != "accepted" and not found.startswith("G06") for found in answers))


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:]]
    sys.exit(main(*numbers, *(2_000, 0)[len(numbers) :]))
