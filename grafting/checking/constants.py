"""Compile-time evaluation: constants, array lengths, initial values, and the bytes of tests.

A literal is a *bare number*: it has no type until its context demands one, and so has every expression made of bare
numbers only (`N * 2 - 1` with `const N = 31`). Bare numbers are computed exactly, then must fit the type they take;
nothing wraps silently at compile time. A constant with a declared type keeps it, as a variable would.

`evaluate` gives one number, `encode` the little-endian bytes of a scalar, array or struct.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from grafting import syntax, typed
from grafting.checking.reporter import Reporter
from grafting.checking.scope import Constant, ConstantName, EnumName, Poison, StructName, Symbol, describe, suggest
from grafting.diagnostics import Span
from grafting.types import BOOL, I64, U64, ArrayType, BoolType, EnumType, IntType, Scalar, StructType, Type, widens

LEAST, GREATEST = I64.minimum, U64.maximum  # what a bare number may be, between any two operations


class Names(Protocol):
    """What evaluation needs to know about the graft's items."""

    @property
    def report(self) -> Reporter:
        """Where errors go."""

    def find(self, name: str) -> Symbol | None:
        """Return the item of this name, or None."""

    def names(self) -> Iterable[str]:
        """Return all names of items, to suggest one."""

    def scalar_type(self, tree: syntax.TypeExpr) -> Scalar | None:
        """Return the scalar type as written, or None if that was reported."""


# --- numbers ---------------------------------------------------------------------------------------------------------


def is_bare(expr: syntax.Expr, find: Callable[[str], Symbol | None]) -> bool:
    """Tell whether an expression is made of bare numbers only, and so takes its type from its context."""
    match expr:
        case syntax.IntLiteral():
            return True
        case syntax.Name(name=name):
            match find(name):
                case ConstantName(constant=Constant(type=None)):
                    return True
            return False
        case syntax.Unary(op="-" | "~", operand=operand):
            return is_bare(operand, find)
        case syntax.Binary(op=op, left=left, right=right) if op in ARITHMETIC:
            return is_bare(left, find) and is_bare(right, find)
        case syntax.Call(function=syntax.Ident(name="len"), arguments=(syntax.Name(name=name),)):
            return isinstance(find(name), typed.ConstTable | typed.StateVariable)
        case _:
            return False


def is_constant(expr: syntax.Expr, find: Callable[[str], Symbol | None]) -> bool:
    """Tell whether an expression is made of numbers and named constants only, so that `evaluate` has its value."""
    match expr:
        case syntax.IntLiteral() | syntax.BoolLiteral():
            return True
        case syntax.Name(name=name):
            return isinstance(find(name), ConstantName)
        case syntax.Member(base=syntax.Name(name=name)):
            return isinstance(find(name), EnumName)
        case syntax.Unary(operand=operand) | syntax.Cast(operand=operand, at=None):
            return is_constant(operand, find)
        case syntax.Binary(left=left, right=right):
            return is_constant(left, find) and is_constant(right, find)
        case _:
            return is_bare(expr, find)


ARITHMETIC = frozenset("+ - * / % & | ^ << >>".split())
COMPARISONS = frozenset("== != < <= > >=".split())
LOGICAL = frozenset("&& ||".split())


def evaluate(names: Names, expr: syntax.Expr, target: Scalar | None = None) -> Constant | None:
    """Return the value of a constant expression, or None if it has none and that was reported.

    With a `target` a bare number takes that type and anything else must have it; without one it stays bare.
    """
    constant = _evaluate(names, expr, target)
    if constant is None or target is None:
        return constant
    if constant.type is None:
        return fit(names, constant.value, target, expr.span)
    if widens(constant.type, target):
        return Constant(constant.value, target)
    if constant.type != target:
        names.report.error(
            "G0204",
            f"expected `{target}`, found `{constant.type}`",
            expr.span,
            f"this is a `{constant.type}`",
            helps=_cast_help(names, expr, constant.type, target),
        )
        return None
    return constant


def fit(names: Names, value: int, target: Scalar, span: Span) -> Constant | None:
    """Give a bare number its type, reporting it if the type cannot hold it."""
    if not isinstance(target, IntType):
        helps = (f"write `{names.report.text(span)} as {target}`",) if isinstance(target, EnumType) else ()
        names.report.error("G0204", f"expected `{target}`, found a number", span, f"expected `{target}`", helps=helps)
        return None
    if not target.minimum <= value <= target.maximum:
        names.report.error("G0207", f"`{value}` does not fit `{target}`", span,
                           f"a `{target}` is {target.minimum}..={target.maximum}")  # fmt: skip
        return None
    return Constant(value, target)


