"""How long one activation of a graft takes in each engine: what `graft bench` shows.

First every engine runs it once in earnest, and all must agree: verdict, messages, timers, answer, state, instructions.
Then each runs it over and over in one compiled loop (`jit.repeat`), which begins the machine, writes the context, runs
the handler and puts back what it changed; the kernel's helpers are answered from a list, for what they do is not the
engine's work. The plain Python tier does the same in a plain loop.

A *sample* is the time of as many activations as take `SAMPLE_NS`, divided by their number. Samples before the first
`WARM_UP_NS` are dropped. Reported are minimum, median and 99th percentile (nearest rank) of the samples in ns per
activation, instructions per second at the median, and how many samples lie more than 1.5 times the distance of the
quartiles outside them (Tukey's outliers): many of them, and the machine was busy.
"""

from __future__ import annotations

import csv
import io
import json
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from grafting import limits
from grafting.diagnostics import GraftError, InternalError, fail
from grafting.program import Handler, Program
from jit import host, machine, repeat, testing
from jit.activation import ENGINES, Loop, activate, run_raw
from jit.events import Message
from jit.hot import tier
from jit.machine import Machine
from jit.runs import Activity
from jit.state import GraftState
from verifier import Rejected, Verified, verify

if TYPE_CHECKING:
    from jit.native.engine import NativeEngine

SAMPLE_NS: Final = 50_000  # a thousand times what reading the clock takes
WARM_UP_NS: Final = 20_000_000
SAMPLES: Final = 400
ENGINE_NS: Final = 500_000_000  # of samples in one engine; then it stops, with at least LEAST of them
LEAST: Final = 5
_FENCE: Final = 1.5
_WORD: Final = 8
_COLUMNS: Final = ("handler", "input", "engine", "instructions", "min_ns", "median_ns", "p99_ns",
                   "instructions_per_second", "samples", "activations_per_sample", "outliers", "reason")  # fmt: skip

Fresh = Callable[[], Activity]
Clock = Callable[[], int]


