"""A token that does not fit -> a diagnostic: what was expected, in words, and what was found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from grafting.diagnostics import Diagnostic, Edit, Label, Source, Span
from grafting.parsing.hints import Advice, Place, advise
from grafting.parsing.hints import Edit as TokenEdit
from grafting.parsing.lexer import HARD_WORDS, SIGNS, SOFT_WORDS, Token
from grafting.spelling import either


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
    shown = (spelled[: _SHOWN - len(groups)] if len(spelled) > 1 else spelled) + groups
    return either(shown) if shown else "something else"


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
        edits=(_of_text(tokens, advice.edit),) if advice and advice.mends and advice.edit else (),
    )
    return diagnostic, advice


def _of_text(tokens: Sequence[Token], edit: TokenEdit) -> Edit:
    """Return an edit of tokens as one of the text, in which words stay apart."""
    text = " ".join(token.value for token in edit.tokens)
    before = tokens[edit.start - 1].span if edit.start else None
    after = tokens[edit.end].span if edit.end < len(tokens) else None
    if edit.start < edit.end:
        span = tokens[edit.start].span.to(tokens[edit.end - 1].span)
        touches = before and after and before.end == span.start and span.end == after.start
        return Edit(span, text or (" " if touches else ""))
    if after is None or text == ",":
        assert before is not None  # an item has a token
        return Edit(Span(before.line, before.column + before.end - before.start, before.end, before.end), text)
    return Edit(Span(after.line, after.column, after.start, after.start), f"{text} ")
