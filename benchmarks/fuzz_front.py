"""Feed the front end texts that are nearly grafts: each must give a program or a diagnostic.

    python -m benchmarks.fuzz_front [INPUTS [FIRST_SEED]]      (default 10000 from seed 0)

The inputs are those of `tests/mutations.py`, every tenth being raw bytes. They are compiled in a child process, so that
one which kills the process (LLVM can) is counted and named like one that raises. Prints the outcomes by code, the
throughput and the slowest inputs; exits with 1 if an input did what none may do.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
import traceback
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import mutations  # noqa: E402

import grafting  # noqa: E402
from grafting import render  # noqa: E402
from grafting.diagnostics import GraftError  # noqa: E402
from grafting.parsing import parse  # noqa: E402

SECONDS = 60.0  # for one input; far more than any may take
SAMPLES = [path.read_text() for path in sorted((ROOT / "samples").glob("*.graft"))]


def outcome(seed: int) -> str:
    """Return what becomes of an input: "program", the code of its first diagnostic, or the name of an exception."""
    try:
        if seed % 10 == 9:
            prefix = b"graft t\n" if seed % 20 == 9 else b""
            text = parse.decode(prefix + mutations.noise(seed), "fuzz.graft").text
        else:
            text = mutations.mutant(seed, SAMPLES)
        grafting.compile_graft(text, filename="fuzz.graft")
    except GraftError as error:
        for diagnostic in error.diagnostics:
            render.full(diagnostic)
        return error.diagnostics[0].code
    except Exception:
        return traceback.format_exc()
    return "program"


def compile_all(pipe: Connection, seeds: range) -> None:
    """What the child does: an outcome and its seconds for every seed, in order."""
    for seed in seeds:
        start = time.perf_counter()
        found = outcome(seed)
        pipe.send((found, time.perf_counter() - start))


def outcomes(seeds: range) -> list[tuple[str, float]]:
    """Return outcome and seconds of every seed; a child that died or hung is replaced behind the input at fault."""
    context = multiprocessing.get_context("spawn")
    found: list[tuple[str, float]] = []
    while len(found) < len(seeds):
        ours, theirs = context.Pipe()
        child = context.Process(target=compile_all, args=(theirs, seeds[len(found) :]), daemon=True)
        child.start()
        theirs.close()
        try:
            while len(found) < len(seeds):
                if not ours.poll(SECONDS):
                    found.append(("hung", SECONDS))
                    break
                found.append(ours.recv())
        except EOFError:
            child.join()
            found.append((f"the process died with status {child.exitcode}", 0.0))
        child.kill()
        child.join()
    return found


def main(inputs: int, first: int) -> int:
    """Run and print; returns the exit status."""
    seeds = range(first, first + inputs)
    start = time.perf_counter()
    found = outcomes(seeds)
    seconds = time.perf_counter() - start
    counts = Counter(what if _allowed(what) else "FAILURE" for what, _ in found)
    print("| outcome | inputs |\n|---|---|")
    for what, count in sorted(counts.items()):
        print(f"| {what} | {count:,} |")
    print(f"\n{inputs:,} inputs in {seconds:.1f} s: {inputs / seconds:.0f} a second")
    slowest = sorted(zip(found, seeds, strict=True), key=lambda entry: -entry[0][1])[:3]
    print(
        "slowest: " + ", ".join(f"seed {seed} {taken * 1000:.0f} ms ({what[:20]})" for (what, taken), seed in slowest)
    )
    failures = [(seed, what) for (what, _), seed in zip(found, seeds, strict=True) if not _allowed(what)]
    for seed, what in failures[:10]:
        print(f"\nseed {seed}:\n{what}", file=sys.stderr)
    return int(bool(failures))


def _allowed(what: str) -> bool:
    return what == "program" or what.startswith(("G01", "G02", "G03", "G04"))


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:]]
    sys.exit(main(*numbers, *(10_000, 0)[len(numbers) :]))
