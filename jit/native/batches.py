"""One handler on many messages, without Python for each: `activate_many`.

    batch = jit.Batch.of(messages, "reply")                     # or fill in the arrays: Batch(records, bodies)
    done = jit.activate_many(engine, "reply", batch, state, clock=1000)
    done.verdicts[i], done.effects.get(i)

The messages are taken in order, each finding the state that the one before has left, as by `jit.activate`. A compiled
loop copies each into the machine's windows and runs the handler; only where a handler calls a helper that sends, arms,
answers, ... the loop stops, Python does what the helper does, and the loop goes on in the middle of that message.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from grafting import hooks, limits
from grafting.diagnostics import InternalError, fail
from grafting.hooks import HOLD, Event
from grafting.program import Handler
from jit import machine
from jit.dispatch import Slots, filled_slots, find_handler
from jit.effects import Effects
from jit.events import Answer, Armed, Cancelled, Hint, Message, Release, Send, check_range
from jit.memory import BODY, address
from jit.native import entry, wrappers
from jit.native.engine import NativeEngine, surroundings
from jit.state import GraftState

MESSAGE: Final = np.dtype(
    [
        ("tag", np.uint64),
        ("badge", np.uint64),
        ("op", np.uint32),
        ("status", np.int32),
        ("slot", np.uint32),
        ("ncaps", np.uint32),
        ("flags", np.uint32),
        ("length", np.uint32),  # bytes of the row of bodies that are the body
    ]
)
"""A message as a record: the fields of `jit.Message`."""

_CONTEXT: Final = np.dtype(
    {
        "names": [field.name for field in hooks.GRAFT_CONTEXT],
        "formats": [f"<{'i' if field.signed else 'u'}{field.size}" for field in hooks.GRAFT_CONTEXT],
        "offsets": [field.offset for field in hooks.GRAFT_CONTEXT],
        "itemsize": limits.CONTEXT_BYTES,
    }
)
_COPIED: Final = ("tag", "badge", "op", "status", "slot", "ncaps", "flags")
_P, _N = ctypes.c_void_p, ctypes.c_int64
_MESSAGES = ctypes.CFUNCTYPE(_N, _P, _P, _P, _N, _N, _N, _P, *[_P] * len(wrappers.WINDOWS))
_LATEST: Final = (1 << 62) - 1  # of the clock, ns


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Messages as arrays: `records` of MESSAGE, and one row of `bodies` (uint8) for each."""

    records: npt.NDArray[np.void]
    bodies: npt.NDArray[np.uint8]

    @staticmethod
    def of(messages: Sequence[Message], event: Event | str) -> Batch:
        """Return messages as a batch; `event` decides what a slot that is not given means."""
        kind = Event[event.upper().partition("/")[0]] if isinstance(event, str) else event
        records = np.zeros(len(messages), MESSAGE)
        bodies = np.zeros((len(messages), max((len(message.body) for message in messages), default=0)), np.uint8)
        for number, message in enumerate(messages):
            records[number] = (message.tag, message.badge, message.op, message.status, message.slot_for(kind),
                               message.ncaps, message.flags, len(message.body))  # fmt: skip
            bodies[number, : len(message.body)] = np.frombuffer(message.body, np.uint8)
        return Batch(records, bodies)

    def __len__(self) -> int:
        return len(self.records)

    def message(self, number: int) -> Message:
        """Return one message."""
        row = self.records[number]
        body = self.bodies[number, : int(row["length"])].tobytes()
        return Message(int(row["tag"]), int(row["badge"]), int(row["op"]), int(row["status"]), int(row["slot"]), body,
                       int(row["flags"]), int(row["ncaps"]))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """What one activation wants done; the fields are those of `jit.Activation`."""

    outbox: tuple[Send, ...] = ()
    answer: Answer | None = None
    timers: tuple[Armed | Cancelled, ...] = ()
    releases: tuple[Release, ...] = ()
    hints: tuple[Hint, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class ManyActivations:
    """The verdicts of a batch, and what was asked for, by the number of the message; most ask for nothing."""

    verdicts: npt.NDArray[np.uint64]
    effects: Mapping[int, Asked]


def activate_many(
    engine: NativeEngine,
    event: Event | str,
    batch: Batch,
    state: GraftState,
    *,
    slots: Slots = None,
    clock: int = 0,
) -> ManyActivations:
    """Run a handler on every message of a batch, in order; `state` is changed.

    All messages must belong to one handler. `clock`: the time in ns of all of them. Raises GraftError G0703 for
    messages out of range or of several handlers, or another program's state, G0704 as `jit.activate`, TypeError for
    anything but a NativeEngine and a Batch.
    """
    if not isinstance(engine, NativeEngine):
        raise TypeError(f"expected a NativeEngine, not {type(engine).__name__}")
    if not isinstance(batch, Batch):
        raise TypeError(f"expected a Batch, not {type(batch).__name__}")
    if state.program is not engine.program and state.program != engine.program:
        raise fail("G0703", f"the state belongs to another program, `{state.program.name}`")
    check_range("the clock", clock, 0, _LATEST)
    _check(batch)
    filled = filled_slots(engine.program, slots)
    if not len(batch):
        return ManyActivations(np.zeros(0, np.uint64), {})
    handler = _handler(engine, event, batch)
    return _Many(engine, handler, batch, state, filled, clock).run()


def _check(batch: Batch) -> None:
    records, bodies = batch.records, batch.bodies
    if records.dtype != MESSAGE or records.ndim != 1:
        raise fail("G0703", "the records of a batch must be a one-dimensional array of jit.MESSAGE")
    if bodies.dtype != np.uint8 or bodies.ndim != 2 or len(bodies) != len(records):
        raise fail("G0703", f"the bodies of {len(records)} messages must be as many rows of uint8")
    if bodies.shape[1] > limits.BODY_BYTES:
        raise fail("G0703", f"a body has at most {limits.BODY_BYTES} bytes, not {bodies.shape[1]}")
    if len(records) and (records["length"].max() > bodies.shape[1] or records["ncaps"].max() > 4):
        raise fail("G0703", "a message is longer than its row of bodies, or has more than 4 capabilities")


def _handler(engine: NativeEngine, event: Event | str, batch: Batch) -> Handler:
    """Return the handler that all messages belong to."""
    kinds = np.unique(batch.records["slot"].astype(np.uint64) << np.uint64(32) | batch.records["op"])
    found = {find_handler(engine.program, event, kind >> 32, kind & 0xFFFF_FFFF).name for kind in kinds.tolist()}
    if len(found) > 1:
        raise fail(
            "G0703", f"the messages of a batch must belong to one handler, these belong to {', '.join(sorted(found))}"
        )
    return engine.program.handler(found.pop())


class _Many:
    """One batch on the machine of a state."""

    def __init__(
        self,
        engine: NativeEngine,
        handler: Handler,
        batch: Batch,
        state: GraftState,
        filled: tuple[bool, ...],
        now_ns: int,
    ) -> None:
        self._engine, self._handler, self._batch, self._state = engine, handler, batch, state
        self._filled, self._now_ns = filled, now_ns
        self._verdicts = np.zeros(len(batch), np.uint64)
        self._begun = 0  # messages whose arrival the state knows
        self._ended = 0  # and whose verdict

    def run(self) -> ManyActivations:
        """Run to the end of the batch."""
        state, m = self._state, self._state.machine
        self._begin()
        contexts, bodies = self._contexts(), np.ascontiguousarray(self._batch.bodies)
        code, many = self._engine.address(self._handler.name), _MESSAGES(surroundings().addresses["messages"])
        control, base, count = m.control[0], m.arena.ctypes.data, len(self._batch)
        windows = (
            base + int(control["context_at"]), base + state.body_at, base + int(control["stack_at"]),
            base + state.placement.state_at, m.registers.ctypes.data, m.frames.ctypes.data, m.control.ctypes.data,
        )  # fmt: skip
        asked: dict[int, Effects] = {}
        at = 0
        while True:
            at = many(code, contexts.ctypes.data, bodies.ctypes.data, bodies.shape[1], at, count,
                      self._verdicts.ctypes.data, *windows)  # fmt: skip
            if at not in asked:
                self._advance(asked, at)
                if at == count:
                    break
            if not asked[at].serve(m):
                raise InternalError(f"a verified program faulted: {self._handler.name}, message {at}")
        return ManyActivations(self._verdicts, {number: _asked(effects) for number, effects in asked.items()})

    def _begin(self) -> None:
        state, m = self._state, self._state.machine
        number = state.placement.handlers[self._handler.name]
        machine.begin(m, number, state.body_at, 0, limits.DEFAULT_FUEL, self._now_ns, machine.TRUSTING)
        if self._engine.has_calls(self._handler.name):
            entry.map_frames(m)

    def _contexts(self) -> npt.NDArray[np.void]:
        records = self._batch.records
        contexts = np.zeros(len(records), _CONTEXT)
        for name in _COPIED:
            contexts[name] = records[name]
        event = self._handler.hook.event
        assert event is not None
        contexts["data"] = address(BODY)
        contexts["data_end"] = records["length"].astype(np.uint64) + np.uint64(address(BODY))
        contexts["now_ns"] = self._now_ns
        contexts["event"] = event.value
        return contexts

    def _advance(self, asked: dict[int, Effects], at: int) -> None:
        """Let the state be as message `at` finds it, and take down what it asks for."""
        state = self._state
        last = max(asked, default=None)
        if last is not None:
            state.timers, state.held = asked[last].timers, asked[last].held
        self._settle(at)
        if at == len(self._batch):
            return
        message = self._batch.message(at)
        region = state.machine.regions[int(state.machine.control[0]["region_base"]) + BODY]
        region["size"] = len(message.body)
        asked[at] = Effects(self._engine.program, self._filled, message, self._now_ns, state.timers, state.held)

    def _settle(self, at: int) -> None:
        """Do what arrivals up to message `at` and verdicts before it do to timers and held operations."""
        state, tags = self._state, self._batch.records["tag"]
        if self._handler.hook.event is Event.TIMER and state.timers:
            for tag in tags[self._begun : at + 1]:
                state.timers.pop(int(tag), None)
        if self._handler.hook.event is Event.SUBMIT:
            verdicts = self._verdicts[self._ended : at]
            state.held.update(int(tag) for tag in tags[self._ended : at][verdicts == HOLD])
        self._begun, self._ended = at + 1, at


def _asked(effects: Effects) -> Asked:
    return Asked(tuple(effects.outbox), effects.answer, tuple(effects.timed), tuple(effects.releases),
                 tuple(effects.hints))  # fmt: skip
