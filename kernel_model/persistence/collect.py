"""From the tables to a snapshot: what belongs to the application, as it is between two kernel entries.

Inside are the application's processes, the endpoints at which they receive, what they have sent, hold and attached.
What is outside is named where it can be bound again, and let go where it cannot:

    a capability to an endpoint outside    saved as what it leads to, for a binding
    a request to the outside               ends `cancelled` in the snapshot: nobody could answer it there
    a request from the outside             is not the application's: its server finds that it was cancelled
    a capability that somebody outside was given of ours     is his, and not saved

The kernel is only read: the application goes on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from grafting.diagnostics import InternalError, fail
from kernel_model.admission import handler_rows
from kernel_model.core import prices, tables
from kernel_model.core.tables import NEVER, NONE
from kernel_model.persistence.contents import gather
from kernel_model.persistence.groups import account_of, members
from kernel_model.persistence.made import Describer
from kernel_model.persistence.schema import LISTS, SAVED, Body, Chain, Choice, Fresh, Instant, Plain, Queue, Ref
from kernel_model.persistence.snapshot import Alarm, Books, Graft, Made, Outside, Run, Snapshot, Thing
from kernel_model.persistence.streams import StreamDescriber

if TYPE_CHECKING:
    from kernel_model.groups import Clients
    from kernel_model.handles import Attachment, Process
    from kernel_model.kernel import Kernel

COUNTS = ("activations", "user_activations", "consumed", "denied", "spent", "sent", "sent_bytes")
CARRIED = ("c0", "c1", "c2", "c3")


def collect(kernel: Kernel, application: str, processes: Sequence[Process | Clients]) -> Snapshot:
    """Return the application as it is now; no core is in the kernel."""
    return _Collector(kernel, processes).snapshot(application)


def rows_of_handlers(record: Any, graft: Attachment) -> dict[str, int]:
    """Return the row of each handler of a graft by its name; `record` is the graft's row."""
    first = int(record["first_handler"])
    return {handler.name: first + i for i, (handler, _, _, _) in enumerate(handler_rows(graft.program))}


