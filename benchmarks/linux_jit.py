"""A kernel in the real Linux kernel's JIT: the same instructions as a SOCKET_FILTER, run by BPF_PROG_TEST_RUN.

A program there is given a packet, and ours would find it only through other instructions. So memory, body and context
become values of arrays whose addresses are constants: r1 is set first, and where a graft loads the address of its body
or of the body's end from the context it is given that address instead. Maps are Linux's own, of the same sizes. The
time of a run is what the kernel itself took (`duration`), loop and empty program included.
"""

from __future__ import annotations

import os
import struct
from contextlib import ExitStack

from benchmarks.kernels import Answer, Input, Kernel
from grafting import isa
from grafting.isa import Instruction, Load
from grafting.program import MapKind, MapSpec
from jit.values import Types
from jit.variables import variables_of
from kernel_model.linux import bpf
from kernel_model.linux.translation import context_holders

_LDDW_MAP, _LDDW_VALUE = 1, 2  # src of lddw: imm is a map's descriptor
_MOV64_IMM, _ADD64_IMM = 0xB7, 0x07
_ONLY = bytes(4)  # the key of an array of one element
_PACKET = bytes(64)
_CONTEXT_BYTES = 64


class LinuxProgram:
    """A kernel with one input, loaded; `close` gives it back. Raises `bpf.Refused` where Linux's verifier does."""

    def __init__(self, kernel: Kernel, given: Input) -> None:
        self._kernel, self._given = kernel, given
        self._handler = kernel.program.handlers[0]
        self._result = 0
        with ExitStack() as opened:
            self._opened = opened
            self._maps = [self._state(spec) for spec in kernel.program.maps]
            self._body = self._map(bpf.MapType.ARRAY, 4, len(given.body), 1)
            self._context = self._map(bpf.MapType.ARRAY, 4, _CONTEXT_BYTES, 1)
            self.reset()
            self._program, _log = opened.enter_context(bpf.loaded(self._code(), bpf.ProgramType.SOCKET_FILTER))
            self._opened = opened.pop_all()

    def close(self) -> None:
        """Forget program and maps."""
        self._opened.close()

    def reset(self) -> None:
        """Put the input into place, and the state at its initial values."""
        bpf.update_map(self._body, _ONLY, self._given.body)
        context = struct.pack("<QQQ", 0, 0, self._given.tag).ljust(_CONTEXT_BYTES, b"\0")
        bpf.update_map(self._context, _ONLY, context)
        for spec, descriptor in zip(self._kernel.program.maps, self._maps, strict=True):
            if spec.kind is MapKind.HASH:
                for key in list(bpf.keys_of_map(descriptor, spec.key_size)):
                    bpf.delete_from_map(descriptor, key)
            elif not spec.read_only:
                bpf.update_map(descriptor, bytes(spec.key_size), spec.initial.ljust(spec.value_size, b"\0"))

    def run(self, times: int) -> float:
        """Run so many times; returns ns a run."""
        self._result, duration = bpf.run_filter(self._program, _PACKET, times)
        return float(duration)

    def answer(self) -> Answer:
        """Return what the last run left; of r0 Linux gives the low half."""
        program = self._kernel.program
        if self._kernel.raw:
            return {"r0": self._result}
        types, found = Types(program.debug.types), dict[str, object]()
        specs = {spec.name: (spec, self._maps[number]) for number, spec in enumerate(program.maps)}
        for name, variable in variables_of(program).items():
            spec, descriptor = specs[variable.section]
            section = bpf.lookup_map(descriptor, bytes(spec.key_size), spec.value_size) or b""
            found[name] = types.decode(variable.type, section[variable.offset : variable.offset + variable.size])
        for name, (spec, descriptor) in specs.items():
            if not spec.is_data:
                found[name] = {
                    types.decode(spec.key_type, key): types.decode(spec.value_type, value)
                    for key in bpf.keys_of_map(descriptor, spec.key_size)
                    if (value := bpf.lookup_map(descriptor, key, spec.value_size)) is not None
                }
        return found

    # --- translation -------------------------------------------------------------------------------------------------

    def _map(self, kind: bpf.MapType, *sizes: int, flags: int = 0) -> int:
        descriptor = bpf.create_map(kind, *sizes, flags=flags)
        self._opened.callback(os.close, descriptor)
        return descriptor

    def _state(self, spec: MapSpec) -> int:
        kind = bpf.MapType.HASH if spec.kind is MapKind.HASH else bpf.MapType.ARRAY
        flags = bpf.READ_ONLY_FOR_PROGRAMS if spec.read_only else 0
        descriptor = self._map(kind, spec.key_size, spec.value_size, spec.max_entries, flags=flags)
        if spec.read_only:
            bpf.update_map(descriptor, bytes(spec.key_size), spec.initial.ljust(spec.value_size, b"\0"))
            bpf.freeze_map(descriptor)
        return descriptor

    def _code(self) -> list[Instruction]:
        """Return all instructions, each replaced by those that stand for it, and the jumps adjusted."""
        operations = self._handler.operations
        first = _value(1, self._body if self._kernel.raw else self._context, 0)
        if self._kernel.raw:
            first.append(Instruction(_MOV64_IMM, 2, 0, 0, len(self._given.body)))
        holders = {} if self._kernel.raw else context_holders(operations)
        pieces = {pc: self._piece(pc, op, holders.get(pc, frozenset())) for pc, op in operations.items()}
        starts, at = dict[int, int](), len(first)
        for pc, piece in pieces.items():
            starts[pc] = at
            at += len(piece)
        found = first
        for pc, piece in pieces.items():
            op = operations[pc]
            if isinstance(op, isa.Goto | isa.Branch):
                jump = piece[-1]
                distance = starts[op.target] - starts[pc] - len(piece)
                piece = [*piece[:-1], Instruction(jump.opcode, jump.dst, jump.src, distance, jump.imm)]
            found += piece
        return found

    def _piece(self, pc: int, op: isa.Operation, context: frozenset[int]) -> list[Instruction]:
        slot = self._handler.instructions[pc]
        match op:
            case isa.LoadMap(dst, index):
                return [Instruction(isa.LDDW, dst, _LDDW_MAP, 0, self._maps[index]), Instruction(0, 0, 0, 0, 0)]
            case isa.LoadMapValue(dst, index, offset):
                return _value(dst, self._maps[index], offset)
            case isa.LoadImm64():
                return [slot, self._handler.instructions[pc + 1]]
            case Load(8, _, dst, base, 0) if base in context:
                return _value(dst, self._body, 0)
            case Load(8, _, dst, base, 8) if base in context:
                return [*_value(dst, self._body, 0), Instruction(_ADD64_IMM, dst, 0, 0, len(self._given.body))]
            case _:
                return [slot]


def _value(register: int, descriptor: int, offset: int) -> list[Instruction]:
    return [Instruction(isa.LDDW, register, _LDDW_VALUE, 0, descriptor), Instruction(0, 0, 0, 0, offset)]
