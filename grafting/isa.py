"""The instruction set: RFC 9669, in one place.

A program is a sequence of 8-byte *slots*; a program counter counts slots. `lddw` fills two, of which the second is
`Instruction(0, 0, 0, 0, high)`. Two views are offered:

- `Instruction` is the wire form, field by field (RFC 9669 section 3); `encode` and `decode` are exact inverses.
- `Operation` is the meaning, a sum type that the verifier, the engines and the disassembler match on. `operation()`
  computes it and rejects every encoding that the RFC leaves undefined or reserved, naming the field.

Conformance groups: base32, base64, atomic32, atomic64, divmul32, divmul64. The legacy packet group and `callx` are
rejected. Map addresses use the by-index forms of section 5.4 (`src` 5 and 6): the loader has resolved every name.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum

from grafting.diagnostics import fail

# --- encoding (RFC 9669 sections 3 to 5) -----------------------------------------------------------------------------

LD, LDX, ST, STX, ALU32, JMP, JMP32, ALU64 = range(8)  # class, low three bits
K, X = 0x00, 0x08  # operand: immediate or register

SIZE_W, SIZE_H, SIZE_B, SIZE_DW = 0x00, 0x08, 0x10, 0x18
MODE_IMM, MODE_MEM, MODE_MEMSX, MODE_ATOMIC = 0x00, 0x60, 0x80, 0xC0

LDDW = LD | MODE_IMM | SIZE_DW  # 0x18
CALL = JMP | 0x80  # 0x85
CALLX = JMP | 0x80 | X  # 0x8d
EXIT = JMP | 0x90  # 0x95
JA, JA32 = JMP, JMP32  # 0x05, 0x06

LDDW_IMMEDIATE, LDDW_MAP, LDDW_MAP_VALUE = 0, 5, 6  # src field of lddw that we accept
CALL_HELPER, CALL_LOCAL = 0, 1  # src field of call that we accept

FETCH = 0x01  # modifier bit of an atomic's imm

BYTES_OF_SIZE = {SIZE_B: 1, SIZE_H: 2, SIZE_W: 4, SIZE_DW: 8}
SIZE_OF_BYTES = {bytes_: size for size, bytes_ in BYTES_OF_SIZE.items()}

REGISTERS = 11  # r0 .. r10
FRAME_POINTER = 10
U32 = (1 << 32) - 1
U64 = (1 << 64) - 1


class Alu(Enum):
    """Arithmetic on a destination and a source; the value is the assembler's infix text."""

    ADD = "+"
    SUB = "-"
    MUL = "*"
    DIV = "/"
    OR = "|"
    AND = "&"
    LSH = "<<"
    RSH = ">>"
    NEG = "neg"
    MOD = "%"
    XOR = "^"
    MOV = ""
    ARSH = "s>>"
    SDIV = "s/"
    SMOD = "s%"


class Condition(Enum):
    """The comparison of a conditional jump; the value is the assembler's text."""

    EQ = "=="
    GT = ">"
    GE = ">="
    SET = "&"
    NE = "!="
    SGT = "s>"
    SGE = "s>="
    LT = "<"
    LE = "<="
    SLT = "s<"
    SLE = "s<="


class AtomicOp(Enum):
    """Read-modify-write operations; the value is the `imm` field without the fetch bit (CMPXCHG, XCHG always fetch)."""

    ADD = 0x00
    OR = 0x40
    AND = 0x50
    XOR = 0xA0
    XCHG = 0xE0
    CMPXCHG = 0xF0


class Swap(Enum):
    """Byte-order conversions: to little endian (truncates), to big endian, unconditional."""

    LE = "le"
    BE = "be"
    BSWAP = "bswap"


