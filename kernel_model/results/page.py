"""A comparison as one page: tables, pictures, the command that reproduces it, and the data to take away.

The page is a single file that asks nothing of any other: style and pictures are inside it, there is no script, and the
data are links that hold their own content. It follows the reader's theme, light or dark, and fits a narrow screen: wide
tables scroll in their own frame. The tables are those of the terminal, turned from rich renderables into HTML, so page
and terminal cannot differ.
"""

from __future__ import annotations

import base64
import html
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from rich.console import RenderableType
from rich.table import Table as Grid
from rich.text import Text

from kernel_model.experiments.point import Point
from kernel_model.results import plot
from kernel_model.results.comparison import Comparison

CAPTIONS = {
    "chain": "Latency and speed-up over the length of the chain. Shaded: all that the uncertain figures of the profile "
    "allow.",
    "map": "Who wins, over the price of IPC and the work of a server for each request. The star is where this "
    "comparison was run; lines say how many times longer the best rival takes than the graft; on the dotted one the "
    "graft takes as long as the round trip.",
    "accounts": "Where the time of an operation goes, all accounts together.",
    "load": "Latency against offered load, from the time at which each operation was meant to begin.",
}

STYLE = """
:root { color-scheme: light dark; --ground: #fcfcfb; --ink: #1a1a1b; --soft: #62625f; --line: #d9d9d6; --strip: #f2f2ef;
  --good: #00734d; --bad: #b3261e; --doubt: #8a6100; }
@media (prefers-color-scheme: dark) { :root { --ground: #16171a; --ink: #e8e8e6; --soft: #a0a09c; --line: #37383c;
  --strip: #1f2024; --good: #4cc38a; --bad: #ff8a80; --doubt: #e6b450; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 84rem; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; } h2 { font-size: 1.15rem; margin: 2.5rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.8rem 0 .2rem; max-width: 72ch; }
p { max-width: 72ch; margin: .3rem 0; } .soft { color: var(--soft); }
pre { overflow-x: auto; background: var(--strip); padding: .6rem .8rem; border-radius: 6px; font-size: 13px; }
.frame { overflow-x: auto; margin: .6rem 0 1rem; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; white-space: nowrap; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
th { text-align: right; font-weight: 600; color: var(--soft); border-bottom: 1px solid var(--line); }
th, td { padding: .16rem .7rem .16rem 0; } td { text-align: right; } .left { text-align: left; }
tr.gap td { height: .6rem; } tr.bold { font-weight: 650; background: var(--strip); }
.green { color: var(--good); } .red { color: var(--bad); } .yellow { color: var(--doubt); } .bold { font-weight: 650; }
.dim { color: var(--soft); }
figure { margin: 1rem 0 2rem; } figure svg { max-width: 100%; height: auto; display: block; }
figure svg text { font-family: system-ui, sans-serif !important; } figcaption { color: var(--soft); max-width: 72ch; }
a { color: inherit; }
"""


def page(
    comparison: Comparison, sections: Iterable[tuple[str, Sequence[RenderableType]]], command: Sequence[str]
) -> str:
    """Return the page: `sections` are (heading, what the terminal would show), `command` the words that were typed.

    The pictures follow the first section.

    Raises GraftError G0850 if matplotlib is not installed.
    """
    plot.require_matplotlib()
    title = f"{comparison.rows[0].point.workload}: a graft and its rivals"
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        '<p class="soft">Made by</p>',
        f"<pre>{html.escape(shlex.join(command))}</pre>",
    ]
    for number, (heading, renderables) in enumerate(sections):
        parts.append(f"<h2>{html.escape(heading)}</h2>")
        parts += _blocks(renderables)
        if number == 0:
            parts += _figures(_one_charge_mode(comparison))
    parts += ["<h2>Data</h2>", _downloads(comparison)]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def _one_charge_mode(comparison: Comparison) -> Comparison:
    """Return what pictures show of a comparison of charge modes: the usual one, if it is among them."""
    rows = tuple(row for row in comparison.rows if row.point.charge == Point().charge)
    return replace(comparison, rows=rows or comparison.rows)


def _figures(comparison: Comparison) -> Iterator[str]:
    for kind, caption in CAPTIONS.items():
        picture = plot.inline(comparison, kind)
        if picture is not None:
            yield f"<figure>{picture}<figcaption>{html.escape(caption)}</figcaption></figure>"


def _downloads(comparison: Comparison) -> str:
    files = (("comparison.json", "application/json", comparison.to_json()),
             ("comparison.csv", "text/csv", comparison.to_csv()))  # fmt: skip
    links = (
        f'<a download="{name}" href="data:{kind};base64,{base64.b64encode(text.encode()).decode()}">{name}</a>'
        for name, kind, text in files
    )
    return f"<p>Every figure of this page: {', '.join(links)}</p>"


# --- what the terminal shows, as HTML ---------------------------------------------------------------------------------


def _blocks(renderables: Iterable[RenderableType]) -> Iterator[str]:
    """Yield tables, and consecutive lines of text as one block."""
    for is_grid, group in groupby(renderables, key=lambda each: isinstance(each, Grid)):
        for each in group:
            if is_grid and isinstance(each, Grid):
                yield _table(each)
            elif isinstance(each, Text) and "bold" in str(each.style):
                yield f"<h3>{html.escape(each.plain.strip())}</h3>"
            elif isinstance(each, Text):
                yield from (f"<p>{_text(line)}</p>" for line in each.split("\n") if line.plain.strip())
            else:
                yield f"<p>{html.escape(str(each))}</p>"


def _text(text: Text) -> str:
    """Return a text with its styles as spans."""
    styled = text.copy()
    pieces, at = [], 0
    whole = str(styled.style)
    for span in sorted(styled.spans, key=lambda each: each.start):
        pieces.append(html.escape(styled.plain[at : span.start]))
        pieces.append(_span(styled.plain[span.start : span.end], str(span.style)))
        at = max(at, span.end)
    pieces.append(html.escape(styled.plain[at:]))
    inside = "".join(pieces)
    return f'<span class="{html.escape(whole)}">{inside}</span>' if whole else inside


def _span(text: str, style: str) -> str:
    return f'<span class="{html.escape(style)}">{html.escape(text)}</span>' if style else html.escape(text)


def _cell(value: RenderableType) -> str:
    return _text(value) if isinstance(value, Text) else html.escape(str(value))


def _table(grid: Grid) -> str:
    columns = [(column, [_cell(cell) for cell in column.cells]) for column in grid.columns]
    left = [' class="left"' if column.justify == "left" else "" for column, _ in columns]
    head = "".join(f"<th{side}>{_cell(column.header)}</th>" for (column, _), side in zip(columns, left, strict=True))
    body = []
    for row, cells in zip(grid.rows, zip(*(cells for _, cells in columns), strict=True), strict=True):
        kind = "gap" if not any(cells) else str(row.style or "")
        inside = "".join(f"<td{side}>{cell}</td>" for cell, side in zip(cells, left, strict=True))
        body.append(f'<tr class="{kind}">{inside}</tr>' if kind else f"<tr>{inside}</tr>")
    title = str(grid.title or "").strip()
    caption = f"<caption>{html.escape(title)}</caption>" if title else ""
    return (
        f'<div class="frame"><table>{caption}<thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'
    )
