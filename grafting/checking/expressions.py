"""Expressions: names resolved, types found, every literal and conversion made explicit.

A type flows down only to where a bare number waits for one: `infer` gives an expression the type that it has by itself,
with `hint` for bare numbers, and `demand` then insists on a type; what fits where is told by `conversions`.

What is not a value by itself has its own kind of *reference*: a place in memory, an element of a map or a view of the
body (which may be absent and so need a `let .. else`), the whole body (of which a range can be sent).
"""

from __future__ import annotations

from dataclasses import dataclass

from grafting import syntax, typed
from grafting.checking import constants
from grafting.checking.bounds import array_name, report_index
from grafting.checking.context import Context
from grafting.checking.conversions import literal, mismatch, operands_differ, same_type, widened
from grafting.checking.intervals import Interval
from grafting.checking.scope import (
    ConstantName,
    EnumName,
    FunctionName,
    MessageName,
    Poison,
    SlotName,
    StructName,
    TimerName,
    describe,
    suggest,
)
from grafting.checking.type_names import resolve_scalar
from grafting.diagnostics import Label, Span
from grafting.types import (
    BOOL,
    I32,
    I64,
    U32,
    U64,
    ArrayType,
    BoolType,
    EnumType,
    IntType,
    Scalar,
    StructType,
    Type,
)

PROPERTIES: dict[str, tuple[str, IntType]] = {
    "tag": ("tag", U64),
    "badge": ("badge", U64),
    "now": ("now_ns", U64),
    "op": ("op", U32),
    "status": ("status", I32),
    "slot": ("slot", U32),
    "ncaps": ("ncaps", U32),
    "flags": ("flags", U32),
    "len": ("len", U64),
}
"""Property of a message -> (name in the typed tree, type)."""
PARTS = ("body", "reply", "caps")


@dataclass(frozen=True, slots=True)
class MapElement:
    """`m[k]`."""

    map: typed.MapRef
    key: typed.Expr
    span: Span


@dataclass(frozen=True, slots=True)
class WholeBody:
    """`msg.body`."""

    span: Span


@dataclass(frozen=True, slots=True)
class ReceivedCaps:
    """`msg.caps`."""

    span: Span


Reference = typed.Place | typed.Expr | MapElement | typed.BodyView | WholeBody | ReceivedCaps


# --- demands ---------------------------------------------------------------------------------------------------------


def demand(cx: Context, expr: syntax.Expr, type_: Scalar) -> typed.Expr | None:
    """Return the expression, which must have this type; None if it has an error, which is reported."""
    found = infer(cx, expr, type_)
    if found is None:
        return None
    found = widened(found, type_)
    if found.type == type_:
        return found
    mismatch(cx.report, expr, type_, found.type, bare=constants.is_bare(expr, cx.find))
    return None


def integer(cx: Context, expr: syntax.Expr, hint: IntType, what: str) -> typed.Expr | None:
    """Return an expression of any integer type; a bare number takes the type `hint`."""
    found = infer(cx, expr, hint)
    if found is None or isinstance(found.type, IntType):
        return found
    helps = (constants.cast_help(cx.report, expr, hint),)
    cx.report.error("G0204", f"{what} is a number, not `{found.type}`", expr.span, helps=helps)
    return None


# --- inference -------------------------------------------------------------------------------------------------------


def infer(cx: Context, expr: syntax.Expr, hint: Type | None = None) -> typed.Expr | None:
    """Return the expression with the type that it has; None if it has an error, which is reported."""
    if constants.is_bare(expr, cx.find):
        constant = constants.evaluate(cx, expr, hint) if isinstance(hint, IntType) else constants.evaluate(cx, expr)
        return literal(cx, constant.value, hint, expr.span) if constant else None
    match expr:
        case syntax.BoolLiteral(value=truth):
            return typed.Literal(int(truth), BOOL, expr.span)
        case syntax.Name() | syntax.Member() | syntax.Index():
            return _read(cx, expr)
        case syntax.Unary():
            return _unary(cx, expr, hint)
        case syntax.Binary():
            return _binary(cx, expr, hint)
        case syntax.Cast():
            return _cast(cx, expr)
        case syntax.Call():
            return call_value(cx, expr, hint)
        case syntax.Range():
            cx.report.error("G0313", "a part of the body is no value", expr.span,
                            notes=("it can only be sent or answered: `send slot.op(msg.body[a..b])`",))  # fmt: skip
        case syntax.StructLiteral():
            cx.report.error("G0313", "a struct literal is no value", expr.span,
                            notes=("it can only be sent, answered, or stored into a map",))  # fmt: skip
        case syntax.ArrayLiteral():
            cx.report.error("G0313", "an array literal is no value", expr.span,
                            helps=("give the array a name with `let`",))  # fmt: skip
        case syntax.IntLiteral():
            pass  # is bare
    return None


