"""`quorum`: an entry is sent to three replicas of a log, and two acknowledgements are enough (Electrode, NSDI 2023).

The entries are the names of characters, one an operation. A replica appends what it takes to its log; with `failures`
it loses that share of the entries. An operation is answered by an acknowledgement, or fails when two replicas have
failed it. After the run the logs are compared with what was sent: each holds every entry once, or, with failures, no
entry that was not sent, and no acknowledged one is in fewer than two logs.

With `servers` one, all three appends go to one log: a topology without sense, but the fair one for the rivals.

    plan   append(entry) to first, second, third at once; 2 of the 3 replies are enough
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from kernel_model.core.tables import ERROR, REPLIED
from kernel_model.serving import Append, Faults, Store
from kernel_model.workloads import texts
from kernel_model.workloads.answers import not_replied, unequal
from kernel_model.workloads.kinds import COMMON, Kind, Settings
from kernel_model.workloads.plan import Literal, Plan, Step
from kernel_model.workloads.roles import Role
from kernel_model.workloads.workload import Answer, Operations, Servers, Workload

REPLICAS = ("first", "second", "third")
QUORUM = 2
APPEND = 0
ACK = (1).to_bytes(8, "little") + (1).to_bytes(8, "little")  # term, accepted
LONGEST = 4096  # bytes of an entry


def build(settings: Settings) -> Workload:
    """Return the replication of `operations` entries."""
    settings.within("size", 8, LONGEST, "an entry of the log")
    if settings.size % 8:
        settings.refuse("size", "not a multiple of 8")
    entries = texts.lines(settings.operations, settings.size)
    shared = settings.topology.servers is Servers.ONE
    room = settings.operations * settings.size * (len(REPLICAS) if shared else 1)
    logs = [Store(bytes(room), settings.size) for _ in REPLICAS[: 1 if shared else None]]

    def check(operation: int, answer: Answer) -> str | None:
        if settings.failures and answer.outcome == ERROR:
            return unequal(answer.status, -5)
        return not_replied(answer) or unequal(answer.body, ACK)

    def final(stored: Callable[[Store], bytes], answers: Sequence[Answer]) -> str | None:
        acknowledged = [operation for operation, answer in enumerate(answers) if answer.outcome == REPLIED]
        found = [Counter(_entries(stored(log), settings.size)) for log in logs]
        return compare(entries.tobytes(), settings.size, found, acknowledged, lossless=not settings.failures)

    return Workload(
        name="quorum",
        data=texts.SOURCE,
        sample="quorum.graft",
        plan=Plan(tuple(Step(name, APPEND, Literal()) for name in REPLICAS), enough=QUORUM),
        roles=tuple(
            Role(
                name,
                {APPEND: Append(logs[0 if shared else number], ACK)},
                settings.work_ns,
                faults=Faults(failed=settings.failures),
            )
            for number, name in enumerate(REPLICAS)
        ),
        operations=Operations((entries,)),
        arrivals=settings.arrivals,
        topology=settings.topology,
        clients=settings.clients,
        vets=True,
        check=check,
        final=final,
    )


def _entries(log: bytes, size: int) -> list[bytes]:
    """Return the blocks that a log has used."""
    blocks = [log[at : at + size] for at in range(0, len(log), size)]
    return [block for block in blocks if any(block)]


def compare(
    sent: bytes, size: int, logs: list[Counter[bytes]], acknowledged: Sequence[int], *, lossless: bool
) -> str | None:
    """Return what is wrong with the replicas' logs, None if nothing is."""
    entries = [sent[at : at + size] for at in range(0, len(sent), size)]
    wanted = Counter(entries)
    together = sum(logs, Counter[bytes]())
    if any(log - (wanted if len(logs) > 1 else together) for log in logs) or set(together) - set(wanted):
        return "a log has an entry that was not sent, or twice"
    if lossless and together != Counter({entry: count * len(REPLICAS) for entry, count in wanted.items()}):
        return "an entry is not in all logs"
    needed = Counter(entries[operation] for operation in acknowledged)
    lost = [entry for entry, count in needed.items() if together[entry] < QUORUM * count]
    return f"{len(lost)} acknowledged entries are in fewer than {QUORUM} logs" if lost else None


KIND = Kind(
    "quorum",
    "send an entry to three replicas, two acknowledgements are enough",
    {**COMMON, "size": 64, "servers": "each", "failures": 0.0},
    build,
)
