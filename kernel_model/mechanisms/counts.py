"""Counts: what a run did, apart from what it cost, and what it is predicted to do.

The accounting question (is a graft's accounting any different from that of individually issued requests?) is answered
by a prediction that is written down before the run. Some counts must **differ** between mechanisms, by amounts that
follow from (mechanism, topology, steps) alone: `Counts`, foretold by a `Prediction`. The others must be **equal**:
`equality`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields


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
