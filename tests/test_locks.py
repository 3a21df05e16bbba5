"""The kernel's locks, and how late things can be: one lock or one for each core, the longest section, the release."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal

import pytest
from test_kernel_ops import Teller

from grafting.diagnostics import GraftError
from kernel_model import Kernel
from kernel_model.hosting import Script, call, compute, sleep, submit, wait

Locks = Literal["one", "core"]
LOCKS: tuple[Locks, ...] = ("one", "core")


def pairs(locks: Locks, *, crossed: bool) -> Kernel:
    """Four clients of four servers, each on its own core; crossed: of the server on the next core."""
    kernel = Kernel(prices={"entry": 300, "exit": 200}, engine="python", cores=4, locks=locks, trace=True)
    doors = [kernel.server(f"server{core}", reply=b"", service_ns=0, core=core) for core in range(4)]
    for core in range(4):
        app = kernel.client(f"app{core}", core=core)
        kernel.jobs(app, slot=doors[(core + crossed) % 4], bodies=b"", count=20)
        app.run()
    kernel.run()
    return kernel


def sections(kernel: Kernel) -> list[tuple[int, int, int]]:
    """(begin, end, core) of each section that takes time."""
    found = [(at, at + length, core) for at, what, core, _, _, length in kernel.events() if what == "section"]
    return sorted(row for row in found if row[0] < row[1])


def test_one_lock_lets_one_core_at_a_time_into_the_kernel() -> None:
    kernel = pairs("one", crossed=False)
    assert kernel.totals.ps["lock"] > 0
    assert all(former[1] <= later[0] for former, later in pairwise(sections(kernel)))


def test_cores_with_locks_of_their_own_and_nothing_in_common_never_wait() -> None:
    kernel = pairs("core", crossed=False)
    assert kernel.totals.ps["lock"] == 0
    assert any(former[1] > later[0] for former, later in pairwise(sections(kernel)))
    assert kernel.now_ps < pairs("one", crossed=False).now_ps / 3


def test_an_operation_on_an_object_of_another_core_takes_its_lock_too() -> None:
    kernel = pairs("core", crossed=True)
    assert kernel.totals.ps["lock"] > 0
    assert pairs("core", crossed=False).now_ps < kernel.now_ps <= pairs("one", crossed=True).now_ps


def test_sections_that_touch_one_endpoint_exclude_each_other() -> None:
    kernel = Kernel(prices={"entry": 500}, engine="python", cores=3, locks="core", trace=True)
    door = kernel.server("server", reply=b"", service_ns=0, core=0)
    apps = [
        Teller(kernel, [compute(2000), submit(door, tag=c), sleep(5000), wait()], f"app{c}", core=c) for c in (1, 2)
    ]
    kernel.run()
    first, second = [row for row in sections(kernel) if row[2] > 0][:2]
    assert (first, second) == (
        (2_000_000, 2_500_000, 1),
        (2_000_000, 3_000_000, 2),
    )  # the second waits within its section
    assert kernel.accounts["app2"].ns["lock"] == 500
    assert all(app.log[-1][2] == [(number, "replied", 0, b"")] for number, app in enumerate(apps, 1))


def test_what_a_section_posts_is_visible_from_its_end() -> None:
    for locks in LOCKS:
        kernel = Kernel(prices={"entry": 100, "notify": 400}, engine="python", cores=2, locks=locks)
        door = kernel.server("server", reply=b"", service_ns=50, core=1)
        app = kernel.client("app", core=0)
        work = kernel.jobs(app, slot=door, bodies=b"", count=3)
        app.run("submit")
        kernel.run()
        assert (work.results()["finished"] - work.results()["submitted"] >= 650_000).all()


@pytest.mark.parametrize("locks", LOCKS)
def test_a_generator_does_not_see_a_completion_before_the_section_that_posts_it_is_over(locks: Locks) -> None:
    """It looks again and again; the server's section waits for the lock that such a look holds, and takes it over."""
    kernel = Kernel(
        prices={"entry": 10, "dispatch_reply": 50, "dispatch_receive": 20}, engine="python", cores=2, locks=locks,
        trace=True,
    )  # fmt: skip
    door = kernel.server("server", reply=b"ok", service_ns=100, core=1)
    teller = Teller(kernel, [submit(door), *(wait(1, timeout_ns=0) for _ in range(12))])
    kernel.run()
    [posted] = [at for at, what, *_ in kernel.events() if what == "complete"]
    over = min(end for begin, end, core in sections(kernel) if begin == posted and core == 1)
    [seen] = [at * 1000 for at, what, result in teller.log if what == "Wait" and result]
    assert seen >= over > posted


# --- how late ---------------------------------------------------------------------------------------------------------


def test_a_core_that_waits_for_the_lock_cannot_be_interrupted() -> None:
    kernel = pairs("one", crossed=False)
    bounds = kernel.statistics.cores
    assert max(core.longest_wait_ns for core in bounds) == 1500  # three others, one section each
    assert kernel.statistics.longest_section_ns == max(core.longest_section_ns for core in bounds) == 2000


def test_the_release_of_a_timer_is_counted_from_its_due_time() -> None:
    kernel = Kernel(prices={"entry": 1000}, engine="python")
    disk = kernel.server("disk", reply=b"", service_ns=0)

    def urgent(_kernel: Kernel, _me: Any) -> Script:
        yield sleep(2500)

    kernel.process("urgent", urgent, priority=9)
    Teller(kernel, [call(disk) for _ in range(5)])
    kernel.run()
    assert 0 < kernel.statistics.worst_release_ns <= 2000
    assert kernel.statistics.longest_section_ns == 1000


def test_each_core_has_its_own_most_important_thread() -> None:
    kernel = Kernel(prices={"interrupt": 700}, engine="python", cores=2)
    for core, priority in ((0, 20), (1, 9)):

        def program(_kernel: Kernel, _me: Any) -> Script:
            yield sleep(1000)
            yield compute(10)

        kernel.process(f"app{core}", program, core=core, priority=priority)
    kernel.run()
    first, second = kernel.statistics.cores
    assert (first.worst_release_ns, second.worst_release_ns) == (700, 1400)  # the second waited for the lock
    assert kernel.statistics.worst_release_ns == 700


def test_a_wake_up_on_another_core_costs_an_ipi_and_an_interrupt_there() -> None:
    kernel = Kernel(prices={"ipi": 100, "interrupt": 30}, engine="python", cores=2)
    disk = kernel.server("disk", reply=b"", service_ns=10, core=1)
    app = Teller(kernel, [compute(5), call(disk)])
    kernel.run()
    assert (kernel.accounts["app"].count("ipi"), kernel.accounts["disk"].count("interrupt")) == (1, 1)
    assert (kernel.accounts["disk"].count("ipi"), kernel.accounts["app"].count("interrupt")) == (1, 1)
    assert app.log[1:] == [(5 + 100 + 30 + 10 + 100 + 30, "Call", (0, "replied", 0, b""))]


def test_locks_are_one_or_per_core() -> None:
    with pytest.raises(GraftError, match="G0801"):
        Kernel(engine="python", locks="none")  # type: ignore[arg-type]
