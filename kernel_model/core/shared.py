"""Rings that a client and a server share: requests one way, answers the other, in memory that both can write.

Shared-memory transport in place of a message through the kernel: LRPC's argument stacks (Bershad et al., SOSP 1989),
URPC (Bershad et al., TOCS 1991), Barrelfish's UMP (SOSP 2009), virtio's split rings. There is a ring for each pair of
client and server, so neither has to trust a third: whoever writes nonsense spoils its own ring, and the kernel reads
nothing in it.

    put     the producer writes the entry, the index, and looks whether the other side sleeps
    take    the consumer reads it. On another core each of the two has to fetch a cache line that the other has written
    look    a process with several rings looks at them in turn, from where it stopped: nobody is passed over
    arm     before it sleeps it writes into each ring how much must stand there for a bell to be rung (virtio's
            EVENT_IDX), and looks once more

A body is written once, by its producer, into memory that the other reads in place: the bytes beyond an entry, which
holds what the registers would, are charged to whoever writes them. There is no slow path.

**No wake-up is lost.** The consumer arms, then looks; the producer puts, then looks at what was armed. Whichever came
second sees the other: either the consumer finds the entry and does not sleep, or the producer owes a bell. A bell that
is rung before the consumer sleeps is remembered (`rung`), so that it does not (`bells`). Whoever has taken an order for
a bell away keeps it (`owes`) until it rings, which it does before it rests or takes anything else; one bell is enough
for all that was put meanwhile, even if the other side has been awake and armed again.

A ring is **bounded**: it has room for what the server's endpoint queues, at least one. A request without room stays a
draft, as at a full endpoint; room for its answer is reserved when it is put, so that an answer always has a place.

What a ring cannot carry goes through the kernel, to the same server: capabilities, promises, deadlines; and all
messages of a client with a graft in the kernel, or to an endpoint with one, because whoever attaches a graft wants to
see them. Order is kept within a ring, and within what goes through the kernel.
"""

from __future__ import annotations

from typing import Final

from jit.hot import hot
from kernel_model.core.activation import next_serial, open_operation
from kernel_model.core.billing import charge, payer, request_begins, trace
from kernel_model.core.capabilities import holds, standing
from kernel_model.core.lists import append, pop, unlink
from kernel_model.core.outcomes import announce, end_operation, let_end, retire
from kernel_model.core.prices import COPY_BYTE, IN_COPY, IN_USER, RING_ARM, RING_LINE, RING_LOOK, RING_PUT, RING_TAKE
from kernel_model.core.requests import first_own, join, next_own, note_received
from kernel_model.core.room import has_completion
from kernel_model.core.spinning import notice
from kernel_model.core.tables import (
    NONE,
    O_SUBMITTED,
    ORDER,
    Q_ANSWERED,
    Q_ASKED,
    R_RECEIVED,
    R_RINGED,
    R_WORK,
    X_ARRIVE,
    X_RECEIVE,
    X_SUBMIT,
    Tables,
)

ONE: Final = 1
DONE: Final = 0
FULL: Final = -2  # no ring to that server has room


@hot
def next_ring(k: Tables, p: int, x: int) -> int:
    """Return the ring of process `p` behind ring `x`, or NONE."""
    ring = k.ring[x]
    return int(ring["next_of_server"] if ring["server"] == p else ring["next_of_client"])


@hot
def around(k: Tables, p: int, x: int) -> int:
    """Return the ring of process `p` behind ring `x`, the first behind the last."""
    following = next_ring(k, p, x)
    return int(k.side[k.process[p]["side"]]["first"]) if following == NONE else following


@hot
def crosses(k: Tables, x: int) -> bool:
    """Whether the two sides of ring `x` are on different cores."""
    ring = k.ring[x]
    return bool(k.process[ring["client"]]["core"] != k.process[ring["server"]]["core"])


@hot
def here(k: Tables, p: int, x: int) -> int:
    """Return how many entries stand in ring `x` for process `p`."""
    ring = k.ring[x]
    return int(ring["asked"] if ring["server"] == p else ring["answered"])


