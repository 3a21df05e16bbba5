"""Whether a snapshot could have been taken from a kernel: what its parts say of each other must agree.

`snapshot.loads` has seen to types and names; here each rule is a sentence about the objects of a kernel between two
entries. A snapshot that breaks one is refused before anything is restored (GraftError G0873, with the rule and the
object), so that no forged one can bring the tables of a kernel into a state that they never have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final

from grafting import limits
from grafting.diagnostics import GraftError, fail
from kernel_model.persistence.collect import CARRIED
from kernel_model.persistence.groups import account_of, groups_of, wrong_with
from kernel_model.persistence.snapshot import Snapshot, Thing, every

LONGEST: Final = 1 << 60  # ps: a time that can be added to any clock
RANDOM: Final = ((1, 4294967087), (1, 4294944443))  # moduli of `core.chance`
RIGHTS: Final = 3
PLACES: Final = {  # state of a request -> the lists in one of which it is
    "draft": ("drafts", "rejects", "held"),
    "queued": ("requests of an endpoint",),
    "caller": ("callers",),
    "held": ("held",),
    "waiting": ("waiting",),
    "received": (),
    "work": (),
}
FLAGS: Final = {
    "process": ("stalled",),
    "endpoint": ("alive",),
    "capability": ("alive",),
    "request": ("vetted",),
    "parcel": ("copied", "landed", "truncated"),
    "operation": ("completed", "reserved"),
}
NATURAL: Final = {
    "process": ("left", "owed", "wait_for", "depth", "batch", "open_jobs", "prepare", "wakeups"),
    "endpoint": ("capacity",),
    "request": ("deadline", "fuel"),
    "operation": ("landing",),
    "wire": ("at", "to", "length"),
    "job": ("pending",),
}


def check(snapshot: Snapshot) -> None:
    """Raise GraftError G0873 if the snapshot makes no sense."""
    _Checker(snapshot).all()


class _Checker:
    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.things = snapshot.things
        self.place: dict[str, list[tuple[str, str]]] = {}  # request -> (list, its owner)
        self.in_flight = self.owners("process", "requests")
        self.held = self.owners("process", "capabilities")
        self.counted = Counter((job.values["owner"], job.values["state"]) for _, job in every(snapshot, "job"))
        self.receiving = self.owners("endpoint", "receivers")

    def refuse(self, table: str, name: str, rule: str) -> GraftError:
        return fail("G0873", f"the snapshot makes no sense: {table} `{name}`: {rule}")

    def expect(self, holds: bool, table: str, name: str, rule: str) -> None:
        if not holds:
            raise self.refuse(table, name, rule)

    def all(self) -> None:
        self.parts()
        self.numbers()
        self.places()
        for name, thing in every(self.snapshot, "request"):
            self.request(name, thing)
        for name, thing in every(self.snapshot, "process"):
            self.process(name, thing)
        for name, thing in every(self.snapshot, "capability"):
            self.capability(name, thing)
        self.parcels()
        self.operations()
        self.completions()
        self.jobs()
        self.grafts()

    # --- the parts ----------------------------------------------------------------------------------------------------

    def parts(self) -> None:
        """Every process and endpoint is made once, and described once."""
        for table, made in (("process", self.snapshot.processes), ("endpoint", self.snapshot.endpoints)):
            names = [part.name for part in made]
            self.expect(len(set(names)) == len(names), table, names[0] if names else "", "a name stands twice")
            self.expect(set(names) == set(self.things[table]), table, "", "its parts and its things have other names")
        groups = groups_of(self.snapshot.processes)
        for name, members in groups.items():
            wrong = wrong_with(name, members)
            self.expect(
                wrong is None and name not in self.things["process"], "group", name, wrong or "a process has its name"
            )
        accounts = {account_of(part) for part in self.snapshot.processes}
        named = [books.name for books in self.snapshot.accounts]
        self.expect(len(named) == len(accounts) and set(named) == accounts, "account", "", "others pay than there are")
        ready = [n for n, t in every(self.snapshot, "process") if t.values["state"] in ("ready", "running")]
        self.expect(sorted(self.snapshot.ready) == sorted(ready), "process", "", "others are ready than it says")

    def numbers(self) -> None:
        """Numbers are such as the kernel counts with."""
        for table, names in NATURAL.items():
            for name, thing in every(self.snapshot, table):
                for field in names:
                    self.expect(0 <= thing.values[field] < LONGEST, table, name, f"`{field}` is no such number")
        for table, names in FLAGS.items():
            for name, thing in every(self.snapshot, table):
                for field in names:
                    self.expect(thing.values[field] in (0, 1), table, name, f"`{field}` is neither 0 nor 1")
        for table, field in (("request", "sent_at"), ("operation", "submitted_at"), ("completion", "posted_at")):
            for name, thing in every(self.snapshot, table):
                since = thing.values[field]
                sent = table != "request" or thing.values["state"] != "draft"
                past = since is not None and -LONGEST < since <= 0
                self.expect(past or not sent, table, name, f"`{field}` is not past")
        for name, thing in every(self.snapshot, "process"):
            values = thing.values
            self.expect(values["owed"] <= values["left"], "process", name, "it owes more than is left of its burst")
            for number in range(6):
                low, high = RANDOM[number // 3]
                self.expect(low <= values[f"r{number}"] < high, "process", name, "no state of a random stream")

    # --- lists --------------------------------------------------------------------------------------------------------

    def places(self) -> None:
        """A request is in one list at a time, that which its state says; every list has a member once."""
        for table, list_, label in (
            ("process", "drafts", "drafts"), ("process", "rejects", "rejects"), ("endpoint", "callers", "callers"),
            ("endpoint", "requests", "requests of an endpoint"), ("capability", "waiting", "waiting"),
        ):  # fmt: skip
            for owner, thing in every(self.snapshot, table):
                self.note(thing.lists[list_], label, owner)
        for number, graft in enumerate(self.snapshot.grafts):
            for request in graft.held:
                self.expect(request in self.things["request"], "graft", graft.name, "it holds what is not there")
            self.note(graft.held, "held", str(number))
        self.once("process", "requests", "request")
        self.once("process", "capabilities", "capability")
        self.once("process", "completions", "completion")
        self.once("process", "jobs", "job")
        self.once("process", "open", "job")
        self.once("endpoint", "receivers", "process")
        self.once("capability", "sent", "request")
        self.once("parcel", "route", "leg")
        self.once("parcel", "wires", "wire")

    def note(self, members: Iterable[str], label: str, owner: str) -> None:
        for member in members:
            self.place.setdefault(member, []).append((label, owner))

    def once(self, table: str, list_: str, of: str) -> None:
        seen: set[str] = set()
        for name, thing in every(self.snapshot, table):
            for member in thing.lists[list_]:
                self.expect(member not in seen, of, member, f"it stands twice among the {list_}")
                seen.add(member)
            self.expect(len(thing.lists[list_]) <= limits.SNAPSHOT_THINGS, table, name, "too long a list")

    def owners(self, table: str, list_: str) -> dict[str, str]:
        return {member: name for name, thing in every(self.snapshot, table) for member in thing.lists[list_]}

    # --- requests, processes ------------------------------------------------------------------------------------------

    def request(self, name: str, thing: Thing) -> None:
        """A request waits where its state says, belongs to an operation once it is sent, and has not ended."""
        values = thing.values
        state, places = values["state"], self.place.get(name, [])

        def expect(holds: bool, rule: str) -> None:
            self.expect(holds, "request", name, rule)

        expect(state in PLACES, f"the state `{state}` lasts no longer than a section")
        expect(len(places) == bool(PLACES[state]), "it is in as many lists as its state allows")
        expect(all(label in PLACES[state] for label, _ in places), "it is in a list that its state does not allow")
        expect(values["process"] is not None, "nobody has sent it")
        expect(len(values["body"]) <= limits.BODY_BYTES, "its body is too long")
        expect((values["outcome"] == "no_outcome") == (state != "work"), "it has ended, or is about to be told")
        if state == "draft":
            expect(values["operation"] is None and name not in self.in_flight, "a draft belongs to no operation yet")
            return
        mine = values["operation"] is not None and self.in_flight.get(name) == values["process"]
        expect(mine, "what is sent belongs to an operation")
        operation = self.things["operation"][values["operation"]]
        expect(operation.values["process"] == values["process"], "its operation is another process's")
        if state in ("queued", "caller"):
            expect(places[0][1] == values["endpoint"], "it waits at another endpoint")
        if state == "received":
            expect((values["holder"] is not None) != (self.right(values) is not None), "nobody, or two, could reply")
        else:
            expect(values["holder"] is None, "somebody could reply who has not received it")
        if state == "waiting":
            expect(values["capability"] == places[0][1], "it waits at another capability")

    def right(self, values: dict[str, Any]) -> str | None:
        parcel = values["parcel"]
        right: str | None = self.things["parcel"][parcel].values["right"] if parcel is not None else None
        return right

    def process(self, name: str, thing: Thing) -> None:
        """What a process has and what has it say the same."""

        def expect(holds: bool, rule: str) -> None:
            self.expect(holds, "process", name, rule)

        values, state = thing.values, thing.values["state"]
        expect((name in self.receiving) == (state == "receiving"), "it receives where it does not, or the other way")
        for draft in (*thing.lists["drafts"], *thing.lists["rejects"]):
            expect(self.things["request"][draft].values["process"] in (name, None), "it has another's draft")
        hand = values["request"]
        if hand is not None:
            expect(self.things["request"][hand].values["holder"] == name, "it has a request that it does not hold")
        for capability in thing.lists["capabilities"]:
            expect(self.things["capability"][capability].values["owner"] == name, "it has another's capability")
        for list_, condition in (("jobs", "waiting"), ("open", "open")):
            listed = [self.things["job"][job].values for job in thing.lists[list_]]
            expect(all(job["owner"] == name and job["state"] == condition for job in listed), "it does another's job")
            expect(len(listed) == self.counted[name, condition], "a job is not where its state says")
        finishing = values["finishing"]
        expect(finishing is None or self.things["job"][finishing].values["owner"] == name, "it ends another's job")
        alarmed = thing.due is not None
        expect(not alarmed or state in ("waiting", "sleeping"), "it is to be woken, but does not sleep")

    # --- capabilities and messages ------------------------------------------------------------------------------------

    def capability(self, name: str, thing: Thing) -> None:
        """A capability leads where its kind says, and the tree is one."""

        def expect(holds: bool, rule: str) -> None:
            self.expect(holds, "capability", name, rule)

        values, kind = thing.values, thing.values["kind"]
        expect(0 <= values["rights"] <= RIGHTS, "there are no such rights")
        leads = (values["endpoint"] is not None) + (thing.outside is not None)
        expect(leads == (kind == "endpoint"), "it leads nowhere, or to two places, or somewhere it should not")
        if thing.outside is not None:
            expect(thing.outside < len(self.snapshot.outside), "it leads to something outside that has no name")
        if values["owner"] is not None:
            expect(self.held.get(name) == values["owner"], "its owner does not have it")
        above, steps = values["parent"], 0
        while above is not None:
            steps += 1
            expect(steps <= len(self.things["capability"]), "it is its own ancestor")
            parent = self.things["capability"][above]
            expect(parent.values["kind"] == "endpoint", "its parent leads nowhere")
            expect(parent.values["endpoint"] == values["endpoint"], "it leads elsewhere than its parent")
            above = parent.values["parent"]
        if kind == "promise" or (kind == "reply" and values["alive"]):
            expect(self.kept(name, values, kind), "nothing knows of it what it says")
        for request in thing.lists["sent"]:
            expect(self.things["request"][request].values["via"] == name, "a request went through another")

    def kept(self, name: str, values: dict[str, Any], kind: str) -> bool:
        """Whether the request of a promise or a reply right knows of it."""
        request = values["object"]
        parcel = self.things["request"][request].values["parcel"] if request is not None else None
        field = "promise" if kind == "promise" else "right"
        return parcel is not None and self.things["parcel"][parcel].values[field] == name

    def parcels(self) -> None:
        """A parcel is of one message; it carries capabilities that nobody else has; wires join two requests."""
        users: dict[str, int] = {}
        for table, field in (("request", "parcel"), ("completion", "parcel"), ("process", "reply_parcel")):
            for _, thing in every(self.snapshot, table):
                if thing.values[field] is not None:
                    users[thing.values[field]] = users.get(thing.values[field], 0) + 1
        carried: set[str] = set()
        laid = self.owners("parcel", "wires")
        feeds: Counter[str] = Counter()
        for name, thing in every(self.snapshot, "parcel"):
            self.expect(users.get(name) == 1, "parcel", name, "it is not of one message")
            own = thing.values["copied"] and not thing.values["landed"]
            for c in (thing.values[field] for field in CARRIED):
                if c is not None and own:
                    free = self.things["capability"][c].values["owner"] is None and c not in carried
                    self.expect(free, "parcel", name, "it carries what somebody else has")
                    carried.add(c)
        for name, wire in every(self.snapshot, "wire"):
            self.expect(wire.values["source"] is not None and wire.values["target"] is not None, "wire", name,
                        "it joins nothing")  # fmt: skip
            source, target = (self.things["request"][wire.values[end]].values for end in ("source", "target"))
            self.expect(laid.get(name) == source["parcel"] and target["parcel"] is not None, "wire", name,
                        "it is laid elsewhere")  # fmt: skip
            ends = wire.values["to"] + wire.values["length"]
            self.expect(ends <= len(target["body"]), "wire", name, "it ends outside the argument")
            feeds[target["parcel"]] += 1
        for name, thing in every(self.snapshot, "parcel"):
            self.expect(-1 <= thing.values["awaiting"] <= feeds[name], "parcel", name, "it awaits more than will come")

    # --- operations, completions, grafts ------------------------------------------------------------------------------

    def operations(self) -> None:
        """An operation has a process and something outstanding."""
        open_ = {thing.values["operation"] for _, thing in every(self.snapshot, "request")}
        open_ |= {alarm.operation for graft in self.snapshot.grafts for alarm in graft.alarms}
        for name, thing in every(self.snapshot, "operation"):
            self.expect(thing.values["process"] is not None, "operation", name, "nobody has submitted it")
            self.expect(name in open_, "operation", name, "nothing of it is outstanding")

    def completions(self) -> None:
        """A completion is in a queue or in the hand of one process."""
        listed = self.owners("process", "completions")
        for name, thing in every(self.snapshot, "process"):
            hand = thing.values["completion"]
            if hand is not None:
                self.expect(hand not in listed, "completion", hand, "it is in a queue, and in a hand")
                listed[hand] = name
        for name, _ in every(self.snapshot, "completion"):
            self.expect(name in listed, "completion", name, "nobody will ever see it")

    def jobs(self) -> None:
        """A job, done or not, is a client's."""
        clients = {part.name for part in self.snapshot.processes if part.kind == "client"}
        for name, thing in every(self.snapshot, "job"):
            self.expect(thing.values["owner"] in clients, "job", name, "it is of no client")

    def grafts(self) -> None:
        """A graft is of a process; it shares the maps of one before it, of the same program."""
        for number, graft in enumerate(self.snapshot.grafts):
            self.expect(graft.process in self.things["process"], "graft", graft.name, "it is of no process")
            if graft.shares is not None:
                one = 0 <= graft.shares < number and self.snapshot.grafts[graft.shares].program == graft.program
                self.expect(one, "graft", graft.name, "it shares the maps of another program")
            self.expect((graft.shares is None) == (graft.contents is not None), "graft", graft.name,
                        "its maps are its own, or shared")  # fmt: skip
            for alarm in graft.alarms:
                self.expect(0 <= alarm.due < LONGEST and alarm.fuel >= 0, "graft", graft.name, "no such timer")
            self.expect(len(graft.alarms) <= limits.TIMERS_ARMED, "graft", graft.name, "it has too many timers")
            for capability in graft.slots.values():
                known = capability is None or capability in self.things["capability"]
                self.expect(known, "graft", graft.name, "a slot holds what is not there")
        for name, thing in every(self.snapshot, "job"):
            if thing.into is not None:
                self.expect(thing.into[0] < len(self.snapshot.grafts), "job", name, "its graft is not there")


def references(snapshot: Snapshot) -> Iterator[str]:
    """Yield the positions of grafts that things refer to, as they were written."""
    for table in ("request", "completion"):
        for _, thing in every(snapshot, table):
            if thing.values["graft"] is not None:
                yield thing.values["graft"]
