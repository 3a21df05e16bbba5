"""Tables as whole-program code sees them: a pointer to a block of addresses, and rows that are pointers.

Hot functions take their state as a named tuple of numpy arrays and read it as `k.process[p]["state"]`. numba's own form
of that, arrays passed by value, costs at every access a test for a negative index, which Python defines and hot code
never uses, and loads of the array's address, which must be made again after every store, since the store might have
changed it. Here instead (`jit.whole` compiles with these types):

    k                 the address of a block of pairs (address, rows), one for each array
    k.process         the address of its pair
    k.process[p]      address + p x size of a row; p >= 0 is the caller's promise. The address is one load, marked
                      invariant: no array moves while compiled code runs, so it is made once
    row["state"]      one load, with a type (TBAA) of its own for each field of each table: a store to another field, or
                      to another table, cannot have changed it, so values stay in registers

The last is sound because tables do not overlap (each is an array of its own) and a field is reached by its name alone.
Bytes (`load64(arena, at)`, `jit.words`) are one such field. Code that is called by address (`call_native`) is opaque
to the compiler, which assumes that it changes everything. A named tuple within a named tuple (`k.machine`) is the part
of the block where its arrays stand; it comes last.

Importing this module imports numba.
"""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Mapping
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.extending import models, register_model
from numba.core.imputils import lower_builtin, lower_getattr, lower_getattr_generic
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, infer, infer_getattr, infer_global
from numba.core.typing.templates import signature as typed
from numba.np.numpy_support import from_dtype

from jit.whole import arrays_of

_WORD = ir.IntType(64)
_BYTE = ir.IntType(8)
_PAIR = 16  # bytes of (address, rows)


# --- types ------------------------------------------------------------------------------------------------------------


def _short(tables: Any) -> str:
    """Return a short name of a layout: numba tells types apart by their names, and names of functions hold them."""
    layout = repr([(array.dtype.descr, array.shape[1:]) for array in arrays_of(tables)])
    return hashlib.sha256(layout.encode()).hexdigest()[:8]


class BlockType(types.Opaque):  # type: ignore[misc]
    """The type of a `Block`, made from a sample; `start` is the place of its first array."""

    def __init__(self, name: str, sample: Any, start: int = 0) -> None:
        super().__init__(name=f"block({name}, {start}, {_short(sample)})")
        self.members: dict[str, types.Type] = {}
        self.places: dict[str, int] = {}
        for member, value in zip(sample._fields, sample, strict=True):
            self.places[member] = start
            if isinstance(value, tuple):
                self.members[member] = BlockType(f"{name}.{member}", value, start)
            else:
                self.members[member] = TableType(f"{name}.{member}", value)
            start += len(arrays_of((value,)))


class TableType(types.Opaque):  # type: ignore[misc]
    """An array of records, or an array of numbers in one or two dimensions."""

    def __init__(self, name: str, sample: Any) -> None:
        super().__init__(name=f"table({name}, {_short((sample,))})")
        self.title = name
        self.row_bytes = sample.itemsize * int(np.prod(sample.shape[1:], dtype=np.int64))
        self.columns = sample.shape[1] if sample.ndim == 2 else 0
        self.row = RowType(name, sample.dtype) if sample.dtype.names else from_dtype(sample.dtype)
        self.bytes = sample.dtype.itemsize


class RowType(types.Opaque):  # type: ignore[misc]
    """A row of a table of records: its address."""

    def __init__(self, name: str, dtype: np.dtype[Any]) -> None:
        super().__init__(name=f"row({name}, {_short((np.zeros(0, dtype),))})")
        self.title = name
        fields: Mapping[str, Any] = dtype.fields or {}
        self.fields = {field: (from_dtype(kind), int(offset)) for field, (kind, offset, *_) in fields.items()}


for _type in (BlockType, TableType, RowType):
    register_model(_type)(models.OpaqueModel)


# --- typing -----------------------------------------------------------------------------------------------------------


@infer_getattr
class _BlockAttributes(AttributeTemplate):  # type: ignore[misc]
    key = BlockType

    def generic_resolve(self, block: BlockType, name: str) -> Any:
        return block.members.get(name)


@infer_getattr
class _TableAttributes(AttributeTemplate):  # type: ignore[misc]
    key = TableType

    def generic_resolve(self, table: TableType, name: str) -> Any:
        return types.UniTuple(types.int64, 1) if name == "shape" else None


def _index(table: TableType, index: Any) -> Any:
    """Return the type that an index is converted to, or None if it is none."""
    if table.columns:
        return types.UniTuple(types.int64, 2) if isinstance(index, types.BaseTuple) and len(index) == 2 else None
    return types.int64 if isinstance(index, types.Integer) else None


@infer_global(operator.getitem)
class _GetItem(AbstractTemplate):  # type: ignore[misc]
    def generic(self, args: Any, keywords: Any) -> Any:
        table, index = args
        if isinstance(table, TableType) and _index(table, index):
            return typed(table.row, table, _index(table, index))
        return None


