"""What is written down before anything runs: the counts of each point, and which must be equal to the round trip's.

The accounting question is answered by a prediction, not by a look at the results (KERNEL section 4). `foretell` makes
it from (mechanism, workload, topology) alone: no kernel is built. `run` predicts by the same functions, so the figures
that a report prints before the run are those that the run is held to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from grafting.hooks import Event
from kernel_model.experiments.point import Point
from kernel_model.experiments.preparation import cache_of, completed, profile_of, scenario_of
from kernel_model.experiments.warmth import refill_of, with_refills
from kernel_model.mechanisms import fates, mechanism_of
from kernel_model.mechanisms.counts import Prediction
from kernel_model.mechanisms.equality import ALL, HANDLERS, INSTRUCTIONS, TRANSFERS, WORK, WORK_ONLY, Rule
from kernel_model.mechanisms.predictions import IN_TIME
from kernel_model.mechanisms.scenario import CannotExpress, Mechanism
from kernel_model.workloads import catalogue
from kernel_model.workloads.workload import Open, Seat, Workload

if TYPE_CHECKING:
    from verifier import Verified


@dataclass(frozen=True, slots=True)
class Foretold:
    """The prediction for one point: counts of the whole run, and what must be equal to the round trip's (`Rule`)."""

    point: Point
    prediction: Prediction | CannotExpress
    equal: Rule


def foretell(points: Iterable[Point]) -> tuple[Foretold, ...]:
    """Return the predictions for points, in their order. Raises as `run` does, short of running."""
    return tuple(_foretold(completed(point)) for point in points)


def _foretold(point: Point) -> Foretold:
    mechanism, workload = mechanism_of(point.mechanism), catalogue.make(point)
    unable = mechanism.unable(workload, point.core_count)

    def graft() -> Verified:
        return scenario_of(point).verified

    found = unable or predicted(point, workload, mechanism, graft)
    return Foretold(point, found, equality(point, workload, mechanism, graft))


def predicted(point: Point, workload: Workload, mechanism: Mechanism, graft: Callable[[], Verified]) -> Prediction:
    """Return the prediction for a completed point by a mechanism that can do the workload.

    `graft` is asked for only where it matters.
    """
    profile, prediction = profile_of(point.profile), mechanism.predict(workload)
    if mechanism.in_kernel and workload.seat is Seat.CLIENT:
        cold = refill_of(point, profile, cache_of(point), graft)
        prediction = fates.placed(prediction, workload, graft(), profile, point.activation, point.engine, cold)
    return with_refills(prediction, point, workload, cache_of(point), graft)


FAILING = "which request fails is drawn in the order in which they come, and that is a matter of time"
UNANSWERED = "no program answers at the endpoint, so every request is the server's work"
BY_THE_SENDER = (
    "who sent a message pays for the `request` handler in the kernel, whose answer is copied once; a server that runs "
    "it pays itself, and its reply is copied a second time"
)
QUEUED = "what the kernel cannot show a `request` handler is queued, and nothing answers it but its server"
FIRST_TO_ASK = "who asks first for a value that is not held yet is a matter of time"
LATE = "a reply that comes when its operation is over is not shown to a handler; by round trips each has one of its own"
IN_ANY_ORDER = "what a handler does with a reply depends on which have come before, and several servers work at once"
IN_GROUPS = "which operations a handler ends together is a matter of time"


def equality(point: Point, workload: Workload, mechanism: Mechanism, graft: Callable[[], Verified]) -> Rule:
    """Return what must be equal to the round trip's at a point, and for what reasons not all of it.

    What is equal by account in general is equal in sum where whoever runs is charged for a handler; and where several
    operations are under way at once and several servers take turns, for then it is a matter of timing who serves which
    request.
    """
    rule, at_once = mechanism.equal, concurrent(workload)
    failing = any(role.faults.failed for role in workload.roles)
    if point.charge == "current" or at_once:
        rule = rule.in_sum()
    if workload.patience_ns is not None:
        return rule.but(IN_TIME, free=ALL)
    if at_once and failing:
        return rule.but(FAILING, free=ALL)
    if workload.seat is Seat.SERVER:
        return _at_the_endpoint(rule, mechanism, at_once, lambda: _is_queued(point, graft()))
    if workload.depth > 1:
        rule = rule.but(IN_GROUPS, free=HANDLERS)
    if not mechanism.overlaps:
        return rule
    if workload.plan.enough < workload.steps:
        late = HANDLERS | TRANSFERS
        return rule.but(LATE, free=late) if failing else rule.but(LATE, fewer=late)
    if workload.plan.independent and workload.steps > 1:
        if workload.processes > 1:
            return rule.but(IN_ANY_ORDER, free=INSTRUCTIONS)
        if mechanism.in_kernel and _may_run_dry(point, workload, graft()):
            return rule.but(fates.DRY, free=INSTRUCTIONS)
    return rule


def _may_run_dry(point: Point, workload: Workload, graft: Verified) -> bool:
    return fates.may_run_dry(workload, graft, profile_of(point.profile), point.activation, point.engine)


def _is_queued(point: Point, graft: Verified) -> bool:
    """Whether a graft at an endpoint is not asked in the kernel: then the request is queued in the ordinary way."""
    profile = profile_of(point.profile)
    cold = refill_of(point, profile, cache_of(point), lambda: graft)
    where = fates.fates(graft, profile, point.activation, point.engine, Event.REQUEST, cold)
    return fates.Fate.IN_CLIENT in where


def _at_the_endpoint(rule: Rule, mechanism: Mechanism, at_once: bool, is_queued: Callable[[], bool]) -> Rule:
    """Return the rule where the graft is for the events of the server."""
    if mechanism.equal == WORK_ONLY:
        return rule.but(UNANSWERED, more=WORK)
    if mechanism.in_kernel and is_queued():
        return rule.but(QUEUED, free=ALL)
    if mechanism.in_kernel:
        rule = rule.but(BY_THE_SENDER, fewer=TRANSFERS)
    return rule.but(FIRST_TO_ASK, free=ALL) if at_once else rule


def concurrent(workload: Workload) -> bool:
    """Whether several operations of a workload can be under way at once."""
    return workload.clients > 1 or isinstance(workload.arrivals, Open) or workload.depth > 1
