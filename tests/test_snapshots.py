"""Applications are saved under names and go on in another kernel (KERNEL 8)."""

from __future__ import annotations

import hashlib
import json
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kernel_scenarios import Scenario
from kernels import chain_image, chase

import grafting
import verifier
from grafting.diagnostics import GraftError
from kernel_model import Client, Exponential, Jobs, Kernel, Process, Server
from kernel_model.core import tables
from kernel_model.hosting import Compute, Jump, Receive, Reply, Script, Sleep, compute
from kernel_model.persistence import Application
from kernel_model.persistence.schema import LISTS, SAVED, Chain
from kernel_model.serving import Append, Store

DEPTH = 4
THINK = Exponential(50)
COUNTING = """
graft counting

protocol block { op read(index: u64) -> Node }
cap disk: block
struct Node { next: u64, number: u64 }
struct Seen { replies: u64 }
map seen: hash<u64, Seen, 64>
state total: u64

on reply(msg) from disk.read {
    total += 1
    seen[msg.tag] = Seen { replies: total } else { return deliver }
    return deliver
}
"""


def model(think_ns: Any = THINK, **options: Any) -> tuple[Kernel, Client, Server, Jobs]:
    """A client with a graft that follows a chain of blocks, three operations at a time, at a server of random times."""
    kernel = Kernel(engine="python", **{"prices": {}, **options})
    disk = kernel.server("disk", image=chain_image(DEPTH), block=64, service_ns=Exponential(300))
    app = kernel.client("app")
    graft = kernel.attach(chase(), to=app, slots={"disk": disk})
    jobs = kernel.jobs(app, graft=graft, slot="disk", op="read", bodies=np.zeros(12, np.uint64), think_ns=think_ns)
    app.run("submit", depth=3)
    return kernel, app, disk, jobs


def endings(jobs: Jobs, since_ps: int) -> list[tuple[Any, ...]]:
    """What has become of each job, and when, after a moment."""
    arena = jobs.kernel.arena
    return [
        (int(row["outcome"]), int(row["status"]), arena[row["body"] : row["body"] + row["length"]].tobytes(),
         int(row["finished"]) - since_ps)
        for row in jobs.results()
    ]  # fmt: skip


def code(error: pytest.ExceptionInfo[GraftError]) -> str:
    return error.value.diagnostics[0].code


def test_of_every_field_of_a_saved_record_it_is_said_what_becomes_of_it() -> None:
    for table, kinds in SAVED.items():
        assert set(kinds) == set(getattr(tables, table.upper()).names), table
        for spec in LISTS.get(table, {}).values():
            if isinstance(spec, Chain):
                assert spec.first in SAVED[table]


@pytest.mark.parametrize("cut", [0, 100, 777, 1500, 2345, 5000, 9000])
def test_an_application_goes_on_elsewhere_as_if_nothing_had_happened(cut: int, tmp_path: Path) -> None:
    kernel, app, disk, jobs = model(seed=3)
    kernel.run(cut)
    kernel.save(Application("all", (app, disk)), tmp_path / "all")
    at = kernel.now_ps
    other = Kernel(prices={}, engine="python", seed=99)  # with other rows, queues and accounts
    for number in range(3):
        other.server(f"other{number}", reply=b"x")
    other.run(333)
    begun = other.now_ps
    restored = other.restore(tmp_path / "all")
    kernel.run()
    other.run()
    assert endings(restored.jobs["app"], begun) == endings(jobs, at)
    assert other.statistics.operations_in_flight == 0


