"""Options for the fields of a point: one an option, each with one value or several (`experiments.axes`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from grafting.diagnostics import GraftError
from kernel_model.experiments.axes import SHORT, Value, values_of
from kernel_model.experiments.point import CHOICES, FIELDS

HELP: Mapping[str, str] = {
    "hops": "Dependent requests in an operation.",
    "work_ns": "A server's work for a request, ns.",
    "size": "Bytes of a reply.",
    "cached": "Topmost levels that the client holds itself.",
    "servers": "One server for all requests of a chain, or one for each.",
    "serving": "Servers with a time of their own, or on the time of who calls.",
    "place": "The servers' core: the client's or another.",
    "clients": "Clients.",
    "think_ns": "From the end of an operation to the client's next, ns.",
    "load": "Offered operations a second (open loop); default: the next when the last has ended.",
    "failures": "Share of the requests that a server fails.",
    "bystander_set": "Bytes that a bystander uses, with finite caches.",
    "profile": "Cost profile: a name or a TOML file.",
    "cores": "Cores.",
    "activation": "When grafts run.",
    "charge": "How activations are charged.",
    "engine": "What runs the grafts.",
    "locks": "One kernel lock, or one for each core.",
    "caches": "What has run before is still in its core's cache, or what fits of it.",
    "working_set": "Bytes that a process uses in its turn, with finite caches; default: the profile's.",
    "operations": "Operations in a run.",
    "warm_up": "Fraction of first operations left out of latency and throughput.",
    "seed": "Seeds of keys, arrivals and times.",
}
_LONG = {field: short for short, field in SHORT.items() if short != "depth"}


class Axis(click.ParamType[tuple[Value, ...]]):
    """The values of one field: `4`, `1..8`, `1,2,4`, `1..64x2`, `one,each`."""

    def __init__(self, field: str) -> None:
        self.field = field
        self.name = "values"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Value, ...]:
        """Return the values in the order given."""
        if isinstance(value, tuple):
            return value
        try:
            return values_of(self.field, str(value))
        except GraftError as error:
            self.fail(error.diagnostics[0].message, param, ctx)


def field_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add an option for each field of a point but workload, mechanism and graft; None where it is not given."""
    for field in reversed(FIELDS):
        if field in HELP:
            names = [f"--{_LONG.get(field, field).replace('_', '-')}", *(["--depth"] if field == "hops" else []), field]
            metavar = "|".join(CHOICES[field]) if field in CHOICES else "VALUES"
            command = click.option(*names, type=Axis(field), metavar=metavar, help=HELP[field])(command)
    return command


def axes_given(options: Mapping[str, Any]) -> dict[str, tuple[Value, ...]]:
    """Return the axes among a command's options, and remove nothing."""
    return {name: values for name, values in options.items() if name in HELP and values is not None}
