"""From a point to what a mechanism compiles: the workload with its data, and the verified graft that does it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import grafting
from kernel_model import costs
from kernel_model.experiments.point import Point
from kernel_model.mechanisms.scenario import Scenario
from kernel_model.workloads import catalogue
from kernel_model.workloads.samples import sample_path
from kernel_model.workloads.workload import bind

if TYPE_CHECKING:
    from kernel_model.costs import Cache, Profile
    from verifier import Verified


def completed(point: Point) -> Point:
    """Return the point with its workload's own defaults in place of None; None stays where there is no use for it.

    Raises GraftError G0859 for an unknown workload, G0846 for a parameter that it has no use for.
    """
    return replace(point, **catalogue.parameters(point))  # type: ignore[arg-type]


def scenario_of(point: Point) -> Scenario:
    """Return the workload of a point, and the graft that it names, or else the workload's own sample.

    Raises GraftError as `catalogue.make` does, G0841 for a graft that does not fit it, or what is wrong with it.
    """
    workload = catalogue.make(point)
    verified = verified_graft(Path(point.graft) if point.graft else sample_path(workload.sample))
    return Scenario(workload, verified, bind(verified.program, workload), point.engine)


@cache
def profile_of(name: str) -> Profile:
    """Return the cost profile of a name or in a file; read once. Raises as `costs.load` does."""
    return costs.load(name)


def cache_of(point: Point) -> Cache:
    """Return the cache of each core at a point where caches are finite, and the working set of its processes."""
    cache = profile_of(point.profile).cache
    return cache if point.working_set is None else replace(cache, working_set=point.working_set)


@cache
def verified_graft(path: Path) -> Verified:
    """Return the graft in a source or object file, verified. Raises GraftError if it is refused, OSError if absent."""
    import verifier
    from grafting import build_cache
    from grafting.parsing import lexer

    data = path.read_bytes()
    if data.startswith(b"\x7fELF"):
        return verifier.verify(grafting.Program.from_elf(data, filename=str(path)))
    return verifier.verify(build_cache.compile_cached(lexer.decode(data, str(path))))
