"""Running a program: `interpret` for raw hooks, `activate` for the events of a graft.

The checked interpreter takes unverified code. Whatever it does, it reaches only its own regions and ends within its
fuel, and what it did wrong is told by kind and place: `activate` returns it as `Activation.fault`; `interpret`, whose
result has no room for it, raises it as a GraftError (G0701).

Native code is for verified programs: give a `NativeEngine`, or a `Verified` and `engine="native"`. It has no fuel to
run out of; with less fuel than the proven bound the interpreter runs instead, so fuel means the same in every engine.
Results and counts are the same, but that `stack_bytes` is the proven bound.

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

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Union

import numpy as np

from grafting import hooks, limits
from grafting.costs import CostVector
from grafting.diagnostics import GraftError, InternalError, fail
from grafting.hooks import Event, Hook
from grafting.program import Handler, Program, SlotSpec
from grafting.spelling import nearest
from jit import interpreter, machine
from jit.dispatch import Slots, filled_slots, find_handler, program_of
from jit.effects import Effects
from jit.events import Activation, Message, Outcome, check_range
from jit.faults import Fault, FaultKind, span_at
from jit.hot import TierName, tier
from jit.machine import Machine
from jit.native import entry
from jit.predecode import HELPER_NUMBERS
from jit.state import GraftState

if TYPE_CHECKING:
    from jit.native.engine import NativeEngine
    from jit.tiers import TieredEngine
    from verifier import Verified

Subject = Union[Program, "Verified", "NativeEngine", "TieredEngine"]
Loop = Callable[[Machine], int]  # `interpreter.run`
Observe = Callable[[Loop], Loop]  # what is run in its place, see `jit.trace`
TIERS: Final[dict[str, TierName]] = {"python": "python", "numba": "numba"}
ENGINES: Final = (*TIERS, "native")
MAP_HELPERS: Final = (1, 2, 3)
LATEST: Final = (1 << 62) - 1  # of the clock, ns


def interpret(program: Subject, memory: bytearray, *, fuel: int | None = None, engine: str = "python") -> Outcome:
    """Run a raw program on `memory`, which must have exactly the size that its hook says.

    With the hook `raw_memory` the program may change the memory, with `raw_context` it only reads it. Raises
    GraftError: G0701 the program faulted (the memory is as before), G0703 wrong memory, fuel or hook; TypeError if
    `memory` is not a bytearray.
    """
    if not isinstance(memory, bytearray):
        raise TypeError(f"memory must be a bytearray, not {type(memory).__name__}")
    outcome, fault = run_raw(program, memory, fuel=fuel, engine=engine)
    if fault is not None:
        raise GraftError([fault.diagnostic(resolve(program, engine)[0].debug.source)])
    return outcome


def run_raw(
    program: Subject,
    memory: bytearray,
    *,
    fuel: int | None = None,
    engine: str = "python",
    observe: Observe | None = None,
) -> tuple[Outcome, Fault | None]:
    """Do as `interpret` does, but return a fault; r0 is then 0. `observe`: as for `activate`."""
    given, _, native = resolve(program, engine)
    state = GraftState(given)
    handler = _raw_handler(given)
    hook = handler.hook
    if len(memory) != hook.context_bytes:
        raise fail("G0703", f"the hook {hook.name} has {hook.context_bytes} bytes of memory, {len(memory)} are given")
    is_memory = hook.memory == "memory"
    at = state.body_at if is_memory else int(state.machine.control[0]["context_at"])
    state.arena[at : at + len(memory)] = np.frombuffer(memory, np.uint8)
    run = _run(state, handler, engine, native, _fuel(fuel), observe)
    fault = run.run(length=len(memory) if is_memory else 0, now_ns=0)
    if fault is not None:
        return Outcome(0, run.instructions, run.stack_bytes), fault
    # --- commit ---
    if is_memory and hook.context_writable:
        memory[:] = state.arena[at : at + len(memory)].tobytes()
    return Outcome(run.result, run.instructions, run.stack_bytes), None


def activate(
    program: Subject,
    event: Event | str,
    message: Message,
    state: GraftState,
    *,
    slots: Slots = None,
    clock: int | Callable[[], int] = 0,
    fuel: int | None = None,
    engine: str = "python",
    observe: Observe | None = None,
) -> Activation:
    """Run the handler of `program` for an event, once, and return what it decided and what it wants done.

    `event`: an Event or its name, or the name of a handler. `slots`: which capability slots are filled. `clock`: the
    time in ns, or what tells it. `fuel`: instructions; None is `limits.DEFAULT_FUEL`. `state` is changed, unless the
    result has a fault. `engine`: "python", "numba" or "native"; a NativeEngine is native whatever it says. `observe`
    wraps the interpreter's loop; native code has none. Raises GraftError (G0703, G0704, G0711) or TypeError for wrong
    arguments.
    """
    program, bounds, native = resolve(program, engine)
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
    run = _run(state, handler, engine, native, _fuel(fuel), observe)
    safe = bounds is not None and run.fuel >= bounds[handler.name]
    before = None if safe else state.snapshot()

    effects = Effects(program, filled, message, now_ns, state.timers, state.held)
    if handler.hook.event is Event.TIMER:
        effects.timers.pop(message.tag, None)
    fault = run.activate(message, now_ns, effects) or run.verdict_fault(program.slots)
    if fault is not None:
        if bounds is not None and fault.kind is not FaultKind.OUT_OF_FUEL:
            raise InternalError(f"a verified program faulted: {handler.name}, {fault}")
        assert before is not None
        state.restore(before)
        breaches = tuple(effects.breaches)
        cost = run.cost(effects)
        return Activation(handler.name, handler.hook, None, run.instructions, cost, breaches=breaches, fault=fault)
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
        breaches=tuple(effects.breaches),
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
    near = nearest(engine, ENGINES)
    helps = (f"did you mean `{near}`?",) if near else (f"the engines are {', '.join(ENGINES)}",)
    raise fail("G0704", f"there is no engine `{engine}`", helps=helps)


Bounds = Mapping[str, int]
"""Instructions that a handler may run, by its name, as proved."""


def resolve(subject: Subject, engine: str) -> tuple[Program, Bounds | None, NativeEngine | None]:
    """Return the program to run, its proven bounds and its native engine, as far as there are any.

    Raises GraftError G0704 if no engine is called so, G0711 if "native" is asked for unverified code, TypeError for
    what cannot be run.
    """
    if isinstance(subject, Program):
        if engine == "native":
            raise fail("G0711", f"`{subject.name}` is not verified, and native code is made of verified programs only",
                       helps=("call verifier.verify first and run what it returns",))  # fmt: skip
        return subject, None, None
    from jit.native.engine import NativeEngine
    from jit.tiers import TieredEngine

    if isinstance(subject, TieredEngine):
        bounds = {name: proof.bounds.instructions for name, proof in subject.verified.handlers.items()}
        return subject.program, bounds, subject.current()
    if isinstance(subject, NativeEngine):
        return subject.program, {name: bounds.instructions for name, bounds in subject.bounds.items()}, subject
    program = program_of(subject)
    bounds = {name: proof.bounds.instructions for name, proof in subject.handlers.items()}
    return program, bounds, _compiled(subject) if engine == "native" else None


@functools.lru_cache(maxsize=64)
def _compiled(verified: Verified) -> NativeEngine:
    """Return the engine of a program that was asked for by name; few are kept, since equal code is shared anyway."""
    from jit.native.engine import compile_native

    return compile_native(verified, counting=True)


def _run(
    state: GraftState,
    handler: Handler,
    engine: str,
    native: NativeEngine | None,
    fuel: int,
    observe: Observe | None,
) -> _Run:
    """Return a run of a handler: native, if it cannot run out of fuel there."""
    if native is None:
        return _Run(state, handler, tier_of(engine), fuel, observe)
    if fuel < native.bounds[handler.name].instructions:
        return _Run(state, handler, "python", fuel)
    return _NativeRun(state, handler, native, fuel)


class _Run:
    """One run of one handler on the machine of a state, in the interpreter."""

    def __init__(
        self, state: GraftState, handler: Handler, engine: TierName, fuel: int, observe: Observe | None = None
    ) -> None:
        self._state, self._handler, self.fuel = state, handler, fuel
        self._machine = state.machine
        self._begin = tier(engine, machine).begin
        interpret = tier(engine, interpreter).run
        self._interpret = interpret if observe is None else observe(interpret)

    def _enter(self, length: int, now_ns: int) -> None:
        """Prepare the machine for the activation."""
        number = self._state.placement.handlers[self._handler.name]
        self._begin(self._machine, number, self._state.body_at, length, self.fuel, now_ns, machine.CHECKING)

    def _loop(self) -> int:
        """Run to the end or to a helper of the embedder's."""
        return int(self._interpret(self._machine))

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
        m = self._machine
        self._enter(length, now_ns)
        outcome = self._loop()
        while outcome == machine.HELPER:
            assert effects is not None
            outcome = self._loop() if effects.serve(m) else machine.FAULTED
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

    @property
    def stack_bytes(self) -> int:
        """What all frames took together at most."""
        return int(self._machine.control[0]["stack_peak"])

    def verdict_fault(self, slots: Sequence[SlotSpec]) -> Fault | None:
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
            stack_bytes=self.stack_bytes,
        )


