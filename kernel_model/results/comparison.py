"""The result of a comparison, as values: what `compare` computes and what tables, plots and exports show.

A `Row` is one point and what came of it. Rows whose points differ in the mechanism alone did the same operations and
stand in one *group*; a graft is always judged inside its group: against the **baseline** `call`, the round trip, and
against the **best rival**, the fastest other mechanism that can express the workload. Groups that differ in the length
of the chain alone (`hops`) make one *table*.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from kernel_model.experiments.point import Point
from kernel_model.mechanisms.scenario import CannotExpress
from kernel_model.results import tabular
from kernel_model.results.outcome import PS_PER_NS, Outcome
from kernel_model.results.statistics import Estimate, estimate

SCHEMA = 2
BASELINE = "call"
SUBJECT = "graft"


@dataclass(frozen=True, slots=True)
class Row:
    """One point and its result."""

    point: Point
    result: Outcome | CannotExpress

    @property
    def outcome(self) -> Outcome | None:
        """What the run showed, None where the mechanism cannot express the workload."""
        return self.result if isinstance(self.result, Outcome) else None

    @property
    def mechanism(self) -> str:
        """The point's mechanism."""
        return self.point.mechanism

    @property
    def same(self) -> Point:
        """The point by the baseline: equal for rows that did the same operations."""
        return replace(self.point, mechanism=BASELINE)


@dataclass(frozen=True, slots=True)
class Group:
    """The rows that did the same operations, in the order of the mechanisms; `point` is that of the baseline."""

    point: Point
    rows: tuple[Row, ...]

    @property
    def hops(self) -> int:
        """The length of the chain; 0 where the workload has none."""
        return self.point.hops or 0

    def of(self, mechanism: str) -> Outcome | None:
        """Return the outcome of a mechanism, None if there is none."""
        return next((row.outcome for row in self.rows if row.mechanism == mechanism), None)

    def best_rival(self) -> Row | None:
        """Return the row of the least median latency among the subject's rivals that can express the workload."""
        rivals = [(row.outcome.summary.p50, row) for row in self.rows if row.outcome and row.mechanism != SUBJECT]
        return min(rivals, key=lambda pair: pair[0])[1] if rivals else None

    def speed_up(self, mechanism: str, over: str = BASELINE) -> float | None:
        """Return how many times shorter the median latency of `mechanism` is than that of `over`; below 1: longer."""
        mine, other = self.of(mechanism), self.of(over)
        return other.summary.p50 / mine.summary.p50 if mine and other and mine.summary.p50 else None

    def speed_up_estimate(self, mechanism: str, over: str = BASELINE) -> Estimate | None:
        """Return the speed-up estimated over replications: of two runs with the same seed each (common draws)."""
        mine, other = self.of(mechanism), self.of(over)
        if mine is None or other is None or not mine.estimates or not other.estimates:
            return None
        pairs = zip(mine.estimates["p50"].values, other.estimates["p50"].values, strict=True)
        return estimate([theirs / own for own, theirs in pairs])

    def speed_up_band(self, mechanism: str, over: str = BASELINE) -> tuple[float, float] | None:
        """Return the least and the greatest speed-up that the profile's uncertain figures allow.

        Where time is no sum of charges, it is the range of three pairs of runs under the same prices: the typical, the
        least and the greatest ones. That is no bound, but what lies on either side of 1 there is not certain.
        """
        mine, other = self.of(mechanism), self.of(over)
        if mine is None or other is None:
            return None
        if mine.sensitivity and other.sensitivity:
            return mine.sensitivity.speed_up_over(other.sensitivity)
        if mine.bracket is None or other.bracket is None:
            return None
        pairs = ((mine.summary.p50, other.summary.p50), *zip(mine.bracket, other.bracket, strict=True))
        quotients = [theirs / own for own, theirs in pairs]
        return min(quotients), max(quotients)


