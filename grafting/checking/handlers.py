"""Handlers: which event, narrowed how, with what in scope, within what budget; every path must end with a verdict."""

from __future__ import annotations

from grafting import hooks, syntax, typed
from grafting.checking import constants
from grafting.checking.context import Context, EventContext
from grafting.checking.functions import Functions
from grafting.checking.items import Items
from grafting.checking.kernel import find_op, find_slot, verdict_names
from grafting.checking.layout import OpLayout, ProtocolLayout
from grafting.checking.reporter import Help
from grafting.checking.scope import MessageName, Poison, TimerName, suggest
from grafting.checking.statements import block
from grafting.diagnostics import Label, Span
from grafting.program import Budget
from grafting.spelling import either
from grafting.types import ArrayType, StructType

UNITS = {"insns": "insns", "insn": "insns", "sends": "sends", "send": "sends", "bytes": "bytes", "byte": "bytes"}
"""Units of a budget as written -> in the plural."""
BUDGET_MAX = (1 << 63) - 1
NARROWED = ("reply", "failure")  # the events that a `from` may narrow


class Handlers:
    """The handlers of a graft, in order."""

    def __init__(self, items: Items, functions: Functions) -> None:
        self._items = items
        self._functions = functions
        self._first: dict[str, Span] = {}
        self.checked: list[typed.Handler] = []  # those without an error

    def check(self, tree: syntax.On) -> None:
        """Check one handler."""
        report = self._items.report
        before = report.count
        cx = Context(self._items, self._functions.by_name)
        selected = self._event(cx, tree)
        budget = self._budget(tree)
        if selected is None:
            return
        cx.event, selector = selected
        name = f"{cx.event.name}/{selector}" if selector else cx.event.name
        head = Span(tree.span.line, tree.span.column, tree.span.start, tree.param.span.end + 1)
        self._complain_if_again(name, head)
        args, size = self._declare(cx, tree, cx.event)
        body = block(cx, tree.body)
        if not body.diverges and cx.event.name not in ("timer", "schedule"):
            names = either([f"`return {verdict}`" for verdict in verdict_names(cx.event.name)])
            report.error("G0219", "this handler can end without a verdict", report.last(tree.body.span),
                         "reached without `return`", helps=(f"end with {names}",))  # fmt: skip
        if report.count == before:
            self.checked.append(typed.Handler(name, cx.event.name, selector, budget, args, size, body, tree.span))

    def _complain_if_again(self, name: str, span: Span) -> None:
        first = self._first.setdefault(name, span)
        if first is not span:
            self._items.report.error("G0202", f"there are two handlers of `{name}`", span, "handled again here",
                                     labels=(Label(first, "first handled here"),))  # fmt: skip

    # --- the event ---------------------------------------------------------------------------------------------------

    def _event(self, cx: Context, tree: syntax.On) -> tuple[EventContext, str] | None:
        event = tree.event.name
        report = self._items.report
        if event not in hooks.GRAFT_HOOKS:
            report.error("G0230", f"there is no event `{event}`", tree.event.span, "not an event",
                         notes=(f"events are {', '.join(f'`{name}`' for name in hooks.GRAFT_HOOKS)}",),
                         helps=suggest(event, hooks.GRAFT_HOOKS))  # fmt: skip
            return None
        hook = hooks.GRAFT_HOOKS[event]
        if tree.source is not None and event not in NARROWED:
            report.error("G0230", f"`from` does not go with `{event}`", tree.source[0].span,
                         notes=("it names the operation to which a reply or failure belongs",))  # fmt: skip
            return None
        if tree.op is not None and event != "request":
            report.error("G0230", f"`for` does not go with `{event}`", tree.op.span,
                         notes=("it names the operation that a request asks for",))  # fmt: skip
            return None
        if event == "request":
            return self._request(tree, hook)
        if tree.source is None:
            return EventContext(event, hook, tree.param.name), ""
        slot = find_slot(cx, tree.source[0])
        op = find_op(cx, slot, tree.source[1]) if slot is not None else None
        if slot is None or op is None:
            return None
        return EventContext(event, hook, tree.param.name, reply_of=op), f"{slot.spec.name}.{op.spec.name}"

    def _request(self, tree: syntax.On, hook: hooks.Hook) -> tuple[EventContext, str] | None:
        report = self._items.report
        if tree.op is None:
            span = Span(tree.event.span.line, tree.event.span.column, tree.event.span.start, tree.param.span.end + 1)
            report.error("G0230", "which operation this handler serves is not said", span,
                         helps=(f"write `on request({tree.param.name}) for op(args)`",))  # fmt: skip
            return None
        served = [protocol for protocol in self._items.serves if tree.op.name in protocol.ops]
        if len(served) == 1:
            op = served[0].ops[tree.op.name]
            return EventContext("request", hook, tree.param.name, serves=op), f"{served[0].spec.name}.{op.spec.name}"
        if served:
            names = " and ".join(f"`{protocol.spec.name}`" for protocol in served)
            report.error("G0230", f"`{tree.op.name}` is an operation of both {names}", tree.op.span, "ambiguous")
        else:
            self._not_served(tree.op)
        return None

    def _not_served(self, op: syntax.Ident) -> None:
        others: list[ProtocolLayout] = [p for p in self._items.protocols() if op.name in p.ops]
        known = [name for protocol in self._items.serves for name in protocol.ops]
        helps: tuple[Help, ...] = suggest(op.name, known)
        if others:
            helps = (f"write `serve {others[0].spec.name}`",)
        if all(protocol.sound for protocol in self._items.serves) or others:
            self._items.report.error("G0230", f"no protocol that this graft serves has an operation `{op.name}`",
                                     op.span, "not served", helps=helps)  # fmt: skip

    # --- what is in scope --------------------------------------------------------------------------------------------

    def _declare(
        self, cx: Context, tree: syntax.On, event: EventContext
    ) -> tuple[tuple[tuple[typed.Variable, int], ...], int]:
        name = tree.param
        if event.name == "timer":
            cx.scope.declare(name.name, TimerName(name.name, name.span))
        else:
            cx.scope.declare(name.name, MessageName(name.name, name.span))
        if event.serves is None or not tree.params:
            return (), 0
        return self._arguments(cx, tree.params, event.serves)

    def _arguments(
        self, cx: Context, names: tuple[syntax.Ident, ...], op: OpLayout
    ) -> tuple[tuple[tuple[typed.Variable, int], ...], int]:
        """The arguments of a request: one name for each parameter, all of them scalars."""
        report = self._items.report
        fields = op.body.fields if op.body is not None and op.shape == "fields" else ()
        by_view = op.shape in ("struct", "raw") or any(isinstance(f.type, ArrayType | StructType) for f in fields)
        if by_view:
            report.error(
                "G0210", f"the body of `{op.spec.name}` does not come as arguments", names[0].span.to(names[-1].span),
                labels=(Label(op.span, "declared here"),),
                notes=("only numbers, bools and enums do",),
                helps=(f"write `for {op.spec.name}()`, and view it: `let v = msg.body as T else {{ .. }}`",),
            )  # fmt: skip
        elif len(names) != len(fields) and not (op.shape == "fields" and op.body is None):
            report.error(
                "G0210", f"`{op.spec.name}` has {len(fields)} argument{'' if len(fields) == 1 else 's'}, "
                f"not {len(names)}", names[0].span.to(names[-1].span), labels=(Label(op.span, "declared here"),),
            )  # fmt: skip
        found: list[tuple[typed.Variable, int]] = []
        sound = not by_view and len(names) == len(fields)
        for number, name in enumerate(names):
            type_ = fields[number].type if sound else None
            if type_ is None or isinstance(type_, ArrayType | StructType):
                cx.scope.declare(name.name, Poison(name.span))
                continue
            variable = typed.Variable(name.name, type_, False, name.span)
            cx.scope.declare(name.name, variable)
            found.append((variable, fields[number].offset))
        return tuple(found), op.body.size if sound and op.body is not None else 0

    # --- the budget --------------------------------------------------------------------------------------------------

    def _budget(self, tree: syntax.On) -> Budget:
        amounts: dict[str, int] = {}
        report = self._items.report
        for term in tree.budget:
            amount = constants.integer(self._items, term.amount, 0, BUDGET_MAX, "an amount")
            unit = UNITS.get(term.unit)
            if unit is None:
                report.error(
                    "G0231",
                    f"there is no unit `{term.unit}`",
                    term.span,
                    "a budget counts `insns`, `sends` and `bytes`",
                    helps=suggest(term.unit, UNITS),
                )
            elif unit in amounts:
                report.error("G0202", f"the budget of `{unit}` is given twice", term.span)
            elif amount is not None:
                amounts[unit] = amount
        if not tree.budget:
            return Budget()
        span = tree.budget[0].span.to(tree.budget[-1].span)
        return Budget(amounts.get("insns"), amounts.get("sends"), amounts.get("bytes"), span)
