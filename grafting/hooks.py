"""The ABI: what a program finds in its registers, what it may call, and what its result means.

One table for everybody. The compiler encodes by it, the verifier checks by it, the engines run by it, and the C header
`include/graft.h` and the page `docs/abi.md` are generated from it. It holds no time: see `kernel_model` for prices.

A graft's handler is entered with r1 = address of a read-only context of 96 bytes, which begins with `data` and
`data_end`, as Linux's `sk_msg` does. The message body is read-only, 8-aligned, `data_end - data` bytes long.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from grafting import limits


class Event(Enum):
    """The moments at which a kernel runs a graft; the number is the context's `event` field."""

    SUBMIT = 1  # the client submits an operation
    REPLY = 2  # a reply with status 0 has arrived
    FAILURE = 3  # any other terminal status
    REQUEST = 4  # a request has arrived at an endpoint that the graft serves
    TIMER = 5  # a timer of the graft is due; the context's tag is the timer's id
    SCHEDULE = 6  # a process of the installer will run soon


class FieldKind(Enum):
    """What the verifier makes of a load from the context."""

    SCALAR = "scalar"
    DATA = "data"  # address of the body
    DATA_END = "data_end"  # one past its last byte


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the context: `offset` and `size` in bytes."""

    name: str
    offset: int
    size: int
    kind: FieldKind = FieldKind.SCALAR
    signed: bool = False


GRAFT_CONTEXT: tuple[Field, ...] = (
    Field("data", 0, 8, FieldKind.DATA),
    Field("data_end", 8, 8, FieldKind.DATA_END),
    Field("tag", 16, 8),  # request tag, chosen by whoever sent; timer: its id
    Field("badge", 24, 8),  # of the capability through which a request came
    Field("now_ns", 32, 8),
    Field("op", 40, 4),  # operation number within its protocol
    Field("status", 44, 4, signed=True),  # 0 or a negated errno / terminal status
    Field("slot", 48, 4),  # through which the request went
    Field("event", 52, 4),
    Field("ncaps", 56, 4),  # capabilities that came with the message
    Field("flags", 60, 4),
)

# --- helpers ---------------------------------------------------------------------------------------------------------


class Arg(Enum):
    """What a helper demands of one argument register."""

    SCALAR = "any scalar"
    MAP = "a map"
    KEY = "initialised memory of the map's key size"
    VALUE = "initialised memory of the map's value size"
    SLOT = "a declared capability slot with the right to send"
    OP = "an operation of that slot's protocol"
    READ = "initialised memory, its length in the next register"
    WRITE = "writable memory, its length in the next register"
    READ_THIRD = "initialised memory, its length in r3"
    WRITE_THIRD = "writable memory, its length in r3"
    LENGTH = "a length"


class Result(Enum):
    """What a helper leaves in r0."""

    STATUS = "0 or a negated errno (-4095 .. 0)"
    SCALAR = "any 64-bit scalar"
    VALUE_OR_NULL = "the address of the map value, or 0"
    NEVER = "does not return: the program ends with r0"


@dataclass(frozen=True, slots=True)
class Helper:
    """A function of the kernel that a program may call; `sends` counts messages, `map_op` a map operation.

    `params` names the arguments, for the C header and the documentation.
    """

    number: int
    name: str
    args: tuple[Arg, ...]
    result: Result
    sends: int = 0
    map_op: bool = False
    doc: str = ""
    params: tuple[str, ...] = ()

    @property
    def returns(self) -> bool:
        """Whether the program goes on behind the call."""
        return self.result is not Result.NEVER


_SEND_ARGS = (Arg.SLOT, Arg.OP, Arg.SCALAR)

HELPERS: dict[int, Helper] = {
    helper.number: helper
    for helper in (
        Helper(1, "map_lookup_elem", (Arg.MAP, Arg.KEY), Result.VALUE_OR_NULL, map_op=True,
               doc="address of the value under the key, or 0",
               params=("map", "key")),
        Helper(2, "map_update_elem", (Arg.MAP, Arg.KEY, Arg.VALUE, Arg.SCALAR), Result.STATUS, map_op=True,
               doc="store a copy of the value; flags must be 0; -E2BIG when no place is free, -ENOENT past an array",
               params=("map", "key", "value", "flags")),
        Helper(3, "map_delete_elem", (Arg.MAP, Arg.KEY), Result.STATUS, map_op=True,
               doc="remove the key; -ENOENT if absent, -EINVAL on an array",
               params=("map", "key")),
        Helper(5, "ktime_get_ns", (), Result.SCALAR, doc="the kernel's monotonic clock, ns"),
        Helper(1000, "send", (*_SEND_ARGS, Arg.READ, Arg.LENGTH), Result.STATUS, sends=1,
               doc="reserve a send of (slot, op, tag, body, length); committed when the handler returns",
               params=("slot", "op", "tag", "body", "length")),
        Helper(1001, "send_from_body", (*_SEND_ARGS, Arg.SCALAR, Arg.LENGTH), Result.STATUS, sends=1,
               doc="the same, the body being (offset, length) of the current message",
               params=("slot", "op", "tag", "offset", "length")),
        Helper(1002, "send_with", (*_SEND_ARGS, Arg.READ, Arg.LENGTH), Result.STATUS, sends=1,
               doc="the same, the memory beginning with a send_options record (32 bytes), then the body",
               params=("slot", "op", "tag", "record", "length")),
        Helper(1003, "answer", (Arg.SCALAR, Arg.READ, Arg.LENGTH), Result.STATUS,
               doc="set the reply (status, body, length) to the current request; verdict `answered` sends it",
               params=("status", "body", "length")),
        Helper(1004, "timer_arm", (Arg.SCALAR, Arg.SCALAR), Result.STATUS,
               doc="fire the timer (id) after (delay) ns; re-arms the id if it is armed",
               params=("id", "delay_ns")),
        Helper(1005, "timer_cancel", (Arg.SCALAR,), Result.STATUS, doc="-ENOENT if no timer of this id is armed",
               params=("id",)),
        Helper(1006, "release", (Arg.SCALAR, Arg.SCALAR), Result.STATUS,
               doc="complete (status 0 resumes, else fails) the held operation with this tag",
               params=("tag", "status")),
        Helper(1007, "hint", (Arg.SCALAR, Arg.SCALAR), Result.STATUS, doc="(addr, pages) will be touched soon",
               params=("addr", "pages")),
        Helper(1008, "copy", (Arg.WRITE_THIRD, Arg.READ_THIRD, Arg.LENGTH), Result.STATUS,
               doc="copy bytes from r2 to r1; the ranges may overlap",
               params=("to", "from", "length")),
        Helper(1009, "fill", (Arg.WRITE_THIRD, Arg.SCALAR, Arg.LENGTH), Result.STATUS,
               doc="set bytes at r1 to the low byte of r2",
               params=("to", "byte", "length")),
        Helper(1010, "answer_from_body", (Arg.SCALAR, Arg.SCALAR, Arg.LENGTH), Result.STATUS,
               doc="the same as answer, the body being (offset, length) of the current message; -EINVAL outside it",
               params=("status", "offset", "length")),
    )
}  # fmt: skip

UNWIND = Helper(5, "unwind", (), Result.NEVER, doc="end the program with the value in r0 (conformance suites)")

SEND_OPTIONS: tuple[Field, ...] = (
    Field("deadline_ns", 0, 8),  # from now; 0 = none
    Field("caps", 8, 16),  # four u32: a declared slot, or CAP_OF_MESSAGE | index of a received capability
    Field("ncaps", 24, 4),  # how many of them are used
    Field("promise", 28, 4),  # slot that receives a promise of the reply's capability, or NO_SLOT
)
SEND_OPTIONS_BYTES = 32
CAP_OF_MESSAGE = 0x8000_0000
TRUNCATED_CAPS = 1  # in `flags`: more capabilities came than the receiver had named slots for
NO_SLOT = 0xFFFF_FFFF

_BASE = frozenset({1, 2, 3, 5, 1008, 1009})
_SENDING = _BASE | {1000, 1001, 1002, 1004, 1005, 1006, 1007}

# --- verdicts --------------------------------------------------------------------------------------------------------

DELIVER, CONSUME = 0, 1  # reply, failure: hand it to the client / the client sleeps on
PASS, ANSWERED, DROP = 0, 1, 2  # request: queue it / reply with the answer / refuse; submit: PASS, HOLD, DROP, TAKEN
HOLD = 1
TAKEN = 3  # submit: the request ends here, its operation lives on in what the handler sends
STEER = 3  # request: STEER + slot hands the request to another endpoint
DONE = 0  # timer, schedule


@dataclass(frozen=True, slots=True)
class Hook:
    """Where a program may run and what it finds there.

    `memory` says what r1 is: "context" (a record of `context_bytes`, `fields` saying what its loads give) or "memory"
    (plain bytes, r2 = their number). `aligned` demands natural alignment of every access. `helpers` maps numbers to
    helpers. `verdicts` names the legal results, empty for any scalar; `steer` adds STEER + slot for declared slots.
    """

    name: str
    memory: str
    context_bytes: int
    fields: tuple[Field, ...] = ()
    context_writable: bool = False
    aligned: bool = True
    helpers: tuple[Helper, ...] = ()
    verdicts: tuple[tuple[str, int], ...] = ()
    steer: bool = False
    event: Event | None = None

    def helper(self, number: int) -> Helper | None:
        """Return the helper `number`, or None if this hook does not offer it."""
        return next((h for h in self.helpers if h.number == number), None)

    def field_at(self, offset: int, size: int) -> Field | None:
        """Return the context field that a load of `size` bytes at `offset` reads, or None."""
        return next((f for f in self.fields if f.offset == offset and f.size == size), None)


def _graft_hook(event: Event, helpers: frozenset[int], verdicts: dict[str, int], *, steer: bool = False) -> Hook:
    return Hook(
        name=event.name.lower(),
        memory="context",
        context_bytes=limits.CONTEXT_BYTES,
        fields=GRAFT_CONTEXT,
        helpers=tuple(HELPERS[n] for n in sorted(helpers)),
        verdicts=tuple(verdicts.items()),
        steer=steer,
        event=event,
    )


GRAFT_HOOKS: dict[str, Hook] = {
    hook.name: hook
    for hook in (
        _graft_hook(Event.SUBMIT, _SENDING, {"pass": PASS, "hold": HOLD, "drop": DROP, "consume": TAKEN}),
        _graft_hook(Event.REPLY, _SENDING, {"deliver": DELIVER, "consume": CONSUME}),
        _graft_hook(Event.FAILURE, _SENDING, {"deliver": DELIVER, "consume": CONSUME}),
        _graft_hook(
            Event.REQUEST, _SENDING | {1003, 1010}, {"pass": PASS, "answered": ANSWERED, "drop": DROP}, steer=True
        ),
        _graft_hook(Event.TIMER, _SENDING, {"done": DONE}),
        _graft_hook(Event.SCHEDULE, _BASE | {1007}, {"done": DONE}),
    )
}


def raw_memory(size: int, *, writable: bool = True) -> Hook:
    """Return the hook of the conformance suites: r1 = address of `size` bytes, r2 = their number, r0 = any value.

    Accesses may be unaligned. Helper 5 (`unwind`) ends the program.
    """
    return Hook("raw_memory", "memory", size, context_writable=writable, aligned=False, helpers=(UNWIND,))


def raw_context(size: int) -> Hook:
    """Return the hook of the verifier data: r1 = a read-only context of `size` bytes of scalars, r0 = any scalar."""
    return Hook("raw_context", "context", size, aligned=True)
