"""Object files: dumping and loading is the identity; objects by clang, and by hand, are understood."""

from __future__ import annotations

import io
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import given
from hypothesis import strategies as st
from objects import DATA, FULL, GOOD_MAP, MAPS, REPLY, TIMER, TIMER_SECTION, made, maps_object, program, section

from grafting import compile_graft, hooks, isa
from grafting.assembly.assembler import assemble
from grafting.diagnostics import GraftError, Source
from grafting.isa import Instruction, LoadMap, LoadMapValue
from grafting.objects import btf, elf, map_definitions
from grafting.objects.btf import Btf
from grafting.objects.elf import ALLOC, FUNC, GLOBAL, LOCAL, OBJECT, PROGBITS, WRITE, Elf, Relocation, Section, Symbol
from grafting.objects.elf import SECTION as SECTION_SYMBOL
from grafting.objects.object_file import dump, load
from grafting.program import Budget, LineInfo, MapKind, MapSpec, Program

# --- identity --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "hook",
    [*hooks.GRAFT_HOOKS.values(), hooks.raw_memory(64), hooks.raw_memory(1, writable=False), hooks.raw_context(128)],
    ids=lambda hook: hook.name,
)
def test_loading_undoes_dumping_for_every_hook(hook: hooks.Hook) -> None:
    assembled = Program.from_assembly("call f\nexit\nf: r0 = 0\nexit", hook)
    assert Program.from_elf(assembled.to_elf()) == assembled


def test_loading_undoes_dumping_for_maps_data_callees_lines_and_declarations() -> None:
    assert load(dump(FULL)) == FULL


registers = st.integers(0, 9)
numbers = st.integers(0, len(MAPS) - 1)
operations = st.one_of(
    st.builds("r{} = map {} ll".format, registers, numbers),
    st.builds("r{} = map_value {} + {} ll".format, registers, numbers, st.integers(0, 2**32 - 1)),
    st.builds("r{} = {} ll".format, registers, st.integers(0, 2**64 - 1)),
    st.builds("r{} += r{}".format, registers, registers),
    st.sampled_from(["call f", "call 5", "if r1 > 2 goto done", "f: r0 = 0", "exit"]),
)


@given(st.lists(operations, max_size=20))
def test_loading_undoes_dumping_for_random_code(lines: list[str]) -> None:
    labels = 0
    text = []
    for line in lines:
        first = not labels
        labels += line.startswith("f:")
        text.append(line if not line.startswith("f:") or first else "r0 = 0")
    text += ["done: r0 = 0", "exit"] + ([] if labels else ["f: exit"])
    made = program("\n".join(text))
    assert load(dump(made)) == made


def test_equal_programs_give_equal_bytes() -> None:
    assert dump(FULL) == dump(load(dump(FULL)))


def test_the_image_of_a_loaded_program_is_its_file() -> None:
    data = dump(FULL)
    assert load(data).image == data


