"""One run of one program, with everything about it told: what `graft run` shows.

Names are taken as people write them, slots and operations also by number; keys and values of map entries are numbers
(`7`, `0x1f`), `true`, `Kind.leaf`, JSON (`{"index": 12}`, `[1, 2]`) or hexadecimal digits of the whole value.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from grafting import render
from grafting.costs import CostVector
from grafting.diagnostics import fail
from grafting.hooks import GRAFT_HOOKS, Event
from grafting.program import Handler, OpSpec, Program
from grafting.spelling import nearest
from jit.activation import activate, run_raw
from jit.describe import answer_text, op_name, send_text, slot_name, timer_text
from jit.dispatch import find_handler, unknown_slot
from jit.events import Activation, Answer, Armed, Message
from jit.faults import Fault
from jit.state import Change, GraftState
from jit.values import Value, hexadecimal

FAILED: Final = -5  # the status of a `failure` that is given none: -EIO
Entry = tuple[str, str, str]  # map, key, value


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run of a graft's handler did. `changes` are of maps, state variables, timers and held operations."""

    program: Program
    activation: Activation
    changes: tuple[Change, ...]

    @property
    def fault(self) -> Fault | None:
        """Why it did not come to its end, or None."""
        return self.activation.fault

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON-ready data."""
        result = self.activation
        return {
            "handler": result.handler,
            "event": result.hook.name,
            "verdict": None if result.verdict is None else result.verdict_name,
            "r0": result.verdict,
            "sent": [
                {
                    "slot": slot_name(self.program, send.slot),
                    "op": op_name(self.program.slots[send.slot], send.op),
                    "tag": send.tag,
                    "body": send.body.hex(),
                    "deadline_ns": send.deadline_ns,
                    "caps": list(send.caps),
                    "promise": send.promise,
                }
                for send in result.outbox
            ],
            "answer": _answer_dict(result.answer),
            "armed": [[t.id, t.delay_ns] for t in result.timers if isinstance(t, Armed)],
            "cancelled": [t.id for t in result.timers if not isinstance(t, Armed)],
            "released": [{"tag": release.tag, "status": release.status} for release in result.releases],
            "hints": [{"address": hint.address, "pages": hint.pages} for hint in result.hints],
            "changes": [{"what": c.what, "before": c.before, "after": c.after} for c in self.changes],
            "instructions": result.instructions,
            "cost": result.cost.as_dict(),
            "fault": result.fault.as_dict() if result.fault else None,
        }

    def describe(self) -> str:
        """Return the result for people, a line for each thing that happened."""
        result = self.activation
        rows = [("handler", result.handler)]
        if result.fault is None:
            rows.append(("verdict", _steered(self.program, result)))
        rows += [("sent", send_text(self.program, send)) for send in result.outbox]
        if result.answer is not None:
            rows.append(("answer", answer_text(result.answer)))
        rows += [("timer", timer_text(timer)) for timer in result.timers]
        rows += [("released", f"tag {release.tag} status {release.status}") for release in result.releases]
        rows += [("hint", f"{hint.pages} pages at {hint.address:#x}") for hint in result.hints]
        rows += [("changed", str(change)) for change in self.changes]
        rows.append(("cost", _cost_text(result.cost)))
        return _table(rows) + _fault_text(self.program, result.fault)


@dataclass(frozen=True, slots=True)
class RawResult:
    """What a run of a raw program did: r0, and the memory before and after."""

    program: Program
    r0: int
    instructions: int
    before: bytes
    after: bytes
    fault: Fault | None

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON-ready data."""
        return {
            "handler": self.program.handlers[0].name,
            "event": self.program.handlers[0].event,
            "verdict": None,
            "r0": None if self.fault else self.r0,
            "memory": self.after.hex(),
            "changes": [
                {"what": f"memory[{at}..{at + len(new)}]", "before": old.hex(), "after": new.hex()}
                for at, old, new in _differences(self.before, self.after)
            ],
            "instructions": self.instructions,
            "fault": self.fault.as_dict() if self.fault else None,
        }

    def describe(self) -> str:
        """Return the result for people."""
        rows = [] if self.fault else [("r0", f"{self.r0} ({self.r0:#x})")]
        rows += [
            ("changed", f"memory[{at}..{at + len(new)}]: {hexadecimal(old)} → {hexadecimal(new)}")
            for at, old, new in _differences(self.before, self.after)
        ]
        rows.append(("cost", f"{self.instructions} instruction{'' if self.instructions == 1 else 's'}"))
        return _table(rows) + _fault_text(self.program, self.fault)


def run_once(
    program: Program,
    event: str | None,
    body: bytes,
    *,
    slot: str | None = None,
    op: str | None = None,
    tag: int = 0,
    badge: int = 0,
    status: int = 0,
    now: int = 0,
    entries: Sequence[Entry] = (),
    fuel: int | None = None,
    engine: str = "python",
) -> RunResult | RawResult:
    """Run a handler of `program` once from a fresh state into which `entries` have been put.

    `event` is an event or the name of a handler; it may be None where there is one handler only. Of a raw program
    `body` is the memory. A `failure` without a status has -5 (EIO). Raises GraftError G07xx: a name that does not
    exist, a value that does not fit, no handler for the event.
    """
    if all(handler.hook.event is None for handler in program.handlers):
        memory = bytearray(body)
        outcome, fault = run_raw(program, memory, fuel=fuel, engine=engine)
        return RawResult(program, outcome.r0, outcome.instructions, body, bytes(memory), fault)
    handler, slot_number, op_number = _choose(program, event, slot, op)
    state = GraftState(program)
    for name, key, value in entries:
        _put(state, name, key, value)
    if handler.hook.event is Event.FAILURE and status == 0:
        status = FAILED
    message = Message(tag, badge, op_number or 0, status, slot_number, body)
    before = state.snapshot()
    result = activate(program, handler.name, message, state, clock=now, fuel=fuel, engine=engine)
    return RunResult(program, result, state.changes(before))


