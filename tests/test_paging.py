"""Pages that are out, and who may have them read before a thread's turn (KERNEL 8)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import grafting
import verifier
from cli import main
from grafting.diagnostics import GraftError
from jit.hot import TierName
from kernel_model import Exponential, Kernel, Process
from kernel_model.experiments import page_in
from kernel_model.hosting import Hint, Jump, Script, Sleep, Think, Touch, cancel, compute, hint, sleep, touch
from kernel_model.memory import AHEAD
from kernel_model.results import paging as results

FETCH = 1000
SCHEDULE = """
graft ahead

state turn: u64

on schedule(p) budget 64 insns {
    hint turn * 4096 pages 1
    turn += 1
    return done
}
"""


def kernel(**options: Any) -> Kernel:
    return Kernel(prices={}, engine="python", trace=True, **options)


def test_a_page_that_is_out_blocks_its_thread_until_it_has_been_read() -> None:
    k = kernel()
    k.memory(frames=4, fetch_ns=FETCH)
    log: list[float] = []

    def program(k: Kernel, _me: Process) -> Script:
        for _ in range(2):
            yield touch(0, 3)
            log.append(k.now_ps / 1000)

    k.pages(k.process("app", program), 3)
    k.run()
    assert log == [3 * FETCH, 3 * FETCH]  # one after the other, and then they are there
    assert (k.paging.faults, k.paging.evicted) == (3, 0)


def test_others_run_while_a_page_is_read() -> None:
    k = kernel()
    k.memory(frames=4, fetch_ns=FETCH)

    def faulting(_k: Kernel, _me: Process) -> Script:
        yield touch(0)

    def working(_k: Kernel, _me: Process) -> Script:
        yield compute(FETCH)

    k.pages(k.process("app", faulting, priority=9), 1)
    k.process("other", working)
    k.run()
    assert k.now_ps == FETCH * 1000


def test_the_clock_takes_the_page_that_was_not_used_since_it_came_by() -> None:
    k = kernel()
    k.memory(frames=2, fetch_ns=FETCH)

    def program(_k: Kernel, _me: Process) -> Script:
        for page in (0, 1, 2, 2, 0):
            yield touch(page)

    app = k.process("app", program)
    k.pages(app, 3)
    k.run()
    # the hand finds 0 and 1 used, clears both, and takes 0 for page 2; for page 0 it takes 1, not used since
    assert k.paging.faults == 4
    assert [int(state) for state in k.tables.page["state"][:3]] == [2, 0, 2]


@pytest.mark.parametrize(("lead", "late"), [(FETCH, 0), (FETCH // 2, FETCH // 2), (0, FETCH)])
def test_a_hint_hides_as_much_of_the_read_as_the_lead_allows(lead: int, late: int) -> None:
    k = kernel()
    k.memory(frames=4, fetch_ns=FETCH, lead_ns=lead)
    log: list[float] = []

    def program(k: Kernel, _me: Process) -> Script:
        yield hint(1)
        yield sleep(10 * FETCH)
        yield touch(1)
        log.append(k.now_ps / 1000)

    k.pages(k.process("app", program), 4, ahead="hint")
    k.run()
    assert log == [10 * FETCH + late]
    assert (k.paging.hits, k.paging.wasted, k.paging.unused) == (bool(lead), 0, 0)


def turns(k: Kernel, ahead: Any, pages: list[int], taken: list[float]) -> Process:
    def program(k: Kernel, _me: Process) -> Script:
        for number, page in enumerate(pages):
            yield sleep(10 * FETCH)
            before = k.now_ps
            yield touch(page)
            taken.append((k.now_ps - before) / 1000)
            if ahead == "hint" and number + 1 < len(pages):
                yield hint(page)  # the best that it knows: the same again

    app = k.process("app", program)
    k.pages(app, 8, ahead=ahead)
    return app


def test_a_graft_hints_what_code_alone_can_know() -> None:
    for ahead, waits in (("fault", [FETCH] * 3), ("instruction", [0, FETCH, FETCH]), ("hint", [FETCH] * 3),
                         ("graft", [0, 0, 0])):  # fmt: skip
        k = kernel()
        k.memory(frames=8, fetch_ns=FETCH, lead_ns=2 * FETCH)
        taken: list[float] = []
        app = turns(k, ahead, [0, 1, 2], taken)
        if ahead == "graft":
            k.attach(verifier.verify(grafting.compile_graft(SCHEDULE)), to=app, slots={})
        k.run()
        assert taken == waits, ahead


def test_a_turn_is_foretold_near_the_head_of_the_run_queue_once() -> None:
    for near, foretold in ((0, 0), (1, 1), (2, 2)):
        k = kernel()
        k.memory(frames=8, fetch_ns=FETCH, near=near)

        def busy(_k: Kernel, _me: Process) -> Script:
            for _ in range(50):
                yield compute(FETCH)
                yield cancel(1)  # enters the kernel, which can foretell only when it is entered

        def burst(_k: Kernel, _me: Process) -> Script:
            yield compute(FETCH)

        k.process("first", busy)
        for name in ("second", "third"):
            k.pages(k.process(name, burst), 1, ahead="instruction")
        k.run(10 * FETCH)
        assert k.paging.foretold == foretold
        k.run()
        assert k.paging.foretold == (2 if near else 0)


def test_a_handler_that_may_not_run_now_does_not_run_later() -> None:
    k = Kernel("sel4-skylake", engine="python", fuel_ns=0)
    k.memory(frames=8, fetch_ns=FETCH, lead_ns=2 * FETCH)
    taken: list[float] = []
    app = turns(k, "graft", [0, 1], taken)
    graft = k.attach(verifier.verify(grafting.compile_graft(SCHEDULE)), to=app, slots={})
    k.run()
    assert k.paging.unforetold == k.paging.foretold > 0
    assert k.tables.graft[graft.row]["activations"] == 0


def test_who_is_about_to_run_pays_for_what_is_foretold() -> None:
    k = Kernel("sel4-skylake", engine="python")
    k.memory(frames=8, fetch_ns=FETCH, lead_ns=2 * FETCH)
    taken: list[float] = []
    app = turns(k, "graft", [0, 1, 2], taken)

    def idle(_k: Kernel, _me: Process) -> Script:
        yield compute(100 * FETCH)

    k.process("other", idle, priority=3)
    k.attach(verifier.verify(grafting.compile_graft(SCHEDULE)), to=app, slots={})
    k.run()
    assert k.accounts["app"].count("activate") == 3
    assert k.accounts["app"].count("page_read") == 3
    assert k.accounts["other"].ps["graft"] == 0


def test_a_hint_beyond_the_pages_of_its_process_is_refused_and_reads_nothing() -> None:
    source = SCHEDULE.replace("turn * 4096 pages 1", "28672 pages 2")
    k = kernel()
    k.memory(frames=8, fetch_ns=FETCH, lead_ns=FETCH)
    taken: list[float] = []
    app = turns(k, "graft", [0], taken)
    k.attach(verifier.verify(grafting.compile_graft(source)), to=app, slots={})
    k.run()
    assert (taken, k.paging.foretold, k.paging.hits) == ([FETCH], 1, 0)


def test_frames_of_a_killed_process_are_free_again() -> None:
    k = kernel()
    k.memory(frames=2, fetch_ns=FETCH)

    def program(_k: Kernel, _me: Process) -> Script:
        yield touch(0, 2)
        yield touch(2, 1)
        yield sleep(100 * FETCH)

    app = k.process("app", program)
    k.pages(app, 4)
    k.run(2.5 * FETCH)  # the third is being read
    k.kill(app)
    k.run()
    assert int(k.tables.memory[0]["free"]) == 2


def test_memory_must_make_sense() -> None:
    k = kernel()
    app = k.process("app", lambda _k, _me: iter(()))  # type: ignore[arg-type,return-value]
    with pytest.raises(GraftError, match="has no pages"):
        k.pages(app, 4)
    with pytest.raises(GraftError, match="no memory of 0"):
        k.memory(frames=0)
    k.memory(frames=4)
    for wrong in (lambda: k.memory(frames=4), lambda: k.pages(app, 0), lambda: k.pages(app, 4, instruction=4),
                  lambda: k.pages(app, 4, ahead="guess")):  # type: ignore[arg-type]  # fmt: skip
        with pytest.raises(GraftError):
            wrong()


SAMPLES = Path(__file__).resolve().parents[1] / "samples"


def pressed(engine: TierName) -> Kernel:
    """Four processes, each with its own way, and one that keeps taking their frames."""
    k = Kernel("sel4-skylake", engine=engine, trace=True, seed=5)
    k.memory(frames=12, fetch_ns=20_000, near=2, lead_ns=60_000)
    for number, ahead in enumerate(("fault", "instruction", "hint", "graft")):
        rows = [Touch(0, 2), Think(Exponential(2000)), Touch(number, 3), Hint(0, 3), Sleep(150_000), Jump(0, 12)]
        app = k.script(ahead, rows, priority=9)
        k.pages(app, 8, ahead=ahead)
        if ahead == "graft":
            k.attach(verifier.verify(grafting.compile_graft(SCHEDULE)), to=app, slots={})
    scan = k.script("scan", [Touch(n, 1) for n in range(8)] + [Think(1000), Jump(0, 30)], priority=4)
    k.pages(scan, 8, evict="graft")
    chooser = verifier.verify(grafting.compile_graft((SAMPLES / "queues" / "evict.graft").read_text()))
    k.map(k.attach(chooser, to=scan, slots={}, engine="native"), "regions")[0] = 1
    hog = k.script("hog", [Touch(n, 2) for n in range(0, 16, 2)] + [Think(3000), Jump(0, 30)], priority=3)
    k.pages(hog, 16)
    return k


def test_numba_and_python_page_alike() -> None:
    plain, compiled = pressed("python"), pressed("numba")
    for k in (plain, compiled):
        k.run()
    assert plain.events() == compiled.events()
    assert plain.accounts == compiled.accounts
    assert plain.paging == compiled.paging
    assert plain.paging.hits > 0
    assert plain.paging.wasted > 0
    assert plain.paging.evicted > plain.paging.advised > 0


def test_the_examples_of_the_page_on_paging_run() -> None:
    page = (Path(__file__).resolve().parents[1] / "docs" / "paging.md").read_text()
    examples = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(examples) == 2
    for example in examples:
        exec(compile(example, "docs/paging.md", "exec"), {})


def test_numba_page_in_helps_where_something_is_known_before_the_turn() -> None:
    found = [page_in.page_in(s, tier="numba") for s in page_in.settings(turns=9)]
    by = {(result.setting.workload, result.setting.ahead): result for result in found}
    for ahead in ("hint", "graft"):
        assert by["periodic", ahead].latency.p50 < by["periodic", "fault"].latency.p50 / 3
        assert by["interactive", ahead].latency.p50 == by["interactive", "fault"].latency.p50
    assert by["events", "graft"].paging.wasted < by["events", "hint"].paging.wasted
    assert by["events", "graft"].faults < by["events", "fault"].faults
    words = str(results.verdict(found))
    assert "periodic: a plain hint does as well as a graft" in words
    assert "interactive: reading ahead is useless" in words
    assert results.table(found).row_count == len(found)


def test_numba_cold_caches_after_a_page_in_cost_the_same_whoever_had_the_pages_read() -> None:
    hot, finite = (
        {s.ahead: page_in.page_in(s, tier="numba") for s in page_in.settings(["periodic"], turns=9, caches=caches)}
        for caches in ("hot", "finite")
    )
    for ahead in AHEAD:
        assert hot[ahead].refilled == 0
        assert finite[ahead].refilled == (1 + page_in.SET) * 4096 // 64  # every page of a turn, and nothing else
    assert finite["hint"].latency.p50 > hot["hint"].latency.p50
    assert finite["fault"].latency.p50 > finite["hint"].latency.p50
    assert "refilled" in {column.header for column in results.table(list(finite.values())).columns}


def test_the_command_with_numba_prints_json_and_refuses_what_is_not_there() -> None:
    run = CliRunner().invoke(main, "paging --workload periodic --turns 3 --output-format json".split())
    assert run.exit_code == 0
    assert [s["ahead"] for s in json.loads(run.stdout)["settings"]] == list(AHEAD)
    assert CliRunner().invoke(main, ["paging", "--workload", "nothing"]).exit_code == 1
