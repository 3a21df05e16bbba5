"""Time: cores, bursts, sections, interrupts. The only part that lets time pass.

A core is idle, in user mode, in the kernel, or waiting for the kernel lock (`phase`), until `end`. Nothing else happens
in the model than that the earliest such end, or the earliest timer, comes to pass:

    user burst over    the thread's behaviour takes its next step: another burst, or a system call
    lock obtained      the *section* runs: all its effects at once, then its cost is known, and the lock is kept so long
    section over       the chosen thread goes on in user mode, or the core idles
    timer due          an interrupt on the timer's core, at once, or as soon as its section is over

Sections that share anything exclude each other (`locks`), and their effects are visible from their end, for whoever
could see them must have the lock, or look at a completion queue (`library.is_visible`).

Every picosecond of every core is charged exactly once: sections and the library's bursts when they begin, all else as
it passes (`passing`). `settle` brings the latter up to now; what is charged ahead of now is `ahead`. So at any stop:
sum of all accounts = cores x now + ahead, which `simulation.Simulation` asserts.
"""

from __future__ import annotations

from typing import Final

from jit.hot import hot, rare
from kernel_model.core.behaviours import next_step
from kernel_model.core.billing import trace, weigh_operations, weigh_requests
from kernel_model.core.budgets import expel
from kernel_model.core.contexts import (
    FOR_KERNEL,
    FOR_LOCK,
    UNLIMITED,
    count_active,
    has_budget,
    open_book,
    pay,
    slice_of,
)
from kernel_model.core.foretelling import look_ahead
from kernel_model.core.heap import next_due, set_timer, unset_timer
from kernel_model.core.interrupts import take_interrupts
from kernel_model.core.locks import hold, lock_of
from kernel_model.core.passing import pass_time, pass_user_time
from kernel_model.core.pools import short_of_room
from kernel_model.core.schedule import choose, enlist, enter_user, note_release, outranks
from kernel_model.core.spinning import spin_end, stop_spinning
from kernel_model.core.syscalls import system_call
from kernel_model.core.tables import (
    A_INTERRUPT,
    A_RESCHEDULE,
    A_SYSTEM_CALL,
    IDLING,
    KERNEL,
    LOCKED,
    NEVER,
    NONE,
    PARKED,
    S_EVENTS,
    S_FAULT,
    S_GROW,
    S_HOST,
    S_QUIET,
    S_UNTIL,
    T_COMMAND,
    U_BURST,
    U_CALL,
    U_HOST,
    USER,
    X_SECTION,
    X_TIMER,
    Tables,
)

FIRST: Final = 0
AT_BACK: Final = False
IPI_UNTIMED: Final = NEVER - 1  # `schedule.wake` asks for an interrupt at the end of the section under way


@hot
def advance(k: Tables, until: int, max_events: int) -> tuple[int, int]:
    """Go on until nothing is left to happen, or `until` (ps), or for `max_events`; return (reason, argument).

    Reasons: S_UNTIL, S_QUIET, S_EVENTS; S_HOST with the process whose generator is to be resumed; S_GROW; S_FAULT.
    """
    meter = k.meter[0]
    meter["scarce"] = 1  # rows may have been taken from outside
    for _ in range(max_events):
        if meter["fault"] != 0:
            return S_FAULT, int(meter["fault"])
        if meter["scarce"] != 0 and short_of_room(k):
            return S_GROW, NONE
        c = next_core(k)
        ends = k.core[c]["end"]
        due = next_due(k)
        when = min(ends, due)
        if when >= NEVER:
            return S_QUIET, NONE
        if when > until:
            settle(k, until)
            return S_UNTIL, NONE
        meter["now"] = when
        meter["events"] += 1
        if ends <= due:
            host = core_event(k, c)
            if host != NONE:
                return S_HOST, host
        else:
            timer_event(k, k.heap[FIRST])
    return S_EVENTS, NONE


@hot
def next_core(k: Tables) -> int:
    """Return the core with the earliest end; those that wait for a lock come first, the one that has waited longest.

    So nobody who leaves the kernel and enters again at once overtakes them.
    """
    best = 0
    for c in range(1, k.config[0]["cores"]):
        core, other = k.core[c], k.core[best]
        if core["end"] < other["end"]:
            best = c
        elif core["end"] == other["end"] and core["phase"] == LOCKED:
            if other["phase"] != LOCKED or core["asked_at"] < other["asked_at"]:
                best = c
    return best


