"""What goes into an activation and what comes out: the message, the outbox, the other effects, the result. Data only.

Effects are proposals. The machine makes none of them real: whoever embeds it does, after the handler has returned.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from grafting import limits
from grafting.costs import CostVector
from grafting.diagnostics import fail
from grafting.hooks import NO_SLOT, STEER, Event, Hook
from jit.faults import Fault

_U32, _U64 = (1 << 32) - 1, (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Message:
    """What a handler is given, by the fields of the context (`grafting.hooks`).

    `tag`: of the request; for a timer its id. `badge`: of the capability through which a request came. `slot`: through
    which the request went; None stands for slot 0 where there is one (reply, failure, submit), else for no slot.
    `ncaps`: capabilities that came with it. Raises GraftError G0703 for a field out of range or too long a body.
    """

    tag: int = 0
    badge: int = 0
    op: int = 0
    status: int = 0
    slot: int | None = None
    body: bytes = b""
    flags: int = 0
    ncaps: int = 0

    def __post_init__(self) -> None:
        for name, low, high in (
            ("tag", 0, _U64), ("badge", 0, _U64), ("op", 0, _U32), ("status", -(1 << 31), (1 << 31) - 1),
            ("flags", 0, _U32), ("ncaps", 0, 4),
        ):  # fmt: skip
            check_range(f"a message's {name}", getattr(self, name), low, high)
        if self.slot is not None:
            check_range("a message's slot", self.slot, 0, _U32)
        if not isinstance(self.body, bytes):
            raise TypeError(f"a message's body must be bytes, not {type(self.body).__name__}")
        if len(self.body) > limits.BODY_BYTES:
            raise fail("G0703", f"a body has at most {limits.BODY_BYTES} bytes, not {len(self.body)}")

    def slot_for(self, event: Event) -> int:
        """Return the number that the context's `slot` shows."""
        if self.slot is not None:
            return self.slot
        return 0 if event in (Event.SUBMIT, Event.REPLY, Event.FAILURE) else NO_SLOT


def check_range(what: str, value: int, low: int, high: int) -> None:
    """Raise TypeError if `value` is no integer, GraftError G0703 if it is not from `low` to `high`."""
    if not isinstance(value, int):
        raise TypeError(f"{what} must be an int, not {type(value).__name__}")
    if not low <= value <= high:
        raise fail("G0703", f"{what} must be from {low} to {high}, not {value}")


# --- effects ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Send:
    """A message to be sent through `slot`.

    `deadline_ns` counts from now, 0 is none. `caps`: slots whose capabilities go along, or CAP_OF_MESSAGE | index of
    a received one. `promise`: the slot that will hold the capability which the reply brings, or None.
    """

    slot: int
    op: int
    tag: int
    body: bytes
    deadline_ns: int = 0
    caps: tuple[int, ...] = ()
    promise: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The reply to the current request; sent if the verdict is `answered`."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Armed:
    """A timer set to fire after `delay_ns`."""

    id: int
    delay_ns: int


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A timer that was armed and no longer is."""

    id: int


@dataclass(frozen=True, slots=True)
class Release:
    """The end of a held operation's wait: status 0 lets it go on, any other ends it."""

    tag: int
    status: int


@dataclass(frozen=True, slots=True)
class Hint:
    """Memory that will be touched soon."""

    address: int
    pages: int


@dataclass(frozen=True, slots=True)
class Breach:
    """A send at slot `pc` that no verified program makes: `what` says which declaration it disregards.

    The kernel answers it by an errno, so it is no fault.
    """

    pc: int
    what: str

    def as_dict(self) -> dict[str, object]:
        """Return the breach as JSON-ready data."""
        return {"pc": self.pc, "what": self.what}


# --- results ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a raw program: r0 (unsigned), how many instructions ran, and what its frames took together."""

    r0: int
    instructions: int
    stack_bytes: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Activation:
    """The result of one activation. With a fault the verdict is None, and nothing has happened: no effect is listed.

    `instructions` and `cost` count what ran, up to the fault where there is one. `timers` in order.
    """

    handler: str
    hook: Hook = field(repr=False)
    verdict: int | None
    instructions: int
    cost: CostVector = field(repr=False)
    outbox: tuple[Send, ...] = ()
    answer: Answer | None = None
    timers: tuple[Armed | Cancelled, ...] = ()
    releases: tuple[Release, ...] = ()
    hints: tuple[Hint, ...] = ()
    breaches: tuple[Breach, ...] = ()
    fault: Fault | None = None

    @property
    def helper_calls(self) -> int:
        """How many helpers were called."""
        return self.cost.helper_calls

    @cached_property
    def verdict_name(self) -> str:
        """The verdict by name: "consume", "steer 2"; "fault" if there is none."""
        return verdict_name(self.hook, self.verdict)


def verdict_name(hook: Hook, verdict: int | None) -> str:
    """Return the name of a verdict of `hook`."""
    if verdict is None:
        return "fault"
    named = {number: name for name, number in hook.verdicts}
    if verdict in named:
        return named[verdict]
    return f"steer {verdict - STEER}" if hook.steer and verdict >= STEER else str(verdict)
