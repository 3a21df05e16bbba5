"""The same random chains through real io_uring and through the model's linked requests (`core.links`).

A `Batch` is one submission: entries of chains, one after the other, drawn from a seed. It is executed twice:

    on Linux        NOPs with injected results; reads of a file: whole, short, at its end; of a closed descriptor; of a
                    pipe that nobody writes to; timeouts; link timeouts; an opcode that there is not
    in the model    NOPs with the same results; requests to servers that answer with as many bytes, with EBADF, or
                    never; timeouts; guards; a kind of entry that there is not

What must be equal: the multiset of completions (who, result), the order of the completions of each chain, and, where a
chain drains, that all before it came first and all behind it later. The order of completions of different chains is not
promised by either, nor is when a guard that was not needed is told, but for that it is told behind what it guarded.

Times are chosen so that it is clear who is first: a guard of `SHORT_NS` stands only behind what takes `LONG_NS` or for
ever, one of `LONG_NS` behind what is over at once or after `SHORT_NS`.
"""

from __future__ import annotations

import errno
import os
import random
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from kernel_model.core import links
from kernel_model.handles import Endpoint
from kernel_model.hosting import Completion, Jump, Program, Receive, Reply, Script, Sleep, wait
from kernel_model.kernel import Kernel
from kernel_model.linking import Chain
from kernel_model.linking import Entry as ModelEntry
from kernel_model.linux import io_uring

SHORT_NS, LONG_NS = 1_000_000, 20_000_000_000
BLOCK = 16  # bytes asked for by a read
MOST_CHAINS, MOST_ENTRIES = 24, 6
SETTLE_SECONDS = 0.004  # in which completions that should not come would


class Kind(Enum):
    """What an entry does. The value of a read is how many bytes it gets."""

    NOP = "nop"
    WHOLE = "read, whole"
    HALF = "read, short"
    END = "read at the end"
    CLOSED = "read of a closed descriptor"
    NEVER = "read of an idle pipe"
    BRIEF = "timeout, short"
    LASTING = "timeout, long"
    GUARD_SHORT = "link timeout, short"
    GUARD_LONG = "link timeout, long"
    WRONG = "no operation"


