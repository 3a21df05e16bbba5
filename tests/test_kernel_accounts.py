"""Who pays for what: counts predicted before the run, books that balance, time that adds up."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pytest
from kernels import answers, chain_image, chase

from grafting.diagnostics import InternalError
from kernel_model import Account, Attachment, Client, Exponential, Jobs, Kernel, Server, Uniform, books, costs
from kernel_model.core import prices

Mechanism = Literal["call", "async", "graft", "server"]
MECHANISMS: tuple[Mechanism, ...] = ("call", "async", "graft", "server")
JOBS = 20


class Chain:
    """Jobs that each follow a chain of `depth` blocks, by one mechanism, with one server or one for each hop."""

    def __init__(self, mechanism: Mechanism, depth: int, servers: int, **options: Any) -> None:
        self.kernel = Kernel(**{"engine": "python", **options})
        self.servers: list[Server] = []
        for number in range(servers):
            endpoint = self.servers[0].endpoint if self.servers else None
            self.servers.append(
                self.kernel.server(
                    f"server{number}", endpoint=endpoint, image=chain_image(depth), block=64, service_ns=200
                )
            )
        self.client: Client = self.kernel.client("app")
        graft = self._graft(mechanism)
        self.jobs: Jobs = self.kernel.jobs(
            self.client, graft=graft, slot="disk", op="read", bodies=bytes(8), count=JOBS, map="wanted",
            values=np.arange(JOBS, dtype=np.uint64),
        )  # fmt: skip
        self.kernel.run()
        before, wakeups = self.kernel.accounts, self.client.wakeups
        self.client.run("submit" if mechanism == "async" else "call")
        self.kernel.run()
        self.spent: dict[str, Account] = {n: a - before[n] for n, a in self.kernel.accounts.items()}
        self.total = self.kernel.totals - sum(before.values(), start=Account("total", {}, {}))
        self.wakeups = self.client.wakeups - wakeups

    def _graft(self, mechanism: Mechanism) -> Attachment:
        at = {"disk": self.servers[0]}
        if mechanism == "graft":
            return self.kernel.attach(chase(), to=self.client, slots=at)
        if mechanism != "server":
            return self.kernel.load(chase(), to=self.client, slots=at)
        graft, proved = None, chase()
        for server in self.servers:
            graft = self.kernel.load(proved, to=server, slots=at, maps=graft)
        assert graft is not None
        return graft

    def per_job(self, *primitives: str) -> tuple[float, ...]:
        return tuple(self.total.count(primitive) / JOBS for primitive in primitives)


@pytest.mark.parametrize("depth", [1, 4])
@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_crossings_switches_and_wake_ups_are_as_predicted(mechanism: Mechanism, depth: int, each: bool) -> None:
    d = depth
    predicted = {
        "call": (2 * d, 2 * d, d, 0, d),
        "async": (3 * d, 2 * d, d, 0, d),
        "graft": (d + 1, d + 1 if each else 2, 1, d, 0),
        "server": (d + 1, d + 1, 1, 0, d) if each else (2, 2, 1, 0, d),
    }[mechanism]
    chain = Chain(mechanism, d, d if each else 1)
    entry, switch, activate, activate_user = chain.per_job("entry", "switch", "activate", "activate_user")
    assert (entry, switch, chain.wakeups / JOBS, activate, activate_user) == predicted
    assert chain.per_job("work", "helper_send") == (200_000 * d, d - 1)
    assert answers(chain.kernel, chain.jobs).tolist() == [d - 1] * JOBS


def test_the_client_pays_the_same_for_the_handler_wherever_it_runs() -> None:
    equal = ("helper_send", "helper_copy_byte", "map_update", "prepare", "copy_byte", "slow_path",
             *(f"interpreted_{c}" for c in ("alu", "load", "store", "jump", "call", "exit")))  # fmt: skip
    called, grafted = Chain("call", 4, 1), Chain("graft", 4, 1)
    for primitive in equal:
        assert called.spent["app"].count(primitive) == grafted.spent["app"].count(primitive) > 0, primitive
    assert called.spent["server0"].count("work") == grafted.spent["server0"].count("work")
    assert called.spent["app"].ps["graft"] == 0 < grafted.spent["app"].ps["graft"]
    assert grafted.spent["server0"].ps["graft"] == 0


def test_metering_current_charges_whoever_happened_to_run() -> None:
    metered, current = Chain("graft", 4, 1), Chain("graft", 4, 1, charge="current")
    assert current.spent["app"].ps["graft"] == 0 < current.spent["server0"].ps["graft"]
    assert metered.spent["app"].count("clock_read") == 2 * metered.spent["app"].count("activate")
    assert Chain("graft", 2, 1, charge="switched").per_job("account_switch", "clock_read") == (4, 0)  # there and back


@pytest.mark.parametrize("profile", costs.DEFAULT_PROFILES)
def test_a_published_call_costs_exactly_its_composite(profile: str) -> None:
    table = costs.load(profile).prices
    chain = Chain("call", 1, 1, profile=profile)
    calls = {name: int(table[row]) for name, row in prices.INDEX.items()}
    kernel_time = sum(chain.total.ps[c] for c in ("kernel", "switch"))
    call = sum(calls[n] for n in ("entry", "dispatch_call", "switch", "exit"))
    reply = sum(calls[n] for n in ("entry", "dispatch_reply", "switch", "exit"))
    start = calls["schedule"] + calls["exit"]  # the client comes from outside the model once
    assert kernel_time == JOBS * (call + reply + calls["slow_path"]) + start


def test_messages_without_a_graft_pay_a_tax_and_nothing_else() -> None:
    assert Chain("call", 1, 1).per_job("hook_check") == (2,)  # at the endpoint and at the client
    assert Chain("graft", 1, 1).per_job("hook_check") == (1,)


def test_latency_ends_when_the_handler_has_said_deliver() -> None:
    chain = Chain("call", 1, 1)
    rows = chain.jobs.results()
    assert all(later["arrival"] == earlier["finished"] for earlier, later in pairwise(rows))
    start = sum(chain.kernel.tables.price[prices.INDEX[name]] for name in ("schedule", "exit"))
    assert rows["finished"][-1] - rows["arrival"][0] == chain.total.total_ps - start


# --- the laws ---------------------------------------------------------------------------------------------------------


def queueing(seed: int, service: Any, *, cores: int = 2) -> Kernel:
    kernel = Kernel(prices={}, engine="python", seed=seed, cores=cores)
    disk = kernel.server("disk", reply=b"", service_ns=service, core=cores - 1, capacity=1000)
    app = kernel.client("app", completions=1000)
    gaps = np.random.default_rng(seed).exponential(1000, 300)
    kernel.jobs(app, slot=disk, bodies=b"", count=300, arrivals_ns=np.cumsum(gaps))
    app.run("submit", depth=1000)
    kernel.run()
    return kernel


@pytest.mark.parametrize("service", [600, Exponential(600), Uniform(100, 1100)])
def test_the_utilisation_law_holds(service: Any) -> None:
    kernel = queueing(1, service)
    busy = kernel.accounts["disk"].total_ps
    assert busy + kernel.accounts["idle/1"].total_ps == kernel.now_ps
    assert abs(busy / 300 / 600_000 - 1) < 0.2


def test_every_picosecond_of_every_core_is_on_one_account() -> None:
    kernel = queueing(2, 300, cores=4)
    assert kernel.totals.total_ps == 4 * kernel.now_ps


def test_an_interrupted_run_has_books_too() -> None:
    kernel = Kernel("linux-host", engine="python", cores=2)
    disk = kernel.server("disk", reply=b"", service_ns=5000, core=1)
    app = kernel.client("app")
    kernel.jobs(app, slot=disk, bodies=b"", count=5)
    app.run()
    for until in range(0, 60_000, 777):
        kernel.run(until)
        assert kernel.now_ps == until * 1000


def test_books_that_do_not_balance_are_our_bug() -> None:
    kernel = queueing(3, 300)
    kernel.tables.spent[0, 0] += 1
    with pytest.raises(InternalError, match="accounts and the clock"):
        books.check(kernel.tables, 0)


def test_littles_law_is_checked_not_assumed() -> None:
    kernel = queueing(3, 300)
    kernel.tables.meter[0]["request_stay_low"] += 1
    with pytest.raises(InternalError, match="Little"):
        books.check(kernel.tables, 0)


def test_accounts_add_and_subtract() -> None:
    one, two = Account("a", {"user": 5}, {"entry": 2}), Account("a", {"user": 3, "idle": 1}, {"entry": 2})
    assert (one + two).ps["user"] == 8
    assert (one - two).counts == {}
    assert (one - two).ps["idle"] == -1


def test_cores_that_wait_for_the_kernel_lock_are_charged_for_it() -> None:
    kernel = Kernel(prices={"entry": 1000}, engine="python", cores=3)
    for core in range(3):
        door = kernel.server(f"server{core}", reply=b"", service_ns=0, core=core)
        app = kernel.client(f"app{core}", core=core)
        kernel.jobs(app, slot=door, bodies=b"", count=2)
        app.run()
    kernel.run()
    assert kernel.totals.ps["lock"] > 0
    assert kernel.totals.total_ps == 3 * kernel.now_ps
