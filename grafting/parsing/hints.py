"""Frequent mistakes: what the writer meant, and the edit that says so.

Each rule looks at the place where the parser stopped and returns an `Advice`, or None if it is not that mistake. The
first rule that knows the place wins. An advice with an `edit` also lets the parser go on as if the text were right, so
that one run finds the other mistakes as well; an edit that `mends` is the very one that the help describes, and is
offered to be made (`Diagnostic.edits`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from grafting.hooks import GRAFT_HOOKS
from grafting.parsing.lexer import HARD_WORDS, SOFT_WORDS, Token
from grafting.spelling import nearest


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace the tokens `start` up to `end` of an item."""

    start: int
    end: int
    tokens: tuple[Token, ...] = ()


@dataclass(frozen=True, slots=True)
class Advice:
    """`message` replaces the general "expected .., found .." if it is not empty; `code` goes with it."""

    help: str
    message: str = ""
    note: str = ""
    edit: Edit | None = None
    code: str = "G0107"
    mends: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where the parser stopped: at `tokens[number]`, or behind the last one."""

    tokens: Sequence[Token]
    number: int
    accepts: frozenset[str]

    def at(self, distance: int) -> Token | None:
        """Return the token `distance` tokens from here, or None."""
        number = self.number + distance
        return self.tokens[number] if 0 <= number < len(self.tokens) else None

    def type(self, distance: int = 0) -> str:
        """Return the type of the token `distance` tokens from here, "" if there is none."""
        token = self.at(distance)
        return token.type if token else ""

    def value(self, distance: int = 0) -> str:
        """Return the spelling of the token `distance` tokens from here, "" if there is none."""
        token = self.at(distance)
        return token.value if token else ""

    def replaced(self, count: int, *signs: tuple[str, str]) -> Edit:
        """Return the edit that puts tokens of (type, spelling) in place of the next `count` ones."""
        here = self.tokens[min(self.number, len(self.tokens) - 1)]
        made = tuple(here._replace(type=type_, value=value) for type_, value in signs)
        return Edit(self.number, self.number + count, made)

    @property
    def starts_value(self) -> bool:
        """Whether a value could stand here, and nothing that goes on with one."""
        return "INT" in self.accepts and "OPERATOR" not in self.accepts and "LET" not in self.accepts

    @property
    def ends_value(self) -> bool:
        """Whether a value has just ended."""
        return "OPERATOR" in self.accepts


_FOREIGN_WORDS: Final = {
    **dict.fromkeys(("elif", "elsif", "elseif"), "a further condition is `else if ..`"),
    **dict.fromkeys(("var", "auto", "int", "unsigned", "long"), "a local is `let x = ..` or `let mut x = ..`"),
    **dict.fromkeys(("and", "or", "not"), "the logical operators are `&&`, `||` and `!`"),
    **dict.fromkeys(("loop", "do", "until", "foreach"), "loops are `for i in a..b max N` and `while c limit N`"),
    **dict.fromkeys(("switch", "case", "when"), "choose among values with `match x { 1 | 2 => { .. } _ => { .. } }`"),
    **dict.fromkeys(("def", "func", "function", "fun", "proc"), "a function is `fn name(a: u64) -> u64 { .. }`"),
    **dict.fromkeys(("import", "include", "use", "require"), "a graft is one file: there is nothing to import"),
    **dict.fromkeys(("global", "static"), "a variable that lasts is `state name: u64`"),
    **dict.fromkeys(("class", "record", "type", "typedef", "union"), "data are laid out by `struct Name { .. }`"),
    **dict.fromkeys(("throw", "raise", "try", "catch"), "what may fail has an `else { .. }`"),
    "then": "the body of an `if` stands in braces",
}  # fmt: skip

_FOREIGN_SIGNS: Final = {
    "#": "a comment begins with `//`",
    "?": "what may be absent has an `else { .. }`; a choice of values is an `if`",
    "'": "there are no characters, only numbers: write the code, such as `0x41`",
    "`": "names stand without quotes",
    "\\": "a statement may go on in the next line without a sign",
    "@": "",
    "$": "names stand without `$`",
}  # fmt: skip


def _stand_in(place: Place) -> tuple[tuple[str, str], ...]:
    """Return what can stand for a value or a name that is none, so that parsing goes on."""
    if place.starts_value:
        return (("INT", "0"),)
    return (("NAME", "unknown"),) if "NAME" in place.accepts and "INT" not in place.accepts else ()


def _unknown(place: Place) -> Advice | None:
    if place.type() != "UNKNOWN":
        return None
    text = place.value()
    edit = place.replaced(1, *_stand_in(place))
    if text[0] == '"':
        return Advice('close it with `"` in the same line', "this text is never closed", edit=edit, code="G0108")
    if not text.isascii():
        return Advice(
            "names and signs are ASCII; other characters may stand in comments and test titles",
            f"`{text[:20]}` means nothing in a graft", edit=edit, code="G0108",
        )  # fmt: skip
    shown = text if text.isprintable() else f"\\x{ord(text[0]):02x}"
    return Advice(_FOREIGN_SIGNS.get(text[0], ""), f"`{shown}` means nothing in a graft", edit=edit, code="G0108")


def _semicolon(place: Place) -> Advice | None:
    if place.type() != "SEMICOLON":
        return None
    if place.starts_value:
        return Advice("say what the value is", edit=place.replaced(1, ("INT", "0")))
    message = "there are no `;` here"
    return Advice("remove it: statements need nothing between them", message, edit=place.replaced(1), mends=True)


def _assignment_for_comparison(place: Place) -> Advice | None:
    if place.type() != "SET" or "EQUAL" not in place.accepts or "SET" in place.accepts:
        return None
    if _statement_for(place) in ("IF", "WHILE", "EXPECT", "RETURN", "MATCH"):
        message = "`=` assigns; it does not compare"
        return Advice("compare with `==`", message, edit=place.replaced(1, ("EQUAL", "==")), mends=True)
    return Advice("only a name, a field or an element can be assigned")


def _statement_for(place: Place) -> str:
    """Return the type of the word that began the construct in which the place stands."""
    starters = ("IF", "WHILE", "LET", "RETURN", "MATCH", "SEND", "EXPECT", "BRACE_OPEN", "BRACE_CLOSE")
    return next((t.type for t in reversed(place.tokens[: place.number]) if t.type in starters), "")


def _missing_let(place: Place) -> Advice | None:
    if place.type() == "COLON" and place.type(1) != "COLON" and place.type(-1) == "NAME" and "LET" in place.accepts:
        insert = Edit(place.number - 1, place.number - 1, place.replaced(0, ("LET", "let")).tokens)
        if place.type(1) == "SET":  # x := 3
            return Advice("declare a local with `let x = ..`")
        return Advice(f"declare a local with `let {place.value(-1)}: ..`", edit=insert, mends=True)
    if place.type() == "MUT" and "LET" in place.accepts:
        return Advice("a local that changes is `let mut x = ..`", edit=place.replaced(0, ("LET", "let")), mends=True)
    return None


def _arrow(place: Place) -> Advice | None:
    if "ARROW" in place.accepts and place.type() in ("COLON", "FAT_ARROW"):
        return Advice("the type of a result stands behind `->`", edit=place.replaced(1, ("ARROW", "->")), mends=True)
    if "FAT_ARROW" in place.accepts and place.type() in ("ARROW", "COLON"):
        return Advice("the body of an arm stands behind `=>`", edit=place.replaced(1, ("FAT_ARROW", "=>")), mends=True)
    if place.ends_value and place.type() == "ARROW":
        return Advice(
            "there are no pointers: a field is `base.field`", edit=place.replaced(1, ("DOT", ".")), mends=True
        )
    if place.ends_value and place.type() == "COLON" and place.type(1) == "COLON":
        return Advice("a variant is `Kind.variant`", edit=place.replaced(2, ("DOT", ".")), mends=True)
    return None


def _pointer(place: Place) -> Advice | None:
    if not place.starts_value or place.type() != "OPERATOR":
        return None
    before, sign = place.value(-1), place.value()
    if (before, sign) == ("/", "*"):
        return Advice("a comment begins with `//` and goes to the end of the line")
    if (before, sign) == ("+", "+"):
        return Advice("to add one write `x += 1`")
    if sign in ("&", "&&", "*"):
        return Advice("there are no pointers or references", edit=place.replaced(1))
    return None


def _triple_equals(place: Place) -> Advice | None:
    if place.starts_value and place.type() == "SET" and place.type(-1) == "EQUAL":
        return Advice("compare with `==`", edit=place.replaced(1), mends=True)
    return None


def _fraction(place: Place) -> Advice | None:
    if place.type() == "INT" and place.type(-1) == "DOT" and place.type(-2) == "INT":
        edit = Edit(place.number - 1, place.number + 1)
        return Advice("there are only integers: scale the value", "there are no fractions", edit=edit)
    return None


def _text(place: Place) -> Advice | None:
    if place.type() == "STRING" and "STRING" not in place.accepts:
        edit = place.replaced(1, ("INT", "0")) if place.starts_value else None
        return Advice("a text can only be the title of a `test`", edit=edit)
    return None


def _body_in_braces(place: Place) -> Advice | None:
    if place.accepts == {"BRACE_OPEN"}:
        if place.type(-1) == "ELSE":
            return Advice("what happens otherwise stands in braces: `else { .. }`")
        if place.type(-1) == "FAT_ARROW":
            return Advice("the body of an arm is a block: `=> { .. }`")
    if place.type() == "ELSE" and place.type(1) == "IF":
        return Advice("`else if` belongs to an `if`")
    return None


def _while_without_limit(place: Place) -> Advice | None:
    if place.type() != "BRACE_OPEN" or "LIMIT" not in place.accepts:
        return None
    return Advice(
        "add `limit N`: the loop then ends after N rounds at the latest",
        "this `while` does not say how often it may run",
        note="every loop is bounded, so that the worst case of a handler has a number",
        edit=place.replaced(0, ("LIMIT", "limit"), ("INT", "1")),
    )


def _for_without_range(place: Place) -> Advice | None:
    if place.type() == "BRACE_OPEN" and "RANGE" in place.accepts and place.ends_value:
        return Advice(
            "a `for` counts: `for i in 0..n max N { .. }`",
            edit=place.replaced(0, ("RANGE", ".."), ("INT", "1")),
        )
    return None


def _comma(place: Place) -> Advice | None:
    if place.type() == "COMMA":
        if "UNDERSCORE" in place.accepts and "FAT_ARROW" not in place.accepts and "INT" in place.accepts:
            return Advice("arms stand without commas between them", edit=place.replaced(1), mends=True)
        if "OP" in place.accepts:
            return Advice("operations stand without commas between them", edit=place.replaced(1), mends=True)
        return None
    word = place.type() in ("NAME", "INT") or place.value() in HARD_WORDS
    if "COMMA" in place.accepts and word and "LET" not in place.accepts and "NAME" not in place.accepts:
        closes = "BRACE_CLOSE" in place.accepts or "PAREN_CLOSE" in place.accepts or "BRACKET_CLOSE" in place.accepts
        if closes:
            return Advice("put a `,` between them", edit=place.replaced(0, ("COMMA", ",")), mends=True)
    return None


def _word_as_name(place: Place) -> Advice | None:
    word = place.value()
    if word not in HARD_WORDS or "NAME" not in place.accepts or "INT" in place.accepts:
        return None
    return Advice(
        "choose another name",
        f"`{word}` is a word of the language, so it cannot be a name here",
        edit=place.replaced(1, ("NAME", word)),
    )


def _foreign_word(place: Place) -> Advice | None:
    """A word of another language somewhere before in this line explains most of what looks strange after it."""
    here = place.at(0) or place.at(-1)
    if here is None:
        return None
    for token in reversed(place.tokens[: place.number + 1]):
        if token.line < here.line:
            return None
        if token.type == "NAME" and token.value in _FOREIGN_WORDS:
            return Advice(_FOREIGN_WORDS[token.value])
    return None


_KEYWORDS: Final = frozenset(word.upper() for word in HARD_WORDS | SOFT_WORDS)
_AT_A_STATEMENT: Final = (
    "arm break continue delete disarm else for hint if let match release return send while"
    " tag deadline with promise status"
).split()  # words that begin a statement, or a clause behind one
_AT_AN_ITEM: Final = "cap const enum fn map on protocol serve state struct test".split()


def _misspelt(place: Place) -> Advice | None:
    """A word that is almost the keyword that fits: here, or just before, where it was read as a name."""
    if place.type() == "NAME" and "NAME" not in place.accepts:
        fitting = sorted(word.lower() for word in place.accepts & _KEYWORDS)
        fitting += _AT_AN_ITEM if "$END" in place.accepts else []
        if meant := nearest(place.value(), fitting):
            return Advice(f"write `{meant}`", edit=place.replaced(1, (meant.upper(), meant)), mends=True)
    if place.type(-1) == "NAME" and "LET" in place.accepts and place.type() in ("NAME", "INT", "IF", "MUT"):
        if meant := nearest(place.value(-1), _AT_A_STATEMENT):
            edit = Edit(place.number - 1, place.number, place.replaced(0, (meant.upper(), meant)).tokens)
            return Advice(f"`{place.value(-1)}` begins no statement: write `{meant}`", edit=edit, mends=True)
    return None


def foreign_word(word: str) -> str:
    """Return what to write instead of a word of another language, "" if it is none that is known."""
    return _FOREIGN_WORDS.get(word, "")


_VERDICTS: Final = frozenset(verdict for hook in GRAFT_HOOKS.values() for verdict, _ in hook.verdicts)


def statement_for(word: str) -> str | None:
    """Return what should stand instead of a word that stands as a statement, and is none, if that is known."""
    if word in _VERDICTS:
        return f"return {word}"
    return None if word in _AT_A_STATEMENT else nearest(word, _AT_A_STATEMENT)


_PARTS: Final = {
    ("CAP", "COLON"): "a slot has a protocol: `cap disk: block`",
    ("ENUM", "COLON"): "an enum has a type: `enum Kind: u32 { .. }`",
    ("ON", "PAREN_OPEN"): "what came has a name: `on reply(msg)`",
    ("ON", "DOT"): "say which operation of the slot: `from disk.read`",
    ("STRUCT", "COLON"): "a field is `name: type`",
    ("STATE", "COLON"): "a state variable has a type: `state hops: u64`",
    ("TEST", "STRING"): 'a test has a title: `test "a reply is followed" { .. }`',
    ("MAP", "LESS"): "a map is `hash<key, value, entries>` or `array<value, entries>`",
}  # fmt: skip


def _missing_part(place: Place) -> Advice | None:
    if len(place.accepts) != 1 or not place.tokens:
        return None
    help_ = _PARTS.get((place.tokens[0].type, min(place.accepts)))
    return Advice(help_) if help_ else None


def _name_of_graft(place: Place) -> Advice | None:
    if place.tokens and place.tokens[0].type == "GRAFT" and place.number >= 1:
        if place.type() in ("MINUS", "DOT", "STRING", "INT"):
            return Advice("a name has letters, digits and `_`", edit=Edit(place.number, len(place.tokens)))
    return None


RULES: Final[tuple[Callable[[Place], Advice | None], ...]] = (
    _unknown, _semicolon, _missing_let, _arrow, _triple_equals, _pointer, _fraction, _text, _name_of_graft, _misspelt,
    _foreign_word, _missing_part, _assignment_for_comparison, _body_in_braces, _while_without_limit,
    _for_without_range, _comma, _word_as_name,
)  # fmt: skip


def advise(place: Place) -> Advice | None:
    """Return what the first rule that knows the place says."""
    return next((advice for rule in RULES if (advice := rule(place)) is not None), None)
