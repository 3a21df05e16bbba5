"""A cost above what a handler promised or the machine has: seen in a run, it disproves a bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from grafting import limits
from grafting.costs import CostVector
from grafting.program import Handler


@dataclass(frozen=True, slots=True)
class Overrun:
    """`used` of `what`, where at most `allowed` was to be used; `limit` says by what."""

    what: str
    used: int
    allowed: int
    limit: str

    @property
    def sentence(self) -> str:
        """What happened, as a clause."""
        return f"{self.used:,} {self.what}, where {self.limit} allows {self.allowed:,}"

    def as_dict(self) -> dict[str, Any]:
        """Return the overrun as JSON-ready data."""
        return {"what": self.what, "used": self.used, "allowed": self.allowed}


def overrun(handler: Handler, cost: CostVector) -> Overrun | None:
    """Return the first part of a cost that exceeds the handler's budget or the stack, None if there is none."""
    budget = handler.budget
    for what, used, allowed, limit in (
        ("instructions", cost.instructions, budget.instructions, "the budget"),
        ("sends", cost.sends, budget.sends, "the budget"),
        ("bytes sent", cost.bytes_sent, budget.bytes_sent, "the budget"),
        ("bytes of stack", cost.stack_bytes, limits.STACK_BYTES, "the machine"),
    ):
        if allowed is not None and used > allowed:
            return Overrun(what, used, allowed, limit)
    return None
