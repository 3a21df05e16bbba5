"""Scheduling contexts as the user of a model sees them: a handle to give to processes, and what each has used.

    half = kernel.context(500_000, 1_000_000)              # ns: half of the time, in periods of a millisecond
    app = kernel.client("app", context=half)
    disk = kernel.server("disk", passive=True)             # runs on the context of whoever it serves
    kernel.run(5_000_000)
    kernel.contexts["context1"].graft_ns

`core.contexts` says what a budget guarantees, `core.budgets` what becomes of a thread without one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from grafting.diagnostics import fail
from kernel_model import books
from kernel_model.core.contexts import FOR_GRAFT, FOR_KERNEL, FOR_LOCK, FOR_USER, UNLIMITED, spare

if TYPE_CHECKING:
    from kernel_model.kernel import Kernel
    from kernel_model.simulation import Simulation

PS = 1000  # in a nanosecond
LONGEST_NS = 10**12  # a period of a thousand seconds
UNLIMITED_NAME = "unlimited"


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """A scheduling context: `budget_ns` of core time in each `period_ns`."""

    name: str
    row: int
    budget_ns: float
    period_ns: float


@dataclass(frozen=True, slots=True)
class Use:
    """What a context has used so far, in ps: by its threads in user mode and in the kernel, by activations that it paid
    for, by waiting for the kernel lock."""

    name: str
    user_ps: int
    kernel_ps: int
    graft_ps: int
    lock_ps: int

    @property
    def total_ps(self) -> int:
        """All of it."""
        return self.user_ps + self.kernel_ps + self.graft_ps + self.lock_ps

    @property
    def total_ns(self) -> float:
        """All of it, ns."""
        return self.total_ps / PS

    @property
    def graft_ns(self) -> float:
        """Activations, ns."""
        return self.graft_ps / PS


def add_context(kernel: Kernel, budget_ns: float, period_ns: float, name: str) -> Context:
    """Make a context. See `Kernel.context`."""
    budget, period = round(budget_ns * PS), round(period_ns * PS)
    if name in kernel.contexts or name == UNLIMITED_NAME:
        raise fail("G0812", f"there is a scheduling context `{name}` already")
    if not spare(kernel.tables) < budget <= period <= LONGEST_NS * PS:
        raise fail(
            "G0812",
            f"a budget of {budget_ns:,} ns in each {period_ns:,} ns",
            notes=(f"a budget is more than {spare(kernel.tables) / PS} ns, two exits from the kernel, and at most its "
                   f"period, which is at most {LONGEST_NS:,} ns",),
        )  # fmt: skip
    config = kernel.tables.config[0]
    if config["contexts"] == 0:
        kernel.tables.consumed[UNLIMITED, FOR_USER] = books.busy(kernel.tables)
    row = kernel.storage.add_context(budget, period)
    config["contexts"] = row
    return Context(name, row, budget_ns, period_ns)


def start_empty(kernel: Kernel, context: Context) -> None:
    """Let a new context have its first budget one period from now.

    So it is in a restored application: what its threads have drawn in the last period before they were saved is not
    known here, and nobody is to have more time by being saved and restored again and again.
    """
    first = kernel.tables.context[context.row]["first"]
    kernel.tables.refill[first]["time"] = kernel.now_ps + round(context.period_ns * PS)


def uses(simulation: Simulation, contexts: Iterable[Context]) -> dict[str, Use]:
    """Return what each context has used, by name. See `Kernel.contexts`."""
    rows = {UNLIMITED_NAME: UNLIMITED, **{context.name: context.row for context in contexts}}
    if len(rows) == 1:
        return {}
    found = {}
    for name, row in rows.items():
        used = simulation.tables.consumed[row].tolist()
        found[name] = Use(name, used[FOR_USER], used[FOR_KERNEL], used[FOR_GRAFT], used[FOR_LOCK])
    return found
