"""The rules of memory: rights, bounds, initialisation and alignment of an access; where an address may be stored."""

from __future__ import annotations

from grafting import hooks
from grafting.isa import Reg
from verifier import stack as stacks
from verifier.obligations import Access, Stored
from verifier.pointers import FARTHEST, Kind, Region
from verifier.refusal import Absent, Bytes, Confine, Held, Reach, Refusal, Test, describe_region, describe_value
from verifier.rules import Rules, region_size
from verifier.scalar import Scalar, constant
from verifier.state import State, shifted
from verifier.terms import LENGTH
from verifier.values import Handle, Number, Pointer, Unusable


def access(rules: Rules, state: State, need: Access) -> Refusal | None:
    """Check an access by a load, a store or an atomic operation."""
    base = state.registers[need.base]
    verb = "writes" if need.write and not need.read else "reads"
    if isinstance(base, Number):
        what = "null" if base.scalar.is_constant and base.scalar.constant_value == 0 else "a number, not an address"
        return Refusal("G0608", (f"this {verb} memory at ", Held(need.base), f", which is {what}"), about=(need.base,))
    if isinstance(base, Handle):
        return Refusal("G0608", (f"this {verb} memory at ", Held(need.base), ", which is a map, not an address"),
                       helps=("look up a value with helper 1 (map_lookup_elem)",))  # fmt: skip
    assert isinstance(base, Pointer)
    if base.region.nullable:
        return Refusal("G0607", (Absent(need.base), f" may be absent here, and this {verb} its value"),
                       helps=(Test(need.base),))  # fmt: skip
    where = shifted(base.scalar, need.offset)
    bytes_ = Bytes(need.base, need.offset, need.size)
    return (
        writable(rules, base.region, need)
        or _bounds(rules, state, base, where, need, bytes_)
        or (_aligned(where, bytes_, need.size) if rules.hook.aligned else None)
    )


def writable(rules: Rules, region: Region, need: Access) -> Refusal | None:
    """Check that a region may be written, if that is what the access does."""
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
    helps = ("copy what you want to change to the stack or to a map",) if region.kind is Kind.BODY else ()
    return Refusal("G0609", f"this writes to {name}, which is read-only", helps=helps)


# --- bounds ----------------------------------------------------------------------------------------------------------


def _bounds(rules: Rules, state: State, base: Pointer, where: Scalar, need: Access, bytes_: Bytes) -> Refusal | None:
    region = base.region
    verb = "this writes " if need.write and not need.read else "this reads "
    match region.kind:
        case Kind.STACK:
            return _stack_access(rules, state, region, where, need, bytes_)
        case Kind.CONTEXT:
            return _context_access(rules, where, need, bytes_)
        case Kind.BODY:
            return body_range(state, base, where, bytes_, constant(need.size), verb)
        case Kind.VALUE | Kind.MEMORY:
            size = region_size(rules, region)
            if where.smin >= 0 and where.smax + need.size <= size:
                return None
            code = "G0606" if region.kind is Kind.VALUE else "G0603"
            return outside(rules, region, code, bytes_, size, verb)


def outside(rules: Rules, region: Region, code: str, bytes_: Bytes, size: int, verb: str) -> Refusal:
    """Return what to say of bytes that are not all in a region of a fixed size."""
    has = f" of {describe_region(rules, region)}, which has {size}"
    return Refusal(code, (verb, bytes_, has), helps=(Confine(bytes_, size),))


def body_range(state: State, base: Pointer, where: Scalar, bytes_: Bytes, size: Scalar, verb: str) -> Refusal | None:
    """Check that `size` bytes from `base + offset`, which is at `where`, are in the body."""
    notes: tuple[str, ...] = ()
    if where.smin >= 0 and where.smax <= FARTHEST:
        if where.smax + size.umax <= state.length.umin:
            return None
        delta = base.delta + bytes_.offset
        if abs(delta) < FARTHEST:
            proven = 0 if base.symbol == LENGTH else dict(state.reach).get(base.symbol)
            if proven is not None and delta + size.umax <= proven:
                return None
            if proven is not None and base.symbol != LENGTH:
                notes = (f"the comparison in front of it reaches {delta + size.umax - proven} bytes less far",)
    elif not where.is_constant:
        notes = ("the address may wrap around, so a comparison with `data_end` proves nothing",)
    least = state.length.umin
    known = f"{least} byte{' is' if least == 1 else 's are'} proven to exist" if least else "no byte is proven to exist"
    return Refusal("G0605", (verb, bytes_, f" of the message body, of which {known}"), notes, (Reach(bytes_),))


