"""`server`: the servers pass the request on among themselves, the last one replies to the client.

The handler runs in each server, on the reply that it is about to send: `deliver` sends it, a send passes the request on
instead and the right to reply moves with it. That needs servers that know the graft's protocol and trust each other's
code; in return the client calls once, and one server that holds all the data answers in a single round trip whatever
the depth, because it need not enter the kernel for a request to itself.

    one server      client --call--> server: handler, handler, ..., --reply--> client
    d servers       client --call--> server 0: handler --forward--> server 1: handler --forward--> ...   --> client
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel_model.mechanisms.counts import Counts, Prediction
from kernel_model.mechanisms.equality import IN_SUM
from kernel_model.mechanisms.predictions import never_sends_twice, whole
from kernel_model.mechanisms.scenario import Mechanism, Scenario, Stage, add_clients, add_servers, deal
from kernel_model.workloads.workload import Servers, Workload

if TYPE_CHECKING:
    from kernel_model.handles import Attachment
    from kernel_model.kernel import Kernel


def predict(workload: Workload) -> Prediction:
    """One call, one reply, and between several servers a forward for each further step, which switches."""
    d = workload.steps
    hops = 0 if workload.topology.servers is Servers.ONE else d - 1
    each = Counts(crossings=2 + hops, switches=2 + hops, wake_ups=1, user_activations=d, submissions=1 + hops)
    return whole(workload, each, across=2)


def build(kernel: Kernel, scenario: Scenario) -> Stage:
    """Every server has the graft loaded, over the maps of the first."""
    clients, service = add_clients(kernel, scenario.workload), add_servers(kernel, scenario.workload)
    first: Attachment | None = None
    for server in service.servers:
        loaded = kernel.load(
            scenario.verified,
            to=server,
            slots=service.slots(kernel, scenario.binding, server),
            maps=first,
            engine=scenario.engine,
        )
        first = first or loaded
    assert first is not None, "a workload has at least one process"
    return Stage(clients, service, deal(kernel, scenario, clients, service, (first,) * len(clients)))


MECHANISM = Mechanism("server", "the servers pass the request on, the last replies", predict, build, equal=IN_SUM,
                      express=never_sends_twice)  # fmt: skip