def test_another_reader_of_elf_sees_the_same_sections_and_relocations() -> None:
    file = ELFFile(io.BytesIO(dump(FULL)))
    names = [section.name for section in file.iter_sections()]
    assert names[:3] == ["", "graft/reply", "graft/reply/disk.read"]
    assert {".maps", ".bss", ".data", ".rodata", ".BTF", ".BTF.ext", ".graft", ".symtab"} <= set(names)
    symbols = file.get_section_by_name(".symtab")
    maps = {s.name: s["st_size"] for s in symbols.iter_symbols() if s["st_info"]["type"] == "STT_OBJECT"}
    assert maps == {"wanted": 32, "table": 40}
    relocations = list(file.get_section_by_name(".relgraft/reply").iter_relocations())
    assert [r["r_offset"] // 8 for r in relocations] == [0, 2, 10]


@pytest.mark.skipif(shutil.which("bpftool") is None, reason="bpftool, which has libbpf in it, is not installed")
def test_libbpf_opens_what_is_dumped(tmp_path: Path) -> None:
    file = tmp_path / "full.o"
    file.write_bytes(dump(FULL))
    opened = subprocess.run(["bpftool", "gen", "skeleton", file], capture_output=True, text=True, check=True).stdout
    for name in ("bpf_map *wanted", "bpf_map *table", "bpf_map *rodata", "bpf_program *graft_reply_disk_read"):
        assert f"struct {name};" in opened


def test_stripping_debug_sections_changes_nothing_that_is_loaded() -> None:
    data = (DATA / "follow.o").read_bytes()
    assert load(elf.write(elf.read(data)), "follow.o") == load(data, "follow.o")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: replace(p, handlers=(p.handlers[0], replace(p.handlers[0], name="other"))), "two handlers"),
        (lambda p: replace(p, handlers=(replace(p.handlers[0], hook=replace(REPLY, aligned=False)),)), "section name"),
        (lambda p: replace(p, handlers=(replace(p.handlers[0], selector="a/b"),)), "section name"),
        (lambda p: replace(p, handlers=(replace(p.handlers[0], hook=TIMER, selector="a.b"),)), "section name"),
        (lambda p: replace(p, handlers=(replace(p.handlers[0], lines=(LineInfo(0, 0, 0),)),)), "beyond BTF"),
        (lambda p: replace(p, maps=(replace(MAPS[0], name=".strange"), *MAPS[1:])), "name or shape"),
        (lambda p: replace(p, maps=(replace(MAPS[0], read_only=False), *MAPS[1:])), "name or shape"),
        (lambda p: replace(p, maps=(*MAPS[:4], replace(MAPS[1], name="a b"))), "name or shape"),
        (lambda p: replace(p, maps=(*MAPS[:4], MAPS[1])), "two maps"),
        (lambda p: replace(p, maps=MAPS[:4]), "counts 5 maps of 4"),
    ],
)
def test_what_an_object_cannot_say_is_refused(change: Callable[[Program], Program], words: str) -> None:
    with pytest.raises(GraftError, match=words) as caught:
        dump(change(FULL))
    assert caught.value.diagnostics[0].code == "G0550"


# --- objects by clang ------------------------------------------------------------------------------------------------


def test_an_object_by_clang_is_understood_as_a_whole() -> None:
    loaded = load((DATA / "follow.o").read_bytes(), "some/follow.o")
    assert loaded.name == "follow"
    (handler,) = loaded.handlers
    assert (handler.name, handler.event, handler.selector) == ("reply/disk.read", "reply", "disk.read")
    assert handler.budget == Budget(400, 1, 64)
    (slot,) = loaded.slots
    assert (slot.name, slot.send, slot.grant, slot.protocol.name) == ("disk", True, False, "block")
    assert [(op.name, op.request_min, op.reply_type, op.reply_bytes) for op in slot.protocol.ops] == [
        ("read", 8, "struct node", 16)
    ]
    nodes, bss, table = loaded.maps
    assert nodes == MapSpec("nodes", MapKind.HASH, 8, 16, 1024, key_type="u64", value_type="node")
    assert loaded.debug.types == {"node": {"struct": [["next", "u64", 0], ["value", "u64", 8]], "size": 16}}
    assert bss == MapSpec(".bss", MapKind.ARRAY, 4, 8, 1)
    assert (table.read_only, table.initial) == (True, b"".join(n.to_bytes(4, "little") for n in (1, 2, 3, 4)))


def test_a_callee_in_another_section_is_placed_behind_its_caller_with_its_lines() -> None:
    (handler,) = load((DATA / "follow.o").read_bytes()).handlers
    calls = [op.target for op in handler.operations.values() if isinstance(op, isa.CallLocal)]
    assert len(calls) == 1
    source = (DATA / "follow.c").read_text().split("\n")
    info = handler.line_at(calls[0])
    assert info is not None
    assert "noinline" in source[info.line - 1]
    assert isinstance(handler.operations[calls[0] - 1], isa.Exit)


def test_source_lines_are_put_together_from_type_information() -> None:
    loaded = load((DATA / "follow.o").read_bytes())
    source = (DATA / "follow.c").read_text().split("\n")
    assert loaded.debug.source is not None
    lines = {info.line for info in loaded.handlers[0].lines}
    assert lines
    for line in lines:
        assert loaded.debug.source.line_text(line).strip() == source[line - 1].strip()


