"""A loop as one step: its invariant, its ranking, and the ways out.

`summarise` takes a node that enters a loop and returns the nodes at which it leaves, without following it round by
round, so that the time does not depend on how often the loop runs:

1. *A wide invariant.* From the entry, the loop is walked without checks; the state at the head is widened by what comes
   back until nothing new does.
2. *Ranking.* Each number that differs from round to round is a counter: it has a symbol for its value at the head, and
   a ghost that remembers it during the round. How the ways back change these symbols, and what they have been compared
   with, is what `ranking.rank` decides by. No ranking: no summary.
3. *Bounds.* A number to which every round adds a constant is, after at most n rounds, within n times that constant of
   its value on entry. So the byte offset that a compiler made out of an index is bounded by the rounds of the index.
4. *A close invariant.* Again from the entry, but with the counters within these bounds from the start, and with checks.
   The walk after which nothing new comes back is the result: its ways out, with their cost (see `cost`).

**Soundness.** By induction over rounds. The entry is in both invariants; what comes back from a state in the wide one
is in it. So the turns that the ranking looked at are all turns there are, and the bounds hold at every arrival. What
comes back from a state in the close invariant, and is within the bounds, is in it (that was the condition to stop); so
every arrival is described by the state from which the last walk of step 4 started, and every obligation was checked
there.
"""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

from grafting.isa import Branch, Imm, Reg
from verifier import cost, ranking
from verifier.explore import Exhausted, Imprecision, Node, Stuck
from verifier.flow import Component, Function, uses_and_definition
from verifier.lattice import includes, joined
from verifier.places import At, Place, places, with_words
from verifier.scalar import Scalar
from verifier.state import State, narrowed, shifted
from verifier.terms import ZERO, wrap
from verifier.values import Number, Pointer, Value

if TYPE_CHECKING:
    from verifier.explore import Explorer

_WALKS = 12  # to find an invariant; bounds take 3 or so
_THRESHOLDS = 32  # limits that bounds stop at, their neighbours not counted


def summarise(
    explorer: Explorer, function: Function, component: Component, node: Node, place: Imprecision
) -> list[Node] | None:
    """Return the nodes at which the loop that `node` enters is left; None if no invariant or ranking is found."""
    return _Summary(explorer, function, component, node, place).nodes()


