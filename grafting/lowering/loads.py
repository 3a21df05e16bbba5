"""Places that have been loaded are not loaded again, as long as they cannot have changed.

Not for speed alone. The checker proves `ring[cur]` from `if cur < 16` because `cur` is the same both times
(`grafting.checking.facts`); a verifier of the bytecode sees two loads, and knows of the second value nothing, unless
it is the first. So what has been loaded from a fixed place is kept in a slot, which LLVM makes a register, and taken
from there wherever every way has loaded it (`ir.Function.available`). It is forgotten just when the checker forgets:

- at a write to memory or a call of the kernel, but for what never changes (the message, tables);
- where a view is bound anew;
- at the head of a loop that does either, on whatever way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from grafting import typed
from grafting.checking import walk
from grafting.checking.facts import Memory, is_constant
from grafting.lowering.ir import Function, Pointer
from grafting.types import BoolType


@dataclass(slots=True)
class Loads:
    """What one handler has loaded, by place."""

    ir: Function
    slots: dict[Memory, Pointer] = field(default_factory=dict)
    functions: dict[typed.Function, walk.Changes] = field(default_factory=dict)

    def get(self, key: Memory, load: Callable[[], str]) -> str:
        """Return what is at a place; `load` is asked for it where it is not known."""
        if key in self.ir.available:
            return self.ir.narrow(f"load {_kind(key)}, ptr {self.slots[key]}")
        value = load()
        self.put(key, value)
        return value

    def put(self, key: Memory, value: str) -> None:
        """Note what is at a place, after it was loaded or stored."""
        if key not in self.slots:
            self.slots[key] = self.ir.alloca(_kind(key))
        self.ir.effect(f"store {_kind(key)} {value}, ptr {self.slots[key]}")
        self.ir.available.add(key)

    def memory_changed(self) -> None:
        """Forget all but what never changes."""
        self.ir.available = {key for key in self.ir.available if is_constant(key[0])}

    def bound(self, view: typed.ViewVariable) -> None:
        """Forget what a view has shown, since it shows other bytes now."""
        self.ir.available = {key for key in self.ir.available if key[0] is not view}

    def looping(self, loop: typed.For | typed.While) -> None:
        """Forget what a loop may change, before its head begins."""
        changed = walk.changes((loop,), self.functions)
        if changed.memory:
            self.memory_changed()
        for view in changed.views:
            self.bound(view)


def _kind(key: Memory) -> str:
    return "i1" if isinstance(key[2], BoolType) else "i64"
