"""What a handler is given: everything that an embedder, a client or a server chooses, as one value.

An `Input` is complete: run twice, it does the same twice. Of a raw hook it is the memory; of a graft's hook the message
with its body, the clock, what is in maps and state variables, which slots are empty, which timers are armed and which
operations are held. A `Shape` says what of it a kernel could produce for a handler: a reply has status 0, a handler
`reply/disk.read` sees that slot and that operation, a timer has no body. The verifier does not rely on that; if such
inputs do no harm, a search goes on with those that only the hook's types allow (`wide`), and says so.

As JSON (`to_json`, `from_json`; what `graft run --input` takes), all but `handler` may be left out:

    {"handler": "reply/disk.read",
     "message": {"tag": 7, "badge": 0, "op": 0, "status": 0, "slot": 0, "ncaps": 0, "flags": 0},
     "now": 1000, "body": {"length": 256, "bytes": {"8": "2a00"}},
     "maps": [{"map": "wanted", "key": "0700000000000000", "value": "2a00000000000000"}],
     "state": [{"section": ".bss", "offset": 0, "value": "01"}],
     "empty_slots": ["disk"], "timers": [7], "held": [7], "fuel": 1000}

`body` (of a raw hook: the memory) is zero but for `bytes`, hexadecimal digits by offset. Numbers are ints.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from grafting import limits
from grafting.diagnostics import GraftError, fail
from grafting.hooks import NO_SLOT, Event
from grafting.isa import U32, U64
from grafting.program import Handler, OpSpec, Program
from jit.activation import LATEST
from jit.dispatch import matches
from jit.witness.terms import Atom

FIELDS: Final = {"tag": 8, "badge": 8, "now": 8, "op": 4, "status": 4, "slot": 4, "ncaps": 4, "flags": 4}  # bytes
WIDENED: Final = ("op", "slot", "status")  # fields whose meaning limits them more than their width
LENGTH: Final = Atom(("length",), 8)
_STATUS: Final = 4095  # a failure's status is -4095 .. -1
_BODY_EVENTS: Final = (Event.SUBMIT, Event.REPLY, Event.FAILURE, Event.REQUEST)

Range = tuple[int, int]  # unsigned, both ends included
Entry = tuple[str, bytes]  # a map and a key


@dataclass(frozen=True, slots=True)
class Input:
    """One input. `body`: of a raw hook the memory. `fields`: by the names of FIELDS, unsigned; what is absent is 0.

    `entries`: values by map and key. `patches`: bytes of data sections by section and offset.
    """

    body: bytes = b""
    fields: tuple[tuple[str, int], ...] = ()
    entries: tuple[tuple[Entry, bytes], ...] = ()
    patches: tuple[tuple[tuple[str, int], bytes], ...] = ()
    empty: frozenset[str] = frozenset()
    timers: frozenset[int] = frozenset()
    held: frozenset[int] = frozenset()

    def field(self, name: str) -> int:
        """Return a field of the message, or the clock, unsigned."""
        return dict(self.fields).get(name, 0)

    def value(self, atom: Atom) -> int:
        """Return what this input chooses for an atom."""
        match atom.name:
            case ("memory", int(at)):
                return self.body[at] if at < len(self.body) else 0
            case ("length",):
                return len(self.body)
            case ("field", str(name)):
                return self.field(name)
            case ("value", str(name), str(key), int(at)):
                held = dict(self.entries).get((name, bytes.fromhex(key)), b"")
                return held[at] if at < len(held) else 0
            case ("section", str(name), int(at)):
                return dict(self.patches).get((name, at), b"\0")[0]
        raise AssertionError(atom)


@dataclass(frozen=True, slots=True)
class Shape:
    """What inputs a handler may be given. `fields`: the ranges of each; `longest`: bytes of a body.

    `sizes`: of map values; `initial`: data sections as the program has them; `fixed`: the body has one length.
    """

    fields: Mapping[str, tuple[Range, ...]]
    longest: int
    fixed: bool
    sizes: Mapping[str, int]
    initial: Mapping[str, bytes]

    def ranges(self, atom: Atom) -> tuple[Range, ...]:
        """Return what an atom may be."""
        match atom.name:
            case ("length",):
                return ((self.longest if self.fixed else 0, self.longest),)
            case ("field", str(name)):
                return self.fields[name]
            case _:
                return ((0, atom.bits),)

    def allows(self, atom: Atom, value: int) -> bool:
        """Whether an atom may have a value."""
        return any(first <= value <= last for first, last in self.ranges(atom))

    def value(self, given: Input, atom: Atom) -> int:
        """Return an atom's value; bytes of a data section that the input leaves alone are the program's own."""
        match atom.name:
            case ("section", str(name), int(at)) if (name, at) not in dict(given.patches):
                content = self.initial[name]
                return content[at] if at < len(content) else 0
        return given.value(atom)

    def changed(self, given: Input, values: Mapping[Atom, int]) -> Input | None:
        """Return the input with other values of some atoms, or None if that may not be."""
        if not all(self.allows(atom, value) for atom, value in values.items()):
            return None
        length = values.get(LENGTH, len(given.body))
        body = bytearray(given.body[:length].ljust(length, b"\0"))
        fields, patches = dict(given.fields), dict(given.patches)
        entries = {entry: bytearray(value) for entry, value in given.entries}
        for atom, value in values.items():
            match atom.name:
                case ("memory", int(at)) if at < length:
                    body[at] = value
                case ("field", str(name)):
                    fields[name] = value
                case ("value", str(name), str(key), int(at)):
                    entry = (name, bytes.fromhex(key))
                    entries.setdefault(entry, bytearray(self.sizes[name]))[at] = value
                case ("section", str(name), int(at)):
                    patches[name, at] = bytes([value])
        return replace(
            given,
            body=bytes(body),
            fields=tuple(sorted(fields.items())),
            entries=tuple(sorted((entry, bytes(value)) for entry, value in entries.items())),
            patches=tuple(sorted(patches.items())),
        )

    def simplest(self) -> Input:
        """Return the input of zeros, or of the least values that are allowed."""
        fields = tuple(sorted((name, ranges[0][0]) for name, ranges in self.fields.items() if ranges[0][0]))
        return Input(bytes(self.longest if self.fixed else 0), fields)


def shape(program: Program, handler: Handler, *, wide: bool = False) -> Shape:
    """Return what inputs `handler` may be given by a kernel; if `wide`, whatever fits into the context's fields."""
    sizes = {spec.name: spec.value_size for spec in program.maps}
    initial = {spec.name: spec.initial for spec in program.maps if spec.is_data}
    event = handler.hook.event
    if event is None:
        return Shape({}, handler.hook.context_bytes, True, sizes, initial)
    pairs = sorted(_operations(program, handler))
    fields = {
        "tag": ((0, U64),), "badge": ((0, U64),), "now": ((0, LATEST),), "ncaps": ((0, 4),), "flags": ((0, U32),),
        "op": _ranges({op for _slot, op in pairs}) or ((0, U32),),
        "slot": _ranges({slot for slot, _op in pairs} or {NO_SLOT if event is Event.REQUEST else 0}),
        "status": ((-_STATUS & U32, U32),) if event is Event.FAILURE else ((0, 0),),
    }  # fmt: skip
    if wide:
        fields |= dict.fromkeys(WIDENED, ((0, U32),))
    return Shape(fields, limits.BODY_BYTES if event in _BODY_EVENTS else 0, False, sizes, initial)


