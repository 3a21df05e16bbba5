"""`async`: submit, wait on the completion queue, run the handler, submit the next.

Submitting and waiting are system calls of their own, so a dependent chain pays three crossings a step: what rings and
batches save elsewhere cannot be saved here, since there is never more than one request to submit.

    client: submit, wait  ->  server: reply  ->  client: handler, submit, wait  ->  ...
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel_model.mechanisms.counts import Counts, Prediction
from kernel_model.mechanisms.predictions import is_chain, unforeseen, whole
from kernel_model.mechanisms.scenario import Mechanism, Scenario, Stage, in_flight, stage_in_clients
from kernel_model.workloads.workload import Workload

if TYPE_CHECKING:
    from kernel_model.kernel import Kernel


def predict(workload: Workload) -> Prediction:
    """A submission, a wait and a reply a step; the wait and the reply switch."""
    if not is_chain(workload.plan):
        return unforeseen("how many replies a client finds when it looks is a matter of time")
    d = workload.steps
    each = Counts(crossings=3 * d, switches=2 * d, wake_ups=d, user_activations=d, submissions=d, notifications=d)
    return whole(workload, each, races="whether the reply is there before the client waits for it is a matter of time")


def build(kernel: Kernel, scenario: Scenario) -> Stage:
    """The handler runs in the client; what it sends becomes the next submission."""
    return stage_in_clients(kernel, scenario, mode="submit", depth=in_flight(scenario.workload))


MECHANISM = Mechanism("async", "the client submits, waits for the completion, looks, submits again", predict, build,
                      overlaps=True)  # fmt: skip
