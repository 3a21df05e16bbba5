"""One run, seen as a path: the checked interpreter goes instruction by instruction, and beside it go terms.

The numbers are the interpreter's own: it is resumed with a fuel of one instruction at a time, so nothing of the
machine is imitated. Beside each register and byte that depends on the input stands a term (`terms`) which has that
number as its value for this input. What is not followed (the second operand of an exchange, a map after it was
changed) is taken as a constant: then a question has fewer answers, never a wrong one, for every answer is run.

A `Trace` says what was decided on the way (`Decision`), where it depended on more than numbers (`Choice`: a key that
was absent, a send that was not refused), and where the run could have gone wrong for another input (`Hazard`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from grafting import hooks, limits
from grafting.hooks import Arg, FieldKind, Helper
from grafting.isa import (
    U32,
    U64,
    Alu,
    AluOp,
    Atomic,
    AtomicOp,
    Branch,
    ByteSwap,
    CallHelper,
    CallLocal,
    Condition,
    Exit,
    Load,
    MoveSx,
    Operand,
    Operation,
    Reg,
    Store,
    Swap,
)  # fmt: skip
from grafting.program import Handler, Program
from jit import interpreter, machine
from jit.dispatch import filled_slots
from jit.effects import Effects
from jit.memory import BODY, CONTEXT, HANDLE_BASE, MAPS, READ, STACK, STACK_BYTES
from jit.state import GraftState
from jit.witness.inputs import LENGTH, Input
from jit.witness.replay import message_of, prepare
from jit.witness.terms import (
    DEEPEST,
    Atom,
    Cond,
    Op,
    Term,
    Word,
    apply,
    byte,
    extend,
    half,
    joined,
    low,
)  # fmt: skip

_ALU: Final = {
    Alu.ADD: Op.ADD, Alu.SUB: Op.SUB, Alu.MUL: Op.MUL, Alu.DIV: Op.DIV, Alu.OR: Op.OR, Alu.AND: Op.AND,
    Alu.LSH: Op.SHL, Alu.RSH: Op.SHR, Alu.MOD: Op.MOD, Alu.XOR: Op.XOR, Alu.ARSH: Op.SAR, Alu.SDIV: Op.SDIV,
    Alu.SMOD: Op.SMOD,
}  # fmt: skip
_ATOMIC: Final = {AtomicOp.ADD: Op.ADD, AtomicOp.OR: Op.OR, AtomicOp.AND: Op.AND, AtomicOp.XOR: Op.XOR}
_SIGNED: Final = (Condition.SGT, Condition.SGE, Condition.SLT, Condition.SLE)
_GAPS: Final = 4  # runs of unwritten stack bytes that are aimed at
_FIELDS: Final = {"now_ns": "now"}  # names of the context's fields that inputs call otherwise


@dataclass(frozen=True, slots=True)
class Decision:
    """A branch at `pc` went to `taken` because `cond` holds; `target` is where it would have gone otherwise.

    `target` is None if the branch does not depend on the input.
    """

    pc: int
    taken: bool
    target: int
    cond: Cond | None


@dataclass(frozen=True, slots=True)
class Choice:
    """At `pc`, behind `decisions` decisions, a helper would have done otherwise if the input were `change`d."""

    pc: int
    decisions: int
    change: Callable[[Input], Input]


@dataclass(frozen=True, slots=True)
class Hazard:
    """The instruction at `pc` faults if, on the path of the first `decisions` ones, all of `conds` hold."""

    pc: int
    conds: tuple[Cond, ...]
    decisions: int


@dataclass(slots=True)
class Trace:
    """What one run was. `visited`: the instructions met, in order of the first time; `steps`: how many were traced."""

    given: Input
    decisions: list[Decision] = field(default_factory=list)
    choices: list[Choice] = field(default_factory=list)
    hazards: list[Hazard] = field(default_factory=list)
    fields: dict[tuple[Atom, ...], None] = field(default_factory=dict)  # atoms that were loaded together
    visited: dict[int, None] = field(default_factory=dict)
    steps: int = 0


class Tracer:
    """Traces inputs of one handler, each from the program's initial state."""

    def __init__(self, program: Program, handler: Handler) -> None:
        self.program, self.handler = program, handler
        self.state = GraftState(program)
        self._initial = self.state.snapshot()

    def trace(self, given: Input, most: int) -> Trace:
        """Run an input for at most `most` instructions and return its path."""
        self.state.restore(self._initial)
        return _Run(self, given).trace(most)


