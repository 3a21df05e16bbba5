"""How much work one handler may cost: what makes hostile code a rejection and never a hang.

Work is counted in *steps*, an instruction looked at or as much as that takes, so that the same program always gets the
same answer, on any machine. A handler may cost so many steps for each of its instructions, and its share of a second's
worth that every program has. Memory is counted in *nodes*, the states that a walk keeps. The clock is looked at too,
and is the last resort: a machine that is slow beyond measure.

Example: `L: r6 *= 3; if r6 != 7 goto L` has no ranking, so it is followed round by round, until FOLLOWED steps are
spent: a third of a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from grafting import limits

_CLOCK_EVERY = 1 << 10  # steps between two looks at the clock


class Exhausted(Exception):
    """A limit was reached before an answer. `loop`: the head of the loop that was being followed, if it was that."""

    def __init__(self, pc: int, what: str, *, loop: int | None = None) -> None:
        super().__init__(what)
        self.pc, self.what, self.loop = pc, what, loop


def allowance(instructions: int, handlers: int) -> int:
    """Return the steps that a handler of so many instructions may cost in a program of so many handlers."""
    share = limits.VERIFIER_STEPS_FREE // handlers
    return min(limits.VERIFIER_STEPS, share + instructions * limits.VERIFIER_STEPS_EACH)


@dataclass(slots=True)
class Meter:
    """What was spent so far, over all walks of a handler, and when to give up. `most`: steps."""

    most: int
    clock: Callable[[], float]
    deadline: float  # by that clock, in seconds
    steps: int = 0
    nodes: int = 0  # of the present walk
    following: list[int] = field(default_factory=list)  # heads of the loops being followed round by round
    followed: int = 0  # steps in those

    def spend(self, pc: int, steps: int) -> None:
        """Count steps; raises Exhausted past a limit."""
        self.steps += steps
        if self.following:
            self.followed += steps
            if self.followed > limits.VERIFIER_UNROLL_STEPS:
                raise Exhausted(pc, "a loop without a ranking has too many rounds", loop=self.following[-1])
        if self.steps > self.most:
            raise Exhausted(pc, f"more than {self.most:,} instructions were looked at")
        if self.steps % _CLOCK_EVERY < steps and self.clock() > self.deadline:
            raise Exhausted(pc, f"more than {limits.VERIFIER_SECONDS:g} seconds have passed")

    @contextmanager
    def following_loop(self, head: int) -> Iterator[None]:
        """Count what is spent meanwhile as spent on following a loop."""
        self.following.append(head)
        try:
            yield
        finally:
            self.following.pop()

    def keep(self, pc: int) -> None:
        """Count a node that is kept; raises Exhausted past the limit."""
        self.nodes += 1
        if self.nodes > limits.VERIFIER_NODES:
            raise Exhausted(pc, f"more than {limits.VERIFIER_NODES:,} states are kept")
