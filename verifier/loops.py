"""A loop as one step: its invariant, its ranking, and the ways out.

`summarise` takes a node that enters a loop and returns the nodes at which it leaves, without following it round by
round, so that the time does not depend on how often the loop runs:

1. *Invariant.* Starting from the entry, the loop is walked without checks; the state at the head is widened by what
   comes back until nothing new does. One more walk without widening takes back what widening gave away.
2. *Ranking.* Each number that differs from round to round gets a symbol for its value at the head, and a ghost that
   remembers it during the round. How the ways back change these symbols, and what they have been compared with, is
   what `ranking.rank` decides by. No ranking: no summary.
3. *Bounds.* A number to which every round adds a constant is, after at most n rounds, within n times that constant of
   its value on entry. So the byte offset that a compiler made out of an index is bounded by the rounds of the index.
4. *Walk with checks*, once, from the invariant with these bounds. Its ways out, with their cost (see `cost`), are the
   result; its ways back must be included in the invariant, or there is no summary.

**Soundness.** By induction over rounds: the entry is in the invariant; what comes back from a state of the invariant is
in it (step 4, for the invariant without bounds); the bounds hold by the ranking, whose turns are those from the
invariant. So every arrival is in the state that the walk with checks started from.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

from grafting.isa import Branch, Imm, Reg
from verifier import cost, ranking
from verifier.explore import Exhausted, Imprecision, Node, Stuck
from verifier.flow import Component, Function, uses_and_definition
from verifier.lattice import Join, includes
from verifier.scalar import Scalar
from verifier.stack import Pieces
from verifier.state import State, refined, shifted
from verifier.terms import ZERO, wrap
from verifier.values import Number, Pointer, Value

if TYPE_CHECKING:
    from verifier.explore import Explorer

_WIDENINGS = 12  # walks to find an invariant; bounds take 3 thresholds or so, and a loop in it adds some
_PATIENCE = 2  # widenings that stop at thresholds; then bounds are given up, and narrowing finds them again
_THRESHOLDS = 32  # limits that bounds stop at, their neighbours not counted

Place = tuple[str | int, int, int]


def summarise(
    explorer: Explorer, function: Function, component: Component, node: Node, place: Imprecision
) -> list[Node] | None:
    """Return the nodes at which the loop that `node` enters is left; None if no invariant or ranking is found."""
    return _Summary(explorer, function, component, node, place).nodes()


class _Summary:
    """The making of one summary."""

    def __init__(
        self, explorer: Explorer, function: Function, component: Component, node: Node, place: Imprecision
    ) -> None:
        self.explorer, self.function, self.component = explorer, function, component
        self.node, self.place = node, place
        self.terms = explorer.rules.terms
        self.outer = len(node.state.ghosts)  # ghosts of the loops around
        self.entry = node.state._replace(facts=frozenset())
        self.thresholds = thresholds(explorer, function, component, self.entry)

    def nodes(self) -> list[Node] | None:
        """Make the summary."""
        try:
            with self.explorer.guessing():
                invariant = self._invariant()
                if invariant is None:
                    return None
                turns, outside = self._walk(self._with_ghosts(invariant))
        except (Stuck, Exhausted):
            return None
        ranked = self._rank(invariant, turns)
        if ranked is None:
            return self._left(outside, None, self.explorer.layout.zero) if not self.explorer.checking else None
        head = self._bounded(self._with_ghosts(invariant), ranked)
        backs, outside = self._walk(head)
        if any(not includes(self.terms, invariant, self._bare(back.state)) for back in backs):
            return None
        return self._left(outside, ranked, _greatest(backs, self.explorer.layout.zero))

    # --- invariant -----------------------------------------------------------------------------------------------

    def _walk(self, head: State) -> tuple[list[Node], list[Node]]:
        """Walk the loop once from a state at its head; returns the nodes that come back, and those outside."""
        blame = (*self.node.blame, self.place)
        node = Node(head, self.explorer.layout.zero, self.component.head, self.node, blame)
        with self.explorer.recording(self.component):
            backs, pending = self.explorer.round(self.function, self.component, {self.component.head: [node]})
        block = self.function.blocks[self.component.head]
        backs = self.explorer.merged(self.function, block, backs) if backs else []
        return backs, [node for nodes in pending.values() for node in nodes]

    def _bare(self, state: State) -> State:
        """Return the state without what belongs to this loop's current round."""
        return state._replace(ghosts=state.ghosts[: self.outer], facts=frozenset())

    def _invariant(self) -> State | None:
        """Return a state at the head around the entry and all that comes back from it."""
        state = self.entry
        for walk in range(_WIDENINGS):
            backs, _outside = self._walk(state)
            states = [self._bare(back.state) for back in backs]
            if all(includes(self.terms, state, back) for back in states):
                return self._narrowed(state, states)
            marks = self.thresholds if walk < _PATIENCE else ()
            for back in states:
                state = Join(self.terms, marks).states(state, back)
        return None

    def _narrowed(self, wide: State, backs: list[State]) -> State:
        """Return a smaller invariant, if joining entry and returns without widening gives one."""
        state = self.entry
        for back in backs:
            state = Join(self.terms).states(state, back)
        if state == wide or includes(self.terms, state, wide):
            return wide
        again, _outside = self._walk(state)
        return state if all(includes(self.terms, state, self._bare(back.state)) for back in again) else wide

    # --- ranking -------------------------------------------------------------------------------------------------

    def _changed(self, invariant: State) -> dict[int, Place]:
        """Return the symbols made for this head, each with one place that holds it."""
        before = dict(places(self.entry))
        found: dict[int, Place] = {}
        for place, value in places(invariant):
            was = before.get(place)
            if was is not None and (was.symbol, was.delta) != (value.symbol, value.delta) and value.symbol != ZERO:
                found.setdefault(value.symbol, place)
        return found

    def _with_ghosts(self, invariant: State) -> State:
        at = dict(places(invariant))
        ghosts = tuple(
            Number(shifted(at[place].scalar, -at[place].delta), symbol, 0)
            for symbol, place in self._changed(invariant).items()
        )
        return invariant._replace(ghosts=(*invariant.ghosts, *ghosts))

    def _rank(self, invariant: State, turns: list[Node]) -> ranking.Ranking | None:
        changed = self._changed(invariant)
        start, at = dict(places(self.entry)), dict(places(invariant))

        def value(source: dict[Place, Number | Pointer], place: Place) -> Number:
            found, delta = source[place], at[place].delta
            return Number(shifted(found.scalar, -delta), found.symbol, wrap(found.delta - delta))

        counters = tuple(
            ranking.Counter(symbol, value(start, place), shifted(at[place].scalar, -at[place].delta))
            for symbol, place in changed.items()
        )
        ways = []
        for turn in turns:
            after = dict(places(turn.state))
            if any(place not in after for place in changed.values()):
                return None
            before = tuple(ghost.scalar for ghost in turn.state.ghosts[self.outer :])
            after_values = tuple(value(after, place) for place in changed.values())
            ways.append(ranking.Turn(before, after_values, turn.state.facts))
        if not ways:
            return ranking.Ranking(ranking.Loop(self.terms, counters, (), self._known), 0, (None,) * len(counters))
        return ranking.rank(ranking.Loop(self.terms, counters, tuple(ways), self._known))

    def _known(self, symbol: int) -> Scalar | None:
        """Return the words of a symbol that was there when the loop was entered."""
        for _place, value in places(self.entry):
            if value.symbol == symbol:
                return shifted(value.scalar, -value.delta)
        return None

    def _bounded(self, head: State, ranked: ranking.Ranking) -> State:
        """Return the state at the head once the counters are known to be within the ranking's bounds."""
        for counter, bound in zip(ranked.loop.counters, ranked.bounds, strict=True):
            if bound is not None:
                smaller = refined(head, counter.symbol, bound)
                head = head if smaller is None else smaller
        return head

    # --- ways out ------------------------------------------------------------------------------------------------

    def _left(self, outside: list[Node], ranked: ranking.Ranking | None, round_: cost.Tally) -> list[Node]:
        """Return the nodes outside as seen from before the loop: with its whole cost, without its ghosts."""
        rounds = 0
        for node in outside:
            before = [ghost.scalar for ghost in node.state.ghosts[self.outer :]]
            times = ranked.rounds_at(before) if ranked else 0
            rounds = max(rounds, times)
            node.cost = cost.plus(self.node.cost, cost.plus(cost.repeated(round_, times), node.cost))
            node.state = node.state._replace(ghosts=node.state.ghosts[: self.outer], facts=self.node.state.facts)
        if self.explorer.checking and ranked is not None:
            key = (self.function.entry, self.component.head)
            known = self.explorer.found.rounds
            known[key] = max(known.get(key, 0), ranked.rounds)
        return outside


