"""Tokens -> items: where each top-level construct begins, told from two or three tokens, whatever the brackets say.

`on reply (`, `map wanted :`, `test "title"` cannot stand inside any construct, so an item begins there even if the
brace of the one before was never closed. That is what keeps a forgotten brace from spoiling the rest of the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from grafting.parsing.lexer import HARD_WORDS, SOFT_WORDS, Token

_HARD_ITEMS = frozenset({"CONST", "ENUM", "FN", "ON", "PROTOCOL", "SERVE", "STRUCT"})
_NAMED_ITEMS = frozenset({"CAP", "MAP", "STATE"})  # also names: an item only as `word name :`
_SOFT_ITEMS = _NAMED_ITEMS | {"TEST"}
_OPEN = frozenset({"PAREN_OPEN", "BRACKET_OPEN", "BRACE_OPEN"})
_CLOSE = frozenset({"PAREN_CLOSE", "BRACKET_CLOSE", "BRACE_CLOSE"})
_NAMES = frozenset({"NAME"} | {word.upper() for word in HARD_WORDS | SOFT_WORDS})
_BEFORE_NAMES = frozenset({"DOT", "FOR"})  # behind these any word is a name
_BEFORE_NAMES_INSIDE = _BEFORE_NAMES | {"OP", "REQUEST"}  # and within braces behind these too
_ITEM_ENDS = _CLOSE | {"NAME", "INT", "TRUE", "FALSE", "MORE", "GRANT", "STRING", "UNKNOWN"}


def cut(tokens: Sequence[Token]) -> tuple[Sequence[Token], list[Sequence[Token]]]:
    """Return the tokens before the first item, and those of each item, to the beginning of the next."""
    starts: list[int] = []
    depth = 0
    for number, token in enumerate(tokens):
        if _begins_item(tokens, number, depth):
            starts.append(number)
            depth = 0
        elif token.type in _OPEN:
            depth += 1
        elif token.type in _CLOSE:
            depth = max(0, depth - 1)
    bounds = [*starts, len(tokens)]
    return tokens[: bounds[0]], [tokens[start:end] for start, end in pairwise(bounds)]


def _begins_item(tokens: Sequence[Token], number: int, depth: int) -> bool:
    token = tokens[number]
    if token.type not in _HARD_ITEMS and token.type not in _SOFT_ITEMS:
        return False
    after = tokens[number + 1].type if number + 1 < len(tokens) else ""
    second = tokens[number + 2].type if number + 2 < len(tokens) else ""
    before = tokens[number - 1].type if number else ""
    if number > 1 and tokens[number - 2].type == "DOT":
        before = "NAME"  # whatever the word: `a.for` is a field
    is_name = before in (_BEFORE_NAMES_INSIDE if depth else _BEFORE_NAMES)
    if token.type in _HARD_ITEMS and not is_name and after in _NAMES:
        return True
    if token.type == "TEST" and (after == "STRING" or (after and tokens[number + 1].unclosed)):
        return True
    if token.type in _NAMED_ITEMS and after in _NAMES and second == "COLON":
        return True
    first_on_line = not number or (before in _ITEM_ENDS and tokens[number - 1].line < token.line)
    return depth == 0 and first_on_line and (token.type in _HARD_ITEMS or after in _NAMES)  # there is a mistake in it
