"""The cache that a core has to itself, as Linux tells it (Documentation/ABI/testing/sysfs-devices-system-cpu)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from kernel_model.costs import Cache, library

CPU: Final = Path("/sys/devices/system/cpu/cpu0")
KIB: Final = 1024


def told(cpu: Path = CPU) -> Cache | None:
    """Return the largest cache for data that no other core shares; None where the system does not tell."""
    siblings = _text(cpu / "topology/thread_siblings_list")
    found = [
        Cache(int(_text(index / "size").removesuffix("K")) * KIB, int(_text(index / "coherency_line_size")))
        for index in sorted(cpu.glob("cache/index*"))
        if _text(index / "type") in ("Data", "Unified") and _text(index / "shared_cpu_list") == siblings
    ]
    return max(found, key=lambda cache: cache.size, default=None)


def own_cache() -> Cache:
    """Return that cache, or the estimate that all profiles share."""
    return told() or library.packaged("xrp").cache


def _text(file: Path) -> str:
    return file.read_text().strip() if file.exists() else ""
