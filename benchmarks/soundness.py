"""Random programs: is what the verifier accepts safe, within its bounds, and as its states say at every step?

    python -m benchmarks.soundness [PROGRAMS] [--first SEED] [--workers N] [--log FILE]       (default 200000, seed 0)

The programs are those of `tests/random_bytecode.py`, the three kinds in turn, every fourth with a slot or two changed;
`tests/promises.py` says what is held against each. They are done in chunks of CHUNK. With `--log` each finished chunk
is a line of FILE, and chunks that FILE already has are not done again, so that a campaign can be interrupted. Prints
the table, and every program that broke a promise by its kind and seed; exits with 1 if there is one.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import promises  # noqa: E402

from benchmarks import machine  # noqa: E402

CHUNK = 400
MUTANTS = "mutants"
KINDS = (*promises.KINDS, MUTANTS)


def chunk(first: int) -> dict[str, Any]:
    """Judge the programs first ..< first + CHUNK: the counts by kind, and what was broken."""
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    broken = []
    start = time.process_time()
    for number in range(first, first + CHUNK):
        kind = KINDS[number % len(KINDS)]
        if kind == MUTANTS:
            report = promises.judged_mutant(promises.KINDS[number // len(KINDS) % len(promises.KINDS)], number)
        else:
            report = promises.judged(kind, number)
        counts[kind].update(
            {
                "programs": 1, "accepted": not report.rejected, "with branches": report.branches,
                "accepted with branches": report.branches and not report.rejected, "runs": report.runs,
                "points": report.points, "faults": report.broken.startswith("fault"),
                "bounds exceeded": report.broken.startswith("count"),
                "values outside": report.broken.startswith("state"),
                f"rejected {report.rejected}": bool(report.rejected),
            }
        )  # fmt: skip
        if report.broken:
            broken.append(f"{kind} {number}, {report.kind}: {report.broken}")
    seconds = time.process_time() - start
    return {"first": first, "seconds": seconds, "counts": counts, "broken": broken}


def chunks(programs: int, first: int, workers: int, log: Path | None) -> Iterator[dict[str, Any]]:
    """Yield the chunks of a campaign, those that the log has first."""
    wanted = list(range(first, first + programs, CHUNK))
    if log is not None and log.exists():
        for line in log.read_text().splitlines():
            found = json.loads(line)
            if found["first"] in wanted:
                wanted.remove(found["first"])
                yield found
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for found in pool.imap_unordered(chunk, wanted):
            if log is not None:
                with log.open("a") as file:
                    file.write(json.dumps(found) + "\n")
            yield found


COLUMNS = ("programs", "accepted", "with branches", "accepted with branches", "runs", "points", "faults",
           "bounds exceeded", "values outside")  # fmt: skip


def table(total: dict[str, Counter[str]]) -> str:
    """Return the campaign's table, a line a kind and their sum."""
    whole = sum(total.values(), Counter())
    rows: Iterable[tuple[str, Counter[str]]] = (*total.items(), ("all", whole))
    return machine.table(("kind", *COLUMNS), [(kind, *(f"{c[name]:,}" for name in COLUMNS)) for kind, c in rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("programs", type=int, nargs="?", default=200_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--log", type=Path)
    options = parser.parse_args()
    total: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    broken: list[str] = []
    seconds = 0.0
    for found in chunks(options.programs, options.first, options.workers, options.log):
        for kind, counts in found["counts"].items():
            total[kind].update(counts)
        broken += found["broken"]
        seconds += found["seconds"]
    print(machine.heading())
    print(table(total))
    rejected = Counter({k.split()[1]: n for k, n in sum(total.values(), Counter()).items() if k.startswith("rejected")})
    print("\nrejected:", ", ".join(f"{code} {n:,}" for code, n in rejected.most_common()))
    print(f"{seconds:,.0f} s of processor time")
    for line in broken:
        print(line)
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
