"""What is kept in the user's cache directory is private, can be damaged without harm, and never stale."""

from __future__ import annotations

from pathlib import Path

import pytest

from grafting import GraftError, build_cache, cache_directory, compiler, limits
from grafting.diagnostics import Source

SOURCE = Source("g.graft", "graft g\nstate n: u64\non timer(id) { n = id }\n")


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "grafting"


def objects(cache: Path) -> list[Path]:
    return sorted((cache / "objects").iterdir())


def test_the_cache_is_where_the_user_s_environment_says(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    assert cache_directory.cache_directory() == cache
    monkeypatch.setenv("HOME", str(cache / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_directory.cache_directory() == cache / "home" / ".cache" / "grafting"


def test_a_directory_that_others_may_write_to_is_not_used(cache: Path) -> None:
    assert cache_directory.cache_directory("part") == cache / "part"
    assert (cache / "part").stat().st_mode & 0o777 == 0o700
    (cache / "part").chmod(0o770)
    assert cache_directory.cache_directory("part") is None


def test_a_link_is_not_used(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    cache.symlink_to(tmp_path / "elsewhere")
    assert cache_directory.cache_directory() is None


def test_a_place_where_nothing_can_be_made_is_not_used(cache: Path) -> None:
    cache.write_text("")
    assert cache_directory.cache_directory() is None
    assert build_cache.compile_cached(SOURCE) == compiler.compile_source(SOURCE)


def test_an_unchanged_source_is_not_compiled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    first = build_cache.compile_cached(SOURCE)
    monkeypatch.setattr(compiler, "compile_object", lambda *_a, **_k: pytest.fail("compiled again"))
    assert build_cache.compile_cached(SOURCE) == first


@pytest.mark.parametrize("other", [Source("g.graft", SOURCE.text + "\n"), Source("h.graft", SOURCE.text)])
def test_another_text_or_name_is_another_entry(other: Source, cache: Path) -> None:
    build_cache.compile_cached(SOURCE)
    build_cache.compile_cached(other)
    assert len(objects(cache)) == 2


@pytest.mark.parametrize("damage", [b"", b"\x7fELF", b"rubbish"])
def test_a_damaged_entry_is_made_anew(damage: bytes, cache: Path) -> None:
    first = build_cache.compile_cached(SOURCE)
    entry = objects(cache)[0]
    good = entry.read_bytes()
    entry.write_bytes(damage)
    assert build_cache.compile_cached(SOURCE) == first
    assert entry.read_bytes() == good


def test_an_entry_that_others_could_have_written_is_made_anew(cache: Path) -> None:
    build_cache.compile_cached(SOURCE)
    entry = objects(cache)[0]
    entry.write_bytes(compiler.compile_object(Source("g.graft", "graft other\non timer(id) { }\n")))
    entry.chmod(0o666)
    assert build_cache.compile_cached(SOURCE).name == "g"


def test_a_mistake_is_reported_and_nothing_kept(cache: Path) -> None:
    with pytest.raises(GraftError):
        build_cache.compile_cached(Source("g.graft", "graft g\non timer(id) { nonsense }\n"))
    assert not objects(cache)


def test_the_oldest_entries_go_first(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setattr(limits, "CACHE_OBJECTS", 2)
    for n in range(4):
        build_cache.compile_cached(Source(f"g{n}.graft", SOURCE.text))
    assert len(objects(cache)) == 2