@dataclass(frozen=True, slots=True)
class Timing:
    """One handler in one engine; times in ns per activation. `reason` says why there are none, else it is ""."""

    handler: str
    input: str
    engine: str
    instructions: int
    samples: tuple[float, ...]
    batch: int
    reason: str = ""

    @property
    def minimum(self) -> float:
        """The quickest sample."""
        return min(self.samples)

    @property
    def median(self) -> float:
        """The sample in the middle."""
        return statistics.median(self.samples)

    @property
    def p99(self) -> float:
        """The least sample that 99 % of them do not exceed."""
        return sorted(self.samples)[math.ceil(0.99 * len(self.samples)) - 1]

    @property
    def rate(self) -> float:
        """Instructions per second at the median."""
        return self.instructions / self.median * 1e9

    @property
    def outliers(self) -> int:
        """How many samples lie outside Tukey's fences."""
        low, _, high = statistics.quantiles(self.samples, n=4, method="inclusive")
        reach = _FENCE * (high - low)
        return sum(not low - reach <= sample <= high + reach for sample in self.samples)

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as JSON-ready data, None where there are none."""
        figures: list[Any] = [None] * 7
        if self.samples:
            figures = [round(self.minimum, 2), round(self.median, 2), round(self.p99, 2), round(self.rate),
                       len(self.samples), self.batch, self.outliers]  # fmt: skip
        row = (self.handler, self.input, self.engine, self.instructions, *figures, self.reason or None)
        return dict(zip(_COLUMNS, row, strict=True))


@dataclass(frozen=True, slots=True)
class Report:
    """All timings, and what they were measured on and by."""

    program: str
    machine: str
    clock: str
    timings: tuple[Timing, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON-ready data."""
        rows = [timing.as_dict() for timing in self.timings]
        return {"schema": 1, "program": self.program, "machine": self.machine, "clock": self.clock, "timings": rows}

    def export(self, form: str) -> str:
        """Return the report as "json", "csv" or "md"."""
        if form == "json":
            return json.dumps(self.as_dict(), indent=2) + "\n"
        if form == "csv":
            out = io.StringIO()
            writer = csv.DictWriter(out, _COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(timing.as_dict() for timing in self.timings)
            return out.getvalue()
        head, *rows = self._rows()
        lines = [
            f"{self.machine}; {self.clock}",
            "",
            *(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head))),
        ]
        return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"

    def describe(self) -> str:
        """Return the report for people."""
        rows = self._rows()
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = [
            "  ".join(cell.rjust(width) if column > 1 else cell.ljust(width)
                      for column, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip()
            for row in rows
        ]  # fmt: skip
        notes = dict.fromkeys(f"{t.handler}: {t.input}" for t in self.timings)
        notes |= dict.fromkeys(f"{t.handler}: not in engine {t.engine}: {t.reason}" for t in self.timings if t.reason)
        return "\n".join([*lines, "", *notes, f"machine: {self.machine}", f"clock: {self.clock}"])

    def _rows(self) -> list[list[str]]:
        rows = [["handler", "engine", "insns", "min ns", "median ns", "p99 ns", "M insns/s", "outliers"]]
        for t in self.timings:
            figures = ["-"] * 5
            if t.samples:
                figures = [*(f"{value:,.1f}" for value in (t.minimum, t.median, t.p99, t.rate / 1e6)),
                           f"{t.outliers} of {len(t.samples)}"]  # fmt: skip
            rows.append([t.handler, t.engine, f"{t.instructions:,}", *figures])
        return rows


# --- what is measured -------------------------------------------------------------------------------------------------


def inputs(program: Program, names: Sequence[str] = ()) -> list[tuple[str, Fresh]]:
    """Return for each handler, or those named, what it is measured on, in words, and how to make it.

    That is the first event of the program's tests that the handler sees, else a message of zeros; of a raw program,
    memory of zeros. Raises GraftError G0704 if there is no handler of a name.
    """
    known = [handler.name for handler in program.handlers]
    for name in names:
        if name not in known:
            raise fail("G0704", f"there is no handler `{name}`", helps=(f"there are {', '.join(known)}",))
    return [_input(program, program.handler(name)) for name in names or known]


def _input(program: Program, handler: Handler) -> tuple[str, Fresh]:
    found = testing.first_event(program, handler.name) if handler.hook.event else None
    if found is not None:
        return f'as in the test "{found[0]}"', lambda: _of_test(program, handler)
    size = handler.hook.context_bytes if handler.hook.event is None else 0
    message = Message(body=bytes(size))
    return "on a message of zeros", lambda: Activity(handler, message, GraftState(program))


def _of_test(program: Program, handler: Handler) -> Activity:
    found = testing.first_event(program, handler.name)
    assert found is not None
    _, state, message, now_ns = found
    return Activity(handler, message, state, clock=now_ns)


def bench(
    program: Program,
    given: Sequence[tuple[str, Fresh]],
    engines: Sequence[str] = ENGINES,
    *,
    clock: Clock = time.perf_counter_ns,
    most: int = SAMPLES,
) -> Report:
    """Measure each of `given` in `engines`; `most` samples each. Raises GraftError: G0701 if an activation faults.

    A program that is not verified is measured in the interpreter only. InternalError if two engines do not agree.
    """
    verified, reason = _verified(program) if "native" in engines else (None, "")
    timings = [
        timing
        for what, fresh in given
        for timing in _Bench(program, verified, reason, what, fresh, clock, most).timings(engines)
    ]
    return Report(program.name, host.machine(), host.clock(), tuple(timings))


def prepared(program: Program, fresh: Fresh, engine: str) -> Callable[[int], None]:
    """Return what runs an activation a number of times in an engine, which has agreed with the interpreter once.

    For callers that time by themselves. Raises as `bench`; Rejected by `verify` if native code is wanted of a program
    that is not safe.
    """
    verified = verify(program) if engine == "native" else None
    subject = _Bench(program, verified, "", "", fresh, time.perf_counter_ns, SAMPLES)
    subject._agree(engine)
    repetition = subject._repetition(engine)
    repetition.run(1)  # compiles
    return repetition.run


def _verified(program: Program) -> tuple[Verified | None, str]:
    try:
        return verify(program), ""
    except Rejected as rejected:
        return None, f"the verifier rejects it: {rejected.diagnostics[0].message}"


class _Bench:
    """One activation in several engines."""

    def __init__(
        self,
        program: Program,
        verified: Verified | None,
        unverified: str,
        what: str,
        fresh: Fresh,
        clock: Clock,
        most: int,
    ) -> None:
        self._program, self._verified, self._unverified = program, verified, unverified
        self._what, self._fresh, self._clock, self._most = what, fresh, clock, most
        self._answers: list[int] = []
        self._first = self._observed("python")

    def timings(self, engines: Sequence[str]) -> Iterator[Timing]:
        """Yield the figures of each engine."""
        instructions = self._first["instructions"]
        name = self._fresh().handler.name
        for engine in engines:
            if engine == "native" and self._verified is None:
                yield Timing(name, self._what, engine, instructions, (), 0, self._unverified)
                continue
            if engine != "python":
                self._agree(engine)
            repetition = self._repetition(engine)
            batch, samples = self._measure(repetition.run)
            if not repetition.ended_as_begun(self._first["verdict" if "verdict" in self._first else "r0"]):
                raise InternalError(f"engine {engine} does not repeat what it did first")
            yield Timing(name, self._what, engine, instructions, samples, batch)

    # --- once, in earnest ---------------------------------------------------------------------------------------------

    def _observed(self, engine: str) -> dict[str, Any]:
        """Return all that one activation does; that of the first engine also fills in the helpers' answers."""
        given = self._fresh()
        state, handler = given.state, given.handler
        subject = self._verified if engine == "native" and self._verified else self._program
        fuel = limits.DEFAULT_FUEL if given.fuel is None else given.fuel
        if engine == "native" and self._verified:
            fuel = max(fuel, self._verified.bounds.instructions)
        observe = self._record if engine == "python" else None
        if handler.hook.event is None:
            memory = bytearray(given.message.body)
            outcome, fault = run_raw(subject, memory, engine=engine, fuel=fuel, observe=observe)
            seen: dict[str, Any] = {"r0": outcome.r0, "memory": bytes(memory), "instructions": outcome.instructions}
        else:
            result = activate(subject, handler.name, given.message, state, slots=given.slots, clock=given.clock,
                              engine=engine, fuel=fuel, observe=observe)  # fmt: skip
            fault = result.fault
            seen = {name: getattr(result, name) for name in
                    ("verdict", "outbox", "answer", "timers", "releases", "hints", "instructions")}  # fmt: skip
            seen["state"] = state.snapshot()
        if fault is not None:
            raise GraftError([fault.diagnostic(self._program.debug.source)])
        return seen

    def _record(self, interpret: Loop) -> Loop:
        """Return the interpreter's loop, taking down what the embedder answers to each helper."""
        waiting = False

        def loop(m: Machine) -> int:
            nonlocal waiting
            if waiting:
                self._answers.append(int(m.registers[0]))
            outcome = interpret(m)
            waiting = outcome == machine.HELPER
            return outcome

        return loop

    def _agree(self, engine: str) -> None:
        seen = self._observed(engine)
        different = [name for name, value in self._first.items() if seen[name] != value]
        if different:
            raise InternalError(f"engine {engine} differs from the reference in {', '.join(different)}")

    # --- over and over ------------------------------------------------------------------------------------------------

    def _repetition(self, engine: str) -> _Repetition:
        given = self._fresh()
        state, handler, message = given.state, given.handler, given.message
        in_context = handler.hook.event is None and handler.hook.memory == "context"
        at = int(state.machine.control[0]["context_at"]) if in_context else state.body_at
        state.arena[at : at + len(message.body)] = np.frombuffer(message.body, np.uint8)
        initial = state.arena.copy()
        length = 0 if in_context else len(message.body)
        arguments = (
            state.machine, self._repeated(given, length, initial), state.placement.handlers[handler.name],
            state.body_at, length, limits.DEFAULT_FUEL, given.clock,
        )  # fmt: skip
        functions = tier("python" if engine == "python" else "numba", repeat)
        kept = initial[state.placement.state_at :][: state.placement.state_bytes].tobytes()
        if engine != "native":
            return _Repetition(state, functions.interpret_often, arguments, (), None, kept)
        from jit.native.engine import compile_native

        assert self._verified is not None
        code = compile_native(self._verified)
        more = (code.address(handler.name), state.placement.state_at, int(code.has_calls(handler.name)))
        return _Repetition(state, functions.run_native_often, arguments, more, code, kept)

    def _repeated(self, given: Activity, length: int, initial: Any) -> repeat.Repeated:
        """Return what the loops need: the context, the answers, and the words that the activation changes."""
        event, message = given.handler.hook.event, given.message
        context = np.zeros(8, np.uint64)
        if event is not None:
            numbers = (message.tag, message.badge, message.op, message.status, message.slot_for(event), event.value,
                       message.ncaps, message.flags)  # fmt: skip
            context[:] = [number & (1 << 64) - 1 for number in numbers]
        answers = np.array(self._answers, np.uint64)
        none = repeat.Repeated(context, answers, np.zeros(0, np.int64), np.zeros(0, np.uint64))
        trial = self._fresh().state
        trial.arena[:] = initial
        number = trial.placement.handlers[given.handler.name]
        repeat.interpret_often(trial.machine, none, number, trial.body_at, length, limits.DEFAULT_FUEL, given.clock, 1)
        kept = [(trial.placement.state_at, trial.placement.state_bytes), (trial.body_at, length)]
        places = [
            place
            for at, size in kept
            for place in at + _WORD * np.flatnonzero(
                _words(initial, at, size) != _words(trial.arena, at, size)
            )
        ]  # fmt: skip
        words = [int.from_bytes(initial[place : place + _WORD].tobytes(), "little") for place in places]
        return repeat.Repeated(context, answers, np.array(places, np.int64), np.array(words, np.uint64))

    def _measure(self, run: Callable[[int], None]) -> tuple[int, tuple[float, ...]]:
        """Return how many activations a sample has, and the samples in ns per activation."""
        run(1)  # compiles
        start, batch = self._clock(), 1
        while True:
            before = self._clock()
            run(batch)
            after = self._clock()
            if after - before < SAMPLE_NS:
                batch *= 2
            elif after - start >= WARM_UP_NS:
                break
        samples: list[float] = []
        start = self._clock()
        while len(samples) < self._most and (len(samples) < LEAST or self._clock() - start < ENGINE_NS):
            before = self._clock()
            run(batch)
            samples.append((self._clock() - before) / batch)
        return batch, tuple(samples)


@dataclass(frozen=True, slots=True)
class _Repetition:
    """A loop of `jit.repeat` with its arguments but for `times`. `code` is held so that the address stays valid."""

    state: GraftState
    loop: Callable[..., int]
    arguments: tuple[Any, ...]
    more: tuple[int, ...]
    code: NativeEngine | None
    kept: bytes  # the graft's state at first

    def run(self, times: int) -> None:
        """Run the activation a number of times."""
        self.loop(*self.arguments, times, *self.more)

    def ended_as_begun(self, result: int) -> bool:
        """Whether the last activation gave `result`, and the state is what it was."""
        return int(self.state.machine.registers[0]) == result and self.state.snapshot().memory == self.kept


def _words(arena: Any, at: int, size: int) -> Any:
    """Return a range of bytes as words, the last one filled up with what follows."""
    return arena[at : at + -(-size // _WORD) * _WORD].view(np.uint64)
