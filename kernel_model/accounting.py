"""Accounts: what was done on whose behalf, and what it cost; by process, and by graft.

A value object, a snapshot: it does not change when the model goes on. Times are exact picoseconds inside and shown in
nanoseconds; counts are in the units of `core.prices.PRIMITIVES`.

    >>> before = kernel.accounts["app"]; kernel.run(); spent = kernel.accounts["app"] - before
    >>> spent.counts["entry"], spent.ns["graft"], spent.total_ns
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from kernel_model.admission import handler_rows
from kernel_model.core import prices
from kernel_model.core.prices import CATEGORIES

if TYPE_CHECKING:
    from kernel_model.handles import Attachment
    from kernel_model.kernel import Kernel

PS_PER_NS = 1000
FALLBACKS = ("over_eager", "over_fuel", "lower_priority", "not_in_kernel", "over_budget")
"""Why an event went to user mode, in the order of `core.tables.REASONS`."""


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


@dataclass(frozen=True, slots=True)
class HandlerAccount:
    """What one handler of a graft did. `worst_ps` is the dearest activation in the kernel, `bound_ps` what was proved.

    `limit` is the proven number of instructions of one activation, `instructions` those of all.
    """

    name: str
    event: str
    activations: int
    instructions: int
    limit: int
    worst_ps: int
    bound_ps: int

    def __add__(self, other: HandlerAccount) -> HandlerAccount:
        """Return both runs of the same handler together."""
        return replace(
            self,
            activations=self.activations + other.activations,
            instructions=self.instructions + other.instructions,
            worst_ps=max(self.worst_ps, other.worst_ps),
        )


@dataclass(frozen=True, slots=True)
class GraftAccount:
    """What one graft did, whoever paid for it.

    `vector`: by primitive, what its handlers did (instructions by class, helper calls, bytes copied), in the kernel or
    in user mode; the primitives of activation itself are on the payers' accounts. `sent`, `sent_bytes`: sends that were
    accepted, `denied` those refused for want of room, `consumed` replies that went no further. `spent_ps`: activations
    in the kernel, from entry to return. `refilled`: cache lines that had to be brought in for its activations, in the
    kernel or in user mode. `fallbacks`: events that went to user mode because they could not be seen in the kernel, by
    reason (`core.fallbacks`).
    """

    graft: str
    process: str
    in_kernel: bool
    activations: int
    user_activations: int
    vector: Mapping[str, int]
    sent: int
    sent_bytes: int
    denied: int
    consumed: int
    spent_ps: int
    refilled: int
    fallbacks: Mapping[str, int]
    handlers: tuple[HandlerAccount, ...]

    def __add__(self, other: GraftAccount) -> GraftAccount:
        """Return both runs of the same graft together."""
        names = ("activations", "user_activations", "sent", "sent_bytes", "denied", "consumed", "spent_ps", "refilled")
        return replace(
            self,
            **{name: getattr(self, name) + getattr(other, name) for name in names},
            vector=_sums(self.vector, other.vector),
            fallbacks=_sums(self.fallbacks, other.fallbacks),
            handlers=tuple(one + two for one, two in zip(self.handlers, other.handlers, strict=True)),
        )

    @property
    def instructions(self) -> int:
        """Instructions of all activations."""
        return sum(handler.instructions for handler in self.handlers)

    @property
    def helper_calls(self) -> Mapping[str, int]:
        """Calls of helpers, by primitive."""
        return {name: n for name, n in self.vector.items() if not name.startswith(prices.ENGINES)}


def _sums(one: Mapping[str, int], two: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + two.get(name, 0) for name in {**one, **two}}


def graft_accounts(kernel: Kernel) -> tuple[GraftAccount, ...]:
    """Return the accounts of all grafts of a kernel that was made with `vectors=True`, in the order of attachment."""
    return tuple(_graft_account(kernel, attachment) for attachment in kernel.attached)


def _graft_account(kernel: Kernel, attachment: Attachment) -> GraftAccount:
    k = kernel.tables
    row = k.graft[attachment.row]
    vector = k.vector[attachment.row].tolist()
    return GraftAccount(
        graft=attachment.program.name,
        process=attachment.process.name,
        in_kernel=attachment.in_kernel,
        vector={primitive.name: n for primitive, n in zip(prices.PRIMITIVES, vector, strict=True) if n},
        spent_ps=int(row["spent"]),
        fallbacks={name: int(row[name]) for name in FALLBACKS if row[name]},
        handlers=tuple(
            HandlerAccount(
                name=handler.name,
                event=handler.event,
                **{name: int(used[name]) for name in ("activations", "instructions", "limit")},
                worst_ps=int(used["worst_seen"]),
                bound_ps=int(used["bound"]),
            )
            for (handler, *_), used in zip(
                handler_rows(attachment.program), k.handler[row["first_handler"] :], strict=False
            )
        ),
        **{
            name: int(row[name])
            for name in ("activations", "user_activations", "sent", "sent_bytes", "denied", "consumed", "refilled")
        },
    )
