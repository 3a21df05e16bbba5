"""Putting a verified graft into its place: checks first, then the rows that the core will find it by.

Only what `verifier.verify` made is taken. Every slot must be filled, every handler must be one that its place has an
event for, and in the kernel its proven bound, at the profile's worst prices, must be below `admission.ATTACH_NS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import jit.machine
from grafting import limits
from grafting.diagnostics import fail
from grafting.hooks import Event
from grafting.program import Program
from kernel_model.admission import ATTACH_NS, PERIOD_NS, bound_ps, handler_rows
from kernel_model.core import heap, lists, prices, tables
from kernel_model.core.tables import NONE
from kernel_model.handles import Attachment, Process, Target
from kernel_model.suggestions import meant

if TYPE_CHECKING:
    from kernel_model.kernel import Kernel
    from verifier import Verified

PS = 1000  # in a nanosecond
USER_EVENTS = {
    tables.B_CLIENT: frozenset({Event.SUBMIT, Event.REPLY, Event.FAILURE, Event.TIMER}),
    tables.B_SERVER: frozenset({Event.REPLY, Event.FAILURE, Event.REQUEST}),
}
"""What the user mode of each behaviour has an event for."""


def place(
    kernel: Kernel,
    verified: Verified,
    to: Process,
    slots: Mapping[str, Target],
    engine: str,
    maps: Attachment | None,
    *,
    in_kernel: bool,
) -> Attachment:
    """Check everything about an attachment, then make its rows. See `Kernel.attach` and `Kernel.load`."""
    program = _verified(verified).program
    if engine not in prices.ENGINES:
        raise fail("G0801", f"there is no engine `{engine}`", helps=meant(engine, prices.ENGINES))
    filled = _fill(kernel, program, to, slots)
    bounds = {
        name: bound_ps(program, proved.bounds, kernel.worst, engine) for name, proved in verified.handlers.items()
    }
    rows = list(handler_rows(program))
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
    if maps is not None and maps.program is not program:
        raise fail("G0802", f"`{program.name}` cannot use the maps of another program, `{maps.program.name}`")
    # --- commit ---
    machine = kernel.tables.machine
    placement = (
        maps.placement if maps else jit.machine.place(machine, program, kernel.storage.allocate, seed=kernel.seed)
    )
    graft = kernel.storage.add_graft(
        process=to.row,
        state=tables.ATTACHED if in_kernel else tables.LOADED,
        first_handler=kernel.storage.used["handler"],
        handlers=len(rows),
        first_slot=kernel.storage.used["slot"],
        slots=len(filled),
        engine=prices.ENGINES.index(engine),
        state_at=placement.state_at,
    )
    code = kernel.machine_code(verified) if engine == "native" else None
    for capability in filled.values():
        kernel.storage.add("slot", capability=capability, epoch=kernel.tables.capability[capability]["epoch"])
    for handler, event, slot, op in rows:
        kernel.storage.add(
            "handler",
            event=event,
            slot=slot,
            op=op,
            program=placement.handlers[handler.name],
            bound=bounds[handler.name],
            limit=verified.handlers[handler.name].bounds.instructions,
            address=code.address(handler.name, counting=True) if code else 0,
            calls=code.has_calls(handler.name) if code else 0,
        )
    attachment = Attachment(verified, to, graft, in_kernel, placement, MappingProxyType(filled))
    if kernel.tables.config[0]["vectors"]:
        kernel.attached.append(attachment)
    return attachment


def _fill(kernel: Kernel, program: Program, to: Process, slots: Mapping[str, Target]) -> dict[str, int]:
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
    filled = {name: kernel.capability(slots[name], to.row) for name in declared}
    for slot in program.slots:
        rights = int(kernel.tables.capability[filled[slot.name]]["rights"])
        if not rights & tables.SEND or (slot.grant and not rights & tables.GRANT):
            raise fail("G0817", f"slot `{slot.name}` needs a capability with the right to "
                       f"{'grant' if rights & tables.SEND else 'send'}")  # fmt: skip
    return filled


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
