"""What can be charged for: the primitives of a cost profile, and the categories of an account.

An operation of the kernel never knows a time. It charges *counts of primitives* to an account under a category
(`core.billing.charge`); a profile gives each primitive its price in picoseconds. So two mechanisms can be compared by
what they did (the counts) as well as by what it cost (the time), and a profile can be swapped without touching either.

A primitive is charged exactly where its line below says. Composites (a published "call", "null syscall") are sums of
primitives and live in the profile, never here:

    null system call                  entry + exit
    call to a waiting server          entry + dispatch_call  + switch + exit
    reply that waits for the next     entry + dispatch_reply + switch + exit
    completion to a sleeping client   notify                 + switch + exit     (inside the entry that caused it)
"""

from __future__ import annotations

from dataclasses import dataclass

from grafting.isa import CostClass


@dataclass(frozen=True, slots=True)
class Primitive:
    """One priced thing: `unit` says what a count of 1 means, `doc` when it is charged and to whom."""

    name: str
    unit: str
    doc: str


_FIXED = (
    # --- time that passes as such: a count is a picosecond and the price is 1 -----------------------------------------
    Primitive("work", "ps", "user computation: think rows, service times, `compute` of host generators; category user"),
    Primitive("idle", "ps", "a core without a thread to run, summed segment by segment; category idle"),
    Primitive("lock_wait", "ps", "a core that waits for the kernel lock, charged to the thread that waits; lock"),
    Primitive("spin", "ps", "a thread that polls; category spin"),
    # --- crossings ----------------------------------------------------------------------------------------------------
    Primitive("entry", "1", "a system call enters the kernel, charged to the caller"),
    Primitive("exit", "1", "the kernel returns to user mode, charged to the thread that resumes"),
    Primitive("interrupt", "1", "an interrupt (timer, device, IPI) enters the kernel, charged to its beneficiary"),
    Primitive("switch", "1", "a core changes from one thread (or idle) to another, charged to the incoming thread"),
    Primitive("schedule", "1", "the run queue is consulted because no direct switch applies, charged to the incoming"),
    Primitive("ipi", "1", "a wake-up is sent to another core, charged to whoever causes it; `interrupt` follows there"),
    Primitive("refill_line", "line", "a cache line of a working set is brought in again, charged to its user; refill"),
    # --- operations: decode, checks, queueing -------------------------------------------------------------------------
    Primitive("dispatch_call", "1", "a call is decoded and its request reaches an endpoint, charged to the caller"),
    Primitive("dispatch_reply", "1", "a reply is decoded and the request ended, charged to the replier"),
    Primitive("dispatch_send", "1", "one asynchronous request is decoded and sent, by a thread or at a graft's commit"),
    Primitive("dispatch_receive", "1", "a receive or a wait that is a system call of its own, charged to the caller"),
    Primitive("dispatch_forward", "1", "a server passes a request on with its reply right, charged to the server"),
    Primitive("notify", "1", "a completion is posted to a queue in kernel context, charged to the queue's owner"),
    Primitive("slow_path", "1", "a call, reply or send that cannot take the fast path (body beyond the registers)"),
    Primitive("copy_byte", "byte", "each body byte beyond the register window that is moved from sender to receiver"),
    Primitive("defer", "1", "an event is queued for the continuation of a graft's installer, who pays; kernel"),
    Primitive("hook_check", "1", "a message passes a hook where no graft is attached: the tax on non-users"),
    Primitive("timer_arm", "1", "a timer is set"),
    Primitive("timer_cancel", "1", "a timer is taken back"),
    Primitive("page_fault", "1", "a thread has touched a page that is out: trap, look-up; charged to it"),
    Primitive("page_read", "1", "a page that is out is asked of the device, for a fault or a hint; to its process"),
    Primitive("page_map", "1", "a page that was read gets its frame and is mapped; charged to its process"),
    Primitive("page_scan", "1", "the clock looks at one page for a frame; charged to the process that gets it"),
    Primitive("device_start", "1", "a server starts its device, user mode"),
    # --- capabilities -------------------------------------------------------------------------------------------------
    Primitive("derive", "1", "a capability is minted, or copied into a message, charged to its holder"),
    Primitive("visit", "1", "an object is looked at or undone by cancel, revoke, kill, detach, charged to its process"),
    Primitive("promise", "1", "a promise is kept or broken, charged to whoever waits for it"),
    Primitive("wire", "1", "reply bytes go into a waiting argument (`copy_byte` besides), charged to its sender"),
    Primitive("route", "1", "a reply goes on as the next request, charged to the sender of the first"),
    # --- grafts -------------------------------------------------------------------------------------------------------
    Primitive("activate", "1", "a handler is entered and left in the kernel: context, registers; category graft"),
    Primitive("clock_read", "1", "the cycle counter is read for metering; two per metered activation; graft or switch"),
    Primitive("debit", "1", "an account is debited, its budget compared; one per metered activation; graft or switch"),
    Primitive("account_switch", "1", "a full change of scheduling context, in charge mode `switched`; graft or switch"),
    Primitive("activate_user", "1", "the same handler is called by the client's library; category user"),
    Primitive("prepare", "1", "the client's library fills in one request; category user"),
    Primitive("reap", "1", "the client's library takes one completion from its queue, no crossing; category user"),
    # --- rings that two processes share, user mode --------------------------------------------------------------------
    Primitive("ring_put", "1", "a message is put into a ring: entry, index, is a bell due? category user"),
    Primitive("ring_take", "1", "a message is taken out of a ring; category user"),
    Primitive("ring_look", "1", "a ring is looked at, by a process that goes round its rings; category user"),
    Primitive("ring_arm", "1", "a process that is about to sleep says so in a ring and looks once more; category user"),
    Primitive("ring_line", "1", "a cache line of a ring comes from the core of the other side; category user"),
    Primitive("dispatch_bell", "1", "a bell is rung, in a system call, charged to the caller; category kernel"),
    # --- helpers, in the kernel or in user mode -----------------------------------------------------------------------
    Primitive("map_lookup", "1", "helper 1"),
    Primitive("map_update", "1", "helper 2"),
    Primitive("map_delete", "1", "helper 3"),
    Primitive("clock", "1", "helper 5"),
    Primitive("helper_send", "1", "helpers 1000 to 1002 in the kernel: checks, reservation (`dispatch_send` follows)"),
    Primitive("helper_answer", "1", "helper 1003"),
    Primitive("helper_release", "1", "helper 1006"),
    Primitive("helper_hint", "1", "helper 1007"),
    Primitive("helper_copy_byte", "byte", "helpers 1008 and 1009, per byte, and bodies copied by helpers 1000 to 1003"),
)  # fmt: skip