def _unary(cx: Context, expr: syntax.Unary, hint: Type | None) -> typed.Expr | None:
    operand = infer(cx, expr.operand, hint)
    if operand is None:
        return None
    match expr.op, operand.type:
        case "!", BoolType():
            return typed.Not(operand, BOOL, expr.span)
        case "-", IntType() as type_:
            return typed.Negate(operand, type_, expr.span)
        case "~", IntType() as type_:
            return typed.Invert(operand, type_, expr.span)
    helps: tuple[str, ...] = ()
    if expr.op == "!" and isinstance(operand.type, IntType):
        text = cx.report.text(expr.operand.span)
        helps = (f"write `{text} == 0`, or `~{text}` to flip the bits",)
    elif expr.op == "~" and isinstance(operand.type, BoolType):
        helps = (f"write `!{cx.report.text(expr.operand.span)}`",)
    cx.report.error("G0208", f"`{expr.op}` does not apply to `{operand.type}`", expr.span,
                    labels=(Label(expr.operand.span, f"a `{operand.type}`"),), helps=helps)  # fmt: skip
    return None


def _binary(cx: Context, expr: syntax.Binary, hint: Type | None) -> typed.Expr | None:
    if expr.op in constants.LOGICAL:
        left, right = demand(cx, expr.left, BOOL), demand(cx, expr.right, BOOL)
        return typed.Logical(expr.op, left, right, BOOL, expr.span) if left and right else None
    comparison = expr.op in constants.COMPARISONS
    inner = None if comparison else hint
    if expr.op in ("<<", ">>"):
        left = infer(cx, expr.left, inner)
        amount_type = left.type if left is not None and isinstance(left.type, IntType) else U64
        right = integer(cx, expr.right, amount_type, "a shift amount")
    elif constants.is_bare(expr.left, cx.find) and not constants.is_bare(expr.right, cx.find):
        right = infer(cx, expr.right, inner)
        left = infer(cx, expr.left, right.type) if right else None
    else:
        left = infer(cx, expr.left, inner)
        right = infer(cx, expr.right, left.type if left else inner)
    if left is None or right is None:
        return None
    wrong = next((side.type for side in (left, right) if not isinstance(side.type, IntType)), None)
    if not comparison and wrong is not None:
        _no_arithmetic(cx, expr, wrong)
        return None
    if expr.op not in ("<<", ">>"):
        both = same_type(left, right)
        if both is None:
            operands_differ(cx, expr, left.type, right.type)
            return None
        left, right = both
    if comparison:
        return _comparison(cx, expr, left, right)
    assert isinstance(left.type, IntType)
    return typed.Arithmetic(expr.op, left, right, left.type, expr.span)


def _comparison(cx: Context, expr: syntax.Binary, left: typed.Expr, right: typed.Expr) -> typed.Expr | None:
    if expr.op in ("==", "!=") or not isinstance(left.type, BoolType):
        return typed.Comparison(expr.op, left, right, BOOL, expr.span)
    cx.report.error("G0208", f"`{expr.op}` does not apply to `bool`", expr.span, "bools have no order")
    return None


def _no_arithmetic(cx: Context, expr: syntax.Binary, type_: Scalar) -> None:
    helps: tuple[str, ...] = ()
    if isinstance(type_, BoolType):
        word = {"&": "&&", "|": "||", "^": "!="}.get(expr.op)
        helps = (f"write `{word}`",) if word else ()
    elif isinstance(type_, EnumType):
        helps = (f"convert it first: `as {type_.repr}`",)
    cx.report.error("G0208", f"`{expr.op}` does not apply to `{type_}`", expr.span, helps=helps)


def _cast(cx: Context, expr: syntax.Cast) -> typed.Expr | None:
    if isinstance(expr.operand, syntax.Member) and is_whole_body(cx, expr.operand):
        _needs_else(cx, expr, "a view of the body")
        return None
    if expr.at is not None:
        cx.report.error("G0303", "only a view of a message's body has an `at`", expr.at.span)
        return None
    target = resolve_scalar(cx, expr.target, "the target of `as`")
    operand = infer(cx, expr.operand)
    return typed.Conversion(operand, target, expr.span) if operand and target else None


