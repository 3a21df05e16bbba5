"""Native code does what RFC 9669 and the interpreter say, instruction by instruction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from machines import words

import jit
import verifier
from grafting import Program, hooks
from grafting.isa import Alu, Condition
from jit import conformance
from jit.activation import run_raw

SUITE = Path(__file__).resolve().parents[1].parent / "shared" / "conformance"

WORDS = (0, 1, 2, 7, 31, 32, 63, 64, 0x7F, 0x80, 0xFFFF, 0x8000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 1 << 32,
         0x7FFF_FFFF_FFFF_FFFF, 1 << 63, (1 << 64) - 1, (1 << 64) - 2, 0x0123_4567_89AB_CDEF)  # fmt: skip
IMMEDIATES = (0, 1, -1, 3, 31, 32, 63, 64, 2**31 - 1, -(2**31))
OPERATORS = ("=", "+=", "-=", "*=", "/=", "%=", "s/=", "s%=", "|=", "&=", "^=", "<<=", ">>=", "s>>=")
COMPARISONS = ("==", "!=", "<", "<=", ">", ">=", "s<", "s<=", "s>", "s>=", "&")
PAIRS = [(a, b) for a in WORDS for b in WORDS]


def raw(lines: list[str], size: int) -> Program:
    return Program.from_assembly("\n".join(lines), hooks.raw_memory(size))


def agree_on(program: Program, inputs: list[bytes]) -> None:
    """Assert that r0 and the memory are the same in the interpreter, run by run, and natively, all at once."""
    subject = verifier.verify(program)
    rows = np.frombuffer(b"".join(inputs), np.uint8).reshape(len(inputs), -1).copy()
    results = jit.compile_native(subject).run_many(rows)
    for number, given in enumerate(inputs):
        memory = bytearray(given)
        outcome, fault = run_raw(program, memory)
        assert fault is None
        found = rows[number].tobytes()
        assert (outcome.r0, memory.hex()) == (int(results[number]), found.hex()), given.hex()


def for_each(templates: list[str]) -> tuple[list[str], int]:
    """Return a program that has each template compute r0 from r6 and r7, and stores r0; and its memory's size."""
    lines = ["r9 = r1", "r6 = *(u64 *)(r1 + 0)", "r7 = *(u64 *)(r1 + 8)"]
    for number, template in enumerate(templates):
        lines += [line.format(n=number) for line in template.split("; ")]
        lines.append(f"*(u64 *)(r9 + {16 + 8 * number}) = r0")
    return [*lines, "r0 = 0", "exit"], 16 + 8 * len(templates)


def test_every_operator_of_alu_is_in_the_tables_above() -> None:
    assert len(OPERATORS) + 1 == len(Alu)  # and negation
    assert len(COMPARISONS) == len(Condition)


def test_every_operation_on_two_registers() -> None:
    templates = [f"r0 = r6; r0 {op} r7" for op in OPERATORS] + [f"r0 = r6; w0 {op} w7" for op in OPERATORS]
    lines, size = for_each([*templates, "r0 = r6; r0 = -r0", "r0 = r6; w0 = -w0"])
    agree_on(raw(lines, size), [words(a, b, size=size) for a, b in PAIRS])


def test_every_operation_on_a_register_and_an_immediate() -> None:
    for immediate in IMMEDIATES:
        templates = [f"r0 = r6; {r}0 {op} {immediate}" for r in "rw" for op in OPERATORS]
        lines, size = for_each(templates)
        agree_on(raw(lines, size), [words(a, 0, size=size) for a in WORDS])


def test_sign_extending_moves_and_byte_swaps() -> None:
    moves = [f"r0 = 1; {r}0 = (s{bits}){r}6" for r, bits in (("r", 8), ("r", 16), ("r", 32), ("w", 8), ("w", 16))]
    swaps = [f"r0 = r6; r0 = {kind}{bits} r0" for kind in ("le", "be", "bswap") for bits in (16, 32, 64)]
    lines, size = for_each(moves + swaps)
    agree_on(raw(lines, size), [words(a, 0, size=size) for a in WORDS])


@pytest.mark.parametrize("r", ["r", "w"])
def test_every_comparison(r: str) -> None:
    register = [f"r0 = 1; if {r}6 {c} {r}7 goto T{{n}}; r0 = 0; T{{n}}:" for c in COMPARISONS]
    lines, size = for_each(register)
    agree_on(raw(lines, size), [words(a, b, size=size) for a, b in PAIRS])
    for immediate in IMMEDIATES:
        lines, size = for_each([f"r0 = 1; if {r}6 {c} {immediate} goto T{{n}}; r0 = 0; T{{n}}:" for c in COMPARISONS])
        agree_on(raw(lines, size), [words(a, 0, size=size) for a in WORDS])


