"""`hosted`: the same graft in the user mode of a process between client and servers (`core.hosted`).

The client calls its host and sleeps; the host makes the round trips and runs the handler on each reply. This is where a
system without grafts puts such code: a library operating system's server, a proxy, a dispatcher. Each client has a host
of its own, on its core. It costs a round trip more than `call`, and buys that the client is woken once.

    client  --call-->  host  (--call-->  server  --reply-->  host: handler) x d  --reply-->  client

The kernel does not change, so it is what a graft in the kernel has to beat, for everything but trust: a host that
misbehaves harms its client alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel_model.mechanisms.counts import Counts, Prediction
from kernel_model.mechanisms.equality import RELAYED
from kernel_model.mechanisms.predictions import moved, whole
from kernel_model.mechanisms.scenario import CLIENT_CORE, Mechanism, Scenario, Stage, add_clients, add_servers, deal
from kernel_model.workloads.workload import Workload

if TYPE_CHECKING:
    from kernel_model.kernel import Kernel


def predict(workload: Workload) -> Prediction:
    """A call to the host and its reply, around d calls of the host, each with a reply."""
    d = workload.steps
    each = Counts(crossings=2 * d + 2, switches=2 * d + 2, wake_ups=1, user_activations=d, submissions=d + 1)
    return whole(workload, each, across=2 * d)


def build(kernel: Kernel, scenario: Scenario) -> Stage:
    """Each client has a host with the graft, and sends there what it would send to the servers."""
    workload, verified = scenario.workload, scenario.verified
    clients, service = add_clients(kernel, workload), add_servers(kernel, workload)
    servers = service.endpoints[workload.roles[0].name]
    hosts = tuple(kernel.host(f"host of {client.name}", to=servers, core=CLIENT_CORE) for client in clients)
    grafts = tuple(
        kernel.load(verified, to=host, slots=service.slots(kernel, scenario.binding, host), engine=scenario.engine)
        for host in hosts
    )
    fronts = tuple(host.endpoint for host in hosts)
    return Stage(clients, service, deal(kernel, scenario, clients, service, grafts, fronts))


MECHANISM = Mechanism("hosted", "a user-level host makes the round trips and runs the handler", predict, build,
                      equal=RELAYED, express=moved)  # fmt: skip
