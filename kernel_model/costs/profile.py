"""Cost profiles: what each primitive of `core.prices` costs on one machine, and how we know.

A profile is a TOML file (`profiles/*.toml`). It holds four kinds of figures and never confuses them:

- **Composites** are what somebody measured and published: a whole `call`, an empty system call. Each has an equation
  that says of which primitives it is the sum. The simulator never charges a composite.
- **Primitives** are what the simulator charges. A primitive is *given* (a value, with an interval where the split of a
  composite is unknown) or *derived* by an equation over other figures:

      [composites.call]    value = 718   equation = "entry + dispatch_call + switch + exit"
      [primitives]         switch = { value = 186, high = 286, .. }
                           dispatch_call = { equation = "call - entry - switch - exit", .. }

- **Sizes** of caches and working sets, in bytes (`sizes`).
- **Parts** are what equations may name though it is neither: single instructions, what a mitigation adds.

So a published call costs 718 cycles however uncertain its split is. `reading.parse` checks that every composite is
reassembled *exactly*, in picoseconds, wherever in their intervals the given figures lie; that no derived figure can be
negative there; that every primitive has a price; and that no figure was measured on another processor than the
profile's (each source names its own): figures of different processors are never mixed. An `assumed` figure has no
measurement behind it, and says so; those that many profiles share stand in one place (`bases`).

Every price is a sum of given figures. `Profile.uncertain` says how each figure that is an interval moves the prices;
`bands` makes of that how far a result can be off. Prices are whole picoseconds; figures in cycles are converted by the
profile's clock rate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from kernel_model.core import prices
from kernel_model.costs.sizes import Cache, Size


class Certainty(Enum):
    """How well a figure is known."""

    MEASURED = "measured"  # by us, on this machine
    PUBLISHED = "published"  # by others, on this processor
    DERIVED = "derived"  # from measured or published figures, by an equation
    ASSUMED = "assumed"  # an estimate; no measurement behind it


@dataclass(frozen=True, slots=True)
class Equation:
    """A sum of figures with whole coefficients, as (coefficient, name)."""

    terms: tuple[tuple[int, str], ...]

    def __str__(self) -> str:
        parts = [f"{'-' if c < 0 else '+'} {'' if abs(c) == 1 else f'{abs(c)} * '}{name}" for c, name in self.terms]
        return " ".join(parts).removeprefix("+ ")


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of the file, in picoseconds.

    `low` to `high` is the interval in which the truth lies; that of a derived figure (`equation`) holds all values that
    its equation can take. `worst` bounds a single occurrence (cold caches included), for admission. `base`: where the
    figure stands if it is not in the profile's own file (`bases`).
    """

    name: str
    value: int
    low: int
    high: int
    worst: int
    certainty: Certainty
    source: str
    note: str = ""
    equation: Equation | None = None
    base: str = ""


@dataclass(frozen=True, slots=True)
class Ends:
    """How one given figure moves the prices: row of `core.prices` -> change in ps, at either end of its interval."""

    low: Mapping[int, int]
    high: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Conditions:
    """Under which conditions the composites hold.

    `caches`: "hot" or "cold". `bytes`: of the message that was sent. `fast_path`: whether the kernel has one and took
    it. `kpti`: whether the kernel's page table is hidden from user mode at each crossing ("off", "on"; "none" where the
    processor needs no such thing, "unknown" where the source does not say). `note`: whatever else matters.
    """

    caches: str
    bytes: int
    fast_path: bool
    kpti: str
    note: str = ""

    def __str__(self) -> str:
        parts = [
            f"{self.caches} caches",
            "fast path" if self.fast_path else "no fast path",
            *([f"{self.bytes}-byte messages"] if self.bytes else []),
            *([] if self.kpti == "none" else [f"KPTI {self.kpti}"]),
            *([self.note] if self.note else []),
        ]
        return ", ".join(parts)


@dataclass(frozen=True)
class Profile:
    """A validated profile. `digest` is the SHA-256 of its figures, printed with every result that rests on them.

    `uncertain`: every given figure that is an interval. `register_bytes` is how much of a message travels in registers:
    more takes the slow path and is copied. `sizes`: of caches and working sets, by name. `bases`: the files whose
    figures fill the gaps, nearest first.
    `relative_to`: the profile of whose figures some of this one's are multiples, or "".
    """

    name: str
    title: str
    cpu: str
    hz: int
    register_bytes: int
    conditions: Conditions
    unit: str
    bases: tuple[str, ...]
    relative_to: str
    composites: Mapping[str, Figure]
    parts: Mapping[str, Figure]
    primitives: Mapping[str, Figure]
    sources: Mapping[str, str]
    sizes: Mapping[str, Size]
    digest: str
    uncertain: Mapping[str, Ends]

    @property
    def prices(self) -> NDArray[np.int64]:
        """The price of each primitive in picoseconds, indexed as `core.prices.INDEX`."""
        return _table({name: figure.value for name, figure in self.primitives.items()})

    @property
    def worst(self) -> NDArray[np.int64]:
        """An upper bound of each primitive's price in picoseconds: what admission multiplies proven bounds by."""
        return _table({name: figure.worst for name, figure in self.primitives.items()})

    def at_end(self, end: Callable[[Iterable[int]], int]) -> Profile:
        """Return this profile with every price at its least (`end` = min) or greatest (max), each for itself.

        Wider than what the figures allow together: a derived price falls as a given one rises. No price is below 0.
        """
        moved = {name: figure.value for name, figure in self.primitives.items()}
        for ends in self.uncertain.values():
            for index in {*ends.low, *ends.high}:
                moved[prices.PRIMITIVES[index].name] += end((0, ends.low.get(index, 0), ends.high.get(index, 0)))
        figures = {name: replace(figure, value=max(0, moved[name])) for name, figure in self.primitives.items()}
        return replace(self, primitives=figures)

    @property
    def cache(self) -> Cache:
        """A core's own cache, and the working set of a process that says nothing else."""
        return Cache(*(self.sizes[name].value for name in ("cache", "line", "working_set")))

    @property
    def short_digest(self) -> str:
        """The first 12 hex digits of the digest."""
        return self.digest[:12]

    def __str__(self) -> str:
        return f"{self.name} ({self.cpu}, {self.conditions}; sha256 {self.short_digest})"


def _table(values: Mapping[str, int]) -> NDArray[np.int64]:
    table = np.ones(prices.COUNT, dtype=np.int64)  # the primitives that count picoseconds cost 1 each
    for name, value in values.items():
        table[prices.INDEX[name]] = value
    return table
