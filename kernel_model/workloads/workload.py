"""What is to be done, independent of how: the input that every mechanism compiles.

A workload is a number of equal *operations*. An operation begins with one request of the client, and each reply may
lead to a further one, `steps` requests in all; what follows from a reply is what the graft's handler says (its `Flow`
tells which fixed mechanisms could do the same). Nothing here names a mechanism, a price or a core table.

    Workload = operations x steps x flow        what is asked
             + image, service time              what the servers do for each request
             + arrivals                         when operations begin
             + topology                         who the servers are and where they run

The **topology** decides more than any other parameter, so it is part of every result: with one server the rival
`server` needs a single round trip whatever the depth; with a server per step each hop still enters and switches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from grafting.diagnostics import fail
from grafting.program import MapKind, MapSpec, OpSpec, Program, SlotSpec

U64_BYTES = 8


class Flow(Enum):
    """How the next request follows from a reply."""

    COMPUTED = "computed"  # by code that looks at the reply: needs a program somewhere
    UNCHANGED = "unchanged"  # bytes of the reply are passed on as they are
    INDEPENDENT = "independent"  # it does not


class Servers(Enum):
    """Who answers."""

    ONE = "one"  # a single process answers every step
    EACH = "each"  # a process for each step, taking turns at one endpoint


class Core(Enum):
    """Where the servers run, seen from the client."""

    SAME = "same"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Topology:
    """Who the servers are and where they run."""

    servers: Servers = Servers.ONE
    core: Core = Core.SAME

    def processes(self, steps: int) -> int:
        """How many server processes a workload of `steps` steps has."""
        return 1 if self.servers is Servers.ONE else steps

    @property
    def name(self) -> str:
        """The short form that `topology` reads: "one", "each", "one/other", "each/other"."""
        return self.servers.value + ("" if self.core is Core.SAME else "/other")

    def __str__(self) -> str:
        servers = "one server" if self.servers is Servers.ONE else "a server per level"
        return f"{servers}, {self.core.value} core"


TOPOLOGIES = tuple(Topology(servers, core) for core in Core for servers in Servers)
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
    """Arrivals of a closed loop: the next operation begins `think_ns` after the last one ended."""

    think_ns: int = 0

    def __str__(self) -> str:
        return f"closed loop, think time {self.think_ns} ns"


@dataclass(frozen=True, slots=True, eq=False)
class Operations:
    """All operations of a run, one an index: the first request's body (u64), and a value to store in the graft's map
    under the operation's tag before it is submitted."""

    first: NDArray[np.uint64]
    values: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.first)


Check = Callable[[int, bytes], str | None]
"""(index of the operation, body of its final reply) -> None, or what is wrong with the answer."""


@dataclass(frozen=True, slots=True, eq=False)
class Workload:
    """See the module. `image` is what the servers read, `block_bytes` a reply; `service_ns` of work for each request.

    `check` judges each operation's answer against the data that the image was made from.
    """

    name: str
    data: str
    steps: int
    flow: Flow
    operations: Operations
    image: bytes
    block_bytes: int
    service_ns: int
    arrivals: Closed
    topology: Topology
    check: Check


@dataclass(frozen=True, slots=True)
class Binding:
    """Where a workload meets a graft: the slot and the operation of its requests, the map that holds its arguments."""

    slot: str
    op: str
    op_number: int
    map: str


def bind(program: Program, block_bytes: int) -> Binding:
    """Find the slot, operation and map of `program` that a workload of block reads can use.

    That is the only slot with an operation of one u64 whose reply fits into a block, and the only hash map from u64 to
    u64. Raises GraftError G0841 if there is none, or more than one.
    """
    reads = [(slot, op) for slot in program.slots for op in slot.protocol.ops if _reads(slot, op, block_bytes)]
    maps = [spec for spec in program.maps if _arguments(spec)]
    if len(reads) != 1 or len(maps) != 1:
        raise fail(
            "G0841",
            f"the graft `{program.name}` does not fit this workload",
            notes=(
                f"needed: one operation that takes a u64 and returns up to {block_bytes} bytes; found {len(reads)}",
                f"needed: one map hash<u64, u64, N> that takes the arguments by tag; found {len(maps)}",
            ),
            helps=("samples/btree_lookup.graft has both",),
        )
    slot, op = reads[0]
    return Binding(slot.name, op.name, op.number, maps[0].name)


def _reads(slot: SlotSpec, op: OpSpec, block_bytes: int) -> bool:
    return slot.send and op.request_min <= U64_BYTES <= op.request_max and 0 < op.reply_bytes <= block_bytes


def _arguments(spec: MapSpec) -> bool:
    return spec.kind is MapKind.HASH and spec.key_size == spec.value_size == U64_BYTES and not spec.is_data
