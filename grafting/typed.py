"""The typed tree: what `grafting.checking.check` makes of a syntax tree, and all that `grafting.lowering.lower` sees.

Every name is resolved, every literal has its type, every conversion is explicit, every array index is proved (or is a
`CheckedIndex` with an `else`), every absence has its branch. Nothing in it can be wrong: lowering a typed tree never
fails for a reason that the user could mend, but for the size of the stack frame, which the verifier reports.

Semantics, in one place: arithmetic wraps to the type's width; `x / 0 = 0`, `x % 0 = x`, signed likewise, and
INT_MIN / -1 = INT_MIN, INT_MIN % -1 = 0; shift amounts are taken modulo the width; `>>` is arithmetic on signed types;
comparisons follow the signedness of the operands' type; casts truncate, or extend by the signedness of the *source*;
a cast to bool is `!= 0`. Operands are evaluated from left to right; `&&` and `||` skip the right one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from grafting.diagnostics import Source, Span
from grafting.program import Budget, MapSpec, OpSpec, ProtocolSpec, SlotSpec, TestCase
from grafting.types import ArrayType, BoolType, IntType, Scalar, StructType, Type

# --- variables and places --------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Variable:
    """A local scalar or array, a parameter, a loop counter. Identity matters, not the name."""

    name: str
    type: Scalar | ArrayType
    mutable: bool
    span: Span


@dataclass(frozen=True, eq=False)
class ViewVariable:
    """A local that names message bytes or a map value of struct (or array) type: an address, never a copy."""

    name: str
    type: StructType | ArrayType
    writable: bool  # map values yes, bodies no
    span: Span


@dataclass(frozen=True, eq=False)
class StateVariable:
    """A state variable at `offset` bytes in its data section (`.bss`, or `.data` if it has an initial value)."""

    name: str
    type: Type
    offset: int
    section: str
    initial: bytes
    span: Span


@dataclass(frozen=True, eq=False)
class ConstTable:
    """A constant array at `offset` bytes in `.rodata`."""

    name: str
    type: ArrayType
    offset: int
    initial: bytes
    span: Span


@dataclass(frozen=True, slots=True)
class FieldStep:
    """A field: `offset` bytes further."""

    offset: int
    type: Type


@dataclass(frozen=True, slots=True)
class IndexStep:
    """Element `index` of `array`; `index` (an integer of any type) is proved to be in 0 .. length-1."""

    index: Expr
    array: ArrayType

    @property
    def type(self) -> Type:
        """The element's type."""
        return self.array.element


@dataclass(frozen=True, slots=True)
class Place:
    """Somewhere in memory: a root and steps into it."""

    root: Variable | ViewVariable | StateVariable | ConstTable
    steps: tuple[FieldStep | IndexStep, ...]
    span: Span

    @property
    def type(self) -> Type:
        """The type of what is there."""
        return self.steps[-1].type if self.steps else self.root.type


# --- expressions: each has `.type` and `.span` -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant; bool is 0 or 1, a signed value may be negative."""

    value: int
    type: Scalar
    span: Span


@dataclass(frozen=True, slots=True)
class Read:
    """The scalar at a place."""

    place: Place
    type: Scalar
    span: Span


@dataclass(frozen=True, slots=True)
class MessageField:
    """A property of the event: a context field's name (`tag`, `badge`, `now_ns`, `op`, `status`, `slot`, `ncaps`,
    `flags`), or `len`, the body's length in bytes."""

    name: str
    type: IntType
    span: Span


@dataclass(frozen=True, slots=True)
class Now:
    """`now()`: the kernel's clock at this moment, ns (helper 5); `msg.now` is the context's `now_ns` instead."""

    type: IntType
    span: Span


@dataclass(frozen=True, slots=True)
class Negate:
    """`-x`, wrapping."""

    operand: Expr
    type: IntType
    span: Span


@dataclass(frozen=True, slots=True)
class Invert:
    """`~x`."""

    operand: Expr
    type: IntType
    span: Span


