"""Names for unknown numbers, so that what is learnt of one copy is known of all.

A *symbol* stands for one 64-bit word that an execution has computed. Every number the verifier tracks is written
`symbol + delta`, so equal symbols mean: these two differ by a known constant, whatever they are. The same operation on
the same operands has the same symbol (value numbering, Alpern, Wegman and Zadeck, POPL 1988), so that

    r2 = r6; r2 <<= 3; r2 += r7; if r2 > r8 goto out       # r2 checked
    r3 = r6; r3 <<= 3; r3 += r7; r0 = *(u64 *)(r3 - 8)     # r3 is the same address

needs no search for copies. `definition` gives back how a symbol was computed; loop rankings are found by it. A symbol
says nothing about the value's range; that is the scalar's part. Symbols are only ever compared, never assumed to exist
in another state: forgetting one (making up a fresh one) is always sound.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from grafting.isa import Alu

ZERO: Final = 0  # the symbol of constants: its word is 0
LENGTH: Final = 1  # bytes of the message body
_FIRST: Final = 2
_DEPTH: Final = 6  # definitions nested deeper than this are cut off; rankings and recomputed addresses need three

_SIGN = 1 << 63
_WORD = (1 << 64) - 1
_COMMUTATIVE = frozenset({Alu.ADD, Alu.MUL, Alu.AND, Alu.OR, Alu.XOR})


class Definition(NamedTuple):
    """`a operator b` in 64 or 32 bits, each operand being `symbol + delta`.

    `kept`, of a shift to the left: no bit was lost of the number as an unsigned (1) or signed (2) word, or either (3).
    """

    operator: Alu
    is64: bool
    a: tuple[int, int]
    b: tuple[int, int]
    kept: int = 0


def wrap(delta: int) -> int:
    """Return a delta as the signed number it is modulo 2^64."""
    return ((delta + _SIGN) & _WORD) - _SIGN


class Terms:
    """The symbols of one verification."""

    def __init__(self) -> None:
        self._next = _FIRST
        self._of: dict[Definition | tuple[str, int, int], int] = {}
        self._definitions: dict[int, Definition] = {}
        self._operands: dict[int, frozenset[int]] = {}
        self._depths: dict[int, int] = {}
        self._named: dict[int, tuple[str, int, int] | None] = {ZERO: None, LENGTH: None}

    def fresh(self) -> int:
        """Return a symbol of which nothing is known."""
        self._next += 1
        return self._next - 1

    def named(self, kind: str, index: int, part: int) -> int:
        """Return the symbol of something that cannot change: one symbol for each (kind, index, part)."""
        key = (kind, index, part)
        if key not in self._of:
            self._of[key] = self.fresh()
            self._named[self._of[key]] = key
        return self._of[key]

    def fixed(self, symbol: int) -> tuple[str, int, int] | None:
        """Return the (kind, index, part) that a symbol was named for; None for all others."""
        return self._named.get(symbol)

    def apply(self, operator: Alu, is64: bool, a: tuple[int, int], b: tuple[int, int], kept: int = 0) -> int:
        """Return the symbol of `a operator b`."""
        if operator in _COMMUTATIVE and b < a:
            a, b = b, a
        definition = Definition(operator, is64, a, b, kept)
        known = self._of.get(definition)
        if known is not None:
            return known
        symbol = self.fresh()
        depth = 1 + max(self._depths.get(a[0], 0), self._depths.get(b[0], 0))
        if depth <= _DEPTH:
            self._definitions[symbol] = definition
            self._depths[symbol] = depth
            self._operands[symbol] = frozenset({a[0], b[0]}) | self.operands(a[0]) | self.operands(b[0])
            self._of[definition] = symbol
        return symbol

    def definition(self, symbol: int) -> Definition | None:
        """Return how a symbol was computed, None if that is unknown or forgotten."""
        return self._definitions.get(symbol)

    def recomputable(self, symbol: int) -> bool:
        """Return whether an instruction to come may compute this symbol again."""
        return symbol in self._definitions or symbol in self._named

    def operands(self, symbol: int) -> frozenset[int]:
        """Return the symbols that a symbol was computed from, directly or not."""
        return self._operands.get(symbol, _NONE)


_NONE: frozenset[int] = frozenset()