def integer(names: Names, expr: syntax.Expr, least: int, greatest: int, what: str) -> int | None:
    """Return the value of a constant number of any integer type in `least ..= greatest`, reporting anything else."""
    constant = evaluate(names, expr)
    if constant is None:
        return None
    if constant.type is not None and not isinstance(constant.type, IntType):
        names.report.error("G0204", f"expected a number, found `{constant.type}`", expr.span)
        return None
    if not least <= constant.value <= greatest:
        names.report.error("G0207", f"{what} must be {least} to {greatest}, not {constant.value}", expr.span)
        return None
    return constant.value


def _evaluate(names: Names, expr: syntax.Expr, hint: Scalar | None) -> Constant | None:
    match expr:
        case syntax.IntLiteral(value=value):
            return _bounded(names, value, expr.span)
        case syntax.BoolLiteral(value=truth):
            return Constant(int(truth), BOOL)
        case syntax.Name():
            return _named(names, expr)
        case syntax.Member(base=syntax.Name(name=base), name=variant):
            return _variant(names, expr, base, variant)
        case syntax.Unary():
            return _unary(names, expr, hint)
        case syntax.Binary():
            return _binary(names, expr, hint)
        case syntax.Cast(operand=operand, target=target, at=None):
            to = names.scalar_type(target)
            constant = _evaluate(names, operand, None)
            return Constant(convert(constant.value, to), to) if to is not None and constant is not None else None
        case syntax.Call(function=syntax.Ident(name="len")):
            return _length(names, expr)
        case syntax.Index(base=syntax.Name(name=base), index=index):
            return _element(names, expr, base, index)
        case _:
            not_constant(names, expr)
            return None


def not_constant(names: Names, expr: syntax.Expr, reason: str = "its value is known only at run time") -> None:
    """Report an expression that has no value at compile time."""
    names.report.error(
        "G0211",
        "expected a constant expression",
        expr.span,
        reason,
        notes=("constants, array lengths, limits and initial values are fixed at compile time",),
    )


def _bounded(names: Names, value: int, span: Span) -> Constant | None:
    if LEAST <= value <= GREATEST:
        return Constant(value, None)
    names.report.error("G0212", "this number does not fit 64 bits", span)
    return None


def _named(names: Names, expr: syntax.Name) -> Constant | None:
    match names.find(expr.name):
        case None:
            names.report.error("G0201", f"there is no `{expr.name}` here", expr.span, "not found",
                               helps=suggest(expr.name, names.names()))  # fmt: skip
        case ConstantName(constant=constant):
            return constant
        case Poison():
            pass
        case symbol:
            not_constant(names, expr, f"this is {describe(symbol)}")
    return None


def _variant(names: Names, expr: syntax.Member, base: str, variant: syntax.Ident) -> Constant | None:
    match names.find(base):
        case EnumName(type=enum):
            return enum_variant(names, enum, variant)
        case Poison():
            return None
        case None:
            names.report.error("G0201", f"there is no `{base}` here", expr.base.span, "not found",
                               helps=suggest(base, names.names()))  # fmt: skip
            return None
        case symbol:
            not_constant(names, expr, f"`{base}` is {describe(symbol)}")
            return None


def enum_variant(names: Names, enum: EnumType, variant: syntax.Ident) -> Constant | None:
    """Return the value of a variant, reporting a name that the enum does not have."""
    known = dict(enum.variants)
    if variant.name in known:
        return Constant(known[variant.name], enum)
    names.report.error("G0205", f"`{enum}` has no variant `{variant.name}`", variant.span, "no such variant",
                       helps=suggest(variant.name, known))  # fmt: skip
    return None


def _unary(names: Names, expr: syntax.Unary, hint: Scalar | None) -> Constant | None:
    constant = _evaluate(names, expr.operand, hint)
    if constant is None:
        return None
    number = constant.type if constant.type is not None else hint
    match expr.op, constant.type:
        case "!", BoolType():
            return Constant(1 - constant.value, BOOL)
        case "-", None:
            return _bounded(names, -constant.value, expr.span)
        case "~", None:
            type_ = number if isinstance(number, IntType) else U64
            return Constant(type_.wrap(~constant.value), None)
        case "-", IntType() as type_:
            return fit(names, -constant.value, type_, expr.span)
        case "~", IntType() as type_:
            return Constant(type_.wrap(~constant.value), type_)
    names.report.error("G0208", f"`{expr.op}` does not apply to `{constant.type or 'a number'}`", expr.span)
    return None


