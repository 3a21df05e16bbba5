"""The traps of LLVM's BPF back end: each has a test that springs if lowering ever steps into it.

The first part shows that the traps are real, in a process that may die. The second part compiles sources that would
step into them, and looks at what comes out.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import jit
import verifier
from grafting import InternalError, Program, compile_graft, hooks
from grafting.compiler import compile_in_worker, compile_object, lowered, show_ir
from grafting.diagnostics import Source
from grafting.isa import CallHelper
from grafting.lowering import llvm
from grafting.lowering.llvm_worker import Worker
from grafting.objects import btf, elf, object_file

SAMPLES = sorted((Path(__file__).resolve().parents[1] / "samples").glob("*.graft"))
CASES = sorted((Path(__file__).with_name("cases") / "lowering").glob("*.graft"))
HEAD = 'target datalayout = "e-m:e-p:64:64-i64:64-i128:128-n32:64-S128"\ntarget triple = "bpfel"\n'
GOOD = HEAD + "define i64 @f(ptr %c) { ret i64 0 }"

DEADLY = {
    "a frame beyond 32767 bytes": (
        "define i64 @f(ptr %c) { %m = alloca [40000 x i8] %r = call i64 inttoptr (i64 5 to ptr)(ptr %m) ret i64 %r }",
        "stack limit",
    ),
    "a frame of dynamic size": (
        "define i64 @f(ptr %c) { %n = load i64, ptr %c %m = alloca i8, i64 %n "
        "%r = call i64 inttoptr (i64 5 to ptr)(ptr %m) ret i64 %r }",
        "dynamic stack allocation",
    ),
    "a product of 128 bits": (
        "define i64 @f(ptr %c) { %a = load i64, ptr %c %w = zext i64 %a to i128 %p = mul i128 %w, %w "
        "%h = lshr i128 %p, 64 %r = trunc i128 %h to i64 ret i64 %r }",
        "__multi3",
    ),
    "a product with its overflow": (
        "declare {i64, i1} @llvm.umul.with.overflow.i64(i64, i64)\n"
        "define i64 @f(ptr %c) { %a = load i64, ptr %c "
        "%p = call {i64, i1} @llvm.umul.with.overflow.i64(i64 %a, i64 %a) "
        "%o = extractvalue {i64, i1} %p, 1 %r = zext i1 %o to i64 ret i64 %r }",
        "__multi3",
    ),
    "six arguments": (
        "define i64 @f(ptr %c) "
        "{ %r = call i64 inttoptr (i64 5 to ptr)(i64 1, i64 2, i64 3, i64 4, i64 5, i64 6) ret i64 %r }",
        "too many arguments",
    ),
    "a struct as result": (
        "define {i64, i64, i64} @f(ptr %c) { %a = load i64, ptr %c "
        "%s = insertvalue {i64, i64, i64} undef, i64 %a, 0 ret {i64, i64, i64} %s }",
        "aggregate returns",
    ),
    "a long memset": (
        "declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)\n"
        "define i64 @f(ptr %c) { %m = alloca [4096 x i8] "
        "call void @llvm.memset.p0.i64(ptr %m, i8 0, i64 4096, i1 false) "
        "%r = call i64 inttoptr (i64 5 to ptr)(ptr %m) ret i64 %r }",
        "memset",
    ),
}  # fmt: skip

# --- death -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker() as running:
        yield running


@pytest.mark.parametrize("name", DEADLY)
def test_the_death_of_llvm_is_an_error_here_and_the_next_compilation_works(name: str, worker: Worker) -> None:
    text, said = DEADLY[name]
    with pytest.raises(InternalError, match=f"the compiler process died: .*{said}"):
        worker.emit_object(HEAD + text)
    assert worker.emit_object(GOOD) == llvm.emit_object(GOOD)


def test_a_compilation_that_takes_too_long_is_stopped() -> None:
    with Worker(seconds=0.001) as hasty, pytest.raises(InternalError, match=r"took more than 0\.001 s"):
        hasty.emit_object(GOOD)


def test_code_that_llvm_does_not_parse_is_our_error_and_leaves_the_worker_alive(worker: Worker) -> None:
    for emit in (llvm.emit_object, worker.emit_object):
        with pytest.raises(InternalError, match="LLVM refuses the generated code"):
            emit("define")
    assert worker.emit_object(GOOD) == llvm.emit_object(GOOD)


def test_a_worker_gives_the_same_program(worker: Worker) -> None:
    source = Source("g.graft", "graft g state n: u64 on timer(id) { n = id / n }")
    assert compile_in_worker(source, worker) == compile_graft(source.text, filename="g.graft")


# --- what must not be in an object -----------------------------------------------------------------------------------


@pytest.mark.parametrize("file", [*SAMPLES, *CASES], ids=lambda file: file.stem)
def test_an_object_needs_nothing_from_outside(file: Path) -> None:
    """No memset, memcpy, __multi3, __bpf_trap, and no jump table: every symbol that is used is defined."""
    raw = llvm.emit_object(lowered(Source(file.name, file.read_text())).text)
    object_ = elf.read(raw)
    undefined = [symbol.name for symbol in object_.symbols if symbol.section == elf.UNDEFINED and symbol.name]
    assert undefined == []
    assert b".eh_frame" not in raw
    assert all(section.name != ".text" or not section.data for section in object_.sections)


@pytest.mark.parametrize("file", [*SAMPLES, *CASES], ids=lambda file: file.stem)
def test_no_ir_has_what_makes_llvm_guess(file: Path) -> None:
    words = set(show_ir(Source(file.name, file.read_text())).replace(",", " ").split())
    assert not words & {"nsw", "nuw", "exact", "inbounds", "i128", "unreachable", "undef", "poison", "switch"}


def test_long_copies_and_fills_are_calls_of_helpers() -> None:
    text = """graft g
    struct S {{ a: [u64; {n}] }}
    protocol p {{ op put(s: S) }}
    cap out: p
    on reply(msg) {{
        let s = msg.body as S else {{ return deliver }}
        let mut zeros: [u64; {n}] = [0; {n}]
        zeros[msg.tag % {n}] = 1
        send out.put(s) tag zeros[msg.badge % {n}] deadline 5 else {{ return deliver }}
        return consume
    }}"""
    assert helpers(compile_graft(text.format(n=16))) == [1002]
    assert helpers(compile_graft(text.format(n=17))) == [1009, 1008, 1002]


def test_a_counted_zeroing_loop_stays_a_loop() -> None:
    text = """graft g state n: u64
    on timer(id) {
        let mut a: [u64; 16] = [7; 16]
        for i in 0..16 { a[i] = 0 }
        n = a[id % 16]
    }"""
    program = compile_graft(text)
    assert helpers(program) == []
    assert after_timer(program, 3) == 0


def test_a_loop_on_which_value_numbering_does_not_end_compiles(worker: Worker) -> None:
    text = """graft g state n: u64
    on timer(id) {
        let mut a = n as i16
        while id > 3 limit 12 { a |= -(a + 0) & a }
        n = a as u64
    }"""
    assert after_timer(compile_in_worker(Source("g", text), worker), 4, n=6) == 6


def test_every_helper_has_at_most_five_operands() -> None:
    assert max(len(helper.args) for helper in hooks.HELPERS.values()) == 5


def helpers(program: Program) -> list[int]:
    """Return the numbers of the helpers that the only handler calls, in order of address."""
    (handler,) = program.handlers
    return [op.number for op in handler.operations.values() if isinstance(op, CallHelper)]


def after_timer(program: Program, id_: int, **state: int) -> int:
    """Run the timer handler; return the state variable `n` afterwards."""
    memory = jit.GraftState(program)
    for name, value in state.items():
        memory.variables[name] = value
    assert jit.activate(program, "timer", jit.Message(tag=id_), memory).fault is None
    result: int = memory.variables["n"]
    return result


# --- undefined behaviour ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", ["/", "%"])
@pytest.mark.parametrize("type_", ["u64", "u32", "u8", "i64", "i32", "i8"])
def test_a_test_for_zero_after_a_division_is_kept(op: str, type_: str) -> None:
    """LLVM may conclude from an unguarded `x / c` that c is not zero, and drop the test."""
    text = f"""graft g state n: u64
    on timer(id) {{
        let c = id as {type_}
        let q = 100 as {type_} {op} c
        if c == 0 {{ n = 1000 }} else {{ n = 2000 }}
        n += q as u64
    }}"""
    program = compile_graft(text)
    assert after_timer(program, 0) == (1000 if op == "/" else 1100)
    assert after_timer(program, 7) == 2000 + (14 if op == "/" else 2)


@pytest.mark.parametrize("op", ["<<", ">>"])
@pytest.mark.parametrize(("type_", "bits"), [("u64", 64), ("u32", 32), ("u16", 16), ("u8", 8), ("i64", 64), ("i8", 8)])
def test_shift_amounts_are_masked_in_code_and_in_constants(op: str, type_: str, bits: int) -> None:
    by_value = f"graft g state n: u64 on timer(id) {{ n = (85 as {type_} {op} id) as u64 }}"
    program = compile_graft(by_value)
    expected = (85 << 1 if op == "<<" else 85 >> 1) % 2**bits
    if type_ == "i8" and op == "<<":
        expected = 2**64 - 86  # -86, extended
    assert after_timer(program, bits) == 85
    assert after_timer(program, bits + 1) == after_timer(program, 5 * bits + 1) == expected
    by_constant = f"graft g state n: u64 on timer(id) {{ n = (id as {type_} {op} {bits + 1}) as u64 }}"
    assert after_timer(compile_graft(by_constant), 85) == expected


def test_a_remainder_by_a_constant_stays_a_remainder() -> None:
    """As a multiplication no verifier would see that it is below the divisor."""
    text = "graft g state a: [u64; 31] state n: u64 on timer(id) { n = a[id as u32 % 31] + a[id % 31] }"
    assert verifier.verify(compile_graft(text)).handlers["timer"]


@pytest.mark.parametrize("use", ["msg.len as u32", "(msg.len + 1) as u16", "msg.len as u8 * 3"])
def test_the_length_of_a_message_is_not_narrowed_before_it_is_known(use: str) -> None:
    """The lower halves of two addresses have no difference that a verifier could know."""
    text = f"""graft g protocol p {{ op put(v: u64) }} cap c: p state n: u64
    on reply(msg) from c.put {{ n = ({use}) as u64 return deliver }}"""
    assert verifier.verify(compile_graft(text)).handlers["reply/c.put"]


# --- line info and debug information ---------------------------------------------------------------------------------

SENDS = """graft g
protocol p { op put(v: u64) }
cap first: p
cap second: p
on reply(msg) {
    if msg.tag == 1 {
        send first.put(msg.badge) else { return deliver }
    } else {
        send second.put(msg.badge) else { return deliver }
    }
    return consume
}
"""


def test_two_sends_stay_two_calls_each_with_its_line_and_its_slot() -> None:
    program = compile_graft(SENDS)
    (handler,) = program.handlers
    calls = [pc for pc, op in handler.operations.items() if isinstance(op, CallHelper)]
    lines = [info.line for info in map(handler.line_at, calls) if info is not None]
    assert sorted(lines) == [7, 9]
    assert verifier.verify(program)


def test_columns_beyond_1023_are_capped_and_do_not_spoil_the_line() -> None:
    text = "graft g state n: u64\non timer(id) {\n" + " " * 5000 + "n = id * n }"
    (handler,) = compile_graft(text).handlers
    assert {(info.line, info.column) for info in handler.lines} >= {(3, 1023)}
    assert max(info.column for info in handler.lines) == 1023


def test_every_instruction_has_a_place_but_for_the_entry_which_has_a_line() -> None:
    for file in SAMPLES:
        for handler in compile_graft(file.read_text()).handlers:
            assert handler.lines[0].pc == 0
            assert all(info.line for info in handler.lines)
            assert all(info.column for info in handler.lines[1:])


def test_maps_and_state_have_type_information() -> None:
    text = """graft g
    struct Row { hits: u64, kind: Kind, flags: [bool; 4] }
    enum Kind: u32 { leaf = 0, inner }
    map rows: hash<u32, Row, 64>
    map slots: array<i16, 16>
    state n: u64
    state last: Row
    state seven: i32 = 7
    const TABLE: [u16; 3] = [1, 2, 3]
    on timer(id) {
        rows[id as u32] = Row { hits: 1 } else { return done }
        last.hits = id + TABLE[id % 3] as u64
        n = seven as u64
        slots[id] = 3 else { return done }
    }"""
    data = compile_object(Source("g", text))
    object_ = elf.read(data)
    (section,) = [section for section in object_.sections if section.name == ".BTF"]
    types = btf.parse(section.data, elf.Where("g", ".BTF")).types
    variables = {type_.name for type_ in types if isinstance(type_, btf.Variable)}
    assert variables >= {"rows", "slots", "n", "last", "seven", "TABLE"}
    assert {type_.name for type_ in types if isinstance(type_, btf.DataSection)} >= {
        ".maps",
        ".bss",
        ".data",
        ".rodata",
    }
    assert {"Row", "Kind"} <= {type_.name for type_ in types if isinstance(type_, btf.Composite | btf.Enumeration)}
    specs = {spec.name: spec for spec in object_file.load(data).maps}
    assert (specs["rows"].key_size, specs["rows"].value_size, specs["rows"].max_entries) == (4, 16, 64)
    assert (specs["slots"].key_size, specs["slots"].value_size, specs["slots"].max_entries) == (4, 2, 16)
    assert specs[".rodata"].read_only
    assert specs[".data"].initial[:4] == b"\x07\0\0\0"


def test_dwarf_is_there_only_if_it_is_asked_for() -> None:
    source = Source("g.graft", SENDS)
    assert b".debug_line" not in compile_object(source)
    assert b".debug_line" in compile_object(source, debug=True)
    assert object_file.load(compile_object(source, debug=True)) == object_file.load(compile_object(source))


def test_a_frame_beyond_512_bytes_is_rejected_by_the_verifier_at_its_line() -> None:
    text = """graft g state n: u64
    on timer(id) {
        let mut a: [u64; 32] = [id; 32]
        let mut b: [u64; 32] = [n; 32]
        let mut c: [u64; 32] = [n; 32]
        a[id % 32] = 7
        b[n % 32] = a[n % 32]
        c[n % 32] = b[id % 32]
        n = c[id & 31]
    }"""
    with pytest.raises(verifier.Rejected) as caught:
        verifier.verify(compile_graft(text))
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "G0603"
    assert diagnostic.primary.span.line in (3, 4, 5)


# --- reproducible builds ---------------------------------------------------------------------------------------------

DIGEST = """
import hashlib, sys
from grafting.compiler import compile_object
from grafting.diagnostics import Source
for path in sys.argv[1:]:
    text = open(path, encoding="utf-8").read()
    print(hashlib.sha256(compile_object(Source("same.graft", text))).hexdigest())
"""


def test_builds_do_not_depend_on_directory_process_or_hash_seed(tmp_path: Path) -> None:
    files = [*SAMPLES, *CASES]
    here = [
        hashlib.sha256(compile_object(Source("same.graft", file.read_text()))).hexdigest() for file in reversed(files)
    ]
    for seed in ("1", "2"):
        directory = tmp_path / seed
        directory.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", DIGEST, *map(str, files)],
            cwd=directory, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout.split() == here[::-1]


def test_an_object_names_no_directory() -> None:
    data = llvm.emit_object(lowered(Source("g.graft", SENDS)).text)
    assert os.getcwd().encode() not in data
    assert str(Path.home()).encode() not in data


def test_the_file_name_is_all_that_two_builds_of_one_text_differ_in() -> None:
    one, two = (compile_object(Source(name, SENDS)) for name in ("a.graft", "b.graft"))
    assert one != two
    assert one.replace(b"a.graft", b"b.graft") == two
