"""Time: cores, bursts, sections, interrupts. The only part that lets time pass.

A core is idle, in user mode, in the kernel, or waiting for the kernel lock (`phase`), until `end`. Nothing else happens
in the model than that the earliest such end, or the earliest timer, comes to pass:

    user burst over    the thread's behaviour takes its next step: another burst, or a system call
    lock obtained      the *section* runs: all its effects at once, then its cost is known, and the lock is kept so long
    section over       the chosen thread goes on in user mode, or the core idles
    timer due          an interrupt on the timer's core, at once, or as soon as its section is over

Sections that share anything exclude each other (`locks`), and their effects are visible from their end, for whoever
could see them must have the lock, or look at a completion queue (`library.is_visible`).

Every picosecond of every core is charged exactly once: sections and the library's bursts when they begin, work,
idling and waiting for the lock as they pass. `settle` brings the latter up to now; what is charged ahead of now is
`ahead`. So at any stop: sum of all accounts = cores x now + ahead, which `kernel.Kernel` asserts.
"""

from __future__ import annotations

from typing import Final

from jit.hot import hot
from kernel_model.core.billing import charge, payer, trace, weigh_operations, weigh_requests
from kernel_model.core.budgets import expel, refill
from kernel_model.core.contexts import (
    FOR_KERNEL,
    FOR_LOCK,
    FOR_USER,
    UNLIMITED,
    charge_change,
    consume,
    count_active,
    has_budget,
    open_book,
    pay,
    slice_of,
)
from kernel_model.core.endings import obey
from kernel_model.core.foretelling import FROM_TIMER, foretell, look_ahead
from kernel_model.core.heap import next_due, set_timer, unset_timer
from kernel_model.core.hosted import hosted_step
from kernel_model.core.library import client_step
from kernel_model.core.lists import first
from kernel_model.core.locks import hold, lock_of
from kernel_model.core.ops import drain, expire
from kernel_model.core.outcomes import stop_waiting
from kernel_model.core.paging import arrive_page
from kernel_model.core.pools import give, short_of_room
from kernel_model.core.prices import (
    IDLE,
    IN_IDLE,
    IN_INTERRUPT,
    IN_LOCK,
    IN_SPIN,
    IN_USER,
    INTERRUPT,
    LOCK_WAIT,
    SPIN,
    WORK,
)
from kernel_model.core.rings import poller_step, rings_step
from kernel_model.core.schedule import choose, enlist, enter_user, highest_ready, note_release, outranks
from kernel_model.core.scripts import script_step
from kernel_model.core.servers import server_step
from kernel_model.core.spinning import spin_end, stop_spinning
from kernel_model.core.syscalls import system_call
from kernel_model.core.tables import (
    A_INTERRUPT,
    A_RESCHEDULE,
    A_SYSTEM_CALL,
    B_CLIENT,
    B_CONTINUATION,
    B_HOST,
    B_HOSTED,
    B_POLLER,
    B_RINGS,
    B_SCRIPT,
    B_SERVER,
    CURRENT,
    IDLING,
    KERNEL,
    LOCKED,
    NEVER,
    NONE,
    P_TIMER,
    PARKED,
    Q_POSTPONED,
    Q_READY,
    S_EVENTS,
    S_FAULT,
    S_GROW,
    S_HOST,
    S_QUIET,
    S_UNTIL,
    SYS_CONTINUE,
    SYS_PARK,
    T_COMMAND,
    T_DEADLINE,
    T_GRAFT,
    T_LEAD,
    T_NOTHING,
    T_PAGE,
    T_PERIODIC,
    T_REFILL,
    T_WAKE,
    U_BURST,
    U_CALL,
    U_HOST,
    USER,
    X_SECTION,
    X_TIMER,
    Tables,
)
from kernel_model.core.timers import fire_graft, fire_user

ONE: Final = 1
DONE: Final = 0
FIRST: Final = 0
AT_BACK: Final = False
IPI_UNTIMED: Final = NEVER - 1  # `schedule.wake` asks for an interrupt at the end of the section under way


@hot
def advance(k: Tables, until: int, max_events: int) -> tuple[int, int]:
    """Go on until nothing is left to happen, or `until` (ps), or for `max_events`; return (reason, argument).

    Reasons: S_UNTIL, S_QUIET, S_EVENTS; S_HOST with the process whose generator is to be resumed; S_GROW; S_FAULT.
    """
    meter = k.meter[0]
    for _ in range(max_events):
        if meter["fault"] != 0:
            return S_FAULT, int(meter["fault"])
        if short_of_room(k):
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
    behaviour = process["behaviour"]
    next_ = U_CALL
    if behaviour == B_CLIENT:
        next_ = client_step(k, p)
    elif behaviour == B_SERVER:
        next_ = server_step(k, p)
    elif behaviour == B_SCRIPT:
        next_ = script_step(k, p)
    elif behaviour == B_HOST:
        next_ = host_step(k, p)
    elif behaviour == B_RINGS:
        next_ = rings_step(k, p)
    elif behaviour == B_HOSTED:
        next_ = hosted_step(k, p)
    elif behaviour == B_POLLER:
        next_ = poller_step(k, p)
    elif behaviour == B_CONTINUATION:
        process["call"] = SYS_CONTINUE
    else:
        process["call"] = SYS_PARK
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
def host_step(k: Tables, p: int) -> int:
    """A Python generator says what it does next: stage is 0 (ask it), 1 + U_BURST or 1 + U_CALL (it has said so)."""
    process = k.process[p]
    stage = process["stage"]
    process["stage"] = 0
    return U_HOST if stage == 0 else int(stage - 1)


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


