"""Statements that ask something of the kernel: sends, timers, held operations, hints, answers.

Each may be refused, so `send` and `arm` have an `else`, which the caller has checked. What an event allows at all is
judged for the complete handler, with the functions that it calls (`grafting.checking.effects`).
"""

from __future__ import annotations

from grafting import hooks, syntax, typed
from grafting.checking.context import Context, EventContext
from grafting.checking.expressions import ReceivedCaps, demand, infer, integer, reference
from grafting.checking.layout import OpLayout
from grafting.checking.payloads import any_payload, arguments, struct_payload
from grafting.checking.scope import Poison, SlotName, describe, suggest
from grafting.diagnostics import Label, Span
from grafting.spelling import either
from grafting.types import I32, U64

GRANTS_MAX = 4  # capabilities that go with one message: the places of the `send_options` record


def find_slot(cx: Context, name: syntax.Ident) -> SlotName | None:
    """Return the capability slot of this name, or None if that was reported."""
    match cx.find(name.name):
        case SlotName() as slot:
            return slot
        case Poison():
            return None
        case None:
            cx.report.error("G0201", f"there is no capability slot `{name.name}`", name.span, "not found",
                            helps=suggest(name.name, cx.items.names_of(syntax.Cap)))  # fmt: skip
        case symbol:
            cx.report.error("G0223", f"`{name.name}` is {describe(symbol)}, not a capability slot", name.span)
    return None


def find_op(cx: Context, slot: SlotName, name: syntax.Ident) -> OpLayout | None:
    """Return an operation of the slot's protocol, or None if that was reported."""
    op = slot.protocol.ops.get(name.name)
    if op is None and (slot.protocol.sound or not slot.protocol.ops):
        cx.report.error(
            "G0205", f"protocol `{slot.protocol.spec.name}` has no operation `{name.name}`", name.span,
            "no such operation", labels=(Label(slot.protocol.span, "declared here"),),
            helps=suggest(name.name, slot.protocol.ops),
        )  # fmt: skip
    return op


def send(cx: Context, stmt: syntax.Send, otherwise: typed.Block | None) -> typed.Send | None:
    """Return a send; None if it has an error, which is reported."""
    slot = find_slot(cx, stmt.slot)
    op = find_op(cx, slot, stmt.op) if slot is not None else None
    head = stmt.slot.span.to(stmt.op.span)
    payload = arguments(cx, op, stmt.arguments, head) if op is not None else None
    if op is None:
        for operand in stmt.arguments:
            if isinstance(operand, syntax.Unary | syntax.Binary | syntax.Call):
                infer(cx, operand)
    tag = demand(cx, stmt.tag, U64) if stmt.tag is not None else typed.MessageField("tag", U64, head)
    deadline = demand(cx, stmt.deadline, U64) if stmt.deadline is not None else None
    grants = _grants(cx, stmt)
    promise = find_slot(cx, stmt.promise) if stmt.promise is not None else None
    if slot is None or op is None or payload is None or tag is None or grants is None or otherwise is None:
        return None
    if (stmt.deadline is not None and deadline is None) or (stmt.promise is not None and promise is None):
        return None
    if isinstance(payload, typed.BodyRange) and (stmt.deadline is not None or grants or promise is not None):
        cx.report.error(
            "G0228", "a part of the body cannot be sent with options", payload.span,
            notes=("`deadline`, `with` and `promise` need a body that the handler has built",),
            helps=("send a view or a struct literal instead, or leave the options out",),
        )  # fmt: skip
        return None
    return typed.Send(slot.number, op.spec, payload, tag, deadline, grants, promise.number if promise else None,
                      otherwise, stmt.span)  # fmt: skip


def _grants(cx: Context, stmt: syntax.Send) -> tuple[int | typed.Expr, ...] | None:
    if not stmt.grants:
        return ()
    if len(stmt.grants) > GRANTS_MAX:
        cx.report.error("G0225", f"a message carries at most {GRANTS_MAX} capabilities", stmt.grants[GRANTS_MAX].span,
                        f"there are {len(stmt.grants)}")  # fmt: skip
        return None
    found = [_grant(cx, expr) for expr in stmt.grants]
    sound = [grant for grant in found if grant is not None]
    return tuple(sound) if len(sound) == len(found) else None


def _grant(cx: Context, expr: syntax.Expr) -> int | typed.Expr | None:
    match expr:
        case syntax.Name(name=name):
            slot = find_slot(cx, syntax.Ident(name, span=expr.span))
            if slot is not None and not slot.spec.grant:
                cx.report.error(
                    "G0225", f"`{name}` may not be given away", expr.span, "needs the right `grant`",
                    labels=(Label(slot.span, "declared without it"),),
                    helps=(f"declare it as `cap {name}: {slot.spec.protocol.name} grant`",),
                )  # fmt: skip
                return None
            return slot.number if slot is not None else None
        case syntax.Index(base=syntax.Member() as base, index=index):
            found = reference(cx, base)
            if isinstance(found, ReceivedCaps):
                return integer(cx, index, U64, "an index")
            if found is None:
                return None
    cx.report.error("G0225", "expected a capability", expr.span, "not a capability",
                    helps=("name a slot, or one that came with the message: `msg.caps[0]`",))  # fmt: skip
    return None


