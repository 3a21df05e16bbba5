"""What is kept of each record of the kernel's tables, and as what: the one place that knows both sides.

Every field of a saved table has a kind here; a test asks that none is forgotten, so whoever adds a field to the core
must say what becomes of it.

    Plain     a number that means the same in every kernel
    Instant   a point in time, saved as its distance from the cut (ps; negative: past)
    Choice    one of the core's enumerations, saved by name: numbers may change
    Ref       another object, saved by its name in the snapshot
    Body      bytes in the arena
    Fresh     made anew by whoever restores: links, queues, counts of what is there, rows of the constructor

Lists are saved where they hang, as names in order, without the members that belong to somebody else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from kernel_model.core import tables
from kernel_model.core.tables import NONE


@dataclass(frozen=True, slots=True)
class Plain:
    """A number."""


@dataclass(frozen=True, slots=True)
class Instant:
    """A point in time; `absent` is the number that says there is none, saved as null."""

    absent: int


@dataclass(frozen=True, slots=True)
class Choice:
    """One of `names`, by number."""

    names: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Ref:
    """A row of `table`, or NONE."""

    table: str


@dataclass(frozen=True, slots=True)
class Body:
    """The arena offset of a body. `length` is the field with its bytes, `room` that with the size of its block."""

    length: str
    room: str | None


@dataclass(frozen=True, slots=True)
class Fresh:
    """Not saved; `value` in a new row."""

    value: int = 0


Kind = Plain | Instant | Choice | Ref | Body | Fresh


@dataclass(frozen=True, slots=True)
class Queue:
    """A list of rows of `table` in the core's table of queues, `offset` behind the owner's `queues`.

    `place` is 0 or 1 where the links are not the rows' own, but those of `core.requests`.
    """

    table: str
    offset: int
    place: int | None = None


@dataclass(frozen=True, slots=True)
class Chain:
    """A list of rows of `table` by links of their own, from the owner's field `first`, perhaps to its field `last`."""

    table: str
    first: str
    next: str
    last: str = ""
    previous: str = ""


def choice(prefix: str, *names: str) -> Choice:
    """Return the choice among the core's constants that begin with `prefix`, or are these."""
    constants = names or [name for name in vars(tables) if name.startswith(prefix)]
    return Choice(MappingProxyType({getattr(tables, name): name.removeprefix(prefix).lower() for name in constants}))


PROCESS_STATES: Final = choice(
    "", "DEAD", "READY", "RUNNING", "RECEIVING", "CALLING", "BLOCKED", "WAITING", "SLEEPING", "PARKED", "HALTED",
    "POSTPONED",
)  # fmt: skip
OUTCOME: Final = choice(
    "", "NO_OUTCOME", "REPLIED", "ERROR", "TIMED_OUT", "CANCELLED", "BROKEN", "PEER_DIED", "REFUSED", "STARVED"
)
REASON: Final = choice("", "NO_REASON", "OVER_EAGER", "OVER_FUEL", "LOWER_PRIORITY", "NOT_IN_KERNEL", "OVER_BUDGET")


def _kinds(
    *,
    plain: str = "",
    fresh: str = "",
    none: str = "",
    instant: Mapping[str, int] = MappingProxyType({}),
    choices: Mapping[str, Choice] = MappingProxyType({}),
    refs: Mapping[str, str] = MappingProxyType({}),
    bodies: Mapping[str, tuple[str, str | None]] = MappingProxyType({}),
) -> Mapping[str, Kind]:
    kinds: dict[str, Kind] = dict.fromkeys(plain.split(), Plain())
    kinds |= dict.fromkeys(fresh.split(), Fresh())
    kinds |= dict.fromkeys(none.split(), Fresh(NONE))
    kinds |= {name: Instant(absent) for name, absent in instant.items()}
    kinds |= choices
    kinds |= {name: Ref(table) for name, table in refs.items()}
    for name, (length, room) in bodies.items():
        kinds[name] = Body(length, room)
        kinds[length] = Fresh()
        if room is not None:
            kinds[room] = Fresh()
    return MappingProxyType(kinds)


