"""A trace of the model for people: Chrome's trace format, which https://ui.perfetto.dev opens.

    processes    a track each: in user mode, and `in kernel` while a section runs that it entered; handlers that run in
                 its user mode are nested
    kernel       a track for each core: its sections, each named by what it was entered for
    grafts       a track for each graft that is attached: its activations, inside the section that ran them
    messages     flow arrows from who sent (a process, or an activation) to who received: a process that goes on with
                 the message, or the activation that the reply ran into

A row of the kernel's trace says when and what, not how long: a section's effects all happen at its beginning, its cost
follows (`core.simulate`). Rows up to a `section` row belong to it; what a user-mode step did stands before the section
in which it ends. A process is in user mode from the end of the section that chose it to the next section of its core.

A flow whose end is not in the trace is left out, so every arrow has both ends. Slices of a track nest or are disjoint.
Format: *Trace Event Format* (Google, 2016), event types X, M, s, f; `ts` and `dur` in microseconds.
"""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kernel_model.admission import handler_rows
from kernel_model.core.tables import NONE, OUTCOMES

if TYPE_CHECKING:
    from kernel_model.kernel import Kernel

Event = dict[str, Any]
Row = tuple[int, str, int, int, int, int]
Queued = dict[tuple[int, int], list[tuple["Place", int]]]
"""(operation, tag) -> where the requests were sent that have arrived and were not received yet."""

PS_PER_US = 1e6
GROUPS = ("processes", "kernel", "grafts")
PROCESSES, KERNEL, GRAFTS = range(len(GROUPS))

NAMES: Mapping[str, str] = {
    "submit": "send", "reply": "reply", "timer": "timer", "receive": "receive", "kill": "kill", "revoke": "revoke",
    "complete": "complete", "postpone": "budget used up",
}  # fmt: skip
"""What a section is called: the first of these rows that it has names it."""


@dataclass(frozen=True, slots=True)
class Place:
    """A track: a group and a number in it."""

    group: int
    number: int


@dataclass(frozen=True, slots=True)
class Slice:
    """Something that took time (ps) on a track."""

    place: Place
    start: int
    end: int
    name: str
    told: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Flow:
    """An arrow: from a time on a track to another."""

    name: str
    source: tuple[Place, int]
    target: tuple[Place, int]


@dataclass(slots=True)
class Story:
    """What a trace tells: slices, and flows between them. `pending`: sends whose receiver goes on later."""

    slices: list[Slice] = field(default_factory=list)
    flows: list[Flow] = field(default_factory=list)
    pending: list[tuple[str, tuple[Place, int], int, int]] = field(default_factory=list)  # name, source, process, from


def trace_of(kernels: Mapping[str, Kernel]) -> dict[str, Any]:
    """Return the trace events of models that ran with `trace=True` and `vectors=True`, one above the other by name."""
    events: list[Event] = []
    for number, (name, kernel) in enumerate(kernels.items()):
        base = 1 + number * len(GROUPS)
        story = tell(kernel.events(), handler_names(kernel))
        events += _names(name, base, kernel)
        events += _slices(base, story.slices)
        events += _flows(base, story.flows, number)
    return {"traceEvents": events, "displayTimeUnit": "ns"}


def handler_names(kernel: Kernel) -> dict[int, str]:
    """Return the name of each handler by its row in the core's table."""
    names: dict[int, str] = {}
    for attachment in kernel.attached:
        first = int(kernel.tables.graft[attachment.row]["first_handler"])
        names |= {first + n: handler.name for n, (handler, *_) in enumerate(handler_rows(attachment.program))}
    return names


# --- from rows to slices and flows ------------------------------------------------------------------------------------


def tell(rows: Sequence[Row], handlers: Mapping[int, str]) -> Story:
    """Return what the rows of a trace tell."""
    story = Story()
    inside: list[Row] = []
    on_core: dict[int, tuple[int, int]] = {}  # core -> (process that it went on with, since when)
    queued: Queued = defaultdict(list)
    for row in rows:
        if row[1] != "section":
            inside.append(row)
            continue
        time, _, core, _, chosen, cost = row
        if core in on_core:
            process, since = on_core.pop(core)
            _slice(story, Place(PROCESSES, process), since, time, "user", {})
        _section(story, row, inside, handlers, queued)
        if chosen != NONE:
            on_core[core] = (chosen, time + cost)
        inside = []
    _deliver(story)
    return story


def _slice(story: Story, place: Place, start: int, end: int, name: str, told: Mapping[str, Any]) -> None:
    if end > start:
        story.slices.append(Slice(place, start, end, name, told))


