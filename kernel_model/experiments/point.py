"""A point: everything that decides one run. Same point, same trace, byte for byte.

A point is a value: it can be a key, be printed as the command that repeats it, be sent to another process or machine,
and be written into a line of a result file. What is *not* in it does not change a result: how fast the model itself is
run (its tier), where it is run, and in which order.

    Point(workload="btree", hops=8, servers="each")            one run of the graft
    replace(point, mechanism="call")                           the same operations by round trips: its baseline
    replace(point, seed=2)                                     an independent repetition

`hops` and the topology (`servers`, `serving`, `place`) decide more than any other field (KERNEL section 5), so every
table states them. `load` is the offered load of an open loop; None is a closed loop of `clients` clients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

from grafting.diagnostics import fail
from kernel_model.suggestions import meant

Servers = Literal["one", "each"]
Serving = Literal["active", "passive"]
Place = Literal["same", "other"]
Activation = Literal["eager", "deferred", "auto", "off"]
Charge = Literal["current", "metered", "switched"]
Engine = Literal["interpreted", "native"]
Locks = Literal["one", "core"]
Caches = Literal["hot", "finite"]

LEAST: Mapping[str, int] = {
    "hops": 1, "work_ns": 0, "size": 0, "cached": 0, "cores": 1, "clients": 1, "think_ns": 0, "operations": 1,
    "seed": 0, "working_set": 0, "bystander_set": 0,
}  # fmt: skip
"""The least value of each whole number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One run. Raises GraftError G0858 for a value outside its field's range.

    What is asked: `workload` (of `workloads.catalogue`), done `operations` times in all by `clients` clients, each of
    `hops` dependent requests with replies of `size` bytes and `work_ns` of a server's work, the topmost `cached` levels
    being known to the client; of the requests the share `failures` fails. When: `think_ns` after the last one ended, or
    at `load` operations a second. Where: `servers`, `serving`, `place` of the servers (the client's core or another);
    beside whom: a bystander that uses `bystander_set` bytes.
    In all of these None is the workload's own default; `experiments.run.completed` fills it in. See `workloads.kinds`.

    By whom: `mechanism`, with the graft in the file `graft` (None: the workload's own sample). In which kernel:
    `profile` (a name or a TOML file), `cores`, `activation`, `charge`, `engine`, `locks`; `caches` that hold all, or as
    much as the profile says, and then with a `working_set` of each process in bytes (None: the profile's). `warm_up` is
    the fraction of the first operations that is left out of latency and throughput; `seed` draws keys, arrivals and
    service times.
    """

    workload: str = "btree"
    mechanism: str = "graft"
    graft: str | None = None
    hops: int | None = None
    work_ns: int | None = None
    size: int | None = None
    cached: int | None = None
    servers: Servers | None = None
    serving: Serving | None = None
    place: Place | None = None
    clients: int | None = None
    think_ns: int | None = None
    load: float | None = None
    failures: float | None = None
    bystander_set: int | None = None
    profile: str = "sel4-skylake"
    cores: int = 1
    activation: Activation = "eager"
    charge: Charge = "metered"
    engine: Engine = "interpreted"
    locks: Locks = "one"
    caches: Caches = "hot"
    working_set: int | None = None
    operations: int = 1000
    warm_up: float = 0.0
    seed: int = 1

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            value = getattr(self, name)
            if value not in allowed and not (value is None and name in OPTIONAL):
                raise fail("G0858", f"`{name}` is one of {', '.join(allowed)}, not `{value}`")
        for name, least in LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise fail("G0858", f"`{name}` is at least {least}, not {value}")
        if self.working_set is not None and self.caches == "hot":
            raise fail("G0858", "`working_set` means nothing where everything is warm", helps=("caches=finite",))
        if self.load is not None and not self.load > 0:
            raise fail("G0858", f"`load` is above 0 operations a second, not {self.load}")
        if self.failures is not None and not 0 <= self.failures <= 1:
            raise fail("G0858", f"`failures` is a share from 0 to 1, not {self.failures}")
        if not 0 <= self.warm_up < 1:
            raise fail("G0858", f"`warm_up` is a fraction from 0 to below 1, not {self.warm_up}")

    @property
    def core_count(self) -> int:
        """How many cores the kernel has: `cores`, but as many as `place` needs."""
        return max(self.cores, 2 if self.place == "other" else 1)

    @property
    def topology(self) -> str:
        """The topology of a completed point in words, as every result states it."""
        servers = {"one": "one server", "each": "a server per hop", None: "its own servers"}[self.servers]
        passive = ", passive" if self.serving == "passive" else ""
        cores = f" of {self.core_count}" if self.core_count > 1 else ""
        return f"{servers}{passive}, {self.place or 'same'} core{cores}"

    @property
    def place_and_length(self) -> str:
        """Topology and length of the chain, where there is one, in words."""
        return self.topology + (f", {self.hops} hops" if self.hops else "")

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return asdict(self)

    def changes(self) -> dict[str, Any]:
        """Return the fields that differ from their defaults."""
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name)) != f.default}


FIELDS: tuple[str, ...] = tuple(f.name for f in fields(Point))
OPTIONAL: frozenset[str] = frozenset(f.name for f in fields(Point) if f.default is None)
"""The fields that may be None: the workload decides."""

CHOICES: Mapping[str, tuple[str, ...]] = {
    "servers": get_args(Servers),
    "serving": get_args(Serving),
    "place": get_args(Place),
    "activation": get_args(Activation),
    "charge": get_args(Charge),
    "engine": get_args(Engine),
    "locks": get_args(Locks),
    "caches": get_args(Caches),
}
"""The values of each field that has few."""


def point_of(values: Mapping[str, Any], base: Point | None = None) -> Point:
    """Return `base` (default: the default point) with these fields. Raises GraftError G0858 for an unknown field."""
    for name in values:
        if name not in FIELDS:
            raise fail("G0858", f"a point has no field `{name}`", helps=meant(name, FIELDS))
    return replace(base or Point(), **values)
