"""Relocatable BPF objects as values: sections, symbols and relocations, without any meaning yet.

`read` takes bytes from a stranger. It guarantees, or raises GraftError: every section lies within the file and overlaps
no other, every index in a symbol or a relocation exists, every name is short text, and time and memory are bounded by
the file's size and the counts in `grafting.limits`. What follows may index freely.

The record formats are pyelftools' (`ELFStructs`). Its object layer is not used: it follows links, reads names and
inflates compressed sections without a bound, and reports damage by assertions.

Debug sections (DWARF), notes and groups are dropped when read, so that `write(read(data))` strips an object, unless
DWARF is asked for; the symbol, string and relocation sections become the tuples of `Elf` and are made anew by `write`.

Source: System V ABI (gABI) chapters 4 and 5; relocation kinds in LLVM's `BPF.def`.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Final

from grafting import limits
from grafting.diagnostics import GraftError, InternalError, Source, fail

MACHINE_BPF: Final = 247
_RELOCATABLE: Final = 1

PROGBITS, SYMTAB, STRTAB, RELA, NOBITS, REL = 1, 2, 3, 4, 8, 9  # sh_type
WRITE, ALLOC, EXECINSTR, COMPRESSED = 1, 2, 4, 0x800  # sh_flags
UNDEFINED, ABSOLUTE, COMMON = 0, 0xFFF1, 0xFFF2  # st_shndx that are not section numbers
LOCAL, GLOBAL, WEAK = 0, 1, 2  # symbol binding
NOTYPE, OBJECT, FUNC, SECTION, FILE = 0, 1, 2, 3, 4  # symbol type

R_BPF_64_64, R_BPF_64_32 = 1, 10  # an `lddw` of an address; a call

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION_HEADER = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_RELOCATION = struct.Struct("<QQ")
_IDENT = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")  # 64-bit, little-endian, version 1

_ALIGN_MAX: Final = 4096  # bytes; far beyond what any section of ours needs
_DWARF = ".debug_"
_DROPPED = (".eh_frame", ".llvm_addrsig", ".llvm.", ".comment", ".note")


@dataclass(frozen=True, slots=True)
class Where:
    """A place in an object, for messages: a byte offset in a section ("" is the file itself)."""

    filename: str
    section: str = ""
    offset: int = 0

    def error(self, code: str, message: str, *, notes: tuple[str, ...] = (), helps: tuple[str, ...] = ()) -> GraftError:
        """Return a GraftError that names this place."""
        place = f" (in section `{self.section}`, at byte {self.offset:#x})" if self.section else ""
        return fail(code, message + place, source=Source(self.filename, ""), notes=notes, helps=helps)


@dataclass(frozen=True, slots=True)
class Section:
    """A section with a meaning of its own. `size` bytes: all in `data`, none of them if `type` is NOBITS."""

    number: int
    name: str
    type: int
    flags: int
    data: bytes
    size: int
    align: int = 1
    entry: int = 0  # bytes of one entry, where there are entries

    @property
    def is_dwarf(self) -> bool:
        """Whether it is a part of DWARF."""
        return self.name.startswith(_DWARF)

    @property
    def is_code(self) -> bool:
        """Whether it holds instructions."""
        return self.type == PROGBITS and bool(self.flags & EXECINSTR)


@dataclass(frozen=True, slots=True)
class Symbol:
    """A name for `size` bytes at `value` in section number `section` (or UNDEFINED, ABSOLUTE, COMMON)."""

    name: str
    section: int
    value: int = 0
    size: int = 0
    binding: int = LOCAL
    type: int = NOTYPE


@dataclass(frozen=True, slots=True)
class Relocation:
    """At byte `offset` of its section, the address of symbol number `symbol` is to be filled in, as `type` says."""

    offset: int
    type: int
    symbol: int


@dataclass(frozen=True, slots=True)
class Elf:
    """An object. `relocations` are by section number, in order of the file."""

    filename: str
    sections: tuple[Section, ...]
    symbols: tuple[Symbol, ...] = ()
    relocations: Mapping[int, tuple[Relocation, ...]] = field(default_factory=dict)

    def where(self, section: Section | str = "", offset: int = 0) -> Where:
        """Return a place in this object."""
        return Where(self.filename, section.name if isinstance(section, Section) else section, offset)

    def named(self, name: str) -> Section | None:
        """Return the only section called `name`, or None. Raises G0513 if there are several."""
        found = [section for section in self.sections if section.name == name]
        if len(found) > 1:
            raise self.where(name).error("G0513", f"{len(found)} sections are called `{name}`")
        return found[0] if found else None

    def numbered(self, number: int) -> Section | None:
        """Return the section with this number; None if it was dropped or `number` is no section's."""
        return next((section for section in self.sections if section.number == number), None)


