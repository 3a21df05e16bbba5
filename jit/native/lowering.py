"""One verified handler -> LLVM IR as text.

The function that comes out is entered and left like the interpreter's loop, over the same memory and with the same
addresses, so one embedder serves both:

    i64 @NAME(ptr context, ptr body, ptr stack, ptr maps, ptr registers, ptr frames, ptr control, ptr counts)

It returns EXITED with r0 in `registers[0]`, or HELPER with the call's number in `control.helper` and its arguments in
`registers[1..5]`; the embedder puts the result into `registers[0]` and calls again. `control.pc` says where to go on:
-1, -2, ... behind a helper call; anything else is the start (`machine.begin` leaves no negative number there).

**No checks.** Every access, every divisor that is known not to be 0, every handle is as proved (`facts`), and a block
that no state describes is `unreachable`. What the proof does not know is computed in general (`arithmetic`), so nothing
here is undefined behaviour in LLVM's sense.

**What the embedder promises**, beside what the verifier takes for granted (a body of at most `limits.BODY_BYTES`, a
context as `machine.write_context` writes it, results of helpers within what `hooks` says): the eight windows do not
overlap, and but for raw hooks without alignment, context and body are 8-aligned.

**Calls.** Local functions are expanded where they are called, which makes resumption a jump: at a helper call r6 to r9
of every active frame are saved in `frames`. The stack is memory of this function's own where no outside helper can look
at it (LLVM then keeps it in registers), else the machine's window, frame by frame as in the interpreter.

**Counting**, if wanted: instructions by class are summed in registers, a block at a time, and added to `counts` and
`control.instructions` when the function returns; calls by helper at each call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from grafting import limits
from grafting.diagnostics import InternalError, fail
from grafting.hooks import Result
from grafting.isa import (
    AluOp,
    Atomic,
    AtomicOp,
    Branch,
    ByteSwap,
    CallHelper,
    CallLocal,
    Exit,
    Goto,
    Load,
    LoadImm64,
    LoadMap,
    LoadMapValue,
    MoveSx,
    Operation,
    Store,
    cost_class,
)
from grafting.program import Handler
from jit import memory
from jit.machine import CLASSES, EXITED
from jit.memory import BODY, CONTEXT, FRAMES, MAPS, STACK, STACK_BYTES
from jit.native import arithmetic, helpers
from jit.native.facts import Facts
from jit.native.text import WORD, Text
from jit.native.windows import Window, pointer, windows
from jit.predecode import HELPER_PLACE
from verifier import Verified, flow

ARGUMENTS: Final = ("context", "body", "stack", "maps", "registers", "frames", "control", "counts")
SLOT: Final = "; slot "  # begins a comment that says which instruction the following is made of: for `listing`
_SAVED: Final = range(6, 10)  # what a local call preserves

_ATOMICS: Final = {
    AtomicOp.ADD: "add", AtomicOp.OR: "or", AtomicOp.AND: "and", AtomicOp.XOR: "xor", AtomicOp.XCHG: "xchg",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Native:
    """The IR of one handler. `maps`: whose operations it calls. `long`: whether it has loops, or many instructions."""

    text: str
    maps: frozenset[int]
    long: bool


@dataclass(frozen=True, slots=True)
class _Instance:
    """One expansion of a function: its blocks' labels, where it returns to, the calls around it."""

    number: int
    entry: int
    following: str
    outer: _Instance | None

    @property
    def chain(self) -> tuple[_Instance, ...]:
        """The calls that are active in it, the outermost first: all but the handler's own code."""
        return () if self.outer is None else (*self.outer.chain, self)

    @property
    def depth(self) -> int:
        return len(self.chain)

    def label(self, pc: int) -> str:
        return f"b{self.number}_{pc}"

    def saved(self, register: int) -> str:
        """Return the place of a register of the caller."""
        return f"%s{self.number}_{register}"


def handler_ir(
    verified: Verified,
    handler: Handler,
    facts: Facts,
    symbol: str,
    rows: Sequence[Mapping[str, int]],
    *,
    counting: bool,
) -> Native:
    """Return the code of one handler. `rows` describes the program's maps (`map_code.layout`).

    `counting`: count instructions by class and calls by helper, as `Machine.counts` has them. Raises GraftError G0710
    if its local functions, expanded, are too long.
    """
    return _Lowering(verified, handler, facts, symbol, rows, counting).native()


