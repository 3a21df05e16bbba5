"""What an instruction does to a state. It changes and never rejects.

**Guarantee.** If a concrete machine state is described by `state` and executing `op` there is safe, the machine state
after it is described by the result. Where `op` is not safe (`check` says so) the result is some state, which is only
ever used while a loop's invariant is being guessed. `branch` gives the two states after a conditional jump, None where
no execution goes.
"""

from __future__ import annotations

from typing import NamedTuple

from grafting import hooks
from grafting.hooks import Arg, Helper
from grafting.isa import (
    Alu,
    AluOp,
    Atomic,
    AtomicOp,
    Branch,
    ByteSwap,
    CallHelper,
    Condition,
    Load,
    LoadImm64,
    LoadMap,
    LoadMapValue,
    MoveSx,
    Operation,
    Store,
)
from grafting.program import MapKind, Program
from verifier import pointers
from verifier import scalar as scalars
from verifier import stack as stacks
from verifier.arithmetic import assumed, compute, extended, swapped
from verifier.pointers import Kind, same_base
from verifier.rules import Rules, argument_maps, length_register, operand
from verifier.scalar import constant
from verifier.state import Fact, Frame, State, frame_pointer, mapped, settled, shifted
from verifier.terms import LENGTH, ZERO, Terms, wrap
from verifier.values import Handle, Number, Pointer, Unusable, Value, literal, loaded, unknown

_STATUS = scalars.signed(-4095, 0)


def step(rules: Rules, state: State, op: Operation) -> State:
    """Return the state after an instruction that goes on to the next one."""
    terms = rules.terms
    match op:
        case AluOp(alu, bits, dst, source):
            left = literal(0) if alu is Alu.MOV else state.registers[dst]
            return state.with_register(dst, _alu(terms, alu, bits == 64, left, operand(state, source)))
        case Load():
            return state.with_register(op.dst, _load(rules, state, op))
        case Store(size, base, offset, source):
            return _store(terms, state, state.registers[base], offset, size, operand(state, source))
        case LoadImm64(dst, word):
            return state.with_register(dst, literal(word))
        case MoveSx(bits, from_bits, dst, src):
            value = state.registers[src]
            moved = extended(terms, from_bits, bits == 64, value) if isinstance(value, Number) else unknown(terms)
            return state.with_register(dst, moved)
        case ByteSwap(kind, bits, dst):
            value = state.registers[dst]
            moved = swapped(terms, kind, bits, value) if isinstance(value, Number) else unknown(terms)
            return state.with_register(dst, moved)
        case LoadMap(dst, index):
            return state.with_register(dst, Handle((index,)))
        case LoadMapValue(dst, index, offset):
            return state.with_register(dst, Pointer(pointers.value((index,)), constant(offset), ZERO, offset))
        case Atomic():
            return _atomic(terms, state, op)
        case CallHelper(number):
            helper = rules.hook.helper(number)
            assert helper is not None
            return _call(rules, state, helper)
        case _:
            return state


# --- arithmetic ------------------------------------------------------------------------------------------------------


def _alu(terms: Terms, op: Alu, is64: bool, left: Value, right: Value) -> Value:
    if isinstance(left, Number) and isinstance(right, Number):
        return compute(terms, op, is64, left, right)
    if op is Alu.MOV and is64:
        return right
    if is64 and op in (Alu.ADD, Alu.SUB):
        if isinstance(left, Pointer) and isinstance(right, Number):
            return _at(left, compute(terms, op, True, _offset(left), right))
        if isinstance(left, Number) and isinstance(right, Pointer) and op is Alu.ADD:
            return _at(right, compute(terms, op, True, left, _offset(right)))
        if isinstance(left, Pointer) and isinstance(right, Pointer) and op is Alu.SUB:
            if same_base(left.region, right.region):
                return compute(terms, op, True, _offset(left), _offset(right))
    return unknown(terms)


def _offset(pointer: Pointer) -> Number:
    return Number(pointer.scalar, pointer.symbol, pointer.delta)