def test_a_loaded_foreign_program_is_dumped_and_loaded_equal() -> None:
    loaded = load((DATA / "follow.o").read_bytes())
    assert load(dump(loaded)) == loaded


# --- objects made by hand --------------------------------------------------------------------------------------------


def test_a_handler_alone_is_enough() -> None:
    (handler,) = load(made(TIMER_SECTION)).handlers
    assert (handler.name, handler.event) == ("timer", "timer")


def test_recursive_and_shared_callees_are_placed_once() -> None:
    entry = section(1, "graft/timer", "call +1\n exit\n r0 = 0\n exit")
    entry = replace(entry, data=isa.encode((*[Instruction(isa.CALL, 0, 1, 0, -1)] * 2, assemble("exit")[0])), size=24)
    callee = section(2, ".text", "r0 = 1\n call -2\n exit")
    symbols = (
        Symbol("go", 1, 0, 24, GLOBAL, FUNC),
        Symbol("", 2, type=SECTION_SYMBOL),
        Symbol("f", 2, 0, 24, LOCAL, FUNC),
    )
    calls = (Relocation(0, elf.R_BPF_64_32, 2), Relocation(8, elf.R_BPF_64_32, 2))
    (handler,) = load(made(entry, callee, symbols=symbols, s1=calls)).handlers
    assert [op.target for op in handler.operations.values() if isinstance(op, isa.CallLocal)] == [3, 3, 3]
    assert len(handler.instructions) == 6


def test_a_place_in_data_is_symbol_plus_addend() -> None:
    entry = section(1, "graft/timer", "r1 = 8 ll\n r0 = 0\n exit")
    data = Section(2, ".data", PROGBITS, ALLOC | WRITE, bytes(range(32)), 32, 8)
    symbols = (Symbol("go", 1, 0, 32, GLOBAL, FUNC), Symbol("x", 2, 16, 8, GLOBAL, OBJECT))
    loaded = load(made(entry, data, symbols=symbols, s1=(Relocation(0, elf.R_BPF_64_64, 2),)))
    assert loaded.handlers[0].operations[0] == LoadMapValue(1, 0, 24)
    assert loaded.maps[0].initial == bytes(range(32))


def test_a_map_given_by_sizes_is_found_by_its_symbol() -> None:
    loaded = load(maps_object(**GOOD_MAP))
    assert loaded.maps == (MapSpec("m", MapKind.HASH, 8, 8, 10),)
    assert loaded.handlers[0].operations[0] == LoadMap(1, 0)


def test_definitions_are_written_as_they_are_read() -> None:
    types: list[btf.Type] = []
    specs = [spec for spec in MAPS if not spec.is_data]
    map_definitions.write(specs, types)
    size = sum(map(map_definitions.variable_bytes, specs))
    home = Section(1, ".maps", PROGBITS, ALLOC, bytes(size), size)
    symbols = (Symbol("wanted", 1, 0, 32), Symbol("table", 1, 32, 40))
    found = map_definitions.read(Elf("x.o", (home,), symbols), Btf(tuple(types)))
    assert found.maps == ((0, replace(MAPS[1], key_type="", value_type="")), (32, MAPS[3]))


# --- compiled samples ------------------------------------------------------------------------------------------------

SAMPLES = sorted((DATA.parents[1] / "samples").glob("*.graft"))


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_loading_undoes_dumping_for_compiled_samples(path: Path) -> None:
    compiled = compile_graft(path.read_text(), filename=path.name)
    assert load(dump(compiled)) == compiled
    assert load(compiled.image, path.name) == compiled


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_compiled_sample_says_all_of_itself_in_its_object(path: Path) -> None:
    compiled = compile_graft(path.read_text(), filename=path.name)
    assert compiled.debug.source == Source(path.name, path.read_text())
    assert compiled.slots or compiled.serves
    assert compiled.tests
    for handler in compiled.handlers:
        assert handler.lines
