"""`Program` to object file, so that `grafting.objects.object_file.load` returns an equal program.

Each handler becomes one section with one global function, its callees inside it. Maps and data become symbols and
relocations wherever the format can say so. It cannot for the address of a map's value, or the handle of a data
section: such an `lddw` keeps its by-index form, which the loader takes as it stands; the order in `.graft` makes it
right. Types of keys and values are written as sizes: their names are in `.graft`.

Equal programs give equal bytes. Nothing is taken from `Program.image`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from grafting import isa, limits
from grafting.diagnostics import GraftError, Source, fail
from grafting.isa import Instruction, LoadMap, LoadMapValue
from grafting.objects import btf, btf_ext, elf, map_definitions, metadata, sections
from grafting.objects.btf import Btf, Kind
from grafting.objects.btf_ext import COLUMN_MAX, Ext, FunctionInfo, LineRecord
from grafting.objects.elf import ALLOC, EXECINSTR, NOBITS, PROGBITS, WRITE, Elf, Relocation, Section, Symbol
from grafting.objects.metadata import HandlerNote, MapNote, Metadata
from grafting.program import Handler, MapKind, MapSpec, Program

_SLOT: Final = 8  # bytes
_LINE_MAX: Final = (1 << 22) - 1
_MAP_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
_DATA_NAME = re.compile(r"\.(bss|data|rodata)(\.[A-Za-z0-9_.]{1,240})?")


def dump(program: Program) -> bytes:
    """Return an object file of `program`.

    Raises GraftError G0550 for what an object cannot say: a hook without a section name, two handlers for the same
    event and selector, a map or data section of an unusual name or shape, a line or column beyond BTF's 22 and 10 bits;
    G0542 if the metadata is too long.
    """
    return _Dumper(program).data()


class _Dumper:
    """Builds the `Elf` value of one program."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.sections: list[Section] = []
        self.symbols: list[Symbol] = [Symbol("", elf.UNDEFINED)]
        self.relocations: dict[int, tuple[Relocation, ...]] = {}
        self.map_symbols: dict[int, int] = {}  # map number -> symbol of the map, or of the data section
        self.texts: dict[int, str] = {}

    def error(self, message: str) -> GraftError:
        return fail("G0550", message, source=Source(self.program.name, ""))

    def data(self) -> bytes:
        program = self.program
        names = [self.section_name(handler) for handler in program.handlers]
        for name in names:
            if names.count(name) > 1:
                raise self.error(f"two handlers for `{name}`")
        self.check_maps()
        numbers = [self.section(n, PROGBITS, ALLOC | EXECINSTR, b"", align=8) for n in names]  # filled in below
        self.maps()
        for name, number, handler in zip(names, numbers, program.handlers, strict=True):
            self.code(name, number, handler)
        strings = elf.Strings()
        types: list[btf.Type] = []
        map_definitions.write([spec for spec in program.maps if not spec.is_data], types)
        functions = self.function_types(names, types)
        lines: list[LineRecord] = []
        for name, handler in zip(names, program.handlers, strict=True):
            lines += self.lines(name, handler)
        ext = btf_ext.write(Ext(tuple(functions), tuple(lines)), strings)
        self.section(".BTF", PROGBITS, 0, btf.write(Btf(tuple(types)), strings), align=4)
        self.section(".BTF.ext", PROGBITS, 0, ext, align=4)
        self.section(metadata.SECTION, PROGBITS, ALLOC, metadata.encode(self.metadata(names)))
        return elf.write(Elf(program.name, tuple(self.sections), tuple(self.symbols), self.relocations))

    def section(self, name: str, kind: int, flags: int, data: bytes, *, size: int | None = None, align: int = 1) -> int:
        number = len(self.sections) + 1
        self.sections.append(Section(number, name, kind, flags, data, len(data) if size is None else size, align))
        return number

    def symbol(self, symbol: Symbol) -> int:
        self.symbols.append(symbol)
        return len(self.symbols) - 1

    def section_name(self, handler: Handler) -> str:
        name = sections.name_of(handler)
        if name is None:
            raise self.error(f"handler `{handler.name}`: no section name says its hook `{handler.hook.name}`")
        if handler.maps != len(self.program.maps):
            raise self.error(f"handler `{handler.name}` counts {handler.maps} maps of {len(self.program.maps)}")
        return name

    # --- maps ---

    def check_maps(self) -> None:
        names = [spec.name for spec in self.program.maps]
        for spec in self.program.maps:
            if names.count(spec.name) > 1:
                raise self.error(f"two maps are called `{spec.name}`")
            if not (_is_section(spec) if spec.is_data else _is_map(spec)):
                raise self.error(f"map `{spec.name}` has a name or shape that an object cannot describe")

    def maps(self) -> None:
        """Add `.maps` and the data sections, with a symbol for each map."""
        defined = [(number, spec) for number, spec in enumerate(self.program.maps) if not spec.is_data]
        if defined:
            size = sum(map_definitions.variable_bytes(spec) for _, spec in defined)
            home = self.section(map_definitions.SECTION, PROGBITS, ALLOC | WRITE, bytes(size), align=8)
            offset = 0
            for number, spec in defined:
                length = map_definitions.variable_bytes(spec)
                self.map_symbols[number] = self.symbol(
                    Symbol(spec.name, home, offset, length, elf.GLOBAL, elf.OBJECT)
                )  # fmt: skip
                offset += length
        for number, spec in enumerate(self.program.maps):
            if spec.is_data:
                kind = PROGBITS if spec.initial else NOBITS
                flags = ALLOC if spec.read_only else ALLOC | WRITE
                home = self.section(spec.name, kind, flags, spec.initial, size=spec.value_size, align=8)
                self.map_symbols[number] = self.symbol(Symbol("", home, type=elf.SECTION))

    # --- code ---

    def code(self, name: str, number: int, handler: Handler) -> None:
        """Fill in the section of a handler, with its symbol and relocations."""
        code = list(handler.instructions)
        relocations = []
        for pc, op in handler.operations.items():
            match op:
                case LoadMap(_, index) if not self.program.maps[index].is_data:
                    code[pc] = replace(code[pc], src=isa.LDDW_IMMEDIATE, imm=0)
                case LoadMapValue(_, index, _) if self.program.maps[index].is_data:
                    code[pc] = replace(code[pc], src=isa.LDDW_IMMEDIATE, imm=code[pc + 1].imm)
                    code[pc + 1] = Instruction(0, 0, 0, 0, 0)
                case _:
                    continue
            relocations.append(Relocation(pc * _SLOT, elf.R_BPF_64_64, self.map_symbols[index]))
        data = isa.encode(code)
        self.sections[number - 1] = replace(self.sections[number - 1], data=data, size=len(data))
        self.relocations[number] = tuple(relocations)
        self.symbol(Symbol(_identifier(name), number, 0, len(data), elf.GLOBAL, elf.FUNC))

    def lines(self, name: str, handler: Handler) -> list[LineRecord]:
        source = self.program.debug.source
        file = source.filename if source else ""
        for info in handler.lines:
            if not (0 < info.line <= _LINE_MAX and 0 <= info.column <= COLUMN_MAX):
                raise self.error(f"handler `{handler.name}`: line {info.line}, column {info.column} is beyond BTF")
        return [
            LineRecord(name, info.pc * _SLOT, file, self.line_text(info.line), info.line, info.column)
            for info in handler.lines
        ]

    def line_text(self, line: int) -> str:
        source = self.program.debug.source
        if source is None:
            return ""
        if not self.texts:
            self.texts = dict(enumerate(source.text.split("\n"), 1))
        return self.texts.get(line, "")[: limits.OBJECT_NAME_BYTES]

    # --- descriptions ---

    def function_types(self, names: Sequence[str], types: list[btf.Type]) -> list[FunctionInfo]:
        """Add `u64 handler(void *)` for each handler to `types`; return where they begin."""

        def add(type_: btf.Type) -> int:
            types.append(type_)
            return len(types)

        result = add(btf.Int("u64", 8, 0, 64))
        context = add(btf.Reference(Kind.POINTER, 0))
        prototype = add(btf.Prototype(result, (("ctx", context),)))
        return [FunctionInfo(name, 0, add(btf.Function(_identifier(name), prototype))) for name in names]

    def metadata(self, names: Sequence[str]) -> Metadata:
        program = self.program
        notes = []
        for name, handler in zip(names, program.handlers, strict=True):
            entry = sections.entry(name)
            given = "" if entry is not None and entry.name == handler.name else handler.name
            notes.append(HandlerNote(name, given, handler.budget, handler.names))
        return Metadata(
            program.name,
            tuple(notes),
            tuple(MapNote(spec.name, spec.key_type, spec.value_type) for spec in program.maps),
            program.slots,
            program.serves,
            program.tests,
            program.debug,
        )


def _identifier(section: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]", "_", section)


def _is_section(spec: MapSpec) -> bool:
    """Whether a data section can be what `spec` says."""
    return (
        bool(_DATA_NAME.fullmatch(spec.name))
        and (spec.kind, spec.key_size, spec.max_entries) == (MapKind.ARRAY, 4, 1)
        and 0 < spec.value_size <= limits.MAP_VALUE_BYTES
        and len(spec.initial) in (0, spec.value_size)
        and spec.read_only == spec.name.startswith(".rodata")
    )


def _is_map(spec: MapSpec) -> bool:
    """Whether a definition in `.maps` can be what `spec` says."""
    return (
        bool(_MAP_NAME.fullmatch(spec.name))
        and not spec.initial
        and 0 < spec.key_size <= limits.MAP_KEY_BYTES
        and (spec.kind is MapKind.HASH or spec.key_size in (4, 8))
        and 0 < spec.value_size <= limits.MAP_VALUE_BYTES
        and 0 < spec.max_entries <= limits.MAP_ENTRIES
    )
