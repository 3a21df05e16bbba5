"""Cost profiles: what each primitive of `core.prices` costs on one machine, and how we know.

A profile is a TOML file (`profiles/*.toml`). It holds two kinds of figures and never confuses them:

- **Composites** are what somebody measured and published: a whole `call`, an empty system call. Each has an equation
  that says of which primitives it is the sum. The simulator never charges a composite.
- **Primitives** are what the simulator charges. A primitive is *given* (a value, with an interval where the split of a
  composite is unknown) or *derived* by an equation over composites and other primitives:

      [composites.call]    value = 718   equation = "entry + dispatch_call + switch + exit"
      [primitives]         switch = { value = 186, high = 300, .. }
                           dispatch_call = { equation = "call - entry - switch - exit", .. }

So a published call costs 718 cycles however uncertain its split is. `load` checks that every composite is reassembled
*exactly*, in picoseconds, wherever in their intervals the given figures lie; that no derived figure can be negative
there; that every primitive has a price; and that no figure was measured on another processor than the profile's (each
source names its own): figures of different processors are never mixed. An `assumed` figure has no measurement behind
it, and says so.

Every price is a sum of given figures. `Profile.uncertain` says how each figure that is an interval moves the prices;
`bands` makes of that how far a result can be off. Prices are whole picoseconds; figures in cycles are converted by the
profile's clock rate.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grafting.diagnostics import GraftError, Source, fail
from kernel_model.core import prices

SCHEMA = 1
PS_PER_SECOND = 10**12
DEFAULT_PROFILES = ("sel4-skylake", "linux-host")

Sum = dict[str, int]
"""given figure -> coefficient"""

_PRODUCT = r"(?:(\d+)\s*\*\s*)?([a-z_]\w*)"  # of a whole coefficient, 1 if not said, and a figure
_TERM = re.compile(rf"([+-]?)\s*{_PRODUCT}")
_EQUATION = re.compile(rf"\s*{_PRODUCT}(\s*[+-]\s*{_PRODUCT})*\s*")
_HEAD = {"schema", "name", "title", "cpu", "hz", "unit", "register_bytes", "conditions"}
_FIGURE = {"value", "low", "high", "worst", "unit", "equation", "certainty", "source", "note"}


class Certainty(Enum):
    """How well a figure is known."""

    MEASURED = "measured"  # by us, on this machine
    PUBLISHED = "published"  # by others, on this processor
    DERIVED = "derived"  # from measured or published figures, by an equation
    ASSUMED = "assumed"  # an estimate; no measurement behind it


@dataclass(frozen=True, slots=True)
class Equation:
    """A sum of figures with whole coefficients, as (coefficient, name)."""

    terms: tuple[tuple[int, str], ...]

    def __str__(self) -> str:
        parts = [f"{'-' if c < 0 else '+'} {'' if abs(c) == 1 else f'{abs(c)} * '}{name}" for c, name in self.terms]
        return " ".join(parts).removeprefix("+ ")


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of the file, in picoseconds.

    `low` to `high` is the interval in which the truth lies; that of a derived figure (`equation`) holds all values that
    its equation can take. `worst` bounds a single occurrence (cold caches included), for admission.
    """

    name: str
    value: int
    low: int
    high: int
    worst: int
    certainty: Certainty
    source: str
    note: str = ""
    equation: Equation | None = None


@dataclass(frozen=True, slots=True)
class Ends:
    """How one given figure moves the prices: row of `core.prices` -> change in ps, at either end of its interval."""

    low: Mapping[int, int]
    high: Mapping[int, int]


