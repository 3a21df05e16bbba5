"""A profile as text: every figure with its interval, its certainty, and where it comes from.

    call              718 cycles   211.2 ns               published  sel4bench  = entry + dispatch_call + switch + exit
    switch            186 cycles    54.7 ns  54.7..84.1   published  skybridge  the CR3 write; above it thread state
    timer_arm         200 cycles    58.8 ns  23.5..117.6  assumed    common

`base` names the file that a figure was taken from, if not the profile's own: "(common)".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from kernel_model.core import prices
from kernel_model.costs import library
from kernel_model.costs.profile import Certainty, Figure, Profile
from kernel_model.costs.sizes import Size

PS_PER_NS = 1000
PS_PER_SECOND = 10**12


def overview(names: Sequence[str]) -> str:
    """Return a line for each of these profiles: name, title, how many of its prices are not merely assumed."""
    profiles = [library.load(name) for name in names]
    rows = [(p.name, p.title, _known(p), p.short_digest) for p in profiles]
    return _aligned([("profile", "what it prices", "prices known", "sha256"), *rows])


def _known(profile: Profile) -> str:
    known = sum(figure.certainty is not Certainty.ASSUMED for figure in profile.primitives.values())
    return f"{known} of {len(profile.primitives)}"


def show(profile: Profile) -> str:
    """Return all of a profile, as lines of text."""
    return "\n".join(_lines(profile))


def _lines(profile: Profile) -> Iterator[str]:
    yield f"{profile.name}: {profile.title}"
    yield f"  {profile.cpu}, {profile.hz / 1e9:g} GHz; {profile.conditions}"
    yield f"  messages of up to {profile.register_bytes} bytes travel in registers"
    if profile.bases:
        yield f"  gaps filled from {', '.join(profile.bases)}"
    if profile.relative_to:
        yield f"  figures in `times` are multiples of those of {profile.relative_to}"
    yield f"  sha256 {profile.digest}"
    for title, figures in _sections(profile):
        if figures:
            yield f"\n{title}"
            yield _aligned([_row(profile, figure) for figure in figures.values()])
    yield "\nsizes, bytes: a core's own cache, its lines, a process's working set"
    yield _aligned([_size(size) for size in profile.sizes.values()])
    yield "\nsources"
    yield from (f"  {name}: {text}" for name, text in profile.sources.items())


def _sections(profile: Profile) -> Iterator[tuple[str, Mapping[str, Figure]]]:
    ordered = dict(sorted(profile.primitives.items(), key=lambda item: prices.INDEX[item[0]]))
    instructions = {n: f for n, f in ordered.items() if prices.INDEX[n] >= prices.INTERPRETED}
    yield "composites: measured wholes, each the sum of its parts", profile.composites
    yield "parts: named by equations, never charged", profile.parts
    operations = {n: f for n, f in ordered.items() if n not in instructions}
    yield "primitives: what the model charges", operations
    yield "instructions, by engine and class", instructions


def _row(profile: Profile, figure: Figure) -> tuple[str, ...]:
    interval = f"{_ns(figure.low)}..{_ns(figure.high)}" if figure.low != figure.high else ""
    worst = f"worst {_ns(figure.worst)}" if figure.worst > figure.high else ""
    where = " ".join([*([figure.source] if figure.source else []), *([f"({figure.base})"] if figure.base else [])])
    cycles = _cycles(figure.value * profile.hz / PS_PER_SECOND) if profile.unit == "cycles" else ""
    meaning = [*([f"= {figure.equation}"] if figure.equation else []), *([figure.note] if figure.note else [])]
    value = f"{_ns(figure.value)} ns"
    return "", figure.name, cycles, value, interval, worst, figure.certainty.value, where, "; ".join(meaning)


def _size(size: Size) -> tuple[str, ...]:
    where = " ".join([*([size.source] if size.source else []), *([f"({size.base})"] if size.base else [])])
    return "", size.name, f"{size.value}", size.certainty, where, size.note


def _cycles(count: float) -> str:
    return f"{count:.3g} cycles" if count < 100 else f"{count:.0f} cycles"


def _ns(ps: int) -> str:
    return f"{ps / PS_PER_NS:.4g}" if ps < 10_000 * PS_PER_NS else f"{ps / PS_PER_NS:.0f}"


def _aligned(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    used = [number for number, width in enumerate(widths) if width or number == 0]
    return "\n".join("  ".join(row[number].ljust(widths[number]) for number in used).rstrip() for row in rows)


def as_dict(profile: Profile) -> dict[str, Any]:
    """Return a profile as JSON data; times in picoseconds."""
    kinds = {"composites": profile.composites, "parts": profile.parts, "primitives": profile.primitives}
    return {
        "name": profile.name,
        "title": profile.title,
        "cpu": profile.cpu,
        "hz": profile.hz,
        "conditions": str(profile.conditions),
        "register_bytes": profile.register_bytes,
        "bases": list(profile.bases),
        "relative_to": profile.relative_to,
        "sha256": profile.digest,
        "sizes": {name: asdict(size) for name, size in profile.sizes.items()},
        "sources": dict(profile.sources),
        **{kind: {name: _figure(figure) for name, figure in table.items()} for kind, table in kinds.items()},
    }


def _figure(figure: Figure) -> dict[str, Any]:
    return {
        "ps": figure.value,
        "low_ps": figure.low,
        "high_ps": figure.high,
        "worst_ps": figure.worst,
        "certainty": figure.certainty.value,
        "source": figure.source,
        "base": figure.base,
        "equation": str(figure.equation) if figure.equation else "",
        "note": figure.note,
    }
