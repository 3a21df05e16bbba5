"""Memory that can be out: frames shared by all processes, pages of each, and how those of its next turn come in.

    kernel.memory(frames=64, fetch_ns=80_000, near=2, lead_ns=200_000)
    kernel.pages(app, 16, ahead="graft")           # its `schedule` handlers hint what it will touch
    kernel.run()
    kernel.pages(scan, 99, evict="graft")          # its `request` handlers choose which of its pages goes
    kernel.paging                                  # faults, hits, wasted page-ins

`core.paging` says what happens; without `Kernel.memory` nothing is ever out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from grafting.diagnostics import fail
from kernel_model.core import tables
from kernel_model.core.paging import PAGE_BYTES
from kernel_model.footprints import add_page_sets
from kernel_model.suggestions import meant

if TYPE_CHECKING:
    from kernel_model.handles import Process
    from kernel_model.kernel import Kernel

PS = 1000  # in a nanosecond
MOST_FRAMES: Final = 1 << 24  # 64 GiB of pages
AHEAD: Final = ("fault", "instruction", "hint", "graft")  # in the order of core.tables.BY_...
Ahead = Literal["fault", "instruction", "hint", "graft"]
EVICT: Final = ("clock", "graft")  # in the order of core.tables.BY_CLOCK, BY_ADVICE
Evict = Literal["clock", "graft"]


@dataclass(frozen=True, slots=True)
class Paging:
    """What paging did so far.

    `faults`: touches of pages that were out or on their way; `hits`: touches of pages that a hint had read; `wasted`:
    hinted pages that were evicted untouched, `unused`: that are still there so; `evicted`: frames taken from a page.
    `foretold`: turns foretold; `unforetold`: of these, handlers that could not run then. `advised`: frames given up as
    the owner's graft said; `unadvised`: as the clock chose although the owner has grafts to be asked.
    """

    faults: int
    hits: int
    wasted: int
    unused: int
    evicted: int
    foretold: int
    unforetold: int
    advised: int
    unadvised: int


def add_memory(kernel: Kernel, frames: int, fetch_ns: float, near: int, lead_ns: float) -> None:
    """See `Kernel.memory`."""
    memory = kernel.tables.memory[0]
    if memory["frames"]:
        raise fail("G0801", "the kernel has its memory already")
    if not 1 <= frames <= MOST_FRAMES or fetch_ns < 0 or near < 0 or lead_ns < 0:
        raise fail("G0801", f"no memory of {frames} frames, {fetch_ns} ns a page, {near} places, {lead_ns} ns ahead")
    memory["frames"] = memory["free"] = frames
    memory["fetch"], memory["near"], memory["lead"] = round(fetch_ns * PS), near, round(lead_ns * PS)


def add_pages(kernel: Kernel, process: Process, count: int, ahead: Ahead, instruction: int, evict: Evict) -> None:
    """See `Kernel.pages`."""
    row = kernel.tables.process[process.row]
    if ahead not in AHEAD:
        raise fail("G0801", f"pages do not come in by `{ahead}`", helps=meant(ahead, AHEAD))
    if evict not in EVICT:
        raise fail("G0801", f"pages do not go by `{evict}`", helps=meant(evict, EVICT))
    if evict == "graft" and row["endpoint"] != tables.NONE:
        raise fail("G0801", f"`{process.name}` is a server: what its grafts are asked comes from clients",
                   notes=("a process without an endpoint can be asked about its pages",))  # fmt: skip
    if row["paging"] or not 1 <= count <= MOST_FRAMES or not 0 <= instruction < count:
        raise fail("G0801", f"process `{process.name}`: {count} pages, the instruction's {instruction}",
                   notes=("a process gets its pages once; the page of its instruction is one of them",))  # fmt: skip
    if not kernel.tables.memory[0]["frames"]:
        raise fail("G0801", "a kernel without memory has no pages", helps=("kernel.memory(frames=64) comes first",))
    first = kernel.storage.add("page", count, process=process.row)
    row["paging"] = kernel.storage.add(
        "paging", first=first, count=count, instruction=instruction, lead_timer=tables.NONE,
        page_in=AHEAD.index(ahead), evicted_by=EVICT.index(evict),
    )  # fmt: skip
    if kernel.cache is not None:
        add_page_sets(kernel.storage, kernel.cache, first, count, PAGE_BYTES)
    kernel.tables.memory[0]["pages"] = kernel.storage.used["page"]


def paging_of(kernel: Kernel) -> Paging:
    """See `Kernel.paging`."""
    memory = kernel.tables.memory[0]
    pages = kernel.tables.page[: kernel.storage.used["page"]]
    unused = int(((pages["hinted"] != 0) & (pages["state"] == tables.PAGE_IN)).sum())
    names = ("faults", "hits", "wasted", "evicted", "foretold", "unforetold", "advised", "unadvised")
    return Paging(unused=unused, **{name: int(memory[name]) for name in names})
