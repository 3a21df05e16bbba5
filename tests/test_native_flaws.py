"""The tests of native code can fail: a flaw put into the lowering is found by a theorem."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from test_native_grafts import (
    test_helpers_called_in_a_callee_find_every_frame_and_the_registers_of_all_are_kept as frames_and_registers,
)
from test_native_grafts import test_map_helpers_give_what_the_interpreter_gives as map_helpers
from test_native_instructions import test_every_comparison as comparisons
from test_native_instructions import test_every_operation_on_two_registers as operations

from grafting.diagnostics import InternalError
from grafting.isa import Alu, Condition
from jit.native import arithmetic, cache, helpers, lowering
from jit.native import engine as native


def _less_is_less_or_equal(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(arithmetic._PREDICATES, Condition.LT, "ule")


def _arithmetic_shifts_are_logical(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(arithmetic._BINARY, Alu.ARSH, "lshr")


def _a_register_is_not_saved(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(lowering, "_SAVED", range(6, 9))


def _helpers_are_not_counted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(lowering._Lowering, "_count_helper", lambda self, number: None)


def _flags_are_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(helpers, "_refuse_flags", lambda text, end: None)


@pytest.mark.parametrize(
    ("flaw", "theorem"),
    [
        (_less_is_less_or_equal, lambda: comparisons("r")),
        (_arithmetic_shifts_are_logical, operations),
        (_a_register_is_not_saved, frames_and_registers),
        (_helpers_are_not_counted, frames_and_registers),
        (_flags_are_ignored, lambda: map_helpers(0, 1, 2)),
    ],
)
def test_a_flaw_of_the_lowering_is_found(
    flaw: Callable[[pytest.MonkeyPatch], None],
    theorem: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    native.surroundings()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # wrong code must not be kept
    monkeypatch.setattr(native, "_loaded", {})
    theorem()
    native._loaded.clear()
    cache.clear()
    flaw(monkeypatch)
    with pytest.raises((AssertionError, InternalError)):
        theorem()
