"""A help line for a misspelt name."""

from __future__ import annotations

from collections.abc import Iterable

from grafting.spelling import nearest


def meant(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """Return the help "did you mean ..?" if a known name is close, else nothing."""
    close = nearest(name, known)
    return (f"did you mean `{close}`?",) if close else ()