class _Summary:
    """The making of one summary. `origin`: of the last walk, each counter's place and its distance from the symbol."""

    def __init__(
        self, explorer: Explorer, function: Function, component: Component, node: Node, place: Imprecision
    ) -> None:
        self.explorer, self.function, self.component = explorer, function, component
        self.node, self.place = node, place
        self.terms = explorer.rules.terms
        self.outer = len(node.state.ghosts)  # ghosts of the loops around
        self.entry = node.state._replace(facts=frozenset())
        self.start = places(self.entry)
        self.first = self.entry  # the head after at most one round
        self.origin: dict[Place, int] = {}
        self.thresholds = thresholds(explorer, function, component, self.entry)

    def nodes(self) -> list[Node] | None:
        """Make the summary."""
        try:
            with self.explorer.guessing():
                wide = self._wide()
                ranked = self._ranked(*wide) if wide is not None else None
        except (Stuck, Exhausted):
            return None
        if wide is None:
            return None
        if ranked is None:
            return None if self.explorer.checking else self._left(wide[2], None, [])
        return self._close(*ranked)

    # --- walks ---------------------------------------------------------------------------------------------------

    def _walk(self, head: State) -> tuple[list[Node], list[Node]]:
        """Walk the loop once from a state at its head; returns the nodes that come back, and those outside."""
        at = places(head)
        self.origin = self._counters(at)
        ghosts = tuple(Number(*at[place][-3:]) for place in self.origin)
        blame = (*self.node.blame, self.place)
        node = Node(
            head._replace(ghosts=(*head.ghosts, *ghosts)),
            self.explorer.layout.zero, self.component.head, self.node, blame,
        )  # fmt: skip
        with self.explorer.recording(self.component):
            backs, pending = self.explorer.round(self.function, self.component, {self.component.head: [node]})
        block = self.function.blocks[self.component.head]
        backs = self.explorer.merged(self.function, block, backs) if backs else []
        return backs, [node for nodes in pending.values() for node in nodes]

    def _bare(self, state: State) -> State:
        """Return the state without what belongs to this loop's current round."""
        return state._replace(ghosts=state.ghosts[: self.outer], facts=frozenset())

    def _before(self, state: State) -> tuple[Scalar, ...]:
        """Return what the counters were when the round began, as far as is known at a point of it."""
        ghosts = zip(state.ghosts[self.outer :], self.origin.values(), strict=True)
        return tuple(shifted(ghost.scalar, -delta) for ghost, delta in ghosts)

    # --- the wide invariant and the ranking ----------------------------------------------------------------------

    def _wide(self) -> tuple[State, list[Node], list[Node]] | None:
        """Return a state at the head around the entry and all that comes back from it, and where its walk led."""
        state = self.entry
        for walk in range(_WALKS):
            backs, outside = self._walk(state)
            states = [self._bare(back.state) for back in backs]
            if walk == 0:
                self.first = joined(self.terms, [self.entry, *states])
            if all(includes(self.terms, state, back) for back in states):
                return state, backs, outside
            state = self._widened(state, states, walk)
        return None

    def _widened(self, state: State, backs: list[State], walk: int) -> State:
        """Return the state at the head widened: to the thresholds at first, then to the outermost, then without end."""
        marks = (self.thresholds, (*self.thresholds[:1], *self.thresholds[-1:]), ())[min(walk, 2)]
        return joined(self.terms, [state, *backs], marks)

    def _ranked(self, wide: State, backs: list[Node], outside: list[Node]) -> tuple[At, ranking.Ranking] | None:
        """Return what an invariant holds and the loop's ranking from there, if there is one."""
        ranked = self._rank_turns(places(wide), backs)
        if ranked is not None:
            return places(wide), ranked
        # Widening may have lost what the ranking needs: what comes back may be less than was thought.
        narrow = joined(self.terms, [self.entry, *(self._bare(back.state) for back in backs)])
        if includes(self.terms, narrow, wide):
            return None
        backs, _outside = self._walk(narrow)
        if not all(includes(self.terms, narrow, self._bare(back.state)) for back in backs):
            return None
        ranked = self._rank_turns(places(narrow), backs)
        return (places(narrow), ranked) if ranked is not None else None

    def _rank_turns(self, at: At, backs: list[Node]) -> ranking.Ranking | None:
        """Return the ranking of the turns that a walk from a head which holds `at` has found."""
        counters = tuple(
            ranking.Counter(at[place].symbol, self._value(self.start, place), shifted(at[place].scalar, -delta))
            for place, delta in self.origin.items()
        )
        turns = []
        for back in backs:
            after = places(back.state)
            if any(place not in after for place in self.origin):
                return None
            values = tuple(self._value(after, place) for place in self.origin)
            turns.append(ranking.Turn(self._before(back.state), values, back.state.facts))
        return ranking.rank(ranking.Loop(self.terms, counters, tuple(turns), self._known))

    def _counters(self, at: At) -> dict[Place, int]:
        """Return a place, and its distance, for each symbol that was made for the head of this loop."""
        symbols: set[int] = set()
        found: dict[Place, int] = {}
        for place, value in at.items():
            was = self.start.get(place)
            if was is not None and was[-2:] != value[-2:] and value.symbol not in (ZERO, *symbols):
                symbols.add(value.symbol)
                found[place] = value.delta
        return found

    def _value(self, at: At, place: Place) -> Number:
        """Return the counter that has a place, as it is in a state."""
        found, delta = at[place], self.origin[place]
        return Number(shifted(found.scalar, -delta), found.symbol, wrap(found.delta - delta))

    def _known(self, symbol: int) -> Scalar | None:
        """Return the words of a symbol that was there when the loop was entered."""
        for value in self.start.values():
            if value.symbol == symbol:
                return shifted(value.scalar, -value.delta)
        return None

    # --- the close invariant -------------------------------------------------------------------------------------

    def _close(self, head: At, ranked: ranking.Ranking) -> list[Node] | None:
        """Walk with checks until nothing new comes back; returns the ways out of the last walk."""
        bounds = self._bounds(head, ranked)
        state = self._guided(self.first, bounds)
        for walk in range(_WALKS):
            backs, outside = self._walk(state)
            arrivals = [arrival for back in backs if (arrival := self._within(back.state, bounds)) is not None]
            if all(includes(self.terms, state, arrival) for arrival in arrivals):
                return self._left(outside, self._closer(places(state), ranked.rounds, backs), backs)
            state = self._guided(self._widened(state, arrivals, walk), bounds)
        return None

    def _closer(self, at: At, rounds: int, backs: list[Node]) -> ranking.Ranking:
        """Return the ranking from the close invariant, which knows the turns and their limits, if it is the better."""
        closer = self._rank_turns(at, backs)
        if closer is not None and closer.rounds <= rounds:
            return closer
        return ranking.Ranking(ranking.Loop(self.terms, (), (), self._known), rounds, (), (rounds,) * len(backs))

    def _bounds(self, head: At, ranked: ranking.Ranking) -> dict[Place, Scalar]:
        """Return the words that each place which holds a bounded counter can have at the head."""
        of = {
            counter.symbol: bound
            for counter, bound in zip(ranked.loop.counters, ranked.bounds, strict=True)
            if bound is not None
        }
        return {
            place: shifted(of[value.symbol], value.delta) for place, value in head.items() if value.symbol in of
        }  # fmt: skip

    def _within(self, state: State, bounds: dict[Place, Scalar]) -> State | None:
        """Return an arriving state once its counters are known to be within their bounds; None if it cannot arrive."""
        words: dict[Place, Scalar] = {}
        for place, value in places(state).items():
            if place in bounds:
                word = narrowed(value.scalar, bounds[place])
                if word is None:
                    return None
                words[place] = word
        return with_words(self._bare(state), words)

    def _guided(self, state: State, bounds: dict[Place, Scalar]) -> State:
        """Return a state at the head with all places that have changed by now as far as their bounds allow."""
        at = places(state)
        moved = {place for place, was in self.start.items() if place in at and was[-2:] != at[place][-2:]}
        return with_words(state, {place: bound for place, bound in bounds.items() if place in moved})

    # --- ways out ------------------------------------------------------------------------------------------------

    def _left(self, outside: list[Node], ranked: ranking.Ranking | None, backs: list[Node]) -> list[Node]:
        """Return the nodes outside as seen from before the loop: with its whole cost, without its ghosts."""
        zero = self.explorer.layout.zero
        turns = [(node.cost, limit) for node, limit in zip(backs, ranked.limits, strict=True)] if ranked else []
        for node in outside:
            times = ranked.rounds if ranked is not None else 0
            if ranked is not None and ranked.loop.counters:
                times = ranked.rounds_at(self._before(node.state))
            node.cost = cost.plus(self.node.cost, cost.plus(cost.rounds(turns, times, zero), node.cost))
            node.state = node.state._replace(ghosts=node.state.ghosts[: self.outer], facts=self.node.state.facts)
        if self.explorer.checking and ranked is not None:
            key = (self.function.entry, self.component.head)
            known = self.explorer.found.rounds
            known[key] = max(known.get(key, 0), ranked.rounds)
        return outside


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
    return tuple(sorted({near for limit in found - _EXTREMES for near in (limit - 1, limit, limit + 1)}))


_EXTREMES = {0, (1 << 64) - 1, -(1 << 63), (1 << 63) - 1}  # what a register is bounded by of which nothing is known


def _limits(value: Value) -> set[int]:
    if not isinstance(value, Number | Pointer):
        return set()
    scalar = value.scalar
    return {scalar.umin, scalar.umax, scalar.smin, scalar.smax}
