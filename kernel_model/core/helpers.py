"""The helpers of the kernel: what a handler asks for while it runs. Checks first, then effects, one errno for each no.

The machine has stopped at the call with its arguments in r1 to r5. `serve_helper` does what was asked, leaves the
result in r0 and lets the program go on. Pure helpers (maps, clock, copy, fill) never come here; the machine does them
itself.
"""

from __future__ import annotations

from typing import Final

from grafting import limits
from jit.hot import constant, hot
from jit.machine import fault, reach, resume
from jit.memory import READ
from jit.words import i64, u64
from kernel_model.core.billing import charge
from kernel_model.core.heap import drop_timer, set_timer
from kernel_model.core.lists import append, first, unlink
from kernel_model.core.paging import hint
from kernel_model.core.pools import copy_body, count_step, give_body, room_for, take_request
from kernel_model.core.prices import HELPER_COPY_BYTE
from kernel_model.core.promises import dispatch, must_wait
from kernel_model.core.requests import finish
from kernel_model.core.room import has_completion, has_place, reserve_place
from kernel_model.core.sends import send_from_body, serve_send, within_body
from kernel_model.core.streams import renew
from kernel_model.core.tables import (
    EAGAIN,
    EINVAL,
    ENOENT,
    ERROR,
    NEVER,
    NONE,
    ORDER,
    Q_DRAFTS,
    Q_HELD,
    Q_ORPHANS,
    Q_REJECTS,
    Q_TIMERS,
    R_DRAFT,
    R_HELD,
    T_GRAFT,
    T_PERIODIC,
    T_USER,
    UNSHARED,
    Tables,
)

H_SEND: Final = 1000
H_SEND_FROM_BODY: Final = 1001
H_SEND_WITH: Final = 1002
H_ANSWER: Final = 1003
H_TIMER_ARM: Final = 1004
H_TIMER_CANCEL: Final = 1005
H_RELEASE: Final = 1006
H_HINT: Final = 1007

LONGEST: Final = constant(limits.BODY_BYTES)
LONGEST_DELAY: Final = constant(limits.TIMER_DELAY_NS)
TIMERS: Final = limits.TIMERS_ARMED
PS_PER_NS: Final = 1000
DONE: Final = 0


@hot
def serve_helper(k: Tables, g: int, account: int, category: int) -> int:
    """Do what the stopped machine asks for; return 0, or -1 if the call was a fault."""
    m = k.machine
    number = m.control[0]["helper"]
    if number in (H_SEND, H_SEND_WITH):
        return serve_send(k, g, account, category, number)
    if number == H_ANSWER:
        return serve_answer(k, account, category)
    if number == H_SEND_FROM_BODY:
        result = send_from_body(k, g, account, category)
    elif number == H_TIMER_ARM:
        result = arm_timer(k, g, i64(m.registers[1]), u64(m.registers[2]))
    elif number == H_TIMER_CANCEL:
        result = cancel_timer(k, g, i64(m.registers[1]))
    elif number == H_RELEASE:
        result = release(k, g, i64(m.registers[1]), i64(m.registers[2]))
    elif number == H_HINT:
        result = take_hint(k, g)
    else:
        result = answer_from_body(k, account, category)
    resume(m, result)
    return DONE


@hot
def take_hint(k: Tables, g: int) -> int:
    """Helper 1007: advice, which means something in the kernel and where pages can be out."""
    if k.memory[0]["frames"] == 0 or k.meter[0]["in_user"] != 0:
        return DONE
    return hint(k, k.graft[g]["process"], i64(k.machine.registers[1]), i64(k.machine.registers[2]))


# --- answer -----------------------------------------------------------------------------------------------------------


@hot
def serve_answer(k: Tables, account: int, category: int) -> int:
    """Helper 1003: the answer is in memory."""
    m = k.machine
    length = u64(m.registers[3])
    if length > LONGEST:
        resume(m, -EINVAL)
        return DONE
    at = reach(m, u64(m.registers[2]), i64(length), READ)
    if at < 0:
        fault(m, -at, u64(m.registers[2]), length)
        return NONE
    set_answer(k, at, i64(length), account, category)
    resume(m, DONE)
    return DONE


@hot
def answer_from_body(k: Tables, account: int, category: int) -> int:
    """Helper 1010: the answer is a range of the message."""
    m = k.machine
    offset, length = u64(m.registers[2]), u64(m.registers[3])
    if not within_body(k, offset, length):
        return -EINVAL
    set_answer(k, k.meter[0]["body"] + i64(offset), i64(length), account, category)
    return DONE


@hot
def set_answer(k: Tables, at: int, length: int, account: int, category: int) -> None:
    """Keep the answer, in place of an earlier one."""
    meter = k.meter[0]
    drop_answer(k)
    meter["answered"] = 1
    meter["answer_status"] = i64(k.machine.registers[1])
    meter["answer_body"] = copy_body(k, at, length)
    meter["answer_length"] = length
    meter["answer_room"] = room_for(length)
    count_step(k, length)
    charge(k, account, category, HELPER_COPY_BYTE, length)


@hot
def drop_answer(k: Tables) -> None:
    """Forget an answer that nobody will get."""
    meter = k.meter[0]
    if meter["answered"] != 0:
        give_body(k, meter["answer_body"], meter["answer_room"])
        meter["answered"] = 0


# --- timers -----------------------------------------------------------------------------------------------------------


