"""Effects in the source's words: `disk.read(101) tag 7`, `7 after 1000`."""

from __future__ import annotations

from grafting.program import Program, SlotSpec
from jit.events import Answer, Armed, Cancelled, Release, Send
from jit.values import Types, hexadecimal


def slot_name(program: Program, number: int) -> str:
    """Return the name of a slot, or its number where none is declared."""
    return program.slots[number].name if 0 <= number < len(program.slots) else f"slot {number}"


def op_name(slot: SlotSpec | None, number: int) -> str:
    """Return the name of an operation of a slot's protocol, or its number."""
    named = [op.name for op in slot.protocol.ops if op.number == number] if slot else []
    return named[0] if named else f"op {number}"


def body_text(body: bytes) -> str:
    """Return a body as a number if it is as long as one, else as hexadecimal digits; empty if it is."""
    return Types().describe("", body) if body else ""


def send_text(program: Program, send: Send) -> str:
    """Return a message in the outbox as the source would write it."""
    slot = program.slots[send.slot] if send.slot < len(program.slots) else None
    text = f"{slot_name(program, send.slot)}.{op_name(slot, send.op)}({body_text(send.body)}) tag {send.tag}"
    if send.deadline_ns:
        text += f" deadline {send.deadline_ns}"
    if send.caps:
        text += f" with {', '.join(slot_name(program, cap) for cap in send.caps)}"
    if send.promise is not None:
        text += f" promise {slot_name(program, send.promise)}"
    return text


def answer_text(answer: Answer | None) -> str:
    """Return an answer in words."""
    if answer is None:
        return "no answer"
    return f"status {answer.status}, body {hexadecimal(answer.body)}"


def release_text(release: Release) -> str:
    """Return how a held operation was let go."""
    return f"{release.tag}" if release.status == 0 else f"{release.tag} status {release.status}"


def timer_text(timer: Armed | Cancelled) -> str:
    """Return what was done to a timer."""
    match timer:
        case Armed(id_, delay_ns):
            return f"{id_} after {delay_ns}"
        case Cancelled(id_):
            return f"{id_} cancelled"
