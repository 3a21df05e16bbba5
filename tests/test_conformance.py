"""The public conformance suite in every engine, and a runner that cannot be made to pass what it should not."""

from __future__ import annotations

from pathlib import Path

import pytest

from grafting import GraftError, Program, hooks
from grafting.assembly.assembler import assemble
from grafting.assembly.listing import bytecode
from jit import conformance, suite_assembly
from jit.activation import ENGINES

SUITE = Path(__file__).resolve().parents[1].parent / "shared" / "conformance"
needs_suite = pytest.mark.skipif(not SUITE.is_dir(), reason="the conformance data are not beside the repository")


def rows(name: str) -> list[list[str]]:
    if not SUITE.is_dir():
        return []
    lines = (SUITE / name).read_text().splitlines()
    return [line.split("\t") for line in lines if not line.startswith("#")]


@needs_suite
@pytest.mark.parametrize("engine", ENGINES)
def test_every_file_of_the_suite_passes(engine: str) -> None:
    results = conformance.run_directory(SUITE / "tests", engine)
    assert len(results) == len(list((SUITE / "tests").glob("*.data"))) > 200
    assert [result for result in results if not result.passed] == []


@needs_suite
@pytest.mark.parametrize("row", rows("golden-bytecode.tsv"), ids=lambda row: row[0])
def test_the_reader_makes_the_bytecode_that_an_independent_assembler_makes(row: list[str]) -> None:
    file, _, _, r0, error, memory, bytecode = row
    case = conformance.parse((SUITE / "tests" / file).read_text())
    assert (case.code.hex(), case.memory.hex()) == (bytecode, memory)
    assert (case.expected is None) == bool(error)
    assert case.expected == int(r0, 0)


@needs_suite
@pytest.mark.parametrize("row", rows("unused-fields.tsv"), ids=lambda row: row[0])
def test_a_reserved_field_that_is_not_zero_is_rejected_by_name(row: list[str]) -> None:
    file, bytecode = row[0], row[6]
    field = file.removesuffix(".data").rpartition("-")[2]
    with pytest.raises(GraftError) as caught:
        Program.from_bytecode(bytes.fromhex(bytecode), hooks.raw_memory(0))
    assert caught.value.diagnostics[0].code == "G0503"
    assert f"`{field}`" in caught.value.diagnostics[0].message


@needs_suite
@pytest.mark.parametrize("row", rows("golden-bytecode.tsv"), ids=lambda row: row[0])
def test_every_program_of_the_suite_is_given_back_by_the_assembler_from_its_listing(row: list[str]) -> None:
    program = Program.from_bytecode(bytes.fromhex(row[6]), hooks.raw_memory(0))
    assert assemble(bytecode(program)) == program.handlers[0].instructions


@needs_suite
@pytest.mark.parametrize("engine", ENGINES)
def test_negative_tests_fail_unless_they_say_that_an_error_is_expected(engine: str) -> None:
    results = conformance.run_directory(SUITE / "negative", engine)
    assert len(results) == len(list((SUITE / "negative").glob("*.data"))) > 40
    for result in results:
        says_so = "-- error" in (SUITE / "negative" / result.file).read_text()
        assert result.passed == says_so, result
        assert result.reason


@needs_suite
@pytest.mark.parametrize("engine", ENGINES)
def test_a_negative_test_of_a_reserved_field_passes_at_load_and_names_the_field(engine: str) -> None:
    for file in sorted((SUITE / "negative").glob("unused-*.data")):
        result = conformance.run_text(file.read_text(), engine)
        field = file.stem.rpartition("-")[2]
        assert result.passed
        assert result.reason.startswith("rejected at load: G0503: ")
        assert f"`{field}`" in result.reason


ACCEPTED = "-- asm\nmov %r0, 1\nexit\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-- result\n0x1\n",
        "-- error\n",
        ACCEPTED,
        ACCEPTED + "-- result\n2\n",
        ACCEPTED + "-- result\none\n",
        ACCEPTED + "-- error\n",
        ACCEPTED + "-- error\n-- mem\nxyz\n",
        "-- asm\nldxb %r0, [%r1+0]\nexit\n-- result\n0\n",
        "-- asm\nja +5\nexit\n-- result\n0\n",
    ],
)
@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_not_met_does_not_pass(text: str, engine: str) -> None:
    result = conformance.run_text(text, engine)
    assert not result.passed
    assert result.reason


