"""A snapshot: an application as named records, and its form as a file.

    {"schema": 3, "digest": SHA-256 of the rest, "application": NAME, "outside": [..], "processes": [..],
     "grafts": [..], "accounts": [..], "things": {"request": {"0": {"state": "queued", ..}, ..}, ..}}

Nothing in it is a number of a table's row, an address, or a layout: objects have names of their own ("0", "1", .. of
their kind), enumerations and fields are words, times are distances from the cut. `things` holds what a running
application consists of besides its parts, field by field as `schema` says.

Reading trusts nobody: `loads` gives a snapshot whose every value has its type and whose every name exists, or a
GraftError (G0871: not one of ours, or damaged; G0872: malformed). Whether it makes sense is asked by `soundness`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from grafting import limits
from grafting.diagnostics import Source, fail
from grafting.objects.elf import Where
from grafting.objects.untrusted import Value
from kernel_model.persistence import codec
from kernel_model.persistence.contents import Contents
from kernel_model.persistence.schema import LISTS, SAVED, Body, Choice, Fresh, Instant, Kind, Plain, Ref

SCHEMA: Final = 3
EXTRAS: Final = ("due", "into", "out_of", "outside")


@dataclass(frozen=True, slots=True)
class Outside:
    """A capability that leaves the application: whoever restores it binds `name`.

    `interface` is the protocol of the graft's slot that holds it, "" if none does; `rights` of "send", "grant".
    """

    name: str
    interface: str
    rights: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Made:
    """A part of the application as it was made: `kind` names a method of `Kernel`, `arguments` what it was given."""

    name: str
    kind: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Alarm:
    """An armed timer of a graft: fires `due` ps after the cut, and each `period` ps thereafter (0: once).

    It belongs to a client's operation, in user mode to its job, or to nothing.
    """

    number: int
    due: int
    period: int
    fuel: int
    operation: str | None
    job: str | None
    in_user: bool


@dataclass(frozen=True, slots=True)
class Run:
    """What a handler has done so far."""

    worst_seen: int
    activations: int
    instructions: int


@dataclass(frozen=True, slots=True)
class Graft:
    """A graft in its place. `program` is its object file; `shares` is the graft (by position) whose maps it uses."""

    name: str
    process: str
    in_kernel: bool
    engine: str
    program: bytes
    slots: dict[str, str | None]
    shares: int | None
    contents: Contents | None
    alarms: tuple[Alarm, ...]
    held: tuple[str, ...]
    counts: dict[str, int]
    runs: dict[str, Run]


@dataclass(frozen=True, slots=True)
class Books:
    """What an account had been charged: ps by category, counts by primitive."""

    name: str
    ps: dict[str, int]
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class Thing:
    """An object of the kernel: fields by the names and kinds of `schema.SAVED`, lists by those of `schema.LISTS`.

    `due`: of a request its deadline, of a process its wake-up, ps after the cut. `into`: of a job, the graft (by
    position), the map and the argument that goes into it; `out_of`: the graft and the map from which its answer comes.
    `outside`: of a capability, the position of what it leads to.
    """

    values: dict[str, Any]
    lists: dict[str, tuple[str, ...]]
    due: int | None = None
    into: tuple[int, str, bytes] | None = None
    out_of: tuple[int, str] | None = None
    outside: int | None = None


Things = dict[str, dict[str, Thing]]  # by table and name


@dataclass(frozen=True, slots=True)
class Snapshot:
    """See the module. `ready`: the processes that ran or could run, core by core in the order of their turns."""

    application: str
    ready: tuple[str, ...]
    outside: tuple[Outside, ...]
    processes: tuple[Made, ...]
    endpoints: tuple[Made, ...]
    grafts: tuple[Graft, ...]
    accounts: tuple[Books, ...]
    things: Things


# --- writing ----------------------------------------------------------------------------------------------------------


def dumps(snapshot: Snapshot) -> bytes:
    """Return the file of a snapshot; equal snapshots give the same bytes."""
    body = {
        field.name: codec.encode(getattr(snapshot, field.name)) for field in fields(snapshot) if field.name != "things"
    }
    body["things"] = {
        table: {name: _written(table, thing) for name, thing in named.items()}
        for table, named in snapshot.things.items()
    }
    text = _canonical(body)
    return json.dumps({"schema": SCHEMA, "digest": _digest(text)})[:-1].encode() + b', "snapshot": ' + text + b"}"


def _canonical(body: Any) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def _written(table: str, thing: Thing) -> dict[str, Any]:
    written: dict[str, Any] = {name: codec.encode(value) for name, value in thing.values.items()}
    written |= {name: list(members) for name, members in thing.lists.items()}
    for name in EXTRAS:
        value = getattr(thing, name)
        if value is not None:
            written[name] = codec.encode(value)
    return written


# --- reading ----------------------------------------------------------------------------------------------------------


def loads(data: bytes, filename: str) -> Snapshot:
    """Return the snapshot in `data`. Raises GraftError G0871, G0872."""
    where = Where(filename)
    if len(data) > limits.SNAPSHOT_BYTES:
        raise fail("G0871", f"a snapshot has at most {limits.SNAPSHOT_BYTES:,} bytes", source=Source(filename, ""))
    top = Value.parse(data, where, "G0871", most=limits.SNAPSHOT_BYTES)
    if top["schema"].number(0, 1 << 31) != SCHEMA:
        raise where.error("G0871", f"a snapshot of schema {top['schema'].content}; this version reads {SCHEMA}")
    body = top["snapshot"]
    if _digest(_canonical(body.content)) != top["digest"].text(64):
        raise where.error("G0871", "the snapshot is damaged: its digest is that of other data")
    body.code = "G0872"
    return _snapshot(body)


def _snapshot(body: Value) -> Snapshot:
    types = {
        "outside": tuple[Outside, ...],
        "processes": tuple[Made, ...],
        "endpoints": tuple[Made, ...],
        "grafts": tuple[Graft, ...],
        "accounts": tuple[Books, ...],
    }
    given = dict(body.fields())
    if unknown := [name for name in given if name not in {*types, "application", "ready", "things"}]:
        raise body.error(f"a field `{unknown[0][:64]}`, which has no meaning")
    return Snapshot(
        application=body["application"].label(),
        ready=codec.decode(tuple[str, ...], body["ready"]),
        **{name: codec.decode(type_, body[name]) for name, type_ in types.items()},
        things=_things(body["things"]),
    )


def _things(value: Value) -> Things:
    tables = dict(value.fields())
    if unknown := [table for table in tables if table not in SAVED]:
        raise value.error(f"there are no things of the kind `{unknown[0][:64]}`")
    if sum(len(named.content) for named in tables.values() if isinstance(named.content, dict)) > limits.SNAPSHOT_THINGS:
        raise value.error(f"more than {limits.SNAPSHOT_THINGS:,} things")
    names = {table: frozenset(name for name, _ in named.fields()) for table, named in tables.items()}
    return {
        table: {name: _thing(table, described, names) for name, described in tables[table].fields()}
        if table in tables
        else {}
        for table in SAVED
    }


def _thing(table: str, value: Value, names: Mapping[str, frozenset[str]]) -> Thing:
    given = dict(value.fields())
    kinds = {name: kind for name, kind in SAVED[table].items() if not isinstance(kind, Fresh)}
    lists = LISTS.get(table, {})
    known = {*kinds, *lists, *EXTRAS}
    if unknown := [name for name in given if name not in known]:
        raise value.error(f"a field `{unknown[0][:64]}`, which has no meaning")
    if missing := [name for name in (*kinds, *lists) if name not in given]:
        raise value.error(f"no field `{missing[0]}`")
    due, into, out_of, outside = (given.get(name) for name in EXTRAS)
    return Thing(
        {name: _value(kind, given[name], names) for name, kind in kinds.items()},
        {
            name: tuple(_existing(member, spec.table, names) for member in given[name].items(codec.ITEMS))
            for name, spec in lists.items()
        },
        None if due is None else due.number(0, codec.MOST >> 2),
        None if into is None else _into(into),
        None if out_of is None else _map(out_of.exactly(2)),
        None if outside is None else outside.number(0, limits.SNAPSHOT_THINGS),
    )


def _map(pair: list[Value]) -> tuple[int, str]:
    return pair[0].number(0, limits.SNAPSHOT_THINGS), pair[1].text(codec.NAME_CHARACTERS)


def _into(value: Value) -> tuple[int, str, bytes]:
    graft, map_, argument = value.exactly(3)
    return (*_map([graft, map_]), _bytes(argument))


def _value(kind: Kind, value: Value, names: Mapping[str, frozenset[str]]) -> Any:
    match kind:
        case Plain():
            return value.number(codec.LEAST, codec.MOST)
        case Instant():
            return None if value.content is None else value.number(codec.LEAST >> 2, codec.MOST >> 2)
        case Choice(known):
            if value.content not in known.values():
                raise value.error(f"not one of {', '.join(known.values())}")
            return value.content
        case Ref(table):
            return None if value.content is None else _existing(value, table, names)
        case Body():
            return _bytes(value)
        case Fresh():
            raise value.error("is not saved")


def _existing(value: Value, table: str, names: Mapping[str, frozenset[str]]) -> str:
    name = value.text(codec.NAME_CHARACTERS)
    if table != "graft" and name not in names.get(table, ()):
        raise value.error(f"there is no {table} `{name[:64]}`")
    return name


def _bytes(value: Value) -> bytes:
    text = value.text(4 * limits.BODY_BYTES // 3 + 4)
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise value.error("not bytes in base64") from error


def every(snapshot: Snapshot, table: str) -> Iterator[tuple[str, Thing]]:
    """Yield name and thing of every thing of a kind."""
    yield from snapshot.things.get(table, {}).items()
