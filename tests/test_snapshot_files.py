"""A file is replaced as a whole: a crash at any step leaves the old content or the new."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kernel_model.persistence import files

OLD, NEW = b"old" * 1000, b"new" * 5000
STEPS = ("open", "write", "fsync", "close", "rename")


def crash_at(step: int, path: Path) -> bool:
    """Replace `path` in a child that dies when it is about to take its step number `step`; whether it did."""
    child = os.fork()
    if child == 0:
        taken = 0

        def dying(call: Callable[..., Any]) -> Callable[..., Any]:
            def wrapped(*arguments: Any, **named: Any) -> Any:
                nonlocal taken
                if taken == step:
                    os._exit(9)
                taken += 1
                return call(*arguments, **named)

            return wrapped

        files.CHUNK = 4096
        for name in STEPS:
            setattr(os, name, dying(getattr(os, name)))
        files.replace(path, NEW)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def test_a_crash_at_any_step_leaves_the_old_content_or_the_new(tmp_path: Path) -> None:
    path = tmp_path / "app.snapshot"
    seen = []
    for step in range(100):
        path.write_bytes(OLD)
        crashed = crash_at(step, path)
        seen.append(path.read_bytes())
        assert seen[-1] in (OLD, NEW), step
        if not crashed:
            break
    assert seen[0] == OLD
    assert seen[-1] == NEW
    assert len(seen) > len(NEW) // 4096  # it died between writes, too
    assert seen == sorted(seen, key=lambda content: content == NEW)  # once new, new for good


def test_data_are_on_the_disk_before_their_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []

    def logged(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            log.append(name)
            return call(*arguments, **named)

        return wrapped

    for name in STEPS:
        monkeypatch.setattr(os, name, logged(name, getattr(os, name)))
    files.replace(tmp_path / "app.snapshot", NEW)
    assert log == ["open", "write", "fsync", "close", "rename", "open", "fsync", "close"]


def test_what_a_crash_left_behind_does_not_disturb_the_next_save(tmp_path: Path) -> None:
    path = tmp_path / "app.snapshot"
    path.with_name("app.snapshot.new").write_bytes(NEW * 2)
    files.replace(path, NEW)
    assert path.read_bytes() == NEW
    assert sorted(tmp_path.iterdir()) == [path]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_failure_keeps_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "app.snapshot"
    path.write_bytes(OLD)

    def full(*_arguments: Any) -> int:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="no space"):
        files.replace(path, NEW)
    assert path.read_bytes() == OLD


def test_no_more_than_the_limit_is_read(tmp_path: Path) -> None:
    path = tmp_path / "app.snapshot"
    path.write_bytes(NEW)
    assert files.read(path, 10) == NEW[:11]