def _greatest(nodes: list[Node], zero: cost.Tally) -> cost.Tally:
    for node in nodes:
        zero = cost.maximum(zero, node.cost)
    return zero


def places(state: State) -> Iterator[tuple[Place, Number | Pointer]]:
    """Yield every place that holds a number or an address, with a key that is the same in all states at a block."""
    for number, value in enumerate(state.registers[:10]):
        if isinstance(value, Number | Pointer):
            yield ("r", number, 0), value
    for depth, frame in enumerate(state.frames):
        for number, value in enumerate(frame.saved):
            if isinstance(value, Number | Pointer):
                yield ("s", depth, number), value
        for slot, content in frame.stack.items():
            if isinstance(content, Pieces):
                for part in content.parts:
                    if isinstance(part.value, Number):
                        yield (depth, slot, part.start), part.value
            elif isinstance(content, Number | Pointer):
                yield (depth, slot, 0), content


def thresholds(explorer: Explorer, function: Function, component: Component, entry: State) -> tuple[int, ...]:
    """Return the numbers at which a growing bound is likely to stop: what the loop compares with, and the neighbours.

    A register that is compared, but not written, counts by its bounds on entry.
    """
    found: set[int] = set()
    operations = [explorer.operations[pc] for block in component.blocks for pc in function.blocks[block].pcs]
    written = reduce(or_, (uses_and_definition(op)[1] for op in operations), 0)
    for op in operations:
        if isinstance(op, Branch) and len(found) < _THRESHOLDS:
            for operand in (Reg(op.dst), op.source):
                if isinstance(operand, Imm):
                    found.add(operand.value)
                elif not written >> operand.number & 1:
                    found |= _limits(entry.registers[operand.number])
    return tuple(sorted({near for limit in found for near in (limit - 1, limit, limit + 1)}))


def _limits(value: Value) -> set[int]:
    if not isinstance(value, Number | Pointer):
        return set()
    scalar = value.scalar
    return {scalar.umin, scalar.umax, scalar.smin, scalar.smax}
