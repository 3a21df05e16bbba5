"""Changing an input so that a path's conditions hold, by an SMT solver: bit-vectors of 64 bits, one for each atom.

The translation is term by term, RFC 9669's division by zero included. z3 is bounded by a resource limit, which does not
depend on the machine, and by a time limit behind it; its seed is fixed. So the same question has the same answer. It is
imported when the first question is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from grafting import limits
from grafting.isa import Condition
from jit.witness.inputs import LENGTH, Input, Shape
from jit.witness.terms import Atom, Cond, Op, Term, Word


def available() -> bool:
    """Whether z3 is installed."""
    return find_spec("z3") is not None


class Smt:
    """Answers questions about inputs of one shape."""

    def __init__(self, shape: Shape, seed: int) -> None:
        import z3

        self._z3, self._shape, self._seed = z3, shape, seed
        self._failures = limits.WITNESS_SOLVER_FAILURES  # that may still come

    def solve(self, given: Input, path: Sequence[Cond], wanted: Sequence[Cond]) -> Input | None:
        """Return an input for which the conditions of `path` and `wanted` hold, None if there is none or in time.

        What they do not mention is as in `given`. The body is as short as they allow, if its length plays a part.
        """
        if self._failures == 0:
            return None
        z3 = self._z3
        solver = z3.SolverFor("QF_BV")
        solver.set("random_seed", self._seed)
        solver.set("rlimit", limits.WITNESS_SOLVER_RESOURCES)
        solver.set("timeout", limits.WITNESS_SOLVER_MS)
        translation = _Translation(z3)
        for cond in (*path, *wanted):
            solver.add(translation.condition(cond))
        for atom in translation.atoms:
            solver.add(self._domain(translation.word(atom), atom))
        answer = solver.check()
        self._failures -= answer == z3.unknown
        if answer != z3.sat:
            return None
        model = solver.model()
        values = {
            atom: model.eval(bits, model_completion=True).as_long() for atom, bits in translation.atoms.items()
        }  # fmt: skip
        if LENGTH not in values:
            needed = [int(atom.name[1]) + 1 for atom in values if atom.name[0] == "memory"]
            if max(needed, default=0) > len(given.body):
                values[LENGTH] = max(needed)
        return self._shape.changed(given, values)

    def _domain(self, bits: Any, atom: Atom) -> Any:
        z3 = self._z3
        return z3.Or([z3.And(z3.ULE(first, bits), z3.ULE(bits, last)) for first, last in self._shape.ranges(atom)])


class _Translation:
    """Terms as z3's expressions. `atoms`: the variables made, by atom."""

    def __init__(self, z3: Any) -> None:
        self._z3 = z3
        self.atoms: dict[Atom, Any] = {}
        self._known: dict[int, Any] = {}

    def condition(self, cond: Cond) -> Any:
        z3 = self._z3
        a, b = self.word(cond.a), self.word(cond.b)
        found = {
            Condition.EQ: lambda: a == b, Condition.NE: lambda: a != b,
            Condition.GT: lambda: z3.UGT(a, b), Condition.GE: lambda: z3.UGE(a, b),
            Condition.LT: lambda: z3.ULT(a, b), Condition.LE: lambda: z3.ULE(a, b),
            Condition.SGT: lambda: a > b, Condition.SGE: lambda: a >= b,
            Condition.SLT: lambda: a < b, Condition.SLE: lambda: a <= b,
            Condition.SET: lambda: a & b != 0,
        }[cond.condition]()  # fmt: skip
        return found if cond.holds else z3.Not(found)

    def word(self, word: Word) -> Any:
        z3 = self._z3
        if isinstance(word, int):
            return z3.BitVecVal(word, 64)
        if isinstance(word, Atom):
            if word not in self.atoms:
                self.atoms[word] = z3.BitVec("_".join(map(str, word.name)), 64)
            return self.atoms[word]
        if id(word) not in self._known:
            self._known[id(word)] = self._term(word)
        return self._known[id(word)]

    def _term(self, term: Term) -> Any:
        z3 = self._z3
        a, b = self.word(term.a), self.word(term.b)
        match term.op:
            case Op.ADD:
                return a + b
            case Op.SUB:
                return a - b
            case Op.MUL:
                return a * b
            case Op.AND:
                return a & b
            case Op.OR:
                return a | b
            case Op.XOR:
                return a ^ b
            case Op.SHL:
                return a << b
            case Op.SHR:
                return z3.LShR(a, b)
            case Op.SAR:
                return a >> b
            case Op.DIV:
                return z3.If(b == 0, z3.BitVecVal(0, 64), z3.UDiv(a, b))
            case Op.MOD:
                return z3.If(b == 0, a, z3.URem(a, b))
            case Op.SDIV:
                return z3.If(b == 0, z3.BitVecVal(0, 64), a / b)
            case Op.SMOD:
                return z3.If(b == 0, a, z3.SRem(a, b))
            case Op.EXTEND:
                assert isinstance(term.b, int)
                return z3.SignExt(64 - term.b, z3.Extract(term.b - 1, 0, a))
            case Op.SWAP:
                assert isinstance(term.b, int)
                parts = [z3.Extract(8 * n + 7, 8 * n, a) for n in range(term.b // 8)]
                return z3.ZeroExt(64 - term.b, z3.Concat(parts))
