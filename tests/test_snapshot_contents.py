"""What a graft remembers goes to the next version of it by the names of its source."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

import grafting
import jit
from grafting.diagnostics import GraftError
from grafting.program import Program
from jit.mapview import MapView
from kernel_model.persistence import codec
from kernel_model.persistence.contents import Contents, Upgrade, gather, spread

OLD = """
graft keeper

struct Attempt { index: u64, failures: u32, last: u32 }
map attempts: hash<u64, Attempt, 64>
map levels: array<u16, 4>
state seen: u64 = 1
state table: [u32; 3]

on failure(msg) {
    seen += 1
    delete attempts[msg.tag]
    return deliver
}
"""
NEW = OLD.replace("failures: u32, last: u32", "since: u64, failures: u64, last: u32, cause: u32").replace(
    "state table", "state fresh: u64 = 9\nstate table"
)
NOTHING = Upgrade({}, ())


def made(source: str) -> tuple[Program, jit.GraftState]:
    program = grafting.compile_graft(source)
    return program, jit.GraftState(program)


def views(state: jit.GraftState) -> Mapping[str, MapView]:
    return {**state.maps, **{spec.name: state._section(spec.name) for spec in state.program.maps if spec.is_data}}


def saved() -> Contents:
    program, state = made(OLD)
    state.maps["attempts"][7] = {"index": 3, "failures": 2, "last": 5}
    state.maps["attempts"][8] = {"index": 1 << 63, "failures": 0, "last": 0}
    state.maps["levels"][2] = 600
    state.variables["seen"] = 41
    state.variables["table"] = [1, 2, 3]
    contents = gather(program, views(state))
    text = json.dumps(codec.encode(contents))  # as in a file, and back
    return Contents(**{k: _tuples(v) if k == "maps" else v for k, v in json.loads(text).items()})


def _tuples(maps: Any) -> Any:
    return {name: tuple(tuple(entry) for entry in entries) for name, entries in maps.items()}


def test_the_same_version_has_everything_back() -> None:
    program, state = made(OLD)
    spread(saved(), program, views(state), NOTHING)
    assert dict(state.maps["attempts"]) == {
        7: {"index": 3, "failures": 2, "last": 5},
        8: {"index": 1 << 63, "failures": 0, "last": 0},
    }
    assert state.maps["levels"][2] == 600
    assert (state.variables["seen"], state.variables["table"]) == (41, [1, 2, 3])


def test_a_new_field_is_zero_or_its_default_and_a_wider_one_keeps_its_value() -> None:
    program, state = made(NEW)
    spread(saved(), program, views(state), Upgrade({"attempts.since": 77}, ()))
    assert state.maps["attempts"][7] == {"index": 3, "since": 77, "failures": 2, "last": 5, "cause": 0}
    assert (state.variables["seen"], state.variables["fresh"], state.variables["table"]) == (41, 9, [1, 2, 3])


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (("map levels: array<u16, 4>\n", ""), "map `levels`"),
        ((", last: u32 }", ", _pad: u32 }"), "field `attempts.last`"),
        (("state table: [u32; 3]\n", ""), "state variable `table`"),
    ],
)
def test_what_is_no_longer_there_is_lost_only_by_name(change: tuple[str, str], what: str) -> None:
    program, state = made(OLD.replace(*change))
    with pytest.raises(GraftError, match=what) as caught:
        spread(saved(), program, views(state), NOTHING)
    assert caught.value.diagnostics[0].code == "G0874"
    program, state = made(OLD.replace(*change))
    spread(saved(), program, views(state), Upgrade({}, [what.split("`")[1]]))
    assert state.variables["seen"] == 41


@pytest.mark.parametrize(
    "change", [("array<u16, 4>", "array<u8, 4>"), ("array<u16, 4>", "array<u16, 2>"), ("seen: u64 = 1", "seen: bool")]
)
def test_a_value_that_does_not_fit_is_refused(change: tuple[str, str]) -> None:
    source = OLD.replace(*change).replace("seen += 1\n", "seen = true\n" if "bool" in change[1] else "seen += 1\n")
    program, state = made(source)
    with pytest.raises(GraftError) as caught:
        spread(saved(), program, views(state), NOTHING)
    assert caught.value.diagnostics[0].code == "G0874"


@pytest.mark.parametrize("value", [{"bytes": "xy"}, [1, 2], {"index": "seven"}, None, {"index": {"index": 1}}])
def test_a_forged_value_is_refused(value: Any) -> None:
    program, state = made(OLD)
    with pytest.raises(GraftError):
        spread(Contents({"attempts": ((1, value),)}, {}, {}), program, views(state), NOTHING)
