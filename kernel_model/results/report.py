"""A comparison as tables for a terminal (rich renderables).

One table for each profile and topology, one line for each depth and mechanism; then the verdict, which names the depths
at which the graft loses. Times are microseconds per operation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from kernel_model.mechanisms.scenario import CLIENT, CannotExpress
from kernel_model.results.comparison import BASELINE, PS_PER_US, SUBJECT, Comparison, Group, Measured, Row
from kernel_model.workloads.workload import Topology

NS_PER_US = 1000


def tables(comparison: Comparison) -> Iterator[RenderableType]:
    """Yield the head, a table for each profile and topology, the verdict and the misses."""
    yield _head(comparison)
    yield _trees(comparison)
    for profile, topology, groups in comparison.tables():
        yield _table(comparison.profiles[profile], topology, groups)
    yield _verdicts(comparison)
    yield from (Text(f"not as predicted: {miss}", style="bold red") for miss in comparison.misses)
    yield Text(_predictions(comparison))


def _predictions(comparison: Comparison) -> str:
    predicted = [row.measured.predicted is not None for row in comparison.rows if row.measured]
    if not any(predicted):
        return "No counts are predicted for servers on another core."
    if comparison.misses:
        return "All other counts are as predicted."
    where = "" if all(predicted) else " Nothing is predicted for servers on another core."
    return f"Every count (crossings, switches, wake-ups, activations, work, sends, bytes) is as predicted.{where}"


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
        "Latency in us (band: all that the profile's uncertain figures allow). For each operation: wake-ups of the\n"
        "client, thread switches, kernel crossings; us charged to the client, of these in grafts, and to the servers."
    )
    table = Table(title=title, title_justify="left", title_style="", box=None, padding=(0, 1, 0, 0))
    table.add_column("depth", justify="right", no_wrap=True)
    table.add_column("by", no_wrap=True)
    for name in ("p50", "band", "p99", "wake", "switch", "cross", "client", "graft", "server"):
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
                f"{m.band[0] / PS_PER_US:.1f}..{m.band[1] / PS_PER_US:.1f}" if m.band else "",
                _us(m.latency.p99),
                f"{count['wake_ups']:g}",
                f"{count['switches']:g}",
                f"{count['crossings']:g}",
                f"{client:.2f}",
                f"{m.total_ns('graft') / NS_PER_US:.2f}",
                f"{servers:.2f}",
                _against_call(group, row.mechanism),
                _against_best(group) if row.mechanism == SUBJECT else "",
            )


def _us(ps: float) -> str:
    return f"{ps / PS_PER_US:.2f}"


class Standing(Enum):
    """What a speed-up and its band say. `UNCLEAR`: the uncertain figures allow either."""

    FASTER = "faster"
    SLOWER = "SLOWER"
    EQUAL = "equal"
    UNCLEAR = "unclear"


def standing(speed_up: float, band: tuple[float, float] | None) -> Standing:
    """Judge a speed-up: by its band if there is one, else by the figure itself, to two decimals."""
    low, high = (round(end, 2) for end in band or (speed_up, speed_up))
    if low == high == 1:
        return Standing.EQUAL
    if low >= 1:
        return Standing.FASTER
    return Standing.SLOWER if high <= 1 else Standing.UNCLEAR


_COLOURS = {Standing.FASTER: "green", Standing.SLOWER: "red", Standing.EQUAL: "", Standing.UNCLEAR: "yellow"}


def ratio(speed_up: float | None, band: tuple[float, float] | None = None) -> Text:
    """Return a speed-up in words: "3.10x faster", "0.80x SLOWER", "1.02x unclear", "1.00x equal"."""
    if speed_up is None:
        return Text("")
    judged = standing(speed_up, band)
    return Text(f"{speed_up:.2f}x {judged.value}", style=_COLOURS[judged])


def _against_call(group: Group, mechanism: str) -> Text:
    if mechanism == BASELINE:
        return Text("")
    band = group.speed_up_band(mechanism)
    return ratio(group.speed_up(mechanism), band) + (f" {band[0]:.2f}..{band[1]:.2f}" if band else "")


def _against_best(group: Group) -> Text:
    best = group.best_rival()
    if best is None:
        return Text("")
    rival = best.mechanism
    return ratio(group.speed_up(SUBJECT, rival), group.speed_up_band(SUBJECT, rival)) + f" ({rival})"


# --- the verdict ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verdict:
    """Where the subject wins and loses in one table: depths against a rival."""

    rival: str
    depths: Mapping[Standing, tuple[int, ...]]
    best: float  # the greatest speed-up
    at: int  # and its depth


def verdict(groups: tuple[Group, ...], rival: str | None) -> Verdict | None:
    """Judge the subject against a rival (None: the best one of each depth); None if no group has both."""
    depths: dict[Standing, tuple[int, ...]] = {}
    speed_ups: list[tuple[float, int]] = []
    for group in groups:
        best = group.best_rival()
        name = rival or (best.mechanism if best else BASELINE)
        speed_up = group.speed_up(SUBJECT, name)
        if speed_up is not None:
            judged = standing(speed_up, group.speed_up_band(SUBJECT, name))
            depths[judged] = (*depths.get(judged, ()), group.depth)
            speed_ups.append((speed_up, group.depth))
    if not speed_ups:
        return None
    best_speed_up, at = max(speed_ups)
    return Verdict(rival or "the best rival", depths, best_speed_up, at)


def _verdicts(comparison: Comparison) -> Text:
    lines = [Text("The graft", style="bold")]
    for profile, topology, groups in comparison.tables():
        for rival in (BASELINE, None):
            judged = verdict(groups, rival)
            if judged:
                lines.append(Text(f"  {profile}, {topology}: ") + _sentence(judged))
    return Text("\n").join(lines)


_VERBS = {
    Standing.FASTER: "beats",
    Standing.EQUAL: "equals",
    Standing.UNCLEAR: "cannot be told from",
    Standing.SLOWER: "LOSES to",
}


def _sentence(judged: Verdict) -> Text:
    parts = [
        Text(f"{verb} {judged.rival} at depth {spans(judged.depths[stands])}", style=_COLOURS[stands])
        for stands, verb in _VERBS.items()
        if stands in judged.depths
    ]
    return Text("; ").join(parts) + Text(f"; at best {judged.best:.2f}x, at depth {judged.at}")


def spans(numbers: tuple[int, ...]) -> str:
    """Return ascending numbers as ranges: (1, 2, 3, 7) -> "1..3, 7"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}..{run[-1]}" for run in runs)
