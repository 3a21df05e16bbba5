"""LLVM IR as text: one function under construction.

Text rather than `llvmlite.ir`: it is ten times faster to make, and debug metadata stays in our hands. The types below
keep the three kinds of operand apart, so that mypy finds a pointer used as a number.

A value of the language lives in an `i64`, zero- or sign-extended by its type (a bool in an `i1`). One width everywhere
means that a comparison and the access that it guards use the very same register, which is what a bytecode verifier can
follow; narrow registers would be masked once for the test and once more for the use.

    f = Function("graft/timer", "timer", locations)
    total = f.number("add i64 1, 2")
    f.ret(total)
    f.text()
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NewType

from grafting.checking.facts import Memory
from grafting.diagnostics import NO_SPAN, InternalError, Span

Number = NewType("Number", str)  # an i64 operand
Flag = NewType("Flag", str)  # an i1 operand
Pointer = NewType("Pointer", str)  # a ptr operand
Label = NewType("Label", str)  # a basic block

TRUE, FALSE = Flag("true"), Flag("false")


def constant(value: int) -> Number:
    """Return `value`, taken modulo 2**64, as an operand."""
    value &= (1 << 64) - 1
    return Number(str(value - (1 << 64) if value >> 63 else value))


def string(data: bytes) -> str:
    """Return `data` as an LLVM string literal."""
    return '"' + "".join(chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\{b:02X}" for b in data) + '"'


class Function:
    """`i64 @symbol(ptr %ctx)` in a section of its own, built block by block.

    `locate` maps a span to the number of a `!DILocation` of this function. Instructions after a terminator are
    dropped until the next `begin`: code after `return` has no block to be in.
    """

    def __init__(self, section: str, symbol: str, subprogram: int, locate: Callable[[Span], int]) -> None:
        self._head = f'define dso_local i64 @{symbol}(ptr %ctx) #0 section "{section}" !dbg !{subprogram} {{'
        self._locate = locate
        self._span = NO_SPAN
        self._allocas: list[str] = []  # of scalars: LLVM makes registers of them
        self._declared: list[str] = []  # debug records: which variable is in which stack memory
        self._memory: dict[Pointer, int] = {}  # bytes
        self._lines: list[str] = []
        self._names = 0
        self._open = True
        self.available: set[Memory] = set()  # places whose value a slot holds, whichever way has led here
        self._begun: set[Label] = set()
        self._arriving: dict[Label, set[Memory]] = {}  # the same at blocks that have been jumped to
        self.here = Label("start")
        self.context = Pointer("%ctx")

    # --- positions ---------------------------------------------------------------------------------------------------

    def at(self, span: Span) -> None:
        """Give the instructions that follow this place in the source."""
        if span.known:
            self._span = span

    def label(self, hint: str) -> Label:
        """Return a new label, for a block that `begin` will start."""
        self._names += 1
        return Label(f"{hint}{self._names}")

    def begin(self, label: Label) -> None:
        """Start the block `label`; a block that is still open falls through to it.

        A block that nothing has jumped to so far is dead, and is not made at all.
        """
        if self._open:
            self.jump(label)
        if label in self._arriving:
            self._lines.append(f"{label}:")
            self._open = True
            self.here = label
            self.available = set(self._arriving[label])
            self._begun.add(label)

    @property
    def open(self) -> bool:
        """Whether the next instruction can be reached at all."""
        return self._open

    # --- instructions ------------------------------------------------------------------------------------------------

    def _emit(self, text: str) -> None:
        if self._open:
            place = f", !dbg !{self._locate(self._span)}" if self._span.known else ""
            self._lines.append(f"  {text}{place}")

    def _result(self, text: str) -> str:
        self._names += 1
        name = f"%v{self._names}"
        self._emit(f"{name} = {text}")
        return name

    def number(self, text: str) -> Number:
        """Append an instruction whose result is an i64."""
        return Number(self._result(text))

    def narrow(self, text: str) -> str:
        """Append an instruction whose result is an integer of another width than 1 and 64."""
        return self._result(text)

    def flag(self, text: str) -> Flag:
        """Append an instruction whose result is an i1."""
        return Flag(self._result(text))

    def pointer(self, text: str) -> Pointer:
        """Append an instruction whose result is a ptr."""
        return Pointer(self._result(text))

    def opaque(self, value: Number) -> Number:
        """Return `value` in a register of which LLVM knows nothing, not even what it was computed from."""
        return self.number(f'call i64 asm "", "=r,0"(i64 {value})')

    def effect(self, text: str) -> None:
        """Append an instruction without a result."""
        self._emit(text)

    def phi(self, type_: str, *incoming: tuple[str, Label]) -> str:
        """Append a phi: each value with the block that it comes from."""
        return self._result(f"phi {type_} " + ", ".join(f"[ {value}, %{label} ]" for value, label in incoming))

    def alloca(self, type_: str) -> Pointer:
        """Return a new slot for a scalar, made in the entry block."""
        self._names += 1
        name = f"%s{self._names}"
        self._allocas.append(f"  {name} = alloca {type_}, align 8")
        return Pointer(name)

    def memory(self, size: int) -> Pointer:
        """Return `size` bytes of new 8-aligned stack memory, rounded up to whole words."""
        self._names += 1
        name = Pointer(f"%m{self._names}")
        self.widen(name, size)
        return name

    def widen(self, memory: Pointer, size: int) -> None:
        """Make stack memory that `memory` returned larger, if need be: code that has its address need not know."""
        self._memory[memory] = max(self._memory.get(memory, 8), size + 7 & ~7)

    def memory_size(self, memory: Pointer) -> int:
        """Return how many bytes there are at an address that `memory` returned."""
        return self._memory[memory]

    @property
    def memory_bytes(self) -> int:
        """All stack memory of the function, bytes."""
        return sum(self._memory.values())

    def offset(self, base: Pointer, offset: Number | int) -> Pointer:
        """Return `base` moved by `offset` bytes. Never `inbounds`: an address out of range is not undefined."""
        if offset == 0:
            return base
        return self.pointer(f"getelementptr i8, ptr {base}, i64 {offset}")

    # --- names, for debuggers; they change no code -------------------------------------------------------------------

    def declare(self, place: Pointer, variable: int, span: Span) -> None:
        """Say that a `DILocalVariable` lives in a slot or in stack memory, from the beginning on."""
        self._declared.append(f"  #dbg_declare(ptr {place}, !{variable}, !DIExpression(), !{self._locate(span)})")

    def name(self, operand: str, offset: int, variable: int, span: Span) -> None:
        """Say that from here on a `DILocalVariable` is `operand` (typed: `i64 %v3`, `ptr %v7`) plus `offset`."""
        if self._open:
            moved = f"DW_OP_plus_uconst, {offset}, DW_OP_stack_value" if offset else ""
            self._lines.append(f"  #dbg_value({operand}, !{variable}, !DIExpression({moved}), !{self._locate(span)})")

    # --- control -----------------------------------------------------------------------------------------------------

    def jump(self, to: Label) -> None:
        """End the block by a jump."""
        self._emit(f"br label %{to}")
        self._leave(to)

    def branch(self, condition: Flag, yes: Label, no: Label) -> None:
        """End the block by a conditional jump."""
        self._emit(f"br i1 {condition}, label %{yes}, label %{no}")
        self._leave(yes, no)

    def ret(self, value: Number) -> None:
        """End the block by leaving the handler."""
        self._emit(f"ret i64 {value}")
        self._leave()

    def _leave(self, *targets: Label) -> None:
        if self._open:
            for target in targets:
                self._arrive(target)
        self._open = False

    def _arrive(self, target: Label) -> None:
        """Note what is available on one more way to a block."""
        before = self._arriving.get(target, self.available)
        common = before & self.available
        if target in self._begun and common != before:
            raise InternalError("a value is no longer available at the head of a loop where it was used")
        self._arriving[target] = common

    def text(self) -> str:
        """Return the finished function."""
        memory = [f"  {name} = alloca [{size} x i8], align 8" for name, size in self._memory.items()]
        entry = ["entry:", *self._allocas, *memory, *self._declared, "  br label %start", "start:"]
        return "\n".join([self._head, *entry, *self._lines, "}"])