# --- timers, held operations, hints ----------------------------------------------------------------------------------


def arm(cx: Context, stmt: syntax.ArmTimer, otherwise: typed.Block | None) -> typed.ArmTimer | None:
    """Return `arm id after ns else ..`."""
    timer, delay = demand(cx, stmt.timer, U64), demand(cx, stmt.delay, U64)
    if timer is None or delay is None or otherwise is None:
        return None
    return typed.ArmTimer(timer, delay, otherwise, stmt.span)


def disarm(cx: Context, stmt: syntax.Disarm) -> typed.CallStatus | None:
    """Return `disarm id`."""
    timer = demand(cx, stmt.timer, U64)
    return typed.CallStatus(1005, (timer,), stmt.span) if timer else None


def release(cx: Context, stmt: syntax.Release, otherwise: typed.Block) -> typed.Release | None:
    """Return `release tag [status n] else ..`; status 0 lets the operation go on."""
    tag = demand(cx, stmt.tag, U64)
    status = demand(cx, stmt.status, I32) if stmt.status is not None else typed.Literal(0, I32, stmt.span)
    return typed.Release(tag, status, otherwise, stmt.span) if tag and status else None


def hint(cx: Context, stmt: syntax.Hint) -> typed.CallStatus | None:
    """Return `hint address pages n`."""
    address, pages = demand(cx, stmt.address, U64), demand(cx, stmt.pages, U64)
    return typed.CallStatus(1007, (address, pages), stmt.span) if address and pages else None


# --- verdicts --------------------------------------------------------------------------------------------------------


def verdict_names(event: str) -> tuple[str, ...]:
    """Return what a handler of this event may return, as it is written."""
    names = tuple("answer" if name == "answered" else name for name, _ in hooks.GRAFT_HOOKS[event].verdicts)
    return (*names, "steer") if hooks.GRAFT_HOOKS[event].steer else names


def verdict(
    cx: Context, event: EventContext, given: syntax.Verdict, span: Span
) -> typed.ReturnVerdict | typed.ReturnAnswer | None:
    """Return how a handler ends; None if that was reported."""
    names = verdict_names(event.name)
    if given.name not in names:
        _report_verdict(cx, event, given, names)
        return None
    match given.name:
        case "steer":
            assert isinstance(given.operand, syntax.Name)
            slot = find_slot(cx, syntax.Ident(given.operand.name, span=given.operand.span))
            return typed.ReturnVerdict(hooks.STEER + slot.number, span) if slot is not None else None
        case "answer":
            return _answer(cx, event, given, span)
        case name:
            return typed.ReturnVerdict(dict(event.hook.verdicts)[name], span)


def _report_verdict(cx: Context, event: EventContext, given: syntax.Verdict, names: tuple[str, ...]) -> None:
    others = [name for name in hooks.GRAFT_HOOKS if given.name in verdict_names(name)]
    allowed = either([f"`{name}`" for name in names])
    if others:
        message = f"`{given.name}` is no verdict of a `{event.name}` handler"
        notes: tuple[str, ...] = (f"it is one of {' and '.join(f'`{name}`' for name in others)} handlers",)
    else:
        message, notes = f"there is no verdict `{given.name}`", ()
    cx.report.error("G0221", message, given.span, f"a `{event.name}` handler returns {allowed}", notes=notes,
                    helps=suggest(given.name, names))  # fmt: skip


def _answer(cx: Context, event: EventContext, given: syntax.Verdict, span: Span) -> typed.ReturnAnswer | None:
    status = demand(cx, given.status, I32) if given.status is not None else typed.Literal(0, I32, span)
    payload = _answer_body(cx, event, given)
    return typed.ReturnAnswer(status, payload, span) if status is not None and payload is not None else None


def _answer_body(cx: Context, event: EventContext, given: syntax.Verdict) -> typed.Payload | None:
    op = event.serves
    reply = op.reply if op is not None else None
    if given.operand is None:
        if reply is not None and given.status is None:
            cx.report.error(
                "G0227",
                f"this answer has no body, but the reply is a `{reply}`",
                given.span,
                helps=(f"write `return answer {reply} {{ .. }}`, or give a failure: `answer status -5`",),
            )
            return None
        return typed.NoBody(given.span)
    if op is None or (reply is None and op.spec.reply_type):
        return None  # the declaration has an error
    if isinstance(given.operand, syntax.Range):
        return any_payload(cx, given.operand)
    if reply is None:
        cx.report.error("G0227", f"`{op.spec.name}` declares no reply", given.operand.span, "no body is expected",
                        labels=(Label(op.span, "declared here"),),
                        helps=("declare what it answers: `-> T`",))  # fmt: skip
        return None
    return struct_payload(cx, given.operand, reply)