@dataclass(frozen=True, slots=True)
class Table:
    """The groups that differ in the length of the chain alone, by ascending length; `point` is that of the first."""

    point: Point
    profile: str
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """All rows. `misses` are the counts that were not as predicted, or not equal where they must be, as sentences."""

    rows: tuple[Row, ...]
    misses: tuple[str, ...]

    def groups(self) -> Iterator[Group]:
        """Yield the groups in the order in which they were run."""
        grouped: dict[Point, list[Row]] = {}
        for row in self.rows:
            grouped.setdefault(row.same, []).append(row)
        for point, rows in grouped.items():
            yield Group(point, tuple(rows))

    def tables(self) -> Iterator[Table]:
        """Yield the tables in the order in which they were run."""
        tables: dict[Point, list[Group]] = {}
        for group in self.groups():
            tables.setdefault(replace(group.point, hops=None), []).append(group)
        for groups in tables.values():
            point = groups[0].point
            yield Table(point, self.profiles[point.profile], tuple(sorted(groups, key=lambda group: group.hops)))

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """The mechanisms, in the order of the rows."""
        return tuple(dict.fromkeys(row.mechanism for row in self.rows))

    @property
    def profiles(self) -> Mapping[str, str]:
        """Each profile's description, which ends in the digest of its figures, by the name that points have for it."""
        names = {row.point.profile: row.point.profile for row in self.rows}
        return names | {row.point.profile: row.outcome.profile for row in self.rows if row.outcome}

    def records(self) -> list[dict[str, Any]]:
        """Return every row as plain data, a group's rows together. Times are in nanoseconds."""
        return [record(group, row) for group in self.groups() for row in group.rows]

    def to_json(self) -> str:
        """Return everything as JSON. Times are in nanoseconds."""
        head = {"schema": SCHEMA, "profiles": dict(self.profiles), "misses": list(self.misses)}
        data = head | {"rows": self.records()}
        return json.dumps(data, indent=2)

    def to_csv(self) -> str:
        """Return one line a row. Times are in nanoseconds; a mechanism that cannot do it has only its reason."""
        return tabular.to_csv(self.records())


def record(group: Group, row: Row) -> dict[str, Any]:
    """Return a row of a group as plain data: the point's fields, then what was measured or why nothing was."""
    match row.result:
        case CannotExpress(reason):
            return row.point.as_dict() | {"cannot_express": reason}
        case Outcome() as outcome:
            best = group.best_rival()
            rival = best.mechanism if best else BASELINE
            return row.point.as_dict() | measured(outcome) | {
                "speed_up_over_call": _rounded(group.speed_up(row.mechanism)),
                "speed_up_over_call_band": _pair(group.speed_up_band(row.mechanism)),
                "best_rival": best.mechanism if best else None,
                "speed_up_over_best_rival": _rounded(group.speed_up(row.mechanism, rival)),
                "speed_up_over_best_rival_band": _pair(group.speed_up_band(row.mechanism, rival)),
            }  # fmt: skip


def measured(outcome: Outcome) -> dict[str, Any]:
    """Return what one run showed as plain data."""
    operations = outcome.operations
    interval, predicted = outcome.interval, outcome.predicted
    return {
        "data": outcome.data,
        "arrivals": outcome.arrivals,
        "latency_ns": {key: _ns(value) for key, value in asdict(outcome.summary).items() if key != "count"},
        "p50_interval_ns": [_ns(interval.low), _ns(interval.high)] if interval else None,
        "p50_band_ns": [_ns(end) for end in outcome.band] if outcome.band else None,
        "throughput": _rounded(outcome.throughput),
        "goodput": _rounded(outcome.goodput),
        "in_flight": _rounded(outcome.in_flight),
        "replications": outcome.runs,
        "estimates": {name: estimated(name, each) for name, each in outcome.estimates.items()},
        "per_operation": outcome.counts.per_operation(operations),
        "predicted_per_operation": predicted.per_operation(operations),
        "as_predicted": outcome.as_predicted,
        "equal_to_call": outcome.equal.words,
        "not_equal_because": "; ".join(outcome.equal.why),
        "fallbacks": sum(outcome.fallbacks.values()),
        "fallback_reasons": dict(outcome.fallbacks),
        "longest_section_ns": _ns(outcome.longest_section_ps),
        "worst_release_ns": _ns(outcome.worst_release_ps),
        "grafts": [asdict(graft) for graft in outcome.grafts],
        "contexts_ps": {name: dict(spent) for name, spent in outcome.contexts.items()},
        "ns_per_operation": {
            account: {category: _ns(ps / operations) for category, ps in by.items()}
            for account, by in outcome.spent.items()
        },
    }


def estimated(name: str, estimate: Estimate) -> dict[str, Any]:
    """Return an estimate over replications as plain data; latencies in ns."""
    unit = 1 if name in ("throughput", "goodput") else PS_PER_NS
    low, high = estimate.interval.low / unit, estimate.interval.high / unit
    return {"mean": round(estimate.mean / unit, 3), "interval": [round(low, 3), round(high, 3)]}


def _ns(ps: float) -> float:
    return round(ps / PS_PER_NS, 3)


def _pair(ends: tuple[float, float] | None) -> list[float] | None:
    return [round(end, 4) for end in ends] if ends else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
