"""Native code does what RFC 9669 and the interpreter say: instruction by instruction, helper by helper."""

from __future__ import annotations

import gc
import re
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from machines import BSS, TABLE, WANTED, graft

import jit
import verifier
from grafting import GraftError, Program, hooks, limits
from grafting.diagnostics import InternalError
from grafting.isa import Alu, Condition
from grafting.program import MapKind, MapSpec
from jit import conformance, machine
from jit.activation import run_raw
from jit.hot import tier
from jit.native import arithmetic, cache, entry, helpers, llvm, lowering
from jit.native import engine as native

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


def words(*values: int, size: int) -> bytes:
    return b"".join(value.to_bytes(8, "little") for value in values).ljust(size, b"\0")


def for_each(templates: list[str]) -> tuple[list[str], int]:
    """Return a program that has each template compute r0 from r6 and r7, and stores r0; and its memory's size."""
    lines = ["r9 = r1", "r6 = *(u64 *)(r1 + 0)", "r7 = *(u64 *)(r1 + 8)"]
    for number, template in enumerate(templates):
        lines += [line.format(n=number) for line in template.split("; ")]
        lines.append(f"*(u64 *)(r9 + {16 + 8 * number}) = r0")
    return [*lines, "r0 = 0", "exit"], 16 + 8 * len(templates)


# --- instructions -----------------------------------------------------------------------------------------------------


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


# --- what engines take ------------------------------------------------------------------------------------------------


ADD = "r0 = *(u32 *)(r1 + 0)\nr2 = *(u32 *)(r1 + 4)\nr0 += r2\nexit\n"


def test_only_a_verified_is_compiled() -> None:
    program = Program.from_assembly(ADD, hooks.raw_memory(8))
    subject = verifier.verify(program)

    class Forged(verifier.Verified):
        def __init__(self) -> None:
            self._program, self._handlers = program, dict(subject.handlers)

    class LookAlike:
        handlers = subject.handlers

        def __init__(self) -> None:
            self.program = program

    for wrong in (program, Forged(), LookAlike(), None, b""):
        with pytest.raises(TypeError, match="only a Verified"):
            jit.compile_native(wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="only a Verified"):
            jit.NativeEngine(wrong)  # type: ignore[arg-type]
    with pytest.raises(GraftError) as caught:
        jit.interpret(program, bytearray(8), engine="native")
    assert caught.value.diagnostics[0].code == "G0711"


def test_memory_must_have_the_size_of_the_hook() -> None:
    engine = jit.compile_native(verifier.verify(Program.from_assembly(ADD, hooks.raw_memory(8))))
    for wrong in (bytearray(7), bytearray(9), bytearray()):
        with pytest.raises(GraftError) as caught:
            engine.run(wrong)
        assert caught.value.diagnostics[0].code == "G0703"
    with pytest.raises(TypeError):
        engine.run(bytes(8))  # type: ignore[arg-type]
    for shape in ((3, 9), (8,), (1, 2, 4)):
        with pytest.raises(GraftError):
            engine.run_many(np.zeros(shape, np.uint8))
    with pytest.raises(TypeError):
        engine.run_many(np.zeros((3, 8), np.int8))  # type: ignore[arg-type]


def test_memory_may_lie_anywhere() -> None:
    context = verifier.verify(Program.from_assembly(ADD, hooks.raw_context(8)))
    engine = jit.compile_native(context)
    shifted = bytearray(b"\xff\xff\xff" + words(1 | 2 << 32, size=8))
    del shifted[:3]  # its bytes now begin three further
    assert engine.run(shifted) == 3
    wide = np.arange(4 * 40, dtype=np.uint8).reshape(4, 40)
    inside = wide[:, 5:13]
    expected = [
        int.from_bytes(row[:4].tobytes(), "little") + int.from_bytes(row[4:].tobytes(), "little") for row in inside
    ]
    assert engine.run_many(inside).tolist() == expected
    assert engine.run_many(inside[::-2]).tolist() == expected[::-2]
    frozen = inside.copy()
    frozen.flags.writeable = False
    assert engine.run_many(frozen).tolist() == expected


