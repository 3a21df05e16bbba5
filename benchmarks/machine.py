"""What machine a table was measured on, and a table."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Sequence

from jit import host


def heading() -> str:
    """Return a line that names the machine: processor, cores that may be used, system, Python."""
    return host.machine()


def load() -> str:
    """Return how many processes wanted to run in the last minute: more than the cores, and figures are noisy."""
    return f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


def settle(seconds: int) -> None:
    """Keep every core busy for so long: a machine that was idle is faster at first than it can go on to be."""
    script = f"import time\nend = time.monotonic() + {seconds}\nwhile time.monotonic() < end: pass"
    busy = [subprocess.Popen([sys.executable, "-c", script]) for _ in os.sched_getaffinity(0)]
    for process in busy:
        process.wait()


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
