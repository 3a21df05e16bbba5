"""The accounting question, as tables and as an answer: is a graft's accounting any different?

    foretold        before the run: the counts of each mechanism, and which must equal the round trip's
    who_paid        per account, category and charge mode: microseconds per operation
    grafts          per graft: activations, cost vector, sends, bytes, denials, proven bound against observed maximum
    contexts        per scheduling context: what it was charged
    tax             the check for a graft on messages that pass where there is none: what non-users pay
    shares          what is left for a bystander, under each charge mode
    answer          the question, answered in words from the counts of this run alone

What is reported of a charge mode is the graft's *increment*: metering the round trip costs nothing, as nothing runs on
another's time there, so the same mode is run on both and the difference shown (KERNEL section 4).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from rich.console import RenderableType
from rich.table import Table as Grid
from rich.text import Text

from grafting.isa import CostClass
from kernel_model.accounting import GraftAccount
from kernel_model.core.prices import ENGINES
from kernel_model.experiments.foretelling import Foretold
from kernel_model.experiments.point import Point
from kernel_model.mechanisms.counts import NAMES
from kernel_model.mechanisms.scenario import CannotExpress
from kernel_model.results.comparison import BASELINE, SUBJECT, Comparison, Group, Row
from kernel_model.results.fallbacks import fallbacks
from kernel_model.results.outcome import PS_PER_NS, Outcome
from kernel_model.results.words import BUSY, NS_PER_US, clients_of, us

PAYERS = (
    ("reply, failure, submit, timer", "the process that installed the graft"),
    ("request", "the account that the message carries: whoever sent it"),
    ("schedule", "the process that is about to run"),
    ("any, in mode `current`", "whoever runs when the event happens: the bad baseline"),
)
TITLES = {"crossings": "cross", "switches": "switch", "wake_ups": "wake", "kernel_activations": "in kernel",
          "user_activations": "in user", "submissions": "sends", "notifications": "notify",
          "interrupts": "interrupt", "refills": "refilled"}  # fmt: skip


def _grid(title: str, *columns: str, left: int = 1) -> Grid:
    grid = Grid(title=f"\n{title}", title_justify="left", title_style="bold", box=None, padding=(0, 1, 0, 0))
    for number, name in enumerate(columns):
        grid.add_column(name, justify="left" if number < left else "right", no_wrap=number > 0)
    return grid


# --- before the run ---------------------------------------------------------------------------------------------------


def foretold(predictions: Sequence[Foretold]) -> Iterator[RenderableType]:
    """Yield the predictions, once for points that differ in prices or charging alone, and the rule of payers."""
    finite = any(each.point.caches == "finite" for each in predictions)
    names = [name for name in NAMES if finite or name != "refills"]
    grid = _grid("Foretold, before anything runs: counts per operation", "topology, hops", "by",
                 *(TITLES[name] for name in names), "equal to call", left=2)  # fmt: skip
    for each in _once(predictions):
        where = each.point.place_and_length
        if isinstance(each.prediction, CannotExpress):
            grid.add_row(where, each.point.mechanism, Text("cannot express it", style="dim"))
            continue
        counts = each.prediction.per_operation(each.point.operations)
        cells = ["?" if counts[name] is None else f"{counts[name]:g}" for name in names]
        grid.add_row(where, each.point.mechanism, *cells, each.equal.words)
    yield grid
    reasons = {each.prediction.why for each in predictions if not isinstance(each.prediction, CannotExpress)} - {""}
    yield from (Text(f"?: not predicted: {why}") for why in sorted(reasons))
    yield Text("Charged to whoever runs (mode `current`) handlers' counts are equal in sum, not per account.")
    payers = _grid("Foretold: who pays for an activation", "event", "payer", left=2)
    for event, payer in PAYERS:
        payers.add_row(event, payer)
    yield payers


def _once(predictions: Iterable[Foretold]) -> Iterable[Foretold]:
    """Return one prediction for points that differ in prices or charging alone, that of a payer who is known if any.

    Where caches are finite their size, and that of a graft by its engine, are part of the prediction.
    """
    found: dict[Point, Foretold] = {}
    for each in sorted(predictions, key=lambda foretold: foretold.point.charge == "current"):
        same = replace(each.point, charge="metered")
        found.setdefault(replace(same, profile="", engine="native") if same.caches == "hot" else same, each)
    return found.values()


# --- after the run ----------------------------------------------------------------------------------------------------


def after(comparison: Comparison) -> Iterator[RenderableType]:
    """Yield what the run showed, place by place, and the answer."""
    for where, rows in _places(comparison).items():
        yield Text(f"\n{where}", style="bold underline")
        yield who_paid(rows)
        yield grafts(rows)
        yield from (Text(line) for line in fallbacks(row for row, _ in rows))
        yield vectors(rows)
        if any(outcome.contexts for _, outcome in rows):
            yield contexts(rows)
        yield tax(rows)
        if any(bystanders_of(outcome) for _, outcome in rows):
            yield shares(rows)
    yield Text("\nIs the accounting any different?", style="bold")
    yield from (Text(f"  {line}") for line in answer(comparison))
    yield from (Text(f"not as predicted: {miss}", style="bold red") for miss in comparison.misses)


Measured = tuple[Row, Outcome]


def _places(comparison: Comparison) -> dict[str, list[Measured]]:
    """Return the measured rows by where they were measured: profile, topology, length of the chain."""
    places: dict[str, list[Measured]] = {}
    for row in comparison.rows:
        if row.outcome:
            point = row.point
            where = f"{point.profile}, {point.place_and_length}"
            places.setdefault(where, []).append((row, row.outcome))
    return places


def who_paid(rows: Sequence[Measured]) -> Grid:
    """Return the time charged per operation, by account and category (us)."""
    used = [category for category in BUSY if any(outcome.ns(category=category) for _, outcome in rows)]
    grid = _grid("Charged per operation, us", "by", "charge", "account", *used, "all", left=3)
    for row, outcome in rows:
        for number, account in enumerate(name for name in outcome.spent if not name.startswith("idle")):
            cells = [_us(outcome.ns(account, category)) for category in used]
            total = _us(sum(outcome.ns(account, category) for category in used))
            grid.add_row(*_head(row, number), account, *cells, total)
    return grid


def _head(row: Row, number: int) -> tuple[str, str]:
    return (row.mechanism, row.point.charge) if number == 0 else ("", "")


def _us(ns: float) -> str:
    return f"{ns / NS_PER_US:.3f}" if ns else "."


def grafts(rows: Sequence[Measured]) -> Grid:
    """Return what each graft did per operation, and its proven bound against the dearest activation seen."""
    grid = _grid("Grafts: what each did per operation; the bound proved of one activation, and the dearest seen",
                 "by", "charge", "graft of", "in kernel", "in user", "instr.", "helpers", "copied", "sends", "bytes",
                 "denied", "us", "refilled", "bound us", "seen us", left=3)  # fmt: skip
    for row, outcome in rows:
        for number, graft in enumerate(outcome.grafts):
            grid.add_row(*_head(row, number), graft.process, *_graft_cells(graft, outcome.operations))
    return grid


def _graft_cells(graft: GraftAccount, operations: int) -> tuple[str, ...]:
    calls = sum(n for name, n in graft.helper_calls.items() if name != "helper_copy_byte")
    figures = (graft.activations, graft.user_activations, graft.instructions, calls,
               graft.vector.get("helper_copy_byte", 0), graft.sent, graft.sent_bytes, graft.denied)  # fmt: skip
    worst = max(graft.handlers, key=lambda handler: handler.worst_ps, default=None)
    seen = (us(worst.bound_ps), us(worst.worst_ps)) if worst and worst.worst_ps else ("", "")
    return (*(f"{figure / operations:.6g}" for figure in figures), us(graft.spent_ps / operations),
            f"{graft.refilled / operations:.6g}", *seen)  # fmt: skip


def vectors(rows: Sequence[Measured]) -> Grid:
    """Return the cost vector of each graft per operation: instructions by class, calls of helpers, bytes copied."""
    folded = [(row, outcome, [(g.process, by_class(g)) for g in outcome.grafts]) for row, outcome in rows]
    names = sorted({name for _, _, each in folded for _, vector in each for name in vector}, key=_class_first)
    grid = _grid("Cost vectors, per operation", "by", "charge", "graft of", *names, left=3)
    for row, outcome, each in folded:
        for number, (process, vector) in enumerate(each):
            cells = [f"{vector.get(name, 0) / outcome.operations:.6g}" for name in names]
            grid.add_row(*_head(row, number), process, *cells)
    return grid


CLASSES = tuple(each.name.lower() for each in CostClass)


def _class_first(name: str) -> tuple[int, str]:
    return (CLASSES.index(name) if name in CLASSES else len(CLASSES), name)


def by_class(graft: GraftAccount) -> dict[str, int]:
    """Return a cost vector with instructions by class, whichever engine ran them."""
    found: dict[str, int] = {}
    for name, count in graft.vector.items():
        engine, _, class_ = name.partition("_")
        short = class_ if engine in ENGINES else name.removeprefix("helper_")
        found[short] = found.get(short, 0) + count
    return found


def contexts(rows: Sequence[Measured]) -> Grid:
    """Return what each scheduling context was charged per operation (us)."""
    kinds = ("user", "kernel", "graft", "lock")
    grid = _grid("Scheduling contexts, us per operation", "by", "charge", "context", *kinds, left=3)
    for row, outcome in rows:
        for number, (name, spent) in enumerate(outcome.contexts.items()):
            cells = [_us(spent[kind] / PS_PER_NS / outcome.operations) for kind in kinds]
            grid.add_row(*_head(row, number), name, *cells)
    return grid


def tax(rows: Sequence[Measured]) -> Grid:
    """Return the tax on non-users: checks at hooks without a graft, their price and part of all that was charged."""
    grid = _grid("Hook check, the tax on messages that pass no graft: per operation", "by", "charge", "checks", "ns",
                 "of all charged", left=2)  # fmt: skip
    for row, outcome in rows:
        checks = outcome.totals.get("hook_check", 0) / outcome.operations
        ns = outcome.ns(category="hook_check")
        grid.add_row(*_head(row, 0), f"{checks:g}", f"{ns:.1f}", f"{ns / _busy_ns(outcome):.2%}")
    return grid


def _busy_ns(outcome: Outcome) -> float:
    """Return all that was charged per operation but idling (ns)."""
    return sum(outcome.ns(category=category) for category in BUSY)


def bystanders_of(outcome: Outcome) -> tuple[str, ...]:
    """Return the accounts of processes that have nothing to do with the workload but want the core."""
    return tuple(name for name in outcome.spent if name.startswith("bystander"))


def shares(rows: Sequence[Measured]) -> Grid:
    """Return what part of the run's time a bystander computed for itself, and what was charged to it besides."""
    grid = _grid("Bystanders: part of the time that is theirs, and what they are charged of others' work", "by",
                 "charge", "bystander", "share", "kernel", "interrupts", "grafts", left=3)  # fmt: skip
    for row, outcome in rows:
        for number, account in enumerate(bystanders_of(outcome)):
            cells = [f"{part_of_time(outcome, account, kind):.1%}" for kind in ("user", "kernel", "interrupt", "graft")]
            grid.add_row(*_head(row, number), account, *cells)
    return grid


