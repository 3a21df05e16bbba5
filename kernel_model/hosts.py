"""The other side of `hosting`: what a generator yields becomes fields of its process, and comes back as a value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from grafting.diagnostics import InternalError, fail
from jit.hot import tier
from kernel_model import capabilities, hosting, linking
from kernel_model.core import (
    behaviours,
    leaving,
    library,
    lists,
    paging,
    parcels,
    pools,
    promises,
    routes,
    scripts,
    tables,
)
from kernel_model.core.capabilities import address
from kernel_model.core.tables import NEVER, NONE, Tables

if TYPE_CHECKING:
    from kernel_model.handles import Capability, Process
    from kernel_model.kernel import Kernel

PS = 1000
PIPELINE_STEPS = 64  # one kernel section submits them all
READY_TO_CALL = 1 + tables.U_CALL  # what `behaviours.host_step` looks for
READY_TO_WORK = 1 + tables.U_BURST
SIGN = 1 << 63


class Host:
    """A process whose user mode is a Python generator."""

    def __init__(self, kernel: Kernel, process: Process, program: hosting.Program) -> None:
        self.kernel = kernel
        self.row = process.row
        self.script = program(kernel, process)
        self.action: hosting.Action | None = None
        self.request: hosting.Request | None = None  # the last received, and its serial number
        self.serial = 0
        self.drafts: list[int] = []

    @property
    def _process(self) -> Any:
        return self.kernel.tables.process[self.row]

    def resume(self) -> None:
        """Give the generator what its last action came to, and take its next one."""
        if isinstance(self.action, hosting.Touch) and self._process["call"] == tables.SYS_FAULT:
            self._process["call"] = tables.SYS_PARK
            self._begin(self.action)  # one page has come; perhaps others are out
            return
        try:
            lost, self._process["told_late"] = int(self._process["told_late"]), 0
            if lost and lost == self.serial and self.request is not None:
                self.action = self.script.throw(hosting.DonorExhausted(self.request))
            else:
                self.action = self.script.send(None if self.action is None else self._result(self.action))
        except StopIteration:
            self.action = None
            self._ask(tables.SYS_EXIT)
            return
        self._begin(self.action)

    def _ask(self, call: int, a: int = 0, b: int = 0, c: int = 0) -> None:
        process = self._process
        process["call"], process["a"], process["b"], process["c"] = call, a, b, c
        process["stage"] = READY_TO_CALL

    def _begin(self, action: hosting.Action) -> None:
        now = self.kernel.now_ps
        match action:
            case hosting.Compute(ns):
                self._process["owed"] = self._process["left"] = round(ns * PS)
                self._process["stage"] = READY_TO_WORK
            case hosting.Call():
                self._drafts(action)
                self._ask(tables.SYS_CALL)
            case hosting.Submit():
                self._drafts(action)
                self._ask(tables.SYS_SUBMIT)
            case hosting.Pipeline(steps):
                self._drafts(*steps)
                self._ask(tables.SYS_SUBMIT)
            case linking.Chain(entries):
                linking.draft(self.kernel, self.row, entries)
                self._ask(tables.SYS_LINKS)
            case hosting.Wait(count, timeout_ns):
                self._ask(tables.SYS_WAIT, count, NEVER if timeout_ns is None else now + timeout_ns * PS)
            case hosting.Sleep(ns):
                self._ask(tables.SYS_SLEEP, now + ns * PS)
            case hosting.Cancel(tag):
                self._ask(tables.SYS_CANCEL, _word(tag))
            case hosting.Touch(first, count):
                self._touch(first, count)
            case hosting.Hint(first, count):
                self._ask(tables.SYS_HINT, first, count)
            case hosting.Receive(slots):
                self._needs_endpoint()
                self._process["landing"] = slots
                self._ask(tables.SYS_RECEIVE)
            case hosting.Reply(body, status, receive, caps, slots):
                self._needs_endpoint()
                self._set_reply(body, status, caps)
                self._process["landing"] = slots
                self._ask(tables.SYS_REPLY_RECEIVE if receive else tables.SYS_REPLY)
            case hosting.Forward(to, op, body, tag, caps, slots):
                self._needs_endpoint()
                self._drafts(hosting.Submit(to, op, body, tag, 0, caps, slots))
                self._ask(tables.SYS_FORWARD)
            case hosting.ReplyTo(right, body, status, caps):
                self._set_reply(body, status, caps)
                self._ask(tables.SYS_REPLY_TO, right.row)
            case hosting.Keep():
                self._ask(tables.SYS_KEEP)
            case hosting.Mint(source, rights, badge):
                self._ask(tables.SYS_MINT, source.row, capabilities.bits(rights), _word(badge))
            case hosting.Revoke(capability):
                self._ask(tables.SYS_REVOKE, capability.row)
            case hosting.Delete(capability):
                self._ask(tables.SYS_DELETE, capability.row)
            case _:
                raise fail("G0811", f"a process yielded {action!r}, which is no action of kernel_model.hosting")

    def _touch(self, first: int, count: int) -> None:
        """Go on at once if the pages are all there, else fault on the first that is not."""
        there = self.kernel.tables.paging[self._process["paging"]]["count"]
        if first < 0 or count < 0 or first + count > there:
            raise fail("G0811", f"a process touched pages {first} .. {first + count} of {there}",
                       helps=("give it memory: kernel.pages(process, count)",))  # fmt: skip
        page = paging.touch(self.kernel.tables, self.row, first, count)
        if page == NONE:
            self._process["a"], self._process["b"] = first, count
            self._process["stage"] = READY_TO_WORK if self.kernel.cache is None else behaviours.TOUCHED
        else:
            self._ask(tables.SYS_FAULT, page)

    def _needs_endpoint(self) -> None:
        if self._process["endpoint"] == NONE:
            raise fail("G0811", "a process without an endpoint cannot receive", helps=("give it `endpoint=`",))

    def _drafts(self, *steps: hosting.Call | hosting.Submit) -> None:
        """Write the requests of a system call."""
        if len(steps) > PIPELINE_STEPS:
            raise fail("G0819", f"a pipeline of {len(steps)} steps; at most {PIPELINE_STEPS} go in one system call")
        self.drafts = [self._draft(step) for step in steps]
        k, queue = self.kernel.tables, int(self._process["queues"]) + tables.Q_DRAFTS
        for number, step in enumerate(steps):
            if isinstance(step, hosting.Submit):
                self._lay_wires(number, step)
            self._process["landing"] = step.slots
            lists.append(k, queue, k.request, self.drafts[number])

    def _draft(self, action: hosting.Call | hosting.Submit) -> int:
        capability = self.kernel.capability(action.to, self.row)
        legs = [(self.kernel.capability(to, self.row), op) for to, op in action.route]
        k = self.kernel.tables  # a new capability may have made its table grow
        r = int(tier("python", pools).take_request(k))
        request = k.request[r]
        address(k, r, capability)
        request["op"] = action.op
        request["tag"] = _word(action.tag)
        request["deadline"] = action.deadline_ns * PS
        request["body"] = self._bytes(action.body)
        request["length"] = len(action.body)
        request["room"] = pools.room_for(len(action.body))
        if action.caps:
            self._name(pools.parcel_of(k, r), action.caps)
        if action.promise is not None:
            promises.pledge(k, r, action.promise.row)
        for capability, op in legs:
            routes.add_leg(k, r, capability, op)
        return r

    def _lay_wires(self, number: int, step: hosting.Submit) -> None:
        for wire in step.wires:
            if not 0 <= wire.source < number:
                raise fail("G0819", f"a wire from step {wire.source} to step {number} of a pipeline",
                           helps=("a wire leads from an earlier step to a later one",))  # fmt: skip
            if min(wire.at, wire.to, wire.length) < 0 or wire.to + wire.length > len(step.body):
                raise fail("G0819", f"a wire to bytes {wire.to} .. {wire.to + wire.length} of an argument of "
                           f"{len(step.body)}")  # fmt: skip
            tier("python", promises).wire(
                self.kernel.tables, self.drafts[wire.source], self.drafts[number], wire.at, wire.to, wire.length
            )

    def _name(self, parcel: int, caps: hosting.Carried) -> None:
        """Name what a message is to carry. Whether this process may send it is the kernel's to say."""
        if len(caps) > tables.CAPABILITIES_AT_ONCE:
            raise fail(
                "G0819", f"a message with {len(caps)} capabilities; at most {tables.CAPABILITIES_AT_ONCE} travel"
            )
        for cap in caps:
            row = tables.IN_HAND if isinstance(cap, hosting.ReplyRight) else cap.row if cap.exists else NONE
            parcels.add(self.kernel.tables, parcel, row)

    def _bytes(self, data: bytes) -> int:
        k = self.kernel.tables
        block = pools.take_body(k, len(data))
        memoryview(k.arena)[block : block + len(data)] = data
        return block

    def _set_reply(self, body: bytes, status: int, caps: hosting.Carried) -> None:
        process = self._process
        if caps:
            process["reply_parcel"] = pools.take_parcel(self.kernel.tables)
            self._name(int(process["reply_parcel"]), caps)
        process["reply_status"] = status
        process["reply_body"] = self._bytes(body)
        process["reply_length"] = len(body)
        process["reply_room"] = pools.room_for(len(body))

    # --- results ------------------------------------------------------------------------------------------------------

    def _result(self, action: hosting.Action) -> Any:
        process = self._process
        match action:
            case hosting.Compute() | hosting.Sleep() | hosting.Touch() | hosting.Hint():
                return None
            case hosting.Call():
                if process["result"] < 0:
                    self._drop_drafts()
                    return int(process["result"])
                c = int(process["completion"])
                process["completion"] = NONE
                return self._completion(c)
            case hosting.Submit() | linking.Chain():
                self._drop_drafts()
                return int(process["result"])
            case hosting.Pipeline():
                return self._pipeline_status()
            case hosting.Cancel() | hosting.ReplyTo() | hosting.Revoke() | hosting.Delete():
                return int(process["result"])
            case hosting.Keep() | hosting.Mint():
                result = int(process["result"])
                return result if result < 0 else capabilities.handle(self.kernel, result)
            case hosting.Wait():
                return self._reap()
            case hosting.Receive() | hosting.Reply() | hosting.Forward():
                return int(process["result"]) if process["result"] < 0 else self._request()
        raise InternalError(f"no result for {action!r}")

    def _completion(self, c: int) -> hosting.Completion:
        k = self.kernel.tables
        row = k.completion[c]
        body = k.arena[row["body"] : row["body"] + row["length"]].tobytes()
        tag, outcome = int(row["tag"]) & (2 * SIGN - 1), tables.OUTCOMES[row["outcome"]]
        if row["kind"] == tables.OF_SUBMISSION:  # it comes back with what it carried, which a generator has no use for
            tier("python", parcels).drop_parcel(k, int(row["parcel"]))
            row["parcel"] = NONE
        done = hosting.Completion(tag, outcome, int(row["status"]), body, *self._came(int(row["parcel"])))
        pools.give_completion(k, c)
        if self._process["leaving"]:
            tier("python", leaving).let_leave(k, self.row)
        return done

    def _reap(self) -> list[hosting.Completion]:
        """Take what is there: not what a section on another core is about to have posted when it ends."""
        k, process = self.kernel.tables, self._process
        queue = int(process["queues"]) + tables.Q_COMPLETIONS
        found = []
        while lists.first(k, queue) != NONE and library.is_visible(k, lists.first(k, queue)):
            if library.is_behind(k, self.row):
                break
            found.append(self._completion(lists.pop(k, queue, k.completion)))
            process["cq_posted"] -= 1
        return found

    def _request(self) -> hosting.Request | None:
        k, r = self.kernel.tables, int(self._process["request"])
        if r == NONE:
            return None
        row = k.request[r]
        body = k.arena[row["body"] : row["body"] + row["length"]].tobytes()
        tag, came = int(row["tag"]) & (2 * SIGN - 1), self._came(int(row["parcel"]))
        self.serial = int(row["serial"])
        self.request = hosting.Request(tag, int(row["op"]), int(row["badge"]) & (2 * SIGN - 1), body, *came)
        return self.request

    def _came(self, parcel: int) -> tuple[tuple[Capability | None, ...], bool]:
        """Return what has landed with a message, and whether there was more."""
        if parcel == NONE:
            return (), False
        k = self.kernel.tables
        rows = [int(parcels.carried(k, parcel, index)) for index in range(k.parcel[parcel]["count"])]
        caps = tuple(None if row == NONE else capabilities.handle(self.kernel, row) for row in rows)
        return caps, bool(k.parcel[parcel]["truncated"])

    def _pipeline_status(self) -> list[int]:
        """Return what became of each step, and forget those that the kernel would not take."""
        k, queues = self.kernel.tables, int(self._process["queues"])
        status = dict.fromkeys(self.drafts, 0)
        for r in _members(k, queues + tables.Q_REJECTS):
            status[r] = int(k.request[r]["status"])
        for r in _members(k, queues + tables.Q_DRAFTS):
            status[r] = -tables.EAGAIN
        self._drop_drafts()
        return list(status.values())

    def _drop_drafts(self) -> None:
        """Forget what the kernel would not take; the errno says so. A bad capability leaves it among the rejects."""
        k, process = self.kernel.tables, self._process
        for kind in (tables.Q_DRAFTS, tables.Q_REJECTS):
            queue = int(process["queues"]) + kind
            while lists.first(k, queue) != NONE:
                r = lists.pop(k, queue, k.request)
                if kind == tables.Q_REJECTS:
                    process["result"] = k.request[r]["status"]
                tier("python", parcels).drop_draft(k, r)


