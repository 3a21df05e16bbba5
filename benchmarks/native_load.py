"""From a verified program to a function that can be called: how long, and how much memory do many of them take?

    python -m benchmarks.native_load [GRAFTS]      (default 10000)

Compiles GRAFTS distinct programs of 100 instructions in one process, with an empty cache and keeping them all; then
does the same in a second process, which finds them in the cache; then loads one program again and again. The samples
are compiled in both ways as well. Times are processor time of the thread, verification not among them. Some of the
programs are run, and compared with the interpreter.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import grafting
import jit
import verifier
from benchmarks import machine
from grafting import Program, hooks
from verifier import Verified

SAMPLES = sorted((Path(__file__).resolve().parents[1] / "samples").glob("*.graft"))
INSTRUCTIONS = 100
MEMORY = 64
WINDOW = 100  # programs whose times are taken together
GIVEN = bytes(range(100, 100 + MEMORY))


def program(number: int) -> Program:
    """Return a program of 100 instructions, a different one for each number: loads, arithmetic and branches."""
    source = random.Random(number)
    lines = [f"r{register} = *(u64 *)(r1 + {8 * register})" for register in (2, 3, 4, 5)]
    lines.append(f"r0 = {number}")
    while len(lines) < INSTRUCTIONS - 1:
        to, other, value = source.randrange(2, 6), source.randrange(2, 6), source.randrange(1, 1 << 16)
        left = INSTRUCTIONS - 1 - len(lines)
        match source.randrange(6):
            case 0:
                lines.append(f"r{to} += r{other}")
            case 1:
                lines.append(f"r{to} ^= r{other}")
            case 2:
                lines.append(f"r{to} *= {value}")
            case 3:
                lines.append(f"r{to} >>= {1 + value % 8}")
            case 4 if left >= 2:
                lines += [f"if r{to} > {value} goto L{len(lines)}", f"r0 += r{other}\nL{len(lines)}:"]
            case _:
                lines.append(f"r0 += r{to}")
    return Program.from_assembly("\n".join([*lines, "exit", ""]), hooks.raw_memory(MEMORY))


@dataclass(frozen=True)
class Loaded:
    """Seconds to load each of many programs, and what the process took: bytes before, and with all of them."""

    seconds: list[float]
    before: int
    after: int


def load_all(numbers: list[int]) -> Loaded:
    """Load programs one after the other and keep them."""
    jit.compile_native(verifier.verify(program(-1)))  # LLVM's own start
    before = _resident()
    kept, seconds = [], []
    for at, number in enumerate(numbers):
        verified = verifier.verify(program(number))
        start = time.thread_time()
        engine = jit.compile_native(verified)
        engine.address(verified.program.handlers[0].name)
        seconds.append(time.thread_time() - start)
        kept.append(engine)
        if at % (len(numbers) // 10 or 1) == 0:
            expected = jit.interpret(verified.program, bytearray(GIVEN)).r0
            assert engine.run(bytearray(GIVEN)) == expected, f"program {number}"
    return Loaded(seconds, before, _resident())


def load_samples(_: object) -> dict[str, float]:
    """Return seconds to load each sample."""
    jit.compile_native(verifier.verify(program(-1)))
    return dict(_samples())


def _samples() -> Iterator[tuple[str, float]]:
    for path in SAMPLES:
        verified = verifier.verify(grafting.compile_graft(path.read_text(), filename=path.name))
        yield path.stem, _seconds(verified)


def _seconds(verified: Verified) -> float:
    start = time.thread_time()
    engine = jit.compile_native(verified)
    engine.address(verified.program.handlers[0].name)
    return time.thread_time() - start


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _ms(seconds: list[float]) -> str:
    return f"{median(seconds) * 1000:.2f} ({max(seconds) * 1000:.2f})"


def main(grafts: int) -> None:
    """Measure and print."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        results = []
        for numbers in (list(range(grafts)), list(range(grafts)), [0] * (grafts // 10)):
            with context.Pool(1) as pool:
                results.append(pool.apply(load_all, (numbers,)))
        samples = []
        for _ in range(2):
            with context.Pool(1) as pool:
                samples.append(pool.apply(load_samples, (None,)))
    print(f"{machine.heading()}; {machine.load()}\n")
    rows = []
    for name, loaded in zip(("compiled", "from the cache", "times the same"), results, strict=True):
        first, last = loaded.seconds[:WINDOW], loaded.seconds[-WINDOW:]
        size = (loaded.after - loaded.before) / len(loaded.seconds)
        rows.append(
            (f"{len(loaded.seconds):,} {name}", _ms(first), _ms(last), f"{size / 1024:.1f}", f"{loaded.after >> 20:,}")
        )
    columns = ("", f"first {WINDOW}: median ms (max)", f"last {WINDOW}", "KiB a graft", "MiB in all")
    print(f"Programs of {INSTRUCTIONS} instructions, all kept, each row one process:\n")
    print(machine.table(columns, rows))
    print("\nThe samples:\n")
    pairs = [(name, f"{ms * 1000:.1f}", f"{samples[1][name] * 1000:.2f}") for name, ms in samples[0].items()]
    print(machine.table(("sample", "compiled, ms", "from the cache, ms"), pairs))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
