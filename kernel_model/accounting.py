"""Accounts: what was done on whose behalf, and what it cost.

A value object, a snapshot: it does not change when the model goes on. Times are exact picoseconds inside and shown in
nanoseconds; counts are in the units of `core.prices.PRIMITIVES`.

    >>> before = kernel.accounts["app"]; kernel.run(); spent = kernel.accounts["app"] - before
    >>> spent.counts["entry"], spent.ns["graft"], spent.total_ns
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from kernel_model.core.prices import CATEGORIES

PS_PER_NS = 1000


@dataclass(frozen=True, slots=True)
class Account:
    """What one account (a process, or a core's idling) was charged.

    `ps`: picoseconds by category (`core.prices.CATEGORIES`), all of them. `counts`: by primitive, without the zeros.
    """

    name: str
    ps: Mapping[str, int]
    counts: Mapping[str, int]

    @property
    def ns(self) -> Mapping[str, float]:
        """The same as `ps`, in nanoseconds."""
        return MappingProxyType({category: ps / PS_PER_NS for category, ps in self.ps.items()})

    @property
    def total_ps(self) -> int:
        """All categories together, ps."""
        return sum(self.ps.values())

    @property
    def total_ns(self) -> float:
        """All categories together, ns."""
        return self.total_ps / PS_PER_NS

    def count(self, primitive: str) -> int:
        """Return how many units of a primitive were charged."""
        return self.counts.get(primitive, 0)

    def __add__(self, other: Account) -> Account:
        return self._combined(other, 1, f"{self.name}+{other.name}" if other.name != self.name else self.name)

    def __sub__(self, earlier: Account) -> Account:
        return self._combined(earlier, -1, self.name)

    def _combined(self, other: Account, sign: int, name: str) -> Account:
        counts = {
            primitive: self.count(primitive) + sign * other.count(primitive)
            for primitive in {**self.counts, **other.counts}
        }
        return Account(
            name,
            MappingProxyType({c: self.ps.get(c, 0) + sign * other.ps.get(c, 0) for c in CATEGORIES}),
            MappingProxyType({primitive: count for primitive, count in counts.items() if count}),
        )
