"""Syntax tree -> canonical text.

`format_graft(tree)` prints a tree so that it parses to itself: `parse(format_graft(t)) == t` for every tree that
`grafting.parsing.parse` can make. `format_source` prints a source text in the same way, its comments and single blank
lines kept.

Parentheses come from `grafting.parsing.precedence`: only where the tree would else be read otherwise. A block of one
short statement stays in its line behind `else`, behind an `if` that has no `else`, and in an arm of a `match`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial

from grafting import syntax
from grafting.diagnostics import Source, Span
from grafting.parsing import precedence
from grafting.parsing.lexer import Comment, scan
from grafting.parsing.parse import parse
from grafting.printing import INDENT, WIDTH, Group, Text, flat, join, lay_out

_SIMPLE = (
    syntax.Assign, syntax.Break, syntax.Continue, syntax.Return, syntax.Delete, syntax.Disarm, syntax.Release,
    syntax.Hint, syntax.ExprStmt,
)  # fmt: skip


def format_graft(tree: syntax.Graft) -> str:
    """Return the text of a tree, a newline at its end."""
    printer = _Printer(_Comments("", ()))
    printer.graft(tree)
    return printer.text()


def format_source(source: Source) -> str:
    """Return a source text in canonical form; raises GraftError if it does not parse."""
    tree = parse(source)
    documented = {tree.span.start, *(item.span.start for item in tree.items)}
    documented |= {op.span.start for item in tree.items if isinstance(item, syntax.Protocol) for op in item.ops}
    scanned = scan(source)
    documented.add(scanned.tokens[0].span.start)
    kept = tuple(c for c in scanned.comments if c.documents not in documented)
    printer = _Printer(_Comments(source.text, kept))
    printer.graft(tree)
    return printer.text()


class _Comments:
    """The comments that are still to be printed, in the order of the text."""

    def __init__(self, text: str, comments: Sequence[Comment]) -> None:
        self._text = text
        self._waiting = list(reversed(comments))
        self._last = 0  # offset of the end of what was printed last

    def before(self, start: int) -> list[tuple[Comment, bool, bool]]:
        """Take the comments before an offset: each with whether it goes on with the line before it, and whether a
        blank line stands before it."""
        taken: list[tuple[Comment, bool, bool]] = []
        while self._waiting and self._waiting[-1].start < start:
            comment = self._waiting.pop()
            gap = self._text[self._last : comment.start]
            taken.append((comment, "\n" not in gap and self._last > 0, gap.count("\n") > 1))
            self._last = comment.start + len(comment.text)
        return taken

    def flush_trailing(self, lines: list[str]) -> None:
        """Append the comment that goes on with the line printed last, if there is one."""
        if self._waiting and "\n" not in self._text[self._last : self._waiting[-1].start]:
            comment = self._waiting.pop()
            lines[-1] += "  " + comment.text
            self._last = comment.start + len(comment.text)

    def blank_next(self, start: int) -> bool:
        """Whether an empty line follows what was printed last, before an offset or a comment before it."""
        following = self._waiting[-1].start if self._waiting else start
        return self._text[self._last : min(start, following)].count("\n") > 1

    def blank_before(self, start: int) -> bool:
        """Whether an empty line stands between what was printed last and an offset."""
        return bool(self._text) and self._text[self._last : start].count("\n") > 1

    def within(self, span: Span) -> bool:
        """Whether a comment stands inside a span."""
        return any(span.start <= comment.start < span.end for comment in self._waiting)

    def printed(self, end: int) -> None:
        """Note how far printing has come."""
        self._last = max(self._last, end)

    def opened(self, start: int) -> None:
        """Note that the first `{` from an offset on has been printed."""
        self.printed(self._text.find("{", start) + 1)


class _Printer:
    """Collects lines; `level` is the current indentation."""

    def __init__(self, comments: _Comments) -> None:
        self._comments = comments
        self._lines: list[str] = []
        self._level = 0
        self._fresh = True  # a block (or the file) has just begun: no blank line here

    def text(self) -> str:
        """Return everything, comments at the end included."""
        self._flush_comments(1 << 62)
        return "\n".join(self._lines) + "\n"

    # --- lines -------------------------------------------------------------------------------------------------------

    def _flush_comments(self, start: int) -> None:
        for comment, trailing, blank in self._comments.before(start):
            if trailing and self._lines:
                self._lines[-1] += "  " + comment.text
                continue
            if blank and not self._fresh and self._lines[-1]:
                self._lines.append("")
            self._lines.append(INDENT * self._level + comment.text)
            self._fresh = False

    def _begin(self, node: syntax.Node, *, doc: str = "") -> None:
        """Print what stands before a node: comments, a blank line, its doc comment."""
        if node.span.known:
            self._flush_comments(node.span.start)
            if not self._fresh and self._comments.blank_before(node.span.start) and self._lines[-1]:
                self._lines.append("")
        self._doc(doc)
        self._fresh = False

    def _doc(self, doc: str) -> None:
        if doc:
            self._lines += [f"{INDENT * self._level}/// {line}".rstrip() for line in doc.split("\n")]

    def _line(self, text: Text, suffix: str = "") -> None:
        self._lines += lay_out(text, self._level, suffix)

    def _done(self, node: syntax.Node) -> None:
        self._comments.printed(node.span.end)

    def _braces(self, head: Text, nodes: Sequence[syntax.Node], each: Callable[..., None], end: Span) -> None:
        """`head {`, the nodes a level further in, `}`."""
        if not nodes and not self._comments.within(end):
            self._line((*head, " {}"))
            return
        self._line(head, " {")
        if end.known:
            self._comments.opened(end.start)
        self._level += 1
        self._fresh = True
        for node in nodes:
            each(node)
        if end.known:
            self._flush_comments(end.end)
        self._level -= 1
        self._line(("}",))
        self._fresh = False

    # --- items -------------------------------------------------------------------------------------------------------

    def graft(self, tree: syntax.Graft) -> None:
        """The whole file, an empty line between items.

        Items of one line may stand close together: where they do in the source or, without one, if of one kind.
        """
        self._flush_comments(tree.name.span.start)
        self._doc(tree.doc)
        self._lines.append(f"graft {tree.name.name}")
        self._comments.printed(tree.name.span.end)
        before: syntax.Item | None = None
        for item in tree.items:
            self._separate(before, item)
            self._doc("" if isinstance(item, (syntax.Serve, syntax.Test)) else item.doc)
            self._item(item)
            self._done(item)
            before = item

    def _separate(self, before: syntax.Item | None, item: syntax.Item) -> None:
        """Print the comments before an item, which stay with it, and the empty line before them."""
        short = isinstance(item, _ONE_LINE) and isinstance(before, _ONE_LINE)
        if not item.span.known:
            if not (short and type(item) is type(before)):
                self._lines.append("")
            return
        self._fresh = True
        self._comments.flush_trailing(self._lines)
        if not short or self._comments.blank_next(item.span.start):
            self._lines.append("")
        self._flush_comments(item.span.start)
        if not self._fresh and self._comments.blank_before(item.span.start):
            self._lines.append("")

    def _item(self, item: syntax.Item) -> None:
        match item:
            case syntax.Protocol():
                self._braces((f"protocol {item.name.name}",), item.ops, self._op, item.span)
            case syntax.Cap():
                grant = " grant" if item.grant else ""
                self._line((f"cap {item.name.name}: {item.protocol.name}{grant}",))
            case syntax.Serve():
                self._line((f"serve {item.protocol.name}",))
            case syntax.Const():
                type_ = (": ", *_type(item.type)) if item.type else ()
                self._line((f"const {item.name.name}", *type_, " = ", *_expr(item.value)))
            case syntax.Enum():
                head = (f"enum {item.name.name}: ", *_type(item.repr))
                self._braces(head, item.variants, self._variant, item.span)
            case syntax.Struct():
                self._braces((f"struct {item.name.name}",), item.fields, self._field, item.span)
            case syntax.Map():
                self._line((f"map {item.name.name}: ", *_map_kind(item)))
            case syntax.State():
                value = (" = ", *_expr(item.value)) if item.value else ()
                self._line((f"state {item.name.name}: ", *_type(item.type), *value))
            case syntax.Function():
                result = (" -> ", *_type(item.result)) if item.result else ()
                self._body((f"fn {item.name.name}", _params(item.params), *result), item.body)
            case syntax.On():
                self._body(_handler_head(item), item.body)
            case syntax.Test():
                title = item.title.replace("\\", "\\\\").replace('"', '\\"')
                self._braces((f'test "{title}"',), item.steps, self._step, item.span)

    def _op(self, op: syntax.Op) -> None:
        self._begin(op, doc=op.doc)
        params = "(bytes)" if op.raw else _params(op.params)
        reply = (" -> ", *_type(op.reply)) if op.reply else ()
        self._line((f"op {op.name.name}", params, *reply))
        self._done(op)

    def _variant(self, variant: syntax.Variant) -> None:
        self._begin(variant)
        value = (" = ", *_expr(variant.value)) if variant.value else ()
        self._line((variant.name.name, *value), ",")
        self._done(variant)

    def _field(self, field: syntax.Param) -> None:
        self._begin(field)
        self._line((f"{field.name.name}: ", *_type(field.type)), ",")
        self._done(field)

    # --- statements --------------------------------------------------------------------------------------------------

    def _body(self, head: Text, block: syntax.Block) -> None:
        separate = not block.statements or _is_closed(block.statements[-1])
        self._braces(head, _contents(block), partial(self._statement, separate=separate), block.span)

    def _maybe_inline(self, head: Text, block: syntax.Block) -> None:
        """A short block stays in the line of its head."""
        contents = _contents(block)
        if len(contents) == 1 and not self._comments.within(block.span):
            only = contents[0]
            if not isinstance(only, syntax.Stmt) or (
                isinstance(only, _SIMPLE) and getattr(only, "otherwise", None) is None
            ):
                text = (*head, " { ", *_simple(only), " }")
                if len(INDENT) * self._level + len(flat(text)) <= WIDTH:
                    self._line(text)
                    return
        self._body(head, block)

    def _fallible(self, head: Text, otherwise: syntax.Block | None) -> None:
        if otherwise is None:
            self._line(head)
        else:
            self._maybe_inline((*head, " else"), otherwise)

    def _statement(self, statement: syntax.Stmt | syntax.Expr, *, separate: bool) -> None:
        """`separate`: a value that begins with a sign would not go on with what stands before it."""
        self._begin(statement)
        match statement:
            case syntax.Let():
                type_ = (": ", *_type(statement.type)) if statement.type else ()
                name = ("mut " if statement.mutable else "") + statement.name.name
                self._fallible((f"let {name}", *type_, " = ", *_expr(statement.value)), statement.otherwise)
            case syntax.Assign():
                self._fallible(_assignment(statement), statement.otherwise)
            case syntax.If():
                self._if(("if ",), statement)
            case syntax.For():
                cap = (" max ", *_plain(statement.cap)) if statement.cap else ()
                bounds = (*_plain(statement.start), "..", *_plain(statement.end), *cap)
                self._body((f"for {statement.name.name} in ", *bounds), statement.body)
            case syntax.While():
                head = ("while ", *_plain(statement.condition), " limit ", *_plain(statement.limit))
                self._body(head, statement.body)
            case syntax.Match():
                self._braces(("match ", *_plain(statement.subject)), statement.arms, self._arm, statement.span)
            case syntax.Send():
                self._fallible(_send(statement), statement.otherwise)
            case syntax.ArmTimer():
                head = ("arm ", *_expr(statement.timer), " after ", *_expr(statement.delay))
                self._fallible(head, statement.otherwise)
            case _:
                text = _simple(statement)
                self._line(_parenthesised(text, bare=separate or flat(text)[0] not in "-["))
        self._done(statement)

    def _if(self, word: Text, statement: syntax.If) -> None:
        head = (*word, *_plain(statement.condition))
        if statement.otherwise is None and word == ("if ",):
            self._maybe_inline(head, statement.then)
            return
        self._body(head, statement.then)
        if statement.otherwise is None:
            return
        last = self._lines.pop().lstrip()  # `}` or, of an empty block, `.. {}`
        again = (last, " else ")
        if isinstance(statement.otherwise, syntax.If):
            self._if((*again, "if "), statement.otherwise)
        else:
            self._body((last, " else"), statement.otherwise)

    def _arm(self, arm: syntax.Arm) -> None:
        self._begin(arm)
        patterns = join(" | ", (_pattern(pattern) for pattern in arm.patterns)) or ("_",)
        self._maybe_inline((*patterns, " =>"), arm.body)
        self._done(arm)

    # --- tests -------------------------------------------------------------------------------------------------------

    def _step(self, step: syntax.TestStep) -> None:
        self._begin(step)
        self._line(_step_text(step))
        self._done(step)


_ONE_LINE = (syntax.Cap, syntax.Serve, syntax.Const, syntax.Map, syntax.State)


def _contents(block: syntax.Block) -> tuple[syntax.Stmt | syntax.Expr, ...]:
    return block.statements if block.value is None else (*block.statements, block.value)


def _is_closed(statement: syntax.Stmt) -> bool:
    """Whether nothing that stands behind a statement can be read as a part of it."""
    match statement:
        case syntax.If() | syntax.For() | syntax.While() | syntax.Match() | syntax.Break() | syntax.Continue():
            return True
        case syntax.Let() | syntax.Assign() | syntax.Send() | syntax.ArmTimer():
            return statement.otherwise is not None
    return False


# --- texts of items ---------------------------------------------------------------------------------------------------


def _params(params: Sequence[syntax.Param]) -> Group:
    return Group("(", tuple((f"{p.name.name}: ", *_type(p.type)) for p in params), ")")


def _map_kind(item: syntax.Map) -> Text:
    entries = _expr(item.entries, precedence.POSTFIX)
    if item.key is None:
        return ("array<", *_type(item.value), ", ", *entries, ">")
    return ("hash<", *_type(item.key), ", ", *_type(item.value), ", ", *entries, ">")


def _handler_head(item: syntax.On) -> Text:
    source = f" from {item.source[0].name}.{item.source[1].name}" if item.source else ""
    request = f" for {item.op.name}({', '.join(p.name for p in item.params)})" if item.op else ""
    terms = join(", ", ((*_expr(t.amount, precedence.POSTFIX), f" {t.unit}") for t in item.budget))
    budget = (" budget ", *terms) if item.budget else ()
    return (f"on {item.event.name}({item.param.name}){source}{request}", *budget)


def _type(type_: syntax.TypeExpr) -> Text:
    if isinstance(type_, syntax.NamedType):
        return (type_.name,)
    return ("[", *_type(type_.element), "; ", *_expr(type_.length), "]")


# --- texts of statements ----------------------------------------------------------------------------------------------


def _assignment(statement: syntax.Assign) -> Text:
    place = _expr(statement.place, precedence.POSTFIX)
    return (*place, f" {statement.op}= ", *_expr(statement.value))


def _simple(statement: syntax.Stmt | syntax.Expr) -> Text:
    """The statements without blocks, and the value at the end of an `else`."""
    match statement:
        case syntax.Assign():
            return _assignment(statement)
        case syntax.Break():
            return ("break",)
        case syntax.Continue():
            return ("continue",)
        case syntax.Return(value=None):
            return ("return",)
        case syntax.Return(value=syntax.Verdict() as verdict):
            return ("return ", *_verdict(verdict))
        case syntax.Return(value=value) if not isinstance(value, syntax.Verdict) and value is not None:
            return ("return ", *_expr(value))
        case syntax.Delete():
            return ("delete ", *_expr(statement.target))
        case syntax.Disarm():
            return ("disarm ", *_expr(statement.timer))
        case syntax.Release():
            status = (" status ", *_expr(statement.status)) if statement.status else ()
            return ("release ", *_expr(statement.tag), *status)
        case syntax.Hint():
            return ("hint ", *_expr(statement.address), " pages ", *_expr(statement.pages))
        case syntax.ExprStmt():
            return _expr(statement.value)
        case _:
            assert not isinstance(statement, syntax.Stmt)
            return _expr(statement)


def _verdict(verdict: syntax.Verdict, keywords: frozenset[str] = frozenset({"status"})) -> Text:
    """`keywords` are the words with which the body of an answer would be read as something else."""
    operand: Text = ()
    if verdict.operand is not None:
        text = _expr(verdict.operand)
        bare = verdict.name != "answer" or re.split(r"\W", flat(text), maxsplit=1)[0] not in keywords
        operand = (" ", *_parenthesised(text, bare=bare))
    status = (" status ", *_expr(verdict.status)) if verdict.status else ()
    return (verdict.name, *operand, *status)


def _send(statement: syntax.Send) -> Text:
    clauses: Text = ()
    if statement.tag is not None:
        clauses += (" tag ", *_expr(statement.tag))
    if statement.deadline is not None:
        clauses += (" deadline ", *_expr(statement.deadline))
    if statement.grants:
        clauses += (" with ", *join(", ", map(_expr, statement.grants)))
    if statement.promise is not None:
        clauses += (f" promise {statement.promise.name}",)
    return (f"send {statement.slot.name}.{statement.op.name}", _arguments(statement.arguments), *clauses)


def _pattern(pattern: syntax.Pattern) -> Text:
    last = ("..=", *_pattern_value(pattern.last)) if pattern.last else ()
    return (*_pattern_value(pattern.first), *last)


def _pattern_value(value: syntax.Expr) -> Text:
    if isinstance(value, syntax.Unary) and value.op == "-":
        return ("-", *_expr(value.operand, precedence.POSTFIX))
    return _expr(value, precedence.POSTFIX)


# --- texts of expressions ---------------------------------------------------------------------------------------------


def _arguments(arguments: Sequence[syntax.Expr]) -> Group:
    return Group("(", tuple(map(_expr, arguments)), ")")


def _plain(value: syntax.Expr) -> Text:
    return _expr(value, plain=True)


def _expr(value: syntax.Expr, level: int = 0, *, plain: bool = False) -> Text:
    """Print an expression where only operators that bind at least as tightly as `level` may stand bare.

    `plain`: a block follows, so a struct literal needs parentheses.
    """
    match value:
        case syntax.IntLiteral():
            return (value.text or str(value.value),)
        case syntax.BoolLiteral():
            return ("true" if value.value else "false",)
        case syntax.Name():
            return (value.name,)
        case syntax.Member():
            return (*_expr(value.base, precedence.POSTFIX), f".{value.name.name}")
        case syntax.Index():
            return (*_expr(value.base, precedence.POSTFIX), "[", *_expr(value.index), "]")
        case syntax.Range():
            start = _expr(value.start) if value.start else ()
            end = _expr(value.end) if value.end else ()
            return (*_expr(value.base, precedence.POSTFIX), "[", *start, "..", *end, "]")
        case syntax.Call():
            return (value.function.name, _arguments(value.arguments))
        case syntax.ArrayLiteral():
            return (_array(value),)
        case syntax.StructLiteral():
            bare = level < precedence.CAST and not plain
            return _parenthesised((_struct(value),), bare=bare)
        case syntax.Unary():
            text: Text = (value.op, *_expr(value.operand, precedence.PREFIX, plain=plain))
            return _parenthesised(text, bare=level <= precedence.PREFIX)
        case syntax.Cast():
            at = (" at ", *_expr(value.at, precedence.POSTFIX)) if value.at else ()
            text = (*_expr(value.operand, precedence.CAST, plain=plain), " as ", *_type(value.target), *at)
            return _parenthesised(text, bare=level <= precedence.CAST)
        case syntax.Binary():
            own = precedence.PRECEDENCE[value.op]
            left = own + (own == precedence.COMPARISON)  # comparisons do not chain
            bare = level <= own
            inner = plain and bare
            text = (
                *_expr(value.left, left, plain=inner), f" {value.op} ", *_expr(value.right, own + 1, plain=inner),
            )  # fmt: skip
            return _parenthesised(text, bare=bare)


def _parenthesised(text: Text, *, bare: bool) -> Text:
    return text if bare else ("(", *text, ")")


def _struct(value: syntax.StructLiteral) -> Group | str:
    if not value.fields:
        return f"{value.name.name} {{}}"
    fields = tuple((f"{field.name.name}: ", *_expr(field.value)) for field in value.fields)
    return Group(f"{value.name.name} {{ ", fields, " }")


def _array(value: syntax.ArrayLiteral) -> Group:
    if value.repeat is not None:
        return Group("[", ((*_expr(value.elements[0]), "; ", *_expr(value.repeat)),), "]", comma=False)
    return Group("[", tuple(map(_expr, value.elements)), "]", fill=True)


# --- texts of tests ---------------------------------------------------------------------------------------------------


_AFTER_ANSWER = frozenset("status expect failure given reply request schedule submit timer".split())


def _step_text(step: syntax.TestStep) -> Text:
    match step:
        case syntax.GivenMap():
            key = ("[", *_expr(step.key), "]") if step.key else ()
            return (f"given {step.name.name}", *key, " = ", *_expr(step.value))
        case syntax.GivenNow():
            return ("given now = ", *_expr(step.value))
        case syntax.Trigger():
            return _trigger(step)
        case syntax.Expect():
            armed = ((" armed ", *_plain(timer), " after ", *_plain(delay)) for timer, delay in step.armed)
            effects = [*map(_sent, step.sent), *armed]
            return (
                "expect ",
                *_verdict(step.verdict, _AFTER_ANSWER),
                *(part for effect in effects for part in (",", *effect)),
            )
        case syntax.ExpectState(value=None):
            assert step.key is not None
            return (f"expect no {step.name.name}[", *_expr(step.key), "]")
        case syntax.ExpectState(value=value):
            assert value is not None
            key = ("[", *_expr(step.key), "]") if step.key else ()
            return (f"expect {step.name.name}", *key, " == ", *_expr(value))


def _sent(message: syntax.SentMessage) -> Text:
    tag = (" tag ", *_plain(message.tag)) if message.tag else ()
    return (f" sent {message.slot.name}.{message.op.name}", _arguments(message.arguments), *tag)


def _trigger(step: syntax.Trigger) -> Text:
    if step.event == "schedule":
        return ("schedule",)
    if step.event == "timer":
        return ("timer ", *_plain(step.settings[0][1]))
    assert step.op is not None
    target = f"{step.slot.name}.{step.op.name}" if step.slot else step.op.name
    takes_arguments = step.event in ("submit", "request") and (step.arguments or step.body is None)
    arguments: Text = (_arguments(step.arguments),) if takes_arguments else ()
    settings: Text = tuple(part for word, value in step.settings for part in (f" {word} ", *_plain(value)))
    body: Text = ()
    if isinstance(step.body, syntax.ArrayLiteral):
        body = (" bytes ", _array(step.body))
    elif step.body is not None:
        body = (" ", *_expr(step.body))
    return (f"{step.event} {target}", *arguments, *settings, *body)
