"""What is known while one body is checked: the items, the locals in scope, and what the body belongs to.

A body is a handler's or a function's. Only a handler has an event, with a message and verdicts; a function has a
result. Functions may send and arm timers, being inlined into handlers; whether the event at the call allows that is
checked when the handler is complete (`grafting.checking.effects`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from grafting import hooks, syntax, typed
from grafting.checking.items import Items
from grafting.checking.layout import OpLayout
from grafting.checking.reporter import Help, Reporter
from grafting.checking.scope import FunctionName, Scope, Symbol, suggest
from grafting.types import Scalar


@dataclass(frozen=True, slots=True)
class EventContext:
    """The event of a handler. `reply_of` is the operation of `from`, `serves` that of `request .. for op`."""

    name: str
    hook: hooks.Hook
    param: str
    reply_of: OpLayout | None = None
    serves: OpLayout | None = None


@dataclass(slots=True)
class Context:
    """The state of checking one body; `loops` counts the loops around the current statement."""

    items: Items
    functions: Mapping[str, typed.Function]  # those that are checked already, by name
    event: EventContext | None = None
    result: Scalar | None = None
    loops: int = 0
    scope: Scope = field(default_factory=Scope)

    @property
    def report(self) -> Reporter:
        """Where errors go."""
        return self.items.report

    def find(self, name: str) -> Symbol | None:
        """Return what a name stands for here: a local, else an item."""
        local = self.scope.find(name)
        return local if local is not None else self.items.find(name)

    def names(self) -> list[str]:
        """Return every name that can be used here, locals first."""
        return [*self.scope.names(), *self.items.names()]

    def function(self, name: FunctionName) -> typed.Function:
        """Return the checked function; functions are checked before whatever calls them."""
        return self.functions[name.name]

    def type_names(self) -> list[str]:
        """Return the names of all structs and enums."""
        return self.items.type_names()

    def scalar_type(self, tree: syntax.TypeExpr) -> Scalar | None:
        """Return the scalar type as written, or None if that was reported."""
        return self.items.scalar_type(tree)

    def unknown(self, name: str) -> tuple[Help, ...]:
        """Return the help line for a name that is not found."""
        if self.report.full:
            return ()
        return suggest(name, self.names())
