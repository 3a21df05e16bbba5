"""Names: what a name may stand for, where it is visible, and which name was meant when one is misspelt.

Types, constants, tables, state, maps, slots and functions share one namespace of items; protocols have their own.
Locals shadow items and earlier locals, so `let wanted = wanted[msg.tag] else ..` is good style.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from grafting import syntax, typed
from grafting.checking.layout import ProtocolLayout
from grafting.checking.reporter import Instead
from grafting.diagnostics import Span
from grafting.program import SlotSpec
from grafting.spelling import nearest
from grafting.types import EnumType, Scalar, StructType


@dataclass(frozen=True, slots=True)
class Constant:
    """A compile-time number; `type` None is a bare number, which takes the type its context demands, as a literal."""

    value: int
    type: Scalar | None


@dataclass(frozen=True, slots=True)
class ConstantName:
    """A `const` with a scalar value."""

    constant: Constant
    span: Span


@dataclass(frozen=True, slots=True)
class EnumName:
    """An `enum`."""

    type: EnumType
    span: Span


@dataclass(frozen=True, slots=True)
class StructName:
    """A `struct`."""

    type: StructType
    span: Span


@dataclass(frozen=True, slots=True)
class SlotName:
    """A `cap`: slot `number`, in order of declaration."""

    number: int
    spec: SlotSpec
    protocol: ProtocolLayout
    span: Span


@dataclass(frozen=True, slots=True)
class FunctionName:
    """A `fn`: its signature, known before its body is checked."""

    name: str
    params: tuple[Scalar | None, ...]  # None: poisoned
    result: Scalar | None
    sound: bool  # False: the signature itself has an error
    tree: syntax.Function
    span: Span


@dataclass(frozen=True, slots=True)
class MessageName:
    """The parameter of a handler: the event's message."""

    name: str
    span: Span


@dataclass(frozen=True, slots=True)
class TimerName:
    """The parameter of a timer handler: the timer's id, a u64."""

    name: str
    span: Span


@dataclass(frozen=True, slots=True)
class Poison:
    """A name whose declaration has an error, already reported."""

    span: Span


Symbol = (
    typed.Variable | typed.ViewVariable | typed.StateVariable | typed.ConstTable | typed.MapRef | ConstantName
    | EnumName | StructName | SlotName | FunctionName | MessageName | TimerName | Poison
)  # fmt: skip


def describe(symbol: Symbol) -> str:
    """Return what kind of thing a symbol is, with an article, for messages."""
    match symbol:
        case typed.Variable():
            return "a variable"
        case typed.ViewVariable():
            return "a view"
        case typed.StateVariable():
            return "a state variable"
        case typed.ConstTable():
            return "a table"
        case typed.MapRef():
            return "a map"
        case ConstantName():
            return "a constant"
        case EnumName():
            return "an enum"
        case StructName():
            return "a struct"
        case SlotName():
            return "a capability slot"
        case FunctionName():
            return "a function"
        case MessageName():
            return "a message"
        case TimerName():
            return "a timer's id"
        case Poison():
            return "a name"


def suggest(name: str, candidates: Iterable[str]) -> tuple[Instead, ...]:
    """Return the help line for a misspelt name, if there is one."""
    found = nearest(name, candidates)
    return (Instead(f"there is `{found}`, with a name like this: write `{found}`", name, found),) if found else ()


@dataclass(slots=True)
class Scope:
    """The locals visible at one point of a body: one dictionary a block, innermost last."""

    blocks: list[dict[str, Symbol]] = field(default_factory=lambda: [{}])

    def declare(self, name: str, symbol: Symbol) -> None:
        """Add a local to the innermost block, shadowing what it had under this name."""
        self.blocks[-1][name] = symbol

    def find(self, name: str) -> Symbol | None:
        """Return the innermost local of this name."""
        return next((block[name] for block in reversed(self.blocks) if name in block), None)

    def names(self) -> list[str]:
        """Return every visible local, innermost first."""
        return [name for block in reversed(self.blocks) for name in block]

    def enter(self) -> None:
        """Begin a block."""
        self.blocks.append({})

    def leave(self) -> None:
        """End the innermost block."""
        self.blocks.pop()
