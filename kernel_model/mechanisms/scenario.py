"""What every mechanism starts from, and what it has to say for itself.

A mechanism decides *where* the one verified handler runs, and with which operations of the kernel; it contains no loop
over messages and no second implementation of the handler (KERNEL section 1). It compiles a workload into servers,
clients and attachments, or says why it cannot, and predicts its counts before anything runs:

    Mechanism.unable(workload, cores)   -> None | CannotExpress(reason)
    Mechanism.predict(workload)         -> Prediction of the whole run
    Mechanism.build(kernel, scenario)   -> Stage: all clients with their jobs, ready to run

The operations of a workload are dealt to its clients in turn: operation i belongs to client i mod n, which is called
`client` if there is only one, else `client0`, `client1`, ... In an open loop every operation keeps its intended time.

A name of a mechanism is that of its *family*, or family/variant: `rings` and `rings/sqpoll` differ in how they do it,
not in what they can express.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from kernel_model.hosting import Compute, Jump, Row
from kernel_model.mechanisms.counts import Prediction
from kernel_model.mechanisms.equality import PER_ACCOUNT, Rule
from kernel_model.serving import Act
from kernel_model.workloads.roles import Role
from kernel_model.workloads.workload import Binding, Closed, Core, Seat, Servers, Serving, Workload

if TYPE_CHECKING:
    from kernel_model.handles import Attachment, Client, Endpoint, Jobs, Mode, Process, Server, Target
    from kernel_model.kernel import Kernel
    from verifier import Verified

CLIENT = "client"
CLIENT_CORE = 0
COMPLETIONS = 64  # room in a client's completion queue
BYSTANDER = "bystander"
BYSTANDER_PRIORITY = 7  # below everybody else
BYSTANDER_NS = 1_000_000  # of each of its steps: it never stops, and is interrupted at will


@dataclass(frozen=True, slots=True)
class CannotExpress:
    """A mechanism that cannot do a workload, and why."""

    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Scenario:
    """One workload for one graft: `binding` is where they meet, `engine` prices the handler's instructions."""

    workload: Workload
    verified: Verified
    binding: Binding
    engine: Literal["interpreted", "native"] = "interpreted"


@dataclass(frozen=True, slots=True, eq=False)
class Service:
    """Who answers: the endpoint of each role, and the processes in the order in which they take turns."""

    endpoints: Mapping[str, Endpoint]
    servers: tuple[Server, ...]

    def slots(self, kernel: Kernel, binding: Binding, owner: Process) -> dict[str, Target]:
        """Return what fills the slots of a graft of `owner`: for roles at one endpoint capabilities of their own.

        By its capability a handler tells the replies to one slot from those to another.
        """
        slots: dict[str, Target] = {}
        for role, slot in binding.slots.items():
            endpoint = self.endpoints[role]
            again = endpoint in slots.values()
            slots[slot] = kernel.grant(endpoint, owner) if again else endpoint
        return slots


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """A model that is ready to run: each client with its jobs, and how it does them."""

    clients: tuple[Client, ...]
    service: Service
    jobs: tuple[Jobs, ...]
    mode: Mode = "call"
    depth: int = 1
    wait: int = 1
    poller: Process | None = None

    def start(self) -> None:
        """Let the clients begin when the model runs next."""
        for client in self.clients:
            client.run(self.mode, self.depth, wait=self.wait, poller=self.poller)

    @property
    def wake_ups(self) -> int:
        """How often a client was blocked and made ready again."""
        return sum(client.wakeups for client in self.clients)

    def results(self) -> NDArray[np.void]:
        """Return what has become of the operations, in the order of the workload (`handles.RESULT`)."""
        parts = [jobs.results() for jobs in self.jobs]
        out = np.zeros(sum(len(part) for part in parts), parts[0].dtype)
        for number, part in enumerate(parts):
            out[number :: len(parts)] = part
        return out


@dataclass(frozen=True, slots=True)
class Mechanism:
    """See the module. `summary` is one line for tables and help.

    `equal`: which counts must be those of the round trip (`equality`). `spare_cores`: cores that it needs besides
    those of clients and servers. `overlaps`: requests of one operation may be under way at once. `in_kernel`: that is
    where handlers run.
    """

    name: str
    summary: str
    predict: Callable[[Workload], Prediction]
    build: Callable[[Kernel, Scenario], Stage]
    equal: Rule = PER_ACCOUNT
    express: Callable[[Workload], CannotExpress | None] = lambda _workload: None
    spare_cores: int = 0
    overlaps: bool = False
    in_kernel: bool = False

    @property
    def family(self) -> str:
        """The name without its variant."""
        return self.name.split("/", maxsplit=1)[0]

    def unable(self, workload: Workload, cores: int) -> CannotExpress | None:
        """Say why this mechanism cannot do a workload on a machine of `cores` cores, if it cannot."""
        needed = cores_of(workload) + self.spare_cores
        if cores < needed:
            return CannotExpress(f"needs {needed} cores, as one polls all the time; there are {cores}")
        return self.express(workload)


def cores_of(workload: Workload) -> int:
    """How many cores clients and servers are on."""
    return 1 if workload.topology.core is Core.SAME else 2


# --- parts that mechanisms are put together from ----------------------------------------------------------------------


def client_names(workload: Workload) -> tuple[str, ...]:
    """Return the clients' names."""
    return (CLIENT,) if workload.clients == 1 else tuple(f"{CLIENT}{n}" for n in range(workload.clients))


def add_clients(kernel: Kernel, workload: Workload) -> tuple[Client, ...]:
    """Make the clients, before the servers so that they are first in every list."""
    return tuple(kernel.client(name, core=CLIENT_CORE, completions=COMPLETIONS) for name in client_names(workload))