def part_of_time(outcome: Outcome, account: str, category: str) -> float:
    """Return the part of one core's time during the run that an account was charged in a category."""
    return outcome.spent.get(account, {}).get(category, 0) / outcome.elapsed_ps if outcome.elapsed_ps else 0.0


# --- the answer -------------------------------------------------------------------------------------------------------


def answer(comparison: Comparison) -> Iterator[str]:
    """Yield the answer, a sentence a line; every figure is of this comparison."""
    groups = [group for group in comparison.groups() if group.of(SUBJECT) and group.of(BASELINE)]
    if not groups:
        yield f"It cannot be said: `{SUBJECT}` and `{BASELINE}` were not both run."
        return
    yield _done(comparison)
    yield _differs(groups[-1])
    for charge in dict.fromkeys(group.point.charge for group in groups):
        yield _paid([group for group in groups if group.point.charge == charge], charge)
    yield _taxed(groups)


def _done(comparison: Comparison) -> str:
    if comparison.misses:
        return f"In what is done: {len(comparison.misses)} counts are not as predicted; they are named below."
    return (
        "In what is done: no. Work, helper calls, instructions, sends and copied bytes of the graft are those of the "
        "round trip, account by account, as foretold (where whoever runs is charged: in sum)."
    )


def _differs(group: Group) -> str:
    mine, base = group.of(SUBJECT), group.of(BASELINE)
    assert mine is not None
    assert base is not None
    one, two = (outcome.counts.per_operation(outcome.operations) for outcome in (base, mine))
    changes = [f"{name.replace('_', ' ')} {one[name]:g} -> {two[name]:g}" for name in NAMES if one[name] != two[name]]
    held = "as foretold" if mine.as_predicted and base.as_predicted else "NOT all as foretold"
    return (
        f"In how often the kernel is entered and left: yes, {held}. Per operation, "
        f"{group.point.place_and_length}: {', '.join(changes) or 'no difference'}."
    )


