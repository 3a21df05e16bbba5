"""A random well-typed program, compiled and interpreted, does what a direct evaluation of it does."""

from __future__ import annotations

from hypothesis import HealthCheck, assume, given, settings
from random_programs import LOCALS, RandomProgram, TooLong, programs, words

import jit
from grafting import Program, compile_graft

QUICK = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def run(program: Program, a: int, b: int) -> tuple[jit.Activation, jit.GraftState]:
    state = jit.GraftState(program)
    body = a.to_bytes(8, "little") + b.to_bytes(8, "little")
    return jit.activate(program, "request", jit.Message(body=body), state), state


@QUICK
@given(programs(), words, words)
def test_compiled_code_does_what_the_source_means(source: RandomProgram, a: int, b: int) -> None:
    try:
        expected = source.run(a, b)
    except TooLong:
        assume(False)
    program = compile_graft(source.text())
    done, state = run(program, a, b)
    assert done.fault is None
    assert done.verdict_name == "pass"
    assert state.variables["out"] == [expected.locals[v.name] % 2**64 for v in LOCALS]
    assert state.variables["list"] == expected.list
    assert state.variables["calls"] == expected.calls
    assert dict(state.maps["map_"].items()) == expected.map
