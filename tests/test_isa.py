"""The instruction set: wire form and meaning."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grafting import isa
from grafting.diagnostics import GraftError
from grafting.isa import Instruction
from grafting.wellformed import check

SHARED = Path(__file__).resolve().parents[1].parent / "shared"
needs_shared = pytest.mark.skipif(not SHARED.exists(), reason="../shared, the data of the project, is not beside it")

EXIT = Instruction(isa.EXIT, 0, 0, 0, 0)
instructions = st.builds(
    Instruction,
    st.integers(0, 255),
    st.integers(0, 15),
    st.integers(0, 15),
    st.integers(-(2**15), 2**15 - 1),
    st.integers(-(2**31), 2**31 - 1),
)


def code_of(*slots: Instruction) -> str | None:
    """Return the diagnostic code with which a program is refused, or None if it is well formed."""
    try:
        check(slots)
    except GraftError as error:
        return error.diagnostics[0].code
    return None


@given(st.lists(instructions, min_size=1))
def test_decode_inverts_encode(code: list[Instruction]) -> None:
    assert isa.decode(isa.encode(code)) == tuple(code)


@given(st.binary())
def test_bytes_are_decoded_exactly_or_refused(data: bytes) -> None:
    if data and len(data) % 8 == 0:
        assert isa.encode(isa.decode(data)) == data
    else:
        with pytest.raises(GraftError, match="G0501"):
            isa.decode(data)


@given(st.lists(instructions, min_size=1, max_size=8))
def test_any_slots_are_well_formed_or_refused_with_a_code(code: list[Instruction]) -> None:
    refused = code_of(*code)
    assert refused is None or re.fullmatch(r"G05\d\d", refused)


@needs_shared
def test_every_golden_program_is_well_formed_and_survives_the_wire() -> None:
    rows = [line.rstrip("\n").split("\t") for line in (SHARED / "conformance/golden-bytecode.tsv").open()][1:]
    assert len(rows) > 100
    for row in rows:
        data = bytes.fromhex(row[6])
        check(isa.decode(data))
        assert isa.encode(isa.decode(data)) == data


@needs_shared
def test_every_reserved_field_is_refused_by_name() -> None:
    rows = [line.rstrip("\n").split("\t") for line in (SHARED / "conformance/unused-fields.tsv").open()][1:]
    assert len(rows) > 30
    for row in rows:
        field = row[0].removesuffix(".data").rsplit("-", 1)[1]
        with pytest.raises(GraftError) as refusal:
            check(isa.decode(bytes.fromhex(row[6])))
        assert refusal.value.diagnostics[0].code == "G0503", row[0]
        assert f"`{field}`" in refusal.value.diagnostics[0].message, row[0]


@pytest.mark.parametrize(
    ("slots", "expected"),
    [
        ((EXIT,), None),
        ((Instruction(0xB7, 0, 0, 0, 0),), "G0508"),  # runs off the end
        ((Instruction(isa.JA, 0, 0, -1, 0),), None),  # endless, but well formed
        ((Instruction(isa.JA, 0, 0, 1, 0), EXIT), "G0507"),
        ((Instruction(isa.JA, 0, 0, -2, 0), EXIT), "G0507"),
        (
            (Instruction(isa.JA, 0, 0, 1, 0), Instruction(isa.LDDW, 0, 0, 0, 1), Instruction(0, 0, 0, 0, 0), EXIT),
            "G0507",
        ),
        ((Instruction(isa.LDDW, 0, 0, 0, 1),), "G0505"),
        ((Instruction(isa.LDDW, 0, 0, 0, 1), EXIT), "G0505"),
        ((Instruction(isa.LDDW, 0, isa.LDDW_MAP, 0, 0), Instruction(0, 0, 0, 0, 0), EXIT), "G0509"),
        ((Instruction(0xB7, 11, 0, 0, 0), EXIT), "G0504"),
        ((Instruction(isa.CALLX, 0, 0, 0, 0), EXIT), "G0502"),
        ((Instruction(0x30, 0, 0, 0, 0), EXIT), "G0502"),  # legacy packet access
        ((Instruction(0xDB, 10, 1, -8, 0xE0), EXIT), "G0503"),  # exchange without fetch
    ],
)
def test_structure_is_checked(slots: tuple[Instruction, ...], expected: str | None) -> None:
    assert code_of(*slots) == expected


def test_every_operation_has_one_cost_class() -> None:
    assert isa.cost_class(isa.AluOp(isa.Alu.SMOD, 64, 0, isa.Imm(3))) is isa.CostClass.DIV
    assert isa.cost_class(isa.LoadImm64(0, 1)) is isa.CostClass.ALU
    assert isa.cost_class(isa.CallHelper(5)) is isa.CostClass.CALL
