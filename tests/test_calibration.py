"""Calibration: figures are statistics of rounds, prices are solved from microkernels, the result is a profile."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import calibrated
import pytest
from click.testing import CliRunner

import cli
import jit
from grafting import GraftError
from grafting.isa import CostClass
from kernel_model import costs
from kernel_model.calibration import calibrate, code, samples, system, topology, writing
from kernel_model.calibration.samples import Measured
from kernel_model.linux import bpf, loops

linux = pytest.mark.skipif(bool(loops.unavailable()), reason=loops.unavailable() or "the loops can run")


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


def test_measured_figures_become_a_profile_with_its_sources() -> None:
    profile = calibrated.profile()
    assert profile.name == "linux-host"
    assert profile.composites["call"].value == 1_000_000
    assert profile.primitives["switch"].certainty is costs.Certainty.MEASURED
    assert (profile.primitives["switch"].low, profile.primitives["switch"].high) == (350_000, 500_000)
    assert "11 rounds" in profile.sources["calibrate"]
    for name in (*writing.PRIMITIVES, "native_alu", "interpreted_load"):
        assert profile.primitives[name].certainty is costs.Certainty.MEASURED
        assert profile.primitives[name].worst >= profile.primitives[name].high


def test_what_only_chains_are_predicted_from_is_a_part_of_the_profile_where_it_can_be_measured() -> None:
    assert set(calibrated.profile().parts) == set(writing.PARTS)
    without = {name: figure for name, figure in calibrated.GIVEN.items() if name not in ("message", "redirect")}
    assert set(calibrated.profile(without).parts) == {"handover", "sleep"}
    assert calibrated.profile().parts["message"].value == 1_000_000


def test_what_cannot_be_measured_stays_assumed_and_is_named() -> None:
    without = {name: figure for name, figure in calibrated.GIVEN.items() if name != "activate"}
    assert calibrated.profile(without).primitives["activate"].certainty is costs.Certainty.ASSUMED
    assert "bpf(2) is not allowed" in writing.toml(without, rounds=11)
    profile = calibrated.profile()
    said = {name for names in writing.MISSING for name in names.split(", ")}
    for figure in profile.primitives.values():
        known = figure.certainty is not costs.Certainty.ASSUMED or figure.equation is not None
        assert known or figure.name in said or figure.name == "entry" or figure.base == "common", figure.name


def test_a_noisy_switch_leaves_room_for_the_rest_of_a_message() -> None:
    noisy = calibrated.GIVEN | {"switch": Measured(900.0, 500.0, 2000.0)}
    assert calibrated.profile(noisy).primitives["dispatch_call"].low >= 0


def test_the_digest_follows_every_measured_figure() -> None:
    for name in ("null_syscall", "switch", "map_lookup", "interpreted_div", "message"):
        other = calibrated.GIVEN | {name: replace(calibrated.GIVEN[name], value=calibrated.GIVEN[name].value * 1.05)}
        assert calibrated.profile(other).digest != calibrated.profile().digest


def test_the_cache_of_a_core_is_the_largest_for_data_that_no_other_core_shares(tmp_path: Path) -> None:
    levels = (("0", "Data", "48K", "0,4"), ("1", "Instruction", "9000K", "0,4"), ("2", "Unified", "2048K", "0,4"),
              ("3", "Unified", "266240K", "0-7"))  # fmt: skip
    for number, kind, size, shared in levels:
        index = tmp_path / "cache" / f"index{number}"
        index.mkdir(parents=True)
        told = {"type": kind, "size": size, "coherency_line_size": "64", "shared_cpu_list": shared}
        for name, text in told.items():
            (index / name).write_text(f"{text}\n")
    (tmp_path / "topology").mkdir()
    (tmp_path / "topology" / "thread_siblings_list").write_text("0,4\n")
    found = topology.told(tmp_path)
    assert found is not None
    assert (found.size, found.line) == (2 << 20, 64)
    assert topology.told(tmp_path / "elsewhere") is None


def test_a_cache_that_the_system_does_not_tell_of_is_the_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topology, "told", lambda: costs.Cache(1 << 16, 32))
    assert (calibrated.profile().cache.size, calibrated.profile().cache.line) == (1 << 16, 32)
    monkeypatch.setattr(topology, "told", lambda: None)
    assert topology.own_cache() == calibrated.profile().cache == costs.load("xrp").cache


def test_a_random_cycle_meets_every_line_once_before_it_begins_again() -> None:
    places = system.cycle(64 * 64, 64)
    seen, at = [], 0
    for _ in range(64):
        seen.append(at)
        at = int(places[at])
    assert at == 0
    assert sorted(seen) == list(range(0, 512, 8))


def test_another_system_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "s390x")
    with pytest.raises(GraftError, match="G0855"):
        calibrate.measured(3)


class Machine:
    """A processor on which time passes only when something is done, at costs that are known."""

    def __init__(self) -> None:
        self.now = 0.0

    def probe(self, ns: float, times: int = 8) -> samples.Probe:
        """Return a probe of something that takes `ns`."""
        return samples.Probe(lambda n: self.spend(n * ns), times, clock=lambda _peers: round(self.now))

    def spend(self, ns: float) -> None:
        self.now += ns


def test_a_batch_is_the_time_of_the_thing_and_of_nothing_else() -> None:
    machine = Machine()
    probes = {"cheap": machine.probe(25.0), "dear": machine.probe(4000.0, times=2)}
    for _ in range(3):
        machine.spend(1e9)  # in between, others run
        assert samples.in_rounds(probes, 2) == {"cheap": (25.0, 25.0), "dear": (4000.0, 4000.0)}


def test_primitives_are_recovered_on_a_machine_whose_costs_are_known() -> None:
    crossing, byte, block, wake, switch, futex, give_way = 100.0, 0.25, 200.0, 150.0, 700.0, 1200.0, 120.0
    own = 2 * (crossing + system.SMALL * byte / 2)
    half = own + block + wake + switch
    machine = Machine()
    costs_of = {
        "null_syscall": crossing, "clock": 20.0, "clock_read": 10.0, "pipe_own": own,
        "pipe_large": own + (system.LARGE - system.SMALL) * byte, "yield": give_way,
        "pipes": 2 * half, "futex": 2 * futex, "yield_pair": 2 * (give_way + switch), "sleep": 9000.0,
        "warm": 4.0, "cold": 64.0,
    }  # fmt: skip
    raw = samples.in_rounds({name: machine.probe(ns) for name, ns in costs_of.items()}, 3)
    found = {name: samples.figure(series) for name, series in system.derived(raw).items()}
    expected = {
        "null_syscall": crossing, "clock": 20.0, "clock_read": 10.0, "pipe_own": own, "yield": give_way,
        "yield_pair": 2 * (give_way + switch), "pipe_half": half, "futex_half": futex, "switch": switch,
        "handover": block + wake + switch, "wake": block + wake, "copy_byte": byte, "sleep": 9000.0,
        "refill_line": 60.0,
    }  # fmt: skip
    assert {name: figure.value for name, figure in found.items()} == pytest.approx(expected)
    assert all(figure.low == figure.high for figure in found.values())


def test_prices_of_instructions_and_helpers_are_recovered_from_batches_that_they_make() -> None:
    alu, lookup, begun = 1.0, 40.0, 1.0 / code.WIDTH
    kernels = code.microkernels()
    raw = {
        f"{engine} {k.name}": (500.0 + speed * sum(n * (alu + kind) for kind, n in k.counts.items()),) * 2
        for engine, speed in (("native", 1.0), ("interpreted", 5.0))
        for k in kernels
    }
    for name, statement in code._HELPERS.items():
        beyond = lookup + code._around(statement) * begun
        raw |= {f"{name} {calls}": (90.0 + calls * beyond,) * 2 for calls in (code._FEW, code._MANY)}
    found = code.derived({**raw, "activate_user": (7.0, 7.0)})
    assert found["activate_user"] == (7.0, 7.0)
    assert found["map_lookup"] == pytest.approx((lookup, lookup))
    for kind in (CostClass.MUL, CostClass.DIV, CostClass.ATOMIC):
        assert found[f"native_{kind.name.lower()}"] == pytest.approx((alu + kind,) * 2)
        assert found[f"interpreted_{kind.name.lower()}"] == pytest.approx((5 * (alu + kind),) * 2)


@linux
def test_numba_a_calibration_of_this_machine_is_a_profile_found_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines = ("native_", "interpreted_", "map_", "activate_user")
    given = {name: (figure.value,) * 3 for name, figure in calibrated.GIVEN.items() if name.startswith(engines)}
    monkeypatch.setattr(code, "measure", lambda _rounds: given)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    before = os.sched_getaffinity(0)
    result = CliRunner().invoke(cli.main, ["calibrate", "--rounds", "3"])
    assert result.exit_code == 0, result.output
    assert os.sched_getaffinity(0) == before
    profile = costs.load("linux-host")
    assert profile.digest in result.stderr
    assert profile.primitives["interpreted_alu"].value == 1000
    assert profile.primitives["switch"].certainty is costs.Certainty.MEASURED
    assert bool(bpf.unavailable()) == (profile.primitives["activate"].certainty is costs.Certainty.ASSUMED)


@pytest.mark.parametrize("engine", code.ENGINES.values())
def test_numba_a_microkernel_is_run_as_often_as_a_batch_says(engine: str) -> None:
    probe = code._probe(code.microkernels()[1].program, engine)
    assert probe.times > 1
    assert probe.batch() > 0


def switches(process: int | str) -> int:
    """Return how often a process has lost the processor, of its own will or not (proc(5))."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)


@linux
@pytest.mark.parametrize("name", ["pipes", "futex", "yield_pair"])
def test_numba_on_one_core_neither_side_of_a_round_trip_keeps_the_processor(name: str) -> None:
    """Between a question and its answer the other must have run, whoever else did: so each has left it once a trip.

    Two that give way to each other need not (the scheduler may run one twice), but what is measured then is no switch.
    """
    with system.one_core(), ExitStack() as opened:
        probe = system.probes(opened)[name]
        (peer,) = probe.peers
        probe.run(10)
        before = switches("self"), switches(peer)
        probe.run(probe.times)
        own, other = switches("self") - before[0], switches(peer) - before[1]
    least = probe.times - 1 if name != "yield_pair" else probe.times // 2
    assert own >= least
    assert other >= least


@linux
def test_numba_a_round_trip_is_more_than_its_system_calls() -> None:
    found = {name: samples.figure(series).value for name, series in calibrate.of_the_kernel(3).items()}
    assert found["pipe_half"] > found["pipe_own"] > found["null_syscall"] > 0
