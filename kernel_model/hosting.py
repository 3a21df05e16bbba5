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
            request = yield reply(b"...")             # and receives the next

Capabilities go along in `caps=`, by name; `REPLY_RIGHT` there is the right to reply to the request in hand. They land
in as many `slots` as the receiver names, and come as `.caps` of what it gets. Several submissions in one system call,
in which one waits for what another brings, are a `pipeline`:

        yield pipeline(
            submit(directory, OPEN, b"name", promise=file),      # `file` = kernel.slot(me)
            submit(file, READ, bytes(8)),                        # to whatever that brings
            submit(log, WRITE, bytes(8), wires=(Wire(source=1, length=8),)),
        )

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

from kernel_model.linking import Chain

if TYPE_CHECKING:
    from kernel_model.handles import Capability, Process, Target, Times
    from kernel_model.kernel import Kernel


@dataclass(frozen=True, slots=True)
class ReplyRight:
    """Among the capabilities of a message: the right to reply to the request in hand, which moves with it."""


REPLY_RIGHT = ReplyRight()


@dataclass(frozen=True, slots=True)
class Completion:
    """How an operation ended. `outcome` is one of `core.tables.OUTCOMES`, `status` 0 or a negated errno.

    `caps`: what came with the reply, None for a null capability; `truncated`: there was more than slots were named for.
    """

    tag: int
    outcome: str
    status: int
    body: bytes
    caps: tuple[Capability | None, ...] = ()
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """What a server has received; it holds the reply right until it replies."""

    tag: int
    op: int
    badge: int
    body: bytes
    caps: tuple[Capability | None, ...] = ()
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Wire:
    """`length` bytes at `at` of the reply to step `source` of a pipeline are copied to `to` in this argument."""

    source: int
    at: int = 0
    to: int = 0
    length: int = 8


class DonorExhausted(Exception):
    """The scheduling context on which a passive server worked is used up; `request` is lost. See `core.budgets`."""

    def __init__(self, request: Request) -> None:
        super().__init__(f"the sender of request {request.tag} is out of budget")
        self.request = request


@dataclass(frozen=True, slots=True)
class Compute:
    """Work for `ns` of user time."""

    ns: int


Carried = tuple["Capability | ReplyRight", ...]
Route = tuple[tuple["Target", int], ...]


@dataclass(frozen=True, slots=True)
class Call:
    """Call and wait for the answer. `deadline_ns` from now, 0: none."""

    to: Target
    op: int
    body: bytes
    tag: int
    deadline_ns: int
    caps: Carried = ()
    slots: int = 0
    promise: Capability | None = None
    route: Route = ()


@dataclass(frozen=True, slots=True)
class Submit:
    """Submit an operation; its completion comes to the queue."""

    to: Target
    op: int
    body: bytes
    tag: int
    deadline_ns: int
    caps: Carried = ()
    slots: int = 0
    promise: Capability | None = None
    route: Route = ()
    wires: tuple[Wire, ...] = ()


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Submit these in one system call."""

    steps: tuple[Submit, ...]


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

    slots: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """Reply to the request in hand and, if `receive`, wait for the next."""

    body: bytes
    status: int
    receive: bool
    caps: Carried = ()
    slots: int = 0


@dataclass(frozen=True, slots=True)
class Forward:
    """Pass the request in hand on, with its reply right, and wait for the next."""

    to: Target
    op: int
    body: bytes
    tag: int
    caps: Carried
    slots: int


@dataclass(frozen=True, slots=True)
class Keep:
    """Put the right to reply to the request in hand aside."""


@dataclass(frozen=True, slots=True)
class ReplyTo:
    """Use up a reply right that was put aside, or came in a message."""

    right: Capability
    body: bytes
    status: int
    caps: Carried


@dataclass(frozen=True, slots=True)
class Mint:
    """Mint a capability of one's own."""

    source: Capability
    rights: tuple[str, ...]
    badge: int


@dataclass(frozen=True, slots=True)
class Revoke:
    """Take back what was given of a capability."""

    capability: Capability


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete a capability of one's own."""

    capability: Capability


@dataclass(frozen=True, slots=True)
class Touch:
    """Touch `count` pages of the process's memory from number `first` on (`kernel_model.memory`)."""

    first: int
    count: int


@dataclass(frozen=True, slots=True)
class Hint:
    """Say that the next turn will touch these pages; means something for a process whose pages come by hint."""

    first: int
    count: int


