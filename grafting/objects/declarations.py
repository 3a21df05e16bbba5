"""What a C program says with the macros of `graft.h`: capability slots, protocols, budgets.

The compiler of the language writes `.graft`; clang cannot. So the macros put records of fixed size into sections of
their own, which any compiler can do and which need no debug info:

    .graft.slots     GRAFT_SLOT(disk, 0, block, GRAFT_SEND);              name, protocol, number, rights
    .graft.ops       GRAFT_OP(block, read, 0, struct key, struct node);   an operation and the sizes of its bodies
    .graft.serves    GRAFT_SERVE(kv);                                     a protocol that the graft serves
    .graft.budgets   GRAFT_BUDGET("graft/reply", 400, 1, 256);            the contract of one handler

The layouts below are those of the structs that `grafting.header` prints; names are NUL-terminated and fill what is
left with NULs. Like `.graft` these are declarations of a stranger; they widen nothing (see
`grafting.objects.metadata`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Any, Final

from grafting import limits
from grafting.objects.elf import Elf, Where
from grafting.objects.metadata import HandlerNote, Metadata
from grafting.objects.untrusted import Value
from grafting.program import Budget, OpSpec, ProtocolSpec, SlotSpec

NAME_BYTES: Final = 32
SECTION_BYTES: Final = 64
SEND, GRANT = 1, 2  # rights
NO_LIMIT: Final = (1 << 64) - 1  # of a budget's part that says nothing


@dataclass(frozen=True, slots=True)
class Record:
    """A record of a section: its C struct's name, and its fields as (name, bytes), a text if over 8 bytes."""

    section: str
    struct: str
    fields: tuple[tuple[str, int], ...]

    @property
    def layout(self) -> Struct:
        """The packed form; fields are in natural alignment, without gaps."""
        return Struct("<" + "".join({4: "I", 8: "Q"}.get(size, f"{size}s") for _, size in self.fields))


SLOT = Record(
    ".graft.slots", "graft_slot",
    (("name", NAME_BYTES), ("protocol", NAME_BYTES), ("number", 4), ("rights", 4)),
)  # fmt: skip
OP = Record(
    ".graft.ops", "graft_op",
    (("protocol", NAME_BYTES), ("name", NAME_BYTES), ("reply", NAME_BYTES), ("number", 4), ("request_min", 4),
     ("request_max", 4), ("reply_bytes", 4)),
)  # fmt: skip
SERVE = Record(".graft.serves", "graft_serve", (("protocol", NAME_BYTES),))
BUDGET = Record(
    ".graft.budgets", "graft_budget",
    (("section", SECTION_BYTES), ("instructions", 8), ("sends", 8), ("bytes", 8)),
)  # fmt: skip
RECORDS: Final = (SLOT, OP, SERVE, BUDGET)


def present(elf: Elf) -> bool:
    """Whether an object has any of the sections."""
    return any(section.name == record.section for section in elf.sections for record in RECORDS)


def read(elf: Elf, name: str) -> Metadata:
    """Return what the sections say of the program `name`; raises GraftError G0527."""
    protocols = _protocols(elf)
    slots = sorted(_rows(elf, SLOT, limits.CAPABILITY_SLOTS), key=lambda row: row["number"])
    for expected, row in enumerate(slots):
        if row["number"] != expected:
            raise elf.where(SLOT.section).error(
                "G0527", f"slot `{row['name']}` has number {row['number']}; slots are numbered 0, 1, .. without gaps"
            )
        if row["rights"] & ~(SEND | GRANT):
            raise elf.where(SLOT.section).error("G0527", f"slot `{row['name']}` has unknown rights {row['rights']:#x}")
    budgets = _rows(elf, BUDGET, limits.PROGRAM_HANDLERS)
    return Metadata(
        name=name,
        handlers=tuple(HandlerNote(row["section"], budget=_budget(row)) for row in budgets),
        slots=tuple(
            SlotSpec(
                row["name"],
                protocols.get(row["protocol"], ProtocolSpec(row["protocol"], ())),
                bool(row["rights"] & SEND),
                bool(row["rights"] & GRANT),
            )
            for row in slots
        ),
        serves=tuple(
            protocols.get(row["protocol"], ProtocolSpec(row["protocol"], ()))
            for row in _rows(elf, SERVE, limits.PROGRAM_HANDLERS)
        ),
    )


def _protocols(elf: Elf) -> dict[str, ProtocolSpec]:
    """Return the protocols that have operations, by name; the operations in order of number."""
    ops: dict[str, dict[int, OpSpec]] = {}
    for row in _rows(elf, OP, limits.PROTOCOL_OPS):
        where = elf.where(OP.section)
        found = ops.setdefault(row["protocol"], {})
        if row["number"] in found or any(op.name == row["name"] for op in found.values()):
            raise where.error("G0527", f"operation {row['number']} `{row['name']}` of {row['protocol']} is there twice")
        if not row["request_min"] <= row["request_max"] <= limits.BODY_BYTES or row["reply_bytes"] > limits.BODY_BYTES:
            raise where.error("G0527", f"operation `{row['name']}` has bodies of impossible size")
        found[row["number"]] = OpSpec(
            row["name"], row["number"], row["request_min"], row["request_max"], row["reply"], row["reply_bytes"]
        )
    return {name: ProtocolSpec(name, tuple(found[n] for n in sorted(found))) for name, found in ops.items()}


def _budget(row: dict[str, Any]) -> Budget:
    numbers = {part: None if row[part] == NO_LIMIT else row[part] for part in ("instructions", "sends", "bytes")}
    return Budget(numbers["instructions"], numbers["sends"], numbers["bytes"])


def _rows(elf: Elf, record: Record, most: int) -> list[dict[str, Any]]:
    """Return the records of a section, each as a mapping from field to text or number."""
    section = elf.named(record.section)
    if section is None:
        return []
    where, layout = elf.where(section), record.layout
    if elf.relocations.get(section.number) or len(section.data) % layout.size:
        raise where.error("G0527", f"{section.size} bytes, not records of {layout.size} bytes without addresses")
    if len(section.data) // layout.size > most:
        raise where.error("G0527", f"{len(section.data) // layout.size} records, at most {most}")
    return [
        dict(_fields(record, values, elf.where(section, index * layout.size)))
        for index, values in enumerate(layout.iter_unpack(section.data))
    ]


def _fields(record: Record, values: tuple[Any, ...], where: Where) -> Iterator[tuple[str, Any]]:
    for (name, _), value in zip(record.fields, values, strict=True):
        if isinstance(value, int):
            yield name, value
            continue
        text, terminator, rest = value.partition(b"\0")
        if not terminator or any(rest) or not text.isascii():
            raise where.error("G0527", f"`{name}` of {record.struct} is not a text with a NUL at its end")
        yield name, _checked(name, text.decode("ascii"), where)


def _checked(field: str, text: str, where: Where) -> str:
    value = Value(text, f".{field}", where, "G0527")
    match field:
        case "section":
            return value.label()
        case "reply":
            return value.type_name() if text else ""
        case _:
            return value.name()
