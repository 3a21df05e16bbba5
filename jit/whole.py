"""Whole-program compilation: hot functions and all that they reach as one object of machine code.

numba's own way, a library for each function, links the code of all callees into each caller and optimises it there
again, which for a deep call graph is most of the time that compiling takes; and no function of a library may be changed
to suit its only caller. Here each function is translated once (`jit.translate`: numba finds the types and writes LLVM's
IR), all into one module of which only the entry points are visible from outside. Then LLVM optimises the whole once, as
it would a program in C: it sees every call, drops error paths that cannot be taken, inlines what is small or is called
from one place, except what is marked `rare`: that is put where it takes no room among what is hot.

    program = compiled(simulate, "k", sample, {"advance": 2, "settle": 1})
    program.advance(tables, until, max_events)

`tables` is a named tuple like `sample`; all other arguments are int64 (`advance` has two). An entry point returns None,
an int or a tuple of ints, and raises nothing. The object is kept in the cache of native code under a digest of all
that made it, so a process that finds it there loads no numba and is ready in some ten milliseconds.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.metadata
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from jit.fingerprint import constants_of, reached, sources_of
from jit.hot import functions_of, mark_of
from jit.native import cache, llvm

MOST_RESULTS = 8
_PACKAGE = Path(__file__).parent
_MAKERS = (
    "compiled.py",
    "convention.py",
    "fingerprint.py",
    "rows.py",
    "translate.py",
    "whole.py",
    "hot.py",
    "native/llvm.py",
)


class Block:
    """The addresses of all arrays of a named tuple, in order; it does not keep them alive, nor notice a new one."""

    __slots__ = ("address", "pairs")

    def __init__(self, tables: Any) -> None:
        pairs = [(array.__array_interface__["data"][0], len(array)) for array in arrays_of(tables)]
        self.pairs = np.array(pairs, np.int64)
        self.address = self.pairs.ctypes.data


def arrays_of(tables: Any) -> list[Any]:
    """Return the arrays of a named tuple in order, those of tuples within it included."""
    flat: list[Any] = []
    for member in tables:
        flat += arrays_of(member) if isinstance(member, tuple) else [member]
    return flat


def compiled(module: ModuleType, name: str, sample: Any, entries: Mapping[str, int]) -> SimpleNamespace:
    """Return the functions `entries` (name -> number of arguments behind the tables) of a hot module, compiled.

    `sample` is a named tuple of the arrays' types and shapes; its contents do not matter. `name` is for messages.
    """
    found = _digest(module, sample, entries)
    code = cache.find(found)
    if code is None:
        from jit import translate

        code = llvm.emit_program(translate.program(module, name, sample, entries), tuple(entries), _rare(module))
        cache.keep(found, code)
    library = llvm.load(code, tuple(entries))
    return SimpleNamespace(**{entry: _callable(library, entry, arguments) for entry, arguments in entries.items()})


def _rare(module: ModuleType) -> tuple[str, ...]:
    """Return how the names of all rare functions begin: mangled like those of C++, word by word."""
    paths = [
        [*one.__name__.split("."), name]
        for one in reached(module)
        for name, function in functions_of(one).items()
        if mark_of(function) == "rare"
    ]
    return tuple(f"_ZN{''.join(f'{len(part)}{part}' for part in path)}B" for path in paths)


def _callable(library: llvm.Library, entry: str, arguments: int) -> Callable[..., Any]:
    """Return an entry point as a function of tables and ints. It keeps the code in memory."""
    word, pointer = ctypes.c_int64, ctypes.c_void_p
    function = ctypes.CFUNCTYPE(word, pointer, *[word] * arguments, pointer)(library.addresses[entry])
    function.library = library  # type: ignore[attr-defined]

    def call(tables: Any, *rest: int) -> Any:
        results = (word * MOST_RESULTS)()
        block = Block(tables)
        count = function(block.address, *rest, results)
        return None if count == 0 else results[0] if count == 1 else tuple(results[:count])

    return call


def _digest(module: ModuleType, sample: Any, entries: Mapping[str, int]) -> str:
    """Return a digest of all that the code depends on."""
    digest = hashlib.sha256(f"{llvm.version()} {llvm.host()} {entries}\n".encode())
    digest.update(f"{importlib.metadata.version('numba')} {np.__version__} {sys.version}\n".encode())
    for source in sorted({*sources_of(module), *(_PACKAGE / name for name in _MAKERS)}):
        digest.update(source.read_bytes())
    digest.update(repr(sorted(constants_of(module))).encode())
    for name, array in _named(sample):
        digest.update(f"{name} {array.dtype.descr} {array.shape[1:]}\n".encode())
    return digest.hexdigest()


def _named(tables: Any) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, member in zip(tables._fields, tables, strict=True):
        found += _named(member) if isinstance(member, tuple) else [(name, member)]
    return found
