"""An open loop on one core: when chains are to begin, and what the simulated kernel says of their latencies.

Arrivals are a Poisson process of a fixed seed. The same times are given to the simulated kernel and to the real one, so
that chance is no part of the difference between them. Latency counts from the time at which a chain was *to* begin
(its arrival), not from when its client got round to it: a client that is late would otherwise hide the delay (Tene's
"coordinated omission").

Client and server share the core, one of them runs at any instant of a chain, and chains are done one after the other:
so a chain is one service of a known length. The simulated kernel has a client that calls a server of that service; all
of its prices are zero but one, what it costs to be woken for an arrival (`interrupt`), for a client that sleeps until
then. Whatever the chains leave of the core goes to a bystander of lower priority. For instance, with a service of 50 us
and arrivals at 0, 40 and 200 us the latencies are 50, 60 and 50 us.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jit.hot import TierName
from kernel_model.hosting import Compute
from kernel_model.kernel import Kernel

SEED = 6
FOREVER_NS = 10**12
STEP = 0.1  # of the arrivals' time: the model runs on by that until all chains have ended, for the bystander never ends
PS = 1000  # in a nanosecond

Times = npt.NDArray[np.float64]


def arrivals(between_ns: float, seconds: float, seed: int = SEED) -> Times:
    """Return the times of a Poisson process, ns: as many as its rate has in so many seconds, and exactly at that rate.

    Close to capacity one per cent more or less would count tenfold.
    """
    count = max(1, round(seconds * 1e9 / between_ns))
    times = np.cumsum(np.random.default_rng(seed).exponential(between_ns, count))
    exact: Times = np.round(times * (between_ns * count / times[-1]))
    return exact


@dataclass(frozen=True, slots=True)
class Run:
    """What came of a run: the latency of each chain and when the last one had ended, ns."""

    latencies: Times
    elapsed: float

    @property
    def mean(self) -> float:
        """The mean latency, us."""
        return float(np.mean(self.latencies)) / 1000

    @property
    def p99(self) -> float:
        """The 99th percentile of the latencies, us: the least that 99 % do not exceed."""
        return float(np.percentile(self.latencies, 99, method="inverted_cdf")) / 1000

    @property
    def throughput(self) -> float:
        """Chains a second, from the beginning until the last one has ended."""
        return len(self.latencies) / self.elapsed * 1e9


@dataclass(frozen=True, slots=True)
class Simulated(Run):
    """A run of the simulated kernel; `share` is the bystander's part of the core."""

    share: float


def simulate(due: Times, service_ns: float, wake_ns: float = 0.0, tier: TierName = "numba") -> Simulated:
    """Run chains that are due at these times, each a service of one length, and `wake_ns` for each sleep before one."""
    kernel = Kernel(prices={"interrupt": wake_ns}, engine=tier)
    server = kernel.server("server", service_ns=service_ns)
    client = kernel.client("client")
    kernel.script("bystander", [Compute(FOREVER_NS)], priority=1)
    jobs = kernel.jobs(client, slot=server, op=0, bodies=b"", count=len(due), arrivals_ns=due)
    client.run("call")
    kernel.run(float(due[-1]))
    while kernel.jobs_open:
        kernel.run(kernel.now_ps / PS + STEP * float(due[-1]))
    results = jobs.results()
    elapsed = int(results["finished"].max())
    left = kernel.accounts["bystander"].count("work") - (kernel.now_ps - elapsed)
    latencies: Times = (results["finished"] - results["arrival"]) / PS
    return Simulated(latencies, elapsed / PS, left / elapsed)
