"""The books: what must hold after every run, whatever was modelled. A difference is a bug of ours.

1. Every picosecond of every core is on exactly one account: the sum of all accounts equals cores x now, plus what is
   charged ahead for sections and bursts under way.
2. Time is counts x prices: each account's time is that of its counts.
3. Every operation and every request is in flight or has ended, once: submitted = ended + those found in the tables.
4. Little's law, L = lambda W, as an identity over the run: the time-integral of the number in flight (from the counts)
   equals the sum of the times in flight (from each object's own clock).
5. Utilisation: a core's idle time and its busy time make up its clock; 1 for each core's idle account.
6. Where there are scheduling contexts: all of them together used what the cores were not idle, plus what is ahead of
   the sections under way; and the refills of each sum to its budget.
7. Where caches are finite: what is warm on a core fits its cache, and is that of the footprints that are there.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from grafting.diagnostics import InternalError
from kernel_model.core import prices, tables
from kernel_model.core.tables import Tables

DIGIT = 40  # bits of the low word of a wide sum, see core.billing
LIVE = (
    tables.R_WORK,
    tables.R_CALLER,
    tables.R_QUEUED,
    tables.R_RECEIVED,
    tables.R_HELD,
    tables.R_WAITING,
    tables.R_LINKED,
    tables.R_RINGED,
    tables.R_SUBMITTING,
    tables.R_ARRIVING,
)


def check(k: Tables, ahead: int) -> None:
    """Raise InternalError if a law above does not hold between two events."""
    meter = k.meter[0]
    now, cores = int(meter["now"]), int(k.config[0]["cores"])
    spent = [sum(row) for row in k.spent.tolist()]
    _equal("the accounts and the clock", sum(spent), cores * now + ahead)
    priced = [sum(n * p for n, p in zip(row, k.price.tolist(), strict=True)) for row in k.count.tolist()]
    _equal("time and counts x prices", spent, priced)
    for c in range(cores):
        idle = int(k.spent[k.core[c]["account"], prices.IN_IDLE])
        if not 0 <= idle <= now:
            raise InternalError(f"core {c} was idle for {idle} ps of {now}; please report this")
    live = np.isin(k.request["state"], LIVE) & (k.request["outcome"] == tables.NO_OUTCOME)
    _check_kind(meter, "request", now, k.request["sent_at"][live].tolist(), "requests_submitted", "requests_ended")
    pending = _operations_in_flight(k)
    _check_kind(meter, "operation", now, pending, "operations_submitted", "operations_completed")
    if k.config[0]["contexts"]:
        _equal("the contexts and the clock", int(k.consumed.sum()), busy(k))
        for context in k.context[1 : int(k.config[0]["contexts"]) + 1]:
            amounts = k.refill["amount"][context["first"] : context["first"] + context["refills"]]
            _equal("a budget and its refills", int(amounts.sum()), int(context["budget"]))
    if k.config[0]["cache_lines"]:
        _check_caches(k, cores)


def _check_caches(k: Tables, cores: int) -> None:
    warm = k.footprint["warm"]
    if (warm > k.footprint["lines"]).any() or (warm < 0).any():
        raise InternalError("more of a footprint is warm than there is of it; please report this")
    for c in range(cores):
        lines = int(k.core[c]["warm"])
        _equal(f"what is warm on core {c}", lines, int(warm[(warm > 0) & (k.footprint["core"] == c)].sum()))
        if lines > k.config[0]["cache_lines"]:
            raise InternalError(f"{lines} lines are warm on core {c}; please report this")


def busy(k: Tables) -> int:
    """Return the ps that the cores were not idle so far, and will not be until the sections under way are over."""
    now = int(k.meter[0]["now"])
    total = 0
    for core in k.core[: int(k.config[0]["cores"])]:
        idle = int(k.spent[core["account"], prices.IN_IDLE])
        total += now - idle + (int(core["end"]) - now if core["phase"] == tables.KERNEL else 0)
    return total


def _operations_in_flight(k: Tables) -> list[int]:
    """Return when each operation that has no completion yet was submitted. Free rows are told by their free list."""
    free = set()
    row = int(k.pool[tables.P_OPERATION]["head"])
    while row != tables.NONE:
        free.add(row)
        row = int(k.operation[row]["next"])
    return [
        int(operation["submitted_at"])
        for number, operation in enumerate(k.operation)
        if number not in free and operation["completed"] == 0
    ]


def _check_kind(meter: Any, kind: str, now: int, since: list[int], begun: str, ended: str) -> None:
    in_flight = int(meter[begun]) - int(meter[ended])
    _equal(f"{kind}s submitted and accounted for", in_flight, len(since))
    area = (int(meter[f"{kind}_area_high"]) << DIGIT) + int(meter[f"{kind}_area_low"])
    stay = (int(meter[f"{kind}_stay_high"]) << DIGIT) + int(meter[f"{kind}_stay_low"])
    _equal(f"Little's law for {kind}s", area, stay + sum(now - t for t in since))


def _equal(what: str, one: Any, other: Any) -> None:
    if one != other:
        raise InternalError(f"the books do not balance: {what}: {one} against {other}; please report this")
