"""The section `.graft`: what an object says about itself beside its code.

It lets `verifier` check budgets and rights and `jit` run tests without knowing the language. It is one JSON text in
UTF-8, at most 4 MiB, readable with `readelf -p .graft`:

    {"graft": 1, "name": "retry", "handlers": [{"section": "graft/timer", "budget": {"instructions": 400}}],
     "protocols": [{"name": "block", "ops": [{"name": "read", "number": 0, "request": [8, 8], "reply": "Node"}]}],
     "slots": [{"name": "disk", "protocol": 0, "send": true, "grant": true}], "serves": [],
     "maps": [{"name": "wanted", "key": "u64", "value": "u64"}],
     "types": {"Node": {"struct": [["count", "u32", 0]], "size": 4}, "Kind": {"enum": "u32", "variants": [["a", 0]]}},
     "tests": [{"name": "finds", "span": [9, 1, 80, 99], "steps": [{"do": "now", "ns": 5}]}],
     "source": {"filename": "retry.graft", "text": "graft retry ..."}, "spans": [[9, 1, 80, 99]]}

The source text is carried whole, so that a message about an object reads like one about its source; a span is
[line, column, start, end]. A handler's `names` say which value is where (`grafting.program.ValueName`):
["i", "u64", 29, 57, "r", 4, 0] is `i` in r4 at slots 29 to 57; "s" is a stack slot, "c" a constant. `handlers` and
`maps` also give the order of `Program.handlers` and `Program.maps`.

**Untrusted.** Nothing here widens what code may do. Hooks come from section names, maps from `.maps` and their BTF;
a declared slot is a demand on whoever attaches the program, and a budget a limit that the proven bound is held to; so
a lie costs a rejection, a refused attach or a wrong message. What names a section or map that is not there is ignored:
tools may strip sections. Malformed metadata is an error (G0540) rather than ignored: without its slots the code would
be rejected with a reason that is not the true one. A newer version is G0541.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from grafting import isa, limits
from grafting.diagnostics import NO_SPAN, Source, Span, fail
from grafting.objects.elf import Where
from grafting.objects.untrusted import Value
from grafting.program import (
    Budget,
    Constant,
    DebugInfo,
    OpSpec,
    Place,
    ProtocolSpec,
    Register,
    SlotSpec,
    StackSlot,
    TestCase,
    ValueName,
)
from grafting.types import ArrayType, BoolType, EnumType, IntType, StructType, Type

if TYPE_CHECKING:
    from grafting import typed

SECTION: Final = ".graft"
VERSION: Final = 1
_U32, _U64, _I15, _I63 = (1 << 32) - 1, (1 << 64) - 1, (1 << 15) - 1, (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class HandlerNote:
    """What is said of the handler in `section`; `name` is empty if the section's name gives it."""

    section: str
    name: str = ""
    budget: Budget = field(default_factory=Budget)
    names: tuple[ValueName, ...] = ()


@dataclass(frozen=True, slots=True)
class MapNote:
    """The names of a map's types, as in `MapSpec`."""

    name: str
    key_type: str = ""
    value_type: str = ""


@dataclass(frozen=True, slots=True)
class Metadata:
    """All of `.graft`; the fields are those of `Program`."""

    name: str
    handlers: tuple[HandlerNote, ...] = ()
    maps: tuple[MapNote, ...] = ()
    slots: tuple[SlotSpec, ...] = ()
    serves: tuple[ProtocolSpec, ...] = ()
    tests: tuple[TestCase, ...] = ()
    debug: DebugInfo = field(default_factory=DebugInfo)


def of_graft(graft: typed.Graft, spans: Mapping[tuple[int, int], Span]) -> Metadata:
    """Return what the compiler says of a graft; `spans` are the source ranges by the (line, column) of line info."""
    types = {name: described for name, type_ in graft.types.items() if (described := describe(type_))}
    return Metadata(
        name=graft.name,
        handlers=tuple(HandlerNote(f"graft/{h.name}", budget=h.budget) for h in graft.handlers),
        maps=tuple(MapNote(m.name, m.spec.key_type, m.spec.value_type) for m in graft.maps),
        slots=graft.slots,
        serves=graft.serves,
        tests=graft.tests,
        debug=DebugInfo(graft.source, types, spans),
    )