def test_rows_that_do_not_lie_as_the_code_needs_them_are_changed_all_the_same() -> None:
    program = Program.from_assembly("*(u64 *)(r1 + 0) = 7\nr0 = 1\nexit\n", hooks.raw_memory(8))
    engine = jit.compile_native(verifier.verify(program))
    turned = np.zeros((8, 3), np.uint8).T
    assert engine.run_many(turned).tolist() == [1, 1, 1]
    assert turned[:, 0].tolist() == [7, 7, 7]
    turned.flags.writeable = False
    with pytest.raises(GraftError, match="read-only"):
        engine.run_many(turned)


def test_a_program_without_memory_runs() -> None:
    engine = jit.compile_native(verifier.verify(Program.from_assembly("r0 = r2\nr0 |= r1\nexit", hooks.raw_memory(0))))
    assert engine.run(bytearray()) == 0


def test_an_empty_context_is_never_read() -> None:
    engine = jit.compile_native(verifier.verify(Program.from_assembly("r0 = 8\nexit", hooks.raw_context(0))))
    assert engine.run(bytearray()) == 8
    assert engine.run_many(np.zeros((3, 0), np.uint8)).tolist() == [8, 8, 8]


def test_with_less_fuel_than_the_bound_fuel_means_what_it_means_in_the_interpreter() -> None:
    subject = verifier.verify(Program.from_assembly(ADD, hooks.raw_memory(8)))
    engine = jit.compile_native(subject)
    for fuel in range(6):
        outcomes = [run_raw(s, bytearray(8), fuel=fuel, engine=e) for s, e in ((subject, "python"), (engine, "native"))]
        assert outcomes[0] == outcomes[1]
        assert (outcomes[1][1] is None) == (fuel >= 4)


# --- grafts -----------------------------------------------------------------------------------------------------------

WIDE = MapSpec("wide", MapKind.HASH, 8, 24, 64)
OTHER = MapSpec("other", MapKind.HASH, 8, 8, 64)
MAPS = (WANTED, OTHER, TABLE, BSS, WIDE)


def same(text: str, message: jit.Message | None = None, *, fill: int = 4, hook: str = "reply") -> jit.Activation:
    """Run a handler in the interpreter and natively, both ways; assert that all agrees, and return what they say."""
    subject = verifier.verify(graft({hook: text}, maps=MAPS))
    engine = jit.compile_native(subject)
    given = message or jit.Message(tag=3, badge=9, op=1, status=-5, body=bytes(range(64)))
    seen = []
    for way in ("python", "native", "many"):
        state = jit.GraftState(subject)
        for key in range(fill):
            state.maps["wanted"][key] = 100 + key
            state.maps["other"][key + 1] = 200 + key
            state.maps["table"][key % 4] = 300 + key
        if way == "many":
            done = jit.activate_many(engine, hook, jit.Batch.of([given] * 3, hook), state, clock=12345)
            assert set(done.verdicts.tolist()) == {seen[-1][0].verdict} or fill  # the maps may have changed meanwhile
            asked = done.effects.get(0)
            assert (asked.outbox if asked else ()) == seen[-1][0].outbox
            continue
        result = jit.activate(subject if way == "python" else engine, hook, given, state, clock=12345)
        seen.append((replace(result, cost=replace(result.cost, stack_bytes=0)), result.cost.by_class, state.snapshot()))
    assert seen[0] == seen[1]
    return seen[1][0]


def test_the_context_is_as_the_interpreter_shows_it() -> None:
    text = ["r6 = 0"]
    for field in hooks.GRAFT_CONTEXT[2:]:
        text += [f"r2 = *(u{8 * field.size} *)(r1 + {field.offset})", "r6 *= 31", "r6 += r2"]
    text += ["*(u64 *)(r10 - 8) = r6", "r3 = r6", "r1 = 0", "r2 = 0", "r4 = r10", "r4 += -8", "r5 = 8", "call 1000"]
    done = same("\n".join([*text, "r0 = 0", "exit"]))
    assert done.outbox[0].body == done.outbox[0].tag.to_bytes(8, "little")


