"""How fast the checked interpreter runs, in both tiers: a mixing loop and a sum over memory, answers checked.

python -m benchmarks.interpreter [RUNS]      (default 7)
"""

from __future__ import annotations

import sys
import time
from statistics import median
from typing import Literal

import jit
from benchmarks import machine
from grafting import Program, hooks

TIERS: tuple[Literal["numba", "python"], ...] = ("numba", "python")
MEMORY = bytes(range(256)) * 4


def mix(rounds: int) -> tuple[str, int]:
    """Return the program and its answer."""
    x = 1
    for _ in range(rounds):
        x = (x * 31 + 7) & (1 << 64) - 1
        x ^= x >> 13
    text = (
        f"r0 = 1\nr6 = 0\nL: r0 *= 31\nr0 += 7\nr3 = r0\nr3 >>= 13\nr0 ^= r3\nr6 += 1\nif r6 < {rounds} goto L\nexit\n"
    )
    return text, x


def total(passes: int) -> tuple[str, int]:
    """Return the program that adds the memory's bytes `passes` times, and its answer."""
    text = (
        "r0 = 0\nr6 = 0\nP: r3 = r1\nr4 = 0\nL: r5 = *(u8 *)(r3 + 0)\nr0 += r5\nr3 += 1\nr4 += 1\n"
        f"if r4 < {len(MEMORY)} goto L\nr6 += 1\nif r6 < {passes} goto P\nexit\n"
    )
    return text, sum(MEMORY) * passes


def main(runs: int) -> None:
    print(machine.heading())
    rows = []
    for tier in TIERS:
        scale = 100 if tier == "numba" else 1
        for name, (text, answer) in (("mix", mix(1000 * scale)), ("sum", total(2 * scale))):
            program = Program.from_assembly(text, hooks.raw_memory(len(MEMORY)))
            jit.interpret(program, bytearray(MEMORY), engine=tier)
            spent = []
            for _ in range(runs):
                start = time.perf_counter()
                outcome = jit.interpret(program, bytearray(MEMORY), engine=tier)
                spent.append((time.perf_counter() - start) * 1e9 / outcome.instructions)
                assert outcome.r0 == answer
            rows.append((name, tier, f"{min(spent):.2f}", f"{median(spent):.2f}"))
    print(machine.table(("program", "tier", "min ns/instruction", "median"), rows))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
