"""The stages of compilation: what each shows, that it names its source, and that in-file tests can fail."""

from __future__ import annotations

import re

import pytest

from grafting import GraftError, compile_graft
from grafting.assembly.listing import bytecode
from grafting.compiler import checked, compile_in_worker, compile_object, compile_source, lowered, show_ast, show_ir
from grafting.diagnostics import Source
from grafting.lowering.llvm_worker import Worker
from grafting.objects.object_file import load
from jit.testing import run_tests

TEXT = """graft g
map m: hash<u64, u64, 8>
state n: u64
on timer(id) {
    let v = m[id] else { return done }
    if v > 3 {
        n += v
    }
}
"""
SOURCE = Source("g.graft", TEXT)
STATEMENTS = {5: "let v = m[id] else { return done }", 6: "if v > 3 {", 7: "n += v"}


def lines_that_hold(text: str, *parts: str) -> list[int]:
    """Return where each part first stands; fails if one is missing."""
    rows = text.splitlines()
    return [next(i for i, row in enumerate(rows) if part in row) for part in parts]


# --- stages as text --------------------------------------------------------------------------------------------------


def test_the_tree_gives_each_node_its_place() -> None:
    tree = show_ast(SOURCE)
    assert tree.splitlines()[0] == "Graft @1:1"
    for node in ("Map @2:1", "State @3:1", "On @4:1", "Let mutable=False @5:5", "If @6:5", "Assign op='+' @7:9"):
        assert re.search(rf"^ +(\w+: )?{re.escape(node)}$", tree, re.MULTILINE), node


def test_the_tree_needs_no_correct_names() -> None:
    assert "value: Name name='nowhere' @1:28" in show_ast(Source("g", "graft g on timer(id) { n = nowhere }"))


@pytest.mark.parametrize("optimised", [False, True])
def test_the_ir_has_each_source_line_before_its_code(optimised: bool) -> None:
    text = show_ir(SOURCE, optimised=optimised)
    marks = [f"; g.graft:{line}  {code}" for line, code in STATEMENTS.items()]
    places = lines_that_hold(text, *marks)
    assert places == sorted(places)
    lookup, *stores = [
        number for number, row in enumerate(text.splitlines())
        if "call ptr inttoptr (i64 1 to ptr)" in row or re.search(r"store i64 %v\d+, ptr @n", row)
    ]  # fmt: skip
    (store,) = stores
    assert places[0] < lookup < places[1] < places[2] < store


def test_passes_leave_no_variables_in_memory() -> None:
    assert "%s" in show_ir(SOURCE)
    assert "%s" not in show_ir(SOURCE, optimised=True)


def test_shown_ir_has_no_debug_metadata() -> None:
    assert not [row for row in show_ir(SOURCE).splitlines() if row.startswith("!") or '.graft"' in row]


def test_a_listing_has_each_source_line_before_its_instructions() -> None:
    text = bytecode(compile_source(SOURCE))
    places = lines_that_hold(text, *(f"# g.graft:{line}:" for line in STATEMENTS))
    assert places == sorted(places)
    assert [text.splitlines()[place].split("  ", 1)[1] for place in places] == list(STATEMENTS.values())
    call, test = lines_that_hold(text, "# map_lookup_elem", "if r1 > 3")
    assert places[0] < call < places[1] < test < places[2]


def test_a_listing_names_every_instruction_once() -> None:
    program = compile_source(SOURCE)
    shown = [int(pc) for pc in re.findall(r"^ +L(\d+): ", bytecode(program), re.MULTILINE)]
    assert shown == list(program.handlers[0].operations)


# --- stages as values ------------------------------------------------------------------------------------------------


def test_what_is_compiled_is_what_is_loaded_from_the_object() -> None:
    assert compile_source(SOURCE) == load(compile_object(SOURCE), "g.graft")


def test_a_worker_compiles_one_graft_after_the_other() -> None:
    with Worker() as worker:
        for number in range(3):
            source = Source("g.graft", TEXT.replace("v > 3", f"v > {number}"))
            assert compile_in_worker(source, worker) == compile_source(source)


def test_errors_of_the_source_never_reach_the_worker() -> None:
    with Worker() as worker, pytest.raises(GraftError) as caught:
        compile_in_worker(Source("g.graft", "graft g on timer(id) { n = 1 }"), worker)
    assert caught.value.diagnostics[0].code.startswith("G02")


def test_several_independent_errors_are_found_in_one_run() -> None:
    with pytest.raises(GraftError) as caught:
        compile_graft("graft g\non timer(id) {\n let a = one\n let b = two\n}", filename="g.graft")
    assert [d.primary.span.line for d in caught.value.diagnostics if d.primary is not None] == [3, 4]


def test_an_unknown_target_names_those_there_are() -> None:
    with pytest.raises(GraftError) as caught:
        lowered(SOURCE, target="linux-7")
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.helps) == ("G0401", ("known targets: `model`",))


# --- the runner of in-file tests can fail ----------------------------------------------------------------------------

FAILING = {
    "a state variable": ("timer 2  expect n == 3", "n"),
    "a verdict's effects": ("timer 1  expect done, armed 1 after 5", "armed"),
    "a map": ("given m[7] = 1  timer 7  expect no m[7]", "m"),
}


@pytest.mark.parametrize("name", FAILING)
def test_a_wrong_expectation_of_compiled_code_fails(name: str) -> None:
    steps, word = FAILING[name]
    (result,) = run_tests(compile_graft(f'{TEXT}\ntest "wrong" {{ {steps} }}'))
    assert not result.passed
    assert word in result.failures[0]


def test_a_changed_program_fails_the_test_that_the_right_one_passes() -> None:
    case = 'test "kept" { given m[1] = 4  timer 1  expect n == 4 }'
    for text, passes in ((TEXT, True), (TEXT.replace("v > 3", "v > 4"), False)):
        (result,) = run_tests(compile_graft(f"{text}\n{case}"))
        assert result.passed is passes


def test_the_typed_tree_keeps_the_tests() -> None:
    (case,) = checked(Source("g", f'{TEXT}\ntest "kept" {{ timer 1  expect n == 0 }}')).tests
    assert case.name == "kept"
