"""`graft`: the same handler, attached: it runs in the kernel when the reply arrives and sends the next request itself.

The client calls once and is woken once. Each reply enters the kernel, which runs the handler and sends on. With one
server the core stays with it (it receives the next request as it waits: no switch); with a server for each step the
core goes from each to the next:

    one server      client --call--> server --reply: handler, send--> server ... --reply: handler, deliver--> client
    d servers       client --call--> server 0 --reply: handler, send--> server 1 ...                      --> client
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel_model.mechanisms.counts import Counts, Prediction
from kernel_model.mechanisms.predictions import unforeseen, whole
from kernel_model.mechanisms.scenario import Mechanism, Scenario, Stage, stage_each
from kernel_model.workloads.workload import Seat, Servers, Workload

if TYPE_CHECKING:
    from kernel_model.kernel import Kernel


def predict(workload: Workload) -> Prediction:
    """One call and d replies; a switch to the first server, one to each further process, one back."""
    if workload.seat is Seat.SERVER:
        return unforeseen("what the graft at the endpoint answers is known when it is asked")
    d = workload.steps
    one = workload.topology.servers is Servers.ONE
    each = Counts(crossings=d + 1, switches=2 if one else d + 1, wake_ups=1, kernel_activations=d, submissions=d)
    return whole(workload, each, across=2)


def build(kernel: Kernel, scenario: Scenario) -> Stage:
    """The handler is attached to each client's events; the client's own program is that of `call`."""
    return stage_each(
        kernel,
        scenario,
        lambda process, slots: kernel.attach(scenario.verified, to=process, slots=slots, engine=scenario.engine),
        "call",
    )


MECHANISM = Mechanism(
    "graft", "the kernel runs the handler on arrival and sends the next request itself", predict, build, overlaps=True,
    in_kernel=True,
)  # fmt: skip
