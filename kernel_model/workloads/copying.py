"""`copy`: blocks are read from one store and written to another, one after the other (read -> write -> next).

Blocks begin with their own number, as the pages of InnoDB do, so what was read is written as it is, and the reply to
the write says which block is next. An operation copies `hops` / 2 consecutive blocks of real text; operations copy
different ones, in random order. The answer is the number of the last block, and after the run the target must be equal
to the source, byte by byte.

    plan   read(number) -> write(whole reply) -> read(next number, known before) -> ...: no step needs a program
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from kernel_model.serving import Read, Store, Write
from kernel_model.workloads import texts
from kernel_model.workloads.answers import not_replied, unequal
from kernel_model.workloads.kinds import COMMON, Kind, Settings
from kernel_model.workloads.plan import Literal, Plan, Step, Whole
from kernel_model.workloads.roles import READ, WRITE, Role
from kernel_model.workloads.workload import Answer, Operations, Workload, words

LONGEST = 4096  # bytes of a block: the graft copies no longer ones
MOST_BYTES = 64 << 20  # of the source


def plan(blocks: int) -> Plan:
    """Return the steps of copying so many blocks; Literal(i) is the number of the i-th."""
    steps: list[Step] = []
    for number in range(blocks):
        steps.append(Step("source", READ, Literal(number), (len(steps) - 1,) if steps else ()))
        steps.append(Step("target", WRITE, Whole(len(steps) - 1)))
    return Plan(tuple(steps), enough=len(steps))


def build(settings: Settings) -> Workload:
    """Return the copying of `operations` x `hops` / 2 blocks."""
    if settings.hops < 2 or settings.hops % 2:
        settings.refuse("hops", "each block is a read and a write")
    settings.within("size", 2 * texts.NUMBER, LONGEST, "a number and some text")
    if settings.size % texts.NUMBER:
        settings.refuse("size", "not a multiple of 8")
    each = settings.hops // 2
    count = settings.operations * each
    if count * settings.size > MOST_BYTES:
        settings.refuse("operations", f"the store would have more than {MOST_BYTES:,} bytes")
    source = Store(texts.numbered(count, settings.size), settings.size)
    target = Store(bytes(count * settings.size), settings.size)
    begin = np.random.default_rng([settings.seed, 0xC09]).permutation(settings.operations).astype(np.uint64) * each

    def check(operation: int, answer: Answer) -> str | None:
        last = int.from_bytes(answer.body, "little")
        return not_replied(answer) or unequal(last, int(begin[operation]) + each - 1)

    def final(stored: Callable[[Store], bytes], _answers: Sequence[Answer]) -> str | None:
        return None if stored(target) == source.data else "the copy is not what was copied"

    return Workload(
        name="copy",
        data=texts.SOURCE,
        sample="copy_blocks.graft",
        plan=plan(each),
        roles=(
            Role("source", {READ: Read(source)}, settings.work_ns),
            Role("target", {WRITE: Write(target)}, settings.work_ns),
        ),
        operations=Operations(
            tuple(words(begin + np.uint64(number)) for number in range(each)),
            np.full(settings.operations, each, np.uint64),
        ),
        arrivals=settings.arrivals,
        topology=settings.topology,
        clients=settings.clients,
        argument_map="blocks_left",
        check=check,
        final=final,
    )


KIND = Kind(
    "copy",
    "copy blocks from one store to another: read, write, next",
    {**COMMON, "hops": 4, "size": 512, "servers": "one"},
    build,
)
