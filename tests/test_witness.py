"""Witnesses: each one found misbehaves when it is replayed, most unsafe programs have one, and it is said in words."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from random_bytecode import memory_program, raw_program
from test_verifier_cases import program as case_program

import cli
import grafting
import verifier
from grafting import GraftError, Program, hooks, isa, limits
from grafting.diagnostics import Diagnostic
from grafting.isa import Condition
from jit import runs, testing, witness
from jit.activation import run_raw
from jit.events import Breach
from jit.faults import Fault, FaultKind
from jit.overrun import Overrun
from jit.witness import inputs, show, smt, solve, terms, trace
from jit.witness.inputs import Input
from jit.witness.terms import Atom, Cond, Op

HERE = Path(__file__).parent
UNSAFE = HERE.parents[1] / "shared" / "verifier" / "unsafe.json"
CONTEXT = hooks.raw_context(192)
LEAKS = ("G0604", "G0611", "G0612", "G0613")


@pytest.fixture(autouse=True)
def _short_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run without end is given up early."""
    monkeypatch.setattr(limits, "WITNESS_FUEL", 20_000)
    monkeypatch.setattr(limits, "WITNESS_FUEL_SHORT", 10_000)


def rejection(program: Program) -> Diagnostic:
    with pytest.raises(verifier.Rejected) as caught:
        verifier.verify(program)
    return caught.value.diagnostics[0]


def found(text: str, hook: hooks.Hook = CONTEXT, *, solver: bool = False) -> witness.Witness | None:
    program = Program.from_assembly(text.replace(";", "\n"), hook)
    return witness.find(program, rejection(program), solver=solver)


def graft(*arguments: str) -> Result:
    return CliRunner().invoke(cli.main, arguments, prog_name="graft")


# --- what is found ---------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not UNSAFE.is_file(), reason="the shared verifier data are not here")
def test_every_shared_unsafe_program_has_a_witness_that_replays_without_a_solver() -> None:
    for case in json.loads(UNSAFE.read_text()):
        program = Program.from_bytecode(bytes.fromhex(case["hex"]), CONTEXT)
        result = witness.find(program, rejection(program), solver=False)
        assert result is not None, case["name"]
        assert isinstance(result.misbehaviour, Fault)
        _, given, fuel = inputs.from_json(json.dumps(result.input_json()))
        _, fault = run_raw(program, bytearray(given.body), fuel=fuel)
        assert fault == result.misbehaviour, case["name"]


def test_nearly_all_rejected_cases_that_could_fault_have_a_witness() -> None:
    none = []
    for file in ("memory", "pointers", "helpers", "costs"):
        for case in yaml.safe_load((HERE / "cases" / f"verifier_{file}.yaml").read_text()):
            if "error" in case and case["error"] not in LEAKS:
                program = case_program(case)
                if witness.find(program, rejection(program), solver=False) is None:
                    none.append(case["name"])
    assert len(none) <= 4, none  # what is left is safe, and the verifier too cautious


HARD = {
    "a number to be guessed": "r6 = *(u32 *)(r1 + 4); r6 ^= 0x55aa; if r6 != 0x777777 goto out",
    "a text to be guessed, byte by byte": "".join(
        f"r6 = *(u8 *)(r1 + {at}); if r6 != {ord(letter)} goto out;" for at, letter in enumerate("graft me")
    ),
    "a sum": "r6 = *(u8 *)(r1 + 0); r7 = *(u8 *)(r1 + 1); r8 = *(u8 *)(r1 + 2); r6 += r7; r6 += r8;"
    "if r6 != 700 goto out",
    "a product of primes": "r6 = *(u16 *)(r1 + 0); r7 = *(u16 *)(r1 + 2); r6 *= r7; if r6 != 1022117 goto out",
    "swapped bytes": "r6 = *(u32 *)(r1 + 8); r6 = be32 r6; r6 += -9; if w6 != 0x11223344 goto out",
    "a signed quotient": "r6 = *(u64 *)(r1 + 8); r6 s>>= 3; if r6 s>= 0 goto out; if r6 s< -5 goto out",
    "bits": "r6 = *(u64 *)(r1 + 8); if r6 & 0x100 goto on; goto out; on: if r6 & 0x10000 goto out",
    "what was on the stack": "r6 = *(u32 *)(r1 + 8); *(u32 *)(r10 - 4) = r6; r6 = *(u16 *)(r10 - 2);"
    "if r6 != 7 goto out",
    "a function's result": "r6 = r1; r1 = *(u32 *)(r1 + 8); call f; if r0 != 99 goto out",
    "an atomic's old value": "r6 = *(u32 *)(r1 + 8); *(u64 *)(r10 - 8) = r6; r7 = 5;"
    "r7 = atomic_fetch_add((u64 *)(r10 - 8), r7); r8 = *(u64 *)(r10 - 8); if r8 != 205 goto out; if r7 != 200 goto out",
}  # fmt: skip
TAIL = "; *(u64 *)(r10 - 520) = r10; out: r0 = 0; exit"
FUNCTION = "; f: r0 = r1; r0 <<= 1; r0 += 1; exit"


