"""Hypothesis strategies of syntax trees: every tree that the grammar has a text for, and only such.

A tree is not well typed, only well formed: the limits are those of the grammar, where statements have no separators.
So a bare `return` ends its block, a call does not end an `else` that gives no value (it would be the value), and a
statement begins with a word.
"""

from __future__ import annotations

from hypothesis import strategies as st

from grafting import syntax
from grafting.parsing.lexer import HARD_WORDS, SOFT_WORDS
from grafting.parsing.precedence import PRECEDENCE

_PLAIN = ("a", "b2", "key", "node", "msg", "x_y", "Node", "MAX", "u64", "now", "deliver")
_VERDICTS = ("deliver", "consume", "pass", "hold", "drop", "done")
_EVENTS = ("submit", "reply", "failure", "request", "timer", "schedule")

plain_names = st.sampled_from(_PLAIN)
names = plain_names | st.sampled_from(sorted(SOFT_WORDS))  # soft words are names wherever no clause begins with them
words = names | st.sampled_from(sorted(HARD_WORDS))  # after a dot and before a colon every word is a name


def idents(of: st.SearchStrategy[str] = names) -> st.SearchStrategy[syntax.Ident]:
    return st.builds(syntax.Ident, of)


# --- types and expressions -------------------------------------------------------------------------------------------

integers = st.builds(
    lambda value, form: syntax.IntLiteral(value, form.format(value)),
    st.integers(0, 30) | st.integers(0, (1 << 64) - 1),
    st.sampled_from(("{}", "{:#x}", "{:#b}", "{:#o}", "{:_}")),
)
atoms: st.SearchStrategy[syntax.Expr] = (
    integers | st.builds(syntax.BoolLiteral, st.booleans()) | st.builds(syntax.Name, names)
)


def _compound(inner: st.SearchStrategy[syntax.Expr]) -> st.SearchStrategy[syntax.Expr]:
    few = st.lists(inner, max_size=3).map(tuple)
    return st.one_of(
        st.builds(syntax.Member, inner, idents(words)),
        st.builds(syntax.Index, inner, inner),
        st.builds(syntax.Range, inner, st.none() | inner, st.none() | inner),
        st.builds(syntax.Unary, st.sampled_from("-!~"), inner),
        st.builds(syntax.Binary, st.sampled_from(sorted(PRECEDENCE)), inner, inner),
        st.builds(syntax.Cast, inner, _types_over(inner), st.none() | inner),
        st.builds(syntax.Call, idents(), few),
        _struct_literals(inner),
        st.builds(syntax.ArrayLiteral, few),
        st.builds(syntax.ArrayLiteral, st.tuples(inner), inner),
    )


def _struct_literals(inner: st.SearchStrategy[syntax.Expr]) -> st.SearchStrategy[syntax.StructLiteral]:
    fields = st.lists(st.builds(syntax.FieldValue, idents(words), inner), max_size=3).map(tuple)
    return st.builds(syntax.StructLiteral, idents(plain_names), fields)


def _types_over(inner: st.SearchStrategy[syntax.Expr]) -> st.SearchStrategy[syntax.TypeExpr]:
    named: st.SearchStrategy[syntax.TypeExpr] = st.builds(syntax.NamedType, names)
    return named | st.builds(syntax.ArrayType, named, inner)


expressions: st.SearchStrategy[syntax.Expr] = st.recursive(atoms, _compound, max_leaves=6)
types = _types_over(expressions)
places: st.SearchStrategy[syntax.Expr] = st.recursive(
    st.builds(syntax.Name, names),
    lambda inner: st.builds(syntax.Member, inner, idents(words)) | st.builds(syntax.Index, inner, expressions),
    max_leaves=3,
)

# --- statements ------------------------------------------------------------------------------------------------------

calls = st.builds(syntax.Call, idents(plain_names), st.lists(expressions, max_size=2).map(tuple))
answers = st.builds(syntax.Verdict, st.just("answer"), st.none() | expressions, st.none() | expressions)
steers = st.builds(syntax.Verdict, st.just("steer"), st.builds(syntax.Name, names))
verdicts = st.builds(syntax.Verdict, st.sampled_from(_VERDICTS)) | steers | answers


