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
*exactly*, in picoseconds, in every split; that no derived figure is negative; that every primitive has a price; and
that no figure was measured on another processor than the profile's (each source names its own): figures of different
processors are never mixed. An `assumed` figure has no measurement behind it, and says so.

A **split** chooses one point in the intervals: "typical", or all given figures at their "low" or "high" end. A result
that is computed for all three has a band. Prices are whole picoseconds; figures in cycles are converted by the
profile's clock rate.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
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
SPLITS = ("typical", "low", "high")
PS_PER_SECOND = 10**12
DEFAULT_PROFILES = ("sel4-skylake", "linux-host")

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

    `low` to `high` is the interval in which the truth lies; a derived figure (`equation`) has the values that its
    equation takes in the three splits. `worst` bounds a single occurrence (cold caches included), for admission.
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

    def at(self, split: str) -> int:
        """Return the value in a split."""
        match split:
            case "low":
                return self.low
            case "high":
                return self.high
            case _:
                return self.value


@dataclass(frozen=True)
class Profile:
    """A validated profile. `digest` is the SHA-256 of its figures, printed with every result that rests on them.

    `register_bytes` is how much of a message travels in registers: more takes the slow path and is copied.
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
    split: str = "typical"

    def with_split(self, split: str) -> Profile:
        """Return the profile at another point of its intervals, one of `SPLITS`. Raises ValueError for any other."""
        if split not in SPLITS:
            raise ValueError(f"no split {split!r}; there are {', '.join(SPLITS)}")
        return replace(self, split=split)

    @property
    def prices(self) -> NDArray[np.int64]:
        """The price of each primitive in picoseconds, indexed as `core.prices.INDEX`, in this split."""
        return _table({name: figure.at(self.split) for name, figure in self.primitives.items()})

    @property
    def worst(self) -> NDArray[np.int64]:
        """An upper bound of each primitive's price in picoseconds: what admission multiplies proven bounds by."""
        return _table({name: figure.worst for name, figure in self.primitives.items()})

    @property
    def has_band(self) -> bool:
        """Whether any figure is an interval, so that results should be computed in every split."""
        return any(figure.low != figure.high for figure in self.primitives.values())

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
    files = resources.files("kernel_model").joinpath("profiles").iterdir()
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
    file = resources.files("kernel_model").joinpath("profiles", f"{name}.toml")
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
        values = {split: self._solve(split) for split in SPLITS}
        composites, primitives = (
            {name: self._figure(name, spec, values) for name, spec in self.tables[kind].items()}
            for kind in ("composites", "primitives")
        )
        for name, figure in composites.items():
            self._check_sum(name, figure, values)
        head = {key: self.data[key] for key in sorted(_HEAD - {"schema"})}
        return Profile(
            **head,
            composites=composites,
            primitives=primitives,
            sources={name: source["text"] for name, source in self.data.get("sources", {}).items()},
            digest=hashlib.sha256(json.dumps(self.data, sort_keys=True).encode()).hexdigest(),
        )

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

    def _solve(self, split: str) -> dict[str, int]:
        """Return the value of each figure in one split, in picoseconds."""
        solved: dict[str, int] = {}
        pending: list[str] = []

        def value(name: str) -> int:
            if name in solved:
                return solved[name]
            if name in pending:
                raise self.bad("G0834", f"`{name}` is derived from itself: {' -> '.join([*pending, name])}")
            spec = self.figures[name]
            if "value" in spec:
                solved[name] = self._ps(spec.get(split, spec["value"]), spec)
            else:
                pending.append(name)
                solved[name] = sum(c * value(term) for c, term in self.equation(name, spec["equation"]).terms)
                pending.pop()
            if solved[name] < 0:
                raise self.bad("G0834", f"`{name}` would be negative in the split {split!r}")
            return solved[name]

        for name in self.figures:
            value(name)
        return solved

    def _figure(self, name: str, spec: Mapping[str, Any], values: Mapping[str, Mapping[str, int]]) -> Figure:
        ends = sorted(values[split][name] for split in SPLITS)
        derived = "value" not in spec
        return Figure(
            name=name,
            value=values["typical"][name],
            low=values["low"][name],
            high=values["high"][name],
            worst=self._ps(spec["worst"], spec) if "worst" in spec else ends[-1],
            certainty=Certainty(spec["certainty"]),
            source=spec.get("source", ""),
            note=spec.get("note", ""),
            equation=self.equation(name, spec["equation"]) if derived or name in self.tables["composites"] else None,
        )

    def _check_sum(self, name: str, figure: Figure, values: Mapping[str, Mapping[str, int]]) -> None:
        assert figure.equation is not None
        for split in SPLITS:
            total = sum(c * values[split][term] for c, term in figure.equation.terms)
            if total != figure.at(split):
                raise self.bad(
                    "G0835",
                    f"in the split {split!r} `{name}` is {figure.at(split)} ps, but {figure.equation} is {total} ps",
                )
