"""Run one workload by every mechanism, over depths, topologies and profiles.

For each point of the grid and each mechanism: predict the counts; build a fresh kernel; let the servers start; run all
operations; check **every** answer against the data; compare the counts with the prediction. A wrong answer, or an
operation that did not end in a reply, raises: figures of a run that computed something else are worth nothing. A count
that was not as predicted is a *miss* and is reported beside the results.

What the profile's uncertain figures mean for a result follows from the counts (`bands`); nothing is run again for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from grafting.diagnostics import fail
from jit.hot import TierName
from kernel_model.costs import Profile
from kernel_model.costs.bands import sensitivity
from kernel_model.kernel import Kernel
from kernel_model.mechanisms import ALL
from kernel_model.mechanisms.counts import AccountCounts, Counts, differences, differences_in_sum, together
from kernel_model.mechanisms.scenario import CannotExpress, Mechanism, Scenario, Stage
from kernel_model.results.comparison import BASELINE, Comparison, Measured, Row
from kernel_model.results.statistics import histogram_of
from kernel_model.workloads import btree, catalogue
from kernel_model.workloads.workload import DEFAULT_TOPOLOGIES, Answer, Core, Topology, Workload, bind

if TYPE_CHECKING:
    from verifier import Verified

REPLIED = 0  # the terminal status of a job that ended as it should


@dataclass(frozen=True, slots=True)
class Plan:
    """The grid and what stays the same in it. `tier` is how the simulator itself runs, not what it models."""

    images: Sequence[btree.Image]
    profiles: Sequence[Profile]
    topologies: Sequence[Topology] = DEFAULT_TOPOLOGIES
    mechanisms: Sequence[Mechanism] = ALL
    lookups: int = 1000
    seed: int = 1
    service_ns: int = catalogue.SERVICE_NS
    think_ns: int = 0
    tier: TierName = "numba"

    @property
    def runs(self) -> int:
        """How many times a mechanism is run."""
        return len(self.images) * len(self.profiles) * len(self.topologies) * len(self.mechanisms)


@dataclass(frozen=True, slots=True)
class Observed:
    """What one run did: latencies in picoseconds by operation; counts and times by account, totals over the run."""

    latencies: list[int]
    counts: Counts
    accounts: AccountCounts
    ns: Mapping[str, Mapping[str, float]]
    longest_section_ns: float


def compare(verified: Verified, plan: Plan, progress: Callable[[str], None] = lambda _what: None) -> Comparison:
    """Run the grid. `progress` is called before each of `plan.runs` runs with what is about to run.

    Raises GraftError G0841 if the graft does not fit the workload, G0844 for a wrong answer, G0845 for an operation
    that ended otherwise than in a reply; OSError if an image cannot be read.
    """
    rows: list[Row] = []
    misses: list[str] = []
    workload: Workload | None = None
    for image in plan.images:
        for profile in plan.profiles:
            for topology in plan.topologies:
                workload = catalogue.btree_lookups(
                    image,
                    topology,
                    lookups=plan.lookups,
                    seed=plan.seed,
                    service_ns=plan.service_ns,
                    think_ns=plan.think_ns,
                )
                scenario = Scenario(workload, verified, bind(verified.program, workload))
                group = _Group(scenario, profile, plan, progress)
                rows += group.rows(image)
                misses += group.misses
    assert workload is not None, "a plan has at least one image, profile and topology"
    return Comparison(
        program=verified.program.name,
        workload=workload.name,
        data=plan.images[-1].records.source,
        lookups=plan.lookups,
        seed=plan.seed,
        engine="interpreted",
        arrivals=str(workload.arrivals),
        service_ns=plan.service_ns,
        profiles={profile.name: str(profile) for profile in plan.profiles},
        rows=tuple(rows),
        misses=tuple(misses),
    )


class _Group:
    """All mechanisms at one point of the grid."""

    def __init__(self, scenario: Scenario, profile: Profile, plan: Plan, progress: Callable[[str], None]) -> None:
        self.scenario = scenario
        self.profile = profile
        self.plan = plan
        self.progress = progress
        self.misses: list[str] = []

    @property
    def _place(self) -> str:
        workload = self.scenario.workload
        return f"{self.profile.name}, {workload.topology}, depth {workload.steps}"

    def rows(self, image: btree.Image) -> Iterator[Row]:
        baseline: Observed | None = None
        for mechanism in self.plan.mechanisms:
            result: Measured | CannotExpress | None = mechanism.express(self.scenario.workload)
            if result is None:
                typical, result = self._measure(mechanism)
                baseline = typical if mechanism.name == BASELINE else baseline
                if baseline is not None:
                    self._expect_equal(mechanism, baseline, typical)
            yield Row(
                profile=self.profile.name,
                topology=self.scenario.workload.topology,
                depth=image.shape.depth,
                mechanism=mechanism.name,
                fan_out=image.shape.fan_out,
                keys=image.shape.keys,
                result=result,
            )

    def _measure(self, mechanism: Mechanism) -> tuple[Observed, Measured]:
        operations = len(self.scenario.workload.operations)
        one_core = self.scenario.workload.topology.core is Core.SAME
        predicted = mechanism.predict(self.scenario.workload).scaled(operations) if one_core else None
        observed = self._run(mechanism)
        latency = histogram_of(observed.latencies)
        if predicted is not None:
            self.misses += [
                f"{self._place}, {mechanism.name}: {line}" for line in observed.counts.differences(predicted)
            ]
        totals = together(observed.accounts, observed.accounts)
        return observed, Measured(
            latency=latency.summary(),
            interval=latency.percentile_interval(50),
            sensitivity=sensitivity(self.profile, totals, operations, latency.percentile(50)) if one_core else None,
            counts=observed.counts,
            predicted=predicted,
            ns={a: {c: v / operations for c, v in by.items() if v} for a, by in observed.ns.items()},
            longest_section_ns=observed.longest_section_ns,
        )

    def _run(self, mechanism: Mechanism) -> Observed:
        self.progress(f"{self._place}, {mechanism.name}")
        kernel = Kernel(self.profile, seed=self.plan.seed, engine=self.plan.tier, cores=self._cores)
        stage = mechanism.build(kernel, self.scenario)
        kernel.run()  # the servers start and wait for their first request
        before = _snapshot(kernel, stage)
        stage.start()
        kernel.run()
        return self._observed(kernel, stage, before)

    @property
    def _cores(self) -> int:
        return 1 if self.scenario.workload.topology.core is Core.SAME else 2

    def _observed(self, kernel: Kernel, stage: Stage, before: _Snapshot) -> Observed:
        after = _snapshot(kernel, stage)
        results = stage.jobs.results()
        self._check(kernel, results)
        accounts = _difference(after.accounts, before.accounts)
        totals = together(accounts, accounts)
        return Observed(
            latencies=(results["finished"] - results["arrival"]).tolist(),
            counts=Counts(
                crossings=totals.get("entry", 0),
                switches=totals.get("switch", 0),
                wake_ups=after.wake_ups - before.wake_ups,
                kernel_activations=totals.get("activate", 0),
                user_activations=totals.get("activate_user", 0),
            ),
            accounts=accounts,
            ns=_difference(after.ns, before.ns),
            longest_section_ns=kernel.statistics.longest_section_ns,
        )

    def _check(self, kernel: Kernel, results: np.ndarray[Any, Any]) -> None:
        failed = np.flatnonzero(results["outcome"] != REPLIED)
        if len(failed):
            raise fail("G0845", f"{self._place}: operation {failed[0]} was not answered ({len(failed):,} in all)")
        for operation, result in enumerate(results):
            body = kernel.arena[result["body"] : result["body"] + result["length"]].tobytes()
            wrong = self.scenario.workload.check(operation, Answer(REPLIED, int(result["status"]), body))
            if wrong:
                raise fail("G0844", f"{self._place}: a wrong answer to operation {operation}: {wrong}")

    def _expect_equal(self, mechanism: Mechanism, baseline: Observed, observed: Observed) -> None:
        """Note the counts that must not depend on the mechanism but do."""
        compare_counts = differences_in_sum if mechanism.moves_handler else differences
        lines = compare_counts(baseline.accounts, observed.accounts)
        self.misses += [f"{self._place}, {mechanism.name} against {BASELINE}: {line}" for line in lines]


@dataclass(frozen=True, slots=True)
class _Snapshot:
    accounts: AccountCounts
    ns: Mapping[str, Mapping[str, float]]
    wake_ups: int


def _snapshot(kernel: Kernel, stage: Stage) -> _Snapshot:
    accounts = kernel.accounts
    return _Snapshot(
        accounts={name: dict(account.counts) for name, account in accounts.items()},
        ns={name: dict(account.ns) for name, account in accounts.items()},
        wake_ups=stage.client.wakeups,
    )


_Number = TypeVar("_Number", int, float)


def _difference(
    after: Mapping[str, Mapping[str, _Number]], before: Mapping[str, Mapping[str, _Number]]
) -> dict[str, dict[str, _Number]]:
    """Return what was added between two snapshots, by account and name."""
    return {
        account: {name: value - before.get(account, {}).get(name, 0) for name, value in by.items()}
        for account, by in after.items()
    }
