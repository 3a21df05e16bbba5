"""Recording latencies where they arise: a histogram of constant size, however long the run.

What is recorded is the time from the *intended* start of an operation (its arrival, or in a closed loop the end of the
think time) to the end of the burst in which its client had the answer. A client that falls behind so cannot hide the
delay that it causes, as it would if time ran from the actual send (Tene's "coordinated omission").

Buckets are log-linear, as HdrHistogram's and those of `results.statistics`, whose text says why a percentile is at most
2^-PRECISION too high, and never too low. Count, sum, minimum and maximum are exact. Operations whose intended start is
before the recorder's `after` are not recorded: so the warm-up is discarded while the model runs. Operations that end
otherwise than `replied` are counted as `others`.
"""

from __future__ import annotations

from typing import Final

from jit.hot import hot
from jit.words import bit_length
from kernel_model.core.tables import REPLIED, Tables

PRECISION: Final = 7
BUCKETS: Final = (54 << PRECISION) + (1 << (PRECISION + 1))  # values up to 62 bits
_ABOVE: Final = PRECISION + 1
_DIGIT: Final = 40  # bits of the low word of the sum
_LOW: Final = (1 << 40) - 1


@hot
def record(k: Tables, row: int, arrival: int, outcome: int) -> None:
    """Record in recorder `row` that an operation that was to begin at `arrival` has ended now."""
    recorder = k.recorder[row]
    if arrival < recorder["after"]:
        return
    if outcome != REPLIED:
        recorder["others"] += 1
        return
    latency = k.meter[0]["now"] - arrival
    k.histogram[row, bucket_of(latency)] += 1
    if recorder["count"] == 0 or latency < recorder["minimum"]:
        recorder["minimum"] = latency
    if latency > recorder["maximum"]:
        recorder["maximum"] = latency
    recorder["count"] += 1
    low = recorder["total_low"] + latency
    recorder["total_high"] += low >> _DIGIT
    recorder["total_low"] = low & _LOW


@hot
def bucket_of(value: int) -> int:
    """Return the bucket of a value >= 0."""
    shift = bit_length(value >> _ABOVE)
    return (shift << PRECISION) + (value >> shift)
