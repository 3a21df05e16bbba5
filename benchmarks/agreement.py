"""Do all engines do the same with random verified programs on random inputs?

    python -m benchmarks.agreement [RUNS] [--first SEED] [--log FILE]      (default 100000 runs from seed 0)

The programs are those of `tests/random_bytecode.py` that the verifier accepts, the three kinds in turn, INPUTS inputs
each. A run is one program on one input in each of: the interpreter in Python and under numba, native code with counters
and without; r0, memory, state, effects and counts must be equal. Programs of `raw_memory` run in the real Linux JIT as
well, where bpf(2) is allowed and Linux accepts them: low half of r0 and memory. With `--log` each finished chunk is a
line of FILE, and chunks that FILE already has are not done again. Prints the table, and every program with which two
engines disagreed by kind and seed; exits with 1 if there is one.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import agreement  # noqa: E402
import promises  # noqa: E402
from random_bytecode import MEMORY  # noqa: E402

from benchmarks import machine  # noqa: E402
from kernel_model.linux import bpf  # noqa: E402
from verifier import Verified  # noqa: E402

CHUNK = 60  # programs
INPUTS = 10
LINUX = not bpf.unavailable()


def chunk(first: int) -> dict[str, Any]:
    """Run the programs first ..< first + CHUNK: what was counted, and where engines disagreed."""
    counts: Counter[str] = Counter()
    disagreed: list[str] = []
    start = time.process_time()
    for kind in promises.KINDS:
        for seed, subject in agreement.accepted(kind, first, CHUNK):
            counts[f"{kind} programs"] += 1
            for number in range(seed * INPUTS, (seed + 1) * INPUTS):
                counts[f"{kind} runs"] += 1
                disagreed += [f"{kind} {seed} input {number}: {engine}" for engine in _differing(kind, subject, number)]
            if kind == MEMORY and LINUX:
                results = list(agreement.against_linux(subject, range(seed * INPUTS, (seed + 1) * INPUTS)))
                counts["linux programs"] += bool(results)
                counts["linux runs"] += len(results)
                disagreed += [f"{kind} {seed}: linux {both}" for both in results if both.there != both.here]
    return {"first": first, "seconds": time.process_time() - start, "counts": counts, "disagreed": disagreed}


def _differing(kind: str, subject: Verified, number: int) -> Iterator[str]:
    """Yield the engines that do not do with a program what the interpreter in Python does."""
    expected = agreement.observed(kind, subject, number, "python")
    for engine in ("numba", "native"):
        if agreement.observed(kind, subject, number, engine) != expected:
            yield engine
    if agreement.observed(kind, subject, number, "uncounted") != expected.without_counts():
        yield "uncounted"


def chunks(runs: int, first: int, log: Path | None) -> Iterator[dict[str, Any]]:
    """Yield chunks until there are so many runs, those that the log has first."""
    done = [json.loads(line) for line in log.read_text().splitlines()] if log is not None and log.exists() else []
    known = {result["first"]: result for result in done}
    made = 0
    while made < runs:
        result = known.get(first)
        if result is None:
            result = chunk(first)
            if log is not None:
                with log.open("a") as output:
                    output.write(json.dumps(result) + "\n")
        made += sum(count for name, count in result["counts"].items() if name.endswith(" runs") and "linux" not in name)
        first += CHUNK
        yield result


def main() -> None:
    """Run the campaign and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="?", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--log", type=Path)
    given = parser.parse_args()
    counts: Counter[str] = Counter()
    disagreed: list[str] = []
    seconds = 0.0
    for result in chunks(given.runs, given.first, given.log):
        counts.update(result["counts"])
        disagreed += result["disagreed"]
        seconds += result["seconds"]
    print(f"{machine.heading()}; {seconds:,.0f} s of processor time\n")
    kinds = (*promises.KINDS, "linux")
    rows = [(kind, f"{counts[f'{kind} programs']:,}", f"{counts[f'{kind} runs']:,}") for kind in kinds]
    print(machine.table(("kind", "programs", "runs"), rows))
    print(f"\n{len(disagreed)} disagreements")
    print("\n".join(disagreed))
    sys.exit(bool(disagreed))


if __name__ == "__main__":
    main()