def describe(type_: Type) -> dict[str, Any] | None:
    """Return the description of a struct or enum, or None for types that their name describes."""
    match type_:
        case StructType(_, fields, size, _):
            return {"struct": [[f.name, str(f.type), f.offset] for f in fields], "size": size}
        case EnumType(_, base, variants):
            return {"enum": str(base), "variants": [[name, value] for name, value in variants]}
        case IntType() | BoolType() | ArrayType():
            return None


# --- writing ---------------------------------------------------------------------------------------------------------


def encode(metadata: Metadata) -> bytes:
    """Return the bytes of a `.graft` section; raises GraftError G0542 if they are too many."""
    protocols = list(dict.fromkeys([slot.protocol for slot in metadata.slots] + list(metadata.serves)))
    debug = metadata.debug
    content = {
        "graft": VERSION,
        "name": metadata.name,
        "handlers": [_handler(note) for note in metadata.handlers],
        "protocols": [{"name": p.name, "ops": [_op(op) for op in p.ops]} for p in protocols],
        "slots": [
            _sparse({"name": slot.name, "protocol": protocols.index(slot.protocol)}, send=slot.send, grant=slot.grant)
            for slot in metadata.slots
        ],
        "serves": [protocols.index(protocol) for protocol in metadata.serves],
        "maps": [_sparse({"name": note.name}, key=note.key_type, value=note.value_type) for note in metadata.maps],
        "types": dict(debug.types),
        "tests": [
            {"name": test.name, "span": _span(test.span), "steps": [dict(step) for step in test.steps]}
            for test in metadata.tests
        ],
        "spans": [[line, column, span.start, span.end] for (line, column), span in debug.spans.items()],
    }
    if debug.source is not None:
        content["source"] = {"filename": debug.source.filename, "text": debug.source.text}
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    data = text.encode("utf-8", "surrogatepass")
    if len(data) > limits.METADATA_BYTES:
        raise fail("G0542", f"{len(data)} bytes of metadata, at most {limits.METADATA_BYTES}", source=debug.source)
    return data