def _paid(groups: Sequence[Group], charge: str) -> str:
    """Say who was charged for the graft's time, what charging itself cost, and the increment over the round trip."""
    pairs = [(mine, base) for group in groups if (mine := group.of(SUBJECT)) and (base := group.of(BASELINE))]
    graft_ns = sum(mine.ns(category="graft") for mine, _ in pairs)
    own = sum(mine.ns(client, "graft") for mine, _ in pairs for client in clients_of(mine))
    cost = sum(mine.charging_ps / PS_PER_NS / mine.operations for mine, _ in pairs)
    more = sum(_busy_ns(mine) - _busy_ns(base) for mine, base in pairs) / len(pairs)
    elsewhere = 1 - own / graft_ns if graft_ns else 0.0
    who = "all on its installer's account" if elsewhere < 1e-9 else f"{elsewhere:.0%} of it on accounts of others"
    of = f"{cost / len(pairs):.1f} ns an operation, {cost / graft_ns:.1%} of that time" if cost else "nothing"
    return (
        f"Who pays, charge mode `{charge}`: the graft's time is {who}; charging itself costs {of}. All accounts "
        f"together are charged {abs(more):,.1f} ns {'more' if more > 0 else 'less'} an operation than by `{BASELINE}`."
    )


def _taxed(groups: Sequence[Group]) -> str:
    worst = max(
        (outcome for group in groups for outcome in (group.of(BASELINE),) if outcome),
        key=lambda outcome: outcome.ns(category="hook_check"),
    )
    ns = worst.ns(category="hook_check")
    return (
        f"Who uses no graft pays up to {ns:.1f} ns an operation for the checks whether there is one: "
        f"{ns / _busy_ns(worst):.2%} of what is charged."
    )