def _members(k: Tables, queue: int) -> Iterator[int]:
    r = lists.first(k, queue)
    while r != NONE:
        yield r
        r = int(k.request[r]["next"])


def script_rows(kernel: Kernel, process: int, rows: Sequence[hosting.Row], first: int) -> Iterator[tuple[int, ...]]:
    """Yield the fields (op, a, b, c, d, e) of the table `row` for a script whose first row is `first`."""
    for row in rows:
        match row:
            case hosting.Compute(ns):
                yield scripts.THINK, kernel.distribution(ns), 0, 0, 0, 0
            case hosting.Think(times):
                yield scripts.THINK, kernel.distribution(times), 0, 0, 0, 0
            case hosting.Sleep(ns):
                yield scripts.SLEEP, kernel.distribution(ns), 0, 0, 0, 0
            case hosting.Call(to, op, body, _, deadline_ns) | hosting.Submit(to, op, body, _, deadline_ns):
                kind = scripts.CALL if isinstance(row, hosting.Call) else scripts.SEND
                yield kind, kernel.capability(to, process), op, kernel.storage.store(body), len(body), deadline_ns * PS
            case hosting.Wait(count, _):
                yield scripts.WAIT, count, 0, 0, 0, 0
            case hosting.Jump(to, times):
                yield scripts.JUMP, first + to, times, 0, 0, 0
            case hosting.Touch(at, count):
                yield scripts.TOUCH, at, count, 0, 0, 0
            case hosting.Hint(at, count):
                yield scripts.HINT, at, count, 0, 0, 0
            case hosting.Cancel(tag):
                yield scripts.CANCEL, _word(tag), 0, 0, 0, 0
            case hosting.Receive():
                yield scripts.RECEIVE, 0, 0, 0, 0, 0
            case hosting.Reply(body, status, _):
                yield scripts.REPLY, status, kernel.storage.store(body), len(body), 0, 0


def _word(value: int) -> int:
    """Return a 64-bit tag as the tables keep it, signed."""
    value &= 2 * SIGN - 1
    return value - 2 * SIGN if value >= SIGN else value