@dataclass(frozen=True, slots=True)
class Not:
    """`!x` of a bool."""

    operand: Expr
    type: BoolType
    span: Span


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`op` is one of + - * / % & | ^ << >>; both operands have `type`, but for shifts, where the right may differ."""

    op: str
    left: Expr
    right: Expr
    type: IntType
    span: Span


@dataclass(frozen=True, slots=True)
class Comparison:
    """`op` is one of == != < <= > >=; both operands have the same scalar type."""

    op: str
    left: Expr
    right: Expr
    type: BoolType
    span: Span


@dataclass(frozen=True, slots=True)
class Logical:
    """`&&` or `||`."""

    op: str
    left: Expr
    right: Expr
    type: BoolType
    span: Span


@dataclass(frozen=True, slots=True)
class Conversion:
    """`x as T` between scalars."""

    operand: Expr
    type: Scalar
    span: Span


@dataclass(frozen=True, slots=True)
class Inlined:
    """A call: `function` with `arguments`, each evaluated once."""

    function: Function
    arguments: tuple[Expr, ...]
    type: Scalar
    span: Span


Expr = (
    Literal | Read | MessageField | Now | Negate | Invert | Not | Arithmetic | Comparison | Logical | Conversion
    | Inlined
)  # fmt: skip

# --- values that may be absent ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lookup:
    """`m[k]`: the value under `key`, a scalar or a view."""

    map: MapRef
    key: Expr
    type: Type
    span: Span


@dataclass(frozen=True, slots=True)
class BodyView:
    """`msg.body as T at offset`, `msg.reply`: absent if the body has fewer than offset + size bytes."""

    type: StructType | ArrayType
    offset: int
    span: Span


@dataclass(frozen=True, slots=True)
class CheckedIndex:
    """`place[index]`, absent if `index` is not below the length; compared unsigned in the width of its type,
    negative values being absent too."""

    place: Place
    index: Expr
    array: ArrayType
    type: Type
    span: Span


Absent = Lookup | BodyView | CheckedIndex

# --- bodies of messages ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StructValue:
    """A struct written field by field; what is not named is zero. Nested structs and arrays are `parts` too."""

    type: StructType
    parts: tuple[tuple[int, Expr], ...]  # (offset in bytes, scalar), in order of evaluation
    span: Span


@dataclass(frozen=True, slots=True)
class PlaceValue:
    """The bytes at a place of struct or array type, passed by address."""

    place: Place
    type: StructType | ArrayType
    span: Span


@dataclass(frozen=True, slots=True)
class BodyRange:
    """`msg.body[start..end]`, `end` None for all the rest; out of range fails at run time (-EINVAL: the `else`)."""

    start: Expr
    end: Expr | None
    span: Span


@dataclass(frozen=True, slots=True)
class NoBody:
    """An empty body."""

    span: Span


Payload = StructValue | PlaceValue | BodyRange | NoBody

# --- statements ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Block:
    """Statements in order. `diverges`: no path reaches the end."""

    statements: tuple[Stmt, ...]
    diverges: bool
    span: Span


@dataclass(frozen=True, slots=True)
class Declare:
    """Bring a local into being. An array without `value` is zeroed; `elements` sets its scalars in order."""

    variable: Variable
    value: Expr | None
    elements: tuple[Expr, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Bind:
    """`let v = <absent> else ..`: bind a scalar (`Variable`) or an address (`ViewVariable`).

    If absent, run `otherwise`; then, if `default` is not None, the variable (a scalar) gets that value, else
    `otherwise` diverges.
    """

    variable: Variable | ViewVariable
    value: Absent
    otherwise: Block
    default: Expr | None
    span: Span


@dataclass(frozen=True, slots=True)
class Alias:
    """`let v = place` of struct or array type: another name for the same bytes."""

    variable: ViewVariable
    place: Place
    span: Span


@dataclass(frozen=True, slots=True)
class Write:
    """`place = value` of a scalar (compound assignment is a Write of an Arithmetic of a Read)."""

    place: Place
    value: Expr
    span: Span


@dataclass(frozen=True, slots=True)
class WriteAbsent:
    """`place[index] = value else ..` and `place[index] op= value else ..` where the index is not proved.

    `target` is evaluated first; if absent, `otherwise` runs. `op` is "" or an arithmetic operator.
    """

    target: CheckedIndex
    op: str
    value: Expr
    otherwise: Block
    span: Span


@dataclass(frozen=True, slots=True)
class MapStore:
    """`m[k] = value else ..`; `value` is a scalar or a payload (never BodyRange or NoBody)."""

    map: MapRef
    key: Expr
    value: Expr | Payload
    otherwise: Block
    span: Span


@dataclass(frozen=True, slots=True)
class MapUpdate:
    """`m[k] op= value else ..` on a scalar value: look up, change in place; absent runs `otherwise`."""

    map: MapRef
    key: Expr
    op: str
    value: Expr
    otherwise: Block
    span: Span


@dataclass(frozen=True, slots=True)
class Delete:
    """`delete m[k]`; an absent key is not an error."""

    map: MapRef
    key: Expr
    span: Span


@dataclass(frozen=True, slots=True)
class If:
    """Both branches are blocks; an absent else is empty."""

    condition: Expr
    then: Block
    otherwise: Block
    span: Span


@dataclass(frozen=True, slots=True)
class For:
    """Run `body` with `counter` = start, start+1, .. while counter < end and (if given) counter < cap.

    All unsigned, in the counter's type; `end` is evaluated once, before the loop. `trips` bounds the number of runs.
    """

    counter: Variable
    start: Expr
    end: Expr
    cap: int | None
    trips: int
    body: Block
    span: Span


@dataclass(frozen=True, slots=True)
class While:
    """Run `body` while `condition` holds, at most `limit` times."""

    condition: Expr
    limit: int
    body: Block
    span: Span


@dataclass(frozen=True, slots=True)
class MatchArm:
    """`ranges` of inclusive (first, last); empty matches everything."""

    ranges: tuple[tuple[int, int], ...]
    body: Block


@dataclass(frozen=True, slots=True)
class Match:
    """The first arm that contains the subject runs; the arms cover every value."""

    subject: Expr
    arms: tuple[MatchArm, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Break:
    """Leave the innermost loop."""

    span: Span


@dataclass(frozen=True, slots=True)
class Continue:
    """Go on with the innermost loop's next round."""

    span: Span


