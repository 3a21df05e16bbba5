"""`.graft`: what is written is read back; what a stranger writes is bounded, refused or harmless."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grafting import hooks, limits
from grafting.diagnostics import GraftError, Source, Span
from grafting.objects import metadata
from grafting.objects.elf import Where
from grafting.objects.metadata import HandlerNote, MapNote, Metadata
from grafting.objects.object_file import dump, load
from grafting.program import Budget, DebugInfo, OpSpec, Program, ProtocolSpec, SlotSpec, TestCase

WHERE = Where("test.o", ".graft")
TEXT = "graft g\non timer(id) { done } // prüfen\n"

BLOCK = ProtocolSpec("block", (OpSpec("read", 0, 8, 8, "Node", 512), OpSpec("write", 1, 0, 4096)))
WHOLE = Metadata(
    name="g",
    handlers=(HandlerNote("graft/timer", budget=Budget(400, 1, 0, Span(2, 1, 8, 20))), HandlerNote("graft/reply", "r")),
    maps=(MapNote("wanted", "u64", "[u32; 4]"), MapNote(".bss")),
    slots=(SlotSpec("disk", BLOCK), SlotSpec("log", BLOCK, send=False, grant=True)),
    serves=(ProtocolSpec("kv", ()),),
    tests=(
        TestCase(
            "finds",
            Span(2, 1, 8, 20),
            (
                {"do": "map", "map": "wanted", "key": "0700000000000000", "value": "2a"},
                {"do": "state", "section": ".bss", "offset": 8, "value": "03"},
                {"do": "now", "ns": 1000},
                {"do": "event", "handler": "timer", "tag": 7, "badge": 0, "status": -5, "slot": 0, "op": 0, "body": ""},
                {"do": "expect", "verdict": 0, "verdict_text": "done", "line": 2, "armed": [[7, 1000]],
                 "sent": [{"slot": 0, "op": 0, "tag": None, "body": "65", "text": "sent disk.read(101)"}],
                 "released": [[8, -5]], "answer": None},
                {"do": "expect_map", "map": "wanted", "key": "07", "value": None, "line": 2, "text": "no wanted[7]"},
                {"do": "expect_state", "section": ".bss", "offset": 8, "value": "03", "line": 2, "text": "hops == 3"},
            ),
        ),
    ),
    debug=DebugInfo(
        Source("g.graft", TEXT),
        {"Node": {"struct": [["count", "u32", 0]], "size": 4}, "Kind": {"enum": "u32", "variants": [["leaf", 0]]}},
        {(2, 1): Span(2, 1, 8, 20), (2, 15): Span(2, 15, 22, 26)},
    ),
)  # fmt: skip


def refused(change: Callable[[dict[str, Any]], Any]) -> str:
    """Return the message with which `WHOLE`, changed, is refused."""
    content = json.loads(metadata.encode(WHOLE))
    change(content)
    with pytest.raises(GraftError, match=r"G054\d") as caught:
        metadata.decode(json.dumps(content).encode(), WHERE)
    return caught.value.diagnostics[0].message


def test_reading_undoes_writing() -> None:
    assert metadata.decode(metadata.encode(WHOLE), WHERE) == WHOLE


def test_the_least_metadata_is_read_back() -> None:
    assert metadata.decode(metadata.encode(Metadata("x")), WHERE) == Metadata("x")


def test_equal_metadata_give_equal_bytes() -> None:
    assert metadata.encode(WHOLE) == metadata.encode(replace(WHOLE, debug=replace(WHOLE.debug)))


@given(st.text(max_size=200))
def test_any_source_text_is_carried_whole(text: str) -> None:
    said = Metadata("x", debug=DebugInfo(Source("x.graft", text)))
    assert metadata.decode(metadata.encode(said), WHERE) == said


def test_padding_behind_the_text_is_allowed() -> None:
    assert metadata.decode(metadata.encode(WHOLE) + b"\0\0\0", WHERE) == WHOLE


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.update(graft=2), "version 2"),
        (lambda c: c.pop("graft"), "no field `graft`"),
        (lambda c: c.update(name=7), "`.name`: not a text"),
        (lambda c: c.update(name="a\x1b[31m"), "`.name`: not printable"),
        (lambda c: c.update(slots={}), "`.slots`: not a list"),
        (lambda c: c["slots"][0].update(protocol=9), "`.slots[0].protocol`: not an integer from 0 to 1"),
        (lambda c: c["slots"][0].update(protocol=True), "`.slots[0].protocol`: not an integer"),
        (lambda c: c["slots"][0].update(send=1), "`.slots[0].send`: not true or false"),
        (lambda c: c["slots"][0].update(name="a b"), "`.slots[0].name`: not a name"),
        (lambda c: c.update(slots=c["slots"] * 17), "34 elements, at most 32"),
        (lambda c: c["protocols"][0]["ops"][0].update(request=[9, 8]), "a request of 9 to 8 bytes"),
        (lambda c: c["protocols"][0]["ops"][0].update(request=[0, 65537]), "not an integer from 0 to 65536"),
        (lambda c: c["handlers"][0]["budget"].update(sends=-1), "`.handlers[0].budget.sends`"),
        (lambda c: c["handlers"][0]["budget"].update(span=[1, 1, 0, 10**9]), "`.handlers[0].budget.span[3]`"),
        (lambda c: c.update(spans=[[1, 1, 9, 8]]), "`.spans[0]`: from 9 to 8"),
        (lambda c: c.update(spans=[[1, 1, 9]]), "`.spans[0]`: 3 elements, not 4"),
        (lambda c: c["maps"][0].update(key="u64`"), "`.maps[0].key`: not the name of a type"),
        (lambda c: c["types"].update(X=[]), "`.types.X`: not an object"),
        (lambda c: c["tests"][0]["steps"].append({"do": "fly"}), "unknown step `fly`"),
        (lambda c: c["tests"][0]["steps"].append({"do": "now"}), "no field `ns`"),
        (lambda c: c["tests"][0]["steps"][0].update(key="0"), "not bytes in lower-case hex"),
        (lambda c: c["tests"][0]["steps"][4].update(armed=[[1]]), "1 elements, not 2"),
        (lambda c: c["tests"][0]["steps"][4].update(released=[[1, 1 << 31]]), "`.tests[0].steps[4].released[0][1]`"),
    ],
)
def test_each_malformation_is_named_with_its_path(change: Callable[[dict[str, Any]], Any], words: str) -> None:
    assert words in refused(change)


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[1]", b"\xff", b"[" * 100_000, b'{"graft":1.0}', b'{"graft":NaN}', b'{"graft":1,"graft":1}',
     b'{"graft":' + b"9" * 10_000 + b"}", b" " * (limits.METADATA_BYTES + 1)],
)  # fmt: skip
def test_bytes_that_are_no_metadata_are_refused(data: bytes) -> None:
    with pytest.raises(GraftError, match="G0540"):
        metadata.decode(data, WHERE)


@given(st.data())
def test_damaged_metadata_is_read_or_refused(data: st.DataObject) -> None:
    damaged = bytearray(metadata.encode(WHOLE))
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(32, 126))
    try:
        code = None if metadata.decode(bytes(damaged), WHERE) else ""
    except GraftError as error:
        code = error.diagnostics[0].code
    assert code in (None, "G0540", "G0541")


def test_too_much_metadata_is_refused_when_written() -> None:
    with pytest.raises(GraftError, match="G0542"):
        metadata.encode(Metadata("x", debug=DebugInfo(Source("x", "y" * (limits.METADATA_BYTES + 1)))))


# --- lies: metadata that is well formed and wrong --------------------------------------------------------------------

PROGRAM = replace(Program.from_assembly("r0 = 0\nexit", hooks.GRAFT_HOOKS["timer"]), name="honest")


def with_metadata(said: Metadata) -> Program:
    """Return `PROGRAM` as it loads when its object says `said`."""
    data, honest = dump(PROGRAM), dump_metadata(PROGRAM)
    told = metadata.encode(said).ljust(len(honest), b"\0")
    if len(told) > len(honest):
        padded = replace(PROGRAM, name="n" * (len("honest") + len(told) - len(honest)))
        data, honest = dump(padded), dump_metadata(padded)
        told = told.ljust(len(honest), b"\0")
    assert data.count(honest) == 1
    return load(data.replace(honest, told))


def dump_metadata(program: Program) -> bytes:
    data = dump(program)
    start = data.index(b'{"graft":')
    return data[start : data.index(b"\0", start)]


def test_names_of_what_is_not_there_are_ignored() -> None:
    loaded = with_metadata(Metadata("liar", (HandlerNote("graft/reply", "steal"),), (MapNote("ghost", "u64", "u64"),)))
    assert [handler.name for handler in loaded.handlers] == ["timer"]
    assert loaded.maps == ()


def test_metadata_cannot_change_the_hook_or_the_code() -> None:
    loaded = with_metadata(Metadata("liar", (HandlerNote("graft/timer", "reply/disk.read"),)))
    assert loaded.handlers[0].event == "timer"
    assert loaded.handlers[0].selector == ""
    assert loaded.handlers[0].instructions == PROGRAM.handlers[0].instructions


def test_an_order_of_maps_that_is_not_theirs_is_ignored() -> None:
    assert metadata.ordered(["a", "b"], ["b", "a"]) == [1, 0]
    for wanted in (["b"], ["b", "b"], ["b", "c"], ["a", "b", "c"]):
        assert metadata.ordered(["a", "b"], wanted) == [0, 1]
