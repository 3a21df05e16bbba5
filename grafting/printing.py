"""Laying text out: pieces that may be broken over lines at their brackets when a line would become too long.

A `Text` is a row of strings and `Group`s. It is printed in one line if it fits; else its widest group is broken, one
item a line (or, filled, as many items a line as fit), and so on inside.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 100  # characters of a printed line
INDENT: Final = "    "

Text = tuple["str | Group", ...]


@dataclass(frozen=True, slots=True)
class Group:
    """`open item, item close`; `fill` packs short items when broken; `comma`: broken items all end with one."""

    open: str
    items: tuple[Text, ...]
    close: str
    fill: bool = False
    comma: bool = True


def flat(text: Text) -> str:
    """Return the text in one line."""
    return "".join(
        part if isinstance(part, str) else part.open + ", ".join(map(flat, part.items)) + part.close for part in text
    )


def join(separator: str, texts: Iterable[Text]) -> Text:
    """Return the texts with a separator between them."""
    result: list[str | Group] = []
    for text in texts:
        result += [separator, *text] if result else text
    return tuple(result)


def lay_out(text: Text, level: int, suffix: str = "") -> list[str]:
    """Return the lines of a text that begins `level` indents to the right and is followed by `suffix`."""
    line = INDENT * level + flat(text) + suffix
    groups = [n for n, part in enumerate(text) if isinstance(part, Group) and part.items]
    if len(line) <= WIDTH or not groups:
        return [line]
    widest = max(groups, key=lambda n: len(flat((text[n],))))
    group = text[widest]
    assert isinstance(group, Group)
    head = INDENT * level + flat(text[:widest]) + group.open.rstrip()
    body = _filled(group.items, level + 1) if group.fill else _one_a_line(group, level + 1)
    return [head, *body, *lay_out((group.close.lstrip(), *text[widest + 1 :]), level, suffix)]


def _one_a_line(group: Group, level: int) -> list[str]:
    return [line for item in group.items for line in lay_out(item, level, "," if group.comma else "")]


def _filled(items: Sequence[Text], level: int) -> list[str]:
    lines: list[str] = []
    for item in items:
        word = flat(item) + ","
        if lines and len(lines[-1]) + 1 + len(word) <= WIDTH:
            lines[-1] += " " + word
        else:
            lines += lay_out(item, level, ",")
    return lines
