"""Statements: control flow, locals, assignments, and the `else` of everything that may be absent.

`let x = <may be absent> else { .. }` must leave its block or give a value, since `x` is used afterwards. The `else` of
a `send`, an assignment or an `arm` says what happens then and may simply go on: nothing is missing after it.

A statement with an error becomes None and is left out; a local with an error is `Poison`, so that its uses are silent.
"""

from __future__ import annotations

from grafting import syntax, typed
from grafting.checking import constants, kernel
from grafting.checking.assign import assign, is_writable
from grafting.checking.bindings import Bound, absent, bind_alias, bind_array, view_is_immutable
from grafting.checking.context import Context
from grafting.checking.conversions import mismatch
from grafting.checking.expressions import MapElement, call, demand, infer, reference
from grafting.checking.match import Covered, check_exhaustive, patterns
from grafting.checking.scope import Poison
from grafting.checking.type_names import local_type, resolve
from grafting.diagnostics import Span
from grafting.program import MapKind
from grafting.spelling import either
from grafting.types import BOOL, U64, ArrayType, Scalar, StructType, Type

LIMIT_MAX = (1 << 32) - 1  # rounds of a `while`; far more than any budget allows


# --- blocks ----------------------------------------------------------------------------------------------------------


def block(cx: Context, tree: syntax.Block) -> typed.Block:
    """Check a block in a scope of its own."""
    cx.scope.enter()
    statements = _statements(cx, tree)
    cx.scope.leave()
    return _finish(tree, statements)


def _statements(cx: Context, tree: syntax.Block) -> list[typed.Stmt]:
    found: list[typed.Stmt] = []
    for stmt in tree.statements:
        found += statement(cx, stmt)
    return found


def _finish(tree: syntax.Block, statements: list[typed.Stmt]) -> typed.Block:
    return typed.Block(tuple(statements), _diverges(tree), tree.span)


def _diverges(tree: syntax.Block) -> bool:
    """Tell whether no path reaches the end; judged by the syntax, so that an error elsewhere raises no second one."""
    return any(_leaves(stmt) for stmt in tree.statements)


def _leaves(stmt: syntax.Stmt) -> bool:
    match stmt:
        case syntax.Return() | syntax.Break() | syntax.Continue():
            return True
        case syntax.If(then=then, otherwise=syntax.Block() as otherwise):
            return _diverges(then) and _diverges(otherwise)
        case syntax.If(then=then, otherwise=syntax.If() as otherwise):
            return _diverges(then) and _leaves(otherwise)
        case syntax.Match(arms=arms):
            return bool(arms) and all(_diverges(arm.body) for arm in arms)
        case _:
            return False


def statement(cx: Context, stmt: syntax.Stmt) -> list[typed.Stmt]:
    """Check one statement; none comes back if it has an error, which is reported."""
    match stmt:
        case syntax.Let():
            return _let(cx, stmt)
        case syntax.Assign():
            return _one(assign(cx, stmt, _otherwise(cx, stmt.otherwise)))
        case syntax.If():
            return _one(_if(cx, stmt))
        case syntax.For():
            return _one(_for(cx, stmt))
        case syntax.While():
            return _one(_while(cx, stmt))
        case syntax.Match():
            return _one(_match(cx, stmt))
        case syntax.Break() | syntax.Continue():
            return _one(_jump(cx, stmt))
        case syntax.Return():
            return _one(_return(cx, stmt))
        case syntax.Delete():
            return _one(_delete(cx, stmt))
        case syntax.Send():
            return _one(kernel.send(cx, stmt, _required(cx, stmt.otherwise, "a send may be refused", stmt.span)))
        case syntax.ArmTimer():
            otherwise = _required(cx, stmt.otherwise, "arming a timer may be refused", stmt.span)
            return _one(kernel.arm(cx, stmt, otherwise))
        case syntax.Disarm():
            return _one(kernel.disarm(cx, stmt))
        case syntax.Release():
            return _one(kernel.release(cx, stmt, _otherwise(cx, stmt.otherwise) or typed.Block((), False, stmt.span)))
        case syntax.Hint():
            return _one(kernel.hint(cx, stmt))
        case syntax.ExprStmt():
            return _one(_call(cx, stmt))


def _one(stmt: typed.Stmt | None) -> list[typed.Stmt]:
    return [] if stmt is None else [stmt]


