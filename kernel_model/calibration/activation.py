"""One empty activation in the real kernel: an eBPF program of two instructions, where bpf(2) is allowed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from grafting import isa
from grafting.isa import Instruction
from kernel_model.calibration.samples import Series
from kernel_model.linux import bpf

RUNS = 100_000  # in a batch
PACKET = bytes(64)
_MOV64_IMM = 0xB7


@contextmanager
def nothing() -> Iterator[int]:
    """Load the empty program; yields its descriptor."""
    code = [Instruction(_MOV64_IMM, 0, 0, 0, 0), Instruction(isa.EXIT, 0, 0, 0, 0)]
    with bpf.loaded(code, bpf.ProgramType.SOCKET_FILTER) as (descriptor, _log):
        yield descriptor


def measure(rounds: int) -> Series:
    """Return ns of a run as the kernel itself took it, one value a round (BPF_PROG_TEST_RUN)."""
    with nothing() as descriptor:
        return tuple(float(bpf.run_filter(descriptor, PACKET, RUNS)[1]) for _ in range(rounds))
