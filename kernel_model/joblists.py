"""Jobs: what a client has to do, from numpy arrays to rows that the model works through without Python."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from grafting.diagnostics import fail
from grafting.program import MapSpec
from kernel_model.core import tables
from kernel_model.core.storage import Storage
from kernel_model.core.tables import NEVER, NONE
from kernel_model.handles import Attachment, Client, Endpoint, Jobs, Target, Times
from kernel_model.suggestions import meant

if TYPE_CHECKING:
    from kernel_model.kernel import Kernel

PS = 1000  # in a nanosecond
WORD_BYTES = 8


def add_jobs(
    kernel: Kernel,
    client: Client,
    *,
    slot: str | Target | Sequence[Target],
    bodies: npt.NDArray[Any] | bytes,
    op: str | int,
    graft: Attachment | None,
    count: int | None,
    tags: npt.NDArray[np.uint64] | None,
    map: str | None,
    keys: npt.NDArray[np.uint64] | None,
    values: npt.NDArray[Any] | None,
    result: str | None,
    arrivals_ns: npt.NDArray[Any] | None,
    think_ns: Times,
    prepare_ns: float,
    patience_ns: float | None,
) -> Jobs:
    """Append jobs to those of a client; see `Kernel.jobs`."""
    data, n = bodies_of(bodies, count)
    targets = slot if isinstance(slot, Sequence) and not isinstance(slot, str) else (slot,)
    turns = [destination(kernel, client.row, graft, target, op) for target in targets]
    first = kernel.storage.add(
        "job",
        n,
        next=NONE,
        owner=client.row,
        op=turns[0][1],
        length=data.shape[1],
        map=NONE,
        result=NONE,
        arrival=NONE,
        finished=NONE,
        outcome=tables.NO_OUTCOME,
        stream=NONE,
    )
    rows = kernel.tables.job[first : first + n]
    rows["tag"] = _column(tags, n, "tags") if tags is not None else np.arange(first, first + n)
    for turn, (capability, _) in enumerate(turns):
        rows["capability"][turn :: len(turns)] = capability
    rows["next"][:-1] = np.arange(first + 1, first + n)
    rows["body"] = lay_out(kernel.storage, data, n)
    rows["key"] = rows["tag"] if keys is None else _column(keys, n, "keys")
    if map is not None:
        rows["map"], spec = map_of(graft, map)
        given = np.zeros((1, spec.value_size), np.uint8) if values is None else values_of(values, n, spec)
        rows = kernel.tables.job[first : first + n]
        rows["value"] = lay_out(kernel.storage, given, n)
    if result is not None:
        rows["result"], _ = map_of(graft, result)
    if arrivals_ns is not None:
        rows["arrival"] = np.round(_column(arrivals_ns, n, "arrivals_ns").astype(np.float64) * PS).astype(np.int64)
    if tags is not None or kernel.own_tags:
        kernel.own_tags = True
        _unique_tags(kernel)
    process = kernel.tables.process[client.row]
    process["think"] = NONE if think_ns == 0 else kernel.distribution(think_ns)
    process["prepare"] = round(prepare_ns * PS)
    process["patience"] = NEVER if patience_ns is None else round(patience_ns * PS)
    if process["job_next"] == NONE:
        process["job_next"] = first
    else:
        kernel.tables.job[process["job_last"]]["next"] = first
    process["job_last"] = first + n - 1
    kernel.tables.meter[0]["jobs_open"] += n
    return Jobs(kernel, client, first, n)


def destination(
    kernel: Kernel, client: int, graft: Attachment | None, slot: str | Target, op: str | int
) -> tuple[int, int]:
    """Return a client's capability and the number of the operation that `slot` and `op` name."""
    if isinstance(slot, str):
        if graft is None or slot not in graft.slots:
            known = () if graft is None else tuple(graft.slots)
            raise fail("G0802", f"no graft with a slot `{slot}` was given", helps=meant(slot, known))
        target: Target = Endpoint(slot, int(kernel.tables.capability[graft.slots[slot]]["endpoint"]))
        protocol = next(s.protocol for s in graft.program.slots if s.name == slot)
        if isinstance(op, str):
            found = protocol.op(op)
            if found is None:
                names = [known.name for known in protocol.ops]
                raise fail("G0806", f"protocol `{protocol.name}` has no operation `{op}`", helps=meant(op, names))
            op = found.number
    else:
        target = slot
    if isinstance(op, str):
        raise fail("G0806", f"operation `{op}` needs a slot of a graft to be looked up in; give its number")
    if isinstance(slot, str) and graft is not None and graft.process.row == client:
        return graft.slots[slot], op
    return kernel.capability(target, client), op


