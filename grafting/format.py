"""Syntax tree -> canonical text.

`format_graft(tree)` prints a tree so that it parses to itself: `parse(format_graft(t)) == t` for every tree that
`grafting.parsing.parse` can make. `format_source` prints a source text in the same way, its comments and single blank
lines kept.

`grafting.phrases` puts into words what stands in a line; here is how lines, blocks and comments follow one another. A
block of one short statement stays in its line behind `else`, behind an `if` that has no `else`, and in an arm of a
`match`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from grafting import phrases, syntax
from grafting.diagnostics import Diagnostic, Edit, Label, Source, Span
from grafting.parsing.lexer import Comment, scan
from grafting.parsing.parse import parse
from grafting.printing import INDENT, WIDTH, Text, flat, join, lay_out

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


def unformatted(source: Source, new: str) -> Diagnostic:
    """Return what to say about a text (G0901) whose canonical form, another one, is `new`."""
    lines = source.text.split("\n")
    pairs = enumerate(zip(lines, new.split("\n"), strict=False))
    number = next((number for number, (old_line, new_line) in pairs if old_line != new_line), len(lines) - 1)
    start = sum(len(line) + 1 for line in lines[:number])
    return Diagnostic(
        "G0901",
        "the file is not formatted",
        Label(Span(number + 1, 1, start, start + len(lines[number])), "the first line that differs"),
        source,
        helps=(f"run `graft fmt {source.filename}`",),
        edits=(Edit(Span(1, 1, 0, len(source.text)), new),),
    )


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
                type_ = (": ", *phrases.type_name(item.type)) if item.type else ()
                self._line((f"const {item.name.name}", *type_, " = ", *phrases.expression(item.value)))
            case syntax.Enum():
                head = (f"enum {item.name.name}: ", *phrases.type_name(item.repr))
                self._braces(head, item.variants, self._variant, item.span)
            case syntax.Struct():
                self._braces((f"struct {item.name.name}",), item.fields, self._field, item.span)
            case syntax.Map():
                self._line((f"map {item.name.name}: ", *phrases.map_kind(item)))
            case syntax.State():
                value = (" = ", *phrases.expression(item.value)) if item.value else ()
                self._line((f"state {item.name.name}: ", *phrases.type_name(item.type), *value))
            case syntax.Function():
                result = (" -> ", *phrases.type_name(item.result)) if item.result else ()
                self._body((f"fn {item.name.name}", phrases.parameters(item.params), *result), item.body)
            case syntax.On():
                self._body(phrases.handler_head(item), item.body)
            case syntax.Test():
                title = item.title.replace("\\", "\\\\").replace('"', '\\"')
                self._braces((f'test "{title}"',), item.steps, self._step, item.span)

    def _op(self, op: syntax.Op) -> None:
        self._begin(op, doc=op.doc)
        params = "(bytes)" if op.raw else phrases.parameters(op.params)
        reply = (" -> ", *phrases.type_name(op.reply)) if op.reply else ()
        self._line((f"op {op.name.name}", params, *reply))
        self._done(op)

    def _variant(self, variant: syntax.Variant) -> None:
        self._begin(variant)
        value = (" = ", *phrases.expression(variant.value)) if variant.value else ()
        self._line((variant.name.name, *value), ",")
        self._done(variant)

    def _field(self, field: syntax.Param) -> None:
        self._begin(field)
        self._line((f"{field.name.name}: ", *phrases.type_name(field.type)), ",")
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
                text = (*head, " { ", *phrases.simple(only), " }")
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
                type_ = (": ", *phrases.type_name(statement.type)) if statement.type else ()
                name = ("mut " if statement.mutable else "") + statement.name.name
                self._fallible(
                    (f"let {name}", *type_, " = ", *phrases.expression(statement.value)), statement.otherwise
                )
            case syntax.Assign():
                self._fallible(phrases.assignment(statement), statement.otherwise)
            case syntax.If():
                self._if(("if ",), statement)
            case syntax.For():
                cap = (" max ", *phrases.plain(statement.cap)) if statement.cap else ()
                bounds = (*phrases.plain(statement.start), "..", *phrases.plain(statement.end), *cap)
                self._body((f"for {statement.name.name} in ", *bounds), statement.body)
            case syntax.While():
                head = ("while ", *phrases.plain(statement.condition), " limit ", *phrases.plain(statement.limit))
                self._body(head, statement.body)
            case syntax.Match():
                self._braces(("match ", *phrases.plain(statement.subject)), statement.arms, self._arm, statement.span)
            case syntax.Send():
                self._fallible(phrases.send(statement), statement.otherwise)
            case syntax.ArmTimer():
                head = ("arm ", *phrases.expression(statement.timer), " after ", *phrases.expression(statement.delay))
                self._fallible(head, statement.otherwise)
            case syntax.Release():
                self._fallible(phrases.release(statement), statement.otherwise)
            case _:
                text = phrases.simple(statement)
                self._line(phrases.parenthesised(text, bare=separate or flat(text)[0] not in "-["))
        self._done(statement)

    def _if(self, word: Text, statement: syntax.If) -> None:
        head = (*word, *phrases.plain(statement.condition))
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
        patterns = join(" | ", (phrases.pattern(pattern) for pattern in arm.patterns)) or ("_",)
        self._maybe_inline((*patterns, " =>"), arm.body)
        self._done(arm)

    # --- tests -------------------------------------------------------------------------------------------------------

    def _step(self, step: syntax.TestStep) -> None:
        self._begin(step)
        self._line(phrases.step(step))
        self._done(step)


_ONE_LINE = (syntax.Cap, syntax.Serve, syntax.Const, syntax.Map, syntax.State)


def _contents(block: syntax.Block) -> tuple[syntax.Stmt | syntax.Expr, ...]:
    return block.statements if block.value is None else (*block.statements, block.value)


def _is_closed(statement: syntax.Stmt) -> bool:
    """Whether nothing that stands behind a statement can be read as a part of it."""
    match statement:
        case syntax.If() | syntax.For() | syntax.While() | syntax.Match() | syntax.Break() | syntax.Continue():
            return True
        case syntax.Let() | syntax.Assign() | syntax.Send() | syntax.ArmTimer() | syntax.Release():
            return statement.otherwise is not None
    return False
