"""The types of the language and their layout in memory.

Little-endian, natural alignment, no implicit padding: a field that would need padding is an error, so that the layout
is what the source shows. Only `IntType`, `BoolType` and `EnumType` values live in registers; arrays live in a local of
at most 256 bytes, a state variable or a message; structs live in messages, maps and state only.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IntType:
    """u8 .. u64, i8 .. i64."""

    bits: int
    signed: bool

    @property
    def size(self) -> int:
        """Bytes."""
        return self.bits // 8

    @property
    def align(self) -> int:
        """Bytes."""
        return self.size

    @property
    def minimum(self) -> int:
        """The least value."""
        return -(1 << self.bits - 1) if self.signed else 0

    @property
    def maximum(self) -> int:
        """The greatest value."""
        return (1 << self.bits - self.signed) - 1

    def wrap(self, value: int) -> int:
        """Return the value of this type that is congruent to `value` modulo 2**bits."""
        value &= (1 << self.bits) - 1
        return value - (1 << self.bits) if value > self.maximum else value

    def __str__(self) -> str:
        return f"{'i' if self.signed else 'u'}{self.bits}"


@dataclass(frozen=True, slots=True)
class BoolType:
    """One byte in memory, 0 or 1; any non-zero byte read from a message is true."""

    size = 1
    align = 1

    def __str__(self) -> str:
        return "bool"


@dataclass(frozen=True, slots=True)
class EnumType:
    """Named values of an integer type; `variants` in order of declaration. A message may carry other values."""

    name: str
    repr: IntType
    variants: tuple[tuple[str, int], ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return self.repr.size

    @property
    def align(self) -> int:
        """Bytes."""
        return self.repr.align

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class ArrayType:
    """`length` elements, one after the other."""

    element: Type
    length: int

    @property
    def size(self) -> int:
        """Bytes."""
        return self.element.size * self.length

    @property
    def align(self) -> int:
        """Bytes."""
        return self.element.align

    def __str__(self) -> str:
        return f"[{self.element}; {self.length}]"


@dataclass(frozen=True, slots=True)
class FieldType:
    """A field of a struct, `offset` in bytes from its start."""

    name: str
    type: Type
    offset: int


@dataclass(frozen=True, slots=True)
class StructType:
    """Fields in order without gaps; the size is a multiple of the alignment."""

    name: str
    fields: tuple[FieldType, ...]
    size: int
    align: int

    def field(self, name: str) -> FieldType | None:
        """Return the field called `name`, or None."""
        return next((f for f in self.fields if f.name == name), None)

    def __str__(self) -> str:
        return self.name


Scalar = IntType | BoolType | EnumType
Type = IntType | BoolType | EnumType | ArrayType | StructType

U8, U16, U32, U64 = (IntType(bits, False) for bits in (8, 16, 32, 64))
I8, I16, I32, I64 = (IntType(bits, True) for bits in (8, 16, 32, 64))
BOOL = BoolType()
BUILTIN: dict[str, Scalar] = {str(t): t for t in (U8, U16, U32, U64, I8, I16, I32, I64, BOOL)}


def widens(have: Type, want: Type) -> bool:
    """Whether every value of `have` is one of the wider number type `want`, so that nothing is lost on the way."""
    if not isinstance(have, IntType) or not isinstance(want, IntType):
        return False
    return have.bits < want.bits and (want.signed or not have.signed)


def register_type(type_: Scalar) -> IntType | BoolType:
    """Return the number type in which a scalar is computed: an enum's representation, else the type itself."""
    return type_.repr if isinstance(type_, EnumType) else type_
