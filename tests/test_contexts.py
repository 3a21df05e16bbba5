"""Scheduling contexts: budgets that hold, refills when they may come, servers that run on what was lent to them."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernels import CHASE, verified
from test_kernel_ops import Log, Teller

from grafting.diagnostics import GraftError
from kernel_model import Context, Kernel
from kernel_model.core import contexts
from kernel_model.hosting import DonorExhausted, Script, call, compute, receive, reply, sleep, submit, wait
from kernel_model.workloads.adversaries import tightest


def free(**options: Any) -> Kernel:
    return Kernel(prices={}, engine="python", trace=True, **options)


def refills(kernel: Kernel, row: int) -> list[tuple[int, int]]:
    context = kernel.tables.context[row]
    rows = kernel.tables.refill[context["first"] : context["first"] + context["refills"]]
    return [(int(r["time"]), int(r["amount"])) for r in rows]


def drawn(kernel: Kernel, row: int, draws: list[tuple[int, int]]) -> list[tuple[int, int]]:
    for since, amount in draws:
        contexts.draw(kernel.tables, row, since, amount)
    return refills(kernel, row)


# --- the sporadic server ----------------------------------------------------------------------------------------------


def test_what_is_drawn_comes_back_one_period_after_its_drawing_began() -> None:
    kernel = free()
    row = kernel.context(0.004, 0.010).row  # B = 4, P = 10, the example of the module
    assert refills(kernel, row) == [(0, 4)]
    assert drawn(kernel, row, [(0, 3)]) == [(0, 1), (10, 3)]
    assert drawn(kernel, row, [(7, 1)]) == [(10, 3), (17, 1)]


def test_drawing_without_a_gap_is_one_chunk() -> None:
    kernel = free()
    row = kernel.context(0.006, 0.010).row
    assert drawn(kernel, row, [(2, 1), (3, 1), (4, 2)]) == [(2, 2), (12, 4)]


def test_a_ninth_refill_merges_the_two_nearest_into_the_later() -> None:
    kernel = free()
    row = kernel.context(0.500, 1.000).row
    draws = [(10 * i, 1) for i in range(7)] + [(63, 1)]
    assert drawn(kernel, row, draws) == [
        (63, 492), *[(1000 + 10 * i, 1) for i in range(6)], (1063, 2)
    ]  # fmt: skip


def test_an_overdraft_delays_the_refill_from_which_it_was_taken() -> None:
    kernel = free()
    row = kernel.context(0.004, 0.010).row
    assert drawn(kernel, row, [(0, 5)]) == [(10, 3), (20, 1)]


@given(st.integers(1, 50), st.integers(0, 60), st.lists(st.tuples(st.integers(0, 30), st.integers(1, 20)), max_size=60))
@settings(max_examples=60, deadline=None)
def test_what_is_drawn_within_the_budget_obeys_the_bound(budget: int, more: int, steps: list[tuple[int, int]]) -> None:
    kernel = free()
    period = budget + more
    row = kernel.context(budget / 1000, period / 1000).row
    log, now = [], 0
    for pause, wanted in steps:
        now += pause
        part = min(wanted, contexts.available(kernel.tables, row, now))
        contexts.draw(kernel.tables, row, now, part)
        log += [(now, part)]
        assert sum(amount for _, amount in refills(kernel, row)) == budget
        assert sorted(refills(kernel, row)) == refills(kernel, row)
        now += part
    assert_bound(log, budget, period)


def assert_bound(log: list[tuple[int, int]], budget: int, period: int) -> None:
    """In any window of length W at most budget x (ceil(W / period) + 1): windows that begin and end with a drawing."""
    for i, (start, _) in enumerate(log):
        total = 0
        for since, amount in log[i:]:
            total += amount
            window = since + amount - start
            assert total <= budget * (-(-window // period) + 1), (start, since, amount)


# --- threads ----------------------------------------------------------------------------------------------------------


def worker(kernel: Kernel, name: str, ns: int, log: Log, **options: Any) -> None:
    def program(_kernel: Kernel, _me: Any) -> Script:
        yield compute(ns)
        log.append((kernel.now_ps / 1000, name, None))

    kernel.process(name, program, **options)


def test_a_thread_is_taken_off_its_core_until_the_next_refill() -> None:
    kernel, log = free(), []
    worker(kernel, "busy", 950, log, context=kernel.context(100, 1000))
    worker(kernel, "other", 500, log, priority=7)
    kernel.run()
    assert log == [(600, "other", None), (9050, "busy", None)]
    assert kernel.contexts["context1"].user_ps == 950_000
    assert kernel.contexts["unlimited"].user_ps == 500_000


def test_threads_of_one_priority_take_turns_when_their_heads_are_used_up() -> None:
    kernel, log = free(), []
    for name in "ab":
        worker(kernel, name, 290, log, context=kernel.context(100, 100))
    kernel.run()
    assert log == [(490, "a", None), (580, "b", None)]


def test_without_contexts_nobody_asks() -> None:
    kernel, log = free(), []
    for name in "ab":
        worker(kernel, name, 300, log)
    kernel.run()
    assert log == [(300, "a", None), (600, "b", None)]
    assert dict(kernel.contexts) == {}


def test_a_bystander_keeps_its_share_whatever_a_thread_of_higher_priority_does() -> None:
    kernel, log = free(), []
    worker(kernel, "greedy", 10**6, log, priority=9, context=kernel.context(600, 1000))
    worker(kernel, "bystander", 10**6, log)
    kernel.run(100_000)
    assert kernel.accounts["bystander"].ns["user"] == 40_000


def test_a_sleeping_thread_keeps_its_budget_and_no_more() -> None:
    kernel, log = free(), []

    def program(_kernel: Kernel, _me: Any) -> Script:
        for _ in range(3):
            yield sleep(950)
            yield compute(100)
            log.append((kernel.now_ps / 1000, "done", None))

    kernel.process("app", program, context=kernel.context(150, 1000))
    kernel.run()
    assert log == [(1050, "done", None), (2100, "done", None), (3150, "done", None)]


@pytest.mark.parametrize(("budget", "period"), [(0, 100), (200, 100), (-1, 10), (10, 10**13)])
def test_a_budget_is_something_and_at_most_its_period(budget: int, period: int) -> None:
    with pytest.raises(GraftError, match="G0812"):
        free().context(budget, period)


# --- passive servers --------------------------------------------------------------------------------------------------


def test_a_passive_server_runs_on_what_its_caller_lends() -> None:
    kernel = free()
    disk = kernel.server("disk", reply=b"ok", service_ns=300, passive=True)
    app = Teller(kernel, [call(disk), compute(50)], context=kernel.context(1000, 5000))
    kernel.run()
    assert app.log == [(300, "Call", (0, "replied", 0, b"ok")), (350, "Compute", None)]
    assert kernel.contexts["context1"].user_ps == 350_000
    assert kernel.accounts["disk"].ns["user"] == 300
    assert kernel.contexts["unlimited"].user_ps == 0


def test_nested_calls_lend_on_what_was_lent() -> None:
    kernel = free()
    disk = kernel.server("disk", reply=b"ok", service_ns=300, passive=True)
    door = kernel.endpoint("door")

    def middle(_kernel: Kernel, _me: Any) -> Script:
        yield receive()
        while True:
            yield compute(10)
            answer = yield call(disk)
            yield reply(answer.body)

    kernel.process("middle", middle, endpoint=door, passive=True)
    app = Teller(kernel, [call(door)], context=kernel.context(1000, 5000))
    kernel.run()
    assert app.log == [(310, "Call", (0, "replied", 0, b"ok"))]
    assert kernel.contexts["context1"].user_ps == 310_000


def test_an_asynchronous_sender_and_its_passive_server_draw_on_one_budget() -> None:
    kernel = free(cores=2)
    disk = kernel.server("disk", reply=b"ok", service_ns=300, passive=True, core=1)
    app = Teller(kernel, [submit(disk), compute(200), wait()], context=kernel.context(1000, 5000))
    kernel.run()
    assert app.log[-1] == (300, "Wait", [(0, "replied", 0, b"ok")])
    assert kernel.contexts["context1"].user_ps == 500_000


def test_a_passive_server_whose_donor_is_exhausted_times_out_and_serves_the_next() -> None:
    kernel = free()
    disk = kernel.server("disk", reply=b"ok", service_ns=300, passive=True)
    poor = Teller(kernel, [call(disk, tag=1)], "poor", context=kernel.context(200, 5000))
    rich = Teller(kernel, [call(disk, tag=2)], "rich")
    kernel.run()
    assert rich.log == [(500, "Call", (2, "replied", 0, b"ok"))]
    assert poor.log == [(5000, "Call", (1, "timed_out", -110, b""))]
    assert kernel.accounts["disk"].ns["user"] == 500


def test_the_timeout_handler_of_a_python_server_can_undo_and_go_on() -> None:
    kernel, undone = free(), []
    door = kernel.endpoint("door")

    def server(_kernel: Kernel, _me: Any) -> Script:
        request = yield receive()
        while True:
            try:
                yield compute(300)
                request = yield reply(b"ok")
            except DonorExhausted as lost:
                undone.append((kernel.now_ps / 1000, lost.request.tag, request.tag))
                yield compute(40)
                request = yield receive()

    kernel.process("server", server, endpoint=door, passive=True, context=kernel.context(100, 1000, "rescue"))
    poor = Teller(kernel, [call(door, tag=1)], "poor", context=kernel.context(200, 5000))
    rich = Teller(kernel, [call(door, tag=2)], "rich")
    kernel.run()
    assert undone == [(200, 1, 1)]
    assert rich.log == [(540, "Call", (2, "replied", 0, b"ok"))]
    assert poor.log == [(5000, "Call", (1, "timed_out", -110, b""))]
    assert kernel.contexts["rescue"].user_ps == 40_000


def test_a_request_that_is_lost_before_its_server_has_seen_it_is_none_and_the_next_is_served() -> None:
    """The donor's budget is over when the server would begin; it has nothing to undo."""
    kernel, seen = free(), []
    door = kernel.endpoint("door")

    def server(_kernel: Kernel, _me: Any) -> Script:
        request = yield receive()
        while True:
            seen.append((kernel.now_ps / 1000, request and request.tag))
            yield compute(100)
            request = (yield reply(b"ok")) if request else (yield receive())

    kernel.process("server", server, endpoint=door, passive=True)
    poor = Teller(kernel, [compute(199), submit(door, tag=1), compute(5), wait()], "poor",
                  context=kernel.context(200, 5000))  # fmt: skip
    rich = Teller(kernel, [compute(300), call(door, tag=2), call(door, tag=3)], "rich")
    kernel.run()
    assert seen == [(500, None), (600, 2), (700, 3)]
    assert poor.log[-1][2] == [(1, "timed_out", -110, b"")]
    assert [result[:2] for _, name, result in rich.log if name == "Call"] == [(2, "replied"), (3, "replied")]


