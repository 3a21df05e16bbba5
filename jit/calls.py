"""Calls inside the machine: local functions and the helpers that only touch memory.

Helper arguments are checked as instructions are: `reach` says where the bytes are, or which fault it is. An errno comes
back in r0; a bad pointer, or something that is not a map, is a fault, since no verified program can have one.
"""

from __future__ import annotations

from typing import Any, Final

from grafting.isa import CostClass
from jit.faults import FaultKind
from jit.hot import constant, hot
from jit.machine import (
    FRAME_WORDS,
    LOST_BY_CALL,
    NOT_R0,
    RUNNING,
    Machine,
    enter_frame,
    fault,
    leave_frame,
    measure_stack,
    reach,
    resume,
)
from jit.maps import EINVAL, delete, find, update
from jit.memory import FRAMES, HANDLE_BASE, MAPS, READ, STACK, STACK_BYTES, WRITE
from jit.words import fill_bytes, i64, move_bytes, u64

_ZERO: Final = constant(0)
_MASK: Final = constant((1 << 64) - 1)
_LOW32: Final = constant(0xFFFF_FFFF)
_N32: Final = constant(32)
_LONGEST: Final = constant(1 << 31)
_FRAME_SIZE: Final = constant(STACK_BYTES)
_CALLEE_UNDEFINED: Final = constant(0b11_1100_0001)  # r0, r6 to r9
FULL: Final = constant((1 << 64) - 1)  # what `call_local` returns when the frames are used up

_HELPERS: Final = len(CostClass)  # where the helper counters begin
_NOT_A_MAP: Final = int(FaultKind.NOT_A_MAP)
_OUT_OF_BOUNDS: Final = int(FaultKind.OUT_OF_BOUNDS)


@hot
def call_local(m: Machine, regs: Any, return_pc: int, undefined: int) -> int:
    """Enter the next frame, r6 to r9 saved; returns the callee's undefined registers, or FULL."""
    c = m.control[0]
    depth = c["depth"]
    if depth + 1 >= FRAMES:
        return FULL
    save = depth * FRAME_WORDS
    m.frames[save] = u64(return_pc)
    for i in range(4):
        m.frames[save + 1 + i] = u64(regs[6 + i])
    m.frames[save + 5] = undefined
    c["depth"] = depth + 1
    enter_frame(m, depth + 1)
    regs[10] = (u64(STACK + depth + 1) << _N32) + _FRAME_SIZE
    return undefined | _CALLEE_UNDEFINED if c["checking"] != 0 else _ZERO


@hot
def return_local(m: Machine, regs: Any) -> int:
    """Leave a frame, r6 to r9 restored; returns the pc to go on at."""
    c = m.control[0]
    if c["checking"] != 0:
        measure_stack(m)
    depth = c["depth"]
    leave_frame(m, depth)
    c["depth"] = depth - 1
    save = (depth - 1) * FRAME_WORDS
    for i in range(4):
        regs[6 + i] = u64(m.frames[save + 1 + i])
    regs[10] = (u64(STACK + depth - 1) << _N32) + _FRAME_SIZE
    return i64(m.frames[save])


@hot
def returned_undefined(m: Machine) -> int:
    """Return the undefined registers after `return_local`: the caller's, and those that any call loses."""
    c = m.control[0]
    return (u64(m.frames[c["depth"] * FRAME_WORDS + 5]) | LOST_BY_CALL) & NOT_R0 if c["checking"] != 0 else _ZERO


@hot
def call_pure_helper(m: Machine, number: int, place: int) -> int:
    """Run helper 1, 2, 3, 5, 1008 or 1009 on the registers of the machine; returns RUNNING or FAULTED."""
    c = m.control[0]
    m.counts[_HELPERS + place] += 1
    if number == 5:
        resume(m, u64(c["now_ns"]))
        return RUNNING
    if number >= 1008:
        return call_memory_helper(m, number)
    r1 = u64(m.registers[1])
    handle = i64(r1 >> _N32) - HANDLE_BASE
    if handle < 0 or handle >= c["map_count"] or r1 & _LOW32 != _ZERO:
        return fault(m, _NOT_A_MAP, r1, _ZERO)
    map_ = m.maps[c["map_base"] + handle]
    key = reach(m, u64(m.registers[2]), map_["key_size"], READ)
    if key < 0:
        return fault(m, -key, u64(m.registers[2]), u64(map_["key_size"]))
    seed = u64(c["seed"])
    if number == 1:
        found = find(m.arena, map_, seed, key)
        where = (u64(MAPS + handle) << _N32) + u64(found * map_["stride"]) if found >= 0 else _ZERO
        resume(m, where)
    elif number == 2:
        value = reach(m, u64(m.registers[3]), map_["value_size"], READ)
        if value < 0:
            return fault(m, -value, u64(m.registers[3]), u64(map_["value_size"]))
        if u64(m.registers[4]) != _ZERO:
            resume(m, u64(EINVAL))
        else:
            resume(m, u64(update(m.arena, map_, seed, key, value)))
    else:
        resume(m, u64(delete(m.arena, map_, seed, key)))
    return RUNNING


@hot
def call_memory_helper(m: Machine, number: int) -> int:
    """Run `copy` (1008) or `fill` (1009); returns RUNNING or FAULTED."""
    target, source, length = u64(m.registers[1]), u64(m.registers[2]), u64(m.registers[3])
    if length > _LONGEST:
        return fault(m, _OUT_OF_BOUNDS, target, length)
    size = i64(length)
    if number == 1008:
        from_ = reach(m, source, size, READ)
        if from_ < 0:
            return fault(m, -from_, source, length)
        to = reach(m, target, size, WRITE)
        if to < 0:
            return fault(m, -to, target, length)
        move_bytes(m.arena, to, from_, size)
    else:
        to = reach(m, target, size, WRITE)
        if to < 0:
            return fault(m, -to, target, length)
        fill_bytes(m.arena, to, source, size)
    c = m.control[0]
    c["copied"] += size
    resume(m, _ZERO)
    return RUNNING
