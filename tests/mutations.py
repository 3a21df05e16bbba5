"""Texts that are nearly grafts: what the fuzzers of the front end feed it. Equal seeds give equal texts."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from grafting.diagnostics import Source
from grafting.parsing.lexer import HARD_WORDS, SIGNS, SOFT_WORDS, scan

_NUMBERS: Final = ("0", "1", "31", "64", "255", "4096", "4294967295", "18446744073709551615", "18446744073709551616")
_PIECES: Final = (*sorted(HARD_WORDS | SOFT_WORDS), *sorted(SIGNS), *_NUMBERS, "u8", "i64", "bool", "x", "é", '"', "//")
_OPENINGS: Final = ("(", "[", "{", "-", "!", "if a {", "else if a {", "f(", "a[", "x as ", "[u8; ", "match a { 1 => {")


def mutant(seed: int, samples: list[str]) -> str:
    """Return one text: a changed sample mostly, else noise or deep nesting."""
    random = Random(seed)
    kind = random.randrange(20)
    if kind == 0:
        return "".join(chr(random.choice((random.randrange(128), random.randrange(0x3000)))) for _ in range(300))
    if kind == 1:
        return "graft t\n" + " ".join(random.choices(_PIECES, k=random.randrange(1, 200)))
    if kind == 2:
        return _nested(random)
    text = random.choice(samples)
    for _ in range(random.choice((1, 1, 1, 2, 3, 8))):
        text = random.choice(_CHANGES)(text, random)
    return text


def noise(seed: int) -> bytes:
    """Return bytes that are no text at all."""
    random = Random(seed)
    return random.randbytes(random.randrange(200))


def _nested(random: Random) -> str:
    depth = random.choice((10, 63, 64, 65, 127, 128, 129, 1000, 20_000))
    opening = random.choice(_OPENINGS)
    begin = random.choice(("const x = ", "fn f(a: u64) -> u64 { return ", "fn f(a: u64) { ", "state s: ", ""))
    return f"graft t\n{begin}{opening * depth}1{random.choice(('', ')', ']', '}')) * depth}"


# --- changes of a sample, on its tokens: most results get past the lexer, many past the parser -----------------------


def _spans(text: str) -> list[tuple[int, int]]:
    return [(token.span.start, token.span.end) for token in scan(Source("", text)).tokens] or [(0, len(text))]


def _replace(text: str, random: Random) -> str:
    start, end = random.choice(_spans(text))
    return text[:start] + random.choice(_PIECES) + text[end:]


def _insert(text: str, random: Random) -> str:
    start, _ = random.choice(_spans(text))
    return f"{text[:start]}{random.choice(_PIECES)} {text[start:]}"


def _remove(text: str, random: Random) -> str:
    spans = _spans(text)
    first = random.randrange(len(spans))
    last = min(first + random.choice((0, 0, 0, 1, 5, 40)), len(spans) - 1)
    return text[: spans[first][0]] + text[spans[last][1] :]


def _swap(text: str, random: Random) -> str:
    (a, b), (c, d) = sorted((random.choice(_spans(text)), random.choice(_spans(text))))
    return text if b > c else text[:a] + text[c:d] + text[b:c] + text[a:b] + text[d:]


def _move(text: str, random: Random) -> str:
    """A row of tokens, copied to another place: names out of scope, verdicts of other events, doubled items."""
    spans = _spans(text)
    first = random.randrange(len(spans))
    last = min(first + random.randrange(60), len(spans) - 1)
    to, _ = random.choice(spans)
    return f"{text[:to]}{text[spans[first][0] : spans[last][1]]} {text[to:]}"


def _number(text: str, random: Random) -> str:
    numbers = [(a, b) for a, b in _spans(text) if text[a].isdigit()]
    if not numbers:
        return text
    start, end = random.choice(numbers)
    return text[:start] + random.choice(_NUMBERS) + text[end:]


def _name(text: str, random: Random) -> str:
    """One name in place of another of the same text: well formed, seldom well typed."""
    names = [(a, b) for a, b in _spans(text) if text[a].isalpha()]
    if not names:
        return text
    (a, b), (c, d) = random.choice(names), random.choice(names)
    return text[:a] + text[c:d] + text[b:]


def _cut(text: str, random: Random) -> str:
    return text[: random.randrange(len(text) + 1)]


def _character(text: str, random: Random) -> str:
    at = random.randrange(len(text) + 1)
    return text[:at] + chr(random.choice((0, 9, 13, 34, 39, 0x2028, 0xD800, random.randrange(0x110000)))) + text[at:]


def _scannable(change: Callable[[str, Random], str]) -> Callable[[str, Random], str]:
    """A change on tokens needs a text that has some; one spoilt by an earlier change is left as it is."""

    def guarded(text: str, random: Random) -> str:
        broken = not text or "\0" in text or any("\ud800" <= c <= "\udfff" for c in text)
        return text if broken else change(text, random)

    return guarded


_CHANGES: Final = (
    *map(_scannable, (_replace, _insert, _remove, _swap, _move, *(_number,) * 3, *(_name,) * 6)),
    _cut,
    _character,
)
