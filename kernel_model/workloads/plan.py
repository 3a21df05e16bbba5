"""What an operation asks, step by step: the part of a workload that a mechanism without a program can be given.

A `Plan` lists the requests of one operation and says, for each, where its body comes from:

    Literal(i)              known before the operation begins: column i of `Operations.bodies`
    Whole(step)             the reply of an earlier step, passed on unchanged
    Part(step, at, length)  bytes of it
    Computed(step)          only a program that looks at that reply can tell

A mechanism that runs no program (linked chains, promises, routed replies) compiles the plan, or says which step it
cannot do; one that runs a program needs the plan only to predict what it will do. A request may begin as soon as the
steps that it `needs` have been answered, so equal needs mean that requests may be under way together:

    list of 3 cells     0: Literal(0)   1: Part(0, 0, 8)   2: Part(1, 0, 8)          one after another
    quorum, 2 of 3      0: Literal(0)   1: Literal(0)      2: Literal(0)  enough=2   all at once

`carry_out` does a plan in plain Python over what the servers would answer. It shares no code with the kernel model, so
it judges every mechanism (and the graft): the replies are known before anything runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from grafting.diagnostics import InternalError
from kernel_model.serving import Reply


@dataclass(frozen=True, slots=True)
class Literal:
    """A body that is known before the operation begins: that column of the operation's bodies."""

    column: int = 0


@dataclass(frozen=True, slots=True)
class Whole:
    """The reply of `step`, unchanged."""

    step: int


@dataclass(frozen=True, slots=True)
class Part:
    """`length` bytes of the reply of `step`, from `offset` on."""

    step: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Computed:
    """A body that a program makes from the reply of `step`."""

    step: int


Argument = Literal | Whole | Part | Computed


@dataclass(frozen=True, slots=True)
class Step:
    """One request: operation number `op` of the protocol, to the servers of `role`.

    `after`: steps that must have been answered before it begins, beside the one that its argument comes from.
    """

    role: str
    op: int
    argument: Argument
    after: tuple[int, ...] = ()

    @property
    def needs(self) -> tuple[int, ...]:
        """The steps that must have been answered before this one begins, in order."""
        source = () if isinstance(self.argument, Literal) else (self.argument.step,)
        return tuple(sorted({*source, *self.after}))


@dataclass(frozen=True, slots=True)
class Plan:
    """The requests of one operation.

    `enough`: how many replies end the operation; if fewer than all of them, the rest come late and do not matter.
    `early`: data may end the operation before its last step. `recovers`: a step that failed is asked again, after a
    pause, so there may be more requests than steps.
    """

    steps: tuple[Step, ...]
    enough: int
    early: bool = False
    recovers: bool = False

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def computed(self) -> bool:
        """Whether some step needs a program."""
        return any(isinstance(step.argument, Computed) for step in self.steps)

    @property
    def independent(self) -> bool:
        """Whether all steps may be under way at once."""
        return not any(step.needs for step in self.steps)

    @property
    def depth(self) -> int:
        """The longest chain of steps that wait for one another: what no parallelism shortens."""
        depths: list[int] = []
        for step in self.steps:
            depths.append(1 + max((depths[need] for need in step.needs), default=0))
        return max(depths)


Serve = Callable[[str, int, bytes], Reply]
"""(role, operation number, body of the request) -> the reply."""


def chain(role: str, op: int, first: Argument, following: Callable[[int], Argument], length: int) -> Plan:
    """Return a plan of `length` (>= 1) requests to one role, each after the one before; `following(i)` comes from i."""
    rest = [Step(role, op, following(number), (number,)) for number in range(length - 1)]
    return Plan((Step(role, op, first), *rest), enough=length)


def carry_out(plan: Plan, literals: Sequence[bytes], serve: Serve) -> tuple[Reply | None, ...]:
    """Return the reply of every step of one operation whose bodies are `literals`; None for a step that a failed one
    was needed for.

    A plan with a `Computed` step cannot be carried out: a bug of the caller.
    """
    replies: list[Reply | None] = []
    for step in plan.steps:
        needed = [replies[need] for need in step.needs]
        if all(reply is not None and reply.status == 0 for reply in needed):
            replies.append(serve(step.role, step.op, _body(step.argument, literals, replies)))
        else:
            replies.append(None)
    return tuple(replies)


def _body(argument: Argument, literals: Sequence[bytes], replies: Sequence[Reply | None]) -> bytes:
    if isinstance(argument, Literal):
        return literals[argument.column]
    if isinstance(argument, Computed):
        raise InternalError(f"what follows from the reply of step {argument.step} is known to a program only")
    source = replies[argument.step]
    assert source is not None, "a step that is needed was answered"
    if isinstance(argument, Part):
        return source.body[argument.offset : argument.offset + argument.length]
    return source.body