def _binary(names: Names, expr: syntax.Binary, hint: Scalar | None) -> Constant | None:
    inner = hint if expr.op in ARITHMETIC else None
    left, right = _evaluate(names, expr.left, inner), _evaluate(names, expr.right, inner)
    if left is None or right is None:
        return None
    if expr.op in LOGICAL and left.type == BOOL == right.type:
        both = left.value & right.value if expr.op == "&&" else left.value | right.value
        return Constant(both, BOOL)
    type_ = _common(expr.op, left.type, right.type)
    if type_ is None and left.type is not None:
        names.report.error("G0204", f"`{left.type}` and `{right.type}` do not mix", expr.span)
        return None
    if expr.op in COMPARISONS:
        return Constant(int(compare(expr.op, left.value, right.value)), BOOL)
    if expr.op not in ARITHMETIC or not (type_ is None or isinstance(type_, IntType)):
        names.report.error("G0208", f"`{expr.op}` does not apply to `{type_ or 'a number'}`", expr.span)
        return None
    value = _exact(names, expr, left.value, right.value, type_)
    if value is None:
        return None
    return _bounded(names, value, expr.span) if type_ is None else fit(names, value, type_, expr.span)


def _common(op: str, left: Scalar | None, right: Scalar | None) -> Scalar | None:
    """Return the type of both operands: the wider one, or that of the one that has a type; None if there is none."""
    if right is None or left == right or op in ("<<", ">>"):
        return left
    if left is None or widens(left, right):
        return right
    return left if widens(right, left) else None


def _exact(names: Names, expr: syntax.Binary, a: int, b: int, type_: IntType | None) -> int | None:
    width = type_.bits if type_ else 64
    if expr.op in ("/", "%") and b == 0:
        names.report.error("G0212", "division by zero in a constant", expr.span)
        return None
    if expr.op in ("<<", ">>") and not 0 <= b < width:
        names.report.error("G0212", f"a shift by {b} in a constant; the width is {width}", expr.span)
        return None
    return arithmetic(expr.op, a, b)


def arithmetic(op: str, a: int, b: int) -> int:
    """Return `a op b` in the integers; division truncates, `b` is not zero there and in range for shifts."""
    match op:
        case "+":
            return a + b
        case "-":
            return a - b
        case "*":
            return a * b
        case "/":
            return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
        case "%":
            return abs(a) % abs(b) * (-1 if a < 0 else 1)
        case "&":
            return a & b
        case "|":
            return a | b
        case "^":
            return a ^ b
        case "<<":
            return a << b
        case _:
            return a >> b


def compare(op: str, a: int, b: int) -> bool:
    """Return `a op b` for a comparison."""
    match op:
        case "==":
            return a == b
        case "!=":
            return a != b
        case "<":
            return a < b
        case "<=":
            return a <= b
        case ">":
            return a > b
        case _:
            return a >= b


def convert(value: int, to: Scalar) -> int:
    """Return `value as to`: truncated, or for bool whether it is not zero."""
    match to:
        case BoolType():
            return int(value != 0)
        case EnumType(repr=repr_):
            return repr_.wrap(value)
        case IntType():
            return to.wrap(value)


def _length(names: Names, expr: syntax.Call) -> Constant | None:
    if len(expr.arguments) == 1 and isinstance(expr.arguments[0], syntax.Name):
        match names.find(expr.arguments[0].name):
            case typed.ConstTable(type=ArrayType(length=length)) | typed.StateVariable(type=ArrayType(length=length)):
                return Constant(length, None)
            case Poison():
                return None
    names.report.error("G0208", "`len` takes one array", expr.span, "not the name of a table or state array")
    return None


def _element(names: Names, expr: syntax.Index, base: str, index: syntax.Expr) -> Constant | None:
    match names.find(base):
        case typed.ConstTable(type=ArrayType(element=element, length=length), initial=initial):
            if isinstance(element, ArrayType | StructType):
                not_constant(names, expr, f"an element is a `{element}`")
                return None
            at = integer(names, index, 0, length - 1, "this index")
            if at is None:
                return None
            raw = initial[at * element.size : (at + 1) * element.size]
            return Constant(convert(int.from_bytes(raw, "little"), element), element)
        case Poison():
            return None
        case None:
            names.report.error("G0201", f"there is no `{base}` here", expr.base.span, "not found",
                               helps=suggest(base, names.names()))  # fmt: skip
        case symbol:
            not_constant(names, expr, f"`{base}` is {describe(symbol)}")
    return None


def _cast_help(names: Names, expr: syntax.Expr, have: Scalar, want: Scalar) -> tuple[str, ...]:
    return (cast_help(names.report, expr, want),) if have != want else ()


def cast_help(report: Reporter, expr: syntax.Expr, want: Scalar) -> str:
    """Return the help line that shows how to convert an expression."""
    text = report.text(expr.span)
    if isinstance(expr, syntax.Binary | syntax.Unary) and not text.startswith("("):
        text = f"({text})"
    return f"write `{text} as {want}`"


