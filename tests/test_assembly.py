"""Assembler and disassembler: each undoes the other; every mistake is a code and a place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grafting import Program, hooks, isa, limits
from grafting.assembly.assembler import assemble
from grafting.assembly.disassembler import disassemble
from grafting.assembly.listing import bytecode
from grafting.diagnostics import GraftError
from grafting.isa import Instruction

registers = st.integers(0, 10)
i16 = st.integers(-(2**15), 2**15 - 1)
i32 = st.integers(-(2**31), 2**31 - 1)
fields = st.sampled_from([0, 1, 8, 16, 32, 64]) | i16
single = st.builds(
    Instruction, st.integers(0, 255), registers, registers | st.just(0), fields | st.just(0), fields | i32
).filter(lambda slot: accepted((slot, Instruction(0, 0, 0, 0, 0))))
wide = st.builds(
    lambda dst, src, low, high: (
        Instruction(isa.LDDW, dst, src, 0, abs(low) & 0x7FFFFFFF if src else low),
        Instruction(0, 0, 0, 0, 0 if src == isa.LDDW_MAP else high),
    ),
    registers,
    st.sampled_from([isa.LDDW_IMMEDIATE, isa.LDDW_MAP, isa.LDDW_MAP_VALUE]),
    i32,
    i32,
)
programs = st.lists(single.map(lambda slot: (slot,)) | wide, min_size=1, max_size=12).map(
    lambda parts: tuple(slot for part in parts for slot in part)
)


def accepted(code: tuple[Instruction, ...]) -> bool:
    try:
        return isa.width(isa.operation(code, 0)) == 1
    except GraftError:
        return False


def error(text: str) -> tuple[str, int, str]:
    """Return (code, line, the text under the caret) of the first error in `text`."""
    with pytest.raises(GraftError) as caught:
        assemble(text)
    first = caught.value.diagnostics[0]
    span = first.primary.span
    return first.code, span.line, text[span.start : span.end]


@given(programs)
def test_assembling_undoes_disassembling(code: tuple[Instruction, ...]) -> None:
    assert assemble(disassemble(code)) == code


@given(programs)
def test_disassembling_undoes_assembling_up_to_layout(code: tuple[Instruction, ...]) -> None:
    text = disassemble(code)
    assert disassemble(assemble(text)) == text


@given(programs)
def test_the_listing_of_a_program_is_assembly_that_gives_the_program_back(code: tuple[Instruction, ...]) -> None:
    ended = (*code, Instruction(isa.EXIT, 0, 0, 0, 0))
    try:
        program = Program.from_bytecode(isa.encode(ended), hooks.raw_memory(8))
    except GraftError:  # a jump that leads nowhere, a map that is not declared
        return
    assert assemble(bytecode(program)) == ended


@given(st.text(alphabet="rw0123456789 =+-*/%&|^<>s()ulockgtifexcap:;#\n", max_size=200))
def test_any_text_is_assembled_or_refused_with_a_place(text: str) -> None:
    try:
        assemble(text)
        found = ()
    except GraftError as caught:
        found = caught.diagnostics
    for diagnostic in found:
        assert diagnostic.code in {"G0561", "G0562", "G0563", "G0564"}
        assert diagnostic.primary.span.known or "no instruction" in diagnostic.message


@pytest.mark.parametrize(
    ("text", "slots"),
    [
        ("r0 = 1", [(0xB7, 0, 0, 0, 1)]),
        ("w0 = 0xffffffff", [(0xB4, 0, 0, 0, -1)]),
        ("r3 s/= r4", [(0x3F, 3, 4, 1, 0)]),
        ("w3 %= 7", [(0x94, 3, 0, 0, 7)]),
        ("r1 = -r1", [(0x87, 1, 0, 0, 0)]),
        ("r1 = (s16)r2", [(0xBF, 1, 2, 16, 0)]),
        ("r1 = bswap32 r1", [(0xD7, 1, 0, 0, 32)]),
        ("r1 = be16 r1", [(0xDC, 1, 0, 0, 16)]),
        ("r1 = *(s8 *)(r2 - 4)", [(0x91, 1, 2, -4, 0)]),
        ("*(u16 *)(r10 - 2) = r1", [(0x6B, 10, 1, -2, 0)]),
        ("*(u64 *)(r10 - 8) = 5", [(0x7A, 10, 0, -8, 5)]),
        ("lock *(u32 *)(r1 + 0) |= w2", [(0xC3, 1, 2, 0, 0x40)]),
        ("w2 = atomic_fetch_add((u32 *)(r1 + 4), w2)", [(0xC3, 1, 2, 4, 1)]),
        ("r2 = xchg_64(r1 + 0, r2)", [(0xDB, 1, 2, 0, 0xE1)]),
        ("w0 = cmpxchg32_32(r1 + 0, w0, w2)", [(0xC3, 1, 2, 0, 0xF1)]),
        ("if w1 s<= -1 goto +2", [(0xD6, 1, 0, 2, -1)]),
        ("gotol -1", [(0x06, 0, 0, 0, -1)]),
        ("r1 = 0x1122334455667788 ll", [(0x18, 1, 0, 0, 0x55667788), (0, 0, 0, 0, 0x11223344)]),
        ("r1 = map 3 ll", [(0x18, 1, 5, 0, 3), (0, 0, 0, 0, 0)]),
        ("r1 = map_value 3 + 8 ll", [(0x18, 1, 6, 0, 3), (0, 0, 0, 0, 8)]),
        ("call 1000; exit", [(0x85, 0, 0, 0, 1000), (0x95, 0, 0, 0, 0)]),
        ("call f; exit; f: exit", [(0x85, 0, 1, 0, 1), (0x95, 0, 0, 0, 0), (0x95, 0, 0, 0, 0)]),
        ("top: r1 += 1 # comment\n goto top // again", [(0x07, 1, 0, 0, 1), (0x05, 0, 0, -2, 0)]),
    ],
)
def test_each_form_has_its_encoding(text: str, slots: list[tuple[int, int, int, int, int]]) -> None:
    assert assemble(text) == tuple(Instruction(*slot) for slot in slots)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("exit\nr11 = 1", ("G0561", 2, "r11")),
        ("r1 = w2", ("G0561", 1, "w2")),
        ("r1 ? 2", ("G0561", 1, "?")),
        ("exit now", ("G0561", 1, "now")),
        ("r1 = r2\n  jump there", ("G0561", 2, "jump")),
        ("*(s8 *)(r1 + 0) = r2", ("G0561", 1, "*")),
        ("lock *(u16 *)(r1 + 0) += r2", ("G0561", 1, "*")),
        ("w1 = *(u64 *)(r2 + 0)", ("G0561", 1, "*")),
        ("r1 = be16 r2", ("G0561", 1, "r2")),
        ("r0: exit", ("G0561", 1, "r0")),
        ("goto away", ("G0562", 1, "away")),
        ("a: exit\na: exit", ("G0562", 2, "a")),
        ("r1 = 0x100000000", ("G0563", 1, "0x100000000")),
        ("r1 = *(u8 *)(r2 + 40000)", ("G0563", 1, "40000")),
        ("r1 = " + "9" * 5000, ("G0563", 1, "9" * 5000)),
        ("callx r1", ("G0564", 1, "callx")),
        ("", ("G0561", 0, "")),
    ],
)
def test_a_mistake_has_a_code_and_a_place(text: str, expected: tuple[str, int, str]) -> None:
    assert error(text) == expected


def test_a_label_too_far_for_sixteen_bits_is_refused_and_gotol_reaches_it() -> None:
    body = "r0 = 0\n" * 40_000
    assert error("goto end\n" + body + "end: exit")[0] == "G0563"
    assert assemble("gotol end\n" + body + "end: exit")[0] == Instruction(isa.JA32, 0, 0, 0, 40_000)


def test_independent_mistakes_are_reported_together_and_in_order() -> None:
    with pytest.raises(GraftError) as caught:
        assemble("r1 = \nexit\ngoto away\nbad")
    assert [d.primary.span.line for d in caught.value.diagnostics] == [1, 3, 4]


def test_the_number_of_errors_is_bounded() -> None:
    with pytest.raises(GraftError) as caught:
        assemble("?\n" * 100_000)
    assert len(caught.value.diagnostics) == limits.DIAGNOSTICS_MAX


def test_a_helper_of_any_number_is_no_distance() -> None:
    code = (Instruction(isa.CALL, 0, isa.CALL_HELPER, 0, -1), Instruction(isa.EXIT, 0, 0, 0, 0))
    assert disassemble(code).splitlines()[0].strip() == "call 4294967295"
    assert assemble(disassemble(code)) == code
