"""The four pictures of a comparison, each drawn on matplotlib figures of its own.

    chain      latency and speed-up over the length of the chain, every mechanism, a column for each table
    map        who wins over the price of IPC and the work per request (`breakeven`), and by how much the graft leads
    accounts   where the time of an operation goes, stacked by category, a bar for each mechanism
    load       latency (median and 99th percentile) against the offered load of an open loop

Nothing is run for a picture. What cannot be drawn from a comparison (a map of several cores, a load that was not
varied) gives no figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, Final

from kernel_model.core.prices import CATEGORIES
from kernel_model.experiments.point import Point
from kernel_model.experiments.preparation import profile_of
from kernel_model.results.breakeven import Map, map_of
from kernel_model.results.comparison import BASELINE, SUBJECT, Comparison, Group, Row, Table
from kernel_model.results.outcome import PS_PER_US
from kernel_model.results.words import BUSY, NS_PER_US

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KINDS = ("chain", "map", "accounts", "load")

# Okabe and Ito's palette and Tol's muted one tell their colours apart in every form of colour vision; the subject has
# the strongest one, and a family's variant is dashed.
_COLOURS: Final[dict[str, str]] = {
    "call": "#777777", "async": "#56b4e9", "rings": "#0072b2", "direct": "#44aa99", "linked": "#b8a100",
    "pipelined-kernel": "#cc79a7", "pipelined-server": "#aa4499", "routed": "#999933", "server": "#009e73",
    "hosted": "#882255", "graft": "#d55e00",
}  # fmt: skip
_MARKERS: Final[dict[str, str]] = {
    "call": "s", "async": "^", "rings": "v", "direct": "<", "linked": ">", "pipelined-kernel": "p",
    "pipelined-server": "h", "routed": "P", "server": "D", "hosted": "X", "graft": "o",
}  # fmt: skip
_SHADES: Final[dict[str, str]] = dict(
    zip(CATEGORIES, ("#56b4e9", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#882255", "#777777", "#b8a100",
                     "#332288", "#dddddd"), strict=True)
)  # fmt: skip
INK, GRID = "#1a1a1b", "#d0d0d1"  # a page replaces these by the colours of its theme
ABREAST = 4  # panels side by side; more would be too small to read on a page
MAP_SIZE = 120  # cells along each axis


def style(mechanism: str) -> dict[str, Any]:
    """Return how a mechanism's line is drawn."""
    family, _, variant = mechanism.partition("/")
    drawn: dict[str, Any] = {"color": _COLOURS.get(family, "#000000"), "marker": _MARKERS.get(family, "."),
                             "markersize": 4, "linestyle": "--" if variant else "-", "linewidth": 1.2}  # fmt: skip
    return drawn | ({"linewidth": 2.4, "zorder": 5} if mechanism == SUBJECT else {})


def figure_of(kind: str, comparison: Comparison) -> Figure | None:
    """Return one of the pictures, None if the comparison has nothing to show in it."""
    match kind:
        case "chain":
            return chain(comparison)
        case "map":
            return break_even(comparison)
        case "accounts":
            return accounts(comparison)
        case _:
            return load(comparison)


