"""Records as JSON and back: dataclasses written field by field under their names, and read with a type for every value.

    int, bool, str, bytes (base64), T | None, tuple[T, ...], dict[str, T], dataclasses of these; `Any` is JSON as it is

`decode` takes JSON from strangers: what it returns has exactly the declared shape, every int fits the kernel's int64,
every field is there and no other; anything else raises GraftError. It says nothing about what the values mean.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Final, get_args, get_origin, get_type_hints

from grafting.objects.untrusted import Value

ITEMS: Final = 1 << 21  # elements of one list
NAME_CHARACTERS: Final = 255
LEAST: Final = -(1 << 63)
MOST: Final = (1 << 63) - 1


def encode(value: Any) -> Any:
    """Return a record, or any value that a record may hold, as what `json.dumps` takes."""
    if is_dataclass(value):
        return {field.name: encode(getattr(value, field.name)) for field in fields(value)}
    match value:
        case bytes():
            return base64.b64encode(value).decode()
        case tuple() | list():
            return [encode(item) for item in value]
        case dict():
            return {name: encode(item) for name, item in value.items()}
    return value


def decode(type_: Any, value: Value) -> Any:
    """Return the value of `type_` that `value` describes. Raises GraftError with the code of `value`."""
    if is_dataclass(type_):
        return _record(type_, value)
    arguments = get_args(type_)
    if isinstance(type_, UnionType):
        (inner,) = [argument for argument in arguments if argument is not NoneType]
        return None if value.content is None else decode(inner, value)
    if get_origin(type_) is tuple:
        return tuple(decode(arguments[0], item) for item in value.items(ITEMS))
    if get_origin(type_) is dict:
        return {name: decode(arguments[1], item) for name, item in value.fields()}
    return _scalar(type_, value)


def _scalar(type_: Any, value: Value) -> Any:
    if type_ is bool:
        if not isinstance(value.content, bool):
            raise value.error("not true or false")
        return value.content
    if type_ is int:
        return value.number(LEAST, MOST)
    if type_ is str:
        return value.text(NAME_CHARACTERS)
    if type_ is bytes:
        if not isinstance(value.content, str):
            raise value.error("not bytes in base64")
        try:
            return base64.b64decode(value.content, validate=True)
        except binascii.Error as error:
            raise value.error("not bytes in base64") from error
    return value.content


@cache
def _types(record: type) -> dict[str, Any]:
    hints = get_type_hints(record)
    return {field.name: hints[field.name] for field in fields(record)}


def _record(type_: Any, value: Value) -> Any:
    given = dict(value.fields())
    types = _types(type_)
    if unknown := [name for name in given if name not in types]:
        raise value.error(f"a field `{unknown[0][:64]}`, which has no meaning")
    if missing := [name for name in types if name not in given]:
        raise value.error(f"no field `{missing[0]}`")
    return type_(**{name: decode(inner, given[name]) for name, inner in types.items()})
