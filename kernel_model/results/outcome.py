"""What one run showed: the value that tables, plots, exports and tests look at.

An `Outcome` holds totals over the run (`counts`, `accounts`, `spent`) and the latencies of its operations as a
histogram; it can be sent between processes. Means per operation are derived from it, never stored beside it.

Latency is *intended-send-time* latency: from the instant at which an operation was due (in an open loop, whether or not
the client was ready to submit it) to its completion. So a client that falls behind does not hide its queue
(coordinated omission: Tene, *How NOT to Measure Latency*, 2013).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from kernel_model.accounting import GraftAccount
from kernel_model.core.prices import UNIT_PRICED
from kernel_model.costs.bands import Sensitivity
from kernel_model.experiments.point import Point
from kernel_model.mechanisms.counts import Counts, Prediction
from kernel_model.mechanisms.equality import PER_ACCOUNT, AccountCounts, Rule, together
from kernel_model.results.statistics import Estimate, Histogram, Interval, Summary

PS_PER_NS = 1000
PS_PER_US = 1e6
PS_PER_S = 1e12


@dataclass(frozen=True)
class Outcome:
    """One run, or several with consecutive seeds as one.

    `latency`: ps, of the operations behind the warm-up, which took `window_ps` together; all of them took `elapsed_ps`.
    `counts` are totals over all operations, as are `predicted`, `accounts` (by account and primitive) and `spent` (ps
    by account and category), of which `charging_ps` is what the charge mode itself costs: reading clocks, switching
    accounts. `sensitivity` says how the profile's uncertain figures move the median (None: time is no sum of charges
    there); `bracket` is the median (ps) with every price at its least and at its greatest, where that bounds it.
    `longest_section_ps` is the longest time that the kernel was not preemptible, `worst_release_ps` the longest that a
    ready thread of the highest priority waited for a core. `grafts`: what each graft did, start-up of the servers
    included; `contexts`: ps by scheduling context and kind. `equal`: what must be as in the
    round trip, foretold. `good`: how many of the operations behind the warm-up gave their client what it had asked for.
    `misses`: the counts that were not as predicted.

    `runs` runs are in it, of which `estimates` has the means and their confidence intervals, by figure
    (`experiments.replicate`). `profile`, `data` and `arrivals` are descriptions; `concurrent`: several
    operations could be under way at once.
    """

    point: Point
    profile: str
    data: str
    arrivals: str
    concurrent: bool
    latency: Histogram
    window_ps: int
    elapsed_ps: int
    counts: Counts
    predicted: Prediction
    accounts: AccountCounts
    spent: Mapping[str, Mapping[str, int]]
    charging_ps: int
    sensitivity: Sensitivity | None
    longest_section_ps: int
    worst_release_ps: int
    grafts: tuple[GraftAccount, ...] = ()
    contexts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    bracket: tuple[float, float] | None = None
    equal: Rule = PER_ACCOUNT
    good: int = 0
    misses: tuple[str, ...] = ()
    runs: int = 1
    estimates: Mapping[str, Estimate] = field(default_factory=dict)

    @property
    def operations(self) -> int:
        """How many operations the totals are of."""
        return self.point.operations * self.runs

    @cached_property
    def summary(self) -> Summary:
        """The usual percentiles of latency, ps."""
        return self.latency.summary()

    @property
    def interval(self) -> Interval | None:
        """The 95 % confidence interval of the median latency (ps); None: too few operations."""
        return self.latency.percentile_interval(50)

    @property
    def throughput(self) -> float:
        """Operations a second."""
        return self.latency.count * PS_PER_S / self.window_ps if self.window_ps else 0.0

    @property
    def goodput(self) -> float:
        """Operations a second that gave their clients what they had asked for, before these gave up."""
        return self.good * PS_PER_S / self.window_ps if self.window_ps else 0.0

    @property
    def in_flight(self) -> float:
        """How many operations were under way on average, by Little's law."""
        return self.latency.mean * self.latency.count / self.window_ps if self.window_ps else 0.0

    @property
    def band(self) -> tuple[float, float] | None:
        """The least and the greatest median (ps) that the profile's uncertain figures allow."""
        return self.sensitivity.band() if self.sensitivity else self.bracket

    def did_the_same_as(self, other: Outcome) -> bool:
        """Whether both runs have the same counts of everything but time that passed."""
        return {a: _deeds(by) for a, by in self.accounts.items()} == {a: _deeds(by) for a, by in other.accounts.items()}

    @property
    def fallbacks(self) -> Mapping[str, int]:
        """Events of grafts that went to user mode because the kernel could not show them there, by reason."""
        found: dict[str, int] = {}
        for graft in self.grafts:
            for reason, count in graft.fallbacks.items():
                found[reason] = found.get(reason, 0) + count
        return found

    @property
    def as_predicted(self) -> bool:
        """Whether every predicted count is what was predicted before the run."""
        return not self.counts.differences(self.predicted)

    @property
    def totals(self) -> Mapping[str, int]:
        """Counts by primitive, all accounts together."""
        return together(self.accounts, self.accounts)

    def ns(self, account: str | None = None, category: str | None = None) -> float:
        """Time charged per operation (ns), of one account or all, in one category or all."""
        chosen = self.spent.values() if account is None else [self.spent.get(account, {})]
        ps = sum(sum(by.values()) if category is None else by.get(category, 0) for by in chosen)
        return ps / PS_PER_NS / self.operations

    def merged(self, other: Outcome) -> Outcome:
        """Return both runs as one: totals are added, extremes kept. The median's band is that of the first."""
        latency = Histogram()
        latency.merge(self.latency)
        latency.merge(other.latency)
        return replace(
            self,
            latency=latency,
            window_ps=self.window_ps + other.window_ps,
            elapsed_ps=self.elapsed_ps + other.elapsed_ps,
            charging_ps=self.charging_ps + other.charging_ps,
            counts=self.counts + other.counts,
            predicted=self.predicted + other.predicted,
            accounts=_sum(self.accounts, other.accounts),
            spent=_sum(self.spent, other.spent),
            longest_section_ps=max(self.longest_section_ps, other.longest_section_ps),
            worst_release_ps=max(self.worst_release_ps, other.worst_release_ps),
            grafts=tuple(one + two for one, two in zip(self.grafts, other.grafts, strict=True)),
            contexts=_sum(self.contexts, other.contexts),
            misses=(*self.misses, *other.misses),
            good=self.good + other.good,
            runs=self.runs + other.runs,
        )


def _deeds(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: count for name, count in counts.items() if name not in UNIT_PRICED}


def _sum(one: AccountCounts, two: AccountCounts) -> dict[str, dict[str, int]]:
    return {
        account: {
            name: one.get(account, {}).get(name, 0) + two.get(account, {}).get(name, 0)
            for name in {**one.get(account, {}), **two.get(account, {})}
        }
        for account in {**one, **two}
    }