@dataclass(frozen=True)
class Profile:
    """A validated profile. `digest` is the SHA-256 of its figures, printed with every result that rests on them.

    `uncertain`: every given figure that is an interval. `register_bytes` is how much of a message travels in registers:
    more takes the slow path and is copied.
    `conditions` says under which the figures hold (caches, fast path, mitigations).
    """

    name: str
    title: str
    cpu: str
    hz: int
    register_bytes: int
    conditions: str
    unit: str
    composites: Mapping[str, Figure]
    primitives: Mapping[str, Figure]
    sources: Mapping[str, str]
    digest: str
    uncertain: Mapping[str, Ends]

    @property
    def prices(self) -> NDArray[np.int64]:
        """The price of each primitive in picoseconds, indexed as `core.prices.INDEX`."""
        return _table({name: figure.value for name, figure in self.primitives.items()})

    @property
    def worst(self) -> NDArray[np.int64]:
        """An upper bound of each primitive's price in picoseconds: what admission multiplies proven bounds by."""
        return _table({name: figure.worst for name, figure in self.primitives.items()})

    @property
    def short_digest(self) -> str:
        """The first 12 hex digits of the digest."""
        return self.digest[:12]

    def __str__(self) -> str:
        return f"{self.name} ({self.cpu}, {self.conditions}; sha256 {self.short_digest})"


def _table(values: Mapping[str, int]) -> NDArray[np.int64]:
    table = np.ones(prices.COUNT, dtype=np.int64)  # the primitives that count picoseconds cost 1 each
    for name, value in values.items():
        table[prices.INDEX[name]] = value
    return table


# --- loading ---------------------------------------------------------------------------------------------------------


