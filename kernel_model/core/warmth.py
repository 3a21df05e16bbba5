"""What is warm: whose working set is in the cache of a core, and what it costs to bring it back. KERNEL 6.

Every process, every graft and every page has a *footprint*: so many cache lines that it uses when it has its turn. When
it gets a core, what of its footprint is not in that core's cache any more is brought in, line by line, and charged to
whoever uses it (`refill_line`, category refill). Processes use theirs when the kernel returns to them, a graft its own
when a handler of it is activated, in the kernel or in user mode, a page when it is touched.

**The model** is a cache of each core's own, fully associative, in which the least recently used line is displaced, of
footprints that are used as a whole. LRU keeps a stack (Mattson, Gecsei, Slutz, Traiger: Evaluation techniques for
storage hierarchies, IBM Systems Journal 9(2), 1970): a footprint is warm as long as it and the *other* footprints used
since are together no larger than the cache; of one that stands across the edge the part above it is still warm. The
stack is the core's queue Q_WARM, what was used last in front; its lines are counted (`core.warm`) and never more than
the cache has.

    cache of 8 lines      client 2, server 3: both are warm however often they take turns, and nothing is charged
    bystander 6           brings in 6 lines; of the 5 others 3 are displaced: the client's 2 and one of the server's
    server                brings in 1, which the bystander loses; client brings in 2, which the bystander loses

**Its cost** is constant on average: what is used goes to the front; each line that is brought in displaces at most one
at the back, and a footprint falls out of the queue only after it was put in. Nothing is scanned. While caches are
hot (`config.cache_lines` is 0) nothing of this is asked.

**Where it starts.** What was just made (loaded, compiled, attached) is warm on its core. So if all footprints of a core
fit its cache, nothing is ever charged there. A page that was read by the device is cold: the device writes to memory.

**Two cores.** A footprint is warm on one core at a time: what is used on another core is cold there, as most of what a
process or a handler touches it also writes to, and what is written in one cache is invalid in all others. For code and
for what is only read this charges too much; a graft that runs on two cores in turn is the worst case of it.

**Not in it**: the kernel's own footprint (composites are measured with it hot), levels of caches (one of a core's own,
and what is behind it), bodies of messages, which whoever wrote them has just had in his cache, the misses of a thread
with itself: a footprint is never larger than the cache, and those of a thread that uses more are part of its work.
"""

from __future__ import annotations

from jit.hot import hot, rare
from kernel_model.core.billing import charge, trace
from kernel_model.core.lists import first, prepend, unlink
from kernel_model.core.prices import IN_REFILL, REFILL_LINE
from kernel_model.core.tables import NONE, Q_WARM, X_REFILL, Tables


@rare
def use(k: Tables, c: int, account: int, f: int) -> int:
    """Footprint `f` is used on core `c`: charge `account` what has to be brought in; return how many lines that is."""
    missing = bring_in(k, c, f)
    if missing > 0:
        charge(k, account, IN_REFILL, REFILL_LINE, missing)
        trace(k, X_REFILL, c, f, missing, account)
    return missing


@hot
def bring_in(k: Tables, c: int, f: int) -> int:
    """Make footprint `f` warm on core `c`, the last used of all; return how many lines of it were not."""
    footprint = k.footprint[f]
    queue = k.core[c]["queues"] + Q_WARM
    if footprint["lines"] == 0 or first(k, queue) == f:
        return 0
    if footprint["warm"] > 0 and footprint["core"] == c:
        unlink(k, queue, k.footprint, f)
    else:
        cool(k, f)
    missing = footprint["lines"] - footprint["warm"]
    footprint["core"] = c
    footprint["warm"] = footprint["lines"]
    prepend(k, queue, k.footprint, f)
    k.core[c]["warm"] += missing
    displace(k, c)
    return int(missing)


@hot
def displace(k: Tables, c: int) -> None:
    """Let the least recently used lines of core `c` go that are too many for its cache."""
    core = k.core[c]
    queue = core["queues"] + Q_WARM
    over = core["warm"] - k.config[0]["cache_lines"]
    while over > 0:
        f = k.queue[queue]["tail"]
        footprint = k.footprint[f]
        gone = min(over, footprint["warm"])
        footprint["warm"] -= gone
        core["warm"] -= gone
        over -= gone
        if footprint["warm"] == 0:
            unlink(k, queue, k.footprint, f)
            footprint["core"] = NONE


@hot
def cool(k: Tables, f: int) -> None:
    """Nothing of footprint `f` is warm from now on: it is used elsewhere, or its bytes are others."""
    footprint = k.footprint[f]
    if footprint["warm"] == 0:
        return
    core = k.core[footprint["core"]]
    unlink(k, core["queues"] + Q_WARM, k.footprint, f)
    core["warm"] -= footprint["warm"]
    footprint["warm"] = 0
    footprint["core"] = NONE
