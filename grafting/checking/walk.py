"""Walks over the typed tree: blocks inside statements, and what happens while a statement's operands are evaluated.

`operand_events` tells, in the order of evaluation, which views are used and which functions are called: all that the
passes over views and effects have to know about expressions. The use of a view stands where its bytes are read, that
is after the indices of its place have been evaluated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from grafting import typed
from grafting.diagnostics import Span


@dataclass(frozen=True, slots=True)
class Use:
    """The bytes that a view shows are read, written, or passed on."""

    view: typed.ViewVariable
    span: Span


@dataclass(frozen=True, slots=True)
class Called:
    """A function runs."""

    function: typed.Function
    span: Span


Event = Use | Called


def inner_blocks(stmt: typed.Stmt) -> tuple[typed.Block, ...]:
    """Return the blocks directly inside a statement."""
    match stmt:
        case (
            typed.Bind(otherwise=otherwise)
            | typed.WriteAbsent(otherwise=otherwise)
            | typed.MapStore(otherwise=otherwise)
            | typed.MapUpdate(otherwise=otherwise)
            | typed.Send(otherwise=otherwise)
            | typed.ArmTimer(otherwise=otherwise)
            | typed.Release(otherwise=otherwise)
        ):
            return (otherwise,)
        case typed.If(then=then, otherwise=otherwise):
            return then, otherwise
        case typed.For(body=body) | typed.While(body=body):
            return (body,)
        case typed.Match(arms=arms):
            return tuple(arm.body for arm in arms)
        case _:
            return ()


def statements(block: typed.Block) -> Iterator[typed.Stmt]:
    """Return every statement of a block, inner blocks included, in the order of the source."""
    for stmt in block.statements:
        yield stmt
        for inner in inner_blocks(stmt):
            yield from statements(inner)


@dataclass(frozen=True, slots=True)
class Changes:
    """What running statements may make untrue: what memory holds (`memory`), and which bytes these views show."""

    memory: bool
    views: frozenset[typed.ViewVariable]


def changes(body: Iterable[typed.Stmt], functions: dict[typed.Function, Changes]) -> Changes:
    """Return what statements may change, with all inside them; functions that they call are kept in `functions`."""
    memory = False
    views: set[typed.ViewVariable] = set()
    for stmt in (inner for outer in body for inner in (outer, *_inside(outer))):
        memory = memory or _changes_memory(stmt)
        match stmt:
            case typed.Bind(variable=typed.ViewVariable() as view) | typed.Alias(variable=view):
                views.add(view)
        for event in operand_events(stmt):
            if isinstance(event, Called):
                if event.function not in functions:
                    functions[event.function] = changes(event.function.body.statements, functions)
                inner = functions[event.function]
                memory = memory or inner.memory
                views |= inner.views
    return Changes(memory, frozenset(views))


def _changes_memory(stmt: typed.Stmt) -> bool:
    """Whether a statement, apart from its inner blocks, writes to memory or calls the kernel."""
    match stmt:
        case typed.Declare(value=value):
            return value is None
        case typed.Bind(value=absent):
            return isinstance(absent, typed.Lookup)
        case typed.Write(place=place):
            return bool(place.steps) or not isinstance(place.root, typed.Variable)
        case (
            typed.WriteAbsent() | typed.MapStore() | typed.MapUpdate() | typed.Delete() | typed.Send()
            | typed.ArmTimer() | typed.Release() | typed.CallStatus()
        ):  # fmt: skip
            return True
        case _:
            return False


def _inside(stmt: typed.Stmt) -> Iterator[typed.Stmt]:
    for block in inner_blocks(stmt):
        yield from statements(block)


def operand_events(stmt: typed.Stmt) -> Iterator[Event]:
    """Return what happens in a statement outside its inner blocks; a `Bind`'s default comes last."""
    match stmt:
        case typed.Declare(value=value, elements=elements):
            yield from expressions(value, *elements)
        case typed.Bind(value=absent, default=default):
            yield from absent_events(absent)
            yield from expressions(default)
        case typed.Alias(place=place):
            yield from place_events(place)
        case typed.Write(place=place, value=value):
            yield from _index_events(place)
            yield from expressions(value)
            yield from _use(place)
        case typed.WriteAbsent(target=target, value=value):
            yield from absent_events(target)
            yield from expressions(value)
            yield from _use(target.place)
        case typed.MapStore(key=key, value=stored):
            yield from expressions(key)
            yield from _stored(stored)
        case typed.MapUpdate(key=key, value=value):
            yield from expressions(key, value)
        case typed.Delete(key=key):
            yield from expressions(key)
        case typed.If(condition=condition) | typed.While(condition=condition):
            yield from expressions(condition)
        case typed.For(start=start, end=end):
            yield from expressions(start, end)
        case typed.Match(subject=subject):
            yield from expressions(subject)
        case typed.ReturnValue(value=value):
            yield from expressions(value)
        case typed.ReturnAnswer(status=status, payload=payload):
            yield from expressions(status)
            yield from payload_events(payload)
        case typed.Send(payload=payload, tag=tag, deadline=deadline, grants=grants):
            yield from expressions(*_payload_operands(payload))
            yield from expressions(tag, deadline, *(grant for grant in grants if not isinstance(grant, int)))
            yield from _by_address(payload)
        case typed.ArmTimer(timer=timer, delay=delay):
            yield from expressions(timer, delay)
        case typed.Release(tag=tag, status=status):
            yield from expressions(tag, status)
        case typed.CallStatus(arguments=arguments):
            yield from expressions(*arguments)
        case typed.Evaluate(function=function, arguments=arguments, span=span):
            yield from expressions(*arguments)
            yield Called(function, span)
        case typed.Break() | typed.Continue() | typed.ReturnVerdict():
            pass


