"""All primitives of this machine, and the profile made of them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from grafting.diagnostics import fail
from kernel_model import costs
from kernel_model.calibration import activation, code, sockets, system
from kernel_model.calibration.samples import Measured, Series, figure, in_rounds
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
    series = of_the_kernel(rounds)
    progress("instructions and helpers")
    series |= code.measure(rounds)
    progress("an empty activation")
    if not bpf.unavailable():
        series["activate"] = activation.measure(rounds)
    return {name: figure(values) for name, values in series.items()}


def of_the_kernel(rounds: int) -> dict[str, Series]:
    """Return the primitives of `system` and, where `bpf(2)` is allowed, of `sockets`: all take turns in every round.

    So a machine that slows down for a while slows all that a chain is the sum of.
    """
    with system.one_core(), ExitStack() as opened:
        extra = {} if bpf.unavailable() else sockets.probes(opened)
        raw = in_rounds(system.probes(opened) | extra, rounds)
    return system.derived(raw) | {name: raw[name] for name in extra}


def calibrate(rounds: int = ROUNDS, progress: Callable[[str], None] = lambda _what: None) -> str:
    """Return the profile of this machine as TOML; it is valid, or GraftError says why these figures make none."""
    text = toml(measured(rounds, progress), rounds)
    costs.parse(text, filename="<calibrate>")
    return text