def _panels(count: int, width: float, height: float, *, parts: int = 1) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure and `count` panels, side by side up to `ABREAST`; each has `parts` axes above one another."""
    from matplotlib.figure import Figure

    columns = min(count, ABREAST)
    bands = -(-count // ABREAST)
    figure = Figure(figsize=(max(width * columns, 6.4), height * parts * bands), layout="constrained")
    axes = figure.subplots(parts * bands, columns, squeeze=False)
    panels = [[axes[band * parts + part][column] for part in range(parts)]
              for band in range(bands) for column in range(columns)]  # fmt: skip
    for unused in panels[count:]:
        for each in unused:
            each.set_axis_off()
    return figure, panels[:count]


def _tidy(axes: Axes, title: str = "") -> None:
    axes.grid(visible=True, color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if title:
        axes.set_title(title)


def _legend(figure: Figure, axes: Sequence[Axes], columns: int) -> None:
    """Put one legend above a figure: every label once, in the order of first use."""
    found: dict[str, Any] = {}
    for each in axes:
        for handle, label in zip(*each.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    figure.legend(list(found.values()), list(found), loc="outside upper center", ncols=columns, frameon=False)


def _titles(points: Sequence[Point]) -> list[str]:
    """Return a title for each panel: profile, topology, the length of the chain, and whatever else tells them apart."""
    differing = [field.name for field in fields(Point) if len({getattr(point, field.name) for point in points}) > 1]
    told = [name for name in differing if name not in _ALWAYS_TOLD]
    return ["\n".join([point.profile, point.place_and_length, *(f"{name} {getattr(point, name)}" for name in told)])
            for point in points]  # fmt: skip


_ALWAYS_TOLD: Final = frozenset({"profile", "servers", "serving", "place", "cores", "hops"})


# --- 1: latency and speed-up over the chain ---------------------------------------------------------------------------


def chain(comparison: Comparison) -> Figure | None:
    """Draw latency and speed-up over the length of the chain."""
    from matplotlib.ticker import MaxNLocator

    tables = [table for table in comparison.tables() if table.groups[0].hops]
    if not tables:
        return None
    figure, panels = _panels(len(tables), 3.3, 2.9, parts=2)
    titles = _titles([replace(table.point, hops=None) for table in tables])
    for (upper, lower), table, title in zip(panels, tables, titles, strict=True):
        _latency(upper, comparison.mechanisms, table.groups)
        _speed_up(lower, comparison.mechanisms, table.groups)
        _tidy(upper, title)
        _tidy(lower)
        lower.sharex(upper)
        upper.tick_params(labelbottom=False)
        lower.set_xlabel("requests in a chain")
        lower.xaxis.set_major_locator(MaxNLocator(integer=True))
    for upper, lower in panels[::ABREAST]:
        upper.set_ylabel("median latency, us")
        lower.set_ylabel(f"speed-up over `{BASELINE}`")
    _legend(figure, [upper for upper, _ in panels], 7)
    return figure


def _latency(axes: Axes, mechanisms: Sequence[str], groups: Sequence[Group]) -> None:
    for mechanism in mechanisms:
        points = [(group.hops, outcome) for group in groups if (outcome := group.of(mechanism))]
        if points:
            axes.plot([hops for hops, _ in points], [outcome.summary.p50 / PS_PER_US for _, outcome in points],
                      label=mechanism, **style(mechanism))  # fmt: skip
        bands = [(hops, o.band[0] / PS_PER_US, o.band[1] / PS_PER_US) for hops, o in points if o.band]
        if mechanism in (BASELINE, SUBJECT):
            _shade(axes, mechanism, bands)
    axes.set_ylim(bottom=0)


def _speed_up(axes: Axes, mechanisms: Sequence[str], groups: Sequence[Group]) -> None:
    for mechanism in mechanisms:
        points = [(group.hops, s) for group in groups if (s := group.speed_up(mechanism)) is not None]
        if points:
            axes.plot([hops for hops, _ in points], [s for _, s in points], **style(mechanism))
    _shade(axes, SUBJECT, [(group.hops, *band) for group in groups if (band := group.speed_up_band(SUBJECT))])
    last = [(group.hops, s) for group in groups if (s := group.speed_up(SUBJECT)) is not None][-1:]
    for hops, speed_up in last:
        axes.annotate(f"{speed_up:.2f} x", (hops, speed_up), textcoords="offset points", xytext=(-4, 7), ha="right",
                      color=_COLOURS[SUBJECT])  # fmt: skip
    axes.set_ylim(bottom=0)


def _shade(axes: Axes, mechanism: str, bands: Sequence[tuple[int, float, float]]) -> None:
    """Shade from the least to the greatest of each (hops, least, greatest)."""
    if bands:
        hops, low, high = zip(*bands, strict=True)
        axes.fill_between(hops, low, high, color=style(mechanism)["color"], alpha=0.14, linewidth=0)


# --- 2: the break-even map --------------------------------------------------------------------------------------------


def break_even(comparison: Comparison) -> Figure | None:
    """Draw who wins over the price of IPC and the work per request, for the longest chain of each table."""
    maps = [found for table in comparison.tables() if (found := _map(table))]
    if not maps:
        return None
    figure, panels = _panels(len(maps), 3.9, 4.2)
    titles = _titles([found.group.point for found in maps])
    shown: list[str] = []
    for [axes], found, title in zip(panels, maps, titles, strict=True):
        shown += _draw_map(axes, found, title)
    for [axes] in panels[::ABREAST]:
        axes.set_ylabel("a server's work for a request, ns")
    from matplotlib.patches import Patch

    names = [name for name in comparison.mechanisms if name in shown]
    patches = [Patch(color=style(name)["color"], label=name, alpha=0.75) for name in names]
    figure.legend(handles=patches, loc="outside upper center", ncols=6, frameon=False)
    return figure


def _map(table: Table) -> Map | None:
    group = table.groups[-1]
    return map_of(group, profile_of(group.point.profile))


def _draw_map(axes: Axes, found: Map, title: str) -> list[str]:
    """Draw one map and return the mechanisms that win somewhere in it."""
    import numpy as np
    from matplotlib.colors import ListedColormap

    factors, works = np.logspace(-1, 2, MAP_SIZE), np.logspace(1, 6, MAP_SIZE)
    names = list(found.lines)
    times = np.array([
        line.ipc * factors[None, :] + line.other + line.requests * works[:, None] for line in found.lines.values()
    ])  # fmt: skip
    best = times.argmin(axis=0)
    colours = ListedColormap([style(name)["color"] for name in names])
    trips = factors * found.round_trip_ns
    axes.pcolormesh(trips, works, best, cmap=colours, vmin=-0.5, vmax=len(names) - 0.5, alpha=0.75, rasterized=True)
    if SUBJECT in names and len(names) > 1:
        graft = names.index(SUBJECT)
        lead = np.delete(times, graft, axis=0).min(axis=0) / times[graft]
        lines = axes.contour(trips, works, lead, levels=[0.5, 0.8, 1.0, 1.25, 2.0, 4.0], colors=INK, linewidths=0.8)
        axes.clabel(lines, fmt="%g x", fontsize=7, inline_spacing=1)
        if BASELINE in names:
            even = times[names.index(BASELINE)] / times[graft]
            axes.contour(trips, works, even, levels=[1.0], colors=INK, linewidths=1.4, linestyles="dotted")
    point = found.group.point
    assert point.work_ns
    axes.plot([found.round_trip_ns], [point.work_ns], marker="*", markersize=11, color=INK, markerfacecolor="white")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("round trip of an empty call, ns")
    axes.set_title(f"{title}\nstar: as measured; lines: best rival's time / graft's;\ndotted: call = graft")
    return [names[number] for number in np.unique(best)]


# --- 3: where the time goes -------------------------------------------------------------------------------------------


def accounts(comparison: Comparison) -> Figure | None:
    """Draw the time charged per operation, stacked by category, for the longest chain of each table."""
    groups = [table.groups[-1] for table in comparison.tables()]
    columns = [(group, [row for row in group.rows if row.outcome]) for group in groups]
    if not any(rows for _, rows in columns):
        return None
    figure, panels = _panels(len(columns), 3.6, 3.8)
    titles = _titles([group.point for group, _ in columns])
    for [axes], (_, rows), title in zip(panels, columns, titles, strict=True):
        _stack(axes, rows)
        _tidy(axes, title)
    for [axes] in panels[::ABREAST]:
        axes.set_ylabel("charged per operation, us")
    _legend(figure, [axes for [axes] in panels], 9)
    return figure


def _stack(axes: Axes, rows: Sequence[Row]) -> None:
    names = [row.mechanism for row in rows]
    floor = [0.0] * len(rows)
    for category in BUSY:
        heights = [row.outcome.ns(category=category) / NS_PER_US if row.outcome else 0.0 for row in rows]
        if any(heights):
            axes.bar(range(len(rows)), heights, bottom=floor, color=_SHADES[category], label=category, width=0.72)
        floor = [low + height for low, height in zip(floor, heights, strict=True)]
    axes.set_xticks(range(len(rows)), names, rotation=55, ha="right", rotation_mode="anchor")


# --- 4: latency against offered load ----------------------------------------------------------------------------------


def load(comparison: Comparison) -> Figure | None:
    """Draw latency against offered load: medians, and 99th percentiles dotted, for points that differ in it."""
    curves: dict[Point, list[Row]] = {}
    for row in comparison.rows:
        if row.point.load is not None and row.outcome:
            curves.setdefault(replace(row.point, load=None), []).append(row)
    curves = {point: rows for point, rows in curves.items() if len(rows) > 1}
    if not curves:
        return None
    places = list(dict.fromkeys(replace(point, mechanism=BASELINE) for point in curves))
    figure, panels = _panels(len(places), 3.6, 3.8)
    for point, rows in curves.items():
        _curve(panels[places.index(replace(point, mechanism=BASELINE))][0], point.mechanism, rows)
    for [axes], title in zip(panels, _titles(places), strict=True):
        axes.set_yscale("log")
        axes.set_xlabel("offered load, thousand operations/s")
        _tidy(axes, title)
    for [axes] in panels[::ABREAST]:
        axes.set_ylabel("latency from the intended time, us\n(median; dotted: 99 %)")
    _legend(figure, [axes for [axes] in panels], 6)
    return figure


def _curve(axes: Axes, mechanism: str, rows: Sequence[Row]) -> None:
    measured = sorted((row.point.load or 0.0, row.outcome.summary) for row in rows if row.outcome)
    loads = [load / 1e3 for load, _ in measured]
    axes.plot(loads, [summary.p50 / PS_PER_US for _, summary in measured], label=mechanism, **style(mechanism))
    tail = style(mechanism) | {"linestyle": ":", "marker": "", "linewidth": 1.0}
    axes.plot(loads, [summary.p99 / PS_PER_US for _, summary in measured], **tail)
