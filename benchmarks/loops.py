"""Loops without Python in them: many activations of machine code by address, or of the interpreter.

`calls` is what a dispatcher in numba does: the address is called as a C function with the arguments of native code
(`jit.native.lowering`). `interpreted` is the interpreter's activation: `begin` and `run`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from jit.hot import hot
from jit.interpreter import run
from jit.machine import Machine, begin


@hot
def interpreted(
    m: Machine, handler: int, body_at: int, body_length: int, fuel: int, now_ns: int, checking: int, times: int
) -> int:
    """Run a handler so many times; returns how the last run ended."""
    status = 0
    for _ in range(times):
        begin(m, handler, body_at, body_length, fuel, now_ns, checking)
        status = run(m)
    return status


@functools.cache
def calls() -> Callable[..., int]:
    """Return the compiled loop (address, the arguments as uint64, how many times) -> the last result."""
    import numba
    from llvmlite import ir
    from numba import types
    from numba.extending import intrinsic

    @intrinsic  # type: ignore[untyped-decorator]
    def call(typing_context: Any, address: Any, arguments: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            word = ir.IntType(64)
            values = [builder.extract_value(given[1], place) for place in range(signature.args[1].count)]
            function = builder.inttoptr(given[0], ir.FunctionType(word, [word] * len(values)).as_pointer())
            return builder.call(function, values)

        return types.int64(address, arguments), generate

    @numba.njit(nogil=True)  # type: ignore[untyped-decorator]
    def loop(address: int, arguments: Any, times: int) -> int:
        result = 0
        for _ in range(times):
            result = call(address, arguments)
        return result

    return loop  # type: ignore[no-any-return]