def map_of(graft: Attachment | None, name: str) -> tuple[int, MapSpec]:
    """Return the number and the spec of a graft's map, by which jobs can be told apart."""
    names = [spec.name for spec in graft.program.maps] if graft else []
    if graft is None or name not in names:
        raise fail("G0802", f"no graft with a map `{name}` was given", helps=meant(name, names))
    spec = graft.program.maps[names.index(name)]
    if spec.key_size > WORD_BYTES:
        raise fail("G0806", f"jobs use maps whose keys have up to 8 bytes; those of `{name}` have {spec.key_size}")
    return graft.placement.map_base + names.index(name), spec


def values_of(values: npt.NDArray[Any], n: int, spec: MapSpec) -> npt.NDArray[np.uint8]:
    """Return the arguments as rows of bytes that fit the map."""
    if values.dtype == np.uint8 and values.ndim == 2:
        if values.shape != (n, spec.value_size):
            raise fail("G0806", f"`values` has the shape {values.shape}; {n} jobs have {spec.value_size} bytes each")
        return values
    if spec.value_size > WORD_BYTES:
        raise fail("G0806", f"`{spec.name}` has values of {spec.value_size} bytes: give them as uint8 (N, bytes)")
    column = _column(values, n, "values")
    return column.astype("<i8").view(np.uint8).reshape(n, WORD_BYTES)


def _unique_tags(kernel: Kernel) -> None:
    tags = kernel.tables.job["tag"][: kernel.storage.used["job"]]
    if len(np.unique(tags)) != len(tags):
        raise fail("G0810", "two jobs have the same tag", notes=("tags tell the jobs of a kernel apart",))


def bodies_of(bodies: npt.NDArray[Any] | bytes, count: int | None) -> tuple[npt.NDArray[np.uint8], int]:
    """Return the bodies as rows of bytes (one row: the same for all), and how many jobs there are."""
    if isinstance(bodies, bytes):
        return np.frombuffer(bodies, np.uint8).reshape(1, -1), 1 if count is None else _positive(count)
    if bodies.dtype == np.uint64 and bodies.ndim == 1:
        data = bodies.astype("<u8").view(np.uint8).reshape(len(bodies), WORD_BYTES)
    elif bodies.dtype == np.uint8 and bodies.ndim == 2:
        data = bodies
    else:
        raise fail("G0806", f"bodies are uint64 (N,) or uint8 (N, length), not {bodies.dtype} {bodies.shape}")
    if count is not None and count != len(data):
        raise fail("G0806", f"{len(data)} bodies for {count} jobs")
    return data, _positive(len(data))


def _positive(count: int) -> int:
    if count < 1:
        raise fail("G0806", "there must be at least one job")
    return count


def lay_out(storage: Storage, data: npt.NDArray[np.uint8], n: int) -> npt.NDArray[np.int64] | int:
    """Store the bodies, each at a multiple of 8, and return where they are."""
    stride = -(-data.shape[1] // WORD_BYTES) * WORD_BYTES
    at = storage.allocate(stride * len(data))
    rows = storage.tables.arena[at : at + stride * len(data)].reshape(len(data), stride)
    rows[:, : data.shape[1]] = data
    return at if len(data) == 1 else at + stride * np.arange(n)


def _column(values: Any, n: int, name: str) -> npt.NDArray[np.int64]:
    array = np.asarray(values)
    if array.shape != (n,):
        raise fail("G0806", f"`{name}` has the shape {array.shape}, there are {n} jobs")
    return array.astype(np.uint64).view(np.int64) if array.dtype == np.uint64 else array
