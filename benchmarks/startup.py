"""How long the command takes from start to exit: whole-process wall time, commands interleaved.

    python -m benchmarks.startup [RUNS]      (default 21)

`python -c pass` is the floor on which the others stand. Every run's exit status is checked.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from benchmarks import machine

ROOT = Path(__file__).resolve().parents[1]
GRAFT = str(Path(sys.executable).with_name("graft"))
SAMPLE = str(ROOT / "samples" / "btree_lookup.graft")
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "graft --help": [GRAFT, "--help"],
    "graft verify btree_lookup.graft": [GRAFT, "verify", SAMPLE],
    "graft test btree_lookup.graft": [GRAFT, "test", SAMPLE],
    "graft run btree_lookup.graft": [GRAFT, "run", SAMPLE, "--event", "reply", "--message", "00" * 504],
}


def seconds(command: list[str]) -> float:
    """Return the wall time of one run."""
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def main(runs: int) -> None:
    for command in COMMANDS.values():  # byte code and caches
        seconds(command)
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(runs):
        for name, command in COMMANDS.items():
            times[name].append(seconds(command) * 1000)
    print(machine.heading())
    rows = [(f"`{name}`", f"{min(ms):.0f}", f"{median(ms):.0f}", f"{max(ms):.0f}") for name, ms in times.items()]
    print(machine.table(("command", "min ms", "median ms", "max ms"), rows))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 21)
