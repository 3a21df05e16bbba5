"""Whatever bytes come from outside: accepted or refused with a code. `benchmarks/fuzz_bytes.py` asks much more."""

from __future__ import annotations

from damage import HOOKS, outcome
from hypothesis import given, settings
from hypothesis import strategies as st

import verifier
from grafting import Program
from grafting.diagnostics import GraftError


def verdict(code: bytes, hook_index: int) -> str:
    try:
        verifier.verify(Program.from_bytecode(code, HOOKS[hook_index]))
    except GraftError as refused:
        return refused.diagnostics[0].code
    return "accepted"


@given(st.binary(max_size=160), st.integers(0, len(HOOKS) - 1))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_bytecode_that_is_accepted_or_refused(code: bytes, hook_index: int) -> None:
    found = verdict(code, hook_index)
    assert found == "accepted" or found.startswith(("G05", "G06"))


def test_nearly_good_bytecode_and_objects_are_accepted_or_refused() -> None:
    found = {outcome(seed) for seed in range(240)}
    assert "accepted" in found
    assert all(what == "accepted" or what.startswith(("G05", "G06")) for what in found)
