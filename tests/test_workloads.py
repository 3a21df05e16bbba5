"""Workloads: parameters mean what they say or are refused, data are real, and every answer is checked by the data."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from grafting import GraftError
from kernel_model.core.tables import PEER_DIED, REFUSED, REPLIED
from kernel_model.experiments.point import Point
from kernel_model.experiments.preparation import completed, scenario_of
from kernel_model.experiments.run import measure, run
from kernel_model.mechanisms import ALL, mechanism_of
from kernel_model.results.outcome import Outcome
from kernel_model.workloads import btree, catalogue, folding, lists, replication, texts
from kernel_model.workloads.kinds import PARAMETERS
from kernel_model.workloads.samples import sample_path
from kernel_model.workloads.workload import Answer, Closed, Open

GIVEN = {
    "hops": 2, "work_ns": 10, "size": 512, "cached": 1, "servers": "each", "serving": "passive", "place": "other",
    "clients": 2, "think_ns": 5, "load": 1e5, "failures": 0.1, "bystander_set": 4096,
}  # fmt: skip


def small(name: str, **fields: object) -> Point:
    return Point(workload=name, operations=4, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", catalogue.NAMES)
@pytest.mark.parametrize("parameter", PARAMETERS)
def test_a_parameter_is_used_or_refused(name: str, parameter: str) -> None:
    point = small(name, **{parameter: GIVEN[parameter]})
    if parameter in catalogue.kind_of(name).defaults:
        assert catalogue.parameters(point)[parameter] == GIVEN[parameter]
    else:
        with pytest.raises(GraftError, match="G0846"):
            catalogue.make(point)


@pytest.mark.parametrize("name", catalogue.NAMES)
def test_what_is_not_said_gets_the_default_and_nothing_is_left_open(name: str) -> None:
    point = small(name)
    values = catalogue.parameters(point)
    assert set(values) == set(PARAMETERS)
    completed = replace(point, **values)  # type: ignore[arg-type]
    assert catalogue.parameters(completed) == values


@pytest.mark.parametrize("name", catalogue.NAMES)
def test_the_sample_of_a_workload_exists(name: str) -> None:
    assert sample_path(catalogue.make(small(name)).sample).exists()


def test_an_open_loop_has_no_think_time() -> None:
    with pytest.raises(GraftError, match="G0846"):
        catalogue.make(small("list", load=1e5, think_ns=7))
    assert catalogue.make(small("list", load=1e5)).arrivals == Open(1e5, 1)
    assert catalogue.make(small("list", think_ns=7)).arrivals == Closed(7)


def test_intended_times_are_a_poisson_process_of_the_rate_asked_for() -> None:
    times = Open(2e6, seed=3).times_ns(20_000)
    gaps = np.diff(times, prepend=0)
    assert (gaps > 0).all()
    assert gaps.mean() == pytest.approx(500, rel=0.03)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)
    assert (Open(2e6, seed=3).times_ns(20_000) == times).all()


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("btree", {"size": 496}), ("btree", {"size": 510}), ("btree", {"hops": 4, "cached": 4}),
        ("copy", {"hops": 3}), ("copy", {"size": 8192}), ("copy", {"operations": 10**6}), ("gather", {"hops": 9}),
        ("fold", {"hops": 9}), ("quorum", {"size": 12}), ("cache", {"cached": 4000}), ("overload", {"work_ns": 0}),
        ("list", {"size": 8}), ("list", {"hops": 10**6}), ("list", {"cached": 4}),
    ],
)  # fmt: skip
def test_a_value_beyond_the_data_is_refused(name: str, wrong: dict[str, int]) -> None:
    with pytest.raises(GraftError, match="G0848"):
        catalogue.make(Point(workload=name, **{"operations": 4, **wrong}))  # type: ignore[arg-type]


def test_a_list_has_every_named_character_once_and_ends() -> None:
    cells = lists.unicode_cells()
    memory = np.frombuffer(lists.image(cells, 16), "<u8").reshape(-1, 2)
    seen, at = [], int(cells.order[0])
    while at:
        seen.append(int(memory[at, 1]))
        at = int(memory[at, 0])
    assert sorted(seen) == [code for _, code in btree.unicode_names()]


def test_a_lookup_below_the_cached_levels_begins_on_the_way_to_its_key() -> None:
    tree = btree.tree(4)
    whole, cut = (catalogue.make(small("btree", hops=4, cached=cached)) for cached in (0, 2))
    assert whole.operations.values is not None
    assert cut.operations.values is not None
    assert (whole.operations.values == cut.operations.values).all()
    assert cut.steps == 2
    for operation, key in enumerate(cut.operations.values):
        start = int.from_bytes(cut.operations.literals(operation)[0], "little")
        assert start == btree.lookup(tree.data, int(key)).path[2]


def test_larger_blocks_hold_the_same_nodes() -> None:
    (role,) = catalogue.make(small("btree", hops=2, size=1024)).roles
    tree = btree.tree(2)
    node = role.answer(0, (1).to_bytes(8, "little")).body
    assert len(node) == 1024
    assert node[: btree.NODE_BYTES] == tree.data[btree.BLOCK_BYTES : btree.BLOCK_BYTES + btree.NODE_BYTES]


def answer_of(name: str, bodies: list[bytes]) -> bytes:
    """What the client finds at the end, by the replies of a plan: the last, or what the graft would make of them."""
    words = np.frombuffer(b"".join(bodies), "<u8")
    match name:
        case "fold":
            return np.array(folding.fold(words.tolist()), np.uint64).tobytes()
        case "gather":
            values = [int.from_bytes(body[:8], "little") for body in bodies]
            return np.array([len(values), len(values), *values], np.uint64).tobytes()
        case _:
            return bodies[-1]


@pytest.mark.parametrize("name", [name for name in catalogue.NAMES if name != "btree"])
def test_a_plan_carried_out_in_plain_python_ends_in_an_answer_that_the_check_accepts(name: str) -> None:
    workload = catalogue.make(small(name))
    for operation in range(len(workload.operations)):
        bodies = [reply.body for reply in workload.replies(operation) if reply is not None and reply.status == 0]
        assert len(bodies) == workload.steps
        body = answer_of(name, bodies)
        assert workload.check(operation, Answer(REPLIED, 0, body)) is None
        assert workload.check(operation, Answer(REPLIED, 0, bytes(len(body)))) is not None
        assert workload.check(operation, Answer(PEER_DIED, -104, b"")) is not None


MORE = {
    "btree": {"cached": 2, "servers": "each"}, "list": {"load": 5e4, "clients": 3}, "copy": {"servers": "each"},
    "gather": {"servers": "each", "clients": 2}, "fold": {"think_ns": 500}, "quorum": {"servers": "one"},
    "cache": {"cached": 0}, "retry": {"failures": 0.5}, "completions": {"servers": "one"},
    "bystander": {"load": 1e5}, "overload": {"load": 5e6},
}  # fmt: skip


@pytest.mark.parametrize("mechanism", [mechanism.name for mechanism in ALL])
@pytest.mark.parametrize("name", catalogue.NAMES)
def test_a_mechanism_answers_rightly_and_as_foretold_or_says_why_it_cannot(name: str, mechanism: str) -> None:
    """`run` raises for a wrong answer, one that does not come, and servers that hold something else at the end."""
    outcome = run(Point(workload=name, mechanism=mechanism, operations=3, cores=2), tier="python")
    if isinstance(outcome, Outcome):
        assert outcome.misses == ()
    else:
        assert mechanism not in ("call", "async", "rings", "graft")
        assert outcome.reason


@pytest.mark.parametrize("mechanism", ["call", "graft"])
@pytest.mark.parametrize("name", catalogue.NAMES)
def test_every_answer_is_right_with_other_parameters(name: str, mechanism: str) -> None:
    point = Point(workload=name, mechanism=mechanism, operations=6, **MORE[name])  # type: ignore[arg-type]
    assert isinstance(run(point, tier="python"), Outcome)


def test_a_lost_or_invented_log_entry_is_found() -> None:
    sent = b"aabbcc"
    full = [Counter((b"aa", b"bb", b"cc"))] * 3
    assert replication.compare(sent, 2, full, [0, 1, 2], lossless=True) is None
    one_short = [*full[:2], Counter((b"aa", b"bb"))]
    assert replication.compare(sent, 2, one_short, [0, 1, 2], lossless=False) is None
    assert replication.compare(sent, 2, one_short, [0, 1, 2], lossless=True) is not None
    two_short = [full[0], Counter((b"aa", b"bb")), Counter((b"aa", b"bb"))]
    assert replication.compare(sent, 2, two_short, [0, 1], lossless=False) is None
    assert replication.compare(sent, 2, two_short, [0, 1, 2], lossless=False) is not None
    assert replication.compare(sent, 2, [*full[:2], Counter((b"xx",))], [], lossless=False) is not None


def test_words_are_asked_for_as_often_as_they_stand_in_the_names() -> None:
    known = texts.words_of_names()
    stream = known.stream(20_000, seed=1)
    commonest = known.commonest(10)
    share = np.isin(stream, commonest).mean()
    assert share == pytest.approx(known.frequency[commonest].sum() / known.frequency.sum(), abs=0.02)
    assert "LETTER" in {known.spelled[number] for number in commonest}


def test_a_warm_cache_saves_the_servers_work() -> None:
    cold, warm = (
        run(Point(workload="cache", mechanism="graft", operations=60, cached=cached), tier="python")
        for cached in (0, 1024)
    )
    assert isinstance(cold, Outcome)
    assert isinstance(warm, Outcome)
    assert warm.accounts["server0"].get("work", 0) < cold.accounts["server0"]["work"]


def test_what_comes_faster_than_it_can_be_done_is_refused_in_part() -> None:
    point = Point(workload="overload", mechanism="call", operations=400, load=5e6)
    workload = catalogue.make(point)
    outcomes: list[int] = []
    judged = replace(workload, check=lambda n, answer: outcomes.append(answer.outcome) or workload.check(n, answer))
    scenario = replace(scenario_of(completed(point)), workload=judged)
    measure(completed(point), scenario, mechanism_of("call"), tier="python")
    assert outcomes.count(REFUSED) > 100
    assert outcomes.count(REPLIED) > 20


def test_a_bystander_gets_more_of_the_core_beside_a_graft_than_beside_round_trips() -> None:
    shares = []
    for mechanism in ("call", "graft"):
        outcome = run(Point(workload="bystander", mechanism=mechanism, operations=20, load=1e5), tier="python")
        assert isinstance(outcome, Outcome)
        work = outcome.accounts["bystander"]["work"]
        shares.append(work / sum(sum(by.values()) for by in outcome.spent.values()))
    assert 0.3 < shares[0] < shares[1] < 0.9


PAGE = (Path(__file__).resolve().parents[1] / "docs" / "workloads.md").read_text()


def test_the_page_has_a_section_for_every_workload_and_a_row_for_every_parameter() -> None:
    assert [name for name in re.findall(r"^## (\w+)$", PAGE, re.MULTILINE) if name in catalogue.NAMES] == list(
        catalogue.NAMES
    )
    assert re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE) == list(PARAMETERS)
    for kind in catalogue.KINDS:
        assert catalogue.make(small(kind.name)).sample in PAGE


def test_the_example_of_the_page_runs() -> None:
    for text in re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        exec(compile(text, "docs/workloads.md", "exec"), {})
