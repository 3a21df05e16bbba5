"""What machine a table was measured on, and a table."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from jit import host


def heading() -> str:
    """Return a line that names the machine: processor, cores that may be used, system, Python."""
    return host.machine()


def load() -> str:
    """Return how many processes wanted to run in the last minute: more than the cores, and figures are noisy."""
    return f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