# --- reading ---------------------------------------------------------------------------------------------------------


@cache
def _structs() -> Any:
    from elftools.elf.structs import ELFStructs

    structs = ELFStructs(little_endian=True, elfclass=64)
    structs.create_basic_structs()
    structs.create_advanced_structs("ET_REL", "EM_BPF", "ELFOSABI_SYSV")
    return structs


def _number(value: int | str) -> int:
    """Return the number behind a constant that pyelftools may have named."""
    from elftools.elf import enums

    if isinstance(value, int):
        return value
    for table in (enums.ENUM_SH_TYPE_BASE, enums.ENUM_ST_INFO_BIND, enums.ENUM_ST_INFO_TYPE, enums.ENUM_ST_SHNDX):
        if value in table:
            return int(table[value])
    raise InternalError(f"pyelftools names an unknown constant {value}")


def read(data: bytes, filename: str = "<object>", *, dwarf: bool = False) -> Elf:
    """Return the sections, symbols and relocations of a relocatable little-endian BPF object; `dwarf` keeps its DWARF.

    Raises GraftError: G0510 not ELF or cut short, G0511 of another machine, byte order, class or type, G0512 a count
    over its limit, G0513 a section out of the file or over another, G0514 an index that does not exist, G0515 a bad
    name.
    """
    from elftools.common.exceptions import ELFError
    from elftools.construct import ConstructError

    try:
        return _Reader(data, filename, _DROPPED if dwarf else (_DWARF, *_DROPPED)).elf()
    except (ELFError, ConstructError) as error:  # every record is whole when it is parsed; should it fail all the same
        raise Where(filename).error("G0510", f"damaged: {error}") from error


@dataclass(frozen=True, slots=True)
class _Header:
    """A section header as it stands."""

    number: int
    name: str
    type: int
    flags: int
    offset: int
    size: int
    link: int
    info: int
    align: int
    entry: int


