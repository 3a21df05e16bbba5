"""Assignments, and elements of maps and arrays that may be absent.

    x = e         a mutable local, a state variable, a field or element of one, of a map's value
    m[k] = e      else: the map may be full, the index of an array map too large
    m[k] op= e    else: there may be nothing under the key
    a[i] = e      with an `else`: the index need not be proved

A body is read-only, a constant too; a view of a map's value may be written through.
"""

from __future__ import annotations

from grafting import syntax, typed
from grafting.checking.context import Context
from grafting.checking.expressions import MapElement, demand, indexed, infer, integer, reference
from grafting.checking.payloads import map_value
from grafting.diagnostics import Label, Span
from grafting.types import BOOL, ArrayType, BoolType, EnumType, IntType, Scalar, StructType, Type

SHIFTS = ("<<", ">>")


def is_writable(place: typed.Place) -> bool:
    """Tell whether what is at a place may be assigned."""
    match place.root:
        case typed.Variable(mutable=mutable):
            return mutable
        case typed.ViewVariable(writable=writable):
            return writable
        case typed.StateVariable():
            return True
        case typed.ConstTable():
            return False


def absent_element(cx: Context, expr: syntax.Index) -> typed.Lookup | typed.CheckedIndex | None:
    """Return `m[k]` or `a[i]` as something that may be absent; None if it has an error, which is reported."""
    if isinstance(expr.base, syntax.Name) and isinstance(cx.find(expr.base.name), typed.MapRef):
        found = reference(cx, expr)
        return typed.Lookup(found.map, found.key, found.map.value, expr.span) if isinstance(found, MapElement) else None
    array = indexed(cx, expr)
    if array is None:
        return None
    place, index = array
    assert isinstance(place.type, ArrayType)
    return typed.CheckedIndex(place, index, place.type, place.type.element, expr.span)


def assign(cx: Context, stmt: syntax.Assign, otherwise: typed.Block | None) -> typed.Stmt | None:
    """Return an assignment; None if it has an error, which is reported."""
    if isinstance(stmt.place, syntax.Index):
        if isinstance(stmt.place.base, syntax.Name) and isinstance(cx.find(stmt.place.base.name), typed.MapRef):
            return _map(cx, stmt, otherwise)
        if stmt.otherwise is not None:
            return _element(cx, stmt, otherwise)
    found = reference(cx, stmt.place)
    if not isinstance(found, typed.Place):
        if found is not None:
            _no_place(cx, stmt)
        if isinstance(stmt.value, syntax.Binary | syntax.Call):
            infer(cx, stmt.value)
        return None
    if not _may_write(cx, found, stmt.place.span):
        return None
    type_ = _scalar(cx, found.type, stmt)
    if type_ is None:
        return None
    value = _combined(cx, stmt, found, type_) if stmt.op else demand(cx, stmt.value, type_)
    if value is None:
        return None
    if stmt.otherwise is not None:
        report_needless_else(cx, "this assignment cannot fail", stmt.place, stmt.otherwise.span, "never runs")
        return None
    return typed.Write(found, value, stmt.span)


def report_needless_else(cx: Context, message: str, expr: syntax.Expr, span: Span, label: str) -> None:
    """Report an `else` that has nothing to do, also one that was meant for an index before a field."""
    inner = expr
    while isinstance(inner, syntax.Member):
        inner = inner.base
    if isinstance(inner, syntax.Index) and inner is not expr:
        element = cx.report.text(inner.span)
        cx.report.error(
            "G0304", "this `else` checks no index", span, f"a field follows `{element}`",
            helps=(f"to check the index, bind the element first: `let x = {element} else {{ .. }}`",),
        )  # fmt: skip
    else:
        cx.report.error("G0304", message, span, label, helps=("leave the `else` out",))


def _combined(cx: Context, stmt: syntax.Assign, place: typed.Place, type_: Scalar) -> typed.Expr | None:
    right = _operand(cx, stmt, type_)
    if right is None:
        return None
    assert isinstance(type_, IntType)
    read = typed.Read(place, type_, stmt.place.span)
    return typed.Arithmetic(stmt.op, read, right, type_, stmt.span)


