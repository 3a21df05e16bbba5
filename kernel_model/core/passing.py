"""Time that has passed: who it is charged to, core by core.

Sections of the kernel and the library's bursts are charged when they begin; work, spinning, idling and waiting for a
lock as they pass.
"""

from __future__ import annotations

from jit.hot import hot, rare
from kernel_model.core.billing import charge, payer
from kernel_model.core.contexts import FOR_LOCK, FOR_USER, UNLIMITED, consume
from kernel_model.core.prices import IDLE, IN_IDLE, IN_LOCK, IN_SPIN, IN_USER, LOCK_WAIT, SPIN, WORK
from kernel_model.core.tables import IDLING, LOCKED, NONE, USER, Tables


@hot
def pass_time(k: Tables, c: int) -> None:
    """Charge what has passed on core `c` since it was last looked at: work, idling, waiting for the lock."""
    core = k.core[c]
    elapsed = k.meter[0]["now"] - core["since"]
    if elapsed == 0:
        return
    if k.config[0]["contexts"] != 0 and core["phase"] in (USER, LOCKED):
        x = k.process[core["process"]]["on"] if core["process"] != NONE else UNLIMITED
        consume(k, x, FOR_USER if core["phase"] == USER else FOR_LOCK, core["since"], elapsed)
    core["since"] = k.meter[0]["now"]
    if core["phase"] == USER:
        process = k.process[core["process"]]
        done = max(0, elapsed - (process["left"] - process["owed"]))
        process["left"] -= elapsed
        process["owed"] -= done
        if process["spinning"] != 0:
            charge(k, process["account"], IN_SPIN, SPIN, done)
        else:
            charge(k, process["account"], IN_USER, WORK, done)
    elif core["phase"] == LOCKED:
        account = payer(k, core["process"]) if core["process"] != NONE else core["account"]
        charge(k, account, IN_LOCK, LOCK_WAIT, elapsed)
    elif core["phase"] == IDLING:
        charge(k, core["account"], IN_IDLE, IDLE, elapsed)


@rare
def pass_user_time(k: Tables) -> None:
    """Charge what has passed on the cores in user mode, so that the budgets of their threads are as they are now."""
    for c in range(k.config[0]["cores"]):
        if k.core[c]["phase"] == USER:
            pass_time(k, c)
