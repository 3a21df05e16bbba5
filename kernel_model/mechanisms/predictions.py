"""From what one operation does to what a whole run does, and what cannot be foretold of it.

A mechanism says what an operation of its own does on one core, in a closed loop, with nobody else about. `whole` adds
what the workload brings along, the same for every mechanism:

    think time       the client sleeps before each operation: one crossing, one interrupt, one wake-up, and a switch to
                     it, as its core was idle
    open loop        it sleeps only if it is not behind: how often is a matter of time, not of counting
    many clients     who runs when is up to the scheduler, so switches and interrupts are not foretold
    the other core   each wake-up between the cores brings an inter-processor interrupt; where two cores race for
                     something (the mechanism says so) the outcome is a matter of time
    early, recovers  the data decide how many requests there are
    vets             one activation more an operation: the graft looks at the submission
    patience         how many operations are begun at all is a matter of time
    enough, depth    what comes too late, or together with others, is not foretold
"""

from __future__ import annotations

from kernel_model.mechanisms.counts import NAMES, Counts, Prediction
from kernel_model.mechanisms.scenario import CannotExpress
from kernel_model.workloads.plan import Plan
from kernel_model.workloads.workload import Closed, Core, Seat, Workload

THINKING = Counts(crossings=1, switches=1, wake_ups=1, interrupts=1)
TIMED = frozenset({"crossings", "switches", "wake_ups", "interrupts"})
SCHEDULED = frozenset({"switches", "interrupts"})
IN_TIME = "how many operations begin before their clients give them up is a matter of time"


def whole(
    workload: Workload,
    each: Counts,
    *,
    across: int = 0,
    races: str = "",
    timed: frozenset[str] = TIMED,
    vetted: bool = False,
) -> Prediction:
    """Return what all operations do if one alone does `each` on one core.

    `across`: wake-ups between clients and servers in one operation. `races`: why, on two cores, the counts in `timed`
    are not foretold ("": they are). `vetted`: `each` has the activation on the submission, if there is one.
    """
    operations = len(workload.operations)
    unknown: frozenset[str] = frozenset()
    why: list[str] = []
    if workload.plan.early or workload.plan.recovers:
        return unforeseen("the data decide how many requests an operation has")
    if workload.plan.enough < workload.steps:
        return unforeseen("some replies come too late to matter, and when is a matter of time")
    if workload.patience_ns is not None:
        return unforeseen(IN_TIME)
    if workload.depth > 1:
        return unforeseen("what wakes a client with several operations under way is a matter of time")
    if workload.vets and not vetted:
        each += Counts(kernel_activations=1) if each.kernel_activations else Counts(user_activations=1)
    if workload.topology.core is Core.OTHER:
        each += Counts(interrupts=across)
        if races:
            unknown |= timed
            why.append(races)
    if not isinstance(workload.arrivals, Closed):
        unknown |= TIMED
        why.append("how often a client sleeps until its next operation is due depends on how long the last one took")
    elif workload.arrivals.think_ns > 0:
        each += THINKING
        if workload.clients > 1:
            unknown |= TIMED
            why.append("whether a client has slept its time when it gets a core among others is a matter of time")
    if workload.clients > 1:
        unknown |= SCHEDULED
        why.append("who runs next among several clients is up to the scheduler")
    return Prediction(each.scaled(operations), unknown, "; ".join(why))


def unforeseen(why: str) -> Prediction:
    """Return that nothing is predicted, and why."""
    return Prediction(Counts(), frozenset(NAMES), why)


def moved(workload: Workload) -> CannotExpress | None:
    """Say why the handlers of a workload cannot be moved from the client to somebody who answers in its place."""
    if workload.seat is Seat.SERVER:
        return CannotExpress("the handler is with the server in the round trip already")
    if workload.depth > 1:
        return CannotExpress("whoever answers for the client has one operation of it at a time, and wakes it for each")
    return None


def never_sends_twice(workload: Workload) -> CannotExpress | None:
    """Say why the servers cannot run the handlers on their replies: there is one right to reply to pass on."""
    if not is_chain(workload.plan):
        return CannotExpress("requests that are under way at once would need several rights to reply to the client")
    if workload.plan.recovers:
        return CannotExpress("a server cannot pause before it passes a request on")
    if workload.vets:
        return CannotExpress("the graft looks at what its client submits, and a server sees only what arrives")
    return moved(workload)


def is_chain(plan: Plan) -> bool:
    """Whether every step but the first waits for the one before it."""
    return all(number - 1 in step.needs for number, step in enumerate(plan.steps) if number > 0)
