"""Predictions written down before the runs, then the table of errors: `docs/validation.md` says what each rests on.

    python -m benchmarks.validation [--out FILE] [--seeds N] [--rounds N] [--no-linux]

Each part writes its predictions to FILE (default `predictions.jsonl`, one line a part), prints their digest, and only
then runs. Parts: XRP's layers, published composites of every profile, capacity of the simulated kernel, chains on this
machine's kernel where bpf(2) is allowed, queueing theory over fixed seeds (200). Exits with 1 if a composite is not
reassembled exactly or a coverage is outside 90 to 99 %; a missed prediction is listed, and no failure of the script.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import machine
from kernel_model import costs
from kernel_model.linux import chains
from kernel_model.validation import capacity, queueing, xrp
from kernel_model.validation.predictions import COLUMNS, Prediction, frozen, outcomes, rows, summary

SEEDS, OPERATIONS = 200, 20_000
COVERED = (0.9, 0.99)
ROUNDS = 41


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


def report(predictions: Sequence[Prediction], observed: Mapping[str, float]) -> None:
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


def live(record: Record, rounds: int) -> None:
    """Predict chains on this machine's kernel from its primitives, then run them.

    The primitives are measured once more afterwards: where they have moved, the machine did, and the errors with it.
    """
    reason = chains.forbidden()
    if reason:
        print(f"\n## Chains on Linux\n\nnot run: {reason}")
        return
    given = chains.primitives(rounds)
    made = chains.predict(given)
    digest = hashlib.sha256(repr(sorted(given.items())).encode()).hexdigest()
    record.freeze("Chains on Linux", made, {"primitives of this machine": digest})
    observed = chains.measure(rounds=rounds)
    again = chains.primitives(rounds)
    used = [
        (name, f"{f.value:.0f}", f"{f.low:.0f} .. {f.high:.0f}", f"{again[name].value / f.value - 1:+.1%}")
        for name, f in given.items()
        if f.value >= 1
    ]
    print(f"\n{machine.table(('primitive', 'ns', 'interval', 'after the chains'), used)}", flush=True)
    report(made, observed)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("predictions.jsonl"))
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--no-linux", action="store_true")
    arguments = parser.parse_args()
    print(f"{machine.heading()}; {machine.load()}")
    record = Record(arguments.out)
    storage(record)
    exact = composites()
    simulated(record)
    if not arguments.no_linux:
        live(record, arguments.rounds)
    covered = theory(record, arguments.seeds)
    return 0 if exact and covered else 1


if __name__ == "__main__":
    sys.exit(main())
