"""Pictures as files and as parts of a page.

matplotlib is an extra (`pip install 'grafting[plot]'`) and is imported when a picture is drawn. The format of a file
follows from its name; SVG carries no date and no random identifiers, so the same comparison gives the same bytes. In a
page a picture has no background and takes ink and grid from the page's theme.
"""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from grafting.diagnostics import fail
from kernel_model.results import figures
from kernel_model.results.comparison import Comparison

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLE: Final[dict[str, Any]] = {
    "font.size": 9, "axes.titlesize": 9, "axes.edgecolor": figures.INK, "axes.labelcolor": figures.INK,
    "text.color": figures.INK, "xtick.color": figures.INK, "ytick.color": figures.INK,
}  # fmt: skip


def require(path: Path) -> None:
    """Make sure that a picture can be drawn into `path`, before the work that it will show.

    Raises GraftError G0850 if matplotlib is not installed, G0851 for an ending that it cannot write.
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    known = Figure().canvas.get_supported_filetypes()
    if path.suffix.removeprefix(".") not in known:
        raise fail("G0851", f"no picture can be written as `{path.name}`", helps=(f"use one of {', '.join(known)}",))


def require_matplotlib() -> None:
    """Raise GraftError G0850 if matplotlib is not installed."""
    try:
        import matplotlib.figure  # noqa: F401
    except ModuleNotFoundError as error:
        raise fail("G0850", "plots need matplotlib", helps=("pip install 'grafting[plot]'",)) from error


def draw(comparison: Comparison, path: Path, kind: str = "chain") -> None:
    """Draw one of `figures.KINDS` into `path`, whose ending chooses the format (svg, png, pdf).

    Raises as `require` does, GraftError G0867 if the comparison has nothing to show in it; OSError if the file cannot
    be written.
    """
    require(path)
    import matplotlib as mpl

    with mpl.rc_context(_STYLE | {"svg.hashsalt": "grafting"}):
        figure = figures.figure_of(kind, comparison)
        if figure is None:
            raise fail("G0867", f"there is nothing to draw as `{kind}`", helps=(_WANTED[kind],))
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=150)


_WANTED: Final = {
    "chain": "compare a workload that has hops",
    "map": "compare at least two mechanisms with one client on one core, with some work for each request",
    "accounts": "compare at least one mechanism that can express the workload",
    "load": "compare several loads: --load 20k..100k+20k",
}
"""What each kind needs."""


def inline(comparison: Comparison, kind: str) -> str | None:
    """Return a picture as an SVG element for a page, None if the comparison has nothing to show in it."""
    import matplotlib as mpl

    with mpl.rc_context(_STYLE | {"svg.hashsalt": f"grafting-{kind}", "svg.fonttype": "none"}):
        figure = figures.figure_of(kind, comparison)
        return None if figure is None else _themed(figure)


def _themed(figure: Figure) -> str:
    out = io.StringIO()
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None}, dpi=150)
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(
        r'(<svg[^>]*?) width="[^"]*"', r"\1", re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1), count=1
    )
    return text.replace(figures.INK, "currentColor").replace(figures.GRID, "var(--line)")
