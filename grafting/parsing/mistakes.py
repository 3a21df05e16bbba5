"""A token that does not fit -> a diagnostic: what was expected, in words, and what was found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from grafting.diagnostics import Diagnostic, Label, Source
from grafting.parsing.hints import Advice, Place, advise
from grafting.parsing.lexer import HARD_WORDS, SIGNS, SOFT_WORDS, Token


class Unexpected(Exception):
    """Token `number` of an item does not fit; `accepts` are the terminals that would."""

    def __init__(self, number: int, token: Token, accepts: frozenset[str]) -> None:
        super().__init__(number)
        self.number = number
        self.token = token
        self.accepts = accepts


_SPELLING: Final = {
    **{terminal: f"`{sign}`" for sign, terminal in SIGNS.items() if terminal not in ("OPERATOR", "PREFIX")},
    **{word.upper(): f"`{word}`" for word in HARD_WORDS | SOFT_WORDS},
    "STRING": "a title in quotes",
    "UNDERSCORE": "`_`",
    "ASSIGN_OP": "`+=`",
    "$END": "the next item",
}
_VALUE: Final = frozenset(
    {"INT", "NAME", "TRUE", "FALSE", "PREFIX", "MINUS", "PAREN_OPEN", "BRACKET_OPEN", "BRACE_OPEN"}
)
_OPERATORS: Final = frozenset(
    {"OPERATOR", "MINUS", "BAR", "LESS", "MORE", "EQUAL", "DOT", "BRACKET_OPEN", "PAREN_OPEN", "AS", "AT"}
)
_STATEMENTS: Final = frozenset(
    "ARM BREAK CONTINUE DELETE DISARM FOR HINT IF LET MATCH RELEASE RETURN SEND WHILE".split()
)
_STEPS: Final = frozenset("EXPECT FAILURE GIVEN REPLY REQUEST SCHEDULE SUBMIT TIMER".split())
_ITEMS: Final = frozenset("CAP CONST ENUM FN MAP ON PROTOCOL SERVE STATE STRUCT TEST".split())
_SHOWN: Final = 6  # alternatives that a message names; more of them help nobody


def expected(accepts: frozenset[str]) -> str:
    """Say in words which terminals would have fitted.

    >>> expected(frozenset({"NAME", "BRACKET_OPEN"}))
    'a type'
    """
    rest = set(accepts)
    groups: list[str] = []
    for marker, members, words in (
        ("GIVEN", _STEPS, "a step of the test"),
        ("CONST", _ITEMS, "an item"),
        ("LET", _STATEMENTS | _VALUE, "a statement"),
        ("INT", _VALUE, "a value"),
        ("OPERATOR", _OPERATORS, "an operator"),
    ):
        if marker in rest and (marker != "CONST" or rest >= _ITEMS):
            rest -= members
            groups.append(words)
    if rest >= {"NAME", "BRACKET_OPEN"}:
        rest -= {"NAME", "BRACKET_OPEN"}
        groups.append("a type")
    elif "NAME" in rest:
        groups.append("a name")
        rest -= {"NAME"} | {word.upper() for word in HARD_WORDS}  # where any word may be a name
    spelled = sorted(_SPELLING[terminal] for terminal in rest if terminal in _SPELLING)
    return _enumerate((spelled[: _SHOWN - len(groups)] if len(spelled) > 1 else spelled) + groups)


def _enumerate(words: list[str]) -> str:
    if not words:
        return "something else"
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _found(token: Token) -> str:
    if token.type == "$END":
        return "the end of the item"
    return f"`{token.value}`" if len(token.value) <= 40 else f"`{token.value[:37]}...`"


def explain(source: Source, tokens: Sequence[Token], unexpected: Unexpected) -> tuple[Diagnostic, Advice | None]:
    """Return what to tell the user, and the advice it rests on."""
    advice = advise(Place(tokens, unexpected.number, unexpected.accepts))
    token = unexpected.token
    what = expected(unexpected.accepts)
    labels: tuple[Label, ...] = ()
    if unexpected.number and (before := tokens[unexpected.number - 1]).line < token.line:
        labels = (Label(before.span, "after this"),)
    diagnostic = Diagnostic(
        advice.code if advice else "G0107",
        (advice and advice.message) or f"expected {what}, found {_found(token)}",
        Label(token.span, "" if advice and advice.message else f"expected {what}"),
        source,
        labels=labels,
        notes=(advice.note,) if advice and advice.note else (),
        helps=(advice.help,) if advice and advice.help else (),
    )
    return diagnostic, advice
