"""Bodies of messages and values of maps: struct literals, places passed by address, parts of the current body.

A struct literal never exists as a value: it is a list of scalars and the offsets at which they are written, in the
order in which they stand in the source. What the literal does not name is zero. A whole struct or array inside a
literal is taken apart into its scalars, so that the lowering knows scalars only; `limits.STRUCT_LITERAL_BYTES` bounds
how many there can be.
"""

from __future__ import annotations

from grafting import limits, syntax, typed
from grafting.checking import constants
from grafting.checking.context import Context
from grafting.checking.conversions import mismatch
from grafting.checking.expressions import WholeBody, demand, infer, reference
from grafting.checking.layout import OpLayout
from grafting.checking.scope import StructName
from grafting.diagnostics import Label, Span
from grafting.types import U64, ArrayType, Scalar, StructType, Type

Parts = list[tuple[int, typed.Expr]]


def arguments(cx: Context, op: OpLayout, given: tuple[syntax.Expr, ...], span: Span) -> typed.Payload | None:
    """Return the body that an operation's operands make; None if that was reported."""
    match op.shape:
        case "raw":
            return _raw(cx, op, given, span)
        case "none":
            return typed.NoBody(span) if _count(cx, op, given, 0, span) else None
        case "struct":
            if not _count(cx, op, given, 1, span) or op.body is None:
                return None
            return struct_payload(cx, given[0], op.body)
        case _:
            return _fields(cx, op, given, span)


def _count(cx: Context, op: OpLayout, given: tuple[syntax.Expr, ...], wanted: int, span: Span) -> bool:
    if len(given) == wanted:
        return True
    cx.report.error("G0210", f"`{op.spec.name}` takes {wanted} argument{'' if wanted == 1 else 's'}, not {len(given)}",
                    span, labels=(Label(op.span, "declared here"),))  # fmt: skip
    return False


def _fields(cx: Context, op: OpLayout, given: tuple[syntax.Expr, ...], span: Span) -> typed.Payload | None:
    if op.body is None:
        for operand in given:
            infer(cx, operand)
        return None
    if not _count(cx, op, given, len(op.body.fields), span):
        return None
    if not _short_enough(cx, op.body, span):
        return None
    parts: Parts = []
    sound = [
        add_parts(cx, parts, operand, field.type, field.offset)
        for operand, field in zip(given, op.body.fields, strict=True)
    ]
    return typed.StructValue(op.body, tuple(parts), span) if all(sound) else None


def _raw(cx: Context, op: OpLayout, given: tuple[syntax.Expr, ...], span: Span) -> typed.Payload | None:
    if not given:
        return typed.NoBody(span)
    if not _count(cx, op, given, 1, span):
        return None
    return any_payload(cx, given[0])


# --- any body --------------------------------------------------------------------------------------------------------


def any_payload(cx: Context, expr: syntax.Expr) -> typed.Payload | None:
    """Return a body of any kind: a struct literal, a struct or array by address, or a part of the current body."""
    match expr:
        case syntax.StructLiteral(name=name):
            match cx.find(name.name):
                case StructName(type=type_):
                    return struct_literal(cx, expr, type_)
                case _:
                    constants.report_no_struct(cx, expr.name, cx.type_names())
                    return None
        case syntax.Range():
            return body_range(cx, expr)
        case syntax.Name() | syntax.Member() | syntax.Index():
            found = reference(cx, expr)
            match found:
                case None:
                    return None
                case typed.Place(type=StructType() | ArrayType() as found_type):
                    return typed.PlaceValue(found, found_type, expr.span)
                case WholeBody():
                    cx.report.error("G0313", "which part of the body is meant is not said", expr.span,
                                    helps=(f"write `{cx.report.text(expr.span)}[..]` for all of it",))  # fmt: skip
                    return None
    cx.report.error(
        "G0204",
        "expected a message body",
        expr.span,
        "not a body",
        notes=("a body is a struct literal, a view, or a part of the current one, `msg.body[a..b]`",),
    )
    return None


def body_range(cx: Context, expr: syntax.Range) -> typed.BodyRange | None:
    """Return `msg.body[start..end]`."""
    is_body = isinstance(expr.base, syntax.Member) and expr.base.name.name == "body"
    base = reference(cx, expr.base) if isinstance(expr.base, syntax.Name | syntax.Member | syntax.Index) else None
    if not isinstance(base, WholeBody):
        if base is not None or not is_body:
            cx.report.error("G0208", "only a message's body has parts", expr.base.span,
                            helps=("write `msg.body[a..b]`",))  # fmt: skip
        return None
    start = demand(cx, expr.start, U64) if expr.start is not None else typed.Literal(0, U64, expr.span)
    end = demand(cx, expr.end, U64) if expr.end is not None else None
    if start is None or (expr.end is not None and end is None):
        return None
    if isinstance(start, typed.Literal) and isinstance(end, typed.Literal) and start.value > end.value:
        cx.report.error("G0307", "this part of the body ends before it begins", expr.span,
                        f"from {start.value} to {end.value}")  # fmt: skip
        return None
    return typed.BodyRange(start, end, expr.span)


# --- structs ---------------------------------------------------------------------------------------------------------


def struct_payload(
    cx: Context, expr: syntax.Expr, type_: StructType
) -> typed.StructValue | typed.PlaceValue | None:  # fmt: skip
    """Return a struct of `type_`: a literal, or a place that holds one."""
    if isinstance(expr, syntax.StructLiteral):
        return struct_literal(cx, expr, type_)
    return _by_address(cx, expr, type_)


