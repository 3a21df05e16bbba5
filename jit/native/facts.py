"""What the proof says about single instructions: the part of it that makes native code cheap.

`of_handler` takes the states that the verifier kept at the start of each block through the block once more and notes,
for every instruction that reaches memory, which regions its base register may point into, and for every division
whether the divisor may be 0. A fact is the union over all states that describe arrivals there, so it holds however the
instruction is reached; a value of which some state knows nothing has the general code.

States describe a function in every context that it is called in. Native code is made for each call on its own
(`lowering`), so facts are kept by call depth.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from grafting.hooks import Arg, FieldKind, Result
from grafting.isa import AluOp, Atomic, CallHelper, Load, Operation, Reg, Store
from grafting.program import Handler
from jit.native.arithmetic import DIVISIONS
from verifier import Verified, flow, transfer
from verifier.pointers import Kind, Region
from verifier.rules import Rules
from verifier.state import State
from verifier.values import Handle, Number, Pointer

Place = tuple[int, int]
"""(call depth, pc)."""
Key = tuple[int, int, int]
"""(call depth, pc, register)."""

_MEMORY = (Arg.MAP, Arg.KEY, Arg.VALUE, Arg.READ_THIRD, Arg.WRITE_THIRD)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one handler.

    `regions`: where the pointer in a register points to, just before the instruction. `maps`: which maps a handle may
    be. `nonzero`: divisors that are never 0. `data`: loads that read the address of the body, and nothing else.
    `reached`: blocks, by their first pc, that are reached at all.
    """

    regions: dict[Key, frozenset[Region]]
    maps: dict[Key, frozenset[int]]
    nonzero: frozenset[Place]
    data: frozenset[Place]
    reached: frozenset[Place]


def of_handler(verified: Verified, handler: Handler) -> Facts:
    """Return what the proof says about the instructions of one handler."""
    proof = verified.handlers[handler.name]
    notes = _Notes(Rules(verified.program, handler.hook, proof.terms))
    functions: dict[int, flow.Function] = {}
    interesting: dict[Place, list[Operation]] = {}
    for (entry, start), states in proof.states.items():
        if entry not in functions:
            functions[entry] = flow.function(handler.operations, entry)
        pcs = functions[entry].blocks[start].pcs
        if (entry, start) not in interesting:
            interesting[entry, start] = notes.until_last(handler.operations[pc] for pc in pcs)
        for state in states:
            notes.walk(state, pcs, interesting[entry, start])
    return notes.facts()


class _Notes:
    """What has been seen so far."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._regions: defaultdict[Key, set[Region]] = defaultdict(set)
        self._maps: defaultdict[Key, set[int]] = defaultdict(set)
        self._divisors: dict[Place, bool] = {}
        self._data: dict[Place, bool] = {}
        self._reached: set[Place] = set()

    def facts(self) -> Facts:
        return Facts(
            {key: frozenset(regions) for key, regions in self._regions.items()},
            {key: frozenset(maps) for key, maps in self._maps.items()},
            frozenset(place for place, nonzero in self._divisors.items() if nonzero),
            frozenset(place for place, always in self._data.items() if always),
            frozenset(self._reached),
        )

    def until_last(self, operations: Iterable[Operation]) -> list[Operation]:
        """Return the operations of a block up to the last of which something is to be noted."""
        found: list[Operation] = []
        last = 0
        for op in operations:
            found.append(op)
            if isinstance(op, CallHelper) and self._result(op) is Result.NEVER:
                break
            if self._pointers(op) or _is_division(op):
                last = len(found)
        return found[:last]

    def _result(self, op: CallHelper) -> Result | None:
        helper = self._rules.hook.helper(op.number)
        return None if helper is None else helper.result

    def walk(self, state: State, pcs: tuple[int, ...], operations: list[Operation]) -> None:
        """Note what a state at the start of a block says about these operations, the block's first."""
        depth = state.depth
        self._reached.add((depth, pcs[0]))
        for pc, op in zip(pcs, operations, strict=False):
            for register in self._pointers(op):
                self._pointer((depth, pc, register), state)
            if isinstance(op, Load):
                self._load((depth, pc), op, state)
            elif isinstance(op, AluOp) and _is_division(op):
                self._division((depth, pc), op, state)
            state = transfer.step(self._rules, state, op)

    def _pointers(self, op: Operation) -> tuple[int, ...]:
        """Return the registers by which an operation reaches memory or a map here, not in the embedder."""
        match op:
            case Load(base=base) | Store(base=base) | Atomic(base=base):
                return (base,)
            case CallHelper(number):
                helper = self._rules.hook.helper(number)
                return () if helper is None else tuple(n for n, arg in enumerate(helper.args, 1) if arg in _MEMORY)
            case _:
                return ()

    def _pointer(self, key: Key, state: State) -> None:
        value = state.registers[key[2]]
        if isinstance(value, Pointer):
            self._regions[key].add(value.region._replace(origin=0))
        elif isinstance(value, Handle):
            self._maps[key].update(value.maps)

    def _load(self, place: Place, op: Load, state: State) -> None:
        base = state.registers[op.base]
        reads = False
        if isinstance(base, Pointer) and base.region.kind is Kind.CONTEXT and base.scalar.is_constant:
            field = self._rules.hook.field_at(base.scalar.smin + op.offset, op.size)
            reads = field is not None and field.kind is FieldKind.DATA
        self._data[place] = reads and self._data.get(place, True)

    def _division(self, place: Place, op: AluOp, state: State) -> None:
        assert isinstance(op.source, Reg)
        value = state.registers[op.source.number]
        least = 0
        if isinstance(value, Number):
            least = value.scalar.umin if op.bits == 64 else value.scalar.u32min
        self._divisors[place] = least > 0 and self._divisors.get(place, True)


def _is_division(op: Operation) -> bool:
    return isinstance(op, AluOp) and op.op in DIVISIONS and isinstance(op.source, Reg)
