"""Run one point: build the kernel, the workload and the mechanism; run; check every answer; compare the counts.

    outcome = run(Point(workload="btree", mechanism="graft", hops=8, servers="each"))

The counts are predicted before anything runs. The servers start and wait for their first request; then the clients
begin, and what is counted is what happens from there to the end. **Every** answer is checked against the data, and so
is what the servers hold at the end: what is wrong raises, for figures of a run that computed something else are worth
nothing. Whether an operation may end otherwise than in a reply is for its workload to say. A count that was not as
predicted is a *miss* and is kept beside the result.

What the profile's uncertain figures mean for a result follows from the counts (`costs.bands`) where an operation takes
the sum of what is charged for it: one client in a closed loop that keeps its one core busy. With several cores, or a
device that is waited for, things overlap, and the time of an operation is the longest path through them, which counts
do not know. But with one client in a closed loop that path only grows with every price, as long as the same things
happen; so two further runs, with every price at its least and at its greatest, bound it (`_bracket`). They are believed
only if all their counts are those of the run itself. With several clients or an open loop queues form, and no bound is
given: how long they are has no simple relation to prices (R. L. Graham, *Bounds on multiprocessing timing anomalies*,
SIAM J. Appl. Math. 17(2), 1969).
"""

from __future__ import annotations

import gc
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from grafting.diagnostics import fail
from jit.hot import TierName
from kernel_model.accounting import graft_accounts
from kernel_model.core import prices
from kernel_model.core.tables import REPLIED, STARVED
from kernel_model.costs.bands import sensitivity
from kernel_model.experiments.foretelling import concurrent, equality, predicted
from kernel_model.experiments.parts import parts_of
from kernel_model.experiments.point import Point
from kernel_model.experiments.preparation import cache_of, completed, profile_of, scenario_of
from kernel_model.kernel import Kernel
from kernel_model.mechanisms import mechanism_of
from kernel_model.mechanisms.counts import Prediction, observed
from kernel_model.mechanisms.equality import AccountCounts, Rule, together
from kernel_model.mechanisms.scenario import CannotExpress, Mechanism, Scenario, Stage
from kernel_model.results.outcome import Outcome
from kernel_model.results.statistics import Histogram, histogram_of
from kernel_model.workloads.workload import Answer, Workload

if TYPE_CHECKING:
    from kernel_model.contexts import Use
    from kernel_model.costs import Profile

CHARGING = ("clock_read", "debit", "account_switch")  # what a charge mode itself costs
PS = 1000  # in a nanosecond
GOOD = (REPLIED, STARVED)  # outcomes that give the client what it asked for; a graft may have left it in its map
STEP_NS = 10_000  # with a bystander: how much longer than its last operation a run may be


def run(point: Point, *, tier: TierName = "numba") -> Outcome | CannotExpress:
    """Run a point, a long one in parts (`parts`). `tier` is how the model itself is run; it changes no result.

    Raises GraftError G0841 if the graft does not fit the workload, G0844 for a wrong answer, G0845 for an operation
    that ended otherwise than in a reply; OSError if a file cannot be read.
    """
    point = completed(point)
    mechanism, (first, *others) = mechanism_of(point.mechanism), parts_of(point)
    whole = measure(first, scenario_of(first), mechanism, tier=tier)
    for part in others:
        gc.collect()  # a kernel and its handles name each other: without this several would be in memory
        outcome = measure(part, scenario_of(part), mechanism, tier=tier, bounds=False)
        if isinstance(whole, CannotExpress) or isinstance(outcome, CannotExpress):
            return outcome
        whole = whole.merged(outcome)
    return whole if isinstance(whole, CannotExpress) else replace(whole, point=point, runs=1)


def measure(
    point: Point, scenario: Scenario, mechanism: Mechanism, *, tier: TierName = "numba", bounds: bool = True
) -> Outcome | CannotExpress:
    """Run a workload and a mechanism that were made for this point, all at once. Raises as `run` does, but for G0841.

    `bounds`: whether to run it twice more where that bounds what the profile's uncertain figures mean.
    """
    unable = mechanism.unable(scenario.workload, point.core_count)
    if unable is not None:
        return unable
    profile = profile_of(point.profile)
    foretold = predicted(point, scenario.workload, mechanism, lambda: scenario.verified)
    equal = equality(point, scenario.workload, mechanism, lambda: scenario.verified)

    def at(prices: Profile) -> Outcome:
        kernel, stage = build(point, scenario, mechanism, prices, tier)
        kernel.run(STEP_NS if scenario.workload.bystander else None)  # the servers start and wait
        before = _snapshot(kernel, stage)
        stage.start()
        _run(kernel, scenario)
        return _outcome(point, scenario, prices, kernel, stage, before, foretold, equal)

    outcome = at(profile)
    alone = not outcome.concurrent and not scenario.workload.bystander
    if bounds and outcome.sensitivity is None and alone and profile.uncertain:
        return replace(outcome, bracket=_bracket(outcome, at(profile.at_end(min)), at(profile.at_end(max))))
    return outcome


def _bracket(outcome: Outcome, least: Outcome, greatest: Outcome) -> tuple[float, float] | None:
    """Return the medians at the least and the greatest prices, None if other things happened there than in the run."""
    if not outcome.did_the_same_as(least) or not outcome.did_the_same_as(greatest):
        return None
    return least.summary.p50, greatest.summary.p50


def build(
    point: Point,
    scenario: Scenario,
    mechanism: Mechanism,
    profile: Profile,
    tier: TierName = "numba",
    *,
    trace: bool = False,
) -> tuple[Kernel, Stage]:
    """Return the kernel of a completed point, and in it the mechanism with its workload, ready to run."""
    kernel = Kernel(
        profile,
        seed=point.seed,
        engine=tier,
        cores=point.core_count,
        charge=point.charge,
        activation=point.activation,
        locks=point.locks,
        caches="hot" if point.caches == "hot" else cache_of(point),
        vectors=True,
        trace=trace,
    )
    return kernel, mechanism.build(kernel, scenario)


