"""`direct`: client and server talk through rings that they share, and the kernel only wakes who sleeps.

Both sides put, take and answer in user mode (`shared`). Each looks round its rings for something to do; when there is
nothing it first spins, if it polls, then arms the rings, looks once more, and rests (`bells`):

    FREE --something to write--> WRITING --> FREE           the message is there at the end of the burst that wrote it
      \\--nothing there, polls--> LOOKED --> SPUN --> ARMED --> RESTED --woken--> FREE
       \\--nothing there, does not poll-------------->/
                                                           from each back to FREE as soon as something is there

The bells that it owes it rings before it takes anything else; if there is nothing else to take, in the call by which it
rests. So on one core a step of a chain costs what a call costs: the client rings and rests, the server rings and rests.
On two cores with both sides awake nobody enters the kernel.

**Adaptive polling** (after KVM's `halt_poll_ns`): a process spins for a window of at most `patience`. A rest that was
shorter than `patience` doubles the window, for a longer one would have saved it; a longer rest halves it, in the end to
nothing. What it spins is charged as `spin` to its own account: between two takings at most `patience`. It spins only if
a ring leads to another core, and only if no other process with rings is on its own: what must come from its own core
cannot come while it spins.

The client is the library of `library`, but for how its drafts leave and where its answers come from. The server is the
one of `servers`, but for how it receives and replies. Requests that came through the kernel are answered through it;
while its rings are never empty, it takes one that is queued at its endpoint after each that it takes from a ring.
"""

from __future__ import annotations

from typing import Final

from jit.hot import hot
from kernel_model.core.bells import is_queued
from kernel_model.core.billing import trace
from kernel_model.core.jobs import finish_job
from kernel_model.core.library import (
    digest,
    is_posted,
    is_visible,
    may_begin,
    next_job,
    reap,
    reject,
    wait_or_give_up,
    wait_until,
)
from kernel_model.core.lists import first, pop
from kernel_model.core.pools import replace_body
from kernel_model.core.replies import discard_drafts, forget_reply
from kernel_model.core.requests import give_back
from kernel_model.core.rings import next_due_job
from kernel_model.core.servers import V_WORK, server_step
from kernel_model.core.shared import (
    FULL,
    arm,
    charge_put,
    crosses,
    disarm,
    has_any,
    look,
    next_ring,
    put_answer,
    put_request,
    ring_for,
    take_answer_from,
    take_request_from,
)
from kernel_model.core.spinning import spin
from kernel_model.core.tables import (
    ERROR,
    NEVER,
    NONE,
    Q_COMPLETIONS,
    Q_DRAFTS,
    REFUSED,
    REPLIED,
    SYS_BELL,
    SYS_DROP,
    SYS_FORWARD,
    SYS_REPLY_RECEIVE,
    SYS_REST,
    SYS_SUBMIT,
    U_BURST,
    U_CALL,
    X_REPLY,
    Tables,
)

FREE, WRITING, LOOKED, SPUN, ARMED, RESTED = range(6)
SHARES: Final = 8  # a window begins as this part of the patience
ONE: Final = 1
DONE: Final = 0


# --- the client -------------------------------------------------------------------------------------------------------


@hot
def asking_step(k: Tables, p: int) -> int:
    """One step of a client with shared rings."""
    process = k.process[p]
    side = k.side[process["side"]]
    if process["finishing"] != NONE:
        finish_job(k, p)
    stage = side["stage"]
    side["stage"] = FREE
    if stage == WRITING:
        put_draft(k, p)
    elif stage == RESTED:
        wake_up(k, p)
    elif stage != FREE and not may_begin(k, p) and not has_any(k, p) and not is_told(k, p):
        return wait_on(k, p, stage, due_of(k, p))
    elif stage == ARMED:
        disarm(k, p)
    if process["result"] < 0:
        process["stalled"] = 1
        process["result"] = DONE
    if may_begin(k, p):
        return next_job(k, p)
    if process["stalled"] == 0 and first(k, process["queues"] + Q_DRAFTS) != NONE:
        step = write_draft(k, p)
        if step != NONE:
            return step
    if side["owes"] > 0 and (has_any(k, p) or is_told(k, p)):
        return ring_first(k, p)
    if reject(k, p):
        process["stalled"] = 0
        return U_BURST
    if process["cq_posted"] + process["cq_reserved"] + process["cq_behind"] == 0:
        return have_nothing(k, p)
    process["stalled"] = 0
    if not take_answer(k, p) and not reap(k, p):
        find_nothing(k, p)
    return U_BURST


