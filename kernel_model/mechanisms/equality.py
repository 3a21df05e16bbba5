"""What must be equal between a mechanism and the round trip, and what need not be, foretold with its reason.

That the work, the handlers' instructions and helper calls and the bytes copied are those of the round trip is the half
of the accounting question that has to be answered by "no difference". Which of them are, and on which account, depends
on where the mechanism lets the handler run:

    PER_ACCOUNT   in the client or on its behalf: equal on each account
    SHARED        the same, but that bodies are written into shared memory: whoever writes one pays for its bytes, so
                  those are equal in sum, and there is no slow path
    IN_SUM        in another process: equal over all accounts together; replies that are not sent are not copied
    RELAYED       in a process in between: as in sum, but that all messages pass twice
    WORK_ONLY     nowhere, the mechanism being fixed: the servers' work is equal, and there is nothing else to compare

A workload can take more away (`Rule.but`): a reply that comes when its operation is over is not shown to a graft, and
the round trip's handler sees it. Such an exception is part of the prediction, has a reason, and is stated with the
result; a difference without one is a miss.

    IN_SUM.but("late replies are not shown to a graft", fewer=HANDLERS)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from grafting.isa import CostClass
from kernel_model.core import prices

AccountCounts = Mapping[str, Mapping[str, int]]
"""account -> primitive -> count"""

HELPERS = frozenset(
    p.name for p in prices.PRIMITIVES if p.name.startswith(("map_", "helper_", "clock")) and p.name != "clock_read"
)
INSTRUCTIONS = frozenset(f"{c.name} instructions" for c in CostClass)
HANDLERS = HELPERS | INSTRUCTIONS
"""What handlers do."""
TRANSFERS = frozenset({"copy_byte", "slow_path"})
"""Bodies that pass between processes beyond the registers."""
PREPARE = frozenset({"prepare"})
WORK = frozenset({"work"})
COMPARED = tuple(p.name for p in prices.PRIMITIVES if p.name in WORK | HELPERS | TRANSFERS | PREPARE)
ALL = WORK | HANDLERS | TRANSFERS | PREPARE


@dataclass(frozen=True, slots=True)
class Rule:
    """Which counts are compared, and how. Counts that are in none of the three sets must be equal.

    `fewer`, `more`: they may be less, or greater, than the round trip's. `free`: they are not foretold. `summed`: they
    are compared over all accounts together, even where the others are not. `why`: the reasons for what a workload takes
    away.
    """

    per_account: bool
    fewer: frozenset[str] = frozenset()
    more: frozenset[str] = frozenset()
    free: frozenset[str] = frozenset()
    summed: frozenset[str] = frozenset()
    why: tuple[str, ...] = ()

    def but(
        self,
        why: str,
        *,
        fewer: frozenset[str] = frozenset(),
        more: frozenset[str] = frozenset(),
        free: frozenset[str] = frozenset(),
    ) -> Rule:
        """Return the rule with an exception; what it takes away is taken away in sum."""
        return Rule(False, self.fewer | fewer, self.more | more, self.free | free, self.summed, (*self.why, why))

    def in_sum(self) -> Rule:
        """Return the rule for all accounts together."""
        return replace(self, per_account=False)

    @property
    def words(self) -> str:
        """The rule as a table says it."""
        compared = ALL - self.free
        if not compared:
            return "nothing"
        if self.per_account:
            return "per account, copies in sum" if self.summed else "per account"
        return "work" if compared == WORK else "in sum"

    def allows(self, name: str, first: int, second: int) -> bool:
        """Whether a count may be `first` in the round trip and `second` here."""
        if name in self.free:
            return True
        return first == second or (second < first and name in self.fewer) or (second > first and name in self.more)


PER_ACCOUNT = Rule(per_account=True)
SHARED = Rule(per_account=True, free=frozenset({"slow_path"}), summed=frozenset({"copy_byte"}))
IN_SUM = Rule(per_account=False, fewer=TRANSFERS)
RELAYED = Rule(per_account=False, more=TRANSFERS | PREPARE)
WORK_ONLY = Rule(per_account=False, free=ALL - WORK)


def unequal(rule: Rule, first: AccountCounts, second: AccountCounts) -> tuple[str, ...]:
    """Return a line for each count that is in run `second` otherwise than `rule` says by the round trip `first`."""
    one, two = ({"all accounts": together(counts, counts)} for counts in (first, second))
    if not rule.per_account:
        return tuple(_wrong(rule, one, two, ALL))
    return (*_wrong(rule, first, second, ALL - rule.summed), *_wrong(rule, one, two, rule.summed))


def _wrong(rule: Rule, first: AccountCounts, second: AccountCounts, names: frozenset[str]) -> Iterator[str]:
    for account, one in first.items():
        for name, a, b in _pairs(one, second.get(account, {})):
            if name in names and not rule.allows(name, a, b):
                yield f"{account}: {name} {a:,} against {b:,}"


def _pairs(one: Mapping[str, int], two: Mapping[str, int]) -> list[tuple[str, int, int]]:
    others = instructions(two)
    return [(name, one.get(name, 0), two.get(name, 0)) for name in COMPARED] + [
        (f"{name} instructions", count, others[name]) for name, count in instructions(one).items()
    ]


def instructions(counts: Mapping[str, int]) -> dict[str, int]:
    """Return the executed instructions of one account by class, both engines together."""
    return {c.name: sum(counts.get(f"{e}_{c.name.lower()}", 0) for e in prices.ENGINES) for c in CostClass}


def together(counts: AccountCounts, accounts: Iterable[str]) -> dict[str, int]:
    """Return the sum over accounts, by primitive."""
    total: dict[str, int] = {}
    for account in accounts:
        for name, count in counts.get(account, {}).items():
            total[name] = total.get(name, 0) + count
    return total
