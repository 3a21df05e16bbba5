"""Disassembler: bytecode as text, in the syntax of LLVM's BPF back end that `grafting.assembly.assembler` reads.

Guarantee, kept by a property test: `assemble(disassemble(code)) == code` for all code that `isa.operations` accepts.
What several encodings could mean is printed so that the one at hand comes back: `gotol` for the 32-bit jump, `w` for
32-bit arithmetic.

        r0 = 0
    L1:
        r0 += 1
        if r0 != 5 goto L1
        exit
"""

from __future__ import annotations

from collections.abc import Sequence

from grafting import isa
from grafting.isa import (
    Alu,
    AluOp,
    Atomic,
    AtomicOp,
    Branch,
    ByteSwap,
    CallHelper,
    CallLocal,
    Exit,
    Goto,
    Imm,
    Instruction,
    Load,
    LoadImm64,
    LoadMap,
    LoadMapValue,
    MoveSx,
    Operand,
    Operation,
    Reg,
    Store,
)

_LOCKED = {AtomicOp.ADD: "+=", AtomicOp.OR: "|=", AtomicOp.AND: "&=", AtomicOp.XOR: "^="}


def disassemble(code: Sequence[Instruction]) -> str:
    """Return `code` as text, a line per instruction, with a label `L7:` at each slot 7 that something jumps to.

    `code` need only decode; a jump that leads nowhere is printed as a distance. Raises the errors of `isa.operation`.
    """
    ops = dict(isa.operations(code))
    targets = {op.target for op in ops.values() if isinstance(op, Goto | Branch | CallLocal)} & ops.keys()
    lines = []
    for pc, op in ops.items():
        if pc in targets:
            lines.append(f"L{pc}:")
        text = disassemble_slot(code, pc, op)
        match op:
            case Goto(target) | Branch(target=target) | CallLocal(target):
                if target not in targets:
                    text = text.replace(f"L{target}", f"{target - pc - 1:+d}")
            case _:
                pass
        lines.append(f"    {text}")
    return "\n".join(lines) + "\n"


def disassemble_slot(code: Sequence[Instruction], pc: int, op: Operation) -> str:
    """Return the operation at slot `pc` of `code` as text that gives the same slots back; jumps go to labels."""
    text = disassemble_operation(op)
    return text.replace("goto", "gotol") if code[pc].opcode == isa.JA32 else text


def disassemble_operation(op: Operation) -> str:
    """Return one operation as text; a jump to slot 7 goes to label `L7`."""
    match op:
        case AluOp(Alu.NEG, bits, dst):
            return f"{_name(dst, bits)} = -{_name(dst, bits)}"
        case AluOp(alu, bits, dst, source):
            return f"{_name(dst, bits)} {alu.value}= {_operand(source, bits)}"
        case MoveSx(bits, from_bits, dst, src):
            return f"{_name(dst, bits)} = (s{from_bits}){_name(src, bits)}"
        case ByteSwap(swap, bits, dst):
            return f"r{dst} = {swap.value}{bits} r{dst}"
        case LoadImm64(dst, value):
            return f"r{dst} = {value:#x} ll"
        case LoadMap(dst, index):
            return f"r{dst} = map {index} ll"
        case LoadMapValue(dst, index, offset):
            return f"r{dst} = map_value {index} + {offset} ll"
        case Load(size, signed, dst, base, offset):
            return f"r{dst} = *({'us'[signed]}{size * 8} *)({_address(base, offset)})"
        case Store(size, base, offset, source):
            return f"*(u{size * 8} *)({_address(base, offset)}) = {_operand(source, 64)}"
        case Atomic():
            return _atomic_text(op)
        case Goto(target):
            return f"goto L{target}"
        case Branch(condition, bits, dst, source, target):
            return f"if {_name(dst, bits)} {condition.value} {_operand(source, bits)} goto L{target}"
        case CallHelper(number):
            return f"call {number & 0xFFFF_FFFF}"  # a sign would make it a distance
        case CallLocal(target):
            return f"call L{target}"
        case Exit():
            return "exit"


def _atomic_text(op: Atomic) -> str:
    bits = op.size * 8
    address, src = _address(op.base, op.offset), _name(op.src, bits)
    suffix = "_64" if bits == 64 else "32_32"
    if op.op is AtomicOp.XCHG:
        return f"{src} = xchg{suffix}({address}, {src})"
    if op.op is AtomicOp.CMPXCHG:
        return f"{_name(0, bits)} = cmpxchg{suffix}({address}, {_name(0, bits)}, {src})"
    if op.fetch:
        return f"{src} = atomic_fetch_{op.op.name.lower()}((u{bits} *)({address}), {src})"
    return f"lock *(u{bits} *)({address}) {_LOCKED[op.op]} {src}"


def _name(register: int, bits: int) -> str:
    return f"{'r' if bits == 64 else 'w'}{register}"


def _operand(source: Operand, bits: int) -> str:
    match source:
        case Reg(number):
            return _name(number, bits)
        case Imm(value):
            return str(value)


def _address(base: int, offset: int) -> str:
    return f"r{base} {'-' if offset < 0 else '+'} {abs(offset)}"