def map_value(
    cx: Context, expr: syntax.Expr, type_: Type
) -> typed.Expr | typed.StructValue | typed.PlaceValue | None:  # fmt: skip
    """Return what `m[k] = ..` stores: a scalar, or a struct or array."""
    match type_:
        case StructType():
            return struct_payload(cx, expr, type_)
        case ArrayType():
            if isinstance(expr, syntax.ArrayLiteral):
                cx.report.error("G0313", "an array literal cannot be stored into a map", expr.span,
                                helps=("give the array a name with `let` first",))  # fmt: skip
                return None
            return _by_address(cx, expr, type_)
        case scalar:
            return demand(cx, expr, scalar)


def _by_address(cx: Context, expr: syntax.Expr, type_: StructType | ArrayType) -> typed.PlaceValue | None:
    if not isinstance(expr, syntax.Name | syntax.Member | syntax.Index):
        found = infer(cx, expr)
        if found is not None:
            mismatch(cx.report, expr, type_, found.type, bare=constants.is_bare(expr, cx.find))
        return None
    match reference(cx, expr):
        case typed.Place() as place if place.type == type_:
            return typed.PlaceValue(place, type_, expr.span)
        case None:
            pass
        case typed.Place() as place:
            mismatch(cx.report, expr, type_, place.type)
        case _:
            helps = (f"bind it first: `let x = {cx.report.text(expr.span)} else {{ .. }}`",)
            cx.report.error("G0204", f"expected a `{type_}`", expr.span, helps=helps)
    return None


def struct_literal(cx: Context, expr: syntax.StructLiteral, type_: StructType) -> typed.StructValue | None:
    """Return a struct literal as its scalars; None if it has an error, which is reported."""
    if not constants.check_literal_name(cx, expr, type_) or not _short_enough(cx, type_, expr.span):
        return None
    parts: Parts = []
    return typed.StructValue(type_, tuple(parts), expr.span) if _literal_parts(cx, parts, expr, type_, 0) else None


def _short_enough(cx: Context, type_: StructType, span: Span) -> bool:
    if type_.size <= limits.STRUCT_LITERAL_BYTES:
        return True
    cx.report.error(
        "G0306", f"`{type_}` has {type_.size} bytes; a body written field by field has at most "
        f"{limits.STRUCT_LITERAL_BYTES}", span,
        notes=("it is built on the stack of 512 bytes",),
        helps=("keep it in a `state` variable or in a map and send that, or forward a part of a body",),
    )  # fmt: skip
    return False


def _literal_parts(cx: Context, parts: Parts, expr: syntax.StructLiteral, type_: StructType, offset: int) -> bool:
    sound = True
    before = cx.report.count
    for given in constants.unique_fields(cx, expr, type_):
        field = type_.field(given.name.name)
        if field is None:
            sound = False
        else:
            sound = add_parts(cx, parts, given.value, field.type, offset + field.offset) and sound
    return sound and cx.report.count == before


def add_parts(cx: Context, parts: Parts, expr: syntax.Expr, type_: Type, offset: int) -> bool:
    """Append the scalars of a value of `type_` that stands at `offset`; False if an error was reported."""
    match type_, expr:
        case StructType(), syntax.StructLiteral():
            return constants.check_literal_name(cx, expr, type_) and _literal_parts(cx, parts, expr, type_, offset)
        case ArrayType(), syntax.ArrayLiteral():
            return _array_parts(cx, parts, expr, type_, offset)
        case ((StructType() | ArrayType()), _):
            value = _by_address(cx, expr, type_)
            if value is not None:
                _read_all(parts, value.place, type_, offset)
            return value is not None
        case _:
            scalar = demand(cx, expr, _scalar(type_))
            if scalar is not None:
                parts.append((offset, scalar))
            return scalar is not None


def _scalar(type_: Type) -> Scalar:
    assert not isinstance(type_, StructType | ArrayType)
    return type_


def _array_parts(cx: Context, parts: Parts, expr: syntax.ArrayLiteral, type_: ArrayType, offset: int) -> bool:
    size = type_.element.size
    if constants.element_count(cx, expr, type_.length, short=True) is None:
        return False
    if expr.repeat is None:
        added = [add_parts(cx, parts, e, type_.element, offset + n * size) for n, e in enumerate(expr.elements)]
        return all(added)
    if isinstance(expr.elements[0], syntax.Call):
        cx.report.error("G0313", "a call cannot be repeated", expr.elements[0].span,
                        helps=("give its result a name with `let`",))  # fmt: skip
        return False
    added = [add_parts(cx, parts, expr.elements[0], type_.element, offset + n * size) for n in range(type_.length)]
    return all(added)


def _read_all(parts: Parts, place: typed.Place, type_: Type, offset: int) -> None:
    match type_:
        case StructType(fields=fields):
            for field in fields:
                step = typed.FieldStep(field.offset, field.type)
                _read_all(parts, _further(place, step), field.type, offset + field.offset)
        case ArrayType(element=element, length=length):
            for number in range(length):
                index = typed.Literal(number, U64, place.span)
                _read_all(
                    parts, _further(place, typed.IndexStep(index, type_)), element, offset + number * element.size
                )
        case scalar:
            parts.append((offset, typed.Read(place, scalar, place.span)))


def _further(place: typed.Place, step: typed.FieldStep | typed.IndexStep) -> typed.Place:
    return typed.Place(place.root, (*place.steps, step), place.span)
