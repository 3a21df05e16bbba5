"""`pipelined-server`: promise pipelining where the answering server keeps the table of answers (`core.pipelines`).

The client sends all calls of an operation in one message; where a call needs the answer of an earlier one it names it,
and the server, which has just given it, puts it in. One round trip whatever the number of calls, as with the logic in
the server, but without any logic: answers, or fixed parts of them, are passed on as they are.

    one server      client --call(batch)-->  server: answer, answer, ..., answer  --reply-->  client

Cap'n Proto has it between two vats: four dependent calls in one round trip. Across servers the table is nowhere.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kernel_model.core.pipelines import ALIGNMENT, LITERAL, WHOLE
from kernel_model.mechanisms.counts import Counts, Prediction
from kernel_model.mechanisms.equality import WORK_ONLY
from kernel_model.mechanisms.fixed import unchanged_only
from kernel_model.mechanisms.predictions import is_chain, whole
from kernel_model.mechanisms.scenario import CannotExpress, Mechanism, Scenario, Stage, add_clients, add_servers, deal
from kernel_model.workloads.plan import Computed, Literal, Part, Step, Whole
from kernel_model.workloads.workload import Operations, Servers, Workload

if TYPE_CHECKING:
    from kernel_model.kernel import Kernel


def express(workload: Workload) -> CannotExpress | None:
    """A chain of calls of one server."""
    if workload.topology.servers is not Servers.ONE and workload.processes > 1:
        return CannotExpress("the answers are with different servers, so none has the table")
    if not is_chain(workload.plan):
        return CannotExpress("a batch is answered with its last answer, so that must be what the others are for")
    return unchanged_only(workload, "a promise stands for an answer as it is")


def predict(workload: Workload) -> Prediction:
    """One round trip."""
    return whole(workload, Counts(crossings=2, switches=2, wake_ups=1, submissions=1), across=2)


def build(kernel: Kernel, scenario: Scenario) -> Stage:
    """The clients call with batches, and the server knows what these are."""
    workload = scenario.workload
    clients, service = add_clients(kernel, workload), add_servers(kernel, workload)
    for server in service.servers:
        kernel.keep_answers(server, workload.steps)
    batches = replace(workload, operations=Operations((batches_of(workload),), None))
    jobs = deal(kernel, replace(scenario, workload=batches), clients, service, (None,) * len(clients))
    return Stage(clients, service, jobs)


def batches_of(workload: Workload) -> NDArray[np.uint8]:
    """Return the batch of every operation, as `core.pipelines` reads it."""
    n = len(workload.operations)
    parts: list[NDArray[np.uint8]] = []
    for step in workload.plan.steps:
        head, literal = _entry(step, workload.operations)
        parts.append(np.broadcast_to(np.frombuffer(np.array(head, "<u4").tobytes(), np.uint8), (n, 16)))
        if literal is not None:
            padding = -literal.shape[1] % ALIGNMENT
            parts.append(np.pad(literal, ((0, 0), (0, padding))))
    return np.concatenate(parts, axis=1)


def _entry(step: Step, operations: Operations) -> tuple[tuple[int, int, int, int], NDArray[np.uint8] | None]:
    match step.argument:
        case Literal(column):
            data = operations.bodies[column]
            return (step.op, LITERAL, 0, data.shape[1]), data
        case Whole(source):
            return (step.op, source, 0, WHOLE), None
        case Part(source, offset, length):
            return (step.op, source, offset, length), None
        case Computed():
            raise AssertionError("a promise computes nothing")


MECHANISM = Mechanism(
    "pipelined-server", "one message has all calls; the server passes answers on", predict, build, WORK_ONLY, express
)