# --- calls -----------------------------------------------------------------------------------------------------------


def call_value(cx: Context, expr: syntax.Call, hint: Type | None) -> typed.Expr | None:
    """Return a call that has a value."""
    match expr.function.name:
        case "now":
            return typed.Now(U64, expr.span) if count_arguments(cx, expr, 0) else None
        case "len":
            return _length(cx, expr, hint)
    found = call(cx, expr)
    if found is None:
        return None
    function, arguments = found
    if function.result is None:
        cx.report.error("G0204", f"`{function.name}` has no result", expr.span, "expected a value",
                        labels=(Label(function.span, "declared here"),))  # fmt: skip
        return None
    return typed.Inlined(cx.function(function), arguments, function.result, expr.span)


def call(cx: Context, expr: syntax.Call) -> tuple[FunctionName, tuple[typed.Expr, ...]] | None:
    """Return the function called and its arguments."""
    name = expr.function
    match cx.find(name.name):
        case FunctionName() as function:
            return _arguments(cx, expr, function)
        case None:
            names = [*cx.items.names_of(syntax.Function), "now", "len"]
            cx.report.error("G0201", f"there is no function `{name.name}`", name.span, "not found",
                            helps=suggest(name.name, names))  # fmt: skip
        case Poison():
            pass
        case symbol:
            cx.report.error("G0223", f"`{name.name}` is {describe(symbol)}, not a function", name.span)
    for argument in expr.arguments:
        infer(cx, argument)
    return None


def _arguments(
    cx: Context, expr: syntax.Call, function: FunctionName
) -> tuple[FunctionName, tuple[typed.Expr, ...]] | None:  # fmt: skip
    if not count_arguments(cx, expr, len(function.params), function):
        return None
    values = [
        demand(cx, argument, type_) if type_ is not None else infer(cx, argument)
        for argument, type_ in zip(expr.arguments, function.params, strict=True)
    ]
    sound = [value for value in values if value is not None]
    return (function, tuple(sound)) if function.sound and len(sound) == len(values) else None


def count_arguments(cx: Context, expr: syntax.Call, count: int, function: FunctionName | None = None) -> bool:
    """Tell whether a call has `count` arguments, reporting it if not."""
    if len(expr.arguments) == count:
        return True
    labels = (Label(function.span, "declared here"),) if function else ()
    cx.report.error("G0210", f"`{expr.function.name}` takes {count} argument{'' if count == 1 else 's'}, "
                    f"not {len(expr.arguments)}", expr.span, labels=labels)  # fmt: skip
    return False


def _length(cx: Context, expr: syntax.Call, hint: Type | None) -> typed.Expr | None:
    if not count_arguments(cx, expr, 1):
        return None
    argument = expr.arguments[0]
    if isinstance(argument, syntax.Name | syntax.Member | syntax.Index):
        found = reference(cx, argument)
        if found is None:
            return None
        if isinstance(found, typed.Place) and isinstance(found.type, ArrayType):
            return literal(cx, found.type.length, hint, expr.span)
    cx.report.error("G0208", "`len` takes an array", argument.span, "not an array",
                    notes=("the length of a message's body is `msg.len`",))  # fmt: skip
    return None


# --- references ------------------------------------------------------------------------------------------------------


def _read(cx: Context, expr: syntax.Name | syntax.Member | syntax.Index) -> typed.Expr | None:
    found = reference(cx, expr)
    match found:
        case None:
            return None
        case typed.Place():
            return read_place(cx, found, expr)
        case MapElement():
            _needs_else(cx, expr, "a map's element")
        case typed.BodyView():
            _needs_else(cx, expr, "a view of the body")
        case WholeBody():
            cx.report.error("G0313", "the body of a message is no value", expr.span,
                            helps=("view it: `let v = msg.body as T else { .. }`",))  # fmt: skip
        case ReceivedCaps():
            cx.report.error("G0313", "received capabilities are no values", expr.span,
                            notes=("`msg.caps[i]` can only be passed on: `send .. with msg.caps[0]`",))  # fmt: skip
        case _:
            return found
    return None


def read_place(cx: Context, place: typed.Place, expr: syntax.Expr) -> typed.Expr | None:
    """Return the scalar at a place."""
    match place.type:
        case StructType() | ArrayType() as type_:
            what = "struct" if isinstance(type_, StructType) else "array"
            cx.report.error("G0313", f"expected a value, found a whole {what}", expr.span, f"this is a `{type_}`",
                            notes=("values are numbers, bools and enums",))  # fmt: skip
            return None
        case scalar:
            return typed.Read(place, scalar, expr.span)


