"""Adversaries: who would take more of the machine than he is given, and what becomes of the others.

Each is a small arrangement of processes and grafts (`samples/adversaries`, verified like any other) that asks one
question. It runs beside two who want nothing from anybody:

    urgent      priority 20: wakes every 97 us, works for 1 us; how late is it at worst?
    bystander   priority 8: computes for ever, on 40 % of each millisecond; does he get it?

The adversaries are of priority 9, above the bystander, so nothing protects him but their budgets: 40 % for those who
attack together, 10 % for servers that are active. A run lasts ten periods, and is judged by

    share       what the bystander's context used, of what it is due; GUARANTEED of it is the least
    release     the worst release latency of `urgent`: at most two sections, one under way and its own interrupt
    theorem     no context paid more for activations in any window of length W than budget x (ceil(W / period) + 1)
    books       checked after the run, as always (an `InternalError` is raised)
    live        the run comes to its end: time goes on (G0809 would be raised)

    verdict = attack(adversary("self-send")); verdict.holds
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from grafting.diagnostics import fail
from kernel_model.core.contexts import FOR_GRAFT
from kernel_model.hosting import Compute, Jump, Sleep
from kernel_model.suggestions import meant
from kernel_model.workloads.samples import sample_path

if TYPE_CHECKING:
    from jit.hot import TierName
    from kernel_model.contexts import Context
    from kernel_model.handles import Attachment, Client, Endpoint, Server
    from kernel_model.kernel import Kernel
    from verifier import Verified

PREFIX = "adversary-"
PERIOD_NS = 1_000_000
PERIODS = 10
BYSTANDER_NS, ATTACKERS_NS, SERVERS_NS = 400_000, 400_000, 100_000  # budgets in each period
POOR_NS = 20_000  # of one who can hardly pay for a request
GUARANTEED = 0.99  # of the bystander's budgets: up to two exits of each are too little to run on
URGENT_PRIORITY, ATTACKER_PRIORITY, BYSTANDER_PRIORITY = 20, 9, 8
BLOCK = np.ones(64, np.uint64).tobytes()  # one block of 512 bytes
STEPS = 200  # of an attack that acts from outside


class Arena:
    """The kernel of one attack, with the bystanders and the budgets of the others in it."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.attackers = kernel.context(ATTACKERS_NS, PERIOD_NS, "attackers")
        self.servers = kernel.context(SERVERS_NS, PERIOD_NS, "servers")
        bystander = kernel.context(BYSTANDER_NS, PERIOD_NS, "bystander")
        kernel.script("urgent", [Sleep(97_000), Compute(1_000), Jump(0)], priority=URGENT_PRIORITY)
        kernel.script("bystander", [Compute(50_000), Jump(0)], priority=BYSTANDER_PRIORITY, context=bystander)

    def client(self, name: str = "attacker", *, context: Context | None = None, room: int = 64) -> Client:
        """Return an attacker on the attackers' budget, or on one of his own."""
        return self.kernel.client(name, priority=ATTACKER_PRIORITY, context=context or self.attackers, completions=room)

    def disk(self, name: str = "disk", *, passive: bool = True, service_ns: int = 300, capacity: int = 64) -> Server:
        """Return a server of one block, passive or on the servers' budget."""
        return self.kernel.server(
            name, image=BLOCK, block=len(BLOCK), service_ns=service_ns, priority=ATTACKER_PRIORITY, capacity=capacity,
            passive=passive, context=self.servers,
        )  # fmt: skip

    def give(self, client: Client, to: Endpoint | Server, *, depth: int = 1, count: int = 2_000) -> None:
        """Let a client ask for the block, over and over."""
        self.kernel.jobs(client, slot=to, bodies=bytes(8), count=count)
        client.run("call" if depth == 1 else "submit", depth)


Between = Callable[[], None]
"""What is done from outside between two steps of a run."""


@dataclass(frozen=True, slots=True)
class Adversary:
    """One attack. `build` arranges it and returns what to do from outside in between, if anything."""

    name: str
    question: str
    build: Callable[[Arena], Between | None]


def graft(name: str) -> Verified:
    """Return a sample of `samples/adversaries`, verified. Raises GraftError if it does not verify."""
    import verifier
    from grafting import compile_graft

    path = sample_path(f"adversaries/{name}.graft")
    return verifier.verify(compile_graft(path.read_text(), filename=path.name))


# --- the attacks ------------------------------------------------------------------------------------------------------


def _to_disk(sample: str, *, depth: int = 1, every: dict[int, float] | None = None) -> Callable[[Arena], None]:
    """Return the builder of an attacker with a graft on the replies of a passive disk."""

    def build(arena: Arena) -> None:
        disk, client = arena.disk(), arena.client()
        arena.kernel.attach(graft(sample), to=client, slots={"disk": disk}, every=every)
        arena.give(client, disk, depth=depth)

    return build


def _ping_pong(arena: Arena) -> None:
    game = graft("ping_pong")
    players = [arena.disk(name, passive=False) for name in ("ping", "pong")]
    for player, other in zip(players, reversed(players), strict=True):
        arena.kernel.attach(game, to=player, slots={"other": other})
    arena.give(arena.client(), players[0], depth=16)


def _expiry(arena: Arena) -> None:
    disk = arena.disk(service_ns=100_000)
    for number in range(3):
        poor = arena.kernel.context(POOR_NS, PERIOD_NS, f"poor{number}")
        arena.give(arena.client(f"poor{number}", context=poor), disk)
    arena.give(arena.client("rich"), disk)


