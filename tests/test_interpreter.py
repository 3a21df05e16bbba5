"""The checked interpreter does what RFC 9669 says, and stops what no program may do."""

from __future__ import annotations

import operator
import struct
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machines import raw, raw_code

import jit
from grafting import GraftError, Program, hooks, isa
from grafting.isa import Alu, AtomicOp, Condition, Instruction
from jit.activation import run_raw
from jit.faults import FaultKind

CORNERS = [0, 1, 2, 31, 32, 63, 64, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1]
words = st.one_of(st.sampled_from(CORNERS), st.integers(0, 2**64 - 1))
immediates = st.one_of(st.sampled_from([0, 1, -1, 2**31 - 1, -(2**31)]), st.integers(-(2**31), 2**31 - 1))
quick = settings(max_examples=30, deadline=None)


def lddw(register: int, value: int) -> list[Instruction]:
    low, high = struct.unpack("<ii", struct.pack("<Q", value))
    return [Instruction(isa.LDDW, register, 0, 0, low), Instruction(0, 0, 0, 0, high)]


MOV_R0_R1 = Instruction(isa.ALU64 | isa.X | 0xB0, 0, 1, 0, 0)
EXIT = Instruction(isa.EXIT, 0, 0, 0, 0)


def result_of(*body: Instruction, r1: int = 0, r2: int = 0) -> int:
    code = [*lddw(1, r1), *lddw(2, r2), *body, MOV_R0_R1, EXIT]
    return jit.interpret(raw_code(code), bytearray()).r0


# --- arithmetic, against an evaluation that knows only Python's integers ---------------------------------------------


def signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) & 1 else value


def truncating_divide(a: int, b: int) -> int:
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def expected(op: Alu, bits: int, a: int, b: int) -> int:
    mask = (1 << bits) - 1
    a, b = a & mask, b & mask
    sa, sb = signed(a, bits), signed(b, bits)
    match op:
        case Alu.DIV:
            value = a // b if b else 0
        case Alu.MOD:
            value = a % b if b else a
        case Alu.SDIV:
            value = truncating_divide(sa, sb) if b else 0
        case Alu.SMOD:
            value = sa - truncating_divide(sa, sb) * sb if b else a
        case Alu.LSH:
            value = a << b % bits
        case Alu.RSH:
            value = a >> b % bits
        case Alu.ARSH:
            value = sa >> b % bits
        case Alu.NEG:
            value = -a
        case Alu.MOV:
            value = b
        case _:
            plain: dict[Alu, Callable[[int, int], int]] = {
                Alu.ADD: operator.add, Alu.SUB: operator.sub, Alu.MUL: operator.mul, Alu.OR: operator.or_,
                Alu.AND: operator.and_, Alu.XOR: operator.xor,
            }  # fmt: skip
            value = plain[op](a, b)
    return value & mask


CODES = {op: code for code, op in isa.ALU_CODES.items()} | {Alu.SDIV: 0x30, Alu.SMOD: 0x90}


def alu(op: Alu, bits: int, source: int, imm: int = 0) -> Instruction:
    klass = isa.ALU64 if bits == 64 else isa.ALU32
    offset = 1 if op in (Alu.SDIV, Alu.SMOD) else 0
    return Instruction(klass | source | CODES[op], 1, 2 if source else 0, offset, imm)


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("op", [op for op in Alu if op is not Alu.NEG])
@quick
@given(a=words, b=words, imm=immediates)
def test_arithmetic_is_that_of_the_rfc(op: Alu, bits: int, a: int, b: int, imm: int) -> None:
    assert result_of(alu(op, bits, isa.X), r1=a, r2=b) == expected(op, bits, a, b)
    assert result_of(alu(op, bits, isa.K, imm), r1=a) == expected(op, bits, a, imm)


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("a", CORNERS)
def test_negation_wraps(bits: int, a: int) -> None:
    assert result_of(alu(Alu.NEG, bits, isa.K), r1=a) == expected(Alu.NEG, bits, a, 0)


@pytest.mark.parametrize(("bits", "from_bits"), [(64, 8), (64, 16), (64, 32), (32, 8), (32, 16)])
@pytest.mark.parametrize("value", [0x7F, 0x80, 0x7FFF, 0x8000, 0x7FFF_FFFF, 0x8000_0000, 2**64 - 1])
def test_sign_extending_moves_extend_from_their_width(bits: int, from_bits: int, value: int) -> None:
    klass = isa.ALU64 if bits == 64 else isa.ALU32
    move = Instruction(klass | isa.X | 0xB0, 1, 2, from_bits, 0)
    assert result_of(move, r2=value) == signed(value & ((1 << from_bits) - 1), from_bits) & ((1 << bits) - 1)


