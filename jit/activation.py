"""Running a program in the checked interpreter: `interpret` for raw hooks, `activate` for the events of a graft.

Both take unverified code. Whatever it does, it reaches only its own regions and ends within its fuel, and what it did
wrong is told by kind and place: `activate` returns it as `Activation.fault`; `interpret`, whose result has no room for
it, raises it as a GraftError (G0701).

**A fault changes nothing.** A snapshot of the state is taken before a run and restored after a fault; effects are
collected and handed over only when the handler has returned a verdict that its hook allows. A `Verified` program with
enough fuel cannot fault, so it runs without a snapshot; should it fault all the same, that is a bug of this project and
raised as one.

    state = GraftState(program)
    state.maps["wanted"][7] = 42
    result = activate(program, "reply", Message(tag=7, body=node), state, slots={"disk": True}, clock=1000)
    result.verdict_name, result.outbox          # 'consume', (Send(slot=0, op=0, tag=7, body=b'e\\0..'),)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np

from grafting import hooks, limits
from grafting.costs import CostVector
from grafting.diagnostics import GraftError, InternalError, fail
from grafting.hooks import Event, Hook
from grafting.program import Handler, Program
from grafting.spelling import nearest
from jit import interpreter, machine
from jit.dispatch import Slots, filled_slots, find_handler, program_of
from jit.effects import Effects
from jit.events import Activation, Message, Outcome, check_range
from jit.faults import Fault, FaultKind, span_at
from jit.hot import TierName, tier
from jit.predecode import HELPER_NUMBERS
from jit.state import GraftState

if TYPE_CHECKING:
    from verifier import Verified

TIERS: Final[dict[str, TierName]] = {"python": "python", "numba": "numba"}
MAP_HELPERS: Final = (1, 2, 3)
LATEST: Final = (1 << 62) - 1  # of the clock, ns


def interpret(
    program: Program | Verified, memory: bytearray, *, fuel: int | None = None, engine: str = "python"
) -> Outcome:
    """Run a raw program on `memory`, which must have exactly the size that its hook says.

    With the hook `raw_memory` the program may change the memory, with `raw_context` it only reads it. Raises
    GraftError: G0701 the program faulted (the memory is as before), G0703 wrong memory, fuel or hook; TypeError if
    `memory` is not a bytearray.
    """
    if not isinstance(memory, bytearray):
        raise TypeError(f"memory must be a bytearray, not {type(memory).__name__}")
    outcome, fault = run_raw(program, memory, fuel=fuel, engine=engine)
    if fault is not None:
        raise GraftError([fault.diagnostic(program_of(program).debug.source)])
    return outcome


def run_raw(
    program: Program | Verified, memory: bytearray, *, fuel: int | None = None, engine: str = "python"
) -> tuple[Outcome, Fault | None]:
    """Do as `interpret` does, but return a fault; r0 is then 0."""
    state = GraftState(program)
    handler = _raw_handler(state.program)
    hook = handler.hook
    if len(memory) != hook.context_bytes:
        raise fail("G0703", f"the hook {hook.name} has {hook.context_bytes} bytes of memory, {len(memory)} are given")
    is_memory = hook.memory == "memory"
    at = state.body_at if is_memory else int(state.machine.control[0]["context_at"])
    state.arena[at : at + len(memory)] = np.frombuffer(memory, np.uint8)
    run = _Run(state, handler, engine, _fuel(fuel))
    fault = run.run(length=len(memory) if is_memory else 0, now_ns=0)
    if fault is not None:
        return Outcome(0, run.instructions), fault
    # --- commit ---
    if is_memory and hook.context_writable:
        memory[:] = state.arena[at : at + len(memory)].tobytes()
    return Outcome(run.result, run.instructions), None


def activate(
    program: Program | Verified,
    event: Event | str,
    message: Message,
    state: GraftState,
    *,
    slots: Slots = None,
    clock: int | Callable[[], int] = 0,
    fuel: int | None = None,
    engine: str = "python",
) -> Activation:
    """Run the handler of `program` for an event, once, and return what it decided and what it wants done.

    `event`: an Event or its name, or the name of a handler. `slots`: which capability slots are filled. `clock`: the
    time in ns, or what tells it. `fuel`: instructions; None is `limits.DEFAULT_FUEL`. `state` is changed, unless the
    result has a fault. Raises GraftError (G0703, G0704) or TypeError for wrong arguments.
    """
    subject: Program | Verified = program
    program = program_of(subject)
    if not isinstance(message, Message):
        raise TypeError(f"expected a Message, not {type(message).__name__}")
    if not isinstance(state, GraftState):
        raise TypeError(f"expected a GraftState, not {type(state).__name__}")
    if state.program is not program and state.program != program:
        raise fail("G0703", f"the state belongs to another program, `{state.program.name}`")
    filled = filled_slots(program, slots)
    handler = find_handler(program, event, message.slot or 0, message.op)
    now_ns = clock() if callable(clock) else clock
    check_range("the clock", now_ns, 0, LATEST)
    run = _Run(state, handler, engine, _fuel(fuel))
    safe = not isinstance(subject, Program) and run.fuel >= subject.handlers[handler.name].bounds.instructions
    before = None if safe else state.snapshot()

    effects = Effects(program, filled, message, now_ns, state.timers, state.held)
    if handler.hook.event is Event.TIMER:
        effects.timers.pop(message.tag, None)
    fault = run.activate(message, now_ns, effects) or run.verdict_fault(len(program.slots))
    if fault is not None:
        if subject is not program and fault.kind is not FaultKind.OUT_OF_FUEL:
            raise InternalError(f"a verified program faulted: {handler.name}, {fault}")
        assert before is not None
        state.restore(before)
        return Activation(handler.name, handler.hook, None, run.instructions, run.cost(effects), fault=fault)
    # --- commit ---
    state.timers = effects.timers
    state.held = effects.held
    if handler.hook.event is Event.SUBMIT and run.result == hooks.HOLD:
        state.held[message.tag] += 1
    return Activation(
        handler=handler.name,
        hook=handler.hook,
        verdict=run.result,
        instructions=run.instructions,
        cost=run.cost(effects),
        outbox=tuple(effects.outbox),
        answer=effects.answer,
        timers=tuple(effects.timed),
        releases=tuple(effects.releases),
        hints=tuple(effects.hints),
    )


def _raw_handler(program: Program) -> Handler:
    if len(program.handlers) != 1 or program.handlers[0].hook.event is not None:
        raise fail("G0703", f"`{program.name}` is not a program of one handler with a raw hook",
                   helps=("run a graft's handlers with `jit.activate`",))  # fmt: skip
    return program.handlers[0]


def _fuel(fuel: int | None) -> int:
    if fuel is None:
        return limits.DEFAULT_FUEL
    check_range("fuel", fuel, 0, LATEST)
    return fuel


def tier_of(engine: str) -> TierName:
    """Return `engine` if it names a tier of the interpreter; raises GraftError G0704 otherwise."""
    if engine in TIERS:
        return TIERS[engine]
    near = nearest(engine, TIERS)
    helps = (f"did you mean `{near}`?",) if near else (f"the engines are {', '.join(TIERS)}",)
    raise fail("G0704", f"there is no engine `{engine}`", helps=helps)


class _Run:
    """One run of one handler on the machine of a state."""

    def __init__(self, state: GraftState, handler: Handler, engine: str, fuel: int) -> None:
        self._state, self._handler, self.fuel = state, handler, fuel
        self._machine = state.machine
        self._begin = tier(tier_of(engine), machine).begin
        self._loop = tier(tier_of(engine), interpreter).run

    def activate(self, message: Message, now_ns: int, effects: Effects) -> Fault | None:
        """Run a handler of a graft on `message`, its helpers served by `effects`."""
        body, event = message.body, self._handler.hook.event
        assert event is not None
        at = self._state.body_at
        self._state.arena[at : at + len(body)] = np.frombuffer(body, np.uint8)
        machine.write_context(
            self._machine, len(body), message.tag, message.badge, now_ns, message.op, message.status,
            message.slot_for(event), event.value, message.ncaps, message.flags,
        )  # fmt: skip
        return self.run(length=len(body), now_ns=now_ns, effects=effects)

    def run(self, *, length: int, now_ns: int, effects: Effects | None = None) -> Fault | None:
        """Run to the end; returns the fault, if there is one."""
        m, number = self._machine, self._state.placement.handlers[self._handler.name]
        self._begin(m, number, self._state.body_at, length, self.fuel, now_ns, machine.CHECKING)
        outcome = self._loop(m)
        while outcome == machine.HELPER:
            assert effects is not None
            outcome = self._loop(m) if effects.serve(m) else machine.FAULTED
        machine.measure_stack(m)
        control = m.control[0]
        if outcome == machine.FAULTED:
            kind = FaultKind(int(control["fault_kind"]))
            return self._fault(kind, control["fault_pc"], control["fault_address"], control["fault_detail"])
        if outcome == machine.EXHAUSTED:
            return self._fault(FaultKind.OUT_OF_FUEL, control["pc"] - control["code_base"])
        return None

    def _fault(self, kind: FaultKind, pc: int, address: int = 0, detail: int = 0) -> Fault:
        span = span_at(self._state.program, self._handler, int(pc))
        return Fault(kind, int(pc), int(address), int(detail), self._handler.name, span)

    @property
    def result(self) -> int:
        """What r0 held at the end, unsigned."""
        return int(self._machine.registers[0])

    @property
    def instructions(self) -> int:
        """How many instructions ran."""
        return int(self._machine.control[0]["instructions"])

    def verdict_fault(self, slots: int) -> Fault | None:
        """Return a fault if the result is no verdict of the hook."""
        if is_verdict(self._handler.hook, self.result, slots):
            return None
        control = self._machine.control[0]
        pc = control["pc"] - 1 - control["code_base"]
        return self._fault(FaultKind.ILLEGAL_VERDICT, pc, detail=self.result)

    def cost(self, effects: Effects) -> CostVector:
        """Return what was counted."""
        counts = [int(count) for count in self._machine.counts]
        by_class, calls = counts[: machine.CLASSES], counts[machine.CLASSES :]
        helpers = tuple((number, count) for number, count in zip(HELPER_NUMBERS, calls, strict=True) if count)
        return CostVector(
            instructions=self.instructions,
            by_class=tuple(by_class),
            helper_calls=sum(calls),
            helpers=helpers,
            sends=len(effects.outbox),
            bytes_sent=sum(len(send.body) for send in effects.outbox),
            map_operations=sum(count for number, count in helpers if number in MAP_HELPERS),
            stack_bytes=int(self._machine.control[0]["stack_peak"]),
        )


def is_verdict(hook: Hook, verdict: int, slots: int) -> bool:
    """Whether `verdict` is a result that `hook` allows to a graft with this many slots."""
    if not hook.verdicts or verdict in dict(hook.verdicts).values():
        return True
    return hook.steer and hooks.STEER <= verdict < hooks.STEER + slots