def _returns(*, handler: bool) -> st.SearchStrategy[syntax.Return]:
    values = expressions.filter(lambda value: not isinstance(value, syntax.Name))
    if handler:
        return st.builds(syntax.Return, verdicts | values | st.none())
    names_too = expressions.filter(lambda value: not _begins_with(value, ("answer", "steer")))
    return st.builds(syntax.Return, names_too | st.none())


def _begins_with(value: syntax.Expr, spellings: tuple[str, ...]) -> bool:
    match value:
        case syntax.Name(name=name) | syntax.Call(function=syntax.Ident(name=name)):
            return name in spellings
        case syntax.Member(base=base) | syntax.Index(base=base) | syntax.Range(base=base):
            return _begins_with(base, spellings)
        case syntax.Binary(left=left):
            return _begins_with(left, spellings)
        case syntax.Cast(operand=operand):
            return _begins_with(operand, spellings)
    return False


_patterns = st.builds(syntax.Pattern, expressions, st.none() | expressions)
_sends = st.fixed_dictionaries(
    {
        "slot": idents(),
        "op": idents(words),
        "arguments": st.lists(expressions, max_size=2).map(tuple),
        "tag": st.none() | expressions,
        "deadline": st.none() | expressions,
        "grants": st.lists(expressions, max_size=2).map(tuple),
        "promise": st.none() | idents(),
    }
)


def _simple_statements() -> st.SearchStrategy[syntax.Stmt]:
    return st.one_of(
        st.just(syntax.Break()),
        st.just(syntax.Continue()),
        st.builds(syntax.Delete, expressions),
        st.builds(syntax.Disarm, expressions),
        st.builds(syntax.Hint, expressions, expressions),
        st.builds(syntax.ExprStmt, calls),
    )


def _statements_over(block: st.SearchStrategy[syntax.Block]) -> st.SearchStrategy[syntax.Stmt]:
    otherwise = st.none() | block
    ifs = st.builds(syntax.If, expressions, block, otherwise)
    arms = st.builds(syntax.Arm, st.lists(_patterns, max_size=2).map(tuple), block)
    return st.one_of(
        _simple_statements(),
        st.builds(syntax.Let, idents(), st.booleans(), st.none() | types, expressions, st.none() | _with_value(block)),
        st.builds(syntax.Assign, places, st.sampled_from(("", *"+-*/%|&^", "<<", ">>")), expressions, otherwise),
        ifs,
        st.builds(syntax.If, expressions, block, ifs),
        st.builds(syntax.For, idents(), expressions, expressions, st.none() | expressions, block),
        st.builds(syntax.While, expressions, expressions, block),
        st.builds(syntax.Match, expressions, st.lists(arms, max_size=2).map(tuple)),
        _sends.flatmap(lambda parts: st.builds(lambda o: syntax.Send(**parts, otherwise=o), otherwise)),
        st.builds(syntax.ArmTimer, expressions, expressions, otherwise),
        st.builds(syntax.Release, expressions, st.none() | expressions, otherwise),
    )


def _with_value(block: st.SearchStrategy[syntax.Block]) -> st.SearchStrategy[syntax.Block]:
    """The `else` of a `let`: with a value at its end, or without one and without a call there."""

    def last_is_no_call(b: syntax.Block) -> bool:
        return not b.statements or not isinstance(b.statements[-1], syntax.ExprStmt)

    def no_return(b: syntax.Block) -> bool:
        return not any(isinstance(statement, syntax.Return) for statement in b.statements)

    any_value = st.builds(syntax.Block, st.just(()), expressions)
    after_statements = st.builds(
        lambda b, value: syntax.Block(b.statements, value), block.filter(no_return), integers | calls
    )
    return block.filter(last_is_no_call) | any_value | after_statements


def blocks(*, handler: bool) -> st.SearchStrategy[syntax.Block]:
    def over(statements: st.SearchStrategy[syntax.Stmt]) -> st.SearchStrategy[syntax.Block]:
        ending = st.lists(_returns(handler=handler), max_size=1)
        return st.builds(lambda s, r: syntax.Block((*s, *r)), st.lists(statements, max_size=3), ending)

    return st.recursive(over(_simple_statements()), lambda b: over(_statements_over(b)), max_leaves=4)