@pytest.mark.parametrize("way", HARD)
def test_a_fault_behind_a_narrow_way_is_found_without_a_solver(way: str) -> None:
    result = found(HARD[way] + TAIL + (FUNCTION if "call f" in HARD[way] else ""))
    assert result is not None
    assert result.exact


def test_z3_finds_what_cannot_be_turned_round() -> None:
    pytest.importorskip("z3")
    mixed = "r6 = *(u32 *)(r1 + 0); r6 *= 0x1e3779b1; w6 = w6; r7 = r6; r7 >>= 15; r6 ^= r7; r6 *= 0x15ebca77; w6 = w6;"
    assert found(f"{mixed} if r6 != 0x1234 goto out {TAIL}", solver=False) is None
    assert found(f"{mixed} if r6 != 0x1234 goto out {TAIL}", solver=True) is not None


def test_a_combination_of_branches_is_found_along_the_verifiers_path() -> None:
    bits = "".join(f"r2 = r7; r2 &= {1 << n}; if r2 == 0 goto L{n}; r6 += 3; L{n}: r3 = 0;" for n in range(18))
    result = found(
        f"r6 = 0; r7 = *(u32 *)(r1 + 0); {bits} r2 = r10; r2 += -54; r2 += r6; *(u8 *)(r2 + 0) = r3; r0 = 0; exit"
    )
    assert result is not None
    assert result.given.body[:4] == (0x3FFFF).to_bytes(4, "little")


def test_a_body_has_the_length_that_faults() -> None:
    text = "r2 = *(u64 *)(r1 + 0); r3 = *(u64 *)(r1 + 8); r4 = r2; r4 += 16; if r4 > r3 goto out;" \
           "r5 = *(u32 *)(r2 + 0); if r5 > 12 goto out; r2 += r5; r0 = *(u8 *)(r2 + 7); out: r0 = 0; exit"  # fmt: skip
    result = found(text, hooks.GRAFT_HOOKS["reply"])
    assert result is not None
    assert len(result.given.body) == 16
    assert 9 <= result.given.body[0] <= 12
    assert result.arrives


def test_what_only_the_types_allow_is_said_to_be_so() -> None:
    result = found("r6 = *(u32 *)(r1 + 44); if r6 != 7 goto out" + TAIL, hooks.GRAFT_HOOKS["reply"])
    assert result is not None
    assert result.given.field("status") == 7  # a reply's status is 0
    assert not result.arrives


def test_a_send_that_disregards_a_declaration_is_a_breach() -> None:
    code = "*(u64 *)(r10 - 8) = 0; r2 = 0; r3 = 0; r4 = r10; r4 += -8; r5 = 8; r1 = *(u64 *)(r1 + 16); r1 &= 3;" \
           "call 1000; r0 = 0; exit"  # fmt: skip
    program = case_program({"hook": "reply", "code": code})
    result = witness.find(program, rejection(program), solver=False)
    assert result is not None
    assert isinstance(result.misbehaviour, Breach)
    outcome = runs.run_input(program, json.dumps(result.input_json()))
    assert isinstance(outcome, runs.RunResult)
    assert outcome.activation.breaches == (result.misbehaviour,)
    assert outcome.misbehaved


def test_an_endless_loop_is_shown_by_the_input_that_enters_it() -> None:
    result = found("r6 = *(u32 *)(r1 + 4); L: r6 &= 0x7000; if r6 == 0x5000 goto L; r0 = 0; exit")
    assert result is not None
    assert isinstance(result.misbehaviour, Fault)
    assert result.misbehaviour.kind is FaultKind.OUT_OF_FUEL
    assert result.fuel == limits.WITNESS_FUEL


def test_a_search_is_the_same_each_time() -> None:
    text = HARD["a sum"] + TAIL
    assert found(text) == found(text)
    assert found(text, solver=True) == found(text, solver=True)


def test_a_leak_has_no_witness_and_that_is_said() -> None:
    program = Program.from_assembly("r0 = r10\nexit\n", CONTEXT)
    wrong = rejection(program)
    assert witness.find(program, wrong) is None
    assert "a run cannot show" in show.excuse(wrong)


