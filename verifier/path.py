"""The way that led to a refused instruction, instruction by instruction, with what was known before and after each.

A `Stuck` holds the last node of a chain: each node came from its parent by running the parent's block, but for two
sorts, which stand where states were made to agree: a joined node, and the head of a summarised loop. Their parent is
the node that they generalise. `events` lays the chain out and replays each block from its node's own state, so that
every word of an explanation is about states that the verifier had.

The work is bounded: of a long way only the last EVENTS instructions are laid out, and what came before is unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from grafting.isa import Branch, CallHelper, CallLocal, Exit, Goto, Operation, width
from verifier import transfer
from verifier.explore import RETURN, Imprecision, Node
from verifier.rules import Rules
from verifier.state import State

EVENTS = 4096


class Step(NamedTuple):
    """One instruction was run. `after`: of one that goes on to the next; `taken`: of a conditional jump."""

    pc: int
    before: State
    after: State | None
    taken: bool | None = None


class Agreed(NamedTuple):
    """States were made to agree: `after` includes `before` and others."""

    place: Imprecision
    before: State
    after: State


class Arrived(NamedTuple):
    """A block begins, in a state."""

    state: State


Event = Step | Agreed | Arrived


class Way(NamedTuple):
    """The events, first things first, and the state before the refused instruction. `whole`: from the entry on."""

    events: tuple[Event, ...]
    state: State
    whole: bool


def way(rules: Rules, operations: Mapping[int, Operation], node: Node, pc: int) -> Way:
    """Return the way to instruction `pc`, which lies in the block that begins at `node`."""
    parts = [_part(rules, operations, node, None, pc)]
    count, child, whole = len(parts[0]), node, True
    while child.parent is not None:
        parent = child.parent
        if count > EVENTS:
            whole = False
            break
        parts.append(_part(rules, operations, parent, child, None))
        count += len(parts[-1]) + 1
        child = parent
    events = tuple(event for part in reversed(parts) for event in part)
    last = events[-1]
    state = node.state if not isinstance(last, Step) else last.after
    assert state is not None
    return Way(events, state, whole)


def generalises(node: Node) -> bool:
    """Return whether a node is what its parent and others were made to agree on."""
    return node.parent is not None and node.blame is not node.parent.blame and node.block == node.parent.block


def decisions(node: Node) -> tuple[tuple[int, bool], ...]:
    """Return the conditional jumps on the way to a node and whether they jumped, first things first."""
    found: list[tuple[int, bool]] = []
    current: Node | None = node
    while current is not None:
        if current.taken is not None:
            found.append(current.taken)
        current = current.parent
    return tuple(reversed(found))


def _part(
    rules: Rules, operations: Mapping[int, Operation], node: Node, child: Node | None, stop: int | None
) -> list[Event]:
    """Return what happens from a node to the next one, or up to instruction `stop`."""
    events: list[Event] = [Arrived(node.state)]
    if child is not None and generalises(child):
        events.append(Agreed(child.blame[-1], node.state, child.state))
        return events
    if node.block == RETURN:
        return events
    state = node.state
    for pc, last in _instructions(operations, node.block, child.block if child is not None else None, stop):
        op = operations[pc]
        if last and isinstance(op, Branch | Goto | CallLocal | Exit):
            taken = child.taken[1] if child is not None and child.taken is not None else None
            events.append(Step(pc, state, None, taken))
        elif isinstance(op, CallHelper) and _never(rules, op):
            events.append(Step(pc, state, None))
        else:
            after = transfer.step(rules, state, op)
            events.append(Step(pc, state, after))
            state = after
    return events


def _never(rules: Rules, op: CallHelper) -> bool:
    helper = rules.hook.helper(op.number)
    return helper is not None and not helper.returns


def _instructions(
    operations: Mapping[int, Operation], start: int, following: int | None, stop: int | None
) -> Iterator[tuple[int, bool]]:
    """Yield the instructions of a block and whether one is its last, before `stop` if that is given."""
    pc = start
    while pc != stop:
        op = operations[pc]
        transfers = isinstance(op, Branch | Goto | CallLocal | Exit)
        yield pc, transfers
        pc += width(op)
        if transfers or pc == following or pc not in operations:
            return
