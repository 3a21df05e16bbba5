"""The picture of a comparison: latency and speed-up over the chain, every mechanism, a column for each table.

matplotlib is an extra (`pip install 'grafting[plot]'`) and is imported when a picture is drawn. The format follows
from the file's name; SVG files carry no date and no random identifiers, so the same comparison gives the same bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from grafting.diagnostics import fail
from kernel_model.results.comparison import BASELINE, SUBJECT, Comparison, Group
from kernel_model.results.outcome import PS_PER_US

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's palette tells its colours apart in every form of colour vision; the subject has the strongest one.
_STYLES: Final[dict[str, dict[str, Any]]] = {
    "call": {"color": "#666666", "marker": "s"},
    "async": {"color": "#56b4e9", "marker": "^"},
    "server": {"color": "#009e73", "marker": "D"},
    "graft": {"color": "#d55e00", "marker": "o", "linewidth": 2.4, "zorder": 5},
}
_OTHER: Final[dict[str, Any]] = {"color": "#cc79a7", "marker": "v"}


def require(path: Path) -> None:
    """Make sure that a picture can be drawn into `path`, before the work that it will show.

    Raises GraftError G0850 if matplotlib is not installed, G0851 for an ending that it cannot write.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise fail("G0850", "plots need matplotlib", helps=("pip install 'grafting[plot]'",)) from error
    known = Figure().canvas.get_supported_filetypes()
    if path.suffix.removeprefix(".") not in known:
        raise fail("G0851", f"no picture can be written as `{path.name}`", helps=(f"use one of {', '.join(known)}",))


def draw(comparison: Comparison, path: Path) -> None:
    """Draw the comparison into `path`, whose ending chooses the format (svg, png, pdf).

    Raises as `require` does; OSError if the file cannot be written.
    """
    require(path)
    import matplotlib as mpl
    from matplotlib.figure import Figure

    tables = list(comparison.tables())
    with mpl.rc_context({"svg.hashsalt": "grafting", "font.size": 9, "axes.titlesize": 9}):
        figure = Figure(figsize=(max(3.3 * len(tables), 5), 5.6), layout="constrained")
        axes = figure.subplots(2, len(tables), squeeze=False, sharex=True)
        for column, table in enumerate(tables):
            _latency(axes[0][column], comparison.mechanisms, table.groups)
            _speed_up(axes[1][column], comparison.mechanisms, table.groups)
            axes[0][column].set_title(f"{table.point.profile}\n{table.point.topology}")
            axes[1][column].set_xlabel("requests in a chain")
        axes[0][0].set_ylabel("median latency, us")
        axes[1][0].set_ylabel(f"speed-up over `{BASELINE}`")
        handles, labels = axes[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _latency(axes: Axes, mechanisms: tuple[str, ...], groups: tuple[Group, ...]) -> None:
    for mechanism in mechanisms:
        points = [(g.hops, m) for g in groups if (m := g.of(mechanism))]
        hops = [length for length, _ in points]
        style = _STYLES.get(mechanism, _OTHER)
        axes.plot(hops, [m.summary.p50 / PS_PER_US for _, m in points], label=mechanism, markersize=4, **style)
        bands = [(length, m.band[0] / PS_PER_US, m.band[1] / PS_PER_US) for length, m in points if m.band]
        _shade(axes, style, bands)
    axes.set_ylim(bottom=0)
    _tidy(axes)


def _speed_up(axes: Axes, mechanisms: tuple[str, ...], groups: tuple[Group, ...]) -> None:
    for mechanism in mechanisms:
        points = [(g.hops, s) for g in groups if (s := g.speed_up(mechanism)) is not None]
        style = _STYLES.get(mechanism, _OTHER)
        axes.plot([d for d, _ in points], [s for _, s in points], markersize=4, **style)
        _shade(axes, style, [(g.hops, *band) for g in groups if (band := g.speed_up_band(mechanism))])
    last = [(g.hops, s) for g in groups if (s := g.speed_up(SUBJECT)) is not None][-1:]
    for length, speed_up in last:
        axes.annotate(f"{speed_up:.2f} x", (length, speed_up), textcoords="offset points", xytext=(-4, 7), ha="right")
    axes.set_ylim(bottom=0)
    _tidy(axes)


def _shade(axes: Axes, style: dict[str, Any], bands: list[tuple[int, float, float]]) -> None:
    """Shade from the least to the greatest of each (length, least, greatest)."""
    if bands:
        hops, low, high = zip(*bands, strict=True)
        axes.fill_between(hops, low, high, color=style["color"], alpha=0.14, linewidth=0)


def _tidy(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.grid(visible=True, color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
