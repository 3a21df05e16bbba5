"""Reading a profile: from TOML to a validated `Profile`, or a reason why not. See `profile` for what is checked."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from grafting.diagnostics import GraftError
from kernel_model.core import prices
from kernel_model.costs import sizes
from kernel_model.costs.inheritance import TABLES, Gathered, bad, gather
from kernel_model.costs.profile import Certainty, Conditions, Ends, Equation, Figure, Profile

SCHEMA = 1
PS_PER_SECOND = 10**12

Sum = dict[str, int]
"""given figure -> coefficient"""

Lookup = Callable[[str], Profile]
"""How the profile that `relative_to` names is found."""

_PRODUCT = r"(?:(\d+)\s*\*\s*)?([a-z_]\w*)"  # of a whole coefficient, 1 if not said, and a figure
_TERM = re.compile(rf"([+-]?)\s*{_PRODUCT}")
_EQUATION = re.compile(rf"\s*{_PRODUCT}(\s*[+-]\s*{_PRODUCT})*\s*")
_HEAD = {"schema": int, "name": str, "title": str, "cpu": str, "hz": int, "unit": str, "register_bytes": int,
         "conditions": dict}  # fmt: skip
_OPTIONS = {"base": str, "relative_to": str}
_CONDITIONS = {"caches": str, "bytes": int, "fast_path": bool, "kpti": str, "note": str}
_CACHES = ("hot", "cold")
_KPTI = ("off", "on", "none", "unknown")
_FIGURE = {"value", "low", "high", "worst", "unit", "equation", "certainty", "source", "note"}
_OPPOSITE = {"low": "high", "value": "value", "high": "low"}


def parse(text: str, lookup: Lookup, *, filename: str = "<profile>") -> Profile:
    """Return the profile written in `text`. Raises GraftError as `library.load` does."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise bad("G0831", f"not TOML: {error}", filename) from None
    head = _Head(data, filename)
    reference = lookup(head.relative_to) if head.relative_to else None
    return _Reader(head, gather(data, filename), reference).profile()


class _Head:
    """The head of one file, checked."""

    def __init__(self, data: dict[str, Any], filename: str) -> None:
        self.data, self.filename = data, filename
        self.only(data, {*_HEAD, *_OPTIONS, *TABLES}, "the file")
        if data.get("schema") != SCHEMA:
            raise self.bad("G0831", f"`schema` is {data.get('schema')!r}, this version reads {SCHEMA}")
        for key, kind in (_HEAD | {key: kind for key, kind in _OPTIONS.items() if key in data}).items():
            if not isinstance(data.get(key), kind):
                raise self.bad("G0831", f"`{key}` is missing or of another type")
        if data["hz"] <= 0 or data["register_bytes"] < 0:
            raise self.bad("G0832", "`hz` and `register_bytes` cannot be negative")
        self.hz: int = data["hz"]
        self.cpu: str = data["cpu"]
        self.relative_to: str = data.get("relative_to", "")
        self.conditions = self._conditions(data["conditions"])

    def _conditions(self, table: dict[str, Any]) -> Conditions:
        self.only(table, set(_CONDITIONS), "[conditions]")
        for key, kind in _CONDITIONS.items():
            if not isinstance(table.get(key, "" if key == "note" else None), kind):
                raise self.bad("G0831", f"`{key}` of [conditions] is missing or of another type")
        if table["caches"] not in _CACHES or table["kpti"] not in _KPTI or table["bytes"] < 0:
            raise self.bad("G0831", f"[conditions]: caches {' or '.join(_CACHES)}, kpti {', '.join(_KPTI)}, bytes >= 0")
        return Conditions(**table)

    def bad(self, code: str, message: str) -> GraftError:
        return bad(code, message, self.filename)

    def only(self, table: Mapping[str, Any], known: set[str], where: str) -> None:
        unknown = sorted(set(table) - known)
        if unknown:
            raise self.bad("G0831", f"{where} has a key `{unknown[0]}`, which has no meaning")


