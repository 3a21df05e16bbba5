"""The fixed mechanisms that the grafts of `samples/queues` replace, each as a small model that is obviously right.

A reference knows nothing of grafts or of the kernel model. Time passes in `World`, requests are served by `Station`s,
and everything but service is free. Each takes a list of entries and gives, for each tag, how and when it ended.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

ECANCELED, ETIME, EIO, ECONNREFUSED, EPIPE = -125, -62, -5, -111, -32


@dataclass(frozen=True, slots=True)
class Entry:
    """One submission: to `station`, where it takes `work` ns and ends with `status`. `at` is its batch, in ns.

    Only some references look at the other fields. `short`: the reply is shorter than what was asked for.
    """

    tag: int
    station: str
    work: int
    status: int = 0
    at: int = 0
    short: bool = False
    link: bool = False
    hard: bool = False
    guard: int | None = None  # it is a LINK_TIMEOUT of so many ns
    drain: bool = False
    size: int = 8  # of the body, in bytes
    faults: frozenset[str] = frozenset()  # replicas at which it fails


@dataclass(frozen=True, slots=True)
class End:
    """How an operation ended, and when, in ns."""

    status: int
    at: int


class World:
    """A clock and what is to happen; what is due at the same time happens in the order in which it was said."""

    def __init__(self) -> None:
        self.now = 0
        self._order = 0
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self.ends: dict[int, End] = {}

    def after(self, ns: int, what: Callable[[], None]) -> None:
        """Let something happen in so many ns."""
        self._order += 1
        heapq.heappush(self._due, (self.now + ns, self._order, what))

    def end(self, tag: int, status: int) -> None:
        """An operation ends now; what has ended ends no more."""
        assert tag not in self.ends, tag
        self.ends[tag] = End(status, self.now)

    def run(self) -> dict[int, End]:
        """Let everything happen and return the ends."""
        while self._due:
            self.now, _, what = heapq.heappop(self._due)
            what()
        return self.ends


@dataclass(slots=True)
class Job:
    """A request at a station; `done` is called with its status. `gone`: withdrawn."""

    work: int
    status: int
    done: Callable[[int], None]
    gone: bool = False


@dataclass(slots=True)
class Station:
    """A server with so many threads, each with one request at a time; first come, first served."""

    world: World
    threads: int = 1
    queue: deque[Job] = field(default_factory=deque)
    busy: int = 0

    def take(self, job: Job) -> None:
        """A request arrives."""
        self.queue.append(job)
        self._serve()

    def withdraw(self, job: Job) -> None:
        """Forget a request; if it is being served, its reply is dropped."""
        job.gone = True
        if job in self.queue:
            self.queue.remove(job)

    def _serve(self) -> None:
        if self.queue and self.busy < self.threads:
            job = self.queue.popleft()
            self.busy += 1
            self.world.after(job.work, lambda: self._finish(job))

    def _finish(self, job: Job) -> None:
        self.busy -= 1
        if not job.gone:
            job.done(job.status)
        self._serve()


class Stations(dict[str, Station]):
    """The stations of a world, by name, made when they are first named."""

    def __init__(self, world: World, threads: int = 1) -> None:
        super().__init__()
        self.world = world
        self.threads = threads

    def __missing__(self, name: str) -> Station:
        return self.setdefault(name, Station(self.world, self.threads))


def batches(entries: Iterable[Entry]) -> dict[int, list[Entry]]:
    """Return the entries of each submission, by its time."""
    found: dict[int, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry.at, []).append(entry)
    return found


# --- queue depth ------------------------------------------------------------------------------------------------------


def limited(entries: Sequence[Entry], depth: int, threads: int) -> dict[int, End]:
    """At most `depth` operations are under way at once, whatever their stations; the others wait in order."""
    world = World()
    stations = Stations(world, threads)
    waiting: deque[Entry] = deque()
    running = 0

    def start() -> None:
        nonlocal running
        while waiting and running < depth:
            entry = waiting.popleft()
            running += 1
            stations[entry.station].take(Job(entry.work, entry.status, lambda s, e=entry: done(e, s)))  # type: ignore[misc]

    def done(entry: Entry, status: int) -> None:
        nonlocal running
        running -= 1
        world.end(entry.tag, status)
        start()

    def submit(entry: Entry) -> None:
        waiting.append(entry)
        start()

    for entry in entries:
        world.after(entry.at, lambda e=entry: submit(e))  # type: ignore[misc]
    return world.run()


# --- IOSQE_IO_DRAIN ---------------------------------------------------------------------------------------------------


def drained(entries: Sequence[Entry], threads: int) -> dict[int, End]:
    """io_uring_enter(2): an entry with `drain` starts when all before it have ended, later ones when it has ended."""
    world = World()
    stations = Stations(world, threads)
    submitted: list[Entry] = []
    started: set[int] = set()

    def may_start(number: int) -> bool:
        before = submitted[:number]
        if submitted[number].drain and not all(entry.tag in world.ends for entry in before):
            return False
        return all(entry.tag in world.ends for entry in before if entry.drain)

    def start() -> None:
        for number, entry in enumerate(submitted):
            if number not in started and may_start(number):
                started.add(number)
                stations[entry.station].take(Job(entry.work, entry.status, lambda s, e=entry: done(e, s)))  # type: ignore[misc]

    def done(entry: Entry, status: int) -> None:
        world.end(entry.tag, status)
        start()

    def submit(entry: Entry) -> None:
        submitted.append(entry)
        start()

    for entry in entries:
        world.after(entry.at, lambda e=entry: submit(e))  # type: ignore[misc]
    return world.run()


# --- LINK, HARDLINK, LINK_TIMEOUT -------------------------------------------------------------------------------------


@dataclass(slots=True)
class Member:
    """An entry of a chain and its guard."""

    entry: Entry
    guard: Entry | None = None


def chains(batch: Sequence[Entry]) -> list[list[Member]]:
    """Cut a submission into chains: each ends at the first entry without a flag, or with the submission."""
    found: list[list[Member]] = [[]]
    for entry in batch:
        if entry.guard is not None:
            found[-1][-1].guard = entry
        else:
            found[-1].append(Member(entry))
        if not (entry.link or entry.hard):
            found.append([])
    return [chain for chain in found if chain]


def linked(entries: Sequence[Entry], threads: int = 1, *, dead: frozenset[str] = frozenset()) -> dict[int, End]:
    """io_uring_enter(2): chains run one entry after another. Stations in `dead` cannot be submitted to.

    An error or short transfer severs the chain unless the entry is hard-linked; the rest ends with -ECANCELED. An entry
    that cannot be submitted ends so, and all others of its chain with -ECANCELED. A guard that expires cancels what it
    guards and ends with -ETIME; otherwise it ends with -ECANCELED.
    """
    world = World()
    stations = Stations(world, threads)

    def begin(chain: list[Member]) -> None:
        refused = [member for member in chain if member.entry.station in dead]
        if not refused:
            start(chain)
            return
        for member in chain:
            world.end(member.entry.tag, ECONNREFUSED if member in refused else ECANCELED)
            if member.guard:
                world.end(member.guard.tag, ECANCELED)

    def start(chain: list[Member]) -> None:
        if not chain:
            return
        member = chain[0]
        entry = member.entry
        job = Job(entry.work, entry.status, lambda status: ended(chain, status))
        if member.guard is not None:
            assert member.guard.guard is not None
            world.after(member.guard.guard, lambda: expire(chain, job))
        stations[entry.station].take(job)

    def expire(chain: list[Member], job: Job) -> None:
        if chain[0].entry.tag not in world.ends:
            stations[chain[0].entry.station].withdraw(job)
            ended(chain, ECANCELED, ETIME)

    def ended(chain: list[Member], status: int, guards: int = ECANCELED) -> None:
        member, *rest = chain
        world.end(member.entry.tag, status)
        if member.guard:
            world.end(member.guard.tag, guards)
        if (status or member.entry.short) and not member.entry.hard:
            for other in rest:
                world.end(other.entry.tag, ECANCELED)
                if other.guard:
                    world.end(other.guard.tag, ECANCELED)
        else:
            start(rest)

    for at, batch in batches(entries).items():
        for chain in chains(batch):
            world.after(at, lambda c=chain: begin(c))  # type: ignore[misc]
    return world.run()


# --- order of an endpoint ---------------------------------------------------------------------------------------------


def ordered(entries: Sequence[Entry], depth: int) -> dict[int, End]:
    """At most `depth` operations are under way; of those that wait the one with the least tag is next."""
    world = World()
    stations = Stations(world)
    waiting: list[tuple[int, Entry]] = []
    running = 0

    def start() -> None:
        nonlocal running
        while waiting and running < depth:
            _, entry = heapq.heappop(waiting)
            running += 1
            stations[entry.station].take(Job(entry.work, entry.status, lambda s, e=entry: done(e, s)))  # type: ignore[misc]

    def done(entry: Entry, status: int) -> None:
        nonlocal running
        running -= 1
        world.end(entry.tag, status)
        start()

    def submit(entry: Entry) -> None:
        heapq.heappush(waiting, (entry.tag, entry))
        start()

    for entry in entries:
        world.after(entry.at, lambda e=entry: submit(e))  # type: ignore[misc]
    return world.run()


# --- token bucket -----------------------------------------------------------------------------------------------------


def shaped(entries: Sequence[Entry], ns_per_byte: int, burst: int) -> dict[int, End]:
    """RFC 2697, committed bucket only: a token a byte, one every `ns_per_byte`, at most `burst`; who lacks them waits.

    What is longer than the bucket is refused.
    """
    world = World()
    stations = Stations(world)
    tokens, then = Fraction(burst), Fraction(0)
    for entry in entries:
        if entry.size > burst:
            world.after(entry.at, lambda e=entry: world.end(e.tag, ECONNREFUSED))  # type: ignore[misc]
            continue
        now = max(Fraction(entry.at), then)
        tokens = min(Fraction(burst), tokens + (now - then) / ns_per_byte)
        lacking = max(Fraction(0), entry.size - tokens)
        tokens, then = tokens + lacking - entry.size, now + lacking * ns_per_byte
        assert then.denominator == 1
        job = Job(entry.work, entry.status, lambda s, e=entry: world.end(e.tag, s))  # type: ignore[misc]
        world.after(int(then), lambda e=entry, j=job: stations[e.station].take(j))  # type: ignore[misc]
    return world.run()


# --- several servers --------------------------------------------------------------------------------------------------


def least_connections(entries: Sequence[Entry], replicas: Sequence[str]) -> tuple[dict[int, End], dict[str, int]]:
    """Each operation goes to the replica with the fewest in hand, the first of equals; also how many each got."""
    world = World()
    stations = Stations(world)
    inside = dict.fromkeys(replicas, 0)
    got = dict.fromkeys(replicas, 0)

    def submit(entry: Entry) -> None:
        chosen = min(replicas, key=lambda name: inside[name])
        inside[chosen] += 1
        got[chosen] += 1
        stations[chosen].take(Job(entry.work, entry.status, lambda s: done(entry, chosen, s)))

    def done(entry: Entry, where: str, status: int) -> None:
        inside[where] -= 1
        world.end(entry.tag, status)

    for entry in entries:
        world.after(entry.at, lambda e=entry: submit(e))  # type: ignore[misc]
    return world.run(), got


def mirrored(entries: Sequence[Entry], replicas: Mapping[str, int]) -> dict[int, End]:
    """A write goes to all replicas, each so many times slower; it ends with the last of them, or the first error."""
    world = World()
    stations = Stations(world)

    def submit(entry: Entry) -> None:
        left = set(replicas)

        def done(where: str, status: int) -> None:
            left.discard(where)
            if entry.tag not in world.ends and (status or not left):
                world.end(entry.tag, status)

        for name, slower in replicas.items():
            status = EIO if entry.status or name in entry.faults else 0
            stations[name].take(Job(entry.work * slower, status, lambda s, n=name: done(n, s)))  # type: ignore[misc]

    for entry in entries:
        world.after(entry.at, lambda e=entry: submit(e))  # type: ignore[misc]
    return world.run()


# --- completions ------------------------------------------------------------------------------------------------------


def coalesced(entries: Sequence[Entry], wanted: int, longest: int) -> list[tuple[int, frozenset[tuple[int, int]]]]:
    """Return the wake-ups of a client: when, and the (tag, status) that it then finds.

    It wakes when `wanted` completions are there, or when the first of them has been there for `longest` ns.
    """
    world = World()
    stations = Stations(world)
    there: list[tuple[int, int]] = []
    wake_ups: list[tuple[int, frozenset[tuple[int, int]]]] = []

    def wake() -> None:
        wake_ups.append((world.now, frozenset(there)))
        there.clear()

    def done(entry: Entry, status: int) -> None:
        there.append((entry.tag, status))
        group = len(wake_ups)
        if len(there) == wanted:
            wake()
        elif len(there) == 1:
            world.after(longest, lambda: wake() if len(wake_ups) == group else None)

    for entry in entries:
        job = Job(entry.work, entry.status, lambda s, e=entry: done(e, s))  # type: ignore[misc]
        world.after(entry.at, lambda e=entry, j=job: stations[e.station].take(j))  # type: ignore[misc]
    world.run()
    return wake_ups


# --- promises ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wish:
    """A read at `at` ns of `index`, or of word number `word` of what the wish `source` brings."""

    tag: int
    at: int
    index: int = 0
    source: int | None = None
    word: int = 0


def pipelined(wishes: Sequence[Wish], read: Callable[[int], tuple[int, int, Sequence[int]]]) -> dict[int, End]:
    """A wish starts when its source has replied; if that ended otherwise it is broken, and so on.

    `read` gives, for an index, the work of the server in ns, the status, and the words of the reply.
    """
    world = World()
    disk = Station(world)
    words: dict[int, Sequence[int]] = {}
    waiting: dict[int, list[Wish]] = {}

    def submit(wish: Wish) -> None:
        if wish.source is not None and wish.source not in world.ends:
            waiting.setdefault(wish.source, []).append(wish)
        else:
            start(wish)

    def start(wish: Wish) -> None:
        index = wish.index
        if wish.source is not None:
            if world.ends[wish.source].status:
                ended(wish, EPIPE)
                return
            index = words[wish.source][wish.word]
        work, status, words[wish.tag] = read(index)
        disk.take(Job(work, status, lambda s: ended(wish, s)))

    def ended(wish: Wish, status: int) -> None:
        world.end(wish.tag, status)
        for other in waiting.pop(wish.tag, []):
            start(other)

    for wish in wishes:
        world.after(wish.at, lambda w=wish: submit(w))  # type: ignore[misc]
    return world.run()


# --- paging -----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Window:
    """What Linux remembers of a stream: the run of pages read ahead, [begin, start + size), and where to go on."""

    last: int = -2
    begin: int = 0
    start: int = 0
    size: int = 0
    mark: int = -1


def read_ahead(window: Window, page: int, most: int = 32) -> tuple[int, int] | None:
    """On-demand read-ahead: return (first page, pages) of what a read of `page` makes the kernel read, or None.

    Wu, Xi and Xu 2007. A page that was read ahead is a hit and starts nothing, unless it is the marked one.
    """
    sequential = page in (0, window.last + 1)
    window.last = page
    if window.size and page in (window.mark, window.start + window.size):
        window.start += window.size
        window.size = min(most, window.size * (4 if window.size < most / 16 else 2))
        window.mark = window.start
        return window.start, window.size
    if sequential and not window.begin <= page < window.start + window.size:
        window.begin = window.start = page
        window.size, window.mark = 4, page + 1
        return page + 1, 3
    return None


def victim(pages: Sequence[int], used: Sequence[int], use: Callable[[int], str]) -> int | None:
    """Of the pages of scans the most recently used; else, of those not to be kept, the least recently used."""
    offered = [(when, page) for when, page in zip(used, pages, strict=True)]
    scanned = [pair for pair in offered if use(pair[1]) == "scanned"]
    mixed = [pair for pair in offered if use(pair[1]) == "mixed"]
    if scanned:
        return max(scanned)[1]
    return min(mixed)[1] if mixed else None


def faults(trace: Sequence[int], frames: int, choose: Callable[[Mapping[int, int]], int]) -> int:
    """Count the faults of a cache; `choose` names a victim, given when each page was used last."""
    resident: dict[int, int] = {}
    count = 0
    for now, page in enumerate(trace, 1):
        if page not in resident:
            count += 1
            if len(resident) == frames:
                del resident[choose(resident)]
        resident[page] = now
    return count


def optimal_faults(trace: Sequence[int], frames: int) -> int:
    """Belady's algorithm (IBM Systems Journal 1966): give the page that is used last in future."""
    resident: set[int] = set()
    count = 0
    for now, page in enumerate(trace):
        if page in resident:
            continue
        count += 1
        if len(resident) == frames:
            future = trace[now + 1 :]
            resident.remove(max(resident, key=lambda p: future.index(p) if p in future else len(trace)))
        resident.add(page)
    return count
