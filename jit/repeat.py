"""The same activation many times over, without anything in between that is not the engine's: for `jit.bench`.

Each time the machine is begun, the context written, and the handler run to its end. Helpers of the embedder are not
served but answered from a list, in order: what they gave when the activation was run in earnest. So every run takes the
same path. What it has changed in the arena is put back, word by word.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from jit.hot import hot
from jit.interpreter import run
from jit.machine import CHECKING, EXITED, HELPER, TRUSTING, Machine, begin, resume, write_context
from jit.native.entry import map_frames, run_native
from jit.words import store64, u64


class Repeated(NamedTuple):
    """What is run. `context`: tag, badge, op, status, slot, event, ncaps, flags; event 0: there is no such context.

    `answers`: of the embedder's helpers, in order. `places` and `words`: arena offsets and what is to be there again.
    """

    context: npt.NDArray[np.uint64]
    answers: npt.NDArray[np.uint64]
    places: npt.NDArray[np.int64]
    words: npt.NDArray[np.uint64]


@hot
def enter(
    m: Machine, what: Repeated, handler: int, body_at: int, body_length: int, fuel: int, now_ns: int, checking: int
) -> None:
    """Make the machine ready for the activation."""
    begin(m, handler, body_at, body_length, fuel, now_ns, checking)
    c = what.context
    if u64(c[5]) != u64(0):
        write_context(
            m, body_length, u64(c[0]), u64(c[1]), now_ns, u64(c[2]), u64(c[3]), u64(c[4]), u64(c[5]), u64(c[6]),
            u64(c[7]),
        )  # fmt: skip


@hot
def put_back(arena: Any, what: Repeated) -> None:
    """Undo what an activation has changed."""
    for row in range(len(what.places)):
        store64(arena, what.places[row], u64(what.words[row]))


@hot
def interpret_often(
    m: Machine, what: Repeated, handler: int, body_at: int, body_length: int, fuel: int, now_ns: int, times: int
) -> int:
    """Run it `times` times in the checked interpreter; returns the last status, r0 is in `m.registers`."""
    status = EXITED
    for _ in range(times):
        enter(m, what, handler, body_at, body_length, fuel, now_ns, CHECKING)
        status = run(m)
        answered = 0
        while status == HELPER:
            resume(m, u64(what.answers[answered]))
            answered += 1
            status = run(m)
        put_back(m.arena, what)
    return status


@hot
def run_native_often(
    m: Machine,
    what: Repeated,
    handler: int,
    body_at: int,
    body_length: int,
    fuel: int,
    now_ns: int,
    times: int,
    address: int,
    state_at: int,
    calls: int,
) -> int:
    """Do so by machine code at `address`; `calls` is not 0 if it has local functions."""
    status = EXITED
    for _ in range(times):
        enter(m, what, handler, body_at, body_length, fuel, now_ns, TRUSTING)
        if calls != 0:
            map_frames(m)
        status = run_native(m, address, body_at, state_at)
        answered = 0
        while status == HELPER:
            resume(m, u64(what.answers[answered]))
            answered += 1
            status = run_native(m, address, body_at, state_at)
        put_back(m.arena, what)
    return status
