"""Decides whether an obligation is met in a state. It rejects and never changes anything.

`unmet` answers None if the obligation is met for **every** word that the state allows, else a `Refusal`: what was
needed, what is known, and an edit that would help. The rules are those of the table in `pointers`, of the hook and of
the program's declarations; each function below is one rule.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, assert_never

from grafting import hooks, limits
from grafting.hooks import Arg, Helper, Hook
from grafting.isa import Alu, Condition, Operand, Reg
from grafting.program import MapSpec, OpSpec, Program, SlotSpec
from verifier import scalar as scalars
from verifier import stack as stacks
from verifier.obligations import (
    Access,
    Argument,
    Arithmetic,
    Comparable,
    Initialised,
    Obligation,
    Offered,
    Plain,
    Result,
    Sendable,
    Stored,
    Writable,
)
from verifier.pointers import FARTHEST, Kind, Region, same_base
from verifier.scalar import Scalar, constant, describe
from verifier.state import State, shifted
from verifier.terms import LENGTH, Terms
from verifier.values import Handle, Number, Pointer, Unusable, Value, literal


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an obligation is not met. `code` is stable; `message` says what is wrong, `notes` what is known."""

    code: str
    message: str
    notes: tuple[str, ...] = ()
    helps: tuple[str, ...] = ()


class Rules(NamedTuple):
    """What obligations are judged by: the declarations of a program and of the hook of one of its handlers."""

    program: Program
    hook: Hook
    terms: Terms


def unmet(rules: Rules, state: State, obligation: Obligation) -> Refusal | None:
    """Return None if the obligation is met in the state, else why not."""
    match obligation:
        case Initialised(register):
            value = state.registers[register]
            return _unusable(register, value) if value is None or isinstance(value, Unusable) else None
        case Access():
            return _access(rules, state, obligation)
        case Arithmetic():
            return _arithmetic(state, obligation)
        case Comparable():
            return _comparable(state, obligation)
        case Writable(register):
            if register != 10:
                return None
            return Refusal("G0614", "this writes r10, which is read-only", ("r10 is the end of the stack frame",))
        case Plain(register, purpose):
            if isinstance(state.registers[register], Number):
                return None
            return Refusal("G0612", f"an address cannot be {purpose}", (_holds(rules, register, state),))
        case Stored():
            return _stored(rules, state, obligation)
        case Offered(number):
            return _offered(rules, number)
        case Argument():
            return _argument(rules, state, obligation)
        case Sendable(helper):
            return _sendable(rules, state, helper)
        case Result(last):
            return _result(rules, state, last=last)
        case _:
            assert_never(obligation)


# --- words for people ------------------------------------------------------------------------------------------------


def describe_value(rules: Rules, value: Value) -> str:
    """Return what a value is, for a message: `0..=31`, `a pointer into the message body, offset 16`."""
    match value:
        case Number(scalar):
            return describe(scalar)
        case Pointer(region, scalar):
            null = ", or null" if region.nullable else ""
            return f"a pointer into {describe_region(rules, region)}, offset {describe(scalar)}{null}"
        case Handle(maps):
            return "map " + " or ".join(f"`{rules.program.maps[m].name}`" for m in maps)
        case Unusable():
            return str(value.value)
        case None:
            return "not initialised"


def describe_region(rules: Rules, region: Region) -> str:
    """Return what a region is, for a message: `the message body`, `a value of map `wanted``."""
    if region.kind is Kind.STACK and region.frame:
        return f"the stack (call depth {region.frame})"
    if region.kind is not Kind.VALUE:
        return str(region.kind.value)
    specs = [rules.program.maps[m] for m in region.maps]
    if len(specs) == 1 and specs[0].is_data:
        return f"section `{specs[0].name}`"
    return "a value of map " + " or ".join(f"`{spec.name}`" for spec in specs)


def _holds(rules: Rules, register: int, state: State) -> str:
    return f"r{register} is {describe_value(rules, state.registers[register])}"


def _unusable(register: int, value: Value) -> Refusal:
    if value is None:
        return Refusal("G0601", f"this reads r{register}, which is not initialised here",
                       ("r0 to r5 are lost in calls; at entry only the hook's arguments and r10 are set",))  # fmt: skip
    assert isinstance(value, Unusable)
    return Refusal("G0601", f"this reads r{register}, which {value.value}")


# --- memory ----------------------------------------------------------------------------------------------------------


