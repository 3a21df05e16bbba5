"""`Simulation`: what every `Kernel` stands on: the tables and the core's entry points, the clock, the books.

It makes processes and lets `core.simulate.advance` run, gives Python what only Python can do (grow a table, resume a
generator, say what went wrong), and answers what was charged to whom. What can be built from it is in `kernel`.

After every run the books are checked: all time is on exactly one account, every operation and request is in flight or
has ended once, and Little's law holds; a difference is a bug of ours (`InternalError`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from grafting.diagnostics import InternalError, fail
from jit.hot import TierName, tier
from kernel_model import books, costs, footprints, persistence
from kernel_model.accounting import Account
from kernel_model.admission import EAGER_NS, FUEL_NS
from kernel_model.contexts import Context, Use, uses
from kernel_model.core import chance, endings, prices, simulate, tables
from kernel_model.core.contexts import UNLIMITED
from kernel_model.core.storage import Storage
from kernel_model.core.tables import NEVER, Tables
from kernel_model.handles import (
    Attachment,
    Capability,
    CoreBounds,
    Endpoint,
    Process,
    Statistics,
)
from kernel_model.hosts import Host
from kernel_model.places import Places
from kernel_model.serving import Store
from kernel_model.suggestions import meant

if TYPE_CHECKING:
    from jit.native.engine import NativeEngine

P = TypeVar("P", bound=Process)

PS = 1000  # in a nanosecond
EVENTS_AT_ONCE = 1 << 20
EVENTS_TO_LEAVE = 1 << 12  # a moment between two entries comes within hundreds, or never: what is deferred may starve
RETRY_NS = 1_000  # after which a full endpoint is tried again, if nothing else has happened
CHARGE_MODES = ("current", "metered", "switched")
ACTIVATIONS = ("eager", "deferred", "auto", "off")
LOCKS = ("one", "core")


class Simulation:
    """A simulated kernel.

    `profile`: name of a cost profile, or a `costs.Profile`; or instead `prices`, ns by primitive, all others free.
    `engine`: how the model itself is run, "numba" (fast) or "python". `charge`: how activations are metered (KERNEL
    section 4). `activation`: when grafts run (KERNEL 3): "eager", at once, and what may not falls back to the client;
    "deferred", in a continuation of the installer; "auto", eager where that is allowed, else deferred; "off", every
    event falls back. `eager_ns`: the longest that activations may delay whoever would run; `fuel_ns`: what all
    activations of one operation may cost. `locks`: one for the whole kernel, or one for each core (`core.locks`).
    `caches`: "hot", whatever is used is warm; "finite", each core has a cache as large as the profile says, and what
    was displaced is brought in again (`core.warmth`); or a `costs.Cache` of another size. `trace`: keep `events()`;
    `vectors`: keep what each graft does, not only each account (`accounting.graft_accounts`).
    """

    def __init__(
        self,
        profile: str | Path | costs.Profile = "sel4-skylake",
        *,
        seed: int = 1,
        engine: TierName = "numba",
        cores: int = 1,
        charge: Literal["current", "metered", "switched"] = "metered",
        activation: Literal["eager", "deferred", "auto", "off"] = "eager",
        locks: Literal["one", "core"] = "one",
        prices: Mapping[str, float] | None = None,
        eager_ns: float = EAGER_NS,
        fuel_ns: float = FUEL_NS,
        caches: Literal["hot", "finite"] | costs.Cache = "hot",
        trace: bool = False,
        vectors: bool = False,
    ) -> None:
        if cores < 1 or cores > 64:
            raise fail("G0801", f"a kernel has 1 to 64 cores, not {cores}")
        if charge not in CHARGE_MODES or activation not in ACTIVATIONS or locks not in LOCKS:
            raise fail("G0801", f"no charge mode `{charge}`, activation `{activation}` or locks `{locks}`")
        self.seed = seed
        self.storage = Storage(trace=trace)
        self._hot = _functions(engine)
        self._compiles = engine == "numba"
        self._code: dict[int, NativeEngine] = {}
        self._processes: dict[str, Process] = {}
        self._accounts: dict[str, int] = {}
        self._starting: list[int] = []
        self.own_tags = False  # whether some jobs have tags that their maker chose
        self._contexts: dict[str, Context] = {}
        self._hosts: dict[int, Host] = {}
        self._stores: dict[bytes | Store, int] = {}
        self.places = Places(self.storage)
        self.attached: list[Attachment] = []
        self.endpoints: dict[int, Endpoint] = {}
        self.script_rows: dict[int, range] = {}
        self._carried: dict[str, Account] = {}
        self.known_capabilities: dict[tuple[int, int], Capability] = {}
        self.cache = self._set_prices(profile, prices, caches)
        config = self.tables.config[0]
        config["eager"] = round(eager_ns * PS)
        config["fuel"] = round(fuel_ns * PS)
        config["retry"] = RETRY_NS * PS
        config["vectors"] = vectors
        config["charge_mode"] = CHARGE_MODES.index(charge)
        config["activation"] = ACTIVATIONS.index(activation)
        config["locks"] = LOCKS.index(locks)
        config["cores"] = cores
        config["map_seed"] = _signed(seed)
        self._idle = [f"idle/{number}" for number in range(cores)]
        for name in self._idle:
            account = self.storage.account()
            self.storage.add_core(account)
            self._accounts[name] = account

    def _set_prices(
        self,
        profile: str | Path | costs.Profile,
        given: Mapping[str, float] | None,
        caches: Literal["hot", "finite"] | costs.Cache,
    ) -> costs.Cache | None:
        """Set what primitives cost; return the cache of a core, None if caches are hot."""
        known = None
        config = self.tables.config[0]
        if given is not None:
            table = np.zeros(prices.COUNT, np.int64)
            for name in (*given, *prices.UNIT_PRICED):
                if name not in prices.INDEX:
                    raise fail("G0801", f"no primitive is called `{name}`", helps=meant(name, prices.INDEX))
                table[prices.INDEX[name]] = 1 if name in prices.UNIT_PRICED else round(given[name] * PS)
            self.worst = table
            config["register_bytes"] = 1 << 30
        else:
            loaded = profile if isinstance(profile, costs.Profile) else costs.load(profile)
            table, self.worst = loaded.prices, loaded.worst
            config["register_bytes"] = loaded.register_bytes
            known = loaded.cache
        self.tables.price[:] = table
        config["exit_cost"] = self.worst[prices.EXIT]
        cache = footprints.chosen(caches, known)
        if cache is not None:
            config["cache_lines"] = cache.lines
        return cache

    # --- what is there ----------------------------------------------------------------------------------------------

    @property
    def tables(self) -> Tables:
        """The core's tables as they are now; they are replaced when they grow."""
        return self.storage.tables

    @property
    def arena(self) -> npt.NDArray[np.uint8]:
        """All bytes of the model: images, bodies, maps. Ask again after a run: it may have grown."""
        arena: npt.NDArray[np.uint8] = self.tables.arena
        return arena

    @property
    def now_ps(self) -> int:
        """The clock, picoseconds."""
        return int(self.tables.meter[0]["now"])

    @property
    def cores(self) -> int:
        """How many cores there are."""
        return int(self.tables.config[0]["cores"])

    @property
    def jobs_open(self) -> int:
        """How many jobs have not ended."""
        return int(self.tables.meter[0]["jobs_open"])

    @property
    def processes(self) -> Mapping[str, Process]:
        """All processes by name, in the order of their making."""
        return MappingProxyType(self._processes)

    # --- processes ---------------------------------------------------------------------------------------------------

    def _process(
        self,
        name: str,
        core: int,
        priority: int,
        behaviour: int,
        context: Context | None,
        passive: bool = False,
        **fields: int,
    ) -> int:
        if name in self._accounts:
            raise fail("G0801", f"there is a process or account `{name}` already")
        if not 0 <= core < self.tables.config[0]["cores"]:
            raise fail("G0801", f"process `{name}`: there is no core {core}")
        if not 0 <= priority < tables.PRIORITIES:
            raise fail("G0801", f"process `{name}`: priority {priority} is not in 0 .. {tables.PRIORITIES - 1}")
        account = self.storage.account()
        self._accounts[name] = account
        own = UNLIMITED if context is None else context.row
        number = self.storage.add_process(
            core=core, priority=priority, behaviour=behaviour, account=account, context=own, on=own, passive=passive,
            **fields,
        )  # fmt: skip
        if self.cache is not None:
            footprints.add_working_sets(self.storage, self.cache, number, fields.get("count", 1))
        row = self.tables.process[number]
        for index, word in enumerate(chance.seeds(self.seed, number)):
            row[f"r{index}"] = word
        row = self.tables.core[core]
        row["top_priority"] = max(row["top_priority"], priority)
        return number

    def _named(self, process: P) -> P:
        self._processes[process.name] = process
        return process

    def start(self, process: Process) -> None:
        """Let a parked process begin when the model runs next."""
        self._starting.append(process.row)

    def start_rows(self, rows: Iterable[int]) -> None:
        """Let these processes begin when the model runs next."""
        self._starting.extend(rows)

    def interrupt(self, process: Process) -> None:
        """Let the kernel be entered on the core of a process at the present time, to do what is left to be done."""
        self._command(process.row, endings.C_NOTHING, process.row)

    def _command(self, process: int, command: int, target: int) -> None:
        self._hot.command(self.tables, int(self.tables.process[process]["core"]), command, target)

    # --- running ------------------------------------------------------------------------------------------------------

    def run(self, until_ns: float | None = None) -> None:
        """Let the model run until nothing can happen any more, or to the time `until_ns`, and check its books.

        Raises GraftError G0808 if a server's handler sends more than once, G0809 if time stands still, and whatever a
        Python process raises; InternalError if the books do not hold.
        """
        until = NEVER - 1 if until_ns is None else round(until_ns * PS)
        if until < self.now_ps:
            raise fail("G0801", f"it is {self.now_ps / PS} ns already, {until_ns} ns is over")
        self._start()
        before = -1
        while True:
            reason, argument = self._hot.advance(self.tables, until, EVENTS_AT_ONCE)
            if self._attend(reason, argument):
                continue
            if reason == tables.S_EVENTS:
                if self.now_ps == before:
                    raise fail("G0809", f"time stands still at {self.now_ps / PS} ns: {EVENTS_AT_ONCE:,} events",
                               helps=("give some step of each loop a price or a time",))  # fmt: skip
                before = self.now_ps
            else:
                break
        self._hot.settle(self.tables, self.now_ps if until_ns is None else until)
        books.check(self.tables, int(self._hot.ahead(self.tables)))

    def forget_starting(self, processes: Collection[Process]) -> None:
        """These processes do not begin by themselves: they were made to go on from somewhere else."""
        rows = {process.row for process in processes}
        self._starting = [row for row in self._starting if row not in rows]

    def _start(self) -> None:
        for run in _consecutive(self._starting):
            self._hot.start_all(self.tables, run.start, len(run))
        self._starting.clear()

    def leave_kernel(self) -> None:
        """Go on until every core is idle or in user mode and nothing that was deferred is left to be done.

        Raises GraftError G0870 if that does not come to pass within EVENTS_TO_LEAVE events.
        """
        self._start()
        for _ in range(EVENTS_TO_LEAVE):
            if persistence.is_between_entries(self.tables):
                self._hot.settle(self.tables, self.now_ps)
                return
            self._attend(*self._hot.advance(self.tables, NEVER - 1, 1))
        raise fail("G0870", f"there was no moment between two entries of the kernel in {EVENTS_TO_LEAVE:,} events")

    def _attend(self, reason: int, argument: int) -> bool:
        """Do what the core has stopped for, if it is what only Python can do; return whether it was."""
        if reason == tables.S_HOST:
            self._hosts[argument].resume()
        elif reason == tables.S_GROW:
            self.storage.grow()
        elif reason == tables.S_FAULT:
            self._fault(argument)
        else:
            return False
        return True

    def _fault(self, fault: int) -> None:
        number = int(self.tables.meter[0]["fault_handler"])
        if fault == tables.FAULT_MANY_SENDS:
            raise fail("G0808", "a handler that a server runs on its reply sent more than once",
                       notes=("the request is passed on with its reply right, of which there is one",))  # fmt: skip
        if fault == tables.FAULT_STEER:
            raise fail("G0808", "a handler that a server runs on a request steered it, but the server has received it",
                       helps=("attach the graft to the server instead",))  # fmt: skip
        control = self.tables.machine.control[0]
        raise InternalError(
            f"a verified handler (row {number}) broke its proof: outcome {fault - 1}, fault {control['fault_kind']} at "
            f"{control['fault_pc']}, {control['instructions']} instructions of {self.tables.handler[number]['limit']}"
        )

    # --- asking -------------------------------------------------------------------------------------------------------

    @property
    def accounts(self) -> Mapping[str, Account]:
        """What every process and every core's idling was charged so far, by name, processes first."""
        order = [*(name for name in self._accounts if name not in self._idle), *self._idle]
        return MappingProxyType({name: self._account(name) for name in order})

    def carry(self, account: Account) -> None:
        """Add to an account what it had been charged in another kernel."""
        self._carried[account.name] = account

    def _account(self, name: str) -> Account:
        here = self._charged(name)
        return here + self._carried[name] if name in self._carried else here

    def _charged(self, name: str) -> Account:
        number = self._accounts[name]
        spent, count = self.tables.spent[number], self.tables.count[number]
        return Account(
            name,
            MappingProxyType(dict(zip(prices.CATEGORIES, spent.tolist(), strict=True))),
            MappingProxyType({p.name: int(n) for p, n in zip(prices.PRIMITIVES, count, strict=True) if n}),
        )

    @property
    def scheduling_contexts(self) -> Mapping[str, Context]:
        """All scheduling contexts by name, in the order of their making."""
        return MappingProxyType(self._contexts)

    @property
    def contexts(self) -> Mapping[str, Use]:
        """What each scheduling context has used so far, by name; `unlimited` is of all processes without one.

        It is kept from the making of the first context on. Empty while there is none.
        """
        return MappingProxyType(uses(self, self._contexts.values()))

    @property
    def totals(self) -> Account:
        """All accounts together."""
        total = Account("total", MappingProxyType(dict.fromkeys(prices.CATEGORIES, 0)), MappingProxyType({}))
        for account in self.accounts.values():
            total = total + account
        return Account("total", total.ps, total.counts)

    @property
    def statistics(self) -> Statistics:
        """Books and extremes so far."""
        meter = self.tables.meter[0]
        cores = self.tables.core[: len(self._idle)]
        top = cores["top_priority"] == cores["top_priority"].max()
        return Statistics(
            now_ns=self.now_ps / PS,
            longest_section_ns=int(cores["longest_section"].max()) / PS,
            worst_release_ns=int(cores["worst_release"][top].max()) / PS,
            cores=tuple(
                CoreBounds(*(int(core[name]) / PS for name in ("longest_section", "longest_wait", "worst_release")))
                for core in cores
            ),
            **{
                name: int(meter[name])
                for name in (
                    "events", "operations_submitted", "operations_completed", "requests_submitted", "requests_ended",
                    "late", "starved", "fallbacks", "refused", "deferrals", "missed",
                )
            },
        )  # fmt: skip

    def events(self) -> list[tuple[int, str, int, int, int, int]]:
        """Return the trace: (ps, what, a, b, c, d), see `core.tables.TRACE_NAMES`; empty without `trace=True`."""
        rows = self.tables.trace[: int(self.tables.meter[0]["traced"])].tolist()
        return [(time, tables.TRACE_NAMES[what], a, b, c, d) for time, what, a, b, c, d in rows]


def _functions(engine: TierName) -> Any:
    """Return the entry points of the core in one of the tiers; numba is imported only here."""
    if engine == "python":
        return tier("python", simulate)
    if engine != "numba":
        raise fail("G0801", f"the model is run by `numba` or `python`, not `{engine}`")
    from kernel_model.core import packing

    return packing.functions()


def _consecutive(rows: Iterable[int]) -> Iterator[range]:
    """Yield runs of numbers that follow one another."""
    run = range(0)
    for row in rows:
        if run and row != run.stop:
            yield run
            run = range(0)
        run = range(run.start if run else row, row + 1)
    if run:
        yield run


def _signed(value: int) -> int:
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value
