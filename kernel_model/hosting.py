"""Processes written in Python: a generator that says what it does next, resumed each time it has the core.

    def program(kernel, me):
        answer = yield call(disk, 0, b"...")          # Completion; -errno as an int if the kernel would not take it
        yield compute(500)                            # ns of user time, charged
        status = yield submit(disk, 0, b"...", tag=7) # 0 or -errno
        done = yield wait(1)                          # [Completion, ...]
        yield sleep(1000)                             # ns

    def server(kernel, me):
        request = yield receive()                     # Request, or None if it was cancelled meanwhile
        while True:
            yield compute(100)
            request = yield reply(request, b"...")    # and receives the next

Only what is yielded costs anything. A generator that returns ends its process.

The timeout handler of a passive server is an `except DonorExhausted` around its yields:

    try:
        yield compute(500)
    except DonorExhausted as lost:                    # the sender's budget is gone, and he has been told `timed_out`
        undo(lost.request)                            # from here on the server's own context pays
        request = yield receive()
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kernel_model.handles import Endpoint, Process, Server, Times
    from kernel_model.kernel import Kernel


@dataclass(frozen=True, slots=True)
class Completion:
    """How an operation ended. `outcome` is one of `core.tables.OUTCOMES`, `status` 0 or a negated errno."""

    tag: int
    outcome: str
    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Request:
    """What a server has received; it holds the reply right until it replies."""

    tag: int
    op: int
    badge: int
    body: bytes


class DonorExhausted(Exception):
    """The scheduling context on which a passive server worked is used up; `request` is lost. See `core.budgets`."""

    def __init__(self, request: Request) -> None:
        super().__init__(f"the sender of request {request.tag} is out of budget")
        self.request = request


@dataclass(frozen=True, slots=True)
class Compute:
    """Work for `ns` of user time."""

    ns: int


@dataclass(frozen=True, slots=True)
class Call:
    """Call and wait for the answer. `deadline_ns` from now, 0: none."""

    to: Endpoint | Server
    op: int
    body: bytes
    tag: int
    deadline_ns: int


@dataclass(frozen=True, slots=True)
class Submit:
    """Submit an operation; its completion comes to the queue."""

    to: Endpoint | Server
    op: int
    body: bytes
    tag: int
    deadline_ns: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait for `count` completions, at most `timeout_ns` (None: for ever), and take all that are there."""

    count: int
    timeout_ns: int | None


@dataclass(frozen=True, slots=True)
class Sleep:
    """Sleep for `ns`."""

    ns: int


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel the oldest request with this tag."""

    tag: int


@dataclass(frozen=True, slots=True)
class Receive:
    """Receive a request at the process's endpoint."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Reply to the request in hand and, if `receive`, wait for the next."""

    body: bytes
    status: int
    receive: bool


@dataclass(frozen=True, slots=True)
class Think:
    """Scripts only: work for a random time."""

    times: Times


@dataclass(frozen=True, slots=True)
class Jump:
    """Scripts only: go on at row `to`, `times` times (0: always), then fall through."""

    to: int
    times: int = 0


Action = Compute | Call | Submit | Wait | Sleep | Cancel | Receive | Reply
Row = Action | Think | Jump
Script = Generator[Action, Any, None]
Program = Callable[["Kernel", "Process"], Script]


def compute(ns: int) -> Compute:
    """Work for `ns` of user time."""
    return Compute(ns)


def call(to: Endpoint | Server, op: int = 0, body: bytes = b"", *, tag: int = 0, deadline_ns: int = 0) -> Call:
    """Call; yields a Completion, or a negated errno."""
    return Call(to, op, body, tag, deadline_ns)


def submit(to: Endpoint | Server, op: int = 0, body: bytes = b"", *, tag: int = 0, deadline_ns: int = 0) -> Submit:
    """Submit asynchronously; yields 0 or a negated errno."""
    return Submit(to, op, body, tag, deadline_ns)


def wait(count: int = 1, *, timeout_ns: int | None = None) -> Wait:
    """Wait for completions; yields the list of all that are there."""
    return Wait(count, timeout_ns)


def sleep(ns: int) -> Sleep:
    """Sleep."""
    return Sleep(ns)


def cancel(tag: int) -> Cancel:
    """Cancel a request; yields 0 or -ENOENT."""
    return Cancel(tag)


def receive() -> Receive:
    """Receive; yields a Request."""
    return Receive()


def reply(body: bytes = b"", *, status: int = 0, receive: bool = True) -> Reply:
    """Reply to the request in hand; yields the next Request, or None if `receive` is False."""
    return Reply(body, status, receive)
