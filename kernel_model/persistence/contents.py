"""What a graft remembers, under the names and fields of its source, so that a later version of the graft can take it.

    maps        wanted: [[7, 42], ..]      an entry each; values of struct type as {field: value}
    variables   hops: 3                    the `state` of the source
    sections    ".bss": bytes              instead of variables, where the object does not tell their names

Given to another version of the graft, each map and variable goes to that of its name. A field that the new type has
and the old had not is zero, or what `defaults` says ("wanted.retries"); numbers may change their width as long as the
values fit. A map or field that is no longer there would lose data, so it is an error unless `forget` names it.

Types and names are hints of the object (`jit.values`): where they are missing, entries are bytes and must keep their
size.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from grafting.diagnostics import GraftError, fail
from grafting.program import MapSpec, Program
from jit.mapview import MapView
from jit.values import Types
from jit.variables import StateVariable, variables_of

HEX: Final = "bytes"  # the key of an object that stands for bytes


@dataclass(frozen=True, slots=True)
class Contents:
    """See the module. Keys and values are JSON: numbers, booleans, lists, objects by field, `{"bytes": hex}`."""

    maps: dict[str, tuple[tuple[Any, ...], ...]]
    variables: dict[str, Any]
    sections: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What a new version does with what it did not know: values of new fields, by "map.field"; what may be lost."""

    defaults: Mapping[str, Any]
    forget: Collection[str]


def gather(program: Program, views: Mapping[str, MapView]) -> Contents:
    """Return what the maps of `program` hold; `views` has one for each, read-only ones excepted."""
    types = Types(program.debug.types)
    variables = variables_of(program)
    named = {variable.section for variable in variables.values()}
    maps: dict[str, tuple[tuple[Any, ...], ...]] = {}
    sections: dict[str, bytes] = {}
    values: dict[str, Any] = {}
    for spec in _remembered(program):
        items = list(views[spec.name].raw_items())
        if not spec.is_data:
            maps[spec.name] = tuple(
                (_shown(types, spec.key_type, key), _shown(types, spec.value_type, value))
                for key, value in items
                if spec.kind.value == "hash" or any(value)
            )
        elif spec.name not in named:
            sections[spec.name] = items[0][1]
        else:
            of_section = {name: v for name, v in variables.items() if v.section == spec.name}
            values |= {
                name: _shown(types, v.type, items[0][1][v.offset : v.offset + v.size]) for name, v in of_section.items()
            }
    return Contents(maps, values, sections)


def spread(contents: Contents, program: Program, views: Mapping[str, MapView], upgrade: Upgrade) -> None:
    """Give `contents` to the maps of `program`, which have their initial values.

    Raises GraftError G0874 for something that the program has no place for, or that does not fit.
    """
    specs = {spec.name: spec for spec in _remembered(program)}
    variables = variables_of(program)
    for name, entries in contents.maps.items():
        if _known(name, specs, upgrade, "map"):
            _fill(views[name], specs[name], entries, upgrade)
    for name, data in contents.sections.items():
        if _known(name, specs, upgrade, "section"):
            _store(views[name], bytes(specs[name].key_size), data)
    sections: dict[str, bytearray] = {}
    for name, value in contents.variables.items():
        if _known(name, variables, upgrade, "state variable"):
            _set(name, variables[name], value, sections, views, upgrade)
    for name, section in sections.items():
        _store(views[name], bytes(specs[name].key_size), bytes(section))


def _remembered(program: Program) -> list[MapSpec]:
    return [spec for spec in program.maps if not spec.read_only]


def _known(name: str, known: Collection[str], upgrade: Upgrade, what: str) -> bool:
    if name in known:
        return True
    if name in upgrade.forget:
        return False
    raise fail(
        "G0874", f"the graft has no {what} `{name}` any more", helps=(f"forget={{{name!r}}} drops what it held",)
    )


def _fill(view: MapView, spec: MapSpec, entries: tuple[tuple[Any, ...], ...], upgrade: Upgrade) -> None:
    for entry in entries:
        if len(entry) != 2:
            raise fail("G0872", f"an entry of map `{spec.name}` is not a key and a value")
        key = _encoded(view.types, spec.key_type, spec.key_size, entry[0], f"a key of `{spec.name}`")
        value = _adapted(view.types, spec.value_type, entry[1], spec.name, upgrade)
        what = f"a value of `{spec.name}`"
        _store(view, key, _encoded(view.types, spec.value_type, spec.value_size, value, what))


def _set(
    name: str,
    variable: StateVariable,
    value: Any,
    sections: dict[str, bytearray],
    views: Mapping[str, MapView],
    upgrade: Upgrade,
) -> None:
    view = views[variable.section]
    section = sections.setdefault(variable.section, bytearray(next(iter(view.raw_items()))[1]))
    value = _adapted(view.types, variable.type, value, name, upgrade)
    data = _encoded(view.types, variable.type, variable.size, value, f"`{name}`")
    section[variable.offset : variable.offset + variable.size] = data


def _store(view: MapView, key: bytes, value: bytes) -> None:
    if len(value) != view.spec.value_size or view.set_raw(key, value) != 0:
        raise fail("G0874", f"map `{view.spec.name}` has no place for what was saved of it",
                   notes=(f"it has {view.spec.max_entries} entries of {view.spec.value_size} bytes",))  # fmt: skip


def _adapted(types: Types, type_: str, value: Any, name: str, upgrade: Upgrade) -> Any:
    """Return a value of an older version as one of this version's type."""
    described = types.named.get(type_, {})
    if not isinstance(value, dict) or "struct" not in described:
        return value
    adapted = {}
    for field, field_type, _ in described["struct"]:
        place = f"{name}.{field}"
        if field in value:
            adapted[field] = _adapted(types, field_type, value[field], place, upgrade)
        elif place in upgrade.defaults:
            adapted[field] = upgrade.defaults[place]
    for field in value:
        if field not in adapted:
            _known(f"{name}.{field}", (), upgrade, "field")
    return adapted


def _encoded(types: Types, type_: str, size: int, value: Any, what: str) -> bytes:
    try:
        return types.encode(type_, size, _plain(value), what)
    except GraftError as error:
        raise fail("G0874", f"what was saved does not fit: {error}") from error


def _shown(types: Types, type_: str, data: bytes) -> Any:
    return _json(types.decode(type_, data))


def _json(value: Any) -> Any:
    match value:
        case bytes():
            return {HEX: value.hex()}
        case list():
            return [_json(item) for item in value]
        case dict():
            return {name: _json(item) for name, item in value.items()}
    return value


def _plain(value: Any) -> Any:
    match value:
        case {"bytes": str(text), **rest} if not rest:
            try:
                return bytes.fromhex(text)
            except ValueError as error:
                raise fail("G0872", f"`{text[:32]}` is not bytes in hex") from error
        case list():
            return [_plain(item) for item in value]
        case dict():
            return {name: _plain(item) for name, item in value.items()}
    return value
