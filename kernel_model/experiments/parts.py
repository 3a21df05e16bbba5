"""Long runs: more operations than there is memory for, in parts.

While a model runs, each of its operations has a row, a body and an answer, for every answer is checked at the end: some
hundreds of bytes, so ten million of them would need gigabytes. A point of more than `PART` operations is therefore run
as parts of equal size, one after the other. Each begins with an empty kernel and draws of its own, as replications do
(replication and deletion: Law & Kelton, *Simulation Modeling and Analysis*, section 9.5.2), `warm_up` is left out of
each, and at most one is in memory.

Their latencies go into one streaming histogram: its percentiles are at most 2^-7 too high, however long the run, and
the same as if one run had recorded all (`results.statistics`). Totals are added, and so are predictions: each count of
a part was foretold before it ran. A queue that grows as long as the run does (an open loop beyond capacity) grows as
long as a part. For instance, 250,001 operations are 83,334 + 83,334 + 83,333.
"""

from __future__ import annotations

from dataclasses import replace

from kernel_model.experiments.point import Point

PART = 100_000  # operations: about 80 MB
_SEEDS = 1 << 32  # between the seeds of parts, so that they are no seeds of replications


def parts_of(point: Point) -> tuple[Point, ...]:
    """Return the parts of a point, the first with its own seed; a point that is not long is its only part."""
    count = -(-point.operations // PART)
    size, more = divmod(point.operations, count)
    return tuple(
        replace(point, operations=size + (number < more), seed=point.seed + number * _SEEDS) for number in range(count)
    )
