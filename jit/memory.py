"""Virtual addresses: what a program may touch, checked in constant time.

A program never holds a real address. What it holds is `region << 32 | offset`:

    region 0        nothing: null, and every plain number below 2**32
           1        the context record, read-only
           2        the message body (read-only), or the memory of the `raw_memory` hook
           3 .. 10  the stack frames, 512 bytes each; r10 of frame 0 is 3 << 32 | 512
           16 + i   the storage of map i: values of one size, one after the other
    bit 62 set      no region: the handle of a map, which only helpers understand

All regions are windows of one byte array, the *arena*. A row of the region table says where a window lies and what may
be done there. So an access is checked by: the region exists; offset + length is within it; the right is there; where
the hook demands it, the address is aligned; in a map the access stays within one value; on the stack bytes are written
before they are read. A region is reached from another only by adding about 2**32, for windows are far shorter.

`locate` is that check. It returns the arena offset, or a negated `FaultKind`.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from grafting import limits
from jit.faults import FIRST_MAP, FIRST_STACK, FaultKind
from jit.hot import constant, hot, inlined
from jit.words import i64

CONTEXT: Final = 1
BODY: Final = 2
STACK: Final = FIRST_STACK
MAPS: Final = FIRST_MAP
HANDLE_BASE: Final = 1 << 30  # region number of the handle of map 0: beyond every table
STACK_BYTES: Final = limits.STACK_BYTES
FRAMES: Final = limits.CALL_DEPTH

READ: Final = 1
WRITE: Final = 2
STRIDED: Final = 4  # an access must stay within the first `span` bytes of one stride
TRACKED: Final = 8  # a byte must be written before it is read

REGION = np.dtype(
    [
        ("base", np.int64),  # arena offset of the window
        ("size", np.int64),  # bytes
        ("rights", np.int64),  # of READ, WRITE, STRIDED, TRACKED
        ("stride", np.int64),  # STRIDED: distance between values, bytes
        ("span", np.int64),  # STRIDED: bytes of a value
        ("shadow", np.int64),  # TRACKED: arena offset of one byte per byte, 1 where it was written
        ("low", np.int64),  # TRACKED: least offset touched since the frame was entered
    ]
)

_THIRTY_TWO: Final = constant(32)
_LOW: Final = constant(0xFFFF_FFFF)
_SLOW: Final = STRIDED | TRACKED

_UNMAPPED: Final = -int(FaultKind.UNMAPPED)
_OUT_OF_BOUNDS: Final = -int(FaultKind.OUT_OF_BOUNDS)
_NOT_READABLE: Final = -int(FaultKind.NOT_READABLE)
_NOT_WRITABLE: Final = -int(FaultKind.NOT_WRITABLE)
_MISALIGNED: Final = -int(FaultKind.MISALIGNED)
_UNINITIALISED: Final = -int(FaultKind.UNINITIALISED_STACK)


def address(region: int, offset: int = 0) -> int:
    """Return the virtual address of a byte."""
    return region << 32 | offset


@inlined
def locate(arena: Any, regions: Any, first: int, count: int, where: int, length: int, need: int, align: int) -> int:
    """Return the arena offset of `length` bytes at virtual address `where`, or a negated FaultKind.

    `regions[first : first + count]` is the program's table; `need` is of READ and WRITE; `align` is 7 where accesses
    must be naturally aligned, else 0 (lengths that are not a power of two are never required to be).
    """
    number = i64(where >> _THIRTY_TWO)
    offset = i64(where & _LOW)
    if number >= count:
        return _UNMAPPED
    region = regions[first + number]
    if (region["rights"] & (need | _SLOW)) == need and offset + length <= region["size"]:
        if offset & (length - 1) & align == 0:
            return int(region["base"] + offset)
    return locate_slowly(arena, regions, first + number, offset, length, need, align)


@hot
def locate_slowly(arena: Any, regions: Any, index: int, offset: int, length: int, need: int, align: int) -> int:
    """Finish `locate` for windows with further conditions, and name what is wrong."""
    region = regions[index]
    rights, size = region["rights"], region["size"]
    if rights & (READ | WRITE) == 0:
        return _UNMAPPED
    if need & READ > rights & READ:
        return _NOT_READABLE
    if need & WRITE > rights & WRITE:
        return _NOT_WRITABLE
    if offset + length > size:
        return _OUT_OF_BOUNDS
    if offset & (length - 1) & align != 0:
        return _MISALIGNED
    if rights & STRIDED != 0 and offset % region["stride"] + length > region["span"]:
        return _OUT_OF_BOUNDS
    if rights & TRACKED != 0:
        if not touch_shadow(arena, region["shadow"] + offset, length, need):
            return _UNINITIALISED
        if offset < region["low"]:
            region["low"] = offset
    return int(region["base"] + offset)


@hot
def touch_shadow(arena: Any, shadow: int, length: int, need: int) -> bool:
    """Check that bytes about to be read were written, and mark those about to be written."""
    if need & READ != 0:
        for i in range(length):
            if arena[shadow + i] == 0:
                return False
    if need & WRITE != 0:
        for i in range(length):
            arena[shadow + i] = 1
    return True