def _operations(program: Program, handler: Handler) -> Iterator[tuple[int, int]]:
    """Yield the slots and operations that the context of a handler's events may name."""
    event = handler.hook.event
    if event in (Event.TIMER, Event.SCHEDULE):
        yield NO_SLOT, 0
        return
    served: list[tuple[int, OpSpec]] = [
        (number, op) for number, slot in enumerate(program.slots) for op in slot.protocol.ops
    ]
    if event is Event.REQUEST:
        served = [(NO_SLOT, op) for protocol in program.serves for op in protocol.ops]
    special = [h for h in program.handlers if h.selector and h.hook.event is event]
    for slot, op in served:
        taker = next((h for h in special if matches(program, h, slot, op.number)), None)
        if taker is (handler if handler.selector else None):
            yield slot, op.number


def _ranges(values: set[int]) -> tuple[Range, ...]:
    return tuple((value, value) for value in sorted(values))


# --- as JSON ---------------------------------------------------------------------------------------------------------


def to_json(given: Input, handler: str, fuel: int | None) -> dict[str, Any]:
    """Return an input as data, what is zero or empty left out."""
    message = {name: _signed(name, value) for name, value in given.fields if value and name != "now"}
    data: dict[str, Any] = {"handler": handler}
    parts = {
        "message": message,
        "now": given.field("now"),
        "body": {"length": len(given.body), "bytes": pieces(given.body)} if given.body else None,
        "maps": [{"map": name, "key": key.hex(), "value": value.hex()} for (name, key), value in given.entries],
        "state": [{"section": n, "offset": at, "value": value.hex()} for (n, at), value in _runs(given.patches)],
        "empty_slots": sorted(given.empty),
        "timers": sorted(given.timers),
        "held": sorted(given.held),
    }
    data |= {name: part for name, part in parts.items() if part}
    return data if fuel is None else {**data, "fuel": fuel}


