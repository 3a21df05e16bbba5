"""Numbers written as a reader of the source would: `8*i+8` for what `r5` holds.

`Reckoner` follows a way (`path`) once, instruction by instruction, and keeps for each register and stack slot the sum
that it holds: a constant and multiples of *leaves*. A leaf is one word that some execution computed and of which
nothing simpler is known: what was loaded, what a helper returned, what a loop changes. An address counts by its offset
from its region's base, so that the offset of an access reads the same whether or not a compiler has folded it:

    r5 = r3; r5 <<= 3; r5 += r2; r0 = *(u64 *)(r5 + 8)        the access begins at 8*r3 + 8 of what r2 points to

**Why it is right.** The rules are those of modular arithmetic, a 32-bit operation being followed only where the states
show that nothing wraps. At the head of a summarised loop what a round changes is a new leaf. Two registers to each of
which one block of the loop adds a constant, and nothing else in the loop writes, run along: with strides s and t,
`b - b0 = (t / s) * (a - a0)` at the head however often the loop has run; so the byte offset that a compiler made out of
an index is written with the index. What a leaf may be is gathered from the states on the way: words do not change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from grafting.isa import (
    Alu,
    AluOp,
    Atomic,
    AtomicOp,
    Branch,
    CallHelper,
    CallLocal,
    Exit,
    Imm,
    Load,
    LoadImm64,
    LoadMap,
    LoadMapValue,
    Operand,
    Operation,
    Reg,
    Store,
    width,
)
from verifier import scalar as scalars
from verifier import stack as stacks
from verifier.explore import Imprecision
from verifier.flow import Component, Element, Function, uses_and_definition
from verifier.path import Agreed, Arrived, Step, Way
from verifier.pointers import Kind
from verifier.scalar import UNKNOWN, Scalar
from verifier.state import State
from verifier.terms import wrap
from verifier.values import Handle, Number, Pointer, Value

TERMS = 3  # leaves of one sum; a longer one is a leaf itself
_NESTED = 3  # operations in a leaf's text; how a deeper one was computed is not kept
_LARGE = 1 << 40  # a greater factor or constant is no help to a reader
_LOW = (1 << 32) - 1


@dataclass(frozen=True, eq=False, slots=True)
class Leaf:
    """One word. `pc` put it into `register`; at `loop`, the head of a loop, if that is not None.

    `operator` and `operands`: how it was computed, if it was and that is short; `nested` operations deep. `stride`: of
    what each round of the loop adds a constant to, that constant.
    """

    pc: int
    register: int
    loop: int | None = None
    operator: str = ""
    operands: tuple[Sum, ...] = ()
    stride: int = 0
    nested: int = 0


class Sum(NamedTuple):
    """`constant` and the leaves, each so many times. `found`: of an address that a lookup gave, that lookup's leaf."""

    terms: tuple[tuple[Leaf, int], ...] = ()
    constant: int = 0
    found: Leaf | None = None

    @property
    def leaf(self) -> Leaf | None:
        """The leaf that this is, if it is nothing but one."""
        if len(self.terms) == 1 and self.constant == 0 and self.terms[0][1] == 1:
            return self.terms[0][0]
        return None

    def plus(self, other: Sum, times: int = 1) -> Sum | None:
        """Return `self + times * other`, None if it would be too long to be read."""
        factors = dict(self.terms)
        for leaf, factor in other.terms:
            factors[leaf] = wrap(factors.get(leaf, 0) + times * factor)
        constant = wrap(self.constant + times * other.constant)
        terms = tuple((leaf, factor) for leaf, factor in factors.items() if factor)
        if len(terms) > TERMS or any(abs(number) > _LARGE for number in (constant, *(f for _, f in terms))):
            return None
        return Sum(terms, constant, self.found or other.found)

    def times(self, factor: int) -> Sum | None:
        """Return `factor * self`."""
        return Sum().plus(self._replace(found=None), factor)


LENGTH = Leaf(-1, -1)
"""The length of the message body."""