class _Reader:
    """Reads one file, from the header down."""

    def __init__(self, data: bytes, filename: str, dropped: tuple[str, ...]) -> None:
        self.data, self.file, self.dropped = data, Where(filename), dropped

    def at(self, section: str, offset: int = 0) -> Where:
        return Where(self.file.filename, section, offset)

    def elf(self) -> Elf:
        self.check_identity()
        header = _structs().Elf_Ehdr.parse(self.data[: _HEADER.size])
        headers = self.headers(header)
        self.check_overlaps(headers)
        kept = {h.number for h in headers if h.type in (PROGBITS, NOBITS) and not h.name.startswith(self.dropped)}
        sections = tuple(self.section(h) for h in headers if h.number in kept)
        tables = [h for h in headers if h.type == SYMTAB]
        if len(tables) > 1:
            raise self.at(tables[1].name).error("G0514", "more than one symbol table")
        symbols = self.symbols(tables[0], headers) if tables else ()
        relocations = self.relocations(headers, kept, tables, len(symbols))
        return Elf(self.file.filename, sections, symbols, relocations)

    def check_identity(self) -> None:
        """Check all of the file header that does not depend on the rest."""
        data, error = self.data, self.file.error
        if len(data) > limits.OBJECT_BYTES:
            raise error("G0512", f"object of {len(data)} bytes, at most {limits.OBJECT_BYTES}")
        if data[:4] != b"\x7fELF":
            raise error("G0510", "not an ELF object")
        if len(data) < _HEADER.size:
            raise error("G0510", f"cut short: {len(data)} bytes, an ELF header has {_HEADER.size}")
        if data[4] != 2 or data[5] != 1:
            raise error("G0511", "not a 64-bit little-endian object",
                        helps=("compile with `clang --target=bpfel -c`",))  # fmt: skip
        _, kind, machine, *_rest = _HEADER.unpack_from(data)
        if machine != MACHINE_BPF:
            raise error("G0511", f"an object for machine {machine}, not for BPF ({MACHINE_BPF})",
                        helps=("compile with `clang --target=bpfel -c`",))  # fmt: skip
        if kind != _RELOCATABLE:
            raise error("G0511", f"an ELF file of type {kind}, not a relocatable object (1)")

    def headers(self, header: Any) -> list[_Header]:
        """Return the section headers, names resolved, each within the file."""
        count, start = header.e_shnum, header.e_shoff
        if header.e_shentsize != _SECTION_HEADER.size:
            raise self.file.error("G0513", f"section headers of {header.e_shentsize} bytes, not 64")
        if not 0 < count <= limits.OBJECT_SECTIONS:
            raise self.file.error("G0512", f"{count} sections, 1 to {limits.OBJECT_SECTIONS} are allowed")
        if start + count * _SECTION_HEADER.size > len(self.data):
            raise self.file.error("G0510", f"cut short: the section headers at {start:#x} end past the file")
        if header.e_shstrndx >= count:
            raise self.file.error("G0514", f"section names are in section {header.e_shstrndx} of {count}")
        parse, size = _structs().Elf_Shdr.parse, _SECTION_HEADER.size
        rows = [parse(self.data[start + i * size : start + (i + 1) * size]) for i in range(count)]
        names = self.strings_of(rows[header.e_shstrndx])
        return [self.header(number, row, names) for number, row in enumerate(rows)]

    def strings_of(self, row: Any) -> bytes:
        if _number(row.sh_type) != STRTAB or row.sh_offset + row.sh_size > len(self.data):
            raise self.file.error("G0514", "the section names are not in a string table within the file")
        return self.data[row.sh_offset : row.sh_offset + row.sh_size]

    def header(self, number: int, row: Any, names: bytes) -> _Header:
        name = "" if number == 0 else self.name(names, row.sh_name, self.at(f"#{number}"))
        header = _Header(
            number, name, _number(row.sh_type), row.sh_flags, row.sh_offset, row.sh_size,
            row.sh_link, row.sh_info, row.sh_addralign, row.sh_entsize,
        )  # fmt: skip
        if header.type not in (0, NOBITS) and header.offset + header.size > len(self.data):
            raise self.at(name).error(
                "G0513", f"{header.size} bytes at {header.offset:#x} reach past the file of {len(self.data)} bytes"
            )
        return header

    def name(self, strings: bytes, start: int, where: Where) -> str:
        end = strings.find(b"\0", start, start + limits.OBJECT_NAME_BYTES + 1)
        if end < 0:
            raise where.error("G0515", f"a name at {start:#x} of the string table has no end within it")
        text = strings[start:end].decode("ascii", "replace")
        if not (text.isascii() and (text.isprintable() or not text)):
            raise where.error("G0515", f"a name is not printable ASCII: {strings[start:end]!r}")
        return text

    def check_overlaps(self, headers: list[_Header]) -> None:
        """Sections that share bytes would let a small file stand for a large program."""
        end, last = _HEADER.size, "file header"
        for header in sorted(headers, key=lambda h: (h.offset, h.number)):
            if header.type in (0, NOBITS) or not header.size:
                continue
            if header.offset < end:
                raise self.at(header.name).error("G0513", f"section `{header.name}` overlaps `{last}`")
            end, last = header.offset + header.size, header.name

    def section(self, header: _Header) -> Section:
        if header.flags & COMPRESSED:
            raise self.at(header.name).error("G0513", "a compressed section that is not debug info")
        if header.size > limits.OBJECT_BYTES or header.align > _ALIGN_MAX:
            raise self.at(header.name).error("G0512", f"a section of {header.size} bytes aligned to {header.align}")
        data = b"" if header.type == NOBITS else self.data[header.offset : header.offset + header.size]
        return Section(
            header.number, header.name, header.type, header.flags, data, header.size, header.align, header.entry
        )  # fmt: skip

    def records(self, header: _Header, size: int, most: int, what: str) -> list[bytes]:
        """Split a table section into its records."""
        where = self.at(header.name)
        if header.entry != size or header.size % size:
            raise where.error("G0513", f"{header.size} bytes of {what} in entries of {header.entry}, not {size}")
        if header.size // size > most:
            raise where.error("G0512", f"{header.size // size} {what}, at most {most}")
        return [self.data[at : at + size] for at in range(header.offset, header.offset + header.size, size)]

    def symbols(self, table: _Header, headers: list[_Header]) -> tuple[Symbol, ...]:
        if table.link >= len(headers) or headers[table.link].type != STRTAB:
            raise self.at(table.name).error("G0514", f"symbol names in section {table.link}, which is no string table")
        text = headers[table.link]
        strings = self.data[text.offset : text.offset + text.size]
        parse = _structs().Elf_Sym.parse
        symbols = []
        for index, record in enumerate(self.records(table, _SYMBOL.size, limits.OBJECT_SYMBOLS, "symbols")):
            row, where = parse(record), self.at(table.name, index * _SYMBOL.size)
            section = _number(row.st_shndx)
            if section >= len(headers) and section not in (ABSOLUTE, COMMON):
                raise where.error("G0514", f"symbol {index} is in section {section} of {len(headers)}")
            name = self.name(strings, row.st_name, where)
            binding, kind = _number(row.st_info.bind), _number(row.st_info.type)
            symbols.append(Symbol(name, section, row.st_value, row.st_size, binding, kind))
        return tuple(symbols)

    def relocations(
        self, headers: list[_Header], kept: set[int], tables: list[_Header], symbols: int
    ) -> dict[int, tuple[Relocation, ...]]:
        found: dict[int, tuple[Relocation, ...]] = {}
        left = limits.OBJECT_RELOCATIONS
        for header in headers:
            if header.type not in (REL, RELA):
                continue
            if header.info >= len(headers):
                raise self.at(header.name).error("G0514", f"relocations of section {header.info} of {len(headers)}")
            if header.info not in kept:
                continue
            if header.type == RELA:
                raise self.at(header.name).error("G0513", "relocations with addends (RELA); BPF objects have none")
            if not tables or header.link != tables[0].number:
                raise self.at(header.name).error("G0514", f"relocations by section {header.link}, no symbol table")
            if header.info in found:
                raise self.at(header.name).error("G0514", f"section {header.info} is relocated twice")
            found[header.info] = self.relocations_of(header, left, symbols)
            left -= len(found[header.info])
        return found

    def relocations_of(self, header: _Header, most: int, symbols: int) -> tuple[Relocation, ...]:
        parse = _structs().Elf_Rel.parse
        relocations = []
        for index, record in enumerate(self.records(header, _RELOCATION.size, most, "relocations")):
            row = parse(record)
            if row.r_info_sym >= symbols:
                where = self.at(header.name, index * _RELOCATION.size)
                raise where.error("G0514", f"a relocation by symbol {row.r_info_sym} of {symbols}")
            relocations.append(Relocation(row.r_offset, row.r_info_type, row.r_info_sym))
        return tuple(relocations)


