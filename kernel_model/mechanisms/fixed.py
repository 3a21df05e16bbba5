"""Fixed mechanisms: what those have in common that compile a plan and run no program anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kernel_model.mechanisms.scenario import (
    CannotExpress,
    Scenario,
    Stage,
    add_clients,
    add_servers,
    deal,
    in_flight,
)
from kernel_model.planning import give_plan
from kernel_model.workloads.workload import Workload

if TYPE_CHECKING:
    from kernel_model.handles import Mode
    from kernel_model.kernel import Kernel


def unchanged_only(workload: Workload, why: str) -> CannotExpress | None:
    """Say why a mechanism without a program cannot do a workload: `why` is what it can do instead of computing."""
    plan = workload.plan
    if plan.computed:
        return CannotExpress(f"{why}, but the next request must be computed from the reply")
    if plan.early:
        return CannotExpress("it cannot look at a reply to see that nothing more need be asked")
    if plan.recovers:
        return CannotExpress("it cannot ask again what has failed")
    if workload.result_map:
        return CannotExpress("the answer must be computed from the replies")
    return None


def stage_plans(
    kernel: Kernel, scenario: Scenario, mode: Mode, kind: int, *, flags: Sequence[int] = (), wait: int = 1
) -> Stage:
    """Let each client write the requests of the plan, in this kind (`core.plans`), for each of its operations."""
    workload = scenario.workload
    flags = flags or (0,) * workload.steps
    lengths = [len(reply.body) if reply else 0 for reply in workload.replies(0)]
    clients, service = add_clients(kernel, workload), add_servers(kernel, workload)
    jobs = deal(kernel, scenario, clients, service, (None,) * len(clients))
    for number, (client, part) in enumerate(zip(clients, jobs, strict=True)):
        columns = [column[number :: len(clients)] for column in workload.operations.bodies]
        give_plan(kernel, client, part, workload.plan, columns, service.endpoints, kind, flags, lengths)
    return Stage(clients, service, jobs, mode, 1 if mode == "call" else in_flight(workload), wait)
