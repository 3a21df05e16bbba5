"""Engines agree: random verified programs on random inputs, r0, memory, effects, state and counts."""

from __future__ import annotations

import agreement
import pytest
from hypothesis import HealthCheck, assume, given, settings
from random_programs import RandomProgram, TooLong, programs, words

import jit
import verifier
from grafting import GraftError, compile_graft
from kernel_model.linux import bpf

INPUTS = 3
QUICK = settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
needs_linux = pytest.mark.skipif(bool(bpf.unavailable()), reason=bpf.unavailable() or "bpf(2) can be used")


@pytest.mark.parametrize(("kind", "count"), [("raw", 30), ("memory", 25), ("graft", 30)])
def test_random_bytecode_does_the_same_in_every_engine(kind: str, count: int) -> None:
    for seed, subject in agreement.accepted(kind, 20_000, count):
        for number in range(INPUTS):
            seen = agreement.observed(kind, subject, number, "python")
            assert agreement.observed(kind, subject, number, "native") == seen, seed
            assert agreement.observed(kind, subject, number, "uncounted") == seen.without_counts(), seed


@QUICK
@given(programs(), words, words)
def test_random_source_does_the_same_in_every_engine(source: RandomProgram, a: int, b: int) -> None:
    try:
        source.run(a, b)
        subject = verifier.verify(compile_graft(source.text()))
    except (TooLong, GraftError):
        assume(False)
    message = jit.Message(body=a.to_bytes(8, "little") + b.to_bytes(8, "little"))
    seen = [agreement.activated(subject, "request", message, jit.GraftState(subject), engine)
            for engine in ("python", "native")]  # fmt: skip
    assert seen[0] == seen[1]


@needs_linux
def test_the_real_linux_jit_agrees() -> None:
    runs = 0
    for seed, subject in agreement.accepted("memory", 30_000, 25):
        for result in agreement.against_linux(subject, range(INPUTS)):
            assert result.there == result.here, seed
            runs += 1
    assert runs > 20
