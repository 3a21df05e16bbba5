"""The search: inputs that are cheap to guess, then paths that lead to where the verifier stopped.

1. *Guesses*: zeros and ones; then, for each part of the input that is seen to be loaded for the first time, the
   numbers of the program's instructions and their neighbours, powers of two and the ends of the range.
2. *Paths* (concolic execution: Godefroid, Klarlund, Sen, "DART", PLDI 2005; Godefroid, Levin, Molnar, "Automated
   whitebox fuzz testing", NDSS 2008): runs are traced, and each hazard and each decision of a trace is a question:
   which input faults there, which goes the other way. The answers are run and traced in turn. Questions that lead
   nearer to the refused instruction take turns with those that follow the verifier's own path the longest; where a
   budget is at stake, the longest runs come first.

Only what the checked interpreter has run counts. All limits count work, not time, so the same program and seed have the
same result on every machine.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final, Protocol

from grafting import limits
from grafting.diagnostics import Diagnostic
from grafting.isa import U64, AluOp, Branch, CallLocal, Exit, Goto, Imm, LoadImm64, Operation, width
from grafting.program import Handler, Program
from jit.events import Breach
from jit.faults import Fault, FaultKind
from jit.overrun import Overrun, overrun
from jit.witness import smt
from jit.witness.inputs import FIELDS, LENGTH, Input, Shape
from jit.witness.replay import Observation, Runner
from jit.witness.solve import Local
from jit.witness.terms import Atom, Cond, related
from jit.witness.trace import Trace, Tracer

ENDLESS: Final = ("G0621", "G0622")  # where a run that does not end is what was feared
BUDGET: Final = ("G0620", "G0625")  # where a cost is
ELSEWHERE: Final = ("G0611", "G0612", "G0613", "G0616", "G0622")
"""Where the refused instruction itself may be harmless to run, and what follows from it is not."""

_FAR: Final = 1 << 30  # distance of what does not lead to the refused instruction
_BODY: Final = 256  # bytes of the first body that is not empty
_POWERS: Final = tuple(1 << bit for bit in range(0, 64, 4))

Misbehaviour = Fault | Overrun | Breach


@dataclass(frozen=True, slots=True)
class Found:
    """An input and what it leads to within `fuel` instructions.

    `exact`: at the instruction, or of the kind, that the diagnostic is about.
    """

    given: Input
    misbehaviour: Misbehaviour
    fuel: int
    exact: bool


class Solver(Protocol):
    """Changes an input so that conditions hold."""

    def solve(self, given: Input, path: Sequence[Cond], wanted: Sequence[Cond]) -> Input | None:
        """Return an input for which all conditions hold, or None."""


def judged(handler: Handler, ran: Observation) -> Misbehaviour | None:
    """Return what was wrong with a run; a cost that exceeds the budget says more than the fuel's end after it."""
    over = overrun(handler, ran.cost)
    if over is not None and (ran.fault is None or ran.fault.kind is FaultKind.OUT_OF_FUEL):
        return over
    return ran.fault or next(iter(ran.breaches), None)


@dataclass(frozen=True, slots=True)
class _Question:
    """Go another way in `trace`: behind `decisions` decisions, so that `wanted` holds."""

    trace: Trace
    decisions: int
    wanted: tuple[Cond, ...]