# --- items -----------------------------------------------------------------------------------------------------------

params = st.lists(st.builds(syntax.Param, idents(words), types), max_size=3).map(tuple)
_ops = st.one_of(
    st.builds(syntax.Op, idents(words), params, st.just(False), st.none() | types),
    st.builds(syntax.Op, idents(words), st.just(()), st.just(True), st.none() | types),
)
_budgets = st.lists(
    st.builds(syntax.BudgetTerm, integers | st.builds(syntax.Name, plain_names), st.sampled_from(("insns", "sends"))),
    max_size=2,
).map(tuple)
_declarations: st.SearchStrategy[syntax.Item] = st.one_of(
    st.builds(syntax.Protocol, idents(), st.lists(_ops, max_size=3).map(tuple)),
    st.builds(syntax.Cap, idents(), idents(), st.booleans()),
    st.builds(syntax.Serve, idents()),
    st.builds(syntax.Const, idents(), st.none() | types, expressions),
    st.builds(
        syntax.Enum, idents(), types,
        st.lists(st.builds(syntax.Variant, idents(words), st.none() | expressions), max_size=3).map(tuple),
    ),
    st.builds(syntax.Struct, idents(), params),
    st.builds(syntax.Map, idents(), st.none() | types, types, expressions),
    st.builds(syntax.State, idents(), types, st.none() | expressions),
)  # fmt: skip
_functions = st.builds(syntax.Function, idents(), params, st.none() | types, blocks(handler=False))
_handlers = st.builds(
    lambda event, param, source, request, budget, body: syntax.On(
        event, param, source, request[0] if request else None, request[1] if request else (), budget, body
    ),
    idents(st.sampled_from(_EVENTS) | plain_names),
    idents(),
    st.none() | st.tuples(idents(), idents(words)),
    st.none() | st.tuples(idents(words), st.lists(idents(), max_size=2).map(tuple)),
    _budgets,
    blocks(handler=True),
)

# --- tests -----------------------------------------------------------------------------------------------------------

_few = st.lists(expressions, max_size=2).map(tuple)
_settings = st.lists(st.tuples(st.sampled_from(("tag", "badge", "status")), expressions), max_size=2).map(tuple)
_bodies = st.none() | _struct_literals(expressions) | st.builds(syntax.ArrayLiteral, _few)
_subjects = idents(plain_names)
_triggers = st.one_of(
    st.builds(
        syntax.Trigger, st.sampled_from(("reply", "failure")), idents(), idents(words), st.just(()), _settings, _bodies
    ),
    st.builds(syntax.Trigger, st.just("submit"), idents(), idents(words), _few, _settings, _bodies),
    st.builds(syntax.Trigger, st.just("request"), st.none(), idents(words), _few, _settings, _bodies),
    expressions.map(lambda number: syntax.Trigger("timer", None, None, (), (("id", number),), None)),
    st.just(syntax.Trigger("schedule", None, None, (), (), None)),
)
_sent = st.builds(syntax.SentMessage, idents(), idents(words), _few, st.none() | expressions)
_steps: st.SearchStrategy[syntax.TestStep] = st.one_of(
    st.builds(syntax.GivenMap, idents().filter(lambda i: i.name != "now"), st.none() | expressions, expressions),
    st.builds(syntax.GivenNow, expressions),
    _triggers,
    st.builds(
        syntax.Expect, verdicts, st.lists(_sent, max_size=2).map(tuple),
        st.lists(st.tuples(expressions, expressions), max_size=1).map(tuple),
        st.lists(st.tuples(expressions, st.none() | expressions), max_size=1).map(tuple),
    ),
    st.builds(syntax.ExpectState, _subjects, st.none() | expressions, expressions),
    st.builds(syntax.ExpectState, _subjects, expressions, st.none()),
)  # fmt: skip
_titles = st.text(st.characters(codec="utf-8", exclude_characters="\n\0"), max_size=12)
tests = st.builds(syntax.Test, _titles, st.lists(_steps, max_size=4).map(tuple))

items: st.SearchStrategy[syntax.Item] = _declarations | _functions | _handlers | tests
grafts = st.builds(syntax.Graft, idents(), st.lists(items, max_size=4).map(tuple))