def expressions(*exprs: typed.Expr | None) -> Iterator[Event]:
    """Return what happens while expressions are evaluated one after the other."""
    for expr in exprs:
        match expr:
            case typed.Read(place=place):
                yield from place_events(place)
            case (
                typed.Negate(operand=operand) | typed.Invert(operand=operand) | typed.Not(operand=operand)
                | typed.Conversion(operand=operand)
            ):  # fmt: skip
                yield from expressions(operand)
            case (
                typed.Arithmetic(left=left, right=right) | typed.Comparison(left=left, right=right)
                | typed.Logical(left=left, right=right)
            ):  # fmt: skip
                yield from expressions(left, right)
            case typed.Inlined(function=function, arguments=arguments, span=span):
                yield from expressions(*arguments)
                yield Called(function, span)
            case _:
                pass


def place_events(place: typed.Place) -> Iterator[Event]:
    """Return what happens while a place is found and used."""
    yield from _index_events(place)
    yield from _use(place)


def _index_events(place: typed.Place) -> Iterator[Event]:
    for step in place.steps:
        if isinstance(step, typed.IndexStep):
            yield from expressions(step.index)


def _use(place: typed.Place) -> Iterator[Event]:
    if isinstance(place.root, typed.ViewVariable):
        yield Use(place.root, place.span)


def absent_events(absent: typed.Absent) -> Iterator[Event]:
    """Return what happens while something that may be absent is looked for."""
    match absent:
        case typed.Lookup(key=key):
            yield from expressions(key)
        case typed.CheckedIndex(place=place, index=index):
            yield from _index_events(place)
            yield from expressions(index)
            yield from _use(place)
        case typed.BodyView():
            pass


def _payload_operands(payload: typed.Payload) -> Iterator[typed.Expr]:
    """Return the expressions that a payload evaluates, in order."""
    match payload:
        case typed.StructValue(parts=parts):
            yield from (expr for _, expr in parts)
        case typed.BodyRange(start=start, end=end):
            yield start
            if end is not None:
                yield end
        case typed.PlaceValue(place=place):
            yield from (step.index for step in place.steps if isinstance(step, typed.IndexStep))
        case typed.NoBody():
            pass


def payload_events(payload: typed.Payload) -> Iterator[Event]:
    """Return what happens while a body is made; a body passed by address is read at the very end."""
    yield from expressions(*_payload_operands(payload))
    yield from _by_address(payload)


def _by_address(payload: typed.Payload) -> Iterator[Event]:
    if isinstance(payload, typed.PlaceValue):
        yield from _use(payload.place)


def _stored(value: typed.Expr | typed.Payload) -> Iterator[Event]:
    if isinstance(value, typed.StructValue | typed.PlaceValue | typed.BodyRange | typed.NoBody):
        yield from payload_events(value)
    else:
        yield from expressions(value)