class Search:
    """One search: for an input of `shape` that makes `handler` misbehave. `solver`: use z3 where it is installed."""

    def __init__(
        self, program: Program, handler: Handler, rejection: Diagnostic, shape: Shape, *, seed: int, solver: bool
    ) -> None:
        self._handler, self._rejection, self._shape = handler, rejection, shape
        self._runner, self._tracer = Runner(program, handler), Tracer(program, handler)
        self._constants = constants(handler.operations)
        self._solvers: list[Solver] = [Local(shape, self._constants, seed)]
        if solver and smt.available():
            self._solvers.append(smt.Smt(shape, seed))
        endless = rejection.code in ENDLESS
        self._fuel = limits.WITNESS_FUEL if endless else limits.WITNESS_FUEL_SHORT
        pc = rejection.pc
        self._distance = {} if pc is None else distances(handler.operations, pc)
        self._runs, self._guessed = limits.WITNESS_RUNS, limits.WITNESS_GUESSES
        self._steps, self._traced = limits.WITNESS_STEPS, limits.WITNESS_TRACED_STEPS
        self._ran: set[Input] = set()
        self._opened: set[Input] = set()
        self._loaded: set[tuple[Atom, ...]] = set()  # parts of the input about which guesses were made
        self._most = 0  # instructions of the longest run
        self._asked: set[tuple[int, int, int]] = set()
        self._nearest: list[tuple[int, int, _Question]] = []
        self._longest: list[tuple[int, int, _Question]] = []
        self._order = count()
        self._atoms: dict[Cond, frozenset[Atom]] = {}
        self._done: set[int] = set()  # questions asked, by their order
        self._best: Found | None = None

    def run(self) -> Found | None:
        """Search until something exact is found or a limit is reached; return the best, None if there is nothing."""
        for given in self._first():
            if self._try(given):
                return self._best
        for turn in range(limits.WITNESS_QUESTIONS):
            question = self._next(turn)
            if question is None or self._runs <= 0 or self._steps <= 0:
                break
            if self._ask(question):
                return self._best
        return self._best

    def has_read(self, fields: Iterable[str]) -> bool:
        """Whether a run has loaded one of these fields of the context."""
        return any((Atom(("field", name), FIELDS[name]),) in self._loaded for name in fields)

    # --- running -----------------------------------------------------------------------------------------------------

    def _try(self, given: Input, *, trace: bool = True) -> bool:
        """Run an input, and trace it; True if it does just what was feared."""
        if given not in self._ran:
            if self._runs <= 0 or self._steps <= 0:
                return False
            self._ran.add(given)
            self._runs -= 1
            ran = self._runner.run(given, self._fuel)
            self._steps -= ran.instructions
            trace |= self._rejection.code in BUDGET and ran.instructions > self._most
            self._most = max(self._most, ran.instructions)
            found = self._found(given, ran)
            if found is not None and (self._best is None or found.exact):
                self._best = found
            if found is not None and found.exact:
                return True
        return trace and given not in self._opened and self._open(given)

    def _found(self, given: Input, ran: Observation) -> Found | None:
        misbehaviour, code = judged(self._handler, ran), self._rejection.code
        match misbehaviour:
            case None:
                return None
            case Overrun():
                exact = code in BUDGET
            case Fault(kind=FaultKind.OUT_OF_FUEL):
                if code not in ENDLESS:
                    return None
                exact = True
            case Fault(kind=FaultKind.MISALIGNED) if code != "G0610":
                exact = False
            case Fault(pc=pc) | Breach(pc=pc):
                exact = pc == self._rejection.pc or code in ELSEWHERE
        return Found(given, misbehaviour, self._fuel, exact)

    def _open(self, given: Input) -> bool:
        """Trace an input and put what may be asked of it into the queues; True if a change of it does it."""
        most = min(limits.WITNESS_TRACED, self._traced)
        if most <= 0:
            return False
        self._opened.add(given)
        trace = self._tracer.trace(given, most)
        self._traced -= trace.steps
        budget = self._rejection.code in BUDGET
        paths = list(_paths(trace, trace.steps if budget else 0))
        for number, hazard in enumerate(trace.hazards):
            if hazard.pc == self._rejection.pc or self._rejection.code in ELSEWHERE:
                key = (paths[hazard.decisions], hazard.pc, number)
                self._queue(key, -_FAR, -_FAR, _Question(trace, hazard.decisions, hazard.conds))
        common = self._common(trace)
        for number, decision in enumerate(trace.decisions):
            if decision.cond is not None:
                if budget:
                    matched, distance = trace.steps, -trace.steps
                else:
                    matched = self._matched(trace, number, common)
                    distance = self._distance.get(decision.target, _FAR)
                question = _Question(trace, number, (decision.cond.negated(),))
                self._queue((paths[number], decision.pc, int(decision.taken)), distance, -matched, question)
        for choice in trace.choices:
            key = (paths[choice.decisions], choice.pc, -1)
            if key not in self._asked:
                self._asked.add(key)
                if self._try(choice.change(given)):
                    return True
        return any(self._try(guess, trace=False) for guess in self._guesses(trace))

    # --- questions ---------------------------------------------------------------------------------------------------

    def _queue(self, key: tuple[int, int, int], distance: int, rank: int, question: _Question) -> None:
        if key in self._asked:
            return
        self._asked.add(key)
        order = next(self._order)
        heapq.heappush(self._nearest, (distance, -order, question))  # of equals the latest: deeper into a loop
        heapq.heappush(self._longest, (rank, order, question))

    def _next(self, turn: int) -> _Question | None:
        """Return the next question, from either queue in turn."""
        queue = self._longest if turn % 2 else self._nearest
        while queue:
            *_, order, question = heapq.heappop(queue)
            if abs(order) not in self._done:
                self._done.add(abs(order))
                return question
        return None

    def _ask(self, question: _Question) -> bool:
        trace = question.trace
        decided = [d.cond for d in trace.decisions[: question.decisions] if d.cond is not None]
        path = related(decided, question.wanted, self._atoms)
        for solver in self._solvers:
            answer = solver.solve(trace.given, path, question.wanted)
            if answer is not None:
                return self._try(answer)
        return False

    def _common(self, trace: Trace) -> int:
        """Return how many decisions a trace has in common with the verifier's path."""
        wanted = self._rejection.decisions
        pairs = zip(trace.decisions, wanted, strict=False)
        return next(
            (n for n, (d, way) in enumerate(pairs) if (d.pc, d.taken) != way), min(len(trace.decisions), len(wanted))
        )

    def _matched(self, trace: Trace, number: int, common: int) -> int:
        """Return how much of the verifier's path a run would follow that decides otherwise at decision `number`."""
        wanted = self._rejection.decisions
        decision = trace.decisions[number]
        if number == common < len(wanted) and wanted[common] == (decision.pc, not decision.taken):
            return common + 1
        return min(number, common)

    # --- guesses -----------------------------------------------------------------------------------------------------

    def _first(self) -> Iterator[Input]:
        """Yield zeros and ones, with a body and without."""
        zeros = self._shape.simplest()
        yield zeros
        longer = {LENGTH: min(_BODY, self._shape.longest)}
        given = self._shape.changed(zeros, longer) if not self._shape.fixed else zeros
        if given is not None:
            yield given
            ones: dict[Atom, int] = {Atom(("memory", at), 1): 0xFF for at in range(len(given.body))}
            ones |= {Atom(("field", name), 8): ranges[-1][1] for name, ranges in self._shape.fields.items()}
            changed = self._shape.changed(given, ones)
            if changed is not None:
                yield changed

    def _guesses(self, trace: Trace) -> Iterator[Input]:
        """Yield the trace's input with numbers that may matter in parts that were not loaded by a run before.

        All of them at once have the same number first: what a loop loads often matters together.
        """
        parts = [*trace.fields, *([] if self._shape.fixed else [(LENGTH,)])]
        new = [loaded for loaded in parts if loaded not in self._loaded]
        self._loaded.update(new)
        changes = [_put(new, number) for number in (U64, 1)]
        changes += [_put([loaded], number) for loaded in new for number in self._numbers(_bits(loaded))]
        for values in changes if new else ():
            changed = self._shape.changed(trace.given, values)
            if changed is not None and self._guessed > 0:
                self._guessed -= 1
                yield changed

    def _numbers(self, bits: int) -> Iterator[int]:
        mask = (1 << bits) - 1
        near = (constant + step for constant in self._constants for step in (0, -1, 1))
        yield from dict.fromkeys(number & mask for number in (mask, mask >> 1, *near, *_POWERS))