def pieces(data: bytes) -> dict[str, str]:
    """Return what is not zero, as hexadecimal digits by offset; short gaps are kept within a piece."""
    found: dict[str, str] = {}
    at = 0
    while at < len(data):
        if not data[at]:
            at += 1
            continue
        end = at + 1
        while any(data[end : end + 8]):
            end += 1
        found[str(at)] = data[at:end].hex()
        at = end
    return found


def _runs(patches: tuple[tuple[tuple[str, int], bytes], ...]) -> list[tuple[tuple[str, int], bytes]]:
    """Return patches with adjacent ones put together."""
    found: list[tuple[tuple[str, int], bytes]] = []
    for (name, at), value in patches:
        if found and found[-1][0][0] == name and found[-1][0][1] + len(found[-1][1]) == at:
            found[-1] = (found[-1][0], found[-1][1] + value)
        else:
            found.append(((name, at), value))
    return found


def _signed(name: str, value: int) -> int:
    return value - (1 << 32) if name == "status" and value >> 31 else value


def from_json(text: str) -> tuple[str | None, Input, int | None]:
    """Return (handler, input, fuel) from JSON text; raises GraftError G0706 for what has not the shape shown above."""
    try:
        data = json.loads(text)
        body = data.get("body", {})
        length = int(body.get("length", 0))
        if not 0 <= length <= limits.MAP_TOTAL_BYTES:
            raise ValueError(f"a body of {length} bytes")
        memory = bytearray(length)
        for at, digits in body.get("bytes", {}).items():
            piece = bytes.fromhex(digits)
            if int(at) < 0 or int(at) + len(piece) > len(memory):
                raise ValueError(f"the bytes at {at} are not within the body's length of {len(memory)}")
            memory[int(at) : int(at) + len(piece)] = piece
        fields = {name: int(number) % (1 << 8 * FIELDS[name]) for name, number in data.get("message", {}).items()}
        fields["now"] = int(data.get("now", 0))
        given = Input(
            bytes(memory),
            tuple(sorted((name, number) for name, number in fields.items() if number)),
            tuple(
                sorted(((e["map"], bytes.fromhex(e["key"])), bytes.fromhex(e["value"])) for e in data.get("maps", []))
            ),
            tuple(
                sorted(
                    ((e["section"], int(e["offset"]) + index), bytes([octet]))
                    for e in data.get("state", [])
                    for index, octet in enumerate(bytes.fromhex(e["value"]))
                )
            ),
            frozenset(data.get("empty_slots", [])),
            frozenset(data.get("timers", [])),
            frozenset(data.get("held", [])),
        )
        return data.get("handler"), given, data.get("fuel")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _bad(str(error)) from error


def _bad(why: str) -> GraftError:
    return fail("G0706", f"this is no input of a run: {why}", helps=("`graft verify --witness` prints what is one",))