def _needs_else(cx: Context, expr: syntax.Expr, what: str) -> None:
    cx.report.error(
        "G0302",
        f"{what} may be absent",
        expr.span,
        "may be absent",
        notes=("what may be absent is bound by a `let` that says what happens then",),
        helps=(f"write `let x = {cx.report.text(expr.span)} else {{ .. }}` before, and use `x`",),
    )


def reference(cx: Context, expr: syntax.Expr) -> Reference | None:
    """Return what a name, member or element refers to; None if it has an error, which is reported."""
    match expr:
        case syntax.Name():
            return _named(cx, expr)
        case syntax.Member():
            return _member(cx, expr)
        case syntax.Index():
            return _index(cx, expr)
        case _:
            cx.report.error("G0223", "expected a variable, a field or an element", expr.span)
            return None


def _named(cx: Context, expr: syntax.Name) -> Reference | None:
    match cx.find(expr.name):
        case typed.Variable() | typed.ViewVariable() | typed.StateVariable() | typed.ConstTable() as root:
            return typed.Place(root, (), expr.span)
        case ConstantName(constant=constant):
            type_ = constant.type or (I64 if constant.value < 0 else U64)
            return typed.Literal(constant.value, type_, expr.span)
        case TimerName():
            return typed.MessageField("tag", U64, expr.span)
        case Poison():
            return None
        case None:
            cx.report.error("G0201", f"there is no `{expr.name}` here", expr.span, "not found",
                            helps=cx.unknown(expr.name))  # fmt: skip
            return None
        case symbol:
            helps = {
                typed.MapRef: f"look a key up: `let x = {expr.name}[key] else {{ .. }}`",
                SlotName: f"send through it: `send {expr.name}.op(..) else {{ .. }}`",
                MessageName: f"use a property: `{expr.name}.tag`",
                FunctionName: f"call it: `{expr.name}(..)`",
                EnumName: f"use a variant: `{expr.name}.name`",
                StructName: f"view a body: `let v = msg.body as {expr.name} else {{ .. }}`",
            }
            cx.report.error("G0223", f"`{expr.name}` is {describe(symbol)}, not a value", expr.span,
                            helps=(helps[type(symbol)],))  # fmt: skip
            return None


def _member(cx: Context, expr: syntax.Member) -> Reference | None:
    if isinstance(expr.base, syntax.Name):
        match cx.find(expr.base.name):
            case MessageName():
                return _property(cx, expr)
            case EnumName(type=enum):
                constant = constants.enum_variant(cx, enum, expr.name)
                return typed.Literal(constant.value, enum, expr.span) if constant else None
            case TimerName(name=name):
                cx.report.error("G0205", f"`{name}` is the timer's id, a `u64`: it has no properties", expr.name.span,
                                helps=("the time is `now()`",))  # fmt: skip
                return None
    base = reference(cx, expr.base)
    match base:
        case None:
            return None
        case typed.Place():
            return _field(cx, expr, base)
        case MapElement() | typed.BodyView():
            _needs_else(cx, expr.base, "a map's element" if isinstance(base, MapElement) else "a view of the body")
        case WholeBody():
            cx.report.error("G0313", "the body has no type yet", expr.base.span,
                            helps=("view it: `let v = msg.body as T else { .. }`",))  # fmt: skip
        case ReceivedCaps():
            cx.report.error("G0205", f"received capabilities have no `{expr.name.name}`", expr.name.span)
        case value:
            _no_fields(cx, expr, value.type)
    return None


def _field(cx: Context, expr: syntax.Member, base: typed.Place) -> typed.Place | None:
    if not isinstance(base.type, StructType):
        _no_fields(cx, expr, base.type)
        return None
    field = base.type.field(expr.name.name)
    if field is None:
        cx.report.error("G0205", f"`{base.type}` has no field `{expr.name.name}`", expr.name.span, "no such field",
                        helps=suggest(expr.name.name, (f.name for f in base.type.fields)))  # fmt: skip
        return None
    return typed.Place(base.root, (*base.steps, typed.FieldStep(field.offset, field.type)), expr.span)


