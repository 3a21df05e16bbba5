"""Spinning: a thread that looks at memory until something changes there, and keeps its core meanwhile.

A simulated spin is not a loop. The thread is in user mode with a burst that has no end, or ends when its patience does;
whoever writes what it looks at calls `notice`, and the burst ends there. The time that has passed is charged as it
passes, under `spin`: the thread's own account pays for a core that did nothing else (`passing.pass_time`).

    spin(p, 2 us) .......... notice(p)          1.3 us under `spin`, then p takes its next step
    spin(p, 2 us) ....................|         2 us under `spin`, then p takes its next step, and sleeps

A thread that was preempted while it spun finds out when it runs again. Nothing else runs on the core of a spinning
thread, so what it waits for must come from another core, or its whole patience is wasted.
"""

from __future__ import annotations

from typing import Final

from jit.hot import hot
from kernel_model.core.tables import NEVER, U_SPIN, USER, Tables

FOREVER: Final = NEVER >> 1  # a patience that does not end


@hot
def spin(k: Tables, p: int, patience: int) -> int:
    """Let thread `p`, in user mode, spin for up to `patience` ps (FOREVER: without end) as its next step."""
    process = k.process[p]
    process["spinning"] = 1
    process["noticed"] = 0
    process["owed"] = patience
    process["left"] = patience
    return U_SPIN


@hot
def stop_spinning(k: Tables, p: int) -> None:
    """The spin is over; what was left of its patience never runs and was never charged."""
    process = k.process[p]
    process["spinning"] = 0
    process["owed"] = 0
    process["left"] = 0


@hot
def spin_end(k: Tables, p: int) -> int:
    """Return when the spin of `p`, which has its core from now on, will end as things stand."""
    process, now = k.process[p], k.meter[0]["now"]
    if process["noticed"] != 0:
        return int(now)
    return NEVER if process["left"] >= FOREVER >> 1 else int(now + process["left"])


@hot
def notice(k: Tables, p: int) -> None:
    """Memory that thread `p` may be looking at has changed."""
    process = k.process[p]
    if process["spinning"] == 0 or process["noticed"] != 0:
        return
    process["noticed"] = 1
    core = k.core[process["core"]]
    if core["process"] == p and core["phase"] == USER:
        core["end"] = min(core["end"], k.meter[0]["now"])
