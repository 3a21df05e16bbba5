"""Axes: the values of a point's field, from text or TOML, and the grid of points that several axes span.

    hops=1..16            every whole number from 1 to 16
    work=100,200,400      these
    work=100..1000+300    100, 400, 700, 1000
    load=10k..1Mx10       10000, 100000, 1000000: each ten times the last
    profile=sel4-skylake,linux-host

A number may end in `k` or `M`. Ranges end at the last value that is not above their end. The same in a TOML file, one
key a field; there a list or a single value may stand as well:

    hops = "1..16"
    work = [100, 200, 400]
    servers = ["one", "each"]
    operations = 2000

`work`, `think` and `depth` are short for `work_ns`, `think_ns` and `hops`.
"""

from __future__ import annotations

import itertools
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from grafting.diagnostics import fail
from kernel_model.experiments.point import FIELDS, LEAST, Point, point_of
from kernel_model.suggestions import meant

Value = int | float | str
Axes = Mapping[str, tuple[Value, ...]]

SHORT: Mapping[str, str] = {"work": "work_ns", "think": "think_ns", "depth": "hops"}
REAL = frozenset({"load", "warm_up", "failures"})  # fields that need not be whole
WHOLE = frozenset(LEAST)
MOST_VALUES = 100_000  # of an axis: more is a slip of the pen

_NUMBER = re.compile(r"(\d+(?:\.\d+)?)([kM]?)")
_RANGE = re.compile(r"([^.]+(?:\.\d+)?)\.\.(.+?)(?:([+x])([^+x]+))?")
_SCALE = {"": 1, "k": 1_000, "M": 1_000_000}


def field_of(name: str) -> str:
    """Return the field of that name or short name. Raises GraftError G0858 for an unknown one."""
    field = SHORT.get(name, name)
    if field not in FIELDS:
        raise fail("G0858", f"a point has no field `{name}`", helps=meant(name, (*FIELDS, *SHORT)))
    return field


def values_of(field: str, text: str) -> tuple[Value, ...]:
    """Return the values that `text` stands for, in the order given and each once.

    Raises GraftError G0861 for what is no list of values of this field.
    """
    found: list[Value] = []
    for part in text.split(","):
        found += _part(field, part.strip())
    if len(found) > MOST_VALUES:
        raise fail("G0861", f"`{field}={text}` has {len(found):,} values")
    return tuple(dict.fromkeys(found))


def _part(field: str, text: str) -> Iterable[Value]:
    if field not in WHOLE | REAL:
        return (text,)
    match = _RANGE.fullmatch(text)
    if match is None:
        return (_number(field, text),)
    low, high, step, by = match.groups()
    return _range(field, text, _number(field, low), _number(field, high), step or "+", _number(field, by or "1"))


def _range(field: str, text: str, low: float, high: float, step: str, by: float) -> Iterable[Value]:
    if low > high or (step == "+" and by <= 0) or (step == "x" and (by <= 1 or low <= 0)):
        raise fail("G0861", f"`{field}={text}` is empty or endless")
    found = [low]
    while (after := found[-1] + by if step == "+" else found[-1] * by) <= high and len(found) <= MOST_VALUES:
        found.append(after)
    return found


def _number(field: str, text: str) -> int | float:
    match = _NUMBER.fullmatch(text.strip())
    if match is None:
        raise fail("G0861", f"`{text}` is no number for `{field}`", helps=("4, or 1..8, or 1,2,4, or 1..64x2",))
    value = float(match[1]) * _SCALE[match[2]]
    if field in WHOLE:
        if value != int(value):
            raise fail("G0861", f"`{field}` is a whole number, not {text}")
        return int(value)
    return value


def axis(text: str) -> tuple[str, tuple[Value, ...]]:
    """Return the field and the values of "FIELD=VALUES". Raises GraftError G0858 or G0861."""
    name, equals, values = text.partition("=")
    if not equals:
        raise fail("G0861", f"`{text}` is no axis", helps=("write hops=1..8",))
    field = field_of(name.strip())
    return field, values_of(field, values)


def axes_in(path: Path) -> Axes:
    """Return the axes in a TOML file. Raises GraftError G0858 or G0861, OSError if it cannot be read."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise fail("G0861", f"{path.name} is no TOML file: {error}") from error
    return {field: _listed(field, value) for name, value in data.items() for field in (field_of(name),)}


def _listed(field: str, value: Any) -> tuple[Value, ...]:
    match value:
        case str():
            return values_of(field, value)
        case list():
            return tuple(dict.fromkeys(each for item in value for each in _listed(field, item)))
        case bool() | dict():
            raise fail("G0861", f"`{field}` is {value}: neither a value nor a list of values")
        case _:
            return values_of(field, f"{value}")


def grid(axes: Axes, base: Point | None = None) -> tuple[Point, ...]:
    """Return all points whose fields are taken from `axes`, the last one varying fastest; the rest is that of `base`.

    Raises GraftError G0858 for a value that a point cannot have.
    """
    return tuple(point_of(dict(zip(axes, values, strict=True)), base) for values in itertools.product(*axes.values()))


def by_mechanisms(points: Iterable[Point], names: Iterable[str]) -> tuple[Point, ...]:
    """Return each point by each mechanism."""
    names = tuple(names)
    return tuple(replace(point, mechanism=name) for point in points for name in names)
