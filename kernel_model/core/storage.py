"""Where the tables come from and how they grow. Plain Python: nothing here is on a path that counts.

A table grows by doubling, between events only. Rows that a running model takes and gives back (requests, capabilities,
timers and the like) come from free lists; all other rows are added here and stay.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jit import machine
from kernel_model.core import chance, contexts, prices, recording, tables
from kernel_model.core.tables import NEVER, NONE, POOL_RESERVE, Tables

POOL_TABLES = ("request", "operation", "completion", "timer", "capability", "parcel", "wire", "leg")  # by P_...
POOLS = range(len(POOL_TABLES))
RECORDS = {
    "process": tables.PROCESS, "chains": tables.CHAINS, "plan": tables.PLAN, "answers": tables.ANSWERS,
    "paging": tables.PAGING, "polling": tables.POLLING, "endpoint": tables.ENDPOINT,
    "core": tables.CORE, "ring": tables.RING,
    "side": tables.SIDE, "queue": tables.QUEUE, "graft": tables.GRAFT, "handler": tables.HANDLER,
    "slot": tables.SLOT, "page": tables.PAGE, "footprint": tables.FOOTPRINT,
    "context": tables.CONTEXT, "refill": tables.REFILL,
    "job": tables.JOB, "stream": tables.STREAM, "recorder": tables.RECORDER, "row": tables.ROW, "step": tables.STEP,
    "service": tables.SERVICE, "distribution": tables.DISTRIBUTION,
}  # fmt: skip
FIRST_ROWS = 16
ARENA_BYTES = 1 << 25  # touched only where used
ALIGNMENT = 16
MACHINE_SLOTS, MACHINE_PROGRAMS, MACHINE_MAPS, MACHINE_HANDLERS = 262_144, 256, 1024, 2048  # to begin with


class Storage:
    """Owns the tables of one kernel. `tables` is replaced when one grows, so never keep it across a call."""

    def __init__(self, *, trace: bool) -> None:
        self.used = dict.fromkeys([*RECORDS, "account"], 0)
        pool_rows = 2 * POOL_RESERVE
        pool = np.zeros(tables.P_BODY + tables.BODY_CLASSES, tables.POOL)
        pool["head"] = NONE
        arena = np.zeros(ARENA_BYTES, np.uint8)
        meter, config = np.zeros(1, tables.METER), np.zeros(1, tables.CONFIG)
        meter["arena_used"] = 64  # offset 0 is nobody's
        meter["resumed"] = NONE
        memory = np.zeros(1, tables.MEMORY)
        memory["reading"] = NONE
        config["tracing"] = trace
        self.tables = Tables(
            meter=meter,
            config=config,
            **{name: np.zeros(FIRST_ROWS, dtype) for name, dtype in RECORDS.items()},
            request=np.zeros(0, tables.REQUEST),
            operation=np.zeros(0, tables.OPERATION),
            completion=np.zeros(0, tables.COMPLETION),
            timer=np.zeros(0, tables.TIMER),
            capability=np.zeros(0, tables.CAPABILITY),
            parcel=np.zeros(0, tables.PARCEL),
            wire=np.zeros(0, tables.WIRE),
            leg=np.zeros(0, tables.LEG),
            link=np.zeros(0, tables.LINK),
            heap=np.zeros(0, np.int64),
            pool=pool,
            memory=memory,
            spent=np.zeros((FIRST_ROWS, len(prices.CATEGORIES)), np.int64),
            count=np.zeros((FIRST_ROWS, prices.COUNT), np.int64),
            consumed=np.zeros((FIRST_ROWS, len(contexts.KINDS)), np.int64),
            vector=np.zeros((FIRST_ROWS, prices.COUNT), np.int64),
            price=np.zeros(prices.COUNT, np.int64),
            exponential=chance.quantiles(),
            arena=arena,
            histogram=np.zeros((0, recording.BUCKETS), np.int64),
            trace=np.zeros(32 * POOL_RESERVE if trace else 1, tables.TRACE),
            machine=None,
        )
        self.queues(tables.FREE_QUEUES)
        for number in POOLS:
            self._extend_pool(number, pool_rows)
        config["scratch"] = self.allocate(32)
        self._replace(machine=machine.create(
            arena, self.allocate, slots=MACHINE_SLOTS, programs=MACHINE_PROGRAMS, map_rows=MACHINE_MAPS,
            handlers=MACHINE_HANDLERS,
        ))  # fmt: skip
        self.add_context(0, 0)
        self.add_footprints(1, 0)
        self.add("paging", lead_timer=NONE)

    def _replace(self, **changed: Any) -> None:
        self.tables = self.tables._replace(**changed)

    def add(self, table: str, rows: int = 1, **fields: int) -> int:
        """Append rows with these fields, all others 0, and return the number of the first."""
        first = self.used[table]
        self.used[table] += rows
        array = getattr(self.tables, table)
        if self.used[table] > len(array):
            array = _longer(array, max(2 * len(array), self.used[table]))
            self._replace(**{table: array})
        for name, value in fields.items():
            array[name][first : first + rows] = value
        return first

    def queues(self, count: int) -> int:
        """Return the first of `count` new, empty queues."""
        return self.add("queue", count, head=NONE, tail=NONE)

    def account(self) -> int:
        """Return a new account."""
        number = self.used["account"]
        self.used["account"] += 1
        if self.used["account"] > len(self.tables.spent):
            size = 2 * len(self.tables.spent)
            self._replace(spent=_longer(self.tables.spent, size), count=_longer(self.tables.count, size))
        return number

    def allocate(self, size: int) -> int:
        """Return the arena offset of `size` zeroed bytes, which are never given back."""
        meter = self.tables.meter[0]
        at = int(meter["arena_used"])
        end = at + -(-size // ALIGNMENT) * ALIGNMENT
        if end > len(self.tables.arena):
            self._extend_arena(max(end, 2 * len(self.tables.arena)))
        meter["arena_used"] = end
        return at

    def store(self, data: bytes) -> int:
        """Return the arena offset of a copy of `data`."""
        at = self.allocate(len(data))
        self.tables.arena[at : at + len(data)] = np.frombuffer(data, np.uint8)
        return at

    def bytes_used(self) -> int:
        """Return the bytes of all tables, free rows included, and of the used part of the arena."""
        tables_bytes = sum(array.nbytes for array in self.tables[:-1] if array is not self.tables.arena)
        return int(self.tables.meter[0]["arena_used"]) + int(tables_bytes)

    def grow(self) -> None:
        """Give every table that is short of room twice as much; `simulate.advance` has returned S_GROW."""
        for number in POOLS:
            if self.tables.pool[number]["free"] < POOL_RESERVE:
                self._extend_pool(number, 2 * len(getattr(self.tables, POOL_TABLES[number])))
        meter = self.tables.meter[0]
        if meter["arena_used"] + tables.ARENA_RESERVE > len(self.tables.arena):
            self._extend_arena(2 * len(self.tables.arena))
        if self.tables.config[0]["tracing"] and meter["traced"] + 16 * POOL_RESERVE > len(self.tables.trace):
            self._replace(trace=_longer(self.tables.trace, 2 * len(self.tables.trace)))

    def ensure(self, number: int) -> None:
        """Make sure that a row can be taken from a pool from outside, with what an event may need besides."""
        if self.tables.pool[number]["free"] <= POOL_RESERVE:
            self._extend_pool(number, 2 * len(getattr(self.tables, POOL_TABLES[number])))

    def _extend_pool(self, number: int, rows: int) -> None:
        name = POOL_TABLES[number]
        old = getattr(self.tables, name)
        new = _longer(old, rows)
        pool = self.tables.pool[number]
        new["next"][len(old) :] = np.arange(len(old) + 1, rows + 1)
        new["next"][-1] = pool["head"]
        pool["head"] = len(old)
        pool["free"] += rows - len(old)
        if name == "capability":
            first = self.queues(tables.CAPABILITY_QUEUES * (rows - len(old)))
            new["queues"][len(old) :] = first + tables.CAPABILITY_QUEUES * np.arange(rows - len(old))
        self._replace(**{name: new})
        if name == "request":
            self._replace(link=_longer(self.tables.link, 2 * rows))
        if name == "timer":
            self._replace(heap=_longer(self.tables.heap, rows))

    def _extend_arena(self, size: int) -> None:
        arena = np.zeros(size, np.uint8)
        arena[: len(self.tables.arena)] = self.tables.arena
        self._replace(arena=arena)
        if self.tables.machine is not None:
            self._replace(machine=self.tables.machine._replace(arena=arena))

    def grow_machine(self, table: str, rows: int) -> None:
        """Make room for `rows` rows in a table of the machine, which runs nothing now; its rows keep their numbers."""
        machine = self.tables.machine
        array = getattr(machine, table)
        self._replace(machine=machine._replace(**{table: _longer(array, max(2 * len(array), rows))}))

    def add_graft(self, **fields: int) -> int:
        """Return a new graft with queues of its own."""
        g = self.add("graft", next=NONE, served_next=NONE, queues=self.queues(tables.OBJECT_QUEUES), **fields)
        if self.tables.config[0]["vectors"] and g >= len(self.tables.vector):
            self._replace(vector=_longer(self.tables.vector, 2 * len(self.tables.vector)))
        return g

    def add_recorder(self, after: int) -> int:
        """Return a new recorder of latencies of operations that begin at `after` or later, ps."""
        row = self.add("recorder", after=after)
        if row >= len(self.tables.histogram):
            self._replace(histogram=_longer(self.tables.histogram, 2 * row + 1))
        return row

    def add_core(self, account: int) -> int:
        """Return a new core, idle; `account` is charged for its idling."""
        return self.add(
            "core", process=NONE, phase=tables.IDLING, end=NEVER, last=NONE, ipi_at=NEVER, account=account,
            top_priority=NONE, pending_first=NONE, pending_last=NONE, queues=self.queues(tables.CORE_QUEUES),
        )  # fmt: skip

    def add_context(self, budget: int, period: int) -> int:
        """Return a new scheduling context, its budget there from the beginning; `budget` 0: unlimited."""
        first = self.add("refill", contexts.REFILLS + 1)
        self.tables.refill[first]["amount"] = budget
        row = self.add(
            "context", budget=budget, period=period, first=first, refills=1, until=NONE, timer=NONE,
            queues=self.queues(1),
        )  # fmt: skip
        if row >= len(self.tables.consumed):
            self._replace(consumed=_longer(self.tables.consumed, 2 * len(self.tables.consumed)))
        return row

    def add_process(self, count: int = 1, **fields: int) -> int:
        """Return the first of `count` new parked processes."""
        p = self.add("process", count)
        row = self.tables.process[p : p + count]
        for name in (
            "next", "prev", "endpoint", "request", "completion", "timer", "graft", "library", "job_next", "job_last",
            "finishing", "think", "recorder", "partner", "active_on", "polling", "plan",
            "chains", "answers", "reply_parcel", "held", "side",
        ):  # fmt: skip
            row[name] = NONE
        row["state"] = tables.PARKED
        row["space"] = p
        row["ready_at"] = NEVER
        row["patience"] = NEVER
        row["queues"] = self.queues(tables.PROCESS_QUEUES * count) + tables.PROCESS_QUEUES * np.arange(count)
        for name, value in fields.items():
            row[name] = value
        return p

    def add_footprints(self, count: int, lines: int) -> int:
        """Return the first of `count` footprints of so many lines, all cold."""
        return self.add("footprint", count, lines=lines, core=NONE)

    def let_chain(self, p: int) -> None:
        """Let process `p` submit chains."""
        if self.tables.process[p]["chains"] == NONE:
            self.tables.process[p]["chains"] = self.add("chains", deferred_first=NONE)

    def let_poll(self, p: int, poller: int) -> None:
        """Let process `p` be a client whose rings thread `poller` polls, or, if that is NONE, be such a thread."""
        row = self.tables.process[p]["polling"]
        if row == NONE:
            row = self.add("polling", next=NONE, first=NONE, last=NONE)
            self.tables.process[p]["polling"] = row
        self.tables.polling[row]["poller"] = poller

    def add_continuation(self, p: int) -> None:
        """Give process `p` a continuation for deferred events, unless it has one."""
        row = self.tables.process[p]
        if row["partner"] == NONE:
            same = ("core", "priority", "account", "context")
            made = self.add_process(
                **{name: int(row[name]) for name in same}, on=int(row["context"]), partner=p,
                behaviour=tables.B_CONTINUATION,
            )  # fmt: skip
            self.tables.process[p]["partner"] = made


def _longer(array: Any, rows: int) -> Any:
    longer = np.zeros((rows, *array.shape[1:]), array.dtype)
    longer[: len(array)] = array
    return longer
