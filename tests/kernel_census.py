"""A census of the kernel's tables between two events: every row that is in use is found in exactly one place, every
count is that of what it counts, and whoever waits has something to wait for.

`books.check` holds totals against each other; this looks at each object. What it finds wrong it says by name.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from kernel_model import Kernel
from kernel_model.core import tables
from kernel_model.core.tables import NONE, Tables

POOLS = (
    (tables.P_REQUEST, "request"), (tables.P_OPERATION, "operation"), (tables.P_COMPLETION, "completion"),
    (tables.P_TIMER, "timer"), (tables.P_CAPABILITY, "capability"), (tables.P_PARCEL, "parcel"),
    (tables.P_WIRE, "wire"), (tables.P_LEG, "leg"),
)  # fmt: skip
PLACES = {
    "draft": (tables.R_DRAFT,), "reject": (tables.R_DRAFT,), "held": (tables.R_HELD, tables.R_DRAFT),
    "queued": (tables.R_QUEUED,), "caller": (tables.R_CALLER,), "waiting": (tables.R_WAITING,),
    "received": (tables.R_RECEIVED,), "linked": (tables.R_LINKED,),
    "ringed": (tables.R_RINGED,),
    "deferred": (tables.R_SUBMITTING, tables.R_ARRIVING, tables.R_ENDING, tables.R_TIMING),
}  # fmt: skip


class Census:
    """What is where, of one kernel at one moment."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.k: Tables = kernel.tables
        self.used = {name: set(range(len(getattr(self.k, name)))) - set(self._free(pool, name)) for pool, name in POOLS}
        self.processes = range(kernel.storage.used["process"])
        self.endpoints = range(kernel.storage.used["endpoint"])
        self.grafts = range(kernel.storage.used["graft"])
        self.place: dict[int, str] = {}

    def _free(self, pool: int, name: str) -> Iterator[int]:
        row, seen, table = int(self.k.pool[pool]["head"]), 0, getattr(self.k, name)
        while row != NONE:
            yield row
            seen += 1
            assert seen <= len(table), f"the free list of {name} goes round"
            row = int(table[row]["next"])
        assert seen == self.k.pool[pool]["free"], f"free rows of {name}"

    def queue(self, queue: int, table: Any, name: str) -> list[int]:
        found, row, before = [], int(self.k.queue[queue]["head"]), NONE
        while row != NONE:
            assert table[row]["prev"] == before, f"{name}: broken link"
            found.append(row)
            assert len(found) <= len(table), f"{name} goes round"
            before, row = row, int(table[row]["next"])
        assert self.k.queue[queue]["tail"] == before, f"{name}: tail"
        return found

    def check(self) -> None:
        self.requests()
        self.endpoints_and_lists()
        self.operations()
        self.completions()
        self.timers()
        self.capabilities()
        self.own_rows()
        self.parcels()
        self.bodies()
        self.waiting()

    # --- requests ---------------------------------------------------------------------------------------------------

    def put(self, r: int, place: str) -> None:
        assert r in self.used["request"], f"request {r}, {place}, is free"
        assert r not in self.place, f"request {r} is {self.place[r]} and {place}"
        state = int(self.k.request[r]["state"])
        assert state in PLACES[place], f"request {r}, {place}, has state {state}"
        self.place[r] = place

    def requests(self) -> None:
        k = self.k
        for p in self.processes:
            process = k.process[p]
            if process["behaviour"] == tables.B_CONTINUATION:
                deferred = self.queue(int(process["queues"]) + tables.Q_DEFERRED, k.request, "deferred")
                for r in deferred:
                    self.put(r, "deferred")
                    assert k.request[r]["holder"] == process["partner"], "deferred for another"
                owner = k.process[process["partner"]]
                assert owner["deferred"] == len(deferred), "events deferred for a process"
                entering = [r for r in deferred if k.request[r]["state"] == tables.R_SUBMITTING]
                assert owner["entering"] == len(entering), "submissions deferred"
                if deferred:
                    assert process["state"] not in (tables.PARKED, tables.DEAD), "a continuation sleeps on work"
                continue
            for queue, place in ((tables.Q_DRAFTS, "draft"), (tables.Q_REJECTS, "reject")):
                for r in self.queue(int(process["queues"]) + queue, k.request, place):
                    self.put(r, place)
            if process["request"] != NONE:
                r = int(process["request"])
                self.put(r, "received")
                assert k.request[r]["holder"] == p, "a request in hand has another holder"
        for e in self.endpoints:
            for queue, place in ((tables.Q_REQUESTS, "queued"), (tables.Q_CALLERS, "caller")):
                for r in self.queue(int(k.endpoint[e]["queues"]) + queue, k.request, place):
                    self.put(r, place)
                    assert k.request[r]["endpoint"] == e
        for g in self.grafts:
            held = self.queue(int(k.graft[g]["queues"]) + tables.Q_HELD, k.request, "held")
            assert k.graft[g]["held"] == len(held), "requests held by a graft"
            for r in held:
                self.put(r, "held")
            assert not self.queue(int(k.graft[g]["queues"]) + tables.Q_OUTBOX, k.request, "outbox")
        for c in self.used["capability"]:
            for r in self.queue(int(k.capability[c]["queues"]) + tables.Q_WAITING, k.request, "waiting"):
                self.put(r, "waiting")
                assert k.request[r]["via"] == c
            if k.capability[c]["kind"] == tables.C_REPLY and k.capability[c]["alive"]:
                r = int(k.capability[c]["object"])
                self.put(r, "received")
                assert k.parcel[k.request[r]["parcel"]]["right"] == c
        for r in self.used["request"]:
            if k.request[r]["state"] == tables.R_LINKED:
                self.put(r, "linked")
            elif k.request[r]["state"] == tables.R_RINGED:
                self.put(r, "ringed")
        lost = self.used["request"] - set(self.place)
        assert not lost, f"requests that stand nowhere: {[(r, int(k.request[r]['state'])) for r in lost]}"
        assert not self.queue(tables.Q_WORK, k.request, "work")

    def in_flight(self, r: int) -> bool:
        """Whether it is a request that has been submitted and has not ended."""
        request = self.k.request[r]
        return bool(request["state"] not in (tables.R_DRAFT, tables.R_ENDING, tables.R_TIMING))

    def endpoints_and_lists(self) -> None:
        k = self.k
        reserved, announced, arriving = Counter[int](), Counter[int](), Counter[int]()
        for r in self.used["request"]:
            request = k.request[r]
            if request["place"] == 1:
                reserved[int(request["endpoint"])] += 1
            elif request["place"] != 0:
                announced[int(request["endpoint"])] += 1
            if request["state"] == tables.R_ARRIVING:
                arriving[int(request["endpoint"])] += 1
        for e in self.endpoints:
            endpoint, queues = k.endpoint[e], int(k.endpoint[e]["queues"])
            queued = self.queue(queues + tables.Q_REQUESTS, k.request, "queued")
            callers = self.queue(queues + tables.Q_CALLERS, k.request, "callers")
            receivers = self.queue(queues + tables.Q_RECEIVERS, k.process, "receivers")
            assert endpoint["queued"] == len(queued), "requests queued"
            assert endpoint["waiting"] == len(receivers), "receivers waiting"
            assert endpoint["reserved"] == reserved[e], f"places reserved: {endpoint['reserved']}, {reserved[e]}"
            assert endpoint["announced"] == announced[e], "arrivals announced"
            assert endpoint["deferred"] == arriving[e], "arrivals deferred"
            free = endpoint["capacity"] + endpoint["waiting"] - endpoint["queued"] - endpoint["reserved"]
            lost = any(k.process[p]["endpoint"] == e and k.process[p]["state"] == tables.DEAD for p in self.processes)
            lost |= k.config[0]["activation"] in (tables.DEFERRED_MODE, tables.AUTO_MODE)
            assert free >= 0 or lost, "more in an endpoint than it has room for"  # a receiver's place goes with it
            assert not (receivers and (queued or callers)), "a receiver waits where a request does"
            assert not (callers and free > 0), "a call waits for a place that is free"
            if not endpoint["alive"]:
                assert not queued, "requests queued at a dead endpoint"
                assert not callers, "calls that wait at a dead endpoint"
        own: dict[int, list[int]] = {p: [] for p in self.processes}
        for p in self.processes:
            if k.process[p]["behaviour"] == tables.B_CONTINUATION:
                continue
            own[p] = [row >> 1 for row in self.queue(int(k.process[p]["queues"]) + tables.Q_OWN, k.link, "own")]
            for r in own[p]:
                assert k.request[r]["process"] == p
        flying = {r for r in self.used["request"] if self.in_flight(r)}
        assert sorted(r for rows in own.values() for r in rows) == sorted(flying), "the lists of the processes"
        for c in self.used["capability"]:
            for row in self.queue(int(k.capability[c]["queues"]) + tables.Q_SENT, k.link, "sent"):
                request = k.request[row >> 1]
                assert row >> 1 in flying
                assert request["via"] == c
                assert request["state"] != tables.R_RECEIVED

    # --- operations -------------------------------------------------------------------------------------------------

    def operations(self) -> None:
        k = self.k
        outstanding, of_process, promised = Counter[int](), Counter[int](), Counter[int]()
        for r in self.used["request"]:
            o = int(k.request[r]["operation"])
            if o != NONE and k.request[r]["state"] != tables.R_DRAFT:
                outstanding[o] += 1
        for g in self.grafts:
            timers = self.queue(int(k.graft[g]["queues"]) + tables.Q_TIMERS, k.timer, "timers")
            for t in timers:
                timer = k.timer[t]
                assert t in self.used["timer"]
                if timer["kind"] == tables.T_GRAFT and timer["operation"] != NONE:
                    outstanding[int(timer["operation"])] += 1
                if timer["kind"] != tables.T_PERIODIC:
                    promised[int(k.graft[g]["process"])] += 1
                assert timer["fuel"] != tables.UNSHARED
            assert k.graft[g]["armed"] == len(timers), "timers armed"
        for o in self.used["operation"]:
            operation = k.operation[o]
            p = int(operation["process"])
            of_process[p] += 1
            assert operation["outstanding"] == outstanding[o], (
                f"outstanding of {o}: {operation['outstanding']}, {outstanding[o]}"
            )
            assert outstanding[o] > 0, "an operation that nothing can end"
            if not operation["completed"]:
                promised[p] += int(operation["reserved"])
                if operation["origin"] == tables.O_CALL and k.process[p]["state"] != tables.DEAD:
                    assert k.process[p]["state"] in (tables.CALLING, tables.BLOCKED), "a call whose caller is not in it"
        assert not set(outstanding) - self.used["operation"], "operations that are free and go on"
        for p in self.processes:
            process = k.process[p]
            assert process["operations"] == of_process[p], "operations of a process"
            if process["state"] != tables.DEAD and process["behaviour"] != tables.B_CONTINUATION:
                assert process["cq_reserved"] == promised[p], (
                    f"completions promised to {p}: {process['cq_reserved']}, {promised[p]}"
                )
                assert process["cq_posted"] + process["cq_reserved"] <= process["cq_capacity"], (
                    "no room for completions"
                )

    def completions(self) -> None:
        k, found, named = self.k, set[int](), Counter[int]()
        for p in self.processes:
            process = k.process[p]
            if process["behaviour"] == tables.B_CONTINUATION:
                continue
            posted = self.queue(int(process["queues"]) + tables.Q_COMPLETIONS, k.completion, "completions")
            assert process["cq_posted"] + process["cq_behind"] == len(posted), "completions posted"
            if process["state"] == tables.WAITING:
                assert process["cq_posted"] < process["wait_for"], "waits for what is there"
            mine = posted + ([int(process["completion"])] if process["completion"] != NONE else [])
            assert not found & set(mine)
            found |= set(mine)
        assert found == self.used["completion"], "completions that stand nowhere"
        for c in found:
            named[int(k.completion[c]["graft"])] += 1
        for g in self.grafts:
            assert k.graft[g]["pending"] == named[g], "completions that name a graft"

    def timers(self) -> None:
        k = self.k
        heap = [int(t) for t in k.heap[: int(k.meter[0]["heap_size"])]]
        due = []
        for core in k.core[: self.kernel.cores]:
            t = int(core["pending_first"])
            while t != NONE:
                due.append(t)
                t = int(k.timer[t]["follower"])
        assert len(set(heap + due)) == len(heap) + len(due), "a timer twice"
        assert set(heap + due) == self.used["timer"], "timers that nobody will see"

    # --- capabilities -----------------------------------------------------------------------------------------------

    def capabilities(self) -> None:
        k, holder = self.k, dict[int, str]()
        for p in self.processes:
            c, before = int(k.process[p]["held"]), NONE
            while c != NONE:
                assert c not in holder, "a capability held twice"
                assert k.capability[c]["owner"] == p
                assert k.capability[c]["held_prev"] == before
                holder[c] = f"process {p}"
                before, c = c, int(k.capability[c]["held_next"])
        for x in self.used["parcel"]:
            parcel = k.parcel[x]
            if parcel["copied"] and not parcel["landed"]:
                for c in (int(parcel[f"c{i}"]) for i in range(int(parcel["count"]))):
                    if c != NONE:
                        assert c not in holder, f"capability {c} in parcel {x} and of {holder.get(c)}"
                        holder[c] = f"parcel {x}"
                        assert k.capability[c]["owner"] == NONE
        for e in self.endpoints:
            if k.capability[k.endpoint[e]["root"]]["owner"] == NONE:
                holder[int(k.endpoint[e]["root"])] = "root"
        stray = self.used["capability"] - set(holder)
        assert not stray, f"capabilities that nobody holds: {[(c, int(k.capability[c]['kind'])) for c in stray]}"
        assert not set(holder) - self.used["capability"], "held and free"
        for c in self.used["capability"]:
            row = k.capability[c]
            for child in self.queue(int(row["queues"]) + tables.Q_CHILDREN, k.capability, "children"):
                assert k.capability[child]["parent"] == c
                if row["kind"] == tables.C_ENDPOINT and k.capability[child]["kind"] == tables.C_ENDPOINT:
                    assert not int(k.capability[child]["rights"]) & ~int(row["rights"]), "a child with more rights"
            if row["kind"] == tables.C_PROMISE:
                assert int(row["object"]) in self.used["request"], "a promise of nothing"
                assert k.parcel[k.request[row["object"]]["parcel"]]["promise"] == c
            else:
                waiting = self.queue(int(row["queues"]) + tables.Q_WAITING, k.request, "waiting")
                if waiting:
                    assert row["kind"] == tables.C_ENDPOINT
                    assert k.parcel[k.request[waiting[0]]["parcel"]]["awaiting"] > 0, "waits for nothing"

    def own_rows(self) -> None:
        """What only some processes have is in rows of one process each; row 0 of `paging` is as it was made."""
        for name, first in (("chains", 0), ("plan", 0), ("answers", 0), ("polling", 0), ("paging", 1)):
            rows = [int(self.k.process[p][name]) for p in self.processes if self.k.process[p][name] >= first]
            assert sorted(rows) == list(range(first, self.kernel.storage.used[name])), f"rows of `{name}`"
        nobody = self.k.paging[0]
        assert nobody["lead_timer"] == NONE
        assert not any(nobody[name] for name in nobody.dtype.names if name != "lead_timer")

    def parcels(self) -> None:
        k, found, legs, wires = self.k, Counter[int](), Counter[int](), Counter[int]()
        for name in ("request", "completion"):
            for row in self.used[name]:
                found[int(getattr(k, name)[row]["parcel"])] += 1
        for p in self.processes:
            found[int(k.process[p]["reply_parcel"])] += 1
        del found[NONE]
        assert set(found.values()) <= {1}, "a parcel twice"
        assert set(found) == self.used["parcel"], "parcels of nobody"
        feeds = defaultdict[int, set[int]](set)
        for r in self.used["request"]:
            x = int(k.request[r]["parcel"])
            if x == NONE:
                continue
            leg = int(k.parcel[x]["route"])
            while leg != NONE:
                legs[leg] += 1
                leg = int(k.leg[leg]["next"])
            w = int(k.parcel[x]["wires"])
            while w != NONE:
                wires[w] += 1
                assert k.wire[w]["source"] == r
                if k.wire[w]["target"] != NONE:
                    feeds[int(k.wire[w]["target"])].add(w)
                w = int(k.wire[w]["next"])
        assert set(legs) == self.used["leg"], "legs of nobody"
        assert set(wires) == self.used["wire"], "wires of nobody"
        for r in self.used["request"]:
            x = int(k.request[r]["parcel"])
            into, w = set[int](), int(k.parcel[x]["feeds"]) if x != NONE else NONE
            while w != NONE:
                into.add(w)
                w = int(k.wire[w]["sister"])
            assert into == feeds[r], "wires into a request"
            goes_on = self.place[r] != "reject" and k.request[r]["outcome"] == tables.NO_OUTCOME
            if x != NONE and k.parcel[x]["awaiting"] > 0 and goes_on:
                assert k.parcel[x]["awaiting"] == len(into), "wires that are waited for"

    def bodies(self) -> None:
        """No two blocks of the arena overlap, be they free or in use."""
        k, blocks = self.k, list[tuple[int, int, str]]()
        for class_ in range(tables.BODY_CLASSES):
            at, seen = int(k.pool[tables.P_BODY + class_]["head"]), 0
            while at != NONE:
                blocks.append((at, 1 << (tables.BODY_SHIFT + class_), "free"))
                at = int(k.arena[at : at + 8].view("<i8")[0])
                seen += 1
                assert seen < 100_000, "a free list of bodies goes round"
        for name in ("request", "completion"):
            for row in self.used[name]:
                one = getattr(k, name)[row]
                blocks.append((int(one["body"]), int(one["room"]), f"{name} {row}"))
        for p in self.processes:
            blocks.append((int(k.process[p]["reply_body"]), int(k.process[p]["reply_room"]), f"reply of {p}"))
        for job in k.job[: self.kernel.storage.used["job"]]:
            blocks.append((int(job["answer"]), int(job["answer_room"]), "answer"))
        blocks = sorted(block for block in blocks if block[1] > 0)
        for (at, room, what), (after, _, other) in pairwise(blocks):
            assert at + room <= after, f"bodies overlap: {what}, {other}"

    # --- who waits --------------------------------------------------------------------------------------------------

    def waiting(self) -> None:
        """Whoever is ready has a core to come to; whoever calls has a call; the dead have nothing."""
        k = self.k
        calls = {int(k.operation[o]["process"]) for o in self.used["operation"]
                 if k.operation[o]["origin"] == tables.O_CALL and not k.operation[o]["completed"]}  # fmt: skip
        for p in self.processes:
            process, state = k.process[p], int(k.process[p]["state"])
            if state in (tables.CALLING, tables.BLOCKED):
                assert p in calls, "calls, and no call is under way"
            if state == tables.READY:
                core = k.core[process["core"]]
                assert core["ready"] >> process["priority"] & 1, "ready, and its core does not know"
                assert core["phase"] != tables.IDLING or core["end"] < tables.NEVER, "ready, and its core idles"
            if state in (tables.SLEEPING, tables.FAULTING):
                assert process["timer"] != NONE or state == tables.FAULTING, "sleeps for ever"
            if state == tables.DEAD:
                assert process["request"] == process["held"] == NONE, "the dead hold something"


def take_census(kernel: Kernel) -> None:
    """Assert that every row is where it belongs, between two events."""
    Census(kernel).check()
