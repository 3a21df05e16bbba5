"""Replacing a file as a whole: whatever step a crash comes at, the path names the old content or the new one.

    1  create and write  PATH.new       an unfinished one is never looked at; the next save removes it
    2  fsync             PATH.new       its content is on the disk before its name can be
    3  rename            onto PATH      "atomically replaced ... no point at which another process will find it missing"
                                        (rename(2))
    4  fsync             the directory  the new name is on the disk when the caller goes on

Without step 2 some file systems order the rename before the data (Pillai et al., *All File Systems Are Not Created
Equal*, OSDI 2014). Two savers of one path are the caller's to keep apart.
"""

from __future__ import annotations

import os
from pathlib import Path

CHUNK = 1 << 20  # bytes of one write(2)
PRIVATE = 0o600  # an application's data are its user's


def replace(path: Path, data: bytes) -> None:
    """Make `data` the content of `path`. Raises OSError; then the old content is still there."""
    unfinished = path.with_name(path.name + ".new")
    unfinished.unlink(missing_ok=True)
    file = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(file, view[:CHUNK]) :]
        os.fsync(file)
    finally:
        os.close(file)
    os.rename(unfinished, path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def read(path: Path, limit: int) -> bytes:
    """Return the content of `path`, at most `limit` + 1 bytes of it. Raises OSError."""
    with path.open("rb") as file:
        return file.read(limit + 1)
