"""One source, two tiers: whole traces, accounts and histograms of random scenarios, compared.

python -m benchmarks.scenarios [FIRST LAST]        default: seeds 0 to 999; the tests run the first of them
"""

from __future__ import annotations

import hashlib
import sys
import time
from pathlib import Path

from benchmarks import machine

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from kernel_scenarios import Scenario


def main(first: int, last: int) -> None:
    """Run each seed in both tiers; print the digest of all traces."""
    print(machine.heading())
    start, events, digest = time.perf_counter(), 0, hashlib.sha256()
    for seed in range(first, last + 1):
        plain, compiled = Scenario(seed, "python"), Scenario(seed, "numba")
        plain.run()
        compiled.run()
        trace = plain.kernel.events()
        assert trace == compiled.kernel.events(), f"scenario {seed}: the traces differ"
        assert plain.kernel.accounts == compiled.kernel.accounts, f"scenario {seed}: the accounts differ"
        assert plain.kernel.statistics == compiled.kernel.statistics, f"scenario {seed}: the statistics differ"
        for one, other in zip(plain.recorded, compiled.recorded, strict=True):
            assert (one.histogram, one.others) == (other.histogram, other.others), f"scenario {seed}: histograms"
        events += len(trace)
        digest.update(repr(trace).encode())
    seconds = time.perf_counter() - start
    print(f"{last - first + 1} scenarios, {events:,} trace rows equal, sha256 {digest.hexdigest()}, {seconds:.0f} s")


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:3] or ("0", "999")))
