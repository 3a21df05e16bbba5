"""Witnesses: inputs that make a rejected program misbehave, found by running it.

A verifier that says no may be right or too cautious. `find` looks for the proof that it is right: an input with which
the checked interpreter faults, does not end, or costs more than the handler's budget. What it returns has been run,
made small, and run again, so a witness is never wrong; that none is found proves nothing, and `excuse` says what
would convince the verifier.

    try:
        verifier.verify(program)
    except verifier.Rejected as rejected:
        witness = jit.witness.find(program, rejected.diagnostics[0])
        witness.given.body, witness.misbehaviour.sentence     # b'\\x08', 'access of 1 bytes at ... goes out of bounds'

    terms     words as functions of the input
    inputs    what an input is, and which ones can arrive
    replay    running an input
    trace     a run as a path: decisions, hazards
    solve     changing an input so that conditions hold; `smt` does it by z3, where that is installed
    search    what is tried, in which order
    minimise  making what was found small
    show      telling it to people

Nothing here is trusted: the verifier knows nothing of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from grafting import limits
from grafting.diagnostics import Diagnostic
from grafting.program import Handler, Program
from jit.events import Breach
from jit.faults import Fault, FaultKind
from jit.overrun import Overrun
from jit.witness.inputs import WIDENED, Input, Shape, shape, to_json
from jit.witness.minimise import shrink
from jit.witness.replay import Runner
from jit.witness.search import Found, Misbehaviour, Search, judged


@dataclass(frozen=True, slots=True)
class Witness:
    """An input of `handler` and what it leads to. `fuel`: instructions after which a run without end is given up.

    `exact`: the misbehaviour is what the diagnostic is about, and not another one further on. `arrives`: a kernel can
    give the handler this input; else only the hook's types allow it.
    """

    handler: Handler
    given: Input
    misbehaviour: Misbehaviour
    fuel: int | None
    exact: bool
    arrives: bool

    def input_json(self) -> dict[str, Any]:
        """Return the input as `graft run --input` takes it."""
        return to_json(self.given, self.handler.name, self.fuel)

    def as_dict(self) -> dict[str, Any]:
        """Return the witness as JSON-ready data."""
        wrong = self.misbehaviour
        return {
            "handler": self.handler.name,
            "input": self.input_json(),
            "fault": wrong.as_dict() if isinstance(wrong, Fault) else None,
            "overrun": wrong.as_dict() if isinstance(wrong, Overrun) else None,
            "breach": wrong.as_dict() if isinstance(wrong, Breach) else None,
            "exact": self.exact,
            "arrives": self.arrives,
        }


def find(program: Program, rejection: Diagnostic, *, seed: int = 1, solver: bool = True) -> Witness | None:
    """Return a witness for one diagnostic of `verifier.Rejected`, or None if none is found within the limits.

    The same program, diagnostic and seed have the same result. `solver`: use z3 where it is installed.
    """
    if rejection.handler is None:
        return None
    handler = program.handler(rejection.handler)
    for wide in (False, True):
        allowed = shape(program, handler, wide=wide)
        search = Search(program, handler, rejection, allowed, seed=seed, solver=solver)
        found = search.run()
        if found is not None:
            return _small(Runner(program, handler), found, allowed, arrives=not wide)
        if not search.has_read(WIDENED):
            break  # a wider choice would be none
    return None


def _small(runner: Runner, found: Found, allowed: Shape, *, arrives: bool) -> Witness:
    """Return what was found with an input as small as some runs can make it."""
    handler, wanted = runner.handler, _nature(found.misbehaviour)
    fuel = min(found.fuel, limits.WITNESS_FUEL_SHORT)
    runs, steps = limits.WITNESS_RUNS, limits.WITNESS_STEPS

    def same(given: Input) -> bool:
        nonlocal runs, steps
        if runs <= 0 or steps <= 0:
            return False
        ran = runner.run(given, fuel)
        runs, steps = runs - 1, steps - ran.instructions
        misbehaviour = judged(handler, ran)
        return misbehaviour is not None and _nature(misbehaviour) == wanted

    given = shrink(found.given, allowed, same)
    misbehaviour = found.misbehaviour if given == found.given else judged(handler, runner.run(given, found.fuel))
    if misbehaviour is None or _nature(misbehaviour) != wanted:  # it goes on for long, but not for ever
        given, misbehaviour = found.given, found.misbehaviour
    fuel_needed = found.fuel if wanted == _ENDLESS else None
    return Witness(handler, given, misbehaviour, fuel_needed, found.exact, arrives)


_ENDLESS: Final = ("endless", 0)


def _nature(misbehaviour: Misbehaviour) -> tuple[str, int]:
    """Return what two misbehaviours of one nature have in common; where a loop is given up does not matter."""
    match misbehaviour:
        case Fault(kind=FaultKind.OUT_OF_FUEL):
            return _ENDLESS
        case Fault(kind, pc):
            return kind.name, pc
        case Overrun(what):
            return what, 0
        case Breach(pc, _):
            return "breach", pc