def _outcome(
    point: Point,
    scenario: Scenario,
    profile: Profile,
    kernel: Kernel,
    stage: Stage,
    before: _Snapshot,
    foretold: Prediction,
    equal: Rule,
) -> Outcome:
    after = _snapshot(kernel, stage)
    results = stage.results()
    _check(point, scenario, kernel, results)
    accounts = _difference(after.accounts, before.accounts)
    totals = together(accounts, accounts)
    counts = observed(totals, after.wake_ups - before.wake_ups)
    spent = _difference(after.spent, before.spent)
    is_sum = _is_sum(point, scenario.workload, spent)
    latency, window, good = _latencies(results, point.warm_up, before.now)
    statistics = kernel.statistics
    return Outcome(
        point=point,
        profile=str(profile),
        data=scenario.workload.data,
        arrivals=str(scenario.workload.arrivals),
        concurrent=concurrent(scenario.workload),
        latency=latency,
        window_ps=window,
        good=good,
        elapsed_ps=after.now - before.now,
        charging_ps=sum(totals.get(name, 0) * int(profile.prices[prices.INDEX[name]]) for name in CHARGING),
        counts=counts,
        predicted=foretold,
        equal=equal,
        accounts=accounts,
        spent=spent,
        sensitivity=sensitivity(profile, totals, point.operations, latency.percentile(50)) if is_sum else None,
        longest_section_ps=round(statistics.longest_section_ns * 1000),
        worst_release_ps=round(statistics.worst_release_ns * 1000),
        grafts=graft_accounts(kernel),
        contexts={use.name: _context(use) for use in kernel.contexts.values()},
        misses=counts.differences(foretold),
    )


def _context(use: Use) -> dict[str, int]:
    return {"user": use.user_ps, "kernel": use.kernel_ps, "graft": use.graft_ps, "lock": use.lock_ps}


def _run(kernel: Kernel, scenario: Scenario) -> None:
    """Let the model run until nothing can happen any more; with a bystander, who never stops, until all is answered."""
    if not scenario.workload.bystander:
        kernel.run()
        return
    while kernel.jobs_open:
        kernel.run(kernel.now_ps / PS + STEP_NS)


def _is_sum(point: Point, workload: Workload, spent: Mapping[str, Mapping[str, int]]) -> bool:
    """Whether the time of an operation is the sum of what is charged for it: nothing waits, overlaps or interferes."""
    waits = any(spent[account].get("idle", 0) for account in spent)
    alone = not concurrent(workload) and not workload.bystander
    return point.core_count == 1 and alone and not waits


def _latencies(results: npt.NDArray[np.void], warm_up: float, start: int) -> tuple[Histogram, int, int]:
    """Return the latencies (ps) behind the warm-up, how long those operations took together, and how many are good."""
    discarded = math.floor(len(results) * warm_up)
    kept = results[discarded:]
    begin = int(results["finished"][:discarded].max()) if discarded else start
    good = int(np.isin(kept["outcome"], GOOD).sum())
    return histogram_of((kept["finished"] - kept["arrival"]).tolist()), int(kept["finished"].max()) - begin, good


def _check(point: Point, scenario: Scenario, kernel: Kernel, results: npt.NDArray[np.void]) -> None:
    where = f"{point.mechanism}, {point.place_and_length}"
    arena, workload = kernel.arena.data, scenario.workload
    columns = (results[name].tolist() for name in ("outcome", "status", "body", "length"))
    answers = [
        Answer(outcome, status, bytes(arena[body : body + length]))
        for outcome, status, body, length in zip(*columns, strict=True)
    ]
    for operation, answer in enumerate(answers):
        wrong = workload.check(operation, answer)
        if wrong and answer.outcome != REPLIED:
            raise fail("G0845", f"{where}: operation {operation} was not answered: {wrong}")
        if wrong:
            raise fail("G0844", f"{where}: a wrong answer to operation {operation}: {wrong}")
    wrong = workload.final(kernel.stored, answers) if workload.final else None
    if wrong:
        raise fail("G0844", f"{where}: after the run {wrong}")


@dataclass(frozen=True, slots=True)
class _Snapshot:
    now: int
    accounts: AccountCounts
    spent: Mapping[str, Mapping[str, int]]
    wake_ups: int


def _snapshot(kernel: Kernel, stage: Stage) -> _Snapshot:
    accounts = kernel.accounts
    return _Snapshot(
        now=kernel.now_ps,
        accounts={name: dict(account.counts) for name, account in accounts.items()},
        spent={name: dict(account.ps) for name, account in accounts.items()},
        wake_ups=stage.wake_ups,
    )


def _difference(after: Mapping[str, Mapping[str, int]], before: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    """Return what was added between two snapshots, by account and name, without the zeros."""
    return {
        account: {name: more for name, value in by.items() if (more := value - before.get(account, {}).get(name, 0))}
        for account, by in after.items()
    }


def traced(point: Point, *, tier: TierName = "numba") -> Kernel | CannotExpress:
    """Return a kernel that has run a point and kept its trace. Raises as `run` does; answers are not looked at."""
    point = completed(point)
    mechanism, scenario = mechanism_of(point.mechanism), scenario_of(point)
    unable = mechanism.unable(scenario.workload, point.core_count)
    if unable is not None:
        return unable
    kernel, stage = build(point, scenario, mechanism, profile_of(point.profile), tier, trace=True)
    kernel.run()
    stage.start()
    kernel.run()
    return kernel
