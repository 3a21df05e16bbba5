"""`routed`: the request names where its reply goes (`core.routes`).

A route is a list of capabilities in the message. A reply with status 0 goes on as the request to the next of them,
unchanged and whole, and the last one, or the first that failed, comes to the client: continuation-passing between
servers that know nothing of it. The capabilities are the client's own, so nobody gets at anything that it could not
have asked itself.

    one server      client --call(route)-->  server: reply, reply, ..., reply             -->  client
    d servers       client --call(route)-->  server 0: reply  -->  server 1: reply --> ...  -->  client

It needs protocols in which an answer *is* the next question; the kernel looks at no byte of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel_model.core.tables import PLAN_ROUTE
from kernel_model.mechanisms.counts import Counts, Prediction
from kernel_model.mechanisms.equality import WORK_ONLY
from kernel_model.mechanisms.fixed import stage_plans, unchanged_only
from kernel_model.mechanisms.predictions import is_chain, whole
from kernel_model.mechanisms.scenario import CannotExpress, Mechanism, Scenario, Stage
from kernel_model.workloads.plan import Whole
from kernel_model.workloads.workload import Servers, Workload

if TYPE_CHECKING:
    from kernel_model.kernel import Kernel


def express(workload: Workload) -> CannotExpress | None:
    """A chain in which each whole reply is the next request."""
    unable = unchanged_only(workload, "a route passes a reply on as it is")
    if unable is not None:
        return unable
    steps = workload.plan.steps[1:]
    if not is_chain(workload.plan) or any(step.argument != Whole(number) for number, step in enumerate(steps)):
        return CannotExpress("a route passes the whole reply on, and only to the next: here a part of it is asked for")
    return None


def predict(workload: Workload) -> Prediction:
    """One call and d replies; a switch to each further server."""
    d = workload.steps
    one = workload.topology.servers is Servers.ONE
    each = Counts(crossings=d + 1, switches=2 if one else d + 1, wake_ups=1, submissions=1)
    return whole(workload, each, across=2)


def build(kernel: Kernel, scenario: Scenario) -> Stage:
    """Each client calls with a route."""
    return stage_plans(kernel, scenario, "call", PLAN_ROUTE)


MECHANISM = Mechanism("routed", "the request names where its reply goes", predict, build, WORK_ONLY, express)
