"""Text -> tokens. Total: every text that keeps the source limits becomes tokens, whatever is in it.

What no construct can use (`@`, `'`, an unfinished string) becomes a token of type UNKNOWN, which the parser then finds
unexpected; so there is one place that complains, and one mistake does not hide the next.

Limits (`grafting.limits`) are checked before anything else looks at the text: 256 KiB, no NUL, valid Unicode; the
nesting of brackets is checked on the tokens by `grafting.parsing.brackets`.

    >>> [str(t.type) for t in scan(Source("x", "x += 1 // up")).tokens]
    ['NAME', 'ASSIGN_OP', 'INT']

Doc comments (`///`) are not tokens: `Scan.docs` finds them by the offset of the token that follows them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from grafting import limits
from grafting.diagnostics import Source, Span, fail

HARD_WORDS = frozenset(
    "arm as at break const continue delete disarm else enum false fn for hint if in let match mut on protocol release"
    " return send serve struct true while".split()
)  # never a name, but after a dot and before a colon
SOFT_WORDS = frozenset(
    "after answer armed array badge budget bytes cap deadline expect failure from given graft grant hash limit map"
    " max no op pages promise released reply request schedule sent state status steer submit tag test timer"
    " with".split()
)  # names, but where a clause may begin with them

SIGNS: Mapping[str, str] = {
    "->": "ARROW", "=>": "FAT_ARROW", "..=": "RANGE_INCLUSIVE", "..": "RANGE", ".": "DOT", ",": "COMMA",
    ":": "COLON", ";": "SEMICOLON", "(": "PAREN_OPEN", ")": "PAREN_CLOSE", "[": "BRACKET_OPEN",
    "]": "BRACKET_CLOSE", "{": "BRACE_OPEN", "}": "BRACE_CLOSE", "=": "SET", "==": "EQUAL", "-": "MINUS",
    "|": "BAR", "<": "LESS", ">": "MORE", "!": "PREFIX", "~": "PREFIX",
    **dict.fromkeys(("||", "&&", "!=", "<=", ">=", "^", "&", "<<", ">>", "+", "*", "/", "%"), "OPERATOR"),
    **dict.fromkeys(("+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<=", ">>="), "ASSIGN_OP"),
}  # fmt: skip
"""Sign -> terminal of `graft.lark`; signs that play the same part share a terminal."""


class Token(NamedTuple):
    """One word, sign or literal, always within one line."""

    type: str  # terminal of graft.lark; the upper-case spelling of a word
    value: str
    span: Span

    @property
    def line(self) -> int:
        """The line in which it stands, from 1."""
        return self.span.line

    @property
    def unclosed(self) -> bool:
        """Whether it is a text whose closing quote is missing."""
        return self.type == "UNKNOWN" and self.value[0] == '"'


class Comment(NamedTuple):
    """A `//` or `///` comment, `text` with its slashes."""

    text: str
    start: int  # characters from 0
    documents: int | None = None  # offset of the token that a `///` stands before


@dataclass(frozen=True, slots=True)
class Scan:
    """What a text consists of."""

    tokens: tuple[Token, ...]
    docs: Mapping[int, str]  # offset of a token -> the doc comment before it, lines joined by newlines
    comments: tuple[Comment, ...]  # all of them, in order


_TOKEN = re.compile(
    r"(?P<space>[ \t\r\n]+)"
    r"|(?P<doc>///(?!/)[^\n]*)"
    r"|(?P<comment>//[^\n]*)"
    r"|(?P<word>[^\W\d]\w*)"
    r"|(?P<int>[0-9]\w*)"
    r'|(?P<string>"(?:[^"\\\n]|\\["\\])*")'
    r"|(?P<sign>" + "|".join(re.escape(s) for s in sorted(SIGNS, key=len, reverse=True)) + ")"
    r"|(?P<unknown>\"[^\n]*|'(?:\\.|[^'\n])'|[^\x00-\x7f]+|.)",
    re.DOTALL,
)
_BYTE_ORDER_MARK = "\ufeff"


def decode(data: bytes, filename: str) -> Source:
    """Return the text of a file; raises GraftError (G0101, G0102) if it is too long or not UTF-8."""
    if len(data) > limits.SOURCE_BYTES:
        raise _too_long(Source(filename, ""), len(data))
    try:
        return Source(filename, data.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise fail(
            "G0102",
            f"the file is not UTF-8 text: byte 0x{data[error.start]:02x} in line {line}",
            source=Source(filename, ""),
            helps=("save the file as UTF-8",),
        ) from None


def check_text(source: Source) -> None:
    """Raise GraftError if the text breaks a source limit: length (G0101), Unicode (G0102), NUL (G0103)."""
    try:
        length = len(source.text.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise fail("G0102", "the text is not valid Unicode", _character(source, error.start), source=source) from None
    if length > limits.SOURCE_BYTES:
        raise _too_long(source, length)
    if (nul := source.text.find("\0")) >= 0:
        raise fail("G0103", "a NUL character in the source", _character(source, nul), source=source)


def _too_long(source: Source, length: int) -> Exception:
    return fail(
        "G0101",
        f"the source has {length:,} bytes; at most {limits.SOURCE_BYTES:,} are read",
        source=source,
        notes=("a graft is small by intent: it is verified before every attach and runs inside the kernel",),
    )


def _character(source: Source, offset: int) -> Span:
    before = source.text[:offset]
    return Span(before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1, offset, offset + 1)


def scan(source: Source) -> Scan:
    """Return the tokens and comments of a text; raises GraftError if it breaks a source limit."""
    check_text(source)
    text = source.text
    tokens: list[Token] = []
    docs: dict[int, str] = {}
    comments: list[Comment] = []
    pending: list[int] = []  # numbers of the doc comments before the next token
    line, line_start = 1, 0
    position = len(_BYTE_ORDER_MARK) if text.startswith(_BYTE_ORDER_MARK) else 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        assert match is not None  # the last alternative takes any character
        kind, value, end = match.lastgroup, match.group(), match.end()
        if kind == "space":
            if newlines := value.count("\n"):
                line, line_start = line + newlines, position + value.rfind("\n") + 1
        elif kind in ("doc", "comment"):
            if kind == "doc":
                pending.append(len(comments))
            comments.append(Comment(value.rstrip(), position))
        else:
            if pending:
                docs[position] = "\n".join(comments[n].text[3:].removeprefix(" ") for n in pending)
                for n in pending:
                    comments[n] = comments[n]._replace(documents=position)
                pending.clear()
            tokens.append(Token(_terminal(kind, value), value, Span(line, position - line_start + 1, position, end)))
        position = end
    return Scan(tuple(tokens), docs, tuple(comments))


def _terminal(kind: str | None, value: str) -> str:
    if kind != "string" and not value.isascii():
        return "UNKNOWN"
    if kind == "word":
        if value in HARD_WORDS or value in SOFT_WORDS:
            return value.upper()
        return "UNDERSCORE" if value == "_" else "NAME"
    if kind == "sign":
        return SIGNS[value]
    return {"int": "INT", "string": "STRING"}.get(kind or "", "UNKNOWN")
