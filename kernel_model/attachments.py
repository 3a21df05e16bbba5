"""Putting a verified graft into its place: checks first, then the rows that the core will find it by.

Only what `verifier.verify` made is taken. Every slot must be filled, every handler must be one that its place has an
event for, and in the kernel its proven bound, at the profile's worst prices and with a cold cache if caches are finite,
must be below `admission.ATTACH_NS`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from grafting import limits
from grafting.diagnostics import fail
from grafting.hooks import Event
from grafting.program import Handler, MapSpec, Program
from jit.hot import tier
from jit.machine import Placement
from jit.maps import describe
from kernel_model import capabilities
from kernel_model.admission import ATTACH_NS, PERIOD_NS, bound_ps, handler_rows
from kernel_model.core import detaching, heap, lists, prices, tables
from kernel_model.core.tables import NONE
from kernel_model.footprints import graft_lines, install, refill_ps
from kernel_model.handles import Attachment, Process, Target
from kernel_model.suggestions import meant

if TYPE_CHECKING:
    from kernel_model.kernel import Kernel
    from verifier import Verified

PS = 1000  # in a nanosecond
CLIENT_EVENTS = frozenset({Event.SUBMIT, Event.REPLY, Event.FAILURE, Event.TIMER})
SERVER_EVENTS = frozenset({Event.REPLY, Event.FAILURE, Event.REQUEST})
USER_EVENTS = {
    tables.B_CLIENT: CLIENT_EVENTS,
    tables.B_RINGS: CLIENT_EVENTS,
    tables.B_ASKING: CLIENT_EVENTS,
    tables.B_HOSTED: CLIENT_EVENTS,
    tables.B_SERVER: SERVER_EVENTS,
    tables.B_ANSWERING: SERVER_EVENTS,
}
"""What the user mode of each behaviour has an event for."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """An attachment that has passed all checks."""

    verified: Verified
    filled: Mapping[str, int]  # slot -> capability
    bounds: Mapping[str, int]  # handler -> ps
    rows: tuple[tuple[Handler, int, int, int], ...]
    engine: str
    footprint: int  # cache lines; 0 where caches are hot


def place(
    kernel: Kernel,
    verified: Verified,
    to: Process,
    slots: Mapping[str, Target | None],
    engine: str,
    maps: Attachment | None,
    *,
    in_kernel: bool,
) -> Attachment:
    """Check everything about an attachment, then make its rows. See `Kernel.attach` and `Kernel.load`."""
    plan = _check(kernel, verified, to, _fill(kernel, _verified(verified).program, to, slots), engine, in_kernel)
    program = verified.program
    if maps is not None and maps.program is not program:
        raise fail("G0802", f"`{program.name}` cannot use the maps of another program, `{maps.program.name}`")
    # --- commit ---
    kernel.places.collect()
    placement = maps.placement if maps else kernel.places.place(program, kernel.seed)
    graft = kernel.places.graft(process=to.row, state=tables.ATTACHED if in_kernel else tables.LOADED)
    _install(kernel, plan, graft, placement)
    attachment = Attachment(verified, to, graft, in_kernel, placement, MappingProxyType(dict(plan.filled)))
    kernel.places.settle(attachment)
    if kernel.tables.config[0]["vectors"]:
        kernel.attached.append(attachment)
    return attachment


def replace(kernel: Kernel, old: Attachment, verified: Verified, slots: Mapping[str, Target]) -> Attachment:
    """Put another graft in the place of an attachment, with what it knows. See `Kernel.replace`."""
    k = kernel.tables
    if (
        k.graft[old.row]["state"] not in (tables.ATTACHED, tables.LOADED)
        or old not in kernel.places.present[old.process.row]
    ):
        raise fail("G0822", f"`{old.program.name}` is not attached to `{old.process.name}` any more")
    program = _verified(verified).program
    names = [slot.name for slot in program.slots]
    kept = {name: capabilities.handle(kernel, c) for name, c in old.slots.items() if name in names}
    filled = _fill(kernel, program, old.process, {**kept, **slots})
    engine = prices.ENGINES[int(k.graft[old.row]["engine"])]
    plan = _check(kernel, verified, old.process, filled, engine, old.in_kernel)
    # --- commit ---
    kernel.places.collect()
    placement = kernel.places.place(program, kernel.seed)
    _keep_maps(kernel, old, program, placement)
    kernel.places.give_rows(old.row)
    _install(kernel, plan, old.row, placement)
    new = Attachment(verified, old.process, old.row, old.in_kernel, placement, MappingProxyType(dict(filled)))
    kernel.places.present[old.process.row].remove(old)
    kernel.places.settle(new)
    kernel.places.leave(old.placement, old.program)
    if k.config[0]["vectors"]:
        kernel.attached[kernel.attached.index(old)] = new
    return new


def _check(
    kernel: Kernel, verified: Verified, to: Process, filled: Mapping[str, int], engine: str, in_kernel: bool
) -> _Plan:
    """Check what does not depend on where it will lie."""
    program = verified.program
    if engine not in prices.ENGINES:
        raise fail("G0801", f"there is no engine `{engine}`", helps=meant(engine, prices.ENGINES))
    footprint = 0 if kernel.cache is None else graft_lines(verified, engine, kernel.cache)
    refill = refill_ps(footprint, kernel.worst)
    bounds = {
        name: bound_ps(program, proved.bounds, kernel.worst, engine) + refill
        for name, proved in verified.handlers.items()
    }
    rows = tuple(handler_rows(program))
    behaviour = int(kernel.tables.process[to.row]["behaviour"])
    for handler, _, _, _ in rows:
        if in_kernel:
            _check_bound(handler.name, bounds[handler.name])
        elif handler.hook.event not in USER_EVENTS.get(behaviour, ()):
            raise fail("G0807", f"handler `{handler.name}`: the user mode of `{to.name}` has no such event",
                       helps=("attach the graft instead",))  # fmt: skip
        elif handler.hook.event is Event.REQUEST and verified.handlers[handler.name].bounds.sends:
            raise fail("G0807", f"handler `{handler.name}` sends: what a server sends by itself nobody waits for",
                       helps=("attach the graft instead",))  # fmt: skip
    return _Plan(verified, filled, bounds, rows, engine, footprint)


def _install(kernel: Kernel, plan: _Plan, graft: int, placement: Placement) -> None:
    """Make the rows of a graft's slots and handlers, and let the graft have them."""
    code = kernel.machine_code(plan.verified) if plan.engine == "native" else None
    slot = kernel.places.take("slot", len(plan.filled)) if plan.filled else 0
    handler = kernel.places.take("handler", len(plan.rows)) if plan.rows else 0
    k = kernel.tables
    for row, capability in enumerate(plan.filled.values(), slot):
        k.slot[row]["capability"] = capability
        k.slot[row]["epoch"] = 0 if capability == NONE else k.capability[capability]["epoch"]
    for row, (proved, event, of_slot, op) in enumerate(plan.rows, handler):
        record = k.handler[row]
        record["event"], record["slot"], record["op"] = event, of_slot, op
        record["program"] = placement.handlers[proved.name]
        record["bound"] = plan.bounds[proved.name]
        record["limit"] = plan.verified.handlers[proved.name].bounds.instructions
        record["address"] = code.address(proved.name, counting=True) if code else 0
        record["calls"] = code.has_calls(proved.name) if code else 0
    record = k.graft[graft]
    record["first_handler"], record["handlers"] = handler, len(plan.rows)
    record["first_slot"], record["slots"] = slot, len(plan.filled)
    record["engine"] = prices.ENGINES.index(plan.engine)
    record["state_at"] = placement.state_at
    if kernel.cache is not None:
        install(kernel.storage, graft, plan.footprint)


