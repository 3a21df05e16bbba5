"""`Kernel`: a simulated microkernel to build, run and ask. Twenty lines suffice:

    kernel = Kernel("sel4-skylake")
    disk = kernel.server("disk", image=blocks, block=512, service_ns=200)
    app = kernel.client("app")
    graft = kernel.attach(verified, to=app, slots={"disk": disk})
    jobs = kernel.jobs(app, graft=graft, slot="disk", op="read", bodies=np.array([0, 0], np.uint64),
                       map="wanted", values=np.array([17, 42], np.uint64))
    app.run()
    kernel.run()
    answers = jobs.results()

This file is the thin Python side of building: it adds rows to the tables of `core`, mostly by modules of their own. The
clock, the books and the answers are in `simulation`; what happens is in `core`. The same seed gives the same trace, in
both tiers.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from grafting.diagnostics import fail
from jit.mapview import MapView, scratch_bytes
from jit.values import Types
from kernel_model import capabilities, persistence
from kernel_model.agents import become_host, host_in
from kernel_model.attachments import arm, chain, place, replace, serve
from kernel_model.clientmodes import set_mode
from kernel_model.contexts import Context, add_context
from kernel_model.core import capabilities as core_capabilities
from kernel_model.core import chance, endings, scripts, tables
from kernel_model.core.tables import NONE
from kernel_model.footprints import set_working_set
from kernel_model.groups import Clients, Recording, Stream, add_clients, add_recording, add_stream
from kernel_model.handles import (
    Attachment,
    Capability,
    Client,
    Endpoint,
    Exponential,
    Jobs,
    Mode,
    Process,
    Server,
    Target,
    Times,
    Uniform,
)
from kernel_model.hosting import Program, Row
from kernel_model.hosts import Host, script_rows
from kernel_model.joblists import add_jobs
from kernel_model.memory import Ahead, Evict, Paging, add_memory, add_pages, paging_of
from kernel_model.serving import NO_FAULTS, Act, Constant, Faults, Read, Store, add_service, keep_reads
from kernel_model.sharing import connect
from kernel_model.simulation import PS, Simulation
from kernel_model.suggestions import meant

if TYPE_CHECKING:
    from jit.native.engine import NativeEngine
    from kernel_model.persistence import Application
    from kernel_model.persistence.rebuild import Restored
    from verifier import Verified


class Kernel(Simulation):
    """A simulated kernel; what it is made with, and how it is run and asked: `Simulation`."""

    # --- building -----------------------------------------------------------------------------------------------------

    def endpoint(self, name: str, capacity: int = 64) -> Endpoint:
        """Return a new endpoint with room for `capacity` queued requests."""
        if capacity < 0:
            raise fail("G0801", f"endpoint `{name}`: a capacity of {capacity}")
        row = self.storage.add(
            "endpoint", owner=NONE, alive=1, capacity=capacity, graft=NONE, queues=self.storage.queues(3)
        )
        capabilities.new_root(self, row)
        self.endpoints[row] = Endpoint(name, row)
        return self.endpoints[row]

    def server(
        self,
        name: str,
        *,
        endpoint: Endpoint | None = None,
        like: Server | None = None,
        ops: Mapping[int, Act] | None = None,
        image: bytes | str | Path | None = None,
        block: int = 512,
        reply: bytes = b"",
        service_ns: Times = 1000,
        device_ns: Times = 0,
        faults: Faults = NO_FAULTS,
        core: int = 0,
        priority: int = 8,
        capacity: int = 64,
        context: Context | None = None,
        passive: bool = False,
    ) -> Server:
        """Return a new server process: it replies with block number (the request's u64) of `image`, or with `reply`.

        Or it does `ops`, acts by operation number (`kernel_model.serving`); or all that `like` does, with the same data
        and, without `endpoint`, at the same one. Else it gets one of its own. `service_ns` is its work for a request,
        `device_ns` a time that it sleeps in each, `faults` what goes wrong. With `passive` it runs on the context of
        the request that it serves, and on `context` only where that is exhausted and it gives up the request
        (`core.budgets`). Raises GraftError G0801 for what cannot be, OSError if the image cannot be read.
        """
        endpoint = endpoint or (like.endpoint if like else self.endpoint(name, capacity))
        if like is not None:
            row = int(self.tables.process[like.row]["row"])
        else:
            if ops is None and image is not None:
                data = image if isinstance(image, bytes) else Path(image).read_bytes()
                ops = {-1: Read(Store(data, block))}
            row = add_service(self, name, ops or {-1: Constant(reply)}, service_ns, device_ns, faults)
        number = self._process(
            name, core, priority, tables.B_SERVER, context, passive, row=row, endpoint=endpoint.row, cq_capacity=64
        )
        self._own(endpoint, number)
        self._starting.append(number)
        return self._named(Server(self, name, number, endpoint))

    def client(
        self,
        name: str,
        *,
        core: int = 0,
        priority: int = 8,
        completions: int = 64,
        slots: int = 0,
        context: Context | None = None,
    ) -> Client:
        """Return a new client process with room for `completions` completions; `jobs` and `Client.run` give it work.

        `slots`: how many it keeps free for capabilities that come with a reply; its graft sees so many.
        """
        number = self._process(name, core, priority, tables.B_CLIENT, context, cq_capacity=completions, landing=slots)
        return self._named(Client(self, name, number))

    def connect(self, client: Client, *servers: Server, poll_ns: float = 0) -> None:
        """Let a client share a ring with each of these servers (`core.shared`), for mode `direct`.

        With `poll_ns` both sides spin, for no longer than that, before they sleep. Raises GraftError G0801 for passive
        servers, hosts, and for two rings between the same two processes.
        """
        connect(self, client, servers, poll_ns)

    def clients(
        self, name: str, count: int, *, core: int = 0, priority: int = 8, completions: int = 64,
        context: Context | None = None,
    ) -> Clients:  # fmt: skip
        """Return a group of `count` equal clients (`groups`) that share the account `name` and their capabilities."""
        if count < 1:
            raise fail("G0801", f"a group of {count} clients")
        row = self._process(name, core, priority, tables.B_CLIENT, context, cq_capacity=completions, count=count)
        return add_clients(self, name, count, row)

    def stream(
        self,
        clients: Client | Clients,
        *,
        slot: str | Target,
        bodies: npt.NDArray[Any] | bytes,
        operations: int,
        op: str | int = 0,
        graft: Attachment | None = None,
        map: str | None = None,
        values: npt.NDArray[Any] | None = None,
        think_ns: Times = 0,
        interval_ns: Times | None = None,
        prepare_ns: float = 0,
        in_flight: int = 1,
    ) -> Stream:
        """Give clients `operations` operations without a row for each (`core.streams`), up to `in_flight` at a time.

        Arguments as in `jobs`; `bodies` and `values` are used in turn. `think_ns`: a closed loop. `interval_ns`: an
        open loop, arrivals of all the clients together. What is delivered is not kept: see `record`.
        """
        return add_stream(
            self, clients, slot=slot, bodies=bodies, operations=operations, op=op, graft=graft, map=map, values=values,
            think_ns=think_ns, interval_ns=interval_ns, prepare_ns=prepare_ns, in_flight=in_flight,
        )  # fmt: skip

    def record(self, *clients: Client | Clients, after_ns: float = 0) -> Recording:
        """Record the latencies of these clients' operations, of those alone that begin at `after_ns` or later.

        A latency counts from the intended start: the arrival in an open loop, the end of the think time in a closed
        one. A client has one recording; a later one takes its place.
        """
        return add_recording(self, clients, after_ns)

    def host(self, name: str, *, to: Endpoint | Server, core: int = 0, priority: int = 8) -> Server:
        """Return a new process that runs a graft (`load`) for whoever calls it, between them and the servers `to`."""
        endpoint = self.endpoint(name)
        number = self._process(
            name, core, priority, tables.B_HOSTED, None, row=NONE, endpoint=endpoint.row, cq_capacity=64
        )
        become_host(self, number, to)
        self._own(endpoint, number)
        self._starting.append(number)
        return self._named(Server(self, name, number, endpoint))

    def host_in(self, server: Server, to: Endpoint | Server | None = None) -> None:
        """Let a server run a graft (`load`) for whoever calls it, and do itself what the graft sends to its endpoint.

        `to`: where the graft's handlers take the first request to have gone (None: to this server). Raises GraftError
        G0801 for a server that has begun, or has a graft or a table of answers.
        """
        host_in(self, server, to)

    def keep_answers(self, server: Server, most: int) -> None:
        """Let a server take every request as a batch of up to `most` calls, and keep their answers meanwhile."""
        kept = self.storage.add("answers", first=self.storage.add("row", most), count=most)
        self.tables.process[server.row]["answers"] = kept

    def poller(self, name: str = "poller", *, core: int = 0, priority: int = 8) -> Process:
        """Return a new kernel thread that polls the rings of the clients that are run with it, without end."""
        number = self._process(name, core, priority, tables.B_POLLER, None, cq_capacity=0)
        self.storage.let_poll(number, tables.NONE)
        self._starting.append(number)
        return self._named(Process(self, name, number))

    def process(
        self,
        name: str,
        program: Program,
        *,
        endpoint: Endpoint | None = None,
        core: int = 0,
        priority: int = 8,
        completions: int = 64,
        context: Context | None = None,
        passive: bool = False,
    ) -> Process:
        """Return a new process whose user mode is a Python generator (`hosting`). `passive`: see `server`."""
        number = self._process(name, core, priority, tables.B_HOST, context, passive, cq_capacity=completions)
        if endpoint is not None:
            self.tables.process[number]["endpoint"] = endpoint.row
            self._own(endpoint, number)
        process = self._named(Process(self, name, number))
        self._hosts[number] = Host(self, process, program)
        self._starting.append(number)
        return process

    def script(
        self,
        name: str,
        rows: Sequence[Row],
        *,
        endpoint: Endpoint | None = None,
        core: int = 0,
        priority: int = 8,
        completions: int = 64,
        context: Context | None = None,
        passive: bool = False,
        room: int = 0,
    ) -> Process:
        """Return a new process that does these rows (`kernel_model.hosting`), compiled: no Python while it runs.

        `room`: how many rows it has at least; those behind `rows` end it.
        """
        first = self.storage.add("row", max(len(rows) + 1, room), op=scripts.HALT)
        number = self._process(
            name, core, priority, tables.B_SCRIPT, context, passive, cq_capacity=completions, row=first
        )
        for offset, fields in enumerate(script_rows(self, number, rows, first)):
            self.tables.row[first + offset] = (*fields, 0)  # field f is for servers
        self.script_rows[number] = range(first, first + max(len(rows) + 1, room))
        if endpoint is not None:
            self.tables.process[number]["endpoint"] = endpoint.row
            self._own(endpoint, number)
        self._starting.append(number)
        return self._named(Process(self, name, number))

    def context(self, budget_ns: float, period_ns: float, name: str | None = None) -> Context:
        """Return a new scheduling context: `budget_ns` of core time in each `period_ns` (`core.contexts`).

        Give it to processes by `context=`; several may share one. Raises GraftError G0812 for a budget that no thread
        could run on, or that is more than its period.
        """
        made = add_context(self, budget_ns, period_ns, name or f"context{len(self._contexts) + 1}")
        self._contexts[made.name] = made
        return made

    def _own(self, endpoint: Endpoint, process: int) -> None:
        row = self.tables.endpoint[endpoint.row]
        row["receivers"] += 1
        if row["owner"] == NONE:
            row["owner"] = process
            core_capabilities.own(self.tables, int(row["root"]), process)

    def place_store(self, store: Store, shared: bool) -> int:
        """Return where a store lies in the arena; `shared` with all stores of the same bytes that nobody writes to."""
        key = store.data if shared else store
        if key not in self._stores:
            self._stores[key] = self.storage.store(store.data)
        return self._stores[key]

    def stored(self, store: Store) -> bytes:
        """Return what a store of a server holds now."""
        at = self._stores[store if store in self._stores else store.data]
        return self.arena[at : at + len(store.data)].tobytes()

    def distribution(self, times: Times) -> int:
        """Return the row of a distribution of times."""
        match times:
            case Exponential(mean_ns):
                kind, a, b = chance.EXPONENTIAL, mean_ns, 0.0
            case Uniform(low_ns, high_ns):
                kind, a, b = chance.UNIFORM, low_ns, high_ns
            case _:
                kind, a, b = chance.CONSTANT, times, 0.0
        if a < 0 or (kind == chance.UNIFORM and b < a):
            raise fail("G0801", f"{times} is no distribution of times")
        return self.storage.add("distribution", kind=kind, a=round(a * PS), b=round(b * PS))

    # --- capabilities -------------------------------------------------------------------------------------------------

    def capability(self, to: Target, owner: int = NONE, *, badge: int = 0) -> int:
        """Return the row of a capability of a process to send to `to`: of an endpoint, the same for the same process.

        Raises GraftError G0817 for a Capability that this process does not hold.
        """
        return capabilities.name(self, to, owner, badge)

    def root(self, to: Endpoint | Server) -> Capability:
        """Return the capability from which all others to this endpoint come."""
        return capabilities.root(self, to)

    def mint(
        self, source: Capability, *, badge: int | None = None, rights: Collection[str] | None = None
    ) -> Capability:
        """Return a child of a capability for its holder: with fewer rights (`{"send"}`), or a badge if it has none.

        Raises GraftError G0817 for one that is gone or revoked, G0818 for rights or a badge that would widen it.
        """
        return capabilities.derive(self, source, NONE, badge, rights)

    def grant(
        self,
        source: Capability | Endpoint | Server,
        to: Process,
        *,
        badge: int | None = None,
        rights: Collection[str] | None = None,
    ) -> Capability:
        """Give a process a child of a capability, or of an endpoint's root, that allows to grant. Raises as `mint`."""
        parent = source if isinstance(source, Capability) else self.root(source)
        return capabilities.derive(self, parent, to.row, badge, rights)

    def slot(self, process: Process) -> Capability:
        """Return an empty slot of a process, into which a promise can be put (`hosting.submit(..., promise=slot)`)."""
        return capabilities.slot(self, process)

    def revoke(self, source: Target) -> None:
        """Revoke from now on all that was derived from a capability, or from an endpoint's root, but not itself."""
        self._about(capabilities.to_revoke(self, source), endings.C_REVOKE)

    def delete(self, capability: Capability) -> None:
        """Delete a capability at the present time; what was derived from it stays."""
        self._about(capabilities.to_delete(self, capability), endings.C_DELETE)

    def _about(self, capability: Capability, command: int) -> None:
        owner = max(int(self.tables.capability[capability.row]["owner"]), 0)
        self._command(owner, command + (capability.epoch << endings.EPOCH_SHIFT), capability.row)

    def working_set(self, who: Process | Clients, size: int) -> None:
        """Let a process, or each client of a group, use `size` bytes when it has its turn (`core.warmth`).

        Otherwise it is what the profile says. With hot caches it means nothing. Raises GraftError G0801.
        """
        set_working_set(self.storage, self.cache, who, size)

    # --- memory -------------------------------------------------------------------------------------------------------

    def memory(self, *, frames: int, fetch_ns: float = 80_000, near: int = 1, lead_ns: float = 100_000) -> None:
        """Give the kernel `frames` page frames, all free; reading a page takes its device `fetch_ns`.

        A thread's turn is foretold `near` places before the head of its run queue, or `lead_ns` before its timer.
        Raises GraftError G0801.
        """
        add_memory(self, frames, fetch_ns, near, lead_ns)

    def pages(
        self, process: Process, count: int, *, ahead: Ahead = "fault", instruction: int = 0, evict: Evict = "clock"
    ) -> None:
        """Give a process `count` pages, all out, to touch (`hosting.touch`).

        `ahead`: how those of its next turn come in beforehand: not at all, the page of its `instruction`, those that it
        hinted (`hosting.hint`), or what its `schedule` handlers hint. `evict`: which of them goes, when one of this
        process must, is what the clock finds unused or what its `request` handlers choose. Raises GraftError G0801.
        """
        add_pages(self, process, count, ahead, instruction, evict)

    @property
    def paging(self) -> Paging:
        """What paging did so far."""
        return paging_of(self)

    # --- grafts -------------------------------------------------------------------------------------------------------

    def attach(
        self,
        verified: Verified,
        *,
        to: Process,
        slots: Mapping[str, Target | None],
        maps: Attachment | None = None,
        engine: Literal["interpreted", "native"] = "interpreted",
        every: Mapping[int, float] | None = None,
    ) -> Attachment:
        """Attach a graft to a process: it runs in the kernel on that process's events.

        A handler of `request` runs at the process's endpoint. Attached after others, it is asked after them. A slot of
        None holds a null capability: nothing can be sent through it. `maps`: use the maps of that attachment of the
        same program. `every`: periodic timers, id -> ns, each expiry with fuel of its own. Raises TypeError for what is
        no Verified; GraftError G0802 for a slot that is not filled or not declared, G0804 for a handler whose proven
        bound is above `ATTACH_NS`, G0813 for a period below `PERIOD_NS` or timers without a handler.
        """
        attached = place(self, verified, to, slots, engine, maps, in_kernel=True)
        chain(self, "process", to.row, "next", attached.row)
        serve(self, attached)
        arm(self, attached, every or {})
        return attached

    def load(
        self,
        verified: Verified,
        *,
        to: Process,
        slots: Mapping[str, Target | None],
        maps: Attachment | None = None,
        engine: Literal["interpreted", "native"] = "interpreted",
    ) -> Attachment:
        """Load the same object into a process's user mode: a client's library or a server runs its handlers there.

        `maps`: use the maps of that attachment of the same program. Raises as `attach` does, and GraftError G0807 for a
        graft with handlers that user mode has no event for (`submit`, `request`, `schedule`).
        """
        loaded = place(self, verified, to, slots, engine, maps, in_kernel=False)
        self.tables.process[to.row]["library"] = loaded.row
        return loaded

    def replace(
        self, attachment: Attachment, verified: Verified, *, slots: Mapping[str, Target] | None = None
    ) -> Attachment:
        """Put another graft in the place of an attached or loaded one, from the next event on.

        It keeps what is in maps of equal name and type, slots of equal name (`slots` fills new ones or overrides), its
        place among the grafts of the process, its timers and what it holds; messages in flight come to the new graft.
        Raises GraftError as `attach` does, G0822 if the old one is not attached any more.
        """
        new = replace(self, attachment, verified, slots or {})
        if new.in_kernel:
            serve(self, new)
        return new

    def machine_code(self, verified: Verified) -> NativeEngine | None:
        """Return a graft's handlers as machine code that counts, None in the tier that interprets whatever it runs.

        All attachments of a verified graft share it.
        """
        if not self._compiles:
            return None
        key = id(verified.program)  # which the engine keeps alive
        if key not in self._code:
            from jit.native.engine import compile_native

            self._code[key] = compile_native(verified, counting=True)
        return self._code[key]

    def keep_reads(self, server: Server, graft: Attachment, map: str, *, op: int = 0) -> None:
        """Let `server` put each block that it reads with operation `op` into a map of `graft` under its number.

        So a `request` handler at its endpoint can answer the next one. Raises GraftError G0802 or G0806 if that is not
        the server's operation, or no map of such blocks.
        """
        keep_reads(self, server, graft, map, op)

    def map(self, graft: Attachment, name: str) -> MapView:
        """Return a graft's map for reading and writing. Ask again after a run: the arena may have moved."""
        names = [spec.name for spec in graft.program.maps]
        if name not in names:
            raise fail("G0802", f"`{graft.program.name}` has no map `{name}`", helps=meant(name, names))
        spec = graft.program.maps[names.index(name)]
        scratch = self.places.scratch_for(graft.placement.map_base, name, scratch_bytes(spec))
        row = self.tables.machine.maps[graft.placement.map_base + names.index(name)]
        seed = self.seed & (1 << 64) - 1
        return MapView(spec, self.arena, row, seed, scratch, Types(graft.program.debug.types))

    # --- jobs ---------------------------------------------------------------------------------------------------------

    def jobs(
        self,
        client: Client,
        *,
        slot: str | Target | Sequence[Target],
        bodies: npt.NDArray[Any] | bytes,
        op: str | int = 0,
        graft: Attachment | None = None,
        count: int | None = None,
        tags: npt.NDArray[np.uint64] | None = None,
        map: str | None = None,
        keys: npt.NDArray[np.uint64] | None = None,
        values: npt.NDArray[Any] | None = None,
        result: str | None = None,
        arrivals_ns: npt.NDArray[Any] | None = None,
        think_ns: Times = 0,
        prepare_ns: float = 0,
        patience_ns: float | None = None,
    ) -> Jobs:
        """Give a client jobs; the model does them without Python in between.

        `bodies`: of the first requests: uint64 (N,), or bytes as uint8 (N, length), or one for all (then `count`).
        `slot`, `op`: where they go, by names of `graft`'s declarations, or an endpoint (several: in turn) and a number.
        Before each, the library stores `values` (uint64 (N,), or uint8 (N, bytes of a value)) under `keys` (default:
        the tag) in the graft's map `map`; at the end it takes from the map `result` what stands there under the key,
        as the answer.
        `tags` default to numbers that no other job of this kernel has; they must be unique. `arrivals_ns`: intended
        times (open loop); without them the next job begins when there is depth for it, after `think_ns`. `prepare_ns`:
        work of the client before each request. `patience_ns`: a job that could not begin within so much of its
        intended time ends `refused`; None: it waits for ever.
        """
        return add_jobs(
            self,
            client,
            slot=slot,
            bodies=bodies,
            op=op,
            graft=graft,
            count=count,
            tags=tags,
            map=map,
            keys=keys,
            values=values,
            result=result,
            arrivals_ns=arrivals_ns,
            think_ns=think_ns,
            prepare_ns=prepare_ns,
            patience_ns=patience_ns,
        )

    def start_client(
        self, client: Client, mode: Mode, depth: int, batch: bool, wait: int, poller: Process | None
    ) -> None:
        """See `Client.run`."""
        set_mode(self, client, mode, depth, batch, wait, poller)
        self._starting.append(client.row)

    # --- endings ------------------------------------------------------------------------------------------------------

    def kill(self, process: Process) -> None:
        """Kill a process at the present time; its account stays readable. It is done when the model runs next."""
        self.places.let_all_go(process.row)
        self._command(process.row, endings.C_KILL, process.row)

    def detach(self, graft: Attachment) -> None:
        """Detach a graft; it takes effect at the next event.

        What it has begun the client's library finishes with its handlers; then its maps are given to others.
        """
        self.places.let_go(graft)
        self._command(graft.process.row, endings.C_DETACH, graft.row)

    # --- persistence --------------------------------------------------------------------------------------------------

    def save(self, application: Application, path: str | Path) -> None:
        """Write an application as it is now into a file, as named records (`kernel_model.persistence`).

        It goes on; the model first runs until no core is in the kernel. A crash at any moment leaves the old file or
        the new one. Raises GraftError G0870 for what cannot be saved, OSError if the file cannot be written.
        """
        persistence.save(self, application, Path(path))

    def restore(
        self,
        path: str | Path,
        bindings: Mapping[str, Target] | None = None,
        *,
        grafts: Mapping[str, Verified] | None = None,
        defaults: Mapping[str, Any] | None = None,
        forget: Collection[str] = (),
    ) -> Restored:
        """Put an application from a file into this kernel, which may be another one in every respect.

        `bindings`: what its capabilities to the outside lead to, by name; those without one are null capabilities.
        `grafts`: new versions by name, instead of the saved programs; what they remember goes to maps, variables and
        fields of the same names. `defaults`: of fields that the old version had not, by "map.field"; `forget`: names of
        what may be lost. Raises GraftError G0871 to G0876 before anything is done to the kernel, OSError.
        """
        return persistence.restore(self, Path(path), bindings or {}, grafts or {}, defaults or {}, forget)