def _queue_flood(arena: Arena) -> None:
    disk, client = arena.disk(capacity=1024), arena.client(room=2048)
    arena.kernel.attach(graft("flood"), to=client, slots={"disk": disk})
    arena.give(client, disk, depth=64)


def _endpoint_flood(arena: Arena) -> None:
    door = arena.disk("door", passive=False)
    arena.kernel.attach(graft("busy_door"), to=door, slots={})
    for number in range(4):
        arena.give(arena.client(f"attacker{number}"), door, depth=16)


def _detach(arena: Arena) -> Between:
    disk, client, proved = arena.disk(), arena.client(), graft("self_send")
    arena.give(client, disk, depth=16)
    attached: list[Attachment] = []

    def toggle() -> None:
        if attached:
            arena.kernel.detach(attached.pop())
        else:
            attached.append(arena.kernel.attach(proved, to=client, slots={"disk": disk}))

    return toggle


ADVERSARIES: tuple[Adversary, ...] = (
    Adversary("self-send", "a graft that answers each reply with one more request", _to_disk("self_send")),
    Adversary("ping-pong", "two servers whose grafts pass a request to and fro", _ping_pong),
    Adversary("fan-out", "as many sends as an activation may make, at every hop", _to_disk("fan_out")),
    Adversary(
        "timers", "timers that arm themselves again, and periodic ones as fast as may be",
        _to_disk("rearm", depth=32, every=dict.fromkeys(range(100, 116), 10_000)),
    ),
    Adversary("nested", "loops within loops, as long as may be attached", _to_disk("nested", depth=8)),
    Adversary("expiry", "budgets that end while a passive server works on them", _expiry),
    Adversary("queue-flood", "every submission in thirty-three copies", _queue_flood),
    Adversary("endpoint-flood", "floods of an endpoint whose graft thinks long", _endpoint_flood),
    Adversary("detach", "a graft detached and attached while its messages are in flight", _detach),
)  # fmt: skip


def adversary(name: str) -> Adversary:
    """Return the adversary of that name, with or without its prefix. Raises GraftError G0859 if there is none."""
    known = {each.name: each for each in ADVERSARIES}
    short = name.removeprefix(PREFIX)
    if short not in known:
        raise fail("G0859", f"no adversary is called `{short}`", helps=meant(short, tuple(known)))
    return known[short]


# --- what became of the others ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verdict:
    """How an attack went. `share` is the bystander's, 1.0 all that is due; `graft_ns` what each context paid for
    activations, `tightest` the largest part of the theorem's bound that any of them used in any window."""

    name: str
    question: str
    share: float
    worst_release_ns: float
    release_bound_ns: float
    graft_ns: dict[str, float]
    tightest: float
    activations: int
    deferrals: int
    fallbacks: int

    @property
    def holds(self) -> bool:
        """Whether everybody got what he was guaranteed."""
        return self.share >= GUARANTEED and self.worst_release_ns <= self.release_bound_ns and self.tightest <= 1


def attack(
    which: Adversary,
    *,
    profile: str = "sel4-skylake",
    activation: Literal["eager", "deferred", "auto", "off"] = "auto",
    charge: Literal["current", "metered", "switched"] = "metered",
    seed: int = 1,
    tier: TierName = "numba",
) -> Verdict:
    """Run an attack and judge it."""
    from kernel_model.kernel import Kernel

    kernel = Kernel(profile, seed=seed, engine=tier, activation=activation, charge=charge, trace=True)
    between = which.build(Arena(kernel))
    end = PERIODS * PERIOD_NS
    for step in range(1, STEPS + 1 if between else 2):
        if between:
            between()
        kernel.run(step * end / STEPS if between else end)
    uses = kernel.contexts
    statistics = kernel.statistics
    return Verdict(
        name=which.name,
        question=which.question,
        share=uses["bystander"].total_ns / (BYSTANDER_NS * PERIODS),
        worst_release_ns=statistics.worst_release_ns,
        release_bound_ns=2 * statistics.longest_section_ns,
        graft_ns={name: use.graft_ns for name, use in uses.items()},
        tightest=max(tightest(kernel, each) for each in kernel.scheduling_contexts.values()),
        activations=kernel.totals.count("activate"),
        deferrals=statistics.deferrals,
        fallbacks=statistics.fallbacks,
    )


def graft_charges(kernel: Kernel, context: Context) -> list[tuple[int, int]]:
    """Return what a context paid for activations, from the trace: (when it began, ps), in order."""
    return sorted(
        (since, amount)
        for _, what, row, kind, amount, since in kernel.events()
        if what == "consume" and row == context.row and kind == FOR_GRAFT
    )


def tightest(kernel: Kernel, context: Context) -> float:
    """Return the largest part of the theorem's bound (`core.contexts`) that activations took in any window.

    A window is worst where it begins with one charge and ends with another, so all such windows are looked at.
    """
    return max(_windows(graft_charges(kernel, context), context), default=0.0)


def _windows(charges: list[tuple[int, int]], context: Context) -> Iterable[float]:
    budget, period = round(context.budget_ns * 1000), round(context.period_ns * 1000)
    if not charges:
        return
    begins = np.array([since for since, _ in charges])
    ends = begins + np.array([amount for _, amount in charges])
    paid = np.concatenate([[0], np.cumsum(ends - begins)])
    for first, begin in enumerate(begins):
        window = ends[first:] - begin
        total = paid[first + 1 :] - paid[first]
        yield float((total / (budget * (-(-window // period) + 1))).max())
