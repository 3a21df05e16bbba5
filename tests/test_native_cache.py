"""The cache of native code: what is found there was put there by this user for this very program, or it is not used."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

import jit
import verifier
from grafting import Program, hooks, limits
from jit.native import cache, llvm
from jit.native import engine as native


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own for each test, and no code in memory but that around programs."""
    native.surroundings()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(native, "_loaded", {})
    monkeypatch.setattr(cache, "_budget", cache._Budget())
    return tmp_path / "grafting" / "native"


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What LLVM was given, in order."""
    texts: list[str] = []
    emit = llvm.emit_object

    def counted(text: str, *, thorough: bool) -> bytes:
        texts.append(text)
        return emit(text, thorough=thorough)

    monkeypatch.setattr(llvm, "emit_object", counted)
    return texts


def program(number: int = 3, *, size: int = 8) -> verifier.Verified:
    text = f"r0 = *(u64 *)(r1 + 0)\nr0 *= {number}\nexit"
    return verifier.verify(Program.from_assembly(text, hooks.raw_memory(size)))


def run(subject: verifier.Verified, *, size: int = 8) -> int:
    """Run a program on the word 5, its code not being in memory yet."""
    native._loaded.clear()
    return jit.compile_native(subject).run(bytearray((5).to_bytes(size, "little")))


def entry(directory: Path) -> Path:
    (file,) = directory.glob("*.native")
    return file


def test_a_program_is_compiled_once(directory: Path, compiled: list[str]) -> None:
    assert [run(program()) for _ in range(3)] == [15, 15, 15]
    assert len(compiled) == 1
    assert cache.contents() == cache.Contents(directory, 1, entry(directory).stat().st_size)


def test_the_files_are_this_users_alone(directory: Path) -> None:
    run(program())
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    for file in directory.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert (directory / "key").stat().st_size == 32


def test_whatever_the_code_depends_on_makes_another_name(
    directory: Path, compiled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(program())
    run(program(4))
    run(program(size=16), size=16)
    jit.compile_native(program()).prepare(counting=True)
    monkeypatch.setattr(native, "_makers", lambda: "another LLVM, CPU or version of this project")
    run(program())
    assert len(compiled) == len(list(directory.glob("*.native"))) == 5


@pytest.mark.parametrize("damage", ["truncated", "empty", "a bit", "foreign", "another's", "no file", "a directory"])
def test_an_entry_that_is_not_ours_is_compiled_anew_and_never_run(
    directory: Path, compiled: list[str], damage: str
) -> None:
    run(program(7))
    other = entry(directory).read_bytes()
    entry(directory).unlink()
    assert run(program()) == 15
    file = entry(directory)
    good = file.read_bytes()
    match damage:
        case "truncated":
            file.write_bytes(good[:-1])
        case "empty":
            file.write_bytes(b"")
        case "a bit":
            file.write_bytes(good[:100] + bytes([good[100] ^ 1]) + good[101:])
        case "foreign":  # valid code, which would give 35, under a MAC that is not one
            file.write_bytes(bytes(32) + other[32:])
        case "another's":  # an entry of ours, but of another program
            file.write_bytes(other)
        case "no file":
            file.unlink()
            file.symlink_to(directory / "key")
        case "a directory":
            file.unlink()
            file.mkdir()
    assert run(program()) == 15
    assert len(compiled) == 3
    if damage != "a directory":
        assert file.read_bytes() == good
        assert run(program()) == 15
        assert len(compiled) == 3


@pytest.mark.parametrize("damage", ["readable", "short", "gone", "link"])
def test_without_its_key_nothing_in_the_cache_is_used(directory: Path, compiled: list[str], damage: str) -> None:
    run(program())
    key = directory / "key"
    match damage:
        case "readable":
            key.chmod(0o644)
        case "short":
            key.write_bytes(b"secret")
        case "gone":
            key.unlink()
        case "link":
            key.rename(directory / "elsewhere")
            key.symlink_to(directory / "elsewhere")
    assert run(program()) == 15
    assert len(compiled) == 2
    assert len(list(directory.glob("*.native"))) == 1


def test_a_directory_that_others_may_write_to_is_not_used(directory: Path, compiled: list[str]) -> None:
    run(program())
    directory.chmod(0o777)
    assert [run(program()), run(program())] == [15, 15]
    assert len(compiled) == 3
    assert cache.contents() == cache.Contents(None, 0, 0)


def test_a_directory_that_others_may_read_is_closed_to_them(directory: Path, compiled: list[str]) -> None:
    run(program())
    directory.chmod(0o755)
    assert run(program()) == 15
    assert len(compiled) == 1
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def full(*arguments: Any, **named: Any) -> Any:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("call", ["open", "link", "replace", "scandir", "utime"])
def test_a_disk_that_is_full_or_read_only_costs_time_and_nothing_else(
    directory: Path, compiled: list[str], monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        assert [run(program()), run(program())] == [15, 15]
        assert len(compiled) == (1 if call in ("scandir", "utime") else 2)
    assert list(directory.glob("*.partial")) == []
    assert run(program()) == 15
    assert run(program(9)) == 45


@pytest.mark.skipif(os.getuid() != 0, reason="only root may mount")
def test_a_real_disk_without_room(tmp_path: Path, compiled: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if os.system(f"mount -t tmpfs -o size=8k,mode=0700 tmpfs {small} 2>/dev/null"):
        pytest.skip("cannot mount")
    try:
        monkeypatch.setenv("XDG_CACHE_HOME", str(small))
        assert [run(program(number)) for number in range(4)] == [0, 5, 10, 15]
        assert len(compiled) == 4
        assert list((small / "grafting" / "native").glob("*.partial")) == []
    finally:
        os.system(f"umount {small}")


def test_no_cache_directory_costs_time_and_nothing_else(
    tmp_path: Path, compiled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert [run(program()), run(program())] == [15, 15]
    assert len(compiled) == 2
    assert cache.clear() == 0


def test_the_entries_that_were_not_used_for_longest_go_first(
    directory: Path, compiled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 5):
        run(program(number))
        for age, file in enumerate(sorted(directory.glob("*.native"), key=lambda file: file.stat().st_mtime_ns)):
            os.utime(file, (1000 + age, 1000 + age))
    run(program(1))  # used just now
    size = cache.contents().size // 4
    monkeypatch.setattr(limits, "NATIVE_CACHE_BYTES", 3 * size + size // 2)
    monkeypatch.setattr(cache, "_budget", cache._Budget())
    left = directory / "dead.1.partial"
    left.write_bytes(bytes(100))
    os.utime(left, (1, 1))
    run(program(5))
    assert cache.contents().size <= limits.NATIVE_CACHE_BYTES
    assert not left.exists()
    assert len(compiled) == 5
    run(program(1))
    run(program(5))
    assert len(compiled) == 5
    run(program(2))
    assert len(compiled) == 6


def test_clearing_removes_every_entry(directory: Path, compiled: list[str]) -> None:
    for number in range(3):
        run(program(number))
    assert cache.clear() == 3
    assert cache.contents() == cache.Contents(directory, 0, 0)
    assert run(program(1)) == 5


def test_what_is_in_the_cache_does_not_stand_in_for_verification(directory: Path) -> None:
    run(program())
    unverified = Program.from_assembly("r0 = *(u64 *)(r1 + 0)\nr0 *= 3\nexit", hooks.raw_memory(8))
    with pytest.raises(TypeError):
        jit.compile_native(unverified)  # type: ignore[arg-type]
    shutil.rmtree(directory)