class Decision(NamedTuple):
    """A conditional jump on the way, and both sides of its comparison as sums and as values."""

    pc: int
    taken: bool
    left: Sum
    right: Sum
    left_value: Value
    right_value: Value


_Stack = dict[tuple[int, int], Sum]


@dataclass(slots=True)
class Reckoner:
    """What is held where at the end of a way; see the module.

    `known`: the words that each leaf may be. `copies`: (pc, register): before that instruction the register holds the
    leaf. `lost`: the call in which a register's content was lost, by register.
    """

    operations: Mapping[int, Operation]
    functions: Mapping[int, Function]
    known: dict[Leaf, Scalar] = field(default_factory=dict)
    decisions: list[Decision] = field(default_factory=list)
    registers: list[Sum | None] = field(default_factory=lambda: [None] * 11)
    copies: dict[Leaf, list[tuple[int, int]]] = field(default_factory=dict)
    lost: dict[int, int] = field(default_factory=dict)
    _frames: list[_Stack] = field(default_factory=lambda: [{}])
    _saved: list[list[Sum | None]] = field(default_factory=list)

    def follow(self, way: Way) -> None:
        """Follow a way to its end."""
        for event in way.events:
            match event:
                case Arrived(state):
                    self._arrive(state)
                case Agreed():
                    self._agree(event)
                case Step():
                    self._step(event)
        self._observe(way.state, range(10))

    def held(self, register: int, state: State) -> Sum:
        """Return what a register holds; a leaf of its own if nothing is known of it."""
        found = self.registers[register]
        if found is None:
            found = self._leaf(-1, register, state.registers[register])
            self.registers[register] = found
        return found

    def inside(self, leaf: Leaf, pc: int) -> bool:
        """Return whether an instruction is in the loop that changes a leaf."""
        for function in self.functions.values():
            loop = component_at(function.elements, leaf.loop) if leaf.loop is not None else None
            if loop is not None and any(pc in function.blocks[block].pcs for block in loop.blocks):
                return True
        return False

    def holders(self, leaf: Leaf) -> list[int]:
        """Return the registers that hold a leaf at the end."""
        return [number for number, held in enumerate(self.registers) if held is not None and held.leaf is leaf]

    # --- leaves ------------------------------------------------------------------------------------------------------

    def _leaf(self, pc: int, register: int, value: Value, operator: str = "", operands: tuple[Sum, ...] = ()) -> Sum:
        nested = 1 + max((leaf.nested for operand in operands for leaf, _ in operand.terms), default=0)
        if nested > _NESTED:
            operator, operands = "", ()
        leaf = Leaf(pc, register, operator=operator, operands=operands, nested=nested if operands else 0)
        self._learn(leaf, value)
        return Sum(((leaf, 1),))

    def _learn(self, leaf: Leaf, value: Value) -> None:
        """Note what a state says of a leaf."""
        if isinstance(value, Number | Pointer):
            known = self.known.get(leaf, UNKNOWN)
            both = scalars.meet(known, value.scalar)
            self.known[leaf] = both if both is not None else known

    def _observe(self, state: State, registers: Iterable[int]) -> None:
        for number in registers:
            held = self.registers[number]
            if held is not None and held.leaf is not None:
                self._learn(held.leaf, state.registers[number])

    # --- joins and loops ---------------------------------------------------------------------------------------------

    def _arrive(self, state: State) -> None:
        while len(self._frames) < len(state.frames):  # the way was cut within a call
            self._frames.append({})
            self._saved.append([None] * 4)
        self._observe(state, range(10))
        for number, value in enumerate(state.registers):
            if self.registers[number] is None and isinstance(value, Number | Pointer) and value.scalar.is_constant:
                self.registers[number] = Sum((), value.scalar.smin)

    def _agree(self, event: Agreed) -> None:
        """Forget what is not the same on all paths; relate what a loop changes."""
        before, after = event.before, event.after
        changed = [
            number for number in range(10)
            if not _same(before.registers[number], after.registers[number]) and self.registers[number] is not None
        ]  # fmt: skip
        loop = event.place.block if event.place.loop else None
        starts = {number: held for number in changed if (held := self.registers[number]) is not None}
        for number in changed:
            leaf = Leaf(event.place.block, number, loop)
            self._learn(leaf, after.registers[number])
            self.registers[number] = Sum(((leaf, 1),))
        for depth, frame in enumerate(after.frames[: len(self._frames)]):
            was = before.frames[depth].stack
            for at, size in list(self._frames[depth]):
                slot = (at + stacks.SIZE) // stacks.SLOT
                if was.get(slot) != frame.stack.get(slot):
                    del self._frames[depth][at, size]
        if event.place.loop:
            self._run_along(event.place, after, starts)

    def _run_along(self, place: Imprecision, state: State, starts: Mapping[int, Sum]) -> None:
        """Write each counter of a loop with the one that runs along with it and is compared."""
        for block in _counters(self.operations, self.functions[place.entry], place.block):
            strides = {
                op.dst: op.source.value
                for op in block
                if op.dst in starts and isinstance(op.source, Imm) and _runs_on(op, state.registers[op.dst])
            }
            if not strides:
                continue
            compared = _compared(self.operations, self.functions[place.entry], place.block)
            first = min(strides, key=lambda number: (number not in compared, abs(strides[number]), number))
            leaf = Leaf(place.block, first, place.block, stride=strides[first])
            self._learn(leaf, state.registers[first])
            self.registers[first] = Sum(((leaf, 1),))
            moved = Sum(((leaf, 1),)).plus(starts[first], -1)
            for number, stride in strides.items():
                if number != first and moved is not None and stride % strides[first] == 0:
                    along = starts[number].plus(moved, stride // strides[first])
                    self.registers[number] = along or self.registers[number]

    # --- instructions ------------------------------------------------------------------------------------------------

    def _step(self, event: Step) -> None:
        op, before = self.operations[event.pc], event.before
        match op:
            case Branch():
                if event.taken is not None:
                    self.decisions.append(self._decision(op, event.pc, event.taken, before))
            case CallLocal():
                self._saved.append(self.registers[6:10])
                self._frames.append({})
                self.registers[6:10] = [None] * 4
                self.registers[10] = Sum()
            case Exit():
                if self._saved:
                    self.registers[6:10] = self._saved.pop()
                    self._lose(event.pc)
                    self._frames.pop()
                    self.registers[10] = Sum()
            case Store(size, base, offset, source):
                self._store(before, before.registers[base], offset, size, self._operand(source, before))
            case _ if event.after is not None:
                self._assign(op, event.pc, before, event.after)

    def _lose(self, pc: int) -> None:
        self.registers[1:6] = [None] * 5
        self.lost.update(dict.fromkeys(range(1, 6), pc))

    def _decision(self, op: Branch, pc: int, taken: bool, state: State) -> Decision:
        left, right = self.held(op.dst, state), self._operand(op.source, state)
        value: Value = state.registers[op.source.number] if isinstance(op.source, Reg) else None
        return Decision(pc, taken, left, right, state.registers[op.dst], value)

    def _operand(self, source: Operand, state: State) -> Sum:
        return self.held(source.number, state) if isinstance(source, Reg) else Sum((), source.value)

    def _assign(self, op: Operation, pc: int, before: State, after: State) -> None:
        """Set the register that an instruction sets."""
        if isinstance(op, CallHelper):
            self._observe(before, range(6))
            self._lose(pc)
            found = self._leaf(pc, 0, after.registers[0])
            value = after.registers[0]
            self.registers[0] = Sum((), 0, found.leaf) if isinstance(value, Pointer | Handle) else found
            for depth, frame in enumerate(after.frames[: len(self._frames)]):
                if frame.stack is not before.frames[depth].stack:
                    self._frames[depth].clear()
            return
        if isinstance(op, Atomic):
            self._store(before, before.registers[op.base], op.offset, op.size, None)
        for number in _written(op):
            self._observe(before, (number,))
            held = self._result(op, pc, number, before, after.registers[number])
            self.registers[number] = held
            if held.leaf is not None:
                self.copies.setdefault(held.leaf, []).append((pc + width(op), number))

    def _result(self, op: Operation, pc: int, number: int, before: State, value: Value) -> Sum:
        """Return what an instruction leaves in a register."""
        found: Sum | None = None
        match op:
            case AluOp(Alu.MOV, bits, _, source):
                found = self._operand(source, before)
                if bits == 32 and isinstance(source, Reg) and not _fits(before.registers[source.number]):
                    found = None
                elif bits == 32 and isinstance(source, Imm):
                    found = Sum((), source.value & _LOW)
            case AluOp():
                found = self._alu(op, pc, before, value)
            case LoadImm64(value=word):
                found = Sum((), wrap(word))
            case LoadMap():
                found = Sum()
            case LoadMapValue(offset=offset):
                found = Sum((), offset)
            case Load():
                found = self._load(op, before, value)
            case _:
                pass
        return found if found is not None else self._leaf(pc, number, value)

    def _alu(self, op: AluOp, pc: int, before: State, value: Value) -> Sum | None:
        left, right = self.held(op.dst, before), self._operand(op.source, before)
        a = before.registers[op.dst]
        b = before.registers[op.source.number] if isinstance(op.source, Reg) else None
        found: Sum | None = None
        if op.bits == 64 or _exact(op, a, b):
            match op.op:
                case Alu.ADD:
                    found = left.plus(right)
                case Alu.SUB:
                    same = isinstance(a, Pointer) and isinstance(b, Pointer)
                    found = left.plus(right._replace(found=None), -1)
                    found = found._replace(found=None) if found is not None and same else found
                case Alu.NEG:
                    found = left.times(-1)
                case Alu.MUL if not right.terms:
                    found = left.times(right.constant)
                case Alu.LSH if not right.terms and 0 <= right.constant < 40:
                    found = left.times(1 << right.constant)
                case Alu.AND if _keeps(a, right):
                    found = left
        if isinstance(value, Number) and value.scalar.is_constant:
            return Sum((), value.scalar.smin)
        if found is None and op.op is not Alu.NEG:
            found = self._leaf(pc, op.dst, value, _SIGNS.get(op.op, op.op.value), (left, right))
        return found

    def _load(self, op: Load, before: State, value: Value) -> Sum | None:
        base = before.registers[op.base]
        if isinstance(value, Pointer) and value.region.kind is Kind.BODY and isinstance(base, Pointer):
            if base.region.kind is Kind.CONTEXT:
                return Sum() if value.scalar.is_constant and value.scalar.smin == 0 else Sum(((LENGTH, 1),))
        if isinstance(value, Number) and value.scalar.is_constant:
            return Sum((), value.scalar.smin)
        if isinstance(base, Pointer) and base.region.kind is Kind.STACK and base.scalar.is_constant and not op.signed:
            frame = base.region.frame
            if frame < len(self._frames):
                return self._frames[frame].get((base.scalar.smin + op.offset, op.size))
        return None

    def _store(self, state: State, base: Value, offset: int, size: int, stored: Sum | None) -> None:
        if not isinstance(base, Pointer) or base.region.kind is not Kind.STACK:
            return
        if base.region.frame >= len(self._frames):
            return
        frame = self._frames[base.region.frame]
        if not base.scalar.is_constant:
            frame.clear()
            return
        low = base.scalar.smin + offset
        for at, length in list(frame):
            if at < low + size and low < at + length:
                del frame[at, length]
        if stored is not None and size == 8:
            frame[low, size] = stored


_SIGNS = {
    Alu.ADD: "+", Alu.SUB: "-", Alu.MUL: "*", Alu.DIV: "/", Alu.MOD: "%", Alu.AND: "&", Alu.OR: "|", Alu.XOR: "^",
    Alu.LSH: "<<", Alu.RSH: ">>", Alu.ARSH: ">>",
}  # fmt: skip


def _same(a: Value, b: Value) -> bool:
    if isinstance(a, Number | Pointer) and isinstance(b, Number | Pointer):
        return a[-2:] == b[-2:]
    return a == b


def _fits(value: Value) -> bool:
    return isinstance(value, Number) and value.scalar.umax <= _LOW


def _keeps(value: Value, mask: Sum) -> bool:
    """Return whether a mask keeps all that a number can be."""
    if mask.terms or not isinstance(value, Number):
        return False
    word = mask.constant & ((1 << 64) - 1)
    return word & (word + 1) == 0 and value.scalar.umax <= word


def _exact(op: AluOp, a: Value, b: Value) -> bool:
    """Return whether a 32-bit operation computes what the 64-bit one would."""
    if not isinstance(a, Number):
        return False
    right = scalars.constant(op.source.value & _LOW) if isinstance(op.source, Imm) else None
    if isinstance(op.source, Imm) and op.source.value < 0 and op.op is Alu.ADD:
        return a.scalar.umax <= _LOW and a.scalar.umin >= -op.source.value
    if right is None:
        if not isinstance(b, Number):
            return False
        right = b.scalar
    x, y = a.scalar, right
    match op.op:
        case Alu.ADD:
            return x.umax + y.umax <= _LOW
        case Alu.SUB:
            return x.umax <= _LOW and x.umin >= y.umax
        case Alu.MUL:
            return x.umax * y.umax <= _LOW
        case Alu.LSH:
            return y.umax < 32 and x.umax << y.umax <= _LOW
        case Alu.AND:
            return x.umax <= _LOW
        case _:
            return False


def _written(op: Operation) -> list[int]:
    """Return the registers that an operation may write."""
    if isinstance(op, Atomic):
        return [] if not op.fetch else [0 if op.op is AtomicOp.CMPXCHG else op.src]
    written = uses_and_definition(op)[1]
    return [number for number in range(10) if written >> number & 1]


# --- loops -----------------------------------------------------------------------------------------------------------


def component_at(elements: Iterable[Element], head: int) -> Component | None:
    """Return the loop with a head."""
    for element in elements:
        if isinstance(element, Component):
            found = element if element.head == head else component_at(element.elements, head)
            if found is not None:
                return found
    return None


def _counters(operations: Mapping[int, Operation], function: Function, head: int) -> list[list[AluOp]]:
    """Return for each block of a loop the additions of constants to registers that nothing else in the loop writes."""
    component = component_at(function.elements, head)
    blocks = sorted(component.blocks) if component is not None else []
    written: Counter[int] = Counter()
    for block in blocks:
        for pc in function.blocks[block].pcs:
            written.update(_written(operations[pc]))
    found = []
    for block in blocks:
        steps = [op for pc in function.blocks[block].pcs if isinstance(op := operations[pc], AluOp) and _is_step(op)]
        found.append([op for op in steps if written[op.dst] == 1])
    return found


def _is_step(op: AluOp) -> bool:
    return op.op is Alu.ADD and isinstance(op.source, Imm) and op.source.value != 0


def _runs_on(op: AluOp, value: Value) -> bool:
    """Return whether a counter with these values at the head goes on as an integer: a 32-bit one never wraps."""
    if op.bits == 64:
        return True
    stride = op.source.value if isinstance(op.source, Imm) else 0
    return isinstance(value, Number) and value.scalar.umin + stride >= 0 and value.scalar.umax + stride <= _LOW


def _compared(operations: Mapping[int, Operation], function: Function, head: int) -> set[int]:
    """Return the registers that a loop compares."""
    component = component_at(function.elements, head)
    blocks = component.blocks if component is not None else ()
    return {
        number
        for block in blocks
        for pc in function.blocks[block].pcs
        if isinstance(op := operations[pc], Branch)
        for number in (op.dst, op.source.number if isinstance(op.source, Reg) else op.dst)
    }
