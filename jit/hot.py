"""One source, two tiers: plain Python to read and to trust, numba to be fast.

A function marked `@hot` is ordinary Python. `tier("python", module)` gives the functions of a module as they are;
`tier("numba", module)` gives them rebuilt over a copy of the module's globals in which

- every hot function, also one imported from another module, is replaced by its compiled form,
- every `@primitive` (`u64`, `load64`, ...) is replaced by its machine-code implementation,
- every `constant(n)` is replaced by `numpy.uint64(n)`, every other integer of the module by `numpy.int64(n)`.

So both tiers run the same statements, and a test that runs both on the same input compares Python's unbounded integers
with machine words. numba is imported when the first module is compiled, never before.

How to add a module:

    from jit.hot import constant, hot                          # by name: `words.u64` would not be replaced
    from jit.words import i64, load64, u64

    SEVEN: Final = constant(7)                                  # an unsigned word; plain `7` is a signed one
    ROWS: Final = 16                                            # used with int64 values: a plain constant

    @hot
    def sum_row(tables: Tables, row: int) -> int:               # Tables: a NamedTuple of numpy arrays
        record = tables.proc[row]                               # a view in both tiers
        record["hops"] += 1
        return record["hops"] + ROWS

    functions = tier("numba", module); functions.sum_row(tables, 3)

Rules, each because numba 0.68 was seen to do otherwise than Python: an unsigned word meets only unsigned words (`x +
1` with x unsigned is *signed*: write `x + u64(1)` or a `constant`), and a result that may wrap is masked (`& MASK64`,
or `u64(..)`), since Python's does not; values of int64 columns must not overflow; shift amounts are below 64; a
variable keeps one type; a literal as argument compiles the callee once for each value (pass a module constant or a
variable); no `/`, no `min(unsigned, literal)`; in Python a scalar read from a numpy array must pass through
`u64(..)`, `i64(..)` or `int(..)` before it is computed with unsigned.

Compiled code is cached on disk, per module, in a directory named by a hash of the sources of that module and of all
that it reaches, of this package's implementation of the primitives, and of the versions of Python, numba, llvmlite and
CPU. An edit anywhere changes the name, so a stale entry cannot be found (numba alone looks at one file only). Where no
private directory can be had the code is compiled anew in each process.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any, Literal, TypeVar

F = TypeVar("F", bound=Callable[..., Any])
TierName = Literal["python", "numba"]

MASK = (1 << 64) - 1
_COMPILED = ("function", "inlined", "rare")  # marks of functions that have a compiled form


class Word(int):
    """An unsigned 64-bit constant of a hot module; `constant` makes it."""

    __slots__ = ()


def constant(value: int) -> Word:
    """Return `value` as a module-level unsigned word; hot functions compute with it as with any other."""
    if not 0 <= value <= MASK:
        raise ValueError(f"{value} is not an unsigned 64-bit word")
    return Word(value)


def hot(function: F) -> F:
    """Mark a function to be compiled by the numba tier. It must stand at the top level of its module."""
    function.__hot__ = "function"  # type: ignore[attr-defined]
    return function


def inlined(function: F) -> F:
    """Mark a hot function that is to be merged into its callers: a few statements on a path that counts."""
    function.__hot__ = "inlined"  # type: ignore[attr-defined]
    return function


def rare(function: F) -> F:
    """Mark a hot function that most runs never reach: it is kept out of its callers, whose code stays together."""
    function.__hot__ = "rare"  # type: ignore[attr-defined]
    return function


def primitive(function: F) -> F:
    """Mark a function whose fast form is written in `jit.compiled`, under the same name."""
    function.__hot__ = "primitive"  # type: ignore[attr-defined]
    return function


def mark_of(value: object) -> str | None:
    """Return "function", "inlined", "rare" or "primitive" for a marked function, else None."""
    return getattr(value, "__hot__", None) if isinstance(value, FunctionType) else None


def functions_of(module: ModuleType) -> dict[str, FunctionType]:
    """Return the hot functions that `module` defines, by name."""
    return {
        name: value
        for name, value in vars(module).items()
        if mark_of(value) in _COMPILED and value.__module__ == module.__name__
    }


def imports_of(module: ModuleType) -> tuple[ModuleType, ...]:
    """Return the modules from which `module` imports hot functions, in order of name."""
    names = {value.__module__ for value in vars(module).values() if mark_of(value) in _COMPILED}
    return tuple(sys.modules[name] for name in sorted(names - {module.__name__}))


@functools.cache
def tier(name: TierName, module: ModuleType) -> SimpleNamespace:
    """Return the hot functions of `module` as the attributes of a namespace, in tier "python" or "numba".

    The numba tier compiles a function when it is first called with new argument types.
    """
    if name == "python":
        return SimpleNamespace(**functions_of(module))
    from jit import compiled

    return compiled.build(module)
