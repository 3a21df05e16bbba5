"""Going on after a mistake: the tokens of an item with the mistake cut out.

If the mistake is a known one, its own edit is made. Otherwise the statement (step of a test, operation of a protocol,
arm of a match) that holds it is cut out. Statements have no separators, so where one begins is guessed: at a word that
begins statements, behind a block, or at the beginning of a line; a wrong guess can only hide a mistake, or show one
beyond the place of the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from grafting.parsing.brackets import CLOSING
from grafting.parsing.hints import Edit
from grafting.parsing.lexer import Token

_CLOSERS: Final = frozenset(CLOSING.values())
_BEGINNERS: Final = frozenset(
    "ARM BREAK CONTINUE DELETE DISARM FOR HINT IF LET MATCH RELEASE RETURN SEND WHILE GIVEN EXPECT OP".split()
)
_GOES_ON: Final = frozenset(
    {"ELSE", "DOT", "COMMA", "OPERATOR", "EQUAL", "SET", "ASSIGN_OP", "BAR", "MINUS", "LESS", "MORE", "AS", "COLON"}
)


def mend(tokens: Sequence[Token], edit: Edit) -> list[Token]:
    """Return the tokens with the edit made."""
    return [*tokens[: edit.start], *edit.tokens, *tokens[edit.end :]]


def without_statement(tokens: Sequence[Token], number: int, *, stuck: bool) -> Edit | None:
    """Return the edit that cuts out the statement with token `number`, or None if it is in no block.

    A token that begins a line may be right, and the statement before it unfinished: that one goes first. `stuck` says
    that this has been done and did not help.
    """
    block = _enclosing_brace(tokens, number)
    if block is None:
        return None
    starts, end = _statement_starts(tokens, block)
    before = [start for start in starts if start < number or (stuck and start == number)]
    after = [start for start in starts if start > number or (start == number and not stuck)]
    first = before[-1] if before else block + 1
    last = after[0] if after else end
    return Edit(first, last) if first < last else None


def _enclosing_brace(tokens: Sequence[Token], number: int) -> int | None:
    """Return the innermost `{` that is open at token `number`."""
    depth = 0
    for at in range(min(number, len(tokens)) - 1, -1, -1):
        if tokens[at].type == "BRACE_CLOSE":
            depth += 1
        elif tokens[at].type == "BRACE_OPEN":
            if depth == 0:
                return at
            depth -= 1
    return None


def _statement_starts(tokens: Sequence[Token], block: int) -> tuple[list[int], int]:
    """Return where statements of the block seem to begin, and where the block ends."""
    starts: list[int] = []
    depth = 0
    for at in range(block + 1, len(tokens)):
        token, before = tokens[at], tokens[at - 1]
        if depth == 0 and token.type not in _GOES_ON and before.type != "DOT":
            new_line = before.line < token.line and before.type not in _GOES_ON
            if token.type in _BEGINNERS or new_line or before.type in ("BRACE_OPEN", "BRACE_CLOSE"):
                if token.type not in _CLOSERS and token.type != "BRACE_OPEN":
                    starts.append(at)
        if token.type in CLOSING:
            depth += 1
        elif token.type in _CLOSERS:
            if depth == 0:
                return starts, at
            depth -= 1
    return starts, len(tokens)
