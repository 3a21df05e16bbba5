"""`linked`: a chain of requests that the kernel works through by itself, as io_uring's linked requests (`core.links`).

The client submits the whole operation at once. Each request but the last carries LINK, so that it is followed by the
next when it has succeeded, and CQE_SKIP_SUCCESS, so that the client hears of the chain once: of its last request or of
the first that failed. Requests share a buffer, so a reply, or a fixed part of it, can be what the next one says. No
more than that: nothing is computed, no branch taken, and a chain cannot end early because it has found what it sought.

    one server      client: enter(d requests)  ->  server: reply, reply, ..., reply            ->  client
    d servers       client: enter(d requests)  ->  server 0: reply  ->  server 1: reply  -> ...  ->  client

Without a handler to run it costs the kernel less than a graft where it can do the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel_model.core.links import LINK, SKIP
from kernel_model.core.tables import PLAN_LINKS
from kernel_model.mechanisms.counts import Counts, Prediction
from kernel_model.mechanisms.equality import WORK_ONLY
from kernel_model.mechanisms.fixed import stage_plans, unchanged_only
from kernel_model.mechanisms.predictions import is_chain, whole
from kernel_model.mechanisms.scenario import CannotExpress, Mechanism, Scenario, Stage
from kernel_model.workloads.workload import Servers, Workload

if TYPE_CHECKING:
    from kernel_model.kernel import Kernel


def express(workload: Workload) -> CannotExpress | None:
    """A chain in which bytes are passed on as they are."""
    if not is_chain(workload.plan):
        return CannotExpress("a link follows the request before it: there is no waiting for some of several requests")
    return unchanged_only(workload, "a link passes bytes on as they are")


def predict(workload: Workload) -> Prediction:
    """One submission of d requests and d replies; a switch to each further server, and one completion."""
    d = workload.steps
    one = workload.topology.servers is Servers.ONE
    each = Counts(crossings=d + 1, switches=2 if one else d + 1, wake_ups=1, submissions=d, notifications=1)
    return whole(workload, each, across=2)


def build(kernel: Kernel, scenario: Scenario) -> Stage:
    """Each client writes the plan as a chain."""
    last = scenario.workload.steps - 1
    return stage_plans(kernel, scenario, "linked", PLAN_LINKS, flags=(LINK | SKIP,) * last + (0,))


MECHANISM = Mechanism(
    "linked", "the kernel works through a chain without a program", predict, build, equal=WORK_ONLY, express=express
)
