"""Completions: room is reserved for those of operations, and what is told besides is not lost for want of room."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
from kernels import chain_image
from test_kernel_ops import free

import verifier
from grafting import compile_graft
from jit.hot import TierName
from kernel_model import Kernel
from kernel_model.core import lists, tables

TIERS: list[TierName] = ["python", "numba"]
FAN = """
graft fan
protocol block { op read(index: u64) -> Block }
cap disk: block
struct Block { next: u64, number: u64 }
state left: u64
map total: hash<u64, u64, 8>
on reply(msg) from disk.read {
    let block = msg.body as Block else { return deliver }
    if msg.tag < 100 {
        left = 4
        send disk.read(1) tag 101 else { return deliver }
        send disk.read(2) tag 102 else { return deliver }
        send disk.read(3) tag 103 else { return deliver }
        send disk.read(4) tag 104 else { return deliver }
        return consume
    }
    total[msg.tag] = block.number else { return deliver }
    left -= 1
    if left == 0 { return deliver }
    return consume
}
"""


def fan(engine: TierName, completions: int, fuel_ns: float, mode: Literal["call", "submit"]) -> tuple[Any, int, Kernel]:
    """Five operations, one after the other, each of which reads four blocks at once. Return their outcomes, the sum of
    the blocks that were seen, and the kernel."""
    kernel = Kernel("sel4-skylake", engine=engine, cores=2, fuel_ns=fuel_ns)
    disk = kernel.server("disk", image=chain_image(6), block=64, service_ns=100, core=1)
    app = kernel.client("app", completions=completions)
    graft = kernel.attach(verifier.verify(compile_graft(FAN)), to=app, slots={"disk": disk})
    work = kernel.jobs(app, graft=graft, slot="disk", op="read", bodies=bytes(8), count=5,
                       tags=np.arange(5, dtype=np.uint64))  # fmt: skip
    app.run(mode, 1)
    kernel.run()
    return work.results()["outcome"].tolist(), sum(kernel.map(graft, "total").values()), kernel


@pytest.mark.parametrize("mode", ["call", "submit"])
@pytest.mark.parametrize("tier", TIERS)
def test_an_event_that_the_client_must_deal_with_is_not_lost_when_its_queue_is_full(
    tier: TierName, mode: Literal["call", "submit"]
) -> None:
    """Fuel for the first activation and not for the next four: these are told while their operation goes on."""
    for completions in (1, 2, 3, 64):
        outcomes, total, kernel = fan(tier, completions, 3_000, mode)
        assert outcomes == [0] * 5
        assert total == 1 + 2 + 3 + 4
        assert kernel.statistics.late == 0
        assert kernel.statistics.fallbacks == 5 * 4
        row = kernel.tables.process[kernel.processes["app"].row]
        assert row["cq_reserved"] == row["cq_posted"] == row["cq_behind"] == 0


@pytest.mark.parametrize("tier", TIERS)
def test_there_are_never_more_completions_than_there_is_room_for(tier: TierName) -> None:
    kernel = Kernel("sel4-skylake", engine=tier, cores=2, fuel_ns=3_000)
    disk = kernel.server("disk", image=chain_image(6), block=64, service_ns=100, core=1)
    app = kernel.client("app", completions=1)
    graft = kernel.attach(verifier.verify(compile_graft(FAN)), to=app, slots={"disk": disk})
    kernel.jobs(app, graft=graft, slot="disk", op="read", bodies=bytes(8), count=5, tags=np.arange(5, dtype=np.uint64))
    app.run("submit", 1)
    behind = 0
    for until in range(0, 100_000, 200):
        kernel.run(until)
        row = kernel.tables.process[app.row]
        assert row["cq_posted"] + row["cq_reserved"] <= 1
        behind = max(behind, int(row["cq_behind"]))
    assert behind > 0


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize(("deadline", "outcome"), [(400, 2), (4_000, 0)])
def test_a_submission_that_comes_back_from_the_kernel_keeps_its_deadline(
    tier: TierName, deadline: int, outcome: int
) -> None:
    passing = "graft passing\nprotocol block { op read(index: u64) }\ncap disk: block\non submit(msg) { return pass }"
    kernel = Kernel(prices={}, engine=tier, cores=2, activation="deferred", fuel_ns=0)
    disk = kernel.server("disk", reply=b"ok", service_ns=1_000, core=1)
    app = kernel.client("app")
    kernel.attach(verifier.verify(compile_graft(passing)), to=app, slots={"disk": disk})
    work = kernel.jobs(app, slot=disk, bodies=bytes(8), count=1, prepare_ns=50)
    app.run("submit")
    kernel.run(10)
    k = kernel.tables
    draft = lists.first(k, int(k.process[app.row]["queues"]) + tables.Q_DRAFTS)
    k.request[draft]["deadline"] = deadline * 1000
    kernel.run()
    assert kernel.statistics.fallbacks == 1
    assert work.results()["outcome"].tolist() == [outcome]
    assert work.results()["finished"][0] == (50 + min(deadline, 1_000)) * 1000


def test_room_for_completions_is_given_back_by_whatever_ends() -> None:
    kernel = free(cores=2)
    disk = kernel.server("disk", image=chain_image(4), block=64, core=1)
    app = kernel.client("app", completions=4)
    kernel.jobs(app, slot=disk, bodies=bytes(8), count=50)
    app.run("submit", 4)
    kernel.run()
    row = kernel.tables.process[app.row]
    assert row["cq_posted"] == row["cq_reserved"] == row["cq_behind"] == 0
