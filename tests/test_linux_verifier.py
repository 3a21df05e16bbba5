"""Linux's verifier judges the same bytecode: no disagreement is without a name, where bpf(2) is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest
from promises import KINDS, impatient_clock, program_of
from test_verifier_cases import ALL, program

from kernel_model.linux import bpf
from kernel_model.linux.differences import OURS, THEIRS, UNEXPLAINED, compared
from kernel_model.linux.translation import Untranslatable, translated

needs_bpf = pytest.mark.skipif(bool(bpf.unavailable()), reason=bpf.unavailable() or "bpf(2) can be used")

SEEDS = range(40)
BOLD = 0.15
RULES = ("memory", "pointers", "helpers", "cve")  # the other files are loops, which Linux walks
DOCUMENTATION = Path(__file__).resolve().parents[1] / "docs" / "verifier.md"


@needs_bpf
@pytest.mark.parametrize("kind", KINDS)
def test_every_disagreement_about_a_random_program_has_a_name(kind: str) -> None:
    both = allowed = 0
    unexplained = []
    for seed in SEEDS:
        try:
            found = compared(program_of(kind, seed, BOLD), clock=impatient_clock())
        except Untranslatable:
            continue
        both += not found.refused and not found.reason
        allowed += not found.reason and not found.by_rule
        if found.difference == UNEXPLAINED:
            unexplained.append((seed, found.refused, found.message, found.reason))
    assert [case for case in unexplained if not case[1]] == []  # accepted here alone: a policy, or a bug
    assert both >= 0.97 * allowed, unexplained
    assert both > len(SEEDS) // 4


@needs_bpf
def test_every_disagreement_about_a_single_rule_has_a_name() -> None:
    unexplained = []
    for file, case in ALL:
        if file not in RULES:
            continue
        try:
            found = compared(program(case))
        except Untranslatable:
            continue
        if found.difference == UNEXPLAINED:
            unexplained.append((file, case["name"], found.refused, found.reason))
    assert unexplained == []


@needs_bpf
def test_a_load_of_a_context_field_becomes_one_of_a_map_and_the_jumps_move() -> None:
    case = {"hook": "reply", "code": "r6 = *(u32 *)(r1 + 40); if r6 == 0 goto out; r6 = 1; out: r0 = 0; exit"}
    handler = program(case).handlers[0]
    with translated(program(case), handler) as there:
        assert there.program_type is bpf.ProgramType.SK_MSG
        assert len(there.code) == len(handler.instructions) + 2
        assert there.code[3].offset == handler.instructions[1].offset
        assert bpf.judge(there.code, there.program_type).accepted


def test_the_documentation_has_every_difference_and_rule() -> None:
    text = DOCUMENTATION.read_text()
    assert [d.name for d in THEIRS if f"| {d.name} | {d.why} |" not in text] == []
    assert [r.code for r in OURS if f"| {r.code} | {r.why} |" not in text] == []
