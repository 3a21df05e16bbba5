"""Expressions and the places they read: every scalar in one i64 (a bool in an i1), extended by its type.

No instruction made here can be undefined in LLVM's sense, whatever the operands:

- never `nsw`, `nuw`, `exact` or `inbounds`;
- shift amounts are masked, since a shift by the width or more is poison;
- a division stands behind a branch on its divisor. `udiv x, 0` is undefined, so a select *after* it would come too
  late: the optimiser may conclude that the divisor is not zero. INT_MIN / -1 likewise.

Work narrower than 64 bits is done so that its result is extended again: `+ - * << ~ -` in 32-bit instructions for 32
bits, and in 64 bits with a truncation for 8 and 16; `/ % >> & | ^` of extended operands need no narrow instruction.
Divisions are 64 bits wide even for u32, because LLVM turns a 32-bit division by a constant into a multiplication in
which no verifier sees that `x % 31` is below 31.

A truncated value is made opaque to LLVM. It else masks one copy for the comparison in `if i < 5` and another one for
the access in `a[i]`, and no verifier sees the bound in the index; and it turns `~x < 5` into a comparison of x.
"""

from __future__ import annotations

from grafting import typed
from grafting.checking.facts import memory_key
from grafting.diagnostics import InternalError
from grafting.lowering.frame import Address, Frame
from grafting.lowering.ir import FALSE, TRUE, Flag, Label, Number, Pointer, constant
from grafting.types import ArrayType, BoolType, IntType, Scalar, register_type

# --- the two kinds of scalar -----------------------------------------------------------------------------------------


def scalar(f: Frame, expr: typed.Expr) -> Number | Flag:
    """Evaluate an expression; the result is a Flag if its type is bool, else a Number."""
    return flag(f, expr) if isinstance(expr.type, BoolType) else number(f, expr)


def number(f: Frame, expr: typed.Expr) -> Number:
    """Evaluate an expression of a numeric type."""
    match expr:
        case typed.Literal(literal):
            return constant(literal)
        case typed.Read(place, type_):
            return Number(_read(f, place, type_))
        case typed.MessageField(name):
            f.ir.at(expr.span)
            return Number(f.loads.get((name, 0, expr.type), lambda: _field(f, expr)))
        case typed.Now():
            f.ir.at(expr.span)
            return f.call("ktime_get_ns")
        case typed.Negate(operand, type_):
            value = number(f, operand)
            f.ir.at(expr.span)
            return _narrowed(f, "sub", constant(0), value, type_)
        case typed.Invert(operand, type_):
            value = number(f, operand)
            f.ir.at(expr.span)
            return f.ir.opaque(_narrowed(f, "xor", value, constant(-1), type_))
        case typed.Arithmetic(op, left, right, type_):
            first = number(f, left)
            return arithmetic(f, op, first, right, type_, expr)
        case typed.Conversion(operand, type_):
            return _convert(f, operand, type_, expr)
        case typed.Inlined():
            return Number(_call(f, expr))
        case _:
            raise InternalError(f"{type(expr).__name__} of type {expr.type} is not a number")


def flag(f: Frame, expr: typed.Expr) -> Flag:
    """Evaluate an expression of type bool."""
    match expr:
        case typed.Literal(literal):
            return TRUE if literal else FALSE
        case typed.Read(place, type_):
            return Flag(_read(f, place, type_))
        case typed.Comparison(op, left, right):
            return _compare(f, op, left, right, expr)
        case typed.Conversion(operand):
            if isinstance(operand.type, BoolType):
                return flag(f, operand)
            value = number(f, operand)
            f.ir.at(expr.span)
            return f.ir.flag(f"icmp ne i64 {value}, 0")
        case typed.Inlined():
            return Flag(_call(f, expr))
        case typed.Not(operand):
            negated = flag(f, operand)
            f.ir.at(expr.span)
            return f.ir.flag(f"xor i1 {negated}, true")
        case typed.Logical():
            return _logical(f, expr)
        case _:
            raise InternalError(f"{type(expr).__name__} of type {expr.type} is not a bool")


