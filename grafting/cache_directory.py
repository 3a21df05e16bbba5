"""The user's cache directory: `$XDG_CACHE_HOME/grafting`, else `~/.cache/grafting` (XDG Base Directory Specification).

What is kept there must be written by this user alone: it is made private (mode 0700), and is not used if another user
owns it, may write to it, or if it is a link. Without it nothing is cached, and all works as well, only slower.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path


def cache_directory(part: str = "") -> Path | None:
    """Return the cache directory, or a directory in it, made if need be; None if it cannot be had or trusted."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):  # the specification has relative paths ignored
        base = os.path.join(os.path.expanduser("~"), ".cache")
    directory = Path(base) / "grafting"
    try:
        for path in (directory, directory / part):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not is_private(path):
                return None
    except OSError:
        return None
    return directory / part


def is_private(path: Path) -> bool:
    """Return whether only this user can have written a file or directory. Raises OSError if it is not there."""
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        return False
    if not hasattr(os, "getuid"):  # Windows: the profile directory is private by its access list
        return True
    return found.st_uid == os.getuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
