"""Every construct of the language does what its semantics says: the tests inside `cases/lowering/*.graft` pass."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

import verifier
from grafting import Program, typed
from grafting.compiler import checked, compile_source, lowered
from grafting.diagnostics import NO_SPAN, GraftError, Source
from grafting.lowering.match import Interval, intervals
from grafting.program import TestCase
from jit.testing import run_test

CASES = Path(__file__).with_name("cases") / "lowering"
FILES = sorted(CASES.glob("*.graft"))


@cache
def source(file: Path) -> Source:
    return Source(file.name, file.read_text())


@cache
def program(file: Path) -> Program:
    return compile_source(source(file))


def each_test() -> list[object]:
    found = [(file, case) for file in FILES for case in checked(source(file)).tests]
    return [pytest.param(file, case, id=f"{file.stem}: {case.name}") for file, case in found]


@pytest.mark.parametrize(("file", "case"), each_test())
def test_what_is_compiled_does_what_the_source_says(file: Path, case: TestCase) -> None:
    assert run_test(program(file), case).failures == ()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_what_is_compiled_is_accepted_by_the_verifier(file: Path) -> None:
    assert set(verifier.verify(program(file)).handlers) == {handler.name for handler in program(file).handlers}


def test_every_kind_of_node_of_the_typed_tree_is_among_the_cases() -> None:
    seen: set[type] = set()
    pending: list[object] = [checked(source(file)).handlers for file in FILES]
    known: set[int] = set()
    while pending:
        value = pending.pop()
        if isinstance(value, tuple):
            pending += value
        elif type(value).__module__ == typed.__name__ and id(value) not in known:
            known.add(id(value))
            seen.add(type(value))
            slots = getattr(type(value), "__dataclass_fields__", {})
            pending += [getattr(value, name) for name in slots]
    nodes = {*typed.Expr.__args__, *typed.Absent.__args__, *typed.Payload.__args__, *typed.Stmt.__args__}
    assert nodes - seen == set()


# --- bounds ----------------------------------------------------------------------------------------------------------

VALUES = ("id as {t}", "(id as {t}) + 1", "(id as {t}) * 3", "~(id as {t})", "-(id as {t})", "narrow")
USES = """
    let c = list[i] else {{ 7 }}
    n += c
    if i < 5 && i >= 0 {{ n += list[i] }}
    if i < 3 && i >= 0 {{ n += list[i + 2] + list[4 - i] }}
    match i {{
        0..=4 => {{ n += list[i] }}
        _ => {{}}
    }}
    for j in 0..i as u64 max 5 {{ n += list[j] }}
    if n == 3 {{ i = (n as {t}) + 2 }}
    if i >= 5 || i < 0 {{ return done }}
    n += list[i]
"""


@pytest.mark.parametrize("type_", ["u8", "u16", "u32", "u64", "i8", "i16", "i32"])
@pytest.mark.parametrize("value", VALUES)
def test_the_verifier_sees_every_bound_that_the_language_proves(type_: str, value: str) -> None:
    """The index in the access is in the register that was compared, however it was computed."""
    uses = USES if type_.startswith("i") else USES.replace(" && i >= 0", "").replace(" || i < 0", "")
    text = f"""graft g state list: [u64; 5] state n: u64 state narrow: {type_}
    on timer(id) {{{{
        let mut i = {value}
        {uses}
    }}}}""".format(t=type_)
    assert verifier.verify(compile_source(Source("g", text)))


# --- frames ----------------------------------------------------------------------------------------------------------


def frame_bytes(text: str) -> int:
    """Return the most bytes that a handler of this graft declares on its stack, before LLVM packs them."""
    sizes = [int(line.split("[")[1].split(" x ")[0]) for line in lowered(Source("g", text)).text.splitlines()
             if " = alloca [" in line]  # fmt: skip
    return sum(sizes)


def test_arrays_of_blocks_that_are_never_active_together_share_memory() -> None:
    block = "let mut a: [u64; 16] = [id; 16]  n += a[id % 16]"
    one = f"graft g state n: u64 on timer(id) {{ if id > 1 {{ {block} }} else {{ {block} }} {{0}} }}"
    assert frame_bytes(one.replace("{0}", "")) == 128
    assert frame_bytes(one.replace("{0}", f"if id == 9 {{ {block} }}")) == 128
    assert (
        frame_bytes(one.replace("{0}", "").replace("let mut a", "let b: [u64; 8] = [id; 8]  n += b[id % 8]  let mut a"))
        == 192
    )


def test_memory_for_helpers_is_as_large_as_the_largest_use() -> None:
    text = """graft g
    struct A { a: u64 }  struct B { b: [u64; 8] }
    map as_: hash<u64, A, 8>  map bs: hash<u32, B, 8>
    on timer(id) {
        as_[1] = A { a: 1 } else { return done }
        bs[2] = B { b: [1, 2] } else { return done }
        as_[3] = A { a: 2 } else { return done }
        delete bs[7]
    }"""
    assert frame_bytes(text) == 64 + 8


def test_arrays_beyond_any_frame_are_refused_with_a_place() -> None:
    blocks = "\n".join(f"let mut a{i}: [u64; 32] = [id; 32]  n += a{i}[id % 32]" for i in range(33))
    with pytest.raises(GraftError) as caught:
        compile_source(Source("g", f"graft g state n: u64 on timer(id) {{ {blocks} }}"))
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "G0402"
    assert diagnostic.primary.span.line == 1
    assert "`timer` need 8448 bytes" in diagnostic.message


# --- match -----------------------------------------------------------------------------------------------------------


def arm(*ranges: tuple[int, int]) -> typed.MatchArm:
    return typed.MatchArm(ranges, typed.Block((), False, NO_SPAN))


def test_the_first_arm_owns_what_later_arms_name_too() -> None:
    arms = (arm((5, 5)), arm((0, 9)), arm((3, 20)), arm())
    assert intervals(arms, 0, 255) == (
        Interval(0, 4, 1), Interval(5, 5, 0), Interval(6, 9, 1), Interval(10, 20, 2), Interval(21, 255, 3),
    )  # fmt: skip


def test_neighbouring_ranges_of_one_arm_become_one_interval() -> None:
    assert intervals((arm((0, 1), (2, 3), (4, 4)), arm()), 0, 255) == (Interval(0, 4, 0), Interval(5, 255, 1))


def test_an_arm_that_nothing_reaches_has_no_interval() -> None:
    assert intervals((arm((-128, 127)), arm((3, 3))), -128, 127) == (Interval(-128, 127, 0),)
