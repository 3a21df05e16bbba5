"""What every mechanism starts from, and what it has to say for itself.

A mechanism decides *where* the one verified handler runs, and with which operations of the kernel; it contains no loop
over messages and no second implementation of the handler (KERNEL section 1). It compiles a workload into servers, a
client and attachments, or says why it cannot, and predicts its counts before anything runs:

    Mechanism.express(workload)         -> None | CannotExpress(reason)
    Mechanism.predict(workload)         -> Counts of one operation
    Mechanism.build(kernel, scenario)   -> Stage: the client's jobs, ready to run
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from kernel_model.mechanisms.counts import Counts
from kernel_model.workloads.workload import Binding, Closed, Core, Workload

if TYPE_CHECKING:
    from kernel_model.handles import Attachment, Client, Jobs, Mode, Server
    from kernel_model.kernel import Kernel
    from verifier import Verified

CLIENT = "client"
CLIENT_CORE = 0


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
class Stage:
    """A model that is ready to run: `jobs` are the operations, `servers` in the order in which they take turns."""

    client: Client
    servers: tuple[Server, ...]
    jobs: Jobs
    mode: Mode

    def start(self) -> None:
        """Let the client begin when the model runs next."""
        self.client.run(self.mode)


@dataclass(frozen=True, slots=True)
class Mechanism:
    """See the module. `summary` is one line for tables and help.

    `moves_handler`: the handler's work is charged to other accounts than in the round trip, so counts that must be
    equal are equal in sum only.
    """

    name: str
    summary: str
    predict: Callable[[Workload], Counts]
    build: Callable[[Kernel, Scenario], Stage]
    moves_handler: bool = False
    express: Callable[[Workload], CannotExpress | None] = lambda _workload: None


def add_servers(kernel: Kernel, workload: Workload) -> tuple[Server, ...]:
    """Make the workload's servers, all at one endpoint.

    They take turns, since the longest waiter receives next: with a server for each of d steps, step i of every
    operation is served by process i mod d.
    """
    core = CLIENT_CORE if workload.topology.core is Core.SAME else CLIENT_CORE + 1
    (role,) = workload.roles
    first = None
    servers = []
    for number in range(workload.processes):
        server = kernel.server(
            f"server{number}",
            endpoint=first.endpoint if first else None,
            image=role.data.image,
            block=role.data.block_bytes,
            service_ns=role.service_ns,
            device_ns=role.device_ns,
            core=core,
        )
        first = first or server
        servers.append(server)
    return tuple(servers)


def add_client(kernel: Kernel) -> Client:
    """Make the client, before the servers so that it is first in every list."""
    return kernel.client(CLIENT, core=CLIENT_CORE)


def stage_in_client(kernel: Kernel, scenario: Scenario, mode: Mode) -> Stage:
    """The handler runs in the client's user mode: what it sends becomes the next call or submission."""
    client, servers = add_client(kernel), add_servers(kernel, scenario.workload)
    slots = {scenario.binding.slot: servers[0].endpoint}
    loaded = kernel.load(scenario.verified, to=client, slots=slots, engine=scenario.engine)
    return stage_jobs(kernel, scenario, client, servers, loaded, mode)


def stage_jobs(
    kernel: Kernel, scenario: Scenario, client: Client, servers: tuple[Server, ...], graft: Attachment, mode: Mode
) -> Stage:
    """Give the client the workload's operations; the arguments go into the map of `graft`, wherever that runs."""
    workload, binding = scenario.workload, scenario.binding
    jobs = kernel.jobs(
        client,
        graft=graft,
        slot=servers[0].endpoint,
        op=binding.op_number,
        bodies=workload.operations.first,
        map=binding.argument_map,
        values=workload.operations.values,
        think_ns=workload.arrivals.think_ns if isinstance(workload.arrivals, Closed) else 0,
    )
    return Stage(client, servers, jobs, mode)
