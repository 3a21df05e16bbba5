"""Rejections, word for word: tests/cases/rejections.yaml, whose first lines give the form.

Grafts that the compiler accepts are rarely refused by the verifier, so most cases change an instruction of a compiled
graft, which keeps its spans and names; others are assembly, with or without the line info of a C source.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml
from random_bytecode import graft_program, memory_program, raw_program
from test_verifier_cases import program as bare

import grafting
import verifier
from grafting import GraftError, Program, render
from grafting.assembly.assembler import assemble
from grafting.assembly.disassembler import disassemble
from grafting.diagnostics import Source
from grafting.program import DebugInfo, LineInfo
from verifier.naming import Naming
from verifier.refusal import Refusal
from verifier.values import Number, Pointer
from verifier.wording import Worded, Writer

CASES = yaml.safe_load((Path(__file__).parent / "cases" / "rejections.yaml").read_text())


def judge(case: dict[str, Any], edits: list[list[str]]) -> Program:
    """Return the case's program, once the verifier has accepted it; the edits are of the source or assembly."""
    text = case.get("graft") or case.get("code", "")
    changes = [*case.get("changed", []), *case.get("changed_all", [])]
    for old, new in edits:
        where = next((change for change in changes if change[1] == old), None)
        if where is not None:
            changes[changes.index(where)] = [where[0], new]
        else:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
    if "graft" in case:
        program = changed(grafting.compile_graft(text, filename="x.graft"), changes, once="changed_all" not in case)
    elif "object" in case:
        data = (Path(__file__).parent / "data" / case["object"]).read_bytes()
        program = changed(Program.from_elf(data), changes, once=True)
    else:
        program = bare({**case, "code": text})
    if "c" in case:
        lines = tuple(LineInfo(*line) for line in case["lines"])
        handler = replace(program.handlers[0], lines=lines)
        program = replace(program, handlers=(handler,), debug=DebugInfo(Source("x.c", case["c"])))
    verifier.verify(program)
    return program


def changed(program: Program, changes: list[list[str]], *, once: bool) -> Program:
    """Return the program with instructions changed, each given by its text, which occurs just once or anywhere.

    `r_` and `L_` are any register and label; in the new text they are, one after the other, those that were found.
    """
    texts = [disassemble(handler.instructions) for handler in program.handlers]
    for old, new in changes:
        pattern = re.escape(f"{old}\n").replace("r_", r"(\b[rw]\d+)").replace("L_", r"(\bL\d+)")
        found = sum(len(re.findall(pattern, text)) for text in texts)
        assert found == 1 or (found and not once), (old, found, *texts)
        texts = [re.sub(pattern, lambda match, new=new: _filled(f"{new}\n", match.groups()), text) for text in texts]
    handlers = [replace(h, instructions=assemble(t)) for h, t in zip(program.handlers, texts, strict=True)]
    return replace(program, handlers=tuple(handlers))


def _filled(text: str, found: tuple[str, ...]) -> str:
    for name in found:
        text = re.sub(r"\b[rL]_", name, text, count=1)
    return text


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CASES])
def test_rejection(case: dict[str, Any]) -> None:
    with pytest.raises(GraftError) as caught:
        judge(case, [])
    assert "\n".join(render.full(diagnostic) for diagnostic in caught.value.diagnostics) == case["says"].rstrip()


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CASES if "mended" in case])
def test_the_edit_that_is_offered_mends_it(case: dict[str, Any]) -> None:
    judge(case, case["mended"])


# --- no refusal is beyond words --------------------------------------------------------------------------------------


def told(program: Program) -> str:
    """Return all that is said of a program, empty if it is accepted."""
    try:
        verifier.verify(program)
    except verifier.Rejected as error:
        return "\n".join(render.full(diagnostic) for diagnostic in error.diagnostics)
    return ""


def test_random_bytecode_is_refused_in_words_that_agree_with_the_states(monkeypatch: pytest.MonkeyPatch) -> None:
    agreed: list[bool] = []

    def write(self: Writer, refusal: Refusal) -> Worded:
        agreed.extend(agreements(self.naming))
        return write_(self, refusal)

    write_ = Writer.write
    monkeypatch.setattr(Writer, "write", write)
    kinds = (("raw_context:192", raw_program), ("raw_memory:64", memory_program), ("reply", graft_program))
    texts = [told(bare({"hook": hook, "code": make(seed)})) for hook, make in kinds for seed in range(100, 130)]
    assert len([text for text in texts if text]) > 3
    assert len(agreed) > 10
    assert all(agreed)


def agreements(naming: Naming) -> Iterator[bool]:
    """Yield for each register at the end whether the sum that it is said to hold can be what the state knows."""
    for held, value in zip(naming.reckoner.registers[:10], naming.way.state.registers[:10], strict=True):
        if held is not None and isinstance(value, Number | Pointer):
            low, high = naming.bounds(held)
            yield (low <= value.scalar.smax and high >= value.scalar.smin) or max(-low, high) >= 1 << 63


def test_a_graft_with_changed_numbers_is_refused_in_words() -> None:
    graft = grafting.compile_graft(CASES[0]["graft"], filename="x.graft")
    texts = [told(mutant) for seed in range(40) if (mutant := with_a_number_changed(graft, Random(seed))) is not None]
    assert len([text for text in texts if "x.graft" in text]) > 10


def with_a_number_changed(program: Program, random: Random) -> Program | None:
    """Return the program with one number or register of its assembly changed, None if it is ill-formed then."""
    text = disassemble(program.handlers[0].instructions)
    number = random.choice(list(re.finditer(r"\b-?\d+\b|(?<=r)\d", text)))
    new = random.choice((0, 1, 2, 6, 7, 8, 9, int(number[0]) + 1, 2 * int(number[0])))
    try:
        instructions = assemble(text[: number.start()] + str(new) + text[number.end() :])
        return replace(program, handlers=(replace(program.handlers[0], instructions=instructions),))
    except GraftError:
        return None


def test_a_long_computation_is_refused_in_few_words() -> None:
    steps = "\n".join(["r2 ^= r3\nr3 += r2\nr3 *= r2"] * 2000)
    code = f"r2 = *(u32 *)(r1 + 40)\nr3 = *(u64 *)(r1 + 16)\n{steps}\nr2 = *(u64 *)(r2 + 0)\nr0 = 0\nexit"
    program = bare({"hook": "reply", "code": code})
    handler = replace(program.handlers[0], lines=(LineInfo(0, 1, 1),))
    text = told(replace(program, handlers=(handler,), debug=DebugInfo(Source("x.c", "x = mix(x);"))))
    assert "G0608" in text
    assert len(text) < 1000


def test_a_path_of_many_rounds_is_told_by_its_end() -> None:
    code = "r2 = 0\nr0 = 0\nL: r2 += 1\nr3 = r2\nr3 ^= 5\nif r3 != 500 goto L\nr0 = *(u64 *)(r0 + 0)\nexit"
    text = told(bare({"hook": "raw_context:8", "code": code}))
    assert "null" in text
    assert len(text) < 1000