def test_loads_and_stores_of_every_size_at_any_alignment() -> None:
    loads = [f"r0 = *({kind}{bits} *)(r9 + {at})" for at in range(4) for kind in "us" for bits in (8, 16, 32)]
    loads += [f"r0 = *(u64 *)(r9 + {at})" for at in range(4)]
    loads += [f"*(u{bits} *)(r9 + {at}) = r7; r0 = *(u64 *)(r9 + 0)" for at in (0, 3, 5) for bits in (8, 16, 32, 64)]
    loads += [f"*(u{bits} *)(r9 + 1) = {imm}; r0 = *(u64 *)(r9 + 0)" for bits in (8, 16, 32, 64) for imm in (-2, 77)]
    lines, size = for_each(loads)
    agree_on(raw(lines, size), [words(a, b, size=size) for a, b in PAIRS[::5]])


ATOMICS = [
    line
    for bits, r, exchange in ((64, "r", "64"), (32, "w", "32_32"))
    for line in (
        *(f"lock *(u{bits} *)(PLACE) {op}= {r}0" for op in "+|&^"),
        *(f"{r}0 = atomic_fetch_{op}((u{bits} *)(PLACE), {r}0)" for op in ("add", "or", "and", "xor")),
        f"{r}0 = xchg{'_' * (bits == 64)}{exchange}(PLACE, {r}0)",
        f"{r}0 = cmpxchg{'_' * (bits == 64)}{exchange}(PLACE, {r}0, {r}7)",
    )
]


@pytest.mark.parametrize("place", ["r9 + 16", "r10 - 8"])
def test_atomics_with_and_without_fetch(place: str) -> None:
    lines = ["r9 = r1", "r6 = *(u64 *)(r1 + 0)", "r7 = *(u64 *)(r1 + 8)"]
    out = 24
    for atomic in ATOMICS:
        for before in ("r7", "r6"):
            lines += [f"*(u64 *)({place}) = r6", f"r0 = {before}", atomic.replace("PLACE", place)]
            lines += [f"*(u64 *)(r9 + {out}) = r0", f"r0 = *(u64 *)({place})", f"*(u64 *)(r9 + {out + 8}) = r0"]
            out += 16
    agree_on(raw([*lines, "r0 = 0", "exit"], out), [words(a, b, size=out) for a, b in PAIRS[::3]])


@pytest.mark.skipif(not SUITE.is_dir(), reason="the conformance data are not beside the repository")
def test_every_positive_test_of_the_conformance_suite_passes_natively() -> None:
    ran = 0
    for file in sorted((SUITE / "tests").glob("*.data")):
        text = file.read_text()
        if "error" in conformance.sections(text):
            continue
        program, case = conformance.load(text)
        memory, expected = bytearray(case.memory), bytearray(case.memory)
        jit.interpret(program, expected)
        assert jit.compile_native(verifier.verify(program)).run(memory) == case.expected, file.name
        assert memory == expected, file.name
        ran += 1
    assert ran > 200


def test_unwind_ends_the_program_in_any_frame() -> None:
    text = (
        "r6 = r1\ncall deep\nr0 = 1\nexit\ndeep:\ncall deeper\nr0 = 2\nexit\ndeeper:\nr0 = 77\ncall 5\nr0 = 3\nexit\n"
    )
    program = Program.from_assembly(text, hooks.raw_memory(8))
    subject = verifier.verify(program)
    assert jit.compile_native(subject).run(bytearray(8)) == 77
    ways = [run_raw(subject, bytearray(8), engine=engine)[0] for engine in ("python", "native")]
    assert ways[0] == ways[1]


def test_a_way_that_is_never_taken_is_none() -> None:
    text = "r6 = *(u8 *)(r1 + 0)\nr6 &= 7\nif r6 > 7 goto dead\nr0 = r6\nexit\ndead: r0 = 99\nexit\n"
    engine = jit.compile_native(verifier.verify(Program.from_assembly(text, hooks.raw_memory(1))))
    assert [engine.run(bytearray([value])) for value in (0, 7, 8, 255)] == [0, 7, 0, 7]
