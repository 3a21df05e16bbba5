"""One of our handlers as a program that Linux's verifier knows: the same instructions on the nearest context.

| here                             | there                                                                         |
|----------------------------------|-------------------------------------------------------------------------------|
| `raw_context`, `raw_memory`      | SOCKET_FILTER, which first sets r1 to the value of an array of one element    |
| (r1 = n bytes)                   | of n bytes (read-only for the program where the hook says so)                 |
| handlers of events               | SK_MSG, whose context begins with `data` and `data_end` as ours does          |
| other fields of the context      | loads from an array's value, through the register that is loaded              |
| maps, `.rodata`, `.bss`          | hash, array, arrays of one element; `.rodata` is frozen                       |
| helpers 1, 2, 3, 5               | the same                                                                      |
| sends and answers from memory    | ringbuf_output of (memory, length)                                            |
| fill                             | probe_read_kernel to (memory, length)                                         |
| other helpers of numbers         | ktime_get_ns                                                                  |
| the alignment of `raw_context`   | BPF_F_STRICT_ALIGNMENT; not for SK_MSG, where it would demand 2 mod 4         |

What has no counterpart raises `Untranslatable`: a copy between two memories, a part of an address in the context. A
load of a context field through a place that does not always hold the context stays as it is, and Linux refuses it.
Slots, operations, rights and verdicts are ours alone; nothing of them is left after translation.

Source: linux/include/uapi/linux/bpf.h, linux/kernel/bpf/verifier.c (v6.18).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from grafting import hooks, isa
from grafting.isa import Instruction, Load, Operation
from grafting.program import Handler, MapKind, Program
from kernel_model.linux import bpf

_LDDW_MAP, _LDDW_VALUE = 1, 2  # src of lddw there: imm is a map's descriptor
_MOV64_REG, _MOV64_IMM = 0xBF, 0xB7
_CALL = isa.CALL
_KTIME, _PROBE_READ, _RINGBUF_OUTPUT = 5, 113, 130
_SAME = (1, 2, 3, 5)
_FROM_MEMORY = {1000: (4, 5), 1002: (4, 5), 1003: (2, 3)}  # the registers of memory and length
_RINGBUF_BYTES = 4096


class Untranslatable(Exception):
    """The program says something that no program there can."""


@dataclass(frozen=True, slots=True)
class Translated:
    """A program for `bpf.judge`, whose maps live as long as the `with` that gave it."""

    code: tuple[Instruction, ...]
    program_type: bpf.ProgramType
    flags: int


@contextmanager
def translated(program: Program, handler: Handler) -> Iterator[Translated]:
    """Create what a handler needs and give it as a program for Linux. Raises Untranslatable, or BpfError for maps."""
    descriptors: list[int] = []
    try:
        yield _Translation(program, handler, descriptors).result()
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


class _Translation:
    def __init__(self, program: Program, handler: Handler, descriptors: list[int]) -> None:
        self._program, self._handler, self._descriptors = program, handler, descriptors
        self._maps: dict[int, int] = {}
        self._memory = self._ringbuf = -1

    def result(self) -> Translated:
        hook = self._handler.hook
        if hook.event is not None:
            return Translated(self._relocated([]), bpf.ProgramType.SK_MSG, 0)
        first = []
        if hook.context_bytes:
            first = self._value(1, self._entry_memory(writable=hook.context_writable), 0)
        if hook.memory == "memory":
            first.append(Instruction(_MOV64_IMM, 2, 0, 0, hook.context_bytes))
        flags = bpf.STRICT_ALIGNMENT if hook.aligned else 0
        return Translated(self._relocated(first), bpf.ProgramType.SOCKET_FILTER, flags)

    # --- maps --------------------------------------------------------------------------------------------------------

    def _created(self, *arguments: int, flags: int = 0) -> int:
        kind, key, value, entries = arguments
        descriptor = bpf.create_map(bpf.MapType(kind), key, value, entries, flags=flags)
        self._descriptors.append(descriptor)
        return descriptor

    def _entry_memory(self, *, writable: bool) -> int:
        if self._memory < 0:
            flags = 0 if writable else bpf.READ_ONLY_FOR_PROGRAMS
            self._memory = self._created(bpf.MapType.ARRAY, 4, max(self._handler.hook.context_bytes, 8), 1, flags=flags)
        return self._memory

    def _map(self, index: int) -> int:
        if index in self._maps:
            return self._maps[index]
        spec = self._program.maps[index]
        kind = bpf.MapType.HASH if spec.kind is MapKind.HASH else bpf.MapType.ARRAY
        flags = bpf.READ_ONLY_FOR_PROGRAMS if spec.read_only else 0
        descriptor = self._created(kind, spec.key_size, spec.value_size, spec.max_entries, flags=flags)
        if spec.initial:
            bpf.update_map(descriptor, bytes(spec.key_size), spec.initial.ljust(spec.value_size, b"\0"))
        if spec.read_only:
            bpf.freeze_map(descriptor)
        self._maps[index] = descriptor
        return descriptor

    def _ring(self) -> int:
        if self._ringbuf < 0:
            self._ringbuf = self._created(bpf.MapType.RINGBUF, 0, 0, _RINGBUF_BYTES)
        return self._ringbuf

    # --- instructions ------------------------------------------------------------------------------------------------

    def _relocated(self, first: Sequence[Instruction]) -> tuple[Instruction, ...]:
        """Return all instructions, each replaced by those that stand for it, and the jumps adjusted."""
        code = self._handler.instructions
        loads = dict(self._context_loads())
        pieces: list[list[Instruction]] = []
        for pc, slot in enumerate(code):
            second = pc > 0 and code[pc - 1].opcode == isa.LDDW
            pieces.append([] if second else self._instead(pc, slot, loads.get(pc)))
        starts = [len(first)]
        for piece in pieces:
            starts.append(starts[-1] + len(piece))
        found = list(first)
        for pc, piece in enumerate(pieces):
            target = self._target(pc)
            if target is not None:
                at, last = len(found) + len(piece), piece[-1]
                distance = starts[target] - at
                local = last.opcode in (isa.CALL, _GOTO_LONG)
                piece[-1] = (
                    Instruction(last.opcode, last.dst, last.src, last.offset, distance)
                    if local
                    else Instruction(last.opcode, last.dst, last.src, distance, last.imm)
                )
            found += piece
        return tuple(found)

    def _target(self, pc: int) -> int | None:
        op = self._handler.operations.get(pc)
        return op.target if isinstance(op, isa.Goto | isa.Branch | isa.CallLocal) else None

    def _instead(self, pc: int, slot: Instruction, load: Load | None) -> list[Instruction]:
        op = self._handler.operations.get(pc)
        if load is not None:
            memory = self._value(load.dst, self._entry_memory(writable=False), load.offset)
            return [*memory, Instruction(slot.opcode, load.dst, load.dst, 0, 0)]
        match op:
            case isa.LoadMap(dst, index):
                return [Instruction(isa.LDDW, dst, _LDDW_MAP, 0, self._map(index)), _SECOND]
            case isa.LoadMapValue(dst, index, offset):
                return self._value(dst, self._map(index), offset)
            case isa.LoadImm64():
                return [slot, self._handler.instructions[pc + 1]]
            case isa.CallHelper(number):
                return self._call(number)
            case _:
                return [slot]

    def _value(self, register: int, descriptor: int, offset: int) -> list[Instruction]:
        return [Instruction(isa.LDDW, register, _LDDW_VALUE, 0, descriptor), Instruction(0, 0, 0, 0, offset)]

    def _call(self, number: int) -> list[Instruction]:
        if self._handler.hook.event is None:
            raise Untranslatable(f"helper {number} of a raw hook")
        if number in _SAME:
            return [Instruction(_CALL, 0, 0, 0, number)]
        if number in _FROM_MEMORY:
            memory, length = _FROM_MEMORY[number]
            ring = [Instruction(isa.LDDW, 1, _LDDW_MAP, 0, self._ring()), _SECOND]
            return [_move(2, memory), _move(3, length), *ring, Instruction(_MOV64_IMM, 4, 0, 0, 0),
                    Instruction(_CALL, 0, 0, 0, _RINGBUF_OUTPUT)]  # fmt: skip
        if number == 1009:
            return [_move(2, 3), Instruction(_MOV64_IMM, 3, 0, 0, 0), Instruction(_CALL, 0, 0, 0, _PROBE_READ)]
        if number == 1008:
            raise Untranslatable("a copy between two memories")
        return [Instruction(_CALL, 0, 0, 0, _KTIME)]

    def _context_loads(self) -> Iterator[tuple[int, Load]]:
        """Yield the loads of context fields that have no counterpart there."""
        hook, operations = self._handler.hook, self._handler.operations
        if hook.event is None:
            return
        for pc, held in context_holders(operations).items():
            op = operations[pc]
            if not isinstance(op, Load) or op.base not in held:
                continue
            field = hook.field_at(op.offset, op.size)
            if field is None and any(
                special.kind is not hooks.FieldKind.SCALAR
                and op.offset < special.offset + special.size and special.offset < op.offset + op.size
                for special in hook.fields
            ):  # fmt: skip
                raise Untranslatable("a part of an address in the context")
            if field is None or field.kind is hooks.FieldKind.SCALAR:
                if not 0 <= op.offset <= hook.context_bytes - op.size:
                    raise Untranslatable("a load outside the context")
                yield pc, op


_SECOND = Instruction(0, 0, 0, 0, 0)
_GOTO_LONG = 0x06


def _move(to: int, source: int) -> Instruction:
    return Instruction(_MOV64_REG, to, source, 0, 0)


# --- where the context's address is ----------------------------------------------------------------------------------

_Places = frozenset[int]
"""Registers (0 to 9) and offsets from r10 (below 0)."""


def context_holders(operations: Mapping[int, Operation]) -> dict[int, _Places]:
    """Return, before each instruction, the places that hold the entry's r1 on every path there."""
    found: dict[int, _Places] = {0: frozenset({1})}
    todo = [0]
    while todo:
        pc = todo.pop()
        for following, held in _onward(operations, pc, found[pc]):
            merged = held & found.get(following, held)
            if found.get(following) != merged:
                found[following] = merged
                todo.append(following)
    return found


