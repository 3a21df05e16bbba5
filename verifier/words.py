"""Machine words: the few operations on which the scalar domain is built.

The domain is written once, all but free of branches on data, over the operations below. Two things can stand behind
them:

- `Words`, plain Python integers. This is what the verifier runs.
- `Z3Words` in `tests/z3words.py`, z3 bit-vectors. The tests run **the same functions** on it, which turns each of them
  into a formula, and prove that formula for all words of the width.

Representation. A *word* of width W is an integer in 0 ..= 2^W - 1, a *signed* one in -2^(W-1) ..= 2^(W-1) - 1. As
bit-vectors the two are the same thing. Hence three conversions that need no call and mean the same in both worlds:

    x & w.mask     any integer, wrapped to a word
    s + w.sign     a signed number, biased: an order-preserving map onto the words
    b - w.sign     back again

Native `+ - * & | ^` and `== !=` are used directly, wrapped with `& w.mask` where the result is a word. Never used
natively, because z3 reads them as signed or as Python cannot: `<`, `<=`, `>>`, `<<`, `//`, `%`, `~`, `if`, `and`, `or`.
Conditions combine by `&` and `|`, and are negated by `no`. Where skipping work is worth a branch the code says
`if w.decide(condition):`, and the proofs go both ways, each under its condition.
"""

from __future__ import annotations


class Words:
    """Words of one width, and of half of it (`half`), on Python integers."""

    __slots__ = ("half", "mask", "sign", "width")

    def __init__(self, width: int, half: Words | None = None) -> None:
        self.width = width  # bits, a power of two
        self.mask = (1 << width) - 1  # the greatest word
        self.sign = 1 << (width - 1)  # the sign bit alone
        self.half: Words = half if half is not None else self  # words of half the width; itself where not needed

    # Order and choice.

    @staticmethod
    def ult(a: int, b: int) -> bool:
        """Return a < b, for words."""
        return a < b

    @staticmethod
    def ule(a: int, b: int) -> bool:
        """Return a <= b, for words."""
        return a <= b

    @staticmethod
    def slt(a: int, b: int) -> bool:
        """Return a < b, for signed numbers."""
        return a < b

    @staticmethod
    def sle(a: int, b: int) -> bool:
        """Return a <= b, for signed numbers."""
        return a <= b

    @staticmethod
    def no(condition: bool) -> bool:
        """Return the negation."""
        return not condition

    @staticmethod
    def ite(condition: bool, a: int, b: int) -> int:
        """Return a if the condition holds, else b."""
        return a if condition else b

    @staticmethod
    def decide(condition: bool) -> bool:
        """Return the condition, to branch on."""
        return condition

    @staticmethod
    def same(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
        """Return whether two tuples of words are equal, word by word."""
        return a == b

    @staticmethod
    def umin(a: int, b: int) -> int:
        """Return the smaller word."""
        return a if a < b else b

    @staticmethod
    def umax(a: int, b: int) -> int:
        """Return the greater word."""
        return a if a > b else b

    @staticmethod
    def smin(a: int, b: int) -> int:
        """Return the smaller signed number."""
        return a if a < b else b

    @staticmethod
    def smax(a: int, b: int) -> int:
        """Return the greater signed number."""
        return a if a > b else b

    # Shifts, by 0 ..= W - 1.

    def shl(self, a: int, amount: int) -> int:
        """Return the word shifted left, wrapped."""
        return (a << amount) & self.mask

    @staticmethod
    def lshr(a: int, amount: int) -> int:
        """Return the word shifted right."""
        return a >> amount

    @staticmethod
    def ashr(a: int, amount: int) -> int:
        """Return the signed number shifted right, rounding down."""
        return a >> amount

    # Turns: how often an exact sum or difference runs around the circle of words, or of signed numbers: -1, 0 or 1.

    def uadd_turn(self, a: int, b: int) -> int:
        """Return 1 if the sum of two words is no word, else 0."""
        return (a + b) >> self.width

    def usub_turn(self, a: int, b: int) -> int:
        """Return -1 if the difference of two words is no word, else 0."""
        return (a - b) >> self.width

    def sadd_turn(self, a: int, b: int) -> int:
        """Return 1 if the sum of two signed numbers is above all of them, -1 if it is below, else 0."""
        return (a + b + self.sign) >> self.width

    def ssub_turn(self, a: int, b: int) -> int:
        """Return 1 if the difference of two signed numbers is above all of them, -1 if it is below, else 0."""
        return (a - b + self.sign) >> self.width

    # Products and quotients; divisors are not zero.

    def umul_fits(self, a: int, b: int) -> bool:
        """Return whether the product of two words is a word."""
        return a * b <= self.mask

    def smul_fits(self, a: int, b: int) -> bool:
        """Return whether the product of two signed numbers is a signed number."""
        return -self.sign <= a * b < self.sign

    @staticmethod
    def udiv(a: int, b: int) -> int:
        """Return the quotient of words."""
        return a // b

    @staticmethod
    def urem(a: int, b: int) -> int:
        """Return the remainder of words."""
        return a % b

    @staticmethod
    def sdiv(a: int, b: int) -> int:
        """Return the quotient of signed numbers rounded towards zero, unwrapped: -2^(W-1) / -1 is for the caller."""
        quotient = abs(a) // abs(b)
        return quotient if (a < 0) == (b < 0) else -quotient

    # Changes of form and of width.

    def signed(self, a: int) -> int:
        """Return the signed number with the bits of a word."""
        return a - ((a & self.sign) << 1)

    def wrap(self, s: int) -> int:
        """Return the signed number congruent to any integer."""
        return ((s + self.sign) & self.mask) - self.sign

    def low(self, a: int) -> int:
        """Return the low half of a word, a word of half the width."""
        return a & self.half.mask

    @staticmethod
    def wide(a: int) -> int:
        """Return a word of half the width zero-extended to this one."""
        return a

    @staticmethod
    def wide_signed(a: int) -> int:
        """Return a signed number of half the width as one of this width."""
        return a

    @staticmethod
    def fill(a: int) -> int:
        """Return all ones up to and including the highest set bit: 0b00101000 gives 0b00111111, and 0 gives 0."""
        return (1 << a.bit_length()) - 1

    def reverse_bytes(self, a: int, size: int) -> int:
        """Return the low `size` bytes in reverse order, zero-extended."""
        return int.from_bytes((a & ((1 << 8 * size) - 1)).to_bytes(size, "little"), "big")


W32 = Words(32)
W64 = Words(64, W32)