def test_addresses_are_those_of_the_interpreter() -> None:
    text = """
        r2 = *(u64 *)(r1 + 0)
        r3 = *(u64 *)(r1 + 8)
        r4 = r3
        r4 -= r2
        *(u64 *)(r10 - 8) = r4
        r4 = r10
        r4 += -512
        r3 = 1
        if r4 > r10 goto L
        r3 = 2
        if r4 != 0 goto L
        r3 = 3
    L:
        r1 = 0
        r2 = 0
        r4 = r10
        r4 += -8
        r5 = 8
        call 1000
        r0 = 0
        exit
    """
    done = same(text)
    assert (done.outbox[0].tag, done.outbox[0].body[0]) == (2, 64)


RESUMING = """
    r6 = 11
    r7 = 22
    r8 = 33
    r9 = *(u64 *)(r1 + 24)
    *(u64 *)(r10 - 8) = 55
    r1 = r10
    r1 += -8
    call outer
    r6 += r7
    r6 += r8
    r6 += r9
    r6 += r0
    r1 = *(u64 *)(r10 - 8)
    r6 += r1
    r1 = 0
    r2 = 0
    r3 = r6
    r4 = r10
    r4 += -8
    r5 = 8
    call 1000
    r0 = 0
    exit
outer:
    r6 = r1
    r7 = 66
    *(u64 *)(r10 - 16) = 77
    r1 = r10
    r1 += -16
    r2 = r6
    call inner
    r0 += r7
    r1 = *(u64 *)(r6 + 0)
    r0 += r1
    exit
inner:
    r6 = r1
    r7 = r2
    r9 = 1
    *(u64 *)(r10 - 8) = 88
    r1 = 0
    r2 = 0
    r3 = 1
    r4 = r10
    r4 += -8
    r5 = 8
    call 1000
    r8 = r0
    r1 = 0
    r2 = 0
    r3 = 2
    r4 = r6
    r5 = 8
    call 1000
    r8 += r0
    r1 = 0
    r2 = 0
    r3 = 3
    r4 = r7
    r5 = 8
    call 1000
    r8 += r0
    r1 = 5
    r2 = 1000
    call 1004
    *(u64 *)(r7 + 0) = 99
    r0 = r8
    exit
"""


def test_helpers_called_in_a_callee_find_every_frame_and_the_registers_of_all_are_kept() -> None:
    done = same(RESUMING)
    assert [(send.tag, send.body[0]) for send in done.outbox] == [
        (1, 88), (2, 77), (3, 55), (11 + 22 + 33 + 9 + 66 + 99 + 99, 99),
    ]  # fmt: skip
    assert done.timers == (jit.Armed(5, 1000),)


def test_resuming_works_again_after_an_activation_that_ended_otherwise() -> None:
    text = f"r2 = *(u64 *)(r1 + 16)\nif r2 == 3 goto go\nr0 = 1\nexit\ngo:\n{RESUMING}"
    subject = verifier.verify(graft({"submit": "r0 = 0\nexit", "reply": text}, maps=MAPS))
    engine, state = jit.compile_native(subject), jit.GraftState(subject)
    for tag, verdict, sends in ((3, 0, 4), (4, 1, 0), (3, 0, 4), (4, 1, 0)):
        done = jit.activate(engine, "reply", jit.Message(tag=tag), state)
        assert (done.verdict, len(done.outbox)) == (verdict, sends)


def test_one_function_called_at_several_depths_reads_what_it_was_given_each_time() -> None:
    text = """
        r6 = r1
        *(u64 *)(r10 - 8) = 5
        r1 = r10
        r1 += -8
        call read
        r7 = r0
        r1 = r6
        r1 += 16
        call read
        r7 *= 1000
        r7 += r0
        r1 = r6
        call between
        r7 *= 1000
        r7 += r0
        r1 = 0
        r2 = 0
        r3 = r7
        r4 = r10
        r4 += -8
        r5 = 8
        call 1000
        r0 = 0
        exit
    between:
        *(u64 *)(r10 - 16) = 7
        r1 = r10
        r1 += -16
        call read
        exit
    read:
        r0 = *(u64 *)(r1 + 0)
        exit
    """
    assert same(text).outbox[0].tag == 5_003_007


