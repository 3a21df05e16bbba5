"""Brackets: how deep they nest in the whole text, and whether they match within one item."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from grafting import limits
from grafting.diagnostics import Diagnostic, Label, Source, fail
from grafting.parsing.lexer import Token

CLOSING: Final = {"PAREN_OPEN": "PAREN_CLOSE", "BRACKET_OPEN": "BRACKET_CLOSE", "BRACE_OPEN": "BRACE_CLOSE"}
_CLOSERS: Final = frozenset(CLOSING.values())
_SIGN: Final = {"PAREN_CLOSE": ")", "BRACKET_CLOSE": "]", "BRACE_CLOSE": "}"}


def check_nesting(source: Source, tokens: Sequence[Token]) -> None:
    """Raise GraftError (G0104) if more than `limits.SOURCE_NESTING` brackets are open at once."""
    depth = 0
    for token in tokens:
        if token.type in CLOSING:
            depth += 1
            if depth > limits.SOURCE_NESTING:
                raise fail(
                    "G0104",
                    f"more than {limits.SOURCE_NESTING} brackets are open here",
                    token.span,
                    source=source,
                    label="one too many",
                    helps=("move the inner part into a function",),
                )
        elif token.type in _CLOSERS:
            depth = max(0, depth - 1)


def unbalanced(source: Source, tokens: Sequence[Token]) -> Diagnostic | None:
    """Return the first bracket of an item that has no partner (G0105), or None."""
    waiting: list[Token] = []
    for token in tokens:
        if token.type in CLOSING:
            waiting.append(token)
        elif token.type in _CLOSERS:
            if not waiting:
                return Diagnostic(
                    "G0105", f"this `{token.value}` closes nothing", Label(token.span, "nothing is open"), source
                )
            opened = waiting.pop()
            if CLOSING[opened.type] != token.type:
                return _never_closed(source, opened, token, "but this closes something else")
    if waiting:
        return _never_closed(source, waiting[-1], tokens[-1], "the item ends here")
    return None


def _never_closed(source: Source, opened: Token, end: Token, why: str) -> Diagnostic:
    sign = _SIGN[CLOSING[opened.type]]
    return Diagnostic(
        "G0105",
        f"this `{opened.value}` is never closed",
        Label(opened.span, "opened here"),
        source,
        labels=(Label(end.span, why),),
        helps=(f"close it with `{sign}`",),
    )