def available() -> tuple[str, ...]:
    """Return the names of the profiles that come with the package, in alphabetical order."""
    files = resources.files("kernel_model.costs").joinpath("profiles").iterdir()
    return tuple(sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml")))


def load(name: str | Path) -> Profile:
    """Return the profile that comes with the package under this name, or that of a TOML file.

    A name with a `.toml` ending or a directory in it is a file. Raises GraftError: G0830 no such profile, G0831 not
    TOML or a key that has no meaning, G0832 a figure that is not well given, G0833 a primitive without a price, G0834
    an equation that cannot be solved, G0835 a composite that the primitives do not add up to, G0836 a figure of
    another processor. Raises OSError if a file cannot be read.
    """
    path = Path(name)
    if path.suffix == ".toml" or len(path.parts) > 1:
        return parse(path.read_text(encoding="utf-8"), filename=str(path))
    if str(name) not in available():
        raise fail("G0830", f"no cost profile is called `{name}`", helps=(f"there are {', '.join(available())}",))
    file = resources.files("kernel_model.costs").joinpath("profiles", f"{name}.toml")
    return parse(file.read_text(encoding="utf-8"), filename=f"{name}.toml")


def parse(text: str, *, filename: str = "<profile>") -> Profile:
    """Return the profile written in `text`. Raises GraftError as `load` does."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _bad("G0831", f"not TOML: {error}", filename) from None
    return _Reader(data, filename).profile()


def _bad(code: str, message: str, filename: str) -> GraftError:
    return fail(code, f"profile {filename}: {message}", source=Source(filename, ""))


class _Reader:
    """Turns one file's data into a Profile. Its steps, in order: head, sources, figures, equations, checks."""

    def __init__(self, data: dict[str, Any], filename: str) -> None:
        self.data, self.filename = data, filename
        self._only(data, _HEAD | {"sources", "composites", "primitives", "instructions"}, "the file")
        if data.get("schema") != SCHEMA:
            raise self.bad("G0831", f"`schema` is {data.get('schema')!r}, this version reads {SCHEMA}")
        for key in _HEAD:
            if not isinstance(data.get(key), int if key in ("schema", "hz", "register_bytes") else str):
                raise self.bad("G0831", f"`{key}` is missing or of another type")
        if data["hz"] <= 0 or data["register_bytes"] < 0:
            raise self.bad("G0832", "`hz` and `register_bytes` cannot be negative")
        self.tables = {"composites": dict(data.get("composites", {})), "primitives": self._primitives()}
        self.sums: dict[str, Sum] = {}
        self.figures = {name: spec for table in self.tables.values() for name, spec in table.items()}

    def bad(self, code: str, message: str) -> GraftError:
        return _bad(code, message, self.filename)

    def _only(self, table: Mapping[str, Any], known: set[str], where: str) -> None:
        unknown = sorted(set(table) - known)
        if unknown:
            raise self.bad("G0831", f"{where} has a key `{unknown[0]}`, which has no meaning")

    def _primitives(self) -> dict[str, Any]:
        """Return the primitives, `[instructions.ENGINE]` unfolded into one per engine and class."""
        table = dict(self.data.get("primitives", {}))
        for engine, classes in self.data.get("instructions", {}).items():
            table |= {f"{engine}_{name}": spec for name, spec in classes.items()}
        priced = [p.name for p in prices.PRIMITIVES if p.name not in prices.UNIT_PRICED]
        self._only(table, set(priced), "[primitives]")
        missing = [name for name in priced if name not in table]
        if missing:
            raise self.bad("G0833", f"no price for {', '.join(missing)}")
        return table

    def profile(self) -> Profile:
        for name, spec in self.figures.items():
            self._check_figure(name, spec)
        composites, primitives = (
            {name: self._figure(name, spec) for name, spec in self.tables[kind].items()}
            for kind in ("composites", "primitives")
        )
        for name, figure in composites.items():
            self._check_sum(name, figure)
        head = {key: self.data[key] for key in sorted(_HEAD - {"schema"})}
        return Profile(
            **head,
            composites=composites,
            primitives=primitives,
            sources={name: source["text"] for name, source in self.data.get("sources", {}).items()},
            digest=hashlib.sha256(json.dumps(self.data, sort_keys=True).encode()).hexdigest(),
            uncertain={name: self._ends(name) for name in self.figures if self._is_interval(name)},
        )

    # Every figure is a sum of given ones: given figure -> coefficient.

    def _sum(self, name: str, pending: tuple[str, ...] = ()) -> Sum:
        if name in self.sums:
            return self.sums[name]
        if name in pending:
            raise self.bad("G0834", f"`{name}` is derived from itself: {' -> '.join([*pending, name])}")
        spec = self.figures[name]
        if "value" in spec:
            return self.sums.setdefault(name, {name: 1})
        equation = self.equation(name, spec["equation"])
        return self.sums.setdefault(name, self._added(equation, (*pending, name)))

    def _added(self, equation: Equation, pending: tuple[str, ...] = ()) -> Sum:
        """Return what an equation comes to."""
        total: Sum = {}
        for coefficient, term in equation.terms:
            for given, count in self._sum(term, pending).items():
                total[given] = total.get(given, 0) + coefficient * count
        return {given: count for given, count in total.items() if count}

    def _given(self, name: str, end: str) -> int:
        """Return a given figure in ps: its "value", or the "low" or "high" end of its interval."""
        spec = self.figures[name]
        return self._ps(spec.get(end, spec["value"]), spec)

    def _is_interval(self, name: str) -> bool:
        return "value" in self.figures[name] and self._given(name, "low") != self._given(name, "high")

    def _ends(self, name: str) -> Ends:
        """Return how a given figure moves the primitives."""

        def change(end: str) -> dict[int, int]:
            by = self._given(name, end) - self._given(name, "value")
            rows = {prices.INDEX[p]: self._sum(p).get(name, 0) * by for p in self.tables["primitives"]}
            return {row: ps for row, ps in rows.items() if ps}

        return Ends(change("low"), change("high"))

    def _check_figure(self, name: str, spec: Any) -> None:
        if not isinstance(spec, dict):
            raise self.bad("G0832", f"`{name}` is not a table")
        self._only(spec, _FIGURE, f"`{name}`")
        certainty, source = spec.get("certainty"), spec.get("source", "")
        if certainty not in {c.value for c in Certainty}:
            raise self.bad("G0832", f"`{name}` needs a `certainty`: {', '.join(c.value for c in Certainty)}")
        if certainty in ("measured", "published") and not source:
            raise self.bad("G0832", f"`{name}` is {certainty}, but its `source` is not named")
        if source and source not in self.data.get("sources", {}):
            raise self.bad("G0832", f"`{name}` names a source `{source}` that [sources] does not have")
        if source and self.data["sources"][source].get("cpu") != self.data["cpu"]:
            raise self.bad("G0836", f"`{name}` was measured on {self.data['sources'][source].get('cpu')!r}")
        given = [key for key in ("value", "low", "high", "worst") if key in spec]
        if any(not isinstance(spec[key], int | float) or spec[key] < 0 for key in given):
            raise self.bad("G0832", f"`{name}` must be a number that is not negative")
        if name in self.tables["primitives"] and ("value" in spec) == ("equation" in spec):
            raise self.bad("G0832", f"`{name}` needs either a `value` or an `equation`")
        if name in self.tables["composites"] and not {"value", "equation"} <= set(spec):
            raise self.bad("G0832", f"the composite `{name}` needs a `value` and an `equation`")
        ordered = [spec[key] for key in ("low", "value", "high", "worst") if key in spec]
        if ordered != sorted(ordered):
            raise self.bad("G0832", f"`{name}` must satisfy low <= value <= high <= worst")

    def _ps(self, number: float, spec: Mapping[str, Any]) -> int:
        """Convert a number in the figure's unit to whole picoseconds, halves to even."""
        exact, hz = Fraction(str(number)), int(self.data["hz"])
        match spec.get("unit", self.data["unit"]):
            case "cycles":
                return round(exact * PS_PER_SECOND / hz)
            case "ns":
                return round(exact * 1000)
            case other:
                raise self.bad("G0832", f"`{other}` is no unit; there are cycles and ns")

    def equation(self, name: str, text: str) -> Equation:
        """Parse `a + 2 * b - c`. Raises GraftError G0834."""
        if not _EQUATION.fullmatch(text):
            raise self.bad("G0834", f"the equation of `{name}` is not a sum of figures: {text!r}")
        terms = [((-1 if sign == "-" else 1) * int(count or 1), term) for sign, count, term in _TERM.findall(text)]
        unknown = [term for _, term in terms if term not in self.figures]
        if unknown:
            raise self.bad("G0834", f"the equation of `{name}` names `{unknown[0]}`, which is no figure")
        return Equation(tuple(terms))

    def _figure(self, name: str, spec: Mapping[str, Any]) -> Figure:
        total = self._sum(name)
        low, value, high = (
            sum(c * self._given(given, end if c > 0 else _OPPOSITE[end]) for given, c in total.items())
            for end in ("low", "value", "high")
        )
        if low < 0:
            raise self.bad("G0834", f"`{name}` would be negative, {low} ps, within the intervals of {', '.join(total)}")
        derived = "value" not in spec
        return Figure(
            name=name,
            value=value,
            low=low,
            high=high,
            worst=self._ps(spec["worst"], spec) if "worst" in spec else high,
            certainty=Certainty(spec["certainty"]),
            source=spec.get("source", ""),
            note=spec.get("note", ""),
            equation=self.equation(name, spec["equation"]) if derived or name in self.tables["composites"] else None,
        )

    def _check_sum(self, name: str, figure: Figure) -> None:
        """A composite must be its primitives' sum for all values of the given figures: the same sum of them."""
        assert figure.equation is not None
        wanted, found = self._sum(name), self._added(figure.equation)
        if found != wanted:
            value = sum(count * self._given(given, "value") for given, count in found.items())
            raise self.bad(
                "G0835",
                f"`{name}` is {figure.value} ps, but {figure.equation} is {value} ps, and "
                f"{', '.join(sorted(found.keys() ^ wanted.keys())) or name} would have to cancel out",
            )


_OPPOSITE = {"low": "high", "value": "value", "high": "low"}
