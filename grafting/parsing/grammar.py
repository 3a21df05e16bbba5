"""The parser of `graft.lark`, its tables kept by Lark's own cache.

Lark needs a quarter of a second to make the tables and a tenth of that to load saved ones, so they are kept in the
user's cache directory. Lark checks that a file belongs to this grammar, these options, this Lark and this Python, and
makes the tables afresh if it does not or is damaged. But a saved file is a pickle, which can run code when it is
loaded, so one that others could have written is not used.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from grafting.cache_directory import cache_directory, is_private

if TYPE_CHECKING:
    from lark import Lark

GRAMMAR: Final = Path(__file__).with_name("graft.lark")


@lru_cache(maxsize=1)
def parser() -> Lark:
    """Return the LALR parser with the starting points `header` and `item`."""
    from lark import Lark

    cache = _cache_file()
    return Lark(
        GRAMMAR.read_text(encoding="utf-8"),
        parser="lalr",
        lexer="basic",  # never used: `grafting.parsing.lexer` makes the tokens
        start=["header", "item"],
        propagate_positions=True,
        maybe_placeholders=True,
        cache=str(cache) if cache else False,
    )


def _cache_file() -> Path | None:
    """Return the file for the tables, or None if others could have written it."""
    directory = cache_directory()
    if directory is None:
        return None
    file = directory / "graft.tables"
    try:
        return file if not os.path.lexists(file) or is_private(file) else None
    except OSError:
        return None