def _section(story: Story, row: Row, inside: Sequence[Row], handlers: Mapping[int, str], queued: Queued) -> None:
    """Tell of one kernel section and of the user-mode step before it: its slices, and who sent and received in it."""
    time, _, core, current, _, cost = row
    within = [each for each in inside if each[0] == time and each[1] not in ("job", "spent in user")]
    name = next((NAMES[what] for _, what, *_ in within if what in NAMES), "schedule")
    _slice(story, Place(KERNEL, core), time, time + cost, name, {"did": ", ".join(what for _, what, *_ in within)})
    if current != NONE:
        _slice(story, Place(PROCESSES, current), time, time + cost, f"in kernel: {name}", {})
    caller = (Place(PROCESSES, current) if current != NONE else Place(KERNEL, core), time)
    source, replied = caller, None
    for number, (at, what, a, b, c, d) in enumerate(inside):
        match what:
            case "spent in user":
                if current != NONE:
                    _slice(story, Place(PROCESSES, current), at + c, at + c + d, handlers.get(b, "handler"), {})
            case "submit":
                source = caller
            case "reply":
                source = replied = caller
            case "spent":
                place = Place(GRAFTS, a)
                verdict = _before(inside, number, "verdict")
                told = {"verdict": verdict[4], "instructions": verdict[5]} if verdict else {}
                _slice(story, place, time + c, time + c + d, handlers.get(b, "handler"), told)
                if replied is not None:
                    story.flows.append(Flow("reply", replied, (place, time + c)))
                    replied = None
                source = (place, time + c)
            case "arrive":
                queued[b, c].append(source)
            case "receive":
                if queued[b, c]:
                    story.pending.append(("request", queued[b, c].pop(0), a, time + cost))
            case "complete":
                outcome = OUTCOMES[d] if 0 <= d < len(OUTCOMES) else "completion"
                story.pending.append((outcome, source, a, time + cost))


def _before(rows: Sequence[Row], number: int, what: str) -> Row | None:
    return next((row for row in reversed(rows[:number]) if row[1] == what), None)


def _deliver(story: Story) -> None:
    """End the flows at the slice in which their receiver goes on; those of which it is not in the trace are dropped."""
    starts: dict[int, list[int]] = defaultdict(list)
    for each in story.slices:
        if each.place.group == PROCESSES and each.name == "user":
            starts[each.place.number].append(each.start)
    for name, source, process, since in story.pending:
        at = bisect.bisect_left(starts[process], since)
        if at < len(starts[process]):
            story.flows.append(Flow(name, source, (Place(PROCESSES, process), starts[process][at])))
    story.pending.clear()


# --- to trace events --------------------------------------------------------------------------------------------------


def _names(name: str, base: int, kernel: Kernel) -> Iterator[Event]:
    for group, title in enumerate(GROUPS):
        yield _meta("process_name", base + group, 0, {"name": f"{name}: {title}"})
        yield _meta("process_sort_index", base + group, 0, {"sort_index": base + group})
    tracks = [
        *((PROCESSES, process.row, process.name) for process in kernel.processes.values()),
        *((KERNEL, core, f"core {core}") for core in range(int(kernel.tables.config[0]["cores"]))),
        *(
            (GRAFTS, graft.row, f"{graft.program.name} of {graft.process.name}")
            for graft in kernel.attached
            if graft.in_kernel
        ),
    ]
    for group, number, title in tracks:
        yield _meta("thread_name", base + group, number + 1, {"name": title})


def _meta(name: str, pid: int, tid: int, arguments: Mapping[str, Any]) -> Event:
    return {"ph": "M", "name": name, "pid": pid, "tid": tid, "args": dict(arguments)}


def _at(base: int, place: Place, time: int) -> Event:
    return {"pid": base + place.group, "tid": place.number + 1, "ts": time / PS_PER_US}


def _slices(base: int, slices: Iterable[Slice]) -> Iterator[Event]:
    for each in sorted(slices, key=lambda s: (s.start, -s.end)):
        duration = (each.end - each.start) / PS_PER_US
        yield {"ph": "X", "name": each.name, "dur": duration, "args": dict(each.told)} | _at(
            base, each.place, each.start
        )


def _flows(base: int, flows: Iterable[Flow], kernel: int) -> Iterator[Event]:
    for number, flow in enumerate(flows):
        shared = {"name": flow.name, "cat": "message", "id": f"{kernel}.{number}"}
        yield {"ph": "s", **shared} | _at(base, *flow.source)
        yield {"ph": "f", "bp": "e", **shared} | _at(base, *flow.target)
