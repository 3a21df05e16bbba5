"""Counts: what a run did, apart from what it cost, and what it is predicted to do.

The accounting question (is a graft's accounting any different from that of individually issued requests?) is answered
by a prediction that is written down before the run. Some counts must **differ** between mechanisms, by amounts that
follow from (mechanism, topology, steps) alone: `Counts`. The others must be **equal per account**: the work done, the
handler's instructions, its helper calls, its sends, the bytes copied. `EQUAL` lists those; `differences` finds where
two runs of the same operations break the rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, fields

from grafting.isa import CostClass
from kernel_model.core import prices

AccountCounts = Mapping[str, Mapping[str, int]]
"""account -> primitive -> count"""

HELPERS = tuple(p.name for p in prices.PRIMITIVES if p.name.startswith(("map_", "helper_", "clock"))
                and p.name != "clock_read")  # fmt: skip
TRANSFERS = ("copy_byte", "slow_path")
EQUAL = ("work", *HELPERS, *TRANSFERS, "prepare")
"""Primitives whose counts must be equal per account, whichever mechanism runs the handler. Where the handler runs in
the servers most replies are never sent, so `TRANSFERS` are no more than with the others."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What distinguishes mechanisms. All are totals over a run; `per_operation` divides.

    `crossings`: entries into the kernel by any process. `switches`: changes of thread. `wake_ups`: times that the
    client was blocked and ran again. `kernel_activations`, `user_activations`: runs of a handler in the kernel and in
    a process.
    """

    crossings: int = 0
    switches: int = 0
    wake_ups: int = 0
    kernel_activations: int = 0
    user_activations: int = 0

    def scaled(self, operations: int) -> Counts:
        """Return the counts of `operations` such operations."""
        return Counts(*(value * operations for value in astuple(self)))

    def per_operation(self, operations: int) -> dict[str, float]:
        """Return the mean of each count over `operations` (> 0), by name."""
        return {f.name: getattr(self, f.name) / operations for f in fields(self)}

    def differences(self, predicted: Counts) -> tuple[str, ...]:
        """Return a line for each count that is not as predicted."""
        return tuple(
            f"{f.name}: predicted {getattr(predicted, f.name):,}, observed {getattr(self, f.name):,}"
            for f in fields(self)
            if getattr(self, f.name) != getattr(predicted, f.name)
        )


def instructions(counts: Mapping[str, int]) -> dict[str, int]:
    """Return the executed instructions of one account by class, both engines together."""
    return {c.name: sum(counts.get(f"{e}_{c.name.lower()}", 0) for e in prices.ENGINES) for c in CostClass}


def differences(first: AccountCounts, second: AccountCounts) -> tuple[str, ...]:
    """Return a line for each count of `EQUAL`, and each class of instructions, in which two runs differ by account."""
    found = []
    for account, one in first.items():
        two = second.get(account, {})
        found += [f"{account}: {name} {a:,} against {b:,}" for name, a, b in _pairs(one, two) if a != b]
    return tuple(found)


def differences_in_sum(first: AccountCounts, second: AccountCounts) -> tuple[str, ...]:
    """As `differences`, over all accounts together, where the second run has its handler in the servers."""
    return tuple(
        f"all accounts: {name} {a:,} against {b:,}"
        for name, a, b in _pairs(together(first, first), together(second, second))
        if (b > a if name in TRANSFERS else a != b)
    )


def _pairs(one: Mapping[str, int], two: Mapping[str, int]) -> list[tuple[str, int, int]]:
    others = instructions(two)
    return [(name, one.get(name, 0), two.get(name, 0)) for name in EQUAL] + [
        (f"{name} instructions", count, others[name]) for name, count in instructions(one).items()
    ]


def together(counts: AccountCounts, accounts: Iterable[str]) -> dict[str, int]:
    """Return the sum over accounts, by primitive."""
    total: dict[str, int] = {}
    for account in accounts:
        for name, count in counts.get(account, {}).items():
            total[name] = total.get(name, 0) + count
    return total