def branch(f: Frame, expr: typed.Expr, yes: Label, no: Label) -> None:
    """Jump to `yes` or `no` by a condition; `&&`, `||` and `!` become control flow."""
    match expr:
        case typed.Not(operand):
            branch(f, operand, no, yes)
        case typed.Logical(op, left, right):
            more = f.ir.label("more")
            if op == "&&":
                branch(f, left, more, no)
            else:
                branch(f, left, yes, more)
            f.ir.begin(more)
            branch(f, right, yes, no)
        case _:
            condition = flag(f, expr)
            f.ir.at(expr.span)
            f.ir.branch(condition, yes, no)


def _logical(f: Frame, expr: typed.Logical) -> Flag:
    yes, no, end = f.ir.label("yes"), f.ir.label("no"), f.ir.label("end")
    branch(f, expr, yes, no)
    f.ir.begin(yes)
    f.ir.jump(end)
    f.ir.begin(no)
    f.ir.begin(end)
    return Flag(f.ir.phi("i1", ("true", yes), ("false", no)))


def _call(f: Frame, expr: typed.Inlined) -> str:
    slot = f.inline(f, expr.function, expr.arguments)
    if slot is None:
        raise InternalError(f"the value of function {expr.function.name}, which has none, is used")
    return f.ir.narrow(f"load {_register(expr.type)}, ptr {slot}")


def _register(type_: Scalar) -> str:
    return "i1" if isinstance(type_, BoolType) else "i64"


# --- arithmetic ------------------------------------------------------------------------------------------------------

_PLAIN = {"+": "add", "-": "sub", "*": "mul", "&": "and", "|": "or", "^": "xor"}
_CLOSED = frozenset("&|^")  # of two extended operands these are extended


def arithmetic(
    f: Frame, op: str, left: Number, right: typed.Expr, type_: IntType, whole: typed.Expr | typed.Stmt
) -> Number:
    """Return `left op right`, `right` being evaluated here, wrapped to `type_`; located at `whole`."""
    if op in ("<<", ">>"):
        amount = _shift_amount(f, right, type_)
        f.ir.at(whole.span)
        if op == "<<":
            return _narrowed(f, "shl", left, amount, type_)
        return f.ir.number(f"{'ashr' if type_.signed else 'lshr'} i64 {left}, {amount}")
    second = number(f, right)
    f.ir.at(whole.span)
    if op in ("/", "%"):
        return _divide(f, op, left, second, type_)
    if op in _CLOSED:
        return f.ir.number(f"{_PLAIN[op]} i64 {left}, {second}")
    return _narrowed(f, _PLAIN[op], left, second, type_)


def _shift_amount(f: Frame, right: typed.Expr, type_: IntType) -> Number:
    mask = type_.bits - 1
    if isinstance(right, typed.Literal):
        return constant(right.value & mask)
    amount = number(f, right)
    f.ir.at(right.span)
    return f.ir.number(f"and i64 {amount}, {mask}")


def _narrowed(f: Frame, instruction: str, left: Number, right: Number, type_: IntType) -> Number:
    """Return the result of a wrapping instruction, extended again."""
    if type_.bits != 32:
        return wrap(f, f.ir.number(f"{instruction} i64 {left}, {right}"), type_)
    first, second = (f.ir.narrow(f"trunc i64 {operand} to i32") for operand in (left, right))
    result = f.ir.narrow(f"{instruction} i32 {first}, {second}")
    return f.ir.number(f"{'sext' if type_.signed else 'zext'} i32 {result} to i64")


