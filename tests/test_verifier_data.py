"""The shared programs: every unsafe one is rejected for its own reason, every loop that ends is accepted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import jit
import verifier
from grafting import Program, hooks
from grafting.assembly.disassembler import disassemble_operation
from grafting.diagnostics import GraftError

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "verifier"
HOOK = hooks.raw_context(192)

if not DATA.is_dir():
    pytest.skip("the shared verifier data are not here", allow_module_level=True)


def cases(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((DATA / name).read_text())
    return found


UNSAFE = cases("unsafe.json")
LOOPS = cases("loops.json")
ENDLESS = {"infinite: goto self", "infinite: r0 unchanged"}

# What is wrong with each program: the diagnostic's code and the instruction at which it stands, with its pc.
REASONS = {
    "cve-2017-16995-mov32-sext": ("G0603", 9, "*(u8 *)(r2 + 0) = r3"),
    "cve-2017-16996-truncate": ("G0603", 11, "*(u8 *)(r2 + 0) = r3"),
    "cve-2021-31440-64to32": ("G0603", 13, "*(u8 *)(r2 + 0) = r3"),
    "cve-2023-2163-pruning": ("G0603", 16, "*(u8 *)(r2 + 0) = r3"),
    "cve-2021-3600-div32-trunc": ("G0603", 10, "*(u8 *)(r2 + 0) = r3"),
    "div-by-zero-result": ("G0603", 10, "*(u8 *)(r2 + 0) = r3"),
    "mod-by-zero-result": ("G0603", 8, "*(u8 *)(r2 + 0) = r3"),
    "shift-amount-masked": ("G0603", 10, "*(u8 *)(r2 + 0) = r3"),
    "arsh32-zero-extends": ("G0603", 7, "*(u8 *)(r2 + 0) = r3"),
    "neg32-zero-extends": ("G0603", 7, "*(u8 *)(r2 + 0) = r3"),
    "movsx32-same-reg": ("G0603", 7, "*(u8 *)(r2 + 0) = r3"),
    "unsigned-le-off-by-one": ("G0603", 6, "*(u8 *)(r2 + 0) = r3"),
    "width-off-by-one": ("G0603", 6, "*(u64 *)(r2 + 0) = r3"),
    "loop-le-off-by-one": ("G0603", 5, "*(u8 *)(r2 + 0) = r3"),
    "loop-index-escapes": ("G0603", 5, "r3 = *(u8 *)(r2 + 0)"),
    "nonterm-goto-self": ("G0621", 1, "goto L1"),
    "nonterm-parity": ("G0621", 1, "r6 += 2"),
    "nonterm-wrap": ("G0621", 1, "r6 += -2"),
    "jset-taken": ("G0603", 9, "*(u8 *)(r2 + 0) = r3"),
    "fetch-add-old-value": ("G0603", 8, "*(u8 *)(r2 + 0) = r3"),
    "bswap-range": ("G0603", 7, "*(u8 *)(r2 + 0) = r3"),
    "le32-truncates": ("G0603", 10, "*(u8 *)(r2 + 0) = r3"),
    "spill-partial-overwrite": ("G0611", 3, "r2 = *(u64 *)(r10 - 8)"),
    "spill-straddle": ("G0611", 2, "r2 = *(u64 *)(r10 - 12)"),
    "var-offset-write-kills-spill": ("G0611", 9, "r2 = *(u64 *)(r10 - 16)"),
    "uninit-stack-read": ("G0602", 0, "r0 = *(u64 *)(r10 - 8)"),
    "uninit-one-branch": ("G0601", 3, "r0 = r6"),
    "caller-saved-after-call": ("G0601", 3, "*(u8 *)(r1 - 8) = r3"),
    "ptr-mul": ("G0612", 1, "r2 *= 3"),
    "scalar-deref": ("G0608", 1, "r0 = *(u64 *)(r6 + 0)"),
    "write-r10": ("G0614", 0, "r10 += -8"),
    "frame-overflow": ("G0603", 1, "*(u64 *)(r10 - 520) = r3"),
}


def program(case: dict[str, Any]) -> Program:
    return Program.from_bytecode(bytes.fromhex(case["hex"]), HOOK)


@pytest.mark.parametrize("case", UNSAFE, ids=lambda case: case["name"])
def test_an_unsafe_program_is_rejected_for_its_reason(case: dict[str, Any]) -> None:
    with pytest.raises(verifier.Rejected) as caught:
        verifier.verify(program(case))
    first = caught.value.diagnostics[0]
    assert first.handler == "main"
    assert first.pc is not None
    at = disassemble_operation(program(case).handlers[0].operations[first.pc])
    assert (first.code, first.pc, at) == REASONS[case["name"]], first.message


@pytest.mark.parametrize("case", [c for c in LOOPS if c["name"] not in ENDLESS], ids=lambda case: case["name"])
def test_a_loop_that_ends_is_accepted(case: dict[str, Any]) -> None:
    verified = verifier.verify(program(case))
    assert verified.handlers["main"].steps < 1000  # by ranking, not by following it


@pytest.mark.parametrize("case", [c for c in LOOPS if c["name"] in ENDLESS], ids=lambda case: case["name"])
def test_a_loop_without_end_is_rejected(case: dict[str, Any]) -> None:
    with pytest.raises(verifier.Rejected) as caught:
        verifier.verify(program(case))
    assert caught.value.diagnostics[0].code == "G0621"


# For every loop the input that makes it run longest: `len`, the u32 at the context's start.
WORST_INPUT = {
    "n unknown (ctx u8) , i<n": 255,
    "n unknown u32, i<n && i<512": 513,
    "clear lowest bit: while(x) x&=x-1 (u8)": 255,
    "8 independent branches (path explosion 2^8)": 0xFF,
    "18 independent branches (2^18), sums": 0x3FFFF,
    "binary search lo<hi over 256": 0,
}
LONG = {
    "count 0..600000",
    "count 0..100000 (empty body)",
    "count 0..100001",
    "n unknown u16, i<n",
    "n unknown u32, i<n",
}
# Its shorter way round is the one that can be taken more often; the triangle is bounded as a square.
LOOSE = {"triangular i<64,j<i": 2.0, "binary search lo<hi over 256": 1.2}  # bound / observed maximum, at most


@pytest.mark.parametrize("case", [c for c in LOOPS if c["name"] not in ENDLESS | LONG], ids=lambda case: case["name"])
def test_the_bound_is_the_observed_maximum(case: dict[str, Any]) -> None:
    bound = verifier.verify(program(case)).bounds.instructions
    memory = bytearray(192)
    memory[0:4] = WORST_INPUT.get(case["name"], 0).to_bytes(4, "little")
    observed = jit.interpret(program(case), memory).instructions
    assert observed <= bound <= observed * LOOSE.get(case["name"], 1.0)


def test_rejected_is_a_graft_error_with_the_root_cause_first() -> None:
    with pytest.raises(GraftError) as caught:
        verifier.verify(program(UNSAFE[0]))
    assert isinstance(caught.value, verifier.Rejected)