class _Reader:
    """Turns gathered figures into a Profile. Its steps, in order: names, figures, equations, sums."""

    def __init__(self, head: _Head, gathered: Gathered, reference: Profile | None) -> None:
        self.head, self.gathered, self.reference = head, gathered, reference
        self.bad = head.bad
        self.kinds, self.sources = gathered.kinds, gathered.sources
        self.figures = {name: spec for table in self.kinds.values() for name, spec in table.items()}
        self.sums: dict[str, Sum] = {}
        priced = [p.name for p in prices.PRIMITIVES if p.name not in prices.UNIT_PRICED]
        head.only(self.kinds["primitives"], set(priced), "[primitives]")
        missing = [name for name in priced if name not in self.kinds["primitives"]]
        if missing:
            raise self.bad("G0833", f"no price for {', '.join(missing)}")
        twice = [name for name in self.kinds["parts"] if name in self.kinds["composites"] | self.kinds["primitives"]]
        if twice:
            raise self.bad("G0832", f"`{twice[0]}` is given twice, as a part and as another figure")
        if reference is not None and reference.cpu != head.cpu:
            raise self.bad("G0836", f"it is relative to {reference.name}, which is of {reference.cpu!r}")

    def profile(self) -> Profile:
        for name, spec in self.figures.items():
            self._check_figure(name, spec)
        self._check_sizes()
        composites, parts, primitives = (
            {name: self._figure(name, spec) for name, spec in self.kinds[kind].items()}
            for kind in ("composites", "parts", "primitives")
        )
        for name, figure in composites.items():
            self._check_sum(name, figure)
        data = self.head.data
        return Profile(
            **{key: data[key] for key in ("name", "title", "cpu", "hz", "register_bytes", "unit")},
            conditions=self.head.conditions,
            bases=self.gathered.bases,
            relative_to=self.head.relative_to,
            composites=composites,
            parts=parts,
            primitives=primitives,
            sources={name: source["text"] for name, source in self.sources.items()},
            sizes={
                name: sizes.size_of(name, self.gathered.sizes[name], self.gathered.origin.get(name, ""))
                for name in sizes.NAMES
            },
            digest=self._digest(),
            uncertain={name: self._ends(name) for name in self.figures if self._is_interval(name)},
        )

    def _digest(self) -> str:
        """Return the SHA-256 of all that the figures rest on: head, figures, sources and, if relative, the other's."""
        head = {key: value for key, value in self.head.data.items() if key not in TABLES}
        data = [head, self.kinds, self.gathered.sizes, self.sources, self.reference.digest if self.reference else ""]
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()

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
        return self._ps(name, end)

    def _is_interval(self, name: str) -> bool:
        return "value" in self.figures[name] and self._given(name, "low") != self._given(name, "high")

    def _ends(self, name: str) -> Ends:
        """Return how a given figure moves the primitives."""

        def change(end: str) -> dict[int, int]:
            by = self._given(name, end) - self._given(name, "value")
            rows = {prices.INDEX[p]: self._sum(p).get(name, 0) * by for p in self.kinds["primitives"]}
            return {row: ps for row, ps in rows.items() if ps}

        return Ends(change("low"), change("high"))

    def _check_figure(self, name: str, spec: Any) -> None:
        if not isinstance(spec, dict):
            raise self.bad("G0832", f"`{name}` is not a table")
        self.head.only(spec, _FIGURE, f"`{name}`")
        self._check_origin(name, spec)
        given = [key for key in ("value", "low", "high", "worst") if key in spec]
        if any(not isinstance(spec[key], int | float) or spec[key] < 0 for key in given):
            raise self.bad("G0832", f"`{name}` must be a number that is not negative")
        if name not in self.kinds["composites"] and ("value" in spec) == ("equation" in spec):
            raise self.bad("G0832", f"`{name}` needs either a `value` or an `equation`")
        if name in self.kinds["composites"] and not {"value", "equation"} <= set(spec):
            raise self.bad("G0832", f"the composite `{name}` needs a `value` and an `equation`")
        ordered = [spec[key] for key in ("low", "value", "high", "worst") if key in spec]
        if ordered != sorted(ordered):
            raise self.bad("G0832", f"`{name}` must satisfy low <= value <= high <= worst")

    def _check_origin(self, name: str, spec: Mapping[str, Any]) -> None:
        certainty, source = spec.get("certainty"), spec.get("source", "")
        if certainty not in {c.value for c in Certainty}:
            raise self.bad("G0832", f"`{name}` needs a `certainty`: {', '.join(c.value for c in Certainty)}")
        if certainty in ("measured", "published") and not source:
            raise self.bad("G0832", f"`{name}` is {certainty}, but its `source` is not named")
        if source and source not in self.sources:
            raise self.bad("G0832", f"`{name}` names a source `{source}` that [sources] does not have")
        if source and self.sources[source].get("cpu") != self.head.cpu:
            raise self.bad("G0836", f"`{name}` was measured on {self.sources[source].get('cpu')!r}")

    def _check_sizes(self) -> None:
        self.head.only(self.gathered.sizes, set(sizes.NAMES), "[sizes]")
        for name in sizes.NAMES:
            spec = self.gathered.sizes.get(name)
            if not isinstance(spec, dict) or not isinstance(spec.get("value"), int) or spec["value"] < 1:
                raise self.bad("G0832", f"the size `{name}` must be a whole number of bytes, at least 1")
            self.head.only(spec, set(sizes.KEYS), f"`{name}`")
            self._check_origin(name, spec)
        if self.gathered.sizes["cache"]["value"] % self.gathered.sizes["line"]["value"]:
            raise self.bad("G0832", "the size `cache` must be a multiple of `line`")

    def _ps(self, name: str, end: str) -> int:
        """Convert one end of a given figure to whole picoseconds, halves to even; without such an end its value."""
        spec = self.figures[name]
        exact = Fraction(str(spec.get(end, spec["value"])))
        match spec["unit"]:
            case "cycles":
                return round(exact * PS_PER_SECOND / self.head.hz)
            case "ns":
                return round(exact * 1000)
            case "times":
                return round(exact * self._referred(name, end))
            case other:
                raise self.bad("G0832", f"`{other}` is no unit; there are cycles, ns and times (with `relative_to`)")

    def _referred(self, name: str, end: str) -> int:
        """Return the figure of this name in the profile that this one is relative to, ps."""
        known = {**self.reference.composites, **self.reference.primitives} if self.reference else {}
        if name not in known:
            raise self.bad("G0838", f"`{name}` is a multiple of nothing: `relative_to` names no profile that has it")
        figure = known[name]
        return {"low": figure.low, "value": figure.value, "high": figure.high, "worst": figure.worst}[end]

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
            worst=self._ps(name, "worst") if "worst" in spec else high,
            certainty=Certainty(spec["certainty"]),
            source=spec.get("source", ""),
            note=spec.get("note", ""),
            equation=self.equation(name, spec["equation"]) if derived or name in self.kinds["composites"] else None,
            base=self.gathered.origin.get(name, ""),
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
