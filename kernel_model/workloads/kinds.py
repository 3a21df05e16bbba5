"""A kind of workload: its name, the parameters that it has a use for, and how one is built from their values.

Parameters mean the same in every workload:

    hops       requests of one operation: a chain, a fan-out, the blocks of a copy
    work_ns    a server's work for one request
    size       bytes of a reply (of a request, where data go that way)
    cached     what the client, or whoever answers for the server, holds already: levels, cells, values
    servers    `one` process for all requests, or `each` its own
    serving    `active`, or `passive`: on the time of who asks
    place      of the servers: the `same` core as the clients, or another
    clients    how many there are
    think_ns   closed loop: the time between an operation's end and the next one's beginning
    load       open loop: operations per second offered by all clients together (None: closed loop)
    failures   share of the requests that a server fails
    bystander_set  bytes that a process beside them uses all the time, where caches are finite

A parameter that a kind has no use for is refused, never ignored: two points that differ in it would be the same run
under different names. What is not said (None) gets the kind's own default (`Kind.parameters`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn, Protocol

from grafting.diagnostics import GraftError, fail
from kernel_model.workloads.workload import Arrivals, Closed, Core, Open, Servers, Serving, Topology, Workload

Value = int | float | str | None

PARAMETERS = (
    "hops", "work_ns", "size", "cached", "servers", "serving", "place", "clients", "think_ns", "load", "failures",
    "bystander_set",
)  # fmt: skip
COMMON: Mapping[str, Value] = {
    "work_ns": 200, "serving": "active", "place": "same", "clients": 1, "think_ns": 0, "load": None,
}  # fmt: skip
"""What every workload with clients and servers has a use for, and its default."""


class Asked(Protocol):
    """What a workload is built from: `experiments.point.Point` is one. None: the kind's own default."""

    @property
    def workload(self) -> str:
        """Its name."""

    @property
    def hops(self) -> int | None:
        """See the module, as for all that follow."""

    @property
    def work_ns(self) -> int | None:
        """Nanoseconds."""

    @property
    def size(self) -> int | None:
        """Bytes."""

    @property
    def cached(self) -> int | None:
        """Levels, cells or values."""

    @property
    def servers(self) -> str | None:
        """One of `workload.Servers`."""

    @property
    def serving(self) -> str | None:
        """One of `workload.Serving`."""

    @property
    def place(self) -> str | None:
        """One of `workload.Core`."""

    @property
    def clients(self) -> int | None:
        """At least 1."""

    @property
    def think_ns(self) -> int | None:
        """Nanoseconds."""

    @property
    def load(self) -> float | None:
        """Operations per second."""

    @property
    def failures(self) -> float | None:
        """From 0 to 1."""

    @property
    def bystander_set(self) -> int | None:
        """Bytes."""

    @property
    def operations(self) -> int:
        """How many operations in all."""

    @property
    def seed(self) -> int:
        """What keys, arrivals and times are drawn from."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The parameters of one workload with nothing left open; 0 for what its kind has no use for."""

    kind: str
    hops: int
    work_ns: int
    size: int
    cached: int
    failures: float
    clients: int
    topology: Topology
    arrivals: Arrivals
    operations: int
    seed: int
    bystander_set: int = 0

    def refuse(self, parameter: str, why: str) -> NoReturn:
        """Raise GraftError G0848: the value of a parameter is none that this workload can have."""
        raise fail("G0848", f"the workload `{self.kind}` cannot have {parameter} {getattr(self, parameter)}: {why}")

    def within(self, parameter: str, low: int, high: int, why: str) -> None:
        """Refuse a value outside `low` .. `high`, both included."""
        if not low <= getattr(self, parameter) <= high:
            self.refuse(parameter, f"from {low} to {high}, {why}")


@dataclass(frozen=True, slots=True)
class Kind:
    """See the module. `defaults` has every parameter that the kind has a use for."""

    name: str
    summary: str
    defaults: Mapping[str, Value]
    build: Callable[[Settings], Workload]

    def parameters(self, asked: Asked) -> dict[str, Value]:
        """Return the value of every parameter, this kind's defaults filled in; None for what it has no use for.

        Raises GraftError G0846 for a parameter that was asked for without a use.
        """
        values: dict[str, Value] = {}
        for name in PARAMETERS:
            given = getattr(asked, name)
            if given is not None and name not in self.defaults:
                raise self._useless(name)
            values[name] = self.defaults.get(name) if given is None else given
        if values["load"] is not None:
            if asked.think_ns:
                raise self._useless("think_ns", "in an open loop nobody waits for an operation before the next begins")
            values["think_ns"] = None
        return values

    def _useless(self, name: str, why: str = "") -> GraftError:
        known = ", ".join(each for each in PARAMETERS if each in self.defaults)
        return fail(
            "G0846",
            f"the workload `{self.name}` has no use for `{name}`",
            notes=(why,) if why else (),
            helps=(f"it has: {known}",),
        )

    def settings(self, asked: Asked) -> Settings:
        """Return what `build` takes. Raises as `parameters` does."""
        values = self.parameters(asked)
        load = values["load"]
        return Settings(
            kind=self.name,
            hops=int(values["hops"] or 0),
            work_ns=int(values["work_ns"] or 0),
            size=int(values["size"] or 0),
            cached=int(values["cached"] or 0),
            failures=float(values["failures"] or 0),
            bystander_set=int(values["bystander_set"] or 0),
            clients=int(values["clients"] or 0),
            topology=Topology(
                Servers(values["servers"] or "one"),
                Core(values["place"] or "same"),
                Serving(values["serving"] or "active"),
            ),
            arrivals=Closed(int(values["think_ns"] or 0)) if load is None else Open(float(load), asked.seed),
            operations=asked.operations,
            seed=asked.seed,
        )