def test_exhaustion_unwinds_a_whole_chain_of_passive_servers() -> None:
    kernel, told = free(), []
    disk = kernel.server("disk", reply=b"ok", service_ns=300, passive=True)
    door = kernel.endpoint("door")

    def middle(_kernel: Kernel, _me: Any) -> Script:
        yield receive()
        while True:
            try:
                answer = yield call(disk)
                yield reply(answer.body)
            except DonorExhausted as lost:
                told.append(lost.request.tag)
                yield receive()

    kernel.process("middle", middle, endpoint=door, passive=True)
    app = Teller(kernel, [call(door, tag=4)], context=kernel.context(200, 5000))
    kernel.run()
    assert told == [4]
    assert app.log == [(5000, "Call", (4, "timed_out", -110, b""))]


# --- the theorem ------------------------------------------------------------------------------------------------------


def hungry(seed: int) -> tuple[Kernel, list[Context]]:
    """A random machine on which grafts take all the time that they can get: each reply leads to one more request."""
    draw = random.Random(seed)
    cores = draw.choice((1, 2, 3))
    kernel = Kernel(
        prices={"entry": 20, "activate": draw.choice((20, 100, 333)), "account_switch": 10, "interrupt": 5},
        engine="numba", trace=True, seed=seed, cores=cores, fuel_ns=1e9, charge=draw.choice(("metered", "switched")),
        activation=draw.choice(("eager", "deferred", "auto")), locks=draw.choice(("one", "core")),
    )  # fmt: skip
    period = draw.choice((1_000, 4_000))
    contexts = [kernel.context(round(period * draw.choice((0.2, 0.5, 1))), period) for _ in range(2)]
    for number in range(draw.randint(1, 3)):
        core = draw.randrange(cores)
        disk = kernel.server(
            f"disk{number}", image=b"\1" * 16, block=8, service_ns=draw.choice((0, 5, 50)), core=draw.randrange(cores),
            passive=draw.random() < 0.5,
        )  # fmt: skip
        app = kernel.client(f"app{number}", core=core, context=draw.choice(contexts))
        kernel.attach(verified({"reply/disk.read": CHASE}), to=app, slots={"disk": disk})
        kernel.jobs(app, slot=disk, bodies=bytes(8), count=50)
        app.run("submit", depth=draw.randint(1, 4))
    kernel.run(draw.randint(5, 12) * period)
    return kernel, contexts


@given(st.integers(0, 10**9))
@settings(max_examples=40, deadline=None)
def test_graft_time_in_any_window_is_at_most_the_budgets_of_its_periods_and_one_more(seed: int) -> None:
    kernel, contexts = hungry(seed)
    for context in contexts:
        assert tightest(kernel, context) <= 1


def test_the_theorem_is_not_vacuous() -> None:
    made = [hungry(seed) for seed in range(12)]
    assert max(tightest(kernel, context) for kernel, contexts in made for context in contexts) > 0.7