@hot
def core_event(k: Tables, c: int) -> int:
    """The current segment of core `c` is over. Return a process that Python must resume, or NONE."""
    core = k.core[c]
    phase = core["phase"]
    if phase == LOCKED:
        pass_time(k, c)
        obtain_lock(k, c)
        return NONE
    if phase == KERNEL:
        leave_kernel(k, c)
        return NONE
    pass_time(k, c)
    if core["ipi_at"] <= k.meter[0]["now"] or out_of_budget(k, c):
        interrupt(k, c)
        return NONE
    process = k.process[core["process"]]
    if process["left"] > 0 and process["spinning"] == 0:
        enter_burst(k, c)  # its slice was over, but what was due meanwhile has joined it: the burst goes on
        return NONE
    return step(k, c)


@hot
def out_of_budget(k: Tables, c: int) -> bool:
    """Whether the thread of core `c` has used up a refill of its context: the preemption timer."""
    p = k.core[c]["process"]
    if k.config[0]["contexts"] == 0 or p == NONE:
        return False
    x = k.process[p]["on"]
    return bool(x != UNLIMITED and (k.context[x]["used_up"] != 0 or not has_budget(k, x, k.meter[0]["now"])))


# --- user mode --------------------------------------------------------------------------------------------------------


@hot
def step(k: Tables, c: int) -> int:
    """The thread of core `c` takes its next step in user mode. Return it if only Python knows what that is, or NONE."""
    core, meter = k.core[c], k.meter[0]
    p = core["process"]
    process = k.process[p]
    meter["section"] = 0
    meter["core"] = c
    meter["process"] = p
    if process["spinning"] != 0:
        stop_spinning(k, p)
    next_ = next_step(k, p)
    if next_ == U_HOST:
        return int(p)
    if next_ == U_CALL:
        core["action"] = A_SYSTEM_CALL
        obtain_lock(k, c)
        return NONE
    if next_ == U_BURST:
        process["left"] = meter["section"] + process["owed"]
    enter_burst(k, c)
    return NONE


@hot
def enter_burst(k: Tables, c: int) -> None:
    """The thread of core `c` goes on in user mode, now."""
    core, meter = k.core[c], k.meter[0]
    core["phase"] = USER
    core["since"] = meter["now"]
    process = k.process[core["process"]]
    end = spin_end(k, core["process"]) if process["spinning"] != 0 else meter["now"] + process["left"]
    core["end"] = min(end, max(core["ipi_at"], meter["now"]))
    if k.config[0]["contexts"] != 0:
        core["end"] = min(core["end"], meter["now"] + slice_of(k, process["on"]))


# --- kernel mode ------------------------------------------------------------------------------------------------------


@hot
def interrupt(k: Tables, c: int) -> None:
    """Core `c`, in user mode or idle with its time passed, is interrupted."""
    k.core[c]["action"] = A_INTERRUPT
    obtain_lock(k, c)


@hot
def obtain_lock(k: Tables, c: int) -> None:
    """Core `c` enters the kernel: now, or when the lock is free."""
    core, meter = k.core[c], k.meter[0]
    if core["phase"] != LOCKED:
        core["asked_at"] = meter["now"]
    free = k.core[lock_of(k, c)]["lock_free"]
    if free > meter["now"]:
        core["phase"] = LOCKED
        core["since"] = meter["now"]
        core["end"] = free
    else:
        core["longest_wait"] = max(core["longest_wait"], meter["now"] - core["asked_at"])
        section(k, c)


@hot
def section(k: Tables, c: int) -> None:
    """Run a kernel section on core `c`: what it was entered for, all that follows, the choice of who runs next."""
    core, meter, payers = k.core[c], k.meter[0], k.config[0]["contexts"] != 0
    current = core["process"]
    if payers:
        pass_user_time(k)
        open_book(k, k.process[current]["on"] if current != NONE else UNLIMITED)
    meter["section"] = 0
    meter["core"] = c
    meter["process"] = current
    meter["direct"] = NONE
    meter["eager_used"] = 0
    meter["steps"] = 0
    meter["touched"] = 0
    beneficiary = NONE
    if core["ipi_at"] <= meter["now"]:
        core["ipi_at"] = NEVER  # whatever the interrupt was for is seen to at the end of this section
    if core["action"] == A_SYSTEM_CALL:
        system_call(k, current)
    elif core["action"] == A_INTERRUPT:
        beneficiary = take_interrupts(k, c)
    if payers:
        if current != NONE:
            count_active(k, current)  # it may have blocked
        expel(k, c, current)
    chosen = choose(k, c, current)
    if k.memory[0]["frames"] != 0:
        look_ahead(k, c, chosen)
    if payers and chosen != NONE:
        pay(k, k.process[chosen]["on"], FOR_KERNEL)
    enter_user(k, c, chosen, current, beneficiary)
    if payers:
        pay(k, NONE, FOR_LOCK)
    end = hold(k, c)
    if payers:
        pay(k, NONE, FOR_KERNEL)
    if chosen != NONE:
        note_release(k, chosen)
    core["began"] = meter["now"]
    core["ended"] = end
    core["longest_section"] = max(core["longest_section"], end - core["asked_at"])
    trace(k, X_SECTION, c, current, chosen, meter["section"])
    core["phase"] = KERNEL
    core["since"] = meter["now"]
    core["end"] = end
    if payers:
        reset_user_ends(k)
    for other in range(k.config[0]["cores"]):
        if k.core[other]["ipi_at"] == IPI_UNTIMED:
            signal(k, other, end)


