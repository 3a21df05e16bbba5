"""The result of a comparison, as values: what `compare` computes and what tables, plots and exports show.

A `Row` is one point of the grid (profile, topology, depth, mechanism). Rows of equal profile, topology and depth did
the same operations and stand in one *group*; a graft is always judged inside its group: against the **baseline**
`call`, the round trip, and against the **best rival**, the fastest other mechanism that can express the workload.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from kernel_model.costs.bands import Sensitivity
from kernel_model.mechanisms.counts import Counts
from kernel_model.mechanisms.scenario import CannotExpress
from kernel_model.results.statistics import Interval, Summary
from kernel_model.workloads.workload import Topology

SCHEMA = 1
BASELINE = "call"
SUBJECT = "graft"
PS_PER_US = 1e6


@dataclass(frozen=True, slots=True)
class Measured:
    """What one run showed.

    `latency` in picoseconds; `interval` is the 95 % confidence interval of its median (None: too few operations);
    `sensitivity` says how the profile's uncertain figures move the median (None: on several cores time is not a sum of
    charges, and no band is given). `counts` and `predicted` are totals over the run (None: nothing is predicted for
    several cores); `ns` is the time charged per operation, by account and category. `longest_section_ns` is the longest
    time that the kernel was not preemptible.
    """

    latency: Summary
    interval: Interval | None
    sensitivity: Sensitivity | None
    counts: Counts
    predicted: Counts | None
    ns: Mapping[str, Mapping[str, float]]
    longest_section_ns: float

    @property
    def as_predicted(self) -> bool | None:
        """Whether every count is what was predicted before the run; None if nothing was."""
        return None if self.predicted is None else self.counts == self.predicted

    @property
    def band(self) -> tuple[float, float] | None:
        """The least and the greatest median (ps) that the profile's uncertain figures allow."""
        return self.sensitivity.band() if self.sensitivity else None

    def total_ns(self, category: str) -> float:
        """Time per operation in one category, over all accounts."""
        return sum(categories.get(category, 0.0) for categories in self.ns.values())


@dataclass(frozen=True, slots=True)
class Row:
    """One point of the grid. `keys` and `fan_out` describe the data at this depth."""

    profile: str
    topology: Topology
    depth: int
    mechanism: str
    fan_out: int
    keys: int
    result: Measured | CannotExpress

    @property
    def measured(self) -> Measured | None:
        """The measurement, None where the mechanism cannot express the workload."""
        return self.result if isinstance(self.result, Measured) else None


@dataclass(frozen=True, slots=True)
class Group:
    """The rows that did the same operations, in the order of the mechanisms."""

    profile: str
    topology: Topology
    depth: int
    rows: tuple[Row, ...]

    def of(self, mechanism: str) -> Measured | None:
        """Return the measurement of a mechanism, None if there is none."""
        return next((row.measured for row in self.rows if row.mechanism == mechanism), None)

    def best_rival(self) -> Row | None:
        """Return the row of the least median latency among the subject's rivals that can express the workload."""
        rivals = [(row.measured.latency.p50, row) for row in self.rows if row.measured and row.mechanism != SUBJECT]
        return min(rivals, key=lambda pair: pair[0])[1] if rivals else None

    def speed_up(self, mechanism: str, over: str = BASELINE) -> float | None:
        """Return how many times shorter the median latency of `mechanism` is than that of `over`; below 1: longer."""
        mine, other = self.of(mechanism), self.of(over)
        return other.latency.p50 / mine.latency.p50 if mine and other and mine.latency.p50 else None

    def speed_up_band(self, mechanism: str, over: str = BASELINE) -> tuple[float, float] | None:
        """Return the least and the greatest speed-up that the profile's uncertain figures allow."""
        mine, other = self.of(mechanism), self.of(over)
        if mine is None or other is None or mine.sensitivity is None or other.sensitivity is None:
            return None
        return mine.sensitivity.speed_up_over(other.sensitivity)


