"""`call`: the round trip, the baseline. The client calls, is woken with the reply, runs the handler, calls again.

A call is synchronous: the core goes straight to the waiting server and straight back (direct switch), so each of the d
steps costs two crossings and two switches, and wakes the client once:

    client  --call-->  server  --reply-->  client: handler  --call-->  server  --reply-->  client: handler ...
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel_model.mechanisms.counts import Counts, Prediction
from kernel_model.mechanisms.predictions import whole
from kernel_model.mechanisms.scenario import Mechanism, Scenario, Stage, stage_in_clients
from kernel_model.workloads.workload import Workload

if TYPE_CHECKING:
    from kernel_model.kernel import Kernel


def predict(workload: Workload) -> Prediction:
    """A call and a reply a step, each an entry and a switch."""
    d = workload.steps
    each = Counts(crossings=2 * d, switches=2 * d, wake_ups=d, user_activations=d, submissions=d)
    return whole(workload, each, across=2 * d)


def build(kernel: Kernel, scenario: Scenario) -> Stage:
    """The handler runs in the client; what it sends becomes the next call."""
    return stage_in_clients(kernel, scenario, mode="call")


MECHANISM = Mechanism("call", "the client calls, looks, calls again", predict, build)