def _keep_maps(kernel: Kernel, old: Attachment, program: Program, placement: Placement) -> None:
    """Give the maps of a program what those of equal name and type in `old` hold; jobs to come fill them too."""
    k = kernel.tables
    before = {spec.name: number for number, spec in enumerate(old.program.maps)}
    moved: dict[int, int] = {}
    for number, spec in enumerate(program.maps):
        if spec.name not in before or _type(spec) != _type(old.program.maps[before[spec.name]]):
            continue
        source, target = old.placement.map_base + before[spec.name], placement.map_base + number
        moved[source] = target
        at, size = int(k.machine.maps[source]["head"]), describe(spec, 0)[1]
        to = int(k.machine.maps[target]["head"])
        k.arena[to : to + size] = k.arena[at : at + size]
    jobs = k.job[: kernel.storage.used["job"]]
    mine = jobs["owner"] == old.process.row
    for field in ("map", "result"):
        was = jobs[field].copy()
        for source, target in moved.items():
            jobs[field][mine & (was == source)] = target


def _type(spec: MapSpec) -> tuple[object, ...]:
    """Return what must be equal for one map to go on as another."""
    return spec.kind, spec.key_size, spec.value_size, spec.max_entries, spec.read_only


def _fill(kernel: Kernel, program: Program, to: Process, slots: Mapping[str, Target | None]) -> dict[str, int]:
    """Return a capability for each declared slot."""
    declared = [slot.name for slot in program.slots]
    for name in slots:
        if name not in declared:
            raise fail("G0802", f"`{program.name}` has no slot `{name}`", helps=meant(name, declared))
    missing = [name for name in declared if name not in slots]
    if missing:
        raise fail(
            "G0802",
            f"slot `{missing[0]}` of `{program.name}` is not filled",
            helps=(f"attach it with slots={{{missing[0]!r}: server}}",),
        )
    given = {name: slots[name] for name in declared}
    filled = {name: NONE if target is None else kernel.capability(target, to.row) for name, target in given.items()}
    for slot in program.slots:
        if filled[slot.name] == NONE:
            continue
        rights = int(kernel.tables.capability[filled[slot.name]]["rights"])
        if not rights & tables.SEND or (slot.grant and not rights & tables.GRANT):
            raise fail("G0817", f"slot `{slot.name}` needs a capability with the right to "
                       f"{'grant' if rights & tables.SEND else 'send'}")  # fmt: skip
    return filled


