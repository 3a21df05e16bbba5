"""`direct`: rings between client and server.

No wake-up is lost, no kernel is entered while both sides are awake, what is spun is bounded and on the spinner's
account, and a ring is as bounded, as mortal and as honest as an endpoint.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from kernels import answers, chain_image, chase, verified

from grafting import GraftError
from kernel_model import Client, Exponential, Jobs, Kernel, Process, Server, Uniform
from kernel_model.core.bells import rest
from kernel_model.core.tables import NEVER, OUTCOMES, RUNNING, WAITING
from kernel_model.experiments.abilities import points
from kernel_model.experiments.point import Point
from kernel_model.experiments.run import run
from kernel_model.hosting import Script, call, compute
from kernel_model.mechanisms.counts import Counts
from kernel_model.persistence import Application
from kernel_model.results.outcome import Outcome

JOBS = 12


def outcomes(jobs: Jobs) -> list[str]:
    return [OUTCOMES[number] for number in jobs.results()["outcome"]]


class Pair:
    """A client with chains of `chain` requests, one server or several at one endpoint, and rings between them."""

    def __init__(
        self, *, chain: int = 1, depth: int = 1, wait: int = 1, poll_ns: float = 0, core: int = 1, capacity: int = 64,
        servers: int = 1, service_ns: Any = 200, jobs: int = JOBS, **options: Any,
    ) -> None:  # fmt: skip
        self.kernel = Kernel(engine="python", cores=2, trace=True, **options)
        image = chain_image(chain)
        first = self.kernel.server("disk", image=image, block=64, service_ns=service_ns, capacity=capacity, core=core)
        self.servers = [first, *(self.kernel.server(f"disk{n}", like=first, core=core) for n in range(1, servers))]
        self.client: Client = self.kernel.client("app")
        graft = self.kernel.load(chase(), to=self.client, slots={"disk": first})
        self.jobs: Jobs = self.kernel.jobs(
            self.client, graft=graft, slot="disk", op="read", bodies=bytes(8), count=jobs
        )
        self.kernel.connect(self.client, *self.servers, poll_ns=poll_ns)
        self.kernel.run()
        self.begun = self.kernel.now_ps
        before = self.kernel.totals
        self.client.run("direct", depth, wait=wait)
        self.kernel.run()
        self.spent = self.kernel.totals - before

    def count(self, name: str) -> int:
        return self.spent.counts.get(name, 0)

    def sections(self) -> list[int]:
        """When the kernel was entered, ps, since the client began."""
        return [time for time, what, *_ in self.kernel.events() if what == "section" and time >= self.begun]


# --- one core: notified -----------------------------------------------------------------------------------------------


def test_on_one_core_a_step_costs_two_crossings_and_nobody_spins() -> None:
    for poll_ns in (0, 10_000):
        pair = Pair(chain=4, core=0, poll_ns=poll_ns)
        assert answers(pair.kernel, pair.jobs).tolist() == [3] * JOBS
        assert pair.count("entry") == 2 * 4 * JOBS
        assert pair.count("spin") == 0


def test_no_message_is_decoded_announced_or_looked_at_by_a_hook_in_the_kernel() -> None:
    pair = Pair(chain=4, core=0)
    kernel_work = ("dispatch_send", "dispatch_call", "dispatch_reply", "notify", "hook_check", "slow_path")
    assert [pair.count(name) for name in kernel_work] == [0] * len(kernel_work)
    assert pair.count("ring_put") == pair.count("ring_take") == 2 * 4 * JOBS


def test_independent_requests_wake_the_client_once_and_each_server_once() -> None:
    pair = Pair(core=0, depth=6, wait=6, servers=3, jobs=6)
    assert outcomes(pair.jobs) == ["replied"] * 6
    assert pair.count("dispatch_bell") == 3 + 3
    assert pair.client.wakeups == 1


def test_a_round_over_many_rings_is_charged_ring_by_ring() -> None:
    one, three = Pair(core=0), Pair(core=0, servers=3)
    assert three.count("ring_arm") > 2 * one.count("ring_arm") - 3 * JOBS
    assert three.count("ring_look") > one.count("ring_look")


def test_a_cache_line_moves_only_between_cores() -> None:
    assert Pair(core=0).count("ring_line") == 0
    assert Pair(core=1).count("ring_line") == 4 * JOBS


def test_a_body_is_written_once_by_its_producer() -> None:
    pair, window = Pair(), Kernel(engine="python").tables.config[0]["register_bytes"]
    copied = {name: account.counts.get("copy_byte", 0) for name, account in pair.kernel.accounts.items()}
    assert copied["disk"] == JOBS * max(0, 64 - window)
    assert copied["app"] == 0


# --- two cores: nobody enters the kernel ------------------------------------------------------------------------------


def test_while_both_sides_are_awake_nobody_enters_the_kernel() -> None:
    pair = Pair(chain=4, poll_ns=1_000_000)
    assert answers(pair.kernel, pair.jobs).tolist() == [3] * JOBS
    ends = pair.jobs.results()["finished"]
    within = [time for time in pair.sections() if time < ends[-1]]
    assert len(within) == 3  # the client's first bell, its interrupt on the sleeping server's core, the timer's: none
    assert max(within) < ends[0]


def test_two_that_sleep_ring_a_bell_and_interrupt_a_core_for_each_message() -> None:
    pair = Pair(chain=4)
    assert pair.count("dispatch_bell") == pair.count("ipi") == pair.count("interrupt") == 2 * 4 * JOBS


@pytest.mark.parametrize("service_ns", [200, 5_000, 40_000])
def test_spinning_is_bounded_and_on_the_spinners_account(service_ns: float) -> None:
    patience = 10_000_000
    pair = Pair(chain=2, poll_ns=10_000, service_ns=service_ns)
    accounts = pair.kernel.accounts
    takings = 2 * JOBS
    for name in ("app", "disk"):
        assert 0 < accounts[name].ps["spin"] <= (takings + 2) * patience
    spun = sum(accounts[name].ps["spin"] for name in ("app", "disk"))
    assert spun == pair.kernel.totals.counts["spin"]


def test_a_window_that_was_of_no_use_closes() -> None:
    """A server of 40 us is not worth 10 us of looking: after few steps the client goes to sleep at once."""
    pair = Pair(chain=8, poll_ns=10_000, service_ns=40_000)
    assert pair.kernel.accounts["app"].ps["spin"] < 4 * 10_000_000
    patient = Pair(chain=8, poll_ns=100_000, service_ns=40_000)
    assert patient.kernel.accounts["app"].ps["spin"] > 8 * JOBS * 30_000_000


def test_two_servers_on_one_core_do_not_spin_in_each_others_way() -> None:
    pair = Pair(chain=4, poll_ns=10_000, servers=2)
    assert outcomes(pair.jobs) == ["replied"] * JOBS
    assert [pair.kernel.accounts[name].ps["spin"] for name in ("disk", "disk1")] == [0, 0]
    assert pair.kernel.accounts["app"].ps["spin"] > 0


# --- no wake-up is lost -----------------------------------------------------------------------------------------------


def tangle(seed: int) -> tuple[Kernel, list[Jobs]]:
    """Clients and servers in every relation: times are drawn so that sleeping, ringing and looking meet by chance."""
    draw = random.Random(seed)
    cores = draw.choice((1, 2, 3, 4))
    kernel = Kernel(
        engine="python", cores=cores, seed=seed, locks=draw.choice(("one", "core")),
        prices={name: draw.choice((0, 10, 40, 170)) for name in
                ("entry", "exit", "switch", "ipi", "interrupt", "dispatch_bell", "dispatch_receive", "ring_put",
                 "ring_take", "ring_look", "ring_arm", "ring_line")},
    )  # fmt: skip

    def place() -> dict[str, int]:
        return {"core": draw.randrange(cores), "priority": draw.choice((7, 8, 8))}

    image = chain_image(draw.randint(1, 4))
    servers: list[Server] = []
    for number in range(draw.randint(1, 3)):
        like = draw.choice(servers) if servers and draw.random() < 0.4 else None
        times: Any = draw.choice((0, 60, Exponential(150), Uniform(0, 400)))
        options: dict[str, Any] = {"like": like} if like else {
            "image": image, "block": 64, "service_ns": times, "device_ns": draw.choice((0, 0, 250)),
            "capacity": draw.choice((0, 1, 2, 16)),
        }  # fmt: skip
        servers.append(kernel.server(f"server{number}", **options, **place()))
    made = []
    for number in range(draw.randint(1, 4)):
        client = kernel.client(f"client{number}", completions=draw.choice((4, 16)), **place())
        at = draw.choice(servers)
        graft = kernel.load(chase(), to=client, slots={"disk": at})
        made.append(kernel.jobs(client, graft=graft, slot="disk", op="read", bodies=bytes(8), count=draw.randint(1, 12),
                                think_ns=draw.choice((0, 0, Exponential(200)))))  # fmt: skip
        kernel.connect(client, *servers, poll_ns=draw.choice((0, 0, 50, 400, 3_000)))
        depth = draw.randint(1, 4)
        client.run("direct", depth, wait=draw.randint(1, depth))
    return kernel, made


@pytest.mark.parametrize("block", range(3))
def test_no_wake_up_is_lost(block: int) -> None:
    """If one were, a client would sleep for ever with a job open; the books are checked after each run."""
    for seed in range(12 * block, 12 * block + 12):
        kernel, made = tangle(seed)
        kernel.run()
        assert kernel.jobs_open == 0, seed
        assert all(set(outcomes(jobs)) == {"replied"} for jobs in made), seed
        assert kernel.totals.counts.get("dispatch_send", 0) == 0


def test_a_message_put_while_the_other_goes_to_sleep_wakes_it() -> None:
    """The flag of a sleeper is seen while it is on its way into the kernel, at every instant of that way."""
    prices = {"ring_arm": 100, "entry": 100, "exit": 50, "ring_put": 10, "switch": 40}
    for service_ns in range(0, 400, 23):
        pair = Pair(chain=2, jobs=3, service_ns=service_ns, prices=prices)
        assert outcomes(pair.jobs) == ["replied"] * 3


def test_a_bell_rung_on_the_way_into_the_kernel_is_remembered() -> None:
    """It can be rung between the last look and the lock, where each core has its own."""
    for rung, state in ((0, WAITING), (1, RUNNING), (2, RUNNING)):
        kernel = Kernel(engine="python")
        client, _server = connected(kernel)
        k = kernel.tables
        process, side = k.process[client.row], k.side[k.process[client.row]["side"]]
        process["state"], process["a"], process["b"], side["rung"] = RUNNING, 1, NEVER, rung
        rest(k, client.row)
        assert (process["state"], side["rung"]) == (state, 0)


def test_without_the_order_for_a_bell_a_client_does_sleep_for_ever() -> None:
    """What the theorem above would see: a server that owes a bell and forgets it."""
    kernel = Kernel(engine="python")
    disk, client = kernel.server("disk", reply=bytes(8), service_ns=100), kernel.client("app")
    kernel.jobs(client, slot=disk, bodies=bytes(8))
    kernel.connect(client, disk)
    client.run("direct")
    kernel.run(60)
    while kernel.tables.ring[0]["client_wants"] == 0:
        kernel.run(kernel.now_ps / 1000 + 1)
    kernel.tables.ring[0]["client_wants"] = 0
    kernel.run()
    assert kernel.jobs_open == 1


# --- bounded, mortal, honest ------------------------------------------------------------------------------------------


def test_a_full_ring_refuses_as_a_full_endpoint_does_and_loses_nothing() -> None:
    for mode_depth in (4, 8):
        pair = Pair(depth=mode_depth, capacity=1, service_ns=500)
        assert outcomes(pair.jobs) == ["replied"] * JOBS
        assert pair.kernel.statistics.refused > 0
        assert pair.kernel.tables.ring[0]["asked"] == 0
    assert Pair(depth=8, capacity=16).kernel.statistics.refused == 0


def half_way(*, until_ns: float, poll_ns: float = 0) -> tuple[Kernel, Client, Server, Jobs]:
    kernel = Kernel(engine="python", cores=2)
    disk, client = kernel.server("disk", reply=bytes(8), service_ns=1_000, core=1), kernel.client("app")
    jobs = kernel.jobs(client, slot=disk, bodies=bytes(8), count=8)
    kernel.connect(client, disk, poll_ns=poll_ns)
    client.run("direct", 4)
    kernel.run(until_ns)
    return kernel, client, disk, jobs


@pytest.mark.parametrize("poll_ns", [0, 5_000])
def test_the_death_of_a_server_ends_what_it_was_asked_at_every_instant(poll_ns: float) -> None:
    seen = set()
    for until_ns in range(0, 9_000, 517):
        kernel, _client, disk, jobs = half_way(until_ns=until_ns, poll_ns=poll_ns)
        kernel.kill(disk)
        kernel.run()
        assert kernel.jobs_open == 0
        seen |= set(outcomes(jobs))
    assert seen == {"replied", "peer_died", "cancelled", "refused"}


@pytest.mark.parametrize("poll_ns", [0, 5_000])
def test_the_death_of_a_client_leaves_its_server_and_the_others_at_every_instant(poll_ns: float) -> None:
    for until_ns in range(0, 9_000, 517):
        kernel, client, disk, _jobs = half_way(until_ns=until_ns, poll_ns=poll_ns)
        other = kernel.client("other")
        more = kernel.jobs(other, slot=disk, bodies=bytes(8), count=4)
        kernel.connect(other, disk, poll_ns=poll_ns)
        other.run("direct", 2)
        kernel.kill(client)
        kernel.run()
        assert outcomes(more) == ["replied"] * 4
        assert kernel.statistics.requests_in_flight == kernel.statistics.operations_in_flight == 0


def test_revoking_the_capability_cancels_what_waits_in_the_ring_and_refuses_what_comes_later() -> None:
    kernel, _client, disk, jobs = half_way(until_ns=1_500)
    kernel.revoke(disk)
    kernel.run()
    assert {"cancelled", "refused"} <= set(outcomes(jobs))
    assert kernel.jobs_open == 0


def test_a_server_whose_rings_are_never_empty_serves_who_calls_it() -> None:
    kernel = Kernel(engine="python", cores=2)
    disk, client = kernel.server("disk", reply=bytes(8), service_ns=300, core=1), kernel.client("app")
    jobs = kernel.jobs(client, slot=disk, bodies=bytes(8), count=200)
    answered: list[int] = []

    def caller(kernel: Kernel, _me: Process) -> Script:
        yield compute(2_000)
        for _ in range(5):
            yield call(disk, body=bytes(8))
            answered.append(kernel.now_ps)

    kernel.connect(client, disk, poll_ns=1_000)
    client.run("direct", 8)
    kernel.process("caller", caller, core=1, priority=9)
    kernel.run()
    assert outcomes(jobs) == ["replied"] * 200
    assert len(answered) == 5
    assert answered[-1] < jobs.results()["finished"].max() // 2


def test_whoever_attaches_a_graft_sees_the_messages_for_they_go_through_the_kernel() -> None:
    for hook in ("client", "server"):
        kernel = Kernel(engine="python")
        disk, client = kernel.server("disk", image=chain_image(3), block=64), kernel.client("app")
        if hook == "client":
            graft = kernel.attach(chase(), to=client, slots={"disk": disk})
        else:
            kernel.attach(verified({"request": "r0 = 0\nexit"}), to=disk, slots={"disk": disk})
            graft = kernel.load(chase(), to=client, slots={"disk": disk})
        jobs = kernel.jobs(client, graft=graft, slot="disk", op="read", bodies=bytes(8), count=3)
        kernel.connect(client, disk)
        client.run("direct")
        kernel.run()
        assert answers(kernel, jobs).tolist() == [2] * 3
        assert kernel.totals.counts["activate"] == 9
        assert kernel.totals.counts.get("ring_put", 0) == 0


def test_messages_in_a_ring_are_received_in_the_order_in_which_they_were_put() -> None:
    pair = Pair(depth=6, service_ns=Exponential(300), seed=5)
    tags = [tag for _, what, _, _, tag, _ in pair.kernel.events() if what == "receive"]
    assert tags == sorted(tags)
    assert len(tags) == JOBS


# --- what it is compared with -----------------------------------------------------------------------------------------


def test_every_workload_is_answered_rightly_and_as_foretold_from_another_core() -> None:
    """On one core `test_rivals_page` does the same."""
    for number, (what, point) in enumerate(points()):
        name = ("direct", "direct/poll")[number % 2]
        outcome = run(replace(point, mechanism=name, operations=1, place="other", cores=2), tier="python")
        assert isinstance(outcome, Outcome)
        assert outcome.misses == (), what


# Four independent requests, written out by hand: crossings, switches, wake-ups, activations in the kernel, in user
# mode, submissions, notifications, interrupts.
INDEPENDENT = {
    ("one", "same"): (2, 2, 1, 0, 5, 0, 0, 0),
    ("each", "same"): (5, 5, 1, 0, 5, 0, 0, 0),
    ("one", "other"): (2, 2, 1, 0, 5, 0, 0, 2),
    ("each", "other"): (5, 5, 1, 0, 5, 0, 0, 2),
}


@pytest.mark.parametrize(("case", "expected"), INDEPENDENT.items(), ids=str)
def test_independent_requests_are_done_with_the_counts_of_the_table_above(case: Any, expected: Sequence[int]) -> None:
    servers, place = case
    point = Point(workload="gather", mechanism="direct", hops=4, servers=servers, place=place, operations=3)
    outcome = run(point, tier="python")
    assert isinstance(outcome, Outcome)
    assert outcome.counts == Counts(*expected).scaled(3)
    assert outcome.misses == ()
    assert not outcome.predicted.unknown


@pytest.mark.parametrize("changes", [{"clients": 3}, {"clients": 2, "load": 900_000.0}, {"locks": "core"}], ids=str)
def test_what_depends_on_who_is_awake_is_not_foretold(changes: dict[str, Any]) -> None:
    for workload, servers in (("list", "each"), ("gather", "one")):
        point = Point(workload=workload, mechanism="direct", hops=3, place="other", operations=6, **changes)
        outcome = run(replace(point, servers=servers), tier="python")  # type: ignore[arg-type]
        assert isinstance(outcome, Outcome)
        assert outcome.misses == ()
        assert ("crossings" in outcome.predicted.unknown) == ("clients" in changes)


def test_a_passive_server_has_no_time_to_look_into_a_ring() -> None:
    outcome = run(Point(mechanism="direct", serving="passive", operations=1), tier="python")
    assert "passive" in getattr(outcome, "reason", "")
    kernel = Kernel(engine="python")
    with pytest.raises(GraftError, match="passive"):
        kernel.connect(kernel.client("app"), kernel.server("disk", passive=True))


def connected(kernel: Kernel) -> tuple[Client, Server]:
    client, server = kernel.client("app"), kernel.server("disk")
    kernel.connect(client, server)
    return client, server


def test_what_cannot_be_connected_is_refused() -> None:
    kernel = Kernel(engine="python")
    client, server = connected(kernel)
    with pytest.raises(GraftError, match="already"):
        kernel.connect(client, server)
    with pytest.raises(GraftError, match="ring"):
        kernel.connect(client, kernel.host("host", to=server))
    with pytest.raises(GraftError, match="polled"):
        kernel.connect(client, kernel.server("other"), poll_ns=-1)
    with pytest.raises(GraftError, match="shares no ring"):
        kernel.client("lonely").run("direct")


def test_a_side_of_a_ring_cannot_be_saved(tmp_path: Any) -> None:
    kernel = Kernel(engine="python")
    for process in connected(kernel):
        with pytest.raises(GraftError, match="shares rings"):
            kernel.save(Application("one", (process,)), tmp_path / "snapshot")
