"""The syntax tree: one frozen dataclass a construct, every node with its span.

The tree says what stands in the source and nothing more; names are unresolved and types are as written.
`grafting.checking.check` turns it into `grafting.typed`. `grafting.format` prints it so that it parses to itself (spans
apart, which do not take part in comparison).

Sections: types as written, expressions, statements, items, tests.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from grafting.diagnostics import NO_SPAN, Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Anything that stands somewhere in the source."""

    span: Span = field(default=NO_SPAN, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Ident(Node):
    """A name and where it stands."""

    name: str


# --- types as written ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NamedType(Node):
    """`u64`, `bool`, `Node`."""

    name: str


@dataclass(frozen=True, slots=True)
class ArrayType(Node):
    """`[element; length]`."""

    element: TypeExpr
    length: Expr


TypeExpr = NamedType | ArrayType


# --- expressions -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class IntLiteral(Node):
    """`42`, `0xff`, `1_000`; `text` keeps the spelling."""

    value: int
    text: str = field(compare=False, default="")


@dataclass(frozen=True, slots=True)
class BoolLiteral(Node):
    """`true`, `false`."""

    value: bool


@dataclass(frozen=True, slots=True)
class Name(Node):
    """A name used as a value: local, constant, state, map, slot, event parameter."""

    name: str


@dataclass(frozen=True, slots=True)
class Member(Node):
    """`base.name`: field of a view, property of a message, variant of an enum."""

    base: Expr
    name: Ident


@dataclass(frozen=True, slots=True)
class Index(Node):
    """`base[index]`: element of an array, value of a map."""

    base: Expr
    index: Expr


@dataclass(frozen=True, slots=True)
class Range(Node):
    """`base[start..end]`: a part of a message body; only as the operand of `send` and `answer`."""

    base: Expr
    start: Expr | None
    end: Expr | None


@dataclass(frozen=True, slots=True)
class Unary(Node):
    """`-x`, `!x`, `~x`."""

    op: str
    operand: Expr


@dataclass(frozen=True, slots=True)
class Binary(Node):
    """`a op b`: arithmetic, comparison, `&&`, `||`."""

    op: str
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Cast(Node):
    """`x as u32`, `msg.body as Node`, `msg.body as Node at 64`; `at` is None for numbers."""

    operand: Expr
    target: TypeExpr
    at: Expr | None = None


@dataclass(frozen=True, slots=True)
class Call(Node):
    """`f(a, b)`."""

    function: Ident
    arguments: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class FieldValue(Node):
    """`name: value` in a struct literal."""

    name: Ident
    value: Expr


@dataclass(frozen=True, slots=True)
class StructLiteral(Node):
    """`Node { leaf: 0, count: 2 }`; fields left out are zero."""

    name: Ident
    fields: tuple[FieldValue, ...]


@dataclass(frozen=True, slots=True)
class ArrayLiteral(Node):
    """`[1, 2, 3]`, or `[0; 16]` with `repeat`."""

    elements: tuple[Expr, ...]
    repeat: Expr | None = None


Expr = (
    IntLiteral | BoolLiteral | Name | Member | Index | Range | Unary | Binary | Cast | Call
    | StructLiteral | ArrayLiteral
)  # fmt: skip


# --- statements ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Block(Node):
    """`{ statements value? }`; `value` only in an `else` that gives one."""

    statements: tuple[Stmt, ...]
    value: Expr | None = None


@dataclass(frozen=True, slots=True)
class Let(Node):
    """`let [mut] name [: type] = value [else { .. }]`."""

    name: Ident
    mutable: bool
    type: TypeExpr | None
    value: Expr
    otherwise: Block | None = None


@dataclass(frozen=True, slots=True)
class Assign(Node):
    """`place op= value [else { .. }]`; `op` is "" for plain assignment, else "+", "<<", ..."""

    place: Expr
    op: str
    value: Expr
    otherwise: Block | None = None


@dataclass(frozen=True, slots=True)
class If(Node):
    """`if condition { .. } [else { .. } | else if ..]`."""

    condition: Expr
    then: Block
    otherwise: Block | If | None = None


@dataclass(frozen=True, slots=True)
class For(Node):
    """`for name in start..end [max cap] { .. }`: runs while i < end and i < cap."""

    name: Ident
    start: Expr
    end: Expr
    cap: Expr | None
    body: Block


@dataclass(frozen=True, slots=True)
class While(Node):
    """`while condition limit N { .. }`."""

    condition: Expr
    limit: Expr
    body: Block


@dataclass(frozen=True, slots=True)
class Pattern(Node):
    """One alternative of a match arm: a value, or an inclusive range `first..=last`."""

    first: Expr
    last: Expr | None = None


@dataclass(frozen=True, slots=True)
class Arm(Node):
    """`1 | 2 | 5..=9 => { .. }`; no patterns is `_`."""

    patterns: tuple[Pattern, ...]
    body: Block


@dataclass(frozen=True, slots=True)
class Match(Node):
    """`match subject { arms }`; arms are tried in order and must cover every value."""

    subject: Expr
    arms: tuple[Arm, ...]


@dataclass(frozen=True, slots=True)
class Break(Node):
    """`break`."""


@dataclass(frozen=True, slots=True)
class Continue(Node):
    """`continue`."""


@dataclass(frozen=True, slots=True)
class Verdict(Node):
    """What a handler returns: `deliver`, `consume`, `pass`, `hold`, `drop`, `done`, `steer slot`,
    `answer operand [status N]`. `operand` is the slot's name or the answer's body (None for an empty one)."""

    name: str
    operand: Expr | None = None
    status: Expr | None = None


@dataclass(frozen=True, slots=True)
class Return(Node):
    """`return verdict` in a handler, `return [value]` in a function."""

    value: Verdict | Expr | None


@dataclass(frozen=True, slots=True)
class Delete(Node):
    """`delete m[k]`."""

    target: Expr


@dataclass(frozen=True, slots=True)
class Send(Node):
    """`send slot.op(arguments) [tag t] [deadline ns] [with cap, ..] [promise slot] else { .. }`.

    The capability of a `with` is a slot's name or `msg.caps[i]`.
    """

    slot: Ident
    op: Ident
    arguments: tuple[Expr, ...]
    tag: Expr | None
    deadline: Expr | None
    grants: tuple[Expr, ...]
    promise: Ident | None
    otherwise: Block | None


@dataclass(frozen=True, slots=True)
class ArmTimer(Node):
    """`arm id after delay_ns else { .. }`."""

    timer: Expr
    delay: Expr
    otherwise: Block | None


@dataclass(frozen=True, slots=True)
class Disarm(Node):
    """`disarm id`."""

    timer: Expr


@dataclass(frozen=True, slots=True)
class Release(Node):
    """`release tag [status n] [else { .. }]`: let a held operation go on (status 0) or fail."""

    tag: Expr
    status: Expr | None
    otherwise: Block | None


@dataclass(frozen=True, slots=True)
class Hint(Node):
    """`hint address pages n`."""

    address: Expr
    pages: Expr


@dataclass(frozen=True, slots=True)
class ExprStmt(Node):
    """A call made for its effect on state."""

    value: Expr


Stmt = (
    Let | Assign | If | For | While | Match | Break | Continue | Return | Delete | Send | ArmTimer | Disarm
    | Release | Hint | ExprStmt
)  # fmt: skip


# --- items -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Param(Node):
    """`name: type`."""

    name: Ident
    type: TypeExpr


@dataclass(frozen=True, slots=True)
class Op(Node):
    """`op read(index: u64) -> Node`, or with `raw` `op write(bytes)`: any body."""

    name: Ident
    params: tuple[Param, ...]
    raw: bool
    reply: TypeExpr | None
    doc: str = field(compare=False, default="")


@dataclass(frozen=True, slots=True)
class Protocol(Node):
    """`protocol block { ops }`; operations are numbered from 0 in order."""

    name: Ident
    ops: tuple[Op, ...]
    doc: str = field(compare=False, default="")


@dataclass(frozen=True, slots=True)
class Cap(Node):
    """`cap disk: block [grant]`."""

    name: Ident
    protocol: Ident
    grant: bool
    doc: str = field(compare=False, default="")


@dataclass(frozen=True, slots=True)
class Serve(Node):
    """`serve block`: request events of this protocol may be handled."""

    protocol: Ident


@dataclass(frozen=True, slots=True)
class Const(Node):
    """`const NAME [: type] = value`; an array literal makes a read-only table."""

    name: Ident
    type: TypeExpr | None
    value: Expr
    doc: str = field(compare=False, default="")


@dataclass(frozen=True, slots=True)
class Variant(Node):
    """`name [= value]`; without a value one more than the one before."""

    name: Ident
    value: Expr | None


@dataclass(frozen=True, slots=True)
class Enum(Node):
    """`enum Kind: u32 { leaf = 0, inner }`."""

    name: Ident
    repr: TypeExpr
    variants: tuple[Variant, ...]
    doc: str = field(compare=False, default="")


@dataclass(frozen=True, slots=True)
class Struct(Node):
    """`struct Node { fields }`."""

    name: Ident
    fields: tuple[Param, ...]
    doc: str = field(compare=False, default="")


@dataclass(frozen=True, slots=True)
class Map(Node):
    """`map wanted: hash<u64, u64, 1024>`; `map slots: array<Row, 64>`: `key` is None for an array."""

    name: Ident
    key: TypeExpr | None
    value: TypeExpr
    entries: Expr
    doc: str = field(compare=False, default="")


@dataclass(frozen=True, slots=True)
class State(Node):
    """`state hops: u64 [= 7]`."""

    name: Ident
    type: TypeExpr
    value: Expr | None
    doc: str = field(compare=False, default="")


@dataclass(frozen=True, slots=True)
class Function(Node):
    """`fn name(params) [-> type] { .. }`, always inlined."""

    name: Ident
    params: tuple[Param, ...]
    result: TypeExpr | None
    body: Block
    doc: str = field(compare=False, default="")


@dataclass(frozen=True, slots=True)
class BudgetTerm(Node):
    """`400 insns`, `1 send`, `256 bytes`."""

    amount: Expr
    unit: str


@dataclass(frozen=True, slots=True)
class On(Node):
    """A handler: `on reply(msg) from disk.read budget .. { .. }`.

    `event` is submit, reply, failure, request, timer or schedule. `source` is (slot, op) of `from`; `op` and `params`
    are those of `request(msg) for op(params)`.
    """

    event: Ident
    param: Ident
    source: tuple[Ident, Ident] | None
    op: Ident | None
    params: tuple[Ident, ...]
    budget: tuple[BudgetTerm, ...]
    body: Block
    doc: str = field(compare=False, default="")


# --- tests -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class GivenMap(Node):
    """`given wanted[7] = 42`, `given hops = 3` (`key` None): state before the event."""

    name: Ident
    key: Expr | None
    value: Expr


@dataclass(frozen=True, slots=True)
class GivenNow(Node):
    """`given now = 1000`."""

    value: Expr


@dataclass(frozen=True, slots=True)
class Trigger(Node):
    """`reply disk.read tag 7 Node {..}`, `failure disk.read tag 7 status -5`, `request get(3) badge 1`,
    `submit disk.read(4)`, `timer 7`, `schedule`: one event; `body` is a struct literal, an array of bytes, or None."""

    event: str
    slot: Ident | None
    op: Ident | None
    arguments: tuple[Expr, ...]
    settings: tuple[tuple[str, Expr], ...]  # tag, badge, status, id
    body: Expr | None


@dataclass(frozen=True, slots=True)
class SentMessage(Node):
    """`sent disk.read(101) [tag t]`, in an expectation."""

    slot: Ident
    op: Ident
    arguments: tuple[Expr, ...]
    tag: Expr | None


@dataclass(frozen=True, slots=True)
class Expect(Node):
    """`expect consume, sent disk.read(101), armed 7 after 1000, released 8`: the verdict and all that left the handler.

    `released` are pairs of a tag and a status (None: 0).
    """

    verdict: Verdict
    sent: tuple[SentMessage, ...]
    armed: tuple[tuple[Expr, Expr], ...]
    released: tuple[tuple[Expr, Expr | None], ...]


@dataclass(frozen=True, slots=True)
class ExpectState(Node):
    """`expect hops == 1`, `expect wanted[7] == 42`, `expect no wanted[7]` (`value` None)."""

    name: Ident
    key: Expr | None
    value: Expr | None


TestStep = GivenMap | GivenNow | Trigger | Expect | ExpectState


@dataclass(frozen=True, slots=True)
class Test(Node):
    """`test "title" { steps }`, in order; several triggers in one test see each other's state."""

    __test__ = False  # not a class for pytest to collect

    title: str
    steps: tuple[TestStep, ...]


Item = Protocol | Cap | Serve | Const | Enum | Struct | Map | State | Function | On | Test


@dataclass(frozen=True, slots=True)
class Graft(Node):
    """A whole source file."""

    name: Ident
    items: tuple[Item, ...]
    doc: str = field(compare=False, default="")