@hot
def pass_time(k: Tables, c: int) -> None:
    """Charge what has passed on core `c` since it was last looked at: work, idling, waiting for the lock."""
    core = k.core[c]
    elapsed = k.meter[0]["now"] - core["since"]
    if k.config[0]["contexts"] != 0 and core["phase"] in (USER, LOCKED):
        x = k.process[core["process"]]["on"] if core["process"] != NONE else UNLIMITED
        consume(k, x, FOR_USER if core["phase"] == USER else FOR_LOCK, core["since"], elapsed)
    core["since"] = k.meter[0]["now"]
    if core["phase"] == USER:
        process = k.process[core["process"]]
        done = max(0, elapsed - (process["left"] - process["owed"]))
        process["left"] -= elapsed
        process["owed"] -= done
        if process["spinning"] != 0:
            charge(k, process["account"], IN_SPIN, SPIN, done)
        else:
            charge(k, process["account"], IN_USER, WORK, done)
    elif core["phase"] == LOCKED:
        account = payer(k, core["process"]) if core["process"] != NONE else core["account"]
        charge(k, account, IN_LOCK, LOCK_WAIT, elapsed)
    elif core["phase"] == IDLING:
        charge(k, core["account"], IN_IDLE, IDLE, elapsed)


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


@hot
def pass_user_time(k: Tables) -> None:
    """Charge what has passed on the cores in user mode, so that the budgets of their threads are as they are now."""
    for c in range(k.config[0]["cores"]):
        if k.core[c]["phase"] == USER:
            pass_time(k, c)


@hot
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


@hot
def take_interrupts(k: Tables, c: int) -> int:
    """Handle the timers that are due on core `c`; return the account of the first beneficiary."""
    core = k.core[c]
    t = core["pending_first"]
    p = beneficiary_of(k, c, t)
    account = payer(k, p) if p != NONE else int(core["account"])
    payers = k.config[0]["contexts"] != 0
    if payers and p != NONE and k.process[p]["on"] != k.meter[0]["paying"]:
        pay(k, k.process[p]["on"], FOR_KERNEL)
        charge_change(k, account)
    charge(k, account, IN_INTERRUPT, INTERRUPT, ONE)
    while t != NONE:
        if payers and p != NONE:
            pay(k, k.process[p]["on"], FOR_KERNEL)
        core["pending_first"] = k.timer[t]["follower"]
        k.timer[t]["pending"] = 0
        fire(k, t)
        drain(k)
        t = core["pending_first"]
        p = beneficiary_of(k, c, t) if t != NONE else p
    return account


@hot
def beneficiary_of(k: Tables, c: int, t: int) -> int:
    """Return the process that an interrupt of core `c` serves, for timer `t` or, NONE, for a thread that is ready.

    NONE: nobody, a command from outside. In charge mode `current` it is taken for whoever runs.
    """
    core = k.core[c]
    kind = k.timer[t]["kind"] if t != NONE else T_NOTHING
    if kind == T_COMMAND:
        return NONE
    if k.config[0]["charge_mode"] == CURRENT and core["process"] != NONE:
        return int(core["process"])
    if kind == T_NOTHING:
        level = highest_ready(k, c)
        return first(k, core["queues"] + Q_READY + level) if level >= 0 else int(core["process"])
    target = k.timer[t]["target"]
    if kind == T_WAKE:
        return int(target)
    if kind == T_DEADLINE:
        return int(k.request[target]["process"])
    if kind == T_PAGE:
        return int(k.page[target]["process"])
    if kind == T_LEAD:
        return int(target)
    if kind == T_REFILL:
        p = first(k, k.context[target]["queues"] + Q_POSTPONED)
        return p if p != NONE else int(core["process"])
    return int(k.graft[target]["process"])


@hot
def fire(k: Tables, t: int) -> None:
    """Do what timer `t` was set for; T_NOTHING was taken back after it was due."""
    kind, target = k.timer[t]["kind"], k.timer[t]["target"]
    if kind == T_NOTHING:
        give(k, P_TIMER, k.timer, t)
    elif kind == T_WAKE:
        stop_waiting(k, target)
        if k.process[target]["ready_at"] != NEVER:
            k.process[target]["ready_at"] = k.timer[t]["due"]  # however long the kernel was busy with something else
    elif kind == T_DEADLINE:
        expire(k, target)
    elif kind == T_PAGE:
        give(k, P_TIMER, k.timer, t)
        arrive_page(k, target)
    elif kind == T_LEAD:
        give(k, P_TIMER, k.timer, t)
        k.process[target]["lead_timer"] = NONE
        foretell(k, target, FROM_TIMER)
    elif kind in (T_GRAFT, T_PERIODIC):
        fire_graft(k, t)
    elif kind == T_REFILL:
        give(k, P_TIMER, k.timer, t)
        refill(k, target)
    elif kind == T_COMMAND:
        command = k.timer[t]["argument"]
        give(k, P_TIMER, k.timer, t)
        obey(k, command, target)
    else:
        fire_user(k, t)


# --- from outside -----------------------------------------------------------------------------------------------------


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
