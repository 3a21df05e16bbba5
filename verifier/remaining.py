"""How much may still be spent from a block on, until its function returns.

`costs` computes for every block that an execution can reach the longest way out of its function, count by count, over
the loop structure (`flow`): blocks in reverse order, and for a loop with head h

    from h     at most R times around, then the dearest way out       R * around(h) + out(h)
    inside b   to h, around what is left, out; or straight out        max(to(b) + (R - 1) * around(h) + out(h), out(b))

with R the proven number of times that the head is reached again, in whatever context. This is a potential in the sense
of amortised analysis (Tarjan, SIAM J. Alg. Disc. Meth. 1985): a checker that is given it has only to see that it falls
by an instruction's cost along each edge, once a round on the edge back to a head. It looks at structure alone, so it
may exceed the handler's bound, which knows which branches exclude each other; no execution spends more than that bound
in all, so `after` gives the lesser of the two, count by count.

Example: a head `if r1 > 9 goto out`, a body of two instructions and a jump, `out: exit`. A round costs 4, the head is
reached again 10 times, the way out costs 2: 42 remain at the head, 3 + 36 + 2 = 41 in the body, 1 at `out`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from grafting.costs import CostVector
from grafting.isa import CallHelper, CallLocal
from verifier import cost
from verifier.cost import Tally
from verifier.explore import RETURN, Explorer
from verifier.flow import Block, Component, Element, Function

Costs = dict[int, Tally]


def after(explorer: Explorer, most: Tally) -> dict[tuple[int, int], CostVector]:
    """Return what may still be spent from each block, by (function, block), once a walk has ended well.

    `most`: the handler's bound. The stack does not add up along a path; it is 0 here.
    """
    found, layout = explorer.found, explorer.layout
    left: dict[int, Costs] = {}

    def own(block: Block) -> Tally:
        tally = layout.of_operations(explorer.operations[pc] for pc in block.pcs)
        for pc in block.pcs:
            tally = cost.with_bytes(tally, found.sent.get(pc, 0))
            op = explorer.operations[pc]
            if isinstance(op, CallLocal):
                tally = cost.plus(tally, of(op.target).get(op.target, layout.zero))
        return tally

    def of(entry: int) -> Costs:
        if entry not in left:
            function = explorer.functions[entry]
            tallies = {start: own(block) for start, block in function.blocks.items() if (entry, start) in found.states}
            rounds = {head: times for (owner, head), times in found.rounds.items() if owner == entry}
            ends = {start for start, block in function.blocks.items() if any(map(never, block.pcs))}
            left[entry] = costs(function, tallies, rounds, ends, layout.zero)
        return left[entry]

    def never(pc: int) -> bool:
        op = explorer.operations[pc]
        helper = explorer.rules.hook.helper(op.number) if isinstance(op, CallHelper) else None
        return helper is not None and not helper.returns

    return {
        (entry, start): layout.vector(cost.minimum(tally, most), 0)
        for entry in explorer.functions
        for start, tally in of(entry).items()
    }


def costs(
    function: Function,
    own: Mapping[int, Tally],
    rounds: Mapping[int, int],
    ends: Collection[int],
    zero: Tally,
) -> Costs:
    """Return, for each block of a function that is in `own`, what may be spent from its start to the return.

    `own`: what each block that is reached spends itself, callees included. `rounds`: by head, how often at most a loop
    that is entered comes back to its head. `ends`: blocks in which the program may end.
    """
    return _Costs(function, own, rounds, ends, zero).all()


class _Costs:
    def __init__(
        self,
        function: Function,
        own: Mapping[int, Tally],
        rounds: Mapping[int, int],
        ends: Collection[int],
        zero: Tally,
    ) -> None:
        self.function, self.own, self.rounds, self.ends, self.zero = function, own, rounds, ends, zero
        self.around: dict[int, Tally] = {}  # by head: the dearest way from it to itself

    def all(self) -> Costs:
        goal = {RETURN: self.zero}
        self._solve(self.function.elements, goal)
        del goal[RETURN]
        return goal

    def _solve(self, elements: Sequence[Element], found: Costs) -> None:
        """Add what the dearest way from each block to what `found` already holds costs; nothing if there is no way."""
        for element in reversed(elements):
            if isinstance(element, Component):
                self._loop(element, found)
            else:
                self._block(element, found)

    def _block(self, start: int, found: Costs) -> None:
        own = self.own.get(start)
        if own is None:
            return
        after = [found[way] for way in self.function.blocks[start].successors or (RETURN,) if way in found]
        if start in self.ends and RETURN in found:
            after.append(self.zero)
        if after:
            most = after[0]
            for other in after[1:]:
                most = cost.maximum(most, other)
            found[start] = cost.plus(own, most)

    def _loop(self, loop: Component, found: Costs) -> None:
        head = loop.head
        out = {way: tally for way, tally in found.items() if way not in loop.blocks}
        self._solve(loop.elements, out)
        self._block(head, out)
        home = {head: self.zero}
        self._solve(loop.elements, home)
        around = self._around(loop, home)
        times = self.rounds.get(head, 0)
        for block in loop.blocks:
            ways = [out[block]] if block in out else []
            if block != head and block in home and head in out:
                ways.append(cost.plus(home[block], cost.plus(_times(around, times - 1), out[head])))
            if block == head and head in out:
                ways = [cost.plus(_times(around, times), out[head])]
            for way in ways:
                found[block] = cost.maximum(found.get(block, way), way)

    def _around(self, loop: Component, home: Costs) -> Tally:
        """Return what the dearest round costs, from the head to the head."""
        if loop.head not in self.around:
            round_ = dict(home)
            self._block(loop.head, round_)  # reads 0 at the head, as the place where the round ends
            self.around[loop.head] = round_[loop.head]
        return self.around[loop.head]


def _times(tally: Tally, times: int) -> Tally:
    return tuple(count * max(times, 0) for count in tally)