class _Run:
    """One run in progress. `_words`: terms by register; `_memory`: by address, (term, which byte) or None, a number."""

    def __init__(self, tracer: Tracer, given: Input) -> None:
        self._program, self._handler, self._given = tracer.program, tracer.handler, given
        self._hook = self._handler.hook
        self._state = tracer.state
        self._machine = self._state.machine
        self._control = self._machine.control[0]
        self._words: dict[int, Word] = {}
        self._saved: list[dict[int, Word]] = []
        self._memory: dict[int, tuple[Word, int] | None] = {}
        self._keys: dict[tuple[int, int], str] = {}  # (map, offset of the value) -> key in hex
        self._opaque: set[int] = set()  # maps that were changed
        self._old = 0  # what an atomic is about to replace
        self._raw_memory = self._hook.memory == "memory"
        self._found = Trace(given)
        self._effects = self._begin()

    def _begin(self) -> Effects | None:
        m, state, given = self._machine, self._state, self._given
        number = state.placement.handlers[self._handler.name]
        in_context = self._hook.event is None and not self._raw_memory
        at = int(self._control["context_at"]) if in_context else state.body_at
        state.arena[at : at + len(given.body)] = np.frombuffer(given.body, np.uint8)
        now, length = given.field("now"), 0 if in_context else len(given.body)
        effects = None
        event = self._hook.event
        if event is not None:
            slots = filled_slots(self._program, prepare(state, given))
            message = message_of(given)
            effects = Effects(self._program, slots, message, now, state.timers, state.held)
            machine.write_context(
                m, length, message.tag, message.badge, now, message.op, message.status, message.slot_for(event),
                event.value, message.ncaps, message.flags,
            )  # fmt: skip
        machine.begin(m, number, state.body_at, length, 1, now, machine.CHECKING)
        return effects

    def trace(self, most: int) -> Trace:
        """Go on to the end, a fault, or `most` instructions."""
        found, operations = self._found, self._handler.operations
        outcome = machine.EXHAUSTED
        while found.steps < most and outcome == machine.EXHAUSTED:
            pc = int(self._control["pc"] - self._control["code_base"])
            op = operations[pc]
            found.steps += 1
            found.visited.setdefault(pc)
            self._foresee(pc, op)
            before = [int(word) for word in self._machine.registers[:11]]
            outcome = self._step()
            if outcome == machine.EXHAUSTED:
                self._follow(pc, op, before)
        return found

    def _step(self) -> int:
        self._control["fuel"] = 1
        outcome = interpreter.run(self._machine)
        if outcome == machine.HELPER:
            assert self._effects is not None
            return machine.EXHAUSTED if self._effects.serve(self._machine) else machine.FAULTED
        return outcome

    # --- words -------------------------------------------------------------------------------------------------------

    def _number(self, register: int) -> int:
        return int(self._machine.registers[register])

    def _word(self, register: int) -> Word:
        found = self._words.get(register)
        return self._number(register) if found is None else found

    def _set(self, register: int, word: Word) -> None:
        if isinstance(word, int) or (isinstance(word, Term) and word.depth > DEEPEST):
            self._words.pop(register, None)
        else:
            self._words[register] = word

    def _operand(self, source: Operand, before: list[int]) -> Word:
        if isinstance(source, Reg):
            found = self._words.get(source.number)
            return before[source.number] if found is None else found
        return source.value & U64

    # --- what could go wrong here ------------------------------------------------------------------------------------

    def _foresee(self, pc: int, op: Operation) -> None:
        """Note for which other inputs the instruction would fault."""
        match op:
            case Load(size=size, base=base, offset=offset):
                self._access(pc, base, offset, size, reads=True)
            case Store(size=size, base=base, offset=offset):
                self._access(pc, base, offset, size, reads=False)
            case Atomic(size=size, base=base, offset=offset):
                self._access(pc, base, offset, size, reads=True)
                self._old = self._bytes(self._number(base) + offset & U64, size)
            case CallHelper(number):
                helper = self._hook.helper(number)
                if helper is not None:
                    self._arguments(pc, helper)
                    if helper.sends:
                        self._sending(pc, number)
            case Exit() if not self._saved and self._hook.verdicts and 0 in self._words:
                legal = [word for _name, word in self._hook.verdicts]
                if self._hook.steer:
                    legal += [hooks.STEER + n for n, slot in enumerate(self._program.slots) if slot.send]
                self._hazard(pc, *(Cond(Condition.NE, self._words[0], word) for word in legal))
            case _:
                pass

    def _hazard(self, pc: int, *conds: Cond) -> None:
        self._found.hazards.append(Hazard(pc, conds, len(self._found.decisions)))

    def _access(self, pc: int, base: int, offset: int, size: Word, *, reads: bool) -> None:
        """Note that an access of `size` bytes may leave its region, be misaligned, or read what was not written."""
        where = self._number(base) + offset & U64
        word = apply(Op.ADD, self._word(base), offset & U64)
        region = self._region(where)
        if region is None:
            return
        first, end = region
        if isinstance(word, int) and isinstance(end, int) and isinstance(size, int):
            return
        self._hazard(pc, Cond(Condition.GT, apply(Op.ADD, word, size), end))
        if isinstance(word, int):
            return
        self._hazard(pc, Cond(Condition.LT, word, first))
        if isinstance(size, int) and size > 1 and self._hook.aligned:
            self._hazard(pc, Cond(Condition.SET, word, size - 1))
        if reads and STACK <= where >> 32 < STACK + limits.CALL_DEPTH:
            for gap_first, gap_end in self._gaps(where >> 32):
                self._hazard(
                    pc,
                    Cond(Condition.GE, word, first),
                    Cond(Condition.LT, word, gap_end),
                    Cond(Condition.GT, apply(Op.ADD, word, size), gap_first),
                )

    def _region(self, where: int) -> tuple[int, Word] | None:
        """Return the first address and the end of the region, or of the map's value, that an address is in."""
        number, offset = where >> 32, where & U32
        first = number << 32
        if number == CONTEXT:
            return first, first + self._hook.context_bytes
        if number == BODY:
            fixed = self._raw_memory
            return first, first + self._hook.context_bytes if fixed else apply(Op.ADD, LENGTH, first)
        if STACK <= number < STACK + limits.CALL_DEPTH:
            return first, first + STACK_BYTES
        if MAPS <= number < MAPS + len(self._program.maps):
            size = self._program.maps[number - MAPS].value_size
            start = first + offset - offset % _stride(size)
            return start, start + size
        return None

    def _gaps(self, region: int) -> Iterator[tuple[int, int]]:
        """Yield the ranges of addresses in a stack frame that were not written, the uppermost first."""
        shadow = int(self._control["shadow_at"]) + (region - STACK) * STACK_BYTES
        written = self._state.arena[shadow : shadow + STACK_BYTES].tobytes()
        end, found = STACK_BYTES, 0
        while end > 0 and found < _GAPS:
            last = written.rfind(b"\0", 0, end)
            if last < 0:
                return
            start = written.rfind(b"\1", 0, last) + 1
            yield (region << 32) + start, (region << 32) + last + 1
            end, found = start, found + 1

    def _arguments(self, pc: int, helper: Helper) -> None:
        for register, kind in enumerate(helper.args, start=1):
            match kind:
                case Arg.KEY | Arg.VALUE:
                    spec = self._map(self._number(1))
                    if spec is not None:
                        size = (
                            self._program.maps[spec].key_size
                            if kind is Arg.KEY
                            else self._program.maps[spec].value_size
                        )
                        self._access(pc, register, 0, size, reads=True)
                case Arg.READ | Arg.WRITE:
                    self._access(pc, register, 0, self._word(register + 1), reads=kind is Arg.READ)
                case Arg.READ_THIRD | Arg.WRITE_THIRD:
                    self._access(pc, register, 0, self._word(3), reads=kind is Arg.READ_THIRD)
                case _:
                    pass

    def _sending(self, pc: int, helper: int) -> None:
        """Note that a send may go through no slot, or one without the right, or not be what the protocol has."""
        slot, op, length = self._word(1), self._word(2), self._word(5)
        slots = self._program.slots
        if not isinstance(slot, int):
            self._hazard(pc, Cond(Condition.GE, slot, len(slots)))
            for number, spec in enumerate(slots):
                if not spec.send:
                    self._hazard(pc, Cond(Condition.EQ, slot, number))
        if self._number(1) >= len(slots):
            return
        known = {spec.number: spec for spec in slots[self._number(1)].protocol.ops}
        if not isinstance(op, int):
            self._hazard(pc, *(Cond(Condition.NE, op, number) for number in known))
        found = known.get(self._number(2))
        if found is None or isinstance(length, int):
            return
        within: tuple[Cond, ...] = ()
        if helper == 1001:
            last = apply(Op.SUB, LENGTH, length)
            within = (Cond(Condition.LE, self._word(4), last), Cond(Condition.LE, length, LENGTH))
        extra = hooks.SEND_OPTIONS_BYTES if helper == 1002 else 0
        self._hazard(pc, *within, Cond(Condition.GT, length, found.request_max + extra))
        self._hazard(pc, *within, Cond(Condition.LT, length, found.request_min + extra))

    def _map(self, handle: int) -> int | None:
        index = (handle >> 32) - HANDLE_BASE
        return index if 0 <= index < len(self._program.maps) and not handle & U32 else None

    # --- what the instruction did ------------------------------------------------------------------------------------

    def _follow(self, pc: int, op: Operation, before: list[int]) -> None:
        """Bring the terms up to date with the instruction that has just run."""
        match op:
            case AluOp(alu, bits, dst, source):
                self._set(dst, self._alu(alu, bits, self._operand(Reg(dst), before), self._operand(source, before)))
            case MoveSx(bits, from_bits, dst, src):
                word = extend(self._operand(Reg(src), before), from_bits)
                self._set(dst, word if bits == 64 else half(word))
            case ByteSwap(swap, bits, dst):
                word = low(self._operand(Reg(dst), before), bits)
                self._set(dst, word if swap is Swap.LE else apply(Op.SWAP, word, bits))
            case Load(size, is_signed, dst, base, offset):
                word = self._load(before[base] + offset & U64, size)
                self._set(dst, extend(word, 8 * size) if is_signed else word)
            case Store(size, base, offset, source):
                self._store(before[base] + offset & U64, size, self._operand(source, before))
            case Atomic():
                self._atomic(op, before)
            case Branch():
                self._branch(pc, op, before)
            case CallHelper(number):
                self._helper(pc, number, before)
            case CallLocal():
                self._saved.append({r: w for r, w in self._words.items() if 6 <= r <= 9})
                self._words = {r: w for r, w in self._words.items() if 1 <= r <= 5}
            case Exit():
                self._words = {r: w for r, w in self._words.items() if r == 0} | self._saved.pop()
            case _:
                for register in _written(op):
                    self._words.pop(register, None)

    def _alu(self, alu: Alu, bits: int, a: Word, b: Word) -> Word:
        if bits == 32:
            a, b = half(a), half(b)
        if alu is Alu.MOV:
            return b
        if alu is Alu.NEG:
            found = apply(Op.SUB, 0, a)
        elif alu in (Alu.LSH, Alu.RSH, Alu.ARSH):
            amount = apply(Op.AND, b, bits - 1)
            found = apply(_ALU[alu], extend(a, bits) if alu is Alu.ARSH else a, amount)
        elif alu in (Alu.SDIV, Alu.SMOD):
            found = apply(_ALU[alu], extend(a, bits), extend(b, bits))
        else:
            found = apply(_ALU[alu], a, b)
        return half(found) if bits == 32 else found

    def _branch(self, pc: int, op: Branch, before: list[int]) -> None:
        taken = int(self._control["pc"] - self._control["code_base"]) == op.target
        a, b = self._operand(Reg(op.dst), before), self._operand(op.source, before)
        if op.bits == 32:
            narrow = (lambda word: extend(word, 32)) if op.condition in _SIGNED else half
            a, b = narrow(a), narrow(b)
        fixed = (isinstance(a, int) and isinstance(b, int)) or op.target == pc + 1
        cond = None if fixed else Cond(op.condition, a, b, taken)
        self._found.decisions.append(Decision(pc, taken, pc + 1 if taken else op.target, cond))

    # --- memory ------------------------------------------------------------------------------------------------------

    def _load(self, where: int, size: int) -> Word:
        """Return the word of `size` bytes at an address, as the machine has just read it."""
        if where >> 32 == CONTEXT and self._hook.fields:
            return self._field(where & U32, size)
        parts = [self._byte(where + number) for number in range(size)]
        if all(part is None for part in parts):
            return self._bytes(where, size)
        loaded = tuple(part[0] for part in parts if part is not None and isinstance(part[0], Atom))
        if len(loaded) == size:
            self._found.fields.setdefault(loaded)
        return _assembled(parts, self._bytes(where, size))

    def _bytes(self, where: int, size: int) -> int:
        """Return the number at an address, 0 where nothing can be read."""
        at = machine.reach(self._machine, where, size, READ)
        return int.from_bytes(self._machine.arena[at : at + size].tobytes(), "little") if at >= 0 else 0

    def _field(self, offset: int, size: int) -> Word:
        found = next((f for f in self._hook.fields if f.offset <= offset and offset + size <= f.offset + f.size), None)
        if found is None or found.name == "event":
            return self._bytes((CONTEXT << 32) + offset, size)
        word: Word
        if found.kind is FieldKind.SCALAR:
            word = Atom(("field", _FIELDS.get(found.name, found.name)), found.size)
            self._found.fields.setdefault((word,))
        else:
            word = BODY << 32 if found.kind is FieldKind.DATA else apply(Op.ADD, LENGTH, BODY << 32)
        return low(apply(Op.SHR, word, 8 * (offset - found.offset)), 8 * size)

    def _byte(self, where: int) -> tuple[Word, int] | None:
        """Return the term of a byte and which of its bytes that is, None for a number."""
        if where in self._memory:
            return self._memory[where]
        number, offset = where >> 32, where & U32
        if number == BODY or (number == CONTEXT and not self._hook.fields):
            return Atom(("memory", offset), 1), 0
        if not MAPS <= number < MAPS + len(self._program.maps) or number - MAPS in self._opaque:
            return None
        spec = self._program.maps[number - MAPS]
        if spec.is_data:
            return None if spec.read_only else (Atom(("section", spec.name, offset), 1), 0)
        start = offset - offset % _stride(spec.value_size)
        key = self._keys.get((number - MAPS, start))
        return None if key is None else (Atom(("value", spec.name, key, offset - start), 1), 0)

    def _store(self, where: int, size: int, word: Word) -> None:
        for number in range(size):
            self._memory[where + number & U64] = None if isinstance(word, int) else (word, number)

    def _atomic(self, op: Atomic, before: list[int]) -> None:
        where = before[op.base] + op.offset & U64
        parts = [self._byte(where + number) for number in range(op.size)]
        old = _assembled(parts, self._old)
        operand = low(self._operand(Reg(op.src), before), 8 * op.size)
        if op.op in _ATOMIC:
            self._store(where, op.size, apply(_ATOMIC[op.op], old, operand))
        else:
            self._store(where, op.size, operand if op.op is AtomicOp.XCHG else 0)
        if op.fetch:
            self._set(0 if op.op is AtomicOp.CMPXCHG else op.src, old)

    # --- helpers -----------------------------------------------------------------------------------------------------

    def _helper(self, pc: int, number: int, before: list[int]) -> None:
        """Follow a call that has returned."""
        result = self._number(0)
        index = self._map(before[1])
        match number:
            case 1 if index is not None:
                self._looked_up(pc, index, before[2], result)
            case 2 | 3 if index is not None:
                self._opaque.add(index)
                self._forget(MAPS + index)
            case 1000 | 1001 | 1002 if before[1] < len(self._program.slots):
                name = self._program.slots[before[1]].name
                self._choice(pc, lambda given: replace(given, empty=given.empty ^ {name}))
            case 1005:
                self._choice(pc, lambda given: replace(given, timers=given.timers ^ {before[1]}))
            case 1006:
                self._choice(pc, lambda given: replace(given, held=given.held ^ {before[1]}))
            case 1008:
                moved = [self._byte(before[2] + n) for n in range(before[3])]
                self._memory.update({before[1] + n: part for n, part in enumerate(moved)})
            case 1009:
                self._store(before[1], before[3], 0)
            case _:
                pass
        self._words = {r: w for r, w in self._words.items() if r >= 6}
        if number == 5:
            self._words[0] = Atom(("field", "now"), 8)

    def _looked_up(self, pc: int, index: int, key_at: int, result: int) -> None:
        spec = self._program.maps[index]
        at = machine.reach(self._machine, key_at, spec.key_size, READ)
        key = self._machine.arena[at : at + spec.key_size].tobytes()
        if result:
            self._keys[index, result & U32] = key.hex()
        if spec.kind.name == "HASH" and index not in self._opaque:
            entry = (spec.name, key)

            def toggled(given: Input) -> Input:
                entries = dict(given.entries)
                if entries.pop(entry, None) is None:
                    entries[entry] = bytes(spec.value_size)
                return replace(given, entries=tuple(sorted(entries.items())))

            self._choice(pc, toggled)

    def _choice(self, pc: int, change: Callable[[Input], Input]) -> None:
        self._found.choices.append(Choice(pc, len(self._found.decisions), change))

    def _forget(self, region: int) -> None:
        for where in [where for where in self._memory if where >> 32 == region]:
            del self._memory[where]


def _assembled(parts: Sequence[tuple[Word, int] | None], numbers: int) -> Word:
    """Return the word of these bytes; where there is no term, the byte is that of `numbers`."""
    first = parts[0]
    if first is not None and list(parts) == [(first[0], number) for number in range(len(parts))]:
        return low(first[0], 8 * len(parts))
    return joined([numbers >> 8 * n & 0xFF if part is None else byte(*part) for n, part in enumerate(parts)])


def _stride(size: int) -> int:
    return (size + 7) // 8 * 8


def _written(op: Operation) -> tuple[int, ...]:
    """Return the register that a load of an immediate writes."""
    dst = getattr(op, "dst", None)
    return () if dst is None else (dst,)