def _sparse(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    """Return both together, leaving out what is empty or false."""
    return required | {name: value for name, value in optional.items() if value}


def _span(span: Span) -> list[int]:
    return [span.line, span.column, span.start, span.end]


def _handler(note: HandlerNote) -> dict[str, Any]:
    budget = note.budget
    numbers = {"instructions": budget.instructions, "sends": budget.sends, "bytes": budget.bytes_sent}
    content: dict[str, Any] = {name: value for name, value in numbers.items() if value is not None}
    if budget.span.known:
        content["span"] = _span(budget.span)
    names = [[n.name, n.type, n.first_pc, n.last_pc, *_place(n.place), n.plus] for n in note.names]
    return _sparse({"section": note.section}, name=note.name, budget=content, names=names)


def _place(place: Place | Constant) -> tuple[str, int]:
    match place:
        case Register(number):
            return "r", number
        case StackSlot(offset):
            return "s", offset
        case Constant(value):
            return "c", value


def _op(op: OpSpec) -> dict[str, Any]:
    required = {"name": op.name, "number": op.number, "request": [op.request_min, op.request_max]}
    return _sparse(required, reply=op.reply_type, reply_bytes=op.reply_bytes)


# --- reading ---------------------------------------------------------------------------------------------------------


def decode(data: bytes, where: Where) -> Metadata:
    """Return what a `.graft` section says. Raises GraftError G0540 malformed, G0541 of a newer version."""
    top = Value.parse(data, where, "G0540", most=limits.METADATA_BYTES)
    version = top["graft"].number(0, _U32)
    if version != VERSION:
        raise where.error("G0541", f"metadata of version {version}; this release reads version {VERSION}")
    source = _source(top.get("source"))
    read = _Reader(len(source.text) if source else limits.SOURCE_BYTES)
    protocols = [read.protocol(value) for value in top["protocols"].items(limits.METADATA_BYTES)]

    def protocol(value: Value) -> ProtocolSpec:
        return protocols[value.number(0, len(protocols) - 1)]

    return Metadata(
        name=top["name"].label(),
        handlers=tuple(read.handler(value) for value in top["handlers"].items(limits.PROGRAM_HANDLERS)),
        maps=tuple(read.map(value) for value in top["maps"].items(limits.PROGRAM_MAPS)),
        slots=tuple(
            SlotSpec(v["name"].name(), protocol(v["protocol"]), v.flag("send"), v.flag("grant"))
            for v in top["slots"].items(limits.CAPABILITY_SLOTS)
        ),
        serves=tuple(protocol(value) for value in top["serves"].items(limits.PROGRAM_HANDLERS)),
        tests=tuple(read.test(value) for value in top["tests"].items(limits.METADATA_BYTES)),
        debug=DebugInfo(
            source,
            {name: read.type(value) for name, value in top["types"].fields()},
            {(s.line, s.column): s for value in top["spans"].items(limits.METADATA_BYTES) for s in (read.span(value),)},
        ),
    )


def _source(value: Value | None) -> Source | None:
    if value is None:
        return None
    return Source(value["filename"].text(limits.OBJECT_NAME_BYTES), value["text"].text(limits.SOURCE_BYTES))


class _Reader:
    """Reads the parts that may point into a source text of `characters` characters."""

    def __init__(self, characters: int) -> None:
        self.characters = characters

    def span(self, value: Value) -> Span:
        """Read a span; one that leaves the text would make a message of any length."""
        line, column, start, end = (v.number(0, self.characters + 1) for v in value.exactly(4))
        if not start <= end <= self.characters:
            raise value.error(f"from {start} to {end} in a text of {self.characters} characters")
        return Span(line, column, start, end)

    def protocol(self, value: Value) -> ProtocolSpec:
        return ProtocolSpec(value["name"].name(), tuple(self.op(v) for v in value["ops"].items(limits.METADATA_BYTES)))

    def op(self, value: Value) -> OpSpec:
        least, most = (v.number(0, limits.BODY_BYTES) for v in value["request"].exactly(2))
        if least > most:
            raise value.error(f"a request of {least} to {most} bytes")
        reply, reply_bytes = value.get("reply"), value.get("reply_bytes")
        return OpSpec(
            value["name"].name(),
            value["number"].number(0, _U32),
            least,
            most,
            reply.type_name() if reply else "",
            reply_bytes.number(0, limits.BODY_BYTES) if reply_bytes else 0,
        )

    def handler(self, value: Value) -> HandlerNote:
        name, budget = value.get("name"), value.get("budget")
        return HandlerNote(
            value["section"].text(limits.OBJECT_NAME_BYTES),
            name.label() if name else "",
            self.budget(budget) if budget else Budget(),
            self.names(value.get("names")),
        )

    def names(self, value: Value | None) -> tuple[ValueName, ...]:
        return tuple(self.value_name(item) for item in value.items(limits.HANDLER_NAMES)) if value else ()

    def value_name(self, value: Value) -> ValueName:
        name, type_, first, last, kind, place, plus = value.exactly(7)
        from_pc = first.number(0, limits.PROGRAM_SLOTS - 1)
        return ValueName(
            name.label(),
            type_.type_name() if type_.content != "" else "",
            from_pc,
            last.number(from_pc, limits.PROGRAM_SLOTS - 1),
            self.place(kind, place),
            plus.number(-_I63 - 1, _U64),
        )

    def place(self, kind: Value, place: Value) -> Place | Constant:
        match kind.content:
            case "r":
                return Register(place.number(0, isa.REGISTERS - 2))
            case "s":
                return StackSlot(place.number(-_I15 - 1, -1))
            case "c":
                return Constant(place.number(-_I63 - 1, _U64))
        raise kind.error("not `r`, `s` or `c`")

    def budget(self, value: Value) -> Budget:
        found = {name: value.get(name) for name in ("instructions", "sends", "bytes")}
        numbers = {name: number.number(0, _U64) for name, number in found.items() if number is not None}
        span = value.get("span")
        return Budget(
            numbers.get("instructions"),
            numbers.get("sends"),
            numbers.get("bytes"),
            self.span(span) if span else NO_SPAN,
        )

    def map(self, value: Value) -> MapNote:
        key, stored = value.get("key"), value.get("value")
        return MapNote(
            value["name"].text(limits.OBJECT_NAME_BYTES),
            key.type_name() if key else "",
            stored.type_name() if stored else "",
        )

    def type(self, value: Value) -> dict[str, Any]:
        enum = value.get("enum")
        if enum is not None:
            variants = [v.exactly(2) for v in value["variants"].items(limits.METADATA_BYTES)]
            return {"enum": enum.type_name(), "variants": [[n.name(), v.number(-_I63 - 1, _U64)] for n, v in variants]}
        fields = [v.exactly(3) for v in value["struct"].items(limits.METADATA_BYTES)]
        return {
            "struct": [[n.name(), t.type_name(), o.number(0, limits.MAP_VALUE_BYTES)] for n, t, o in fields],
            "size": value["size"].number(0, limits.MAP_VALUE_BYTES),
        }

    def test(self, value: Value) -> TestCase:
        steps = tuple(self.step(v) for v in value["steps"].items(limits.METADATA_BYTES))
        return TestCase(value["name"].text(limits.SOURCE_BYTES), self.span(value["span"]), steps)

    def step(self, value: Value) -> Mapping[str, Any]:
        """Check a step against the shapes of `grafting.testcases`."""
        kind = value["do"].text(limits.OBJECT_NAME_BYTES)
        if kind not in _STEPS:
            raise value.error(f"unknown step `{kind}`")
        _check(value, _STEPS[kind])
        return dict(value.content)


# Field name -> what it must hold; a "?" allows null and absence.
_STEPS: Final[Mapping[str, Mapping[str, str]]] = {
    "map": {"map": "text", "key": "hex", "value": "hex"},
    "state": {"section": "text", "offset": "number", "value": "hex"},
    "now": {"ns": "number"},
    "event": {
        "handler": "text?", "tag": "number", "badge": "number", "status": "number", "slot": "number", "op": "number",
        "body": "hex", "line": "number?",
    },
    "expect": {
        "verdict": "number", "verdict_text": "text?", "line": "number?", "sent": "sends", "armed": "pairs",
        "released": "releases?", "answer": "answer?",
    },
    "expect_map": {"map": "text", "key": "hex", "value": "hex?", "line": "number?", "text": "text?"},
    "expect_state": {"section": "text", "offset": "number", "value": "hex", "line": "number?", "text": "text?"},
}  # fmt: skip
_SENT: Final = {"slot": "number", "op": "number", "tag": "number?", "body": "hex", "text": "text?"}
_ANSWER: Final = {"status": "number", "body": "hex"}


def _check(value: Value, shape: Mapping[str, str]) -> None:
    for name, kind in shape.items():
        if kind.endswith("?"):
            present = value.get(name)
            if present is None:
                continue
            item = present
        else:
            item = value[name]
        _check_item(item, kind.removesuffix("?"))


def _check_item(item: Value, kind: str) -> None:
    match kind:
        case "text":
            item.text(limits.SOURCE_BYTES)
        case "number":
            item.number(-_I63 - 1, _U64)
        case "hex":
            item.hex(limits.MAP_VALUE_BYTES)
        case "sends":
            for sent in item.items(limits.METADATA_BYTES):
                _check(sent, _SENT)
        case "pairs":
            for pair in item.items(limits.METADATA_BYTES):
                for number in pair.exactly(2):
                    number.number(0, _U64)
        case "releases":
            for pair in item.items(limits.METADATA_BYTES):
                tag, status = pair.exactly(2)
                tag.number(0, _U64)
                status.number(-(1 << 31), (1 << 31) - 1)
        case _:
            _check(item, _ANSWER)


def ordered(names: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Return the places of `names` in the order of `wanted`; in their own order unless both are the same names."""
    if len(set(wanted)) == len(wanted) and set(wanted) == set(names):
        return [names.index(name) for name in wanted]
    return list(range(len(names)))