SAVED: Final[Mapping[str, Mapping[str, Kind]]] = MappingProxyType({
    "process": _kinds(
        plain="stage left owed a b c result wait_for reply_status wakeups depth batch open_jobs stalled prepare "
        "abandoned r0 r1 r2 r3 r4 r5",
        choices={"state": PROCESS_STATES, "call": choice("SYS_")},
        refs={"request": "request", "completion": "completion", "reply_parcel": "parcel", "finishing": "job"},
        bodies={"reply_body": ("reply_length", "reply_room")},
        # the constructor's
        fresh="core priority account queues behaviour row endpoint cq_capacity passive context on think job_last "
        "landing patience spinning noticed ring wanted partner "
        "active_on space recorder "
        "footprint told_late "
        # of behaviours that cannot be saved, see `made`
        "chains plan answers paging host_job leaving "
        # counted again, linked again
        "cq_posted cq_reserved cq_behind deferred entering operations",
        none="next prev job_next timer polling side graft library held ready_at",
    ),
    "endpoint": _kinds(
        plain="alive capacity",
        refs={"root": "capability"},
        fresh="queued reserved waiting receivers queues deferred announced",
        none="owner graft",
    ),
    "capability": _kinds(
        plain="alive badge rights",
        choices={"kind": choice("C_", "C_NULL", "C_ENDPOINT", "C_REPLY", "C_PROMISE", "C_BROKEN")},
        refs={"parent": "capability", "endpoint": "endpoint", "object": "request", "owner": "process"},
        fresh="epoch queues",
        none="next prev held_next held_prev",
    ),
    "request": _kinds(
        plain="tag op badge deadline fuel status vetted",
        choices={"state": choice("R_"), "outcome": OUTCOME, "reason": REASON},
        refs={"operation": "operation", "capability": "capability", "endpoint": "endpoint", "process": "process",
              "holder": "process", "cookie": "job", "graft": "graft", "parcel": "parcel", "via": "capability"},
        instant={"sent_at": NONE},
        bodies={"body": ("length", "room")},
        fresh="serial place epoch steered "
        # of linked requests and of those in rings, whose submitters cannot be saved
        "chained kind flags want failed linked guard guards silent source at take drains deferred_next",
        none="next prev timer ring",
    ),
    "parcel": _kinds(
        plain="copied landed truncated awaiting",
        refs={"c0": "capability", "c1": "capability", "c2": "capability", "c3": "capability",
              "promise": "capability", "right": "capability"},
        fresh="count",
        none="next route wires feeds",
    ),
    "wire": _kinds(
        plain="at to length",
        refs={"source": "request", "target": "request"},
        none="next sister",
    ),
    "leg": _kinds(plain="op", refs={"capability": "capability"}, fresh="epoch", none="next"),
    "operation": _kinds(
        plain="tag completed landing reserved",
        choices={"origin": choice("O_", "O_SUBMITTED", "O_CALL", "O_GRAFT")},
        refs={"process": "process", "cookie": "job"},
        instant={"submitted_at": NONE},
        fresh="state outstanding serial context",
        none="next prev",
    ),
    "completion": _kinds(
        plain="tag status op badge",
        choices={"kind": choice("OF_"), "outcome": OUTCOME, "reason": REASON},
        refs={"capability": "capability", "graft": "graft", "cookie": "job", "parcel": "parcel"},
        instant={"posted_at": NONE, "deadline": NONE},
        bodies={"body": ("length", "room")},
        fresh="poster epoch",
        none="next prev",
    ),
    "job": _kinds(
        plain="tag op key status pending",
        choices={"state": choice("J_"), "outcome": OUTCOME},
        refs={"owner": "process", "capability": "capability"},
        instant={"arrival": NONE, "submitted": NONE, "finished": NONE},
        bodies={"body": ("length", None), "answer": ("answer_length", "answer_room")},
        fresh="by",
        none="next prev map result value stream",
    ),
})  # fmt: skip
"""The tables of which rows are saved, and their fields. What is a matter of the constructor stands in `made`."""

LISTS: Final[Mapping[str, Mapping[str, Queue | Chain]]] = MappingProxyType({
    "process": {
        "completions": Queue("completion", tables.Q_COMPLETIONS),
        "drafts": Queue("request", tables.Q_DRAFTS),
        "rejects": Queue("request", tables.Q_REJECTS),
        "requests": Queue("request", tables.Q_OWN, 0),
        "jobs": Chain("job", "job_next", "next", "job_last"),
        "open": Queue("job", tables.Q_JOBS),
        "capabilities": Chain("capability", "held", "held_next", previous="held_prev"),
    },
    "endpoint": {
        "requests": Queue("request", tables.Q_REQUESTS),
        "receivers": Queue("process", tables.Q_RECEIVERS),
        "callers": Queue("request", tables.Q_CALLERS),
    },
    "capability": {
        "waiting": Queue("request", tables.Q_WAITING),
        "sent": Queue("request", tables.Q_SENT, 1),
    },
    "parcel": {
        "route": Chain("leg", "route", "next"),
        "wires": Chain("wire", "wires", "next"),
    },
})  # fmt: skip
"""The lists that hang at an object. Children of a capability are found by their `parent`, feeds of a parcel by the
`target` of the wires."""
