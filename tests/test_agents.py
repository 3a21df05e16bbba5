"""A server that runs its clients' graft: what is its own to do takes no message, and the client's budget pays."""

from __future__ import annotations

from typing import Any

import pytest
from kernels import ARM_TIMER, CHASE, answers, chain_image, chase, verified

from grafting import GraftError
from kernel_model import Context, Jobs, Kernel
from kernel_model.core.tables import OUTCOMES

DEPTH = 4


class Hosting:
    """A client, a server 0 that hosts the graft, and a server 1 with the same blocks; all times are works of 100 ns."""

    def __init__(self, *, away: bool, operations: int = 2, passive: bool = False, **server: Any) -> None:
        self.kernel = Kernel(prices={}, engine="python", trace=True)
        image = chain_image(DEPTH)
        budgets = self._budgets() if passive else {}
        how = {"image": image, "block": 64, "service_ns": 100, "passive": passive, **server}
        self.first = self.kernel.server("server0", **how, context=budgets.get("rescue"))
        self.other = self.kernel.server("server1", **how, context=budgets.get("rescue"))
        self.target = self.other if away else self.first
        self.kernel.host_in(self.first, to=self.target)
        self.graft = self.kernel.load(chase(), to=self.first, slots={"disk": self.target})
        self.client = self.kernel.client("client", context=budgets.get("client"))
        self.jobs = self.kernel.jobs(self.client, slot=self.first, bodies=bytes(8), count=operations)

    def _budgets(self) -> dict[str, Context]:
        return {name: self.kernel.context(5_000, 10_000, name) for name in ("client", "rescue")}

    def run(self, until: float | None = None) -> Jobs:
        self.client.run("call")
        self.kernel.run(until)
        return self.jobs

    def count(self, account: str, primitive: str) -> int:
        return self.kernel.accounts[account].counts.get(primitive, 0)


def outcomes(jobs: Jobs) -> list[str]:
    return [OUTCOMES[outcome] for outcome in jobs.results()["outcome"]]


def test_what_a_graft_sends_to_the_server_that_runs_it_takes_no_message() -> None:
    hosting = Hosting(away=False)
    jobs = hosting.run()
    assert outcomes(jobs) == ["replied", "replied"]
    assert answers(hosting.kernel, jobs).tolist() == [DEPTH - 1] * 2
    assert hosting.kernel.totals.count("dispatch_call") == 2  # of the client
    assert hosting.count("server0", "activate_user") == 2 * DEPTH
    assert hosting.count("server0", "work") == 2 * DEPTH * 100_000


def test_what_it_sends_to_another_server_is_called_and_the_client_is_answered_once() -> None:
    hosting = Hosting(away=True)
    jobs = hosting.run()
    assert answers(hosting.kernel, jobs).tolist() == [DEPTH - 1] * 2
    assert hosting.count("server0", "dispatch_call") == 2 * (DEPTH - 1)
    assert hosting.count("server1", "work") == 2 * (DEPTH - 1) * 100_000
    assert hosting.client.wakeups == 2


def test_a_hosting_server_waits_for_its_own_device() -> None:
    hosting = Hosting(away=False, operations=1, device_ns=900)
    hosting.run()
    assert hosting.kernel.now_ps == DEPTH * (100 + 900) * 1000


def test_the_clients_context_pays_for_the_handler_and_for_the_servers_that_are_called() -> None:
    hosting = Hosting(away=True, passive=True)
    hosting.run()
    uses = hosting.kernel.contexts
    assert uses["client"].user_ps == 2 * DEPTH * 100_000
    assert uses["rescue"].user_ps == 0


@pytest.mark.parametrize("away", [False, True])
def test_an_operation_beyond_its_clients_budget_times_out_and_the_server_goes_on_with_the_next(away: bool) -> None:
    hosting = Hosting(away=away, operations=1, passive=True, service_ns=2_000)  # 8 us of 5
    rich = hosting.kernel.client("rich")
    later = hosting.kernel.jobs(rich, slot=hosting.first, bodies=bytes(8), arrivals_ns=[20_000])
    rich.run("call")
    jobs = hosting.run(60_000)
    assert outcomes(jobs) == ["timed_out"]
    assert outcomes(later) == ["replied"]
    assert answers(hosting.kernel, later).tolist() == [DEPTH - 1]


def test_a_failure_of_its_own_work_is_seen_by_the_handler() -> None:
    kernel = Kernel(prices={}, engine="python")
    server = kernel.server("server", image=chain_image(2), block=64)
    kernel.host_in(server)
    graft = kernel.load(verified({"reply/disk.read": CHASE, "failure": "r0 = 0\nexit"}), to=server,
                        slots={"disk": server})  # fmt: skip
    client = kernel.client("client")
    jobs = kernel.jobs(client, slot=server, bodies=(9).to_bytes(8, "little"))  # no such block
    client.run("call")
    kernel.run()
    assert jobs.results()["status"].tolist() == [-22]
    assert kernel.tables.graft[graft.row]["user_activations"] == 1


def test_a_timer_of_the_graft_fires_in_the_server() -> None:
    kernel = Kernel(prices={}, engine="python")
    server = kernel.server("server", image=chain_image(2), block=64)
    kernel.host_in(server)
    kernel.load(verified({"reply/disk.read": ARM_TIMER, "timer": "r0 = 0\nexit"}), to=server, slots={"disk": server})
    client = kernel.client("client")
    jobs = kernel.jobs(client, slot=server, bodies=bytes(8))
    client.run("call")
    kernel.run()
    assert outcomes(jobs) == ["error"]  # consumed, and no timer brought anything: starved, as it is told by a reply
    assert jobs.results()["status"].tolist() == [-61]


def test_a_send_to_itself_through_a_dead_capability_is_refused_to_the_handler() -> None:
    hosting = Hosting(away=False, operations=1)
    hosting.kernel.revoke(hosting.first)
    assert answers(hosting.kernel, hosting.run()).tolist() == [0]  # of what was received: the handler could not go on


def test_only_a_fresh_server_becomes_a_host() -> None:
    kernel = Kernel(prices={}, engine="python")
    begun, grafted, keeping = (kernel.server(name) for name in ("begun", "grafted", "keeping"))
    kernel.load(chase(), to=grafted, slots={"disk": begun})
    kernel.keep_answers(keeping, 4)
    for server in (grafted, keeping):
        with pytest.raises(GraftError, match="is no server"):
            kernel.host_in(server)
    kernel.run()
    with pytest.raises(GraftError, match="has begun"):
        kernel.host_in(begun)
