"""Maps behave as a dictionary of bounded size; an insertion may fail before the map is full, and loses nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machines import BSS, TABLE, WANTED, graft

import jit
from grafting import GraftError
from grafting.program import MapKind, MapSpec
from jit import maps
from jit.mapview import MapView
from jit.values import Types


def view_of(spec: MapSpec, seed: int = 1) -> MapView:
    state = jit.GraftState(graft({"timer": "r0 = 0\nexit\n"}, maps=[spec]), seed=seed)
    return state.maps[spec.name]


operations = st.lists(st.tuples(st.sampled_from(["set", "del", "get"]), st.integers(0, 11), st.integers(0, 2**64 - 1)))


@settings(max_examples=60, deadline=None)
@given(steps=operations, entries=st.integers(1, 9), seed=st.integers(0, 2**64 - 1))
def test_a_hash_map_is_a_dictionary_of_at_most_so_many_entries(
    steps: list[tuple[str, int, int]], entries: int, seed: int
) -> None:
    view = view_of(replace(WANTED, max_entries=entries), seed)
    model: dict[int, int] = {}
    for what, key, value in steps:
        if what == "set" and (key in model or len(model) < entries):
            model[key] = view[key] = value  # two buckets of eight hold any nine keys
        elif what == "set":
            with pytest.raises(GraftError, match="no place"):
                view[key] = value
        elif what == "del" and key in model:
            del model[key], view[key]
        else:
            assert view.get(key) == model.get(key)
        assert dict(view) == model
        assert len(view) == len(model)


@pytest.mark.parametrize("key_size", [1, 3, 4, 8, 11, 64])
@pytest.mark.parametrize("value_size", [1, 7, 8, 100])
def test_keys_and_values_of_any_size_are_kept_whole(key_size: int, value_size: int) -> None:
    view = view_of(MapSpec("m", MapKind.HASH, key_size, value_size, 200))
    entries = {bytes([i, *range(1, key_size)]): bytes([i]) * value_size for i in range(100)}
    for key, value in entries.items():
        view[key] = value
    assert dict(view.raw_items()) == entries
    assert view.raw(bytes([200, *range(1, key_size)])) is None


def keys_of_one_bucket_pair(view: MapView, count: int) -> list[int]:
    """Return keys that all have the same two buckets, in either order."""
    found: dict[frozenset[int], list[int]] = {}
    for key in range(100_000):
        at = view._stage(view.scratch, key.to_bytes(8, "little"))
        hashed = maps.hash_key(view.arena, at, 8, view.seed)
        pair = frozenset(maps.bucket_of(view.row, hashed, choice) for choice in (0, 1))
        found.setdefault(pair, []).append(key)
        if len(found[pair]) == count:
            return found[pair]
    raise AssertionError("no such keys")


def test_an_insertion_may_fail_before_the_map_is_full_and_then_nothing_is_lost() -> None:
    view = view_of(replace(WANTED, max_entries=100))
    *fitting, last = keys_of_one_bucket_pair(view, 2 * maps.BUCKET + 1)
    for key in fitting:
        view[key] = key + 1
    assert view.set_raw(last.to_bytes(8, "little"), bytes(8)) == maps.E2BIG
    assert len(view) == 16 < 100
    assert dict(view) == {key: key + 1 for key in fitting}
    del view[fitting[0]]
    view[last] = 5
    assert view[last] == 5


def test_a_map_is_nearly_always_filled_to_its_last_entry() -> None:
    filled = []
    for seed in range(10):
        view = view_of(replace(WANTED, max_entries=300), seed)
        for key in range(300):
            view.set_raw(key.to_bytes(8, "little"), bytes(8))
        filled.append(len(view))
    assert min(filled) >= 0.97 * 300


def test_the_two_buckets_of_a_key_differ_and_depend_on_the_seed() -> None:
    view = view_of(WANTED)
    hashes = set()
    for seed in range(50):
        hashed = maps.hash_key(view.arena, view._stage(view.scratch, bytes(8)), 8, seed)
        assert maps.bucket_of(view.row, hashed, 0) != maps.bucket_of(view.row, hashed, 1)
        assert 0 < maps.tag_of(hashed) < 256
        hashes.add(hashed)
    assert len(hashes) == 50


# --- arrays ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key_size", [4, 8])
def test_an_array_has_every_key_from_the_start_and_none_past_its_end(key_size: int) -> None:
    view = view_of(replace(TABLE, key_size=key_size, key_type=f"u{8 * key_size}"))
    assert dict(view) == {0: 0, 1: 0, 2: 0, 3: 0}
    view[3] = 9
    del view[3]
    view[2] = 2**64 - 1
    assert (view[3], view[2], view.get(4), view.get(2**32 - 1)) == (0, 2**64 - 1, None, None)
    with pytest.raises(GraftError, match="past the end"):
        view[4] = 1
    with pytest.raises(KeyError):
        view[4]


def test_helper_3_does_not_delete_from_an_array() -> None:
    view = view_of(TABLE)
    assert maps.delete(view.arena, view.row, view.seed, view._stage(view.scratch, bytes(4))) == maps.EINVAL


def test_read_only_data_are_not_changed_by_helpers() -> None:
    rodata = MapSpec(".rodata", MapKind.ARRAY, 4, 8, 1, initial=b"12345678", read_only=True)
    state = jit.GraftState(graft({"timer": "r0 = 0\nexit\n"}, maps=[rodata]))
    row, scratch = state.machine.maps[0], state._scratch
    assert maps.update(state.arena, row, 1, scratch, scratch) == maps.EPERM
    assert maps.delete(state.arena, row, 1, scratch) == maps.EPERM
    assert state.section(".rodata") == b"12345678"


# --- typed values ----------------------------------------------------------------------------------------------------

TYPES = Types({
    "Kind": {"enum": "u32", "variants": [["leaf", 0], ["inner", 1]]},
    "Pair": {"struct": [["a", "u64", 0], ["kind", "Kind", 8], ["rest", "[u8; 4]", 12]], "size": 16},
    "Loop": {"struct": [["again", "Loop", 0]], "size": 8},
    "Short": {"struct": [["a", "u64", 4]], "size": 8},
})  # fmt: skip


def test_a_value_is_encoded_described_and_decoded_by_its_type() -> None:
    value = {"a": 7, "kind": "inner", "rest": [1, 2]}
    data = TYPES.encode("Pair", 16, value, "a value")
    assert data == bytes([7, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 2, 0, 0])
    assert TYPES.decode("Pair", data) == {"a": 7, "kind": 1, "rest": [1, 2, 0, 0]}
    assert TYPES.describe("Pair", data) == "Pair { a: 7, kind: Kind.inner, rest: [1, 2] }"
    assert TYPES.describe("Kind", b"\5\0\0\0") == "5 as Kind"
    assert (TYPES.decode("i16", b"\xff\xff"), TYPES.decode("bool", b"\2")) == (-1, True)


@pytest.mark.parametrize("name", ["Loop", "Short", "Missing", "[Loop; 2]", "[u8; 99999999999]", "u24", ""])
def test_types_that_cannot_be_are_unknown_and_do_no_harm(name: str) -> None:
    assert TYPES.size(name) is None
    assert TYPES.decode(name, bytes(8)) == 0
    assert TYPES.decode(name, bytes(5)) == bytes(5)
    assert TYPES.describe(name, b"\1\2\3") == "010203"
    assert TYPES.encode(name, 4, 5, "a value") == b"\5\0\0\0"


@pytest.mark.parametrize(
    ("name", "size", "value"),
    [
        ("u8", 1, 256), ("u8", 1, -1), ("i8", 1, 128), ("u64", 8, "7"), ("u64", 8, b"1"), ("bool", 1, 2),
        ("Kind", 4, "outer"), ("Pair", 16, 7), ("Pair", 16, {"b": 1}), ("Pair", 16, {"rest": [0] * 5}), ("", 12, 1),
    ],
)  # fmt: skip
def test_what_does_not_fit_its_type_is_an_error(name: str, size: int, value: object) -> None:
    with pytest.raises(GraftError):
        TYPES.encode(name, size, value, "the value")


# --- snapshots -------------------------------------------------------------------------------------------------------


def test_restoring_a_snapshot_undoes_everything_and_changes_are_told_by_key() -> None:
    state = jit.GraftState(graft({"timer": "r0 = 0\nexit\n"}, maps=[WANTED, TABLE, BSS]))
    state.maps["wanted"][7] = 42
    before = state.snapshot()
    state.maps["wanted"][7] = 43
    state.maps["wanted"][8] = 1
    state.maps["table"][0] = 5
    state.write_section(".bss", 0, b"\1")
    state.timers[3] = 1000
    state.held[9] += 1
    told = {change.what: (change.before, change.after) for change in state.changes(before)}
    assert told == {
        "wanted[7]": ("42", "43"), "wanted[8]": (None, "1"), "table[0]": ("0", "5"), ".bss+0": ("0", "1"),
        "timer 3, due at ns": (None, "1000"), "held with tag 9": (None, "1"),
    }  # fmt: skip
    state.restore(before)
    assert state.snapshot() == before
    assert state.changes(before) == ()
    assert dict(state.maps["wanted"]) == {7: 42}


def test_a_name_that_is_not_there_is_an_error_with_a_suggestion() -> None:
    state = jit.GraftState(graft({"timer": "r0 = 0\nexit\n"}, maps=[WANTED, BSS]))
    with pytest.raises(GraftError) as caught:
        state.map("wantd")
    assert caught.value.diagnostics[0].helps == ("did you mean `wanted`?",)
    with pytest.raises(GraftError):
        state.section(".data")
    with pytest.raises(GraftError):
        state.write_section(".bss", 12, bytes(5))