def _from_base(pointer: Pointer) -> Number:
    """Return the offset from the region's first byte: not negative wherever an access would be allowed."""
    bias = stacks.SIZE if pointer.region.kind is Kind.STACK else 0
    return Number(shifted(pointer.scalar, bias), pointer.symbol, wrap(pointer.delta + bias))


def _at(pointer: Pointer, offset: Number) -> Pointer:
    return Pointer(pointer.region, *offset)


# --- memory ----------------------------------------------------------------------------------------------------------


def _load(rules: Rules, state: State, op: Load) -> Value:
    value = _loaded(rules, state, op)
    if op.signed and isinstance(value, Number):
        return extended(rules.terms, 8 * op.size, True, value)
    return value


def _loaded(rules: Rules, state: State, op: Load) -> Value:
    terms, base = rules.terms, state.registers[op.base]
    if not isinstance(base, Pointer):
        return loaded(terms, op.size)
    where = shifted(base.scalar, op.offset)
    match base.region.kind:
        case Kind.STACK:
            places = stacks.offsets(where, op.size)
            if places is None:
                return loaded(terms, op.size)
            stack = state.frames[base.region.frame].stack
            if len(places) == 1:
                return stacks.load(terms, stack, places.start, op.size)
            return stacks.load_somewhere(terms, stack, places, op.size)
        case Kind.CONTEXT if where.is_constant:
            return _context(rules, state, where.smin, op.size)
        case Kind.VALUE if where.is_constant:
            known = _constant_data(rules.program, base.region.maps, where.smin, op.size)
            return loaded(terms, op.size) if known is None else literal(known)
        case _:
            return loaded(terms, op.size)


def _context(rules: Rules, state: State, at: int, size: int) -> Value:
    """Return a field of the context. It does not change while the handler runs, so a field has one name."""
    field = rules.hook.field_at(at, size)
    if field is not None and field.kind is hooks.FieldKind.DATA:
        return Pointer(pointers.BODY, constant(0), ZERO, 0)
    if field is not None and field.kind is hooks.FieldKind.DATA_END:
        return Pointer(pointers.BODY, state.length, LENGTH, 0)
    if rules.hook.context_writable:
        return loaded(rules.terms, size)
    return Number(scalars.of_width(size), rules.terms.named("context", at, size), 0)


def _constant_data(program: Program, maps: tuple[int, ...], at: int, size: int) -> int | None:
    """Return the word at a known place of a constant table, None if that is not what is read."""
    spec = program.maps[maps[0]]
    if len(maps) > 1 or not spec.read_only or at < 0 or at + size > len(spec.initial):
        return None
    return int.from_bytes(spec.initial[at : at + size], "little")


def _store(terms: Terms, state: State, base: Value, offset: int, size: int, value: Value) -> State:
    """Store into the stack; what other regions hold is not tracked.

    While an invariant is guessed, the base may be anything and the offset may lie outside. The executions for which the
    store is safe are still described afterwards: they may have written anywhere in the frame, or in any.
    """
    if not isinstance(base, Pointer):
        return _anywhere(state)
    if base.region.kind is not Kind.STACK:
        return state
    frame = base.region.frame
    places = stacks.offsets(shifted(base.scalar, offset), size)
    if places is None:
        return state.with_stack(frame, stacks.severed(state.frames[frame].stack))
    stack = state.frames[frame].stack
    if len(places) == 1:
        return state.with_stack(frame, stacks.store(terms, stack, places.start, size, value))
    return state.with_stack(frame, stacks.store_somewhere(terms, stack, places, size, value))


def _anywhere(state: State) -> State:
    """Return the state once something may have been stored to any place of any frame."""
    return state._replace(frames=tuple(frame._replace(stack=stacks.severed(frame.stack)) for frame in state.frames))


_ATOMIC_ALU = {AtomicOp.ADD: Alu.ADD, AtomicOp.OR: Alu.OR, AtomicOp.AND: Alu.AND, AtomicOp.XOR: Alu.XOR}