@rare
def reset_user_ends(k: Tables) -> None:
    """Set the preemption timers of all cores: the section may have drawn on contexts of threads that run elsewhere."""
    for c in range(k.config[0]["cores"]):
        if k.core[c]["phase"] == USER:
            enter_burst(k, c)


@hot
def signal(k: Tables, c: int, when: int) -> None:
    """An inter-processor interrupt reaches core `c` at `when`."""
    core = k.core[c]
    core["ipi_at"] = when
    if core["phase"] == USER or core["phase"] == IDLING:
        core["end"] = min(core["end"], when)


@hot
def leave_kernel(k: Tables, c: int) -> None:
    """The section of core `c` is over."""
    core, meter = k.core[c], k.meter[0]
    core["since"] = meter["now"]
    if core["process"] == NONE:
        core["phase"] = IDLING
        core["end"] = core["ipi_at"]
    else:
        enter_burst(k, c)
    if core["pending_first"] != NONE or core["ipi_at"] <= meter["now"]:
        interrupt(k, c)


# --- interrupts -------------------------------------------------------------------------------------------------------


@hot
def timer_event(k: Tables, t: int) -> None:
    """Timer `t` is due: its core is interrupted, now or when its section is over."""
    timer = k.timer[t]
    c = timer["core"]
    core = k.core[c]
    unset_timer(k, t)
    trace(k, X_TIMER, timer["kind"], timer["target"], timer["argument"], c)
    timer["pending"] = 1
    timer["follower"] = NONE
    if core["pending_first"] == NONE:
        core["pending_first"] = t
    else:
        k.timer[core["pending_last"]]["follower"] = t
    core["pending_last"] = t
    if core["phase"] == USER or core["phase"] == IDLING:
        pass_time(k, c)
        interrupt(k, c)


# --- from outside -----------------------------------------------------------------------------------------------------


@hot
def settle(k: Tables, now: int) -> None:
    """Bring all accounts and books up to `now`, between two events."""
    k.meter[0]["now"] = now
    for c in range(k.config[0]["cores"]):
        pass_time(k, c)
    weigh_operations(k)
    weigh_requests(k)


@hot
def ahead(k: Tables) -> int:
    """Return the ps that are charged but have not passed: rests of sections and of the library's bursts."""
    total = 0
    for c in range(k.config[0]["cores"]):
        if k.core[c]["phase"] == KERNEL:
            total += k.core[c]["end"] - k.meter[0]["now"]
    for p in range(k.process.shape[0]):
        total += k.process[p]["left"] - k.process[p]["owed"]
    return total


@hot
def command(k: Tables, c: int, number: int, target: int) -> None:
    """Let a command of `endings` reach core `c` now."""
    set_timer(k, k.meter[0]["now"], T_COMMAND, c, target, number)


@hot
def start_all(k: Tables, first_process: int, count: int) -> None:
    """Let parked processes run that were made one after the other."""
    for p in range(first_process, first_process + count):
        if k.process[p]["state"] == PARKED:
            start(k, p)


@hot
def start(k: Tables, p: int) -> None:
    """Let a parked process run. It comes from outside the model: no crossing, and no switch if its core is idle."""
    process = k.process[p]
    c = process["core"]
    core, meter = k.core[c], k.meter[0]
    meter["core"] = c
    meter["process"] = core["process"]
    enlist(k, p, AT_BACK)
    count_active(k, p)
    if core["phase"] == IDLING:
        pass_time(k, c)
        core["last"] = p
        core["action"] = A_RESCHEDULE
        obtain_lock(k, c)
    elif outranks(k, c, p) and core["ipi_at"] == NEVER:
        signal(k, c, meter["now"])
