"""Compiled objects, kept in the user's cache directory, so that an unchanged source is not compiled again.

Compiling takes little time; importing the parser and LLVM takes most of that of a short command. An entry is named by a
digest of everything that the object depends on: the source text, its file name (which line info holds), the target, the
compiler and LLVM's binding (size and time of change of their files). An object is untrusted wherever it comes
from: it is read by the same loader and judged by the same verifier, so a damaged entry can only be rejected.
"""

from __future__ import annotations

import hashlib
import os
from importlib.util import find_spec
from pathlib import Path

from grafting import limits
from grafting.cache_directory import cache_directory, is_private
from grafting.diagnostics import GraftError, Source
from grafting.objects import object_file
from grafting.program import Program

_OURS = Path(__file__).parent


def compile_cached(source: Source, *, target: str = "model") -> Program:
    """As `compiler.compile_source`, from the cache if it is there. Raises GraftError."""
    directory = cache_directory("objects")
    file = directory / f"{_key(source, target)}.o" if directory else None
    data = _read(file) if file else None
    if data is not None:
        try:
            return object_file.load(data, source.filename)
        except GraftError:
            pass  # damaged: compiled and written anew below
    from grafting import compiler

    data = compiler.compile_object(source, target=target)
    if file:
        _write(file, data)
    return object_file.load(data, source.filename)


def _key(source: Source, target: str) -> str:
    digest = hashlib.sha256(f"{target} {source.filename!r}\n".encode())
    llvmlite = find_spec("llvmlite")
    theirs = [Path(llvmlite.origin).with_name("_version.py")] if llvmlite and llvmlite.origin else []
    for path in (*theirs, *sorted(_OURS.rglob("*"))):
        if path.suffix in (".py", ".lark"):
            found = path.stat()
            digest.update(f"{path.name} {found.st_size} {found.st_mtime_ns}\n".encode())
    digest.update(source.text.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _read(file: Path) -> bytes | None:
    try:
        return file.read_bytes() if is_private(file) else None
    except OSError:
        return None


def _write(file: Path, data: bytes) -> None:
    """Write an entry so that no reader sees half of it, and drop the oldest ones beyond the limit."""
    partial = file.with_suffix(f".{os.getpid()}")
    try:
        partial.write_bytes(data)
        partial.replace(file)
        entries = sorted(file.parent.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        for old in entries[: -limits.CACHE_OBJECTS]:
            old.unlink(missing_ok=True)
    except OSError:
        partial.unlink(missing_ok=True)  # full or read-only: nothing is cached
