"""Feed the loader and the verifier bytes that are nearly programs: each must be accepted or refused, soon.

    python -m benchmarks.fuzz_bytes [INPUTS [FIRST_SEED]]      (default 12000 from seed 0)

Inputs in turn: raw bytecode, instructions of legal opcodes put together at random, damaged bytecode of the random
programs, damaged objects (`tests/damage.py`). What loads is verified.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import damage  # noqa: E402

from benchmarks import fuzzing  # noqa: E402


def allowed(what: str) -> bool:
    """Return whether an input may end so."""
    return what == "accepted" or what.startswith(("G05", "G06"))


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:]]
    sys.exit(fuzzing.run(*numbers, *(12_000, 0)[len(numbers) :], damage.outcome, allowed))
