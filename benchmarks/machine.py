"""What machine a table was measured on, and a table."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence


def heading() -> str:
    """Return a line that names the machine."""
    return f"{platform.machine()}, {platform.system()} {platform.release()}, Python {platform.python_version()}"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
