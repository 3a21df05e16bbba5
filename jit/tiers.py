"""Interpreted at first, native as soon as the code is there.

    engine = jit.TieredEngine(verified)
    jit.activate(engine, "reply", message, state)   # interpreted; its code is being compiled meanwhile
    jit.activate(engine, "reply", message, state)   # interpreted or native: the result is the same

The first use asks for the code, in a thread of its own. Between two activations is the safe point at which engines may
change: an activation is atomic, all that outlives it is in the `GraftState`, and both engines read that. So a switch
shows in nothing but time. A program that cannot be compiled (`failure`) stays interpreted.
"""

from __future__ import annotations

import functools
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

from grafting.diagnostics import GraftError
from jit.native.engine import NativeEngine, compile_native

if TYPE_CHECKING:
    from grafting.program import Program
    from verifier import Verified


@functools.cache
def _compilers() -> ThreadPoolExecutor:
    """One thread, since LLVM does one thing at a time; Python waits for it at exit."""
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="grafting-native")


class TieredEngine:
    """A `Verified` that the interpreter runs until its machine code is ready. TypeError for anything else."""

    def __init__(self, verified: Verified) -> None:
        from verifier import Verified

        if type(verified) is not Verified:
            raise TypeError(f"only a Verified has tiers, not {type(verified).__name__}: call verifier.verify first")
        self.verified = verified
        self._coming: Future[NativeEngine] | None = None

    def __repr__(self) -> str:
        return f"<TieredEngine {self.program.name}, {'native' if self.native is not None else 'interpreted'}>"

    @property
    def program(self) -> Program:
        """The program that was verified."""
        return self.verified.program

    @property
    def native(self) -> NativeEngine | None:
        """The native engine, if it is ready by now."""
        coming = self._coming
        ready = coming is not None and coming.done() and coming.exception() is None
        return coming.result() if coming is not None and ready else None

    @property
    def failure(self) -> BaseException | None:
        """Why there will be no native code: a GraftError (G0710), or a bug of ours; None as far as is known."""
        coming = self._coming
        return coming.exception() if coming is not None and coming.done() else None

    def current(self) -> NativeEngine | None:
        """Return the native engine if it is ready; if nobody has asked for its code before, have it compiled.

        Raises InternalError if compiling it has shown a bug of ours.
        """
        if self._coming is None:
            self._coming = _compilers().submit(compile_native, self.verified, counting=True)
        failure = self.failure
        if failure is not None and not isinstance(failure, GraftError):
            raise failure
        return self.native

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until compiling has ended, at most so long; returns whether there is native code."""
        self.current()
        assert self._coming is not None
        wait([self._coming], timeout=seconds)
        return self.native is not None
