"""Decides whether an obligation is met in a state. It rejects and never changes anything.

`unmet` answers None if the obligation is met for **every** word that the state allows, else a `Refusal`: what was
needed, what is known, and an edit that would help. The rules are those of the table in `pointers`, of the hook and of
the program's declarations; each function here, in `check_memory` and in `check_calls` is one rule.
"""

from __future__ import annotations

from typing import assert_never

from grafting import hooks, limits
from grafting.isa import Alu, Condition, Reg
from verifier.check_calls import argument, offered, sendable, words
from verifier.check_memory import access, stored
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
from verifier.pointers import Kind, same_base
from verifier.refusal import Absent, Held, Refusal, Test, Unset, describe_value
from verifier.rules import Rules, operand
from verifier.scalar import describe
from verifier.state import State
from verifier.values import Handle, Number, Pointer, Unusable, Value


def unmet(rules: Rules, state: State, obligation: Obligation) -> Refusal | None:
    """Return None if the obligation is met in the state, else why not."""
    match obligation:
        case Initialised(register):
            value = state.registers[register]
            return _unusable(register, value) if value is None or isinstance(value, Unusable) else None
        case Access():
            return access(rules, state, obligation)
        case Arithmetic():
            return _arithmetic(state, obligation)
        case Comparable():
            return _comparable(state, obligation)
        case Writable(register):
            if register != 10:
                return None
            return Refusal("G0614", "this writes r10, which is read-only", ("r10 is the end of the stack frame",),
                           everywhere=True)  # fmt: skip
        case Plain(register, purpose):
            if isinstance(state.registers[register], Number):
                return None
            return Refusal("G0612", f"an address cannot be {purpose}", (_holds(rules, register, state),))
        case Stored():
            return stored(rules, state, obligation)
        case Offered(number):
            return offered(rules, number)
        case Argument():
            return argument(rules, state, obligation)
        case Sendable(helper):
            return sendable(rules, state, helper)
        case Result(last):
            return _result(rules, state, last=last)
        case _:
            assert_never(obligation)


def _holds(rules: Rules, register: int, state: State) -> tuple[Held, str]:
    return Held(register), f" is {describe_value(rules, state.registers[register])}"


def _unusable(register: int, value: Value) -> Refusal:
    if value is None:
        return Refusal("G0601", ("this reads ", Held(register), ", which ", Unset(register)))
    assert isinstance(value, Unusable)
    return Refusal("G0601", ("this reads ", Held(register), f", which {value.value}"))


# --- arithmetic and comparisons --------------------------------------------------------------------------------------


def _arithmetic(state: State, need: Arithmetic) -> Refusal | None:
    left, right = state.registers[need.dst], operand(state, need.source)
    if isinstance(left, Number) and (need.op is Alu.NEG or isinstance(right, Number)):
        return None
    if need.is64 and not isinstance(left, Handle) and not isinstance(right, Handle):
        if need.op is Alu.ADD and not (isinstance(left, Pointer) and isinstance(right, Pointer)):
            moved = need.source.number if isinstance(need.source, Reg) else need.dst
            return _movable(need.dst, left) or _movable(moved, right)
        if need.op is Alu.SUB and isinstance(left, Pointer):
            if isinstance(right, Number):
                return _movable(need.dst, left)
            if isinstance(right, Pointer) and left.region.kind is Kind.BODY and right.region.kind is Kind.BODY:
                return None
    sign = "unary -" if need.op is Alu.NEG else f"`{need.op.value}`"
    width = "" if need.is64 else " of 32 bits"
    return Refusal("G0612", f"arithmetic {sign}{width} on an address",
                   ("numbers may be added to and subtracted from an address; two addresses of the message body may be "
                    "subtracted",))  # fmt: skip


def _movable(register: int, value: Value) -> Refusal | None:
    if isinstance(value, Pointer) and value.region.nullable:
        return Refusal("G0607", (Absent(register), " may be absent here, and this calculates with its address"),
                       helps=(Test(register),))  # fmt: skip
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


# --- results ---------------------------------------------------------------------------------------------------------


def _result(rules: Rules, state: State, *, last: bool) -> Refusal | None:
    value = state.registers[0]
    if state.depth and not last:
        frame = state.depth
        if isinstance(value, Pointer) and value.region.kind is Kind.STACK and value.region.frame == frame:
            return Refusal("G0611", "this returns an address of the function's own frame, which ends here")
        return None
    if not isinstance(value, Number):
        return Refusal("G0611", "the handler's result is an address, which may not leave the program",
                       (_holds(rules, 0, state),))  # fmt: skip
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
    return Refusal("G0619", (f"the result of a `{rules.hook.name}` handler must be one of its verdicts, here it is "
                             f"{describe(value.scalar)}",),
                   (f"the verdicts: {names}{steer}",), about=(0,))  # fmt: skip
