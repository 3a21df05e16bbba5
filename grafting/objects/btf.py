"""BTF, the compact type information of BPF objects: the section `.BTF`, read and written.

A `Btf` is a tuple of types; a type refers to others by *number*, its place counted from 1, and 0 is `void`. We read
it for one purpose, the shape of maps (`grafting.objects.map_definitions`), and write it so that libbpf, bpftool and
llvm-objdump understand our objects.

Guarantee: `parse` either raises GraftError G0530 with the byte concerned, or every type number in the result exists;
cycles are possible (a list node points to itself), so whoever follows references counts its steps, as `Btf` does.
`parse(write(btf)) == btf`.

Source: Linux, Documentation/bpf/btf.rst, sections 2 and 3.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from grafting import limits
from grafting.objects.elf import Strings, Where

MAGIC: Final = 0xEB9F
_HEADER = struct.Struct("<HBBIIIII")  # magic, version, flags, header length, types: start, length, strings likewise
_TYPE = struct.Struct("<III")  # name, info, size or type
_WORD, _PAIR, _TRIPLE = struct.Struct("<I"), struct.Struct("<II"), struct.Struct("<III")
_ENUM_VALUE = struct.Struct("<Ii")


class Kind(IntEnum):
    """What a type is; the numbers are BTF's."""

    INT = 1
    POINTER = 2
    ARRAY = 3
    STRUCT = 4
    UNION = 5
    ENUM = 6
    FORWARD = 7
    TYPEDEF = 8
    VOLATILE = 9
    CONST = 10
    RESTRICT = 11
    FUNCTION = 12
    PROTOTYPE = 13
    VARIABLE = 14
    DATA_SECTION = 15
    FLOAT = 16
    DECLARATION_TAG = 17
    TYPE_TAG = 18
    ENUM64 = 19


_KINDS: Final = frozenset(Kind)


@dataclass(frozen=True, slots=True)
class Int:
    """An integer of `size` bytes; `encoding` is 0, or 1 signed, 2 char, 4 bool; of it, `bits` at `offset` count."""

    name: str
    size: int
    encoding: int = 0
    bits: int = 0
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Reference:
    """A pointer to type `to`, or `to` under a name or qualifier: which of them, `kind` says."""

    kind: Kind
    to: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class Array:
    """`count` elements; `index` is the type of the index, which nobody uses."""

    element: int
    index: int
    count: int


@dataclass(frozen=True, slots=True)
class Member:
    """A field; `offset` in bits, with the width of a bit field in its upper byte if the struct's `flag` is set."""

    name: str
    type: int
    offset: int


@dataclass(frozen=True, slots=True)
class Composite:
    """A struct or union of `size` bytes."""

    kind: Kind
    name: str
    size: int
    members: tuple[Member, ...]
    flag: bool = False


@dataclass(frozen=True, slots=True)
class Enumeration:
    """Named values of `size` bytes; ENUM64 writes them in 64 bits. `flag`: signed."""

    kind: Kind
    name: str
    size: int
    values: tuple[tuple[str, int], ...]
    flag: bool = False


@dataclass(frozen=True, slots=True)
class Plain:
    """A forward declaration (`value` unused, `flag`: of a union) or a float (`value` is its size in bytes)."""

    kind: Kind
    name: str
    value: int = 0
    flag: bool = False


@dataclass(frozen=True, slots=True)
class Prototype:
    """The type of a function: its result and (name, type) of each parameter."""

    result: int
    parameters: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Function:
    """A function of type `prototype`; `linkage` is 0 static, 1 global, 2 extern."""

    name: str
    prototype: int
    linkage: int = 1


@dataclass(frozen=True, slots=True)
class Variable:
    """A global variable; `linkage` as for functions."""

    name: str
    type: int
    linkage: int = 1


@dataclass(frozen=True, slots=True)
class DataSection:
    """The variables of a section: (type number of the variable, offset, size), in bytes."""

    name: str
    size: int
    variables: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class DeclarationTag:
    """A remark on type `to`, or on its component number `component` (-1: on the whole)."""

    name: str
    to: int
    component: int


