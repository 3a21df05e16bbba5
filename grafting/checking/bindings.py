"""What a `let` binds: arrays, views of what is there, and what may be absent.

let a: [u64; 4] = [1, 2, 3, 4]    an array of its own on the stack
let r = row.parts[0]              a view: another name of a place, never a copy
let n = msg.body as Node else ..  what may be absent; `absent` gives it, the block of the `else` is the caller's
"""

from __future__ import annotations

from grafting import syntax, typed
from grafting.checking import constants
from grafting.checking.assign import absent_element, is_writable, report_needless_else
from grafting.checking.context import Context
from grafting.checking.conversions import mismatch
from grafting.checking.expressions import ReceivedCaps, WholeBody, infer, is_whole_body, reference
from grafting.checking.payloads import Parts, add_parts
from grafting.checking.type_names import local_type, resolve
from grafting.types import U64, ArrayType, IntType, StructType, Type

LENGTH_MAX = (1 << 32) - 1  # elements of an array literal; far more than a local may have

Bound = tuple[list[typed.Stmt], typed.Variable | typed.ViewVariable]
"""What a `let` becomes, and the name that it declares."""


# --- arrays ----------------------------------------------------------------------------------------------------------


def bind_array(cx: Context, stmt: syntax.Let, literal: syntax.ArrayLiteral, declared: Type | None) -> Bound | None:
    """Return a local array of the type declared, or else of the literal's own; None if that was reported."""
    if declared is not None and not isinstance(declared, ArrayType):
        cx.report.error("G0204", f"expected `{declared}`, found an array", literal.span, f"expected `{declared}`")
        return None
    array = declared if declared is not None else _array_type(cx, literal)
    if array is None or local_type(cx, array, literal.span) is None:
        return None
    variable = typed.Variable(stmt.name.name, array, stmt.mutable, stmt.name.span)
    if _is_zero(cx, literal, array):
        return [typed.Declare(variable, None, (), stmt.span)], variable
    if literal.repeat is None and len(literal.elements) != array.length:
        constants.element_count(cx, literal, array.length)
        return None
    parts: Parts = []
    if not add_parts(cx, parts, literal, array, 0):
        return None
    return [typed.Declare(variable, None, tuple(expr for _, expr in parts), stmt.span)], variable


def _is_zero(cx: Context, literal: syntax.ArrayLiteral, array: ArrayType) -> bool:
    """Tell whether a literal is `[0; n]`, n being right: such an array is filled, not written element by element."""
    zero = isinstance(literal.elements[0], syntax.IntLiteral) and literal.elements[0].value == 0
    if literal.repeat is None or not zero or not isinstance(array.element, IntType):
        return False
    return constants.integer(cx, literal.repeat, 1, LENGTH_MAX, "the number of elements") == array.length


def _array_type(cx: Context, literal: syntax.ArrayLiteral) -> ArrayType | None:
    """Return the type of an array literal: the element's, of the first one that has a type by itself."""
    length: int | None = len(literal.elements)
    if literal.repeat is not None:
        length = constants.integer(cx, literal.repeat, 1, LENGTH_MAX, "the number of elements")
    if not literal.elements or length is None:
        if not literal.elements:
            cx.report.error("G0313", "an array has at least one element", literal.span)
        return None
    typed_ = [element for element in literal.elements if not constants.is_bare(element, cx.find)]
    if not typed_:
        return ArrayType(U64, length)
    if isinstance(typed_[0], syntax.ArrayLiteral):
        inner = _array_type(cx, typed_[0])
        return ArrayType(inner, length) if inner is not None else None
    first = infer(cx, typed_[0])
    return ArrayType(first.type, length) if first is not None else None


# --- views -----------------------------------------------------------------------------------------------------------


def bind_alias(
    cx: Context, stmt: syntax.Let, place: typed.Place, type_: StructType | ArrayType, declared: Type | None
) -> Bound | None:
    """Return a view of a place; None if that was reported."""
    if declared is not None and declared != type_:
        mismatch(cx.report, stmt.value, declared, type_)
        return None
    if not view_is_immutable(cx, stmt):
        return None
    variable = typed.ViewVariable(stmt.name.name, type_, is_writable(place), stmt.name.span)
    return [typed.Alias(variable, place, stmt.span)], variable


def view_is_immutable(cx: Context, stmt: syntax.Let) -> bool:
    """Tell whether a view is declared without `mut`, reporting it if not."""
    if not stmt.mutable:
        return True
    cx.report.error("G0214", f"`{stmt.name.name}` is a view, which always stands for the same bytes", stmt.name.span,
                    notes=("what it shows can change, what it is cannot",), helps=("leave `mut` out",))  # fmt: skip
    return False


# --- what may be absent ----------------------------------------------------------------------------------------------


def absent(cx: Context, expr: syntax.Expr) -> typed.Absent | None:
    """Return something that may be absent; None if there is an error, also that it is never absent."""
    match expr:
        case syntax.Cast(operand=syntax.Member() as operand) if is_whole_body(cx, operand):
            return _body_view(cx, expr)
        case syntax.Index():
            return absent_element(cx, expr)
        case syntax.Name() | syntax.Member():
            match reference(cx, expr):
                case typed.BodyView() as view:
                    return view
                case None:
                    return None
                case WholeBody():
                    cx.report.error("G0313", "the body has no type yet", expr.span,
                                    helps=(f"write `{cx.report.text(expr.span)} as T`",))  # fmt: skip
                    return None
                case ReceivedCaps():
                    cx.report.error("G0313", "received capabilities are no values", expr.span)
                    return None
        case _:
            if infer(cx, expr) is None:
                return None
    report_needless_else(cx, "this is never absent", expr, expr.span, "always has a value")
    return None


def _body_view(cx: Context, expr: syntax.Cast) -> typed.BodyView | None:
    type_ = resolve(cx, expr.target)
    at = 0 if expr.at is None else constants.integer(cx, expr.at, 0, (1 << 16) - 1, "the offset of a view")
    if type_ is None or at is None:
        return None
    if not isinstance(type_, StructType | ArrayType):
        cx.report.error("G0303", f"a view is of a struct or an array, not of a `{type_}`", expr.target.span,
                        helps=(f"view `[{type_}; 1]`",))  # fmt: skip
        return None
    assert expr.at is not None or at == 0
    if at % type_.align and expr.at is not None:
        cx.report.error(
            "G0303",
            f"offset {at} is no multiple of {type_.align}, the alignment of `{type_}`",
            expr.at.span,
            notes=("bodies are aligned to 8 bytes, and every access is aligned",),
        )
        return None
    return typed.BodyView(type_, at, expr.span)
