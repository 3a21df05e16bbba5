"""How large a body becomes when its functions are inlined, computed before anything is.

Every function is inlined at every call, so a chain of functions that each call the next one twice doubles sixteen
times in sixteen lines. The size is therefore added up from below: a function's once, each call then counts it as a
whole, and nothing is ever expanded to find out. It is an estimate of eBPF instructions, generous enough that a body
within `limits.EXPANDED_INSTRUCTIONS` cannot take long to compile.

The depth is bounded in the same way: a tree of functions is no deeper than one body may be (`limits.TREE_DEPTH`), so
that every recursive walk over the typed tree ends within Python's stack.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from grafting import limits, typed
from grafting.checking import walk
from grafting.checking.reporter import Reporter
from grafting.diagnostics import Label, Span
from grafting.types import IntType

MAP_CALL = 8  # key on the stack, map address, call, null check
KERNEL_CALL = 10  # arguments, call, status check
DIVISION = 8  # tests for 0 and -1 before it
STORE_CHUNK = 8  # bytes that one store sets


@dataclass(frozen=True, slots=True)
class Extent:
    """Estimated instructions, and levels of the tree, of something with its functions inlined."""

    size: int
    depth: int


class Expansion:
    """The extents of the functions seen so far."""

    def __init__(self, report: Reporter) -> None:
        self._report = report
        self._known: dict[typed.Function, Extent] = {}

    def function(self, function: typed.Function) -> bool:
        """Measure a function whose callees have been measured; False if it or one that it calls is too large."""
        if not self._known_callees(function.body):
            return False
        extent = self._measure(function.body)
        if not self._acceptable(function.name, function.span, function.body, extent):
            return False
        self._known[function] = extent
        return True

    def handler(self, handler: typed.Handler) -> bool:
        """Measure a handler; False if it is too large, or calls a function that is."""
        if not self._known_callees(handler.body):
            return False
        extent = self._measure(handler.body)
        return self._acceptable(handler.name, handler.span, handler.body, extent)

    def size(self, body: typed.Block) -> int:
        """Return the estimated instructions of a body, all of whose callees have been measured."""
        return self._measure(body).size

    def _known_callees(self, body: typed.Block) -> bool:
        return all(call.function in self._known for call in _calls(body))

    def _acceptable(self, name: str, span: Span, body: typed.Block, extent: Extent) -> bool:
        if extent.size <= limits.EXPANDED_INSTRUCTIONS and extent.depth <= limits.TREE_DEPTH:
            return True
        what = (
            f"about {extent.size} instructions, more than {limits.EXPANDED_INSTRUCTIONS}"
            if extent.size > limits.EXPANDED_INSTRUCTIONS
            else f"{extent.depth} levels of blocks and expressions, more than {limits.TREE_DEPTH}"
        )
        calls = sorted(_calls(body), key=lambda call: -self._known[call.function].size)
        labels = tuple(
            Label(call.span, f"about {self._known[call.function].size} instructions") for call in calls[:1]
        )  # fmt: skip
        self._report.error(
            "G0314", f"`{name}` is too large: {what}", span, "with its functions inlined", labels=labels,
            notes=("functions are always inlined, at every call",),
            helps=("call large functions from one place, for instance from a loop",),
        )  # fmt: skip
        return False

    # --- sizes -------------------------------------------------------------------------------------------------------

    def _measure(self, body: typed.Block) -> Extent:
        size, depth = 0, 0
        for stmt in body.statements:
            inner = [self._measure(block) for block in walk.inner_blocks(stmt)]
            own = self._statement(stmt)
            size += own.size + sum(extent.size for extent in inner)
            depth = max(depth, own.depth, *(extent.depth for extent in inner), 0)
        return Extent(size, depth + 1)

    def _statement(self, stmt: typed.Stmt) -> Extent:
        match stmt:
            case typed.Declare(variable=variable, value=value, elements=elements):
                zeros = 0 if value is not None or elements else variable.type.size // STORE_CHUNK
                return self._sum([value, *elements], 1 + len(elements) + zeros)
            case typed.Bind(value=value, default=default):
                return _add(self._absent(value), self._sum([default], 2))
            case typed.Alias(place=place):
                return self._place(place)
            case typed.Write(place=place, value=value):
                return _add(self._place(place), self._sum([value], 1))
            case typed.WriteAbsent(target=target, value=value):
                return _add(self._absent(target), self._sum([value], 3))
            case typed.MapStore(key=key, value=stored):
                return _add(self._sum([key], MAP_CALL + 2), self._stored(stored))
            case typed.MapUpdate(key=key, value=value):
                return self._sum([key, value], MAP_CALL + 3)
            case typed.Delete(key=key):
                return self._sum([key], MAP_CALL)
            case typed.If(condition=condition):
                return self._sum([condition], 2)
            case typed.For(start=start, end=end):
                return self._sum([start, end], 8)
            case typed.While(condition=condition):
                return self._sum([condition], 6)
            case typed.Match(subject=subject, arms=arms):
                return self._sum([subject], 2 + 2 * sum(max(1, len(arm.ranges)) for arm in arms))
            case typed.ReturnValue(value=value):
                return self._sum([value], 2)
            case typed.ReturnAnswer(status=status, payload=payload):
                return _add(self._sum([status], KERNEL_CALL), self._payload(payload))
            case typed.Send(payload=payload, tag=tag, deadline=deadline, grants=grants):
                given = [grant for grant in grants if not isinstance(grant, int)]
                return _add(self._sum([tag, deadline, *given], KERNEL_CALL + 2 * len(grants)), self._payload(payload))
            case typed.ArmTimer(timer=timer, delay=delay):
                return self._sum([timer, delay], KERNEL_CALL)
            case typed.Release(tag=tag, status=status):
                return self._sum([tag, status], KERNEL_CALL)
            case typed.CallStatus(arguments=arguments):
                return self._sum(arguments, 4)
            case typed.Evaluate(function=function, arguments=arguments):
                return _add(self._sum(arguments, len(arguments)), self._known[function])
            case typed.Break() | typed.Continue() | typed.ReturnVerdict():
                return Extent(2, 1)

    def _sum(self, exprs: Iterable[typed.Expr | None], own: int) -> Extent:
        size, depth = own, 0
        for expr in exprs:
            if expr is not None:
                extent = self._expr(expr)
                size, depth = size + extent.size, max(depth, extent.depth)
        return Extent(size, depth + 1)

    def _expr(self, expr: typed.Expr) -> Extent:
        match expr:
            case typed.Literal() | typed.MessageField():
                return Extent(2, 1)
            case typed.Now():
                return Extent(3, 1)
            case typed.Read(place=place):
                return self._place(place)
            case (
                typed.Negate(operand=operand) | typed.Invert(operand=operand) | typed.Not(operand=operand)
                | typed.Conversion(operand=operand)
            ):  # fmt: skip
                return self._sum([operand], 2)
            case typed.Arithmetic(op=op, left=left, right=right, type=type_):
                return self._sum([left, right], (DIVISION if op in "/%" else 1) + _narrowing(type_))
            case typed.Comparison(left=left, right=right) | typed.Logical(left=left, right=right):
                return self._sum([left, right], 3)
            case typed.Inlined(function=function, arguments=arguments):
                return _add(self._sum(arguments, len(arguments) + 1), self._known[function])

    def _place(self, place: typed.Place) -> Extent:
        indices = [step.index for step in place.steps if isinstance(step, typed.IndexStep)]
        return self._sum(indices, 2 + 3 * len(indices))

    def _absent(self, absent: typed.Absent) -> Extent:
        match absent:
            case typed.Lookup(key=key):
                return self._sum([key], MAP_CALL)
            case typed.CheckedIndex(place=place, index=index):
                return _add(self._place(place), self._sum([index], 5))
            case typed.BodyView():
                return Extent(4, 1)

    def _stored(self, stored: typed.Expr | typed.Payload) -> Extent:
        if isinstance(stored, typed.StructValue | typed.PlaceValue | typed.BodyRange | typed.NoBody):
            return self._payload(stored)
        return self._sum([stored], 1)

    def _payload(self, payload: typed.Payload) -> Extent:
        match payload:
            case typed.StructValue(type=type_, parts=parts):
                return self._sum((expr for _, expr in parts), len(parts) + type_.size // STORE_CHUNK)
            case typed.PlaceValue(place=place, type=type_):
                copied = min(type_.size, limits.INLINE_COPY_BYTES) // STORE_CHUNK
                return _add(self._place(place), Extent(2 * copied + 4, 1))
            case typed.BodyRange(start=start, end=end):
                return self._sum([start, end], 8)
            case typed.NoBody():
                return Extent(2, 1)


def _narrowing(type_: IntType) -> int:
    return 0 if type_.bits == 64 else 2


def _add(first: Extent, second: Extent) -> Extent:
    return Extent(first.size + second.size, max(first.depth, second.depth + 1))


def _calls(body: typed.Block) -> list[walk.Called]:
    return [
        event for stmt in walk.statements(body) for event in walk.operand_events(stmt) if isinstance(event, walk.Called)
    ]
