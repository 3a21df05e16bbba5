"""Array bounds, proved over the typed tree: every index of an `IndexStep` lies in its array, or is an error.

An abstract interpretation with intervals (Cousot and Cousot, POPL 1977) over structured code. Along each path it knows
an interval for every scalar (`grafting.checking.facts`); a condition narrows it on either side, paths that meet join
it.

    let mut slot = 0                          slot: 0
    for i in 1..node.count max 31 {           i: 1..=30
        if node.keys[i] <= key { slot = i }   slot after one round: 0..=30; after another: 0..=30, so that is all
    }
    node.child[slot]                          0..=30 lies in 0..31

Sound because: (1) each operator's interval contains its result (`grafting.checking.intervals`); (2) a condition only
removes values for which it fails; (3) a loop's facts are a fixed point: they contain the facts before the loop and
those after any round that begins with them. The fixed point is sought by iteration, then by widening (what still grows
is given up), and improved by one more round from there: a round from facts that hold at the head gives facts that hold
there. Loops more than `PRECISE_LOOPS` deep forget everything that they assign instead, so that the work stays linear.

A condition is evaluated and split into its two outcomes in one walk (`split`), however `&&` and `||` are nested.

A function is checked once with nothing known of its arguments. At a call its body is followed silently, so that
`min(i, 30)` is known to be at most 30; `grafting.checking.expand` has bounded what that can cost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from grafting import typed
from grafting.checking import walk
from grafting.checking.bounds import array_name, report_index
from grafting.checking.facts import Facts, Memory, joined, memory_key
from grafting.checking.intervals import (
    CONTRARY,
    MIRRORED,
    Interval,
    arithmetic,
    between,
    constrained,
    converted,
    inverted,
    negated,
    whole,
    wrapped,
)
from grafting.checking.reporter import Reporter
from grafting.diagnostics import Label, Span
from grafting.limits import BODY_BYTES
from grafting.types import BoolType, IntType, Scalar

PRECISE_LOOPS = 2  # nested loops that are iterated to a fixed point; six rounds each at most
ROUNDS_MAX = 4  # rounds before everything that a loop assigns is forgotten
WIDEN_AFTER = 2  # rounds whose results are joined as they are
BODY_LENGTH = Interval(0, BODY_BYTES)

_Round = Callable[[Facts], Facts | None]
"""One round of a loop: the facts at its head -> those at the end of its body."""


def check_ranges(report: Reporter, body: typed.Block) -> None:
    """Report (G0301) every index that is not proved to lie in its array, in the body of a handler or function."""
    _Analysis(report).block(body, Facts())


@dataclass(slots=True)
class _Exits:
    """Facts where rounds of a loop end early, or where a function returns, with its result."""

    broken: list[Facts] = field(default_factory=list)
    continued: list[Facts] = field(default_factory=list)
    returned: list[Facts] = field(default_factory=list)
    results: list[Interval] = field(default_factory=list)


class _Analysis:
    """One body being followed. `silent` counts the reasons not to report: rounds before the last, functions called."""

    def __init__(self, report: Reporter) -> None:
        self._report = report
        self._silent = 0
        self._depth = 0
        self._changes = 0
        self._path: list[Label] = []  # what has been decided on the way, for messages
        self._functions: dict[typed.Function, walk.Changes] = {}
        self._loops: list[_Exits] = [_Exits()]
        self._calls: list[_Exits] = [_Exits()]

    # --- statements --------------------------------------------------------------------------------------------------

    def block(self, body: typed.Block, facts: Facts | None) -> Facts | None:
        """Follow a block; facts are None where no path leads. The facts given may be changed."""
        decided = len(self._path)
        for stmt in body.statements:
            if facts is None:
                break
            facts = self._statement(stmt, facts)
        del self._path[decided:]
        return facts

    def _statement(self, stmt: typed.Stmt, facts: Facts) -> Facts | None:
        match stmt:
            case typed.Declare():
                self._declare(stmt, facts)
            case typed.Bind():
                return self._bind(stmt, facts)
            case typed.Alias(variable=variable, place=place):
                self._place(place, facts)
                facts.forget_root(variable)
            case typed.Write():
                self._write(stmt, facts)
            case typed.WriteAbsent(target=target, value=value, otherwise=otherwise):
                self._absent(target, facts)
                missing = self._missing(target, facts.copy())
                there = self._found(target, facts)
                if there is not None:
                    self.expr(value, there)
                    self._forget(there)
                return joined([there, self.block(otherwise, missing)])
            case typed.If(condition=condition, then=then, otherwise=otherwise):
                yes, no = self.split(condition, facts)
                held = self._decided(condition.span, then, yes, "is true")
                failed = self._decided(condition.span, otherwise, no, "is false")
                if held is None or failed is None:  # all that goes on has taken the other way
                    self._decide(condition.span, "is false" if held is None else "is true")
                return joined([held, failed])
            case typed.For():
                return self._for(stmt, facts)
            case typed.While():
                return self._while(stmt, facts)
            case typed.Match():
                return self._match(stmt, facts)
            case typed.Break():
                self._loops[-1].broken.append(facts)
                return None
            case typed.Continue():
                self._loops[-1].continued.append(facts)
                return None
            case typed.ReturnValue(value=value):
                self._calls[-1].results.append(self.expr(value, facts) if value is not None else Interval(0, 0))
                self._calls[-1].returned.append(facts)
                return None
            case typed.ReturnVerdict():
                return None
            case typed.ReturnAnswer(status=status, payload=payload):
                self.expr(status, facts)
                self._payload(payload, facts)
                return None
            case typed.Evaluate(function=function, arguments=arguments):
                self._call(function, arguments, facts)
            case _:
                return self._kernel(stmt, facts)
        return facts

    def _kernel(self, stmt: typed.Stmt, facts: Facts) -> Facts | None:
        """A call of the kernel: operands, then memory is forgotten, then perhaps the `else`."""
        match stmt:
            case typed.MapStore(key=key, value=stored):
                self._all([key], facts)
                self._stored(stored, facts)
            case typed.MapUpdate(key=key, value=value):
                self._all([key, value], facts)
            case typed.Delete(key=key):
                self._all([key], facts)
            case typed.Send(payload=payload, tag=tag, deadline=deadline, grants=grants):
                self._payload(payload, facts)
                self._all([tag, deadline, *(grant for grant in grants if not isinstance(grant, int))], facts)
            case typed.ArmTimer(timer=timer, delay=delay):
                self._all([timer, delay], facts)
            case typed.Release(tag=tag, status=status):
                self._all([tag, status], facts)
            case typed.CallStatus(arguments=arguments):
                self._all(arguments, facts)
        self._forget(facts)
        return joined([facts, *(self.block(inner, facts.copy()) for inner in walk.inner_blocks(stmt))])

    def _declare(self, stmt: typed.Declare, facts: Facts) -> None:
        if stmt.value is not None:
            facts.set(stmt.variable, self.expr(stmt.value, facts))
            return
        self._all(stmt.elements, facts)
        self._forget(facts)

    def _write(self, stmt: typed.Write, facts: Facts) -> None:
        root = stmt.place.root
        if isinstance(root, typed.Variable) and not stmt.place.steps:
            facts.set(root, self.expr(stmt.value, facts))
            return
        self._place(stmt.place, facts)
        value = self.expr(stmt.value, facts)
        self._forget(facts)
        key = memory_key(stmt.place)
        if key is not None:
            facts.memory[key] = value

    def _stored(self, stored: typed.Expr | typed.Payload, facts: Facts) -> None:
        if isinstance(stored, typed.StructValue | typed.PlaceValue | typed.BodyRange | typed.NoBody):
            self._payload(stored, facts)
        else:
            self.expr(stored, facts)

    def _payload(self, payload: typed.Payload, facts: Facts) -> None:
        match payload:
            case typed.StructValue(parts=parts):
                self._all((expr for _, expr in parts), facts)
            case typed.PlaceValue(place=place):
                self._place(place, facts)
            case typed.BodyRange(start=start, end=end):
                self._all([start, end], facts)
            case typed.NoBody():
                pass

    # --- what may be absent ------------------------------------------------------------------------------------------

    def _bind(self, stmt: typed.Bind, facts: Facts) -> Facts | None:
        self._absent(stmt.value, facts)
        missing = self.block(stmt.otherwise, self._missing(stmt.value, facts.copy()))
        there = self._found(stmt.value, facts)
        if there is not None:
            there.forget_root(stmt.variable)
        if isinstance(stmt.variable, typed.Variable):
            if there is not None:
                there.locals.pop(stmt.variable, None)
            if missing is not None and stmt.default is not None:
                missing.set(stmt.variable, self.expr(stmt.default, missing))
        return joined([there, missing])

    def _absent(self, absent: typed.Absent, facts: Facts) -> None:
        match absent:
            case typed.Lookup(key=key):
                self.expr(key, facts)
                self._forget(facts)
            case typed.CheckedIndex(place=place, index=index):
                self._place(place, facts)
                self.expr(index, facts)
            case typed.BodyView():
                pass

    def _found(self, absent: typed.Absent, facts: Facts) -> Facts | None:
        if isinstance(absent, typed.CheckedIndex):
            return self._narrow(absent.index, Interval(0, absent.array.length - 1), facts)
        return facts

    def _missing(self, absent: typed.Absent, facts: Facts) -> Facts | None:
        if not isinstance(absent, typed.CheckedIndex):
            return facts
        known = self._peek(absent.index, facts)
        if known.low < 0:
            return facts
        above = between(max(known.low, absent.array.length), known.high)
        return self._narrow(absent.index, above, facts) if above is not None else None

    # --- control flow ------------------------------------------------------------------------------------------------

    def _match(self, stmt: typed.Match, facts: Facts) -> Facts | None:
        rest: Interval | None = self.expr(stmt.subject, facts)
        ends: list[Facts | None] = []
        for arm in stmt.arms:
            values = _inside(rest, arm.ranges)
            inside = self._narrow(stmt.subject, values, facts.copy()) if values is not None else None
            ends.append(self.block(arm.body, inside))
            rest = _outside(rest, arm.ranges)
        return joined(ends)

    def _for(self, stmt: typed.For, facts: Facts) -> Facts | None:
        start, end = self.expr(stmt.start, facts), self.expr(stmt.end, facts)
        last = min(end.high, stmt.cap) if stmt.cap is not None else end.high
        counted = between(start.low, last - 1)

        def round_(before: Facts) -> Facts | None:
            if counted is None:
                return None
            before.set(stmt.counter, counted)
            header = replace(stmt.span, end=min(stmt.span.end, stmt.end.span.end))
            return self._decided(header, stmt.body, before, f"`{stmt.counter.name}` is {counted}", quote=False)

        return self._loop(stmt, round_, facts)

    def _while(self, stmt: typed.While, facts: Facts) -> Facts | None:
        def round_(before: Facts) -> Facts | None:
            again, stopped = self.split(stmt.condition, before)
            if stopped is not None:
                self._loops[-1].broken.append(stopped)
            return self._decided(stmt.condition.span, stmt.body, again, "is true")

        return self._loop(stmt, round_, facts)

    def _decided(
        self, span: Span, body: typed.Block, facts: Facts | None, outcome: str, *, quote: bool = True
    ) -> Facts | None:
        """Follow a block that a decision leads to."""
        decided = len(self._path)
        self._decide(span, outcome, quote=quote)
        after = self.block(body, facts)
        del self._path[decided:]
        return after

    def _decide(self, span: Span, outcome: str, *, quote: bool = True) -> None:
        if not self._silent:
            self._path.append(Label(span, f"`{self._report.text(span)}` {outcome}" if quote else outcome))

    def _loop(self, stmt: typed.For | typed.While, round_: _Round, facts: Facts) -> Facts | None:
        """Return the facts after a loop: those at its head, where it may always end, and at each `break`."""
        self._forget_changed(stmt, facts)
        head = facts if self._depth < PRECISE_LOOPS else _havoc(stmt.body, facts)
        self._depth += 1
        if self._depth <= PRECISE_LOOPS:
            head = self._fixed_point(stmt, round_, facts)
        exits = _Exits()
        self._loops.append(exits)
        round_(head.copy())
        self._loops.pop()
        self._depth -= 1
        return joined([head, *exits.broken])

    def _forget_changed(self, loop: typed.For | typed.While, facts: Facts) -> None:
        """Forget what a loop may change, on whatever way: what the bytecode loads anew in every round."""
        changed = walk.changes((loop,), self._functions)
        if changed.memory:
            self._forget(facts)
        for view in changed.views:
            facts.forget_root(view)

    def _fixed_point(self, stmt: typed.For | typed.While, round_: _Round, entry: Facts) -> Facts:
        """Return facts that hold at the loop's head before every round."""
        self._silent += 1
        head = entry
        for number in range(ROUNDS_MAX):
            after = self._head_after(round_, entry, head)
            if after == head:
                break
            grown = head.join(after)
            if grown == head:
                break
            head = grown if number < WIDEN_AFTER else head.widened(grown)
        else:
            if head.join(self._head_after(round_, entry, head)) != head:
                head = _havoc(stmt.body, entry)
        head = self._head_after(round_, entry, head)
        self._silent -= 1
        return head

    def _head_after(self, round_: _Round, entry: Facts, head: Facts) -> Facts:
        """Return the facts at the head if the loop has not begun, or has made one round from `head`."""
        exits = _Exits()
        self._loops.append(exits)
        end = round_(head.copy())
        self._loops.pop()
        found = joined([entry, end, *exits.continued])
        assert found is not None
        return found

    # --- functions ---------------------------------------------------------------------------------------------------

    def _call(self, function: typed.Function, arguments: tuple[typed.Expr, ...], facts: Facts) -> Interval:
        """Follow a call; `facts` become those after it."""
        values = self._all(arguments, facts)
        for param, value in zip(function.params, values, strict=True):
            facts.set(param, value)
        exits = _Exits()
        self._silent += 1
        self._calls.append(exits)
        self._loops.append(_Exits())
        end = self.block(function.body, facts.copy())
        self._loops.pop()
        self._calls.pop()
        self._silent -= 1
        after = joined([end, *exits.returned])
        if after is not None:
            facts.locals, facts.memory = after.locals, after.memory
        if function.result is None:
            return Interval(0, 0)
        result = exits.results[0] if exits.results else whole(function.result)
        for interval in exits.results:
            result = result.join(interval)
        return result

    # --- expressions -------------------------------------------------------------------------------------------------

    def _forget(self, facts: Facts) -> None:
        """Memory may have changed; `_changes` tells it to whoever has read memory before."""
        self._changes += 1
        facts.forget_memory()

    def _all(self, exprs: Iterable[typed.Expr | None], facts: Facts) -> list[Interval]:
        return [self.expr(expr, facts) for expr in exprs if expr is not None]

    def expr(self, expr: typed.Expr, facts: Facts) -> Interval:
        """Return what an expression may be; indices in it are checked, functions called change the facts."""
        match expr:
            case typed.Literal(value=value):
                return Interval(value, value)
            case typed.Read(place=place):
                self._place(place, facts)
                return self._known(expr, facts)
            case typed.MessageField():
                return self._known(expr, facts)
            case typed.Now(type=type_):
                return whole(type_)
            case typed.Negate(operand=operand, type=type_):
                return negated(self.expr(operand, facts), type_)
            case typed.Invert(operand=operand, type=type_):
                return inverted(self.expr(operand, facts), type_)
            case typed.Not(operand=operand):
                value_ = self.expr(operand, facts)
                return Interval(1 - value_.high, 1 - value_.low)
            case typed.Arithmetic(op=op, left=left, right=right, type=type_):
                a = self.expr(left, facts)
                return arithmetic(op, a, self.expr(right, facts), type_)
            case typed.Comparison() | typed.Logical():
                yes, no = self.split(expr, facts.copy())
                after = joined([yes, no])
                if after is not None:
                    facts.locals, facts.memory = after.locals, after.memory
                return Interval(int(no is None), int(yes is not None))
            case typed.Conversion(operand=operand, type=type_):
                return converted(self.expr(operand, facts), type_)
            case typed.Inlined(function=function, arguments=arguments):
                return self._call(function, arguments, facts)

    def _known(self, expr: typed.Read | typed.MessageField, facts: Facts) -> Interval:
        limits = BODY_LENGTH if isinstance(expr, typed.MessageField) and expr.name == "len" else whole(expr.type)
        if isinstance(expr, typed.Read) and isinstance(expr.place.root, typed.Variable) and not expr.place.steps:
            return facts.locals.get(expr.place.root, limits)
        key = _key(expr)
        return facts.memory.get(key, limits) if key is not None else limits

    def _place(self, place: typed.Place, facts: Facts) -> None:
        """Check the indices of a place."""
        for number, step in enumerate(place.steps):
            if not isinstance(step, typed.IndexStep):
                continue
            known = self.expr(step.index, facts)
            if known.within(Interval(0, step.array.length - 1)) or self._silent:
                continue
            type_ = step.index.type
            assert isinstance(type_, IntType)
            name = array_name(place, number)
            report_index(self._report, step.index.span, known, type_, step.array, name, self._path)

    # --- conditions --------------------------------------------------------------------------------------------------

    def split(self, condition: typed.Expr, facts: Facts) -> tuple[Facts | None, Facts | None]:
        """Evaluate a condition; return the facts where it holds and where not, None where that cannot be.

        May change `facts`.
        """
        match condition:
            case typed.Not(operand=operand):
                yes, no = self.split(operand, facts)
                return no, yes
            case typed.Logical(op="&&", left=left, right=right):
                yes, no = self.split(left, facts)
                both, only_left = self.split(right, yes) if yes is not None else (None, None)
                return both, joined([no, only_left])
            case typed.Logical(left=left, right=right):
                yes, no = self.split(left, facts)
                only_right, neither = self.split(right, no) if no is not None else (None, None)
                return joined([yes, only_right]), neither
            case typed.Comparison(op=op, left=left, right=right):
                a = self.expr(left, facts)
                changes = self._changes
                b = self.expr(right, facts)
                left_holds = changes == self._changes or not _reads_memory(left)
                return (
                    self._compared(op, (left, a, left_holds), (right, b), facts.copy()),
                    self._compared(CONTRARY[op], (left, a, left_holds), (right, b), facts),
                )
            case _:
                value = self.expr(condition, facts)
                return (
                    self._narrow(condition, Interval(1, 1), facts.copy()) if value.high == 1 else None,
                    self._narrow(condition, Interval(0, 0), facts) if value.low == 0 else None,
                )

    def _compared(
        self, op: str, left: tuple[typed.Expr, Interval, bool], right: tuple[typed.Expr, Interval], facts: Facts
    ) -> Facts | None:
        """Return the facts where the comparison holds; `left`'s third part: it would still be read with that value."""
        first, second = constrained(left[1], op, right[1]), constrained(right[1], MIRRORED[op], left[1])
        if first is None or second is None:
            return None
        narrowed = self._narrow(left[0], first, facts) if left[2] else facts
        return self._narrow(right[0], second, narrowed) if narrowed is not None else None

    def _narrow(self, expr: typed.Expr, to: Interval, facts: Facts) -> Facts | None:
        """Return the facts where an expression, evaluated before, lies in `to`; None if it cannot.

        May change `facts`.
        """
        inside = self._peek(expr, facts).meet(to)
        if inside is None:
            return None
        match expr:
            case typed.Read(place=typed.Place(root=typed.Variable() as variable, steps=())):
                facts.set(variable, inside)
            case typed.Read() | typed.MessageField():
                key = _key(expr)
                if key is not None:
                    facts.memory[key] = inside
            case typed.Conversion(operand=operand, type=type_) if _is_lossless(self._peek(operand, facts), type_):
                return self._narrow(operand, inside, facts)
            case typed.Arithmetic(op="+" | "-", left=left, right=typed.Literal(value=value)):
                return self._shifted(expr, left, value if expr.op == "+" else -value, inside, facts)
            case typed.Arithmetic(op="+", left=typed.Literal(value=value), right=right):
                return self._shifted(expr, right, value, inside, facts)
        return facts

    def _shifted(
        self, expr: typed.Arithmetic, operand: typed.Expr, by: int, inside: Interval, facts: Facts
    ) -> Facts | None:
        """Narrow `x` where `x + by` lies in `inside`, if the sum has not wrapped."""
        known = self._peek(operand, facts)
        exact = Interval(known.low + by, known.high + by)
        if wrapped(exact, expr.type) != exact:
            return facts
        return self._narrow(operand, Interval(inside.low - by, inside.high - by), facts)

    def _peek(self, expr: typed.Expr, facts: Facts) -> Interval:
        """Return what an expression may be, without evaluating it: a call in it may give anything."""
        match expr:
            case typed.Literal(value=value):
                return Interval(value, value)
            case typed.Read() | typed.MessageField():
                return self._known(expr, facts)
            case typed.Arithmetic(op=op, left=left, right=right, type=type_):
                return arithmetic(op, self._peek(left, facts), self._peek(right, facts), type_)
            case typed.Conversion(operand=operand, type=type_):
                return converted(self._peek(operand, facts), type_)
            case _:
                return whole(expr.type)


