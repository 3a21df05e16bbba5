"""What obligations are judged by, and the few questions about a state that judging and stepping share."""

from __future__ import annotations

from typing import NamedTuple

from grafting.hooks import Arg, Hook
from grafting.isa import Operand, Reg
from grafting.program import MapSpec, Program
from verifier.pointers import Kind, Region
from verifier.state import State
from verifier.terms import Terms
from verifier.values import Handle, Value, literal


class Rules(NamedTuple):
    """The declarations of a program and of the hook of one of its handlers, and the symbols of one walk."""

    program: Program
    hook: Hook
    terms: Terms


def operand(state: State, source: Operand) -> Value:
    """Return the value of an operand."""
    return state.registers[source.number] if isinstance(source, Reg) else literal(source.value)


def region_size(rules: Rules, region: Region) -> int:
    """Return the bytes of a region whose size is fixed."""
    if region.kind is Kind.VALUE:
        return min(rules.program.maps[m].value_size for m in region.maps)
    return rules.hook.context_bytes


LENGTH_OF = {Arg.READ: 1, Arg.WRITE: 1}
"""How many registers behind a memory argument its length stands, where that is not always r3."""


def length_register(kind: Arg, register: int) -> int:
    """Return the register that holds the length of a memory argument."""
    return register + LENGTH_OF[kind] if kind in LENGTH_OF else 3


def argument_maps(rules: Rules, state: State) -> tuple[MapSpec, ...]:
    """Return the maps that r1 may be, if it is one."""
    value = state.registers[1]
    return tuple(rules.program.maps[m] for m in value.maps) if isinstance(value, Handle) else ()
