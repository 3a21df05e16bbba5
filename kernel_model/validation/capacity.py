"""Saturation, latency under open-loop load, and a bystander's share, predicted from prices and theory alone.

One server on core 0 with `WORK_NS` of work a request, a client on core 1 that sends requests at random times, and a
bystander on core 0 that only computes, at a lower priority. A request that finds the server busy costs core 0

    s = work + entry + dispatch_reply + notify + hook_check + ipi + exit

(the completion is posted in the section of the reply, on core 0, though the client is charged for it), and one that
finds it idle costs x more: before, an interrupt and a switch from the bystander to the server; after, a switch back.
That is the M/G/1 queue with an exceptional first service (Welch, *Operations Research* 12(5), 1964): a share p =
(1 - lambda s) / (1 + lambda x) of the requests find the server idle, so

    saturation            1 / s
    bystander's work      1 - lambda s - lambda p x = p
    time at the server    lambda s^2 / (2 (1 - lambda s)) + (2 f + lambda (f^2 - s^2)) / (2 (1 + lambda (f - s)))

where f = s + what comes before the service. The latency adds the client's way to the server and back. Counts of
primitives come from the model's documentation (`core.prices`), prices from the profile: no run is looked at. Left out
is that a client that is awake needs no `ipi`, which shows at high loads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jit.hot import TierName
from kernel_model.costs import Profile
from kernel_model.hosting import Compute
from kernel_model.kernel import Kernel
from kernel_model.validation.predictions import Prediction, within

WORK_NS = 20_000
LOADS = (0.3, 0.6, 0.9)  # of the capacity
OVERLOAD = 1.2
OPERATIONS = 20_000
PS_PER_NS = 1000
TOLERANCE = 0.03  # saturation and share; a latency is a mean of correlated times, and has more
LATENCY_TOLERANCE = 0.1
SERVER_CORE, CLIENT_CORE = 0, 1
FOREVER_NS = 10**12


@dataclass(frozen=True, slots=True)
class Costs:
    """What a request costs core 0 and the client, ns: `first` is before the service of one that finds it idle."""

    service: float
    first: float
    after: float
    way: float  # of the client, to the server and back


def costs_of(profile: Profile) -> Costs:
    """Return the sums of the module's text."""
    ns = {name: figure.value / PS_PER_NS for name, figure in profile.primitives.items()}
    switching = ns["schedule"] + ns["switch"] + ns["exit"]
    wake = ns["interrupt"] + switching
    sending = wake + ns["prepare"] + ns["entry"] + ns["dispatch_send"] + ns["hook_check"] + ns["ipi"]
    reply = ns["entry"] + ns["dispatch_reply"] + ns["notify"] + ns["hook_check"] + ns["ipi"] + ns["exit"]
    return Costs(WORK_NS + reply, wake, switching, sending + wake + ns["reap"])


def predict(profile: Profile) -> list[Prediction]:
    """Return saturation, and latency and the bystander's share at each load."""
    c = costs_of(profile)
    found = [within(_name(profile, "saturation"), 1e9 / c.service, TOLERANCE, "requests/s", "1 / s")]
    for load in LOADS:
        rate = load / c.service
        idle = (1 - load) / (1 + rate * (c.first + c.after))
        first = c.service + c.first
        waiting = rate * c.service**2 / (2 * (1 - load))
        serving = (2 * first + rate * (first**2 - c.service**2)) / (2 * (1 + rate * c.first))
        latency = (c.way + waiting + serving) / 1000
        found += [
            within(_name(profile, f"latency at load {load}"), latency, LATENCY_TOLERANCE, "us", "Welch 1964"),
            within(_name(profile, f"bystander at load {load}"), idle, TOLERANCE, "of core 0", "Welch 1964"),
        ]
    return found


def _name(profile: Profile, what: str) -> str:
    return f"{profile.name}: {what}"


def observe(
    profile: Profile, seed: int = 1, operations: int = OPERATIONS, tier: TierName = "numba"
) -> dict[str, float]:
    """Run the simulated kernel at each load, and beyond capacity; return what was predicted."""
    service = costs_of(profile).service
    completed, _latency, _share = _run(profile, service / OVERLOAD, seed, operations, tier)
    found = {_name(profile, "saturation"): completed}
    for load in LOADS:
        _completed, latency, share = _run(profile, service / load, seed, operations, tier)
        found[_name(profile, f"latency at load {load}")] = latency
        found[_name(profile, f"bystander at load {load}")] = share
    return found


def _run(profile: Profile, between_ns: float, seed: int, operations: int, tier: TierName) -> tuple[float, float, float]:
    """Return completions a second, the mean latency in us, and the share of core 0 that the bystander worked."""
    kernel = Kernel(profile, cores=2, locks="core", seed=seed, engine=tier)
    server = kernel.server("server", service_ns=WORK_NS, core=SERVER_CORE, capacity=operations + 1)
    client = kernel.client("client", core=CLIENT_CORE, completions=operations + 1)
    kernel.script("bystander", [Compute(FOREVER_NS)], core=SERVER_CORE, priority=1)
    arrivals = np.cumsum(np.random.default_rng(seed).exponential(between_ns, operations))
    arrivals *= (
        between_ns * operations / arrivals[-1]
    )  # exactly the wanted rate: at load 0.9 one per cent counts tenfold
    jobs = kernel.jobs(client, slot=server, op=0, bodies=b"", count=operations, arrivals_ns=arrivals)
    client.run("submit", depth=operations)
    kernel.run(float(arrivals[-1]))
    results = jobs.results()
    done = results["finished"] >= 0
    latencies = (results["finished"] - results["arrival"])[done]
    seconds = kernel.now_ps / 1e12
    work = kernel.accounts["bystander"].count("work") / kernel.now_ps
    return done.sum() / seconds, float(latencies.mean()) / 1e6, work
