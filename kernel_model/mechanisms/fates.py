"""Where the handlers of an attached graft will run, and what that does to its counts: foretold from its bounds.

Whether the kernel may run a handler when its event comes is decided by its proven bound at the profile's worst prices,
which is known before anything runs (`core.activation.admit`):

    activation   bound within the eager window    above it
    eager        at once                          in the client: it falls back
    auto         at once                          later: in a continuation of the installer
    deferred     later                            later
    off          in the client                    in the client

A graft all of whose events fall back is the round trip, with the round trip's counts; one of whose events but the
submission may run in the kernel has lost what it is for too, as the client's library then sends by itself. Deferred
events pass through the client's core: on one core nothing changes, on two each of them interrupts both.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from grafting.hooks import Event
from kernel_model.admission import EAGER_NS, FUEL_NS, bound_ps
from kernel_model.core.prices import EXIT
from kernel_model.mechanisms.counts import Counts, Prediction
from kernel_model.mechanisms.predictions import SCHEDULED, is_chain, unforeseen, whole
from kernel_model.workloads.workload import Core, Workload

if TYPE_CHECKING:
    from kernel_model.costs import Profile
    from verifier import Verified

PS_PER_NS = 1000
RESUBMITTED = Counts(crossings=1, submissions=1)  # by the client, after it has looked at the submission itself
MIXED = "some handlers run in the kernel and others in the client or in a continuation, as their bounds are"
DRY = "an operation's fuel may not cover the bounds of all its activations, and then some of them fall back"
TOGETHER = "how many deferred events a continuation finds when it has its turn is a matter of time"


class Fate(Enum):
    """Where a handler runs."""

    AT_ONCE = "in the kernel, when its event comes"
    LATER = "in a continuation"
    IN_CLIENT = "in user mode"


def fate_of(activation: str, bound: int) -> Fate:
    """Return where a handler of this bound (ps) runs."""
    fits = bound <= EAGER_NS * PS_PER_NS
    match activation:
        case "off":
            return Fate.IN_CLIENT
        case "deferred":
            return Fate.LATER
        case "auto":
            return Fate.AT_ONCE if fits else Fate.LATER
        case _:
            return Fate.AT_ONCE if fits else Fate.IN_CLIENT


def fates(
    verified: Verified, profile: Profile, activation: str, engine: str, event: Event, refill: int
) -> frozenset[Fate]:
    """Return where the handlers of a graft for one kind of event run, if each bound holds `refill` ps besides."""
    program = verified.program
    return frozenset(
        fate_of(activation, bound_ps(program, verified.handlers[handler.name].bounds, profile.worst, engine) + refill)
        for handler in program.handlers
        if handler.hook.event is event
    )


def may_run_dry(workload: Workload, verified: Verified, profile: Profile, activation: str, engine: str) -> bool:
    """Whether an operation's fuel may be too little for some of its activations in the kernel.

    It is not if it covers the bounds of all of them together: what is left is divided among the sends, and each needs
    its own bound and two exits.
    """
    program = verified.program
    bounds = [bound_ps(program, verified.handlers[each.name].bounds, profile.worst, engine)
              for each in program.handlers]  # fmt: skip
    longest = max((bound for bound in bounds if fate_of(activation, bound) is not Fate.IN_CLIENT), default=0)
    needed = longest + 2 * int(profile.worst[EXIT])
    return longest > 0 and (workload.steps + int(workload.vets)) * needed > FUEL_NS * PS_PER_NS


def placed(
    at_once: Prediction,
    workload: Workload,
    verified: Verified,
    profile: Profile,
    activation: str,
    engine: str,
    refill: int,
) -> Prediction:
    """Return the prediction for a graft of a client; `at_once`: that where all of its handlers run at once.

    `refill`: ps, what every bound holds besides, where an activation may find its caches cold.
    """
    if may_run_dry(workload, verified, profile, activation, engine):
        return unforeseen(DRY)
    submit, reply = (
        fates(verified, profile, activation, engine, event, refill) for event in (Event.SUBMIT, Event.REPLY)
    )
    if len(submit | reply if workload.vets else reply) == 1:
        return _all(at_once, workload, *reply)
    if submit == frozenset({Fate.IN_CLIENT}) and reply == frozenset({Fate.AT_ONCE}):
        return _submission_only(workload)
    return unforeseen(MIXED)


def _all(at_once: Prediction, workload: Workload, fate: Fate) -> Prediction:
    """Return the prediction where all handlers have the same fate."""
    d = workload.steps
    if fate is Fate.AT_ONCE or (fate is Fate.LATER and workload.topology.core is Core.SAME):
        return at_once
    if fate is Fate.LATER:
        each = Counts(crossings=d + 1, switches=d + 1, wake_ups=1, kernel_activations=d, submissions=d)
        if is_chain(workload.plan):
            return whole(workload, each, across=2 * d)
        return whole(workload, each, across=2 * d, races=TOGETHER, timed=SCHEDULED)
    again = RESUBMITTED if workload.vets else Counts()
    each = Counts(crossings=2 * d, switches=2 * d, wake_ups=d, user_activations=d, submissions=d)
    return whole(workload, each + again, across=2 * d)


def _submission_only(workload: Workload) -> Prediction:
    """Return the prediction where only the submission falls back: what it sends goes by round trips."""
    d = workload.steps
    each = Counts(2 * d, 2 * d, wake_ups=d, kernel_activations=d, user_activations=1, submissions=d)
    return whole(workload, each + RESUBMITTED, across=2 * d, vetted=True)