def serve(kernel: Kernel, attachment: Attachment) -> None:
    """Let a graft be asked at its process's endpoint, if it serves requests, and not otherwise.

    The pager asks by itself (`core.eviction`).
    """
    process = attachment.process
    if kernel.tables.paging[kernel.tables.process[process.row]["paging"]]["evicted_by"] == tables.BY_ADVICE:
        return
    serves = any(handler.hook.event is Event.REQUEST for handler in attachment.program.handlers)
    endpoint = int(kernel.tables.process[process.row]["endpoint"])
    if serves and endpoint == NONE:
        raise fail("G0802", f"`{attachment.program.name}` serves requests, but `{process.name}` has no endpoint")
    asked = attachment.row in _asked(kernel, endpoint)
    if serves and not asked:
        chain(kernel, "endpoint", endpoint, "served_next", attachment.row)
    elif asked and not serves:
        tier("python", detaching).leave_endpoint_of(kernel.tables, process.row, attachment.row)


def _asked(kernel: Kernel, endpoint: int) -> Iterator[int]:
    graft = int(kernel.tables.endpoint[endpoint]["graft"]) if endpoint != NONE else NONE
    while graft != NONE:
        yield graft
        graft = int(kernel.tables.graft[graft]["served_next"])


def chain(kernel: Kernel, table: str, row: int, link: str, graft: int) -> None:
    """Append a graft to the list of a process or an endpoint; whoever owns that has its deferred events."""
    if kernel.tables.config[0]["activation"] in (tables.DEFERRED_MODE, tables.AUTO_MODE):
        kernel.storage.add_continuation(row if table == "process" else int(kernel.tables.endpoint[row]["owner"]))
    head = getattr(kernel.tables, table)[row]
    if head["graft"] == NONE:
        head["graft"] = graft
        return
    last = head["graft"]
    while kernel.tables.graft[last][link] != NONE:
        last = kernel.tables.graft[last][link]
    kernel.tables.graft[last][link] = graft


def arm(kernel: Kernel, attached: Attachment, every: Mapping[int, float]) -> None:
    """Arm periodic timers of a graft, the first expiry of each a period from now. See `Kernel.attach`."""
    if every and not any(handler.hook.event is Event.TIMER for handler in attached.program.handlers):
        raise fail("G0813", f"`{attached.program.name}` has no `on timer` for a periodic timer")
    if len(every) > limits.TIMERS_ARMED:
        raise fail("G0813", f"{len(every)} periodic timers; a graft may have {limits.TIMERS_ARMED}")
    for id_, period_ns in every.items():
        if not PERIOD_NS <= period_ns <= limits.TIMER_DELAY_NS:
            raise fail("G0813", f"timer {id_} of `{attached.program.name}` every {period_ns:,} ns",
                       notes=(f"a period is {PERIOD_NS:,} to {limits.TIMER_DELAY_NS:,} ns",))  # fmt: skip
    for id_, period_ns in every.items():
        k, period = kernel.tables, round(period_ns * PS)
        core = int(k.process[attached.process.row]["core"])
        t = heap.set_timer(k, kernel.now_ps + period, tables.T_PERIODIC, core, attached.row, id_)
        k.timer[t]["period"] = period
        k.timer[t]["fuel"] = k.config[0]["fuel"]
        lists.append(k, int(k.graft[attached.row]["queues"]) + tables.Q_TIMERS, k.timer, t)
        k.graft[attached.row]["armed"] += 1


def _verified(verified: Any) -> Verified:
    from verifier import Verified

    if not isinstance(verified, Verified):
        raise TypeError(f"a kernel runs a Verified, not a {type(verified).__name__}: see verifier.verify")
    return verified


def _check_bound(name: str, bound: int) -> None:
    if bound > ATTACH_NS * PS:
        raise fail("G0804", f"handler `{name}` may take {bound / PS:,.0f} ns, at most {ATTACH_NS:,} are allowed",
                   notes=("this is its proven bound at the profile's worst prices",))  # fmt: skip
