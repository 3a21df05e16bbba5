"""What compiled hot code depends on: the sources of all modules that a hot module reaches, and the constants frozen in.

numba alone looks at the file of the function that it compiles; here an edit of any callee, and of any constant wherever
it was imported from, gives another name.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from jit.hot import imports_of


def reached(module: ModuleType) -> set[ModuleType]:
    """Return `module` and every module whose hot functions it reaches, each looked at once: there are many ways."""
    found = {module}
    fresh = [module]
    while fresh:
        more = set(imports_of(fresh.pop())) - found
        found |= more
        fresh += more
    return found


def constants_of(module: ModuleType) -> set[tuple[str, str, str]]:
    """Return (module, name, value) of all constants frozen into that code, wherever they were imported from."""
    return {
        (one.__name__, name, repr(value))
        for one in reached(module)
        for name, value in vars(one).items()
        if not name.startswith("__") and isinstance(value, int | str | tuple)
    }


def sources_of(module: ModuleType) -> set[Path]:
    """Return the files of those modules."""
    return {Path(str(one.__file__)) for one in reached(module)}
