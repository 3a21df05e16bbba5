"""Text -> syntax tree: `parse(source)` returns a `syntax.Graft` or raises `GraftError` with every independent mistake.

    check limits -> scan -> cut into items -> per item: brackets, LALR parse, build
                                              on a mistake: explain, mend, parse the item again

Items are parsed one by one, so a mistake in one never hides those in another. Within an item the parser mends the
tokens (`grafting.parsing.recovery`) and goes on, and the mended text is used for nothing but finding further mistakes.

Cost: each token is fed once to the LALR automaton; recovery parses an item again for each of its mistakes, at most
`limits.DIAGNOSTICS_MAX` of them in a file and never beyond `_EFFORT` tokens in all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from grafting import limits, syntax
from grafting.diagnostics import Diagnostic, GraftError, Label, Source, Span
from grafting.parsing import grammar
from grafting.parsing.brackets import check_nesting, unbalanced
from grafting.parsing.items import cut
from grafting.parsing.lexer import SOFT_WORDS, Scan, Token, decode, scan
from grafting.parsing.mistakes import Unexpected, explain
from grafting.parsing.recovery import mend, without_statement
from grafting.parsing.treebuilder import Tree, TreeBuilder

if TYPE_CHECKING:
    from lark.parsers.lalr_interactive_parser import InteractiveParser

__all__ = ["decode", "parse"]

_EFFORT: Final = 400_000  # tokens fed while looking for further mistakes; about the tokens of two longest files
_TRIALS: Final = 1000  # keywords tried out in a text: half a second
_SOFT: Final = frozenset(word.upper() for word in SOFT_WORDS)
_VERDICT_WORDS: Final = frozenset({"ANSWER", "STEER"})  # only handlers give verdicts: in a function they are names
_BEHIND_NAMES: Final = frozenset({"COLON", "DOT", "SET", "ASSIGN_OP", "EQUAL"})  # no keyword stands before these


def parse(source: Source) -> syntax.Graft:
    """Parse a whole source text; raises GraftError (G01xx), its diagnostics in the order of the text."""
    scanned = scan(source)
    check_nesting(source, scanned.tokens)
    return _Parse(source, scanned).graft()


class _Parse:
    """One source text being parsed."""

    def __init__(self, source: Source, scanned: Scan) -> None:
        self._source = source
        self._scan = scanned
        self._builder = TreeBuilder(source, scanned.docs)
        self._errors: list[Diagnostic] = []
        self._effort = _EFFORT
        self._doubts = _Doubts()

    def graft(self) -> syntax.Graft:
        header, items = cut(self._scan.tokens)
        name = self._header(header)
        parsed = [item for tokens in items if (item := self._item(tokens)) is not None]
        errors = self._errors + self._builder.errors
        if errors:
            errors.sort(key=lambda error: error.primary.span.start)
            raise GraftError(errors[: limits.DIAGNOSTICS_MAX])
        last = self._scan.tokens[-1].span
        span = Span(1, 1, 0, last.end)
        return syntax.Graft(name, tuple(parsed), self._scan.docs.get(header[0].span.start, ""), span=span)

    def _header(self, tokens: Sequence[Token]) -> syntax.Ident:
        if not tokens or tokens[0].value != "graft":
            first = tokens[0] if tokens else next(iter(self._scan.tokens), None)
            span = first.span if first else Span(1, 1, 0, 0)
            self._errors.append(
                Diagnostic(
                    "G0106",
                    "a graft begins with its name",
                    Label(span, "before this"),
                    self._source,
                    helps=("begin the file with `graft some_name`",),
                )
            )
            return syntax.Ident("")
        tree = self._tree(list(tokens), "header")
        return syntax.Ident("") if tree is None else self._builder.ident(tree.children[0])

    def _item(self, tokens: Sequence[Token]) -> syntax.Item | None:
        swallowed = any(token.unclosed for token in tokens)  # the rest of its line, brackets and all
        if not swallowed and (mistake := unbalanced(self._source, tokens)):
            self._errors.append(mistake)
            return None
        tree = self._tree(list(tokens), "item")
        if tree is None:
            return None
        try:
            return self._builder.item(tree)
        except GraftError as error:
            self._errors += error.diagnostics
            return None

    def _tree(self, tokens: list[Token], start: str) -> Tree | None:
        """Parse the tokens of one item; None, and the mistakes noted, if they are not one."""
        try:
            return _feed(tokens, start, self._doubts)
        except Unexpected as unexpected:
            self._look_further(tokens, start, unexpected)
            return None

    def _look_further(self, tokens: list[Token], start: str, unexpected: Unexpected) -> None:
        """Note this mistake and those behind it: mend, parse again, as long as each lies beyond the one before."""
        reached = -1
        while len(self._errors) < limits.DIAGNOSTICS_MAX and self._effort > 0:
            offset = unexpected.token.span.start
            diagnostic, advice = explain(self._source, tokens, unexpected)
            if offset > reached:
                self._errors.append(diagnostic)
            stuck = offset <= reached
            edit = advice.edit if advice and not stuck else None
            edit = edit or without_statement(tokens, unexpected.number, stuck=stuck)
            if edit is None or (stuck and offset < reached):
                return
            reached = max(reached, offset)
            tokens = mend(tokens, edit)
            self._effort -= len(tokens)
            try:
                _feed(tokens, start, self._doubts)
                return
            except Unexpected as further:
                unexpected = further


class _Doubts:
    """Decides whether a word that can be a name is a keyword here.

    The automaton's row may promise a keyword where a reduction would lead nowhere. To believe the promise is right
    almost always, and quick; to try it out (`accepts`) is exact, and takes half a millisecond. So a construct is read
    believing, and only if that fails is it read again, trying out as many words as `left` allows.
    """

    def __init__(self) -> None:
        self.left = _TRIALS
        self.any = False  # whether a word was believed that could have been a name

    def believe(self, machine: InteractiveParser, terminal: str) -> bool:
        """Whether the row has an entry for the keyword."""
        choices = machine.choices()
        if terminal not in choices:
            return False
        self.any = self.any or "NAME" in choices
        return True

    def try_out(self, machine: InteractiveParser, terminal: str) -> bool:
        """Whether the keyword can be shifted, where a name could stand as well."""
        choices = machine.choices()
        if terminal not in choices or "NAME" not in choices or not self.left:
            return terminal in choices
        self.left -= 1
        return terminal in machine.accepts()


def _feed(tokens: Sequence[Token], start: str, doubts: _Doubts) -> Tree:
    """Parse the tokens of a construct; raises Unexpected where one does not fit."""
    doubts.any = False
    try:
        return _run(tokens, start, doubts.believe)
    except Unexpected:
        if not (doubts.any and doubts.left):
            raise
        return _run(tokens, start, doubts.try_out)


def _run(tokens: Sequence[Token], start: str, is_keyword: Callable[[InteractiveParser, str], bool]) -> Tree:
    """Run Lark's automaton over the tokens."""
    from lark import Token as LarkToken
    from lark import UnexpectedToken

    machine = grammar.parser().parse_interactive(start=start)
    names = _VERDICT_WORDS if tokens[0].type == "FN" else frozenset()
    ended = (*tokens, _end(tokens))
    behind = (*ended[1:], ended[-1])
    result = None
    for number, (token, after) in enumerate(zip(ended, behind, strict=True)):
        type_ = token.type
        if type_ in _SOFT and (type_ in names or after.type in _BEHIND_NAMES or not is_keyword(machine, type_)):
            token = token._replace(type="NAME")
        span = token.span
        end_column = span.column + span.end - span.start
        try:
            result = machine.feed_token(
                LarkToken(token.type, token.value, span.start, span.line, span.column, span.line, end_column, span.end)
            )
        except UnexpectedToken:
            raise Unexpected(number, token, frozenset(machine.accepts())) from None
    return result


def _end(tokens: Sequence[Token]) -> Token:
    last = tokens[-1].span
    return Token("$END", "", Span(last.line, last.column + last.end - last.start, last.end, last.end))
