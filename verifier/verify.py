"""The whole judgement of a program: handler by handler, walk by walk.

`Verified` is the proof's receipt: only `verify` makes one (the constructor wants a token that this file keeps), and
only a `Verified` is attached or compiled. What it holds is data: for every block the states that describe all arrivals
there, for every loop its bound, and each handler's worst-case cost.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Final

from grafting import limits
from grafting.costs import CostVector
from grafting.diagnostics import Diagnostic
from grafting.hooks import FieldKind, Hook
from grafting.isa import Operation
from grafting.program import Handler, Program
from verifier import cost, expense, flow, obligations, remaining, report
from verifier import scalar as scalars
from verifier.explore import RETURN, Explorer, Findings, Imprecision, Node, Plan, Stuck
from verifier.flow import Function
from verifier.meter import Exhausted, Meter, allowance
from verifier.pointers import CONTEXT, MEMORY
from verifier.ranking import Reason
from verifier.refusal import Refusal
from verifier.report import Rejected
from verifier.rules import Rules
from verifier.scalar import constant
from verifier.state import State, initial
from verifier.terms import ZERO, Terms
from verifier.values import Pointer, Value, literal

_TOKEN: Final = object()
_WALKS = 24  # of one handler, each with fewer losses of precision; then the first failure stands
_CAREFUL = 3  # walks after which more than one loss is spared at once, twice as many each time


@dataclass(frozen=True, slots=True)
class HandlerProof:
    """What was proved of one handler.

    `bounds`: its worst-case cost. `states`: for (function, block), each by its first pc, states of which one describes
    any arrival. `rounds`: for (function, loop head), how often at most the head is reached again; `rankings`: why, of
    those that were not followed round by round. `remaining`: for (function, block), what may still be spent from there
    until the function returns, the stack apart. `steps`: instructions looked at, for comparison. `terms`: what the
    symbols in the states stand for. `receipt` has all of it as JSON.
    """

    bounds: CostVector
    states: Mapping[tuple[int, int], Sequence[State]]
    rounds: Mapping[tuple[int, int], int]
    remaining: Mapping[tuple[int, int], CostVector]
    steps: int
    terms: Terms = field(compare=False, repr=False)
    rankings: Mapping[tuple[int, int], Reason] = field(default_factory=dict)


class Verified:
    """A program that `verify` has accepted, with what was proved. It cannot be made otherwise."""

    __slots__ = ("_handlers", "_program")

    def __init__(self, token: object, program: Program, handlers: Mapping[str, HandlerProof]) -> None:
        if token is not _TOKEN:
            raise TypeError("a Verified is made by verifier.verify alone")
        self._program, self._handlers = program, dict(handlers)

    @property
    def program(self) -> Program:
        """The program that was verified."""
        return self._program

    @property
    def handlers(self) -> Mapping[str, HandlerProof]:
        """What was proved, by the handler's name."""
        return self._handlers

    @property
    def bounds(self) -> CostVector:
        """The bound of any one activation: each count's maximum over the handlers."""
        return reduce(CostVector.maximum, (proof.bounds for proof in self._handlers.values()), CostVector())

    def __repr__(self) -> str:
        return f"<Verified {self._program.name}>"


def verify(program: Program, *, clock: Callable[[], float] = time.monotonic) -> Verified:
    """Prove a program safe and return it with its bounds; raises Rejected with the reasons, one or more a handler.

    `clock` tells seconds, for the limit `limits.VERIFIER_SECONDS`.
    """
    proofs: dict[str, HandlerProof] = {}
    found: list[Diagnostic] = []
    deadline = clock() + limits.VERIFIER_SECONDS
    for handler in program.handlers:
        most = allowance(len(handler.operations), len(program.handlers))
        judged = _judge(program, handler, Meter(most, clock, deadline))
        if isinstance(judged, HandlerProof):
            proofs[handler.name] = judged
        else:
            found += judged
    if found:
        raise Rejected(report.each_cause_once(found)[: limits.DIAGNOSTICS_MAX])
    return Verified(_TOKEN, program, proofs)


def _judge(program: Program, handler: Handler, meter: Meter) -> HandlerProof | list[Diagnostic]:
    """Return the proof of one handler, or what is wrong with it."""
    operations = handler.operations
    try:
        functions = _functions(operations)
    except flow.NestedTooDeeply:
        refusal = Refusal("G0622", f"too complex to verify: loops are nested more than {flow.NESTING} deep")
        return [report.diagnostic(program, handler, 0, refusal)]
    wrong = _calls(functions)
    if wrong is not None:
        return [report.diagnostic(program, handler, *wrong)]
    needs = {pc: obligations.of(op, handler.hook) for pc, op in operations.items()}
    plan = Plan()
    reported: report.Failure | None = None
    for walk in range(_WALKS):
        meter.nodes = 0
        rules = Rules(program, handler.hook, Terms())
        explorer = Explorer(rules, operations, needs, functions, plan, meter)
        try:
            ends = explorer.run(0, _entry(explorer, handler.hook))
        except Stuck as failure:
            reported = report.worth_reporting(reported, report.Failure(rules, failure))
            places = _latest(failure.node, plan, max(1, 1 << walk >> _CAREFUL))
            if not places:
                break
            plan = plan.sparing(places)
        except Exhausted as failure:
            if reported is None:
                return [report.exhausted(program, handler, failure)]
            break
        else:
            return _proof(program, handler, explorer, ends)
    assert reported is not None
    return [report.stuck(reported, functions, handler)]