ENGINES = ("interpreted", "native")

_INSTRUCTIONS = tuple(
    Primitive(
        f"{engine}_{c.name.lower()}", "instruction", f"an executed {c.name} instruction, {engine}; graft, or user"
    )
    for engine in ENGINES
    for c in CostClass
)

PRIMITIVES: tuple[Primitive, ...] = _FIXED + _INSTRUCTIONS
INDEX: dict[str, int] = {p.name: i for i, p in enumerate(PRIMITIVES)}

(
    WORK, IDLE, LOCK_WAIT, SPIN,
    ENTRY, EXIT, INTERRUPT, SWITCH, SCHEDULE, IPI, REFILL_LINE,
    DISPATCH_CALL, DISPATCH_REPLY, DISPATCH_SEND, DISPATCH_RECEIVE, DISPATCH_FORWARD, NOTIFY, SLOW_PATH, COPY_BYTE,
    DEFER, HOOK_CHECK, TIMER_ARM, TIMER_CANCEL, PAGE_FAULT, PAGE_READ, PAGE_MAP, PAGE_SCAN, DEVICE_START,
    DERIVE, VISIT, PROMISE, WIRE, ROUTE,
    ACTIVATE, CLOCK_READ, DEBIT, ACCOUNT_SWITCH, ACTIVATE_USER, PREPARE, REAP,
    RING_PUT, RING_TAKE, RING_LOOK, RING_ARM, RING_LINE, DISPATCH_BELL,
    MAP_LOOKUP, MAP_UPDATE, MAP_DELETE, CLOCK, HELPER_SEND, HELPER_ANSWER, HELPER_RELEASE, HELPER_HINT,
    HELPER_COPY_BYTE,
) = range(len(_FIXED))  # fmt: skip

INTERPRETED = len(_FIXED)  # + CostClass
NATIVE = INTERPRETED + len(CostClass)  # + CostClass
COUNT = len(PRIMITIVES)

UNIT_PRICED = ("work", "idle", "lock_wait", "spin")  # always 1 ps: a profile does not set them

# --- categories of an account -----------------------------------------------------------------------------------------

CATEGORIES = ("user", "kernel", "graft", "switch", "copy", "hook_check", "lock", "spin", "interrupt", "refill", "idle")
(
    IN_USER, IN_KERNEL, IN_GRAFT, IN_SWITCH, IN_COPY, IN_HOOK_CHECK, IN_LOCK, IN_SPIN, IN_INTERRUPT, IN_REFILL,
    IN_IDLE,
) = range(len(CATEGORIES))  # fmt: skip
"""user: work of threads, handlers in user mode included; kernel: crossings and operations; graft: activations, their
instructions and helpers; switch: thread switches and scheduling; copy: bodies; hook_check: the tax; lock, spin:
waiting that burns a core; interrupt: interrupts and IPIs; refill: working sets brought into a core's cache again; idle:
nothing to run."""
