"""Entering native code from hot functions: the same four lines in Python, through ctypes, and under numba, by address.

    begin(m, handler, body_at, body_length, fuel, now_ns, TRUSTING)     # jit.machine
    map_frames(m)                                                       # if the handler has local functions
    while run_native(m, address, body_at, state_at) == HELPER:          # in place of jit.interpreter.run
        ...                                                             # as for the interpreter

`address` is `NativeEngine.address`; the engine must stay alive meanwhile. Native code uses no fuel: it is verified, so
it ends within its bound. Whoever wants the fuel of a run obeyed compares it with the bound first.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

from jit.hot import hot, primitive
from jit.machine import Machine, enter_frame
from jit.memory import FRAMES
from jit.words import i64

_FUNCTION = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_void_p] * 8)


@functools.lru_cache(maxsize=1024)
def _function(address: int) -> Any:
    return _FUNCTION(address)


@primitive
def call_native(
    address: int,
    arena: Any,
    registers: Any,
    frames: Any,
    control: Any,
    counts: Any,
    context_at: int,
    body_at: int,
    stack_at: int,
    state_at: int,
) -> int:
    """Call a handler's function; offsets are those of its windows in the arena. Returns its status."""
    base = arena.ctypes.data
    status: int = _function(int(address))(
        base + int(context_at),
        base + int(body_at),
        base + int(stack_at),
        base + int(state_at),
        registers.ctypes.data,
        frames.ctypes.data,
        control.ctypes.data,
        counts.ctypes.data,
    )
    return status


@hot
def map_frames(m: Machine) -> None:
    """After `begin`: map all stack frames at their places. Native code does not say when it enters one."""
    for frame in range(1, FRAMES):
        enter_frame(m, frame)
    m.control[0]["depth"] = FRAMES - 1


@hot
def run_native(m: Machine, address: int, body_at: int, state_at: int) -> int:
    """Run from where the machine stands; returns EXITED or HELPER."""
    c = m.control[0]
    return i64(
        call_native(
            address, m.arena, m.registers, m.frames, m.control, m.counts,
            c["context_at"], body_at, c["stack_at"], state_at,
        )
    )  # fmt: skip
