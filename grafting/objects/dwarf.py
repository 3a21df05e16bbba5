"""Where named values are, as LLVM says it in the DWARF of an object that we have just made.

The reader is for DWARF 5 as this compiler's back end writes it: one unit, each function alone in its section, so that
its addresses begin at 0 and no relocation has to be applied. It is not for objects of strangers, and pyelftools' own
reader, which could do more, takes as long as the rest of a compilation.

Understood are locations that are one register, one stack slot, an address a constant away from what is in one of
these, or a constant; a value put together from several (LLVM's way to keep `i` where only `8 * i` is left) is left
out, since nothing can be said of it by a place. Anything that does not follow the format is an InternalError.

Source: DWARF Debugging Information Format, version 5 (2017), sections 2.5, 2.6, 7.5, 7.7.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from grafting.diagnostics import InternalError
from grafting.objects.elf import Elf
from grafting.program import Constant, Place, Register, StackSlot

# Tags, attributes, forms, list entries and operators by their names in the standard.
_TAG_ARRAY, _TAG_POINTER, _TAG_SUBRANGE, _TAG_SUBPROGRAM, _TAG_VARIABLE = 0x01, 0x0F, 0x21, 0x2E, 0x34
_AT_LOCATION, _AT_NAME, _AT_HIGH_PC, _AT_COUNT, _AT_DECL_LINE, _AT_TYPE = 0x02, 0x03, 0x12, 0x37, 0x3B, 0x49
_FIXED: Final = {  # forms of a fixed number of bytes
    0x01: 8, 0x05: 2, 0x06: 4, 0x07: 8, 0x0B: 1, 0x0C: 1, 0x0E: 4, 0x11: 1, 0x12: 2, 0x13: 4, 0x14: 8, 0x17: 4,
    0x19: 0, 0x1E: 16, 0x1F: 4, 0x25: 1, 0x26: 2, 0x27: 3, 0x28: 4, 0x29: 1, 0x2A: 2, 0x2B: 3, 0x2C: 4,
}  # fmt: skip
_UNSIGNED: Final = frozenset((0x0F, 0x15, 0x1A, 0x1B, 0x22, 0x23))  # forms that are one ULEB128
_FORM_SDATA, _FORM_EXPRLOC, _FORM_IMPLICIT = 0x0D, 0x18, 0x21
_BASE_INDEX, _START_LENGTH, _PAIR = 1, 3, 4
_OP_DEREF, _OP_CONSTU, _OP_CONSTS, _OP_PLUS_UCONST, _OP_LIT, _OP_REG = 0x06, 0x10, 0x11, 0x23, 0x30, 0x50
_OP_BREG, _OP_FBREG, _OP_STACK_VALUE = 0x70, 0x91, 0x9F
_STACK = 10  # r10, the frame's end


@dataclass(frozen=True, slots=True)
class Location:
    """From byte `start` up to `end` of the function's section: what `place` holds, plus `plus`."""

    start: int
    end: int
    place: Place | Constant
    plus: int = 0


@dataclass(frozen=True, slots=True)
class Variable:
    """A local of a function: its name, the line of its declaration, its type as in the source, and where it is."""

    name: str
    line: int
    type: str
    locations: tuple[Location, ...]


@dataclass(frozen=True, slots=True)
class _Entry:
    """One debugging information entry: what we read of it."""

    tag: int
    parent: int
    attributes: Mapping[int, int | bytes]


def variables(file: Elf) -> dict[str, tuple[Variable, ...]]:
    """Return the locals of each function, by its symbol; nothing for an object without DWARF."""
    if file.named(".debug_info") is None:
        return {}
    try:
        return _Reader(file).variables()
    except (IndexError, KeyError, UnicodeDecodeError) as error:
        raise InternalError(f"DWARF that cannot be read: {error!r}") from error


