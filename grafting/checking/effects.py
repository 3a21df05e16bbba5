"""What a body does beyond its own variables: helpers it asks for, maps it changes, functions it calls included.

Functions are inlined, so a function may send although it belongs to no event; whether a handler may is judged here,
for the handler with everything that it calls. Only `send`, timers, held operations and hints are effects in this
sense: maps and the clock are open to every event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from grafting import hooks, typed
from grafting.checking import walk
from grafting.checking.reporter import Reporter
from grafting.diagnostics import Label, Span

SEND, ARM, RELEASE = 1000, 1004, 1006
WORDS = {SEND: "send", ARM: "arm", 1005: "disarm", RELEASE: "release", 1007: "hint"}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an effect stands: here, and (if that is a call) where in the function that is called."""

    span: Span
    inside: Span


@dataclass(slots=True)
class Effects:
    """Helpers used, by number, and maps of which an element is stored or deleted, each with its first place."""

    helpers: dict[int, Origin] = field(default_factory=dict)
    stores: dict[typed.MapRef, Origin] = field(default_factory=dict)


def effects(body: typed.Block, known: Mapping[typed.Function, Effects]) -> Effects:
    """Return the effects of a body; those of every function that it calls are `known`."""
    found = Effects()
    for stmt in walk.statements(body):
        here = Origin(stmt.span, stmt.span)
        match stmt:
            case typed.Send():
                found.helpers.setdefault(SEND, here)
            case typed.ArmTimer():
                found.helpers.setdefault(ARM, here)
            case typed.Release():
                found.helpers.setdefault(RELEASE, here)
            case typed.CallStatus(helper=helper):
                found.helpers.setdefault(helper, here)
            case typed.MapStore(map=map_) | typed.Delete(map=map_):
                found.stores.setdefault(map_, here)
        for event in walk.operand_events(stmt):
            if isinstance(event, walk.Called):
                _add(found, event, known.get(event.function, Effects()))
    return found


def _add(found: Effects, call: walk.Called, inner: Effects) -> None:
    for helper, origin in inner.helpers.items():
        found.helpers.setdefault(helper, Origin(call.span, origin.inside))
    for map_, origin in inner.stores.items():
        found.stores.setdefault(map_, Origin(call.span, origin.inside))


def check_effects(report: Reporter, hook: hooks.Hook, found: Effects) -> None:
    """Report what a handler does, itself or in a function, that its event does not allow."""
    for helper, origin in found.helpers.items():
        if hook.helper(helper) is not None:
            continue
        labels = (Label(origin.inside, "done here"),) if origin.inside != origin.span else ()
        report.error(
            "G0226",
            f"a `{hook.name}` handler may not `{WORDS[helper]}`",
            origin.span,
            labels=labels,
            notes=("it runs while the kernel is choosing a process, and may only read and remember",),
        )
