"""A comparison as tables for a terminal (rich renderables).

One table for each profile and topology, one line for each length of the chain and mechanism; then the verdict, which
names the lengths at which the graft loses. Times are microseconds per operation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from rich.console import RenderableType
from rich.table import Table as Grid
from rich.text import Text

from kernel_model.mechanisms.scenario import CLIENT, CannotExpress
from kernel_model.results.comparison import BASELINE, SUBJECT, Comparison, Group, Row, Table
from kernel_model.results.outcome import PS_PER_US, Outcome

NS_PER_US = 1000


def tables(comparison: Comparison) -> Iterator[RenderableType]:
    """Yield the head, a table for each profile and topology, the verdict and the misses."""
    yield _head(comparison)
    for table in comparison.tables():
        yield _grid(table)
    yield _verdicts(comparison)
    yield from (Text(f"not as predicted: {miss}", style="bold red") for miss in comparison.misses)
    yield Text(_predictions(comparison))


def _predictions(comparison: Comparison) -> str:
    if comparison.misses:
        return "All other counts are as predicted."
    unknown = {row.outcome.predicted.why for row in comparison.rows if row.outcome} - {""}
    rest = "".join(f" Not predicted: {why}." for why in sorted(unknown))
    return f"All predicted counts are right, and equal between mechanisms where they must be.{rest}"


def _head(comparison: Comparison) -> Text:
    outcome = next((row.outcome for row in comparison.rows if row.outcome), None)
    point = comparison.rows[0].point
    data = f": {outcome.data}" if outcome else ""
    arrivals = f"; {outcome.arrivals}" if outcome else ""
    return Text(
        f"{point.workload}{data}; {point.operations:,} operations a run, all answers checked{arrivals}; "
        f"{point.work_ns} ns of a server's work for each request; {point.engine} grafts; seed {point.seed}"
    )


def _grid(table: Table) -> Grid:
    title = (
        f"\n{table.point.topology}; {table.profile}\n"
        "Latency in us (band: all that the profile's uncertain figures allow). For each operation: wake-ups of the\n"
        "client, thread switches, kernel crossings; us charged to the client, of these in grafts, and to the servers."
    )
    grid = Grid(title=title, title_justify="left", title_style="", box=None, padding=(0, 1, 0, 0))
    grid.add_column("hops", justify="right", no_wrap=True)
    grid.add_column("by", no_wrap=True)
    for name in ("p50", "band", "p99", "wake", "switch", "cross", "client", "graft", "server"):
        grid.add_column(name, justify="right", no_wrap=True)
    grid.add_column("against call", no_wrap=True)
    grid.add_column("against best rival", no_wrap=True)
    for group in table.groups:
        for number, row in enumerate(group.rows):
            hops = str(group.hops) if number == 0 else ""
            grid.add_row(hops, *_cells(group, row), style="bold" if row.mechanism == SUBJECT else "")
        grid.add_row()
    return grid


def _cells(group: Group, row: Row) -> tuple[str | Text, ...]:
    match row.result:
        case CannotExpress(reason):
            return (row.mechanism, Text(reason, style="dim"))
        case Outcome() as outcome:
            count = outcome.counts.per_operation(outcome.operations)
            servers = sum(outcome.ns(account) for account in outcome.spent if account.startswith("server"))
            return (
                row.mechanism,
                _us(outcome.summary.p50),
                f"{outcome.band[0] / PS_PER_US:.1f}..{outcome.band[1] / PS_PER_US:.1f}" if outcome.band else "",
                _us(outcome.summary.p99),
                f"{count['wake_ups']:g}",
                f"{count['switches']:g}",
                f"{count['crossings']:g}",
                f"{outcome.ns(CLIENT) / NS_PER_US:.2f}",
                f"{outcome.ns(category='graft') / NS_PER_US:.2f}",
                f"{servers / NS_PER_US:.2f}",
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
    """Where the subject wins and loses in one table: lengths of the chain, against a rival."""

    rival: str
    hops: Mapping[Standing, tuple[int, ...]]
    best: float  # the greatest speed-up
    at: int  # and its length


def verdict(groups: tuple[Group, ...], rival: str | None) -> Verdict | None:
    """Judge the subject against a rival (None: the best one of each group); None if no group has both."""
    hops: dict[Standing, tuple[int, ...]] = {}
    speed_ups: list[tuple[float, int]] = []
    for group in groups:
        best = group.best_rival()
        name = rival or (best.mechanism if best else BASELINE)
        speed_up = group.speed_up(SUBJECT, name)
        if speed_up is not None:
            judged = standing(speed_up, group.speed_up_band(SUBJECT, name))
            hops[judged] = (*hops.get(judged, ()), group.hops)
            speed_ups.append((speed_up, group.hops))
    if not speed_ups:
        return None
    best_speed_up, at = max(speed_ups)
    return Verdict(rival or "the best rival", hops, best_speed_up, at)


def _verdicts(comparison: Comparison) -> Text:
    lines = [Text("The graft", style="bold")]
    for table in comparison.tables():
        for rival in (BASELINE, None):
            judged = verdict(table.groups, rival)
            if judged:
                lines.append(Text(f"  {table.point.profile}, {table.point.topology}: ") + _sentence(judged))
    return Text("\n").join(lines)


_VERBS = {
    Standing.FASTER: "beats",
    Standing.EQUAL: "equals",
    Standing.UNCLEAR: "cannot be told from",
    Standing.SLOWER: "LOSES to",
}


def _sentence(judged: Verdict) -> Text:
    parts = [
        Text(f"{verb} {judged.rival} at {spans(judged.hops[stands])} hops", style=_COLOURS[stands])
        for stands, verb in _VERBS.items()
        if stands in judged.hops
    ]
    return Text("; ").join(parts) + Text(f"; at best {judged.best:.2f}x, at {judged.at} hops")


def spans(numbers: tuple[int, ...]) -> str:
    """Return ascending numbers as ranges: (1, 2, 3, 7) -> "1..3, 7"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}..{run[-1]}" for run in runs)
