"""A process that submits random chains of linked requests, for the random scenarios."""

from __future__ import annotations

import random
from collections.abc import Sequence

from kernel_model import Endpoint, Kernel
from kernel_model.hosting import Script, wait
from kernel_model.linking import DRAIN, HARDLINK, LINK, SKIP, Chain, Entry, guard, message, nop, timeout


def chaining(draw: random.Random, endpoints: Sequence[Endpoint]) -> list[Chain]:
    """Three submissions of up to eight entries."""
    return [Chain(tuple(_entry(draw, endpoints, n) for n in range(draw.randint(1, 8)))) for _ in range(3)]


def _entry(draw: random.Random, endpoints: Sequence[Endpoint], number: int) -> Entry:
    flags = draw.choice((0, LINK, LINK, HARDLINK)) | draw.choice((0, 0, 0, SKIP)) | draw.choice((0, 0, 0, 0, 0, DRAIN))
    match draw.randrange(6):
        case 0:
            return nop(tag=number, status=draw.choice((0, -5)), flags=flags)
        case 1:
            return timeout(draw.choice((100, 900)), tag=number, flags=flags)
        case 2:
            return guard(draw.choice((50, 700)), tag=number, flags=flags)
        case 3:
            return Entry(99, number, flags)
        case _:
            source = draw.randrange(number) if number and draw.random() < 0.5 else None
            return message(draw.choice(endpoints), body=bytes(8), tag=number, flags=flags,
                           want=draw.choice((0, 8, 16)), source=source, at=draw.choice((0, 4)))  # fmt: skip


def chain_process(kernel: Kernel, submissions: list[Chain], **how: int) -> None:
    """Add the process."""

    def program(_kernel: Kernel, _me: object) -> Script:
        for submission in submissions:
            yield submission
            yield wait(2, timeout_ns=1000)

    kernel.process("chains", program, completions=16, **how)