def _key(expr: typed.Read | typed.MessageField) -> Memory | None:
    return (expr.name, 0, expr.type) if isinstance(expr, typed.MessageField) else memory_key(expr.place)


def _reads_memory(expr: typed.Expr) -> bool:
    """Tell whether narrowing an expression would say something about memory."""
    match expr:
        case typed.Read(place=place):
            return bool(place.steps) or not isinstance(place.root, typed.Variable)
        case typed.MessageField():
            return False  # properties of the message never change
        case typed.Arithmetic(left=left, right=right):
            return _reads_memory(left) or _reads_memory(right)
        case typed.Conversion(operand=operand):
            return _reads_memory(operand)
        case _:
            return False


def _is_lossless(known: Interval, to: Scalar) -> bool:
    return not isinstance(to, BoolType) and converted(known, to) == known


def _inside(values: Interval | None, ranges: tuple[tuple[int, int], ...]) -> Interval | None:
    """Return which of `values` an arm takes; no ranges take all."""
    if values is None or not ranges:
        return values
    parts = [part for first, last in ranges if (part := values.meet(Interval(first, last))) is not None]
    return Interval(min(p.low for p in parts), max(p.high for p in parts)) if parts else None


def _outside(values: Interval | None, ranges: tuple[tuple[int, int], ...]) -> Interval | None:
    """Return an interval around those of `values` that an arm leaves to the arms after it."""
    if not ranges:
        return None
    for first, last in sorted(ranges):
        if values is not None and first <= values.low:
            values = between(max(values.low, last + 1), values.high)
    for first, last in sorted(ranges, key=lambda range_: -range_[1]):
        if values is not None and last >= values.high:
            values = between(values.low, min(values.high, first - 1))
    return values


def _havoc(body: typed.Block, facts: Facts) -> Facts:
    """Return the facts that no statement of a body can change."""
    assigned: set[typed.Variable] = set()
    for stmt in walk.statements(body):
        match stmt:
            case typed.Write(place=typed.Place(root=typed.Variable() as variable)):
                assigned.add(variable)
            case typed.Declare(variable=variable) | typed.For(counter=variable):
                assigned.add(variable)
            case typed.Bind(variable=typed.Variable() as variable):
                assigned.add(variable)
    return Facts({v: interval for v, interval in facts.locals.items() if v not in assigned}, {})