@pytest.mark.parametrize("open_loop", [False, True])
@pytest.mark.parametrize("cut", [0, 400, 1500, 4000, 9500, 40_000])
def test_a_stream_goes_on_elsewhere_as_if_nothing_had_happened(cut: int, open_loop: bool, tmp_path: Path) -> None:
    """Two clients, each with a stream whose arguments go into its graft's map: operation for operation."""

    def ends(kernel: Kernel, since: int) -> list[Any]:
        jobs = [(time - since, *rest) for time, what, p, *rest in kernel.events() if what == "job" and time > since]
        return sorted((time, tag, outcome) for time, tag, outcome, _ in jobs)

    kernel = Kernel(prices={}, engine="python", seed=4, trace=True)
    disk = kernel.server("disk", image=chain_image(5), block=64, service_ns=Exponential(100))
    apps = tuple(kernel.client(name) for name in ("one", "two"))
    for app in apps:
        graft = kernel.attach(chase(), to=app, slots={"disk": disk})
        kernel.stream(app, graft=graft, slot="disk", op="read", bodies=np.arange(5, dtype=np.uint64), operations=30,
                      map="wanted", values=np.arange(7, dtype=np.uint64), in_flight=2, think_ns=Exponential(50),
                      interval_ns=Exponential(400) if open_loop else None)  # fmt: skip
        app.run("submit", 2)
    kernel.run(cut)
    kernel.save(Application("all", (*apps, disk)), tmp_path / "all")
    at = kernel.now_ps
    other = Kernel(prices={}, engine="python", seed=99, trace=True)
    for number in range(3):
        other.stream(other.client(f"other{number}"), slot=other.server(f"disk{number}", reply=b"x"), bodies=bytes(8),
                     operations=2)  # fmt: skip
    other.run(333)
    begun = other.now_ps
    other.restore(tmp_path / "all")
    kernel.run()
    other.run()
    assert ends(other, begun) == ends(kernel, at)
    assert other.statistics.operations_in_flight == 0


@pytest.mark.parametrize("seed", range(14))
def test_whatever_is_cut_the_books_of_what_goes_on_balance(seed: int, tmp_path: Path) -> None:
    scenario = Savable(seed, "python")
    kernel = scenario.kernel
    kernel.run(400.0 + 7919 * seed % 5000)
    if not reaches_a_moment(kernel):
        assert kernel.tables.process["deferred"].any()  # an event waits for a thread that never gets the core
        return
    chosen = [process for process in kernel.processes.values() if can_be_saved(process, tmp_path / "one")]
    assert chosen
    kernel.save(Application("all", tuple(chosen)), tmp_path / "all")
    other = Kernel("sel4-skylake", engine="python", cores=scenario.cores, seed=seed + 1)
    restored = other.restore(tmp_path / "all")
    assert set(restored.processes) == {process.name for process in chosen}
    other.run(60_000)  # checks the books


def reaches_a_moment(kernel: Kernel) -> bool:
    try:
        kernel.leave_kernel()
    except GraftError:
        return False
    return True


def can_be_saved(process: Process, path: Path) -> bool:
    try:
        process.kernel.save(Application("one", (process,)), path)
    except GraftError:
        return False
    return True


class Savable(Scenario):
    """Random scenarios whose clients can be saved."""

    def _start(self, client: Client) -> None:
        mode = self.draw.choice(("call", "submit", "rings"))
        client.run(mode, 1 if mode == "call" else self.draw.randint(1, 4))


def test_what_leads_outside_is_bound_by_whoever_restores(tmp_path: Path) -> None:
    kernel, app, _disk, _ = model(think_ns=0)
    kernel.run(300)  # three requests, one in hand and two behind it
    in_flight = kernel.statistics.requests_in_flight
    kernel.save(Application("app", (app,)), tmp_path / "app")
    other = Kernel(prices={}, engine="python")
    store = chain_image(DEPTH)
    new = other.server("new", image=store, block=64, service_ns=100)
    restored = other.restore(tmp_path / "app", {"disk": new})
    other.run()
    outcomes = [tables.OUTCOMES[row["outcome"]] for row in restored.jobs["app"].results()]
    assert sorted(set(outcomes)) == ["cancelled", "replied"]
    assert outcomes.count("cancelled") == in_flight >= 2  # nobody could answer them there
    assert other.accounts["new"].count("dispatch_reply") >= DEPTH


def test_an_unbound_capability_is_null(tmp_path: Path) -> None:
    kernel, app, _, _ = model()
    kernel.save(Application("app", (app,)), tmp_path / "app")
    other = Kernel(prices={}, engine="python")
    restored = other.restore(tmp_path / "app")
    other.run()
    rows = restored.jobs["app"].results()
    assert (rows["outcome"] == tables.REFUSED).all()
    assert (rows["status"] == -tables.EBADF).all()
    with pytest.raises(GraftError) as caught:
        other.restore(tmp_path / "app", {"printer": other.endpoint("printer")})
    assert code(caught) == "G0875"