def _stack_access(
    rules: Rules, state: State, region: Region, where: Scalar, need: Access, bytes_: Bytes
) -> Refusal | None:
    places = stacks.offsets(where, need.size)
    if places is None:
        verb = "writes" if need.write and not need.read else "reads"
        return Refusal("G0603", (f"this {verb} ", bytes_, " of the stack, whose frame is r10-512 .. r10"),
                       helps=(Confine(bytes_, 0),))  # fmt: skip
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
        return Refusal("G0602", f"this reads the stack at r10{offset:+d}, which is not written on every path to here",
                       helps=("store something there first",))  # fmt: skip
    what = value.value if isinstance(value, Unusable) else "holds an address"
    return Refusal("G0611", f"this reads the stack at r10{offset:+d}, which {what}",
                   ("an address can only be loaded as it was stored: whole, 8 bytes from the same slot",))  # fmt: skip


def _context_access(rules: Rules, where: Scalar, need: Access, bytes_: Bytes) -> Refusal | None:
    size = rules.hook.context_bytes
    verb = "this writes " if need.write and not need.read else "this reads "
    if where.smin < 0 or where.smax + need.size > size:
        return Refusal("G0604", (verb, bytes_, f" of the context, which has {size}"), helps=(Confine(bytes_, size),))
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
        names = " and ".join(f"`{f.name}`" for f in special)
        return Refusal("G0604", (verb, bytes_, f" of the context, where the addresses {names} stand"))
    return None


def _overlap(at: int, size: int, field: hooks.Field) -> bool:
    return at < field.offset + field.size and field.offset < at + size


# --- alignment, and addresses in memory ------------------------------------------------------------------------------


def _aligned(where: Scalar, bytes_: Bytes, size: int) -> Refusal | None:
    low = size - 1
    if (where.mask | where.value) & low == 0:
        return None
    known = f"{where.value & low} more than" if where.mask & low == 0 else "not known to be"
    first = f"{where.smin} is not" if where.is_constant else f"the first is {known}"
    return Refusal("G0610", ("this accesses ", bytes_, f", and {first} a multiple of {size}"))


def stored(rules: Rules, state: State, need: Stored) -> Refusal | None:
    """Check that an address is stored to the stack only, whole, and to one known slot."""
    value, base = state.registers[need.source], state.registers[need.base]
    if isinstance(value, Number):
        return None
    assert isinstance(base, Pointer)
    holds = (Held(need.source), f" is {describe_value(rules, value)}")
    if base.region.kind is not Kind.STACK:
        name = describe_region(rules, base.region)
        return Refusal("G0611", f"this stores an address to {name}", (holds,),
                       ("addresses may be kept in registers and on the stack only",))  # fmt: skip
    where = shifted(base.scalar, need.offset)
    if need.size == 8 and where.is_constant and where.smin % 8 == 0:
        return None
    return Refusal("G0611", "this stores an address to the stack, but not whole and to one known slot", (holds,))


# --- memory handed to helpers ----------------------------------------------------------------------------------------


def handed(
    rules: Rules, state: State, register: int, length: int | Reg, size: Scalar, what: str, *, write: bool
) -> Refusal | None:
    """Check that a helper may read, or write, `size` bytes at a register: `length` says it in words."""
    value = state.registers[register]
    assert isinstance(value, Pointer)
    if value.region.nullable:
        return Refusal("G0607", (Absent(register), f" may be absent here, and is {what}"),
                       helps=(Test(register),))  # fmt: skip
    refusal = writable(rules, value.region, Access(register, 0, 1, write=write))
    if refusal is not None or size.umax == 0:
        return refusal
    where, bytes_ = value.scalar, Bytes(register, 0, length)
    verb = f"{what} is " if write else f"{what} reads "
    match value.region.kind:
        case Kind.BODY:
            return body_range(state, value, where, bytes_, size, verb)
        case Kind.STACK:
            return _stack_argument(rules, state, value, size, bytes_, what, write=write)
        case Kind.CONTEXT if rules.hook.fields:
            return Refusal("G0611", f"{what} is the context, which holds addresses")
        case Kind.CONTEXT | Kind.VALUE | Kind.MEMORY:
            whole = region_size(rules, value.region)
            if where.smin >= 0 and where.smax + size.umax <= whole:
                return None
            return outside(rules, value.region, "G0606", bytes_, whole, verb)


def _stack_argument(
    rules: Rules, state: State, value: Pointer, size: Scalar, bytes_: Bytes, what: str, *, write: bool
) -> Refusal | None:
    where = value.scalar
    if size.umax > stacks.SIZE or where.smin < -stacks.SIZE or where.smax + size.umax > 0:
        return Refusal("G0603", (f"{what} is ", bytes_, " of the stack, not all in the frame, which is r10-512 .. r10"))
    if write:
        return None
    stack = state.frames[value.region.frame].stack
    found = stacks.first_unreadable(rules.terms, stack, where.smin, where.smax + size.umax)
    if found is None:
        return None
    offset, content = found
    if content is None:
        return Refusal("G0602", (f"{what} reads ", bytes_, f" of the stack, of which r10{offset:+d} is not written on "
                       "every path to here"), helps=("store something there first",))  # fmt: skip
    return Refusal("G0611", f"{what} holds an address at r10{offset:+d}, which may not leave the program")
