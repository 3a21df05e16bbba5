"""Working sets: what is displaced from a core's cache is brought in again and charged, line by line; nothing else."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kernel_scenarios import Scenario
from kernels import CONSUME, chain_image, chase, verified

import grafting
import verifier
from grafting import GraftError
from kernel_model import Attachment, Client, Kernel, Process, Server, costs
from kernel_model.core import prices, tables
from kernel_model.core.tables import NONE
from kernel_model.costs import Cache
from kernel_model.experiments.point import Point
from kernel_model.experiments.run import run
from kernel_model.footprints import graft_lines, handler_lines, refill_ps
from kernel_model.hosting import Compute, Jump, Row, Script, Sleep, Touch, compute, hint, sleep, touch
from kernel_model.mechanisms import ALL
from kernel_model.persistence import Application
from kernel_model.results.outcome import Outcome

SAMPLES = Path(__file__).resolve().parents[1] / "samples"
LINE = 64
SMALL = Cache(64 * LINE, LINE, 8 * LINE)  # 64 lines; 8 of every process
HOPS, OPERATIONS = 4, 10
ON_ONE_CORE = [seed for seed in range(60) if random.Random(seed).choice((1, 1, 2, 3)) == 1]  # a scenario's first draw
HOG: list[Row] = [Compute(1_000_000), Jump(0)]


def lines(kernel: Kernel, account: str) -> int:
    return kernel.accounts[account].count("refill_line")


def total(kernel: Kernel) -> int:
    return kernel.totals.count("refill_line")


class Chain:
    """A client, a server that sleeps in each request, and a chain of `HOPS` by calls or by a graft."""

    def __init__(
        self, where: str, cache: Any = SMALL, *, hog: int = 0, device_ns: float = 3000, **options: Any
    ) -> None:
        self.kernel = Kernel("sel4-skylake", engine="python", caches=cache, vectors=True, **options)
        self.client: Client = self.kernel.client("app")
        self.server: Server = self.kernel.server("disk", image=chain_image(HOPS), block=64, device_ns=3000)
        put = self.kernel.load if where == "client" else self.kernel.attach
        self.graft: Attachment = put(chase(), to=self.client, slots={"disk": self.server})
        if hog:
            self.kernel.working_set(self.kernel.script("hog", HOG, priority=2), hog * LINE)
        self.kernel.jobs(self.client, slot=self.server, bodies=bytes(8), count=OPERATIONS, graft=self.graft)
        self.client.run("call" if where == "client" else "submit")
        self.kernel.run(2_000_000)
        assert self.kernel.jobs_open == 0

    @property
    def footprint(self) -> int:
        cache = self.kernel.cache
        return 0 if cache is None else graft_lines(self.graft.verified, "interpreted", cache)


# --- when nothing is charged ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["client", "kernel"])
def test_nothing_is_charged_while_all_footprints_fit(where: str) -> None:
    ran = Chain(where, hog=32)
    assert 8 + 8 + 32 + ran.footprint <= SMALL.lines
    assert total(ran.kernel) == 0
    assert ran.kernel.totals.ps["refill"] == 0


@pytest.mark.parametrize("seed", range(0, 40, 4))
def test_a_cache_that_holds_everything_is_a_hot_one(seed: int) -> None:
    def ran(cache: Any) -> Kernel:
        kernel = Kernel(prices={"entry": 30, "exit": 20, "switch": 50, "activate": 10}, seed=seed, engine="python",
                        caches=cache, trace=True)  # fmt: skip
        disk, app = kernel.server("disk", image=chain_image(3), block=64, device_ns=300), kernel.client("app")
        kernel.attach(chase(), to=app, slots={"disk": disk})
        kernel.jobs(app, slot=disk, bodies=bytes(8), count=20)
        app.run("submit", 1 + seed % 4)
        kernel.run()
        return kernel

    hot, large = ran("hot"), ran(Cache(1 << 30))
    assert hot.events() == large.events()
    assert hot.accounts == large.accounts


# --- what is charged --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["client", "kernel"])
def test_after_a_bystander_who_fills_the_cache_each_pays_for_all_of_its_own_and_a_graft_spares_the_client(
    where: str,
) -> None:
    ran = Chain(where, hog=10_000)
    hops = HOPS * OPERATIONS
    # The server sleeps in each hop, and the bystander runs meanwhile. Then the server is cold, and after it the graft;
    # by calls the client is cold too, in every hop, and if a graft does the rest once an operation. Both begin cold, as
    # the bystander was made last.
    client = 8 * (1 + (hops if where == "client" else OPERATIONS))
    assert lines(ran.kernel, "disk") == 8 * (1 + hops)
    assert lines(ran.kernel, "app") == client + ran.footprint * hops
    assert ran.kernel.tables.graft[ran.graft.row]["refilled"] == ran.footprint * hops
    # They follow each other without displacing one another: it is the bystander who loses what they bring in.
    assert lines(ran.kernel, "hog") == lines(ran.kernel, "disk") + lines(ran.kernel, "app")


def test_what_was_displaced_is_charged_exactly_at_the_price_of_a_line() -> None:
    ran = Chain("kernel", hog=10_000)
    price = int(costs.load("sel4-skylake").prices[prices.REFILL_LINE])
    for name, account in ran.kernel.accounts.items():
        assert account.ps["refill"] == lines(ran.kernel, name) * price


def test_a_footprint_across_the_edge_of_the_cache_is_brought_in_in_part() -> None:
    ran = Chain("client", hog=SMALL.lines - 12)
    assert ran.footprint + 16 + SMALL.lines - 12 > SMALL.lines
    assert 0 < total(ran.kernel) < total(Chain("client", hog=SMALL.lines).kernel)


def test_idling_displaces_nothing() -> None:
    kernel = Kernel(engine="python", caches=SMALL)
    kernel.script("sleeper", [Sleep(1_000_000), Compute(10), Jump(0)])
    kernel.run(20_000_000)
    assert total(kernel) == 0


def test_what_moves_to_another_core_is_cold_there_each_time() -> None:
    kernel = Kernel("sel4-skylake", engine="python", caches=SMALL, cores=2)
    near, far = kernel.server("near", core=0), kernel.server("far", core=1)
    app = kernel.client("app", core=0)
    graft = kernel.attach(verified({"submit": "r0 = 0\nexit", "reply": "r0 = 0\nexit"}), to=app, slots={"disk": far})
    kernel.jobs(app, slot=far, bodies=bytes(8), count=5)
    app.run("submit")
    kernel.run()
    row = kernel.tables.graft[graft.row]
    footprint = graft_lines(graft.verified, "interpreted", SMALL)
    assert row["activations"] == 10  # at the submission on the client's core, at the reply on the server's
    assert row["refilled"] == 9 * footprint  # it was warm where it had just been attached
    assert lines(kernel, "near") == lines(kernel, "far") == 0
    assert near.endpoint is not far.endpoint


@pytest.mark.parametrize("seed", ON_ONE_CORE[:12])
def test_what_is_charged_is_what_an_lru_stack_of_the_same_uses_misses(seed: int) -> None:
    scenario = Scenario(seed, "python", caches=Cache(2048, 64, 512))
    stack = Stack(scenario.kernel)
    assert scenario.cores == 1
    scenario.kernel.run(30_000.0)
    k = scenario.kernel.tables
    expected, seen = [], []
    for _, what, a, b, c, d in scenario.kernel.events():
        if what == "activate":
            expected.append((int(k.graft[a]["footprint"]), 0))
        elif what == "section" and c != NONE and k.process[c]["behaviour"] != tables.B_CONTINUATION:
            expected.append((int(k.process[c]["footprint"]), 0))
        elif what == "refill":
            seen.append((b, c))
            assert d < scenario.kernel.storage.used["account"]
    missed = [(f, missing) for f, _ in expected if (missing := stack.use(f)) > 0]
    assert missed == seen


class Stack:
    """LRU as in the textbook: a list of lines, each used footprint as a whole in front, cut at the cache's size."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        k = kernel.tables
        self.size = int(k.config[0]["cache_lines"])
        self.lines: list[tuple[int, int]] = []
        f = int(k.queue[k.core[0]["queues"] + tables.Q_WARM]["head"])
        while f != NONE:
            self.lines += [(f, n) for n in range(int(k.footprint[f]["warm"]))]
            f = int(k.footprint[f]["next"])

    def use(self, f: int) -> int:
        mine = [(f, n) for n in range(int(self.kernel.tables.footprint[f]["lines"]))]
        missing = sum(line not in self.lines for line in mine)
        self.lines = (mine + [line for line in self.lines if line[0] != f])[: self.size]
        return missing