class _Bytes:
    """Reads numbers from a section, one after the other."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at

    def fixed(self, size: int) -> int:
        start, self.at = self.at, self.at + size
        if self.at > len(self.data):
            raise IndexError("the end of a section")
        return int.from_bytes(self.data[start : self.at], "little")

    def unsigned(self) -> int:
        value = shift = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def signed(self) -> int:
        start = self.at
        value = self.unsigned()
        bits = 7 * (self.at - start)
        return value - (1 << bits) if value >> bits - 1 else value

    def block(self) -> bytes:
        size = self.unsigned()
        start, self.at = self.at, self.at + size
        return self.data[start : self.at]


class _Reader:
    def __init__(self, file: Elf) -> None:
        self.file = file
        self.strings = self.section(".debug_str")
        self.offsets = self.section(".debug_str_offsets")
        self.lists = self.section(".debug_loclists")
        self.addresses = self.section(".debug_addr")
        self.entries: dict[int, _Entry] = {}
        self.counts: dict[int, int] = {}  # elements, by array type

    def section(self, name: str) -> bytes:
        found = self.file.named(name)
        return found.data if found else b""

    def variables(self) -> dict[str, tuple[Variable, ...]]:
        self.entries = self.read_entries()
        for entry in self.entries.values():
            count = entry.attributes.get(_AT_COUNT)
            if entry.tag == _TAG_SUBRANGE and isinstance(count, int):
                self.counts[entry.parent] = count
        found: dict[str, tuple[Variable, ...]] = {}
        by_function: dict[int, list[_Entry]] = {}
        for entry in self.entries.values():
            if entry.tag == _TAG_VARIABLE and _AT_LOCATION in entry.attributes:
                by_function.setdefault(entry.parent, []).append(entry)
        for number, locals_ in by_function.items():
            function = self.entries[number]
            if function.tag == _TAG_SUBPROGRAM:
                found[self.name(function)] = tuple(self.variable(entry, function) for entry in locals_)
        return found

    # --- entries -----------------------------------------------------------------------------------------------------

    def read_entries(self) -> dict[int, _Entry]:
        """Return all entries of the first unit by their offset."""
        data = _Bytes(self.section(".debug_info"))
        end = data.fixed(4) + 4
        version, kind, address_size, abbreviations = (data.fixed(size) for size in (2, 1, 1, 4))
        if (version, kind, address_size) != (5, 1, 8):
            raise InternalError(f"DWARF version {version}, unit type {kind}, {address_size} bytes an address")
        shapes = self.read_shapes(abbreviations)
        entries: dict[int, _Entry] = {}
        parents = [-1]
        while data.at < end:
            offset = data.at
            code = data.unsigned()
            if not code:
                parents.pop()
                continue
            tag, children, forms = shapes[code]
            attributes = {name: self.value(data, form, implicit) for name, form, implicit in forms}
            entries[offset] = _Entry(tag, parents[-1], attributes)
            if children:
                parents.append(offset)
        return entries

    def read_shapes(self, offset: int) -> dict[int, tuple[int, int, list[tuple[int, int, int]]]]:
        """Return for each abbreviation its tag, whether it has children, and (attribute, form, implicit value)."""
        data = _Bytes(self.section(".debug_abbrev"), offset)
        shapes = {}
        while code := data.unsigned():
            tag, children = data.unsigned(), data.fixed(1)
            forms = []
            while (pair := (data.unsigned(), data.unsigned())) != (0, 0):
                forms.append((*pair, data.signed() if pair[1] == _FORM_IMPLICIT else 0))
            shapes[code] = tag, children, forms
        return shapes

    def value(self, data: _Bytes, form: int, implicit: int) -> int | bytes:
        size = _FIXED.get(form)
        if size is not None:
            return data.fixed(size)
        if form in _UNSIGNED:
            return data.unsigned()
        if form == _FORM_EXPRLOC:
            return data.block()
        if form == _FORM_SDATA:
            return data.signed()
        if form == _FORM_IMPLICIT:
            return implicit
        raise InternalError(f"DWARF form {form:#x}")

    def name(self, entry: _Entry) -> str:
        index = entry.attributes.get(_AT_NAME)
        if not isinstance(index, int):
            return ""
        start = _Bytes(self.offsets, 8 + 4 * index).fixed(4)
        return self.strings[start : self.strings.index(b"\0", start)].decode("utf-8", "surrogatepass")

    def type_name(self, entry: _Entry) -> str:
        """Return the type of a variable as the source writes it; a view, which is a pointer, has that of its target."""
        reference = entry.attributes.get(_AT_TYPE)
        if not isinstance(reference, int):
            return ""
        type_ = self.entries[reference]
        if type_.tag == _TAG_POINTER:
            return self.type_name(type_)
        if type_.tag != _TAG_ARRAY:
            return self.name(type_)
        count = self.counts[reference]
        return f"[{self.type_name(type_)}; {count}]"

    # --- places ------------------------------------------------------------------------------------------------------

    def variable(self, entry: _Entry, function: _Entry) -> Variable:
        line = entry.attributes.get(_AT_DECL_LINE, 0)
        assert isinstance(line, int)
        location = entry.attributes[_AT_LOCATION]
        if isinstance(location, bytes):
            end = function.attributes[_AT_HIGH_PC]
            assert isinstance(end, int)
            ranges = iter([(0, end, location)])
        else:
            ranges = self.ranges(location)
        found = []
        for start, end, expression in ranges:
            where = _place(expression)
            if where is not None and start < end:
                found.append(Location(start, end, *where))
        return Variable(self.name(entry), line, self.type_name(entry), tuple(found))

    def ranges(self, number: int) -> Iterator[tuple[int, int, bytes]]:
        """Yield (start, end, expression) of location list `number`, bytes from the function's start."""
        header = 12  # of .debug_loclists; the offsets that follow count from here
        data = _Bytes(self.lists, header + _Bytes(self.lists, header + 4 * number).fixed(4))
        base = 0
        while kind := data.fixed(1):
            if kind == _BASE_INDEX:
                base = self.address(data.unsigned())
                continue
            if kind == _START_LENGTH:
                start = self.address(data.unsigned())
                end = start + data.unsigned()
            elif kind == _PAIR:
                start, end = base + data.unsigned(), base + data.unsigned()
            else:
                raise InternalError(f"DWARF location list entry {kind}")
            yield start, end, data.block()

    def address(self, index: int) -> int:
        return _Bytes(self.addresses, 8 + 8 * index).fixed(8)


