"""Verdicts on adversaries as a table for a terminal, and as plain values for JSON and CSV."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from kernel_model.workloads.adversaries import BYSTANDER_NS, GUARANTEED, PERIOD_NS, PERIODS, Verdict

SCHEMA = 1


def tables(verdicts: Sequence[Verdict], setting: str) -> Iterator[RenderableType]:
    """Yield the head, a line for each attack and what the columns mean."""
    yield Text(f"Adversaries; {setting}; {PERIODS} periods of {PERIOD_NS / 1e6:g} ms")
    grid = Table("attack", "question", box=None)
    for name in ("share", "release us", "at most", "graft time", "activations", "deferred", "fell back", ""):
        grid.add_column(name, justify="right")
    for verdict in verdicts:
        grid.add_row(
            verdict.name,
            verdict.question,
            f"{verdict.share:.1%}",
            f"{verdict.worst_release_ns / 1000:.2f}",
            f"{verdict.release_bound_ns / 1000:.2f}",
            f"{verdict.tightest:.0%}",
            f"{verdict.activations:,}",
            f"{verdict.deferrals:,}",
            f"{verdict.fallbacks:,}",
            "holds" if verdict.holds else "FAILS",
        )
    yield grid
    yield Text(
        f"share: of the {BYSTANDER_NS / PERIOD_NS:.0%} of the core that a bystander of lower priority is due; at "
        f"least {GUARANTEED:.0%} must be there. release: the worst of the thread of the highest priority, at most two "
        "of the longest sections. graft time: the largest part, in any window W, of budget x (ceil(W / period) + 1).",
        style="dim",
    )


def as_dict(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Return the verdicts as plain values, with a schema."""
    return {"schema": SCHEMA, "adversaries": [{**asdict(verdict), "holds": verdict.holds} for verdict in verdicts]}


def as_csv(verdicts: Sequence[Verdict]) -> str:
    """Return a line for each verdict under a head, but for what each context paid."""
    rows = [
        {name: value for name, value in row.items() if name != "graft_ns"} for row in as_dict(verdicts)["adversaries"]
    ]
    lines = [
        ",".join(rows[0]),
        *(",".join(f'"{v}"' if isinstance(v, str) else str(v) for v in row.values()) for row in rows),
    ]
    return "\n".join(lines) + "\n"
