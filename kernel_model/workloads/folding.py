"""`fold`: map and reduce over `hops` consecutive blocks; wanted are count, sum, least and greatest of their words.

The blocks hold the 64-bit BLAKE2b keys of the names of all characters, 16 a block, in code point order. The graft asks
for all blocks at its `submit` and folds each as it arrives, in whatever order; the client is woken once and takes five
numbers from the graft's map. The result is compared with plain Python over the same blocks.

    plan   read(n), read(n + 1), ... all at once, all replies needed; the folding is the handler's
"""

from __future__ import annotations

import numpy as np

from kernel_model.workloads import texts
from kernel_model.workloads.answers import not_replied, unequal
from kernel_model.workloads.kinds import COMMON, Kind, Settings
from kernel_model.workloads.plan import Literal, Plan, Step
from kernel_model.workloads.roles import READ, Role, blocks
from kernel_model.workloads.workload import Answer, Operations, Workload, words

WORDS = 16  # of a block
WORD = 8
MOST = 8  # blocks of one operation


def fold(block_words: list[int]) -> tuple[int, ...]:
    """Return blocks left (0), count, sum modulo 2**64, least and greatest of the words that are not 0."""
    real = [word for word in block_words if word]
    return 0, len(real), sum(real) % 2**64, min(real), max(real)


def build(settings: Settings) -> Workload:
    """Return `operations` folds of `hops` blocks each."""
    settings.within("hops", 1, MOST, "as many as the graft asks for")
    keys = texts.keys()
    count = -(-len(keys) // WORDS)
    data = np.zeros(count * WORDS, "<u8")
    data[: len(keys)] = keys
    begin = np.random.default_rng([settings.seed, 0xF01D]).integers(count - settings.hops + 1, size=settings.operations)

    def check(operation: int, answer: Answer) -> str | None:
        at = int(begin[operation]) * WORDS
        right = fold(data[at : at + settings.hops * WORDS].tolist())
        return not_replied(answer) or unequal(tuple(np.frombuffer(answer.body, "<u8").tolist()), right)

    return Workload(
        name="fold",
        data=texts.SOURCE,
        sample="fold_blocks.graft",
        plan=Plan(tuple(Step("disk", READ, Literal(column)) for column in range(settings.hops)), enough=settings.hops),
        roles=(Role("disk", blocks(data.tobytes(), WORDS * WORD), settings.work_ns),),
        operations=Operations(
            tuple(words((begin + column).astype(np.uint64)) for column in range(settings.hops)),
            np.full(settings.operations, settings.hops, np.uint64),
        ),
        arrivals=settings.arrivals,
        topology=settings.topology,
        clients=settings.clients,
        vets=True,
        argument_map="blocks",
        result_map="folds",
        check=check,
    )


KIND = Kind(
    "fold",
    "fold consecutive blocks into five numbers",
    {**COMMON, "hops": 8, "servers": "one"},
    build,
)
