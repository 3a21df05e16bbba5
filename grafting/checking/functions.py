"""Functions, callees first: each is checked once, with nothing known about its arguments, and is never recursive.

A function is always inlined, so recursion could have no end; a cycle is an error that names it. Functions on a cycle,
and functions whose own body has an error, are known to their callers by signature only, so that callers are checked
as usual and no consequence is reported.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from grafting import syntax, typed
from grafting.checking import walk
from grafting.checking.context import Context
from grafting.checking.items import Items
from grafting.checking.scope import FunctionName, Poison
from grafting.checking.statements import block
from grafting.diagnostics import Label


def calls(node: object) -> Iterator[syntax.Call]:
    """Return every call inside a syntax node."""
    if isinstance(node, syntax.Call):
        yield node
    if isinstance(node, syntax.Node):
        for field in dataclasses.fields(node):
            yield from calls(getattr(node, field.name))
    elif isinstance(node, tuple):
        for part in node:
            yield from calls(part)


class Functions:
    """The checked functions by name, in order of declaration once `check` is done."""

    def __init__(self, items: Items) -> None:
        self._items = items
        self._names = {function.name: function for function in items.functions()}
        self._calls = {
            name: {call.function.name: call for call in calls(function.tree.body) if call.function.name in self._names}
            for name, function in self._names.items()
        }
        self.by_name: dict[str, typed.Function] = {}
        self.order: list[typed.Function] = []  # callees first
        self.sound: set[typed.Function] = set()  # no error in it or in anything that it calls

    def check(self) -> None:
        """Check every function."""
        for name in self._sorted():
            self._check(self._names[name])

    def declared(self) -> tuple[typed.Function, ...]:
        """Return the functions in order of declaration."""
        return tuple(self.by_name[name] for name in self._names)

    def all_sound(self, body: typed.Block) -> bool:
        """Tell whether every function that a checked body calls is sound."""
        return all(
            event.function in self.sound
            for stmt in walk.statements(body)
            for event in walk.operand_events(stmt)
            if isinstance(event, walk.Called)
        )

    def callees(self, name: str) -> list[str]:
        """Return the names of the functions that a function calls itself."""
        return list(self._calls[name])

    def _sorted(self) -> list[str]:
        """Return the names, callees first; a call that closes a cycle is reported and left out."""
        done: dict[str, None] = {}
        for start in self._names:
            path: dict[str, Iterator[str]] = {}
            if start not in done:
                path[start] = iter(self.callees(start))
            while path:
                name = next(reversed(path))
                callee = next(path[name], None)
                if callee is None:
                    del path[name]
                    done[name] = None
                elif callee in path:
                    self._report_cycle(name, callee, list(path))
                elif callee not in done:
                    path[callee] = iter(self.callees(callee))
        return list(done)

    def _report_cycle(self, name: str, callee: str, path: list[str]) -> None:
        cycle = [*path[path.index(callee) :], callee]
        for link in cycle[:-1]:
            self._give_up(self._names[link])
        how = "calls itself" if name == callee else f"calls itself through `{cycle[1]}`"
        self._items.report.error(
            "G0222", f"function `{callee}` {how}", self._calls[name][callee].span, "the cycle closes here",
            labels=(Label(self._names[callee].span, "declared here"),),
            notes=(" -> ".join(f"`{link}`" for link in cycle), "functions are inlined, so none may lead to itself"),
            helps=("write a loop: `while condition limit N { .. }`",),
        )  # fmt: skip

    def _give_up(self, name: FunctionName) -> None:
        """Know a function by its signature only."""
        body = typed.Block((), True, name.span)
        self.by_name.setdefault(name.name, typed.Function(name.name, (), name.result, body, name.span))

    def _check(self, name: FunctionName) -> None:
        if name.name in self.by_name:
            return
        report = self._items.report
        before = report.count
        cx = Context(self._items, self.by_name, result=name.result)
        params: list[typed.Variable] = []
        for tree, type_ in zip(name.tree.params, name.params, strict=True):
            if type_ is None:
                cx.scope.declare(tree.name.name, Poison(tree.name.span))
                continue
            params.append(typed.Variable(tree.name.name, type_, False, tree.name.span))
            cx.scope.declare(tree.name.name, params[-1])
        body = block(cx, name.tree.body)
        if name.result is not None and not body.diverges:
            report.error("G0219", f"`{name.name}` can end without a value", report.last(name.tree.body.span),
                         "reached without `return`", notes=(f"it returns a `{name.result}`",))  # fmt: skip
        if report.count != before or not name.sound:
            self._give_up(name)
            return
        function = typed.Function(name.name, tuple(params), name.result, body, name.span)
        self.by_name[name.name] = function
        if all(self.by_name[callee] in self.sound for callee in self.callees(name.name)):
            self.sound.add(function)
            self.order.append(function)
