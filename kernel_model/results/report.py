"""A comparison as tables for a terminal (rich renderables).

Two tables for each profile and topology, one line for each length of the chain and mechanism: how long it takes and
what was done; then where the time went. Under them the longest section that is not preemptible and the worst release
latency of the highest-priority thread, which say how a graft is bounded in time. At the end the verdict, which names
the lengths at which the graft loses. Times are microseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from rich.console import RenderableType
from rich.table import Table as Grid
from rich.text import Text

from kernel_model.mechanisms.scenario import CannotExpress
from kernel_model.results.comparison import BASELINE, SUBJECT, Comparison, Group, Row, Table
from kernel_model.results.fallbacks import fallbacks
from kernel_model.results.outcome import PS_PER_US, Outcome
from kernel_model.results.words import BUSY, NS_PER_US, clients_of, per_second, servers_of, setting, spans, us


def tables(comparison: Comparison) -> Iterator[RenderableType]:
    """Yield the head, the tables of each profile and topology, the verdict and the misses."""
    yield Text(heading(comparison))
    yield from details(comparison)
    yield from summary(comparison)


def details(comparison: Comparison) -> Iterator[RenderableType]:
    """Yield the tables of each profile and topology."""
    for table in comparison.tables():
        yield Text(f"\n{table.point.topology}; {table.profile}", style="bold")
        yield Text(setting(table.point), style="dim")
        yield _latencies(table)
        yield _costs(table)
        yield from (Text(line) for line in bounds(table))


def summary(comparison: Comparison) -> Iterator[RenderableType]:
    """Yield who wins where, and how the predictions fared."""
    yield Text("\nThe graft", style="bold")
    yield from _verdicts(comparison)
    yield from (Text(f"not as predicted: {miss}", style="bold red") for miss in comparison.misses)
    yield Text(predictions(comparison))
    yield from (Text(line) for line in exceptions(comparison))


def predictions(comparison: Comparison) -> str:
    """Return a sentence on how the predictions fared."""
    if comparison.misses:
        return "All other counts are as predicted."
    unknown = {row.outcome.predicted.why for row in comparison.rows if row.outcome} - {""}
    rest = "".join(f" Not predicted: {why}." for why in sorted(unknown))
    return f"All predicted counts are right, and equal between mechanisms where they must be.{rest}"


def exceptions(comparison: Comparison) -> Iterator[str]:
    """Yield what was foretold not to be as in the round trip, a sentence a reason."""
    reasons: dict[str, list[str]] = {}
    for row in comparison.rows:
        for why in row.outcome.equal.why if row.outcome and row.mechanism != BASELINE else ():
            reasons.setdefault(why, []).append(row.mechanism)
    for why, names in reasons.items():
        yield f"Foretold not to equal {BASELINE} in all ({', '.join(dict.fromkeys(names))}): {why}."


def heading(comparison: Comparison) -> str:
    """Return what all rows have in common, in a line."""
    outcome = next((row.outcome for row in reversed(comparison.rows) if row.outcome), None)
    point = comparison.rows[0].point
    runs = f" in each of {outcome.runs} runs" if outcome and outcome.runs > 1 else " a run"
    data = f": {outcome.data}; {outcome.arrivals}" if outcome else ""
    return f"{point.workload}{data}; {point.operations:,} operations{runs}, all answers checked; seed {point.seed}"


def _latencies(table: Table) -> Grid:
    grid = _grid("hops", "by", "p50", "p99", "p99.9", "max", "rate", "wake", "switch", "cross")
    grid.add_column("against call", no_wrap=True)
    grid.add_column("against best rival", no_wrap=True)
    _fill(grid, table, _latency_cells)
    return grid


def _grid(*columns: str) -> Grid:
    grid = Grid(box=None, padding=(0, 1, 0, 0), header_style="dim")
    for number, name in enumerate(columns):
        grid.add_column(name, justify="left" if number == 1 else "right", no_wrap=True)
    return grid


def _fill(grid: Grid, table: Table, cells: Callable[[Group, Row, Outcome], tuple[str | Text, ...]]) -> None:
    for group in table.groups:
        for number, row in enumerate(group.rows):
            hops = str(group.hops or "") if number == 0 else ""
            style = "bold" if row.mechanism == SUBJECT else ""
            if row.outcome:
                grid.add_row(hops, row.mechanism, *cells(group, row, row.outcome), style=style)
            elif cells is _latency_cells:
                grid.add_row(hops, row.mechanism, "-", style=style)
        grid.add_row()


def _latency_cells(group: Group, row: Row, outcome: Outcome) -> tuple[str | Text, ...]:
    count = outcome.counts.per_operation(outcome.operations)
    summary, spread = outcome.summary, outcome.estimates.get("p50")
    return (
        us(summary.p50) + (f" +-{spread.half_width / PS_PER_US:.2f}" if spread else ""),
        us(summary.p99),
        us(summary.p999),
        us(summary.maximum),
        _rates(outcome),
        *(f"{count[name]:.4g}" for name in ("wake_ups", "switches", "crossings")),
        _against_call(group, row.mechanism),
        _against_best(group) if row.mechanism == SUBJECT else "",
    )


def _rates(outcome: Outcome) -> str:
    """Return the rate, and the goodput where that is another."""
    if outcome.good in (0, outcome.latency.count):
        return per_second(outcome.throughput)
    return f"{per_second(outcome.throughput)}, good {per_second(outcome.goodput)}"


SHORT = {"hook_check": "hook", "interrupt": "intr"}
"""Categories whose names are too wide for a column."""


def _costs(table: Table) -> Grid:
    """Return where the time of an operation went, and how far uncertain prices could move the medians."""
    outcomes = [row.outcome for group in table.groups for row in group.rows if row.outcome]
    used = [category for category in BUSY if any(outcome.ns(category=category) for outcome in outcomes)]
    names = [SHORT.get(category, category) for category in used]
    grid = _grid("hops", "by", "client", "others", *names, "p50 band", "speed-up band")

    def cells(group: Group, row: Row, outcome: Outcome) -> tuple[str | Text, ...]:
        groups = (clients_of(outcome), servers_of(outcome))
        charged = [sum(outcome.ns(account, each) for account in names for each in used) for names in groups]
        low, high = outcome.band or (0.0, 0.0)
        ratio_band = group.speed_up_band(row.mechanism) if row.mechanism != BASELINE else None
        return (
            *(f"{ns / NS_PER_US:.2f}" for ns in charged),
            *(f"{outcome.ns(category=each) / NS_PER_US:.2f}" for each in used),
            f"{us(low)}..{us(high)}" if outcome.band else "",
            f"{ratio_band[0]:.2f}..{ratio_band[1]:.2f}" if ratio_band else "",
        )

    _fill(grid, table, cells)
    return grid


def bounds(table: Table) -> Iterator[str]:
    """Yield how time-bounded the runs of a table were, for the subject and the baseline, and the reasons of who could
    not."""
    for name in (BASELINE, SUBJECT):
        outcomes = [outcome for group in table.groups if (outcome := group.of(name))]
        if outcomes:
            section = max(outcome.longest_section_ps for outcome in outcomes) / PS_PER_US
            release = max(outcome.worst_release_ps for outcome in outcomes) / PS_PER_US
            yield (
                f"{name}: longest non-preemptible section {section:.2f} us, worst release latency of the "
                f"highest-priority thread {release:.2f} us"
            )
    yield from fallbacks(row for group in table.groups for row in group.rows)
    yield from queues(table)
    reasons = {
        row.mechanism: row.result.reason
        for group in table.groups
        for row in group.rows
        if isinstance(row.result, CannotExpress)
    }
    yield from (f"{mechanism} cannot express it: {reason}" for mechanism, reason in reasons.items())
    if not any(row.outcome.band for group in table.groups for row in group.rows if row.outcome):
        yield NO_BAND


def queues(table: Table) -> Iterator[str]:
    """Yield how many operations were in flight on average where several clients do without think time.

    There latency is the queue, and not the mechanism: the median tells how a mechanism lets clients take turns. By
    direct switches one keeps its core until it is done with all of its operations, so those of the others, of which no
    one has begun, do not wait.
    """
    several = [group for group in table.groups if (group.point.clients or 1) > 1 and group.point.load is None]
    for group in several:
        flying = ", ".join(f"{row.mechanism} {row.outcome.in_flight:.2f}" for row in group.rows if row.outcome)
        at = f" at {group.hops} hops" if group.hops else ""
        yield (
            f"In flight on average (Little's law){at}: {flying}. With {group.point.clients} clients on a core latency "
            "is that number over the rate: compare rates, or give the clients think time."
        )


NO_BAND = (
    "No band: where queues form, or where other prices make other things happen, uncertain prices give no bound; "
    "run it with other profiles to see what it rests on."
)


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
    return ratio(group.speed_up(mechanism), group.speed_up_band(mechanism))


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


def _verdicts(comparison: Comparison) -> Iterator[Text]:
    charges = len({row.point.charge for row in comparison.rows}) > 1
    for table in comparison.tables():
        for rival in (BASELINE, None):
            judged = verdict(table.groups, rival)
            if judged:
                yield Text(f"  {_place(table, charges)}: ") + _sentence(judged)


def _place(table: Table, charges: bool) -> str:
    point = table.point
    return f"{point.profile}, {point.topology}" + (f", charged {point.charge}" if charges else "")


_VERBS = {
    Standing.FASTER: "beats",
    Standing.EQUAL: "equals",
    Standing.UNCLEAR: "cannot be told from",
    Standing.SLOWER: "LOSES to",
}


def _sentence(judged: Verdict) -> Text:
    parts = [
        Text(f"{verb} {judged.rival}{_at(judged.hops[stands])}", style=_COLOURS[stands])
        for stands, verb in _VERBS.items()
        if stands in judged.hops
    ]
    return Text("; ").join(parts) + Text(f"; at best {judged.best:.2f}x{_at((judged.at,))}")


def _at(hops: tuple[int, ...]) -> str:
    """Say at which lengths of the chain, where there is one."""
    return f" at {spans(hops)} hops" if all(hops) else ""
