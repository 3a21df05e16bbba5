"""In which order instructions are looked at, what is kept of a path, and when two paths become one.

`Explorer.run` walks a function's elements in order (`flow`). A `Node` is a state at the start of a block, with the
greatest cost of any way there and the node it came from. When the walk reaches a block, all nodes that can arrive there
have arrived, so `merged` drops those that another includes, and past STATES nodes joins those that agree in what is
constant, or all. A loop is summarised by its invariant and ranking (`loops`), or followed round by round if it has
none.

**Why a verdict is right.** Every execution follows some chain of nodes, each of which describes it: `transfer`
preserves that along instructions, inclusion and join at merges, the invariant at a summarised head. At every node each
obligation was checked. A loop followed round by round ends only when no state is left that goes around.

**Precision on demand.** A join or a summary may lose what a later check needs. So a node knows which of them it has
gone through (`blame`); if a check fails, the latest of them is put into the `Plan` (after some walks also the merges
before it) and the handler is walked again without it. A failure without blame is final: it is a path of the program.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from grafting.isa import Branch, CallHelper, CallLocal, Exit, Goto, Operation, Reg
from verifier import cost, expense, rising, transfer
from verifier.check import unmet
from verifier.cost import Layout, Tally
from verifier.expense import Cost
from verifier.flow import Block, Component, Element, Function, deciding
from verifier.lattice import includes, joined
from verifier.meter import Meter
from verifier.obligations import Obligation
from verifier.places import places
from verifier.ranking import Reason
from verifier.refusal import Count, Refusal
from verifier.rules import Rules
from verifier.scalar import UNKNOWN
from verifier.state import Frame, State
from verifier.values import Number, Pointer

STATES = 2
"""Nodes kept apart at one block before joining: more cost time, and where a join loses too much the plan spares it."""

SUMMARISED = 12
"""Nodes kept apart at one block of a loop that is being summarised: a way that is dear may be taken in few rounds."""

DISCRETE = 8
"""Nodes kept apart at one block if no two of them agree in what is constant."""

SPARED = 32
"""Nodes kept apart at a block that the plan spares: each new one is compared with all that are kept."""

_COMPARED = 48  # values compared that take about as long as an instruction

_NOTES = 4 * STATES  # kept of one block in the findings; then one state that includes them takes their place

BLAMED = 64
"""Losses of precision that a node remembers, the latest: more than a handler is walked times, and that spares one."""

RETURN = -1
"""The pending key of nodes that have left the function."""


class Imprecision(NamedTuple):
    """A place where states were made to agree: a loop's head (`loop`) or a merge, of the function at `entry`."""

    loop: bool
    entry: int
    block: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Where not to generalise: loops to follow round by round, merges to keep apart."""

    exact: frozenset[Imprecision] = frozenset()

    def sparing(self, places: Iterable[Imprecision]) -> Plan:
        """Return the plan with more places."""
        return Plan(self.exact.union(places))


class Node:
    """A state at the start of a block. `taken` is the branch that led here: (pc, whether it jumped), or None."""

    __slots__ = ("blame", "block", "cost", "parent", "state", "taken")

    def __init__(
        self,
        state: State,
        spent: Cost,
        block: int,
        parent: Node | None,
        blame: tuple[Imprecision, ...] = (),
        taken: tuple[int, bool] | None = None,
    ) -> None:
        self.state, self.cost, self.block = state, spent, block
        self.parent, self.blame, self.taken = parent, blame, taken


class Stuck(Exception):
    """An obligation is not met: `refusal`, at `pc`, on the way to `node`."""

    def __init__(self, node: Node, pc: int, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.node, self.pc, self.refusal = node, pc, refusal


@dataclass(slots=True)
class Findings:
    """What a walk leaves behind: states by (function, block), rounds by (function, head), stack use, calls, sends."""

    states: dict[tuple[int, int], list[State]] = field(default_factory=dict)
    rounds: dict[tuple[int, int], int] = field(default_factory=dict)
    rankings: dict[tuple[int, int], Reason] = field(default_factory=dict)  # of the loops that were summarised
    depths: dict[int, int] = field(default_factory=dict)
    calls: dict[tuple[int, int], int] = field(default_factory=dict)  # (caller, callee) -> pc
    sent: dict[int, int] = field(default_factory=dict)  # pc of a sending call -> the longest body

    def note_sent(self, pc: int, length: int) -> None:
        """Note the longest body that a call may send."""
        self.sent[pc] = max(self.sent.get(pc, 0), length)


Pending = defaultdict[int, list[Node]]


class Explorer:
    """One walk over a handler. `checking` is off while invariants are guessed."""

    def __init__(
        self,
        rules: Rules,
        operations: Mapping[int, Operation],
        obligations: Mapping[int, Sequence[Obligation]],
        functions: Mapping[int, Function],
        plan: Plan,
        meter: Meter,
    ) -> None:
        self.rules, self.operations, self.obligations, self.functions = rules, operations, obligations, functions
        self.plan, self.meter = plan, meter
        self.layout = Layout.of(rules.hook)
        self.found = Findings()
        self.checking = True
        self._tallies: dict[int, Tally] = {}
        self._chain: list[int] = []  # entries of the functions that are active, the handler's first
        self._recording: list[Component | None] = []  # loops being summarised, innermost last; None bars a callee

    # --- functions ---------------------------------------------------------------------------------------------------

    def run(self, entry: int, node: Node) -> list[Node]:
        """Walk a function from `node`; returns the nodes at which it is left."""
        function = self.functions[entry]
        pending: Pending = defaultdict(list)
        pending[entry].append(node)
        self._chain.append(entry)
        try:
            with self.recording(None):
                self.walk(function, function.elements, pending)
        finally:
            self._chain.pop()
        return pending[RETURN]

    def walk(self, function: Function, elements: Sequence[Element], pending: Pending) -> None:
        """Take all nodes that wait at these elements' blocks on, in order."""
        for element in elements:
            if isinstance(element, Component):
                entries = {block: pending.pop(block) for block in element.blocks if block in pending}
                if entries:
                    self._loop(function, element, entries, pending)
            elif element in pending:
                block = function.blocks[element]
                most = STATES if self._recording[-1] is None else SUMMARISED
                for node in self.merged(function, block, pending.pop(element), most):
                    self.block(function, block, node, pending)

    # --- blocks ------------------------------------------------------------------------------------------------------

    def block(self, function: Function, block: Block, node: Node, pending: Pending) -> None:
        """Run a node through a block and put what follows into `pending`."""
        self.meter.spend(block.start, len(block.pcs))
        self.meter.keep(block.start)
        if self.checking:
            self._note(function, block, node.state)
        state, tally = node.state, self._tally(block)
        last = block.pcs[-1]
        for pc in block.pcs:
            op = self.operations[pc]
            if self.checking:
                self._check(node, state, pc)
            if isinstance(op, CallHelper):
                helper = self.rules.hook.helper(op.number)
                if helper is None:
                    return  # only while guessing: the last walk over this place will say so
                before, tally = tally, cost.sending(tally, state, helper)
                if self.checking and helper.sends:
                    self.found.note_sent(pc, cost.bytes_sent(tally) - cost.bytes_sent(before))
                if not helper.returns:
                    return self._finish(node, state, node.cost.spending(tally), pending)
            if pc != last or not isinstance(op, Branch | Goto | CallLocal | Exit):
                after = transfer.step(self.rules, state, op)
                state = after if self._recording[-1] is None else rising.after(state, op, after)
        self._onward(function, block, node, state, node.cost.spending(tally), pending)

    def _onward(
        self, function: Function, block: Block, node: Node, state: State, spent: Cost, pending: Pending
    ) -> None:
        """Follow the control transfer at the end of a block."""
        last = block.pcs[-1]
        match self.operations[last]:
            case Branch() as op:
                ways = transfer.branch(self.rules.terms, state, op, facts=self._records(op, last + 1))
                for way, target, taken in ((ways.through, last + 1, False), (ways.taken, op.target, True)):
                    if way is not None:
                        pending[target].append(Node(way, spent, target, node, node.blame, (last, taken)))
            case CallLocal(target):
                self.found.calls.setdefault((function.entry, target), last)
                inner = Node(transfer.enter(state), spent, target, node, node.blame)
                following = block.successors[0]
                for back in self.run(target, inner):
                    after = transfer.leave(back.state)
                    pending[following].append(Node(after, back.cost, following, back, back.blame))
            case Exit():
                self._finish(node, state, spent, pending)
            case _:
                target = block.successors[0]
                pending[target].append(Node(state, spent, target, node, node.blame))

    def _finish(self, node: Node, state: State, spent: Cost, pending: Pending) -> None:
        pending[RETURN].append(Node(state, spent, RETURN, node, node.blame))

    def _tally(self, block: Block) -> Tally:
        if block.start not in self._tallies:
            self._tallies[block.start] = self.layout.of_operations(self.operations[pc] for pc in block.pcs)
        return self._tallies[block.start]

    def _check(self, node: Node, state: State, pc: int) -> None:
        for obligation in self.obligations[pc]:
            refusal = unmet(self.rules, state, obligation)
            if refusal is not None:
                raise Stuck(node, pc, refusal)
            use = cost.stack_use(state, obligation)
            if use is not None:
                entry = self._chain[use[0]]
                self.found.depths[entry] = max(self.found.depths.get(entry, 0), use[1])

    def _note(self, function: Function, block: Block, state: State) -> None:
        known = self.found.states.setdefault((function.entry, block.start), [])
        state = state._replace(ghosts=(), facts=frozenset())
        if len(known) < _NOTES:
            known.append(state)
        elif not includes(self.rules.terms, known[-1], state):
            known[:] = [joined(self.rules.terms, [*known, state], ())] * _NOTES

    def _records(self, op: Branch, through: int) -> tuple[bool, bool]:
        """Return on which ways of a branch its comparison is recorded.

        Those that stay in a loop that the other way leaves; and both, if two registers are compared inside.
        """
        loop = self._recording[-1]
        if loop is None:
            return False, False
        stays = op.target in loop.blocks, through in loop.blocks
        return stays if stays[0] != stays[1] or isinstance(op.source, Reg) else (False, False)

    # --- merges ------------------------------------------------------------------------------------------------------

    def merged(self, function: Function, block: Block, nodes: list[Node], most: int = STATES) -> list[Node]:
        """Return nodes that include these, about `most` unless the plan spares them, without dead registers."""
        for node in nodes:
            node.state = without_dead(node.state, block)
        if len(nodes) == 1:
            return nodes
        place = Imprecision(False, function.entry, block.start)
        most = SPARED if place in self.plan.exact else most
        kept: list[Node] = []
        compared, size = 0, _size(nodes[0].state)
        for node in nodes:
            compared += 2 * len(kept) * size
            self._add(kept, node)
            if len(kept) > most:
                kept = self._fewer(kept, max(most, DISCRETE), place)
        self.meter.spend(block.start, compared // _COMPARED)
        return kept

    def _fewer(self, kept: list[Node], most: int, place: Imprecision) -> list[Node]:
        """Return nodes that include these: those that agree in what is constant are joined, all if that is not enough.

        What a later branch can tell apart by itself (a flag, an error number, an address or null) is worth keeping
        apart. Any choice is right: a node joins what is included in it.
        """
        groups: dict[object, list[Node]] = {}
        for node in kept:
            groups.setdefault(discrete(node.state), []).append(node)
        if len(groups) > most:
            return [self._joined(kept, place)]
        return [self._joined(group, place) if len(group) > 1 else group[0] for group in groups.values()]

    def _add(self, kept: list[Node], node: Node) -> None:
        """Add a node, unless one includes it; drop those that it includes."""
        terms = self.rules.terms
        for other in kept:
            if includes(terms, other.state, node.state):
                other.cost = dearer(other, node)
                return
        included = [other for other in kept if includes(terms, node.state, other.state)]
        for other in included:
            node.cost = dearer(node, other)
            kept.remove(other)
        kept.append(node)

    def _joined(self, nodes: list[Node], place: Imprecision) -> Node:
        first = nodes[0]
        state = joined(self.rules.terms, [node.state for node in nodes])
        spent, blame = first.cost, dict.fromkeys(first.blame)
        for other in nodes[1:]:
            spent = expense.maximum(spent, other.cost, around(first.state))
            blame |= dict.fromkeys(other.blame)
        return Node(state, spent, first.block, first, (*[*blame][-BLAMED:], place))

    # --- loops -------------------------------------------------------------------------------------------------------

    def _loop(
        self, function: Function, component: Component, entries: Mapping[int, list[Node]], pending: Pending
    ) -> None:
        """Take nodes that enter a loop on to wherever they leave it."""
        from verifier import loops

        place = Imprecision(True, function.entry, component.head)
        if place in self.plan.exact or component.entered_elsewhere:
            self._follow(function, component, entries, pending)
            return
        for node in self.merged(function, function.blocks[component.head], entries[component.head]):
            exits = loops.summarise(self, function, component, node, place)
            if exits is None:
                self._follow(function, component, {component.head: [node]}, pending)
            else:
                for exit_ in exits:
                    pending[exit_.block].append(exit_)

    def round(
        self, function: Function, component: Component, entries: Mapping[int, list[Node]]
    ) -> tuple[list[Node], Pending]:
        """Take nodes through a loop until they are at its head again or outside; returns both sorts."""
        pending: Pending = defaultdict(list, {block: list(nodes) for block, nodes in entries.items()})
        head = function.blocks[component.head]
        for node in pending.pop(component.head, []):
            self.block(function, head, node, pending)
        self.walk(function, component.elements, pending)
        return pending.pop(component.head, []), pending

    def _follow(
        self, function: Function, component: Component, entries: Mapping[int, list[Node]], pending: Pending
    ) -> None:
        """Follow a loop round by round until no node goes around any more.

        A node at the head that is included in one it came from, anchored at rounds 1, 2, 4, 8, ... (Brent, BIT 1980),
        by all that decides whether the loop is left, has made no progress: the loop may never end.
        """
        head = function.blocks[component.head]
        anchors: list[Node] = []
        rounds, next_anchor = 0, 1
        decisive = deciding(self.operations, function, component)
        with self.recording(None), self.meter.following_loop(component.head):
            while entries:
                backs, outside = self.round(function, component, entries)
                for block, nodes in outside.items():
                    pending[block] += nodes
                backs = self.merged(function, head, backs) if backs else []
                for node in backs:
                    self._demand_progress(node, anchors)
                rounds += 1
                if rounds == next_anchor:
                    next_anchor *= 2
                    anchors = [Node(_decisive(b.state, *decisive), b.cost, b.block, b) for b in backs]
                entries = {component.head: backs} if backs else {}
        if self.checking:
            key = (function.entry, component.head)
            self.found.rounds[key] = max(self.found.rounds.get(key, 0), rounds - 1)

    def _demand_progress(self, node: Node, anchors: list[Node]) -> None:
        for anchor in anchors:
            assert anchor.parent is not None
            if includes(self.rules.terms, anchor.state, node.state) and descends(node, anchor.parent):
                raise Stuck(node, node.block, Refusal(
                    "G0621", "this loop may never end",
                    ("after one or more rounds everything that the verifier knows is as it was before",),
                    (Count(),),
                ))  # fmt: skip

    @contextmanager
    def guessing(self) -> Iterator[None]:
        """Walk without checks, while an invariant is looked for."""
        before, self.checking = self.checking, False
        try:
            yield
        finally:
            self.checking = before

    @contextmanager
    def recording(self, component: Component | None) -> Iterator[None]:
        """Record the comparisons that keep execution in a loop, or in none."""
        self._recording.append(component)
        try:
            yield
        finally:
            self._recording.pop()


def dearer(a: Node, b: Node) -> Cost:
    """Return a cost around those of two nodes that meet."""
    return expense.maximum(a.cost, b.cost, around(a.state))


def around(state: State) -> frozenset[int]:
    """Return the symbols that mean the same on all paths of the current rounds: the counters of the loops around."""
    return frozenset(ghost.symbol for ghost in state.ghosts)


def discrete(state: State) -> tuple[object, ...]:
    """Return what is constant in a state's registers: the word of a constant, the region of an address, or neither."""
    return tuple(
        value.region._replace(origin=int(value.region.nullable))
        if isinstance(value, Pointer)
        else value.scalar.value
        if isinstance(value, Number) and value.scalar.is_constant
        else None
        for value in state.registers
    )


def _size(state: State) -> int:
    """Return how many values a state holds, about: what comparing it costs."""
    return len(state.registers) + sum(len(frame.stack) for frame in state.frames)


def descends(node: Node, ancestor: Node) -> bool:
    """Return whether `node` was reached from `ancestor`."""
    current: Node | None = node.parent
    while current is not None and current is not ancestor:
        current = current.parent
    return current is ancestor


def _decisive(state: State, registers: int, memory: bool) -> State:
    """Return the state with nothing but these registers and, if asked for, the stack."""
    kept = tuple(value if registers >> number & 1 else None for number, value in enumerate(state.registers))
    frames = state.frames if memory else tuple(Frame({}, (None,) * len(frame.saved)) for frame in state.frames)
    return State(kept, frames, UNKNOWN, ghosts=tuple(ghost._replace(scalar=UNKNOWN) for ghost in state.ghosts))


def without_dead(state: State, block: Block) -> State:
    """Return the state without the registers that nothing will read, and the links of numbers that are nowhere."""
    registers = state.registers
    if any(registers[number] is not None for number in block.dead):
        kept = [*registers]
        for number in block.dead:
            kept[number] = None
        state = state._replace(registers=tuple(kept))
    if state.links:
        there = {value.symbol for value in places(state).values()}
        links = tuple(link for link in state.links if link.a[0] in there and link.b[0] in there)
        state = state if links == state.links else state._replace(links=links)
    return state
