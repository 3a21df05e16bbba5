"""Whatever the text is, the front end gives a program or a diagnostic: never another exception, never a lost process.

The ten thousand inputs of `benchmarks/fuzz_front.py` come from the same generator (`mutations`).
"""

from __future__ import annotations

from pathlib import Path

import mutations
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import grafting
from grafting import limits, render
from grafting.diagnostics import GraftError, Source
from grafting.parsing import parse
from grafting.program import Program

SAMPLES = [path.read_text() for path in sorted((Path(__file__).resolve().parents[1] / "samples").glob("*.graft"))]
BATCHES = 12
BATCH = 25


def outcome(text: str) -> Program | GraftError:
    try:
        return grafting.compile_graft(text, filename="fuzz.graft")
    except GraftError as error:
        return error


def check(text: str) -> None:
    found = outcome(text)
    if isinstance(found, Program):
        assert found.handlers
        return
    assert 0 < len(found.diagnostics) <= limits.DIAGNOSTICS_MAX
    for diagnostic in found.diagnostics:
        assert diagnostic.code.startswith(("G01", "G02", "G03", "G04")), diagnostic.code
        assert diagnostic.primary.span.end <= len(text)
        assert render.full(diagnostic).isprintable() or "\n" in render.full(diagnostic)


@pytest.mark.parametrize("batch", range(BATCHES))
def test_mutated_samples_give_programs_or_diagnostics(batch: int) -> None:
    for seed in range(batch * BATCH, (batch + 1) * BATCH):
        check(mutations.mutant(seed, SAMPLES))


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_bytes_give_programs_or_diagnostics(data: bytes) -> None:
    for start in (b"", b"graft t\n"):
        try:
            text = parse.decode(start + data, "fuzz.graft").text
        except GraftError:
            continue
        check(text)


@given(st.text(max_size=100))
@settings(max_examples=100, deadline=None)
def test_texts_give_programs_or_diagnostics(text: str) -> None:
    check(text)
    check("graft t\n" + text)


@pytest.mark.parametrize("opening", ["(", "[", "{", "-", "x as ", "if x {", "else if x {"])
def test_nesting_of_any_depth_gives_a_diagnostic(opening: str) -> None:
    for depth in (limits.SOURCE_NESTING + 1, limits.TREE_DEPTH + 1, 20_000):
        for begin in ("const x = ", "fn f(x: u64) { "):
            found = outcome(f"graft t\n{begin}{opening * depth}")
            assert isinstance(found, GraftError)


def test_equal_seeds_give_equal_texts() -> None:
    assert [mutations.mutant(seed, SAMPLES) for seed in range(50)] == [
        mutations.mutant(seed, SAMPLES) for seed in range(50)
    ]


def test_a_diagnostic_is_the_same_each_time() -> None:
    source = Source("t.graft", "graft t\nfn f() { x++ }\nstate n u64")
    texts = []
    for _ in range(2):
        with pytest.raises(GraftError) as caught:
            parse.parse(source)
        texts.append([render.full(d) for d in caught.value.diagnostics])
    assert texts[0] == texts[1]