@hot
def write_draft(k: Tables, p: int) -> int:
    """Write the first draft into its ring, or submit the drafts if it has none; NONE if there is no room for it."""
    process = k.process[p]
    r = first(k, process["queues"] + Q_DRAFTS)
    x = ring_for(k, p, r)
    if x == FULL:
        k.meter[0]["refused"] += 1
        process["stalled"] = 1
        return NONE
    if x == NONE:
        process["call"] = SYS_SUBMIT
        return U_CALL
    charge_put(k, p, x, k.request[r]["length"])
    k.side[process["side"]]["stage"] = WRITING
    return U_BURST


@hot
def put_draft(k: Tables, p: int) -> None:
    """The first draft has been written: it is in its ring now, unless that has been closed meanwhile."""
    queue = k.process[p]["queues"] + Q_DRAFTS
    x = ring_for(k, p, first(k, queue))
    if x >= 0:
        put_request(k, p, pop(k, queue, k.request), x)


@hot
def take_answer(k: Tables, p: int) -> bool:
    """Take an answer from the rings and deal with it; whether there was one."""
    x = look(k, p)
    if x == NONE:
        return False
    digest(k, p, take_answer_from(k, p, x))
    return True


@hot
def is_told(k: Tables, p: int) -> bool:
    """Whether the kernel has posted a completion that client `p` can see."""
    return is_posted(k, p) and is_visible(k, first(k, k.process[p]["queues"] + Q_COMPLETIONS))


@hot
def due_of(k: Tables, p: int) -> int:
    """Return until when client `p` may sleep: until its next job, or until it tries again what found no room.

    What found none in a ring is tried again when an answer has come: those that fill it are the client's own.
    """
    due = next_due_job(k, p)
    r = first(k, k.process[p]["queues"] + Q_DRAFTS)
    if r != NONE and ring_for(k, p, r) != FULL:
        return int(min(due, k.meter[0]["now"] + k.config[0]["retry"]))
    return due


@hot
def have_nothing(k: Tables, p: int) -> int:
    """Nothing is under way for client `p`: it waits until it can try again, or for its next job."""
    process = k.process[p]
    if first(k, process["queues"] + Q_DRAFTS) != NONE:
        process["stalled"] = 0
        return wait_until(k, p, due_of(k, p))
    return wait_or_give_up(k, p, next_due_job(k, p)) if process["open_jobs"] > 0 else next_job(k, p)


# --- the server -------------------------------------------------------------------------------------------------------


@hot
def answering_step(k: Tables, p: int) -> int:
    """One step of a server with shared rings."""
    process = k.process[p]
    side = k.side[process["side"]]
    stage = side["stage"]
    side["stage"] = FREE
    if stage == WRITING:
        answer(k, p)
    elif stage == RESTED:
        wake_up(k, p)
    elif stage != FREE and not has_any(k, p):
        return wait_on(k, p, stage, NEVER)
    elif stage == ARMED:
        disarm(k, p)
    if process["request"] != NONE:
        return serve_on(k, p)
    forget_reply(k, p)
    process["stage"] = V_WORK
    if side["from_ring"] != 0 and is_queued(k, p):
        side["from_ring"] = 0
        process["call"] = SYS_REST
        process["a"] = 0
        return U_CALL
    if side["owes"] > 0 and has_any(k, p):
        return ring_first(k, p)
    x = look(k, p)
    if x == NONE:
        find_nothing(k, p)
    else:
        side["from_ring"] = 1
        take_request_from(k, p, x)
    return U_BURST