def wrap(f: Frame, value: Number, type_: IntType) -> Number:
    """Return `value` truncated to the width of `type_` and extended by its signedness."""
    if type_.bits == 64:
        return value
    if _is_literal(value):
        return constant(type_.wrap(int(value)))
    narrow = f.ir.narrow(f"trunc i64 {value} to i{type_.bits}")
    return f.ir.opaque(f.ir.number(f"{'sext' if type_.signed else 'zext'} i{type_.bits} {narrow} to i64"))


def _divide(f: Frame, op: str, left: Number, right: Number, type_: IntType) -> Number:
    """x / 0 = 0, x % 0 = x, INT_MIN / -1 = INT_MIN, INT_MIN % -1 = 0: decided before the division."""
    by_zero = constant(0) if op == "/" else left
    if right == "0":
        return by_zero
    if type_.signed and right == "-1":
        return _over_minus_one(f, op, left, type_)
    if _is_literal(right):
        return _quotient(f, op, left, right, type_)
    zero, other, end = f.ir.label("zero"), f.ir.label("nonzero"), f.ir.label("quotient")
    f.ir.branch(f.ir.flag(f"icmp eq i64 {right}, 0"), zero, other)
    f.ir.begin(zero)
    f.ir.jump(end)
    f.ir.begin(other)
    incoming: list[tuple[str, Label]] = [(by_zero, zero)]
    if type_.signed and type_.bits == 64:
        minus, divide = f.ir.label("minus"), f.ir.label("divide")
        f.ir.branch(f.ir.flag(f"icmp eq i64 {right}, -1"), minus, divide)
        f.ir.begin(minus)
        incoming.append((_over_minus_one(f, op, left, type_), minus))
        f.ir.jump(end)
        f.ir.begin(divide)
    incoming.append((_quotient(f, op, left, right, type_), f.ir.here))
    f.ir.begin(end)
    return Number(f.ir.phi("i64", *incoming))


def _over_minus_one(f: Frame, op: str, left: Number, type_: IntType) -> Number:
    """`left / -1` or `left % -1`, in 64 bits undefined for the least value."""
    return constant(0) if op == "%" else _narrowed(f, "sub", constant(0), left, type_)


def _quotient(f: Frame, op: str, left: Number, right: Number, type_: IntType) -> Number:
    """A division whose operands are known to be fine. Only narrow INT_MIN / -1 leaves its range."""
    sign = "s" if type_.signed else "u"
    result = f.ir.number(f"{sign}{'div' if op == '/' else 'rem'} i64 {left}, {right}")
    return wrap(f, result, type_) if type_.signed and op == "/" else result


def _is_literal(operand: Number) -> bool:
    return not operand.startswith("%")


