"""Bytes that are nearly programs, by seed: raw bytecode, legal instructions at random, damaged bytecode and objects.

`outcome(seed)` loads one and verifies what loads: "accepted" or the code of the first diagnostic. Whatever else it does
(another exception, a hang, much memory) no input may do.
"""

from __future__ import annotations

import random
import struct
from functools import cache
from pathlib import Path

import hostile_programs
import random_bytecode

import grafting
import verifier
from grafting import Program, hooks
from grafting.diagnostics import GraftError
from grafting.isa import encode

DATA = Path(__file__).parent / "data"
SAMPLES = Path(__file__).resolve().parents[1] / "samples"
HOOKS = (hooks.raw_context(192), hooks.raw_memory(64), hooks.raw_memory(0), hooks.GRAFT_HOOKS["reply"])
_WIDE, _CALL, _EXIT, _ATOMIC = 0x18, 0x85, 0x95, 6
_OPCODES = tuple(
    [base | source | operation << 4 for base in (4, 7) for source in (0, 8) for operation in range(14)]
    + [base | source | operation << 4 for base in (5, 6) for source in (0, 8) for operation in range(14)]
    + [mode << 5 | size << 3 | kind for kind in (1, 2, 3) for size in range(4) for mode in (3, 4, 6)]
    + [_WIDE, _CALL, _EXIT]
)


@cache
def originals() -> tuple[bytes, ...]:
    """Return the objects that are damaged: clang's and the samples'."""
    compiled = (
        grafting.compile_graft(path.read_text(), filename=path.name) for path in sorted(SAMPLES.glob("*.graft"))
    )
    return ((DATA / "follow.o").read_bytes(), *(program.to_elf() for program in compiled))


def damaged(data: bytes, choose: random.Random) -> bytes:
    """Return `data` with one to sixteen bytes, words or ranges changed."""
    changed = bytearray(data)
    for _ in range(choose.choice((1, 1, 2, 4, 16))):
        at = choose.randrange(len(changed))
        match choose.randrange(4):
            case 0:
                changed[at] ^= 1 << choose.randrange(8)
            case 1:
                changed[at] = choose.randrange(256)
            case 2:
                changed[at : at + 8] = choose.choice((b"\xff" * 8, bytes(8), (1 << choose.randrange(64)).to_bytes(8)))
            case _:
                other = choose.randrange(len(changed))
                changed[at : at + 16] = changed[other : other + 16]
    return bytes(changed)


def instructions(choose: random.Random) -> bytes:
    """Return legal instructions with registers, offsets and immediates that might do, the last one an exit."""
    count = choose.choice((2, 5, 13, 15, 40, 200))
    code = bytearray()
    for _ in range(count):
        opcode = choose.choice(_OPCODES)
        offset = choose.choice((0, 0, 1, -1, -2, -8, -16, choose.randrange(-count, count)))
        immediate = choose.choice((0, 1, 7, -1, 63, 1 << 31, choose.getrandbits(32))) & 0xFFFFFFFF
        code += _packed(opcode, choose.randrange(11), choose.randrange(11), offset, immediate, choose.random() < 0.05)
        if opcode == _WIDE:
            code += struct.pack("<BBhI", 0, 0, 0, choose.getrandbits(32))
    return bytes(code) + struct.pack("<BBhI", 0x95, 0, 0, 0)


def _packed(opcode: int, dst: int, src: int, offset: int, immediate: int, reserved_too: bool) -> bytes:
    """Return an instruction whose unused fields are 0, but for one now and then."""
    kind, by_register = opcode & 7, bool(opcode & 8)
    if not reserved_too:
        if opcode == _CALL:
            dst, src, offset, immediate = 0, src & 1, 0, immediate & 15
        elif opcode == _EXIT:
            dst, src, offset, immediate = 0, 0, 0, 0
        elif opcode == _WIDE:
            src, offset = 0, 0
        elif kind in (1, 3):
            immediate = immediate & 0xF1 if opcode >> 5 == _ATOMIC else 0
        elif kind == 2:
            src = 0
        else:
            src, immediate = (src, 0) if by_register else (0, immediate)
            offset = 0 if kind in (4, 7) else offset
    return struct.pack("<BBhI", opcode, dst | src << 4, offset, immediate)


def made(seed: int) -> Program:
    """Return the program that a seed stands for; raises GraftError if it is none."""
    choose = random.Random(seed)
    hook = choose.choice(HOOKS)
    match seed % 4:
        case 0:
            return Program.from_bytecode(choose.randbytes(choose.choice((0, 7, 8, 16, 64, 256))), hook)
        case 1:
            return Program.from_bytecode(instructions(choose), hook)
        case 2:
            write = choose.choice((random_bytecode.raw_program, hostile_programs.loops_at_random))
            whole = encode(Program.from_assembly(write(seed), HOOKS[0]).handlers[0].instructions)
            return Program.from_bytecode(damaged(whole, choose), HOOKS[0])
        case _:
            return Program.from_elf(damaged(choose.choice(originals()), choose))


def outcome(seed: int) -> str:
    """Return "accepted", or the code of the first diagnostic."""
    try:
        verifier.verify(made(seed))
    except GraftError as refused:
        return refused.diagnostics[0].code
    return "accepted"
