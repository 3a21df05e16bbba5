"""Groups of clients, streams of operations, recorded latencies: models of a million clients and a hundred million
operations.

A group is made at once and its clients share one account and, as threads of one capability space do, the capabilities
of the first; so a client costs its row, its queues and what it has in flight, and no Python object. A stream
(`core.streams`) gives clients operations without a row for each, a recording (`core.recording`) keeps the distribution
of their latencies in constant memory:

    users = kernel.clients("user", 1_000_000)
    kernel.stream(users, slot=disk, bodies=bytes(8), operations=100_000_000, think_ns=Exponential(1e9))
    latency = kernel.record(users, after_ns=5e6)
    users.run()
    kernel.run()
    latency.histogram.percentile(0.99)
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from grafting.diagnostics import fail
from kernel_model.core import chance, tables
from kernel_model.core.tables import NONE
from kernel_model.handles import Attachment, Client, Target, Times
from kernel_model.joblists import bodies_of, destination, lay_out, map_of, values_of
from kernel_model.results.statistics import Histogram

if TYPE_CHECKING:
    from kernel_model.kernel import Kernel

PS = 1000  # in a nanosecond
_DIGIT = 40  # bits of the low word of a sum, see `core.recording`
_FIRST_TAG = 1 << 40  # of streams: the tags of jobs are the numbers of their rows
_TAGS = 1 << 36  # of each stream


@dataclass(frozen=True, slots=True, eq=False)
class Clients:
    """`count` equal clients whose rows follow one another; their account has the group's name."""

    kernel: Kernel
    name: str
    row: int
    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Client:
        if not 0 <= index < self.count:
            raise IndexError(index)
        return Client(self.kernel, f"{self.name}/{index}", self.row + index)

    def run(self, *, depth: int | None = None) -> None:
        """Let all begin when the model runs next: by calls, or with up to `depth` operations submitted."""
        process = self.kernel.tables.process[self.row : self.row + self.count]
        if depth is not None and not 1 <= depth <= process["cq_capacity"][0]:
            raise fail("G0801", f"a depth of {depth} for clients with {process['cq_capacity'][0]} completions")
        process["depth"] = 0 if depth is None else depth
        process["wanted"] = 1
        self.kernel.start_rows(range(self.row, self.row + self.count))


def add_clients(kernel: Kernel, name: str, count: int, row: int) -> Clients:
    """Make the group whose first process is `row`, of `count` made at once: each has its own random numbers."""
    words = chance.seeds_of(kernel.seed, row, count)
    for index in range(words.shape[1]):
        kernel.tables.process[f"r{index}"][row : row + count] = words[:, index]
    return Clients(kernel, name, row, count)


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """Operations that clients share."""

    kernel: Kernel
    row: int

    @property
    def begun(self) -> int:
        """How many have been given to a client so far."""
        return int(self.kernel.tables.stream[self.row]["begun"])


def add_stream(
    kernel: Kernel,
    clients: Client | Clients,
    *,
    slot: str | Target,
    bodies: npt.NDArray[Any] | bytes,
    operations: int,
    op: str | int,
    graft: Attachment | None,
    map: str | None,
    values: npt.NDArray[Any] | None,
    think_ns: Times,
    interval_ns: Times | None,
    prepare_ns: float,
    in_flight: int,
) -> Stream:
    """Give clients a stream; see `Kernel.stream`."""
    data, _ = bodies_of(bodies, None)
    first, many = (clients.row, clients.count) if isinstance(clients, Clients) else (clients.row, 1)
    capability, number = destination(kernel, first, graft, slot, op)
    process = kernel.tables.process[first : first + many]
    if not 1 <= operations < _TAGS or in_flight < 1:
        raise fail("G0801", f"a stream of {operations} operations, {in_flight} in flight for each client")
    if (process["job_next"] != NONE).any():
        raise fail("G0801", "clients with jobs cannot share a stream", helps=("give it to other clients",))
    stride = -(-data.shape[1] // 8) * 8
    body = int(np.min(lay_out(kernel.storage, data, len(data))))
    number_of_map, arguments, at = NONE, np.zeros((1, 0), np.uint8), 0
    if map is not None:
        number_of_map, spec = map_of(graft, map)
        given = np.zeros(1, np.uint64) if values is None else values
        arguments = values_of(given, len(given), spec)
        at = int(np.min(lay_out(kernel.storage, arguments, len(arguments))))
    argument_stride = -(-arguments.shape[1] // 8) * 8
    stream = kernel.storage.add("stream")
    tag = _FIRST_TAG + stream * _TAGS
    n = min(operations, many * in_flight)
    kernel.tables.stream[stream] = (
        operations, n, tag, body, len(data), stride, at, len(arguments), argument_stride,
        NONE if interval_ns is None else kernel.distribution(interval_ns), kernel.now_ps,
    )  # fmt: skip
    job = kernel.storage.add(
        "job", n, capability=capability, op=number, length=data.shape[1], arrival=NONE,
        finished=NONE, outcome=tables.NO_OUTCOME, stream=stream, next=NONE, map=number_of_map, result=NONE,
    )  # fmt: skip
    rows, index = kernel.tables.job[job : job + n], np.arange(n)
    rows["tag"] = rows["key"] = tag + index
    rows["body"] = body + index % len(data) * stride
    rows["value"] = at + index % len(arguments) * argument_stride
    rows["owner"] = first + index % many
    rows["next"][: max(n - many, 0)] = job + index[many:]  # each client's rows are `many` apart
    process["job_next"][: min(n, many)] = job + index[:many]
    process["job_last"][: min(n, many)] = job + n - 1 - (n - 1 - index[:many]) % many
    process["think"] = NONE if think_ns == 0 else kernel.distribution(think_ns)
    process["prepare"] = round(prepare_ns * PS)
    kernel.tables.meter[0]["jobs_open"] += n
    return Stream(kernel, stream)


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """Latencies of operations, recorded while the model runs."""

    kernel: Kernel
    row: int

    @property
    def histogram(self) -> Histogram:
        """The distribution so far, ps: percentiles at most 2^-7 too high, all else exact."""
        recorder = self.kernel.tables.recorder[self.row]
        counts = self.kernel.tables.histogram[self.row]
        if recorder["count"] == 0:
            return Histogram()
        return Histogram(
            Counter({int(bucket): int(counts[bucket]) for bucket in np.flatnonzero(counts)}),
            int(recorder["count"]),
            (int(recorder["total_high"]) << _DIGIT) + int(recorder["total_low"]),
            int(recorder["minimum"]),
            int(recorder["maximum"]),
        )

    @property
    def others(self) -> int:
        """How many operations ended otherwise than `replied`; they are not in the histogram."""
        return int(self.kernel.tables.recorder[self.row]["others"])


def add_recording(kernel: Kernel, clients: tuple[Client | Clients, ...], after_ns: float) -> Recording:
    """Record the latencies of clients together; see `Kernel.record`."""
    row = kernel.storage.add_recorder(round(after_ns * PS))
    for one in clients:
        many = one.count if isinstance(one, Clients) else 1
        kernel.tables.process["recorder"][one.row : one.row + many] = row
    return Recording(kernel, row)
