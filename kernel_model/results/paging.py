"""Page-in as a table and in words: where reading ahead helped, what it wasted, and where it was useless."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

from kernel_model.experiments.page_in import PageIn
from kernel_model.memory import Ahead

PS_PER_US = 1e6
USEFUL = 0.95  # of the median latency without: what saves less than 5 % is called useless


def table(found: Sequence[PageIn]) -> Table:
    """Return one line for each result."""
    one = found[0].setting
    finite = one.caches == "finite"
    title = (
        f"{one.turns} turns of a process whose pages are out; {one.fetch_ns / 1000:g} us to read a page; a turn is\n"
        f"foretold {one.lead_ns / 1000:g} us before a timer, or {one.near} places before the head of a run queue.\n"
        f"Latency in us from ready to done; missed: over {one.deadline_ns / 1000:g} us; faults: pages that a turn\n"
        "waited for; of the pages read ahead, hits and wasted"
        + ("; refilled: cache lines brought in, per turn." if finite else ".")
    )
    made = Table(title=title, title_justify="left", title_style="", box=None, padding=(0, 1, 0, 0))
    made.add_column("workload", no_wrap=True)
    made.add_column("by", no_wrap=True)
    for name in ("p50", "p99", "max", "missed", "faults", "hits", "wasted", *(["refilled"] if finite else [])):
        made.add_column(name, justify="right", no_wrap=True)
    before = None
    for result in found:
        setting, latency, paging = result.setting, result.latency, result.paging
        made.add_row(
            setting.workload if setting.workload != before else "",
            setting.ahead,
            *(f"{ps / PS_PER_US:.1f}" for ps in (latency.p50, latency.p99, latency.maximum)),
            f"{result.misses:.0%}",
            f"{result.faults:.2f}",
            str(paging.hits),
            str(paging.wasted + paging.unused),
            *([f"{result.refilled:.1f}"] if finite else []),
            style="bold" if setting.ahead == "graft" else "",
        )
        before = setting.workload
    return made


def verdict(found: Sequence[PageIn]) -> Text:
    """Say of each workload what was of use."""
    lines = []
    for workload in dict.fromkeys(result.setting.workload for result in found):
        by = {result.setting.ahead: result for result in found if result.setting.workload == workload}
        lines.append(f"{workload}: {_sentence(by)}")
    return Text("\n" + "\n".join(lines))


def _sentence(by: Mapping[Ahead, PageIn]) -> str:
    plain = by["fault"].latency.p50
    helped = [name for name, result in by.items() if name != "fault" and result.latency.p50 < USEFUL * plain]
    if not helped:
        return "reading ahead is useless: the thread runs as soon as it is known what it will touch"
    best = min(by, key=lambda name: (by[name].latency.p50, by[name].paging.wasted))
    graft, hint = by["graft"], by["hint"]
    if graft.latency.p50 == hint.latency.p50 and graft.paging == hint.paging:
        return "a plain hint does as well as a graft: the process itself knows what comes"
    waste = hint.paging.wasted + hint.paging.unused - graft.paging.wasted - graft.paging.unused
    more = f", and wastes {waste} page-ins less than a plain hint" if waste > 0 else ""
    return f"`{best}` has the shortest median, {plain / by[best].latency.p50:.2f} times faster than by fault{more}"
