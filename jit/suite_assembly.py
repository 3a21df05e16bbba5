"""The assembly syntax of the public BPF conformance suite, which is not that of LLVM (`grafting.assembly.assembler`).

    mov %r0, 1                  ldxw %r1, [%r2+4]           jne32 %r0, 1, failed        lock fetch add32 [%r10-8], %r1
    lddw %r1, 0x1122334455667788    stw [%r10-4], 7         ja exit                     call local function
    failed:                     movsx832 %r0, %r1           ja32 +2                     # a comment

A bare mnemonic works on 64 bits, the suffix `32` on 32. A jump goes to a label or over a relative number of slots
(`+3`). The first `exit` also defines the label `exit`. `call N` is a helper, `call runtime N` a helper by BTF number,
`call %rN` a call through a register; the last two are encoded here and rejected when the program is loaded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from grafting import isa
from grafting.diagnostics import GraftError, fail
from grafting.isa import Instruction

_ALU: Final = {
    "add": 0x00, "sub": 0x10, "mul": 0x20, "div": 0x30, "or": 0x40, "and": 0x50, "lsh": 0x60, "rsh": 0x70, "mod": 0x90,
    "xor": 0xA0, "mov": 0xB0, "arsh": 0xC0, "sdiv": 0x30, "smod": 0x90,
}  # fmt: skip
_JUMPS: Final = {
    "jeq": 0x10, "jgt": 0x20, "jge": 0x30, "jset": 0x40, "jne": 0x50, "jsgt": 0x60, "jsge": 0x70, "jlt": 0xA0,
    "jle": 0xB0, "jslt": 0xC0, "jsle": 0xD0,
}  # fmt: skip
_SIZES: Final = {"b": isa.SIZE_B, "h": isa.SIZE_H, "w": isa.SIZE_W, "dw": isa.SIZE_DW}
_SWAPS: Final = {"le": isa.ALU32 | 0xD0, "be": isa.ALU32 | 0xD0 | isa.X, "bswap": isa.ALU64 | 0xD0,
                 "swap": isa.ALU64 | 0xD0}  # fmt: skip
_MOVSX: Final = {"movsx832": (32, 8), "movsx1632": (32, 16), "movsx864": (64, 8), "movsx1664": (64, 16),
                 "movsx3264": (64, 32)}  # fmt: skip
_ATOMICS: Final = {"add": 0x00, "or": 0x40, "and": 0x50, "xor": 0xA0, "xchg": 0xE1, "cmpxchg": 0xF1}
_CALL_RUNTIME: Final = 2

_LABEL = re.compile(r"([A-Za-z_]\w*):")
_WORDS = re.compile(r"[\s,]+(?![^\[]*\])")  # not within brackets
_REGISTER = re.compile(r"%r(\d+)")
_MEMORY = re.compile(r"\[\s*%r(\d+)\s*(?:([+-])\s*(\w+)\s*)?\]")
_NUMBER = re.compile(r"[+-]?(0[xX][0-9a-fA-F]+|\d+)")


def assemble(text: str) -> bytes:
    """Return the bytecode of a program; raises GraftError G0707 naming the line."""
    lines = list(_lines(text))
    labels: dict[str, int] = {}
    at = 0
    for line in lines:
        if line.label:
            if line.label in labels and line.label != "exit":
                raise line.error(f"label `{line.label}` is defined twice")
            labels[line.label] = at
        else:
            if line.mnemonic == "exit":
                labels.setdefault("exit", at)
            at += 2 if line.mnemonic == "lddw" else 1
    code: list[Instruction] = []
    for line in lines:
        if not line.label:
            code += line.encode(len(code), labels)
    return isa.encode(code)


def _lines(text: str) -> Iterator[_Line]:
    for number, raw in enumerate(text.splitlines(), 1):
        content = raw.partition("#")[0].strip()
        if match := _LABEL.match(content):
            yield _Line(number, "", (), match[1])
            content = content[match.end() :].strip()
        if content:
            mnemonic, *operands = _WORDS.split(content)
            yield _Line(number, mnemonic, tuple(operands))


@dataclass(frozen=True, slots=True)
class _Line:
    """A label, or an instruction with its operands as they are written."""

    number: int
    mnemonic: str
    operands: tuple[str, ...]
    label: str = ""

    def error(self, message: str) -> GraftError:
        return fail("G0707", f"line {self.number}: {message}")

    def encode(self, pc: int, labels: dict[str, int]) -> list[Instruction]:
        """Return the slots of an instruction that stands at slot `pc`."""
        name, narrow = self.mnemonic, False
        if name == "lock":
            return [self._lock()]
        if name in _MOVSX:
            return [self._movsx(*_MOVSX[name])]
        if name in ("exit", "call", "ja", "ja32", "lddw", "neg", "neg32"):
            return self._special(pc, labels)
        if match := re.fullmatch(r"(le|be|bswap|swap)(16|32|64)", name):
            self._expect(1)
            return [Instruction(_SWAPS[match[1]], self._register(0), 0, 0, int(match[2]))]
        if match := re.fullmatch(r"(ldx|ldxs|stx|st)(b|h|w|dw)", name):
            return [self._access(match[1], _SIZES[match[2]])]
        if name.endswith("32"):
            name, narrow = name.removesuffix("32"), True
        if name in _ALU:
            self._expect(2)
            offset = 1 if name in ("sdiv", "smod") else 0
            return [self._operand(_ALU[name] | (isa.ALU32 if narrow else isa.ALU64), 1, offset)]
        if name in _JUMPS:
            self._expect(3)
            offset = self._target(2, pc, labels, self._offset)
            return [self._operand(_JUMPS[name] | (isa.JMP32 if narrow else isa.JMP), 1, offset)]
        raise self.error(f"there is no instruction `{self.mnemonic}`")

    def _special(self, pc: int, labels: dict[str, int]) -> list[Instruction]:
        match self.mnemonic:
            case "exit":
                self._expect(0)
                return [Instruction(isa.EXIT, 0, 0, 0, 0)]
            case "call":
                return [self._call(pc, labels)]
            case "ja":
                self._expect(1)
                return [Instruction(isa.JA, 0, 0, self._target(0, pc, labels, self._offset), 0)]
            case "ja32":
                self._expect(1)
                return [Instruction(isa.JA32, 0, 0, 0, self._target(0, pc, labels, self._immediate))]
            case "lddw":
                self._expect(2)
                value = self._number(self.operands[1], -(1 << 63), (1 << 64) - 1)
                low, high = _signed(value, 32), _signed(value >> 32, 32)
                return [Instruction(isa.LDDW, self._register(0), 0, 0, low), Instruction(0, 0, 0, 0, high)]
            case _:
                self._expect(1)
                klass = isa.ALU64 if self.mnemonic == "neg" else isa.ALU32
                return [Instruction(klass | 0x80, self._register(0), 0, 0, 0)]

    def _movsx(self, bits: int, from_bits: int) -> Instruction:
        self._expect(2)
        klass = isa.ALU64 if bits == 64 else isa.ALU32
        return Instruction(klass | isa.X | _ALU["mov"], self._register(0), self._register(1), from_bits, 0)

    def _call(self, pc: int, labels: dict[str, int]) -> Instruction:
        match self.operands:
            case ("local", _):
                return Instruction(isa.CALL, 0, isa.CALL_LOCAL, 0, self._target(1, pc, labels, self._immediate))
            case ("runtime", number):
                return Instruction(isa.CALL, 0, _CALL_RUNTIME, 0, self._immediate(number))
            case (target,) if target.startswith("%"):
                return Instruction(isa.CALLX, self._register(0), 0, 0, 0)
            case (number,):
                return Instruction(isa.CALL, 0, isa.CALL_HELPER, 0, self._immediate(number))
        raise self.error("`call` takes a number, a register, `local` and a label, or `runtime` and a number")

    def _access(self, kind: str, size: int) -> Instruction:
        self._expect(2)
        if kind.startswith("ldx"):
            base, offset = self._memory(1)
            mode = isa.MODE_MEM if kind == "ldx" else isa.MODE_MEMSX
            return Instruction(isa.LDX | mode | size, self._register(0), base, offset, 0)
        base, offset = self._memory(0)
        if kind == "stx":
            return Instruction(isa.STX | isa.MODE_MEM | size, base, self._register(1), offset, 0)
        return Instruction(isa.ST | isa.MODE_MEM | size, base, 0, offset, self._immediate(self.operands[1]))

    def _lock(self) -> Instruction:
        fetch = bool(self.operands) and self.operands[0] == "fetch"
        rest = self.operands[1:] if fetch else self.operands
        if len(rest) != 3:
            raise self.error("`lock` takes an operation, an address and a register")
        name = rest[0].removesuffix("32")
        if name not in _ATOMICS:
            raise self.error(f"there is no atomic operation `{rest[0]}`")
        size = isa.SIZE_W if rest[0].endswith("32") else isa.SIZE_DW
        line = _Line(self.number, self.mnemonic, rest)
        base, offset = line._memory(1)
        imm = _ATOMICS[name] | (isa.FETCH if fetch else 0)
        return Instruction(isa.STX | isa.MODE_ATOMIC | size, base, line._register(2), offset, imm)

    # --- operands ----------------------------------------------------------------------------------------------------

    def _expect(self, count: int) -> None:
        if len(self.operands) != count:
            raise self.error(f"`{self.mnemonic}` takes {count} operands, not {len(self.operands)}")

    def _operand(self, opcode: int, place: int, offset: int) -> Instruction:
        """Return an instruction on register 0 whose other operand, at `place`, is a register or an immediate."""
        text = self.operands[place]
        if text.startswith("%"):
            return Instruction(opcode | isa.X, self._register(0), self._register(place), offset, 0)
        return Instruction(opcode, self._register(0), 0, offset, self._immediate(text))

    def _register(self, place: int) -> int:
        match = _REGISTER.fullmatch(self.operands[place])
        if not match:
            raise self.error(f"expected a register, not `{self.operands[place]}`")
        return self._existing(match[1])

    def _existing(self, digits: str) -> int:
        if int(digits) >= isa.REGISTERS:
            raise self.error(f"register %r{digits} does not exist")
        return int(digits)

    def _memory(self, place: int) -> tuple[int, int]:
        match = _MEMORY.fullmatch(self.operands[place])
        if not match:
            raise self.error(f"expected an address like [%r1+4], not `{self.operands[place]}`")
        offset = self._offset(match[2] + match[3]) if match[2] else 0
        return self._existing(match[1]), offset

    def _target(self, place: int, pc: int, labels: dict[str, int], number: Callable[[str], int]) -> int:
        """Return the distance of a jump: relative as it stands, or to a label."""
        text = self.operands[place]
        if _NUMBER.fullmatch(text):
            return number(text)
        if text not in labels:
            raise self.error(f"there is no label `{text}`")
        return labels[text] - pc - 1

    def _offset(self, text: str) -> int:
        return self._number(text, -(1 << 15), (1 << 15) - 1)

    def _immediate(self, text: str) -> int:
        return _signed(self._number(text, -(1 << 31), (1 << 32) - 1), 32)

    def _number(self, text: str, low: int, high: int) -> int:
        if not _NUMBER.fullmatch(text):
            raise self.error(f"expected a number, not `{text}`")
        value = int(text, 16 if "x" in text.lower() else 10)
        if not low <= value <= high:
            raise self.error(f"{text} is not from {low} to {high}")
        return value


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> bits - 1 else value
