"""What a process does next in user mode, by its behaviour."""

from __future__ import annotations

from typing import Final

from jit.hot import hot
from kernel_model.core.direct import answering_step, asking_step
from kernel_model.core.hosted import hosted_step
from kernel_model.core.library import client_step
from kernel_model.core.paging import use_pages
from kernel_model.core.rings import poller_step, rings_step
from kernel_model.core.scripts import script_step
from kernel_model.core.servers import server_step
from kernel_model.core.tables import (
    B_ANSWERING,
    B_ASKING,
    B_CLIENT,
    B_CONTINUATION,
    B_HOST,
    B_HOSTED,
    B_POLLER,
    B_RINGS,
    B_SCRIPT,
    B_SERVER,
    SYS_CONTINUE,
    SYS_PARK,
    U_BURST,
    U_CALL,
    U_HOST,
    Tables,
)

TOUCHED: Final = 10


@hot
def next_step(k: Tables, p: int) -> int:
    """Process `p` takes its next step: U_BURST, U_CALL, or U_HOST where only Python knows what it is."""
    process = k.process[p]
    behaviour = process["behaviour"]
    if behaviour == B_CLIENT:
        return int(client_step(k, p))
    if behaviour == B_SERVER:
        return int(server_step(k, p))
    if behaviour == B_SCRIPT:
        return int(script_step(k, p))
    if behaviour == B_HOST:
        return int(host_step(k, p))
    if behaviour == B_RINGS:
        return int(rings_step(k, p))
    if behaviour == B_ASKING:
        return int(asking_step(k, p))
    if behaviour == B_ANSWERING:
        return int(answering_step(k, p))
    if behaviour == B_HOSTED:
        return int(hosted_step(k, p))
    if behaviour == B_POLLER:
        return int(poller_step(k, p))
    if behaviour == B_CONTINUATION:
        process["call"] = SYS_CONTINUE
    else:
        process["call"] = SYS_PARK
    return U_CALL


@hot
def host_step(k: Tables, p: int) -> int:
    """A Python generator says what it does next: stage is 0 (ask it), 1 + U_BURST or 1 + U_CALL (it has said so).

    TOUCHED: it uses pages that are all in, `b` of them from page `a` on.
    """
    process = k.process[p]
    stage = process["stage"]
    process["stage"] = 0
    if stage == TOUCHED:
        use_pages(k, p, process["a"], process["b"])
        return U_BURST
    return U_HOST if stage == 0 else int(stage - 1)