def test_a_safe_program_that_is_rejected_may_be_safe() -> None:
    text = "r6 = *(u32 *)(r1 + 0); r7 = r6; r7 *= r7; r7 &= 3; if r7 != 2 goto out" + TAIL  # no square is 2 modulo 4
    program = Program.from_assembly(text.replace(";", "\n"), CONTEXT)
    wrong = rejection(program)
    assert witness.find(program, wrong) is None
    assert "it may be safe. What would convince the verifier: " in show.excuse(wrong)


# --- of a graft ------------------------------------------------------------------------------------------------------


def over_budget(instructions: int) -> str:
    text = (HERE.parent / "samples" / "btree_lookup.graft").read_text()
    assert "budget 400 insns" in text
    return text.replace("budget 400 insns", f"budget {instructions} insns")


def test_the_most_expensive_message_is_found_and_its_test_fails_in_the_source() -> None:
    bound = verifier.verify(grafting.compile_graft(over_budget(400))).handlers["reply/disk.read"].bounds.instructions
    program = grafting.compile_graft(over_budget(bound - 1))
    (told,) = show.tell(program, [rejection(program)], "x.graft", None)
    assert told.witness is not None
    assert told.witness.misbehaviour == Overrun("instructions", bound, bound - 1, "the budget")
    assert told.test is not None
    assert "reply disk.read Node { count: 31, keys: [" in told.test
    tight = grafting.compile_graft(f"{over_budget(bound - 1)}\n{told.test}\n")
    assert "where the budget allows" in testing.run_tests(tight)[-1].failures[0]
    enough = grafting.compile_graft(f"{over_budget(bound)}\n{told.test}\n")
    assert testing.run_tests(enough)[-1].passed


# --- the command -----------------------------------------------------------------------------------------------------

OFF_BY_ONE = (
    "r6 = *(u32 *)(r1 + 4); if r6 > 8 goto out; r2 = r10; r2 += -8; r2 += r6; *(u8 *)(r2 + 0) = 0; out: r0 = 0; exit"
)


@pytest.fixture
def unsafe(tmp_path: Path) -> str:
    file = tmp_path / "unsafe.s"
    file.write_text(OFF_BY_ONE.replace("; ", "\n") + "\n")
    return str(file)


def replayed(command: str) -> dict[str, Any]:
    """Run a printed command, with JSON as its output."""
    program, *arguments = shlex.split(command)
    assert program == "graft"
    result = graft(*arguments, "--output-format", "json")
    assert result.exit_code == 1
    data: dict[str, Any] = json.loads(result.stdout)
    return data


def test_the_printed_command_replays_the_fault(unsafe: str) -> None:
    result = graft("verify", unsafe, "--witness")
    assert result.exit_code == 1
    assert "192 bytes, zero but for 08 at 4" in result.stdout
    (line,) = (line for line in result.stdout.splitlines() if line.startswith("  replay"))
    assert replayed(line.removeprefix("  replay"))["fault"]["message"] in result.stdout


def test_the_example_of_the_documentation_is_what_the_command_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = (HERE.parent / "docs" / "verifier.md").read_text().partition("\n## Witnesses\n")[2]
    code, console = (re.search(f"```{kind}\n(.*?)```", section, re.DOTALL) for kind in ("asm", "console"))
    assert code
    assert console
    (tmp_path / "fill.s").write_text(code[1])
    monkeypatch.chdir(tmp_path)
    command, _, printed = console[1].partition("\n")
    result = graft(*shlex.split(command)[2:])
    assert result.stdout == printed


def test_json_has_the_witness_and_its_command_replays_the_same_fault(unsafe: str, tmp_path: Path) -> None:
    file = tmp_path / "witness.json"
    result = graft("verify", unsafe, "--hook", "raw_context:192", "--witness", "--witness-file", str(file),
                   "--output-format", "json")  # fmt: skip
    (told,) = json.loads(result.stdout)["witnesses"]
    assert told["input"] == json.loads(file.read_text())
    assert told["exact"]
    assert str(file) in told["replay"]
    assert replayed(told["replay"])["fault"] == told["fault"]


def test_without_a_witness_json_says_so(tmp_path: Path) -> None:
    file = tmp_path / "leak.s"
    file.write_text("r0 = r10\nexit\n")
    data = json.loads(graft("verify", str(file), "--witness", "--output-format", "json").stdout)
    assert data["witnesses"][0]["input"] is None
    assert "no witness" in data["witnesses"][0]["text"]


