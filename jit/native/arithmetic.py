"""Arithmetic as LLVM IR, exactly as RFC 9669 says it, for every operand.

LLVM leaves undefined or poison what the RFC defines: a division by zero (quotient 0, remainder the dividend, section
4.1), the least number divided by -1 (itself, remainder 0), a shift by the width or more (the amount is taken modulo the
width). So shift amounts are masked, and a divisor is replaced by 1 where LLVM would not know the result, which is then
chosen apart. No instruction has `nsw`, `nuw` or `exact`: registers wrap.
"""

from __future__ import annotations

from typing import Final

from grafting.isa import Alu, AluOp, Branch, ByteSwap, Condition, Imm, MoveSx, Swap
from jit.native.text import Text

_BINARY: Final = {
    Alu.ADD: "add", Alu.SUB: "sub", Alu.MUL: "mul", Alu.AND: "and", Alu.OR: "or", Alu.XOR: "xor",
    Alu.LSH: "shl", Alu.RSH: "lshr", Alu.ARSH: "ashr",
}  # fmt: skip
_SHIFTS: Final = (Alu.LSH, Alu.RSH, Alu.ARSH)
DIVISIONS: Final = (Alu.DIV, Alu.MOD, Alu.SDIV, Alu.SMOD)
_PREDICATES: Final = {
    Condition.EQ: "eq", Condition.NE: "ne", Condition.GT: "ugt", Condition.GE: "uge", Condition.LT: "ult",
    Condition.LE: "ule", Condition.SGT: "sgt", Condition.SGE: "sge", Condition.SLT: "slt", Condition.SLE: "sle",
}  # fmt: skip


def alu(text: Text, op: AluOp, *, nonzero: bool) -> None:
    """Write an ALU instruction. `nonzero`: whether its source is known not to be 0."""
    text.set_low(op.dst, op.bits, _result(text, op, nonzero=nonzero))


def _result(text: Text, op: AluOp, *, nonzero: bool) -> str:
    bits = op.bits
    if op.op is Alu.MOV:
        return text.operand(op.source, bits)
    a = text.low(op.dst, bits)
    if op.op is Alu.NEG:
        return text.value(f"sub i{bits} 0, {a}")
    b = text.operand(op.source, bits)
    if op.op in _SHIFTS:
        b = text.value(f"and i{bits} {b}, {bits - 1}")
    if op.op in _BINARY:
        return text.value(f"{_BINARY[op.op]} i{bits} {a}, {b}")
    if isinstance(op.source, Imm):
        nonzero = b != "0"
    return _division(text, op.op, bits, a, b, nonzero=nonzero)


def _division(text: Text, op: Alu, bits: int, a: str, b: str, *, nonzero: bool) -> str:
    quotient, signed = op in (Alu.DIV, Alu.SDIV), op in (Alu.SDIV, Alu.SMOD)
    divisor, minus, zero = b, "", ""
    if signed:
        minus = text.value(f"icmp eq i{bits} {b}, -1")
        divisor = text.value(f"select i1 {minus}, i{bits} 1, i{bits} {divisor}")
    if not nonzero:
        zero = text.value(f"icmp eq i{bits} {b}, 0")
        divisor = text.value(f"select i1 {zero}, i{bits} 1, i{bits} {divisor}")
    result = text.value(f"{'s' if signed else 'u'}{'div' if quotient else 'rem'} i{bits} {a}, {divisor}")
    if signed:
        negated = text.value(f"sub i{bits} 0, {a}") if quotient else "0"
        result = text.value(f"select i1 {minus}, i{bits} {negated}, i{bits} {result}")
    if not nonzero:
        result = text.value(f"select i1 {zero}, i{bits} {'0' if quotient else a}, i{bits} {result}")
    return result


def move_sign_extended(text: Text, op: MoveSx) -> None:
    """Write a `movsx`."""
    low = text.low(op.src, op.from_bits)
    text.set_low(op.dst, op.bits, text.value(f"sext i{op.from_bits} {low} to i{op.bits}"))


def byte_swap(text: Text, op: ByteSwap) -> None:
    """Write a byte swap; the host is little-endian (`llvm`)."""
    value = text.low(op.dst, op.bits)
    if op.swap is not Swap.LE:
        value = text.value(f"call i{op.bits} @llvm.bswap.i{op.bits}(i{op.bits} {value})")
    text.set_low(op.dst, op.bits, value)


def condition(text: Text, op: Branch) -> str:
    """Write the comparison of a conditional jump; returns its i1."""
    a, b = text.low(op.dst, op.bits), text.operand(op.source, op.bits)
    if op.condition is Condition.SET:
        return text.value(f"icmp ne i{op.bits} {text.value(f'and i{op.bits} {a}, {b}')}, 0")
    return text.value(f"icmp {_PREDICATES[op.condition]} i{op.bits} {a}, {b}")


DECLARATIONS: Final = """
declare i16 @llvm.bswap.i16(i16)
declare i32 @llvm.bswap.i32(i32)
declare i64 @llvm.bswap.i64(i64)
"""
