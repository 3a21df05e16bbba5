"""What machine and what clock a figure was measured by, in words that stand beside it."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Final

_CPUINFO: Final = Path("/proc/cpuinfo")
_CLOCK_SOURCE: Final = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")


def machine() -> str:
    """Return a line that names the machine: processor, cores that may be used, system, Python."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return (f"{processor()}, {cores} core{'s' if cores > 1 else ''}, {platform.system()} {platform.release()}, "
            f"Python {platform.python_version()}")  # fmt: skip


def processor() -> str:
    """Return the processor's name where the system tells it, else its architecture."""
    lines = _CPUINFO.read_text().splitlines() if _CPUINFO.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]} ({platform.machine()})" if names else platform.machine()


def clock() -> str:
    """Return what `time.perf_counter_ns` reads, its resolution, and what Linux has it from."""
    info = time.get_clock_info("perf_counter")
    source = f", {_CLOCK_SOURCE.read_text().strip()}" if _CLOCK_SOURCE.exists() else ""
    return f"perf_counter_ns: {info.implementation}, resolution {info.resolution * 1e9:g} ns{source}"
