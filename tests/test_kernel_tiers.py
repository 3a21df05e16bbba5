"""One source, two tiers: compiled and plain Python run the same model, event for event."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from kernel_scenarios import Scenario
from kernels import chain_image

import verifier
from grafting import compile_graft
from kernel_model import Kernel

SAMPLES = Path(__file__).resolve().parents[1] / "samples"


@pytest.mark.parametrize("block", range(10))
def test_both_tiers_write_the_same_trace_and_the_same_accounts(block: int) -> None:
    for seed in range(12 * block, 12 * block + 12):
        plain, compiled = Scenario(seed, "python"), Scenario(seed, "numba")
        plain.run()
        compiled.run()
        assert plain.kernel.events() == compiled.kernel.events(), seed
        assert plain.kernel.accounts == compiled.kernel.accounts
        assert plain.kernel.statistics == compiled.kernel.statistics
        for one, other in zip(plain.recorded, compiled.recorded, strict=True):
            assert (one.histogram, one.others) == (other.histogram, other.others)


def test_the_same_seed_gives_the_same_trace() -> None:
    first, second = Scenario(7, "python"), Scenario(7, "python")
    first.run()
    second.run()
    assert first.kernel.events() == second.kernel.events()


def test_the_same_seed_gives_the_same_trace_byte_for_byte_in_other_processes() -> None:
    script = (
        "import hashlib, sys; sys.path.insert(0, 'tests'); from kernel_scenarios import Scenario\n"
        "s = Scenario(11, 'python'); s.run(); t = s.kernel.tables\n"
        "print(hashlib.sha256(t.trace[: t.meter[0]['traced']].tobytes() + t.spent.tobytes()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", script], cwd=SAMPLES.parent, env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(digests) == 1
    assert len(digests.pop().strip()) == 64


def test_stopping_in_between_changes_nothing() -> None:
    whole, pieces = Scenario(3, "python"), Scenario(3, "python")
    whole.kernel.run(20_000)
    for until in range(0, 20_001, 97):
        pieces.kernel.run(until)
    pieces.kernel.run(20_000)
    assert whole.kernel.events() == pieces.kernel.events()
    assert whole.kernel.accounts == pieces.kernel.accounts


@pytest.mark.parametrize("where", ["kernel", "client"])
def test_machine_code_leaves_the_trace_and_the_accounts_of_the_interpreter(where: str) -> None:
    graft = verifier.verify(compile_graft((SAMPLES / "list_chase.graft").read_text()))
    blocks = chain_image(6, 512)
    runs = []
    for tier, address in (("numba", "as it is"), ("numba", 0), ("python", "as it is")):
        kernel = Kernel(engine=tier, trace=True)
        disk, app = kernel.server("disk", image=blocks, block=512), kernel.client("app")
        put = kernel.attach if where == "kernel" else kernel.load
        chase = put(graft, to=app, slots={"store": disk}, engine="native")
        assert (kernel.tables.handler["address"][0] != 0) == (tier == "numba")
        if address == 0:
            kernel.tables.handler["address"] = 0
        kernel.jobs(app, slot=disk, bodies=bytes(8), count=20, graft=chase, map="hops_left",
                    values=np.arange(20, dtype=np.uint64))  # fmt: skip
        app.run("submit", 3)
        kernel.run()
        assert kernel.totals.counts["map_lookup"] > 20
        runs.append((kernel.events(), kernel.accounts, kernel.statistics))
    assert runs[0] == runs[1] == runs[2]
