"""What is kept in the user's cache directory, of all parts of the project: for `graft cache`.

Each part keeps its own entries within its own limit; here they are only counted and, if wanted, removed. Nothing is
lost by that but time: what is missing is made anew.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grafting import limits
from grafting.cache_directory import cache_directory
from jit.native import cache as native

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Cache:
    """One part of the cache. `entries` are files, of numba code directories; `size` is in bytes.

    `directory` is None if no private directory can be had; then nothing is cached.
    """

    name: str
    holds: str
    limit: str
    directory: Path | None
    entries: int
    size: int

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready data."""
        return {
            "name": self.name, "holds": self.holds, "limit": self.limit,
            "directory": None if self.directory is None else str(self.directory),
            "entries": self.entries, "bytes": self.size,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Part:
    name: str
    holds: str
    limit: str
    directory: str  # within the user's cache directory
    pattern: str  # of its entries
    clear: Callable[[Path, str], None]


def _clear(directory: Path, pattern: str) -> None:
    """Remove what matches: files, and directories with all that is in them. Raises OSError."""
    for entry in directory.glob(pattern):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink(missing_ok=True)


def _clear_native(_directory: Path, _pattern: str) -> None:
    native.clear()


_PARTS = (
    _Part("objects", "compiled grafts", f"{limits.CACHE_OBJECTS:,} entries", "objects", "*", _clear),
    _Part("tables", "tables of the parser", "one for each grammar", "", "*.tables", _clear),
    _Part("numba", "the engines' compiled loops", f"{limits.CACHE_DAYS} days after the last use", "", "hot-*", _clear),
    _Part("native", "machine code of grafts", f"{limits.NATIVE_CACHE_BYTES // _MIB} MiB", "native", "*.native",
          _clear_native),
)  # fmt: skip


def caches() -> tuple[Cache, ...]:
    """Return what is cached. Raises OSError if an entry cannot be looked at."""
    return tuple(_contents(part) for part in _PARTS)


def clear() -> tuple[Cache, ...]:
    """Remove everything and return what there was. Raises OSError at the first entry that cannot be removed."""
    found = caches()
    for part, cache in zip(_PARTS, found, strict=True):
        if cache.directory is not None:
            part.clear(cache.directory, part.pattern)
    return found


def table(found: tuple[Cache, ...]) -> str:
    """Return the parts in columns, and where they are."""
    rows = [("cache", "entries", "KiB", "holds", "kept")]
    rows += [(c.name, f"{c.entries:,}", f"{-(-c.size // 1024):,}", c.holds, c.limit) for c in found]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = [
        "  ".join(cell.rjust(width) if column in (1, 2) else cell.ljust(width)
                  for column, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip()
        for row in rows
    ]  # fmt: skip
    root = cache_directory()
    return "\n".join([*lines, f"in {root}" if root else "there is no private directory: nothing is cached"])


def _contents(part: _Part) -> Cache:
    directory = cache_directory(part.directory)
    found = list(directory.glob(part.pattern)) if directory else []
    return Cache(part.name, part.holds, part.limit, directory, len(found), sum(map(_size, found)))


def _size(entry: Path) -> int:
    """Return the bytes of a file, or of all files in a directory; of what another process removes meanwhile none."""
    files = entry.rglob("*") if entry.is_dir() else [entry]
    size = 0
    for file in files:
        try:
            size += file.lstat().st_size
        except FileNotFoundError:
            continue
    return size
