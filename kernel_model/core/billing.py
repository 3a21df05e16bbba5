"""Charging: the only place that knows a price, so that the operations know none.

`charge` adds a count of a primitive to an account, and its price to the account's category and to the section under
way. So two books are kept at once: what was done (`count`) and what it cost (`spent`), and every picosecond of a
section is in exactly one account and category by construction. `simulate` turns the sum of a section into time on a
core; the live kernel leaves all prices at zero and measures instead.
"""

from __future__ import annotations

from typing import Final

from jit.hot import hot, inlined
from kernel_model.core.prices import COPY_BYTE, IN_COPY, IN_KERNEL, IN_USER, SLOW_PATH, WORK
from kernel_model.core.tables import NONE, Tables

_DIGIT: Final = 40  # bits of the low word of a wide sum
_LOW: Final = (1 << 40) - 1


@inlined
def charge(k: Tables, account: int, category: int, primitive: int, count: int) -> None:
    """Charge `count` units of `primitive` to `account`, under `category`."""
    spend(k, account, category, note_count(k, account, primitive, count))


@inlined
def note_count(k: Tables, account: int, primitive: int, count: int) -> int:
    """Add to the count of a primitive; return what that costs, which is yet to be spent."""
    k.count[account, primitive] += count
    cost: int = k.price[primitive] * count
    return cost


@inlined
def spend(k: Tables, account: int, category: int, cost: int) -> None:
    """Put what has been counted on an account, under a category: once for several counts."""
    k.spent[account, category] += cost
    k.meter[0]["section"] += cost


@hot
def charge_transfer(k: Tables, account: int, length: int) -> None:
    """Charge what a body of `length` bytes costs beyond the register window: the slow path, and each byte beyond."""
    window = k.config[0]["register_bytes"]
    if length > window:
        charge(k, account, IN_KERNEL, SLOW_PATH, 1)
        charge(k, account, IN_COPY, COPY_BYTE, length - window)


@hot
def cut_burst(k: Tables, p: int) -> None:
    """End the burst of process `p`, which does not run: what of it will never run is not charged after all."""
    process = k.process[p]
    section = k.meter[0]["section"]
    charge(k, process["account"], IN_USER, WORK, process["owed"] - process["left"])
    k.meter[0]["section"] = section
    process["left"] = 0
    process["owed"] = 0


@hot
def trace(k: Tables, what: int, a: int, b: int, c: int, d: int) -> None:
    """Append a row to the trace, if one is kept."""
    if k.config[0]["tracing"] != 0:
        meter = k.meter[0]
        row = k.trace[meter["traced"]]
        row["time"] = meter["now"]
        row["what"] = what
        row["a"] = a
        row["b"] = b
        row["c"] = c
        row["d"] = d
        meter["traced"] += 1
        meter["scarce"] = 1


# --- the books of operations and requests (Little's law) --------------------------------------------------------------
# The integral of the number in flight over time and the sum of the times in flight are computed apart, the first from
# counts, the second from each object's own time of submission; L = lambda W says that they are equal at every instant.


@hot
def operation_begins(k: Tables) -> None:
    """Count an operation as submitted now."""
    m = k.meter[0]
    weigh_operations(k)
    m["operations_submitted"] += 1


@hot
def operation_ends(k: Tables, submitted_at: int) -> None:
    """Count an operation as completed now."""
    m = k.meter[0]
    weigh_operations(k)
    m["operations_completed"] += 1
    low = m["operation_stay_low"] + m["now"] - submitted_at
    m["operation_stay_high"] += low >> _DIGIT
    m["operation_stay_low"] = low & _LOW


@hot
def weigh_operations(k: Tables) -> None:
    """Bring the time-integral of operations in flight up to now."""
    m = k.meter[0]
    elapsed = m["now"] - m["operation_changed"]
    in_flight = m["operations_submitted"] - m["operations_completed"]
    low = m["operation_area_low"] + (elapsed & _LOW) * in_flight
    m["operation_area_high"] += (low >> _DIGIT) + (elapsed >> _DIGIT) * in_flight
    m["operation_area_low"] = low & _LOW
    m["operation_changed"] = m["now"]


@hot
def request_begins(k: Tables, r: int) -> None:
    """Count a request as sent now."""
    m = k.meter[0]
    weigh_requests(k)
    m["requests_submitted"] += 1
    k.request[r]["sent_at"] = m["now"]


@hot
def request_ends(k: Tables, r: int) -> None:
    """Count a request as ended now."""
    m = k.meter[0]
    weigh_requests(k)
    m["requests_ended"] += 1
    low = m["request_stay_low"] + m["now"] - k.request[r]["sent_at"]
    m["request_stay_high"] += low >> _DIGIT
    m["request_stay_low"] = low & _LOW


@hot
def weigh_requests(k: Tables) -> None:
    """Bring the time-integral of requests in flight up to now."""
    m = k.meter[0]
    elapsed = m["now"] - m["request_changed"]
    in_flight = m["requests_submitted"] - m["requests_ended"]
    low = m["request_area_low"] + (elapsed & _LOW) * in_flight
    m["request_area_high"] += (low >> _DIGIT) + (elapsed >> _DIGIT) * in_flight
    m["request_area_low"] = low & _LOW
    m["request_changed"] = m["now"]


@hot
def payer(k: Tables, process: int) -> int:
    """Return the account of a process."""
    return int(k.process[process]["account"]) if process != NONE else 0
