"""Every feature at once, in random kernels with random grafts: whatever happens, each object is where it belongs.

Not what should happen is told here, but what must hold whatever does: the books, the census of all tables, that nothing
waits for what cannot come, the theorem of the budgets and that of the fuel. Small defects show where features meet.
"""

from __future__ import annotations

import random

import pytest
from kernel_census import take_census
from kernel_wild import WildKernel

from kernel_model import Kernel
from kernel_model.core import tables
from kernel_model.workloads.adversaries import tightest

SEEDS = 6
POOLS = (
    (tables.P_REQUEST, "request"), (tables.P_OPERATION, "operation"), (tables.P_COMPLETION, "completion"),
    (tables.P_PARCEL, "parcel"), (tables.P_WIRE, "wire"), (tables.P_LEG, "leg"),
)  # fmt: skip


def check_theorems(wild: WildKernel) -> None:
    """Graft time in any window obeys the budgets, and all of it the fuel that submissions and expiries bring."""
    kernel = wild.kernel
    if kernel.tables.config[0]["charge_mode"] != tables.CURRENT:
        for context in wild.contexts:
            assert tightest(kernel, context) <= 1
    events = kernel.events()
    brought = sum(what == "submit" for _, what, *_ in events)
    brought += sum(what == "timer" and kind == tables.T_PERIODIC for _, what, kind, *_ in events)
    spent = sum(cost for _, what, _, _, _, cost in events if what == "spent")
    assert spent <= brought * int(kernel.tables.config[0]["fuel"])


def check_nothing_left(kernel: Kernel) -> None:
    """Nothing is in flight, and no row is in use."""
    assert kernel.statistics.operations_in_flight == kernel.statistics.requests_in_flight == 0
    for pool, name in POOLS:
        assert kernel.tables.pool[pool]["free"] == len(getattr(kernel.tables, name)), name
    alive = len(kernel.tables.capability) - int(kernel.tables.pool[tables.P_CAPABILITY]["free"])
    assert alive == kernel.storage.used["endpoint"]  # their roots


def live(seed: int) -> WildKernel:
    """Run a wild kernel with violence in between, then in peace, then kill everybody; look at it after each step."""
    draw = random.Random(seed)
    wild = WildKernel(seed)
    now = 0
    for _ in range(25):
        now += draw.choice((20, 50, 100, 200, 500))
        wild.kernel.run(now)
        take_census(wild.kernel)
        if draw.random() < 0.2:
            wild.upset()
    wild.kernel.run(now + 60_000)
    take_census(wild.kernel)
    check_theorems(wild)
    for process in wild.processes:
        wild.kernel.kill(process)
    wild.kernel.run(now + 90_000)
    take_census(wild.kernel)
    check_nothing_left(wild.kernel)
    return wild


@pytest.mark.parametrize("seed", range(SEEDS))
def test_whatever_happens_every_object_is_where_it_belongs(seed: int) -> None:
    live(seed)