def _latest(node: Node, plan: Plan, most: int) -> tuple[Imprecision, ...]:
    """Return the last loss of precision on the way to a node that the plan still allows, and merges before it.

    `most` in all. Loops are spared one by one: following one that need not be followed could cost all that is left.
    """
    allowed = [place for place in node.blame if place not in plan.exact]
    merges = [place for place in allowed[:-1] if not place.loop]
    return (*merges[len(merges) - most + 1 if most <= len(merges) else 0 :], *allowed[-1:])


def _functions(operations: Mapping[int, Operation]) -> dict[int, Function]:
    """Return the functions that are reachable from the handler's first instruction, by entry."""
    found: dict[int, Function] = {}
    todo = [0]
    while todo:
        entry = todo.pop()
        if entry not in found:
            found[entry] = flow.function(operations, entry)
            todo += [callee for _pc, callee in found[entry].callees]
    return found


def _calls(functions: Mapping[int, Function]) -> tuple[int, Refusal] | None:
    """Return the call at which functions are recursive or nested too deeply, and what to say; None if none are."""
    height: dict[int, int] = {}
    active: set[int] = set()

    def measure(entry: int, depth: int) -> tuple[int, Refusal] | None:
        active.add(entry)
        below = 0
        for pc, callee in functions[entry].callees:
            if callee in active:
                return pc, Refusal("G0623", "this call is recursive", ("no function may call itself, directly or not",))
            if depth + height.get(callee, 1) > limits.CALL_DEPTH:
                return pc, _too_deep()
            wrong = measure(callee, depth + 1) if callee not in height else None
            if wrong is not None:
                return wrong
            below = max(below, height[callee])
        height[entry] = 1 + below
        active.discard(entry)
        return None

    return measure(0, 1)


def _too_deep() -> Refusal:
    return Refusal("G0624", f"calls are nested more than {limits.CALL_DEPTH} deep",
                   ("the handler's own code counts as one",))  # fmt: skip


def _entry(explorer: Explorer, hook: Hook) -> Node:
    """Return the node at the handler's first instruction."""
    registers: dict[int, Value] = {}
    if hook.memory == "memory":
        memory = Pointer(MEMORY, constant(0), ZERO, 0) if hook.context_bytes else literal(0)  # no memory: null
        registers = {1: memory, 2: literal(hook.context_bytes)}
    else:
        registers = {1: Pointer(CONTEXT, constant(0), ZERO, 0)}
    has_body = any(field.kind is FieldKind.DATA for field in hook.fields)
    length = scalars.unsigned(0, limits.BODY_BYTES if has_body else 0)
    return Node(initial(registers, length), expense.constant(explorer.layout.zero), 0, None)


def _proof(
    program: Program, handler: Handler, explorer: Explorer, ends: Sequence[Node]
) -> HandlerProof | list[Diagnostic]:
    """Return the proof that a finished walk is, unless the stack or the budget is exceeded."""
    found = explorer.found
    callees: dict[int, list[int]] = defaultdict(list)
    for caller, callee in found.calls:
        callees[caller].append(callee)
    stack_bytes, chain = cost.deepest_chain(0, found.depths, callees)
    if stack_bytes > limits.STACK_BYTES:
        return [_stack_overflow(program, handler, found, stack_bytes, chain)]
    tally = explorer.layout.zero
    for end in ends:
        assert end.block == RETURN
        tally = cost.maximum(tally, end.cost.settled().base)
    bounds = explorer.layout.vector(tally, stack_bytes)
    over = report.over_budget(program, handler, bounds)
    if over:
        return over
    states = {key: tuple(states) for key, states in found.states.items()}
    left = remaining.after(explorer, tally)
    return HandlerProof(
        bounds, states, dict(found.rounds), left, explorer.meter.steps, explorer.rules.terms, dict(found.rankings)
    )


def _stack_overflow(
    program: Program, handler: Handler, found: Findings, stack_bytes: int, chain: Sequence[int]
) -> Diagnostic:
    pc = found.calls[(chain[0], chain[1])] if len(chain) > 1 else 0
    frames = " + ".join(str(found.depths.get(entry, 0)) for entry in chain)
    return report.diagnostic(
        program, handler, pc,
        Refusal("G0625", f"the frames of this chain of calls take {stack_bytes} bytes of stack, at most "
                f"{limits.STACK_BYTES} are allowed in all", (f"{frames} bytes, the handler's own first",)),
    )  # fmt: skip
