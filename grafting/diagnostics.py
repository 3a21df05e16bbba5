"""What is said to the user, as values: the library never prints.

There are two families of failure. `GraftError` is caused by the user's input and always carries at least one
`Diagnostic`, each with a stable code (`G0101`), a place and a reason. `InternalError` is a bug of this project; the
command line prints it with a request to report it and exits with 3.

A `Diagnostic` is rendered by `grafting.render`; this module holds only the data.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A half-open range of characters in one source text.

    `line` and `column` are those of the first character, counted from 1; `start` and `end` are character offsets
    from 0. A span whose `line` is 0 has no place in a source text (bytecode without line info).
    """

    line: int
    column: int
    start: int
    end: int

    def to(self, other: Span) -> Span:
        """Return the span from the start of this one to the end of `other`."""
        return Span(self.line, self.column, self.start, max(self.end, other.end))

    @property
    def known(self) -> bool:
        """Whether the span points into a source text."""
        return self.line > 0


NO_SPAN = Span(0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Source:
    """A named source text: what spans index into."""

    filename: str
    text: str

    def line_text(self, line: int) -> str:
        """Return line `line` (from 1) without its newline, or the empty string past the end."""
        lines = self.text.split("\n")
        return lines[line - 1].rstrip("\r") if 0 < line <= len(lines) else ""


class Severity(Enum):
    """How much a diagnostic matters; only errors make a command fail."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Label:
    """A span with a few words under it."""

    span: Span
    message: str = ""


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace the characters of `span` by `text`."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One thing to tell the user.

    `code` is stable and documented (`G` and four digits); `primary` is where the caret goes; `labels` are further
    places that explain it; `notes` say why; `helps` say what edit would mend it. `pc` is the instruction concerned,
    where bytecode is (counted in 8-byte slots from the start of `handler`). `edits` together make the change that the
    first of `helps` describes, if the place and the text of it are known. `path` says what was decided on the way to
    the place, first things first, for people: each a span (NO_SPAN if unknown) and a sentence. `decisions` are the
    branches, as (pc, taken), that lead from the handler's start to `pc`, first things first: for the search for a
    witness, not for people.
    """

    code: str
    message: str
    primary: Label
    source: Source | None = None
    severity: Severity = Severity.ERROR
    labels: tuple[Label, ...] = ()
    notes: tuple[str, ...] = ()
    helps: tuple[str, ...] = ()
    handler: str | None = None
    pc: int | None = None
    edits: tuple[Edit, ...] = ()
    path: tuple[Label, ...] = ()
    decisions: tuple[tuple[int, bool], ...] = ()

    def __str__(self) -> str:
        where = self.source.filename if self.source else "<bytecode>"
        if self.primary.span.known:
            where += f":{self.primary.span.line}:{self.primary.span.column}"
        elif self.pc is not None:
            where += f":{self.handler or 'code'}+{self.pc}"
        return f"{where}: {self.severity.value}[{self.code}]: {self.message}"


class GraftError(Exception):
    """The user's input is at fault; `diagnostics` says where and why, root cause first, never empty."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics: tuple[Diagnostic, ...] = tuple(diagnostics)
        if not self.diagnostics:
            raise InternalError("a GraftError without a diagnostic")
        super().__init__("\n".join(str(d) for d in self.diagnostics))


class InternalError(Exception):
    """A bug of this project, never the user's fault: please report it."""


def fail(
    code: str,
    message: str,
    span: Span = NO_SPAN,
    *,
    source: Source | None = None,
    label: str = "",
    notes: tuple[str, ...] = (),
    helps: tuple[str, ...] = (),
    handler: str | None = None,
    pc: int | None = None,
) -> GraftError:
    """Return (for the caller to raise) a `GraftError` with a single diagnostic."""
    return GraftError(
        [Diagnostic(code, message, Label(span, label), source, notes=notes, helps=helps, handler=handler, pc=pc)]
    )
