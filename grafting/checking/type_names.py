"""Types as written -> types, with what each place allows.

Scalars (numbers, bool, enums) live anywhere. Arrays of scalars up to 256 bytes live in locals too. Structs, and
arrays of them, live in messages, maps and state only: a local of struct type is always a view.
"""

from __future__ import annotations

from typing import Protocol

from grafting import limits, syntax
from grafting.checking import constants
from grafting.checking.reporter import Instead
from grafting.checking.scope import EnumName, Poison, StructName, describe, suggest
from grafting.diagnostics import Span
from grafting.types import BUILTIN, ArrayType, BoolType, EnumType, IntType, Scalar, StructType, Type

ELEMENTS_MAX = limits.MAP_VALUE_BYTES  # no array fits anywhere that has more bytes than the largest value

FOREIGN = {
    "usize": "u64", "size": "u64", "uintptr": "u64", "uint64": "u64", "ulong": "u64", "isize": "i64", "ssize": "i64",
    "int64": "i64", "long": "i64", "uint32": "u32", "uint": "u32", "unsigned": "u32", "int32": "i32", "int": "i32",
    "uint16": "u16", "ushort": "u16", "int16": "i16", "short": "i16", "uint8": "u8", "uchar": "u8", "char": "u8",
    "byte": "u8", "int8": "i8", "boolean": "bool", "_Bool": "bool",
}  # fmt: skip
"""Names of types in C, Rust and Go, without `_t`, on a 64-bit machine -> ours."""


class TypeNames(constants.Names, Protocol):
    """Items by name, and the names that are types."""

    def type_names(self) -> list[str]:
        """Return the names of all structs and enums."""


def resolve(names: TypeNames, tree: syntax.TypeExpr) -> Type | None:
    """Return the type as written, or None if it has an error, which is reported."""
    match tree:
        case syntax.NamedType():
            return _named(names, tree)
        case syntax.ArrayType(element=element_tree, length=length_tree):
            element = resolve(names, element_tree)
            length = constants.integer(names, length_tree, 1, ELEMENTS_MAX, "the length of an array")
            if element is None or length is None:
                return None
            array = ArrayType(element, length)
            if array.size <= limits.MAP_VALUE_BYTES:
                return array
            names.report.error("G0306", f"`{array}` has {array.size} bytes, more than {limits.MAP_VALUE_BYTES}",
                               tree.span, notes=("no message and no map value is longer",))  # fmt: skip
            return None


def resolve_scalar(names: TypeNames, tree: syntax.TypeExpr, why: str) -> Scalar | None:
    """Return a number type, bool or enum; reports anything else, `why` saying what needs one."""
    type_ = resolve(names, tree)
    if isinstance(type_, IntType | BoolType | EnumType):
        return type_
    if type_ is not None:
        names.report.error("G0204", f"{why} is a number, a bool or an enum, not `{type_}`", tree.span)
    return None


def local_type(names: TypeNames, type_: Type, span: Span) -> Scalar | ArrayType | None:
    """Return the type if a local variable may have it; reports structs and arrays that are too long."""
    match type_:
        case StructType():
            names.report.error(
                "G0313", f"a local variable cannot be a `{type_}`", span,
                notes=("structs live in messages, maps and state; a local is only ever a view of one",),
            )  # fmt: skip
            return None
        case ArrayType() if not isinstance(innermost(type_), IntType | BoolType | EnumType):
            names.report.error("G0313", f"a local array cannot have elements of type `{innermost(type_)}`", span,
                               notes=("structs live in messages, maps and state only",))  # fmt: skip
            return None
        case ArrayType() if type_.size > limits.ARRAY_LOCAL_BYTES:
            names.report.error(
                "G0306", f"`{type_}` has {type_.size} bytes; a local has at most {limits.ARRAY_LOCAL_BYTES}", span,
                notes=("all locals of a handler share one frame of 512 bytes",),
                helps=("make it a `state` variable",),
            )  # fmt: skip
            return None
        case _:
            return type_


def innermost(type_: Type) -> Type:
    """Return the type of the innermost elements of an array, or the type itself."""
    while isinstance(type_, ArrayType):
        type_ = type_.element
    return type_


def _named(names: TypeNames, tree: syntax.NamedType) -> Type | None:
    if tree.name in BUILTIN:
        return BUILTIN[tree.name]
    match names.find(tree.name):
        case StructName(type=struct):
            return struct
        case EnumName(type=enum):
            return enum
        case Poison():
            return None
        case None:
            known = FOREIGN.get(tree.name.removesuffix("_t"))
            written = (Instead(f"write `{known}`", tree.name, known),) if known else ()
            helps = written or suggest(tree.name, [*names.type_names(), *BUILTIN])
            names.report.error("G0203", f"there is no type `{tree.name}`", tree.span, "not found", helps=helps)
        case symbol:
            names.report.error("G0203", f"`{tree.name}` is {describe(symbol)}, not a type", tree.span)
    return None