def _otherwise(cx: Context, tree: syntax.Block | None) -> typed.Block | None:
    return None if tree is None else block(cx, tree)


def _required(cx: Context, tree: syntax.Block | None, why: str, span: Span) -> typed.Block | None:
    """Check an `else` that must be there."""
    if tree is not None:
        return block(cx, tree)
    cx.report.error("G0302", f"{why}: what happens then?", span, "needs an `else`",
                    helps=(f"write `{_shorten(cx.report.text(span))} else {{ .. }}`",))  # fmt: skip
    return None


def _shorten(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:56]} .."


# --- let -------------------------------------------------------------------------------------------------------------


def _let(cx: Context, stmt: syntax.Let) -> list[typed.Stmt]:
    found = _let_value(cx, stmt)
    if found is None:
        cx.scope.declare(stmt.name.name, Poison(stmt.name.span))
        return []
    statements, variable = found
    cx.scope.declare(stmt.name.name, variable)
    return statements


def _let_value(cx: Context, stmt: syntax.Let) -> Bound | None:
    declared: Type | None = None
    if stmt.type is not None:
        type_ = resolve(cx, stmt.type)
        declared = local_type(cx, type_, stmt.type.span) if type_ is not None else None
        if declared is None:
            _abandon(cx, stmt)
            return None
    if stmt.otherwise is not None:
        return _let_absent(cx, stmt, stmt.otherwise, declared)
    match stmt.value:
        case syntax.ArrayLiteral():
            return bind_array(cx, stmt, stmt.value, declared)
        case syntax.Name() | syntax.Member() | syntax.Index():
            found = reference(cx, stmt.value)
            if found is None:
                return None
            if isinstance(found, typed.Place) and isinstance(found.type, StructType | ArrayType):
                return bind_alias(cx, stmt, found, found.type, declared)
    value = infer(cx, stmt.value, declared) if declared is None else _demand_type(cx, stmt.value, declared)
    if value is None:
        return None
    variable = typed.Variable(stmt.name.name, value.type, stmt.mutable, stmt.name.span)
    return [typed.Declare(variable, value, (), stmt.span)], variable


def _demand_type(cx: Context, expr: syntax.Expr, type_: Type) -> typed.Expr | None:
    """Return a scalar of a declared type; a declared array type needs an array literal."""
    if not isinstance(type_, ArrayType | StructType):
        return demand(cx, expr, type_)
    found = infer(cx, expr)
    if found is not None:
        mismatch(cx.report, expr, type_, found.type, bare=constants.is_bare(expr, cx.find))
    return None


def _abandon(cx: Context, stmt: syntax.Let) -> None:
    """The declared type has an error: look for further errors in what can still be understood."""
    if stmt.otherwise is not None:
        block(cx, stmt.otherwise)
    elif isinstance(stmt.value, syntax.Binary | syntax.Unary | syntax.Call):
        infer(cx, stmt.value)


# --- let .. else -----------------------------------------------------------------------------------------------------


def _let_absent(cx: Context, stmt: syntax.Let, tree: syntax.Block, declared: Type | None) -> Bound | None:
    value = absent(cx, stmt.value)
    if value is None:
        block(cx, syntax.Block(tree.statements, span=tree.span))
        return None
    if declared is not None and declared != value.type:
        mismatch(cx.report, stmt.value, declared, value.type)
        block(cx, syntax.Block(tree.statements, span=tree.span))
        return None
    if isinstance(value.type, StructType | ArrayType):
        return _let_view(cx, stmt, tree, value, value.type)
    found = _else_value(cx, tree, value.type, stmt)
    if found is None:
        return None
    otherwise, default = found
    variable = typed.Variable(stmt.name.name, value.type, stmt.mutable, stmt.name.span)
    return [typed.Bind(variable, value, otherwise, default, stmt.span)], variable


def _let_view(
    cx: Context, stmt: syntax.Let, tree: syntax.Block, value: typed.Absent, type_: StructType | ArrayType
) -> Bound | None:
    otherwise = block(cx, syntax.Block(tree.statements, span=tree.span))
    if tree.value is not None:
        cx.report.error("G0308", f"`{stmt.name.name}` is a view: no value can stand for it", tree.value.span,
                        helps=("leave the block here: `return ..`, `break` or `continue`",))  # fmt: skip
        return None
    if not _must_leave(cx, tree, stmt, value_allowed=False) or not view_is_immutable(cx, stmt):
        return None
    match value:
        case typed.Lookup():
            writable = True
        case typed.BodyView():
            writable = False
        case typed.CheckedIndex(place=place):
            writable = is_writable(place)
    variable = typed.ViewVariable(stmt.name.name, type_, writable, stmt.name.span)
    return [typed.Bind(variable, value, otherwise, None, stmt.span)], variable


