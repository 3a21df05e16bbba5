"""Footprints: how many cache lines a process or a graft uses when it has its turn. `core.warmth` says what that costs.

Of a process it is its *working set*: the profile's, or what is said of it.

    kernel = Kernel("sel4-skylake", caches="finite")       # a core's own cache, as large as the profile says
    hog = kernel.script("hog", [Compute(1_000_000), Jump(0)], priority=2)
    kernel.working_set(hog, 1 << 20)                       # whenever it has run, all others are cold

Of a graft it follows from the verified object, and is what *one activation* of its largest handler may touch:

    code    every instruction of the handler once: a record of 16 bytes in the interpreter, 8 bytes as machine code
    stack   the deepest use of its frames that was proved, and the record of the event
    data    the global data that it names, whole
    maps    for each map operation that it may do, at most: of a hash map the tags of two buckets and a key of each, and
            one value; of an array one value. Of all maps together never more than their bytes

So a map of a megabyte of which a handler looks up two entries costs it some lines, not a megabyte. The bound that
admission goes by holds a refill of all of that (`refill_ps`), since any activation may be the first after a pause: the
bound of a graft in a kernel with finite caches is higher than in one with hot caches, by its footprint times the
profile's worst price of a line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from grafting import limits
from grafting.diagnostics import fail
from grafting.isa import LoadMap, LoadMapValue
from grafting.program import Handler, MapKind, MapSpec
from jit.maps import BUCKET, describe
from kernel_model.core import prices, warmth
from kernel_model.costs import Cache

if TYPE_CHECKING:
    from grafting.costs import CostVector
    from kernel_model.core.storage import Storage
    from kernel_model.groups import Clients
    from kernel_model.handles import Process
    from kernel_model.kernel import Kernel
    from verifier import Verified

SLOT_BYTES: Final = {"interpreted": 16, "native": 8}  # of code, for each 8 bytes of bytecode
CHOICES: Final = 2  # buckets in which a key can be
ALIGNED: Final = 8  # bytes: where keys and values begin


def refill_ps(lines: int, worst: Any) -> int:
    """Return the longest time, ps, that bringing in a footprint takes at the profile's worst prices."""
    return lines * int(worst[prices.REFILL_LINE])


def graft_lines(verified: Verified, engine: str, cache: Cache) -> int:
    """Return the footprint of a graft: the lines that one activation of its largest handler may touch."""
    program = verified.program
    return max(
        (
            handler_lines(handler, program.maps, verified.handlers[handler.name].bounds, engine, cache)
            for handler in program.handlers
        ),
        default=0,
    )


def handler_lines(handler: Handler, maps: tuple[MapSpec, ...], bounds: CostVector, engine: str, cache: Cache) -> int:
    """Return the lines that one activation of a handler within its bounds may touch, at most those of the cache."""
    operations = handler.operations.values()
    data = {op.index for op in operations if isinstance(op, LoadMapValue)}
    used = {op.index for op in operations if isinstance(op, LoadMap)} - data
    dearest = max((_lines_of_operation(maps[number], cache) for number in used), default=0)
    all_of_them = sum(cache.lines_of(describe(maps[number], 0)[1]) for number in used)
    lines = cache.lines_of(len(handler.instructions) * SLOT_BYTES[engine])
    lines += cache.lines_of(bounds.stack_bytes) + cache.lines_of(limits.CONTEXT_BYTES)
    lines += sum(cache.lines_of(maps[number].value_size) for number in data)
    lines += min(bounds.map_operations * dearest, all_of_them)
    return min(lines, cache.lines)


def _lines_of_operation(spec: MapSpec, cache: Cache) -> int:
    value = _across(spec.value_size, cache)
    if spec.kind is MapKind.ARRAY:
        return value
    return CHOICES * (_across(BUCKET, cache) + _across(spec.key_size, cache)) + value


def _across(size: int, cache: Cache) -> int:
    """Return in how many lines `size` bytes can lie that begin anywhere at a multiple of `ALIGNED`."""
    return cache.lines_of(size + cache.line - min(ALIGNED, cache.line)) if size else 0


# --- in a kernel ------------------------------------------------------------------------------------------------------


def chosen(caches: str | Cache, of_profile: Cache | None) -> Cache | None:
    """Return the cache of each core that `caches` asks for: None for "hot", `of_profile` for "finite", or that itself.

    Raises GraftError G0801 for what cannot be one.
    """
    if caches == "hot":
        return None
    cache = of_profile if caches == "finite" else caches
    if cache is None:
        raise fail("G0801", "prices say nothing of a cache", helps=("caches=costs.Cache(262_144)",))
    if isinstance(cache, str):
        raise fail("G0801", f"caches are `hot` or `finite`, not `{cache}`")
    if cache.line < 1 or cache.size < cache.line or cache.working_set < 0:
        raise fail("G0801", f"no cache of {cache.size} bytes in lines of {cache.line}, no set of {cache.working_set}")
    return cache


def add_working_sets(storage: Storage, cache: Cache, first: int, count: int) -> None:
    """Give `count` processes, just made, whose rows follow one another, a working set each."""
    rows = storage.add_footprints(count, 0)
    storage.tables.process["footprint"][first : first + count] = range(rows, rows + count)
    resize(storage, cache, first, count, cache.working_set)


def resize(storage: Storage, cache: Cache, first: int, count: int, size: int) -> None:
    """Let `count` equal processes have working sets of `size` bytes, all of them warm, or the last that fit."""
    k, lines = storage.tables, cache.lines_of(size)
    rows, core = k.process["footprint"][first : first + count], int(k.process[first]["core"])
    for row in rows[k.footprint["warm"][rows] > 0]:
        warmth.cool(k, int(row))
    k.footprint["lines"][rows] = lines
    for row in rows[-cache.lines // lines :] if lines else ():
        warmth.bring_in(k, core, int(row))


def set_working_set(storage: Storage, cache: Cache | None, who: Process | Clients, size: int) -> None:
    """See `Kernel.working_set`."""
    if size < 0:
        raise fail("G0801", f"`{who.name}`: a working set of {size} bytes")
    if cache is not None:
        resize(storage, cache, who.row, getattr(who, "count", 1), size)


def working_set_of(kernel: Kernel, process: int) -> int | None:
    """Return the working set of a process in whole lines, bytes; None where caches are hot."""
    if kernel.cache is None:
        return None
    return int(kernel.tables.footprint[kernel.tables.process[process]["footprint"]]["lines"]) * kernel.cache.line


def install(storage: Storage, graft: int, lines: int) -> None:
    """Let the graft in a row have a footprint of so many lines, warm on its process's core: it has just been loaded."""
    row = int(storage.tables.graft[graft]["footprint"]) or storage.add_footprints(1, 0)
    k = storage.tables
    k.graft[graft]["footprint"] = row
    warmth.cool(k, row)
    k.footprint[row]["lines"] = lines
    warmth.bring_in(k, int(k.process[k.graft[graft]["process"]]["core"]), row)


def add_page_sets(storage: Storage, cache: Cache, first: int, count: int, page_bytes: int) -> None:
    """Give pages, all out, a footprint each: whoever touches a page uses all of it."""
    rows = storage.add_footprints(count, cache.lines_of(page_bytes))
    storage.tables.page["footprint"][first : first + count] = range(rows, rows + count)
