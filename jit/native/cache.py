"""Native code on disk, so that a graft is compiled once on a machine.

An entry is run without any check, so it must be ours: its name is a digest of everything that the code depends on, and
it begins with an HMAC (RFC 2104, SHA-256) of name and code under a key that only this user can read (mode 0600, in a
directory of mode 0700, see `grafting.cache_directory`). What does not fit is compiled anew and overwritten: a truncated
or foreign entry costs time, nothing else. The cache never stands in for verification: only a `Verified` is looked up.

Entries are written under another name and renamed, so that a reader sees all of one or none. Beyond
`limits.NATIVE_CACHE_BYTES` those go that were not used for longest; whoever writes looks at that only after having
written a sixteenth of the limit, so that the time to keep an entry does not grow with their number.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from grafting import limits
from grafting.cache_directory import cache_directory, is_private

_KEY_BYTES: Final = 32
_MAC_BYTES: Final = 32
_SUFFIX: Final = ".native"
_PARTIAL: Final = ".partial"
_SHARE: Final = 16  # of the limit is written before it is looked at again


@dataclass(frozen=True, slots=True)
class Contents:
    """What is in the cache: entries and their bytes, and where; None if there is no place for one."""

    directory: Path | None
    entries: int
    size: int


class _Budget:
    """How many bytes may be written before the size of the whole is looked at."""

    def __init__(self) -> None:
        self.left = 0  # so a process begins by looking

    def spend(self, directory: Path, size: int) -> None:
        """Take account of an entry of `size` bytes. Raises OSError."""
        self.left -= size
        if self.left < 0:
            _shrink(directory)
            self.left = limits.NATIVE_CACHE_BYTES // _SHARE


_budget = _Budget()


def find(name: str) -> bytes | None:
    """Return the code under a name; None if there is none, or none that this user has put there."""
    directory = _directory()
    if directory is None:
        return None
    file = directory / f"{name}{_SUFFIX}"
    try:
        if not is_private(file):
            return None
        data, key = file.read_bytes(), _key(directory)
        code = data[_MAC_BYTES:]
        if key is None or not hmac.compare_digest(data[:_MAC_BYTES], _mac(key, name, code)):
            return None
    except OSError:
        return None
    try:
        os.utime(file)  # used
    except OSError:  # read-only: then nothing is dropped either
        return code
    return code


def keep(name: str, code: bytes) -> None:
    """Put code under a name, whole or not at all. Where that is impossible nothing is kept, and nothing is said."""
    directory = _directory()
    if directory is None:
        return
    partial = directory / f"{name}.{os.getpid()}.{secrets.token_hex(4)}{_PARTIAL}"
    try:
        key = _key(directory)
        if key is None:
            return
        _write(partial, _mac(key, name, code) + code)
        partial.replace(directory / f"{name}{_SUFFIX}")
        _budget.spend(directory, _MAC_BYTES + len(code))
    except OSError:  # full, read-only
        _remove(partial)


def contents() -> Contents:
    """Return what is in the cache."""
    directory = _directory()
    sizes = [size for _, size, _ in _entries(directory)] if directory else []
    return Contents(directory, len(sizes), sum(sizes))


def clear() -> int:
    """Remove all entries; returns how many there were. Raises OSError if one cannot be removed."""
    directory = _directory()
    found = [file for _, _, file in _entries(directory)] if directory else []
    for file in found:
        file.unlink(missing_ok=True)
    return len(found)


def _directory() -> Path | None:
    """Return the directory of the entries, which no other user can enter; None if there is none to be had."""
    directory = cache_directory("native")
    if directory is None:
        return None
    try:
        if directory.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            directory.chmod(0o700)
    except OSError:
        return None
    return directory


def _entries(directory: Path) -> Iterator[tuple[int, int, Path]]:
    """Yield when each entry was last used (ns), its bytes, and its file; also what a process that died has left."""
    with os.scandir(directory) as files:
        for file in files:
            if file.name.endswith((_SUFFIX, _PARTIAL)):
                try:
                    found = file.stat(follow_symlinks=False)
                except FileNotFoundError:  # another process was quicker
                    continue
                yield found.st_mtime_ns, found.st_size, Path(file.path)


def _shrink(directory: Path) -> None:
    """Remove the entries that were not used for longest, until the rest is within the limit."""
    entries = sorted(_entries(directory))
    size = sum(bytes_ for _, bytes_, _ in entries)
    for _, bytes_, file in entries:
        if size <= limits.NATIVE_CACHE_BYTES:
            break
        file.unlink(missing_ok=True)
        size -= bytes_


def _write(file: Path, data: bytes) -> None:
    """Write a new file that only this user can read. Raises OSError."""
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as output:
        output.write(data)


def _remove(file: Path) -> None:
    try:
        file.unlink(missing_ok=True)
    except OSError:  # the directory became read-only meanwhile
        return


def _mac(key: bytes, name: str, code: bytes) -> bytes:
    return hmac.digest(key, name.encode() + b"\0" + code, hashlib.sha256)


def _key(directory: Path) -> bytes | None:
    """Return this user's key, made when there is none; None if the file is not private or not a key. Raises OSError."""
    file = directory / "key"
    try:
        found = file.lstat()
    except FileNotFoundError:
        _make_key(file)
        found = file.lstat()
    if not is_private(file) or found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return None
    key = file.read_bytes()
    return key if len(key) == _KEY_BYTES else None


def _make_key(file: Path) -> None:
    """Make a key, whole or not at all, unless another process does so first. Raises OSError."""
    made = file.with_name(f"key.{os.getpid()}.{secrets.token_hex(4)}{_PARTIAL}")
    try:
        _write(made, secrets.token_bytes(_KEY_BYTES))
        os.link(made, file)
    except FileExistsError:
        pass
    finally:
        _remove(made)
