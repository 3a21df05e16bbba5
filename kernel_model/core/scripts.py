"""Scripts: processes whose user mode is a list of rows, for models and tests that need no program.

    THINK  a            work for a draw of distribution a
    SLEEP  a            sleep for a draw of distribution a
    CALL   a b c d e    call through capability a, op b, body (c, d), deadline e (ps, 0: none)
    SEND   a b c d e    the same, asynchronously
    WAIT   a            wait for a completions and take them
    JUMP   a b          go on at row a, b times (0: always); then fall through
    RECEIVE             receive a request at the process's endpoint
    REPLY  a b c        reply with status a, body (b, c), and receive the next
    CANCEL a            cancel the oldest request with tag a
    TOUCH  a b          touch b pages from page a on
    HINT   a b          say that the next turn will touch those
    HALT                end the process

Tags are the numbers of the process's requests: 1, 2, 3, ...
"""

from __future__ import annotations

from typing import Any, Final

from jit.hot import hot
from kernel_model.core.billing import charge, payer
from kernel_model.core.capabilities import address
from kernel_model.core.chance import sample
from kernel_model.core.library import is_visible
from kernel_model.core.lists import append, first, pop, unlink
from kernel_model.core.paging import touch, use_pages
from kernel_model.core.parcels import drop_completion, drop_draft
from kernel_model.core.pools import take_request
from kernel_model.core.prices import IN_USER, REAP
from kernel_model.core.tables import (
    NEVER,
    NONE,
    Q_COMPLETIONS,
    Q_DRAFTS,
    Q_REJECTS,
    SYS_CALL,
    SYS_CANCEL,
    SYS_EXIT,
    SYS_FAULT,
    SYS_HINT,
    SYS_RECEIVE,
    SYS_REPLY_RECEIVE,
    SYS_SLEEP,
    SYS_SUBMIT,
    SYS_WAIT,
    U_BURST,
    U_CALL,
    Tables,
)

THINK, SLEEP, CALL, SEND, WAIT, JUMP, RECEIVE, REPLY, CANCEL, HALT, TOUCH, HINT = range(12)

ONE: Final = 1
LOOPS: Final = 3  # jumps in a row before the script gives the model a chance to stop


@hot
def script_step(k: Tables, p: int) -> int:
    """One step of a script in user mode."""
    process = k.process[p]
    clear(k, p)
    for _ in range(LOOPS):
        row = k.row[process["row"]]
        if row["op"] != JUMP:
            return do_row(k, p, row)
        if row["b"] == 0 or row["c"] < row["b"]:
            row["c"] += 1
            process["row"] = row["a"]
        else:
            row["c"] = 0
            process["row"] += 1
    return U_BURST


@hot
def clear(k: Tables, p: int) -> None:
    """Let go of what the last system call has left."""
    process = k.process[p]
    if process["completion"] != NONE:
        drop_completion(k, process["completion"])
        process["completion"] = NONE
    for queue in range(Q_DRAFTS, Q_REJECTS + 1):
        r = pop(k, process["queues"] + queue, k.request)
        while r != NONE:
            drop_draft(k, r)
            r = pop(k, process["queues"] + queue, k.request)


@hot
def do_row(k: Tables, p: int, row: Any) -> int:
    """Do one row that is not a jump."""
    process, op = k.process[p], row["op"]
    if op == WAIT:
        return collect(k, p, row["a"])
    if op == TOUCH:
        page = touch(k, p, row["a"], row["b"])
        if page != NONE:
            process["call"] = SYS_FAULT
            process["a"] = page
            return U_CALL
        if k.config[0]["cache_lines"] != 0:
            use_pages(k, p, row["a"], row["b"])
    process["row"] += 1
    if op == THINK:
        process["owed"] += sample(k, p, row["a"])
        return U_BURST
    if op == TOUCH:
        return U_BURST
    if op in (CALL, SEND):
        draft(k, p, row)
        process["call"] = SYS_CALL if op == CALL else SYS_SUBMIT
    elif op == SLEEP:
        process["call"] = SYS_SLEEP
        process["a"] = k.meter[0]["now"] + sample(k, p, row["a"])
    elif op == RECEIVE:
        process["call"] = SYS_RECEIVE
    elif op == REPLY:
        process["call"] = SYS_REPLY_RECEIVE
        process["reply_status"] = row["a"]
        process["reply_body"] = row["b"]
        process["reply_length"] = row["c"]
        process["reply_room"] = 0
    elif op == CANCEL:
        process["call"] = SYS_CANCEL
        process["a"] = row["a"]
    elif op == HINT:
        process["call"] = SYS_HINT
        process["a"] = row["a"]
        process["b"] = row["b"]
    else:
        process["call"] = SYS_EXIT
    return U_CALL


@hot
def draft(k: Tables, p: int, row: Any) -> None:
    """Write the request of a row."""
    process = k.process[p]
    process["stage"] += 1
    r = take_request(k)
    request = k.request[r]
    address(k, r, row["a"])
    request["op"] = row["b"]
    request["body"] = row["c"]
    request["length"] = row["d"]
    request["deadline"] = row["e"]
    request["tag"] = process["stage"]
    request["cookie"] = NONE
    append(k, process["queues"] + Q_DRAFTS, k.request, r)


@hot
def collect(k: Tables, p: int, wanted: int) -> int:
    """Take `wanted` completions, waiting for them first. If so many are not to come, take what there will be."""
    process = k.process[p]
    wanted = min(wanted, process["cq_posted"] + process["cq_reserved"] + process["cq_behind"])
    c = first(k, process["queues"] + Q_COMPLETIONS)
    if process["cq_posted"] < wanted or (c != NONE and not is_visible(k, c)):
        process["call"] = SYS_WAIT
        process["a"] = wanted
        process["b"] = NEVER
        return U_CALL
    for _ in range(wanted):
        c = first(k, process["queues"] + Q_COMPLETIONS)
        unlink(k, process["queues"] + Q_COMPLETIONS, k.completion, c)
        process["cq_posted"] -= 1
        charge(k, payer(k, p), IN_USER, REAP, ONE)
        drop_completion(k, c)
    process["row"] += 1
    return U_BURST
