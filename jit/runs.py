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
from grafting.diagnostics import Diagnostic, Label, fail
from grafting.hooks import GRAFT_HOOKS, Event
from grafting.program import Handler, OpSpec, Program
from grafting.spelling import nearest
from jit.activation import Observe, activate, run_raw
from jit.describe import answer_text, op_name, send_text, slot_name, timer_text
from jit.dispatch import Slots, find_handler, subject_for, unknown_slot
from jit.events import Activation, Answer, Armed, Breach, Message
from jit.faults import Fault, span_at
from jit.overrun import Overrun, overrun
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

    @property
    def misbehaved(self) -> bool:
        """Whether it did what no verified program does."""
        return self.fault is not None or self.overrun is not None or bool(self.activation.breaches)

    @property
    def overrun(self) -> Overrun | None:
        """What of the handler's budget, or of the stack, it exceeded, or None."""
        return overrun(self.program.handler(self.activation.handler), self.activation.cost)

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """What it did that no verified program does, G0701 each."""
        handler = self.program.handler(self.activation.handler)
        return _diagnostics(self.program, handler, self.fault, self.overrun, self.activation.breaches)

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
            "breaches": [breach.as_dict() for breach in result.breaches],
            "hints": [{"address": hint.address, "pages": hint.pages} for hint in result.hints],
            "changes": [{"what": c.what, "before": c.before, "after": c.after} for c in self.changes],
            "instructions": result.instructions,
            "cost": result.cost.as_dict(),
            "overrun": self.overrun.as_dict() if self.overrun else None,
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
        rows += [("breach", f"{breach.what} (slot {breach.pc})") for breach in result.breaches]
        rows += [("changed", str(change)) for change in self.changes]
        rows.append(("cost", _cost_text(result.cost)))
        if self.overrun is not None:
            rows.append(("overrun", self.overrun.sentence))
        return _table(rows) + _fault_text(self.program, result.fault)


@dataclass(frozen=True, slots=True)
class RawResult:
    """What a run of a raw program did: r0, and the memory before and after."""

    program: Program
    r0: int
    instructions: int
    stack_bytes: int
    before: bytes
    after: bytes
    fault: Fault | None

    @property
    def misbehaved(self) -> bool:
        """Whether it did what no verified program does."""
        return self.fault is not None or self.overrun is not None

    @property
    def overrun(self) -> Overrun | None:
        """By how much it exceeded the stack, or None."""
        return overrun(self.program.handlers[0], CostVector(stack_bytes=self.stack_bytes))

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """What it did that no verified program does, G0701 each."""
        return _diagnostics(self.program, self.program.handlers[0], self.fault, self.overrun)

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
            "overrun": self.overrun.as_dict() if self.overrun else None,
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
        if self.overrun is not None:
            rows.append(("overrun", self.overrun.sentence))
        return _table(rows) + _fault_text(self.program, self.fault)


@dataclass(frozen=True, slots=True)
class Activity:
    """What is to be run: a handler, from a state of its own, on a message; of a raw program its body is the memory.

    `fuel`: as the input says, None if it does not.
    """

    handler: Handler
    message: Message
    state: GraftState
    slots: Slots = None
    clock: int = 0
    fuel: int | None = None


def run_once(
    program: Program,
    event: str | None,
    body: bytes,
    *,
    fuel: int | None = None,
    engine: str = "python",
    observe: Observe | None = None,
    **given: Any,
) -> RunResult | RawResult:
    """Run a handler of `program` once from a fresh state, on what `activity` makes of the arguments.

    `observe` wraps the interpreter's loop. Raises what `activity` raises, and GraftError G0703 or G0704.
    """
    return run(activity(program, event, body, **given), fuel=fuel, engine=engine, observe=observe)


def run_input(
    program: Program,
    text: str,
    *,
    fuel: int | None = None,
    engine: str = "python",
    observe: Observe | None = None,
) -> RunResult | RawResult:
    """Run the input that JSON text describes (`jit.witness.inputs`) from a fresh state; `fuel` overrides its own.

    Raises GraftError G07xx as `run_once` does, G0706 if the text is no input.
    """
    return run(activity_of(program, text), fuel=fuel, engine=engine, observe=observe)


def activity(
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
) -> Activity:
    """Return an activation on a fresh state into which `entries` have been put.

    `event` is an event or the name of a handler; it may be None where there is one handler only. Of a raw program
    `body` is the memory. A `failure` without a status has -5 (EIO). Raises GraftError G07xx: a name that does not
    exist, a value that does not fit, no handler for the event.
    """
    if _is_raw(program):
        return Activity(program.handlers[0], Message(body=body), GraftState(program))
    handler, slot_number, op_number = _choose(program, event, slot, op)
    state = GraftState(program)
    for name, key, value in entries:
        _put(state, name, key, value)
    if handler.hook.event is Event.FAILURE and status == 0:
        status = FAILED
    return Activity(handler, Message(tag, badge, op_number or 0, status, slot_number, body), state, clock=now)


def activity_of(program: Program, text: str) -> Activity:
    """Return the activation that JSON text describes (`jit.witness.inputs`). Raises GraftError G07xx."""
    from jit.witness import inputs, replay  # which import this module's neighbours, and much more

    name, given, fuel = inputs.from_json(text)
    state = GraftState(program)
    if _is_raw(program):
        return Activity(program.handlers[0], Message(body=given.body), state, fuel=fuel)
    slots = replay.prepare(state, given)
    handler, _, _ = _choose(program, name, None, None)
    return Activity(handler, replay.message_of(given), state, slots, given.field("now"), fuel)


def run(
    given: Activity, *, fuel: int | None = None, engine: str = "python", observe: Observe | None = None
) -> RunResult | RawResult:
    """Run an activation once; its state is changed. Raises GraftError G07xx, natively also what verifying raises."""
    state, program = given.state, given.state.program
    subject = subject_for(program, engine)
    fuel = given.fuel if fuel is None else fuel
    if given.handler.hook.event is None:
        before, memory = given.message.body, bytearray(given.message.body)
        outcome, fault = run_raw(subject, memory, fuel=fuel, engine=engine, observe=observe)
        return RawResult(program, outcome.r0, outcome.instructions, outcome.stack_bytes, before, bytes(memory), fault)
    at_first = state.snapshot()
    result = activate(
        subject, given.handler.name, given.message, state,
        slots=given.slots, clock=given.clock, fuel=fuel, engine=engine, observe=observe,
    )  # fmt: skip
    return RunResult(program, result, state.changes(at_first))


def _is_raw(program: Program) -> bool:
    return all(handler.hook.event is None for handler in program.handlers)


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


def _diagnostics(
    program: Program, handler: Handler, fault: Fault | None, overrun: Overrun | None, breaches: Sequence[Breach] = ()
) -> tuple[Diagnostic, ...]:
    source, name = program.debug.source, handler.name
    found = [fault.diagnostic(source)] if fault else []
    for breach in breaches:
        label = Label(span_at(program, handler, breach.pc), "here")
        found.append(Diagnostic("G0701", breach.what, label, source, handler=name, pc=breach.pc))
    if overrun:
        found.append(Diagnostic("G0701", overrun.sentence, Label(handler.budget.span), source, handler=name))
    return tuple(found)


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