def _no_fields(cx: Context, expr: syntax.Member, type_: Type) -> None:
    helps = (f"write `len({cx.report.text(expr.base.span)})`",) if isinstance(type_, ArrayType) else ()
    cx.report.error("G0205", f"a `{type_}` has no field `{expr.name.name}`", expr.name.span,
                    labels=(Label(expr.base.span, f"a `{type_}`"),), helps=helps)  # fmt: skip


def _property(cx: Context, expr: syntax.Member) -> Reference | None:
    name = expr.name.name
    if name in PROPERTIES:
        field, type_ = PROPERTIES[name]
        return typed.MessageField(field, type_, expr.span)
    assert cx.event is not None
    match name:
        case "body":
            return WholeBody(expr.span)
        case "caps":
            return ReceivedCaps(expr.span)
        case "reply":
            return _reply(cx, expr)
    known = (*PROPERTIES, *PARTS)
    cx.report.error("G0205", f"a message has no property `{name}`", expr.name.span, "no such property",
                    notes=(f"its properties are {', '.join(f'`{each}`' for each in known)}",),
                    helps=suggest(name, known))  # fmt: skip
    return None


def is_whole_body(cx: Context, expr: syntax.Member) -> bool:
    """Tell whether an expression is `msg.body`, reporting nothing."""
    if expr.name.name != "body" or not isinstance(expr.base, syntax.Name):
        return False
    return isinstance(cx.find(expr.base.name), MessageName)


def _reply(cx: Context, expr: syntax.Member) -> typed.BodyView | None:
    assert cx.event is not None
    operation = cx.event.reply_of
    if cx.event.name != "reply" or operation is None:
        helps = ("name the operation: `on reply(msg) from slot.op`", "or view it: `msg.body as T`")
        cx.report.error(
            "G0227",
            "the type of this reply is not known",
            expr.name.span,
            notes=("`msg.reply` is the reply of the operation that `from` names",),
            helps=helps,
        )
        return None
    if operation.reply is None:
        if operation.spec.reply_type == "":
            cx.report.error("G0227", f"`{operation.spec.name}` declares no reply", expr.name.span,
                            labels=(Label(operation.span, "declared here"),))  # fmt: skip
        return None
    return typed.BodyView(operation.reply, 0, expr.span)


def _index(cx: Context, expr: syntax.Index) -> Reference | None:
    if isinstance(expr.base, syntax.Name):
        match cx.find(expr.base.name):
            case typed.MapRef() as map_:
                key = demand(cx, expr.index, map_.key)
                return MapElement(map_, key, expr.span) if key else None
    array = indexed(cx, expr)
    if array is None:
        return None
    place, index = array
    if not check_constant(cx, place, index):
        return None
    assert isinstance(place.type, ArrayType)
    return typed.Place(place.root, (*place.steps, typed.IndexStep(index, place.type)), expr.span)


def indexed(cx: Context, expr: syntax.Index) -> tuple[typed.Place, typed.Expr] | None:
    """Return the array and the index of `array[index]`, whatever the index may be."""
    base = reference(cx, expr.base)
    index = integer(cx, expr.index, U64, "an index")
    match base:
        case None:
            return None
        case typed.Place():
            if isinstance(base.type, ArrayType):
                return (base, index) if index is not None else None
            cx.report.error("G0208", f"a `{base.type}` cannot be indexed", expr.base.span, "not an array")
        case MapElement() | typed.BodyView():
            _needs_else(cx, expr.base, "a map's element" if isinstance(base, MapElement) else "a view of the body")
        case WholeBody():
            cx.report.error("G0313", "the body cannot be indexed", expr.base.span,
                            helps=("view it: `let v = msg.body as [u8; N] else { .. }`",))  # fmt: skip
        case ReceivedCaps():
            cx.report.error("G0313", "received capabilities are no values", expr.span,
                            notes=("`msg.caps[i]` can only be passed on: `send .. with msg.caps[0]`",))  # fmt: skip
        case value:
            cx.report.error("G0208", f"a `{value.type}` cannot be indexed", expr.base.span, "not an array")
    return None


def check_constant(cx: Context, place: typed.Place, index: typed.Expr) -> bool:
    """Tell whether an index may be in range: one that is a constant outside is wrong wherever it stands."""
    array = place.type
    if not isinstance(index, typed.Literal) or not isinstance(array, ArrayType):
        return True
    if 0 <= index.value < array.length:
        return True
    assert isinstance(index.type, IntType)
    known = Interval(index.value, index.value)
    report_index(cx.report, index.span, known, index.type, array, array_name(place, len(place.steps)))
    return False
