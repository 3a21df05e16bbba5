"""Workloads: parameters mean what they say or are refused, data are real, and every answer is checked by the data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grafting import GraftError
from kernel_model.core.tables import REPLIED
from kernel_model.experiments.point import Point
from kernel_model.workloads import btree, catalogue, lists
from kernel_model.workloads.kinds import PARAMETERS
from kernel_model.workloads.samples import sample_path
from kernel_model.workloads.workload import Answer, Closed, Open

GIVEN = {
    "hops": 2, "work_ns": 10, "size": 512, "cached": 1, "servers": "each", "serving": "passive", "place": "other",
    "clients": 2, "think_ns": 5, "load": 1e5, "failures": 0.1,
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
        ("list", {"size": 8}), ("list", {"hops": 10**6}), ("list", {"cached": 4}),
    ],
)  # fmt: skip
def test_a_value_beyond_the_data_is_refused(name: str, wrong: dict[str, int]) -> None:
    with pytest.raises(GraftError, match="G0848"):
        catalogue.make(small(name, **wrong))


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


@pytest.mark.parametrize("name", catalogue.NAMES)
def test_a_plan_without_computed_steps_ends_in_an_answer_that_the_check_accepts(name: str) -> None:
    workload = catalogue.make(small(name))
    if workload.plan.computed or workload.result_map:
        return
    for operation in range(len(workload.operations)):
        last = workload.replies(operation)[-1]
        assert last is not None
        assert workload.check(operation, Answer(REPLIED, last.status, last.body)) is None
        assert workload.check(operation, Answer(REPLIED, last.status, bytes(len(last.body)))) is not None
