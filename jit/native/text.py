"""One LLVM function under construction, and the registers of the program in it.

A register is an `alloca` of its own; LLVM's first pass makes values of them. `entry` is what stands before everything:
allocas, and where to go on after a helper.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from grafting.isa import FRAME_POINTER, Imm, Operand, Reg

WORD = (1 << 64) - 1


@dataclass(slots=True)
class Text:
    """Lines of IR. `frame_pointer` is what r10 holds in the code being written: a constant."""

    entry: list[str] = field(default_factory=list)
    body: list[str] = field(default_factory=list)
    values: int = 0
    frame_pointer: int = 0

    def emit(self, line: str) -> None:
        """Append an instruction that has no result."""
        self.body.append(f"  {line}")

    def value(self, instruction: str) -> str:
        """Append an instruction; returns the name of its result."""
        name = self.fresh("%v")
        self.body.append(f"  {name} = {instruction}")
        return name

    def label(self, name: str) -> None:
        """Begin a block."""
        self.body.append(f"{name}:")

    def fresh(self, stem: str) -> str:
        """Return a name that is used nowhere else."""
        self.values += 1
        return f"{stem}{self.values}"

    def jump(self, label: str) -> None:
        """End a block by going to another."""
        self.emit(f"br label %{label}")

    def jump_if(self, condition: str, label: str, otherwise: str) -> None:
        """End a block by going to one of two."""
        self.emit(f"br i1 {condition}, label %{label}, label %{otherwise}")

    # --- memory of our own -------------------------------------------------------------------------------------------

    def word_at(self, at: str) -> str:
        """Load a word from a pointer."""
        return self.value(f"load i64, ptr {at}, align 8")

    def put_word(self, value: str, at: str) -> None:
        """Store a word."""
        self.emit(f"store i64 {value}, ptr {at}, align 8")

    def add_to(self, at: str, amount: str) -> None:
        """Add to the word at a pointer."""
        self.put_word(self.value(f"add i64 {self.word_at(at)}, {amount}"), at)

    def word(self, base: str, index: int) -> str:
        """Return the pointer to word `index` of an array."""
        return self.value(f"getelementptr inbounds i64, ptr %{base}, i64 {index}")

    # --- registers ---------------------------------------------------------------------------------------------------

    def get(self, register: int) -> str:
        """Return what a register holds."""
        return str(self.frame_pointer) if register == FRAME_POINTER else self.word_at(f"%r{register}")

    def low(self, register: int, bits: int) -> str:
        """Return the low bits of a register."""
        whole = self.get(register)
        return whole if bits == 64 else self.value(f"trunc i64 {whole} to i{bits}")

    def operand(self, source: Operand, bits: int) -> str:
        """Return an operand in `bits` bits: immediates are sign-extended, then cut off."""
        match source:
            case Imm(value):
                return str(value & ((1 << bits) - 1))
            case Reg(number):
                return self.low(number, bits)

    def set(self, register: int, value: str) -> None:
        """Let a register hold a word."""
        self.put_word(value, f"%r{register}")

    def set_low(self, register: int, bits: int, value: str) -> None:
        """Let a register hold a narrower value, zero-extended."""
        self.set(register, value if bits == 64 else self.value(f"zext i{bits} {value} to i64"))