@pytest.mark.parametrize(
    "text",
    [
        ACCEPTED + "-- result\n1 # one\n",
        ACCEPTED + "-- result\n0x0000000000000001\n",
        "-- raw\n0x00000001000000b7\n0x0000000000000095\n-- result\n1\n",
        "-- raw\nb7 00 00 00 01 00 00 00\n95 00 00 00 00 00 00 00\n-- asm\nnonsense\n-- result\n1\n",
        "-- raw\n95 01 00 00 00 00 00 00\n-- error\n",
        "-- asm\nldxb %r0, [%r1+2]\nexit\n-- mem\n01 02\n-- error\n",
    ],
)
@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_met_passes(text: str, engine: str) -> None:
    result = conformance.run_text(text, engine)
    assert (result.file, result.engine, result.passed) == ("<string>", engine, True)


STRAY = "-- asm\nldxb %r0, [%r1+2]\nexit\n-- mem\n01 02\n"


@pytest.mark.parametrize(("engine", "how"), [("python", "stopped: "), ("native", "rejected by the verifier: G06")])
def test_it_is_said_how_a_program_was_rejected(engine: str, how: str) -> None:
    expected, not_expected = (conformance.run_text(STRAY + end, engine) for end in ("-- error\n", "-- result\n0\n"))
    assert (expected.passed, not_expected.passed) == (True, False)
    assert expected.reason.startswith(how)
    assert not_expected.reason == expected.reason


def test_a_safe_program_that_the_verifier_does_not_understand_fails_in_native_code_only() -> None:
    opaque = (
        "-- asm\nmov %r3, %r1\nmul %r3, 1\nxor %r3, 5\nxor %r3, 5\nldxb %r0, [%r3]\nexit\n-- mem\n07\n-- result\n7\n"
    )
    assert conformance.run_text(opaque, "python").passed
    native = conformance.run_text(opaque, "native")
    assert not native.passed
    assert native.reason.startswith("rejected by the verifier: ")


def test_the_table_counts_by_engine_and_names_each_failure() -> None:
    results = [
        conformance.run_text(ACCEPTED + "-- result\n2\n", engine, file="x.data") for engine in ("python", "native")
    ]
    text = conformance.table([*results, conformance.run_text(ACCEPTED + "-- result\n1\n", "native")])
    assert [line.split() for line in text.splitlines()[1:3]] == [["python", "0", "1"], ["native", "1", "1"]]
    assert "FAIL native: x.data: r0 is 0x1, expected 0x2" in text


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("nop", "no instruction"), ("mov %r0", "operands"), ("mov %r11, 0", "does not exist"),
        ("mov 1, %r0", "register"),
        ("mov %r0, 0x1ffffffff", "not from"), ("ldxb %r0, [%r1+40000]", "not from"), ("ldxb %r0, [r1]", "address"),
        ("ja nowhere", "no label"), ("lock nand [%r1], %r2", "atomic"), ("call", "takes"), ("stb [%r1], x", "number"),
        ("foo:\nfoo:", "twice"),
    ],
)  # fmt: skip
def test_wrong_assembly_is_an_error_that_says_where(line: str, word: str) -> None:
    with pytest.raises(GraftError, match="line [123]: .*" + word):
        suite_assembly.assemble(f"mov %r0, 0\n{line}\nexit\n")


@pytest.mark.parametrize("call", ["call %r3", "call runtime 7"])
def test_calls_through_registers_and_by_type_are_encoded_and_rejected_at_load(call: str) -> None:
    code = suite_assembly.assemble(f"{call}\nexit\n")
    with pytest.raises(GraftError):
        Program.from_bytecode(code, hooks.raw_memory(0))


def test_a_directory_without_tests_is_an_error(tmp_path: Path) -> None:
    for wrong in (tmp_path, tmp_path / "absent"):
        with pytest.raises(GraftError, match=r"no `\.data` file"):
            conformance.run_directory(wrong)
    with pytest.raises(GraftError, match="no engine"):
        conformance.run_text(ACCEPTED, "numbr")
