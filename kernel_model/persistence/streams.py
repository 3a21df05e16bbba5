"""Streams in a snapshot: operations that clients have yet to begin, described once and shared as before.

A stream is plain state: how many operations there are and have begun, the bodies and arguments that are used in turn,
the clock of an open loop. It is written down with the first of its clients, under a number; each client says which of
its jobs go on with which stream. All clients of a stream are saved together, or none: an operation that another takes
outside would be done twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from grafting import limits
from grafting.diagnostics import fail
from kernel_model.core.tables import NONE, Tables
from kernel_model.persistence.snapshot import Made

if TYPE_CHECKING:
    from kernel_model.kernel import Kernel

BLOCKS = (("bodies", "body_count", "body_stride"), ("values", "value_count", "value_stride"))


class StreamDescriber:
    """Describes the streams of one application."""

    def __init__(self, kernel: Kernel, processes: Iterable[int], job_name: Callable[[int], str | None]) -> None:
        self.k: Tables = kernel.tables
        self.now = kernel.now_ps
        self.jobs = self.k.job[: kernel.storage.used["job"]]
        self.processes, self.job_name = frozenset(processes), job_name
        self.numbers: dict[int, int] = {}

    def is_shared_outside(self, process: int) -> bool:
        """Whether a stream of this process is also of one that is not saved."""
        streams = self._streams(process)
        of = np.isin(self.jobs["stream"], streams) & (self.jobs["stream"] != NONE)
        return not {int(owner) for owner in self.jobs["owner"][of]} <= self.processes

    def _streams(self, process: int) -> list[int]:
        mine = self.jobs["stream"][self.jobs["owner"] == process]
        return sorted({int(stream) for stream in mine if stream != NONE})

    def describe(self, process: int, times: Callable[[int], list[Any] | None]) -> dict[str, Any]:
        """Return the streams of a process that were not described yet, and the stream of each of its jobs."""
        described = []
        for stream in self._streams(process):
            if stream not in self.numbers:
                self.numbers[stream] = len(self.numbers)
                described.append(self._stream(stream, times))
        rows = np.flatnonzero((self.jobs["owner"] == process) & (self.jobs["stream"] != NONE))
        return {
            "new": described,
            "of": {str(self.job_name(int(j))): self.numbers[int(self.jobs["stream"][j])] for j in rows},
        }

    def _stream(self, row: int, times: Callable[[int], list[Any] | None]) -> dict[str, Any]:
        stream = self.k.stream[row]
        found: dict[str, Any] = {name: int(stream[name]) for name in ("operations", "begun", "tag")}
        for at, count, stride in BLOCKS:
            size = int(stream[count]) * int(stream[stride])
            found[at] = [int(stream[count]), self.k.arena[int(stream[at]) : int(stream[at]) + size].tobytes().hex()]
        found["interval"] = times(int(stream["interval"]))
        found["clock"] = int(stream["clock"]) - self.now
        return found


def make_streams(
    kernel: Kernel, processes: Iterable[Made], jobs: Mapping[str, int], interval: Callable[[Any], int]
) -> None:
    """Make the streams of an application and let its jobs go on with them. Raises GraftError G0872."""
    made: list[int] = []
    for part in processes:
        given = part.arguments.get("streams")
        try:
            for described in () if given is None else given["new"]:
                made.append(_make(kernel, described, interval))
            for name, number in {} if given is None else given["of"].items():
                kernel.tables.job[jobs[name]]["stream"] = made[range(len(made))[number]]
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise fail("G0872", f"`{part.name}` has streams such as there are none: {error!r}") from error


def _make(kernel: Kernel, described: Mapping[str, Any], interval: Callable[[Any], int]) -> int:
    """Make one stream; return its row."""
    operations, begun = described["operations"], described["begun"]
    if not 0 <= begun <= operations < 1 << 40 or not abs(described["tag"]) < 1 << 62:
        raise ValueError(f"{begun} of {operations} operations have begun")
    row: dict[str, int] = {"operations": operations, "begun": begun, "tag": described["tag"]}
    for at, count, stride in BLOCKS:
        number, data = described[at][0], bytes.fromhex(described[at][1])
        if number < 1 or len(data) % (8 * number) != 0:
            raise ValueError(f"{len(data)} bytes for {number} {at}")
        kernel.storage.grow()
        row[at], row[count], row[stride] = kernel.storage.store(data), number, len(data) // number
        if row[stride] > limits.BODY_BYTES:
            raise ValueError("longer than any body")
    row["interval"] = NONE if described["interval"] is None else interval(described["interval"])
    if not abs(described["clock"]) < 1 << 60:
        raise ValueError("a clock that is not of this world")
    row["clock"] = kernel.now_ps + described["clock"]
    return kernel.storage.add("stream", **row)
