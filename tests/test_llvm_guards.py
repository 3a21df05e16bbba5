"""Guards that LLVM's present passes hardly ever test: divisions that are undefined to it, and calls that look alike.

A division by zero springs where LLVM knows its operands, since it then folds to poison. INT_MIN / -1 happens to be
folded to the right value; that its guard is there is seen in the IR.
"""

from __future__ import annotations

import re

import pytest

import jit
from grafting import Program, compile_graft
from grafting.compiler import lowered
from grafting.diagnostics import Source
from grafting.isa import CallHelper

MIN = 1 << 63


def computed(text: str) -> int:
    """Run the timer handler on `n` = 77; return `n` afterwards."""
    program = compile_graft(f"graft g state n: u64 = 77 on timer(id) {{ {text} }}")
    memory = jit.GraftState(program)
    assert jit.activate(program, "timer", jit.Message(tag=1), memory).fault is None
    result: int = memory.variables["n"]
    return result


@pytest.mark.parametrize("type_", ["u64", "u32", "u8", "i64", "i32", "i8"])
@pytest.mark.parametrize(("op", "expected"), [("/", 0), ("%", 100)])
def test_a_division_by_a_zero_that_llvm_knows_is_defined(op: str, expected: int, type_: str) -> None:
    assert computed(f"let mut c = 0 as {type_}  let q = 100 as {type_} {op} c  n = q as u64") == expected


@pytest.mark.parametrize(("op", "expected"), [("/", MIN), ("%", 0)])
def test_the_least_number_by_a_minus_one_that_llvm_knows_is_defined(op: str, expected: int) -> None:
    least, minus = f"let mut a = {MIN} as i64", "let mut b = 18446744073709551615 as i64"
    assert computed(f"{least}  {minus}  n = (a {op} b) as u64") == expected


@pytest.mark.parametrize("op", ["/", "%"])
@pytest.mark.parametrize(("type_", "guards"), [("i64", {"0", "-1"}), ("i32", {"0"}), ("u64", {"0"}), ("u8", {"0"})])
def test_every_division_stands_behind_a_branch_on_its_divisor(op: str, type_: str, guards: set[str]) -> None:
    text = f"graft g state n: u64 on timer(id) {{ n = (n as {type_} {op} id as {type_}) as u64 }}"
    ir = lowered(Source("g", text)).text
    division = re.search(r" = [su](?:div|rem) i64 %\w+, (%\w+)", ir)
    assert division is not None
    tests = re.findall(rf"(%\w+) = icmp eq i64 {division[1]}, (-?\d+)", ir[: division.start()])
    branched = {value for flag, value in tests if f"br i1 {flag}," in ir[: division.start()]}
    assert branched >= guards


def test_calls_in_branches_that_end_alike_stay_apart_each_with_its_line() -> None:
    assert call_lines(compile_graft(ALIKE)) == [6, 11]


def call_lines(program: Program) -> list[int]:
    """Return the line of each helper call of the only handler."""
    (handler,) = program.handlers
    infos = [handler.line_at(pc) for pc, op in handler.operations.items() if isinstance(op, CallHelper)]
    return sorted(info.line for info in infos if info is not None)


ALIKE = """graft g
map m: hash<u64, u64, 8>
state n: u64
on reply(msg) {
    if msg.badge == 4 {
        delete m[msg.tag]
        return deliver
    }
    n += 1
    if msg.badge == 5 {
        delete m[msg.tag]
        return deliver
    }
    return consume
}
"""
