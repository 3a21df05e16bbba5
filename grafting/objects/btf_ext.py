"""`.BTF.ext`: which source line each instruction is from, and which type each function has.

Records are grouped by the code section that they speak of; strings are those of `.BTF`. Offsets are bytes from the
section's start in an object file (a loaded program counts slots instead).

Guarantee: `parse` raises GraftError G0531 or returns records in the order of the file; nothing is said about whether
they are true, or whether their sections exist. `parse(write(ext)) == ext`, line texts longer than 1024 bytes excepted.

Source: Linux, Documentation/bpf/btf.rst, section 4.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from grafting import limits
from grafting.objects.btf import MAGIC, header, part
from grafting.objects.elf import Strings, Where

_HEADER = struct.Struct("<HBBIIIIIII")  # as `.BTF`, then three parts: functions, lines, CO-RE relocations
_WITHOUT_RELOCATIONS = 24  # bytes of header in objects older than CO-RE
_GROUP = struct.Struct("<II")  # section name, number of records
_FUNCTION = struct.Struct("<II")
_LINE = struct.Struct("<IIII")
_COLUMN_BITS: Final = 10
COLUMN_MAX: Final = (1 << _COLUMN_BITS) - 1


@dataclass(frozen=True, slots=True)
class FunctionInfo:
    """At byte `offset` of `section` a function begins, of BTF type `type`."""

    section: str
    offset: int
    type: int


@dataclass(frozen=True, slots=True)
class LineRecord:
    """From byte `offset` of `section` on, code is from this place; `text` is the source line as it was compiled.

    `line` counts from 1; `column` too, 0 being unknown, and 1023 standing for all beyond.
    """

    section: str
    offset: int
    file: str
    text: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Ext:
    """The whole section. `relocated` names the sections that have CO-RE relocations."""

    functions: tuple[FunctionInfo, ...] = ()
    lines: tuple[LineRecord, ...] = ()
    relocated: frozenset[str] = frozenset()


def parse(data: bytes, strings: bytes, where: Where) -> Ext:
    """Return the records of a `.BTF.ext` section; `strings` are those of `.BTF`. Raises GraftError G0531."""
    length, _ = header(data, where, "G0531")
    if length < _WITHOUT_RELOCATIONS:
        raise where.error("G0531", f"a header of {length} bytes, at least {_WITHOUT_RELOCATIONS} are needed")
    fields = struct.unpack_from("<IIIIII", data[:length].ljust(_HEADER.size, b"\0"), 8)
    reader = _Reader(data, strings, length, where)
    functions = tuple(
        FunctionInfo(section, *_FUNCTION.unpack_from(record))
        for section, record in reader.records(fields[0], fields[1], _FUNCTION.size, "function info")
    )
    lines = tuple(
        reader.line(section, record)
        for section, record in reader.records(fields[2], fields[3], _LINE.size, "line info")
    )
    relocated = frozenset(section for section, _ in reader.records(fields[4], fields[5], 16, "CO-RE relocations"))
    return Ext(functions, lines, relocated)


class _Reader:
    """Reads groups of records."""

    def __init__(self, data: bytes, strings: bytes, base: int, where: Where) -> None:
        self.data, self.strings, self.base, self.where = data, strings, base, where
        self.texts: dict[int, str] = {}

    def text(self, start: int) -> str:
        """Return the text at `start`, cut at 1024 bytes: records may share strings, so their sum is not bounded."""
        if start not in self.texts:
            if start >= len(self.strings):
                raise self.where.error("G0531", f"no text at {start:#x} of the strings")
            end = self.strings.find(b"\0", start, start + limits.OBJECT_NAME_BYTES)
            stop = end if end >= 0 else start + limits.OBJECT_NAME_BYTES
            self.texts[start] = self.strings[start:stop].decode("utf-8", "replace")
        return self.texts[start]

    def records(self, start: int, length: int, least: int, what: str) -> Iterator[tuple[str, bytes]]:
        """Yield (section name, record) for each record of one part."""
        if not length:
            return
        data = part(self.data, self.base + start, length, self.where, "G0531", what)
        size = int.from_bytes(data[:4], "little")
        if length < 4 or size < least or size % 4:
            raise self.where.error("G0531", f"{what} in records of {size} bytes")
        at = 4
        while at < length:
            if at + _GROUP.size > length:
                raise self.where.error("G0531", f"{what} cut short within a group")
            name, count = _GROUP.unpack_from(data, at)
            at += _GROUP.size
            if not count or at + count * size > length:
                raise self.where.error("G0531", f"a group of {count} records of {what} reaches past its end")
            section = self.text(name)
            for _ in range(count):
                yield section, data[at : at + size]
                at += size

    def line(self, section: str, record: bytes) -> LineRecord:
        offset, file, text, packed = _LINE.unpack_from(record)
        place = packed >> _COLUMN_BITS, packed & COLUMN_MAX
        return LineRecord(section, offset, self.text(file), self.text(text), *place)


def write(ext: Ext, strings: Strings) -> bytes:
    """Return the `.BTF.ext` section; its texts are added to `strings`, the string part of `.BTF` to be."""
    functions = _part(_FUNCTION, [(f.section, (f.offset, f.type)) for f in ext.functions], strings)
    rows = [
        (line.section, (line.offset, strings.add(line.file), strings.add(line.text), _packed(line)))
        for line in ext.lines
    ]
    lines = _part(_LINE, rows, strings)
    size, end = len(functions), len(functions) + len(lines)
    return _HEADER.pack(MAGIC, 1, 0, _HEADER.size, 0, size, size, len(lines), end, 0) + functions + lines


def _packed(line: LineRecord) -> int:
    return line.line << _COLUMN_BITS | min(line.column, COLUMN_MAX)


def _part(record: struct.Struct, rows: Sequence[tuple[str, tuple[int, ...]]], strings: Strings) -> bytes:
    if not rows:
        return b""
    out = [record.size.to_bytes(4, "little")]
    for section, group in groupby(rows, key=lambda row: row[0]):
        packed = [record.pack(*values) for _, values in group]
        out += [_GROUP.pack(strings.add(section), len(packed)), *packed]
    return b"".join(out)