# --- looking ----------------------------------------------------------------------------------------------------------


@hot
def has_any(k: Tables, p: int) -> bool:
    """Whether something stands in a ring for process `p`."""
    x = k.side[k.process[p]["side"]]["first"]
    while x != NONE:
        if here(k, p, x) > 0:
            return True
        x = next_ring(k, p, x)
    return False


@hot
def look(k: Tables, p: int) -> int:
    """Process `p` looks at its rings in turn; return the first in which something stands for it, or NONE."""
    side = k.side[k.process[p]["side"]]
    x = side["looks_at"]
    found = NONE
    looked = 0
    while found == NONE and looked < side["count"]:
        looked += 1
        if here(k, p, x) > 0:
            found = x
        x = around(k, p, x)
    side["looks_at"] = x
    charge(k, payer(k, p), IN_USER, RING_LOOK, looked)
    return int(found)


@hot
def arm(k: Tables, p: int) -> int:
    """Ask for a bell in every ring of process `p`, which is about to sleep; return for how many it will wait.

    A server asks for the first request. A client that waits for all that is under way is told by the last answer of
    each ring, any other by the first of all.
    """
    process = k.process[p]
    side = k.side[process["side"]]
    everything = process["endpoint"] == NONE and process["wanted"] >= process["cq_reserved"]
    x = side["first"]
    while x != NONE:
        if k.ring[x]["server"] == p:
            k.ring[x]["server_wants"] = ONE
        else:
            k.ring[x]["client_wants"] = DONE if everything else ONE
        x = next_ring(k, p, x)
    charge(k, payer(k, p), IN_USER, RING_ARM, side["count"])
    return arm_for_last(k, p) if everything else ONE


@hot
def arm_for_last(k: Tables, p: int) -> int:
    """Ask in each ring of client `p` for a bell when all its requests there are answered; return how many bells."""
    bells = 0
    r = first_own(k, p)
    while r != NONE:
        x = k.request[r]["ring"]
        if x != NONE:
            bells += k.ring[x]["client_wants"] == 0
            k.ring[x]["client_wants"] += 1
        r = next_own(k, r)
    return max(ONE, bells)


@hot
def disarm(k: Tables, p: int) -> None:
    """Process `p` is awake: nobody need ring."""
    x = k.side[k.process[p]["side"]]["first"]
    while x != NONE:
        if k.ring[x]["server"] == p:
            k.ring[x]["server_wants"] = 0
        else:
            k.ring[x]["client_wants"] = 0
        x = next_ring(k, p, x)


# --- putting ----------------------------------------------------------------------------------------------------------


@hot
def ring_for(k: Tables, p: int, r: int) -> int:
    """Return the ring through which client `p` can send its draft `r`: FULL if none has room, NONE if it has none.

    Where several servers share an endpoint each has a ring, and they are used in turn.
    """
    process, request = k.process[p], k.request[r]
    c = request["capability"]
    if request["vetted"] == ORDER or request["parcel"] != NONE or request["deadline"] > 0 or process["graft"] != NONE:
        return NONE
    if not holds(k, p, c) or standing(k, c) != DONE or k.endpoint[k.capability[c]["endpoint"]]["graft"] != NONE:
        return NONE
    side = k.side[process["side"]]
    x = side["puts_into"]
    found = NONE
    for _ in range(side["count"]):
        ring = k.ring[x]
        if ring["alive"] != 0 and k.process[ring["server"]]["endpoint"] == k.capability[c]["endpoint"]:
            if ring["asked"] < ring["capacity"] and has_completion(k, p):
                return int(x)
            found = FULL
        x = around(k, p, x)
    return found


@hot
def charge_put(k: Tables, p: int, x: int, length: int) -> None:
    """Charge process `p` for writing a message of `length` bytes into ring `x`."""
    account = payer(k, p)
    charge(k, account, IN_USER, RING_PUT, ONE)
    if crosses(k, x):
        charge(k, account, IN_USER, RING_LINE, ONE)
    if length > k.config[0]["register_bytes"]:
        charge(k, account, IN_COPY, COPY_BYTE, length - k.config[0]["register_bytes"])


