"""From a snapshot to rows of another kernel: the parts by the kernel's own constructors, the rest field by field.

    prepare   names, bindings, programs: verified again, or the upgraded ones
    --- commit: what could still be wrong was found by a rehearsal in an empty kernel (`persistence.restore`) ---
    make      endpoints, processes, grafts with their maps
    row       a row for every thing, so that any may name any other
    fill      fields, bodies, references
    link      lists, trees, timers; counts are counted again, never believed
    go on     what ran is ready; what was cancelled is told, in the first section of its process's core

The kernel may be another version with other tables, other profiles and other cores: nothing depends on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import verifier
from grafting import limits
from grafting.diagnostics import fail
from grafting.program import Program
from kernel_model import capabilities
from kernel_model.accounting import Account
from kernel_model.books import DIGIT
from kernel_model.core import heap, lists, pools, tables
from kernel_model.core.activation import next_serial
from kernel_model.core.capabilities import lead, new_capability
from kernel_model.core.tables import NONE
from kernel_model.groups import Clients
from kernel_model.handles import Attachment, Capability, Client, Jobs, Process, Server, Target
from kernel_model.persistence import plans
from kernel_model.persistence.collect import COUNTS, rows_of_handlers
from kernel_model.persistence.contents import Upgrade, spread
from kernel_model.persistence.groups import Groups, account_of, groups_of
from kernel_model.persistence.made import Maker, times_of
from kernel_model.persistence.schema import LISTS, SAVED, Body, Chain, Choice, Fresh, Instant, Kind, Plain, Queue, Ref
from kernel_model.persistence.snapshot import Alarm, Books, Graft, Made, Snapshot, Thing, every
from kernel_model.persistence.streams import make_streams

if TYPE_CHECKING:
    from kernel_model.kernel import Kernel
    from verifier import Verified

GOING = ("ready", "running", "postponed")
NAMING = ("request", "completion", "leg")  # which name a capability by row and epoch
POOLED = {
    "request": tables.P_REQUEST,
    "operation": tables.P_OPERATION,
    "completion": tables.P_COMPLETION,
    "capability": tables.P_CAPABILITY,
    "parcel": tables.P_PARCEL,
    "wire": tables.P_WIRE,
    "leg": tables.P_LEG,
}


@dataclass(frozen=True, slots=True)
class Restored:
    """An application in its new kernel: processes, groups, grafts in their order, the jobs of each client."""

    name: str
    processes: Mapping[str, Process]
    grafts: tuple[Attachment, ...]
    jobs: Mapping[str, Jobs]
    groups: Mapping[str, Clients]


def rebuild(
    kernel: Kernel,
    snapshot: Snapshot,
    bindings: Mapping[str, Target],
    grafts: Mapping[str, Verified],
    upgrade: Upgrade,
) -> Restored:
    """Put the application into `kernel`. Raises GraftError before the first effect, see `Kernel.restore`."""
    return _Rebuilder(kernel, snapshot, bindings, grafts, upgrade).restored()


class _Rebuilder:
    def __init__(
        self,
        kernel: Kernel,
        snapshot: Snapshot,
        bindings: Mapping[str, Target],
        grafts: Mapping[str, Verified],
        upgrade: Upgrade,
    ) -> None:
        self.kernel, self.snapshot, self.upgrade = kernel, snapshot, upgrade
        self.bindings = bindings
        self.rows: dict[str, dict[str, int]] = {table: {} for table in SAVED}
        self.now = kernel.now_ps
        taken = {*kernel.accounts, *(endpoint.name for endpoint in kernel.endpoints.values())}
        self.groups = groups_of(snapshot.processes)
        for name in (*(part.name for part in (*snapshot.processes, *snapshot.endpoints)), *self.groups):
            if name in taken:
                raise fail("G0875", f"there is a process or an endpoint `{name}` in this kernel already")
        self._check_bindings()
        self.verified = [self._program(graft, grafts) for graft in snapshot.grafts]

    # --- prepare ------------------------------------------------------------------------------------------------------

    def _check_bindings(self) -> None:
        known = {outside.name for outside in self.snapshot.outside}
        if unknown := [name for name in self.bindings if name not in known]:
            raise fail("G0875", f"nothing of `{self.snapshot.application}` leads to `{unknown[0]}`",
                       notes=(f"it needs {', '.join(sorted(known)) or 'nothing'}",))  # fmt: skip
        for outside in self.snapshot.outside:
            if outside.name in self.bindings:
                lacking = set(outside.rights) - self._binding(outside.name).rights
                if lacking:
                    raise fail("G0875", f"the binding of `{outside.name}` lacks the right to {' and '.join(lacking)}")

    def _binding(self, name: str) -> Capability:
        bound = self.bindings[name]
        return bound if isinstance(bound, Capability) else capabilities.root(self.kernel, bound)

    def _program(self, graft: Graft, given: Mapping[str, Verified]) -> Verified:
        """Return the verified program of a graft: the saved one, verified again, or the one given in its place."""
        verified = given.get(graft.name)
        if verified is None:
            verified = verifier.verify(Program.from_elf(graft.program))
        slots = {slot.name for slot in verified.program.slots}
        if missing := [name for name in slots if name not in graft.slots]:
            raise fail("G0876", f"the graft `{graft.name}` now has a slot `{missing[0]}`, which nothing saved can fill")
        return verified

    # --- commit -------------------------------------------------------------------------------------------------------

    def restored(self) -> Restored:
        endpoints = {}
        for part in self.snapshot.endpoints:
            endpoints[part.name] = self.kernel.endpoint(part.name, self._capacity(part))
            self.rows["endpoint"][part.name] = endpoints[part.name].row
        groups = Groups(self.kernel, {name: len(members) for name, members in self.groups.items()})
        maker = Maker(self.kernel, endpoints, groups)
        processes = {}
        for part in self.snapshot.processes:
            process = maker.process(part)
            processes[part.name] = process
            self.rows["process"][part.name] = process.row
        self.kernel.forget_starting(processes.values())
        self.jobs = self._make_jobs(processes)
        self._allocate()
        for table in SAVED:
            for name, thing in every(self.snapshot, table):
                self._fill(table, self.rows[table][name], thing)
        self._grow_tree()
        for part in self.snapshot.processes:
            maker.rows(processes[part.name], part, self._script_capability)
        attached = self._make_grafts(processes)
        make_streams(self.kernel, self.snapshot.processes, self.rows["job"],
                     lambda given: self.kernel.distribution(times_of(given)))  # fmt: skip
        self._keep(processes, attached)
        for part in self.snapshot.processes:
            maker.mode(processes[part.name], part)
            plans.give(self.kernel, processes[part.name].row, part, self.rows["capability"])
        for table in LISTS:
            for name, thing in every(self.snapshot, table):
                self._link(table, self.rows[table][name], thing)
        self._count_again(processes)
        self._go_on(processes)
        return Restored(self.snapshot.application, processes, attached, self.jobs, groups.made)

    def _capacity(self, part: Made) -> int:
        capacity = self.snapshot.things["endpoint"][part.name].values["capacity"]
        return min(int(capacity), limits.SNAPSHOT_THINGS)

    def _script_capability(self, name: str | None) -> int:
        return NONE if name is None else self.rows["capability"][name]

    def _keep(self, processes: Mapping[str, Process], attached: tuple[Attachment, ...]) -> None:
        """Servers go on putting what they read into the maps of grafts."""
        for part in self.snapshot.processes:
            for number, act in enumerate(part.arguments.get("acts", ())):
                if act.get("keeps"):
                    graft, name = act["keeps"]
                    server = processes[part.name]
                    assert isinstance(server, Server)
                    self.kernel.keep_reads(server, attached[graft], name, op=number)

    @property
    def k(self) -> Any:
        return self.kernel.tables

    def _make_jobs(self, processes: Mapping[str, Process]) -> dict[str, Jobs]:
        """Make rows for the jobs of each client, next to each other and in their order."""
        found = {}
        for name, process in processes.items():
            mine = [job for job, thing in every(self.snapshot, "job") if thing.values["owner"] == name]
            mine.sort(key=lambda job: (len(job), job))  # names are numbers
            if mine:
                first = self.kernel.storage.add("job", len(mine), stream=NONE)
                self.rows["job"] |= {job: first + number for number, job in enumerate(mine)}
                assert isinstance(process, Client)
                found[name] = Jobs(self.kernel, process, first, len(mine))
        return found

    def _allocate(self) -> None:
        roots = {
            thing.values["root"]: int(self.k.endpoint[self.rows["endpoint"][name]]["root"])
            for name, thing in every(self.snapshot, "endpoint")
        }
        for table, pool in POOLED.items():
            for name, _ in every(self.snapshot, table):
                self.kernel.storage.ensure(pool)
                if table == "capability":
                    row = roots.get(name)
                    self.rows[table][name] = new_capability(self.k, tables.C_NULL, NONE) if row is None else row
                else:
                    self.rows[table][name] = self._take(table)

    def _take(self, table: str) -> int:
        match table:
            case "request":
                return pools.take_request(self.k)
            case "operation":
                return pools.take_operation(self.k)
            case "parcel":
                return pools.take_parcel(self.k)
        return pools.take(self.k, POOLED[table], getattr(self.k, table))

    # --- fill ---------------------------------------------------------------------------------------------------------

    def _fill(self, table: str, row: int, thing: Thing) -> None:
        for name, kind in SAVED[table].items():
            if isinstance(kind, Body):
                self._set_body(table, row, name, kind, thing.values[name])
            elif not isinstance(kind, Fresh):
                getattr(self.k, table)[row][name] = self._number(kind, thing.values[name])
        if table in NAMING and thing.values["capability"] is not None:
            record = getattr(self.k, table)[row]
            record["epoch"] = self.k.capability[record["capability"]]["epoch"]

    def _number(self, kind: Kind, value: Any) -> int:
        match kind:
            case Plain():
                return int(value)
            case Instant(absent):
                return absent if value is None else self.now + int(value)
            case Choice(names):
                return next(number for number, name in names.items() if name == value)
            case Ref(table):
                return NONE if value is None else self._row_of(table, value)
        raise AssertionError(kind)

    def _row_of(self, table: str, name: str) -> int:
        if table == "graft":
            return NONE  # grafts are made later: `_make_grafts`
        return self.rows[table][name]

    def _set_body(self, table: str, row: int, name: str, kind: Body, data: bytes) -> None:
        self.kernel.storage.grow()
        at = pools.take_body(self.k, len(data))
        self.k.arena[at : at + len(data)] = np.frombuffer(data, np.uint8)
        record = getattr(self.k, table)[row]
        record[name], record[kind.length] = at, len(data)
        if kind.room is not None:
            record[kind.room] = pools.room_for(len(data))

    # --- link ---------------------------------------------------------------------------------------------------------

    def _grow_tree(self) -> None:
        """Put capabilities under their parents, and those that led outside under their bindings."""
        for name, thing in every(self.snapshot, "capability"):
            row = self.rows["capability"][name]
            capability = self.k.capability[row]
            if capability["parent"] != NONE:
                parent = int(capability["parent"])
                lists.append(
                    self.k, int(self.k.capability[parent]["queues"]) + tables.Q_CHILDREN, self.k.capability, row
                )
            elif thing.outside is not None:
                self._bind(row, self.snapshot.outside[thing.outside].name)

    def _bind(self, c: int, name: str) -> None:
        capability = self.k.capability[c]
        if name not in self.bindings:
            capability["kind"] = tables.C_NULL
            return
        badge, rights = int(capability["badge"]), int(capability["rights"])
        lead(self.k, c, self._binding(name).row, rights)
        if capability["badge"] == 0:
            capability["badge"] = badge

    def _link(self, table: str, row: int, thing: Thing) -> None:
        record = getattr(self.k, table)[row]
        for name, spec in LISTS[table].items():
            members = [self.rows[spec.table][member] for member in thing.lists[name]]
            rows = getattr(self.k, spec.table)
            match spec:
                case Queue(_, offset, None):
                    for member in members:
                        lists.append(self.k, int(record["queues"]) + offset, rows, member)
                case Queue(_, offset, int(place)):
                    for member in members:
                        lists.append(self.k, int(record["queues"]) + offset, self.k.link, 2 * member + place)
                case Chain():
                    _chain(record, rows, spec, members)
        if table == "parcel":
            self._feed(thing)

    def _feed(self, thing: Thing) -> None:
        """The wires that leave a parcel feed those of their targets."""
        for wire in thing.lists["wires"]:
            row = self.k.wire[self.rows["wire"][wire]]
            target = self.k.parcel[self.k.request[row["target"]]["parcel"]]
            row["sister"] = target["feeds"]
            target["feeds"] = self.rows["wire"][wire]

    # --- grafts -------------------------------------------------------------------------------------------------------

    def _make_grafts(self, processes: Mapping[str, Process]) -> tuple[Attachment, ...]:
        attached: list[Attachment] = []
        for saved, verified in zip(self.snapshot.grafts, self.verified, strict=True):
            process = processes[saved.process]
            filled = {name: self._slot(saved.slots[name]) for name in (slot.name for slot in verified.program.slots)}
            maps = attached[saved.shares] if saved.shares is not None else None
            put = self.kernel.attach if saved.in_kernel else self.kernel.load
            engine: Literal["interpreted", "native"] = "native" if saved.engine == "native" else "interpreted"
            graft = put(verified, to=process, slots=filled, engine=engine, maps=maps)
            attached.append(graft)
            if saved.contents is not None:
                views = {spec.name: self.kernel.map(graft, spec.name) for spec in verified.program.maps}
                spread(saved.contents, verified.program, views, self.upgrade)
            self._tell(saved, graft)
        self._refer(attached)
        return tuple(attached)

    def _slot(self, name: str | None) -> Capability | None:
        if name is None:
            return None
        c = capabilities.handle(self.kernel, self.rows["capability"][name])
        return c if c.kind == "endpoint" else None

    def _tell(self, saved: Graft, graft: Attachment) -> None:
        """Give a graft the counts, timers and held requests of before."""
        row = self.k.graft[graft.row]
        for name in COUNTS:
            row[name] = saved.counts.get(name, 0)
        for name, number in rows_of_handlers(row, graft).items():
            if run := saved.runs.get(name):
                handler = self.k.handler[number]
                handler["activations"], handler["instructions"] = run.activations, run.instructions
                handler["worst_seen"] = run.worst_seen
        for alarm in saved.alarms:
            self._arm(alarm, graft)
        for name in saved.held:
            lists.append(self.k, int(row["queues"]) + tables.Q_HELD, self.k.request, self.rows["request"][name])
        row["held"] = len(saved.held)
        row["armed"] = len(saved.alarms)

    def _arm(self, alarm: Alarm, graft: Attachment) -> None:
        core = int(self.k.process[graft.process.row]["core"])
        kind = tables.T_USER if alarm.in_user else tables.T_PERIODIC if alarm.period else tables.T_GRAFT
        t = self._timer(alarm.due, kind, core, graft.row, alarm.number)
        cause = ("job", alarm.job) if alarm.in_user else ("operation", alarm.operation)
        self.k.timer[t]["operation"] = NONE if cause[1] is None else self.rows[cause[0]][cause[1]]
        self.k.timer[t]["fuel"] = alarm.fuel
        self.k.timer[t]["period"] = alarm.period
        lists.append(self.k, int(self.k.graft[graft.row]["queues"]) + tables.Q_TIMERS, self.k.timer, t)

    def _timer(self, due: int, kind: int, core: int, target: int, argument: int) -> int:
        self.kernel.storage.ensure(tables.P_TIMER)
        return int(heap.set_timer(self.k, self.now + due, kind, core, target, argument))

    def _refer(self, attached: list[Attachment]) -> None:
        """Requests, completions and jobs name grafts, which have rows only now."""
        for table in ("request", "completion"):
            for name, thing in every(self.snapshot, table):
                if thing.values["graft"] is not None:
                    getattr(self.k, table)[self.rows[table][name]]["graft"] = attached[int(thing.values["graft"])].row
        for name, thing in every(self.snapshot, "job"):
            job = self.k.job[self.rows["job"][name]]
            job["map"] = self._map(attached, thing.into[:2] if thing.into else None)
            job["result"] = self._map(attached, thing.out_of)
            if thing.into is not None:
                job["value"] = self._argument(attached[thing.into[0]], *thing.into[1:])

    def _argument(self, graft: Attachment, name: str, value: bytes) -> int:
        """Return where the argument of a job lies; it must be a value of the map, whatever has become of that."""
        size = next(spec.value_size for spec in graft.program.maps if spec.name == name)
        if size != len(value):
            raise fail("G0876", f"jobs give {len(value)} bytes to the map `{name}`, whose values now have {size}")
        return self.kernel.storage.store(value)

    def _map(self, attached: list[Attachment], named: tuple[int, str] | None) -> int:
        if named is None:
            return NONE
        graft, wanted = attached[named[0]], named[1]
        names = [spec.name for spec in graft.program.maps]
        if wanted not in names:
            raise fail("G0876", f"jobs use the map `{wanted}` of `{graft.program.name}`, which has none any more")
        return graft.placement.map_base + names.index(wanted)

    # --- counts -------------------------------------------------------------------------------------------------------

    def _count_again(self, processes: Mapping[str, Process]) -> None:
        """What can be counted is counted; what was in flight joins the books with the time that it has been so."""
        for name, thing in every(self.snapshot, "endpoint"):
            endpoint = self.k.endpoint[self.rows["endpoint"][name]]
            endpoint["queued"] = len(thing.lists["requests"])
            endpoint["waiting"] = len(thing.lists["receivers"])
        meter = self.k.meter[0]
        for name, _ in every(self.snapshot, "operation"):
            operation = self.k.operation[self.rows["operation"][name]]
            process = self.k.process[operation["process"]]
            operation["serial"] = next_serial(self.k)
            operation["context"] = process["context"]
            process["operations"] += 1
            if not operation["completed"]:
                process["cq_reserved"] += int(operation["reserved"])
                _enter(meter, "operation", "operations_submitted", self.now - int(operation["submitted_at"]))
        for name, thing in every(self.snapshot, "request"):
            request = self.k.request[self.rows["request"][name]]
            if thing.values["state"] == "draft":
                continue
            request["serial"] = next_serial(self.k)
            self.k.operation[request["operation"]]["outstanding"] += 1
            _enter(meter, "request", "requests_submitted", self.now - int(request["sent_at"]))
            if thing.due is not None:
                core = int(self.k.process[request["process"]]["core"])
                request["timer"] = self._timer(thing.due, tables.T_DEADLINE, core, self.rows["request"][name], NONE)
        for graft in self.snapshot.grafts:
            for alarm in graft.alarms:
                if not alarm.period:
                    self.k.process[self.rows["process"][graft.process]]["cq_reserved"] += 1
                if not alarm.in_user and alarm.operation is not None:
                    self.k.operation[self.rows["operation"][alarm.operation]]["outstanding"] += 1
        for name, process in processes.items():
            self._count_process(name, self.k.process[process.row])

    def _count_process(self, name: str, row: Any) -> None:
        thing = self.snapshot.things["process"][name]
        row["cq_posted"] = min(len(thing.lists["completions"]), int(row["cq_capacity"] - row["cq_reserved"]))
        row["cq_behind"] = len(thing.lists["completions"]) - row["cq_posted"]
        if name in self.jobs:
            jobs = self.jobs[name]
            last = jobs.first + jobs.count - 1
            states = self.k.job["state"][jobs.first : last + 1]
            row["open_jobs"] = int(np.count_nonzero(states == tables.J_OPEN))
            self.k.meter[0]["jobs_open"] += int(np.count_nonzero(states != tables.J_DONE))

    # --- going on -----------------------------------------------------------------------------------------------------

    def _go_on(self, processes: Mapping[str, Process]) -> None:
        paying: dict[str, list[Process]] = {}
        for part in self.snapshot.processes:
            paying.setdefault(account_of(part), []).append(processes[part.name])
        for books in self.snapshot.accounts:
            self.kernel.carry(self._carried(books, paying[books.name]))
        for name, thing in every(self.snapshot, "request"):
            if thing.values["state"] == "work":
                lists.append(self.k, tables.Q_WORK, self.k.request, self.rows["request"][name])
        for name, process in processes.items():
            thing, row = self.snapshot.things["process"][name], self.k.process[process.row]
            if thing.due is not None:
                row["timer"] = self._timer(thing.due, tables.T_WAKE, int(row["core"]), process.row, NONE)
            if thing.values["state"] in GOING:
                row["state"] = tables.PARKED
        postponed = [name for name, thing in every(self.snapshot, "process") if thing.values["state"] == "postponed"]
        for name in (*self.snapshot.ready, *postponed):
            self.kernel.start(processes[name])
        for process in processes.values():
            self.kernel.interrupt(process)

    def _carried(self, books: Books, processes: list[Process]) -> Account:
        """Return what an account brings with it: what was charged ahead of the cut is charged here, as it passes."""
        ahead = 0
        for process in processes:
            row = self.k.process[process.row]
            ahead += int(row["left"] - row["owed"])
            row["owed"] = row["left"]
        return Account(books.name, {**books.ps, "user": books.ps.get("user", 0) - ahead}, books.counts)


def _chain(record: Any, rows: Any, spec: Chain, members: list[int]) -> None:
    """Link `members` in their order and let `record` be their owner."""
    record[spec.first] = members[0] if members else NONE
    if spec.last:
        record[spec.last] = members[-1] if members else NONE
    for i, member in enumerate(members):
        rows[member][spec.next] = members[i + 1] if i + 1 < len(members) else NONE
        if spec.previous:
            rows[member][spec.previous] = members[i - 1] if i else NONE


def _enter(meter: Any, kind: str, begun: str, age: int) -> None:
    """Count something as in flight, for `age` ps so far: as much to Little's area as to the time in flight."""
    meter[begun] += 1
    low = int(meter[f"{kind}_area_low"]) + max(age, 0)
    meter[f"{kind}_area_high"] += low >> DIGIT
    meter[f"{kind}_area_low"] = low & ((1 << DIGIT) - 1)