def test_a_new_version_of_a_graft_takes_over_what_the_old_one_remembered(tmp_path: Path) -> None:
    kernel = Kernel(prices={}, engine="python")
    disk = kernel.server("disk", image=chain_image(DEPTH), block=64)
    app = kernel.client("app")
    graft = kernel.attach(verifier.verify(grafting.compile_graft(COUNTING)), to=app, slots={"disk": disk})
    jobs = kernel.jobs(app, graft=graft, slot="disk", op="read", bodies=np.zeros(6, np.uint64))
    app.run()
    kernel.run(2500)
    done = int((jobs.results()["finished"] >= 0).sum())
    assert 0 < done < 6
    kernel.save(Application("all", (app, disk)), tmp_path / "all")
    newer = COUNTING.replace("struct Seen { replies: u64 }", "struct Seen { since: u64, replies: u64, version: u64 }")
    newer = newer.replace("Seen { replies: total }", "Seen { replies: total, version: 2 }")
    other = Kernel(prices={}, engine="python")
    restored = other.restore(
        tmp_path / "all",
        grafts={"counting": verifier.verify(grafting.compile_graft(newer))},
        defaults={"seen.version": 1},
    )
    other.run()
    seen = dict(other.map(restored.grafts[0], "seen"))
    assert sorted(value["version"] for value in seen.values()) == [1] * done + [2] * (6 - done)
    assert sorted(value["replies"] for value in seen.values()) == list(range(1, 7))
    with pytest.raises(GraftError) as caught:
        Kernel(prices={}, engine="python").restore(
            tmp_path / "all", grafts={"counting": verifier.verify(grafting.compile_graft(
                newer.replace("map seen", "map met").replace("seen[", "met[")))},
        )  # fmt: skip
    assert code(caught) == "G0874"


def test_scripts_stores_and_accounts_come_along(tmp_path: Path) -> None:
    kernel = Kernel("sel4-skylake", engine="python")
    log = Store(bytes(64 * 8), 64)
    keeper = kernel.server("keeper", ops={3: Append(log, b"ok")})
    echo = kernel.endpoint("echo")
    kernel.script("echo", [Receive(), Reply(b"12345678", 0, True), Jump(1)], endpoint=echo)
    kernel.script("loop", [Compute(500), Sleep(700), Jump(0, 6)])
    app = kernel.client("app")
    jobs = kernel.jobs(app, slot=keeper, op=3, bodies=np.arange(8, dtype=np.uint64))
    app.run()
    kernel.run(9_000)
    before = kernel.accounts["app"]
    kernel.save(Application("all", tuple(kernel.processes.values())), tmp_path / "all")
    other = Kernel("sel4-skylake", engine="python", cores=2)
    restored = other.restore(tmp_path / "all")
    kernel.run()
    other.run()
    assert [row[:3] for row in endings(restored.jobs["app"], 0)] == [row[:3] for row in endings(jobs, 0)]
    for name in ("app", "keeper", "loop"):
        assert other.accounts[name].count("work") == kernel.accounts[name].count("work"), name
    assert other.accounts["app"].total_ps > before.total_ps
    assert all(other.accounts["app"].count(name) >= n for name, n in before.counts.items() if name != "work")
    blocks = bytes(log.data) and kernel.stored(log)
    assert blocks in other.arena.tobytes()  # what was appended stands where it stood


def test_what_stands_nowhere_in_the_kernel_cannot_be_saved(tmp_path: Path) -> None:
    kernel = Kernel(prices={}, engine="python")

    def program(_kernel: Kernel, _me: Any) -> Script:
        yield compute(5)

    process = kernel.process("python", program)
    for application in (Application("p", (process,)), Application("none", ())):
        with pytest.raises(GraftError) as caught:
            kernel.save(application, tmp_path / "p")
        assert code(caught) == "G0870"
    assert not (tmp_path / "p").exists()


# --- what strangers may give us ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    kernel, app, disk, _ = model(think_ns=0)
    kernel.run(300)
    path = tmp_path_factory.mktemp("snapshots") / "all"
    kernel.save(Application("all", (app, disk)), path)
    return path.read_bytes()


def refused(data: bytes, path: Path) -> str | None:
    """Return the code with which a fresh kernel refuses a snapshot; None if it takes it, and then its books balance."""
    path.write_bytes(data)
    kernel = Kernel(prices={}, engine="python")
    try:
        kernel.restore(path)
    except GraftError as error:
        assert not kernel.processes
        assert not kernel.endpoints
        return error.diagnostics[0].code
    kernel.run(100_000)
    return None


def test_a_damaged_snapshot_is_refused(taken: bytes, tmp_path: Path) -> None:
    assert refused(taken, tmp_path / "x") is None
    rng = random.Random(1)
    for _ in range(40):
        at = rng.randrange(len(taken))
        changed = taken[:at] + bytes([taken[at] ^ 1 << rng.randrange(8)]) + taken[at + 1 :]
        assert refused(changed, tmp_path / "x") == "G0871", at
    for length in (0, 1, 100, len(taken) - 1):
        assert refused(taken[:length], tmp_path / "x") == "G0871"