def _atomic(terms: Terms, state: State, op: Atomic) -> State:
    base, source = state.registers[op.base], state.registers[op.src]
    old: Value = loaded(terms, op.size)
    if isinstance(base, Pointer) and base.region.kind is Kind.STACK:
        places = stacks.offsets(shifted(base.scalar, op.offset), op.size)
        if places is not None and len(places) == 1:
            found = stacks.load(terms, state.frames[base.region.frame].stack, places.start, op.size)
            old = found if isinstance(found, Number) else old
    new: Value = unknown(terms)
    if op.op in _ATOMIC_ALU and isinstance(old, Number) and isinstance(source, Number):
        new = compute(terms, _ATOMIC_ALU[op.op], op.size == 8, old, source)
    elif op.op is AtomicOp.XCHG:
        new = source
    state = _store(terms, state, base, op.offset, op.size, new)
    if not op.fetch:
        return state
    return state.with_register(0 if op.op is AtomicOp.CMPXCHG else op.src, old)


# --- helpers ---------------------------------------------------------------------------------------------------------


def _call(rules: Rules, state: State, helper: Helper) -> State:
    result = _result(rules, state, helper)
    for register, kind in enumerate(helper.args, start=1):
        if kind in (Arg.WRITE, Arg.WRITE_THIRD):
            state = _written(rules.terms, state, register, length_register(kind, register))
    return state._replace(registers=(result, None, None, None, None, None, *state.registers[6:]))


def _result(rules: Rules, state: State, helper: Helper) -> Value:
    match helper.result:
        case hooks.Result.STATUS:
            return Number(_STATUS, rules.terms.fresh(), 0)
        case hooks.Result.VALUE_OR_NULL:
            handle = state.registers[1]
            if not isinstance(handle, Handle):
                return Unusable.CLASH
            origin = 0 if _always_found(rules, state) else rules.terms.fresh()
            return Pointer(pointers.value(handle.maps, origin), constant(0), ZERO, 0)
        case _:
            return unknown(rules.terms)


def _always_found(rules: Rules, state: State) -> bool:
    """Return whether a lookup has an array and an index that is known to be below its number of entries."""
    key, specs = state.registers[2], argument_maps(rules, state)
    if not specs or any(spec.kind is not MapKind.ARRAY for spec in specs):
        return False
    if not isinstance(key, Pointer) or key.region.kind is not Kind.STACK or not key.scalar.is_constant:
        return False
    if len({spec.key_size for spec in specs}) > 1 or not stacks.within(key.scalar.smin, specs[0].key_size):
        return False
    stack = state.frames[key.region.frame].stack
    index = stacks.load(rules.terms, stack, key.scalar.smin, specs[0].key_size)
    return isinstance(index, Number) and index.scalar.umax < min(spec.max_entries for spec in specs)


def _written(terms: Terms, state: State, register: int, length: int) -> State:
    """Forget what a helper may have written over. Nothing counts as initialised that may not have been reached."""
    base, size = state.registers[register], state.registers[length]
    if not isinstance(base, Pointer) or not isinstance(size, Number):
        return _anywhere(state)
    if base.region.kind is not Kind.STACK:
        return state
    stack, frame = state.frames[base.region.frame].stack, base.region.frame
    low, high = max(base.scalar.smin, -stacks.SIZE), min(base.scalar.smax + size.scalar.umax, 0)
    if base.scalar.is_constant and size.scalar.is_constant:
        return state.with_stack(frame, stacks.clobber(terms, stack, low, high))
    for at in range(low, high):
        stack = stacks.store_somewhere(terms, stack, range(at, at + 1), 1, unknown(terms))
    sure_low, sure_high = base.scalar.smax, base.scalar.smin + size.scalar.umin
    if -stacks.SIZE <= sure_low < sure_high <= 0:
        stack = stacks.clobber(terms, stack, sure_low, sure_high)
    return state.with_stack(frame, stack)


