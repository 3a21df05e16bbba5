"""What is to be done, independent of how: the input that every mechanism compiles.

A workload is a number of equal *operations*. Each begins with what the client asks and ends in one answer; in between
lies what its `plan` says, and what the graft named here does by itself. Nothing here names a mechanism, a price or a
table of the core.

    Workload = operations x plan        what is asked, and what each request is made from
             + roles                    who answers, from which data, in which time
             + arrivals, clients        when operations begin, and whose they are
             + topology                 how many server processes there are and where they run
             + check                    whether an answer is right, judged by the data alone

The **topology** decides more than any other parameter, so it is part of every result: with one server the rival
`server` needs a single round trip whatever the depth; with a server per step each hop still enters and switches.

In an open loop the intended times of all operations are drawn before the run (`Open.times_ns`) and stay with them, so
latency is counted from the time at which an operation was meant to begin, not from when its client got round to it:
a client that falls behind cannot hide it (G. Tene's "coordinated omission").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from grafting.diagnostics import fail
from grafting.program import MapKind, MapSpec, OpSpec, Program, SlotSpec
from kernel_model.serving import Reply, Store
from kernel_model.workloads.plan import Plan, carry_out
from kernel_model.workloads.roles import Role

U64_BYTES = 8


class Servers(Enum):
    """Who answers."""

    ONE = "one"  # a single process answers every step
    EACH = "each"  # a process for each step, taking turns at one endpoint; or one for each role


class Core(Enum):
    """Where the servers run, seen from the client."""

    SAME = "same"
    OTHER = "other"


class Serving(Enum):
    """On whose time the servers run."""

    ACTIVE = "active"  # on their own
    PASSIVE = "passive"  # on the scheduling context of who asks


@dataclass(frozen=True, slots=True)
class Topology:
    """Who the servers are, where they run and on whose time."""

    servers: Servers = Servers.ONE
    core: Core = Core.SAME
    serving: Serving = Serving.ACTIVE

    def processes(self, steps: int) -> int:
        """How many server processes a workload of `steps` steps to one role has."""
        return 1 if self.servers is Servers.ONE else steps

    @property
    def name(self) -> str:
        """The short form that `topology` reads: "one", "each", "one/other", "each/passive", ..."""
        core = "" if self.core is Core.SAME else "/other"
        return self.servers.value + core + ("" if self.serving is Serving.ACTIVE else "/passive")

    def __str__(self) -> str:
        servers = "one server" if self.servers is Servers.ONE else "a server per level"
        passive = "" if self.serving is Serving.ACTIVE else ", passive"
        return f"{servers}, {self.core.value} core{passive}"


TOPOLOGIES = tuple(Topology(servers, core, serving) for serving in Serving for core in Core for servers in Servers)
DEFAULT_TOPOLOGIES = (Topology(Servers.ONE), Topology(Servers.EACH))


def topology(name: str) -> Topology:
    """Return the topology of a short name. Raises GraftError G0842 for an unknown one."""
    for known in TOPOLOGIES:
        if known.name == name:
            return known
    raise fail(
        "G0842", f"no topology is called `{name}`", helps=(f"there are {', '.join(t.name for t in TOPOLOGIES)}",)
    )


@dataclass(frozen=True, slots=True)
class Closed:
    """Arrivals of a closed loop: a client's next operation begins `think_ns` after its last one ended."""

    think_ns: int = 0

    def __str__(self) -> str:
        return f"closed loop, think time {self.think_ns} ns"


@dataclass(frozen=True, slots=True)
class Open:
    """Arrivals of an open loop: a Poisson process of `per_second` operations, all clients together, drawn by `seed`."""

    per_second: float
    seed: int

    def times_ns(self, operations: int) -> NDArray[np.float64]:
        """Return the intended times of so many operations, ns from the start, ascending."""
        rng = np.random.default_rng([self.seed, 0xA55])
        return np.cumsum(rng.exponential(1e9 / self.per_second, operations))

    def __str__(self) -> str:
        return f"open loop, {self.per_second:,.0f} operations/s"


