"""Each kernel of the benchmarks is verified and gives its oracle's answer, interpreted, as machine code and in C."""

from __future__ import annotations

import ctypes
import random

import pytest

import jit
from benchmarks import c_code
from benchmarks.kernels import KERNELS, NOTHING, Answer, Input, Kernel
from benchmarks.stage import Stage
from jit.machine import EXITED

SEEDS = range(3)
LONG = {"md5"}  # one input is enough for 70,000 instructions in plain Python
FUNCTION = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_void_p] * 8)

each_kernel = pytest.mark.parametrize("kernel", [*KERNELS, NOTHING], ids=lambda kernel: kernel.name)


def inputs(kernel: Kernel) -> list[Input]:
    return [kernel.make(random.Random(seed)) for seed in SEEDS]


def interpreted(kernel: Kernel, given: Input) -> tuple[Answer, int]:
    """What the checked interpreter leaves, a use of undefined bytes being a fault; how many instructions ran."""
    if kernel.raw:
        outcome = jit.interpret(kernel.program, bytearray(given.body))
        return {"r0": outcome.r0}, outcome.instructions
    state = jit.GraftState(kernel.program)
    done = jit.activate(kernel.program, "reply", jit.Message(tag=given.tag, body=given.body), state)
    assert done.verdict_name == "consume"
    maps = {name: dict(view.items()) for name, view in state.maps.items()}
    return {**state.variables, **maps}, done.instructions


def called(kernel: Kernel, address: int, given: Input) -> Answer:
    """What a function with the arguments of native code leaves."""
    stage = Stage(kernel, given)
    assert FUNCTION(address)(*stage.pointers()) == EXITED
    return stage.answer()


@each_kernel
def test_the_interpreter_gives_the_oracles_answer_within_the_proven_bound(kernel: Kernel) -> None:
    several = kernel.name not in LONG
    for given in inputs(kernel) if several else inputs(kernel)[:1]:
        answer, instructions = interpreted(kernel, given)
        assert answer == kernel.answer(given)
        assert 0 < instructions <= kernel.verified.bounds.instructions


@each_kernel
def test_native_code_gives_the_oracles_answer(kernel: Kernel) -> None:
    engine = jit.compile_native(kernel.verified)
    for given in inputs(kernel):
        address = engine.address(kernel.program.handlers[0].name)
        assert called(kernel, address, given) == kernel.answer(given)


@each_kernel
@pytest.mark.skipif(bool(c_code.unavailable()), reason=c_code.unavailable())
def test_the_same_work_in_c_gives_the_oracles_answer(kernel: Kernel) -> None:
    library = c_code.kernel(kernel)
    for given in inputs(kernel):
        assert called(kernel, c_code.address(library, "kernel"), given) == kernel.answer(given)
