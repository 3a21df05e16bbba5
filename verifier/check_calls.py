"""The rules of helper calls: which there are, what their arguments must be, what may be sent through which slot."""

from __future__ import annotations

from collections.abc import Iterator

from grafting import hooks, limits
from grafting.hooks import Arg, Helper
from grafting.isa import Reg
from grafting.program import OpSpec, SlotSpec
from verifier import scalar as scalars
from verifier import stack as stacks
from verifier.check_memory import handed
from verifier.obligations import Argument
from verifier.pointers import Kind
from verifier.refusal import Cap, Held, Refusal, describe_value
from verifier.rules import Rules, argument_maps, length_register
from verifier.scalar import Scalar, constant, describe
from verifier.state import State, shifted
from verifier.values import Handle, Number, Pointer, literal

_PLACE = {1: "first", 2: "second", 3: "third", 4: "fourth", 5: "fifth"}


def offered(rules: Rules, number: int) -> Refusal | None:
    """Check that the hook offers a helper."""
    if rules.hook.helper(number) is not None:
        return None
    known = hooks.HELPERS.get(number)
    offers = ", ".join(f"{h.number} {h.name}" for h in rules.hook.helpers) or "none"
    what = f"there is no helper {number} here"
    if known is not None and rules.hook.event is not None:
        what = f"helper {number} ({known.name}) cannot be called from `{rules.hook.name}`"
    return Refusal("G0615", what, (f"`{rules.hook.name}` offers: {offers}",), everywhere=True)


# --- arguments -------------------------------------------------------------------------------------------------------


def argument(rules: Rules, state: State, need: Argument) -> Refusal | None:
    """Check that a register is what the helper demands there."""
    value = state.registers[need.register]
    what = _name(need)
    match need.kind:
        case Arg.MAP:
            if not isinstance(value, Handle):
                return _wrong(rules, need, what, state)
            return _map_argument(rules, state, need, what)
        case Arg.KEY:
            return _memory(rules, state, need, max(spec.key_size for spec in argument_maps(rules, state)))
        case Arg.VALUE:
            return _memory(rules, state, need, max(spec.value_size for spec in argument_maps(rules, state)))
        case Arg.READ | Arg.READ_THIRD | Arg.WRITE | Arg.WRITE_THIRD:
            return _memory(rules, state, need, Reg(length_register(need.kind, need.register)))
        case Arg.SCALAR | Arg.SLOT | Arg.OP:
            return None if isinstance(value, Number) else _leak(rules, need, what, state)
        case Arg.LENGTH:
            if not isinstance(value, Number):
                return _leak(rules, need, what, state)
            most = limits.BODY_BYTES + hooks.SEND_OPTIONS_BYTES
            if value.scalar.umax <= most:
                return None
            return Refusal("G0618", (f"{what} must be at most {most}, and is ", Held(need.register)),
                           helps=(Cap(need.register, most),), about=(need.register,))  # fmt: skip


def _name(need: Argument) -> str:
    """Return what an argument is called: by its name if the table of helpers has one."""
    names = need.helper.params
    name = f" (`{names[need.register - 1]}`)" if len(names) >= need.register else ""
    return f"the {_PLACE[need.register]} argument{name} of helper {need.helper.number} ({need.helper.name})"


def _wrong(rules: Rules, need: Argument, what: str, state: State) -> Refusal:
    held = describe_value(rules, state.registers[need.register])
    return Refusal("G0616", f"{what} must be {need.kind.value}", ((Held(need.register), f" is {held}"),))


def _leak(rules: Rules, need: Argument, what: str, state: State) -> Refusal:
    held = describe_value(rules, state.registers[need.register])
    return Refusal("G0611", f"{what} must be a number: an address may not leave the program",
                   ((Held(need.register), f" is {held}"),))  # fmt: skip


def _map_argument(rules: Rules, state: State, need: Argument, what: str) -> Refusal | None:
    for spec in argument_maps(rules, state):
        if spec.is_data:
            return Refusal("G0616", f"{what} is section `{spec.name}`, not a map")
        if spec.read_only and need.helper.number != 1:
            return Refusal("G0609", f"this changes map `{spec.name}`, which is read-only")
    return None


def _memory(rules: Rules, state: State, need: Argument, length: int | Reg) -> Refusal | None:
    """Check that a helper may read, or write, so many bytes at a register."""
    what = _name(need)
    if not isinstance(state.registers[need.register], Pointer):
        return _wrong(rules, need, what, state)
    if isinstance(length, Reg):
        number = state.registers[length.number]
        if not isinstance(number, Number):  # reported at the length's own register, which comes later
            number = literal(0)
        size = number.scalar
    else:
        size = constant(length)
    write = need.kind in (Arg.WRITE, Arg.WRITE_THIRD)
    return handed(rules, state, need.register, length, size, what, write=write)


# --- capabilities ----------------------------------------------------------------------------------------------------


def words(scalar: Scalar, most: int) -> Iterator[int] | None:
    """Return the words of a scalar in ascending order, or None if they may be more than `most`."""
    if scalar.umax - scalar.umin >= most:
        return None
    return (word for word in range(scalar.umin, scalar.umax + 1) if scalars.contains(scalar, word))


def sendable(rules: Rules, state: State, helper: Helper) -> Refusal | None:
    """Check that slot, operation, rights and length of a send go together, for every combination."""
    slot, op, length = (state.registers[number] for number in (1, 2, 5))
    assert isinstance(slot, Number)
    assert isinstance(op, Number)
    assert isinstance(length, Number)
    with_record = helper.number == 1002
    size = shifted(length.scalar, -hooks.SEND_OPTIONS_BYTES) if with_record else length.scalar
    candidates = words(slot.scalar, limits.CAPABILITY_SLOTS)
    declared = len(rules.program.slots)
    if candidates is None or slot.scalar.umax >= declared:
        listed = ", ".join(f"{i} `{s.name}`" for i, s in enumerate(rules.program.slots))
        notes = (f"the slots: {listed}",) if listed else ()
        return Refusal("G0617", (f"this sends through slot {describe(slot.scalar)}, {declared} "
                                 f"{'is' if declared == 1 else 'are'} declared",), notes, about=(1,))  # fmt: skip
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
        return Refusal("G0617", f"the operation of `{slot.name}` is {describe(op)}", about=(2,))
    for number in candidates:
        spec = by_number.get(number)
        if spec is None:
            return Refusal("G0617", (f"protocol `{slot.protocol.name}` of capability `{slot.name}` has no operation "
                           f"{number}",), about=(2,))  # fmt: skip
        refusal = _fits(slot, spec, size)
        if refusal is not None:
            return refusal
    return None


def _fits(slot: SlotSpec, op: OpSpec, size: Scalar) -> Refusal | None:
    if op.request_min <= size.umin and size.umax <= op.request_max:
        return None
    exact = op.request_min == op.request_max
    wanted = f"exactly {op.request_min}" if exact else f"{op.request_min} to {op.request_max}"
    plural = "byte" if wanted == "exactly 1" else "bytes"
    return Refusal("G0618", f"`{slot.name}.{op.name}` takes {wanted} {plural}, here the length is {describe(size)}",
                   about=(5,))  # fmt: skip


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
