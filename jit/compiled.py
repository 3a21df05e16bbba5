"""The numba tier: rebuilds hot modules over compiled functions, with a disk cache that cannot go stale.

Imported by `jit.hot.tier` alone, so that nobody pays for numba who does not use it.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any

import llvmlite
import numba
import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features, get_host_cpu_name
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from grafting import limits
from grafting.cache_directory import cache_directory
from jit import hot, rows
from jit.fingerprint import constants_of, sources_of
from jit.hot import Word, functions_of, imports_of, mark_of

# --- primitives: the machine forms of `jit.words` ---------------------------------------------------------------------


def _conversion(target: Any) -> Any:
    @intrinsic  # type: ignore[untyped-decorator]
    def convert(typing_context: Any, value: Any) -> Any:
        return target(target), lambda context, builder, signature, args: args[0]

    return convert


def _start(context: Any, builder: Any, array_type: Any, array: Any) -> Any:
    """Return the address of an array, numba's own or a table (`jit.rows`)."""
    if isinstance(array_type, rows.TableType):
        return rows.start_of(builder, array)
    return context.make_array(array_type)(context, builder, array).data


def _address(context: Any, builder: Any, array_type: Any, array: Any, offset: Any, bits: int) -> Any:
    data = _start(context, builder, array_type, array)
    return builder.bitcast(builder.gep(data, [offset]), ir.IntType(bits).as_pointer())


def _tag(builder: Any, instruction: Any, array_type: Any) -> None:
    if isinstance(array_type, rows.TableType):
        rows.tag(builder, instruction, array_type.title)


