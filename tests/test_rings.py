"""Rings: one crossing a batch, as many completions as were wished for, and a core that polls and pays for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from kernels import answers, chain_image, chase

from grafting import GraftError
from kernel_model import Account, Client, Jobs, Kernel, Process
from kernel_model.core.tables import OUTCOMES

JOBS = 12


class Rings:
    """Independent jobs of one request each, or chains of `depth` blocks with the handler in the client."""

    def __init__(self, mode: Any, *, chain: int = 1, in_flight: int = 4, wait: int = 1, **options: Any) -> None:
        capacity = options.pop("capacity", 64)
        self.kernel = Kernel(engine="python", cores=1 if mode != "polled" else 2, **options)
        image = chain_image(chain)
        self.server = self.kernel.server("disk", image=image, block=64, service_ns=200, capacity=capacity)
        self.client: Client = self.kernel.client("app")
        graft = self.kernel.load(chase(), to=self.client, slots={"disk": self.server})
        self.jobs: Jobs = self.kernel.jobs(
            self.client, graft=graft, slot="disk", op="read", bodies=bytes(8), count=JOBS
        )
        self.poller: Process | None = self.kernel.poller(core=1) if mode == "polled" else None
        self.kernel.run()
        before = self.kernel.totals
        self.client.run(mode, in_flight, wait=wait, poller=self.poller)
        self.kernel.run()
        self.spent: Account = self.kernel.totals - before

    def count(self, name: str) -> int:
        return self.spent.counts.get(name, 0)


def test_a_batch_is_one_crossing_and_one_wake_up() -> None:
    rings = Rings("rings", in_flight=4, wait=4)
    replies = JOBS
    assert rings.count("entry") == JOBS // 4 + replies
    assert rings.client.wakeups == JOBS // 4
    assert rings.count("dispatch_send") == JOBS


def test_waiting_for_more_than_can_come_is_waiting_for_all() -> None:
    rings = Rings("rings", in_flight=3, wait=60)
    assert [OUTCOMES[o] for o in rings.jobs.results()["outcome"]] == ["replied"] * JOBS
    assert rings.client.wakeups == JOBS // 3


def test_a_full_endpoint_leaves_requests_in_the_ring_and_loses_none() -> None:
    rings = Rings("rings", in_flight=8, wait=8, capacity=1)
    assert [OUTCOMES[o] for o in rings.jobs.results()["outcome"]] == ["replied"] * JOBS
    assert rings.kernel.statistics.refused > 0


def test_a_polled_ring_is_submitted_without_a_crossing_and_its_core_spins() -> None:
    rings = Rings("polled", chain=4, in_flight=1)
    assert answers(rings.kernel, rings.jobs).tolist() == [3] * JOBS
    account = rings.kernel.accounts["poller"]
    assert account.counts.get("entry", 0) == account.counts.get("exit", 0) == 0
    assert account.counts["dispatch_send"] == 4 * JOBS
    assert rings.kernel.accounts["idle/1"].ps["idle"] == 0
    assert rings.kernel.now_ps // 2 < account.ps["spin"] < rings.kernel.now_ps


def test_a_polling_thread_comes_back_for_what_found_no_room() -> None:
    rings = Rings("polled", in_flight=8, wait=8, capacity=0)
    assert [OUTCOMES[o] for o in rings.jobs.results()["outcome"]] == ["replied"] * JOBS
    assert rings.kernel.statistics.refused > 0


def test_a_client_whose_requests_are_rejected_learns_it_from_the_polling_thread() -> None:
    kernel = Kernel(engine="python", cores=2)
    disk, client, poller = kernel.server("disk", reply=bytes(8)), kernel.client("app"), kernel.poller(core=1)
    jobs = kernel.jobs(client, slot=disk, bodies=bytes(8), count=2)
    kernel.tables.capability["rights"][:] = 0
    client.run("polled", 2, poller=poller)
    kernel.run()
    assert [OUTCOMES[o] for o in jobs.results()["outcome"]] == ["refused"] * 2


@pytest.mark.parametrize(("mode", "options"), [("polled", {}), ("call", {"wait": 2}), ("rings", {"wait": 0})])
def test_options_that_do_not_fit_a_mode_are_refused(mode: Any, options: dict[str, int]) -> None:
    kernel = Kernel(engine="python")
    with pytest.raises(GraftError):
        kernel.client("app").run(mode, **options)


def test_an_open_loop_keeps_intended_times_through_rings() -> None:
    kernel = Kernel(engine="python")
    disk, client = kernel.server("disk", reply=bytes(8), service_ns=100), kernel.client("app")
    due = np.array([0, 10, 5_000, 5_001])
    jobs = kernel.jobs(client, slot=disk, bodies=bytes(8), count=4, arrivals_ns=due)
    client.run("rings", 2)
    kernel.run()
    results = jobs.results()
    assert (results["arrival"] == 1000 * due).all()
    assert (results["submitted"] >= results["arrival"]).all()
    assert (results["finished"] > results["submitted"]).all()