# --- bytes -----------------------------------------------------------------------------------------------------------


def encode(names: Names, expr: syntax.Expr, type_: Type, *, short: bool = False) -> bytes | None:
    """Return the bytes of a constant scalar, array literal or struct literal, or None if that was reported.

    In a struct literal what is not named is zero, and so an array there may be `short`.
    """
    match type_, expr:
        case StructType(), syntax.StructLiteral():
            return _encode_struct(names, expr, type_)
        case StructType(), _:
            names.report.error("G0204", f"expected a `{type_}`", expr.span, f"write `{type_} {{ .. }}`")
            return None
        case ArrayType(), syntax.ArrayLiteral():
            return _encode_array(names, expr, type_, short)
        case ArrayType(), _:
            names.report.error("G0204", f"expected `{type_}`", expr.span, "write `[..]`")
            return None
        case ((IntType() | BoolType() | EnumType()), _):
            constant = evaluate(names, expr, type_)
            return None if constant is None else encode_scalar(constant.value, type_)
    return None


def encode_scalar(value: int, type_: Scalar) -> bytes:
    """Return the little-endian bytes of a scalar."""
    return (value & ((1 << 8 * type_.size) - 1)).to_bytes(type_.size, "little")


def _encode_array(names: Names, expr: syntax.ArrayLiteral, type_: ArrayType, short: bool) -> bytes | None:
    elements = [encode(names, element, type_.element, short=short) for element in expr.elements]
    if any(element is None for element in elements):
        return None
    count = element_count(names, expr, type_.length, short=short)
    if count is None:
        return None
    parts = [element for element in elements if element is not None]
    given = parts[0] * count if expr.repeat is not None else b"".join(parts)
    return given.ljust(type_.size, b"\0")


def element_count(names: Names, expr: syntax.ArrayLiteral, length: int, *, short: bool = False) -> int | None:
    """Return how many elements a literal gives, which must be `length` (or, if `short`, at most that many written
    out); None if that was reported."""
    count: int | None = len(expr.elements)
    if expr.repeat is not None:
        count = integer(names, expr.repeat, 1, GREATEST, "the number of elements")
    if count is not None and count != length and not (short and expr.repeat is None and count < length):
        names.report.error("G0210", f"expected {length} elements, found {count}", expr.span, f"has {count}")
        return None
    return count


def _encode_struct(names: Names, expr: syntax.StructLiteral, type_: StructType) -> bytes | None:
    if not check_literal_name(names, expr, type_):
        return None
    content = bytearray(type_.size)
    sound = True
    for given in unique_fields(names, expr, type_):
        field = type_.field(given.name.name)
        part = encode(names, given.value, field.type, short=True) if field else None
        if field is None or part is None:
            sound = False
            continue
        content[field.offset : field.offset + field.type.size] = part
    return bytes(content) if sound else None


def check_literal_name(names: Names, expr: syntax.StructLiteral, type_: StructType) -> bool:
    """Tell whether a struct literal is one of `type_`, reporting it if not."""
    if expr.name.name == type_.name:
        return True
    match names.find(expr.name.name):
        case StructName(type=other):
            names.report.error("G0204", f"expected a `{type_}`, found a `{other}`", expr.name.span,
                               f"expected `{type_}`")  # fmt: skip
        case _:
            report_no_struct(names, expr.name, (type_.name,))
    return False


def report_no_struct(names: Names, name: syntax.Ident, candidates: Iterable[str]) -> None:
    """Report that a name is not that of a struct."""
    match names.find(name.name):
        case None:
            names.report.error("G0203", f"there is no struct `{name.name}`", name.span, "not found",
                               helps=suggest(name.name, candidates))  # fmt: skip
        case Poison():
            pass
        case symbol:
            names.report.error("G0203", f"`{name.name}` is {describe(symbol)}, not a struct", name.span)


def unique_fields(
    names: Names, expr: syntax.StructLiteral, type_: StructType
) -> list[syntax.FieldValue]:  # fmt: skip
    """Return the fields of a literal, reporting those that its struct lacks or that are given twice."""
    seen: dict[str, Span] = {}
    for given in expr.fields:
        name = given.name.name
        if type_.field(name) is None:
            names.report.error("G0205", f"`{type_}` has no field `{name}`", given.name.span, "no such field",
                               helps=suggest(name, (f.name for f in type_.fields)))  # fmt: skip
        elif name in seen:
            names.report.error("G0202", f"`{name}` is given twice", given.name.span, "given again here")
        seen[name] = given.name.span
    return list(expr.fields)