@pytest.mark.parametrize("tag", [0, 1, 2, 3, 4, 70])
def test_one_access_that_may_reach_several_regions(tag: int) -> None:
    text = """
        r6 = *(u64 *)(r1 + 16)
        r7 = r1
        r7 += 24
        *(u64 *)(r10 - 8) = 5
        *(u64 *)(r10 - 16) = r6
        if r6 == 0 goto use
        r7 = r10
        r7 += -8
        if r6 == 1 goto use
        r7 = map_value 3 ll
        if r6 == 2 goto use
        r2 = r10
        r2 += -16
        r1 = map 0 ll
        if r6 == 3 goto find
        r1 = map 1 ll
    find:
        call 1
        if r0 == 0 goto none
        r7 = r0
    use:
        r3 = *(u64 *)(r7 + 0)
        r1 = 0
        r2 = 0
        r4 = r10
        r4 += -8
        r5 = 8
        call 1000
        r0 = 0
        exit
    none:
        r0 = 1
        exit
    """
    done = same(text, jit.Message(tag=tag, badge=9))
    assert [send.tag for send in done.outbox] == {0: [9], 1: [5], 2: [0], 3: [103], 4: [203], 70: []}[tag]


UPDATES = """
    r6 = *(u64 *)(r1 + 16)
    r7 = r6
    *(u64 *)(r10 - 8) = r6
    *(u64 *)(r10 - 16) = 500
    r1 = map MAP ll
    r2 = r10
    r2 += -8
    r3 = r10
    r3 += -16
    r4 = FLAGS
    call 2
    r8 = r0
    r1 = map MAP ll
    r2 = r10
    r2 += -8
    call 1
    if r0 == 0 goto none
    r7 = *(u64 *)(r0 + 0)
none:
    r1 = map MAP ll
    r2 = r10
    r2 += -8
    call 3
    r8 *= 1000
    r8 += r0
    r8 *= 1000
    r8 += r7
    r1 = 0
    r2 = 0
    r3 = r8
    r4 = r10
    r4 += -8
    r5 = 8
    call 1000
    r0 = 0
    exit
"""


@pytest.mark.parametrize("map_", [0, 1, 2])
@pytest.mark.parametrize("flags", [0, 1])
@pytest.mark.parametrize("tag", [0, 2, 50])
def test_map_helpers_give_what_the_interpreter_gives(map_: int, flags: int, tag: int) -> None:
    same(UPDATES.replace("MAP", str(map_)).replace("FLAGS", str(flags)), jit.Message(tag=tag))


def test_keys_and_values_may_lie_in_the_map_that_is_changed() -> None:
    text = """
        r6 = *(u64 *)(r1 + 16)
        *(u64 *)(r10 - 8) = r6
        r1 = map 0 ll
        r2 = r10
        r2 += -8
        call 1
        if r0 == 0 goto out
        r7 = r0
        r1 = map 0 ll
        r2 = r7
        r3 = r7
        r4 = 0
        call 2
        r1 = map 0 ll
        r2 = r7
        call 3
        r1 = map 4 ll
        r2 = r7
        r3 = map_value 3 ll
        r3 = r10
        r3 += -32
        *(u64 *)(r10 - 16) = 1
        *(u64 *)(r10 - 24) = 2
        *(u64 *)(r10 - 32) = 3
        r4 = 0
        call 2
        r8 = map_value 3 ll
        lock *(u64 *)(r8 + 8) += r6
        r9 = 5
        r9 = atomic_fetch_add((u64 *)(r8 + 8), r9)
        r0 = r9
        r0 &= 1
        exit
    out:
        r0 = 1
        exit
    """
    assert same(text, jit.Message(tag=3)).verdict == 1