def _operand(cx: Context, stmt: syntax.Assign, type_: Type) -> typed.Expr | None:
    """Return the right side of `place op= value`."""
    if not isinstance(type_, IntType):
        helps: tuple[str, ...] = ()
        if isinstance(type_, EnumType):
            helps = ("convert with `as`",)
        elif type_ == BOOL and stmt.op in "&|":
            text = cx.report.text(stmt.place.span)
            helps = (f"write `{text} = {text} {stmt.op}{stmt.op} ..`",)
        cx.report.error("G0208", f"`{stmt.op}=` does not apply to `{type_}`", stmt.place.span, f"a `{type_}`",
                        helps=helps)  # fmt: skip
        return None
    return integer(cx, stmt.value, type_, "a shift amount") if stmt.op in SHIFTS else demand(cx, stmt.value, type_)


def _scalar(cx: Context, type_: Type, stmt: syntax.Assign) -> Scalar | None:
    if isinstance(type_, IntType | BoolType | EnumType):
        return type_
    what = "struct" if isinstance(type_, StructType) else "array"
    parts = "fields" if isinstance(type_, StructType) else "elements"
    cx.report.error("G0313", f"a whole {what} cannot be assigned", stmt.place.span, f"a `{type_}`",
                    helps=(f"assign its {parts} one by one",))  # fmt: skip
    return None


def _no_place(cx: Context, stmt: syntax.Assign) -> None:
    cx.report.error("G0214", "this cannot be assigned", stmt.place.span, "not a variable, a field or an element")


def _may_write(cx: Context, place: typed.Place, span: Span) -> bool:
    if is_writable(place):
        return True
    root = place.root
    declared = (Label(root.span, "declared here"),)
    match root:
        case typed.Variable():
            cx.report.error("G0214", f"`{root.name}` cannot be assigned", span, "not mutable", labels=declared,
                            helps=(f"declare it as `let mut {root.name}`",))  # fmt: skip
        case typed.ConstTable():
            cx.report.error("G0214", f"`{root.name}` is a constant", span, "read-only", labels=declared,
                            helps=("make it a `state` variable",))  # fmt: skip
        case _:
            cx.report.error(
                "G0214",
                f"`{root.name}` shows bytes that are read-only",
                span,
                "read-only",
                labels=declared,
                notes=("the body of a message never changes",),
            )
    return False


def _element(cx: Context, stmt: syntax.Assign, otherwise: typed.Block | None) -> typed.WriteAbsent | None:
    assert isinstance(stmt.place, syntax.Index)
    target = absent_element(cx, stmt.place)
    if not isinstance(target, typed.CheckedIndex) or otherwise is None:
        return None
    if not _may_write(cx, target.place, stmt.place.span):
        return None
    type_ = _scalar(cx, target.type, stmt)
    if type_ is None:
        return None
    value = _operand(cx, stmt, type_) if stmt.op else demand(cx, stmt.value, type_)
    return typed.WriteAbsent(target, stmt.op, value, otherwise, stmt.span) if value else None


def _map(cx: Context, stmt: syntax.Assign, otherwise: typed.Block | None) -> typed.Stmt | None:
    found = reference(cx, stmt.place)
    if not isinstance(found, MapElement):
        return None
    map_ = found.map
    if stmt.otherwise is None:
        why = f"there may be nothing under this key of `{map_.name}`" if stmt.op else f"`{map_.name}` may be full"
        cx.report.error("G0302", f"{why}: what happens then?", stmt.span, "needs an `else`",
                        helps=(f"write `{cx.report.text(stmt.span)} else {{ .. }}`",))  # fmt: skip
    if not stmt.op:
        value = map_value(cx, stmt.value, map_.value)
        if value is None or otherwise is None:
            return None
        return typed.MapStore(map_, found.key, value, otherwise, stmt.span)
    if not isinstance(map_.value, IntType):
        _operand(cx, stmt, map_.value)
        return None
    operand = _operand(cx, stmt, map_.value)
    if operand is None or otherwise is None:
        return None
    return typed.MapUpdate(map_, found.key, stmt.op, operand, otherwise, stmt.span)