def _access(rules: Rules, state: State, need: Access) -> Refusal | None:
    base = state.registers[need.base]
    if isinstance(base, Number):
        return Refusal("G0608", f"this accesses memory through r{need.base}, which is a number",
                       (_holds(rules, need.base, state),))  # fmt: skip
    if isinstance(base, Handle):
        return Refusal("G0608", f"this accesses memory through r{need.base}, which is a map",
                       helps=("look up a value with helper 1 (map_lookup_elem)",))  # fmt: skip
    assert isinstance(base, Pointer)
    if base.region.nullable:
        return Refusal("G0607", f"r{need.base} may be null here: the lookup may have found nothing",
                       helps=("compare the lookup's result with 0 first",))  # fmt: skip
    where = shifted(base.scalar, need.offset)
    return (
        _right(rules, base.region, need)
        or _bounds(rules, state, base, where, need)
        or (_aligned(where, need) if rules.hook.aligned else None)
    )


def _right(rules: Rules, region: Region, need: Access) -> Refusal | None:
    if not need.write or region.kind is Kind.STACK:
        return None
    name = describe_region(rules, region)
    if need.atomic and region.kind is Kind.CONTEXT:
        return Refusal("G0609", f"atomic operations on {name} are not allowed")
    if region.kind is Kind.VALUE:
        if not any(rules.program.maps[m].read_only for m in region.maps):
            return None
    elif region.kind is not Kind.BODY and rules.hook.context_writable:
        return None
    return Refusal("G0609", f"this writes to {name}, which is read-only")


def _text(where: Scalar, need: Access, region: str) -> str:
    verb = "writes" if need.write else "reads"
    plural = "byte" if need.size == 1 else "bytes"
    return f"this {verb} {need.size} {plural} at offset {describe(where)} of {region}"


def region_size(rules: Rules, region: Region) -> int:
    """Return the bytes of a region whose size is fixed."""
    if region.kind is Kind.VALUE:
        return min(rules.program.maps[m].value_size for m in region.maps)
    return rules.hook.context_bytes


def _bounds(rules: Rules, state: State, base: Pointer, where: Scalar, need: Access) -> Refusal | None:
    region = base.region
    match region.kind:
        case Kind.STACK:
            return _stack_access(rules, state, region, where, need)
        case Kind.CONTEXT:
            return _context_access(rules, where, need)
        case Kind.BODY:
            return _body_range(rules, state, base, where, need.offset, constant(need.size), "this reads")
        case Kind.VALUE | Kind.MEMORY:
            size = region_size(rules, region)
            if where.smin >= 0 and where.smax + need.size <= size:
                return None
            name = describe_region(rules, region)
            code = "G0606" if region.kind is Kind.VALUE else "G0603"
            return Refusal(code, _text(where, need, name), (f"it has {size} bytes",), _bound_help(where))


def _bound_help(where: Scalar) -> tuple[str, ...]:
    return () if where.is_constant else ("bound the offset by a comparison or a mask before the access",)


