"""Detaching a graft while its messages are in flight: it sees nothing new, and what it has begun is finished.

Detaching takes effect at the next event. From then on the graft is LEAVING: it is asked about nothing that was begun
later, its periodic timers stop, what it holds is cancelled, and its endpoint goes on without it. An event of an
operation that was open at that moment falls back to the client like any event that may not run in the kernel: marked
with the graft, whose handler the client's library runs in user mode over the same maps, as often as the job needs
(`job.by`). So the answer is the one that the graft would have given.

When nothing of that is left the graft is DETACHED, its row, its handlers and its maps may be given to another
(`kernel_model.attachments`):

    outstanding   operations of its process that were open when it was detached
    jobs          jobs that its handler goes on with in user mode
    pending       completions that name it and have not been looked at
    armed         timers of its operations
    deferred      events that wait for the continuation of its process
"""

from __future__ import annotations

from typing import Final

from jit.hot import hot, rare
from kernel_model.core.tables import DETACHED, LEAVING, NONE, Tables

ONE: Final = 1
DONE: Final = 0


@hot
def sees(k: Tables, g: int, o: int) -> bool:
    """Whether graft `g` is told about operation `o`: not if that was begun after the graft had been detached."""
    graft = k.graft[g]
    return bool(graft["state"] != LEAVING or k.operation[o]["serial"] < graft["left_at"])


@rare
def note_closed(k: Tables, o: int, p: int) -> None:
    """Operation `o` of process `p` is over: a graft that is leaving may have waited for that."""
    g = k.process[p]["graft"]
    while g != NONE:
        if k.graft[g]["state"] == LEAVING and k.operation[o]["serial"] < k.graft[g]["left_at"]:
            k.graft[g]["outstanding"] -= 1
        g = k.graft[g]["next"]
    let_leave(k, p)


@hot
def take_on(k: Tables, j: int, g: int) -> None:
    """The handlers of graft `g`, which is leaving, go on with job `j` in user mode."""
    if k.graft[g]["state"] == LEAVING and k.job[j]["by"] == 0:
        k.job[j]["by"] = g + 1
        k.graft[g]["jobs"] += 1


@hot
def hand_back(k: Tables, j: int) -> None:
    """Job `j` is over; a graft that is leaving may have gone on with it."""
    if k.job[j]["by"] != 0:
        k.graft[k.job[j]["by"] - 1]["jobs"] -= 1
        k.job[j]["by"] = 0
        let_leave(k, k.job[j]["owner"])


@rare
def let_leave(k: Tables, p: int) -> None:
    """Let the grafts of process `p` go that are leaving and have nothing left to do."""
    g = k.process[p]["graft"]
    while g != NONE:
        following = k.graft[g]["next"]
        if k.graft[g]["state"] == LEAVING and is_done(k, g):
            let_one_go(k, g)
        g = following


@hot
def is_done(k: Tables, g: int) -> bool:
    """Whether nothing will ask for graft `g` any more."""
    graft = k.graft[g]
    left = graft["outstanding"] + graft["jobs"] + graft["pending"] + graft["armed"] + graft["held"]
    return bool(left == 0 and k.process[graft["process"]]["deferred"] == 0)


@hot
def let_one_go(k: Tables, g: int) -> None:
    """Take graft `g`, which is leaving, from the list of its process."""
    p = k.graft[g]["process"]
    before = NONE
    at = k.process[p]["graft"]
    while at != g:
        before, at = at, k.graft[at]["next"]
    if before == NONE:
        k.process[p]["graft"] = k.graft[g]["next"]
    else:
        k.graft[before]["next"] = k.graft[g]["next"]
    k.graft[g]["state"] = DETACHED
    k.process[p]["leaving"] -= 1