@hot
def serve_on(k: Tables, p: int) -> int:
    """Go on with the request in hand; the call that would end one that came through a ring is an answer there."""
    process = k.process[p]
    x = k.request[process["request"]]["ring"]
    step = server_step(k, p)
    call = process["call"]
    if step != U_CALL or x == NONE or call not in (SYS_REPLY_RECEIVE, SYS_DROP, SYS_FORWARD):
        return int(step)
    charge_put(k, p, x, process["reply_length"] if call == SYS_REPLY_RECEIVE else 0)
    k.side[process["side"]]["stage"] = WRITING
    return U_BURST


@hot
def answer(k: Tables, p: int) -> None:
    """The answer of server `p` has been written: it is in the ring now, unless the request has ended meanwhile.

    The right to answer is the ring, so a request cannot be passed on: that ends it `refused`.
    """
    process = k.process[p]
    r = process["request"]
    if r != NONE:
        give_back(k, p)
        request = k.request[r]
        request["holder"] = NONE
        if process["call"] == SYS_REPLY_RECEIVE:
            status = process["reply_status"]
            replace_body(k, r, process["reply_body"], process["reply_length"], process["reply_room"])
            process["reply_room"] = 0
            trace(k, X_REPLY, p, request["operation"], request["tag"], status)
            put_answer(k, p, r, REPLIED if status == 0 else ERROR, status)
        else:
            replace_body(k, r, 0, 0, 0)
            put_answer(k, p, r, process["a"] if process["call"] == SYS_DROP else REFUSED, DONE)
    discard_drafts(k, process["queues"] + Q_DRAFTS)
    forget_reply(k, p)


# --- both: nothing to do ----------------------------------------------------------------------------------------------


@hot
def ring_first(k: Tables, p: int) -> int:
    """Ring the bells that process `p` owes before it goes on."""
    k.process[p]["call"] = SYS_BELL
    return U_CALL


@hot
def find_nothing(k: Tables, p: int) -> None:
    """Process `p` has looked and found nothing: it will spin, or arms the rings, at the end of this burst."""
    side = k.side[k.process[p]["side"]]
    if side["window"] > 0 and side["alone"] != 0 and leads_elsewhere(k, p):
        side["stage"] = LOOKED
    else:
        get_ready(k, p)


@hot
def get_ready(k: Tables, p: int) -> None:
    """Arm the rings of process `p`."""
    k.process[p]["a"] = arm(k, p)
    k.side[k.process[p]["side"]]["stage"] = ARMED


@hot
def wait_on(k: Tables, p: int, stage: int, due: int) -> int:
    """Still nothing is there, and process `p` has nothing else to do until the time `due`."""
    side = k.side[k.process[p]["side"]]
    if stage == ARMED:
        return rest_until(k, p, due)
    if stage == SPUN:
        get_ready(k, p)
        return U_BURST
    if side["owes"] > 0:
        return ring_first(k, p)
    side["stage"] = SPUN
    return spin(k, p, min(side["window"], due - k.meter[0]["now"]))


@hot
def leads_elsewhere(k: Tables, p: int) -> bool:
    """Whether a ring of process `p` leads to another core, from where something can come while it spins."""
    x = k.side[k.process[p]["side"]]["first"]
    while x != NONE:
        if k.ring[x]["alive"] != 0 and crosses(k, x):
            return True
        x = next_ring(k, p, x)
    return False


@hot
def rest_until(k: Tables, p: int, due: int) -> int:
    """Rest until a bell is rung, or until the time `due`."""
    process = k.process[p]
    side = k.side[process["side"]]
    side["stage"] = RESTED
    side["rested_at"] = k.meter[0]["now"]
    process["call"] = SYS_REST
    process["b"] = due
    return U_CALL


@hot
def wake_up(k: Tables, p: int) -> None:
    """Process `p` has rested: nobody need ring any more, and it adapts how long it spins."""
    side = k.side[k.process[p]["side"]]
    disarm(k, p)
    least = side["patience"] // SHARES
    if k.meter[0]["now"] - side["rested_at"] <= side["patience"]:
        side["window"] = min(side["patience"], max(least, 2 * side["window"]))
    else:
        side["window"] = side["window"] // 2 if side["window"] > least else 0
