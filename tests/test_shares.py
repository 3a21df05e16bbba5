"""Who pays under each charge mode, with round trips as well as with grafts: what is left to a bystander."""

from __future__ import annotations

from typing import Literal

import pytest
from kernels import chain_image, chase

from kernel_model import Kernel
from kernel_model.core import prices
from kernel_model.hosting import Compute, Jump

Charge = Literal["current", "metered", "switched"]
PERIOD_NS, BUDGET_NS = 100_000, 60_000


def beside(mechanism: str, charge: Charge, *, passive: bool = False) -> Kernel:
    """A client of higher priority reads chains of blocks from a disk; a bystander computes, on a budget."""
    kernel = Kernel("sel4-skylake", engine="python", charge=charge)
    disk = kernel.server(
        "disk", image=chain_image(6), block=64, service_ns=200, device_ns=3_000, priority=9, passive=passive
    )
    app = kernel.client("app", priority=9, context=kernel.context(30_000, PERIOD_NS, "app"))
    place = kernel.attach if mechanism == "graft" else kernel.load
    place(chase(), to=app, slots={"disk": disk})
    kernel.jobs(app, slot=disk, bodies=bytes(8), count=1000)
    context = kernel.context(BUDGET_NS, PERIOD_NS, "bystander")
    kernel.script("bystander", [Compute(10_000), Jump(0)], context=context)
    app.run()
    kernel.run(5 * PERIOD_NS)
    return kernel


@pytest.mark.parametrize("mechanism", ["call", "graft"])
def test_only_whoever_runs_pays_for_the_interrupts_of_others(mechanism: str) -> None:
    kernels = {charge: beside(mechanism, charge) for charge in ("current", "metered", "switched")}
    paid = {charge: kernel.accounts["bystander"].ps["interrupt"] for charge, kernel in kernels.items()}
    assert paid["current"] > 5 * paid["metered"] > 0  # its own preemption timer
    assert kernels["current"].accounts["disk"].ps["interrupt"] < kernels["metered"].accounts["disk"].ps["interrupt"]
    shares = {charge: kernel.contexts["bystander"].user_ps for charge, kernel in kernels.items()}
    assert shares["current"] < 0.95 * shares["metered"]  # the same budget, spent on the interrupts of others
    assert abs(shares["switched"] / shares["metered"] - 1) < 0.02


def test_activations_are_paid_by_the_installer_unless_whoever_runs_is_charged() -> None:
    current, metered = beside("graft", "current"), beside("graft", "metered")
    assert metered.accounts["disk"].ps["graft"] == 0 < metered.accounts["app"].ps["graft"]
    assert current.accounts["app"].ps["graft"] == 0 < current.accounts["disk"].ps["graft"]
    assert metered.contexts["app"].graft_ps == metered.accounts["app"].ps["graft"] + commits(metered)


def commits(kernel: Kernel) -> int:
    """What the sends of the activations cost at their commit, ps: to the context they are part of the activation."""
    return int(kernel.accounts["app"].count("dispatch_send") * kernel.tables.price[prices.DISPATCH_SEND])


def test_metering_costs_a_call_to_an_active_server_and_none_to_a_passive_one() -> None:
    def changes(charge: Charge, *, passive: bool) -> tuple[int, int]:
        kernel = Kernel("sel4-skylake", engine="python", charge=charge)
        disk = kernel.server("disk", reply=b"", passive=passive)
        app = kernel.client("app", context=kernel.context(900_000, 1_000_000))
        kernel.run()
        before = kernel.totals
        kernel.jobs(app, slot=disk, bodies=b"", count=10)
        app.run()
        kernel.run()
        spent = kernel.totals - before
        return spent.count("clock_read"), spent.count("account_switch")

    assert changes("metered", passive=False) == (21, 0)  # to the client, and for each call there and back
    assert changes("switched", passive=False) == (0, 21)
    assert changes("current", passive=False) == (0, 0)
    assert changes("metered", passive=True) == (1, 0)
