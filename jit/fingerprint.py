"""What compiled hot code depends on: the sources of all modules that a hot module reaches, and the constants frozen in.

numba alone looks at the file of the function that it compiles; here an edit of any callee, and of any constant wherever
it was imported from, gives another name.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from jit.hot import imports_of


def constants_of(module: ModuleType) -> set[tuple[str, str, str]]:
    """Return (module, name, value) of all constants frozen into that code, wherever they were imported from."""
    found = {
        (module.__name__, name, repr(value))
        for name, value in vars(module).items()
        if not name.startswith("__") and isinstance(value, int | str | tuple)
    }
    for imported in imports_of(module):
        found |= constants_of(imported)
    return found


def sources_of(module: ModuleType) -> set[Path]:
    """Return the files of `module` and of every module whose hot functions it reaches."""
    assert module.__file__ is not None
    sources = {Path(module.__file__)}
    for imported in imports_of(module):
        sources |= sources_of(imported)
    return sources
