"""All primitives of this machine, and the profile made of them."""

from __future__ import annotations

from collections.abc import Callable

from grafting.diagnostics import fail
from kernel_model import costs
from kernel_model.calibration import activation, code, sockets, system
from kernel_model.calibration.samples import Measured, figure
from kernel_model.calibration.writing import toml
from kernel_model.linux import bpf
from kernel_model.linux.loops import unavailable

ROUNDS = 41
STEPS = 3  # that `progress` is told of


def measured(rounds: int = ROUNDS, progress: Callable[[str], None] = lambda _what: None) -> dict[str, Measured]:
    """Measure the primitives, ns by name. Raises GraftError G0855 where the system is not one that can be measured."""
    reason = unavailable()
    if reason:
        raise fail("G0855", f"this machine cannot be calibrated: {reason}")
    progress("crossings, switches, wakes, copies")
    series = system.measure(rounds)
    progress("instructions and helpers")
    series |= code.measure(rounds)
    progress("activations")
    if not bpf.unavailable():
        series["activate"] = activation.measure(rounds)
        series |= sockets.measure(rounds)
    return {name: figure(values) for name, values in series.items()}


def calibrate(rounds: int = ROUNDS, progress: Callable[[str], None] = lambda _what: None) -> str:
    """Return the profile of this machine as TOML; it is valid, or GraftError says why these figures make none."""
    text = toml(measured(rounds, progress), rounds)
    costs.parse(text, filename="<calibrate>")
    return text