_CONDITIONS = {"==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}


def _compare(f: Frame, op: str, left: typed.Expr, right: typed.Expr, whole: typed.Comparison) -> Flag:
    condition = _CONDITIONS[op]
    if isinstance(left.type, BoolType):
        first, second = (_widened(f, flag(f, left)), _widened(f, flag(f, right)))
        signed = False
    else:
        first, second = number(f, left), number(f, right)
        register = register_type(left.type)
        signed = isinstance(register, IntType) and register.signed
    if condition not in ("eq", "ne"):
        condition = ("s" if signed else "u") + condition
    f.ir.at(whole.span)
    return f.ir.flag(f"icmp {condition} i64 {first}, {second}")


def _widened(f: Frame, value: Flag) -> Number:
    return f.ir.number(f"zext i1 {value} to i64")


def _convert(f: Frame, operand: typed.Expr, to: Scalar, whole: typed.Expr) -> Number:
    target = register_type(to)
    source = register_type(operand.type)
    if isinstance(source, BoolType) or isinstance(target, BoolType):
        value = flag(f, operand)
        f.ir.at(whole.span)
        return _widened(f, value)
    result = number(f, operand)
    if target.minimum <= source.minimum and source.maximum <= target.maximum:
        return result
    f.ir.at(whole.span)
    return wrap(f, result, target)


# --- places ----------------------------------------------------------------------------------------------------------


def body_length(f: Frame) -> Number:
    """Return the length of the message body, bytes.

    LLVM is kept from narrowing it: the verifier knows the difference of two addresses, not that of their lower halves.
    """
    ends = [
        f.ir.number(f"ptrtoint ptr {pointer} to i64")
        for pointer in (f.context_pointer("data_end"), f.context_pointer("data"))
    ]
    return f.ir.opaque(f.ir.number(f"sub i64 {ends[0]}, {ends[1]}"))


def address(f: Frame, place: typed.Place) -> Address:
    """Return where `place` is; its indices are evaluated from left to right, and are known to be in range."""
    here = root_address(f, place.root)
    for step in place.steps:
        match step:
            case typed.FieldStep(offset):
                here = here.plus(offset)
            case typed.IndexStep(index, array):
                here = element(f, here, number(f, index), array)
    f.ir.at(place.span)
    return here


def root_address(
    f: Frame, root: typed.Variable | typed.ViewVariable | typed.StateVariable | typed.ConstTable
) -> Address:
    """Return where a variable is."""
    match root:
        case typed.Variable():
            return Address(f.local(root))
        case typed.ViewVariable():
            return f.views[root]
        case _:
            return Address(Pointer(f.symbols[root]))


def element(f: Frame, base: Address, index: Number, array: ArrayType) -> Address:
    """Return the address of an element of the array at `base`."""
    if _is_literal(index):
        return base.plus(int(index) * array.element.size)
    scaled = index if array.element.size == 1 else f.ir.number(f"mul i64 {index}, {array.element.size}")
    return Address(f.ir.offset(base.base, scaled), base.offset)


def _read(f: Frame, place: typed.Place, type_: Scalar) -> str:
    if isinstance(place.root, typed.Variable) and not place.steps:
        return f.ir.narrow(f"load {_register(type_)}, ptr {f.local(place.root)}")
    key = memory_key(place)
    if key is None:
        return load(f, address(f, place), type_)
    f.ir.at(place.span)
    return f.loads.get(key, lambda: _load_named(f, place, type_))


def _load_named(f: Frame, place: typed.Place, type_: Scalar) -> str:
    value = load(f, address(f, place), type_)
    if not isinstance(type_, BoolType):
        f.names.read(place, Number(value))
    return value


def _field(f: Frame, field: typed.MessageField) -> Number:
    value = body_length(f) if field.name == "len" else f.context_field(field.name)
    f.names.field(field, value)
    return value


def load(f: Frame, at: Address, type_: Scalar) -> Number | Flag:
    """Load a scalar from memory."""
    register = register_type(type_)
    place = f.pointer(at)
    if isinstance(register, BoolType):
        byte = f.ir.narrow(f"load i8, ptr {place}, align 1")
        return f.ir.flag(f"icmp ne i8 {byte}, 0")
    if register.bits == 64:
        return f.ir.number(f"load i64, ptr {place}, align 8")
    narrow = f.ir.narrow(f"load i{register.bits}, ptr {place}, align {register.align}")
    return f.ir.number(f"{'sext' if register.signed else 'zext'} i{register.bits} {narrow} to i64")


def store(f: Frame, at: Address, value: Number | Flag, type_: Scalar) -> None:
    """Store a scalar to memory."""
    register = register_type(type_)
    bits = register.size * 8
    if isinstance(register, BoolType):
        stored = f.ir.narrow(f"zext i1 {value} to i8")
    elif bits == 64:
        stored = value
    else:
        stored = f.ir.narrow(f"trunc i64 {value} to i{bits}")
    f.ir.effect(f"store i{bits} {stored}, ptr {f.pointer(at)}, align {register.align}")


def assign(f: Frame, variable: typed.Variable, value: Number | Flag) -> None:
    """Set a scalar local."""
    kind = "i1" if isinstance(variable.type, BoolType) else "i64"
    f.ir.effect(f"store {kind} {value}, ptr {f.local(variable)}")