# --- calls of local functions ----------------------------------------------------------------------------------------


def enter(state: State) -> State:
    """Return the state at the first instruction of a local function: arguments r1 to r5, a frame of its own."""
    depth = len(state.frames)
    registers = (None, *state.registers[1:6], None, None, None, None, frame_pointer(depth))
    return state._replace(registers=registers, frames=(*state.frames, Frame({}, state.registers[6:10])))


def leave(state: State) -> State:
    """Return the state after a local function's `exit`: r0 is its result, r6 to r9 are the caller's again."""
    depth, saved = state.depth, state.frames[-1].saved
    registers = (state.registers[0], None, None, None, None, None, *saved, frame_pointer(depth - 1))

    def forget(value: Value) -> Value:
        dead = isinstance(value, Pointer) and value.region.kind is Kind.STACK and value.region.frame == depth
        return Unusable.SEVERED if dead else value

    return mapped(state._replace(registers=registers, frames=state.frames[:-1]), forget)


# --- branches --------------------------------------------------------------------------------------------------------


class Ways(NamedTuple):
    """The states after a conditional jump: where it is taken and where it falls through; None where nothing goes."""

    taken: State | None
    through: State | None


def branch(terms: Terms, state: State, op: Branch, *, facts: tuple[bool, bool] = (False, False)) -> Ways:
    """Return both ways of a conditional jump. `facts`: whether to record the comparison on the one and the other."""
    comparison = op.condition
    return Ways(
        _way(terms, state, op, comparison, record=facts[0]),
        _way(terms, state, op, scalars.negate(comparison), record=facts[1]),
    )


def _way(terms: Terms, state: State, op: Branch, comparison: scalars.Comparison, *, record: bool) -> State | None:
    left, right = state.registers[op.dst], operand(state, op.source)
    is64 = op.bits == 64
    if isinstance(left, Pointer):
        if isinstance(right, Number):
            return _null_check(state, left, comparison)
        if not isinstance(right, Pointer) or not same_base(left.region, right.region) or not is64:
            return state
        if comparison in (Condition.SET, scalars.Unset.UNSET):
            return state  # common bits of addresses say nothing about offsets
        if not (_is_near(left.scalar) and _is_near(right.scalar)):
            return state  # an address might wrap; its order would say nothing about the offset
        left, right, comparison = _offset(left), _offset(right), _OF_OFFSETS.get(comparison, comparison)
    if not isinstance(left, Number) or not isinstance(right, Number):
        return state
    if Fact(scalars.negate(comparison), is64, left[1:], right[1:]) in state.facts:
        return None  # the same was compared before, and the other way taken
    found = assumed(terms, state, comparison, is64, left, right)
    if found is None or not record:
        return found
    return found._replace(facts=found.facts | {Fact(comparison, is64, left[1:], right[1:])})


_OF_OFFSETS: dict[scalars.Comparison, scalars.Comparison] = {
    Condition.LT: Condition.SLT, Condition.LE: Condition.SLE, Condition.GT: Condition.SGT, Condition.GE: Condition.SGE,
}  # fmt: skip
"""What an order of two addresses says of their offsets, which may be negative: `data_end - 8 < data` is one such."""


def _is_near(offset: scalars.Scalar) -> bool:
    """Return whether base + offset cannot wrap around the address space."""
    return offset.smin >= -pointers.FARTHEST and offset.smax <= pointers.FARTHEST


def _null_check(state: State, pointer: Pointer, comparison: scalars.Comparison) -> State | None:
    """Return the state once an address is, or is not, 0."""
    if comparison not in (Condition.EQ, Condition.NE):
        return state
    null = comparison is Condition.EQ
    if pointer.region.nullable:
        return settled(state, pointer.region.origin, null=null)
    offset = _from_base(pointer).scalar
    inside = offset.smin >= 0 and offset.smax <= pointers.FARTHEST
    return None if null and inside else state  # an address moved far enough may well be 0
