"""Running a handler: by the interpreter, or as machine code by its address. What it counts is what it costs.

Both fill the same counters, instructions by class and calls by helper (`Machine.counts`): the interpreter as it goes,
machine code block by block (the counting variant of `jit.native`). The modelled cost is the sum of counts x the price
of each class on the engine that the attachment names; how long this machine takes to run it never enters. So a graft
attached as `native` costs the same, and leaves the same trace, whether the model runs it as machine code (numba tier)
or interprets it (plain Python).
"""

from __future__ import annotations

from typing import Final

from grafting import hooks
from grafting.isa import CostClass
from jit.hot import hot, rare
from jit.interpreter import run
from jit.machine import EXITED, HELPER, TRUSTING, begin, write_context
from jit.native.entry import map_frames, run_native
from jit.words import i64
from kernel_model.core.billing import note_count, spend, trace
from kernel_model.core.helpers import serve_helper
from kernel_model.core.prices import (
    CLOCK,
    HELPER_ANSWER,
    HELPER_COPY_BYTE,
    HELPER_HINT,
    HELPER_RELEASE,
    HELPER_SEND,
    INTERPRETED,
    MAP_DELETE,
    MAP_LOOKUP,
    MAP_UPDATE,
    NATIVE,
    TIMER_ARM,
    TIMER_CANCEL,
)
from kernel_model.core.tables import ENGINE_NATIVE, NONE, X_VERDICT, Tables

CLASSES: Final = len(CostClass)
CALLS: Final = int(CostClass.CALL)  # of helpers, and of local functions
TRUNCATED: Final = hooks.TRUNCATED_CAPS
SLACK: Final = 1024  # instructions beyond the proven bound before a run is stopped: it should never be needed
PS_PER_NS: Final = 1000
INTERPRET: Final = 0  # in place of an address

HELPER_PRICES: Final = (
    MAP_LOOKUP, MAP_UPDATE, MAP_DELETE, CLOCK, HELPER_SEND, HELPER_SEND, HELPER_SEND, HELPER_ANSWER, TIMER_ARM,
    TIMER_CANCEL, HELPER_RELEASE, HELPER_HINT, NONE, NONE, HELPER_ANSWER,
)  # fmt: skip
"""The primitive of each helper, in the order of `jit.predecode.HELPER_NUMBERS`; copy and fill cost by the byte."""
HELPERS: Final = len(HELPER_PRICES)


@hot
def run_handler(k: Tables, g: int, h: int, account: int, category: int) -> int:
    """Run handler `h` on the event in `meter` and charge it; return its verdict, or NONE if it broke its bound.

    A fault means that a verified program did what was proved impossible: `meter.fault` is set, and the model stops.
    """
    meter, handler, m = k.meter[0], k.handler[h], k.machine
    meter["answered"] = 0
    meter["sends"] = 0
    now_ns = meter["now"] // PS_PER_NS
    begin(m, handler["program"], meter["body"], meter["length"], handler["limit"] + SLACK, now_ns, TRUSTING)
    x = meter["parcel"]
    capabilities = k.parcel[x]["count"] if x != NONE else 0
    flags = TRUNCATED if x != NONE and k.parcel[x]["truncated"] != 0 else 0
    write_context(
        m, meter["length"], meter["tag"], meter["badge"], now_ns, meter["op"], meter["status"], meter["slot"],
        meter["event"], capabilities, flags,
    )  # fmt: skip
    if handler["address"] != INTERPRET and handler["calls"] != 0:
        map_frames(m)
    outcome = go_on(k, g, handler["address"])
    while outcome == HELPER:
        if serve_helper(k, g, account, category) < 0:
            break
        outcome = go_on(k, g, handler["address"])
    charge_run(k, g, account, category, NATIVE if k.graft[g]["engine"] == ENGINE_NATIVE else INTERPRETED)
    instructions = m.control[0]["instructions"]
    handler["activations"] += 1
    handler["instructions"] += instructions
    if outcome != EXITED or instructions > handler["limit"]:
        meter["fault"] = 1 + outcome
        meter["fault_handler"] = h
        return NONE
    verdict = i64(m.registers[0])
    trace(k, X_VERDICT, g, h, verdict, instructions)
    return verdict


@hot
def go_on(k: Tables, g: int, address: int) -> int:
    """Run from where the machine stands to the next helper call that is the kernel's, or to the end."""
    if address == INTERPRET:
        return run(k.machine)
    return run_native(k.machine, address, k.meter[0]["body"], k.graft[g]["state_at"])


@hot
def charge_run(k: Tables, g: int, account: int, category: int, engine: int) -> None:
    """Charge the instructions and helper calls that the machine has counted in a run of graft `g`."""
    counts = k.machine.counts
    cost = note_count(k, account, HELPER_COPY_BYTE, k.machine.control[0]["copied"])
    for class_ in range(CLASSES):
        cost += note_count(k, account, engine + class_, counts[class_])
    if counts[CALLS] > 0:
        for helper in range(HELPERS):
            if HELPER_PRICES[helper] != NONE:
                cost += note_count(k, account, HELPER_PRICES[helper], counts[CLASSES + helper])
    spend(k, account, category, cost)
    if k.config[0]["vectors"] != 0:
        note_run(k, g, engine)


@rare
def note_run(k: Tables, g: int, engine: int) -> None:
    """Add what `charge_run` charges to the cost vector of graft `g`."""
    counts = k.machine.counts
    for class_ in range(CLASSES):
        k.vector[g, engine + class_] += counts[class_]
    for helper in range(HELPERS):
        if HELPER_PRICES[helper] != NONE:
            k.vector[g, HELPER_PRICES[helper]] += counts[CLASSES + helper]
    k.vector[g, HELPER_COPY_BYTE] += k.machine.control[0]["copied"]
