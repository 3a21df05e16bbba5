"""Objects for tests: a program with a bit of everything, and objects put together section by section."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from grafting import hooks, isa
from grafting.assembly.assembler import assemble
from grafting.diagnostics import GraftError, Source, Span
from grafting.objects import btf, elf
from grafting.objects.btf import Btf
from grafting.objects.elf import (
    ALLOC,
    EXECINSTR,
    FUNC,
    GLOBAL,
    OBJECT,
    PROGBITS,
    WRITE,
    Elf,
    Relocation,
    Section,
    Strings,
    Symbol,
)
from grafting.objects.object_file import load
from grafting.program import Budget, DebugInfo, Handler, LineInfo, MapKind, MapSpec, Program, ProtocolSpec, SlotSpec

DATA = Path(__file__).parent / "data"
REPLY, TIMER = hooks.GRAFT_HOOKS["reply"], hooks.GRAFT_HOOKS["timer"]

MAPS = (
    MapSpec(".rodata", MapKind.ARRAY, 4, 3, 1, b"abc", read_only=True),
    MapSpec("wanted", MapKind.HASH, 8, 16, 1024, key_type="u64", value_type="Row"),
    MapSpec(".bss", MapKind.ARRAY, 4, 64, 1),
    MapSpec("table", MapKind.ARRAY, 8, 4, 1, read_only=True),
    MapSpec(".data", MapKind.ARRAY, 4, 2, 1, b"\0\1"),
)


def program(text: str, hook: hooks.Hook = REPLY, **fields: object) -> Program:
    """Return the program of one handler with all of `MAPS`."""
    handler = Handler("main", hook, assemble(text), maps=len(MAPS))
    return replace(Program("test", (handler,), MAPS), **fields)  # type: ignore[arg-type]


FULL = program(
    "r1 = map 1 ll\n r2 = map_value 2 + 8 ll\n r3 = map_value 3 + 2 ll\n r4 = map 0 ll\n call f\n exit\n"
    "f: r0 = map_value 0 + 1 ll\n r1 = 0x1122334455667788 ll\n exit",
    slots=(SlotSpec("disk", ProtocolSpec("block", ()), grant=True),),
    serves=(ProtocolSpec("kv", ()),),
    debug=DebugInfo(Source("t.graft", "graft t\nline two\n"), {}, {(2, 1): Span(2, 1, 8, 12)}),
)
FULL = replace(
    FULL,
    handlers=(
        replace(FULL.handlers[0], lines=(LineInfo(0, 1, 1), LineInfo(4, 2, 1023), LineInfo(10, 2, 0))),
        Handler("reply/disk.read", REPLY, assemble("r0 = 1\nexit"), "disk.read", Budget(9, 0, 0), maps=len(MAPS)),
    ),
)


CODE = ALLOC | EXECINSTR


def section(number: int, name: str, text: str, flags: int = CODE) -> Section:
    code = isa.encode(assemble(text))
    return Section(number, name, PROGBITS, flags, code, len(code), 8)


def made(*sections: Section, symbols: tuple[Symbol, ...] = (), **relocations: tuple[Relocation, ...]) -> bytes:
    """Return an object; without `symbols` each code section is one global function. Relocations: s1=.. of section 1."""
    functions = [Symbol(f"f{s.number}", s.number, 0, s.size, GLOBAL, FUNC) for s in sections if s.is_code]
    by_section = {int(key[1:]): value for key, value in relocations.items()}
    null = Symbol("", elf.UNDEFINED)
    return elf.write(Elf("made.o", sections, (null, *(symbols or functions)), by_section))


def code_of(data: bytes) -> str:
    with pytest.raises(GraftError) as caught:
        load(data, "made.o")
    return caught.value.diagnostics[0].code


TIMER_SECTION = section(1, "graft/timer", "r0 = 0\nexit")


def maps_object(**numbers: int) -> bytes:
    """Return an object with one map `m`, defined by these numbers."""
    types: list[btf.Type] = [btf.Int("int", 4)]
    members = []
    for name, value in numbers.items():
        types += [btf.Array(1, 1, value), btf.Reference(btf.Kind.POINTER, len(types) + 1)]
        members.append(btf.Member(name, len(types), 64 * len(members)))
    size = 8 * len(members)
    types.append(btf.Composite(btf.Kind.STRUCT, "", size, tuple(members)))
    types.append(btf.Variable("m", len(types)))
    types.append(btf.DataSection(".maps", size, ((len(types), 0, size),)))
    maps = Section(2, ".maps", PROGBITS, ALLOC | WRITE, bytes(size), size, 8)
    described = btf.write(Btf(tuple(types)), Strings())
    symbols = (Symbol("go", 1, 0, 32, GLOBAL, FUNC), Symbol("m", 2, 0, size, GLOBAL, OBJECT))
    entry = section(1, "graft/timer", "r1 = 0 ll\n r0 = 0\n exit")
    info = Section(3, ".BTF", PROGBITS, 0, described, len(described), 4)
    return made(entry, maps, info, symbols=symbols, s1=(Relocation(0, elf.R_BPF_64_64, 2),))


GOOD_MAP = {"type": 1, "key_size": 8, "value_size": 8, "max_entries": 10}