# --- names -----------------------------------------------------------------------------------------------------------


def _choose(
    program: Program, event: str | None, slot: str | None, op: str | None
) -> tuple[Handler, int | None, int | None]:
    """Return handler, slot and operation. What is not given is taken from the selector of the only handler in question.

    So `--event reply` is enough where the graft has just `on reply(..) from disk.read`.
    """
    if event is None:
        if len(program.handlers) > 1:
            have = ", ".join(handler.name for handler in program.handlers)
            raise fail("G0703", f"`{program.name}` has {len(program.handlers)} handlers: which event is meant?",
                       helps=(f"they are {have}",))  # fmt: skip
        event = program.handlers[0].name
    candidates = [h for h in program.handlers if event in (h.name, h.hook.name)]
    request = bool(candidates) and candidates[0].hook.event is Event.REQUEST
    slot_number = None if slot is None or request else _slot(program, slot)
    op_number = None if op is None else _op(program, slot_number, op, request)
    exact = [h for h in candidates if h.name == event and event not in GRAFT_HOOKS]
    only = (exact or candidates)[0] if exact or len(candidates) == 1 else None
    if only is not None and only.selector and slot is None and op is None:
        slot_number, op_number = _selected(program, only)
    if slot_number is None and not request and op is not None:
        slot_number = _slot_with(program, op)
    return find_handler(program, event, slot_number or 0, op_number or 0), slot_number, op_number


def _selected(program: Program, handler: Handler) -> tuple[int | None, int | None]:
    """Return slot and operation that a handler's selector names."""
    of, _, operation = handler.selector.partition(".")
    if handler.hook.event is Event.REQUEST:
        found = [(None, p) for p in program.serves if p.name == of]
        return next(((None, spec.number) for _, p in found if (spec := p.op(operation))), (None, None))
    slots = [(number, slot.protocol) for number, slot in enumerate(program.slots) if slot.name == of]
    return next(((number, spec.number) for number, p in slots if (spec := p.op(operation))), (None, None))


def _slot(program: Program, text: str) -> int:
    for number, spec in enumerate(program.slots):
        if text in (spec.name, str(number)):
            return number
    raise unknown_slot(program, text)


def _slot_with(program: Program, op: str) -> int | None:
    """Return the first slot whose protocol has the operation called `op`."""
    return next((number for number, slot in enumerate(program.slots) if slot.protocol.op(op)), None)


def _op(program: Program, slot: int | None, text: str, request: bool) -> int:
    if request:
        protocols = list(program.serves)
    else:
        protocols = [spec.protocol for number, spec in enumerate(program.slots) if slot in (None, number)]
    known: list[OpSpec] = [op for protocol in protocols for op in protocol.ops]
    for spec in known:
        if text in (spec.name, str(spec.number)):
            return spec.number
    names = [spec.name for spec in known]
    near = nearest(text, names)
    helps = (f"did you mean `{near}`?",) if near else (f"the operations are {', '.join(names) or 'none'}",)
    raise fail("G0704", f"there is no operation `{text}`", helps=helps)


# --- map entries -----------------------------------------------------------------------------------------------------


def _put(state: GraftState, name: str, key: str, value: str) -> None:
    view = state.map(name)
    spec = view.spec
    view[_parse(key, spec.key_size, f"a key of `{name}`")] = _parse(value, spec.value_size, f"a value of `{name}`")


def _parse(text: str, size: int, what: str) -> Value:
    """Return the value that `text` stands for; the map's own types have the last word."""
    try:
        return int(text.replace("_", ""), 0)
    except ValueError:
        pass
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        data = bytes.fromhex(text)
    except ValueError:
        if text.replace(".", "").isidentifier():
            return text  # a variant of an enum
        raise fail("G0706", f"{text!r} is not {what}", helps=("write a number, JSON or hexadecimal digits",)) from None
    return data if len(data) == size or not text.isidentifier() else text


# --- text ------------------------------------------------------------------------------------------------------------


def _answer_dict(answer: Answer | None) -> dict[str, Any] | None:
    return None if answer is None else {"status": answer.status, "body": answer.body.hex()}


def _steered(program: Program, result: Activation) -> str:
    name, _, number = result.verdict_name.partition(" ")
    return f"{name} {slot_name(program, int(number))}" if number else name


def _cost_text(cost: CostVector) -> str:
    parts = [_count(cost.instructions, "instruction"), _count(cost.helper_calls, "helper call")]
    if cost.sends:
        parts.append(f"{_count(cost.sends, 'send')} of {_count(cost.bytes_sent, 'byte')}")
    parts.append(f"{_count(cost.stack_bytes, 'byte')} of stack")
    return ", ".join(parts)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _table(rows: Sequence[tuple[str, str]]) -> str:
    return "\n".join(f"{label:<9} {text}" for label, text in rows)


def _fault_text(program: Program, fault: Fault | None) -> str:
    return "" if fault is None else "\n\n" + render.full(fault.diagnostic(program.debug.source))


def _differences(before: bytes, after: bytes) -> list[tuple[int, bytes, bytes]]:
    """Return (offset, old, new) of each run of bytes that changed."""
    found: list[tuple[int, bytes, bytes]] = []
    at = 0
    while at < len(before):
        end = at
        while end < len(before) and before[end] != after[end]:
            end += 1
        if end > at:
            found.append((at, before[at:end], after[at:end]))
        at = end + 1
    return found
