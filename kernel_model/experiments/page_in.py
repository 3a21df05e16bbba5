"""Is it of use to have a thread's pages read just before it runs, and who has to say which? (KERNEL 8)

A process of three kinds of turn idles while a neighbour takes its frames; each kind touches pages of its own. Its pages
come in

    fault        when they are touched: no rival does less
    instruction  the page where it goes on, read beforehand: what a kernel can know by itself
    hint         those that it declared when it last ran: a capability to hint, no code
    graft        those that `samples/page_ahead.graft` hints when its turn is foretold

and what decides which turn comes next is the workload:

    periodic     the process itself: a timer wakes it, and the kinds take turns. A hint knows as much as a graft
    interactive  a message that comes after long and random idle times. The process is asleep and cannot know; the reply
                 hook of a graft has seen the message when the turn is foretold
    events       such messages while others of its priority are ready: there is a run queue to be near the head of

With finite caches a page that was read is cold as well: the device has written it to memory, and whoever touches it
brings it into his core's cache (`core.warmth`). Nobody who says which pages will be touched can spare him that, for the
cache is filled by the touch alone.

Latency is from the time when the thread is made ready to the end of its turn. A turn that takes longer than `deadline`
is a miss. What is hinted and not touched is waste: it took a frame from somebody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np

import grafting
import verifier
from grafting.diagnostics import fail
from jit.hot import TierName
from kernel_model.costs import Profile
from kernel_model.handles import Exponential
from kernel_model.hosting import (
    Jump,
    Script,
    Sleep,
    Think,
    Touch,
    compute,
    hint,
    receive,
    reply,
    sleep,
    submit,
    touch,
    wait,
)
from kernel_model.kernel import Kernel
from kernel_model.memory import AHEAD, Ahead, Paging
from kernel_model.results.statistics import Summary, histogram_of
from kernel_model.suggestions import meant
from kernel_model.workloads.samples import sample_path

WORKLOADS: Final = ("periodic", "interactive", "events")
KINDS: Final = 3  # of turns
SET: Final = 4  # pages that one kind of turn touches, besides that of the instruction
PAGES: Final = 1 + KINDS * SET
FRAMES: Final = 24  # the process's pages and half of its neighbour's: neither fits beside the other
HOG_PAGES: Final = 24
IDLE_NS: Final = 5_000_000
WORK_NS: Final = 20_000
READY: Final = 3  # others of its priority, in `events`


@dataclass(frozen=True, slots=True)
class Setting:
    """What is swept. Times in ns; `near` in places of a run queue; `fetch_ns` reads one page."""

    workload: str
    ahead: Ahead
    lead_ns: int = 1_000_000
    near: int = 2
    fetch_ns: int = 80_000
    deadline_ns: int = 150_000
    turns: int = 200
    seed: int = 1
    caches: Literal["hot", "finite"] = "hot"


@dataclass(frozen=True, slots=True)
class PageIn:
    """What one setting showed. `latency` in ps; of the process, per turn, `faults` and the cache lines `refilled`."""

    setting: Setting
    latency: Summary
    misses: float
    faults: float
    refilled: float
    paging: Paging

    def as_dict(self) -> dict[str, Any]:
        """Return it flat: one line of a table."""
        latency = {f"{name}_ns": round(ps / 1000, 1) for name, ps in asdict(self.latency).items() if name != "count"}
        return {**asdict(self.setting), **latency, "misses": self.misses, "faults_per_turn": self.faults,
                "refilled_per_turn": self.refilled, **asdict(self.paging)}  # fmt: skip


def page_in(setting: Setting, profile: Profile | str = "sel4-skylake", *, tier: TierName = "numba") -> PageIn:
    """Run one setting. Raises GraftError G0801 for a workload or a way that there is not."""
    if setting.workload not in WORKLOADS:
        raise fail(
            "G0801", f"there is no paging workload `{setting.workload}`", helps=meant(setting.workload, WORKLOADS)
        )
    return _Run(setting, profile, tier).result()


class _Run:
    def __init__(self, setting: Setting, profile: Profile | str, tier: TierName) -> None:
        self.setting = setting
        self.rng = np.random.default_rng(setting.seed)
        self.taken: list[int] = []
        self.faults = 0
        self.kernel = Kernel(profile, seed=setting.seed, engine=tier, caches=setting.caches)
        self.kernel.memory(frames=FRAMES, fetch_ns=setting.fetch_ns, near=setting.near, lead_ns=setting.lead_ns)
        self.keyboard = self.kernel.endpoint("keyboard")
        self.kernel.process("source", self._source, endpoint=self.keyboard, priority=8)
        self.app = self.kernel.process("app", self._app, priority=8)
        self.kernel.pages(self.app, PAGES, ahead=setting.ahead)
        hog = [Touch(page, 1) for page in range(HOG_PAGES)]
        hog_process = self.kernel.script("hog", [*hog, Think(50_000), Jump(0)], priority=2)
        self.kernel.pages(hog_process, HOG_PAGES)
        if setting.workload == "events":
            for number in range(READY):
                self.kernel.script(f"busy{number}", [Think(Exponential(40_000)), Sleep(30_000), Jump(0)], priority=8)
        self.next: Any = None
        if setting.ahead == "graft":
            program = grafting.compile_graft(sample_path("page_ahead.graft").read_text())
            graft = self.kernel.attach(verifier.verify(program), to=self.app, slots={"keyboard": self.keyboard})
            pages = self.kernel.map(graft, "pages")
            for kind in range(KINDS):
                pages[kind] = {"first": self._first(kind), "count": SET}
            self.graft = graft

    def _first(self, kind: int) -> int:
        return 1 + kind * SET

    def _app(self, kernel: Kernel, _me: Any) -> Script:
        for turn in range(self.setting.turns):
            if self.setting.workload == "periodic":
                kind = turn % KINDS
                yield from self._declare(kind)
                due = kernel.now_ps + IDLE_NS * 1000
                yield sleep(IDLE_NS)
            else:
                yield from self._declare(0 if turn == 0 else kind)  # the same again: it cannot know better
                yield submit(self.keyboard, 0, tag=turn)
                (event,) = yield wait(1)
                kind = event.body[0]
                due = int.from_bytes(event.body[8:16], "little")
            before = self._faults()
            yield touch(0, 1)
            yield touch(self._first(kind), SET)
            yield compute(WORK_NS)
            self.taken.append(kernel.now_ps - due)
            self.faults += self._faults() - before

    def _faults(self) -> int:
        return self.kernel.accounts["app"].count("page_fault")

    def _declare(self, kind: int) -> Script:
        """Say what the next turn will touch, to whom it may concern."""
        if self.setting.ahead == "hint":
            yield hint(self._first(kind), SET)
        elif self.setting.ahead == "graft" and self.setting.workload == "periodic":
            self.kernel.map(self.graft, "next")[0] = kind

    def _source(self, kernel: Kernel, _me: Any) -> Script:
        """Answer each wait after a random time with the kind of turn that it leads to."""
        yield receive()
        while True:
            yield sleep(int(self.rng.exponential(IDLE_NS)))
            kind = int(self.rng.integers(KINDS))
            yield reply(kind.to_bytes(8, "little") + kernel.now_ps.to_bytes(8, "little"))

    def result(self) -> PageIn:
        while len(self.taken) < self.setting.turns:
            self.kernel.run(self.kernel.now_ps / 1000 + IDLE_NS)
        latency = histogram_of(self.taken)
        late = sum(taken > self.setting.deadline_ns * 1000 for taken in self.taken)
        return PageIn(
            setting=self.setting,
            latency=latency.summary(),
            misses=late / self.setting.turns,
            faults=self.faults / self.setting.turns,
            refilled=self.kernel.accounts["app"].count("refill_line") / self.setting.turns,
            paging=self.kernel.paging,
        )


def settings(workloads: Sequence[str] = WORKLOADS, **fields: Any) -> list[Setting]:
    """Return these workloads with every way, the other fields as given."""
    return [Setting(workload, ahead, **fields) for workload in workloads for ahead in AHEAD]
