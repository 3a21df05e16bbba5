"""Hostile objects: each fault has its code and place; damaged ones are refused or are programs like any other."""

from __future__ import annotations

import random
import struct
from dataclasses import replace

import pytest
from damage import damaged
from hypothesis import given
from hypothesis import strategies as st
from objects import DATA, FULL, GOOD_MAP, TIMER, TIMER_SECTION, code_of, made, maps_object, section

from grafting import limits
from grafting.diagnostics import GraftError
from grafting.objects import elf
from grafting.objects.elf import ALLOC, FUNC, GLOBAL, LOCAL, NOBITS, PROGBITS, WRITE, Relocation, Section, Symbol
from grafting.objects.object_file import dump, load
from grafting.program import Program


@pytest.mark.parametrize(
    "change",
    [
        {"type": 3},
        {"type": 2, "key_size": 16},
        {"key_size": 0},
        {"key_size": limits.MAP_KEY_BYTES + 1},
        {"value_size": limits.MAP_VALUE_BYTES + 1},
        {"max_entries": 0},
        {"max_entries": limits.MAP_ENTRIES + 1},
        {"map_flags": 1 << 10},
        {"pinning": 1},
    ],
    ids=str,
)
def test_a_map_of_another_kind_or_size_is_refused(change: dict[str, int]) -> None:
    assert code_of(maps_object(**GOOD_MAP | change)) == "G0532"


def test_maps_that_need_too_much_memory_are_refused() -> None:
    huge = GOOD_MAP | {"value_size": limits.MAP_VALUE_BYTES, "max_entries": limits.MAP_ENTRIES}
    assert code_of(maps_object(**huge)) == "G0526"


def test_maps_without_type_information_are_refused() -> None:
    maps = Section(2, ".maps", PROGBITS, ALLOC | WRITE, bytes(32), 32, 8)
    assert code_of(made(TIMER_SECTION, maps)) == "G0532"


def timer(text: str) -> Section:
    return section(1, "graft/timer", text)


def whole(size: int, *more: Symbol) -> tuple[Symbol, ...]:
    return (Symbol("go", 1, 0, size, GLOBAL, FUNC), *more)


