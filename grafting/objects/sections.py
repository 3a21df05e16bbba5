"""Which hook a code section is for: the name of the section says it, and nothing else does.

    graft/reply                  every reply that no other handler is for
    graft/reply/disk.read        replies to `disk.read`
    graft/request/kv.get         requests `get` of the protocol `kv`
    raw_memory/64                conformance suites: r1 = 64 bytes of writable memory
    raw_memory/64/readonly       the same, not writable
    raw_context/128              verifier data: r1 = a context of 128 bytes of scalars

The event decides what the verifier assumes about registers, context and helpers, so it is taken from the place that
the loader checks, never from metadata.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from grafting import limits
from grafting.hooks import GRAFT_HOOKS, Event, Hook, raw_context, raw_memory
from grafting.program import Handler

PREFIX: Final = "graft/"
_SELECTED: Final = frozenset({Event.REPLY, Event.FAILURE, Event.REQUEST})  # events that a selector may narrow
_SELECTOR = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\.[A-Za-z_][A-Za-z0-9_]*")
_RAW = re.compile(r"(raw_memory|raw_context)/([1-9][0-9]{0,6})(/readonly)?")


@dataclass(frozen=True, slots=True)
class Entry:
    """What a section name says: the hook, what narrows its event, and what the handler is called by default."""

    hook: Hook
    selector: str
    name: str


def known() -> str:
    """Return the section names that there are, for messages."""
    return ", ".join(
        f"`{PREFIX}{name}`" + (" (or with /CAP.OP)" if hook.event in _SELECTED else "")
        for name, hook in GRAFT_HOOKS.items()
    )


def entry(section: str) -> Entry | None:
    """Return what a section name says, or None if no hook is behind it."""
    if section.startswith(PREFIX):
        event, slash, selector = section.removeprefix(PREFIX).partition("/")
        hook = GRAFT_HOOKS.get(event)
        if hook is None or (slash and (hook.event not in _SELECTED or not _SELECTOR.fullmatch(selector))):
            return None
        return Entry(hook, selector, section.removeprefix(PREFIX))
    match = _RAW.fullmatch(section)
    if match is None or int(match[2]) > limits.BODY_BYTES:
        return None
    size, readonly = int(match[2]), match[3] is not None
    if match[1] == "raw_memory":
        return Entry(raw_memory(size, writable=not readonly), "", "main")
    return None if readonly else Entry(raw_context(size), "", "main")


def name_of(handler: Handler) -> str | None:
    """Return the section name for a handler, or None if no name says just its hook and selector."""
    hook = handler.hook
    if hook.event is not None:
        name = PREFIX + hook.name + (f"/{handler.selector}" if handler.selector else "")
    else:
        readonly = "/readonly" if hook.name == "raw_memory" and not hook.context_writable else ""
        name = f"{hook.name}/{hook.context_bytes}{readonly}"
    found = entry(name)
    return name if found is not None and (found.hook, found.selector) == (hook, handler.selector) else None
