"""`Tables` as compiled code sees them: one pointer.

A named tuple of 26 arrays is passed to compiled functions by value, member by member: 250 arguments in every call,
which makes compiling six times as slow and calls slower too. So the numba tier gets a `Packed` instead: a block of
(address, rows) pairs, one for each table, and a type whose attributes are read from it. `k.process[p]` compiles to
two loads. Nothing else changes: the functions are the same, and in plain Python `k` is the named tuple itself.

A `Packed` does not keep the arrays alive and is out of date as soon as one is replaced: make it anew for every call
from outside (`pack`), as `kernel.Kernel` does.

Importing this module imports numba.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from types import FunctionType, SimpleNamespace
from typing import Any

import numba
import numpy as np
from llvmlite import binding, ir
from numba.core import cgutils, types
from numba.core.extending import NativeValue, intrinsic, models, register_model, typeof_impl, unbox
from numba.core.imputils import lower_getattr
from numba.core.typing.templates import AttributeTemplate, infer_getattr

from jit.hot import tier
from kernel_model.core import simulate
from kernel_model.core.apart import functions_apart, modules_of
from kernel_model.core.storage import Storage
from kernel_model.core.tables import Tables

PACKAGE = "kernel_model.core."
ENTRY_POINTS = ("advance", "settle", "ahead", "start", "command")


class Packed:
    """The addresses of all arrays of a `Tables`, in order, those of the machine last."""

    __slots__ = ("address", "pairs")

    def __init__(self, tables: Tables) -> None:
        arrays = [*tables[:-1], *tables.machine]
        self.pairs = np.array([(array.ctypes.data, len(array)) for array in arrays], np.int64)
        self.address = self.pairs.ctypes.data


@functools.cache
def layout() -> dict[str, tuple[int, Any]]:
    """Return (position, numba type) of each table by name; `machine` is a tuple that begins at its position."""
    sample = Storage(trace=False).tables
    assert Tables._fields[-1] == "machine"
    return {name: (i, numba.typeof(getattr(sample, name))) for i, name in enumerate(Tables._fields)}


@functools.cache
def _columns(position: int) -> tuple[int, ...]:
    return tuple(Storage(trace=False).tables[position].shape[1:])


def _fingerprint() -> str:
    """Return a digest of all that this file compiles into code: cached code of another layout must not be found."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for name, (position, type_) in layout().items():
        digest.update(f"{name} {type_} {_columns(position) if name != 'machine' else ''};".encode())
    return digest.hexdigest()[:16]


class TablesType(types.Type):
    """The numba type of a `Packed`; its name, by which cached code is found, stands for the layout of all tables."""

    def __init__(self) -> None:
        super().__init__(name=f"grafting.Tables.{_fingerprint()}")


TABLES = TablesType()
register_model(TablesType)(models.OpaqueModel)


@typeof_impl.register(Packed)  # type: ignore[untyped-decorator]
def _typeof(value: Packed, context: Any) -> TablesType:
    return TABLES


@unbox(TablesType)  # type: ignore[untyped-decorator]
def _unbox(type_: Any, value: Any, c: Any) -> NativeValue:
    address = c.pyapi.object_getattr_string(value, "address")
    word = c.pyapi.long_as_longlong(address)
    c.pyapi.decref(address)
    return NativeValue(
        c.builder.inttoptr(word, ir.IntType(8).as_pointer()),
        is_error=cgutils.is_not_null(c.builder, c.pyapi.err_occurred()),
    )


@infer_getattr
class _Attributes(AttributeTemplate):  # type: ignore[misc]
    key = TablesType

    def generic_resolve(self, type_: Any, name: str) -> Any:
        return layout()[name][1] if name in layout() else None


@lower_getattr(TablesType, "machine")  # type: ignore[untyped-decorator]
def _get_machine(context: Any, builder: Any, type_: Any, value: Any) -> Any:
    position, tuple_type = layout()["machine"]
    members = [
        _array(context, builder, value, position + i, array_type) for i, array_type in enumerate(tuple_type.types)
    ]
    return context.make_tuple(builder, tuple_type, members)


