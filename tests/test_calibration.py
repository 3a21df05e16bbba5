"""Calibration: figures are statistics of rounds, prices are solved from microkernels, the result is a profile."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

import cli
import jit
from grafting import GraftError
from grafting.isa import CostClass
from kernel_model import costs
from kernel_model.calibration import calibrate, code, samples, system, writing
from kernel_model.calibration.samples import Measured
from kernel_model.linux import bpf, loops

linux = pytest.mark.skipif(bool(loops.unavailable()), reason=loops.unavailable() or "the loops can run")

CLASSES = [kind.name.lower() for kind in CostClass]
ASKED = ("null_syscall", "pipe_half", "futex_half", *writing.PRIMITIVES, *(f"native_{c}" for c in CLASSES),
         *(f"interpreted_{c}" for c in CLASSES))  # fmt: skip
GIVEN = {name: Measured(1.0, 0.9, 1.2) for name in ASKED} | {
    "null_syscall": Measured(90.0, 88.0, 95.0),
    "pipe_half": Measured(1000.0, 950.0, 1100.0),
    "futex_half": Measured(980.0, 940.0, 1050.0),
    "switch": Measured(400.0, 350.0, 500.0),
}


def test_a_figure_is_the_median_and_two_percentiles() -> None:
    assert samples.figure([float(n) for n in range(1, 101)]) == Measured(50.5, 5.0, 95.0)
    assert samples.figure([7.0]) == Measured(7.0, 7.0, 7.0)


def test_a_derived_series_is_worked_out_round_by_round_and_never_negative() -> None:
    assert samples.by_round(lambda a, b: a - b, (5.0, 1.0), (2.0, 3.0)) == (3.0, 0.0)


def test_the_first_round_only_warms_up() -> None:
    calls: list[int] = []
    found = samples.in_rounds({"a": samples.Probe(calls.append, 3)}, 4)
    assert calls == [3] * 5
    assert len(found["a"]) == 4


@pytest.mark.parametrize("kernel", code.microkernels(), ids=lambda kernel: kernel.name or "nothing")
def test_a_microkernel_executes_what_its_counts_say_beyond_the_empty_one(kernel: code.Microkernel) -> None:
    empty = code.microkernels()[0].program
    runs = [jit.interpret(program, bytearray(code.MEMORY)).instructions for program in (kernel.program, empty)]
    assert runs[0] - runs[1] == sum(kernel.counts.values())
    assert not kernel.name or kernel.counts[CostClass[kernel.name.upper()]] == code.LOOPS * code.UNROLLED * (
        4 if kernel.name == "alu" else 1
    )


def test_prices_are_recovered_from_the_times_that_they_make() -> None:
    true = {kind: 1.0 + kind for kind in CostClass} | {CostClass.EXIT: 1.0 + CostClass.CALL}
    kernels = code.microkernels()
    times = {k.name: 100.0 + sum(n * true[kind] for kind, n in k.counts.items()) for k in kernels}
    assert code._solved(kernels, times) == pytest.approx({kind.name.lower(): price for kind, price in true.items()})


def test_what_takes_no_time_is_priced_as_one_of_those_begun_in_a_cycle() -> None:
    kernels = code.microkernels()
    times = {k.name: 100.0 + (code.LOOPS * code.UNROLLED * 4 if k.name == "alu" else 0) for k in kernels}
    assert code._solved(kernels, times)["jump"] == 1 / code.WIDTH


def parsed(measured: Mapping[str, Measured]) -> costs.Profile:
    return costs.parse(writing.toml(measured, rounds=11))


def test_measured_figures_become_a_profile_with_its_sources() -> None:
    profile = parsed(GIVEN)
    assert profile.name == "linux-host"
    assert profile.composites["call"].value == 1_000_000
    assert profile.primitives["switch"].certainty is costs.Certainty.MEASURED
    assert (profile.primitives["switch"].low, profile.primitives["switch"].high) == (350_000, 500_000)
    assert "11 rounds" in profile.sources["calibrate"]
    for name in (*writing.PRIMITIVES, "native_alu", "interpreted_load"):
        assert profile.primitives[name].certainty is costs.Certainty.MEASURED
        assert profile.primitives[name].worst >= profile.primitives[name].high


def test_what_cannot_be_measured_stays_assumed_and_is_named() -> None:
    without = {name: figure for name, figure in GIVEN.items() if name != "activate"}
    assert parsed(without).primitives["activate"].certainty is costs.Certainty.ASSUMED
    assert "bpf(2) is not allowed" in writing.toml(without, rounds=11)
    profile = parsed(GIVEN)
    said = {name for names in writing.MISSING for name in names.split(", ")}
    for figure in profile.primitives.values():
        known = figure.certainty is not costs.Certainty.ASSUMED or figure.equation is not None
        assert known or figure.name in said or figure.name == "entry" or figure.base == "common", figure.name


def test_a_noisy_switch_leaves_room_for_the_rest_of_a_message() -> None:
    noisy = GIVEN | {"switch": Measured(900.0, 500.0, 2000.0)}
    assert parsed(noisy).primitives["dispatch_call"].low >= 0


def test_the_digest_follows_every_measured_figure() -> None:
    for name in ("null_syscall", "switch", "map_lookup", "interpreted_div"):
        other = GIVEN | {name: replace(GIVEN[name], value=GIVEN[name].value * 1.05)}
        assert parsed(other).digest != parsed(GIVEN).digest


def test_another_system_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "s390x")
    with pytest.raises(GraftError, match="G0855"):
        calibrate.measured(3)


@linux
def test_numba_a_calibration_of_this_machine_is_a_profile_found_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    before = os.sched_getaffinity(0)
    result = CliRunner().invoke(cli.main, ["calibrate", "--rounds", "3"])
    assert result.exit_code == 0, result.output
    assert os.sched_getaffinity(0) == before
    profile = costs.load("linux-host")
    assert profile.digest in result.stderr
    assert profile.primitives["interpreted_alu"].certainty is costs.Certainty.MEASURED
    assert bool(bpf.unavailable()) == (profile.primitives["activate"].certainty is costs.Certainty.ASSUMED)


@linux
def test_numba_a_round_trip_is_more_than_its_system_calls() -> None:
    found = {name: samples.figure(series).value for name, series in system.measure(3).items()}
    assert found["pipe_half"] > found["pipe_own"] > found["null_syscall"] > 0
    assert found["switch"] >= 0  # what is left of half a round trip; next to nothing where the machine is busy