# --- bounds -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(0, 48, 6))
def test_a_run_is_charged_no_more_than_its_switches_and_activations_at_the_largest_footprint(seed: int) -> None:
    scenario = Scenario(seed, "python", caches=Cache(2048, 64, 512))
    scenario.run()
    kernel = scenario.kernel
    done = kernel.totals
    # Each switch makes one footprint be used, each activation the graft's and, afterwards, that of whoever goes on; who
    # is started from outside is not switched to.
    uses = done.count("switch") + 2 * (done.count("activate") + done.count("activate_user")) + len(kernel.processes)
    assert done.count("refill_line") <= uses * int(kernel.tables.footprint["lines"].max())


@pytest.mark.parametrize("seed", range(1, 49, 6))
def test_no_activation_takes_longer_than_its_bound_which_holds_a_refill(seed: int) -> None:
    scenario = Scenario(seed, "python", profile="sel4-skylake", caches=Cache(2048, 64, 512))
    scenario.run()
    handlers = scenario.kernel.tables.handler[: scenario.kernel.storage.used["handler"]]
    assert (handlers["worst_seen"] <= handlers["bound"]).all()


def test_the_first_activation_after_a_pause_costs_its_footprint_more() -> None:
    warm, cold = Chain("kernel", hog=1), Chain("kernel", hog=10_000)
    price = int(costs.load("sel4-skylake").prices[prices.REFILL_LINE])
    seen = [int(ran.kernel.tables.handler["worst_seen"].max()) for ran in (warm, cold)]
    assert seen[1] - seen[0] == cold.footprint * price


