"""The checked interpreter: RFC 9669, every access checked, every instruction counted. The oracle for everything else.

`run` is one resumable loop over predecoded records (`jit.predecode`) and the tables of a `jit.machine.Machine`. It is
written once; under numba the chain of comparisons with the dense operation number becomes one jump table. It takes
untrusted code and cannot be made to leave its arena: each load, store and atomic goes through `memory.locate`, jumps
were checked when the program was loaded (`grafting.wellformed`), fuel ends every loop.

Words are unsigned. 32-bit operations work on the low halves and zero-extend; division by zero gives 0 and remainder by
zero the dividend; INT_MIN / -1 is INT_MIN; shift amounts are masked (RFC 9669 sections 4.1 and 4.2). Signed comparison
is unsigned comparison with both sign bits turned over.

Counting: instructions of the eight classes below EXIT add 1 << 8 * class to one word; the word is emptied into the
counters every 255 instructions at the latest, before a field can overflow, and that is also where fuel is looked at.

The pure helpers run here: map look-up, update, delete, clock, copy, fill, unwind. All others return HELPER to the
embedder (`jit.machine` shows the loop).
"""

from __future__ import annotations

from typing import Any, Final

from grafting.isa import CostClass
from jit.arithmetic import (
    atomic,
    divide,
    divide_signed,
    remainder,
    remainder_signed,
    shift_right_signed,
    sign_extend,
    swap64,
)
from jit.calls import FULL, call_local, call_pure_helper, return_local, returned_undefined
from jit.faults import FaultKind
from jit.hot import constant, hot
from jit.machine import EXHAUSTED, EXITED, FAULTED, HELPER, RUNNING, Machine, fault
from jit.memory import READ, WRITE, locate
from jit.predecode import (
    ADD32,
    ADD64,
    AND32,
    AND64,
    ARSH32,
    ARSH64,
    ATOMIC32,
    ATOMIC64,
    BAD_HELPER,
    BAD_WRITE,
    CALL_LOCAL,
    DIV32,
    DIV64,
    EXIT,
    EXTERNAL,
    GOTO,
    JEQ32,
    JEQ64,
    JGE32,
    JGE64,
    JGT32,
    JGT64,
    JLE32,
    JLE64,
    JLT32,
    JLT64,
    JNE32,
    JNE64,
    JSET32,
    JSET64,
    JSGE32,
    JSGE64,
    JSGT32,
    JSGT64,
    JSLE32,
    JSLE64,
    JSLT32,
    JSLT64,
    LDDW,
    LOAD8,
    LOAD16,
    LOAD32,
    LOAD64,
    LOADS8,
    LOADS16,
    LOADS32,
    LOW16,
    LSH32,
    LSH64,
    MOD32,
    MOD64,
    MOV32,
    MOV64,
    MUL32,
    MUL64,
    NEG32,
    NEG64,
    OR32,
    OR64,
    RSH32,
    RSH64,
    SDIV32,
    SDIV64,
    SMOD32,
    SMOD64,
    STORE8,
    STORE16,
    STORE32,
    STORE64,
    SUB32,
    SUB64,
    SWAP16,
    SWAP32,
    SWAP64,
    SX8_32,
    SX8_64,
    SX16_32,
    SX16_64,
    SX32_64,
    UNWIND,
    XOR32,
    XOR64,
)
from jit.words import (
    close_registers,
    fetch,
    i64,
    load8,
    load16,
    load32,
    load64,
    open_registers,
    refresh_registers,
    store8,
    store16,
    store32,
    store64,
    u64,
)

CHUNK: Final = 255  # what one byte of the packed counters can hold

_ZERO: Final = constant(0)
_ONE: Final = constant(1)
_MASK: Final = constant((1 << 64) - 1)
_BYTE: Final = constant(0xFF)
_LOW16: Final = constant(0xFFFF)
_LOW32: Final = constant(0xFFFF_FFFF)
_SIGN8: Final = constant(0x80)
_SIGN16: Final = constant(0x8000)
_SIGN32: Final = constant(0x8000_0000)
_SIGN64: Final = constant(1 << 63)
_N31: Final = constant(31)
_N32: Final = constant(32)
_N48: Final = constant(48)
_N63: Final = constant(63)
_ONE_BYTE: Final = 1
_TWO_BYTES: Final = 2
_FOUR_BYTES: Final = 4
_EIGHT_BYTES: Final = 8
_WRITTEN: Final = constant(11)  # position of the written register in `touch`

