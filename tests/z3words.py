"""`verifier.words.Words` on z3 bit-vectors: the domain's own functions run on it and come out as formulas.

`paths(w, function)` runs a function once for each way through its `w.decide` branches, and yields the conditions of
the way with the result, so that code with branches is proved too. `counterexample(claims)` asks z3 for values that make
some claim false, and returns None if there are none: a proof.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import z3

T = TypeVar("T")


class Decisions:
    """The branches of one run: those to take first, then always the true one; with their conditions."""

    def __init__(self) -> None:
        self.script: list[bool] = []
        self.taken: list[bool] = []
        self.conditions: list[Any] = []

    def decide(self, condition: Any) -> bool:
        if isinstance(condition, bool):
            return condition
        position = len(self.taken)
        choice = self.script[position] if position < len(self.script) else True
        self.taken.append(choice)
        self.conditions.append(condition if choice else z3.Not(condition))
        return choice


class Z3Words:
    """Words of one width and of half of it, on bit-vectors. Python integers are taken as constants."""

    def __init__(self, width: int, decisions: Decisions | None = None) -> None:
        self.width = width
        self.mask = (1 << width) - 1
        self.sign = 1 << (width - 1)
        self.decisions = decisions or Decisions()
        self.half = Z3Words(width // 2, self.decisions) if width > 4 else self

    def lift(self, x: Any) -> Any:
        if isinstance(x, z3.BitVecRef):
            assert x.size() == self.width, "words of two widths are mixed"
            return x
        return z3.BitVecVal(x, self.width)

    def ult(self, a: Any, b: Any) -> Any:
        return z3.ULT(self.lift(a), self.lift(b))

    def ule(self, a: Any, b: Any) -> Any:
        return z3.ULE(self.lift(a), self.lift(b))

    def slt(self, a: Any, b: Any) -> Any:
        return self.lift(a) < self.lift(b)

    def sle(self, a: Any, b: Any) -> Any:
        return self.lift(a) <= self.lift(b)

    def no(self, condition: Any) -> Any:
        return z3.Not(condition)

    def ite(self, condition: Any, a: Any, b: Any) -> Any:
        return z3.If(condition, self.lift(a), self.lift(b))

    def decide(self, condition: Any) -> bool:
        return self.decisions.decide(condition)

    def same(self, a: Any, b: Any) -> Any:
        return z3.And(*(self.lift(x) == self.lift(y) for x, y in zip(a, b, strict=True)))

    def umin(self, a: Any, b: Any) -> Any:
        return self.ite(self.ult(a, b), a, b)

    def umax(self, a: Any, b: Any) -> Any:
        return self.ite(self.ult(a, b), b, a)

    def smin(self, a: Any, b: Any) -> Any:
        return self.ite(self.slt(a, b), a, b)

    def smax(self, a: Any, b: Any) -> Any:
        return self.ite(self.slt(a, b), b, a)

    def shl(self, a: Any, amount: Any) -> Any:
        return self.lift(a) << self.lift(amount)

    def lshr(self, a: Any, amount: Any) -> Any:
        return z3.LShR(self.lift(a), self.lift(amount))

    def ashr(self, a: Any, amount: Any) -> Any:
        return self.lift(a) >> self.lift(amount)

    def turn(self, extend: Any, operator: Any, a: Any, b: Any, bias: int) -> Any:
        exact = operator(extend(2, self.lift(a)), extend(2, self.lift(b))) + bias
        return z3.Extract(self.width + 1, self.width, exact)

    def uadd_turn(self, a: Any, b: Any) -> Any:
        return self.turn(z3.ZeroExt, operator.add, a, b, 0)

    def usub_turn(self, a: Any, b: Any) -> Any:
        return self.turn(z3.ZeroExt, operator.sub, a, b, 0)

    def sadd_turn(self, a: Any, b: Any) -> Any:
        return self.turn(z3.SignExt, operator.add, a, b, self.sign)

    def ssub_turn(self, a: Any, b: Any) -> Any:
        return self.turn(z3.SignExt, operator.sub, a, b, self.sign)

    def umul_fits(self, a: Any, b: Any) -> Any:
        return z3.BVMulNoOverflow(self.lift(a), self.lift(b), False)

    def smul_fits(self, a: Any, b: Any) -> Any:
        a, b = self.lift(a), self.lift(b)
        return z3.And(z3.BVMulNoOverflow(a, b, True), z3.BVMulNoUnderflow(a, b))

    def udiv(self, a: Any, b: Any) -> Any:
        return z3.UDiv(self.lift(a), self.lift(b))

    def urem(self, a: Any, b: Any) -> Any:
        return z3.URem(self.lift(a), self.lift(b))

    def sdiv(self, a: Any, b: Any) -> Any:
        return self.lift(a) / self.lift(b)

    def signed(self, a: Any) -> Any:
        return self.lift(a)

    def wrap(self, s: Any) -> Any:
        return self.lift(s)

    def low(self, a: Any) -> Any:
        return z3.Extract(self.half.width - 1, 0, self.lift(a))

    def wide(self, a: Any) -> Any:
        return z3.ZeroExt(self.half.width, self.half.lift(a))

    def wide_signed(self, a: Any) -> Any:
        return z3.SignExt(self.half.width, self.half.lift(a))

    def fill(self, a: Any) -> Any:
        a, shift = self.lift(a), 1
        while shift < self.width:
            a, shift = a | z3.LShR(a, shift), shift * 2
        return a

    def reverse_bytes(self, a: Any, size: int) -> Any:
        a = self.lift(a)
        parts = [z3.Extract(8 * i + 7, 8 * i, a) for i in range(size)]
        reversed_ = z3.Concat(*parts) if size > 1 else parts[0]
        return z3.ZeroExt(self.width - 8 * size, reversed_)


def paths(w: Z3Words, function: Callable[[], T]) -> Iterator[tuple[Any, T]]:
    """Yield (condition, result) for each way through the branches of `function`."""
    script: list[bool] | None = []
    while script is not None:
        decisions = w.decisions
        decisions.script, decisions.taken, decisions.conditions = script, [], []
        result = function()
        yield z3.And(*decisions.conditions), result
        taken = decisions.taken
        while taken and not taken[-1]:
            taken.pop()
        script = [*taken[:-1], False] if taken else None


def variables(formula: Any) -> frozenset[int]:
    """Return the identities of the variables of a formula."""
    found, seen, todo = set(), set(), [formula]
    while todo:
        term = todo.pop()
        if term.get_id() not in seen:
            seen.add(term.get_id())
            if z3.is_const(term) and term.decl().kind() == z3.Z3_OP_UNINTERPRETED:
                found.add(term.get_id())
            todo.extend(term.children())
    return frozenset(found)


def model_of(*formulas: Any) -> Any | None:
    """Return a model of all formulas, or None if there is none."""
    solver = z3.SolverFor("QF_BV")
    solver.add(*formulas)
    answer = solver.check()
    assert answer != z3.unknown, solver.reason_unknown()
    return solver.model() if answer == z3.sat else None


def counterexample(claims: Iterable[tuple[list[Any], Any]]) -> Any | None:
    """Return a model in which, for some claim (premises, conclusion), these hold and that does not; None: all proved.

    What follows from fewer premises follows, and is found sooner: a claim is tried from those premises that speak of
    the conclusion's variables only, then from those that speak of any of them, then from all. Only the last can make a
    counterexample.
    """
    for premises, conclusion in claims:
        subject = variables(conclusion)
        spoken_of = [(premise, variables(premise)) for premise in premises]
        nearest = [premise for premise, names in spoken_of if names <= subject]
        near = [premise for premise, names in spoken_of if names & subject]
        for chosen in (nearest, near, premises):
            model = model_of(*chosen, z3.Not(conclusion))
            if model is None:
                break
        else:
            return model
    return None