@dataclass(frozen=True, slots=True)
class ReturnValue:
    """Leave a function; `value` None if it has no result."""

    value: Expr | None
    span: Span


@dataclass(frozen=True, slots=True)
class ReturnVerdict:
    """Leave the handler with this r0."""

    code: int
    span: Span


@dataclass(frozen=True, slots=True)
class ReturnAnswer:
    """Answer the request with (status, payload) and leave with ANSWERED. If the kernel refuses the answer (it never
    refuses one that fits the limits) the verdict is PASS. The answer's body may be any payload."""

    status: Expr
    payload: Payload
    span: Span


@dataclass(frozen=True, slots=True)
class Send:
    """Send `op` through slot number `slot`.

    `deadline` ns from now or None; `grants` are slot numbers, or expressions giving an index into the received
    capabilities; `promise` a slot number or None. Plain sends use helper 1000 (1001 for BodyRange), the others 1002.
    """

    slot: int
    op: OpSpec
    payload: Payload
    tag: Expr
    deadline: Expr | None
    grants: tuple[int | Expr, ...]
    promise: int | None
    otherwise: Block
    span: Span


@dataclass(frozen=True, slots=True)
class ArmTimer:
    """Helper 1004; a non-zero status runs `otherwise`."""

    timer: Expr
    delay: Expr
    otherwise: Block
    span: Span


@dataclass(frozen=True, slots=True)
class Release:
    """Helper 1006; a non-zero status of the call runs `otherwise`, which is empty where nothing is said."""

    tag: Expr
    status: Expr
    otherwise: Block
    span: Span


@dataclass(frozen=True, slots=True)
class CallStatus:
    """`disarm` (helper 1005), `hint` (1007): the status is ignored, none of them can do harm."""

    helper: int
    arguments: tuple[Expr, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Evaluate:
    """A function called for its effect; `call.function.result` may be None."""

    function: Function
    arguments: tuple[Expr, ...]
    span: Span


Stmt = (
    Declare | Bind | Alias | Write | WriteAbsent | MapStore | MapUpdate | Delete | If | For | While | Match | Break
    | Continue | ReturnValue | ReturnVerdict | ReturnAnswer | Send | ArmTimer | Release | CallStatus
    | Evaluate
)  # fmt: skip

# --- items -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class MapRef:
    """A map of the source, and its number in `Graft.maps`."""

    name: str
    number: int
    key: Scalar
    value: Type
    spec: MapSpec
    span: Span


@dataclass(frozen=True, eq=False)
class Function:
    """Always inlined; never recursive. `result` None for none."""

    name: str
    params: tuple[Variable, ...]
    result: Scalar | None
    body: Block
    span: Span


@dataclass(frozen=True, eq=False)
class Handler:
    """One event handler. `args` are the request's arguments: (variable, offset in the body), set before `body` runs.

    `args_bytes` is the size of the argument struct: a shorter body leaves the handler with PASS before anything else.
    """

    name: str  # unique in the graft: "reply/disk.read", "failure", "timer"
    event: str
    selector: str
    budget: Budget
    args: tuple[tuple[Variable, int], ...]
    args_bytes: int
    body: Block
    span: Span


@dataclass(frozen=True, eq=False)
class Graft:
    """A checked source file."""

    name: str
    source: Source
    types: Mapping[str, Type]
    protocols: tuple[ProtocolSpec, ...]
    slots: tuple[SlotSpec, ...]
    serves: tuple[ProtocolSpec, ...]
    maps: tuple[MapRef, ...]
    states: tuple[StateVariable, ...]
    tables: tuple[ConstTable, ...]
    functions: tuple[Function, ...]
    handlers: tuple[Handler, ...]
    tests: tuple[TestCase, ...]
    doc: str
