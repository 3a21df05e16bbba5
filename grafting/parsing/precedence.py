"""How tightly binary operators bind: one table for reading (`treebuilder`) and for printing (`format`).

The order is Rust's, not C's: `a & mask == 0` compares `a & mask`. All operators group to the left, but comparisons,
which do not chain at all. Casts (`as`) bind tighter than any binary operator, prefix operators tighter than casts.
"""

from __future__ import annotations

from typing import Final

_LEVELS: Final = (
    ("||",),
    ("&&",),
    ("==", "!=", "<", "<=", ">", ">="),
    ("|",),
    ("^",),
    ("&",),
    ("<<", ">>"),
    ("+", "-"),
    ("*", "/", "%"),
)
PRECEDENCE: Final[dict[str, int]] = {op: level for level, ops in enumerate(_LEVELS) for op in ops}
"""Binary operator -> level; a higher one binds tighter."""

COMPARISON: Final = PRECEDENCE["=="]
CAST: Final = len(_LEVELS)
PREFIX: Final = CAST + 1
POSTFIX: Final = PREFIX + 1


def postfix_order(operators: list[str]) -> list[int | str]:
    """Return the row `0 op 1 op 2 ...` in postfix order (Dijkstra's shunting yard): operand numbers and operators.

    >>> postfix_order(["+", "*"])
    [0, 1, 2, '*', '+']
    """
    output: list[int | str] = [0]
    waiting: list[str] = []
    for number, op in enumerate(operators, start=1):
        while waiting and PRECEDENCE[waiting[-1]] >= PRECEDENCE[op]:
            output.append(waiting.pop())
        waiting.append(op)
        output.append(number)
    output.extend(reversed(waiting))
    return output


def operand_depths(order: list[int | str]) -> dict[int, int]:
    """Return how many operators stand above each operand of a row in postfix order."""
    depths: dict[int, int] = {}
    pending = [0]
    for entry in reversed(order):
        depth = pending.pop()
        if isinstance(entry, int):
            depths[entry] = depth
        else:
            pending += [depth + 1, depth + 1]
    return depths
