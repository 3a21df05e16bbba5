"""A prediction and what came out; a file of predictions with a digest; the table of errors with its misses.

The digest of all predictions, and of the profile that they rest on, is printed and stored *before* anything is run, so
that no prediction can follow its outcome. A **miss** is an outcome outside the prediction's interval, or, where there
is no interval, further from it than the tolerance that was stated with it. Misses are listed as misses.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any


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
    """A prediction beside what was measured, simulated or published."""

    prediction: Prediction
    observed: float

    @property
    def error(self) -> float:
        """How far the prediction is from what was observed, as a share of the latter."""
        return self.prediction.value / self.observed - 1

    @property
    def missed(self) -> bool:
        """Whether the observation is outside what the prediction allows."""
        return not self.prediction.low <= self.observed <= self.prediction.high


def frozen(predictions: Iterable[Prediction], rests_on: Mapping[str, str]) -> tuple[str, str]:
    """Return the predictions as a line of JSON and its SHA-256. `rests_on`: profile -> digest."""
    data: dict[str, Any] = {"rests_on": dict(rests_on), "predictions": [asdict(p) for p in predictions]}
    text = json.dumps(data, sort_keys=True)
    return text, hashlib.sha256(text.encode()).hexdigest()


def outcomes(predictions: Iterable[Prediction], observed: Mapping[str, float]) -> list[Outcome]:
    """Return each prediction with its observation. Raises KeyError if one was not observed."""
    return [Outcome(prediction, observed[prediction.name]) for prediction in predictions]


COLUMNS = ("what", "predicted", "allowed", "observed", "error", "")


def rows(found: Sequence[Outcome]) -> list[tuple[str, ...]]:
    """Return the table's rows, `COLUMNS`: a miss says so in the last one."""
    return [
        (
            each.prediction.name,
            f"{each.prediction.value:.4g} {each.prediction.unit}",
            f"{each.prediction.low:.4g} .. {each.prediction.high:.4g}",
            f"{each.observed:.4g}",
            f"{each.error:+.1%}",
            "MISS" if each.missed else "",
        )
        for each in found
    ]


def summary(found: Sequence[Outcome]) -> str:
    """Return a line that counts the misses and names them."""
    missed = [each.prediction.name for each in found if each.missed]
    return f"{len(missed)} of {len(found)} predictions missed" + (f": {'; '.join(missed)}" if missed else "")
