"""`hosted/server`: the client's graft runs in the first server of the chain (`core.hosted`).

The client calls once. The server that gets the call serves it, runs the client's graft on its own reply, in its user
mode, and does or asks for what that sends: what is its own to do it does without a message, the other servers it calls.
When the handler delivers it answers the client. The other servers know of nothing, unlike with `server`.

    one server   client --call--> server 0: work, handler, work, handler, ...                         --reply--> client
    d servers    client --call--> server 0: work, handler  (--call--> server i --reply--> handler)... --reply--> client

**Why a server may.** It runs verified code only, on its own reply and on those of servers that it could call itself:
the handler reaches no memory but its maps and the message, sends to nobody but whom the slots name, and its bound is
known before it is taken in. So what it costs at worst is known too, and who pays is a matter of the topology: a
*passive* server runs on the scheduling context that the client's call has lent it, the handler and the calls to further
passive servers included, and when that is used up the operation ends `timed_out` (`core.budgets`); an active one pays
from its own context, as it pays for the client's request. Its account shows the time in either case. What a server
cannot get back is its turn: it serves one operation at a time, so while it waits for another server, or for a pause of
the graft, other clients wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel_model.mechanisms.counts import Counts, Prediction
from kernel_model.mechanisms.equality import IN_SUM
from kernel_model.mechanisms.predictions import moved, whole
from kernel_model.mechanisms.scenario import Mechanism, Scenario, Stage, add_clients, add_servers, deal
from kernel_model.workloads.workload import Servers, Workload

if TYPE_CHECKING:
    from kernel_model.kernel import Kernel


def predict(workload: Workload) -> Prediction:
    """A call and a reply, and both again for each step that is another server's."""
    d, away = workload.steps, steps_away(workload)
    each = Counts(crossings=2 + 2 * away, switches=2 + 2 * away, wake_ups=1, user_activations=d, submissions=1 + away)
    return whole(workload, each, across=2)


def steps_away(workload: Workload) -> int:
    """How many steps of an operation are not the first server's."""
    if workload.topology.servers is Servers.ONE:
        return 0
    if len(workload.roles) == 1:
        return workload.steps - 1
    return sum(step.role != workload.roles[0].name for step in workload.plan.steps)


def build(kernel: Kernel, scenario: Scenario) -> Stage:
    """The first server has the graft, for all clients: their operations differ in their tags."""
    clients, service = add_clients(kernel, scenario.workload), add_servers(kernel, scenario.workload, apart=True)
    first = service.servers[0]
    slots = service.slots(kernel, scenario.binding, first)
    kernel.host_in(first, to=service.endpoints[scenario.workload.roles[0].name])
    graft = kernel.load(scenario.verified, to=first, slots=slots, engine=scenario.engine)
    everybody = len(clients)
    jobs = deal(kernel, scenario, clients, service, (graft,) * everybody, (first.endpoint,) * everybody)
    return Stage(clients, service, jobs)


MECHANISM = Mechanism("hosted/server", "the first server runs the client's graft and makes the round trips", predict,
                      build, equal=IN_SUM, express=moved)  # fmt: skip