@hot
def charge_take(k: Tables, p: int, x: int) -> None:
    """Charge process `p` for reading a message out of ring `x`."""
    charge(k, payer(k, p), IN_USER, RING_TAKE, ONE)
    if crosses(k, x):
        charge(k, payer(k, p), IN_USER, RING_LINE, ONE)


@hot
def put_request(k: Tables, p: int, r: int, x: int) -> None:
    """Client `p` puts draft `r`, which is in no queue, into ring `x`, which has room: an operation begins."""
    process, request, ring = k.process[p], k.request[r], k.ring[x]
    c = request["capability"]
    # --- commit: nothing below can fail ---
    request["endpoint"] = k.capability[c]["endpoint"]
    request["badge"] = k.capability[c]["badge"]
    request["process"] = p
    request["fuel"] = k.config[0]["fuel"]
    request["state"] = R_RINGED
    request["ring"] = x
    o = open_operation(k, r, O_SUBMITTED)
    request_begins(k, r)
    request["serial"] = next_serial(k)
    join(k, r)
    trace(k, X_SUBMIT, p, o, request["tag"], request["op"])
    trace(k, X_ARRIVE, request["endpoint"], o, request["tag"], request["op"])
    process["cq_reserved"] += 1
    append(k, ring["queues"] + Q_ASKED, k.request, r)
    ring["asked"] += 1
    k.side[process["side"]]["puts_into"] = around(k, p, x)
    if ring["server_wants"] != 0 and ring["asked"] >= ring["server_wants"]:
        ring["server_wants"] = 0
        k.side[process["side"]]["owes"] += 1 - ring["server_bell"]
        ring["server_bell"] = 1
    notice(k, ring["server"])


@hot
def put_answer(k: Tables, p: int, r: int, outcome: int, status: int) -> None:
    """Server `p` puts the end of request `r`, which came through a ring and is in no queue, into the same ring."""
    request = k.request[r]
    x, o = request["ring"], request["operation"]
    ring, client = k.ring[x], k.process[request["process"]]
    request["outcome"] = outcome
    request["status"] = status
    request["state"] = R_WORK
    retire(k, r)
    c = announce(k, o, r, outcome)
    end_operation(k, o)
    client["cq_reserved"] -= 1
    client["cq_posted"] += 1
    append(k, ring["queues"] + Q_ANSWERED, k.completion, c)
    ring["answered"] += 1
    let_end(k, r)
    if ring["client_wants"] != 0 and ring["answered"] >= ring["client_wants"]:
        ring["client_wants"] = 0
        k.side[k.process[p]["side"]]["owes"] += 1 - ring["client_bell"]
        ring["client_bell"] = 1
    notice(k, ring["client"])


# --- taking -----------------------------------------------------------------------------------------------------------


@hot
def take_request_from(k: Tables, p: int, x: int) -> None:
    """Server `p` takes the oldest request out of ring `x`: it has it in its hand, with the right to answer."""
    r = pop(k, k.ring[x]["queues"] + Q_ASKED, k.request)
    request = k.request[r]
    k.ring[x]["asked"] -= 1
    request["state"] = R_RECEIVED
    request["holder"] = p
    k.process[p]["request"] = r
    note_received(k, r)
    charge_take(k, p, x)
    trace(k, X_RECEIVE, p, request["operation"], request["tag"], request["op"])


@hot
def take_answer_from(k: Tables, p: int, x: int) -> int:
    """Client `p` takes the oldest answer out of ring `x`; return it."""
    c = pop(k, k.ring[x]["queues"] + Q_ANSWERED, k.completion)
    k.ring[x]["answered"] -= 1
    k.process[p]["cq_posted"] -= 1
    charge_take(k, p, x)
    return c


@hot
def leave_ring(k: Tables, r: int) -> None:
    """Take request `r` out of the ring in which it waits."""
    ring = k.ring[k.request[r]["ring"]]
    unlink(k, ring["queues"] + Q_ASKED, k.request, r)
    ring["asked"] -= 1