def test_an_array_with_an_eight_byte_key_and_a_full_hash_map() -> None:
    maps = (MapSpec("far", MapKind.ARRAY, 8, 8, 5), MapSpec("small", MapKind.HASH, 12, 20, 3))
    text = """
        r6 = *(u64 *)(r1 + 16)
        r9 = 0
        r8 = 0
    again:
        *(u64 *)(r10 - 24) = r8
        *(u64 *)(r10 - 16) = r6
        *(u64 *)(r10 - 8) = r8
        r1 = map 0 ll
        r2 = r10
        r2 += -24
        r3 = r10
        r3 += -16
        r4 = 0
        call 2
        r9 *= 7
        r9 += r0
        r1 = map 1 ll
        r2 = r10
        r2 += -24
        r3 = r10
        r3 += -24
        r4 = 0
        call 2
        r9 *= 7
        r9 += r0
        r8 += 1
        if r8 < 9 goto again
        r0 = r9
        r0 &= 1
        exit
    """
    subject = verifier.verify(graft({"reply": text}, maps=maps))
    seen = []
    for engine in ("python", "native"):
        state = jit.GraftState(subject, seed=99)
        done = jit.activate(subject, "reply", jit.Message(tag=7), state, engine=engine)
        seen.append((done.verdict, state.snapshot(), done.cost.by_class, done.cost.helpers))
    assert seen[0] == seen[1]


@pytest.mark.parametrize("length", [0, 1, 7, 8, 31])
def test_copy_and_fill_reach_as_far_as_they_are_told(length: int) -> None:
    text = """
        r6 = *(u64 *)(r1 + 16)
        if r6 > 32 goto out
        *(u64 *)(r10 - 8) = 1
        *(u64 *)(r10 - 16) = 2
        *(u64 *)(r10 - 24) = 3
        *(u64 *)(r10 - 32) = 4
        *(u64 *)(r10 - 40) = 5
        r1 = r10
        r1 += -40
        r2 = r10
        r2 += -32
        r3 = r6
        call 1008
        r1 = r10
        r1 += -33
        r2 = 0x1ff
        r3 = r6
        call 1009
        r1 = 0
        r2 = 1
        r3 = 0
        r4 = r10
        r4 += -40
        r5 = 40
        call 1000
    out:
        r0 = 0
        exit
    """
    assert len(same(text, jit.Message(tag=length)).outbox[0].body) == 40


# --- many -------------------------------------------------------------------------------------------------------------


def test_a_batch_is_the_same_as_its_messages_one_after_the_other() -> None:
    text = """
        r6 = *(u64 *)(r1 + 16)
        r7 = map_value 3 ll
        r8 = *(u64 *)(r7 + 0)
        r8 += r6
        *(u64 *)(r7 + 0) = r8
        r2 = *(u64 *)(r1 + 0)
        r3 = *(u64 *)(r1 + 8)
        r4 = r2
        r4 += 1
        if r4 > r3 goto quiet
        r5 = *(u8 *)(r2 + 0)
        if r5 != 1 goto quiet
        *(u64 *)(r10 - 8) = r8
        r1 = 0
        r2 = 0
        r3 = r6
        r4 = r10
        r4 += -8
        r5 = 8
        call 1000
        r1 = r6
        r2 = 50
        call 1004
        r1 = r6
        r2 = 0
        call 1006
    quiet:
        r0 = r8
        r0 %= 3
        exit
    """
    subject = verifier.verify(graft({"submit": text}, maps=MAPS))
    engine = jit.compile_native(subject)
    messages = [jit.Message(tag=n % 5, body=bytes([n % 4 == 1] * (n % 3))) for n in range(60)]
    one, many = jit.GraftState(subject), jit.GraftState(subject)
    each = [jit.activate(subject, "submit", message, one, clock=7) for message in messages]
    done = jit.activate_many(engine, "submit", jit.Batch.of(messages, "submit"), many, clock=7)
    assert done.verdicts.tolist() == [result.verdict for result in each]
    assert many.snapshot() == one.snapshot()
    assert many.held  # some were held, and some of those released
    for number, result in enumerate(each):
        asked = done.effects.get(number)
        assert (asked.outbox if asked else ()) == result.outbox
        assert (asked.releases if asked else ()) == result.releases
        assert (asked.timers if asked else ()) == result.timers
    assert sum(len(result.outbox) for result in each) == len(done.effects) > 5


