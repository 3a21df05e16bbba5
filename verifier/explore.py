"""In which order instructions are looked at, what is kept of a path, and when two paths become one.

`Explorer.run` walks a function's elements in order (`flow`). A `Node` is a state at the start of a block, with the
greatest cost of any way there and the node it came from. When the walk reaches a block, all nodes that can arrive there
have arrived, so `_merged` drops those that another includes, and past STATES nodes joins what can be joined. A loop is
summarised by its invariant and ranking (`loops`), or followed round by round if it has none.

**Why a verdict is right.** Every execution follows some chain of nodes, each of which describes it: `transfer`
preserves that along instructions, inclusion and join at merges, the invariant at a summarised head. At every node each
obligation was checked. A loop followed round by round ends only when no state is left that goes around.

**Precision on demand.** A join or a summary may lose what a later check needs. So a node knows which of them it has
gone through (`blame`); if a check fails, the latest of them is put into the `Plan` and the handler is walked again
without it. A failure without blame is final: it is a path of the program.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from grafting import limits
from grafting.isa import Branch, CallHelper, CallLocal, Exit, Goto, Operation
from verifier import cost, transfer
from verifier.check import Refusal, Rules, unmet
from verifier.cost import Layout, Tally
from verifier.flow import Block, Component, Element, Function, deciding
from verifier.lattice import includes, joined
from verifier.obligations import Obligation
from verifier.scalar import UNKNOWN
from verifier.state import Frame, State

STATES = 2
"""Nodes kept apart at one block before joining: more cost time, and where a join loses too much the plan spares it."""

SPARED = 32
"""Nodes kept apart at a block that the plan spares: each new one is compared with all that are kept."""

_COMPARISONS = 4  # of two states, that take about as long as an instruction

_NOTES = 4 * STATES  # kept of one block in the findings; then one state that includes them takes their place

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

    def sparing(self, place: Imprecision) -> Plan:
        """Return the plan with one more place."""
        return Plan(self.exact | {place})


class Node:
    """A state at the start of a block. `taken` is the branch that led here: (pc, whether it jumped), or None."""

    __slots__ = ("blame", "block", "cost", "parent", "state", "taken")

    def __init__(
        self,
        state: State,
        tally: Tally,
        block: int,
        parent: Node | None,
        blame: tuple[Imprecision, ...] = (),
        taken: tuple[int, bool] | None = None,
    ) -> None:
        self.state, self.cost, self.block = state, tally, block
        self.parent, self.blame, self.taken = parent, blame, taken


class Stuck(Exception):
    """An obligation is not met: `refusal`, at `pc`, on the way to `node`."""

    def __init__(self, node: Node, pc: int, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.node, self.pc, self.refusal = node, pc, refusal


class Exhausted(Exception):
    """A limit was reached before an answer. `loop`: the head of the loop that was being followed, if it was that."""

    def __init__(self, pc: int, what: str, *, loop: int | None = None) -> None:
        super().__init__(what)
        self.pc, self.what, self.loop = pc, what, loop


@dataclass(slots=True)
class Findings:
    """What a walk leaves behind: states by (function, block), rounds by (function, head), stack use, calls made."""

    states: dict[tuple[int, int], list[State]] = field(default_factory=dict)
    rounds: dict[tuple[int, int], int] = field(default_factory=dict)
    depths: dict[int, int] = field(default_factory=dict)
    calls: dict[tuple[int, int], int] = field(default_factory=dict)  # (caller, callee) -> pc


@dataclass(slots=True)
class Meter:
    """The steps taken so far, over all walks of a handler, and when to give up."""

    clock: Callable[[], float]
    deadline: float
    steps: int = 0
    following: list[int] = field(default_factory=list)  # heads of the loops being followed round by round
    followed: int = 0  # steps in those

    def spend(self, pc: int, steps: int) -> None:
        """Count instructions; raises Exhausted past a limit."""
        self.steps += steps
        if self.following:
            self.followed += steps
            if self.followed > limits.VERIFIER_UNROLL_STEPS:
                raise Exhausted(pc, "a loop without a ranking has too many rounds", loop=self.following[-1])
        if self.steps > limits.VERIFIER_STEPS:
            raise Exhausted(pc, f"more than {limits.VERIFIER_STEPS} instructions were looked at")
        if self.steps & 0x3FF < steps and self.clock() > self.deadline:
            raise Exhausted(pc, f"more than {limits.VERIFIER_SECONDS:g} seconds have passed")


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
        self._recording.append(None)
        self.walk(function, function.elements, pending)
        self._recording.pop()
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
                for node in self.merged(function, block, pending.pop(element)):
                    self.block(function, block, node, pending)

    # --- blocks ------------------------------------------------------------------------------------------------------

    def block(self, function: Function, block: Block, node: Node, pending: Pending) -> None:
        """Run a node through a block and put what follows into `pending`."""
        self.meter.spend(block.start, len(block.pcs))
        if self.checking:
            self._note(function, block, node.state)
        state, tally = node.state, cost.plus(node.cost, self._tally(block))
        last = block.pcs[-1]
        for pc in block.pcs:
            op = self.operations[pc]
            if self.checking:
                self._check(node, state, pc)
            if isinstance(op, CallHelper):
                helper = self.rules.hook.helper(op.number)
                if helper is None:
                    return  # only while guessing: the last walk over this place will say so
                tally = cost.sending(tally, state, helper)
                if helper.result.name == "NEVER":
                    return self._finish(node, state, tally, pending)
            if pc != last or not isinstance(op, Branch | Goto | CallLocal | Exit):
                state = transfer.step(self.rules, state, op)
        self._onward(function, block, node, state, tally, pending)

    def _onward(
        self, function: Function, block: Block, node: Node, state: State, tally: Tally, pending: Pending
    ) -> None:
        """Follow the control transfer at the end of a block."""
        last = block.pcs[-1]
        match self.operations[last]:
            case Branch() as op:
                ways = transfer.branch(state, op, facts=self._records(op.target, last + 1))
                for way, target, taken in ((ways.through, last + 1, False), (ways.taken, op.target, True)):
                    if way is not None:
                        pending[target].append(Node(way, tally, target, node, node.blame, (last, taken)))
            case CallLocal(target):
                self.found.calls.setdefault((function.entry, target), last)
                inner = Node(transfer.enter(state), tally, target, node, node.blame)
                following = block.successors[0]
                for back in self.run(target, inner):
                    after = transfer.leave(back.state)
                    pending[following].append(Node(after, back.cost, following, back, back.blame))
            case Exit():
                self._finish(node, state, tally, pending)
            case _:
                target = block.successors[0]
                pending[target].append(Node(state, tally, target, node, node.blame))

    def _finish(self, node: Node, state: State, tally: Tally, pending: Pending) -> None:
        pending[RETURN].append(Node(state, tally, RETURN, node, node.blame))

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

    def _records(self, taken: int, through: int) -> tuple[bool, bool]:
        """Return on which ways of a branch its comparison is recorded: those that stay in a loop the other leaves."""
        loop = self._recording[-1]
        if loop is None or (taken in loop.blocks) == (through in loop.blocks):
            return False, False
        return taken in loop.blocks, through in loop.blocks

    # --- merges ------------------------------------------------------------------------------------------------------

    def merged(self, function: Function, block: Block, nodes: list[Node]) -> list[Node]:
        """Return fewer nodes that include all of these, dead registers dropped."""
        for node in nodes:
            node.state = without_dead(node.state, block)
        if len(nodes) == 1:
            return nodes
        place = Imprecision(False, function.entry, block.start)
        most = SPARED if place in self.plan.exact else STATES
        kept: list[Node] = []
        compared = 0
        for node in nodes:
            compared += 2 * len(kept)
            self._add(kept, node)
            if len(kept) > most:
                kept = [self._joined(kept, place)]
        self.meter.spend(block.start, compared // _COMPARISONS)
        return kept

    def _add(self, kept: list[Node], node: Node) -> None:
        """Add a node, unless one includes it; drop those that it includes."""
        terms = self.rules.terms
        for other in kept:
            if includes(terms, other.state, node.state):
                other.cost = cost.maximum(other.cost, node.cost)
                return
        included = [other for other in kept if includes(terms, node.state, other.state)]
        for other in included:
            node.cost = cost.maximum(node.cost, other.cost)
            kept.remove(other)
        kept.append(node)

    def _joined(self, nodes: list[Node], place: Imprecision) -> Node:
        first = nodes[0]
        state = joined(self.rules.terms, [node.state for node in nodes])
        tally, blame = first.cost, [*first.blame]
        for other in nodes[1:]:
            tally = cost.maximum(tally, other.cost)
            blame += [item for item in other.blame if item not in blame]
        return Node(state, tally, first.block, first.parent, (*blame, place), first.taken)

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
        self._recording.append(None)
        self.meter.following.append(component.head)
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
        self._recording.pop()
        self.meter.following.pop()
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
                    ("count the rounds: `for i in 0..n max N`, or `while condition limit N`",),
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
    def recording(self, component: Component) -> Iterator[None]:
        """Record the comparisons that keep execution in a loop."""
        self._recording.append(component)
        try:
            yield
        finally:
            self._recording.pop()


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
    """Return the state without the registers that nothing will read."""
    registers = state.registers
    for number in block.dead:
        if registers[number] is not None:
            break
    else:
        return state
    kept = [*registers]
    for number in block.dead:
        kept[number] = None
    return state._replace(registers=tuple(kept))
