"""The numba tier is rebuilt from the same functions; its cache cannot be stale and holds nothing of anybody else's."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from jit import arithmetic, compiled, fingerprint, hot, interpreter, maps, words
from jit.fingerprint import sources_of
from jit.hot import constant, tier
from kernel_model.core import simulate

CORNERS = [0, 1, 5, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1]
BINARY = ["divide", "remainder", "divide_signed", "remainder_signed"]


@pytest.mark.parametrize("name", BINARY)
def test_both_tiers_of_a_function_give_the_same_words(name: str) -> None:
    plain, fast = (getattr(tier(which, arithmetic), name) for which in ("python", "numba"))
    for a in CORNERS:
        for b in CORNERS:
            assert plain(a, b) == int(fast(np.uint64(a), np.uint64(b)))


def test_the_python_tier_is_the_functions_themselves() -> None:
    assert tier("python", arithmetic).divide is arithmetic.divide


def test_a_constant_is_an_unsigned_word() -> None:
    assert constant(7) == 7
    for wrong in (-1, 2**64):
        with pytest.raises(ValueError, match="unsigned"):
            constant(wrong)


def test_the_modules_that_a_module_reaches_are_known() -> None:
    reached = {path.name for path in sources_of(interpreter)}
    assert {"interpreter.py", "arithmetic.py", "calls.py", "machine.py", "maps.py", "memory.py"} <= reached
    assert hot.imports_of(words) == ()


def test_each_module_is_looked_at_once_however_many_ways_lead_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[str] = []

    def imports_of(module: ModuleType) -> tuple[ModuleType, ...]:
        looked_at.append(module.__name__)
        return hot.imports_of(module)

    monkeypatch.setattr(fingerprint, "imports_of", imports_of)
    assert len(fingerprint.reached(simulate)) == len(looked_at) == len(set(looked_at)) > 40


def test_an_edit_of_anything_that_is_reached_changes_the_cache_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    before = compiled._fingerprint(interpreter)
    original = Path.read_bytes
    for edited in ("maps.py", "hot.py", "compiled.py", "memory.py"):

        def read(path: Path, edited: str = edited) -> bytes:
            return original(path) + (b"# edited" if path.name == edited else b"")

        monkeypatch.setattr(Path, "read_bytes", read)
        assert compiled._fingerprint(interpreter) != before
    monkeypatch.setattr(Path, "read_bytes", original)
    assert compiled._fingerprint(interpreter) == before
    assert compiled._fingerprint(maps) != before


def test_directories_that_nobody_has_used_for_long_are_removed(tmp_path: Path) -> None:
    old, new = tmp_path / "hot-old", tmp_path / "hot-new"
    old.mkdir()
    new.mkdir()
    os.utime(old, (0, 0))
    assert compiled._usable(new)
    assert not old.exists()


def test_a_directory_that_is_gone_is_not_used(tmp_path: Path) -> None:
    assert not compiled._usable(tmp_path / "hot-1")
