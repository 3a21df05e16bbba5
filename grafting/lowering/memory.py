"""Things that may be absent, and bytes that are handed over: views, lookups, checked indices, payloads.

Each check stands directly before the use that it guards and compares the very value that is used: `data + constant`
against `data_end` for the body, a helper's result against null, an index against the length. Copies and fills of up to
`limits.INLINE_COPY_BYTES` are explicit loads and stores; longer ones go through the helpers, since LLVM's BPF back end
ends the process on a long `memset` and spills a struct copy of 504 bytes beyond any frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from grafting import limits, typed
from grafting.lowering.expressions import address, body_length, element, number, scalar, store
from grafting.lowering.frame import Address, Frame, word
from grafting.lowering.ir import Flag, Label, Number, Pointer, constant
from grafting.program import MapKind
from grafting.types import ArrayType, BoolType, Scalar, StructType, register_type

# --- what may be absent ----------------------------------------------------------------------------------------------


def present(f: Frame, value: typed.Absent, absent: Label) -> Address:
    """Return the address of something that may be absent; where it is, control goes to `absent`."""
    match value:
        case typed.Lookup(map_, key):
            return lookup(f, map_, scalar(f, key), absent, value)
        case typed.BodyView():
            return _body_view(f, value, absent)
        case typed.CheckedIndex():
            return _checked_element(f, value, absent)


def _body_view(f: Frame, view: typed.BodyView, absent: Label) -> Address:
    f.ir.at(view.span)
    data = f.context_pointer("data")
    limit = f.ir.offset(data, view.offset + view.type.size)
    beyond = f.ir.flag(f"icmp ugt ptr {limit}, {f.context_pointer('data_end')}")
    _unless(f, beyond, absent)
    return Address(data, view.offset)


def _checked_element(f: Frame, checked: typed.CheckedIndex, absent: Label) -> Address:
    """A negative index is absent too: extended to 64 bits it is above every length."""
    base = address(f, checked.place)
    index = number(f, checked.index)
    f.ir.at(checked.span)
    _unless(f, f.ir.flag(f"icmp uge i64 {index}, {checked.array.length}"), absent)
    return element(f, base, index, checked.array)


def lookup(
    f: Frame, map_: typed.MapRef, key: Number | Flag, absent: Label, whole: typed.Absent | typed.Stmt
) -> Address:
    """Return the address of the value under `key`; control goes to `absent` if there is none."""
    f.ir.at(whole.span)
    with key_memory(f, map_, key, absent) as place:
        value = f.call_pointer("map_lookup_elem", f"ptr {f.symbols[map_]}", f"ptr {place}")
    _unless(f, f.ir.flag(f"icmp eq ptr {value}, null"), absent)
    return Address(value)


@contextmanager
def key_memory(f: Frame, map_: typed.MapRef, key: Number | Flag, absent: Label) -> Iterator[Pointer]:
    """Put a key into scratch memory, for one call.

    The key of an array is a u64 in the language and shorter in the map: one that does not fit is `absent` here,
    lest it be truncated to one that exists.
    """
    size = map_.spec.key_size
    with f.scratch(size) as place:
        if map_.spec.kind is MapKind.ARRAY:
            _unless(f, f.ir.flag(f"icmp uge i64 {key}, {map_.spec.max_entries}"), absent)
        if isinstance(map_.key, BoolType):
            stored = f.ir.narrow(f"zext i1 {key} to i8")
        elif size < 8:
            stored = f.ir.narrow(f"trunc i64 {key} to i{size * 8}")
        else:
            stored = key
        f.ir.effect(f"store i{size * 8} {stored}, ptr {place}, align {size}")
        yield place


def _unless(f: Frame, bad: Flag, absent: Label) -> None:
    """Go to `absent` if `bad`, else on."""
    good = f.ir.label("there")
    f.ir.branch(bad, absent, good)
    f.ir.begin(good)


# --- bytes -----------------------------------------------------------------------------------------------------------


def chunks(offset: int, size: int, align: int = 8) -> Iterator[tuple[int, int]]:
    """Split `size` bytes at `offset` into (offset, bytes) of the widest aligned words."""
    end = offset + size
    while offset < end:
        width = min(align, 8)
        while offset % width or offset + width > end:
            width //= 2
        yield offset, width
        offset += width


def fill_zero(f: Frame, at: Pointer, size: int) -> None:
    """Set `size` bytes of 8-aligned memory to zero."""
    if size > limits.INLINE_COPY_BYTES:
        f.call("fill", f"ptr {at}", word(0), word(size))
    else:
        _store_zeros(f, at, 0, size)


def _store_zeros(f: Frame, at: Pointer, offset: int, size: int) -> None:
    for start, width in chunks(offset, size):
        f.ir.effect(f"store i{width * 8} 0, ptr {f.ir.offset(at, start)}, align {width}")


def copy(f: Frame, to: Address, source: Address, type_: StructType | ArrayType) -> None:
    """Copy a value of `type_`; both sides are aligned for it."""
    if type_.size > limits.INLINE_COPY_BYTES:
        f.call("copy", f"ptr {f.pointer(to)}", f"ptr {f.pointer(source)}", word(type_.size))
        return
    for start, width in chunks(0, type_.size, type_.align):
        word_ = f.ir.narrow(f"load i{width * 8}, ptr {f.pointer(source.plus(start))}, align {width}")
        f.ir.effect(f"store i{width * 8} {word_}, ptr {f.pointer(to.plus(start))}, align {width}")


# --- bodies of messages ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class InMemory:
    """A body at an address."""

    at: Address
    length: int


@dataclass(frozen=True, slots=True)
class InMessage:
    """A body that is part of the current message: (offset, length), forwarded by the kernel itself."""

    offset: Number
    length: Number


NOTHING = InMessage(constant(0), constant(0))  # an empty part: needs no memory at all


@contextmanager
def payload(
    f: Frame, value: typed.Payload, refused: Label, *, room: int = 0, least: int = 0, most: int = limits.BODY_BYTES
) -> Iterator[InMemory | InMessage]:
    """Make a body ready for one call, with `room` bytes before it.

    A part of the message whose length is not in `least` .. `most` goes to `refused`; that it lies inside the message
    is the kernel's check. A start behind the end gives a length of almost 2**64, or an offset that no message has.
    """
    match value:
        case typed.StructValue(type_, parts):
            with f.scratch(room + type_.size) as memory:
                _build(f, memory, room, type_, parts)
                f.ir.at(value.span)
                yield InMemory(Address(memory, room), type_.size)
        case typed.PlaceValue(place, type_):
            source = address(f, place)
            if room:
                with f.scratch(room + type_.size) as memory:
                    copy(f, Address(memory, room), source, type_)
                    yield InMemory(Address(memory, room), type_.size)
            else:
                yield InMemory(source, type_.size)
        case typed.BodyRange(start, end):
            first = number(f, start)
            last = number(f, end) if end is not None else body_length(f)
            f.ir.at(value.span)
            length = f.ir.number(f"sub i64 {last}, {first}")
            if least:
                _unless(f, f.ir.flag(f"icmp ult i64 {length}, {least}"), refused)
            _unless(f, f.ir.flag(f"icmp ugt i64 {length}, {most}"), refused)
            yield InMessage(first, length)
        case typed.NoBody() if room:
            with f.scratch(room) as memory:
                yield InMemory(Address(memory, room), 0)
        case typed.NoBody():
            yield NOTHING


def _build(f: Frame, memory: Pointer, room: int, type_: StructType, parts: tuple[tuple[int, typed.Expr], ...]) -> None:
    """Write a struct field by field at `memory + room`: first the bytes that no part names, then the parts."""
    done = 0
    for offset, expr in sorted(parts, key=lambda part: part[0]):
        _store_zeros(f, memory, room + done, offset - done)
        done = offset + _size(expr.type)
    _store_zeros(f, memory, room + done, type_.size - done)
    for offset, expr in parts:
        value = scalar(f, expr)
        f.ir.at(expr.span)
        store(f, Address(memory, room + offset), value, expr.type)


def _size(type_: Scalar) -> int:
    return register_type(type_).size
