"""The images of the `btree` workload: exact depth, all records found, the file as the graft's `Node` lays it out."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grafting import GraftError
from kernel_model.workloads import btree


def small(depth: int, count: int) -> tuple[bytes, btree.Shape, list[tuple[int, int]]]:
    pairs = [(btree.key_of(f"record {i}"), i) for i in range(count)]
    shape = btree.plan(depth, count)
    kept = pairs[: shape.keys]
    return btree.build(btree.records_of(kept, "test"), shape), shape, kept


@given(st.integers(1, 6), st.integers(1, 3000))
def test_a_planned_tree_has_exactly_the_depth_asked_for(depth: int, count: int) -> None:
    if not any(f ** (depth - 1) < min(count, f**depth) for f in range(btree.MIN_FANOUT, btree.FANOUT + 1)):
        with pytest.raises(GraftError, match="G0821"):
            small(depth, count)
        return
    image, shape, pairs = small(depth, count)
    assert len(shape.levels) == depth
    assert shape.levels[0] == 1
    assert len(image) == shape.blocks * btree.BLOCK_BYTES
    for key, value in random.Random(count).sample(pairs, min(20, len(pairs))):
        found = btree.lookup(image, key)
        assert found.value == value
        assert len(found.path) == depth


@pytest.mark.parametrize("depth", range(1, 9))
def test_a_shape_exists_for_every_depth_of_the_workload(depth: int) -> None:
    shape = btree.plan(depth, 138_552)
    assert shape.fan_out ** (depth - 1) < shape.keys <= shape.fan_out**depth
    assert shape.keys == 138_552 or shape.fan_out == btree.FANOUT


def test_no_tree_of_an_impossible_depth_is_planned() -> None:
    for depth, available in ((0, 100), (3, 2), (60, 138_552)):
        with pytest.raises(GraftError, match="G0821"):
            btree.plan(depth, available)


def test_every_record_of_a_tree_is_found_and_nothing_else() -> None:
    image, _, pairs = small(4, 700)
    assert all(btree.lookup(image, key).value == value for key, value in pairs)
    assert all(btree.lookup(image, key + 1).value is None for key, _ in pairs)


def test_each_level_of_a_walk_lies_in_that_level_of_the_file() -> None:
    image, shape, pairs = small(4, 700)
    starts = [sum(shape.levels[:level]) for level in range(shape.depth + 1)]
    for key, _ in pairs:
        path = btree.lookup(image, key).path
        assert all(starts[level] <= block < starts[level + 1] for level, block in enumerate(path))


def test_a_node_is_laid_out_as_the_graft_reads_it() -> None:
    image, _, _ = small(2, 40)
    leaf, count = struct.unpack_from("<II", image)
    first_key, second_key = struct.unpack_from("<QQ", image, 8)
    child = struct.unpack_from("<Q", image, 8 + 31 * 8)[0]
    assert (leaf, child) == (0, 1)
    assert count == 6
    assert first_key < second_key
    assert struct.unpack_from("<I", image, btree.BLOCK_BYTES)[0] == 1
    assert btree.NODE.itemsize == btree.BLOCK_BYTES


def test_a_client_finds_its_value_in_the_leaf_and_none_elsewhere() -> None:
    image, _, pairs = small(3, 300)
    key, value = pairs[17]
    blocks = [image[b * 512 : b * 512 + btree.NODE_BYTES] for b in btree.lookup(image, key).path]
    assert btree.value_in_leaf(blocks[-1], key) == value
    assert btree.value_in_leaf(blocks[-1], key ^ 1) is None
    assert btree.value_in_leaf(blocks[0], key) is None


def test_two_records_of_one_key_are_refused() -> None:
    with pytest.raises(GraftError, match="G0820"):
        btree.records_of([(1, 1), (1, 2)], "test")


def test_unicode_names_fill_an_image_on_disk(tmp_path: Path) -> None:
    image = btree.write_image(tmp_path, 4)
    data = image.path.read_bytes()
    assert len(image.records) == image.shape.keys == len(btree.unicode_names())
    assert btree.lookup(data, btree.key_of("LATIN SMALL LETTER A")).value == ord("a")
    assert btree.lookup(data, btree.key_of("NOT A CHARACTER NAME")).value is None


def test_building_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    once = btree.write_image(tmp_path / "a", 3).path.read_bytes()
    assert once == btree.write_image(tmp_path / "b", 3).path.read_bytes()