def test_a_timer_that_fires_in_a_batch_is_no_longer_armed() -> None:
    text = "r6 = *(u64 *)(r1 + 16)\nif r6 != 4 goto out\nr1 = 9\nr2 = 1\ncall 1004\nout: r0 = 0\nexit"
    subject = verifier.verify(graft({"timer": text}))
    state = jit.GraftState(subject)
    state.timers = {1: 10, 9: 10, 4: 10, 8: 10}
    messages = [jit.Message(tag=tag) for tag in (9, 1, 4, 8)]
    jit.activate_many(jit.compile_native(subject), "timer", jit.Batch.of(messages, "timer"), state, clock=20)
    assert state.timers == {9: 21}


def test_a_batch_must_be_sound() -> None:
    subject = verifier.verify(graft({"reply/disk.read": "r0 = 0\nexit", "reply": "r0 = 1\nexit"}))
    engine, state = jit.compile_native(subject), jit.GraftState(subject)
    batch = jit.Batch.of([jit.Message(op=0, body=b"abc"), jit.Message(op=1)], "reply")
    with pytest.raises(GraftError, match="one handler"):
        jit.activate_many(engine, "reply", batch, state)
    assert jit.activate_many(
        engine, "reply", jit.Batch(batch.records[:1], batch.bodies[:1]), state
    ).verdicts.tolist() == [0]
    assert len(jit.activate_many(engine, "reply", jit.Batch(batch.records[:0], batch.bodies[:0]), state).verdicts) == 0
    for name, value in (("length", 4), ("ncaps", 5)):
        records = batch.records[:1].copy()
        records[name] = value
        with pytest.raises(GraftError, match="a message is longer"):
            jit.activate_many(engine, "reply", jit.Batch(records, batch.bodies[:1]), state)
    with pytest.raises(TypeError):
        jit.activate_many(subject, "reply", batch, state)  # type: ignore[arg-type]


# --- code in memory ---------------------------------------------------------------------------------------------------


def numbered(number: int) -> verifier.Verified:
    text = f"r0 = *(u64 *)(r1 + 0)\nr0 *= {number}\nr0 ^= {number + 1}\nexit"
    return verifier.verify(Program.from_assembly(text, hooks.raw_memory(8)))


def mappings() -> list[tuple[int, int, str]]:
    """Return first address, end and rights of all that is mapped."""
    found = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        first, end = (int(address, 16) for address in line.split()[0].split("-"))
        found.append((first, end, line.split()[1]))
    return found


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="there is no /proc")
def test_no_code_is_writable_and_executable_at_once() -> None:
    llvm.emit_assembly("")
    before = {found for found in mappings() if "w" in found[2] and "x" in found[2]}  # libffi's, for callbacks of ctypes
    engines = [jit.compile_native(numbered(number)) for number in range(20)]
    for engine in engines:
        code = engine.address("main")
        assert [rights for first, end, rights in mappings() if first <= code < end] == ["r-xp"]
    assert {found for found in mappings() if "w" in found[2] and "x" in found[2]} <= before


def test_equal_programs_share_code_and_different_ones_do_not() -> None:
    one, same_, other = (jit.compile_native(numbered(number)) for number in (1, 1, 2))
    assert one.address("main") == same_.address("main") != other.address("main")


def test_hundreds_of_grafts_in_one_process_each_keep_their_code() -> None:
    engines = [jit.compile_native(numbered(number)) for number in range(3)]
    code, names = llvm.emit_object(native.module(numbered(7), counting=False).text), ("h0",)
    before = [llvm.load(code, names) for _ in range(600)]
    assert len({library.addresses["h0"] for library in before}) == 600
    del before
    memory = bytearray(words(5, size=8))
    assert [engine.run(memory) for engine in engines] == [5 * number ^ number + 1 for number in range(3)]


