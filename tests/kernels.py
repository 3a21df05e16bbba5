"""Kernels and grafts for the tests of the kernel model."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from machines import WANTED, graft

import verifier
from kernel_model import Jobs, Kernel

# The first word of a reply is the next index, 0 at the end; every hop sends, every end is delivered.
CHASE = """
    r6 = *(u64 *)(r1 + 0)
    r7 = *(u64 *)(r1 + 8)
    r8 = *(u64 *)(r1 + 16)
    r2 = r6
    r2 += 8
    if r2 > r7 goto deliver
    r9 = *(u64 *)(r6 + 0)
    if r9 == 0 goto deliver
    *(u64 *)(r10 - 8) = r9
    r1 = 0
    r2 = 0
    r3 = r8
    r4 = r10
    r4 += -8
    r5 = 8
    call 1000
    if r0 != 0 goto deliver
    r0 = 1
    exit
deliver:
    r0 = 0
    exit
"""
ARM_TIMER = """
    r1 = *(u64 *)(r1 + 16)
    r2 = 700
    call 1004
    r0 = 1
    exit
"""
CONSUME = "r0 = 1\nexit"
DELIVER = "r0 = 0\nexit"


def verified(handlers: Mapping[str, str]) -> verifier.Verified:
    return verifier.verify(graft(handlers, maps=(WANTED,)))


def chase() -> verifier.Verified:
    return verified({"reply/disk.read": CHASE})


def chain_image(depth: int, block: int = 64) -> bytes:
    """Blocks 0 .. depth-1: each names the next in its first word, the last names 0; each number stands behind."""
    blocks = np.zeros((depth, block // 8), np.uint64)
    blocks[:, 0] = [*range(1, depth), 0]
    blocks[:, 1] = np.arange(depth)
    return blocks.tobytes()


def answers(kernel: Kernel, jobs: Jobs) -> npt.NDArray[np.uint64]:
    """The second word of each answer: the number of the block that it came from."""
    rows = jobs.results()
    return np.array([kernel.arena[b + 8 : b + 16].view(np.uint64)[0] if n else 2**64 - 1
                     for b, n in zip(rows["body"], rows["length"], strict=True)], np.uint64)  # fmt: skip
