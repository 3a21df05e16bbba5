"""Arithmetic of RFC 9669 on unsigned words, where the instruction set differs from Python or from C.

Division by zero gives 0 and remainder by zero the dividend; INT_MIN / -1 is INT_MIN and its remainder 0; shift amounts
come masked. Signed division is that of the magnitudes, rounded towards zero. (Sections 4.1, 4.2 and 5.3.)
"""

from __future__ import annotations

from typing import Any, Final

from grafting.isa import FETCH, AtomicOp
from jit.hot import constant, hot, inlined
from jit.words import load32, load64, store32, store64, u64

_ZERO: Final = constant(0)
_ONE: Final = constant(1)
_MASK: Final = constant((1 << 64) - 1)
_LOW32: Final = constant(0xFFFF_FFFF)
_SIGN64: Final = constant(1 << 63)
_N8: Final = constant(8)
_N16: Final = constant(16)
_N32: Final = constant(32)
_EVEN_BYTES: Final = constant(0x00FF_00FF_00FF_00FF)
_EVEN_HALVES: Final = constant(0x0000_FFFF_0000_FFFF)
_FETCH: Final = constant(FETCH)
_OPERATION: Final = constant(0xFF & ~FETCH)
_ADD: Final = constant(AtomicOp.ADD.value)
_OR: Final = constant(AtomicOp.OR.value)
_AND: Final = constant(AtomicOp.AND.value)
_XOR: Final = constant(AtomicOp.XOR.value)
_CMPXCHG: Final = constant(AtomicOp.CMPXCHG.value)


@inlined
def sign_extend(word: int, sign: int) -> int:
    """Extend from the bit `sign` (a power of two) to 64 bits."""
    return (((word & (sign | (sign - _ONE))) ^ sign) - sign) & _MASK


@inlined
def shift_right_signed(word: int, amount: int, sign: int) -> int:
    """Shift a number whose sign bit is `sign`, and which has no bits above, arithmetically; `amount` is masked."""
    fill = sign >> amount
    return (((word >> amount) ^ fill) - fill) & _MASK


@hot
def divide(dividend: int, divisor: int) -> int:
    """Return the quotient; 0 for a divisor of 0."""
    return dividend // divisor if divisor != _ZERO else _ZERO


@hot
def remainder(dividend: int, divisor: int) -> int:
    """Return the remainder; the dividend for a divisor of 0."""
    return dividend % divisor if divisor != _ZERO else dividend


@hot
def magnitude(word: int) -> int:
    """Return the absolute value of a signed word, as an unsigned one."""
    return (_ZERO - word) & _MASK if word & _SIGN64 != _ZERO else word


@hot
def divide_signed(dividend: int, divisor: int) -> int:
    """Return the quotient of signed words, rounded towards zero; INT_MIN / -1 is INT_MIN."""
    quotient = divide(magnitude(dividend), magnitude(divisor))
    return (_ZERO - quotient) & _MASK if (dividend ^ divisor) & _SIGN64 != _ZERO else quotient


@hot
def remainder_signed(dividend: int, divisor: int) -> int:
    """Return the remainder of signed words; it has the sign of the dividend."""
    rest = remainder(magnitude(dividend), magnitude(divisor))
    return (_ZERO - rest) & _MASK if dividend & _SIGN64 != _ZERO else rest


@hot
def swap64(word: int) -> int:
    """Reverse the bytes of a word."""
    word = (word & _EVEN_BYTES) << _N8 & _MASK | (word >> _N8) & _EVEN_BYTES
    word = (word & _EVEN_HALVES) << _N16 & _MASK | (word >> _N16) & _EVEN_HALVES
    return (word << _N32) & _MASK | word >> _N32


@hot
def combine(op: int, old: int, operand: int) -> int:
    """Return what an atomic other than CMPXCHG stores; `op` is the wire form's without the fetch bit."""
    if op == _ADD:
        return (old + operand) & _MASK
    if op == _OR:
        return old | operand
    if op == _AND:
        return old & operand
    if op == _XOR:
        return old ^ operand
    return operand


@hot
def atomic(arena: Any, at: int, size: int, imm: int, regs: Any, src: int) -> None:
    """Perform an atomic at a checked arena offset; the machine has one thread, so it is a read and a write."""
    mask = _MASK if size == 8 else _LOW32
    old = load64(arena, at) if size == 8 else load32(arena, at)
    op = imm & _OPERATION
    operand = u64(regs[src]) & mask
    if op == _CMPXCHG:
        new = operand if old == u64(regs[0]) & mask else old
        regs[0] = old
    else:
        new = combine(op, old, operand)
        if imm & _FETCH != _ZERO:
            regs[src] = old
    if size == 8:
        store64(arena, at, new)
    else:
        store32(arena, at, new)