def _must_leave(cx: Context, tree: syntax.Block, stmt: syntax.Let, *, value_allowed: bool) -> bool:
    if _diverges(tree):
        return True
    how = "leave the block (`return`, `break`, `continue`)"
    if value_allowed:
        how += " or give a value"
    cx.report.error("G0308", f"this `else` must {how}", cx.report.last(tree.span), "goes on here",
                    notes=(f"`{stmt.name.name}` would have no value",))  # fmt: skip
    return False


def _else_value(
    cx: Context, tree: syntax.Block, type_: Scalar, stmt: syntax.Let
) -> tuple[typed.Block, typed.Expr | None] | None:
    """Check the `else` of a scalar: statements, then a value or a way out. The value sees the block's locals."""
    cx.scope.enter()
    statements = _statements(cx, tree)
    default = demand(cx, tree.value, type_) if tree.value is not None else None
    cx.scope.leave()
    otherwise = _finish(tree, statements)
    if tree.value is not None:
        return (otherwise, default) if default is not None else None
    return (otherwise, None) if _must_leave(cx, tree, stmt, value_allowed=True) else None


# --- control flow ----------------------------------------------------------------------------------------------------


def _if(cx: Context, stmt: syntax.If) -> typed.If | None:
    condition = demand(cx, stmt.condition, BOOL)
    then = block(cx, stmt.then)
    match stmt.otherwise:
        case None:
            otherwise = typed.Block((), False, stmt.span)
        case syntax.Block() as tree:
            otherwise = block(cx, tree)
        case syntax.If() as chain:
            inner = _if(cx, chain)
            otherwise = typed.Block((inner,) if inner else (), _leaves(chain), chain.span)
    return typed.If(condition, then, otherwise, stmt.span) if condition else None


def _loop_body(cx: Context, tree: syntax.Block) -> typed.Block:
    cx.loops += 1
    body = block(cx, tree)
    cx.loops -= 1
    return body


def _for(cx: Context, stmt: syntax.For) -> typed.For | None:
    ends = _for_ends(cx, stmt)
    cap = None
    if stmt.cap is not None:
        cap = constants.integer(cx, stmt.cap, 0, U64.maximum, "the `max` of a loop")
    counter = typed.Variable(stmt.name.name, U64, False, stmt.name.span)
    cx.scope.enter()
    cx.scope.declare(stmt.name.name, counter if ends else Poison(stmt.name.span))
    body = _loop_body(cx, stmt.body)
    cx.scope.leave()
    if ends is None or (stmt.cap is not None and cap is None):
        return None
    start, end = ends
    least = start.value if isinstance(start, typed.Literal) else 0
    if cap is None and not (isinstance(start, typed.Literal) and isinstance(end, typed.Literal)):
        open_ = end if isinstance(start, typed.Literal) else start
        cx.report.error("G0309", "nothing bounds this loop at compile time", open_.span, "known only at run time",
                        helps=(f"say how far it may go: `{_head(cx, stmt)} max N {{ .. }}`",))  # fmt: skip
        return None
    most = min(bound for bound in (cap, end.value if isinstance(end, typed.Literal) else None) if bound is not None)
    return typed.For(counter, start, end, cap, max(0, most - least), body, stmt.span)


def _head(cx: Context, stmt: syntax.For) -> str:
    return _shorten(cx.report.text(Span(0, 0, stmt.span.start, stmt.end.span.end)))


def _for_ends(cx: Context, stmt: syntax.For) -> tuple[typed.Expr, typed.Expr] | None:
    """Both ends are u64, which every unsigned number widens to: a loop counts in u64."""
    start, end = demand(cx, stmt.start, U64), demand(cx, stmt.end, U64)
    if start is None or end is None:
        return None
    return _folded(cx, stmt.start, start), _folded(cx, stmt.end, end)


def _folded(cx: Context, tree: syntax.Expr, expr: typed.Expr) -> typed.Expr:
    """Return a constant with a declared type as a literal, as a bare number is; anything else unchanged."""
    if isinstance(expr, typed.Literal) or not constants.is_constant(tree, cx.find):
        return expr
    constant = constants.evaluate(cx, tree)
    return typed.Literal(constant.value, expr.type, expr.span) if constant is not None else expr