class _Lowering:
    def __init__(
        self,
        verified: Verified,
        handler: Handler,
        facts: Facts,
        symbol: str,
        rows: Sequence[Mapping[str, int]],
        counting: bool,
    ) -> None:
        self.handler, self.hook, self.facts = handler, handler.hook, facts
        self.symbol, self.rows, self.counting = symbol, rows, counting
        self.operations: Mapping[int, Operation] = handler.operations
        self.text = Text()
        self.functions: dict[int, flow.Function] = {}
        self.instances = 0
        self.expanded = 0
        self.resumes: list[str] = []
        self.external = helpers.leaves(handler)
        self.instance = self._expansion(0, "", None)

    # --- the function as a whole -------------------------------------------------------------------------------------

    def native(self) -> Native:
        text = self.text
        text.entry += [f"%r{number} = alloca i64" for number in range(10)]
        if self.counting:
            for counter in range(CLASSES):
                text.entry += [f"%c{counter} = alloca i64", f"store i64 0, ptr %c{counter}"]
        text.label("start")
        self._hook_registers()
        text.jump(self.instance.label(0))
        todo = [self.instance]
        while todo:
            todo += self._write(todo.pop())
        maps = frozenset().union(*self.facts.maps.values())
        loops = any(isinstance(e, flow.Component) for f in self.functions.values() for e in f.elements)
        return Native(self._function(), maps, loops or self.expanded > limits.NATIVE_QUICK)

    def _function(self) -> str:
        entry = list(self.text.entry)
        if not self.external:
            entry.append(f"%own = alloca [{FRAMES * STACK_BYTES} x i8], align 8")
        if self.resumes:
            cases = " ".join(f"i64 {-number}, label %{label}" for number, label in enumerate(self.resumes, 1))
            entry += [
                f"%pc.at = getelementptr inbounds i8, ptr %control, i64 {helpers.control_offset('pc')}",
                "%pc = load i64, ptr %pc.at, align 8",
                f"switch i64 %pc, label %start [ {cases} ]",
            ]
        else:
            entry.append("br label %start")
        parameters = ", ".join(f"ptr {self._attributes(name)} %{name}" for name in ARGUMENTS)
        return "\n".join(
            [
                f"define i64 @{self.symbol}({parameters}) nounwind noinline {{",
                *(f"  {line}" for line in entry),
                *self.text.body,
                "}",
            ]
        )

    def _attributes(self, name: str) -> str:
        """Return what LLVM may know of a window."""
        found = "noalias captures(none)"
        if (name == "context" or (name == "body" and self.hook.memory == "context")) and not self.hook.context_writable:
            found += " readonly"
        if name not in ("context", "body") or self.hook.aligned:
            found += " align 8"
        if name == "context" and self.hook.memory == "context" and self.hook.context_bytes:
            found += f" dereferenceable({self.hook.context_bytes})"
        return found

    def _hook_registers(self) -> None:
        """Set the registers as the hook does."""
        if self.hook.memory == "memory":
            size = self.hook.context_bytes
            self.text.set(1, str(memory.address(BODY) if size else 0))
            self.text.set(2, str(size))
        else:
            self.text.set(1, str(memory.address(CONTEXT)))

    # --- functions and blocks ----------------------------------------------------------------------------------------

    def _expansion(self, entry: int, following: str, outer: _Instance | None) -> _Instance:
        self.instances += 1
        return _Instance(self.instances, entry, following, outer)

    def _write(self, instance: _Instance) -> list[_Instance]:
        """Write all blocks of an expansion; returns the expansions that it calls."""
        self.instance = instance
        self.text.frame_pointer = memory.address(STACK + instance.depth, STACK_BYTES)
        if instance.entry not in self.functions:
            self.functions[instance.entry] = flow.function(self.operations, instance.entry)
        called: list[_Instance] = []
        for start, block in self.functions[instance.entry].blocks.items():
            self.text.label(instance.label(start))
            if (instance.depth, start) not in self.facts.reached:
                self.text.emit("unreachable")
                continue
            self.expanded += len(block.pcs)
            if self.expanded > limits.NATIVE_SLOTS:
                raise fail("G0710", f"`{self.handler.name}` has more than {limits.NATIVE_SLOTS} instructions once its "
                           "local functions are expanded", helps=("run it in the interpreter",))  # fmt: skip
            called += self._block(block)
        return called

    def _block(self, block: flow.Block) -> list[_Instance]:
        counted: list[Operation] = []
        for pc in block.pcs:
            op = self.operations[pc]
            self.text.emit(f"{SLOT}{pc}")
            counted.append(op)
            if isinstance(op, CallHelper) or pc == block.pcs[-1]:
                self._count(counted)
                counted = []
            match op:
                case Goto(target):
                    self.text.jump(self.instance.label(target))
                    return []
                case Branch(target=target):
                    holds = arithmetic.condition(self.text, op)
                    self.text.jump_if(holds, self.instance.label(target), self.instance.label(pc + 1))
                    return []
                case CallLocal(target):
                    return [self._call(pc, target)]
                case Exit():
                    self._exit()
                    return []
                case CallHelper(number) if helpers.result_of(self.hook, number) is Result.NEVER:
                    self._count_helper(number)
                    self._return()
                    return []
                case _:
                    self._instruction(pc, op)
        self.text.jump(self.instance.label(block.successors[0]))
        return []

    # --- instructions ------------------------------------------------------------------------------------------------

    def _instruction(self, pc: int, op: Operation) -> None:
        """Write an instruction that goes on to the next one."""
        text = self.text
        match op:
            case AluOp():
                arithmetic.alu(text, op, nonzero=(self.instance.depth, pc) in self.facts.nonzero)
            case MoveSx():
                arithmetic.move_sign_extended(text, op)
            case ByteSwap():
                arithmetic.byte_swap(text, op)
            case LoadImm64(dst, value):
                text.set(dst, str(value & WORD))
            case LoadMap(dst, index):
                text.set(dst, str(memory.address(memory.HANDLE_BASE + index)))
            case LoadMapValue(dst, index, offset):
                text.set(dst, str(memory.address(MAPS + index, offset)))
            case Load():
                self._load(pc, op)
            case Store(size, base, offset, source):
                at = self._pointer(pc, base, offset)
                text.emit(f"store i{8 * size} {text.operand(source, 8 * size)}, ptr {at}, align {self._align(size)}")
            case Atomic():
                self._atomic(pc, op)
            case CallHelper(number):
                self._helper(pc, number)
            case _:
                raise InternalError(f"no native code for {op}")

    def _align(self, size: int) -> int:
        return size if self.hook.aligned else 1

    def _load(self, pc: int, op: Load) -> None:
        if (self.instance.depth, pc) in self.facts.data:
            self.text.set(op.dst, str(memory.address(BODY)))
            return
        bits = 8 * op.size
        at = self._pointer(pc, op.base, op.offset)
        value = self.text.value(f"load i{bits}, ptr {at}, align {self._align(op.size)}")
        if bits < 64:
            value = self.text.value(f"{'sext' if op.signed else 'zext'} i{bits} {value} to i64")
        self.text.set(op.dst, value)

    def _atomic(self, pc: int, op: Atomic) -> None:
        """Write an atomic; without alignment LLVM has none, and the memory is the caller's alone."""
        text, bits = self.text, 8 * op.size
        at = self._pointer(pc, op.base, op.offset)
        operand = text.low(op.src, bits)
        if op.op is AtomicOp.CMPXCHG:
            text.set_low(0, bits, self._exchange_if(at, bits, text.low(0, bits), operand))
            return
        if self.hook.aligned:
            before = text.value(f"atomicrmw {_ATOMICS[op.op]} ptr {at}, i{bits} {operand} seq_cst, align {op.size}")
        else:
            before = text.value(f"load i{bits}, ptr {at}, align 1")
            after = operand
            if op.op is not AtomicOp.XCHG:
                after = text.value(f"{_ATOMICS[op.op]} i{bits} {before}, {operand}")
            text.emit(f"store i{bits} {after}, ptr {at}, align 1")
        if op.fetch:
            text.set_low(op.src, bits, before)

    def _exchange_if(self, at: str, bits: int, expected: str, new: str) -> str:
        """Write a compare-and-exchange; returns what was there."""
        text = self.text
        if self.hook.aligned:
            both = text.value(f"cmpxchg ptr {at}, i{bits} {expected}, i{bits} {new} seq_cst seq_cst, align {bits // 8}")
            return text.value(f"extractvalue {{ i{bits}, i1 }} {both}, 0")
        before = text.value(f"load i{bits}, ptr {at}, align 1")
        same = text.value(f"icmp eq i{bits} {before}, {expected}")
        after = text.value(f"select i1 {same}, i{bits} {new}, i{bits} {before}")
        text.emit(f"store i{bits} {after}, ptr {at}, align 1")
        return before

    # --- addresses ---------------------------------------------------------------------------------------------------

    def _windows(self, pc: int, register: int) -> list[Window]:
        regions = self.facts.regions.get((self.instance.depth, pc, register), frozenset())
        return windows(regions, self.rows, "stack" if self.external else "own")

    def _pointer(self, pc: int, register: int, offset: int = 0) -> str:
        """Return the machine address of `offset` bytes from where a register points."""
        address = self.text.get(register)
        if offset:
            address = self.text.value(f"add i64 {address}, {offset}")
        return pointer(self.text, self._windows(pc, register), address)

    # --- calls -------------------------------------------------------------------------------------------------------

    def _call(self, pc: int, target: int) -> _Instance:
        text, outer = self.text, self.instance
        inner = self._expansion(target, f"after{self.instances}", outer)
        for register in _SAVED:
            text.entry.append(f"{inner.saved(register)} = alloca i64")
            text.put_word(text.get(register), inner.saved(register))
        text.jump(inner.label(target))
        text.label(inner.following)
        for register in _SAVED:
            text.set(register, text.word_at(inner.saved(register)))
        text.jump(outer.label(pc + 1))
        return inner

    def _exit(self) -> None:
        if self.instance.outer is not None:
            self.text.jump(self.instance.following)
        else:
            self._return()

    def _return(self) -> None:
        """End the activation with r0."""
        self._flush()
        self.text.put_word(self.text.get(0), "%registers")
        self.text.emit(f"ret i64 {EXITED}")

    def _helper(self, pc: int, number: int) -> None:
        self._count_helper(number)
        text = self.text
        match number:
            case 1 | 2 | 3:
                maps = sorted(self.facts.maps[self.instance.depth, pc, 1])
                places = [self._pointer(pc, register) for register in ((2, 3) if number == 2 else (2,))]
                helpers.map_operation(text, number, maps, self.rows, places)
            case 5:
                text.set(0, text.word_at(helpers.control(text, "now_ns")))
            case 1008:
                to, from_ = self._windows(pc, 1), self._windows(pc, 2)
                helpers.copy(text, to, from_)
            case 1009:
                helpers.fill(text, self._windows(pc, 1))
            case _:
                kept = [f"%r{register}" for register in _SAVED]
                kept += [inner.saved(register) for inner in self.instance.chain for register in _SAVED]
                self.resumes.append(text.fresh("resume"))
                arguments = helpers.arguments_of(self.hook, number)
                helpers.hand_over(text, number, arguments, kept, -len(self.resumes))
                self._flush()
                helpers.leave(text, kept, self.resumes[-1])

    # --- counting ----------------------------------------------------------------------------------------------------

    def _count(self, operations: list[Operation]) -> None:
        if not self.counting:
            return
        by_class = [0] * CLASSES
        for op in operations:
            by_class[cost_class(op)] += 1
        for counter, count in enumerate(by_class):
            if count:
                self.text.add_to(f"%c{counter}", str(count))

    def _count_helper(self, number: int) -> None:
        if self.counting:
            self.text.add_to(self.text.word("counts", CLASSES + HELPER_PLACE[number]), "1")

    def _flush(self) -> None:
        """Add what was counted since the function was entered."""
        if not self.counting:
            return
        instructions = helpers.control(self.text, "instructions")
        for counter in range(CLASSES):
            count = self.text.word_at(f"%c{counter}")
            self.text.add_to(self.text.word("counts", counter), count)
            self.text.add_to(instructions, count)
