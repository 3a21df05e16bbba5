"""The kernel's helpers for an activation that stands alone: they collect what is to be done instead of doing it.

Each checks everything before its first effect and gives an errno for each no, the same that the simulated kernel gives:

    -EINVAL  no such slot or operation, a body of the wrong size, a range outside the message, a delay too long
    -EBADF   the slot is empty       -EPERM   the slot lacks the right to send, or to grant
    -EAGAIN  a quota is used up      -ENOENT  no such timer, no such held operation

A pointer that leads nowhere is a fault, as in an instruction. The places at endpoints, which a kernel reserves, are
not modelled: any number of messages up to the outbox quota finds room.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from grafting import hooks, limits
from grafting.hooks import CAP_OF_MESSAGE, NO_SLOT, SEND_OPTIONS_BYTES
from grafting.program import Program, SlotSpec
from jit.events import Answer, Armed, Breach, Cancelled, Hint, Message, Release, Send
from jit.machine import Machine, fault, reach, resume
from jit.memory import READ
from jit.words import i64, load32, load64, u64

EPERM: Final = -1
ENOENT: Final = -2
EBADF: Final = -9
EAGAIN: Final = -11
EINVAL: Final = -22
LOWEST_STATUS: Final = -4095

_CAPS, _NCAPS, _PROMISE = (field.offset for field in hooks.SEND_OPTIONS[1:])
_MAX_CAPS: Final = hooks.SEND_OPTIONS[1].size // 4


class Effects:
    """What one activation has asked for so far. `timers` and `held` are the graft's own, copied: see `GraftState`."""

    def __init__(
        self,
        program: Program,
        filled: tuple[bool, ...],
        message: Message,
        now_ns: int,
        timers: dict[int, int],
        held: Counter[int],
    ) -> None:
        self._slots = program.slots
        self._filled = filled
        self._message = message
        self._now_ns = now_ns
        self.timers = dict(timers)
        self.held = Counter(held)
        self.outbox: list[Send] = []
        self.answer: Answer | None = None
        self.timed: list[Armed | Cancelled] = []
        self.releases: list[Release] = []
        self.hints: list[Hint] = []
        self.breaches: list[Breach] = []
        self._pc = 0  # of the call that is being served

    def serve(self, m: Machine) -> bool:
        """Do what the stopped machine asks for and let it go on; False if the call was a fault."""
        r1, r2, r3, r4, r5 = (u64(m.registers[number]) for number in range(1, 6))
        self._pc = int(m.control[0]["pc"] - m.control[0]["code_base"]) - 1
        match int(m.control[0]["helper"]):
            case 1000:
                return self._serve_read(m, r4, r5, lambda body: self._send(r1, r2, r3, body))
            case 1001:
                resume(m, self._send_from_body(r1, r2, r3, r4, r5))
            case 1002:
                return self._serve_read(m, r4, r5, lambda record: self._send_with(r1, r2, r3, record))
            case 1003:
                return self._serve_read(m, r2, r3, lambda body: self._set_answer(r1, body))
            case 1004:
                resume(m, self._arm(r1, r2))
            case 1005:
                resume(m, self._cancel(r1))
            case 1006:
                resume(m, self._release(r1, i64(r2)))
            case 1007:
                self.hints.append(Hint(r1, r2))
                resume(m, 0)
            case _:
                body = self._body(r2, r3)
                resume(m, EINVAL if body is None else self._set_answer(r1, body))
        return True

    def _serve_read(self, m: Machine, where: int, length: int, effect: Callable[[bytes], int]) -> bool:
        """Run `effect` on the bytes at a virtual address."""
        if length > limits.BODY_BYTES + SEND_OPTIONS_BYTES:
            resume(m, EINVAL)
            return True
        at = reach(m, where, length, READ)
        if at < 0:
            fault(m, -at, where, length)
            return False
        resume(m, effect(m.arena[at : at + length].tobytes()))
        return True

    def _body(self, offset: int, length: int) -> bytes | None:
        """Return a range of the current message, or None if it is not within it."""
        size = len(self._message.body)
        return self._message.body[offset : offset + length] if offset <= size and length <= size - offset else None

    # --- sending -----------------------------------------------------------------------------------------------------

    def _send(self, slot: int, op: int, tag: int, body: bytes) -> int:
        return self._post(Send(slot, op, tag, body))

    def _send_from_body(self, slot: int, op: int, tag: int, offset: int, length: int) -> int:
        body = self._body(offset, length)
        return EINVAL if body is None else self._post(Send(slot, op, tag, body))

    def _send_with(self, slot: int, op: int, tag: int, record: bytes) -> int:
        if len(record) < SEND_OPTIONS_BYTES or load64(record, 0) > limits.TIMER_DELAY_NS:
            return EINVAL
        count, promise = load32(record, _NCAPS), load32(record, _PROMISE)
        if count > _MAX_CAPS or (promise != NO_SLOT and promise >= len(self._slots)):
            return EINVAL
        caps = tuple(load32(record, _CAPS + 4 * number) for number in range(count))
        refused = next((status for status in map(self._check_cap, caps) if status), 0)
        if refused:
            return refused
        body = record[SEND_OPTIONS_BYTES:]
        return self._post(Send(slot, op, tag, body, load64(record, 0), caps, None if promise == NO_SLOT else promise))

    def _check_cap(self, cap: int) -> int:
        """Return 0 if a capability may be given away, else a negated errno."""
        if cap & CAP_OF_MESSAGE:
            return 0 if cap & ~CAP_OF_MESSAGE < self._message.ncaps else EINVAL
        if cap >= len(self._slots):
            return EINVAL
        if not self._filled[cap]:
            return EBADF
        if not self._slots[cap].grant:
            return self._breach(EPERM, f"`{self._slots[cap].name}` is declared without the right to be given away")
        return 0

    def _post(self, send: Send) -> int:
        """Check and reserve a send; returns 0 or a negated errno."""
        if send.slot >= len(self._slots):
            return self._breach(EINVAL, f"slot {send.slot} is not declared")
        if not self._filled[send.slot]:
            return EBADF
        slot = self._slots[send.slot]
        if not slot.send:
            return self._breach(EPERM, f"`{slot.name}` is declared without the right to send")
        if not _takes(slot, send.op, len(send.body)):
            what = f"`{slot.name}` takes no operation {send.op} with {len(send.body)} bytes"
            return self._breach(EINVAL, what)
        if len(self.outbox) >= limits.OUTBOX_ENTRIES:
            return EAGAIN
        self.outbox.append(send)
        return 0

    def _breach(self, status: int, what: str) -> int:
        self.breaches.append(Breach(self._pc, what))
        return status

    def _set_answer(self, status: int, body: bytes) -> int:
        if len(body) > limits.BODY_BYTES:
            return EINVAL
        self.answer = Answer(i64(status), body)  # in place of an earlier one
        return 0

    # --- timers and held operations ----------------------------------------------------------------------------------

    def _arm(self, id_: int, delay_ns: int) -> int:
        if delay_ns > limits.TIMER_DELAY_NS:
            return EINVAL
        if id_ not in self.timers and len(self.timers) >= limits.TIMERS_ARMED:
            return EAGAIN
        self.timers[id_] = self._now_ns + delay_ns
        self.timed.append(Armed(id_, delay_ns))
        return 0

    def _cancel(self, id_: int) -> int:
        if id_ not in self.timers:
            return ENOENT
        del self.timers[id_]
        self.timed.append(Cancelled(id_))
        return 0

    def _release(self, tag: int, status: int) -> int:
        if self.held[tag] == 0:
            return ENOENT
        if not LOWEST_STATUS <= status <= 0:
            return EINVAL
        self.held[tag] -= 1
        self.releases.append(Release(tag, status))
        return 0


def _takes(slot: SlotSpec, op: int, size: int) -> bool:
    """Whether the protocol of a slot has an operation with this number and this size of request."""
    return any(spec.number == op and spec.request_min <= size <= spec.request_max for spec in slot.protocol.ops)