def forge(taken: bytes, change: Any) -> bytes:
    """Change a snapshot and give it the digest of what it has become."""
    top = json.loads(taken)
    change(top["snapshot"])
    text = json.dumps(top["snapshot"], sort_keys=True, separators=(",", ":")).encode()
    return json.dumps({**top, "digest": hashlib.sha256(text).hexdigest()}).encode()


FORGERIES = {
    "a request in two queues": lambda s: s["things"]["endpoint"]["disk"]["requests"].append(
        s["things"]["endpoint"]["disk"]["requests"][0]),
    "a request of an unknown process": lambda s: _any(s, "request").update(process="nobody"),
    "a body that is no base64": lambda s: _any(s, "request").update(body="???"),
    "a process that owes more than it has": lambda s: s["things"]["process"]["app"].update(owed=9, left=3),
    "a state that there is not": lambda s: s["things"]["process"]["app"].update(state="flying"),
    "a capability that is its own parent": lambda s: _cycle(s),
    "an endless number": lambda s: s["things"]["process"]["app"].update(left=1 << 70),
    "a field too many": lambda s: s["things"]["process"]["app"].update(wings=2),
    "a field too few": lambda s: s["things"]["process"]["app"].pop("stage"),
    "an operation without a request": lambda s: s["things"]["operation"].update(
        {"77": dict(_any(s, "operation"))}),
    "a job that is done, of nobody": lambda s: _finished(s, None),
    "a job that is done, of a server": lambda s: _finished(s, "disk"),
    "a random stream that is stuck": lambda s: s["things"]["process"]["disk"].update(r0=0),
    "a server of another kind": lambda s: s["processes"][1].update(kind="kernel"),
    "a priority that there is not": lambda s: s["processes"][0]["arguments"].update(priority=99),
    "a program that is none": lambda s: s["grafts"][0].update(program="AAAA"),
}  # fmt: skip


def _any(snapshot: Any, table: str) -> Any:
    return next(iter(snapshot["things"][table].values()))


def _finished(snapshot: Any, owner: str | None) -> None:
    snapshot["things"]["job"]["99"] = {**_any(snapshot, "job"), "state": "done", "owner": owner}


def _cycle(snapshot: Any) -> None:
    for name, capability in snapshot["things"]["capability"].items():
        capability["parent"] = name


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_snapshot_is_refused_with_a_reason(forgery: str, taken: bytes, tmp_path: Path) -> None:
    found = refused(forge(taken, FORGERIES[forgery]), tmp_path / "x")
    assert found is not None
    assert found.startswith(("G08", "G05"))


def test_any_forged_value_is_refused_or_harmless(taken: bytes, tmp_path: Path) -> None:
    rng = random.Random(5)
    outcomes = set()
    for _ in range(120):

        def change(snapshot: Any) -> None:
            table = rng.choice([t for t, things in snapshot["things"].items() if things])
            thing = rng.choice(list(snapshot["things"][table].values()))
            field = rng.choice(list(thing))
            thing[field] = rng.choice([None, 0, 1, -1, 1 << 40, "0", "1", "app", [], ["0"], ["0", "0"], "replied"])

        outcomes.add(refused(forge(taken, change), tmp_path / "x"))
    assert "G0872" in outcomes
    assert "G0873" in outcomes


def test_the_example_of_the_page_on_persistence_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).resolve().parents[1] / "docs" / "persistence.md").read_text()
    (example,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "docs/persistence.md", "exec"), {})


def test_budgets_restart_empty(tmp_path: Path) -> None:
    """Nobody has more time by being restored: the first budget comes a period after it."""
    kernel = Kernel(prices={}, engine="python")
    busy = kernel.script("busy", [Compute(10_000)], context=kernel.context(300, 1_000))
    kernel.run(2_500)
    kernel.save(Application("busy", (busy,)), tmp_path / "busy")
    other = Kernel(prices={}, engine="python")
    other.run(500)
    other.restore(tmp_path / "busy")
    other.run(1_499)
    assert other.contexts["context1"].user_ps == 0
    other.run(1_900)
    assert other.contexts["context1"].user_ps == 300_000
    other.run(60_000)
    assert kernel.accounts["busy"].ns["user"] == 900
    assert other.accounts["busy"].ns["user"] == 10_000  # carried along, and what was left
