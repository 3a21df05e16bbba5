"""What a user of the model holds: small values that name rows of the kernel's tables. The kernel does the work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from grafting.program import Program
from jit.machine import Placement
from kernel_model.core import tables

if TYPE_CHECKING:
    from kernel_model.kernel import Kernel
    from verifier import Verified

Mode = Literal["call", "submit", "rings", "polled", "linked", "direct"]
RESULT = np.dtype([
    ("tag", np.uint64), ("arrival", np.int64), ("submitted", np.int64), ("finished", np.int64), ("outcome", np.int64),
    ("status", np.int64), ("body", np.int64), ("length", np.int64),
])  # fmt: skip
"""One row a job: times in ps (`finished` -1: not yet), outcome as in `core.tables.OUTCOMES` (-1: none yet), and where
the answer lies in `kernel.arena`."""


@dataclass(frozen=True, slots=True)
class Exponential:
    """A distribution of times with this mean, ns."""

    mean_ns: float


@dataclass(frozen=True, slots=True)
class Uniform:
    """A distribution of times, ns, every picosecond from `low_ns` to `high_ns` equally likely."""

    low_ns: float
    high_ns: float


Times = int | float | Exponential | Uniform


@dataclass(frozen=True, slots=True, eq=False)
class Endpoint:
    """A queue of requests with a name."""

    name: str
    row: int


@dataclass(frozen=True, slots=True)
class Capability:
    """A name of something that a process may send to, reply with, or wait for (`core.capabilities`).

    It is good for the process that holds it. The table's row is given out again once the capability is deleted; `epoch`
    tells the two apart.
    """

    kernel: Kernel
    row: int
    epoch: int

    @property
    def _row(self) -> np.void:
        row: np.void = self.kernel.tables.capability[self.row]
        return row

    @property
    def exists(self) -> bool:
        """Whether it has not been deleted, by its holder or with it."""
        return int(self._row["epoch"]) == self.epoch

    @property
    def kind(self) -> str:
        """What it is: `null` (an empty slot), `endpoint`, `reply`, `promise` or `broken`."""
        return tables.KINDS[self._row["kind"]]

    @property
    def alive(self) -> bool:
        """Whether it has not been revoked."""
        return self.exists and bool(self._row["alive"])

    @property
    def badge(self) -> int:
        """The number that receivers see; 0 for none."""
        return int(self._row["badge"]) & (1 << 64) - 1

    @property
    def rights(self) -> frozenset[str]:
        """What it allows: `send`, `grant`."""
        bits = int(self._row["rights"])
        return frozenset(name for bit, name in ((tables.SEND, "send"), (tables.GRANT, "grant")) if bits & bit)


@dataclass(frozen=True, slots=True, eq=False)
class Process:
    """A process of the model; its account has its name."""

    kernel: Kernel
    name: str
    row: int

    @property
    def wakeups(self) -> int:
        """How often it was blocked and made ready again."""
        return int(self.kernel.tables.process[self.row]["wakeups"])


@dataclass(frozen=True, slots=True, eq=False)
class Server(Process):
    """A process that receives at `endpoint` and replies."""

    endpoint: Endpoint


Target = Endpoint | Server | Capability
"""Where one can send to; an endpoint or a server stands for the capability to it that the sender holds."""


@dataclass(frozen=True, slots=True, eq=False)
class Client(Process):
    """A process that does jobs (`Kernel.jobs`)."""

    def run(
        self, mode: Mode = "call", depth: int = 1, *, batch: bool = False, wait: int = 1, poller: Process | None = None
    ) -> None:
        """Let it begin its jobs when the model runs next.

        `call`: one after the other, each request a synchronous call. `submit`: up to `depth` jobs in flight,
        asynchronously, submitted one by one or, with `batch`, as many at once as there are. `rings`: the same through
        rings; one system call submits all that there is and waits for `wait` completions, or as many as can come.
        `polled`: the thread `poller` takes the requests from the ring, so only waiting is a system call. `linked`: as
        `rings`, but that the requests are chains (`core.links`), which the client writes by its plan. `direct`: through
        the rings that it shares with servers (`Kernel.connect`); it sleeps for `wait` answers only if these are all.
        """
        self.kernel.start_client(self, mode, depth, batch, wait, poller)


@dataclass(frozen=True, slots=True, eq=False)
class Attachment:
    """A verified graft in its place: attached to a process's events in the kernel, or loaded into its user mode."""

    verified: Verified
    process: Process
    row: int
    in_kernel: bool
    placement: Placement
    slots: Mapping[str, int]  # name -> capability

    @property
    def program(self) -> Program:
        """The program that was verified."""
        return self.verified.program


@dataclass(frozen=True, slots=True, eq=False)
class Jobs:
    """A range of jobs of one client; `first` is the number of the first."""

    kernel: Kernel
    client: Client
    first: int
    count: int

    def __len__(self) -> int:
        return self.count

    def results(self) -> npt.NDArray[np.void]:
        """Return a copy of what has become of the jobs, in order, as an array of `RESULT`."""
        jobs = self.kernel.tables.job[self.first : self.first + self.count]
        out = np.zeros(self.count, RESULT)
        for name in ("arrival", "submitted", "finished", "outcome", "status"):
            out[name] = jobs[name]
        out["tag"] = jobs["tag"].astype(np.uint64)
        out["body"] = jobs["answer"]
        out["length"] = jobs["answer_length"]
        return out


@dataclass(frozen=True, slots=True)
class CoreBounds:
    """How late things were on one core, ns.

    `longest_section_ns`: the longest time that nothing could interrupt it, from an entry into the kernel to the way
    out, waiting for locks included. `longest_wait_ns`: the longest wait for the lock that it enters with.
    `worst_release_ns`: the longest time from when a thread of the core's highest priority was ready (a timer: due) to
    when it ran.
    """

    longest_section_ns: float
    longest_wait_ns: float
    worst_release_ns: float


@dataclass(frozen=True, slots=True)
class Statistics:
    """Books and extremes of a whole run so far; times in ns.

    `deferrals`: events left to the continuation of a graft's installer. `missed`: expiries of periodic timers that
    could not run and were skipped. `longest_section_ns` is the longest of all cores; `worst_release_ns` that of threads
    of the highest priority of all.
    """

    now_ns: float
    events: int
    operations_submitted: int
    operations_completed: int
    requests_submitted: int
    requests_ended: int
    late: int
    starved: int
    fallbacks: int
    refused: int
    deferrals: int
    missed: int
    longest_section_ns: float
    worst_release_ns: float
    cores: tuple[CoreBounds, ...]

    @property
    def operations_in_flight(self) -> int:
        """Submitted and not completed."""
        return self.operations_submitted - self.operations_completed

    @property
    def requests_in_flight(self) -> int:
        """Sent and not ended."""
        return self.requests_submitted - self.requests_ended