def test_a_bound_holds_a_refill_at_the_worst_price_of_a_line() -> None:
    hot, finite = Chain("kernel", "hot"), Chain("kernel", SMALL)
    bounds = [int(ran.kernel.tables.handler[0]["bound"]) for ran in (hot, finite)]
    assert bounds[1] - bounds[0] == refill_ps(finite.footprint, costs.load("sel4-skylake").worst) > 0


def test_what_is_eager_while_it_is_warm_falls_back_if_it_may_be_cold() -> None:
    hot = Chain("kernel", "hot", eager_ns=1000)
    finite = Chain("kernel", SMALL, eager_ns=1000)
    assert hot.kernel.statistics.fallbacks == 0
    assert finite.kernel.statistics.fallbacks == HOPS * OPERATIONS
    assert finite.kernel.accounts["app"].count("activate_user") == HOPS * OPERATIONS


# --- footprints -------------------------------------------------------------------------------------------------------


def test_the_footprint_of_a_graft_is_its_code_stack_and_the_lines_of_the_maps_that_it_may_touch() -> None:
    text = (SAMPLES / "list_chase.graft").read_text()
    small = verifier.verify(grafting.compile_graft(text))
    cache = Cache(1 << 20)
    for handler in small.program.handlers:
        bounds = small.handlers[handler.name].bounds
        found = handler_lines(handler, small.program.maps, bounds, "interpreted", cache)
        code = -(-len(handler.instructions) * 16 // LINE)
        assert code < found <= code + -(-bounds.stack_bytes // LINE) + 2 + 6 * bounds.map_operations
    grown = [replace(spec, max_entries=spec.max_entries * 64) for spec in small.program.maps]
    large = verifier.verify(replace(small.program, maps=tuple(grown)))
    assert graft_lines(large, "interpreted", cache) == graft_lines(small, "interpreted", cache)
    assert graft_lines(small, "native", cache) < graft_lines(small, "interpreted", cache)
    assert graft_lines(small, "interpreted", Cache(4 * LINE)) == 4


def test_what_is_larger_than_the_cache_counts_as_the_cache() -> None:
    kernel = Kernel(engine="python", caches=SMALL)
    hog = kernel.script("hog", HOG)
    kernel.working_set(hog, 1 << 30)
    assert kernel.tables.footprint[kernel.tables.process[hog.row]["footprint"]]["lines"] == SMALL.lines


def test_of_a_group_of_clients_the_last_that_fit_begin_warm() -> None:
    kernel = Kernel("sel4-skylake", engine="python", caches=SMALL)
    disk, users = kernel.server("disk"), kernel.clients("user", 20)
    kernel.working_set(users, 4 * LINE)
    kernel.stream(users, slot=disk, bodies=bytes(8), operations=60)
    assert [int(f["warm"]) for f in kernel.tables.footprint[kernel.tables.process["footprint"][users.row :][:20]]] == [
        *[0] * 4, *[4] * 16
    ]  # fmt: skip
    users.run()
    kernel.run()
    assert total(kernel) > 0


def test_a_thousand_attachments_after_one_another_have_one_footprint() -> None:
    kernel = Kernel(engine="python", caches=SMALL)
    disk, app = kernel.server("disk"), kernel.client("app")
    used = set()
    for _ in range(20):
        graft = kernel.attach(verified({"reply": CONSUME}), to=app, slots={"disk": disk})
        used.add(int(kernel.tables.graft[graft.row]["footprint"]))
        kernel.detach(graft)
        kernel.run(kernel.now_ps / 1000 + 1000)
    assert len(used) == 1


def test_a_replaced_graft_is_warm_in_its_new_size() -> None:
    kernel = Kernel(engine="python", caches=SMALL)
    disk, app = kernel.server("disk"), kernel.client("app")
    graft = kernel.attach(verified({"reply": CONSUME}), to=app, slots={"disk": disk})
    row = int(kernel.tables.graft[graft.row]["footprint"])
    before = int(kernel.tables.footprint[row]["lines"])
    kernel.replace(graft, chase())
    after = kernel.tables.footprint[row]
    assert before < after["lines"] == after["warm"] == graft_lines(chase(), "interpreted", SMALL)


def test_a_restored_process_has_the_working_set_that_it_was_given(tmp_path: Path) -> None:
    kernel = Kernel(engine="python", caches=SMALL)
    app = kernel.client("app")
    kernel.working_set(app, 5 * LINE)
    kernel.save(Application("one", (app,)), tmp_path / "one.snapshot")
    for cache, wanted in ((SMALL, 5), ("hot", 0)):
        other = Kernel(engine="python", caches=cache)
        other.restore(tmp_path / "one.snapshot")
        row = other.tables.process[other.processes["app"].row]["footprint"]
        assert other.tables.footprint[row]["lines"] == wanted


@pytest.mark.parametrize(
    "wrong",
    [
        {"caches": "warm"}, {"caches": Cache(32)}, {"caches": Cache(4096, 0)}, {"caches": Cache(4096, 64, -1)},
        {"caches": "finite", "prices": {}},
    ],
)  # fmt: skip
def test_caches_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(GraftError, match="G0801"):
        Kernel(engine="python", **wrong)
    kernel = Kernel(engine="python")
    with pytest.raises(GraftError, match="G0801"):
        kernel.working_set(kernel.client("app"), -1)


# --- pages ------------------------------------------------------------------------------------------------------------


def test_a_page_that_was_read_is_cold_even_if_a_hint_had_it_read_and_stays_warm_until_it_is_displaced() -> None:
    page = 4096 // LINE
    for ahead in ("fault", "hint"):
        kernel = Kernel("sel4-skylake", engine="python", caches=Cache(1 << 20, LINE, 8 * LINE))
        kernel.memory(frames=8, fetch_ns=1000, lead_ns=100_000)

        def program(_kernel: Kernel, _me: Process) -> Script:
            for _ in range(3):
                yield hint(0, 4)
                yield sleep(50_000)
                yield touch(0, 4)
                yield compute(100)

        app = kernel.process("app", program)
        kernel.pages(app, 4, ahead=ahead)  # type: ignore[arg-type]
        kernel.run()
        assert kernel.paging.faults == (4 if ahead == "fault" else 0)
        assert lines(kernel, "app") == 4 * page, ahead


def test_a_page_that_lost_its_frame_is_cold_when_it_is_back() -> None:
    kernel = Kernel("sel4-skylake", engine="python", caches=Cache(1 << 20, LINE, 8 * LINE))
    kernel.memory(frames=1, fetch_ns=1000)
    app = kernel.script("app", [Touch(0, 1), Touch(0, 1), Touch(1, 1), Touch(0, 1)])
    kernel.pages(app, 2)
    kernel.run()
    assert kernel.paging.evicted == 2
    assert lines(kernel, "app") == 3 * 4096 // LINE


# --- points -----------------------------------------------------------------------------------------------------------


def plain(**fields: Any) -> Outcome:
    outcome = run(Point(operations=12, caches="finite", **fields), tier="python")
    assert isinstance(outcome, Outcome)
    return outcome


@pytest.mark.parametrize("name", [mechanism.name for mechanism in ALL])
def test_where_everything_fits_no_refill_is_foretold_and_none_is_seen(name: str) -> None:
    outcome = run(
        Point(workload="list", mechanism=name, hops=3, operations=12, caches="finite", cores=2), tier="python"
    )
    if isinstance(outcome, Outcome):
        assert "refills" not in outcome.predicted.unknown
        assert outcome.counts.refills == outcome.predicted.counts.refills == 0
        assert outcome.as_predicted


def test_with_hot_caches_a_point_is_what_it_was_and_with_finite_ones_that_hold_everything_too() -> None:
    hot = run(Point(workload="list", hops=3, operations=12), tier="python")
    assert isinstance(hot, Outcome)
    finite = plain(workload="list", hops=3)
    assert (hot.latency, hot.counts, hot.spent) == (finite.latency, finite.counts, finite.spent)


def test_working_sets_beyond_the_cache_are_charged_and_not_foretold() -> None:
    call, graft = (plain(workload="list", hops=4, working_set=200_000, mechanism=name) for name in ("call", "graft"))
    assert call.counts.refills > 3 * graft.counts.refills > 0
    assert "refills" in call.predicted.unknown
    assert "displace" in call.predicted.why
    assert call.ns(category="refill") > 0
    low, high = graft.band or (0.0, 0.0)
    assert low < graft.summary.p50 < high


def test_two_sets_that_just_fit_are_foretold_to_cost_nothing() -> None:
    for name in ("call", "graft", "async"):
        outcome = plain(workload="list", hops=4, working_set=120_000, mechanism=name)
        assert outcome.counts.refills == outcome.predicted.counts.refills == 0
        assert "refills" not in outcome.predicted.unknown


def test_a_bystander_with_a_large_set_makes_every_operation_dearer() -> None:
    small, large = (plain(workload="bystander", bystander_set=size) for size in (4096, 1 << 20))
    assert small.counts.refills == 0 < large.counts.refills
    assert small.summary.p50 < large.summary.p50


def test_a_handler_that_may_be_cold_for_too_long_is_foretold_not_to_be_eager() -> None:
    outcome = plain(workload="btree", hops=4)
    assert outcome.counts.kernel_activations == 0 < outcome.counts.user_activations
    assert outcome.predicted.counts == outcome.counts
    assert outcome.as_predicted
    native = plain(workload="btree", hops=4, engine="native")
    assert native.counts.user_activations == 0 < native.counts.kernel_activations
    assert native.as_predicted


def test_a_working_set_where_everything_is_warm_is_refused() -> None:
    with pytest.raises(GraftError, match="G0858"):
        Point(working_set=4096)
    with pytest.raises(GraftError, match="G0846"):
        run(Point(workload="btree", bystander_set=4096))


def test_the_answers_do_not_depend_on_caches() -> None:
    for mechanism in ("call", "graft"):
        outcome = plain(workload="copy", mechanism=mechanism, working_set=150_000)  # checks every answer
        assert np.isfinite(outcome.summary.p50)
