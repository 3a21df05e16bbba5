"""The parse tree of one item -> `grafting.syntax`.

What the grammar leaves open is settled here: the grouping of operators, the values of literals, which expressions may
stand as a statement, whether a `return` gives a verdict. Mistakes go to `errors` and building goes on.

Every level of the syntax tree is one call deep here, so the limit on its depth is kept by passing `depth` down: no
later walk of the tree, which uses a few Python frames a level, can run out of stack.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from grafting import limits, syntax
from grafting.diagnostics import NO_SPAN, Diagnostic, Edit, GraftError, InternalError, Label, Source, Span, fail
from grafting.parsing.hints import foreign_word, statement_for
from grafting.parsing.lexer import HARD_WORDS
from grafting.parsing.precedence import COMPARISON, PRECEDENCE, operand_depths, postfix_order

Tree = Any  # lark.Tree, its leaves lark.Token; Lark is imported only when something is parsed


def span_of(node: Tree) -> Span:
    """Return where a tree or a token stands; an empty tree stands nowhere."""
    where: Any = getattr(node, "meta", node)
    if getattr(where, "empty", False):
        return NO_SPAN
    return Span(where.line, where.column, where.start_pos, where.end_pos)


def _present(children: list[Any]) -> list[Any]:
    return [child for child in children if child is not None]


class TreeBuilder:
    """Builds the items of one source text. `docs` are the doc comments by the offset of what follows them."""

    def __init__(self, source: Source, docs: Mapping[int, str]) -> None:
        self._source = source
        self._docs = docs
        self._in_handler = False
        self.errors: list[Diagnostic] = []

    # --- names, docs, errors -----------------------------------------------------------------------------------------

    def ident(self, tree: Tree) -> syntax.Ident:
        """`ident` and `word`."""
        return syntax.Ident(tree.children[0].value, span=span_of(tree.children[0]))

    def _doc(self, tree: Tree) -> str:
        return self._docs.get(tree.meta.start_pos, "")

    def _error(
        self, code: str, message: str, span: Span, label: str = "", *helps: str, edits: tuple[Edit, ...] = ()
    ) -> None:
        self.errors.append(Diagnostic(code, message, Label(span, label), self._source, helps=helps, edits=edits))

    def _too_deep(self, span: Span) -> GraftError:
        return fail(
            "G0112",
            f"this is nested more than {limits.TREE_DEPTH} levels deep",
            span,
            source=self._source,
            label="here",
            notes=("each operator of a chain and each `else if` is a level",),
            helps=("name a part of it with `let`, or use a loop or a `match`",),
        )

    # --- items -------------------------------------------------------------------------------------------------------

    def item(self, tree: Tree) -> syntax.Item:
        """Build one item; raises GraftError if it is nested too deeply."""
        span, doc, parts = span_of(tree), self._doc(tree), tree.children
        match tree.data:
            case "protocol":
                ops = tuple(self._op(op) for op in parts[1:])
                return syntax.Protocol(self.ident(parts[0]), ops, doc, span=span)
            case "cap":
                return syntax.Cap(self.ident(parts[0]), self.ident(parts[1]), parts[2] is not None, doc, span=span)
            case "serve":
                return syntax.Serve(self.ident(parts[0]), span=span)
            case "const":
                value = self.expression(parts[2], 1)
                return syntax.Const(self.ident(parts[0]), self._optional_type(parts[1]), value, doc, span=span)
            case "enum":
                variants = tuple(self._variant(variant) for variant in _present(parts[2:]))
                return syntax.Enum(self.ident(parts[0]), self.type(parts[1]), variants, doc, span=span)
            case "struct":
                return syntax.Struct(self.ident(parts[0]), self._params(parts[1]), doc, span=span)
            case "hash_map":
                name, key, value_type, entries = parts
                key_type, value_ = self.type(key), self.type(value_type)
                return syntax.Map(self.ident(name), key_type, value_, self.expression(entries, 1), doc, span=span)
            case "array_map":
                name, value_type, entries = parts
                value_ = self.type(value_type)
                return syntax.Map(self.ident(name), None, value_, self.expression(entries, 1), doc, span=span)
            case "state":
                value_or_none = self._optional(parts[2], 1)
                return syntax.State(self.ident(parts[0]), self.type(parts[1]), value_or_none, doc, span=span)
            case "function":
                return self._function(tree, doc)
            case "on":
                return self._handler(tree, doc)
            case "test":
                title = self._string(parts[0])
                return syntax.Test(title, tuple(self._step(step) for step in parts[1:]), span=span)
        raise InternalError(f"no item is called {tree.data}")

    def _op(self, tree: Tree) -> syntax.Op:
        name, body, reply = tree.children
        raw = body.data == "raw"
        params = () if raw else self._params(body)
        return syntax.Op(self.ident(name), params, raw, self._optional_type(reply), self._doc(tree), span=span_of(tree))

    def _params(self, tree: Tree) -> tuple[syntax.Param, ...]:
        return tuple(
            syntax.Param(self.ident(param.children[0]), self.type(param.children[1]), span=span_of(param))
            for param in _present(tree.children)
        )

    def _variant(self, tree: Tree) -> syntax.Variant:
        name, value = tree.children
        return syntax.Variant(self.ident(name), self._optional(value, 1), span=span_of(tree))

    def _function(self, tree: Tree, doc: str) -> syntax.Function:
        name, params, result, body = tree.children
        self._in_handler = False
        return syntax.Function(
            self.ident(name), self._params(params), self._optional_type(result), self.block(body, 1), doc,
            span=span_of(tree),
        )  # fmt: skip

    def _handler(self, tree: Tree, doc: str) -> syntax.On:
        event, param, source, request, budget, body = tree.children
        self._in_handler = True
        return syntax.On(
            event=self.ident(event),
            param=self.ident(param),
            source=(self.ident(source.children[0]), self.ident(source.children[1])) if source else None,
            op=self.ident(request.children[0]) if request else None,
            params=tuple(self.ident(name) for name in _present(request.children[1:])) if request else (),
            budget=tuple(self._budget_term(term) for term in budget.children) if budget else (),
            body=self.block(body, 1),
            doc=doc,
            span=span_of(tree),
        )

    def _budget_term(self, tree: Tree) -> syntax.BudgetTerm:
        amount, unit = tree.children
        return syntax.BudgetTerm(self.expression(amount, 1), unit.children[0].value, span=span_of(tree))

    # --- types -------------------------------------------------------------------------------------------------------

    def type(self, tree: Tree, depth: int = 1) -> syntax.TypeExpr:
        """`u64`, `[u64; 4]`."""
        if depth > limits.TREE_DEPTH:
            raise self._too_deep(span_of(tree))
        if tree.data == "named_type":
            return syntax.NamedType(self.ident(tree.children[0]).name, span=span_of(tree))
        element, length = tree.children
        return syntax.ArrayType(self.type(element, depth + 1), self.expression(length, depth + 1), span=span_of(tree))

    def _optional_type(self, tree: Tree | None) -> syntax.TypeExpr | None:
        return None if tree is None else self.type(tree)

    # --- statements --------------------------------------------------------------------------------------------------

    def block(self, tree: Tree, depth: int) -> syntax.Block:
        """`{ statements }`, where a value alone has no meaning."""
        return syntax.Block(self._statements(tree.children, depth + 1), span=span_of(tree))

    def _statements(self, trees: Sequence[Tree], depth: int) -> tuple[syntax.Stmt, ...]:
        """Build statements; a value among them is an error, said once a line."""
        built: list[syntax.Stmt] = []
        said_in = 0
        for tree in trees:
            if tree.data != "expr_statement":
                built.append(self.statement(tree, depth))
                continue
            value = self.expression(tree.children[0], depth + 1)
            if isinstance(value, syntax.Call):
                built.append(syntax.ExprStmt(value, span=span_of(tree)))
            elif tree.meta.line != said_in:
                self._unused(value, span_of(tree))
                said_in = tree.meta.line
        return tuple(built)

    def _unused(self, value: syntax.Expr, span: Span) -> None:
        help_ = "give it a name with `let`, assign it, or remove it"
        edits: tuple[Edit, ...] = ()
        if isinstance(value, syntax.Name):
            if foreign := foreign_word(value.name):
                help_ = foreign
            elif meant := statement_for(value.name):
                help_ = f"write `{meant}`"
                edits = (Edit(span, meant),) if meant.split()[0] in HARD_WORDS else ()
        elif isinstance(value, syntax.Binary) and value.op == "==":
            help_ = "to assign, write `=`"
        self._error("G0110", "this value is not used", span, "a value is not a statement", help_, edits=edits)

    def _otherwise(self, tree: Tree | None, depth: int) -> syntax.Block | None:
        """`else { .. }` of something that may fail."""
        return None if tree is None else self.block(tree.children[0], depth)

    def _otherwise_value(self, tree: Tree | None, depth: int) -> syntax.Block | None:
        """`else { .. value }` of a `let`: an expression at the end is what the name stands for."""
        if tree is None:
            return None
        block = tree.children[0]
        if not block.children or block.children[-1].data != "expr_statement":
            return self.block(block, depth)
        *before, last = block.children
        statements = self._statements(before, depth + 1)
        return syntax.Block(statements, self.expression(last.children[0], depth + 1), span=span_of(block))

    def statement(self, tree: Tree, depth: int) -> syntax.Stmt:
        """Any statement but a bare expression."""
        if depth > limits.TREE_DEPTH:
            raise self._too_deep(span_of(tree))
        span, parts, below = span_of(tree), tree.children, depth + 1
        match tree.data:
            case "let":
                mutable, name, type_, value, otherwise = parts
                return syntax.Let(
                    self.ident(name), mutable is not None, self._optional_type(type_),
                    self.expression(value, below), self._otherwise_value(otherwise, below), span=span,
                )  # fmt: skip
            case "assign":
                return self._assign(tree, below)
            case "if":
                return self._if(tree, depth)
            case "for":
                name, start, end, cap, body = parts
                return syntax.For(
                    self.ident(name), self.expression(start, below), self.expression(end, below),
                    self._optional(cap, below), self.block(body, below), span=span,
                )  # fmt: skip
            case "while":
                condition, limit, body = parts
                return syntax.While(
                    self.expression(condition, below), self.expression(limit, below), self.block(body, below),
                    span=span,
                )  # fmt: skip
            case "match":
                arms = tuple(self._arm(arm, below) for arm in parts[1:])
                return syntax.Match(self.expression(parts[0], below), arms, span=span)
            case "break":
                return syntax.Break(span=span)
            case "continue":
                return syntax.Continue(span=span)
            case "return":
                return self._return(tree, below)
            case "return_verdict":
                return self._return_verdict(tree, below)
            case "delete":
                return syntax.Delete(self.expression(parts[0], below), span=span)
            case "send":
                return self._send(tree, below)
            case "arm":
                timer, delay, otherwise = parts
                return syntax.ArmTimer(
                    self.expression(timer, below), self.expression(delay, below),
                    self._otherwise(otherwise, below), span=span,
                )  # fmt: skip
            case "disarm":
                return syntax.Disarm(self.expression(parts[0], below), span=span)
            case "release":
                tag, status, otherwise = parts
                return syntax.Release(
                    self.expression(tag, below), self._optional(status, below), self._otherwise(otherwise, below),
                    span=span,
                )  # fmt: skip
            case "hint":
                return syntax.Hint(self.expression(parts[0], below), self.expression(parts[1], below), span=span)
        raise InternalError(f"no statement is called {tree.data}")

    def _assign(self, tree: Tree, depth: int) -> syntax.Assign:
        if len(tree.children) == 3:  # the sign `=` is not kept
            place, value, otherwise = tree.children
            op = ""
        else:
            place, sign, value, otherwise = tree.children
            op = sign.value[:-1]
        target = self.expression(place, depth)
        if not _is_place(target):
            self._error(
                "G0114", "this cannot be assigned", target.span, "not a place that keeps a value",
                "assign to a name, or to a field or an element of one",
            )  # fmt: skip
        return syntax.Assign(
            target, op, self.expression(value, depth), self._otherwise(otherwise, depth),
            span=span_of(tree),
        )  # fmt: skip

    def _if(self, tree: Tree, depth: int) -> syntax.If:
        if depth > limits.TREE_DEPTH:
            raise self._too_deep(span_of(tree))
        condition, then, otherwise = tree.children
        below = depth + 1
        rest: syntax.Block | syntax.If | None = None
        if otherwise is not None:
            rest = self._if(otherwise, below) if otherwise.data == "if" else self.block(otherwise, below)
        return syntax.If(self.expression(condition, below), self.block(then, below), rest, span=span_of(tree))

    def _arm(self, tree: Tree, depth: int) -> syntax.Arm:
        patterns, body = tree.children
        return syntax.Arm(
            tuple(self._pattern(pattern, depth + 1) for pattern in patterns.children),
            self.block(body, depth + 1),
            span=span_of(tree),
        )

    def _pattern(self, tree: Tree, depth: int) -> syntax.Pattern:
        first, last = tree.children
        return syntax.Pattern(self.expression(first, depth), self._optional(last, depth), span=span_of(tree))

    def _return(self, tree: Tree, depth: int) -> syntax.Return:
        value = self._optional(tree.children[0], depth)
        if self._in_handler and isinstance(value, syntax.Name):
            if value.name in ("answer", "steer"):  # bare they are keywords, so parentheses are around this one
                self._error("G0115", "a verdict stands without parentheses", value.span)
            return syntax.Return(syntax.Verdict(value.name, span=value.span), span=span_of(tree))
        return syntax.Return(value, span=span_of(tree))

    def _return_verdict(self, tree: Tree, depth: int) -> syntax.Return:
        return syntax.Return(self._verdict(tree.children[0], depth), span=span_of(tree))

    def _verdict(self, tree: Tree, depth: int) -> syntax.Verdict:
        parts = tree.children
        match tree.data:
            case "steer":
                slot = self.ident(parts[0])
                return syntax.Verdict("steer", syntax.Name(slot.name, span=slot.span), span=span_of(tree))
            case "answer":
                operand, status = (self._optional(part, depth) for part in parts)
                return syntax.Verdict("answer", operand, status, span=span_of(tree))
        return syntax.Verdict(self.ident(parts[0]).name, span=span_of(tree))

    def _send(self, tree: Tree, depth: int) -> syntax.Send:
        slot, op, arguments, *clauses, otherwise = tree.children
        found: dict[str, list[Any]] = {}
        for clause in clauses:
            word = clause.data.removesuffix("_clause")
            if word in found:
                self._error("G0113", f"`{word}` is said twice", span_of(clause), "already said for this send")
            found[word] = clause.children

        def single(word: str) -> syntax.Expr | None:
            return self.expression(found[word][0], depth) if word in found else None

        return syntax.Send(
            slot=self.ident(slot),
            op=self.ident(op),
            arguments=self._arguments(arguments, depth),
            tag=single("tag"),
            deadline=single("deadline"),
            grants=tuple(self.expression(cap, depth) for cap in found.get("with", [])),
            promise=self.ident(found["promise"][0]) if "promise" in found else None,
            otherwise=self._otherwise(otherwise, depth),
            span=span_of(tree),
        )

    # --- expressions -------------------------------------------------------------------------------------------------

    def _optional(self, tree: Tree | None, depth: int) -> syntax.Expr | None:
        return None if tree is None else self.expression(tree, depth)

    def _arguments(self, tree: Tree | None, depth: int) -> tuple[syntax.Expr, ...]:
        return tuple(self.expression(argument, depth) for argument in _present(tree.children)) if tree else ()

    def expression(self, tree: Tree, depth: int) -> syntax.Expr:
        """Build an expression that stands `depth` levels down; raises GraftError if that is too deep."""
        if depth > limits.TREE_DEPTH:
            raise self._too_deep(span_of(tree))
        span, parts, below = span_of(tree), tree.children, depth + 1
        match tree.data:
            case "name":
                return syntax.Name(parts[0].children[0].value, span=span)
            case "integer":
                return self._integer(parts[0].value, span)
            case "true" | "false":
                return syntax.BoolLiteral(tree.data == "true", span=span)
            case "member":
                return syntax.Member(self.expression(parts[0], below), self.ident(parts[1]), span=span)
            case "index":
                return syntax.Index(self.expression(parts[0], below), self.expression(parts[1], below), span=span)
            case "range":
                base, start, end = parts
                return syntax.Range(
                    self.expression(base, below), self._optional(start, below), self._optional(end, below), span=span
                )
            case "call":
                return syntax.Call(self.ident(parts[0]), self._arguments(parts[1], below), span=span)
            case "paren":
                return _widen(self.expression(parts[0], depth), span)
            case "operand":
                return self._operand(tree, depth)
            case "expr":
                return self._operators(tree, depth)
            case "struct_literal":
                values = tuple(self._field_value(value, below) for value in _present(parts[1:]))
                return syntax.StructLiteral(self.ident(parts[0]), values, span=span)
            case "array_literal":
                return syntax.ArrayLiteral(self._arguments(parts[0], below), span=span)
            case "array_repeat":
                element, repeat = parts
                return syntax.ArrayLiteral(
                    (self.expression(element, below),), self.expression(repeat, below), span=span
                )
        raise InternalError(f"no expression is called {tree.data}")

    def _field_value(self, tree: Tree, depth: int) -> syntax.FieldValue:
        name, value = tree.children
        return syntax.FieldValue(self.ident(name), self.expression(value, depth), span=span_of(tree))

    def _operand(self, tree: Tree, depth: int) -> syntax.Expr:
        """Prefix operators, then a value, then casts: the prefixes bind first, the innermost nearest to the value."""
        at = next(i for i, part in enumerate(tree.children) if hasattr(part, "data"))
        prefixes, primary, casts = tree.children[:at], tree.children[at], tree.children[at + 1 :]
        value = self.expression(primary, depth + len(prefixes) + len(casts))
        for prefix in reversed(prefixes):
            value = syntax.Unary(prefix.value, value, span=span_of(prefix).to(value.span))
        start = span_of(tree)
        for number, cast in enumerate(casts):
            type_, offset = cast.children
            below = depth + len(casts) - number
            value = syntax.Cast(
                value, self.type(type_, below), self._optional(offset, below), span=_until(start, span_of(cast))
            )
        return value

    def _operators(self, tree: Tree, depth: int) -> syntax.Expr:
        """A flat row `operand op operand ...`, grouped by `grafting.parsing.precedence`."""
        parts = tree.children
        order = postfix_order([sign.value for sign in parts[1::2]])
        depths = operand_depths(order)
        operands = [self.expression(part, depth + depths[n]) for n, part in enumerate(parts[::2])]
        stack: list[syntax.Expr] = []
        for entry in order:
            if isinstance(entry, int):
                stack.append(operands[entry])
                continue
            right, left = stack.pop(), stack.pop()
            self._check_chain(entry, left, parts)
            stack.append(syntax.Binary(entry, left, right, span=left.span.to(right.span)))
        return stack[0]

    def _check_chain(self, op: str, left: syntax.Expr, parts: list[Tree]) -> None:
        """`a < b < c` is no comparison of three values; `(a < b) == c` is fine, so only the row's own nodes count."""
        if PRECEDENCE[op] != COMPARISON or not isinstance(left, syntax.Binary):
            return
        own = all(part.data != "paren" or span_of(part) != left.span for part in parts[::2])
        if PRECEDENCE[left.op] == COMPARISON and own:
            self._error(
                "G0111", "comparisons do not chain", left.span, "this is already a bool",
                "compare twice and join with `&&`, or add parentheses",
            )  # fmt: skip

    def _integer(self, text: str, span: Span) -> syntax.IntLiteral:
        try:
            value = int(text, 0)
        except ValueError:
            self._error("G0109", f"`{text}` is not a number", span, "", *_number_help(text))
            value = 0
        if value >= 1 << 64:
            self._error("G0109", f"`{text}` needs more than 64 bits", span, "the largest number is 2^64 - 1")
            value = 0
        return syntax.IntLiteral(value, text, span=span)

    def _string(self, token: Any) -> str:
        return re.sub(r"\\(.)", r"\1", token.value[1:-1])

    # --- tests -------------------------------------------------------------------------------------------------------

    def _step(self, tree: Tree) -> syntax.TestStep:
        span, parts = span_of(tree), tree.children
        match tree.data:
            case "given":
                name, key, value = parts
                if name.children[0].value == "now" and key is None:
                    return syntax.GivenNow(self.expression(value, 1), span=span)
                return syntax.GivenMap(self.ident(name), self._optional(key, 1), self.expression(value, 1), span=span)
            case "expect":
                return self._expect(tree)
            case "expect_value":
                name, key, value = parts
                return syntax.ExpectState(
                    self.ident(name), self._optional(key, 1), self.expression(value, 1), span=span
                )
            case "expect_absent":
                return syntax.ExpectState(self.ident(parts[0]), self.expression(parts[1], 1), None, span=span)
        return self._trigger(tree)

    def _trigger(self, tree: Tree) -> syntax.Trigger:
        span, parts = span_of(tree), tree.children
        event: str = tree.data.removesuffix("_trigger")
        slot: syntax.Ident | None = None
        op: syntax.Ident | None = None
        arguments: Tree | None = None
        match event:
            case "schedule":
                return syntax.Trigger(event, None, None, (), (), None, span=span)
            case "timer":
                number = self.expression(parts[0], 1)
                return syntax.Trigger(event, None, None, (), (("id", number),), None, span=span)
            case "request":
                name, arguments, settings, body = parts
                op = self.ident(name)
            case "submit":
                name, op_name, arguments, settings, body = parts
                slot, op = self.ident(name), self.ident(op_name)
            case _:
                name, op_name, settings, body = parts
                slot, op = self.ident(name), self.ident(op_name)
        values = tuple(
            (setting.children[0].value, self.expression(setting.children[1], 1)) for setting in settings.children
        )
        return syntax.Trigger(event, slot, op, self._arguments(arguments, 1), values, self._payload(body), span=span)

    def _payload(self, tree: Tree | None) -> syntax.Expr | None:
        if tree is not None and tree.data == "bytes_payload":
            return self.expression(tree.children[0], 1)
        return self._optional(tree, 1)

    def _expect(self, tree: Tree) -> syntax.Expect:
        verdict, *effects = tree.children
        sent: list[syntax.SentMessage] = []
        armed: list[tuple[syntax.Expr, syntax.Expr]] = []
        released: list[tuple[syntax.Expr, syntax.Expr | None]] = []
        for effect in effects:
            parts = effect.children
            if effect.data == "armed":
                armed.append((self.expression(parts[0], 1), self.expression(parts[1], 1)))
                continue
            if effect.data == "released":
                released.append((self.expression(parts[0], 1), self._optional(parts[1], 1)))
                continue
            slot, op, arguments, tag = parts
            sent.append(
                syntax.SentMessage(
                    self.ident(slot),
                    self.ident(op),
                    self._arguments(arguments, 1),
                    self._optional(tag, 1),
                    span=span_of(effect),
                )
            )
        return syntax.Expect(
            self._verdict(verdict, 1), tuple(sent), tuple(armed), tuple(released), span=span_of(tree)
        )  # fmt: skip


def _is_place(target: syntax.Expr) -> bool:
    """Whether an expression is a name, or a part of what a name stands for."""
    while isinstance(target, syntax.Member | syntax.Index):
        target = target.base
    return isinstance(target, syntax.Name)


def _until(start: Span, end: Span) -> Span:
    return Span(start.line, start.column, start.start, end.end)


def _widen(value: syntax.Expr, span: Span) -> syntax.Expr:
    """Return `value` with the span of the parentheses around it, so that a caret under it covers them."""
    return replace(value, span=span)


def _number_help(text: str) -> tuple[str, ...]:
    if text[0] == "0" and text.isdigit():
        return (f"octal is written `0o{text.lstrip('0')}`",)
    digits = len(text) - len(text.lstrip("0123456789_"))
    if text[digits:] in ("u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64"):
        return (f"write `{text[:digits]} as {text[digits:]}`; a literal takes the type that its place demands",)
    return ()