def _stack_access(rules: Rules, state: State, region: Region, where: Scalar, need: Access) -> Refusal | None:
    places = stacks.offsets(where, need.size)
    if places is None:
        return Refusal("G0603", _text(where, need, "the stack"),
                       (f"a frame has the offsets -{stacks.SIZE} to -1 from r10",), _bound_help(where))  # fmt: skip
    if not need.read:
        return None
    stack = state.frames[region.frame].stack
    if need.size == stacks.SLOT and len(places) == 1 and not need.atomic and where.smin % stacks.SLOT == 0:
        content = stack.get((where.smin + stacks.SIZE) // stacks.SLOT)
        if content is not None and not isinstance(content, stacks.Pieces | Unusable):
            return None  # a spilled value of any kind, reloaded whole
    for offset in places:
        found = stacks.first_unreadable(rules.terms, stack, offset, offset + need.size)
        if found is not None:
            return _unreadable(*found)
    return None


def _unreadable(offset: int, value: object) -> Refusal:
    if value is None:
        return Refusal("G0602", f"this reads the stack at r10{offset:+d}, which was not written on every path",
                       helps=("store something there first",))  # fmt: skip
    what = value.value if isinstance(value, Unusable) else "holds an address"
    return Refusal("G0611", f"this reads the stack at r10{offset:+d}, which {what}",
                   ("an address can only be loaded as it was stored: whole, 8 bytes from the same slot",))  # fmt: skip


def _context_access(rules: Rules, where: Scalar, need: Access) -> Refusal | None:
    size = rules.hook.context_bytes
    if where.smin < 0 or where.smax + need.size > size:
        return Refusal("G0604", _text(where, need, "the context"), (f"it has {size} bytes",), _bound_help(where))
    if not rules.hook.fields:
        return None
    special = [f for f in rules.hook.fields if f.kind is not hooks.FieldKind.SCALAR]
    if where.is_constant:
        at = where.smin
        if rules.hook.field_at(at, need.size) or not any(_overlap(at, need.size, f) for f in special):
            return None
        names = " and ".join(f"`{f.name}`" for f in special if _overlap(at, need.size, f))
        return Refusal("G0604", f"this reads part of {names}, which is an address",
                       helps=("load the field whole, as 8 bytes",))  # fmt: skip
    if any(where.smin < f.offset + f.size and f.offset < where.smax + need.size for f in special):
        return Refusal("G0604", f"{_text(where, need, 'the context')}, where addresses stand")
    return None


def _overlap(at: int, size: int, field: hooks.Field) -> bool:
    return at < field.offset + field.size and field.offset < at + size


def _body_range(
    rules: Rules, state: State, base: Pointer, where: Scalar, offset: int, size: Scalar, verb: str
) -> Refusal | None:
    """Check that `size` bytes from `base + offset`, which is at `where`, are in the body."""
    if where.smin >= 0 and where.smax <= FARTHEST:
        if where.smax + size.umax <= state.length.umin:
            return None
        delta = base.delta + offset
        if abs(delta) < FARTHEST:
            proven = 0 if base.symbol == LENGTH else dict(state.reach).get(base.symbol)
            if proven is not None and delta + size.umax <= proven:
                return None
    count = describe(size)
    plural = "byte" if count == "1" else "bytes"
    return Refusal(
        "G0605",
        f"{verb} {count} {plural} at offset {describe(where)} of the message body",
        (f"{state.length.umin} bytes are proven to exist here",),
        ("compare the end of what is read with `data_end` first",),
    )


def _aligned(where: Scalar, need: Access) -> Refusal | None:
    low = need.size - 1
    if (where.mask | where.value) & low == 0:
        return None
    return Refusal("G0610", f"this accesses {need.size} bytes at an offset that is not a multiple of {need.size}",
                   (f"the offset is {describe(where)}",))  # fmt: skip


def _stored(rules: Rules, state: State, need: Stored) -> Refusal | None:
    value, base = state.registers[need.source], state.registers[need.base]
    if isinstance(value, Number):
        return None
    assert isinstance(base, Pointer)
    if base.region.kind is not Kind.STACK:
        name = describe_region(rules, base.region)
        return Refusal("G0611", f"this stores an address to {name}", (_holds(rules, need.source, state),),
                       ("addresses may be kept in registers and on the stack only",))  # fmt: skip
    where = shifted(base.scalar, need.offset)
    if need.size == 8 and where.is_constant and where.smin % 8 == 0:
        return None
    return Refusal("G0611", "this stores an address to the stack, but not whole and to one known slot",
                   (_holds(rules, need.source, state),))  # fmt: skip


# --- arithmetic and comparisons --------------------------------------------------------------------------------------


def operand(state: State, source: Operand) -> Value:
    """Return the value of an operand."""
    return state.registers[source.number] if isinstance(source, Reg) else literal(source.value)


def _arithmetic(state: State, need: Arithmetic) -> Refusal | None:
    left, right = state.registers[need.dst], operand(state, need.source)
    if isinstance(left, Number) and (need.op is Alu.NEG or isinstance(right, Number)):
        return None
    if need.is64 and not isinstance(left, Handle) and not isinstance(right, Handle):
        if need.op is Alu.ADD and not (isinstance(left, Pointer) and isinstance(right, Pointer)):
            return _movable(left) or _movable(right)
        if need.op is Alu.SUB and isinstance(left, Pointer):
            if isinstance(right, Number):
                return _movable(left)
            if isinstance(right, Pointer) and left.region.kind is Kind.BODY and right.region.kind is Kind.BODY:
                return None
    sign = "unary -" if need.op is Alu.NEG else f"`{need.op.value}`"
    width = "" if need.is64 else " of 32 bits"
    return Refusal("G0612", f"arithmetic {sign}{width} on an address",
                   ("numbers may be added to and subtracted from an address; two addresses of the message body may be "
                    "subtracted",))  # fmt: skip


def _movable(value: Value) -> Refusal | None:
    if isinstance(value, Pointer) and value.region.nullable:
        return Refusal("G0607", "arithmetic on an address that may be null: the lookup may have found nothing",
                       helps=("compare the lookup's result with 0 first",))  # fmt: skip
    return None


def _comparable(state: State, need: Comparable) -> Refusal | None:
    branch = need.branch
    left, right = state.registers[branch.dst], operand(state, branch.source)
    if isinstance(left, Number) and isinstance(right, Number):
        return None
    if branch.bits == 64 and isinstance(left, Pointer) and branch.condition is not Condition.SET:
        if isinstance(right, Pointer) and not left.region.nullable and same_base(left.region, right.region):
            return None
        zero = isinstance(right, Number) and right.scalar.is_constant and right.scalar.constant_value == 0
        if zero and branch.condition in (Condition.EQ, Condition.NE):
            return None
    return Refusal("G0613", "this compares an address with something other than 0 or an address in the same region",
                   ("the outcome would tell where memory lies",))  # fmt: skip


# --- helpers ---------------------------------------------------------------------------------------------------------


def _offered(rules: Rules, number: int) -> Refusal | None:
    if rules.hook.helper(number) is not None:
        return None
    known = hooks.HELPERS.get(number)
    if known is not None and rules.hook.event is not None:
        return Refusal("G0615", f"helper {number} ({known.name}) cannot be called from `{rules.hook.name}`")
    offered = ", ".join(str(h.number) for h in rules.hook.helpers) or "none"
    return Refusal("G0615", f"there is no helper {number} here", (f"`{rules.hook.name}` offers: {offered}",))


_PLACE = {1: "first", 2: "second", 3: "third", 4: "fourth", 5: "fifth"}
LENGTH_OF = {Arg.READ: 1, Arg.WRITE: 1}
"""How many registers behind a memory argument its length stands, where that is not always r3."""


def length_register(kind: Arg, register: int) -> int:
    """Return the register that holds the length of a memory argument."""
    return register + LENGTH_OF[kind] if kind in LENGTH_OF else 3


def argument_maps(rules: Rules, state: State) -> tuple[MapSpec, ...]:
    """Return the maps that r1 may be, if it is one."""
    value = state.registers[1]
    return tuple(rules.program.maps[m] for m in value.maps) if isinstance(value, Handle) else ()


def _argument(rules: Rules, state: State, need: Argument) -> Refusal | None:
    value = state.registers[need.register]
    what = f"the {_PLACE[need.register]} argument of helper {need.helper.number} ({need.helper.name})"
    match need.kind:
        case Arg.MAP:
            if not isinstance(value, Handle):
                return _wrong(rules, need, what, state)
            return _map_argument(rules, state, need, what)
        case Arg.KEY:
            size = max(spec.key_size for spec in argument_maps(rules, state))
            return _memory(rules, state, need, what, constant(size), write=False)
        case Arg.VALUE:
            size = max(spec.value_size for spec in argument_maps(rules, state))
            return _memory(rules, state, need, what, constant(size), write=False)
        case Arg.READ | Arg.READ_THIRD | Arg.WRITE | Arg.WRITE_THIRD:
            length = state.registers[length_register(need.kind, need.register)]
            if not isinstance(length, Number):  # reported at the length's own register, which comes later
                length = literal(0)
            write = need.kind in (Arg.WRITE, Arg.WRITE_THIRD)
            return _memory(rules, state, need, what, length.scalar, write=write)
        case Arg.SCALAR | Arg.SLOT | Arg.OP:
            return None if isinstance(value, Number) else _leak(rules, need, what, state)
        case Arg.LENGTH:
            if not isinstance(value, Number):
                return _leak(rules, need, what, state)
            most = limits.BODY_BYTES + hooks.SEND_OPTIONS_BYTES
            if value.scalar.umax <= most:
                return None
            return Refusal("G0618", f"{what} is a length of {describe(value.scalar)}, at most {most} is allowed",
                           helps=("compare the length with its limit before the call",))  # fmt: skip


def _wrong(rules: Rules, need: Argument, what: str, state: State) -> Refusal:
    return Refusal("G0616", f"{what} must be {need.kind.value}", (_holds(rules, need.register, state),))


def _leak(rules: Rules, need: Argument, what: str, state: State) -> Refusal:
    return Refusal("G0611", f"{what} must be {need.kind.value}, and an address may not leave the program",
                   (_holds(rules, need.register, state),))  # fmt: skip


def _map_argument(rules: Rules, state: State, need: Argument, what: str) -> Refusal | None:
    for spec in argument_maps(rules, state):
        if spec.is_data:
            return Refusal("G0616", f"{what} is section `{spec.name}`, not a map")
        if spec.read_only and need.helper.number != 1:
            return Refusal("G0609", f"this changes map `{spec.name}`, which is read-only")
    return None


def _memory(rules: Rules, state: State, need: Argument, what: str, size: Scalar, *, write: bool) -> Refusal | None:
    """Check that a helper may read, or write, `size` bytes at a register."""
    value = state.registers[need.register]
    if not isinstance(value, Pointer):
        return _wrong(rules, need, what, state)
    if value.region.nullable:
        return Refusal("G0607", f"{what} may be null: the lookup may have found nothing",
                       helps=("compare the lookup's result with 0 first",))  # fmt: skip
    refusal = _right(rules, value.region, Access(need.register, 0, 1, write=write))
    if refusal is not None or size.umax == 0:
        return refusal
    where = value.scalar
    verb = f"{what} is" if write else f"{what} reads"
    match value.region.kind:
        case Kind.BODY:
            return _body_range(rules, state, value, where, 0, size, verb)
        case Kind.STACK:
            return _stack_argument(rules, state, value, size, what, write=write)
        case Kind.CONTEXT if rules.hook.fields:
            return Refusal("G0611", f"{what} is the context, which holds addresses")
        case Kind.CONTEXT | Kind.VALUE | Kind.MEMORY:
            whole = region_size(rules, value.region)
            if where.smin >= 0 and where.smax + size.umax <= whole:
                return None
            return Refusal("G0606", f"{what} is {describe(size)} bytes at offset {describe(where)} of "
                           f"{describe_region(rules, value.region)}", (f"it has {whole} bytes",))  # fmt: skip


def _stack_argument(
    rules: Rules, state: State, value: Pointer, size: Scalar, what: str, *, write: bool
) -> Refusal | None:
    where = value.scalar
    if size.umax > stacks.SIZE or where.smin < -stacks.SIZE or where.smax + size.umax > 0:
        return Refusal("G0603", f"{what} is {describe(size)} bytes at r10 + ({describe(where)}), not all in the frame")
    if write:
        return None
    stack = state.frames[value.region.frame].stack
    found = stacks.first_unreadable(rules.terms, stack, where.smin, where.smax + size.umax)
    if found is None:
        return None
    offset, content = found
    if content is None:
        return Refusal("G0602", f"{what} reads {describe(size)} bytes, of which r10{offset:+d} was not written on "
                       "every path", helps=("store something there first",))  # fmt: skip
    return Refusal("G0611", f"{what} holds an address at r10{offset:+d}, which may not leave the program")


# --- capabilities ----------------------------------------------------------------------------------------------------


def words(scalar: Scalar, most: int) -> Iterator[int] | None:
    """Return the words of a scalar in ascending order, or None if they may be more than `most`."""
    if scalar.umax - scalar.umin >= most:
        return None
    return (word for word in range(scalar.umin, scalar.umax + 1) if scalars.contains(scalar, word))


def _sendable(rules: Rules, state: State, helper: Helper) -> Refusal | None:
    slot, op, length = (state.registers[number] for number in (1, 2, 5))
    assert isinstance(slot, Number)
    assert isinstance(op, Number)
    assert isinstance(length, Number)
    with_record = helper.number == 1002
    size = shifted(length.scalar, -hooks.SEND_OPTIONS_BYTES) if with_record else length.scalar
    candidates = words(slot.scalar, limits.CAPABILITY_SLOTS)
    declared = len(rules.program.slots)
    if candidates is None or slot.scalar.umax >= declared:
        return Refusal("G0617", f"the slot is {describe(slot.scalar)}, {declared} are declared",
                       tuple(f"slot {i} is `{s.name}`" for i, s in enumerate(rules.program.slots)))  # fmt: skip
    for number in candidates:
        refusal = _sendable_to(rules.program.slots[number], op.scalar, size)
        if refusal is not None:
            return refusal
    return _record(rules, state) if with_record else None


def _sendable_to(slot: SlotSpec, op: Scalar, size: Scalar) -> Refusal | None:
    if not slot.send:
        return Refusal("G0617", f"capability `{slot.name}` is declared without the right to send")
    by_number = {spec.number: spec for spec in slot.protocol.ops}
    candidates = words(op, limits.PROTOCOL_OPS)
    if candidates is None:
        return Refusal("G0617", f"the operation of `{slot.name}` is {describe(op)}")
    for number in candidates:
        spec = by_number.get(number)
        if spec is None:
            return Refusal("G0617", f"protocol `{slot.protocol.name}` of capability `{slot.name}` has no operation "
                           f"{number}")  # fmt: skip
        refusal = _fits(slot, spec, size)
        if refusal is not None:
            return refusal
    return None


def _fits(slot: SlotSpec, op: OpSpec, size: Scalar) -> Refusal | None:
    if op.request_min <= size.umin and size.umax <= op.request_max:
        return None
    exact = op.request_min == op.request_max
    wanted = f"exactly {op.request_min}" if exact else f"{op.request_min} to {op.request_max}"
    return Refusal("G0618", f"`{slot.name}.{op.name}` takes {wanted} bytes, here the length is {describe(size)}")


def _record(rules: Rules, state: State) -> Refusal | None:
    """Check the options record of `send_with`: the capabilities that it gives away and the slot of its promise."""
    record = state.registers[4]
    assert isinstance(record, Pointer)
    if record.region.kind is not Kind.STACK or not record.scalar.is_constant:
        return Refusal("G0616", "the options record of send_with must be at a fixed place of the stack")
    stack = state.frames[record.region.frame].stack
    fields = {field.name: field for field in hooks.SEND_OPTIONS}

    def word(offset: int) -> Scalar:
        loaded = stacks.load(rules.terms, stack, record.scalar.smin + offset, 4)
        assert isinstance(loaded, Number)
        return loaded.scalar

    count = word(fields["ncaps"].offset)
    most = fields["caps"].size // 4
    if count.umax > most:
        return Refusal("G0617", f"`ncaps` of the options record is {describe(count)}, at most {most} are possible")
    for index in range(count.umax):
        refusal = _given_away(rules, word(fields["caps"].offset + 4 * index))
        if refusal is not None:
            return refusal
    promise = word(fields["promise"].offset)
    if promise.is_constant and promise.constant_value == hooks.NO_SLOT:
        return None
    if promise.umax < len(rules.program.slots):
        return None
    return Refusal("G0617", f"the slot of the promise is {describe(promise)}, not a declared one")


def _given_away(rules: Rules, cap: Scalar) -> Refusal | None:
    if cap.umin >= hooks.CAP_OF_MESSAGE and cap.umax < hooks.NO_SLOT:
        return None  # received with the message: whoever sent it had the right to
    candidates = words(cap, limits.CAPABILITY_SLOTS)
    if candidates is None or cap.umax >= len(rules.program.slots):
        return Refusal("G0617", f"the capability to give away is {describe(cap)}, not a declared slot")
    for number in candidates:
        if not rules.program.slots[number].grant:
            name = rules.program.slots[number].name
            return Refusal("G0617", f"capability `{name}` is declared without the right to be given away",
                           helps=(f"declare it with `grant`: `cap {name}: … grant`",))  # fmt: skip
    return None


# --- results ---------------------------------------------------------------------------------------------------------


def _result(rules: Rules, state: State, *, last: bool) -> Refusal | None:
    value = state.registers[0]
    if state.depth and not last:
        frame = state.depth
        if isinstance(value, Pointer) and value.region.kind is Kind.STACK and value.region.frame == frame:
            return Refusal("G0611", "this returns an address of the function's own frame, which ends here")
        return None
    if not isinstance(value, Number):
        return Refusal("G0611", "the handler's result is an address", (_holds(rules, 0, state),))
    if not rules.hook.verdicts:
        return None
    legal = {word for _, word in rules.hook.verdicts}
    if rules.hook.steer:
        legal |= {hooks.STEER + i for i, slot in enumerate(rules.program.slots) if slot.send}
    found = words(value.scalar, len(legal) + limits.CAPABILITY_SLOTS)
    if found is not None and legal.issuperset(found):
        return None
    names = ", ".join(f"{word} {name}" for name, word in rules.hook.verdicts)
    steer = f", {hooks.STEER} + slot steer" if rules.hook.steer else ""
    return Refusal("G0619", f"the result of `{rules.hook.name}` must be one of its verdicts, here r0 is "
                   f"{describe(value.scalar)}", (f"the verdicts: {names}{steer}",))  # fmt: skip
