"""Plans in a snapshot: what a client without a program writes for each of its jobs, as steps and literals.

A plan is plain state (`core.plans`): which capability, operation and argument each step has, and for a literal the
bytes for each job of the client, in the order of the jobs. What was written for a job is in flight as ordinary
requests, wires and legs, and saved as such. Chains are not: their entries would have to be saved as well.

    {"kind": "wires", "steps": [["0", 7, 8, null, 0, null, "2a00.."], ["1", 7, 0, 0, 0, 8, ""]]}
      capability, operation, bytes of a literal, or else source, at, take; then the literals in hex
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from grafting import limits
from grafting.diagnostics import fail
from kernel_model.core import tables
from kernel_model.core.tables import NONE
from kernel_model.persistence.snapshot import Made

if TYPE_CHECKING:
    from kernel_model.kernel import Kernel

KINDS: Final = {tables.PLAN_WIRES: "wires", tables.PLAN_ROUTE: "route"}
MOST_STEPS: Final = 64
LONGEST: Final = 1 << 32  # bytes into a reply; no reply is so long


def why_not(kernel: Kernel, process: int) -> str | None:
    """Return why the plan of a client cannot be saved, None if it can or there is none."""
    number = int(kernel.tables.process[process]["plan"])
    if number == NONE:
        return None
    plan, jobs = kernel.tables.plan[number], _jobs(kernel, process)
    if int(plan["kind"]) not in KINDS:
        return "it works on linked requests"
    if plan["steps"] > MOST_STEPS:
        return f"its plan has more than {MOST_STEPS} steps"
    return "it has jobs from before its plan" if len(jobs) and jobs[0] < plan["job"] else None


def describe(kernel: Kernel, process: int, capability_name: Callable[[int], str | None]) -> dict[str, Any] | None:
    """Return the plan of a client under names, None if it has none."""
    k, number = kernel.tables, int(kernel.tables.process[process]["plan"])
    if number == NONE:
        return None
    plan = k.plan[number]
    first, turns = int(plan["first"]), _jobs(kernel, process) - int(plan["job"])
    steps = []
    for step in k.step[first : first + int(plan["steps"])]:
        base, size = int(step["base"]), int(step["size"])
        literals = [k.arena[base + int(turn) * size :][:size].tobytes() for turn in turns]
        steps.append([
            capability_name(int(step["capability"])), int(step["op"]), size, _or_none(step["source"]), int(step["at"]),
            _or_none(step["take"]), b"".join(literals).hex(),
        ])  # fmt: skip
    return {"kind": KINDS[int(plan["kind"])], "steps": steps}


def give(kernel: Kernel, process: int, part: Made, capabilities: Mapping[str, int]) -> None:
    """Let a client go on with its plan, if it has one. Raises GraftError G0872."""
    plan = part.arguments.get("plan")
    if plan is None:
        return
    try:
        _give(kernel, process, plan, capabilities)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, StopIteration) as error:
        raise fail("G0872", f"`{part.name}` has a plan such as there are none: {error!r}") from error


def _give(kernel: Kernel, process: int, plan: Mapping[str, Any], capabilities: Mapping[str, int]) -> None:
    kind = next(number for number, name in KINDS.items() if name == plan["kind"])
    steps, jobs = plan["steps"], _jobs(kernel, process)
    if not 1 <= len(steps) <= MOST_STEPS:
        raise ValueError(f"{len(steps)} steps")
    rows = [_row(kernel, number, step, len(jobs), capabilities) for number, step in enumerate(steps)]
    first = kernel.storage.add("step", len(rows))
    for number, row in enumerate(rows):
        for name, value in row.items():
            kernel.tables.step[first + number][name] = value
    job = int(jobs[0]) if len(jobs) else 0
    kernel.tables.process[process]["plan"] = kernel.storage.add(
        "plan", first=first, steps=len(rows), kind=kind, job=job
    )


def _row(kernel: Kernel, number: int, step: list[Any], jobs: int, capabilities: Mapping[str, int]) -> dict[str, int]:
    """Return the fields of one step; what it takes comes from an earlier one."""
    name, op, size, source, at, take, literals = step
    data = bytes.fromhex(literals)
    if not 0 <= size <= limits.BODY_BYTES or len(data) != size * jobs:
        raise ValueError(f"{len(data)} bytes for {jobs} jobs")
    if source is None and take is not None:
        raise ValueError("it takes bytes from nowhere")
    if source is not None and not (0 <= source < number and size == 0 and 0 <= take <= limits.BODY_BYTES):
        raise ValueError("it takes bytes that no earlier step has")
    if not 0 <= at < LONGEST or not 0 <= op < LONGEST:
        raise ValueError("no such place or operation")
    kernel.storage.grow()
    return {
        "capability": capabilities[name], "op": op, "base": kernel.storage.store(data), "size": size,
        "source": NONE if source is None else source, "at": at, "take": NONE if take is None else take,
    }  # fmt: skip


def _jobs(kernel: Kernel, process: int) -> Any:
    return np.flatnonzero(kernel.tables.job["owner"][: kernel.storage.used["job"]] == process)


def _or_none(number: Any) -> int | None:
    return None if number == NONE else int(number)