def _getter(position: int, array_type: Any) -> Any:
    def get(context: Any, builder: Any, type_: Any, value: Any) -> Any:
        return _array(context, builder, value, position, array_type)

    return get


def _array(context: Any, builder: Any, value: Any, position: int, array_type: Any) -> Any:
    """Return the array at a position of the block; all dimensions but the first have the sample's length."""
    word = ir.IntType(64)
    block = builder.bitcast(value, word.as_pointer())
    pointer = builder.load(builder.gep(block, [ir.Constant(word, 2 * position)]))
    rows = builder.load(builder.gep(block, [ir.Constant(word, 2 * position + 1)]))
    array = context.make_array(array_type)(context, builder)
    itemsize = context.get_abi_sizeof(context.get_data_type(array_type.dtype))
    columns = _columns(position) if array_type.ndim == 2 else ()
    shape = [rows, *(ir.Constant(word, n) for n in columns)]
    strides = [
        ir.Constant(word, itemsize * int(np.prod(columns, dtype=np.int64))),
        *(ir.Constant(word, itemsize) for _ in columns),
    ]
    data = builder.inttoptr(pointer, context.get_data_type(array_type.dtype).as_pointer())
    numba.np.arrayobj.populate_array(
        array, data=data, shape=shape, strides=strides, itemsize=ir.Constant(word, itemsize), meminfo=None
    )
    return array._getvalue()


for _name, (_position, _type) in layout().items():
    if _name != "machine":
        lower_getattr(TablesType, _name)(_getter(_position, _type))


# --- functions that are compiled apart --------------------------------------------------------------------------------


@functools.cache
def functions() -> SimpleNamespace:
    """Return the compiled functions that `kernel.Kernel` calls; each takes the named tuple, like those of plain Python.

    Whatever is loaded from the cache names its callees apart by symbol, so those come first.
    """
    compiled = {module.__name__: tier("numba", module) for module in modules_of(simulate)}
    for name, module in compiled.items():
        if name.startswith(PACKAGE):
            _forgo_wrappers(module)
    for function in functions_apart(simulate):
        stand_in = _set_apart(getattr(compiled[function.__module__], function.__name__), function)
        for module in compiled.values():
            namespace = next(iter(vars(module).values())).py_func.__globals__
            if function.__name__ in namespace:
                namespace[function.__name__] = stand_in

    def packed(name: str) -> Any:
        entry = getattr(compiled[simulate.__name__], name)
        return lambda tables, *rest: entry(Packed(tables), *rest)

    return SimpleNamespace(**{name: packed(name) for name in ENTRY_POINTS})


def _forgo_wrappers(module: SimpleNamespace) -> None:
    """Compile only what compiled code calls: a way in from Python, a fifth of the work, is for the entry points."""
    for name, function in vars(module).items():
        if name not in ENTRY_POINTS:
            function.targetoptions["no_cpython_wrapper"] = True
        function.targetoptions["no_cfunc_wrapper"] = True


def _set_apart(compiled: Any, function: FunctionType) -> Any:
    """Compile a function for (tables, int64 ...) and return a stand-in that calls it by its symbol."""
    arguments = function.__code__.co_argcount - 1
    expected = (TABLES, *[types.int64] * arguments)
    compiled.compile(expected)
    result = compiled.overloads[expected]
    symbol = f"grafting.{function.__module__}.{function.__name__}"
    binding.add_symbol(symbol, result.library.get_pointer_to_function(result.fndesc.llvm_func_name))
    returned = result.signature.return_type

    def call() -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            convention = context.call_conv
            type_ = convention.get_function_type(returned, signature.args)
            declared = cgutils.get_or_insert_function(builder.module, type_, symbol)
            status, value = convention.call_function(builder, declared, returned, signature.args, values)
            with cgutils.if_unlikely(builder, status.is_error):
                convention.return_status_propagate(builder, status)
            return value

        return returned(*expected), generate

    by_arity: tuple[Callable[..., Any], ...] = (
        lambda _context, k: call(),
        lambda _context, k, a: call(),
        lambda _context, k, a, b: call(),
        lambda _context, k, a, b, c: call(),
        lambda _context, k, a, b, c, d: call(),
    )
    return intrinsic(by_arity[arguments])
