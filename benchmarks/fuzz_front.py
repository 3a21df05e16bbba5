"""Feed the front end texts that are nearly grafts: each must give a program or a diagnostic.

    python -m benchmarks.fuzz_front [INPUTS [FIRST_SEED]]      (default 10000 from seed 0)

The inputs are those of `tests/mutations.py`, every tenth being raw bytes. LLVM can end the process that compiles.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import mutations  # noqa: E402

import grafting  # noqa: E402
from benchmarks import fuzzing  # noqa: E402
from grafting import render  # noqa: E402
from grafting.diagnostics import GraftError  # noqa: E402
from grafting.parsing import parse  # noqa: E402

SAMPLES = [path.read_text() for path in sorted((ROOT / "samples").glob("*.graft"))]


def outcome(seed: int) -> str:
    """Return what becomes of an input: "program", or the code of its first diagnostic."""
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
    return "program"


def allowed(what: str) -> bool:
    """Return whether an input may end so."""
    return what == "program" or what.startswith(("G01", "G02", "G03", "G04"))


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:]]
    sys.exit(fuzzing.run(*numbers, *(10_000, 0)[len(numbers) :], outcome, allowed))
