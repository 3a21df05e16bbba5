"""Predictions written down before the runs, then the table of errors: `docs/validation.md` says what each rests on.

    python -m benchmarks.validation [PART..] [--out FILE] [--seeds N] [--rounds N] [--repeats N]
                                   [--settle SECONDS]

Each part writes its predictions to FILE (default `predictions.jsonl`, one line a part), prints their digest, and only
then runs. Parts, all by default:

    xrp composites    sums of published layers; published wholes of every profile
    simulated         capacity of the simulated kernel
    chains load bystander    this machine's kernel, where bpf(2) is allowed: calibrated first, the profile's digest is
                      printed; all of their predictions are written before the first chain is run
    theory            queueing theory over fixed seeds (200)

Exits with 1 if a composite is not reassembled exactly or a coverage is outside 90 to 99 %; a missed prediction is
listed, and no failure of the script.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks import machine
from kernel_model import costs
from kernel_model.calibration import calibrate
from kernel_model.calibration.samples import Measured, figure
from kernel_model.linux import bystanders, chains, loads
from kernel_model.validation import capacity, queueing, xrp
from kernel_model.validation.predictions import COLUMNS, Prediction, frozen, outcomes, rows, summary

SEEDS, OPERATIONS = 200, 20_000
COVERED = (0.9, 0.99)
ROUNDS = 41
SETTLE = 60  # seconds


class Record:
    """The file of predictions: a line of JSON for each part, whose digest is printed when it has been written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_text("")

    def freeze(self, part: str, predictions: Sequence[Prediction], rests_on: Mapping[str, str]) -> None:
        text, digest = frozen(predictions, rests_on)
        with self.path.open("a") as file:
            file.write(f"{text}\n")
        print(f"\n## {part}\n\n{len(predictions)} predictions, sha256 {digest}, in {self.path}", flush=True)
        for name, profile in rests_on.items():
            print(f"resting on {name}, sha256 {profile}", flush=True)


def report(predictions: Sequence[Prediction], observed: Mapping[str, float | Measured]) -> None:
    """Print the table of errors."""
    found = outcomes(predictions, observed)
    print(f"\n{machine.table(COLUMNS, rows(found))}\n\n{summary(found)}.", flush=True)


def theory(record: Record, seeds: int) -> bool:
    """Compare coverage with what it must be; returns whether all are within `COVERED`."""
    low, high = COVERED
    made = [
        Prediction(f"{queue.name}, {one.name}: mean {expected:.1f} ns", 0.95, low, high, "covered", "95 % intervals")
        for queue in queueing.QUEUES
        for one, expected in zip(queue.classes, queue.expected_ns, strict=True)
    ]
    record.freeze(f"Queueing theory, {seeds} seeds of {OPERATIONS:,} operations", made, {})
    found = [share for q in queueing.QUEUES for share in queueing.coverage(q, range(1, seeds + 1), OPERATIONS)]
    report(made, {prediction.name: share for prediction, share in zip(made, found, strict=True)})
    return all(low <= share <= high for share in found)


def composites() -> bool:
    """Reassemble every composite of every profile of the package; returns whether all are exact."""
    wrong, count = [], 0
    for profile in map(costs.load, costs.available()):
        figures = {**profile.composites, **profile.parts, **profile.primitives}
        for composite in profile.composites.values():
            assert composite.equation is not None
            total = sum(c * figures[term].value for c, term in composite.equation.terms)
            count += 1
            if total != composite.value:
                wrong.append(f"{profile.name}: {composite.name} is {composite.value} ps, its parts {total} ps")
    print(f"\n## Composites\n\n{count} composites of {len(costs.available())} profiles; not exact: {len(wrong)}")
    print(*wrong, sep="\n", flush=True)
    return not wrong


def storage(record: Record) -> None:
    """Add up XRP's layers."""
    profile = costs.load("xrp")
    made = xrp.predictions(profile)
    record.freeze("XRP (OSDI 2022)", made, {profile.name: profile.digest})
    report(made, xrp.PUBLISHED_US)


