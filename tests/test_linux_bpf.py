"""Linux's verifier as a second opinion, where bpf(2) is allowed."""

from __future__ import annotations

import pytest

from grafting import Program, hooks
from grafting.isa import Instruction
from kernel_model.linux import bpf

pytestmark = pytest.mark.skipif(bool(bpf.unavailable()), reason=bpf.unavailable() or "bpf(2) can be used")

SLEEPABLE = 16  # BPF_F_SLEEPABLE


def code(text: str) -> tuple[Instruction, ...]:
    return Program.from_assembly(text, hooks.raw_context(64)).handlers[0].instructions


def test_linux_accepts_a_safe_program_and_says_how_many_steps_it_took() -> None:
    verdict = bpf.judge(code("r0 = 0\nexit\n"), bpf.ProgramType.SOCKET_FILTER)
    assert verdict.accepted
    assert verdict.steps == 2


def test_linux_rejects_an_uninitialised_read() -> None:
    assert not bpf.judge(code("r0 = r6\nexit\n"), bpf.ProgramType.SOCKET_FILTER).accepted


def test_linux_runs_a_program_on_a_context() -> None:
    text = "r2 = *(u64 *)(r1 + 0)\nr2 += 1\n*(u64 *)(r1 + 8) = r2\nr0 = 7\nexit\n"
    context = bytearray((41).to_bytes(8, "little") + bytes(8))
    with bpf.loaded(code(text), bpf.ProgramType.SYSCALL, flags=SLEEPABLE) as (descriptor, _log):
        assert bpf.run_syscall_program(descriptor, context) == 7
    assert int.from_bytes(context[8:16], "little") == 42