class _Collector:
    def __init__(self, kernel: Kernel, parts: Sequence[Process | Clients]) -> None:
        self.kernel = kernel
        self.k = kernel.tables
        self.now = kernel.now_ps
        self.processes: dict[int, Process] = {}
        self.groups: dict[int, str] = {}
        for process, group in members(parts):
            self.processes[process.row] = process
            if group is not None:
                self.groups[process.row] = group
        if len({process.name for process in self.processes.values()}) != len(self.processes):
            raise fail("G0870", "two of the processes have the same name")
        self.endpoints = {
            row: endpoint
            for row, endpoint in kernel.endpoints.items()
            if self.k.endpoint[row]["owner"] in self.processes
        }
        self.grafts = [
            graft
            for row in self.processes
            for graft in kernel.places.present.get(row, ())
            if self.k.graft[graft.row]["state"] in (tables.ATTACHED, tables.LOADED)
        ]
        self.positions = {graft.row: str(number) for number, graft in enumerate(self.grafts)}
        self.names: dict[str, dict[int, str]] = {table: {} for table in SAVED}
        self.names["process"] = {row: process.name for row, process in self.processes.items()}
        self.names["endpoint"] = {row: endpoint.name for row, endpoint in self.endpoints.items()}
        self.pending: list[tuple[str, int]] = []
        self.outside: list[Outside] = []
        self.bound: dict[tuple[str, str, tuple[str, ...]], int] = {}

    def snapshot(self, application: str) -> Snapshot:
        for process in self.processes:
            for job in np.flatnonzero(self.k.job["owner"][: self.kernel.storage.used["job"]] == process):
                self._name("job", int(job))
        grafts = tuple(self._graft(graft) for graft in self.grafts)
        describer = Describer(
            self.kernel,
            self._script_capability,
            self._map,
            StreamDescriber(self.kernel, self.processes, lambda job: self._name("job", job)),
        )
        made = tuple(describer.process(process, self.groups.get(row)) for row, process in self.processes.items())
        for table in ("process", "endpoint"):
            self.pending += [(table, row) for row in self.names[table]]
        things: dict[str, dict[str, Thing]] = {table: {} for table in SAVED}
        done = 0
        while done < len(self.pending):
            table, row = self.pending[done]
            things[table][self.names[table][row]] = self._thing(table, row)
            done += 1
        return Snapshot(
            application=application,
            ready=tuple(self._ready()),
            outside=tuple(self.outside),
            processes=made,
            endpoints=tuple(
                Made(endpoint.name, "endpoint", {"capacity": int(self.k.endpoint[row]["capacity"])})
                for row, endpoint in self.endpoints.items()
            ),
            grafts=grafts,
            accounts=tuple(self._books(name) for name in dict.fromkeys(account_of(part) for part in made)),
            things=things,
        )

    def _ready(self) -> Iterator[str]:
        """Yield who runs, then who is ready in the order of the run queues, on one core after the other."""
        for core in self.k.core[: self.kernel.cores]:
            rows = [int(core["process"])]
            for level in reversed(range(tables.PRIORITIES)):
                row = int(self.k.queue[core["queues"] + tables.Q_READY + level]["head"])
                while row != NONE:
                    rows.append(row)
                    row = int(self.k.process[row]["next"])
            yield from (self.processes[row].name for row in rows if row in self.processes)

    # --- names: an object that is named is saved ----------------------------------------------------------------------

    def _name(self, table: str, row: int) -> str | None:
        """Return the name of an object of the application, None for one that is not there or belongs elsewhere."""
        if row < 0 or not self._is_inside(table, row):
            return None
        if table == "graft":
            return self.positions[row]
        names = self.names[table]
        if row not in names:
            names[row] = str(len(names))
            self.pending.append((table, row))
        return names[row]

    def _is_inside(self, table: str, row: int) -> bool:
        match table:
            case "process" | "endpoint":
                return row in self.names[table]
            case "request" | "operation" | "graft":
                return int(getattr(self.k, table)[row]["process"]) in self.processes
            case "job":
                return int(self.k.job[row]["owner"]) in self.processes
            case "capability":
                owner = int(self.k.capability[row]["owner"])
                return owner == NONE or owner in self.processes
        return True

    # --- things -------------------------------------------------------------------------------------------------------

    def _thing(self, table: str, row: int) -> Thing:
        record = getattr(self.k, table)[row]
        values = {
            name: self._value(kind, record, name) for name, kind in SAVED[table].items() if not isinstance(kind, Fresh)
        }
        lists = {name: tuple(self._members(spec, record)) for name, spec in LISTS.get(table, {}).items()}
        due = into = out_of = outside = None
        if table in ("request", "completion", "leg") and self._is_stale(record):
            values["capability"] = None
        match table:
            case "request":
                due = self._due(record["timer"])
                if self._is_severed(row):
                    values |= {"state": "work", "outcome": "cancelled", "status": 0, "body": b"", "endpoint": None,
                               "holder": None, "via": None}  # fmt: skip
                    due = None
            case "process":
                due = self._due(record["timer"])
            case "capability":
                outside = self._leads_outside(row)
            case "job":
                into, out_of = self._into(record), self._map(int(record["result"]))
            case "parcel":
                self._carry(record, values)
        return Thing(values, lists, due, into, out_of, outside)

    def _value(self, kind: Plain | Instant | Choice | Ref | Body, record: Any, name: str) -> Any:
        number = int(record[name])
        match kind:
            case Plain():
                return number
            case Instant(absent):
                return None if number == absent else number - self.now
            case Choice(names):
                return names[number]
            case Ref(table):
                return self._name(table, number)
            case Body(length, _):
                return self.k.arena[number : number + int(record[length])].tobytes()

    def _members(self, spec: Queue | Chain, record: Any) -> Iterator[str]:
        own = isinstance(spec, Queue) and spec.offset == tables.Q_OWN and spec.place == 0
        for row in self._rows(spec, record):
            name = self._name(spec.table, row)
            if name is not None and (own or spec.table != "request" or not self._is_severed(row)):
                yield name

    def _rows(self, spec: Queue | Chain, record: Any) -> Iterator[int]:
        table = getattr(self.k, spec.table)
        match spec:
            case Chain(_, first, following):
                row = int(record[first])
                while row != NONE:
                    yield row
                    row = int(table[row][following])
            case Queue(_, offset, place):
                row = int(self.k.queue[record["queues"] + offset]["head"])
                links = table if place is None else self.k.link
                while row != NONE:
                    yield row if place is None else row >> 1
                    row = int(links[row]["next"])

    def _is_stale(self, record: Any) -> bool:
        """Whether what a record names was deleted since: its row may be another capability's."""
        c = int(record["capability"])
        return c != NONE and bool(self.k.capability[c]["epoch"] != record["epoch"])

    def _due(self, timer: int) -> int | None:
        return None if timer == NONE else max(0, int(self.k.timer[timer]["due"]) - self.now)

    def _is_severed(self, r: int) -> bool:
        """Whether request `r` of the application is somewhere outside."""
        request = self.k.request[r]
        match int(request["state"]):
            case tables.R_QUEUED | tables.R_CALLER:
                return int(request["endpoint"]) not in self.endpoints
            case tables.R_RECEIVED if request["holder"] != NONE:
                return int(request["holder"]) not in self.processes
            case tables.R_RECEIVED:
                right = int(self.k.parcel[request["parcel"]]["right"])
                return int(self.k.capability[right]["owner"]) not in self.processes
        return False

    def _carry(self, record: Any, values: dict[str, Any]) -> None:
        """A parcel names capabilities up to its count; what stands behind that means nothing."""
        for index, name in enumerate(CARRIED):
            if index >= record["count"]:
                values[name] = None
            elif int(record[name]) == tables.IN_HAND:
                raise InternalError("a draft with a reply right in hand, between two entries of the kernel")

    # --- what leads out -----------------------------------------------------------------------------------------------

    def _leads_outside(self, c: int) -> int | None:
        capability = self.k.capability[c]
        if capability["kind"] != tables.C_ENDPOINT or int(capability["endpoint"]) in self.endpoints:
            return None
        endpoint = self.kernel.endpoints[int(capability["endpoint"])]
        rights = tuple(
            name for bit, name in ((tables.SEND, "send"), (tables.GRANT, "grant")) if capability["rights"] & bit
        )
        key = (endpoint.name, self._interface(c), rights)
        if key not in self.bound:
            self.bound[key] = len(self.outside)
            self.outside.append(Outside(*key))
        return self.bound[key]

    def _interface(self, c: int) -> str:
        for graft in self.grafts:
            for slot in graft.program.slots:
                if graft.slots[slot.name] == c:
                    return slot.protocol.name
        return ""

    def _into(self, record: Any) -> tuple[int, str, bytes] | None:
        target = self._map(int(record["map"]))
        if target is None:
            return None
        size = next(spec.value_size for spec in self.grafts[target[0]].program.maps if spec.name == target[1])
        at = int(record["value"])
        return (*target, self.k.arena[at : at + size].tobytes())

    def _map(self, map_: int) -> tuple[int, str] | None:
        """Return graft and name of a map of the machine's table; NONE is none."""
        if map_ == NONE:
            return None
        for number, graft in enumerate(self.grafts):
            index = map_ - graft.placement.map_base
            if 0 <= index < len(graft.program.maps):
                return number, graft.program.maps[index].name
        raise fail("G0870", "a job or a server uses the map of a graft that is not the application's")

    def _script_capability(self, c: int) -> str | None:
        return self._name("capability", c)

    # --- grafts, accounts ---------------------------------------------------------------------------------------------

    def _graft(self, graft: Attachment) -> Graft:
        record = self.k.graft[graft.row]
        first = next(n for n, other in enumerate(self.grafts) if other.placement == graft.placement)
        shares = first if self.grafts[first] is not graft else None
        program = graft.program
        handlers = rows_of_handlers(record, graft)
        return Graft(
            name=program.name,
            process=graft.process.name,
            in_kernel=graft.in_kernel,
            engine=prices.ENGINES[record["engine"]],
            program=program.to_elf(),
            slots={slot.name: self._in_slot(graft, number) for number, slot in enumerate(program.slots)},
            shares=shares,
            contents=None
            if shares is not None
            else gather(program, {spec.name: self.kernel.map(graft, spec.name) for spec in program.maps}),
            alarms=tuple(self._alarms(record)),
            held=tuple(self._members(Queue("request", tables.Q_HELD), record)),
            counts={name: int(record[name]) for name in COUNTS},
            runs={
                name: Run(*(int(self.k.handler[row][field]) for field in ("worst_seen", "activations", "instructions")))
                for name, row in handlers.items()
            },
        )

    def _in_slot(self, graft: Attachment, number: int) -> str | None:
        entry = self.k.slot[self.k.graft[graft.row]["first_slot"] + number]
        c = int(entry["capability"])
        if c == NONE or self.k.capability[c]["epoch"] != entry["epoch"]:
            return None
        return self._name("capability", c)

    def _alarms(self, record: Any) -> Iterator[Alarm]:
        t = int(self.k.queue[record["queues"] + tables.Q_TIMERS]["head"])
        while t != NONE:
            timer = self.k.timer[t]
            in_user = int(timer["kind"]) == tables.T_USER
            cause = self._name("job" if in_user else "operation", int(timer["operation"]))
            yield Alarm(
                number=int(timer["argument"]),
                due=max(0, int(timer["due"]) - self.now),
                period=int(timer["period"]) if int(timer["kind"]) == tables.T_PERIODIC else 0,
                fuel=min(int(timer["fuel"]), NEVER),
                operation=None if in_user else cause,
                job=cause if in_user else None,
                in_user=in_user,
            )
            t = int(timer["next"])

    def _books(self, name: str) -> Books:
        account = self.kernel.accounts[name]
        return Books(name, {c: n for c, n in account.ps.items() if n}, dict(account.counts))