NOWHERE = Symbol("nowhere", elf.UNDEFINED, binding=GLOBAL)
BAD = {
    "no hook for the section": (made(section(1, "xdp", "r0 = 0\nexit")), "G0520"),
    "an event without selector": (made(section(1, "graft/timer/a.b", "exit")), "G0520"),
    "a handler that is no code": (made(section(1, "graft/timer", "exit", ALLOC)), "G0520"),
    "no handler": (made(section(1, ".text", "exit")), "G0520"),
    "raw memory of no size": (made(section(1, "raw_memory/0", "exit")), "G0520"),
    "a handler twice": (made(TIMER_SECTION, replace(TIMER_SECTION, number=2)), "G0513"),
    "code without symbols": (made(TIMER_SECTION, symbols=(NOWHERE,)), "G0521"),
    "a function past its section": (made(TIMER_SECTION, symbols=whole(24)), "G0521"),
    "a function of no size": (made(TIMER_SECTION, symbols=whole(0)), "G0521"),
    "half an instruction": (made(TIMER_SECTION, symbols=whole(12)), "G0521"),
    "functions that overlap": (made(TIMER_SECTION, symbols=whole(16, Symbol("b", 1, 8, 8, LOCAL, FUNC))), "G0521"),
    "two entry points": (
        made(timer("exit\nexit"), symbols=whole(8, Symbol("b", 1, 8, 8, GLOBAL, FUNC))), "G0521"),
    "a relocated addition": (made(TIMER_SECTION, symbols=whole(16, NOWHERE), s1=(Relocation(0, 1, 2),)), "G0522"),
    "a relocation between instructions": (
        made(TIMER_SECTION, symbols=whole(16, NOWHERE), s1=(Relocation(4, 1, 2),)), "G0522"),
    "a relocation kind of calls on an address": (
        made(timer("r1 = 0 ll\nexit"), symbols=whole(24, NOWHERE), s1=(Relocation(0, 10, 2),)), "G0522"),
    "an address defined nowhere": (
        made(timer("r1 = 0 ll\nexit"), symbols=whole(24, NOWHERE), s1=(Relocation(0, 1, 2),)), "G0523"),
    "the address of a function": (
        made(timer("r1 = 0 ll\nexit"), symbols=whole(24), s1=(Relocation(0, 1, 1),)), "G0523"),
    "a call defined nowhere": (
        made(timer("call -1\nexit"), symbols=whole(16, NOWHERE), s1=(Relocation(0, 10, 2),)), "G0523"),
    "a call into a function's middle": (
        made(timer("call +2\nexit\nr0 = 0\nexit"), symbols=whole(16, Symbol("b", 1, 16, 16, LOCAL, FUNC))), "G0524"),
    "a call out of the section": (made(timer("call +7\nexit")), "G0524"),
    "a jump out of the function": (
        made(timer("goto +1\nexit\nexit"), symbols=whole(16, Symbol("b", 1, 16, 8, LOCAL, FUNC))), "G0524"),
    "a function without an end": (
        made(timer("r0 = 0\nexit"), symbols=whole(8, Symbol("b", 1, 8, 8, LOCAL, FUNC))), "G0524"),
    "a map number that is not declared": (made(timer("r1 = map 0 ll\nexit")), "G0509"),
    "data with addresses in it": (
        made(TIMER_SECTION, Section(2, ".data", PROGBITS, ALLOC, bytes(8), 8), symbols=whole(16),
             s2=(Relocation(0, 2, 1),)), "G0525"),
    "too much global data": (
        made(TIMER_SECTION, Section(2, ".bss", NOBITS, ALLOC, b"", limits.MAP_VALUE_BYTES + 1)), "G0525"),
    "memory beyond any file": (made(TIMER_SECTION, Section(2, ".bss", NOBITS, ALLOC, b"", 2**60)), "G0512"),
    "too many handlers": (
        made(*(section(n, f"graft/reply/a.b{n}", "exit") for n in range(1, limits.PROGRAM_HANDLERS + 2))), "G0526"),
    "slots that are no records": (made(TIMER_SECTION, Section(2, ".graft.slots", PROGBITS, ALLOC, b"x", 1)), "G0527"),
    "bad type information": (made(TIMER_SECTION, Section(2, ".BTF", PROGBITS, 0, b"x", 1)), "G0530"),
    "bad metadata": (made(TIMER_SECTION, Section(2, ".graft", PROGBITS, ALLOC, b"{", 1)), "G0540"),
    "two declarations of slots": (
        made(TIMER_SECTION, Section(2, ".graft", PROGBITS, 0, b"{", 1), Section(3, ".graft.ops", PROGBITS, 0, b"", 0)),
        "G0527"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_each_fault_has_its_code(name: str) -> None:
    data, code = BAD[name]
    assert code_of(data) == code


def test_faults_name_section_and_byte() -> None:
    data, _ = BAD["a call out of the section"]
    with pytest.raises(GraftError, match=r"made\.o.*section `graft/timer`, at byte 0x0"):
        load(data, "made.o")


def slot_record(name: bytes, number: int, rights: int = 1) -> bytes:
    return struct.pack("<32s32sII", name, b"block", number, rights)


@pytest.mark.parametrize(
    "records",
    [
        slot_record(b"a", 1),
        slot_record(b"a", 0) * 2,
        slot_record(b"a", 0, 4),
        slot_record(b"", 0),
        slot_record(b"a" * 32, 0),
        slot_record(b"a\0b", 0),
        slot_record(b"\xff", 0),
        slot_record(b"a", 0)[:-1],
    ],
)
def test_bad_slot_records_are_refused(records: bytes) -> None:
    slots = Section(2, ".graft.slots", PROGBITS, ALLOC, records, len(records))
    assert code_of(made(TIMER_SECTION, slots)) == "G0527"


# --- bytes -----------------------------------------------------------------------------------------------------------

GOOD = dump(FULL)
SECTION_HEADERS = int.from_bytes(GOOD[40:48], "little")


def patched(at: int, *values: int) -> bytes:
    return GOOD[:at] + bytes(values) + GOOD[at + len(values) :]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "G0510"),
        (b"\x7fELF", "G0510"),
        (GOOD[:63], "G0510"),
        (GOOD[:-1], "G0510"),
        (patched(4, 1), "G0511"),  # 32 bits
        (patched(5, 2), "G0511"),  # big endian
        (patched(16, 2), "G0511"),  # executable
        (patched(18, 62), "G0511"),  # x86-64
        (patched(60, 0, 0), "G0512"),  # no sections
        (patched(60, 255, 255), "G0512"),  # 65535 sections
        (patched(58, 32), "G0513"),  # odd section headers
        (patched(62, 200), "G0514"),  # names in no section
        (patched(SECTION_HEADERS + 64, 255, 255), "G0515"),  # a name past the names
        (patched(SECTION_HEADERS + 64 + 24, 0, 0), "G0513"),  # a section over the file header
        (patched(SECTION_HEADERS + 64 + 32, 255, 255, 255), "G0513"),  # a section past the file
        (b"\x7fELF" + bytes(limits.OBJECT_BYTES), "G0512"),
    ],
)
def test_each_damage_of_the_file_has_its_code(data: bytes, code: str) -> None:
    assert code_of(data) == code


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    assert code_of(data) in {"G0510", "G0511"}


@given(st.integers(0, len(GOOD)))
def test_every_truncation_is_refused(length: int) -> None:
    if length < len(GOOD):
        assert code_of(GOOD[:length]).startswith("G051")


@pytest.mark.parametrize("seed", range(40))
def test_damaged_objects_are_refused_or_load_as_programs_that_dump_and_load_equal(seed: int) -> None:
    choose = random.Random(seed)
    originals = [GOOD, (DATA / "follow.o").read_bytes(), dump(Program.from_assembly("r0 = 0\nexit", TIMER))]
    for _ in range(20):
        try:
            loaded = load(damaged(choose.choice(originals), choose))
            data = dump(loaded)
        except GraftError as error:
            codes = {diagnostic.code for diagnostic in error.diagnostics}
        else:
            codes = set()
            assert load(data) == loaded
        assert all(code.startswith("G05") for code in codes)
