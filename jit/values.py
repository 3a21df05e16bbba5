"""Bytes as values of the graft's types, and back: what people give and see of keys, values and messages.

Types are named as in the source, "u64", "[u32; 4]", "Node", and looked up in `DebugInfo.types`, which is a hint. So
this module never trusts: what is unknown, or does not fit its bytes, is shown as a number or as hexadecimal digits.

    type                value
    u8 .. u64, i8 ..    int
    bool                bool (any byte but 0 is true)
    enum                int when decoded; int or the variant's name when encoded
    [T; n]              list
    struct              dict by field
    unknown             int if it has 1, 2, 4 or 8 bytes, else bytes

Bytes of the right length stand for a value of any type.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from grafting import limits
from grafting.diagnostics import fail
from grafting.types import BUILTIN, BoolType, IntType

Value = Any  # int, bool, str, bytes, list or dict of these, as in the table above

_ARRAY: Final = re.compile(r"\[(.*);\s*(\d{1,9})\]", re.DOTALL)
_UNTYPED_INT: Final = (1, 2, 4, 8)
_SHOWN_ELEMENTS: Final = 16


@dataclass(frozen=True)
class Types:
    """The named types of a graft: `DebugInfo.types`, whose shape `grafting.objects.metadata` documents.

    A type that contains itself, or nests too deeply, or whose fields do not fit into it, counts as unknown.
    """

    named: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def _sizes(self) -> dict[str, int | None]:
        sizes: dict[str, int | None] = {}
        for name in self.named:
            self._measure(name, sizes, 0)
        return sizes

    def _measure(self, name: str, sizes: dict[str, int | None], depth: int) -> int | None:
        if name in BUILTIN:
            return BUILTIN[name].size
        if name in sizes or depth > limits.SOURCE_NESTING:
            return sizes.get(name)
        if array := _ARRAY.fullmatch(name):
            element = self._measure(array[1].strip(), sizes, depth + 1)
            return None if element is None else element * int(array[2])
        described = self.named.get(name)
        if described is None:
            return None
        sizes[name] = None  # what is met again while it is being measured contains itself
        if "enum" in described:
            sizes[name] = BUILTIN[described["enum"]].size if described["enum"] in BUILTIN else None
        elif "struct" in described:
            ends = []
            for _, type_, offset in described["struct"]:
                size = self._measure(type_, sizes, depth + 1)
                ends.append(described["size"] + 1 if size is None else offset + size)
            sizes[name] = described["size"] if max(ends, default=0) <= described["size"] else None
        return sizes[name]

    def size(self, name: str) -> int | None:
        """Return the bytes of a value of a type, or None for a type that is unknown."""
        return self._measure(name, self._sizes, 0)

    def shape(self, name: str, size: int) -> str:
        """Return `name` if values of that type have `size` bytes, else "" (unknown)."""
        return name if self.size(name) == size else ""

    # --- decoding ----------------------------------------------------------------------------------------------------

    def decode(self, name: str, data: bytes) -> Value:
        """Return the value that `data` holds."""
        if self.size(name) != len(data):
            return int.from_bytes(data, "little") if len(data) in _UNTYPED_INT else data
        match BUILTIN.get(name):
            case IntType(signed=signed):
                return int.from_bytes(data, "little", signed=signed)
            case BoolType():
                return data != b"\0"
        if array := _ARRAY.fullmatch(name):
            element, step = array[1].strip(), len(data) // max(1, int(array[2]))
            return [self.decode(element, data[at : at + step]) for at in range(0, len(data), step or 1)]
        described = self.named[name]
        if "enum" in described:
            return self.decode(described["enum"], data)
        return {field: self.decode(type_, part) for field, type_, part in self._fields(described, data)}

    def _fields(self, described: Mapping[str, Any], data: bytes) -> list[tuple[str, str, bytes]]:
        return [
            (name, type_, data[offset : offset + (self.size(type_) or 0)])
            for name, type_, offset in described["struct"]
        ]

    # --- describing --------------------------------------------------------------------------------------------------

    def describe(self, name: str, data: bytes) -> str:
        """Return `data` as the source would write it: `Attempt { index: 12, failures: 1 }`."""
        if self.size(name) != len(data):
            return str(int.from_bytes(data, "little")) if len(data) in _UNTYPED_INT else hexadecimal(data)
        if name in BUILTIN:
            value = self.decode(name, data)
            return str(value).lower() if isinstance(value, bool) else str(value)
        if array := _ARRAY.fullmatch(name):
            return self._describe_array(array[1].strip(), int(array[2]), data)
        described = self.named[name]
        if "enum" in described:
            value = self.decode(name, data)
            variants = {number: variant for variant, number in described["variants"]}
            return f"{name}.{variants[value]}" if value in variants else f"{value} as {name}"
        fields = [f"{field}: {self.describe(type_, part)}" for field, type_, part in self._fields(described, data)]
        return f"{name} {{ {', '.join(fields)} }}"

    def _describe_array(self, element: str, count: int, data: bytes) -> str:
        step = len(data) // max(1, count)
        parts = [data[at : at + step] for at in range(0, len(data), step or 1)]
        while parts and not any(parts[-1]):
            parts.pop()  # as in the source, where elements that are left out are zero
        shown = [self.describe(element, part) for part in parts[:_SHOWN_ELEMENTS]]
        if len(parts) > _SHOWN_ELEMENTS:
            shown.append(f"… {len(parts) - _SHOWN_ELEMENTS} more")
        return f"[{', '.join(shown)}]"

    def elements(self, place: str, name: str, data: bytes) -> Iterator[tuple[str, tuple[str, bytes]]]:
        """Yield (place, (type, bytes)) for each element of an array, else for the value itself."""
        array = _ARRAY.fullmatch(name)
        if array is None or self.size(name) != len(data):
            yield place, (name, data)
            return
        element, step = array[1].strip(), len(data) // max(1, int(array[2]))
        for index in range(int(array[2]) if step else 0):
            yield f"{place}[{index}]", (element, data[index * step : (index + 1) * step])

    # --- encoding ----------------------------------------------------------------------------------------------------

    def encode(self, name: str, size: int, value: Value, what: str) -> bytes:
        """Return `value` as `size` bytes of a type; `what` names it in messages.

        Raises GraftError G0706: not a value of this type, or it does not fit.
        """
        if isinstance(value, bytes | bytearray | memoryview):
            if len(value) != size:
                raise fail("G0706", f"{what} has {size} bytes, not {len(value)}")
            return bytes(value)
        if self.size(name) != size:
            name = _unsigned(size)
        if name in BUILTIN:
            return _number(name, value, what)
        if array := _ARRAY.fullmatch(name):
            return self._encode_array(array[1].strip(), int(array[2]), size, value, what)
        described = self.named.get(name, {})
        if "enum" in described:
            return self._encode_enum(name, described, value, what)
        if "struct" in described:
            return self._encode_struct(name, described, value, what)
        raise fail("G0706", f"{what} must be given as {size} bytes")

    def _encode_array(self, element: str, count: int, size: int, value: Value, what: str) -> bytes:
        if not isinstance(value, list | tuple) or len(value) > count:
            raise fail("G0706", f"{what} must be a list of at most {count} values of type {element}")
        step = size // max(1, count)
        return b"".join(self.encode(element, step, item, f"an element of {what}") for item in value).ljust(size, b"\0")

    def _encode_enum(self, name: str, described: Mapping[str, Any], value: Value, what: str) -> bytes:
        if isinstance(value, str):
            variants = dict(described["variants"])
            if value.removeprefix(f"{name}.") not in variants:
                raise fail("G0706", f"{what} must be one of {', '.join(variants)}, not {value!r}")
            value = variants[value.removeprefix(f"{name}.")]
        return _number(described["enum"], value, what)

    def _encode_struct(self, name: str, described: Mapping[str, Any], value: Value, what: str) -> bytes:
        if not isinstance(value, Mapping):
            raise fail("G0706", f"{what} must be a {name}: a mapping from its fields to their values")
        fields = {field: (type_, offset) for field, type_, offset in described["struct"]}
        if unknown := [key for key in value if key not in fields]:
            raise fail("G0706", f"{name} has no field {unknown[0]!r}; its fields are {', '.join(fields)}")
        data = bytearray(described["size"])
        for key, item in value.items():
            type_, offset = fields[key]
            part = self.encode(type_, self.size(type_) or 0, item, f"field {key} of {what}")
            data[offset : offset + len(part)] = part
        return bytes(data)


def _number(name: str, value: Value, what: str) -> bytes:
    type_ = BUILTIN[name]
    if not isinstance(value, int):
        raise fail("G0706", f"{what} must be a number of type {name}, not {value!r}")
    low, high = (type_.minimum, type_.maximum) if isinstance(type_, IntType) else (0, 1)
    if not low <= value <= high:
        raise fail("G0706", f"{what} must be from {low} to {high} ({name}), not {value}")
    return int(value).to_bytes(type_.size, "little", signed=value < 0)


def _unsigned(size: int) -> str:
    return f"u{8 * size}" if size in _UNTYPED_INT else ""


def hexadecimal(data: bytes) -> str:
    """Return bytes as hexadecimal digits in groups, the middle left out where they are many."""
    if len(data) <= 64:
        return data.hex(" ", -4) or "(empty)"
    return f"{data[:32].hex(' ', -4)} … {data[-8:].hex(' ', -4)} ({len(data)} bytes)"
