"""Sizes: what a profile says about caches and working sets, in bytes. What a missing line costs is a price like others.

    [sizes]
    cache = { value = 262_144, certainty = "published", source = "skylake_x" }     a core's own, which nobody shares
    line = { value = 64, certainty = "published", source = "skylake_x" }           what is brought in at a time
    working_set = { value = 8192, certainty = "assumed" }                          of a process that says nothing else

A size has no interval: how much is displaced is no sum of prices, so no band could be made of it. Whoever is not sure
of one runs the model with others (`graft sweep working_set=...`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

NAMES: Final = ("cache", "line", "working_set")
KEYS: Final = frozenset({"value", "certainty", "source", "note"})


@dataclass(frozen=True, slots=True)
class Size:
    """One size of the file, in bytes; certainty, source, note and base as those of a `profile.Figure`."""

    name: str
    value: int
    certainty: str
    source: str
    note: str
    base: str


@dataclass(frozen=True, slots=True)
class Cache:
    """A core's own cache of `size` bytes in lines of `line`; `working_set`: bytes of a process by default."""

    size: int
    line: int = 64
    working_set: int = 8192

    @property
    def lines(self) -> int:
        """How many lines it has."""
        return self.size // self.line

    def lines_of(self, size: int) -> int:
        """Return in how many lines `size` bytes lie, at most those of the cache."""
        return min(-(-size // self.line), self.lines)


def size_of(name: str, spec: Mapping[str, Any], base: str) -> Size:
    """Return a size as it stands in a file, checked by whoever reads it."""
    return Size(name, spec["value"], spec["certainty"], spec.get("source", ""), spec.get("note", ""), base)
