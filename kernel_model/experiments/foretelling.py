"""What is written down before anything runs: the counts of each point, and which must be equal to the round trip's.

The accounting question is answered by a prediction, not by a look at the results (KERNEL section 4). `foretell` makes
it from (mechanism, workload, topology) alone: no kernel is built. `run` predicts by the same functions, so the figures
that a report prints before the run are those that the run is held to.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kernel_model.experiments.point import Point
from kernel_model.experiments.preparation import cache_of, completed, profile_of, scenario_of
from kernel_model.experiments.warmth import with_refills
from kernel_model.mechanisms import mechanism_of
from kernel_model.mechanisms.counts import Equal, Prediction
from kernel_model.mechanisms.scenario import CannotExpress, Mechanism
from kernel_model.workloads import catalogue
from kernel_model.workloads.workload import Open, Workload


@dataclass(frozen=True, slots=True)
class Foretold:
    """The prediction for one point: counts of the whole run, and what must be equal to the round trip's (`Equal`)."""

    point: Point
    prediction: Prediction | CannotExpress
    equal: Equal


def foretell(points: Iterable[Point]) -> tuple[Foretold, ...]:
    """Return the predictions for points, in their order. Raises as `run` does, short of running."""
    return tuple(_foretold(completed(point)) for point in points)


def _foretold(point: Point) -> Foretold:
    mechanism, workload = mechanism_of(point.mechanism), catalogue.make(point)
    unable = mechanism.unable(workload, point.core_count)
    return Foretold(
        point, unable or predicted(point, workload, mechanism), equality(point, mechanism.equal, concurrent(workload))
    )


def predicted(point: Point, workload: Workload, mechanism: Mechanism) -> Prediction:
    """Return the prediction for a completed point by a mechanism that can do the workload."""
    return with_refills(
        mechanism.predict(workload),
        point,
        workload,
        profile_of(point.profile),
        cache_of(point),
        lambda: scenario_of(point).verified,
    )


def equality(point: Point, rule: Equal, concurrent: bool) -> Equal:
    """Return the rule at a point: what is equal by account in general may be equal in sum only.

    So it is where whoever runs is charged for a handler; and where several operations are under way at once and several
    servers take turns, for then it is a matter of timing who serves which request.
    """
    return "sum" if rule in ("accounts", "shared") and (point.charge == "current" or concurrent) else rule


def concurrent(workload: Workload) -> bool:
    """Whether several operations of a workload can be under way at once."""
    return workload.clients > 1 or isinstance(workload.arrivals, Open) or workload.depth > 1
