"""Programs in C, as clang compiles them for BPF: what other people's code looks like to the verifier.

`objects()` compiles the files of `benchmarks/c`, some of them with their loops unrolled, if there is a clang that can.
They are raw handlers over memory (`raw_memory/SIZE`): parsers, hashes and tables, which clang merges and turns as it
likes.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

SECONDS = 60.0
FOLDER = Path(__file__).parent / "c"
PROGRAMS = (
    ("chacha20", 0), ("chacha20", 10), ("sha256", 0), ("options", 0), ("options", 40), ("flags", 0), ("flags", 60),
    ("flags", 250), ("table", 0), ("table", 48),
)  # fmt: skip
"""Files, and how often their loop is unrolled."""


def objects() -> tuple[list[tuple[str, bytes]], str]:
    """Return the compiled programs by name, and why one is missing, or all of them, if so."""
    clang = shutil.which("clang")
    if clang is None:
        return [], "there is no clang"
    found, wrong = [], ""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "program.o"
        for name, rounds in PROGRAMS:
            command = [clang, "-target", "bpf", "-mcpu=v3", "-O2", "-g0", "-Wno-everything", f"-DROUNDS={rounds}",
                       "-c", str(FOLDER / f"{name}.c"), "-o", str(out)]  # fmt: skip
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
            if done.returncode:
                wrong = f"{name}.c: {done.stderr.splitlines()[0]}"
            else:
                found.append((f"{name}.c" + (f", unrolled {rounds} times" if rounds else ""), out.read_bytes()))
    return found, wrong
