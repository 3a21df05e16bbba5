"""Replications: a point run with several seeds, and what its figures are then, with confidence intervals.

One run says what one draw of keys, arrivals and service times led to; its percentiles are a single sample, however many
operations it has, for the operations of a run are correlated (a queue that is long now is long a moment later). Runs
with different seeds are independent, so over n of them a figure (a median, a 99th percentile, a throughput) is a sample
of n independent values, and Student's t gives an interval for its expectation:

    mean +- t(n - 1, 97.5 %) x s / sqrt(n)          (Law & Kelton, *Simulation Modeling and Analysis*, section 9.4.1)

Seeds are `point.seed .. point.seed + n - 1`, so replications can be repeated, and two mechanisms meet the same draws
(common random numbers), which takes the draws' variance out of their comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import reduce

from kernel_model.experiments.point import Point
from kernel_model.experiments.run import run
from kernel_model.experiments.workers import Workers, in_order
from kernel_model.mechanisms.scenario import CannotExpress
from kernel_model.results.outcome import Outcome
from kernel_model.results.statistics import Estimate, estimate

FIGURES: dict[str, Callable[[Outcome], float]] = {
    "mean": lambda outcome: outcome.summary.mean,
    "p50": lambda outcome: outcome.summary.p50,
    "p99": lambda outcome: outcome.summary.p99,
    "p999": lambda outcome: outcome.summary.p999,
    "throughput": lambda outcome: outcome.throughput,
    "goodput": lambda outcome: outcome.goodput,
}
"""What is estimated: latencies in ps, throughput and goodput in operations a second."""


def seeds_of(point: Point, n: int) -> tuple[Point, ...]:
    """Return the point with each of `n` consecutive seeds, its own being the first."""
    return tuple(replace(point, seed=point.seed + i) for i in range(n))


def replicate(
    points: Sequence[Point],
    n: int,
    pool: Workers,
    *,
    runner: Callable[[Point], Outcome | CannotExpress] = run,
    progress: Callable[[str], None] = lambda _what: None,
) -> Iterator[Outcome | CannotExpress]:
    """Yield for each point the `n` (>= 1) runs as one outcome, with `estimates`; in the order of the points.

    `progress` is called after each run. Raises as `runner` does.
    """
    runs = (each for point in points for each in seeds_of(point, n))
    results = in_order(pool, runner, runs)
    for point in points:
        found = []
        for _ in range(n):
            found.append(next(results))
            progress(f"{point.profile}, {point.topology}, {point.mechanism}")
        yield together(found)


def together(results: Sequence[Outcome | CannotExpress]) -> Outcome | CannotExpress:
    """Return the results of one point with several seeds as one, whose point is that of the first."""
    unable = next((result for result in results if isinstance(result, CannotExpress)), None)
    if unable is not None:
        return unable
    outcomes = [result for result in results if isinstance(result, Outcome)]
    if len(outcomes) == 1:
        return outcomes[0]
    return replace(reduce(Outcome.merged, outcomes), estimates=estimates(outcomes))


def estimates(outcomes: Sequence[Outcome]) -> dict[str, Estimate]:
    """Return the estimate of each of `FIGURES` over runs (>= 2) with different seeds."""
    return {name: estimate([figure(outcome) for outcome in outcomes]) for name, figure in FIGURES.items()}
