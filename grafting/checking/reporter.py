"""Where the checker's errors go: collected, bounded, each said once.

The checker never stops at the first error. A part that could not be understood is *poisoned*: whoever finds it says
so once, and returns None (or a `Poison` symbol) so that nobody complains about the consequences. When all is checked,
`finish` raises one `GraftError` with everything found, in the order of the source.
"""

from __future__ import annotations

from grafting import limits
from grafting.diagnostics import Diagnostic, GraftError, Label, Source, Span


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
        notes: tuple[str, ...] = (),
        helps: tuple[str, ...] = (),
    ) -> None:
        """Record one error, unless the same code was reported for the same place or the report is full."""
        if self.full or (code, span) in self._found:
            return
        self._found[code, span] = Diagnostic(
            code, message, Label(span, label), self.source, labels=labels, notes=notes, helps=helps
        )

    def finish(self) -> None:
        """Raise GraftError with all that was found, first place first; return if nothing was."""
        if self._found:
            raise GraftError(sorted(self._found.values(), key=lambda d: d.primary.span.start))
