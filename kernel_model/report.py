"""A comparison as tables for a terminal (rich renderables).

One table for each profile and topology, one line for each depth and mechanism; then the verdict, which names the depths
at which the graft loses. Times are microseconds per operation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from kernel_model.comparison import BASELINE, PS_PER_US, SUBJECT, Comparison, Group, Measured, Row
from kernel_model.mechanisms.scenario import CLIENT, CannotExpress
from kernel_model.workload import Topology

NS_PER_US = 1000


def tables(comparison: Comparison) -> Iterator[RenderableType]:
    """Yield the head, a table for each profile and topology, the verdict and the misses."""
    yield _head(comparison)
    yield _trees(comparison)
    for profile, topology, groups in comparison.tables():
        yield _table(comparison.profiles[profile], topology, groups)
    yield _verdicts(comparison)
    yield from (Text(f"not as predicted: {miss}", style="bold red") for miss in comparison.misses)
    if not comparison.misses:
        yield Text("Every count (crossings, switches, wake-ups, activations, work, sends, bytes) is as predicted.")


def _head(comparison: Comparison) -> Text:
    return Text(
        f"{comparison.program} on {comparison.workload}: {comparison.data}; {comparison.lookups:,} operations a run, "
        f"all answers checked; {comparison.arrivals}; {comparison.service_ns} ns of service a block; "
        f"{comparison.engine} grafts; seed {comparison.seed}"
    )


def _trees(comparison: Comparison) -> Table:
    """Return what the data look like at each depth."""
    rows = {row.depth: row for row in comparison.rows}
    table = Table(box=None, pad_edge=False, header_style="", title="")
    table.add_column("depth", justify="right")
    for depth in sorted(rows):
        table.add_column(str(depth), justify="right")
    table.add_row("fan-out", *(str(rows[depth].fan_out) for depth in sorted(rows)))
    table.add_row("keys", *(f"{rows[depth].keys:,}" for depth in sorted(rows)))
    return table


def _table(profile: str, topology: Topology, groups: tuple[Group, ...]) -> Table:
    title = (
        f"\n{topology}; {profile}\n"
        "Latency in us (band: the median at either end of the profile's uncertain figures). For each operation: times\n"
        "that the client was woken, thread switches, kernel crossings; us charged to the client, of these in grafts,\n"
        "and to the servers."
    )
    table = Table(title=title, title_justify="left", title_style="", box=None, padding=(0, 1, 0, 0))
    table.add_column("depth", justify="right", no_wrap=True)
    table.add_column("by", no_wrap=True)
    for name in ("p50", "band", "p99", "woken", "switch", "cross", "client", "graft", "server"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("against call", no_wrap=True)
    table.add_column("against best rival", no_wrap=True)
    for group in groups:
        for number, row in enumerate(group.rows):
            depth = str(group.depth) if number == 0 else ""
            table.add_row(depth, *_cells(group, row), style="bold" if row.mechanism == SUBJECT else "")
        table.add_row()
    return table


def _cells(group: Group, row: Row) -> tuple[str | Text, ...]:
    match row.result:
        case CannotExpress(reason):
            return (row.mechanism, Text(reason, style="dim"))
        case Measured() as m:
            count = m.counts.per_operation(m.latency.count)
            client = sum(m.ns.get(CLIENT, {}).values()) / NS_PER_US
            servers = sum(sum(by.values()) for account, by in m.ns.items() if account.startswith("server")) / NS_PER_US
            return (
                row.mechanism,
                _us(m.latency.p50),
                f"{m.band[0] / PS_PER_US:.1f}..{m.band[1] / PS_PER_US:.1f}" if m.band[0] != m.band[1] else "",
                _us(m.latency.p99),
                f"{count['wake_ups']:g}",
                f"{count['switches']:g}",
                f"{count['crossings']:g}",
                f"{client:.2f}",
                f"{m.total_ns('graft') / NS_PER_US:.2f}",
                f"{servers:.2f}",
                ratio(group.speed_up(row.mechanism)) if row.mechanism != BASELINE else "",
                _against_best(group) if row.mechanism == SUBJECT else "",
            )


def _us(ps: float) -> str:
    return f"{ps / PS_PER_US:.2f}"


def ratio(speed_up: float | None) -> Text:
    """Return a speed-up in words: "3.10 x faster", "1.20 x SLOWER", "equal"."""
    if speed_up is None:
        return Text("")
    if round(speed_up, 2) == 1:
        return Text("equal")
    if speed_up > 1:
        return Text(f"{speed_up:.2f} x faster", style="green")
    return Text(f"{1 / speed_up:.2f} x SLOWER", style="red")


def _against_best(group: Group) -> Text:
    best = group.best_rival()
    return ratio(group.speed_up(SUBJECT, best.mechanism)) + f" ({best.mechanism})" if best else Text("")


# --- the verdict ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verdict:
    """Where the subject wins and loses in one table: depths against a rival."""

    rival: str
    wins: tuple[int, ...]
    loses: tuple[int, ...]
    equal: tuple[int, ...]
    best: float  # the greatest speed-up
    at: int  # and its depth


def verdict(groups: tuple[Group, ...], rival: str | None) -> Verdict | None:
    """Judge the subject against a rival (None: the best one of each depth); None if no group has both."""
    judged = []
    for group in groups:
        best = group.best_rival()
        name = rival or (best.mechanism if best else BASELINE)
        speed_up = group.speed_up(SUBJECT, name)
        if speed_up is not None:
            judged.append((group.depth, speed_up))
    if not judged:
        return None
    at, best_speed_up = max(judged, key=lambda pair: pair[1])
    return Verdict(
        rival=rival or "the best rival",
        wins=tuple(depth for depth, s in judged if round(s, 2) > 1),
        loses=tuple(depth for depth, s in judged if round(s, 2) < 1),
        equal=tuple(depth for depth, s in judged if round(s, 2) == 1),
        best=best_speed_up,
        at=at,
    )


def _verdicts(comparison: Comparison) -> Text:
    lines = [Text("The graft", style="bold")]
    for profile, topology, groups in comparison.tables():
        for rival in (BASELINE, None):
            judged = verdict(groups, rival)
            if judged:
                lines.append(Text(f"  {profile}, {topology}: ") + _sentence(judged))
    return Text("\n").join(lines)


def _sentence(judged: Verdict) -> Text:
    parts = [
        Text(f"{verb} {judged.rival} at depth {spans(depths)}", style=style)
        for verb, depths, style in (
            ("beats", judged.wins, "green"),
            ("equals", judged.equal, ""),
            ("LOSES to", judged.loses, "red"),
        )
        if depths
    ]
    return Text("; ").join(parts) + Text(f"; at best {judged.best:.2f} x, at depth {judged.at}")


def spans(numbers: tuple[int, ...]) -> str:
    """Return ascending numbers as ranges: (1, 2, 3, 7) -> "1..3, 7"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}..{run[-1]}" for run in runs)
