"""Plans for clients that run no program: from `workloads.plan` to the rows that `core.plans` reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from kernel_model.core.tables import NONE
from kernel_model.handles import Client, Endpoint, Jobs
from kernel_model.workloads.plan import Computed, Literal, Part, Plan, Whole

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kernel_model.kernel import Kernel


def give_plan(
    kernel: Kernel,
    client: Client,
    jobs: Jobs,
    plan: Plan,
    columns: Sequence[NDArray[np.uint8]],
    endpoints: Mapping[str, Endpoint],
    kind: int,
    flags: Sequence[int],
    lengths: Sequence[int],
) -> None:
    """Let a client write these requests for each of its jobs.

    `columns`: the literals of the client's own operations, by column. `kind` as in `core.plans`. `flags` of each step's
    request, where the kind has them; `lengths`: bytes of each step's reply.
    """
    first = kernel.storage.add("step", len(plan), source=NONE, take=NONE)
    wanted = bytes_wanted(plan)
    for number, step in enumerate(plan.steps):
        capability = kernel.capability(endpoints[step.role], client.row)
        row = {"capability": capability, "op": step.op, "flags": flags[number], "want": wanted[number]}
        match step.argument:
            case Literal(column):
                data = columns[column]
                row |= {"base": kernel.storage.store(data.tobytes()), "size": data.shape[1]}
            case Whole(source):
                row |= {"source": source, "take": lengths[source]}
            case Part(source, offset, length):
                row |= {"source": source, "at": offset, "take": length}
            case Computed():
                raise AssertionError("a mechanism without a program does not take such a plan")
        for name, value in row.items():
            kernel.tables.step[first + number][name] = value
    made = kernel.storage.add("plan", first=first, steps=len(plan), kind=kind, job=jobs.first)
    kernel.tables.process[client.row]["plan"] = made


def bytes_wanted(plan: Plan) -> tuple[int, ...]:
    """Return how many bytes each step's reply must have for what is taken from it."""
    wanted = [0] * len(plan)
    for step in plan.steps:
        if isinstance(step.argument, Part):
            source = step.argument.step
            wanted[source] = max(wanted[source], step.argument.offset + step.argument.length)
    return tuple(wanted)
