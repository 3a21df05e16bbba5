"""From well-formed bytecode to the 16-byte records that the interpreter runs.

A record per slot, so that a record's index is its program counter. Everything that can be decided before the run is:

- the operation is a dense number, so that the interpreter's chain of comparisons becomes one jump table;
- immediate and register forms are one: the operands of `a op b` are `regs[dst]` and `regs[src] + imm`, where an
  immediate form reads register 11, which is always zero, and a register form has imm 0;
- `touch` says which registers are read (bits 0 to 10) and which is written (bits 11 to 15; 15 is none), so that
  the use of an undefined register is noticed by one `and`;
- `shift` is 8 times the cost class: where the instruction counts in a packed word of eight counters (EXIT, the ninth
  class, is counted apart and shares the place of CALL);
- a helper that the hook does not offer, and a write to r10, are operations of their own: to run one is a fault.

The second slot of `lddw` keeps a record that is never run.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from grafting import hooks
from grafting.isa import (
    FRAME_POINTER,
    U64,
    Alu,
    AluOp,
    Atomic,
    AtomicOp,
    Branch,
    ByteSwap,
    CallHelper,
    CallLocal,
    Condition,
    CostClass,
    Exit,
    Goto,
    Imm,
    Load,
    LoadImm64,
    LoadMap,
    LoadMapValue,
    MoveSx,
    Operand,
    Operation,
    Reg,
    Store,
    Swap,
    cost_class,
)
from grafting.program import Handler
from jit import memory

RECORD = np.dtype(
    [
        ("imm", np.uint64),
        ("offset", np.int16),  # of an address in bytes; of a conditional jump in slots from the next one
        ("touch", np.uint16),
        ("op", np.uint8),
        ("dst", np.uint8),
        ("src", np.uint8),
        ("shift", np.uint8),
    ]
)
ZERO_REGISTER: Final = 11
NO_REGISTER: Final = 15

# --- dense operation numbers; the interpreter tests them in about this order ------------------------------------------

_ALU_ORDER = (
    Alu.MOV, Alu.ADD, Alu.SUB, Alu.AND, Alu.OR, Alu.XOR, Alu.LSH, Alu.RSH, Alu.ARSH, Alu.MUL, Alu.NEG, Alu.DIV,
    Alu.MOD, Alu.SDIV, Alu.SMOD,
)  # fmt: skip
MOV64, ADD64, SUB64, AND64, OR64, XOR64, LSH64, RSH64, ARSH64, MUL64, NEG64, DIV64, MOD64, SDIV64, SMOD64 = range(15)
LOAD8, LOAD16, LOAD32, LOAD64, STORE8, STORE16, STORE32, STORE64 = range(15, 23)
_CONDITION_ORDER = (
    Condition.EQ, Condition.NE, Condition.GT, Condition.GE, Condition.LT, Condition.LE, Condition.SGT, Condition.SGE,
    Condition.SLT, Condition.SLE, Condition.SET,
)  # fmt: skip
GOTO, EXIT, LDDW = range(23, 26)
JEQ64, JNE64, JGT64, JGE64, JLT64, JLE64, JSGT64, JSGE64, JSLT64, JSLE64, JSET64 = range(26, 37)
MOV32, ADD32, SUB32, AND32, OR32, XOR32, LSH32, RSH32, ARSH32, MUL32, NEG32, DIV32, MOD32, SDIV32, SMOD32 = range(
    37, 52
)
JEQ32, JNE32, JGT32, JGE32, JLT32, JLE32, JSGT32, JSGE32, JSLT32, JSLE32, JSET32 = range(52, 63)
SX8_64, SX16_64, SX32_64, SX8_32, SX16_32 = range(63, 68)
LOADS8, LOADS16, LOADS32 = range(68, 71)
LOW16, SWAP16, SWAP32, SWAP64 = range(71, 75)  # LE32 is MOV32 to itself, LE64 is MOV64 to itself
ATOMIC32, ATOMIC64 = range(75, 77)  # imm is the wire form's: operation and fetch bit
CALL_LOCAL = 77
LOOKUP, UPDATE, DELETE, KTIME, COPY, FILL, UNWIND, EXTERNAL = range(78, 86)  # imm: number; offset: its counter
BAD_HELPER, BAD_WRITE = range(86, 88)

_SX = {(64, 8): SX8_64, (64, 16): SX16_64, (64, 32): SX32_64, (32, 8): SX8_32, (32, 16): SX16_32}
_LOADS = {
    (1, False): LOAD8, (2, False): LOAD16, (4, False): LOAD32, (8, False): LOAD64,
    (1, True): LOADS8, (2, True): LOADS16, (4, True): LOADS32,
}  # fmt: skip
_STORES = {1: STORE8, 2: STORE16, 4: STORE32, 8: STORE64}
_SWAPS = {16: SWAP16, 32: SWAP32, 64: SWAP64}
_LITTLE = {16: LOW16, 32: MOV32, 64: MOV64}
_INTERNAL = {1: LOOKUP, 2: UPDATE, 3: DELETE, 5: KTIME, 1008: COPY, 1009: FILL}

HELPER_NUMBERS: Final = tuple(sorted(hooks.HELPERS))  # the order of the helper counters
HELPER_PLACE: Final = {number: place for place, number in enumerate(HELPER_NUMBERS)}


def records(handler: Handler) -> npt.NDArray[np.void]:
    """Return the records of a handler, one per slot."""
    code = np.zeros(len(handler.instructions), RECORD)
    for pc, op in handler.operations.items():
        number, dst, src, offset, imm = _form(pc, op, handler.hook)
        reads, written = _registers(op, handler.hook)
        if written == FRAME_POINTER:
            number, written = BAD_WRITE, NO_REGISTER
        touch = sum(1 << register for register in reads) | written << 11
        shift = 8 * min(cost_class(op), CostClass.CALL)
        code[pc] = (imm & U64, offset, touch, number, dst, src, shift)
    return code


_Form = tuple[int, int, int, int, int]


def _form(pc: int, op: Operation, hook: hooks.Hook) -> _Form:
    """Return (operation number, dst, src, offset, imm)."""
    match op:
        case AluOp(alu, bits, dst, source):
            base = MOV64 if bits == 64 else MOV32
            return (base + _ALU_ORDER.index(alu), dst, *_source(source, 0))
        case MoveSx(bits, from_bits, dst, src):
            return _SX[bits, from_bits], dst, src, 0, 0
        case ByteSwap(swap, bits, dst):
            return (_LITTLE if swap is Swap.LE else _SWAPS)[bits], dst, dst, 0, 0
        case LoadImm64(dst, value):
            return LDDW, dst, ZERO_REGISTER, 0, value
        case LoadMap(dst, index):
            return LDDW, dst, ZERO_REGISTER, 0, memory.address(memory.HANDLE_BASE + index)
        case LoadMapValue(dst, index, offset):
            return LDDW, dst, ZERO_REGISTER, 0, memory.address(memory.MAPS + index, offset)
        case Load(size, signed, dst, base, offset):
            return _LOADS[size, signed], dst, base, offset, 0
        case Store(size, base, offset, source):
            return (_STORES[size], base, *_source(source, offset))
        case Atomic(atomic, size, fetch, base, offset, src):
            return ATOMIC64 if size == 8 else ATOMIC32, base, src, offset, atomic.value | int(fetch)
        case Goto(target):
            return GOTO, 0, ZERO_REGISTER, 0, target - pc - 1
        case Branch(condition, bits, dst, source, target):
            first = JEQ64 if bits == 64 else JEQ32
            return (first + _CONDITION_ORDER.index(condition), dst, *_source(source, target - pc - 1))
        case CallHelper(number):
            return _helper(number, hook)
        case CallLocal(target):
            return CALL_LOCAL, 0, ZERO_REGISTER, 0, target - pc - 1
        case Exit():
            return EXIT, 0, ZERO_REGISTER, 0, 0


def _source(source: Operand, offset: int) -> tuple[int, int, int]:
    """Return (src, offset, imm) for the merged form of an operand."""
    match source:
        case Reg(number):
            return number, offset, 0
        case Imm(value):
            return ZERO_REGISTER, offset, value


def _helper(number: int, hook: hooks.Hook) -> _Form:
    helper = hook.helper(number)
    if helper is None:
        return BAD_HELPER, 0, ZERO_REGISTER, 0, number
    if helper.result is hooks.Result.NEVER:
        return UNWIND, 0, ZERO_REGISTER, HELPER_PLACE[number], number
    return _INTERNAL.get(number, EXTERNAL), 0, ZERO_REGISTER, HELPER_PLACE[number], number


def _registers(op: Operation, hook: hooks.Hook) -> tuple[set[int], int]:
    """Return the registers that `op` reads, and the one that it writes or NO_REGISTER."""
    match op:
        case AluOp(alu, _, dst, source):
            return (set() if alu is Alu.MOV else {dst}) | _read(source), dst
        case MoveSx(dst=dst, src=src):
            return {src}, dst
        case ByteSwap(dst=dst):
            return {dst}, dst
        case LoadImm64(dst=dst) | LoadMap(dst=dst) | LoadMapValue(dst=dst):
            return set(), dst
        case Load(dst=dst, base=base):
            return {base}, dst
        case Store(base=base, source=source):
            return {base} | _read(source), NO_REGISTER
        case Atomic(AtomicOp.CMPXCHG, base=base, src=src):
            return {base, src, 0}, 0
        case Atomic(fetch=fetch, base=base, src=src):
            return {base, src}, src if fetch else NO_REGISTER
        case Branch(dst=dst, source=source):
            return {dst} | _read(source), NO_REGISTER
        case CallHelper(number):
            helper = hook.helper(number)
            if helper is not None and helper.result is hooks.Result.NEVER:
                return {0}, NO_REGISTER
            return set(range(1, 1 + len(helper.args))) if helper else set(), NO_REGISTER
        case Exit():
            return {0}, NO_REGISTER
        case Goto() | CallLocal():
            return set(), NO_REGISTER


def _read(source: Operand) -> set[int]:
    return {source.number} if isinstance(source, Reg) else set()
