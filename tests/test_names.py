"""Names of values: they tell the truth, they end with their scope, they change no code, and objects carry them."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from random_programs import LOCALS, Memory, RandomProgram, TooLong, execute, initial, programs, words
from stepping import Moment, graft_steps

import jit
import verifier
from grafting import GraftError, compile_graft, limits
from grafting.compiler import compile_object, compile_source, lowered
from grafting.diagnostics import Source
from grafting.lowering import llvm, placement
from grafting.objects import dwarf, elf, metadata
from grafting.objects.object_file import dump, load
from grafting.program import Constant, Handler, Register, StackSlot, ValueName

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted([*(ROOT / "samples").glob("*.graft"), *(ROOT / "tests" / "cases" / "lowering").glob("*.graft")])
WORD = (1 << 64) - 1

TEXT = """graft named

struct Pair { first: u32, second: i16, _pad: u16 }
protocol p { op pair(a: u32) -> Pair }
cap c: p
state total: u64

on reply(msg) from c.pair {
    let pair = msg.reply else { return deliver }
    let base = msg.tag + msg.badge
    if pair.first > 3 {
        let one = base * base
        total += one
    } else {
        let other = base ^ 7
        total += other * other
    }
    for i in 0..pair.first max 9 {
        total += i * base
    }
    return consume
}
"""


def source(text: str) -> Source:
    return Source("named.graft", text)


def only_handler(text: str) -> Handler:
    (handler,) = compile_source(source(text)).handlers
    return handler


def line_of(handler: Handler, pc: int) -> int:
    info = handler.line_at(pc)
    assert info is not None
    return info.line


# --- truth -----------------------------------------------------------------------------------------------------------


class History(dict[str, int]):
    """The locals of a run, which remembers every value that each of them ever had."""

    def __init__(self) -> None:
        super().__init__()
        self.ever: defaultdict[str, set[int]] = defaultdict(set)

    def __setitem__(self, name: str, value: int) -> None:
        super().__setitem__(name, value)
        self.ever[name].add(value & WORD)


def run_of(program: RandomProgram, a: int, b: int) -> History:
    """Evaluate a program. Raises TooLong."""
    history = History()
    memory = Memory(history)
    history["a"], history["b"] = a, b
    for variable in LOCALS:
        history[variable.name] = initial(variable).of(memory)
    execute(program.body, memory)
    return history


def word_at(moment: Moment, name: ValueName) -> int:
    match name.place:
        case Register(number):
            return moment.registers[number] + name.plus & WORD
        case StackSlot(offset):
            at = 512 + offset
            return int.from_bytes(moment.frames[0][at : at + 8], "little") + name.plus & WORD
        case Constant(value):
            return value & WORD


@settings(
    max_examples=25,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(programs(), words, words)
def test_what_a_name_is_said_to_be_the_variable_has_been(text: RandomProgram, a: int, b: int) -> None:
    try:
        history = run_of(text, a, b)
        program = compile_graft(text.text())
    except (TooLong, GraftError):
        assume(False)  # a pattern of a `match` may be covered by those before it
    (handler,) = program.handlers
    message = jit.Message(body=a.to_bytes(8, "little") + b.to_bytes(8, "little"))
    known = {v.name for v in LOCALS}
    for moment in graft_steps(jit.GraftState(program), handler, message, most=3000):
        for name in handler.names:
            if name.first_pc <= moment.pc <= name.last_pc and name.name in known:
                word = word_at(moment, name) & (1 if name.type == "bool" else WORD)
                assert word in history.ever[name.name], (moment.pc, name)


def test_a_view_is_named_with_the_way_to_its_address() -> None:
    program = compile_source(source(TEXT))
    (handler,) = program.handlers
    message = jit.Message(tag=5, badge=6, body=bytes([2, 0, 0, 0, 255, 255, 0, 0]))
    state = jit.GraftState(program)
    seen = defaultdict(set)
    for moment in graft_steps(state, handler, message, most=200):
        for name in handler.names:
            if name.first_pc <= moment.pc <= name.last_pc:
                seen[name.name].add(word_at(moment, name))
    assert seen["msg.tag"] == {5}
    assert seen["msg.badge"] == {6}
    assert seen["base"] == {11}
    assert seen["pair.first"] == {2}
    assert len(seen["pair"]) == 1  # the body's address
    assert seen["i"] <= {0, 1, 2}
    assert set(seen) <= {"msg.tag", "msg.badge", "base", "pair", "pair.first", "other", "i"}


def test_an_array_is_named_by_its_first_byte() -> None:
    text = """graft g
