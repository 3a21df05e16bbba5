"""Syntax tree -> typed tree: `check(source, tree)`, or a GraftError with every independent error found.

    items -> functions (callees first) -> handlers -> [views, effects, size, ranges of each sound body] -> tests

What is typed here never surprises the lowering: names resolved, conversions explicit, absence handled, indices proved,
views valid, recursion excluded and the expanded size bounded. Nothing of that is needed for safety, which is proved
again from the bytecode; it is needed so that the user is told in terms of the source.

The passes over finished bodies (`effects`, `views`, `expand`, `ranges`) see only bodies in which nothing
was wrong, and functions only of which all callees are sound: one cause, one error.
"""

from __future__ import annotations

from grafting import hooks, syntax, typed
from grafting.checking.effects import Effects, check_effects, effects
from grafting.checking.expand import Expansion
from grafting.checking.functions import Functions
from grafting.checking.handlers import Handlers
from grafting.checking.items import Items
from grafting.checking.ranges import check_ranges
from grafting.checking.reporter import Reporter
from grafting.checking.tests import check_test
from grafting.checking.views import check_views
from grafting.diagnostics import Source

__all__ = ["check"]


def check(source: Source, tree: syntax.Graft) -> typed.Graft:
    """Return the typed tree of a graft; raises GraftError (G02xx, G03xx), at most `limits.DIAGNOSTICS_MAX` in all."""
    report = Reporter(source)
    items = Items(tree, report)
    items.resolve_all()
    functions = Functions(items)
    functions.check()
    handlers = Handlers(items, functions)
    for item in tree.items:
        if isinstance(item, syntax.On):
            handlers.check(item)
    if not any(isinstance(item, syntax.On) for item in tree.items):
        report.error("G0233", "this graft has no handler", tree.name.span, "nothing would ever run",
                     helps=("add one, say `on reply(msg) { return deliver }`",))  # fmt: skip
    _check_bodies(report, functions, handlers.checked)
    tests = tuple(check_test(items, handlers, item) for item in tree.items if isinstance(item, syntax.Test))
    report.finish()
    return typed.Graft(
        name=tree.name.name,
        source=source,
        types=items.types(),
        protocols=tuple(protocol.spec for protocol in items.protocols()),
        slots=tuple(slot.spec for slot in items.slots()),
        serves=tuple(protocol.spec for protocol in items.serves),
        maps=tuple(items.maps()),
        states=tuple(items.states()),
        tables=tuple(items.tables()),
        functions=functions.declared(),
        handlers=tuple(handlers.checked),
        tests=tests,
        doc=tree.doc,
    )


def _check_bodies(report: Reporter, functions: Functions, handlers: list[typed.Handler]) -> None:
    """Check what concerns whole bodies, functions before their callers."""
    known: dict[typed.Function, Effects] = {}
    expansion = Expansion(report)
    for function in functions.order:
        known[function] = effects(function.body, known)
        check_views(report, function.body, known)
        if expansion.function(function):
            check_ranges(report, function.body)
    for handler in handlers:
        if not functions.all_sound(handler.body):
            continue
        found = effects(handler.body, known)
        check_effects(report, hooks.GRAFT_HOOKS[handler.event], found)
        check_views(report, handler.body, known)
        if expansion.handler(handler):
            check_ranges(report, handler.body)