Arrivals = Closed | Open


@dataclass(frozen=True, slots=True, eq=False)
class Operations:
    """All operations of a run, one an index.

    `bodies[c][i]` is what `Literal(c)` stands for in operation i, uint8 (N, length); the first request of the client
    is column 0. `values[i]` is stored in the graft's map of arguments under the operation's tag before it is submitted.
    """

    bodies: tuple[NDArray[np.uint8], ...]
    values: NDArray[np.uint64] | None = None

    def __len__(self) -> int:
        return len(self.bodies[0])

    @property
    def first(self) -> NDArray[np.uint8]:
        """The bodies of the first requests."""
        return self.bodies[0]

    def literals(self, operation: int) -> tuple[bytes, ...]:
        """Return the bodies of one operation that are known before it begins, by column."""
        return tuple(column[operation].tobytes() for column in self.bodies)


def words(values: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Return bodies of one little-endian u64 each, as `Operations` has them."""
    return values.astype("<u8").view(np.uint8).reshape(len(values), U64_BYTES)


@dataclass(frozen=True, slots=True)
class Answer:
    """How an operation ended: `outcome` as in `core.tables.OUTCOMES`, status 0 or a negated errno, and its body.

    Where the graft leaves its result in a map (`Workload.result_map`), the body is what the client finds there.
    """

    outcome: int
    status: int
    body: bytes


Check = Callable[[int, Answer], str | None]
"""(index of the operation, its answer) -> None, or what is wrong with it. It judges the outcome too."""

Final = Callable[[Callable[[Store], bytes], Sequence[Answer]], str | None]
"""(what a store of the servers holds after the run, all answers) -> None, or what is wrong with it."""


class Seat(Enum):
    """Whose events the graft is for, and so in whose user mode its round-trip rival runs."""

    CLIENT = "client"
    SERVER = "server"  # it answers requests at the server's endpoint


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """Replies that a graft at the server's endpoint holds: in its map `name`, `preset` by key at the start; the server
    adds what it reads, while there is room."""

    name: str
    preset: Mapping[int, bytes]


@dataclass(frozen=True, slots=True, eq=False)
class Workload:
    """See the module.

    `sample`: the graft of `samples/` that does it. `argument_map`, `result_map`: names of the graft's maps, tag -> what
    a handler needs to know, tag -> what it leaves for the client ("" for none). `roles`: the first is the one that the
    client itself sends to; with `spread` operations go to all of them in turn. `depth`: operations that a client has in
    flight. `vets`: whether the graft looks at what the client submits. `patience_ns`: how long after its intended time
    an operation may still begin. `bystander`: whether somebody computes on the clients' core, one priority below, all
    the time, and uses `bystander_set` bytes. `final` judges what the servers hold at the end.
    """

    name: str
    data: str
    sample: str
    plan: Plan
    roles: tuple[Role, ...]
    operations: Operations
    arrivals: Arrivals
    topology: Topology
    check: Check
    argument_map: str = ""
    result_map: str = ""
    clients: int = 1
    seat: Seat = Seat.CLIENT
    kept: Kept | None = None
    spread: bool = False
    depth: int = 1
    vets: bool = False
    patience_ns: int | None = None
    bystander: bool = False
    bystander_set: int = 0
    final: Final | None = None

    @property
    def capacity(self) -> int:
        """Requests for which an endpoint has room, so that none is refused."""
        return max(64, self.clients * self.depth * self.steps)

    @property
    def steps(self) -> int:
        """How many requests an operation has if nothing fails."""
        return len(self.plan)

    @property
    def processes(self) -> int:
        """How many server processes there are."""
        if len(self.roles) == 1:
            return self.topology.processes(self.steps)
        return self.topology.processes(len(self.roles))

    def role(self, name: str) -> Role:
        """Return the role of that name."""
        return next(role for role in self.roles if role.name == name)

    def replies(self, operation: int) -> tuple[Reply | None, ...]:
        """Return what the servers answer, step by step, by the plan and the data alone (`plan.carry_out`)."""
        return carry_out(
            self.plan,
            self.operations.literals(operation),
            lambda role, op, body: self.role(role).answer(op, body),
        )


@dataclass(frozen=True, slots=True)
class Binding:
    """Where a workload meets a graft: the slot of each role, the operation of the first request, the maps' names."""

    slots: Mapping[str, str]
    op: str
    op_number: int
    argument_map: str
    result_map: str

    @property
    def slot(self) -> str:
        """The slot of the first role."""
        return next(iter(self.slots.values()))


def bind(program: Program, workload: Workload) -> Binding:
    """Find the slots, the operation and the maps of `program` that stand for those of the workload.

    Names decide where the program has them; a graft at the server's endpoint has no slots. A graft of another's making
    may use its own: for a workload of one role its only slot with an operation of one u64 whose reply fits, and its
    only hash map from u64 to u64, will do. Raises GraftError G0841 if there is none, or more than one.
    """
    if workload.seat is Seat.SERVER:
        return _serving(program, workload)
    return _by_name(program, workload) or _by_shape(program, workload)


def _serving(program: Program, workload: Workload) -> Binding:
    number = workload.plan.steps[0].op
    op = next((op for protocol in program.serves for op in protocol.ops if op.number == number), None)
    if op is None or (workload.kept and workload.kept.name not in {spec.name for spec in program.maps}):
        raise fail(
            "G0841",
            f"the graft `{program.name}` does not fit the workload `{workload.name}`",
            helps=(f"samples/{workload.sample} serves the protocol and has the map",),
        )
    return Binding({}, op.name, op.number, "", "")


def _by_name(program: Program, workload: Workload) -> Binding | None:
    slots = {slot.name: slot for slot in program.slots}
    maps = {spec.name for spec in program.maps} | {""}
    first = slots.get(workload.roles[0].name)
    if first is None or any(role.name not in slots for role in workload.roles):
        return None
    if workload.argument_map not in maps or workload.result_map not in maps:
        return None
    op = next((op for op in first.protocol.ops if op.number == workload.plan.steps[0].op), None)
    if op is None:
        return None
    names = {role.name: role.name for role in workload.roles}
    return Binding(names, op.name, op.number, workload.argument_map, workload.result_map)


def _by_shape(program: Program, workload: Workload) -> Binding:
    longest = max(role.reply_bytes for role in workload.roles)
    reads = [(slot, op) for slot in program.slots for op in slot.protocol.ops if _reads(slot, op, longest)]
    maps = [spec for spec in program.maps if _arguments(spec)]
    if len(workload.roles) != 1 or workload.result_map or len(reads) != 1 or len(maps) != 1:
        raise fail(
            "G0841",
            f"the graft `{program.name}` does not fit the workload `{workload.name}`",
            notes=(
                f"needed: one operation that takes a u64 and returns up to {longest} bytes; found {len(reads)}",
                f"needed: one map hash<u64, u64, N> that takes the arguments by tag; found {len(maps)}",
                f"or slots {', '.join(role.name for role in workload.roles)} and maps as in samples/{workload.sample}",
            ),
            helps=(f"samples/{workload.sample} has all of it",),
        )
    slot, op = reads[0]
    return Binding({workload.roles[0].name: slot.name}, op.name, op.number, maps[0].name, "")


def _reads(slot: SlotSpec, op: OpSpec, block_bytes: int) -> bool:
    return slot.send and op.request_min <= U64_BYTES <= op.request_max and 0 < op.reply_bytes <= block_bytes


def _arguments(spec: MapSpec) -> bool:
    return spec.kind is MapKind.HASH and spec.key_size == spec.value_size == U64_BYTES and not spec.is_data
