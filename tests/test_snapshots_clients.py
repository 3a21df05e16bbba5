"""Groups of clients, and clients that write a plan, in snapshots (`kernel_model.persistence`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kernels import chain_image, chase
from test_snapshots import code, endings, forge, refused

from grafting.diagnostics import GraftError
from kernel_model import Exponential, Kernel
from kernel_model.core import tables
from kernel_model.core.links import LINK
from kernel_model.groups import Clients
from kernel_model.handles import Client, Jobs, Mode, Server
from kernel_model.persistence import Application
from kernel_model.planning import give_plan
from kernel_model.workloads.plan import Literal, Part, Plan, Step

ELSEWHERE = 333  # ns: the clock of a kernel before it restores


def another(**options: Any) -> Kernel:
    """A kernel with other rows, queues and accounts."""
    kernel = Kernel(prices={}, engine="python", seed=99, trace=True, **options)
    many = kernel.clients("many", 3)
    kernel.stream(many, slot=kernel.server("other", reply=b"x"), bodies=bytes(8), operations=5)
    kernel.run(ELSEWHERE)
    return kernel


def both_ways(kernel: Kernel, members: tuple[Any, ...], cut: int, folder: Path) -> tuple[Kernel, Any, int, int]:
    """Save `members` at `cut` (ns) and let both go on; return the other kernel, what is there, and both clocks then."""
    kernel.run(cut)
    kernel.save(Application("all", members), folder / "all")
    at = kernel.now_ps
    other = another()
    begun = other.now_ps
    restored = other.restore(folder / "all")
    kernel.run()
    other.run()
    return other, restored, at, begun


def ends(kernel: Kernel, since: int, names: dict[int, int]) -> list[Any]:
    """What became of each job after a moment, and when; processes under the numbers of `names`."""
    jobs = [(time - since, *rest) for time, what, *rest in kernel.events() if what == "job" and time > since]
    return sorted((time, names[p], tag, outcome, latency) for time, p, tag, outcome, latency in jobs if p in names)


def differ(found: list[Any], expected: list[Any]) -> list[Any]:
    """What only one of the two has: a short answer where they differ."""
    return sorted(set(found) ^ set(expected))[:4] or [[]] * (len(found) != len(expected))


def numbered(clients: Clients) -> dict[int, int]:
    return {clients.row + index: index for index in range(clients.count)}


def crowd(seed: int = 4, open_loop: bool = False) -> tuple[Kernel, Clients, Server]:
    """A group of five with one stream through the graft of its first member; the disk is theirs."""
    kernel = Kernel(prices={}, engine="python", seed=seed, trace=True)
    disk = kernel.server("disk", image=chain_image(5), block=64, service_ns=Exponential(100))
    users = kernel.clients("user", 5)
    kernel.attach(chase(), to=users[0], slots={"disk": disk})
    kernel.stream(users, slot=disk, bodies=np.arange(5, dtype=np.uint64), operations=60, in_flight=2,
                  think_ns=Exponential(50), interval_ns=Exponential(90) if open_loop else None)  # fmt: skip
    users.run(depth=2)
    return kernel, users, disk


@pytest.mark.parametrize("open_loop", [False, True])
@pytest.mark.parametrize("cut", [0, 150, 900, 2_500, 9_000])
def test_a_group_goes_on_elsewhere_as_if_nothing_had_happened(cut: int, open_loop: bool, tmp_path: Path) -> None:
    kernel, users, disk = crowd(open_loop=open_loop)
    other, restored, at, begun = both_ways(kernel, (users, disk), cut, tmp_path)
    group = restored.groups["user"]
    assert len(group) == 5
    assert not differ(ends(other, begun, numbered(group)), ends(kernel, at, numbered(users)))
    assert other.statistics.operations_in_flight == 0
    assert other.accounts["user"].ns == kernel.accounts["user"].ns
    assert "user/0" not in other.accounts


def test_a_group_keeps_one_space_of_capabilities(tmp_path: Path) -> None:
    """What the first member holds the others use, in the new kernel as in the old one; unbound, all are refused."""
    kernel, users, _ = crowd()
    kernel.save(Application("users", (users,)), tmp_path / "users")
    other = another()
    restored = other.restore(tmp_path / "users", {"disk": other.server("new", image=chain_image(5), block=64)})
    spaces = other.tables.process["space"][restored.groups["user"].row :][:5]
    assert set(spaces) == {restored.groups["user"].row}
    begun = other.now_ps
    other.run()
    assert {outcome for *_, outcome, _ in ends(other, begun, numbered(restored.groups["user"]))} == {tables.REPLIED}
    unbound = another()
    group = unbound.restore(tmp_path / "users").groups["user"]
    begun = unbound.now_ps
    unbound.run()
    assert {outcome for *_, outcome, _ in ends(unbound, begun, numbered(group))} == {tables.REFUSED}


def test_a_group_is_saved_as_a_whole(tmp_path: Path) -> None:
    kernel, users, disk = crowd()
    for part in (users[0], users[3]):
        with pytest.raises(GraftError) as error:
            kernel.save(Application("half", (part, disk)), tmp_path / "half")
        assert code(error) == "G0870"


def test_a_stream_is_saved_with_all_of_its_clients(tmp_path: Path) -> None:
    """A client goes on with a stream of which a group has the rest."""
    kernel, users, disk = crowd()
    late = kernel.client("late")
    kernel.stream(late, slot=disk, bodies=bytes(8), operations=4)
    kernel.tables.job["stream"][int(kernel.tables.process[late.row]["job_next"])] = 0
    for application in (Application("half", (users, disk)), Application("half", (late,))):
        with pytest.raises(GraftError) as error:
            kernel.save(application, tmp_path / "half")
        assert code(error) == "G0870"
    kernel.save(Application("whole", (users, late)), tmp_path / "whole")


# --- what strangers may give us ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    kernel, users, disk = crowd()
    kernel.run(900)
    path = tmp_path_factory.mktemp("groups") / "all"
    kernel.save(Application("all", (users, disk)), path)
    return path.read_bytes()


def _member(snapshot: Any, index: int) -> Any:
    return snapshot["processes"][index]["arguments"]


GROUPS = {
    "one member has another core": lambda s: _member(s, 2).update(core=1),
    "one member is left out": lambda s: (s["processes"].pop(2), s["things"]["process"].pop("user/2")),
    "two members in the other order": lambda s: s["processes"].insert(0, s["processes"].pop(1)),
    "a group without a name": lambda s: _member(s, 1).update(group=7),
    "a member of another group": lambda s: _member(s, 4).update(group="users"),
    "a server as a member": lambda s: _member(s, 5).update(group="user"),
    "slots that groups have not": lambda s: [_member(s, n).update(slots=3) for n in range(5)],
    "an account of nobody": lambda s: s["accounts"][0].update(name="nobody"),
    "an account that stands twice": lambda s: s["accounts"].append(s["accounts"][0]),
    "a capability of no member": lambda s: next(iter(s["things"]["capability"].values())).update(owner="user/9"),
}


@pytest.mark.parametrize("forgery", GROUPS)
def test_a_forged_group_is_refused_with_a_reason(forgery: str, group: bytes, tmp_path: Path) -> None:
    assert refused(group, tmp_path / "x") is None
    assert refused(forge(group, GROUPS[forgery]), tmp_path / "x") in ("G0872", "G0873")


# --- clients with a plan ----------------------------------------------------------------------------------------------

HOPS = 3


def planned(kind: int, mode: Mode = "submit", operations: int = 8) -> tuple[Kernel, Client, Server, Jobs]:
    """A client that writes a plan for each job: three reads, each where the reply of the one before says."""
    kernel = Kernel(prices={}, engine="python", seed=4, trace=True)
    disk = kernel.server("disk", image=chain_image(5), block=64, service_ns=Exponential(100))
    app = kernel.client("app")
    bodies = np.arange(operations, dtype=np.uint64) % 3
    jobs = kernel.jobs(app, slot=disk, bodies=bodies, think_ns=Exponential(50))
    arguments = (Literal(), *(Part(number, 0, 8) for number in range(HOPS - 1)))
    plan = Plan(tuple(Step("disk", 0, argument) for argument in arguments), enough=HOPS)
    columns = [bodies.view(np.uint8).reshape(operations, 8)]
    give_plan(
        kernel, app, jobs, plan, columns, {"disk": disk.endpoint}, kind, (LINK,) * (HOPS - 1) + (0,), (64,) * HOPS
    )
    app.run(mode, 2)
    return kernel, app, disk, jobs


@pytest.mark.parametrize("mode", ["submit", "rings"])
@pytest.mark.parametrize("kind", [tables.PLAN_WIRES, tables.PLAN_ROUTE])
@pytest.mark.parametrize("cut", [0, 150, 700, 1_300])
def test_a_plan_goes_on_elsewhere_as_if_nothing_had_happened(
    cut: int, kind: int, mode: Mode, tmp_path: Path
) -> None:  # fmt: skip
    kernel, app, disk, jobs = planned(kind, mode)
    other, restored, at, begun = both_ways(kernel, (app, disk), cut, tmp_path)
    assert endings(restored.jobs["app"], begun) == endings(jobs, at)
    assert tables.REPLIED in set(jobs.results()["outcome"])
    assert other.statistics.operations_in_flight == 0


def test_a_client_of_chains_is_not_saved_even_before_it_has_begun(tmp_path: Path) -> None:
    kernel, app, disk, _ = planned(tables.PLAN_LINKS, "linked")
    for cut in (0, 300):
        kernel.run(cut)
        with pytest.raises(GraftError) as error:
            kernel.save(Application("all", (app, disk)), tmp_path / "all")
        assert code(error) == "G0870"


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    kernel, app, disk, _ = planned(tables.PLAN_WIRES)
    kernel.run(150)
    path = tmp_path_factory.mktemp("plans") / "all"
    kernel.save(Application("all", (app, disk)), path)
    return path.read_bytes()


def _plan(snapshot: Any) -> Any:
    return snapshot["processes"][0]["arguments"]["plan"]


def _step(snapshot: Any, number: int, field: int, value: Any) -> None:
    _plan(snapshot)["steps"][number][field] = value


def test_a_step_may_ask_for_bytes_that_no_reply_has(plan: bytes, tmp_path: Path) -> None:
    """That is found when the reply comes, as in a kernel where somebody plans so."""
    for at in (60, 64, 1 << 31):
        assert refused(forge(plan, lambda s, at=at: _step(s, 1, 4, at)), tmp_path / "x") is None


PLANS = {
    "a kind that there is not": lambda s: _plan(s).update(kind="links"),
    "a plan without steps": lambda s: _plan(s).update(steps=[]),
    "too many steps": lambda s: _plan(s).update(steps=_plan(s)["steps"][:1] * 65),
    "steps that are none": lambda s: _plan(s).update(steps=7),
    "a capability that is not there": lambda s: _step(s, 0, 0, "77"),
    "a step that takes from a later one": lambda s: _step(s, 1, 3, 2),
    "a step that takes from itself": lambda s: _step(s, 1, 3, 1),
    "a step that takes from before the first": lambda s: _step(s, 1, 3, -1),
    "bytes before a reply": lambda s: _step(s, 1, 4, -8),
    "more bytes than any body has": lambda s: _step(s, 1, 5, 1 << 40),
    "fewer than none": lambda s: _step(s, 1, 5, -1),
    "all bytes of a step": lambda s: _step(s, 1, 5, None),
    "a literal too few": lambda s: _step(s, 0, 6, "00" * 8),
    "a literal of another length": lambda s: _step(s, 0, 2, 1 << 40),
}


@pytest.mark.parametrize("forgery", PLANS)
def test_a_forged_plan_is_refused_with_a_reason(forgery: str, plan: bytes, tmp_path: Path) -> None:
    assert refused(forge(plan, PLANS[forgery]), tmp_path / "x") == "G0872"
