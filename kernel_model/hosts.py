"""The other side of `hosting`: what a generator yields becomes fields of its process, and comes back as a value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from grafting.diagnostics import InternalError, fail
from jit.hot import tier
from kernel_model import hosting
from kernel_model.core import lists, pools, scripts, tables
from kernel_model.core.tables import NEVER, NONE

if TYPE_CHECKING:
    from kernel_model.handles import Process
    from kernel_model.kernel import Kernel

PS = 1000
READY_TO_CALL = 1 + tables.U_CALL  # what `simulate.host_step` looks for
READY_TO_WORK = 1 + tables.U_BURST
SIGN = 1 << 63


class Host:
    """A process whose user mode is a Python generator."""

    def __init__(self, kernel: Kernel, process: Process, program: hosting.Program) -> None:
        self.kernel = kernel
        self.row = process.row
        self.script = program(kernel, process)
        self.action: hosting.Action | None = None
        self.request: hosting.Request | None = None  # the last received

    @property
    def _process(self) -> Any:
        return self.kernel.tables.process[self.row]

    def resume(self) -> None:
        """Give the generator what its last action came to, and take its next one."""
        try:
            if self._process["told_late"] and self.request is not None:
                self._process["told_late"] = 0
                self.action = self.script.throw(hosting.DonorExhausted(self.request))
            else:
                self.action = self.script.send(None if self.action is None else self._result(self.action))
        except StopIteration:
            self.action = None
            self._ask(tables.SYS_EXIT)
            return
        self._begin(self.action)

    def _ask(self, call: int, a: int = 0, b: int = 0) -> None:
        process = self._process
        process["call"], process["a"], process["b"] = call, a, b
        process["stage"] = READY_TO_CALL

    def _begin(self, action: hosting.Action) -> None:
        now = self.kernel.now_ps
        match action:
            case hosting.Compute(ns):
                self._process["owed"] = self._process["left"] = round(ns * PS)
                self._process["stage"] = READY_TO_WORK
            case hosting.Call():
                self._draft(action)
                self._ask(tables.SYS_CALL)
            case hosting.Submit():
                self._draft(action)
                self._ask(tables.SYS_SUBMIT)
            case hosting.Wait(count, timeout_ns):
                self._ask(tables.SYS_WAIT, count, NEVER if timeout_ns is None else now + timeout_ns * PS)
            case hosting.Sleep(ns):
                self._ask(tables.SYS_SLEEP, now + ns * PS)
            case hosting.Cancel(tag):
                self._ask(tables.SYS_CANCEL, _word(tag))
            case hosting.Receive():
                self._needs_endpoint()
                self._ask(tables.SYS_RECEIVE)
            case hosting.Reply(body, status, receive):
                self._needs_endpoint()
                self._set_reply(body, status)
                self._ask(tables.SYS_REPLY_RECEIVE if receive else tables.SYS_REPLY)
            case _:
                raise fail("G0811", f"a process yielded {action!r}, which is no action of kernel_model.hosting")

    def _needs_endpoint(self) -> None:
        if self._process["endpoint"] == NONE:
            raise fail("G0811", "a process without an endpoint cannot receive", helps=("give it `endpoint=`",))

    def _draft(self, action: hosting.Call | hosting.Submit) -> None:
        k = self.kernel.tables
        hot = tier("python", pools)
        r = hot.take_request(k)
        request = k.request[r]
        request["capability"] = self.kernel.capability(action.to, self.row)
        k = self.kernel.tables  # a new capability may have made its table grow
        request["op"] = action.op
        request["tag"] = _word(action.tag)
        request["deadline"] = action.deadline_ns * PS
        request["body"] = self._bytes(action.body)
        request["length"] = len(action.body)
        request["room"] = pools.room_for(len(action.body))
        lists.append(k, int(self._process["queues"]) + tables.Q_DRAFTS, k.request, r)

    def _bytes(self, data: bytes) -> int:
        k = self.kernel.tables
        block = pools.take_body(k, len(data))
        memoryview(k.arena)[block : block + len(data)] = data
        return block

    def _set_reply(self, body: bytes, status: int) -> None:
        process = self._process
        process["reply_status"] = status
        process["reply_body"] = self._bytes(body)
        process["reply_length"] = len(body)
        process["reply_room"] = pools.room_for(len(body))

    # --- results ------------------------------------------------------------------------------------------------------

    def _result(self, action: hosting.Action) -> Any:
        process = self._process
        match action:
            case hosting.Compute() | hosting.Sleep():
                return None
            case hosting.Call():
                if process["result"] < 0:
                    self._drop_drafts()
                    return int(process["result"])
                c = int(process["completion"])
                process["completion"] = NONE
                return self._completion(c)
            case hosting.Submit():
                self._drop_drafts()
                return int(process["result"])
            case hosting.Cancel():
                return int(process["result"])
            case hosting.Wait():
                return self._reap()
            case hosting.Receive() | hosting.Reply():
                return self._request()
        raise InternalError(f"no result for {action!r}")

    def _completion(self, c: int) -> hosting.Completion:
        k = self.kernel.tables
        row = k.completion[c]
        body = k.arena[row["body"] : row["body"] + row["length"]].tobytes()
        done = hosting.Completion(
            int(row["tag"]) & (2 * SIGN - 1), tables.OUTCOMES[row["outcome"]], int(row["status"]), body
        )
        pools.give_completion(k, c)
        return done

    def _reap(self) -> list[hosting.Completion]:
        k, process = self.kernel.tables, self._process
        queue = int(process["queues"]) + tables.Q_COMPLETIONS
        found = []
        while lists.first(k, queue) != NONE:
            found.append(self._completion(lists.pop(k, queue, k.completion)))
            process["cq_posted"] -= 1
        return found

    def _request(self) -> hosting.Request | None:
        k, r = self.kernel.tables, int(self._process["request"])
        if r == NONE:
            return None
        row = k.request[r]
        body = k.arena[row["body"] : row["body"] + row["length"]].tobytes()
        self.request = hosting.Request(int(row["tag"]) & (2 * SIGN - 1), int(row["op"]), int(row["badge"]), body)
        return self.request

    def _drop_drafts(self) -> None:
        """Forget what the kernel would not take; the errno says so. A bad capability leaves it among the rejects."""
        k, process = self.kernel.tables, self._process
        for kind in (tables.Q_DRAFTS, tables.Q_REJECTS):
            queue = int(process["queues"]) + kind
            while lists.first(k, queue) != NONE:
                r = lists.pop(k, queue, k.request)
                if kind == tables.Q_REJECTS:
                    process["result"] = k.request[r]["status"]
                pools.give_request(k, r)


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