def add_servers(kernel: Kernel, workload: Workload, *, apart: bool = False) -> Service:
    """Make the workload's servers.

    Processes of one role are all at one endpoint. They take turns, since the longest waiter receives next: with a
    server for each of d steps, step i of every operation is served by process i mod d. With `apart` the first of them
    is at an endpoint of its own, and that of the role is the others'. Several roles have a process each, or, with one
    server, share it and its endpoint. A bystander, if the workload has one, is made here too.
    """
    topology, roles = workload.topology, workload.roles
    core = CLIENT_CORE if topology.core is Core.SAME else CLIENT_CORE + 1
    passive = topology.serving is Serving.PASSIVE

    def add(role: Role, ops: Mapping[int, Act], number: int) -> Server:
        return kernel.server(
            f"server{number}",
            ops=ops,
            service_ns=role.service_ns,
            device_ns=role.device_ns,
            faults=role.faults,
            core=core,
            passive=passive,
            capacity=workload.capacity,
        )

    if workload.bystander:
        computes: list[Row] = [Compute(BYSTANDER_NS), Jump(0)]
        bystander = kernel.script(BYSTANDER, computes, core=CLIENT_CORE, priority=BYSTANDER_PRIORITY)
        kernel.working_set(bystander, workload.bystander_set)
    if len(roles) > 1 and topology.servers is Servers.EACH:
        servers = [add(role, role.ops, number) for number, role in enumerate(roles)]
        return Service({role.name: s.endpoint for role, s in zip(roles, servers, strict=True)}, tuple(servers))
    first = add(roles[0], {op: act for role in reversed(roles) for op, act in role.ops.items()}, 0)
    elsewhere = kernel.endpoint("others", workload.capacity) if apart and workload.processes > 1 else None
    others = [
        kernel.server(f"server{number}", like=first, endpoint=elsewhere, core=core, passive=passive)
        for number in range(1, workload.processes)
    ]
    return Service({role.name: elsewhere or first.endpoint for role in roles}, (first, *others))


Place = Callable[["Process", Mapping[str, Any]], "Attachment"]
"""(whose events it is for, what fills the slots) -> the graft, wherever it is."""


def in_flight(workload: Workload) -> int:
    """How many operations a client has in flight if it can: the workload's depth in a closed loop, else what fits."""
    if isinstance(workload.arrivals, Closed):
        return workload.depth
    return max(1, COMPLETIONS // (2 * workload.steps))


def stage_in_clients(kernel: Kernel, scenario: Scenario, mode: Mode, **how: Any) -> Stage:
    """The handler runs in each client's user mode: what it sends becomes the next call or submission."""

    def load(process: Process, slots: Mapping[str, Any]) -> Attachment:
        return kernel.load(scenario.verified, to=process, slots=slots, engine=scenario.engine)

    return stage_each(kernel, scenario, load, mode, **how)


def stage_each(kernel: Kernel, scenario: Scenario, place: Place, mode: Mode, **how: Any) -> Stage:
    """Make clients and servers, let `place` put the graft at each client, or at the server whose requests it answers,
    deal the operations; `how` as in `Stage`.

    Where a client has several operations in flight by itself, mode `call` is no help: it submits.
    """
    workload = scenario.workload
    clients, service = add_clients(kernel, workload), add_servers(kernel, workload)
    grafts: tuple[Attachment | None, ...] = (None,) * len(clients)
    if workload.seat is Seat.SERVER:
        keep_replies(kernel, workload, service.servers[0], place(service.servers[0], {}))
    else:
        grafts = tuple(place(client, service.slots(kernel, scenario.binding, client)) for client in clients)
    if mode == "call" and workload.depth > 1:
        mode, how = "submit", {**how, "depth": workload.depth}
    return Stage(clients, service, deal(kernel, scenario, clients, service, grafts), mode, **how)


def keep_replies(kernel: Kernel, workload: Workload, server: Server, graft: Attachment) -> None:
    """Fill the map of the graft at a server's endpoint, and let the server go on with it."""
    kept = workload.kept
    if kept is not None:
        view = kernel.map(graft, kept.name)
        for key, value in kept.preset.items():
            view.set_raw(view.encode_key(key), value)
        kernel.keep_reads(server, graft, kept.name)


def deal(
    kernel: Kernel,
    scenario: Scenario,
    clients: tuple[Client, ...],
    service: Service,
    grafts: tuple[Attachment | None, ...],
    fronts: tuple[Endpoint, ...] | None = None,
) -> tuple[Jobs, ...]:
    """Give the clients the workload's operations in turn; the arguments go into the maps of their grafts, if any.

    `fronts`: where each client sends its requests (None: to the servers of the first role).
    """
    workload, binding, n = scenario.workload, scenario.binding, len(clients)
    operations, arrivals = workload.operations, workload.arrivals
    times = None if isinstance(arrivals, Closed) else arrivals.times_ns(len(operations))
    roles = workload.roles if workload.spread else workload.roles[:1]
    targets = [service.endpoints[role.name] for role in roles]
    return tuple(
        kernel.jobs(
            client,
            graft=graft,
            slot=fronts[number] if fronts else targets,
            op=binding.op_number,
            bodies=operations.first[number::n],
            map=(binding.argument_map or None) if graft else None,
            result=(binding.result_map or None) if graft else None,
            values=None if graft is None or operations.values is None else operations.values[number::n],
            arrivals_ns=None if times is None else times[number::n],
            think_ns=arrivals.think_ns if isinstance(arrivals, Closed) else 0,
            patience_ns=workload.patience_ns,
        )
        for number, (client, graft) in enumerate(zip(clients, grafts, strict=True))
    )
