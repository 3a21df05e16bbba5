"""The words of a syntax node, as a `Text` that is yet to be laid out over lines.

Pure functions, one for each kind of node that stands in a line: expressions, simple statements, heads of items, steps
of tests. Parentheses come from `grafting.parsing.precedence`: only where the tree would else be read otherwise.

    let x = (a + b) * 2      the sum in parentheses, since `*` binds more tightly
    if (S { a: 1 }).a == b   the literal in parentheses, since a block follows
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from grafting import syntax
from grafting.parsing import precedence
from grafting.printing import Group, Text, flat, join

# --- items -----------------------------------------------------------------------------------------------------------


def parameters(params: Sequence[syntax.Param]) -> Group:
    """Return `(a: u64, b: bool)`."""
    return Group("(", tuple((f"{p.name.name}: ", *type_name(p.type)) for p in params), ")")


def map_kind(item: syntax.Map) -> Text:
    """Return `hash<K, V, N>` or `array<V, N>`."""
    entries = expression(item.entries, precedence.POSTFIX)
    if item.key is None:
        return ("array<", *type_name(item.value), ", ", *entries, ">")
    return ("hash<", *type_name(item.key), ", ", *type_name(item.value), ", ", *entries, ">")


def handler_head(item: syntax.On) -> Text:
    """Return `on event(name) from .. for .. budget ..`."""
    source = f" from {item.source[0].name}.{item.source[1].name}" if item.source else ""
    request = f" for {item.op.name}({', '.join(p.name for p in item.params)})" if item.op else ""
    terms = join(", ", ((*expression(t.amount, precedence.POSTFIX), f" {t.unit}") for t in item.budget))
    budget = (" budget ", *terms) if item.budget else ()
    return (f"on {item.event.name}({item.param.name}){source}{request}", *budget)


def type_name(type_: syntax.TypeExpr) -> Text:
    """Return a type as written."""
    if isinstance(type_, syntax.NamedType):
        return (type_.name,)
    return ("[", *type_name(type_.element), "; ", *expression(type_.length), "]")


# --- statements ------------------------------------------------------------------------------------------------------


def assignment(statement: syntax.Assign) -> Text:
    """Return `place op= value`, without the `else`."""
    place = expression(statement.place, precedence.POSTFIX)
    return (*place, f" {statement.op}= ", *expression(statement.value))


def simple(statement: syntax.Stmt | syntax.Expr) -> Text:
    """Return a statement without blocks, or the value at the end of an `else`."""
    match statement:
        case syntax.Assign():
            return assignment(statement)
        case syntax.Break():
            return ("break",)
        case syntax.Continue():
            return ("continue",)
        case syntax.Return(value=None):
            return ("return",)
        case syntax.Return(value=syntax.Verdict() as verdict):
            return ("return ", *_verdict(verdict))
        case syntax.Return(value=value) if not isinstance(value, syntax.Verdict) and value is not None:
            return ("return ", *expression(value))
        case syntax.Delete():
            return ("delete ", *expression(statement.target))
        case syntax.Disarm():
            return ("disarm ", *expression(statement.timer))
        case syntax.Hint():
            return ("hint ", *expression(statement.address), " pages ", *expression(statement.pages))
        case syntax.ExprStmt():
            return expression(statement.value)
        case _:
            assert not isinstance(statement, syntax.Stmt)
            return expression(statement)


def _verdict(verdict: syntax.Verdict, keywords: frozenset[str] = frozenset({"status"})) -> Text:
    """`keywords` are the words with which the body of an answer would be read as something else."""
    operand: Text = ()
    if verdict.operand is not None:
        text = expression(verdict.operand)
        bare = verdict.name != "answer" or re.split(r"\W", flat(text), maxsplit=1)[0] not in keywords
        operand = (" ", *parenthesised(text, bare=bare))
    status = (" status ", *expression(verdict.status)) if verdict.status else ()
    return (verdict.name, *operand, *status)


def release(statement: syntax.Release) -> Text:
    """Return `release tag [status n]`, without the `else`."""
    status = (" status ", *expression(statement.status)) if statement.status else ()
    return ("release ", *expression(statement.tag), *status)


def send(statement: syntax.Send) -> Text:
    """Return `send slot.op(..)` with its clauses, without the `else`."""
    clauses: Text = ()
    if statement.tag is not None:
        clauses += (" tag ", *expression(statement.tag))
    if statement.deadline is not None:
        clauses += (" deadline ", *expression(statement.deadline))
    if statement.grants:
        clauses += (" with ", *join(", ", map(expression, statement.grants)))
    if statement.promise is not None:
        clauses += (f" promise {statement.promise.name}",)
    return (f"send {statement.slot.name}.{statement.op.name}", _arguments(statement.arguments), *clauses)


def pattern(tree: syntax.Pattern) -> Text:
    """Return `a` or `a..=b`."""
    last = ("..=", *_pattern_value(tree.last)) if tree.last else ()
    return (*_pattern_value(tree.first), *last)


def _pattern_value(value: syntax.Expr) -> Text:
    if isinstance(value, syntax.Unary) and value.op == "-":
        return ("-", *expression(value.operand, precedence.POSTFIX))
    return expression(value, precedence.POSTFIX)


# --- expressions -----------------------------------------------------------------------------------------------------


def _arguments(arguments: Sequence[syntax.Expr]) -> Group:
    return Group("(", tuple(map(expression, arguments)), ")")


def plain(value: syntax.Expr) -> Text:
    """Return an expression behind which a block follows."""
    return expression(value, plain=True)


def expression(value: syntax.Expr, level: int = 0, *, plain: bool = False) -> Text:
    """Return an expression where only operators that bind at least as tightly as `level` may stand bare.

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
            return (*expression(value.base, precedence.POSTFIX), f".{value.name.name}")
        case syntax.Index():
            return (*expression(value.base, precedence.POSTFIX), "[", *expression(value.index), "]")
        case syntax.Range():
            start = expression(value.start) if value.start else ()
            end = expression(value.end) if value.end else ()
            return (*expression(value.base, precedence.POSTFIX), "[", *start, "..", *end, "]")
        case syntax.Call():
            return (value.function.name, _arguments(value.arguments))
        case syntax.ArrayLiteral():
            return (_array(value),)
        case syntax.StructLiteral():
            bare = level < precedence.CAST and not plain
            return parenthesised((_struct(value),), bare=bare)
        case syntax.Unary():
            text: Text = (value.op, *expression(value.operand, precedence.PREFIX, plain=plain))
            return parenthesised(text, bare=level <= precedence.PREFIX)
        case syntax.Cast():
            at = (" at ", *expression(value.at, precedence.POSTFIX)) if value.at else ()
            text = (*expression(value.operand, precedence.CAST, plain=plain), " as ", *type_name(value.target), *at)
            return parenthesised(text, bare=level <= precedence.CAST)
        case syntax.Binary():
            own = precedence.PRECEDENCE[value.op]
            left = own + (own == precedence.COMPARISON)  # comparisons do not chain
            bare = level <= own
            inner = plain and bare
            right = expression(value.right, own + 1, plain=inner)
            text = (*expression(value.left, left, plain=inner), f" {value.op} ", *right)
            return parenthesised(text, bare=bare)


