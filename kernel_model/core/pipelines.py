"""Pipelines in a server: it keeps the table of answers, so a whole batch of dependent calls is one message.

Promise pipelining where the answers are: as Cap'n Proto does between two vats, and Liskov and Shrira's promises (PLDI
1988) before it. A client sends a batch of calls in one request; the server does them in order, and where a call's
argument refers to the answer of an earlier one, takes it from its own table. The reply is the answer of the last call,
or the status of the first that failed. Nothing crosses in between, but all calls must be this server's.

A batch is a sequence of entries, each of 16 bytes and, for a literal, its bytes, padded to a multiple of 8:

    op u32    source u32    at u32    length u32      the argument is `length` bytes of answer `source` from `at` on
    op u32    LITERAL       0         length u32      the argument follows
                            ... and `length` WHOLE: all of the answer

A batch that is not such, refers to an answer that is not there yet or to bytes beyond its end is refused with -EINVAL.
Answers that lie in the server's own memory are kept until the batch is over; an image is only referred to.
"""

from __future__ import annotations

from typing import Final

from jit.hot import hot
from jit.words import i64, load32
from kernel_model.core.billing import charge, payer
from kernel_model.core.pools import copy_body, give_body, replace_body, room_for
from kernel_model.core.prices import IN_USER, REAP
from kernel_model.core.tables import EINVAL, NONE, Tables

ENTRY: Final = 16  # bytes of an entry's head
SOURCE_AT, OFFSET_AT, LENGTH_AT = 4, 8, 12
LITERAL: Final = 0xFFFF_FFFF
WHOLE: Final = 0xFFFF_FFFF
ALIGNMENT: Final = 8
ONE: Final = 1


@hot
def is_open(k: Tables, p: int, r: int) -> bool:
    """Whether server `p` is at work on the batch in request `r`."""
    kept = k.answers[k.process[p]["answers"]]
    return bool(kept["length"] > 0 and kept["request"] == k.request[r]["serial"])


@hot
def open_batch(k: Tables, p: int, r: int) -> bool:
    """Take the batch out of request `r` and make its first call the request; whether it has one."""
    kept, request = k.answers[k.process[p]["answers"]], k.request[r]
    close_batch(k, p)
    length = request["length"]
    kept["body"] = copy_body(k, request["body"], length)
    kept["length"] = length
    kept["request"] = request["serial"]
    kept["at"] = 0
    kept["step"] = 0
    return next_call(k, p, r)


@hot
def next_call(k: Tables, p: int, r: int) -> bool:
    """Make the next entry of the batch the request; False, and -EINVAL as the reply, if it is none."""
    process = k.process[p]
    kept = k.answers[process["answers"]]
    at, step = kept["at"], kept["step"]
    good = at + ENTRY <= kept["length"] and step < kept["count"]
    if good:
        entry = kept["body"] + at
        source = i64(load32(k.arena, entry + SOURCE_AT))
        offset = i64(load32(k.arena, entry + OFFSET_AT))
        length = i64(load32(k.arena, entry + LENGTH_AT))
        kept["at"] = at + ENTRY
        where = entry + ENTRY
        if source == LITERAL:
            kept["at"] += -(-length // ALIGNMENT) * ALIGNMENT
            good = kept["at"] <= kept["length"]
        elif source < step:
            answer = k.row[kept["first"] + source]
            if length == WHOLE:
                length = answer["b"]
            where = answer["a"] + offset
            good = offset + length <= answer["b"]
        else:
            good = False
        if good:
            charge(k, payer(k, p), IN_USER, REAP, ONE)
            k.request[r]["op"] = i64(load32(k.arena, entry))
            replace_body(k, r, copy_body(k, where, length), length, room_for(length))
            return True
    process["reply_status"] = -EINVAL
    process["reply_length"] = 0
    return False


@hot
def go_on(k: Tables, p: int, r: int) -> bool:
    """The answer of a call is in the server's reply: keep it and make the next call the request; False at the end."""
    process = k.process[p]
    kept = k.answers[process["answers"]]
    if process["reply_status"] != 0 or kept["at"] >= kept["length"]:
        close_batch(k, p)
        return False
    answer = k.row[kept["first"] + kept["step"]]
    answer["a"] = process["reply_body"]
    answer["b"] = process["reply_length"]
    answer["c"] = process["reply_room"]
    process["reply_room"] = 0
    kept["step"] += 1
    if next_call(k, p, r):
        return True
    close_batch(k, p)
    return False


@hot
def close_batch(k: Tables, p: int) -> None:
    """Forget the batch and its answers."""
    kept = k.answers[k.process[p]["answers"]]
    if kept["length"] == 0:
        return
    for step in range(kept["step"]):
        answer = k.row[kept["first"] + step]
        give_body(k, answer["a"], answer["c"])
    give_body(k, kept["body"], room_for(kept["length"]))
    kept["length"] = 0
    kept["step"] = 0
    kept["request"] = NONE
