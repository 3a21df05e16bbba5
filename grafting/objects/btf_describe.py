"""BTF types in the words of the language, for printing the maps of C programs.

    unsigned long long            "u64"
    struct row { u32 a[4]; }      "row", and {"row": {"struct": [["a", "[u32; 4]", 0]], "size": 16}}
    union, bit field, float, ..   "[u8; 8]": the bytes

The form is that of `DebugInfo.types` (see `grafting.objects.metadata`). These are hints; what has no such form, or a
name that is no identifier, is described as bytes. Each type is described once, so the work is bounded by the size of
the BTF.
"""

from __future__ import annotations

import re
from typing import Any, Final

from grafting import limits
from grafting.objects.btf import Array, Btf, Composite, Enumeration, Int, Kind, Reference

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_TEXT_MAX: Final = 255  # characters of a type's text; arrays of arrays grow it
_DEPTH_MAX: Final = 16  # arrays and structs within each other
_SIGNED, _BOOL = 1, 4  # encodings of integers
_WIDTHS: Final = (1, 2, 4, 8)


class Descriptions:
    """What was described so far: `found` maps the names of structs and enums to their descriptions."""

    def __init__(self, types: Btf) -> None:
        self._types = types
        self._texts: dict[int, str] = {}
        self.found: dict[str, dict[str, Any]] = {}

    def text(self, number: int, depth: int = 0) -> str:
        """Return a type's name in the language, having described the types in it; "" if it has no size."""
        if number not in self._texts:
            self._texts[number] = self._text(number, depth)
        return self._texts[number]

    def _text(self, number: int, depth: int) -> str:
        size = self._types.size(number)
        if size is None or size > limits.MAP_VALUE_BYTES:
            return ""
        text = self._named(number, depth) if depth < _DEPTH_MAX else ""
        return text if 0 < len(text) <= _TEXT_MAX else f"[u8; {size}]"

    def _named(self, number: int, depth: int) -> str:
        """Return the text of a type that has one."""
        match self._types.resolve(number):
            case Int(size=1, encoding=encoding) if encoding & _BOOL:
                return "bool"
            case Int(size=size, encoding=encoding) if size in _WIDTHS:
                return f"{'i' if encoding & _SIGNED else 'u'}{8 * size}"
            case Reference():
                return "u64"
            case Array(element, _, count):
                inner = self.text(element, depth + 1)
                return f"[{inner}; {count}]" if inner else ""
            case Enumeration() as enum if enum.size in _WIDTHS:
                return self._enum(self._types.name(number), enum)
            case Composite(kind=Kind.STRUCT, flag=False) as struct:
                return self._struct(self._types.name(number), struct, depth)
            case _:
                return ""

    def _enum(self, name: str, enum: Enumeration) -> str:
        if not _NAME.fullmatch(name):
            return ""
        variants = [[variant, value] for variant, value in enum.values if _NAME.fullmatch(variant)]
        self.found.setdefault(name, {"enum": f"{'i' if enum.flag else 'u'}{8 * enum.size}", "variants": variants})
        return name

    def _struct(self, name: str, struct: Composite, depth: int) -> str:
        if not _NAME.fullmatch(name):
            return ""
        if name not in self.found:
            fields: list[list[Any]] = []
            self.found[name] = {"struct": fields, "size": struct.size}
            for member in struct.members:
                text = self.text(member.type, depth + 1)
                if text and _NAME.fullmatch(member.name) and member.offset <= 8 * struct.size:
                    fields.append([member.name, text, member.offset // 8])
        return name
