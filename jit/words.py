"""Primitives of the hot code: machine words, little-endian memory, table rows. Plain Python here, machine code there.

`arena` is a uint8 array or any writable buffer of bytes; offsets are in bytes, unchecked by the compiled forms: the
caller has checked them against a region (`jit.memory`). Words are unsigned 64-bit unless a name says otherwise.
"""

from __future__ import annotations

import struct
from typing import Any

from jit.hot import MASK, primitive

_U16, _U32, _U64 = struct.Struct("<H"), struct.Struct("<I"), struct.Struct("<Q")


@primitive
def u64(value: Any) -> int:
    """Return the unsigned word congruent to an integer of any type."""
    return int(value) & MASK


@primitive
def i64(value: Any) -> int:
    """Return the signed word congruent to an integer of any type."""
    word = int(value) & MASK
    return word - (1 << 64) if word >> 63 else word


@primitive
def bit_length(value: Any) -> int:
    """Return how many bits a signed word needs that is not negative: 0 for 0, else 1 + the place of its highest bit."""
    return int(value).bit_length()


@primitive
def load8(arena: Any, offset: int) -> int:
    """Return the byte at `offset`, zero-extended."""
    return int(arena[offset])


@primitive
def load16(arena: Any, offset: int) -> int:
    """Return the two bytes at `offset`, zero-extended."""
    return int(_U16.unpack_from(arena, offset)[0])


@primitive
def load32(arena: Any, offset: int) -> int:
    """Return the four bytes at `offset`, zero-extended."""
    return int(_U32.unpack_from(arena, offset)[0])


@primitive
def load64(arena: Any, offset: int) -> int:
    """Return the eight bytes at `offset`."""
    return int(_U64.unpack_from(arena, offset)[0])


@primitive
def store8(arena: Any, offset: int, value: int) -> None:
    """Store the low byte of a word."""
    arena[offset] = value & 0xFF


@primitive
def store16(arena: Any, offset: int, value: int) -> None:
    """Store the low two bytes of a word."""
    _U16.pack_into(arena, offset, value & 0xFFFF)


@primitive
def store32(arena: Any, offset: int, value: int) -> None:
    """Store the low four bytes of a word."""
    _U32.pack_into(arena, offset, value & 0xFFFF_FFFF)


@primitive
def store64(arena: Any, offset: int, value: int) -> None:
    """Store a word."""
    _U64.pack_into(arena, offset, value)


@primitive
def move_bytes(arena: Any, target: int, source: int, length: int) -> None:
    """Copy `length` bytes within the arena; the ranges may overlap."""
    view = memoryview(arena)
    view[target : target + length] = bytes(view[source : source + length])


@primitive
def fill_bytes(arena: Any, target: int, value: int, length: int) -> None:
    """Set `length` bytes to the low byte of `value`."""
    memoryview(arena)[target : target + length] = bytes((value & 0xFF,)) * length


@primitive
def fetch(code: Any, pc: int) -> tuple[int, int, int, int, int, int, int]:
    """Return record `pc` as (imm, offset, touch, op, dst, src, shift); see `jit.predecode`."""
    row: tuple[int, int, int, int, int, int, int] = code.item(pc)
    return row


@primitive
def open_registers(registers: Any) -> Any:
    """Return the registers in the form that computes fastest: a list of ints here, the array itself there."""
    return registers.tolist()


@primitive
def refresh_registers(registers: Any, opened: Any) -> None:
    """Take over changes that others made to the registers meanwhile."""
    opened[:] = registers.tolist()


@primitive
def close_registers(registers: Any, opened: Any) -> None:
    """Write back what `open_registers` gave out."""
    registers[:] = opened
