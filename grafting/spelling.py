"""Words in messages: which one was meant, and which ones there are."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Final

CUTOFF: Final = 0.6  # difflib's measure of likeness; below it a suggestion confuses more than it helps
CANDIDATES: Final = 2000  # words compared with a misspelt one; bounds the time spent on one error


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate most like `word`, or None if none is like it.

    >>> nearest("retrun", ["release", "return"])
    'return'
    """
    near = [c for c in candidates if abs(len(c) - len(word)) <= 1 + len(word) // 2][:CANDIDATES]
    found = difflib.get_close_matches(word, near, n=1, cutoff=CUTOFF)
    return found[0] if found else None


def either(words: Sequence[str]) -> str:
    """Return words, at least one, as alternatives in a sentence.

    >>> either(["`hash`", "`array`", "a type"])
    '`hash`, `array` or a type'
    """
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
