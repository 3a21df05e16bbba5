"""Bases: figures that several profiles share, each in one place.

A profile's head may say `base = "skylake"`: the figures of `bases/skylake.toml` then fill the gaps that the profile
leaves; and a base may have a base in turn. The nearest file wins, figure by figure:

    sel4-skylake-kpti -> sel4-skylake -> skylake -> common
    what a mitigation    a kernel        a          what nobody has published
    changes                              processor  of any of them

A variant of a profile names that profile as its base. `common` prices what no source says of any processor, in cycles,
with wide intervals; a primitive that is added to `core.prices` needs a line there and nowhere else, until some profile
knows better. A base may hold published figures: their source names a processor, so they can only be used on that one,
as everywhere (G0836). A figure that came from a base says so (`Figure.base`), is printed so, and is part of the
profile's digest: a change in a base changes the digest of every profile that rests on it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from grafting.diagnostics import GraftError, Source, fail

KINDS = ("composites", "parts", "primitives")
TABLES = (*KINDS, "sources", "instructions", "sizes")


@dataclass(slots=True)
class Gathered:
    """All figures that apply, as they stand in the files; `origin`: figure or size -> base, for those from one."""

    kinds: dict[str, dict[str, Any]] = field(default_factory=lambda: {kind: {} for kind in KINDS})
    sources: dict[str, Any] = field(default_factory=dict)
    sizes: dict[str, Any] = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)
    bases: tuple[str, ...] = ()

    def add(self, data: Mapping[str, Any], base: str) -> None:
        """Fill gaps from the file `data`, whose figures are in its own unit; `base` is its name, "" for the profile."""
        self.sources = {**data.get("sources", {}), **self.sources}
        for name, spec in data.get("sizes", {}).items():
            if name not in self.sizes:
                self.sizes[name] = spec
                if base:
                    self.origin[name] = base
        known = {name for table in self.kinds.values() for name in table}
        for kind, table in figures(data).items():
            for name, spec in table.items():
                if name not in known:
                    self.kinds[kind][name] = {"unit": data["unit"], **spec} if isinstance(spec, dict) else spec
                    if base:
                        self.origin[name] = base


def figures(data: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return a file's figures by kind, `[instructions.ENGINE]` unfolded into one primitive per engine and class."""
    tables = {kind: dict(data.get(kind, {})) for kind in KINDS}
    for engine, classes in data.get("instructions", {}).items():
        tables["primitives"] |= {f"{engine}_{name}": spec for name, spec in classes.items()}
    return tables


def gather(data: Mapping[str, Any], filename: str) -> Gathered:
    """Return the figures of a profile and of its bases. Raises GraftError G0837 for a base that does not exist."""
    gathered = Gathered()
    gathered.add(data, "")
    base = data.get("base")
    while base is not None:
        directory = next((d for d in ("bases", "profiles") if base in names_in(d)), "")
        if base in gathered.bases or not directory:
            raise bad("G0837", f"there is no base `{base}` to fill its gaps from", filename)
        data = tomllib.loads(resources.files(__package__).joinpath(directory, f"{base}.toml").read_text("utf-8"))
        gathered.bases = (*gathered.bases, base)
        gathered.add(data, base)
        base = data.get("base")
    return gathered


def names_in(directory: str) -> tuple[str, ...]:
    """Return the names of the TOML files in one of this package's directories, in alphabetical order."""
    files = resources.files(__package__).joinpath(directory).iterdir()
    return tuple(sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml")))


def bad(code: str, message: str, filename: str) -> GraftError:
    """Return the error that a profile's file is refused with."""
    return fail(code, f"profile {filename}: {message}", source=Source(filename, ""))
