"""Object files: relocatable little-endian BPF objects to `Program` and back.

    graft/reply/disk.read   a handler; the name says the event (`grafting.objects.sections`), a global symbol the
    function .text                   functions that handlers call .maps, .BTF             maps, described by types
    (`grafting.objects.map_definitions`) .bss .data .rodata      global data: array maps of one value .BTF.ext
    source lines (`grafting.objects.btf_ext`) .graft                  budgets, slots, tests, source text
    (`grafting.objects.metadata`); all of it may be missing .graft.slots ...        the same from a C program
    (`grafting.objects.declarations`)

Objects by clang and by our compiler are read alike. What is read is untrusted: `load` returns a well-formed `Program`
or raises GraftError with a code `G05xx` that names section and byte, in time and memory bounded by the file's size and
`grafting.limits`. What changes the meaning of code and is not understood is an error, never ignored: unknown code
sections, relocations, map members, CO-RE. Ignored are `license`, `version`, DWARF and data that no code refers to.

`load(dump(p)) == p` for every program that `dump` accepts, all fields of `Program` but `image` (the bytes themselves).
`dump` refuses (G0550) what an object cannot say: see `grafting.objects.object_writer`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any, Final

from grafting import limits
from grafting.diagnostics import Source
from grafting.objects import btf, btf_ext, declarations, elf, map_definitions, metadata, sections
from grafting.objects.btf import Btf
from grafting.objects.btf_ext import Ext, LineRecord
from grafting.objects.elf import Elf, Section
from grafting.objects.linking import Addresses, Function, Linked, Linker, entry_of, functions_of
from grafting.objects.metadata import HandlerNote, MapNote, Metadata
from grafting.objects.object_writer import dump
from grafting.program import DebugInfo, Handler, LineInfo, MapKind, MapSpec, Program

__all__ = ["dump", "load"]

_TEXT: Final = ".text"
_DATA: Final = (".bss", ".data", ".rodata")
_SLOT: Final = 8  # bytes


def load(data: bytes, filename: str = "<object>") -> Program:
    """Return the program in an object file; `filename` is for messages, and names a program that has no name.

    Raises GraftError: G0501 to G0509 ill-formed code, G0510 to G0515 not such an ELF file (`grafting.objects.elf`),
    G0520 no hook for a section, G0521 to G0524 functions and addresses (`grafting.objects.linking`), G0525 global data,
    G0526 too many handlers or too much memory, G0527 slots, G0530 to G0533 type information, G0532 maps, G0540 and
    G0541 metadata.
    """
    return _Loader(elf.read(data, filename)).program(data)


@dataclass(frozen=True, slots=True)
class _Maps:
    """The maps in the order of `Program.maps`, where code refers to them, and their types as BTF gives them."""

    specs: tuple[MapSpec, ...]
    addresses: Addresses
    types: Mapping[str, Any]


class _Loader:
    """Puts one program together."""

    def __init__(self, file: Elf) -> None:
        self.elf = file
        self.types, self.ext = _type_information(file)

    def program(self, data: bytes) -> Program:
        entries = self.handler_sections()
        said = self.metadata()
        maps = self.maps(said.maps)
        code = [section for section in self.elf.sections if section.is_code and section.size]
        functions = {section.number: functions_of(self.elf, section) for section in code}
        linker = Linker(self.elf, functions, maps.addresses)
        order = metadata.ordered([s.name for s in entries], [note.section for note in said.handlers])
        notes = {note.section: note for note in said.handlers}
        foreign = self.elf.named(metadata.SECTION) is None
        lines = _Lines(self.elf, self.ext, one_file=not foreign)
        handlers: list[Handler] = []
        for section in (entries[place] for place in order):
            linked = linker.link(entry_of(self.elf, section, functions[section.number]))
            note = notes.get(section.name, HandlerNote(section.name))
            handlers.append(self.handler(section, linked, note, lines.of(linked), len(maps.specs)))
        self.check_names(handlers)
        return Program(
            said.name,
            tuple(handlers),
            maps.specs,
            said.slots,
            said.serves,
            said.tests,
            DebugInfo(lines.source(), maps.types) if foreign else said.debug,
            image=data,
        )

    # --- what the object says of itself ---

    def metadata(self) -> Metadata:
        section = self.elf.named(metadata.SECTION)
        foreign = declarations.present(self.elf)
        if section is not None:
            where = self.elf.where(section)
            if foreign:
                raise where.error("G0527", "both `.graft` and sections of the macros of graft.h declare slots")
            if self.elf.relocations.get(section.number):
                raise where.error("G0540", "metadata with addresses in it")
            return metadata.decode(section.data, where)
        stem = PurePath(self.elf.filename).stem
        name = "".join(c if c.isalnum() or c in "_-." else "_" for c in stem).strip("_")[:255] or "program"
        return declarations.read(self.elf, name) if foreign else Metadata(name)

    # --- maps ---

    def maps(self, notes: Sequence[MapNote]) -> _Maps:
        """Return maps and data sections, numbered as `.graft` lists them, else in order of address."""
        defined = map_definitions.read(self.elf, self.types)
        data = [(section, self.data_map(section)) for section in self.elf.sections if _is_data(section)]
        specs = [spec for _, spec in defined.maps] + [spec for _, spec in data]
        names = [spec.name for spec in specs]
        self.check_maps(specs)
        said = {note.name: note for note in notes}
        specs = [_typed(spec, said.get(spec.name)) for spec in specs]
        order = metadata.ordered(names, [note.name for note in notes])
        number = {place: number for number, place in enumerate(order)}
        home = self.elf.named(map_definitions.SECTION)
        addresses = Addresses(
            {(home.number, at): number[i] for i, (at, _) in enumerate(defined.maps)} if home else {},
            {section.number: number[len(defined.maps) + i] for i, (section, _) in enumerate(data)},
        )
        return _Maps(tuple(specs[place] for place in order), addresses, defined.types)

    def data_map(self, section: Section) -> MapSpec:
        where = self.elf.where(section)
        if section.size > limits.MAP_VALUE_BYTES:
            raise where.error("G0525", f"{section.size} bytes of global data, at most {limits.MAP_VALUE_BYTES}")
        if self.elf.relocations.get(section.number):
            raise where.error("G0525", "global data with addresses in it; only code may refer to maps and data")
        return MapSpec(
            section.name, MapKind.ARRAY, 4, section.size, 1,
            initial=section.data, read_only=section.name.startswith(".rodata"),
        )  # fmt: skip

    def check_maps(self, specs: Sequence[MapSpec]) -> None:
        if len(specs) > limits.PROGRAM_MAPS:
            raise self.elf.where().error("G0526", f"{len(specs)} maps, at most {limits.PROGRAM_MAPS}")
        names = [spec.name for spec in specs]
        for name in names:
            if names.count(name) > 1:
                raise self.elf.where(name).error("G0526", f"two maps are called `{name}`")
        total = sum((spec.key_size + spec.value_size) * spec.max_entries for spec in specs)
        if total > limits.MAP_TOTAL_BYTES:
            raise self.elf.where().error("G0526", f"maps of {total} bytes, at most {limits.MAP_TOTAL_BYTES}")

    # --- handlers ---

    def handler_sections(self) -> list[Section]:
        """Return the sections that hold handlers; raises GraftError G0520 for code that no hook can run."""
        found = []
        for section in self.elf.sections:
            named = section.name.startswith(sections.PREFIX)
            if not (section.is_code or named) or section.name == _TEXT or not section.size:
                continue
            if sections.entry(section.name) is None or not section.is_code:
                what = "no hook runs the code in" if section.is_code else "there is no code in"
                raise self.elf.where(section).error(
                    "G0520", f"{what} section `{section.name}`", helps=(f"section names are {sections.known()}",)
                )
            self.elf.named(section.name)  # raises if there are two
            found.append(section)
            if len(found) > limits.PROGRAM_HANDLERS:
                raise self.elf.where(section).error("G0526", f"more than {limits.PROGRAM_HANDLERS} handlers")
        if not found:
            raise self.elf.where().error("G0520", "no handler", helps=(f"handlers are in {sections.known()}",))
        return found

    def handler(
        self, section: Section, linked: Linked, note: HandlerNote, lines: tuple[LineInfo, ...], maps: int
    ) -> Handler:
        entry = sections.entry(section.name)
        assert entry is not None  # handler_sections
        if section.name in self.ext.relocated:
            raise self.elf.where(section).error(
                "G0533", "CO-RE relocations are not supported: the context of a graft has one layout",
                helps=("compile without `preserve_access_index`",),
            )  # fmt: skip
        return Handler(
            note.name or entry.name, entry.hook, linked.code, entry.selector, note.budget, lines, maps, note.names
        )  # fmt: skip

    def check_names(self, handlers: Iterable[Handler]) -> None:
        seen: set[str] = set()
        for handler in handlers:
            if handler.name in seen:
                raise self.elf.where(metadata.SECTION).error("G0540", f"two handlers are called `{handler.name}`")
            seen.add(handler.name)


def _type_information(file: Elf) -> tuple[Btf | None, Ext]:
    section, ext = file.named(".BTF"), file.named(".BTF.ext")
    if section is None or not section.size:
        return None, Ext()
    where = file.where(section)
    types = btf.parse(section.data, where)
    if ext is None or not ext.size:
        return types, Ext()
    return types, btf_ext.parse(ext.data, btf.strings_of(section.data, where), file.where(ext))


def _is_data(section: Section) -> bool:
    return bool(section.size) and not section.is_code and any(
        section.name == name or section.name.startswith(f"{name}.") for name in _DATA
    )  # fmt: skip


def _typed(spec: MapSpec, note: MapNote | None) -> MapSpec:
    """Return a map with the names of its types from `.graft`, which is closer to the source than BTF."""
    return replace(spec, key_type=note.key_type, value_type=note.value_type) if note else spec


class _Lines:
    """Source lines by handler. An object without `.graft` is read with the lines of its first handler's file only:
    `LineInfo` names no file, and a line of another would be shown as one of this."""

    def __init__(self, file: Elf, ext: Ext, *, one_file: bool) -> None:
        self.elf, self.one_file = file, one_file
        self.records: dict[str, list[LineRecord]] = {}
        for record in sorted(ext.lines, key=lambda record: record.offset):
            self.records.setdefault(record.section, []).append(record)
        self.file: str | None = None
        self.texts: dict[int, str] = {}

    def of(self, linked: Linked) -> tuple[LineInfo, ...]:
        """Return the lines of linked code, in order. Raises GraftError G0531."""
        found: list[LineInfo] = []
        for part in linked.parts:
            for record in self.within(part.function):
                if record.offset % _SLOT:
                    where = self.elf.where(record.section, record.offset)
                    raise where.error("G0531", "line info within an instruction")
                if record.line == 0 or not self.accept(record):
                    continue
                info = LineInfo(part.base + record.offset // _SLOT - part.function.start, record.line, record.column)
                if found and found[-1].pc == info.pc:
                    found.pop()
                found.append(info)
        return tuple(found)

    def within(self, function: Function) -> list[LineRecord]:
        records = self.records.get(function.section.name, [])
        first, end = (bisect_left(records, at * _SLOT, key=lambda r: r.offset) for at in (function.start, function.end))
        return records[first:end]

    def accept(self, record: LineRecord) -> bool:
        if self.file is None:
            self.file = record.file
        if self.one_file:
            return True
        if record.file == self.file:
            self.texts[record.line] = record.text
            return True
        return False

    def source(self) -> Source | None:
        """Return a source text put together from the lines that BTF quotes; None if there are none, or too many."""
        last = max(self.texts, default=0)
        if not last or last + sum(map(len, self.texts.values())) > limits.SOURCE_BYTES:
            return None
        return Source(self.file or "", "\n".join(self.texts.get(line, "") for line in range(1, last + 1)))