def _while(cx: Context, stmt: syntax.While) -> typed.While | None:
    condition = demand(cx, stmt.condition, BOOL)
    limit = constants.integer(cx, stmt.limit, 1, LIMIT_MAX, "the `limit` of a loop")
    body = _loop_body(cx, stmt.body)
    if condition is None or limit is None:
        return None
    return typed.While(condition, limit, body, stmt.span)


def _jump(cx: Context, stmt: syntax.Break | syntax.Continue) -> typed.Break | typed.Continue | None:
    if cx.loops == 0:
        word = "break" if isinstance(stmt, syntax.Break) else "continue"
        cx.report.error("G0218", f"`{word}` outside of a loop", stmt.span)
        return None
    return typed.Break(stmt.span) if isinstance(stmt, syntax.Break) else typed.Continue(stmt.span)


def _match(cx: Context, stmt: syntax.Match) -> typed.Match | None:
    subject = infer(cx, stmt.subject)
    type_ = subject.type if subject is not None else None
    before = cx.report.count
    covered = Covered()
    arms: list[typed.MatchArm] = []
    sound = True
    for tree in stmt.arms:
        ranges = patterns(cx, tree, type_, covered)
        body = block(cx, tree.body)
        sound = sound and ranges is not None
        arms.append(typed.MatchArm(ranges or (), body))
    if type_ is None or subject is None:
        return None
    if sound:
        check_exhaustive(cx, stmt, type_, covered)
    return typed.Match(subject, tuple(arms), stmt.span) if cx.report.count == before else None


def _return(cx: Context, stmt: syntax.Return) -> typed.Stmt | None:
    if cx.event is not None:
        if isinstance(stmt.value, syntax.Verdict):
            return kernel.verdict(cx, cx.event, stmt.value, stmt.span)
        names = either([f"`{name}`" for name in kernel.verdict_names(cx.event.name)])
        span = stmt.value.span if stmt.value is not None else stmt.span
        cx.report.error("G0220", "a handler returns a verdict", span, f"expected {names}")
        return None
    if isinstance(stmt.value, syntax.Verdict):
        cx.report.error("G0220", "a function returns a value, not a verdict", stmt.value.span)
        return None
    if stmt.value is None:
        if cx.result is None:
            return typed.ReturnValue(None, stmt.span)
        cx.report.error("G0220", f"this function returns a `{cx.result}`", stmt.span, f"expected a `{cx.result}`")
        return None
    if cx.result is None:
        cx.report.error("G0220", "this function has no result", stmt.value.span, "not expected",
                        helps=("declare one: `fn .. -> u64`",))  # fmt: skip
        return None
    value = demand(cx, stmt.value, cx.result)
    return typed.ReturnValue(value, stmt.span) if value else None


# --- maps and calls --------------------------------------------------------------------------------------------------


def _delete(cx: Context, stmt: syntax.Delete) -> typed.Delete | None:
    found = reference(cx, stmt.target) if isinstance(stmt.target, syntax.Index) else None
    match found:
        case MapElement(map=map_, key=key) if map_.spec.kind is MapKind.HASH:
            return typed.Delete(map_, key, stmt.span)
        case MapElement(map=map_):
            cx.report.error(
                "G0224",
                f"`{map_.name}` is an array map: its elements are always there",
                stmt.target.span,
                helps=(f"store a zero: `{cx.report.text(stmt.target.span)} = 0 else {{ .. }}`",),
            )
        case None if isinstance(stmt.target, syntax.Index):
            pass
        case _:
            cx.report.error("G0224", "only an element of a map can be deleted", stmt.target.span,
                            helps=("write `delete m[key]`",))  # fmt: skip
    return None


def _call(cx: Context, stmt: syntax.ExprStmt) -> typed.Evaluate | None:
    assert isinstance(stmt.value, syntax.Call)
    if stmt.value.function.name in ("now", "len"):
        cx.report.error("G0229", f"`{stmt.value.function.name}` does nothing but give a value", stmt.span,
                        "not used")  # fmt: skip
        return None
    found = call(cx, stmt.value)
    if found is None:
        return None
    function, arguments = found
    return typed.Evaluate(cx.function(function), arguments, stmt.span)