def _place(expression: bytes) -> tuple[Place | Constant, int] | None:
    """Return what an expression says: a place and the bytes to add to what it holds; None if it says anything else.

    An offset from the frame base is left as it stands: LLVM counts it from the frame's lowest byte.
    """
    data = _Bytes(expression)
    op = data.fixed(1)
    if _OP_REG <= op < _OP_REG + _STACK:
        return (Register(op - _OP_REG), 0) if data.at == len(expression) else None
    found: tuple[Place | Constant, int]
    if op == _OP_FBREG:
        slot = StackSlot(data.signed())
        if data.at == len(expression):
            return slot, 0
        if data.fixed(1) != _OP_DEREF:
            return None
        plus = 0
        if expression[data.at] == _OP_PLUS_UCONST:
            data.fixed(1)
            plus = data.unsigned()
        found = slot, plus
    elif _OP_BREG <= op < _OP_BREG + _STACK:
        found = Register(op - _OP_BREG), data.signed()
    elif _OP_LIT <= op < _OP_LIT + 32:
        found = Constant(op - _OP_LIT), 0
    elif op == _OP_CONSTU:
        found = Constant(data.unsigned()), 0
    elif op == _OP_CONSTS:
        found = Constant(data.signed()), 0
    else:
        return None
    return found if expression[data.at :] == bytes((_OP_STACK_VALUE,)) else None