@hot
def find_timer(k: Tables, g: int, id_: int) -> int:
    """Return the armed timer of graft `g` with this id, or NONE."""
    t = first(k, k.graft[g]["queues"] + Q_TIMERS)
    while t != NONE and k.timer[t]["argument"] != id_:
        t = k.timer[t]["next"]
    return int(t)


@hot
def arm_timer(k: Tables, g: int, id_: int, delay_ns: int) -> int:
    """Helper 1004. A timer of a client's operation keeps it open, and has a place among the completions."""
    meter, graft = k.meter[0], k.graft[g]
    in_user = meter["in_user"] != 0
    if delay_ns > LONGEST_DELAY:
        return -EINVAL
    t = find_timer(k, g, id_)
    if t == NONE and graft["armed"] >= TIMERS:
        return -EAGAIN
    reserved = t != NONE and k.timer[t]["kind"] != T_PERIODIC  # a periodic timer has none
    if not reserved and not has_completion(k, meter["owner"]):
        return -EAGAIN
    # --- commit ---
    if t != NONE:
        forget_timer(k, g, t)
    core = k.process[meter["owner"]]["core"]
    due = meter["now"] + i64(delay_ns) * PS_PER_NS
    t = set_timer(k, due, T_USER if in_user else T_GRAFT, core, g, id_)
    timer = k.timer[t]
    timer["fuel"] = NEVER if in_user else UNSHARED  # user mode is no activation whose fuel is divided
    timer["operation"] = meter["cookie"] if in_user else meter["operation"]
    append(k, graft["queues"] + Q_TIMERS, k.timer, t)
    graft["armed"] += 1
    k.process[meter["owner"]]["cq_reserved"] += 1
    if in_user:
        if meter["cookie"] != NONE:
            k.job[meter["cookie"]]["pending"] += 1
    elif meter["operation"] != NONE:
        k.operation[meter["operation"]]["outstanding"] += 1
    return DONE


@hot
def cancel_timer(k: Tables, g: int, id_: int) -> int:
    """Helper 1005."""
    t = find_timer(k, g, id_)
    if t == NONE:
        return -ENOENT
    # --- commit ---
    forget_timer(k, g, t)
    return DONE


@hot
def forget_timer(k: Tables, g: int, t: int) -> None:
    """Disarm a timer. Another operation than the event's own may lose its last hope by it: it is looked at later."""
    timer, graft = k.timer[t], k.graft[g]
    unlink(k, graft["queues"] + Q_TIMERS, k.timer, t)
    graft["armed"] -= 1
    if timer["kind"] != T_PERIODIC:
        k.process[graft["process"]]["cq_reserved"] -= 1
    if timer["kind"] == T_USER:
        if timer["operation"] != NONE:
            k.job[timer["operation"]]["pending"] -= 1
            renew(k, graft["process"], timer["operation"])
    elif timer["operation"] != NONE:
        operation = k.operation[timer["operation"]]
        operation["outstanding"] -= 1
        if operation["outstanding"] == 0:
            append(k, Q_ORPHANS, k.operation, timer["operation"])
    drop_timer(k, t)


# --- held operations --------------------------------------------------------------------------------------------------


@hot
def find_held(k: Tables, g: int, tag: int, state: int) -> int:
    """Return the request with this tag that graft `g` has held longest, in the kernel or as a draft; or NONE."""
    r = first(k, k.graft[g]["queues"] + Q_HELD)
    while r != NONE and (k.request[r]["tag"] != tag or k.request[r]["state"] != state):
        r = k.request[r]["next"]
    return int(r)


@hot
def write_order(k: Tables, g: int, tag: int, status: int) -> None:
    """Write the order to release what graft `g` holds in the kernel, among the drafts of the process in user mode."""
    r = take_request(k)
    request = k.request[r]
    request["vetted"] = ORDER
    request["graft"] = g
    request["tag"] = tag
    request["status"] = status
    append(k, k.process[k.meter[0]["owner"]]["queues"] + Q_DRAFTS, k.request, r)


@hot
def release(k: Tables, g: int, tag: int, status: int) -> int:
    """Helper 1006: let a held request go to its endpoint (status 0), or end it with this status.

    In user mode, what the library holds is a draft, and goes to the drafts or the rejects of its process; for what the
    kernel holds an order is written, which the library submits as it does its drafts.
    """
    graft, meter = k.graft[g], k.meter[0]
    if status > 0 or status < -4095:
        return -EINVAL
    held_as = R_DRAFT if meter["in_user"] != 0 else R_HELD
    r = find_held(k, g, tag, held_as)
    if r == NONE and held_as == R_DRAFT and find_held(k, g, tag, R_HELD) != NONE:
        write_order(k, g, tag, status)
        return DONE
    if r == NONE:
        return -ENOENT
    request = k.request[r]
    goes = status == 0 and held_as == R_HELD and request["endpoint"] != NONE
    goes = goes and (request["via"] == NONE or not must_wait(k, r, request["via"]))
    if goes and not has_place(k, request["endpoint"]):
        return -EAGAIN
    # --- commit ---
    unlink(k, graft["queues"] + Q_HELD, k.request, r)
    graft["held"] -= 1
    if held_as == R_DRAFT:
        request["status"] = status
        request["graft"] = g if status != 0 else NONE  # which is told that it has failed
        queue = k.process[meter["owner"]]["queues"] + (Q_DRAFTS if status == 0 else Q_REJECTS)
        append(k, queue, k.request, r)
        return DONE
    if status != 0:
        finish(k, r, ERROR, status)
        return DONE
    if goes:
        reserve_place(k, r)
    dispatch(k, r)
    return DONE