state out: [u64; 4]
on timer(id) {
    let mut list: [u64; 4] = [id, id + 1, id + 2, id + 3]
    for i in 0..4 { list[i] *= 3 }
    for i in 0..4 { out[i] = list[i] }
}
"""
    program = compile_source(source(text))
    (handler,) = program.handlers
    (name,) = {name.place: name for name in handler.names if name.name == "list"}.values()
    assert name.type == "[u64; 4]"
    assert isinstance(name.place, StackSlot)
    *_, moment = graft_steps(jit.GraftState(program), handler, jit.Message(tag=100), most=1000)
    at = 512 + name.place.offset
    words_there = [int.from_bytes(moment.frames[0][i : i + 8], "little") for i in range(at, at + 32, 8)]
    assert words_there == [300, 303, 306, 309]


# --- scope -----------------------------------------------------------------------------------------------------------


def lines_of(name: str, handler: Handler) -> set[int]:
    """Return the source lines at whose instructions a name is given."""
    return {
        info.line
        for n in handler.names
        if n.name == name
        for pc in range(n.first_pc, n.last_pc + 1)
        if (info := handler.line_at(pc)) is not None
    }


def test_a_name_ends_with_its_block_and_begins_behind_its_declaration() -> None:
    handler = only_handler(TEXT)
    rows = dict(enumerate(TEXT.splitlines(), 1))
    for name, first, last in (("one", "total += one", "total += one"), ("other", "total += other", "total += other"),
                              ("i", "for i in", "total += i * base")):  # fmt: skip
        begin = next(line for line, row in rows.items() if first in row)
        end = next(line for line, row in rows.items() if last in row)
        assert lines_of(name, handler) <= set(range(begin, end + 1)), name
        assert lines_of(name, handler), name


def test_parameters_are_named_within_their_function_only() -> None:
    text = """graft g
state total: u64
fn twice(value: u64) -> u64 {
    let double = value + value
    return double ^ value
}
on timer(id) {
    total += twice(id)
    total += twice(id * 5)
}
"""
    handler = only_handler(text)
    for name in ("value", "double"):
        assert lines_of(name, handler)
        assert lines_of(name, handler) <= {3, 4, 5, 6}


def test_a_place_has_the_name_of_the_variable_declared_last() -> None:
    text = """graft g
state total: u64
on timer(id) {
    let first = id * 7
    let second = first
    total += second
    total ^= second * first
}
"""
    handler = only_handler(text)
    names = [handler.names_at(pc) for pc in handler.operations]
    assert any(name.name == "second" for at in names for name in at.values())
    assert not any(isinstance(place, Constant) for at in names for place in at)


# --- code and objects ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_names_change_no_code(file: Path) -> None:
    module = lowered(Source(file.name, file.read_text())).text
    without = re.sub(r"^  #dbg_.*\n", "", module, flags=re.MULTILINE)
    assert without != module
    assert elf.write(elf.read(llvm.emit_object(module))) == elf.write(elf.read(llvm.emit_object(without)))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_object_carries_the_names(file: Path) -> None:
    program = compile_source(Source(file.name, file.read_text()))
    assert any(handler.names for handler in program.handlers)
    again = load(dump(program), file.name)
    assert again == program
    assert [handler.names for handler in again.handlers] == [handler.names for handler in program.handlers]


def test_dwarf_is_kept_on_demand_and_says_the_same() -> None:
    slim, full = (compile_object(source(TEXT), debug=debug) for debug in (False, True))
    assert dwarf.variables(elf.read(slim, dwarf=True)) == {}
    (variables,) = dwarf.variables(elf.read(full, dwarf=True)).values()
    assert {"base", "pair", "i"} <= {variable.name for variable in variables}
    assert load(slim) == load(full)


def test_the_frame_is_as_large_as_its_lowest_access() -> None:
    program = compile_source(source("graft g map m: hash<u64, u64, 8> on timer(id) { delete m[id] }"))
    assert placement.frame_bytes(program.handlers[0].instructions) == 8


def test_a_name_too_long_for_an_object_is_left_out() -> None:
    long = "n" * (limits.VALUE_NAME_CHARACTERS + 1)
    rows = ("graft g", "state t: u64", "on timer(id) {", f"let {long} = id * 3", "let ok = t * 5", f"t = {long}",
            f"t += {long} * ok", f"t ^= {long} + ok", "}")  # fmt: skip
    text = "\n".join(rows)
    names = {name.name for name in only_handler(text).names}
    assert "ok" in names
    assert long not in names


@pytest.mark.parametrize(
    ("change", "words_"),
    [
        (lambda row: row.pop(), "6 elements, not 7"),
        (lambda row: row.__setitem__(0, "a\x1b"), "not printable"),
        (lambda row: row.__setitem__(1, "u64`"), "not the name of a type"),
        (lambda row: row.__setitem__(2, 1 << 20), "not an integer"),
        (lambda row: row.__setitem__(3, row[2] - 1), "not an integer"),
        (lambda row: row.__setitem__(4, "x"), "not `r`, `s` or `c`"),
        (lambda row: row.__setitem__(4, []), "not `r`, `s` or `c`"),
        (lambda row: row.__setitem__(5, 10), "not an integer from 0 to 9"),
        (lambda row: row.__setitem__(6, 1 << 64), "not an integer"),
    ],
)
def test_names_of_a_stranger_are_checked(change: Callable[[list[Any]], Any], words_: str) -> None:
    name = ValueName("i", "u64", 3, 9, Register(4))
    said = metadata.Metadata("g", (metadata.HandlerNote("graft/timer", names=(name,)),))
    content = json.loads(metadata.encode(said))
    assert metadata.decode(json.dumps(content).encode(), elf.Where("g.o", ".graft")) == said
    change(content["handlers"][0]["names"][0])
    with pytest.raises(GraftError, match="G0540") as caught:
        metadata.decode(json.dumps(content).encode(), elf.Where("g.o", ".graft"))
    assert words_ in caught.value.diagnostics[0].message


def test_false_names_change_no_verdict() -> None:
    program = compile_source(source(TEXT))
    lies = tuple(ValueName(f"x{n}", "u64", 0, 60, Register(n)) for n in range(10))
    lying = replace(program, handlers=tuple(replace(h, names=lies) for h in program.handlers))
    assert verifier.verify(lying).bounds == verifier.verify(program).bounds