# --- writing ---------------------------------------------------------------------------------------------------------


def write(elf: Elf) -> bytes:
    """Return the object file of `elf`, the same bytes for equal values. Sections are renumbered from 1 in order.

    Symbols of sections that are not in `elf.sections` are left out; a relocation by one of them is an InternalError.
    """
    renumbered = {section.number: place for place, section in enumerate(elf.sections, 1)}
    special = {UNDEFINED: UNDEFINED, ABSOLUTE: ABSOLUTE, COMMON: COMMON}
    order = [n for n, symbol in enumerate(elf.symbols) if n and symbol.section in (renumbered | special)]
    order.sort(key=lambda n: elf.symbols[n].binding != LOCAL)
    places = {number: place for place, number in enumerate(order, 1)}
    symbols = [replace(elf.symbols[n], section=(renumbered | special)[elf.symbols[n].section]) for n in order]
    relocated = [section for section in elf.sections if elf.relocations.get(section.number)]

    strings = Strings()
    table = len(elf.sections) + 1  # the symbol table's number; the strings follow it
    out = _Writer(strings)
    for section in elf.sections:
        out.add(
            section.name, section.type, section.flags, section.data,
            size=section.size, entry=section.entry, align=section.align,
        )  # fmt: skip
    rows = [_SYMBOL.pack(0, 0, 0, 0, 0, 0)] + [
        _SYMBOL.pack(strings.add(s.name), s.binding << 4 | s.type, 0, s.section, s.value, s.size) for s in symbols
    ]
    local = 1 + sum(symbol.binding == LOCAL for symbol in symbols)
    out.add(".symtab", SYMTAB, 0, b"".join(rows), link=table + 1 + len(relocated), info=local, entry=24, align=8)
    for section in relocated:
        entries = elf.relocations[section.number]
        missing = [entry for entry in entries if entry.symbol and entry.symbol not in places]
        if missing:
            raise InternalError(f"a relocation of {section.name} by a symbol that is left out")
        packed = b"".join(_RELOCATION.pack(e.offset, places.get(e.symbol, 0) << 32 | e.type) for e in entries)
        number = renumbered[section.number]
        out.add(f".rel{section.name}", REL, 0, packed, link=table, info=number, entry=16, align=8)
    return out.finish()


