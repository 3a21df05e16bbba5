"""A profile as `graft calibrate` would write it on a machine whose primitives are known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from grafting.isa import CostClass
from kernel_model import costs
from kernel_model.calibration import writing
from kernel_model.calibration.samples import Measured

_CLASSES = [kind.name.lower() for kind in CostClass]
_ASKED = ("null_syscall", "pipe_half", "futex_half", *writing.PRIMITIVES, *writing.PARTS,
          *(f"native_{c}" for c in _CLASSES), *(f"interpreted_{c}" for c in _CLASSES))  # fmt: skip

GIVEN: Final[Mapping[str, Measured]] = {name: Measured(1.0, 0.9, 1.2) for name in _ASKED} | {
    "null_syscall": Measured(90.0, 88.0, 95.0),
    "pipe_half": Measured(1000.0, 950.0, 1100.0),
    "futex_half": Measured(980.0, 940.0, 1050.0),
    "switch": Measured(400.0, 350.0, 500.0),
    "message": Measured(1000.0, 900.0, 1100.0),
    "handover": Measured(500.0, 450.0, 600.0),
    "redirect": Measured(700.0, 690.0, 720.0),
    "sleep": Measured(2000.0, 1900.0, 2300.0),
}
"""ns by name."""


def profile(given: Mapping[str, Measured] = GIVEN) -> costs.Profile:
    """Return the profile of a machine with these primitives."""
    return costs.parse(text(given))


def text(given: Mapping[str, Measured] = GIVEN) -> str:
    """Return it as its file."""
    return writing.toml(given, rounds=11)