@infer_global(operator.setitem)
class _SetItem(AbstractTemplate):  # type: ignore[misc]
    def generic(self, args: Any, keywords: Any) -> Any:
        table, index, _value = args
        if isinstance(table, TableType) and _index(table, index) and not isinstance(table.row, RowType):
            return typed(types.void, table, _index(table, index), table.row)
        return None


@infer
class _StaticGetItem(AbstractTemplate):  # type: ignore[misc]
    key = "static_getitem"

    def generic(self, args: Any, keywords: Any) -> Any:
        row, name = args
        if isinstance(row, RowType) and name in row.fields:
            return typed(row.fields[name][0], row, types.literal(name))
        return None


@infer
class _StaticSetItem(AbstractTemplate):  # type: ignore[misc]
    key = "static_setitem"

    def generic(self, args: Any, keywords: Any) -> Any:
        row, name, value = args
        if isinstance(row, RowType) and name in row.fields and self.context.can_convert(value, row.fields[name][0]):
            return typed(types.void, row, types.literal(name), row.fields[name][0])
        return None


# --- code -------------------------------------------------------------------------------------------------------------


def tag(builder: Any, instruction: Any, place: str) -> None:
    """Say that a load or store touches `place` (a table, or a field of one), and nothing else does."""
    module = builder.module
    root = module.add_metadata([ir.MetaDataString(module, "tables")])
    node = module.add_metadata([ir.MetaDataString(module, place), root])
    instruction.set_metadata("tbaa", module.add_metadata([node, node, ir.Constant(_WORD, 0)]))


def _word(builder: Any, pair: Any, number: int) -> Any:
    """Load a word of a pair of the block: it stays as it is while compiled code runs."""
    words = builder.bitcast(pair, _WORD.as_pointer())
    word = builder.load(builder.gep(words, [ir.Constant(_WORD, number)], inbounds=True))
    word.set_metadata("invariant.load", builder.module.add_metadata([]))
    return word


def start_of(builder: Any, table: Any) -> Any:
    """Return the address of a table's first byte."""
    return builder.inttoptr(_word(builder, table, 0), _BYTE.as_pointer())


@lower_getattr_generic(BlockType)  # type: ignore[untyped-decorator]
def _member(context: Any, builder: Any, block: BlockType, value: Any, name: str) -> Any:
    if isinstance(block.members[name], BlockType):
        return value
    return builder.gep(value, [ir.Constant(_WORD, _PAIR * block.places[name])], inbounds=True)


@lower_getattr(TableType, "shape")  # type: ignore[untyped-decorator]
def _shape(context: Any, builder: Any, table: TableType, value: Any) -> Any:
    return context.make_tuple(builder, types.UniTuple(types.int64, 1), [_word(builder, value, 1)])


def _place(builder: Any, table: TableType, value: Any, index: Any) -> Any:
    """Return the address of an element."""
    if table.columns:
        row, column = (builder.extract_value(index, n) for n in range(2))
        offset = builder.add(
            builder.mul(row, ir.Constant(_WORD, table.row_bytes)), builder.mul(column, ir.Constant(_WORD, table.bytes))
        )
    else:
        offset = builder.mul(index, ir.Constant(_WORD, table.row_bytes))
    return builder.gep(start_of(builder, value), [offset], inbounds=True)


def _typed(context: Any, builder: Any, address: Any, kind: Any) -> Any:
    return builder.bitcast(address, context.get_data_type(kind).as_pointer())


@lower_builtin(operator.getitem, TableType, types.Any)  # type: ignore[untyped-decorator]
def _get_item(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    table = signature.args[0]
    address = _place(builder, table, *arguments)
    if isinstance(table.row, RowType):
        return address
    value = builder.load(_typed(context, builder, address, table.row))
    tag(builder, value, table.title)
    return value


@lower_builtin(operator.setitem, TableType, types.Any, types.Any)  # type: ignore[untyped-decorator]
def _set_item(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    table = signature.args[0]
    address = _typed(context, builder, _place(builder, table, *arguments[:2]), table.row)
    tag(builder, builder.store(arguments[2], address), table.title)
    return context.get_dummy_value()


def _field(context: Any, builder: Any, row: RowType, start: Any, name: str) -> tuple[Any, str]:
    kind, offset = row.fields[name]
    address = builder.gep(start, [ir.Constant(_WORD, offset)], inbounds=True)
    return _typed(context, builder, address, kind), f"{row.title}.{name}"


@lower_builtin("static_getitem", RowType, types.StringLiteral)  # type: ignore[untyped-decorator]
def _get_field(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    row, name = signature.args[0], arguments[1]
    address, place = _field(context, builder, row, arguments[0], name)
    value = builder.load(address)
    tag(builder, value, place)
    return value


@lower_builtin("static_setitem", RowType, types.StringLiteral, types.Any)  # type: ignore[untyped-decorator]
def _set_field(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    row, name = signature.args[0], arguments[1]
    address, place = _field(context, builder, row, arguments[0], name)
    tag(builder, builder.store(arguments[2], address), place)
    return context.get_dummy_value()
