"""`direct`: rings between client and server, in memory that both share; the kernel only wakes who sleeps.

URPC, Barrelfish, virtio, and every shared-memory transport since: requests and answers are put and taken in user mode
(`core.shared`), a body is written once, by whoever has it. The handler runs in the client, as with `async`. Over many
servers the client has a ring with each and one notification for all, and looks round its rings in turn.

`direct` sleeps when it finds nothing (notified). On one core that is the best there is, for nothing can come while it
looks: it rings the server's bell and rests in one system call, so does the server, and a step costs what a call costs,
without decoding and copying in the kernel. Independent requests cost one crossing together, and one for each server:

    chain          client: put, ring and rest  ->  server: take, work, put, ring and rest  ->  client: handler, put ...
    independent    client: put k, ring and rest  ->  servers: all that there is, ring and rest ->  client: k handlers

`direct/poll` spins before it sleeps, for a time that it learns (`core.direct`), but only if the others are on another
core. While both sides are awake nobody enters the kernel; what is spun is charged to whoever spins, as `spin`. It needs
no core beyond those that clients and servers have, so it is compared at equal cores.

**Trust**: neither side can corrupt the kernel, which reads nothing in a ring; each can spoil the rings that it shares.
What it cannot do is make a server run that has no time of its own: a passive server runs on the time that comes with a
call. And a graft in the kernel sees nothing of what goes through a ring.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel_model.mechanisms.counts import Counts, Prediction
from kernel_model.mechanisms.equality import SHARED
from kernel_model.mechanisms.predictions import TIMED, is_chain, unforeseen, whole
from kernel_model.mechanisms.rings import wanted
from kernel_model.mechanisms.scenario import CannotExpress, Mechanism, Scenario, Stage, in_flight, stage_in_clients
from kernel_model.workloads.workload import Servers, Serving, Workload

if TYPE_CHECKING:
    from kernel_model.kernel import Kernel

POLL_NS = 10_000
"""The longest that one spins: several times what a sleep and a wake-up cost anywhere, less than a device takes."""


def express(workload: Workload) -> CannotExpress | None:
    """Say why it cannot be: a server that needs a call to run."""
    if workload.topology.serving is Serving.PASSIVE:
        return CannotExpress("a passive server runs on the time that comes with a call, and with a ring comes none")
    return None


def predict(workload: Workload) -> Prediction:
    """A chain: two crossings and two switches a step. Independent requests: one crossing of each side."""
    return _predict(workload, "")


def predict_polled(workload: Workload) -> Prediction:
    """On one core the same; on two, how often one of the sides falls asleep is a matter of time."""
    return _predict(workload, "how often one side spins in vain, and sleeps, is a matter of time")


def _predict(workload: Workload, races: str) -> Prediction:
    d = workload.steps
    if is_chain(workload.plan):
        each = Counts(crossings=2 * d, switches=2 * d, wake_ups=d, user_activations=d)
    elif workload.plan.independent and workload.plan.enough == d:
        servers = 1 if workload.topology.servers is Servers.ONE else workload.processes
        each = Counts(crossings=servers + 1, switches=servers + 1, wake_ups=1, user_activations=d)
    else:
        return unforeseen("requests that wait for some of the others come in batches that depend on times")
    predicted = whole(workload, each, across=2 * each.wake_ups, races=races)
    if workload.clients == 1 or predicted.unknown >= TIMED:
        return predicted
    why = "whether a server is awake when it is asked depends on what the other clients do"
    return Prediction(predicted.counts, predicted.unknown | TIMED, why)


def build(kernel: Kernel, scenario: Scenario) -> Stage:
    """Each client shares a ring with each server; the handler runs in the client."""
    return _stage(kernel, scenario, 0)


def build_polled(kernel: Kernel, scenario: Scenario) -> Stage:
    """The same, and all of them spin before they sleep."""
    return _stage(kernel, scenario, POLL_NS)


def _stage(kernel: Kernel, scenario: Scenario, poll_ns: float) -> Stage:
    depth = in_flight(scenario.workload)
    stage = stage_in_clients(kernel, scenario, mode="direct", depth=depth, wait=wanted(scenario))
    for client in stage.clients:
        kernel.connect(client, *stage.service.servers, poll_ns=poll_ns)
    return stage


NOTIFIED = Mechanism(
    "direct",
    "rings between client and server; who finds nothing sleeps",
    predict,
    build,
    SHARED,
    express,
    overlaps=True,
)
POLLED = Mechanism(
    "direct/poll",
    "the same, but they spin before they sleep",
    predict_polled,
    build_polled,
    SHARED,
    express,
    overlaps=True,
)
