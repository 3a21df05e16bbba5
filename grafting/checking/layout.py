"""Where everything lies in memory: struct fields, arguments of operations, variables in their data sections.

Little-endian, natural alignment, and *no implicit padding*: the layout is what the source shows, so that a struct of
the source, a struct in C and the bytes of a message agree without anybody counting. A field that would need padding
is an error whose help says what to insert:

    struct Row { kind: u32, key: u64 }      // error: insert `_pad: [u8; 4]` before `key`

Variables in a data section have no such duty, nobody overlays them: they are simply placed at the next offset that
their alignment allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grafting import limits
from grafting.checking.reporter import Reporter
from grafting.diagnostics import Label, Span
from grafting.program import OpSpec, ProtocolSpec
from grafting.types import FieldType, StructType, Type


@dataclass(frozen=True, slots=True)
class FieldDeclaration:
    """A field of a struct or parameter of an operation, its type resolved."""

    name: str
    type: Type
    span: Span  # of the name


@dataclass(frozen=True, slots=True)
class OpLayout:
    """An operation and how its request body is laid out.

    `shape` is "none" (empty body), "fields" (the parameters as the struct `body`), "struct" (one parameter, the struct
    `body` itself) or "raw" (any bytes). `reply` is what `msg.reply` views.
    """

    spec: OpSpec
    shape: str
    body: StructType | None
    reply: StructType | None
    span: Span

    @property
    def parameters(self) -> int:
        """How many operands a send of it takes; for raw bodies there may also be none."""
        match self.shape:
            case "fields":
                return len(self.body.fields) if self.body else 0
            case "none":
                return 0
            case _:
                return 1


@dataclass(frozen=True, slots=True)
class ProtocolLayout:
    """A protocol with the layout of its operations, by name. `sound` is False if its declaration has an error."""

    spec: ProtocolSpec
    ops: dict[str, OpLayout]
    sound: bool
    span: Span


def align_up(offset: int, alignment: int) -> int:
    """Return the least multiple of `alignment` that is at least `offset` (both bytes)."""
    return (offset + alignment - 1) // alignment * alignment


def lay_out(name: str, fields: Sequence[FieldDeclaration], report: Reporter, span: Span) -> StructType | None:
    """Return the struct of these fields, each at the end of the one before; None if that was reported as an error."""
    before = report.count
    offset, alignment = 0, 1
    placed: dict[str, Span] = {}
    laid: list[FieldType] = []
    for field in fields:
        if field.name in placed:
            report.error(
                "G0202", f"`{field.name}` is declared twice in `{name}`", field.span, "declared again here",
                labels=(Label(placed[field.name], "first declared here"),),
            )  # fmt: skip
            continue
        gap = align_up(offset, field.type.align) - offset
        if gap:
            _report_gap(name, field, offset, gap, _unused("_pad", fields), report)
            offset += gap
        placed[field.name] = field.span
        laid.append(FieldType(field.name, field.type, offset))
        offset += field.type.size
        alignment = max(alignment, field.type.align)
    tail = align_up(offset, alignment) - offset
    if tail and report.count == before:
        report.error(
            "G0305", f"`{name}` would need {_bytes(tail)} of padding at its end", fields[-1].span,
            f"ends at offset {offset}",
            notes=(f"its size must be a multiple of its alignment, {alignment}, and padding is never implicit",),
            helps=(f"insert `{_unused('_pad', fields)}: [u8; {tail}]` after it",),
        )  # fmt: skip
    if not fields:
        report.error("G0312", f"`{name}` has no fields", span, "a struct has at least one field")
    if offset > limits.MAP_VALUE_BYTES:
        report.error(
            "G0306", f"`{name}` has {offset} bytes, more than {limits.MAP_VALUE_BYTES}", span,
            notes=("no message and no map value is longer",),
        )  # fmt: skip
    return StructType(name, tuple(laid), offset, alignment) if report.count == before else None


def _report_gap(
    name: str, field: FieldDeclaration, offset: int, gap: int, padding: str, report: Reporter
) -> None:  # fmt: skip
    report.error(
        "G0305", f"`{field.name}` would need {_bytes(gap)} of padding before it", field.span,
        f"offset {offset} is no multiple of {field.type.align}",
        notes=(f"a `{field.type}` is aligned to {_bytes(field.type.align)}; padding in `{name}` is never implicit",),
        helps=(f"insert `{padding}: [u8; {gap}]` before it",),
    )  # fmt: skip


def _unused(stem: str, fields: Sequence[FieldDeclaration]) -> str:
    taken = {field.name for field in fields}
    names = (stem if n == 1 else f"{stem}{n}" for n in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)


def _bytes(count: int) -> str:
    return f"{count} byte" if count == 1 else f"{count} bytes"


class Section:
    """A data section being filled: hands out offsets, remembers the initial bytes."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.size = 0

    def place(self, type_: Type) -> int:
        """Return the offset in bytes of a new variable of this type."""
        offset = align_up(self.size, type_.align)
        self.size = offset + type_.size
        return offset