Type = (
    Int | Reference | Array | Composite | Enumeration | Plain | Prototype | Function | Variable | DataSection
    | DeclarationTag
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Btf:
    """Types 1, 2, .. in order."""

    types: tuple[Type, ...]

    def type(self, number: int) -> Type | None:
        """Return the type with this number; None for 0 (`void`) and for numbers that do not exist."""
        return self.types[number - 1] if 0 < number <= len(self.types) else None

    def resolve(self, number: int) -> Type | None:
        """Return the type behind names and qualifiers; None for `void`, and for a chain that has no end."""
        for _ in range(limits.TREE_DEPTH):
            found = self.type(number)
            if not isinstance(found, Reference) or found.kind is Kind.POINTER:
                return found
            number = found.to
        return None

    def size(self, number: int) -> int | None:
        """Return the bytes that a value of a type fills; None if it has no size."""
        scale = 1
        for _ in range(limits.TREE_DEPTH):
            match self.type(number):
                case Int(size=size) | Composite(size=size) | Enumeration(size=size):
                    return scale * size
                case Reference(Kind.POINTER):
                    return scale * 8
                case Reference(to=to):
                    number = to
                case Plain(kind=Kind.FLOAT, value=size):
                    return scale * size
                case Array(element, _, count):
                    scale, number = scale * count, element
                case _:
                    return None
        return None

    def name(self, number: int) -> str:
        """Return the nearest name of a type, or the empty string."""
        for _ in range(limits.TREE_DEPTH):
            found = self.type(number)
            match found:
                case Reference(kind, to, "") if kind is not Kind.POINTER:
                    number = to
                case Int(name=name) | Composite(name=name) | Enumeration(name=name) | Reference(name=name):
                    return name
                case _:
                    return ""
        return ""

    def data_section(self, name: str) -> DataSection | None:
        """Return the first description of the section called `name`, or None."""
        return next((t for t in self.types if isinstance(t, DataSection) and t.name == name), None)


# --- reading ---------------------------------------------------------------------------------------------------------


def parse(data: bytes, where: Where) -> Btf:
    """Return the types in a `.BTF` section; raises GraftError G0530 at `where`'s section."""
    return _Parser(data, where).btf()


def header(data: bytes, where: Where, code: str) -> tuple[int, int]:
    """Check what `.BTF` and `.BTF.ext` begin with; return (header length, bytes of data)."""
    if len(data) > limits.BTF_BYTES:
        raise where.error(code, f"{len(data)} bytes of type information, at most {limits.BTF_BYTES}")
    if len(data) < 8:
        raise where.error(code, "cut short: no header")
    magic, version, flags, length = struct.unpack_from("<HBBI", data)
    if magic != MAGIC or version != 1 or flags:
        raise where.error(code, f"unknown format: magic {magic:#x}, version {version}, flags {flags}")
    if length > len(data):
        raise where.error(code, f"a header of {length} bytes in a section of {len(data)}")
    return length, len(data)


def part(data: bytes, start: int, length: int, where: Where, code: str, what: str) -> bytes:
    """Return `length` bytes at `start`; raises GraftError `code` if they are not there."""
    if start + length > len(data):
        raise where.error(code, f"{length} bytes of {what} at {start:#x} reach past the end of {len(data)} bytes")
    return data[start : start + length]


def strings_of(data: bytes, where: Where) -> bytes:
    """Return the string part of a `.BTF` section, which `.BTF.ext` shares. Raises GraftError G0530."""
    length, _ = header(data, where, "G0530")
    if length < _HEADER.size:
        raise where.error("G0530", f"a header of {length} bytes, at least {_HEADER.size} are needed")
    *_, start, size = _HEADER.unpack_from(data)
    strings = part(data, length + start, size, where, "G0530", "strings")
    if strings[:1] != b"\0" or strings[-1:] != b"\0":
        raise where.error("G0530", "the strings do not begin and end with a NUL")
    return strings


class _Parser:
    """Reads types one after the other."""

    def __init__(self, data: bytes, where: Where) -> None:
        self.where = where
        self.strings = strings_of(data, where)
        length, _ = header(data, where, "G0530")
        start, size = _PAIR.unpack_from(data, 8)
        self.start = length + start
        self.data = part(data, self.start, size, where, "G0530", "types")
        self.at = 0
        self.references: list[tuple[int, int]] = []  # (byte, type number) to check at the end

    def error(self, message: str, at: int | None = None) -> Exception:
        offset = self.start + (self.at if at is None else at)
        return Where(self.where.filename, self.where.section, offset).error("G0530", message)

    def btf(self) -> Btf:
        types: list[Type] = []
        while self.at < len(self.data):
            if len(types) == limits.BTF_TYPES:
                raise self.error(f"more than {limits.BTF_TYPES} types")
            types.append(self.type())
        for at, number in self.references:
            if number > len(types):
                raise self.error(f"type number {number} of {len(types)}", at)
        return Btf(tuple(types))

    def take(self, record: struct.Struct) -> tuple[int, ...]:
        if self.at + record.size > len(self.data):
            raise self.error("cut short within a type")
        values = record.unpack_from(self.data, self.at)
        self.at += record.size
        return values

    def many(self, record: struct.Struct, count: int) -> Iterator[tuple[int, ...]]:
        for _ in range(count):
            yield self.take(record)

    def text(self, start: int) -> str:
        end = self.strings.find(b"\0", start, start + limits.OBJECT_NAME_BYTES + 1)
        if end < 0:
            raise self.error(f"no name at {start:#x} of the strings")
        return self.strings[start:end].decode("utf-8", "replace")

    def ref(self, number: int) -> int:
        self.references.append((self.at, number))
        return number

    def type(self) -> Type:
        name_at, info, value = self.take(_TYPE)
        count, number, flag = info & 0xFFFF, info >> 24 & 0x1F, bool(info >> 31)
        if number not in _KINDS:
            raise self.error(f"unknown kind of type {number}", self.at - _TYPE.size)
        kind, name = Kind(number), self.text(name_at)
        match kind:
            case Kind.INT:
                (word,) = self.take(_WORD)
                return Int(name, value, word >> 24 & 0xF, word & 0xFF, word >> 16 & 0xFF)
            case Kind.ARRAY:
                element, index, length = self.take(_TRIPLE)
                return Array(self.ref(element), self.ref(index), length)
            case Kind.STRUCT | Kind.UNION:
                members = tuple(Member(self.text(n), self.ref(t), o) for n, t, o in self.many(_TRIPLE, count))
                return Composite(kind, name, value, members, flag)
            case Kind.ENUM:
                values = tuple((self.text(n), v) for n, v in self.many(_ENUM_VALUE, count))
                return Enumeration(kind, name, value, values, flag)
            case Kind.ENUM64:
                wide = tuple((self.text(n), _wide(low, high, flag)) for n, low, high in self.many(_TRIPLE, count))
                return Enumeration(kind, name, value, wide, flag)
            case Kind.FORWARD | Kind.FLOAT:
                return Plain(kind, name, value, flag)
            case Kind.PROTOTYPE:
                parameters = tuple((self.text(n), self.ref(t)) for n, t in self.many(_PAIR, count))
                return Prototype(self.ref(value), parameters)
            case Kind.FUNCTION:
                return Function(name, self.ref(value), count)
            case Kind.VARIABLE:
                (linkage,) = self.take(_WORD)
                return Variable(name, self.ref(value), linkage)
            case Kind.DATA_SECTION:
                variables = tuple((self.ref(t), offset, size) for t, offset, size in self.many(_TRIPLE, count))
                return DataSection(name, value, variables)
            case Kind.DECLARATION_TAG:
                (component,) = self.take(struct.Struct("<i"))
                return DeclarationTag(name, self.ref(value), component)
            case _:
                return Reference(kind, self.ref(value), name)


def _wide(low: int, high: int, signed: bool) -> int:
    value = high << 32 | low
    return value - (1 << 64) if signed and value >> 63 else value


# --- writing ---------------------------------------------------------------------------------------------------------


def write(btf: Btf, strings: Strings) -> bytes:
    """Return the `.BTF` section. `strings` may hold the texts of a `.BTF.ext` already; this adds the types' names."""
    types = b"".join(_encode(type_, strings) for type_ in btf.types)
    text = strings.finish()
    return _HEADER.pack(MAGIC, 1, 0, _HEADER.size, 0, len(types), len(types), len(text)) + types + text


def _encode(type_: Type, strings: Strings) -> bytes:
    def head(kind: Kind, name: str, value: int, count: int = 0, flag: bool = False) -> bytes:
        return _TYPE.pack(strings.add(name), flag << 31 | kind << 24 | count, value)

    match type_:
        case Int(name, size, encoding, bits, offset):
            return head(Kind.INT, name, size) + _WORD.pack(encoding << 24 | offset << 16 | bits)
        case Reference(kind, to, name):
            return head(kind, name, to)
        case Array(element, index, count):
            return head(Kind.ARRAY, "", 0) + _TRIPLE.pack(element, index, count)
        case Composite(kind, name, size, members, flag):
            rows = [_TRIPLE.pack(strings.add(m.name), m.type, m.offset) for m in members]
            return head(kind, name, size, len(members), flag) + b"".join(rows)
        case Enumeration(Kind.ENUM64, name, size, values, flag):
            rows = [_TRIPLE.pack(strings.add(n), v & 0xFFFFFFFF, v >> 32 & 0xFFFFFFFF) for n, v in values]
            return head(Kind.ENUM64, name, size, len(values), flag) + b"".join(rows)
        case Enumeration(kind, name, size, values, flag):
            rows = [_ENUM_VALUE.pack(strings.add(n), v) for n, v in values]
            return head(kind, name, size, len(values), flag) + b"".join(rows)
        case Plain(kind, name, value, flag):
            return head(kind, name, value, 0, flag)
        case Prototype(result, parameters):
            rows = [_PAIR.pack(strings.add(n), t) for n, t in parameters]
            return head(Kind.PROTOTYPE, "", result, len(parameters)) + b"".join(rows)
        case Function(name, prototype, linkage):
            return head(Kind.FUNCTION, name, prototype, linkage)
        case Variable(name, to, linkage):
            return head(Kind.VARIABLE, name, to) + _WORD.pack(linkage)
        case DataSection(name, size, variables):
            rows = [_TRIPLE.pack(*variable) for variable in variables]
            return head(Kind.DATA_SECTION, name, size, len(variables)) + b"".join(rows)
        case DeclarationTag(name, to, component):
            return head(Kind.DECLARATION_TAG, name, to) + struct.pack("<i", component)