@pytest.mark.parametrize("bits", [16, 32, 64])
@quick
@given(value=words)
def test_byte_swaps_reverse_and_truncate(bits: int, value: int) -> None:
    low = (value & ((1 << bits) - 1)).to_bytes(bits // 8, "little")
    assert result_of(Instruction(isa.ALU32 | 0xD0, 1, 0, 0, bits), r1=value) == int.from_bytes(low, "little")
    assert result_of(Instruction(isa.ALU32 | 0xD0 | isa.X, 1, 0, 0, bits), r1=value) == int.from_bytes(low, "big")
    assert result_of(Instruction(isa.ALU64 | 0xD0, 1, 0, 0, bits), r1=value) == int.from_bytes(low, "big")


COMPARISONS: dict[Condition, Callable[[int, int], bool]] = {
    Condition.EQ: operator.eq, Condition.NE: operator.ne, Condition.GT: operator.gt, Condition.GE: operator.ge,
    Condition.LT: operator.lt, Condition.LE: operator.le, Condition.SET: lambda a, b: a & b != 0,
    Condition.SGT: operator.gt, Condition.SGE: operator.ge, Condition.SLT: operator.lt, Condition.SLE: operator.le,
}  # fmt: skip
JUMPS = {condition: code for code, condition in isa.JUMP_CODES.items()}


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("condition", list(Condition))
@quick
@given(a=words, b=words, same=st.booleans(), imm=immediates)
def test_a_branch_is_taken_exactly_if_its_condition_holds(
    condition: Condition, bits: int, a: int, b: int, same: bool, imm: int
) -> None:
    def holds(x: int, y: int) -> bool:
        mask = (1 << bits) - 1
        x, y = x & mask, y & mask
        if condition.name.startswith("S") and condition is not Condition.SET:
            x, y = signed(x, bits), signed(y, bits)
        return COMPARISONS[condition](x, y)

    b = a if same else b
    klass = isa.JMP if bits == 64 else isa.JMP32
    clear = Instruction(isa.ALU64 | 0xB0, 1, 0, 0, 77)
    for branch, y in (
        (Instruction(klass | isa.X | JUMPS[condition], 1, 2, 1, 0), b),
        (Instruction(klass | JUMPS[condition], 1, 0, 1, imm), imm),
    ):
        assert result_of(branch, clear, r1=a, r2=b) == (a if holds(a, y) else 77)


# --- memory ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 4, 8])
@given(data=st.binary(min_size=24, max_size=24), at=st.integers(0, 16))
@settings(max_examples=15, deadline=None)
def test_loads_are_little_endian_and_extend_by_their_kind(size: int, data: bytes, at: int) -> None:
    raw_bytes = data[at : at + size]
    load = f"r0 = *(u{8 * size} *)(r1 + {at})\nexit\n"
    assert jit.interpret(raw(load, 24), bytearray(data)).r0 == int.from_bytes(raw_bytes, "little")
    if size < 8:
        load = f"r0 = *(s{8 * size} *)(r1 + {at})\nexit\n"
        assert (
            jit.interpret(raw(load, 24), bytearray(data)).r0 == int.from_bytes(raw_bytes, "little", signed=True) % 2**64
        )


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_stores_change_exactly_their_bytes(size: int) -> None:
    memory = bytearray(b"\xaa" * 24)
    jit.interpret(raw(f"r2 = 0x1122334455667788 ll\n*(u{8 * size} *)(r1 + 5) = r2\nr0 = 0\nexit\n", 24), memory)
    assert memory == b"\xaa" * 5 + (0x1122334455667788).to_bytes(8, "little")[:size] + b"\xaa" * (19 - size)


@pytest.mark.parametrize(
    ("op", "fetch"),
    [(op, fetch) for op in AtomicOp for fetch in (False, True) if fetch or op.name not in ("XCHG", "CMPXCHG")],
)
@pytest.mark.parametrize("size", [4, 8])
def test_atomics_are_a_read_and_a_write(op: AtomicOp, size: int, fetch: bool) -> None:
    mask, old, operand = (1 << 8 * size) - 1, 0xF0F0_F0F0_1234_5678, 0x0FF0_0FF0_8765_4321
    memory = bytearray(old.to_bytes(8, "little"))
    mode = isa.STX | isa.MODE_ATOMIC | isa.SIZE_OF_BYTES[size]
    code = [
        *lddw(0, old & mask), *lddw(3, operand), Instruction(mode, 1, 3, 0, op.value | int(fetch)),
        Instruction(isa.ALU64 | isa.X | (0xB0 if op is not AtomicOp.CMPXCHG else 0x00), 0, 3, 0, 0), EXIT,
    ]  # fmt: skip
    r0 = jit.interpret(raw_code(code, 8), memory).r0
    function: dict[AtomicOp, Callable[[int, int], int]] = {
        AtomicOp.ADD: operator.add, AtomicOp.OR: operator.or_, AtomicOp.AND: operator.and_, AtomicOp.XOR: operator.xor,
    }  # fmt: skip
    new = function.get(op, lambda _, b: b)(old, operand) & mask
    assert int.from_bytes(memory, "little") == old & ~mask | new
    if op is AtomicOp.CMPXCHG:
        assert r0 == ((old & mask) + operand) % 2**64  # r0 was fetched, r3 is as before
    else:
        assert r0 == (old & mask if fetch else operand)


def test_a_failed_compare_exchange_leaves_memory_alone() -> None:
    memory = bytearray(struct.pack("<Q", 5))
    text = "r0 = 6\nr2 = 9\nr0 = cmpxchg_64(r1 + 0, r0, r2)\nexit\n"
    assert jit.interpret(raw(text, 8), memory).r0 == 5
    assert memory == struct.pack("<Q", 5)


# --- calls -----------------------------------------------------------------------------------------------------------


def call(distance: int) -> Instruction:
    return Instruction(isa.CALL, 0, isa.CALL_LOCAL, 0, distance)


def set_(register: int, value: int) -> Instruction:
    return Instruction(isa.ALU64 | 0xB0, register, 0, 0, value)


def test_a_callee_keeps_r6_to_r9_and_r10_and_has_a_frame_of_its_own() -> None:
    store = Instruction(isa.ST | isa.MODE_MEM | isa.SIZE_DW, 10, 0, -8, 42)
    load = Instruction(isa.LDX | isa.MODE_MEM | isa.SIZE_DW, 1, 10, -8, 0)
    add = [Instruction(isa.ALU64 | isa.X, 1, register, 0, 0) for register in (6, 7, 8, 9)]
    after = [load, *add, MOV_R0_R1, EXIT]
    caller = [store, *(set_(register, register) for register in (6, 7, 8, 9)), call(len(after)), *after]
    overwrite = Instruction(isa.ST | isa.MODE_MEM | isa.SIZE_DW, 10, 0, -8, 0)
    callee = [*(set_(register, 0) for register in (6, 7, 8, 9)), overwrite, set_(0, 0), EXIT]
    assert jit.interpret(raw_code([*caller, *callee]), bytearray()).r0 == 42 + 6 + 7 + 8 + 9


@pytest.mark.parametrize(("calls", "kind"), [(7, None), (8, FaultKind.CALL_TOO_DEEP)])
def test_eight_frames_and_no_more(calls: int, kind: FaultKind | None) -> None:
    down = Instruction(isa.ALU64 | 0x10, 1, 0, 0, 1)  # r1 -= 1
    done = Instruction(isa.JMP | 0x10, 1, 0, 1, 0)  # if r1 == 0 goto +1
    code = [set_(1, calls), set_(0, 1), call(1), EXIT, down, set_(0, 1), done, call(-4), EXIT]
    _, fault = run_raw(raw_code(code), bytearray())
    assert (fault.kind if fault else None) is kind


def test_unwind_ends_the_program_from_any_depth() -> None:
    code = [call(1), EXIT, set_(0, 9), Instruction(isa.CALL, 0, 0, 0, 5), set_(0, 1), EXIT]
    outcome = jit.interpret(raw_code(code), bytearray())
    assert (outcome.r0, outcome.instructions) == (9, 3)


# --- what no program may do ------------------------------------------------------------------------------------------

FAULTS = {
    "null": ("r1 = 0\nr0 = *(u8 *)(r1 + 0)\nexit\n", FaultKind.UNMAPPED, 1),
    "a number": ("r1 = 4096\n*(u8 *)(r1 + 0) = r1\nr0 = 0\nexit\n", FaultKind.UNMAPPED, 1),
    "past the end": ("r0 = *(u64 *)(r1 + 9)\nexit\n", FaultKind.OUT_OF_BOUNDS, 0),
    "before the start": ("r0 = *(u8 *)(r1 - 1)\nexit\n", FaultKind.OUT_OF_BOUNDS, 0),
    "above the stack": ("r0 = *(u8 *)(r10 + 0)\nexit\n", FaultKind.OUT_OF_BOUNDS, 0),
    "below the stack": ("*(u8 *)(r10 - 513) = r1\nr0 = 0\nexit\n", FaultKind.OUT_OF_BOUNDS, 0),
    "a stack byte not written": ("*(u32 *)(r10 - 8) = r2\nr0 = *(u64 *)(r10 - 8)\nexit\n",
                                 FaultKind.UNINITIALISED_STACK, 1),
    "a register not written": ("r0 = r3\nexit\n", FaultKind.UNINITIALISED_REGISTER, 0),
    "no result": ("exit\n", FaultKind.UNINITIALISED_REGISTER, 0),
    "the frame pointer": ("r10 = 0\nr0 = 0\nexit\n", FaultKind.FRAME_POINTER_WRITTEN, 0),
    "an unknown helper": ("r1 = 0\ncall 77\nexit\n", FaultKind.UNKNOWN_HELPER, 1),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_misbehaviour_is_a_fault_with_its_kind_and_place(name: str) -> None:
    text, kind, pc = FAULTS[name]
    _, fault = run_raw(raw(text, 16), bytearray(16))
    assert fault is not None
    assert (fault.kind, fault.pc) == (kind, pc)
    assert fault.sentence


def test_memory_that_is_not_writable_is_not_written() -> None:
    _, fault = run_raw(raw("*(u8 *)(r1 + 0) = r2\nr0 = 0\nexit\n", 8, writable=False), bytearray(8))
    assert fault is not None
    assert fault.kind is FaultKind.NOT_WRITABLE


def test_a_raw_context_is_read_and_never_written() -> None:
    read = Program.from_assembly("r0 = *(u32 *)(r1 + 4)\nexit\n", hooks.raw_context(192))
    assert jit.interpret(read, bytearray(4) + b"\x2a" + bytes(187)).r0 == 42
    for wrong in ("*(u8 *)(r1 + 0) = r1\nr0 = 0\nexit\n", "r0 = r2\nexit\n", "r0 = *(u16 *)(r1 + 1)\nexit\n"):
        with pytest.raises(GraftError):
            jit.interpret(Program.from_assembly(wrong, hooks.raw_context(192)), bytearray(192))


def test_a_fault_leaves_the_memory_as_it_was_and_names_the_place() -> None:
    memory = bytearray(8)
    with pytest.raises(GraftError) as caught:
        jit.interpret(raw("*(u8 *)(r1 + 0) = r2\nr0 = *(u8 *)(r1 + 8)\nexit\n", 8), memory)
    assert memory == bytes(8)
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.handler, diagnostic.pc) == ("G0701", "main", 1)


@pytest.mark.parametrize("fuel", [0, 1, 254, 255, 256, 1000])
def test_a_loop_ends_with_its_fuel_exactly(fuel: int) -> None:
    outcome, fault = run_raw(raw("l0:\ngoto l0\n"), bytearray(), fuel=fuel)
    assert fault is not None
    assert (fault.kind, outcome.instructions) == (FaultKind.OUT_OF_FUEL, fuel)


def test_a_program_may_use_its_last_drop_of_fuel() -> None:
    program = raw("r0 = 1\nr0 = 2\nexit\n")
    assert jit.interpret(program, bytearray(), fuel=3) == jit.Outcome(2, 3)
    with pytest.raises(GraftError):
        jit.interpret(program, bytearray(), fuel=2)


def test_a_wide_immediate_counts_as_one_instruction() -> None:
    assert jit.interpret(raw("r0 = 5 ll\nexit\n"), bytearray()) == jit.Outcome(5, 2)


def test_wrong_arguments_are_refused() -> None:
    program = raw("r0 = 0\nexit\n", 8)
    with pytest.raises(TypeError):
        jit.interpret(program, b"12345678")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        jit.interpret(b"", bytearray())  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        jit.interpret(program, bytearray(8), fuel=1.5)  # type: ignore[arg-type]
    for wrong in ({"fuel": -1}, {"engine": "pyton"}):
        with pytest.raises(GraftError):
            jit.interpret(program, bytearray(8), **wrong)  # type: ignore[arg-type]
    with pytest.raises(GraftError):
        jit.interpret(program, bytearray(7))
