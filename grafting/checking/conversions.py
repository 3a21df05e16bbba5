"""Which type fits where: bare numbers take the type that is wanted, narrower numbers widen, nothing else converts.

A conversion is implicit only if it loses nothing: `u8` goes to `u64` and to `i16`, `i8` to no unsigned type. All others
are written with `as`.
"""

from __future__ import annotations

from grafting import syntax, typed
from grafting.checking import constants
from grafting.checking.context import Context
from grafting.checking.reporter import Reporter
from grafting.diagnostics import Label, Span
from grafting.types import I64, U64, BoolType, EnumType, IntType, Scalar, Type, register_type, widens

NO_CONVERSION = "only a conversion that loses nothing is implicit"


def literal(cx: Context, value: int, hint: Type | None, span: Span) -> typed.Expr | None:
    """Give a bare number the type of its context, u64 (i64 if negative) where there is none."""
    if not isinstance(hint, IntType):
        hint = I64 if value < 0 else U64
    constant = constants.fit(cx, value, hint, span)
    return typed.Literal(value, hint, span) if constant else None


def widened(expr: typed.Expr, type_: Type) -> typed.Expr:
    """Return the expression in a wider integer type that has all its values; unchanged if `type_` is none."""
    if not isinstance(type_, IntType) or not widens(expr.type, type_):
        return expr
    if isinstance(expr, typed.Literal):
        return typed.Literal(expr.value, type_, expr.span)
    return typed.Conversion(expr, type_, expr.span)


def same_type(left: typed.Expr, right: typed.Expr) -> tuple[typed.Expr, typed.Expr] | None:
    """Return both expressions, the one of the narrower type widened to the other's; None if neither type holds both."""
    left, right = widened(left, right.type), widened(right, left.type)
    return (left, right) if left.type == right.type else None


def mismatch(report: Reporter, expr: syntax.Expr, want: Type, have: Type, *, bare: bool = False) -> None:
    """Report that an expression has another type than its context demands."""
    what = "a number" if bare else f"`{have}`"
    helps: tuple[str, ...] = ()
    if isinstance(want, BoolType) and isinstance(have, IntType):
        helps = (f"write `{report.text(expr.span)} != 0`",)
    elif isinstance(want, IntType | EnumType) and isinstance(have, IntType | BoolType | EnumType):
        helps = (constants.cast_help(report, expr, want),)
    notes = (NO_CONVERSION,) if helps else ()
    report.error("G0204", f"expected `{want}`, found {what}", expr.span, f"expected `{want}`", notes=notes, helps=helps)


def operands_differ(cx: Context, expr: syntax.Binary, left: Scalar, right: Scalar) -> None:
    """Report that no type holds both operands of an operator."""
    labels = (Label(expr.left.span, f"a `{left}`"), Label(expr.right.span, f"a `{right}`"))
    a, b = register_type(left), register_type(right)
    helps: tuple[str, ...] = ()
    if isinstance(a, IntType) and isinstance(b, IntType):
        narrow, wide = (expr.left, right) if a.bits < b.bits else (expr.right, left)
        helps = (constants.cast_help(cx.report, narrow, wide),)
    cx.report.error(
        "G0204",
        f"the operands of `{expr.op}` have different types, `{left}` and `{right}`",
        expr.span,
        labels=labels,
        notes=(NO_CONVERSION,),
        helps=helps,
    )
