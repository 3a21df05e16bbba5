"""Running an input from a fresh state: what happened, and whether that is misbehaviour.

Misbehaviour is a *fault* of the checked interpreter, or a cost that was to be impossible: above the handler's budget,
or more stack than there is. `Runner` keeps one state and puts it back before each run, for a search runs thousands.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from grafting.costs import CostVector
from grafting.hooks import NO_SLOT
from grafting.program import Handler, Program
from jit.activation import activate, run_raw
from jit.events import Breach, Message
from jit.faults import Fault
from jit.state import GraftState
from jit.witness.inputs import Input


@dataclass(frozen=True, slots=True)
class Observation:
    """What a run did: why it did not come to its end (None: it did), its cost up to there, and what it disregarded."""

    fault: Fault | None
    cost: CostVector
    breaches: tuple[Breach, ...] = ()

    @property
    def instructions(self) -> int:
        """How many instructions ran."""
        return self.cost.instructions


def message_of(given: Input) -> Message:
    """Return the message of an input."""
    fields = dict(given.fields)
    status, slot = fields.get("status", 0), fields.get("slot", 0)
    return Message(
        tag=fields.get("tag", 0), badge=fields.get("badge", 0), op=fields.get("op", 0),
        status=status - (1 << 32) if status >> 31 else status, slot=None if slot == NO_SLOT else slot,
        body=given.body, flags=fields.get("flags", 0), ncaps=fields.get("ncaps", 0),
    )  # fmt: skip


def prepare(state: GraftState, given: Input) -> dict[str, Any] | None:
    """Put into a fresh state what an input says of it; returns the slots as `activate` takes them.

    Raises GraftError G0704 to G0706 for a map or section that does not exist, or an entry that does not fit.
    """
    for (name, key), value in given.entries:
        state.map(name)[key] = value
    for (name, at), octet in given.patches:
        state.write_section(name, at, octet)
    state.timers.update(dict.fromkeys(given.timers, 0))
    state.held.update(given.held)
    if not given.empty:
        return None
    return {slot.name: None if slot.name in given.empty else True for slot in state.program.slots}


class Runner:
    """Runs inputs of one handler, each from the program's initial state."""

    def __init__(self, program: Program, handler: Handler) -> None:
        self.program, self.handler = program, handler
        self._state = GraftState(program)
        self._initial = self._state.snapshot()

    def run(self, given: Input, fuel: int) -> Observation:
        """Run an input, at most `fuel` instructions."""
        if self.handler.hook.event is None:
            outcome, fault = run_raw(self.program, bytearray(given.body), fuel=fuel)
            return Observation(fault, CostVector(instructions=outcome.instructions, stack_bytes=outcome.stack_bytes))
        self._state.restore(self._initial)
        slots = prepare(self._state, given)
        activation = activate(
            self.program, self.handler.name, message_of(given), self._state,
            slots=slots, clock=given.field("now"), fuel=fuel,
        )  # fmt: skip
        if activation.handler != self.handler.name:
            return Observation(None, CostVector())  # a message for another handler, which takes it first
        return Observation(activation.fault, activation.cost, activation.breaches)
