"""`rings`: submission and completion queues in shared memory, as io_uring and FlexSC have them.

One system call submits all that the client has written and waits for what it wants to have, so a step of a dependent
chain costs what it costs `call`: two crossings and two switches. Rings win by batches. The k independent requests of an
operation are submitted together and the client waits for as many as it needs, once:

    chain          client: enter(1, wait 1)  ->  server: reply  ->  client: handler, enter(1, wait 1) ...
    independent    client: enter(k, wait k)  ->  server: reply, reply, ..., reply                   ->  client: handlers

`rings/sqpoll`: a kernel thread on a core of its own looks at the ring all the time (IORING_SETUP_SQPOLL). Submitting is
no system call any more, waiting still is; the server's core is interrupted, as the submission comes from another one.
The core that polls is charged under `spin`, from the start of the run to its end.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from kernel_model.mechanisms.counts import Counts, Prediction
from kernel_model.mechanisms.predictions import is_chain, unforeseen, whole
from kernel_model.mechanisms.scenario import Mechanism, Scenario, Stage, in_flight, stage_in_clients
from kernel_model.workloads.workload import Closed, Servers, Workload

if TYPE_CHECKING:
    from kernel_model.kernel import Kernel


def predict(workload: Workload) -> Prediction:
    """A chain: what `call` does, and a notification a step. Independent requests: one submission, one reply each."""
    d = workload.steps
    if is_chain(workload.plan):
        each = Counts(crossings=2 * d, switches=2 * d, wake_ups=d, user_activations=d, submissions=d, notifications=d)
        return whole(workload, each, across=2 * d)
    if workload.plan.independent and workload.plan.enough == d:
        servers = 1 if workload.topology.servers is Servers.ONE else workload.processes
        each = Counts(
            crossings=d + 1, switches=servers + 1, wake_ups=1, user_activations=d, submissions=d, notifications=d
        )
        return whole(workload, each, races="whether a server has slept before its next request is a matter of time")
    return unforeseen("requests that wait for some of the others come in batches that depend on times")


def predict_polled(workload: Workload) -> Prediction:
    """The same, but that a thread on another core submits: each step interrupts the core of an idle server."""
    d = workload.steps
    if not is_chain(workload.plan):
        return unforeseen("how many requests the polling thread finds at a time depends on times")
    each = Counts(
        crossings=2 * d, switches=2 * d, wake_ups=d, user_activations=d, submissions=d, notifications=d, interrupts=d
    )
    return whole(workload, each, across=d)


def build(kernel: Kernel, scenario: Scenario) -> Stage:
    """The handler runs in the client; what it sends is written into the ring."""
    return stage_in_clients(kernel, scenario, mode="rings", depth=in_flight(scenario.workload), wait=wanted(scenario))


def build_polled(kernel: Kernel, scenario: Scenario) -> Stage:
    """The same with a polling thread on the last core, made last: so the servers draw what they draw for all others."""
    depth = in_flight(scenario.workload)
    stage = stage_in_clients(kernel, scenario, mode="polled", depth=depth, wait=wanted(scenario))
    return replace(stage, poller=kernel.poller(core=kernel.cores - 1))


def wanted(scenario: Scenario) -> int:
    """How many completions a client waits for: all that it needs, if its requests are independent and come together."""
    workload = scenario.workload
    alone = workload.plan.independent and isinstance(workload.arrivals, Closed)
    return workload.plan.enough if alone else 1


ENTER = Mechanism("rings", "one system call submits a batch and waits for the replies", predict, build, overlaps=True)
POLLED = Mechanism(
    "rings/sqpoll",
    "a kernel thread polls the ring; only waiting is a call",
    predict_polled,
    build_polled,
    spare_cores=1,
    overlaps=True,
)
