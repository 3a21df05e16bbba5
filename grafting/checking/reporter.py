"""Where the checker's errors go: collected, bounded, each said once.

The checker never stops at the first error. A part that could not be understood is *poisoned*: whoever finds it says
so once, and returns None (or a `Poison` symbol) so that nobody complains about the consequences. When all is checked,
`finish` raises one `GraftError` with everything found, in the order of the source.
"""

from __future__ import annotations

from dataclasses import dataclass

from grafting import limits
from grafting.diagnostics import Diagnostic, Edit, GraftError, Label, Source, Span


@dataclass(frozen=True, slots=True)
class Instead:
    """A help whose edit is known: to write `meant` in place of `written`. `text` says so."""

    text: str
    written: str
    meant: str

    def __str__(self) -> str:
        return self.text


Help = str | Instead


class Reporter:
    """Collects the errors of one source text."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._found: dict[tuple[str, Span], Diagnostic] = {}

    @property
    def count(self) -> int:
        """How many errors have been found: unchanged over a piece of work that found none."""
        return len(self._found)

    @property
    def full(self) -> bool:
        """Whether further errors would be dropped (`limits.DIAGNOSTICS_MAX`)."""
        return len(self._found) >= limits.DIAGNOSTICS_MAX

    def text(self, span: Span) -> str:
        """Return the source text under a span, on one line."""
        return " ".join(self.source.text[span.start : span.end].split())

    def last(self, span: Span) -> Span:
        """Return the span of the last character under a span: of a block, its closing brace."""
        end = span.end - 1
        line_start = self.source.text.rfind("\n", 0, end) + 1
        line = span.line + self.source.text.count("\n", span.start, end)
        return Span(line, end - line_start + 1, end, span.end)

    def error(
        self,
        code: str,
        message: str,
        span: Span,
        label: str = "",
        *,
        labels: tuple[Label, ...] = (),
        path: tuple[Label, ...] = (),
        notes: tuple[str, ...] = (),
        helps: tuple[Help, ...] = (),
    ) -> None:
        """Record one error, unless the same code was reported for the same place or the report is full.

        The edit of a help `Instead` is made where the span is all of what is written.
        """
        if self.full or (code, span) in self._found:
            return
        here = self.source.text[span.start : span.end]
        edits = tuple(Edit(span, help_.meant) for help_ in helps if isinstance(help_, Instead) if help_.written == here)
        self._found[code, span] = Diagnostic(
            code, message, Label(span, label), self.source, labels=labels, path=path, notes=notes,
            helps=tuple(map(str, helps)), edits=edits,
        )  # fmt: skip

    def finish(self) -> None:
        """Raise GraftError with all that was found, first place first; return if nothing was."""
        if self._found:
            raise GraftError(sorted(self._found.values(), key=lambda d: d.primary.span.start))
