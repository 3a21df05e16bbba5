"""Counts: what a run did, apart from what it cost, and what it is predicted to do.

The accounting question (is a graft's accounting any different from that of individually issued requests?) is answered
by a prediction that is written down before the run. Some counts must **differ** between mechanisms, by amounts that
follow from (mechanism, topology, steps) alone: `Counts`, foretold by a `Prediction`. The others must be **equal per
account**: the work done, the handler's instructions, its helper calls, its sends, the bytes copied. `unequal` finds
where two runs of the same operations break the rule; what the rule is depends on where a mechanism lets the handler
run (`Equal`):

    "accounts"   in the client or on its behalf: equal per account
    "shared"     the same, but that bodies are written into shared memory: whoever writes one pays for its bytes, so
                 those are equal in sum, and there is no slow path
    "sum"        in another process: equal over all accounts together; replies that are not sent are not copied
    "relay"      in a process in between: as "sum", but that all messages pass twice
    "work"       nowhere, the mechanism being fixed: the servers' work is equal, and there is nothing else to compare
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Literal

from grafting.isa import CostClass
from kernel_model.core import prices

AccountCounts = Mapping[str, Mapping[str, int]]
"""account -> primitive -> count"""

HELPERS = tuple(p.name for p in prices.PRIMITIVES if p.name.startswith(("map_", "helper_", "clock"))
                and p.name != "clock_read")  # fmt: skip
Equal = Literal["accounts", "shared", "sum", "relay", "work"]
TRANSFERS = ("copy_byte", "slow_path")
EQUAL = ("work", *HELPERS, *TRANSFERS, "prepare")
"""Primitives whose counts must be equal per account, whichever mechanism runs the handler. Where the handler runs in
the servers most replies are never sent, so `TRANSFERS` are no more than with the others."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What distinguishes mechanisms. All are totals over a run; `per_operation` divides.

    `crossings`: system calls, by any process. `switches`: changes of thread. `wake_ups`: times that a client was
    blocked and ran again. `kernel_activations`, `user_activations`: runs of a handler in the kernel and in a process.
    `submissions`: requests that the kernel took in or passed on. `notifications`: completions that it put into a queue.
    `interrupts`: timers, devices and inter-processor interrupts that a core took. `refills`: cache lines of working
    sets that were brought in again.
    """

    crossings: int = 0
    switches: int = 0
    wake_ups: int = 0
    kernel_activations: int = 0
    user_activations: int = 0
    submissions: int = 0
    notifications: int = 0
    interrupts: int = 0
    refills: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, name) + getattr(other, name) for name in NAMES))

    def scaled(self, times: int) -> Counts:
        """Return the counts of `times` such runs."""
        return Counts(*(getattr(self, name) * times for name in NAMES))

    def per_operation(self, operations: int) -> dict[str, float]:
        """Return the mean of each count over `operations` (> 0), by name."""
        return {name: getattr(self, name) / operations for name in NAMES}

    def differences(self, predicted: Prediction) -> tuple[str, ...]:
        """Return a line for each predicted count that is not as predicted."""
        return tuple(
            f"{name}: predicted {getattr(predicted.counts, name):,}, observed {getattr(self, name):,}"
            for name in NAMES
            if name not in predicted.unknown and getattr(self, name) != getattr(predicted.counts, name)
        )


NAMES: tuple[str, ...] = tuple(f.name for f in fields(Counts))


@dataclass(frozen=True, slots=True)
class Prediction:
    """The counts of a whole run, foretold. Those named in `unknown` are not, because of `why`."""

    counts: Counts
    unknown: frozenset[str] = frozenset()
    why: str = ""

    def __add__(self, other: Prediction) -> Prediction:
        return Prediction(self.counts + other.counts, self.unknown | other.unknown, self.why or other.why)

    def per_operation(self, operations: int) -> dict[str, float | None]:
        """Return the mean of each count over `operations` (> 0), by name; None for one that is not predicted."""
        return {n: None if n in self.unknown else v for n, v in self.counts.per_operation(operations).items()}


def observed(totals: Mapping[str, int], wake_ups: int) -> Counts:
    """Return what a run did, of whose charges `totals` are the counts by primitive over all accounts."""
    return Counts(
        crossings=totals.get("entry", 0),
        switches=totals.get("switch", 0),
        wake_ups=wake_ups,
        kernel_activations=totals.get("activate", 0),
        user_activations=totals.get("activate_user", 0),
        submissions=sum(totals.get(name, 0) for name in ("dispatch_call", "dispatch_send", "dispatch_forward")),
        notifications=totals.get("notify", 0),
        interrupts=totals.get("interrupt", 0),
        refills=totals.get("refill_line", 0),
    )


def instructions(counts: Mapping[str, int]) -> dict[str, int]:
    """Return the executed instructions of one account by class, both engines together."""
    return {c.name: sum(counts.get(f"{e}_{c.name.lower()}", 0) for e in prices.ENGINES) for c in CostClass}


def unequal(rule: Equal, first: AccountCounts, second: AccountCounts) -> tuple[str, ...]:
    """Return a line for each count that must be equal in two runs by `rule` and is not."""
    match rule:
        case "accounts":
            return _by_account(first, second, ())
        case "shared":
            a, b = (together(counts, counts).get("copy_byte", 0) for counts in (first, second))
            copied = (f"all accounts: copy_byte {a:,} against {b:,}",) if a != b else ()
            return _by_account(first, second, TRANSFERS) + copied
        case "sum":
            pairs = _pairs(together(first, first), together(second, second))
            wrong = [(name, a, b) for name, a, b in pairs if (b > a if name in TRANSFERS else a != b)]
            return tuple(f"all accounts: {name} {a:,} against {b:,}" for name, a, b in wrong)
        case "relay":
            pairs = _pairs(together(first, first), together(second, second))
            passed = (*TRANSFERS, "prepare")
            wrong = [(name, a, b) for name, a, b in pairs if (b < a if name in passed else a != b)]
            return tuple(f"all accounts: {name} {a:,} against {b:,}" for name, a, b in wrong)
        case "work":
            a, b = (sum(one.get("work", 0) for one in accounts.values()) for accounts in (first, second))
            return () if a == b else (f"all accounts: work {a:,} against {b:,}",)


def _by_account(first: AccountCounts, second: AccountCounts, but: Iterable[str]) -> tuple[str, ...]:
    return tuple(
        f"{account}: {name} {a:,} against {b:,}"
        for account, one in first.items()
        for name, a, b in _pairs(one, second.get(account, {}))
        if a != b and name not in but
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
