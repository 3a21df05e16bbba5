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
   And of two such numbers with known values on entry one is a linear function of the other (`Link`), if neither can
   wrap in so many rounds: comparing the index tells of the byte offset.
4. *A close invariant.* Again from the entry, but with the counters within these bounds from the start, and with checks.
   The walk after which nothing new comes back is the result: its ways out, with their cost (see `cost`).

**Soundness.** By induction over rounds. The entry is in both invariants; what comes back from a state in the wide one
is in it. So the turns that the ranking looked at are all turns there are, and the bounds hold at every arrival. What
comes back from a state in the close invariant, and is within the bounds, is in it (that was the condition to stop); so
every arrival is described by the state from which the last walk of step 4 started, and every obligation was checked
there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from grafting.isa import Branch, Imm, Reg
from verifier import expense, folding, ranking, rising, turns
from verifier.explore import Imprecision, Node, Stuck, around
from verifier.flow import Component, Function
from verifier.lattice import includes, joined
from verifier.meter import Exhausted
from verifier.places import At, Place, places, with_words
from verifier.scalar import Scalar
from verifier.state import LINKS, Link, Rise, State, narrowed, shifted
from verifier.terms import ZERO, wrap
from verifier.values import Number, Pointer, Value

if TYPE_CHECKING:
    from verifier.explore import Explorer

_WALKS = 12  # to find an invariant; bounds take 3 or so
_TURNS = 12  # ways around kept apart: a dear one that is rare, or one that moves another counter
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
        self.steady: tuple[_Steady, ...] = ()  # what moves in step, once that is known
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
            head._replace(ghosts=(*head.ghosts, *ghosts), links=(*head.links, *self._links(at))[-LINKS:]),
            expense.constant(self.explorer.layout.zero), self.component.head, self.node, blame,
        )  # fmt: skip
        with self.explorer.recording(self.component):
            backs, pending = self.explorer.round(self.function, self.component, {self.component.head: [node]})
        block = self.function.blocks[self.component.head]
        backs = self.explorer.merged(self.function, block, backs, _TURNS) if backs else []
        return backs, [node for nodes in pending.values() for node in nodes]

    def _links(self, at: At) -> list[Link]:
        """Return how what moves in step is related at the head: all to the first, whose step divides theirs."""
        here = [steady for steady in self.steady if steady.place in at]
        return [
            Link(at[here[0].place][-2:], here[0].start, at[other.place][-2:], other.start, other.step // here[0].step)
            for other in here[1:]
            if other.step % here[0].step == 0
        ]

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
            included = all(includes(self.terms, state, back) for back in states)
            if walk == 0:
                self.first = joined(self.terms, [self.entry, *states])
                if included and _names(self.first) != _names(self.entry):
                    state = self.first  # as wide as the entry, but what changes from round to round is a counter
                    continue
            if included:
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
            turns.Counter(at[place].symbol, self._value(self.start, place), shifted(at[place].scalar, -delta))
            for place, delta in self.origin.items()
        )
        found = []
        for back in backs:
            after = places(back.state)
            if any(place not in after for place in self.origin):
                return None
            values = tuple(self._value(after, place) for place in self.origin)
            found.append(turns.Turn(self._before(back.state), values, back.state.facts))
        return ranking.rank(turns.Loop(self.terms, counters, tuple(found), self._known, self.node.state.facts))

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
        for value in (*self.node.state.ghosts, *self.start.values()):
            if value.symbol == symbol:
                return shifted(value.scalar, -value.delta)
        return None

    # --- the close invariant -------------------------------------------------------------------------------------

    def _close(self, head: At, ranked: ranking.Ranking) -> list[Node] | None:
        """Walk with checks until nothing new comes back; returns the ways out of the last walk."""
        bounds = self._bounds(head, ranked)
        self.steady = self._in_step(ranked)
        state = self._guided(self.first, bounds)
        for walk in range(_WALKS):
            backs, outside = self._walk(state)
            arrivals = [arrival for back in backs if (arrival := self._within(back.state, bounds)) is not None]
            if all(includes(self.terms, state, arrival) for arrival in arrivals):
                return self._left(outside, self._closer(places(state), ranked, backs), backs)
            state = self._guided(self._widened(state, arrivals, walk), bounds)
        return None

    def _closer(self, at: At, ranked: ranking.Ranking, backs: list[Node]) -> ranking.Ranking:
        """Return the ranking from the close invariant, which knows the turns and their limits, if it is the better."""
        closer = self._rank_turns(at, backs)
        if closer is not None and closer.rounds <= ranked.rounds:
            return closer
        bare = turns.Loop(self.terms, (), (), self._known)
        return ranking.Ranking(bare, ranked.rounds, ranked.shape, (), (), (ranked.rounds,) * len(backs))

    def _bounds(self, head: At, ranked: ranking.Ranking) -> dict[Place, Scalar]:
        """Return the words that each place which holds a bounded counter can have at the head."""
        of = {
            counter.symbol: bound
            for counter, bound in zip(ranked.loop.counters, ranked.bounds, strict=True)
            if bound is not None
        }
        found = {}
        for place, value in head.items():
            if value.symbol in of:
                word = shifted(of[value.symbol], value.delta)
                found[place] = narrowed(word, value.scalar) or word  # both hold at every arrival
        return found

    def _in_step(self, ranked: ranking.Ranking) -> tuple[_Steady, ...]:
        """Return the places that are one number on entry, and to which every turn adds one, without wrapping."""
        found = []
        for index, (place, counter) in enumerate(zip(self.origin, ranked.loop.counters, strict=True)):
            steps = ranked.loop.steps(index)
            start = self.start[place].scalar
            if (
                steps is None
                or len(steps) != 1
                or 0 in steps
                or not start.is_constant
                or not counter.start.scalar.is_constant
            ):
                continue
            if 0 <= start.constant_value + steps[0] * ranked.rounds < 1 << 64:
                found.append(_Steady(place, start.constant_value, steps[0]))
        return tuple(sorted(found, key=lambda steady: abs(steady.step)))

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
        for node in outside:
            if ranked is not None:
                there = self._before(node.state) if ranked.loop.counters else ()
                for counter, words in zip(ranked.loop.counters, there, strict=True):
                    node.cost = node.cost.within(counter.symbol, (words.smin, words.smax))
                turns = [back.cost for back in backs]
                before = folding.before(ranked, turns, there, around(self.node.state), zero)
                node.cost = self.node.cost.plus(before).plus(node.cost)
            node.state = node.state._replace(ghosts=node.state.ghosts[: self.outer], facts=self.node.state.facts)
            if ranked is not None and self.outer:
                node.state = rising.with_rises(node.state, self._gone(ranked.loop))
        if self.explorer.checking and ranked is not None:
            key = (self.function.entry, self.component.head)
            found = self.explorer.found
            if ranked.rounds >= found.rounds.get(key, 0):
                found.rounds[key] = ranked.rounds
                found.rankings[key] = ranking.reason(ranked, tuple(self.origin))
        return outside

    def _gone(self, loop: turns.Loop) -> set[Rise]:
        """Return which way from entry the loop has moved its counters, for the loop around."""
        found: set[Rise] = set()
        for index, counter in enumerate(loop.counters):
            start = counter.start
            if start.symbol == ZERO or not all(loop.unwrapped(turn, index, signed=False) for turn in loop.turns):
                continue
            here, there = (counter.symbol, 0), (start.symbol, start.delta)
            match ranking.direction_of(loop, loop.turns, index):
                case 1:
                    rise = Rise(0, here, there)
                    found |= rising.chained(self.node.state.facts, rise, start.scalar, up=True)
                case -1:
                    rise = Rise(0, there, here)
                    found |= rising.chained(self.node.state.facts, rise, start.scalar, up=False)
        return found