_READ_WRITE: Final = READ | WRITE
_CALL_CLASS: Final = int(CostClass.CALL)
_EXIT_CLASS: Final = int(CostClass.EXIT)
_HELPERS: Final = len(CostClass)  # where the helper counters begin

_UNINITIALISED_REGISTER: Final = int(FaultKind.UNINITIALISED_REGISTER)
_FRAME_POINTER_WRITTEN: Final = int(FaultKind.FRAME_POINTER_WRITTEN)
_CALL_TOO_DEEP: Final = int(FaultKind.CALL_TOO_DEEP)
_UNKNOWN_HELPER: Final = int(FaultKind.UNKNOWN_HELPER)
_LAST_MEMORY_FAULT: Final = int(FaultKind.UNINITIALISED_STACK)


@hot
def flush(counts: Any, packed: int, exits: int) -> int:
    """Empty the packed counters; returns how many instructions they stood for."""
    total = 0
    for klass in range(_EXIT_CLASS):
        count = i64((packed >> u64(8 * klass)) & _BYTE)
        counts[klass] += count
        total += count
    counts[_CALL_CLASS] -= exits
    counts[_EXIT_CLASS] += exits
    return total


@hot
def run(m: Machine) -> int:
    """Run from where the machine stands; returns EXITED, HELPER, EXHAUSTED or FAULTED, details in `m.control`."""
    c = m.control[0]
    arena, code, regions, counts = m.arena, m.code, m.regions, m.counts
    first, count, align = int(c["region_base"]), int(c["region_count"]), int(c["align"])
    regs = open_registers(m.registers)
    undefined: int = u64(c["undefined"])
    pc = int(c["pc"])
    fuel = int(c["fuel"])
    status = RUNNING
    kind = 0  # of a fault in this loop; helpers record their own
    where: int = _ZERO
    detail: int = _ZERO
    while status == RUNNING:
        if fuel <= 0:
            status = EXHAUSTED
            break
        left = fuel if fuel < CHUNK else CHUNK
        packed: int = _ZERO
        exits = 0
        while left > 0:
            imm, offset, touch, op, dst, src, shift = fetch(code, pc)
            left -= 1
            packed += _ONE << u64(shift)
            pc += 1
            if u64(touch) & undefined != _ZERO:
                kind, detail = _UNINITIALISED_REGISTER, u64(touch) & undefined
                break
            undefined &= ~(_ONE << (u64(touch) >> _WRITTEN)) & _MASK
            if op == MOV64:
                regs[dst] = regs[src] + imm
            elif op == ADD64:
                regs[dst] = (regs[dst] + regs[src] + imm) & _MASK
            elif op == SUB64:
                regs[dst] = (regs[dst] - (regs[src] + imm)) & _MASK
            elif op == AND64:
                regs[dst] = regs[dst] & (regs[src] + imm)
            elif op == OR64:
                regs[dst] = regs[dst] | (regs[src] + imm)
            elif op == XOR64:
                regs[dst] = regs[dst] ^ (regs[src] + imm)
            elif op == LSH64:
                regs[dst] = (regs[dst] << ((regs[src] + imm) & _N63)) & _MASK
            elif op == RSH64:
                regs[dst] = regs[dst] >> ((regs[src] + imm) & _N63)
            elif op == ARSH64:
                regs[dst] = shift_right_signed(regs[dst], (regs[src] + imm) & _N63, _SIGN64)
            elif op == MUL64:
                regs[dst] = (regs[dst] * (regs[src] + imm)) & _MASK
            elif op == NEG64:
                regs[dst] = (_ZERO - regs[dst]) & _MASK
            elif op == DIV64:
                regs[dst] = divide(regs[dst], regs[src] + imm)
            elif op == MOD64:
                regs[dst] = remainder(regs[dst], regs[src] + imm)
            elif op == SDIV64:
                regs[dst] = divide_signed(regs[dst], regs[src] + imm)
            elif op == SMOD64:
                regs[dst] = remainder_signed(regs[dst], regs[src] + imm)
            elif op == LOAD8:
                where = (regs[src] + u64(offset)) & _MASK
                at = locate(arena, regions, first, count, where, _ONE_BYTE, READ, align)
                if at < 0:
                    kind, detail = -at, u64(_ONE_BYTE)
                    break
                regs[dst] = load8(arena, at)
            elif op == LOAD16:
                where = (regs[src] + u64(offset)) & _MASK
                at = locate(arena, regions, first, count, where, _TWO_BYTES, READ, align)
                if at < 0:
                    kind, detail = -at, u64(_TWO_BYTES)
                    break
                regs[dst] = load16(arena, at)
            elif op == LOAD32:
                where = (regs[src] + u64(offset)) & _MASK
                at = locate(arena, regions, first, count, where, _FOUR_BYTES, READ, align)
                if at < 0:
                    kind, detail = -at, u64(_FOUR_BYTES)
                    break
                regs[dst] = load32(arena, at)
            elif op == LOAD64:
                where = (regs[src] + u64(offset)) & _MASK
                at = locate(arena, regions, first, count, where, _EIGHT_BYTES, READ, align)
                if at < 0:
                    kind, detail = -at, u64(_EIGHT_BYTES)
                    break
                regs[dst] = load64(arena, at)
            elif op == STORE8:
                where = (regs[dst] + u64(offset)) & _MASK
                at = locate(arena, regions, first, count, where, _ONE_BYTE, WRITE, align)
                if at < 0:
                    kind, detail = -at, u64(_ONE_BYTE)
                    break
                store8(arena, at, regs[src] + imm)
            elif op == STORE16:
                where = (regs[dst] + u64(offset)) & _MASK
                at = locate(arena, regions, first, count, where, _TWO_BYTES, WRITE, align)
                if at < 0:
                    kind, detail = -at, u64(_TWO_BYTES)
                    break
                store16(arena, at, regs[src] + imm)
            elif op == STORE32:
                where = (regs[dst] + u64(offset)) & _MASK
                at = locate(arena, regions, first, count, where, _FOUR_BYTES, WRITE, align)
                if at < 0:
                    kind, detail = -at, u64(_FOUR_BYTES)
                    break
                store32(arena, at, regs[src] + imm)
            elif op == STORE64:
                where = (regs[dst] + u64(offset)) & _MASK
                at = locate(arena, regions, first, count, where, _EIGHT_BYTES, WRITE, align)
                if at < 0:
                    kind, detail = -at, u64(_EIGHT_BYTES)
                    break
                store64(arena, at, regs[src] + imm)
            elif op == GOTO:
                pc += i64(imm)
            elif op == EXIT:
                exits += 1
                if c["depth"] == 0:
                    status = EXITED
                    break
                pc = return_local(m, regs)
                undefined = returned_undefined(m)
            elif op == LDDW:
                regs[dst] = imm
                pc += 1
            elif op == JEQ64:
                if regs[dst] == regs[src] + imm:
                    pc += offset
            elif op == JNE64:
                if regs[dst] != regs[src] + imm:
                    pc += offset
            elif op == JGT64:
                if regs[dst] > regs[src] + imm:
                    pc += offset
            elif op == JGE64:
                if regs[dst] >= regs[src] + imm:
                    pc += offset
            elif op == JLT64:
                if regs[dst] < regs[src] + imm:
                    pc += offset
            elif op == JLE64:
                if regs[dst] <= regs[src] + imm:
                    pc += offset
            elif op == JSGT64:
                if (regs[dst] ^ _SIGN64) > ((regs[src] + imm) ^ _SIGN64):
                    pc += offset
            elif op == JSGE64:
                if (regs[dst] ^ _SIGN64) >= ((regs[src] + imm) ^ _SIGN64):
                    pc += offset
            elif op == JSLT64:
                if (regs[dst] ^ _SIGN64) < ((regs[src] + imm) ^ _SIGN64):
                    pc += offset
            elif op == JSLE64:
                if (regs[dst] ^ _SIGN64) <= ((regs[src] + imm) ^ _SIGN64):
                    pc += offset
            elif op == JSET64:
                if regs[dst] & (regs[src] + imm) != _ZERO:
                    pc += offset
            elif op == MOV32:
                regs[dst] = (regs[src] + imm) & _LOW32
            elif op == ADD32:
                regs[dst] = (regs[dst] + regs[src] + imm) & _LOW32
            elif op == SUB32:
                regs[dst] = (regs[dst] - (regs[src] + imm)) & _LOW32
            elif op == AND32:
                regs[dst] = regs[dst] & (regs[src] + imm) & _LOW32
            elif op == OR32:
                regs[dst] = (regs[dst] | (regs[src] + imm)) & _LOW32
            elif op == XOR32:
                regs[dst] = (regs[dst] ^ (regs[src] + imm)) & _LOW32
            elif op == LSH32:
                regs[dst] = (regs[dst] << ((regs[src] + imm) & _N31)) & _LOW32
            elif op == RSH32:
                regs[dst] = (regs[dst] & _LOW32) >> ((regs[src] + imm) & _N31)
            elif op == ARSH32:
                regs[dst] = shift_right_signed(regs[dst] & _LOW32, (regs[src] + imm) & _N31, _SIGN32) & _LOW32
            elif op == MUL32:
                regs[dst] = (regs[dst] * (regs[src] + imm)) & _LOW32
            elif op == NEG32:
                regs[dst] = (_ZERO - regs[dst]) & _LOW32
            elif op == DIV32:
                regs[dst] = divide(regs[dst] & _LOW32, (regs[src] + imm) & _LOW32)
            elif op == MOD32:
                regs[dst] = remainder(regs[dst] & _LOW32, (regs[src] + imm) & _LOW32)
            elif op == SDIV32:
                regs[dst] = (
                    divide_signed(sign_extend(regs[dst], _SIGN32), sign_extend(regs[src] + imm, _SIGN32)) & _LOW32
                )
            elif op == SMOD32:
                regs[dst] = (
                    remainder_signed(sign_extend(regs[dst], _SIGN32), sign_extend(regs[src] + imm, _SIGN32)) & _LOW32
                )
            elif op == JEQ32:
                if (regs[dst] & _LOW32) == ((regs[src] + imm) & _LOW32):
                    pc += offset
            elif op == JNE32:
                if (regs[dst] & _LOW32) != ((regs[src] + imm) & _LOW32):
                    pc += offset
            elif op == JGT32:
                if (regs[dst] & _LOW32) > ((regs[src] + imm) & _LOW32):
                    pc += offset
            elif op == JGE32:
                if (regs[dst] & _LOW32) >= ((regs[src] + imm) & _LOW32):
                    pc += offset
            elif op == JLT32:
                if (regs[dst] & _LOW32) < ((regs[src] + imm) & _LOW32):
                    pc += offset
            elif op == JLE32:
                if (regs[dst] & _LOW32) <= ((regs[src] + imm) & _LOW32):
                    pc += offset
            elif op == JSGT32:
                if ((regs[dst] & _LOW32) ^ _SIGN32) > (((regs[src] + imm) & _LOW32) ^ _SIGN32):
                    pc += offset
            elif op == JSGE32:
                if ((regs[dst] & _LOW32) ^ _SIGN32) >= (((regs[src] + imm) & _LOW32) ^ _SIGN32):
                    pc += offset
            elif op == JSLT32:
                if ((regs[dst] & _LOW32) ^ _SIGN32) < (((regs[src] + imm) & _LOW32) ^ _SIGN32):
                    pc += offset
            elif op == JSLE32:
                if ((regs[dst] & _LOW32) ^ _SIGN32) <= (((regs[src] + imm) & _LOW32) ^ _SIGN32):
                    pc += offset
            elif op == JSET32:
                if regs[dst] & (regs[src] + imm) & _LOW32 != _ZERO:
                    pc += offset
            elif op == SX8_64:
                regs[dst] = sign_extend(regs[src], _SIGN8)
            elif op == SX16_64:
                regs[dst] = sign_extend(regs[src], _SIGN16)
            elif op == SX32_64:
                regs[dst] = sign_extend(regs[src], _SIGN32)
            elif op == SX8_32:
                regs[dst] = sign_extend(regs[src], _SIGN8) & _LOW32
            elif op == SX16_32:
                regs[dst] = sign_extend(regs[src], _SIGN16) & _LOW32
            elif op == LOADS8:
                where = (regs[src] + u64(offset)) & _MASK
                at = locate(arena, regions, first, count, where, _ONE_BYTE, READ, align)
                if at < 0:
                    kind, detail = -at, u64(_ONE_BYTE)
                    break
                regs[dst] = sign_extend(load8(arena, at), _SIGN8)
            elif op == LOADS16:
                where = (regs[src] + u64(offset)) & _MASK
                at = locate(arena, regions, first, count, where, _TWO_BYTES, READ, align)
                if at < 0:
                    kind, detail = -at, u64(_TWO_BYTES)
                    break
                regs[dst] = sign_extend(load16(arena, at), _SIGN16)
            elif op == LOADS32:
                where = (regs[src] + u64(offset)) & _MASK
                at = locate(arena, regions, first, count, where, _FOUR_BYTES, READ, align)
                if at < 0:
                    kind, detail = -at, u64(_FOUR_BYTES)
                    break
                regs[dst] = sign_extend(load32(arena, at), _SIGN32)
            elif op == LOW16:
                regs[dst] &= _LOW16
            elif op == SWAP16:
                regs[dst] = swap64(regs[dst]) >> _N48
            elif op == SWAP32:
                regs[dst] = swap64(regs[dst]) >> _N32
            elif op == SWAP64:
                regs[dst] = swap64(regs[dst])
            elif op == ATOMIC32:
                where = (regs[dst] + u64(offset)) & _MASK
                at = locate(arena, regions, first, count, where, _FOUR_BYTES, _READ_WRITE, align)
                if at < 0:
                    kind, detail = -at, u64(_FOUR_BYTES)
                    break
                atomic(arena, at, _FOUR_BYTES, imm, regs, src)
            elif op == ATOMIC64:
                where = (regs[dst] + u64(offset)) & _MASK
                at = locate(arena, regions, first, count, where, _EIGHT_BYTES, _READ_WRITE, align)
                if at < 0:
                    kind, detail = -at, u64(_EIGHT_BYTES)
                    break
                atomic(arena, at, _EIGHT_BYTES, imm, regs, src)
            elif op == CALL_LOCAL:
                entered = call_local(m, regs, pc, undefined)
                if entered == FULL:
                    kind = _CALL_TOO_DEEP
                    break
                undefined = entered
                pc += i64(imm)
            elif op == UNWIND:
                counts[_HELPERS + offset] += 1
                status = EXITED
                break
            elif op == BAD_HELPER:
                kind, detail = _UNKNOWN_HELPER, imm
                break
            elif op == BAD_WRITE:
                kind = _FRAME_POINTER_WRITTEN
                break
            else:  # LOOKUP .. EXTERNAL
                close_registers(m.registers, regs)
                c["pc"] = pc
                c["undefined"] = undefined
                if op == EXTERNAL:
                    counts[_HELPERS + offset] += 1
                    c["helper"] = i64(imm)
                    status = HELPER
                    break
                status = call_pure_helper(m, i64(imm), offset)
                refresh_registers(m.registers, regs)
                undefined = u64(c["undefined"])
                if status == FAULTED:
                    break
        fuel -= flush(counts, packed, exits)
        if kind != 0:
            status = FAULTED
    close_registers(m.registers, regs)
    c["instructions"] += c["fuel"] - fuel
    c["fuel"] = fuel
    c["pc"] = pc
    c["undefined"] = undefined
    if kind != 0:
        return fault(m, kind, where if kind <= _LAST_MEMORY_FAULT else _ZERO, detail)
    return status
