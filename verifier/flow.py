"""Control flow of one function: basic blocks, and the loops in which they lie.

`Function.elements` is a weak topological order (Bourdoncle, "Efficient chaotic iteration strategies with widenings",
1993): blocks and components, in an order in which every edge leads forward, but for those to the head of a component
around it. So whoever walks the elements in order has seen all that leads to one, and every cycle passes a head.

    loop: r0 += 1; if r0 < 9 goto loop; exit     elements: [0], Component(head 1, [1]), [3]

Any jump structure has such an order, loops entered in the middle included (`Component.entered_elsewhere`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from grafting.isa import (
    FRAME_POINTER,
    Alu,
    AluOp,
    Atomic,
    AtomicOp,
    Branch,
    ByteSwap,
    CallHelper,
    CallLocal,
    Exit,
    Goto,
    Imm,
    Load,
    LoadImm64,
    LoadMap,
    LoadMapValue,
    MoveSx,
    Operation,
    Reg,
    Store,
    width,
)

Graph = Mapping[int, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Block:
    """Instructions that run one after the other: `pcs`, the last of which decides which of `successors` is next.

    `dead`: the registers that nothing reads, from the start of the block on, before writing them.
    """

    start: int
    pcs: tuple[int, ...]
    successors: tuple[int, ...]
    dead: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Component:
    """A set of blocks that lie on cycles through `head`, the cycles without it being components inside."""

    head: int
    elements: tuple[Element, ...]  # without the head
    blocks: frozenset[int]
    entered_elsewhere: bool  # whether an edge from outside leads to a block other than the head
    depth: int  # 1 for an outermost loop


Element = int | Component


@dataclass(frozen=True, slots=True)
class Function:
    """The code that is reachable from `entry` without entering callees. Blocks are named by their first pc."""

    entry: int
    blocks: Mapping[int, Block]
    elements: tuple[Element, ...]
    callees: tuple[tuple[int, int], ...]  # (pc of the call, entry of the callee)


def function(operations: Mapping[int, Operation], entry: int) -> Function:
    """Return the control flow of the function that starts at `entry`."""
    blocks = _with_liveness(operations, _blocks(operations, entry))
    graph = {start: block.successors for start, block in blocks.items()}
    calls = tuple(
        (pc, op.target) for block in blocks.values() for pc in block.pcs[-1:]
        if isinstance(op := operations[pc], CallLocal)
    )  # fmt: skip
    return Function(entry, blocks, _elements(graph, entry), calls)


# --- blocks ----------------------------------------------------------------------------------------------------------


def _next(op: Operation, pc: int) -> tuple[int, ...]:
    match op:
        case Goto(target):
            return (target,)
        case Branch(target=target):
            through = pc + 1
            return (through,) if target == through else (through, target)
        case Exit():
            return ()
        case _:
            return (pc + width(op),)


def _blocks(operations: Mapping[int, Operation], entry: int) -> dict[int, Block]:
    reachable, todo, leaders = {entry}, [entry], {entry}
    while todo:
        pc = todo.pop()
        op = operations[pc]
        following = _next(op, pc)
        if isinstance(op, Branch | Goto | CallLocal):
            leaders.update(following)
        for target in following:
            if target not in reachable:
                reachable.add(target)
                todo.append(target)
    blocks = {}
    for start in sorted(leaders):
        pcs = [start]
        while True:
            following = _next(operations[pcs[-1]], pcs[-1])
            if len(following) != 1 or following[0] in leaders or isinstance(operations[pcs[-1]], Goto | CallLocal):
                break
            pcs.append(following[0])
        blocks[start] = Block(start, tuple(pcs), following)
    return blocks


def uses_and_definition(op: Operation) -> tuple[int, int]:
    """Return the registers that `op` reads and those that it writes for certain, a bit each."""
    match op:
        case AluOp(Alu.MOV, _, dst, source):
            return _bit(source), 1 << dst
        case AluOp(_, _, dst, source):
            return 1 << dst | _bit(source), 1 << dst
        case MoveSx(dst=dst, src=src):
            return 1 << src, 1 << dst
        case ByteSwap(dst=dst):
            return 1 << dst, 1 << dst
        case LoadImm64(dst=dst) | LoadMap(dst=dst) | LoadMapValue(dst=dst):
            return 0, 1 << dst
        case Load(dst=dst, base=base):
            return 1 << base, 1 << dst
        case Store(base=base, source=source):
            return 1 << base | _bit(source), 0
        case Atomic():
            compared = 1 if op.op is AtomicOp.CMPXCHG else 0
            return 1 << op.base | 1 << op.src | compared, 0
        case Branch(dst=dst, source=source):
            return 1 << dst | _bit(source), 0
        case CallHelper() | CallLocal():
            return 0b111111, 0b111111
        case Exit():
            return 1, 0
        case _:
            return 0, 0


def _bit(source: Reg | Imm) -> int:
    return 1 << source.number if isinstance(source, Reg) else 0


def _with_liveness(operations: Mapping[int, Operation], blocks: dict[int, Block]) -> dict[int, Block]:
    """Return the blocks with `dead` set: the complement of the least solution of the usual backward equations."""
    gen, kept = {}, {}
    for start, block in blocks.items():
        live, through = 0, (1 << 11) - 1
        for pc in reversed(block.pcs):
            uses, written = uses_and_definition(operations[pc])
            live, through = live & ~written | uses, through & ~written
        gen[start], kept[start] = live, through
    live_in = dict(gen)
    before: dict[int, list[int]] = {start: [] for start in blocks}
    for start, block in blocks.items():
        for target in block.successors:
            before[target].append(start)
    todo = list(blocks)
    while todo:
        target = todo.pop()
        for start in before[target]:
            live = live_in[start] | live_in[target] & kept[start]
            if live != live_in[start]:
                live_in[start] = live
                todo.append(start)
    return {s: Block(s, b.pcs, b.successors, _dead(live_in[s])) for s, b in blocks.items()}


def _dead(live: int) -> tuple[int, ...]:
    return tuple(number for number in range(FRAME_POINTER) if not live >> number & 1)


def deciding(operations: Mapping[int, Operation], function: Function, component: Component) -> tuple[int, bool]:
    """Return what may decide whether a loop is left: registers, a bit each, and whether it is memory, too.

    The least set that has the operands of all branches out of the loop, and the sources of whatever is written to a
    register in it.
    """
    blocks = [function.blocks[block] for block in component.blocks]
    inside = [operations[pc] for block in blocks for pc in block.pcs]
    found, memory = 0, False
    for block in blocks:
        if any(target not in component.blocks for target in block.successors):
            found |= uses_and_definition(operations[block.pcs[-1]])[0]
    before = (-1, False)
    while before != (found, memory):
        before = (found, memory)
        for op in inside:
            uses, written = uses_and_definition(op)
            if isinstance(op, Atomic) and op.fetch:
                written = 1 if op.op is AtomicOp.CMPXCHG else 1 << op.src
            if written & found or (memory and isinstance(op, Store | Atomic)):
                found |= uses
                memory = memory or isinstance(op, Load | Atomic | CallHelper | CallLocal)
    return found, memory


# --- components ------------------------------------------------------------------------------------------------------

NESTING = 32
"""Loops in loops that are looked at; each level walks its blocks once more. Hostile code alone has more."""


class NestedTooDeeply(Exception):
    """There are more than NESTING loops inside each other."""


def _elements(graph: Graph, entry: int) -> tuple[Element, ...]:
    before: dict[int, list[int]] = {node: [] for node in graph}
    for node, targets in graph.items():
        for target in targets:
            before[target].append(node)
    before[entry].append(-1)  # whoever calls
    return _order(graph, before, frozenset(graph), [entry], 1)


def _order(
    graph: Graph, before: Mapping[int, list[int]], nodes: frozenset[int], roots: Iterable[int], depth: int
) -> tuple[Element, ...]:
    """Return the elements of a subgraph, in order."""
    if depth > NESTING:
        raise NestedTooDeeply
    found: list[Element] = []
    for group in _strong_components(graph, nodes, roots):
        if len(group) == 1 and group[0] not in graph[group[0]]:
            found.append(group[0])
            continue
        inside = frozenset(group)
        entries = sorted(node for node in group if any(p not in inside for p in before[node]))
        head = entries[0]  # there is one: all of a subgraph is reached from outside of it
        rest = inside - {head}
        elements = _order(graph, before, rest, sorted(rest), depth + 1)
        found.append(Component(head, elements, inside, len(entries) > 1, depth))
    return tuple(found)


def _strong_components(graph: Graph, nodes: frozenset[int], roots: Iterable[int]) -> list[list[int]]:
    """Return the strongly connected components in topological order (Tarjan, without recursion)."""
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    on_path: set[int] = set()
    path: list[int] = []
    found: list[list[int]] = []
    for root in roots:
        if root in index:
            continue
        work = [(root, iter(graph[root]))]
        index[root] = low[root] = len(index)
        path.append(root)
        on_path.add(root)
        while work:
            node, targets = work[-1]
            target = next((t for t in targets if t in nodes), None)
            if target is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    group: list[int] = []
                    while not group or group[-1] != node:
                        group.append(path.pop())
                        on_path.discard(group[-1])
                    found.append(group)
            elif target not in index:
                index[target] = low[target] = len(index)
                path.append(target)
                on_path.add(target)
                work.append((target, iter(graph[target])))
            elif target in on_path:
                low[node] = min(low[node], index[target])
    return found[::-1]
