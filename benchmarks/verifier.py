"""How long verification takes: samples, growing loops, branches, and programs of thousands of instructions.

    python -m benchmarks.verifier [RUNS]      (default 15)

Small programs are verified RUNS times in turn with the others; their bounds must come out the same every time. Each
large one (`tests/large_programs.py`, and C where a clang is at hand: `benchmarks/c_programs.py`) is verified in a child
process of its own, so that its peak of memory is its own.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import large_programs  # noqa: E402

import grafting  # noqa: E402
import verifier  # noqa: E402
from benchmarks import c_programs, machine  # noqa: E402
from grafting import Program, hooks  # noqa: E402

SAMPLES = sorted((ROOT / "samples").glob("*.graft"))
LARGE = (
    ("dispatcher", 95), ("dispatcher", 630), ("parser", 90), ("parser", 380), ("lookups", 350), ("lookups", 2500),
    ("nests", 300), ("nests", 1400), ("handlers", 300), ("handlers", 2200), ("inlined", 150), ("inlined", 640),
    ("machine", 140), ("machine", 950),
)  # fmt: skip
"""Shapes and sizes: about 1,000 instructions, and as many as the language's limits allow, up to 8,000."""


def assembly(text: str) -> Program:
    return Program.from_assembly(text, hooks.raw_context(192))


def programs() -> dict[str, Program]:
    found = {path.stem: grafting.compile_graft(path.read_text(), filename=path.name) for path in SAMPLES}
    for trips in (10, 100, 1000, 10_000, 100_000, 1_000_000):
        found[f"counting to {trips:,}"] = assembly(f"r0 = 0\nL: r0 += 1\nif r0 < {trips} goto L\nexit\n")
    for trips in (100, 1000):
        found[f"{trips:,} x {trips:,} nested"] = assembly(
            f"r6 = 0\nA: r7 = 0\nB: r7 += 1\nif r7 < {trips} goto B\nr6 += 1\nif r6 < {trips} goto A\nr0 = 0\nexit\n"
        )
    branches = "".join(f"if r6 & {1 << n} goto L{n}\nr7 += 1\nL{n}: r7 &= 63\n" for n in range(18))
    index = "r3 = r10\nr3 += r7\n*(u8 *)(r3 - 64) = 1\n"
    loads = "r6 = *(u64 *)(r1 + 0)\nr7 = *(u64 *)(r1 + 8)\nr8 = *(u32 *)(r1 + 16)\nr9 = *(u8 *)(r1 + 24)\n"
    found["18 independent branches, an index"] = assembly(f"{loads}r7 = 0\n{branches}{index}r0 = r7\nexit\n")
    straight = "".join(f"r{6 + n % 4} {op} r{6 + (n + 1) % 4}\n" for n, op in enumerate(("+=", "^=", ">>=", "*=") * 24))
    found["100 instructions"] = assembly(f"{loads}{straight}r0 = r6\nexit\n")
    return found


def small(runs: int) -> None:
    """Print the table of programs that are verified many times."""
    subjects = programs()
    bounds = {name: verifier.verify(program).bounds for name, program in subjects.items()}
    times: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(runs):
        for name, program in subjects.items():
            start = time.perf_counter()
            verified = verifier.verify(program)
            times[name].append((time.perf_counter() - start) * 1000)
            assert verified.bounds == bounds[name]
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


def once(name: str, data: bytes) -> tuple[str, ...]:
    """Verify an object in this process; returns a row of the table."""
    program = Program.from_elf(data, filename=name)
    size = sum(len(handler.operations) for handler in program.handlers)
    start, steps, answer = time.process_time(), "", "accepted"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        steps = f"{sum(proof.steps for proof in verifier.verify(program).handlers.values()):,}"
    except verifier.Rejected as refused:
        answer = f"{refused.diagnostics[0].code}: {refused.diagnostics[0].message}"
    taken = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    memory = f"{peak / 1024:.0f} (+{(peak - before) / 1024:.0f})"
    return name, f"{size:,}", steps, f"{taken:.2f}", f"{taken * 1000 / size:.3f}", memory, answer


def large() -> None:
    """Print the table of large programs, each verified once in a process of its own."""
    subjects = [
        (f"{shape}, {size}", grafting.compile_graft(large_programs.source(shape, size, seed=1)).to_elf())
        for shape, size in LARGE
    ]
    found, why_not = c_programs.objects()
    subjects += found
    rows = []
    for name, data in subjects:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            rows.append(pool.apply(once, (name, data)))
    columns = ("program", "instructions", "steps", "processor s", "ms an instruction", "peak MB (verifying)", "answer")
    print(machine.table(columns, rows))
    if why_not:
        print(f"\nNo programs in C: {why_not}")


def main(runs: int) -> None:
    print(machine.heading())
    small(runs)
    print()
    large()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