@dataclass(frozen=True, slots=True)
class Think:
    """Scripts only: work for a random time."""

    times: Times


@dataclass(frozen=True, slots=True)
class Jump:
    """Scripts only: go on at row `to`, `times` times (0: always), then fall through."""

    to: int
    times: int = 0


Action = (
    Compute | Call | Submit | Pipeline | Wait | Sleep | Cancel | Receive | Reply | Forward | Keep | ReplyTo | Mint
    | Revoke | Delete | Touch | Hint | Chain
)  # fmt: skip
Row = Action | Think | Jump
Script = Generator[Action, Any, None]
Program = Callable[["Kernel", "Process"], Script]


def touch(first: int, count: int = 1) -> Touch:
    """Touch pages; those that are out are read meanwhile."""
    return Touch(first, count)


def hint(first: int, count: int = 1) -> Hint:
    """Declare the pages of the next turn."""
    return Hint(first, count)


def compute(ns: int) -> Compute:
    """Work for `ns` of user time."""
    return Compute(ns)


def call(
    to: Target,
    op: int = 0,
    body: bytes = b"",
    *,
    tag: int = 0,
    deadline_ns: int = 0,
    caps: Carried = (),
    slots: int = 0,
    promise: Capability | None = None,
    route: Route = (),
) -> Call:
    """Call; yields a Completion, or a negated errno. The other arguments are those of `submit`."""
    return Call(to, op, body, tag, deadline_ns, caps, slots, promise, route)


def submit(
    to: Target,
    op: int = 0,
    body: bytes = b"",
    *,
    tag: int = 0,
    deadline_ns: int = 0,
    caps: Carried = (),
    slots: int = 0,
    promise: Capability | None = None,
    route: Route = (),
    wires: tuple[Wire, ...] = (),
) -> Submit:
    """Submit asynchronously; yields 0 or a negated errno.

    `caps` go along; `slots` are kept for what the reply brings, of which the first also goes to the slot `promise`.
    `route`: (to, op) of the requests that the reply becomes, one after the other, before the last comes back. `wires`:
    in a pipeline, what of earlier replies goes into this argument.
    """
    return Submit(to, op, body, tag, deadline_ns, caps, slots, promise, route, wires)


def pipeline(*steps: Submit) -> Pipeline:
    """Submit these, in order, in one system call; yields the list of what each `submit` would have yielded."""
    return Pipeline(steps)


def wait(count: int = 1, *, timeout_ns: int | None = None) -> Wait:
    """Wait for completions; yields the list of all that are there."""
    return Wait(count, timeout_ns)


def sleep(ns: int) -> Sleep:
    """Sleep."""
    return Sleep(ns)


def cancel(tag: int) -> Cancel:
    """Cancel a request; yields 0 or -ENOENT."""
    return Cancel(tag)


def receive(*, slots: int = 0) -> Receive:
    """Receive, with so many slots for capabilities; yields a Request. A request in hand ends `peer_died`."""
    return Receive(slots)


def reply(body: bytes = b"", *, status: int = 0, receive: bool = True, caps: Carried = (), slots: int = 0) -> Reply:
    """Reply to the request in hand; yields the next Request, None if `receive` is False, or a negated errno."""
    return Reply(body, status, receive, caps, slots)


def forward(to: Target, op: int = 0, body: bytes = b"", *, tag: int = 0, caps: Carried = (), slots: int = 0) -> Forward:
    """Pass the request in hand on with its reply right; yields the next Request."""
    return Forward(to, op, body, tag, caps, slots)


def keep() -> Keep:
    """Put the reply right aside, to receive other requests first; yields it as a Capability, or a negated errno."""
    return Keep()


def reply_to(right: Capability, body: bytes = b"", *, status: int = 0, caps: Carried = ()) -> ReplyTo:
    """Use up a reply right; yields 0 or a negated errno. A request that has ended meanwhile gets nothing."""
    return ReplyTo(right, body, status, caps)


def mint(source: Capability, *, rights: tuple[str, ...] = ("send", "grant"), badge: int = 0) -> Mint:
    """Mint; yields the new Capability, or a negated errno."""
    return Mint(source, rights, badge)


def revoke(capability: Capability) -> Revoke:
    """Take back what was given of a capability; yields 0, or -EAGAIN while there is more to do: then yield it again."""
    return Revoke(capability)


def delete(capability: Capability) -> Delete:
    """Delete a capability; yields 0 or a negated errno."""
    return Delete(capability)
