"""Falling back: an event that a graft could not see in the kernel goes to its client, marked, and is counted.

Each graft counts its own, by reason: a graft whose events all fall back is a round trip that calls itself a graft, so
whoever compares the two must be told, and told what would help (`results.fallbacks`).
"""

from __future__ import annotations

from jit.hot import hot
from kernel_model.core.billing import trace
from kernel_model.core.tables import (
    LOWER_PRIORITY,
    NOT_IN_KERNEL,
    OVER_EAGER,
    OVER_FUEL,
    X_FALLBACK,
    Tables,
)


@hot
def note_fallback(k: Tables, g: int, h: int, tag: int, reason: int) -> None:
    """Count that an event for handler `h` of graft `g` goes to user mode, and why."""
    graft = k.graft[g]
    k.meter[0]["fallbacks"] += 1
    trace(k, X_FALLBACK, g, h, tag, reason)
    if reason == OVER_EAGER:
        graft["over_eager"] += 1
    elif reason == OVER_FUEL:
        graft["over_fuel"] += 1
    elif reason == LOWER_PRIORITY:
        graft["lower_priority"] += 1
    elif reason == NOT_IN_KERNEL:
        graft["not_in_kernel"] += 1
    else:
        graft["over_budget"] += 1
