"""Run one workload by every mechanism, over chain lengths, topologies and profiles.

A comparison is a list of points that differ in their mechanism, and in whatever else is asked (`axes.grid`). Points
that differ in the mechanism alone did the same operations and are judged together. Besides what each run checks for
itself (`experiments.run`), a comparison checks the accounting question: work, helper calls, instructions and copied
bytes must be equal, per account, to those of the round trip, but for what the prediction excepts with its reason
(`mechanisms.equality`). Any other difference is a miss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from kernel_model.experiments.point import Point
from kernel_model.experiments.preparation import completed
from kernel_model.experiments.replicate import replicate
from kernel_model.experiments.run import run
from kernel_model.experiments.workers import HERE, Workers
from kernel_model.mechanisms.equality import AccountCounts, unequal
from kernel_model.mechanisms.scenario import CannotExpress
from kernel_model.results.comparison import BASELINE, Comparison, Row
from kernel_model.results.outcome import Outcome

Runner = Callable[[Point], Outcome | CannotExpress]


def compare(
    points: Sequence[Point],
    *,
    pool: Workers = HERE,
    replications: int = 1,
    runner: Runner = run,
    progress: Callable[[str], None] = lambda _what: None,
) -> Comparison:
    """Run the points, each with so many seeds, and give the rows in their order. Raises as `runner` does.

    `progress` is called after each run with what was run.
    """
    points = [completed(point) for point in points]
    results = replicate(points, replications, pool, runner=runner, progress=progress)
    rows = tuple(Row(point, result) for point, result in zip(points, results, strict=True))
    return Comparison(rows, tuple(_misses(rows)))


def _misses(rows: Sequence[Row]) -> Iterable[str]:
    """Yield the counts that were not as predicted, and those that must not depend on the mechanism but do."""
    baselines = {row.same: row.outcome for row in rows if row.point.mechanism == BASELINE}
    for row in rows:
        if row.outcome is None:
            continue
        where = f"{row.point.profile}, {row.point.place_and_length}, {row.point.mechanism}"
        yield from (f"{where}: {line}" for line in row.outcome.misses)
        baseline = baselines.get(row.same)
        if baseline is not None:
            for line in unequal(row.outcome.equal, _concerned(baseline), _concerned(row.outcome)):
                yield f"{where} against {BASELINE}: {line}"


def _concerned(outcome: Outcome) -> AccountCounts:
    """Return the accounts that a workload's work is on: a bystander does as much as he gets time for."""
    return {name: counts for name, counts in outcome.accounts.items() if not name.startswith("bystander")}
