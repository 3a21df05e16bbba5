"""The two tiers of the interpreter are one machine: on any program they agree in everything that can be seen."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machines import BSS, DISK, ENGINES, KV, TABLE, WANTED, graft, raw_code

import jit
from grafting import hooks, isa
from grafting.isa import Instruction
from grafting.program import Handler, MapSpec, Program, SlotSpec
from jit.activation import run_raw

MAPS: tuple[MapSpec, ...] = (WANTED, TABLE, BSS)
HOOK = hooks.GRAFT_HOOKS["request"]

registers = st.sampled_from([0, 0, 8, 8, 9, 9, 3, 3, 5, 6, 7])  # r6, r7 are pointers: seldom spoilt
values = st.one_of(st.sampled_from([0, 1, -1, 8, 63, 64, 2**31 - 1, -(2**31)]), st.integers(-(2**31), 2**31 - 1))
slots = st.sampled_from([0, 0, 0, 1, 2, 3])
small = st.one_of(st.integers(0, 20), st.integers(-3, 3))


@st.composite
def alu_instructions(draw: st.DrawFn) -> list[Instruction]:
    klass = draw(st.sampled_from([isa.ALU32, isa.ALU64]))
    code = draw(st.sampled_from([code for code in isa.ALU_CODES if code != 0x80]))
    offset = draw(st.sampled_from([0, 1])) if code in (0x30, 0x90) else 0
    dst, src, imm = draw(registers), draw(registers), draw(values)
    if draw(st.booleans()):
        return [Instruction(klass | isa.X | code, dst, src, offset, 0)]
    return [Instruction(klass | code, dst, 0, offset, imm)]


@st.composite
def odd_instructions(draw: st.DrawFn) -> list[Instruction]:
    """Return a negation, a byte swap, a sign-extending move or a wide immediate."""
    dst, src = draw(registers), draw(registers)
    return draw(
        st.sampled_from([
            [Instruction(isa.ALU64 | 0x80, dst, 0, 0, 0)],
            [Instruction(isa.ALU32 | 0x80, dst, 0, 0, 0)],
            [Instruction(isa.ALU32 | isa.X | 0xD0, dst, 0, 0, 16)],
            [Instruction(isa.ALU64 | 0xD0, dst, 0, 0, 32)],
            [Instruction(isa.ALU64 | 0xD0, dst, 0, 0, 64)],
            [Instruction(isa.ALU64 | isa.X | 0xB0, dst, src, 8, 0)],
            [Instruction(isa.ALU32 | isa.X | 0xB0, dst, src, 16, 0)],
            [Instruction(isa.ALU64 | isa.X | 0xB0, dst, src, 32, 0)],
            [Instruction(isa.LDDW, dst, 0, 0, -1), Instruction(0, 0, 0, 0, 1)],
        ])
    )  # fmt: skip


@st.composite
def memory_instructions(draw: st.DrawFn) -> list[Instruction]:
    """Return a load, store or atomic, mostly on the stack or the context, now and then wherever a register points."""
    usual, odd = [(10, -6, -1)] * 12 + [(7, 0, 4)] * 4, [(6, 0, 12), (10, -9, 1), (0, 0, 0)]
    base, low, high = draw(st.sampled_from(usual + odd))
    offset = 8 * draw(st.integers(low, high)) + draw(st.sampled_from([*[0] * 12, 1, 4]))
    size = draw(st.sampled_from([isa.SIZE_B, isa.SIZE_H, isa.SIZE_W, isa.SIZE_DW]))
    other = draw(registers)
    kind = draw(st.integers(0, 4))
    if kind == 0:
        return [Instruction(isa.LDX | isa.MODE_MEM | size, other, base, offset, 0)]
    if kind == 1 and size != isa.SIZE_DW:
        return [Instruction(isa.LDX | isa.MODE_MEMSX | size, other, base, offset, 0)]
    if kind == 2:
        return [Instruction(isa.ST | isa.MODE_MEM | size, base, 0, offset, draw(values))]
    if kind == 3 and size in (isa.SIZE_W, isa.SIZE_DW):
        op = draw(st.sampled_from([0x00, 0x01, 0x40, 0x41, 0x50, 0x51, 0xA0, 0xA1, 0xE1, 0xF1]))
        return [Instruction(isa.STX | isa.MODE_ATOMIC | size, base, other, offset, op)]
    return [Instruction(isa.STX | isa.MODE_MEM | size, base, other, offset, 0)]


def mov(dst: int, imm: int) -> Instruction:
    return Instruction(isa.ALU64 | 0xB0, dst, 0, 0, imm)


def stack(dst: int, offset: int) -> list[Instruction]:
    return [Instruction(isa.ALU64 | isa.X | 0xB0, dst, 10, 0, 0), Instruction(isa.ALU64, dst, 0, 0, offset)]


@st.composite
def helper_calls(draw: st.DrawFn) -> list[Instruction]:
    """Return a call with arguments that often make sense; mostly r1 to r5 are defined anew behind it."""
    after = [mov(register, register) for register in (1, 2, 3, 4, 5)] if draw(st.integers(0, 9)) else []
    return [*draw(bare_calls()), *after]


@st.composite
def bare_calls(draw: st.DrawFn) -> list[Instruction]:
    number = draw(st.sampled_from([1, 2, 3, 5, 1000, 1000, 1001, 1003, 1004, 1005, 1008, 1009, 1010]))
    call = Instruction(isa.CALL, 0, isa.CALL_HELPER, 0, number)
    if number in (1, 2, 3):
        map_ = [Instruction(isa.LDDW, 1, isa.LDDW_MAP, 0, draw(st.integers(0, 2))), Instruction(0, 0, 0, 0, 0)]
        return [*map_, *stack(2, -16), *stack(3, -32), mov(4, draw(st.sampled_from([0, 0, 1]))), call]
    if number == 1000:
        return [mov(1, draw(slots)), mov(2, 1), mov(3, 5), *stack(4, -32), mov(5, draw(small)), call]
    if number == 1003:
        return [mov(1, draw(values)), *stack(2, -32), mov(3, draw(small)), call]
    if number == 1008:
        return [*stack(1, -48), *stack(2, -32), mov(3, draw(small)), call]
    if number == 1009:
        return [*stack(1, -48), mov(2, draw(values)), mov(3, draw(st.integers(0, 48))), call]
    return [mov(register, draw(small)) for register in (1, 2, 3, 4, 5)] + [call]


@st.composite
def branches(draw: st.DrawFn, distance: int) -> list[Instruction]:
    klass = draw(st.sampled_from([isa.JMP, isa.JMP32]))
    code = draw(st.sampled_from(list(isa.JUMP_CODES)))
    dst, src, imm = draw(registers), draw(registers), draw(values)
    if draw(st.booleans()):
        return [Instruction(klass | isa.X | code, dst, src, distance, 0)]
    return [Instruction(klass | code, dst, 0, distance, imm)]


@st.composite
def programs(draw: st.DrawFn) -> list[Instruction]:
    """Return code that begins with defined registers and stack, does something, may loop, and ends."""
    code: list[Instruction] = [Instruction(isa.ALU64 | isa.X | 0xB0, 6, 1, 0, 0)]
    code += [mov(register, 3 * register) for register in (0, 2, 3, 4, 5, 8, 9)]
    code += [Instruction(isa.LDX | isa.MODE_MEM | isa.SIZE_DW, 7, 6, 0, 0)]  # data
    code += [Instruction(isa.ST | isa.MODE_MEM | isa.SIZE_DW, 10, 0, -8 * i, i) for i in range(1, 7)]
    parts = st.one_of(alu_instructions(), odd_instructions(), memory_instructions(), helper_calls())
    for part in draw(st.lists(parts, min_size=3, max_size=12)):
        match draw(st.integers(0, 7)):
            case 0 | 1:
                code += [*draw(branches(len(part))), *part]  # may skip the part
            case 2:
                code += [*part, *draw(branches(-len(part) - 1))]  # may repeat it until the fuel is used up
            case _:
                code += part
    return [*code, mov(0, draw(st.integers(0, 4))), Instruction(isa.EXIT, 0, 0, 0, 0)]


def observed(code: list[Instruction], engine: str) -> tuple[object, ...]:
    """Run `code` as a request handler and return everything that it did."""
    handler = Handler("request", HOOK, tuple(code), maps=len(MAPS))
    program = Program("random", (handler,), MAPS, (DISK, SlotSpec("peer", KV)), (KV,))
    state = jit.GraftState(program)
    state.maps["wanted"][1] = 2
    message = jit.Message(tag=2**63 + 5, badge=3, op=1, body=bytes(range(40)))
    done = jit.activate(program, "request", message, state, slots=[1, None], clock=123, fuel=600, engine=engine)
    machine = state.machine
    return done, done.cost, state.snapshot(), machine.registers[:11].tolist(), machine.counts.tolist()


@settings(max_examples=150, deadline=None)
@given(code=programs())
def test_both_tiers_do_the_same(code: list[Instruction]) -> None:
    assert observed(code, "python") == observed(code, "numba")


@pytest.mark.parametrize("fuel", [0, 1, 100, 255, 256, 511, 100_000])
def test_both_tiers_run_out_of_fuel_at_the_same_instruction(fuel: int) -> None:
    code = [mov(0, 0), *(Instruction(isa.ALU64, 0, 0, 0, i) for i in range(6)), Instruction(isa.JA, 0, 0, -6, 0)]
    program = raw_code(code)
    results = [run_raw(program, bytearray(), fuel=fuel, engine=engine) for engine in ENGINES]
    assert results[0] == results[1]


@pytest.mark.parametrize("engine", ENGINES)
def test_one_machine_serves_many_activations_one_after_the_other(engine: str) -> None:
    """Nothing of a run, not even of one that faulted deep in its calls, is left for the next."""
    call = Instruction(isa.CALL, 0, isa.CALL_LOCAL, 0, 2)
    deep = Handler("reply", hooks.GRAFT_HOOKS["reply"], (
        mov(6, 5), call, mov(0, 1), Instruction(isa.EXIT, 0, 0, 0, 0),
        Instruction(isa.ST | isa.MODE_MEM | isa.SIZE_DW, 10, 0, -8, 7),
        Instruction(isa.LDX | isa.MODE_MEM | isa.SIZE_DW, 0, 1, 96, 0), Instruction(isa.EXIT, 0, 0, 0, 0),
    ))  # fmt: skip
    peeks = graft({"timer": "r0 = *(u64 *)(r10 - 8)\nexit\n"}).handlers[0]
    program = Program("two", (deep, peeks))
    state = jit.GraftState(program)
    for _ in range(3):
        first = jit.activate(program, "reply", jit.Message(), state, engine=engine)
        second = jit.activate(program, "timer", jit.Message(), state, engine=engine)
        assert first.fault is not None
        assert second.fault is not None
        assert (first.fault.kind.name, second.fault.kind.name) == ("OUT_OF_BOUNDS", "UNINITIALISED_STACK")