def simulated(record: Record) -> None:
    """Predict saturation, open-loop latency and a bystander's share of the simulated kernel."""
    profiles = [costs.load(name) for name in costs.DEFAULT_PROFILES]
    made = [prediction for profile in profiles for prediction in capacity.predict(profile)]
    record.freeze("Capacity of the simulated kernel", made, {p.name: p.digest for p in profiles})
    report(made, {name: value for profile in profiles for name, value in capacity.observe(profile).items()})


LIVE = ("chains", "load", "bystander")
LIVE_PART = {
    "chains": "Chains on Linux",
    "load": "Load on Linux",
    "bystander": "A bystander on Linux",
}


def live(record: Record, wanted: Sequence[str], rounds: int, repeats: int, settle: int) -> None:
    """Predict chains on this machine's kernel from its calibrated primitives, then run them.

    Before all that the machine is kept busy for `settle` seconds, so that its speed is what it will be.

    The primitives are measured once more afterwards: where they have moved, the machine did, and the errors with it.
    """
    reason = chains.forbidden()
    if reason:
        print(f"\n## Linux\n\nnot run: {reason}")
        return
    machine.settle(settle)
    print(f"\n## This machine's primitives\n\n{rounds} rounds; {machine.load()}", flush=True)
    profile = costs.parse(calibrate.calibrate(rounds), filename="calibrated")
    print(f"profile {profile.name}, sha256 {profile.digest}", flush=True)
    rests_on = {profile.name: profile.digest}
    planned, beside = loads.plans(profile), bystanders.plan(profile)
    made = {
        "chains": chains.predict(profile),
        "load": [prediction for plan in planned for prediction in loads.predict(plan)],
        "bystander": bystanders.predict(profile, beside),
    }
    runs: dict[str, Callable[[], Mapping[str, Measured]]] = {
        "chains": lambda: chains.measure(rounds=2 * repeats + 1),
        "load": lambda: loads.measure(planned, repeats),
        "bystander": lambda: bystanders.measure(beside, repeats),
    }
    for part in wanted:
        record.freeze(LIVE_PART[part], made[part], rests_on)
    for part in wanted:
        print(f"\n### {LIVE_PART[part]}; {machine.load()}")
        report(made[part], runs[part]())
    print("\n### Primitives before and after\n")
    print(machine.table(("primitive", "ns", "interval", "afterwards"), _moved(profile, rounds)), flush=True)


def _moved(profile: costs.Profile, rounds: int) -> Iterator[tuple[str, ...]]:
    after = calibrate.of_the_kernel(rounds)
    for name, part in profile.parts.items():
        value, low, high = (ps / 1000 for ps in (part.value, part.low, part.high))
        yield name, f"{value:.0f}", f"{low:.0f} .. {high:.0f}", f"{figure(after[name]).value:.0f}"


def main() -> int:
    parts = ("xrp", "composites", "simulated", *LIVE, "theory")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="*", metavar="PART", help=f"one of {', '.join(parts)}")
    parser.add_argument("--out", type=Path, default=Path("predictions.jsonl"))
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of the calibration")
    parser.add_argument("--repeats", type=int, default=loads.ROUNDS, help="of each load")
    parser.add_argument("--settle", type=int, default=SETTLE, help="seconds of work before Linux is measured")
    arguments = parser.parse_args()
    wanted = arguments.part or parts
    if unknown := set(wanted) - set(parts):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(parts)}")
    print(f"{machine.heading()}; {machine.load()}")
    record = Record(arguments.out)
    good = True
    if "xrp" in wanted:
        storage(record)
    if "composites" in wanted:
        good &= composites()
    if "simulated" in wanted:
        simulated(record)
    if on_linux := [part for part in LIVE if part in wanted]:
        live(record, on_linux, arguments.rounds, arguments.repeats, arguments.settle)
    if "theory" in wanted:
        good &= theory(record, arguments.seeds)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