def _onward(operations: Mapping[int, Operation], pc: int, held: _Places) -> list[tuple[int, _Places]]:
    op = operations[pc]
    following = pc + isa.width(op)
    match op:
        case isa.Exit():
            return []
        case isa.Goto(target):
            return [(target, held)]
        case isa.Branch(target=target):
            return [(following, held), (target, held)]
        case isa.CallLocal(target):
            passed = frozenset(place for place in held if 1 <= place <= 5)
            return [(target, passed), (following, frozenset(place for place in held if place > 5 or place < 0))]
        case isa.CallHelper():
            return [(following, frozenset(place for place in held if place > 5 or place < 0))]
        case isa.AluOp(isa.Alu.MOV, 64, dst, isa.Reg(source)) if source in held:
            return [(following, held | {dst})]
        case isa.Store(size, base, offset, source):
            return [(following, _stored(held, size, base, offset, source))]
        case isa.Load(size=8, dst=dst, base=10, offset=offset) if offset in held:
            return [(following, held | {dst})]
        case isa.Atomic():
            changed = {0 if op.op is isa.AtomicOp.CMPXCHG else op.src} if op.fetch else set()
            return [(following, frozenset(place for place in held - changed if place >= 0))]
        case _:
            return [(following, held - {op.dst})]


def _stored(held: _Places, size: int, base: int, offset: int, source: isa.Operand) -> _Places:
    if base != isa.FRAME_POINTER:
        return frozenset(place for place in held if place >= 0)
    left = frozenset(place for place in held if place >= 0 or place + 8 <= offset or place >= offset + size)
    return left | {offset} if size == 8 and isinstance(source, isa.Reg) and source.number in held else left