class _Steady(NamedTuple):
    """A place that holds `start + step * k` when the head is reached for the k-th time again."""

    place: Place
    start: int
    step: int


def _names(state: State) -> dict[Place, tuple[int, int]]:
    return {place: (value.symbol, value.delta) for place, value in places(state).items()}


def thresholds(explorer: Explorer, function: Function, component: Component, entry: State) -> tuple[int, ...]:
    """Return the numbers at which a growing bound is likely to stop: what the loop compares with, and the neighbours.

    A register that is compared counts by its bounds on entry: it stays the same, or the others may come up to it.
    """
    found: set[int] = set()
    operations = [explorer.operations[pc] for block in component.blocks for pc in function.blocks[block].pcs]
    for op in operations:
        if isinstance(op, Branch) and len(found) < _THRESHOLDS:
            for operand in (Reg(op.dst), op.source):
                if isinstance(operand, Imm):
                    found.add(operand.value)
                else:
                    found |= _limits(entry.registers[operand.number])
    return tuple(sorted({near for limit in found - _EXTREMES for near in (limit - 1, limit, limit + 1)}))


_EXTREMES = {0, (1 << 64) - 1, -(1 << 63), (1 << 63) - 1}  # what a register is bounded by of which nothing is known


def _limits(value: Value) -> set[int]:
    if not isinstance(value, Number | Pointer):
        return set()
    scalar = value.scalar
    return {scalar.umin, scalar.umax, scalar.smin, scalar.smax}
