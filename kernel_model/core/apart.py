"""Functions that are compiled apart from their callers.

The compiler links the code of all that a function calls, and of what those call, into the function and optimises it all
again. Where a deep call graph meets many callers, that is most of the time that compiling takes. A function marked
`@apart` (above `@hot`) ends that: its callers call it by its symbol (`packing`). The price is that it is never inlined,
so it belongs on functions that do much. It takes tables and int64s. In plain Python the mark means nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any, TypeVar

from jit.hot import functions_of, imports_of, mark_of

F = TypeVar("F", bound=Callable[..., Any])


def apart(function: F) -> F:
    """Mark a hot function."""
    function.__apart__ = True  # type: ignore[attr-defined]
    return function


def modules_of(module: ModuleType) -> tuple[ModuleType, ...]:
    """Return all modules with hot functions that `module` reaches, itself last, each after those that it imports."""
    found: dict[str, ModuleType] = {}

    def visit(one: ModuleType) -> None:
        for other in imports_of(one):
            if other.__name__ not in found:
                visit(other)
        found.setdefault(one.__name__, one)

    visit(module)
    return tuple(found.values())


def functions_apart(module: ModuleType) -> tuple[FunctionType, ...]:
    """Return the functions set apart that the functions of `module` reach, each after those that it reaches itself."""
    seen: set[FunctionType] = set()
    found: list[FunctionType] = []

    def visit(function: FunctionType) -> None:
        seen.add(function)
        for name in function.__code__.co_names:
            callee = function.__globals__.get(name)
            if isinstance(callee, FunctionType) and mark_of(callee) in ("function", "inlined") and callee not in seen:
                visit(callee)
        if hasattr(function, "__apart__"):
            found.append(function)

    for function in functions_of(module).values():
        if function not in seen:
            visit(function)
    return tuple(found)
