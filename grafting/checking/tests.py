"""`test` blocks -> the plain steps of `grafting.testcases`: every value encoded, every handler found.

Tests are checked like everything else, but for constants only: what a test gives and expects is known at compile time.
"""

from __future__ import annotations

from typing import Any

from grafting import hooks, limits, syntax, typed
from grafting.checking import constants
from grafting.checking.context import Context
from grafting.checking.handlers import Handlers
from grafting.checking.items import Items
from grafting.checking.kernel import find_op, find_slot, verdict_names
from grafting.checking.layout import OpLayout
from grafting.checking.scope import Poison, SlotName, StructName, describe, suggest
from grafting.diagnostics import Span
from grafting.program import MapKind, TestCase
from grafting.spelling import either
from grafting.types import I32, U8, U64, ArrayType, Type

Step = dict[str, Any]
FAILURE_STATUS = -5  # of a `failure` that gives none: -EIO


def check_test(items: Items, handlers: Handlers, tree: syntax.Test) -> TestCase:
    """Return a test as plain steps; what has an error is reported and left out."""
    return _Test(items, handlers).test(tree)


class _Test:
    """One test block; `event` is that of the last trigger."""

    def __init__(self, items: Items, handlers: Handlers) -> None:
        self._items = items
        self._handlers = handlers
        self._cx = Context(items, {})
        self._report = items.report
        self._event: str | None = None
        self._op: OpLayout | None = None

    def test(self, tree: syntax.Test) -> TestCase:
        steps: list[Step] = []
        for step in tree.steps:
            found = self._step(step)
            if found is not None:
                steps.append(found)
        return TestCase(tree.title, tree.span, tuple(steps))

    def _step(self, step: syntax.TestStep) -> Step | None:
        match step:
            case syntax.GivenMap(name=name, key=key, value=value):
                return self._given(name, key, value, step.span)
            case syntax.GivenNow(value=value):
                now = constants.evaluate(self._items, value, U64)
                return {"do": "now", "ns": now.value} if now else None
            case syntax.Trigger():
                return self._trigger(step)
            case syntax.Expect():
                return self._expect(step)
            case syntax.ExpectState(name=name, key=key, value=value):
                return self._expect_state(name, key, value, step.span)

    # --- maps and state ----------------------------------------------------------------------------------------------

    def _given(self, name: syntax.Ident, key: syntax.Expr | None, value: syntax.Expr, span: Span) -> Step | None:
        match self._place(name, key, span):
            case (typed.MapRef() as map_, bytes() as encoded):
                content = constants.encode(self._items, value, map_.value, short=True)
                return (
                    {"do": "map", "map": map_.name, "key": encoded.hex(), "value": content.hex()} if content else None
                )
            case (str() as section, int() as offset, type_):
                content = constants.encode(self._items, value, type_, short=True)
                return (
                    {"do": "state", "section": section, "offset": offset, "value": content.hex()} if content else None
                )
        return None

    def _expect_state(
        self, name: syntax.Ident, key: syntax.Expr | None, value: syntax.Expr | None, span: Span
    ) -> Step | None:
        common = {"line": span.line, "text": self._report.text(span)}
        match self._place(name, key, span):
            case (typed.MapRef() as map_, bytes() as encoded):
                content = constants.encode(self._items, value, map_.value, short=True) if value is not None else None
                if value is not None and content is None:
                    return None
                expected = None if content is None else content.hex()
                return {"do": "expect_map", "map": map_.name, "key": encoded.hex(), "value": expected, **common}
            case (str() as section, int() as offset, type_):
                if value is None:
                    self._report.error("G0224", f"`{name.name}` is a state variable: it is always there", span)
                    return None
                content = constants.encode(self._items, value, type_, short=True)
                if content is None:
                    return None
                return {"do": "expect_state", "section": section, "offset": offset, "value": content.hex(), **common}
        return None

    def _place(
        self, name: syntax.Ident, key: syntax.Expr | None, span: Span
    ) -> tuple[typed.MapRef, bytes] | tuple[str, int, Type] | None:
        """Return a map and its encoded key, or section, offset and type of a state variable or of its element."""
        match self._items.find(name.name):
            case typed.MapRef() as map_ if key is not None:
                encoded = self._key(map_, key)
                return (map_, encoded) if encoded is not None else None
            case typed.MapRef() as map_:
                self._report.error("G0224", f"`{map_.name}` is a map: which element is meant?", name.span,
                                   helps=(f"write `{map_.name}[key]`",))  # fmt: skip
            case typed.StateVariable() as state if key is None:
                return state.section, state.offset, state.type
            case typed.StateVariable(type=ArrayType(element=element, length=length)) as state if key is not None:
                at = constants.integer(self._items, key, 0, length - 1, "this index")
                return (state.section, state.offset + at * element.size, element) if at is not None else None
            case typed.StateVariable():
                self._report.error("G0208", f"`{name.name}` is not an array", name.span)
            case Poison():
                pass
            case None:
                known = [*self._items.names_of(syntax.Map), *self._items.names_of(syntax.State)]
                self._report.error("G0201", f"there is no map or state variable `{name.name}`", name.span, "not found",
                                   helps=suggest(name.name, known))  # fmt: skip
            case symbol:
                self._report.error("G0223", f"`{name.name}` is {describe(symbol)}, not a map or a state variable",
                                   name.span)  # fmt: skip
        return None

    def _key(self, map_: typed.MapRef, key: syntax.Expr) -> bytes | None:
        if map_.spec.kind is MapKind.HASH:
            return constants.encode(self._items, key, map_.key)
        at = constants.integer(self._items, key, 0, map_.spec.max_entries - 1, "this index")
        return at.to_bytes(map_.spec.key_size, "little") if at is not None else None

    # --- events ------------------------------------------------------------------------------------------------------

    def _trigger(self, step: syntax.Trigger) -> Step | None:
        self._event, self._op = step.event, None
        slot, op, selector = 0, None, ""
        if step.event == "request":
            found = self._served(step)
            if found is None:
                return None
            op, selector = found
        elif step.slot is not None and step.op is not None:
            target = self._target(step.slot, step.op)
            if target is None:
                return None
            slot, op = target[0].number, target[1]
            selector = f"{target[0].spec.name}.{op.spec.name}"
        self._op = op
        settings = self._settings(step)
        body = self._body(step, op)
        if settings is None or body is None:
            return None
        return {
            "do": "event", "handler": self._handler(step.event, selector), **settings, "slot": slot,
            "op": op.spec.number if op is not None else 0, "body": body.hex(), "line": step.span.line,
        }  # fmt: skip

    def _handler(self, event: str, selector: str) -> str | None:
        names = {handler.name for handler in self._handlers.checked}
        candidates = [f"{event}/{selector}", event]
        return next((name for name in candidates if name in names), None)

    def _served(self, step: syntax.Trigger) -> tuple[OpLayout, str] | None:
        assert step.op is not None
        name = step.op.name
        for protocol in self._items.serves:
            if name in protocol.ops:
                return protocol.ops[name], f"{protocol.spec.name}.{name}"
        known = [op for protocol in self._items.serves for op in protocol.ops]
        self._report.error("G0205", f"no protocol that this graft serves has an operation `{name}`", step.op.span,
                           "not served", helps=suggest(name, known))  # fmt: skip
        return None

    def _target(self, slot_name: syntax.Ident, op_name: syntax.Ident) -> tuple[SlotName, OpLayout] | None:
        slot = find_slot(self._cx, slot_name)
        op = find_op(self._cx, slot, op_name) if slot is not None else None
        return (slot, op) if slot is not None and op is not None else None

    def _settings(self, step: syntax.Trigger) -> Step | None:
        status = FAILURE_STATUS if step.event == "failure" else 0
        values: Step = {"tag": 0, "badge": 0, "status": status}
        for name, expr in step.settings:
            constant = constants.evaluate(self._items, expr, I32 if name == "status" else U64)
            if constant is None:
                return None
            values["tag" if name == "id" else name] = constant.value
        if step.event == "failure" and values["status"] == 0:
            self._report.error("G0207", "the status of a failure is not 0", step.span)
            return None
        return values

    def _body(self, step: syntax.Trigger, op: OpLayout | None) -> bytes | None:
        if step.body is not None and step.arguments:
            self._report.error("G0210", "either arguments or a body, not both", step.body.span)
            return None
        if step.body is not None:
            return self._given_body(step.body, op, reply=step.event == "reply")
        if op is None or step.event in ("reply", "failure"):
            return b""
        if op.shape == "raw" and not step.arguments:
            return b""
        return self._arguments(op, step.arguments, step.span)

    def _given_body(self, expr: syntax.Expr, op: OpLayout | None, *, reply: bool) -> bytes | None:
        match expr:
            case syntax.ArrayLiteral():
                count: int | None = len(expr.elements)
                if expr.repeat is not None:
                    count = constants.integer(self._items, expr.repeat, 0, limits.BODY_BYTES, "the number of bytes")
                if not count:
                    return b"" if count == 0 else None
                return constants.encode(self._items, expr, ArrayType(U8, count))
            case syntax.StructLiteral(name=name):
                if reply and op is not None and op.reply is not None:
                    return constants.encode(self._items, expr, op.reply, short=True)
                match self._items.find(name.name):
                    case StructName(type=type_):
                        return constants.encode(self._items, expr, type_, short=True)
                constants.report_no_struct(self._items, name, self._items.type_names())
                return None
            case _:
                self._report.error("G0204", "expected a struct literal", expr.span,
                                   helps=("or write `bytes [1, 2, 3]`",))  # fmt: skip
                return None

    def _arguments(self, op: OpLayout, given: tuple[syntax.Expr, ...], span: Span) -> bytes | None:
        """Return the body of a request with these operands."""
        if op.shape == "raw" and len(given) == 1:
            return self._given_body(given[0], op, reply=False)
        if op.shape in ("struct", "fields") and op.body is None:
            return None
        wanted = op.parameters
        if len(given) != wanted:
            self._report.error("G0210", f"`{op.spec.name}` takes {wanted} argument{'' if wanted == 1 else 's'}, "
                               f"not {len(given)}", span)  # fmt: skip
            return None
        if op.body is None:
            return b""
        if op.shape == "struct":
            return constants.encode(self._items, given[0], op.body, short=True)
        parts = [
            constants.encode(self._items, operand, field.type, short=True)
            for operand, field in zip(given, op.body.fields, strict=True)
        ]
        return b"".join(part for part in parts if part is not None) if None not in parts else None

    # --- expectations ------------------------------------------------------------------------------------------------

    def _expect(self, step: syntax.Expect) -> Step | None:
        if self._event is None:
            self._report.error("G0232", "nothing has happened yet", step.span, "comes before the first event",
                               helps=("write the event first: `reply slot.op ..`, `timer 7`",))  # fmt: skip
            return None
        verdict = self._verdict(self._event, step.verdict)
        sent = [self._sent(message) for message in step.sent]
        armed = [self._armed(*pair) for pair in step.armed]
        released = [self._released(*pair) for pair in step.released]
        answer = self._answer(step.verdict) if step.verdict.name == "answer" else None
        if verdict is None or None in sent or None in armed or None in released:
            return None
        if step.verdict.name == "answer" and answer is None:
            return None
        return {
            "do": "expect", "verdict": verdict, "verdict_text": self._report.text(step.verdict.span),
            "line": step.span.line, "sent": sent, "armed": armed, "released": released,
            "answer": answer,
        }  # fmt: skip

    def _verdict(self, event: str, given: syntax.Verdict) -> int | None:
        names = verdict_names(event)
        if given.name not in names:
            allowed = either([f"`{name}`" for name in names])
            self._report.error("G0221", f"`{given.name}` is no verdict of a `{event}` handler", given.span,
                               f"expected {allowed}", helps=suggest(given.name, names))  # fmt: skip
            return None
        if given.name == "answer":
            return hooks.ANSWERED
        if given.name != "steer":
            return dict(hooks.GRAFT_HOOKS[event].verdicts)[given.name]
        assert isinstance(given.operand, syntax.Name)
        slot = find_slot(self._cx, syntax.Ident(given.operand.name, span=given.operand.span))
        return hooks.STEER + slot.number if slot is not None else None

    def _answer(self, given: syntax.Verdict) -> Step | None:
        status = constants.evaluate(self._items, given.status, I32) if given.status is not None else None
        if given.status is not None and status is None:
            return None
        body: bytes | None = b""
        if given.operand is not None:
            body = self._given_body(given.operand, self._op, reply=True)
        return {"status": status.value if status else 0, "body": body.hex()} if body is not None else None

    def _sent(self, message: syntax.SentMessage) -> Step | None:
        target = self._target(message.slot, message.op)
        if target is None:
            return None
        slot, op = target
        empty = op.shape == "raw" and not message.arguments
        body = b"" if empty else self._arguments(op, message.arguments, message.span)
        tag = constants.evaluate(self._items, message.tag, U64) if message.tag is not None else None
        if body is None or (message.tag is not None and tag is None):
            return None
        return {
            "slot": slot.number, "op": op.spec.number, "tag": tag.value if tag else None, "body": body.hex(),
            "text": self._report.text(message.span),
        }  # fmt: skip

    def _armed(self, timer: syntax.Expr, delay: syntax.Expr) -> list[int] | None:
        found = [constants.evaluate(self._items, expr, U64) for expr in (timer, delay)]
        values = [constant.value for constant in found if constant is not None]
        return values if len(values) == len(found) else None

    def _released(self, tag: syntax.Expr, status: syntax.Expr | None) -> list[int] | None:
        found = constants.evaluate(self._items, tag, U64)
        how = constants.evaluate(self._items, status, I32) if status is not None else None
        if found is None or (status is not None and how is None):
            return None
        return [found.value, how.value if how is not None else 0]
