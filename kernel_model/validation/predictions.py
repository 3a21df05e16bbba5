"""A prediction and what came out; a file of predictions with a digest; the table of errors with its misses.

The digest of all predictions, and of the profile that they rest on, is printed and stored *before* anything is run, so
that no prediction can follow its outcome. A **miss** is an outcome outside the prediction's interval, or, where there
is no interval, further from it than the tolerance that was stated with it. Misses are listed as misses.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from kernel_model.calibration.samples import Measured


@dataclass(frozen=True, slots=True)
class Prediction:
    """`value`, and the interval that the outcome must lie in. `why` is the sum or the theorem that it comes from."""

    name: str
    value: float
    low: float
    high: float
    unit: str
    why: str


def within(name: str, value: float, tolerance: float, unit: str, why: str) -> Prediction:
    """Return a prediction that allows a relative error of `tolerance`."""
    return Prediction(name, value, value * (1 - tolerance), value * (1 + tolerance), unit, why)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A prediction beside what was measured, simulated or published; `spread` is of the repetitions, if there were."""

    prediction: Prediction
    observed: float
    spread: tuple[float, float] | None = None

    @property
    def error(self) -> float:
        """How far the prediction is from what was observed, as a share of the latter; without end if that is 0."""
        return self.prediction.value / self.observed - 1 if self.observed else math.inf

    @property
    def missed(self) -> bool:
        """Whether the observation is outside what the prediction allows."""
        return not self.prediction.low <= self.observed <= self.prediction.high


def frozen(predictions: Iterable[Prediction], rests_on: Mapping[str, str]) -> tuple[str, str]:
    """Return the predictions as a line of JSON and its SHA-256. `rests_on`: profile -> digest."""
    data: dict[str, Any] = {"rests_on": dict(rests_on), "predictions": [asdict(p) for p in predictions]}
    text = json.dumps(data, sort_keys=True)
    return text, hashlib.sha256(text.encode()).hexdigest()


def outcomes(predictions: Iterable[Prediction], observed: Mapping[str, float | Measured]) -> list[Outcome]:
    """Return each prediction with its observation. Raises KeyError if one was not observed."""
    return [_outcome(prediction, observed[prediction.name]) for prediction in predictions]


def _outcome(prediction: Prediction, seen: float | Measured) -> Outcome:
    if isinstance(seen, int | float):
        return Outcome(prediction, seen)
    return Outcome(prediction, seen.value, (seen.low, seen.high))


COLUMNS = ("what", "predicted", "allowed", "observed", "error", "")


def rows(found: Sequence[Outcome]) -> list[tuple[str, ...]]:
    """Return the table's rows, `COLUMNS`: a miss says so in the last one."""
    return [
        (
            each.prediction.name,
            f"{each.prediction.value:.4g} {each.prediction.unit}",
            f"{each.prediction.low:.4g} .. {each.prediction.high:.4g}",
            f"{each.observed:.4g}" + (" ({:.4g} .. {:.4g})".format(*each.spread) if each.spread else ""),
            f"{each.error:+.1%}",
            "MISS" if each.missed else "",
        )
        for each in found
    ]


def summary(found: Sequence[Outcome]) -> str:
    """Return a line that counts the misses and names them."""
    missed = [each.prediction.name for each in found if each.missed]
    return f"{len(missed)} of {len(found)} predictions missed" + (f": {'; '.join(missed)}" if missed else "")
