"""Which handler an event belongs to, and what else an embedder says about an activation.

More special handlers come first: "reply/disk.read" before "reply", "request/kv.get" before "request". What special
means is said by the handler's selector, slot.operation of a reply or failure and protocol.operation of a request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import verifier
from grafting import hooks
from grafting.diagnostics import GraftError, fail
from grafting.hooks import Event
from grafting.program import Handler, Program
from grafting.spelling import nearest

if TYPE_CHECKING:
    from verifier import Verified

Slots = Mapping[str, object] | Sequence[object] | None
"""The filled capability slots: None: all of them; a mapping by name or a sequence in order of declaration: those whose
value is not None."""


def program_of(subject: Program | Verified) -> Program:
    """Return the program itself, or the one that was verified. Raises TypeError for anything else."""
    if isinstance(subject, Program):
        return subject
    if isinstance(subject, verifier.Verified):
        return subject.program
    raise TypeError(f"expected a Program or a Verified, not {type(subject).__name__}")


def subject_for(program: Program, engine: str) -> Program | Verified:
    """Return what an engine of this name runs: the proof where it takes nothing less. Raises `verifier.Rejected`."""
    return verifier.verify(program) if engine == "native" else program


def find_handler(program: Program, event: Event | str, slot: int, op: int) -> Handler:
    """Return the handler for an event; `event` may also be a handler's own name.

    Raises GraftError: G0704 no such event, or no handler for it; G0703 a handler that no event runs (raw hooks).
    """
    name = event.name.lower() if isinstance(event, Event) else event
    exact = next((handler for handler in program.handlers if handler.name == name), None)
    if name not in hooks.GRAFT_HOOKS:
        if exact is None:
            raise _unknown_event(program, name)
        if exact.hook.event is None:
            raise fail("G0703", f"handler `{name}` has the hook {exact.hook.name}, not an event",
                       helps=("run it with `jit.interpret`",))  # fmt: skip
        return exact
    candidates = [handler for handler in program.handlers if handler.hook.name == name]
    if not candidates:
        have = ", ".join(handler.name for handler in program.handlers)
        raise fail("G0704", f"`{program.name}` has no handler for the event `{name}`", helps=(f"it has {have}",))
    special = [handler for handler in candidates if handler.selector and matches(program, handler, slot, op)]
    general = [handler for handler in candidates if not handler.selector]
    if not special and not general:
        have = ", ".join(handler.name for handler in candidates)
        raise fail(
            "G0704", f"no handler for `{name}` looks at operation {op} of slot {slot}", helps=(f"it has {have}",)
        )
    return (special or general)[0]


def _unknown_event(program: Program, name: str) -> GraftError:
    near = nearest(name, [*hooks.GRAFT_HOOKS, *(handler.name for handler in program.handlers)])
    helps = (f"did you mean `{near}`?",) if near else (f"the events are {', '.join(hooks.GRAFT_HOOKS)}",)
    return fail("G0704", f"there is no event or handler `{name}`", helps=helps)


def matches(program: Program, handler: Handler, slot: int, op: int) -> bool:
    """Whether the selector of `handler` means this operation of this slot (of a request: of a served protocol)."""
    of, _, operation = handler.selector.partition(".")
    if handler.hook.event is Event.REQUEST:
        protocols = [protocol for protocol in program.serves if protocol.name == of]
    else:
        protocols = [s.protocol for number, s in enumerate(program.slots) if s.name == of and number == slot]
    return any(spec.name == operation and spec.number == op for protocol in protocols for spec in protocol.ops)


def filled_slots(program: Program, slots: Slots) -> tuple[bool, ...]:
    """Return for each declared slot whether a capability is in it; raises GraftError G0704 for one not declared."""
    names = [slot.name for slot in program.slots]
    if slots is None:
        return (True,) * len(names)
    if isinstance(slots, Mapping):
        for name in slots:
            if name not in names:
                raise unknown_slot(program, str(name))
        return tuple(slots.get(name) is not None for name in names)
    if len(slots) > len(names):
        raise fail("G0704", f"{len(slots)} slots are given, `{program.name}` declares {len(names)}")
    return tuple(number < len(slots) and slots[number] is not None for number in range(len(names)))


def unknown_slot(program: Program, name: str) -> GraftError:
    """Return the error for a slot that `program` does not declare."""
    names = [slot.name for slot in program.slots]
    near = nearest(name, names)
    helps = (f"did you mean `{near}`?",) if near else (f"the slots are {', '.join(names) or 'none'}",)
    return fail("G0704", f"`{program.name}` has no slot `{name}`", helps=helps)
