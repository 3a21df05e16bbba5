"""Fall-backs in words: how many events a graft saw in user mode instead of the kernel, why, and what would help.

A graft whose bound does not fit the eager window is not refused, it is run by its client: right answers, and none of
the speed. So whoever compares it must be told, or he compares a round trip with itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kernel_model.accounting import FALLBACKS
from kernel_model.admission import EAGER_NS
from kernel_model.core.tables import REASONS
from kernel_model.results.comparison import Row
from kernel_model.results.outcome import PS_PER_US
from kernel_model.results.words import spans

WORDS = dict(zip(FALLBACKS, REASONS[1:], strict=True))
HELP = {
    "over_eager": "`--activation deferred` or `auto` runs it in a kernel continuation, where no such limit is",
    "over_fuel": "an operation of fewer activations, or a cheaper handler, fits its fuel",
    "lower_priority": "`--activation auto` defers it to its installer's own turn",
    "not_in_kernel": "`--activation eager` lets it run there",
    "over_budget": "a larger budget of who pays lets it run there",
}


def fallbacks(rows: Iterable[Row]) -> Iterator[str]:
    """Yield a sentence for each mechanism and reason; the rows may differ in the length of the chain."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        for reason in row.outcome.fallbacks if row.outcome else ():
            found.setdefault((row.mechanism, reason), []).append(row)
    for (mechanism, reason), some in found.items():
        yield _sentence(mechanism, reason, some)


def _sentence(mechanism: str, reason: str, rows: list[Row]) -> str:
    outcomes = [row.outcome for row in rows if row.outcome]
    lengths = sorted({row.point.hops for row in rows if row.point.hops})
    where = f" at {spans(lengths)} hops" if lengths else ""
    each = sorted({outcome.fallbacks[reason] / outcome.operations for outcome in outcomes})
    times = f"{each[0]:.3g}" if len(each) == 1 else f"{each[0]:.3g} to {each[-1]:.3g}"
    worst = max(handler.bound_ps for outcome in outcomes for graft in outcome.grafts for handler in graft.handlers)
    bound = f" ({worst / PS_PER_US:.2f} us proved, {EAGER_NS / 1000:g} allowed)" if reason == "over_eager" else ""
    told = f"{mechanism}{where}: {times} events an operation FELL BACK to user mode, {WORDS[reason]}{bound}"
    return f"{told}; {HELP[reason]}"
