"""Queues: rows of a table linked by `next` and `prev`, head and tail in a row of the table of queues.

A row is in one queue at a time; taking it out of the middle (a cancelled request, a killed thread) is constant-time.
"""

from __future__ import annotations

from typing import Any

from jit.hot import hot
from kernel_model.core.tables import NONE, Tables


@hot
def first(k: Tables, queue: int) -> int:
    """Return the first row of a queue, or NONE."""
    return int(k.queue[queue]["head"])


@hot
def append(k: Tables, queue: int, table: Any, row: int) -> None:
    """Put a row at the end."""
    q = k.queue[queue]
    tail = q["tail"]
    table[row]["prev"] = tail
    table[row]["next"] = NONE
    if tail == NONE:
        q["head"] = row
    else:
        table[tail]["next"] = row
    q["tail"] = row


@hot
def prepend(k: Tables, queue: int, table: Any, row: int) -> None:
    """Put a row at the front."""
    q = k.queue[queue]
    head = q["head"]
    table[row]["next"] = head
    table[row]["prev"] = NONE
    if head == NONE:
        q["tail"] = row
    else:
        table[head]["prev"] = row
    q["head"] = row


@hot
def unlink(k: Tables, queue: int, table: Any, row: int) -> None:
    """Take a row out, wherever in the queue it is."""
    q = k.queue[queue]
    before, after = table[row]["prev"], table[row]["next"]
    if before == NONE:
        q["head"] = after
    else:
        table[before]["next"] = after
    if after == NONE:
        q["tail"] = before
    else:
        table[after]["prev"] = before
    table[row]["next"] = NONE
    table[row]["prev"] = NONE


@hot
def pop(k: Tables, queue: int, table: Any) -> int:
    """Take out and return the first row, or NONE."""
    row = first(k, queue)
    if row != NONE:
        unlink(k, queue, table, row)
    return row
