"""What is known at one point of a body: the interval of each scalar local, and of scalars read from memory.

Facts about locals last until the local is assigned. Facts about *memory* (state, elements of local arrays, bytes that
views show, properties of the message) are kept by root and byte offset. About what never changes (the message, tables)
they last; about all else until the next write to memory or the next call of the kernel, since two views may show the
same bytes. The bytecode keeps to this: for as long as there may be a fact, a place is not loaded again
(`grafting.lowering.loads`), so that a verifier of the bytecode knows of the value in the register what is known here.

A scalar without an entry may have any value of its type.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from grafting import typed
from grafting.checking.intervals import Interval, whole
from grafting.types import ArrayType, Scalar, StructType

_Key = TypeVar("_Key")
Root = typed.Variable | typed.ViewVariable | typed.StateVariable | typed.ConstTable | str
Memory = tuple[Root, int, Scalar]  # root (a property's name for the message), offset in bytes, type as read


def memory_key(place: typed.Place) -> Memory | None:
    """Return the key of a scalar at a fixed offset; None if its place depends on an index."""
    offset = 0
    for step in place.steps:
        match step:
            case typed.FieldStep(offset=further):
                offset += further
            case typed.IndexStep(index=typed.Literal(value=value), array=array):
                offset += value * array.element.size
            case _:
                return None
    type_ = place.type
    return None if isinstance(type_, ArrayType | StructType) else (place.root, offset, type_)


def is_constant(root: Root) -> bool:
    """Whether nothing that a graft does changes what is read from a root, as long as it means the same bytes."""
    match root:
        case typed.ViewVariable(writable=writable):
            return not writable
        case _:
            return isinstance(root, str | typed.ConstTable)


def limits_of(variable: typed.Variable) -> Interval:
    """Return every value of a scalar local."""
    assert not isinstance(variable.type, ArrayType)
    return whole(variable.type)


@dataclass(slots=True)
class Facts:
    """Intervals narrower than the type's own range."""

    locals: dict[typed.Variable, Interval] = field(default_factory=dict)
    memory: dict[Memory, Interval] = field(default_factory=dict)

    def copy(self) -> Facts:
        """Return facts that can be changed apart."""
        return Facts(dict(self.locals), dict(self.memory))

    def set(self, variable: typed.Variable, interval: Interval) -> None:
        """A local now has a value in `interval`."""
        if interval == limits_of(variable):
            self.locals.pop(variable, None)
        else:
            self.locals[variable] = interval

    def forget_memory(self) -> None:
        """Memory may have changed."""
        self.memory = {key: interval for key, interval in self.memory.items() if is_constant(key[0])}

    def forget_root(self, root: Root) -> None:
        """A view is bound anew: what was read through it before says nothing."""
        for key in [key for key in self.memory if key[0] is root]:
            del self.memory[key]

    def join(self, other: Facts) -> Facts:
        """Return what holds on both of two paths."""
        return Facts(_joined(self.locals, other.locals), _joined(self.memory, other.memory))

    def widened(self, later: Facts) -> Facts:
        """Return facts that hold in both, those that still changed given up on the side where they did."""
        found = Facts({}, {k: i for k, i in self.memory.items() if later.memory.get(k) == i})
        for variable, interval in self.locals.items():
            after = later.locals.get(variable)
            if after is not None:
                limits = limits_of(variable)
                low = interval.low if interval.low <= after.low else limits.low
                high = interval.high if interval.high >= after.high else limits.high
                found.set(variable, Interval(low, high))
        return found


def _joined(first: dict[_Key, Interval], second: dict[_Key, Interval]) -> dict[_Key, Interval]:
    return {key: interval.join(second[key]) for key, interval in first.items() if key in second}


def joined(paths: list[Facts | None]) -> Facts | None:
    """Return what holds where several paths meet; None if none of them leads there."""
    reached = [path for path in paths if path is not None]
    if not reached:
        return None
    result = reached[0]
    for path in reached[1:]:
        result = result.join(path)
    return result
