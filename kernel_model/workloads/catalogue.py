"""The workloads by name. Each module of this package that has a `KIND` is one; the list is written here.

workload = make(Point(workload="list", hops=8, servers="each"))
"""

from __future__ import annotations

from collections.abc import Mapping

from grafting.diagnostics import fail
from kernel_model.suggestions import meant
from kernel_model.workloads import (
    caching,
    copying,
    crowding,
    folding,
    gathering,
    grouping,
    lists,
    lookups,
    replication,
    retrying,
)
from kernel_model.workloads.kinds import Asked, Kind, Value
from kernel_model.workloads.workload import Workload

KINDS: tuple[Kind, ...] = (
    lookups.KIND,
    lists.KIND,
    copying.KIND,
    gathering.KIND,
    folding.KIND,
    replication.KIND,
    caching.KIND,
    retrying.KIND,
    grouping.KIND,
    crowding.BYSTANDER,
    crowding.OVERLOAD,
)
NAMES: tuple[str, ...] = tuple(kind.name for kind in KINDS)


def kind_of(name: str) -> Kind:
    """Return the kind of that name. Raises GraftError G0859 if there is none."""
    for kind in KINDS:
        if kind.name == name:
            return kind
    raise fail("G0859", f"no workload is called `{name}`", helps=meant(name, NAMES))


def parameters(asked: Asked) -> Mapping[str, Value]:
    """Return the value of every parameter of `kinds.PARAMETERS`, defaults filled in; None for what has no use.

    Raises GraftError G0859 for an unknown workload, G0846 for a parameter that it has no use for.
    """
    return kind_of(asked.workload).parameters(asked)


def make(asked: Asked) -> Workload:
    """Return the workload that is asked for, with its data.

    Raises as `parameters` does, and GraftError G0848 for a value that the workload cannot have, G0821 for a B-tree that
    cannot be.
    """
    kind = kind_of(asked.workload)
    return kind.build(kind.settings(asked))