class _NativeRun(_Run):
    """The same in machine code, which counts; it asks the embedder for the same helpers."""

    def __init__(self, state: GraftState, handler: Handler, engine: NativeEngine, fuel: int) -> None:
        self._state, self._handler, self.fuel = state, handler, fuel
        self._machine = state.machine
        self._engine = engine
        self._address = engine.address(handler.name, counting=True)

    def _enter(self, length: int, now_ns: int) -> None:
        number = self._state.placement.handlers[self._handler.name]
        machine.begin(self._machine, number, self._state.body_at, length, self.fuel, now_ns, machine.TRUSTING)
        if self._engine.has_calls(self._handler.name):
            entry.map_frames(self._machine)

    def _loop(self) -> int:
        state = self._state
        return int(entry.run_native(self._machine, self._address, state.body_at, state.placement.state_at))

    @property
    def stack_bytes(self) -> int:
        """What all frames take together at most, as proved."""
        return self._engine.bounds[self._handler.name].stack_bytes


def is_verdict(hook: Hook, verdict: int, slots: Sequence[SlotSpec]) -> bool:
    """Whether `verdict` is a result that `hook` allows to a graft with these slots."""
    if not hook.verdicts or verdict in dict(hook.verdicts).values():
        return True
    number = verdict - hooks.STEER
    return hook.steer and 0 <= number < len(slots) and slots[number].send
