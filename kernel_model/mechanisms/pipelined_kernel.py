"""`pipelined-kernel`: promise pipelining in the kernel (`core.promises`).

The client submits all requests of an operation in one batch. Where a request needs the reply of an earlier one, a
*wire* says which bytes of it go where in its argument; it waits in the kernel, at the client's quota, until that reply
is there. If that reply fails or is too short, all that depends on it ends `broken`, transitively. As in Cap'n Proto,
but across servers, since the kernel sees all of them; and without arithmetic, since a wire copies.

    one server      client: enter(d requests, d - 1 wires)  ->  server: reply, reply, ..., reply             ->  client
    d servers       client: enter(d requests, d - 1 wires)  ->  server 0: reply  ->  server 1: reply  -> ...  ->  client

It differs from `linked` in that every request is told, in that requests need not form a chain, and in that a wire is
charged and copies into the kernel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel_model.core.tables import PLAN_WIRES
from kernel_model.mechanisms.counts import Counts, Prediction
from kernel_model.mechanisms.equality import WORK_ONLY
from kernel_model.mechanisms.fixed import stage_plans, unchanged_only
from kernel_model.mechanisms.predictions import is_chain, whole
from kernel_model.mechanisms.scenario import CannotExpress, Mechanism, Scenario, Stage
from kernel_model.workloads.workload import Closed, Servers, Workload

if TYPE_CHECKING:
    from kernel_model.kernel import Kernel


def express(workload: Workload) -> CannotExpress | None:
    """A chain in which bytes are passed on as they are."""
    if not is_chain(workload.plan):
        return CannotExpress("the last answer must be what all others are for: it is the one that ends an operation")
    return unchanged_only(workload, "a wire copies bytes as they are")


def predict(workload: Workload) -> Prediction:
    """One submission and wait for d completions; a switch to each further server."""
    d = workload.steps
    one = workload.topology.servers is Servers.ONE
    each = Counts(crossings=d + 1, switches=2 if one else d + 1, wake_ups=1, submissions=d, notifications=d)
    return whole(workload, each, across=2)


def build(kernel: Kernel, scenario: Scenario) -> Stage:
    """Each client writes the plan as a batch with wires, and waits for all of it."""
    workload = scenario.workload
    wait = workload.steps if isinstance(workload.arrivals, Closed) else 1
    return stage_plans(kernel, scenario, "rings", PLAN_WIRES, wait=wait)


MECHANISM = Mechanism(
    "pipelined-kernel", "promises in the kernel: replies are wired into arguments", predict, build, WORK_ONLY, express
)