def _bits(loaded: tuple[Atom, ...]) -> int:
    return 8 * sum(atom.size for atom in loaded)


def _put(parts: Iterable[tuple[Atom, ...]], number: int) -> dict[Atom, int]:
    """Return the change that puts a number into each of some parts, the lowest byte first."""
    values: dict[Atom, int] = {}
    for loaded in parts:
        rest = number
        for atom in loaded:
            values[atom] = rest & atom.bits
            rest >>= 8 * atom.size
    return values


def constants(operations: Mapping[int, Operation]) -> tuple[int, ...]:
    """Return the numbers in a handler's instructions, as words, in order of first appearance."""
    found: dict[int, None] = {}
    for op in operations.values():
        match op:
            case AluOp(source=Imm(value)) | Branch(source=Imm(value)) | LoadImm64(value=value):
                found.setdefault(value & U64)
            case _:
                pass
    return tuple(found)


def distances(operations: Mapping[int, Operation], pc: int) -> dict[int, int]:
    """Return how many jumps and instructions lead from each instruction to `pc` at least, where any way does."""
    before: dict[int, list[int]] = defaultdict(list)
    for at, op in operations.items():
        for following in _following(at, op):
            before[following].append(at)
    found, todo = {pc: 0}, [pc]
    for at in todo:
        for earlier in before[at]:
            if earlier not in found:
                found[earlier] = found[at] + 1
                todo.append(earlier)
    return found


def _following(pc: int, op: Operation) -> tuple[int, ...]:
    match op:
        case Exit():
            return ()
        case Goto(target):
            return (target,)
        case Branch(target=target) | CallLocal(target):
            return (pc + 1, target)
        case _:
            return (pc + width(op),)


def _paths(trace: Trace, other: int) -> Iterator[int]:
    """Yield a number for the path before each decision, and for the whole; the same for equal paths and `other`s."""
    path = hash((other,))
    yield path
    for decision in trace.decisions:
        path = hash((path, decision.pc, decision.taken))
        yield path