ALU_CODES = {
    0x00: Alu.ADD, 0x10: Alu.SUB, 0x20: Alu.MUL, 0x30: Alu.DIV, 0x40: Alu.OR, 0x50: Alu.AND, 0x60: Alu.LSH,
    0x70: Alu.RSH, 0x80: Alu.NEG, 0x90: Alu.MOD, 0xA0: Alu.XOR, 0xB0: Alu.MOV, 0xC0: Alu.ARSH,
}  # fmt: skip
ALU_END = 0xD0
JUMP_CODES = {
    0x10: Condition.EQ, 0x20: Condition.GT, 0x30: Condition.GE, 0x40: Condition.SET, 0x50: Condition.NE,
    0x60: Condition.SGT, 0x70: Condition.SGE, 0xA0: Condition.LT, 0xB0: Condition.LE, 0xC0: Condition.SLT,
    0xD0: Condition.SLE,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Instruction:
    """One slot as it stands in the object: `offset` is signed 16 bits, `imm` signed 32 bits."""

    opcode: int
    dst: int
    src: int
    offset: int
    imm: int

    @property
    def klass(self) -> int:
        """The instruction class, 0 to 7."""
        return self.opcode & 7


# --- meaning ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reg:
    """A register operand."""

    number: int


@dataclass(frozen=True, slots=True)
class Imm:
    """An immediate operand, sign-extended from 32 bits, as the RFC extends it for 64-bit operations."""

    value: int


Operand = Reg | Imm


@dataclass(frozen=True, slots=True)
class AluOp:
    """`dst = dst op source` in `bits` (32 or 64); 32-bit results are zero-extended. NEG has source Imm(0)."""

    op: Alu
    bits: int
    dst: int
    source: Operand


@dataclass(frozen=True, slots=True)
class MoveSx:
    """`dst = sign-extend(source[0:from_bits])` to `bits`, then zero-extended to 64."""

    bits: int
    from_bits: int
    dst: int
    src: int


@dataclass(frozen=True, slots=True)
class ByteSwap:
    """`dst = swap(dst[0:bits])`; the result is zero-extended from `bits` (16, 32 or 64)."""

    swap: Swap
    bits: int
    dst: int


@dataclass(frozen=True, slots=True)
class LoadImm64:
    """`dst = value`, a 64-bit constant, stored unsigned. Two slots."""

    dst: int
    value: int


@dataclass(frozen=True, slots=True)
class LoadMap:
    """`dst = ` the handle of map number `index`, opaque. Two slots."""

    dst: int
    index: int


@dataclass(frozen=True, slots=True)
class LoadMapValue:
    """`dst = ` the address of the only value of array map `index`, plus `offset`. Two slots. Global data uses it."""

    dst: int
    index: int
    offset: int


@dataclass(frozen=True, slots=True)
class Load:
    """`dst = *(size bytes at base + offset)`, zero-extended, or sign-extended if `signed`."""

    size: int
    signed: bool
    dst: int
    base: int
    offset: int


@dataclass(frozen=True, slots=True)
class Store:
    """`*(size bytes at base + offset) = source`."""

    size: int
    base: int
    offset: int
    source: Operand


@dataclass(frozen=True, slots=True)
class Atomic:
    """`*(base + offset) op= src`, 4 or 8 bytes. With `fetch` the old value goes to src (CMPXCHG: to r0)."""

    op: AtomicOp
    size: int
    fetch: bool
    base: int
    offset: int
    src: int


@dataclass(frozen=True, slots=True)
class Goto:
    """Jump to slot `target`."""

    target: int


@dataclass(frozen=True, slots=True)
class Branch:
    """Jump to slot `target` if `dst condition source` in `bits`, else fall through."""

    condition: Condition
    bits: int
    dst: int
    source: Operand
    target: int


@dataclass(frozen=True, slots=True)
class CallHelper:
    """`r0 = helper(r1 .. r5)`; r1 to r5 are lost."""

    number: int


@dataclass(frozen=True, slots=True)
class CallLocal:
    """Call the function that starts at slot `target`, in a frame of its own."""

    target: int


@dataclass(frozen=True, slots=True)
class Exit:
    """Return r0 to the caller, or end the program."""


Operation = (
    AluOp | MoveSx | ByteSwap | LoadImm64 | LoadMap | LoadMapValue | Load | Store | Atomic
    | Goto | Branch | CallHelper | CallLocal | Exit
)  # fmt: skip


class CostClass(IntEnum):
    """Classes of instructions that a cost profile prices apart; every executed operation is in exactly one."""

    ALU = 0
    MUL = 1
    DIV = 2
    LOAD = 3
    STORE = 4
    ATOMIC = 5
    JUMP = 6
    CALL = 7  # helper or local, without the callee's body
    EXIT = 8


def cost_class(op: Operation) -> CostClass:
    """Return the class under which one execution of `op` is counted."""
    match op:
        case AluOp(Alu.MUL):
            return CostClass.MUL
        case AluOp(Alu.DIV | Alu.MOD | Alu.SDIV | Alu.SMOD):
            return CostClass.DIV
        case Load():
            return CostClass.LOAD
        case Store():
            return CostClass.STORE
        case Atomic():
            return CostClass.ATOMIC
        case Goto() | Branch():
            return CostClass.JUMP
        case CallHelper() | CallLocal():
            return CostClass.CALL
        case Exit():
            return CostClass.EXIT
        case _:
            return CostClass.ALU


def width(op: Operation) -> int:
    """Return how many slots `op` fills: 2 for the 64-bit immediates, else 1."""
    return 2 if isinstance(op, LoadImm64 | LoadMap | LoadMapValue) else 1


# --- wire form in and out --------------------------------------------------------------------------------------------

_SLOT = struct.Struct("<BBhi")


def encode(code: Sequence[Instruction]) -> bytes:
    """Return the little-endian wire form, 8 bytes a slot."""
    return b"".join(_SLOT.pack(i.opcode, i.src << 4 | i.dst, i.offset, i.imm) for i in code)


def decode(data: bytes) -> tuple[Instruction, ...]:
    """Split wire form into slots; raises GraftError G0501 if it is empty or not a multiple of 8 bytes."""
    if not data or len(data) % 8:
        raise fail("G0501", f"bytecode must be a positive multiple of 8 bytes, not {len(data)}")
    return tuple(
        Instruction(opcode, registers & 15, registers >> 4, offset, imm)
        for opcode, registers, offset, imm in _SLOT.iter_unpack(data)
    )


def operations(code: Sequence[Instruction], handler: str | None = None) -> Iterator[tuple[int, Operation]]:
    """Yield (pc, operation) for every instruction, in order, the second halves of `lddw` skipped."""
    pc = 0
    while pc < len(code):
        op = operation(code, pc, handler)
        yield pc, op
        pc += width(op)


def operation(code: Sequence[Instruction], pc: int, handler: str | None = None) -> Operation:
    """Return the meaning of the instruction at slot `pc`.

    Raises GraftError: G0502 unknown opcode, G0503 a field that must be zero (or one of few values) is not,
    G0504 a register that does not exist, G0505 an `lddw` cut short. A write to r10 is well formed; what it means is
    for the verifier to say (never allowed) and the interpreter (a fault).
    """
    return _Decoder(code, pc, handler).operation()


class _Decoder:
    """Decodes one instruction; holds the context that error messages need."""

    def __init__(self, code: Sequence[Instruction], pc: int, handler: str | None) -> None:
        self.code, self.pc, self.handler = code, pc, handler
        self.i = code[pc]

    def operation(self) -> Operation:
        i = self.i
        match i.klass:
            case 4 | 7:
                return self._alu()
            case 5 | 6:
                return self._jump()
            case 0:
                return self._load_immediate()
            case 1:
                return self._load()
            case 2:
                return self._store_immediate()
            case _:
                return self._store_register()

    # Each rule below lists the fields that RFC 9669 reserves for that form; `zero` names the first that is set.

    def error(self, code: str, message: str) -> Exception:
        return fail(code, message, handler=self.handler, pc=self.pc)

    def unknown(self) -> Exception:
        return self.error("G0502", f"unknown opcode 0x{self.i.opcode:02x}")

    def zero(self, *fields: str) -> None:
        for field in fields:
            value = getattr(self.i, field)
            if value != 0:
                raise self.error(
                    "G0503", f"field `{field}` must be 0 in opcode 0x{self.i.opcode:02x}, here it is {value}"
                )

    def register(self, number: int) -> int:
        if number >= REGISTERS:
            raise self.error("G0504", f"register r{number} does not exist")
        return number

    def operand(self) -> Operand:
        if self.i.opcode & X:
            self.zero("imm")
            return Reg(self.register(self.i.src))
        self.zero("src")
        return Imm(self.i.imm)

    def _alu(self) -> Operation:
        i = self.i
        bits = 64 if i.klass == ALU64 else 32
        dst = self.register(i.dst)
        code = i.opcode & 0xF0
        if code == ALU_END:
            return self._end(bits, dst)
        if code not in ALU_CODES:
            raise self.unknown()
        op = ALU_CODES[code]
        if op is Alu.NEG:
            if i.opcode & X:
                raise self.unknown()
            self.zero("src", "offset", "imm")
            return AluOp(op, bits, dst, Imm(0))
        if op is Alu.MOV and i.opcode & X and i.offset:
            if i.offset not in ((8, 16, 32) if bits == 64 else (8, 16)):
                raise self.error("G0503", f"field `offset` of a move must be 0, 8, 16 or 32, here it is {i.offset}")
            self.zero("imm")
            return MoveSx(bits, i.offset, dst, self.register(i.src))
        if op in (Alu.DIV, Alu.MOD) and i.offset:
            if i.offset != 1:
                raise self.error("G0503", f"field `offset` of a division must be 0 or 1, here it is {i.offset}")
            op = Alu.SDIV if op is Alu.DIV else Alu.SMOD
        else:
            self.zero("offset")
        return AluOp(op, bits, dst, self.operand())

    def _end(self, bits: int, dst: int) -> Operation:
        i = self.i
        self.zero("src", "offset")
        if i.imm not in (16, 32, 64):
            raise self.error("G0503", f"field `imm` of a byte swap must be 16, 32 or 64, here it is {i.imm}")
        if bits == 64:
            if i.opcode & X:
                raise self.unknown()
            return ByteSwap(Swap.BSWAP, i.imm, dst)
        return ByteSwap(Swap.BE if i.opcode & X else Swap.LE, i.imm, dst)

    def _jump(self) -> Operation:
        i = self.i
        bits = 64 if i.klass == JMP else 32
        if i.opcode == JA:
            self.zero("dst", "src", "imm")
            return Goto(self.pc + 1 + i.offset)
        if i.opcode == JA32:
            self.zero("dst", "src", "offset")
            return Goto(self.pc + 1 + i.imm)
        if i.opcode == CALL:
            self.zero("dst", "offset")
            if i.src == CALL_HELPER:
                return CallHelper(i.imm)
            if i.src == CALL_LOCAL:
                return CallLocal(self.pc + 1 + i.imm)
            raise self.error("G0503", f"field `src` of a call must be 0 (helper) or 1 (local), here it is {i.src}")
        if i.opcode == EXIT:
            self.zero("dst", "src", "offset", "imm")
            return Exit()
        if i.opcode == CALLX:
            raise self.error("G0502", "calls through a register (`callx`) are not supported: their target is unknown")
        if i.opcode & 0xF0 not in JUMP_CODES:
            raise self.unknown()
        condition = JUMP_CODES[i.opcode & 0xF0]
        return Branch(condition, bits, self.register(i.dst), self.operand(), self.pc + 1 + i.offset)

    def _load_immediate(self) -> Operation:
        i = self.i
        if i.opcode != LDDW:
            raise self.unknown()
        self.zero("offset")
        if self.pc + 1 >= len(self.code):
            raise self.error("G0505", "`lddw` needs two slots and the program ends after the first")
        high = self.code[self.pc + 1]
        if high.opcode or high.dst or high.src or high.offset:
            raise self.error("G0505", "the second slot of `lddw` must be zero but for `imm`")
        dst = self.register(i.dst)
        if i.src == LDDW_IMMEDIATE:
            return LoadImm64(dst, (high.imm & U32) << 32 | i.imm & U32)
        if i.src == LDDW_MAP:
            if high.imm:
                raise self.error("G0503", f"field `next_imm` of a map load must be 0, here it is {high.imm}")
            return LoadMap(dst, i.imm)
        if i.src == LDDW_MAP_VALUE:
            return LoadMapValue(dst, i.imm, high.imm & U32)
        raise self.error("G0503", f"field `src` of `lddw` must be 0, 5 or 6 after loading, here it is {i.src}")

    def _load(self) -> Operation:
        i = self.i
        mode, size = i.opcode & 0xE0, BYTES_OF_SIZE[i.opcode & 0x18]
        if mode not in (MODE_MEM, MODE_MEMSX) or (mode == MODE_MEMSX and size == 8):
            raise self.unknown()
        self.zero("imm")
        return Load(size, mode == MODE_MEMSX, self.register(i.dst), self.register(i.src), i.offset)

    def _store_immediate(self) -> Operation:
        i = self.i
        if i.opcode & 0xE0 != MODE_MEM:
            raise self.unknown()
        self.zero("src")
        return Store(BYTES_OF_SIZE[i.opcode & 0x18], self.register(i.dst), i.offset, Imm(i.imm))

    def _store_register(self) -> Operation:
        i = self.i
        mode, size = i.opcode & 0xE0, BYTES_OF_SIZE[i.opcode & 0x18]
        base = self.register(i.dst)
        if mode == MODE_MEM:
            self.zero("imm")
            return Store(size, base, i.offset, Reg(self.register(i.src)))
        if mode != MODE_ATOMIC or size not in (4, 8):
            raise self.unknown()
        known = {op.value for op in AtomicOp}
        if i.imm & ~FETCH not in known or not 0 <= i.imm <= 0xFF:
            raise self.error("G0503", f"field `imm` of an atomic names no operation: {i.imm:#x}")
        op = AtomicOp(i.imm & ~FETCH)
        fetch = bool(i.imm & FETCH)
        if op in (AtomicOp.XCHG, AtomicOp.CMPXCHG) and not fetch:
            raise self.error("G0503", f"field `imm` of an exchange must have the fetch bit: {i.imm:#x}")
        return Atomic(op, size, fetch, base, i.offset, self.register(i.src))