@dataclass(frozen=True, slots=True)
class Comparison:
    """All rows, and everything needed to repeat them.

    `profiles` maps each name to its description, which ends in the digest of its figures. `misses` are the counts that
    were not as predicted or not equal where they must be, as sentences; empty if the predictions held.
    """

    program: str
    workload: str
    data: str
    lookups: int
    seed: int
    engine: str
    arrivals: str
    service_ns: int
    profiles: Mapping[str, str]
    rows: tuple[Row, ...]
    misses: tuple[str, ...]

    def groups(self) -> Iterator[Group]:
        """Yield the groups in the order of profile, topology and depth in which they were run."""
        grouped: dict[tuple[str, Topology, int], list[Row]] = {}
        for row in self.rows:
            grouped.setdefault((row.profile, row.topology, row.depth), []).append(row)
        for (profile, topology, depth), rows in grouped.items():
            yield Group(profile, topology, depth, tuple(rows))

    def tables(self) -> Iterator[tuple[str, Topology, tuple[Group, ...]]]:
        """Yield (profile, topology, its groups by ascending depth): one table each."""
        tables: dict[tuple[str, Topology], list[Group]] = {}
        for group in self.groups():
            tables.setdefault((group.profile, group.topology), []).append(group)
        for (profile, topology), groups in tables.items():
            yield profile, topology, tuple(sorted(groups, key=lambda group: group.depth))

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """The mechanisms, in the order of the rows."""
        return tuple(dict.fromkeys(row.mechanism for row in self.rows))

    def to_json(self) -> str:
        """Return everything as JSON (`schema` 1). Times are in nanoseconds."""
        head = {key: value for key, value in asdict(self).items() if key not in ("rows", "profiles")}
        rows = [_record(group, row) for group in self.groups() for row in group.rows]
        return json.dumps({"schema": SCHEMA, **head, "profiles": dict(self.profiles), "rows": rows}, indent=2)

    def to_csv(self) -> str:
        """Return one line a row. Times are in nanoseconds; a mechanism that cannot do it has only its reason."""
        records = [_flat(_record(group, row)) for group in self.groups() for row in group.rows]
        columns = list(dict.fromkeys(key for record in records for key in record))
        out = io.StringIO()
        writer = csv.DictWriter(out, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
        return out.getvalue()


def _record(group: Group, row: Row) -> dict[str, Any]:
    record: dict[str, Any] = {
        "profile": row.profile,
        "topology": row.topology.name,
        "depth": row.depth,
        "fan_out": row.fan_out,
        "keys": row.keys,
        "mechanism": row.mechanism,
    }
    match row.result:
        case CannotExpress(reason):
            return record | {"cannot_express": reason}
        case Measured() as m:
            best = group.best_rival()
            against_best = group.speed_up(row.mechanism, best.mechanism) if best else None
            against_best_band = group.speed_up_band(row.mechanism, best.mechanism) if best else None
            operations = m.latency.count
            return record | {
                "latency_ns": {key: _ns(value) for key, value in asdict(m.latency).items() if key != "count"},
                "p50_interval_ns": [_ns(m.interval.low), _ns(m.interval.high)] if m.interval else None,
                "p50_band_ns": [_ns(end) for end in m.band] if m.band else None,
                "per_operation": m.counts.per_operation(operations),
                "predicted_per_operation": m.predicted.per_operation(operations) if m.predicted else None,
                "as_predicted": m.as_predicted,
                "speed_up_over_call": _rounded(group.speed_up(row.mechanism)),
                "speed_up_over_call_band": _pair(group.speed_up_band(row.mechanism)),
                "best_rival": best.mechanism if best else None,
                "speed_up_over_best_rival": _rounded(against_best),
                "speed_up_over_best_rival_band": _pair(against_best_band),
                "longest_section_ns": m.longest_section_ns,
                "ns_per_operation": {a: {c: _rounded(ns) for c, ns in by.items()} for a, by in m.ns.items()},
            }


def _flat(record: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in record.items():
        match value:
            case dict():
                flat |= _flat(value, f"{prefix}{key}.")
            case [low, high]:
                flat |= {f"{prefix}{key}.low": low, f"{prefix}{key}.high": high}
            case _:
                flat[prefix + key] = value
    return flat


def _ns(ps: float) -> float:
    return round(ps / 1000, 3)


def _pair(ends: tuple[float, float] | None) -> list[float] | None:
    return [round(end, 4) for end in ends] if ends else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
