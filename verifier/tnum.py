"""Tristate numbers: what is known of each bit.

A tnum of width W is a pair of words (value, mask) with `value & mask == 0`. It stands for every x with

    x & ~mask == value

so a bit set in the mask is unknown, and any other bit is that of the value. {4, 6} is value 0b100, mask 0b010.

Sums (and differences) rest on one observation: the sum of the least members and the sum of the greatest differ, as a
word, in exactly those carries that some choice of unknown bits can change. The idea is that of Linux's
`kernel/bpf/tnum.c`; Vishwanathan et al., "Sound, Precise, and Fast Abstract Interpretation with Tristate Numbers",
CGO 2022, prove addition and subtraction the best possible. Multiplication here knows the low bits only, in constant
time; the interval beside it knows the high ones.

Every function takes and returns plain words over `verifier.words`; two tnums are passed as (av, am) and (bv, bm).
"""

from __future__ import annotations

from verifier.words import Words

Tnum = tuple[int, int]


def add(w: Words, av: int, am: int, bv: int, bm: int) -> Tnum:
    """Return the sums."""
    least = (av + bv) & w.mask
    greatest = (least + am + bm) & w.mask
    mask = (least ^ greatest) | am | bm
    return least & (mask ^ w.mask), mask


def sub(w: Words, av: int, am: int, bv: int, bm: int) -> Tnum:
    """Return the differences: a - b is the complement of the sum of b and a's complement."""
    value, mask = add(w, (av | am) ^ w.mask, am, bv, bm)
    return (value | mask) ^ w.mask, mask


def bit_and(av: int, am: int, bv: int, bm: int) -> Tnum:
    """Return the conjunctions: a bit is 1 if both are, possibly 1 if both possibly are."""
    value = av & bv
    return value, ((av | am) & (bv | bm)) ^ value


def bit_or(av: int, am: int, bv: int, bm: int) -> Tnum:
    """Return the disjunctions: a bit is 1 if either is, possibly 1 if either possibly is."""
    value = av | bv
    return value, (value | am | bm) ^ value


def bit_xor(w: Words, av: int, am: int, bv: int, bm: int) -> Tnum:
    """Return the exclusive disjunctions: known where both are."""
    mask = am | bm
    return (av ^ bv) & (mask ^ w.mask), mask


def mul(w: Words, av: int, am: int, bv: int, bm: int) -> Tnum:
    """Return the low bits of the products.

    Let a be a multiple of 2^i with its low p bits known, so a = a0 + 2^p a1, and b likewise with j and q. Then
    ab = a0 b0 + 2^p a1 b + 2^q b1 a0, and 2^p a1 b is a multiple of 2^(p+j), 2^q b1 a0 of 2^(q+i). So the low
    min(p+j, q+i) bits of the product are those of a0 b0. A power of two that wraps to 0 stands for 2^W or more.
    """
    from_a = _lowest_bit(w, am) * _lowest_bit(w, bv | bm) & w.mask
    from_b = _lowest_bit(w, bm) * _lowest_bit(w, av | am) & w.mask
    known = w.umin((from_a - 1) & w.mask, (from_b - 1) & w.mask)
    return av * bv & known, known ^ w.mask


def low_bits_of(w: Words, av: int, am: int, bv: int, bm: int) -> Tnum:
    """Return the low bits of a - k*b for any k: those of a, as far down as b is a multiple of a power of two."""
    possible = bv | bm
    known = (_lowest_bit(w, possible) - 1) & w.mask
    return av & known, (am | (known ^ w.mask)) & w.mask


def shift_left(w: Words, v: int, m: int, amount: int) -> Tnum:
    """Return the tnum shifted left by a constant."""
    return w.shl(v, amount), w.shl(m, amount)


def shift_right(w: Words, v: int, m: int, amount: int) -> Tnum:
    """Return the tnum shifted right by a constant, zeros coming in."""
    return w.lshr(v, amount), w.lshr(m, amount)


def shift_right_signed(w: Words, v: int, m: int, amount: int) -> Tnum:
    """Return the tnum shifted right by a constant, copies of the sign, known or not, coming in."""
    return w.ashr(w.signed(v), amount) & w.mask, w.ashr(w.signed(m), amount) & w.mask


def multiple_of_lowest(w: Words, v: int, m: int) -> Tnum:
    """Return the multiples of the greatest power of two that divides every member; (0, 0) for the tnum of 0."""
    known = (_lowest_bit(w, v | m) - 1) & w.mask
    return v & 0, known ^ w.mask


def sign_extend(w: Words, v: int, m: int, sign: int) -> Tnum:
    """Return the tnum, of which only bits up to `sign` (a power of two) may be set, extended from that bit."""
    return ((v ^ sign) - sign) & w.mask, ((m ^ sign) - sign) & w.mask


def of_range(w: Words, low: int, high: int) -> Tnum:
    """Return the smallest tnum around an interval of words: the common leading bits are known."""
    mask = w.fill(low ^ high)
    return low & (mask ^ w.mask), mask


def join(w: Words, av: int, am: int, bv: int, bm: int) -> Tnum:
    """Return the smallest tnum around both: what is known alike in both."""
    mask = am | bm | (av ^ bv)
    return av & (mask ^ w.mask), mask


def meet(w: Words, av: int, am: int, bv: int, bm: int) -> Tnum:
    """Return what is known in either. Where they contradict (see `disjoint`) the result means nothing."""
    mask = am & bm
    return (av | bv) & (mask ^ w.mask), mask


def disjoint(w: Words, av: int, am: int, bv: int, bm: int) -> bool:
    """Return whether no word is in both: a bit is known in both and differs."""
    return (av ^ bv) & ((am | bm) ^ w.mask) != 0


def within(w: Words, av: int, am: int, bv: int, bm: int) -> bool:
    """Return whether all of b is in a: whatever a knows, b knows alike."""
    return ((av ^ bv) | bm) & (am ^ w.mask) == 0


def greatest_up_to(w: Words, v: int, m: int, limit: int) -> int:
    """Return the greatest member that is <= limit; if there is none, some word.

    Take the limit's own bits where bits are unknown: `near`. Where it first differs from the limit, at a known bit,
    either the limit has the 1, and everything unknown below may be 1; or the member has it, and the lowest 1 that it
    could do without must go, with everything unknown below that 1.
    """
    near = v | (limit & m)
    differ = w.fill(near ^ limit)
    filled = (near & (differ ^ w.mask)) | ((v | m) & differ)
    droppable = near & m & (differ ^ w.mask)
    dropped = _lowest_bit(w, droppable)
    below = (dropped - 1) & w.mask
    lowered = (near & ((dropped | below) ^ w.mask)) | ((v | m) & below)
    return w.ite(w.ule(near, limit), filled, lowered)


def least_from(w: Words, v: int, m: int, limit: int) -> int:
    """Return the least member that is >= limit, by complement; if there is none, some word."""
    return greatest_up_to(w, (v | m) ^ w.mask, m, limit ^ w.mask) ^ w.mask


def _lowest_bit(w: Words, x: int) -> int:
    """Return the lowest set bit alone; 0 for 0."""
    return x & -x & w.mask