def parenthesised(text: Text, *, bare: bool) -> Text:
    """Return a text in parentheses unless it may stand bare."""
    return text if bare else ("(", *text, ")")


def _struct(value: syntax.StructLiteral) -> Group | str:
    if not value.fields:
        return f"{value.name.name} {{}}"
    fields = tuple((f"{field.name.name}: ", *expression(field.value)) for field in value.fields)
    return Group(f"{value.name.name} {{ ", fields, " }")


def _array(value: syntax.ArrayLiteral) -> Group:
    if value.repeat is not None:
        return Group("[", ((*expression(value.elements[0]), "; ", *expression(value.repeat)),), "]", comma=False)
    return Group("[", tuple(map(expression, value.elements)), "]", fill=True)


# --- tests -----------------------------------------------------------------------------------------------------------


_AFTER_ANSWER = frozenset("status expect failure given reply request schedule submit timer".split())


def step(tree: syntax.TestStep) -> Text:
    """Return a step of a test."""
    match tree:
        case syntax.GivenMap():
            key = ("[", *expression(tree.key), "]") if tree.key else ()
            return (f"given {tree.name.name}", *key, " = ", *expression(tree.value))
        case syntax.GivenNow():
            return ("given now = ", *expression(tree.value))
        case syntax.Trigger():
            return _trigger(tree)
        case syntax.Expect():
            armed = ((" armed ", *plain(timer), " after ", *plain(delay)) for timer, delay in tree.armed)
            released = (_released(tag, status) for tag, status in tree.released)
            effects = [*map(_sent, tree.sent), *armed, *released]
            return (
                "expect ",
                *_verdict(tree.verdict, _AFTER_ANSWER),
                *(part for effect in effects for part in (",", *effect)),
            )
        case syntax.ExpectState(value=None):
            assert tree.key is not None
            return (f"expect no {tree.name.name}[", *expression(tree.key), "]")
        case syntax.ExpectState(value=value):
            assert value is not None
            key = ("[", *expression(tree.key), "]") if tree.key else ()
            return (f"expect {tree.name.name}", *key, " == ", *expression(value))


def _released(tag: syntax.Expr, status: syntax.Expr | None) -> Text:
    return (" released ", *plain(tag), *((" status ", *plain(status)) if status is not None else ()))


def _sent(message: syntax.SentMessage) -> Text:
    tag = (" tag ", *plain(message.tag)) if message.tag else ()
    return (f" sent {message.slot.name}.{message.op.name}", _arguments(message.arguments), *tag)


def _trigger(step: syntax.Trigger) -> Text:
    if step.event == "schedule":
        return ("schedule",)
    if step.event == "timer":
        return ("timer ", *plain(step.settings[0][1]))
    assert step.op is not None
    target = f"{step.slot.name}.{step.op.name}" if step.slot else step.op.name
    takes_arguments = step.event in ("submit", "request") and (step.arguments or step.body is None)
    arguments: Text = (_arguments(step.arguments),) if takes_arguments else ()
    settings: Text = tuple(part for word, value in step.settings for part in (f" {word} ", *plain(value)))
    body: Text = ()
    if isinstance(step.body, syntax.ArrayLiteral):
        body = (" bytes ", _array(step.body))
    elif step.body is not None:
        body = (" ", *expression(step.body))
    return (f"{step.event} {target}", *arguments, *settings, *body)
