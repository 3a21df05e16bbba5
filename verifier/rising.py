"""By how much a number grew that was added to another: `Rise` relations, for rankings of variable steps.

While a loop is being summarised, `after` records what an addition or a subtraction of two registers has done, if it
cannot have wrapped:

    r2 += r4, r4 >= 1           r2' - r2 >= 1
    r2 -= r4, r2 > r4 >= 1      r2 - r2' >= 1

A relation goes on from those before it: if r2 - r6 >= 2 was known and r2 did not change, r2' - r6 >= 3 is, too. So what
is known at the end of a round reaches back to its beginning. **Soundness.** Both sides of a `Rise` are words read as
unsigned integers, so relations of one chain add up; where it goes on from `symbol + d` to `symbol + e`, the words known
of that number show that e - d can be added without wrapping (`turns.goes`).
"""

from __future__ import annotations

from grafting.isa import Alu, AluOp, Condition, Operation, Reg
from verifier.scalar import Scalar, unsigned
from verifier.state import Fact, Relation, Rise, State, narrowed
from verifier.terms import ZERO, wrap
from verifier.values import Number, Pointer, Value

_WORD = (1 << 64) - 1
_MOST = 16  # relations of one state; more are not recorded


def after(before: State, op: Operation, state: State) -> State:
    """Return the state after an instruction with the relations that it has established."""
    match op:
        case AluOp(Alu.ADD | Alu.SUB as alu, bits, dst, Reg(src)):
            most = (1 << bits) - 1
            found = _moved(before, alu, before.registers[dst], before.registers[src], state.registers[dst], most)
            return with_rises(_exact(before, state, alu, dst, src, most), found)
        case _:
            return state


def _exact(before: State, state: State, alu: Alu, dst: int, src: int, most: int) -> State:
    """Return the state with the bounds of a difference whose sides have been compared."""
    old, by, new = before.registers[dst], before.registers[src], state.registers[dst]
    if alu is not Alu.SUB:
        return state
    if not isinstance(old, Number) or not isinstance(by, Number) or not isinstance(new, Number):
        return state
    if old.scalar.umax > most or by.scalar.umax > most or not _known_less(before, by, old):
        return state
    least = int(_known_less(before, by, old, strictly=True))
    within = unsigned(least, max(least, old.scalar.umax - min(by.scalar.umin, old.scalar.umax)))
    word = narrowed(new.scalar, within)
    return state if word is None else state.with_register(dst, new._replace(scalar=word))


def with_rises(state: State, found: set[Rise]) -> State:
    """Return the state with more relations, and those that follow from going on from the ones it has."""
    rises = sum(isinstance(fact, Rise) for fact in state.facts)
    if not found or rises + len(found) > _MOST:
        return state
    return state._replace(facts=state.facts | found)


def chained(facts: frozenset[Relation], rise: Rise, old: Scalar, *, up: bool) -> set[Rise]:
    """Return a relation and those that reach further back, `old` being the words of the side that is the older one."""
    found = {rise}
    link = rise.b if up else rise.a
    for fact in facts:
        if isinstance(fact, Rise):
            newer, older = (fact.a, fact.b) if up else (fact.b, fact.a)
            ahead = wrap(link[1] - newer[1])  # link = newer + ahead
            if newer[0] == link[0] and goes(old, -ahead):
                least = fact.least + rise.least + (ahead if up else -ahead)
                found.add(Rise(least, rise.a, older) if up else Rise(least, older, rise.b))
    return found


def _moved(before: State, alu: Alu, old: Value, by: Value, new: Value, most: int) -> set[Rise]:
    """Return what `new = old + by` or `old - by` tells, in words up to `most`."""
    if not isinstance(old, Number | Pointer) or not isinstance(by, Number) or not isinstance(new, Number | Pointer):
        return set()
    if by.symbol == ZERO or old.symbol == ZERO or (isinstance(old, Pointer) and old.scalar.smin < 0):
        return set()
    if max(old.scalar.umax, by.scalar.umax) > most:
        return set()
    if alu is Alu.ADD:
        if old.scalar.umax + by.scalar.umax > most:
            return set()
        found = chained(before.facts, Rise(by.scalar.umin, new[-2:], old[-2:]), old.scalar, up=True)
        if isinstance(old, Number):
            found |= chained(before.facts, Rise(old.scalar.umin, new[-2:], by[-2:]), by.scalar, up=True)
        return found
    if old.scalar.umin < by.scalar.umax and not _known_less(before, by, old):
        return set()
    return chained(before.facts, Rise(by.scalar.umin, old[-2:], new[-2:]), old.scalar, up=False)


def _known_less(state: State, less: Number, greater: Number | Pointer, *, strictly: bool = False) -> bool:
    """Return whether a comparison has shown `less <= greater`, unsigned; or `less < greater`."""
    a, b = less[-2:], greater[-2:]
    below = {Fact(Condition.LT, True, a, b), Fact(Condition.GT, True, b, a)}
    at_most = below | {Fact(Condition.LE, True, a, b), Fact(Condition.GE, True, b, a)}
    differ = {Fact(Condition.NE, True, a, b), Fact(Condition.NE, True, b, a)}
    if below & state.facts:
        return True
    return bool(at_most & state.facts) and (not strictly or bool(differ & state.facts))


def goes(words: Scalar, delta: int) -> bool:
    """Return whether a constant can be added to these words, unsigned, without wrapping."""
    return words.umin + delta >= 0 and words.umax + delta <= _WORD