def test_an_accepted_program_needs_no_witness() -> None:
    sample = str(HERE.parent / "samples" / "list_chase.graft")
    assert graft("verify", sample, "--witness").stdout == graft("verify", sample).stdout


def test_neither_numba_nor_z3_is_loaded_before_it_is_used() -> None:
    code = "import sys, jit.witness, jit.witness.show; print({'numba', 'z3', 'llvmlite'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


# --- inputs ----------------------------------------------------------------------------------------------------------


def test_an_input_survives_json() -> None:
    given = Input(
        b"\0\0\1" + bytes(30) + b"\2", (("now", 5), ("status", (1 << 32) - 5), ("tag", 7)),
        ((("wanted", b"\1\0"), b"\2"),), (((".bss", 8), b"\1"), ((".bss", 9), b"\2")),
        frozenset({"disk"}), frozenset({3}), frozenset({4}),
    )  # fmt: skip
    assert inputs.from_json(json.dumps(inputs.to_json(given, "reply", 9))) == ("reply", given, 9)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"body": 1}', '{"body": {"length": 1, "bytes": {"0": "0102"}}}', '{"message": {"tax": 1}}',
     '{"body": {"length": 99999999999}}', '{"maps": [{"map": "m"}]}', '{"body": {"length": 4, "bytes": {"0": "x"}}}'],
)  # fmt: skip
def test_what_is_no_input_is_refused(text: str) -> None:
    with pytest.raises(GraftError) as caught:
        inputs.from_json(text)
    assert caught.value.diagnostics[0].code == "G0706"


def test_a_handler_sees_only_its_own_operations() -> None:
    program = grafting.compile_graft(over_budget(400))
    shape = inputs.shape(program, program.handler("reply/disk.read"))
    assert shape.fields["op"] == shape.fields["slot"] == shape.fields["status"] == ((0, 0),)
    assert inputs.shape(program, program.handler("failure")).fields["status"] == (((1 << 32) - 4095, (1 << 32) - 1),)


# --- terms and solvers -----------------------------------------------------------------------------------------------


def test_every_term_is_the_machines_own_number(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = 0
    follow = trace._Run._follow

    def checked(run: Any, pc: int, op: isa.Operation, before: list[int]) -> None:
        nonlocal compared
        follow(run, pc, op, before)
        for register, word in run._words.items():
            assert terms.value(word, run._given.value) == run._number(register), (pc, op)
            compared += 1

    monkeypatch.setattr(trace._Run, "_follow", checked)
    for seed in range(40):
        for text, hook in ((raw_program(seed), hooks.raw_context(192)), (memory_program(seed), hooks.raw_memory(64))):
            program = Program.from_assembly(text, hook)
            given = Input(bytes((seed * at * 37 + at) % 256 for at in range(hook.context_bytes)))
            trace.Tracer(program, program.handlers[0]).trace(given, 300)
    assert compared > 5_000


WORDS = (0, 1, 7, 8, 0x80, 0xFFFF, 1 << 31, (1 << 31) + 5, (1 << 32) - 1, 1 << 63, (1 << 63) + 3, (1 << 64) - 1)


def test_z3_computes_as_terms_do() -> None:
    z3 = pytest.importorskip("z3")
    a, b = Atom(("field", "tag"), 8), Atom(("field", "badge"), 8)
    for op in Op:
        for x in WORDS:
            for y in (16, 32) if op in (Op.EXTEND, Op.SWAP) else (0, 1, 13, 63):
                number = terms.compute(op, x, y)
                translation = smt._Translation(z3)
                term = terms.Term(op, a, y if op in (Op.EXTEND, Op.SWAP) else b, (1 << 64) - 1, 1)
                word = translation.word(term)
                put = [(translation.word(a), z3.BitVecVal(x, 64)), (translation.word(b), z3.BitVecVal(y, 64))]
                assert z3.simplify(z3.substitute(word, *put)).as_long() == number, (op, x, y)


def test_what_a_solver_answers_satisfies_the_conditions() -> None:
    program = Program.from_assembly("r0 = 0\nexit\n", CONTEXT)
    shape = inputs.shape(program, program.handlers[0])
    given = shape.simplest()
    word = terms.joined([Atom(("memory", at), 1) for at in range(8)])
    for condition in Condition:
        for number in WORDS:
            for holding in (True, False):
                cond = Cond(condition, word, number, holding)
                answer = solve.Local(shape, (), 1).solve(given, [], [cond])
                possible = any(
                    terms.compare(condition, x, number) == holding
                    for x in (*WORDS, number + 1 & isa.U64, number - 1 & isa.U64)
                )
                assert (answer is not None) == possible, cond
                assert answer is None or terms.holds(cond, answer.value)
