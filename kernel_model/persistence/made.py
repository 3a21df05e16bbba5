"""What a process is made of, as opposed to what it is doing: its behaviour, data, priority, context.

    client   core, priority, working set (where caches are finite), completions, slots, group, how it does its jobs
    server   operations and what they work on, service and device times, faults
    script   its rows; how often a jump has been taken
    python   cannot be saved: what a generator will do next is nowhere but in Python. It is refused

Written down under names (stores and contexts are named by their order, since several processes may share one), and made
again by the kernel's own constructors, which check what they are given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from grafting.diagnostics import GraftError, fail
from kernel_model.contexts import Context, start_empty
from kernel_model.core import chance, scripts, servers, tables
from kernel_model.core.tables import NEVER, NONE
from kernel_model.footprints import working_set_of
from kernel_model.handles import Client, Endpoint, Exponential, Process, Server, Times, Uniform
from kernel_model.persistence import plans
from kernel_model.persistence.groups import Groups, is_member
from kernel_model.persistence.snapshot import Made
from kernel_model.persistence.streams import StreamDescriber
from kernel_model.serving import DRAWS, Act, Append, Constant, Faults, Read, Store, Write

if TYPE_CHECKING:
    from kernel_model.kernel import Kernel

PS: Final = 1000
ROWS: Final = {
    getattr(scripts, name.upper()): name
    for name in ("think", "sleep", "call", "send", "wait", "jump", "receive", "reply", "cancel", "halt")
}
ACTS: Final = {servers.A_NOTHING: "nothing", servers.A_READ: "read", servers.A_WRITE: "write",
               servers.A_APPEND: "append", servers.A_CONSTANT: "constant"}  # fmt: skip


class Describer:
    """Describes the processes of one application; what they share is described once."""

    def __init__(self, kernel: Kernel, capability_name: Any, map_name: Any, streams: StreamDescriber) -> None:
        self.kernel, self.k, self.streams = kernel, kernel.tables, streams
        self.capability_name, self.map_name = capability_name, map_name
        self.services: dict[int, str] = {}
        self.stores: dict[int, int] = {}  # arena offset -> number in the snapshot

    def process(self, process: Process, group: str | None) -> Made:
        """Return what a process, perhaps of a group, is made of. Raises GraftError G0870 for what cannot be saved."""
        row = self.k.process[process.row]
        if (why := self._cannot(process, row, group)) is not None:
            raise fail("G0870", f"`{process.name}` cannot be saved: {why}",
                       notes=("clients with jobs or streams, servers, and scripts can be",))  # fmt: skip
        common = {"core": int(row["core"]), "priority": int(row["priority"]), "context": self._context(row),
                  "working_set": working_set_of(self.kernel, process.row)}  # fmt: skip
        match int(row["behaviour"]):
            case tables.B_CLIENT | tables.B_RINGS:
                return Made(process.name, "client", {
                    **common, "group": group, "completions": int(row["cq_capacity"]), "slots": int(row["landing"]),
                    "think": self._times(int(row["think"])), "streams": self.streams.describe(process.row, self._times),
                    "plan": plans.describe(self.kernel, process.row, self.capability_name),
                    "rings": bool(row["ring"]), "wanted": int(row["wanted"]),
                    "patience_ps": None if row["patience"] == NEVER else int(row["patience"]),
                })  # fmt: skip
            case tables.B_SERVER:
                return Made(process.name, "server", {**common, **self._server(process, row)})
            case tables.B_SCRIPT:
                return Made(process.name, "script", {**common, **self._script(process, row)})
        raise AssertionError(process.name)

    def _cannot(self, process: Process, row: Any, group: str | None) -> str | None:
        """Return why a process cannot be saved, None if it can."""
        kind = int(row["behaviour"])
        if kind == tables.B_HOST:
            return "what a Python generator does next stands nowhere in the kernel"
        if row["side"] != NONE:
            return "it shares rings with other processes"
        if kind not in (tables.B_CLIENT, tables.B_RINGS, tables.B_SERVER, tables.B_SCRIPT):
            return "it is a thread of the kernel, or a host of grafts"
        if row["ring"] == tables.RING_POLLED:
            return "a thread of the kernel polls its rings"
        if row["ring"] == tables.RING_LINKED or row["chains"] != NONE:
            return "it works on linked requests"
        if row["answers"] != NONE:
            return "it keeps a table of answers"
        if (why := plans.why_not(self.kernel, process.row)) is not None:
            return why
        if row["leaving"]:
            return "a graft of it is leaving"
        if group is None and is_member(self.kernel, process):
            return "it is one of a group, which is saved as a whole"
        if self.streams.is_shared_outside(process.row):
            return "it shares a stream with a client that is not saved"
        return None

    def _context(self, row: Any) -> list[Any] | None:
        for context in self.kernel.scheduling_contexts.values():
            if context.row == row["context"]:
                return [context.name, round(context.budget_ns * PS), round(context.period_ns * PS)]
        return None

    def _times(self, distribution: int) -> list[Any] | None:
        if distribution == NONE:
            return None
        row = self.k.distribution[distribution]
        return [int(row["kind"] == chance.EXPONENTIAL) + 2 * int(row["kind"] == chance.UNIFORM), int(row["a"]),
                int(row["b"])]  # fmt: skip

    def _server(self, process: Process, row: Any) -> dict[str, Any]:
        endpoint = self.kernel.endpoints[int(row["endpoint"])].name
        service = int(row["row"])
        same = self.services.setdefault(service, process.name)
        if same != process.name:
            return {"endpoint": endpoint, "passive": bool(row["passive"]), "like": same}
        described = self.k.service[service]
        first, count = int(described["acts"]), max(1, int(described["ops"]))
        return {
            "endpoint": endpoint,
            "passive": bool(row["passive"]),
            "like": None,
            "every": not described["ops"],
            "acts": [self._act(self.k.row[first + number]) for number in range(count)],
            "work": self._times(int(described["work"])),
            "device": self._times(int(described["device"])),
            "faults": [int(described[name]) for name in ("fail_rate", "fail_status", "short_rate", "short_length")],
        }

    def _act(self, row: Any) -> dict[str, Any]:
        act = ACTS[int(row["op"])]
        if act == "nothing":
            return {"act": act}
        if act == "constant":
            return {"act": act, "body": self._bytes(row["a"], row["b"])}
        store = self.stores.setdefault(int(row["a"]), len(self.stores))
        found: dict[str, Any] = {"act": act, "store": store, "block": int(row["b"])}
        found["data"] = self._bytes(row["a"], int(row["b"]) * int(row["c"]))
        if act == "append":
            found |= {"used": int(row["d"]), "ack": self._bytes(row["e"], row["f"])}
        if act == "read":
            found["keeps"] = None if row["d"] == NONE else self.map_name(int(row["d"]))
        return found

    def _bytes(self, at: int, length: int) -> str:
        return bytes(self.k.arena[int(at) : int(at) + int(length)]).hex()

    def _script(self, process: Process, row: Any) -> dict[str, Any]:
        rows = self.kernel.script_rows[process.row]
        return {
            "endpoint": None if row["endpoint"] == NONE else self.kernel.endpoints[int(row["endpoint"])].name,
            "passive": bool(row["passive"]),
            "completions": int(row["cq_capacity"]),
            "at": int(row["row"]) - rows.start,
            "rows": [self._row(self.k.row[number], rows.start) for number in rows],
        }

    def _row(self, row: Any, first: int) -> list[Any]:
        kind = int(row["op"])
        if kind not in ROWS:
            raise fail(
                "G0870", "a script that touches pages cannot be saved: what is in a frame is not the application's"
            )
        a, b, c, d, e = (int(row[field]) for field in "abcde")
        match ROWS[kind]:
            case "think" | "sleep":
                return [ROWS[kind], self._times(a)]
            case "call" | "send":
                return [ROWS[kind], self.capability_name(a), b, self._bytes(c, d), e]
            case "jump":
                return [ROWS[kind], a - first, b, c]
            case "reply":
                return [ROWS[kind], a, self._bytes(b, c)]
            case _:
                return [ROWS[kind], a]


class Maker:
    """Makes the processes of one application in another kernel."""

    def __init__(self, kernel: Kernel, endpoints: Mapping[str, Endpoint], groups: Groups) -> None:
        self.kernel, self.endpoints, self.groups = kernel, endpoints, groups
        self.stores: dict[tuple[int, int], Store] = {}
        self.contexts: dict[str, Context] = {}
        self.servers: dict[str, Server] = {}

    def process(self, made: Made) -> Process:
        """Make a process. Raises GraftError G0872 for what no kernel ever described, and what constructors raise."""
        try:
            process = self._made(made)
            size = made.arguments["working_set"]
            if size is not None:
                self.kernel.working_set(process, int(size))
            return process
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise fail("G0872", f"`{made.name}` is described as no {made.kind} is: {error!r}") from error

    def _made(self, made: Made) -> Process:
        given = made.arguments
        common = {"core": given["core"], "priority": given["priority"], "context": self._context(given["context"])}
        match made.kind:
            case "client":
                client = self._client(made.name, given, common)
                row = self.kernel.tables.process[client.row]
                row["think"] = NONE if given["think"] is None else self.kernel.distribution(times_of(given["think"]))
                row["patience"] = NEVER if given["patience_ps"] is None else given["patience_ps"]
                return client
            case "server":
                return self._server(made.name, given, common)
            case "script":
                return self.kernel.script(
                    made.name, [], room=len(given["rows"]), endpoint=self._endpoint(given["endpoint"]),
                    completions=given["completions"], passive=given["passive"], **common,
                )  # fmt: skip
        raise ValueError(f"there are no processes of the kind {made.kind!r}")

    def _client(self, name: str, given: Mapping[str, Any], common: dict[str, Any]) -> Client:
        if given["group"] is not None:
            return self.groups.member(given["group"], given, common["context"])
        return self.kernel.client(name, completions=given["completions"], slots=given["slots"], **common)

    def _endpoint(self, name: str | None) -> Endpoint | None:
        return None if name is None else self.endpoints[name]

    def _context(self, given: Any) -> Context | None:
        if given is None:
            return None
        name, budget, period = given
        if name not in self.contexts:
            free = name if name not in self.kernel.contexts else None
            self.contexts[name] = self.kernel.context(budget / PS, period / PS, free)
            start_empty(self.kernel, self.contexts[name])
        return self.contexts[name]

    def _server(self, name: str, given: Mapping[str, Any], common: dict[str, Any]) -> Server:
        if given["like"] is not None:
            server = self.kernel.server(name, like=self.servers[given["like"]], passive=given["passive"], **common)
        else:
            acts = {number: act for number, row in enumerate(given["acts"]) if (act := self._act(row)) is not None}
            fail_rate, status, short_rate, short = given["faults"]
            server = self.kernel.server(
                name,
                endpoint=self.endpoints[given["endpoint"]],
                ops={-1: acts[0]} if given["every"] else acts,
                service_ns=times_of(given["work"]),
                device_ns=0 if given["device"] is None else times_of(given["device"]),
                faults=Faults(fail_rate / DRAWS, status, short_rate / DRAWS, short),
                passive=given["passive"],
                **common,
            )
            self._use(server, given["acts"])
        self.servers[name] = server
        return server

    def _act(self, row: Mapping[str, Any]) -> Act | None:
        match row["act"]:
            case "nothing":
                return None
            case "constant":
                return Constant(bytes.fromhex(row["body"]))
            case "read":
                return Read(self._store(row))
            case "write":
                return Write(self._store(row))
            case "append":
                return Append(self._store(row), bytes.fromhex(row["ack"]))
        raise ValueError(f"there is no act {row['act']!r}")

    def _store(self, row: Mapping[str, Any]) -> Store:
        key = (row["store"], row["block"])
        return self.stores.setdefault(key, Store(bytes.fromhex(row["data"]), row["block"]))

    def _use(self, server: Server, rows: list[Mapping[str, Any]]) -> None:
        """Let what was appended stay where it is."""
        k = self.kernel.tables
        first = int(k.service[k.process[server.row]["row"]]["acts"])
        for number, row in enumerate(rows):
            if row["act"] == "append":
                used = row["used"]
                if not 0 <= used <= int(k.row[first + number]["c"]):
                    raise ValueError("more was appended than there is room for")
                k.row[first + number]["d"] = used

    def rows(self, process: Process, made: Made, capability: Any) -> None:
        """Write the rows of a script; `capability` finds the row of a capability by its name."""
        if made.kind != "script":
            return
        rows = self.kernel.script_rows[process.row]
        at = made.arguments["at"]
        if not 0 <= at <= len(rows):
            raise fail("G0872", f"script `{made.name}` is at its row {at} of {len(rows)}")
        for offset, row in enumerate(made.arguments["rows"]):
            try:
                self.kernel.tables.row[rows.start + offset] = (*self._row(row, rows, capability), 0)
            except (KeyError, IndexError, TypeError, ValueError, GraftError) as error:
                raise fail("G0872", f"row {offset} of script `{made.name}` is none: {error}") from error
        self.kernel.tables.process[process.row]["row"] = rows.start + min(at, len(rows) - 1)

    def mode(self, process: Process, made: Made) -> None:
        """Let a client go on with its rings."""
        if made.kind == "client" and made.arguments["rings"]:
            row = self.kernel.tables.process[process.row]
            row["behaviour"], row["ring"] = tables.B_RINGS, tables.RING_ENTER
            row["wanted"] = max(0, made.arguments["wanted"])

    def _row(self, row: list[Any], rows: range, capability: Any) -> tuple[int, int, int, int, int, int]:
        op = next(number for number, name in ROWS.items() if name == row[0])
        match row:
            case ["think" | "sleep", times]:
                return op, self.kernel.distribution(times_of(times)), 0, 0, 0, 0
            case ["call" | "send", name, number, body, deadline]:
                data = bytes.fromhex(body)
                return op, capability(name), int(number), self.kernel.storage.store(data), len(data), int(deadline)
            case ["jump", to, times, taken] if 0 <= to < len(rows):
                return op, rows.start + to, int(times), int(taken), 0, 0
            case ["reply", status, body]:
                data = bytes.fromhex(body)
                return op, int(status), self.kernel.storage.store(data), len(data), 0, 0
            case ["wait" | "receive" | "cancel" | "halt", a]:
                return op, int(a), 0, 0, 0, 0
        raise ValueError(f"{row!r}")


def times_of(given: Any) -> Times:
    """Return the times that were described as kind and two numbers of ps."""
    kind, a, b = given
    if kind == 0:
        return float(a) / PS
    return Exponential(a / PS) if kind == 1 else Uniform(a / PS, b / PS)