ENDLESS = (Kind.NEVER, Kind.LASTING)  # must have a short guard
GUARDS = (Kind.GUARD_SHORT, Kind.GUARD_LONG)
BYTES = {Kind.WHOLE: BLOCK, Kind.HALF: BLOCK // 2, Kind.END: 0}


@dataclass(frozen=True, slots=True)
class Item:
    """One entry; `flags` as in `core.links`, `result` of a NOP: 0 or a negated errno."""

    kind: Kind
    flags: int
    result: int = 0


Batch = tuple[Item, ...]
Results = list[tuple[int, int]]
"""(number of the entry, result as Linux gives it), in the order of completion."""


def draw(seed: int) -> Batch:
    """Return the batch of a seed. One in three uses SKIP, one in three DRAIN, one in three hardly either.

    The last chain may end at the submission. Neither there nor where there is DRAIN does anything read the idle pipe:
    see the quirks in docs/rivals.md.
    """
    random_ = random.Random(seed)
    skips, drains = random_.choice(((0.3, 0.0), (0.0, 0.08), (0.01, 0.01)))
    batch: list[Item] = []
    for _ in range(random_.randint(1, MOST_CHAINS)):
        batch += _chain(random_, skips, drains)
    last, ends = batch[-1], chains(tuple(batch))[-1]
    if random_.random() < 0.3 and all(batch[number].kind is not Kind.NEVER for number in ends):
        batch[-1] = Item(last.kind, last.flags | links.LINK, last.result)
    return tuple(batch)


def _chain(random_: random.Random, skips: float, drains: float) -> list[Item]:
    kinds: list[Kind] = []
    for _ in range(random_.randint(1, MOST_ENTRIES)):
        kind = random_.choices(
            [Kind.NOP, Kind.WHOLE, Kind.HALF, Kind.END, Kind.CLOSED, Kind.NEVER, Kind.BRIEF, Kind.LASTING, Kind.WRONG,
             Kind.GUARD_LONG],
            [8, 6, 2, 1, 1, 0 if drains else 1, 1, 1, 0.3, 0.3],
        )[0]  # fmt: skip
        kinds.append(kind)
        if kind in ENDLESS:
            kinds.append(Kind.GUARD_SHORT)
        elif random_.random() < 0.2:
            kinds.append(Kind.GUARD_LONG)
    items = []
    for number, kind in enumerate(kinds):
        following = kinds[number + 1] if number + 1 < len(kinds) else None
        flags = random_.choice((links.LINK, links.LINK, links.HARDLINK)) if following else 0
        if random_.random() < skips:
            flags |= links.SKIP
        if random_.random() < drains:
            flags |= links.DRAIN
        result = -random_.choice((errno.EIO, errno.EAGAIN, errno.ENOSPC)) if random_.random() < 0.25 else 0
        items.append(Item(kind, flags, result if kind is Kind.NOP else 0))
    return items


def chains(batch: Batch) -> list[range]:
    """Return the numbers of the entries of each chain."""
    found, first = [], 0
    for number, item in enumerate(batch):
        if item.flags & links.LINKS == 0 or number + 1 == len(batch):
            found.append(range(first, number + 1))
            first = number + 1
    return found


# --- on Linux ---------------------------------------------------------------------------------------------------------

IOSQE = {links.LINK: io_uring.LINK, links.HARDLINK: io_uring.HARDLINK, links.DRAIN: io_uring.DRAIN,
         links.SKIP: io_uring.SKIP}  # fmt: skip


class Linux:
    """Runs batches through io_uring: a file of one block, and a pipe that nobody writes to."""

    def __init__(self) -> None:
        self.file = tempfile.TemporaryFile()  # noqa: SIM115
        self.file.write(bytes(BLOCK))
        self.file.flush()
        self.pipe = os.pipe()

    def close(self) -> None:
        """Give the file and the pipe back."""
        self.file.close()
        for end in self.pipe:
            os.close(end)

    def run(self, batch: Batch, expected: int) -> Results:
        """Submit a batch to a ring of its own, wait for `expected` completions, and a little for any others."""
        with io_uring.Ring(256) as ring:
            ring.submit([self._entry(number, item) for number, item in enumerate(batch)])
            found = ring.wait(expected, seconds=2.0)
            return found + ring.wait(1, seconds=SETTLE_SECONDS)

    def _entry(self, number: int, item: Item) -> io_uring.Entry:
        flags = sum(there for here, there in IOSQE.items() if item.flags & here)
        match item.kind:
            case Kind.NOP:
                return io_uring.Entry(io_uring.NOP, number, flags, result=item.result)
            case Kind.WHOLE | Kind.HALF | Kind.END:
                at = BLOCK - BYTES[item.kind]
                return io_uring.Entry(io_uring.READ, number, flags, self.file.fileno(), at, BLOCK)
            case Kind.CLOSED:
                return io_uring.Entry(io_uring.READ, number, flags, 1 << 20, 0, BLOCK)
            case Kind.NEVER:
                return io_uring.Entry(io_uring.READ, number, flags, self.pipe[0], 0, BLOCK)
            case Kind.BRIEF | Kind.LASTING:
                ns = SHORT_NS if item.kind is Kind.BRIEF else LONG_NS
                return io_uring.Entry(io_uring.TIMEOUT, number, flags, ns=ns)
            case Kind.GUARD_SHORT | Kind.GUARD_LONG:
                ns = SHORT_NS if item.kind is Kind.GUARD_SHORT else LONG_NS
                return io_uring.Entry(io_uring.LINK_TIMEOUT, number, flags, ns=ns)
            case Kind.WRONG:
                return io_uring.Entry(io_uring.NO_OPERATION, number, flags)


# --- in the model -----------------------------------------------------------------------------------------------------


def run_model(batch: Batch) -> Results:
    """Submit the same batch to the model's kernel, in one system call; return all completions."""
    kernel = Kernel(engine="python")
    servers = {kind: kernel.server(kind.value, reply=bytes(n), service_ns=300).endpoint for kind, n in BYTES.items()}
    servers[Kind.CLOSED] = kernel.endpoint("closed")
    servers[Kind.NEVER] = kernel.endpoint("idle", len(batch))
    kernel.script("closed", [Receive(), Reply(b"", -errno.EBADF, True), Jump(1)], endpoint=servers[Kind.CLOSED])
    kernel.script("idle", [Sleep(LONG_NS)], endpoint=servers[Kind.NEVER])
    done: list[Completion] = []

    def program(_kernel: Kernel, _me: object) -> Script:
        yield Chain(tuple(_entry(number, item, servers) for number, item in enumerate(batch)))
        while True:
            done.extend((yield wait(1, timeout_ns=10 * SHORT_NS)))

    typed: Program = program
    kernel.process("client", typed, completions=512)
    kernel.run(until_ns=100 * SHORT_NS)
    return [(completion.tag, _result(batch[completion.tag], completion)) for completion in done]


def _entry(number: int, item: Item, servers: dict[Kind, Endpoint]) -> ModelEntry:
    match item.kind:
        case Kind.NOP:
            return ModelEntry(links.NOP, number, item.flags, status=item.result)
        case Kind.BRIEF | Kind.LASTING:
            return ModelEntry(links.TIMEOUT, number, item.flags, ns=SHORT_NS if item.kind is Kind.BRIEF else LONG_NS)
        case Kind.GUARD_SHORT | Kind.GUARD_LONG:
            ns = SHORT_NS if item.kind is Kind.GUARD_SHORT else LONG_NS
            return ModelEntry(links.LINK_TIMEOUT, number, item.flags, ns=ns)
        case Kind.WRONG:
            return ModelEntry(io_uring.NO_OPERATION, number, item.flags)
        case _:
            return ModelEntry(links.MESSAGE, number, item.flags, servers[item.kind], want=BLOCK)


def _result(item: Item, completion: Completion) -> int:
    match completion.outcome:
        case "replied":
            return len(completion.body)
        case "timed_out":
            return -errno.ETIME
        case _:
            return completion.status


# --- judging ----------------------------------------------------------------------------------------------------------


def differences(batch: Batch, real: Results, model: Results) -> list[str]:
    """Return what is not equal between the two runs of a batch, as sentences."""
    found = []
    missing, extra = Counter(real) - Counter(model), Counter(model) - Counter(real)
    if missing or extra:
        found.append(f"only Linux: {sorted(missing.elements())}; only the model: {sorted(extra.elements())}")
    for chain in chains(batch):
        one, other = (_in_order(batch, chain, results) for results in (real, model))
        if one != other and sorted(one) == sorted(other):
            found.append(f"{_described(batch, chain)}: Linux in the order {one}, the model {other}")
    found += [f"{name}: {line}" for name, results in (("Linux", real), ("the model", model))
              for line in _undrained(batch, results)]  # fmt: skip
    return found


def _in_order(batch: Batch, chain: range, results: Results) -> Results:
    """Return the completions of a chain in order; a disarmed guard that came late stands behind what it guarded."""
    order = [result for result in results if result[0] in chain]
    for late in list(order):
        number, result = late
        if batch[number].kind in GUARDS and result == -errno.ECANCELED:
            at = order.index(late)
            order.insert(next((n for n, (other, _) in enumerate(order[:at]) if other > number), at), order.pop(at))
    return order


def _undrained(batch: Batch, results: Results) -> list[str]:
    """Return where a chain that drains was overtaken, or overtook. What could not be submitted does not wait."""
    if any(item.flags & links.SKIP for item in batch):
        return []
    parts = chains(batch)
    at = {number: place for place, (number, _) in enumerate(results)}
    ran = [chain for chain in parts if not _unsubmitted(batch, chain)]
    found = []
    for chain in ran:
        if not any(batch[number].flags & links.DRAIN for number in chain):
            continue
        inside = [at[number] for number in chain if number in at]
        before = [at[number] for other in ran if other.start < chain.start for number in other if number in at]
        behind = [at[number] for other in ran if other.start > chain.start for number in other if number in at]
        if inside and (max(before, default=-1) > min(inside) or min(behind, default=len(at)) < max(inside)):
            found.append(f"{_described(batch, chain)} drains, but {results}")
    return found


def _unsubmitted(batch: Batch, chain: range) -> bool:
    kinds = [batch[number].kind for number in chain]
    misplaced = any(k in GUARDS and (n == 0 or kinds[n - 1] in GUARDS) for n, k in enumerate(kinds))
    return misplaced or Kind.WRONG in kinds


def _described(batch: Batch, chain: Sequence[int]) -> str:
    names = {links.LINK: "LINK", links.HARDLINK: "HARDLINK", links.DRAIN: "DRAIN", links.SKIP: "SKIP"}
    return " -> ".join(
        f"{number} {batch[number].kind.value}"
        + "".join(f" {name}" for flag, name in names.items() if batch[number].flags & flag)
        + (f" = {batch[number].result}" if batch[number].result else "")
        for number in chain
    )


def check(linux: Linux, seed: int) -> list[str]:
    """Run the batch of a seed on both and return what differs."""
    batch = draw(seed)
    model = run_model(batch)
    return differences(batch, linux.run(batch, len(model)), model)
