"""From a point to what a mechanism compiles: the workload with its data, and the verified graft that does it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grafting
from grafting.diagnostics import fail
from kernel_model.experiments.point import Point
from kernel_model.mechanisms.scenario import Scenario
from kernel_model.suggestions import meant
from kernel_model.workloads import btree, catalogue
from kernel_model.workloads.workload import Core, Servers, Topology, bind

if TYPE_CHECKING:
    from verifier import Verified

WORKLOADS = ("btree",)

DEFAULTS: Mapping[str, Any] = {
    "hops": 4, "work_ns": catalogue.SERVICE_NS, "size": btree.BLOCK_BYTES, "servers": "one", "serving": "active",
    "place": "same", "clients": 1, "think_ns": 0,
}  # fmt: skip
SAMPLES = Path(__file__).resolve().parents[2] / "samples"


def completed(point: Point) -> Point:
    """Return the point with its workload's own defaults in place of None. Raises G0859 for an unknown workload."""
    if point.workload not in WORKLOADS:
        raise fail("G0859", f"no workload is called `{point.workload}`", helps=meant(point.workload, WORKLOADS))
    given = {name: value for name in DEFAULTS if (value := getattr(point, name)) is not None}
    return replace(point, **{**DEFAULTS, **given})


def scenario_of(point: Point) -> Scenario:
    """Return the workload of a completed point, and the graft that it names, or else the workload's own sample.

    Raises GraftError G0841 for a graft that does not fit it, or what is wrong with it.
    """
    assert point.hops is not None
    assert point.work_ns is not None
    assert point.think_ns is not None
    workload = catalogue.btree_lookups(
        _image(point.hops),
        Topology(Servers(point.servers), Core(point.place)),
        lookups=point.operations,
        seed=point.seed,
        service_ns=point.work_ns,
        think_ns=point.think_ns,
    )
    verified = verified_graft(Path(point.graft) if point.graft else SAMPLES / workload.sample)
    return Scenario(workload, verified, bind(verified.program, workload), point.engine)


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


@cache
def _image(depth: int) -> btree.Image:
    return btree.write_image(Path(_scratch().name), depth)


@cache
def _scratch() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="grafting-")  # removed when the process ends
