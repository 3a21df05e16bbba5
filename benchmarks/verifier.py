"""How long verification takes: samples, loops of growing trip count, branches.

    python -m benchmarks.verifier [RUNS]      (default 15)

Each program is verified RUNS times in turn with the others; its bound must come out the same every time.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from statistics import median

import grafting
import verifier
from benchmarks import machine
from grafting import Program, hooks

SAMPLES = sorted((Path(__file__).resolve().parents[1] / "samples").glob("*.graft"))


def assembly(text: str) -> Program:
    return Program.from_assembly(text, hooks.raw_context(192))


def programs() -> dict[str, Program]:
    found = {path.stem: grafting.compile_graft(path.read_text(), filename=path.name) for path in SAMPLES}
    for trips in (10, 1000, 100_000, 1_000_000):
        found[f"counting to {trips:,}"] = assembly(f"r0 = 0\nL: r0 += 1\nif r0 < {trips} goto L\nexit\n")
    nested = "r6 = 0\nA: r7 = 0\nB: r7 += 1\nif r7 < 100 goto B\nr6 += 1\nif r6 < 100 goto A\nr0 = 0\nexit\n"
    found["100 x 100 nested"] = assembly(nested)
    branches = "".join(f"if r6 & {1 << n} goto L{n}\nr7 += 1\nL{n}: r7 &= 63\n" for n in range(18))
    found["18 independent branches"] = assembly(f"r6 = *(u64 *)(r1 + 0)\nr7 = 0\n{branches}r0 = r7\nexit\n")
    return found


def main(runs: int) -> None:
    subjects = programs()
    bounds = {name: verifier.verify(program).bounds for name, program in subjects.items()}
    times: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(runs):
        for name, program in subjects.items():
            start = time.perf_counter()
            verified = verifier.verify(program)
            times[name].append((time.perf_counter() - start) * 1000)
            assert verified.bounds == bounds[name]
    print(machine.heading())
    rows = [
        (
            name,
            sum(len(handler.operations) for handler in program.handlers),
            sum(proof.steps for proof in verifier.verify(program).handlers.values()),
            f"{min(times[name]):.1f}",
            f"{median(times[name]):.1f}",
            f"{bounds[name].instructions:,}",
        )
        for name, program in subjects.items()
    ]
    print(machine.table(("program", "instructions", "steps", "min ms", "median ms", "bound"), rows))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