class Strings:
    """A string table under construction: each text once, the empty one first."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {"": 0}
        self._data = bytearray(b"\0")

    def add(self, text: str) -> int:
        """Return the offset of `text`, added if it is new. What follows a NUL could not be read back and is cut."""
        text = text.split("\0")[0]
        if text not in self._places:
            self._places[text] = len(self._data)
            self._data += text.encode("utf-8", "replace") + b"\0"
        return self._places[text]

    def finish(self) -> bytes:
        """Return the table."""
        return bytes(self._data)


class _Writer:
    """Lays out sections one after the other behind the file header."""

    def __init__(self, strings: Strings) -> None:
        self._strings = strings
        self._body = bytearray(_HEADER.size)
        self._headers = [bytes(_SECTION_HEADER.size)]

    def add(
        self, name: str, kind: int, flags: int, data: bytes,
        *, size: int | None = None, link: int = 0, info: int = 0, entry: int = 0, align: int = 1,
    ) -> None:  # fmt: skip
        self._align(align)
        total = len(data) if size is None else size
        self._headers.append(
            _SECTION_HEADER.pack(
                self._strings.add(name), kind, flags, 0, len(self._body), total, link, info, align, entry
            )
        )
        self._body += data

    def _align(self, align: int) -> None:
        self._body += bytes(-len(self._body) % max(align, 1))

    def finish(self) -> bytes:
        number = len(self._headers)
        self._strings.add(".strtab")
        self.add(".strtab", STRTAB, 0, self._strings.finish())
        self._align(8)
        header = _HEADER.pack(
            _IDENT, _RELOCATABLE, MACHINE_BPF, 1, 0, 0, len(self._body), 0, _HEADER.size, 0, 0,
            _SECTION_HEADER.size, len(self._headers), number,
        )  # fmt: skip
        self._body[: _HEADER.size] = header
        return bytes(self._body) + b"".join(self._headers)
