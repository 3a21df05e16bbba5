"""What is foretold of refills before a run: none with hot caches, none if all that runs fits the cache, else a reason.

What was just made is warm (`core.warmth`), and what is warm stays so while everything that is used on a core is
together no larger than its cache. So the sum of the working sets of clients, servers and whoever a mechanism puts
between them, and of the footprints of all grafts, decides: if it fits, not one line is brought in, whatever happens in
which order. If it does not, how much is depends on who runs in turn, and on two cores a graft in the kernel runs where
its event is raised, now on the one and now on the other.

A bound that holds a refill (`refill_of`) may be above the eager window where the bound without it is not: then the
handler does not run at once any more, which `mechanisms.fates` foretells.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from kernel_model.experiments.point import Point
from kernel_model.footprints import graft_lines, refill_ps
from kernel_model.mechanisms.counts import Prediction
from kernel_model.workloads.workload import Core, Workload

if TYPE_CHECKING:
    from kernel_model.costs import Cache, Profile
    from verifier import Verified

ALONE = frozenset({"call", "async", "graft"})  # mechanisms without threads of their own
BETWEEN = 2  # threads that others may have, besides one that stands in for each client
TOO_LARGE = "working sets displace each other, and how much of them depends on who runs in turn"
TWO_CORES = "a graft that runs on two cores in turn is cold on each"


def with_refills(
    prediction: Prediction, point: Point, workload: Workload, cache: Cache, graft: Callable[[], Verified]
) -> Prediction:
    """Return a prediction with that of its refills. `graft` is asked for only where caches are finite."""
    known = replace(prediction, unknown=prediction.unknown - {"refills"})
    if point.caches == "hot":
        return known
    in_kernel = prediction.counts.kernel_activations or "kernel_activations" in prediction.unknown
    if workload.topology.core is Core.OTHER and in_kernel:
        return _unknown(prediction, TWO_CORES)
    lines = graft_lines(graft(), point.engine, cache)
    return _unknown(prediction, TOO_LARGE) if everything(point, workload, cache, lines) > cache.lines else known


def refill_of(point: Point, profile: Profile, cache: Cache, graft: Callable[[], Verified]) -> int:
    """Return what the bound of each handler holds for the case that it is cold, ps."""
    return 0 if point.caches == "hot" else refill_ps(graft_lines(graft(), point.engine, cache), profile.worst)


def everything(point: Point, workload: Workload, cache: Cache, graft: int) -> int:
    """Return how many lines all that the mechanism may put on one core uses, grafts of `graft` lines each among it."""
    threads = workload.clients + workload.processes
    threads += 0 if point.mechanism in ALONE else workload.clients + BETWEEN
    grafts = workload.clients + workload.processes
    bystander = cache.lines_of(workload.bystander_set) if workload.bystander else 0
    return threads * cache.lines_of(cache.working_set) + grafts * graft + bystander


def _unknown(prediction: Prediction, why: str) -> Prediction:
    reasons = "; ".join(dict.fromkeys(reason for reason in (prediction.why, why) if reason))
    return replace(prediction, unknown=prediction.unknown | {"refills"}, why=reasons)