def test_code_goes_with_the_last_engine_that_uses_it() -> None:
    engines = [jit.compile_native(numbered(12345)) for _ in range(2)]
    watched = weakref.ref(native.loaded(engines[0].program))
    del engines[0]
    assert watched() is not None
    engines.clear()
    gc.collect()
    assert watched() is None


def test_a_program_that_is_too_long_once_expanded_is_refused_and_the_next_one_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = "call f\ncall f\ncall f\nexit\nf: r0 = 1\nr0 += 2\nr0 += 2\nr0 += 2\nexit"
    subject = verifier.verify(Program.from_assembly(text, hooks.raw_memory(0)))
    monkeypatch.setattr(limits, "NATIVE_SLOTS", 15)
    with pytest.raises(GraftError) as caught:
        jit.compile_native(subject)
    assert caught.value.diagnostics[0].code == "G0710"
    assert jit.compile_native(numbered(3)).run(bytearray(8)) == 4


def test_numba_code_calls_native_code_by_address() -> None:
    compiled, hot_machine = tier("numba", entry), tier("numba", machine)
    subject = verifier.verify(graft({"reply": "r0 = *(u64 *)(r1 + 16)\nr0 &= 1\nexit"}))
    engine, state = jit.compile_native(subject), jit.GraftState(subject)
    for tag in (6, 7):
        hot_machine.begin(state.machine, 0, state.body_at, 0, 100, 0, machine.TRUSTING)
        hot_machine.write_context(state.machine, 0, tag, 0, 0, 0, 0, 0, 2, 0, 0)
        for counting in (False, True):
            address = engine.address("reply", counting=counting)
            status = compiled.run_native(state.machine, address, state.body_at, state.placement.state_at)
            assert (status, state.machine.registers[0]) == (machine.EXITED, tag & 1)
        assert state.machine.control[0]["instructions"] == state.machine.counts[: machine.CLASSES].sum() == 3


def test_the_examples_of_the_page_on_engines_run() -> None:
    page = Path(__file__).resolve().parents[1] / "docs" / "engines.md"
    examples = re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    assert len(examples) >= 3
    for text in examples:
        exec(compile(text, "docs/engines.md", "exec"), {})


# --- these tests can fail ---------------------------------------------------------------------------------------------


def _less_is_less_or_equal(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(arithmetic._PREDICATES, Condition.LT, "ule")


def _arithmetic_shifts_are_logical(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(arithmetic._BINARY, Alu.ARSH, "lshr")


def _a_register_is_not_saved(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(lowering, "_SAVED", range(6, 9))


def _helpers_are_not_counted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(lowering._Lowering, "_count_helper", lambda self, number: None)


def _flags_are_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(helpers, "_refuse_flags", lambda text, end: None)


@pytest.mark.parametrize(
    ("flaw", "theorem"),
    [
        (_less_is_less_or_equal, lambda: test_every_comparison("r")),
        (_arithmetic_shifts_are_logical, test_every_operation_on_two_registers),
        (_a_register_is_not_saved, test_helpers_called_in_a_callee_find_every_frame_and_the_registers_of_all_are_kept),
        (_helpers_are_not_counted, test_helpers_called_in_a_callee_find_every_frame_and_the_registers_of_all_are_kept),
        (_flags_are_ignored, lambda: test_map_helpers_give_what_the_interpreter_gives(0, 1, 2)),
    ],
)
def test_a_flaw_of_the_lowering_is_found(
    flaw: Callable[[pytest.MonkeyPatch], None],
    theorem: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    native.surroundings()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # wrong code must not be kept
    monkeypatch.setattr(native, "_loaded", {})
    theorem()
    native._loaded.clear()
    cache.clear()
    flaw(monkeypatch)
    with pytest.raises((AssertionError, InternalError)):
        theorem()
