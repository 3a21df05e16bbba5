"""The kernel's whole state: record arrays of int64, and nothing else.

`Tables` (always called `k`) is a named tuple of tables. A row of a table is a kernel object, its index is its name,
-1 is "none". A record view `request = k.request[r]; request["tag"] = 7` writes through, in plain Python and in
compiled code alike, so one source serves both. Links (`next`, `prev`) make the queues; a row is in one queue at a
time. Message bodies and map storage are windows of one byte array, the arena: a body is (offset, length, room), where
room is the size of the block that the row owns, 0 for a body that it only refers to (a block of a disk image is never
copied).

Who owns what, and what may be in flight:

    process   -> its completion queue: `cq_posted` wait there, `cq_reserved` are promised to operations in flight,
                 `cq_behind` more are in the kernel's memory until there is room (`outcomes.post_further`)
    operation -> `outstanding`: its requests, timers and reservations that have not ended
    request   -> one message to one endpoint; ends in exactly one `Outcome`
    endpoint  -> `queued` requests and `reserved` places; queued + reserved <= capacity + waiting receivers, but that a
                 reserved place stays when the receiver that it counted on dies or is given a call meanwhile

Time is int64 picoseconds (106 days). Tables grow between events, never during one: `simulate.advance` returns GROW
while `POOL_RESERVE` rows of a pool are still free, so no event is ever refused for want of the model's own memory; the
kernel's *semantic* limits (capacity of endpoints, completion queues, quotas) are fields of the objects.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

NONE: Final = -1
NEVER: Final = (1 << 62) - 1  # ps: a time that does not come
PRIORITIES: Final = 32  # 0 is the lowest; a core's ready levels fit one word
POOL_RESERVE: Final = 512  # rows of each pool free before any event: more than a section's activations take
ARENA_RESERVE: Final = 8 << 20  # bytes free before any event: as many as a section's activations take, and one more
SECTION_STEPS: Final = 192  # after so many no further activation is eager in a section; one more has 64 sends at most


def _record(names: str) -> np.dtype[Any]:
    return np.dtype([(name, np.int64) for name in names.split()])


# --- one record for each kind of object -------------------------------------------------------------------------------
# `queues` is the first of an object's rows in the table of queues; Q_... below say which follows which.

METER = _record(
    # the clock; ps charged in the section or user burst being computed; the core that computes it, its thread
    "now section core process "
    # next sequence number (timers, operations); the cores of which this section has used objects, a bit for each
    "serial touched "
    # the thread that an operation of this section hands the core to, if it is the one to run next
    "direct "
    # worst-case ps of the activations of this section so far; how many they were, with their sends (`pools.count_step`)
    "eager_used steps "
    # the event that a handler is about to see
    "tag badge op status slot body length event parcel "
    # the activation: in user mode or not, whose process, its operation, ps of fuel, job (user mode); sends reserved
    "in_user owner operation fuel cookie sends "
    # what helper `answer` has set: whether, status, body, length, room
    "answered answer_status answer_body answer_length answer_room "
    # books of operations and requests: counts, time-integral of the number in flight (high, low), sum of sojourn times
    "operations_submitted operations_completed requests_submitted requests_ended "
    "operation_area_high operation_area_low operation_stay_high operation_stay_low operation_changed "
    "request_area_high request_area_low request_stay_high request_stay_low request_changed "
    # outcomes after completion; operations that ended starved; handlers that could not run in the kernel; submissions
    # refused for want of space
    "late starved fallbacks refused "
    # simulated events so far; rows of the trace; heap size; end of the used arena; whether something has been taken of
    # which there may be too little now (`pools.short_of_room`); jobs not finished
    "events traced heap_size arena_used scarce jobs_open "
    # the deferred event that has its turn, and whether an activation in its turn is still to be made; events deferred;
    # expiries of periodic timers that were skipped
    "resumed continuing deferrals missed "
    # what stopped `advance`; the graft and handler concerned
    "fault fault_handler "
    # the scheduling context that pays for what the section does now, as what (`core.contexts`), and ps of the section
    # that contexts have paid for; the context that pays for the activation or submission under way
    "paying paying_for paid context"
)
CONFIG = _record(
    "register_bytes eager fuel exit_cost charge_mode activation tracing cores retry "
    "scratch map_seed "  # arena offset of 32 bytes for the library's map updates; seed of all hash maps
    "vectors "  # whether `vector` is kept
    "contexts "  # how many scheduling contexts there are: 0, and nothing is asked about budgets
    "locks "  # ONE_LOCK or PER_CORE
    "cache_lines"  # of a core's own cache; 0: whatever is used is warm, and nobody asks (`warmth`)
)
PROCESS = _record(
    "state core priority account next prev queues behaviour row stage left owed "
    # the system call: number, arguments, result
    "call a b c result "
    "wait_for timer endpoint cq_capacity cq_posted cq_reserved cq_behind request completion "
    # the reply that a server is about to give
    "reply_status reply_body reply_length reply_room reply_parcel "
    # capabilities that it holds; slots that it names for capabilities to come
    "held landing "
    # its operations that are not closed; its grafts that are leaving
    "operations leaving "
    "ready_at wakeups graft library "
    # its own scheduling context and the one that it runs on now; the one on which it counts as active, or NONE
    # (`contexts`); whether it is passive; requests that it lost with the budget of their senders, and the serial number
    # of the last if Python has still to learn of it (`budgets`)
    "context on active_on passive abandoned told_late "
    # its continuation, or of a continuation its process; events deferred for it, submissions among them (`deferred`)
    "partner deferred entering "
    # jobs of a client, and how it does them
    "job_next job_last depth batch open_jobs finishing stalled prepare think "
    # rows of what only some have: of one that submits chains, of a client without a program, of a server that keeps
    # answers (NONE: it is no such); its pages (0: it has none)
    "chains plan answers paging "
    # of a host that runs a graft for its clients: the job that stands for what it received
    "host_job "
    # of a thread that polls: whether it spins, and has seen a change; of a client with rings: RING_..., completions to
    # wait for; of both, if a thread of the kernel polls: its row there, else NONE
    "spinning noticed ring wanted polling "
    "patience "  # ps after its intended time that a job still begins
    "recorder "  # where latencies of its operations go
    "side "  # what it has to do with rings that it shares with other processes (`shared`), or NONE
    "space "  # the process whose capabilities it uses: itself, or the first of its group
    "footprint "  # what it uses when it runs
    "r0 r1 r2 r3 r4 r5"
)
CHAINS = _record(
    # of a process that submits chains (`links`): entries under way; whether the running one drains; chains that wait
    # for that; 1 if the next chain drains, as the last one had DRAIN in its middle, 2 when it is its turn; whether
    # DRAIN is off
    "under_way draining deferred_first deferred_last drain_next no_drain"
)
PLAN = _record("first steps kind job")  # of a client: its steps, PLAN_..., the first job that it is for (`plans`)
ANSWERS = _record(
    # of a server that keeps answers (`pipelines`): first row of its table and how many there are; its batch, where in
    # it the next entry is, how many calls have been answered, the serial number of the request that it came in
    "first count body length at step request"
)
PAGING = _record(
    # of a process with memory: its first page and how many; BY_CLOCK or BY_ADVICE, who says which of them goes
    # (`eviction`)
    "first count evicted_by "
    # BY_..., how those of its next turn are read beforehand; the page at which it goes on, and those that it said it
    # would touch; whether its turn has been foretold; the timer that will (`foretelling`)
    "page_in instruction hinted_from hinted_count foretold lead_timer"
)
POLLING = _record(
    # of a client whose rings are polled (`rings`): the polling thread, and its place among those lined up there; of
    # such a thread: who is lined up
    "poller pending next first last"
)
CAPABILITY = _record(
    # siblings under `parent`; C_..., whether it may be used; how often the row has been given out
    "next prev kind alive epoch parent "
    # where it leads; of a reply right the request, of a promise the request whose reply will keep it
    "endpoint badge rights object "
    # the process that holds it (NONE: it travels in a message, or stands in no process), its other capabilities
    "owner held_next held_prev "
    # its children, the requests that wait for it, the requests sent through it and not yet received, in order
    "queues"
)
ENDPOINT = _record(
    "owner alive capacity queued reserved waiting receivers queues graft root "
    "announced "  # requests without a place that are about to arrive
    "deferred"  # arrivals that wait for the continuation of its owner
)
REQUEST = _record(
    "state next prev operation capability epoch endpoint process tag op badge body length room deadline timer "
    "holder fuel outcome status sent_at serial place cookie graft reason vetted "
    "steered "  # how often a graft has handed it to another endpoint
    # the capability that it went through last, while it is not yet received, else NONE
    "via "
    # what it carries besides bytes, or NONE
    "parcel "
    # of a linked request (`core.links`): whether it is one that has not ended; kind, flags, bytes that the reply must
    # have; errno of a failed submission; the next of its chain, its guard, whom it guards; whether it ends without a
    # completion; the request whose reply is its body, from where on, how much; whether the chain that it heads drains,
    # and which one waits behind that
    "chained kind flags want failed linked guard guards silent source at take drains deferred_next "
    "ring"  # the shared ring that it went through, or NONE
)
LINK = _record("next prev")  # of a request in the lists of its process and of its capability, see `requests`
STEP = _record("capability op base size source at take flags want draft")  # of a plan, see `core.plans`
PARCEL = _record(
    "next "
    # capabilities: of a draft names that its process holds, then copies of its own; whether they have been handed to a
    # receiver, who holds them now; whether there were more than the receiver had named slots for
    "count c0 c1 c2 c3 copied landed truncated "
    # the slot that the reply's first capability goes to; the first leg that the reply takes
    "promise route "
    # wires that leave its reply; wires that its argument waits for, and how many of those (-1: one has failed)
    "wires feeds awaiting "
    # the reply right, where that is a capability and not simply in its holder's hand
    "right"
)
WIRE = _record("next sister source target at to length")  # `next` from the same source, `sister` into the same target
LEG = _record("next capability epoch op")
OPERATION = _record(
    "state next prev process tag outstanding completed submitted_at serial origin reserved cookie landing "
    "context"  # the scheduling context of its submitter: passive servers run on it
)
COMPLETION = _record(
    "next prev posted_at kind tag outcome status capability epoch op badge body length room graft reason cookie parcel "
    "deadline "  # of a submission that comes back: when it would have timed out, ps; else NONE
    "poster"  # the core in whose section it was posted: it is visible from the end of that
)
TIMER = _record("due order position kind target argument next prev operation fuel core pending follower period")
CORE = _record(
    "process phase end since asked_at last queues ipi_at pending_first pending_last ready action account "
    "context "  # that its last thread ran on
    # when its lock is free; when its last section began and ended, ps (`locks`)
    "lock_free began ended "
    # the longest time that nothing could interrupt it, waiting for locks included; the longest wait for the lock it
    # enters with; the highest priority of its threads, the longest time that one of those was ready before it ran, ps
    "longest_section longest_wait top_priority worst_release "
    "warm"  # lines of footprints in its cache, at most `config.cache_lines`
)
RING = _record(
    # who asks, who answers, the next ring of each; whether both are there
    "client server next_of_client next_of_server alive "
    # requests that it has room for; its two queues; how many requests and answers stand there
    "capacity queues asked answered "
    # how many must stand there before the other side rings a bell, 0: it need not; whether a bell is owed to each
    "server_wants client_wants server_bell client_bell"
)
SIDE = _record(
    # of a process with shared rings: the first and how many; at which it looks next, into which it puts next
    "first count looks_at puts_into "
    # where it is in user mode (`direct`); bells that it has to ring, and that were rung for it since it last rested;
    # whether what it served last came from a ring
    "stage owes rung from_ring "
    "alone "  # whether no other such process is on its core
    "patience window rested_at"  # ps that it spins at most, and at present; when it began to rest
)
QUEUE = _record("head tail")
MEMORY = _record(
    "frames free pages hand "  # frames (0: nothing is ever out), free ones; pages of all processes, the clock's hand
    "fetch reading "  # ps to read a page; the page that is being read
    "near lead "  # places before the head of a run queue, ps before a timer: when a turn is foretold
    "faults hits wasted evicted foretold unforetold "  # so far; turns whose handler could not run
    "advised unadvised"  # frames given up as their owner's graft said; as the clock chose although it was asked
)
PAGE = _record("next prev process state used hinted footprint touched")  # `touched`: when last, ps
FOOTPRINT = _record(
    # of what process, graft or page uses when it has its turn: lines in all, at most `config.cache_lines`; the core in
    # whose cache it is, NONE if it is cold, and how many of its lines. Row 0 is of nothing, and has none (`warmth`)
    "next prev lines core warm"
)
CONTEXT = _record(
    "budget period "  # ps; budget 0: unlimited
    # its refills, from row `first`, the oldest first; until when what was drawn so far would have lasted; its threads
    # that run or would
    "first refills until active "
    # whether the head was used up since its thread was last chosen; its threads out of budget; their timer
    "used_up queues timer"
)
REFILL = _record("time amount")  # ps: from when this part of the budget can be used
GRAFT = _record(
    "process state next served_next queues first_handler handlers first_slot slots engine "
    "armed held activations user_activations consumed denied spent "
    # sends that were reserved or drafted, and the bytes of their bodies
    "sent sent_bytes "
    # arena offset of its maps' storage
    "state_at "
    # what an activation uses, and how many lines of it had to be brought in
    "footprint refilled "
    # events that went to user mode instead, by reason (`fallbacks`)
    "over_eager over_fuel lower_priority not_in_kernel over_budget "
    # since it was detached (serial): what is left to do before it is gone, see `leaving`; completions that name it
    "left_at outstanding jobs pending"
)
HANDLER = _record(
    "event slot op program bound limit worst_seen activations instructions "
    # of its machine code, 0: it is interpreted; whether that calls local functions
    "address calls"
)
JOB = _record(
    # `value`: arena offset of the argument for `map`; `result`: map from which the answer is taken (NONE: none)
    "next prev state owner tag capability op body length map key value result arrival submitted finished outcome "
    "status answer answer_length answer_room pending "
    "stream "  # whose next operation the row becomes when it is done
    "by"  # 1 + the graft that goes on with it in user mode although it was detached, 0: none
)
SLOT = _record("capability epoch promised")  # `promised`: the slot's own, made for a promise
STREAM = _record(
    "operations begun tag "  # how many there are, how many have begun; tag of the first
    # arena offset, number and distance of the bodies, and of the arguments; both are used in turn
    "bodies body_count body_stride values value_count value_stride "
    "interval clock"  # distribution of the times between arrivals, NONE: a closed loop; the last arrival, ps
)
RECORDER = _record("after count total_high total_low minimum maximum others")  # ps, see `recording`
ROW = _record("op a b c d e f")
SERVICE = _record(
    # first act (a row of `row`) and how many, 0: the first for every operation; distributions of service and device
    # time (NONE: no device)
    "acts ops work device "
    # injected: of 2**32 requests so many end with that status; of so many replies no more than that length is given
    "fail_rate fail_status short_rate short_length"
)
DISTRIBUTION = _record("kind a b")
POOL = _record("head free")
TRACE = _record("time what a b c d")


class Tables(NamedTuple):
    """All tables. `spent[account, category]` is in ps, `count[account, primitive]` in units of the primitive."""

    meter: Any
    config: Any
    process: Any
    chains: Any  # of each process that submits some
    plan: Any  # of each client that has one
    answers: Any  # of each server that keeps them
    paging: Any  # of each process with memory; row 0 of all others, it has no pages and never changes
    polling: Any  # of each client whose rings a thread polls, and of each such thread
    capability: Any
    endpoint: Any
    request: Any
    link: Any  # two rows for each request
    operation: Any
    completion: Any
    timer: Any
    parcel: Any
    wire: Any
    leg: Any
    heap: Any  # timer rows, a binary heap by (due, order)
    core: Any
    ring: Any  # rings that two processes share
    side: Any  # of each process that shares some
    queue: Any  # heads and tails of all queues; the first FREE_QUEUES belong to no object
    graft: Any
    handler: Any
    slot: Any  # capability of each graft's slot
    memory: Any
    page: Any  # of all processes, each one's next to each other
    footprint: Any
    context: Any  # scheduling contexts; the first is unlimited and of all processes without one
    refill: Any
    consumed: Any  # ps by context and kind, see `contexts`
    job: Any
    stream: Any
    recorder: Any
    histogram: Any  # counts by recorder and bucket
    row: Any  # scripts, and what servers do
    step: Any  # of plans
    service: Any
    distribution: Any
    pool: Any  # free lists: P_REQUEST and so on, then body classes
    spent: Any
    count: Any
    vector: Any  # what runs of each graft's handlers were charged, by primitive; kept if config.vectors is set
    price: Any  # ps per unit, used by `billing` alone
    exponential: Any  # quantiles of the exponential distribution, see `chance`
    arena: Any
    trace: Any
    machine: Any  # of `jit.machine`, over the same arena: runs handlers


# --- enumerations: plain integers, for compiled code freezes them -----------------------------------------------------

P_REQUEST, P_OPERATION, P_COMPLETION, P_TIMER, P_CAPABILITY, P_PARCEL, P_WIRE, P_LEG, P_BODY = range(9)
BODY_SHIFT: Final = 4  # smallest block of a body: 16 bytes
BODY_CLASSES: Final = 13  # up to 64 KiB

NO_OUTCOME: Final = -1  # of a request that has not ended

# of a request, `vetted`: no graft is asked about it any more; a draft that is no request, but the order to release what
# a graft holds in the kernel, under the draft's tag and with its status
VETTED, ORDER = 1, 2

# queues of each kind of object, counted from its `queues`
Q_WORK, Q_ORPHANS, Q_FAULTS, Q_HINTS = range(4)
# of no object: requests to deal with in this section; operations that lost a timer; pages to be read
FREE_QUEUES: Final = 4
Q_COMPLETIONS, Q_DRAFTS, Q_REJECTS, Q_OWN, Q_JOBS = range(5)  # of a process; its requests in flight, its open jobs
Q_DEFERRED: Final = 0  # of a continuation
Q_REQUESTS, Q_RECEIVERS, Q_CALLERS = range(3)  # of an endpoint
Q_TIMERS, Q_HELD, Q_OUTBOX = range(3)  # of a graft
Q_CHILDREN, Q_WAITING, Q_SENT = range(3)  # of a capability
Q_READY: Final = 0  # of a core; + priority
Q_WARM: Final = PRIORITIES  # of a core: footprints in its cache, the last used in front
Q_POSTPONED: Final = 0  # of a scheduling context
Q_ASKED, Q_ANSWERED = range(2)  # of a ring: requests, completions
RING_QUEUES: Final = 2
PROCESS_QUEUES: Final = 5
OBJECT_QUEUES: Final = 3
CAPABILITY_QUEUES: Final = 3
CORE_QUEUES: Final = PRIORITIES + 1

# behaviours of a process: what its user mode does
(
    B_IDLE, B_SCRIPT, B_CLIENT, B_SERVER, B_HOST, B_RINGS, B_POLLER, B_CONTINUATION, B_HOSTED, B_ASKING, B_ANSWERING,
) = range(11)  # fmt: skip
# ASKING, ANSWERING: a client and a server with rings between them

# how a client with rings tells that something is in them
RING_ENTER, RING_POLLED, RING_LINKED = range(1, 4)

# how a plan is written
PLAN_LINKS, PLAN_WIRES, PLAN_ROUTE = range(3)

# system calls
(
    SYS_CALL, SYS_SUBMIT, SYS_WAIT, SYS_RECEIVE, SYS_REPLY, SYS_REPLY_RECEIVE, SYS_FORWARD, SYS_SLEEP, SYS_CANCEL,
    SYS_PARK, SYS_EXIT, SYS_DROP, SYS_ENTER, SYS_POLL, SYS_CONTINUE, SYS_KEEP, SYS_REPLY_TO, SYS_MINT, SYS_REVOKE,
    SYS_DELETE, SYS_FAULT, SYS_HINT, SYS_LINKS, SYS_BELL, SYS_REST,
) = range(25)  # fmt: skip

# what a step of a process in user mode leads to
U_BURST, U_CALL, U_HOST, U_SPIN = range(4)

# who began an operation
O_SUBMITTED, O_CALL, O_GRAFT = range(3)

# states of a job
J_WAITING, J_OPEN, J_DONE = range(3)

# states of a process
DEAD, READY, RUNNING, RECEIVING, CALLING, BLOCKED, WAITING, SLEEPING, PARKED, HALTED, POSTPONED, FAULTING = range(12)
# RECEIVING at an endpoint; CALLING for the completion of a call; BLOCKED in a call at a full endpoint; WAITING for
# completions; SLEEPING until a timer; PARKED until somebody outside gives it work; HALTED for ever; POSTPONED until its
# scheduling context is refilled; FAULTING until a page is there

# phases of a core, and what it is about to do when it has the lock
IDLING, USER, KERNEL, LOCKED = range(4)
A_SYSTEM_CALL, A_INTERRUPT, A_RESCHEDULE = range(3)

# states of a request
(
    R_FREE, R_DRAFT, R_RESERVED, R_WORK, R_CALLER, R_QUEUED, R_RECEIVED, R_HELD, R_WAITING, R_SUBMITTING, R_ARRIVING,
    R_ENDING, R_TIMING, R_LINKED, R_RINGED,
) = range(15)  # fmt: skip
# DRAFT in user memory; RESERVED by an activation; WORK in this section; CALLER at a full endpoint; HELD by a graft;
# WAITING for a promise or an argument; SUBMITTING to TIMING are deferred events, see `deferred`; LINKED in a chain that
# has not come to it, or waiting for its time; RINGED in a shared ring, not yet taken

# outcomes: terminal statuses of requests and operations; STARVED is of operations only
REPLIED, ERROR, TIMED_OUT, CANCELLED, BROKEN, PEER_DIED, REFUSED, STARVED = range(8)
OUTCOMES: Final = ("replied", "error", "timed_out", "cancelled", "broken", "peer_died", "refused", "starved")

# rights of a capability
SEND, GRANT = 1, 2

# kinds of capability: an empty slot; to an endpoint; to reply; one that is promised; one that was promised in vain
C_NULL, C_ENDPOINT, C_REPLY, C_PROMISE, C_BROKEN = range(5)
KINDS: Final = ("null", "endpoint", "reply", "promise", "broken")
IN_HAND: Final = -2  # among the capabilities of a draft: the right to reply to the request in hand
CAPABILITIES_AT_ONCE: Final = 4  # in one message

# what a completion announces
OF_OPERATION, OF_TIMER, OF_SUBMISSION = range(3)

# kinds of timer: what happens when it is due; a command is of `endings`, its target the row concerned
T_NOTHING, T_WAKE, T_DEADLINE, T_GRAFT, T_USER, T_COMMAND, T_REFILL, T_PERIODIC, T_PAGE, T_LEAD = range(10)

# states of a graft
DETACHED, ATTACHED, LOADED, LEAVING = range(4)  # LOADED: user mode only; LEAVING: detached, but not done

# why a handler did not run in the kernel (completion field `reason`)
NO_REASON, OVER_EAGER, OVER_FUEL, LOWER_PRIORITY, NOT_IN_KERNEL, OVER_BUDGET = range(6)
LATER: Final = 100  # no reason: the activation is deferred
REASONS: Final = (
    "",
    "over the eager bound",
    "out of fuel",
    "a thread of higher priority is ready",
    "activation is off",
    "out of budget",
)

# pages: out, being read or about to be, in a frame; how those of a thread's next turn are read beforehand
PAGE_OUT, PAGE_COMING, PAGE_IN = range(3)
BY_FAULT, BY_INSTRUCTION, BY_HINT, BY_GRAFT = range(4)
BY_CLOCK, BY_ADVICE = range(2)

# charge modes
CURRENT, METERED, SWITCHED = range(3)

# locks
ONE_LOCK, PER_CORE = range(2)

# activation modes
EAGER_MODE, DEFERRED_MODE, AUTO_MODE, OFF_MODE = range(4)

# why `advance` came back
S_UNTIL, S_QUIET, S_EVENTS, S_HOST, S_GROW, S_FAULT = range(6)

# engines: which instruction prices an attachment has
ENGINE_INTERPRETED, ENGINE_NATIVE = range(2)

NO_SLOT: Final = 0xFFFF_FFFF  # a capability that no slot of the graft holds
UNSHARED: Final = -2  # fuel of a timer armed by the activation under way, before it is divided

# what stopped the model (`meter.fault`): 1 + how the machine ended a verified program, or
FAULT_MANY_SENDS: Final = 100  # a server's handler sent more than once: a request can be passed on only once
FAULT_STEER: Final = 101  # a server's `request` handler steered: it has received the request already

# errno values that operations return, negated (Linux's numbers)
EPERM, ENOENT, EBADF, EAGAIN, EINVAL, EPIPE, ENODATA = 1, 2, 9, 11, 22, 32, 61
ENOSPC: Final = 28
ECONNRESET, ETIMEDOUT, ECONNREFUSED, ECANCELED, ENOTSUP = 104, 110, 111, 125, 95

STATUS_OF: Final = (0, 0, ETIMEDOUT, ECANCELED, EPIPE, ECONNRESET, ECONNREFUSED, ENODATA)
"""The errno that stands for an outcome without a status of its own, by outcome."""

# what a trace row tells: (time, what, a, b, c, d)
(
    X_SUBMIT, X_ARRIVE, X_RECEIVE, X_REPLY, X_END, X_COMPLETE, X_ACTIVATE, X_VERDICT, X_SWITCH, X_WAKE, X_TIMER,
    X_SECTION, X_FALLBACK, X_JOB, X_KILL, X_REVOKE, X_CONSUME, X_POSTPONE, X_ABANDON, X_DEFER,
    X_SPENT, X_SPENT_IN_USER, X_PAGE, X_FORETELL, X_REFILL,
) = range(25)  # fmt: skip
TRACE_NAMES: Final = (
    "submit", "arrive", "receive", "reply", "end", "complete", "activate", "verdict", "switch", "wake", "timer",
    "section", "fallback", "job", "kill", "revoke", "consume", "postpone", "abandon",
    "defer", "spent", "spent in user", "page", "foretell", "refill",
)  # fmt: skip
