"""What a server does: operations by number over its own data, service times, injected failures.

    store = Store(blocks, 512)                                   # bytes, in blocks
    disk = kernel.server("disk", ops={0: Read(store), 1: Write(store)}, work_ns=Exponential(800),
                         faults=Faults(failed=0.01))

An operation is an *act* on a store, or a constant reply. `answer` of an act says in plain Python what the reply is; the
compiled servers (`core.servers`) do the same, which tests compare. A store belongs to the servers that were given it:
whoever writes to it writes for all of them, and what it holds after a run is `kernel.stored(store)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from grafting.diagnostics import fail
from kernel_model.core import servers
from kernel_model.core.tables import EINVAL, ENOSPC, NONE

if TYPE_CHECKING:
    from kernel_model.handles import Attachment, Server, Times
    from kernel_model.kernel import Kernel

EIO: Final = 5
INDEX_BYTES: Final = 8
DRAWS: Final = 4294967087  # how many different numbers `core.chance.draw` returns
PS: Final = 1000


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answers: status 0 or a negated errno, and a body."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Store:
    """Blocks of `block` bytes; `data` is what they hold at the start. Two stores are never the same memory."""

    data: bytes
    block: int

    @property
    def blocks(self) -> int:
        """How many there are."""
        return len(self.data) // self.block


@dataclass(frozen=True, slots=True)
class Read:
    """The reply is the block whose number is the u64 at the beginning of the request; -EINVAL if there is none."""

    store: Store

    def answer(self, body: bytes) -> Reply:
        """Return the reply, by what the store holds at the start."""
        at = int.from_bytes(body[:INDEX_BYTES], "little") * self.store.block
        if len(body) < INDEX_BYTES or at >= self.store.blocks * self.store.block:
            return Reply(-EINVAL, b"")
        return Reply(0, self.store.data[at : at + self.store.block])

    @property
    def reply_bytes(self) -> int:
        """The longest reply."""
        return self.store.block


@dataclass(frozen=True, slots=True)
class Write:
    """The request is a block that begins with its own number, and is put there; the reply is that number."""

    store: Store

    def answer(self, body: bytes) -> Reply:
        """Return the reply."""
        number = int.from_bytes(body[:INDEX_BYTES], "little")
        if not INDEX_BYTES <= len(body) <= self.store.block or number >= self.store.blocks:
            return Reply(-EINVAL, b"")
        return Reply(0, body[:INDEX_BYTES])

    @property
    def reply_bytes(self) -> int:
        """The longest reply."""
        return INDEX_BYTES


@dataclass(frozen=True, slots=True)
class Append:
    """The request is put into the next free block of the store, and `ack` is the reply; -ENOSPC when it is full."""

    store: Store
    ack: bytes

    def answer(self, body: bytes) -> Reply:
        """Return the reply while there is room."""
        return Reply(0, self.ack) if len(body) <= self.store.block else Reply(-ENOSPC, b"")

    @property
    def reply_bytes(self) -> int:
        """The longest reply."""
        return len(self.ack)


@dataclass(frozen=True, slots=True)
class Constant:
    """The reply is always the same."""

    body: bytes

    def answer(self, body: bytes) -> Reply:
        """Return the reply."""
        return Reply(0, self.body)

    @property
    def reply_bytes(self) -> int:
        """The longest reply."""
        return len(self.body)


Act = Read | Write | Append | Constant


@dataclass(frozen=True, slots=True)
class Faults:
    """Injected failures: the share `failed` of the requests ends with `status` and no effect; of the other replies the
    share `short` is cut to `short_bytes`. Drawn from the server's own random stream."""

    failed: float = 0.0
    status: int = -EIO
    short: float = 0.0
    short_bytes: int = 0


NO_FAULTS: Final = Faults()


def add_service(
    kernel: Kernel, name: str, ops: Mapping[int, Act], work_ns: Times, device_ns: Times, faults: Faults
) -> int:
    """Return a new row of `k.service` for these operations; the only one of number -1 stands for every number.

    Raises GraftError G0801 for operations, blocks or shares that cannot be.
    """
    _check(name, ops, faults)
    every = -1 in ops
    rows = 1 if every else max(ops) + 1
    first = kernel.storage.add("row", rows, op=servers.A_NOTHING)
    written = {act.store for act in ops.values() if isinstance(act, Write | Append)}
    for number, act in ops.items():
        fields = _row(kernel, act, written)
        for field, value in fields.items():
            kernel.tables.row[first + max(number, 0)][field] = value
    return kernel.storage.add(
        "service",
        acts=first,
        ops=0 if every else rows,
        work=kernel.distribution(work_ns),
        device=NONE if device_ns == 0 else kernel.distribution(device_ns),
        fail_rate=round(faults.failed * DRAWS),
        fail_status=faults.status,
        short_rate=round(faults.short * DRAWS),
        short_length=faults.short_bytes,
    )


def _check(name: str, ops: Mapping[int, Act], faults: Faults) -> None:
    if not ops or (min(ops) < 0 and len(ops) > 1):
        raise fail("G0801", f"server `{name}`: operations {sorted(ops)}")
    for act in ops.values():
        if not isinstance(act, Constant):
            store = act.store
            if store.block < INDEX_BYTES or store.block % INDEX_BYTES or store.blocks < 1:
                raise fail("G0801", f"server `{name}`: blocks of {store.block} bytes out of {len(store.data)}")
    if not (0 <= faults.failed <= 1 and 0 <= faults.short <= 1 and faults.status < 0 <= faults.short_bytes):
        raise fail("G0801", f"server `{name}`: {faults}")


def _row(kernel: Kernel, act: Act, written: set[Store]) -> dict[str, int]:
    """Return the fields of the act's row (`core.servers`)."""
    if isinstance(act, Constant):
        return {"op": servers.A_CONSTANT, "a": kernel.storage.store(act.body), "b": len(act.body)}
    shared = act.store not in written
    fields = {"a": kernel.place_store(act.store, shared), "b": act.store.block, "c": act.store.blocks}
    match act:
        case Read():
            return {**fields, "op": servers.A_READ, "d": NONE, "e": int(not shared)}
        case Write():
            return {**fields, "op": servers.A_WRITE}
        case Append(_, ack):
            return {**fields, "op": servers.A_APPEND, "d": 0, "e": kernel.storage.store(ack), "f": len(ack)}


def keep_reads(kernel: Kernel, server: Server, graft: Attachment, name: str, op: int) -> None:
    """Let `server` put what it reads with operation `op` into a map of `graft`; see `Kernel.keep_reads`."""
    spec = next((spec for spec in graft.program.maps if spec.name == name), None)
    service = kernel.tables.service[kernel.tables.process[server.row]["row"]]
    act = kernel.tables.row[service["acts"] + (op if service["ops"] else 0)]
    if spec is None or act["op"] != servers.A_READ:
        raise fail("G0802", f"`{graft.program.name}` has no map `{name}` for what `{server.name}` reads")
    if spec.key_size != INDEX_BYTES or spec.value_size != act["b"]:
        raise fail("G0806", f"map `{name}` does not hold blocks of {act['b']} bytes by a u64")
    act["d"] = graft.placement.map_base + list(graft.program.maps).index(spec)