@intrinsic  # type: ignore[untyped-decorator]
def _bit_length(typing_context: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word = ir.IntType(64)
        return builder.sub(word(64), builder.ctlz(args[0], ir.IntType(1)(0)))

    return types.int64(types.int64), generate


def _load(bits: int) -> Any:
    @intrinsic  # type: ignore[untyped-decorator]
    def load(typing_context: Any, arena: Any, offset: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            pointer = _address(context, builder, signature.args[0], args[0], args[1], bits)
            value = builder.load(pointer, align=1)
            _tag(builder, value, signature.args[0])
            return value if bits == 64 else builder.zext(value, ir.IntType(64))

        return types.uint64(arena, types.intp), generate

    return load


def _store(bits: int) -> Any:
    @intrinsic  # type: ignore[untyped-decorator]
    def store(typing_context: Any, arena: Any, offset: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            pointer = _address(context, builder, signature.args[0], args[0], args[1], bits)
            value = args[2] if bits == 64 else builder.trunc(args[2], ir.IntType(bits))
            _tag(builder, builder.store(value, pointer, align=1), signature.args[0])
            return context.get_dummy_value()

        return types.void(arena, types.intp, types.uint64), generate

    return store


@intrinsic  # type: ignore[untyped-decorator]
def _move_bytes(typing_context: Any, arena: Any, target: Any, source: Any, length: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        to = _address(context, builder, signature.args[0], args[0], args[1], 8)
        from_ = _address(context, builder, signature.args[0], args[0], args[2], 8)
        cgutils.raw_memmove(builder, to, from_, args[3], 1)
        return context.get_dummy_value()

    return types.void(arena, types.intp, types.intp, types.intp), generate


@intrinsic  # type: ignore[untyped-decorator]
def _fill_bytes(typing_context: Any, arena: Any, target: Any, value: Any, length: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        to = _address(context, builder, signature.args[0], args[0], args[1], 8)
        cgutils.memset(builder, to, args[3], builder.trunc(args[2], ir.IntType(8)))
        return context.get_dummy_value()

    return types.void(arena, types.intp, types.uint64, types.intp), generate


@intrinsic  # type: ignore[untyped-decorator]
def _call_native(
    typing_context: Any, address: Any, arena: Any, registers: Any, frames: Any, control: Any, counts: Any,
    context_at: Any, body_at: Any, stack_at: Any, state_at: Any,
) -> Any:  # fmt: skip
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = ir.IntType(8).as_pointer()
        kinds = signature.args
        windows = [_address(context, builder, kinds[1], args[1], offset, 8) for offset in args[6:]]
        tables = [_start(context, builder, kinds[n], args[n]) for n in range(2, 6)]
        type_ = ir.FunctionType(ir.IntType(64), [pointer] * 8)
        function = builder.inttoptr(args[0], type_.as_pointer())
        return builder.call(function, [*windows, *(builder.bitcast(table, pointer) for table in tables)])

    offsets = [types.intp] * 4
    return types.int64(types.int64, arena, registers, frames, control, counts, *offsets), generate


def _fetch(code: Any, pc: Any) -> Any:
    row = code[np.uint64(pc)]
    return row["imm"], row["offset"], row["touch"], row["op"], row["dst"], row["src"], row["shift"]


def _open_registers(registers: Any) -> Any:
    return registers


def _close_registers(registers: Any, opened: Any) -> None:
    pass


_OPTIONS: dict[str, Any] = {"_nrt": False, "nogil": True, "error_model": "numpy", "boundscheck": False}
_INLINED: dict[str, Any] = {**_OPTIONS, "forceinline": True}


def primitives(inlined: Callable[[Any], Any]) -> dict[str, Any]:
    """Return the machine forms of all primitives. `inlined` compiles one that is Python, to be merged into callers."""
    return {
        "u64": _conversion(types.uint64),
        "i64": _conversion(types.int64),
        "bit_length": _bit_length,
        **{f"load{bits}": _load(bits) for bits in (8, 16, 32, 64)},
        **{f"store{bits}": _store(bits) for bits in (8, 16, 32, 64)},
        "move_bytes": _move_bytes,
        "fill_bytes": _fill_bytes,
        "call_native": _call_native,
        "fetch": inlined(_fetch),
        "open_registers": inlined(_open_registers),
        "refresh_registers": inlined(_close_registers),
        "close_registers": inlined(_close_registers),
    }


@functools.cache
def _primitives() -> dict[str, Any]:
    return primitives(numba.njit(**_INLINED))


# --- rebuilding a module ----------------------------------------------------------------------------------------------


def namespace_of(
    module: ModuleType, built: Mapping[str, Mapping[str, Any]], machine_forms: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the globals of a hot module for its compiled functions: constants as machine words, functions as in
    `built` (by module), primitives as in `machine_forms`. Its own functions are the caller's to add."""
    namespace: dict[str, Any] = {}
    for name, value in vars(module).items():
        if isinstance(value, Word):
            namespace[name] = np.uint64(value)
        elif type(value) is int:
            namespace[name] = np.int64(value)  # an int would be a literal type, and callees compiled for each value
        elif mark_of(value) == "primitive":
            namespace[name] = machine_forms[value.__name__]
        elif mark_of(value) and value.__module__ != module.__name__:
            namespace[name] = built[value.__module__][value.__name__]
        else:
            namespace[name] = value
    return namespace


def rebuilt(function: FunctionType, namespace: dict[str, Any]) -> FunctionType:
    """Return a hot function over other globals."""
    return FunctionType(function.__code__, namespace, function.__name__, function.__defaults__, function.__closure__)


@functools.cache
def build(module: ModuleType) -> SimpleNamespace:
    """Return the compiled hot functions of `module`, those that it imports being built first."""
    built = {imported.__name__: vars(build(imported)) for imported in imports_of(module)}
    namespace = namespace_of(module, built, _primitives())
    compiled = {}
    with _cache_of(module) as cached:
        for name, function in functions_of(module).items():
            options = _INLINED if mark_of(function) == "inlined" else _OPTIONS
            compiled[name] = numba.njit(cache=cached, **options)(rebuilt(function, namespace))
    namespace.update(compiled)
    return SimpleNamespace(**compiled)


# --- the cache on disk ------------------------------------------------------------------------------------------------


@contextmanager
def _cache_of(module: ModuleType) -> Iterator[bool]:
    """Let functions decorated meanwhile be cached in the directory of `module`; yields whether they can be."""
    directory = cache_directory(f"hot-{_fingerprint(module)}")
    if directory is None or not _usable(directory):
        yield False
        return
    before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(directory)
    try:
        yield True
    finally:
        numba.config.CACHE_DIR = before


def _usable(directory: Path) -> bool:
    """Whether numba can write there and the disk is not nearly full; if so the directory counts as used today."""
    try:
        if not os.access(directory, os.W_OK | os.X_OK):
            return False
        if shutil.disk_usage(directory).free < limits.CACHE_FREE_BYTES:
            return False
        os.utime(directory)
        _forget_unused(directory.parent)
    except OSError:
        return False
    return True


def _forget_unused(root: Path) -> None:
    """Remove the directories that no process has used for `CACHE_DAYS`: leftovers of earlier versions."""
    oldest = time.time() - limits.CACHE_DAYS * 86_400
    for directory in root.glob("hot-*"):
        if directory.stat().st_mtime < oldest:
            shutil.rmtree(directory, ignore_errors=True)


def _fingerprint(module: ModuleType) -> str:
    digest = hashlib.sha256()
    for source in (Path(__file__), Path(hot.__file__), *sorted(sources_of(module))):
        digest.update(source.read_bytes())
        digest.update(b"\0")
    digest.update(repr(sorted(constants_of(module))).encode())
    for version in (
        platform.python_version(), numba.__version__, llvmlite.__version__, np.__version__,
        get_host_cpu_name(), get_host_cpu_features().flatten(),
    ):  # fmt: skip
        digest.update(f"{version}\0".encode())
    return digest.hexdigest()[:32]
